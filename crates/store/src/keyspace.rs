//! All keys of a server: a fixed number of stripes, each behind its own short lock.
//!
//! A worker hashes a key once ([`Keyspace::hash`]), locks the stripe that the hash names, and
//! works on the [`Stripe`]. Several stripes are locked in the order of their numbers. Methods
//! here that look at the whole keyspace lock one stripe after the other and must not be called
//! with a stripe locked; what they say is exact if nobody writes meanwhile.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crossbeam_utils::CachePadded;
use tandem_base::{DbIndex, UnixMs};

use crate::access::{AccessClock, AccessMeasure};
use crate::entry::EntryRef;
use crate::hash::{Hasher, KeyHash};
use crate::hashes::{HashLimits, NewHash};
use crate::overwritten::OldValues;
use crate::segment;
use crate::shared::Shared;
use crate::snapshot::{Handed, Side};
use crate::stripe::{Part, Stripe};
use crate::table::{DirectoryHint, PREFIX_BITS, below};

/// More stripes than that would reach into the hash bits that choose a bucket.
const STRIPES_LOG2_MAX: u32 = 16;

/// See the module's story.
pub struct Keyspace {
    stripes: Box<[CachePadded<Cell>]>,
    /// Earliest expiry of each stripe; apart from the stripes, so that the active cycle reads
    /// eight to a cache line.
    pub(crate) next_expiry_ms: Box<[AtomicI64]>,
    pub(crate) shared: Arc<Shared>,
    databases: u16,
    /// Keys of the fullest stripe when last counted, per database: see `random_key`.
    fullest: Box<[AtomicU64]>,
    /// Bytes of the fullest stripe that a sample has met; see `sample`.
    pub(crate) fullest_bytes: AtomicU64,
}

/// A stripe, and what it shows outside its lock as of the last time that it was released.
#[repr(C)]
struct Cell {
    /// A `DirectoryHint` for database 0.
    directory: AtomicU64,
    stripe: Mutex<Stripe>,
    /// `Stripe::bytes`.
    bytes: AtomicU64,
}

const _: () = assert!(size_of::<Cell>() <= 128, "two cache lines");

/// A locked stripe.
pub struct StripeGuard<'a> {
    stripe: MutexGuard<'a, Stripe>,
    cell: &'a Cell,
    next_expiry_ms: &'a AtomicI64,
}

impl Deref for StripeGuard<'_> {
    type Target = Stripe;

    #[inline]
    fn deref(&self) -> &Stripe {
        &self.stripe
    }
}

impl DerefMut for StripeGuard<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Stripe {
        &mut self.stripe
    }
}

impl Drop for StripeGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(news) = self.stripe.news() {
            self.cell.bytes.store(news.bytes, Ordering::Relaxed);
            self.cell.directory.store(news.directory.0, Ordering::Relaxed);
            // Most changes leave it alone, and its cache line is shared with other stripes.
            if self.next_expiry_ms.load(Ordering::Relaxed) != news.next_expiry_ms {
                self.next_expiry_ms.store(news.next_expiry_ms, Ordering::Relaxed);
            }
        }
    }
}

/// How much a database holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DbStats {
    /// Number of keys.
    pub keys: u64,
    /// Number of keys with an expiry.
    pub expires: u64,
    /// Mean time that those keys have left, in milliseconds; 0 if none, or if most are due.
    pub avg_ttl_ms: u64,
}

/// What a database takes besides its keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DbOverhead {
    /// Number of keys.
    pub keys: u64,
    /// Bytes of the tables.
    pub table_bytes: u64,
    /// Bytes of the index of expiries.
    pub expiry_bytes: u64,
}

/// Tables taken out of the keyspace. Freeing many keys takes long; drop it where that does not
/// matter.
#[derive(Default)]
pub struct OldTables {
    pub(crate) parts: Vec<Part>,
    /// What had been flushed and left to a snapshot that was aborted.
    pub(crate) _handed: Vec<Handed>,
    /// What an aborted snapshot had been given.
    pub(crate) _sides: Vec<Side>,
}

impl OldTables {
    /// Bytes that are free once it has been dropped, or a few more: somebody may share values.
    /// What a snapshot leaves is not in it: that counts as kept for a snapshot
    /// ([`Keyspace::kept_for_snapshot`]) until it is dropped.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(Part::bytes).sum()
    }
}

