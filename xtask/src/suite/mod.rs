//! Redis's own test suite (the Tcl one that ships in Debian's source package), run against our
//! binary under Redis's names.
//!
//! ```text
//! tests/suite/claimed.txt      the files that must pass, one a line
//! tests/suite/exceptions.txt   cases left out:  file | case | reason
//! ```
//! A claimed file passes when every case of it passes that is not excepted, and every excepted
//! case of it exists: an exception that excepts nothing is a mistake. The suite's text is never
//! kept in this repository: it is fetched as a source package and cached under `target/`.

mod list;
mod runner;
mod source;

use std::path::PathBuf;

use crate::Outcome;
use crate::run::{build_tandem, root};
use crate::test::{Counts, verdict};
use list::Exception;
use runner::{Runner, Verdict};

struct Options {
    files: Vec<String>,
    source: Option<PathBuf>,
    log: Option<PathBuf>,
    stock: bool,
    all_cases: bool,
    workers: u32,
}

impl Options {
    /// The claimed files as they are claimed: with one worker.
    fn new() -> Options {
        let (files, source, log) = (Vec::new(), None, None);
        Options { files, source, log, stock: false, all_cases: false, workers: 1 }
    }
}

pub(crate) fn main(mut args: lexopt::Parser) -> Outcome {
    use lexopt::prelude::{Long, Value};
    let mut options = Options::new();
    while let Some(arg) = args.next().map_err(|e| e.to_string())? {
        match arg {
            Long("source") => options.source = Some(path_value(&mut args)?),
            Long("log") => options.log = Some(path_value(&mut args)?),
            Long("stock") => options.stock = true,
            Long("all-cases") => options.all_cases = true,
            Long("workers") => {
                let text = args.value().map_err(|e| e.to_string())?;
                let number = text.to_str().and_then(|t| t.parse().ok()).filter(|n| *n > 0);
                options.workers = number.ok_or("--workers is a number from 1")?;
            }
            Value(name) => options.files.push(canonical(&name.to_string_lossy())),
            other => return Err(other.unexpected().to_string()),
        }
    }
    let counts = run(&options)?;
    verdict(counts)
}

fn path_value(args: &mut lexopt::Parser) -> Result<PathBuf, String> {
    args.value().map(PathBuf::from).map_err(|e| e.to_string())
}

/// The claimed files against our binary, as CI runs them.
pub(crate) fn claimed() -> Result<Counts, String> {
    run(&Options::new())
}

/// `tests/unit/expire.tcl` and `unit/expire` are one file.
fn canonical(name: &str) -> String {
    name.trim_start_matches("./").trim_start_matches("tests/").trim_end_matches(".tcl").to_string()
}

fn run(options: &Options) -> Result<Counts, String> {
    let folder = root().join("tests").join("suite");
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
    };
    let claimed = list::claimed(&read("claimed.txt")?);
    let exceptions = list::exceptions(&read("exceptions.txt")?)?;
    list::check(&claimed, &exceptions)?;
    let files = if options.files.is_empty() { &claimed } else { &options.files };
    let source = match &options.source {
        Some(path) => path.clone(),
        None => source::fetch()?,
    };
    let binary = match (options.stock, std::env::var_os("TANDEM_BIN")) {
        (true, _) => None,
        (false, Some(path)) => Some(PathBuf::from(path)),
        (false, None) => Some(build_tandem("quick")?),
    };
    let runner = Runner::new(&source, binary.as_deref(), options.workers)?;
    let (mut total, mut all_failures) = (Counts::default(), Vec::new());
    for file in files {
        let left_out: Vec<&Exception> =
            exceptions.iter().filter(|e| !options.all_cases && e.file == *file).collect();
        let verdict = runner.run(file, &left_out)?;
        if let Some(log) = &options.log {
            std::fs::create_dir_all(log).map_err(|e| e.to_string())?;
            let path = log.join(format!("{}.log", file.replace('/', "_")));
            std::fs::write(&path, &verdict.output).map_err(|e| e.to_string())?;
        }
        let failures = report(file, &verdict, &left_out);
        total.passed += verdict.passed;
        total.failed += u64::try_from(failures.len()).expect("a count fits");
        all_failures.extend(failures);
    }
    if files.len() > 1 && !all_failures.is_empty() {
        println!("of all files these failed:");
        all_failures.iter().for_each(|failure| println!("    {failure}"));
    }
    Ok(total)
}

/// Shows a file's outcome; what of it failed, with the file's name.
fn report(file: &str, verdict: &Verdict, left_out: &[&Exception]) -> Vec<String> {
    let mut failures = verdict.failures.clone();
    for exception in left_out {
        if !verdict.skipped.contains(&exception.case) {
            failures.push(format!("excepted, but there is no such case: {}", exception.case));
        }
    }
    // Of a file whose cases are all excepted it is at least seen that they are there.
    if failures.is_empty() && verdict.passed == 0 && verdict.skipped.is_empty() {
        failures.push("no case ran".to_string());
    }
    println!(
        "suite {file}: {} passed, {} failed, {} excepted, {:.1} s",
        verdict.passed,
        failures.len(),
        left_out.len(),
        verdict.seconds
    );
    for failure in &failures {
        println!("    {failure}");
    }
    failures.iter().map(|failure| format!("{file}: {failure}")).collect()
}
