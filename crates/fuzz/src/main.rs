//! `fuzz TARGET [--seconds N] [--rounds N] [--seed S] [--corpus FOLDER]`; `fuzz` alone lists the
//! targets. Exits with 101 and the failing input on standard error when a promise is broken.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use lexopt::prelude::{Long, Value, ValueExt};
use tandem_fuzz::{Plan, Target, read_corpus, run, targets};

struct Args {
    target: Option<String>,
    corpus: PathBuf,
    plan: Plan,
}

fn main() -> ExitCode {
    let args = match parse() {
        Ok(args) => args,
        Err(error) => {
            eprintln!("fuzz: {error}");
            return ExitCode::from(2);
        }
    };
    let Some(name) = args.target else {
        targets::ALL.iter().for_each(|target| println!("{}", target.name));
        return ExitCode::SUCCESS;
    };
    let Some(target) = targets::ALL.iter().find(|target| target.name == name) else {
        eprintln!("fuzz: no target '{name}'");
        return ExitCode::from(2);
    };
    fuzz(target, &args.corpus, args.plan)
}

fn fuzz(target: &Target, folder: &std::path::Path, plan: Plan) -> ExitCode {
    let corpus = match read_corpus(folder, target) {
        Ok(corpus) => corpus,
        Err(error) => {
            eprintln!("fuzz: {}: {error}", folder.join(target.name).display());
            return ExitCode::from(2);
        }
    };
    println!("fuzz {}: seed={} inputs={}", target.name, plan.seed, corpus.len());
    let report = run(target, corpus, plan);
    println!("fuzz {}: {} rounds, {} signatures", target.name, report.rounds, report.signatures);
    ExitCode::SUCCESS
}

fn parse() -> Result<Args, lexopt::Error> {
    let mut args = Args {
        target: None,
        corpus: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus")),
        plan: Plan {
            seed: fastrand::u64(..1 << 32),
            time: Duration::from_secs(10),
            rounds: u64::MAX,
        },
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("seconds") => {
                args.plan.time = Duration::from_secs(parser.value()?.parse()?);
            }
            Long("rounds") => args.plan.rounds = parser.value()?.parse()?,
            Long("seed") => args.plan.seed = parser.value()?.parse()?,
            Long("corpus") => args.corpus = parser.value()?.into(),
            Value(name) if args.target.is_none() => args.target = Some(name.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(args)
}
