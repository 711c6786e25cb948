//! Both encodings against a map, copies, memory.

use std::collections::HashMap;

use tandem_base::DbIndex;

use super::*;
use crate::Keyspace;
use crate::hash::HASHED;

const DB: DbIndex = DbIndex(0);
const KEY: &[u8] = b"a hash";

type Model = HashMap<Vec<u8>, Vec<u8>>;

fn keyspace() -> Keyspace {
    Keyspace::new(1, 0, [7, 8])
}

pub(super) fn owned(text: StringRef<'_>) -> Vec<u8> {
    text.bytes(&mut itoa::Buffer::new()).to_vec()
}

fn contents(hash: HashRef<'_>) -> Model {
    let mut model = Model::new();
    for (field, value) in hash.iter() {
        assert_eq!(model.insert(owned(field), owned(value)), None, "each field once");
    }
    assert_eq!(model.len() as u64, hash.len());
    model
}

/// What the key holds; empty if it is not there.
fn held(keyspace: &Keyspace) -> Model {
    let stripe = keyspace.lock(0);
    stripe.get(DB, KEY, keyspace.hash(KEY)).map_or_else(Model::new, |entry| {
        assert_eq!(entry.type_name(), "hash");
        contents(entry.hash().expect("it is a hash"))
    })
}

/// A field among `fields`; most are short, some are numbers, some too long for an arena.
fn field(rng: &mut fastrand::Rng, fields: u32) -> Vec<u8> {
    let number = rng.u32(0..fields);
    match number % 16 {
        0..4 => number.to_string().into_bytes(),
        4 => format!("-{number}").into_bytes(),
        15 if number % 64 == 15 => format!("{number:0600}").into_bytes(),
        _ => format!("field:{number}").into_bytes(),
    }
}

fn value(rng: &mut fastrand::Rng) -> Vec<u8> {
    let len = match rng.u8(..) {
        0..100 => return rng.i64(..).wrapping_shr(rng.u32(..64)).to_string().into_bytes(),
        100..200 => rng.usize(0..70),
        200..250 => rng.usize(0..400),
        _ => rng.usize(400..3000),
    };
    vec![rng.u8(..); len]
}

/// Random changes against a map, in both encodings, with whole comparisons in between.
fn run(seed: u64, limits: HashLimits, fields: u32, rounds: u32) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let keyspace = keyspace();
    let hash = keyspace.hash(KEY);
    let mut model = Model::new();
    for round in 0..rounds {
        // Grows and shrinks by turns.
        let removes = if (round / (2 * fields)).is_multiple_of(2) { 2 } else { 8 };
        let mut stripe = keyspace.lock(0);
        let mut edit = stripe.hash_mut(DB, KEY, hash, limits).expect("it is a hash");
        for _ in 0..rng.u8(1..4) {
            let field = field(&mut rng, fields);
            assert_eq!(edit.get(&field).map(owned), model.get(&field).cloned());
            if rng.u8(0..10) < removes {
                assert_eq!(edit.remove(&field), model.remove(&field).is_some());
            } else {
                let value = value(&mut rng);
                let new = model.insert(field.clone(), value.clone()).is_none();
                if rng.bool() {
                    assert_eq!(edit.set(&field, &value), new);
                } else {
                    let (old, place) = edit.find(&field);
                    assert_eq!(old.is_none(), new);
                    assert_eq!(edit.set_found(place, &field, &value), new);
                }
            }
            assert_eq!(edit.len(), model.len() as u64);
        }
        drop(edit);
        drop(stripe);
        assert_eq!(keyspace.len(DB), u64::from(!model.is_empty()));
        if round % (fields / 8 + 1) == 0 {
            check_bytes(&keyspace);
        }
        if round % 512 == 0 || round + 1 == rounds {
            assert!(held(&keyspace) == model, "seed {seed}, round {round}");
        }
    }
}

