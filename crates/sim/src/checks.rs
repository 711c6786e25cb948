//! What must hold, whatever fails: asked after every call into a node.
//!
//! ```text
//! master at (history, N) ──► ledger[history, N] = sum of its data
//! replica at (history, N) ─► must have the same sum
//! ```
//! The sum covers every key with its database, value and moment of expiry, expired or not: a
//! replica may hide a key, but only its master removes it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use tandem_base::{DbIndex, ReplId};
use tandem_engine::node::{Node, Refusals};

/// Something that must not happen has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

/// What of a node's past has to be remembered to judge its present.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    place: Option<(ReplId, u64)>,
    /// Whether the data at `place` have been compared or entered.
    settled: bool,
}

/// The past of all histories.
#[derive(Default)]
pub struct Checks {
    ledger: HashMap<(ReplId, u64), u64>,
    /// How far each history has been written.
    ends: HashMap<ReplId, u64>,
    first: Option<Violation>,
    /// Comparisons of a replica with its master's past.
    pub compared: u64,
    looks: u64,
}

/// A sum over all data of a node: equal for equal data, in whatever order they lie.
pub fn sum_of(node: &Node) -> u64 {
    let mut sum = 0u64;
    let mut scratch = itoa::Buffer::new();
    for db in (0..node.keyspace.databases()).map(DbIndex) {
        if node.keyspace.is_empty(db) {
            continue;
        }
        // A walk that nobody disturbs shows each key once.
        let mut cursor = 0;
        loop {
            cursor = node.keyspace.scan(db, cursor, |entry| {
                let mut hasher = DefaultHasher::new();
                db.hash(&mut hasher);
                entry.key().hash(&mut hasher);
                entry.string().map(|string| string.bytes(&mut scratch)).hash(&mut hasher);
                entry.expiry().map(|at| at.0).hash(&mut hasher);
                sum = sum.wrapping_add(hasher.finish());
            });
            if cursor == 0 {
                break;
            }
        }
    }
    sum
}

/// Log lines that tell of a stream that does not fit the data, or of our own mistakes.
const ALARMING: &[&str] = &[
    "== CRITICAL ==",
    "cannot be understood",
    "Replication link: unexpected",
    "Failed trying to load the MASTER",
    "wrong +FULLRESYNC syntax",
    "Bad protocol from MASTER",
    "Unexpected reply to PSYNC",
    "Background transfer error: panic",
];

impl Checks {
    /// Notes a violation; the first one counts.
    pub fn fail(&mut self, text: String) {
        self.first.get_or_insert(Violation(text));
    }

    /// The first violation.
    pub fn violation(&self) -> Option<&Violation> {
        self.first.as_ref()
    }

    /// Reads a log line.
    pub fn read_log(&mut self, name: usize, line: &str) {
        if ALARMING.iter().any(|alarming| line.contains(alarming)) {
            self.fail(format!("node {name} logged: {line}"));
        }
    }

    /// Looks at a node after it has been called. `resynced`: it has dropped its data for a full
    /// resync since the last look, so that its offset may be any.
    pub fn look(&mut self, name: usize, node: &Node, seen: &mut Seen, resynced: bool) {
        if resynced {
            *seen = Seen::default();
        }
        let is_replica = node.is_replica();
        let replication = node.replication.inner();
        let (replid, placed) = (replication.history.replid, replication.place.is_some());
        drop(replication);
        let active = node.stream.is_active();
        if node.refusals().contains(Refusals::LOADING) || !(active || (is_replica && placed)) {
            *seen = Seen::default();
            return;
        }
        let end = node.stream.end().0;
        if let Some((old_replid, old_end)) = seen.place
            && old_replid == replid
            && end < old_end
        {
            self.fail(format!("node {name} went back from {old_end} to {end} within {replid}"));
        }
        if seen.place != Some((replid, end)) {
            *seen = Seen { place: Some((replid, end)), settled: false };
        }
        self.looks += 1;
        // A change of the data that is not in the stream moves no offset.
        if !seen.settled || self.looks.is_multiple_of(16) {
            seen.settled = true;
            self.compare(name, node, replid, end, is_replica);
        }
    }

    /// A master had data with this sum where it stood, before somebody came in between.
    pub fn note_past(&mut self, name: usize, replid: ReplId, end: u64, sum: u64) {
        if *self.ledger.entry((replid, end)).or_insert(sum) != sum {
            self.fail(format!("node {name} (master) at {end} of {replid} has changed without it"));
        }
        let written = self.ends.entry(replid).or_insert(end);
        *written = end.max(*written);
    }

    fn compare(&mut self, name: usize, node: &Node, replid: ReplId, end: u64, is_replica: bool) {
        let sum = sum_of(node);
        let entered = self.ledger.get(&(replid, end)).copied();
        match entered {
            Some(entered) if entered != sum => self.fail(format!(
                "node {name} ({}) at {end} of {replid} has other data than its master had there",
                if is_replica { "replica" } else { "master" }
            )),
            Some(_) => self.compared += u64::from(is_replica),
            None if is_replica => {
                if let Some(&written) = self.ends.get(&replid)
                    && end > written
                {
                    self.fail(format!(
                        "node {name} is at {end} of {replid}, which was written to {written} only"
                    ));
                }
            }
            None => {
                self.ledger.insert((replid, end), sum);
                let written = self.ends.entry(replid).or_insert(end);
                *written = end.max(*written);
            }
        }
    }
}
