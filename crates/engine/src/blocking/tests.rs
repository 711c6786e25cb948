//! What waiting clients see, by commands that only tests have (`commands/probe.rs`), and that
//! several workers serve each byte once.

use crate::client::ClientFlags;
use crate::commands::script::{Shell, check};

mod stress;

#[test]
fn what_is_there_is_taken_at_once_and_what_is_not_is_waited_for() {
    check(
        r#"
        > APPEND k ab
        :2
        b> TEST.POP x k 0
        ["k" "a"]
        ~ APPEND k ab
        ~ TEST.CHOP k
        c> TEST.POP y k 0
        ["k" "b"]
        d> TEST.POP y k 0
        (none)
        ~ TEST.CHOP k
        > SET k z
        +OK
        d< ["k" "z"]
        ~ SET k z
        ~ TEST.CHOP k
        > EXISTS k
        :0
        "#,
    );
}

#[test]
fn a_wait_counts_by_what_its_command_did() {
    let mut shell = Shell::new();
    assert_eq!(shell.run("CONFIG SET slowlog-log-slower-than 0"), "+OK");
    let pop = crate::commands::look_up(b"test.pop").expect("tests have it");
    let counted = |shell: &Shell| {
        let totals = shell.node.monitor.totals();
        let row = totals.get(pop).expect("it ran");
        (row.calls, row.failed, row.times.as_ref().map_or(0, |times| times.len()))
    };
    let slow = |shell: &Shell| {
        let log = shell.node.monitor.slowlog();
        log.entries().filter(|entry| entry.args[0] == b"TEST.POP").count()
    };
    for client in ["b", "c", "d"] {
        assert_eq!(shell.run_as(client, "TEST.POP k 0"), "(none)");
    }
    // They wait: three calls, of which nobody knows yet how long they take.
    assert_eq!((counted(&shell), slow(&shell)), ((3, 0, 0), 0));
    shell.advance_ms(60_000);
    assert_eq!(shell.run("APPEND k x"), ":1");
    assert_eq!(shell.take_pushed("b"), "[\"k\" \"x\"]");
    assert_eq!((counted(&shell), slow(&shell)), ((3, 0, 1), 1));
    assert!(shell.node.monitor.slowlog().entries().all(|entry| entry.took_us < 1_000_000));
    // CLIENT UNBLOCK makes a failed call of it, as an error or as a timeout.
    let waiting = |shell: &Shell| {
        let all = shell.node.clients.snapshot();
        all.iter().find(|info| info.flags().contains(ClientFlags::BLOCKED)).map(|info| info.id)
    };
    for (failed, how) in [(1, "ERROR"), (2, "TIMEOUT")] {
        let id = waiting(&shell).expect("somebody waits");
        assert_eq!(shell.run(&format!("CLIENT UNBLOCK {id} {how}")), ":1");
        assert_eq!(counted(&shell), (3, failed, 1 + failed));
        assert_eq!(slow(&shell) as u64, 1 + failed);
    }
    assert!(shell.run("INFO errorstats").contains("errorstat_UNBLOCKED:count=1"));
}

#[test]
fn a_key_that_somebody_waits_for_may_be_evicted() {
    check(
        r#"
        b> TEST.POP k l 0
        (none)
        > HSET k f v
        :1
        b< -
        > CONFIG SET maxmemory-policy allkeys-random maxmemory 1
        +OK
        > DBSIZE
        :0
        > CONFIG SET maxmemory 0
        +OK
        > SET l 1
        +OK
        b< ["l" "1"]
        "#,
    );
}

#[test]
fn those_who_came_first_are_served_first() {
    check(
        r#"
        b> TEST.POP k 0
        (none)
        c> TEST.POP l k 0
        (none)
        d> TEST.POP k 0
        (none)
        > APPEND k 12
        :2
        b< ["k" "1"]
        c< ["k" "2"]
        d< -
        ~ APPEND k 12
        ~ TEST.CHOP k
        ~ TEST.CHOP k
        > APPEND l 3
        :1
        d< -
        > APPEND k 4
        :1
        d< ["k" "4"]
        > GET l
        "3"
        "#,
    );
}