/// What is counted step by step is what a walk finds, in either encoding.
fn check_bytes(keyspace: &Keyspace) {
    let stripe = keyspace.lock(0);
    let Some(entry) = stripe.get(DB, KEY, keyspace.hash(KEY)) else { return };
    let hash = entry.hash().expect("it is a hash");
    let outside = match hash.0 {
        Kept::Packed(list, apart) => {
            assert_eq!(listpack::count(list), listpack::items(list).count());
            // Two counts and a `Vec`, then the list.
            apart.map_or(0, |list| size_class(16 + 24) + size_class(list.capacity()))
        }
        Kept::Large(fields) => {
            fields.check();
            fields.bytes() as usize
        }
    };
    // A header, the key, and the list or a word; with a long list its length in four bytes.
    let inside = match hash.0 {
        Kept::Packed(list, None) => list.len() + if list.len() > 255 { 4 } else { 0 },
        Kept::Packed(_, Some(_)) | Kept::Large(_) => 8,
    };
    let bytes = size_class(8 + KEY.len() + inside) + outside;
    assert_eq!(entry.memory_bytes(), bytes);
    // The table has been told of all that its one entry has become.
    let table = &stripe.part(DB).expect("a key is there").table;
    assert_eq!(table.bytes(), table.overhead_bytes() - 8 + bytes as u64);
}

#[test]
fn a_hash_is_what_a_map_would_be() {
    let small = HashLimits { entries: 20, value_bytes: 64 };
    let never = HashLimits { entries: 0, value_bytes: 64 };
    let long = HashLimits { entries: 1 << 20, value_bytes: 1 << 20 };
    run(1, HashLimits::default(), 10, 3_000);
    run(2, small, 60, 3_000);
    run(3, never, 300, 10_000);
    run(4, never, 5_000, 40_000);
    run(5, long, 40, 3_000);
    run(6, long, 500, 3_000);
}

pub(super) fn large(len: u32) -> NewHash {
    let limits = HashLimits { entries: 0, value_bytes: 0 };
    let mut hash = keyspace().new_hash(0, limits);
    for n in 0..len {
        assert!(hash.set(format!("field:{n}").as_bytes(), n.to_string().as_bytes()));
    }
    hash
}

#[test]
fn a_copy_does_not_change_with_the_original() {
    let mut hash = large(20_000);
    let copy = hash.clone();
    let before = contents(copy.view());
    let NewKept::Large(fields) = &mut hash.kept else { panic!("it is large") };
    for n in 0..20_000 {
        let field = format!("field:{n}");
        if n % 3 == 0 {
            assert!(fields.remove(field.as_bytes(), &mut 0));
        } else {
            assert!(!fields.set(field.as_bytes(), b"changed"));
            assert!(fields.set(format!("new:{n}").as_bytes(), b"new"));
        }
    }
    fields.check();
    assert!(contents(copy.view()) == before);
    assert_eq!(hash.view().len(), 20_000 - 6_667 + 13_333);
}

#[test]
fn it_shrinks_as_it_has_grown() {
    let mut hash = large(0);
    hash.set(b"x", b"");
    let least = hash.view().outside_bytes();
    let mut hash = large(100_000);
    let NewKept::Large(fields) = &mut hash.kept else { panic!("it is large") };
    for n in 0..100_000 {
        assert!(fields.remove(format!("field:{n}").as_bytes(), &mut 0));
    }
    fields.check();
    assert_eq!(fields.len(), 0);
    assert!(fields.bytes() < 3 * least as u64, "{} bytes are left", fields.bytes());
}

/// A listpack grows in small steps, and gives back what its fields took.
#[test]
fn a_list_takes_what_its_fields_need() {
    let keyspace = keyspace();
    let hash = keyspace.hash(KEY);
    let limits = HashLimits { entries: 512, value_bytes: 64 };
    let name = |n: usize| format!("field:{n:010}").into_bytes();
    let change = |edit: &mut dyn FnMut(&mut HashMut<'_>)| {
        let mut stripe = keyspace.lock(hash.stripe);
        edit(&mut stripe.hash_mut(DB, KEY, hash, limits).expect("it is a hash"));
        let Some(entry) = stripe.get(DB, KEY, hash) else { return (0, 0) };
        let list = match entry.hash().expect("it is a hash").0 {
            Kept::Packed(list, _) => list.len(),
            Kept::Large(_) => panic!("it stays a list"),
        };
        (list, entry.memory_bytes())
    };
    for n in 0..512 {
        let (list, bytes) = change(&mut |edit| assert!(edit.set(&name(n), &[b'v'; 16])));
        assert!(bytes <= list + list / 4 + 512, "{n}: {bytes} for a list of {list}");
    }
    for n in 1..512 {
        let (list, bytes) = change(&mut |edit| assert!(edit.remove(&name(n))));
        assert!(bytes <= list + list / 2 + 512, "{n}: {bytes} for a list of {list}");
    }
    let (list, bytes) = change(&mut |edit| assert!(!edit.set(&name(0), b"x")));
    assert!(bytes < list + 100, "{bytes} for a list of {list}");
    check_bytes(&keyspace);
}

