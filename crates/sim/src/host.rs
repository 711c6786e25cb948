//! The made-up world that a simulated node asks for things: a log that is read by the checks,
//! random numbers from the seed, a disk that outlives the node.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tandem_base::Now;
use tandem_engine::loading::Load;
use tandem_engine::node::{Crash, Host, Level, Node, ProcessFacts, lock};
use tandem_engine::persistence::SnapshotOrder;
use tandem_engine::replication::SpoolError;

/// What survives a restart.
#[derive(Debug, Default)]
pub struct Disk {
    /// The snapshot file.
    pub rdb: Option<Arc<Vec<u8>>>,
}

/// What the node has asked for since somebody looked.
#[derive(Default)]
struct State {
    now: Now,
    rng: fastrand::Rng,
    log: Vec<String>,
    orders: Vec<SnapshotOrder>,
    spool: Vec<u8>,
    spool_at: usize,
    spool_step: DiskStep,
    /// One step of the disk in so many fails; 0: none.
    disk_fails_one_in: u32,
    exit: Option<i32>,
}

/// What the disk has been asked to do with the spool, and how often it will be looked for first.
#[derive(Default)]
enum DiskStep {
    #[default]
    Nothing,
    /// It goes to the disk.
    Syncs(u32),
    /// It gets the snapshot file's name,
    Moves(u32),
    /// and has it before that is told.
    Moved(u32),
    Failed(SpoolError),
}

const NO_SPACE: &str = "No space left on device";
/// About as many as a transfer has.
const WRITES_A_FILE: u32 = 10;

impl State {
    /// Whether a step fails, of those that there are `count` of.
    fn disk_fails(&mut self, count: u32) -> bool {
        self.disk_fails_one_in > 0 && self.rng.u32(0..self.disk_fails_one_in * count) == 0
    }

    /// How long the disk takes: sometimes so long that anything may happen meanwhile.
    fn disk_turns(&mut self) -> u32 {
        let most = [0, 3, 30, 300][self.rng.usize(0..4)];
        self.rng.u32(0..=most)
    }
}

/// The host of one run of one node.
pub struct SimHost {
    disk: Arc<Mutex<Disk>>,
    state: Mutex<State>,
}

/// The log line that says that a replica has dropped its data for a full resync.
const FLUSHING: &str = "MASTER <-> REPLICA sync: Flushing old data";

/// What [`SimHost::take_log`] found.
pub struct LogTaken {
    /// The lines.
    pub lines: Vec<String>,
    /// Among them was the drop of the old data before a full resync.
    pub resynced: bool,
}

impl SimHost {
    /// A host over `disk`, with randomness from `seed`.
    pub fn new(disk: Arc<Mutex<Disk>>, seed: u64, now: Now) -> SimHost {
        let rng = fastrand::Rng::with_seed(seed);
        SimHost { disk, state: Mutex::new(State { now, rng, ..State::default() }) }
    }

    /// One step of the disk in so many fails; 0: none.
    pub fn set_disk_fails_one_in(&self, count: u32) {
        lock(&self.state).disk_fails_one_in = count;
    }

    /// Tells what time it is.
    pub fn set_now(&self, now: Now) {
        lock(&self.state).now = now;
    }

    /// Snapshots that are to be carried out.
    pub fn take_orders(&self) -> Vec<SnapshotOrder> {
        std::mem::take(&mut lock(&self.state).orders)
    }

    /// Log lines since the last call.
    pub fn take_log(&self) -> LogTaken {
        let lines = std::mem::take(&mut lock(&self.state).log);
        let resynced = lines.iter().any(|line| line == FLUSHING);
        LogTaken { lines, resynced }
    }

    /// The node wants to end.
    pub fn exit_code(&self) -> Option<i32> {
        lock(&self.state).exit
    }

    /// The disk.
    pub fn disk(&self) -> &Arc<Mutex<Disk>> {
        &self.disk
    }
}

impl Host for SimHost {
    fn log(&self, _: Level, text: &str) {
        lock(&self.state).log.push(text.to_owned());
    }

    fn role_changed(&self, _replica: bool) {}

    fn random(&self, bytes: &mut [u8]) {
        lock(&self.state).rng.fill(bytes);
    }

    /// Every worker has its turn in every step, so nobody sleeps.
    fn wake(&self, _: usize) {}

    fn clock_ns(&self) -> u64 {
        lock(&self.state).now.mono.0 * 1000
    }

    fn sleep(&self, _: Duration) -> Now {
        lock(&self.state).now
    }

    fn start_snapshot(&self, order: SnapshotOrder) {
        lock(&self.state).orders.push(order);
    }

    fn save_now(&self, node: &Node, order: SnapshotOrder) -> Result<(), String> {
        let mut file = Vec::new();
        let whole = order.produce(node, &mut |chunk| {
            file.extend_from_slice(&chunk);
            true
        });
        assert!(whole, "nobody stops it");
        lock(&self.disk).rdb = Some(Arc::new(file));
        Ok(())
    }

