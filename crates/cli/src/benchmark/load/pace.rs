//! When batches are due in an open loop: at equal distances from the start, whatever became of
//! the earlier ones.

use std::time::{Duration, Instant};

use crate::benchmark::options::Options;

/// One thread's share of the clock.
#[derive(Debug)]
pub(super) struct Pace {
    next: Instant,
    every: Duration,
}

impl Pace {
    /// The share of thread `index` of a load of `rps` requests a second.
    pub(super) fn new(options: &Options, rps: f64, index: usize, start: Instant) -> Pace {
        let threads = options.threads.max(1) as f64;
        let batch = Duration::from_secs_f64(f64::from(options.pipeline) / rps);
        // The threads take turns.
        Pace { next: start + batch.mul_f64(index as f64), every: batch.mul_f64(threads) }
    }

    /// The moment at which the earliest batch that is due should have been sent; `None` when
    /// none is due yet.
    pub(super) fn take_due(&mut self) -> Option<Instant> {
        let due = self.next;
        if due > Instant::now() {
            return None;
        }
        self.next += self.every;
        Some(due)
    }

    /// How long until the next one.
    pub(super) fn left(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }
}
