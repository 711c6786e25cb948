//! The keyspace against a model, and its counts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::*;
use crate::{Detached, Expiry, NewString, StringRef};

const DB: DbIndex = DbIndex(0);

fn keyspace() -> Keyspace {
    Keyspace::new(16, 5, [3, 4])
}

fn set(keyspace: &Keyspace, db: DbIndex, key: &[u8], value: NewString<'_>, expiry: Expiry) -> bool {
    let hash = keyspace.hash(key);
    keyspace.lock(hash.stripe).set_string(db, key, hash, value, expiry)
}

fn set_text(keyspace: &Keyspace, db: DbIndex, key: &str, value: &str) -> bool {
    set(keyspace, db, key.as_bytes(), NewString::Bytes(value.as_bytes()), Expiry::Clear)
}

fn get(keyspace: &Keyspace, db: DbIndex, key: &str) -> Option<String> {
    let hash = keyspace.hash(key.as_bytes());
    let stripe = keyspace.lock(hash.stripe);
    let entry = stripe.get(db, key.as_bytes(), hash)?;
    let text = entry.string().unwrap().bytes(&mut itoa::Buffer::new()).to_vec();
    Some(String::from_utf8(text).unwrap())
}

fn encoding(keyspace: &Keyspace, key: &str) -> &'static str {
    let hash = keyspace.hash(key.as_bytes());
    keyspace.lock(hash.stripe).get(DB, key.as_bytes(), hash).unwrap().encoding_name()
}

fn remove(keyspace: &Keyspace, db: DbIndex, key: &[u8]) -> bool {
    let hash = keyspace.hash(key);
    keyspace.lock(hash.stripe).remove(db, key, hash)
}

/// What `memory_bytes` must be, by looking at everything.
fn check_memory(keyspace: &Keyspace) {
    let mut bytes = 0;
    for stripe in keyspace.each_stripe() {
        bytes += stripe.bytes();
        assert_eq!(stripe.bytes(), stripe.parts().map(|(_, part)| part.bytes()).sum::<u64>());
        for (db, part) in stripe.parts() {
            assert!(db == DB || !part.table.is_empty(), "parts go with their last key");
            let mut entries = 0;
            part.table.visit_all(|entry| entries += entry.memory_bytes() as u64);
            assert!(part.table.bytes() >= entries);
            assert_eq!((part.table.bytes() - entries) / 8 * 8, part.table.bytes() - entries);
        }
    }
    assert_eq!(keyspace.memory_bytes(), bytes);
}

#[test]
fn what_is_set_is_found_in_its_database_only() {
    let keyspace = keyspace();
    assert!(!set_text(&keyspace, DB, "k", "v"));
    assert!(set_text(&keyspace, DB, "k", "w"));
    assert!(!set_text(&keyspace, DbIndex(7), "k", "x"));
    assert_eq!(get(&keyspace, DB, "k").as_deref(), Some("w"));
    assert_eq!(get(&keyspace, DbIndex(7), "k").as_deref(), Some("x"));
    assert_eq!(get(&keyspace, DbIndex(15), "k"), None);
    assert_eq!(keyspace.len(DB) + keyspace.len(DbIndex(7)), 2);
    assert!(remove(&keyspace, DB, b"k"));
    assert!(!remove(&keyspace, DB, b"k"));
    assert!(keyspace.is_empty(DB));
    check_memory(&keyspace);
}

#[test]
fn an_empty_keyspace_counts_no_bytes() {
    let keyspace = keyspace();
    assert_eq!(keyspace.memory_bytes(), 0);
    for n in 0..2000 {
        set_text(&keyspace, DbIndex(n % 3), &format!("{n}"), &"v".repeat(n as usize % 300));
    }
    check_memory(&keyspace);
    for n in 0..2000 {
        assert!(remove(&keyspace, DbIndex(n % 3), format!("{n}").as_bytes()));
    }
    assert_eq!(keyspace.memory_bytes(), 0);
}

