//! The keys of one database in one stripe: extendible hashing.
//!
//! ```text
//! hash prefix ─► directory (2^depth links) ─► segment (64 slots) ─► entry
//!      000 ──┐
//!      001 ──┴─► A, depth 2      Links of one segment lie side by side: a segment of depth d
//!      010 ────► B, depth 3      holds all keys that share d hash bits. The first of its
//!      011 ────► C, depth 3      links (the *leader*) also counts its entries.
//!      1xx ────► D, depth 1
//! ```
//! A full segment splits in two by the next hash bit; two thin neighbours merge. So the table
//! grows and shrinks 64 slots at a time, and no change moves more entries than one segment
//! holds (a directory that doubles or halves copies its words, 8 bytes for some 35 keys).
//! Keys lie in the order of their hash prefix, so a position in a walk is a hash prefix: it
//! stays valid whatever splits or merges meanwhile. A table without keys owns no memory.
//!
//! A slot's tag is a window of 16 hash bits. The window of a segment of depth d begins at the
//! last multiple of 8 at or before bit d, so that a split finds the next bit in the tag and a
//! look-up has at least 9 bits to tell keys apart; only when a segment passes a multiple of 8
//! are its keys read and their hashes computed again.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ops::ControlFlow;

use tandem_base::UnixMs;

use crate::entry::{Entry, EntryRef, Value};
use crate::hash::Hasher;
use crate::segment::{
    ADDRESS_MASK, BucketPair, Link, SEGMENT_BYTES, SEGMENT_SLOTS, Segment, Slot, prefetch,
};
use crate::size_class::size_class;

/// Bits of a walk position; also the greatest depth, so that prefixes stay clear of the bits
/// that choose buckets and stripe.
pub(crate) const PREFIX_BITS: u32 = 32;
/// Two neighbours merge when they hold this many entries together: far enough from a full
/// segment (which splits at 50 to 64) that a key set and deleted in turn does not split and
/// merge each time.
const MERGE_MAX: u32 = 24;

/// What an entry holds besides its key, value and expiry.
const HEADER_BYTES: u64 = 8;

/// Where an entry stands until the table changes.
///
/// A stale position finds a vacant slot (an assert) or another entry, never freed memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    index: u32,
    slot: u32,
}

/// See the module's story.
#[derive(Default)]
pub(crate) struct Table {
    directory: Box<[Link]>,
    /// Bytes of entries, segments and directory, in size classes.
    bytes: u64,
    /// Number of keys.
    len: u32,
    /// Segments whose depth is the directory's; when none is left, the directory halves.
    deepest: u32,
}

/// Where a table's directory lies and its depth, for prefetching without a lock. Nothing is read
/// through it, so it may be out of date.
#[derive(Clone, Copy, Default)]
pub(crate) struct DirectoryHint(pub(crate) u64);

impl DirectoryHint {
    /// Fetches the link of `hash`.
    #[inline]
    pub(crate) fn prefetch(self, hash: u64) {
        let depth = (self.0 >> 48) as u32;
        let index = (hash >> 1) >> (63 - depth);
        let address = (self.0 & ADDRESS_MASK).wrapping_add(index * size_of::<Link>() as u64);
        prefetch(std::ptr::without_provenance(address as usize));
    }
}

/// The tag in a segment of `depth` for a key of `hash`.
#[inline]
fn tag(hash: u64, depth: u32) -> u16 {
    ((hash << (depth & !7)) >> 48) as u16
}

