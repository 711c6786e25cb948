//! What a write looks like to a bare replica. Two ways of asking: streams written out by hand,
//! the exact ones that Redis's own suite knows; and a long list of commands whose stream must be
//! the one that stock Redis makes of them.

use std::time::Duration;

use tandem_harness::{Client, Kind, Server, Sync, assert_stream};

use crate::pairs::{for_each_kind, for_each_pair};
use crate::{redis, start_replica, wait_same_data};

for_each_kind!(
    times_to_live_are_absolute,
    getex_is_persist_pexpireat_del_or_nothing,
    getdel_is_del,
    a_transaction_of_one_write_loses_its_frame,
    a_transaction_of_several_writes_keeps_its_frame,
    a_select_inside_a_transaction_is_inside_its_frame,
    what_changes_nothing_is_not_sent,
    a_demotion_inside_a_transaction_stops_its_propagation,
    keys_found_expired_are_bare_deletes,
    flushes_are_always_sent,
    the_stream_is_the_one_that_stock_redis_makes,
    a_replica_sends_its_masters_bytes_on,
);

for_each_pair!(what_a_replica_cannot_apply_is_told_with_what_stood_before,);

fn attached(kind: &Kind) -> (Server, Client, Sync) {
    let server = Server::start(kind, &[]);
    let client = server.client();
    let sync = Sync::attach(server.port());
    (server, client, sync)
}

/// Runs `lines` and asks that none of them fails.
#[track_caller]
fn run_all(client: &mut Client, lines: &[&str]) {
    for line in lines {
        let reply = client.run(line);
        assert!(reply.error().is_none(), "{line}: {reply:?}");
    }
}

fn times_to_live_are_absolute(kind: &Kind) {
    let (_server, mut c, mut sync) = attached(kind);
    run_all(
        &mut c,
        &[
            "set foo1 bar ex 200",
            "set foo1 bar px 100000",
            "set foo1 bar exat 33177117420",
            "set foo1 bar pxat 33177117420000",
            "setex foo1 100 bar",
            "psetex foo1 100000 bar",
            "set foo2 bar",
            "expire foo2 100",
            "pexpire foo2 100000",
            "set foo3 bar",
            "expireat foo3 33177117420",
            "pexpireat foo3 33177117420000",
            "expireat foo3 1000",
            "set foo4 bar",
            "getex foo4 ex 200",
            "getex foo4 px 200000",
            "getex foo4 exat 33177117420",
            "getex foo4 pxat 33177117420000",
            "set foo5 bar",
        ],
    );
    let tandem_harness::Value::Bulk(dump) = c.run("dump foo5") else { panic!("foo5 is there") };
    c.cmd(&[b"restore", b"foo6".as_slice(), b"100000", &dump]).ok();
    c.cmd(&[b"restore", b"foo7".as_slice(), b"33177117420000", &dump, b"absttl"]).ok();
    assert_stream(
        &mut sync,
        &[
            "select *",
            "set foo1 bar PXAT *",
            "set foo1 bar PXAT *",
            "set foo1 bar PXAT *",
            "set foo1 bar PXAT *",
            "set foo1 bar PXAT *",
            "set foo1 bar PXAT *",
            "set foo2 bar",
            "pexpireat foo2 *",
            "pexpireat foo2 *",
            "set foo3 bar",
            "pexpireat foo3 *",
            "pexpireat foo3 *",
            "del foo3",
            "set foo4 bar",
            "pexpireat foo4 *",
            "pexpireat foo4 *",
            "pexpireat foo4 *",
            "pexpireat foo4 *",
            "set foo5 bar",
            "restore foo6 * ABSTTL",
            "restore foo7 * absttl",
        ],
    );
}

fn getex_is_persist_pexpireat_del_or_nothing(kind: &Kind) {
    let (_server, mut c, mut sync) = attached(kind);
    run_all(
        &mut c,
        &["set foo bar ex 100", "getex foo persist", "getex foo", "getex foo exat 1000"],
    );
    assert_stream(&mut sync, &["select *", "set foo bar PXAT *", "persist foo", "del foo"]);
    sync.assert_silent(Duration::from_millis(100));
}