#[test]
fn a_transaction_serves_when_it_has_ended_in_the_order_in_which_keys_became_ready() {
    check(
        r#"
        b> TEST.POP one two 0
        (none)
        c> TEST.POP one 0
        (none)
        > MULTI
        +OK
        > APPEND two x
        +QUEUED
        > APPEND one y
        +QUEUED
        > GET two
        +QUEUED
        > TEST.POP none 0
        +QUEUED
        > EXEC
        [:1 :1 "x" nil]
        b< ["two" "x"]
        c< ["one" "y"]
        ~ MULTI
        ~ APPEND two x
        ~ APPEND one y
        ~ EXEC
        ~ TEST.CHOP two
        ~ TEST.CHOP one
        "#,
    );
    // What a transaction takes back was never there.
    check(
        r#"
        b> TEST.POP k 0
        (none)
        > MULTI
        +OK
        > SET k 1
        +QUEUED
        > DEL k
        +QUEUED
        > EXEC
        [+OK :1]
        b< -
        > SET k 2
        +OK
        b< ["k" "2"]
        "#,
    );
}

#[test]
fn any_kind_of_write_makes_a_key_ready() {
    let mut shell = Shell::new();
    shell.run("SET source v");
    let dump = shell.run("DUMP source");
    let dump = format!("RESTORE k 0 {dump}");
    shell.run_as("third", "SELECT 3");
    shell.run_as("third", "SET k m");
    let writes = [
        ("", "SETNX k v", "v"),
        ("", "MSET other 1 k v", "v"),
        ("", "COPY source k", "v"),
        ("", dump.as_str(), "v"),
        ("", "SETRANGE k 0 v", "v"),
        ("third", "COPY k k DB 0", "m"),
        ("third", "MOVE k 0", "m"),
        ("", "RENAME source k", "v"),
    ];
    for (client, write, got) in writes {
        assert_eq!(shell.run_as("b", "TEST.POP k 0"), "(none)");
        shell.run_as(client, write);
        assert_eq!(shell.take_pushed("b"), format!("[\"k\" \"{got}\"]"), "{write}");
        assert_eq!(shell.run("EXISTS k"), ":0");
    }
    shell.run_as("third", "SET k s");
    assert_eq!(shell.run_as("b", "TEST.POP k 0"), "(none)");
    shell.take_stream();
    assert_eq!(shell.run("SWAPDB 0 3"), "+OK");
    assert_eq!(shell.take_pushed("b"), "[\"k\" \"s\"]");
    assert_eq!(shell.take_stream(), ["SELECT 0", "SWAPDB 0 3", "TEST.CHOP k"]);
}

#[test]
fn another_database_is_another_key() {
    check(
        r#"
        b> TEST.POP k 0
        (none)
        > SELECT 1
        +OK
        > SET k 1
        +OK
        b< -
        ~ SELECT 1
        ~ SET k 1
        c> SET k 0
        +OK
        b< ["k" "0"]
        ~ SELECT 0
        ~ SET k 0
        ~ TEST.CHOP k
        "#,
    );
}

#[test]
fn a_byte_moved_on_serves_who_waits_for_it_there() {
    check(
        r#"
        b> TEST.MOVE one two 0
        (none)
        c> TEST.MOVE two three 0
        (none)
        d> TEST.POP three 0
        (none)
        > SET one x
        +OK
        b< "x"
        c< "x"
        d< ["three" "x"]
        ~ SET one x
        ~ TEST.SHIFT one two
        ~ TEST.SHIFT two three
        ~ TEST.CHOP three
        > DBSIZE
        :0
        "#,
    );
    // An error is the one client's only, and what was there is the next one's.
    check(
        r#"
        b> TEST.MOVE k forbidden 0
        (none)
        c> TEST.POP k 0
        (none)
        > SET k x
        +OK
        b< -WRONGTYPE Operation against a key holding the wrong kind of value
        c< ["k" "x"]
        ~ SET k x
        ~ TEST.CHOP k
        "#,
    );
}

#[test]
fn a_wait_ends_when_its_time_is_over() {
    check(
        r#"
        b> TEST.POP k 0.5
        (none)
        + 499
        b< -
        + 1
        b< nil
        > SET k v
        +OK
        ~ SET k v
        > DEL k
        :1
        b> HELLO 3
        %["server" "redis" "version" "7.0.15" "proto" :3 "id" :1 "mode" "standalone" "role" "master" "modules" []]
        b> TEST.POP k 0.001
        (none)
        + 1
        b< nil
        b> TEST.POP k x
        -ERR timeout is not a float or out of range
        b> TEST.POP k -1
        -ERR timeout is negative
        "#,
    );
}

#[test]
fn requests_behind_a_wait_run_when_it_has_ended() {
    let mut shell = Shell::new();
    assert_eq!(shell.run_as("b", "TEST.POP k 0"), "(none)");
    assert_eq!(shell.run_as("b", "SET after 1"), "(none)");
    assert_eq!(shell.run_as("b", "TEST.POP k 0"), "(none)");
    assert_eq!(shell.run("GET after"), "nil");
    shell.run("SET k 12");
    // The second wait found a byte there.
    assert_eq!(shell.take_pushed("b"), "[\"k\" \"1\"] +OK [\"k\" \"2\"]");
}

