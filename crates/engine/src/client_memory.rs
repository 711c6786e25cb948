//! What connections hold, and who goes when that is too much (`maxmemory-clients`).
//!
//! A connection's own worker counts what it holds after each of its turns and publishes the
//! figures in its [`ClientInfo`]; what has changed goes into one sum over all of them. So INFO
//! and the limit look at one number, and CLIENT LIST at what each has published. Replicas are no
//! part of the sum: what they have yet to read is the stream's.
//!
//! Over the limit, the largest go first, by powers of two as in Redis: a few bytes more or less
//! do not decide. Whoever goes is struck off the register at once, and closed by its worker on
//! its next turn.

use std::sync::atomic::Ordering;

use tandem_base::Now;

use crate::client::{Client, ClientFlags, ClientInfo, Feed, Kind, Session};
use crate::commands::client_list::info_line;
use crate::config::Config;
use crate::node::{Level, Node, lock};
use crate::stats::Counters;

/// What a connection takes before it has sent anything.
pub const FIXED_BYTES: u64 = (size_of::<Session>() + size_of::<ClientInfo>()) as u64;
/// What a queued command, a watched key, a prefix of client tracking (once with the client, once
/// with all prefixes) and a subscription take besides their bytes.
const QUEUED_BYTES: usize = 64;
const WATCHED_BYTES: usize = 128;
const PREFIX_BYTES: usize = 128;
const SUBSCRIPTION_BYTES: u64 = 64;
/// A buffer for small replies up to this size is not counted.
const BUFFER_BYTES_FREE: u64 = 16 << 10;
/// Clients below that are all the same size; above, a class for each power of two.
const SMALLEST_CLASS_LOG2: u32 = 15;

impl Session {
    /// Publishes what the connection holds; returns the sum.
    fn publish_memory(&self, node: &Node) -> u64 {
        let Session { input, client, out } = self;
        let info = &client.info;
        let large = input.large.as_ref();
        let set = |figure: &std::sync::atomic::AtomicU64, value: u64| {
            if figure.load(Ordering::Relaxed) != value {
                figure.store(value, Ordering::Relaxed);
            }
        };
        // A large argument has a buffer of its own; what came before it has been read.
        let owned = input.parser.owned_bytes();
        let (query, in_buffer) = match large {
            Some(large) => (large.bytes.len(), input.held.len()),
            None => (input.held.len(), 0),
        };
        let room = input.held.capacity() + large.map_or(0, |large| large.bytes.capacity());
        let queued = client
            .transaction
            .as_ref()
            .map_or(0, |open| open.bytes + open.queued.len() * QUEUED_BYTES);
        // A small buffer comes and goes with every larger reply, and so is not counted.
        let buffer = out.buffer_bytes() as u64;
        let held = out.held_bytes() as u64 - if buffer <= BUFFER_BYTES_FREE { buffer } else { 0 };
        let (mut output, idle) = if out.is_empty() { (0, held) } else { (held, 0) };
        let mut unsent = out.len() as u64;
        if let Some(Feed::Stream(cursor) | Feed::Waiting(Some(cursor))) = &client.feed {
            let pending = cursor.pending(node.stream.end());
            output += pending;
            unsent += pending;
        }
        set(&info.query_bytes, query as u64);
        set(&info.query_free_bytes, (room - query - in_buffer) as u64);
        set(&info.argument_bytes, (in_buffer + owned) as u64);
        set(&info.queued_bytes, queued as u64);
        set(&info.reply_bytes, unsent);
        set(&info.buffer_bytes, buffer);
        FIXED_BYTES
            + (room + owned + queued + watched_bytes(client) + prefixes_bytes(client)) as u64
            + output
            + idle
            + listening_bytes(info)
    }
}

fn watched_bytes(client: &Client) -> usize {
    // A long list is not gone through each time: its keys are about as long as its last.
    let last = client.watched.last().map_or(0, |watched| watched.key.len());
    client.watched.len() * (WATCHED_BYTES + last)
}

fn prefixes_bytes(client: &Client) -> usize {
    client.tracking.as_ref().map_or(0, |mode| {
        let last = mode.prefixes.last().map_or(0, Vec::len);
        mode.prefixes.len() * (PREFIX_BYTES + 2 * last)
    })
}

fn listening_bytes(info: &ClientInfo) -> u64 {
    let count = |of: &std::sync::atomic::AtomicU32| u64::from(of.load(Ordering::Relaxed));
    info.subscriptions.iter().map(count).sum::<u64>() * SUBSCRIPTION_BYTES
}

/// The limit that the configuration asks for, in bytes; 0: none.
pub(crate) fn limit(config: &Config) -> u64 {
    match config.maxmemory_clients() {
        percent @ ..0 => {
            let share = u128::from(config.maxmemory()) * u128::from(percent.unsigned_abs()) / 100;
            u64::try_from(share).unwrap_or(u64::MAX)
        }
        bytes => bytes.unsigned_abs(),
    }
}

impl Node {
    /// Counts what a connection holds; to be called by its worker when it has run, read or
    /// written something. Connections that are too much are on their way out afterwards.
    #[inline]
    pub fn count_client_memory(&self, session: &Session, counters: &mut Counters, now: Now) {
        let bytes = session.publish_memory(self);
        let info = &session.client.info;
        if info.memory_bytes.load(Ordering::Relaxed) != bytes {
            info.memory_bytes.store(bytes, Ordering::Relaxed);
            let share = if session.client.kind == Kind::Replica { 0 } else { bytes };
            self.clients.set_share(info, share);
        }
        if self.clients_over_limit() {
            self.evict_clients(counters, now);
        }
    }

