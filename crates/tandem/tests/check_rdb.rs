//! The checker's output against that of stock `redis-check-rdb` 7.0.15 on the same bytes.

#[path = "../src/check_rdb.rs"]
#[expect(dead_code, reason = "`run` prints to standard output; its parts are what is tested")]
mod check_rdb;

use tandem_base::UnixMs;

const STRINGS: &[u8] = include_bytes!("../../store/tests/data/strings.rdb");
const LIST_UNSUMMED: &[u8] = include_bytes!("../../store/tests/data/list-unsummed.rdb");

fn checked(file: &[u8]) -> (String, bool) {
    let mut out = Vec::new();
    let sound = check_rdb::check(file, UnixMs(1_800_000_000_000), &mut out).expect("no I/O here");
    (String::from_utf8(out).expect("text"), sound)
}

#[test]
fn a_sound_file_is_told_as_redis_tells_it() {
    let (out, sound) = checked(STRINGS);
    assert!(sound);
    assert_eq!(
        out,
        "\
[offset 27] AUX FIELD redis-ver = '7.0.15'
[offset 41] AUX FIELD redis-bits = '64'
[offset 53] AUX FIELD ctime = '1795329413'
[offset 68] AUX FIELD used-mem = '1199992'
[offset 80] AUX FIELD aof-base = '0'
[offset 153] Selecting DB ID 0
[offset 18804] Selecting DB ID 3
[offset 18817] Selecting DB ID 15
[offset 18838] Checksum OK
[offset 18838] \\o/ RDB looks OK! \\o/
[info] 45 keys read
[info] 3 expires
[info] 1 already expired
"
    );
}

#[test]
fn a_cut_file_is_told_as_redis_tells_it() {
    let (out, sound) = checked(&STRINGS[..300]);
    assert!(!sound);
    let tail = out.split_once("--- ").expect("an error").1;
    assert_eq!(
        tail,
        "\
RDB ERROR DETECTED ---
[offset 271] Unexpected EOF reading RDB file
[additional info] While doing: read-object-value
[additional info] Reading key 'key:29'
[additional info] Reading type 0 (string)
[info] 7 keys read
[info] 0 expires
[info] 0 already expired
"
    );
}

#[test]
fn damage_is_told() {
    let mut bad = STRINGS.to_vec();
    bad[18_830] ^= 1;
    let (out, sound) = checked(&bad);
    assert!(!sound);
    assert!(
        out.contains("[offset 18838] RDB CRC error\n[additional info] While doing: check-sum\n")
    );
    assert!(checked(b"").0.contains(
        "[offset 0] Unexpected EOF reading RDB file\n[additional info] While doing: start\n"
    ));
    assert!(
        checked(b"RUBIS0010").0.contains("[offset 9] Wrong signature trying to load DB from file")
    );
    assert!(checked(b"REDIS0042").0.contains("[offset 9] Can't handle RDB format version 42"));
    assert!(checked(b"REDIS0010\xf0").0.contains("[offset 10] Invalid object type: 240"));
}

#[test]
fn a_file_without_a_checksum_and_one_with_a_list() {
    let (out, sound) = checked(b"REDIS0010\x00\x01k\x01v\xff\0\0\0\0\0\0\0\0");
    assert!(sound);
    assert!(
        out.contains(
            "[offset 23] RDB file was saved with checksum disabled: no check performed.\n"
        )
    );
    let (out, sound) = checked(LIST_UNSUMMED);
    assert!(sound, "{out}");
    assert!(out.ends_with(
        "[info] 0 already expired\n\
         [info] 1 keys of types that this version does not load: quicklist-v2 1\n"
    ));
}

#[test]
fn damage_in_what_is_passed_over_is_told() {
    let with = |value: &[u8]| [b"REDIS0010", value, b"\xff\0\0\0\0\0\0\0\0"].concat();
    // A set of the integers 1 and 2, and of 2 and 1.
    let set = with(b"\x0b\x01k\x0c\x02\0\0\0\x02\0\0\0\x01\0\x02\0");
    let unordered = with(b"\x0b\x01k\x0c\x02\0\0\0\x02\0\0\0\x02\0\x01\0");
    assert!(checked(&set).1);
    let (out, sound) = checked(&unordered);
    assert!(!sound);
    let tail = "] Internal error in RDB reading offset 0 -> Intset integrity check failed.\n\
                [additional info] While doing: read-object-value\n\
                [additional info] Reading key 'k'\n\
                [additional info] Reading type 11 (set-intset)\n";
    assert!(out.contains(tail), "{out}");
    // The list's second element is missing.
    let cut = &with(b"\x01\x01k\x02\x01a")[..15];
    let (out, sound) = checked(cut);
    assert!(!sound);
    assert!(out.contains("[offset 15] Unexpected EOF reading RDB file\n"), "{out}");
    assert!(out.contains("Reading key 'k'\n[additional info] Reading type 1 (list-linked)\n"));
}
