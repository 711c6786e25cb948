//! Snapshots under writers: exactly the data at the cut.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::sync::RwLock;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::rdb::parse::{self, Event, Options, Parser};
use crate::{Detached, Expiry, HashLimits, HashMut, HashRef, NewString, Pair, StringRef};

const DATABASES: u16 = 4;
/// Names of keys in a keyspace of another number of databases, so few that databases come and go.
const FEW_KEYS: u32 = 5;

/// Everything that a keyspace holds: value and expiry by database and key.
type Data = HashMap<(u16, Vec<u8>), (Vec<u8>, Option<i64>)>;

fn data_of(keyspace: &Keyspace) -> Data {
    let mut data = Data::new();
    for stripe in keyspace.each_stripe() {
        for (DbIndex(db), part) in stripe.parts() {
            part.table.visit_all(|entry| {
                let value = match entry.value() {
                    ValueRef::String(value) => value.bytes(&mut itoa::Buffer::new()).to_vec(),
                    ValueRef::Hash(hash) => flat(hash.iter()),
                };
                let expiry = entry.expiry().map(|UnixMs(ms)| ms);
                data.insert((db, entry.key().to_vec()), (value, expiry));
            });
        }
    }
    data
}

/// What the chunks of a snapshot have said so far.
struct Taken {
    parser: Parser,
    data: Data,
    db: Option<u16>,
    /// The hash that is being told, with its fields so far.
    hash: Option<(Vec<u8>, Pairs, Option<i64>)>,
}

impl Deref for Taken {
    type Target = Data;

    fn deref(&self) -> &Data {
        &self.data
    }
}

impl Taken {
    fn new() -> Taken {
        let mut parser = Parser::new(Options::default());
        let mut header = Vec::new();
        write::header(&mut header);
        parser.feed(&header, &mut |_: Event<'_>, _| Ok(())).unwrap();
        Taken { parser, data: Data::new(), db: None, hash: None }
    }

    /// Adds a chunk, which must name its databases itself unless it goes on with a hash, end
    /// with a whole item, and hold no key twice.
    fn add(&mut self, chunk: &[u8]) {
        if self.hash.is_none() {
            self.db = None;
        }
        let before = self.parser.offset();
        let Taken { parser, data, db, hash } = self;
        let mut insert = |db: Option<u16>, key: Vec<u8>, value, expiry| {
            let db = db.expect("a chunk starts with its database");
            assert_eq!(data.insert((db, key), (value, expiry)), None, "taken twice");
        };
        let mut sink = |event: Event<'_>, _| {
            match event {
                Event::SelectDb(number) => *db = Some(number as u16),
                Event::Entry(entry) => {
                    let value = match &entry.value {
                        parse::Value::String(value) => {
                            value.bytes(&mut itoa::Buffer::new()).to_vec()
                        }
                        parse::Value::Hash { list, .. } => flat(HashRef::packed(list).iter()),
                    };
                    let expiry = entry.expiry.map(|UnixMs(ms)| ms);
                    insert(*db, entry.key.to_vec(), value, expiry);
                }
                Event::BeginHash(entry) => {
                    let expiry = entry.expiry.map(|UnixMs(ms)| ms);
                    *hash = Some((entry.key.to_vec(), Pairs::new(), expiry));
                }
                Event::Field(field, value) => {
                    let value = value.bytes(&mut itoa::Buffer::new()).to_vec();
                    let (_, pairs, _) = hash.as_mut().unwrap();
                    assert_eq!(pairs.insert(field.to_vec(), value), None, "a field twice");
                }
                Event::EndHash => {
                    let (key, pairs, expiry) = hash.take().unwrap();
                    insert(*db, key, flattened(&pairs), expiry);
                }
                _ => {}
            }
            Ok(())
        };
        parser.feed(chunk, &mut sink).expect("a piece of an RDB file");
        assert_eq!(parser.offset() - before, chunk.len() as u64, "it ends with an item");
    }
}

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// A hash as one text, whatever the order of its fields.
fn flat<'a>(hash: impl Iterator<Item = Pair<'a>>) -> Vec<u8> {
    let owned = |text: StringRef<'_>| text.bytes(&mut itoa::Buffer::new()).to_vec();
    flattened(&hash.map(|(field, value)| (owned(field), owned(value))).collect())
}