    /// Whether connections together hold too much.
    #[inline]
    pub(crate) fn clients_over_limit(&self) -> bool {
        let limit = self.clients_limit();
        limit != 0 && self.clients.held_bytes() >= limit
    }

    /// Ends the largest connections until the others fit.
    #[cold]
    pub(crate) fn evict_clients(&self, counters: &mut Counters, now: Now) {
        // One at a time: whoever comes second sees what the first has done.
        let _alone = lock(&self.clients.evicting);
        if !self.clients_over_limit() {
            return;
        }
        // Where none of many connections may go, this is asked at every command.
        let mut all = self.clients.those(|info| {
            let kept = ClientFlags::NO_EVICT | ClientFlags::REPLICA | ClientFlags::MASTER;
            !info.flags().intersects(kept)
        });
        let class = |info: &ClientInfo| {
            info.memory_bytes.load(Ordering::Relaxed).max(1).ilog2().max(SMALLEST_CLASS_LOG2)
        };
        // Each is looked at once: other workers change the figures.
        all.sort_by_cached_key(|info| std::cmp::Reverse(class(info)));
        for info in all {
            if !self.clients_over_limit() {
                return;
            }
            self.log(Level::Notice, &format!("Evicting client: {}", info_line(&info, now)));
            counters.evicted_clients += 1;
            self.kill(&info);
            self.clients.remove(info.id);
            self.clients.set_share(&info, 0);
        }
        if self.clients_over_limit() && self.meters.may_log_clients_limit(now) {
            let line = "Over client maxmemory after evicting all evictable clients";
            self.log(Level::Warning, line);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::script::Shell;

    fn listed(shell: &mut Shell, name: &str, field: &str) -> Option<u64> {
        let list = shell.run("CLIENT LIST");
        let line = list.split("\\n").find(|line| line.contains(&format!(" name={name} ")))?;
        let at = line.find(&format!(" {field}="))? + field.len() + 2;
        line[at..].split(' ').next()?.parse().ok()
    }

    #[test]
    fn a_transaction_is_counted_and_the_largest_goes() {
        let mut shell = Shell::new();
        shell.run("CLIENT SETNAME control");
        for (name, bytes) in [("small", 40_000), ("large", 200_000)] {
            shell.run_as(name, &format!("CLIENT SETNAME {name}"));
            shell.run_as(name, "MULTI");
            shell.run_as(name, &format!("SET k {}", "x".repeat(bytes)));
        }
        let small = listed(&mut shell, "small", "multi-mem").expect("listed");
        assert!((40_000..41_000).contains(&small), "{small}");
        assert!(listed(&mut shell, "large", "tot-mem").expect("listed") > 200_000);
        shell.run("CONFIG SET maxmemory-clients 150000");
        assert!(listed(&mut shell, "large", "tot-mem").is_none());
        assert!(listed(&mut shell, "small", "tot-mem").is_some());
        assert!(shell.run("INFO stats").contains("evicted_clients:1"));
        // Who asks not to go stays, whatever the limit.
        shell.run("CLIENT NO-EVICT on");
        shell.run("CONFIG SET maxmemory-clients 1");
        assert!(listed(&mut shell, "small", "tot-mem").is_none());
        assert_eq!(shell.run("PING"), "+PONG");
    }

    #[test]
    fn who_comes_after_an_eviction_in_vain_can_be_evicted_at_once() {
        let mut shell = Shell::new();
        shell.run("CLIENT NO-EVICT on");
        shell.run("CONFIG SET maxmemory-clients 1");
        assert_eq!(shell.run("PING"), "+PONG");
        shell.run("CONFIG SET maxmemory-clients 0");
        shell.run_as("new", "CLIENT SETNAME new");
        shell.run("CONFIG SET maxmemory-clients 1");
        assert!(listed(&mut shell, "new", "tot-mem").is_none());
    }

    #[test]
    fn prefixes_of_client_tracking_count() {
        let mut shell = Shell::new();
        shell.run_as("a", "CLIENT SETNAME a");
        shell.run_as("a", "HELLO 3");
        let before = listed(&mut shell, "a", "tot-mem").expect("listed");
        for n in 0..100 {
            shell.run_as("a", &format!("CLIENT TRACKING on BCAST PREFIX prefix:{n:03}"));
        }
        let grown = listed(&mut shell, "a", "tot-mem").expect("listed") - before;
        assert!((12_800..20_000).contains(&grown), "{grown}");
    }

    #[test]
    fn a_share_of_maxmemory_is_a_limit() {
        let mut shell = Shell::new();
        shell.run("CONFIG SET maxmemory 1000000");
        shell.run("CONFIG SET maxmemory-clients 7%");
        assert_eq!(shell.node.clients_limit(), 70_000);
        shell.run("CONFIG SET maxmemory-clients 5mb");
        assert_eq!(shell.node.clients_limit(), 5 << 20);
        shell.run("CONFIG SET maxmemory-clients 0");
        assert_eq!(shell.node.clients_limit(), 0);
    }
}
