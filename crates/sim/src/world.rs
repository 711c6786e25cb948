//! A world from a seed: its nodes, what clients and administrators do, what fails, and its end.
//!
//! ```text
//! chaos: clients write, roles change, links and nodes fail ─► all faults heal, one tree of
//! replicas is ordered ─► within a bounded time all links are up and all data equal
//! ```

mod healing;

use std::sync::{Arc, Mutex};

use tandem_engine::client::{Blocked, ClientId};
use tandem_engine::node::Refusals;

use crate::around::{Around, Weather};
use crate::checks::{Checks, Violation};
use crate::clock::Micros;
use crate::host::Disk;
use crate::net::{Net, Stage};
use crate::node::{Birth, FIRST_PORT, SimNode};
use crate::plant::Plant;
use crate::trace::Trace;
use crate::workload::{self, DATABASES};

/// A place for a node: what of it outlives its runs.
struct Place {
    disk: Arc<Mutex<Disk>>,
    running: Option<SimNode>,
    /// When it starts again.
    down_until: Micros,
    /// Whom its administrator told it to follow.
    follows: Option<usize>,
    /// It would not listen yet.
    told_again: bool,
    skew_ms: i64,
    runs: u64,
}

/// How often things happen in this world: chances in 10,000 for each step.
struct Climate {
    writes: u32,
    cut: u32,
    stall: u32,
    part: u32,
    restart: u32,
    role: u32,
    burst: u32,
    save: u32,
    fill: u32,
    config: u32,
    wait: u32,
    shutdown: u32,
    reload: u32,
    /// One wait to be alone in so many is used by somebody else; 0: none.
    intrude_one_in: u32,
}

/// One world.
pub struct World {
    seed: u64,
    step: u64,
    steps: u64,
    places: Vec<Place>,
    climate: Climate,
    config: String,
    workers: usize,
    /// Everything but the nodes.
    pub around: Around,
}

/// What became of a world.
#[derive(Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Steps that were made.
    pub step: u64,
    /// What went wrong.
    pub violation: Option<Violation>,
    /// Number of events, and a hash of them all.
    pub fingerprint: (u64, u64),
    /// Comparisons of a replica with its master's past.
    pub compared: u64,
    /// Virtual time that went by, in microseconds.
    pub virtual_us: Micros,
    /// The last events.
    pub last: Vec<String>,
}

impl World {
    /// The world of `seed`.
    pub fn new(seed: u64, plant: Option<Plant>) -> World {
        let mut rng = fastrand::Rng::with_seed(seed);
        let count = rng.usize(3..=5);
        let weather = Weather {
            delay_us: [300, 1000, 5000][rng.usize(0..3)],
            late_one_in: [0, 200, 30][rng.usize(0..3)],
            room: [4_000, 20_000, 100_000][rng.usize(0..3)],
            save_bytes: [200, 1000, 4000][rng.usize(0..3)],
            save_fails_one_in: [0, 0, 30][rng.usize(0..3)],
        };
        // Each kind of fault is at home in half of the worlds only: some show themselves when
        // others do not disturb.
        let mut often = |chance: u32| if rng.bool() { rng.u32(chance / 4..=chance) } else { 0 };
        let climate = Climate {
            cut: often(200),
            stall: often(120),
            part: often(60),
            restart: often(60),
            role: often(80),
            burst: often(100),
            save: often(80),
            fill: often(120),
            config: often(40),
            wait: often(300),
            shutdown: often(40),
            reload: often(40),
            intrude_one_in: 0,
            writes: 0,
        };
        let climate = Climate {
            writes: rng.u32(500..8000),
            intrude_one_in: [0, 3, 12, 40][rng.usize(0..4)],
            ..climate
        };
        let config = config_text(&mut rng);
        let skewed = rng.bool();
        let places = (0..count).map(|name| Place {
            disk: Arc::default(),
            running: None,
            down_until: 0,
            follows: (name > 0).then(|| rng.usize(0..name)),
            told_again: false,
            skew_ms: if skewed { rng.i64(-400..400) } else { 0 },
            runs: 0,
        });
        let places = places.collect();
        let (workers, steps) = (rng.usize(1..=2), rng.u64(200..700));
        let around = Around {
            now: 0,
            rng,
            net: Net::default(),
            checks: Checks::default(),
            trace: Trace::default(),
            plant,
            healing: false,
            weather,
        };
        World { seed, step: 0, steps, places, climate, config, workers, around }
    }

