//! Values that were overwritten and take long to free: kept until another thread frees them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::entry::Owned;

/// More bytes than this are freed elsewhere in any case.
const FREED_HERE_BYTES_MAX: u64 = 256 << 10;
/// More elements than this if that is wanted, as in Redis.
const FREED_HERE_EFFORT_MAX: u64 = 64;

/// See the module's story.
#[derive(Default)]
pub(crate) struct Overwritten {
    /// Whether values of many elements are kept, too.
    lazy: AtomicBool,
    any: AtomicBool,
    /// Bytes of those that have not been taken.
    bytes: AtomicU64,
    values: Mutex<Vec<Owned>>,
}

/// Values that are freed when this is dropped.
pub struct OldValues {
    values: Vec<Owned>,
}

impl OldValues {
    /// How many.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Bytes that they take, near enough.
    pub fn bytes(&self) -> u64 {
        self.values.iter().map(Owned::bytes).sum()
    }
}

impl Overwritten {
    pub(crate) fn set_lazy(&self, lazy: bool) {
        self.lazy.store(lazy, Ordering::Relaxed);
    }

    /// Frees what a value owned, or keeps it for [`Overwritten::take`].
    #[inline]
    pub(crate) fn discard(&self, old: Option<Owned>) {
        if let Some(old) = old {
            self.discard_owned(old);
        }
    }

    fn discard_owned(&self, old: Owned) {
        let is_long = old.effort() > FREED_HERE_EFFORT_MAX;
        if old.bytes() > FREED_HERE_BYTES_MAX || (is_long && self.lazy.load(Ordering::Relaxed)) {
            self.bytes.fetch_add(old.bytes(), Ordering::Relaxed);
            self.values.lock().expect("a push does not panic").push(old);
            self.any.store(true, Ordering::Release);
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// As [`Keyspace::take_overwritten`](crate::Keyspace::take_overwritten).
    pub(crate) fn take(&self, count: impl FnOnce(u64)) -> Option<OldValues> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut values = self.values.lock().expect("a push does not panic");
        self.any.store(false, Ordering::Relaxed);
        let taken = OldValues { values: std::mem::take(&mut *values) };
        drop(values);
        let bytes = taken.bytes();
        count(bytes);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        (!taken.is_empty()).then_some(taken)
    }
}
