//! Keys of whatever type, by scripts.

use crate::commands::script::{Shell, check};

#[test]
fn keys_come_and_go() {
    check(
        r#"
        > MSET a 1 b 2 c 3
        +OK
        ~ MSET a 1 b 2 c 3
        > EXISTS a b a x
        :3
        > TYPE a
        +string
        > TYPE x
        +none
        > TOUCH a x b
        :2
        ~ -
        > DEL x
        :0
        ~ -
        > DEL a x a
        :1
        ~ DEL a x a
        > UNLINK b c
        :2
        ~ UNLINK b c
        > DBSIZE
        :0
        "#,
    );
}

#[test]
fn what_has_expired_is_not_deleted_twice() {
    check(
        r#"
        > SET a 1 PX 1
        +OK
        > SET b 1
        +OK
        ~ SET a 1 PXAT 1700000000001
        ~ SET b 1
        + 2
        > DEL a
        :0
        ~ DEL a
        > SET a 1 PX 1
        +OK
        + 2
        > DEL a b
        :1
        ~ SET a 1 PXAT 1700000000003
        ~ MULTI
        ~ DEL a
        ~ DEL a b
        ~ EXEC
        "#,
    );
}

#[test]
fn a_rename_keeps_the_expiry() {
    check(
        r#"
        > RENAME a b
        -ERR no such key
        > RENAMENX a a
        -ERR no such key
        > SET a 1 EX 10
        +OK
        > SET b 2 EX 99
        +OK
        > RENAMENX a b
        :0
        > RENAME a a
        +OK
        > RENAMENX a a
        :0
        ~ SET a 1 PXAT 1700000010000
        ~ SET b 2 PXAT 1700000099000
        > RENAME a b
        +OK
        ~ RENAME a b
        > GET b
        "1"
        > TTL b
        :10
        > EXISTS a
        :0
        > RENAMENX b a
        :1
        ~ RENAMENX b a
        > TTL a
        :10
        > SET b 2
        +OK
        > RENAME b a
        +OK
        > TTL a
        :-1
        "#,
    );
}

#[test]
fn a_rename_over_what_has_expired_tells_its_end() {
    check(
        r#"
        > SET a 1
        +OK
        > SET b 2 PX 1
        +OK
        ~ SET a 1
        ~ SET b 2 PXAT 1700000000001
        + 2
        > RENAMENX a b
        :1
        ~ MULTI
        ~ DEL b
        ~ RENAMENX a b
        ~ EXEC
        > TTL b
        :-1
        "#,
    );
}

#[test]
fn copies() {
    check(
        r#"
        > COPY a b
        :0
        > SET a 1 EX 10
        +OK
        > COPY a a
        -ERR source and destination objects are the same
        > COPY a b
        :1
        ~ SET a 1 PXAT 1700000010000
        ~ COPY a b
        > TTL b
        :10
        > COPY a b
        :0
        > SET a 2
        +OK
        > COPY a b REPLACE
        :1
        ~ SET a 2
        ~ COPY a b REPLACE
        > TTL b
        :-1
        > COPY a a DB 3
        :1
        > COPY a a DB 3
        :0
        > COPY a a db 3 replace
        :1
        > COPY a b DB 16
        -ERR DB index is out of range
        > COPY a b DB -1
        -ERR DB index is out of range
        > COPY a b DB 9999999999
        -ERR value is out of range, value must between -2147483648 and 2147483647
        > COPY a b DB x
        -ERR value is not an integer or out of range
        > COPY a b DB
        -ERR syntax error
        > SELECT 3
        +OK
        > GET a
        "2"
        "#,
    );
}

#[test]
fn moves_between_databases() {
    check(
        r#"
        > MOVE a 1
        :0
        > MOVE a 0
        -ERR source and destination objects are the same
        > MOVE a 16
        -ERR DB index is out of range
        > MOVE a x
        -ERR value is not an integer or out of range
        > SET a 1 EX 10
        +OK
        ~ SET a 1 PXAT 1700000010000
        > MOVE a 1
        :1
        ~ MOVE a 1
        > EXISTS a
        :0
        > SET a 2
        +OK
        > MOVE a 1
        :0
        > SELECT 1
        +OK
        > GET a
        "1"
        > TTL a
        :10
        > SET b 3
        +OK
        ~ SET a 2
        ~ SELECT 1
        ~ SET b 3
        > OBJECT ENCODING b
        "int"
        "#,
    );
}

#[test]
fn what_is_written_to_a_writable_replica_stays_there() {
    let mut shell = Shell::new();
    shell.run("CONFIG SET replica-read-only no");
    shell.node.set_replica(true);
    assert_eq!(shell.run("SET k v EX 1"), "+OK");
    assert_eq!(shell.run("INCR n"), ":1");
    assert_eq!(shell.run("MULTI"), "+OK");
    shell.run("DEL n");
    assert_eq!(shell.run("EXEC"), "[:1]");
    assert_eq!(shell.run("FLUSHALL"), "+OK");
    assert_eq!(shell.take_stream(), Vec::<String>::new());
    shell.node.set_replica(false);
    shell.run("SET k v");
    assert_eq!(shell.take_stream(), ["SET k v"]);
}
