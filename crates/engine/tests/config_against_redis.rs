//! The configuration beside that of a stock `redis-server`: defaults, values, refusals, error
//! texts, command lines, rewritten files, patterns. Both get the same words and must agree.
//!
//! A missing `redis-server` is a failure: without it nothing here has been checked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tandem_engine::config::{
    Asker, CommandLine, Config, Directive, Flags, Kind, LoadError, Nowhere, Outside, Rewrite, Unit,
    Unreadable,
};
use tandem_engine::glob;
use tandem_harness::{PATIENCE, free_port};

/// Directives that a stock server does not have.
const OURS: [&str; 3] = ["worker-threads", "metrics-port", "metrics-bind"];

/// A stock server with a folder of its own.
struct Redis {
    process: Child,
    client: BufReader<TcpStream>,
    folder: PathBuf,
}

/// A reply, as far as these tests need it.
#[derive(Debug, PartialEq)]
enum Reply {
    Line(String),
    Error(String),
    Bulk(Vec<u8>),
    Nothing,
    List(Vec<Reply>),
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("tandem-config-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a new folder");
    // CONFIG GET dir shows where links lead.
    path.canonicalize().expect("it is there")
}

impl Redis {
    fn start(name: &str, args: impl Fn(u16, &Path) -> Vec<String>) -> (Redis, Vec<String>) {
        let folder = folder(name);
        let port = free_port();
        let args = args(port, &folder);
        let process = Command::new("redis-server")
            .args(&args)
            .current_dir(&folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let deadline = Instant::now() + PATIENCE;
        let client = loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(client) => break BufReader::new(client),
                Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => panic!("redis-server does not answer: {error}"),
            }
        };
        (Redis { process, client, folder }, args)
    }

    fn ask(&mut self, words: &[&[u8]]) -> Reply {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n", word.len()).bytes());
            request.extend(*word);
            request.extend(b"\r\n");
        }
        self.client.get_mut().write_all(&request).expect("the server reads");
        self.reply()
    }

    fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.client.read_line(&mut line).expect("the server answers");
        let line = line.trim_end_matches("\r\n");
        let (kind, rest) = line.split_at(1);
        let count = || rest.parse::<usize>().ok();
        match kind {
            "+" | ":" => Reply::Line(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            "$" => count().map_or(Reply::Nothing, |length| {
                let mut bytes = vec![0; length + 2];
                self.client.read_exact(&mut bytes).expect("the server answers");
                bytes.truncate(length);
                Reply::Bulk(bytes)
            }),
            "*" => Reply::List((0..count().unwrap_or(0)).map(|_| self.reply()).collect()),
            other => panic!("an unknown kind of reply: {other}"),
        }
    }

    /// CONFIG GET, sorted by name.
    fn get(&mut self, patterns: &[&str]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut words: Vec<&[u8]> = vec![b"CONFIG", b"GET"];
        words.extend(patterns.iter().map(|pattern| pattern.as_bytes()));
        let Reply::List(items) = self.ask(&words) else { panic!("CONFIG GET answers a list") };
        let bulks: Vec<Vec<u8>> = items
            .into_iter()
            .map(|item| match item {
                Reply::Bulk(bytes) => bytes,
                other => panic!("a name or value, not {other:?}"),
            })
            .collect();
        let pairs = bulks.as_chunks::<2>().0.iter();
        let mut pairs: Vec<_> = pairs.map(|[name, value]| (name.clone(), value.clone())).collect();
        pairs.sort();
        pairs
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Our side of a start in `folder`: files there can be read.
struct In<'a>(&'a Path);

impl Outside for In<'_> {
    fn read_files(&mut self, pattern: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let name = String::from_utf8_lossy(pattern).into_owned();
        std::fs::read(self.0.join(name)).or_else(|_| Nowhere.read_files(pattern))
    }

    fn read_stdin(&mut self) -> Result<Vec<u8>, Unreadable> {
        Ok(Vec::new())
    }

    fn change_dir(&mut self, dir: &[u8]) -> Result<(), String> {
        let exists = self.0.join(String::from_utf8_lossy(dir).into_owned()).exists();
        exists.then_some(()).ok_or_else(|| "No such file or directory".into())
    }

    fn current_dir(&self) -> Vec<u8> {
        self.0.as_os_str().as_encoded_bytes().into()
    }

    fn check_log_file(&mut self, path: &[u8]) -> Result<(), String> {
        let path = self.0.join(String::from_utf8_lossy(path).into_owned());
        let opened = std::fs::File::options().append(true).create(true).open(path);
        opened.map(drop).map_err(|_| "No such file or directory".into())
    }

    fn is_command(&self, name: &[u8]) -> bool {
        [b"get".as_slice(), b"set"].iter().any(|known| name.eq_ignore_ascii_case(known))
    }
}

