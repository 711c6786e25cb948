//! Full and partial resynchronisation: how a replica gets all the data, and how it gets only
//! what it missed.

use tandem_harness::{Kind, Load, Proxy, Server, Way, wait_until};

use crate::pairs::{for_each_kind, for_each_pair};
use crate::{STEADY, fill, start_replica, wait_for_more, wait_same_data};

for_each_pair!(
    full_sync_from_disk,
    full_sync_without_disk,
    full_sync_into_memory,
    a_full_sync_replaces_what_the_replica_held,
    one_snapshot_serves_replicas_that_come_together,
    cuts_under_load_end_in_partial_resyncs,
    a_long_absence_within_the_backlog_is_partial,
    an_overrun_backlog_means_a_full_resync,
    a_backlog_past_its_time_means_a_full_resync,
    a_link_cut_in_the_middle_of_the_snapshot_starts_again,
    a_silent_master_is_given_up_and_found_again,
    a_replica_that_does_not_read_is_cut_off_and_comes_back,
    a_large_value_waits_for_nothing_that_comes_after_it,
);

for_each_kind!(a_replica_that_stops_reading_a_streamed_rdb_holds_nobody_up);

const BIG_BACKLOG: [&str; 2] = ["--repl-backlog-size", "100mb"];

/// Attaches a replica while four threads write, and compares the data in the end.
fn full_sync(
    master: &Kind,
    replica: &Kind,
    of_master: &[&str],
    of_replica: &[&str],
) -> [Server; 2] {
    let m = Server::start(master, of_master);
    fill(&m);
    let load = Load::start(m.port(), 4, 1, STEADY);
    let r = start_replica(replica, m.port(), of_replica);
    wait_for_more(&load, 300);
    load.stop();
    wait_same_data(&m, &r);
    assert_eq!(m.client().info("sync_full"), "1");
    for db in [0, 3, 15] {
        let size = |s: &Server| {
            let mut c = s.client();
            c.cmd(&["SELECT", &db.to_string()]).ok();
            c.run("DBSIZE").int()
        };
        // Volatile keys of the load go on vanishing, here first and then there.
        wait_until(&format!("database {db} is as large"), || size(&m) == size(&r));
    }
    [m, r]
}

fn full_sync_from_disk(master: &Kind, replica: &Kind) {
    let [m, r] = full_sync(master, replica, &["--repl-diskless-sync", "no"], &[]);
    m.wait_for_log("Starting BGSAVE for SYNC with target: disk");
    r.wait_for_log("bytes from master");
}

fn full_sync_without_disk(master: &Kind, replica: &Kind) {
    let [m, r] = full_sync(master, replica, &["--repl-diskless-sync", "yes"], &[]);
    m.wait_for_log("Starting BGSAVE for SYNC with target: replicas sockets");
    r.wait_for_log("receiving streamed RDB from master with EOF");
    let file = m.file("dump.rdb");
    assert!(!std::path::Path::new(&file).exists(), "nothing of it was stored");
}

fn full_sync_into_memory(master: &Kind, replica: &Kind) {
    let into_memory = ["--repl-diskless-load", "swapdb"];
    let [_m, r] = full_sync(master, replica, &["--repl-diskless-sync", "yes"], &into_memory);
    r.wait_for_log("receiving streamed RDB from master with EOF");
}

fn a_full_sync_replaces_what_the_replica_held(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    m.client().run("SET kept by-master").ok();
    let r = Server::start(replica, &[]);
    fill(&r);
    r.client().run("SET kept by-replica").ok();
    r.replicate(m.port());
    r.wait_link_up();
    wait_same_data(&m, &r);
    assert_eq!(r.client().run("GET kept").text(), "by-master");
    assert_eq!(r.client().run("DBSIZE").int(), 1);
}

fn one_snapshot_serves_replicas_that_come_together(master: &Kind, replica: &Kind) {
    let options = ["--repl-diskless-sync-delay", "60", "--repl-diskless-sync-max-replicas", "3"];
    let m = Server::start(master, &options);
    fill(&m);
    let replicas: Vec<Server> = (0..3).map(|_| Server::start(replica, &[])).collect();
    for r in &replicas {
        r.replicate(m.port());
    }
    for r in &replicas {
        r.wait_link_up();
        wait_same_data(&m, r);
    }
    assert_eq!(m.log().matches("Starting BGSAVE for SYNC").count(), 1);
    assert_eq!(m.client().info("connected_slaves"), "3");
}

