//! Who may do what: chains, promotion, read-only replicas, stale data, WAIT, passwords.

use std::time::{Duration, Instant};

use tandem_harness::{Kind, Load, Proxy, Server, Value, wait_until};

use crate::pairs::{for_each_kind, for_each_pair};
use crate::{STEADY, fill, redis, start_replica, tandem, wait_for_more, wait_same_data};

for_each_pair!(
    a_chain_of_three_shares_one_history,
    a_cut_at_the_top_of_a_chain_is_partial_for_all,
    a_promoted_replica_keeps_the_lineage,
    a_promotion_in_front_of_a_chain_is_partial,
    a_replica_refuses_writes,
    a_writable_replica_takes_writes,
    stale_data_is_served_or_refused,
    wait_counts_acknowledgements,
    too_few_replicas_refuse_writes,
    a_wrong_password_leaves_the_link_down,
    a_replica_follows_from_its_command_line,
    replicaof_no_one_keeps_the_data,
);
for_each_kind!(the_role_changes_with_the_command, wait_is_for_what_was_read);

fn a_chain_of_three_shares_one_history(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    fill(&m);
    let middle = start_replica(replica, m.port(), &[]);
    let last = start_replica(master, middle.port(), &[]);
    let load = Load::start(m.port(), 2, 4, STEADY);
    wait_until("the load writes", || load.answered() > 2000);
    load.stop();
    wait_same_data(&m, &middle);
    wait_same_data(&m, &last);
    let ids = [&m, &middle, &last].map(|s| s.client().info("master_replid"));
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[0], ids[2]);
    assert_eq!(m.client().info("sync_full"), "1", "the last one asked the middle one only");
}

fn a_cut_at_the_top_of_a_chain_is_partial_for_all(master: &Kind, replica: &Kind) {
    let big = ["--repl-backlog-size", "100mb"];
    let m = Server::start(master, &big);
    let proxy = Proxy::start(m.port());
    let middle = start_replica(replica, proxy.port(), &big);
    let last = start_replica(master, middle.port(), &[]);
    let load = Load::start(m.port(), 2, 5, STEADY);
    for cut in 1..=3 {
        wait_for_more(&load, 100);
        proxy.break_once();
        let mut c = m.client();
        wait_until("a partial resync", || c.info("sync_partial_ok") == cut.to_string());
    }
    load.stop();
    wait_same_data(&m, &middle);
    wait_same_data(&m, &last);
    assert_eq!(m.client().info("sync_full"), "1");
    assert_eq!(middle.client().info("sync_full"), "1");
    assert_eq!(last.client().info("master_link_status"), "up");
}

fn a_promoted_replica_keeps_the_lineage(master: &Kind, replica: &Kind) {
    // A PING after the promotion would put the other replica ahead of the new master, and so would
    // the end of a key that has expired.
    let m = Server::start(master, &["--repl-ping-replica-period", "3600"]);
    fill(&m);
    m.client().run("DEL past");
    let first = start_replica(replica, m.port(), &[]);
    let second = start_replica(master, m.port(), &[]);
    m.client().run("SET before promotion").ok();
    wait_same_data(&m, &first);
    wait_same_data(&m, &second);
    let old = m.client().info("master_replid");

    let mut c = first.client();
    c.run("REPLICAOF NO ONE").ok();
    assert_eq!(c.info("role"), "master");
    assert_eq!(c.info("master_replid2"), old);
    assert_ne!(c.info("master_replid"), old);
    assert_ne!(c.info("second_repl_offset"), "-1");
    c.run("SET after promotion").ok();
    second.replicate(first.port());
    m.replicate(first.port());
    for follower in [&second, &m] {
        follower.wait_link_up();
        wait_same_data(&first, follower);
        assert_eq!(follower.client().info("master_replid"), c.info("master_replid"));
    }
    assert_eq!([c.info("sync_full"), c.info("sync_partial_ok")], ["0", "2"]);
    // The whole line of CLIENT LIST.
    first.wait_for_log("MASTER MODE enabled (user request from 'id=");
    let line = first.log().lines().find(|line| line.contains("MASTER MODE")).map(str::to_owned);
    assert!(line.expect("just seen").contains(" cmd=replicaof user=default "), "{}", first.log());
    first.wait_for_log("Setting secondary replication ID to");
}

/// Redis has a history from its start on, and always asks.
#[test]
fn who_has_no_history_does_not_say_that_it_may_go_on() {
    let m = Server::start(&tandem(1), &[]);
    let r = Server::start(&tandem(1), &[]);
    let line = "using my own master parameters to synthesize a cached master";
    r.client().run("SET a 1").ok();
    r.replicate(m.port());
    r.wait_for_log("Partial resynchronization not possible (no cached master)");
    assert!(!r.log().contains(line), "{}", r.log());
    r.wait_link_up();
    r.client().run("REPLICAOF NO ONE").ok();
    r.replicate(m.port());
    r.wait_for_log(line);
    r.wait_for_log("Trying a partial resynchronization");
}

