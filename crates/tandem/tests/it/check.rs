//! `check-rdb` beside stock redis-check-rdb on files that a stock server saved: whole, cut short
//! at many places, and with single bytes changed.

use std::process::Command;

use tandem_harness::{Folder, Rng, Server};

use crate::redis;

/// In our line about values that are passed over.
const NOT_LOADED: &str = "does not load";

/// What a checker printed and returned. Left out: where in Redis's source a fault was seen, and
/// the farewell of a server that never served.
fn checked(program: &mut Command, file: &str) -> (String, Option<i32>) {
    let output = program.arg(file).output().expect("both checkers run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter(|line| !line.contains("Terminating server after rdb file"));
    let lines = lines.map(|line| match line.split_once(", function at rdb.c:") {
        Some((head, place)) => {
            let fault = place.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{head}{fault}")
        }
        None => line.to_owned(),
    });
    (lines.collect::<Vec<_>>().join("\n"), output.status.code())
}

/// `whole`, cut short at some forty places, and with single bytes changed.
fn damaged(whole: &[u8], changes: u64, seed: u64) -> Vec<Vec<u8>> {
    let mut rng = Rng::new(seed);
    let mut cases = vec![whole.to_vec()];
    cases.extend(
        (0..whole.len()).step_by((whole.len() / 40).max(1)).map(|end| whole[..end].to_vec()),
    );
    for _ in 0..changes {
        let mut case = whole.to_vec();
        let at = rng.below(whole.len() as u64) as usize;
        case[at] = rng.below(256) as u8;
        cases.push(case);
    }
    cases
}

/// Both checkers say the same of each case, unless damage has turned a value into a type that is
/// not among `types`: one that is not built, or is built otherwise.
fn compare(what: &str, cases: &[Vec<u8>], types: &[&str]) {
    let folder = Folder::new();
    let file = folder.file("case.rdb");
    for (number, case) in cases.iter().enumerate() {
        std::fs::write(&file, case).expect("the folder is ours");
        let stock = checked(&mut Command::new("redis-check-rdb"), &file);
        let ours = checked(Command::new(env!("CARGO_BIN_EXE_tandem")).arg("check-rdb"), &file);
        let known = |text: &str| {
            text.lines().all(|line| {
                let other = line.contains("Reading type") || line.contains(NOT_LOADED);
                !other || types.iter().any(|name| line.ends_with(name))
            })
        };
        if known(&ours.0) && known(&stock.0) {
            assert_eq!(ours, stock, "{what}, case {number}");
        }
    }
}

#[test]
fn strings_are_checked_as_redis_checks_them() {
    let server = Server::start(&redis(), &[]);
    let mut client = server.client();
    for number in 0..40 {
        client.run(&format!("set key:{number} {number}"));
        client.run(&format!("set text:{number} {}", "pattern ".repeat(number).trim_end()));
    }
    client.run("set soon 1 px 100000000");
    client.run("set late 1 pxat 99999999999999");
    client.run("select 7");
    client.run("set other 1");
    client.run("save");
    let whole = std::fs::read(server.file("dump.rdb")).expect("it was saved");
    compare("strings", &damaged(&whole, 60, 11), &["0 (string)"]);
}

#[test]
fn a_file_of_all_types_is_sound_as_redis_says() {
    let server = Server::start(&redis(), &["--stream-node-max-entries", "2"]);
    let mut client = server.client();
    let long = "x".repeat(9000);
    for line in [
        "set text hello",
        "rpush list a b c",
        &format!("rpush list-long {long} {long} b"),
        "sadd ints 1 -2 70000",
        "sadd words a b",
        "hset hash f v",
        "zadd zset 1 a 2.5 b",
        &format!("zadd zset-long 1 {long}"),
        "xadd stream 1-1 f v",
        "xadd stream 2-1 f v",
        "xadd stream 3-1 f v",
        "xgroup create stream g 0",
        "xreadgroup group g c count 2 streams stream >",
        "expire ints 100000",
        "save",
    ] {
        client.run(line);
    }
    let whole = std::fs::read(server.file("dump.rdb")).expect("it was saved");
    let folder = Folder::new();
    let file = folder.file("case.rdb");
    for (number, case) in damaged(&whole, 20, 13).iter().enumerate() {
        std::fs::write(&file, case).expect("the folder is ours");
        let stock = checked(&mut Command::new("redis-check-rdb"), &file);
        let ours = checked(Command::new(env!("CARGO_BIN_EXE_tandem")).arg("check-rdb"), &file);
        assert_eq!(ours.1, stock.1, "case {number}: {} {}", ours.0, stock.0);
        if number == 0 {
            let (text, rest) = ours.0.rsplit_once('\n').expect("a line more");
            assert_eq!((text, ours.1), (stock.0.as_str(), Some(0)));
            assert_eq!(
                rest,
                "[info] 7 keys of types that this version does not load: set-hashtable 1, \
                 zset-v2 1, set-intset 1, zset-listpack 1, quicklist-v2 2, stream-v2 1"
            );
        }
    }
}

const HASHES: &[&str] = &[
    "0 (string)",
    "4 (hash-hashtable)",
    "9 (hash-zipmap)",
    "13 (hash-ziplist)",
    "16 (hash-listpack)",
];

#[test]
fn saved_hashes_are_checked_as_redis_checks_them() {
    let server = Server::start(&redis(), &[]);
    let mut client = server.client();
    client.run("HSET small a 1 b 2 c text d -5 e 100000 f -70000 g 5000000000");
    client.run("HSET soon a 1 b 2");
    client.run("PEXPIRE soon 100000000");
    client.run(&format!("HSET long f {} g {}", "x".repeat(70), "ab".repeat(40)));
    for number in 0..130 {
        client.run(&format!("HSET many f{number} {number}"));
    }
    client.run("SAVE").ok();
    let whole = std::fs::read(server.file("dump.rdb")).expect("it was saved");
    compare("saved hashes", &damaged(&whole, 30, 12), HASHES);
}

/// A file of one hash, its value as it stands in the file, and one string. No checksum.
fn file_of_hash(version: &str, value_type: u8, value: &[u8]) -> Vec<u8> {
    let mut file = format!("REDIS{version}").into_bytes();
    file.extend([0xfe, 0, value_type, 4]);
    file.extend(b"hash");
    file.extend(value);
    file.extend(b"\0\x01k\x01v\xff\0\0\0\0\0\0\0\0");
    file
}

fn with_length(blob: &[u8]) -> Vec<u8> {
    let length = u8::try_from(blob.len()).expect("a short one");
    assert!(length < 64, "the length is one byte");
    [&[length], blob].concat()
}

#[test]
fn hashes_in_old_encodings_are_checked_as_redis_checks_them() {
    let zipmap = b"\x02\x02f1\x02\0v1\x02f2\x02\x01v2?\xff";
    let ziplist = b"\x21\0\0\0\x1e\0\0\0\x06\0\
        \0\x02f1\x04\x02v1\x04\x02f2\x04\x02v2\x04\x02f3\x04\xfd\xff";
    let twice = b"\x1b\0\0\0\x16\0\0\0\x04\0\0\x02f1\x04\x02v1\x04\x02f1\x04\x02v2\xff";
    let odd = b"\x0f\0\0\0\x0a\0\0\0\x01\0\0\x02f1\xff";
    let listpack = b"\x11\0\0\0\x04\0\x81a\x02\x01\x01\x81b\x02\x02\x01\xff";
    for (what, version, value_type, value) in [
        ("a zipmap", "0003", 9, with_length(zipmap)),
        ("a ziplist", "0009", 13, with_length(ziplist)),
        ("a listpack", "0010", 16, with_length(listpack)),
        ("pair by pair", "0010", 4, b"\x02\x01f\x01v\x01g\x01w".to_vec()),
    ] {
        let whole = file_of_hash(version, value_type, &value);
        compare(what, &damaged(&whole, 15, u64::from(value_type)), HASHES);
    }
    for (what, value_type, value) in [
        ("an empty zipmap", 9, with_length(b"\0\xff")),
        ("a field twice in a ziplist", 13, with_length(twice)),
        ("a field without a value", 13, with_length(odd)),
        ("a field twice, pair by pair", 4, b"\x02\x01f\x01v\x01f\x01w".to_vec()),
    ] {
        compare(what, &[file_of_hash("0009", value_type, &value)], HASHES);
    }
}
