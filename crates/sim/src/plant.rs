//! Planted bugs: faults put in at the simulator's own edge, so that the code under test carries
//! no switch, and each as a bug in that code would show on the wire.
//!
//! They prove that the checks can see what they are for.

use tandem_base::{DbIndex, Now, ReplOffset};
use tandem_engine::node::Node;
use tandem_engine::persistence::{Asked, SnapshotOrder};
use tandem_repl::replconf::RdbFilter;
use tandem_repl::wire;

/// One kind of planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A replica asks for the byte beside the one that it needs.
    OffsetOffByOne,
    /// A master now and then does not say which database it goes on in.
    LostSelect,
    /// A snapshot holds one entry more than its offset says.
    SnapshotLate,
    /// A replica acknowledges bytes that it has not applied.
    AckAhead,
}

impl Plant {
    /// All kinds.
    pub const ALL: [Plant; 4] =
        [Plant::OffsetOffByOne, Plant::LostSelect, Plant::SnapshotLate, Plant::AckAhead];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Plant::OffsetOffByOne => "offset-off-by-one",
            Plant::LostSelect => "lost-select",
            Plant::SnapshotLate => "snapshot-late",
            Plant::AckAhead => "ack-ahead",
        }
    }

    /// Finds a kind by its name.
    pub fn find(name: &str) -> Option<Plant> {
        Plant::ALL.into_iter().find(|plant| plant.name() == name)
    }
}

/// Spoils what a replica is about to send to its master.
pub fn spoil_request(plant: Option<Plant>, bytes: Vec<u8>, rng: &mut fastrand::Rng) -> Vec<u8> {
    let words: Vec<&[u8]> = bytes
        .split(|byte| *byte == b'\n')
        .map(|word| word.strip_suffix(b"\r").unwrap_or(word))
        .collect();
    let number = || -> Option<u64> { std::str::from_utf8(words.get(6)?).ok()?.parse().ok() };
    match (plant, words.get(2).copied()) {
        (Some(Plant::OffsetOffByOne), Some(b"PSYNC")) => match number() {
            Some(next) if next > 1 => {
                let next = if rng.bool() { next + 1 } else { next - 1 };
                let mut spoilt = Vec::new();
                wire::push_command(&mut spoilt, &[b"PSYNC", words[4], next.to_string().as_bytes()]);
                spoilt
            }
            _ => bytes,
        },
        (Some(Plant::AckAhead), Some(b"REPLCONF")) if words.get(4) == Some(&b"ACK".as_slice()) => {
            let offset = number().expect("an ACK names an offset");
            let mut spoilt = Vec::new();
            wire::push_ack(&mut spoilt, ReplOffset(offset + rng.u64(1..=100)));
            spoilt
        }
        _ => bytes,
    }
}

/// Spoils bytes of the stream that are about to be sent to a replica. A SELECT that is lost
/// leaves a PING of the same length, because the master that forgot it would have counted none.
pub fn spoil_stream(plant: Option<Plant>, bytes: &mut [u8], rng: &mut fastrand::Rng) {
    if plant != Some(Plant::LostSelect) || !rng.bool() {
        return;
    }
    let mut select = Vec::new();
    wire::push_select(&mut select, DbIndex(rng.u16(0..5)));
    let mut ping = Vec::new();
    wire::push_command(&mut ping, &[b"PING", b"abc"]);
    assert_eq!(ping.len(), select.len());
    if let Some(at) = bytes.windows(select.len()).position(|window| window == select) {
        bytes[at..at + ping.len()].copy_from_slice(&ping);
    }
}

/// Cuts a snapshot again that had been cut before, and gives it out as the old one.
pub fn cut_again(node: &Node, order: SnapshotOrder, now: Now) -> SnapshotOrder {
    let _alone = node.gate.alone();
    let running = node.persistence.state().running.take();
    drop(node.keyspace.abort_snapshot());
    let mut late = node.cut_snapshot(Asked::ForReplicas, order.target, RdbFilter::default(), now);
    node.persistence.state().running = running;
    late.base = order.base;
    late.mark = order.mark;
    late.replicas = order.replicas;
    late
}
