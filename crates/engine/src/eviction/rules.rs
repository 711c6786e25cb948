//! The rules in force, and how eviction is getting on: what all workers share.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use tandem_base::Mono;
use tandem_store::{AccessMeasure, Eligible};

use crate::config::{Config, EvictionPolicy};
use crate::node::lock;

/// What a policy looks at to choose a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// No key goes.
    Nothing,
    /// The stalest of samples, by the access clock.
    Stalest,
    /// Any.
    Random,
    /// The one that expires first.
    Soonest,
}

impl EvictionPolicy {
    /// How a key is chosen.
    pub(crate) fn choice(self) -> Choice {
        match self {
            EvictionPolicy::NoEviction => Choice::Nothing,
            EvictionPolicy::AllkeysRandom | EvictionPolicy::VolatileRandom => Choice::Random,
            EvictionPolicy::VolatileTtl => Choice::Soonest,
            EvictionPolicy::AllkeysLru
            | EvictionPolicy::AllkeysLfu
            | EvictionPolicy::VolatileLru
            | EvictionPolicy::VolatileLfu => Choice::Stalest,
        }
    }

    /// Which keys may go.
    pub(crate) fn eligible(self) -> Eligible {
        match self {
            EvictionPolicy::VolatileLru
            | EvictionPolicy::VolatileLfu
            | EvictionPolicy::VolatileRandom
            | EvictionPolicy::VolatileTtl => Eligible::Volatile,
            _ => Eligible::All,
        }
    }

    /// Whether the access clock counts uses.
    pub(crate) fn is_lfu(self) -> bool {
        matches!(self, EvictionPolicy::AllkeysLfu | EvictionPolicy::VolatileLfu)
    }

    /// What the access clock says under this policy.
    pub(crate) fn measure(self, config: &Config) -> AccessMeasure {
        if self.is_lfu() {
            AccessMeasure::Frequency {
                log_factor: config.lfu_log_factor(),
                decay_minutes: config.lfu_decay_time(),
            }
        } else {
            let saved = matches!(self, EvictionPolicy::AllkeysLru | EvictionPolicy::VolatileLru);
            AccessMeasure::Recency { saved }
        }
    }
}

/// See the module's story.
#[derive(Default)]
pub(crate) struct Eviction {
    /// `maxmemory`.
    limit: AtomicU64,
    /// How long one cycle may take, in microseconds.
    pub(super) time_limit_us: AtomicU64,
    /// `maxmemory-policy`, as its number.
    policy: AtomicU32,
    /// `maxmemory-samples`.
    pub(super) samples: AtomicU32,
    /// `lazyfree-lazy-eviction`.
    pub(super) lazily: AtomicBool,
    /// `replica-ignore-maxmemory`.
    pub(super) replica_ignores: AtomicBool,
    /// Bytes that some cycle has taken upon itself to free and has not freed yet.
    pub(super) claimed: AtomicI64,
    /// A cycle has left something to do.
    running: AtomicBool,
    /// Since when memory has been over the limit, in µs; 0: it is not.
    exceeded_since: AtomicU64,
    /// How long it was over the limit before that, in µs.
    exceeded_us: AtomicU64,
    /// What the stream has lately held for replicas, and when that was last so.
    for_replicas: Mutex<(u64, Mono)>,
}

/// How long what replicas had yet to read is still not counted when it is gone. Another thread
/// gives it back, and says so in what is used no later than its turn ends: whoever looks in
/// between would see memory that nobody holds, and evict for it.
const GIVEN_BACK_MS: u64 = 10;

impl Eviction {
    /// Takes the rules over from the configuration.
    pub(crate) fn apply(&self, config: &Config) {
        self.limit.store(config.maxmemory(), Ordering::Relaxed);
        let limit_us = time_limit_us(config.maxmemory_eviction_tenacity());
        self.time_limit_us.store(limit_us, Ordering::Relaxed);
        self.policy.store(config.maxmemory_policy().bits(), Ordering::Relaxed);
        self.samples.store(config.maxmemory_samples(), Ordering::Relaxed);
        self.lazily.store(config.lazyfree_lazy_eviction(), Ordering::Relaxed);
        self.replica_ignores.store(config.replica_ignore_maxmemory(), Ordering::Relaxed);
    }

