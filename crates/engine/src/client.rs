//! One connection as the engine sees it.
//!
//! ```text
//! bytes ─► Session { input ─► requests ─► client (state) ─► out } ─► bytes
//! ```
//!
//! A session belongs to one worker. What other workers may look at or ask of it (CLIENT LIST,
//! CLIENT KILL) stands in its [`ClientInfo`], shared through the register.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use tandem_base::{DbIndex, Mono, Now, ReplOffset, UnixMs};
use tandem_repl::replconf::ReplicaFacts;
use tandem_repl::stream::Cursor;
use tandem_resp::{OutBuf, OwnedArgs, Parser, Proto};

use crate::acl::{Login, User};
use crate::blocking::{Waiter, Waiting};
use crate::client_memory::FIXED_BYTES;
use crate::pubsub::Subscriptions;
use crate::spec::Spec;
use crate::tracking::Mode;

/// Names a connection for the life of the server.
pub type ClientId = u64;

/// One connection: what it has sent, what it is, what it will be sent.
#[derive(Default)]
pub struct Input {
    /// Finds requests.
    pub parser: Parser,
    /// Bytes of requests that are not finished or may not run yet.
    pub held: Vec<u8>,
    /// A large argument being read into its own allocation.
    pub large: Option<LargeArg>,
}

/// A large argument on its way: filled by the server straight from the socket.
pub struct LargeArg {
    /// What has arrived, at most the argument and its CRLF.
    pub bytes: Vec<u8>,
    /// Length of the argument, CRLF not included.
    pub want: usize,
}

impl LargeArg {
    /// Bytes still to come, CRLF included.
    pub fn missing(&self) -> usize {
        self.want + 2 - self.bytes.len()
    }
}

/// A connection with its buffers.
pub struct Session {
    /// What it has sent.
    pub input: Input,
    /// What it is.
    pub client: Client,
    /// What it will be sent.
    pub out: OutBuf,
}

impl Session {
    /// A new connection, already entered into the register.
    pub fn new(info: Arc<ClientInfo>, user: Arc<User>, authenticated: bool) -> Session {
        Session {
            input: Input::default(),
            client: Client::new(info, user, authenticated),
            out: OutBuf::default(),
        }
    }

    /// Whether input must wait: the client is blocked or about to be closed.
    pub fn is_stopped(&self) -> bool {
        self.client.blocked.is_some() || self.client.closing
    }
}

/// Which replies a client wants (CLIENT REPLY).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    /// All.
    #[default]
    On,
    /// None.
    Off,
    /// Not the next one: set while CLIENT REPLY SKIP itself runs.
    SkipAfterThis,
    /// Not this one.
    SkipThis,
}

/// Why a client's next request must wait.
pub enum Blocked {
    /// For a key to become ready, or for replicas: see [`blocking`](crate::blocking).
    Waiting(Waiting),
    /// SHUTDOWN: until the process ends, or until one more shutdown than this was undone.
    Shutdown {
        /// See [`Shutdown::undone`](crate::shutdown::Shutdown::undone).
        undone: u64,
    },
    /// CLIENT PAUSE: until the pause ends. The request that met it runs then.
    Pause,
}

/// A queued command of a transaction.
pub struct Queued {
    /// Which command.
    pub spec: &'static Spec,
    /// Its arguments.
    pub args: OwnedArgs,
}

/// An open transaction.
#[derive(Default)]
pub struct Transaction {
    /// What EXEC will run.
    pub queued: Vec<Queued>,
    /// A command could not be queued: EXEC will refuse.
    pub aborted: bool,
    /// Arguments held, in bytes.
    pub bytes: usize,
}

/// A watched key.
pub struct Watched {
    /// Its database.
    pub db: DbIndex,
    /// The key.
    pub key: Vec<u8>,
    /// It was there when it was watched, and its time had not come.
    pub was_alive: bool,
}

/// What a connection has become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Sends commands and gets replies.
    #[default]
    Normal,
    /// Has asked to synchronise: gets the stream, and no replies.
    Replica,
}

/// What replies follow the replies: the source of a replica's bytes.
pub enum Feed {
    /// Nothing yet: the full synchronisation has not begun. Holds the place in the stream where
    /// it will go on once it has.
    Waiting(Option<Cursor>),
    /// The stream itself.
    Stream(Cursor),
}

