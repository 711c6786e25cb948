//! Who comes in between: while one waits to be alone with a node's keyspace, another client is
//! served.
//!
//! ```text
//! a worker leaves the gate ─► Intruder: REPLICAOF, CLIENT PAUSE, SHUTDOWN ABORT … ─► it is alone
//! ```
//! Workers take turns here, so this is the one place at which a command, a resync or the stream
//! of a master can meet a role, a pause or a shutdown other than it began with. What the intruder
//! is promised is looked at when the call into the engine is over.

use std::sync::{Arc, Mutex, Weak};

use tandem_base::{Now, ReplId};
use tandem_engine::client::ClientInfo;
use tandem_engine::intake::Worker;
use tandem_engine::node::{Node, Refusals, lock};

use crate::checks;
use crate::workload;

/// The key that an intruder writes after a promotion.
const PROMISED: &str = "promised";

/// What an intruder may do, and has done.
#[derive(Default)]
struct State {
    rng: fastrand::Rng,
    now: Now,
    /// One wait in so many is used; 0: none.
    one_in: u32,
    /// The nodes that this one may be told to follow: host and port.
    masters: Vec<(String, u16)>,
    done: Done,
}

/// What an intruder has done since somebody looked.
#[derive(Default)]
pub struct Done {
    /// In words.
    pub events: Vec<String>,
    /// A master's history, offset and the sum of its data there, before anything was done.
    pub past: Vec<(ReplId, u64, u64)>,
    /// It wrote this into a node that it had promoted, and was answered.
    pub promised: Option<String>,
    /// The role was changed.
    pub role: bool,
}

/// The other client of one node.
pub struct Intruder {
    node: Weak<Node>,
    slot: usize,
    state: Mutex<State>,
}

impl Intruder {
    /// One that comes to `node` whenever somebody waits to be alone there. It uses the gate's
    /// slot `slot`, which is nobody else's.
    pub fn new(node: &Arc<Node>, slot: usize, seed: u64) -> Arc<Intruder> {
        let state = State { rng: fastrand::Rng::with_seed(seed), ..State::default() };
        let intruder = Intruder { node: Arc::downgrade(node), slot, state: Mutex::new(state) };
        let intruder = Arc::new(intruder);
        let comes = Arc::clone(&intruder);
        node.gate.meanwhile(Box::new(move || comes.come()));
        intruder
    }

    /// What it may do from now on.
    pub fn allow(&self, one_in: u32, masters: Vec<(String, u16)>, now: Now) {
        let mut state = lock(&self.state);
        (state.one_in, state.masters, state.now) = (one_in, masters, now);
    }

    /// What it has done since the last call.
    pub fn take_done(&self) -> Done {
        std::mem::take(&mut lock(&self.state).done)
    }

    fn come(&self) {
        // Its own requests wait to be alone too.
        let Ok(mut state) = self.state.try_lock() else { return };
        let state = &mut *state;
        let Some(node) = self.node.upgrade() else { return };
        if state.one_in == 0 || state.rng.u32(0..state.one_in) > 0 || node.gate.is_shut() {
            return;
        }
        if !node.is_replica() && node.stream.is_active() {
            let replid = node.replication.inner().history.replid;
            let past = (replid, node.stream.end().0, checks::sum_of(&node));
            state.done.past.push(past);
        }
        match state.rng.u8(0..8) {
            0..=2 => self.promote(&node, state),
            3..=5 => self.point(&node, state),
            6 => _ = self.ask(&node, state, &["CLIENT", "PAUSE", "40", "WRITE"]),
            _ => _ = self.ask(&node, state, &["SHUTDOWN", "ABORT"]),
        }
    }

    fn promote(&self, node: &Arc<Node>, state: &mut State) {
        if !node.is_replica() || !self.ask(node, state, &["REPLICAOF", "NO", "ONE"]) {
            return;
        }
        state.done.role = true;
        let value = state.rng.u32(..).to_string();
        let pausing = Refusals::PAUSED | Refusals::MISCONF;
        if !node.refusals().intersects(pausing) && self.ask(node, state, &["SET", PROMISED, &value])
        {
            state.done.promised = Some(value);
        }
    }

    fn point(&self, node: &Arc<Node>, state: &mut State) {
        if state.masters.is_empty() {
            return;
        }
        let at = state.rng.usize(..state.masters.len());
        let (host, port) = state.masters[at].clone();
        if self.ask(node, state, &["REPLICAOF", &host, &port.to_string()]) {
            state.done.role = true;
        }
    }

    /// Sends one request over a connection of its own; whether the answer was a good one.
    fn ask(&self, node: &Arc<Node>, state: &mut State, words: &[&str]) -> bool {
        let mut worker = Worker::new(self.slot, state.rng.u64(..));
        worker.now = state.now;
        let id = node.clients.next_id();
        let addr = format!("10.0.0.98:{}", 40_000 + id);
        let info = Arc::new(ClientInfo::new(id, 0, 9, addr, String::new(), state.now));
        node.clients.add(Arc::clone(&info));
        let mut session = node.new_session(info);
        let bytes = workload::encode(&workload::order(words));
        node.receive(&mut worker, &mut session, &bytes);
        let reply = session.out.to_vec();
        worker.end_turn(node);
        node.client_gone(&mut session);
        let text = format!("intruder: {} -> {}", words.join(" "), reply.escape_ascii());
        state.done.events.push(text);
        reply.starts_with(b"+")
    }
}

/// Whether what the intruder was promised is still there.
pub fn is_kept(node: &Node, value: &str) -> bool {
    let hash = node.keyspace.hash(PROMISED.as_bytes());
    let stripe = node.keyspace.lock(hash.stripe);
    let entry = stripe.get(tandem_base::DbIndex(0), PROMISED.as_bytes(), hash);
    let mut scratch = itoa::Buffer::new();
    entry.and_then(|entry| entry.string().map(|s| s.bytes(&mut scratch) == value.as_bytes()))
        == Some(true)
}
