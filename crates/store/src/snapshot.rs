//! Snapshots without fork: the data at one instant, taken while writers go on.
//!
//! ```text
//!                  ┌─ entry not yet marked: written, then marked ◄── the walk, stripe by stripe
//!  entries at cut ─┤
//!                  └─ about to change: old value ─► side chunk of its stripe ──► the walk
//!  table flushed  ──► handed over whole ────────────────────────────────────────► the walk
//!  entries born after the cut: born marked, never taken
//! ```
//! The *cut* gives the snapshot the next number while nobody is at work ([`Keyspace::begin_snapshot`]);
//! each entry carries the number of the snapshot that last took it. So what the walk collects is
//! the data at the cut, exactly, whatever changes meanwhile; the extra memory is what has changed,
//! by entry. Chunks are pieces of an RDB file that may come in any order, as each names its
//! databases itself.
//!
//! What is kept for the snapshot alone is counted ([`Keyspace::kept_for_snapshot`], [`held`]):
//! memory that no eviction could free, since it would only move more of the data there.
//!
//! SWAPDB swaps parts between database numbers; a part remembers which database it was at the
//! cut ([`CutOf`]), and the walk goes by that. It goes over the parts that are there, however
//! many databases there could be.
//!
//! A large value is shared, not copied, and written once no lock is held; a large hash over
//! several steps ([`large`]).
//!
//! The file's header and footer, and who gets the chunks, are the caller's affair.

mod held;
mod large;
mod order;
mod side;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tandem_base::{DbIndex, UnixMs};

use crate::access::AccessClock;
use crate::keyspace::{Keyspace, OldTables, StripeGuard};
use crate::rdb::write;
use crate::shared::{KeptBytes, Shared};
use crate::stripe::{Part, Stripe};
use crate::value::ValueRef;
pub(crate) use held::HeldValues;
use large::{LargeValue, LargeValues};
use order::OrderAtCut;
pub(crate) use side::Side;

/// A stripe's lock is released after about this much output …
const HOLD_BYTES: usize = 16 * 1024;
/// … or after so many segments, should most of their entries be taken already.
const HOLD_SEGMENTS: u32 = 16;
/// Side chunks of stripes that the walk has not reached are collected early from this sum on.
const SIDE_BYTES_MAX: usize = 1 << 20;
/// How many stripes a step then looks at.
const SIDE_STRIPES: u32 = 32;

/// The last snapshot begun, in one word: `serial << 9 | running << 8 | number`.
///
/// The number is what entries are marked with, and comes again after 256 snapshots; the serial
/// does not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(pub(crate) u64);

impl Mark {
    pub(crate) const NEVER: Mark = Mark(0);
    const RUNNING: u64 = 1 << 8;

    #[inline]
    pub(crate) fn number(self) -> u8 {
        self.0 as u8
    }

    #[inline]
    fn is_running(self) -> bool {
        self.0 & Mark::RUNNING != 0
    }

    /// 32 bits last for 136 years at a snapshot each second.
    fn serial(self) -> u32 {
        (self.0 >> 9) as u32
    }

    fn next(self) -> Mark {
        let number = self.number().wrapping_add(1);
        Mark((u64::from(self.serial()) + 1) << 9 | Mark::RUNNING | u64::from(number))
    }

    fn ended(self) -> Mark {
        Mark(self.0 & !Mark::RUNNING)
    }
}

/// Which database a part of a stripe was at the cut of snapshot `serial`; of a later snapshot,
/// it is what it is now.
///
/// Two parts of a stripe must never pass for the same database of the cut, or one would hide the
/// other from the walk. Until a part there has moved, the numbers see to that; what is made after
/// that was none of the cut's ([`CutOf::of_new_part`]).
#[derive(Clone, Copy, Default)]
pub(crate) struct CutOf {
    serial: u32,
    /// `None` for a part that was made after the cut.
    db: Option<DbIndex>,
}

