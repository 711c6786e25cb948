//! One stripe: a short lock's share of every database.
//!
//! Everything that changes a key goes through the methods here, so that what must accompany a
//! change cannot be forgotten: the old value goes into a running snapshot, the order of
//! expiries is kept, memory is counted.
//!
//! Nothing here decides when a key has expired or what a command means.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use tandem_base::{DbIndex, UnixMs, num};

use crate::entry::{Entry, EntryRef, INLINE_MAX_BYTES, Stamp, Value};
use crate::expiry::Expiries;
use crate::hash::KeyHash;
use crate::hashes::{HashLimits, NewHash, NewKept, has_more_than};
use crate::parts::Parts;
use crate::shared::Shared;
use crate::snapshot::{CutOf, Side};
use crate::table::{DirectoryHint, Position, Table};
use crate::value::{Expiry, NewString, StringRef};

/// One database's keys in one stripe.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Part {
    pub(crate) table: Table,
    pub(crate) expiries: Expiries,
    /// Which database this was when the last snapshot was cut.
    pub(crate) cut: CutOf,
}

impl Part {
    /// Bytes of keys, values, the table and the index of expiries.
    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        self.table.bytes() + self.expiries.bytes()
    }
}

/// One stripe of the keyspace, behind its lock.
///
/// The order of the fields is that of use: what a GET needs stands in one cache line with the
/// lock.
#[repr(C)]
pub struct Stripe {
    pub(crate) shared: Arc<Shared>,
    /// Whether the numbers shown outside the lock are out of date.
    changed: bool,
    /// For the chances that a counter of uses takes.
    random: Cell<u32>,
    /// Database 0, which most servers never leave, is at hand.
    first: Part,
    /// The other databases that have keys here.
    rest: Option<Box<Parts>>,
    /// Earliest expiry over all databases, see [`shown`]; `i64::MAX` if none.
    next_expiry_ms: i64,
    /// Old values that a running snapshot has yet to take.
    pub(crate) side: Option<Box<Side>>,
    /// The last snapshot (its serial) during which a part here moved or was flushed.
    pub(crate) parts_moved: u32,
    /// How often that has happened, so that a walk knows whether it did.
    pub(crate) moves: u32,
}

/// A key and value that have been taken out of the keyspace, or never were in it.
///
/// Dropping it frees them, on whatever thread.
pub struct Detached {
    entry: Entry,
}

impl Detached {
    /// Looks at it.
    pub fn view(&self) -> EntryRef<'_> {
        self.entry.view()
    }

    /// A second key with the same value and expiry; a large value is shared, not copied.
    pub fn copy_of(entry: EntryRef<'_>) -> Detached {
        Detached { entry: Entry::copy_of(entry) }
    }
}

impl<'a> Value<'a> {
    /// Chooses the encoding.
    fn encode(value: &'a mut NewString<'_>) -> Value<'a> {
        match value {
            NewString::Int(number) => Value::Int(*number),
            NewString::Bytes(bytes) => match num::parse_i64(bytes) {
                Some(number) => Value::Int(number),
                None => Value::from_bytes(bytes),
            },
            NewString::Owned(bytes) => match num::parse_i64(bytes) {
                Some(number) => Value::Int(number),
                None if bytes.len() <= INLINE_MAX_BYTES => Value::Inline(bytes),
                None => Value::Large(Arc::new(trimmed(std::mem::take(bytes)))),
            },
            NewString::Shared(bytes) if bytes.len() > INLINE_MAX_BYTES => {
                Value::Large(Arc::clone(bytes))
            }
            NewString::Shared(bytes) => match num::parse_i64(bytes) {
                Some(number) => Value::Int(number),
                None => Value::Inline(bytes),
            },
            NewString::Text(bytes) => Value::from_bytes(bytes),
        }
    }

    fn from_bytes(bytes: &'a [u8]) -> Value<'a> {
        if bytes.len() <= INLINE_MAX_BYTES {
            Value::Inline(bytes)
        } else {
            Value::Large(Arc::new(bytes.to_vec()))
        }
    }
}

/// The vector without what it has reserved for nothing, if that is much.
fn trimmed(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.capacity() - bytes.len() > bytes.len() / 4 {
        bytes.shrink_to_fit();
    }
    bytes
}

