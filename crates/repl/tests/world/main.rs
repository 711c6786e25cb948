//! A master, its replicas and a replica of a replica, driven by these machines alone: no
//! sockets, no keys. The "data" of a node is the text of all its writes, each with its
//! database; an RDB is that text after the database that the stream has selected, because
//! a replica's stream is its master's and says no SELECT for the sake of a sub-replica.
//! From one seed: writes, bytes that arrive in pieces, cuts, restarts of links, promotions.
//! What must hold all along: a replica's data is the beginning of what its master's data has
//! been; in the end all are equal. It also shows how little a driver has to do.

#![allow(clippy::unwrap_used)]

mod parts;

use std::collections::BTreeMap;

use tandem_base::{DbIndex, Mono, ReplId};
use tandem_repl::history::{self, History, PsyncAsk, Verdict};
use tandem_repl::link::{CachedMaster, Data, Link, Output, Settings};
use tandem_repl::peer::{AfterRdb, Peer, PeerState};
use tandem_repl::replconf::Effect;
use tandem_repl::stream::Stream;
use tandem_repl::syncplan::{self, Arrival, Busy, Policy, Running, Target};

use parts::{Client, Dice, Snapshot, Wire};

struct Node {
    stream: Stream,
    history: History,
    /// Every write, in order.
    data: Vec<u8>,
    rdb: Vec<u8>,
    /// Stream bytes that are no whole write yet.
    partial: Vec<u8>,
    /// The database that the master's stream has selected.
    db: Option<char>,
    /// The same, as the RDB that was loaded last says it (`repl-stream-db`).
    rdb_db: Option<char>,
    link: Option<Link>,
    master: Option<usize>,
    /// By the replica's number.
    clients: BTreeMap<usize, Client>,
    snapshot: Option<Snapshot>,
    full: u32,
    partials: u32,
}

struct World {
    dice: Dice,
    now: Mono,
    nodes: Vec<Node>,
    /// By (replica, master).
    wires: BTreeMap<(usize, usize), Wire>,
    ids: u8,
    writes: u32,
    policy: Policy,
}

const PIECE: usize = 40;

impl World {
    fn new(seed: u64, nodes: usize) -> World {
        let mut dice = Dice(seed);
        let diskless = dice.roll(2) == 0;
        let policy = Policy { diskless, delay_ms: 50, max_replicas: 2 };
        let mut world = World {
            dice,
            now: Mono(1_000_000),
            nodes: Vec::new(),
            wires: BTreeMap::new(),
            ids: 0,
            writes: 0,
            policy,
        };
        for _ in 0..nodes {
            let history = History::new(world.new_id());
            world.nodes.push(Node {
                stream: Stream::new(16 * 1024),
                history,
                data: Vec::new(),
                rdb: Vec::new(),
                partial: Vec::new(),
                db: None,
                rdb_db: None,
                link: None,
                master: None,
                clients: BTreeMap::new(),
                snapshot: None,
                full: 0,
                partials: 0,
            });
        }
        world
    }

    fn new_id(&mut self) -> ReplId {
        self.ids += 1;
        ReplId::from_random([self.ids; 20])
    }

    /// `REPLICAOF master`, or `REPLICAOF NO ONE`.
    fn replicaof(&mut self, at: usize, master: Option<usize>) {
        let now = self.now;
        let new_id = self.new_id();
        let node = &mut self.nodes[at];
        let cached = match (&mut node.link, master) {
            (Some(link), Some(_)) => link.leave(now),
            (Some(link), None) => {
                link.abandon(now);
                None
            }
            (None, Some(_)) => {
                node.db = None;
                Some(CachedMaster { replid: node.history.replid, offset: node.stream.end() })
            }
            (None, None) => return,
        };
        if node.link.is_some() {
            self.outputs(at);
        }
        let node = &mut self.nodes[at];
        node.master = master;
        node.partial.clear();
        match master {
            Some(master) => {
                let host = master.to_string();
                node.link = Some(Link::new(&host, 1, Settings::default(), cached, now));
            }
            None => {
                node.link = None;
                let _ = node.history.promote(new_id, node.stream.end());
                node.stream.forget_selected_db();
                self.drop_replicas(at);
            }
        }
        self.outputs(at);
    }