fn cuts_under_load_end_in_partial_resyncs(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &BIG_BACKLOG);
    let proxy = Proxy::start(m.port());
    let r = start_replica(replica, proxy.port(), &[]);
    let load = Load::start(m.port(), 2, 2, STEADY);
    for cut in 1..=5 {
        wait_for_more(&load, 100);
        proxy.break_once();
        let what = format!("partial resync {cut}");
        let mut c = m.client();
        wait_until(&what, || c.info("sync_partial_ok") == cut.to_string());
    }
    load.stop();
    wait_same_data(&m, &r);
    assert_eq!(m.client().info("sync_full"), "1");
}

fn a_long_absence_within_the_backlog_is_partial(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &BIG_BACKLOG);
    let proxy = Proxy::start(m.port());
    let r = start_replica(replica, proxy.port(), &[]);
    let load = Load::start(m.port(), 2, 3, STEADY);
    proxy.cut();
    let mut c = r.client();
    wait_until("the replica sees the cut", || c.info("master_link_status") == "down");
    wait_for_more(&load, 1500);
    proxy.heal();
    r.wait_link_up();
    load.stop();
    wait_same_data(&m, &r);
    let mut c = m.client();
    assert_eq!([c.info("sync_full"), c.info("sync_partial_ok")], ["1", "1"]);
    r.wait_for_log("Successful partial resynchronization with master.");
    m.wait_for_log("Partial resynchronization request from");
}

fn an_overrun_backlog_means_a_full_resync(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &["--repl-backlog-size", "16kb"]);
    let proxy = Proxy::start(m.port());
    let r = start_replica(replica, proxy.port(), &[]);
    proxy.cut();
    let mut c = r.client();
    wait_until("the replica sees the cut", || c.info("master_link_status") == "down");
    let mut c = m.client();
    wait_until("the master sees the cut", || c.info("connected_slaves") == "0");
    for n in 0..100 {
        c.cmd(&["SET", &format!("k{n}"), &"v".repeat(10_000)]).ok();
    }
    proxy.heal();
    r.wait_link_up();
    wait_same_data(&m, &r);
    assert_eq!(c.info("sync_full"), "2");
    m.wait_for_log("Unable to partial resync with replica");
}

fn a_backlog_past_its_time_means_a_full_resync(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &["--repl-backlog-ttl", "1"]);
    let proxy = Proxy::start(m.port());
    let r = start_replica(replica, proxy.port(), &[]);
    m.client().run("SET a 1").ok();
    proxy.cut();
    let mut c = m.client();
    wait_until("the backlog is let go", || c.info("repl_backlog_active") == "0");
    c.run("SET b 2").ok();
    proxy.heal();
    r.wait_link_up();
    wait_same_data(&m, &r);
    assert_eq!(c.info("sync_full"), "2");
}

fn a_link_cut_in_the_middle_of_the_snapshot_starts_again(master: &Kind, replica: &Kind) {
    // Seconds long at the pace of the proxy, and so not compressed.
    let m = Server::start(master, &["--repl-diskless-sync", "yes", "--rdbcompression", "no"]);
    m.client().run("DEBUG POPULATE 30000 big 500").ok();
    let proxy = Proxy::start(m.port());
    proxy.delay_ms(20);
    let r = Server::start(replica, &[]);
    r.replicate(proxy.port());
    wait_until("a part of the snapshot is through", || {
        proxy.passed_bytes(Way::FromTarget) > 500_000
    });
    proxy.break_once();
    proxy.heal();
    r.wait_link_up();
    wait_same_data(&m, &r);
    assert_eq!(m.client().info("sync_full"), "2");
    assert_eq!(r.client().run("DBSIZE").int(), 30_000);
}

