//! What all stripes know: the hash key, the access clock, how many keys there are, and which
//! snapshot is under way.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crossbeam_utils::CachePadded;

use crate::access::AccessState;
use crate::entry::Stamp;
use crate::hash::Hasher;
use crate::key_counts::KeyCounts;
use crate::overwritten::Overwritten;
use crate::snapshot::{Cuts, HeldValues, Mark};

/// One for a keyspace; each stripe holds on to it.
pub(crate) struct Shared {
    pub(crate) hasher: Hasher,
    /// The access clock of this moment.
    pub(crate) access: AccessState,
    /// The last snapshot begun: a `Mark`.
    mark: AtomicU64,
    /// Bytes in side chunks; apart, as writers change it while all others read the fields above.
    pub(crate) side_bytes: CachePadded<AtomicUsize>,
    /// Bytes that only a running snapshot still needs.
    kept_bytes: CachePadded<AtomicUsize>,
    /// The most that there were of them since the last cut.
    kept_peak: CachePadded<AtomicUsize>,
    cuts: Mutex<Cuts>,
    /// Large values that snapshots have taken and not yet written.
    pub(crate) held: HeldValues,
    pub(crate) overwritten: Overwritten,
    pub(crate) key_counts: KeyCounts,
}

/// Memory kept for a running snapshot alone; counted for as long as this lives.
pub(crate) struct KeptBytes {
    shared: Arc<Shared>,
    bytes: usize,
}

impl KeptBytes {
    pub(crate) fn new(shared: &Arc<Shared>, bytes: usize) -> KeptBytes {
        shared.count_kept(bytes);
        KeptBytes { shared: Arc::clone(shared), bytes }
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        self.shared.count_kept(bytes);
        self.bytes += bytes;
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for KeptBytes {
    fn drop(&mut self) {
        self.shared.uncount_kept(self.bytes);
    }
}

impl Shared {
    /// For so many databases.
    pub(crate) fn new(hasher: Hasher, databases: u16) -> Shared {
        Shared {
            hasher,
            access: AccessState::default(),
            mark: AtomicU64::new(Mark::NEVER.0),
            side_bytes: CachePadded::new(AtomicUsize::new(0)),
            kept_bytes: CachePadded::new(AtomicUsize::new(0)),
            kept_peak: CachePadded::new(AtomicUsize::new(0)),
            cuts: Mutex::default(),
            held: HeldValues::default(),
            overwritten: Overwritten::default(),
            key_counts: KeyCounts::new(databases),
        }
    }

    /// The stamp of an entry that is born or changed now.
    #[inline]
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { mark: self.mark().number(), clock: self.access.birth() }
    }

    /// The last snapshot begun. Relaxed is enough: it begins while no one else is at work, and
    /// whoever is let in afterwards has synchronised with that; that it ends matters to no one
    /// at once.
    #[inline]
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.mark.load(Ordering::Relaxed))
    }

    /// Locked after a stripe, never before one.
    pub(crate) fn cuts(&self) -> MutexGuard<'_, Cuts> {
        self.cuts.lock().expect("no thread has panicked in the midst of a change")
    }

    pub(crate) fn count_kept(&self, more: usize) {
        let bytes = self.kept_bytes.fetch_add(more, Ordering::Relaxed) + more;
        self.kept_peak.fetch_max(bytes, Ordering::Relaxed);
    }

    pub(crate) fn uncount_kept(&self, less: usize) {
        self.kept_bytes.fetch_sub(less, Ordering::Relaxed);
    }

    /// Bytes that nobody but a running snapshot needs: old values, flushed tables.
    pub(crate) fn kept_for_snapshot(&self) -> usize {
        self.kept_bytes.load(Ordering::Relaxed)
    }

    /// The most that they have been since the last cut.
    pub(crate) fn kept_peak(&self) -> usize {
        self.kept_peak.load(Ordering::Relaxed)
    }

    /// A snapshot begins.
    pub(crate) fn forget_kept_peak(&self) {
        self.kept_peak.store(0, Ordering::Relaxed);
    }

    pub(crate) fn set_mark(&self, mark: Mark) {
        self.mark.store(mark.0, Ordering::Relaxed);
    }
}
