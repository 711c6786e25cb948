//! Publish and subscribe: who listens to which channel, and how a message finds them.
//!
//! ```text
//! PUBLISH ─► registry (one lock) ─► channel: worker 0 ─► [clients] ─┐
//!                               └─► patterns that match ─► …        ├─► pushes of each worker
//!                                   worker 1 ─► [clients] ──────────┘   (one message for all)
//! ```
//!
//! A message is left with every worker before the lock is let go, so all subscribers see the
//! messages of all publishers in one order. A list of clients is shared with the messages that
//! are on their way and copied only when it changes meanwhile: a message goes to exactly those
//! who were counted. While nobody listens to anything, publishing costs one load.
//!
//! Which channels a user may use is the ACL's business: [`each_channel`] finds them in a
//! request, as [`Spec::each_key`] finds keys.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;
use tandem_base::num;
use tandem_resp::Args;

use crate::client::{Client, ClientFlags, ClientId};
use crate::glob;
use crate::node::{Node, lock};
use crate::pushes::{Content, Push, Receivers};
use crate::spec::Spec;

/// What is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A channel, by its name.
    Channel,
    /// All channels whose names match.
    Pattern,
    /// A shard channel: a name space of its own. Without a cluster it is all on one shard.
    Shard,
}

/// All kinds.
pub const KINDS: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Shard];

impl Kind {
    /// What subscribers of this kind are told a message with.
    fn message_word(self) -> &'static [u8] {
        match self {
            Kind::Channel => b"message",
            Kind::Pattern => b"pmessage",
            Kind::Shard => b"smessage",
        }
    }
}

/// Those who get the same: for each worker that has some, their numbers.
#[derive(Default)]
pub(crate) struct Audience(SmallVec<[(usize, Arc<Vec<ClientId>>); 1]>);

impl Audience {
    fn len(&self) -> usize {
        self.0.iter().map(|(_, ids)| ids.len()).sum()
    }

    /// Whether there is nobody.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a client of a worker.
    pub(crate) fn add(&mut self, worker: usize, id: ClientId) {
        match self.0.iter_mut().find(|(other, _)| *other == worker) {
            Some((_, ids)) => Arc::make_mut(ids).push(id),
            None => self.0.push((worker, Arc::new(vec![id]))),
        }
    }

    /// Takes one out, which must be there.
    pub(crate) fn remove(&mut self, worker: usize, id: ClientId) {
        let at = self.0.iter().position(|(other, _)| *other == worker);
        let at = at.expect("a subscription ends once");
        let ids = Arc::make_mut(&mut self.0[at].1);
        let place = ids.iter().position(|other| *other == id).expect("a subscription ends once");
        ids.swap_remove(place);
        if ids.is_empty() {
            self.0.swap_remove(at);
        }
    }

    /// Sends something to all; how many there are.
    pub(crate) fn send(&self, node: &Node, content: Content) -> usize {
        let content = Arc::new(content);
        for (worker, ids) in &self.0 {
            let to = Receivers::Many(Arc::clone(ids));
            node.push(*worker, Push { to, content: Arc::clone(&content) });
        }
        self.len()
    }
}

type Names = HashMap<Box<[u8]>, Audience, foldhash::fast::RandomState>;

#[derive(Default)]
struct Registry([Names; 3]);

/// Who listens to what.
#[derive(Default)]
pub struct PubSub {
    /// Names with subscribers, of all kinds.
    names: AtomicUsize,
    registry: Mutex<Registry>,
}

impl PubSub {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        lock(&self.registry)
    }

    /// Whether anybody has subscribed to anything.
    #[inline]
    pub(crate) fn anybody_listens(&self) -> bool {
        self.names.load(Ordering::Relaxed) != 0
    }

    /// How many names of this kind have subscribers.
    pub fn names(&self, kind: Kind) -> usize {
        self.registry().0[kind as usize].len()
    }

    /// How many clients subscribe to this name.
    pub fn subscribers(&self, kind: Kind, name: &[u8]) -> usize {
        self.registry().0[kind as usize].get(name).map_or(0, Audience::len)
    }

    /// The names of this kind that have subscribers and that match `pattern`.
    pub fn matching(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let registry = self.registry();
        let names = registry.0[kind as usize].keys();
        let matching = names.filter(|name| pattern.is_none_or(|p| glob::matches(p, name)));
        matching.cloned().collect()
    }

    /// Calls `found` with every subscription and who has it.
    pub fn each_subscription(&self, mut found: impl FnMut(Kind, &[u8], ClientId)) {
        let registry = self.registry();
        for kind in KINDS {
            for (name, audience) in &registry.0[kind as usize] {
                for id in audience.0.iter().flat_map(|(_, ids)| ids.iter()) {
                    found(kind, name, *id);
                }
            }
        }
    }

    fn add(&self, kind: Kind, name: &[u8], worker: usize, id: ClientId) {
        let mut registry = self.registry();
        let names = &mut registry.0[kind as usize];
        match names.get_mut(name) {
            Some(audience) => audience.add(worker, id),
            None => {
                self.names.fetch_add(1, Ordering::Relaxed);
                names.entry(name.into()).or_default().add(worker, id);
            }
        }
    }

    fn remove(&self, kind: Kind, name: &[u8], worker: usize, id: ClientId) {
        let mut registry = self.registry();
        let names = &mut registry.0[kind as usize];
        let audience = names.get_mut(name).expect("a subscription ends once");
        audience.remove(worker, id);
        if audience.is_empty() {
            names.remove(name);
            self.names.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What one client subscribes to.
#[derive(Default)]
pub struct Subscriptions([HashSet<Box<[u8]>, foldhash::fast::RandomState>; 3]);

impl Subscriptions {
    /// How many of one kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.0[kind as usize].len()
    }

    /// Whether there is one of this kind and name.
    pub fn has(&self, kind: Kind, name: &[u8]) -> bool {
        self.0[kind as usize].contains(name)
    }

    /// The names of one kind.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &[u8]> {
        self.0[kind as usize].iter().map(AsRef::as_ref)
    }

    /// What replies to a change of this kind tell: shard channels are counted by themselves.
    pub fn told(&self, kind: Kind) -> usize {
        match kind {
            Kind::Shard => self.count(Kind::Shard),
            Kind::Channel | Kind::Pattern => self.count(Kind::Channel) + self.count(Kind::Pattern),
        }
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(HashSet::is_empty)
    }
}

