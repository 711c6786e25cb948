//! The small parts of the world: dice, wires, a snapshot on its way, what a client is before it
//! is a replica.

use tandem_repl::peer::Peer;
use tandem_repl::replconf::ReplicaFacts;
use tandem_repl::stream::Cursor;
use tandem_repl::syncplan::Running;

/// Numbers that look random and are the same for the same seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) % sides as u64) as usize
    }
}

/// One connection, as bytes on their way.
#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) up: Vec<u8>,
    pub(crate) down: Vec<u8>,
    /// What the replica has read and could not take yet.
    pub(crate) kept: Vec<u8>,
}

/// A snapshot that replicas load.
pub(crate) struct Snapshot {
    pub(crate) running: Running,
    pub(crate) data: Vec<u8>,
    pub(crate) place: Cursor,
}

/// What a node keeps beside the machine for a client that may become a replica.
#[derive(Default)]
pub(crate) struct Client {
    pub(crate) facts: ReplicaFacts,
    pub(crate) peer: Option<Peer>,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) input: Vec<u8>,
}
