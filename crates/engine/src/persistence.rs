//! Snapshots from the engine's side: when one begins, what goes into it, what follows.
//!
//! ```text
//! BGSAVE, save points, a replica ─► cut (keyspace alone) ─► SnapshotOrder ─► host's thread
//!                                                                              │ produce
//!                              snapshot_ended ◄─ file or sockets ◄─ chunks ◄───┘
//! ```
//! A snapshot is taken of the data at one instant and at one offset of the stream, whoever asked
//! for it; so any snapshot to disk serves replicas too.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tandem_base::{DbIndex, Now, ReplOffset, UnixMs};
use tandem_repl::replconf::RdbFilter;
use tandem_repl::syncplan::{Running, Target};
use tandem_store::SnapshotWalk;
use tandem_store::rdb::crc64::Crc64;
use tandem_store::rdb::write::{self, AuxInfo, AuxReplication};

use crate::client::ClientId;
use crate::load_progress::LoadProgress;
use crate::node::{Level, Node, Refusals, lock};

/// Who asked for a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// BGSAVE, SAVE, a save point, SHUTDOWN.
    ForDisk,
    /// Replicas that wait.
    ForReplicas,
}

/// A snapshot that has been cut and is to be carried out.
pub struct SnapshotOrder {
    /// Its number: no two snapshots of a process have the same.
    pub id: u64,
    /// Where it goes.
    pub target: Target,
    /// The replicas whose sockets it goes to.
    pub replicas: Vec<ClientId>,
    /// The mark that ends a streamed snapshot.
    pub mark: [u8; 40],
    /// Offset of the cut.
    pub base: ReplOffset,
    walk: Option<SnapshotWalk>,
    /// What comes before the first entry, until it has been handed out.
    prologue: Vec<u8>,
    /// The sum of what has been handed out, if the file is to have one.
    crc: Option<Crc64>,
}

/// A piece of the RDB that a [`SnapshotOrder`] makes.
pub enum SnapshotPiece {
    /// More follow.
    Some(Vec<u8>),
    /// It is the last one.
    Last(Vec<u8>),
    /// There is none: somebody has stopped the snapshot, and what was made of it is no file.
    Stopped,
}

/// What became of a snapshot to disk.
pub struct SnapshotEnd {
    /// [`SnapshotOrder::id`].
    pub id: u64,
    /// The length of the file, or what went wrong.
    pub result: Result<u64, String>,
    /// Where it went.
    pub target: Target,
}

/// What is known about snapshots.
pub struct Persistence {
    changes: AtomicU64,
    state: Mutex<SaveState>,
    /// Keys written by the running snapshot.
    pub keys_done: AtomicU64,
    /// How far a load is, or how the last one went.
    pub load: LoadProgress,
}

/// A snapshot under way.
#[derive(Clone, Copy, Debug)]
pub struct RunningSave {
    /// Its number, by which its end is known from that of one that was given up.
    pub id: u64,
    /// Its cut and target.
    pub running: Running,
    /// Who asked.
    pub asked: Asked,
    /// Changes of the dataset at the cut.
    pub changes: u64,
    /// When it began.
    pub since: Now,
}

/// The course of snapshots.
#[derive(Debug)]
pub struct SaveState {
    /// The one that is running, whether it is for the disk, its changes at the cut, its begin.
    pub running: Option<RunningSave>,
    /// The number of the last one begun.
    last_id: u64,
    /// Keys that it will have to write, about.
    pub keys_total: u64,
    /// When the data were last saved.
    pub last_save: UnixMs,
    /// The last background save went well.
    pub last_ok: bool,
    /// When the last background save was tried.
    pub last_try: UnixMs,
    /// How long the last one took, in seconds.
    pub last_seconds: i64,
    /// BGSAVE SCHEDULE: one is to follow the running one.
    pub scheduled: bool,
    /// Successful saves.
    pub saves: u64,
    /// The most bytes that were kept for the last snapshot alone.
    pub last_kept_peak: u64,
}

