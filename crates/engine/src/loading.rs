//! Loading an RDB into the keyspace, piece by piece.
//!
//! The same load serves start-up, a full resynchronisation and DEBUG RELOAD: whoever has the
//! bytes hands them in. Entries go straight into their stripes; the caller sees to it that
//! nobody reads them before the end.
//!
//! A file that holds a key twice is broken, and is refused: which of the two was meant? Only a
//! load into a keyspace that has keys already (DEBUG RELOAD NOFLUSH) puts new values over old.

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tandem_base::{DbIndex, Now, ReplId, ReplOffset, UnixMs, num};
use tandem_store::rdb::parse::{Entry, Event, Fed, Options, Parser, StringValue, Value};
use tandem_store::{Expiry, KeyHash, NewHash, NewString};

use crate::config::SanitizeDump;
use crate::node::{Level, Node};

/// What the file says about replication: where its data stand in which history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The history.
    pub replid: Option<ReplId>,
    /// The last byte that the data include.
    pub offset: Option<ReplOffset>,
    /// The database that the stream has selected there.
    pub stream_db: Option<DbIndex>,
}

/// What to do with a key whose time had come before it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expired {
    /// A master's start: leave it out, and note it for the replicas.
    LeaveOut,
    /// A replica's: the master will say when it is gone.
    Keep,
}

/// One load.
pub struct Load {
    parser: Parser,
    state: State,
    done: bool,
    bytes: u64,
}

struct State {
    expired: Expired,
    now: UnixMs,
    db: DbIndex,
    databases: u16,
    place: Place,
    staged: Stage,
    /// Whether a key may be there already; `None` before the first bytes.
    replaces: Option<bool>,
    /// The hash whose fields are being read, unless it is left out.
    hash: Option<UnfinishedHash>,
    keys: u64,
    empty_keys: u64,
    left_out: Vec<(DbIndex, Vec<u8>)>,
    keys_left_out: u64,
    used_memory: u64,
    /// Values that are looked into count: `sanitize-dump-payload yes`.
    counts_sanitized: bool,
    /// Whether somebody else sees to `key-load-delay`, and what of it he is to see to.
    delays_later: bool,
    delay_us: u64,
}

impl Load {
    /// A replica loads what its master sent.
    pub fn for_replica(now: Now) -> Load {
        let mut load = Load::new(now, Expired::Keep, true);
        // It shares its thread with clients.
        load.state.delays_later = true;
        load
    }

    /// A start from the file. `as_master`: leave out what has expired.
    pub fn at_start(now: Now, as_master: bool) -> Load {
        Load::new(now, if as_master { Expired::LeaveOut } else { Expired::Keep }, true)
    }

    fn new(now: Now, expired: Expired, check_sum: bool) -> Load {
        Load {
            parser: Parser::new(Options { check_sum, ..Options::default() }),
            state: State {
                expired,
                now: now.unix,
                db: DbIndex(0),
                databases: 0,
                place: Place::default(),
                staged: Stage::default(),
                replaces: None,
                hash: None,
                keys: 0,
                empty_keys: 0,
                left_out: Vec::new(),
                keys_left_out: 0,
                used_memory: 0,
                counts_sanitized: false,
                delays_later: false,
                delay_us: 0,
            },
            done: false,
            bytes: 0,
        }
    }

    /// Takes the next bytes.
    pub fn take(&mut self, node: &Node, bytes: &[u8]) -> Result<(), String> {
        let mut inserted = Ok(());
        let taken = self.take_beside(node, bytes, &mut |mut stage| {
            if inserted.is_ok() {
                inserted = stage.insert(node);
            }
            stage
        });
        inserted.and(taken)
    }

