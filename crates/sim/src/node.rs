//! One simulated node: the real engine, and around it what the server does with sockets,
//! threads and files, on virtual ones.
//!
//! ```text
//! wires ─► sessions ─► engine ─► sessions ─► wires        one turn of one worker, as in the
//! wire of the link ◄─► engine                             server's loop and in its order
//! ```

mod house;
mod link;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use tandem_base::{Now, ReplId};
use tandem_engine::client::Feed as EngineFeed;
use tandem_engine::client::{Blocked, ClientId, ClientInfo, Kind, Session};
use tandem_engine::config::Config;
use tandem_engine::cron::Cron;
use tandem_engine::intake::Worker;
use tandem_engine::loading::Load;
use tandem_engine::node::{Identity, Mail, Node, NodeOptions, ToClient, lock};

use crate::around::Around;
use crate::checks::Seen;
use crate::clock::{self, Micros};
use crate::feed::{Feed, Job, Next};
use crate::host::{Disk, SimHost};
use crate::intruder::{self, Intruder};
use crate::net::{Read, WireId};
use crate::plant;

/// Few keys need few stripes.
const STRIPES_LOG2: u32 = 3;
/// Ports count from here.
pub const FIRST_PORT: u16 = 7000;

/// What makes a node.
pub struct Birth<'a> {
    /// Its number.
    pub name: usize,
    /// Its configuration.
    pub config: &'a str,
    /// Its disk.
    pub disk: Arc<Mutex<Disk>>,
    /// How wrong its wall clock goes.
    pub skew_ms: i64,
    /// Workers.
    pub workers: usize,
    /// Seed of its own randomness.
    pub seed: u64,
}

/// A connection that a node serves.
pub struct Conn {
    /// The engine's half.
    pub session: Session,
    /// Its worker.
    pub worker: usize,
    /// The wire to a replica; none for a client, which is never far away.
    pub wire: Option<WireId>,
    snapshot: Option<Feed>,
}

#[derive(Default)]
struct LinkEnd {
    wire: Option<WireId>,
    connected: bool,
    out: Vec<u8>,
}

/// One run of one node, from its start to its end.
pub struct SimNode {
    /// Its number.
    pub name: usize,
    /// The engine.
    pub node: Arc<Node>,
    /// The engine's world.
    pub host: Arc<SimHost>,
    /// Connections by their number.
    pub conns: BTreeMap<ClientId, Conn>,
    /// Its clients.
    pub clients: Vec<ClientId>,
    workers: Vec<Worker>,
    house: Worker,
    cron: Cron,
    next_cron: Micros,
    skew_ms: i64,
    link: LinkEnd,
    attachments: BTreeMap<ClientId, (Vec<u8>, Feed)>,
    /// Turns begun.
    turns: u64,
    /// In which turn replicas have gone lately, and what they had applied: WAIT may have counted
    /// them just before, in an answer to another worker's client, who gets it in the next turn.
    gone: Vec<(u64, u64)>,
    job: Option<Job>,
    seen: Seen,
    /// Another client, who comes while somebody waits to be alone.
    pub intruder: Arc<Intruder>,
    /// It has changed the role.
    pub role_changed: bool,
}

impl SimNode {
    /// Starts a node from its disk, as the server's start does.
    pub fn start(birth: &Birth<'_>, now: Micros) -> SimNode {
        let config = Config::parse(birth.config.as_bytes()).expect("the simulator's own words");
        let master = config.replicaof().cloned();
        let reading = clock::reading(now, birth.skew_ms);
        let host = Arc::new(SimHost::new(Arc::clone(&birth.disk), birth.seed, reading));
        let identity = Identity {
            pid: 1,
            run_id: ReplId::from_random([0; 20]),
            executable: String::new(),
            config_file: String::new(),
            supervised: false,
        };
        let workers = birth.workers;
        let options =
            NodeOptions { gate_slots: workers + 2, workers, config, now: reading, identity };
        let node = Arc::new(Node::with_stripes(options, Arc::clone(&host) as _, STRIPES_LOG2));
        if let Some(rdb) = lock(host.disk()).rdb.clone() {
            let mut load = Load::at_start(reading, master.is_none());
            load.take(&node, &rdb)
                .and_then(|()| load.finish(&node))
                .expect("a disk keeps files whole");
            node.take_place(load.place(), load.take_left_out(), master.is_some());
        }
        node.persistence.nothing_changed();
        if let Some(master) = master {
            let _alone = node.gate.alone();
            node.follow(&String::from_utf8_lossy(&master.host), master.port);
        }
        // The housekeeper has the slot behind the workers', the intruder the last one.
        let intruder = Intruder::new(&node, workers + 1, birth.seed);
        SimNode {
            name: birth.name,
            node,
            host,
            conns: BTreeMap::new(),
            clients: Vec::new(),
            workers: (0..workers)
                .map(|index| Worker::new(index, birth.seed + index as u64))
                .collect(),
            house: Worker::new(workers, birth.seed),
            cron: Cron::default(),
            next_cron: now,
            skew_ms: birth.skew_ms,
            link: LinkEnd::default(),
            attachments: BTreeMap::new(),
            turns: 0,
            gone: Vec::new(),
            job: None,
            seen: Seen::default(),
            intruder,
            role_changed: false,
        }
    }

