//! Bytes in use, exact and cheap: what each thread has been given by the allocator, less what it
//! has given back.
//!
//! A thread reads its own two counters and adds the difference to the sum of all once it is
//! large enough to matter. What one thread allocates and another frees is added here and taken
//! off there. To ask the allocator itself would cost microseconds, and would count what it
//! keeps in its caches.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

/// What the program's allocator can tell and do.
#[derive(Clone, Copy)]
pub struct Allocator {
    /// Its name and version, for INFO.
    pub name: &'static str,
    /// Bytes handed out, in pages in use, and resident.
    pub facts: fn() -> (u64, u64, u64),
    /// Its report on itself.
    pub report: fn() -> String,
    /// Gives back pages that nothing is in; whether it could.
    pub purge: fn() -> bool,
    /// Lets threads of its own do that, or not (`jemalloc-bg-thread`); whether it could.
    pub purge_in_background: fn(bool) -> bool,
    /// Bytes given to this thread so far, less those that it has given back.
    pub thread_net: fn() -> i64,
}

static ALLOCATOR: OnceLock<Allocator> = OnceLock::new();
/// The sum over all threads of what they have added.
static USED: AtomicI64 = AtomicI64::new(0);
/// A smaller change waits: the sum is one cache line for all workers.
const WORTH_ADDING_BYTES: i64 = 1024;

/// What this thread has added; at its end, the rest.
struct Added(Cell<i64>);

thread_local! {
    static ADDED: Added = const { Added(Cell::new(0)) };
}

impl Added {
    /// What the sum lacks of this thread's memory.
    fn missing(&self) -> i64 {
        ALLOCATOR.get().map_or(0, |allocator| (allocator.thread_net)()) - self.0.get()
    }

    fn add(&self, missing: i64) {
        self.0.set(self.0.get() + missing);
        USED.fetch_add(missing, Ordering::Relaxed);
    }
}

impl Drop for Added {
    fn drop(&mut self) {
        self.add(self.missing());
    }
}

/// Makes the allocator known; before anything else here counts.
pub(crate) fn set_allocator(allocator: Allocator) {
    // A second server in the same process has the same.
    let _ = ALLOCATOR.set(allocator);
}

/// Bytes in use; what other threads have yet to add may be missing.
pub(crate) fn used() -> u64 {
    let used = ADDED.try_with(|added| {
        let missing = added.missing();
        if missing.abs() < WORTH_ADDING_BYTES {
            return USED.load(Ordering::Relaxed) + missing;
        }
        added.add(missing);
        USED.load(Ordering::Relaxed)
    });
    // Only a thread that is ending has nothing of its own to add.
    used.unwrap_or_else(|_| USED.load(Ordering::Relaxed)).max(0).cast_unsigned()
}

/// Adds what this thread has taken or given back since the last time, however little. To be
/// called once by every thread that takes memory, and when it has given much back.
pub(crate) fn count_in() {
    // A thread that is ending has just been counted.
    let _ = ADDED.try_with(|added| added.add(added.missing()));
}

/// The allocator, if it is known.
pub(crate) fn allocator() -> Option<&'static Allocator> {
    ALLOCATOR.get()
}

/// Figures of the allocator: allocated, active, resident bytes.
pub(crate) fn facts() -> (u64, u64, u64) {
    ALLOCATOR.get().map_or((0, 0, 0), |allocator| (allocator.facts)())
}

/// `jemalloc-bg-thread`.
pub(crate) fn purge_in_background(on: bool) -> Result<(), String> {
    match ALLOCATOR.get() {
        Some(allocator) if !(allocator.purge_in_background)(on) => {
            Err("the allocator cannot change its background threads".to_owned())
        }
        _ => Ok(()),
    }
}
