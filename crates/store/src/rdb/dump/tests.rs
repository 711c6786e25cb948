//! Against payloads that stock Redis 7.0.15 made (`tests/data/dumps.txt`: value and payload in
//! hexadecimal).

use super::*;
use crate::rdb::{TYPE_HASH_LISTPACK, TYPE_HASH_ZIPLIST, TYPE_HASH_ZIPMAP};
use crate::{HashLimits, Keyspace, StringRef};

fn string(bytes: &[u8]) -> ValueRef<'_> {
    ValueRef::String(StringRef::Inline(bytes))
}

fn unhex(text: &str) -> Vec<u8> {
    let text = text.trim_matches('-');
    assert_eq!(text.len() % 2, 0);
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// Redis's own pairs of value and payload.
fn pairs() -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs: Vec<_> = include_str!("../../../tests/data/dumps.txt")
        .lines()
        .map(|line| line.split_once(' ').expect("two columns"))
        .map(|(value, payload)| (unhex(value), unhex(payload)))
        .collect();
    assert!(pairs.len() > 70);
    pairs
}

/// A payload that holds a string, if any.
fn restore(payload: &[u8], check_sum: bool) -> Result<StringValue<'_>, RestoreError> {
    match super::restore(payload, check_sum, new_hash)? {
        Restored::String(value) => Ok(value),
        Restored::Hash(hash) => panic!("not a string: {hash:?}"),
    }
}

fn new_hash(len: u64) -> NewHash {
    Keyspace::new(1, 0, [1, 2]).new_hash(len, HashLimits::default())
}

fn as_bytes(value: &StringValue<'_>) -> Vec<u8> {
    value.bytes(&mut itoa::Buffer::new()).to_vec()
}

#[test]
fn payloads_equal_those_of_redis() {
    let mut compressed = 0;
    for (value, payload) in pairs() {
        assert_eq!(dump(string(&value), true), payload, "{value:?}");
        if let Some(number) = tandem_base::num::parse_i64(&value) {
            assert_eq!(dump(ValueRef::String(StringRef::Int(number)), true), payload, "{number}");
        }
        compressed += usize::from(payload[1] == 0xc3);
    }
    assert!(compressed > 20, "{compressed}");
}

#[test]
fn payloads_of_redis_are_restored() {
    for (value, payload) in pairs() {
        let restored = restore(&payload, true).expect("made by Redis");
        assert_eq!(as_bytes(&restored), value);
        let plain = dump(string(&value), false);
        assert_eq!(as_bytes(&restore(&plain, true).expect("our own")), value);
    }
}

#[test]
fn a_damaged_or_newer_payload_is_refused() {
    let good = dump(string(b"hello, hello, hello, hello"), true);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert_eq!(restore(&bad, true), Err(RestoreError::VersionOrChecksum), "byte {at}");
    }
    for short in 0..good.len() {
        assert!(restore(&good[..short], true).is_err());
        // Without the checksum the value itself must be seen to be cut.
        assert!(short > 10 || restore(&good[..short], false).is_err());
    }
    let mut newer = good[..good.len() - 10].to_vec();
    newer.extend_from_slice(&(NEWEST_READ + 1).to_le_bytes());
    newer.extend_from_slice(&crc64(&newer).to_le_bytes());
    assert_eq!(restore(&newer, true), Err(RestoreError::VersionOrChecksum));
    assert_eq!(restore(&newer, false), Err(RestoreError::VersionOrChecksum));
}

#[test]
fn a_value_that_is_no_string_is_bad_data() {
    let sealed = |body: &[u8]| {
        let mut out = body.to_vec();
        out.extend_from_slice(&RDB_VERSION.to_le_bytes());
        out.extend_from_slice(&crc64(&out).to_le_bytes());
        out
    };
    let bodies: &[&[u8]] = &[
        b"",
        b"\x00",
        b"\x00\x05abc",
        b"\x00\xc3\x02\x09\x00a",
        b"\x00\xc4",
        b"\x00\x82",
        b"\x00\x80\xff\xff\xff\xffabc",
        b"\x00\x81\xff\xff\xff\xff\xff\xff\xff\xffabc",
        b"\xc8\x01a",
        b"\xff",
        b"\x01\x01\x01a",
    ];
    for body in bodies {
        assert_eq!(restore(&sealed(body), true), Err(RestoreError::BadFormat), "{body:?}");
    }
    assert_eq!(restore(&sealed(b"\x00\x01abc"), true), Ok(StringValue::Bytes(b"a")));
    assert_eq!(restore(b"", true), Err(RestoreError::VersionOrChecksum));
    assert_eq!(RestoreError::BadFormat.to_string(), "Bad data format");
}

