//! Tracking as clients meet it, and the table by itself.

use super::*;
use crate::commands::script::{Shell, check};

#[test]
fn what_was_read_is_told_once() {
    check(
        r#"
        b> HELLO 3
        %["server" "redis" "version" "7.0.15" "proto" :3 "id" :1 "mode" "standalone" "role" "master" "modules" []]
        b> CLIENT TRACKING ON
        +OK
        b> GET k
        nil
        b> MGET k l
        [nil nil]
        > SET k 1
        +OK
        > SET k 2
        +OK
        > SELECT 4
        +OK
        > SET l 1
        +OK
        b< >["invalidate" ["k"]] >["invalidate" ["l"]]
        b> CLIENT TRACKING OFF
        +OK
        b> GET k
        "2"
        > SET k 3
        +OK
        b< -
        "#,
    );
}

#[test]
fn own_changes_are_told_after_the_reply() {
    check(
        r#"
        b> HELLO 3
        %["server" "redis" "version" "7.0.15" "proto" :3 "id" :1 "mode" "standalone" "role" "master" "modules" []]
        b> CLIENT TRACKING ON
        +OK
        b> GET k
        nil
        b> SET k 1
        +OK >["invalidate" ["k"]]
        b> GET k
        "1"
        b> MULTI
        +OK
        b> INCR k
        +QUEUED
        b> GET l
        +QUEUED
        b> SET l 1
        +QUEUED
        b> EXEC
        [:2 nil +OK] >["invalidate" ["k"]] >["invalidate" ["l"]]
        b> CLIENT TRACKING ON NOLOOP
        +OK
        b> GET k
        "2"
        b> SET k 5
        +OK
        > SET k 6
        +OK
        b< -
        b> GET k
        "6"
        > DEL k
        :1
        b< >["invalidate" ["k"]]
        > FLUSHALL
        +OK
        b< >["invalidate" nil]
        "#,
    );
}

#[test]
fn optin_and_optout() {
    check(
        r#"
        b> HELLO 3
        %["server" "redis" "version" "7.0.15" "proto" :3 "id" :1 "mode" "standalone" "role" "master" "modules" []]
        b> CLIENT TRACKING ON OPTIN
        +OK
        b> GET a
        nil
        b> CLIENT CACHING YES
        +OK
        b> GET b
        nil
        b> GET c
        nil
        > MSET a 1 b 1 c 1
        +OK
        b< >["invalidate" ["b"]]
        b> CLIENT TRACKING OFF
        +OK
        b> CLIENT TRACKING ON OPTOUT
        +OK
        b> CLIENT CACHING NO
        +OK
        b> GET a
        "1"
        b> GET b
        "1"
        > MSET a 1 b 1 c 1
        +OK
        b< >["invalidate" ["b"]]
        "#,
    );
}

