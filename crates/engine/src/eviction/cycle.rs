//! One cycle of eviction: from "too much is used" to "it fits", or to "there is nothing to go".

use std::sync::atomic::{AtomicI64, Ordering};

use tandem_base::{DbIndex, Mono};
use tandem_store::{AccessClock, Eligible, EntryRef, KeyHash};

use super::pool::Candidate;
use super::rules::Choice;
use crate::ahead::NO_HASH;
use crate::config::EvictionPolicy;
use crate::db::{Db, Source};
use crate::intake::Worker;
use crate::locks::Held;
use crate::node::{Level, Mail, Node, Refusals};

/// Keys that go between two looks at the clock.
const KEYS_A_LOOK: u32 = 16;
/// Bytes that a cycle claims at a time: whoever else needs room at that moment takes part, and
/// does not go on as if there were room already.
const CLAIM_BYTES: i64 = 16 << 10;
/// Candidates that were used again before one is taken all the same.
const PASSED_OVER_MAX: u32 = 64;
/// How it stands with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// It fits, or it is not ours to say.
    Fits,
    /// Too much is used, and it is being freed.
    Running,
    /// Too much is used, and nothing may go.
    Full,
}

/// Bytes in use at one moment.
pub(crate) struct MemoryNow {
    /// All.
    pub(crate) used: u64,
    /// Those that are no reason to evict.
    pub(crate) not_counted: u64,
    /// Those of the stream.
    pub(crate) stream: u64,
}

/// A part of the excess that one cycle frees.
struct Claim<'a> {
    claimed: &'a AtomicI64,
    left: i64,
}

impl<'a> Claim<'a> {
    /// Claims what of the excess nobody has claimed, but no more than `most`. What is claimed is
    /// read before what is used, and each time anew: what somebody frees in between is then
    /// missing from both, and not freed twice.
    fn new(claimed: &'a AtomicI64, most: i64, excess: impl Fn() -> i64) -> Option<Claim<'a>> {
        loop {
            let others = claimed.load(Ordering::Acquire);
            let left = (excess() - others).min(most);
            if left <= 0 {
                return None;
            }
            let new = others + left;
            let taken =
                claimed.compare_exchange_weak(others, new, Ordering::Relaxed, Ordering::Relaxed);
            if taken.is_ok() {
                return Some(Claim { claimed, left });
            }
        }
    }

    /// A part is free, and what is used says so already.
    fn freed(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).expect("an allocation").min(self.left);
        self.left -= bytes;
        self.claimed.fetch_sub(bytes, Ordering::Release);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.claimed.fetch_sub(self.left, Ordering::Relaxed);
    }
}

impl Node {
    /// Makes room for the command that is about to run; nothing may be locked. To be called only
    /// while there is a limit.
    pub(crate) fn make_room(&self, worker: &mut Worker) -> Room {
        let (used, limit) = (self.host.used_memory(self), self.eviction.limit());
        if used <= limit || limit == 0 {
            self.eviction.note_fits(worker.now.mono);
            return Room::Fits;
        }
        self.make_room_beyond(worker, used, limit)
    }

    #[cold]
    fn make_room_beyond(&self, worker: &mut Worker, used: u64, limit: u64) -> Room {
        if !self.may_evict(worker) {
            return Room::Fits;
        }
        let now = self.host.mono();
        if used.saturating_sub(self.no_reason_to_evict(now)) <= limit {
            self.eviction.note_fits(worker.now.mono);
            return Room::Fits;
        }
        let policy = self.eviction.policy();
        let room = if policy.choice() == Choice::Nothing {
            Room::Full
        } else {
            let began_ns = self.monitor.event_begins(|| self.host.clock_ns());
            let room = self.evict(worker, policy, now);
            self.note_event("eviction-cycle", began_ns, worker.now.unix);
            room
        };
        match room {
            Room::Fits => self.eviction.note_fits(worker.now.mono),
            Room::Running | Room::Full => self.eviction.note_exceeded(worker.now.mono),
        }
        room
    }

    /// Whether the dataset may change by itself now.
    fn may_evict(&self, worker: &Worker) -> bool {
        let ignores = self.eviction.replica_ignores.load(Ordering::Relaxed);
        let is_copy = self.is_replica() && ignores;
        let loading = self.refusals().contains(Refusals::LOADING);
        !(is_copy || loading || self.is_paused_for_writes(worker.now))
    }

