//! From bytes to requests: what a worker has of its own, and how a client's bytes are cut up.
//!
//! ```text
//! bytes ─► run_buffer ─► a batch of whole requests ─► dispatch
//!              └─ what is unfinished, or must wait, is kept with the session
//! ```

use std::sync::atomic::Ordering;

use tandem_base::Now;
use tandem_resp::{Args, Batch, FillEnd, Limits};

use crate::ahead::{Ahead, Hashed, NO_HASH, WINDOW};
use crate::client::{ClientFlags, Kind, LargeArg, Session};
use crate::effects::Effects;
use crate::error::ErrorReply;
use crate::eviction::Pool;
use crate::node::Node;
use crate::stats::Counters;
use crate::timing::{Asked, Timing};

/// What a worker has of its own: scratch memory, counts, randomness.
pub struct Worker {
    /// Its number, and its slot in the gate.
    pub index: usize,
    /// Both clocks, read when the turn began.
    pub now: Now,
    /// Counts since the last turn ended.
    pub counters: Counters,
    /// Random numbers.
    pub rng: fastrand::Rng,
    /// What replicas will be told.
    pub(crate) effects: Effects,
    batch: Batch,
    /// Keys that may go when memory is short.
    pub(crate) pool: Pool,
    /// The next request's first key, if it has been hashed ahead.
    pub(crate) hashed: Hashed,
    stream_seen: u64,
    /// How long requests take.
    pub(crate) timing: Timing,
}

impl Worker {
    /// Worker `index`, with a seed for its random numbers.
    pub fn new(index: usize, seed: u64) -> Worker {
        Worker {
            index,
            now: Now::default(),
            counters: Counters::default(),
            rng: fastrand::Rng::with_seed(seed),
            effects: Effects::default(),
            batch: Batch::default(),
            pool: Pool::default(),
            hashed: NO_HASH,
            stream_seen: 0,
            timing: Timing::default(),
        }
    }

    /// Whether the stream has grown since the last call.
    pub fn stream_moved(&mut self, node: &Node) -> bool {
        let end = node.stream.end().0;
        std::mem::replace(&mut self.stream_seen, end) != end
    }

    /// Whether it would be so now.
    pub fn is_behind_stream(&self, node: &Node) -> bool {
        node.stream.end().0 != self.stream_seen
    }

    /// Lends the scratch memory for parsed requests.
    pub fn take_batch(&mut self) -> Batch {
        std::mem::take(&mut self.batch)
    }

    /// Gives it back.
    pub fn give_batch(&mut self, batch: Batch) {
        self.batch = batch;
    }

    /// Ends a turn: what was counted is added to what INFO shows. Returns whether the dataset
    /// changed.
    pub fn end_turn(&mut self, node: &Node) -> bool {
        node.take_figures(&mut self.effects, &mut self.counters)
    }
}

impl Node {
    /// Adds a worker's figures to those of all; whether there were changes of the data.
    pub(crate) fn take_figures(&self, effects: &mut Effects, counters: &mut Counters) -> bool {
        let changes = effects.take_changes();
        if changes > 0 {
            self.persistence.changed(changes);
        }
        counters.publish(&self.stats);
        changes > 0
    }
}

/// Requests of one batch; more are parsed when these have run.
const BATCH_MAX: usize = 512;
/// An unfinished request's buffer larger than this is given back when it is empty.
const HELD_BYTES_KEPT: usize = 16 << 10;

impl Node {
    /// Takes bytes that a client sent, and runs every request that is complete.
    pub fn receive(&self, worker: &mut Worker, session: &mut Session, bytes: &[u8]) {
        session.client.info.last_active.store(worker.now.unix.0, Ordering::Relaxed);
        if session.client.listens
            && session.client.kind == Kind::Replica
            && bytes.iter().all(|byte| *byte == b'\n')
        {
            self.replica_lives(&session.client, worker.now);
        }
        if session.input.held.is_empty() && !session.is_stopped() {
            let kept = self.run_buffer(worker, session, bytes);
            session.input.held.extend_from_slice(&bytes[kept]);
        } else {
            session.input.held.extend_from_slice(bytes);
            if !session.is_stopped() {
                self.run_held(worker, session);
            }
        }
        self.input_taken(session);
    }

    /// A large argument that the server read into place is complete.
    pub fn large_arrived(&self, worker: &mut Worker, session: &mut Session) {
        let LargeArg { mut bytes, want } =
            session.input.large.take().expect("an argument was being read");
        assert_eq!(bytes.len(), want + 2);
        bytes.truncate(want);
        // It grew by doubling, and may stay as a value for long.
        bytes.shrink_to_fit();
        session.input.parser.put_large(bytes);
        session.client.info.last_active.store(worker.now.unix.0, Ordering::Relaxed);
        if !session.is_stopped() {
            self.run_held(worker, session);
        }
        self.input_taken(session);
    }

