//! CLIENT, by scripts and on lines of CLIENT LIST.

use crate::commands::script::{Shell, check};

#[test]
fn names() {
    check(
        r#"
        > CLIENT GETNAME
        nil
        > CLIENT SETNAME fred
        +OK
        > CLIENT GETNAME
        "fred"
        > CLIENT SETNAME "with blank"
        -ERR Client names cannot contain spaces, newlines or special characters.
        > CLIENT SETNAME "\xff"
        -ERR Client names cannot contain spaces, newlines or special characters.
        > CLIENT SETNAME ""
        +OK
        > CLIENT GETNAME
        nil
        > CLIENT SETINFO LIB-NAME go(1)
        +OK
        > CLIENT SETINFO lib-ver "1 2"
        -ERR lib-ver cannot contain spaces, newlines or special characters.
        > CLIENT SETINFO foo bar
        -ERR Unrecognized option 'foo'
        "#,
    );
}

#[test]
fn a_line_tells_about_a_client() {
    let mut shell = Shell::new();
    shell.run("CLIENT SETNAME fred");
    shell.run("SELECT 4");
    shell.advance_ms(2500);
    assert_eq!(
        shell.run("CLIENT INFO").split(" tot-mem=").next().expect("the first part"),
        "\"id=1 addr= laddr= fd=5 name=fred age=2 idle=0 flags=N db=4 sub=0 psub=0 ssub=0 \
         multi=-1 qbuf=26 qbuf-free=0 argv-mem=10 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0"
    );
    let line = shell.run("CLIENT INFO");
    assert!(
        line.ends_with(" events=r cmd=client|info user=default redir=-1 resp=2\\n\""),
        "{line}"
    );
    shell.run("CLIENT SETINFO LIB-NAME lib");
    assert!(shell.run("CLIENT INFO").ends_with(" resp=2 lib-name=lib\\n\""));
    shell.advance_ms(1000);
    let others = shell.run_as("b", "CLIENT LIST ID 1 77 2");
    assert_eq!(others.matches("id=").count(), 2, "{others}");
    assert!(others.contains("id=1 ") && others.contains(" idle=1 "), "{others}");
    assert!(others.contains(" cmd=client|info "), "{others}");
}

#[test]
fn lists_are_filtered() {
    check(
        r#"
        > CLIENT LIST TYPE nosuch
        -ERR Unknown client type 'nosuch'
        > CLIENT LIST TYPE replica
        ""
        > CLIENT LIST TYPE master
        ""
        > CLIENT LIST ID x
        -ERR Invalid client ID
        > CLIENT LIST ID -5
        ""
        > CLIENT LIST ID
        -ERR syntax error
        > CLIENT LIST x
        -ERR syntax error
        > CLIENT ID
        :1
        > CLIENT GETREDIR
        :-1
        "#,
    );
}

#[test]
fn others_are_killed_by_mail_and_oneself_after_the_reply() {
    let mut shell = Shell::new();
    shell.run("PING");
    shell.run_as("b", "PING");
    assert_eq!(shell.run("CLIENT KILL TYPE normal"), ":1");
    assert!(shell.is_closing("b"));
    assert_eq!(shell.run("CLIENT KILL ID 2"), ":0", "it is killed once");
    assert!(!shell.is_closing(""));
    assert_eq!(shell.run("CLIENT KILL SKIPME no ID 1"), ":1");
    assert!(shell.is_closing(""));
}

#[test]
fn kill_filters() {
    check(
        r#"
        > CLIENT KILL 1.2.3.4:5
        -ERR No such client
        > CLIENT KILL ID abc
        -ERR client-id should be greater than 0
        > CLIENT KILL ID 0
        -ERR client-id should be greater than 0
        > CLIENT KILL TYPE nosuch
        -ERR Unknown client type 'nosuch'
        > CLIENT KILL USER nobody
        -ERR No such user 'nobody'
        > CLIENT KILL USER default
        :0
        > CLIENT KILL SKIPME maybe ID 3
        -ERR syntax error
        > CLIENT KILL ID 3 ADDR
        -ERR syntax error
        > CLIENT KILL LADDR x TYPE slave
        :0
        "#,
    );
}

#[test]
fn replies_can_be_switched_off() {
    check(
        r#"
        > CLIENT REPLY SKIP
        (none)
        > PING
        (none)
        > PING
        +PONG
        > CLIENT REPLY OFF
        (none)
        > PING
        (none)
        > NOSUCH
        (none)
        > CLIENT REPLY SKIP
        (none)
        > CLIENT REPLY ON
        +OK
        > PING
        +PONG
        > CLIENT REPLY x
        -ERR syntax error
        "#,
    );
}

#[test]
fn a_pause_makes_writes_wait() {
    let mut shell = Shell::new();
    shell.run("SET a 1");
    assert_eq!(shell.run("CLIENT PAUSE 100 WRITE"), "+OK");
    assert_eq!(shell.run_as("b", "GET a"), "\"1\"");
    assert_eq!(shell.run_as("b", "SET a 2"), "(none)");
    assert_eq!(shell.run("GET a"), "\"1\"");
    assert_eq!(shell.run("CLIENT UNPAUSE"), "+OK");
    assert_eq!(shell.run("CLIENT UNBLOCK 2"), ":0", "a pause is not called off");
    let errors = [
        ("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range"),
        ("CLIENT PAUSE -1", "-ERR timeout is negative"),
        ("CLIENT PAUSE 1 SOME", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
        (
            "CLIENT PAUSE 1 ALL x",
            "-ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.",
        ),
        ("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range"),
        ("CLIENT UNBLOCK 1 x", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
    ];
    for (request, reply) in errors {
        assert_eq!(shell.run(request), reply);
    }
}

#[test]
fn help_lists_what_there_is() {
    let mut shell = Shell::new();
    let help = shell.run("CLIENT HELP");
    assert!(help.starts_with("[+CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    assert!(help.contains(" +REPLY <ON | OFF | SKIP> +    "), "{help}");
    assert!(help.ends_with(" +HELP +    Prints this help.]"), "{help}");
    assert_eq!(shell.run("CLIENT NOSUCH"), "-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.");
}