    /// Bytes in use that are no reason to evict: what the stream holds beyond the backlog, for
    /// replicas that have yet to read it, pushes that have not been offered to their receivers'
    /// sockets, what only a running snapshot still needs, its pieces on their way to replicas,
    /// and what another thread is freeing or is about to. To evict for them would free nothing:
    /// a deletion makes more of each.
    ///
    /// Returned with all bytes in use and with those of the stream, read at one moment as far as
    /// the stream goes: of what a replica leaves behind nothing is missing from one figure and
    /// not yet from the other.
    pub(crate) fn memory_now(&self) -> MemoryNow {
        // As in `excess`: what goes meanwhile is missing from what is used, not from this.
        let under_way = self.memory_under_way();
        let (stream, beyond, used) = self.stream.memory_while(|| self.host.used_memory(self));
        MemoryNow { used, not_counted: beyond + under_way, stream }
    }

    /// Gives blocks of the stream back ([`Stream::trim`](tandem_repl::stream::Stream::trim)).
    pub(crate) fn trim_stream(&self, blocks: usize) -> bool {
        self.stream.trim(blocks, || {
            // Who asks adds what his thread has given back.
            self.host.used_memory(self);
        })
    }

    fn memory_under_way(&self) -> u64 {
        // In this order: what was overwritten may go from one to the other, and counts twice.
        let leaving = self.keyspace.overwritten_bytes() + self.lazy_free.bytes();
        let snapshot = self.keyspace.kept_for_snapshot() + self.host.snapshot_bytes_on_the_way();
        self.pushes.bytes_under_way() + snapshot + leaving
    }

    /// The same as eviction sees it: it does not take what another thread is giving back for an
    /// excess.
    fn no_reason_to_evict(&self, now: Mono) -> u64 {
        let beyond = self.stream.memory_beyond_backlog();
        self.eviction.held_for_replicas(beyond, now) + self.memory_under_way()
    }

    /// Bytes in use that count, beyond the limit; negative below it.
    fn excess(&self, now: Mono) -> i64 {
        // In this order: what goes in between is then taken off twice, and nothing goes for it.
        let no_reason = self.no_reason_to_evict(now);
        let counted = self.host.used_memory(self).saturating_sub(no_reason);
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        signed(counted) - signed(self.eviction.limit())
    }

    fn evict(&self, worker: &mut Worker, policy: EvictionPolicy, began: Mono) -> Room {
        let still = |node: &Node| {
            if node.eviction.is_running() { Room::Running } else { Room::Fits }
        };
        let limit_us = self.eviction.time_limit_us.load(Ordering::Relaxed);
        let mut now = began;
        let mut keys = 0;
        let mut left = self.excess(now);
        while left > 0 {
            let most = left.min(CLAIM_BYTES);
            // Others may be freeing all of it.
            let excess = || self.excess(now);
            let Some(mut claim) = Claim::new(&self.eviction.claimed, most, excess) else { break };
            left -= claim.left;
            while claim.left > 0 {
                let Some(bytes) = self.evict_one(worker, policy) else {
                    // What has gone may have taken more with it than was counted.
                    return if self.excess(now) > 0 { Room::Full } else { still(self) };
                };
                // Others are told what is used, and INFO what has gone, before they are told
                // what is no longer claimed.
                self.host.used_memory(self);
                self.stats.evicted_keys.fetch_add(1, Ordering::Relaxed);
                claim.freed(bytes);
                keys += 1;
                if keys % KEYS_A_LOOK == 0 && (claim.left > 0 || left > 0) {
                    now = self.host.mono();
                    if now.0.saturating_sub(began.0) >= limit_us {
                        self.eviction.set_running(true);
                        return Room::Running;
                    }
                }
            }
        }
        still(self)
    }

    /// Evicts one key; the bytes that it took, or `None` if there is none.
    fn evict_one(&self, worker: &mut Worker, policy: EvictionPolicy) -> Option<usize> {
        match policy.choice() {
            Choice::Nothing => None,
            Choice::Stalest => self.evict_stalest(worker, policy),
            Choice::Random => loop {
                let (db, hash) = self.any_key(worker, policy.eligible())?;
                // Gone meanwhile: another.
                if let Some(bytes) = self.evict_if(worker, db, hash, |_| true) {
                    return Some(bytes);
                }
            },
            Choice::Soonest => loop {
                let (time, db, hash) = self.keyspace.soonest_expiry()?;
                let bytes = self.evict_if(worker, db, hash, |entry| entry.expiry() == Some(time));
                if bytes.is_some() {
                    return bytes;
                }
            },
        }
    }

    /// A key at random: of each database of a stripe one is met, and one of those is chosen.
    fn any_key(&self, worker: &mut Worker, eligible: Eligible) -> Option<(DbIndex, KeyHash)> {
        let mut met = 0;
        let mut found = None;
        let mut turn = worker.rng.fork();
        let mut random = || worker.rng.u64(..);
        self.keyspace.sample(eligible, 1, &mut random, |db, entry| {
            met += 1;
            if turn.usize(..met) == 0 {
                found = Some((db, self.keyspace.hash(entry.key())));
            }
        });
        found
    }