/// Bytes of a chunk: large enough to write well, small enough to wait for a stripe briefly.
const CHUNK_BYTES: usize = 256 << 10;

impl Persistence {
    /// Nothing saved, nothing changed.
    pub fn new(now: Now) -> Persistence {
        Persistence {
            changes: AtomicU64::new(0),
            state: Mutex::new(SaveState {
                running: None,
                last_id: 0,
                keys_total: 0,
                last_save: now.unix,
                last_ok: true,
                last_try: UnixMs(0),
                last_seconds: -1,
                scheduled: false,
                saves: 0,
                last_kept_peak: 0,
            }),
            keys_done: AtomicU64::new(0),
            load: LoadProgress::default(),
        }
    }

    /// Notes changes of the dataset.
    pub fn changed(&self, count: u64) {
        self.changes.fetch_add(count, Ordering::Relaxed);
    }

    /// Changes since the last save.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// After a load nothing has changed.
    pub fn nothing_changed(&self) {
        self.changes.store(0, Ordering::Relaxed);
    }

    /// The course of snapshots.
    ///
    /// Replication's inner lock may be taken while this is held, never the other way round.
    pub fn state(&self) -> MutexGuard<'_, SaveState> {
        lock(&self.state)
    }

    /// Does the last step of snapshot `id`, which cannot be stopped any more then: its file takes
    /// the place of the old one. `None` if it was stopped: another file may stand there already.
    pub fn unless_stopped<R>(&self, id: u64, last_step: impl FnOnce() -> R) -> Option<R> {
        let state = self.state();
        state.running.is_some_and(|running| running.id == id).then(last_step)
    }

    /// So many changes are in a file. A load may have begun to count anew meanwhile.
    fn saved(&self, count: u64) {
        let rest = |changes: u64| Some(changes.saturating_sub(count));
        let _ = self.changes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
    }
}

impl SnapshotOrder {
    /// Makes the RDB and hands it to `sink` in chunks; `sink` says whether to go on. Returns
    /// whether the whole was made.
    pub fn produce(mut self, node: &Node, sink: &mut dyn FnMut(Vec<u8>) -> bool) -> bool {
        let delay_us = node.config().rdb_key_save_delay();
        let budget = if delay_us > 0 { 1 } else { CHUNK_BYTES };
        loop {
            let keys = self.keys_done();
            let piece = self.step(node, budget);
            if delay_us != 0 {
                let us = delay_us.unsigned_abs() as u64;
                let written = self.keys_done() - keys;
                let due = if delay_us > 0 { us * written } else { written / us.max(1) };
                node.host.sleep(Duration::from_micros(due));
            }
            match piece {
                SnapshotPiece::Last(chunk) => return sink(chunk),
                SnapshotPiece::Stopped => return false,
                SnapshotPiece::Some(chunk) => {
                    if !sink(chunk) {
                        self.give_up(node);
                        return false;
                    }
                }
            }
        }
    }

    /// Makes the next piece, of about `budget` bytes. Not to be called after the last one.
    pub fn step(&mut self, node: &Node, budget: usize) -> SnapshotPiece {
        let mut chunk = std::mem::take(&mut self.prologue);
        let mut more = false;
        if let Some(walk) = &mut self.walk {
            if chunk.capacity() == 0 {
                chunk.reserve(budget + (8 << 10));
            }
            more = walk.step(&node.keyspace, &mut chunk, budget);
            if !more && !walk.is_complete() {
                return SnapshotPiece::Stopped;
            }
            node.persistence.keys_done.store(walk.keys_done(), Ordering::Relaxed);
        }
        if let Some(crc) = &mut self.crc {
            crc.update(&chunk);
        }
        if more {
            return SnapshotPiece::Some(chunk);
        }
        write::footer(&mut chunk, self.crc.take());
        SnapshotPiece::Last(chunk)
    }

    /// Gives the snapshot up half-way. If it was stopped, another may be running: that one goes
    /// on.
    pub fn give_up(self, node: &Node) {
        if let Some(walk) = self.walk {
            node.free_old(walk.abort(&node.keyspace));
        }
    }

