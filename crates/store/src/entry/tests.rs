//! Entries: layouts, sizes, changes in place.

use super::view::same_bytes;
use super::*;

/// A value in a form that the tests can keep.
#[derive(Clone, Debug, PartialEq)]
enum Kept {
    Int(i64),
    Inline(Vec<u8>),
    Large(Vec<u8>),
}

impl Kept {
    fn value(&self) -> Value<'_> {
        match self {
            Kept::Int(number) => Value::Int(*number),
            Kept::Inline(bytes) => Value::Inline(bytes),
            Kept::Large(bytes) => Value::Large(Arc::new(bytes.clone())),
        }
    }

    fn of(value: StringRef<'_>) -> Kept {
        match value {
            StringRef::Int(number) => Kept::Int(number),
            StringRef::Inline(bytes) => Kept::Inline(bytes.to_vec()),
            StringRef::Large(bytes) => Kept::Large(bytes.to_vec()),
        }
    }
}

fn bytes(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|n| (n as u8).wrapping_mul(31) ^ salt).collect()
}

fn keys() -> Vec<Vec<u8>> {
    [0, 1, 7, 8, 9, 15, 16, 17, 40, 255, 256, 300, 70_000].map(|len| bytes(len, 1)).to_vec()
}

fn values() -> Vec<Kept> {
    let inline = [0, 1, 8, 9, 44, 45, 100, 255, 256, 257, 4096];
    let mut values: Vec<Kept> = inline.map(|len| Kept::Inline(bytes(len, 2))).to_vec();
    values.extend([Kept::Int(0), Kept::Int(i64::MIN), Kept::Large(bytes(10_000, 3))]);
    values
}

const EXPIRIES: [Option<UnixMs>; 3] = [None, Some(UnixMs(-5)), Some(UnixMs(i64::MAX))];
const STAMP: Stamp = Stamp { mark: 0xab, clock: 0x00cd_ef01 };

#[track_caller]
fn check(entry: &Entry, key: &[u8], value: &Kept, expiry: Option<UnixMs>) {
    let view = entry.view();
    assert_eq!(view.key(), key);
    assert!(view.key_is(key));
    assert_eq!(&Kept::of(view.string().unwrap()), value);
    assert_eq!(view.expiry(), expiry);
    assert_eq!(view.mark(), STAMP.mark);
    assert_eq!(view.access_clock(), STAMP.clock);
}

fn make(key: &[u8], value: &Kept, expiry: Option<UnixMs>) -> Entry {
    Entry::new(key, value.value(), expiry, false, STAMP)
}

#[test]
fn an_entry_holds_what_it_is_given() {
    for key in keys() {
        for value in values() {
            for expiry in EXPIRIES {
                check(&make(&key, &value, expiry), &key, &value, expiry);
            }
        }
    }
}

#[test]
fn any_value_can_follow_any_other() {
    let key = bytes(16, 1);
    for key in [&key[..], &bytes(300, 1)] {
        for old in values() {
            for new in values() {
                for (from, to) in EXPIRIES.iter().flat_map(|a| EXPIRIES.map(|b| (*a, b))) {
                    let entry = make(key, &old, from);
                    let (entry, _) = entry.replace_value(new.value(), to, false, STAMP.clock);
                    check(&entry, key, &new, to);
                }
            }
        }
    }
}

#[test]
fn expiry_and_key_change_alone() {
    for key in keys() {
        for value in values() {
            for (from, to) in EXPIRIES.iter().flat_map(|a| EXPIRIES.map(|b| (*a, b))) {
                let entry = make(&key, &value, from).with_expiry(to);
                check(&entry, &key, &value, to);
                let copy = Entry::copy_of(entry.view());
                let entry = entry.with_key(b"another key", STAMP);
                check(&entry, b"another key", &value, to);
                drop(entry);
                check(&copy, &key, &value, to);
            }
        }
    }
}

#[test]
fn a_large_value_is_shared_and_freed_once() {
    let value = Arc::new(bytes(10_000, 1));
    let entry = Entry::new(b"k", Value::Large(Arc::clone(&value)), None, false, STAMP);
    let copy = Entry::copy_of(entry.view());
    assert_eq!(Arc::strong_count(&value), 3);
    let copy = copy.with_key(b"another", STAMP).with_expiry(Some(UnixMs(1)));
    assert_eq!(Arc::strong_count(&value), 3);
    drop(entry);
    let (copy, old) = copy.replace_value(Value::Int(1), None, false, 0);
    drop(old);
    assert_eq!(Arc::strong_count(&value), 1);
    drop(copy);
}

#[test]
fn an_entry_takes_the_size_class_that_was_planned() {
    let size = |value: Kept| make(&[b'k'; 16], &value, None).view().memory_bytes();
    assert_eq!(size(Kept::Int(12_345_678)), 32);
    assert_eq!(size(Kept::Inline(vec![b'v'; 8])), 32);
    assert_eq!(size(Kept::Inline(vec![b'v'; 32])), 64);
    assert_eq!(size(Kept::Inline(vec![b'v'; 100])), 128);
    assert_eq!(size(Kept::Large(vec![b'v'; 8192])), 32 + 48 + 8192);
}

#[test]
fn encodings_are_named_as_in_redis() {
    let name = |value: Kept, shown_raw| {
        Entry::new(b"k", value.value(), None, shown_raw, STAMP).view().encoding_name()
    };
    assert_eq!(name(Kept::Int(1), false), "int");
    assert_eq!(name(Kept::Inline(vec![b'v'; 44]), false), "embstr");
    assert_eq!(name(Kept::Inline(vec![b'v'; 45]), false), "raw");
    assert_eq!(name(Kept::Inline(vec![b'v'; 3]), true), "raw");
    assert_eq!(name(Kept::Large(vec![b'v'; 5000]), false), "raw");
}

#[test]
fn the_clock_and_the_mark_do_not_disturb_each_other() {
    let entry = make(b"k", &Kept::Int(1), None);
    entry.view().touch(0xff12_3456);
    assert_eq!((entry.view().mark(), entry.view().access_clock()), (0xab, 0x0012_3456));
    entry.view().set_mark(1);
    assert_eq!((entry.view().mark(), entry.view().access_clock()), (1, 0x0012_3456));
}

#[test]
fn keys_are_compared_to_the_last_byte() {
    for len in 0..70 {
        let key = bytes(len, 9);
        assert!(same_bytes(&key, &key.clone()));
        for at in 0..len {
            let mut other = key.clone();
            other[at] ^= 1;
            assert!(!same_bytes(&key, &other), "byte {at} of {len}");
        }
        assert!(!same_bytes(&key, &bytes(len + 1, 9)));
    }
}
