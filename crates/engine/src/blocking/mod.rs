//! Commands that wait: for keys (BLPOP and its kin) or for replicas (WAIT).
//!
//! ```text
//! command ─ nothing there ─► Waiter, in the queue of each of its keys ──► the client waits
//!                               │
//!    a write touches the key ─► ready ─► after the write's own effects, under its locks, the
//!                               │        queue's waiters are served in turn ─► reply by mail
//!                               └─ or: time over, CLIENT UNBLOCK, new role, gone (end.rs)
//! ```
//! A new blocking command is one function: it tries, and if there is nothing calls
//! [`Cx::wait_for_keys`] with a [`Wait`], whose `serve` is the same attempt on one key.
//!
//! Who serves is the worker that made the key ready, whoever owns the waiting client. A waiter
//! has one `State`, which leaves `Waiting` once, under the waiter's lock: so it is served or
//! called off, never both, and who is gone takes nothing with him. A queue is entered with the
//! key's stripe held, and a write looks into it with the same stripe held: no wake-up is lost.
//!
//! Locks are taken in this order: gate, stripes, a waiter's state, a part's queues.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hashbrown::HashMap;
use smallvec::SmallVec;
use tandem_base::{DbIndex, Mono, ReplOffset};
use tandem_resp::{Args, OutBuf, OwnedArgs, Proto};
use tandem_store::KeyHash;

use crate::client::{Blocked, Client, ClientFlags, ClientId, Kind, ReplyMode};
use crate::cx::Cx;
use crate::db::Db;
use crate::error::{ErrorReply, Outcome};
use crate::node::lock;
use crate::spec::Spec;

mod end;
mod serve;
pub mod timeout;

/// How an attempt to serve a waiting client went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Its reply has been written.
    Served,
    /// There is nothing here for this client: it waits on.
    NotYet,
}

/// What an attempt is given.
pub struct Serving<'s, 'a> {
    /// The client's database, with the key's stripe held.
    pub db: &'s mut Db<'a>,
    /// Where its reply goes.
    pub out: &'s mut OutBuf,
    /// Its request.
    pub args: Args<'s>,
    /// The key to try.
    pub key: &'s [u8],
}

/// Tries to serve a client from one key, and notes the effect as if the command that does not
/// block had come (BLPOP: LPOP). An error is the client's reply and ends its wait too.
pub type Serve = fn(&mut Serving<'_, '_>) -> Result<Turn, ErrorReply>;

/// What a blocking command waits for.
#[derive(Clone)]
pub struct Wait {
    /// The arguments that are the keys, any of which will do.
    pub keys: Range<usize>,
    /// An argument that is a further key which serving touches: where BLMOVE moves to.
    pub reaches: Option<usize>,
    /// The type of value that serves it, as TYPE says it; `None`: any.
    pub kind: Option<&'static str>,
    /// It is also tried when a key that it waits for is lost or holds another type (XREADGROUP).
    pub wakes_on_loss: bool,
    /// When to give up; `None`: never. See [`timeout`].
    pub until: Option<Mono>,
    /// The attempt.
    pub serve: Serve,
    /// The reply where blocking is not possible: inside MULTI.
    pub refused: fn(&mut OutBuf),
}

/// Why a wait ended without what it was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its time is over, or CLIENT UNBLOCK says so.
    Timeout,
    /// CLIENT UNBLOCK … ERROR.
    Unblocked,
    /// We have become a replica, or another master's.
    RoleChanged,
    /// The connection is gone.
    Gone,
}

/// What has become of a wait. Changed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// The reply is on its way by mail.
    Served,
    /// The client's worker says so when it looks.
    Over(Why),
}

/// One client's wait, shared by its worker, the queues and whoever calls it off.
pub struct Waiter {
    client: ClientId,
    /// The worker that owns the client.
    worker: usize,
    proto: Proto,
    what: What,
    state: Mutex<State>,
    /// Its command.
    spec: Option<&'static Spec>,
    /// What the command took before it made its client wait, in ns.
    own_ns: AtomicU64,
}

enum What {
    Keys(Keys),
    Replicas {
        /// What they must have.
        offset: ReplOffset,
        /// How many of them.
        count: usize,
    },
}

struct Keys {
    /// Rises in every queue from front to back.
    ticket: u64,
    db: DbIndex,
    args: OwnedArgs,
    /// Which arguments, each key once.
    keys: SmallVec<[(usize, KeyHash); 1]>,
    /// The stripe of [`Wait::reaches`].
    reaches: Option<u16>,
    wait: Wait,
}

