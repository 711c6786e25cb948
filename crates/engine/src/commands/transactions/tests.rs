//! Transactions, by scripts.

use crate::commands::script::{Shell, check};

#[test]
fn queued_commands_run_together() {
    check(
        r#"
        > MULTI
        +OK
        > SET a 1
        +QUEUED
        > INCR a
        +QUEUED
        > GET a
        +QUEUED
        b> GET a
        nil
        > EXEC
        [+OK :2 "2"]
        ~ MULTI
        ~ SET a 1
        ~ INCR a
        ~ EXEC
        > EXEC
        -ERR EXEC without MULTI
        > MULTI
        +OK
        > EXEC
        []
        ~ -
        "#,
    );
}

#[test]
fn what_cannot_be_queued_aborts() {
    check(
        r#"
        > MULTI
        +OK
        > GET
        -ERR wrong number of arguments for 'get' command
        > SET a 1
        +QUEUED
        > EXEC
        -EXECABORT Transaction discarded because of previous errors.
        > GET a
        nil
        > MULTI
        +OK
        > CLIENT NOSUCH
        -ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.
        > EXEC
        -EXECABORT Transaction discarded because of previous errors.
        > MULTI
        +OK
        > SAVE
        -ERR Command not allowed inside a transaction
        > EXEC
        -EXECABORT Transaction discarded because of previous errors.
        > MULTI
        +OK
        > EXEC x
        -EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command
        > EXEC
        -ERR EXEC without MULTI
        "#,
    );
}

#[test]
fn a_command_that_fails_when_run_stops_nothing() {
    check(
        r#"
        > SET s text
        +OK
        > MULTI
        +OK
        > INCR s
        +QUEUED
        > SET t 1
        +QUEUED
        > EXEC
        [-ERR value is not an integer or out of range +OK]
        > GET t
        "1"
        "#,
    );
}

#[test]
fn nesting_is_refused_and_harmless() {
    check(
        r#"
        > DISCARD
        -ERR DISCARD without MULTI
        > MULTI
        +OK
        > MULTI
        -ERR MULTI calls can not be nested
        > WATCH a
        -ERR WATCH inside MULTI is not allowed
        > SET a 1
        +QUEUED
        > EXEC
        [+OK]
        > MULTI
        +OK
        > SET a 2
        +QUEUED
        > DISCARD
        +OK
        > GET a
        "1"
        "#,
    );
}

#[test]
fn a_touched_key_stops_the_next_exec_only() {
    check(
        r#"
        > WATCH a b
        +OK
        b> SET b 1
        +OK
        > MULTI
        +OK
        > SET a 1
        +QUEUED
        > EXEC
        nil
        > GET a
        nil
        > MULTI
        +OK
        > PING
        +QUEUED
        > EXEC
        [+PONG]
        "#,
    );
}

#[test]
fn watches_end() {
    for end in ["UNWATCH", "RESET", "MULTI\n+OK\n> DISCARD"] {
        let reply = if end == "RESET" { "+RESET" } else { "+OK" };
        check(&format!(
            "> WATCH a\n+OK\n> {end}\n{reply}\nb> SET a 1\n+OK\n\
             > MULTI\n+OK\n> PING\n+QUEUED\n> EXEC\n[+PONG]"
        ));
    }
}

#[test]
fn a_watched_key_belongs_to_its_database() {
    check(
        r#"
        > WATCH a
        +OK
        b> SELECT 1
        +OK
        b> SET a 1
        +OK
        > MULTI
        +OK
        > PING
        +QUEUED
        > EXEC
        [+PONG]
        > WATCH a
        +OK
        > SELECT 1
        +OK
        b> SELECT 0
        +OK
        b> SET a 1
        +OK
        > MULTI
        +OK
        > PING
        +QUEUED
        > EXEC
        nil
        "#,
    );
}

#[test]
fn an_end_that_comes_is_a_change_and_one_that_had_come_is_none() {
    check(
        r#"
        > SET a 1 PX 20
        +OK
        > WATCH a
        +OK
        + 30
        > MULTI
        +OK
        > PING
        +QUEUED
        > EXEC
        nil
        > SET a 1 PX 20
        +OK
        > WATCH a
        +OK
        + 30
        b> GET a
        nil
        > MULTI
        +OK
        > PING
        +QUEUED
        > EXEC
        nil
        > SET a 1 PX 20
        +OK
        + 30
        > WATCH a
        +OK
        b> GET a
        nil
        > MULTI
        +OK
        > PING
        +QUEUED
        > EXEC
        [+PONG]
        > SET a 1 PX 20
        +OK
        + 30
        > WATCH a
        +OK
        b> SET a 2
        +OK
        > MULTI
        +OK
        > PING
        +QUEUED
        > EXEC
        nil
        "#,
    );
}

#[test]
fn one_s_own_change_counts_too_and_a_touched_client_need_not_watch_on() {
    check(
        r#"
        > WATCH a
        +OK
        > SET a 1
        +OK
        > WATCH b
        +OK
        > MULTI
        +OK
        > PING
        +QUEUED
        > EXEC
        nil
        "#,
    );
}

#[test]
fn others_see_that_a_client_is_in_a_transaction() {
    let mut shell = Shell::new();
    let field = |shell: &mut Shell, name: &str| {
        let list = shell.run_as("b", "CLIENT LIST ID 1");
        let at = list.find(&format!(" {name}=")).expect("the field is there") + name.len() + 2;
        list[at..].split(' ').next().expect("a value").to_owned()
    };
    shell.run("WATCH a");
    assert_eq!(field(&mut shell, "multi"), "-1");
    for line in ["MULTI", "PING", "PING"] {
        shell.run(line);
    }
    assert_eq!(field(&mut shell, "multi"), "2");
    assert_eq!(field(&mut shell, "flags"), "x");
    shell.run_as("b", "SET a 1");
    assert_eq!(field(&mut shell, "flags"), "xd");
    shell.run("EXEC");
    assert_eq!((field(&mut shell, "multi"), field(&mut shell, "flags")), ("-1".into(), "N".into()));
}
