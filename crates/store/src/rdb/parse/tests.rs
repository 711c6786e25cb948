//! Files of stock Redis 7.0.15 (`tests/data`), files by hand, and every way to cut them.

use super::*;
use crate::StringRef;
use crate::listpack;
use crate::rdb::{lzf, write};
use tandem_base::DbIndex;

const STRINGS: &[u8] = include_bytes!("../../../tests/data/strings.rdb");
const EMPTY: &[u8] = include_bytes!("../../../tests/data/empty.rdb");
const LRU: &[u8] = include_bytes!("../../../tests/data/lru.rdb");
const LFU: &[u8] = include_bytes!("../../../tests/data/lfu.rdb");
const HASHES: &[u8] = include_bytes!("../../../tests/data/hashes.rdb");
const LIST_UNSUMMED: &[u8] = include_bytes!("../../../tests/data/list-unsummed.rdb");

/// All events as one line of text each, whatever form the values came in.
fn told_by(feed: impl FnOnce(&mut Parser, &mut Log) -> Result<(), RdbError>) -> Told {
    let mut parser = Parser::new(Options::default());
    let mut log = Log::default();
    let result = feed(&mut parser, &mut log);
    let result = result.and_then(|()| parser.finish());
    (log.lines, result.err())
}

type Told = (Vec<String>, Option<RdbError>);

#[derive(Default)]
struct Log {
    lines: Vec<String>,
}

impl Sink for Log {
    fn take(&mut self, event: Event<'_>, end: u64) -> Result<(), String> {
        let line = match event {
            Event::Aux { key, value } => {
                format!("{end} aux {} {}", key.escape_ascii(), value.escape_ascii())
            }
            Event::Entry(entry) => {
                let mut scratch = itoa::Buffer::new();
                let key = entry.key.escape_ascii();
                let value = match &entry.value {
                    Value::String(value) => value.bytes(&mut scratch).escape_ascii().to_string(),
                    Value::Hash { list, .. } => pairs(list),
                };
                let (idle, uses) = (entry.idle_seconds, entry.frequency);
                format!("{end} entry {key} {value} {:?} {idle:?} {uses:?}", entry.expiry)
            }
            event => format!("{end} {event:?}"),
        };
        self.lines.push(line);
        Ok(())
    }
}

/// The fields and values of a listpack.
fn pairs(list: &[u8]) -> String {
    let mut scratch = itoa::Buffer::new();
    let mut text =
        |item: listpack::Item<'_>| item.text.bytes(&mut scratch).escape_ascii().to_string();
    listpack::items(list).map(&mut text).collect::<Vec<_>>().join(" ")
}

fn whole(file: &[u8]) -> Told {
    told_by(|parser, log| parser.feed(file, log).map(|_| ()))
}

fn in_pieces(file: &[u8], mut size: impl FnMut() -> usize) -> Told {
    told_by(|parser, log| {
        let mut rest = file;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(size().clamp(1, rest.len()));
            rest = after;
            if let Fed::Done { used } = parser.feed(piece, log)? {
                assert_eq!(used + rest.len(), piece.len() + rest.len(), "bytes behind the end");
                break;
            }
        }
        Ok(())
    })
}

/// A small generator with a fixed seed.
fn random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    move |below| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    }
}

fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    let mut crc = crate::rdb::crc64::Crc64::new();
    crc.update(&body);
    write::footer(&mut body, Some(crc));
    body
}

/// A file of version 10 around `items`.
fn file(items: &[u8]) -> Vec<u8> {
    sealed([b"REDIS0010", items].concat())
}