/// The state of one client.
pub struct Client {
    /// What others may see.
    pub info: Arc<ClientInfo>,
    /// The selected database.
    pub db: DbIndex,
    /// Whether it has proved who it is, or came when it need not.
    pub authenticated: bool,
    /// Who it is, and what it may do.
    pub login: Login,
    /// The open transaction.
    pub transaction: Option<Transaction>,
    /// Watched keys.
    pub watched: Vec<Watched>,
    /// Raised when one of them changes.
    pub watch_flag: Arc<AtomicBool>,
    /// Which replies it wants.
    pub reply_mode: ReplyMode,
    /// Why it waits.
    pub blocked: Option<Blocked>,
    /// A request that met a pause and runs when it ends.
    pub postponed: Option<OwnedArgs>,
    /// The connection ends when what is in `out` has been sent.
    pub closing: bool,
    /// What it has become.
    pub kind: Kind,
    /// What it has said about itself as a replica.
    pub replica_facts: ReplicaFacts,
    /// A replica's source of bytes.
    pub feed: Option<Feed>,
    /// End of the stream after this client's last command: what it has written or read stands
    /// before, whoever wrote it. What WAIT waits for; its own question comes behind.
    pub seen: ReplOffset,
    /// Since when the output buffer has been over its soft limit.
    pub over_soft_limit_since: Option<Mono>,
    /// It may get what it did not ask for just now, or must be looked at more closely for some
    /// other reason: says whether the fields below matter.
    pub listens: bool,
    /// What it subscribes to; `None` for nothing.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// How it tracks keys; `None` if it does not.
    pub tracking: Option<Box<Mode>>,
    /// It sees every command (MONITOR).
    pub is_monitor: bool,
    /// Number of the first push that it has not had; see `pushes.rs`.
    pub pushes_seen: u64,
    /// What the running command writes is sent even if the client wants no replies.
    pub pushing: bool,
    /// Its PSYNC has just been answered with `+CONTINUE`: the last reply before the stream.
    pub was_continued: bool,
}

impl Client {
    fn new(info: Arc<ClientInfo>, user: Arc<User>, authenticated: bool) -> Client {
        let watch_flag = Arc::clone(&info.watch_flag);
        info.set_user(Arc::clone(&user));
        Client {
            info,
            db: DbIndex(0),
            authenticated,
            login: Login::new(user),
            transaction: None,
            watched: Vec::new(),
            watch_flag,
            reply_mode: ReplyMode::On,
            blocked: None,
            postponed: None,
            closing: false,
            kind: Kind::Normal,
            replica_facts: ReplicaFacts::default(),
            feed: None,
            seen: ReplOffset(0),
            over_soft_limit_since: None,
            listens: false,
            subscriptions: None,
            tracking: None,
            is_monitor: false,
            pushes_seen: 0,
            pushing: false,
            was_continued: false,
        }
    }

    /// The protocol that it speaks.
    pub fn proto(&self) -> Proto {
        if self.info.resp.load(Ordering::Relaxed) == 3 { Proto::V3 } else { Proto::V2 }
    }

    /// To be called when something that [`Client::listens`] sums up has changed.
    pub fn update_listens(&mut self) {
        self.listens = self.subscriptions.is_some()
            || self.tracking.is_some()
            || self.is_monitor
            || self.kind == Kind::Replica;
    }

    /// Whether it is what Redis flags as a replica: MONITOR makes one of a client, but for the
    /// stream.
    pub fn is_replica_or_monitor(&self) -> bool {
        self.kind == Kind::Replica || self.is_monitor
    }

    /// Its number.
    pub fn id(&self) -> ClientId {
        self.info.id
    }

    /// Selects a database.
    pub fn select(&mut self, db: DbIndex) {
        self.db = db;
        self.info.db.store(u32::from(db.0), Ordering::Relaxed);
    }
}

