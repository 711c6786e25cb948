//! One connection as CLIENT LIST and CLIENT INFO show it, and which connections a filter means.
//!
//! Another client's line is made from what its worker publishes in [`ClientInfo`] after each of
//! its turns; the running request is only known of the asking client. There is one buffer for
//! small replies, which grows as far as they ask for and is given back when the client is idle:
//! its size (`rbs`) is its peak (`rbp`) too. What is in it counts as `omem`, and not as `obl`.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use tandem_base::Now;
use tandem_resp::Args;

use crate::client::{Client, ClientFlags, ClientInfo};
use crate::error::ErrorReply;

/// What a connection is to CLIENT LIST TYPE and CLIENT KILL TYPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientType {
    /// Sends commands.
    Normal,
    /// Follows us.
    Replica,
    /// Waits for messages.
    PubSub,
    /// Is followed by us.
    Master,
}

impl ClientType {
    /// The type of that name, in any case.
    pub(super) fn parse(name: &[u8]) -> Result<ClientType, ErrorReply> {
        Ok(match name.to_ascii_lowercase().as_slice() {
            b"normal" => ClientType::Normal,
            b"replica" | b"slave" => ClientType::Replica,
            b"pubsub" => ClientType::PubSub,
            b"master" => ClientType::Master,
            _ => return Err(ErrorReply::quoting("ERR Unknown client type '", name, "'")),
        })
    }

    /// What that connection is.
    pub(super) fn of(info: &ClientInfo) -> ClientType {
        let flags = info.flags();
        if flags.contains(ClientFlags::MASTER) {
            ClientType::Master
        } else if flags.contains(ClientFlags::REPLICA) {
            ClientType::Replica
        } else if flags.contains(ClientFlags::PUBSUB) {
            ClientType::PubSub
        } else {
            ClientType::Normal
        }
    }
}

/// The letters of the flags, in the order in which they are shown.
const FLAG_LETTERS: &[(ClientFlags, char)] = &[
    (ClientFlags::MONITOR, 'O'),
    (ClientFlags::REPLICA, 'S'),
    (ClientFlags::MASTER, 'M'),
    (ClientFlags::PUBSUB, 'P'),
    (ClientFlags::MULTI, 'x'),
    (ClientFlags::BLOCKED, 'b'),
    (ClientFlags::TRACKING, 't'),
    (ClientFlags::BROKEN_REDIRECT, 'R'),
    (ClientFlags::BCAST, 'B'),
    (ClientFlags::DIRTY, 'd'),
    (ClientFlags::CLOSING, 'c'),
    (ClientFlags::UNIX_SOCKET, 'U'),
    (ClientFlags::NO_EVICT, 'e'),
];

/// What only the asking client's own worker knows about it.
#[derive(Clone, Copy, Default)]
struct Own {
    request_bytes: usize,
    argument_bytes: usize,
    transaction_bytes: usize,
}

/// The line of a client that runs a request, without a line feed.
pub(crate) fn client_line(client: &Client, args: Args<'_>, now: Now) -> String {
    let mut line = String::new();
    push_line(&mut line, &client.info, (client, args), now);
    line.truncate(line.trim_end_matches('\n').len());
    line
}

/// The line of a client as it stands, whoever asks, without a line feed.
pub(crate) fn info_line(info: &ClientInfo, now: Now) -> String {
    let mut line = String::new();
    push_fields(&mut line, info, Own::default(), now);
    line
}

/// The line of `info` as `asking` sees it, a line feed at its end.
pub(super) fn push_line(
    line: &mut String,
    info: &ClientInfo,
    (asking, args): (&Client, Args<'_>),
    now: Now,
) {
    let own = if info.id == asking.id() {
        Own {
            request_bytes: args.raw().map_or(0, <[u8]>::len),
            argument_bytes: args.iter().map(<[u8]>::len).sum(),
            transaction_bytes: asking.transaction.as_ref().map_or(0, |open| open.bytes),
        }
    } else {
        Own::default()
    };
    push_fields(line, info, own, now);
    line.push('\n');
}

fn push_fields(line: &mut String, info: &ClientInfo, own: Own, now: Now) {
    let mut flags = info.flags();
    flags.set(ClientFlags::DIRTY, info.watch_flag.load(Ordering::Relaxed));
    let mut letters: String =
        FLAG_LETTERS.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, l)| *l).collect();
    if letters.is_empty() {
        letters.push('N');
    }
    let names = info.names().clone();
    let seconds_since = |then_ms: i64| (now.unix.0 - then_ms).max(0) / 1000;
    let query_bytes = own.request_bytes as u64 + info.query_bytes.load(Ordering::Relaxed);
    let reply_bytes = info.reply_bytes.load(Ordering::Relaxed);
    let figure = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
    let arguments = own.argument_bytes as u64 + figure(&info.argument_bytes);
    let queued = figure(&info.queued_bytes).max(own.transaction_bytes as u64);
    let buffer = figure(&info.buffer_bytes);
    let held = figure(&info.memory_bytes) + (own.request_bytes + own.argument_bytes) as u64;
    let redirect = if flags.contains(ClientFlags::TRACKING) {
        info.redirect.load(Ordering::Relaxed).cast_signed()
    } else {
        -1
    };
    let [sub, psub, ssub] =
        info.subscriptions.each_ref().map(|count| count.load(Ordering::Relaxed));
    let user = info.user();
    let user = String::from_utf8_lossy(user.as_ref().map_or(b"(superuser)", |user| user.name()));
    write!(
        line,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={letters} db={} sub={sub} \
         psub={psub} ssub={ssub} multi={} qbuf={query_bytes} qbuf-free={} \
         argv-mem={arguments} multi-mem={queued} rbs={buffer} rbp={buffer} obl=0 oll={} \
         omem={reply_bytes} tot-mem={held} events={} cmd={} user={user} redir={redirect} \
         resp={}",
        info.id,
        info.addr,
        info.laddr,
        info.fd,
        names.name,
        seconds_since(info.since.0),
        seconds_since(info.last_active.load(Ordering::Relaxed)),
        info.db.load(Ordering::Relaxed),
        info.multi.load(Ordering::Relaxed),
        figure(&info.query_free_bytes),
        u8::from(reply_bytes > 0),
        if reply_bytes > 0 { "rw" } else { "r" },
        info.last_command_name(),
        info.resp.load(Ordering::Relaxed),
    )
    .expect("a string takes everything");
    // Newer than 7.0, so only shown for a client that has said it.
    for (field, value) in [("lib-name", &names.lib_name), ("lib-ver", &names.lib_ver)] {
        if !value.is_empty() {
            write!(line, " {field}={value}").expect("a string takes everything");
        }
    }
}
