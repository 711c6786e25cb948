//! Expiry, by scripts. The clock of a script begins at 1700000000000.

use crate::commands::script::{Shell, check};

#[test]
fn every_form_is_told_as_a_moment_or_an_end() {
    check(
        r#"
        > MSET a 1 b 2 c 3 d 4
        +OK
        ~ MSET a 1 b 2 c 3 d 4
        > EXPIRE a 100
        :1
        ~ PEXPIREAT a 1700000100000
        > PEXPIRE a 100
        :1
        ~ PEXPIREAT a 1700000000100
        > EXPIREAT a 1700000001
        :1
        ~ PEXPIREAT a 1700000001000
        > pexpireat a 1700000000002
        :1
        ~ pexpireat a 1700000000002
        > EXPIRE a 5 XX
        :1
        ~ PEXPIREAT a 1700000005000 XX
        > PERSIST a
        :1
        ~ PERSIST a
        > PERSIST a
        :0
        ~ -
        > PERSIST missing
        :0
        > EXPIRE missing 1
        :0
        ~ -
        > EXPIRE a 0
        :1
        ~ DEL a
        > EXPIRE b -1
        :1
        ~ DEL b
        > PEXPIREAT c 1700000000000
        :1
        ~ DEL c
        > EXPIREAT d 1
        :1
        ~ DEL d
        > DBSIZE
        :0
        "#,
    );
}

#[test]
fn conditions() {
    check(
        r#"
        > SET k v
        +OK
        > EXPIRE k 10 XX
        :0
        > EXPIRE k 10 GT
        :0
        > EXPIRE k 100 LT
        :1
        > EXPIRE k 50 NX
        :0
        > EXPIRE k 50 GT
        :0
        > EXPIRE k 100 GT
        :0
        > EXPIRE k 100 LT
        :0
        > EXPIRE k 101 GT
        :1
        > EXPIRE k 50 XX LT
        :1
        > TTL k
        :50
        > PERSIST k
        :1
        > EXPIRE k 50 XX LT
        :0
        > EXPIRE k 50 NX
        :1
        > EXPIRE k 50 NX XX
        -ERR NX and XX, GT or LT options at the same time are not compatible
        > EXPIRE k 50 NX GT
        -ERR NX and XX, GT or LT options at the same time are not compatible
        > EXPIRE k 50 GT LT
        -ERR GT and LT options at the same time are not compatible
        > EXPIRE k 50 AB
        -ERR Unsupported option AB
        > EXPIRE k x AB
        -ERR Unsupported option AB
        > EXPIRE k x NX
        -ERR value is not an integer or out of range
        > EXPIRE k -1 GT
        :0
        > EXPIRE k -1 LT
        :1
        > EXISTS k
        :0
        "#,
    );
}

#[test]
fn times_that_cannot_be() {
    check(
        r#"
        > SET k v
        +OK
        > EXPIRE k 9223372036854775807
        -ERR invalid expire time in 'expire' command
        > EXPIRE k 9223372036854775
        -ERR invalid expire time in 'expire' command
        > EXPIRE k -9223372036854776
        -ERR invalid expire time in 'expire' command
        > PEXPIRE k 9223372036854775807
        -ERR invalid expire time in 'pexpire' command
        > PEXPIRE k 9223372036854775808
        -ERR value is not an integer or out of range
        > EXPIREAT k 9223372036854776
        -ERR invalid expire time in 'expireat' command
        > PEXPIREAT k 9223372036854775807
        :1
        > PTTL k
        :9223370336854775807
        > TTL k
        :9223370336854776
        > PEXPIRETIME k
        :9223372036854775807
        > PEXPIREAT k -9223372036854775808
        :1
        > EXISTS k
        :0
        "#,
    );
}

#[test]
fn what_is_left_is_rounded_to_the_nearest_second() {
    check(
        r#"
        > SET k v PX 1499
        +OK
        > TTL k
        :1
        > PTTL k
        :1499
        > SET k v PX 1500
        +OK
        > TTL k
        :2
        > EXPIRETIME k
        :1700000002
        > PEXPIRETIME k
        :1700000001500
        + 1500
        > PTTL k
        :0
        + 1
        > PTTL k
        :-2
        > TTL missing
        :-2
        > EXPIRETIME missing
        :-2
        > SET k v
        +OK
        > TTL k
        :-1
        > PTTL k
        :-1
        > EXPIRETIME k
        :-1
        > PEXPIRETIME k
        :-1
        "#,
    );
}