fn getdel_is_del(kind: &Kind) {
    let (_server, mut c, mut sync) = attached(kind);
    run_all(&mut c, &["set foo bar", "getex foo", "getdel foo", "getdel foo"]);
    assert_stream(&mut sync, &["select *", "set foo bar", "del foo"]);
    sync.assert_silent(Duration::from_millis(100));
}

fn a_transaction_of_one_write_loses_its_frame(kind: &Kind) {
    let (_server, mut c, mut sync) = attached(kind);
    run_all(&mut c, &["multi", "set foo bar", "exec", "set foo2 bar"]);
    assert_stream(&mut sync, &["select *", "set foo bar", "set foo2 bar"]);
}

fn a_transaction_of_several_writes_keeps_its_frame(kind: &Kind) {
    let (_server, mut c, mut sync) = attached(kind);
    run_all(
        &mut c,
        &["multi", "set foo{t} bar", "get foo{t}", "set foo2{t} bar2", "set foo3{t} bar3", "exec"],
    );
    let inside = ["set foo{t} bar", "set foo2{t} bar2", "set foo3{t} bar3"];
    assert_stream(&mut sync, &["select *", "multi", inside[0], inside[1], inside[2], "exec"]);
}

fn a_select_inside_a_transaction_is_inside_its_frame(kind: &Kind) {
    let (_server, mut c, mut sync) = attached(kind);
    run_all(
        &mut c,
        &[
            "multi", "select 1", "set a 1", "get a", "select 2", "set a 2", "select 3", "set a 3",
            "exec",
        ],
    );
    assert_stream(
        &mut sync,
        &["select 1", "multi", "set a 1", "select 2", "set a 2", "select 3", "set a 3", "exec"],
    );
}

fn what_changes_nothing_is_not_sent(kind: &Kind) {
    let (_server, mut c, mut sync) = attached(kind);
    run_all(&mut c, &["multi", "exec", "set foo value1", "multi", "get foo", "exec"]);
    run_all(&mut c, &["multi", "del nothing", "exec", "del nothing", "expire nothing 5"]);
    run_all(&mut c, &["persist foo", "setnx foo x", "msetnx foo x bar y", "set foo x nx"]);
    run_all(&mut c, &["set nothing x xx", "getdel nothing", "move nothing 1", "incr n"]);
    assert_stream(&mut sync, &["select *", "set foo value1", "incr n"]);
}

fn a_demotion_inside_a_transaction_stops_its_propagation(kind: &Kind) {
    let (_server, mut c, mut sync) = attached(kind);
    run_all(
        &mut c,
        &["set foo bar", "multi", "set foo2 bar", "replicaof localhost 9", "set foo3 bar"],
    );
    c.run("exec");
    let refused = c.run("set foo4 bar").error().expect("a replica refuses writes");
    assert!(refused.starts_with("READONLY"), "{refused}");
    assert_stream(&mut sync, &["select *", "set foo bar"]);
}

fn keys_found_expired_are_bare_deletes(kind: &Kind) {
    for look in ["scan 0", "randomkey"] {
        let server = Server::start(kind, &[]);
        let mut c = server.client();
        run_all(&mut c, &["debug set-active-expire 0", "set foo1 b px 1", "set foo2 b px 1"]);
        std::thread::sleep(Duration::from_millis(10));
        let mut sync = Sync::attach(server.port());
        run_all(&mut c, &[look]);
        assert_stream(&mut sync, &["select *", "del foo*", "del foo*"]);
    }
}

fn flushes_are_always_sent(kind: &Kind) {
    let (_server, mut c, mut sync) = attached(kind);
    run_all(&mut c, &["set key value", "flushdb", "set key value2", "flushall"]);
    run_all(&mut c, &["flushdb", "flushdb", "flushall", "multi", "flushall", "exec"]);
    assert_stream(
        &mut sync,
        &["select *", "set key value", "flushdb", "set key value2", "flushall"],
    );
    assert_stream(&mut sync, &["flushdb", "flushdb", "flushall", "flushall"]);
}