    fn keys_done(&self) -> u64 {
        self.walk.as_ref().map_or(0, SnapshotWalk::keys_done)
    }
}

impl Node {
    /// Cuts a snapshot. The keyspace must be held alone, and none may be running.
    pub fn cut_snapshot(
        &self,
        asked: Asked,
        target: Target,
        filter: RdbFilter,
        now: Now,
    ) -> SnapshotOrder {
        let base = self.stream.forget_selected_db();
        let stream_db = self.replication.inner().applied_db();
        self.cut_at(base, Some(stream_db), asked, target, filter, now)
    }

    /// Cuts a snapshot at the end of the stream, `base`, where `stream_db` is selected; `None`
    /// when the data are ahead of the stream, so that no offset names them.
    fn cut_at(
        &self,
        base: ReplOffset,
        stream_db: Option<DbIndex>,
        asked: Asked,
        target: Target,
        filter: RdbFilter,
        now: Now,
    ) -> SnapshotOrder {
        let config = self.config();
        let (compress, checksum) = (config.rdbcompression(), config.rdbchecksum());
        drop(config);
        let active = self.stream.is_active();
        let replication = self.replication.inner();
        // A replica that has given its data up and not got others stands nowhere.
        let placed = self.is_replica() && replication.place.is_some();
        let stream_db = stream_db.filter(|_| active || placed);
        let place = stream_db.map(|stream_db| AuxReplication {
            stream_db,
            id: replication.history.replid,
            offset: base,
        });
        drop(replication);
        let mut prologue = Vec::with_capacity(512);
        write::header(&mut prologue);
        let info = AuxInfo {
            created: now.unix,
            used_memory_bytes: self.host.process().used_memory,
            replication: place,
            aof_base: false,
        };
        write::standard_aux(&mut prologue, &info);
        let keys_total = if filter.exclude_data { 0 } else { self.keyspace.len_of_all() };
        let mut state = self.persistence.state();
        assert!(state.running.is_none(), "one snapshot at a time");
        let walk = (!filter.exclude_data).then(|| self.keyspace.begin_snapshot(compress));
        let running = Running { base: active.then_some(base), target, filter };
        state.last_id += 1;
        let id = state.last_id;
        let changes = self.persistence.changes();
        state.running = Some(RunningSave { id, running, asked, changes, since: now });
        state.keys_total = keys_total;
        if asked == Asked::ForDisk {
            state.last_try = now.unix;
        }
        self.persistence.keys_done.store(0, Ordering::Relaxed);
        drop(state);
        let mut random = [0; 20];
        self.host.random(&mut random);
        let mark = tandem_base::ReplId::from_random(random).0;
        let crc = checksum.then(Crc64::new);
        SnapshotOrder { id, target, replicas: Vec::new(), mark, base, walk, prologue, crc }
    }

    /// Begins a background save; the keyspace must be held alone. False if one is running.
    pub fn begin_bgsave(&self, now: Now) -> bool {
        if self.persistence.state().running.is_some() {
            return false;
        }
        let order = self.cut_snapshot(Asked::ForDisk, Target::Disk, RdbFilter::default(), now);
        self.log(Level::Notice, &format!("Background saving started by pid {}", self.identity.pid));
        self.host.start_snapshot(order);
        true
    }

    /// Saves to the file before it returns; the keyspace must be held alone.
    pub fn save_now(&self, now: Now) -> Result<(), String> {
        let order = self.cut_snapshot(Asked::ForDisk, Target::Disk, RdbFilter::default(), now);
        self.carry_out_now(order, now)
    }

    /// Everything is about to be deleted: a background save is stopped, as its file would bring all
    /// of it back. The keyspace must be held alone.
    ///
    /// A snapshot that a replica waits for goes on: the deletion follows it in the stream.
    pub fn stop_save_before_flush(&self) {
        let to_disk = |save: &RunningSave| {
            save.asked == Asked::ForDisk && save.running.target == Target::Disk
        };
        let running = self.persistence.state().running;
        if running.as_ref().is_some_and(to_disk) && !self.replica_waits_for_file() {
            self.log(Level::Notice, "Background saving stopped: FLUSHALL");
            self.stop_running_snapshot();
        }
    }

