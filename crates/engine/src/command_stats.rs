//! Counts and times of each command: what INFO commandstats and latencystats and LATENCY
//! HISTOGRAM show.

use hdrhistogram::Histogram;

use crate::commands;
use crate::spec::Spec;

/// Bounds and precision of the histograms, those of Redis: a nanosecond, a second, two digits.
const LEAST_NS: u64 = 1;
const MOST_NS: u64 = 1_000_000_000;
const DIGITS: u8 = 2;

/// What is known of one command.
#[derive(Clone, Default)]
pub struct CommandStats {
    /// How often it ran.
    pub calls: u64,
    /// How long that took together.
    pub total_ns: u64,
    /// How often it was refused before it ran.
    pub rejected: u64,
    /// How often it ended in an error.
    pub failed: u64,
    /// Its times in nanoseconds, once there is one.
    pub times: Option<Box<Histogram<u64>>>,
}

impl CommandStats {
    /// Counts `calls` calls of `each_ns`.
    pub(crate) fn took(&mut self, each_ns: u64, calls: u64, tracks: bool) {
        self.calls += calls;
        self.total_ns += calls * each_ns;
        if tracks {
            self.record(each_ns, calls);
        }
    }

    /// Records `calls` calls of `each_ns` in the histogram.
    pub(crate) fn record(&mut self, each_ns: u64, calls: u64) {
        let times = self.times.get_or_insert_with(|| Box::new(new_histogram()));
        times
            .record_n(each_ns.clamp(LEAST_NS, MOST_NS), calls)
            .expect("the value is within the bounds");
    }

    /// Whether it has been seen at all.
    pub fn is_known(&self) -> bool {
        self.calls + self.rejected + self.failed > 0
    }

    fn add(&mut self, other: &CommandStats) {
        self.calls += other.calls;
        self.total_ns += other.total_ns;
        self.rejected += other.rejected;
        self.failed += other.failed;
        if let Some(theirs) = &other.times {
            let times = self.times.get_or_insert_with(|| Box::new(new_histogram()));
            times.add(&**theirs).expect("all histograms have the same bounds");
        }
    }
}

fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LEAST_NS, MOST_NS, DIGITS).expect("the bounds make sense")
}

/// The statistics of all commands, by [`commands::number_of`].
#[derive(Default)]
pub struct Table {
    rows: Vec<CommandStats>,
}

impl Table {
    /// The row of a command, to be changed.
    pub(crate) fn row(&mut self, spec: &Spec) -> &mut CommandStats {
        self.numbered_row(commands::number_of(spec))
    }

    /// The same for who knows the command's number already.
    #[inline]
    pub(crate) fn numbered_row(&mut self, number: usize) -> &mut CommandStats {
        if self.rows.is_empty() {
            self.rows.resize_with(commands::numbered(), CommandStats::default);
        }
        &mut self.rows[number]
    }

    /// The row of a command, if anything has been counted.
    pub fn get(&self, spec: &Spec) -> Option<&CommandStats> {
        self.rows.get(commands::number_of(spec)).filter(|row| row.is_known())
    }

    pub(crate) fn add(&mut self, other: &Table) {
        if self.rows.is_empty() {
            self.rows.clone_from(&other.rows);
            return;
        }
        for (row, other) in self.rows.iter_mut().zip(&other.rows) {
            row.add(other);
        }
    }
}

/// The value below or at which `percentile` percent of the recorded ones lie, in nanoseconds: the
/// end of its bucket, and for 0 the bucket's beginning.
pub fn at_percentile(times: &Histogram<u64>, percentile: f64) -> u64 {
    let wanted = (percentile.min(100.0) / 100.0 * times.len() as f64 + 0.5) as u64;
    let mut seen = 0;
    for bucket in times.iter_recorded() {
        seen += bucket.count_at_value();
        if seen >= wanted.max(1) {
            let value = bucket.value_iterated_to();
            return match percentile {
                0.0 => times.lowest_equivalent(value),
                _ => times.highest_equivalent(value),
            };
        }
    }
    0
}

/// Points of the cumulative distribution where it grows: microseconds, doubling, and how many
/// calls took no longer.
pub fn cumulative(times: &Histogram<u64>) -> Vec<(u64, u64)> {
    let mut points = Vec::new();
    let mut seen = 0;
    // Redis's first step is 1,024 ns; a step takes in the bucket that begins there.
    let mut step_ns = 1024u64;
    while seen < times.len() {
        let upto_ns = times.highest_equivalent(step_ns).min(LAST_BUCKET_END_NS);
        let count = times.count_between(0, upto_ns);
        if count > seen {
            points.push((upto_ns / 1000, count));
            seen = count;
        }
        step_ns *= 2;
    }
    points
}

/// The last value of the bucket that holds [`MOST_NS`].
const LAST_BUCKET_END_NS: u64 = (1 << 30) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_has_a_point_wherever_it_grows() {
        let mut stats = CommandStats::default();
        for (ns, calls) in [(500, 3), (1500, 2), (1600, 1), (70_000, 1), (5_000_000_000, 1)] {
            stats.record(ns, calls);
        }
        let times = stats.times.expect("there are some");
        let points = cumulative(&times);
        // What is longer than a second counts as a second.
        assert_eq!(points, [(1, 3), (2, 6), (132, 7), (1_073_741, 8)]);
        assert_eq!(at_percentile(&times, 50.0), 1503);
    }

    #[test]
    fn tables_of_threads_add_up() {
        let get = commands::look_up(b"get").expect("a command");
        let (mut a, mut b) = (Table::default(), Table::default());
        a.row(get).calls = 2;
        a.row(get).record(10, 2);
        b.row(get).calls = 3;
        b.row(get).failed = 1;
        b.row(get).record(20, 3);
        let mut total = Table::default();
        for table in [&Table::default(), &a, &b] {
            total.add(table);
        }
        let row = total.get(get).expect("it was counted");
        assert_eq!((row.calls, row.failed), (5, 1));
        assert_eq!(row.times.as_ref().expect("it was timed").len(), 5);
        let set = commands::look_up(b"set").expect("a command");
        assert!(total.get(set).is_none());
    }
}
