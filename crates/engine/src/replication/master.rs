//! The master's half: our replicas, from PSYNC to the stream.
//!
//! Decisions are `tandem_repl`'s; here they meet clients, snapshots and the stream. A snapshot
//! is cut while the keyspace is held alone, so the offset in `+FULLRESYNC` and the data agree.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tandem_base::{Now, ReplOffset};
use tandem_repl::history::{self, PsyncAsk, Verdict};
use tandem_repl::peer::{self, AfterRdb, Peer, PeerState};
use tandem_repl::replconf::Effect;
use tandem_repl::syncplan::{self, Arrival, Busy, Policy, Running, Start, Target};
use tandem_repl::wire;
use tandem_resp::Args;

use super::Replica;
use crate::client::{Client, ClientFlags, ClientId, Feed, Kind, Session};
use crate::config::ClientClass;
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::intake::Worker;
use crate::node::{Level, Mail, Node, Refusals, ToClient};
use crate::persistence::Asked;

/// A client's address without its port: what a replica is known by.
fn ip_of(client: &Client) -> String {
    if client.info.flags().contains(ClientFlags::UNIX_SOCKET) {
        return "127.0.0.1".to_owned();
    }
    let addr = &client.info.addr;
    let ip = addr.rsplit_once(':').map_or(addr.as_str(), |(ip, _)| ip);
    ip.trim_matches(['[', ']']).to_owned()
}

impl Node {
    fn sync_policy(&self) -> Policy {
        let config = self.config();
        Policy {
            diskless: config.repl_diskless_sync(),
            delay_ms: u64::from(config.repl_diskless_sync_delay()) * 1000,
            max_replicas: usize::try_from(config.repl_diskless_sync_max_replicas()).unwrap_or(0),
        }
    }

    fn busy(&self) -> Busy {
        self.persistence.state().running.map_or(Busy::No, |save| Busy::Saving(save.running))
    }