    /// Takes the next bytes, and hands the entries in them to `put`, which puts them into the
    /// keyspace (on another thread, perhaps) and gives back an empty stage to fill.
    pub fn take_beside(
        &mut self,
        node: &Node,
        bytes: &[u8],
        put: &mut dyn FnMut(Stage) -> Stage,
    ) -> Result<(), String> {
        let Load { parser, state, .. } = self;
        state.databases = node.keyspace.databases();
        state.counts_sanitized = node.config().sanitize_dump_payload() == SanitizeDump::Yes;
        self.bytes += bytes.len() as u64;
        let replaces = *state.replaces.get_or_insert_with(|| node.keyspace.memory_bytes() > 0);
        state.staged.replaces = replaces;
        let fed = parser
            .feed(bytes, &mut |event: Event<'_>, _: u64| state.take(node, event, put))
            .map_err(|error| error.to_string())?;
        if let Fed::Done { .. } = fed {
            self.done = true;
        }
        node.persistence.load.note(self);
        Ok(())
    }

    /// No bytes are left.
    pub fn finish(&mut self, node: &Node) -> Result<(), String> {
        self.state.staged.insert(node)?;
        self.parser.finish().map_err(|error| error.to_string())?;
        node.persistence.load.note(self);
        let State { keys, keys_left_out, empty_keys, .. } = self.state;
        let mut text =
            format!("Done loading RDB, keys loaded: {keys}, keys expired: {keys_left_out}");
        let level = if empty_keys > 0 { Level::Warning } else { Level::Notice };
        if empty_keys > 0 {
            text += &format!(", empty keys skipped: {empty_keys}");
        }
        node.log(level, &(text + "."));
        Ok(())
    }

    /// Where the data stand in the master's history.
    pub fn place(&self) -> Place {
        self.state.place
    }

    /// The database that the stream goes on in.
    pub fn stream_db(&self) -> DbIndex {
        self.state.place.stream_db.unwrap_or_default()
    }

    /// Keys loaded, and keys left out because their time had come.
    pub fn keys(&self) -> (u64, u64) {
        (self.state.keys, self.state.keys_left_out)
    }

    /// The keys that were left out, for the replicas that still have them.
    pub fn take_left_out(&mut self) -> Vec<(DbIndex, Vec<u8>)> {
        std::mem::take(&mut self.state.left_out)
    }

    /// Bytes taken.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that its writer had in use, as the file says; 0 if it does not.
    pub fn used_memory(&self) -> u64 {
        self.state.used_memory
    }

    /// What `key-load-delay` has asked for since the last call, in µs; for a load that must not
    /// sleep.
    pub fn take_delay(&mut self) -> u64 {
        std::mem::take(&mut self.state.delay_us)
    }
}

/// Entries that wait to be put into the keyspace together, so that the memory on the way to
/// their places is fetched for all of them at once.
#[derive(Default)]
pub struct Stage {
    db: DbIndex,
    /// Whether a key may be there already.
    replaces: bool,
    entries: Vec<Staged>,
    hashes: Vec<KeyHash>,
    /// Keys and small values, one after the other.
    bytes: Vec<u8>,
}

/// A large hash on its way.
struct UnfinishedHash {
    key: Vec<u8>,
    value: NewHash,
    expiry: Option<UnixMs>,
    stamp: Option<u32>,
}

struct Staged {
    key_len: usize,
    value: StagedValue,
    expiry: Expiry,
    /// Its access clock, if the file says anything of its use.
    stamp: Option<u32>,
}

enum StagedValue {
    Int(i64),
    /// So many bytes behind the key.
    Bytes(usize),
    Owned(Vec<u8>),
    /// A small hash's list of so many bytes behind the key, and whether its texts may be long.
    Listpack(usize, bool),
    /// The same with a list that will keep memory of its own.
    ListpackApart(Vec<u8>, bool),
    Hash(Box<NewHash>),
}

/// So many empty keys are logged one by one, as in Redis.
const EMPTY_KEYS_LOGGED: u64 = 10;
/// What is said of a file that names a database that there is not, before their number.
pub const TOO_FEW_DATABASES: &str =
    "Data file was created with a Redis server configured to handle more than";
/// Entries staged before they are put: enough that handing them over costs nothing.
const STAGED_MAX: usize = 512;
/// A longer list does not stand in its entry, so it is copied once, to where it stays.
const LIST_APART_BYTES: usize = 4096;
/// Entries whose memory is fetched together.
const FETCHED_MAX: usize = 32;

impl Stage {
    fn push(&mut self, hash: KeyHash, key: &[u8], value: Value<'_>, expiry: Option<UnixMs>) {
        self.bytes.extend_from_slice(key);
        let value = match value {
            Value::String(StringValue::Int(value)) => StagedValue::Int(value),
            Value::String(StringValue::Bytes(bytes)) => {
                self.bytes.extend_from_slice(bytes);
                StagedValue::Bytes(bytes.len())
            }
            Value::String(StringValue::Owned(bytes)) => StagedValue::Owned(bytes),
            Value::Hash { list, long_texts } if list.len() > LIST_APART_BYTES => {
                StagedValue::ListpackApart(list.to_vec(), long_texts)
            }
            Value::Hash { list, long_texts } => {
                self.bytes.extend_from_slice(list);
                StagedValue::Listpack(list.len(), long_texts)
            }
        };
        self.push_staged(hash, key.len(), value, expiry);
    }

