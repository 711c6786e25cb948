//! The states of a link, and the one function that goes from one to the next.
//!
//! A state owns what is true only while it lasts. [`step`] consumes it; what went wrong comes
//! back as a [`LinkError`], is logged once, and leads to `Connect` by one road (`failure`).

use tandem_base::{Mono, ReplId, ReplOffset};

use super::context::{Context, GOOD_LINK_MS, HEARTBEAT_MS, LoadTo};
use super::failure::{self, LinkError, Retry, Summary};
use super::handshake::{self, Question};
use super::psync::{self, Answer};
use super::transfer::{self, Body, Header};
use super::{Base, CachedMaster, Output};
use crate::wire;

/// Where the link stands.
pub(super) enum State {
    /// Waiting to dial again.
    Connect { retry_at: Mono },
    /// Dialled; nothing heard yet.
    Connecting,
    /// Asked a question.
    Handshake { asked: Question },
    /// Asked to synchronise, from here if we know a place.
    Psync { asked: Option<CachedMaster> },
    /// A snapshot is promised; its first line is to come.
    Header { base: Base },
    /// The RDB is coming.
    Body { base: Base, body: Body, load_to: LoadTo },
    /// The RDB is here and is being loaded. Should the master go away meanwhile, the load is
    /// still worth finishing: a partial resync can follow it.
    Loading { base: Base, load_to: LoadTo, newline_at: Mono, gone: bool },
    /// The link is up.
    Stream(Upstream),
    /// The role has ended.
    Left,
}

/// A link that is up.
pub(super) struct Upstream {
    /// The history that is read; `None` from a master that knows neither PSYNC nor ACKs.
    pub(super) replid: Option<ReplId>,
    pub(super) received: ReplOffset,
    pub(super) applied: ReplOffset,
    since: Mono,
    ack_at: Mono,
}

