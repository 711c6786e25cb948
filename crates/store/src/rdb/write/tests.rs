//! Bytes as Redis 7.0.15 writes them.

use std::sync::Arc;

use super::*;

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

#[test]
fn lengths_take_their_shortest_form() {
    for (value, bytes) in [
        (0, &[0][..]),
        (63, &[63]),
        (64, &[0x40, 64]),
        (16383, &[0x7f, 0xff]),
        (16384, &[0x80, 0, 0, 0x40, 0]),
        (0xffff_ffff, &[0x80, 0xff, 0xff, 0xff, 0xff]),
        (0x1_0000_0000, &[0x81, 0, 0, 0, 1, 0, 0, 0, 0]),
    ] {
        assert_eq!(written(|out| length(out, value)), bytes, "{value}");
    }
}

#[test]
fn short_integer_texts_are_kept_as_integers() {
    for (text, bytes) in [
        ("0", &[0xc0, 0][..]),
        ("-128", &[0xc0, 0x80]),
        ("128", &[0xc1, 0x80, 0]),
        ("-32768", &[0xc1, 0, 0x80]),
        ("32768", &[0xc2, 0, 0x80, 0, 0]),
        ("-2147483648", &[0xc2, 0, 0, 0, 0x80]),
        ("2147483648", b"\x0a2147483648"),
        ("007", b"\x03007"),
        ("", b"\x00"),
    ] {
        let as_text = written(|out| raw_string(out, text.as_bytes(), Some(Effort::Quick)));
        assert_eq!(as_text, bytes, "{text}");
        if let Ok(value) = text.parse::<i64>()
            && value.to_string() == text
        {
            assert_eq!(written(|out| integer(out, value)), bytes, "{text} as an integer");
        }
    }
}

#[test]
fn an_entry_is_expiry_type_key_value() {
    let large = Arc::new(b"v".to_vec());
    let entry = written(|out| {
        string_entry(out, b"k", StringRef::Large(&large), Some(UnixMs(0x0102)), true);
        string_entry(out, b"n", StringRef::Int(-1), None, true);
    });
    assert_eq!(entry, b"\xfc\x02\x01\0\0\0\0\0\0\x00\x01k\x01v\x00\x01n\xc0\xff");
}

#[test]
fn an_empty_file_is_as_redis_writes_it() {
    let expected = include_bytes!("../../../tests/data/empty.rdb");
    let mut out = written(|out| {
        header(out);
        standard_aux(
            out,
            &AuxInfo {
                created: UnixMs(0x6b02_8d85 * 1000 + 999),
                used_memory_bytes: 0x0012_0838,
                replication: None,
                aof_base: false,
            },
        );
    });
    let mut crc = Crc64::new();
    crc.update(&out);
    footer(&mut out, Some(crc));
    assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[test]
fn the_place_in_the_stream_stands_between_memory_and_base() {
    let replication = AuxReplication {
        stream_db: DbIndex(3),
        id: ReplId([b'e'; 40]),
        offset: ReplOffset(1 << 40),
    };
    let out = written(|out| {
        standard_aux(
            out,
            &AuxInfo {
                created: UnixMs(0),
                used_memory_bytes: u64::MAX,
                replication: Some(replication),
                aof_base: true,
            },
        );
    });
    let tail = b"\xfa\x0erepl-stream-db\xc0\x03\xfa\x07repl-id\x28eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee\
        \xfa\x0brepl-offset\x0d1099511627776\xfa\x08aof-base\xc0\x01";
    assert!(out.ends_with(tail), "{}", out.escape_ascii());
}

#[test]
fn compression_happens_above_twenty_bytes_only() {
    let long = [b'a'; 21];
    let packed = written(|out| raw_string(out, &long, Some(Effort::Quick)));
    assert_eq!(packed[0], length::LZF);
    assert!(packed.len() < 21);
    assert_eq!(written(|out| raw_string(out, &long[..20], Some(Effort::Quick))).len(), 21);
    assert_eq!(written(|out| raw_string(out, &long, None)).len(), 22);
}