    /// The node's own clocks.
    pub fn reading(&self, now: Micros) -> Now {
        clock::reading(now, self.skew_ms)
    }

    /// The turn of everything in this node.
    pub fn turn(&mut self, around: &mut Around) {
        self.turns += 1;
        self.gone.retain(|(turn, _)| turn + 1 >= self.turns);
        let reading = self.reading(around.now);
        self.host.set_now(reading);
        // Of these steps there are fewer than of a snapshot's.
        self.host.set_disk_fails_one_in(around.weather.save_fails_one_in.div_ceil(4));
        self.house.now = reading;
        for worker in &mut self.workers {
            worker.now = reading;
        }
        for worker in 0..self.workers.len() {
            self.read_wires(worker, around);
            self.take_mail(worker, around);
            self.look_at_blocked(worker, around);
            if worker == 0 {
                self.turn_link(around);
            }
            self.flush_all(worker, around);
            self.workers[worker].end_turn(&self.node);
        }
        self.keep_house(around);
    }

    /// Lets the checks look; to be called after every call into the engine.
    fn look(&mut self, around: &mut Around) {
        let taken = self.host.take_log();
        for line in &taken.lines {
            around.trace.event(around.now, &format!("n{} log {line}", self.name));
            around.checks.read_log(self.name, line);
        }
        let done = self.intruder.take_done();
        for text in &done.events {
            around.trace.event(around.now, &format!("n{} {text}", self.name));
        }
        for (replid, end, sum) in done.past {
            around.checks.note_past(self.name, replid, end, sum);
        }
        self.role_changed |= done.role;
        if let Some(value) = done.promised
            && !intruder::is_kept(&self.node, &value)
        {
            around.checks.fail(format!(
                "node {} was promoted and answered a write that is gone since",
                self.name
            ));
        }
        let changes = self.node.persistence.changes();
        if changes > 1 << 40 {
            around.checks.fail(format!("node {} counts {changes} changes", self.name));
        }
        around.checks.look(self.name, &self.node, &mut self.seen, taken.resynced);
        if let Some(wire) = self.link.wire.and_then(|id| around.net.wires.get_mut(&id))
            && self.link.connected
            && self.node.replication.inner().link.up
        {
            wire.applied = wire.applied.max(self.node.stream.end().0);
        }
    }

    // ---- connections ----

    /// A connection comes: over a wire from a replica, or from a client.
    pub fn adopt(&mut self, wire: Option<WireId>, from: usize, around: &mut Around) -> ClientId {
        let id = self.node.clients.next_id();
        let worker = around.rng.usize(..self.workers.len());
        let addr = format!("10.0.0.{from}:{}", 40_000 + id);
        let info = ClientInfo::new(id, worker, 9, addr, String::new(), self.reading(around.now));
        let info = Arc::new(info);
        self.node.clients.add(Arc::clone(&info));
        let session = self.node.new_session(info);
        self.conns.insert(id, Conn { session, worker, wire, snapshot: None });
        if wire.is_none() {
            self.clients.push(id);
        }
        id
    }

    fn read_wires(&mut self, worker: usize, around: &mut Around) {
        let ids: Vec<ClientId> = self.conns.keys().copied().collect();
        for id in ids {
            let conn = &self.conns[&id];
            let Some(wire) = conn.wire else { continue };
            if conn.worker != worker || conn.session.is_stopped() {
                continue;
            }
            let most = around.piece();
            let wire = around.net.wires.get_mut(&wire).expect("a wire lives while an end holds it");
            match wire.up.read(around.now, most) {
                Read::Bytes(bytes) => self.receive(id, &bytes, around),
                Read::Nothing => {}
                Read::End => self.close(id, around),
            }
        }
    }

