//! Connections, by scripts.

use crate::commands::script::{Shell, check};

#[test]
fn small_talk() {
    check(
        r#"
        > PING
        +PONG
        > PING hello
        "hello"
        > PING a b
        -ERR wrong number of arguments for 'ping' command
        > ECHO "a b"
        "a b"
        > QUIT
        +OK
        "#,
    );
}

#[test]
fn databases_are_selected_by_number() {
    check(
        r#"
        > SELECT 15
        +OK
        > SELECT 16
        -ERR DB index is out of range
        > SELECT -1
        -ERR DB index is out of range
        > SELECT 1x
        -ERR value is not an integer or out of range
        > SELECT 2147483648
        -ERR value is out of range, value must between -2147483648 and 2147483647
        "#,
    );
}

#[test]
fn without_a_password_every_password_is_right_but_none_is_wanted() {
    check(
        r#"
        > AUTH x
        -ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?
        > AUTH default x
        +OK
        > AUTH somebody x
        -WRONGPASS invalid username-password pair or user is disabled.
        > AUTH a b c
        -ERR syntax error
        "#,
    );
}

#[test]
fn a_password_is_asked_for() {
    check(
        r#"
        > CONFIG SET requirepass secret
        +OK
        > PING
        +PONG
        > RESET
        +RESET
        > PING
        -NOAUTH Authentication required.
        > GET
        -ERR wrong number of arguments for 'get' command
        > EXEC
        -EXECABORT Transaction discarded because of: NOAUTH Authentication required.
        > AUTH wrong
        -WRONGPASS invalid username-password pair or user is disabled.
        > AUTH secre
        -WRONGPASS invalid username-password pair or user is disabled.
        > AUTH default wrong
        -WRONGPASS invalid username-password pair or user is disabled.
        > HELLO 3
        -NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time
        > HELLO 2 AUTH default wrong
        -WRONGPASS invalid username-password pair or user is disabled.
        > AUTH secret
        +OK
        > PING
        +PONG
        > RESET
        +RESET
        > AUTH default secret
        +OK
        > CONFIG SET requirepass ""
        +OK
        > RESET
        +RESET
        > PING
        +PONG
        "#,
    );
}

#[test]
fn hello_chooses_the_protocol() {
    check(
        r#"
        > HELLO
        ["server" "redis" "version" "7.0.15" "proto" :2 "id" :1 "mode" "standalone" "role" "master" "modules" []]
        > HELLO 3 SETNAME fred
        %["server" "redis" "version" "7.0.15" "proto" :3 "id" :1 "mode" "standalone" "role" "master" "modules" []]
        > CLIENT GETNAME
        "fred"
        > HELLO 4
        -NOPROTO unsupported protocol version
        > HELLO x
        -ERR Protocol version is not an integer or out of range
        > HELLO 2 AUTH default
        -ERR Syntax error in HELLO option 'AUTH'
        > HELLO 2 SETNAME "a b"
        -ERR Client names cannot contain spaces, newlines or special characters.
        > HELLO 2 FOO
        -ERR Syntax error in HELLO option 'FOO'
        > CONFIG GET port
        %["port" "6379"]
        > RESET
        +RESET
        > CLIENT GETNAME
        nil
        > CONFIG GET port
        ["port" "6379"]
        "#,
    );
}

#[test]
fn a_browser_is_cut_off() {
    for line in ["POST / HTTP/1.1", "host: x"] {
        let mut shell = Shell::new();
        assert_eq!(shell.run("PING"), "+PONG");
        assert_eq!(shell.run(line), "(none)");
        assert!(shell.is_closing(""), "{line}");
    }
}

#[test]
fn reset_leaves_nothing() {
    let mut shell = Shell::new();
    for line in ["SELECT 3", "CLIENT SETNAME x", "HELLO 3", "WATCH a", "MULTI", "PING"] {
        shell.run(line);
    }
    assert_eq!(shell.run("RESET"), "+RESET");
    let line = shell.run("CLIENT INFO");
    for part in [" name= ", " db=0 ", " flags=N ", " multi=-1 ", " resp=2"] {
        assert!(line.contains(part), "{part:?} in {line}");
    }
}