impl Keyspace {
    /// An empty keyspace of `databases` databases and `2^stripes_log2` stripes (at most 2^16),
    /// hashing under the secret `sip_key`.
    pub fn new(databases: u16, stripes_log2: u32, sip_key: [u64; 2]) -> Keyspace {
        assert!(databases > 0);
        assert!(stripes_log2 <= STRIPES_LOG2_MAX);
        let shared = Arc::new(Shared::new(Hasher::new(sip_key), databases));
        let count = 1usize << stripes_log2;
        let cell = |_| {
            let stripe = Mutex::new(Stripe::new(Arc::clone(&shared)));
            CachePadded::new(Cell {
                directory: AtomicU64::new(0),
                stripe,
                bytes: AtomicU64::new(0),
            })
        };
        Keyspace {
            stripes: (0..count).map(cell).collect(),
            next_expiry_ms: (0..count).map(|_| AtomicI64::new(i64::MAX)).collect(),
            databases,
            fullest: (0..databases).map(|_| AtomicU64::new(0)).collect(),
            fullest_bytes: AtomicU64::new(0),
            shared,
        }
    }

    /// Number of databases.
    pub fn databases(&self) -> u16 {
        self.databases
    }

    /// Number of stripes, a power of two.
    pub fn stripe_count(&self) -> u32 {
        self.stripes.len() as u32
    }

