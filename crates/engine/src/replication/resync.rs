//! A full resynchronisation on the replica: the RDB into a file or straight into the keyspace,
//! the old data dropped, the master's place taken over.

use std::sync::Arc;

use tandem_base::{DbIndex, Mono, Now, ReplId};
use tandem_repl::link::{Base, LoadTo, SyncProgress};

use super::follower::Follower;
use crate::acl::{Rights, User};
use crate::client::{ClientFlags, ClientInfo, Session};
use crate::gate::Alone;
use crate::loading::Load;
use crate::node::{Level, Mail, Node, Refusals};

/// The length of the file that comes; 0 where the master does not know it.
pub(super) fn total_bytes(progress: SyncProgress) -> u64 {
    u64::try_from(progress.total_bytes).unwrap_or(0)
}

impl Node {
    pub(super) fn begin_rdb(&self, follower: &mut Follower, load_to: LoadTo, now: Now) {
        match load_to {
            LoadTo::Disk => self.begin_spool(follower, now),
            LoadTo::Parser => _ = self.begin_load(follower, now),
        }
    }

    /// The old data go, and the load of others begins. From here to its end no role changes:
    /// REPLICAOF is refused while a dataset is loaded. False if the role ended before: then the
    /// old data are not ours to drop.
    pub(super) fn begin_load(&self, follower: &mut Follower, now: Now) -> bool {
        let Some(alone) = self.alone_in(follower.epoch) else { return false };
        self.begin_loading(follower.link.sync_progress().map_or(0, total_bytes), now);
        self.forget_old_data(alone);
        follower.load = Some(Load::for_replica(now));
        true
    }

    pub(super) fn take_rdb(&self, follower: &mut Follower, bytes: &[u8], now: Now) {
        let Some(load) = &mut follower.load else { return self.host.spool_write(bytes) };
        if let Err(why) = load.take(self, bytes) {
            self.log(Level::Warning, &format!("MASTER <-> REPLICA sync: {why}"));
            follower.link.loaded(Err(&why), now.mono);
        }
        self.begin_rest(follower, now);
    }

    pub(super) fn end_rdb(&self, follower: &mut Follower, now: Now) {
        match follower.load {
            Some(_) => self.end_load(follower, now),
            None => self.sync_spool(follower),
        }
    }

    /// Bytes to load before clients get their turn. Only a load that is delayed on purpose is
    /// held to what the directive says; others come in pieces that take no time.
    pub(super) fn load_step(&self) -> usize {
        match self.key_load_delay() {
            0 => usize::MAX,
            _ => self.config().loading_process_events_interval_bytes() as usize,
        }
    }

    /// What `key-load-delay` asks for is waited for here, while clients are served.
    pub(super) fn begin_rest(&self, follower: &mut Follower, now: Now) {
        let delay_us = follower.load.as_mut().map_or(0, Load::take_delay);
        if delay_us > 0 {
            let from = follower.rests_until.unwrap_or(now.mono);
            follower.rests_until = Some(Mono(from.0 + delay_us));
        }
    }

    pub(super) fn end_rest(&self, follower: &mut Follower, now: Now) {
        let over = |until: Mono| until <= now.mono || self.key_load_delay() == 0;
        if follower.rests_until.is_some_and(over) {
            follower.rests_until = None;
            if std::mem::take(&mut follower.ends_after_rest) {
                self.end_load(follower, now);
            }
        }
    }

    pub(super) fn end_load(&self, follower: &mut Follower, now: Now) {
        if follower.rests_until.is_some() {
            follower.ends_after_rest = true;
            return;
        }
        let load = follower.load.as_mut().expect("a load is under way");
        match load.finish(self) {
            Ok(()) => follower.link.loaded(Ok(()), now.mono),
            Err(why) => {
                self.log(
                    Level::Warning,
                    &format!("Failed trying to load the MASTER synchronization DB: {why}"),
                );
                follower.link.loaded(Err(&why), now.mono);
            }
        }
    }

