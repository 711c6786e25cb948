//! Which replicas share which snapshot, and when one begins. Pure decisions on facts.
//!
//! ```text
//!  a replica needs a snapshot
//!    ├─ one to disk is running, and its cut can still be followed up ─► join it
//!    ├─ any other is running ─────────────────────────────────────────► wait for its end
//!    ├─ it could be streamed, and more replicas may come ─────────────► wait a little
//!    └─ otherwise ────────────────────────────────────────────────────► begin
//! ```
//! A snapshot that was cut at offset X serves any replica that can get the stream from X on.
//! Redis needs another replica in the same snapshot for that, whose output buffer it copies;
//! our stream is shared, so it is enough that its window still covers X. A snapshot that goes
//! straight into sockets cannot be joined: its first bytes are gone.
//!
//! Absent: starting anything, and the snapshot's own course.

use tandem_base::{Mono, ReplOffset};

use crate::log::LogLine;
use crate::peer::{Peer, PeerState};
use crate::replconf::{RdbFilter, ReplicaFacts};
use crate::stream::WindowFacts;

/// Where a snapshot goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Into a file, which is sent with its size when it is complete.
    Disk,
    /// Into the replicas' connections while it is made, with a mark at its end.
    Sockets,
}

/// What the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `repl-diskless-sync`.
    pub diskless: bool,
    /// `repl-diskless-sync-delay`, in milliseconds.
    pub delay_ms: u64,
    /// `repl-diskless-sync-max-replicas`; 0: no number is enough to stop waiting.
    pub max_replicas: usize,
}

/// A snapshot that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// The offset of its cut, if the stream was active then and says its database anew from
    /// there ([`Stream::forget_selected_db`](crate::stream::Stream::forget_selected_db)).
    pub base: Option<ReplOffset>,
    /// Where it goes.
    pub target: Target,
    /// What is left out of it.
    pub filter: RdbFilter,
}

/// What else keeps the node busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// Nothing.
    No,
    /// A snapshot.
    Saving(Running),
    /// A job that a snapshot must not run beside.
    OtherJob,
}

/// What to do with a replica that has just come to need a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Attach it to the running snapshot.
    Join {
        /// The offset of that one's cut.
        base: ReplOffset,
    },
    /// Begin a snapshot now, for it and all that wait for the same.
    Start(Start),
    /// Let it wait; [`due`] will tell when.
    Wait(WaitFor),
}

/// Why a replica waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// Others that may come.
    MoreReplicas,
    /// The end of a snapshot to disk that is not fit for it.
    UnfitSnapshot,
    /// The end of a snapshot into other sockets.
    SocketSnapshot,
    /// The end of another job.
    OtherJob,
}

/// A snapshot that is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Where it goes.
    pub target: Target,
    /// What is left out; those who want the same are attached to it.
    pub filter: RdbFilter,
}

/// Decides what becomes of a replica that has just asked and needs a snapshot.
pub fn on_arrival(
    facts: &ReplicaFacts,
    busy: Busy,
    window: Option<WindowFacts>,
    policy: Policy,
) -> Arrival {
    match busy {
        Busy::Saving(Running { target: Target::Sockets, .. }) => {
            Arrival::Wait(WaitFor::SocketSnapshot)
        }
        Busy::Saving(running) => match joinable_base(facts, running, window) {
            Some(base) => Arrival::Join { base },
            None => Arrival::Wait(WaitFor::UnfitSnapshot),
        },
        _ if policy.diskless && facts.eof && policy.delay_ms > 0 => {
            Arrival::Wait(WaitFor::MoreReplicas)
        }
        Busy::OtherJob => Arrival::Wait(WaitFor::OtherJob),
        Busy::No => Arrival::Start(Start::for_group(policy, facts.filter, facts.eof)),
    }
}

fn joinable_base(
    facts: &ReplicaFacts,
    running: Running,
    window: Option<WindowFacts>,
) -> Option<ReplOffset> {
    let base = running.base?;
    let followable = facts.rdb_only || window?.covers(base.next_byte());
    (followable && facts.filter == running.filter).then_some(base)
}

/// The snapshot that is due for the replicas that wait, if any is. To be asked when a snapshot
/// or another job has ended, when a replica leaves or comes, and at [`next_due`].
pub fn due<'a>(
    peers: impl IntoIterator<Item = &'a Peer>,
    busy: Busy,
    policy: Policy,
    now: Mono,
) -> Option<Start> {
    if busy != Busy::No {
        return None;
    }
    let group = Group::of(peers)?;
    (group.ripe_at(policy) <= now)
        .then(|| Start::for_group(policy, group.filter, group.all_know_eof))
}

/// When [`due`] will have an answer if nothing else happens.
pub fn next_due<'a>(
    peers: impl IntoIterator<Item = &'a Peer>,
    busy: Busy,
    policy: Policy,
) -> Option<Mono> {
    if busy != Busy::No {
        return None;
    }
    Group::of(peers).map(|group| group.ripe_at(policy))
}

