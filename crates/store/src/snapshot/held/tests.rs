//! What a snapshot alone still needs of large values: counted from when the keyspace lets go of
//! them, until they are written.

use tandem_base::{DbIndex, UnixMs};

use crate::snapshot::SnapshotWalk;
use crate::{Detached, Expiry, HashLimits, KeyHash, Keyspace, NewString};

const DB: DbIndex = DbIndex(0);
const BYTES: u64 = 10_000;

fn hashed(keyspace: &Keyspace, n: u32) -> (Vec<u8>, KeyHash) {
    let key = format!("key {n}").into_bytes();
    let hash = keyspace.hash(&key);
    (key, hash)
}

/// Strings of `BYTES` bytes each.
fn filled(keys: u32) -> Keyspace {
    let keyspace = Keyspace::new(2, 4, [5, 6]);
    for n in 0..keys {
        let (key, hash) = hashed(&keyspace, n);
        let value = NewString::Owned(vec![b'a'; BYTES as usize]);
        keyspace.lock(hash.stripe).set_string(DB, &key, hash, value, Expiry::Clear);
    }
    keyspace
}

fn take(keyspace: &Keyspace, n: u32) -> Detached {
    let (key, hash) = hashed(keyspace, n);
    keyspace.lock(hash.stripe).take(DB, &key, hash).expect("it is there")
}

fn finish(mut walk: SnapshotWalk, keyspace: &Keyspace) -> Vec<u8> {
    let mut out = Vec::new();
    while walk.step(keyspace, &mut out, 3000) {}
    assert!(walk.is_complete());
    out
}

#[track_caller]
fn assert_kept(keyspace: &Keyspace, values: u64) {
    let kept = keyspace.kept_for_snapshot();
    let range = values * BYTES..=values * (BYTES + BYTES / 3);
    assert!(range.contains(&kept), "{kept} bytes for {values} values");
}

#[test]
fn a_value_that_goes_after_its_expiry_was_changed_is_counted() {
    let keyspace = filled(100);
    let walk = keyspace.begin_snapshot(false);
    for n in 0..100 {
        let (key, hash) = hashed(&keyspace, n);
        keyspace.lock(hash.stripe).set_expiry(DB, &key, hash, Some(UnixMs(1 << 40)));
    }
    assert_kept(&keyspace, 0);
    (0..40).for_each(|n| drop(take(&keyspace, n)));
    assert_kept(&keyspace, 40);
    for n in 40..60 {
        let (key, hash) = hashed(&keyspace, n);
        keyspace.lock(hash.stripe).set_string(DB, &key, hash, NewString::Int(1), Expiry::Clear);
    }
    assert_kept(&keyspace, 60);
    for n in 60..70 {
        let (key, hash) = hashed(&keyspace, n);
        keyspace.lock(hash.stripe).with_string_mut(DB, &key, hash, |bytes| bytes.push(b'b'));
    }
    assert_kept(&keyspace, 70);
    // What came after the cut is none of the snapshot's.
    (40..70).for_each(|n| drop(take(&keyspace, n)));
    assert_kept(&keyspace, 70);
    finish(walk, &keyspace);
    assert_kept(&keyspace, 0);
}

/// The walk shares large values, too, and a slow reader may let them wait for long.
#[test]
fn a_value_that_goes_while_the_walk_has_it_is_counted() {
    let keyspace = filled(200);
    let mut walk = keyspace.begin_snapshot(false);
    walk.step(&keyspace, &mut Vec::new(), 1);
    assert!(!walk.large.is_empty(), "taken, but not yet written");
    let waiting = walk.large.bytes() as u64;
    (0..200).for_each(|n| drop(take(&keyspace, n)));
    // All but what has been written.
    assert_kept(&keyspace, 199);
    assert!(waiting >= BYTES);
    finish(walk, &keyspace);
    assert_kept(&keyspace, 0);
}

const LARGE: &[u8] = b"large";

