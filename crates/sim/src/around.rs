//! What surrounds the nodes of one world: time, chance, the network, the checks, the record.

use crate::checks::Checks;
use crate::clock::Micros;
use crate::net::{Net, WireId};
use crate::plant::Plant;
use crate::trace::Trace;

/// How the network of one world behaves.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Longest delay of a segment on a good moment, in microseconds.
    pub delay_us: u64,
    /// One segment in so many is much later.
    pub late_one_in: u8,
    /// Bytes that a connection takes before the writer waits, at most.
    pub room: usize,
    /// Bytes that a snapshot makes in one step, at most.
    pub save_bytes: usize,
    /// One step of a disk in so many fails; 0: none.
    pub save_fails_one_in: u32,
}

/// Everything but the nodes.
pub struct Around {
    /// The time.
    pub now: Micros,
    /// All chance comes from here.
    pub rng: fastrand::Rng,
    /// The connections.
    pub net: Net,
    /// What must hold.
    pub checks: Checks,
    /// What has happened.
    pub trace: Trace,
    /// A bug put in.
    pub plant: Option<Plant>,
    /// The last fault is over.
    pub healing: bool,
    /// The network's ways.
    pub weather: Weather,
}

impl Around {
    /// A moment at which what is sent now may arrive.
    pub fn soon(&mut self) -> Micros {
        let late = self.weather.late_one_in;
        let most = if late > 0 && self.rng.u8(0..late) == 0 {
            self.weather.delay_us * 30
        } else {
            self.weather.delay_us
        };
        self.now + self.rng.u64(20..=most)
    }

    /// How many bytes a read brings at most: often few, so that everything is cut everywhere.
    pub fn piece(&mut self) -> usize {
        match self.rng.u8(0..4) {
            0 => self.rng.usize(1..12),
            1 => self.rng.usize(1..300),
            _ => self.rng.usize(1..20_000),
        }
    }

    /// Room of a new connection, in both directions.
    pub fn room(&mut self) -> [usize; 2] {
        [0, 1].map(|_| self.rng.usize(600..=self.weather.room))
    }

    /// Bytes that can be written to a replica.
    pub fn space_down(&self, wire: WireId) -> usize {
        self.net.wires.get(&wire).map_or(0, |wire| wire.down.space())
    }

    /// Writes to a replica.
    pub fn write_down(&mut self, wire: WireId, bytes: &[u8]) {
        let due = self.soon();
        if let Some(wire) = self.net.wires.get_mut(&wire) {
            wire.down.write(bytes, due);
        }
    }

    /// Notes an event.
    pub fn event(&mut self, text: &str) {
        self.trace.event(self.now, text);
    }
}