bitflags::bitflags! {
    /// The flags of CLIENT LIST.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ClientFlags: u32 {
        /// `S`: a replica.
        const REPLICA = 1;
        /// `M`: our master.
        const MASTER = 2;
        /// `x`: in a transaction.
        const MULTI = 4;
        /// `b`: blocked.
        const BLOCKED = 8;
        /// `d`: a watched key has changed.
        const DIRTY = 16;
        /// `U`: over the unix socket.
        const UNIX_SOCKET = 32;
        /// `c`: will be closed after its replies.
        const CLOSING = 64;
        /// `e`: excluded from client eviction.
        const NO_EVICT = 128;
        /// A replica whose full synchronisation has begun and that gets the stream.
        const ONLINE = 256;
        /// `P`: has subscriptions.
        const PUBSUB = 512;
        /// `O`: sees every command.
        const MONITOR = 1024;
        /// `t`: is told of changes of keys.
        const TRACKING = 2048;
        /// `R`: … and the client that it redirects to is gone.
        const BROKEN_REDIRECT = 4096;
        /// `B`: … of all keys with its prefixes.
        const BCAST = 8192;
        /// … but not of its own.
        const NOLOOP = 1 << 14;
    }
}

/// What other workers may see of a client.
pub struct ClientInfo {
    /// Its number.
    pub id: ClientId,
    /// The worker that owns it.
    pub worker: usize,
    /// The file descriptor, as a number to show.
    pub fd: i32,
    /// Its address, `ip:port` or the unix socket's path and `:0`.
    pub addr: String,
    /// Our end of the connection.
    pub laddr: String,
    /// When it came.
    pub since: UnixMs,
    /// Names that it gave itself.
    names: Mutex<Names>,
    /// Who it is; `None` before its session is made.
    user: Mutex<Option<Arc<User>>>,
    /// When it last sent something.
    pub last_active: AtomicI64,
    /// Selected database.
    pub db: AtomicU32,
    /// [`ClientFlags`].
    flags: AtomicU32,
    /// Queued commands, -1 outside a transaction.
    pub multi: AtomicI64,
    /// Bytes of unfinished requests.
    pub query_bytes: AtomicU64,
    /// Room in the buffers of requests that nothing has come into yet.
    pub query_free_bytes: AtomicU64,
    /// Bytes of arguments that have been read, of a request that has not come to its end.
    pub argument_bytes: AtomicU64,
    /// Bytes of the open transaction's commands.
    pub queued_bytes: AtomicU64,
    /// Bytes of replies not yet sent.
    pub reply_bytes: AtomicU64,
    /// Bytes of the buffer that small replies are written into.
    pub buffer_bytes: AtomicU64,
    /// All that the connection holds.
    pub memory_bytes: AtomicU64,
    /// What of it is in the sum over all connections.
    share: AtomicU64,
    /// Protocol version.
    pub resp: AtomicU32,
    /// Its last command.
    last_command: AtomicPtr<Spec>,
    /// It must go; its worker sees to that.
    pub killed: AtomicBool,
    /// Raised when a key that it watches changes.
    pub watch_flag: Arc<AtomicBool>,
    /// What it waits for, for who wants to call it off.
    pub(crate) waiter: Mutex<Option<Arc<Waiter>>>,
    /// Who is told in its place of changes of keys; 0 for itself.
    pub redirect: AtomicU64,
    /// Subscriptions to channels, patterns and shard channels.
    pub subscriptions: [AtomicU32; 3],
}

/// Names that a client gave itself.
#[derive(Clone, Default, Debug)]
pub struct Names {
    /// CLIENT SETNAME.
    pub name: String,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: String,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: String,
}

impl ClientInfo {
    /// What is known when a connection comes.
    pub fn new(
        id: ClientId,
        worker: usize,
        fd: i32,
        addr: String,
        laddr: String,
        now: Now,
    ) -> ClientInfo {
        ClientInfo {
            id,
            worker,
            fd,
            addr,
            laddr,
            since: now.unix,
            names: Mutex::default(),
            user: Mutex::default(),
            last_active: AtomicI64::new(now.unix.0),
            db: AtomicU32::new(0),
            flags: AtomicU32::new(0),
            multi: AtomicI64::new(-1),
            query_bytes: AtomicU64::new(0),
            query_free_bytes: AtomicU64::new(0),
            argument_bytes: AtomicU64::new(0),
            queued_bytes: AtomicU64::new(0),
            reply_bytes: AtomicU64::new(0),
            buffer_bytes: AtomicU64::new(0),
            memory_bytes: AtomicU64::new(FIXED_BYTES),
            share: AtomicU64::new(0),
            resp: AtomicU32::new(2),
            last_command: AtomicPtr::new(std::ptr::null_mut()),
            killed: AtomicBool::new(false),
            watch_flag: Arc::default(),
            waiter: Mutex::default(),
            redirect: AtomicU64::new(0),
            subscriptions: Default::default(),
        }
    }

