//! The database as commands see it: keys of the selected database, behind the stripes that the
//! lock plan holds.
//!
//! Here, and only here, stand the rules that hold for every command: a key whose time has come
//! is gone (deleted and told to replicas on a master, only hidden on a replica), reads count as
//! hits or misses and move the access clock, and a change wakes those who WATCH the key.

use std::sync::atomic::Ordering;

use tandem_base::{DbIndex, Now, UnixMs};
use tandem_store::{
    Detached, EntryRef, Expiry, HashMut, HashRef, KeyHash, NewHash, NewString, NotAHash, StringRef,
    Stripe,
};

use crate::ahead::Hashed;
use crate::effects::Effects;
use crate::error::ErrorReply;
use crate::locks::Held;
use crate::node::Node;
use crate::notify::Events;
use crate::stats::Counters;

/// Who is asking, which decides what an expired key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A client.
    Client,
    /// The master's stream: every key is there until the master says that it is not.
    Master,
}

/// A view of one database for the length of a command.
pub struct Db<'a> {
    /// The node.
    pub node: &'a Node,
    /// What is held.
    pub held: Held<'a>,
    /// What replicas will be told.
    pub effects: &'a mut Effects,
    /// What INFO will be told.
    pub counters: &'a mut Counters,
    /// When the batch began.
    pub now: Now,
    /// The selected database.
    pub index: DbIndex,
    /// Who is asking.
    pub source: Source,
    /// The key whose hash the lock plan computed, by address and length.
    pub(crate) hashed: Hashed,
}

/// What a lookup is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Read,
    Examine,
    Inspect,
    Peek,
    Write,
}

impl Purpose {
    /// Whether INFO counts a hit or a miss.
    fn counts(self) -> bool {
        matches!(self, Purpose::Read | Purpose::Examine | Purpose::Inspect)
    }

    /// Whether the entry's access clock moves.
    fn touches(self) -> bool {
        matches!(self, Purpose::Read | Purpose::Write)
    }
}