fn flattened(pairs: &Pairs) -> Vec<u8> {
    format!("{pairs:?}").into_bytes()
}

/// Changes a hash, in whichever encoding.
fn change_hash(mut edit: HashMut<'_>, rng: &mut fastrand::Rng) {
    for _ in 0..rng.u32(1..30) {
        let field = format!("f{}", rng.u32(0..600)).into_bytes();
        if rng.u8(0..4) == 0 {
            edit.remove(&field);
        } else {
            let len = if rng.u8(..) == 0 { 700 } else { rng.usize(0..40) };
            edit.set(&field, &vec![rng.u8(b'a'..=b'z'); len]);
        }
    }
}

/// One random change. `alone` allows those that need the keyspace for themselves.
fn change(keyspace: &Keyspace, rng: &mut fastrand::Rng, alone: bool) {
    let databases = keyspace.databases();
    let keys = if databases == DATABASES { 3000 } else { FEW_KEYS };
    let db = DbIndex(rng.u16(0..databases));
    let key = format!("k{}", rng.u32(0..keys)).into_bytes();
    let hash = keyspace.hash(&key);
    if alone && rng.u32(0..if keys == FEW_KEYS { 15 } else { 150 }) == 0 {
        match rng.u8(0..8) {
            0 => drop(keyspace.flush_all()),
            1 | 2 => drop(keyspace.flush_database(db)),
            _ => keyspace.swap_databases(db, DbIndex(rng.u16(0..databases))),
        }
        return;
    }
    let mut stripe = keyspace.lock(hash.stripe);
    let is_hash = stripe.get(db, &key, hash).map(|entry| entry.hash().is_some());
    if is_hash.unwrap_or(rng.u8(0..16) == 0) && rng.u8(0..4) != 0 {
        let limits = HashLimits { entries: 20, value_bytes: 64 };
        return change_hash(stripe.hash_mut(db, &key, hash, limits).expect("it is a hash"), rng);
    }
    match rng.u8(0..12) {
        5 if is_hash == Some(true) => {}
        0..=2 => drop(stripe.remove(db, &key, hash)),
        3 => drop(stripe.set_expiry(db, &key, hash, Some(UnixMs(rng.i64(0..1000))))),
        4 => drop(stripe.set_expiry(db, &key, hash, None)),
        5 => stripe.with_string_mut(db, &key, hash, |bytes| bytes.extend_from_slice(b"more")),
        6 => {
            let Some(taken) = stripe.take(db, &key, hash) else { return };
            drop(stripe);
            let other = format!("k{}", rng.u32(0..keys)).into_bytes();
            let hash = keyspace.hash(&other);
            keyspace.lock(hash.stripe).put(DbIndex(rng.u16(0..databases)), &other, hash, taken);
        }
        7 => {
            let Some(entry) = stripe.get(db, &key, hash) else { return };
            let copy = Detached::copy_of(entry);
            stripe.put(DbIndex(rng.u16(0..databases)), &key, hash, copy);
        }
        way => {
            let value = match way {
                8 => NewString::Int(rng.i64(-70_000..70_000)),
                9 if rng.u8(0..20) == 0 => NewString::Owned(vec![rng.u8(..); 6000]),
                _ => NewString::Owned(vec![rng.u8(b'a'..=b'z'); rng.usize(0..150)]),
            };
            let expiry = [Expiry::Keep, Expiry::Clear, Expiry::At(UnixMs(rng.i64(0..1000)))];
            stripe.set_string(db, &key, hash, value, expiry[rng.usize(0..3)]);
        }
    }
}

fn filled(rng: &mut fastrand::Rng) -> Keyspace {
    let keyspace = Keyspace::new(DATABASES, 3, [5, 6]);
    for _ in 0..8000 {
        change(&keyspace, rng, false);
    }
    keyspace
}