    fn push_hash(&mut self, hash: KeyHash, whole: UnfinishedHash) {
        self.bytes.extend_from_slice(&whole.key);
        let value = StagedValue::Hash(Box::new(whole.value));
        self.push_staged(hash, whole.key.len(), value, whole.expiry);
        self.stamp_last(whole.stamp);
    }

    fn push_staged(
        &mut self,
        hash: KeyHash,
        key_len: usize,
        value: StagedValue,
        expiry: Option<UnixMs>,
    ) {
        self.hashes.push(hash);
        let expiry = expiry.map_or(Expiry::Clear, Expiry::At);
        self.entries.push(Staged { key_len, value, expiry, stamp: None });
    }

    /// What the file says of the use of the entry pushed last.
    fn stamp_last(&mut self, stamp: Option<u32>) {
        self.entries.last_mut().expect("it has just been pushed").stamp = stamp;
    }

    /// Puts the entries into the keyspace; the stage is empty then. An error if a key was there
    /// already and may not have been: the load must not go on.
    pub fn insert(&mut self, node: &Node) -> Result<(), String> {
        let limits = node.hash_limits();
        let mut rest = self.bytes.as_slice();
        for (at, entry) in self.entries.drain(..).enumerate() {
            if at % FETCHED_MAX == 0 {
                let end = self.hashes.len().min(at + FETCHED_MAX);
                node.keyspace.prefetch(self.db, &self.hashes[at..end]);
            }
            let hash = self.hashes[at];
            let mut take = |len| {
                let (taken, after) = rest.split_at(len);
                rest = after;
                taken
            };
            let key = take(entry.key_len);
            let (db, expiry) = (self.db, entry.expiry);
            let mut stripe = node.keyspace.lock(hash.stripe);
            let mut existed = false;
            let string = match entry.value {
                StagedValue::Int(value) => Some(NewString::Int(value)),
                StagedValue::Bytes(len) => Some(NewString::Bytes(take(len))),
                StagedValue::Owned(bytes) => Some(NewString::Owned(bytes)),
                StagedValue::Listpack(len, long_texts) => {
                    let list = (Cow::Borrowed(take(len)), long_texts);
                    existed = stripe.set_hash_listpack(db, key, hash, list, limits, expiry);
                    None
                }
                StagedValue::ListpackApart(list, long_texts) => {
                    let list = (Cow::Owned(list), long_texts);
                    existed = stripe.set_hash_listpack(db, key, hash, list, limits, expiry);
                    None
                }
                StagedValue::Hash(value) => {
                    existed = stripe.set_hash(db, key, hash, *value, expiry);
                    None
                }
            };
            if let Some(value) = string {
                existed = stripe.set_string(db, key, hash, value, expiry);
            }
            if existed && !self.replaces {
                let key = String::from_utf8_lossy(key);
                return Err(format!("RDB has duplicated key '{key}' in DB {db}"));
            }
            if let Some(stamp) = entry.stamp
                && let Some(entry) = stripe.get(db, key, hash)
            {
                entry.touch(stamp);
            }
        }
        self.hashes.clear();
        self.bytes.clear();
        Ok(())
    }
}

/// The access clock of an entry, if the file says of its use what the eviction policy asks.
fn stamp_of<V>(node: &Node, entry: &Entry<'_, V>) -> Option<u32> {
    let clock = || node.keyspace.access_clock();
    let counted = entry.frequency.and_then(|counter| clock().stamp_of_frequency(counter));
    counted.or_else(|| entry.idle_seconds.and_then(|seconds| clock().stamp_of_idle(seconds)))
}

impl State {
    fn hand_over(&mut self, put: &mut dyn FnMut(Stage) -> Stage) {
        let replaces = self.staged.replaces;
        self.staged = put(std::mem::take(&mut self.staged));
        self.staged.db = self.db;
        self.staged.replaces = replaces;
    }