    fn drop_replicas(&mut self, at: usize) {
        for replica in self.nodes[at].clients.keys().copied().collect::<Vec<_>>() {
            self.cut(replica, at);
        }
    }

    fn cut(&mut self, replica: usize, master: usize) {
        self.nodes[master].clients.remove(&replica);
        if self.wires.remove(&(replica, master)).is_some()
            && self.nodes[replica].master == Some(master)
        {
            let now = self.now;
            self.nodes[replica].partial.clear();
            self.nodes[replica].link.as_mut().unwrap().closed("connection lost", now);
            self.outputs(replica);
        }
    }

    /// Does what the link of `at` wants done.
    fn outputs(&mut self, at: usize) {
        while let Some(output) = self.nodes[at].link.as_mut().and_then(Link::poll) {
            let node = &mut self.nodes[at];
            let master = node.master.unwrap_or(usize::MAX);
            match output {
                Output::Dial { .. } => {
                    self.wires.insert((at, master), Wire::default());
                    self.nodes[master].clients.insert(at, Client::default());
                    node_link(&mut self.nodes[at]).connected(self.now);
                }
                Output::Send(bytes) => {
                    if let Some(wire) = self.wires.get_mut(&(at, master)) {
                        wire.up.extend_from_slice(&bytes);
                    }
                }
                Output::BeginRdb { .. } => node.rdb.clear(),
                Output::AbortRdb => node.rdb.clear(),
                Output::EndRdb => {
                    node.data.clear();
                    node.stream.release();
                    self.drop_replicas(at);
                    let node = &mut self.nodes[at];
                    let mut rdb = std::mem::take(&mut node.rdb);
                    let db = char::from(rdb.remove(0));
                    node.rdb_db = Some(db).filter(|&db| db != '-');
                    node.data = rdb;
                    node_link(node).loaded(Ok(()), self.now);
                }
                Output::Synced(base) => {
                    node.history.full_resynced(base.replid.unwrap());
                    node.stream.reset_to(base.offset);
                    node.db = node.rdb_db;
                }
                Output::Resumed { new_replid } => {
                    if !node.stream.is_active() {
                        node.stream.activate(node.stream.end());
                    }
                    if let Some(id) = new_replid {
                        node.history.adopt(id, node.stream.end());
                        self.drop_replicas(at);
                    }
                }
                Output::Close => {
                    node.partial.clear();
                    self.wires.remove(&(at, master));
                    if let Some(master) = self.nodes.get_mut(master) {
                        master.clients.remove(&at);
                    }
                }
                Output::Log(_) => {}
            }
        }
    }

    fn write(&mut self, at: usize) {
        self.writes += 1;
        let text = format!("<{}{}>", self.writes, "x".repeat(self.dice.roll(30)));
        let node = &mut self.nodes[at];
        let db = DbIndex((self.writes / 7 % 3) as u16);
        node.data.extend_from_slice(format!("{text}{db}").as_bytes());
        node.stream.append_with(|writer| {
            writer.select(db);
            writer.push(text.as_bytes());
        });
    }