impl<'a> Db<'a> {
    /// The hash of `key`; the first key of a command has been hashed before.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        if key.as_ptr() == self.hashed.0 && key.len() == self.hashed.1 {
            self.hashed.2
        } else {
            self.node.keyspace.hash(key)
        }
    }

    /// The stripe of a key and the key's hash.
    #[inline]
    pub fn locate(&mut self, key: &[u8]) -> (&mut Stripe, KeyHash) {
        let hash = self.hash(key);
        (self.held.stripe(hash.stripe), hash)
    }

    /// The entry at `key`, for a command that reads it: counts a hit or a miss.
    #[inline]
    pub fn find(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.lookup(key, Purpose::Read)
    }

    /// The entry at `key`, for a command that asks about it (EXISTS, TTL …): counts a hit or a
    /// miss, but the key is none the fresher for it.
    pub fn examine(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.lookup(key, Purpose::Examine)
    }

    /// As [`Db::examine`], for OBJECT: a miss is no event.
    pub fn inspect(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.lookup(key, Purpose::Inspect)
    }

    /// The entry at `key`, without counting and without moving its access clock.
    pub fn peek(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.lookup(key, Purpose::Peek)
    }

    /// The entry at `key`, for a command that will change it.
    #[inline]
    pub fn find_for_write(&mut self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.lookup(key, Purpose::Write)
    }

    /// The string at `key`, for reading; an error if there is another type.
    #[inline]
    pub fn string(&mut self, key: &[u8]) -> Result<Option<StringRef<'_>>, ErrorReply> {
        self.find(key).map(|entry| entry.string().ok_or(ErrorReply::WrongType)).transpose()
    }

    /// The string at `key`, for a command that will change it.
    #[inline]
    pub fn string_for_write(&mut self, key: &[u8]) -> Result<Option<StringRef<'_>>, ErrorReply> {
        let found = self.find_for_write(key);
        found.map(|entry| entry.string().ok_or(ErrorReply::WrongType)).transpose()
    }

    /// The hash at `key`, for reading; an error if there is another type.
    #[inline]
    pub fn find_hash(&mut self, key: &[u8]) -> Result<Option<HashRef<'_>>, ErrorReply> {
        self.find(key).map(|entry| entry.hash().ok_or(ErrorReply::WrongType)).transpose()
    }

    /// Looks at the hash at `key` and changes it; an error if there is another type. It comes
    /// into being with its first field and goes with its last; the expiry stays. Only if `edit`
    /// says true, something has changed, and those who watch the key are told. One look-up does
    /// for all of it.
    #[inline]
    pub fn edit_hash<R>(
        &mut self,
        key: &[u8],
        edit: impl FnOnce(&mut HashMut<'_>) -> Result<(bool, R), ErrorReply>,
    ) -> Result<R, ErrorReply> {
        let (index, hash) = (self.index, self.hash(key));
        if self.is_gone(key, hash) {
            self.drop_hidden(key, hash);
        }
        let limits = self.node.hash_limits();
        let stripe = self.held.stripe(hash.stripe);
        let found = stripe.hash_mut(index, key, hash, limits);
        let mut found = found.map_err(|NotAHash| ErrorReply::WrongType)?;
        let is_new = !found.existed();
        let (changed, result) = edit(&mut found)?;
        drop(found);
        if changed {
            if is_new {
                self.notify(Events::NEW, "new", key);
            }
            self.touched(key);
        }
        Ok(result)
    }

    /// Puts a hash under `key`, whatever was there. It must have fields.
    pub fn put_hash(&mut self, key: &[u8], value: NewHash, expiry: Expiry) {
        let index = self.index;
        let (stripe, hash) = self.locate(key);
        if !stripe.set_hash(index, key, hash, value, expiry) {
            self.notify(Events::NEW, "new", key);
        }
        if let Expiry::At(at) = expiry {
            self.note_own_expiry(key, at);
        }
        self.touched(key);
    }

    /// Whether `key` is there; deletes it if its time has come.
    pub fn exists(&mut self, key: &[u8]) -> bool {
        self.lookup(key, Purpose::Peek).is_some()
    }

    #[inline]
    fn lookup(&mut self, key: &[u8], purpose: Purpose) -> Option<EntryRef<'_>> {
        let hash = self.hash(key);
        let is_gone = self.is_gone(key, hash);
        if is_gone && purpose == Purpose::Write {
            self.drop_hidden(key, hash);
        }
        let stripe: &Stripe = self.held.stripe(hash.stripe);
        let found = if is_gone { None } else { stripe.get(self.index, key, hash) };
        if purpose.counts() {
            match found {
                Some(_) => self.counters.keyspace_hits += 1,
                None => {
                    self.counters.keyspace_misses += 1;
                    if purpose != Purpose::Inspect {
                        self.node.notify(Events::MISS, "keymiss", self.index, key);
                    }
                }
            }
        }
        let entry = found?;
        if purpose.touches() {
            stripe.note_use(entry);
        }
        Some(entry)
    }

    /// Whether the time of `key` has come; it is deleted then, if that is ours to do. Costs a
    /// comparison, and a lookup only where something in the stripe is due.
    #[inline]
    fn is_gone(&mut self, key: &[u8], hash: KeyHash) -> bool {
        let now = self.now.unix;
        // At the very millisecond of its expiry a key is still alive.
        let is_due = |at: Option<UnixMs>| at.is_some_and(|at| at < now);
        let stripe = self.held.stripe(hash.stripe);
        is_due(stripe.next_expiry())
            && stripe.get(self.index, key, hash).is_some_and(|entry| is_due(entry.expiry()))
            && self.expire(key, hash)
    }

    /// A key's time has come. Returns whether it counts as gone.
    #[cold]
    fn expire(&mut self, key: &[u8], hash: KeyHash) -> bool {
        if self.node.is_replica() {
            return self.source == Source::Client;
        }
        if self.node.is_paused_for_writes(self.now) {
            return true;
        }
        self.delete_expired(key, hash);
        true
    }

    /// A key whose time has come is to be written to. Where it was only hidden it goes now. On a
    /// master a pause hid it, which the command that runs has passed, or has itself begun:
    /// replicas are told as ever. A writable replica's own writes are its own affair.
    #[cold]
    fn drop_hidden(&mut self, key: &[u8], hash: KeyHash) {
        let stripe = self.held.stripe(hash.stripe);
        if stripe.get(self.index, key, hash).is_none() {
            return;
        }
        if !self.node.is_replica() {
            return self.delete_expired(key, hash);
        }
        let gone = stripe.take(self.index, key, hash).expect("just seen");
        self.node.free(gone, || self.node.config().lazyfree_lazy_expire());
        self.node.stats.expired_keys.fetch_add(1, Ordering::Relaxed);
        let place = (self.index, key, hash);
        self.node.vanished(Events::EXPIRED, "expired", place, self.effects.client);
    }

    /// Our own client has given `key` an expiry; on a replica we must see to it ourselves.
    fn note_own_expiry(&self, key: &[u8], at: UnixMs) {
        if self.node.is_replica() && self.source == Source::Client {
            self.node.own_expiry.note(self.index, key, at);
        }
    }

    /// Deletes a key whose time has come, and tells replicas. Those who watch it are not told:
    /// for them it was gone when its time came, and EXEC looks at that itself.
    pub fn delete_expired(&mut self, key: &[u8], hash: KeyHash) {
        let node = self.node;
        let began_ns = node.monitor.event_begins(|| node.host.clock_ns());
        let gone = self.held.stripe(hash.stripe).take(self.index, key, hash);
        let gone = gone.expect("only a key that is there can expire");
        let lazily = self.node.config().lazyfree_lazy_expire();
        self.node.free(gone, || lazily);
        self.node.stats.expired_keys.fetch_add(1, Ordering::Relaxed);
        let place = (self.index, key, hash);
        self.node.vanished(Events::EXPIRED, "expired", place, self.effects.client);
        self.effects.send_also(self.index, &[deletion(lazily), key]);
        if self.node.blocking.any() {
            self.node.blocking.mark(self.index, key, hash, &mut self.effects.ready);
        }
        node.note_event("expire-del", began_ns, self.now.unix);
    }

    /// Takes the key of that hash out, if it is there and `fit`, because memory is short, and
    /// tells replicas and those who watch it.
    /// Also gives the bytes that it took, its place in the tables included.
    pub(crate) fn take_evicted(
        &mut self,
        hash: KeyHash,
        lazily: bool,
        fit: impl Fn(EntryRef<'_>) -> bool,
    ) -> Option<(Detached, usize)> {
        let stripe = self.held.stripe(hash.stripe);
        let before = stripe.bytes();
        let gone = stripe.take_if(self.index, hash, fit)?;
        let bytes = before.saturating_sub(stripe.bytes()) as usize;
        let key = gone.view().key();
        self.touched(key);
        self.notify(Events::EVICTED, "evicted", key);
        self.effects.send_also(self.index, &[deletion(lazily), key]);
        Some((gone, bytes))
    }

    /// The value of `key` is about to be replaced by a command that has not looked it up: where
    /// uses are counted, this is one.
    #[inline]
    pub fn note_overwrite(&mut self, key: &[u8]) {
        if self.node.keyspace.counts_uses() {
            let index = self.index;
            let (stripe, hash) = self.locate(key);
            let stripe: &Stripe = stripe;
            if let Some(entry) = stripe.get(index, key, hash) {
                stripe.note_use(entry);
            }
        }
    }

    /// Sets the string at `key`. The caller says what it changed by [`Effects::changed`].
    #[inline]
    pub fn set_string(&mut self, key: &[u8], value: NewString<'_>, expiry: Expiry) {
        let (index, hash) = (self.index, self.hash(key));
        if self.is_gone(key, hash) {
            // Replicas are told that it is: with KEEPTTL they would keep an expiry that we do not.
            self.drop_hidden(key, hash);
        }
        if !self.held.stripe(hash.stripe).set_string(index, key, hash, value, expiry) {
            self.notify(Events::NEW, "new", key);
        }
        if let Expiry::At(at) = expiry {
            self.note_own_expiry(key, at);
        }
        self.touched(key);
    }

    /// Changes the bytes of the string at `key`, which must be a string if it is there, and is
    /// empty if it is not. The expiry stays.
    pub fn edit_string<R>(&mut self, key: &[u8], edit: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let index = self.index;
        if self.node.wants_events(Events::NEW) && self.peek(key).is_none() {
            self.notify(Events::NEW, "new", key);
        }
        let (stripe, hash) = self.locate(key);
        let result = stripe.with_string_mut(index, key, hash, edit);
        self.touched(key);
        result
    }

    /// Takes `key` out, with its value and expiry; `None` if it was not there (a key whose time
    /// has come was not).
    pub fn take(&mut self, key: &[u8]) -> Option<Detached> {
        let (index, hash) = (self.index, self.hash(key));
        if self.is_gone(key, hash) {
            return None;
        }
        let taken = self.held.stripe(hash.stripe).take(index, key, hash);
        if taken.is_some() {
            self.touched(key);
        }
        taken
    }

    /// Puts a value with its expiry under `key`, whatever was there.
    pub fn put(&mut self, key: &[u8], value: Detached) {
        let index = self.index;
        let expiry = value.view().expiry();
        let (stripe, hash) = self.locate(key);
        stripe.put(index, key, hash, value);
        if let Some(at) = expiry {
            self.note_own_expiry(key, at);
        }
        // What was there before was deleted first, so to say.
        self.notify(Events::NEW, "new", key);
        self.touched(key);
    }

    /// Removes `key`; whether it was there (a key whose time has come was not). What takes long to
    /// free is freed elsewhere if `lazily` says so. The caller tells replicas, and who asked for
    /// events.
    pub fn delete(&mut self, key: &[u8], lazily: bool) -> bool {
        let taken = self.take(key);
        let was_there = taken.is_some();
        if let Some(value) = taken {
            self.node.free(value, || lazily);
        }
        was_there
    }

    /// Takes the expiry of `key` off; whether it had one.
    pub fn persist(&mut self, key: &[u8]) -> bool {
        let index = self.index;
        let (stripe, hash) = self.locate(key);
        let had_one = stripe.get(index, key, hash).is_some_and(|entry| entry.expiry().is_some());
        had_one && self.set_expiry(key, None)
    }

    /// Sets or clears the expiry of a key that is there.
    pub fn set_expiry(&mut self, key: &[u8], expiry: Option<UnixMs>) -> bool {
        let index = self.index;
        let (stripe, hash) = self.locate(key);
        let there = stripe.set_expiry(index, key, hash, expiry);
        if there {
            if let Some(at) = expiry {
                self.note_own_expiry(key, at);
            }
            self.touched(key);
        }
        there
    }

    /// The value at `key` has changed, by whatever command: those who watch it, and those who
    /// have it in a cache, are told, and those who wait for it are served when the command has
    /// ended. Every change of a key passes here once.
    #[inline]
    pub fn touched(&mut self, key: &[u8]) {
        self.node.watches.touched(self.index, key);
        if self.node.tracking.is_used() {
            let client = self.effects.client;
            self.node.invalidate(self.hash(key), key, client, client);
        }
        if self.node.blocking.any() {
            let hash = self.hash(key);
            self.node.blocking.mark(self.index, key, hash, &mut self.effects.ready);
        }
    }

    /// The same view on another database.
    pub fn with_index<R>(&mut self, other: DbIndex, body: impl FnOnce(&mut Db<'a>) -> R) -> R {
        let own = std::mem::replace(&mut self.index, other);
        let result = body(self);
        self.index = own;
        result
    }

    /// Whether an expiry of `at` has come; on a replica and while loading only the master's
    /// clock decides, so a past expiry is kept.
    pub fn is_past(&self, at: UnixMs) -> bool {
        at <= self.now.unix && !self.node.is_replica() && self.source == Source::Client
    }
}

/// What replicas are told when a key goes other than by DEL or UNLINK: as in Redis, they are to
/// free as we do.
pub(crate) fn deletion(lazily: bool) -> &'static [u8] {
    if lazily { b"UNLINK" } else { b"DEL" }
}
