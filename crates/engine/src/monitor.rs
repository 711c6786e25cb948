//! How long commands take: what COMMANDSTATS, SLOWLOG and LATENCY are made from.
//!
//! ```text
//! dispatch ─► timing (a worker's own) ─► table of counts (one for each worker, read together)
//!                                    ├─► slow log
//!                                    └─► latency events ◄─ cron, eviction, …
//! ```
//! A worker writes only to its own table, under a lock that nobody else wants but who reads
//! INFO; the slow log and the events are written seldom.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use tandem_base::UnixMs;

use crate::command_stats::Table;
use crate::config::Config;
use crate::node::lock;
use crate::slowlog::SlowLog;

/// Samples that one kind of event keeps.
pub const SAMPLES: usize = 160;

/// The node's part of timing; see the module's story.
pub struct Monitor {
    tables: Box<[CachePadded<Mutex<Table>>]>,
    slowlog: Mutex<SlowLog>,
    events: Mutex<BTreeMap<&'static str, Series>>,
    /// `slowlog-log-slower-than`, in µs.
    slower_than_us: AtomicI64,
    /// `latency-monitor-threshold`, in ms; 0 is off.
    latency_ms: AtomicU64,
    /// `latency-tracking`.
    tracking: AtomicBool,
}

/// What happened when, for one kind of event: at most one sample for each second, the worst.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Seconds since 1970 and milliseconds taken, oldest first, [`SAMPLES`] at most.
    samples: std::collections::VecDeque<(i64, u64)>,
    /// The worst of all.
    pub worst_ms: u64,
}

impl Series {
    pub(crate) fn add(&mut self, at_s: i64, took_ms: u64) {
        self.worst_ms = self.worst_ms.max(took_ms);
        if let Some((last_s, last_ms)) = self.samples.back_mut()
            && *last_s == at_s
        {
            *last_ms = took_ms.max(*last_ms);
            return;
        }
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((at_s, took_ms));
    }

    /// Seconds since 1970 and milliseconds taken, oldest first. There is at least one.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = (i64, u64)> + DoubleEndedIterator + '_ {
        self.samples.iter().copied()
    }
}

impl Monitor {
    /// For so many threads that run commands.
    pub fn new(threads: usize) -> Monitor {
        Monitor {
            tables: (0..threads).map(|_| CachePadded::default()).collect(),
            slowlog: Mutex::default(),
            events: Mutex::default(),
            slower_than_us: AtomicI64::new(-1),
            latency_ms: AtomicU64::new(0),
            tracking: AtomicBool::new(true),
        }
    }

    /// Takes over the directives that it follows.
    pub fn follow(&self, config: &Config) {
        self.slower_than_us.store(config.slowlog_log_slower_than(), Ordering::Relaxed);
        self.latency_ms.store(config.latency_monitor_threshold(), Ordering::Relaxed);
        self.tracking.store(config.latency_tracking(), Ordering::Relaxed);
        let most = usize::try_from(config.slowlog_max_len()).unwrap_or(usize::MAX);
        self.slowlog().set_most(most);
    }

    /// A thread's own table.
    pub(crate) fn table(&self, thread: usize) -> std::sync::MutexGuard<'_, Table> {
        lock(&self.tables[thread])
    }

    /// The counts of all threads together.
    pub fn totals(&self) -> Table {
        let mut totals = Table::default();
        for table in &self.tables {
            totals.add(&lock(table));
        }
        totals
    }

    /// Begins to count anew (CONFIG RESETSTAT).
    pub fn reset_counts(&self) {
        for table in &self.tables {
            *lock(table) = Table::default();
        }
    }

    /// The slow log.
    pub fn slowlog(&self) -> std::sync::MutexGuard<'_, SlowLog> {
        lock(&self.slowlog)
    }

    /// Whether histograms are kept.
    pub(crate) fn tracks(&self) -> bool {
        self.tracking.load(Ordering::Relaxed)
    }

    /// Microseconds from which a command is slow; `None`: none is.
    pub(crate) fn slower_than_us(&self) -> Option<u64> {
        u64::try_from(self.slower_than_us.load(Ordering::Relaxed)).ok()
    }

    /// Milliseconds from which an event is noted; `None`: none is.
    pub fn latency_threshold_ms(&self) -> Option<u64> {
        Some(self.latency_ms.load(Ordering::Relaxed)).filter(|ms| *ms > 0)
    }

    /// Notes that `event` ended at `at` and took so long, if it took long enough. Names are
    /// those of Redis: `command`, `fast-command`, `expire-cycle`, `eviction-cycle` …
    pub fn event(&self, event: &'static str, took_ns: u64, at: UnixMs) {
        let took_ms = took_ns / 1_000_000;
        if self.latency_threshold_ms().is_some_and(|threshold| took_ms >= threshold) {
            lock(&self.events).entry(event).or_default().add(at.0.div_euclid(1000), took_ms);
        }
    }

    /// What the clock says, in ns, if an event that begins now could be noted.
    pub fn event_begins(&self, clock_ns: impl FnOnce() -> u64) -> Option<u64> {
        self.latency_threshold_ms().map(|_| clock_ns())
    }

    /// A copy of all events.
    pub fn events(&self) -> BTreeMap<&'static str, Series> {
        lock(&self.events).clone()
    }

    /// Forgets the events of that name in any case, or all; returns how many kinds those were.
    pub fn forget_events(&self, name: Option<&[u8]>) -> usize {
        let mut events = lock(&self.events);
        let before = events.len();
        events.retain(|event, _| {
            name.is_some_and(|name| !event.as_bytes().eq_ignore_ascii_case(name))
        });
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_keeps_its_worst_sample() {
        let monitor = Monitor::new(1);
        monitor.event("command", 5_000_000, UnixMs(1000));
        assert!(monitor.events().is_empty(), "it is switched off");
        monitor.latency_ms.store(3, Ordering::Relaxed);
        for (ms, at) in [(2, 1000), (5, 1000), (9, 1999), (4, 1500), (3, 2000)] {
            monitor.event("command", ms * 1_000_000, UnixMs(at));
        }
        let events = monitor.events();
        let series = &events["command"];
        assert_eq!(series.samples().collect::<Vec<_>>(), [(1, 9), (2, 3)]);
        assert_eq!(series.worst_ms, 9);
        assert_eq!(monitor.forget_events(Some(b"Expire-Cycle")), 0);
        assert_eq!(monitor.forget_events(Some(b"COMMAND")), 1);
        assert_eq!(monitor.forget_events(None), 0);
    }

    #[test]
    fn old_samples_make_room() {
        let mut series = Series::default();
        (0..=SAMPLES as i64).for_each(|second| series.add(second, 1));
        assert_eq!(series.samples().len(), SAMPLES);
        assert_eq!(series.samples().next(), Some((1, 1)));
    }
}
