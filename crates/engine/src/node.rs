//! One node: what all its workers share.
//!
//! The node makes no system call. What it needs of the world (a log line, randomness, another
//! worker woken, a snapshot carried to a disk or a socket) it asks of its [`Host`]; the server
//! answers with the real things, the simulator with made-up ones.

use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bitflags::bitflags;
use tandem_base::{Mono, Now, ReplId, UnixMs};
use tandem_repl::stream::{Cursor, Stream};
use tandem_store::{HashLimits, Keyspace};

use crate::acl::Acl;
use crate::blocking::{Answer, Blocking};
use crate::client::{ClientId, Clients};
use crate::commands::debug_levers::Levers;
use crate::commands::renames::Renames;
use crate::config::Config;
use crate::eviction::Eviction;
use crate::gate::Gate;
use crate::lazyfree::LazyFree;
use crate::meters::Meters;
use crate::monitor::Monitor;
use crate::onlook::Monitors;
use crate::own_expiry::OwnExpiry;
use crate::pause::Pauses;
use crate::persistence::{Persistence, SnapshotOrder};
use crate::pubsub::PubSub;
use crate::pushes::Pushes;
use crate::replication::{Replication, SpoolError};
use crate::shutdown::Shutdown;
use crate::stats::Stats;
use crate::tracking::{BROADCASTER, Tracking};
use crate::watch::Watches;

/// How important a log line is; Redis's four levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `.`
    Debug,
    /// `-`
    Verbose,
    /// `*`
    Notice,
    /// `#`
    Warning,
}

/// Facts about the process and machine, for INFO.
#[derive(Clone, Debug, Default)]
pub struct ProcessFacts {
    /// Bytes in use, as [`Host::used_memory`] says.
    pub used_memory: u64,
    /// The allocator's name and version.
    pub allocator: &'static str,
    /// Bytes the allocator says that it has handed out.
    pub allocator_allocated: u64,
    /// Bytes in the allocator's pages in use.
    pub allocator_active: u64,
    /// Bytes the allocator keeps resident.
    pub allocator_resident: u64,
    /// Resident set size in bytes.
    pub rss: u64,
    /// Bytes of memory of the machine.
    pub total_system_memory: u64,
    /// CPU seconds: system, user; of the children the same.
    pub cpu: [f64; 4],
    /// Kernel name, release and machine.
    pub os: String,
}

