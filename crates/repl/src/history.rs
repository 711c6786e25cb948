//! Which writes are the same writes: replication ids, and the choice between a partial and a
//! full resync.
//!
//! A replication id names one history of writes; an offset names a place in it. A node knows
//! two ids: its own, and the one its data had before, up to the place where both part:
//!
//! ```text
//!   replid2  ───────────────────┐ second_offset
//!                               └───────────────── replid ──► end
//! ```
//! So after a failover the replicas of the old master can go on at the promoted one. All of it
//! is values and pure functions: new random ids are handed in, and the window is a fact.
//! Absent: what a *replica* would ask its master for, which is its link's
//! [`CachedMaster`](crate::link::CachedMaster).

use std::fmt;

use tandem_base::{NextByte, ReplId, ReplOffset, num};

use crate::log::LogLine;
use crate::stream::{Cursor, Stream, WindowFacts};
use crate::wire;

/// The lineage of one node's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The id of the history that goes on: `master_replid`.
    pub replid: ReplId,
    /// The id that the data had before, or [`ReplId::NONE`]: `master_replid2`.
    pub replid2: ReplId,
    /// The first byte in which `replid2`'s history may differ from ours; `None` without one.
    pub second_offset: Option<NextByte>,
}

impl History {
    /// A history that nobody shares yet.
    pub fn new(replid: ReplId) -> History {
        History { replid, replid2: ReplId::NONE, second_offset: None }
    }

    /// `second_repl_offset` as INFO shows it: -1 when there is none.
    pub fn second_repl_offset(&self) -> i64 {
        self.second_offset.map_or(-1, |next| i64::try_from(next.0).unwrap_or(i64::MAX))
    }

    /// Starts a history that shares nothing with the past: when the backlog begins with the
    /// first replica, and when it is given up (writes from then on are in nobody's stream).
    pub fn renew(&mut self, new_replid: ReplId) {
        *self = History::new(new_replid);
    }

    /// The replica becomes a master at `end`. Its old master's replicas can go on here.
    pub fn promote(&mut self, new_replid: ReplId, end: ReplOffset) -> LogLine {
        self.part_from(new_replid, end);
        LogLine::warning(format!(
            "Setting secondary replication ID to {}, valid up to offset: {}. New replication ID \
             is {}",
            self.replid2,
            end.next_byte(),
            self.replid
        ))
    }

    /// The master said `+CONTINUE new_replid`: it has been promoted, and so has our lineage.
    pub fn adopt(&mut self, new_replid: ReplId, end: ReplOffset) {
        if new_replid != self.replid {
            self.part_from(new_replid, end);
        }
    }

    /// A full resync has put the master's data in place.
    pub fn full_resynced(&mut self, replid: ReplId) {
        self.renew(replid);
    }

    /// A master has loaded an RDB file that was written at `offset` of history `replid`: it
    /// goes on under its own new id, and serves those who know the old one.
    pub fn restored_as_master(&mut self, replid: ReplId, offset: ReplOffset) {
        self.replid2 = replid;
        self.second_offset = Some(offset.next_byte());
    }

    /// A replica has loaded an RDB file of history `replid`: it is still in that history.
    pub fn restored_as_replica(&mut self, replid: ReplId) {
        self.replid = replid;
    }

    fn part_from(&mut self, new_replid: ReplId, end: ReplOffset) {
        self.replid2 = self.replid;
        self.second_offset = Some(end.next_byte());
        self.replid = new_replid;
    }
}

/// What a replica asks for: the two arguments of PSYNC, or SYNC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PsyncAsk {
    /// The id it knows, as it came; `?` when it knows none. Foreign text of any length.
    pub replid: Vec<u8>,
    /// The first byte it wants. Foreign: may be negative or absurd.
    pub next: i64,
}

/// The second argument of PSYNC is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadOffset;

impl PsyncAsk {
    /// Reads the arguments of PSYNC. The client gets Redis's "not an integer" error for
    /// [`BadOffset`], and the log [`PsyncAsk::bad_offset_line`].
    pub fn parse(replid: &[u8], offset: &[u8]) -> Result<PsyncAsk, BadOffset> {
        let next = num::parse_i64(offset).ok_or(BadOffset)?;
        Ok(PsyncAsk { replid: replid[..replid.len().min(64)].to_vec(), next })
    }

    /// The line for a PSYNC whose offset is no number.
    pub fn bad_offset_line(replica: &str) -> LogLine {
        LogLine::warning(format!(
            "Replica {replica} asks for synchronization but with a wrong offset"
        ))
    }

    /// The replica wants a full resync: the id starts with `?`. It does not count as a failed
    /// partial one (`sync_partial_err`).
    pub fn wants_full(&self) -> bool {
        self.replid.first() == Some(&b'?')
    }

    /// Ids are compared as Redis does, without regard to case.
    fn names(&self, replid: &ReplId) -> bool {
        self.replid.eq_ignore_ascii_case(replid.as_bytes())
    }

    fn next_byte(&self) -> Option<NextByte> {
        u64::try_from(self.next).ok().filter(|&next| next > 0).map(NextByte)
    }
}