    /// Where `key` belongs.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        // At most 2^16 stripes.
        self.shared.hasher.place(key, (self.stripes.len() - 1) as u16)
    }

    /// Locks a stripe.
    #[inline]
    pub fn lock(&self, stripe: u16) -> StripeGuard<'_> {
        let cell = &self.stripes[usize::from(stripe)];
        StripeGuard {
            stripe: cell.stripe.lock().expect("no thread has panicked in the midst of a change"),
            cell,
            next_expiry_ms: &self.next_expiry_ms[usize::from(stripe)],
        }
    }

    /// All stripes, one after the other.
    pub(crate) fn each_stripe(&self) -> impl Iterator<Item = StripeGuard<'_>> {
        // At most 2^16 stripes, so the last number fits.
        (0..self.stripe_count()).map(|stripe| self.lock(stripe as u16))
    }

    /// Asks the processor to fetch the lock and the root of the table of a key's stripe: the
    /// first of four steps, each to be taken for all keys of a batch before the next. They are
    /// this, [`Keyspace::prefetch_directory`], [`Stripe::prefetch`], [`Stripe::prefetch_entry`].
    #[inline]
    pub fn prefetch_stripe(&self, hash: KeyHash) {
        let cell: *const CachePadded<Cell> = &self.stripes[usize::from(hash.stripe)];
        segment::prefetch(cell.cast());
    }

    /// Asks the processor to fetch what leads from the hash to the key's place; the second step.
    /// Takes no lock. Does nothing in other databases than 0, where the next step finds out.
    #[inline]
    pub fn prefetch_directory(&self, db: DbIndex, hash: KeyHash) {
        if db.0 == 0 {
            let cell = &self.stripes[usize::from(hash.stripe)];
            DirectoryHint(cell.directory.load(Ordering::Relaxed)).prefetch(hash.hash);
        }
    }

    /// Asks the processor to fetch all that a batch of commands will look at: takes the four
    /// steps for each key. Between two steps about as much time should pass as memory needs, so
    /// some 16 to 64 keys at a time are best.
    pub fn prefetch(&self, db: DbIndex, batch: &[KeyHash]) {
        batch.iter().for_each(|hash| self.prefetch_stripe(*hash));
        batch.iter().for_each(|hash| self.prefetch_directory(db, *hash));
        batch.iter().for_each(|hash| self.lock(hash.stripe).prefetch(db, *hash));
        batch.iter().for_each(|hash| self.lock(hash.stripe).prefetch_entry(db, *hash));
    }

    /// Whether overwritten values of many elements are kept for [`Keyspace::take_overwritten`];
    /// those of much memory always are.
    pub fn keep_overwritten(&self, also_of_many_elements: bool) {
        self.shared.overwritten.set_lazy(also_of_many_elements);
    }

    /// Large values that have been overwritten since the last call; freeing them takes long.
    /// One load when there are none. `count` is told their bytes before
    /// [`Keyspace::overwritten_bytes`] leaves them out.
    pub fn take_overwritten(&self, count: impl FnOnce(u64)) -> Option<OldValues> {
        self.shared.overwritten.take(count)
    }

    /// Bytes of the values that [`Keyspace::take_overwritten`] will give; takes no lock.
    pub fn overwritten_bytes(&self) -> u64 {
        self.shared.overwritten.bytes()
    }

    /// A hash without a key or fields, to be put together before [`Stripe::set_hash`]. It will
    /// have about `len` fields.
    pub fn new_hash(&self, len: u64, limits: HashLimits) -> NewHash {
        NewHash::for_len(len, limits, self.shared.hasher)
    }

    /// Sets the clock that keys are stamped with when they are used.
    pub fn set_access_time(&self, now: UnixMs) {
        self.shared.access.set_time(now);
    }

    /// Chooses what the stamps say from now on.
    pub fn measure_access(&self, measure: AccessMeasure, now: UnixMs) {
        self.shared.access.set_measure(measure, now);
    }

    /// Whether stamps say frequency; one load.
    #[inline]
    pub fn counts_uses(&self) -> bool {
        self.shared.access.counts_uses()
    }

    /// What the stamps of entries mean now.
    pub fn access_clock(&self) -> AccessClock {
        self.shared.access.read()
    }

    /// `Stripe::bytes` as of the last time that the stripe was released.
    #[inline]
    pub(crate) fn stripe_bytes(&self, stripe: u16) -> u64 {
        self.stripes[usize::from(stripe)].bytes.load(Ordering::Relaxed)
    }

    /// Number of keys in `db`; takes no lock.
    pub fn len(&self, db: DbIndex) -> u64 {
        self.shared.key_counts.sum(db)
    }

    /// Number of keys in all databases; takes no lock.
    pub fn len_of_all(&self) -> u64 {
        (0..self.databases).map(|db| self.len(DbIndex(db))).sum()
    }

    /// Whether `db` has no keys; takes no lock.
    pub fn is_empty(&self, db: DbIndex) -> bool {
        self.len(db) == 0
    }

    /// Number of keys with an expiry in `db`.
    pub fn expires(&self, db: DbIndex) -> u64 {
        self.each_stripe().map(|stripe| stripe.expires(db)).sum()
    }

    /// Keys, expiries and mean time to live of each database, in one pass.
    pub fn stats(&self, now: UnixMs) -> Vec<DbStats> {
        let mut stats = vec![(DbStats::default(), 0i128); usize::from(self.databases)];
        for stripe in self.each_stripe() {
            for (db, part) in stripe.parts() {
                let (stats, sum_ms) = &mut stats[db.index()];
                stats.keys += part.table.len();
                stats.expires += part.expiries.keys();
                *sum_ms += part.expiries.sum_ms();
            }
        }
        let average = |(mut stats, sum_ms): (DbStats, i128)| {
            if stats.expires > 0 {
                let ttl_ms = sum_ms / i128::from(stats.expires) - i128::from(now.0);
                stats.avg_ttl_ms = u64::try_from(ttl_ms).unwrap_or(0);
            }
            stats
        };
        stats.into_iter().map(average).collect()
    }

    /// What each database takes besides its keys and values, in one pass.
    pub fn overheads(&self) -> Vec<DbOverhead> {
        let mut overheads = vec![DbOverhead::default(); usize::from(self.databases)];
        for stripe in self.each_stripe() {
            for (db, part) in stripe.parts() {
                let overhead = &mut overheads[db.index()];
                overhead.keys += part.table.len();
                overhead.table_bytes += part.table.overhead_bytes();
                overhead.expiry_bytes += part.expiries.bytes();
            }
        }
        overheads
    }

    /// Mean time to live of the keys of `db` that have an expiry, in milliseconds.
    pub fn avg_ttl(&self, db: DbIndex, now: UnixMs) -> u64 {
        self.stats(now)[db.index()].avg_ttl_ms
    }

    /// Earliest expiry in a stripe; takes no lock.
    #[inline]
    pub fn next_expiry(&self, stripe: u16) -> Option<UnixMs> {
        let ms = self.next_expiry_ms[usize::from(stripe)].load(Ordering::Relaxed);
        (ms != i64::MAX).then_some(UnixMs(ms))
    }

    /// Bytes of all keys, values, tables and expiry indexes, in the allocator's size classes;
    /// takes no lock. What was handed to a snapshot or to the caller is not in it.
    pub fn memory_bytes(&self) -> u64 {
        self.stripes.iter().map(|cell| cell.bytes.load(Ordering::Relaxed)).sum()
    }

    /// One step of SCAN: shows the keys of the next piece of `db` that has some, at most 64 of
    /// them, and returns the cursor to go on with; 0 at the end. A walk begins with 0.
    ///
    /// A key that is there from the beginning of a walk to its end is shown at least once,
    /// however the table grows or shrinks meanwhile. Any number is taken as a cursor; one that
    /// no walk returned may skip keys, nothing worse.
    pub fn scan(&self, db: DbIndex, cursor: u64, mut show: impl FnMut(EntryRef<'_>)) -> u64 {
        let mut stripe = cursor >> PREFIX_BITS;
        let mut prefix = cursor & ((1 << PREFIX_BITS) - 1);
        while stripe < u64::from(self.stripe_count()) {
            let guard = self.lock(stripe as u16);
            let table = guard.part(db).map(|part| &part.table);
            let mut shown = false;
            let next = table.and_then(|table| {
                table.visit_segment(prefix, |entry| {
                    shown = true;
                    show(entry);
                    std::ops::ControlFlow::Continue(())
                })
            });
            match next {
                Some(next) => prefix = next,
                None => (stripe, prefix) = (stripe + 1, 0),
            }
            if shown {
                break;
            }
        }
        if stripe >= u64::from(self.stripe_count()) { 0 } else { stripe << PREFIX_BITS | prefix }
    }

    /// A key of `db` at random, each with the same chance, expired ones included.
    ///
    /// `random` gives 64 random bits at a time.
    pub fn random_key(&self, db: DbIndex, random: &mut dyn FnMut() -> u64) -> Option<Vec<u8>> {
        /// Tries before the stripes are counted; with a good bound one or two are enough.
        const TRIES: u32 = 32;
        // A stripe at random is taken with a chance of its keys over those of the fullest, so
        // that each key has the same chance. The bound is from the last count; a stripe that
        // has outgrown it asks for a new one.
        let bound = self.fullest[db.index()].load(Ordering::Relaxed);
        for _ in 0..if bound == 0 { 0 } else { TRIES } {
            let stripe = below(random(), u64::from(self.stripe_count())) as u16;
            let guard = self.lock(stripe);
            let Some(part) = guard.part(db) else { continue };
            if part.table.len() > bound {
                break;
            }
            if below(random(), bound) < part.table.len() {
                return part.table.random(random).map(|entry| entry.key().to_vec());
            }
        }
        self.count_for_random_key(db, random)
    }

    /// The slow way: counts every stripe, then takes the nth key's.
    fn count_for_random_key(
        &self,
        db: DbIndex,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<Vec<u8>> {
        loop {
            let counts: Vec<u64> = self.each_stripe().map(|stripe| stripe.len(db)).collect();
            let fullest = counts.iter().copied().max().unwrap_or(0);
            if fullest == 0 {
                return None;
            }
            self.fullest[db.index()].store(fullest + fullest / 8, Ordering::Relaxed);
            let mut nth = below(random(), counts.iter().sum());
            let chosen = counts.iter().position(|&count| {
                let here = nth < count;
                nth = nth.wrapping_sub(if here { 0 } else { count });
                here
            });
            let chosen = chosen.expect("nth is below the sum");
            let guard = self.lock(chosen as u16);
            // Nothing there any more if others are at work.
            if let Some(entry) = guard.part(db).and_then(|part| part.table.random(random)) {
                return Some(entry.key().to_vec());
            }
        }
    }

    /// Swaps the keys of two databases. Nobody else may be at work in the keyspace but a
    /// snapshot's walk.
    pub fn swap_databases(&self, a: DbIndex, b: DbIndex) {
        assert!(a.0 < self.databases && b.0 < self.databases);
        if a != b {
            for mut stripe in self.each_stripe() {
                stripe.swap_parts(a, b);
            }
        }
    }

    /// Empties a database; dropping what it returns frees the keys.
    pub fn flush_database(&self, db: DbIndex) -> OldTables {
        let mut parts = Vec::new();
        for mut stripe in self.each_stripe() {
            parts.extend(stripe.flush(db));
        }
        OldTables { parts, ..OldTables::default() }
    }

    /// Empties all databases; dropping what it returns frees the keys.
    pub fn flush_all(&self) -> OldTables {
        let mut parts = Vec::new();
        for mut stripe in self.each_stripe() {
            parts.extend(stripe.flush_all());
        }
        OldTables { parts, ..OldTables::default() }
    }
}

#[cfg(test)]
mod tests;
