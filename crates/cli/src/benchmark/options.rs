//! The command line of the load generator. The grammar is redis-benchmark's: an option's value
//! is the next argument, and the first argument without a dash begins a command.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use tandem_base::{REDIS_VERSION, TANDEM_VERSION};

use super::usage;
use crate::client::Address;
use crate::options::Options as ClientOptions;
use crate::text::{complain, flush, leading_fraction, leading_int, put};
use crate::{Step, Stop, uri};

/// Digits after the point in `--precision`, and what else there is.
const PRECISION_DEFAULT: u8 = 3;
const PRECISION_MAX: i32 = 4;
const THREADS_MAX: i32 = 500;
const DATA_BYTES_MAX: i32 = 1 << 30;

/// What the command line says.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// Where and as whom to connect.
    pub(super) target: ClientOptions,
    pub(super) clients: usize,
    pub(super) requests: u64,
    /// Bytes of a value in the standard tests.
    pub(super) data_bytes: usize,
    pub(super) keep_alive: bool,
    pub(super) pipeline: u32,
    /// Random numbers are below this (`-r`).
    pub(super) keyspace: Option<u64>,
    pub(super) quiet: bool,
    pub(super) csv: bool,
    pub(super) forever: bool,
    pub(super) idle: bool,
    /// In lower case (`-t`).
    pub(super) tests: Option<Vec<String>>,
    pub(super) stdin: bool,
    /// Significant digits of the histogram.
    pub(super) precision: u8,
    /// 0 when not asked for, which is one thread.
    pub(super) threads: usize,
    pub(super) resp3: bool,
    pub(super) tracking: bool,
    /// Requests a second, sent whether or not earlier ones were answered.
    pub(super) rps: Option<f64>,
    /// Puts the server's processor time into the short forms too.
    pub(super) cpu: bool,
}

impl Options {
    fn new() -> Options {
        Options {
            target: ClientOptions::new(false),
            clients: 50,
            requests: 100_000,
            data_bytes: 3,
            keep_alive: true,
            pipeline: 1,
            keyspace: None,
            quiet: false,
            csv: false,
            forever: false,
            idle: false,
            tests: None,
            stdin: false,
            precision: PRECISION_DEFAULT,
            threads: 0,
            resp3: false,
            tracking: false,
            rps: None,
            cpu: false,
        }
    }

    /// Where to connect.
    pub(super) fn address(&self) -> Address {
        self.target.address(false)
    }

    /// The commands that open each connection.
    pub(super) fn greeting(&self) -> Vec<Vec<Vec<u8>>> {
        let mut greeting = self.greeting_of_control();
        if self.tracking {
            greeting.push(words(&["CLIENT", "TRACKING", "on"]));
        }
        if self.target.db != 0 {
            greeting.push(words(&["SELECT", &self.target.db.to_string()]));
        }
        if self.resp3 {
            greeting.push(words(&["HELLO", "3"]));
        }
        greeting
    }

    /// The commands that open a connection which only asks about the server.
    pub(super) fn greeting_of_control(&self) -> Vec<Vec<Vec<u8>>> {
        let Some(auth) = &self.target.auth else { return Vec::new() };
        let mut command = vec![b"AUTH".to_vec()];
        command.extend(self.target.user.clone());
        command.push(auth.clone());
        vec![command]
    }
}

fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// Reads the command line: the options, and the words of a command of the user's own.
pub(super) fn parse(args: &[OsString]) -> Step<(Options, Vec<Vec<u8>>)> {
    let mut options = Options::new();
    let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    let mut at = 0;
    while let Some(&arg) = args.get(at) {
        if take_flag(&mut options, arg)? {
            at += 1;
        } else if let Some(value) = args.get(at + 1)
            && take_pair(&mut options, arg, value)?
        {
            at += 2;
        } else if arg.starts_with(b"-") {
            return Err(refused(arg));
        } else {
            break;
        }
    }
    Ok((options, args[at..].iter().map(|arg| arg.to_vec()).collect()))
}

fn refused(arg: &[u8]) -> Stop {
    let arg = String::from_utf8_lossy(arg);
    let text = format!("Invalid option \"{arg}\" or option argument missing\n\n");
    // Like the usage itself, it goes to standard output: that is where scripts look.
    match put(text + &usage::text()).and_then(|()| flush()) {
        Ok(()) => Stop::Exit(1),
        Err(stop) => stop,
    }
}

fn shown(text: &str) -> Stop {
    match put(text).and_then(|()| flush()) {
        Ok(()) => Stop::Exit(0),
        Err(stop) => stop,
    }
}

