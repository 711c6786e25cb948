//! CONFIG, by scripts.

use crate::commands::script::{Shell, check};

#[test]
fn directives_are_read_and_changed() {
    check(
        r#"
        > CONFIG GET maxclients port nosuch
        ["maxclients" "10000" "port" "6379"]
        > CONFIG SET maxclients 500 hz 20
        +OK
        > CONFIG GET hz maxclients
        ["hz" "20" "maxclients" "500"]
        > CONFIG SET maxclients 600 hz many
        -ERR CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be parsed into an integer
        > CONFIG GET maxclients
        ["maxclients" "500"]
        > CONFIG SET nosuch 1
        -ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'
        > CONFIG SET hz 1 hz
        -ERR syntax error
        > CONFIG REWRITE
        -ERR The server is running without a config file
        > CONFIG SET hz 10 HZ 20
        -ERR CONFIG SET failed (possibly related to argument 'HZ') - duplicate parameter
        "#,
    );
}

#[test]
fn a_backlog_has_a_smallest_size() {
    check(
        r#"
        > CONFIG SET repl-backlog-size 100
        +OK
        > CONFIG GET repl-backlog-size
        ["repl-backlog-size" "16384"]
        > CONFIG SET repl-backlog-size 1mb
        +OK
        > CONFIG SET repl-backlog-size 5 port 1
        -ERR CONFIG SET failed (possibly related to argument 'port') - not here
        > CONFIG GET repl-backlog-size
        ["repl-backlog-size" "1048576"]
        "#,
    );
}

#[test]
fn a_change_that_the_host_refuses_is_taken_back() {
    let mut shell = Shell::new();
    assert_eq!(
        shell.run("CONFIG SET maxclients 77 port 1"),
        "-ERR CONFIG SET failed (possibly related to argument 'port') - not here"
    );
    assert_eq!(shell.run("CONFIG GET maxclients"), "[\"maxclients\" \"10000\"]");
    assert_eq!(shell.node.maxclients(), 10_000, "the copies for hot paths went back too");
}

#[test]
fn counts_begin_again() {
    let mut shell = Shell::new();
    shell.run("GET nothing");
    shell.run("NOSUCH");
    assert!(shell.run("INFO stats").contains("\\r\\nkeyspace_misses:1\\r\\n"));
    assert!(shell.run("INFO errorstats").contains("\\r\\nerrorstat_ERR:count=1\\r\\n"));
    assert_eq!(shell.run("CONFIG RESETSTAT"), "+OK");
    assert!(shell.run("INFO stats").contains("\\r\\nkeyspace_misses:0\\r\\n"));
    assert_eq!(shell.run("INFO errorstats"), "\"# Errorstats\\r\\n\"");
}