/// A client's own half of its wait.
pub struct Waiting {
    waiter: Arc<Waiter>,
    /// When to give up.
    until: Option<Mono>,
    /// CLIENT REPLY says that the answer is not wanted.
    silent: bool,
}

impl Waiting {
    /// What the command took before its client came to wait; for its time as a whole.
    pub(crate) fn note_own_time(&self, ns: u64) {
        self.waiter.own_ns.store(ns, Ordering::Relaxed);
    }

    /// When to give up; `None`: never.
    pub fn until(&self) -> Option<Mono> {
        self.until
    }

    /// The offset that replicas must have, if this is WAIT.
    pub fn awaited_offset(&self) -> Option<ReplOffset> {
        match self.waiter.what {
            What::Replicas { offset, .. } => Some(offset),
            What::Keys(_) => None,
        }
    }
}

/// An answer on its way to a client that waited.
pub struct Answer {
    out: OutBuf,
    /// The stream's end after what was done for it.
    seen: Option<ReplOffset>,
}

#[cfg(test)]
impl Answer {
    /// The reply as text.
    fn text(&self) -> String {
        String::from_utf8(self.out.to_vec()).expect("tests have no other")
    }
}

/// A key that clients wait for was touched.
#[derive(Debug)]
pub(crate) struct ReadyKey {
    db: DbIndex,
    key: Box<[u8]>,
    hash: KeyHash,
}

/// Keys in the order in which they became ready; kept with the effects of the running command.
pub(crate) type Ready = VecDeque<ReadyKey>;

type Queue = VecDeque<Arc<Waiter>>;
/// The queues of the keys of one name, by database; none is empty.
type OfKey = SmallVec<[(DbIndex, Queue); 1]>;

/// All who wait.
pub struct Blocking {
    /// Waiters in queues of keys. While it is 0 a touched key costs one load.
    count: AtomicUsize,
    /// Those of them that are tried when a key is lost too.
    wake_on_loss: AtomicUsize,
    next_ticket: AtomicU64,
    /// By stripe of the key.
    parts: Box<[Part]>,
    /// Those in WAIT.
    for_replicas: Mutex<Vec<Arc<Waiter>>>,
    replica_waits: AtomicUsize,
    /// Waits that end at some time.
    timed: AtomicUsize,
}

/// The queues of one stripe's keys.
#[derive(Default)]
struct Part {
    /// Entries in its queues, to be read without the lock.
    waiting: AtomicU32,
    /// Length of `reaches`, the same.
    reaching: AtomicU32,
    queues: Mutex<Queues>,
}

#[derive(Default)]
struct Queues {
    by_key: HashMap<Box<[u8]>, OfKey, foldhash::fast::RandomState>,
    /// Stripes that serving waiters of this stripe touches, with repeats.
    reaches: Vec<u16>,
}

impl Queues {
    fn queue(&mut self, db: DbIndex, key: &[u8]) -> Option<&mut Queue> {
        let queues = self.by_key.get_mut(key)?;
        queues.iter_mut().find(|(index, _)| *index == db).map(|(_, queue)| queue)
    }
}

impl Waiter {
    /// The command that waits.
    pub(crate) fn spec(&self) -> Option<&'static Spec> {
        self.spec
    }

    /// What it took before it waited, in ns.
    pub(crate) fn own_ns(&self) -> u64 {
        self.own_ns.load(Ordering::Relaxed)
    }

    /// The worker that owns its client.
    pub(crate) fn worker(&self) -> usize {
        self.worker
    }

    /// Its client.
    pub(crate) fn client(&self) -> ClientId {
        self.client
    }

    /// Its words; WAIT's are not kept.
    pub(crate) fn args(&self) -> Option<Args<'_>> {
        match &self.what {
            What::Keys(keys) => Some(keys.args.as_args()),
            What::Replicas { .. } => None,
        }
    }

    fn keys(&self) -> &Keys {
        match &self.what {
            What::Keys(keys) => keys,
            What::Replicas { .. } => panic!("only who waits for keys stands in a queue of one"),
        }
    }
}

impl Blocking {
    /// Nobody waits for a key of any of `stripes` stripes.
    pub(crate) fn new(stripes: u32) -> Blocking {
        Blocking {
            count: AtomicUsize::new(0),
            wake_on_loss: AtomicUsize::new(0),
            next_ticket: AtomicU64::new(1),
            parts: (0..stripes).map(|_| Part::default()).collect(),
            for_replicas: Mutex::default(),
            replica_waits: AtomicUsize::new(0),
            timed: AtomicUsize::new(0),
        }
    }