    /// What of the memory in use is to be taken for the stream's, which holds `bytes` for
    /// replicas.
    pub(super) fn held_for_replicas(&self, bytes: u64, now: Mono) -> u64 {
        let mut held = lock(&self.for_replicas);
        if bytes >= held.0 || now.ms_since(held.1) > GIVEN_BACK_MS {
            *held = (bytes, now);
        }
        held.0
    }

    /// `maxmemory`; 0: no limit.
    #[inline]
    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// `maxmemory-policy`.
    #[inline]
    pub(crate) fn policy(&self) -> EvictionPolicy {
        EvictionPolicy::from_bits(self.policy.load(Ordering::Relaxed))
    }

    /// Whether a cycle has left something to do.
    #[inline]
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// From now on the housekeeper evicts, until there is no need or no key.
    pub(crate) fn set_running(&self, on: bool) {
        self.running.store(on, Ordering::Relaxed);
    }

    /// Memory is over the limit.
    pub(super) fn note_exceeded(&self, now: Mono) {
        let since = &self.exceeded_since;
        // Who comes second has seen it later.
        let _ = since.compare_exchange(0, now.0.max(1), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Memory is within the limit.
    #[inline]
    pub(super) fn note_fits(&self, now: Mono) {
        if self.exceeded_since.load(Ordering::Relaxed) != 0 {
            let since = self.exceeded_since.swap(0, Ordering::Relaxed);
            if since != 0 {
                self.exceeded_us.fetch_add(now.0.saturating_sub(since), Ordering::Relaxed);
            }
        }
    }

    /// How long memory has been over the limit, in ms: this time, and in all.
    pub(crate) fn exceeded_ms(&self, now: Mono) -> (u64, u64) {
        let since = self.exceeded_since.load(Ordering::Relaxed);
        let current = if since == 0 { 0 } else { now.0.saturating_sub(since) };
        (current / 1000, (self.exceeded_us.load(Ordering::Relaxed) + current) / 1000)
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset(&self) {
        self.exceeded_us.store(0, Ordering::Relaxed);
        self.exceeded_since.store(0, Ordering::Relaxed);
    }
}

/// `maxmemory-eviction-tenacity` as a time: 50 µs for each of the first ten, then 15 % more for
/// each, without end at 100.
fn time_limit_us(tenacity: u32) -> u64 {
    match tenacity {
        0..=10 => 50 * u64::from(tenacity),
        11..=99 => (500.0 * 1.15_f64.powi(tenacity.cast_signed() - 10)) as u64,
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenacity_is_time() {
        let limits = [0, 1, 10, 11, 50, 99, 100].map(time_limit_us);
        assert_eq!(limits[..4], [0, 50, 500, 575]);
        assert!((130_000..140_000).contains(&limits[4]), "{limits:?}");
        assert!((120_000_000..130_000_000).contains(&limits[5]), "about two minutes: {limits:?}");
        assert_eq!(limits[6], u64::MAX);
    }

    #[test]
    fn what_replicas_have_read_counts_a_little_later() {
        let eviction = Eviction::default();
        let held = |bytes, ms: u64| eviction.held_for_replicas(bytes, Mono(ms * 1000));
        assert_eq!([held(0, 1), held(50, 2), held(70, 3)], [0, 50, 70]);
        assert_eq!([held(10, 4), held(0, 13), held(0, 14), held(5, 15)], [70, 70, 0, 5]);
    }

    #[test]
    fn time_over_the_limit_adds_up() {
        let eviction = Eviction::default();
        eviction.note_exceeded(Mono(1_000_000));
        eviction.note_exceeded(Mono(2_000_000));
        assert_eq!(eviction.exceeded_ms(Mono(3_000_000)), (2000, 2000));
        eviction.note_fits(Mono(4_000_000));
        assert_eq!(eviction.exceeded_ms(Mono(9_000_000)), (0, 3000));
        eviction.note_exceeded(Mono(9_000_000));
        assert_eq!(eviction.exceeded_ms(Mono(9_500_000)), (500, 3500));
        eviction.reset();
        assert_eq!(eviction.exceeded_ms(Mono(9_500_000)), (0, 0));
    }
}
