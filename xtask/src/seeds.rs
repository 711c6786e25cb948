//! Chores that go by a seed: fuzzing everything that reads foreign bytes, and worlds of servers
//! under virtual time. What fails prints its seed, and the seed replays it.

use crate::Outcome;
use crate::run::{cargo, check, output};
use crate::test::Counts;

/// How many worlds CI simulates.
const CI_SIM_SEEDS: &str = "1000";
/// How long CI gives each fuzz target.
const CI_FUZZ_SECONDS: &str = "60";

/// `fuzz [TARGET] [options of the fuzzer]`: one target, or all in turn.
pub(crate) fn fuzz(args: lexopt::Parser) -> Outcome {
    let words = raw(args)?;
    let named = words.first().is_some_and(|w| !w.starts_with('-'));
    let targets = if named { vec![words[0].clone()] } else { fuzz_targets()? };
    let options = if named { &words[1..] } else { &words[..] };
    for target in targets {
        println!("fuzzing {target}");
        check(fuzzer().arg(&target).args(options))?;
    }
    Ok(())
}

/// Every target for as long as CI has; each is one check.
pub(crate) fn fuzz_all() -> Result<Counts, String> {
    let mut counts = Counts::default();
    for target in fuzz_targets()? {
        println!("fuzzing {target} for {CI_FUZZ_SECONDS} s");
        match check(fuzzer().args([&target, "--seconds", CI_FUZZ_SECONDS])) {
            Ok(()) => counts.passed += 1,
            Err(why) => {
                eprintln!("{why}");
                counts.failed += 1;
            }
        }
    }
    Ok(counts)
}

fn fuzzer() -> std::process::Command {
    cargo(&["run", "--quiet", "--package", "tandem-fuzz", "--profile", "quick", "--"])
}

fn fuzz_targets() -> Result<Vec<String>, String> {
    let names: Vec<String> = output(&mut fuzzer())?.lines().map(ToString::to_string).collect();
    if names.is_empty() { Err("the fuzzer has no targets".to_string()) } else { Ok(names) }
}

/// `sim [options of the simulator]`.
pub(crate) fn sim(args: lexopt::Parser) -> Outcome {
    check(simulator().args(raw(args)?))
}

/// The worlds that CI runs.
pub(crate) fn sim_ci() -> Outcome {
    check(simulator().args(["--seeds", CI_SIM_SEEDS]))
}

fn simulator() -> std::process::Command {
    cargo(&["run", "--quiet", "--package", "tandem-sim", "--profile", "quick", "--"])
}

/// Words that another program will read.
fn raw(mut args: lexopt::Parser) -> Result<Vec<String>, String> {
    let rest = args.raw_args().map_err(|e| e.to_string())?;
    Ok(rest.map(|w| w.to_string_lossy().into_owned()).collect())
}