/// The limit of entries holds for what is overwritten too, in the entry and apart from it: a
/// list made under a higher one is a table from then on, in Redis and here.
#[test]
fn a_list_over_a_lowered_limit_is_a_table_once_it_is_set() {
    let high = HashLimits { entries: 512, value_bytes: 64 };
    for fields in [5, 400] {
        for (limit, new, large) in
            [(fields, "x", false), (fields, "xyz", false), (2, "x", true), (2, "xyz", true)]
        {
            let keyspace = keyspace();
            let hash = keyspace.hash(KEY);
            let mut stripe = keyspace.lock(hash.stripe);
            let mut edit = stripe.hash_mut(DB, KEY, hash, high).expect("it is a hash");
            for n in 0..fields {
                assert!(edit.set(n.to_string().as_bytes(), b"v"));
            }
            drop(edit);
            let low = HashLimits { entries: limit, value_bytes: 64 };
            let mut edit = stripe.hash_mut(DB, KEY, hash, low).expect("it is a hash");
            assert!(!edit.set(b"3", new.as_bytes()));
            drop(edit);
            let entry = stripe.get(DB, KEY, hash).expect("it is there");
            let view = entry.hash().expect("it is a hash");
            assert_eq!(matches!(view.0, Kept::Large(_)), large, "{fields} {limit} {new}");
            assert_eq!(view.len(), fields as u64);
            let mut scratch = itoa::Buffer::new();
            assert_eq!(view.get(b"3").expect("it is there").bytes(&mut scratch), new.as_bytes());
        }
    }
}

#[test]
fn a_removal_looks_once() {
    let keyspace = keyspace();
    let hash = keyspace.hash(KEY);
    let mut stripe = keyspace.lock(hash.stripe);
    let limits = HashLimits { entries: 0, value_bytes: 64 };
    let mut edit = stripe.hash_mut(DB, KEY, hash, limits).expect("it is a hash");
    for n in 0..1000 {
        edit.set(format!("field:{n}").as_bytes(), b"");
    }
    let before = HASHED.get();
    for n in 0..500 {
        assert!(edit.remove(format!("field:{n}").as_bytes()));
        assert!(!edit.remove(format!("field:{n}").as_bytes()));
    }
    assert_eq!(HASHED.get() - before, 1000);
}

/// A record with another value stands in its place, behind the others or in another arena, and
/// what it has left is given back.
#[test]
fn values_of_all_lengths_replace_each_other() {
    let lengths = [0, 1, 100, 253, 254, 511, 512, 513, 2000];
    let mut rng = fastrand::Rng::with_seed(9);
    let name = |n: usize| [vec![b'f'; lengths[n % lengths.len()]], n.to_string().into()].concat();
    for fields in [1, 2, 20] {
        let mut hash = large(0);
        let mut model = Model::new();
        for round in 0..4000 {
            let name = name(rng.usize(..fields));
            let value = vec![rng.u8(..); lengths[rng.usize(..lengths.len())]];
            hash.set(&name, &value);
            model.insert(name, value);
            let NewKept::Large(fields_now) = &hash.kept else { panic!("it is large") };
            fields_now.check();
            if round % 64 == 0 {
                assert!(contents(hash.view()) == model, "{fields} fields, round {round}");
            }
        }
        let fill = |hash: &mut NewHash, len: usize| {
            for n in 0..fields {
                hash.set(&name(n), &vec![b'v'; len]);
            }
            hash.view().outside_bytes()
        };
        let (full, empty) = (fill(&mut hash, 512), fill(&mut hash, 0));
        assert!(full - empty > fields * 256, "{full} bytes, then {empty}");
    }
}

