//! One worker thread: its connections, run to completion.
//!
//! ```text
//! wait ─► read each ready socket ─► parse, run, append replies ─► one write a connection ─► wait
//!   ▲                                                                                      │
//!   └── mail from other workers, timeouts of blocked clients, the link to our master ◄─────┘
//! ```
//! Worker 0 also accepts, hands new connections out evenly, and owns the link to the master.

mod deaf;
mod farewell;
mod idle;

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use socket2::Socket;
use tandem_base::Mono;
use tandem_engine::client::{ClientFlags, ClientInfo, Feed, Kind};
use tandem_engine::intake::Worker as EngineWorker;
use tandem_engine::node::{Level, Mail, Node, ToClient, lock};

use crate::conn::{BYTES_A_TURN, Conn, Flushed, ReadEnd};
use crate::link::LinkDriver;
use crate::listen::Incoming;
use crate::memory;
use crate::poll::{Poll, Ready};
use crate::shared::Shared;
use deaf::Deafness;

/// Output from which on limits are looked at before it is sent.
const LARGE_OUTPUT_BYTES: usize = 16 << 10;
/// A reply buffer larger than that is given back as soon as it is empty; others when their
/// connection has been idle.
const BUFFER_BYTES_KEPT: usize = 256 << 10;
/// The same while memory is limited: what is kept there costs keys.
const BUFFER_BYTES_KEPT_LIMITED: usize = 16 << 10;
/// How often the limits of those who have been over one for some time are looked at.
const PILING_UP_MS: u64 = 100;
/// How long a worker waits where nothing is due.
const IDLE_MS: u64 = 1000;
/// Bytes read from one socket at a time.
const READ_BYTES: usize = 64 << 10;
const TOKEN_WAKE: u64 = u64::MAX;
const TOKEN_LINK: u64 = u64::MAX - 1;
/// Listeners' tokens begin here; clients' numbers never come so far.
const TOKEN_LISTEN: u64 = 1 << 63;

/// A worker's state.
pub(crate) struct WorkerLoop {
    node: Arc<Node>,
    shared: Arc<Shared>,
    index: usize,
    engine: EngineWorker,
    poll: Poll,
    conns: HashMap<u64, Conn, foldhash::fast::FixedState>,
    read_buf: Vec<u8>,
    /// Connections with replies of this turn.
    to_flush: Vec<u64>,
    /// Connections with nothing but pushes of this turn.
    to_push: Vec<u64>,
    /// Blocked connections that are to be looked at when their time comes.
    deadlines: BTreeSet<(Mono, u64)>,
    /// All blocked connections are to be looked at.
    look_at_all: bool,
    /// Connections over the soft limit of their output.
    piling_up: Vec<u64>,
    /// Replicas among our connections.
    replicas: Vec<u64>,
    /// Connections whose transport holds bytes that the poll does not know of.
    unread: Vec<u64>,
    link: Option<LinkDriver>,
    next_scan: Mono,
    deaf: Deafness,
}

impl WorkerLoop {
    /// Worker `index`, with a poll of its own; the first one accepts, and has the link.
    pub(crate) fn new(
        node: Arc<Node>,
        shared: Arc<Shared>,
        index: usize,
        poll: Poll,
    ) -> io::Result<WorkerLoop> {
        poll.add(&shared.wakers[index], TOKEN_WAKE)?;
        let mut seed = [0; 8];
        node.host.random(&mut seed);
        let link = (index == 0).then(LinkDriver::default);
        Ok(WorkerLoop {
            engine: EngineWorker::new(index, u64::from_le_bytes(seed)),
            node,
            shared,
            index,
            poll,
            conns: HashMap::default(),
            read_buf: vec![0; READ_BYTES],
            to_flush: Vec::new(),
            to_push: Vec::new(),
            deadlines: BTreeSet::new(),
            look_at_all: false,
            piling_up: Vec::new(),
            replicas: Vec::new(),
            unread: Vec::new(),
            link,
            next_scan: Mono(0),
            deaf: Deafness::default(),
        })
    }