/// What a node asks of the world around it.
pub trait Host: Send + Sync {
    /// Writes a log line.
    fn log(&self, level: Level, text: &str);
    /// We have become a replica or a master: log lines say so from now on.
    fn role_changed(&self, replica: bool);
    /// Fills `bytes` with random ones.
    fn random(&self, bytes: &mut [u8]);
    /// Worker `index` has mail and may be asleep.
    fn wake(&self, index: usize);
    /// Nanoseconds on a clock that never goes back, and is cheap to read.
    fn clock_ns(&self) -> u64;
    /// Sleeps, and says what time it is then (DEBUG SLEEP).
    fn sleep(&self, duration: Duration) -> Now;
    /// Carries a snapshot out in the background; [`Node::snapshot_ended`] says how it went.
    fn start_snapshot(&self, order: SnapshotOrder);
    /// Carries a snapshot to the file at once (SAVE, SHUTDOWN, DEBUG RELOAD).
    fn save_now(&self, node: &Node, order: SnapshotOrder) -> Result<(), String>;
    /// Reads the snapshot file into the empty keyspace (DEBUG RELOAD).
    fn load_now(&self, node: &Node) -> Result<(), String>;
    /// Opens the file that a master's snapshot is put into; the one before is thrown away. The
    /// error is the system's words.
    fn spool_begin(&self) -> Result<(), String>;
    /// Sees to it that `bytes` come to its end; the disk's errors are [`Host::spool_done`]'s.
    fn spool_write(&self, bytes: &[u8]);
    /// Whether so much waits for the disk that no more is to be read from the master. When it has
    /// caught up worker 0 is woken.
    fn spool_is_behind(&self) -> bool;
    /// It is complete: begins to bring all of it to the disk.
    fn spool_sync(&self);
    /// All of it is on the disk: begins to make it the snapshot file, for good. It is not to be
    /// thrown away before that has ended.
    fn spool_finish(&self);
    /// Tells once that what was begun with `spool_sync` or `spool_finish` has ended, and from its
    /// first error on that error. Worker 0 is woken when there is something to tell. After an
    /// error there is no temporary file any more.
    fn spool_done(&self) -> Option<Result<(), SpoolError>>;
    /// Reads the snapshot file that it has become, from the start on; 0 at its end. The error is
    /// the system's words.
    fn spool_read(&self, buf: &mut [u8]) -> Result<usize, String>;
    /// Throws it away, if there is one: it does not become the snapshot file.
    fn spool_abort(&self);
    /// Facts about the process.
    fn process(&self) -> ProcessFacts;
    /// Bytes in use, at the price of a few loads: asked before each command while there is a
    /// `maxmemory`. What other threads have taken in the last moment may be missing.
    fn used_memory(&self, node: &Node) -> u64;
    /// Bytes of a running snapshot that wait for replicas to read them.
    fn snapshot_bytes_on_the_way(&self) -> u64 {
        0
    }
    /// The allocator's report on itself (MEMORY MALLOC-STATS).
    fn allocator_report(&self) -> String;
    /// Asks the allocator to give back pages that nothing is in; whether it could.
    fn purge_memory(&self) -> bool;
    /// Reads the clock of durations, for what must end within a turn.
    fn mono(&self) -> Mono;
    /// Tells the supervisor (systemd) of our state, if there is one: `STATUS=…`, `STOPPING=1`.
    fn tell_supervisor(&self, _state: &str) {}
    /// A shutdown that waited has come to nothing, and the keyspace is held alone: whoever asks
    /// next asks for the first time.
    fn shutdown_undone(&self) {}
    /// The process must end with this exit code.
    fn exit(&self, code: i32);
    /// A directive with an effect outside the engine was changed; an error text undoes it.
    fn config_changed(&self, node: &Node, name: &str) -> Result<(), String>;
    /// Rewrites the configuration file; with `force_all` every directive is written. An error
    /// is in the system's words and has not been logged.
    fn rewrite_config(&self, node: &Node, force_all: bool) -> Result<(), String>;
    /// Ends the process in this way, with a report; a simulated one just ends.
    fn crash(&self, how: Crash);
    /// Reads a whole file (the ACL file); the error is the system's words.
    fn read_file(&self, path: &[u8]) -> Result<Vec<u8>, String>;
    /// Puts `text` in the place of a file, whole or not at all; the error is the system's words.
    fn replace_file(&self, path: &[u8], text: &[u8]) -> Result<(), String>;
    /// Drops `garbage` on another thread, because freeing it takes long; what one thread hands
    /// over, in that order, and each is missing from [`Host::used_memory`] before the next goes.
    fn drop_later(&self, garbage: Box<dyn Send>);
}

/// How a process is made to end (DEBUG PANIC, SEGFAULT, ASSERT).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Our own code gives up, for this reason.
    Panic(String),
    /// A wild pointer.
    Segfault,
}

bitflags! {
    /// States in which some commands are refused. All clear is the normal state: then the gate
    /// costs one load.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Refusals: u32 {
        /// A read-only replica.
        const READ_ONLY = 1;
        /// A replica without its master that serves no stale data.
        const STALE = 2;
        /// The dataset is being loaded.
        const LOADING = 4;
        /// The last background save failed.
        const MISCONF = 8;
        /// Fewer good replicas than asked for.
        const NO_REPLICAS = 16;
        /// CLIENT PAUSE WRITE or ALL.
        const PAUSED = 32;
        /// There is a limit to memory, or to that of clients: every command first makes room.
        const MEMORY = 1 << 16;
    }
}

/// Mail from one worker to another.
pub enum Mail {
    /// Look at this client again: it was killed, or what it waits for may have come.
    Look(ClientId),
    /// Look at all blocked clients again.
    LookAtBlocked,
    /// The stream has grown and you own replicas.
    StreamGrew,
    /// The role has changed: look at the link.
    Link,
    /// Something for one client.
    ToClient(ClientId, ToClient),
}

/// What another thread has for a client.
pub enum ToClient {
    /// Its full synchronisation begins.
    FullResync {
        /// To be sent at once.
        preamble: Vec<u8>,
        /// Where the stream goes on after the snapshot.
        cursor: Cursor,
    },
    /// To be sent at once.
    Bytes(Vec<u8>),
    /// What it waits for: to be given to [`Node::deliver_answer`], then it goes on.
    Answer(Box<Answer>),
}

