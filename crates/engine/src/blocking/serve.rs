//! Serving who waits, by the worker whose command made the key ready.
//!
//! It happens after the command's own effects (after a transaction's EXEC) and under its locks,
//! so that nobody can come between; what serving does follows in the stream at once. Where a
//! waiter reaches for another key (BLMOVE), that key's stripe is locked with the command's own
//! from the start: [`Node::lock_stripes`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;
use tandem_base::{DbIndex, ReplOffset};
use tandem_resp::OutBuf;

use super::{Answer, Blocking, Keys, ReadyKey, Serving, State, Turn, Waiter, What};
use crate::ahead::NO_HASH;
use crate::db::{Db, Source};
use crate::intake::Worker;
use crate::locks::Held;
use crate::node::{Mail, Node, ToClient, lock};

impl Node {
    /// Locks `stripes`, in any order and with repeats, and with them what serving those who
    /// wait for their keys will touch.
    pub(crate) fn lock_stripes(&self, stripes: &mut SmallVec<[u16; 16]>) -> Held<'_> {
        loop {
            let held = Held::lock(&self.keyspace, stripes);
            // Who holds a stripe sees all who wait for its keys, and no more can come.
            if !self.blocking.any() || !self.blocking.widen(stripes) {
                return held;
            }
            drop(held);
        }
    }

    /// Whether serving those who wait for keys of `stripe`, which is held, takes more stripes.
    #[inline]
    pub(crate) fn serving_reaches_beyond(&self, stripe: u16) -> bool {
        self.blocking.any()
            && self.blocking.parts[usize::from(stripe)].reaching.load(Ordering::Relaxed) != 0
    }

    /// Serves those who wait for the keys that a command has made ready. The command's effects
    /// have been appended and its keys are still held.
    #[cold]
    pub(crate) fn serve_ready(&self, db: &mut Db<'_>) {
        let (index, source) = (db.index, db.source);
        // Even if it was the master that made them ready, it is clients who are served.
        db.source = Source::Client;
        db.hashed = NO_HASH;
        if matches!(db.held, Held::Nothing) {
            // A walk, which holds nothing in the end, found keys that had expired.
            let mut stripes = db.effects.ready.iter().map(|ready| ready.hash.stripe).collect();
            db.held = db.node.lock_stripes(&mut stripes);
        }
        // Serving may make further keys ready.
        while let Some(ready) = db.effects.ready.pop_front() {
            db.index = ready.db;
            self.serve_key(db, &ready);
        }
        (db.index, db.source) = (index, source);
    }

    /// The same for keys that were made ready while nothing is held any more.
    #[cold]
    pub(crate) fn serve_ready_later(&self, worker: &mut Worker) {
        let _inside = self.gate.enter(worker.index);
        worker.effects.enabled = self.tells_replicas();
        self.serve_ready_between(worker);
    }

    /// The same inside the gate, before a command.
    #[cold]
    pub(crate) fn serve_ready_between(&self, worker: &mut Worker) {
        let Worker { now, counters, effects, .. } = worker;
        self.serve_ready(&mut Db {
            node: self,
            held: Held::Nothing,
            effects,
            counters,
            now: *now,
            index: DbIndex(0),
            source: Source::Client,
            hashed: NO_HASH,
        });
    }

    fn serve_key(&self, db: &mut Db<'_>, ready: &ReadyKey) {
        let mut ticket = 0;
        // Looks again each time: who was served may have left nothing.
        while let Some(waiter) = self.blocking.next(ready, ticket) {
            let keys = waiter.keys();
            ticket = keys.ticket;
            let kind = db.peek(&ready.key).map(|entry| entry.type_name());
            if kind.is_none() && self.blocking.wake_on_loss.load(Ordering::Relaxed) == 0 {
                break;
            }
            if keys.wants(kind) {
                self.serve(db, &waiter, keys, &ready.key);
            }
        }
        // A key whose time had come was deleted.
        if !db.effects.is_empty() {
            db.effects.flush(&self.stream, None, true);
        }
    }

    fn serve(&self, db: &mut Db<'_>, waiter: &Arc<Waiter>, keys: &Keys, key: &[u8]) {
        let mut state = lock(&waiter.state);
        if *state != State::Waiting {
            return;
        }
        if !db.effects.is_empty() {
            db.effects.flush(&self.stream, None, true);
        }
        db.effects.begin_command();
        let mut out = OutBuf::new(waiter.proto);
        let args = keys.args.as_args();
        let began_ns = self.host.clock_ns();
        let result = (keys.wait.serve)(&mut Serving { db, out: &mut out, args, key });
        let failed = result.is_err();
        match result {
            Ok(Turn::NotYet) => return,
            Ok(Turn::Served) => {}
            Err(error) => {
                db.counters.error_replies += 1;
                self.meters.note_error(&error);
                out.clear();
                out.error(&error.to_bytes());
            }
        }
        *state = State::Served;
        drop(state);
        self.blocking.strike(waiter);
        let serving_ns = self.host.clock_ns().saturating_sub(began_ns);
        self.note_unblocked(waiter, serving_ns, failed, db.now.unix);
        if !db.effects.is_empty() {
            db.effects.flush(&self.stream, None, false);
        }
        self.answer(waiter, out, Some(self.stream.end()));
    }

    fn answer(&self, waiter: &Waiter, out: OutBuf, seen: Option<ReplOffset>) {
        let answer = ToClient::Answer(Box::new(Answer { out, seen }));
        self.mail(waiter.worker, Mail::ToClient(waiter.client, answer));
    }

    /// Answers those in WAIT whose replicas have what they wait for.
    pub(crate) fn serve_acked(&self) {
        if self.blocking.replica_waits.load(Ordering::Relaxed) == 0 {
            return;
        }
        let all = lock(&self.blocking.for_replicas).clone();
        for waiter in all {
            let What::Replicas { offset, count } = waiter.what else {
                panic!("only WAIT waits here");
            };
            let acked = self.acked_count(offset);
            let mut state = lock(&waiter.state);
            if acked < count || *state != State::Waiting {
                continue;
            }
            *state = State::Served;
            drop(state);
            self.blocking.strike(&waiter);
            let mut out = OutBuf::new(waiter.proto);
            out.count(acked);
            self.answer(&waiter, out, None);
        }
    }
}

impl Keys {
    /// Whether an attempt makes sense on a key that holds a value of type `kind`, or none.
    fn wants(&self, kind: Option<&str>) -> bool {
        let fits = kind.is_some_and(|kind| self.wait.kind.is_none_or(|wanted| wanted == kind));
        fits || self.wait.wakes_on_loss
    }
}

impl Blocking {
    /// Adds to `stripes` what serving waiters of their keys touches, and what serving those it
    /// makes ready touches; whether that was more.
    #[cold]
    fn widen(&self, stripes: &mut SmallVec<[u16; 16]>) -> bool {
        let before = stripes.len();
        let mut at = 0;
        while at < stripes.len() {
            let part = &self.parts[usize::from(stripes[at])];
            if part.reaching.load(Ordering::Relaxed) != 0 {
                for &stripe in &lock(&part.queues).reaches {
                    if !stripes.contains(&stripe) {
                        stripes.push(stripe);
                    }
                }
            }
            at += 1;
        }
        stripes.len() > before
    }
}