    /// Runs until the process ends.
    pub(crate) fn run(mut self) -> io::Result<Infallible> {
        let mut ready = Vec::new();
        let mut stirs = true;
        loop {
            self.shared.asleep[self.index].store(true, Ordering::SeqCst);
            if stirs {
                self.shared.stir();
            }
            // Mail left before this line finds us awake; mail left after it wakes us.
            let link_holds = self.link.as_ref().is_some_and(|link| link.holds_input(&self.node));
            let hurry = self.node.has_mail(self.index)
                || !self.unread.is_empty()
                || link_holds
                || self.owes_replicas();
            let (timeout, is_due) = if hurry { (0, true) } else { self.timeout() };
            ready.clear();
            self.poll.wait(Some(timeout), &mut ready)?;
            // A turn that only looks after idle connections has no consequences.
            stirs = is_due || !ready.is_empty();
            self.shared.asleep[self.index].store(false, Ordering::SeqCst);
            self.turn(&ready);
        }
    }

    /// Whether the stream has grown since our replicas were last served. Whoever lets it grow
    /// from now on finds us asleep.
    fn owes_replicas(&self) -> bool {
        if self.replicas.is_empty() {
            return false;
        }
        fence(Ordering::SeqCst);
        self.engine.is_behind_stream(&self.node)
    }

    fn turn(&mut self, ready: &[Ready]) {
        self.engine.now = self.shared.clock.now();
        if self.index == 0 && self.shared.listeners_changed.swap(false, Ordering::SeqCst) {
            self.watch_listeners();
        }
        if self.deaf.until().is_some() {
            self.listen_again_if_due();
        }
        for event in ready {
            match event.token {
                TOKEN_WAKE => self.shared.wakers[self.index].drain(),
                TOKEN_LINK => self.link_event(*event),
                token if token >= TOKEN_LISTEN => self.accept(token - TOKEN_LISTEN),
                id => self.conn_event(id, *event),
            }
        }
        for id in std::mem::take(&mut self.unread) {
            // One that is paused comes back here when it goes on.
            if self.conns.get(&id).is_some_and(|conn| !conn.reading_paused) {
                self.read(id);
            }
        }
        self.take_incoming();
        self.take_mail();
        self.look_at_blocked();
        self.drive_link();
        self.take_pushes();
        self.flush_all();
        self.look_at_piles();
        self.engine.end_turn(&self.node);
        // What others see of our memory is out of date by no more than a turn.
        memory::used();
        self.scan_if_due();
    }

    /// How long the wait may take, in milliseconds, and whether something is due at its end.
    fn timeout(&self) -> (u64, bool) {
        let now = self.engine.now;
        let idle = now.mono.plus_ms(IDLE_MS);
        let mut next = idle;
        if !self.piling_up.is_empty() {
            next = now.mono.plus_ms(PILING_UP_MS);
        }
        if let Some((deadline, _)) = self.deadlines.first() {
            next = next.min(*deadline);
        }
        if let Some(until) = self.deaf.until() {
            next = next.min(until);
        }
        if let Some(link) = &self.link {
            next = next.min(link.next_timeout(&self.node, now));
        }
        let us = next.0.saturating_sub(self.shared.clock.now().mono.0);
        (us.div_ceil(1000), next < idle)
    }

    // ---- connections ----

    fn watch_listeners(&mut self) {
        let watched = lock(&self.shared.listeners).watch(&self.poll, TOKEN_LISTEN);
        if let Err(error) = watched {
            self.node.log(Level::Warning, &format!("Error registering fd event: {error}"));
        }
    }

    fn accept(&mut self, token: u64) {
        let arrived = {
            let listeners = lock(&self.shared.listeners);
            let arrived = listeners.accept(token, &self.node, &self.shared);
            if arrived.stuck.is_some() {
                listeners.listen(false, &self.poll, TOKEN_LISTEN);
            }
            arrived
        };
        self.hear(arrived.stuck.as_deref());
        if !arrived.tls.is_empty() {
            match self.shared.handshakes.start(&self.node, &self.shared) {
                Ok(()) => self.shared.handshakes.take(arrived.tls),
                Err(error) => {
                    self.node.log(Level::Warning, &format!("Accepting client connection: {error}"));
                }
            }
        }
        for incoming in arrived.plain {
            let worker = self.shared.least_loaded();
            if worker == self.index {
                self.shared.loads[worker].fetch_add(1, Ordering::Relaxed);
                self.adopt(incoming);
            } else {
                self.shared.hand_out(incoming);
            }
        }
    }

