//! Eviction beside what else takes memory: it must end when enough has been deleted, though what
//! is deleted is still on its way to a replica.

use tandem_harness::{Client, Kind, Server, wait_until};

use crate::memory::used_and_not_counted;
use crate::pairs::for_each_kind;

for_each_kind!(a_replica_that_does_not_read_its_snapshot_costs_no_more_keys_than_the_limit_asks,);

/// Keys and bytes of each, more than sockets and queues hold: short values are copied for a
/// snapshot, long ones shared with it.
const SHAPES: [(i64, i64); 2] = [(100_000, 1000), (3000, 40_000)];

fn a_replica_that_does_not_read_its_snapshot_costs_no_more_keys_than_the_limit_asks(kind: &Kind) {
    for (keys, bytes) in SHAPES {
        let server = Server::start(
            kind,
            &[
                "--enable-debug-command",
                "yes",
                "--maxmemory-policy",
                "allkeys-lru",
                "--rdbcompression",
                "no",
                "--repl-diskless-sync",
                "yes",
                "--repl-diskless-sync-delay",
                "0",
            ],
        );
        let mut c = server.client();
        c.run(&format!("DEBUG POPULATE {keys} key {bytes}")).ok();
        let mut stalled = Client::connect(server.port());
        stalled.run("REPLCONF capa eof").ok();
        stalled.send_raw(b"PSYNC ? -1\r\n").expect("it listens");
        wait_until("the snapshot is under way", || {
            c.info("slave0").contains("state=send_bulk")
                || c.info_number("rdb_bgsave_in_progress") == 1
        });
        // Pieces of the snapshot wait for the replica: bytes that no eviction is for.
        // It must not be growing: the two are not read at one time.
        let mut limit = i64::MAX;
        wait_until("as much waits as may", || {
            let before = limit;
            let (used, held) = used_and_not_counted(&mut c);
            limit = used - held - 5_000_000;
            (limit - before).abs() < 1_000_000
        });
        c.run(&format!("CONFIG SET maxmemory {limit}")).ok();
        for n in 0..200 {
            let reply = c.run(&format!("SET new:{n} {}", "x".repeat(1000)));
            assert_eq!(reply.text(), "OK", "write {n} of {bytes} bytes");
        }
        let left = c.run("DBSIZE").int();
        assert!(left > keys / 2, "{left} of {keys} keys of {bytes} bytes are left");
        assert!(c.info_number("evicted_keys") > 0, "the limit was over nothing");
    }
}
