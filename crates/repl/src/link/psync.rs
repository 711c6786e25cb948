//! What a master may answer to PSYNC.

use tandem_base::{ReplId, ReplOffset, num};

use super::Base;
use crate::wire;

/// A master's answer to PSYNC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing but a sign of life: a snapshot is being prepared.
    Wait,
    /// A snapshot of `Base`, then the stream.
    FullResync(Base),
    /// `+FULLRESYNC` with something else behind it.
    BadFullResync,
    /// The stream goes on, maybe under another id.
    Continue(Option<ReplId>),
    /// Not now: it is loading, or has no master itself.
    Later,
    /// An error that says no more than that: perhaps it does not know PSYNC.
    Refused,
    /// Neither yes nor no.
    Unknown,
}

/// Reads the answer. Foreign input: any line.
pub(super) fn parse_answer(line: &[u8]) -> Answer {
    if line.is_empty() {
        return Answer::Wait;
    }
    if let Some(rest) = line.strip_prefix(b"+FULLRESYNC") {
        return parse_full_resync(rest).map_or(Answer::BadFullResync, Answer::FullResync);
    }
    if let Some(rest) = line.strip_prefix(b"+CONTINUE") {
        // Before psync2 the word stood alone. Anything but an id is no id, as for Redis.
        return Answer::Continue(rest.strip_prefix(b" ").and_then(parse_replid));
    }
    if line.starts_with(b"-NOMASTERLINK") || line.starts_with(b"-LOADING") {
        return Answer::Later;
    }
    if line.starts_with(b"-ERR") { Answer::Refused } else { Answer::Unknown }
}

/// ` <replid> <offset>`.
fn parse_full_resync(rest: &[u8]) -> Option<Base> {
    let rest = rest.strip_prefix(b" ")?;
    let (replid, offset) = rest.split_at_checked(40)?;
    let offset = ReplOffset(num::parse_u64(offset.strip_prefix(b" ")?)?);
    (offset <= wire::OFFSET_MAX).then_some(Base { replid: Some(parse_replid(replid)?), offset })
}

/// An id that may be shown, stored and told to others: 40 printable characters.
fn parse_replid(text: &[u8]) -> Option<ReplId> {
    ReplId::parse(text).filter(|id| id.as_bytes().iter().all(u8::is_ascii_graphic))
}