/// A hash of few fields is one segment: what it takes must fall as they go, whichever goes first.
#[test]
fn the_order_of_going_does_not_matter() {
    for newest_first in [false, true] {
        let mut hash = large(0);
        let names: Vec<String> = (0..100).map(|n| format!("f{n}")).collect();
        for name in &names {
            hash.set(name.as_bytes(), &[b'v'; 100]);
        }
        let NewKept::Large(fields) = &mut hash.kept else { panic!("it is large") };
        let full = fields.bytes();
        let go = |n: usize| if newest_first { &names[99 - n] } else { &names[n] };
        for n in 0..99 {
            assert!(fields.remove(go(n).as_bytes(), &mut 0));
        }
        fields.check();
        assert!(full - fields.bytes() > 99 * 100, "{full} bytes, then {}", fields.bytes());
    }
}

#[test]
fn each_number_has_its_field() {
    let hash = large(5000);
    let all: Vec<Vec<u8>> = hash.view().iter().map(|(field, _)| owned(field)).collect();
    for (nth, field) in all.iter().enumerate() {
        assert_eq!(&owned(hash.view().nth(nth as u64).0), field);
    }
}

#[test]
fn texts_of_any_length_are_kept() {
    let mut hash = large(0);
    let lengths = [0, 1, 253, 254, 255, 511, 512, 513, 5000, 3 << 20];
    for a in lengths {
        for b in lengths {
            let field = [vec![b'f'; a], b.to_string().into_bytes()].concat();
            assert!(hash.set(&field, &vec![1; b]));
            assert!(!hash.set(&field, &vec![2; b]));
        }
    }
    for (field, value) in hash.view().iter() {
        let field = owned(field);
        let text = String::from_utf8(field).expect("ASCII");
        let len: usize = text.trim_start_matches('f').parse().expect("a number");
        assert!(owned(value) == vec![2; len]);
    }
    assert_eq!(hash.view().value_len(b"0"), 0);
    assert_eq!(hash.view().value_len(b"5000"), 5000);
}

/// Bytes of a key of 14 with so many fields of 7 and values of `value_len`.
fn entry_bytes(fields: usize, value_len: usize) -> usize {
    let keyspace = keyspace();
    let key = b"h:000000000001";
    let hash = keyspace.hash(key);
    let mut stripe = keyspace.lock(0);
    let mut edit = stripe.hash_mut(DB, key, hash, HashLimits::default()).expect("it is a hash");
    for n in 0..fields {
        edit.set(format!("field:{n}").as_bytes(), &vec![b'v'; value_len]);
    }
    drop(edit);
    stripe.get(DB, key, hash).expect("it is there").memory_bytes()
}

#[test]
fn a_small_hash_takes_little_more_than_its_texts() {
    // 8 bytes of header, the key, a byte for each text; then the next size class.
    assert_eq!(entry_bytes(1, 8), 48);
    assert_eq!(entry_bytes(10, 8), 192);
    assert_eq!(entry_bytes(10, 14), 256);
    assert_eq!(entry_bytes(10, 15), 320);
}

/// What a change says that it has let go of is what the copy has for itself afterwards.
#[test]
fn what_a_copy_alone_still_needs_is_told() {
    let mut rng = fastrand::Rng::with_seed(9);
    for (fields_max, changes) in [(3000, 60), (3000, 20_000), (200, 400), (30_000, 3000)] {
        let mut fields = Fields::new(crate::hash::Hasher::TEST);
        let value_of = |rng: &mut fastrand::Rng| {
            let len = if rng.u8(..) < 20 { rng.usize(500..3000) } else { rng.usize(0..40) };
            vec![b'v'; len]
        };
        for n in 0..fields_max {
            fields.set(format!("field:{n}").as_bytes(), &value_of(&mut rng));
        }
        let copy = fields.clone();
        assert_eq!(copy.unshared_bytes(), 0);
        let mut shed = 0;
        for n in 0..changes {
            let field = format!("field:{}", rng.u32(0..fields_max * 2));
            // More come at first, more go later.
            if rng.u32(0..changes) > n {
                fields.set_and_shed(field.as_bytes(), &value_of(&mut rng), &mut shed);
            } else {
                fields.remove(field.as_bytes(), &mut shed);
            }
            if n == 0 {
                assert!((1..60_000).contains(&shed), "one change copies little: {shed}");
            }
        }
        assert_eq!(shed, copy.unshared_bytes(), "{fields_max} fields, {changes} changes");
        assert!(shed <= copy.bytes());
        fields.check();
        copy.check();
        drop(copy);
        assert_eq!(
            fields.unshared_bytes(),
            fields.bytes() - size_class(size_of::<Fields>()) as u64
        );
    }
}
