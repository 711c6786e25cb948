//! The tests that cargo knows: unit tests beside the code, integration tests with real
//! processes. nextest runs them where it is installed (one process a test, a limit on each);
//! `cargo test` runs the same ones where it is not.

use crate::Outcome;
use crate::run::{build_tandem, cargo, check, tee, words};

/// Tests that passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

/// Runs all tests of the workspace.
pub(crate) fn all() -> Result<Counts, String> {
    counted(&["--workspace"])
}

pub(crate) fn main(args: lexopt::Parser) -> Outcome {
    let filters = words(args)?;
    let mut extra = vec!["--workspace"];
    extra.extend(filters.iter().map(String::as_str));
    verdict(counted(&extra)?)
}

/// The command scripts alone.
pub(crate) fn compat(args: lexopt::Parser) -> Outcome {
    let filters = words(args)?;
    let mut extra = vec!["--package", "tandem", "--test", "it"];
    if filters.is_empty() {
        extra.push("compat::");
    }
    extra.extend(filters.iter().map(String::as_str));
    verdict(counted(&extra)?)
}

/// The long run: builds our binary as users do, and lets the soak tests go on for longer.
pub(crate) fn soak(mut args: lexopt::Parser) -> Outcome {
    let (mut seconds, mut seed, mut filter) = (600_u64, 1_u64, "soak::".to_string());
    while let Some(arg) = args.next().map_err(|e| e.to_string())? {
        use lexopt::prelude::{Long, Value};
        match arg {
            Long("seconds") => seconds = number_value(&mut args)?,
            Long("seed") => seed = number_value(&mut args)?,
            Value(name) => filter = name.to_string_lossy().into_owned(),
            other => return Err(other.unexpected().to_string()),
        }
    }
    let binary = match std::env::var_os("TANDEM_BIN") {
        Some(path) => path.into(),
        None => build_tandem("release")?,
    };
    // Not through nextest: its limits are for tests that end in seconds.
    let mut test = cargo(&["test", "--quiet", "--package", "tandem", "--test", "it"]);
    test.args(["--profile", "quick", "--", &filter, "--nocapture", "--test-threads", "1"]);
    test.env("TANDEM_SOAK_SECONDS", seconds.to_string());
    test.env("TANDEM_SOAK_SEED", seed.to_string());
    check(test.env("TANDEM_BIN", binary))
}

fn number_value(args: &mut lexopt::Parser) -> Result<u64, String> {
    use lexopt::ValueExt;
    let value = args.value().map_err(|e| e.to_string())?;
    value.parse().map_err(|e| e.to_string())
}

/// Says the counts, as the last line; an error without words when something failed.
pub(crate) fn verdict(counts: Counts) -> Outcome {
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if counts.failed == 0 { Ok(()) } else { Err(String::new()) }
}

/// Reads the line that [`verdict`] says.
pub(crate) fn said_counts(line: &str) -> Option<Counts> {
    let (passed, rest) = line.split_once(" passed, ")?;
    let failed = rest.strip_suffix(" failed")?;
    Some(Counts { passed: passed.parse().ok()?, failed: failed.parse().ok()? })
}

/// Runs the tests that `extra` selects and counts them. A run that breaks off without a count
/// (it did not compile) is an error.
fn counted(extra: &[&str]) -> Result<Counts, String> {
    counted_with(extra, &[])
}

/// The same with `variables` in their environment.
pub(crate) fn counted_with(extra: &[&str], variables: &[(&str, &str)]) -> Result<Counts, String> {
    let variables = variables.iter().copied();
    let nextest = cargo(&["nextest", "--version"]).output().is_ok_and(|o| o.status.success());
    let (success, text) = if nextest {
        let mut run = cargo(&["nextest", "run", "--cargo-profile", "quick", "--no-fail-fast"]);
        tee(run
            .args(["--status-level", "slow", "--final-status-level", "fail"])
            .args(extra)
            .envs(variables))?
    } else {
        println!("(cargo nextest is not installed: cargo test runs the same tests)");
        let mut run = cargo(&["test", "--profile", "quick", "--no-fail-fast"]);
        tee(run.args(extra).envs(variables))?
    };
    if !success {
        println!("{}", why_failed(&text));
    }
    let counts = if nextest { nextest_counts(&text) } else { cargo_counts(&text) };
    match counts {
        Some(counts) if success == (counts.failed == 0) && counts.passed + counts.failed > 0 => {
            Ok(counts)
        }
        _ => Err("the tests did not run to their end".to_string()),
    }
}