impl Table {
    /// Number of keys.
    pub(crate) fn len(&self) -> u64 {
        u64::from(self.len)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of entries, segments and directory, in size classes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of segments and directory, and of the headers of entries.
    pub(crate) fn overhead_bytes(&self) -> u64 {
        let segments = (0..self.directory.len()).filter(|at| self.leader(*at) == *at).count();
        let directory = size_class(self.directory.len() * size_of::<Link>());
        (directory + segments * SEGMENT_BYTES) as u64 + self.len() * HEADER_BYTES
    }

    /// Bits of the directory's index. The directory must not be empty.
    #[inline]
    fn depth(&self) -> u32 {
        debug_assert!(self.directory.len().is_power_of_two());
        self.directory.len().trailing_zeros()
    }

    /// The link for a hash and its index; `None` in an empty table.
    #[inline]
    fn link(&self, hash: u64) -> Option<(usize, Link)> {
        if self.directory.is_empty() {
            return None;
        }
        // 63 - depth, in one instruction; the first shift makes a depth of 0 possible.
        let index = ((hash >> 1) >> self.directory.len().leading_zeros()) as usize;
        Some((index, self.directory[index]))
    }

    #[inline]
    fn segment(&self, link: Link) -> &Segment {
        // SAFETY: links in the directory own their segments, which change and go only through
        // `&mut self`.
        unsafe { link.segment_ref() }
    }

    #[inline]
    fn segment_mut(&mut self, link: Link) -> &mut Segment {
        // SAFETY: as above, and we have `&mut self`.
        unsafe { link.segment_mut() }
    }

    #[inline]
    fn entry_in(&self, slot: Slot) -> EntryRef<'_> {
        debug_assert!(!slot.is_vacant());
        // SAFETY: slots own their entries, which change and go only through `&mut self`.
        unsafe { EntryRef::from_address(slot.address()) }
    }

    /// Index of the first link of the segment that `index` leads to.
    #[inline]
    fn leader(&self, index: usize) -> usize {
        let spare_bits = self.depth() - self.directory[index].depth();
        index >> spare_bits << spare_bits
    }

    /// Finds an entry by its hash and a further test.
    #[inline]
    fn find_by(
        &self,
        hash: u64,
        test: impl Fn(EntryRef<'_>) -> bool,
    ) -> Option<(Position, EntryRef<'_>)> {
        let (index, link) = self.link(hash)?;
        let segment = self.segment(link);
        let pair = BucketPair::of(hash);
        let mut matching = segment.matching(pair, tag(hash, link.depth()));
        while matching != 0 {
            let slot = pair.slot_of_bit(matching.trailing_zeros());
            let word = segment.slot(slot);
            if !word.is_vacant() && test(self.entry_in(word)) {
                let at = Position { index: index as u32, slot: slot as u32 };
                return Some((at, self.entry_in(word)));
            }
            matching &= matching - 1;
        }
        None
    }

    /// Finds `key`.
    #[inline]
    pub(crate) fn find(&self, key: &[u8], hash: u64) -> Option<Position> {
        self.find_by(hash, |entry| entry.key_is(key)).map(|(at, _)| at)
    }

    /// Finds a key of this hash that passes `test`; the hash is computed anew from the key
    /// found, as the tag alone proves nothing.
    pub(crate) fn find_hash(
        &self,
        hash: u64,
        hasher: Hasher,
        test: impl Fn(EntryRef<'_>) -> bool,
    ) -> Option<Position> {
        let found = self.find_by(hash, |entry| test(entry) && hasher.hash(entry.key()) == hash);
        found.map(|(at, _)| at)
    }

    /// The entry of `key`.
    #[inline]
    pub(crate) fn get(&self, key: &[u8], hash: u64) -> Option<EntryRef<'_>> {
        self.find_by(hash, |entry| entry.key_is(key)).map(|(_, entry)| entry)
    }

    /// The entry at a position that `find` gave.
    #[inline]
    pub(crate) fn entry(&self, at: Position) -> EntryRef<'_> {
        let slot = self.segment(self.directory[at.index as usize]).slot(at.slot as usize);
        assert!(!slot.is_vacant(), "a position of an earlier state");
        self.entry_in(slot)
    }

