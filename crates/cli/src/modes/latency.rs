//! `--latency`: how long a PING takes; `--intrinsic-latency`: how long this machine keeps a
//! program from running at all.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::ask_patiently;
use crate::Step;
use crate::format::Output;
use crate::interrupt::stop_flag;
use crate::session::Session;
use crate::text::{flush, put};

/// Between two samples.
const SAMPLE_PAUSE: Duration = Duration::from_millis(10);
/// How long `--latency-history` keeps one line, unless -i says otherwise.
const HISTORY_RANGE: Duration = Duration::from_secs(15);
/// How long a measurement lasts whose output is no terminal, unless -i says otherwise.
const ONE_SHOT: Duration = Duration::from_secs(1);

/// What was seen so far, in milliseconds.
#[derive(Default)]
struct Samples {
    min: u64,
    max: u64,
    total: u64,
    count: u64,
}

impl Samples {
    fn add(&mut self, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.min = if self.count == 0 { ms } else { self.min.min(ms) };
        self.max = self.max.max(ms);
        self.total = self.total.saturating_add(ms);
        self.count += 1;
    }

    fn text(&self, output: Output) -> String {
        let Samples { min, max, total, count } = self;
        let avg = *total as f64 / (*count).max(1) as f64;
        match output {
            Output::Standard => format!("min: {min}, max: {max}, avg: {avg:.2} ({count} samples)"),
            Output::Csv => format!("{min},{max},{avg:.2},{count}\n"),
            Output::Raw => format!("{min} {max} {avg:.2} {count}\n"),
            Output::Json | Output::QuotedJson => {
                format!(
                    "{{\"min\": {min}, \"max\": {max}, \"avg\": {avg:.2}, \"count\": {count}}}\n"
                )
            }
        }
    }
}

/// Samples for ever on a terminal, once elsewhere.
pub(super) fn measure(session: &mut Session) -> Step<i32> {
    let output = session.options.output;
    let history = session.options.latency_history;
    let asked = u64::try_from(session.options.interval_us).ok().filter(|&us| us > 0);
    let asked = asked.map(Duration::from_micros);
    let mut samples = Samples::default();
    let mut since = Instant::now();
    loop {
        let start = Instant::now();
        ask_patiently(session, &["PING"])?;
        samples.add(start.elapsed());
        if output == Output::Standard {
            put("\x1b[0G\x1b[2K")?;
            put(samples.text(output))?;
        } else if history {
            put(samples.text(output))?;
        } else if since.elapsed() > asked.unwrap_or(ONE_SHOT) {
            put(samples.text(output))?;
            flush()?;
            return Ok(0);
        }
        if history && since.elapsed() > asked.unwrap_or(HISTORY_RANGE) {
            put(format!(" -- {:.2} seconds range\n", since.elapsed().as_secs_f64()))?;
            since = Instant::now();
            samples = Samples::default();
        }
        flush()?;
        std::thread::sleep(SAMPLE_PAUSE);
    }
}

/// Runs a short computation over and over and reports the longest time it took.
pub(super) fn intrinsic(seconds: i32) -> Step<i32> {
    let stop = stop_flag();
    let run_for = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let start = Instant::now();
    let (mut longest, mut runs) = (Duration::ZERO, 0u64);
    loop {
        let run = Instant::now();
        std::hint::black_box(short_computation());
        let took = run.elapsed();
        runs += 1;
        if took.as_micros() > longest.as_micros() {
            longest = took;
            put(format!("Max latency so far: {} microseconds.\n", longest.as_micros()))?;
        }
        if stop.load(Ordering::Relaxed) || start.elapsed() > run_for {
            break;
        }
    }
    let average_us = run_for.as_secs_f64() * 1e6 / runs as f64;
    put(format!(
        "\n{runs} total runs (avg latency: {average_us:.4} microseconds / {:.2} nanoseconds per \
         run).\nWorst run took {:.0}x longer than the average latency.\n",
        average_us * 1e3,
        longest.as_secs_f64() * 1e6 / average_us
    ))?;
    flush()?;
    Ok(0)
}

/// Some microseconds of work without a system call or an allocation.
fn short_computation() -> u64 {
    let mut table: [u8; 256] = std::array::from_fn(|index| index as u8);
    let (mut j, mut sum) = (0u8, 0u64);
    for step in 1..=1000usize {
        let i = step % table.len();
        j = j.wrapping_add(table[i]);
        table.swap(i, usize::from(j));
        let pick = table[i].wrapping_add(table[usize::from(j)]);
        sum += u64::from(table[usize::from(pick)]);
    }
    sum
}
