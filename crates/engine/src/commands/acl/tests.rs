//! ACL by scripts; what a stock Redis says to the same is in tests/compat/acl.txt.

use crate::commands::script::{Shell, check};

#[test]
fn a_change_reaches_other_connections_at_once() {
    check(
        r#"
        > ACL SETUSER ann on >pw +get +set +multi +exec ~a*
        +OK
        b> AUTH ann pw
        +OK
        b> SET a1 x
        +OK
        b> SET b1 x
        -NOPERM this user has no permissions to access one of the keys used as arguments
        > ACL SETUSER ann ~b*
        +OK
        b> SET b1 x
        +OK
        > ACL SETUSER ann -set
        +OK
        b> SET b1 x
        -NOPERM this user has no permissions to run the 'set' command
        > ACL SETUSER ann allkeys allcommands allchannels
        +OK
        b> DEL b1
        :1
        > ACL SETUSER ann -del
        +OK
        b> DEL b1
        -NOPERM this user has no permissions to run the 'del' command
        "#,
    );
}

#[test]
fn a_queued_command_is_checked_when_it_runs() {
    check(
        r#"
        > ACL SETUSER ann on nopass +@all ~*
        +OK
        b> AUTH ann x
        +OK
        b> MULTI
        +OK
        b> SET k 1
        +QUEUED
        b> GET k
        +QUEUED
        > ACL SETUSER ann -get
        +OK
        b> EXEC
        [+OK -NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to execute the command or subcommand]
        "#,
    );
}

#[test]
fn connections_of_a_deleted_user_are_closed() {
    let mut shell = Shell::new();
    shell.run("ACL SETUSER ann on nopass +@all ~*");
    assert_eq!(shell.run_as("b", "AUTH ann x"), "+OK");
    assert_eq!(shell.run_as("b", "SET k 1"), "+OK");
    assert_eq!(shell.run("ACL DELUSER ann"), ":1");
    assert_eq!(shell.run_as("b", "SET k 2"), "(none)");
    assert_eq!(shell.run("GET k"), "\"1\"");
    // A new user of the old name is somebody else.
    shell.run("ACL SETUSER ann on nopass +@all ~*");
    assert_eq!(shell.run_as("c", "AUTH ann x"), "+OK");
    assert_eq!(shell.run_as("c", "ACL DELUSER ann"), ":1");
    assert!(shell.is_closing("c"));
}

#[test]
fn loading_the_file_makes_everybody_but_default_go() {
    let mut shell = Shell::new();
    let refused = shell.run("ACL LOAD");
    assert!(refused.starts_with("-ERR This Redis instance is not configured"), "{refused}");
    let config = crate::config::Config::parse(b"aclfile users.acl\n").expect("it is right");
    *shell.node.config_mut() = config;
    shell.run("ACL SETUSER bob on nopass +@all ~*");
    assert_eq!(shell.run_as("b", "AUTH bob x"), "+OK");
    assert_eq!(shell.run("ACL LOAD"), "+OK");
    assert!(!shell.is_closing(""));
    assert_eq!(shell.run("ACL USERS"), r#"["ann" "default"]"#);
    assert_eq!(shell.run_as("b", "GET k"), "(none)");
    assert_eq!(shell.run_as("c", "AUTH ann pw"), "+OK");
    assert_eq!(shell.run_as("c", "ACL SAVE"), "+OK");
    assert_eq!(shell.run_as("c", "ACL LOAD"), "+OK");
    assert!(shell.is_closing("c"), "its user is another one of the same name");
}

#[test]
fn the_log_tells_what_was_denied() {
    let mut shell = Shell::new();
    shell.run("ACL SETUSER ann on >pw +set +multi +exec ~a*");
    shell.run_as("b", "AUTH ann no");
    shell.run_as("b", "AUTH ann pw");
    shell.run_as("b", "GET a");
    shell.run_as("b", "SET b 1");
    shell.advance_ms(1500);
    shell.run_as("b", "SET b 1");
    shell.run_as("b", "MULTI");
    shell.run_as("b", "GET a");
    shell.advance_ms(250);
    let log = shell.run("ACL LOG");
    let parts = [
        r#"[["count" :1 "reason" "command" "context" "multi" "object" "get" "username" "ann" "age-seconds" "0.25" "client-info" "id=2 "#,
        r#"["count" :2 "reason" "key" "context" "toplevel" "object" "b" "username" "ann" "age-seconds" "0.25""#,
        r#"["count" :1 "reason" "command" "context" "toplevel" "object" "get" "username" "ann" "age-seconds" "1.75""#,
        r#"["count" :1 "reason" "auth" "context" "toplevel" "object" "AUTH" "username" "ann" "age-seconds" "1.75""#,
    ];
    let mut rest = log.as_str();
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part} in {rest}"));
        rest = &rest[at + part.len()..];
    }
    assert!(rest.contains(r#"user=default"#), "who tried was nobody else yet: {rest}");
}

#[test]
fn who_listens_to_what_it_may_not_hear_any_more_is_killed() {
    let mut shell = Shell::new();
    shell.run("ACL SETUSER ann on nopass +@all resetchannels &a &p* &q*");
    for (client, request) in
        [("keeps", "SUBSCRIBE a"), ("loses", "SUBSCRIBE qq"), ("pattern", "PSUBSCRIBE q*")]
    {
        assert_eq!(shell.run_as(client, "AUTH ann x"), "+OK");
        assert_eq!(shell.run_as(client, "CLIENT SETNAME x"), "+OK");
        shell.run_as(client, request);
    }
    assert_eq!(
        shell.run_as("keeps", "PSUBSCRIBE p"),
        "-NOPERM this user has no permissions to access one of the channels used as arguments"
    );
    let listening = |shell: &mut Shell| shell.run("CLIENT LIST").matches("name=x").count();
    assert_eq!(listening(&mut shell), 3);
    assert_eq!(shell.run("ACL SETUSER ann &more"), "+OK");
    assert_eq!(listening(&mut shell), 3);
    assert_eq!(shell.run("ACL SETUSER ann resetchannels &a &p*"), "+OK");
    assert_eq!(listening(&mut shell), 1);
    assert_eq!(shell.run("ACL SETUSER ann allchannels"), "+OK");
    assert_eq!(listening(&mut shell), 1);
}