fn a_silent_master_is_given_up_and_found_again(master: &Kind, replica: &Kind) {
    let quick = ["--repl-timeout", "3", "--repl-ping-replica-period", "1"];
    let m = Server::start(master, &quick);
    let proxy = Proxy::start(m.port());
    let r = start_replica(replica, proxy.port(), &quick);
    // One, where nobody was slow.
    let synced = m.client().info("sync_full");
    proxy.stall(Way::FromTarget);
    r.wait_for_log("MASTER timeout: no data nor PING received...");
    m.client().run("SET written meanwhile").ok();
    proxy.heal();
    proxy.break_once();
    r.wait_link_up();
    wait_same_data(&m, &r);
    assert_eq!(m.client().info("sync_full"), synced);
}

fn a_replica_that_does_not_read_is_cut_off_and_comes_back(master: &Kind, replica: &Kind) {
    let limits = ["--client-output-buffer-limit", "replica 2mb 0 0", "--repl-backlog-size", "1mb"];
    let m = Server::start(master, &limits);
    let proxy = Proxy::start(m.port());
    let r = start_replica(replica, proxy.port(), &[]);
    proxy.stall(Way::FromTarget);
    let mut c = m.client();
    for n in 0..400 {
        // More than the sockets on the way can hold, in a keyspace that stays small.
        c.cmd(&["SET", &format!("k{}", n % 7), &"v".repeat(100_000)]).ok();
    }
    wait_until("the master gives it up", || c.info("connected_slaves") == "0");
    m.wait_for_log("for overcoming of output buffer limits.");
    // In this order: what is broken must not be the link that comes next.
    proxy.break_once();
    proxy.heal();
    r.wait_link_up();
    wait_same_data(&m, &r);
    assert_eq!(c.info("sync_full"), "2");
}

/// The master says nothing after the value, not even that it lives.
fn a_large_value_waits_for_nothing_that_comes_after_it(master: &Kind, replica: &Kind) {
    const BYTES: usize = 8 << 20;
    // The value is to be seen in what is held, and so not in a backlog.
    let backlog = ["--repl-backlog-size", "1mb"];
    let m =
        Server::start(master, &[&backlog[..], &["--repl-ping-replica-period", "3600"]].concat());
    let r = start_replica(replica, m.port(), &[&backlog[..], &["--repl-timeout", "3600"]].concat());
    let (mut of_master, mut of_replica) = (m.client(), r.client());
    for bytes in [100_000, BYTES] {
        of_master.cmd(&["SET", "large", &"x".repeat(bytes)]).ok();
        let is_there =
            || of_replica.run("STRLEN large").int() == i64::try_from(bytes).expect("small");
        wait_until("the replica has it", is_there);
    }
    // What was needed on the way is given back.
    wait_until("only the value is held", || {
        let used = |c: &mut tandem_harness::Client| c.info_number("used_memory");
        used(&mut of_replica) < used(&mut of_master) + (4 << 20)
    });
}

/// It stands after some bytes, and has filled its socket: nothing more is tried on it.
fn a_replica_that_stops_reading_a_streamed_rdb_holds_nobody_up(kind: &Kind) {
    let options = ["--repl-timeout", "2", "--repl-diskless-sync-delay", "0"];
    let m = Server::start(kind, &[&options[..], &["--rdbcompression", "no"]].concat());
    let mut c = m.client();
    // More than the sockets and the queue before them hold.
    c.run("DEBUG POPULATE 40000 k 2000").ok();
    let mut stuck = m.client();
    for line in ["REPLCONF listening-port 1", "REPLCONF capa eof capa psync2"] {
        stuck.run(line).ok();
    }
    stuck.send(&["PSYNC", "?", "-1"]).expect("a live connection");
    stuck.read_exact(100_000).expect("the first bytes of the snapshot");
    m.wait_for_log("Disconnecting timedout replica (full sync): 127.0.0.1:1");
    wait_until("its snapshot has ended", || c.info("rdb_bgsave_in_progress") == "0");
    let saves = c.info_number("rdb_saves");
    assert!(c.run("BGSAVE").text().starts_with("Background saving started"));
    wait_until("the next one is made", || c.info_number("rdb_saves") == saves + 1);
    assert_eq!(c.info("connected_slaves"), "0");
}
