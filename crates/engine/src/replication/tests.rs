//! What others do while somebody waits to be alone, and connections that end at the wrong moment.

use tandem_repl::syncplan::Target;

use crate::commands::script::Shell;
use crate::node::Refusals;
use crate::persistence::SnapshotEnd;
use crate::shutdown::{ShutdownOptions, ShutdownStep};

const READ_ONLY: &str = "-READONLY You can't write against a read only replica.";

#[test]
fn a_command_that_waited_is_judged_by_the_role_it_finds() {
    for flush in [&["FLUSHALL"][..], &["FLUSHDB"], &["SWAPDB 0 1"], &["MULTI", "FLUSHALL", "EXEC"]]
    {
        let mut shell = Shell::new();
        shell.run("SET k v");
        shell.take_stream();
        shell.meanwhile(&["REPLICAOF 127.0.0.1 7777"]);
        let replies: Vec<_> = flush.iter().map(|line| shell.run(line)).collect();
        let reply = replies.last().expect("one at least");
        assert!(reply.contains("READONLY"), "{flush:?}: {reply}");
        assert_eq!(shell.run("GET k"), "\"v\"", "{flush:?}");
        assert!(shell.take_stream().is_empty(), "{flush:?}");
        assert_eq!(shell.run("SET k w"), READ_ONLY);
    }
}

#[test]
fn a_command_that_waited_meets_the_pause_that_began() {
    let mut shell = Shell::new();
    shell.run("SET k v");
    shell.meanwhile(&["CLIENT PAUSE 1000 WRITE"]);
    assert_eq!(shell.run("FLUSHALL"), "(none)");
    assert_eq!(shell.run_as("b", "GET k"), "\"v\"");
    assert_eq!(shell.run_as("b", "CLIENT UNPAUSE"), "+OK");
    assert_eq!(shell.take_pushed(""), "+OK");
    assert_eq!(shell.run_as("b", "GET k"), "nil");
}

#[test]
fn a_command_that_waited_meets_the_load_that_began() {
    let mut shell = Shell::new();
    let node = std::sync::Arc::downgrade(&shell.node);
    shell.node.gate.meanwhile(Box::new(move || {
        node.upgrade().expect("it is at work").refuse(Refusals::LOADING, true);
    }));
    let loading = "-LOADING Redis is loading the dataset in memory";
    assert_eq!(shell.run("REPLICAOF 127.0.0.1 7777"), loading);
    assert!(!shell.node.is_replica());
}

#[test]
fn a_replica_that_has_gone_is_not_attached() {
    let mut shell = Shell::new();
    shell.run_as("r", "REPLCONF capa eof capa psync2");
    assert_eq!(shell.run_as("r", "PSYNC ? -1"), "(none)");
    let [id] = shell.node.replication.inner().replicas.keys().copied().collect::<Vec<_>>()[..]
    else {
        panic!("one replica")
    };
    shell.leave("r");
    let base = shell.node.stream.end();
    assert!(shell.node.attach(&[id], base, Target::Disk).is_empty());
}

#[test]
fn a_replica_that_asks_for_something_is_cut_off() {
    let mut shell = Shell::new();
    shell.run("SET k v");
    let end = shell.node.stream.end().next_byte().0;
    let replid = shell.node.replication.inner().history.replid;
    shell.run_as("r", "REPLCONF capa eof capa psync2");
    let reply = shell.run_as("r", &format!("PSYNC {replid} {end}"));
    assert!(reply.starts_with("+CONTINUE"), "{reply}");
    assert_eq!(shell.run_as("r", "REPLCONF ACK 1"), "(none)");
    assert!(!shell.is_closing("r"));
    assert_eq!(shell.run_as("r", "GET k"), "(none)");
    assert!(shell.is_closing("r"));
}

#[test]
fn a_replica_does_not_write_into_its_masters_stream_at_its_end() {
    let mut shell = Shell::new();
    shell.run_as("r", "PSYNC ? -1");
    shell.run("REPLICAOF 127.0.0.1 7777");
    // The sub-replica has acknowledged nothing.
    let end = shell.node.stream.append(b"*1\r\n$4\r\nPING\r\n");
    let alone = shell.node.gate.alone();
    let step = shell.node.request_shutdown(ShutdownOptions::default(), shell.worker.now);
    drop(alone);
    assert_eq!(step, ShutdownStep::Waits);
    assert_eq!(shell.node.stream.end(), end);
}