    /// Takes the entry out of its slot and leaves the slot vacant, so that nothing dangles if
    /// the caller should panic.
    fn lift(&mut self, at: Position) -> (Entry, u16) {
        let segment = self.segment_mut(self.directory[at.index as usize]);
        let slot = segment.slot(at.slot as usize);
        assert!(!slot.is_vacant(), "a position of an earlier state");
        segment.set_slot(at.slot as usize, Slot::VACANT);
        // SAFETY: the slot owned the entry, and has just been emptied.
        (unsafe { Entry::from_address(slot.address()) }, slot.tag())
    }

    /// Overwrites a value where it stands, see [`Entry::overwrite`]: no word of the table changes.
    #[inline]
    pub(crate) fn overwrite<'v>(
        &mut self,
        at: Position,
        value: Value<'v>,
        expiry: Option<UnixMs>,
        shown_raw: bool,
        clock: u32,
    ) -> Result<(), Value<'v>> {
        let slot = self.segment(self.directory[at.index as usize]).slot(at.slot as usize);
        assert!(!slot.is_vacant(), "a position of an earlier state");
        // SAFETY: the slot owns the entry and goes on owning it: this one is not dropped.
        let mut entry = ManuallyDrop::new(unsafe { Entry::from_address(slot.address()) });
        entry.overwrite(value, expiry, shown_raw, clock)
    }

    /// Changes the list of a small hash that stands in its entry, without a change of its
    /// length; `None` if there is none.
    #[inline]
    pub(crate) fn with_packed<R>(
        &mut self,
        at: Position,
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> Option<R> {
        let slot = self.segment(self.directory[at.index as usize]).slot(at.slot as usize);
        assert!(!slot.is_vacant(), "a position of an earlier state");
        // SAFETY: the slot owns the entry and goes on owning it: this one is not dropped.
        let mut entry = ManuallyDrop::new(unsafe { Entry::from_address(slot.address()) });
        entry.packed_mut().map(change)
    }

    /// Changes an entry; `change` gives it back, moved or not, with its key unchanged.
    pub(crate) fn update<R>(
        &mut self,
        at: Position,
        change: impl FnOnce(Entry) -> (Entry, R),
    ) -> R {
        let (entry, tag) = self.lift(at);
        let bytes_before = entry.view().memory_bytes() as u64;
        let (entry, result) = change(entry);
        self.bytes = self.bytes - bytes_before + entry.view().memory_bytes() as u64;
        let slot = Slot::new(entry.into_address(), tag);
        let link = self.directory[at.index as usize];
        self.segment_mut(link).set_slot(at.slot as usize, slot);
        result
    }

    /// Adds an entry whose key is not in the table.
    pub(crate) fn insert(&mut self, hash: u64, entry: Entry, hasher: Hasher) {
        debug_assert!(self.find(entry.view().key(), hash).is_none(), "the key is there already");
        let pair = BucketPair::of(hash);
        loop {
            let Some((index, link)) = self.link(hash) else {
                self.set_directory([Link::new(Segment::new(), 0)].into());
                self.bytes += SEGMENT_BYTES as u64;
                self.deepest = 1;
                continue;
            };
            let Some(slot) = self.segment(link).vacancy(pair) else {
                self.split(index, hasher);
                continue;
            };
            self.bytes += entry.view().memory_bytes() as u64;
            self.len = self.len.checked_add(1).expect("a stripe holds fewer than 2^32 keys");
            let word = Slot::new(entry.into_address(), tag(hash, link.depth()));
            self.segment_mut(link).set_slot(slot, word);
            let leader = self.leader(index);
            self.directory[leader].count_up();
            return;
        }
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, at: Position, hasher: Hasher) -> Entry {
        let (entry, _) = self.lift(at);
        self.bytes -= entry.view().memory_bytes() as u64;
        self.len -= 1;
        let leader = self.leader(at.index as usize);
        self.directory[leader].count_down();
        if self.directory[leader].count() <= MERGE_MAX {
            self.merge(leader, hasher);
        }
        if self.is_empty() {
            *self = Table::default();
        }
        entry
    }

    fn set_directory(&mut self, directory: Box<[Link]>) {
        let bytes = |links: usize| size_class(links * size_of::<Link>()) as u64;
        self.bytes = self.bytes - bytes(self.directory.len()) + bytes(directory.len());
        self.directory = directory;
    }

    /// Splits the segment of `index` in two.
    fn split(&mut self, index: usize, hasher: Hasher) {
        let depth = self.directory[index].depth();
        let index = if depth == self.depth() { self.double_directory(index) } else { index };
        let leader = self.leader(index);
        let link = self.directory[leader];
        let mut upper = Segment::new();
        let lower = self.segment_mut(link);
        // The hash bit that now decides stands in the tag, 0 to 7 places below its top.
        let bit = 1 << (15 - (depth & 7));
        let mut moved = 0;
        for n in 0..SEGMENT_SLOTS {
            let slot = lower.slot(n);
            if slot.tag() & bit != 0 {
                upper.set_slot(n, slot);
                lower.set_slot(n, Slot::VACANT);
                moved += 1;
            }
        }
        let upper = Link::new(upper, depth + 1).with_count(moved);
        let lower = link.with_depth(depth + 1).with_count(link.count() - moved);
        let links = 1 << (self.depth() - depth);
        self.point_at(leader, links / 2, lower);
        self.point_at(leader + links / 2, links / 2, upper);
        self.bytes += SEGMENT_BYTES as u64;
        if depth + 1 == self.depth() {
            self.deepest += 2;
        }
        if (depth + 1) & 7 == 0 {
            self.retag(lower, hasher);
            self.retag(upper, hasher);
        }
    }

    /// Makes `count` links from `leader` on lead to the segment of `link`.
    fn point_at(&mut self, leader: usize, count: usize, link: Link) {
        let links = &mut self.directory[leader..leader + count];
        links.fill(link.with_count(0));
        links[0] = link;
    }

    /// Gives each entry the tag that the segment's depth asks for.
    fn retag(&mut self, link: Link, hasher: Hasher) {
        for &slot in self.segment(link).slots() {
            prefetch_entry(slot);
        }
        for n in 0..SEGMENT_SLOTS {
            let slot = self.segment(link).slot(n);
            if slot.is_vacant() {
                continue;
            }
            let hash = hasher.hash(self.entry_in(slot).key());
            let slot = Slot::new(slot.address(), tag(hash, link.depth()));
            self.segment_mut(link).set_slot(n, slot);
        }
    }

    /// One more bit of index; returns where `index` is now.
    fn double_directory(&mut self, index: usize) -> usize {
        assert!(self.depth() < PREFIX_BITS, "a keyed hash does not collide in so many bits");
        // The second of two links is never a leader, so it does not count.
        let doubled = self.directory.iter().flat_map(|&link| [link, link.with_count(0)]);
        let doubled = doubled.collect();
        self.set_directory(doubled);
        self.deepest = 0;
        index * 2
    }

    /// Merges the segment led by `leader` with its neighbour as long as both are thin, then
    /// halves the directory as long as it can be.
    fn merge(&mut self, mut leader: usize, hasher: Hasher) {
        while let Some(merged) = self.merge_once(leader, hasher) {
            leader = merged;
        }
        while self.deepest == 0 && self.directory.len() > 1 {
            let halved = self.directory.iter().step_by(2).copied().collect();
            self.set_directory(halved);
            let depth = self.depth();
            let leads = |at: &usize| self.leader(*at) == *at;
            let leaders = (0..self.directory.len()).filter(leads);
            let deepest = leaders.filter(|&at| self.directory[at].depth() == depth).count();
            self.deepest = deepest as u32;
        }
    }

    /// Merges one pair; `None` if it is not thin enough, is split further, or would overflow a
    /// bucket. Returns the leader of the merged segment.
    fn merge_once(&mut self, leader: usize, hasher: Hasher) -> Option<usize> {
        let depth = self.directory[leader].depth();
        if depth == 0 {
            return None;
        }
        let links = 1 << (self.depth() - depth);
        let (low, high) = (leader & !links, leader | links);
        let (lower, upper) = (self.directory[low], self.directory[high]);
        let count = lower.count() + upper.count();
        if lower.depth() != upper.depth() || count > MERGE_MAX {
            return None;
        }
        if !self.fits(lower, upper) {
            return None;
        }
        if depth & 7 == 0 {
            // The merged segment's tags are of the window before.
            self.retag(lower.with_depth(depth - 1), hasher);
            self.retag(upper.with_depth(depth - 1), hasher);
        }
        if depth == self.depth() {
            self.deepest -= 2;
        }
        self.point_at(low, links * 2, lower.with_depth(depth - 1).with_count(count));
        // SAFETY: no link in the directory leads to it any more.
        let upper = unsafe { upper.into_segment() };
        let lower = self.segment_mut(lower);
        for (n, &slot) in upper.slots().iter().enumerate() {
            if slot.is_vacant() {
                continue;
            }
            let bucket = n & !7;
            let free = (bucket..bucket + 8).find(|&to| lower.slot(to).is_vacant());
            lower.set_slot(free.expect("counted before"), slot);
        }
        self.bytes -= SEGMENT_BYTES as u64;
        Some(low)
    }

    /// Whether each bucket of the two segments together has at most 8 entries.
    fn fits(&self, a: Link, b: Link) -> bool {
        let buckets = self.segment(a).slots().chunks(8).zip(self.segment(b).slots().chunks(8));
        buckets.into_iter().all(|(a, b)| a.iter().chain(b).filter(|s| !s.is_vacant()).count() <= 8)
    }

    /// For the one who has the lock to show to those who have not.
    pub(crate) fn directory_hint(&self) -> DirectoryHint {
        if self.directory.is_empty() {
            return DirectoryHint::default();
        }
        let address = self.directory.as_ptr().addr() as u64;
        DirectoryHint(address & ADDRESS_MASK | u64::from(self.depth()) << 48)
    }

    /// Fetches the two buckets of a hash.
    #[inline]
    pub(crate) fn prefetch_buckets(&self, hash: u64) {
        if let Some((_, link)) = self.link(hash) {
            self.segment(link).prefetch(BucketPair::of(hash));
        }
    }

    /// Fetches the first entry whose tag fits; its buckets should be in the cache by now.
    #[inline]
    pub(crate) fn prefetch_entry(&self, hash: u64) {
        let Some((_, link)) = self.link(hash) else { return };
        let pair = BucketPair::of(hash);
        let segment = self.segment(link);
        let matching = segment.matching(pair, tag(hash, link.depth()));
        if matching != 0 {
            let slot = segment.slot(pair.slot_of_bit(matching.trailing_zeros()));
            prefetch_entry(slot);
        }
    }

    /// Shows the entries of the segment that holds hash prefix `prefix` ([`PREFIX_BITS`] bits)
    /// until `visit` breaks. Returns the prefix where the next segment begins, `None` at the
    /// end of the table; or, if `visit` broke, the prefix given.
    pub(crate) fn visit_segment(
        &self,
        prefix: u64,
        mut visit: impl FnMut(EntryRef<'_>) -> ControlFlow<()>,
    ) -> Option<u64> {
        assert!(prefix >> PREFIX_BITS == 0, "beyond the end of the table");
        let (index, link) = self.link(prefix << (64 - PREFIX_BITS))?;
        let slots = self.segment(link).slots();
        for &slot in slots {
            prefetch_entry(slot);
        }
        let end = self.leader(index) + (1 << (self.depth() - link.depth()));
        if let Some(&next) = self.directory.get(end) {
            self.segment(next).prefetch_all();
        }
        for &slot in slots.iter().filter(|slot| !slot.is_vacant()) {
            if visit(self.entry_in(slot)).is_break() {
                return Some(prefix);
            }
        }
        (end < self.directory.len()).then(|| (end as u64) << (PREFIX_BITS - self.depth()))
    }

    /// Shows every entry.
    pub(crate) fn visit_all(&self, mut visit: impl FnMut(EntryRef<'_>)) {
        let mut prefix = Some(0);
        while let Some(at) = prefix {
            prefix = self.visit_segment(at, |entry| {
                visit(entry);
                ControlFlow::Continue(())
            });
        }
    }

    /// The entry of this hash that expires at `time`.
    pub(crate) fn get_hash(&self, hash: u64, hasher: Hasher, time: UnixMs) -> Option<EntryRef<'_>> {
        let at = self.find_hash(hash, hasher, |entry| entry.expiry() == Some(time))?;
        Some(self.entry(at))
    }

    /// Shows up to `most` entries that pass `test`: neighbours from a place at random on, in
    /// one segment. Returns how many; 0 says only that there was none in that segment.
    pub(crate) fn sample(
        &self,
        random: u64,
        most: usize,
        test: &dyn Fn(EntryRef<'_>) -> bool,
        show: &mut dyn FnMut(EntryRef<'_>),
    ) -> usize {
        // A segment of depth d is met with chance 2^-d, and holds such a share of the keys.
        let Some((_, link)) = self.link(random) else { return 0 };
        let slots = self.segment(link).slots();
        // The low bits have not chosen the segment.
        let (before, after) = slots.split_at(random as usize % SEGMENT_SLOTS);
        let filled = || after.iter().chain(before).filter(|slot| !slot.is_vacant());
        for &slot in filled().take(most) {
            let at: *const u8 = std::ptr::without_provenance(slot.address() as usize);
            prefetch(at);
        }
        let entries = filled().map(|&slot| self.entry_in(slot)).filter(|entry| test(*entry));
        entries.take(most).map(show).count()
    }

    /// A key at random, each with the same chance; `None` if there is none.
    pub(crate) fn random(&self, random: &mut dyn FnMut() -> u64) -> Option<EntryRef<'_>> {
        if self.is_empty() {
            return None;
        }
        loop {
            // A random hash meets a segment of depth d with chance 2^-d. Taking it with chance
            // count / 64 * 2^(d - depth) makes the chance of each of its keys the same.
            let (index, link) = self.link(random()).expect("not empty");
            let count = self.directory[self.leader(index)].count();
            let tickets = (SEGMENT_SLOTS as u64) << (self.depth() - link.depth());
            let ticket = below(random(), tickets);
            if ticket < u64::from(count) {
                let mut filled = self.segment(link).slots().iter().filter(|s| !s.is_vacant());
                let slot = filled.nth(ticket as usize).expect("the leader counts the entries");
                return Some(self.entry_in(*slot));
            }
        }
    }
}

/// Fetches an entry: two lines, as most begin in one and end in the next.
#[inline]
fn prefetch_entry(slot: Slot) {
    let at: *const u8 = std::ptr::without_provenance(slot.address() as usize);
    prefetch(at);
    prefetch(at.wrapping_add(64));
}

/// A number below `limit` made of 64 random bits.
#[inline]
pub(crate) fn below(random: u64, limit: u64) -> u64 {
    ((u128::from(random) * u128::from(limit)) >> 64) as u64
}

impl Drop for Table {
    fn drop(&mut self) {
        let mut index = 0;
        while index < self.directory.len() {
            let link = self.directory[index];
            index += 1 << (self.depth() - link.depth());
            // SAFETY: each segment is taken once, by its leader, and no link is used again.
            let segment = unsafe { link.into_segment() };
            for slot in segment.slots() {
                prefetch_entry(*slot);
            }
            for slot in segment.slots().iter().filter(|slot| !slot.is_vacant()) {
                // SAFETY: the slot owned the entry, and goes with its segment.
                drop(unsafe { Entry::from_address(slot.address()) });
            }
        }
    }
}

#[cfg(test)]
mod tests;
