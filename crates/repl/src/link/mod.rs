//! The replica's half of replication: one [`Link`] for one `REPLICAOF host port`.
//!
//! ```text
//! Connect ─► Connecting ─► Handshake ─► Psync ─► Header ─► Body ─► Loading ─► Stream
//!    ▲                                   └── +CONTINUE ────────────────────────▲ │
//!    └────────────── any failure, from anywhere: at once, then ever later ───────┘
//! ```
//! The link decides and words; the driver moves bytes. Its calling order:
//!
//! 1. call an input method ([`receive`](Link::receive), [`connected`](Link::connected), …);
//! 2. deal with the bytes that `receive` handed on, **then** drain [`Link::poll`];
//! 3. ask [`Link::next_timeout`] last, and call [`Link::tick`] when it has passed.
//!
//! PING goes first and alone, because its answer tells whether this is a master at all; then
//! AUTH and the REPLCONFs go out together, as Redis does it, and their answers are read one by
//! one, because an old master may refuse a single option and be a master still.
//!
//! The hot path costs nothing: bytes of the RDB and of the stream are handed on as slices of
//! what the driver read. Absent: sockets, clocks, files, parsing of the stream, and what the
//! data does with it all. The link counts received bytes; which of them are *applied* only the
//! engine knows and tells ([`Link::applied`]), and that is what the next PSYNC asks for.

mod context;
mod failure;
mod handshake;
mod psync;
mod state;
mod transfer;

use tandem_base::{Mono, ReplId, ReplOffset};

use crate::log::LogLine;
use context::Context;
use state::{Input, State};
use transfer::{Body, Piece};

pub use context::{Auth, LoadTo, Settings};

/// The place in a master's history that a replica can go on from: what Redis calls the
/// cached master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedMaster {
    /// The history.
    pub replid: ReplId,
    /// The last byte of it that has been applied.
    pub offset: ReplOffset,
}

/// What a full resync starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// The history that the RDB is a moment of; `None` from a master that only knows SYNC: its
    /// stream has no name and cannot be resumed.
    pub replid: Option<ReplId>,
    /// The stream goes on after this offset.
    pub offset: ReplOffset,
}

/// What the driver has to do, in order.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a connection; answer with [`Link::connected`] or a failure.
    Dial {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
    },
    /// Write these bytes to the master, if there still is a connection.
    Send(Vec<u8>),
    /// RDB bytes will follow: to a file, or straight into the parser. With
    /// [`LoadTo::Parser`] the old data is to be dropped now, and sub-replicas and the backlog
    /// with it.
    BeginRdb {
        /// How many bytes; unknown when the master streams while it saves.
        size_bytes: Option<u64>,
        /// What the RDB is a moment of.
        base: Base,
        /// Where to put it.
        load_to: LoadTo,
    },
    /// The RDB is complete. With [`LoadTo::Disk`] the old data is to be dropped now, and
    /// sub-replicas and the backlog with it. Load it and answer with [`Link::loaded`].
    EndRdb,
    /// Throw away what has come of the RDB.
    AbortRdb,
    /// The link is up after a full resync: take over its history and offset
    /// ([`History::full_resynced`](crate::history::History::full_resynced),
    /// [`Stream::reset_to`](crate::stream::Stream::reset_to)). The database that the stream has
    /// selected is the RDB's `repl-stream-db`: a master that is a replica itself cannot say
    /// SELECT for our sake.
    Synced(Base),
    /// The link is up again where it was. With a new id the master has been promoted:
    /// [`History::adopt`](crate::history::History::adopt) it and cut the sub-replicas off, so
    /// that they hear of it. A stream that is still inactive is to be activated.
    Resumed {
        /// The id to adopt, if it is another one.
        new_replid: Option<ReplId>,
    },
    /// Drop the connection, if there still is one.
    Close,
    /// Write a line to the log.
    Log(LogLine),
}

/// What [`Link::receive`] made of some bytes.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// Bytes of the input that are dealt with. Call again with the rest. Zero without `data`
    /// means that the link wants no bytes now ([`Link::wants_bytes`]): keep the rest.
    pub used: usize,
    /// What is to be handed on.
    pub data: Data<'a>,
}

/// Bytes that pass through the link.
#[derive(Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// Nothing to hand on; the bytes were the link's own.
    None,
    /// The next bytes of the RDB.
    Rdb(&'a [u8]),
    /// The next bytes of the stream, verbatim.
    Stream(&'a [u8]),
}

/// How far a full resync has come, as INFO tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncProgress {
    /// `master_sync_total_bytes`: -1 before the master has said, 0 when it cannot know.
    pub total_bytes: i64,
    /// `master_sync_read_bytes`.
    pub read_bytes: u64,
    /// When the last byte came.
    pub last_io: Mono,
}