/// A hash of 5000 fields at `LARGE`.
fn with_large_hash() -> Keyspace {
    let keyspace = Keyspace::new(1, 0, [5, 6]);
    let hash = keyspace.hash(LARGE);
    let mut value = keyspace.new_hash(5000, HashLimits::default());
    for n in 0..5000 {
        value.set(format!("field:{n}").as_bytes(), b"a value of some bytes");
    }
    keyspace.lock(0).set_hash(DB, LARGE, hash, value, Expiry::Clear);
    keyspace
}

/// Only the pieces that a writer copies are the snapshot's alone.
#[test]
fn of_a_changed_hash_the_changed_pieces_are_counted() {
    let keyspace = with_large_hash();
    let hash = keyspace.hash(LARGE);
    let all = keyspace.memory_bytes();
    let walk = keyspace.begin_snapshot(false);
    let set = |fields: std::ops::Range<u32>| {
        let mut stripe = keyspace.lock(0);
        let mut edit = stripe.hash_mut(DB, LARGE, hash, HashLimits::default()).expect("a hash");
        for n in fields {
            edit.set(format!("field:{n}").as_bytes(), b"another one");
        }
        drop(edit);
        keyspace.kept_for_snapshot()
    };
    let one = set(0..1);
    assert!((1..20_000).contains(&one), "{one} of {all}");
    assert_eq!(set(0..1), one, "what has been copied is the keyspace's own");
    let every = set(0..5000);
    assert!(every > all / 2 && every <= all, "{every} of {all}");
    assert!(set(5000..9000) <= all);
    drop(keyspace.lock(0).take(DB, LARGE, hash));
    let gone = keyspace.kept_for_snapshot();
    assert!(gone >= every && gone <= all, "{gone} of {all}");
    finish(walk, &keyspace);
    assert_eq!(keyspace.kept_for_snapshot(), 0);
    assert!(keyspace.kept_for_snapshot_peak() <= all);
}

/// What a flush leaves to a snapshot counts until its last large value is written.
#[test]
fn a_flushed_value_is_counted_until_it_is_written() {
    let keyspace = with_large_hash();
    let mut walk = keyspace.begin_snapshot(false);
    drop(keyspace.flush_all());
    let all = keyspace.kept_for_snapshot();
    assert!(all > 150_000, "{all}");
    let mut steps = 0;
    while walk.step(&keyspace, &mut Vec::new(), 3000) {
        assert_eq!(keyspace.kept_for_snapshot(), if walk.is_complete() { 0 } else { all });
        steps += 1;
    }
    assert!(steps > 20);
    assert_eq!(keyspace.kept_for_snapshot(), 0);
}

/// RENAME and MOVE take a value out and put it in again: the keyspace needs it as before.
#[test]
fn a_value_under_another_key_is_not_gone() {
    let keyspace = filled(2);
    let walk = keyspace.begin_snapshot(false);
    let value = take(&keyspace, 0);
    assert_kept(&keyspace, 1);
    let (key, hash) = hashed(&keyspace, 7);
    keyspace.lock(hash.stripe).put(DbIndex(1), &key, hash, value);
    assert_kept(&keyspace, 0);
    drop(keyspace.lock(hash.stripe).take(DbIndex(1), &key, hash));
    assert_kept(&keyspace, 1);
    finish(walk, &keyspace);
    assert_kept(&keyspace, 0);
}

/// Two keys with one value in memory, and a snapshot that has begun.
fn shared_by_two() -> (Keyspace, SnapshotWalk) {
    let keyspace = filled(1);
    let (key, hash) = hashed(&keyspace, 0);
    let (other, other_hash) = hashed(&keyspace, 1);
    let copy = Detached::copy_of(keyspace.lock(hash.stripe).get(DB, &key, hash).expect("filled"));
    keyspace.lock(other_hash.stripe).put(DB, &other, other_hash, copy);
    let walk = keyspace.begin_snapshot(false);
    (keyspace, walk)
}

#[test]
fn a_value_with_two_keys_is_counted_once_and_when_both_have_gone() {
    let (keyspace, walk) = shared_by_two();
    drop(take(&keyspace, 0));
    assert_kept(&keyspace, 0);
    drop(take(&keyspace, 1));
    assert_kept(&keyspace, 1);
    drop(keyspace.abort_snapshot());
    drop(walk);
    assert_kept(&keyspace, 0);
}

