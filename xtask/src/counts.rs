//! Instructions of the commonest requests, held against a record: `tests/counts.txt`.
//!
//! `crates/counts` sends a measure's requests through the engine, without sockets; callgrind
//! counts its instructions for two numbers of requests, and the difference divided by theirs
//! is the figure. It is the same each time for the same build, whatever else the machine does.
//! Growth over [`GROWTH_PERCENT`] fails; so does a record without a figure for a measure.
//! `--update` writes what was counted, which a commit then shows and explains.

use std::fmt::Write;
use std::process::Stdio;

use crate::Outcome;
use crate::run::{cargo, check, command, has, output, root, target};
use crate::test::Counts;

const RECORD: &str = "tests/counts.txt";
const GROWTH_PERCENT: u64 = 5;
/// Requests of the two runs: in the first every key is met and every buffer has grown.
const REQUESTS: [u64; 2] = [20_000, 60_000];
const HEAD: &str = "# Instructions of one request inside the engine (crates/counts), \
                    as callgrind counts them.\n# Written by `cargo xtask counts --update`; \
                    growth of a figure over 5 % fails `cargo xtask ci`.\n";

pub(crate) fn main(mut args: lexopt::Parser) -> Outcome {
    let (mut update, mut chosen) = (false, Vec::new());
    while let Some(arg) = args.next().map_err(|e| e.to_string())? {
        match arg {
            lexopt::Arg::Long("update") => update = true,
            lexopt::Arg::Value(name) => chosen.push(name.to_string_lossy().into_owned()),
            other => return Err(other.unexpected().to_string()),
        }
    }
    if update && !chosen.is_empty() {
        return Err("--update counts all measures".to_string());
    }
    let figures = count(&chosen)?;
    if update {
        let mut text = HEAD.to_string();
        for (name, figure) in &figures {
            let _ = writeln!(text, "{name} {figure}");
        }
        return std::fs::write(root().join(RECORD), text).map_err(|e| format!("{RECORD}: {e}"));
    }
    let counts = judge(&figures, chosen.is_empty())?;
    if counts.failed == 0 { Ok(()) } else { Err(format!("{} grew too much", counts.failed)) }
}

/// All measures against the record.
pub(crate) fn ci() -> Result<Counts, String> {
    judge(&count(&[])?, true)
}

/// Counts the chosen measures, or all.
fn count(chosen: &[String]) -> Result<Vec<(String, u64)>, String> {
    if !has("valgrind") {
        return Err("valgrind is needed to count instructions and was not found".to_string());
    }
    // Its own optimised profile: what is counted is close to what users run.
    check(&mut cargo(&["build", "--quiet", "--package", "tandem-counts", "--profile", "bench"]))?;
    let program = target().join("release").join("tandem-counts");
    let program = program.to_str().ok_or("the build folder's path is no text")?.to_string();
    let mut figures = Vec::new();
    for name in output(&mut command(&program))?.lines() {
        if !chosen.is_empty() && !chosen.iter().any(|c| c == name) {
            continue;
        }
        let [few, many] = REQUESTS.map(|requests| instructions(&program, name, requests));
        let figure = (many? - few?) / (REQUESTS[1] - REQUESTS[0]);
        figures.push((name.to_string(), figure));
    }
    if figures.is_empty() { Err("no such measure".to_string()) } else { Ok(figures) }
}

fn instructions(program: &str, measure: &str, requests: u64) -> Result<u64, String> {
    let mut valgrind = command("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", program, measure]);
    // What is found on the path or in the environment must not change what is counted.
    valgrind.arg(requests.to_string()).env_clear().env("PATH", "/usr/bin:/bin");
    let done = valgrind.stdin(Stdio::null()).output().map_err(|e| format!("valgrind: {e}"))?;
    let text = String::from_utf8_lossy(&done.stderr);
    let total = text.lines().find_map(|line| line.split_once("Collected :"));
    let total = total.and_then(|(_, number)| number.trim().parse().ok());
    total.filter(|_| done.status.success()).ok_or_else(|| format!("{measure}: {text}"))
}

/// Compares figures with the record; `whole` when the record should hold no other names.
fn judge(figures: &[(String, u64)], whole: bool) -> Result<Counts, String> {
    let text =
        std::fs::read_to_string(root().join(RECORD)).map_err(|e| format!("{RECORD}: {e}"))?;
    let record = parse(&text)?;
    let mut counts = Counts::default();
    for (name, figure) in figures {
        let Some((_, recorded)) = record.iter().find(|(n, _)| n == name) else {
            eprintln!("counts {name}: {figure}, and {RECORD} does not know it");
            counts.failed += 1;
            continue;
        };
        let change = percent(*recorded, *figure);
        println!("counts {name}: {figure} ({recorded} recorded, {change:+.1} %)");
        if grew(*recorded, *figure) {
            eprintln!("counts {name}: grew by more than {GROWTH_PERCENT} %");
            counts.failed += 1;
        } else {
            counts.passed += 1;
        }
    }
    let gone = |name: &&(String, u64)| whole && !figures.iter().any(|(n, _)| *n == name.0);
    for (name, _) in record.iter().filter(gone) {
        eprintln!("counts {name}: is in {RECORD} and is not measured");
        counts.failed += 1;
    }
    Ok(counts)
}

fn grew(recorded: u64, figure: u64) -> bool {
    figure * 100 > recorded * (100 + GROWTH_PERCENT)
}

fn percent(recorded: u64, figure: u64) -> f64 {
    (figure as f64 / recorded.max(1) as f64 - 1.0) * 100.0
}

fn parse(text: &str) -> Result<Vec<(String, u64)>, String> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entry = |line: &str| {
        let (name, figure) = line.split_once(' ')?;
        Some((name.to_string(), figure.parse().ok()?))
    };
    lines.map(|line| entry(line).ok_or_else(|| format!("{RECORD}: {line}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::{grew, parse};

    #[test]
    fn growth_over_the_bound_is_seen() {
        assert!(!grew(1000, 1050));
        assert!(grew(1000, 1051));
        assert!(!grew(1000, 200));
    }

    #[test]
    fn the_record_is_read_strictly() {
        let record = parse("# head\nget 300\nset 400\n").unwrap();
        assert_eq!(record, [("get".to_string(), 300), ("set".to_string(), 400)]);
        assert!(parse("get many\n").is_err());
    }
}