fn a_promotion_in_front_of_a_chain_is_partial(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    let middle = start_replica(replica, m.port(), &[]);
    let last = start_replica(master, middle.port(), &[]);
    m.client().run("SET k v").ok();
    wait_same_data(&m, &last);
    middle.client().run("REPLICAOF NO ONE").ok();
    middle.client().run("SET k2 v2").ok();
    last.wait_link_up();
    wait_same_data(&middle, &last);
    assert_eq!(middle.client().info("sync_full"), "1", "the change of role cost no full sync");
    assert_eq!(last.client().info("master_replid"), middle.client().info("master_replid"));
}

fn a_replica_refuses_writes(master: &Kind, replica: &Kind) {
    let refusal = "READONLY You can't write against a read only replica.";
    let m = Server::start(master, &[]);
    m.client().run("SET name jake").ok();
    let r = start_replica(replica, m.port(), &[]);
    wait_same_data(&m, &r);
    let mut c = r.client();
    for write in
        ["SET name x", "DEL name", "INCR n", "FLUSHALL", "EXPIRE name 1", "GETEX name EX 1"]
    {
        assert_eq!(c.run(write).error().as_deref(), Some(refusal), "{write}");
    }
    assert_eq!(c.run("GET name").text(), "jake");
    c.run("MULTI").ok();
    assert_eq!(c.run("SET name x").error().as_deref(), Some(refusal));
    let aborted = c.run("EXEC").error().expect("EXEC is refused");
    assert_eq!(aborted, "EXECABORT Transaction discarded because of previous errors.");
}

fn a_writable_replica_takes_writes(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    m.client().run("SET name jake").ok();
    let r = start_replica(replica, m.port(), &["--replica-read-only", "no"]);
    let mut c = r.client();
    c.run("SET local x").ok();
    c.run("CONFIG SET replica-read-only yes").ok();
    assert!(c.run("SET local y").error().is_some());
    assert_eq!(c.run("GET local").text(), "x");
    m.client().run("SET name jane").ok();
    wait_until("the stream goes on", || c.run("GET name").text() == "jane");
    assert_eq!(m.client().run("EXISTS local").int(), 0);
}

fn stale_data_is_served_or_refused(master: &Kind, replica: &Kind) {
    let mut m = Server::start(master, &[]);
    m.client().run("SET name jake").ok();
    let r = start_replica(replica, m.port(), &[]);
    wait_same_data(&m, &r);
    m.kill();
    let mut c = r.client();
    wait_until("the link is down", || c.info("master_link_status") == "down");
    assert_eq!(c.run("GET name").text(), "jake");
    c.run("CONFIG SET replica-serve-stale-data no").ok();
    let text = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
    assert_eq!(c.run("GET name").error().as_deref(), Some(text));
    assert_eq!(c.run("PING").error().as_deref(), Some(text));
    assert_eq!(c.info("role"), "slave");
    assert!(c.run("CONFIG GET maxmemory").error().is_none());
}

fn wait_counts_acknowledgements(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    let r = start_replica(replica, m.port(), &[]);
    wait_same_data_after_write(&m, &r);
    let mut c = m.client();
    assert_eq!(c.run("WAIT 0 0").int(), 1, "what is acknowledged already counts");
    // By themselves replicas acknowledge each second.
    let mut quick = 0;
    wait_until("GETACK makes it come at once, three times in a row", || {
        c.run("INCR n");
        let start = Instant::now();
        assert_eq!(c.run("WAIT 1 10000").int(), 1);
        quick = if start.elapsed() < Duration::from_millis(200) { quick + 1 } else { 0 };
        quick == 3
    });
    r.pause();
    c.run("INCR n");
    assert_eq!(c.run("WAIT 1 300").int(), 0);
    r.resume();
    assert_eq!(c.run("WAIT 1 10000").int(), 1);
    assert_eq!(c.run("WAIT 2 200").int(), 1);
    let refused = r.client().run("WAIT 1 10").error().expect("a replica refuses WAIT");
    assert!(refused.starts_with("ERR WAIT cannot be used with replica instances."), "{refused}");
}

/// Another's write too, once it has been read; later servers of the family no longer see to that.
fn wait_is_for_what_was_read(kind: &Kind) {
    for replica in [redis(), tandem(1)] {
        wait_is_for_what_was_read_with(kind, &replica);
    }
}

fn wait_is_for_what_was_read_with(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    let r = start_replica(replica, m.port(), &[]);
    wait_same_data_after_write(&m, &r);
    r.pause();
    let (mut writes, mut reads) = (m.client(), m.client());
    writes.run("SET k 1").ok();
    assert_eq!(reads.run("GET k").text(), "1");
    assert_eq!(reads.run("WAIT 1 100").int(), 0);
    assert_eq!(reads.run("SETNX k 2").int(), 0);
    assert_eq!(reads.run("WAIT 1 100").int(), 0);
    r.resume();
    assert_eq!(reads.run("WAIT 1 10000").int(), 1);
    // And one that only stood in a transaction's way.
    reads.run("WATCH k").ok();
    reads.run("MULTI").ok();
    r.pause();
    writes.run("SET k 3").ok();
    assert!(matches!(reads.run("EXEC"), Value::NilArray | Value::NilBulk));
    assert_eq!(reads.run("WAIT 1 100").int(), 0);
    r.resume();
    // What it asked replicas does not count as theirs to acknowledge.
    assert_eq!(reads.run("WAIT 1 0").int(), 1);
}