/// A replica's connection to its master, from the first dial to the end of its role.
pub struct Link {
    state: State,
    cx: Context,
}

impl Link {
    /// Starts to replicate from `host:port`, going on at `cached` if the master can.
    pub fn new(
        host: &str,
        port: u16,
        settings: Settings,
        cached: Option<CachedMaster>,
        now: Mono,
    ) -> Link {
        let mut cx = Context::new(host, port, settings, cached, now);
        cx.notice(format!("Connecting to MASTER {host}:{port}"));
        let state = state::dial(now, &mut cx);
        Link { state, cx }
    }

    /// The connection that was dialled stands.
    pub fn connected(&mut self, now: Mono) {
        self.cx.last_io = now;
        self.step(Input::Connected, now);
    }

    /// Nothing could even be dialled: no such host, no socket.
    pub fn dial_failed(&mut self, why: &str, now: Mono) {
        self.step(Input::DialFailed(why), now);
    }

    /// The connection that was dialled failed.
    pub fn connect_failed(&mut self, why: &str, now: Mono) {
        self.step(Input::ConnectFailed(why), now);
    }

    /// The connection is gone, or somebody killed it. `why` is the system's word, or
    /// "connection lost".
    pub fn closed(&mut self, why: &str, now: Mono) {
        self.step(Input::Closed(why), now);
    }

    /// The stream cannot be understood (a broken frame, an inline command): what we have is
    /// not to be trusted, so there will be no partial resync. The engine has logged it.
    pub fn desynced(&mut self, now: Mono) {
        self.step(Input::Desynced, now);
    }

    /// The RDB is loaded, or why not. A parser may refuse it before all bytes are there; that
    /// it is loaded is said after [`Output::EndRdb`] only.
    pub fn loaded(&mut self, result: Result<(), &str>, now: Mono) {
        self.step(Input::Loaded(result), now);
    }

    /// The RDB's file cannot be written, or not be kept: `line` is for the log. What came is of no
    /// use; the data are still the old ones.
    pub fn spool_failed(&mut self, line: &str, now: Mono) {
        self.step(Input::SpoolFailed(line), now);
    }

    /// The driver has not read from the connection of late, though the link wants bytes: silence
    /// is not the master's then.
    pub fn is_not_read(&mut self, now: Mono) {
        self.cx.last_io = now;
    }

    /// Fires what is due.
    pub fn tick(&mut self, now: Mono) {
        if self.next_timeout().is_some_and(|at| at <= now) {
            self.step(Input::Tick, now);
        }
    }

    /// When [`Link::tick`] is to be called.
    pub fn next_timeout(&self) -> Option<Mono> {
        self.state.next_timeout(&self.cx)
    }