#[test]
fn a_shutdown_that_is_taken_back_in_time_does_not_end_the_server() {
    let mut shell = Shell::new();
    shell.run_as("r", "PSYNC ? -1");
    shell.run("SET k v");
    assert_eq!(shell.run("SHUTDOWN NOSAVE"), "(none)");
    shell.meanwhile(&["SHUTDOWN ABORT"]);
    shell.advance_ms(60_000);
    // The host would panic.
    shell.cron();
    assert!(shell.take_pushed("").starts_with("-ERR Errors trying to SHUTDOWN"));
    assert_eq!(shell.run("SET k w"), "+OK");
}

#[test]
fn who_waits_for_a_snapshot_that_is_stopped_is_cut_off() {
    let mut shell = Shell::new();
    shell.run("CONFIG SET repl-diskless-sync no");
    shell.run_as("r", "PSYNC ? -1");
    let id = shell.node.persistence.state().running.expect("one for the replica").id;
    let alone = shell.node.gate.alone();
    shell.node.stop_running_snapshot();
    drop(alone);
    shell.advance_ms(0);
    assert!(shell.is_closing("r"), "it will ask again");
    let end = SnapshotEnd { id, result: Ok(7), target: Target::Disk };
    assert!(shell.node.snapshot_ended(&end, shell.worker.now).is_empty());
    assert_eq!(shell.node.persistence.unless_stopped(id, || ()), None, "its file is nobody's");
}

#[test]
fn changes_are_not_counted_below_nothing() {
    let mut shell = Shell::new();
    shell.run("SET k v");
    assert_eq!(shell.run("BGSAVE"), "+Background saving started");
    let id = shell.node.persistence.state().running.expect("begun").id;
    shell.node.persistence.nothing_changed();
    let end = SnapshotEnd { id, result: Ok(7), target: Target::Disk };
    shell.node.snapshot_ended(&end, shell.worker.now);
    assert_eq!(shell.node.persistence.changes(), 0);
}

#[test]
fn a_save_that_was_scheduled_is_not_forgotten() {
    let mut shell = Shell::new();
    shell.run("BGSAVE");
    let id = shell.node.persistence.state().running.expect("begun").id;
    assert_eq!(shell.run("BGSAVE SCHEDULE"), "+Background saving scheduled");
    let end = SnapshotEnd { id, result: Ok(7), target: Target::Disk };
    drop(shell.node.keyspace.abort_snapshot());
    shell.node.snapshot_ended(&end, shell.worker.now);
    // Another one comes first.
    shell.meanwhile(&["BGSAVE"]);
    let now = shell.worker.now;
    shell.node.save_if_due(now);
    assert!(shell.node.persistence.state().scheduled);
    let id = shell.node.persistence.state().running.expect("the other").id;
    let end = SnapshotEnd { id, result: Ok(7), target: Target::Disk };
    drop(shell.node.keyspace.abort_snapshot());
    shell.node.snapshot_ended(&end, now);
    shell.node.save_if_due(now);
    let state = shell.node.persistence.state();
    assert!(!state.scheduled && state.running.is_some());
}

/// A replica that has been given a partial resync, under the name `r`.
fn with_replica() -> Shell {
    let mut shell = Shell::new();
    shell.run("SET k v");
    let end = shell.node.stream.end().next_byte().0;
    let replid = shell.node.replication.inner().history.replid;
    shell.run_as("r", "REPLCONF capa eof capa psync2");
    let reply = shell.run_as("r", &format!("PSYNC {replid} {end}"));
    assert!(reply.starts_with("+CONTINUE"), "{reply}");
    shell.take_stream();
    shell
}

#[test]
fn a_replica_changes_nothing_before_it_is_cut_off() {
    for request in ["SET x 1", "GET k", "PUBLISH c m"] {
        let mut shell = with_replica();
        shell.run("CLIENT PAUSE 3000 WRITE");
        assert_eq!(shell.run_as("r", request), "(none)", "{request}");
        assert!(shell.is_closing("r"), "{request}");
        assert_eq!(shell.run("GET x"), "nil", "{request}");
        assert!(shell.take_stream().is_empty(), "{request}");
    }
}

