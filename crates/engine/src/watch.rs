//! WATCH: which clients must be told that a key changed.
//!
//! One register for all databases, cut like the keyspace so that workers seldom meet. While
//! nobody watches anything a change costs one relaxed load.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use tandem_base::DbIndex;

const PARTS: usize = 64;

type Watchers = HashMap<Box<[u8]>, Vec<(DbIndex, Arc<AtomicBool>)>, foldhash::fast::RandomState>;

/// The register of watched keys. A watcher is a flag that is raised when its key is touched.
pub struct Watches {
    count: AtomicUsize,
    parts: Box<[Mutex<Watchers>]>,
}

impl Default for Watches {
    fn default() -> Watches {
        let parts = (0..PARTS).map(|_| Mutex::new(Watchers::default())).collect();
        Watches { count: AtomicUsize::new(0), parts }
    }
}

impl Watches {
    fn part(&self, key: &[u8]) -> MutexGuard<'_, Watchers> {
        let sum = key.iter().fold(0usize, |sum, &b| sum.wrapping_mul(31).wrapping_add(b.into()));
        self.parts[sum % PARTS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a change of `key` raises `flag`. The key's stripe must be held.
    pub fn add(&self, db: DbIndex, key: &[u8], flag: &Arc<AtomicBool>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut part = self.part(key);
        part.entry(key.into()).or_default().push((db, Arc::clone(flag)));
    }

    /// Ends one watch of `key` by `flag`.
    pub fn remove(&self, db: DbIndex, key: &[u8], flag: &Arc<AtomicBool>) {
        let mut part = self.part(key);
        let watchers = part.get_mut(key).expect("a watch is removed once");
        let at = watchers
            .iter()
            .position(|(index, other)| *index == db && Arc::ptr_eq(other, flag))
            .expect("a watch is removed once");
        watchers.swap_remove(at);
        if watchers.is_empty() {
            part.remove(key);
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// `key` has changed. The key's stripe is held, so that a watcher which looks at the flag
    /// under the same lock cannot miss it.
    #[inline]
    pub fn touched(&self, db: DbIndex, key: &[u8]) {
        if self.count.load(Ordering::Relaxed) != 0 {
            self.raise(db, key);
        }
    }

    #[cold]
    fn raise(&self, db: DbIndex, key: &[u8]) {
        if let Some(watchers) = self.part(key).get(key) {
            for (_, flag) in watchers.iter().filter(|(index, _)| *index == db) {
                flag.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Databases were emptied or swapped: raises the flag of each watch for which `concerns`
    /// says so. The whole keyspace must be held.
    pub fn touched_if(&self, mut concerns: impl FnMut(DbIndex, &[u8]) -> bool) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        for part in &self.parts {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, watchers) in part.iter() {
                for (db, flag) in watchers {
                    if concerns(*db, key) {
                        flag.store(true, Ordering::Relaxed);
                    }
                }
            }
        }
    }
}
