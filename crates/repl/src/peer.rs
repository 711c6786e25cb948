//! The master's side of one replica.
//!
//! ```text
//!  SYNC, PSYNC ─► WaitStart ─► WaitRdb ─────────► SendRdb ─► Online ─► …
//!       │          (no cut)    (cut at X; a file  (disk:     ▲
//!       │                       or the sockets)    $len)     │
//!       │                          └── sockets: $EOF ─► Online, held until the first ACK
//!       └── PSYNC that can go on ────────────────────────────┘
//! ```
//! A streamed RDB ends with a mark that the replica looks for at the end of what it has read,
//! so nothing may follow it on the wire until the replica's first ACK says that it has seen it.
//!
//! A `Peer` owns no socket and no place in the stream: the driver keeps the connection and the
//! [`Cursor`](crate::stream::Cursor) beside it. The questions that concern all replicas at once
//! (good ones, acknowledged ones, WAIT) are at the end.

use tandem_base::{Mono, ReplId, ReplOffset};

use crate::history::fullresync_reply;
use crate::log::LogLine;
use crate::replconf::ReplicaFacts;
use crate::syncplan::Target;
use crate::wire;

/// Where a replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// Waiting for a snapshot to begin.
    WaitStart {
        /// When it asked.
        since: Mono,
    },
    /// Its snapshot has been cut and is being written.
    WaitRdb {
        /// The offset of the cut.
        base: ReplOffset,
        /// To a file, or into this connection among others.
        target: Target,
    },
    /// The finished file is being sent.
    SendRdb {
        /// The offset of the cut.
        base: ReplOffset,
    },
    /// It gets the stream.
    Online {
        /// Not yet: its first ACK must come first.
        held: bool,
    },
    /// It has what it wanted, and goes.
    RdbSent,
}

/// What follows when a replica has been sent its RDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum AfterRdb {
    /// Send the stream from the cut on.
    Stream,
    /// Send nothing until [`Peer::ack`] says so.
    HoldUntilAck,
    /// It wanted no more than that.
    Disconnect,
}

/// One replica, as its master sees it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// What it has said about itself.
    pub facts: ReplicaFacts,
    /// Where it comes from: an address without port, or another name for a local socket.
    addr: String,
    state: PeerState,
    /// It came with SYNC: it sends no ACKs, and cannot be asked for a sign of life.
    legacy: bool,
    ack_offset: ReplOffset,
    ack_at: Mono,
    /// Since when its full socket has taken no byte of a streamed RDB.
    stalled_since: Option<Mono>,
}

impl Peer {
    /// A replica whose PSYNC was granted: it gets the stream at once.
    pub fn resumed(facts: ReplicaFacts, addr: &str, now: Mono) -> Peer {
        Peer::in_state(facts, addr, PeerState::Online { held: false }, now)
    }

    /// A replica that needs a snapshot. `legacy`: it came with SYNC.
    pub fn waiting(facts: ReplicaFacts, addr: &str, legacy: bool, now: Mono) -> Peer {
        let state = PeerState::WaitStart { since: now };
        Peer { legacy, ..Peer::in_state(facts, addr, state, now) }
    }

