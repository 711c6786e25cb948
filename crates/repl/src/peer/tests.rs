//! A replica's course, and the questions about all of them.

use super::*;
use crate::replconf::Effect;

fn facts(line: &str) -> ReplicaFacts {
    let mut facts = ReplicaFacts::default();
    let args: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(facts.replconf(&args), Effect::Noted);
    facts
}

fn modern() -> ReplicaFacts {
    facts("listening-port 6380 capa eof capa psync2")
}

const T: Mono = Mono(0);

fn at(ms: u64) -> Mono {
    T.plus_ms(ms)
}

fn takes_stream(peer: &Peer) -> bool {
    peer.state() == PeerState::Online { held: false }
}

fn texts(lines: Vec<LogLine>) -> Vec<String> {
    lines.into_iter().map(|line| line.text).collect()
}

#[test]
fn a_replica_is_sent_a_file_and_then_the_stream() {
    let mut peer = Peer::waiting(modern(), "10.0.0.7", false, T);
    assert_eq!((peer.info_state(), peer.wants_newline()), ("wait_bgsave", true));
    let reply = peer.attach(ReplId([b'a'; 40]), ReplOffset(9), Target::Disk).unwrap();
    assert_eq!(reply, format!("+FULLRESYNC {} 9\r\n", "a".repeat(40)).into_bytes());
    assert_eq!((peer.info_state(), peer.wants_newline()), ("wait_bgsave", true));
    assert!(!takes_stream(&peer));
    assert_eq!(peer.begin_to_send(123), b"$123\r\n");
    assert_eq!((peer.info_state(), peer.wants_newline()), ("send_bulk", false));
    let (after, lines) = peer.rdb_sent(at(5000));
    assert_eq!(after, AfterRdb::Stream);
    assert_eq!(texts(lines), ["Synchronization with replica 10.0.0.7:6380 succeeded"]);
    assert!(takes_stream(&peer));
    assert!(!peer.ack(ReplOffset(50), at(6000)));
    assert_eq!(peer.info_line(at(8999)), "ip=10.0.0.7,port=6380,state=online,offset=50,lag=2");
}

#[test]
fn a_streamed_rdb_holds_the_stream_until_the_first_ack() {
    let mut peer = Peer::waiting(modern(), "10.0.0.7", false, T);
    assert!(peer.attach(ReplId::NONE, ReplOffset(9), Target::Sockets).is_some());
    assert!(!peer.wants_newline());
    let (after, lines) = peer.rdb_sent(at(10));
    assert_eq!(after, AfterRdb::HoldUntilAck);
    assert_eq!(
        texts(lines),
        [
            "Streamed RDB transfer with replica 10.0.0.7:6380 succeeded (socket). Waiting for \
             REPLCONF ACK from slave to enable streaming",
            "Synchronization with replica 10.0.0.7:6380 succeeded"
        ]
    );
    assert_eq!((peer.info_state(), takes_stream(&peer)), ("online", false));
    assert!(peer.ack(ReplOffset(9), at(20)), "the stream begins");
    assert!(!peer.ack(ReplOffset(9), at(30)));
    assert!(takes_stream(&peer));
}

#[test]
fn an_ack_before_the_end_of_the_rdb_starts_nothing() {
    let mut peer = Peer::waiting(modern(), "10.0.0.7", false, T);
    assert!(!peer.ack(ReplOffset(1), T));
    let _ = peer.attach(ReplId::NONE, ReplOffset(9), Target::Sockets);
    assert!(!peer.ack(ReplOffset(1), T));
    assert!(!takes_stream(&peer));
}

#[test]
fn one_that_wants_only_the_rdb_goes_afterwards() {
    let facts = facts("capa eof rdb-only 1");
    let mut peer = Peer::waiting(facts, "10.0.0.7", true, T);
    assert_eq!(peer.attach(ReplId::NONE, ReplOffset(9), Target::Disk), None);
    peer.begin_to_send(1);
    let (after, lines) = peer.rdb_sent(T);
    assert_eq!(after, AfterRdb::Disconnect);
    assert_eq!(
        texts(lines),
        ["RDB transfer completed, rdb only replica (10.0.0.7:<unknown-replica-port>) should be \
          disconnected asap"]
    );
    assert_eq!(peer.info_state(), "rdb_transmitted");
}

#[test]
fn silence_is_judged_by_stage() {
    let line = |peer: &Peer, ms| peer.timed_out(at(ms), 60_000).map(|line| line.text);
    let mut peer = Peer::resumed(modern(), "10.0.0.7", T);
    assert_eq!(line(&peer, 60_000), None);
    assert_eq!(
        line(&peer, 60_001).unwrap(),
        "Disconnecting timedout replica (streaming sync): 10.0.0.7:6380"
    );
    peer.sign_of_life(at(30_000));
    assert_eq!(line(&peer, 60_001), None);

    let mut peer = Peer::waiting(modern(), "10.0.0.7", false, T);
    assert_eq!(line(&peer, 999_999), None);
    let _ = peer.attach(ReplId::NONE, ReplOffset(9), Target::Sockets);
    assert_eq!(line(&peer, 999_999), None);
    // What fills the socket sends something, and is the last that is tried.
    peer.rdb_written(9, true, at(500));
    assert!(line(&peer, 60_501).is_some());
    peer.rdb_written(9, true, at(1000));
    peer.rdb_written(0, true, at(50_000));
    assert_eq!(line(&peer, 61_000), None);
    assert_eq!(
        line(&peer, 61_001).unwrap(),
        "Disconnecting timedout replica (full sync): 10.0.0.7:6380"
    );
    peer.rdb_written(9, false, at(61_001));
    assert_eq!(line(&peer, 999_999), None);

    // One that came with SYNC cannot be heard of.
    let mut peer = Peer::waiting(modern(), "10.0.0.7", true, T);
    let _ = peer.attach(ReplId::NONE, ReplOffset(9), Target::Disk);
    peer.begin_to_send(1);
    let _ = peer.rdb_sent(T);
    assert_eq!(line(&peer, 999_999), None);
}

#[test]
fn names_are_shown_as_redis_shows_them() {
    let name = |line: &str, addr| name_in_log(&facts(line), addr);
    assert_eq!(name("", "10.0.0.7"), "10.0.0.7:<unknown-replica-port>");
    assert_eq!(name("listening-port 1", "10.0.0.7"), "10.0.0.7:1");
    assert_eq!(name("listening-port 1", "::1"), "[::1]:1");
    assert_eq!(name("listening-port 1 ip-address host", "::1"), "host:1");
}

#[test]
fn good_and_acknowledged_replicas_are_counted() {
    let mut peers: Vec<Peer> = (0..3).map(|_| Peer::resumed(modern(), "10.0.0.7", T)).collect();
    peers.push(Peer::waiting(modern(), "10.0.0.7", false, T));
    for (peer, offset) in peers.iter_mut().zip([10, 20, 30, 40]) {
        assert!(!peer.ack(ReplOffset(offset), at(offset * 1000)));
    }
    assert!(!peers[2].ack(ReplOffset(5), at(31_000)), "acknowledged is acknowledged");
    let acked = |offset| count_acked(&peers, ReplOffset(offset));
    assert_eq!([acked(0), acked(10), acked(11), acked(30), acked(31)], [3, 3, 2, 1, 0]);
    let good = |lag, ms| count_good(&peers, lag, at(ms));
    assert_eq!(
        [good(10, 31_000), good(11, 31_999), good(9, 41_000), good(9, 40_999)],
        [1, 2, 0, 1]
    );
}