/// The waiting replicas that want the same as the first of them.
struct Group {
    filter: RdbFilter,
    all_know_eof: bool,
    count: usize,
    oldest: Mono,
}

impl Group {
    fn of<'a>(peers: impl IntoIterator<Item = &'a Peer>) -> Option<Group> {
        let mut group: Option<Group> = None;
        for peer in peers {
            let PeerState::WaitStart { since } = peer.state() else { continue };
            let ReplicaFacts { filter, eof, .. } = peer.facts;
            match &mut group {
                None => {
                    group = Some(Group { filter, all_know_eof: eof, count: 1, oldest: since });
                }
                Some(group) if group.filter == filter => {
                    group.all_know_eof &= eof;
                    group.count += 1;
                    group.oldest = group.oldest.min(since);
                }
                Some(_) => {}
            }
        }
        group
    }

    fn ripe_at(&self, policy: Policy) -> Mono {
        let full_house = policy.max_replicas > 0 && self.count >= policy.max_replicas;
        if policy.diskless && !full_house {
            self.oldest.plus_ms(policy.delay_ms)
        } else {
            self.oldest
        }
    }
}

impl Start {
    /// A mark ends only what all can read; a filtered snapshot must not overwrite the file.
    fn for_group(policy: Policy, filter: RdbFilter, all_know_eof: bool) -> Start {
        let streamed = (policy.diskless || filter.is_partial()) && all_know_eof;
        Start { target: if streamed { Target::Sockets } else { Target::Disk }, filter }
    }

    /// Whether `peer` is one that this snapshot is made for.
    pub fn serves(&self, peer: &Peer) -> bool {
        matches!(peer.state(), PeerState::WaitStart { .. })
            && peer.facts.filter == self.filter
            && (peer.facts.eof || self.target == Target::Disk)
    }

    /// What is logged when it begins.
    pub fn log_line(&self) -> LogLine {
        LogLine::notice(format!(
            "Starting BGSAVE for SYNC with target: {}",
            match self.target {
                Target::Disk => "disk",
                Target::Sockets => "replicas sockets",
            }
        ))
    }
}

impl Arrival {
    /// What is logged for it.
    pub fn log_line(&self) -> LogLine {
        let text = match self {
            Arrival::Join { .. } => "Waiting for end of BGSAVE for SYNC",
            Arrival::Start(start) => return start.log_line(),
            Arrival::Wait(WaitFor::MoreReplicas) => "Delay next BGSAVE for diskless SYNC",
            Arrival::Wait(WaitFor::UnfitSnapshot) => {
                "Can't attach the replica to the current BGSAVE. Waiting for next BGSAVE for SYNC"
            }
            Arrival::Wait(WaitFor::SocketSnapshot) => {
                "Current BGSAVE has socket target. Waiting for next BGSAVE for SYNC"
            }
            Arrival::Wait(WaitFor::OtherJob) => {
                "No BGSAVE in progress, but another BG operation is active. BGSAVE for \
                 replication delayed"
            }
        };
        LogLine::notice(text)
    }
}

/// What stands against a SYNC or PSYNC, before anything is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncGate {
    /// We are a replica ourselves, and our link is not up.
    pub link_down: bool,
    /// A planned failover is under way.
    pub failing_over: bool,
    /// The client has replies that are not sent yet.
    pub pending_output: bool,
}

impl SyncGate {
    /// The error to answer with, without the `-`; `None` lets the client in.
    pub fn refusal(&self, facts: &ReplicaFacts) -> Option<&'static str> {
        if self.failing_over {
            Some("NOMASTERLINK Can't SYNC while failing over")
        } else if self.link_down {
            Some("NOMASTERLINK Can't SYNC while not connected with my master")
        } else if self.pending_output {
            Some("ERR SYNC and PSYNC are invalid with pending output")
        } else if facts.filter.is_partial() && !facts.eof {
            Some("ERR Filtered replica requires EOF capability")
        } else {
            None
        }
    }
}

/// The line for every SYNC and PSYNC that is let in.
pub fn asks_line(replica: &str) -> LogLine {
    LogLine::notice(format!("Replica {replica} asks for synchronization"))
}

/// The lines when a snapshot for replicas could not even begin; those who waited for it get
/// [`BGSAVE_FAILED`] and are cut off.
pub fn start_failed_line() -> LogLine {
    LogLine::warning("BGSAVE for replication failed")
}

/// The line, for each replica in it, when a snapshot has failed on the way; it is cut off.
pub fn snapshot_failed_line() -> LogLine {
    LogLine::warning("SYNC failed. BGSAVE child returned an error")
}

/// The error, without the `-`, for replicas whose snapshot could not begin.
pub const BGSAVE_FAILED: &str = "ERR BGSAVE failed, replication can't continue";

#[cfg(test)]
mod tests;
