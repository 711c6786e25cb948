//! Samples are of the right keys, all keys come up, and the soonest expiry is the soonest.

use std::collections::HashMap;

use super::*;
use crate::{Expiry, NewString};

const DBS: [DbIndex; 2] = [DbIndex(0), DbIndex(3)];

fn set(keyspace: &Keyspace, db: DbIndex, key: &str, expiry: Expiry) {
    let hash = keyspace.hash(key.as_bytes());
    let value = NewString::Bytes(b"value");
    keyspace.lock(hash.stripe).set_string(db, key.as_bytes(), hash, value, expiry);
}

fn generator() -> impl FnMut() -> u64 {
    let mut seed = 5u64;
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
    }
}

fn count(
    keyspace: &Keyspace,
    eligible: Eligible,
    rounds: usize,
) -> HashMap<(DbIndex, Vec<u8>), usize> {
    let mut random = generator();
    let mut counts = HashMap::new();
    for _ in 0..rounds {
        let shown = keyspace.sample(eligible, 5, &mut random, |db, entry| {
            if eligible == Eligible::Volatile {
                assert!(entry.expiry().is_some());
            }
            *counts.entry((db, entry.key().to_vec())).or_default() += 1;
        });
        assert!(shown > 0);
    }
    counts
}

#[test]
fn every_key_comes_up_about_as_often() {
    // Few keys, one a stripe at most; and many, in tables that have grown.
    for (keys, rounds) in [(40, 4000), (4000, 40_000)] {
        let keyspace = Keyspace::new(4, 5, [3, 4]);
        for n in 0..keys {
            set(&keyspace, DBS[n % 2], &format!("k{n}"), Expiry::Clear);
        }
        let counts = count(&keyspace, Eligible::All, rounds);
        assert_eq!(counts.len(), keys);
        let mean = counts.values().sum::<usize>() / keys;
        let (least, most) = (counts.values().min(), counts.values().max());
        assert!(*least.expect("keys") * 6 > mean, "{least:?} of {mean}");
        assert!(*most.expect("keys") < mean * 4, "{most:?} of {mean}");
    }
}

#[test]
fn keys_of_one_tag_are_not_met_less_often_for_being_in_one_stripe() {
    let keyspace = Keyspace::new(1, 8, [3, 4]);
    for n in 0..3000 {
        set(&keyspace, DbIndex(0), &format!("{{tag}}{n}"), Expiry::Clear);
    }
    for n in 0..300 {
        set(&keyspace, DbIndex(0), &format!("k{n}"), Expiry::Clear);
    }
    let counts = count(&keyspace, Eligible::All, 2000);
    let tagged = |(_, key): &(DbIndex, Vec<u8>)| key.starts_with(b"{");
    let of_tag: usize = counts.iter().filter(|(key, _)| tagged(key)).map(|(_, n)| n).sum();
    let all: usize = counts.values().sum();
    // Ten in eleven keys, but a sample of another stripe may find fewer than five.
    assert!(of_tag * 10 > all * 7, "{of_tag} of {all}");
}

#[test]
fn volatile_keys_are_found_be_they_many_or_few() {
    for every in [1, 3, 100] {
        let keyspace = Keyspace::new(4, 5, [3, 4]);
        let mut volatile = 0;
        for n in 0..3000 {
            let expires = n % every == 0;
            let expiry = if expires { Expiry::At(UnixMs(1000 + n)) } else { Expiry::Clear };
            set(&keyspace, DBS[n as usize % 2], &format!("k{n}"), expiry);
            volatile += usize::from(expires);
        }
        assert_eq!(count(&keyspace, Eligible::Volatile, 20_000).len(), volatile);
    }
    let keyspace = Keyspace::new(1, 5, [3, 4]);
    let mut random = generator();
    let sample = |keyspace: &Keyspace, eligible, random: &mut dyn FnMut() -> u64| {
        keyspace.sample(eligible, 5, random, |_, _| {})
    };
    assert_eq!(sample(&keyspace, Eligible::All, &mut random), 0);
    set(&keyspace, DbIndex(0), "k", Expiry::Clear);
    assert!(sample(&keyspace, Eligible::All, &mut random) > 0, "the same key, perhaps again");
    assert_eq!(sample(&keyspace, Eligible::Volatile, &mut random), 0);
}

