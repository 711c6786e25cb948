//! Keys at random and keys that expire soonest: what eviction chooses from.
//!
//! A sample is a few neighbours in one segment of one stripe: their keys' hashes share a prefix
//! and nothing else, so they are as good as any keys, and the memory on the way to them is
//! fetched side by side. Of a database in which few keys have an expiry, those are found in the
//! expiry index instead.

use std::sync::atomic::Ordering;

use tandem_base::{DbIndex, UnixMs};

use crate::entry::EntryRef;
use crate::hash::KeyHash;
use crate::keyspace::Keyspace;
use crate::stripe::{Part, Stripe};
use crate::table::below;

/// Which keys are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eligible {
    /// All.
    All,
    /// Those with an expiry.
    Volatile,
}

/// Where in a database with fewer volatile keys than one in so many the expiry index is asked.
const FEW: u64 = 8;
/// Segments looked at for one sample of volatile keys.
const SEGMENTS_MAX: u32 = 4;
/// Stripes tried at random before they are gone through one after the other.
const TRIES: u32 = 16;

impl Stripe {
    /// Shows up to `most` keys of each database here; returns how many.
    fn sample(
        &self,
        eligible: Eligible,
        most: usize,
        random: &mut dyn FnMut() -> u64,
        show: &mut dyn FnMut(DbIndex, EntryRef<'_>),
    ) -> usize {
        let mut shown = 0;
        for (db, part) in self.parts() {
            let mut show = |entry: EntryRef<'_>| show(db, entry);
            shown += match eligible {
                Eligible::All => part.table.sample(random(), most, &|_| true, &mut show),
                Eligible::Volatile => self.sample_volatile(part, most, random, &mut show),
            };
        }
        shown
    }

    fn sample_volatile(
        &self,
        part: &Part,
        most: usize,
        random: &mut dyn FnMut() -> u64,
        show: &mut dyn FnMut(EntryRef<'_>),
    ) -> usize {
        let keys = part.expiries.keys();
        if keys == 0 {
            return 0;
        }
        let mut shown = 0;
        if keys * FEW >= part.table.len() {
            let volatile = |entry: EntryRef<'_>| entry.expiry().is_some();
            for _ in 0..SEGMENTS_MAX {
                shown += part.table.sample(random(), most - shown, &volatile, show);
                if shown == most {
                    return shown;
                }
            }
            if shown > 0 {
                return shown;
            }
        }
        // Either way may be the first: of a single key, neither decides alone.
        let first = random() >> 63;
        for n in 0..(most as u64).min(keys) {
            let next = if n % 2 == first {
                part.expiries.next_in_turn()
            } else {
                part.expiries.next_at_random(random)
            };
            let Some((time, hash)) = next else { break };
            if let Some(entry) = part.table.get_hash(hash, self.shared.hasher, time) {
                show(entry);
                shown += 1;
            }
        }
        shown
    }

    /// The key of all databases here that expires first.
    fn soonest(&self) -> Option<(UnixMs, DbIndex, u64)> {
        let firsts = self.parts().filter_map(|(db, part)| {
            let (time, hash) = part.expiries.first_key()?;
            Some((time, db, hash))
        });
        firsts.min_by_key(|&(time, ..)| time)
    }
}

impl Keyspace {
    /// Shows about `most` keys at random of each database: every database in a stripe at random,
    /// and of further stripes while there are fewer than `most` in all. Returns how many; 0 if
    /// there is no such key.
    ///
    /// `random` gives 64 random bits at a time. No stripe may be locked by the caller.
    pub fn sample(
        &self,
        eligible: Eligible,
        most: usize,
        random: &mut dyn FnMut() -> u64,
        mut show: impl FnMut(DbIndex, EntryRef<'_>),
    ) -> usize {
        assert!(most > 0);
        let mut shown = 0;
        for _ in 0..TRIES {
            let Some(stripe) = self.pick_stripe(random) else { return 0 };
            if self.may_have(eligible, stripe) {
                shown += self.lock(stripe).sample(eligible, most, random, &mut show);
            }
            if shown >= most {
                break;
            }
        }
        if shown > 0 {
            return shown;
        }
        let count = u64::from(self.stripe_count());
        let start = below(random(), count);
        for step in 0..count {
            let stripe = ((start + step) & (count - 1)) as u16;
            if shown < most && self.may_have(eligible, stripe) {
                shown += self.lock(stripe).sample(eligible, most, random, &mut show);
            }
        }
        shown
    }

    /// A stripe at random, with a chance of its bytes over those of all: keys that share a hash
    /// tag lie in one stripe, so one may hold far more than the others. `None` without keys.
    fn pick_stripe(&self, random: &mut dyn FnMut() -> u64) -> Option<u16> {
        let mut fullest = self.fullest_bytes.load(Ordering::Relaxed);
        for _ in 0..TRIES {
            let stripe = below(random(), u64::from(self.stripe_count())) as u16;
            let bytes = self.stripe_bytes(stripe);
            if bytes > fullest {
                fullest = bytes;
                self.fullest_bytes.store(bytes, Ordering::Relaxed);
            }
            if bytes > 0 && below(random(), fullest) < bytes {
                return Some(stripe);
            }
        }
        // At most 2^16 stripes.
        let all = || (0..self.stripe_count()).map(|stripe| self.stripe_bytes(stripe as u16));
        self.fullest_bytes.store(all().max().unwrap_or(0), Ordering::Relaxed);
        let mut nth = below(random(), all().sum());
        let chosen = all().position(|bytes| {
            let here = nth < bytes;
            nth = nth.wrapping_sub(if here { 0 } else { bytes });
            here
        });
        chosen.map(|stripe| stripe as u16)
    }

    /// Whether there may be such a key in a stripe; takes no lock.
    #[inline]
    fn may_have(&self, eligible: Eligible, stripe: u16) -> bool {
        match eligible {
            Eligible::All => self.stripe_bytes(stripe) > 0,
            Eligible::Volatile => self.next_expiry(stripe).is_some(),
        }
    }

    /// The key of all databases that expires first, exactly: its expiry, database and hash.
    pub fn soonest_expiry(&self) -> Option<(UnixMs, DbIndex, KeyHash)> {
        loop {
            let times = self.next_expiry_ms.iter().map(|at| at.load(Ordering::Relaxed));
            let (stripe, ms) = times.enumerate().min_by_key(|&(_, ms)| ms)?;
            if ms == i64::MAX {
                return None;
            }
            // At most 2^16 stripes.
            let stripe = stripe as u16;
            // Gone since: what the stripe shows is right again once its lock is let go.
            if let Some((time, db, hash)) = self.lock(stripe).soonest() {
                return Some((time, db, KeyHash { hash, stripe }));
            }
        }
    }
}

#[cfg(test)]
mod tests;
