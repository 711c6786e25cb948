//! RDB files, DUMP payloads and compressed strings.

use std::collections::BTreeMap;

use fastrand::Rng;
use tandem_store::rdb::dump::Restored;
use tandem_store::rdb::parse::{
    Cause, Entry, Event, Fed, Options, Parser, RdbError, StringValue, Value,
};
use tandem_store::rdb::{crc64, dump, lzf, write};
use tandem_store::{HashLimits, Keyspace, NewHash, StringRef, ValueRef};

use super::Signature;
use crate::Target;

/// A file, whole and in pieces: the events are the same, an error has a place in the file, and
/// every entry survives being written and read again.
pub(super) const FILE: Target = Target {
    name: "rdb",
    words: &[
        b"REDIS0010",
        b"REDIS0003",
        b"\xfe\x00",
        b"\xfb\x01\x01",
        b"\xfa\x01a\x01b",
        b"\xfc\0\0\0\0\0\0\0\x10",
        b"\xfd\0\0\0\x10",
        b"\xf8\x09",
        b"\xf9\x09",
        b"\x00\x01k\x01v",
        b"\x00\x01k\xc0\x07",
        b"\x00\x01k\xc1\x07\x07",
        b"\x00\x01k\xc2\x07\x07\x07\x07",
        b"\xc3\x05\x0d\x00a\xe0\x03\x00",
        b"\x80\0\0\0\x03",
        b"\x81\0\0\0\0\0\0\0\x03",
        b"\xf5\x03lib",
        b"\xf6\x01a\x01b\x00\x01c",
        b"\xf7\x81abcdefgh\x02\x01",
        b"\x05\x03abc\x00",
        b"\x04\x01k\x02\x01a\x01b\xc0\x07\x01c",
        b"\x10\x01k\x0b\x0b\0\0\0\x02\0\x01\x01\x02\x01\xff",
        // An intset, a quicklist's node, a sorted set, a stream's counts.
        b"\x0b\x01k\x0c\x02\0\0\0\x02\0\0\0\x01\0\x02\0",
        b"\x12\x01k\x01\x02\x0b\x0b\0\0\0\x02\0\x01\x01\x02\x01\xff",
        b"\x05\x01k\x01\x01m\0\0\0\0\0\0\xf0\x3f",
        b"\x13\x01k\0\0\0\0\0\0\0\0\0\0",
        b"\xff\0\0\0\0\0\0\0\0",
    ],
    run: file,
};

/// A payload: with the right footer and as it comes.
pub(super) const RESTORE: Target = Target {
    name: "restore",
    words: &[
        b"\x00\xc0\x01",
        b"\x0a\x00",
        b"\xc3\x05\x0d\x00a\xe0\x03\x00",
        b"\x80\0\0\0\x03",
        b"\x04\x02\x01a\x01b\xc0\x07\x01c",
        // A listpack, a ziplist and a zipmap, each of a pair.
        b"\x10\x0b\x0b\0\0\0\x02\0\x01\x01\x02\x01\xff",
        b"\x0d\x10\x10\0\0\0\x0d\0\0\0\x02\0\x00\x01a\x03\xf2\xff",
        b"\x09\x07\x01\x01a\x01\0b\xff",
        b"\xf1\x00\x01\x03",
        b"\xf4\0\0\0\0\0\0\0\x01\x09",
        b"\xfe\x05",
    ],
    run: restore,
};

/// A compressed string, and the same bytes compressed.
pub(super) const LZF: Target =
    Target { name: "lzf", words: &[b"\x00a", b"\xe0\xff\x00", b"\x20\x00"], run: lzf };

/// An event without a lifetime, in a form that does not depend on where the input was cut.
#[derive(Debug, PartialEq)]
enum Told {
    Entry { key: Vec<u8>, value: Vec<u8>, rest: String, end: u64 },
    Other { text: String, kind: usize },
}

