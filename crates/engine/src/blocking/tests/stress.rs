//! Several workers at once: every byte that is appended is delivered once, in the end nobody
//! waits for what is there, and replicas that follow the stream have what we have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tandem_base::{Mono, Now, ReplId, ReplOffset, UnixMs};
use tandem_resp::{push_request, split_line};

use crate::client::{ClientInfo, Session};
use crate::commands::script::Stillness;
use crate::config::Config;
use crate::intake::Worker;
use crate::node::{Identity, Mail, Node, NodeOptions, ToClient};

const WORKERS: usize = 4;
const KEYS: usize = 6;
const ROUNDS: usize = 4000;

fn node(workers: usize, now: Now) -> Node {
    let identity = Identity {
        pid: 1,
        run_id: ReplId::from_random([1; 20]),
        executable: String::new(),
        config_file: String::new(),
        supervised: false,
    };
    let config = Config::default();
    let options = NodeOptions { gate_slots: workers + 1, workers, config, now, identity };
    // Few stripes, so that different keys meet in one.
    Node::with_stripes(options, Arc::<Stillness>::default(), 2)
}

fn now() -> Now {
    Now { unix: UnixMs(1_700_000_000_000), mono: Mono(1_000_000) }
}

/// One worker with its sessions, of which some are waiting at any time.
struct Desk<'a> {
    node: &'a Node,
    worker: Worker,
    sessions: BTreeMap<u64, Session>,
    rng: fastrand::Rng,
    produced: usize,
    taken: usize,
    refused: usize,
}

impl<'a> Desk<'a> {
    fn new(node: &'a Node, index: usize) -> Desk<'a> {
        let mut worker = Worker::new(index, 7);
        worker.now = now();
        let rng = fastrand::Rng::with_seed(index as u64 + 1);
        let sessions = BTreeMap::new();
        let mut desk = Desk { node, worker, sessions, rng, produced: 0, taken: 0, refused: 0 };
        (0..8).for_each(|_| desk.connect());
        desk
    }

    fn connect(&mut self) {
        let id = self.node.clients.next_id();
        let (none, index) = (String::new(), self.worker.index);
        let info = Arc::new(ClientInfo::new(id, index, 5, none.clone(), none, self.worker.now));
        self.node.clients.add(Arc::clone(&info));
        self.sessions.insert(id, self.node.new_session(info));
    }

    fn send(&mut self, id: u64, line: &str) {
        let words = split_line(line.as_bytes()).expect("no quotes");
        let mut request = Vec::new();
        push_request(&mut request, words.iter().map(Vec::as_slice));
        let session = self.sessions.get_mut(&id).expect("a session of ours");
        self.node.receive(&mut self.worker, session, &request);
        self.read(id);
    }

    /// Counts what a session has been sent.
    fn read(&mut self, id: u64) {
        let out = &mut self.sessions.get_mut(&id).expect("a session of ours").out;
        let text = String::from_utf8(out.to_vec()).expect("ASCII");
        out.clear();
        self.taken += text.matches("*2\r\n$2\r\nk").count();
        self.refused += text.matches("*-1\r\n").count();
    }

    fn take_mail(&mut self) {
        for mail in self.node.take_mail(self.worker.index) {
            match mail {
                Mail::ToClient(id, ToClient::Answer(answer)) => {
                    let Some(session) = self.sessions.get_mut(&id) else {
                        // It was served, and vanished before its answer came.
                        self.taken += answer.text().matches("*2\r\n$2\r\nk").count();
                        continue;
                    };
                    self.node.deliver_answer(session, *answer);
                    self.node.resume(&mut self.worker, session);
                    self.read(id);
                }
                Mail::Look(id) => self.look(id),
                _ => {}
            }
        }
    }

    fn look(&mut self, id: u64) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.client.blocked.is_some() && self.node.try_unblock(self.worker.now, session) {
            self.node.resume(&mut self.worker, session);
            self.read(id);
        }
    }

    fn waiting(&self) -> Vec<u64> {
        let blocked = self.sessions.iter().filter(|(_, s)| s.client.blocked.is_some());
        blocked.map(|(id, _)| *id).collect()
    }