/// Everything that our writer makes, with values on both sides of every limit.
fn our_file() -> Vec<u8> {
    let mut out = Vec::new();
    write::header(&mut out);
    write::aux(&mut out, b"redis-ver", b"7.0.15");
    write::select_db(&mut out, DbIndex(0));
    write::resize_db(&mut out, 70_000, 1);
    let mut next = random(3);
    for length in [0, 1, 63, 64, 16383, 16384, value::BIG_BYTES - 1, value::BIG_BYTES, 100_000] {
        let noise: Vec<u8> = (0..length).map(|_| next(256) as u8).collect();
        let text: Vec<u8> = (0..length).map(|at| (at / 9 % 26) as u8 + b'a').collect();
        for value in [&noise, &text] {
            for compress in [false, true] {
                let key = format!("key:{length}:{compress}");
                let expiry = (length % 2 == 1).then_some(UnixMs(-5));
                let value = StringRef::Inline(value);
                write::string_entry(&mut out, key.as_bytes(), value, expiry, compress);
            }
        }
    }
    write::select_db(&mut out, DbIndex(9999));
    for number in [0, -1, 300, -70_000, i64::MIN] {
        write::string_entry(&mut out, b"n", StringRef::Int(number), None, true);
    }
    sealed(out)
}

#[test]
fn a_file_of_redis_says_what_was_stored() {
    let (lines, error) = whole(STRINGS);
    assert_eq!(error, None);
    assert_eq!(lines[0], "9 Version(10)");
    assert!(lines.contains(&"27 aux redis-ver 7.0.15".to_owned()));
    let has = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(has("entry soon x Some(UnixMs(4102444800123)) None None"));
    assert!(has("entry gone x Some(UnixMs("));
    assert!(has("entry 1234 key is a number None"));
    assert!(has("entry -70000 so is this Some(UnixMs(4102444800000))"));
    assert!(has(&format!("entry {} a compressible key None", "k".repeat(70))));
    assert!(has(&format!("entry longer {} None", "0123456789abcdef".repeat(4000))));
    assert!(has("entry key:16 -9223372036854775808 None"));
    assert!(has("Function([35, 33, 108, 117, 97"));
    assert!(has("ResizeDb { keys: 43, expires: 3 }"));
    assert!(has("entry in db15 None"));
    assert_eq!(lines.iter().filter(|line| line.contains(" entry ")).count(), 45);
    assert_eq!(lines.last(), Some(&format!("{} Eof(Good)", STRINGS.len())));
}

#[test]
fn idle_times_and_frequencies_come_with_their_entry() {
    let (lines, error) = whole(LRU);
    assert_eq!(error, None);
    assert!(lines.iter().any(|line| line.contains("entry a 1 None Some(0) None")), "{lines:?}");
    let (lines, error) = whole(LFU);
    assert_eq!(error, None);
    let b = lines.iter().find(|line| line.contains("entry b two Some(UnixMs(4102444800000)) None"));
    assert!(b.is_some_and(|line| line.ends_with("Some(5)")), "{lines:?}");
    // What was said of one entry is not said of the next.
    let items = b"\xf8\x07\xf9\x08\xfc\x09\0\0\0\0\0\0\0\x00\x01a\x01b\x00\x01c\x01d";
    let (lines, error) = whole(&file(items));
    assert_eq!(error, None);
    assert_eq!(lines[1], "27 entry a b Some(UnixMs(9)) Some(7) Some(8)");
    assert_eq!(lines[2], "32 entry c d None None None");
}

#[test]
fn any_cut_gives_the_same_events() {
    let ours = our_file();
    let mut next = random(1);
    for file in [STRINGS, EMPTY, LRU, LFU, HASHES, &ours] {
        let expected = whole(file);
        assert_eq!(expected.1, None);
        for size in [1, 2, 3, 7, 100, 4096, 65_536] {
            if file.len() < 50_000 || size > 3 {
                assert!(in_pieces(file, || size) == expected, "pieces of {size}");
            }
        }
        for round in 0..60 {
            let most = [4, 40, 400, 4000, 40_000, 400_000][round % 6];
            assert!(in_pieces(file, || 1 + next(most)) == expected, "round {round}");
        }
    }
}