#[track_caller]
fn assert_same(taken: &Data, expected: &Data) {
    let missing = expected.keys().filter(|key| !taken.contains_key(*key)).count();
    let extra = taken.keys().filter(|key| !expected.contains_key(*key)).count();
    assert_eq!((missing, extra), (0, 0), "keys missing and keys too many");
    assert!(taken == expected, "another value");
}

#[test]
fn a_snapshot_of_a_still_keyspace_is_its_data() {
    let keyspace = filled(&mut fastrand::Rng::with_seed(1));
    for (budget, compress) in [(1, false), (700, true), (usize::MAX, false)] {
        let mut walk = keyspace.begin_snapshot(compress);
        let (mut data, mut more) = (Taken::new(), true);
        while more {
            let mut out = Vec::new();
            more = walk.step(&keyspace, &mut out, budget);
            data.add(&out);
        }
        assert_same(&data, &data_of(&keyspace));
        assert_eq!(walk.keys_done(), data.len() as u64);
        assert!(walk.is_complete());
        assert!(!walk.step(&keyspace, &mut Vec::new(), budget), "nothing comes after the end");
        assert!(!keyspace.snapshot_running());
    }
}

/// Changes between the steps, from one seed; some snapshots are aborted, and their numbers come
/// again soon.
#[test]
fn a_snapshot_is_the_data_at_the_cut() {
    for seed in 0..6 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let keyspace = filled(&mut rng);
        keyspace.shared.cuts().begun_max = 3;
        for _ in 0..12 {
            take_under_changes(&keyspace, &mut rng, 3000);
        }
    }
}

/// The same with parts that come with a key and go with it, in a stripe of many.
#[test]
fn parts_that_come_and_go_hide_no_other() {
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let keyspace = Keyspace::new(9, u32::from(rng.bool()), [5, 6]);
        for _ in 0..60 {
            change(&keyspace, &mut rng, false);
        }
        for _ in 0..40 {
            take_under_changes(&keyspace, &mut rng, 60);
        }
    }
}

/// One snapshot with changes between its steps.
fn take_under_changes(keyspace: &Keyspace, rng: &mut fastrand::Rng, budget: usize) {
    let expected = data_of(keyspace);
    let mut walk = keyspace.begin_snapshot(rng.bool());
    let aborts_after = if rng.u8(0..2) == 0 { rng.usize(0..40) } else { usize::MAX };
    let (mut data, mut steps, mut more) = (Taken::new(), 0, true);
    while more {
        for _ in 0..rng.usize(0..budget.div_ceil(50)) {
            change(keyspace, rng, true);
        }
        if steps == aborts_after {
            drop(keyspace.abort_snapshot());
            assert!(!walk.step(keyspace, &mut Vec::new(), 1000), "it was aborted");
            assert!(!walk.is_complete());
            return;
        }
        let mut out = Vec::new();
        more = walk.step(keyspace, &mut out, budget);
        data.add(&out);
        steps += 1;
    }
    assert_same(&data, &expected);
}

/// Runs a snapshot to its end.
fn finish(mut walk: SnapshotWalk, keyspace: &Keyspace) -> Taken {
    let (mut data, mut more) = (Taken::new(), true);
    while more {
        let mut out = Vec::new();
        more = walk.step(keyspace, &mut out, 3000);
        data.add(&out);
    }
    data
}

/// Marks are 8 bits: a number may not come again while entries carry it from a snapshot that
/// was aborted long ago.
#[test]
fn numbers_that_wrap_around_skip_nothing() {
    let keyspace = filled(&mut fastrand::Rng::with_seed(3));
    let mut walk = keyspace.begin_snapshot(false);
    walk.step(&keyspace, &mut Vec::new(), 50_000);
    drop(keyspace.abort_snapshot());
    for _ in 0..600 {
        let walk = keyspace.begin_snapshot(false);
        if walk.mark.number() == 1 {
            assert_same(&finish(walk, &keyspace), &data_of(&keyspace));
            return;
        }
        drop(keyspace.abort_snapshot());
    }
    panic!("numbers have 8 bits");
}