/// How a replica can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It gets the stream from here.
    Continue {
        /// The first byte it gets.
        from: NextByte,
        /// Bytes that are waiting for it already.
        bytes: u64,
    },
    /// It gets a snapshot first.
    FullResync {
        /// Why nothing less will do.
        because: Why,
    },
}

/// Why a replica needs a full resync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It asked for it.
    Asked,
    /// It comes from a history that we do not know.
    OtherHistory,
    /// It went on in our former history after we had parted from it.
    PastTheFork,
    /// The bytes it wants are not there.
    OutOfBacklog {
        /// It wants bytes that are not written yet: it has writes that we have not.
        ahead: bool,
    },
}

/// Decides on a PSYNC. `end` is the stream's end, `window` what of it can be handed out.
pub fn decide_psync(
    history: &History,
    end: ReplOffset,
    window: Option<WindowFacts>,
    ask: &PsyncAsk,
) -> Verdict {
    let full = |because| Verdict::FullResync { because };
    if !ask.names(&history.replid) {
        if ask.wants_full() {
            return full(Why::Asked);
        }
        let Some(fork) = history.second_offset.filter(|_| ask.names(&history.replid2)) else {
            return full(Why::OtherHistory);
        };
        if ask.next_byte().is_some_and(|next| next > fork) {
            return full(Why::PastTheFork);
        }
    }
    match (ask.next_byte(), window) {
        (Some(from), Some(facts)) if facts.covers(from) => {
            Verdict::Continue { from, bytes: facts.end.next_byte().0 - from.0 }
        }
        (next, _) => full(Why::OutOfBacklog { ahead: next.is_some_and(|next| next.0 > end.0) }),
    }
}

/// Decides on a PSYNC and, for a partial one, takes the replica's place in the stream in the
/// same breath, so that the window cannot move on in between.
pub fn answer_psync(
    history: &History,
    stream: &Stream,
    ask: &PsyncAsk,
) -> (Verdict, Option<Cursor>) {
    // A cursor pins what it stands in: what it can read, the window covers.
    let cursor = ask.next_byte().and_then(|next| stream.cursor_at(next));
    let verdict = decide_psync(history, stream.end(), stream.window(), ask);
    match verdict {
        Verdict::Continue { .. } if cursor.is_some() => (verdict, cursor),
        // The byte was written after we had looked for it; it is there now.
        Verdict::Continue { from, .. } => (verdict, stream.cursor_at(from)),
        Verdict::FullResync { .. } => (verdict, None),
    }
}

impl Verdict {
    /// What Redis logs for this decision, in order. `replica` is its name in log lines.
    pub fn log_lines(&self, history: &History, ask: &PsyncAsk, replica: &str) -> Vec<LogLine> {
        let (because, next) = match self {
            Verdict::Continue { from, bytes } => {
                return vec![LogLine::notice(format!(
                    "Partial resynchronization request from {replica} accepted. Sending {bytes} \
                     bytes of backlog starting from offset {from}."
                ))];
            }
            Verdict::FullResync { because } => (because, ask.next),
        };
        let refused = "Partial resynchronization not accepted:";
        match because {
            Why::Asked => {
                vec![LogLine::notice(format!("Full resync requested by replica {replica}"))]
            }
            Why::OtherHistory => vec![LogLine::notice(format!(
                "{refused} Replication ID mismatch (Replica asked for '{}', my replication IDs \
                 are '{}' and '{}')",
                wire::printable(&ask.replid),
                history.replid,
                history.replid2
            ))],
            Why::PastTheFork => vec![LogLine::notice(format!(
                "{refused} Requested offset for second ID was {next}, but I can reply up to {}",
                history.second_repl_offset()
            ))],
            Why::OutOfBacklog { ahead } => {
                let mut lines = vec![LogLine::notice(format!(
                    "Unable to partial resync with replica {replica} for lack of backlog \
                     (Replica request was: {next})."
                ))];
                if *ahead {
                    lines.push(LogLine::warning(format!(
                        "Warning: replica {replica} tried to PSYNC with an offset that is \
                         greater than the master replication offset."
                    )));
                }
                lines
            }
        }
    }
}

/// The answer to a PSYNC that goes on; the id is told to those who announced `psync2`.
pub fn continue_reply(replid: ReplId, psync2: bool) -> Vec<u8> {
    if psync2 { format!("+CONTINUE {replid}\r\n") } else { "+CONTINUE\r\n".to_owned() }.into_bytes()
}

/// The answer to a PSYNC that starts over, sent when the snapshot's cut is made.
pub fn fullresync_reply(replid: ReplId, cut: ReplOffset) -> Vec<u8> {
    format!("+FULLRESYNC {replid} {cut}\r\n").into_bytes()
}

/// The line for the birth of the backlog, which starts a new history.
pub fn backlog_created_line(history: &History) -> LogLine {
    LogLine::notice(format!(
        "Replication backlog created, my new replication IDs are '{}' and '{}'",
        history.replid, history.replid2
    ))
}

/// The line for a backlog given up after `repl-backlog-ttl` seconds.
pub fn backlog_freed_line(ttl_s: u64) -> LogLine {
    LogLine::notice(format!(
        "Replication backlog freed after {ttl_s} seconds without connected replicas."
    ))
}

impl fmt::Display for BadOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("value is not an integer or out of range")
    }
}

#[cfg(test)]
mod tests;