    /// The names, to read or change.
    pub fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who it is.
    pub fn user(&self) -> Option<Arc<User>> {
        self.user.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_user(&self, user: Arc<User>) {
        *self.user.lock().unwrap_or_else(PoisonError::into_inner) = Some(user);
    }

    /// Its flags.
    pub fn flags(&self) -> ClientFlags {
        ClientFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    /// Sets or clears a flag.
    pub fn set_flag(&self, flag: ClientFlags, on: bool) {
        if on {
            self.flags.fetch_or(flag.bits(), Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!flag.bits(), Ordering::Relaxed);
        }
    }

    /// Notes its last command.
    #[inline]
    pub fn set_last_command(&self, spec: &'static Spec) {
        self.last_command.store(std::ptr::from_ref(spec).cast_mut(), Ordering::Relaxed);
    }

    /// Its last command.
    pub fn last_command(&self) -> Option<&'static Spec> {
        let at = self.last_command.load(Ordering::Relaxed).cast_const();
        // Only addresses of entries of the static table are ever stored.
        crate::commands::spec_at(at)
    }

    /// Its last command's name, or `NULL`.
    pub fn last_command_name(&self) -> &'static str {
        self.last_command().map_or("NULL", |spec| spec.name)
    }
}

/// All connections.
#[derive(Default)]
pub struct Clients {
    next_id: AtomicU64,
    all: Mutex<HashMap<ClientId, Arc<ClientInfo>>>,
    /// What connections hold, replicas not included.
    held_bytes: AtomicI64,
    /// Held by whoever ends connections because they hold too much.
    pub(crate) evicting: Mutex<()>,
}

impl Clients {
    /// A number for a new connection; 1 is the first.
    pub fn next_id(&self) -> ClientId {
        self.next_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ClientId, Arc<ClientInfo>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection.
    pub fn add(&self, info: Arc<ClientInfo>) {
        self.set_share(&info, FIXED_BYTES);
        let before = self.all().insert(info.id, info);
        assert!(before.is_none(), "client numbers are given once");
    }

    /// Strikes a connection off.
    pub fn remove(&self, id: ClientId) {
        if let Some(info) = self.all().remove(&id) {
            self.set_share(&info, 0);
        }
    }

    /// What a connection adds to the sum. One that was killed adds nothing any more, whoever
    /// still counts it.
    pub(crate) fn set_share(&self, info: &ClientInfo, bytes: u64) {
        let before = info.share.swap(bytes, Ordering::SeqCst);
        let mut change = bytes.cast_signed() - before.cast_signed();
        if info.killed.load(Ordering::SeqCst) {
            change -= info.share.swap(0, Ordering::SeqCst).cast_signed();
        }
        self.held_bytes.fetch_add(change, Ordering::Relaxed);
    }

    /// What connections hold together, in bytes; replicas are not counted.
    #[inline]
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes.load(Ordering::Relaxed).max(0).cast_unsigned()
    }

    /// Number of connections.
    pub fn len(&self) -> usize {
        self.all().len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// One connection.
    pub fn get(&self, id: ClientId) -> Option<Arc<ClientInfo>> {
        self.all().get(&id).cloned()
    }

    /// The connections that pass `test`, in no order.
    pub(crate) fn those(&self, test: impl Fn(&ClientInfo) -> bool) -> Vec<Arc<ClientInfo>> {
        self.all().values().filter(|info| test(info)).cloned().collect()
    }

    /// All connections, oldest first.
    pub fn snapshot(&self) -> Vec<Arc<ClientInfo>> {
        let mut all: Vec<_> = self.all().values().cloned().collect();
        all.sort_unstable_by_key(|info| info.id);
        all
    }
}
