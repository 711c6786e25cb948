//! How many keys each database holds, counted beside the stripes, so that nobody who asks takes
//! a lock.
//!
//! ```text
//! group of 16 databases   shard 0: 16 counts │ shard 1: 16 counts │ …      a shard is a line
//! ```
//! A count is cut into shards: writers of different stripes seldom meet at one. A sum is exact
//! when nobody writes, and otherwise what it was at some moment for each shard. A group costs
//! nothing until its first key, and then 128 bytes a database.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use crossbeam_utils::CachePadded;
use tandem_base::DbIndex;

const SHARDS: usize = 16;
/// Databases whose counts lie together.
const GROUP: usize = 16;
type Group = Box<[CachePadded<[AtomicI64; GROUP]>; SHARDS]>;

/// See the module's story.
pub(crate) struct KeyCounts {
    groups: Box<[OnceLock<Group>]>,
}

impl KeyCounts {
    /// All zero.
    pub(crate) fn new(databases: u16) -> KeyCounts {
        let groups = usize::from(databases).div_ceil(GROUP);
        KeyCounts { groups: (0..groups).map(|_| OnceLock::new()).collect() }
    }

    /// Keys have come (or gone) in a stripe of `db`.
    #[inline]
    pub(crate) fn add(&self, db: DbIndex, stripe: u16, keys: i64) {
        let group = self.groups[db.index() / GROUP].get_or_init(Group::default);
        let shard = &group[usize::from(stripe) % SHARDS];
        shard[db.index() % GROUP].fetch_add(keys, Ordering::Relaxed);
    }

    /// Keys of `db`.
    pub(crate) fn sum(&self, db: DbIndex) -> u64 {
        let group = self.groups.get(db.index() / GROUP).and_then(OnceLock::get);
        let shards = group.iter().flat_map(|group| group.iter());
        let sum: i64 = shards.map(|shard| shard[db.index() % GROUP].load(Ordering::Relaxed)).sum();
        // A key that goes while we add may have come after we looked.
        u64::try_from(sum).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_has_a_count_of_its_own() {
        let counts = KeyCounts::new(50);
        for db in 0..50 {
            (0..40).for_each(|stripe| counts.add(DbIndex(db), stripe, i64::from(db)));
            counts.add(DbIndex(db), 0, -1);
        }
        assert_eq!(counts.sum(DbIndex(0)), 0, "never below nothing");
        (1..50).for_each(|db| assert_eq!(counts.sum(DbIndex(db)), 40 * u64::from(db) - 1));
        assert_eq!(counts.sum(DbIndex(64)), 0, "there is no such database");
    }
}
