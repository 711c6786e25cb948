//! What `--help` prints.

use crate::options::version_line;

/// An option and what it does; without an option, the line goes on from the one before.
pub(crate) type Row = (&'static str, &'static str);

/// How TLS is spoken, for each program here that connects.
pub(crate) const TLS: &[Row] = &[
    ("--tls", "Speak TLS."),
    ("--sni <host>", "Name to ask the server for in the handshake."),
    ("--cacert <file>", "Whom to trust: a file of certificates; else whom the system trusts."),
    ("--cacertdir <folder>", "The same: all certificates of a folder."),
    ("--insecure", "Trust everyone."),
    ("--cert <file>", "The certificate to show to the server."),
    ("--key <file>", "Its private key."),
    ("--tls-ciphers <list>", "Suites of TLS 1.2, by OpenSSL's names, with colons between them."),
    ("--tls-ciphersuites <list>", "Suites of TLS 1.3."),
];

/// Whom to connect to, and how a command is sent.
const SENDING: &[Row] = &[
    ("-h <host>", "Name or address of the server (127.0.0.1)."),
    ("-p <port>", "Port of the server (6379)."),
    ("-s <socket>", "Path of the server's unix socket; replaces host and port."),
    ("-a <password>", "Password; REDISCLI_AUTH in the environment is safer."),
    ("--user <name>", "Name for AUTH with name and password; needs -a."),
    ("--pass <password>", "The same as -a."),
    ("--askpass", "Ask for the password without showing it."),
    ("-u <uri>", "redis://user:password@host:port/db; rediss:// with TLS"),
    ("-r <count>", "Send the command this many times; -1 for ever."),
    ("-i <seconds>", "Pause between repetitions, between SCANs and between --stat lines."),
    ("-n <db>", "Database to select."),
    ("-2", "Speak RESP2."),
    ("-3", "Speak RESP3."),
    ("-x", "Take the last argument from standard input."),
    ("-X <tag>", "Take the argument equal to <tag> from standard input."),
    ("-d <text>", "Between the elements of a raw reply (a line feed)."),
    ("-D <text>", "After each raw reply (a line feed)."),
    ("-c", "Follow the redirections of a cluster."),
    ("-e", "End with an error code when the command fails."),
];

/// How replies are shown, and what else there is to do.
const SHOWING: &[Row] = &[
    ("--raw", "Show replies as plain bytes; so it is when the output is no terminal."),
    ("--no-raw", "Show replies with types and quotes even so."),
    ("--quoted-input", "Arguments are quoted strings with escapes."),
    ("--csv", "Show replies as CSV."),
    ("--json", "Show replies as JSON; prefers RESP3."),
    ("--quoted-json", "The same, with strings escaped to ASCII."),
    ("--show-pushes <yn>", "Show what the server pushes; yes on a terminal."),
    ("--stat", "Show a line of figures every second."),
    ("--latency", "Measure the time of a PING, for ever or, without a terminal, once."),
    ("--latency-history", "The same, starting anew every 15 seconds (-i changes it)."),
    ("--latency-dist", "Show it as a spectrum of colours, a line a second (-i changes it)."),
    ("--mono", "The same in greys."),
    ("--intrinsic-latency <s>", "Measure for <s> seconds how long this machine stalls us."),
    ("--replica", "Act as a replica and show what the master sends."),
    ("--rdb <file>", "Fetch the server's data set as an RDB file; - is standard output."),
    ("--functions-rdb <file>", "The same, with the functions only."),
    ("--pipe", "Send raw protocol from standard input and count the replies."),
    ("--pipe-timeout <s>", "Give up after so many seconds without a reply (30; 0: never)."),
    ("--bigkeys", "Search for the keys with most elements."),
    ("--memkeys", "Search for the keys with most memory."),
    ("--memkeys-samples <n>", "The same, looking at <n> elements of each key."),
    ("--hotkeys", "Search for the keys that are used most; needs an LFU policy."),
    ("--scan", "List the keys, by SCAN."),
    ("--pattern <glob>", "Only keys that match."),
    ("--quoted-pattern <glob>", "The same, as a quoted string."),
    ("--count <n>", "How many keys a SCAN looks at."),
    ("--lru-test <keys>", "Load the server as a cache of so many keys and count the hits."),
    ("--topology", "Draw the replication tree that the server belongs to, with each lag;"),
    ("", "again every second on a terminal, once elsewhere (-r, -i, --json)."),
    ("--eval <file>", "Run the Lua script in <file>: keys, a comma, arguments."),
    ("-t <seconds>", "Give up connecting after so long."),
    ("--verbose", "Has no effect."),
    ("--no-auth-warning", "Do not warn about a password on the command line."),
    ("--help", "Show this and end."),
    ("--version", "Show the version and end."),
];

/// The whole text.
pub(crate) fn text() -> String {
    let mut out = version_line();
    out.push_str("\nUsage: redis-cli [options] [command [argument ...]]\n\n");
    for (option, meaning) in SENDING.iter().chain(TLS).chain(SHOWING) {
        out.push_str(&format!("  {option:<25} {meaning}\n"));
    }
    out.push_str(
        "\nWithout a command, commands are read from standard input: from a terminal with\n\
         history and hints (type \"help\" there), from a pipe line by line.\n\n\
         Examples:\n\
         \x20 redis-cli -p 7000 set greeting hello\n\
         \x20 redis-cli -x set picture < picture.png\n\
         \x20 redis-cli -r 5 -i 1 info replication\n\
         \x20 redis-cli --scan --pattern 'user:*'\n\
         \x20 redis-cli --eval script.lua key1 key2 , argument1\n",
    );
    out
}
