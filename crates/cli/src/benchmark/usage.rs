//! What `--help` prints.

use crate::usage::{Row, TLS};

/// Whom to connect to, and what is measured.
const MEASURING: &[Row] = &[
    ("-h <host>", "Name or address of the server (127.0.0.1)."),
    ("-p <port>", "Port of the server (6379)."),
    ("-s <socket>", "Path of the server's unix socket; replaces host and port."),
    ("-a <password>", "Password."),
    ("--user <name>", "Name for AUTH with name and password; needs -a."),
    ("-u <uri>", "redis://user:password@host:port/db; rediss:// with TLS"),
    ("-c <clients>", "Connections at the same time (50)."),
    ("-n <requests>", "Requests in all (100000)."),
    ("-d <bytes>", "Length of the values that are written (3)."),
    ("--dbnum <db>", "Database to select (0)."),
    ("-3", "Speak RESP3."),
    ("--threads <n>", "Share the connections out to this many threads."),
    ("--enable-tracking", "Send CLIENT TRACKING on first."),
    ("-k <0|1>", "1 keeps connections, 0 opens one for each batch (1)."),
    ("-r <n>", "Replace __rand_int__ by twelve digits below <n>, anew in every request;"),
    ("", "without it all requests of a test have the same key."),
    ("-P <n>", "Send <n> requests at once and wait for all replies (1)."),
    ("--rps <n>", "Send <n> requests a second, answered or not, and count each latency from"),
    ("", "the moment at which the request was due."),
    ("-q", "Only the rate and the median of each test."),
    ("--precision <n>", "Significant digits that latencies are kept with (3, at most 4)."),
    ("--csv", "One line of CSV for each test."),
    ("--cpu", "The server's processor time in -q and --csv too."),
    ("-l", "Begin again after the last test, for ever."),
    ("-t <tests>", "Only these tests, by name, with commas between them."),
    ("-I", "Open the connections and only hold them."),
    ("-x", "Take the last argument of the command from standard input."),
    ("-e", "Has no effect: errors always end the program."),
];

/// About the program itself.
const ABOUT: &[Row] =
    &[("--help", "Show this and end."), ("--version", "Show the version and end.")];

/// The whole text.
pub(super) fn text() -> String {
    let mut out = "Usage: redis-benchmark [options] [command [argument ...]]\n\n".to_owned();
    for (option, meaning) in MEASURING.iter().chain(TLS).chain(ABOUT) {
        out.push_str(&format!("  {option:<26} {meaning}\n"));
    }
    out.push_str(
        "\nWithout a command the standard tests run one after the other: ping_inline,\n\
         ping_mbulk (ping is both), set, get, incr, lpush, rpush, lpop, rpop, sadd, hset, spop,\n\
         zadd, zpopmin, lrange_100, lrange_300, lrange_500, lrange_600 (lrange is all four), mset.\n\n\
         Examples:\n\
         \x20 redis-benchmark -t set,get -n 1000000 -r 100000 -P 16\n\
         \x20 redis-benchmark -t get --rps 20000 -c 200 -n 600000\n\
         \x20 redis-benchmark -r 10000 lpush list __rand_int__\n\
         \x20 redis-benchmark --csv -q -t ping\n",
    );
    out
}