#[test]
fn every_truncation_is_seen_and_nothing_is_made_up() {
    let (lines, _) = whole(STRINGS);
    for length in (0..STRINGS.len()).filter(|at| at % 7 == 0 || *at < 700) {
        for (some, error) in [whole(&STRINGS[..length]), in_pieces(&STRINGS[..length], || 50)] {
            let error = error.expect("its end is missing");
            assert_eq!(error.cause, Cause::UnexpectedEof);
            assert!(error.offset <= length as u64);
            assert!(lines.starts_with(&some), "cut at {length}");
        }
    }
    let error = whole(&STRINGS[..300]).1.expect("cut");
    // As `redis-check-rdb` reports this very cut.
    assert_eq!(error.doing, Doing::ReadValue);
    assert_eq!(error.value_type, Some(0));
    assert!(error.to_string().ends_with("Unexpected EOF reading RDB file"));
}

#[test]
fn a_cut_in_a_big_value_names_its_key() {
    let mut out = b"REDIS0010".to_vec();
    let big = vec![b'x'; 100_000];
    write::string_entry(&mut out, b"big", StringRef::Inline(&big), None, false);
    let error = whole(&out[..70_000]).1.expect("cut");
    assert_eq!(error.key.as_deref(), Some(&b"big"[..]));
    assert_eq!(error.offset, 9 + 1 + 4 + 5);
}

#[test]
fn the_versions_of_redis_are_read_and_no_newer_ones() {
    for version in 1..=11u16 {
        let mut file = format!("REDIS{version:04}").into_bytes();
        file.extend_from_slice(b"\xfe\x00\x00\x01a\x01b\xfd\x10\0\0\0\x00\x01c\xc0\x05\xff");
        if version >= 5 {
            file.extend_from_slice(&[0; 8]);
        }
        let (lines, error) = whole(&file);
        assert_eq!(error, None, "version {version}");
        assert!(lines[3].contains("entry c 5 Some(UnixMs(16000))"), "{lines:?}");
        let sum = if version >= 5 { "Disabled" } else { "None" };
        assert_eq!(lines[4], format!("{} Eof({sum})", file.len()));
    }
    for (header, text) in [
        (b"REDIS0012", "Can't handle RDB format version 12"),
        (b"REDIS0000", "Can't handle RDB format version 0"),
        (b"REDISabcd", "Can't handle RDB format version 0"),
        (b"REDIS-001", "Can't handle RDB format version -1"),
        (b"RUBIS0010", "Wrong signature trying to load DB from file"),
    ] {
        let error = whole(header).1.expect("not ours");
        assert_eq!((error.to_string().as_str(), error.offset), (text, 9));
    }
}