/// The panics of a run, each with the lines that follow it, shortly: in the output of the runners
/// they lie far apart.
fn why_failed(text: &str) -> String {
    const PANICS: usize = 8;
    const LINES: usize = 4;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let panics = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.starts_with("thread '") && line.contains(" panicked at "));
    let panics: Vec<usize> = panics.map(|(at, _)| at).collect();
    let mut shown = Vec::new();
    for at in panics.iter().take(PANICS) {
        let message = lines[*at..].iter().take(LINES);
        let is_over =
            |line: &&&str| line.starts_with("note:") || line.starts_with("stack backtrace");
        shown.extend(message.take_while(|line| !is_over(line)).map(|line| format!("  {line}")));
    }
    if panics.len() > PANICS {
        shown.push(format!("  and {} more", panics.len() - PANICS));
    }
    shown.join("\n")
}

/// From `Summary [ 1.2s] 10 tests run: 9 passed (1 slow), 1 failed, 3 skipped`.
fn nextest_counts(text: &str) -> Option<Counts> {
    let line = text.lines().rfind(|l| l.contains("Summary [") && l.contains("run:"))?;
    let (_, counts) = line.split_once("run:")?;
    let of = |word: &str| {
        let part = counts.split(',').find(|p| p.contains(word));
        part.and_then(|p| p.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    let failed: u64 = of(" failed") + of(" timed out") + of(" exec failed");
    Some(Counts { passed: of(" passed"), failed })
}

/// From every `test result: ok. 9 passed; 1 failed; …`.
fn cargo_counts(text: &str) -> Option<Counts> {
    let mut counts = Counts::default();
    let mut seen = false;
    for line in text.lines().filter_map(|l| l.strip_prefix("test result: ")) {
        seen = true;
        let of = |word: &str| {
            let part = line.split([';', '.']).find(|p| p.trim_end().ends_with(word));
            part.and_then(|p| p.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok())
        };
        counts.passed += of("passed")?;
        counts.failed += of("failed")?;
    }
    seen.then_some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_told_without_what_lies_between() {
        let text = "ok\n  thread 'a::b' (7) panicked at x.rs:1:2:\n  why\n  stack backtrace:\n 0: f\n\
                    thread 'c' panicked at y.rs:3:4:\nassertion failed\n  left: 1\n right: 2\nnote: x\n";
        assert_eq!(
            why_failed(text),
            "  thread 'a::b' (7) panicked at x.rs:1:2:\n  why\n  thread 'c' panicked at y.rs:3:4:\n  \
             assertion failed\n  left: 1\n  right: 2"
        );
        assert_eq!(why_failed("fine"), "");
    }

    #[test]
    fn what_is_said_of_counts_is_read_again() {
        assert_eq!(said_counts("12 passed, 3 failed"), Some(Counts { passed: 12, failed: 3 }));
        assert_eq!(said_counts("suite x: 12 passed, 3 failed, 1 excepted"), None);
    }

    #[test]
    fn counts_are_read_from_both_runners() {
        let text = "x\n     Summary [  1.2s] 15 tests run: 12 passed (1 slow), 2 failed, 1 timed out, 3 skipped\n";
        assert_eq!(nextest_counts(text), Some(Counts { passed: 12, failed: 3 }));
        assert_eq!(nextest_counts("error: could not compile"), None);
        let text = "test result: ok. 9 passed; 0 failed; 0 ignored; 0 measured; finished in 1s\n\
                    test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; finished in 1s\n";
        assert_eq!(cargo_counts(text), Some(Counts { passed: 10, failed: 2 }));
        assert_eq!(cargo_counts(""), None);
    }
}
