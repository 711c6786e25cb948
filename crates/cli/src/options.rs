//! The command line: what each option sets, and where the command starts.
//!
//! The grammar is redis-cli's own: an option's value is always the next argument, an option
//! that lacks its value is unknown, and the first argument that does not start with a dash
//! begins the command.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use tandem_base::{REDIS_VERSION, TANDEM_VERSION};

use crate::client::{Address, Client, ClientError};
use crate::format::{Delimiters, Output};
use crate::split::unquote;
use crate::stream::Stream;
use crate::text::{complain, flush, leading_fraction, leading_int, leading_number, put};
use crate::tls::{Fault, TlsOptions};
use crate::{Step, Stop, uri, usage};

/// What the program does instead of running commands. When several are asked for, the first
/// one of this list wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// `--latency`, `--latency-history`
    Latency,
    /// `--latency-dist`
    LatencyDist,
    /// `--replica`
    Replica,
    /// `--rdb`, `--functions-rdb`
    Rdb,
    /// `--pipe`
    Pipe,
    /// `--bigkeys`
    BigKeys,
    /// `--memkeys`
    MemKeys,
    /// `--hotkeys`
    HotKeys,
    /// `--stat`
    Stat,
    /// `--scan`
    Scan,
    /// `--lru-test`
    LruTest,
    /// `--intrinsic-latency`
    IntrinsicLatency,
    /// `--topology`
    Topology,
}

/// Which protocol the connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resp3 {
    /// Not asked for: RESP2.
    No,
    /// Asked for with `-3`: a server that refuses is an error.
    Asked,
    /// Preferred, as `--json` does: a server that refuses is only complained about.
    Preferred,
}

/// Everything that the command line and the environment say.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) host: String,
    pub(crate) port: i32,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) user: Option<Vec<u8>>,
    pub(crate) auth: Option<Vec<u8>>,
    pub(crate) askpass: bool,
    pub(crate) no_auth_warning: bool,
    /// The database to select after connecting (`-n`).
    pub(crate) db: i32,
    /// How often a command is sent; negative is for ever (`-r`).
    pub(crate) repeat: i64,
    /// Between repetitions, in microseconds (`-i`).
    pub(crate) interval_us: i64,
    pub(crate) resp2: bool,
    pub(crate) resp3: Resp3,
    pub(crate) stdin_last_arg: bool,
    pub(crate) stdin_tag: Option<Vec<u8>>,
    pub(crate) quoted_input: bool,
    pub(crate) output: Output,
    pub(crate) delimiters: Delimiters,
    pub(crate) show_pushes: bool,
    /// End with an error code when a command fails (`-e`).
    pub(crate) error_exit: bool,
    /// Follow MOVED and ASK (`-c`).
    pub(crate) cluster: bool,
    pub(crate) mode: Option<Mode>,
    pub(crate) latency_history: bool,
    pub(crate) intrinsic_seconds: i32,
    pub(crate) pattern: Option<Vec<u8>>,
    pub(crate) scan_count: Option<i64>,
    pub(crate) rdb_file: PathBuf,
    pub(crate) functions_only: bool,
    /// In seconds; 0 waits for ever.
    pub(crate) pipe_timeout: i32,
    /// How many elements of a key `--memkeys` looks at; 0 leaves it to the server.
    pub(crate) memkeys_samples: i32,
    /// How many keys `--lru-test` uses.
    pub(crate) lru_keys: i64,
    /// Greys only in `--latency-dist`.
    pub(crate) mono: bool,
    pub(crate) tls: TlsOptions,
    /// Bounds the connecting (`-t`); without it the system does.
    pub(crate) connect_timeout: Option<Duration>,
    /// `--ldb`, which is refused once it is clear that there is a script.
    pub(crate) debugger: bool,
    /// The file of the script to run (`--eval`).
    pub(crate) eval: Option<PathBuf>,
}

/// What [`parse`] found.
pub(crate) struct Parsed {
    pub(crate) options: Options,
    /// The command and its arguments.
    pub(crate) rest: Vec<Vec<u8>>,
}

