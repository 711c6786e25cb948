//! COMMAND, by scripts. That all facts are Redis's is checked in `commands/tests.rs`.

use crate::commands::script::check;

#[test]
fn info_has_the_shape_of_both_protocols() {
    check(
        r#"
        > COMMAND INFO watch nosuch
        [["watch" :-2 [+noscript +loading +stale +fast +allow_busy] :1 :-1 :1 [+@fast +@transaction] [] [["flags" [+RO] "begin_search" ["type" "index" "spec" ["index" :1]] "find_keys" ["type" "range" "spec" ["lastkey" :-1 "keystep" :1 "limit" :0]]]] []] nil]
        > COMMAND INFO rename|x config|SET
        [nil ["config|set" :-4 [+admin +noscript +loading +stale] :0 :0 :0 [+@admin +@slow +@dangerous] ["request_policy:all_nodes" "response_policy:all_succeeded"] [] []]]
        > HELLO 3 SETNAME x
        %["server" "redis" "version" "7.0.15" "proto" :3 "id" :1 "mode" "standalone" "role" "master" "modules" []]
        > COMMAND INFO get
        [["get" :2 ~[+readonly +fast] :1 :1 :1 ~[+@read +@string +@fast] ~[] ~[%["flags" ~[+RO +access] "begin_search" %["type" "index" "spec" %["index" :1]] "find_keys" %["type" "range" "spec" %["lastkey" :0 "keystep" :1 "limit" :0]]]] ~[]]]
        "#,
    );
}

#[test]
fn two_ranges_in_a_row_are_one_for_old_clients() {
    check(
        r#"
        > COMMAND GETKEYS rename a b
        ["a" "b"]
        > COMMAND GETKEYSANDFLAGS rename a b
        [["a" [+RW +access +delete]] ["b" [+OW +update]]]
        "#,
    );
    let rename = super::look_up(b"rename").expect("known");
    assert_eq!(super::legacy_range(rename.keys), ((1, 2, 1), false));
    let mset = super::look_up(b"mset").expect("known");
    assert_eq!(super::legacy_range(mset.keys), ((1, -1, 2), false));
    assert_eq!(super::legacy_range(&[]), ((0, 0, 0), false));
}

#[test]
fn keys_are_found_in_a_command() {
    check(
        r#"
        > COMMAND GETKEYS mset a 1 b 2
        ["a" "b"]
        > COMMAND GETKEYS OBJECT encoding k
        ["k"]
        > COMMAND GETKEYSANDFLAGS set a 1
        [["a" [+OW +update]]]
        > COMMAND GETKEYSANDFLAGS set a 1 get
        [["a" [+RW +access +update]]]
        > COMMAND GETKEYS nosuch a
        -ERR Invalid command specified
        > COMMAND GETKEYS client nosuch
        -ERR Invalid command specified
        > COMMAND GETKEYS ping a
        -ERR The command has no key arguments
        > COMMAND GETKEYS get a b
        -ERR Invalid number of arguments specified for command
        > COMMAND GETKEYS ping
        -ERR wrong number of arguments for 'command|getkeys' command
        "#,
    );
}

#[test]
fn lists_are_filtered() {
    check(
        r#"
        > COMMAND LIST FILTERBY ACLCAT Transaction
        ["multi" "exec" "discard" "watch" "unwatch"]
        > COMMAND LIST FILTERBY ACLCAT nosuch
        []
        > COMMAND LIST FILTERBY PATTERN CONFIG|RE*
        ["config|resetstat" "config|rewrite"]
        > COMMAND LIST FILTERBY MODULE x
        []
        > COMMAND LIST FILTERBY nosuch x
        -ERR syntax error
        > COMMAND LIST FILTERBY
        -ERR syntax error
        > COMMAND NOSUCH
        -ERR unknown subcommand 'NOSUCH'. Try COMMAND HELP.
        "#,
    );
}

#[test]
fn docs_tell_what_the_table_says() {
    check(
        r#"
        > COMMAND DOCS nosuch unwatch
        ["unwatch" ["summary" "Ends all watches." "since" "2.2.0" "group" "transactions" "complexity" "O(1) for each watched key"]]
        > COMMAND DOCS watch
        ["watch" ["summary" "Makes the next EXEC depend on keys not having changed." "since" "2.2.0" "group" "transactions" "complexity" "O(1) for each key" "arguments" [["name" "key" "type" "key" "key_spec_index" :0 "flags" [+multiple]]]]]
        "#,
    );
}

#[test]
fn what_is_for_developers_is_not_told() {
    check(
        r#"
        > COMMAND LIST FILTERBY PATTERN debug*
        ["debug"]
        > COMMAND INFO debug|sleep
        [nil]
        "#,
    );
}
