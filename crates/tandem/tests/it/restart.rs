//! Coming back from an RDB: its replication id and offset let the link go on where it stood.

use tandem_harness::{Kind, Server, wait_until};

use crate::pairs::for_each_pair;
use crate::{fill, start_replica, wait_same_data};

for_each_pair!(
    a_replica_restarted_from_its_rdb_resyncs_partially,
    a_master_restarted_from_its_rdb_resyncs_partially,
    a_restart_without_an_rdb_means_a_full_resync,
);

fn a_replica_restarted_from_its_rdb_resyncs_partially(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    fill(&m);
    let port = m.port().to_string();
    let mut r = Server::start(replica, &["--replicaof", "127.0.0.1", &port]);
    r.wait_link_up();
    wait_same_data(&m, &r);
    r.shutdown("SAVE");
    let mut c = m.client();
    c.run("SELECT 3").ok();
    c.run("SET written meanwhile").ok();
    r.start_again(&[]);
    r.wait_link_up();
    wait_same_data(&m, &r);
    assert_eq!([c.info("sync_full"), c.info("sync_partial_ok")], ["1", "1"]);
}

fn a_master_restarted_from_its_rdb_resyncs_partially(master: &Kind, replica: &Kind) {
    let mut m = Server::start(master, &[]);
    fill(&m);
    let r = start_replica(replica, m.port(), &[]);
    m.client().run("SET last write").ok();
    wait_same_data(&m, &r);
    let old = m.client().info("master_replid");
    m.shutdown("SAVE");
    m.start_again(&[]);
    let mut c = m.client();
    assert_eq!(c.info("master_replid2"), old, "the old history is the secondary one");
    wait_until("the link comes back", || c.info("connected_slaves") == "1");
    r.wait_link_up();
    c.run("SET after restart").ok();
    wait_same_data(&m, &r);
    assert_eq!([c.info("sync_full"), c.info("sync_partial_ok")], ["0", "1"]);
}

fn a_restart_without_an_rdb_means_a_full_resync(master: &Kind, replica: &Kind) {
    let mut m = Server::start(master, &[]);
    fill(&m);
    let r = start_replica(replica, m.port(), &[]);
    wait_same_data(&m, &r);
    m.kill();
    m.start_again(&[]);
    let mut c = m.client();
    c.run("SET only this").ok();
    wait_until("the replica is back", || c.info("connected_slaves") == "1");
    r.wait_link_up();
    wait_same_data(&m, &r);
    assert_eq!(c.info("sync_full"), "1");
    assert_eq!(r.client().run("DBSIZE").int(), 1);
}