/// As redis-cli showed them.
const HASH_PACKED: &[u8] = b"\x10@PP\x00\x00\x00\x0c\x00\x82f1\x03\x82v1\x03\x02\x01\x03\x01\
    \xf2\x90\xee\xfe\x04\xf4\x00\x1aq\x18\x02\x00\x00\x00\t\x84text\x05\x99a longer text with \
    spaces\x1a\x83007\x04\x82-0\x03\x80\x01\x80\x01\xff\n\x00\xaa\xc88*\xbe\xf3\x8e\"";
const HASH_LARGE: &[u8] =
    b"\x04\x02\xc3\t@F\x01yy\xe09\x00\x01yy\xc0\x01\x01f\xc3\t@d\x01xx\xe0W\x00\
    \x01xx\n\x00\x9c\xe8L\xe4&u\x9d\xba";

#[test]
fn hashes_of_redis_are_restored_and_given_back() {
    let mut own = new_hash(0);
    let pairs: [(&[u8], &[u8]); 6] = [
        (b"f1", b"v1"),
        (b"2", b"3"),
        (b"-70000", b"9000000000"),
        (b"text", b"a longer text with spaces"),
        (b"007", b"-0"),
        (b"", b""),
    ];
    for (field, value) in pairs {
        assert!(own.set(field, value));
    }
    let payload = dump(ValueRef::Hash(own.view()), true);
    assert_eq!(payload.escape_ascii().to_string(), HASH_PACKED.escape_ascii().to_string());
    for payload in [HASH_PACKED, HASH_LARGE] {
        let hash = super::restore(payload, true, new_hash).expect("made by Redis");
        let Restored::Hash(hash) = hash else { panic!("not a hash") };
        assert_eq!(hash.view().is_packed(), payload == HASH_PACKED);
        assert_eq!(dump(ValueRef::Hash(hash.view()), true).len(), payload.len());
        assert_eq!(hash.view().len(), if payload == HASH_PACKED { 6 } else { 2 });
    }
}

#[test]
fn a_hash_that_says_a_field_twice_is_refused() {
    for body in [
        &b"\x04\x02\x01a\x01b\x01a\x01c"[..],
        b"\x04\x00",
        b"\x04\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01a\x01b",
        b"\x10\x07\x07\0\0\0\0\0\xff",
        b"\x10\x0f\x0f\0\0\0\x04\0\x01\x01\x02\x01\x01\x01\x02\x01\xff",
    ] {
        let mut payload = body.to_vec();
        payload.extend_from_slice(&RDB_VERSION.to_le_bytes());
        payload.extend_from_slice(&crc64(&payload).to_le_bytes());
        let error = super::restore(&payload, true, new_hash).expect_err("refused");
        assert_eq!(error, RestoreError::BadFormat);
    }
}

#[test]
fn a_hash_of_a_claimed_gigabyte_is_refused_before_it_is_unpacked() {
    for value_type in [TYPE_HASH_ZIPMAP, TYPE_HASH_ZIPLIST, TYPE_HASH_LISTPACK] {
        // 1 GiB and a byte in 14,000,000 zeros, all of them runs that LZF can make.
        let mut payload = vec![value_type, 0xc3, 0x80];
        let packed = [&[0x00, b'x'][..], &[0xff, 0xff, 0x00].repeat(5_000_000)].concat();
        payload.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        payload.extend_from_slice(&[0x80, 0x40, 0x00, 0x00, 0x01]);
        payload.extend_from_slice(&packed);
        payload.extend_from_slice(&RDB_VERSION.to_le_bytes());
        payload.extend_from_slice(&[0; 8]);
        let refused = super::restore(&payload, false, new_hash).err();
        assert_eq!(refused, Some(RestoreError::BadFormat));
    }
}