    /// Everything was deleted: where there are save points, the file must not bring it back. The
    /// keyspace must be held alone. Whether the file is empty now.
    ///
    /// No replica gets this file, so the stream need not say its database anew. Nor can the file
    /// say where it stands: the stream does not have the deletion yet. With the offset before it,
    /// a master that crashed now would start empty, and go on with replicas that are not.
    pub fn save_after_flush(&self, now: Now) -> bool {
        if self.config().save().is_empty() {
            return false;
        }
        let mut state = self.persistence.state();
        if state.running.is_some() {
            state.scheduled = true;
            return false;
        }
        drop(state);
        let (base, filter) = (self.stream.end(), RdbFilter::default());
        let order = self.cut_at(base, None, Asked::ForDisk, Target::Disk, filter, now);
        let result = self.carry_out_now(order, now);
        if let Err(why) = &result {
            self.log(Level::Warning, &format!("Saving after FLUSHALL failed: {why}"));
        }
        result.is_ok()
    }

    /// Stops the snapshot that is being made, so that another can be, or because its data are
    /// about to go. Its file takes no other's place any more, and the replicas that wait for it
    /// are cut off. The keyspace must be held alone.
    pub fn stop_running_snapshot(&self) {
        let mut state = self.persistence.state();
        let Some(RunningSave { running, .. }) = state.running.take() else { return };
        let sends = self.replicas_after_snapshot(running, None);
        assert!(sends.is_empty(), "there is no file to send");
        drop(state);
        self.free_old(self.keyspace.abort_snapshot());
    }

    fn carry_out_now(&self, order: SnapshotOrder, now: Now) -> Result<(), String> {
        let result = self.host.save_now(self, order);
        let mut state = self.persistence.state();
        let RunningSave { changes, .. } = state.running.take().expect("it has just been cut");
        if result.is_ok() {
            state.last_ok = true;
            state.last_save = self.recent_unix().max(now.unix);
            state.saves += 1;
            self.persistence.saved(changes);
        }
        drop(state);
        self.update_misconf();
        result
    }

    /// A background snapshot has ended; tells the replicas that waited for its file what to
    /// expect: each with what is to be sent before the file. That file is the one that the
    /// snapshot wrote, whatever bears its name by then.
    pub fn snapshot_ended(&self, end: &SnapshotEnd, now: Now) -> Vec<(ClientId, Vec<u8>)> {
        let mut state = self.persistence.state();
        let Some(RunningSave { running, changes, since, .. }) =
            state.running.take_if(|running| running.id == end.id)
        else {
            // It was stopped, perhaps after its file was in its place; who waited for it knows.
            return Vec::new();
        };
        state.last_kept_peak = self.keyspace.kept_for_snapshot_peak();
        state.last_seconds = (now.mono.ms_since(since.mono) / 1000).cast_signed();
        let ok = end.result.is_ok();
        if running.target == Target::Disk && !running.filter.is_partial() {
            state.last_ok = ok;
            if ok {
                state.last_save = now.unix;
                state.saves += 1;
                self.persistence.saved(changes);
            }
        }
        // No other snapshot begins before those who waited for this one have been seen to, nor
        // does anybody come to wait for one that has ended.
        let length = end.result.as_ref().ok().copied();
        let sends = self.replicas_after_snapshot(running, length);
        drop(state);
        self.update_misconf();
        match (&end.result, running.target) {
            (Ok(_), Target::Disk) => {
                self.log(Level::Notice, "Background saving terminated with success");
            }
            (Ok(_), Target::Sockets) => {
                self.log(Level::Notice, "Background RDB transfer terminated with success");
            }
            (Err(why), Target::Disk) => {
                self.log(Level::Warning, &format!("Background saving error: {why}"));
            }
            (Err(why), Target::Sockets) => {
                self.log(Level::Warning, &format!("Background transfer error: {why}"));
            }
        }
        sends
    }

