//! Lines of MONITOR.

use super::*;
use crate::commands::script::Shell;

#[test]
fn text_is_quoted_as_in_a_shell() {
    let mut line = Vec::new();
    push_quoted(&mut line, b"a\"\\\n\r\t\x07\x08 \x00\xff~");
    assert_eq!(line, br#""a\"\\\n\r\t\a\b \x00\xff~""#);
}

#[test]
fn commands_are_shown_when_they_have_run() {
    let mut shell = Shell::new();
    assert_eq!(shell.run_as("m", "MONITOR"), "+OK");
    shell.run("SET k v");
    shell.run("MULTI");
    shell.run("INCR n");
    shell.run("SELECT 2");
    shell.run("EXEC");
    shell.run("CONFIG GET port");
    shell.run("AUTH x");
    shell.run("nonsense");
    let got = shell.take_pushed("m");
    let head = "+1700000000.000000";
    let lines = [
        r#"[0 ] "SET" "k" "v""#,
        r#"[0 ] "MULTI""#,
        r#"[0 ] "INCR" "n""#,
        r#"[2 ] "SELECT" "2""#,
        r#"[2 ] "EXEC""#,
        r#"[2 ] "AUTH" "(redacted)""#,
    ];
    assert_eq!(got, lines.map(|line| format!("{head} {line}")).join(" "));
    assert_eq!(shell.run_as("m", "PING"), format!("+PONG {head} [0 ] \"PING\""));
    assert_eq!(shell.run_as("m", "RESET"), "+RESET");
    shell.run("SET k v");
    assert_eq!(shell.take_pushed("m"), "");
    assert!(!shell.node.monitors.any());
}
