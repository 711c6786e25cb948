//! When the keys of one table expire, in order of time.
//!
//! An ordered set of (time, hash of the key), kept exact on every change, lets the active cycle
//! free keys on time without sampling. A key is *due* once the clock has passed its expiry; at
//! the very millisecond it still lives, as in Redis.
//!
//! Two keys with the same hash and the same time share one element. When the first of them goes,
//! so does the element, and only a look at the second key will find it expired: with a 64-bit
//! keyed hash that is too rare to pay for.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Bound;

use tandem_base::UnixMs;

use crate::table::below;

/// What one element takes in the ordered set: 16 bytes in nodes that are about two thirds full.
const ELEMENT_BYTES: u64 = 25;

/// The expiries of one table; empty, it is one word.
#[derive(Default)]
pub(crate) struct Expiries(Option<Box<Index>>);

#[derive(Default)]
struct Index {
    order: BTreeSet<(i64, u64)>,
    /// Keys with an expiry.
    keys: u64,
    /// Sum of their times, for the average.
    sum_ms: i128,
    /// The element that [`Expiries::next_in_turn`] gave last; it may be gone.
    turn: Cell<(i64, u64)>,
}

impl Index {
    /// The first element from `place` on, or of all.
    fn from(&self, place: Bound<(i64, u64)>) -> Option<(i64, u64)> {
        let after = self.order.range((place, Bound::Unbounded)).next();
        after.or_else(|| self.order.first()).copied()
    }
}

impl Expiries {
    /// A key's expiry changes from `old` to `new`; `None` is no expiry, or no key.
    pub(crate) fn change(&mut self, hash: u64, old: Option<UnixMs>, new: Option<UnixMs>) {
        if old == new {
            return;
        }
        let index = self.0.get_or_insert_default();
        if let Some(UnixMs(ms)) = old {
            index.order.remove(&(ms, hash));
            index.keys -= 1;
            index.sum_ms -= i128::from(ms);
        }
        if let Some(UnixMs(ms)) = new {
            index.order.insert((ms, hash));
            index.keys += 1;
            index.sum_ms += i128::from(ms);
        }
        if index.keys == 0 {
            self.0 = None;
        }
    }

    /// Number of keys with an expiry.
    pub(crate) fn keys(&self) -> u64 {
        self.0.as_ref().map_or(0, |index| index.keys)
    }

    /// Sum of all expiries, in milliseconds since 1970.
    pub(crate) fn sum_ms(&self) -> i128 {
        self.0.as_ref().map_or(0, |index| index.sum_ms)
    }

    /// The earliest expiry.
    pub(crate) fn first(&self) -> Option<UnixMs> {
        self.0.as_ref()?.order.first().map(|&(ms, _)| UnixMs(ms))
    }

    /// The key that expires first: time and hash.
    pub(crate) fn first_key(&self) -> Option<(UnixMs, u64)> {
        self.0.as_ref()?.order.first().map(|&(ms, hash)| (UnixMs(ms), hash))
    }

    /// The key after the one that was given last, the first after the last: each comes up as
    /// often as any other, but those given one after the other are alike.
    pub(crate) fn next_in_turn(&self) -> Option<(UnixMs, u64)> {
        let index = self.0.as_ref()?;
        let (ms, hash) = index.from(Bound::Excluded(index.turn.get()))?;
        index.turn.set((ms, hash));
        Some((UnixMs(ms), hash))
    }

    /// The next key at or after a moment at random between the first and the last: one has
    /// nothing to do with the other, but those after long pauses come up more often.
    pub(crate) fn next_at_random(&self, random: &mut dyn FnMut() -> u64) -> Option<(UnixMs, u64)> {
        let index = self.0.as_ref()?;
        let (&(first, _), &(last, _)) = (index.order.first()?, index.order.last()?);
        let span = last.abs_diff(first).saturating_add(1);
        let ms = first.saturating_add_unsigned(below(random(), span));
        let (ms, hash) = index.from(Bound::Included((ms, random())))?;
        Some((UnixMs(ms), hash))
    }

    /// What is due at `now`, earliest first: time and hash of the key.
    pub(crate) fn due(&self, now: UnixMs) -> impl Iterator<Item = (UnixMs, u64)> {
        let order = self.0.iter().flat_map(|index| &index.order);
        order.take_while(move |&&(ms, _)| ms < now.0).map(|&(ms, hash)| (UnixMs(ms), hash))
    }

    /// Bytes that the index takes, near enough.
    pub(crate) fn bytes(&self) -> u64 {
        self.keys() * ELEMENT_BYTES
    }
}
