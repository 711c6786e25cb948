//! What a writable replica expires by itself: keys to which its own clients gave an expiry.
//!
//! The master's keys go when the master says so. Of a key that a client wrote here the master
//! knows nothing, so it is noted when it gets its expiry, and deleted when that has come; nobody
//! is told. While there are no such keys, which is nearly always, nothing here costs anything.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use hashbrown::HashMap;
use tandem_base::{DbIndex, Now, UnixMs};

use crate::intake::Worker;
use crate::node::{Node, lock};
use crate::notify::Events;

/// Keys looked at in one go.
const KEYS_A_TURN: usize = 1000;

/// Keys with an expiry that our own clients gave them while we are a replica.
#[derive(Default)]
pub struct OwnExpiry {
    count: AtomicUsize,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    at: HashMap<(DbIndex, Box<[u8]>), UnixMs>,
    /// The same, soonest first.
    order: BTreeSet<(UnixMs, DbIndex, Box<[u8]>)>,
}

impl OwnExpiry {
    fn keys(&self) -> MutexGuard<'_, Keys> {
        lock(&self.keys)
    }

    /// How many keys are noted.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Notes that `key` is to go after `at`.
    pub fn note(&self, db: DbIndex, key: &[u8], at: UnixMs) {
        let Keys { at: known, order } = &mut *self.keys();
        let key: Box<[u8]> = key.into();
        if let Some(old) = known.insert((db, key.clone()), at) {
            order.remove(&(old, db, key.clone()));
        }
        order.insert((at, db, key));
        self.count.store(order.len(), Ordering::Relaxed);
    }

    /// Takes a key out whose time has come.
    fn take_due(&self, now: UnixMs) -> Option<(DbIndex, Box<[u8]>)> {
        let Keys { at: known, order } = &mut *self.keys();
        let (_, db, key) = order.first().filter(|(at, ..)| *at < now)?.clone();
        order.pop_first();
        known.remove(&(db, key.clone()));
        self.count.store(order.len(), Ordering::Relaxed);
        Some((db, key))
    }

    /// Forgets all: we are no replica, or have other data.
    pub fn clear(&self) {
        *self.keys() = Keys::default();
        self.count.store(0, Ordering::Relaxed);
    }
}

impl Node {
    /// Deletes what is due of the keys that our own clients gave an expiry. A master deletes all
    /// that is due anyway.
    pub(crate) fn expire_own(&self, worker: &mut Worker) {
        if self.own_expiry.is_empty() {
            return;
        }
        let now = worker.now;
        for _ in 0..KEYS_A_TURN {
            let inside = self.gate.enter(worker.index);
            if !self.is_replica() {
                self.own_expiry.clear();
                return;
            }
            let Some((db, key)) = self.own_expiry.take_due(now.unix) else { return };
            self.expire_one(worker, db, &key, now);
            drop(inside);
            if !worker.effects.ready.is_empty() {
                self.serve_ready_later(worker);
            }
        }
    }

    fn expire_one(&self, worker: &mut Worker, db: DbIndex, key: &[u8], now: Now) {
        let hash = self.keyspace.hash(key);
        let mut stripe = self.keyspace.lock(hash.stripe);
        match stripe.get(db, key, hash).and_then(|entry| entry.expiry()) {
            Some(at) if at < now.unix => {
                if let Some(gone) = stripe.take(db, key, hash) {
                    self.free(gone, || self.config().lazyfree_lazy_expire());
                }
                self.stats.expired_keys.fetch_add(1, Ordering::Relaxed);
                self.vanished(Events::EXPIRED, "expired", (db, key, hash), 0);
                if self.blocking.any() {
                    self.blocking.mark(db, key, hash, &mut worker.effects.ready);
                }
            }
            // Somebody has given it another time, without our noticing: the master.
            Some(later) => self.own_expiry.note(db, key, later),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::script::Shell;

    fn writable_replica() -> Shell {
        let mut shell = Shell::new();
        shell.run("SET masters 1 PX 50");
        shell.run("REPLICAOF 127.0.0.1 1");
        assert_eq!(shell.run("CONFIG SET replica-read-only no"), "+OK");
        shell
    }

    #[test]
    fn a_writable_replica_deletes_its_own_keys_and_no_others() {
        let mut shell = writable_replica();
        shell.run("SET string v PX 50");
        shell.run("HSET hash a 1");
        shell.run("PEXPIRE hash 50");
        shell.run("SET later v PX 50");
        shell.run("PEXPIRE later 500");
        shell.run("SET kept v PX 50");
        shell.run("PERSIST kept");
        assert_eq!(shell.node.own_expiry.len(), 4);
        assert!(shell.run("INFO stats").contains("slave_expires_tracked_keys:4"));
        shell.cron();
        assert_eq!(shell.run("DBSIZE"), ":5");
        shell.advance_ms(51);
        shell.cron();
        assert_eq!(shell.run("DBSIZE"), ":3", "the master's, the later and the kept one");
        assert_eq!(shell.node.own_expiry.len(), 1);
        shell.advance_ms(450);
        shell.cron();
        assert_eq!(shell.run("DBSIZE"), ":2");
        assert!(shell.node.own_expiry.is_empty());
    }

    #[test]
    fn writing_to_what_has_expired_begins_anew() {
        let mut shell = writable_replica();
        shell.run("HSET hash a 1");
        shell.run("PEXPIRE hash 50");
        shell.advance_ms(51);
        assert_eq!(shell.run("HGETALL hash"), "[]");
        assert_eq!(shell.run("HSET hash b 2"), ":1");
        assert_eq!(shell.run("HGETALL hash"), "[\"b\" \"2\"]");
        assert_eq!(shell.run("PTTL hash"), ":-1");
        assert_eq!(shell.run("APPEND masters x"), ":1");
        shell.cron();
        assert_eq!(shell.run("DBSIZE"), ":2");
    }

    #[test]
    fn what_is_restored_goes_when_its_time_has_come() {
        let mut shell = writable_replica();
        shell.run("HSET hash a 1");
        let hash = shell.node.keyspace.hash(b"hash");
        let db = tandem_base::DbIndex(0);
        let payload = {
            let stripe = shell.node.keyspace.lock(hash.stripe);
            let entry = stripe.get(db, b"hash", hash).expect("just set");
            tandem_store::rdb::dump::dump(entry.value(), false)
        };
        assert_eq!(shell.run_args(&[b"RESTORE", b"restored", b"50", &payload]), "+OK");
        assert_eq!(shell.node.own_expiry.len(), 1);
        shell.advance_ms(51);
        shell.cron();
        assert_eq!(shell.run("DBSIZE"), ":2", "the master's key and the hash without an expiry");
    }

    #[test]
    fn a_master_notes_nothing() {
        let mut shell = Shell::new();
        shell.run("SET k v PX 50");
        assert!(shell.node.own_expiry.is_empty());
        let mut shell = writable_replica();
        shell.run("SET k v PX 50");
        shell.run("REPLICAOF NO ONE");
        shell.cron();
        assert!(shell.node.own_expiry.is_empty());
    }
}