const _: () = assert!(size_of::<CutOf>() == 8);

impl CutOf {
    /// Of a part without keys in a stripe whose parts moved last during snapshot `moved`. Its
    /// keys will be born marked, should that snapshot still be running.
    pub(crate) fn of_new_part(moved: u32) -> CutOf {
        CutOf { serial: moved, db: None }
    }

    fn database(self, now: DbIndex, mark: Mark) -> Option<DbIndex> {
        if self.serial == mark.serial() { self.db } else { Some(now) }
    }
}

/// What the keyspace keeps about snapshots, behind one lock.
pub(crate) struct Cuts {
    /// Parts flushed since the cut.
    handed: Vec<Handed>,
    /// Sides of a snapshot given up, until what it leaves has been cleared up.
    put_aside: Vec<Side>,
    /// Snapshots begun since all entries last had one and the same mark.
    begun: u32,
    /// `begun` may not go beyond this, lest a number come again while entries still carry it
    /// from an aborted snapshot.
    pub(crate) begun_max: u32,
}

impl Cuts {
    fn number_would_recur(&self) -> bool {
        self.begun >= self.begun_max
    }
}

impl Default for Cuts {
    fn default() -> Cuts {
        Cuts { handed: Vec::new(), put_aside: Vec::new(), begun: 0, begun_max: 255 }
    }
}

/// A part that a flush has left to the running snapshot.
pub(crate) struct Handed {
    part: Part,
    _kept: KeptBytes,
}

impl Stripe {
    /// Before the part of `db` moves to another number or is flushed: notes which it was at the
    /// cut.
    pub(crate) fn note_cut(&mut self, db: DbIndex) {
        let mark = self.shared.mark();
        if !mark.is_running() {
            return;
        }
        if !self.is_empty(db) {
            let cut = &mut self.part_mut(db).cut;
            *cut = CutOf { serial: mark.serial(), db: cut.database(db, mark) };
        }
        self.parts_moved = mark.serial();
        self.moves = self.moves.wrapping_add(1);
    }

    /// Empties `db`; returns what is to be freed, unless a running snapshot takes it.
    pub(crate) fn flush(&mut self, db: DbIndex) -> Option<Part> {
        let part = self.flush_part(db);
        self.find_next_expiry();
        part
    }

    /// The same with all databases, in time that grows with their number: the last goes first,
    /// so that none moves up.
    pub(crate) fn flush_all(&mut self) -> Vec<Part> {
        let databases = self.databases();
        let parts = databases.into_iter().rev().filter_map(|db| self.flush_part(db)).collect();
        self.find_next_expiry();
        parts
    }

    fn flush_part(&mut self, db: DbIndex) -> Option<Part> {
        if self.is_empty(db) {
            return None;
        }
        self.note_cut(db);
        let part = self.take_part(db);
        // Under this lock a snapshot ends.
        let mut cuts = self.shared.cuts();
        let mark = self.shared.mark();
        if !mark.is_running() {
            return Some(part);
        }
        let bytes = usize::try_from(part.bytes()).expect("it lies in memory");
        let kept = KeptBytes::new(&self.shared, bytes);
        cuts.handed.push(Handed { part, _kept: kept });
        None
    }
}

/// Names the database of what follows, if it is another one.
fn select(out: &mut Vec<u8>, selected: &mut Option<DbIndex>, db: DbIndex) {
    if *selected != Some(db) {
        write::select_db(out, db);
        *selected = Some(db);
    }
}

/// The output of one step.
struct Chunk<'a> {
    out: &'a mut Vec<u8>,
    db: Option<DbIndex>,
    compress: bool,
    access: AccessClock,
    keys: u64,
}

