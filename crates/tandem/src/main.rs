//! The multi-call binary: what it does is chosen by the name it is started under, or by its
//! first argument.
//!
//! | name | subcommand | what |
//! |---|---|---|
//! | `tandem-server`, `redis-server` | `server` | the server |
//! | `tandem-cli`, `redis-cli` | `cli` | the client |
//! | `tandem-benchmark`, `redis-benchmark` | `benchmark` | the load generator |
//! | `tandem-check-rdb`, `redis-check-rdb` | `check-rdb` | looks an RDB file over |
//! | | `demo` | a master and its replicas on this machine |

mod check_rdb;
mod memory;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

fn main() {
    let args: Vec<OsString> = std::env::args_os().collect();
    std::process::exit(run(&args));
}

fn run(args: &[OsString]) -> i32 {
    let name = args.first().map(|name| Path::new(name).file_name().unwrap_or_default());
    let name = name.and_then(|name| name.to_str()).unwrap_or_default();
    match name {
        // As a Sentinel the server says that it is none.
        "tandem-server" | "redis-server" | "tandem-sentinel" | "redis-sentinel" => {
            return tandem_server::run(args, memory::JEMALLOC);
        }
        "tandem-cli" | "redis-cli" => return tandem_cli::run(&args[1..]),
        "tandem-benchmark" | "redis-benchmark" => return tandem_cli::benchmark::run(&args[1..]),
        "tandem-check-rdb" | "redis-check-rdb" => return look_over(name, &texts(&args[1..])),
        _ => {}
    }
    let Some(subcommand) = args.get(1) else { return usage(1) };
    match subcommand.to_str().unwrap_or_default() {
        "server" => {
            let mut rest = vec![OsString::from("tandem-server")];
            rest.extend_from_slice(&args[2..]);
            tandem_server::run(&rest, memory::JEMALLOC)
        }
        "cli" => tandem_cli::run(&args[2..]),
        "benchmark" => tandem_cli::benchmark::run(&args[2..]),
        "check-rdb" => look_over("tandem check-rdb", &texts(&args[2..])),
        "demo" => tandem_cli::demo::run(&args[2..]),
        "help" | "--help" | "-h" => usage(0),
        "--version" | "-v" | "-V" => {
            let _ = writeln!(std::io::stdout(), "tandem {}", tandem_base::TANDEM_VERSION);
            0
        }
        _ => usage(1),
    }
}

/// `check-rdb`: whether a file is sound, or with --stats what is in it.
fn look_over(program: &str, args: &[String]) -> i32 {
    if args.first().is_some_and(|arg| arg == "--help" || arg == "-h") {
        let _ = std::io::stdout().write_all(CHECK_RDB_HELP.as_bytes());
        return 0;
    }
    match args.iter().any(|arg| arg == "--stats") {
        true => tandem_cli::survey::run(program, args),
        false => check_rdb::run(program, args),
    }
}

const CHECK_RDB_HELP: &str = "\
Usage: tandem check-rdb FILE
       tandem check-rdb --stats [--json] [--top COUNT] FILE

Looks an RDB file over: its structure, every value, its checksum. Exits with 0 when it is sound.
  --stats      what is in it: keys by database, type and encoding, sizes, expiries, largest keys
  --json       the same for programs
  --top COUNT  how many of the largest keys
";

fn texts(args: &[OsString]) -> Vec<String> {
    args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect()
}

fn usage(code: i32) -> i32 {
    const TEXT: &str = "\
Usage: tandem SUBCOMMAND [argument ...]

  server      a server: tandem server [/path/to/redis.conf] [--option value ...]
  cli         a client: tandem cli [-h host] [-p port] [command ...]
  benchmark   a load generator: tandem benchmark [-n requests] [-t tests] [command ...]
  check-rdb   looks an RDB file over: tandem check-rdb FILE
              says what is in it: tandem check-rdb --stats [--json] [--top COUNT] FILE
  demo        a master and its replicas on this machine, to watch

Each is also what the binary does when it is started under the name tandem-server,
redis-server, tandem-cli, redis-cli, tandem-benchmark, redis-benchmark, tandem-check-rdb or
redis-check-rdb.
";
    let _ = if code == 0 {
        std::io::stdout().write_all(TEXT.as_bytes())
    } else {
        std::io::stderr().write_all(TEXT.as_bytes())
    };
    code
}
