//! One connection: a socket, a session of the engine, and how bytes move between them.
//!
//! ```text
//! transport ─read─► worker's buffer ─► engine ─► session.out ─┐
//!        ◄──────────────── one write a turn ──────────────────┤ then, for a replica:
//!                                                             ├ the snapshot (file or chunks)
//!                                                             └ the stream, from its blocks
//! ```
//! Whether the transport is a socket or TLS nobody here, nor in the engine, needs to know.

use std::io::{self, IoSlice};
use std::sync::atomic::Ordering;

use rustix::io::Errno;
use socket2::Socket;
use tandem_base::Mono;
use tandem_engine::client::{Feed, Session};
use tandem_engine::intake::Worker;
use tandem_engine::node::Node;

use crate::poll::Interest;
use crate::snapshot_feed::SnapshotFeed;
use crate::transport::Transport;

/// A connection of one worker.
pub(crate) struct Conn {
    /// The way to the other end.
    pub transport: Transport,
    /// The engine's half.
    pub session: Session,
    /// A snapshot on its way to a replica.
    pub snapshot: Option<SnapshotFeed>,
    /// The socket is watched for room to write.
    pub wants_write: bool,
    /// The poll has said that there is room since the last write.
    pub has_room: bool,
    /// It stands in the worker's list of connections to flush.
    pub queued: bool,
    /// When the blocked client is to be looked at, as it stands in the worker's list.
    pub deadline: Option<Mono>,
    /// Reading waits until the client is let go.
    pub reading_paused: bool,
    /// It counts as gone already: its last bytes are being written.
    pub left: bool,
}

/// How a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Everything has been written.
    All,
    /// The socket is full; go on when there is room.
    Blocked,
    /// A snapshot's next piece is not there yet; go on when it is.
    Starved,
    /// The snapshot has been sent to its end.
    SnapshotSent,
    /// The other end is gone.
    Gone,
}

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    /// So many bytes.
    Some(usize),
    /// Nothing there.
    WouldBlock,
    /// The other end is gone.
    Gone,
}

const SLICES_MAX: usize = 64;
/// What is read of a blocked client's requests over TLS, but for the last piece.
const HELD_BYTES_MAX: usize = 64 << 10;
/// Most bytes for one connection and turn, so that no connection holds up the others.
pub(crate) const BYTES_A_TURN: usize = 4 << 20;

impl Conn {
    /// A new connection.
    pub(crate) fn new(transport: Transport, session: Session) -> Conn {
        Conn {
            transport,
            session,
            snapshot: None,
            wants_write: false,
            has_room: false,
            queued: false,
            deadline: None,
            reading_paused: false,
            left: false,
        }
    }

    /// What the socket is to be watched for. A blocked client is not read from, but who goes
    /// away while he waits must be found out.
    pub(crate) fn interest(&self) -> Interest {
        Interest {
            read: !self.reading_paused,
            write: self.wants_write,
            hangup: self.session.client.blocked.is_some(),
        }
    }

    /// Whether its requests stay in the socket for now: nothing more of a client that is on its way
    /// out is read, nor of a blocked one. But TLS says its farewell in the socket, and may leave
    /// it open: there some bytes are held, so that the end is found behind them.
    pub(crate) fn pauses_reading(&self) -> bool {
        let held = self.session.input.held.len();
        let looks_for_end = self.transport.is_tls() && held < HELD_BYTES_MAX;
        let client = &self.session.client;
        client.closing || (client.blocked.is_some() && !looks_for_end)
    }

    /// Whether a write may get anywhere: a full socket is left alone until the poll says that it
    /// has room.
    pub(crate) fn may_write(&self) -> bool {
        !self.wants_write || self.has_room
    }

    /// Reads once and runs what is complete, with `buf` to read into; whether a large argument
    /// may go on at once.
    pub(crate) fn read_and_run(
        &mut self,
        node: &Node,
        worker: &mut Worker,
        buf: &mut [u8],
    ) -> (ReadEnd, bool) {
        if self.session.input.large.is_none() {
            let end = read_end(self.transport.read(buf));
            let ReadEnd::Some(count) = end else { return (end, false) };
            node.receive(worker, &mut self.session, &buf[..count]);
            return (end, count == buf.len() && self.session.input.large.is_some());
        }
        let (end, full) = self.read_large();
        let complete = self.session.input.large.as_ref().is_some_and(|arg| arg.missing() == 0);
        if complete {
            // It is the client's until its request has run.
            node.count_client_memory(&self.session, &mut worker.counters, worker.now);
            if self.session.client.info.killed.load(Ordering::Relaxed) {
                return (ReadEnd::Gone, false);
            }
            node.large_arrived(worker, &mut self.session);
        } else {
            node.input_taken(&mut self.session);
        }
        (end, full && !complete && !self.session.client.closing)
    }