#[test]
fn the_encoding_follows_from_the_text_and_its_history() {
    let keyspace = keyspace();
    set_text(&keyspace, DB, "int", "-12");
    set_text(&keyspace, DB, "text", "012");
    set(&keyspace, DB, b"long", NewString::Owned(vec![b'x'; 100_000]), Expiry::Clear);
    set(&keyspace, DB, b"owned int", NewString::Owned(b"77".to_vec()), Expiry::Clear);
    assert_eq!(encoding(&keyspace, "int"), "int");
    assert_eq!(encoding(&keyspace, "owned int"), "int");
    assert_eq!(encoding(&keyspace, "text"), "embstr");
    assert_eq!(encoding(&keyspace, "long"), "raw");
    let append = |key: &str| {
        let hash = keyspace.hash(key.as_bytes());
        let mut stripe = keyspace.lock(hash.stripe);
        stripe.with_string_mut(DB, key.as_bytes(), hash, |bytes| {
            bytes.extend_from_slice(b"34");
            bytes.len()
        })
    };
    assert_eq!((append("int"), append("new"), append("long")), (5, 2, 100_002));
    assert_eq!(get(&keyspace, DB, "int").as_deref(), Some("-1234"));
    assert_eq!(get(&keyspace, DB, "new").as_deref(), Some("34"));
    for key in ["int", "new", "long"] {
        assert_eq!(encoding(&keyspace, key), "raw");
    }
    set_text(&keyspace, DB, "int", "-1234");
    assert_eq!(encoding(&keyspace, "int"), "int");
    check_memory(&keyspace);
}

#[test]
fn a_large_value_is_moved_in_and_shared_out() {
    let keyspace = keyspace();
    let bytes = vec![b'x'; 100_000];
    let at = bytes.as_ptr();
    set(&keyspace, DB, b"large", NewString::Owned(bytes), Expiry::Clear);
    let hash = keyspace.hash(b"large");
    let mut stripe = keyspace.lock(hash.stripe);
    let shared = |stripe: &Stripe| match stripe.get(DB, b"large", hash).unwrap().string().unwrap() {
        StringRef::Large(bytes) => Arc::clone(bytes),
        other => panic!("{other:?}"),
    };
    let reply = shared(&stripe);
    assert_eq!(reply.as_ptr(), at);
    // Changed while a reply holds it: the reply keeps the old bytes.
    stripe.with_string_mut(DB, b"large", hash, |bytes| bytes[0] = b'y');
    assert_eq!((reply[0], shared(&stripe)[0]), (b'x', b'y'));
    // Not held: changed where it is.
    let at = shared(&stripe).as_ptr();
    stripe.with_string_mut(DB, b"large", hash, |bytes| bytes[1] = b'z');
    assert_eq!(shared(&stripe).as_ptr(), at);
}

#[test]
fn a_value_can_move_and_be_copied_to_another_key() {
    let keyspace = keyspace();
    let expiry = Expiry::At(UnixMs(5000));
    set(&keyspace, DB, b"from", NewString::Owned(vec![b'x'; 50_000]), expiry);
    set_text(&keyspace, DbIndex(3), "to", "old");
    let (from, to) = (keyspace.hash(b"from"), keyspace.hash(b"to"));
    let copy = Detached::copy_of(keyspace.lock(from.stripe).get(DB, b"from", from).unwrap());
    assert!(!keyspace.lock(to.stripe).put(DB, b"to", to, copy));
    let taken = keyspace.lock(from.stripe).take(DB, b"from", from).unwrap();
    assert_eq!(taken.view().expiry(), Some(UnixMs(5000)));
    assert!(keyspace.lock(to.stripe).put(DbIndex(3), b"to", to, taken));
    assert_eq!(get(&keyspace, DB, "from"), None);
    for db in [DB, DbIndex(3)] {
        assert_eq!(get(&keyspace, db, "to").map(|text| text.len()), Some(50_000));
        assert_eq!((keyspace.len(db), keyspace.expires(db)), (1, 1));
    }
    check_memory(&keyspace);
}

