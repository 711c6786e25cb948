//! Large values that a snapshot shares with the keyspace, and what of them it alone still needs.
//!
//! ```text
//! taken ──► held: both have it, it counts as the keyspace's ──► written: released
//!              │                              ▲
//!              └─ let go by the keyspace ─► kept for the snapshot alone: counted
//! ```
//! A hash of many fields is let go in pieces, as they are changed; the rest when it goes.
//!
//! A value may be shared by several keys (COPY), by what is on its way to be freed and by the
//! output of clients. It is the snapshot's alone when the last of them has gone: that is looked at
//! when a key lets go of it, and, if somebody has it then, now and then as the sum is asked for.
//! Of a hash that other keys have as it was at the cut nothing counts, not even what this key has
//! changed; copies that wait side by side to be written take each other for such keys.
//!
//! A value may be let go long after it was taken: its entry is marked then, and nothing in the
//! keyspace points to the snapshot's share. So what is held is found by what the value is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::large::Share;
use crate::entry::EntryRef;
use crate::hashes::{HashRef, Kept, Node};
use crate::shared::Shared;
use crate::value::{StringRef, ValueRef};

/// What tells a large value from all others for as long as a snapshot holds it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Identity {
    /// Where its bytes are kept. A writer that finds them shared changes a copy.
    Bytes(usize),
    /// The number of a large hash, which stays the same whatever is changed in it.
    Fields(u64),
}

impl Identity {
    /// Of the entry's value, if that is large.
    pub(crate) fn of(entry: EntryRef<'_>) -> Option<Identity> {
        match entry.value() {
            ValueRef::String(StringRef::Large(bytes))
            | ValueRef::Hash(HashRef(Kept::Packed(_, Some(bytes)))) => {
                Some(Identity::Bytes(Arc::as_ptr(bytes).addr()))
            }
            ValueRef::Hash(HashRef(Kept::Large(fields))) => Some(Identity::Fields(fields.id())),
            _ => None,
        }
    }
}

/// One value.
struct Held {
    /// How many times it has been taken and not yet released: copies share it.
    holders: u32,
    /// Bytes of it.
    bytes: usize,
    /// Bytes of its pieces that have been let go.
    shed: usize,
    /// A key has let go of it …
    let_go: bool,
    /// … and the keyspace has it no more.
    is_gone: bool,
    /// Somebody besides snapshots had all of it when that was looked at last.
    has_others: bool,
    /// Tells who shares it.
    whole: Whole,
}

/// What is shared of a value as a whole, as long as somebody has it.
enum Whole {
    Bytes(Weak<Vec<u8>>),
    Fields(Weak<Node>),
}

impl Whole {
    fn of(share: &Share) -> Whole {
        match share {
            Share::String(bytes) | Share::Listpack(bytes) => Whole::Bytes(Arc::downgrade(bytes)),
            Share::Hash(fields, _) => Whole::Fields(Arc::downgrade(fields.root())),
        }
    }

    fn shares(&self) -> usize {
        match self {
            Whole::Bytes(bytes) => bytes.strong_count(),
            Whole::Fields(root) => root.strong_count(),
        }
    }

    /// Whether the entry has a share in it. A hash that has been changed has a root of its own.
    fn is_in(&self, entry: EntryRef<'_>) -> bool {
        match (self, entry.value()) {
            (Whole::Fields(root), ValueRef::Hash(HashRef(Kept::Large(fields)))) => {
                Weak::as_ptr(root) == Arc::as_ptr(fields.root())
            }
            (Whole::Fields(_), _) => false,
            // It was found by this.
            (Whole::Bytes(_), _) => true,
        }
    }
}

impl Held {
    /// Bytes that only a snapshot needs.
    fn kept(&self) -> usize {
        if self.is_gone {
            self.bytes
        } else if self.has_others {
            0
        } else {
            self.shed.min(self.bytes)
        }
    }

    /// Finds out who else has it, while an entry that lets go of it has `more` shares in it.
    fn look(&mut self, more: usize) {
        self.has_others = self.whole.shares() > self.holders as usize + more;
        self.is_gone = self.let_go && !self.has_others;
    }

    /// Whether it would count if nobody else had it.
    fn is_in_doubt(&self) -> bool {
        self.has_others && (self.let_go || self.shed > 0)
    }
}

#[derive(Default)]
struct Values {
    held: BTreeMap<Identity, Held>,
    /// Those that were let go while somebody else had them.
    in_doubt: BTreeSet<Identity>,
    /// The one of them that was looked at last.
    looked_at: Option<Identity>,
}

/// All values held; one for a keyspace. Its lock is taken last.
#[derive(Default)]
pub(crate) struct HeldValues {
    values: Mutex<Values>,
    /// Bytes of them that only a snapshot needs.
    kept: AtomicUsize,
    /// Whether some are in doubt.
    any_in_doubt: AtomicBool,
}