#[test]
fn a_monitor_keeps_off_the_keyspace() {
    let mut shell = Shell::new();
    shell.run("SET k v");
    assert_eq!(shell.run_as("m", "MONITOR"), "+OK");
    let refused = "-ERR Replica can't interact with the keyspace";
    for request in ["GET k", "SET k w", "PUBLISH c m"] {
        let reply = shell.run_as("m", request);
        assert!(reply.contains(refused), "{request}: {reply}");
    }
    assert!(shell.run_as("m", "PING").contains("PONG"));
    assert_eq!(shell.run("GET k"), "\"v\"");
}

/// MONITOR makes half a replica of a client: it is not held up, and cannot become a whole one.
#[test]
fn a_monitor_is_treated_as_a_replica_where_redis_does() {
    let mut shell = Shell::new();
    shell.run_as("m", "MONITOR");
    for request in ["PSYNC ? -1", "SYNC"] {
        let reply = shell.run_as("m", request);
        assert!(!reply.contains("FULLRESYNC") && !reply.contains('-'), "{request}: {reply}");
    }
    assert!(shell.run("INFO replication").contains("connected_slaves:0"));
    let reply = shell.run_as("m", "REPLICAOF 127.0.0.1 7777");
    assert!(reply.contains("-ERR Command is not valid when client is a replica."), "{reply}");
    assert_eq!(shell.run("CLIENT PAUSE 3000 ALL"), "+OK");
    assert!(shell.run_as("m", "PING").contains("PONG"));
    assert!(!shell.run("PING").contains("PONG"), "all others wait");
}

#[test]
fn nothing_but_the_stream_reaches_a_replica() {
    let mut shell = Shell::new();
    shell.run_as("r", "HELLO 3");
    shell.run_as("r", "SUBSCRIBE c");
    shell.run_as("r", "REPLCONF capa eof capa psync2");
    assert_eq!(shell.run_as("r", "PSYNC ? -1"), "(none)");
    assert_eq!(shell.run("PUBLISH c m"), ":0");
    assert_eq!(shell.take_pushed("r"), "");
    // It would be answered when the replicas have caught up.
    let mut shell = with_replica();
    shell.run("SET k w");
    assert_eq!(shell.run_as("r", "WAIT 5 500"), "(none)");
    assert!(shell.is_closing("r"));
}

/// What waits for a client when it asks to be a replica was a client's.
#[test]
fn a_push_that_came_before_psync_is_not_in_the_stream() {
    let mut shell = with_replica();
    shell.run_as("s", "HELLO 3");
    shell.run_as("s", "SUBSCRIBE c");
    shell.run_as("s", "REPLCONF capa eof capa psync2");
    let end = shell.node.stream.end().next_byte().0;
    let replid = shell.node.replication.inner().history.replid;
    shell.meanwhile(&["PUBLISH c m"]);
    let reply = shell.run_as("s", &format!("PSYNC {replid} {end}"));
    assert!(reply.starts_with("+CONTINUE") && !reply.contains("message"), "{reply}");
    shell.end_turn();
    assert_eq!(shell.take_pushed("s"), "");
    assert!(!shell.is_closing("s"));
}

#[test]
fn a_replica_that_would_be_told_of_keys_is_cut_off() {
    for (hello, is_cut_off) in [("HELLO 3", true), ("HELLO 2", false)] {
        let mut shell = with_replica();
        shell.run_as("s", hello);
        let id = shell.run_as("s", "CLIENT ID");
        shell.run_as("s", "REPLCONF capa eof capa psync2");
        shell.run_as("t", &format!("CLIENT TRACKING ON REDIRECT {}", &id[1..]));
        shell.run_as("t", "GET k");
        assert_eq!(shell.run_as("s", "PSYNC ? -1"), "(none)");
        assert!(!shell.is_closing("s"));
        shell.run("SET k w");
        assert_eq!(shell.take_pushed("s"), "", "nothing but the stream, {hello}");
        assert_eq!(shell.is_closing("s"), is_cut_off, "{hello}");
    }
}

#[test]
fn a_replica_that_loads_for_long_is_not_silent() {
    let mut shell = with_replica();
    for _ in 0..5 {
        shell.advance_ms(30_000);
        shell.send_bytes("r", b"\n");
        shell.cron();
        assert!(!shell.is_closing("r"));
    }
    shell.advance_ms(70_000);
    shell.cron();
    assert!(shell.is_closing("r"), "and without a sign of life it is cut off");
}

