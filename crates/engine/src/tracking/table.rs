//! Which clients have read which keys.
//!
//! Cut into parts by the keys' own hashes, so that workers seldom meet. A client's number stands
//! in an entry until the key changes, even if the client is gone: to look for all its entries
//! would take long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use crossbeam_utils::CachePadded;
use hashbrown::HashTable;
use smallvec::SmallVec;
use tandem_store::KeyHash;

use crate::client::ClientId;
use crate::node::lock;

const PARTS: usize = 64;

/// The clients of one key.
pub(super) type Readers = SmallVec<[ClientId; 2]>;

struct Entry {
    hash: u64,
    key: Box<[u8]>,
    readers: Readers,
}

/// The table.
pub(super) struct Table {
    parts: Box<[CachePadded<Mutex<HashTable<Entry>>>]>,
    keys: AtomicUsize,
    items: AtomicUsize,
    /// Most keys; 0 for no limit.
    most: AtomicUsize,
    /// Where to look next for a key to forget.
    next: AtomicUsize,
}

impl Default for Table {
    fn default() -> Table {
        Table {
            parts: (0..PARTS).map(|_| CachePadded::default()).collect(),
            keys: AtomicUsize::new(0),
            items: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
        }
    }
}

impl Table {
    fn part(&self, hash: KeyHash) -> MutexGuard<'_, HashTable<Entry>> {
        lock(&self.parts[usize::from(hash.stripe) % PARTS])
    }

    /// Number of keys.
    pub(super) fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Number of pairs of key and client.
    pub(super) fn items(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }

    /// Most keys; 0 for no limit.
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Sets that.
    pub(super) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// `client` has read `key`.
    pub(super) fn remember(&self, hash: KeyHash, key: &[u8], client: ClientId) {
        let mut part = self.part(hash);
        let found = part.find_mut(hash.hash, |entry| entry.hash == hash.hash && *entry.key == *key);
        if let Some(entry) = found {
            if entry.readers.contains(&client) {
                return;
            }
            entry.readers.push(client);
        } else {
            let readers = SmallVec::from_slice(&[client]);
            let entry = Entry { hash: hash.hash, key: key.into(), readers };
            part.insert_unique(hash.hash, entry, |entry| entry.hash);
            self.keys.fetch_add(1, Ordering::Relaxed);
        }
        self.items.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a key out, with those who have read it.
    pub(super) fn take(&self, hash: KeyHash, key: &[u8]) -> Option<Readers> {
        let mut part = self.part(hash);
        let found =
            part.find_entry(hash.hash, |entry| entry.hash == hash.hash && *entry.key == *key);
        let entry = found.ok()?.remove().0;
        self.count_taken(1, entry.readers.len());
        Some(entry.readers)
    }

    /// Takes some key out.
    pub(super) fn take_any(&self) -> Option<(Box<[u8]>, Readers)> {
        for _ in 0..PARTS {
            let at = self.next.fetch_add(1, Ordering::Relaxed) % PARTS;
            let mut part = lock(&self.parts[at]);
            let Some(first) = part.iter().next() else { continue };
            let (hash, key): (u64, *const u8) = (first.hash, first.key.as_ptr());
            let found = part.find_entry(hash, |entry| std::ptr::eq(entry.key.as_ptr(), key));
            let entry = found.ok().expect("it was just seen").remove().0;
            self.count_taken(1, entry.readers.len());
            return Some((entry.key, entry.readers));
        }
        None
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        for part in &self.parts {
            let mut part = lock(part);
            let items = part.iter().map(|entry| entry.readers.len()).sum();
            self.count_taken(part.len(), items);
            *part = HashTable::new();
        }
    }

    fn count_taken(&self, keys: usize, items: usize) {
        self.keys.fetch_sub(keys, Ordering::Relaxed);
        self.items.fetch_sub(items, Ordering::Relaxed);
    }
}
