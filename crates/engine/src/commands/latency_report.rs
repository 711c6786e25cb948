//! LATENCY DOCTOR and LATENCY GRAPH: samples made into text for people.

use std::fmt::Write as _;

use tandem_base::UnixMs;

use crate::monitor::Series;
use crate::node::Node;

const ROWS: usize = 4;
const COLUMNS: usize = 80;
/// What the top of a column looks like, by how far it reaches into its row.
const TOPS: &[u8; 3] = b"_o#";

/// A drawing of `series`: a column for each sample, its age below it, read downwards.
pub(super) fn graph_text(event: &str, series: &Series, now: UnixMs) -> String {
    let samples: Vec<_> = series.samples().collect();
    let high = samples.iter().map(|(_, ms)| *ms).max().unwrap_or(0);
    let low = samples.iter().map(|(_, ms)| *ms).min().unwrap_or(0);
    let worst = series.worst_ms;
    let mut text = format!("{event} - high {high} ms, low {low} ms (all time high {worst} ms)\n");
    text.push_str(&"-".repeat(COLUMNS));
    text.push('\n');
    for (number, part) in samples.chunks(COLUMNS).enumerate() {
        if number > 0 {
            text.push('\n');
        }
        push_columns(&mut text, part, low, high, now);
    }
    text
}

fn push_columns(text: &mut String, samples: &[(i64, u64)], low: u64, high: u64, now: UnixMs) {
    let steps = ROWS * TOPS.len();
    let range = (high - low).max(1);
    let height = |ms: u64| ((ms - low) * steps as u64 / range).min(steps as u64 - 1) as usize;
    for row in 0..ROWS {
        // Steps below the foot of this row.
        let foot = (ROWS - 1 - row) * TOPS.len();
        let column = |(_, ms): &(i64, u64)| match height(*ms).checked_sub(foot) {
            None => ' ',
            Some(step) => TOPS.get(step).map_or('|', |top| char::from(*top)),
        };
        text.extend(samples.iter().map(column));
        text.push('\n');
    }
    text.push_str(&" ".repeat(samples.len()));
    text.push('\n');
    let labels: Vec<String> =
        samples.iter().map(|(at_s, _)| age(now.0.div_euclid(1000) - at_s)).collect();
    let longest = labels.iter().map(String::len).max().unwrap_or(0);
    for line in 0..longest {
        text.extend(labels.iter().map(|label| label.chars().nth(line).unwrap_or(' ')));
        text.push('\n');
    }
}

/// Seconds in the largest unit that fits.
fn age(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

/// The middle of some samples and how far they lie around it.
struct Summary {
    count: u64,
    mean_ms: u64,
    deviation_ms: u64,
    /// Seconds from one to the next.
    period_s: f64,
}

fn summary(series: &Series, now: UnixMs) -> Summary {
    let count = series.samples().len() as u64;
    let mean_ms = series.samples().map(|(_, ms)| ms).sum::<u64>() / count;
    let deviation_ms = series.samples().map(|(_, ms)| ms.abs_diff(mean_ms)).sum::<u64>() / count;
    let first_s = series.samples().next().map_or(0, |(at_s, _)| at_s);
    let since_s = (now.0.div_euclid(1000) - first_s).max(1);
    Summary { count, mean_ms, deviation_ms, period_s: since_s as f64 / count as f64 }
}

/// What took long and what might help.
pub(super) fn doctor_text(node: &Node, now: UnixMs) -> String {
    let events = node.monitor.events();
    let threshold_ms = node.monitor.latency_threshold_ms();
    if events.is_empty() && threshold_ms.is_none() {
        return "Nothing is known: the latency monitor is off. To switch it on, say from how many \
                milliseconds on an event matters: CONFIG SET latency-monitor-threshold \
                <milliseconds>.\n"
            .to_owned();
    }
    if events.is_empty() {
        return "Nothing has taken longer than latency-monitor-threshold so far. All is well.\n"
            .to_owned();
    }
    let mut text = String::from("These events took longer than latency-monitor-threshold:\n\n");
    for (number, (event, series)) in events.iter().enumerate() {
        let Summary { count, mean_ms, deviation_ms, period_s } = summary(series, now);
        writeln!(
            text,
            "{}. {event}: {count} latency spikes (average {mean_ms}ms, mean deviation \
             {deviation_ms}ms, period {period_s:.2} sec). Worst all time event {}ms.",
            number + 1,
            series.worst_ms
        )
        .expect("a string takes everything");
    }
    text.push_str("\nWhat may help:\n\n");
    for event in events.keys() {
        for advice in advice(node, event) {
            writeln!(text, "- {advice}").expect("a string takes everything");
        }
    }
    text
}

fn advice(node: &Node, event: &str) -> Vec<String> {
    let config = node.config();
    let threshold_us = config.latency_monitor_threshold().max(1) * 1000;
    let slower_than = config.slowlog_log_slower_than();
    let mut advice = Vec::new();
    match event {
        "command" => {
            if slower_than < 0 || slower_than.unsigned_abs() > threshold_us {
                advice.push(format!(
                    "Let the slow log see these commands: CONFIG SET slowlog-log-slower-than \
                     {threshold_us}."
                ));
            }
            advice.push("Look at SLOWLOG GET: it says which commands these were.".to_owned());
            advice.push(
                "Large values take long to read and to delete: UNLINK deletes beside the workers, \
                 SCAN walks in steps where KEYS does not."
                    .to_owned(),
            );
        }
        "fast-command" => advice.push(
            "Commands that cannot take long did: the threads do not get the CPU. Look for other \
             load on this machine or its neighbours, for `worker-threads` above the number of \
             CPUs, and at `redis-cli --intrinsic-latency 100`."
                .to_owned(),
        ),
        "expire-cycle" => advice.push(
            "Many keys, or large ones, reach their time together: spread their expiries."
                .to_owned(),
        ),
        "eviction-cycle" | "eviction-del" | "eviction-lazyfree" => advice.push(
            "Memory is short while much is written: raise maxmemory or write less at once."
                .to_owned(),
        ),
        _ if event.starts_with("rdb") || event.starts_with("aof") => {
            advice.push("The disk is slow: use a local one that nobody else keeps busy.".to_owned())
        }
        _ => {}
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(samples: &[(i64, u64)]) -> Series {
        let mut series = Series::default();
        samples.iter().for_each(|(at, ms)| series.add(*at, *ms));
        series
    }

    #[test]
    fn a_graph_has_a_column_for_each_sample() {
        let series = series(&[(100, 300), (160, 400), (9000, 500), (9001, 310)]);
        let text = graph_text("command", &series, UnixMs(9_030_000));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "command - high 500 ms, low 300 ms (all time high 500 ms)");
        assert_eq!(lines[1], "-".repeat(80));
        assert_eq!(lines[2..6], ["  # ", " _| ", " || ", "_||_"]);
        assert_eq!(lines[6..], ["    ", "2232", "hh09", "  ss"]);
    }

    #[test]
    fn samples_are_summed_up() {
        let Summary { count, mean_ms, deviation_ms, period_s } =
            summary(&series(&[(10, 100), (12, 300)]), UnixMs(14_000));
        assert_eq!((count, mean_ms, deviation_ms, period_s), (2, 200, 100, 2.0));
        assert_eq!([59, 60, 3600, 86400 * 3].map(age), ["59s", "1m", "1h", "3d"]);
    }
}