impl Options {
    /// What holds when nothing is said; `for_people` when standard output is a terminal.
    pub(crate) fn new(for_people: bool) -> Options {
        Options {
            host: "127.0.0.1".to_owned(),
            port: 6379,
            socket: None,
            user: None,
            auth: None,
            askpass: false,
            no_auth_warning: false,
            db: 0,
            repeat: 1,
            interval_us: 0,
            resp2: false,
            resp3: Resp3::No,
            stdin_last_arg: false,
            stdin_tag: None,
            quoted_input: false,
            output: if for_people { Output::Standard } else { Output::Raw },
            delimiters: Delimiters::default(),
            show_pushes: for_people,
            error_exit: false,
            cluster: false,
            mode: None,
            latency_history: false,
            intrinsic_seconds: 0,
            pattern: None,
            scan_count: None,
            rdb_file: PathBuf::new(),
            functions_only: false,
            pipe_timeout: 30,
            memkeys_samples: 0,
            lru_keys: 0,
            mono: false,
            tls: TlsOptions::default(),
            connect_timeout: None,
            debugger: false,
            eval: None,
        }
    }

    /// Where to connect; `redirected` is true while a cluster has sent us elsewhere.
    pub(crate) fn address(&self, redirected: bool) -> Address {
        match &self.socket {
            Some(path) if !redirected => Address::Unix(path.clone()),
            _ => Address::Tcp(self.host.clone(), self.port),
        }
    }

    /// Connects to `address` in the way that the options say; see [`Client::connect`]. -t
    /// bounds only the connecting.
    pub(crate) fn dial(&self, address: &Address) -> Result<Client, ClientError> {
        let mut client = self.dial_within(address, self.connect_timeout)?;
        client.set_timeout(None)?;
        Ok(client)
    }

    /// The same, with a bound for every wait.
    pub(crate) fn dial_within(
        &self,
        address: &Address,
        timeout: Option<Duration>,
    ) -> Result<Client, ClientError> {
        Client::over(self.open(address, timeout)?, timeout)
    }

    /// The socket alone, with TLS when it is asked for.
    pub(crate) fn open(
        &self,
        address: &Address,
        timeout: Option<Duration>,
    ) -> Result<Stream, ClientError> {
        let stream = Stream::connect(address, timeout)?;
        if !self.tls.enabled {
            return Ok(stream);
        }
        stream.set_timeout(timeout)?;
        let host = match address {
            Address::Tcp(host, _) => host.as_str(),
            Address::Unix(_) => "",
        };
        stream.secured(host, &self.tls).map_err(|fault| match fault {
            Fault::Options(text) => ClientError::Tls(text),
            Fault::Peer(text) => ClientError::Io(std::io::Error::other(text)),
        })
    }

    fn set_mode(&mut self, mode: Mode) {
        self.mode = Some(self.mode.map_or(mode, |old| old.min(mode)));
    }

    fn prefer_resp3(&mut self) {
        if self.resp3 == Resp3::No {
            self.resp3 = Resp3::Preferred;
        }
    }
}

/// Reads the command line and the environment.
pub(crate) fn parse(args: &[OsString]) -> Step<Parsed> {
    let for_people = std::io::stdout().is_terminal() || std::env::var_os("FAKETTY").is_some();
    let mut options = Options::new(for_people);
    let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    let mut at = 0;
    while let Some(&arg) = args.get(at) {
        if take_flag(&mut options, arg)? {
            at += 1;
        } else if let Some(value) = args.get(at + 1)
            && take_pair(&mut options, arg, value)?
        {
            at += 2;
        } else {
            match arg {
                b"-h" | b"--help" => return show(&usage::text()),
                b"-v" | b"--version" => return show(&version_line()),
                [b'-', ..] => return Err(refuse(&refusal(arg))),
                _ => break,
            }
        }
    }
    check_together(&options)?;
    if options.auth.is_some() && !options.no_auth_warning {
        complain(
            "Warning: Using a password with '-a' or '-u' option on the command line interface \
             may not be safe.",
        );
    }
    if options.auth.is_none() {
        options.auth = std::env::var_os("REDISCLI_AUTH").map(OsString::into_vec);
    }
    let rest = args[at..].iter().map(|arg| arg.to_vec()).collect();
    Ok(Parsed { options, rest })
}

