//! What time brings, whether or not anybody asks: expiry, replication's housekeeping, saves.
//!
//! The server calls [`Node::cron`] from a thread of its own, often; nothing here takes long, and
//! no stripe is held for more than a few keys. While nobody does anything [`Node::cron_rest_ms`]
//! says how long nothing will be due.

use std::sync::atomic::Ordering;

use tandem_base::{Mono, Now, UnixMs};

use crate::config::without_effect_line;
use crate::db::deletion;
use crate::intake::Worker;
use crate::node::{Level, Mail, Node, Refusals};
use crate::notify::Events;
use crate::tracking::BROADCASTER;

/// How long expired keys are deleted before the rest of what time brings has its turn.
const EXPIRE_BUDGET_NS: u64 = 50_000_000;
/// Keys deleted from one stripe before it is let go.
const KEYS_A_LOCK: usize = 32;
/// Blocks of the stream given back at a time.
const TRIM_BLOCKS: usize = 64;

/// How often [`Node::cron`] is called while anything goes on: expiry is exact to this.
pub const CRON_MS: u64 = 10;
/// How often it is called while nothing does: rates are sampled so often.
pub const CRON_REST_MS: u64 = 100;

/// When what is due next.
#[derive(Debug, Default)]
pub struct Cron {
    next_slow: Mono,
    next_sample: Mono,
    next_sync: Mono,
    /// The stripe whose expired keys come next, where the last turn's time was over.
    next_stripe: u32,
    /// More of the stream may be given back.
    trims: bool,
}

impl Node {
    /// Does what is due. `worker` is the caller's own, with a gate slot of its own.
    pub fn cron(&self, worker: &mut Worker, cron: &mut Cron) {
        let now = worker.now;
        self.recent_unix_ms.store(now.unix.0, Ordering::Relaxed);
        self.recent_mono.store(now.mono.0, Ordering::Relaxed);
        self.keyspace.set_access_time(now.unix);
        if self.levers.cron_paused.load(Ordering::Relaxed) {
            return;
        }
        self.end_pauses(now);
        self.expire_due(worker, cron);
        self.go_on_evicting(worker);
        self.free_overwritten();
        if cron.next_sync <= now.mono {
            cron.next_sync = now.mono.plus_ms(CRON_MS);
            self.start_due_sync(now);
            // What replicas have read of a burst goes soon, though nothing is appended.
            cron.trims = self.trim_stream(TRIM_BLOCKS);
        }
        if cron.next_sample <= now.mono {
            cron.next_sample = now.mono.plus_ms(CRON_REST_MS);
            self.meters.sample(now, &self.stats);
        }
        self.shutdown_cron(now);
        if self.gate.is_shut() {
            return;
        }
        if cron.next_slow <= now.mono {
            cron.next_slow = now.mono.plus_ms(1000);
            self.master_cron(worker);
            self.save_if_due(now);
        }
        worker.end_turn(self);
        // In the middle of a command it would tell of a part of its keys.
        if self.tracking.has_news() {
            self.host.wake(BROADCASTER);
        }
    }

    /// How long [`Node::cron`] has nothing to do if nobody does anything meanwhile: from
    /// [`CRON_MS`] to [`CRON_REST_MS`].
    ///
    /// To be asked after everything that others have done is visible to the caller; a command, or
    /// anything else on a worker, makes the answer worthless.
    pub fn cron_rest_ms(&self, now: Now, cron: &Cron) -> u64 {
        let watches = cron.trims
            || self.pause_end().is_some()
            || self.shutdown.ends_in_ms(now).is_some()
            || self.refusals().contains(Refusals::LOADING)
            || !self.own_expiry.is_empty()
            || self.replica_waits_for_start();
        if watches {
            return CRON_MS;
        }
        let mut rest_ms = cron.next_sample.ms_since(now.mono);
        if let Some(at) = self.next_deletion() {
            // One more: the clock's milliseconds do not begin with those of the wait.
            let left_ms = at.0.saturating_sub(now.unix.0).saturating_add(1);
            rest_ms = rest_ms.min(u64::try_from(left_ms).unwrap_or(0));
        }
        rest_ms.clamp(CRON_MS, CRON_REST_MS)
    }

    /// When the next key is to be deleted by our own clock.
    fn next_deletion(&self) -> Option<UnixMs> {
        if self.is_replica() || !self.active_expire.load(Ordering::Relaxed) {
            return None;
        }
        let stripes = 0..self.keyspace.stripe_count();
        stripes
            .filter_map(|stripe| {
                self.keyspace.next_expiry(u16::try_from(stripe).expect("at most 2^16 stripes"))
            })
            .min()
    }

