//! What goes wrong with a link, what is said about it, and the one road back to the beginning.

use tandem_base::Mono;

use super::Output;
use super::context::{Context, LoadTo, RETRY_MOST_MS};
use super::state::{self, Input, State};
use crate::log::LogLine;

/// When to dial again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// At once, if the last attempts were not failures too.
    Now,
    /// Soon, and later each time: the master may be starting up.
    Backoff,
    /// In a second: a fast repetition would change nothing, or cost the master a snapshot.
    Slow,
}

/// Why a link has to start over.
#[derive(Debug)]
pub(super) struct LinkError {
    lines: Vec<LogLine>,
    retry: Retry,
    /// The link was up, if only for the moment after a load.
    was_up: bool,
}

impl LinkError {
    pub(super) fn warning(retry: Retry, text: impl Into<String>) -> LinkError {
        LinkError { lines: vec![LogLine::warning(text)], retry, was_up: false }
    }

    pub(super) fn notice(retry: Retry, text: impl Into<String>) -> LinkError {
        LinkError { lines: vec![LogLine::notice(text)], retry, was_up: false }
    }

    /// A link that was up.
    pub(super) fn lost_link() -> LinkError {
        LinkError { lines: Vec::new(), retry: Retry::Now, was_up: true }
    }

    fn and_warning(mut self, text: &str) -> LinkError {
        self.lines.push(LogLine::warning(text));
        self
    }

    /// Our own mistake, or a driver's; a link survives it.
    pub(super) fn unexpected(state: &State, input: &Input<'_>) -> LinkError {
        let text = format!("Replication link: unexpected {input:?} in state {}", state.name());
        LinkError::warning(Retry::Slow, text)
    }
}

/// What must be known of the state that was consumed.
pub(super) struct Summary {
    /// A connection stands or is on its way.
    dialled: bool,
    /// RDB bytes have been handed on.
    rdb_begun: bool,
}

impl Summary {
    pub(super) fn of(state: &State) -> Summary {
        Summary {
            dialled: !matches!(state, State::Connect { .. } | State::Left),
            rdb_begun: matches!(state, State::Body { .. } | State::Loading { .. }),
        }
    }

    /// Ends what the state had under way.
    pub(super) fn clean_up(self, cx: &mut Context) {
        if self.dialled {
            cx.push(Output::Close);
        }
        if self.rdb_begun {
            cx.push(Output::AbortRdb);
        }
    }
}

/// Says what went wrong, and dials again, now or later.
pub(super) fn start_over(was: Summary, error: LinkError, now: Mono, cx: &mut Context) -> State {
    let rdb_begun = was.rdb_begun && !error.was_up;
    Summary { rdb_begun, ..was }.clean_up(cx);
    for line in error.lines {
        cx.push(Output::Log(line));
    }
    let delay_ms = match error.retry {
        Retry::Now => cx.retry_delay_ms(),
        Retry::Backoff => {
            cx.failures = cx.failures.max(1);
            cx.retry_delay_ms()
        }
        Retry::Slow => RETRY_MOST_MS,
    };
    cx.failures = cx.failures.saturating_add(1);
    if delay_ms > 0 {
        return State::Connect { retry_at: now.plus_ms(delay_ms) };
    }
    let after = if error.was_up { "" } else { " after failure" };
    cx.notice(format!("Reconnecting to MASTER {}:{}{after}", cx.host, cx.port));
    state::dial(now, cx)
}

/// The snapshot came whole and cannot be used: the next one will hardly be better, and a master
/// makes it for us alone.
pub(super) fn load_failed(load_to: LoadTo, why: &str) -> LinkError {
    let text = match load_to {
        LoadTo::Disk => {
            format!("Failed trying to load the MASTER synchronization DB from disk: {why}")
        }
        LoadTo::Parser => {
            format!("Failed trying to load the MASTER synchronization DB from socket: {why}")
        }
    };
    LinkError::warning(Retry::Slow, text)
}

pub(super) fn timed_out(state: &State) -> LinkError {
    let text = match state {
        State::Header { .. } | State::Body { .. } => {
            "Timeout receiving bulk data from MASTER... If the problem persists try to set the \
             'repl-timeout' parameter in redis.conf to a larger value."
        }
        _ => "Timeout connecting to the MASTER...",
    };
    LinkError::warning(Retry::Now, text)
}

pub(super) fn lost_while_synchronising(state: &State, why: &str) -> LinkError {
    let unread = format!("Failed to read response from the server: {why}");
    match state {
        State::Handshake { .. } => LinkError::warning(Retry::Backoff, unread)
            .and_warning("Master did not respond to command during SYNC handshake"),
        State::Psync { .. } => LinkError::warning(Retry::Backoff, unread)
            .and_warning("Master did not reply to PSYNC, will try later"),
        State::Header { .. } => LinkError::warning(
            Retry::Now,
            format!("I/O error reading bulk count from MASTER: {why}"),
        ),
        _ => LinkError::warning(Retry::Now, format!("I/O error trying to sync with MASTER: {why}")),
    }
}
