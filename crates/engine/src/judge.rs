//! Refusals that follow from other facts: the role, the link, the replicas, the last save, the
//! configuration.
//!
//! Each is computed anew, from all it follows from, by whoever has changed one of them; one at a
//! time, because two that had looked at different moments could set their results in the wrong
//! order, and the older one would stay.

use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use tandem_base::{Mono, Now};
use tandem_repl::peer;

use crate::node::{Node, Refusals, lock};

impl Node {
    /// The outermost of locks: whoever holds it may ask anything.
    fn judging(&self) -> MutexGuard<'_, ()> {
        lock(&self.judging)
    }

    /// Computes all of them; after a change of the role or of the configuration.
    pub(crate) fn update_refusals(&self) {
        let judging = self.judging();
        self.refuse(Refusals::MEMORY, self.eviction.limit() > 0 || self.clients_limit() > 0);
        let read_only = self.is_replica() && self.config().replica_read_only();
        self.refuse(Refusals::READ_ONLY, read_only);
        drop(judging);
        self.update_stale();
        self.update_misconf();
        self.update_good_replicas();
    }

    /// Whether reads are refused because the link is down.
    pub fn update_stale(&self) {
        let _judging = self.judging();
        let serves = self.config().replica_serve_stale_data();
        let replication = self.replication.inner();
        let down = replication.master.is_some() && !replication.link.up;
        drop(replication);
        self.refuse(Refusals::STALE, down && !serves);
    }

    /// Whether writes are refused because the last background save failed. A replica's clients are
    /// told too; its master's stream is not asked.
    pub fn update_misconf(&self) {
        let _judging = self.judging();
        let config = self.config();
        let stops = config.stop_writes_on_bgsave_error() && !config.save().is_empty();
        drop(config);
        let failed = !self.persistence.state().last_ok;
        self.refuse(Refusals::MISCONF, stops && failed);
    }

    /// Whether there are too few good replicas to take writes.
    pub fn update_good_replicas(&self) {
        let mono = Mono(self.recent_mono.load(Ordering::Relaxed));
        self.update_good_replicas_at(Now { unix: self.recent_unix(), mono });
    }

    pub(crate) fn update_good_replicas_at(&self, now: Now) {
        let _judging = self.judging();
        let config = self.config();
        let wanted = usize::try_from(config.min_replicas_to_write()).unwrap_or(0);
        let max_lag_s = u64::from(config.min_replicas_max_lag());
        drop(config);
        let too_few = wanted > 0 && max_lag_s > 0 && !self.is_replica() && {
            let replication = self.replication.inner();
            let peers = replication.replicas.values().map(|replica| &replica.peer);
            peer::count_good(peers, max_lag_s, now.mono) < wanted
        };
        self.refuse(Refusals::NO_REPLICAS, too_few);
    }
}