/// What is on its way to be freed, or to a client, is nobody's key, but it holds the value for a
/// while.
#[test]
fn a_value_that_somebody_else_holds_counts_when_he_lets_it_go() {
    let (keyspace, walk) = shared_by_two();
    let first = take(&keyspace, 0);
    let second = take(&keyspace, 1);
    assert_kept(&keyspace, 0);
    drop(second);
    assert_kept(&keyspace, 0);
    drop(first);
    assert_kept(&keyspace, 1);
    finish(walk, &keyspace);
    assert_kept(&keyspace, 0);
    assert!(keyspace.kept_for_snapshot_peak() >= BYTES);
}

/// Both are the snapshot's: once one of them is written the other still needs the value.
#[test]
fn a_value_that_is_taken_twice_counts_until_both_are_written() {
    let (keyspace, mut walk) = shared_by_two();
    (0..2).for_each(|n| drop(take(&keyspace, n)));
    let (mut out, mut between) = (Vec::new(), false);
    while walk.step(&keyspace, &mut out, 1) {
        if out.len() < 2 * BYTES as usize {
            assert_kept(&keyspace, 1);
            between |= out.len() > BYTES as usize;
        }
    }
    assert!(between, "one is written before the other");
    assert_kept(&keyspace, 0);
}

/// COPY shares what the hash is at that time; from then on they are two.
#[test]
fn a_copied_hash_is_a_value_of_its_own() {
    let keyspace = with_large_hash();
    let one = keyspace.memory_bytes();
    let keys = ["first", "second", "third"].map(str::as_bytes);
    for key in keys {
        copy_large(&keyspace, key);
        let mut stripe = keyspace.lock(0);
        let limits = HashLimits::default();
        let mut edit = stripe.hash_mut(DB, key, keyspace.hash(key), limits).expect("a hash");
        for n in 0..5000 {
            edit.set(format!("field:{n}").as_bytes(), b"another one of some bytes");
        }
    }
    let walk = keyspace.begin_snapshot(false);
    for (gone, key) in (1..).zip(keys) {
        drop(keyspace.lock(0).take(DB, key, keyspace.hash(key)));
        let kept = keyspace.kept_for_snapshot();
        assert!((one * 9 / 10 * gone..one * 3 / 2 * gone).contains(&kept), "{kept} of {one}");
    }
    finish(walk, &keyspace);
    assert_eq!(keyspace.kept_for_snapshot(), 0);
}

fn copy_large(keyspace: &Keyspace, key: &[u8]) {
    let hash = keyspace.hash(LARGE);
    let copy = Detached::copy_of(keyspace.lock(0).get(DB, LARGE, hash).expect("it is there"));
    keyspace.lock(0).put(DB, key, keyspace.hash(key), copy);
}

/// One hash in memory with many keys: what goes of them is not free while one is left.
#[test]
fn of_a_hash_that_another_key_has_nothing_counts() {
    let keyspace = with_large_hash();
    let one = keyspace.memory_bytes();
    let keys: Vec<_> = (0..10).map(|n| format!("before:{n}").into_bytes()).collect();
    keys.iter().for_each(|key| copy_large(&keyspace, key));
    let mut walk = keyspace.begin_snapshot(false);
    copy_large(&keyspace, b"after");
    let mut rest = keys.iter();
    let changed = rest.next().expect("ten");
    {
        let mut stripe = keyspace.lock(0);
        let hash = keyspace.hash(changed);
        let mut edit = stripe.hash_mut(DB, changed, hash, HashLimits::default()).expect("a hash");
        for n in 0..5000 {
            edit.set(format!("field:{n}").as_bytes(), b"another one");
        }
    }
    assert_eq!(keyspace.kept_for_snapshot(), 0, "what was changed is in other keys");
    for key in rest {
        drop(keyspace.lock(0).take(DB, key, keyspace.hash(key)));
    }
    drop(keyspace.lock(0).take(DB, LARGE, keyspace.hash(LARGE)));
    assert_eq!(keyspace.kept_for_snapshot(), 0, "one key is left");
    // All but the last of those that wait side by side.
    while keyspace.shared.held.waiting() > 1 {
        assert!(walk.step(&keyspace, &mut Vec::new(), 3000));
    }
    assert_eq!(keyspace.kept_for_snapshot(), 0, "one key is left");
    drop(keyspace.lock(0).take(DB, b"after", keyspace.hash(b"after")));
    let kept = keyspace.kept_for_snapshot();
    assert!((one * 9 / 10..one * 11 / 10).contains(&kept), "{kept} of {one}");
    finish(walk, &keyspace);
    assert_eq!(keyspace.kept_for_snapshot(), 0);
    assert!(!keyspace.shared.held.any_in_doubt(), "nobody looks any more");
}