/// After a swap and a flush, two parts could pass for the same database of the cut.
#[test]
fn a_part_made_by_a_flush_hides_no_other() {
    for flushed in [0, 2] {
        let keyspace = filled(&mut fastrand::Rng::with_seed(8));
        let expected = data_of(&keyspace);
        let walk = keyspace.begin_snapshot(false);
        keyspace.swap_databases(DbIndex(0), DbIndex(2));
        drop(keyspace.flush_database(DbIndex(flushed)));
        keyspace.swap_databases(DbIndex(2), DbIndex(3));
        assert_same(&finish(walk, &keyspace), &expected);
    }
}

#[test]
fn side_chunks_are_collected_before_they_grow_without_end() {
    let keyspace = Keyspace::new(1, 8, [5, 6]);
    let put = |value: &[u8]| {
        for n in 0..40_000 {
            let key = format!("key {n}").into_bytes();
            let hash = keyspace.hash(&key);
            let mut stripe = keyspace.lock(hash.stripe);
            stripe.set_string(DbIndex(0), &key, hash, NewString::Bytes(value), Expiry::Clear);
        }
    };
    put(&[b'a'; 100]);
    let mut walk = keyspace.begin_snapshot(false);
    put(&[b'b'; 100]);
    assert!(keyspace.shared.side_bytes.load(Ordering::Relaxed) > 4_000_000);
    let mut data = Taken::new();
    let mut sizes = Vec::new();
    let mut more = true;
    while more {
        let mut out = Vec::new();
        more = walk.step(&keyspace, &mut out, 1000);
        sizes.push(keyspace.shared.side_bytes.load(Ordering::Relaxed));
        data.add(&out);
    }
    assert_eq!(data.len(), 40_000);
    assert!(data.values().all(|(value, _)| value == &[b'a'; 100]));
    // The walk has 256 stripes to visit; the side chunks are down to the limit long before.
    assert!(sizes[10] <= SIDE_BYTES_MAX && sizes.last() == Some(&0));
    assert_eq!(keyspace.kept_for_snapshot(), 0);
    assert!(keyspace.kept_for_snapshot_peak() > 4_000_000);
    drop(keyspace.begin_snapshot(false));
    assert_eq!(keyspace.kept_for_snapshot_peak(), 0, "the next cut forgets it");
}

/// What an eviction deletes while a snapshot runs is counted until the snapshot lets go of it.
#[test]
fn what_only_the_snapshot_needs_is_counted() {
    for bytes in [100, 10_000] {
        let keyspace = Keyspace::new(1, 4, [5, 6]);
        let hashed = |n: u32| {
            let key = format!("key {n}").into_bytes();
            let hash = keyspace.hash(&key);
            (key, hash)
        };
        for n in 0..1000 {
            let (key, hash) = hashed(n);
            let value = vec![b'a'; bytes];
            let mut stripe = keyspace.lock(hash.stripe);
            stripe.set_string(DbIndex(0), &key, hash, NewString::Bytes(&value), Expiry::Clear);
        }
        let full = keyspace.memory_bytes();
        let remove = |from: u32, to: u32| {
            for n in from..to {
                let (key, hash) = hashed(n);
                assert!(keyspace.lock(hash.stripe).remove(DbIndex(0), &key, hash));
            }
        };
        let walk = keyspace.begin_snapshot(false);
        assert_eq!(keyspace.kept_for_snapshot(), 0);
        // Another time to live leaves a large value where it is.
        for n in 0..1000 {
            let (key, hash) = hashed(n);
            keyspace.lock(hash.stripe).set_expiry(DbIndex(0), &key, hash, Some(UnixMs(1 << 40)));
        }
        let copied = keyspace.kept_for_snapshot();
        assert!(if bytes > 4096 { copied == 0 } else { copied >= 100_000 }, "{copied}");
        drop(keyspace.abort_snapshot());
        drop(walk);
        assert_eq!(keyspace.kept_for_snapshot(), 0, "it was aborted");

        let walk = keyspace.begin_snapshot(false);
        remove(0, 400);
        let some = keyspace.kept_for_snapshot();
        assert!(some >= 400 * bytes as u64 && some <= full, "{some} of {full}");
        drop(keyspace.flush_database(DbIndex(0)));
        let all = keyspace.kept_for_snapshot();
        assert!(all >= 1000 * bytes as u64 && all <= full * 2, "{all} of {full}");
        assert_eq!(finish(walk, &keyspace).len(), 1000);
        assert_eq!(keyspace.kept_for_snapshot(), 0, "it is written");
    }
}