#[test]
fn keys_leave_in_the_order_of_their_expiries() {
    let keyspace = Keyspace::new(4, 5, [3, 4]);
    assert!(keyspace.soonest_expiry().is_none());
    for n in 0..500 {
        let expiry = Expiry::At(UnixMs(1000 + n * 7 % 500));
        set(&keyspace, DBS[n as usize % 2], &format!("k{n}"), expiry);
    }
    let mut times = Vec::new();
    while let Some((time, db, hash)) = keyspace.soonest_expiry() {
        let fits = |entry: EntryRef<'_>| entry.expiry() == Some(time);
        assert!(keyspace.lock(hash.stripe).take_if(db, hash, fits).is_some());
        times.push(time.0);
    }
    assert_eq!(times, (1000..1500).collect::<Vec<_>>());
    assert!(keyspace.is_empty(DbIndex(0)) && keyspace.is_empty(DbIndex(3)));
}

/// A key that expires at the very end of time is as volatile as any.
#[test]
fn the_last_millisecond_is_an_expiry() {
    let keyspace = Keyspace::new(1, 5, [3, 4]);
    for n in 0..10 {
        set(&keyspace, DbIndex(0), &format!("k{n}"), Expiry::At(UnixMs(i64::MAX)));
    }
    assert_eq!(count(&keyspace, Eligible::Volatile, 1000).len(), 10);
    assert!(keyspace.sample(Eligible::Volatile, 5, &mut generator(), |_, _| {}) > 0);
    for _ in 0..10 {
        let (time, db, hash) = keyspace.soonest_expiry().expect("it has one");
        assert_eq!((time, db), (UnixMs(i64::MAX), DbIndex(0)));
        assert!(keyspace.lock(hash.stripe).take_if(db, hash, |_| true).is_some());
    }
    assert!(keyspace.soonest_expiry().is_none());
}

/// Fifty thousand samples of a stripe's fifty thousand volatile keys, which would take
/// minutes if each went through them all; and the one far away from the others hides none.
#[test]
fn a_sample_of_few_volatile_keys_is_not_a_walk_through_them() {
    const KEYS: i64 = 50_000;
    let mut expiries = crate::expiry::Expiries::default();
    let mut random = generator();
    for n in 0..KEYS {
        expiries.change(random(), None, Some(UnixMs(1000 + n)));
    }
    expiries.change(random(), None, Some(UnixMs(i64::MAX)));
    let mut met = std::collections::HashSet::new();
    for _ in 0..KEYS {
        met.extend(expiries.next_in_turn());
        met.extend(expiries.next_at_random(&mut random));
    }
    assert_eq!(met.len() as i64, KEYS + 1);
    expiries.change(
        met.iter().find(|(ms, _)| ms.0 == i64::MAX).expect("met").1,
        Some(UnixMs(i64::MAX)),
        None,
    );
    let chosen: Vec<i64> = (0..1000)
        .filter_map(|_| expiries.next_at_random(&mut random))
        .map(|(at, _)| at.0)
        .collect();
    let mean = chosen.iter().sum::<i64>() / 1000 - 1000;
    assert!((KEYS * 2 / 5..KEYS * 3 / 5).contains(&mean), "{mean}");
}

/// One at a time, as eviction at random takes them, the keys that expire soonest do not all go
/// first.
#[test]
fn one_volatile_key_of_few_is_not_always_the_soonest() {
    let keyspace = Keyspace::new(1, 0, [3, 4]);
    let db = DbIndex(0);
    for n in 0..4000 {
        let expiry = if n % 20 == 0 { Expiry::At(UnixMs(1000 + n)) } else { Expiry::Clear };
        set(&keyspace, db, &format!("k{n}"), expiry);
    }
    let mut random = generator();
    let mut soonest = 0;
    for _ in 0..100 {
        let (first, ..) = keyspace.soonest_expiry().expect("some are left");
        let mut met = None;
        let shown = keyspace.sample(Eligible::Volatile, 1, &mut random, |_, entry| {
            met = Some((entry.key().to_vec(), entry.expiry()));
        });
        assert_eq!(shown, 1);
        let (key, expiry) = met.expect("one was shown");
        soonest += usize::from(expiry == Some(first));
        let hash = keyspace.hash(&key);
        assert!(keyspace.lock(0).remove(db, &key, hash));
    }
    assert!((20..80).contains(&soonest), "{soonest} of 100");
}