/// Everything that can happen to a link, but for bytes that only pass through.
#[derive(Debug)]
pub(super) enum Input<'a> {
    Connected,
    DialFailed(&'a str),
    ConnectFailed(&'a str),
    Line(&'a [u8]),
    EndlessLine,
    RdbComplete,
    Loaded(Result<(), &'a str>),
    SpoolFailed(&'a str),
    Desynced,
    Closed(&'a str),
    Tick,
}

/// Takes `state` on to the next one.
pub(super) fn step(state: State, input: Input<'_>, now: Mono, cx: &mut Context) -> State {
    let was = Summary::of(&state);
    match next(state, input, now, cx) {
        Ok(state) => state,
        Err(error) => failure::start_over(was, error, now, cx),
    }
}

/// Dials the master. The reason has been logged.
pub(super) fn dial(now: Mono, cx: &mut Context) -> State {
    cx.last_io = now;
    cx.line.clear();
    cx.notice("MASTER <-> REPLICA sync started");
    cx.push(Output::Dial { host: cx.host.clone(), port: cx.port });
    State::Connecting
}

/// The table. What is not listed is an error.
fn next(state: State, input: Input<'_>, now: Mono, cx: &mut Context) -> Result<State, LinkError> {
    match (state, input) {
        (State::Left, _) => Ok(State::Left),
        (State::Connect { .. }, Input::Tick) => {
            cx.notice(format!("Connecting to MASTER {}:{}", cx.host, cx.port));
            Ok(dial(now, cx))
        }
        // News of a connection that we have given up already.
        (state @ State::Connect { .. }, _) => Ok(state),
        (State::Connecting, Input::Connected) => {
            cx.notice("Non blocking connect for SYNC fired the event.");
            cx.send(&[b"PING"]);
            Ok(State::Handshake { asked: Question::Ping })
        }
        (State::Connecting, Input::DialFailed(why)) => {
            Err(LinkError::warning(Retry::Backoff, format!("Unable to connect to MASTER: {why}")))
        }
        (State::Connecting, Input::ConnectFailed(why) | Input::Closed(why)) => {
            let text = format!("Error condition on socket for SYNC: {why}");
            Err(LinkError::warning(Retry::Backoff, text))
        }
        (State::Handshake { asked }, Input::Line(line)) => {
            Ok(match handshake::take_answer(asked, line, cx)? {
                Some(asked) => State::Handshake { asked },
                None => ask_to_synchronise(cx),
            })
        }
        (State::Psync { asked }, Input::Line(line)) => answer_psync(asked, line, now, cx),
        (State::Header { base }, Input::Line(line)) => take_header(base, line, now, cx),
        (State::Body { base, load_to, .. }, Input::RdbComplete) => {
            Ok(begin_to_load(base, load_to, now, cx))
        }
        (State::Loading { base, gone, .. }, Input::Loaded(Ok(()))) => {
            let up = go_live_after_load(base, now, cx);
            if gone { Err(up.lost(now, cx, None)) } else { Ok(State::Stream(up)) }
        }
        (State::Loading { base, load_to, newline_at, .. }, Input::Closed(_)) => {
            Ok(State::Loading { base, load_to, newline_at, gone: true })
        }
        (State::Body { load_to, .. } | State::Loading { load_to, .. }, Input::Loaded(Err(why))) => {
            Err(failure::load_failed(load_to, why))
        }
        (State::Body { .. } | State::Loading { .. }, Input::SpoolFailed(line)) => {
            Err(LinkError::warning(Retry::Now, line))
        }
        (State::Loading { base, load_to, newline_at, gone }, Input::Tick) => {
            let due = newline_at <= now;
            if due && !gone {
                cx.push(Output::Send(wire::NEWLINE.to_vec()));
            }
            let newline_at = if due { now.plus_ms(HEARTBEAT_MS) } else { newline_at };
            Ok(State::Loading { base, load_to, newline_at, gone })
        }
        (State::Stream(up), Input::Tick) if now < cx.silent_at() => {
            let mut up = up;
            if up.ack_at <= now {
                up.send_ack(now, cx);
            }
            Ok(State::Stream(up))
        }
        (State::Stream(mut up), Input::Desynced) => {
            up.replid = None;
            Err(up.lost(now, cx, None))
        }
        (State::Stream(up), Input::Closed(_)) => Err(up.lost(now, cx, None)),
        (State::Stream(up), Input::Tick) => {
            Err(up.lost(now, cx, Some("MASTER timeout: no data nor PING received...")))
        }
        // A tick that came early is no event; a late one is the end.
        (state, Input::Tick) if now < cx.silent_at() => Ok(state),
        (state, Input::Tick) => Err(failure::timed_out(&state)),
        (state, Input::Closed(why)) => Err(failure::lost_while_synchronising(&state, why)),
        (state, input) => Err(LinkError::unexpected(&state, &input)),
    }
}

fn ask_to_synchronise(cx: &mut Context) -> State {
    let asked = cx.cached;
    match asked {
        Some(CachedMaster { replid, offset }) => {
            let next = offset.next_byte().to_string();
            cx.notice(format!("Trying a partial resynchronization (request {replid}:{next})."));
            cx.send(&[b"PSYNC", replid.as_bytes(), next.as_bytes()]);
        }
        None => {
            cx.notice("Partial resynchronization not possible (no cached master)");
            cx.send(&[b"PSYNC", b"?", b"-1"]);
        }
    }
    State::Psync { asked }
}

fn answer_psync(
    asked: Option<CachedMaster>,
    line: &[u8],
    now: Mono,
    cx: &mut Context,
) -> Result<State, LinkError> {
    let text = wire::printable(line);
    match (psync::parse_answer(line), asked) {
        (Answer::Wait, asked) => Ok(State::Psync { asked }),
        (Answer::FullResync(base), _) => {
            let replid = base.replid.expect("a full resync names its history");
            cx.notice(format!("Full resync from master: {replid}:{}", base.offset));
            Ok(expect_rdb(base, cx))
        }
        (Answer::BadFullResync, _) => {
            let text = "Master replied with wrong +FULLRESYNC syntax.";
            Err(LinkError::warning(Retry::Slow, text))
        }
        (Answer::Continue(new_replid), Some(cached)) => {
            cx.notice("Successful partial resynchronization with master.");
            Ok(resume(cached, new_replid, now, cx))
        }
        (Answer::Later, _) => Err(LinkError::notice(
            Retry::Backoff,
            format!("Master is currently unable to PSYNC but should be in the future: {text}"),
        )),
        (Answer::Refused | Answer::Unknown | Answer::Continue(_), _) => {
            match psync::parse_answer(line) {
                Answer::Refused => cx.notice(format!(
                    "Master does not support PSYNC or is in error state (reply: {text})"
                )),
                _ => cx.warning(format!("Unexpected reply to PSYNC from master: {text}")),
            }
            cx.notice("Retrying with SYNC...");
            cx.push(Output::Send(b"SYNC\r\n".to_vec()));
            Ok(expect_rdb(Base { replid: None, offset: ReplOffset(0) }, cx))
        }
    }
}

fn expect_rdb(base: Base, cx: &mut Context) -> State {
    cx.rdb_total_bytes = 0;
    cx.rdb_read_bytes = 0;
    cx.rdb_streamed = false;
    State::Header { base }
}

/// The link is up where it was.
fn resume(cached: CachedMaster, new_replid: Option<ReplId>, now: Mono, cx: &mut Context) -> State {
    let new_replid = new_replid.filter(|&id| id != cached.replid);
    if let Some(id) = new_replid {
        cx.warning(format!("Master replication ID changed to {id}"));
    }
    cx.notice("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.");
    cx.push(Output::Resumed { new_replid });
    let replid = new_replid.unwrap_or(cached.replid);
    State::Stream(go_live(Some(replid), cached.offset, false, now, cx))
}

fn take_header(base: Base, line: &[u8], now: Mono, cx: &mut Context) -> Result<State, LinkError> {
    let load_to = cx.settings.load_to;
    let target = if load_to == LoadTo::Disk { "to disk" } else { "to parser" };
    let (size_bytes, body) = match transfer::parse_header(line) {
        Header::Wait => return Ok(State::Header { base }),
        Header::Sized(size) => {
            cx.notice(format!(
                "MASTER <-> REPLICA sync: receiving {size} bytes from master {target}"
            ));
            (Some(size), Body::Sized { left_bytes: size })
        }
        Header::Marked(mark) => {
            cx.notice(format!(
                "MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF {target}"
            ));
            cx.rdb_streamed = true;
            (None, Body::marked(mark))
        }
        Header::Refused => {
            let text = wire::printable(&line[1..]);
            let text = format!("MASTER aborted replication with an error: {text}");
            return Err(LinkError::warning(Retry::Now, text));
        }
        Header::Bad => {
            let text = format!(
                "Bad protocol from MASTER, the first byte is not '$' (we received '{}'), are you \
                 sure the host and port are right?",
                wire::printable(line)
            );
            return Err(LinkError::warning(Retry::Slow, text));
        }
    };
    cx.rdb_total_bytes = size_bytes.map_or(0, |size| i64::try_from(size).unwrap_or(i64::MAX));
    if load_to != LoadTo::Disk {
        announce_load(cx);
    }
    cx.push(Output::BeginRdb { size_bytes, base, load_to });
    match size_bytes {
        Some(0) => Ok(begin_to_load(base, load_to, now, cx)),
        _ => Ok(State::Body { base, body, load_to }),
    }
}

fn begin_to_load(base: Base, load_to: LoadTo, now: Mono, cx: &mut Context) -> State {
    if load_to == LoadTo::Disk {
        announce_load(cx);
    }
    cx.push(Output::EndRdb);
    State::Loading { base, load_to, newline_at: now.plus_ms(HEARTBEAT_MS), gone: false }
}

/// Our own data is given up. It goes when the other is loaded: a file that cannot be put in its
/// place leaves it.
fn announce_load(cx: &mut Context) {
    cx.discard_cached();
    cx.notice("MASTER <-> REPLICA sync: Flushing old data");
    cx.notice("MASTER <-> REPLICA sync: Loading DB in memory");
}

fn go_live_after_load(base: Base, now: Mono, cx: &mut Context) -> Upstream {
    cx.notice("MASTER <-> REPLICA sync: Finished with success");
    cx.push(Output::Synced(base));
    go_live(base.replid, base.offset, cx.rdb_streamed, now, cx)
}

/// The first ACK goes at once: a master that streamed its RDB waits for it (`awaited`), and every
/// other one knows our offset a second earlier. Only where REPLCONF was refused does it take its
/// time: the master's answer is the end of the link, so there is one a second, and between them
/// the link is up.
fn go_live(
    replid: Option<ReplId>,
    offset: ReplOffset,
    awaited: bool,
    now: Mono,
    cx: &mut Context,
) -> Upstream {
    cx.cached = None;
    cx.down_since = None;
    cx.last_io = now;
    let mut up = Upstream {
        replid,
        received: offset,
        applied: offset,
        since: now,
        ack_at: now.plus_ms(HEARTBEAT_MS),
    };
    if awaited || !cx.replconf_refused {
        up.send_ack(now, cx);
    }
    up
}

impl Upstream {
    pub(super) fn send_ack(&mut self, now: Mono, cx: &mut Context) {
        self.ack_at = now.plus_ms(HEARTBEAT_MS);
        if self.replid.is_some() {
            let mut ack = Vec::with_capacity(64);
            wire::push_ack(&mut ack, self.applied);
            cx.push(Output::Send(ack));
        }
    }

    /// The link is gone. What is applied is remembered; what was received beyond that will be
    /// asked for again.
    fn lost(self, now: Mono, cx: &mut Context, because: Option<&str>) -> LinkError {
        self.remember(now, cx, because);
        LinkError::lost_link()
    }

    fn remember(self, now: Mono, cx: &mut Context, because: Option<&str>) {
        if let Some(text) = because {
            cx.warning(text);
        }
        cx.warning("Connection with master lost.");
        if let Some(replid) = self.replid {
            cx.notice("Caching the disconnected master state.");
            cx.cached = Some(CachedMaster { replid, offset: self.applied });
        }
        cx.down_since = Some(now);
        if now.ms_since(self.since) >= GOOD_LINK_MS {
            cx.failures = 0;
        }
    }
}

impl State {
    /// Whether bytes that come now are lines.
    pub(super) fn reads_lines(&self) -> bool {
        matches!(self, State::Handshake { .. } | State::Psync { .. } | State::Header { .. })
    }

    pub(super) fn next_timeout(&self, cx: &Context) -> Option<Mono> {
        match self {
            State::Connect { retry_at } => Some(*retry_at),
            State::Loading { newline_at, .. } => Some(*newline_at),
            State::Stream(up) => Some(up.ack_at.min(cx.silent_at())),
            State::Left => None,
            _ => Some(cx.silent_at()),
        }
    }

    /// ROLE's word for the state.
    pub(super) fn role_word(&self) -> &'static str {
        match self {
            State::Connect { .. } => "connect",
            State::Connecting => "connecting",
            State::Handshake { .. } | State::Psync { .. } => "handshake",
            State::Header { .. } | State::Body { .. } | State::Loading { .. } => "sync",
            State::Stream(_) => "connected",
            State::Left => "none",
        }
    }

    /// Our own word for the state.
    pub(super) fn name(&self) -> &'static str {
        match self {
            State::Connect { .. } => "Connect",
            State::Connecting => "Connecting",
            State::Handshake { .. } => "Handshake",
            State::Psync { .. } => "Psync",
            State::Header { .. } => "Header",
            State::Body { .. } => "Body",
            State::Loading { .. } => "Loading",
            State::Stream(_) => "Stream",
            State::Left => "Left",
        }
    }

    /// Ends whatever is under way, because the role ends.
    pub(super) fn tear_down(self, now: Mono, cx: &mut Context) {
        Summary::of(&self).clean_up(cx);
        if let State::Stream(up) = self {
            up.remember(now, cx, None);
        }
    }
}