struct Mailbox {
    mail: Mutex<Vec<Mail>>,
    /// Lets `take` skip the lock when there is none.
    any: AtomicBool,
}

/// What is fixed when a node is made.
pub struct NodeOptions {
    /// Threads that may touch the keyspace: the workers come first.
    pub gate_slots: usize,
    /// Workers.
    pub workers: usize,
    /// The configuration as read.
    pub config: Config,
    /// When the node starts.
    pub now: Now,
    /// Facts for INFO: process id, run id …
    pub identity: Identity,
}

/// Who this process is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Process number.
    pub pid: u32,
    /// Forty random characters that name this run.
    pub run_id: ReplId,
    /// Absolute path of the program.
    pub executable: String,
    /// Absolute path of the configuration file, or empty.
    pub config_file: String,
    /// Supervised by init or systemd.
    pub supervised: bool,
}

/// One node.
pub struct Node {
    /// All keys.
    pub keyspace: Keyspace,
    /// The way in and the way to be alone.
    pub gate: Gate,
    /// The stream of effects.
    pub stream: Stream,
    /// Connections.
    pub clients: Clients,
    /// Users.
    pub acl: Acl,
    /// Watched keys.
    pub watches: Watches,
    /// Who listens to which channel.
    pub pubsub: PubSub,
    /// What waits for clients that did not ask for it.
    pub pushes: Pushes,
    /// Clients that wait.
    pub blocking: Blocking,
    /// Who wants to see every command.
    pub monitors: Monitors,
    /// Who is told that a key has changed.
    pub tracking: Tracking,
    /// Classes of keyspace events that are published.
    pub(crate) events: AtomicU32,
    /// What a writable replica expires by itself.
    pub own_expiry: OwnExpiry,
    /// Counts.
    pub stats: Stats,
    /// Rates, peaks and kinds of errors.
    pub meters: Meters,
    /// How long commands take.
    pub monitor: Monitor,
    /// The master's and the replica's half of replication.
    pub replication: Replication,
    /// Snapshots.
    pub persistence: Persistence,
    /// `maxmemory` and how it is kept.
    pub(crate) eviction: Eviction,
    /// What is freed on another thread.
    pub(crate) lazy_free: LazyFree,
    /// A shutdown that waits for replicas.
    pub shutdown: Shutdown,
    /// The world.
    pub host: Arc<dyn Host>,
    /// Who this process is.
    pub identity: Identity,
    /// When it started.
    pub started: Now,
    /// Active expiry is on (DEBUG SET-ACTIVE-EXPIRE).
    pub active_expire: AtomicBool,
    /// What `rename-command` has changed.
    pub(crate) renames: Option<Renames>,
    /// Switches that only tests throw.
    pub levers: Levers,
    /// A recent reading of the wall clock in ms, for what has no reading at hand.
    pub recent_unix_ms: AtomicI64,
    /// The same of the other clock, in µs.
    pub recent_mono: AtomicU64,
    config: RwLock<Config>,
    hot: Hot,
    refusals: AtomicU32,
    replica: AtomicBool,
    pub(crate) pauses: Pauses,
    /// Held while a refusal is computed from what it follows from.
    pub(crate) judging: Mutex<()>,
    mailboxes: Box<[Mailbox]>,
}

/// Directives that every batch looks at, kept where a load is enough.
#[derive(Default)]
struct Hot {
    bulk_bytes_max: AtomicU64,
    hash_entries_max: AtomicUsize,
    hash_value_bytes_max: AtomicUsize,
    query_buffer_max: AtomicU64,
    maxclients: AtomicU64,
    /// `key-load-delay` in µs.
    key_load_delay: AtomicI32,
    /// `maxmemory-clients` in bytes.
    clients_limit: AtomicU64,
}

impl Node {
    /// A node with an empty keyspace, which is a master until it is told otherwise.
    pub fn new(options: NodeOptions, host: Arc<dyn Host>) -> Node {
        Node::with_stripes(options, host, STRIPES_LOG2)
    }