    fn step(&mut self) {
        let key = |rng: &mut fastrand::Rng| format!("k{}", rng.usize(..KEYS));
        let ids: Vec<u64> = self.sessions.keys().copied().collect();
        let waiting = self.waiting();
        let id = ids[self.rng.usize(..ids.len())];
        let free = !waiting.contains(&id);
        let (one, two) = (key(&mut self.rng), key(&mut self.rng));
        match self.rng.u8(..20) {
            0..8 if free && waiting.len() + 1 < ids.len() => {
                self.send(id, &format!("TEST.POP {one} {two} 0"));
            }
            8..10 if free && one != two && waiting.len() + 1 < ids.len() => {
                self.send(id, &format!("TEST.MOVE {one} {two} 0"));
            }
            10..16 if free => {
                self.produced += 1;
                self.send(id, &format!("APPEND {one} x"));
            }
            16 if free => {
                self.produced += 2;
                for line in
                    ["MULTI", &format!("APPEND {one} x"), &format!("APPEND {two} y"), "EXEC"]
                {
                    self.send(id, line);
                }
            }
            // Somebody's wait is called off.
            17 if free => {
                let other = self.rng.u64(1..60);
                self.send(id, &format!("CLIENT UNBLOCK {other}"));
            }
            // A waiting client vanishes, and another comes: it may have been served, but then
            // the answer is in the mail, or will be, and is counted there.
            18 if !free => {
                self.take_mail();
                if self.sessions[&id].client.blocked.is_some() {
                    let mut session = self.sessions.remove(&id).expect("just seen");
                    self.node.client_gone(&mut session);
                    self.connect();
                }
            }
            _ => {}
        }
        self.take_mail();
    }
}

#[test]
fn every_byte_is_delivered_once_whatever_the_number_of_workers() {
    let node = node(WORKERS, now());
    node.stream.activate(ReplOffset(0));
    let start = node.stream.cursor_at(node.stream.end().next_byte()).expect("it is active");
    let (produced, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let running = AtomicUsize::new(WORKERS);
    std::thread::scope(|scope| {
        for index in 0..WORKERS {
            let (node, produced, taken, running) = (&node, &produced, &taken, &running);
            scope.spawn(move || {
                let mut desk = Desk::new(node, index);
                (0..ROUNDS).for_each(|_| desk.step());
                running.fetch_sub(1, Ordering::SeqCst);
                while running.load(Ordering::SeqCst) > 0 {
                    desk.take_mail();
                    std::thread::yield_now();
                }
                desk.take_mail();
                produced.fetch_add(desk.produced, Ordering::SeqCst);
                taken.fetch_add(desk.taken, Ordering::SeqCst);
                let ids: Vec<u64> = desk.sessions.keys().copied().collect();
                for id in desk.waiting() {
                    desk.look(id);
                }
                for id in ids {
                    let mut session = desk.sessions.remove(&id).expect("it is there");
                    node.client_gone(&mut session);
                }
            });
        }
    });
    assert!(!node.blocking.any(), "nobody is left");
    assert_eq!(node.blocking.timed(), 0);
    let mut reader = Worker::new(WORKERS, 1);
    reader.now = now();
    let left = contents(&node, &mut reader);
    let left_bytes: usize = left.iter().map(String::len).sum();
    let (produced, taken) = (produced.into_inner(), taken.into_inner());
    assert!(produced > 1000 && taken > 500, "{produced} bytes, {taken} taken");
    assert_eq!(produced, taken + left_bytes);

    // Who follows the stream has the same.
    let follower = super::stress::node(1, now());
    let mut bytes = Vec::new();
    start.chunks().for_each(|chunk| bytes.extend_from_slice(chunk));
    let mut session = new_session(&follower);
    follower.receive(&mut reader_of(&follower), &mut session, &bytes);
    let replies = String::from_utf8(session.out.to_vec()).expect("ASCII");
    assert!(!replies.contains("-ERR"), "the stream can be replayed: {replies}");
    assert_eq!(contents(&follower, &mut reader_of(&follower)), left);
}

fn reader_of(_: &Node) -> Worker {
    let mut worker = Worker::new(0, 1);
    worker.now = now();
    worker
}

fn new_session(node: &Node) -> Session {
    let id = node.clients.next_id();
    let info = ClientInfo::new(id, 0, 5, String::new(), String::new(), now());
    node.new_session(Arc::new(info))
}

/// The values of all keys.
fn contents(node: &Node, worker: &mut Worker) -> Vec<String> {
    let mut session = new_session(node);
    let of = |session: &mut Session, worker: &mut Worker, key: usize| {
        let mut request = Vec::new();
        push_request(
            &mut request,
            [b"GETRANGE", format!("k{key}").as_bytes(), b"0", b"-1"].into_iter(),
        );
        node.receive(worker, session, &request);
        let text = String::from_utf8(session.out.to_vec()).expect("ASCII");
        session.out.clear();
        text.split("\r\n").nth(1).expect("a bulk string").to_owned()
    };
    (0..KEYS).map(|key| of(&mut session, worker, key)).collect()
}