    /// Hands a connection's bytes to the engine.
    pub fn receive(&mut self, id: ClientId, bytes: &[u8], around: &mut Around) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let worker = &mut self.workers[conn.worker];
        self.node.receive(worker, &mut conn.session, bytes);
        self.check_ack(id, around);
        self.look(around);
    }

    /// An acknowledged offset is one that has been applied.
    fn check_ack(&self, id: ClientId, around: &mut Around) {
        let conn = &self.conns[&id];
        let Some(wire) = conn.wire.filter(|_| conn.session.client.kind == Kind::Replica) else {
            return;
        };
        let replication = self.node.replication.inner();
        let Some(replica) = replication.replicas.get(&id) else { return };
        let (acked, wire) = (replica.peer.ack_offset().0, &around.net.wires[&wire]);
        if acked > wire.applied {
            around.checks.fail(format!(
                "node {} acknowledged {acked} to node {} and had applied {} only",
                wire.from, self.name, wire.applied
            ));
        }
    }

    /// What a client has been answered since the last call.
    pub fn take_replies(&mut self, id: ClientId) -> Vec<u8> {
        let Some(conn) = self.conns.get_mut(&id) else { return Vec::new() };
        let bytes = conn.session.out.to_vec();
        conn.session.out.consume(bytes.len());
        bytes
    }

    /// Replicas that have truly applied `offset`, of those that are connected or were just now.
    pub fn truly_applied(&self, offset: u64, around: &Around) -> usize {
        let wires = self.conns.values().filter_map(|conn| conn.wire);
        let there = wires
            .filter(|id| around.net.wires.get(id).is_some_and(|wire| wire.applied >= offset))
            .count();
        there + self.gone.iter().filter(|(_, applied)| *applied >= offset).count()
    }

    /// Ends a connection.
    pub fn close(&mut self, id: ClientId, around: &mut Around) {
        let Some(mut conn) = self.conns.remove(&id) else { return };
        around.trace.event(around.now, &format!("n{} closes client {id}", self.name));
        self.node.client_gone(&mut conn.session);
        self.clients.retain(|other| *other != id);
        self.attachments.remove(&id);
        if let Some(wire) = conn.wire {
            let applied = around.net.wires.get(&wire).map_or(0, |wire| wire.applied);
            self.gone.push((self.turns, applied));
            let heard = around.soon();
            around.net.leave_to(wire, Some(heard));
        }
        self.look(around);
    }

    // ---- mail ----

    fn take_mail(&mut self, worker: usize, around: &mut Around) {
        for mail in self.node.take_mail(worker) {
            match mail {
                Mail::Look(id) => self.look_at(id, around),
                Mail::ToClient(id, message) => self.deliver(id, message, around),
                Mail::LookAtBlocked | Mail::StreamGrew | Mail::Link => {}
            }
        }
        for run in self.node.take_pushes(worker).runs() {
            for id in run.to() {
                if let Some(conn) = self.conns.get_mut(id) {
                    run.write(&self.node, &mut conn.session);
                }
            }
        }
        self.node.pushes.offered(worker);
    }

    fn look_at(&mut self, id: ClientId, around: &mut Around) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.session.client.info.killed.load(Ordering::Relaxed) {
            self.close(id, around);
        } else if let Some((preamble, feed)) = self.attachments.remove(&id) {
            conn.session.out.push(&preamble);
            conn.snapshot = Some(feed);
        }
    }

    fn deliver(&mut self, id: ClientId, message: ToClient, around: &mut Around) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        match message {
            ToClient::FullResync { preamble, cursor } => {
                conn.session.out.push(&preamble);
                conn.session.client.feed = Some(EngineFeed::Waiting(Some(cursor)));
            }
            ToClient::Bytes(bytes) => conn.session.out.push(&bytes),
            ToClient::Answer(answer) => {
                let waited = awaited(conn);
                self.node.deliver_answer(&mut conn.session, *answer);
                self.go_on(id, waited, around);
            }
        }
    }

    fn look_at_blocked(&mut self, worker: usize, around: &mut Around) {
        let blocked = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.worker == worker && conn.session.client.blocked.is_some());
        let ids: Vec<ClientId> = blocked.map(|(id, _)| *id).collect();
        for id in ids {
            let conn = self.conns.get_mut(&id).expect("just seen");
            let reading = self.workers[worker].now;
            let waited = awaited(conn);
            if self.node.try_unblock(reading, &mut conn.session) {
                self.go_on(id, waited, around);
            }
        }
    }

    /// A client that was blocked is free again; if by WAIT, for the offset `waited`.
    fn go_on(&mut self, id: ClientId, waited: Option<u64>, around: &mut Around) {
        if let Some(offset) = waited {
            self.check_wait(id, offset, around);
        }
        let conn = self.conns.get_mut(&id).expect("the caller has it");
        self.node.resume(&mut self.workers[conn.worker], &mut conn.session);
        self.look(around);
    }

    /// WAIT's answer, which is all that the client has not read yet, promises no more than is.
    pub fn check_wait(&mut self, id: ClientId, offset: u64, around: &mut Around) {
        let reply = self.take_replies(id);
        let text = String::from_utf8_lossy(&reply);
        let Some(count) = text.trim_end().strip_prefix(':').and_then(|n| n.parse::<usize>().ok())
        else {
            return;
        };
        let truth = self.truly_applied(offset, around);
        around
            .trace
            .event(around.now, &format!("n{} WAIT {offset}: {count} of {truth}", self.name));
        if count > truth {
            around.checks.fail(format!(
                "WAIT on node {} says that {count} replicas have {offset}, and {truth} have",
                self.name
            ));
        }
    }

    // ---- writing ----

    fn flush_all(&mut self, worker: usize, around: &mut Around) {
        let ids: Vec<ClientId> = self.conns.keys().copied().collect();
        for id in ids {
            let conn = &self.conns[&id];
            match conn.wire {
                Some(wire) if conn.worker == worker => self.flush(id, wire, around),
                _ => {}
            }
        }
    }

    fn flush(&mut self, id: ClientId, wire: WireId, around: &mut Around) {
        let reading = self.reading(around.now);
        let mut sent = self.write_replies(id, wire, around);
        loop {
            let conn = self.conns.get_mut(&id).expect("it is being flushed");
            if !conn.session.out.is_empty() {
                break;
            }
            let Some(feed) = &mut conn.snapshot else { break };
            let space = around.space_down(wire);
            match feed.next(space) {
                Next::Bytes(bytes) => {
                    feed.advance(bytes.len());
                    around.write_down(wire, &bytes);
                    sent += bytes.len();
                }
                Next::Starved => break,
                Next::Sent => {
                    conn.snapshot = None;
                    around
                        .trace
                        .event(around.now, &format!("n{} snapshot sent to {id}", self.name));
                    self.node.snapshot_sent(&mut conn.session, reading);
                }
            }
        }
        let conn = self.conns.get_mut(&id).expect("it is being flushed");
        if conn.snapshot.is_some() {
            let full = around.space_down(wire) == 0;
            // As a server: a full socket is not tried again, nor spoken of.
            if sent > 0 || !full {
                self.node.snapshot_progress(&conn.session, sent as u64, full, reading);
            }
        } else if conn.session.out.is_empty() {
            Self::write_stream(conn, wire, around);
        }
        let over = self.node.over_output_limit(&mut conn.session, reading);
        if over || (conn.session.client.closing && conn.session.out.is_empty()) {
            self.close(id, around);
        }
    }

    fn write_replies(&mut self, id: ClientId, wire: WireId, around: &mut Around) -> usize {
        let conn = self.conns.get_mut(&id).expect("it is being flushed");
        let bytes = conn.session.out.to_vec();
        let count = bytes.len().min(around.space_down(wire));
        around.write_down(wire, &bytes[..count]);
        conn.session.out.consume(count);
        count
    }

    fn write_stream(conn: &mut Conn, wire: WireId, around: &mut Around) {
        let Some(EngineFeed::Stream(cursor)) = &mut conn.session.client.feed else { return };
        loop {
            let count = cursor.chunk().len().min(around.space_down(wire));
            if count == 0 {
                return;
            }
            let mut bytes = cursor.chunk()[..count].to_vec();
            plant::spoil_stream(around.plant, &mut bytes, &mut around.rng);
            around.write_down(wire, &bytes);
            cursor.advance(count);
        }
    }

    // ---- its end ----

    /// The process is gone. `heard`: the others are told so by its system; otherwise they have
    /// to find out.
    pub fn die(mut self, heard: bool, around: &mut Around) {
        let ids: Vec<WireId> = self.conns.values().filter_map(|conn| conn.wire).collect();
        for wire in ids {
            let at = heard.then(|| around.soon());
            around.net.leave_to(wire, at);
        }
        if let Some(wire) = self.link.wire.take() {
            let at = heard.then(|| around.soon());
            around.net.leave_from(wire, at);
        }
    }

    /// The link to the master is up.
    pub fn link_is_up(&self) -> bool {
        self.node.replication.inner().link.up
    }
}

/// The offset that a client in WAIT waits for.
fn awaited(conn: &Conn) -> Option<u64> {
    match &conn.session.client.blocked {
        Some(Blocked::Waiting(waiting)) => waiting.awaited_offset().map(|offset| offset.0),
        _ => None,
    }
}
