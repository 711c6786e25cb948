//! Whole databases, by scripts.

use crate::commands::script::check;

#[test]
fn a_flush_is_told_even_if_there_was_nothing() {
    check(
        r#"
        > SET k v
        +OK
        > FLUSHDB
        +OK
        > FLUSHDB async
        +OK
        > flushall SYNC
        +OK
        > FLUSHALL
        +OK
        ~ SET k v
        ~ FLUSHDB
        ~ FLUSHDB async
        ~ flushall SYNC
        ~ FLUSHALL
        > FLUSHALL now
        -ERR syntax error
        > FLUSHDB ASYNC SYNC
        -ERR syntax error
        ~ -
        "#,
    );
}

#[test]
fn a_flush_empties_one_database_or_all() {
    check(
        r#"
        > SET k v
        +OK
        > SELECT 5
        +OK
        > SET l w EX 100
        +OK
        > FLUSHDB
        +OK
        > DBSIZE
        :0
        > SET l w EX 100
        +OK
        > SELECT 0
        +OK
        > DBSIZE
        :1
        > FLUSHALL
        +OK
        > DBSIZE
        :0
        > SELECT 5
        +OK
        > DBSIZE
        :0
        "#,
    );
}

#[test]
fn swapped_databases() {
    check(
        r#"
        > SET k 0
        +OK
        ~ SET k 0
        > SELECT 9
        +OK
        > SET k 9 EX 10
        +OK
        > SWAPDB 0 9
        +OK
        ~ SELECT 9
        ~ SET k 9 PXAT 1700000010000
        ~ SWAPDB 0 9
        > GET k
        "0"
        > TTL k
        :-1
        > SWAPDB 3 3
        +OK
        ~ SWAPDB 3 3
        > SELECT 0
        +OK
        > TTL k
        :10
        > SWAPDB 0 16
        -ERR DB index is out of range
        > SWAPDB -1 0
        -ERR DB index is out of range
        > SWAPDB a 0
        -ERR invalid first DB index
        > SWAPDB 0 99999999999
        -ERR invalid second DB index
        "#,
    );
}

#[test]
fn a_flush_raises_the_watches_of_keys_that_were_there() {
    check(
        r#"
        > SET k v
        +OK
        a> WATCH k
        +OK
        b> WATCH missing
        +OK
        c> SELECT 2
        +OK
        c> WATCH k
        +OK
        > FLUSHDB
        +OK
        a> MULTI
        +OK
        a> EXEC
        nil
        b> MULTI
        +OK
        b> EXEC
        []
        c> MULTI
        +OK
        c> EXEC
        []
        c> SET k v
        +OK
        a> WATCH k
        +OK
        b> WATCH other
        +OK
        > SWAPDB 0 2
        +OK
        a> MULTI
        +OK
        a> EXEC
        nil
        b> MULTI
        +OK
        b> EXEC
        []
        "#,
    );
}

#[test]
fn a_stale_key_that_goes_changes_nothing_for_its_watcher() {
    for end in ["GET k", "DEL k", "FLUSHDB", "FLUSHALL", "SWAPDB 0 5", "SCAN 0"] {
        let mut shell = crate::commands::script::Shell::new();
        shell.run("SET k v PX 1");
        shell.advance_ms(2);
        assert_eq!(shell.run_as("a", "WATCH k"), "+OK");
        shell.run(end);
        shell.run_as("a", "MULTI");
        assert_eq!(shell.run_as("a", "EXEC"), "[]", "{end}");

        shell.run("SET k v PX 1");
        assert_eq!(shell.run_as("a", "WATCH k"), "+OK");
        shell.advance_ms(2);
        shell.run(end);
        shell.run_as("a", "MULTI");
        assert_eq!(shell.run_as("a", "EXEC"), "nil", "{end}");

        shell.run("SET k v PX 1");
        shell.advance_ms(2);
        assert_eq!(shell.run_as("a", "WATCH k"), "+OK");
        shell.run(end);
        shell.run("SELECT 0");
        shell.run("SET k w");
        shell.run_as("a", "MULTI");
        assert_eq!(shell.run_as("a", "EXEC"), "nil", "{end}");
    }
}
