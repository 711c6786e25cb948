//! The network: one [`Wire`] for each connection between two nodes, one [`Pipe`] for each of its
//! directions.
//!
//! ```text
//! dialer ── up ──►  target          a pipe keeps order, delays, cuts into pieces,
//!        ◄── down ──                has little room, can be stalled, and may lose its end
//! ```
//! An end that goes may be seen by the other at once, later, or never (a machine without power
//! says nothing): then only a timeout finds out.

use std::collections::{BTreeMap, VecDeque};

use crate::clock::Micros;

/// Names a connection for the life of the world.
pub type WireId = u64;

/// One direction of a connection.
#[derive(Debug)]
pub struct Pipe {
    segments: VecDeque<(Micros, Vec<u8>)>,
    bytes: usize,
    /// Bytes that it takes before the writer has to wait.
    room: usize,
    last_due: Micros,
    /// Nothing arrives before this moment.
    pub stalled_until: Micros,
    /// When the reader sees the end, once all bytes have been read.
    end: Option<Micros>,
}

/// What a read finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// The other end is gone.
    End,
}

impl Pipe {
    fn new(room: usize) -> Pipe {
        Pipe { segments: VecDeque::new(), bytes: 0, room, last_due: 0, stalled_until: 0, end: None }
    }

    /// Bytes that can be written now.
    pub fn space(&self) -> usize {
        self.room.saturating_sub(self.bytes)
    }

    /// Writes `bytes`, of which there is room for all; they arrive at `due`, or after those
    /// that were written before.
    pub fn write(&mut self, bytes: &[u8], due: Micros) {
        assert!(bytes.len() <= self.space(), "written beyond the room");
        if self.end.is_none() && !bytes.is_empty() {
            self.last_due = self.last_due.max(due);
            self.bytes += bytes.len();
            self.segments.push_back((self.last_due, bytes.to_vec()));
        }
    }

    /// Reads at most `most` bytes.
    pub fn read(&mut self, now: Micros, most: usize) -> Read {
        if now < self.stalled_until {
            return Read::Nothing;
        }
        let mut got = Vec::new();
        while got.len() < most {
            let Some((due, segment)) = self.segments.front_mut() else { break };
            if *due > now {
                break;
            }
            let take = segment.len().min(most - got.len());
            got.extend(segment.drain(..take));
            if segment.is_empty() {
                self.segments.pop_front();
            }
        }
        self.bytes -= got.len();
        if !got.is_empty() {
            return Read::Bytes(got);
        }
        let ended = self.segments.is_empty() && self.end.is_some_and(|end| end <= now);
        if ended { Read::End } else { Read::Nothing }
    }

    /// The writer is gone; the reader learns of it at `at`, after what is under way.
    pub fn close(&mut self, at: Micros) {
        self.end = Some(self.end.map_or(at, |end| end.min(at)).max(self.last_due));
    }

    /// What is under way is lost, and the reader learns of the end at `at`.
    pub fn cut(&mut self, at: Micros) {
        self.segments.clear();
        self.bytes = 0;
        self.last_due = 0;
        self.end = Some(at);
    }

    /// The end has been announced.
    pub fn is_closed(&self) -> bool {
        self.end.is_some()
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// On its way; decided at this moment.
    Dialling(Micros),
    /// Refused, with the words of the system.
    Refused(&'static str),
    /// Open.
    Open,
}

/// One connection.
#[derive(Debug)]
pub struct Wire {
    /// The node that dialled: a replica.
    pub from: usize,
    /// The node that it dialled: its master.
    pub to: usize,
    /// How far it has come.
    pub stage: Stage,
    /// Replica to master.
    pub up: Pipe,
    /// Master to replica.
    pub down: Pipe,
    /// The replica has let go of it.
    pub from_gone: bool,
    /// The master has let go of it.
    pub to_gone: bool,
    /// The highest offset that the replica has applied while this was its link and up.
    pub applied: u64,
}

/// All connections.
#[derive(Debug, Default)]
pub struct Net {
    next: WireId,
    /// The connections, oldest first.
    pub wires: BTreeMap<WireId, Wire>,
    /// For a pair of nodes, until when nothing passes between them.
    pub partitions: BTreeMap<(usize, usize), Micros>,
}

impl Net {
    /// A node dials another; it is decided at `due`.
    pub fn dial(&mut self, from: usize, to: usize, due: Micros, room: [usize; 2]) -> WireId {
        self.next += 1;
        let wire = Wire {
            from,
            to,
            stage: Stage::Dialling(due),
            up: Pipe::new(room[0]),
            down: Pipe::new(room[1]),
            from_gone: false,
            to_gone: false,
            applied: 0,
        };
        self.wires.insert(self.next, wire);
        self.next
    }

    /// The replica lets go of its end; the master hears of it at `heard`, or never.
    pub fn leave_from(&mut self, id: WireId, heard: Option<Micros>) {
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.from_gone = true;
            if let Some(at) = heard {
                wire.up.close(at);
            }
            self.drop_if_left(id);
        }
    }

    /// The master lets go of its end; the replica hears of it at `heard`, or never.
    pub fn leave_to(&mut self, id: WireId, heard: Option<Micros>) {
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.to_gone = true;
            if let Some(at) = heard {
                wire.down.close(at);
            }
            self.drop_if_left(id);
        }
    }

    fn drop_if_left(&mut self, id: WireId) {
        if self
            .wires
            .get(&id)
            .is_some_and(|wire| wire.from_gone && (wire.to_gone || wire.stage != Stage::Open))
        {
            self.wires.remove(&id);
        }
    }

    /// Until when nothing passes between two nodes.
    pub fn parted_until(&self, a: usize, b: usize) -> Micros {
        self.partitions.get(&(a.min(b), a.max(b))).copied().unwrap_or(0)
    }

    /// Lets nothing pass between two nodes until `until`.
    pub fn part(&mut self, a: usize, b: usize, until: Micros) {
        self.partitions.insert((a.min(b), a.max(b)), until);
        for wire in self.wires.values_mut() {
            if (wire.from, wire.to) == (a, b) || (wire.from, wire.to) == (b, a) {
                wire.up.stalled_until = wire.up.stalled_until.max(until);
                wire.down.stalled_until = wire.down.stalled_until.max(until);
            }
        }
    }

    /// Ends all faults: what was held up flows, and who talks to nobody is told so.
    pub fn heal(&mut self, now: Micros) {
        self.partitions.clear();
        for wire in self.wires.values_mut() {
            wire.up.stalled_until = 0;
            wire.down.stalled_until = 0;
            if wire.from_gone && !wire.up.is_closed() {
                wire.up.close(now);
            }
            if wire.to_gone && !wire.down.is_closed() {
                wire.down.close(now);
            }
        }
    }
}