fn told(event: &Event<'_>, end: u64) -> Told {
    let Event::Entry(Entry { key, value: Value::String(value), expiry, idle_seconds, frequency }) =
        event
    else {
        let kind = match event {
            Event::SelectDb(_) => 1,
            Event::Aux { .. } => 2,
            Event::ResizeDb { .. } => 3,
            Event::Function(_) => 4,
            Event::ModuleAux(_) => 5,
            Event::Eof(_) => 6,
            Event::Entry(_) => 8,
            Event::BeginHash(_) => 9,
            Event::Field(..) => 10,
            Event::EndHash => 11,
            Event::EmptyKey(_) => 12,
            Event::Passed(_) => 13,
            _ => 7,
        };
        return Told::Other { text: format!("{end} {event:?}"), kind };
    };
    let value = value.bytes(&mut itoa::Buffer::new()).to_vec();
    let rest = format!("{expiry:?} {idle_seconds:?} {frequency:?}");
    Told::Entry { key: key.to_vec(), value, rest, end }
}

/// Parses `input` in pieces of sizes that `cut` gives.
fn parse(
    input: &[u8],
    options: Options,
    mut cut: impl FnMut() -> usize,
) -> (Vec<Told>, Result<usize, RdbError>) {
    let mut events = Vec::new();
    let mut parser = Parser::new(options);
    let mut sink = |event: Event<'_>, end: u64| {
        events.push(told(&event, end));
        Ok(())
    };
    let mut taken = 0;
    while taken < input.len() {
        let size = cut().clamp(1, input.len() - taken);
        match parser.feed(&input[taken..taken + size], &mut sink) {
            Ok(Fed::Wants) => taken += size,
            Ok(Fed::Done { used }) => {
                assert!(used <= size);
                return (events, Ok(taken + used));
            }
            Err(error) => return (events, Err(error)),
        }
    }
    let end = parser.finish();
    (events, end.map(|()| taken))
}

fn file(input: &[u8], rng: &mut Rng) -> u64 {
    // Mutated files hardly ever have the right checksum.
    let pass_others = input.len().is_multiple_of(2);
    let options = Options { check_sum: rng.u8(..8) == 0, pass_others, ..Options::default() };
    let (events, end) = parse(input, options, || usize::MAX);
    let most = [2, 16, 300, 5000][rng.usize(..4)];
    let pieces = parse(input, options, || rng.usize(1..most));
    assert_eq!(pieces, (events, end.clone()), "the cuts changed what the file says");
    let (events, _) = pieces;

    let mut signature = Signature::default();
    let mut last = 0;
    for event in &events {
        match event {
            Told::Entry { key, value, end, .. } => {
                assert!(last < *end, "offsets go forward");
                last = *end;
                signature.add_size(value.len());
                again(key, value);
            }
            Told::Other { kind, .. } => signature.add(100 + *kind as u64),
        }
    }
    match end {
        Ok(used) => {
            assert!(used <= input.len());
            signature.add(1);
        }
        Err(error) => {
            assert!(error.offset <= input.len() as u64, "{error}");
            assert!(!error.to_string().is_empty());
            signature.add(error.doing as u64);
            signature.add(hash_of(&error.cause));
        }
    }
    signature.0
}

/// Which error it is, without its numbers.
fn hash_of(cause: &Cause) -> u64 {
    match cause {
        Cause::WrongSignature => 1,
        Cause::Version(_) => 2,
        Cause::UnexpectedEof => 3,
        Cause::LengthEncoding(_) => 4,
        Cause::StringEncoding(_) => 5,
        Cause::Lzf => 6,
        Cause::UnknownType(_) => 7,
        Cause::UnsupportedType(_) => 8,
        Cause::ModuleWhen => 9,
        Cause::Checksum { .. } => 10,
        Cause::Corrupt(_) => 11,
        Cause::Refused(_) => 12,
    }
}

