//! `tandem-sim [--seeds N] [--start S] [--seed K] [--plant NAME]`: runs worlds and says which
//! failed. With `--seed` one world, every event printed.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

use tandem_sim::plant::Plant;
use tandem_sim::run::run_seed;

const USAGE: &str = "usage: tandem-sim [options]
  --seeds N      how many worlds (default 200)
  --start S      the first seed (default 1)
  --seed K       this world alone, with every event
  --plant NAME   with a planted bug, until it is found:
                 offset-off-by-one lost-select snapshot-late ack-ahead
  --keep-going   do not stop at the first failure";

struct Options {
    seeds: u64,
    start: u64,
    seed: Option<u64>,
    plant: Option<Plant>,
    keep_going: bool,
}

fn options() -> Result<Options, String> {
    let mut options = Options { seeds: 200, start: 1, seed: None, plant: None, keep_going: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value\n{USAGE}"));
        let number = |text: String| text.parse().map_err(|_| format!("{text} is no number"));
        match arg.as_str() {
            "--seeds" => options.seeds = number(value()?)?,
            "--start" => options.start = number(value()?)?,
            "--seed" => options.seed = Some(number(value()?)?),
            "--keep-going" => options.keep_going = true,
            "--plant" => {
                let name = value()?;
                options.plant =
                    Some(Plant::find(&name).ok_or(format!("no such plant: {name}\n{USAGE}"))?);
            }
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    match options().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    if let Some(seed) = options.seed {
        let report = run_seed(seed, options.plant, true);
        let (events, hash) = report.fingerprint;
        println!("seed={seed} step={} events={events} hash={hash:016x}", report.step);
        return report
            .violation
            .map_or(Ok(()), |v| Err(format!("seed={seed} step={}: {}", report.step, v.0)));
    }
    let began = Instant::now();
    let (mut steps, mut compared, mut virtual_us) = (0, 0, 0);
    let (mut failed, mut ran) = (Vec::new(), 0);
    for seed in options.start..options.start.saturating_add(options.seeds) {
        let report = run_seed(seed, options.plant, false);
        ran += 1;
        steps += report.step;
        compared += report.compared;
        virtual_us += report.virtual_us;
        if let Some(text) = report.failure() {
            let text = if options.keep_going {
                text.lines().last().unwrap_or("").to_owned()
            } else {
                text
            };
            println!("{text}");
            failed.push(seed);
            if !options.keep_going {
                break;
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "sim: {ran} seeds, {} failed, {steps} steps, {} s of virtual time, {compared} comparisons \
         in {seconds:.1} s: {:.1} seeds/s",
        failed.len(),
        virtual_us / 1_000_000,
        ran as f64 / seconds
    );
    match (options.plant, failed.first()) {
        (None, None) => Ok(()),
        (None, Some(seed)) => Err(format!("failed; replay with: cargo xtask sim --seed {seed}")),
        (Some(_), Some(_)) => Ok(()),
        (Some(plant), None) => Err(format!("the planted bug {} was not found", plant.name())),
    }
}