    /// Runs the world to its end, or to the first violation.
    pub fn run(&mut self) {
        self.around.event(&format!(
            "{} nodes: {}",
            self.places.len(),
            self.config.replace('\n', "; ")
        ));
        while self.step < self.steps && self.around.checks.violation().is_none() {
            self.disturb();
            self.write();
            let long = self.around.rng.u8(0..100) == 0;
            let us = if long { 300_000 } else { self.around.rng.u64(100..8000) };
            self.pass(us);
        }
        if self.around.checks.violation().is_none() {
            self.heal();
        }
    }

    /// What became of it.
    pub fn report(&self) -> Report {
        Report {
            seed: self.seed,
            step: self.step,
            violation: self.around.checks.violation().cloned(),
            fingerprint: self.around.trace.fingerprint(),
            compared: self.around.checks.compared,
            virtual_us: self.around.now,
            last: self.around.trace.last().map(str::to_owned).collect(),
        }
    }

    /// Time goes by, and every node has its turn.
    fn pass(&mut self, us: u64) {
        self.step += 1;
        self.around.now += us;
        self.decide_dials();
        let mut order: Vec<usize> = (0..self.places.len()).collect();
        self.around.rng.shuffle(&mut order);
        for name in order {
            if self.places[name].running.is_none()
                && self.around.now >= self.places[name].down_until
            {
                self.start(name);
            }
            if self.places[name].told_again && self.around.rng.u8(0..8) == 0 {
                self.tell_role(name);
            }
            self.let_in(name);
            if let Some(node) = &mut self.places[name].running {
                node.turn(&mut self.around);
                if node.host.exit_code().is_some() {
                    self.stop(name, true);
                }
            }
            self.heed(name);
        }
    }

    /// Says what an intruder may do at `name`.
    fn let_in(&mut self, name: usize) {
        let quiet = self.around.healing;
        let one_in = if quiet { 0 } else { self.climate.intrude_one_in };
        let masters = (0..self.places.len()).filter(|master| !self.would_circle(name, *master));
        let masters = masters.map(address).collect();
        if let Some(node) = &self.places[name].running {
            node.intruder.allow(one_in, masters, node.reading(self.around.now));
        }
    }

    /// An intruder's word counts as much as the administrator's: the last one does.
    fn heed(&mut self, name: usize) {
        let place = &mut self.places[name];
        let Some(node) = &mut place.running else { return };
        if std::mem::take(&mut node.role_changed) {
            let master = node.node.replication.inner().master.clone();
            place.follows = master.map(|master| usize::from(master.port - FIRST_PORT));
        }
    }

    fn decide_dials(&mut self) {
        let now = self.around.now;
        let due = |stage| matches!(stage, Stage::Dialling(at) if at <= now);
        let wires = self.around.net.wires.iter().filter(|(_, wire)| due(wire.stage));
        let ids: Vec<(u64, usize, usize)> = wires.map(|(id, w)| (*id, w.from, w.to)).collect();
        for (id, from, to) in ids {
            let parted = self.around.net.parted_until(from, to);
            let stage = if parted > now {
                if self.around.rng.bool() {
                    Stage::Refused("No route to host")
                } else {
                    Stage::Dialling(parted)
                }
            } else if let Some(node) = &mut self.places[to].running {
                let client = node.adopt(Some(id), from, &mut self.around);
                self.around.event(&format!("n{to} accepts n{from}: wire {id}, client {client}"));
                Stage::Open
            } else {
                Stage::Refused("Connection refused")
            };
            let wire = self.around.net.wires.get_mut(&id).expect("just seen");
            wire.stage = stage;
        }
    }