impl Stripe {
    pub(crate) fn new(shared: Arc<Shared>) -> Stripe {
        Stripe {
            shared,
            changed: false,
            random: Cell::new(0),
            first: Part::default(),
            rest: None,
            next_expiry_ms: i64::MAX,
            side: None,
            parts_moved: 0,
            moves: 0,
        }
    }

    #[inline]
    pub(crate) fn part(&self, db: DbIndex) -> Option<&Part> {
        match db.index() {
            0 => Some(&self.first),
            _ => self.rest.as_ref()?.get(db),
        }
    }

    /// The part of `db`, made if it is not there; whoever asks for it is about to change what is
    /// shown outside the lock.
    #[inline]
    pub(crate) fn part_mut(&mut self, db: DbIndex) -> &mut Part {
        self.changed = true;
        self.part_mut_unchanged(db)
    }

    /// The same, for changes that leave the numbers shown outside the lock as they are.
    #[inline]
    pub(crate) fn part_mut_unchanged(&mut self, db: DbIndex) -> &mut Part {
        match db.index() {
            0 => &mut self.first,
            _ => self.other_part_mut(db),
        }
    }

    fn other_part_mut(&mut self, db: DbIndex) -> &mut Part {
        let cut = CutOf::of_new_part(self.parts_moved);
        let make = || Part { cut, ..Part::default() };
        let rest = self.rest.get_or_insert_with(|| Box::new(Parts::new(db, make())));
        rest.get_or_insert(db, make)
    }