#[test]
fn every_length_form_is_read() {
    let items: &[&[u8]] = &[
        b"\x00\x01a\x03abc",
        b"\x00\x40\x01a\x40\x03abc",
        b"\x00\x80\0\0\0\x01a\x80\0\0\0\x03abc",
        b"\x00\x81\0\0\0\0\0\0\0\x01a\x81\0\0\0\0\0\0\0\x03abc",
        b"\x00\x01a\xc3\x04\x03\x02abc",
    ];
    for items in items {
        let (lines, error) = whole(&file(items));
        assert_eq!(error, None);
        assert!(lines[1].contains("entry a abc None"), "{lines:?}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let cases: &[(&[u8], u64, &str)] = &[
        (b"\x00\x01a\x82", 13, "Unknown length encoding 2 in rdbLoadLen()"),
        (b"\x00\x01a\xc4", 13, "Unknown RDB string encoding type 4"),
        (b"\x00\x01a\xc3\x02\x05\x00a", 17, "Invalid LZF compressed string"),
        (
            b"\x00\x01a\xc3\x02\x81\x7f\xff\xff\xff\xff\xff\xff\xff\x00a",
            25,
            "Invalid LZF compressed string",
        ),
        (b"\x02\x01a", 12, "RDB encoding type 2 (set-hashtable) is not supported"),
        (b"\x10\x01a\x03abc", 16, "Hash listpack integrity check failed."),
        (b"\x0d\x01a\x03abc", 16, "Hash ziplist integrity check failed."),
        (b"\x09\x01a\x03abc", 16, "Zipmap integrity check failed."),
        (b"\x08\x01a", 10, "Unknown RDB encoding type 8"),
        (b"\x14\x01a", 10, "Unknown RDB encoding type 20"),
        (b"\xf4\x01a", 10, "Unknown RDB encoding type 244"),
        (b"\xf7\x01\x01\x00", 13, "bad when_opcode"),
    ];
    for (items, offset, text) in cases {
        let file = file(items);
        for (lines, error) in [whole(&file), in_pieces(&file, || 1)] {
            let error = error.expect("it is wrong");
            assert_eq!(error.offset, *offset, "{text}");
            let expected = format!("Internal error in RDB reading offset {offset} -> {text}");
            assert_eq!(error.to_string(), expected);
            assert_eq!(lines.len(), 1, "nothing is handed out: {lines:?}");
        }
    }
    let error = whole(LIST_UNSUMMED).1.expect("it holds a list");
    assert_eq!(error.cause, Cause::UnsupportedType(18));
    assert_eq!((error.key.as_deref(), error.value_type), (Some(&b"l"[..]), Some(18)));
    let mut bad = STRINGS.to_vec();
    *bad.last_mut().expect("not empty") ^= 1;
    let error = whole(&bad).1.expect("its checksum is wrong");
    assert!(matches!(error.cause, Cause::Checksum { expected, got } if expected != got));
    let mut lax = Parser::new(Options { check_sum: false, ..Options::default() });
    assert_eq!(lax.feed(&bad, &mut Log::default()), Ok(Fed::Done { used: bad.len() }));
}

#[test]
fn a_claimed_length_takes_no_memory() {
    for length in [u32::MAX as u64, 1 << 40, i64::MAX as u64, u64::MAX] {
        for head in [&b"\x00\x81"[..], b"\x00\x01a\x81", b"\xfa\x01a\x81", b"\xf5\x81"] {
            let mut file = [b"REDIS0010", head].concat();
            file.extend_from_slice(&length.to_be_bytes());
            file.extend_from_slice(&[b'x'; 1000]);
            let mut parser = Parser::new(Options::default());
            let mut log = Log::default();
            assert_eq!(parser.feed(&file, &mut log), Ok(Fed::Wants));
            let gathered = parser.gather.as_ref().map_or(0, |gather| gather.bytes.capacity());
            assert!(parser.carry.capacity() + gathered < 8192);
            let error = parser.finish().expect_err("the end is missing");
            assert_eq!(error.cause, Cause::UnexpectedEof);
            assert_eq!(error.offset, 9 + head.len() as u64 + 8);
        }
    }
}

#[test]
fn modules_and_functions_are_passed_by() {
    let id: u64 = 0x1234_5678_9abc_d000;
    let mut items = b"\xf7\x81".to_vec();
    items.extend_from_slice(&id.to_be_bytes());
    items.extend_from_slice(b"\x02\x01");
    items.extend_from_slice(b"\x01\x07\x02\x40\x80\x03abcd\x04abcdefgh\x05\x03abc\x05\xc0\x07\x00");
    items.extend_from_slice(b"\xf6\x03lib\x03LUA\x01\x04desc\x04code\x00\x01k\x01v");
    let file = file(&items);
    let expected = whole(&file);
    assert_eq!(expected.1, None);
    assert_eq!(expected.0.len(), 5, "{:?}", expected.0);
    assert!(expected.0[1].contains("ModuleAux"));
    assert!(expected.0[2].contains(&format!("Function({:?})", b"#!LUA name=lib\ncode")));
    assert!(expected.0[3].contains("entry k v"));
    assert!(in_pieces(&file, || 1) == expected);
}

#[test]
fn bytes_behind_the_end_are_left_alone() {
    let mut file = file(b"\x00\x01k\x01v");
    let length = file.len();
    file.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
    for cut in [1, 20, length - 1, length] {
        let mut parser = Parser::new(Options::default());
        let mut log = Log::default();
        let (head, tail) = file.split_at(cut);
        let first = parser.feed(head, &mut log).expect("good");
        let used = match first {
            Fed::Wants => 0,
            Fed::Done { used } => used,
        };
        assert_eq!(used, if cut == length { length } else { 0 });
        let second = parser.feed(tail, &mut log).expect("good");
        assert_eq!(second, Fed::Done { used: length - cut });
        assert!(parser.is_done());
        assert_eq!(parser.offset(), length as u64);
    }
}

#[test]
fn a_refusal_of_the_sink_ends_the_parse() {
    let file = file(b"\xfe\x40\xc8\x00\x01k\x01v");
    let mut seen = 0;
    let mut sink = |event: Event<'_>, _: u64| {
        seen += 1;
        if matches!(event, Event::SelectDb(200)) { Err("no such database".into()) } else { Ok(()) }
    };
    let mut parser = Parser::new(Options::default());
    let error = parser.feed(&file, &mut sink).expect_err("refused");
    assert_eq!(error.cause, Cause::Refused("no such database".into()));
    assert_eq!((error.offset, seen), (12, 2));
}

