//! What outlives a state of the link: whom to call, how, what we remember, what is to be done.

use std::collections::VecDeque;

use tandem_base::Mono;

use super::{CachedMaster, Output};
use crate::log::LogLine;
use crate::wire;

/// Longest line that a master may send in the handshake; Redis reads 1,024 at most.
pub(super) const LINE_BYTES_MAX: usize = 1024;
/// An ACK, or a sign of life while loading, each second.
pub(super) const HEARTBEAT_MS: u64 = 1000;
/// A link that was up for so long was a good one: the next dial is at once. A byte alone proves
/// nothing: what a partial resync brings comes before the master can have answered our first ACK.
pub(super) const GOOD_LINK_MS: u64 = 100;
const RETRY_FIRST_MS: u64 = 10;
/// The longest wait between two dials; what Redis always waits.
pub(super) const RETRY_MOST_MS: u64 = 1000;

/// What the configuration says about the link. Everything may change at run time.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `repl-timeout`: silence for so long is a lost link. Milliseconds.
    pub repl_timeout_ms: u64,
    /// `masteruser` and `masterauth`.
    pub auth: Option<Auth>,
    /// The port we tell the master: `replica-announce-port`, or the one we listen at.
    pub listening_port: u16,
    /// `replica-announce-ip`.
    pub announce_ip: Option<String>,
    /// Where an RDB goes, as things stand (`repl-diskless-load` and whether there is data).
    pub load_to: LoadTo,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            repl_timeout_ms: 60_000,
            auth: None,
            listening_port: 6379,
            announce_ip: None,
            load_to: LoadTo::Disk,
        }
    }
}

/// What to tell a master that asks for a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// `masteruser`; without one the default user is meant.
    pub user: Option<Vec<u8>>,
    /// `masterauth`.
    pub password: Vec<u8>,
}

impl std::fmt::Debug for Auth {
    /// Says nothing of the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Where the bytes of an RDB go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadTo {
    /// Into a file, which is loaded when it is complete. The old data stays until then.
    Disk,
    /// Straight into the parser, in place of the old data.
    Parser,
}

/// Held once, handed to every step.
pub(super) struct Context {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) settings: Settings,
    /// Where a next PSYNC can go on; `None` while the link is up (the state knows then).
    pub(super) cached: Option<CachedMaster>,
    pub(super) outputs: VecDeque<Output>,
    /// The start of a line whose end has not come.
    pub(super) line: Vec<u8>,
    /// When the master was last heard of, or dialled.
    pub(super) last_io: Mono,
    pub(super) down_since: Option<Mono>,
    /// Attempts since the last good link.
    pub(super) failures: u32,
    /// The size that the master has announced; 0 if it could not.
    pub(super) rdb_total_bytes: i64,
    pub(super) rdb_read_bytes: u64,
    /// The RDB came while it was made: its master waits for our ACK.
    pub(super) rdb_streamed: bool,
    /// The present master has answered a REPLCONF with an error: it may hang up on an ACK.
    pub(super) replconf_refused: bool,
}

impl Context {
    pub(super) fn new(
        host: &str,
        port: u16,
        settings: Settings,
        cached: Option<CachedMaster>,
        now: Mono,
    ) -> Context {
        Context {
            host: host.to_owned(),
            port,
            settings,
            cached,
            outputs: VecDeque::new(),
            line: Vec::new(),
            last_io: now,
            down_since: None,
            failures: 0,
            rdb_total_bytes: 0,
            rdb_read_bytes: 0,
            rdb_streamed: false,
            replconf_refused: false,
        }
    }

    pub(super) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn notice(&mut self, text: impl Into<String>) {
        self.push(Output::Log(LogLine::notice(text)));
    }

    pub(super) fn warning(&mut self, text: impl Into<String>) {
        self.push(Output::Log(LogLine::warning(text)));
    }

    /// Sends one command.
    pub(super) fn send(&mut self, args: &[&[u8]]) {
        let mut command = Vec::with_capacity(64);
        wire::push_command(&mut command, args);
        self.push(Output::Send(command));
    }

    /// When silence has lasted too long.
    pub(super) fn silent_at(&self) -> Mono {
        self.last_io.plus_ms(self.settings.repl_timeout_ms)
    }

    /// How long to wait before the next dial: not at all, then ever longer.
    pub(super) fn retry_delay_ms(&self) -> u64 {
        match self.failures {
            0 => 0,
            n => (RETRY_FIRST_MS << (n - 1).min(16)).min(RETRY_MOST_MS),
        }
    }

    /// Drops what a partial resync could go on from.
    pub(super) fn discard_cached(&mut self) {
        if self.cached.take().is_some() {
            self.notice("Discarding previously cached master state.");
        }
    }
}
