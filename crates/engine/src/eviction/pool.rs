//! The stalest keys met so far: a worker's own small list, kept from one eviction to the next.
//!
//! A few samples at a time say little; the best of many samples, kept, come close to the
//! stalest keys of all. As in Redis, sixteen are kept. What is kept is a key's hash and not the
//! key; when its turn comes it is looked up again, and passed over if it has gone or has been
//! used meanwhile.

use tandem_base::DbIndex;
use tandem_store::KeyHash;

const KEPT: usize = 16;

/// A key that may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// How stale it was when it was met.
    pub(crate) staleness: u32,
    pub(crate) db: DbIndex,
    pub(crate) hash: KeyHash,
}

/// See the module's story.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Freshest first.
    kept: Vec<Candidate>,
    /// Whether staleness is by use count; what was kept under another measure says nothing.
    by_frequency: bool,
}

impl Pool {
    /// Forgets all, if they were met under another measure.
    pub(crate) fn measured(&mut self, by_frequency: bool) {
        if self.by_frequency != by_frequency {
            self.kept.clear();
            self.by_frequency = by_frequency;
        }
    }

    /// Whether a key so stale would be kept.
    pub(crate) fn wants(&self, staleness: u32) -> bool {
        self.kept.len() < KEPT || self.kept[0].staleness < staleness
    }

    /// Keeps a key among the stalest.
    pub(crate) fn offer(&mut self, candidate: Candidate) {
        let is_same = |kept: &Candidate| kept.hash == candidate.hash && kept.db == candidate.db;
        if !self.wants(candidate.staleness) || self.kept.iter().any(is_same) {
            return;
        }
        if self.kept.len() == KEPT {
            self.kept.remove(0);
        }
        let at = self.kept.partition_point(|kept| kept.staleness < candidate.staleness);
        self.kept.insert(at, candidate);
        assert!(self.kept.len() <= KEPT);
    }

    /// The stalest.
    pub(crate) fn take(&mut self) -> Option<Candidate> {
        self.kept.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(staleness: u32, hash: u64) -> Candidate {
        Candidate { staleness, db: DbIndex(0), hash: KeyHash { hash, stripe: 0 } }
    }

    #[test]
    fn the_stalest_are_kept_and_leave_first() {
        let mut pool = Pool::default();
        for n in 0..40 {
            pool.offer(candidate(n * 7 % 40, n.into()));
        }
        let mut taken = Vec::new();
        while let Some(candidate) = pool.take() {
            taken.push(candidate.staleness);
        }
        assert_eq!(taken, (24..40).rev().collect::<Vec<_>>());
    }

    #[test]
    fn a_key_is_kept_once_and_a_measure_begins_anew() {
        let mut pool = Pool::default();
        pool.offer(candidate(3, 9));
        pool.offer(candidate(4, 9));
        assert_eq!(pool.take(), Some(candidate(3, 9)));
        assert_eq!(pool.take(), None);
        pool.offer(candidate(3, 9));
        pool.measured(false);
        assert!(pool.take().is_some());
        pool.offer(candidate(3, 9));
        pool.measured(true);
        assert_eq!(pool.take(), None);
    }
}
