//! Channels as clients meet them.

use crate::commands::script::check;

#[test]
fn subscribers_get_what_is_published() {
    check(
        r#"
        b> SUBSCRIBE c d c
        ["subscribe" "c" :1] ["subscribe" "d" :2] ["subscribe" "c" :2]
        x> PSUBSCRIBE c*
        ["psubscribe" "c*" :1]
        > PUBLISH c hello
        :2
        b< ["message" "c" "hello"]
        x< ["pmessage" "c*" "c" "hello"]
        > PUBLISH e hello
        :0
        > PUBSUB NUMPAT
        :1
        > PUBSUB NUMSUB c e
        ["c" :1 "e" :0]
        > PUBSUB CHANNELS d*
        ["d"]
        b> UNSUBSCRIBE c
        ["unsubscribe" "c" :1]
        b> UNSUBSCRIBE
        ["unsubscribe" "d" :0]
        b> UNSUBSCRIBE
        ["unsubscribe" nil :0]
        > PUBLISH c hello
        :1
        b< -
        "#,
    );
}

#[test]
fn shard_channels_are_a_name_space_of_their_own() {
    check(
        r#"
        b> SSUBSCRIBE c
        ["ssubscribe" "c" :1]
        b> SUBSCRIBE c
        ["subscribe" "c" :1]
        > SPUBLISH c one
        :1
        > PUBLISH c two
        :1
        b< ["smessage" "c" "one"] ["message" "c" "two"]
        > PUBSUB SHARDCHANNELS
        ["c"]
        > PUBSUB SHARDNUMSUB c d
        ["c" :1 "d" :0]
        b> SUNSUBSCRIBE
        ["sunsubscribe" "c" :0]
        b> SUNSUBSCRIBE
        ["sunsubscribe" nil :0]
        "#,
    );
}

#[test]
fn a_subscriber_of_the_old_protocol_may_do_little() {
    check(
        r#"
        b> SUBSCRIBE c
        ["subscribe" "c" :1]
        b> GET k
        -ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
        b> CLIENT ID
        -ERR Can't execute 'client|id': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
        b> PING
        ["pong" ""]
        b> PING hi
        ["pong" "hi"]
        b> RESET
        +RESET
        b> PING
        +PONG
        > PUBLISH c gone
        :0
        "#,
    );
}

#[test]
fn a_subscriber_of_the_new_protocol_hears_itself_before_its_reply() {
    check(
        r#"
        b> HELLO 3 SETNAME b
        %["server" "redis" "version" "7.0.15" "proto" :3 "id" :1 "mode" "standalone" "role" "master" "modules" []]
        b> SUBSCRIBE c
        >["subscribe" "c" :1]
        b> PUBLISH c one
        >["message" "c" "one"] :1
        b> MULTI
        +OK
        b> PUBLISH c two
        +QUEUED
        b> PUBLISH c three
        +QUEUED
        b> EXEC
        [:1 :1] >["message" "c" "two"] >["message" "c" "three"]
        > PUBLISH c four
        :1
        b> PING
        >["message" "c" "four"] +PONG
        b> CLIENT REPLY OFF
        (none)
        b> PUBLISH c five
        >["message" "c" "five"]
        b> UNSUBSCRIBE c
        >["unsubscribe" "c" :0]
        b> PING
        (none)
        "#,
    );
}

#[test]
fn replicas_are_told_every_message() {
    check(
        r#"
        > PUBLISH c nobody
        :0
        ~ PUBLISH c nobody
        > SPUBLISH s nobody
        :0
        ~ SPUBLISH s nobody
        > MULTI
        +OK
        > SET k v
        +QUEUED
        > PUBLISH c m
        +QUEUED
        > EXEC
        [+OK :0]
        ~ MULTI
        ~ SET k v
        ~ PUBLISH c m
        ~ EXEC
        "#,
    );
}