    /// Waits that end at some time.
    pub fn timed(&self) -> usize {
        self.timed.load(Ordering::Relaxed)
    }

    /// Whether anybody waits for a key. Who holds a stripe sees at least those who wait for a
    /// key of that stripe.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) != 0
    }

    /// Notes that `key`, whose stripe is held, was touched, if somebody waits for it.
    #[cold]
    pub(crate) fn mark(&self, db: DbIndex, key: &[u8], hash: KeyHash, ready: &mut Ready) {
        let part = &self.parts[usize::from(hash.stripe)];
        if part.waiting.load(Ordering::Relaxed) == 0
            || lock(&part.queues).queue(db, key).is_none()
            || ready.iter().any(|known| known.db == db && *known.key == *key)
        {
            return;
        }
        ready.push_back(ReadyKey { db, key: key.into(), hash });
    }

    /// Notes every key of a database of `which` that somebody waits for, who has waited longest
    /// first: the whole database has changed. The keyspace must be held alone.
    pub(crate) fn mark_databases(&self, which: impl Fn(DbIndex) -> bool, ready: &mut Ready) {
        if !self.any() {
            return;
        }
        let mut found = Vec::new();
        for (stripe, part) in self.parts.iter().enumerate() {
            for (key, queues) in &lock(&part.queues).by_key {
                for (db, queue) in queues.iter().filter(|(db, _)| which(*db)) {
                    let first = queue.front().expect("an empty queue is struck").keys().ticket;
                    found.push((first, *db, key.clone(), stripe));
                }
            }
        }
        found.sort_unstable_by_key(|(ticket, ..)| *ticket);
        for (ticket, db, key, stripe) in found {
            let waiter = self.first_at(stripe, db, &key).expect("nobody else is inside");
            let keys = waiter.keys();
            assert_eq!(keys.ticket, ticket);
            let hash = keys.hash_of(&key).expect("it waits for that key");
            ready.push_back(ReadyKey { db, key, hash });
        }
    }

    fn first_at(&self, stripe: usize, db: DbIndex, key: &[u8]) -> Option<Arc<Waiter>> {
        lock(&self.parts[stripe].queues).queue(db, key)?.front().cloned()
    }

    /// The first waiter behind `ticket` in a key's queue.
    fn next(&self, ready: &ReadyKey, ticket: u64) -> Option<Arc<Waiter>> {
        let mut queues = lock(&self.parts[usize::from(ready.hash.stripe)].queues);
        let queue = queues.queue(ready.db, &ready.key)?;
        queue.get(queue.partition_point(|waiter| waiter.keys().ticket <= ticket)).cloned()
    }

    /// Puts a waiter into the queues of its keys, whose stripes must be held.
    fn enter(&self, waiter: &Arc<Waiter>) {
        let keys = waiter.keys();
        self.count.fetch_add(1, Ordering::Relaxed);
        self.wake_on_loss.fetch_add(keys.wait.wakes_on_loss.into(), Ordering::Relaxed);
        for &(at, hash) in &keys.keys {
            let key = keys.args.as_args().get(at);
            let part = &self.parts[usize::from(hash.stripe)];
            let mut queues = lock(&part.queues);
            let of_key = queues.by_key.entry(key.into()).or_default();
            match of_key.iter_mut().find(|(db, _)| *db == keys.db) {
                Some((_, queue)) => queue.push_back(Arc::clone(waiter)),
                None => of_key.push((keys.db, Queue::from([Arc::clone(waiter)]))),
            }
            part.waiting.fetch_add(1, Ordering::Relaxed);
            if let Some(stripe) = keys.reaches {
                queues.reaches.push(stripe);
                part.reaching.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Takes a waiter, whose state has just left `Waiting`, out of where it stands.
    fn strike(&self, waiter: &Arc<Waiter>) {
        let keys = match &waiter.what {
            What::Keys(keys) => keys,
            What::Replicas { .. } => {
                let mut all = lock(&self.for_replicas);
                let at = all.iter().position(|other| Arc::ptr_eq(other, waiter));
                all.remove(at.expect("a wait ends once"));
                self.replica_waits.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        };
        for &(at, hash) in &keys.keys {
            let key = keys.args.as_args().get(at);
            let part = &self.parts[usize::from(hash.stripe)];
            let mut queues = lock(&part.queues);
            let queue = queues.queue(keys.db, key).expect("a wait ends once");
            let place = queue
                .binary_search_by_key(&keys.ticket, |waiter| waiter.keys().ticket)
                .expect("a wait ends once");
            queue.remove(place);
            if queue.is_empty() {
                let of_key = queues.by_key.get_mut(key).expect("just seen");
                of_key.retain(|(_, queue)| !queue.is_empty());
                if of_key.is_empty() {
                    queues.by_key.remove(key);
                }
            }
            part.waiting.fetch_sub(1, Ordering::Relaxed);
            if let Some(stripe) = keys.reaches {
                let place = queues.reaches.iter().position(|&other| other == stripe);
                queues.reaches.swap_remove(place.expect("entered with the waiter"));
                part.reaching.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.wake_on_loss.fetch_sub(keys.wait.wakes_on_loss.into(), Ordering::Relaxed);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Everybody who waits.
    fn all(&self) -> Vec<Arc<Waiter>> {
        let mut all = lock(&self.for_replicas).clone();
        for part in &self.parts {
            let queues = lock(&part.queues);
            let queues = queues.by_key.values().flatten();
            all.extend(queues.flat_map(|(_, queue)| queue).cloned());
        }
        all
    }
}

impl Keys {
    fn hash_of(&self, key: &[u8]) -> Option<KeyHash> {
        let args = self.args.as_args();
        self.keys.iter().find(|(at, _)| args.get(*at) == key).map(|(_, hash)| *hash)
    }
}

impl Cx<'_> {
    /// Whether a command may make its client wait: not inside MULTI, not for our master, and not
    /// for a replica, whose connection has no place for an answer.
    pub fn may_block(&self) -> bool {
        !self.in_exec && self.client.kind != Kind::Replica
    }

    /// There is nothing yet: the client waits for one of the keys in `args`, as `wait` says.
    /// Their stripes, and that of a key beyond, must be held.
    pub fn wait_for_keys(&mut self, args: OwnedArgs, wait: Wait) -> Outcome {
        if !self.may_block() {
            (wait.refused)(self.out);
            return Ok(());
        }
        let mut keys: SmallVec<[(usize, KeyHash); 1]> = SmallVec::new();
        let words = args.as_args();
        for at in wait.keys.clone() {
            let key = words.get(at);
            if keys.iter().all(|&(other, _)| words.get(other) != key) {
                keys.push((at, self.node.keyspace.hash(key)));
            }
        }
        let reaches = wait.reaches.map(|at| self.node.keyspace.hash(words.get(at)).stripe);
        for stripe in keys.iter().map(|(_, hash)| hash.stripe).chain(reaches) {
            // Asserts that it is held: only so can no wake-up come before we stand in the queue.
            self.db.held.stripe(stripe);
        }
        let ticket = self.node.blocking.next_ticket.fetch_add(1, Ordering::Relaxed);
        let until = wait.until;
        let what = What::Keys(Keys { ticket, db: self.db.index, args, keys, reaches, wait });
        let blocking = &self.node.blocking;
        self.begin_wait(what, until, |waiter| blocking.enter(waiter));
        Ok(())
    }

    /// The client waits until `count` replicas have acknowledged `offset`.
    pub(crate) fn wait_for_replicas(
        &mut self,
        offset: ReplOffset,
        count: usize,
        until: Option<Mono>,
    ) {
        let blocking = &self.node.blocking;
        self.begin_wait(What::Replicas { offset, count }, until, |waiter| {
            blocking.replica_waits.fetch_add(1, Ordering::Relaxed);
            lock(&blocking.for_replicas).push(Arc::clone(waiter));
        });
        // They may have acknowledged it since they were counted.
        self.node.serve_acked();
    }

    /// `enter` puts the waiter where it stands. Who finds it by its client, to end the wait, finds
    /// it there.
    fn begin_wait(&mut self, what: What, until: Option<Mono>, enter: impl FnOnce(&Arc<Waiter>)) {
        let Client { info, reply_mode, blocked, .. } = &mut *self.client;
        assert!(blocked.is_none(), "a client waits for one thing at a time");
        let waiter = Arc::new(Waiter {
            client: info.id,
            worker: info.worker,
            proto: self.out.proto,
            what,
            state: Mutex::new(State::Waiting),
            spec: info.last_command(),
            own_ns: AtomicU64::new(0),
        });
        let silent = matches!(reply_mode, ReplyMode::Off | ReplyMode::SkipThis);
        *blocked = Some(Blocked::Waiting(Waiting { waiter: Arc::clone(&waiter), until, silent }));
        if until.is_some() {
            self.node.blocking.timed.fetch_add(1, Ordering::Relaxed);
        }
        let mut of_client = lock(&info.waiter);
        enter(&waiter);
        *of_client = Some(waiter);
        drop(of_client);
        info.set_flag(ClientFlags::BLOCKED, true);
    }
}

#[cfg(test)]
mod tests;
