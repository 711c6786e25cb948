//! Files made by hand, and cut and damaged ones.

use super::*;

const NOW_MS: i64 = 1_000_000_000_000;

fn surveyed(file: &[u8]) -> (Tally, Result<(), String>) {
    let mut tally = Tally::new(NOW_MS, 2);
    let outcome = walk::walk(&mut Reader::new(file), &mut tally);
    (tally, outcome)
}

/// A string with its length in front.
fn string(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).expect("short")], bytes].concat()
}

fn sample() -> Vec<u8> {
    let mut file = b"REDIS0010".to_vec();
    file.extend([&[0xfa][..], &string(b"redis-ver"), &string(b"7.0.15")].concat());
    file.extend([0xfe, 0, 0xfb, 3, 1]);
    // A number, with an expiry that is past.
    file.extend([&[0xfc][..], &1000u64.to_le_bytes(), &[0], &string(b"n"), &[0xc0, 200]].concat());
    // A list of one plain element and one listpack of two.
    let pack = [11, 0, 0, 0, 2, 0, 0x01, 1, 0x02, 1, 0xff];
    file.extend(
        [&[18][..], &string(b"l"), &[2, 1], &string(b"big"), &[2], &string(&pack)].concat(),
    );
    // A zset whose scores are eight bytes, in another database.
    file.extend([&[0xfe, 3, 5][..], &string(b"z\"\x00"), &[1], &string(b"m"), &[0; 8]].concat());
    // A stream with a group that has a consumer and something pending.
    file.extend([&[19][..], &string(b"s"), &[1], &string(&[0; 16]), &string(&pack)].concat());
    file.extend([5, 0, 0, 0, 0, 0, 0, 5, 1]);
    file.extend([&string(b"group")[..], &[0, 0, 0, 1], &[0; 24], &[1, 1]].concat());
    file.extend([&string(b"who")[..], &[0; 8], &[1], &[0; 16]].concat());
    file.extend([0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    file
}

#[test]
fn every_key_is_counted_by_what_it_is() {
    let (tally, outcome) = surveyed(&sample());
    assert_eq!(outcome, Ok(()));
    let counts: Vec<(&str, u64, u64)> =
        tally.kinds.iter().map(|(kind, group)| (kind.name(), group.keys, group.elements)).collect();
    assert_eq!(counts, [("string", 1, 3), ("list", 1, 3), ("zset", 1, 1), ("stream", 1, 5)]);
    assert_eq!(tally.dbs.keys().copied().collect::<Vec<_>>(), [0, 3]);
    assert_eq!((tally.total.expires, tally.total.expired, tally.times[0]), (1, 1, 1));
    let largest: Vec<&[u8]> = tally.largest.iter().map(|key| key.name.as_slice()).collect();
    assert_eq!(largest, [&b"s"[..], b"l"]);
    let text = report::text(&tally, "f", 9);
    assert!(text.starts_with("f: RDB version 10, 9 bytes, redis-ver 7.0.15\n"), "{text}");
    assert!(text.contains("quicklist-v2 1") && text.contains("int 1"), "{text}");
    let json = report::json(&tally, "f", 9);
    assert!(json.contains("\"databases\":{\"0\":{\"keys\":2,"), "{json}");
    assert!(json.contains("\"within_an_hour\":0"), "{json}");
}

#[test]
fn a_cut_file_gives_what_there_is_and_an_error() {
    let whole = sample();
    for end in 0..whole.len() - 8 {
        let (tally, outcome) = surveyed(&whole[..end]);
        if outcome.is_ok() {
            assert_eq!(tally.total.keys, 4, "cut at {end}");
            assert_eq!(end, whole.len() - 8);
        }
    }
    assert!(surveyed(b"RUBIS0010").1.is_err());
}

#[test]
fn damage_never_panics() {
    let whole = sample();
    for at in 9..whole.len() {
        for byte in [0, 0x7f, 0x80, 0x81, 0xc3, 0xff] {
            let mut bad = whole.clone();
            bad[at] = byte;
            // Any outcome will do but a panic or memory for what a length only claims.
            let _ = surveyed(&bad);
        }
    }
}