#[test]
fn a_read_of_what_has_expired_tells_its_end_once() {
    check(
        r#"
        > SET k v PX 10
        +OK
        ~ SET k v PXAT 1700000000010
        + 11
        > GET k
        nil
        ~ DEL k
        > GET k
        nil
        ~ -
        "#,
    );
}

#[test]
fn in_a_transaction_all_is_told_together() {
    check(
        r#"
        > SET k v
        +OK
        ~ SET k v
        > MULTI
        +OK
        > EXPIRE k 10
        +QUEUED
        > GETEX k PX 5
        +QUEUED
        > SET l w EX 1
        +QUEUED
        > EXEC
        [:1 "v" +OK]
        ~ MULTI
        ~ PEXPIREAT k 1700000010000
        ~ PEXPIREAT k 1700000000005
        ~ SET l w PXAT 1700000001000
        ~ EXEC
        "#,
    );
}

/// A pause that a transaction begins hides a key whose time has come from what comes after in it;
/// whoever writes to it then begins anew, on replicas too.
#[test]
fn a_key_that_a_pause_hides_is_begun_anew_everywhere() {
    let mut shell = Shell::new();
    shell.run("SET k 5 PX 10");
    shell.take_stream();
    shell.advance_ms(20);
    for line in ["MULTI", "CLIENT PAUSE 10000 WRITE", "INCR k", "EXEC"] {
        shell.run(line);
    }
    assert_eq!(shell.take_stream(), ["MULTI", "DEL k", "INCR k", "EXEC"]);
}

#[test]
fn a_past_expiry_frees_as_the_directive_says_and_tells_so() {
    let mut shell = Shell::new();
    let fields: String = (0..600).map(|n| format!(" f{n} v")).collect();
    for (lazy, word, freed) in [("no", "DEL", 0), ("yes", "UNLINK", 1)] {
        shell.run(&format!("CONFIG SET lazyfree-lazy-expire {lazy}"));
        shell.run(&format!("HSET h{fields}"));
        shell.run("MSET a 1 b 2");
        shell.take_stream();
        assert_eq!(shell.run("EXPIRE h -1"), ":1");
        assert_eq!(shell.run("PEXPIREAT a 1"), ":1");
        assert_eq!(shell.run("GETEX b PXAT 1"), "\"2\"");
        assert_eq!(shell.take_stream(), ["h", "a", "b"].map(|key| format!("{word} {key}")));
        assert_eq!(shell.node.lazy_free.freed(), freed);
    }
    shell.run("SET s v");
    for (lazy, word) in [("no", "DEL"), ("yes", "UNLINK")] {
        shell.run(&format!("CONFIG SET lazyfree-lazy-user-del {lazy}"));
        shell.run("SET s v");
        shell.take_stream();
        assert_eq!(shell.run("GETDEL s"), "\"v\"");
        assert_eq!(shell.take_stream(), [format!("{word} s")]);
    }
}

/// As with DEL, much memory is freed elsewhere whatever the directives say.
#[test]
fn a_large_value_is_never_freed_by_the_one_who_deletes_it() {
    let mut shell = Shell::new();
    let value = vec![b'v'; 300_000];
    for (n, line) in ["EXPIRE k -1", "GETEX k PXAT 1", "GETDEL k"].into_iter().enumerate() {
        shell.run_args(&[b"SET", b"k", &value]);
        shell.run(line);
        assert_eq!(shell.run("EXISTS k"), ":0");
        assert_eq!(shell.node.lazy_free.freed(), n as u64 + 1, "{line}");
    }
    shell.run_args(&[b"SET", b"k", &value]);
    let payload = b"\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb";
    shell.run_args(&[b"RESTORE", b"k", b"1", payload, b"REPLACE", b"ABSTTL"]);
    assert_eq!(shell.run("EXISTS k"), ":0");
    assert_eq!(shell.node.lazy_free.freed(), 4);
}
