//! Every check and chore of the project, behind one door: `cargo xtask NAME`.
//!
//! ```text
//! ci       everything that must hold, in order, with times: what CI runs and what we run
//! tidy     the rules that no compiler knows: floors, banned calls, lengths, links
//! test     unit and integration tests (nextest where it is installed, else cargo test)
//! compat   the command scripts alone, against stock Redis
//! peer     the tests of links with other servers than Redis at the other end
//! soak     master, chain and cuts under load, as long as asked for
//! fuzz     mutated input for everything that reads foreign bytes
//! sim      worlds of servers under virtual time, each from a seed
//! suite    the claimed files of Redis's own test suite, against our binary
//! readme   the README's commands, in a fresh clone
//! guide    the commands of the guide's pages, and what they print
//! counts   instructions of the commonest requests, against the record
//! install  the program, its names, manual pages, completions, a service
//! bench    measurements beside stock Redis, into docs/performance.md
//! ```
//! Logic lives here in Rust; `.ci/run` only installs what is needed and calls `ci`.
#![forbid(unsafe_code)]

mod bench;
mod ci;
mod counts;
mod guide;
mod install;
mod peer;
mod readme;
mod run;
mod seeds;
mod suite;
mod test;
mod tidy;

use std::process::ExitCode;

/// What every chore ends in: nothing, or the text to print before failing.
type Outcome = Result<(), String>;

const USAGE: &str = "usage: cargo xtask NAME [options]

  ci [--from STEP] [--only STEP]   all checks in order; steps: see its output
  tidy                             floors, banned calls, lengths, links
  test [FILTER...]                 unit and integration tests
  compat [FILTER...]               command scripts against stock Redis
  peer                             tests of links with other servers in Redis's place
  soak [--seconds N] [--seed N]    a long run under faults (default 600 seconds)
  fuzz [TARGET] [--seconds N]      mutated input, one target or all
  sim [--seeds N] [--start S]      simulated worlds; a failing seed replays exactly
      --seed K                     that world alone, every event printed
      --plant NAME                 with a planted bug, until it is found
  suite [FILE...]                  Redis's own suite, claimed files or these
      --stock                      against stock redis-server: tries the runner itself
      --source DIR                 an unpacked Redis source tree instead of Debian's package
      --log DIR                    keep each file's whole output there
      --all-cases                  run excepted cases too
  readme                           the README's commands in a fresh clone
  guide [PAGE...]                  the guide's commands, and what they print
  counts [MEASURE...] [--update]   instructions of the commonest requests, against the record
  install --prefix DIR             the program, its names, manual pages, completions
      --service PORT --root DIR    and the service of a port, below a root
      --no-redis-names             without redis-server, redis-cli …
  bench [MEASURE...]               measure beside stock Redis; --smoke for a short trial run
";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let name = args.next().and_then(|n| n.into_string().ok()).unwrap_or_default();
    let rest = lexopt::Parser::from_args(args);
    let outcome = match name.as_str() {
        "ci" => ci::main(rest),
        "tidy" => tidy::main(),
        "test" => test::main(rest),
        "compat" => test::compat(rest),
        "peer" => peer::main(rest),
        "soak" => test::soak(rest),
        "fuzz" => seeds::fuzz(rest),
        "sim" => seeds::sim(rest),
        "suite" => suite::main(rest),
        "readme" => readme::main(),
        "guide" => guide::main(rest),
        "install" => install::main(rest),
        "counts" => counts::main(rest),
        "bench" => bench::main(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => Err(USAGE.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            if !why.is_empty() {
                eprintln!("{}", why.trim_end());
            }
            ExitCode::FAILURE
        }
    }
}