impl Node {
    /// Sends a message to all who listen to a channel (`Kind::Channel` or `Kind::Shard`), by its
    /// name or by a pattern; returns how often it was sent.
    pub fn publish(&self, kind: Kind, channel: &[u8], text: &[u8]) -> usize {
        assert_ne!(kind, Kind::Pattern, "messages are published to channels");
        if !self.pubsub.anybody_listens() {
            return 0;
        }
        let registry = self.pubsub.registry();
        let mut count = registry.0[kind as usize].get(channel).map_or(0, |audience| {
            audience.send(self, message(&[kind.message_word(), channel, text]))
        });
        if kind == Kind::Channel {
            for (pattern, audience) in &registry.0[Kind::Pattern as usize] {
                if glob::matches(pattern, channel) {
                    let words = [Kind::Pattern.message_word(), pattern, channel, text];
                    count += audience.send(self, message(&words));
                }
            }
        }
        count
    }

    /// Subscribes a client; whether it did not before. Messages may come at once: what the client
    /// is to be told first must have been written.
    pub fn subscribe(&self, client: &mut Client, kind: Kind, name: &[u8]) -> bool {
        let own = &mut client.subscriptions.get_or_insert_default().0[kind as usize];
        let is_new = own.insert(name.into());
        if is_new {
            self.pubsub.add(kind, name, client.info.worker, client.info.id);
        }
        subscriptions_changed(client);
        is_new
    }

    /// Ends a subscription, if there is one.
    pub fn unsubscribe(&self, client: &mut Client, kind: Kind, name: &[u8]) {
        let Some(own) = &mut client.subscriptions else { return };
        if own.0[kind as usize].remove(name) {
            self.pubsub.remove(kind, name, client.info.worker, client.info.id);
        }
        subscriptions_changed(client);
    }

    /// Ends all subscriptions of a client.
    pub fn unsubscribe_all(&self, client: &mut Client) {
        let Some(own) = client.subscriptions.take() else { return };
        for kind in KINDS {
            for name in own.names(kind) {
                self.pubsub.remove(kind, name, client.info.worker, client.info.id);
            }
        }
        subscriptions_changed(client);
    }
}

/// Shows others what the client subscribes to.
fn subscriptions_changed(client: &mut Client) {
    if client.subscriptions.as_ref().is_some_and(|own| own.is_empty()) {
        client.subscriptions = None;
    }
    for kind in KINDS {
        let count = client.subscriptions.as_ref().map_or(0, |own| own.count(kind));
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        client.info.subscriptions[kind as usize].store(count, Ordering::Relaxed);
    }
    client.info.set_flag(ClientFlags::PUBSUB, client.subscriptions.is_some());
    client.update_listens();
}

fn message(words: &[&[u8]]) -> Content {
    Content::Message(Arc::new(message_body(words)))
}

/// A message of bulk strings, without the sign that it begins with.
pub(crate) fn message_body(words: &[&[u8]]) -> Vec<u8> {
    let bytes: usize = words.iter().map(|word| word.len() + 16).sum();
    let mut body = Vec::with_capacity(bytes + 4);
    num::push_u64(&mut body, words.len() as u64);
    body.extend_from_slice(b"\r\n");
    for word in words {
        body.push(b'$');
        num::push_u64(&mut body, word.len() as u64);
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(word);
        body.extend_from_slice(b"\r\n");
    }
    body
}

/// What a request wants of a channel that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// To listen to it.
    Subscribe,
    /// To listen to all that match it: it is a pattern.
    SubscribePattern,
    /// To send to it.
    Publish,
}

/// Calls `found` with the index of each argument that is a channel or a pattern of channels, for
/// whose use a user needs a right. Ending a subscription needs none.
pub fn each_channel(spec: &Spec, args: Args<'_>, mut found: impl FnMut(usize, Use)) {
    let (what, end) = match spec.name {
        "subscribe" | "ssubscribe" => (Use::Subscribe, args.len()),
        "psubscribe" => (Use::SubscribePattern, args.len()),
        "publish" | "spublish" => (Use::Publish, 2),
        _ => return,
    };
    (1..end.min(args.len())).for_each(|at| found(at, what));
}

#[cfg(test)]
mod tests;