    /// The next thing to do, until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        self.cx.outputs.pop_front()
    }

    /// Takes bytes from the master. Deals with one thing: a line, or bytes to hand on.
    pub fn receive<'a>(&'a mut self, bytes: &'a [u8], now: Mono) -> Received<'a> {
        if !bytes.is_empty() {
            self.cx.last_io = now;
        }
        match &mut self.state {
            State::Stream(up) => {
                up.received.0 += bytes.len() as u64;
                Received { used: bytes.len(), data: Data::Stream(bytes) }
            }
            State::Body { .. } => self.receive_body(bytes, now),
            state if state.reads_lines() => self.receive_line(bytes, now),
            State::Loading { .. } => Received { used: 0, data: Data::None },
            // The driver had read on before it saw that the connection is to be closed.
            _ => Received { used: bytes.len(), data: Data::None },
        }
    }

    /// Whether to read from the connection at all: not while the RDB is being loaded.
    pub fn wants_bytes(&self) -> bool {
        !matches!(self.state, State::Loading { .. })
    }

    /// The engine has applied the stream up to `offset`.
    pub fn applied(&mut self, offset: ReplOffset) {
        if let State::Stream(up) = &mut self.state {
            assert!(up.applied <= offset, "applied bytes do not become unapplied");
            assert!(offset <= up.received, "applied bytes that never came");
            up.applied = offset;
        }
    }

    /// Tells the master our offset at once: it asked (GETACK), or somebody waits for it.
    pub fn ack(&mut self, now: Mono) {
        if let State::Stream(up) = &mut self.state {
            up.send_ack(now, &mut self.cx);
        }
    }

    /// Ends the link and tells where a next one may go on. The driver drains the outputs and
    /// drops the link.
    pub fn leave(&mut self, now: Mono) -> Option<CachedMaster> {
        let state = std::mem::replace(&mut self.state, State::Left);
        state.tear_down(now, &mut self.cx);
        self.cx.cached.take()
    }

    /// Ends the link, and the role with it: `REPLICAOF NO ONE`. No place is kept, for what is
    /// written from now on is in no master's stream.
    pub fn abandon(&mut self, now: Mono) {
        self.cx.cached = self.leave(now);
        self.cx.discard_cached();
    }

    /// The settings; what is changed counts from the next time it is needed.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.cx.settings
    }

    /// The master's host, as the user named it.
    pub fn host(&self) -> &str {
        &self.cx.host
    }

    /// The master's port.
    pub fn port(&self) -> u16 {
        self.cx.port
    }

    /// The state in ROLE's words: `connect`, `connecting`, `handshake`, `sync`, `connected`.
    pub fn role_state(&self) -> &'static str {
        self.state.role_word()
    }

    /// `master_link_status` is `up`.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Stream(_))
    }

    /// Since when the link is down, after it was up: `master_link_down_since_seconds`.
    pub fn down_since(&self) -> Option<Mono> {
        self.cx.down_since
    }

    /// When the master was last heard of, while the link is up: `master_last_io_seconds_ago`.
    pub fn last_io(&self) -> Option<Mono> {
        self.is_up().then_some(self.cx.last_io)
    }

    /// A full resync under way: `master_sync_in_progress` and its figures.
    pub fn sync_progress(&self) -> Option<SyncProgress> {
        let total_bytes = match &self.state {
            State::Header { .. } => -1,
            State::Body { .. } | State::Loading { .. } => self.cx.rdb_total_bytes,
            _ => return None,
        };
        let read_bytes = self.cx.rdb_read_bytes;
        Some(SyncProgress { total_bytes, read_bytes, last_io: self.cx.last_io })
    }

    /// Offsets of the last byte received and of the last one applied: `slave_read_repl_offset`
    /// and `slave_repl_offset`. `None` when there is no master to count from.
    pub fn offsets(&self) -> Option<(ReplOffset, ReplOffset)> {
        match &self.state {
            State::Stream(up) => Some((up.received, up.applied)),
            _ => self.cx.cached.map(|cached| (cached.offset, cached.offset)),
        }
    }

    fn receive_line<'a>(&'a mut self, bytes: &'a [u8], now: Mono) -> Received<'a> {
        let (used, whole) = match memchr::memchr(b'\n', bytes) {
            Some(at) => (at + 1, true),
            None => (bytes.len(), false),
        };
        if self.cx.line.len() + used > context::LINE_BYTES_MAX {
            self.step(Input::EndlessLine, now);
            return Received { used: bytes.len(), data: Data::None };
        }
        self.cx.line.extend_from_slice(&bytes[..used]);
        if whole {
            let mut line = std::mem::take(&mut self.cx.line);
            let text = line.strip_suffix(b"\n").expect("whole");
            self.step(Input::Line(text.strip_suffix(b"\r").unwrap_or(text)), now);
            line.clear();
            self.cx.line = line;
        }
        Received { used, data: Data::None }
    }

    fn receive_body<'a>(&'a mut self, bytes: &'a [u8], now: Mono) -> Received<'a> {
        let State::Body { body, .. } = &mut self.state else { unreachable!("asked for a body") };
        let taken = body.take(bytes);
        match taken.piece {
            Piece::Input(len) => {
                self.cx.rdb_read_bytes += len as u64;
                if taken.done {
                    self.step(Input::RdbComplete, now);
                }
                let data = if len == 0 { Data::None } else { Data::Rdb(&bytes[..len]) };
                Received { used: taken.used, data }
            }
            Piece::Held(len) => {
                self.cx.rdb_read_bytes += len as u64;
                let State::Body { body: Body::Marked(body), .. } = &self.state else {
                    unreachable!("only a body with a mark holds bytes back")
                };
                Received { used: taken.used, data: Data::Rdb(&body.mark[..len]) }
            }
        }
    }

    fn step(&mut self, input: Input<'_>, now: Mono) {
        let state = std::mem::replace(&mut self.state, State::Left);
        self.state = state::step(state, input, now, &mut self.cx);
    }
}

#[cfg(test)]
mod tests;