    /// Moves some bytes from a master to a replica.
    fn deliver(&mut self, replica: usize, master: usize) {
        self.fill(replica, master);
        let most = 1 + self.dice.roll(PIECE);
        let Some(wire) = self.wires.get_mut(&(replica, master)) else { return };
        let most = most.min(wire.down.len());
        let mut bytes = std::mem::take(&mut wire.kept);
        bytes.extend(wire.down.drain(..most));
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let node = &mut self.nodes[replica];
            let Some(link) = node.link.as_mut() else { return };
            let taken = link.receive(rest, self.now);
            let (used, idle) = (taken.used, taken.used == 0 && taken.data == Data::None);
            match taken.data {
                Data::Rdb(bytes) => node.rdb.extend_from_slice(bytes),
                Data::Stream(bytes) => node.partial.extend_from_slice(bytes),
                Data::None => {}
            }
            rest = &rest[used..];
            apply(node);
            self.outputs(replica);
            let Some(wire) = self.wires.get_mut(&(replica, master)) else { return };
            if idle {
                wire.kept = rest.to_vec();
                return;
            }
        }
    }

    /// Lets the master write to the wire what the replica may have by now.
    fn fill(&mut self, replica: usize, master: usize) {
        let node = &mut self.nodes[master];
        let Some(client) = node.clients.get_mut(&replica) else { return };
        let Some(wire) = self.wires.get_mut(&(replica, master)) else { return };
        let takes = client
            .peer
            .as_ref()
            .is_some_and(|peer| peer.state() == PeerState::Online { held: false });
        if let (true, Some(cursor)) = (takes, client.cursor.as_mut()) {
            if cursor.is_dead() {
                self.cut(replica, master);
                return;
            }
            let chunk = cursor.chunk();
            let count = chunk.len().min(PIECE);
            wire.down.extend_from_slice(&chunk[..count]);
            cursor.advance(count);
        }
    }

    /// Lets a master read what a replica has sent.
    fn hear(&mut self, replica: usize, master: usize) {
        let Some(wire) = self.wires.get_mut(&(replica, master)) else { return };
        let bytes = std::mem::take(&mut wire.up);
        let Some(client) = self.nodes[master].clients.get_mut(&replica) else { return };
        client.input.extend_from_slice(&bytes);
        while let Some(command) = self.nodes[master]
            .clients
            .get_mut(&replica)
            .and_then(|client| next_command(&mut client.input))
        {
            self.execute(replica, master, command);
        }
    }

    fn execute(&mut self, replica: usize, master: usize, command: Vec<Vec<u8>>) {
        let now = self.now;
        let node = &mut self.nodes[master];
        let client = node.clients.get_mut(&replica).unwrap();
        let reply = match command[0].as_slice() {
            b"PING" => b"+PONG\r\n".to_vec(),
            b"REPLCONF" => match client.facts.replconf(&command[1..]) {
                Effect::Noted => b"+OK\r\n".to_vec(),
                Effect::Ack(offset) => {
                    let _ = client.peer.as_mut().unwrap().ack(offset, now);
                    assert!(offset <= node.stream.end(), "acknowledged what was never sent");
                    Vec::new()
                }
                other => panic!("{other:?}"),
            },
            b"PSYNC" => {
                let ask = PsyncAsk::parse(&command[1], &command[2]).unwrap();
                self.psync(replica, master, &ask)
            }
            other => panic!("{}", other.escape_ascii()),
        };
        if let Some(wire) = self.wires.get_mut(&(replica, master)) {
            wire.down.extend_from_slice(&reply);
        }
    }

    fn psync(&mut self, replica: usize, master: usize, ask: &PsyncAsk) -> Vec<u8> {
        let new_id = self.new_id();
        let policy = self.policy;
        let node = &mut self.nodes[master];
        if node.link.as_ref().is_some_and(|link| !link.is_up()) {
            return b"-NOMASTERLINK Can't SYNC while not connected with my master\r\n".to_vec();
        }
        let client = node.clients.get_mut(&replica).unwrap();
        let (verdict, cursor) = history::answer_psync(&node.history, &node.stream, ask);
        if let Verdict::Continue { .. } = verdict {
            node.partials += 1;
            client.cursor = cursor;
            client.peer = Some(Peer::resumed(client.facts.clone(), "a", self.now));
            return history::continue_reply(node.history.replid, true);
        }
        node.full += 1;
        if !node.stream.is_active() {
            node.history.renew(new_id);
            node.stream.activate(node.stream.end());
        }
        client.peer = Some(Peer::waiting(client.facts.clone(), "a", false, self.now));
        let busy =
            node.snapshot.as_ref().map_or(Busy::No, |snapshot| Busy::Saving(snapshot.running));
        match syncplan::on_arrival(&client.facts, busy, node.stream.window(), policy) {
            Arrival::Join { base } => {
                client.cursor = Some(node.snapshot.as_ref().unwrap().place.clone());
                let peer = client.peer.as_mut().unwrap();
                peer.attach(node.history.replid, base, Target::Disk).unwrap()
            }
            Arrival::Start(start) => {
                self.start(master, start);
                Vec::new()
            }
            Arrival::Wait(_) => Vec::new(),
        }
    }

    fn start(&mut self, master: usize, start: syncplan::Start) {
        let node = &mut self.nodes[master];
        let base = node.stream.forget_selected_db();
        let place = node.stream.cursor_at(base.next_byte()).unwrap();
        let running = Running { base: Some(base), target: start.target, filter: start.filter };
        for (replica, client) in &mut node.clients {
            if let Some(peer) = client.peer.as_mut().filter(|peer| start.serves(peer)) {
                let reply = peer.attach(node.history.replid, base, start.target).unwrap();
                client.cursor = Some(place.clone());
                let wire = self.wires.get_mut(&(*replica, master)).unwrap();
                wire.down.extend_from_slice(&reply);
            }
        }
        let db = node.db.filter(|_| node.link.is_some()).unwrap_or('-');
        let data = [&[db as u8], &node.data[..]].concat();
        node.snapshot = Some(Snapshot { running, data, place });
    }

    /// The snapshot of `master` is finished.
    fn finish(&mut self, master: usize) {
        let node = &mut self.nodes[master];
        let Some(snapshot) = node.snapshot.take() else { return };
        let base = snapshot.running.base.unwrap();
        let mark = *b"0123456789abcdef0123456789abcdef01234567";
        for (replica, client) in &mut node.clients {
            let Some(peer) = client.peer.as_mut() else { continue };
            let target = snapshot.running.target;
            if peer.state() != (tandem_repl::peer::PeerState::WaitRdb { base, target }) {
                continue;
            }
            let down = &mut self.wires.get_mut(&(*replica, master)).unwrap().down;
            match target {
                Target::Disk => down.extend(peer.begin_to_send(snapshot.data.len() as u64)),
                Target::Sockets => down.extend(tandem_repl::peer::marked_preamble(&mark)),
            }
            down.extend_from_slice(&snapshot.data);
            if target == Target::Sockets {
                down.extend_from_slice(&mark);
            }
            let (after, _) = peer.rdb_sent(self.now);
            assert_eq!(after == AfterRdb::HoldUntilAck, target == Target::Sockets);
        }
    }

    fn pass_time(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        for at in 0..self.nodes.len() {
            if let Some(link) = &mut self.nodes[at].link {
                link.tick(self.now);
            }
            self.outputs(at);
            let node = &self.nodes[at];
            if node.snapshot.is_none() {
                let peers = node.clients.values().filter_map(|client| client.peer.as_ref());
                if let Some(start) = syncplan::due(peers, Busy::No, self.policy, self.now) {
                    self.start(at, start);
                }
            }
        }
    }

    fn turn(&mut self) {
        let wires: Vec<(usize, usize)> = self.wires.keys().copied().collect();
        for (replica, master) in wires {
            self.hear(replica, master);
            self.deliver(replica, master);
        }
    }

    fn settle(&mut self) {
        for _ in 0..30_000 {
            self.pass_time(20);
            self.turn();
            (0..self.nodes.len()).for_each(|at| self.finish(at));
            let end = |node: &Node| (node.stream.end(), node.data.len(), node.history.replid);
            if self.nodes.iter().all(|node| end(node) == end(&self.nodes[self.top()])) {
                return;
            }
        }
        panic!("does not settle");
    }

    fn top(&self) -> usize {
        self.nodes.iter().position(|node| node.master.is_none()).unwrap()
    }

    /// A replica that shares its master's history has the beginning of its data.
    fn check(&self) {
        for node in &self.nodes {
            let Some(master) = node.master.map(|master| &self.nodes[master]) else { continue };
            if node.link.as_ref().unwrap().is_up() && node.history.replid == master.history.replid {
                assert!(node.stream.end() <= master.stream.end(), "ahead of its master");
                assert!(master.data.starts_with(&node.data), "not its master's past");
            }
        }
    }
}