struct StopsOnDrop<'a>(&'a AtomicBool);

impl Drop for StopsOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writers on several threads while a walk runs. A gate stands for the engine's: it stops the
/// writers for the cut, for flushes and for swaps.
#[test]
fn writers_on_other_threads_do_not_blur_a_snapshot() {
    let keyspace = filled(&mut fastrand::Rng::with_seed(4));
    let (gate, stop) = (RwLock::new(()), AtomicBool::new(false));
    let (keyspace, gate, stop) = (&keyspace, &gate, &stop);
    std::thread::scope(|scope| {
        for seed in 0..3 {
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(100 + seed);
                while !stop.load(Ordering::Relaxed) {
                    if rng.u32(0..50) == 0 {
                        let _alone = gate.write().unwrap();
                        change(keyspace, &mut rng, true);
                    } else {
                        let _turn = gate.read().unwrap();
                        for _ in 0..20 {
                            change(keyspace, &mut rng, false);
                        }
                    }
                }
            });
        }
        // Also when an assert fails: the scope waits for the writers.
        let _stops = StopsOnDrop(stop);
        for _ in 0..15 {
            let (mut walk, expected) = {
                let _alone = gate.write().unwrap();
                (keyspace.begin_snapshot(false), data_of(keyspace))
            };
            let (mut data, mut more) = (Taken::new(), true);
            while more {
                let mut out = Vec::new();
                more = walk.step(keyspace, &mut out, 4000);
                data.add(&out);
                std::thread::yield_now();
            }
            assert_same(&data, &expected);
        }
    });
}

/// A hash of many fields is not copied and not written in one piece, and no change of it waits.
#[test]
fn a_large_hash_is_taken_in_pieces() {
    const FIELDS: u32 = 50_000;
    let keyspace = Keyspace::new(1, 0, [5, 6]);
    let (db, key) = (DbIndex(0), b"large".as_slice());
    let hash = keyspace.hash(key);
    let limits = HashLimits::default();
    let mut value = keyspace.new_hash(FIELDS.into(), limits);
    for n in 0..FIELDS {
        value.set(format!("field:{n}").as_bytes(), b"before");
    }
    keyspace.lock(0).set_hash(db, key, hash, value, Expiry::Clear);
    let expected = data_of(&keyspace);
    let mut walk = keyspace.begin_snapshot(false);
    let (mut taken, mut more, mut steps) = (Taken::new(), true, 0);
    let mut rng = fastrand::Rng::with_seed(1);
    while more {
        let mut stripe = keyspace.lock(0);
        let mut edit = stripe.hash_mut(db, key, hash, limits).expect("it is a hash");
        for _ in 0..200 {
            let field = format!("field:{}", rng.u32(0..FIELDS));
            if rng.bool() {
                edit.remove(field.as_bytes());
            } else {
                edit.set(field.as_bytes(), b"after");
            }
        }
        drop(edit);
        drop(stripe);
        let mut out = Vec::new();
        more = walk.step(&keyspace, &mut out, 10_000);
        assert!(out.len() < 20_000, "a step is short: {}", out.len());
        taken.add(&out);
        steps += 1;
    }
    assert!(steps > 50);
    assert_same(&taken, &expected);
    assert_eq!(walk.keys_done(), 1);
}

/// What the file says of each key's use: seconds idle, and the counter.
fn uses(keyspace: &Keyspace) -> HashMap<Vec<u8>, (Option<u64>, Option<u8>)> {
    let mut file = Vec::new();
    write::header(&mut file);
    let mut walk = keyspace.begin_snapshot(true);
    // A key that changes before it is taken goes by the side.
    let hash = keyspace.hash(b"changed");
    keyspace.lock(hash.stripe).remove(DbIndex(0), b"changed", hash);
    while walk.step(keyspace, &mut file, 1 << 20) {}
    write::footer(&mut file, None);
    let mut uses = HashMap::new();
    let mut sink = |event: Event<'_>, _| {
        if let Event::Entry(entry) = event {
            uses.insert(entry.key.to_vec(), (entry.idle_seconds, entry.frequency));
        }
        Ok(())
    };
    Parser::new(Options::default()).feed(&file, &mut sink).expect("an RDB file");
    uses
}

