//! What writers put by for a running snapshot: old values, in the side chunk of their stripe.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tandem_base::DbIndex;

use super::large::LargeValue;
use super::{Mark, select};
use crate::entry::EntryRef;
use crate::rdb::write;
use crate::shared::{KeptBytes, Shared};
use crate::stripe::Stripe;
use crate::table::Position;

/// Old values of one stripe's entries, on their way into the snapshot.
pub(crate) struct Side {
    /// Of which snapshot: while the sides of one that was given up are taken away, the next may
    /// have begun.
    mark: Mark,
    pub(super) chunk: Vec<u8>,
    pub(super) db: Option<DbIndex>,
    pub(super) keys: u64,
    pub(super) large: Vec<LargeValue>,
    /// The chunk's memory.
    kept: KeptBytes,
    shared: Arc<Shared>,
}

impl Drop for Side {
    fn drop(&mut self) {
        self.shared.side_bytes.fetch_sub(self.kept.bytes(), Ordering::Relaxed);
    }
}

impl Side {
    fn new(shared: &Arc<Shared>, mark: Mark) -> Box<Side> {
        let kept = KeptBytes::new(shared, 0);
        let (chunk, large) = (Vec::new(), Vec::new());
        let shared = Arc::clone(shared);
        Box::new(Side { mark, chunk, db: None, keys: 0, large, kept, shared })
    }

    /// Adds an entry, which was in `db` at the cut.
    fn add(&mut self, db: DbIndex, entry: EntryRef<'_>) {
        if let Some(value) = LargeValue::of(&self.shared, db, entry) {
            self.large.push(value);
            return;
        }
        let room = self.chunk.capacity();
        select(&mut self.chunk, &mut self.db, db);
        let clock = self.shared.access.read();
        write::last_use(&mut self.chunk, clock.saved(entry.access_clock()));
        // Compressing would keep a writer busy while it holds the stripe.
        write::entry(&mut self.chunk, entry.key(), entry.value(), entry.expiry(), false);
        self.keys += 1;
        let grown = self.chunk.capacity() - room;
        self.kept.add(grown);
        self.shared.side_bytes.fetch_add(grown, Ordering::Relaxed);
    }
}

impl Stripe {
    /// Must precede every change or removal of an entry: gives its value to a running snapshot
    /// that has not taken it yet. The keyspace lets go of a large one, so that what the snapshot
    /// holds of it, whenever it has taken it, is the snapshot's alone from now on.
    #[inline]
    pub(crate) fn save_before_change(&mut self, db: DbIndex, at: Position) {
        let mark = self.shared.mark();
        if mark.is_running() {
            self.save_and_let_go(db, at, mark);
        }
    }

    #[cold]
    fn save_and_let_go(&mut self, db: DbIndex, at: Position, mark: Mark) {
        self.save_to_side(db, at, mark);
        self.shared.lets_go(self.entry_at(db, at));
    }

    /// The same before a change that leaves a large value shared: of the expiry, or of some
    /// fields of a large hash, see [`Stripe::note_shed`].
    pub(crate) fn save_before_small_change(&mut self, db: DbIndex, at: Position) {
        let mark = self.shared.mark();
        if mark.is_running() {
            self.save_to_side(db, at, mark);
        }
    }

    /// A change of the large hash with number `id` has let go of so many bytes, which somebody
    /// shares: perhaps a snapshot.
    #[cold]
    pub(crate) fn note_shed(&self, id: u64, bytes: usize) {
        if self.shared.mark().is_running() {
            self.shared.sheds(id, bytes);
        }
    }

    /// A value that was taken out of the keyspace comes in again, under whatever key.
    pub(crate) fn note_return(&self, entry: EntryRef<'_>) {
        if self.shared.mark().is_running() {
            self.shared.takes_in(entry);
        }
    }

    /// What has been put by here for the snapshot of this mark.
    pub(super) fn take_side(&mut self, mark: Mark) -> Option<Box<Side>> {
        self.side.take_if(|side| side.mark == mark)
    }

    fn entry_at(&self, db: DbIndex, at: Position) -> EntryRef<'_> {
        self.part(db).expect("the position is in it").table.entry(at)
    }

    #[cold]
    fn save_to_side(&mut self, db: DbIndex, at: Position, mark: Mark) {
        if self.entry_at(db, at).mark() == mark.number() {
            return;
        }
        let mut side = self.take_side(mark).unwrap_or_else(|| Side::new(&self.shared, mark));
        let part = self.part(db).expect("the position is in it");
        let entry = part.table.entry(at);
        let at_cut = part.cut.database(db, mark).expect("entries of a newer part are marked");
        side.add(at_cut, entry);
        entry.set_mark(mark.number());
        // One that a snapshot given up has left makes way.
        if let Some(old) = self.side.replace(side) {
            // Perhaps the last share in large values, whose freeing would keep a writer busy.
            self.shared.cuts().put_aside.push(*old);
        }
    }
}
