//! Server-assisted client-side caching (CLIENT TRACKING): who is told that a key has changed.
//!
//! ```text
//! a read by a tracking client ─► table: key ─► [clients]        (default, OPTIN, OPTOUT)
//! CLIENT TRACKING ON BCAST    ─► prefixes: prefix ─► [clients]
//!
//! a key changes ─► table: the entry is taken out, its clients are told   ─► pushes
//!               └► prefixes that fit: the key is noted; all keys of a turn in one message
//! ```
//! A client is told by a push, or by one to the connection that it redirects to; that one may
//! speak RESP2 if it listens to `__redis__:invalidate`. Keys are known without their database,
//! as in Redis. A read is remembered and a change is told while the key is held, so that nobody
//! caches what has changed since. While no client has ever tracked, a change costs one load.

mod broadcast;
mod table;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tandem_store::KeyHash;

use crate::client::{Client, ClientFlags, ClientId, ClientInfo};
use crate::cx::Cx;
use crate::node::Node;
use crate::pushes::{Content, Push, Receivers};
use crate::spec::{Flags, Spec};

use broadcast::Prefixes;
use table::Table;
use tandem_resp::Args;

/// What a client has asked for.
#[derive(Clone, Debug, Default)]
pub struct Mode {
    /// Told about every key with one of its prefixes, read or not.
    pub bcast: bool,
    /// Only what is read after CLIENT CACHING YES is remembered.
    pub optin: bool,
    /// What is read after CLIENT CACHING NO is not remembered.
    pub optout: bool,
    /// Not told about its own changes.
    pub noloop: bool,
    /// CLIENT CACHING has been said for the next command or transaction.
    pub caching: bool,
    /// The client that is told in its place; 0 for itself.
    pub redirect: ClientId,
    /// Prefixes of a client in broadcasting mode.
    pub prefixes: BTreeSet<Vec<u8>>,
}

impl Mode {
    /// Whether keys that are read now are remembered.
    fn remembers(&self) -> bool {
        !(self.bcast || (self.optin && !self.caching) || (self.optout && self.caching))
    }
}

/// The worker that tells clients in broadcasting mode of what no command has changed.
pub(crate) const BROADCASTER: usize = 0;

/// All that is tracked.
#[derive(Default)]
pub struct Tracking {
    /// Some client has tracked since the start.
    used: AtomicBool,
    /// Clients that track.
    clients: AtomicUsize,
    table: Table,
    prefixes: Prefixes,
}

impl Tracking {
    /// Whether changes of keys matter to anybody.
    #[inline]
    pub fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// How many clients track.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// How many keys are remembered.
    pub fn keys(&self) -> usize {
        self.table.keys()
    }

    /// How many pairs of a key and a client are remembered.
    pub fn items(&self) -> usize {
        self.table.items()
    }

    /// How many prefixes have clients.
    pub fn prefixes(&self) -> usize {
        self.prefixes.len()
    }

    /// Whether clients in broadcasting mode wait for news.
    pub(crate) fn has_news(&self) -> bool {
        self.prefixes.has_news()
    }
}

/// What a client is told.
#[derive(Clone, Debug)]
pub enum News {
    /// These keys have changed: an array, as it is sent.
    Keys(Arc<Vec<u8>>),
    /// All keys have.
    All,
}