    // ---- nodes ----

    fn start(&mut self, name: usize) {
        let place = &mut self.places[name];
        place.runs += 1;
        place.told_again = false;
        let mut config = format!("port {}\n{}", usize::from(FIRST_PORT) + name, self.config);
        if let Some(master) = place.follows {
            config += &format!("replicaof 10.0.0.{master} {}\n", usize::from(FIRST_PORT) + master);
        }
        let birth = Birth {
            name,
            config: &config,
            disk: Arc::clone(&place.disk),
            skew_ms: place.skew_ms,
            workers: self.workers,
            seed: self.around.rng.u64(..),
        };
        let text = format!("n{name} starts, run {}, follows {:?}", place.runs, place.follows);
        self.around.event(&text);
        place.running = Some(SimNode::start(&birth, self.around.now));
    }

    fn stop(&mut self, name: usize, heard: bool) {
        if let Some(node) = self.places[name].running.take() {
            self.around.event(&format!("n{name} is gone"));
            node.die(heard, &mut self.around);
            self.places[name].down_until = self.around.now + self.around.rng.u64(1_000..1_500_000);
        }
    }

    fn restart(&mut self) {
        // Nodes that are loading first: half a dataset must not come to be taken for a whole.
        let loading = |place: &Place| {
            place
                .running
                .as_ref()
                .is_some_and(|running| running.node.refusals().contains(Refusals::LOADING))
        };
        let name = match self.places.iter().position(loading) {
            Some(name) if self.around.rng.bool() => name,
            _ => self.any_node(),
        };
        match self.around.rng.u8(0..6) {
            0..=1 => _ = self.order(name, &["SHUTDOWN", "SAVE", "NOW"]),
            2 => _ = self.order(name, &["SHUTDOWN", "NOSAVE", "NOW"]),
            3 => self.stop(name, false),
            _ => self.stop(name, true),
        }
        if self.around.rng.u8(0..4) == 0 {
            self.around.event(&format!("n{name} has lost its file"));
            self.places[name].disk = Arc::default();
        }
    }

    fn any_node(&mut self) -> usize {
        self.around.rng.usize(..self.places.len())
    }

    // ---- what fails ----

    fn happens(&mut self, chance: u32) -> bool {
        self.around.rng.u32(0..10_000) < chance
    }

    fn disturb(&mut self) {
        if self.happens(self.climate.cut) {
            self.cut_a_wire();
        }
        if self.happens(self.climate.stall) {
            self.stall_a_wire();
        }
        if self.happens(self.climate.part) {
            let (a, b) = (self.any_node(), self.any_node());
            let until = self.around.now + self.around.rng.u64(10_000..3_000_000);
            self.around.event(&format!("nothing passes between n{a} and n{b}"));
            self.around.net.part(a, b, until);
        }
        if self.happens(self.climate.restart) {
            self.restart();
        }
        if self.happens(self.climate.role) {
            self.change_a_role();
        }
        if self.happens(self.climate.save) {
            let name = self.any_node();
            self.order(name, &["BGSAVE"]);
        }
        if self.happens(self.climate.shutdown) {
            let name = self.any_node();
            let abort = self.around.rng.bool();
            self.order(name, if abort { &["SHUTDOWN", "ABORT"] } else { &["SHUTDOWN"] });
        }
        if self.happens(self.climate.reload) {
            let name = self.any_node();
            self.order(name, &["DEBUG", "RELOAD"]);
        }
        if self.happens(self.climate.config) {
            let name = self.any_node();
            let word = if self.around.rng.bool() { "yes" } else { "no" };
            self.order(name, &["CONFIG", "SET", "repl-diskless-sync", word]);
        }
    }

