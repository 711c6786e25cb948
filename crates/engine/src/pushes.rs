//! What clients get without having asked for it just now: messages of channels, invalidations of
//! cached keys, lines of MONITOR.
//!
//! ```text
//! any thread ─► queue of the receiver's worker ─┬─► end of that worker's turn ─► out, one write
//!   (a push: who, and bytes shared by all)      └─► the receiver's own requests ─► out, in place
//! ```
//!
//! A session belongs to one worker, so a push is left in the worker's queue and comes to each
//! receiver's buffer when the worker has run what it had to run. Before a receiver's own
//! requests, and after each of them, it catches up with the queue: its replies and what it was
//! pushed then stand in the order in which they came about, as with one thread. Pushes are
//! numbered, so that nobody gets one twice.
//!
//! The bytes are made once and are the same for all receivers; only a message's first byte
//! differs between RESP2 and RESP3, and is written with it.
//!
//! A push is *under way* until it has been offered to its receiver's socket. What is under way
//! is no reason to evict keys, for evictions make pushes (invalidations, events) and would feed
//! themselves. What the socket does not take is the receiver's output from then on, and counts.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crossbeam_utils::CachePadded;
use tandem_base::{Mono, Now};
use tandem_resp::{Args, OutBuf, Proto};

use crate::client::{Client, ClientId, Kind, Session};
use crate::commands::client_list::info_line;
use crate::cx::Cx;
use crate::node::{Level, Node, lock};
use crate::spec::Spec;
use crate::tracking::News;

/// Messages from this size on are not copied for each receiver.
const SHARED_BYTES_MIN: usize = 16 << 10;

/// What is sent.
#[derive(Debug)]
pub enum Content {
    /// An array in RESP2, a push in RESP3: its bytes without the sign they begin with.
    Message(Arc<Vec<u8>>),
    /// A status, as it is sent.
    Line(Arc<Vec<u8>>),
    /// Keys have changed.
    Changed {
        /// Which.
        news: News,
        /// They were read by another client, which redirects to this one.
        redirected: bool,
    },
    /// The client to which this one redirects such news is gone.
    RedirectBroken(ClientId),
}

impl Content {
    fn body(&self) -> Option<&Arc<Vec<u8>>> {
        match self {
            Content::Message(body)
            | Content::Line(body)
            | Content::Changed { news: News::Keys(body), .. } => Some(body),
            Content::Changed { news: News::All, .. } | Content::RedirectBroken(_) => None,
        }
    }
}

/// To whom.
#[derive(Clone, Debug)]
pub enum Receivers {
    /// To one client.
    One(ClientId),
    /// To these, as they were when it was sent. All of them belong to one worker.
    Many(Arc<Vec<ClientId>>),
}

impl Receivers {
    /// The clients.
    pub fn ids(&self) -> &[ClientId] {
        match self {
            Receivers::One(id) => std::slice::from_ref(id),
            Receivers::Many(ids) => ids,
        }
    }