#[test]
fn redirected_to_a_subscriber_of_the_old_protocol() {
    let mut shell = Shell::new();
    shell.run_as("r", "SUBSCRIBE __redis__:invalidate");
    shell.run_as("b", "HELLO 3");
    assert_eq!(shell.run_as("b", "CLIENT TRACKING ON REDIRECT 1"), "+OK");
    shell.run_as("b", "GET k");
    shell.run("SET k 1");
    assert_eq!(shell.take_pushed("r"), r#"["message" "__redis__:invalidate" ["k"]]"#);
    assert_eq!(shell.run_as("b", "CLIENT GETREDIR"), ":1");
    shell.run_as("b", "GET k");
    shell.leave("r");
    shell.run("SET k 1");
    assert_eq!(shell.take_pushed("b"), r#">["tracking-redir-broken" :1]"#);
    let info = shell.run_as("b", "CLIENT TRACKINGINFO");
    assert_eq!(info, r#"%["flags" ~["on" "broken_redirect"] "redirect" :1 "prefixes" []]"#);
}

#[test]
fn broadcasts_come_together() {
    check(
        r#"
        b> HELLO 3
        %["server" "redis" "version" "7.0.15" "proto" :3 "id" :1 "mode" "standalone" "role" "master" "modules" []]
        b> CLIENT TRACKING ON BCAST PREFIX a PREFIX b NOLOOP
        +OK
        b> CLIENT TRACKING ON BCAST PREFIX ab
        -ERR Prefix 'ab' overlaps with an existing prefix 'a'. Prefixes for a single client must not overlap.
        > MSET a2 1 a1 1 b1 1 c1 1 a2 2
        +OK
        b< >["invalidate" ["a1" "a2"]] >["invalidate" ["b1"]]
        b> SET a1 2
        +OK
        b> CLIENT TRACKING ON BCAST PREFIX c
        +OK
        b> CLIENT TRACKINGINFO
        %["flags" ~["on" "bcast"] "redirect" :0 "prefixes" ["a" "b" "c"]]
        b> SET a1 2
        +OK
        b< >["invalidate" ["a1"]]
        "#,
    );
}

/// The housekeeper may come between two keys of one command; what it finds is not its to tell.
#[test]
fn the_housekeeper_leaves_what_is_to_be_told_to_a_worker() {
    let mut shell = Shell::new();
    shell.run_as("b", "HELLO 3");
    shell.run_as("b", "CLIENT TRACKING ON BCAST");
    shell.run("MSET k1 v k2 v");
    shell.take_pushed("b");
    shell.run("PEXPIRE k1 10");
    shell.run("PEXPIRE k2 10");
    shell.take_pushed("b");
    shell.advance_ms(11);
    let mut cron = crate::cron::Cron::default();
    assert!(!shell.node.tracking.has_news());
    shell.node.cron(&mut shell.worker, &mut cron);
    assert!(!shell.node.pushes.any(0), "half a command's keys could be among them");
    assert!(shell.node.has_mail(0), "it does not sleep over it");
    shell.end_turn();
    assert_eq!(shell.take_pushed("b"), r#">["invalidate" ["k1" "k2"]]"#);
    assert!(!shell.node.tracking.has_news());
}

#[test]
fn expiry_is_told_and_the_table_is_limited() {
    let mut shell = Shell::new();
    shell.run_as("b", "HELLO 3");
    shell.run_as("b", "CLIENT TRACKING ON");
    shell.run("SET k v PX 10");
    shell.run_as("b", "GET k");
    shell.advance_ms(11);
    shell.run("GET k");
    assert_eq!(shell.take_pushed("b"), r#">["invalidate" ["k"]]"#);
    shell.run_as("b", "MGET a b c d");
    assert_eq!((shell.node.tracking.keys(), shell.node.tracking.items()), (4, 4));
    shell.run("CONFIG SET tracking-table-max-keys 1");
    assert_eq!(shell.node.tracking.keys(), 1);
    assert_eq!(shell.take_pushed("b").matches("invalidate").count(), 3);
}

#[test]
fn a_table_forgets_what_it_is_asked_to() {
    let table = Table::default();
    let key = |at: u64| KeyHash { hash: at.wrapping_mul(0x9e37_79b9_7f4a_7c15), stripe: at as u16 };
    for at in 0..200u64 {
        table.remember(key(at), &at.to_le_bytes(), 1);
        table.remember(key(at), &at.to_le_bytes(), 1);
        table.remember(key(at), &at.to_le_bytes(), 2);
    }
    assert_eq!((table.keys(), table.items()), (200, 400));
    assert_eq!(table.take(key(7), &7u64.to_le_bytes()).expect("it is there").as_slice(), [1, 2]);
    assert!(table.take(key(7), &7u64.to_le_bytes()).is_none());
    for _ in 0..199 {
        assert!(table.take_any().is_some());
    }
    assert!(table.take_any().is_none());
    assert_eq!((table.keys(), table.items()), (0, 0));
}