    fn in_state(facts: ReplicaFacts, addr: &str, state: PeerState, now: Mono) -> Peer {
        Peer {
            facts,
            addr: addr.to_owned(),
            state,
            legacy: false,
            ack_offset: ReplOffset(0),
            ack_at: now,
            stalled_since: None,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> PeerState {
        self.state
    }

    /// It came with SYNC.
    pub fn is_legacy(&self) -> bool {
        self.legacy
    }

    /// The last byte that it says it has applied.
    pub fn ack_offset(&self) -> ReplOffset {
        self.ack_offset
    }

    /// The address to show: its own word before where it comes from.
    pub fn ip(&self) -> &str {
        self.facts.announced_ip.as_deref().unwrap_or(&self.addr)
    }

    /// Its name in log lines.
    pub fn name(&self) -> String {
        name_in_log(&self.facts, &self.addr)
    }

    /// Gives it the snapshot that was cut at `base` of history `replid`. What is returned is to
    /// be sent at once: the answer to its PSYNC, which has waited for this; nothing for SYNC.
    pub fn attach(&mut self, replid: ReplId, base: ReplOffset, target: Target) -> Option<Vec<u8>> {
        assert!(matches!(self.state, PeerState::WaitStart { .. }), "attached twice");
        assert!(target == Target::Disk || self.facts.eof, "it could not find the end");
        self.state = PeerState::WaitRdb { base, target };
        (!self.legacy).then(|| fullresync_reply(replid, base))
    }

    /// Its snapshot is a file of `size_bytes` now. What is returned is to be sent before it.
    pub fn begin_to_send(&mut self, size_bytes: u64) -> Vec<u8> {
        let PeerState::WaitRdb { base, target: Target::Disk } = self.state else {
            panic!("only a snapshot on disk is sent afterwards")
        };
        self.state = PeerState::SendRdb { base };
        format!("${size_bytes}\r\n").into_bytes()
    }

    /// The last byte of its RDB (and of the mark) has been written to it.
    pub fn rdb_sent(&mut self, now: Mono) -> (AfterRdb, Vec<LogLine>) {
        let streamed = match self.state {
            PeerState::SendRdb { .. } => false,
            PeerState::WaitRdb { target: Target::Sockets, .. } => true,
            _ => panic!("no RDB was on its way"),
        };
        let name = self.name();
        let mut lines = Vec::new();
        if streamed {
            lines.push(LogLine::notice(format!(
                "Streamed RDB transfer with replica {name} succeeded (socket). Waiting for \
                 REPLCONF ACK from slave to enable streaming"
            )));
        }
        if self.facts.rdb_only {
            self.state = PeerState::RdbSent;
            lines.push(LogLine::notice(format!(
                "RDB transfer completed, rdb only replica ({name}) should be disconnected asap"
            )));
            return (AfterRdb::Disconnect, lines);
        }
        self.state = PeerState::Online { held: streamed };
        self.ack_at = now;
        self.stalled_since = None;
        lines.push(LogLine::notice(format!("Synchronization with replica {name} succeeded")));
        (if streamed { AfterRdb::HoldUntilAck } else { AfterRdb::Stream }, lines)
    }

    /// `REPLCONF ACK offset`. True if this is what the stream was held for.
    #[must_use]
    pub fn ack(&mut self, offset: ReplOffset, now: Mono) -> bool {
        self.ack_offset = self.ack_offset.max(offset);
        self.ack_at = now;
        let was_held = self.state == PeerState::Online { held: true };
        if was_held {
            self.state = PeerState::Online { held: false };
        }
        was_held
    }

    /// A bare newline: it is busy loading, and lives.
    pub fn sign_of_life(&mut self, now: Mono) {
        self.ack_at = now;
    }

    /// A streamed RDB was to be written to it: so many bytes went, and then its socket was full
    /// or not. Nothing is tried on a full socket, so this may be the last that is heard of it:
    /// the time of a full one counts from its last byte.
    pub fn rdb_written(&mut self, sent_bytes: u64, full: bool, now: Mono) {
        self.stalled_since = match (full, sent_bytes) {
            (false, _) => None,
            (true, 0) => self.stalled_since.or(Some(now)),
            (true, _) => Some(now),
        };
    }

    /// Whether to send it a newline each second, lest it take the wait for a dead link. Never
    /// while RDB bytes are on their way.
    pub fn wants_newline(&self) -> bool {
        matches!(
            self.state,
            PeerState::WaitStart { .. } | PeerState::WaitRdb { target: Target::Disk, .. }
        )
    }

    /// The line to log if it has been silent for longer than `repl-timeout`: cut it off then.
    pub fn timed_out(&self, now: Mono, timeout_ms: u64) -> Option<LogLine> {
        let (since, stage) = match self.state {
            PeerState::Online { .. } if !self.legacy => (self.ack_at, "streaming sync"),
            // One that waits for a file holds nobody up; one that takes a streamed RDB does.
            PeerState::WaitRdb { target: Target::Sockets, .. } => {
                (self.stalled_since?, "full sync")
            }
            _ => return None,
        };
        (now.ms_since(since) > timeout_ms).then(|| {
            LogLine::warning(format!("Disconnecting timedout replica ({stage}): {}", self.name()))
        })
    }

    /// INFO's word for the state: `wait_bgsave`, `send_bulk`, `online`, `rdb_transmitted`.
    pub fn info_state(&self) -> &'static str {
        match self.state {
            PeerState::WaitStart { .. } | PeerState::WaitRdb { .. } => "wait_bgsave",
            PeerState::SendRdb { .. } => "send_bulk",
            PeerState::Online { .. } => "online",
            PeerState::RdbSent => "rdb_transmitted",
        }
    }

    /// Whole seconds since it was last heard of; 0 before it is online.
    pub fn lag_s(&self, now: Mono) -> u64 {
        match self.state {
            PeerState::Online { .. } => now.ms_since(self.ack_at) / 1000,
            _ => 0,
        }
    }

    /// `slave<n>:` in INFO, what follows it.
    pub fn info_line(&self, now: Mono) -> String {
        format!(
            "ip={},port={},state={},offset={},lag={}",
            self.ip(),
            self.facts.listening_port,
            self.info_state(),
            self.ack_offset,
            self.lag_s(now)
        )
    }

    /// The line for its end.
    pub fn lost_line(&self) -> LogLine {
        LogLine::warning(format!("Connection with replica {} lost.", self.name()))
    }

    fn is_online(&self) -> bool {
        matches!(self.state, PeerState::Online { .. })
    }
}

/// A replica's name in log lines: its address as it wants it, and its listening port.
pub fn name_in_log(facts: &ReplicaFacts, addr: &str) -> String {
    let ip = facts.announced_ip.as_deref().unwrap_or(addr);
    match facts.listening_port {
        0 => format!("{ip}:<unknown-replica-port>"),
        port if ip.contains(':') => format!("[{ip}]:{port}"),
        port => format!("{ip}:{port}"),
    }
}

/// What comes before a streamed RDB; the mark itself comes after it.
pub fn marked_preamble(mark: &[u8; 40]) -> Vec<u8> {
    [b"$EOF:".as_slice(), mark, b"\r\n"].concat()
}

/// The one byte that keeps waiting replicas patient.
pub const KEEP_WAITING: &[u8] = wire::NEWLINE;

/// Replicas that are online and were heard of in the last `max_lag_s` seconds: what
/// `min-replicas-to-write` counts.
pub fn count_good<'a>(
    peers: impl IntoIterator<Item = &'a Peer>,
    max_lag_s: u64,
    now: Mono,
) -> usize {
    peers.into_iter().filter(|peer| peer.is_online() && peer.lag_s(now) <= max_lag_s).count()
}

/// Replicas that have acknowledged everything up to `offset`: what WAIT answers.
pub fn count_acked<'a>(peers: impl IntoIterator<Item = &'a Peer>, offset: ReplOffset) -> usize {
    peers.into_iter().filter(|peer| peer.is_online() && peer.ack_offset >= offset).count()
}

#[cfg(test)]
mod tests;