    fn load_now(&self, node: &Node) -> Result<(), String> {
        let rdb = lock(&self.disk).rdb.clone().ok_or("no snapshot file")?;
        // Nobody tells replicas of what expires in a reload.
        let mut load = Load::at_start(lock(&self.state).now, false);
        load.take(node, &rdb)?;
        load.finish(node)
    }

    fn spool_begin(&self) -> Result<(), String> {
        self.spool_abort();
        if lock(&self.state).disk_fails(1) {
            return Err(NO_SPACE.to_owned());
        }
        Ok(())
    }

    fn spool_write(&self, bytes: &[u8]) {
        let mut state = lock(&self.state);
        state.spool.extend_from_slice(bytes);
        if state.disk_fails(WRITES_A_FILE) {
            state.spool_step = DiskStep::Failed(SpoolError::Write(NO_SPACE.to_owned()));
        }
    }

    fn spool_is_behind(&self) -> bool {
        lock(&self.state).rng.u8(0..4) == 0
    }

    fn spool_sync(&self) {
        let mut state = lock(&self.state);
        if !matches!(state.spool_step, DiskStep::Failed(_)) {
            state.spool_step = DiskStep::Syncs(state.disk_turns());
        }
    }

    fn spool_finish(&self) {
        let mut state = lock(&self.state);
        assert!(matches!(state.spool_step, DiskStep::Nothing), "it is on the disk");
        state.spool_step = DiskStep::Moves(state.disk_turns());
    }

    fn spool_done(&self) -> Option<Result<(), SpoolError>> {
        let mut state = lock(&self.state);
        let step = std::mem::replace(&mut state.spool_step, DiskStep::Nothing);
        let no_space = || NO_SPACE.to_owned();
        let (next, told) = match step {
            DiskStep::Syncs(turns) if turns > 0 => (DiskStep::Syncs(turns - 1), None),
            DiskStep::Syncs(_) if state.disk_fails(1) => {
                (DiskStep::Failed(SpoolError::Sync(no_space())), None)
            }
            DiskStep::Moves(turns) if turns > 0 => (DiskStep::Moves(turns - 1), None),
            DiskStep::Moves(_) if state.disk_fails(1) => {
                (DiskStep::Failed(SpoolError::Rename(no_space())), None)
            }
            DiskStep::Moves(_) => {
                lock(&self.disk).rdb = Some(Arc::new(state.spool.clone()));
                (DiskStep::Moved(state.disk_turns()), None)
            }
            DiskStep::Moved(turns) if turns > 0 => (DiskStep::Moved(turns - 1), None),
            DiskStep::Moved(_) if state.disk_fails(1) => {
                (DiskStep::Failed(SpoolError::SyncFolder(no_space())), None)
            }
            DiskStep::Syncs(_) | DiskStep::Moved(_) => (DiskStep::Nothing, Some(Ok(()))),
            DiskStep::Failed(error) => (DiskStep::Failed(error.clone()), Some(Err(error))),
            DiskStep::Nothing => (DiskStep::Nothing, None),
        };
        state.spool_step = next;
        told
    }

    /// Short reads, so that a load takes several turns.
    fn spool_read(&self, buf: &mut [u8]) -> Result<usize, String> {
        let State { spool, spool_at, rng, .. } = &mut *lock(&self.state);
        let left = spool.len() - *spool_at;
        let count = left.min(buf.len()).min(rng.usize(1..=2048));
        buf[..count].copy_from_slice(&spool[*spool_at..][..count]);
        *spool_at += count;
        Ok(count)
    }

    fn spool_abort(&self) {
        let mut state = lock(&self.state);
        state.spool.clear();
        state.spool_at = 0;
        state.spool_step = DiskStep::Nothing;
    }

    fn process(&self) -> ProcessFacts {
        ProcessFacts::default()
    }

    fn allocator_report(&self) -> String {
        String::new()
    }

    fn purge_memory(&self) -> bool {
        true
    }

    fn used_memory(&self, node: &Node) -> u64 {
        node.keyspace.memory_bytes()
    }

    fn mono(&self) -> tandem_base::Mono {
        lock(&self.state).now.mono
    }

    fn exit(&self, code: i32) {
        lock(&self.state).exit = Some(code);
    }

    fn config_changed(&self, _: &Node, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn rewrite_config(&self, _: &Node, _: bool) -> Result<(), String> {
        Err("ERR The server is running without a config file".to_owned())
    }

    fn read_file(&self, _: &[u8]) -> Result<Vec<u8>, String> {
        Err("No such file or directory".to_owned())
    }

    fn replace_file(&self, _: &[u8], _: &[u8]) -> Result<(), String> {
        Err("Read-only file system".to_owned())
    }

    fn crash(&self, _: Crash) {
        self.exit(1);
    }

    fn drop_later(&self, garbage: Box<dyn Send>) {
        drop(garbage);
    }
}