/// What `--version` prints: what people and scripts look for first, then who we are.
pub(crate) fn version_line() -> String {
    format!("redis-cli {REDIS_VERSION} (tandem {TANDEM_VERSION})\n")
}

fn show(text: &str) -> Step<Parsed> {
    put(text)?;
    flush()?;
    Err(Stop::Exit(0))
}

fn refuse(text: &str) -> Stop {
    complain(text);
    Stop::Exit(1)
}

/// Options of redis-cli that this client does not have are named as such.
fn refusal(arg: &[u8]) -> String {
    let shown = String::from_utf8_lossy(arg);
    if arg.starts_with(b"--cluster") {
        return format!(
            "'{shown}': this client has no cluster manager. Use redis-cli of Redis for clusters; \
             -c follows redirections here too."
        );
    }
    format!("Unrecognized option or bad number of args for: '{shown}'")
}

/// Takes an option without a value; false when `arg` is none.
fn take_flag(options: &mut Options, arg: &[u8]) -> Step<bool> {
    match arg {
        b"-x" => options.stdin_last_arg = true,
        b"-c" => options.cluster = true,
        b"-e" => options.error_exit = true,
        b"-2" => options.resp2 = true,
        b"-3" => options.resp3 = Resp3::Asked,
        b"--no-auth-warning" => options.no_auth_warning = true,
        b"--askpass" => options.askpass = true,
        b"--raw" => options.output = Output::Raw,
        b"--no-raw" => options.output = Output::Standard,
        b"--csv" => options.output = Output::Csv,
        b"--json" => {
            options.prefer_resp3();
            options.output = Output::Json;
        }
        b"--quoted-json" => {
            options.prefer_resp3();
            options.output = Output::QuotedJson;
        }
        b"--quoted-input" => options.quoted_input = true,
        // Only the cluster manager has more to say when asked to be verbose.
        b"--verbose" => {}
        b"--latency" => options.set_mode(Mode::Latency),
        b"--latency-history" => {
            options.latency_history = true;
            options.set_mode(Mode::Latency);
        }
        b"--replica" | b"--slave" => options.set_mode(Mode::Replica),
        b"--stat" => options.set_mode(Mode::Stat),
        b"--scan" => options.set_mode(Mode::Scan),
        b"--topology" => options.set_mode(Mode::Topology),
        b"--pipe" => options.set_mode(Mode::Pipe),
        b"--bigkeys" => options.set_mode(Mode::BigKeys),
        b"--hotkeys" => options.set_mode(Mode::HotKeys),
        b"--latency-dist" => options.set_mode(Mode::LatencyDist),
        b"--mono" => options.mono = true,
        b"--ldb" | b"--ldb-sync-mode" => options.debugger = true,
        b"--memkeys" => {
            options.memkeys_samples = 0;
            options.set_mode(Mode::MemKeys);
        }
        _ => return Ok(options.tls.take_flag(arg)),
    }
    Ok(true)
}

