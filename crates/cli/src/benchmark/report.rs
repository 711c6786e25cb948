//! The forms of a result: the long one, one line, and CSV. They are redis-benchmark's, word for
//! word, and what we add stands behind or in columns of its own.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::facts::Facts;
use super::load::Outcome;
use super::options::Options;

/// The widths of the steps, in microseconds, of the cumulative distribution: fine up to two
/// milliseconds, coarse above.
const FINE_STEP_US: u64 = 100;
const COARSE_STEP_US: u64 = 1000;
const FINE_UP_TO_US: u64 = 2000;

/// The line above all CSV lines.
pub(super) fn csv_heading(options: &Options) -> String {
    let mut heading = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\
                       \"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\""
        .to_owned();
    if options.cpu {
        heading.push_str(",\"server_cpu_us_per_request\"");
    }
    heading + "\n"
}

/// The result of one test. `payload` is the length of its values, `cpu` the seconds of
/// processor time that the server used meanwhile.
pub(super) fn text(
    options: &Options,
    facts: &Facts,
    title: &str,
    payload: usize,
    outcome: &Outcome,
    cpu: Option<f64>,
) -> String {
    let rate = outcome.requests as f64 / outcome.seconds.max(f64::MIN_POSITIVE);
    let latencies = &outcome.latencies;
    let median = ms(latencies.value_at_quantile(0.5));
    let cpu_us = cpu.map(|cpu| cpu * 1e6 / outcome.requests.max(1) as f64);
    if options.csv {
        let [avg, min, p50, p95, p99, max] = summary(latencies);
        let mut line = format!(
            "\"{title}\",\"{rate:.2}\",\"{avg:.3}\",\"{min:.3}\",\"{p50:.3}\",\"{p95:.3}\",\
             \"{p99:.3}\",\"{max:.3}\""
        );
        if options.cpu {
            let cpu_us = cpu_us.map_or(String::new(), |us| format!("{us:.3}"));
            push(&mut line, format_args!(",\"{cpu_us}\""));
        }
        return line + "\n";
    }
    let blank = format!("{:>width$}\r", " ", width = outcome.progress_bytes.max(1));
    if options.quiet {
        let cpu = match cpu_us {
            Some(us) if options.cpu => format!(", server cpu={us:.2} usec per request"),
            _ => String::new(),
        };
        return format!(
            "{blank}{title}: {rate:.2} requests per second, p50={median:.3} msec{cpu}\n"
        );
    }
    blank + &long(options, facts, title, payload, outcome, rate, cpu_us)
}

fn long(
    options: &Options,
    facts: &Facts,
    title: &str,
    payload: usize,
    outcome: &Outcome,
    rate: f64,
    cpu_us: Option<f64>,
) -> String {
    let latencies = &outcome.latencies;
    let mut out = format!(
        "====== {title} ======\n  {} requests completed in {:.2} seconds\n  {} parallel \
         clients\n  {payload} bytes payload\n  keep alive: {}\n",
        outcome.requests,
        outcome.seconds,
        options.clients,
        u8::from(options.keep_alive)
    );
    if let Some((save, appendonly)) = &facts.settings {
        push(&mut out, format_args!("  host configuration \"save\": {save}\n"));
        push(&mut out, format_args!("  host configuration \"appendonly\": {appendonly}\n"));
    }
    push(
        &mut out,
        format_args!("  multi-thread: {}\n", if options.threads > 0 { "yes" } else { "no" }),
    );
    if options.threads > 0 {
        push(&mut out, format_args!("  threads: {}\n", options.threads));
    }
    if let Some(rps) = options.rps {
        push(&mut out, format_args!("  open loop: {rps} requests per second asked for\n"));
    }
    out.push_str("\nLatency by percentile distribution:\n");
    push_percentiles(&mut out, latencies);
    out.push_str("\nCumulative distribution of latencies:\n");
    push_cumulative(&mut out, latencies);
    push(
        &mut out,
        format_args!(
            "\nSummary:\n  throughput summary: {rate:.2} requests per second\n  latency summary \
             (msec):\n"
        ),
    );
    out.push_str("          avg       min       p50       p95       p99       max\n    ");
    let figures = summary(latencies).map(|figure| format!("{figure:>9.3}"));
    out.push_str(&figures.join(" "));
    out.push('\n');
    if let Some(us) = cpu_us {
        let seconds = us * outcome.requests as f64 / 1e6;
        push(
            &mut out,
            format_args!("  server cpu: {seconds:.2} seconds, {us:.3} usec per request\n"),
        );
    }
    out
}

/// Average, smallest, three percentiles and largest, in milliseconds.
fn summary(latencies: &Histogram<u64>) -> [f64; 6] {
    let at = |quantile: f64| ms(latencies.value_at_quantile(quantile));
    let mean = latencies.mean() / 1000.0;
    [mean, ms(latencies.min()), at(0.5), at(0.95), at(0.99), ms(latencies.max())]
}

fn push_percentiles(out: &mut String, latencies: &Histogram<u64>) {
    let mut count = 0;
    let mut before = None;
    for step in latencies.iter_quantiles(1) {
        count += step.count_since_last_iteration();
        if before != Some(count) || count == latencies.len() {
            let value = latencies.highest_equivalent(step.value_iterated_to());
            push_step(out, step.quantile_iterated_to() * 100.0, value, count);
        }
        before = Some(count);
    }
}

fn push_cumulative(out: &mut String, latencies: &Histogram<u64>) {
    let (mut count, mut bin) = (0, 0);
    let percent = |count: u64| count as f64 * 100.0 / latencies.len() as f64;
    for value in latencies.iter_recorded() {
        let next = bin_of(value.value_iterated_to());
        if next != bin && count > 0 {
            push_step(out, percent(count), latencies.highest_equivalent(bin), count);
        }
        bin = next;
        count += value.count_since_last_iteration();
    }
    if count > 0 {
        push_step(out, percent(count), latencies.highest_equivalent(bin), count);
    }
}

/// The end of the step that a latency falls into.
fn bin_of(us: u64) -> u64 {
    let step = if us <= FINE_UP_TO_US { FINE_STEP_US } else { COARSE_STEP_US };
    us.max(1).div_ceil(step) * step
}

fn push_step(out: &mut String, percent: f64, value_us: u64, count: u64) {
    let value = ms(value_us);
    push(
        out,
        format_args!("{percent:.3}% <= {value:.3} milliseconds (cumulative count {count})\n"),
    );
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}

fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

#[cfg(test)]
mod tests;