    /// Reads into a large argument's own allocation; returns whether all room was filled.
    fn read_large(&mut self) -> (ReadEnd, bool) {
        let large = self.session.input.large.as_mut().expect("an argument is being read");
        let missing = large.missing();
        // Grows as bytes come: at most doubling what is there.
        let room = missing.min(large.bytes.len().max(256 << 10));
        large.bytes.reserve_exact(room);
        let start = large.bytes.len();
        large.bytes.resize(start + room, 0);
        let end = read_end(self.transport.read(&mut large.bytes[start..]));
        let got = if let ReadEnd::Some(count) = end { count } else { 0 };
        large.bytes.truncate(start + got);
        (end, got == room)
    }

    /// Whether there is anything to write.
    pub(crate) fn has_output(&self) -> bool {
        !self.session.out.is_empty()
            || self.snapshot.is_some()
            || matches!(&self.session.client.feed,
                        Some(Feed::Stream(cursor)) if !cursor.chunk().is_empty())
    }

    /// Writes what there is. `sent` is raised by the bytes written.
    pub(crate) fn flush(&mut self, sent: &mut u64) -> Flushed {
        let end = self.write_all(sent);
        if end != Flushed::All && end != Flushed::Starved {
            return end;
        }
        // What TLS has taken is not sent yet.
        match self.transport.push() {
            Ok(()) => end,
            Err(error) => failed(error),
        }
    }

    fn write_all(&mut self, sent: &mut u64) -> Flushed {
        let mut budget = BYTES_A_TURN;
        while !self.session.out.is_empty() {
            let written = match self.session.out.single() {
                Some(bytes) => self.transport.write(bytes),
                None => {
                    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                    let count = self.session.out.slices(&mut slices);
                    self.transport.write_vectored(&slices[..count])
                }
            };
            match written {
                Ok(count) => {
                    *sent += count as u64;
                    self.session.out.consume(count);
                    budget = budget.saturating_sub(count);
                    if budget == 0 {
                        return Flushed::Blocked;
                    }
                }
                Err(error) => return failed(error),
            }
        }
        if let Some(snapshot) = &mut self.snapshot {
            let end = snapshot.write_to(&mut self.transport, &mut budget, sent);
            if end == Flushed::SnapshotSent {
                self.snapshot = None;
            }
            return end;
        }
        if let Some(Feed::Stream(cursor)) = &mut self.session.client.feed {
            while !cursor.chunk().is_empty() {
                match self.transport.write(cursor.chunk()) {
                    Ok(count) => {
                        *sent += count as u64;
                        cursor.advance(count);
                        budget = budget.saturating_sub(count);
                        if budget == 0 {
                            return Flushed::Blocked;
                        }
                    }
                    Err(error) => return failed(error),
                }
            }
        }
        Flushed::All
    }
}

fn read_end(result: Result<usize, Errno>) -> ReadEnd {
    match result {
        Ok(0) => ReadEnd::Gone,
        Ok(count) => ReadEnd::Some(count),
        Err(Errno::AGAIN | Errno::INTR) => ReadEnd::WouldBlock,
        Err(_) => ReadEnd::Gone,
    }
}

/// What a failed write means.
pub(crate) fn failed(error: Errno) -> Flushed {
    match error {
        Errno::AGAIN | Errno::INTR => Flushed::Blocked,
        _ => Flushed::Gone,
    }
}

/// Options of a connection that we make ourselves.
pub(crate) fn prepare_socket(socket: &Socket, keepalive_s: u64) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    set_keepalive(socket, keepalive_s)
}

/// Probes the other end after so many seconds of silence; 0: never.
pub(crate) fn set_keepalive(socket: &Socket, seconds: u64) -> io::Result<()> {
    if seconds == 0 {
        return socket.set_keepalive(false);
    }
    let time = std::time::Duration::from_secs(seconds.min(KEEPALIVE_S_MAX));
    let interval = std::time::Duration::from_secs((seconds / 3).clamp(1, KEEPALIVE_S_MAX));
    let keepalive =
        socket2::TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)
}

/// Linux takes no more.
const KEEPALIVE_S_MAX: u64 = 32_767;
