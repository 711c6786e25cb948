//! `cargo xtask ci`: every check in order, each with its time. A failing step does not hide the
//! ones after it: all run, the closing lines say which failed and end with what those had to say,
//! and the last one counts.
//!
//! Each step is a process of its own (`ci --step NAME`, for nobody else), so that all it writes,
//! and all that the programs write which it starts, goes through one pipe and its end is known.

use std::time::Instant;

use crate::run::{cargo, check, tee_merged};
use crate::test::{Counts, said_counts, verdict};
use crate::{Outcome, counts, guide, install, peer, readme, seeds, suite, test, tidy};

/// A step: its name, what it holds, and the work. A step that counts nothing of its own is
/// itself one check.
struct Step {
    name: &'static str,
    what: &'static str,
    work: fn() -> Result<Counts, String>,
}

const STEPS: &[Step] = &[
    Step { name: "fmt", what: "formatting", work: || one(fmt()) },
    Step { name: "clippy", what: "lints, all of them errors", work: || one(clippy()) },
    Step { name: "tidy", what: "floors, banned calls, lengths, links", work: || one(tidy::main()) },
    Step { name: "doc", what: "the documentation builds without a warning", work: || one(doc()) },
    Step { name: "test", what: "unit and integration tests", work: test::all },
    Step { name: "peer", what: "links to servers of other families", work: peer::all },
    Step { name: "sim", what: "simulated worlds, each from a seed", work: || one(seeds::sim_ci()) },
    Step { name: "fuzz", what: "a minute of each fuzz target", work: seeds::fuzz_all },
    Step { name: "suite", what: "claimed files of Redis's own suite", work: suite::claimed },
    Step { name: "counts", what: "instructions of the commonest requests", work: counts::ci },
    Step { name: "install", what: "an installation, tried", work: install::ci },
    Step { name: "guide", what: "the guide's commands", work: guide::ci },
    Step { name: "readme", what: "the README's commands in a clone", work: || one(readme::main()) },
];

fn one(outcome: Outcome) -> Result<Counts, String> {
    outcome.map(|()| Counts { passed: 1, failed: 0 })
}

fn fmt() -> Outcome {
    check(&mut cargo(&["fmt", "--all", "--check"]))
}

fn clippy() -> Outcome {
    check(&mut cargo(&[
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn doc() -> Outcome {
    let mut doc =
        cargo(&["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"]);
    check(doc.env("RUSTDOCFLAGS", "-D warnings"))
}

pub(crate) fn main(mut args: lexopt::Parser) -> Outcome {
    let (mut from, mut only, mut itself) = (None, None, None);
    while let Some(arg) = args.next().map_err(|e| e.to_string())? {
        let step = match arg {
            lexopt::Arg::Long("from") => &mut from,
            lexopt::Arg::Long("only") => &mut only,
            lexopt::Arg::Long("step") => &mut itself,
            other => return Err(other.unexpected().to_string()),
        };
        let name = args.value().map_err(|e| e.to_string())?.to_string_lossy().into_owned();
        if !STEPS.iter().any(|s| s.name == name) {
            let names: Vec<_> = STEPS.iter().map(|s| s.name).collect();
            return Err(format!("no step {name}; there are {}", names.join(", ")));
        }
        *step = Some(name);
    }
    if let Some(step) = STEPS.iter().find(|s| itself.as_deref() == Some(s.name)) {
        return verdict((step.work)()?);
    }
    let chosen = STEPS
        .iter()
        .skip_while(|s| from.as_ref().is_some_and(|f| f != s.name))
        .filter(|s| only.as_ref().is_none_or(|o| o == s.name));
    run_all(chosen)
}

/// How many of the last lines of a failed step stand again at the end.
const LINES_REPEATED: usize = 40;

/// What a step came to.
struct Done {
    counts: Counts,
    /// The end of what it wrote.
    end: String,
}

fn run_all<'a>(steps: impl Iterator<Item = &'a Step>) -> Outcome {
    let start = Instant::now();
    let mut total = Counts::default();
    let (mut table, mut ends) = (Vec::new(), Vec::new());
    for step in steps {
        println!("==== {}: {}", step.name, step.what);
        let begun = Instant::now();
        let Done { counts, end } = run_one(step)?;
        total.passed += counts.passed;
        total.failed += counts.failed;
        let verdict = if counts.failed == 0 { "ok" } else { "FAILED" };
        let seconds = begun.elapsed().as_secs_f64();
        table.push(format!("{:8} {verdict:6} {seconds:8.1} s", step.name));
        if counts.failed > 0 {
            ends.push(format!("\n==== {} FAILED, and this is how it ended:\n{end}", step.name));
        }
    }
    println!("\n{}\n{:15} {:8.1} s", table.join("\n"), "all", start.elapsed().as_secs_f64());
    println!("{}", ends.concat());
    println!("{} passed, {} failed", total.passed, total.failed);
    if total.failed == 0 { Ok(()) } else { Err(String::new()) }
}

fn run_one(step: &Step) -> Result<Done, String> {
    // By this name it is found even when a step has built another in its place.
    let mut command = crate::run::command("/proc/self/exe");
    let (success, text) = tee_merged(command.args(["ci", "--step", step.name]))?;
    let lines: Vec<&str> = text.lines().collect();
    let counts = match lines.iter().rev().find(|l| !l.is_empty()).and_then(|l| said_counts(l)) {
        Some(counts) if success == (counts.failed == 0) => counts,
        // It broke off, with an error or without a word.
        _ => Counts { passed: 0, failed: 1 },
    };
    Ok(Done { counts, end: lines[lines.len().saturating_sub(LINES_REPEATED)..].join("\n") })
}