    fn any_wire(&mut self) -> Option<u64> {
        let count = self.around.net.wires.len();
        if count == 0 {
            return None;
        }
        let at = self.around.rng.usize(..count);
        self.around.net.wires.keys().nth(at).copied()
    }

    fn cut_a_wire(&mut self) {
        let Some(id) = self.any_wire() else { return };
        let (one, other) = (self.around.soon(), self.around.soon());
        let loses = self.around.rng.bool();
        self.around.event(&format!("wire {id} is cut, loses what is under way: {loses}"));
        let wire = self.around.net.wires.get_mut(&id).expect("just chosen");
        if loses {
            wire.up.cut(one);
            wire.down.cut(other);
        } else {
            wire.up.close(one);
            wire.down.close(other);
        }
    }

    fn stall_a_wire(&mut self) {
        let Some(id) = self.any_wire() else { return };
        let until = self.around.now + self.around.rng.u64(50_000..6_000_000);
        let (up, down) = [(true, false), (false, true), (true, true)][self.around.rng.usize(0..3)];
        self.around.event(&format!("wire {id} stalls, up {up}, down {down}"));
        let wire = self.around.net.wires.get_mut(&id).expect("just chosen");
        if up {
            wire.up.stalled_until = until;
        }
        if down {
            wire.down.stalled_until = until;
        }
    }

    // ---- what people do ----

    /// Whether `name` would follow itself by way of `master`.
    fn would_circle(&self, name: usize, master: usize) -> bool {
        let mut at = Some(master);
        for _ in 0..=self.places.len() {
            match at {
                None => return false,
                Some(here) if here == name => return true,
                Some(here) => at = self.places[here].follows,
            }
        }
        true
    }

    fn change_a_role(&mut self) {
        let name = self.any_node();
        let master = self.any_node();
        if self.around.rng.u8(0..3) == 0 {
            self.promote(name);
        } else if !self.would_circle(name, master) {
            self.point(name, master);
        }
    }

    fn promote(&mut self, name: usize) {
        self.places[name].follows = None;
        self.tell_role(name);
    }

    fn point(&mut self, name: usize, master: usize) {
        self.places[name].follows = Some(master);
        self.tell_role(name);
    }

    /// Tells a node its role. One that is loading does not listen, and is told again later; one
    /// that is down finds it in its configuration.
    fn tell_role(&mut self, name: usize) {
        let accepted = match self.places[name].follows {
            None => self.order(name, &["REPLICAOF", "NO", "ONE"]),
            Some(master) => {
                let (host, port) = address(master);
                self.order(name, &["REPLICAOF", &host, &port.to_string()])
            }
        };
        self.places[name].told_again = !accepted && self.places[name].running.is_some();
    }

    /// An administrator's order, over a connection of its own; whether it was accepted.
    fn order(&mut self, name: usize, words: &[&str]) -> bool {
        self.let_in(name);
        let Some(node) = &mut self.places[name].running else { return false };
        self.around.event(&format!("n{name} is told {}", words.join(" ")));
        let id = node.adopt(None, 99, &mut self.around);
        node.receive(id, &workload::encode(&workload::order(words)), &mut self.around);
        let reply = node.take_replies(id);
        self.around.event(&format!("n{name} answers {}", reply.escape_ascii()));
        node.close(id, &mut self.around);
        if node.host.exit_code().is_some() {
            self.stop(name, true);
        }
        self.heed(name);
        reply.starts_with(b"+")
    }