#[test]
fn the_use_of_keys_is_saved_if_the_policy_asks_for_it() {
    use crate::AccessMeasure;
    let frequency = AccessMeasure::Frequency { log_factor: 10, decay_minutes: 1 };
    for (measure, expected) in [
        (AccessMeasure::Recency { saved: false }, (None, None)),
        (AccessMeasure::Recency { saved: true }, (Some(180), None)),
        (frequency, (None, Some(2))),
    ] {
        let keyspace = Keyspace::new(1, 2, [5, 6]);
        keyspace.measure_access(measure, UnixMs(60_000));
        let large = vec![b'x'; 10_000];
        for (key, value) in [("small", b"v".as_slice()), ("large", &large), ("changed", b"v")] {
            let hash = keyspace.hash(key.as_bytes());
            let (value, expiry) = (NewString::Bytes(value), Expiry::At(UnixMs(1 << 50)));
            keyspace.lock(hash.stripe).set_string(DbIndex(0), key.as_bytes(), hash, value, expiry);
        }
        keyspace.set_access_time(UnixMs(240_000));
        let uses = uses(&keyspace);
        assert_eq!(uses.len(), 3);
        assert!(uses.values().all(|found| *found == expected), "{measure:?}: {uses:?}");
    }
}

#[test]
fn an_abandoned_walk_leaves_the_next_one_alone() {
    let keyspace = Keyspace::new(1, 2, [1, 2]);
    let first = keyspace.begin_snapshot(false);
    drop(keyspace.abort_snapshot());
    let mut second = keyspace.begin_snapshot(false);
    drop(first.abort(&keyspace));
    assert!(keyspace.snapshot_running());
    let mut out = Vec::new();
    while second.step(&keyspace, &mut out, 100) {}
    assert!(second.is_complete());
    drop(second.abort(&keyspace));
}

/// A snapshot is given up on its own thread: the next may begin, and writers put values by for
/// it, while what the first has left is still being taken away.
#[test]
fn the_tail_of_an_abort_leaves_the_next_snapshot_alone() {
    let mut rng = fastrand::Rng::with_seed(5);
    for _ in 0..20 {
        let keyspace = filled(&mut rng);
        let first = keyspace.begin_snapshot(false);
        (0..200).for_each(|_| change(&keyspace, &mut rng, false));
        keyspace.shared.set_mark(first.mark.ended());
        let expected = data_of(&keyspace);
        let second = keyspace.begin_snapshot(false);
        (0..200).for_each(|_| change(&keyspace, &mut rng, false));
        drop(keyspace.clear_up(first.mark, Vec::new()));
        assert_same(&finish(second, &keyspace), &expected);
        assert_eq!(keyspace.shared.side_bytes.load(Ordering::Relaxed), 0);
        drop(first);
        assert_eq!(keyspace.kept_for_snapshot(), 0);
    }
}

/// The walk may hold a side when its snapshot is given up.
#[test]
fn a_side_gives_its_bytes_back_whoever_has_it() {
    let keyspace = filled(&mut fastrand::Rng::with_seed(6));
    let walk = keyspace.begin_snapshot(false);
    (0..100).for_each(|n| change(&keyspace, &mut fastrand::Rng::with_seed(n), false));
    let side_bytes = || keyspace.shared.side_bytes.load(Ordering::Relaxed);
    let all = side_bytes();
    let taken: Vec<_> =
        keyspace.each_stripe().filter_map(|mut stripe| stripe.take_side(walk.mark)).collect();
    assert!(all > 0 && !taken.is_empty());
    drop(keyspace.abort_snapshot());
    drop(taken);
    assert_eq!(side_bytes(), 0);
}