/// Takes an option and its value; false when `arg` is none.
fn take_pair(options: &mut Options, arg: &[u8], value: &[u8]) -> Step<bool> {
    match arg {
        b"-h" => options.host = String::from_utf8_lossy(value).into_owned(),
        b"-p" => options.port = leading_int(value),
        b"-s" => options.socket = Some(path(value)),
        b"-n" => options.db = leading_int(value),
        b"-r" => options.repeat = leading_number(value).value,
        b"-i" => options.interval_us = (leading_fraction(value) * 1_000_000.0) as i64,
        b"-a" | b"--pass" => options.auth = Some(value.to_vec()),
        b"--user" => options.user = Some(value.to_vec()),
        b"-u" => uri::apply(value, options).map_err(|text| refuse(&text))?,
        b"-d" => options.delimiters.element = value.to_vec(),
        b"-D" => options.delimiters.reply = value.to_vec(),
        b"-X" => options.stdin_tag = Some(value.to_vec()),
        b"--pattern" => options.pattern = Some(value.to_vec()),
        b"--quoted-pattern" => match unquote(value) {
            Some(pattern) => options.pattern = Some(pattern),
            None => return Err(refuse("Invalid quoted string specified for --quoted-pattern.")),
        },
        b"--count" => options.scan_count = Some(leading_number(value).value),
        b"--rdb" | b"--functions-rdb" => {
            if options.mode == Some(Mode::Rdb) && options.functions_only != (arg != b"--rdb") {
                return Err(refuse("Option --functions-rdb and --rdb are mutually exclusive."));
            }
            options.functions_only = arg != b"--rdb";
            options.rdb_file = path(value);
            options.set_mode(Mode::Rdb);
        }
        b"--pipe-timeout" => options.pipe_timeout = leading_int(value),
        b"--memkeys-samples" => {
            options.memkeys_samples = leading_int(value);
            options.set_mode(Mode::MemKeys);
        }
        b"--lru-test" => {
            options.lru_keys = leading_number(value).value;
            options.set_mode(Mode::LruTest);
        }
        b"-t" => {
            let seconds = leading_fraction(value);
            options.connect_timeout =
                Duration::try_from_secs_f64(seconds).ok().filter(|timeout| !timeout.is_zero());
        }
        b"--intrinsic-latency" => {
            options.intrinsic_seconds = leading_int(value);
            options.set_mode(Mode::IntrinsicLatency);
        }
        b"--eval" => options.eval = Some(path(value)),
        b"--show-pushes" => match value.first().map(u8::to_ascii_lowercase) {
            Some(b'y') => options.show_pushes = true,
            Some(b'n') => options.show_pushes = false,
            _ => complain(format!(
                "Unknown --show-pushes value '{}' (valid: '[y]es', '[n]o')",
                String::from_utf8_lossy(value)
            )),
        },
        _ => return Ok(options.tls.take_pair(arg, value)),
    }
    Ok(true)
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// Refuses options that contradict each other.
fn check_together(options: &Options) -> Step<()> {
    if options.socket.is_some() && options.cluster {
        return Err(refuse("Options -c and -s are mutually exclusive."));
    }
    if options.resp2 && options.resp3 == Resp3::Asked {
        return Err(refuse("Options -2 and -3 are mutually exclusive."));
    }
    if options.debugger {
        return Err(refuse(match options.eval {
            None => {
                "Options --ldb and --ldb-sync-mode require --eval.\n\
                 Try redis-cli --help for more information."
            }
            Some(_) => "This client has no Lua debugger: run the script without --ldb.",
        }));
    }
    if options.stdin_last_arg && options.stdin_tag.is_some() {
        return Err(refuse("Options -x and -X are mutually exclusive."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Step<Parsed> {
        parse(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_end_where_the_command_begins() {
        let found = parsed(&["-p", "7000", "-n", "3", "--csv", "get", "-p"]).expect("it parses");
        assert_eq!(found.options.port, 7000);
        assert_eq!(found.options.db, 3);
        assert_eq!(found.options.output, Output::Csv);
        assert_eq!(found.rest, vec![b"get".to_vec(), b"-p".to_vec()]);
    }

    #[test]
    fn contradictions_and_unknown_options_are_refused() {
        for args in [
            &["-2", "-3"][..],
            &["-c", "-s", "/x"],
            &["-x", "-X", "t"],
            &["--rdb", "a", "--functions-rdb", "b"],
            &["--no-such-thing"],
            &["-p"],
            &["--sni"],
            &["-u", "http://x"],
        ] {
            assert!(matches!(parsed(args), Err(Stop::Exit(1))), "{args:?}");
        }
        assert!(parsed(&["-2", "--json"]).is_ok());
    }

    #[test]
    fn the_earlier_mode_of_the_list_wins() {
        let found = parsed(&["--scan", "--latency", "--stat"]).expect("it parses");
        assert_eq!(found.options.mode, Some(Mode::Latency));
    }
}
