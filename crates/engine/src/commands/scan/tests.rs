//! Walks over the keyspace.

use super::parse_cursor;
use crate::commands::script::{Shell, check};

#[test]
fn cursors_as_strtoul_reads_them() {
    for (text, want) in [
        ("0", Some(0)),
        ("", Some(0)),
        ("17", Some(17)),
        ("007", Some(7)),
        ("+5", Some(5)),
        ("-1", Some(u64::MAX)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        (" 1", None),
        ("1 ", None),
        ("x", None),
        ("-", None),
        ("0x10", None),
    ] {
        assert_eq!(parse_cursor(text.as_bytes()).ok(), want, "{text:?}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    check(
        r#"
        > SCAN x
        -ERR invalid cursor
        > SCAN 0 COUNT 0
        -ERR syntax error
        > SCAN 0 COUNT -1
        -ERR syntax error
        > SCAN 0 COUNT x
        -ERR value is not an integer or out of range
        > SCAN 0 COUNT
        -ERR syntax error
        > SCAN 0 LIMIT 5
        -ERR syntax error
        > SCAN 0
        ["0" []]
        > SCAN 18446744073709551615
        ["0" []]
        > RANDOMKEY
        nil
        > KEYS *
        []
        > DBSIZE
        :0
        "#,
    );
}

/// Walks to the end, and returns all names, sorted, repeats included.
fn scan_all(shell: &mut Shell, options: &str) -> Vec<String> {
    let mut cursor = "0".to_owned();
    let mut names = Vec::new();
    loop {
        let reply = shell.run(&format!("SCAN {cursor} {options}"));
        let inner =
            reply.strip_prefix("[\"").and_then(|r| r.strip_suffix("]]")).expect("two parts");
        let (next, list) = inner.split_once("\" [").expect("two parts");
        names.extend(list.split(' ').filter(|name| !name.is_empty()).map(str::to_owned));
        if next == "0" {
            break;
        }
        cursor = next.to_owned();
    }
    names.sort();
    names
}

#[test]
fn a_walk_shows_every_key_once_while_nothing_changes() {
    let mut shell = Shell::new();
    let mut want = Vec::new();
    for n in 0..3000 {
        shell.run(&format!("SET key:{n} {n}"));
        want.push(format!("\"key:{n}\""));
    }
    want.sort();
    for options in ["", "COUNT 1", "COUNT 1000000", "MATCH *", "TYPE string", "TYPE STRING"] {
        assert_eq!(scan_all(&mut shell, options), want, "{options}");
    }
    let sevens: Vec<_> = want.iter().filter(|name| name.contains(":7")).cloned().collect();
    assert_eq!(scan_all(&mut shell, "MATCH key:7*"), sevens);
    assert_eq!(scan_all(&mut shell, "TYPE list"), Vec::<String>::new());
    let mut keys = shell.run("KEYS key:7*");
    keys.retain(|c| !"[]".contains(c));
    let mut keys: Vec<_> = keys.split(' ').map(str::to_owned).collect();
    keys.sort();
    assert_eq!(keys, sevens);
    assert_eq!(shell.run("DBSIZE"), ":3000");
}

#[test]
fn what_has_expired_is_deleted_bare() {
    let mut shell = Shell::new();
    for n in 0..3 {
        shell.run(&format!("SET foo{n} bar PX 1"));
    }
    shell.run("SET stays bar");
    shell.take_stream();
    shell.advance_ms(2);
    assert_eq!(shell.run("KEYS *"), "[\"stays\"]", "KEYS hides and does not delete");
    assert!(shell.take_stream().is_empty());
    assert_eq!(shell.run("DBSIZE"), ":4");
    assert_eq!(scan_all(&mut shell, "MATCH foo*"), Vec::<String>::new());
    let mut told = shell.take_stream();
    told.sort();
    assert_eq!(told, ["DEL foo0", "DEL foo1", "DEL foo2"]);
    assert_eq!(shell.run("DBSIZE"), ":1");
}

#[test]
fn randomkey_deletes_what_has_expired_bare() {
    let mut shell = Shell::new();
    shell.run("SET foo1 bar PX 1");
    shell.run("SET foo2 bar PX 1");
    shell.take_stream();
    shell.advance_ms(2);
    assert_eq!(shell.run("RANDOMKEY"), "nil");
    let mut told = shell.take_stream();
    told.sort();
    assert_eq!(told, ["DEL foo1", "DEL foo2"]);
    shell.run("SET k v");
    assert_eq!(shell.run("RANDOMKEY"), "\"k\"");
}

#[test]
fn in_a_transaction_a_walk_holds_everything() {
    check(
        r#"
        > SET k v PX 1
        +OK
        ~ SET k v PXAT 1700000000001
        + 2
        > MULTI
        +OK
        > SET stays w
        +QUEUED
        > SCAN 0
        +QUEUED
        > KEYS *
        +QUEUED
        > RANDOMKEY
        +QUEUED
        > DBSIZE
        +QUEUED
        > GET stays
        +QUEUED
        > EXEC
        [+OK ["0" ["stays"]] ["stays"] "stays" :1 "w"]
        ~ MULTI
        ~ SET stays w
        ~ DEL k
        ~ EXEC
        "#,
    );
}