    /// Begins a background save if a save point says so, or one was scheduled.
    pub fn save_if_due(&self, now: Now) {
        let state = self.persistence.state();
        if state.running.is_some() {
            return;
        }
        let changes = self.persistence.changes();
        let since_save = (now.unix.0 - state.last_save.0) / 1000;
        let since_try = (now.unix.0 - state.last_try.0) / 1000;
        let may_try = state.last_ok || since_try > RETRY_SECONDS;
        let scheduled = state.scheduled;
        drop(state);
        let points = self.config().save().to_vec();
        let due = points.iter().find(|point| {
            changes >= u64::from(point.changes)
                && since_save > i64::try_from(point.seconds).unwrap_or(i64::MAX)
        });
        let loading = self.refusals().contains(Refusals::LOADING);
        if loading || !(scheduled || (due.is_some() && may_try)) {
            return;
        }
        if let Some(point) = due {
            self.log(
                Level::Notice,
                &format!("{} changes in {} seconds. Saving...", point.changes, point.seconds),
            );
        }
        let _alone = self.gate.alone();
        if !self.refusals().contains(Refusals::LOADING) && self.begin_bgsave(now) {
            self.persistence.state().scheduled = false;
        }
    }
}

/// A failed background save is tried again after this long.
const RETRY_SECONDS: i64 = 5;

/// INFO's persistence section.
pub fn info(node: &Node, now: Now, out: &mut String) {
    let persistence = &node.persistence;
    let state = persistence.state();
    let loading = node.refusals().contains(Refusals::LOADING);
    let running = state.running.as_ref();
    let for_disk = running.is_some();
    let seconds =
        running.map_or(-1, |save| (now.mono.ms_since(save.since.mono) / 1000).cast_signed());
    let keys_done = if for_disk { persistence.keys_done.load(Ordering::Relaxed) } else { 0 };
    let keys_total = if for_disk { state.keys_total } else { 0 };
    let (loaded, left_out) = persistence.load.keys();
    let kept = if for_disk { node.keyspace.kept_for_snapshot() } else { 0 };
    let kept_peak = if for_disk { node.keyspace.kept_for_snapshot_peak() } else { 0 };
    let percent = if keys_total > 0 { keys_done as f64 * 100.0 / keys_total as f64 } else { 0.0 };
    let _ = write!(
        out,
        "# Persistence\r\nloading:{}\r\nasync_loading:0\r\ncurrent_cow_peak:{kept_peak}\r\n\
         current_cow_size:{kept}\r\ncurrent_cow_size_age:0\r\ncurrent_fork_perc:{percent:.2}\r\n\
         current_save_keys_processed:{keys_done}\r\ncurrent_save_keys_total:{keys_total}\r\n\
         rdb_changes_since_last_save:{}\r\nrdb_bgsave_in_progress:{}\r\n\
         rdb_last_save_time:{}\r\nrdb_last_bgsave_status:{}\r\nrdb_last_bgsave_time_sec:{}\r\n\
         rdb_current_bgsave_time_sec:{seconds}\r\nrdb_saves:{}\r\nrdb_last_cow_size:{}\r\n\
         rdb_last_load_keys_expired:{}\r\nrdb_last_load_keys_loaded:{}\r\n\
         aof_enabled:0\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\n\
         aof_last_rewrite_time_sec:-1\r\naof_current_rewrite_time_sec:-1\r\n\
         aof_last_bgrewrite_status:ok\r\naof_rewrites:0\r\naof_rewrites_consecutive_failures:0\r\n\
         aof_last_write_status:ok\r\naof_last_cow_size:0\r\nmodule_fork_in_progress:0\r\n\
         module_fork_last_cow_size:0\r\n",
        u8::from(loading),
        persistence.changes(),
        u8::from(for_disk),
        state.last_save.0 / 1000,
        if state.last_ok { "ok" } else { "err" },
        state.last_seconds,
        state.saves,
        state.last_kept_peak,
        left_out,
        loaded,
    );
    if loading {
        persistence.load.info(now, out);
    }
}