#[test]
fn client_unblock_ends_a_wait_once() {
    let mut shell = Shell::new();
    assert_eq!(shell.run("PING"), "+PONG");
    for (how, reply) in [
        ("", "nil"),
        ("TIMEOUT", "nil"),
        ("ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK"),
    ] {
        assert_eq!(shell.run_as("b", "TEST.POP k 0"), "(none)");
        assert_eq!(shell.run(&format!("CLIENT UNBLOCK 2 {how}")), ":1");
        assert_eq!(shell.take_pushed("b"), reply);
        assert_eq!(shell.run(&format!("CLIENT UNBLOCK 2 {how}")), ":0");
    }
    assert_eq!(shell.run_as("b", "TEST.POP k 0"), "(none)");
    assert!(shell.run("CLIENT LIST").contains("flags=b "));
    let info = shell.run("INFO clients");
    assert!(info.contains("blocked_clients:1") && info.contains("clients_in_timeout_table:0"));
    shell.run("SET k v");
    assert!(!shell.run("CLIENT LIST").contains("flags=b "));
    assert_eq!(shell.run("CLIENT UNBLOCK 2"), ":0");
}

#[test]
fn who_is_gone_takes_nothing_with_him() {
    let mut shell = Shell::new();
    for client in ["b", "c", "d"] {
        assert_eq!(shell.run_as(client, "TEST.POP k 0"), "(none)");
    }
    shell.leave("b");
    assert_eq!(shell.run("CLIENT KILL ID 2"), ":1");
    assert_eq!(shell.run("SET k v"), "+OK");
    assert_eq!(shell.take_pushed("c"), "");
    assert_eq!(shell.take_pushed("d"), "[\"k\" \"v\"]");
    assert!(!shell.node.blocking.any());
}

#[test]
fn a_new_role_ends_every_wait_and_the_connection() {
    let mut shell = Shell::new();
    assert_eq!(shell.run_as("b", "TEST.POP k 0"), "(none)");
    assert_eq!(shell.run_as("c", "WAIT 1 0"), "(none)");
    assert_eq!(shell.run("REPLICAOF 127.0.0.1 1"), "+OK");
    for client in ["b", "c"] {
        let told = "-UNBLOCKED force unblock from blocking operation, instance state changed \
                    (master -> replica?)";
        assert_eq!(shell.take_pushed(client), told);
        assert!(shell.is_closing(client));
    }
    assert!(!shell.node.blocking.any());
}

#[test]
fn a_lost_key_is_told_to_those_who_want_to_know() {
    let mut shell = Shell::new();
    for lose in ["DEL k", "GETDEL k", "FLUSHALL", "FLUSHDB", "RENAME k l", "expire"] {
        shell.run("SET k v PX 100");
        assert_eq!(shell.run_as("b", "TEST.LOST k 0"), "(none)");
        assert_eq!(shell.run_as("c", "TEST.POP other 0"), "(none)");
        shell.run("SET k w KEEPTTL");
        assert_eq!(shell.take_pushed("b"), "");
        if lose == "expire" {
            shell.advance_ms(101);
            // A walk finds it expired, with nothing held.
            shell.run("SCAN 0");
        } else {
            shell.run(lose);
        }
        assert_eq!(shell.take_pushed("b"), "-UNBLOCKED the key no longer exists", "{lose}");
        assert_eq!(shell.take_pushed("c"), "");
        shell.run("SET other x");
        assert_eq!(shell.take_pushed("c"), "[\"other\" \"x\"]");
    }
}

#[test]
fn a_reply_that_is_not_wanted_is_not_sent() {
    check(
        r#"
        b> CLIENT REPLY SKIP
        (none)
        b> TEST.POP k 0
        (none)
        > SET k v
        +OK
        b< -
        b> PING
        +PONG
        "#,
    );
}

#[test]
fn wait_is_answered_when_its_time_is_over_or_it_is_called_off() {
    check(
        r#"
        > SET k v
        +OK
        > WAIT 1 50
        (none)
        + 50
        < :0
        > WAIT 1 0
        (none)
        b> CLIENT UNBLOCK 1
        :1
        < :0
        > WAIT 1 0
        (none)
        b> CLIENT UNBLOCK 1 ERROR
        :1
        < -UNBLOCKED client unblocked via CLIENT UNBLOCK
        > WAIT 1 x
        -ERR timeout is not an integer or out of range
        > WAIT 1 -1
        -ERR timeout is negative
        "#,
    );
}
