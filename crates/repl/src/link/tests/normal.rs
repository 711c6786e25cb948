//! Links that come up, stay up and come back.

use super::*;

#[test]
fn a_first_connection_gets_a_full_resync() {
    let driver = check(
        "log * Connecting to MASTER 10.0.0.1:6379
        log * MASTER <-> REPLICA sync started
        dial 10.0.0.1:6379
        > state
        connecting up=false None
        > connected
        log * Non blocking connect for SYNC fired the event.
        send PING
        > recv +PONG\\r\\n
        log * Master replied to PING, replication can continue...
        send REPLCONF listening-port 6379 | REPLCONF capa eof capa psync2
        > recv +OK\\r\\n
        > recv +OK\\r\\n
        log * Partial resynchronization not possible (no cached master)
        send PSYNC ? -1
        > recv \\n
        > state
        handshake up=false None
        > recv +FULLRESYNC ID_A 70\\r\\n
        log * Full resync from master: ID_A:70
        > recv \\n\\n$10\\r\\nREDIS
        log * MASTER <-> REPLICA sync: receiving 10 bytes from master to disk
        begin-rdb Some(10) 70 Disk
        rdb REDIS
        > state
        sync up=false None
        > recv 00107*1\\r\\n
        rdb 00107
        log * MASTER <-> REPLICA sync: Flushing old data
        log * MASTER <-> REPLICA sync: Loading DB in memory
        end-rdb
        kept *1\\r\\n
        > loaded
        log * MASTER <-> REPLICA sync: Finished with success
        synced ID_A 70
        send REPLCONF ACK 70
        > recv *1\\r\\n
        stream *1\\r\\n
        > state
        connected up=true Some((74, 70))
        > applied 74
        > ack
        send REPLCONF ACK 74",
    );
    assert_eq!(driver.rdb, b"REDIS00107");
}

#[test]
fn a_password_and_an_address_are_told_together() {
    let settings = Settings {
        auth: Some(Auth { user: Some(b"repl".to_vec()), password: b"pass word".to_vec() }),
        announce_ip: Some("192.0.2.7".to_owned()),
        listening_port: 7000,
        ..Settings::default()
    };
    check_with(
        settings,
        None,
        "log * Connecting to MASTER 10.0.0.1:6379
        log * MASTER <-> REPLICA sync started
        dial 10.0.0.1:6379
        > connected
        log * Non blocking connect for SYNC fired the event.
        send PING
        > recv -NOAUTH Authentication required.\\r\\n
        log * Master replied to PING, replication can continue...
        send AUTH repl pass word | REPLCONF listening-port 7000 | REPLCONF ip-address 192.0.2.7 | REPLCONF capa eof capa psync2
        > recv +OK\\r\\n+OK\\r\\n-ERR no ip\\r\\n-ERR no capa\\r\\n
        log * (Non critical) Master does not understand REPLCONF ip-address: -ERR no ip
        log * (Non critical) Master does not understand REPLCONF capa: -ERR no capa
        log * Partial resynchronization not possible (no cached master)
        send PSYNC ? -1",
    );
}

#[test]
fn a_returning_replica_goes_on_under_the_new_id() {
    check_returning(
        500,
        "log * Connecting to MASTER 10.0.0.1:6379
        log * MASTER <-> REPLICA sync started
        dial 10.0.0.1:6379
        > connected
        log * Non blocking connect for SYNC fired the event.
        send PING
        > recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n
        log * Master replied to PING, replication can continue...
        send REPLCONF listening-port 6379 | REPLCONF capa eof capa psync2
        log * Trying a partial resynchronization (request ID_A:501).
        send PSYNC ID_A 501
        > recv +CONTINUE ID_B\\r\\nxyz
        log * Successful partial resynchronization with master.
        log # Master replication ID changed to ID_B
        log * MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.
        resumed ID_B
        send REPLCONF ACK 500
        stream xyz
        > applied 502
        > leave
        left Some(CachedMaster { replid: ReplId(ID_B), offset: ReplOffset(502) })
        close
        log # Connection with master lost.
        log * Caching the disconnected master state.",
    );
}

#[test]
fn a_lost_link_dials_at_once_and_asks_for_what_is_not_applied() {
    check_up(
        "> recv abcdef
        stream abcdef
        > applied 104
        > closed
        log # Connection with master lost.
        log * Caching the disconnected master state.
        close
        log * Reconnecting to MASTER 10.0.0.1:6379
        log * MASTER <-> REPLICA sync started
        dial 10.0.0.1:6379
        > state
        connecting up=false Some((104, 104))
        > connected
        log * Non blocking connect for SYNC fired the event.
        send PING
        > recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n
        log * Master replied to PING, replication can continue...
        send REPLCONF listening-port 6379 | REPLCONF capa eof capa psync2
        log * Trying a partial resynchronization (request ID_A:105).
        send PSYNC ID_A 105
        > recv +CONTINUE\\r\\nefg
        log * Successful partial resynchronization with master.
        log * MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.
        resumed -
        send REPLCONF ACK 104
        stream efg",
    );
}

#[test]
fn an_ack_goes_each_second() {
    check_up(
        "> wait 999
        > wait 1
        send REPLCONF ACK 100
        > recv ab
        stream ab
        > applied 102
        > wait 1500
        send REPLCONF ACK 102
        > ack
        send REPLCONF ACK 102
        > wait 999
        > wait 1
        send REPLCONF ACK 102",
    );
}

