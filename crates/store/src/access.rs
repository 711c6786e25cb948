//! How recently, or how often, a key was used: the 24 bits of an entry's access clock.
//!
//! ```text
//! recency     seconds, modulo 2^24 (194 days)
//! frequency   minutes, modulo 2^16 (45 days)  << 8 | logarithmic counter of uses
//! ```
//! Which of the two it is follows from the eviction policy and is the same for the whole
//! keyspace; after a change of policy the old clocks mean nothing until their keys are used.
//! Widths, units and the arithmetic of the counter are Redis's, as OBJECT, DUMP's companions
//! and RDB files show them.

use std::sync::atomic::{AtomicU32, Ordering};

use tandem_base::UnixMs;

/// The counter of a key that is born: it may collect some uses before it looks unused.
const NEWBORN: u32 = 5;
const CLOCK_MASK: u32 = 0x00ff_ffff;
const MINUTES_MASK: u32 = 0xffff;
/// In the shared word: clocks say frequency.
const FREQUENCY: u32 = 1 << 31;
/// In the shared word: RDB files say what the clocks say.
const SAVED: u32 = 1 << 30;

/// What access clocks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMeasure {
    /// When the key was last used.
    Recency {
        /// Whether RDB files say it.
        saved: bool,
    },
    /// How often it is used.
    Frequency {
        /// `lfu-log-factor`: the greater, the more uses for one step of the counter.
        log_factor: u32,
        /// `lfu-decay-time`: minutes for which the counter loses one; 0: never.
        decay_minutes: u32,
    },
}

/// The measure and the time, as all stripes see them.
#[derive(Default)]
pub(crate) struct AccessState {
    /// The clock of a key that is born now, and `FREQUENCY`.
    word: AtomicU32,
    log_factor: AtomicU32,
    decay_minutes: AtomicU32,
}