/// Takes an option without a value; false when `arg` is none.
fn take_flag(options: &mut Options, arg: &[u8]) -> Step<bool> {
    match arg {
        b"-v" | b"--version" => {
            let line = format!("redis-benchmark {REDIS_VERSION} (tandem {TANDEM_VERSION})\n");
            return Err(shown(&line));
        }
        b"--help" => return Err(shown(&usage::text())),
        b"-x" => options.stdin = true,
        b"-3" => options.resp3 = true,
        b"-q" => options.quiet = true,
        b"--csv" => options.csv = true,
        b"-l" => options.forever = true,
        b"-I" => options.idle = true,
        b"-e" => complain(
            "WARNING: -e option has no effect. We now immediately exit on error to avoid false \
             results.",
        ),
        b"--enable-tracking" => options.tracking = true,
        b"--cpu" => options.cpu = true,
        b"--cluster" => {
            complain("This load generator does not know clusters: name the node with -h and -p");
            return Err(Stop::Exit(1));
        }
        _ => return Ok(options.target.tls.take_flag(arg)),
    }
    Ok(true)
}

/// Takes an option and its value; false when `arg` is none, or when the value will not do.
fn take_pair(options: &mut Options, arg: &[u8], value: &[u8]) -> Step<bool> {
    let number = leading_int(value);
    let at_least = |least: i32| number.max(least);
    match arg {
        b"-h" => options.target.host = String::from_utf8_lossy(value).into_owned(),
        b"-p" => options.target.port = number,
        b"-s" => options.target.socket = Some(PathBuf::from(OsString::from_vec(value.to_vec()))),
        b"-a" => options.target.auth = Some(value.to_vec()),
        b"--user" => options.target.user = Some(value.to_vec()),
        b"-u" => uri::apply(value, &mut options.target).map_err(|text| {
            complain(text);
            Stop::Exit(1)
        })?,
        b"--dbnum" => options.target.db = number,
        b"-c" => options.clients = at_least(1) as usize,
        b"-n" if number < 1 => {
            complain("The number of requests (-n) must be at least 1");
            return Err(Stop::Exit(1));
        }
        b"-n" => options.requests = at_least(1) as u64,
        b"-k" => options.keep_alive = number != 0,
        b"-d" => options.data_bytes = number.clamp(1, DATA_BYTES_MAX) as usize,
        b"-P" => options.pipeline = at_least(1) as u32,
        b"-r" => match value.strip_prefix(b"-").unwrap_or(value).first() {
            Some(b'0'..=b'9') | None => options.keyspace = Some(at_least(0) as u64),
            Some(_) if !value.starts_with(b"-") => options.keyspace = Some(at_least(0) as u64),
            Some(_) => return Ok(false),
        },
        b"-t" => {
            let names = String::from_utf8_lossy(value).to_lowercase();
            options.tests = Some(names.split(',').map(str::to_owned).collect());
        }
        b"--precision" if number < 0 => options.precision = PRECISION_DEFAULT,
        b"--precision" => options.precision = number.clamp(1, PRECISION_MAX) as u8,
        b"--threads" => {
            if number > THREADS_MAX {
                complain(format!("WARNING: Too many threads, limiting threads to {THREADS_MAX}."));
            }
            options.threads = number.clamp(0, THREADS_MAX) as usize;
        }
        b"--rps" => {
            let rps = leading_fraction(value);
            if !(rps > 0.0 && rps.is_finite()) {
                return Ok(false);
            }
            options.rps = Some(rps);
        }
        _ => return Ok(options.target.tls.take_pair(arg, value)),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Step<(Options, Vec<Vec<u8>>)> {
        parse(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_end_where_a_command_begins() {
        let (options, command) =
            parsed(&["-n", "7", "-P", "0", "-t", "SET,get", "--rps", "10.5", "incr", "-n"])
                .expect("it parses");
        assert_eq!((options.requests, options.pipeline), (7, 1));
        assert_eq!(options.tests, Some(vec!["set".to_owned(), "get".to_owned()]));
        assert_eq!(options.rps, Some(10.5));
        assert_eq!(command, [b"incr".to_vec(), b"-n".to_vec()]);
    }

    #[test]
    fn what_opens_a_connection_depends_on_the_options() {
        let args = ["-a", "p", "--user", "u", "--dbnum", "3", "-3", "--enable-tracking"];
        let (options, _) = parsed(&args).expect("it parses");
        let shown: Vec<String> = options
            .greeting()
            .iter()
            .map(|words| String::from_utf8_lossy(&words.join(&b' ')).into_owned())
            .collect();
        assert_eq!(shown, ["AUTH u p", "CLIENT TRACKING on", "SELECT 3", "HELLO 3"]);
        assert_eq!(options.greeting_of_control().len(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for args in [
            &["-n"][..],
            &["-n", "0"],
            &["-n", "-3"],
            &["-n", "abc"],
            &["--nosuch"],
            &["-r", "-x"],
            &["--rps", "0"],
            &["--cluster"],
        ] {
            assert!(matches!(parsed(args), Err(Stop::Exit(1))), "{args:?}");
        }
        let (options, _) = parsed(&["--precision", "9", "-d", "-4", "-c", "0"]).expect("clamped");
        assert_eq!((options.precision, options.data_bytes, options.clients), (4, 1, 1));
    }
}