    fn evict_stalest(&self, worker: &mut Worker, policy: EvictionPolicy) -> Option<usize> {
        let clock = self.keyspace.access_clock();
        let eligible = policy.eligible();
        worker.pool.measured(clock.counts_uses());
        let mut passed_over = 0;
        loop {
            if self.fill_pool(worker, eligible, clock) == 0 {
                return None;
            }
            while let Some(Candidate { staleness, db, hash }) = worker.pool.take() {
                let patient = passed_over < PASSED_OVER_MAX;
                let fit = |entry: EntryRef<'_>| {
                    (eligible == Eligible::All || entry.expiry().is_some())
                        && !(patient && clock.staleness(entry.access_clock()) < staleness)
                };
                if let Some(bytes) = self.evict_if(worker, db, hash, fit) {
                    return Some(bytes);
                }
                passed_over += 1;
            }
        }
    }

    fn fill_pool(&self, worker: &mut Worker, eligible: Eligible, clock: AccessClock) -> usize {
        let samples = self.eviction.samples.load(Ordering::Relaxed).max(1) as usize;
        let Worker { rng, pool, .. } = worker;
        let mut random = || rng.u64(..);
        self.keyspace.sample(eligible, samples, &mut random, |db, entry| {
            let staleness = clock.staleness(entry.access_clock());
            if pool.wants(staleness) {
                let hash = self.keyspace.hash(entry.key());
                pool.offer(Candidate { staleness, db, hash });
            }
        })
    }

    /// Deletes the key of that hash if it is there and `fit`, tells replicas and all who want to
    /// know; the bytes that it took.
    fn evict_if(
        &self,
        worker: &mut Worker,
        db: DbIndex,
        hash: KeyHash,
        fit: impl Fn(EntryRef<'_>) -> bool,
    ) -> Option<usize> {
        let lazily = self.eviction.lazily.load(Ordering::Relaxed);
        let began_ns = self.monitor.event_begins(|| self.host.clock_ns());
        let (gone, freed) = {
            let Worker { now, counters, effects, .. } = worker;
            let mut db = Db {
                node: self,
                held: Held::One(hash.stripe, self.keyspace.lock(hash.stripe)),
                effects,
                counters,
                now: *now,
                index: db,
                source: Source::Client,
                hashed: NO_HASH,
            };
            let taken = db.take_evicted(hash, lazily, fit)?;
            let Db { held, effects, .. } = db;
            // Each by itself, in no transaction, and before the command that needs the room.
            effects.flush(&self.stream, None, true);
            drop(held);
            taken
        };
        self.note_event("eviction-del", began_ns, worker.now.unix);
        self.free(gone, || lazily);
        if !worker.effects.ready.is_empty() {
            // Somebody waits for the key to go.
            self.serve_ready_between(worker);
        }
        Some(freed)
    }

    // ---- the housekeeper's part ----

    /// Goes on with what a cycle has left; for the housekeeper.
    pub(crate) fn go_on_evicting(&self, worker: &mut Worker) {
        if !self.eviction.is_running() {
            return;
        }
        let before = self.stats.evicted_keys.load(Ordering::Relaxed);
        {
            let _inside = self.gate.enter(worker.index);
            worker.effects.enabled = self.tells_replicas();
            worker.effects.begin_command();
            // A cycle that leaves something says so again.
            self.eviction.set_running(false);
            self.make_room(worker);
        }
        // It may have been others: they have told replicas, and to tell them twice costs little.
        let evicted = self.stats.evicted_keys.load(Ordering::Relaxed) != before;
        if evicted && self.stream.is_active() {
            self.mail_all(|| Mail::StreamGrew);
        }
    }

    /// Whether the housekeeper is to come back at once.
    pub fn is_evicting(&self) -> bool {
        self.eviction.is_running()
    }

    /// Whether Redis would keep small integers once for all keys: a shared one has no access
    /// clock of its own.
    pub(crate) fn shares_integers(&self) -> bool {
        self.eviction.limit() == 0 || self.eviction.policy().choice() != Choice::Stalest
    }

    /// CONFIG SET has changed `maxmemory`.
    pub(crate) fn maxmemory_changed(&self) {
        let limit = self.eviction.limit();
        if limit == 0 {
            return;
        }
        let MemoryNow { used, not_counted, .. } = self.memory_now();
        let used = used.saturating_sub(not_counted);
        if limit < used {
            self.log(
                Level::Warning,
                &format!(
                    "WARNING: the new maxmemory value set via CONFIG SET ({limit}) is smaller \
                     than the current memory usage ({used}). This will result in key eviction \
                     and/or the inability to accept new write commands depending on the \
                     maxmemory-policy."
                ),
            );
        }
        self.eviction.set_running(true);
    }
}