impl AccessState {
    pub(crate) fn set_time(&self, now: UnixMs) {
        let seconds = now.0.max(0).unsigned_abs() / 1000;
        let word = self.word.load(Ordering::Relaxed);
        let clock = if word & FREQUENCY == 0 {
            seconds as u32 & CLOCK_MASK
        } else {
            ((seconds / 60) as u32 & MINUTES_MASK) << 8 | NEWBORN
        };
        let new = word & !CLOCK_MASK | clock;
        if new != word {
            self.word.store(new, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_measure(&self, measure: AccessMeasure, now: UnixMs) {
        let flag = match measure {
            AccessMeasure::Recency { saved: false } => 0,
            AccessMeasure::Recency { saved: true } => SAVED,
            AccessMeasure::Frequency { log_factor, decay_minutes } => {
                self.log_factor.store(log_factor, Ordering::Relaxed);
                self.decay_minutes.store(decay_minutes, Ordering::Relaxed);
                FREQUENCY | SAVED
            }
        };
        self.word.store(flag, Ordering::Relaxed);
        self.set_time(now);
    }

    /// The clock of a key that is born now.
    #[inline]
    pub(crate) fn birth(&self) -> u32 {
        self.word.load(Ordering::Relaxed) & CLOCK_MASK
    }

    /// The clock of a key of `old` clock whose value is replaced: recency begins anew, a
    /// frequency goes on.
    #[inline]
    pub(crate) fn after_change(&self, old: u32) -> u32 {
        let word = self.word.load(Ordering::Relaxed);
        if word & FREQUENCY == 0 { word & CLOCK_MASK } else { old }
    }

    /// Whether clocks say frequency.
    #[inline]
    pub(crate) fn counts_uses(&self) -> bool {
        self.word.load(Ordering::Relaxed) & FREQUENCY != 0
    }

    /// All of it, at one moment.
    pub(crate) fn read(&self) -> AccessClock {
        let word = self.word.load(Ordering::Relaxed);
        let measure = if word & FREQUENCY == 0 {
            AccessMeasure::Recency { saved: word & SAVED != 0 }
        } else {
            AccessMeasure::Frequency {
                log_factor: self.log_factor.load(Ordering::Relaxed),
                decay_minutes: self.decay_minutes.load(Ordering::Relaxed),
            }
        };
        AccessClock { birth: word & CLOCK_MASK, measure }
    }
}

/// What an RDB file says of a key's use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SavedUse {
    /// Nothing: no policy asks.
    Nothing,
    /// Seconds since the last use.
    Idle(u32),
    /// The counter of uses.
    Frequency(u8),
}

/// A reading of the clock that entries are stamped with: what their stamps mean now.
#[derive(Clone, Copy, Debug)]
pub struct AccessClock {
    birth: u32,
    measure: AccessMeasure,
}

impl AccessClock {
    /// Whether stamps say frequency.
    pub fn counts_uses(self) -> bool {
        matches!(self.measure, AccessMeasure::Frequency { .. })
    }

    /// What an RDB file says of the use of a key with this stamp.
    pub(crate) fn saved(self, stamp: u32) -> SavedUse {
        match self.measure {
            AccessMeasure::Recency { saved: false } => SavedUse::Nothing,
            AccessMeasure::Recency { saved: true } => SavedUse::Idle(self.idle_seconds(stamp)),
            AccessMeasure::Frequency { .. } => SavedUse::Frequency(self.frequency(stamp)),
        }
    }

    /// The stamp of a key that is born now.
    pub fn birth(self) -> u32 {
        self.birth
    }

    /// Seconds since a key with this stamp was used; only under [`AccessMeasure::Recency`].
    pub fn idle_seconds(self, stamp: u32) -> u32 {
        self.birth.wrapping_sub(stamp) & CLOCK_MASK
    }

    /// The counter of uses of a key with this stamp, less what time has taken off; only under
    /// [`AccessMeasure::Frequency`].
    pub fn frequency(self, stamp: u32) -> u8 {
        let AccessMeasure::Frequency { decay_minutes, .. } = self.measure else { return 0 };
        let lost = self.minutes_since(stamp).checked_div(decay_minutes).unwrap_or(0);
        (stamp & 0xff).saturating_sub(lost) as u8
    }

    fn minutes_since(self, stamp: u32) -> u32 {
        (self.birth >> 8).wrapping_sub(stamp >> 8) & MINUTES_MASK
    }

    /// How well a key may go: the greater, the better. It does not fall while the key is left
    /// alone. Among keys that are used equally often, the one used longest ago goes first.
    pub fn staleness(self, stamp: u32) -> u32 {
        match self.measure {
            AccessMeasure::Recency { .. } => self.idle_seconds(stamp),
            AccessMeasure::Frequency { .. } => {
                u32::from(u8::MAX - self.frequency(stamp)) << 16 | self.minutes_since(stamp)
            }
        }
    }

    /// The stamp of a key that was used so long ago; `None` unless stamps say recency.
    pub fn stamp_of_idle(self, idle_seconds: u64) -> Option<u32> {
        let stamp = self.birth.wrapping_sub(idle_seconds as u32) & CLOCK_MASK;
        (!self.counts_uses()).then_some(stamp)
    }

    /// The stamp of a key that is used so often; `None` unless stamps say frequency.
    pub fn stamp_of_frequency(self, frequency: u8) -> Option<u32> {
        self.counts_uses().then_some(self.birth & !0xff | u32::from(frequency))
    }

    /// The stamp after one more use. `random`: any 32 random bits.
    pub(crate) fn after_use(self, stamp: u32, random: u32) -> u32 {
        let AccessMeasure::Frequency { log_factor, .. } = self.measure else { return self.birth };
        let counter = u32::from(self.frequency(stamp));
        let above = u64::from(counter.saturating_sub(NEWBORN));
        // One more with a chance of 1 / (above * factor + 1).
        let chances = above * u64::from(log_factor) + 1;
        let rises = counter < 255 && u64::from(random) * chances < 1 << 32;
        self.birth & !0xff | (counter + u32::from(rises))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frequency(decay_minutes: u32, minute: i64) -> (AccessState, AccessClock) {
        let state = AccessState::default();
        let measure = AccessMeasure::Frequency { log_factor: 10, decay_minutes };
        state.set_measure(measure, UnixMs(minute * 60_000));
        let clock = state.read();
        (state, clock)
    }

    #[test]
    fn recency_is_seconds_and_wraps() {
        let state = AccessState::default();
        state.set_time(UnixMs(((1 << 24) + 3) * 1000));
        let clock = state.read();
        assert_eq!(clock.birth(), 3);
        assert_eq!(clock.idle_seconds(0xff_ffff), 4);
        let stamp = clock.stamp_of_idle(10).expect("recency");
        assert_eq!(clock.idle_seconds(stamp), 10);
        assert_eq!(clock.stamp_of_frequency(3), None);
    }

    #[test]
    fn a_counter_decays_by_time() {
        let (state, clock) = frequency(2, 65_535);
        let stamp = clock.stamp_of_frequency(100).expect("frequency");
        assert_eq!(clock.frequency(stamp), 100);
        // Ten minutes later the minutes have wrapped.
        state.set_time(UnixMs((65_535 + 10) * 60_000));
        let later = state.read();
        assert_eq!(later.frequency(stamp), 95);
        state.set_time(UnixMs((65_535 + 400) * 60_000));
        assert_eq!(state.read().frequency(stamp), 0);
        assert_eq!(clock.stamp_of_idle(1), None);
        let (state, clock) = frequency(0, 0);
        state.set_time(UnixMs(1000 * 60_000));
        assert_eq!(state.read().frequency(clock.birth()), 5, "without decay");
    }

    /// The chances of Redis's table in redis.conf: with factor 10 some 10 after 100 uses, 18
    /// after 1000, 142 after 100,000.
    #[test]
    fn a_counter_rises_logarithmically() {
        let (_, clock) = frequency(1, 7);
        let mut random = fastrand_like(11);
        let mut stamp = clock.birth();
        let mut seen = Vec::new();
        for uses in 1..=100_000 {
            stamp = clock.after_use(stamp, random());
            if matches!(uses, 100 | 1000 | 100_000) {
                seen.push(clock.frequency(stamp));
            }
        }
        assert!((8..=13).contains(&seen[0]), "{seen:?}");
        assert!((12..=24).contains(&seen[1]), "{seen:?}");
        assert!((125..=160).contains(&seen[2]), "{seen:?}");
        let full = clock.stamp_of_frequency(255).expect("frequency");
        assert_eq!(clock.after_use(full, 0), full);
    }

    #[test]
    fn who_is_used_less_is_staler_and_then_who_is_older() {
        let (state, clock) = frequency(10, 100);
        let [seldom, often] = [4, 9].map(|n| clock.stamp_of_frequency(n).expect("frequency"));
        state.set_time(UnixMs(105 * 60_000));
        let later = state.read();
        let fresh = later.stamp_of_frequency(9).expect("frequency");
        assert!(later.staleness(seldom) > later.staleness(often));
        assert!(later.staleness(often) > later.staleness(fresh));
    }

    fn fastrand_like(mut seed: u64) -> impl FnMut() -> u32 {
        move || {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32) as u32
        }
    }
}
