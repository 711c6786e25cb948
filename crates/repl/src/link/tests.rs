//! The link, held in a test: a script of inputs (`>` lines) and everything it makes of them.

use std::fmt::Write as _;

use tandem_base::{Mono, ReplId, ReplOffset};

use super::{Auth, CachedMaster, Data, Link, LoadTo, Output, Settings};

const ID_A: &str = "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd";
const ID_B: &str = "1111111111222222222233333333334444444444";
const MARK: &str = "0123456789012345678901234567890123456789";

fn id(text: &str) -> ReplId {
    ReplId::parse(text.as_bytes()).unwrap()
}

/// A link and its driver, which writes down what it is told.
struct Driver {
    link: Link,
    now: Mono,
    trace: String,
    rdb: Vec<u8>,
    stream: Vec<u8>,
}

impl Driver {
    fn new(settings: Settings, cached: Option<CachedMaster>) -> Driver {
        let now = Mono(1_000_000);
        let link = Link::new("10.0.0.1", 6379, settings, cached, now);
        let mut driver =
            Driver { link, now, trace: String::new(), rdb: Vec::new(), stream: Vec::new() };
        driver.drain();
        driver
    }

    fn drain(&mut self) {
        while let Some(output) = self.link.poll() {
            let line = match output {
                Output::Dial { host, port } => format!("dial {host}:{port}"),
                Output::Send(bytes) => format!("send {}", words(&bytes)),
                Output::BeginRdb { size_bytes, base, load_to } => {
                    format!("begin-rdb {size_bytes:?} {} {load_to:?}", base.offset)
                }
                Output::EndRdb => "end-rdb".to_owned(),
                Output::AbortRdb => "abort-rdb".to_owned(),
                Output::Synced(base) => {
                    format!(
                        "synced {} {}",
                        base.replid.map_or("-".into(), |id| id.to_string()),
                        base.offset
                    )
                }
                Output::Resumed { new_replid } => {
                    format!("resumed {}", new_replid.map_or("-".into(), |id| id.to_string()))
                }
                Output::Close => "close".to_owned(),
                Output::Log(line) => {
                    format!(
                        "log {} {}",
                        if line.level == crate::log::Level::Warning { '#' } else { '*' },
                        line.text
                    )
                }
            };
            self.trace.push_str(&line);
            self.trace.push('\n');
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (used, line) = {
                let taken = self.link.receive(rest, self.now);
                let line = match taken.data {
                    Data::None => None,
                    Data::Rdb(bytes) => {
                        self.rdb.extend_from_slice(bytes);
                        Some(format!("rdb {}", bytes.escape_ascii()))
                    }
                    Data::Stream(bytes) => {
                        self.stream.extend_from_slice(bytes);
                        Some(format!("stream {}", bytes.escape_ascii()))
                    }
                };
                (taken.used, line)
            };
            let stuck = used == 0 && line.is_none();
            rest = &rest[used..];
            if let Some(line) = line {
                self.trace.push_str(&line);
                self.trace.push('\n');
            }
            self.drain();
            if stuck {
                assert!(!self.link.wants_bytes());
                writeln!(self.trace, "kept {}", rest.escape_ascii()).unwrap();
                break;
            }
        }
    }

    /// Lets time pass, with ticks just when they are due.
    fn wait(&mut self, ms: u64) {
        let until = self.now.plus_ms(ms);
        while let Some(at) = self.link.next_timeout().filter(|&at| at <= until) {
            self.now = at.max(self.now);
            self.link.tick(self.now);
            self.drain();
        }
        self.now = until;
    }

    fn run(&mut self, command: &str) {
        writeln!(self.trace, "> {command}").unwrap();
        let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
        match word {
            "connected" => self.link.connected(self.now),
            "dial-failed" => self.link.dial_failed(rest, self.now),
            "connect-failed" => self.link.connect_failed(rest, self.now),
            "recv" => self.receive(&unescape(rest)),
            "closed" => self.link.closed("connection lost", self.now),
            "desynced" => self.link.desynced(self.now),
            "loaded" if rest.is_empty() => self.link.loaded(Ok(()), self.now),
            "loaded" => self.link.loaded(Err(rest), self.now),
            "spool-failed" => self.link.spool_failed(rest, self.now),
            "applied" => self.link.applied(ReplOffset(rest.parse().unwrap())),
            "ack" => self.link.ack(self.now),
            "wait" => self.wait(rest.parse().unwrap()),
            "leave" => {
                let cached = self.link.leave(self.now);
                writeln!(self.trace, "left {cached:?}").unwrap();
            }
            "abandon" => self.link.abandon(self.now),
            "state" => writeln!(
                self.trace,
                "{} up={} {:?}",
                self.link.role_state(),
                self.link.is_up(),
                self.link.offsets().map(|(read, applied)| (read.0, applied.0)),
            )
            .unwrap(),
            _ => panic!("no such input: {command}"),
        }
        self.drain();
    }
}

/// A command as its words; anything else escaped.
fn words(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    if !text.starts_with('*') {
        return text;
    }
    let commands = text.split('*').skip(1).map(|command| {
        let parts: Vec<&str> = command.split("\\r\\n").collect();
        parts.iter().skip(2).step_by(2).copied().collect::<Vec<_>>().join(" ")
    });
    commands.collect::<Vec<_>>().join(" | ")
}

fn unescape(text: &str) -> Vec<u8> {
    text.replace("\\r", "\r")
        .replace("\\n", "\n")
        .replace("ID_A", ID_A)
        .replace("ID_B", ID_B)
        .replace("MARK", MARK)
        .into_bytes()
}

/// Runs the `>` lines of `script` and compares the whole trace with it.
#[track_caller]
fn check_with(settings: Settings, cached: Option<CachedMaster>, script: &str) -> Driver {
    let wanted: Vec<String> =
        script.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    let mut driver = Driver::new(settings, cached);
    for line in &wanted {
        if let Some(command) = line.strip_prefix("> ") {
            driver.run(command);
        }
    }
    let trace = driver.trace.replace(ID_A, "ID_A").replace(ID_B, "ID_B").replace(MARK, "MARK");
    let got: Vec<&str> = trace.lines().map(str::trim_end).collect();
    assert!(got == wanted, "the trace is:\n{}", got.join("\n"));
    driver
}

#[track_caller]
fn check(script: &str) -> Driver {
    check_with(Settings::default(), None, script)
}

#[track_caller]
fn check_returning(offset: u64, script: &str) -> Driver {
    let cached = CachedMaster { replid: id(ID_A), offset: ReplOffset(offset) };
    check_with(Settings::default(), Some(cached), script)
}

/// A link that is up at offset 100 of history `ID_A`, its trace cleared.
fn up() -> Driver {
    let cached = CachedMaster { replid: id(ID_A), offset: ReplOffset(100) };
    let mut driver = Driver::new(Settings::default(), Some(cached));
    driver.run("connected");
    driver.run("recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n+CONTINUE ID_A\\r\\n");
    assert!(driver.link.is_up());
    driver.trace.clear();
    driver
}

#[track_caller]
fn check_up(script: &str) -> Driver {
    let mut driver = up();
    let wanted: Vec<&str> = script.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    for line in &wanted {
        if let Some(command) = line.strip_prefix("> ") {
            driver.run(command);
        }
    }
    let trace = driver.trace.replace(ID_A, "ID_A").replace(ID_B, "ID_B").replace(MARK, "MARK");
    let got: Vec<&str> = trace.lines().map(str::trim_end).collect();
    assert!(got == wanted, "the trace is:\n{}", got.join("\n"));
    driver
}

mod broken;
mod normal;
mod table;
