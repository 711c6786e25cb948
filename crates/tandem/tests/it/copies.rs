//! What copies are for: a tree of them takes load off the master, each goes on when the master is
//! gone, and what the master gives up for want of memory is given up by all, and by nobody else.

use tandem_harness::{Client, Kind, Load, Server, wait_until};

use crate::memory::used_and_not_counted;
use crate::pairs::for_each_pair;
use crate::{STEADY, start_replica, wait_for_more, wait_same_data};

for_each_pair!(
    a_tree_of_copies_relieves_its_master_and_outlives_it,
    what_the_master_evicts_goes_everywhere_and_nothing_else,
);

fn a_tree_of_copies_relieves_its_master_and_outlives_it(master: &Kind, replica: &Kind) {
    // A PING that reached only one of them would put it ahead of the other.
    let m = Server::start(master, &["--repl-ping-replica-period", "3600"]);
    let upper = [(); 2].map(|()| start_replica(replica, m.port(), &[]));
    let lower = [0, 1].map(|n: usize| start_replica(master, upper[n].port(), &[]));
    let copies = [&upper[0], &upper[1], &lower[0], &lower[1]];
    let load = Load::start(m.port(), 2, 7, STEADY);
    wait_for_more(&load, 300);
    load.stop();
    let mut c = m.client();
    // The end of a key, told with its last breath, would reach only some of them.
    c.run("DEBUG SET-ACTIVE-EXPIRE 0").ok();
    c.run("SET name jake").ok();
    copies.iter().for_each(|copy| wait_same_data(&m, copy));
    assert_eq!([c.info("connected_slaves"), c.info("sync_full")], ["2", "2"]);

    c.run("CONFIG RESETSTAT").ok();
    for copy in copies {
        let mut reader = copy.client();
        assert_eq!(reader.run("GET name").text(), "jake");
        assert!(reader.run("SET name jane").error().is_some_and(|e| e.starts_with("READONLY ")));
    }
    assert_eq!(calls(&mut c, "get"), 0, "who asks a copy does not ask the master");

    let digest = c.digest();
    let mut m = m;
    m.kill();
    for copy in copies {
        let mut reader = copy.client();
        let is_upper = upper.iter().any(|other| other.port() == copy.port());
        let link = if is_upper { "down" } else { "up" };
        wait_until("the link is as it is", || reader.info("master_link_status") == link);
        assert_eq!(reader.run("GET name").text(), "jake", "with its link {link}");
        assert_eq!(reader.digest(), digest);
    }

    upper[0].client().run("REPLICAOF NO ONE").ok();
    upper[1].replicate(upper[0].port());
    upper[1].wait_link_up();
    upper[0].client().run("SET name jane").ok();
    for copy in &copies[1..] {
        wait_same_data(&upper[0], copy);
        assert_eq!(copy.client().run("GET name").text(), "jane");
    }
    let full = upper.each_ref().map(|server| server.client().info("sync_full"));
    assert_eq!(full, ["1", "1"], "nobody had to be copied anew");
}

/// How often a command ran.
fn calls(c: &mut Client, command: &str) -> i64 {
    let stats = c.run("INFO commandstats").text();
    let line = stats.lines().find_map(|l| l.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().expect("a number").parse().expect("a number"))
}

const POLICIES: [&str; 4] = ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-ttl"];

/// Every eviction arrives as a DEL, or as an UNLINK where the master frees lazily. The replica has
/// less memory than its data take, and leaves that to its master all the same.
fn what_the_master_evicts_goes_everywhere_and_nothing_else(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    let own_limit = ["--maxmemory", "1mb", "--maxmemory-policy", "allkeys-random"];
    let r = start_replica(replica, m.port(), &own_limit);
    let last = start_replica(master, r.port(), &own_limit);
    let (mut of_master, mut of_replica) = (m.client(), r.client());
    let lazily = of_master.run("CONFIG GET lazyfree-lazy-eviction").items()[1].text() == "yes";
    let value = "x".repeat(2000);
    for policy in POLICIES {
        for c in [&mut of_master, &mut of_replica] {
            c.run("CONFIG RESETSTAT").ok();
        }
        for n in 0..1500 {
            of_master.cmd(&["SET", &format!("stays:{n}"), &value]).ok();
            of_master.cmd(&["SET", &format!("volatile:{n}"), &value, "EX", "10000"]).ok();
        }
        wait_same_data(&m, &r);
        // What waits for the replica is no reason to evict.
        let (used, held) = used_and_not_counted(&mut of_master);
        let limit = used - held - 600_000;
        of_master.cmd(&["CONFIG", "SET", "maxmemory-policy", policy]).ok();
        of_master.cmd(&["CONFIG", "SET", "maxmemory", &limit.to_string()]).ok();
        wait_until("keys are evicted", || of_master.info_number("evicted_keys") > 50);
        for n in 0..100 {
            // Who reads on a replica gives it an occasion to evict.
            of_replica.cmd(&["GET", &format!("stays:{n}")]);
            of_master.cmd(&["SET", &format!("new:{n}"), &value]).ok();
        }
        of_master.run("CONFIG SET maxmemory 0").ok();
        wait_same_data(&m, &r);
        wait_same_data(&m, &last);
        let evicted = of_master.info_number("evicted_keys");
        assert_eq!(of_replica.info_number("evicted_keys"), 0, "{policy}");
        let told = [calls(&mut of_replica, "del"), calls(&mut of_replica, "unlink")];
        assert_eq!(told, if lazily { [0, evicted] } else { [evicted, 0] }, "{policy}");
        if policy == "volatile-ttl" {
            let kept =
                (0..1500).filter(|n| of_replica.run(&format!("EXISTS stays:{n}")).int() == 1);
            assert_eq!(kept.count(), 1500);
        }
    }
}