impl Node {
    /// Makes a client track, or changes how it does; prefixes are added to those it has.
    pub fn start_tracking(&self, client: &mut Client, mode: Mode) {
        let mut mode = mode;
        if mode.bcast && mode.prefixes.is_empty() {
            mode.prefixes.insert(Vec::new());
        }
        for prefix in &mode.prefixes {
            self.tracking.prefixes.add(prefix, &client.info);
        }
        match client.tracking.take() {
            Some(old) => mode.prefixes.extend(old.prefixes),
            None => {
                self.tracking.clients.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.tracking.used.store(true, Ordering::Relaxed);
        let info = &client.info;
        info.set_flag(ClientFlags::TRACKING, true);
        info.set_flag(ClientFlags::BROKEN_REDIRECT, false);
        info.set_flag(ClientFlags::BCAST, mode.bcast);
        info.set_flag(ClientFlags::NOLOOP, mode.noloop);
        info.redirect.store(mode.redirect, Ordering::Relaxed);
        client.tracking = Some(Box::new(mode));
        client.update_listens();
    }

    /// Ends it, if it was so. Keys that were remembered for the client are forgotten when they
    /// change.
    pub fn stop_tracking(&self, client: &mut Client) {
        let Some(mode) = client.tracking.take() else { return };
        for prefix in &mode.prefixes {
            self.tracking.prefixes.remove(prefix, client.info.id);
        }
        self.tracking.clients.fetch_sub(1, Ordering::Relaxed);
        let flags = ClientFlags::TRACKING
            | ClientFlags::BROKEN_REDIRECT
            | ClientFlags::BCAST
            | ClientFlags::NOLOOP;
        client.info.set_flag(flags, false);
        client.update_listens();
    }

    /// A command of a client that tracks has run: its keys are remembered if it only read. They
    /// must be held.
    pub(crate) fn remember_read(&self, cx: &Cx<'_>, spec: &Spec, args: Args<'_>) {
        let remembers = cx.client.tracking.as_ref().is_some_and(|mode| mode.remembers());
        if remembers && spec.has(Flags::READONLY) && !spec.has(Flags::PUBSUB) {
            spec.each_key(args, |at| {
                let key = args.get(at);
                self.tracking.table.remember(cx.db.hash(key), key, cx.client.info.id);
            });
            self.limit_tracking();
        }
    }

    /// A key has changed, by `writer` (0: by nobody), while a command of `during` ran (the same).
    /// It must be held.
    #[cold]
    pub(crate) fn invalidate(&self, hash: KeyHash, key: &[u8], writer: ClientId, during: ClientId) {
        self.tracking.prefixes.note(key, writer);
        if let Some(clients) = self.tracking.table.take(hash, key) {
            self.tell_changed(key, &clients, during);
        }
    }

    fn tell_changed(&self, key: &[u8], clients: &[ClientId], during: ClientId) {
        let mut news = None;
        for id in clients {
            let Some(info) = self.clients.get(*id) else { continue };
            let flags = info.flags();
            let own = flags.contains(ClientFlags::NOLOOP) && *id == during;
            // Who has gone over to broadcasting is not told what it read before.
            if own || flags & (ClientFlags::TRACKING | ClientFlags::BCAST) != ClientFlags::TRACKING
            {
                continue;
            }
            let news = news.get_or_insert_with(|| {
                let mut body = b"*".to_vec();
                body.extend_from_slice(&crate::pubsub::message_body(&[key]));
                News::Keys(Arc::new(body))
            });
            self.tell(&info, news.clone());
        }
    }

    /// Tells a tracking client, or the one that it redirects to.
    pub(crate) fn tell(&self, info: &ClientInfo, news: News) {
        let redirect = info.redirect.load(Ordering::Relaxed);
        let (to, content) = if redirect == 0 {
            (info.id, Content::Changed { news, redirected: false })
        } else if let Some(other) = self.clients.get(redirect) {
            let content = Arc::new(Content::Changed { news, redirected: true });
            let to = Receivers::One(other.id);
            return self.push(other.worker, Push { to, content });
        } else {
            info.set_flag(ClientFlags::BROKEN_REDIRECT, true);
            (info.id, Content::RedirectBroken(redirect))
        };
        self.push(info.worker, Push { to: Receivers::One(to), content: Arc::new(content) });
    }

    /// All keys of a database are gone: every client that tracks is told that all it knows is
    /// old. The keyspace is held alone.
    pub fn invalidate_all(&self) {
        if !self.tracking.is_used() {
            return;
        }
        if self.tracking.clients() > 0 {
            for info in self.clients.snapshot() {
                if info.flags().contains(ClientFlags::TRACKING) {
                    self.tell(&info, News::All);
                }
            }
        }
        self.tracking.table.clear();
    }

    /// Forgets keys, as if they had changed, until there are no more than
    /// `tracking-table-max-keys`.
    pub fn limit_tracking(&self) {
        let most = self.tracking.table.most();
        while most > 0 && self.tracking.keys() > most {
            let Some((key, clients)) = self.tracking.table.take_any() else { return };
            self.tell_changed(&key, &clients, 0);
        }
    }

    /// `tracking-table-max-keys` has been set.
    pub(crate) fn set_tracking_limit(&self, most: u64) {
        self.tracking.table.set_most(usize::try_from(most).unwrap_or(usize::MAX));
        self.limit_tracking();
    }

    /// Tells clients in broadcasting mode which keys have changed since the last time. At the end
    /// of a worker's turn: the keys of a command of its own are told of together.
    pub fn broadcast_changes(&self) {
        self.tracking.prefixes.send(self);
    }
}

#[cfg(test)]
mod tests;