#[test]
fn a_big_value_keeps_the_memory_it_was_gathered_in() {
    let mut out = b"REDIS0010".to_vec();
    let text = b"abcdefgh".repeat(50_000);
    let noise: Vec<u8> = {
        let mut next = random(9);
        (0..300_000).map(|_| next(256) as u8).collect()
    };
    write::string_entry(&mut out, b"a", StringRef::Inline(&text), None, true);
    write::string_entry(&mut out, b"b", StringRef::Inline(&noise), None, true);
    let file = sealed(out);
    let mut owned = 0;
    let mut sink = |event: Event<'_>, _: u64| {
        if let Event::Entry(entry) = event {
            let Value::String(StringValue::Owned(value)) = entry.value else { panic!("not owned") };
            assert!(value == text || value == noise);
            assert!(value.capacity() <= value.len() + value.len() / 8);
            owned += 1;
        }
        Ok(())
    };
    let mut parser = Parser::new(Options::default());
    for piece in file.chunks(1000) {
        parser.feed(piece, &mut sink).expect("good");
    }
    assert_eq!((owned, parser.is_done()), (2, true));
    assert!(lzf::Compressor::new().compress(&noise, lzf::Effort::Quick).is_none());
}

#[test]
fn hashes_of_redis_are_read_in_all_their_forms() {
    let (lines, error) = whole(HASHES);
    assert_eq!(error, None);
    let has = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(has(
        "entry small f1 v1 2 3 -70000 9000000000 text a longer text with spaces 007 -0   "
    ));
    assert!(has("entry expiring a b Some(UnixMs(4102444800000))"));
    assert!(has("entry packed f0 abcabcabc0 f1 abcabcabc1 "));
    let many = lines.iter().position(|line| line.contains("key: [109, 97, 110, 121]"));
    let many = many.expect("a hash of 600 fields");
    assert!(lines[many].contains("BeginHash") && lines[many].contains("value: 600"));
    assert!(lines[many + 600].contains("Field"));
    assert!(lines[many + 601].contains("EndHash"));
}

