//! The command line of a server: a file, standard input, and options that read as its lines.
//!
//! ```text
//! redis-server [/path/to/redis.conf] [--option value ...] [-]
//! ```
//!
//! Options become lines that are read after the file: `--port 6380` is `port "6380"`. The
//! rules about where an option ends are Redis 7's, with the exceptions that it makes for old
//! scripts.

use super::words::{push_quoted, split_words};
use tandem_base::{REDIS_VERSION, TANDEM_VERSION};

/// What the process shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Serve.
    Serve,
    /// Print [`version_line`] and exit with status 0.
    Version,
    /// Print [`usage`] on standard error and exit with status 1.
    Help,
    /// Refuse: the memory test of Redis is not here. Exit with status 1.
    TestMemory,
    /// Refuse: the system check of Redis is not here. Exit with status 1.
    CheckSystem,
    /// Refuse: this is no Sentinel. Exit with status 1.
    Sentinel,
}

/// A command line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// What to do; the rest counts for [`Action::Serve`] only.
    pub action: Action,
    /// The configuration file, as given.
    pub file: Option<Vec<u8>>,
    /// Whether to read more configuration from standard input.
    pub stdin: bool,
    /// The options, as lines of a configuration file.
    pub options: Vec<u8>,
}

/// What to print when a memory test is asked for.
pub const USAGE_TEST_MEMORY: &str =
    "The memory test is not part of this server; use memtester or memtest86+.\n";

/// What to print when a check of the system is asked for.
pub const NO_SYSTEM_CHECK: &str = "The check of the system is not part of this server; see `redis-server --check-system` of \
     Redis.\n";

/// What to print when a Sentinel is asked for, by `--sentinel` or by the name of the program.
pub const NO_SENTINEL: &str = "Sentinel is not part of this server; run the redis-sentinel of Redis, which watches this \
     server as it watches Redis.\n";

impl CommandLine {
    /// Understands a command line; `args[0]` is the name of the program.
    pub fn parse(args: &[&[u8]]) -> CommandLine {
        let program = args.first().copied().unwrap_or_default();
        let program = program.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let rest = args.get(1..).unwrap_or_default();
        let sentinel = memchr::memmem::find(program, b"redis-sentinel").is_some()
            || memchr::memmem::find(program, b"tandem-sentinel").is_some()
            || rest.contains(&b"--sentinel".as_slice());
        let action = match rest.first().copied().unwrap_or_default() {
            b"-v" | b"--version" => Action::Version,
            b"-h" | b"--help" => Action::Help,
            b"--test-memory" => Action::TestMemory,
            b"--check-system" => Action::CheckSystem,
            _ if sentinel => Action::Sentinel,
            _ => Action::Serve,
        };
        let mut command_line =
            CommandLine { action, file: None, stdin: false, options: Vec::new() };
        let Some(&first) = rest.first() else { return command_line };
        if action != Action::Serve {
            return command_line;
        }
        if first.starts_with(b"-") {
            command_line.read_options(rest, true);
        } else {
            command_line.file = Some(first.into());
            command_line.read_options(&rest[1..], false);
        }
        command_line
    }

    /// Whether nothing at all is configured: no file, no standard input, no option.
    pub fn is_empty(&self) -> bool {
        self.file.is_none() && !self.stdin && self.options.is_empty()
    }

    fn read_options(&mut self, args: &[&[u8]], from_the_first: bool) {
        // An option takes at least one value, which may look like an option.
        let mut has_value = true;
        for (index, &arg) in args.iter().enumerate() {
            let next = args.get(index + 1);
            let at_an_end = (index == 0 && from_the_first) || next.is_none();
            if arg == b"-" && at_an_end {
                self.stdin = true;
                continue;
            }
            let Some(option) = arg.strip_prefix(b"--").filter(|_| has_value) else {
                push_quoted(&mut self.options, arg);
                self.options.push(b' ');
                has_value = true;
                continue;
            };
            if !self.options.is_empty() {
                self.options.push(b'\n');
            }
            self.options.extend(option);
            self.options.push(b' ');
            has_value = self.option_is_complete(arg, next.copied());
        }
    }

    /// Whether an option needs no value from the next argument: it brings its own
    /// (`"--port 6380"`), or it may do without.
    fn option_is_complete(&mut self, arg: &[u8], next: Option<&[u8]>) -> bool {
        let is_alone = split_words(arg).is_some_and(|words| words.len() == 1);
        if !is_alone {
            return true;
        }
        let before_an_option = next.is_some_and(|next| next.starts_with(b"--"));
        if arg.eq_ignore_ascii_case(b"--save") && (before_an_option || next.is_none()) {
            // Scripts that build a command line from an empty list leave `--save` so.
            self.options.extend(b"\"\"");
            return before_an_option;
        }
        false
    }
}

/// What `--version` prints. The part before `tandem` is in Redis's form, which scripts read.
pub fn version_line() -> String {
    let bits = usize::BITS;
    format!(
        "Redis server v={REDIS_VERSION} sha=00000000:0 malloc=jemalloc bits={bits} \
         build=tandem-{TANDEM_VERSION}\n"
    )
}

/// What `--help` prints; `program` is the name to show.
pub fn usage(program: &str) -> String {
    format!(
        "Usage: {program} [/path/to/redis.conf] [options] [-]\n       \
                {program} - (read the configuration from standard input)\n       \
                {program} -v or --version\n       \
                {program} -h or --help\n\n\
         Examples:\n       \
                {program} (defaults, port 6379)\n       \
                {program} /etc/redis/6379.conf\n       \
                {program} --port 7777\n       \
                {program} --port 7778 --replicaof 127.0.0.1 7777\n       \
                {program} /etc/redis/6379.conf --loglevel verbose\n       \
                echo 'maxmemory 128mb' | {program} -\n\n\
         Every directive of redis.conf is an option, too.\n"
    )
}