#[test]
fn what_follows_a_promotion_in_a_transaction_is_told() {
    let mut shell = Shell::new();
    shell.run("REPLICAOF 127.0.0.1 7777");
    shell.run("CONFIG SET replica-read-only no");
    let end = shell.node.stream.end();
    for line in ["MULTI", "SET own 1", "REPLICAOF NO ONE", "SET x 1"] {
        shell.run(line);
    }
    assert_eq!(shell.run("EXEC"), "[+OK +OK +OK]");
    // Readers from before the promotion are cut off: they come again.
    let cursor = shell.node.stream.cursor_at(end.next_byte()).expect("in the backlog");
    let told = cursor.chunks().collect::<Vec<_>>().concat();
    let select_and_set =
        b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1\r\n1\r\n";
    assert_eq!(String::from_utf8_lossy(&told), String::from_utf8_lossy(select_and_set));
}

/// It is in the data that the history goes on with, so whoever goes on with that must hear of it.
#[test]
fn what_precedes_a_change_of_roles_in_a_transaction_is_told() {
    let mut shell = with_replica();
    shell.take_stream();
    let begun = shell.node.stream.end();
    let queued = [
        "MULTI",
        "SET a 1",
        "INCR n",
        "REPLICAOF 127.0.0.1 7777",
        "CONFIG SET replica-read-only no",
        "SET own 1",
        "REPLICAOF NO ONE",
        "SET b 1",
    ];
    for line in queued {
        shell.run(line);
    }
    assert_eq!(shell.run("EXEC"), "[+OK :1 +OK +OK +OK +OK +OK]");
    let cursor = shell.node.stream.cursor_at(begun.next_byte()).expect("in the backlog");
    let told = cursor.chunks().collect::<Vec<_>>().concat();
    let told = String::from_utf8_lossy(&told);
    let at = |what: &str| told.find(what).unwrap_or_else(|| panic!("{what} in {told}"));
    let first_ends = at("EXEC\r\n") + "EXEC\r\n".len();
    assert!(at("MULTI") < at("\r\na\r\n") && at("\r\nn\r\n") < first_ends, "{told}");
    assert!(first_ends < at("\r\nb\r\n"), "{told}");
    assert!(!told.contains("own"), "what is written to a replica stays there: {told}");
    // The old history covers it, so one that lacks it is sent it.
    let info = shell.run("INFO replication");
    let second = format!("second_repl_offset:{}\\r", begun.0 + first_ends as u64 + 1);
    assert!(info.contains(&second), "{second} in {info}");
}

#[test]
fn a_transaction_that_ends_a_masters_role_is_told() {
    let mut shell = with_replica();
    shell.take_stream();
    for line in ["MULTI", "SET a 1", "REPLICAOF 127.0.0.1 7777", "EXEC"] {
        shell.run(line);
    }
    assert_eq!(shell.take_stream(), ["SET a 1"]);
    let place = shell.node.replication.inner().place.map(|place| place.offset);
    assert_eq!(place, Some(shell.node.stream.end()));
}

#[test]
fn a_key_that_a_pause_hid_goes_before_it_is_written() {
    let mut shell = Shell::new();
    shell.run("SET k 1 PX 100");
    shell.advance_ms(101);
    shell.take_stream();
    for line in ["MULTI", "CLIENT PAUSE 300 WRITE", "SET k 2 KEEPTTL"] {
        shell.run(line);
    }
    assert_eq!(shell.run("EXEC"), "[+OK +OK]");
    let told = shell.take_stream();
    assert_eq!(
        told,
        ["MULTI", "DEL k", "SET k 2 KEEPTTL", "EXEC"],
        "a replica hid it with its TTL"
    );
    assert_eq!(shell.run("TTL k"), ":-1");
}

#[test]
fn what_goes_on_a_writable_replica_is_told_to_those_who_cached_it() {
    let mut shell = Shell::new();
    shell.run("REPLICAOF 127.0.0.1 7777");
    shell.run("CONFIG SET replica-read-only no replica-serve-stale-data yes");
    shell.run("HSET h f v");
    shell.run("PEXPIRE h 100");
    shell.run_as("c", "HELLO 3");
    shell.run_as("c", "CLIENT TRACKING ON");
    shell.run_as("c", "HGET h f");
    shell.advance_ms(101);
    assert_eq!(shell.run("HDEL h f"), ":0");
    assert!(shell.take_pushed("c").contains("invalidate"), "the key is gone");
}