    /// The databases that have keys here, and 0, by their number.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (DbIndex, &Part)> {
        let others = self.rest.iter().flat_map(|rest| rest.iter());
        std::iter::once((DbIndex(0), &self.first)).chain(others)
    }

    /// The first part from `db` on.
    pub(crate) fn first_part_from(&self, db: DbIndex) -> Option<(DbIndex, &Part)> {
        match db.index() {
            0 => Some((db, &self.first)),
            _ => self.rest.as_ref()?.first_from(db),
        }
    }

    /// Databases that have keys here, and 0.
    pub fn databases(&self) -> Vec<DbIndex> {
        self.parts().map(|(db, _)| db).collect()
    }

    /// Takes a part out. Who looks for it meets an empty one, which no snapshot wants: see
    /// [`CutOf`].
    fn detach_part(&mut self, db: DbIndex) -> Part {
        self.changed = true;
        if db.index() == 0 {
            let cut = CutOf::of_new_part(self.parts_moved);
            return std::mem::replace(&mut self.first, Part { cut, ..Part::default() });
        }
        let taken = self.rest.as_mut().and_then(|rest| rest.remove(db));
        let (part, was_last) = taken.unwrap_or_default();
        if was_last {
            self.rest = None;
        }
        part
    }

    /// Puts a part in, where [`Stripe::detach_part`] has taken one out.
    fn attach_part(&mut self, db: DbIndex, part: Part) {
        if !part.table.is_empty() {
            *self.part_mut(db) = part;
        }
    }

    /// Number of keys in `db` here.
    pub fn len(&self, db: DbIndex) -> u64 {
        self.part(db).map_or(0, |part| part.table.len())
    }

    /// Whether `db` has no key here.
    pub fn is_empty(&self, db: DbIndex) -> bool {
        self.len(db) == 0
    }

    /// Number of keys with an expiry in `db` here.
    pub fn expires(&self, db: DbIndex) -> u64 {
        self.part(db).map_or(0, |part| part.expiries.keys())
    }

    /// The entry of `key`, expired or not.
    #[inline]
    pub fn get(&self, db: DbIndex, key: &[u8], hash: KeyHash) -> Option<EntryRef<'_>> {
        self.part(db)?.table.get(key, hash.hash)
    }

    #[inline]
    pub(crate) fn find(&self, db: DbIndex, key: &[u8], hash: KeyHash) -> Option<Position> {
        self.part(db)?.table.find(key, hash.hash)
    }

    /// Asks the processor to fetch the table's lines for a key.
    #[inline]
    pub fn prefetch(&self, db: DbIndex, hash: KeyHash) {
        if let Some(part) = self.part(db) {
            part.table.prefetch_buckets(hash.hash);
        }
    }

    /// Asks the processor to fetch the key's entry; a moment after [`Stripe::prefetch`].
    #[inline]
    pub fn prefetch_entry(&self, db: DbIndex, hash: KeyHash) {
        if let Some(part) = self.part(db) {
            part.table.prefetch_entry(hash.hash);
        }
    }

    /// Sets `key` to a string; says whether the key existed. Its access clock is the
    /// keyspace's.
    pub fn set_string(
        &mut self,
        db: DbIndex,
        key: &[u8],
        hash: KeyHash,
        mut value: NewString<'_>,
        expiry: Expiry,
    ) -> bool {
        self.set_value(db, key, hash, Value::encode(&mut value), expiry, false)
    }

    fn set_value(
        &mut self,
        db: DbIndex,
        key: &[u8],
        hash: KeyHash,
        value: Value<'_>,
        expiry: Expiry,
        shown_raw: bool,
    ) -> bool {
        let stamp = self.shared.stamp();
        if let Some(at) = self.find(db, key, hash) {
            self.save_before_change(db, at);
            let clock = self.clock_after_change(db, at);
            let table = &mut self.part_mut_unchanged(db).table;
            let old = table.entry(at).expiry();
            let new = match expiry {
                Expiry::Keep => old,
                Expiry::Clear => None,
                Expiry::At(time) => Some(time),
            };
            if let Err(value) = table.overwrite(at, value, new, shown_raw, clock) {
                let old = self
                    .part_mut(db)
                    .table
                    .update(at, |entry| entry.replace_value(value, new, shown_raw, clock));
                self.shared.overwritten.discard(old);
            }
            self.order_expiry(db, hash, old, new);
            return true;
        }
        let expiry = match expiry {
            Expiry::At(time) => Some(time),
            Expiry::Keep | Expiry::Clear => None,
        };
        self.insert(db, hash, Entry::new(key, value, expiry, shown_raw, stamp));
        false
    }

    /// The access clock of an entry whose value is about to be replaced.
    #[inline]
    fn clock_after_change(&self, db: DbIndex, at: Position) -> u32 {
        let part = self.part(db).expect("a position is of a part that is there");
        self.shared.access.after_change(part.table.entry(at).access_clock())
    }

    /// An entry of this stripe has been used: its access clock moves, or its counter may rise.
    #[inline]
    pub fn note_use(&self, entry: EntryRef<'_>) {
        if self.shared.access.counts_uses() {
            self.count_use(entry);
        } else {
            entry.touch(self.shared.access.birth());
        }
    }

    fn count_use(&self, entry: EntryRef<'_>) {
        let next = self.random.get().wrapping_add(0x9e37_79b9);
        self.random.set(next);
        // SplitMix64's mixer, of which the upper half is used.
        let next = u64::from(next) << 32 | u64::from(entry.access_clock());
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let clock = self.shared.access.read();
        entry.touch(clock.after_use(entry.access_clock(), (mixed >> 32) as u32));
    }

    pub(crate) fn insert(&mut self, db: DbIndex, hash: KeyHash, entry: Entry) {
        let hasher = self.shared.hasher;
        let expiry = entry.view().expiry();
        self.part_mut(db).table.insert(hash.hash, entry, hasher);
        self.shared.key_counts.add(db, hash.stripe, 1);
        self.order_expiry(db, hash, None, expiry);
    }

    /// Puts a hash under `key`, whatever was there; says whether the key existed. It must have
    /// fields.
    pub fn set_hash(
        &mut self,
        db: DbIndex,
        key: &[u8],
        hash: KeyHash,
        value: NewHash,
        expiry: Expiry,
    ) -> bool {
        assert!(!value.view().is_empty(), "a hash in the keyspace has fields");
        let list;
        let value = match value.kept {
            NewKept::Large(fields) => Value::Fields(fields),
            NewKept::Packed(bytes) if bytes.len() <= INLINE_MAX_BYTES => {
                list = bytes;
                Value::Packed(&list)
            }
            NewKept::Packed(bytes) => Value::PackedLarge(Arc::new(trimmed(bytes))),
        };
        self.set_value(db, key, hash, value, expiry, false)
    }

    /// The same from a list that the RDB parser gave, of at least one pair: see
    /// [`Value::Hash`](crate::rdb::parse::Value::Hash). A long one that is owned is kept as it
    /// stands.
    pub fn set_hash_listpack(
        &mut self,
        db: DbIndex,
        key: &[u8],
        hash: KeyHash,
        (list, long_texts): (Cow<'_, [u8]>, bool),
        limits: HashLimits,
        expiry: Expiry,
    ) -> bool {
        assert!(!list.is_empty(), "a hash in the keyspace has fields");
        let value = if long_texts || has_more_than(&list, limits.entries) {
            let value = NewHash::new(limits, self.shared.hasher);
            let value = value.with_listpack(&list, long_texts);
            return self.set_hash(db, key, hash, value, expiry);
        } else if list.len() <= INLINE_MAX_BYTES {
            Value::Packed(&list)
        } else {
            Value::PackedLarge(Arc::new(trimmed(list.into_owned())))
        };
        self.set_value(db, key, hash, value, expiry, false)
    }

    /// Changes a string's bytes in place, as APPEND and SETRANGE do; a missing key is an empty
    /// string at first, and comes into being whatever `change` does. The expiry stays. OBJECT
    /// ENCODING says `raw` from now on, and an integer is not kept as one.
    pub fn with_string_mut<R>(
        &mut self,
        db: DbIndex,
        key: &[u8],
        hash: KeyHash,
        change: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> R {
        let found = self.find(db, key, hash);
        let mut bytes = Vec::new();
        if let Some(at) = found {
            self.save_before_change(db, at);
            let clock = self.clock_after_change(db, at);
            let table = &mut self.part_mut(db).table;
            match table.entry(at).string().expect("the caller has seen the type") {
                StringRef::Large(_) => {
                    return table.update(at, |mut entry| {
                        let shared = entry.large_mut().expect("just seen");
                        let result = change(Arc::make_mut(shared));
                        entry.show_raw();
                        entry.view().touch(clock);
                        (entry, result)
                    });
                }
                short => bytes.extend_from_slice(short.bytes(&mut itoa::Buffer::new())),
            }
        }
        let result = change(&mut bytes);
        let value = if bytes.len() <= INLINE_MAX_BYTES {
            Value::Inline(&bytes)
        } else {
            Value::Large(Arc::new(bytes))
        };
        self.set_value(db, key, hash, value, Expiry::Keep, true);
        result
    }

    /// Removes a key and frees it; says whether it was there.
    pub fn remove(&mut self, db: DbIndex, key: &[u8], hash: KeyHash) -> bool {
        self.take(db, key, hash).is_some()
    }

    /// Removes a key and hands it over, to be freed elsewhere or put under another key.
    pub fn take(&mut self, db: DbIndex, key: &[u8], hash: KeyHash) -> Option<Detached> {
        let at = self.find(db, key, hash)?;
        Some(self.take_at(db, hash, at))
    }

    /// Removes the key of that hash if it passes `test`, and hands it over.
    pub fn take_if(
        &mut self,
        db: DbIndex,
        hash: KeyHash,
        test: impl Fn(EntryRef<'_>) -> bool,
    ) -> Option<Detached> {
        let at = self.part(db)?.table.find_hash(hash.hash, self.shared.hasher, test)?;
        Some(self.take_at(db, hash, at))
    }

    pub(crate) fn take_at(&mut self, db: DbIndex, hash: KeyHash, at: Position) -> Detached {
        self.save_before_change(db, at);
        let hasher = self.shared.hasher;
        let entry = self.part_mut(db).table.remove(at, hasher);
        self.shared.key_counts.add(db, hash.stripe, -1);
        self.order_expiry(db, hash, entry.view().expiry(), None);
        if db.index() != 0 && self.is_empty(db) {
            self.detach_part(db);
        }
        Detached { entry }
    }

    /// Puts a value with its expiry and access clock under `key`; says whether the key existed
    /// before.
    pub fn put(&mut self, db: DbIndex, key: &[u8], hash: KeyHash, value: Detached) -> bool {
        let old = self.take(db, key, hash);
        let existed = old.is_some();
        self.shared.overwritten.discard(old.and_then(|old| old.entry.into_owned()));
        self.note_return(value.view());
        let clock = value.view().access_clock();
        let entry = value.entry.with_key(key, Stamp { clock, ..self.shared.stamp() });
        self.insert(db, hash, entry);
        existed
    }

    /// Gives a key another expiry, or none; `false` if there is no such key.
    pub fn set_expiry(
        &mut self,
        db: DbIndex,
        key: &[u8],
        hash: KeyHash,
        expiry: Option<UnixMs>,
    ) -> bool {
        let Some(at) = self.find(db, key, hash) else { return false };
        self.save_before_small_change(db, at);
        let table = &mut self.part_mut(db).table;
        let old = table.entry(at).expiry();
        table.update(at, |entry| (entry.with_expiry(expiry), ()));
        self.order_expiry(db, hash, old, expiry);
        true
    }

    fn order_expiry(
        &mut self,
        db: DbIndex,
        hash: KeyHash,
        old: Option<UnixMs>,
        new: Option<UnixMs>,
    ) {
        if old == new {
            return;
        }
        self.part_mut(db).expiries.change(hash.hash, old, new);
        if let Some(at) = new {
            self.next_expiry_ms = self.next_expiry_ms.min(shown(at));
        }
        if old.is_some_and(|at| shown(at) == self.next_expiry_ms) {
            self.find_next_expiry();
        }
    }

    pub(crate) fn find_next_expiry(&mut self) {
        let first = self.parts().filter_map(|(_, part)| part.expiries.first()).min();
        self.next_expiry_ms = first.map_or(i64::MAX, shown);
    }

    /// Earliest expiry over all databases; one at the end of all time counts as the millisecond
    /// before.
    pub fn next_expiry(&self) -> Option<UnixMs> {
        (self.next_expiry_ms != i64::MAX).then_some(UnixMs(self.next_expiry_ms))
    }

    /// Shows each entry of `db` here once, expired ones too.
    pub fn each(&self, db: DbIndex, show: impl FnMut(EntryRef<'_>)) {
        if let Some(part) = self.part(db) {
            part.table.visit_all(show);
        }
    }

    /// Appends up to `limit` keys of `db` that are due at `now`, earliest first.
    pub fn expired(&self, db: DbIndex, now: UnixMs, limit: usize, keys: &mut Vec<Vec<u8>>) {
        let Some(part) = self.part(db) else { return };
        for (time, hash) in part.expiries.due(now).take(limit) {
            let hasher = self.shared.hasher;
            let at = part.table.find_hash(hash, hasher, |entry| entry.expiry() == Some(time));
            let at = at.expect("the index names only keys that are there");
            keys.push(part.table.entry(at).key().to_vec());
        }
    }

    /// Swaps two databases' parts.
    pub(crate) fn swap_parts(&mut self, a: DbIndex, b: DbIndex) {
        if self.is_empty(a) && self.is_empty(b) {
            return;
        }
        self.note_cut(a);
        self.note_cut(b);
        let more = self.len(b) as i64 - self.len(a) as i64;
        self.shared.key_counts.add(a, 0, more);
        self.shared.key_counts.add(b, 0, -more);
        let (of_a, of_b) = (self.detach_part(a), self.detach_part(b));
        self.attach_part(a, of_b);
        self.attach_part(b, of_a);
    }

    /// Takes a whole part out and leaves an empty one; the next expiry is yet to be found.
    pub(crate) fn take_part(&mut self, db: DbIndex) -> Part {
        let part = self.detach_part(db);
        self.shared.key_counts.add(db, 0, -(part.table.len() as i64));
        part
    }

    /// Bytes of all databases here: keys, values, tables and expiry indexes.
    #[inline]
    pub fn bytes(&self) -> u64 {
        self.first.bytes() + self.rest.as_ref().map_or(0, |rest| rest.bytes())
    }

    /// What is shown outside the lock, if it has changed.
    #[inline]
    pub(crate) fn news(&mut self) -> Option<News> {
        if !self.changed {
            return None;
        }
        self.changed = false;
        Some(News {
            bytes: self.bytes(),
            next_expiry_ms: self.next_expiry_ms,
            directory: self.first.table.directory_hint(),
        })
    }
}

/// An expiry as it is shown outside the lock, where `i64::MAX` is none.
fn shown(UnixMs(ms): UnixMs) -> i64 {
    ms.min(i64::MAX - 1)
}

/// What a stripe shows outside its lock.
pub(crate) struct News {
    pub(crate) bytes: u64,
    pub(crate) next_expiry_ms: i64,
    pub(crate) directory: DirectoryHint,
}