/// Random settings of expiries against a plain map.
#[test]
fn the_order_of_expiries_is_exact() {
    let keyspace = keyspace();
    let mut rng = fastrand::Rng::with_seed(21);
    let mut model: BTreeMap<(u16, Vec<u8>), Option<i64>> = BTreeMap::new();
    for step in 0..20_000 {
        let db = DbIndex(rng.u16(0..3));
        let key = format!("k{}", rng.u32(0..400)).into_bytes();
        let hash = keyspace.hash(&key);
        let mut stripe = keyspace.lock(hash.stripe);
        let old = model.get(&(db.0, key.clone())).copied();
        let ms = rng.i64(-50..5000);
        match rng.u8(0..6) {
            0 => {
                assert_eq!(stripe.set_expiry(db, &key, hash, Some(UnixMs(ms))), old.is_some());
                old.map(|_| model.insert((db.0, key), Some(ms)));
            }
            1 => {
                assert_eq!(stripe.set_expiry(db, &key, hash, None), old.is_some());
                old.map(|_| model.insert((db.0, key), None));
            }
            2 => {
                assert_eq!(stripe.remove(db, &key, hash), old.is_some());
                model.remove(&(db.0, key));
            }
            way => {
                let (expiry, new) = match way {
                    3 => (Expiry::At(UnixMs(ms)), Some(ms)),
                    4 => (Expiry::Clear, None),
                    _ => (Expiry::Keep, old.flatten()),
                };
                let value = vec![b'v'; rng.usize(0..100)];
                stripe.set_string(db, &key, hash, NewString::Bytes(&value), expiry);
                model.insert((db.0, key), new);
            }
        }
        drop(stripe);
        if step % 500 == 0 {
            check_expiries(&keyspace, &model, UnixMs(rng.i64(0..5000)));
        }
    }
}

fn check_expiries(keyspace: &Keyspace, model: &BTreeMap<(u16, Vec<u8>), Option<i64>>, now: UnixMs) {
    check_memory(keyspace);
    let mut first = HashMap::new();
    for ((_, key), ms) in model {
        if let Some(ms) = *ms {
            let least = first.entry(keyspace.hash(key).stripe).or_insert(ms);
            *least = ms.min(*least);
        }
    }
    for stripe in 0..keyspace.stripe_count() as u16 {
        assert_eq!(keyspace.next_expiry(stripe), first.get(&stripe).map(|ms| UnixMs(*ms)));
    }
    let stats = keyspace.stats(now);
    for db in 0..3 {
        let of_db = model.iter().filter(|((of, _), _)| *of == db);
        let expiring: Vec<(&Vec<u8>, i64)> =
            of_db.clone().filter_map(|((_, key), ms)| Some((key, (*ms)?))).collect();
        let stats = stats[usize::from(db)];
        assert_eq!(stats.keys, of_db.count() as u64);
        assert_eq!(stats.expires, expiring.len() as u64);
        let mut due = HashSet::new();
        for stripe in keyspace.each_stripe() {
            let mut keys = Vec::new();
            stripe.expired(DbIndex(db), now, usize::MAX, &mut keys);
            let times: Vec<i64> = keys
                .iter()
                .map(|key| stripe.get(DbIndex(db), key, keyspace.hash(key)).unwrap().expiry())
                .map(|expiry| expiry.unwrap().0)
                .collect();
            assert!(times.is_sorted());
            let mut some = Vec::new();
            stripe.expired(DbIndex(db), now, 2, &mut some);
            assert_eq!(some, keys[..keys.len().min(2)]);
            due.extend(keys);
        }
        let expected: HashSet<Vec<u8>> =
            expiring.iter().filter(|(_, ms)| *ms < now.0).map(|(key, _)| (*key).clone()).collect();
        assert_eq!(due, expected);
    }
}

#[test]
fn a_scan_shows_every_key_once_when_nothing_changes() {
    let keyspace = keyspace();
    let db = DbIndex(2);
    let mut keys = HashSet::new();
    for n in 0..5000 {
        keys.insert(format!("key{n}").into_bytes());
        set_text(&keyspace, db, &format!("key{n}"), "v");
    }
    let mut cursor = 0;
    loop {
        let mut shown = 0;
        cursor = keyspace.scan(db, cursor, |entry| {
            shown += 1;
            assert!(keys.remove(entry.key()), "shown twice");
        });
        assert!(shown <= 64);
        if cursor == 0 {
            break;
        }
        assert!(shown > 0, "a step shows something unless it is the last");
    }
    assert!(keys.is_empty());
    assert_eq!(keyspace.scan(DB, 0, |_| panic!("no keys here")), 0);
    // Cursors that nobody gave out.
    for cursor in [u64::MAX, 1 << 63, 31 << 32 | 0xffff_ffff, 77] {
        keyspace.scan(db, cursor, |_| {});
    }
    assert_eq!(keyspace.scan(db, u64::MAX, |_| {}), 0);
}