/// Every write of the string and key groups, with and without effect, in a fixed order.
const WRITES: &str = include_str!("writes.txt");

fn the_stream_is_the_one_that_stock_redis_makes(kind: &Kind) {
    let want = stream_of(&redis());
    let got = stream_of(kind);
    assert!(want.len() > 100, "the list must have written a lot");
    for n in 0..want.len().max(got.len()) {
        let before = &want[n.saturating_sub(3)..n.min(want.len())];
        assert_eq!(got.get(n), want.get(n), "entry {n} of the stream, after {before:?}");
    }
}

/// The stream that the list makes, with times made equal.
fn stream_of(kind: &Kind) -> Vec<String> {
    let (_server, mut c, mut sync) = attached(kind);
    for line in WRITES.lines().map(str::trim) {
        if !line.is_empty() && !line.starts_with('#') {
            // Errors belong to the list: a refused write must not be sent.
            c.run(line);
        }
    }
    c.run("SET the end").ok();
    let mut stream = Vec::new();
    while stream.last().is_none_or(|last| last != "set the end") {
        let words = sync.next_command();
        let timeless = words.split(' ').map(|w| if is_time(w) { "TIME" } else { w });
        stream.push(timeless.collect::<Vec<_>>().join(" "));
    }
    stream
}

/// Whether this is a time of about now in milliseconds (and not one that the list gave).
fn is_time(word: &str) -> bool {
    word.len() == 13 && word.bytes().all(|b| b.is_ascii_digit())
}

fn a_replica_sends_its_masters_bytes_on(kind: &Kind) {
    let master = Server::start(kind, &[]);
    let replica = start_replica(kind, master.port(), &[]);
    let mut of_master = Sync::attach(master.port());
    let mut of_replica = Sync::attach(replica.port());
    let mut c = master.client();
    run_all(
        &mut c,
        &["select 5", "set a 1 ex 100", "multi", "incr n", "select 6", "incr n", "exec"],
    );
    // Reads on the replica in another database must not show in what it sends on.
    let mut reader = replica.client();
    run_all(&mut reader, &["select 2", "get a"]);
    run_all(&mut c, &["flushall", "set last 1"]);
    loop {
        let (want, got) = (of_master.next_command(), of_replica.next_command());
        assert_eq!(got, want);
        if want == "set last 1" {
            break;
        }
    }
    wait_same_data(&master, &replica);
}

fn what_a_replica_cannot_apply_is_told_with_what_stood_before(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &["--repl-ping-replica-period", "3600"]);
    let args = ["--rename-command", "DEL", "", "--replica-read-only", "no"];
    let r = start_replica(replica, m.port(), &args);
    let mut c = m.client();
    c.run("SET seen before").ok();
    wait_same_data(&m, &r);
    c.run("DEL seen");
    let critical = "# == CRITICAL == This replica is sending an error to its master: ";
    r.wait_for_log(&format!("{critical}'unknown command 'DEL'"));
    r.wait_for_log("' after processing the command '<unknown>'\n");
    r.client().run("HSET other f v");
    c.run("APPEND other x");
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    r.wait_for_log(&format!("{critical}'{wrong}' after processing the command 'append'\n"));
    // In front of the command stands the one that the other line is about. Valkey thinks less of it.
    let level = if matches!(replica, Kind::Peer { .. }) { '*' } else { '#' };
    r.wait_for_log(&format!(" {level} Latest backlog is: '\""));
    r.wait_for_log("\\r\\n$4\\r\\nseen\\r\\n$6\\r\\nbefore\\r\\n\"'\n");
    r.wait_for_log("\\r\\n$3\\r\\nDEL\\r\\n$4\\r\\nseen\\r\\n\"'\n");
    assert_eq!(r.client().info("master_link_status"), "up");
}