    fn take(
        &mut self,
        node: &Node,
        event: Event<'_>,
        put: &mut dyn FnMut(Stage) -> Stage,
    ) -> Result<(), String> {
        match event {
            Event::Entry(entry) => self.entry(node, entry, put),
            Event::SelectDb(db) => match u16::try_from(db) {
                Ok(db) if db < self.databases => {
                    self.hand_over(put);
                    self.db = DbIndex(db);
                    self.staged.db = self.db;
                }
                _ => {
                    return Err(format!("{TOO_FEW_DATABASES} {} databases", self.databases));
                }
            },
            Event::BeginHash(entry) => self.begin_hash(node, &entry),
            Event::Field(field, value) => {
                if let Some(hash) = &mut self.hash
                    && !hash.value.set(field, value.bytes(&mut itoa::Buffer::new()))
                {
                    return Err("Duplicate hash fields detected".to_owned());
                }
            }
            Event::EndHash => {
                if let Some(hash) = self.hash.take() {
                    self.staged.push_hash(node.keyspace.hash(&hash.key), hash);
                    self.staged_one_more(node, put);
                }
            }
            Event::EmptyKey(key) => {
                self.empty_keys += 1;
                if self.empty_keys <= EMPTY_KEYS_LOGGED {
                    let key = String::from_utf8_lossy(key);
                    let text = format!("rdbLoadObject skipping empty key: {key}");
                    node.log(Level::Warning, &text);
                }
            }
            Event::Aux { key, value } => self.aux(node, key, value),
            Event::Version(_)
            | Event::ResizeDb { .. }
            | Event::ModuleAux(_)
            | Event::Passed(_)
            | Event::Function(_)
            | Event::Eof(_) => {}
        }
        Ok(())
    }

    fn entry(&mut self, node: &Node, entry: Entry<'_>, put: &mut dyn FnMut(Stage) -> Stage) {
        let stamp = stamp_of(node, &entry);
        let Entry { key, value, expiry, .. } = entry;
        if self.counts_sanitized && matches!(value, Value::Hash { .. }) {
            node.stats.dump_payload_sanitizations.fetch_add(1, Ordering::Relaxed);
        }
        if !self.leaves_out(key, expiry) {
            self.staged.push(node.keyspace.hash(key), key, value, expiry);
            self.staged.stamp_last(stamp);
            self.staged_one_more(node, put);
        }
    }

    /// Whether the key's time has come before it was loaded; it is noted then.
    fn leaves_out(&mut self, key: &[u8], expiry: Option<UnixMs>) -> bool {
        let leaves = self.expired == Expired::LeaveOut && expiry.is_some_and(|at| at <= self.now);
        if leaves {
            self.left_out.push((self.db, key.to_vec()));
            self.keys_left_out += 1;
        }
        leaves
    }

    fn staged_one_more(&mut self, node: &Node, put: &mut dyn FnMut(Stage) -> Stage) {
        if self.staged.entries.len() == STAGED_MAX {
            self.hand_over(put);
        }
        self.keys += 1;
        let delay = node.key_load_delay();
        if delay != 0 {
            self.delay(node, delay);
        }
    }

    /// `key-load-delay`: so many µs a key, or below zero a µs for so many keys.
    #[cold]
    fn delay(&mut self, node: &Node, delay: i32) {
        let size = u64::from(delay.unsigned_abs());
        let us = if delay > 0 { size } else { u64::from(self.keys.is_multiple_of(size)) };
        if self.delays_later {
            self.delay_us += us;
        } else if us > 0 {
            node.host.sleep(Duration::from_micros(us));
        }
    }

