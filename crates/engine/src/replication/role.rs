//! Changes of role: made at once and alone, so that flags, lineage and what INFO says agree.

use std::sync::atomic::Ordering;

use tandem_base::{DbIndex, Mono};
use tandem_repl::link::CachedMaster;
use tandem_resp::push_request;

use super::follower::{Follower, LinkFacts};
use super::{Inner, Master};
use crate::gate::{Alone, Inside};
use crate::node::{Mail, Node, Refusals};

impl Node {
    /// Becomes a replica of `host:port`; what others see changes at once, the link with the next
    /// step of its worker. The keyspace must be held alone. True if there is a place in some history
    /// that a partial resync can be asked for.
    pub fn follow(&self, host: &str, port: u16) -> bool {
        let mut replication = self.replication.inner();
        replication.stream_db = replication.applied_db();
        // A master that becomes a replica asks to go on with its own history, and a replica
        // that changes masters with the one that its data have.
        replication.place = replication.own_place(&self.stream).or(replication.place);
        let may_go_on = replication.place.is_some();
        replication.master = Some(Master { host: host.to_owned(), port });
        replication.link = LinkFacts::begun(host, port);
        self.drop_master_client(&mut replication);
        self.end_epoch();
        drop(replication);
        self.begin_epoch(true);
        self.end_all_waits();
        // Sub-replicas stay: what they have is what we have, until a full resync says otherwise.
        may_go_on
    }

    /// Ends the role of a replica: the data stay, and with them the lineage. The keyspace must
    /// be held alone.
    pub fn unfollow(&self) {
        let mut replication = self.replication.inner();
        if replication.master.take().is_none() {
            return;
        }
        let new = self.random_replid();
        let line = replication.history.promote(new, self.stream.end());
        self.log_line(&line);
        replication.place = None;
        replication.link = LinkFacts::default();
        self.drop_master_client(&mut replication);
        if replication.replicas.is_empty() {
            replication.no_replicas_since = Some(Mono(self.recent_mono.load(Ordering::Relaxed)));
        }
        self.end_epoch();
        drop(replication);
        self.begin_epoch(false);
        self.stream.forget_selected_db();
        // Replicas must hear of the new id: they come back by PSYNC, which tells them.
        self.disconnect_replicas();
    }

    /// The old link is a thing of the past from the moment on at which its master is not ours.
    /// Replication's inner lock is held.
    fn end_epoch(&self) {
        let loading = self.refusals().contains(Refusals::LOADING);
        assert!(!loading, "REPLICAOF is refused while a dataset is loaded");
        self.replication.epoch.fetch_add(1, Ordering::Release);
    }

    fn begin_epoch(&self, replica: bool) {
        self.set_replica(replica);
        self.mail(0, Mail::Link);
    }

    /// Whether a role change has made this link a thing of the past. The answer stays true for
    /// who is inside the gate or alone, and while replication's inner lock is held.
    pub(super) fn is_past(&self, follower: &Follower) -> bool {
        follower.epoch != self.replication.epoch()
    }

    /// Waits to be alone; `None` if the role `epoch` has ended by then, and with it the right to
    /// touch the data in its name.
    pub(crate) fn alone_in(&self, epoch: u64) -> Option<Alone<'_>> {
        let alone = self.gate.alone();
        (epoch == self.replication.epoch()).then_some(alone)
    }

    /// Enters the gate as thread `slot`; `None` if the role `epoch` has ended by then.
    pub(crate) fn enter_in(&self, slot: usize, epoch: u64) -> Option<Inside<'_>> {
        let inside = self.gate.enter(slot);
        (epoch == self.replication.epoch()).then_some(inside)
    }

    pub(super) fn drop_master_client(&self, replication: &mut Inner) {
        if let Some(info) = replication.master_client.take() {
            self.clients.remove(info.id);
        }
    }

    /// A start from the snapshot file: the data stand at `place` of a history. As a replica we
    /// ask to go on from there; as a master we serve those who know that history. `left_out`
    /// are keys that had expired: our replicas still have them.
    pub fn take_place(
        &self,
        place: crate::loading::Place,
        left_out: Vec<(DbIndex, Vec<u8>)>,
        as_replica: bool,
    ) {
        let (Some(replid), Some(offset)) = (place.replid, place.offset) else { return };
        let mut replication = self.replication.inner();
        if as_replica {
            replication.history.restored_as_replica(replid);
            replication.stream_db = place.stream_db.unwrap_or_default();
            replication.place = Some(CachedMaster { replid, offset });
            drop(replication);
            self.stream.place_at(offset);
            return;
        }
        replication.history.restored_as_master(replid, offset);
        replication.no_replicas_since = Some(Mono(self.recent_mono.load(Ordering::Relaxed)));
        drop(replication);
        self.stream.activate(offset);
        for (db, key) in left_out {
            self.stream.append_with(|writer| {
                writer.select(db);
                let mut del = Vec::with_capacity(key.len() + 32);
                push_request(&mut del, [b"DEL".as_slice(), &key].into_iter());
                writer.push(&del);
            });
        }
    }
}