#[test]
fn old_forms_of_hashes_are_read() {
    let cases: [(&[u8], &str); 4] = [
        (b"\x09\x01h\x0f\x02\x01a\x01\x00b\x02cc\x01\x02dxx\xff", "a b cc d"),
        (b"\x0d\x01h\x10\x10\0\0\0\x0d\0\0\0\x02\0\x00\x01a\x03\xf2\xff", "a 1"),
        (
            b"\x0d\x01h\x17\x17\0\0\0\x12\0\0\0\x02\0\x00\xd0\x70\xee\xfe\xff\x06\xc0\x2c\x01\
              \xff\xff\xff",
            "",
        ),
        (b"\x10\x01h\x0b\x0b\0\0\0\x02\0\x01\x01\x02\x01\xff", "1 2"),
    ];
    for (items, text) in cases {
        let (lines, error) = whole(&file(items));
        if text.is_empty() {
            assert!(error.is_some(), "bytes behind the end of a ziplist: {lines:?}");
            continue;
        }
        assert_eq!(error, None);
        assert!(lines[1].contains(&format!("entry h {text} None")), "{lines:?}");
    }
}

#[test]
fn a_hash_without_fields_is_no_key_and_one_twice_is_refused() {
    let empty: [&[u8]; 3] = [
        b"\x04\x01h\x00",
        b"\x10\x01h\x07\x07\0\0\0\0\0\xff",
        b"\x0d\x01h\x0b\x0b\0\0\0\x0a\0\0\0\0\0\xff",
    ];
    for items in empty {
        let items = [b"\xfc\x09\0\0\0\0\0\0\0", items, b"\x00\x01c\x01d"].concat();
        let (lines, error) = whole(&file(&items));
        assert_eq!(error, None);
        assert!(lines[1].contains("EmptyKey([104])"), "{lines:?}");
        assert!(lines[2].ends_with("entry c d None None None"), "{lines:?}");
    }
    let twice: [&[u8]; 4] = [
        b"\x10\x01h\x0f\x0f\0\0\0\x04\0\x01\x01\x02\x01\x01\x01\x02\x01\xff",
        // The number 1, and its text.
        b"\x10\x01h\x10\x10\0\0\0\x04\0\x01\x01\x02\x01\x811\x02\x02\x01\xff",
        b"\x10\x01h\x09\x09\0\0\0\x01\0\x01\x01\xff",
        b"\x09\x01h\x0c\x02\x01a\x01\x00b\x01a\x01\x00c\xff",
    ];
    for items in twice {
        let (_, error) = whole(&file(items));
        assert!(matches!(error.expect("refused").cause, Cause::Corrupt(_)));
    }
}

#[test]
fn a_parser_that_has_failed_is_not_done() {
    let good = file(b"\x00\x01k\x01v");
    let mut parser = Parser::new(Options::default());
    let error = parser.feed(b"REDIS0010\x08", &mut Log::default()).expect_err("no such type");
    assert_eq!(error.cause, Cause::UnknownType(8));
    for _ in 0..2 {
        assert!(!parser.is_done());
        assert_eq!(parser.finish().as_ref(), Err(&error));
        assert_eq!(parser.feed(&good, &mut Log::default()).as_ref(), Err(&error));
    }
    let mut parser = Parser::new(Options::default());
    assert_eq!(parser.feed(&good[..12], &mut Log::default()), Ok(Fed::Wants));
    let error = parser.finish().expect_err("it ends too early");
    assert_eq!(parser.finish(), Err(error.clone()));
    assert_eq!(parser.feed(&good[12..], &mut Log::default()), Err(error));
    assert!(!parser.is_done());
}

/// A small compressed text may claim gigabytes, and a listpack has one at most.
#[test]
fn a_hash_in_one_string_is_refused_for_its_claimed_length() {
    for (value_type, name) in
        [(b'\x09', "Zipmap"), (b'\x0d', "Hash ziplist"), (b'\x10', "Hash listpack")]
    {
        for form in [&b"\xc3\x41\x00\x80\x40\x00\x00\x01"[..], b"\x80\x40\x00\x00\x01"] {
            let items = [&[value_type, 1, b'a'], form, &[b'x'; 256]].concat();
            for (_, error) in [whole(&file(&items)), in_pieces(&file(&items), || 7)] {
                let error = error.expect("it claims more than a listpack has");
                let expected = format!("{name} integrity check failed.");
                assert_eq!(error.cause.to_string(), expected);
            }
        }
    }
}