fn ours(args: &[String], folder: &Path) -> Result<Config, LoadError> {
    let args: Vec<&[u8]> = std::iter::once(b"redis-server".as_slice())
        .chain(args.iter().map(String::as_bytes))
        .collect();
    Config::load(&CommandLine::parse(&args), &mut In(folder))
}

/// Our CONFIG GET, sorted by name, without what is ours alone.
fn our_values(config: &Config, patterns: &[&str]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
    let mut values = config.get(&patterns);
    values.retain(|(name, _)| !OURS.iter().any(|ours| name == ours.as_bytes()));
    values.sort();
    values
}

fn plain(port: u16, _folder: &Path) -> Vec<String> {
    ["--port", &port.to_string(), "--enable-protected-configs", "yes"].map(str::to_owned).into()
}

#[track_caller]
fn assert_same_values(redis: &mut Redis, config: &Config) {
    let theirs = redis.get(&["*"]);
    let ours = our_values(config, &["*"]);
    let shown = |pairs: &[(Vec<u8>, Vec<u8>)]| -> Vec<String> {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        pairs.iter().map(|(name, value)| format!("{} {}", text(name), text(value))).collect()
    };
    let (theirs, ours) = (shown(&theirs), shown(&ours));
    let only_theirs: Vec<_> = theirs.iter().filter(|line| !ours.contains(line)).collect();
    let only_ours: Vec<_> = ours.iter().filter(|line| !theirs.contains(line)).collect();
    assert!(
        only_theirs.is_empty() && only_ours.is_empty(),
        "Redis: {only_theirs:#?}\nwe: {only_ours:#?}"
    );
    assert!(theirs.len() > 180, "{}", theirs.len());
}

#[test]
fn defaults_are_those_of_redis() {
    let (mut redis, args) = Redis::start("defaults", plain);
    let config = ours(&args, &redis.folder).expect("the same command line");
    assert_same_values(&mut redis, &config);
    for directive in Directive::ALL {
        let facts = directive.facts();
        if facts.flags.has(Flags::HIDDEN) {
            assert_eq!(redis.get(&[facts.name]), our_values(&config, &[facts.name]));
        }
    }
    for patterns in [
        ["MaxMemory", "maxmemory"],
        ["*max-*-entries*", "port"],
        ["PORT", "p?rt"],
        ["slave*", "min-[rs]*-lag"],
        ["key-load*", "nosuch"],
    ] {
        assert_eq!(redis.get(&patterns), our_values(&config, &patterns), "{patterns:?}");
    }
}

#[test]
fn config_set_answers_alike() {
    let (mut redis, args) = Redis::start("set", plain);
    let mut config = ours(&args, &redis.folder).expect("the same command line");
    for case in include_str!("config_set_cases.txt").lines() {
        let words: Vec<&str> = case.split('|').collect();
        let mut request: Vec<&[u8]> = vec![b"CONFIG", b"SET"];
        request.extend(words.iter().map(|word| word.as_bytes()));
        let theirs = redis.ask(&request);
        let asker = Asker { loading: false, local: true };
        let ours = match config.set(&request[2..], asker) {
            Ok(_) => Reply::Line("OK".into()),
            Err(refusal) => Reply::Error(String::from_utf8_lossy(&refusal.reply()).into_owned()),
        };
        assert_eq!(ours, theirs, "CONFIG SET {words:?}");
    }
    assert_same_values(&mut redis, &config);
}

/// Directives whose good values have effects on a stock server that end this conversation, or
/// depend on how it was built or what the machine allows. Their bad values are tried.
fn may_be_set(name: &str) -> bool {
    const NOT: &[&str] = &[
        "activedefrag",
        "appendonly",
        "bind",
        "dir",
        "maxclients",
        "oom-score-adj",
        "oom-score-adj-values",
        "port",
        "proc-title-template",
        "watchdog-period",
    ];
    !NOT.contains(&name) && !name.starts_with("tls-")
}