    /// The same with `2^stripes_log2` stripes: a simulated node, which has few keys and is made
    /// often, does with few.
    pub fn with_stripes(options: NodeOptions, host: Arc<dyn Host>, stripes_log2: u32) -> Node {
        let NodeOptions { gate_slots, workers, config, now, identity } = options;
        assert!(workers >= 1 && gate_slots >= workers);
        let mut key = [0; 16];
        host.random(&mut key);
        let [low, high] = [0, 8].map(|at| {
            u64::from_le_bytes(key[at..at + 8].try_into().expect("eight bytes of sixteen"))
        });
        let mut replid = [0; 20];
        host.random(&mut replid);
        let databases = u16::try_from(config.databases()).expect("the range ends before 65536");
        let node = Node {
            keyspace: Keyspace::new(databases, stripes_log2, [low, high]),
            gate: Gate::new(gate_slots),
            stream: Stream::new(config.repl_backlog_size()),
            clients: Clients::default(),
            acl: Acl::default(),
            watches: Watches::default(),
            pubsub: PubSub::default(),
            pushes: Pushes::new(workers),
            blocking: Blocking::new(1 << stripes_log2),
            monitors: Monitors::default(),
            tracking: Tracking::default(),
            events: AtomicU32::new(0),
            own_expiry: OwnExpiry::default(),
            stats: Stats::default(),
            meters: Meters::default(),
            monitor: Monitor::new(gate_slots),
            replication: Replication::new(ReplId::from_random(replid)),
            persistence: Persistence::new(now),
            eviction: Eviction::default(),
            lazy_free: LazyFree::default(),
            shutdown: Shutdown::default(),
            host,
            identity,
            started: now,
            active_expire: AtomicBool::new(true),
            renames: Renames::new(config.rename_commands()),
            levers: Levers::default(),
            recent_unix_ms: AtomicI64::new(now.unix.0),
            recent_mono: AtomicU64::new(now.mono.0),
            config: RwLock::new(config),
            hot: Hot::default(),
            refusals: AtomicU32::new(0),
            replica: AtomicBool::new(false),
            pauses: Pauses::default(),
            judging: Mutex::default(),
            mailboxes: (0..workers)
                .map(|_| Mailbox { mail: Mutex::default(), any: AtomicBool::new(false) })
                .collect(),
        };
        node.config_applied();
        node.apply_requirepass();
        node.meters.note_memory(node.host.process().used_memory);
        node
    }

    /// Number of workers.
    pub fn workers(&self) -> usize {
        self.mailboxes.len()
    }

    /// Reads the configuration.
    pub fn config(&self) -> std::sync::RwLockReadGuard<'_, Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the configuration; call [`Node::config_applied`] afterwards.
    pub fn config_mut(&self) -> std::sync::RwLockWriteGuard<'_, Config> {
        self.config.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies what hot paths look at out of the configuration.
    pub fn config_applied(&self) {
        let config = self.config();
        self.hot.bulk_bytes_max.store(config.proto_max_bulk_len(), Ordering::Relaxed);
        let HashLimits { entries, value_bytes } = config.hash_limits();
        self.keyspace.keep_overwritten(config.lazyfree_lazy_server_del());
        self.hot.hash_entries_max.store(entries, Ordering::Relaxed);
        self.hot.hash_value_bytes_max.store(value_bytes, Ordering::Relaxed);
        self.hot.query_buffer_max.store(config.client_query_buffer_limit(), Ordering::Relaxed);
        self.hot.maxclients.store(config.maxclients().into(), Ordering::Relaxed);
        self.hot.key_load_delay.store(config.key_load_delay(), Ordering::Relaxed);
        self.stream.resize(config.repl_backlog_size());
        self.monitor.follow(&config);
        self.events.store(config.notify_keyspace_events().bits(), Ordering::Relaxed);
        let tracked_keys_max = config.tracking_table_max_keys();
        self.hot.clients_limit.store(crate::client_memory::limit(&config), Ordering::Relaxed);
        self.eviction.apply(&config);
        let measure = config.maxmemory_policy().measure(&config);
        self.keyspace.measure_access(measure, self.recent_unix());
        drop(config);
        self.set_tracking_limit(tracked_keys_max);
        self.update_refusals();
    }