/// Writes an entry and reads it.
fn again(key: &[u8], value: &[u8]) {
    let mut out = Vec::new();
    write::header(&mut out);
    write::string_entry(&mut out, key, StringRef::Inline(value), None, true);
    let mut crc = crc64::Crc64::new();
    crc.update(&out);
    write::footer(&mut out, Some(crc));
    let (events, end) = parse(&out, Options::default(), || usize::MAX);
    assert_eq!(end, Ok(out.len()));
    let same = events.iter().any(
        |event| matches!(event, Told::Entry { key: k, value: v, .. } if k == key && v == value),
    );
    assert!(same, "an entry changed when it was written and read");
}

fn restore(input: &[u8], rng: &mut Rng) -> u64 {
    let mut sealed = input.to_vec();
    if rng.bool() {
        sealed.extend_from_slice(&10u16.to_le_bytes());
        sealed.extend_from_slice(&crc64::crc64(&sealed).to_le_bytes());
    }
    let mut signature = Signature::default();
    let keyspace = Keyspace::new(1, 0, [1, 2]);
    let limits = HashLimits { entries: rng.usize(..6), value_bytes: 64 };
    let new_hash = |len| keyspace.new_hash(len, limits);
    match dump::restore(&sealed, rng.u8(..4) != 0, new_hash) {
        Ok(Restored::String(value)) => {
            signature.add(10 + u64::from(matches!(value, StringValue::Int(_))));
            let mut scratch = itoa::Buffer::new();
            let bytes = value.bytes(&mut scratch);
            signature.add_size(bytes.len());
            let payload = dump::dump(ValueRef::String(StringRef::Inline(bytes)), true);
            let restored = dump::restore(&payload, true, new_hash).expect("our own payload");
            let Restored::String(restored) = restored else { panic!("it was a string") };
            assert_eq!(restored.bytes(&mut itoa::Buffer::new()), bytes);
        }
        Ok(Restored::Hash(hash)) => {
            signature.add(20 + u64::from(hash.view().is_packed()));
            signature.add_size(hash.view().len() as usize);
            let payload = dump::dump(ValueRef::Hash(hash.view()), true);
            let again = dump::restore(&payload, true, new_hash).expect("our own payload");
            let Restored::Hash(again) = again else { panic!("it was a hash") };
            assert_eq!(contents(&again), contents(&hash));
        }
        Err(error) => signature.add(1 + error as u64),
    }
    signature.0
}

/// All fields with their values; each can be found.
fn contents(hash: &NewHash) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let owned = |text: StringRef<'_>| text.bytes(&mut itoa::Buffer::new()).to_vec();
    let all: BTreeMap<Vec<u8>, Vec<u8>> =
        hash.view().iter().map(|(field, value)| (owned(field), owned(value))).collect();
    assert_eq!(all.len() as u64, hash.view().len(), "a field was there twice");
    for (field, value) in &all {
        assert_eq!(hash.view().get(field).map(owned).as_ref(), Some(value));
    }
    all
}

fn lzf(input: &[u8], rng: &mut Rng) -> u64 {
    let mut signature = Signature::default();
    let length = rng.usize(..2000);
    let mut out = b"before".to_vec();
    match lzf::decompress(input, length, &mut out) {
        Ok(()) => {
            assert_eq!(out.len(), 6 + length);
            signature.add_size(length);
        }
        Err(lzf::BadStream) => assert_eq!(out, b"before"),
    }
    let mut compressor = lzf::Compressor::new();
    for effort in [lzf::Effort::Quick, lzf::Effort::Liblzf] {
        let Some(packed) = compressor.compress(input, effort) else { continue };
        assert!(packed.len() + 4 <= input.len());
        signature.add_size(packed.len());
        out.clear();
        lzf::decompress(packed, input.len(), &mut out).expect("our own stream");
        assert!(out == input, "compression changed the bytes");
    }
    signature.0
}