    /// Whether both are one list.
    fn is_same_list(&self, other: &Receivers) -> bool {
        match (self, other) {
            (Receivers::One(one), Receivers::One(other)) => one == other,
            (Receivers::Many(one), Receivers::Many(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// One thing for some clients of one worker.
#[derive(Clone, Debug)]
pub struct Push {
    /// To whom.
    pub to: Receivers,
    /// What.
    pub content: Arc<Content>,
}

impl Push {
    /// What it takes while it waits behind `before`, with which it may share its content.
    fn bytes_behind(&self, before: Option<&Push>) -> u64 {
        let own = size_of::<Push>();
        if before.is_some_and(|before| Arc::ptr_eq(&before.content, &self.content)) {
            return own as u64;
        }
        let shared = before.and_then(|before| before.content.body());
        let body = self.content.body().filter(|body| !shared.is_some_and(|s| Arc::ptr_eq(s, body)));
        (own + size_of::<Content>() + body.map_or(0, |body| body.capacity())) as u64
    }

    fn write(&self, node: &Node, client: &mut Client, out: &mut OutBuf) {
        if client.kind == Kind::Replica {
            self.refuse(node, client, out.proto);
            return;
        }
        match &*self.content {
            Content::Message(body) => {
                out.push(if out.proto == Proto::V3 { b">" } else { b"*" });
                write_body(out, body);
            }
            Content::Line(line) => write_body(out, line),
            Content::Changed { news, redirected } => write_news(client, out, news, *redirected),
            Content::RedirectBroken(id) => {
                if out.proto == Proto::V3 {
                    out.push_message(2);
                    out.bulk(b"tracking-redir-broken");
                    out.int(id.cast_signed());
                }
            }
        }
    }
}

impl Push {
    /// Nothing may come between the stream's bytes. Only another client can have had this sent
    /// to a replica, by redirecting to it; whoever is told of keys there is cut off, as in Redis.
    #[cold]
    fn refuse(&self, node: &Node, client: &mut Client, proto: Proto) {
        let is_told = matches!(&*self.content, Content::Changed { redirected: true, .. });
        if !is_told || proto != Proto::V3 || client.closing {
            return;
        }
        client.closing = true;
        let mono = Mono(node.recent_mono.load(Ordering::Relaxed));
        let now = Now { unix: node.recent_unix(), mono };
        node.log(
            Level::Warning,
            &format!(
                "Replica generated a reply to command '{}', disconnecting it: {}",
                client.info.last_command_name(),
                info_line(&client.info, now)
            ),
        );
    }
}

fn write_body(out: &mut OutBuf, body: &Arc<Vec<u8>>) {
    if body.len() < SHARED_BYTES_MIN {
        out.push(body);
    } else {
        out.push_shared(Arc::clone(body));
    }
}

/// In RESP2, which knows no pushes, only a subscriber can be told, and only about the reads of
/// others: as by a message of a channel of that name.
fn write_news(client: &Client, out: &mut OutBuf, news: &News, redirected: bool) {
    if out.proto == Proto::V3 {
        out.push_message(2);
        out.bulk(b"invalidate");
    } else if redirected && client.subscriptions.is_some() {
        out.array(3);
        out.bulk(b"message");
        out.bulk(b"__redis__:invalidate");
    } else {
        return;
    }
    match news {
        News::Keys(array) => write_body(out, array),
        News::All => out.null(),
    }
}

#[derive(Default)]
struct Waiting {
    /// The number of the first push that waits.
    first: u64,
    pushes: Vec<Push>,
}

impl Waiting {
    fn next(&self) -> u64 {
        self.first + self.pushes.len() as u64
    }
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Lets a look at an empty queue do without the lock.
    any: AtomicBool,
    /// Bytes of the pushes that wait.
    queued_bytes: AtomicU64,
    /// Bytes of those that the worker has taken or written and not yet offered to a socket.
    in_hand_bytes: AtomicU64,
}

impl Queue {
    /// A push was written to a connection: what its output has grown by.
    fn note_written(&self, before: usize, after: usize) {
        let grown = after.saturating_sub(before) as u64;
        self.in_hand_bytes.fetch_add(grown, Ordering::Relaxed);
    }
}

/// The queues of all workers.
pub struct Pushes(Box<[CachePadded<Queue>]>);

impl Pushes {
    /// Queues for so many workers.
    pub fn new(workers: usize) -> Pushes {
        Pushes((0..workers).map(|_| CachePadded::default()).collect())
    }

    /// Whether something waits for clients of a worker.
    #[inline]
    pub fn any(&self, worker: usize) -> bool {
        self.0[worker].any.load(Ordering::SeqCst)
    }

    fn leave(&self, worker: usize, push: Push) {
        let queue = &self.0[worker];
        let mut waiting = lock(&queue.waiting);
        let bytes = push.bytes_behind(waiting.pushes.last());
        queue.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        waiting.pushes.push(push);
        drop(waiting);
        queue.any.store(true, Ordering::SeqCst);
    }

    /// Bytes of all pushes that have not been offered to a socket, in the queues and in the
    /// output of their receivers.
    pub fn bytes_under_way(&self) -> u64 {
        let bytes = |queue: &CachePadded<Queue>| {
            queue.queued_bytes.load(Ordering::Relaxed) + queue.in_hand_bytes.load(Ordering::Relaxed)
        };
        self.0.iter().map(bytes).sum()
    }

    /// A worker has offered all output of its connections to their sockets: what they did not
    /// take is the connections'.
    pub fn offered(&self, worker: usize) {
        let in_hand = &self.0[worker].in_hand_bytes;
        if in_hand.load(Ordering::Relaxed) != 0 {
            in_hand.store(0, Ordering::Relaxed);
        }
    }
}

impl Node {
    /// Leaves something for clients of `worker`.
    pub fn push(&self, worker: usize, push: Push) {
        self.pushes.leave(worker, push);
        self.host.wake(worker);
    }

    /// Takes what waits for clients of `worker`, which hands it out at the end of its turn.
    pub fn take_pushes(&self, worker: usize) -> Delivery {
        self.broadcast_changes();
        let queue = &self.pushes.0[worker];
        if !queue.any.swap(false, Ordering::SeqCst) {
            return Delivery::default();
        }
        let mut waiting = lock(&queue.waiting);
        let first = waiting.first;
        waiting.first = waiting.next();
        let bytes = queue.queued_bytes.swap(0, Ordering::Relaxed);
        queue.in_hand_bytes.fetch_add(bytes, Ordering::Relaxed);
        Delivery { first, pushes: std::mem::take(&mut waiting.pushes) }
    }

    /// A command has run, and its keys are still held: those who want to know of it do.
    #[cold]
    pub(crate) fn after_call(&self, cx: &mut Cx<'_>, spec: &Spec, args: Args<'_>) {
        if self.monitors.any() {
            self.show_monitors(cx.client, cx.client.db, spec, args, cx.now());
        }
        self.remember_read(cx, spec, args);
    }

    /// A request of a client that may be pushed something has been answered.
    pub(crate) fn after_request(
        &self,
        worker: usize,
        client: &mut Client,
        out: &mut OutBuf,
        args: Args<'_>,
    ) {
        if let Some(mode) = &mut client.tracking
            && client.transaction.is_none()
            && !args.get(0).eq_ignore_ascii_case(b"client")
        {
            // CLIENT CACHING was about this request.
            mode.caching = false;
        }
        self.catch_up(worker, client, out);
    }

    /// Drops what waits for this client.
    pub(crate) fn drop_waiting(&self, client: &mut Client) {
        client.pushes_seen = lock(&self.pushes.0[client.info.worker].waiting).next();
    }

    /// Ends all that could bring a client what it did not ask for.
    pub fn stop_listening(&self, client: &mut Client) {
        self.unsubscribe_all(client);
        self.stop_monitor(client);
        self.stop_tracking(client);
    }

    /// Writes what waits for this client, so that it comes before what is written next.
    pub fn catch_up(&self, worker: usize, client: &mut Client, out: &mut OutBuf) {
        if !self.pushes.any(worker) {
            return;
        }
        let queue = &self.pushes.0[worker];
        let before = out.memory_hint();
        let waiting = lock(&queue.waiting);
        let seen = client.pushes_seen.saturating_sub(waiting.first) as usize;
        for push in waiting.pushes.iter().skip(seen) {
            if push.to.ids().contains(&client.info.id) {
                push.write(self, client, out);
            }
        }
        client.pushes_seen = waiting.next();
        drop(waiting);
        queue.note_written(before, out.memory_hint());
    }
}

/// What one worker has taken to hand out.
#[derive(Default)]
pub struct Delivery {
    first: u64,
    pushes: Vec<Push>,
}

impl Delivery {
    /// The pushes in order, cut where the receivers change: each receiver is looked up once for
    /// all that it gets in a row.
    pub fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let to = &self.pushes.get(at)?.to;
            let same = self.pushes[at..].iter().take_while(|push| push.to.is_same_list(to));
            let range = at..at + same.count();
            at = range.end;
            Some(Run { delivery: self, range })
        })
    }
}

/// Pushes in a row that go to the same clients.
pub struct Run<'a> {
    delivery: &'a Delivery,
    range: Range<usize>,
}

impl Run<'_> {
    /// The clients; some may be gone.
    pub fn to(&self) -> &[ClientId] {
        self.delivery.pushes[self.range.start].to.ids()
    }