    pub(super) fn abort_rdb(&self, follower: &mut Follower) {
        self.abort_spool(follower);
        follower.rests_until = None;
        follower.ends_after_rest = false;
        follower.kept.clear();
        if follower.load.take().is_some() {
            // Half a dataset is worse than none.
            self.forget_old_data(self.gate.alone());
            self.refuse(Refusals::LOADING, false);
        }
    }

    /// The old data go, and with them all who went on from them, and the snapshot of them.
    fn forget_old_data(&self, alone: Alone<'_>) {
        self.stop_running_snapshot();
        self.disconnect_replicas();
        self.stream.release();
        let old = self.keyspace.flush_all();
        self.watches.touched_if(|_, _| true);
        self.invalidate_all();
        self.own_expiry.clear();
        self.replication.inner().place = None;
        drop(alone);
        self.free_old(old);
    }

    pub(super) fn synced(&self, follower: &mut Follower, base: Base, now: Now) {
        let load = follower.load.take().expect("a full resync loads");
        let alone = self.alone_in(follower.epoch).expect("no role changes during a load");
        let mut replication = self.replication.inner();
        let replid = base.replid.unwrap_or_else(|| self.random_replid());
        replication.history.full_resynced(replid);
        drop(replication);
        self.stream.reset_to(base.offset);
        self.persistence.nothing_changed();
        self.begin_master_client(follower, load.stream_db(), now);
        self.refuse(Refusals::LOADING, false);
        drop(alone);
        self.mail_all(|| Mail::LookAtBlocked);
        self.host.tell_supervisor(
            "STATUS=MASTER <-> REPLICA sync: Finished with success. Ready to accept connections in \
             read-write mode.\n",
        );
    }

    pub(super) fn resumed(&self, follower: &mut Follower, new_replid: Option<ReplId>, now: Now) {
        let (offset, _) = follower.link.offsets().expect("a resumed link counts");
        let Some(alone) = self.alone_in(follower.epoch) else { return };
        let mut replication = self.replication.inner();
        if let Some(new) = new_replid {
            replication.history.adopt(new, offset);
        }
        let db = replication.stream_db;
        drop(replication);
        if !self.stream.is_active() {
            self.stream.activate(offset);
        }
        assert_eq!(self.stream.end(), offset, "our stream ends where the link goes on");
        if new_replid.is_some() {
            self.disconnect_replicas();
        }
        self.begin_master_client(follower, db, now);
        drop(alone);
        self.host.tell_supervisor(
            "STATUS=MASTER <-> REPLICA sync: Partial Resynchronization accepted. Ready to accept \
             connections in read-write mode.\n",
        );
    }

    // ---- the master as a client ----

    fn begin_master_client(&self, follower: &mut Follower, db: DbIndex, now: Now) {
        let id = self.clients.next_id();
        let addr = format!("{}:{}", follower.link.host(), follower.link.port());
        let info = Arc::new(ClientInfo::new(id, 0, -1, addr, String::new(), now));
        info.set_flag(ClientFlags::MASTER, true);
        // What comes over the link has been allowed where it was first run.
        let user = Arc::new(User::new(b"(superuser)", Rights::unlimited()));
        let mut session = Session::new(Arc::clone(&info), user, true);
        session.client.select(db);
        follower.session = Some(session);
        let mut replication = self.replication.inner();
        self.drop_master_client(&mut replication);
        self.clients.add(Arc::clone(&info));
        replication.master_client = Some(info);
    }

    /// The connection is gone: where the stream stood is remembered.
    pub(super) fn end_master_client(&self, follower: &mut Follower) {
        follower.transaction = None;
        follower.kept.clear();
        if follower.session.take().is_none() {
            return;
        }
        let mut replication = self.replication.inner();
        if self.is_past(follower) {
            return;
        }
        replication.stream_db = replication.applied_db();
        replication.place = replication.own_place(&self.stream);
        self.drop_master_client(&mut replication);
    }
}