impl Chunk<'_> {
    /// A key begins: in which database, and what is known of its use.
    fn begin(&mut self, db: DbIndex, stamp: u32) {
        select(self.out, &mut self.db, db);
        write::last_use(self.out, self.access.saved(stamp));
    }

    fn write(
        &mut self,
        (db, stamp): (DbIndex, u32),
        key: &[u8],
        value: ValueRef<'_>,
        expiry: Option<UnixMs>,
    ) {
        self.begin(db, stamp);
        write::entry(self.out, key, value, expiry, self.compress);
        self.keys += 1;
    }

    /// Takes the rest of a part from `prefix` on, until the output reaches `end_bytes`; returns
    /// where to go on, `None` if the part is done. Large values are put by for the time when no
    /// lock is held.
    fn take_part(
        &mut self,
        part: &Part,
        db: DbIndex,
        mut prefix: u64,
        (mark, shared): (Mark, &Arc<Shared>),
        end_bytes: usize,
        large: &mut LargeValues,
    ) -> Option<u64> {
        let number = mark.number();
        for _ in 0..HOLD_SEGMENTS {
            if self.out.len() >= end_bytes || large.bytes() >= HOLD_BYTES {
                break;
            }
            prefix = part.table.visit_segment(prefix, |entry| {
                if entry.mark() != number {
                    entry.set_mark(number);
                    match LargeValue::of(shared, db, entry) {
                        Some(value) => large.put_by(value),
                        None => {
                            let place = (db, entry.access_clock());
                            self.write(place, entry.key(), entry.value(), entry.expiry());
                        }
                    }
                }
                // What is taken is marked, so the segment can be gone through again.
                if self.out.len() < end_bytes && large.bytes() < HOLD_BYTES {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
        }
        Some(prefix)
    }

    /// Adds a side chunk; its large values are put by.
    fn take_side(&mut self, mut side: Side, large: &mut LargeValues) {
        if !side.chunk.is_empty() {
            self.out.extend_from_slice(&side.chunk);
            self.db = side.db;
            self.keys += side.keys;
        }
        large.put_by_all(std::mem::take(&mut side.large));
    }
}

/// The way of one snapshot through the keyspace, in steps that any thread may take.
pub struct SnapshotWalk {
    mark: Mark,
    compress: bool,
    /// Where it stands: stripe, database at the cut, hash prefix.
    stripe: u32,
    db: DbIndex,
    prefix: u64,
    /// Of that stripe, should its parts have moved.
    order: OrderAtCut,
    /// A flushed part that is being taken, and the prefix reached in it; `None` at its end,
    /// where it stays until its large values are written, too, which count as its own.
    handed: Option<(Handed, Option<u64>)>,
    /// Next stripe whose side chunk is collected early.
    side_stripe: u32,
    /// Large values that have been taken but not yet written; the first perhaps in part.
    large: LargeValues,
    keys: u64,
    complete: bool,
}

impl Keyspace {
    /// Cuts: the snapshot will hold the data of this moment. The caller sees to it that nobody
    /// else is at work in the keyspace during the call, and that no snapshot is running.
    ///
    /// The snapshot runs until [`SnapshotWalk::step`] says that nothing is left, or until
    /// [`Keyspace::abort_snapshot`].
    pub fn begin_snapshot(&self, compress: bool) -> SnapshotWalk {
        assert!(!self.snapshot_running(), "one snapshot at a time");
        if self.shared.cuts().number_would_recur() {
            // Many snapshots in a row have been aborted. Rare enough to pay for a pass here.
            let number = self.shared.mark().number();
            for stripe in self.each_stripe() {
                for (_, part) in stripe.parts() {
                    part.table.visit_all(|entry| entry.set_mark(number));
                }
            }
            self.shared.cuts().begun = 0;
        }
        let mut cuts = self.shared.cuts();
        assert!(cuts.handed.is_empty());
        cuts.begun += 1;
        let mark = self.shared.mark().next();
        self.shared.set_mark(mark);
        self.shared.forget_kept_peak();
        SnapshotWalk {
            mark,
            compress,
            stripe: 0,
            db: DbIndex(0),
            prefix: 0,
            order: OrderAtCut::default(),
            handed: None,
            side_stripe: 0,
            large: LargeValues::default(),
            keys: 0,
            complete: false,
        }
    }

    /// Whether a snapshot is running.
    pub fn snapshot_running(&self) -> bool {
        self.shared.mark().is_running()
    }

    /// Bytes that only the running snapshot still needs: old values that have been changed or
    /// removed since the cut, and flushed tables. They are freed as it goes on, and by nothing
    /// else.
    pub fn kept_for_snapshot(&self) -> u64 {
        self.shared.look_at_doubtful();
        self.shared.kept_for_snapshot() as u64
    }

    /// The most that these have been since the cut of the running snapshot, or of the last one.
    pub fn kept_for_snapshot_peak(&self) -> u64 {
        self.shared.kept_peak() as u64
    }

    /// Gives up the running snapshot, if there is one; its walk finds nothing more. What is
    /// returned had been flushed meanwhile, and is freed when dropped.
    pub fn abort_snapshot(&self) -> OldTables {
        self.abort(None)
    }

    /// Gives up the running snapshot, if it is the one with this mark. Others may be at work,
    /// and once the mark is changed another snapshot may begin.
    fn abort(&self, only: Option<Mark>) -> OldTables {
        let mut cuts = self.shared.cuts();
        if !self.snapshot_running() || only.is_some_and(|mark| mark != self.shared.mark()) {
            return OldTables::default();
        }
        let mark = self.shared.mark();
        self.shared.set_mark(mark.ended());
        let handed = std::mem::take(&mut cuts.handed);
        drop(cuts);
        self.clear_up(mark, handed)
    }

    /// What a snapshot that was given up leaves.
    fn clear_up(&self, mark: Mark, handed: Vec<Handed>) -> OldTables {
        let sides = self.each_stripe().filter_map(|mut stripe| Some(*stripe.take_side(mark)?));
        let mut sides: Vec<Side> = sides.collect();
        // One that has made way did so before its stripe was looked at here.
        sides.append(&mut self.shared.cuts().put_aside);
        OldTables { _handed: handed, _sides: sides, ..OldTables::default() }
    }
}

impl SnapshotWalk {
    /// Appends the next entries to `out`, about `budget_bytes` of them (one large string may
    /// exceed it), as the next piece of an RDB file: pieces of one walk belong one behind the
    /// other. Returns whether more is left; `false` also after an abort.
    ///
    /// Stripes are locked one at a time and briefly; the caller may hold none.
    pub fn step(&mut self, keyspace: &Keyspace, out: &mut Vec<u8>, budget_bytes: usize) -> bool {
        let end_bytes = out.len().saturating_add(budget_bytes.max(1));
        let access = keyspace.access_clock();
        let mut chunk = Chunk { out, db: None, compress: self.compress, access, keys: 0 };
        let mut more = keyspace.shared.mark() == self.mark;
        if more && self.large.is_empty() {
            self.collect_sides(keyspace, &mut chunk);
        }
        while more && chunk.out.len() < end_bytes {
            // First, as nothing may come between the parts of one value.
            if let Some(large) = self.large.first() {
                if large.write(&mut chunk, end_bytes) {
                    self.large.written();
                }
                continue;
            }
            // A part may have been handed over while the stripes were walked, so they come first.
            if self.stripe < keyspace.stripe_count() {
                self.walk_stripe(keyspace, &mut chunk, end_bytes);
            } else if !self.walk_handed(keyspace, &mut chunk, end_bytes) {
                more = self.next_handed(keyspace);
            }
        }
        self.keys += chunk.keys;
        more
    }

    /// Gives this snapshot up; another one that may be running is left alone. See
    /// [`Keyspace::abort_snapshot`].
    pub fn abort(self, keyspace: &Keyspace) -> OldTables {
        keyspace.abort(Some(self.mark))
    }

    /// Keys written so far.
    pub fn keys_done(&self) -> u64 {
        self.keys
    }

    /// Whether everything has been written; of an aborted snapshot that never becomes true.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Collects side chunks of other stripes once they, and the large values there that nobody
    /// else needs, have grown to much. No other large value waits to be written.
    fn collect_sides(&mut self, keyspace: &Keyspace, chunk: &mut Chunk<'_>) {
        let chunks = keyspace.shared.side_bytes.load(Ordering::Relaxed);
        if chunks + keyspace.shared.held.kept() < SIDE_BYTES_MAX {
            return;
        }
        for _ in 0..SIDE_STRIPES.min(keyspace.stripe_count()) {
            self.side_stripe = (self.side_stripe + 1) % keyspace.stripe_count();
            if let Some(mut stripe) = self.lock(keyspace, self.side_stripe)
                && let Some(side) = stripe.take_side(self.mark)
            {
                drop(stripe);
                chunk.take_side(*side, &mut self.large);
            }
        }
    }

    /// Locks a stripe, unless the snapshot has been aborted: then the next one may be running,
    /// whose marks and side chunks are none of this walk's business.
    fn lock<'a>(&self, keyspace: &'a Keyspace, stripe: u32) -> Option<StripeGuard<'a>> {
        let guard = keyspace.lock(stripe as u16);
        (keyspace.shared.mark() == self.mark).then_some(guard)
    }

    /// Takes a little of the stripe at hand, and goes to the next when it is done.
    fn walk_stripe(&mut self, keyspace: &Keyspace, chunk: &mut Chunk<'_>, end_bytes: usize) {
        let Some(mut stripe) = self.lock(keyspace, self.stripe) else {
            // Leads to the end, where the abort is noticed.
            self.stripe = keyspace.stripe_count();
            return;
        };
        let side = stripe.take_side(self.mark);
        let end_bytes = end_bytes.min(chunk.out.len() + HOLD_BYTES);
        let found = stripe.part_at_cut(self.db, self.mark, &mut self.order).map(|(db, part)| {
            // The part that the walk stood in may have been flushed since.
            let prefix = if db == self.db { self.prefix } else { 0 };
            let taker = (self.mark, &keyspace.shared);
            (db, chunk.take_part(part, db, prefix, taker, end_bytes, &mut self.large))
        });
        drop(stripe);
        match found {
            Some((db, Some(prefix))) => (self.db, self.prefix) = (db, prefix),
            // There are fewer than 2^16 databases.
            Some((db, None)) => (self.db, self.prefix) = (DbIndex(db.0 + 1), 0),
            None => {
                (self.db, self.prefix) = (DbIndex(0), 0);
                self.order.moves = None;
                self.stripe += 1;
            }
        }
        if let Some(side) = side {
            chunk.take_side(*side, &mut self.large);
        }
    }

    /// Takes a little of the handed part at hand; `false` if there is none.
    fn walk_handed(
        &mut self,
        keyspace: &Keyspace,
        chunk: &mut Chunk<'_>,
        end_bytes: usize,
    ) -> bool {
        let Some((handed, Some(prefix))) = self.handed.take() else { return false };
        if let Some(db) = handed.part.cut.db {
            let taker = (self.mark, &keyspace.shared);
            let part = &handed.part;
            let next = chunk.take_part(part, db, prefix, taker, end_bytes, &mut self.large);
            self.handed = Some((handed, next));
        }
        true
    }

    /// Takes up the next handed part; if there is none, the snapshot ends, and `false` says so.
    fn next_handed(&mut self, keyspace: &Keyspace) -> bool {
        let mut cuts = keyspace.shared.cuts();
        if keyspace.shared.mark() != self.mark {
            return false;
        }
        match cuts.handed.pop() {
            Some(handed) => {
                self.handed = Some((handed, Some(0)));
                true
            }
            None => {
                // Every entry has been taken or was born since: all carry this number.
                keyspace.shared.set_mark(self.mark.ended());
                cuts.begun = 0;
                self.complete = true;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