fn wait_same_data_after_write(m: &Server, r: &Server) {
    m.client().run("SET first write").ok();
    wait_same_data(m, r);
}

fn too_few_replicas_refuse_writes(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &["--min-replicas-to-write", "1", "--min-replicas-max-lag", "2"]);
    let refusal = "NOREPLICAS Not enough good replicas to write.";
    let mut c = m.client();
    assert_eq!(c.run("SET a 1").error().as_deref(), Some(refusal));
    let r = start_replica(replica, m.port(), &[]);
    wait_until("writes are taken", || c.run("SET a 1").error().is_none());
    r.pause();
    wait_until("writes are refused", || c.run("SET a 2").error().as_deref() == Some(refusal));
    r.resume();
    wait_until("writes are taken again", || c.run("SET a 3").error().is_none());
    wait_same_data(&m, &r);
}

fn a_wrong_password_leaves_the_link_down(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &["--requirepass", "secret"]);
    let mut c = m.client();
    assert_eq!(c.run("GET a").error().as_deref(), Some("NOAUTH Authentication required."));
    let wrong = c.run("AUTH nonsense").error().expect("a wrong password is refused");
    assert_eq!(wrong, "WRONGPASS invalid username-password pair or user is disabled.");
    c.run("AUTH secret").ok();
    c.run("SET a 1").ok();
    let r = Server::start(replica, &["--masterauth", "wrong"]);
    r.replicate(m.port());
    r.wait_for_log("Unable to AUTH to MASTER:");
    let mut to_replica = r.client();
    assert_eq!(to_replica.info("master_link_status"), "down");
    to_replica.run("CONFIG SET masterauth secret").ok();
    r.wait_link_up();
    wait_until("the data is there", || to_replica.digest() == c.digest());
    assert_eq!(to_replica.run("CONFIG GET masterauth").items()[1].text(), "secret");
}

fn a_replica_follows_from_its_command_line(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    fill(&m);
    let port = m.port().to_string();
    for option in ["--replicaof", "--slaveof"] {
        let r = Server::start(replica, &[option, "127.0.0.1", &port]);
        r.wait_link_up();
        wait_same_data(&m, &r);
    }
    let text =
        "port {port}\nbind 127.0.0.1\ndir {dir}\nlogfile {dir}/log\nenable-debug-command yes\n";
    let r = Server::start_with_file(replica, &format!("{text}replicaof 127.0.0.1 {port}\n"));
    r.wait_link_up();
    wait_same_data(&m, &r);
}

fn replicaof_no_one_keeps_the_data(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    fill(&m);
    let r = start_replica(replica, m.port(), &[]);
    // A new master would take it out of the data by itself, in its own time.
    m.client().run("DEL past");
    wait_same_data(&m, &r);
    let digest = r.client().digest();
    let mut c = r.client();
    c.run("SLAVEOF no one").ok();
    assert_eq!(c.digest(), digest);
    c.run("SET now writable").ok();
    wait_until("the master has nobody", || m.client().info("connected_slaves") == "0");
    m.client().run("SET not seen").ok();
    assert_eq!(c.run("EXISTS not").int(), 0);
    let again = c.cmd(&["REPLICAOF", "127.0.0.1", &m.port().to_string()]);
    again.ok();
    let twice = c.cmd(&["REPLICAOF", "127.0.0.1", &m.port().to_string()]).text();
    assert_eq!(twice, "OK Already connected to specified master");
}

/// Whoever is asked, and although the master never says a word.
fn the_role_changes_with_the_command(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("it has one").port();
    let mut others: Vec<_> = (0..4).map(|_| server.client()).collect();
    for round in 0..20 {
        server.replicate(port);
        for c in &mut others {
            assert_eq!(c.info("role"), "slave", "round {round}");
            assert_eq!(c.info("master_link_status"), "down");
            assert_eq!(c.run("ROLE").items()[0].text(), "slave");
            assert!(c.run("SET a 1").error().is_some_and(|e| e.starts_with("READONLY ")));
        }
        server.client().run("REPLICAOF NO ONE").ok();
        for c in &mut others {
            assert_eq!(c.info("role"), "master", "round {round}");
            assert_eq!(c.run("ROLE").items()[0].text(), "master");
            c.run("SET a 1").ok();
        }
    }
    // In a transaction what follows it sees it.
    let c = &mut others[0];
    for line in ["MULTI", &format!("REPLICAOF 127.0.0.1 {port}"), "INFO replication"] {
        assert!(c.run(line).error().is_none());
    }
    let replies = c.run("EXEC");
    let seen = replies.items()[1].text();
    assert!(seen.contains("role:slave") && seen.contains("master_link_status:down"), "{seen}");
}