/// What to try for a directive: values at and beyond its limits, of the wrong kind, none at all.
fn tries(directive: Directive) -> Vec<String> {
    let facts = directive.facts();
    let mut tries: Vec<String> = ["", " ", "maybe", "1.5", "-", "yes no"].map(str::to_owned).into();
    match &facts.kind {
        Kind::Flag { .. } => tries.extend(["yes", "no", "YES", "0"].map(str::to_owned)),
        Kind::Number { range, unit, .. } => {
            let (least, most) = (*range.start(), *range.end());
            for bound in [least - 1, least, most, most + 1, 1 << 65, -(1 << 65)] {
                tries.push(bound.to_string());
                if *unit != Unit::Plain {
                    tries.extend(["b", "kb", "x", "%", " mb"].map(|end| format!("{bound}{end}")));
                }
            }
        }
        Kind::Text { .. } => tries.push("a\tb".to_owned()),
        Kind::Choice { names, .. } => {
            tries.extend(names.iter().map(|(name, _)| name.to_ascii_uppercase()));
            tries.extend(names.iter().map(|(name, _)| format!("{name} {name}")));
        }
        Kind::Other(_) => tries.extend(["1 2 3", "a b c d"].map(str::to_owned)),
    }
    tries
}

#[test]
fn every_directive_is_set_and_refused_alike() {
    let (mut redis, args) = Redis::start("every", plain);
    let mut config = ours(&args, &redis.folder).expect("the same command line");
    let mut differences = Vec::new();
    for &directive in Directive::ALL.iter().filter(|d| !OURS.contains(&d.facts().name)) {
        let facts = directive.facts();
        let usual = config.shown(directive);
        for name in std::iter::once(facts.name).chain(facts.alias) {
            let mut tries = tries(directive);
            tries.push(String::from_utf8(usual.clone()).expect("defaults are ASCII"));
            for value in tries {
                let asker = Asker { loading: false, local: true };
                let pair = [name.as_bytes(), value.as_bytes()];
                let ours = match config.set(&pair, asker) {
                    Ok(change) if !may_be_set(facts.name) => {
                        config.undo(change);
                        continue;
                    }
                    Ok(_) => Reply::Line("OK".into()),
                    Err(refusal) => {
                        Reply::Error(String::from_utf8_lossy(&refusal.reply()).into_owned())
                    }
                };
                let theirs = redis.ask(&[b"CONFIG", b"SET", pair[0], pair[1]]);
                if ours != theirs {
                    differences.push(format!("{name} {value:?}: {ours:?}, Redis {theirs:?}"));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
    assert_same_values(&mut redis, &config);
}

/// Runs a server that is expected to stop at once.
fn refused(folder: &Path, args: &[&str], stdin: &str) -> Output {
    let mut process = Command::new("redis-server")
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("redis-server is installed");
    let mut pipe = process.stdin.take().expect("it was asked for");
    pipe.write_all(stdin.as_bytes()).expect("the server reads");
    drop(pipe);
    let output = process.wait_with_output().expect("it was started");
    assert_eq!(output.status.code(), Some(1), "{args:?} {stdin}");
    output
}

#[test]
fn wrong_lines_get_the_same_report() {
    let folder = folder("bad");
    for case in include_str!("../src/config/tests/bad_lines.txt").lines() {
        let (line, _) = case.rsplit_once(" => ").expect("line => words");
        let theirs = refused(&folder, &["-"], line).stderr;
        let text = [b"\n", line.as_bytes()].concat();
        std::fs::write(folder.join("f"), &text[1..]).expect("a new file");
        let error = ours(&["f".to_owned()], &folder).expect_err(line);
        assert_eq!(error.report().escape_ascii().to_string(), theirs.escape_ascii().to_string());
    }
    std::fs::remove_dir_all(&folder).expect("it was there");
}

#[test]
fn wrong_command_lines_get_the_same_report() {
    let folder = folder("argv");
    std::fs::write(folder.join("f.conf"), "timeout 1\nport 0\n").expect("a new file");
    let cases: &[&[&str]] = &[
        &["--port"],
        &["--port", "6380", "--loglevel"],
        &["--port", "6379", "6380"],
        &["--port", "--loglevel", "verbose"],
        &["--port", "--bla", "--loglevel", "verbose"],
        &["--logfile", "--my--log--file", "--loglevel", "--bla"],
        &["--shutdown-on-sigint"],
        &["--shutdown-on-sigint", "now force", "--shutdown-on-sigterm"],
        &["--replicaof", "127.0.0.1", "abc"],
        &["--replicaof", "--127.0.0.1", "abc"],
        &["--replicaof", "--127.0.0.1", "--abc"],
        &["f.conf", "loglevel", "verbose", "--maxmemory '700mx'"],
        &["f.conf", "--save", "--hz", "x"],
        &["f.conf", "--hz", "5", "--save", "", "--nosuch"],
        &["f.conf", "--logfile", "a\tb\"c\\", "x"],
        &["--maxclients 5 6"],
        &["--no such", "x"],
        &["f.conf", "-", "--port", "x"],
        &["--timeout", "-", "--hz", "x"],
        &["--logfile", "/nonexistent/x"],
        &["--cluster-enabled", "yes", "--slaveof", "a", "1"],
    ];
    for args in cases {
        let theirs = refused(&folder, args, "").stderr;
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let error = ours(&args, &folder).expect_err("Redis refuses it");
        let ours = error.report();
        assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&theirs), "{args:?}");
    }
    std::fs::remove_dir_all(&folder).expect("it was there");
}

const FILE: &str = "\
# The head of a file.

port 1
PORT 2
  timeout   5

# Save points.
save 900 1
save 300 10
slave-read-only no
requirepass \"\"
client-output-buffer-limit replica 1gb 2mb 7
maxmemory-policy allkeys-lru
logfile ''
rename-command nosuch2 x


notify-keyspace-events Kg$
proc-title-template \"{title} {port}\"
bind 127.0.0.1
# The end.
";

#[test]
fn a_file_is_read_and_rewritten_alike() {
    let (mut redis, args) = Redis::start("rewrite", |port, folder| {
        let text = FILE.replace("rename-command nosuch2", "rename-command get");
        std::fs::write(folder.join("f.conf"), text).expect("a new file");
        ["f.conf", "--port", &port.to_string(), "--masterauth", "a \"b\" \x01"]
            .map(str::to_owned)
            .into()
    });
    let mut config = ours(&args, &redis.folder).expect("the same command line");
    assert_same_values(&mut redis, &config);

    let changes: [&[u8]; 8] = [
        b"save",
        b"60 5",
        b"maxmemory-clients",
        b"5%",
        b"min-slaves-to-write",
        b"0",
        b"hz",
        b"900",
    ];
    let asker = Asker { loading: false, local: true };
    config.set(&changes, asker).expect("all right").changed();
    let request = [&[b"CONFIG".as_slice(), b"SET"], changes.as_slice()].concat();
    assert_eq!(redis.ask(&request), Reply::Line("OK".into()));

    let path = redis.folder.join("f.conf");
    // Redis tells its own users; we are told which.
    let users = [b"default on nopass ~* &* +@all".to_vec()];
    let options = Rewrite { force_all: false, users: Some(&users) };
    let mut before = std::fs::read(&path).expect("it is there");
    for _ in 0..2 {
        assert_eq!(redis.ask(&[b"CONFIG", b"REWRITE"]), Reply::Line("OK".into()));
        let theirs = std::fs::read_to_string(&path).expect("it is there");
        let ours = String::from_utf8(config.rewrite(&before, options)).expect("ASCII");
        assert_same_file(&ours, &theirs);
        before = theirs.into();
    }
}

/// Redis adds what is missing in any order.
#[track_caller]
fn assert_same_file(ours: &str, theirs: &str) {
    const MARK: &str = "# Generated by CONFIG REWRITE\n";
    let (our_head, our_tail) = ours.split_once(MARK).expect("a mark");
    let (their_head, their_tail) = theirs.split_once(MARK).expect("a mark");
    assert_eq!(our_head, their_head);
    let sorted = |tail: &str| {
        let mut lines: Vec<String> = tail.split('\n').map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(our_tail), sorted(their_tail));
}

#[test]
fn patterns_match_alike() {
    let (mut redis, _) = Redis::start("glob", plain);
    let mut random = fastrand::Rng::with_seed(1);
    let mut piece = |letters: &[u8], least: usize, most: usize| -> Vec<u8> {
        (0..random.usize(least..most)).map(|_| letters[random.usize(0..letters.len())]).collect()
    };
    let mut fitting = 0;
    for _ in 0..300 {
        redis.ask(&[b"FLUSHALL"]);
        let texts: Vec<Vec<u8>> = (0..20).map(|_| piece(b"aabB]-^\\\xe9", 1, 5)).collect();
        for text in &texts {
            redis.ask(&[b"SET", text, b"1"]);
        }
        for _ in 0..20 {
            let pattern = piece(b"aaB*?[[]^-\\\xe9", 0, 8);
            let Reply::List(keys) = redis.ask(&[b"KEYS", &pattern]) else {
                panic!("KEYS answers a list");
            };
            for text in &texts {
                let theirs = keys.contains(&Reply::Bulk(text.clone()));
                fitting += usize::from(theirs);
                assert_eq!(
                    glob::matches(&pattern, text),
                    theirs,
                    "{} on {}",
                    pattern.escape_ascii(),
                    text.escape_ascii()
                );
            }
        }
    }
    assert!(fitting > 1000, "{fitting}");
}