    fn begin_hash(&mut self, node: &Node, entry: &Entry<'_, u64>) {
        let stamp = stamp_of(node, entry);
        let Entry { key, value: len, expiry, .. } = *entry;
        self.hash = (!self.leaves_out(key, expiry)).then(|| UnfinishedHash {
            key: key.to_vec(),
            value: node.keyspace.new_hash(len, node.hash_limits()),
            expiry,
            stamp,
        });
    }

    fn aux(&mut self, node: &Node, key: &[u8], value: &[u8]) {
        match key {
            b"repl-id" => self.place.replid = ReplId::parse(value),
            b"repl-offset" => self.place.offset = num::parse_u64(value).map(ReplOffset),
            b"repl-stream-db" => {
                self.place.stream_db = num::parse_u64(value)
                    .and_then(|db| u16::try_from(db).ok())
                    .filter(|db| *db < self.databases)
                    .map(DbIndex);
            }
            _ => self.producer(node, key, value),
        }
    }

    /// Who wrote the file, when, and with how much memory in use; for the log.
    fn producer(&mut self, node: &Node, key: &[u8], value: &[u8]) {
        let number = num::parse_i64(value);
        let line = match (key, number) {
            (b"redis-ver", _) => {
                format!("Loading RDB produced by version {}", String::from_utf8_lossy(value))
            }
            (b"ctime", Some(created)) => {
                let age = (self.now.0 / 1000).saturating_sub(created).max(0);
                format!("RDB age {age} seconds")
            }
            (b"used-mem", Some(used)) => {
                self.used_memory = u64::try_from(used).unwrap_or(0);
                let mb = used as f64 / (1024.0 * 1024.0);
                format!("RDB memory usage when created {mb:.2} Mb")
            }
            (b"aof-base", Some(1..)) => "RDB is base AOF".to_owned(),
            _ => return,
        };
        node.log(Level::Notice, &line);
    }
}

#[cfg(test)]
mod tests {
    use tandem_store::StringRef;
    use tandem_store::rdb::write;

    use super::*;
    use crate::commands::script::Shell;

    const NOW: Now = Now { unix: UnixMs(1_700_000_000_000), mono: tandem_base::Mono(0) };

    /// A file with a few keys in two databases, and at the end those given.
    fn file(last: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        write::header(&mut out);
        for db in [0, 3] {
            write::select_db(&mut out, DbIndex(db));
            for n in 0..1000 {
                let value = StringRef::Inline(b"value");
                write::string_entry(&mut out, format!("k{n}").as_bytes(), value, None, false);
            }
        }
        last.iter().for_each(|piece| out.extend_from_slice(piece));
        write::footer(&mut out, None);
        out
    }

    fn load(shell: &Shell, file: &[u8]) -> Result<(), String> {
        let mut load = Load::for_replica(NOW);
        for piece in file.chunks(700) {
            load.take(&shell.node, piece)?;
        }
        load.finish(&shell.node)
    }

    #[test]
    fn a_file_with_a_key_twice_is_refused() {
        let hash = b"\x10\x02k7\x0b\x0b\0\0\0\x02\0\x01\x01\x02\x01\xff";
        let string = b"\x00\x02k7\x01v";
        let pieces: [&[&[u8]]; 4] =
            [&[string], &[hash], &[b"\xfe\x05", hash, hash], &[b"\xfe\x05", hash, string]];
        for last in pieces {
            let why = load(&Shell::new(), &file(last)).expect_err("it is there twice");
            let db = if last.len() == 1 { 3 } else { 5 };
            assert!(why.contains(&format!("RDB has duplicated key 'k7' in DB {db}")), "{why}");
        }
        let mut shell = Shell::new();
        assert_eq!(load(&shell, &file(&[b"\xfe\x05", string])), Ok(()));
        assert_eq!(shell.run("DBSIZE"), ":1000");
    }

    #[test]
    fn a_load_over_keys_replaces_them() {
        let mut shell = Shell::new();
        shell.run("MSET k7 old other stays");
        assert_eq!(load(&shell, &file(&[])), Ok(()));
        assert_eq!(shell.run("MGET k7 other"), "[\"value\" \"stays\"]");
    }
}
