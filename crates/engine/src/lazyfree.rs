//! Lazy freeing: values that take long to free go on another thread.
//!
//! ```text
//! DEL, expiry, eviction ► Node::free ─┐  many elements, if a directive or the command says so;
//! SET, RENAME … over it ─► Stripe ────┼─► much memory, in any case ──► Host::drop_later
//! FLUSHALL, FLUSHDB ────► free_tables ┘
//! ```
//! Redis frees where it stands unless `lazyfree-lazy-*` says otherwise, and then counts. Here a
//! value of much memory never keeps a request waiting, whatever they say; it counts too.
//!
//! What is on its way is still in use, but it is no reason to evict or to refuse a command:
//! `maxmemory` leaves it out ([`LazyFree::bytes`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tandem_store::{Detached, OldTables};

use crate::node::Node;

/// A value of more elements than this takes long enough for another thread, as in Redis.
const EFFORT_MAX: u64 = 64;
/// A value of more memory is freed elsewhere in any case.
const FREED_HERE_BYTES_MAX: usize = 256 << 10;
/// And databases of more keys, or of more memory.
const FREED_HERE_KEYS_MAX: u64 = 10_000;
const TABLES_FREED_HERE_BYTES_MAX: u64 = 4 << 20;

/// What INFO says of it.
#[derive(Default)]
pub(crate) struct LazyFree(Arc<Counts>);

#[derive(Default)]
struct Counts {
    pending: AtomicU64,
    freed: AtomicU64,
    bytes: AtomicU64,
}

/// Follows garbage on its way: when this is dropped, that is gone, and missing from what is used.
struct Gone {
    objects: u64,
    bytes: u64,
    counts: Arc<Counts>,
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.counts.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.counts.pending.fetch_sub(self.objects, Ordering::Relaxed);
        self.counts.freed.fetch_add(self.objects, Ordering::Relaxed);
    }
}

impl LazyFree {
    /// Objects that wait to be freed.
    pub(crate) fn pending(&self) -> u64 {
        self.0.pending.load(Ordering::Relaxed)
    }

    /// Bytes on their way to the thread that frees them.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Objects freed so far.
    pub(crate) fn freed(&self) -> u64 {
        self.0.freed.load(Ordering::Relaxed)
    }

    /// Begins to count anew (CONFIG RESETSTAT).
    pub(crate) fn reset(&self) {
        self.0.freed.store(0, Ordering::Relaxed);
    }
}

impl Node {
    /// Frees a value; elsewhere if that takes long and `lazily` says so.
    pub(crate) fn free(&self, value: Detached, lazily: impl FnOnce() -> bool) {
        let view = value.view();
        let is_long = view.free_effort() > EFFORT_MAX;
        let bytes = view.memory_bytes();
        if bytes > FREED_HERE_BYTES_MAX || (is_long && lazily()) {
            self.free_later(Box::new(value), 1, bytes as u64);
        }
    }

    /// Frees what held `keys` keys.
    pub(crate) fn free_tables(&self, old: OldTables, keys: u64, lazily: bool) {
        let bytes = old.bytes();
        if lazily || keys > FREED_HERE_KEYS_MAX || bytes > TABLES_FREED_HERE_BYTES_MAX {
            self.free_later(Box::new(old), keys, bytes);
        }
    }

    /// Frees what no client has asked to be freed, elsewhere: it counts as no object.
    pub(crate) fn free_old(&self, old: OldTables) {
        let bytes = old.bytes();
        self.free_later(Box::new(old), 0, bytes);
    }

    /// Frees the large values that have been overwritten since the last time.
    pub(crate) fn free_overwritten(&self) {
        let counts = &self.lazy_free.0.bytes;
        let count = |bytes| {
            counts.fetch_add(bytes, Ordering::Relaxed);
        };
        if let Some(old) = self.keyspace.take_overwritten(count) {
            let (objects, bytes) = (old.len() as u64, old.bytes());
            self.send_away(Box::new(old), objects, bytes);
        }
    }

    fn free_later(&self, garbage: Box<dyn Send>, objects: u64, bytes: u64) {
        self.lazy_free.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.send_away(garbage, objects, bytes);
    }

    /// The bytes have been counted.
    fn send_away(&self, garbage: Box<dyn Send>, objects: u64, bytes: u64) {
        let counts = Arc::clone(&self.lazy_free.0);
        counts.pending.fetch_add(objects, Ordering::Relaxed);
        self.host.drop_later(garbage);
        self.host.drop_later(Box::new(Gone { objects, bytes, counts }));
    }
}