    fn write(&mut self) {
        while self.happens(self.climate.writes) {
            let masters: Vec<usize> = (0..self.places.len())
                .filter(|name| self.places[*name].follows.is_none())
                .collect();
            let at_a_master = !masters.is_empty() && self.around.rng.u8(0..20) > 0;
            let name = if at_a_master {
                masters[self.around.rng.usize(..masters.len())]
            } else {
                self.any_node()
            };
            let bursts = self.happens(self.climate.burst);
            let fills = self.happens(self.climate.fill);
            let waits = self.happens(self.climate.wait);
            let rng = &mut self.around.rng;
            let requests = if bursts {
                workload::burst(rng)
            } else if fills {
                workload::fill(rng)
            } else if waits {
                workload::wait(rng.usize(0..4), rng.u64(0..1500))
            } else {
                workload::batch(rng)
            };
            self.ask(name, &requests);
        }
    }

    /// A client of `name` sends requests, in one piece or in several.
    fn ask(&mut self, name: usize, requests: &[workload::Request]) {
        self.let_in(name);
        let Some(node) = &mut self.places[name].running else { return };
        let around = &mut self.around;
        let Some(id) = free_client(node, around) else { return };
        let offset = node.conns[&id].session.client.seen.0;
        // Few enough bytes at a time that the ledger has most offsets.
        for request in requests {
            let bytes = workload::encode(std::slice::from_ref(request));
            let cut = if around.rng.u8(0..8) == 0 { around.rng.usize(..bytes.len()) } else { 0 };
            node.receive(id, &bytes[..cut], around);
            node.receive(id, &bytes[cut..], around);
            let waits = node.conns.get(&id).is_some_and(|conn| {
                matches!(conn.session.client.blocked, Some(Blocked::Waiting(_)))
            });
            if request[0] == b"WAIT" && !waits {
                node.check_wait(id, offset, around);
            }
        }
        let reply = node.take_replies(id);
        let words: Vec<String> = requests.iter().take(8).map(|words| shown(words)).collect();
        around.event(&format!("n{name} client {id}: {} -> {}", words.join(" | "), reply.len()));
        self.heed(name);
    }
}

/// Where node `name` listens.
fn address(name: usize) -> (String, u16) {
    (format!("10.0.0.{name}"), FIRST_PORT + u16::try_from(name).expect("few nodes"))
}

fn shown(words: &[Vec<u8>]) -> String {
    let text = words.iter().map(|word| word[..word.len().min(16)].escape_ascii().to_string());
    text.collect::<Vec<_>>().join(" ")
}

/// A client that is free to ask; a new one if there are few.
fn free_client(node: &mut SimNode, around: &mut Around) -> Option<ClientId> {
    if node.clients.len() < 3 {
        node.adopt(None, 50, around);
    }
    let id = node.clients[around.rng.usize(..node.clients.len())];
    (!node.conns[&id].session.is_stopped()).then_some(id)
}

/// What all nodes of a world have in their configuration.
fn config_text(rng: &mut fastrand::Rng) -> String {
    let yes_no = |on: bool| if on { "yes" } else { "no" };
    let diskless = rng.bool();
    let mut text = format!(
        "databases {DATABASES}\nenable-debug-command yes\nshutdown-timeout {}\n\
         repl-ping-replica-period 1\nrepl-timeout {}\nrepl-backlog-size {}\nrepl-backlog-ttl {}\nrepl-diskless-sync {}\n\
         repl-diskless-sync-delay {}\nrdbcompression {}\nrdbchecksum {}\n",
        [1, 2, 10][rng.usize(0..3)],
        rng.u8(2..6),
        [16_384, 40_000, 1_000_000][rng.usize(0..3)],
        [1, 3, 3600][rng.usize(0..3)],
        yes_no(diskless),
        rng.u8(0..2),
        yes_no(rng.bool()),
        yes_no(rng.u8(0..4) > 0),
    );
    // A save point that never comes, for what else save points mean: FLUSHALL saves.
    text +=
        if rng.bool() { "save 3600 1\nstop-writes-on-bgsave-error no\n" } else { "save \"\"\n" };
    if rng.u8(0..4) == 0 {
        text += "client-output-buffer-limit replica 60000 40000 1\n";
    }
    text
}