    /// When a hash no longer is a listpack.
    pub fn hash_limits(&self) -> HashLimits {
        HashLimits {
            entries: self.hot.hash_entries_max.load(Ordering::Relaxed),
            value_bytes: self.hot.hash_value_bytes_max.load(Ordering::Relaxed),
        }
    }

    /// Longest argument and value, in bytes.
    pub fn bulk_bytes_max(&self) -> usize {
        self.hot.bulk_bytes_max.load(Ordering::Relaxed) as usize
    }

    /// Most bytes of unfinished requests.
    pub fn query_buffer_max(&self) -> usize {
        self.hot.query_buffer_max.load(Ordering::Relaxed) as usize
    }

    /// How long to wait after each key that is loaded, in µs; below zero: a µs after so many.
    #[inline]
    pub fn key_load_delay(&self) -> i32 {
        self.hot.key_load_delay.load(Ordering::Relaxed)
    }

    /// Whether there is a limit to the memory in use.
    #[inline]
    pub fn memory_is_limited(&self) -> bool {
        self.eviction.limit() != 0
    }

    /// Most bytes that connections may hold together; 0: no limit.
    #[inline]
    pub fn clients_limit(&self) -> u64 {
        self.hot.clients_limit.load(Ordering::Relaxed)
    }

    /// Most connections.
    pub fn maxclients(&self) -> usize {
        self.hot.maxclients.load(Ordering::Relaxed) as usize
    }

    /// States in which some commands are refused.
    #[inline]
    pub fn refusals(&self) -> Refusals {
        Refusals::from_bits_retain(self.refusals.load(Ordering::Relaxed))
    }

    /// Enters or leaves a state.
    pub fn refuse(&self, state: Refusals, on: bool) {
        if on {
            self.refusals.fetch_or(state.bits(), Ordering::Relaxed);
        } else {
            self.refusals.fetch_and(!state.bits(), Ordering::Relaxed);
        }
    }

    /// Whether we follow a master.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.replica.load(Ordering::Relaxed)
    }

    /// Whether effects go into the stream. A replica's stream is its master's, byte for byte: what
    /// clients write to a writable replica stays there.
    #[inline]
    pub fn tells_replicas(&self) -> bool {
        self.stream.is_active() && !self.is_replica()
    }

    /// Changes the role; the keyspace must be held alone.
    pub fn set_replica(&self, replica: bool) {
        self.replica.store(replica, Ordering::Relaxed);
        self.host.role_changed(replica);
        self.update_refusals();
    }

    /// Writes a log line.
    pub fn log(&self, level: Level, text: &str) {
        self.host.log(level, text);
    }

    /// A new name for a history.
    pub fn random_replid(&self) -> ReplId {
        let mut bytes = [0; 20];
        self.host.random(&mut bytes);
        ReplId::from_random(bytes)
    }

    // ---- mail ----

    /// Leaves mail for a worker and wakes it.
    pub fn mail(&self, worker: usize, mail: Mail) {
        let mailbox = &self.mailboxes[worker];
        lock(&mailbox.mail).push(mail);
        mailbox.any.store(true, Ordering::SeqCst);
        self.host.wake(worker);
    }

    /// Leaves mail for every worker.
    pub fn mail_all(&self, make: impl Fn() -> Mail) {
        for worker in 0..self.workers() {
            self.mail(worker, make());
        }
    }

    /// Whether a worker has mail, or something for its clients, or for those in broadcasting mode
    /// of what nobody's command has changed.
    pub fn has_mail(&self, worker: usize) -> bool {
        self.mailboxes[worker].any.load(Ordering::SeqCst)
            || self.pushes.any(worker)
            || (worker == BROADCASTER && self.tracking.has_news())
    }

    /// Takes a worker's mail.
    pub fn take_mail(&self, worker: usize) -> Vec<Mail> {
        let mailbox = &self.mailboxes[worker];
        if !mailbox.any.swap(false, Ordering::SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut lock(&mailbox.mail))
    }

    /// A recent reading of the wall clock.
    pub fn recent_unix(&self) -> UnixMs {
        UnixMs(self.recent_unix_ms.load(Ordering::Relaxed))
    }
}

/// 1,024 stripes: enough that two workers seldom meet, few enough to walk.
const STRIPES_LOG2: u32 = 10;

/// Locks, and goes on with what a panicked thread left: a panic ends the process anyway.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