    fn take_incoming(&mut self) {
        let incoming = std::mem::take(&mut *lock(&self.shared.incoming[self.index]));
        for one in incoming {
            self.adopt(one);
        }
    }

    fn adopt(&mut self, incoming: Incoming) {
        self.engine.counters.connections_received += 1;
        let Incoming { transport, addr, laddr, fd, unix } = incoming;
        let id = self.node.clients.next_id();
        if let Err(error) = self.poll.add(&transport, id) {
            self.node.log(Level::Warning, &format!("Error registering fd event: {error}"));
            self.shared.loads[self.index].fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let info = Arc::new(ClientInfo::new(id, self.index, fd, addr, laddr, self.engine.now));
        info.set_flag(ClientFlags::UNIX_SOCKET, unix);
        self.node.clients.add(Arc::clone(&info));
        let session = self.node.new_session(info);
        if transport.holds_input() {
            self.unread.push(id);
        }
        self.conns.insert(id, Conn::new(transport, session));
    }

    fn conn_event(&mut self, id: u64, event: Ready) {
        if event.readable {
            self.read(id);
        }
        if event.writable {
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.has_room = true;
            }
            self.queue_flush(id);
        }
    }

    fn read(&mut self, id: u64) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        self.engine.counters.reads_processed += 1;
        let mut taken = 0;
        loop {
            let (end, more) = conn.read_and_run(&self.node, &mut self.engine, &mut self.read_buf);
            match end {
                ReadEnd::Some(count) => taken += count,
                ReadEnd::WouldBlock => {}
                ReadEnd::Gone => return self.close(id),
            }
            // A large argument is taken as far as it has come: nobody is to see half of it, and
            // judge the client by that, when it has been sent whole.
            if !more || taken >= BYTES_A_TURN {
                break;
            }
        }
        if taken > 0 {
            self.engine.counters.net_input_bytes += taken as u64;
            self.after_run(id);
        }
    }

    /// Something ran for this connection: look at what it has become.
    fn after_run(&mut self, id: u64) {
        if self.closed_for_output(id) {
            return;
        }
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let counters = &mut self.engine.counters;
        self.node.count_client_memory(&conn.session, counters, self.engine.now);
        let client = &mut conn.session.client;
        let deadline = self.node.look_again_at(client);
        if deadline != conn.deadline {
            move_deadline(&mut self.deadlines, id, &mut conn.deadline, deadline);
        }
        if client.kind == Kind::Replica && !self.replicas.contains(&id) {
            self.replicas.push(id);
            if self.node.config().repl_disable_tcp_nodelay() {
                // It costs bandwidth if the kernel says no, nothing else.
                let _ = conn.transport.socket().set_tcp_nodelay(false);
            }
            self.shared.replicas[self.index].store(true, Ordering::SeqCst);
        }
        let pause = conn.pauses_reading();
        if pause != conn.reading_paused {
            conn.reading_paused = pause;
            let _ = self.poll.watch_for(&conn.transport, id, conn.interest());
        }
        if !pause && conn.transport.holds_input() && !self.unread.contains(&id) {
            self.unread.push(id);
        }
        if !conn.queued && (conn.has_output() || conn.session.client.closing) {
            conn.queued = true;
            self.to_flush.push(id);
        }
    }

    fn queue_flush(&mut self, id: u64) {
        if let Some(conn) = self.conns.get_mut(&id)
            && !conn.queued
        {
            conn.queued = true;
            self.to_flush.push(id);
        }
    }

    fn close(&mut self, id: u64) {
        // Its socket is watched no more once it is closed, which happens at the end of this.
        let Some(mut conn) = self.conns.remove(&id) else { return };
        self.node.client_gone(&mut conn.session);
        // A snapshot that nobody picks up would wait for its reader for ever.
        drop(self.shared.take_attachment(id));
        if !conn.left {
            self.shared.loads[self.index].fetch_sub(1, Ordering::Relaxed);
        }
        move_deadline(&mut self.deadlines, id, &mut conn.deadline, None);
        self.replicas.retain(|other| *other != id);
        self.shared.replicas[self.index].store(!self.replicas.is_empty(), Ordering::SeqCst);
        drop(conn);
        self.shared.descriptor_is_free();
    }

    // ---- mail ----

    fn take_mail(&mut self) {
        for mail in self.node.take_mail(self.index) {
            match mail {
                Mail::Look(id) => self.look_at(id),
                Mail::LookAtBlocked => self.look_at_all = true,
                // They have woken us; `flush_all` and `drive_link` look for themselves.
                Mail::StreamGrew | Mail::Link => {}
                Mail::ToClient(id, message) => self.deliver(id, message),
            }
        }
    }

    /// Hands out what came for our clients without their asking.
    fn take_pushes(&mut self) {
        for run in self.node.take_pushes(self.index).runs() {
            for id in run.to() {
                let Some(conn) = self.conns.get_mut(id) else { continue };
                // It may have been killed because it may not hear this any more.
                if conn.session.client.info.killed.load(Ordering::Relaxed) {
                    continue;
                }
                run.write(&self.node, &mut conn.session);
                if !conn.queued {
                    conn.queued = true;
                    self.to_push.push(*id);
                }
            }
        }
    }

    fn look_at(&mut self, id: u64) {
        let Some(conn) = self.conns.get_mut(&id) else {
            // The master is a client too, but has no connection here.
            drop(self.shared.take_attachment(id));
            if self.link.is_some() {
                self.node.link_killed(id, self.engine.now);
            }
            return;
        };
        if conn.session.client.info.killed.load(Ordering::Relaxed) {
            self.close(id);
            return;
        }
        if let Some(feed) = self.shared.take_attachment(id) {
            conn.session.out.push(&feed.preamble);
            conn.snapshot = Some(feed.source);
        }
        if conn.session.client.blocked.is_some() {
            self.try_to_go_on(id);
        }
        self.queue_flush(id);
    }

    fn deliver(&mut self, id: u64, message: ToClient) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        match message {
            ToClient::FullResync { preamble, cursor } => {
                conn.session.out.push(&preamble);
                conn.session.client.feed = Some(Feed::Waiting(Some(cursor)));
            }
            ToClient::Bytes(bytes) => conn.session.out.push(&bytes),
            ToClient::Answer(answer) => {
                self.node.deliver_answer(&mut conn.session, *answer);
                self.go_on(id);
            }
        }
        self.queue_flush(id);
    }

    fn look_at_blocked(&mut self) {
        let now = self.engine.now.mono;
        let mut due: Vec<u64> = Vec::new();
        if std::mem::take(&mut self.look_at_all) {
            let blocked = self.conns.iter().filter(|(_, c)| c.session.client.blocked.is_some());
            due.extend(blocked.map(|(id, _)| *id));
            // The oldest first, which is nearly the order in which they came to wait.
            due.sort_unstable();
        } else {
            let late = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now);
            due.extend(late.map(|(_, id)| *id));
        }
        for id in due {
            self.try_to_go_on(id);
        }
    }

    /// Looks whether a blocked client may go on.
    fn try_to_go_on(&mut self, id: u64) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if self.node.try_unblock(self.engine.now, &mut conn.session) {
            self.go_on(id);
        } else {
            self.after_run(id);
        }
    }

    /// A client that was blocked is free again.
    fn go_on(&mut self, id: u64) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        self.node.resume(&mut self.engine, &mut conn.session);
        self.after_run(id);
    }

    // ---- writing ----

    fn flush_all(&mut self) {
        if self.engine.stream_moved(&self.node) {
            for at in 0..self.replicas.len() {
                self.queue_flush(self.replicas[at]);
            }
            self.shared.wake_replica_workers(self.index);
        }
        while let Some(id) = self.to_flush.pop() {
            self.flush(id, false);
        }
        // Replies first: who publishes to many is already at its next request while we write.
        while let Some(id) = self.to_push.pop() {
            self.flush(id, true);
        }
        self.node.pushes.offered(self.index);
    }

    /// Ends a connection that has asked for more than it may get; it is sent nothing of it.
    fn closed_for_output(&mut self, id: u64) -> bool {
        let Some(conn) = self.conns.get_mut(&id) else { return false };
        let over = conn.session.out.len() > LARGE_OUTPUT_BYTES
            && self.node.over_output_limit(&mut conn.session, self.engine.now);
        if over {
            self.close(id);
        }
        over
    }

    /// Writes what there is for a connection. Where only pushes have come no buffer is kept while
    /// memory is limited: evictions push to many, and would be the cause of further evictions.
    fn flush(&mut self, id: u64, pushed: bool) {
        if self.closed_for_output(id) {
            return;
        }
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.queued = false;
        let mut sent = 0;
        let load = &self.shared.loads[self.index];
        let mut end = farewell::flush(conn, &self.node, load, &mut sent);
        if conn.snapshot.is_some() {
            let full = end == Flushed::Blocked;
            self.node.snapshot_progress(&conn.session, sent, full, self.engine.now);
        }
        while end == Flushed::SnapshotSent {
            self.node.snapshot_sent(&mut conn.session, self.engine.now);
            end = conn.flush(&mut sent);
        }
        if sent > 0 {
            self.engine.counters.writes_processed += 1;
            if conn.session.client.kind == Kind::Replica {
                self.engine.counters.net_repl_output_bytes += sent;
            } else {
                self.engine.counters.net_output_bytes += sent;
            }
        }
        let kept = match (self.node.memory_is_limited(), pushed) {
            (true, true) => 0,
            (true, false) => BUFFER_BYTES_KEPT_LIMITED,
            (false, _) => BUFFER_BYTES_KEPT,
        };
        if conn.session.out.buffer_bytes() > kept {
            conn.session.out.shrink();
        }
        let over = self.node.over_output_limit(&mut conn.session, self.engine.now);
        if conn.session.client.over_soft_limit_since.is_some() && !self.piling_up.contains(&id) {
            self.piling_up.push(id);
        }
        let counters = &mut self.engine.counters;
        self.node.count_client_memory(&conn.session, counters, self.engine.now);
        if end == Flushed::Gone || over || (conn.session.client.closing && end == Flushed::All) {
            self.close(id);
            return;
        }
        let wants_write = end == Flushed::Blocked;
        if wants_write != conn.wants_write {
            conn.wants_write = wants_write;
            let _ = self.poll.watch_for(&conn.transport, id, conn.interest());
        }
    }

    /// Ends connections that have been over the soft limit of their output for too long, whether
    /// or not anything happens on them.
    fn look_at_piles(&mut self) {
        if self.piling_up.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.piling_up) {
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            if self.node.over_output_limit(&mut conn.session, self.engine.now) {
                self.close(id);
            } else if conn.session.client.over_soft_limit_since.is_some() {
                self.piling_up.push(id);
            }
        }
    }

    // ---- the link to our master ----

    fn link_event(&mut self, event: Ready) {
        let link = self.link.as_mut().expect("only worker 0 has the link");
        link.ready(&self.node, &mut self.engine, &self.shared, &self.poll, event);
    }

    fn drive_link(&mut self) {
        if let Some(link) = &mut self.link {
            link.drive(&self.node, &mut self.engine, &self.poll, TOKEN_LINK);
        }
    }
}

/// Notes when a connection is to be looked at again.
fn move_deadline(
    deadlines: &mut BTreeSet<(Mono, u64)>,
    id: u64,
    place: &mut Option<Mono>,
    new: Option<Mono>,
) {
    if let Some(old) = std::mem::replace(place, new) {
        deadlines.remove(&(old, id));
    }
    deadlines.extend(new.map(|new| (new, id)));
}

/// A socket as a number to show.
pub(crate) fn fd_number(socket: &Socket) -> i32 {
    use std::os::fd::AsRawFd;
    socket.as_raw_fd()
}
