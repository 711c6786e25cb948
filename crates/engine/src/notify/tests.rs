//! Events as those who listen hear them.

use super::*;
use crate::commands::script::check;
use crate::config::KeyspaceEvents;

#[test]
fn bits_are_those_of_the_letters() {
    let letters = [
        (Events::GENERIC, "g"),
        (Events::STRING, "$"),
        (Events::LIST, "l"),
        (Events::SET, "s"),
        (Events::HASH, "h"),
        (Events::ZSET, "z"),
        (Events::EXPIRED, "x"),
        (Events::EVICTED, "e"),
        (Events::STREAM, "t"),
        (Events::MODULE, "d"),
        (Events::NEW, "n"),
        (Events::BY_KEY, "K"),
        (Events::BY_EVENT, "E"),
        (Events::MISS, "m"),
    ];
    for (events, letter) in letters {
        let parsed = KeyspaceEvents::parse(letter.as_bytes()).expect("a known letter");
        assert_eq!(parsed.bits(), events.bits(), "{letter}");
    }
}

#[test]
fn both_channels_or_one() {
    check(
        r#"
        > CONFIG SET notify-keyspace-events KEA
        +OK
        b> PSUBSCRIBE __key*
        ["psubscribe" "__key*" :1]
        > SELECT 3
        +OK
        > SET k v EX 100
        +OK
        b< ["pmessage" "__key*" "__keyspace@3__:k" "set"] ["pmessage" "__key*" "__keyevent@3__:set" "k"] ["pmessage" "__key*" "__keyspace@3__:k" "expire"] ["pmessage" "__key*" "__keyevent@3__:expire" "k"]
        > CONFIG SET notify-keyspace-events E$
        +OK
        > APPEND k w
        :2
        > DEL k
        :1
        b< ["pmessage" "__key*" "__keyevent@3__:append" "k"]
        "#,
    );
}

#[test]
fn keys_that_expire_come_and_are_missed() {
    check(
        r#"
        > CONFIG SET notify-keyspace-events Exnm
        +OK
        b> PSUBSCRIBE *
        ["psubscribe" "*" :1]
        > SET k v PX 10
        +OK
        > SET k v PX 10
        +OK
        b< ["pmessage" "*" "__keyevent@0__:new" "k"]
        + 11
        > GET k
        nil
        b< ["pmessage" "*" "__keyevent@0__:expired" "k"] ["pmessage" "*" "__keyevent@0__:keymiss" "k"]
        > OBJECT ENCODING k
        nil
        > SET k v XX
        nil
        b< -
        > RENAME nothing k
        -ERR no such key
        > SETRANGE k 2 x
        :3
        > RENAME k l
        +OK
        b< ["pmessage" "*" "__keyevent@0__:new" "k"] ["pmessage" "*" "__keyevent@0__:new" "l"]
        "#,
    );
}