#[test]
fn a_streamed_rdb_ends_with_its_mark() {
    let driver = check_with(
        Settings { load_to: LoadTo::Parser, ..Settings::default() },
        Some(CachedMaster { replid: id(ID_B), offset: ReplOffset(9) }),
        "log * Connecting to MASTER 10.0.0.1:6379
        log * MASTER <-> REPLICA sync started
        dial 10.0.0.1:6379
        > connected
        log * Non blocking connect for SYNC fired the event.
        send PING
        > recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n
        log * Master replied to PING, replication can continue...
        send REPLCONF listening-port 6379 | REPLCONF capa eof capa psync2
        log * Trying a partial resynchronization (request ID_B:10).
        send PSYNC ID_B 10
        > recv +FULLRESYNC ID_A 5\\r\\n$EOF:MARK\\r\\n
        log * Full resync from master: ID_A:5
        log * MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to parser
        log * Discarding previously cached master state.
        log * MASTER <-> REPLICA sync: Flushing old data
        log * MASTER <-> REPLICA sync: Loading DB in memory
        begin-rdb None 5 Parser
        > recv abc012
        rdb abc
        > recv 34x0
        rdb 012
        rdb 34x
        > recv MARK
        rdb 0
        end-rdb
        > loaded
        log * MASTER <-> REPLICA sync: Finished with success
        synced ID_A 5
        send REPLCONF ACK 5",
    );
    assert_eq!(driver.rdb, b"abc01234x0");
}

#[test]
fn while_loading_the_master_hears_a_newline_each_second() {
    check_returning(
        1,
        "log * Connecting to MASTER 10.0.0.1:6379
        log * MASTER <-> REPLICA sync started
        dial 10.0.0.1:6379
        > connected
        log * Non blocking connect for SYNC fired the event.
        send PING
        > recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n+FULLRESYNC ID_A 70\\r\\n$2\\r\\n
        log * Master replied to PING, replication can continue...
        send REPLCONF listening-port 6379 | REPLCONF capa eof capa psync2
        log * Trying a partial resynchronization (request ID_A:2).
        send PSYNC ID_A 2
        log * Full resync from master: ID_A:70
        log * MASTER <-> REPLICA sync: receiving 2 bytes from master to disk
        begin-rdb Some(2) 70 Disk
        > recv ab
        rdb ab
        log * Discarding previously cached master state.
        log * MASTER <-> REPLICA sync: Flushing old data
        log * MASTER <-> REPLICA sync: Loading DB in memory
        end-rdb
        > wait 2500
        send \\n
        send \\n
        > wait 500
        send \\n
        > closed
        > wait 100000
        > loaded
        log * MASTER <-> REPLICA sync: Finished with success
        synced ID_A 70
        send REPLCONF ACK 70
        log # Connection with master lost.
        log * Caching the disconnected master state.
        close
        log * Reconnecting to MASTER 10.0.0.1:6379
        log * MASTER <-> REPLICA sync started
        dial 10.0.0.1:6379",
    );
}

#[test]
fn a_mark_is_found_however_it_is_cut() {
    // The worst mark: every piece of it looks like its beginning.
    for mark in ["a".repeat(40), format!("{}b", "ab".repeat(20)), MARK.to_owned()] {
        let mark = &mark[..40];
        let mut wire = format!("$EOF:{mark}\r\n").into_bytes();
        let data = format!("xx{}yaaab{}z{}q", &mark[..39], &mark[..20], &mark[1..]);
        wire.extend_from_slice(data.as_bytes());
        wire.extend_from_slice(mark.as_bytes());
        for piece in 1..=wire.len() {
            let mut driver = Driver::new(Settings::default(), None);
            driver.run("connected");
            driver.run("recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n+FULLRESYNC ID_A 5\\r\\n");
            for bytes in wire.chunks(piece) {
                driver.receive(bytes);
            }
            assert!(!driver.link.wants_bytes(), "the end was not seen, pieces of {piece}");
            assert_eq!(driver.rdb, data.as_bytes(), "pieces of {piece}");
        }
    }
}

#[test]
fn any_cut_of_a_whole_sync_gives_the_same_bytes() {
    let wire =
        unescape("+PONG\\r\\n+OK\\r\\n+OK\\r\\n\\n+FULLRESYNC ID_A 5\\r\\n\\n$3\\r\\nabcstream");
    for piece in 1..=wire.len() {
        let mut driver = Driver::new(Settings::default(), None);
        driver.run("connected");
        let mut rest = &wire[..];
        while !rest.is_empty() {
            let now = &rest[..piece.min(rest.len())];
            let loading_before = !driver.link.wants_bytes();
            assert!(!loading_before);
            let used = {
                let taken = driver.link.receive(now, driver.now);
                match taken.data {
                    Data::Rdb(bytes) => driver.rdb.extend_from_slice(bytes),
                    Data::Stream(bytes) => driver.stream.extend_from_slice(bytes),
                    Data::None => {}
                }
                taken.used
            };
            rest = &rest[used..];
            driver.drain();
            if !driver.link.wants_bytes() {
                driver.run("loaded");
            }
        }
        assert_eq!((&driver.rdb[..], &driver.stream[..]), (&b"abc"[..], &b"stream"[..]));
    }
}

#[test]
fn the_end_of_the_role_keeps_no_place() {
    check_up(
        "> abandon
        close
        log # Connection with master lost.
        log * Caching the disconnected master state.
        log * Discarding previously cached master state.
        > state
        none up=false None
        > wait 100000",
    );
}
