//! Keyspace events: what happened to a key, published on channels of its own.
//!
//! ```text
//! a command ─► Db::notify(class, event, key) ─► one load: is the class on?
//!                              └─► __keyspace@<db>__:<key>    event     (K)
//!                              └─► __keyevent@<db>__:<event>  key       (E)
//! ```
//! An event is published while its key is held, so events of one key come in the order of what
//! happened to it. Classes are those of `notify-keyspace-events`.

use std::sync::atomic::Ordering;

use bitflags::bitflags;
use tandem_base::{DbIndex, num};
use tandem_store::KeyHash;

use crate::client::ClientId;
use crate::db::Db;
use crate::node::Node;
use crate::pubsub::Kind;

bitflags! {
    /// Classes of events, and where they are published. The bits are the places of their letters
    /// in the configuration's own order.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Events: u32 {
        /// `g`: commands of all types.
        const GENERIC = 1 << 0;
        /// `$`
        const STRING = 1 << 1;
        /// `l`
        const LIST = 1 << 2;
        /// `s`
        const SET = 1 << 3;
        /// `h`
        const HASH = 1 << 4;
        /// `z`
        const ZSET = 1 << 5;
        /// `x`: a key's time has come.
        const EXPIRED = 1 << 6;
        /// `e`: a key had to make room.
        const EVICTED = 1 << 7;
        /// `t`
        const STREAM = 1 << 8;
        /// `d`
        const MODULE = 1 << 9;
        /// `n`: a key that was not there before.
        const NEW = 1 << 10;
        /// `K`: published by key.
        const BY_KEY = 1 << 11;
        /// `E`: published by event.
        const BY_EVENT = 1 << 12;
        /// `m`: a key was read that is not there.
        const MISS = 1 << 13;
    }
}

impl Node {
    /// Whether somebody may hear of events of this class. Costs one load.
    #[inline]
    pub fn wants_events(&self, class: Events) -> bool {
        self.events.load(Ordering::Relaxed) & class.bits() != 0
    }

    /// Publishes an event of a key, which should be held, if its class is on.
    #[inline]
    pub fn notify(&self, class: Events, event: &str, db: DbIndex, key: &[u8]) {
        if self.wants_events(class) {
            self.publish_event(event, db, key);
        }
    }

    /// A key has gone without a command having removed it: it has expired, or had to make room,
    /// while a command of client `during` ran (0: of nobody). It must still be held.
    pub fn vanished(
        &self,
        class: Events,
        event: &str,
        (db, key, hash): (DbIndex, &[u8], KeyHash),
        during: ClientId,
    ) {
        self.notify(class, event, db, key);
        if self.tracking.is_used() {
            self.invalidate(hash, key, 0, during);
        }
    }

    #[cold]
    fn publish_event(&self, event: &str, db: DbIndex, key: &[u8]) {
        if !self.pubsub.anybody_listens() {
            return;
        }
        if self.wants_events(Events::BY_KEY) {
            self.publish(Kind::Channel, &channel(b"__keyspace@", db, key), event.as_bytes());
        }
        if self.wants_events(Events::BY_EVENT) {
            self.publish(Kind::Channel, &channel(b"__keyevent@", db, event.as_bytes()), key);
        }
    }
}

fn channel(prefix: &[u8], db: DbIndex, name: &[u8]) -> Vec<u8> {
    let mut channel = Vec::with_capacity(prefix.len() + name.len() + 8);
    channel.extend_from_slice(prefix);
    num::push_u64(&mut channel, db.0.into());
    channel.extend_from_slice(b"__:");
    channel.extend_from_slice(name);
    channel
}

impl Db<'_> {
    /// Publishes an event of a key of the selected database, if its class is on.
    #[inline]
    pub fn notify(&self, class: Events, event: &str, key: &[u8]) {
        self.node.notify(class, event, self.index, key);
    }
}

#[cfg(test)]
mod tests;