#[test]
fn random_keys_come_from_all_stripes_alike() {
    let keyspace = keyspace();
    let mut rng = fastrand::Rng::with_seed(5);
    assert_eq!(keyspace.random_key(DB, &mut || rng.u64(..)), None);
    // One stripe holds half of the keys.
    let keys: Vec<String> = (0..100).map(|n| format!("k{n}")).collect();
    let tagged = (0..100).map(|n| format!("{{tag}}{n}"));
    let keys: Vec<String> = keys.into_iter().chain(tagged).collect();
    for key in &keys {
        set_text(&keyspace, DB, key, "v");
    }
    let mut chosen: HashMap<Vec<u8>, u32> = HashMap::new();
    for _ in 0..keys.len() * 400 {
        let key = keyspace.random_key(DB, &mut || rng.u64(..)).unwrap();
        *chosen.entry(key).or_default() += 1;
    }
    for key in &keys {
        // 400 expected, give or take 20.
        let times = chosen.get(key.as_bytes()).copied().unwrap_or(0);
        assert!((300..=500).contains(&times), "{key}: {times} times");
    }
}

#[test]
fn databases_are_swapped_and_flushed_whole() {
    let keyspace = keyspace();
    let (a, b) = (DB, DbIndex(9));
    for n in 0..500 {
        let key = format!("k{n}");
        set(&keyspace, a, key.as_bytes(), NewString::Int(n), Expiry::At(UnixMs(n)));
    }
    set_text(&keyspace, b, "other", "v");
    let bytes = keyspace.memory_bytes();
    keyspace.swap_databases(a, b);
    assert_eq!((keyspace.len(a), keyspace.len(b), keyspace.expires(b)), (1, 500, 500));
    assert_eq!(get(&keyspace, b, "k77").as_deref(), Some("77"));
    assert_eq!(keyspace.memory_bytes(), bytes);
    drop(keyspace.flush_database(b));
    assert_eq!((keyspace.len(a), keyspace.len(b)), (1, 0));
    assert!((0..32).all(|stripe| keyspace.next_expiry(stripe).is_none()));
    drop(keyspace.flush_all());
    assert_eq!((keyspace.len(a), keyspace.memory_bytes()), (0, 0));
}

/// What a stripe keeps and walks is the databases in use, whatever their numbers.
#[test]
fn a_high_database_costs_what_a_low_one_does() {
    let keyspace = Keyspace::new(65_535, 5, [3, 4]);
    let high = DbIndex(65_534);
    for n in 0..400 {
        set_text(&keyspace, DbIndex(700), &format!("k{n}"), "v");
        set_text(&keyspace, high, &format!("k{n}"), "v");
    }
    for stripe in keyspace.each_stripe() {
        assert_eq!(stripe.databases(), [DB, DbIndex(700), high]);
    }
    let (mut walk, mut steps, mut out) = (keyspace.begin_snapshot(false), 1, Vec::new());
    while walk.step(&keyspace, &mut out, 1) {
        steps += 1;
    }
    assert!(walk.is_complete() && walk.keys_done() == 800);
    assert!(steps < 1000, "{steps} steps for 800 keys");
    assert_eq!((keyspace.len_of_all(), keyspace.len(high)), (800, 400));
    keyspace.swap_databases(high, DbIndex(65_533));
    assert_eq!(get(&keyspace, DbIndex(65_533), "k7").as_deref(), Some("v"));
    check_memory(&keyspace);
    drop(keyspace.flush_all());
    assert!(keyspace.each_stripe().all(|stripe| stripe.databases() == [DB]));
    assert_eq!((keyspace.len_of_all(), keyspace.memory_bytes()), (0, 0));
}