    /// Goes on with a client that has been let go.
    pub fn resume(&self, worker: &mut Worker, session: &mut Session) {
        assert!(session.client.blocked.is_none(), "only a client that is free can go on");
        session.client.info.set_flag(ClientFlags::BLOCKED, false);
        if let Some(args) = session.client.postponed.take() {
            let mut inside = Some(self.gate.enter(worker.index));
            // What the worker's last batch left behind is not about this request: a replica may
            // have come since, and another key may stand where one was hashed ahead.
            worker.effects.enabled = self.tells_replicas();
            worker.effects.client = session.client.info.id;
            worker.hashed = NO_HASH;
            self.begin_timing(worker);
            self.run_request(worker, session, args.as_args(), None, &mut inside);
            self.close_group(worker, session, args.as_args());
        }
        if !session.is_stopped() {
            self.run_held(worker, session);
        }
        self.input_taken(session);
    }

    /// Looks at what a client's unfinished requests have grown to; the server says when it has
    /// read a piece of a large argument into place.
    pub fn input_taken(&self, session: &mut Session) {
        let input = &mut session.input;
        if input.held.is_empty() && input.held.capacity() > HELD_BYTES_KEPT {
            input.held = Vec::new();
        }
        let queued = session.client.transaction.as_ref().map_or(0, |open| open.bytes);
        let large = input.large.as_ref().map_or(0, |large| large.bytes.len());
        let query = input.held.len() + large;
        // In a transaction what is queued counts too: it was the query buffer's a moment ago.
        if query > 0 && query + queued > self.query_buffer_max() {
            self.log(
                crate::node::Level::Warning,
                &format!(
                    "Closing client that reached max query buffer length: id={} addr={}",
                    session.client.info.id, session.client.info.addr
                ),
            );
            session.client.closing = true;
            session.out.clear();
        }
    }

    fn run_held(&self, worker: &mut Worker, session: &mut Session) {
        let mut held = std::mem::take(&mut session.input.held);
        let kept = self.run_buffer(worker, session, &held);
        held.truncate(kept.end);
        held.drain(..kept.start);
        session.input.held = held;
    }

    /// Runs what is complete in `buf`; returns the part of it that is still needed. What lies
    /// behind that part has become the beginning of a large argument.
    fn run_buffer(
        &self,
        worker: &mut Worker,
        session: &mut Session,
        buf: &[u8],
    ) -> std::ops::Range<usize> {
        let mut batch = std::mem::take(&mut worker.batch);
        let mut end_of_kept = buf.len();
        loop {
            let authenticated = session.client.authenticated || !self.acl.password_needed();
            let limits =
                Limits { bulk_bytes: self.bulk_bytes_max(), authenticated, ..Limits::default() };
            // What comes after AUTH may be longer than what may come before it.
            let most = if authenticated { BATCH_MAX } else { 1 };
            batch.clear();
            let end = session.input.parser.fill(buf, &mut batch, &limits, most);
            if !batch.is_empty() && !self.run_batch(worker, session, buf, &batch) {
                break;
            }
            match end {
                FillEnd::Full => continue,
                FillEnd::NeedMore => break,
                FillEnd::Large { bytes } => {
                    let at = session.input.parser.position();
                    let mut large = Vec::with_capacity((bytes + 2).min(LARGE_FIRST_BYTES));
                    large.extend_from_slice(&buf[at..]);
                    session.input.large = Some(LargeArg { bytes: large, want: bytes });
                    end_of_kept = at;
                    break;
                }
                FillEnd::Invalid(error) => {
                    session.out.error(format!("ERR {error}").as_bytes());
                    worker.counters.error_replies += 1;
                    self.meters.note_error(&ErrorReply::text("ERR"));
                    session.client.closing = true;
                    break;
                }
            }
        }
        worker.batch = batch;
        let done = session.input.parser.keep_from();
        session.input.parser.rebase(done);
        done..end_of_kept
    }

    /// Runs the requests of `batch`; false when the client stopped before the end.
    fn run_batch(
        &self,
        worker: &mut Worker,
        session: &mut Session,
        buf: &[u8],
        batch: &Batch,
    ) -> bool {
        let mut inside = Some(self.gate.enter(worker.index));
        worker.effects.enabled = self.tells_replicas();
        worker.effects.client = session.client.info.id;
        if session.client.listens {
            // What came before these requests is told before they are answered.
            self.catch_up(worker.index, &mut session.client, &mut session.out);
        }
        let mut window = [Ahead::NONE; WINDOW];
        self.begin_timing(worker);
        for index in 0..batch.len() {
            if index % WINDOW == 0 {
                window = self.look_ahead(session.client.db, buf, batch, index);
            }
            let Ahead { spec, hashed } = window[index % WINDOW];
            worker.hashed = hashed;
            let args = batch.args(index, buf);
            self.run_request(worker, session, args, spec, &mut inside);
            if session.is_stopped() {
                self.close_group(worker, session, args);
                session.input.parser.rewind(batch.end(index));
                return false;
            }
            if index + 1 == batch.len() {
                self.close_group(worker, session, args);
            }
        }
        true
    }

    /// Ends the group of requests that are timed together with the one just run.
    fn close_group(&self, worker: &mut Worker, session: &Session, args: Args<'_>) {
        let asked = Asked { client: &session.client, args };
        self.close_timing(&mut worker.timing, worker.index, worker.now, Some(asked));
    }
}

/// First allocation for a large argument; it grows as bytes arrive, so that a claimed length
/// costs nothing.
const LARGE_FIRST_BYTES: usize = 1 << 20;