    /// Writes them to one of the clients, but for what it has had already.
    pub fn write(&self, node: &Node, session: &mut Session) {
        let before = session.out.memory_hint();
        let seen = session.client.pushes_seen.saturating_sub(self.delivery.first) as usize;
        for push in
            &self.delivery.pushes[self.range.start.max(seen).min(self.range.end)..self.range.end]
        {
            push.write(node, &mut session.client, &mut session.out);
        }
        let queue = &node.pushes.0[session.client.info.worker];
        queue.note_written(before, session.out.memory_hint());
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::script::Shell;
    use crate::pubsub::Kind;

    #[test]
    fn a_push_is_under_way_until_it_has_been_offered() {
        let mut shell = Shell::new();
        shell.run_as("a", "SUBSCRIBE c");
        shell.run_as("b", "SUBSCRIBE c");
        assert_eq!(shell.node.pushes.bytes_under_way(), 0);
        let message = vec![b'x'; 1000];
        for times in 1..4 {
            shell.node.publish(Kind::Channel, b"c", &message);
            let bytes = shell.node.pushes.bytes_under_way();
            assert!((1000 * times..1500 * times).contains(&bytes), "once for all: {bytes}");
        }
        // A receiver that asks for something gets them first, and has them until they are sent.
        assert!(shell.run_as("a", "PING").contains("xxx"));
        assert_eq!(shell.node.pushes.bytes_under_way(), 0);
        shell.end_turn();
        assert!(shell.take_pushed("b").contains("xxx"));
    }
}
