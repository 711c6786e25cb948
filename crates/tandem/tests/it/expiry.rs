//! Expiry across a link: the master alone deletes, and says so; a replica hides what is
//! logically gone until it is told.

use tandem_harness::{Client, Kind, Server, Value, wait_until};

use crate::pairs::for_each_pair;
use crate::{start_replica, wait_same_data};

for_each_pair!(
    a_replica_hides_an_expired_key_until_the_master_deletes_it,
    the_masters_active_cycle_empties_the_replica,
    expiry_times_are_the_same_on_both_sides,
    a_key_that_expires_during_a_full_sync_goes_on_both_sides,
    a_write_to_an_expired_key_is_a_delete_and_a_write,
);

/// The server's clock, in ms.
fn now(c: &mut Client) -> i64 {
    let time = c.run("TIME");
    let part = |n: usize| -> i64 { time.items()[n].text().parse().expect("a number") };
    part(0) * 1000 + part(1) / 1000
}

/// Waits until the server's clock is past `due`, in ms. To ask for the key would delete it.
fn wait_past(c: &mut Client, due: i64) {
    wait_until("its time has come", || now(c) > due);
}

fn a_replica_hides_an_expired_key_until_the_master_deletes_it(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    let r = start_replica(replica, m.port(), &[]);
    let (mut cm, mut cr) = (m.client(), r.client());
    cm.run("DEBUG SET-ACTIVE-EXPIRE 0").ok();
    cm.run("SET short x PX 50").ok();
    cm.run("SET long y").ok();
    wait_same_data(&m, &r);
    wait_until("the replica hides it", || cr.run("GET short") == Value::NilBulk);
    assert_eq!(cr.run("EXISTS short").int(), 0);
    assert_eq!(cr.run("TTL short").int(), -2);
    assert_eq!(cr.run("TYPE short").text(), "none");
    assert_eq!(cr.run("DBSIZE").int(), 2, "a replica deletes nothing by itself");
    assert_eq!(cm.run("DBSIZE").int(), 2);
    assert_eq!(cm.run("GET short"), Value::NilBulk);
    assert_eq!(cm.run("DBSIZE").int(), 1, "a look at it on the master deletes it");
    wait_until("the DEL arrives", || cr.run("DBSIZE").int() == 1);
    wait_same_data(&m, &r);
}

fn the_masters_active_cycle_empties_the_replica(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    let r = start_replica(replica, m.port(), &[]);
    let (mut cm, mut cr) = (m.client(), r.client());
    for n in 0..500 {
        cm.cmd(&["SET", &format!("k{n}"), "v", "PX", "200"]).ok();
    }
    cm.run("SET stays y").ok();
    wait_until("all are freed", || cm.run("DBSIZE").int() == 1);
    wait_until("on the replica too", || cr.run("DBSIZE").int() == 1);
    // What the cycle has counted is told when its turn is over.
    wait_until("all are counted", || cm.info("expired_keys") == "500");
    assert_eq!(cr.info("expired_keys"), "0", "on a replica nothing expires, it is deleted");
    wait_same_data(&m, &r);
}

fn expiry_times_are_the_same_on_both_sides(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    let mut cm = m.client();
    cm.run("SET before x EX 1000").ok();
    let r = start_replica(replica, m.port(), &[]);
    let later = "33177117420000";
    for line in [
        "SET a x EX 100",
        "SET b x PX 100000",
        "SETEX c 100 x",
        "PSETEX d 100000 x",
        "SET e x EXAT 33177117420",
        "SET f x",
        "EXPIRE f 100",
        "SET g x",
        "PEXPIRE g 100000",
        "SET h x",
        "EXPIREAT h 33177117420",
        "SET i x",
        "GETEX i EX 100",
    ] {
        assert!(cm.run(line).error().is_none(), "{line}");
    }
    cm.run("SET j x").ok();
    cm.cmd(&["PEXPIREAT", "j", later]);
    wait_same_data(&m, &r);
    let mut cr = r.client();
    for key in ["before", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        let on_master = cm.cmd(&["PEXPIRETIME", key]).int();
        assert!(on_master > 0, "{key} is volatile");
        assert_eq!(cr.cmd(&["PEXPIRETIME", key]).int(), on_master, "{key}");
    }
}

fn a_key_that_expires_during_a_full_sync_goes_on_both_sides(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    let mut cm = m.client();
    cm.run("DEBUG SET-ACTIVE-EXPIRE 0").ok();
    cm.run("SET stays y").ok();
    let due = now(&mut cm) + 100;
    cm.run(&format!("SET gone x PXAT {due}")).ok();
    wait_past(&mut cm, due);
    let r = start_replica(replica, m.port(), &[]);
    let mut cr = r.client();
    assert_eq!(cr.run("GET gone"), Value::NilBulk);
    assert_eq!(cm.run("GET gone"), Value::NilBulk);
    wait_until("both hold one key", || cm.run("DBSIZE").int() == 1 && cr.run("DBSIZE").int() == 1);
    wait_same_data(&m, &r);
}

fn a_write_to_an_expired_key_is_a_delete_and_a_write(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    let r = start_replica(replica, m.port(), &[]);
    let (mut cm, mut cr) = (m.client(), r.client());
    cm.run("DEBUG SET-ACTIVE-EXPIRE 0").ok();
    let due = now(&mut cm) + 200;
    cm.run(&format!("SET n 41 PXAT {due}")).ok();
    cm.run(&format!("SET text abc PXAT {due}")).ok();
    wait_past(&mut cm, due);
    assert_eq!(cm.run("INCR n").int(), 1);
    assert_eq!(cm.run("APPEND text x").int(), 1);
    wait_same_data(&m, &r);
    assert_eq!(cr.run("GET n").text(), "1");
    assert_eq!(cr.run("TTL n").int(), -1);
    assert_eq!(cr.run("GET text").text(), "x");
}