fn node_link(node: &mut Node) -> &mut Link {
    node.link.as_mut().unwrap()
}

/// Applies whole writes (`<…>`) and the stream's own commands, and keeps the rest.
fn apply(node: &mut Node) {
    loop {
        let bytes = &node.partial;
        let length = match bytes.first() {
            Some(b'<') => bytes.iter().position(|&byte| byte == b'>').map(|at| at + 1),
            Some(b'*') => Some(23).filter(|&length| length <= bytes.len()),
            Some(other) => panic!("the stream is out of step: {other}"),
            None => None,
        };
        let Some(length) = length else { return };
        let whole: Vec<u8> = node.partial.drain(..length).collect();
        if whole[0] == b'<' {
            node.data.extend_from_slice(&whole);
            node.data.push(node.db.expect("a database was selected") as u8);
        } else {
            node.db = Some(char::from(whole[20]));
            assert!(whole.starts_with(b"*2\r\n$6\r\nSELECT\r\n$1\r\n"), "{}", whole.escape_ascii());
        }
        let end = node.stream.append(&whole);
        node_link(node).applied(end);
    }
}

/// Takes one command off the front, if it is whole.
fn next_command(input: &mut Vec<u8>) -> Option<Vec<Vec<u8>>> {
    while input.first() == Some(&b'\n') {
        input.remove(0);
    }
    let text = String::from_utf8(input.clone()).unwrap();
    let mut lines = text.split_inclusive("\r\n");
    let head = lines.next()?;
    let count: usize = head.strip_prefix('*')?.trim_end().parse().unwrap();
    let mut used = head.len();
    let mut words = Vec::new();
    for _ in 0..count {
        used += lines.next()?.len();
        let word = lines.next().filter(|word| word.ends_with("\r\n"))?;
        used += word.len();
        words.push(word.trim_end().as_bytes().to_vec());
    }
    input.drain(..used);
    Some(words)
}