/// Each command at the limit of memory asks for the sum: it must not walk over all of them.
#[test]
fn what_others_hold_is_looked_at_in_turn() {
    let keyspace = filled(50);
    let walk = keyspace.begin_snapshot(false);
    let (mut others, mut keys) = (Vec::new(), Vec::new());
    for n in 0..50 {
        let (key, hash) = hashed(&keyspace, n);
        let held = keyspace.lock(hash.stripe);
        others.push(Detached::copy_of(held.get(DB, &key, hash).expect("filled")));
        drop(held);
        keys.push(take(&keyspace, n));
    }
    drop(keys);
    for _ in 0..20 {
        assert_kept(&keyspace, 0);
    }
    drop(others);
    let first = keyspace.kept_for_snapshot();
    assert!(first < 10 * BYTES, "{first}");
    for _ in 0..20 {
        keyspace.kept_for_snapshot();
    }
    assert_kept(&keyspace, 50);
    finish(walk, &keyspace);
    assert!(!keyspace.shared.held.any_in_doubt(), "nobody looks any more");
}

/// The caller counts what he is given until it is freed, and must not count this once more.
#[test]
fn what_an_aborted_snapshot_leaves_counts_itself() {
    let keyspace = filled(100);
    let walk = keyspace.begin_snapshot(false);
    for n in 0..30 {
        let (key, hash) = hashed(&keyspace, n);
        keyspace.lock(hash.stripe).set_expiry(DB, &key, hash, Some(UnixMs(1 << 40)));
    }
    let old = keyspace.abort_snapshot();
    assert_eq!((old.bytes(), keyspace.kept_for_snapshot()), (0, 0), "the keyspace has them all");
    drop((old, walk));

    let walk = keyspace.begin_snapshot(false);
    assert_eq!(keyspace.flush_all().bytes(), 0);
    let old = keyspace.abort_snapshot();
    assert!(keyspace.kept_for_snapshot() >= 100 * BYTES);
    assert_eq!(old.bytes(), 0);
    drop((old, walk));
    assert_eq!(keyspace.kept_for_snapshot(), 0);
}

/// A writer must not free what was put by for the first: that may take long.
#[test]
fn a_side_that_makes_way_is_freed_with_the_rest() {
    let keyspace = Keyspace::new(1, 0, [1, 2]);
    let set = |value: &[u8]| {
        let hash = keyspace.hash(b"k");
        let value = NewString::Owned(value.to_vec());
        keyspace.lock(0).set_string(DB, b"k", hash, value, Expiry::Clear);
    };
    let large = vec![b'x'; 100_000];
    set(&large);
    let first = keyspace.begin_snapshot(false);
    set(&large);
    keyspace.shared.set_mark(first.mark.ended());
    let second = keyspace.begin_snapshot(false);
    set(b"small");
    assert!(keyspace.kept_for_snapshot() >= 200_000, "nothing has been freed");
    drop(keyspace.clear_up(first.mark, Vec::new()));
    let kept = keyspace.kept_for_snapshot();
    assert!((100_000..150_000).contains(&kept), "what was the first's is gone: {kept}");
    finish(second, &keyspace);
    drop(first);
    assert_eq!(keyspace.kept_for_snapshot(), 0);
}