    /// Deletes the keys whose time has come, as many as there is time for, and tells replicas.
    fn expire_due(&self, worker: &mut Worker, cron: &mut Cron) {
        let now = worker.now;
        if self.is_paused_for_writes(now)
            || self.refusals().contains(Refusals::LOADING)
            || !self.active_expire.load(Ordering::Relaxed)
        {
            return;
        }
        self.expire_own(worker);
        if self.is_replica() {
            return;
        }
        let began_ns = self.host.clock_ns();
        let took_ns = || self.host.clock_ns().saturating_sub(began_ns);
        let mut any = false;
        let stripes = self.keyspace.stripe_count();
        let first = std::mem::take(&mut cron.next_stripe);
        'sweep: for stripe in (first..stripes).chain(0..first) {
            let number = u16::try_from(stripe).expect("at most 2^16 stripes");
            while self.keyspace.next_expiry(number).is_some_and(|at| at <= now.unix) {
                let expired = self.expire_stripe(worker, number, now);
                if !worker.effects.ready.is_empty() {
                    self.serve_ready_later(worker);
                }
                if expired == 0 {
                    break;
                }
                any = true;
                if took_ns() > EXPIRE_BUDGET_NS {
                    cron.next_stripe = stripe;
                    break 'sweep;
                }
            }
        }
        if any {
            let took_ns = took_ns();
            worker.counters.expire_cycle_us += took_ns / 1000;
            self.monitor.event("expire-cycle", took_ns, now.unix);
        }
        if any && self.stream.is_active() {
            self.mail_all(|| Mail::StreamGrew);
        }
    }

    /// Deletes a few due keys of one stripe; returns how many.
    fn expire_stripe(&self, worker: &mut Worker, stripe: u16, now: Now) -> usize {
        let _inside = self.gate.enter(worker.index);
        // What was asked before may have changed before the gate was passed.
        if self.is_replica()
            || self.is_paused_for_writes(now)
            || !self.active_expire.load(Ordering::Relaxed)
        {
            return 0;
        }
        let mut count = 0;
        let mut keys = Vec::new();
        let lazily = self.config().lazyfree_lazy_expire();
        let databases = self.keyspace.lock(stripe).databases();
        for db in databases {
            let mut held = self.keyspace.lock(stripe);
            keys.clear();
            held.expired(db, now.unix, KEYS_A_LOCK, &mut keys);
            if keys.is_empty() {
                continue;
            }
            worker.effects.enabled = self.stream.is_active();
            for key in &keys {
                let hash = self.keyspace.hash(key);
                if let Some(gone) = held.take(db, key, hash) {
                    self.stats.expired_keys.fetch_add(1, Ordering::Relaxed);
                    self.free(gone, || lazily);
                    self.vanished(Events::EXPIRED, "expired", (db, key, hash), 0);
                    count += 1;
                    worker.effects.begin_command();
                    worker.effects.send_also(db, &[deletion(lazily), key]);
                    if self.blocking.any() {
                        self.blocking.mark(db, key, hash, &mut worker.effects.ready);
                    }
                }
            }
            worker.effects.flush(&self.stream, None, true);
        }
        count
    }

    /// Logs what is accepted without effect; at start.
    pub fn log_directives_without_effect(&self) {
        for directive in self.config().without_effect() {
            self.log(Level::Warning, &without_effect_line(directive));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::script::Shell;

    /// What is asked of a server after its cron has run.
    fn rest_ms(shell: &mut Shell, cron: &mut Cron) -> u64 {
        shell.node.cron(&mut shell.worker, cron);
        shell.node.cron_rest_ms(shell.worker.now, cron)
    }

    #[test]
    fn nothing_is_due_where_nothing_goes_on() {
        let (mut shell, mut cron) = (Shell::new(), Cron::default());
        assert_eq!(rest_ms(&mut shell, &mut cron), CRON_REST_MS);
        shell.advance_ms(30);
        assert_eq!(rest_ms(&mut shell, &mut cron), CRON_REST_MS - 30, "rates are sampled");
    }

    #[test]
    fn a_key_that_expires_soon_is_waited_for() {
        let (mut shell, mut cron) = (Shell::new(), Cron::default());
        shell.run("SET late v EX 100");
        assert_eq!(rest_ms(&mut shell, &mut cron), CRON_REST_MS);
        shell.run("SET soon v PX 40");
        assert_eq!(rest_ms(&mut shell, &mut cron), 41);
        shell.advance_ms(35);
        assert_eq!(rest_ms(&mut shell, &mut cron), CRON_MS, "not less");
        shell.run("DEBUG SET-ACTIVE-EXPIRE 0");
        assert_eq!(rest_ms(&mut shell, &mut cron), CRON_REST_MS - 35, "nobody deletes it");
        shell.run("DEBUG SET-ACTIVE-EXPIRE 1");
        shell.advance_ms(6);
        assert_eq!(rest_ms(&mut shell, &mut cron), CRON_REST_MS - 41);
        assert_eq!(shell.run("DBSIZE"), ":1");
    }

    #[test]
    fn what_has_no_time_of_its_own_is_looked_at_often() {
        let (mut shell, mut cron) = (Shell::new(), Cron::default());
        shell.run("CLIENT PAUSE 50 WRITE");
        assert_eq!(rest_ms(&mut shell, &mut cron), CRON_MS);
        shell.run("CLIENT UNPAUSE");
        assert_eq!(rest_ms(&mut shell, &mut cron), CRON_REST_MS);
        shell.node.refuse(Refusals::LOADING, true);
        assert_eq!(rest_ms(&mut shell, &mut cron), CRON_MS);
        shell.node.refuse(Refusals::LOADING, false);
        // A writable replica deletes its own keys, by another index, and no others.
        shell.run("SET masters v PX 20");
        shell.run("REPLICAOF 127.0.0.1 1");
        assert_eq!(rest_ms(&mut shell, &mut cron), CRON_REST_MS);
        shell.run("CONFIG SET replica-read-only no");
        shell.run("SET own v PX 50000");
        assert_eq!(rest_ms(&mut shell, &mut cron), CRON_MS);
    }
}