/// A day in the life of four nodes: 0 is the master, 3 hangs below 1.
fn live(seed: u64, events: usize) -> World {
    let mut world = World::new(seed, 4);
    for _ in 0..world.dice.roll(200) {
        world.write(0);
    }
    world.replicaof(1, Some(0));
    world.replicaof(2, Some(0));
    world.replicaof(3, Some(1));
    for _ in 0..events {
        match world.dice.roll(100) {
            0 => {
                let wires: Vec<(usize, usize)> = world.wires.keys().copied().collect();
                if !wires.is_empty() {
                    let (replica, master) = wires[world.dice.roll(wires.len())];
                    world.cut(replica, master);
                }
            }
            1..4 => {
                let ms = world.dice.roll(40) as u64;
                world.pass_time(ms);
            }
            4 => {
                let at = world.dice.roll(4);
                world.finish(at);
            }
            5 => {
                let top = world.top();
                (0..world.dice.roll(300)).for_each(|_| world.write(top));
            }
            6..30 => {
                let top = world.top();
                world.write(top);
            }
            _ => world.turn(),
        }
        world.check();
    }
    world
}

fn all_equal(world: &World, seed: u64) {
    let top = &world.nodes[world.top()];
    for node in &world.nodes {
        assert!(node.data == top.data, "seed {seed}: data differs");
        assert_eq!(node.history.replid, top.history.replid, "seed {seed}");
        assert_eq!(node.stream.end(), top.stream.end(), "seed {seed}");
    }
}

#[test]
fn after_cuts_and_overruns_all_are_equal() {
    let (mut full, mut partial) = (0, 0);
    for seed in 0..60 {
        let mut world = live(seed, 2000);
        world.settle();
        all_equal(&world, seed);
        full += world.nodes.iter().map(|node| node.full).sum::<u32>();
        partial += world.nodes.iter().map(|node| node.partials).sum::<u32>();
    }
    assert!(full > 200 && partial > 200, "{full} full, {partial} partial");
}

#[test]
fn a_promotion_needs_no_full_resync() {
    for seed in 0..40 {
        let mut world = live(seed, 300);
        world.settle();
        let before: u32 = world.nodes.iter().map(|node| node.full).sum();
        // 1 is promoted, with 3 below it; 0 and 2 follow it.
        world.replicaof(1, None);
        world.write(1);
        world.replicaof(0, Some(1));
        world.replicaof(2, Some(1));
        world.write(1);
        world.settle();
        all_equal(&world, seed);
        let after: u32 = world.nodes.iter().map(|node| node.full).sum();
        assert_eq!(before, after, "seed {seed}");
    }
}

#[test]
fn a_promotion_in_the_middle_of_it_loses_only_what_was_not_sent() {
    let mut forked = 0;
    for seed in 100..160 {
        let mut world = live(seed, 300);
        // The old master takes writes that nobody gets, while 1 is promoted.
        (0..world.dice.roll(20)).for_each(|_| world.write(0));
        world.replicaof(1, None);
        forked += u32::from(!world.nodes[1].data.starts_with(&world.nodes[0].data));
        (0..world.dice.roll(20)).for_each(|_| world.write(1));
        world.replicaof(2, Some(1));
        (0..world.dice.roll(50)).for_each(|_| world.turn());
        world.replicaof(0, Some(1));
        world.settle();
        all_equal(&world, seed);
    }
    assert!(forked > 20, "{forked} forks");
}