/// Values in doubt that are looked at when the sum is asked for, which every command may do. A key
/// that lets go of a value looks at it by itself; what is found here was in nobody's keys.
const LOOKED_AT_MAX: usize = 4;

/// A snapshot's share in a value, until it is dropped.
pub(super) struct Hold {
    shared: Arc<Shared>,
    identity: Identity,
}

impl Hold {
    /// Of a value; `share` is the holder's own, just taken.
    pub(super) fn new(shared: &Arc<Shared>, identity: Identity, share: &Share) -> Hold {
        let mut values = shared.held.lock();
        let new = || Held {
            holders: 0,
            bytes: share.bytes(),
            shed: 0,
            let_go: false,
            is_gone: false,
            has_others: true,
            whole: Whole::of(share),
        };
        values.held.entry(identity).or_insert_with(new).holders += 1;
        drop(values);
        Hold { shared: Arc::clone(shared), identity }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut values = self.shared.held.lock();
        let held = values.held.get_mut(&self.identity).expect("it is held until this is dropped");
        held.holders -= 1;
        if held.holders == 0 {
            let kept = held.kept();
            values.held.remove(&self.identity);
            self.shared.held.note_doubt(&mut values, self.identity, false);
            self.shared.held.kept.fetch_sub(kept, Ordering::Relaxed);
            self.shared.uncount_kept(kept);
        } else {
            // Its share went first: who looked in between saw one too few.
            let values = &mut values;
            self.shared.change_value(values, self.identity, |held| held.look(0));
        }
    }
}

impl HeldValues {
    fn lock(&self) -> std::sync::MutexGuard<'_, Values> {
        self.values.lock().expect("no thread has panicked in the midst of a change")
    }

    /// Bytes of large values that only a snapshot needs.
    pub(super) fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    /// Values held.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.lock().held.len()
    }

    #[cfg(test)]
    fn any_in_doubt(&self) -> bool {
        self.any_in_doubt.load(Ordering::Relaxed)
    }

    fn note_doubt(&self, values: &mut Values, identity: Identity, is_in_doubt: bool) {
        if is_in_doubt {
            values.in_doubt.insert(identity);
        } else {
            values.in_doubt.remove(&identity);
        }
        self.any_in_doubt.store(!values.in_doubt.is_empty(), Ordering::Relaxed);
    }
}

impl Shared {
    /// The keyspace lets go of an entry's value, which a snapshot may hold.
    pub(crate) fn lets_go(&self, entry: EntryRef<'_>) {
        let Some(identity) = Identity::of(entry) else { return };
        self.change_held(identity, |held| {
            held.let_go = true;
            held.look(usize::from(held.whole.is_in(entry)));
        });
    }

    /// The keyspace lets go of pieces of the large hash with number `id`, as it changes it.
    pub(crate) fn sheds(&self, id: u64, bytes: usize) {
        self.change_held(Identity::Fields(id), |held| {
            held.shed += bytes;
            held.look(0);
        });
    }

    /// The keyspace takes a value in again that it had let go, under another key.
    pub(crate) fn takes_in(&self, entry: EntryRef<'_>) {
        let Some(identity) = Identity::of(entry) else { return };
        self.change_held(identity, |held| {
            held.let_go = false;
            held.look(0);
        });
    }

    /// Looks once more at some of what somebody had when a key let go of it, and at the next
    /// ones when it is called again.
    pub(crate) fn look_at_doubtful(&self) {
        if !self.held.any_in_doubt.load(Ordering::Relaxed) {
            return;
        }
        let mut values = self.held.lock();
        for _ in 0..LOOKED_AT_MAX {
            let behind = values.looked_at.map_or(Bound::Unbounded, Bound::Excluded);
            values.looked_at = values.in_doubt.range((behind, Bound::Unbounded)).next().copied();
            // At the end the next call begins anew.
            let Some(identity) = values.looked_at else { return };
            self.change_value(&mut values, identity, |held| held.look(0));
        }
    }

    fn change_held(&self, identity: Identity, change: impl FnOnce(&mut Held)) {
        self.change_value(&mut self.held.lock(), identity, change);
    }

    fn change_value(
        &self,
        values: &mut Values,
        identity: Identity,
        change: impl FnOnce(&mut Held),
    ) {
        let Some(held) = values.held.get_mut(&identity) else { return };
        let before = held.kept();
        change(held);
        let after = held.kept();
        let is_in_doubt = held.is_in_doubt();
        self.held.note_doubt(values, identity, is_in_doubt);
        if after > before {
            self.held.kept.fetch_add(after - before, Ordering::Relaxed);
            self.count_kept(after - before);
        } else {
            self.held.kept.fetch_sub(before - after, Ordering::Relaxed);
            self.uncount_kept(before - after);
        }
    }
}

#[cfg(test)]
mod tests;