/// Parts that come, go and are swapped, against a plain map.
#[test]
fn databases_in_use_are_kept_in_order() {
    let keyspace = Keyspace::new(50, 1, [3, 4]);
    let mut rng = fastrand::Rng::with_seed(31);
    let mut model: BTreeMap<(DbIndex, String), String> = BTreeMap::new();
    for step in 0..20_000 {
        let (db, other) = (DbIndex(rng.u16(0..50)), DbIndex(rng.u16(0..50)));
        let key = format!("k{}", rng.u8(0..4));
        match rng.u8(0..40) {
            0 => {
                keyspace.swap_databases(db, other);
                let to = |of| match of {
                    of if of == db => other,
                    of if of == other => db,
                    of => of,
                };
                model = model.into_iter().map(|((of, key), v)| ((to(of), key), v)).collect();
            }
            1 => {
                drop(keyspace.flush_database(db));
                model.retain(|(of, _), _| *of != db);
            }
            2..20 => {
                let value = "v".repeat(rng.usize(0..200));
                set_text(&keyspace, db, &key, &value);
                model.insert((db, key), value);
            }
            _ => {
                let was_there = model.remove(&(db, key.clone())).is_some();
                assert_eq!(remove(&keyspace, db, key.as_bytes()), was_there);
            }
        }
        if step % 100 == 0 {
            check_memory(&keyspace);
            assert_eq!(keyspace.len_of_all(), model.len() as u64);
            for ((db, key), value) in &model {
                assert_eq!(get(&keyspace, *db, key).as_ref(), Some(value));
            }
            for stripe in keyspace.each_stripe() {
                assert!(stripe.databases().is_sorted());
            }
        }
    }
}

#[test]
fn keys_are_stamped_with_the_access_clock() {
    let keyspace = keyspace();
    let clock = |key: &str| {
        let hash = keyspace.hash(key.as_bytes());
        keyspace.lock(hash.stripe).get(DB, key.as_bytes(), hash).unwrap().access_clock()
    };
    keyspace.set_access_time(UnixMs(0x0100_0007 * 1000));
    set_text(&keyspace, DB, "k", "v");
    assert_eq!(clock("k"), 7);
    keyspace.set_access_time(UnixMs(9000));
    assert_eq!(clock("k"), 7);
    set_text(&keyspace, DB, "k", "w");
    assert_eq!(clock("k"), 9);
    // A renamed key has been idle as long as before.
    keyspace.set_access_time(UnixMs(20_000));
    let (from, to) = (keyspace.hash(b"k"), keyspace.hash(b"to"));
    let taken = keyspace.lock(from.stripe).take(DB, b"k", from).unwrap();
    keyspace.lock(to.stripe).put(DB, b"to", to, taken);
    assert_eq!(clock("to"), 9);
}

#[test]
fn a_shared_value_is_kept_without_a_copy_and_text_stays_text() {
    let keyspace = keyspace();
    let large = Arc::new(vec![b'x'; 100_000]);
    set(&keyspace, DB, b"large", NewString::Shared(Arc::clone(&large)), Expiry::Clear);
    let hash = keyspace.hash(b"large");
    match keyspace.lock(hash.stripe).get(DB, b"large", hash).unwrap().string().unwrap() {
        StringRef::Large(kept) => assert!(Arc::ptr_eq(kept, &large)),
        other => panic!("a large value, not {other:?}"),
    }
    set(&keyspace, DB, b"small", NewString::Shared(Arc::new(b"12".to_vec())), Expiry::Clear);
    assert_eq!(encoding(&keyspace, "small"), "int");
    set(&keyspace, DB, b"text", NewString::Text(b"12"), Expiry::Clear);
    assert_eq!(encoding(&keyspace, "text"), "embstr");
    assert_eq!(get(&keyspace, DB, "text").as_deref(), Some("12"));
}

#[test]
fn stripes_show_each_entry_once() {
    let keyspace = keyspace();
    let want: Vec<String> = (0..5000).map(|n| format!("key:{n:04}")).collect();
    for key in &want {
        set_text(&keyspace, DB, key, "v");
        set_text(&keyspace, DbIndex(1), "elsewhere", "v");
    }
    let mut shown = Vec::new();
    for stripe in 0..keyspace.stripe_count() {
        keyspace.lock(stripe as u16).each(DB, |entry| {
            shown.push(String::from_utf8(entry.key().to_vec()).unwrap());
        });
    }
    shown.sort();
    assert_eq!(shown, want);
}