    /// PSYNC (`ask`) and SYNC (`None`). The keyspace is held alone.
    pub fn sync_client(&self, cx: &mut Cx<'_>, ask: Option<(&[u8], &[u8])>) -> Outcome {
        if cx.client.is_replica_or_monitor() {
            return Ok(());
        }
        let now = cx.now();
        let mut replication = self.replication.inner();
        let gate = syncplan::SyncGate {
            link_down: replication.master.is_some() && !replication.link.up,
            failing_over: false,
            pending_output: !cx.out.is_empty(),
        };
        let facts = cx.client.replica_facts.clone();
        if let Some(text) = gate.refusal(&facts) {
            return Err(ErrorReply::text(text));
        }
        let addr = ip_of(cx.client);
        let name = peer::name_in_log(&facts, &addr);
        self.log_line(&syncplan::asks_line(&name));
        if let Some((replid, offset)) = ask {
            let Ok(ask) = PsyncAsk::parse(replid, offset) else {
                self.log_line(&PsyncAsk::bad_offset_line(&name));
                return Err(ErrorReply::NotInteger);
            };
            let (verdict, cursor) = history::answer_psync(&replication.history, &self.stream, &ask);
            for line in verdict.log_lines(&replication.history, &ask, &name) {
                self.log_line(&line);
            }
            match (verdict, cursor) {
                (Verdict::Continue { .. }, Some(cursor)) => {
                    let reply = history::continue_reply(replication.history.replid, facts.psync2);
                    cx.out.push(&reply);
                    cx.client.was_continued = true;
                    cx.client.feed = Some(Feed::Stream(cursor));
                    self.stats.sync_partial_ok.fetch_add(1, Ordering::Relaxed);
                    self.become_replica(cx.client);
                    let peer = Peer::resumed(facts, &addr, now.mono);
                    let replica = Replica { peer, info: Arc::clone(&cx.client.info) };
                    replication.replicas.insert(cx.client.id(), replica);
                    replication.no_replicas_since = None;
                    drop(replication);
                    self.update_good_replicas_at(now);
                    return Ok(());
                }
                _ if !ask.wants_full() => {
                    self.stats.sync_partial_err.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        self.stats.sync_full.fetch_add(1, Ordering::Relaxed);
        if !self.stream.is_active() {
            // What was written before belongs to no history that anybody could know.
            let new = self.random_replid();
            replication.history.renew(new);
            self.stream.activate(self.stream.end());
            self.log_line(&history::backlog_created_line(&replication.history));
        }
        self.become_replica(cx.client);
        cx.client.feed = Some(Feed::Waiting(None));
        let peer = Peer::waiting(facts.clone(), &addr, ask.is_none(), now.mono);
        let replica = Replica { peer, info: Arc::clone(&cx.client.info) };
        replication.replicas.insert(cx.client.id(), replica);
        replication.no_replicas_since = None;
        drop(replication);
        let policy = self.sync_policy();
        // A snapshot that is running here has not ended before its new replica is in its list.
        let state = self.persistence.state();
        let busy = state.running.map_or(Busy::No, |save| Busy::Saving(save.running));
        let arrival = syncplan::on_arrival(&facts, busy, self.stream.window(), policy);
        self.log_line(&arrival.log_line());
        if let Arrival::Join { base } = arrival {
            self.attach(&[cx.client.id()], base, Target::Disk);
        }
        drop(state);
        if let Arrival::Start(start) = arrival {
            self.start_sync(start, now);
        }
        Ok(())
    }

    /// From now on the connection carries the stream, and nothing that is told unasked.
    fn become_replica(&self, client: &mut Client) {
        self.stop_listening(client);
        self.drop_waiting(client);
        client.kind = Kind::Replica;
        client.update_listens();
        client.info.set_flag(ClientFlags::REPLICA, true);
    }

    /// Cuts a snapshot for the replicas that wait; the keyspace is held alone.
    fn start_sync(&self, start: Start, now: Now) {
        let replication = self.replication.inner();
        let served = replication
            .replicas
            .iter()
            .filter(|(_, replica)| start.serves(&replica.peer) && !replica.is_cut_off());
        let ids: Vec<ClientId> = served.map(|(id, _)| *id).collect();
        drop(replication);
        let mut order = self.cut_snapshot(Asked::ForReplicas, start.target, start.filter, now);
        let attached = self.attach(&ids, order.base, start.target);
        if start.target == Target::Sockets {
            order.replicas = attached;
            self.log(
                Level::Notice,
                &format!("Background RDB transfer started by pid {}", self.identity.pid),
            );
        } else {
            self.log(
                Level::Notice,
                &format!("Background saving started by pid {}", self.identity.pid),
            );
        }
        self.host.start_snapshot(order);
    }

    /// Tells waiting replicas that their snapshot has been cut, and keeps their place. Returns
    /// those that are still there: a connection may end at any moment, even while its worker is
    /// outside the gate. Where the window no longer covers the cut they wait for another one.
    pub(super) fn attach(
        &self,
        ids: &[ClientId],
        base: ReplOffset,
        target: Target,
    ) -> Vec<ClientId> {
        let mut replication = self.replication.inner();
        let replid = replication.history.replid;
        let mut attached = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(replica) = replication.replicas.get_mut(id) else { continue };
            let Some(cursor) = self.stream.cursor_at(base.next_byte()) else { continue };
            let preamble = replica.peer.attach(replid, base, target).unwrap_or_default();
            let worker = replica.info.worker;
            self.mail(worker, Mail::ToClient(*id, ToClient::FullResync { preamble, cursor }));
            attached.push(*id);
        }
        attached
    }

    /// A snapshot has ended: whom to send its file of `length` bytes, each with what comes
    /// before it. Without a length it failed, and who waited for it is cut off.
    pub(crate) fn replicas_after_snapshot(
        &self,
        running: Running,
        length: Option<u64>,
    ) -> Vec<(ClientId, Vec<u8>)> {
        let mut replication = self.replication.inner();
        let mut sends = Vec::new();
        for (id, replica) in &mut replication.replicas {
            let PeerState::WaitRdb { target, .. } = replica.peer.state() else { continue };
            match (target, length) {
                (Target::Disk, Some(length)) => {
                    sends.push((*id, replica.peer.begin_to_send(length)));
                }
                (target, None) if target == running.target => {
                    self.log_line(&syncplan::snapshot_failed_line());
                    self.kill(&replica.info);
                }
                _ => {}
            }
        }
        sends
    }

    /// Whether a replica takes the file of the snapshot that is being made.
    pub(crate) fn replica_waits_for_file(&self) -> bool {
        let waits =
            |state: PeerState| matches!(state, PeerState::WaitRdb { target: Target::Disk, .. });
        self.replication.inner().replicas.values().any(|replica| waits(replica.peer.state()))
    }

    /// Cuts a client off.
    pub fn kill(&self, info: &crate::client::ClientInfo) {
        info.killed.store(true, Ordering::Relaxed);
        self.end_wait_of_killed(info);
        self.mail(info.worker, Mail::Look(info.id));
    }

    /// The last byte of its snapshot has been written to a replica.
    pub fn snapshot_sent(&self, session: &mut Session, now: Now) {
        let mut replication = self.replication.inner();
        let Some(replica) = replication.replicas.get_mut(&session.client.id()) else { return };
        let (after, lines) = replica.peer.rdb_sent(now.mono);
        drop(replication);
        for line in lines {
            self.log_line(&line);
        }
        match after {
            AfterRdb::Stream => release_stream(&mut session.client),
            AfterRdb::HoldUntilAck => {}
            AfterRdb::Disconnect => session.client.closing = true,
        }
        self.update_good_replicas_at(now);
    }

    /// `sent_bytes` were written to a replica that is sent a snapshot; its socket is `full` now,
    /// or is not. To be called each time that it was to be written to.
    pub fn snapshot_progress(&self, session: &Session, sent_bytes: u64, full: bool, now: Now) {
        if let Some(replica) = self.replication.inner().replicas.get_mut(&session.client.id()) {
            replica.peer.rdb_written(sent_bytes, full, now.mono);
        }
    }

    /// A replica that loads what it was sent has nothing to acknowledge, and sends bare newlines.
    pub(crate) fn replica_lives(&self, client: &Client, now: Now) {
        if let Some(replica) = self.replication.inner().replicas.get_mut(&client.id()) {
            replica.peer.sign_of_life(now.mono);
        }
        self.update_good_replicas_at(now);
    }

    /// REPLCONF. Options that are acknowledgements are not answered.
    pub fn replconf(&self, cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
        let now = cx.now();
        let options: Vec<&[u8]> = args.from(1).collect();
        match cx.client.replica_facts.replconf(&options) {
            Effect::Noted => cx.out.ok(),
            Effect::Error(text) => return Err(ErrorReply::owned(text)),
            Effect::GetAck | Effect::Nothing => {}
            Effect::Ack(offset) => self.acknowledged(cx.client, offset, now),
        }
        Ok(())
    }

    fn acknowledged(&self, client: &mut Client, offset: ReplOffset, now: Now) {
        let mut replication = self.replication.inner();
        let Some(replica) = replication.replicas.get_mut(&client.id()) else { return };
        let released = replica.peer.ack(offset, now.mono);
        drop(replication);
        if released {
            release_stream(client);
        }
        self.update_good_replicas_at(now);
        self.serve_acked();
    }

    /// How many replicas have acknowledged all there is, and how many there are.
    pub(crate) fn replicas_in_sync(&self) -> (usize, usize) {
        let end = self.stream.end();
        let replication = self.replication.inner();
        let synced = replication.replicas.values().filter(|r| r.peer.ack_offset() >= end).count();
        (synced, replication.replicas.len())
    }

    /// Says which replicas will miss something when the server ends, and how many will not.
    pub(crate) fn tell_replicas_at_the_end(&self, now: Now) {
        let end = self.stream.end();
        for replica in self.replication.inner().replicas.values() {
            let peer = &replica.peer;
            if let Some(behind @ 1..) = peer.ack_offset().lag_behind(end) {
                let line = format!(
                    "Lagging replica {} reported offset {behind} behind master, lag={}, state={}.",
                    peer.name(),
                    peer.lag_s(now.mono),
                    peer.info_state()
                );
                self.log(Level::Warning, &line);
            }
        }
        let (synced, all) = self.replicas_in_sync();
        if all > 0 {
            let line = format!("{synced} of {all} replicas are in sync when shutting down.");
            self.log(Level::Notice, &line);
        }
    }

    /// Replicas that have acknowledged `offset`.
    pub fn acked_count(&self, offset: ReplOffset) -> usize {
        let replication = self.replication.inner();
        peer::count_acked(replication.replicas.values().map(|replica| &replica.peer), offset)
    }

    /// The last replies of a connection that is no replica are about to be written: who has read
    /// them is to find it gone, whomever it asks. Returns whether somebody has killed it.
    pub fn client_leaves(&self, session: &mut Session) -> bool {
        let was_killed = session.client.info.killed.swap(true, Ordering::SeqCst);
        self.client_gone(session);
        was_killed
    }

    /// They could not be written at once: the connection is seen until they are, or until it goes
    /// because it was killed.
    pub fn client_lingers(&self, session: &Session, was_killed: bool) {
        let info = &session.client.info;
        info.killed.store(was_killed, Ordering::SeqCst);
        self.clients.add(std::sync::Arc::clone(info));
    }

    /// A connection is gone, or as good as gone.
    pub fn client_gone(&self, session: &mut Session) {
        let client = &mut session.client;
        crate::commands::transactions::unwatch(self, client);
        self.stop_listening(client);
        self.waiter_gone(client);
        client.feed = None;
        self.clients.remove(client.id());
        let mut replication = self.replication.inner();
        if let Some(replica) = replication.replicas.remove(&client.id()) {
            self.log_line(&replica.peer.lost_line());
            if replication.replicas.is_empty() {
                replication.no_replicas_since =
                    Some(tandem_base::Mono(self.recent_mono.load(Ordering::Relaxed)));
            }
            drop(replication);
            self.trim_stream(usize::MAX);
            self.update_good_replicas();
        }
    }

    /// Cuts off all replicas: they will come back and hear what has changed. Nothing that is
    /// appended from now on reaches them, though their workers learn of it later.
    pub fn disconnect_replicas(&self) {
        self.stream.cut_readers_off();
        for replica in self.replication.inner().replicas.values() {
            self.kill(&replica.info);
        }
    }

    /// Whether a client has let too much output pile up; says so in the log.
    pub fn over_output_limit(&self, session: &mut Session, now: Now) -> bool {
        let Session { client, out, .. } = session;
        let (class, pending) = match &client.feed {
            Some(Feed::Stream(cursor) | Feed::Waiting(Some(cursor))) => {
                (ClientClass::Replica, cursor.pending(self.stream.end()) + out.len() as u64)
            }
            Some(Feed::Waiting(None)) => (ClientClass::Replica, out.len() as u64),
            None if client.subscriptions.is_some() => (ClientClass::PubSub, out.len() as u64),
            None => (ClientClass::Normal, out.len() as u64),
        };
        let let_in = client.authenticated || !self.acl.password_needed();
        if !let_in && pending > UNAUTHENTICATED_BYTES_MAX {
            // Who has not said who he is must not make us keep replies that he does not read.
            return self.closes_for_output(client);
        }
        if pending <= MOST_HARMLESS_BYTES {
            client.over_soft_limit_since = None;
            return false;
        }
        let config = self.config();
        let limit = config.client_output_buffer_limit(class);
        let backlog = config.repl_backlog_size();
        drop(config);
        // A partial resync may have to send as much as the backlog holds.
        let at_least = |bytes: u64| {
            if class == ClientClass::Replica && bytes > 0 { bytes.max(backlog) } else { bytes }
        };
        let (hard, soft) = (at_least(limit.hard_bytes), at_least(limit.soft_bytes));
        let over_soft = soft > 0 && pending >= soft;
        if !over_soft {
            client.over_soft_limit_since = None;
        } else if client.over_soft_limit_since.is_none() {
            client.over_soft_limit_since = Some(now.mono);
        }
        let too_long = client
            .over_soft_limit_since
            .is_some_and(|since| now.mono.0 / 1_000_000 - since.0 / 1_000_000 > limit.soft_seconds);
        let over = (hard > 0 && pending >= hard) || too_long;
        over && self.closes_for_output(client)
    }

    /// Says that a client is closed because of what it does not read.
    #[cold]
    fn closes_for_output(&self, client: &Client) -> bool {
        self.log(
            Level::Warning,
            &format!(
                "Client id={} addr={} scheduled to be closed ASAP for overcoming of output \
                 buffer limits.",
                client.info.id, client.info.addr
            ),
        );
        self.stats.output_buffer_limit_disconnections.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// What time brings to a master: snapshots that are due, PING, newlines, timeouts, the end
    /// of the backlog. Called every second, outside the gate.
    pub(crate) fn master_cron(&self, worker: &mut Worker) {
        let now = worker.now;
        let config = self.config();
        let ping_ms = u64::from(config.repl_ping_replica_period()) * 1000;
        let timeout_ms = u64::from(config.repl_timeout()) * 1000;
        let ttl_s = config.repl_backlog_ttl();
        drop(config);
        // The stream grows only inside the gate: who is alone, to save, finds it as it was.
        let inside = self.gate.enter(worker.index);
        let mut replication = self.replication.inner();
        let ping = !replication.replicas.is_empty()
            && replication.master.is_none()
            && now.mono.ms_since(replication.last_ping) >= ping_ms;
        if ping && !self.is_paused_for_writes(now) {
            replication.last_ping = now.mono;
            self.stream.append_with(|writer| writer.push(wire::PING));
        }
        drop(inside);
        for (id, replica) in &mut replication.replicas {
            if replica.peer.wants_newline() {
                let bytes = peer::KEEP_WAITING.to_vec();
                self.mail(replica.info.worker, Mail::ToClient(*id, ToClient::Bytes(bytes)));
            }
            if let Some(line) = replica.peer.timed_out(now.mono, timeout_ms) {
                self.log_line(&line);
                self.kill(&replica.info);
            }
        }
        let expired = replication.master.is_none()
            && replication.replicas.is_empty()
            && ttl_s > 0
            && self.stream.is_active()
            && replication
                .no_replicas_since
                .is_some_and(|since| now.mono.ms_since(since) > ttl_s * 1000);
        drop(replication);
        if ping {
            self.mail_all(|| Mail::StreamGrew);
        }
        if expired {
            let _alone = self.gate.alone();
            let mut replication = self.replication.inner();
            if replication.replicas.is_empty() && replication.master.is_none() {
                // Writes from here on are in nobody's stream: a new history begins.
                let new = self.random_replid();
                replication.history.renew(new);
                replication.no_replicas_since = None;
                self.stream.release();
                self.log_line(&history::backlog_freed_line(ttl_s));
            }
        }
        self.update_good_replicas_at(now);
    }

    /// Whether a replica waits for a snapshot that has not begun.
    pub(crate) fn replica_waits_for_start(&self) -> bool {
        let replication = self.replication.inner();
        let waits = |replica: &Replica| matches!(replica.peer.state(), PeerState::WaitStart { .. });
        replication.replicas.values().any(waits)
    }

    /// Begins the snapshot that waiting replicas are due. Called outside the gate.
    pub fn start_due_sync(&self, now: Now) {
        let due = || {
            let busy = self.busy();
            let replication = self.replication.inner();
            let here = replication.replicas.values().filter(|replica| !replica.is_cut_off());
            let peers = here.map(|replica| &replica.peer);
            syncplan::due(peers, busy, self.sync_policy(), now.mono)
        };
        if due().is_none() {
            return;
        }
        let _alone = self.gate.alone();
        // What is being loaded is no dataset yet.
        let loading = self.refusals().contains(Refusals::LOADING);
        if let Some(start) = due().filter(|_| !loading) {
            self.log_line(&start.log_line());
            self.start_sync(start, now);
        }
    }
}

/// Replies that may wait for a client that has not authenticated.
const UNAUTHENTICATED_BYTES_MAX: u64 = 1024;
/// Output below this is never too much.
const MOST_HARMLESS_BYTES: u64 = 16 << 10;

/// A replica's snapshot is behind it: the stream follows.
fn release_stream(client: &mut Client) {
    client.feed = match client.feed.take() {
        Some(Feed::Waiting(Some(cursor)) | Feed::Stream(cursor)) => Some(Feed::Stream(cursor)),
        other => other,
    };
}
