//! Real processes: our binary beside stock Redis 7.0.15, which is the reference for every test
//! here. A test without `redis-server` on the path fails; none skips itself.
//!
//! ```text
//! compat       scripts of commands that both must answer alike        tests/compat/*.txt
//! stream       what a write looks like to a bare replica
//! resync       full and partial resynchronisation, every pair of master and replica
//! roles        chains, promotion, read-only, stale data, WAIT, passwords
//! expiry       who deletes an expired key, and what a replica shows of it
//! loading      a start from a large file: who is served meanwhile, and how it may end
//! restart      a replica, or a master, that comes back from its RDB
//! large_hash   a large hash that changes while replicas take it
//! persistence  RDB files: exchanged with stock Redis, saved under load, broken
//! check        files looked over by our checker and by Redis's
//! supervised   what starts us and watches us: the shipped file, systemd, syslog, SIGHUP, CPUs
//! startup      what is refused at the start, and with which words
//! directives   directives whose effect only a process shows, and CONFIG REWRITE
//! acl          users: files, links, the start
//! acl_rules    random rules of users, and what they come to
//! blocking     clients that wait, and how their waits end
//! connections  unix sockets, long pipelines, large values, limits
//! memory       what is freed beside the commands, and the buffers of connections
//! idle         a server that nobody uses: it sleeps, and misses nothing
//! limits       what the system refuses: descriptors, threads, room in a socket
//! crowd        two thousand connections at once, and what they leave behind
//! room         when memory is short: keys and clients that go, and what may not
//! tls          clients and links over TLS, certificates changed under way
//! service      titles, signals, crash reports, metrics
//! seen         INFO, ROLE and the log, as people read them
//! python       the Python client's own examples
//! walkthrough  two configuration files, two servers, redis-cli: the documents' own example
//! topology     the replication tree as `tandem cli` draws it
//! sentinel     stock Sentinels watch a set of ours and promote a replica
//! soak         master, chain and cuts under load, as long as one likes
//! ```
//! `TANDEM_BIN=/path` tests another binary; `TANDEM_BIN=/usr/bin/redis-server` puts stock Redis
//! on both sides and so tests the tests. `TANDEM_PEER=valkey-server` puts another program in
//! stock Redis's place wherever it stands at the other end of a link.

mod acl;
mod acl_rules;
mod blocking;
mod check;
mod compat;
mod connections;
mod copies;
mod crowd;
mod directives;
mod eviction;
mod expiry;
mod idle;
mod large_hash;
mod limits;
mod loading;
mod memory;
mod pairs;
mod persistence;
mod python;
mod restart;
mod resync;
mod roles;
mod room;
mod seen;
mod sentinel;
mod service;
mod soak;
mod startup;
mod stream;
mod supervised;
mod tls;
mod topology;
mod walkthrough;

use std::time::Duration;

use tandem_harness::{Client, Kind, Load, Server, wait_until};

/// Stock Redis.
fn redis() -> Kind {
    tandem_harness::require("redis-server");
    Kind::Redis
}

/// Whoever stands at the other end of a link: stock Redis, or what `TANDEM_PEER` names.
fn peer() -> Kind {
    Kind::peer()
}

/// Our server with so many workers; the stock one must be there all the same.
fn tandem(workers: u32) -> Kind {
    tandem_harness::require("redis-server");
    Kind::tandem(env!("CARGO_BIN_EXE_tandem"), workers)
}

/// A pause that leaves a writer at some ten thousand commands a second.
const STEADY: Duration = Duration::from_millis(1);

/// Waits until `replica` has taken all that `master` wrote, and holds the same data.
#[track_caller]
fn wait_same_data(master: &Server, replica: &Server) {
    let (mut m, mut r) = (master.client(), replica.client());
    let what = format!("{:?} holds what {:?} holds", replica.kind(), master.kind());
    wait_until(&what, || {
        let (of_master, of_replica) = (m.info("master_repl_offset"), r.info("slave_repl_offset"));
        of_master == of_replica && m.digest() == r.digest()
    });
    assert_ne!(m.digest(), "0".repeat(40), "the comparison must not be of nothing with nothing");
}

/// Waits until so many more of the load's commands are answered.
#[track_caller]
fn wait_for_more(load: &Load, commands: u64) {
    let before = load.answered();
    wait_until("the load goes on", || load.answered() >= before + commands);
}

/// Starts a replica of `port` on this machine and waits until its link is up.
#[track_caller]
fn start_replica(kind: &Kind, port: u16, args: &[&str]) -> Server {
    let replica = Server::start(kind, args);
    replica.replicate(port);
    replica.wait_link_up();
    replica
}

/// Data of every kind that strings have: integers, short, long, volatile, binary, three databases.
fn fill(server: &Server) {
    let mut c = server.client();
    c.run("DEBUG POPULATE 20000 plain 60").ok();
    for db in [0, 3, 15] {
        c.cmd(&["SELECT", &db.to_string()]).ok();
        fill_database(&mut c);
    }
    c.run("SELECT 0").ok();
    c.run("SET past x PX 1").ok();
}

fn fill_database(c: &mut Client) {
    for (key, value) in
        [("empty", ""), ("zero", "0"), ("minus", "-1"), ("big", "9223372036854775807")]
    {
        c.cmd(&["SET", key, value]).ok();
    }
    for (n, bytes) in [0, 1, 44, 45, 300, 16_383, 16_384, 200_000].into_iter().enumerate() {
        let value: Vec<u8> =
            (0..bytes).map(|i| u8::try_from((i * 31 + n) % 256).expect("below 256")).collect();
        c.cmd(&[b"SET".as_slice(), format!("bytes:{n}").as_bytes(), &value]).ok();
        c.cmd(&["SET", &format!("same:{n}"), &"a".repeat(bytes)]).ok();
    }
    for n in [-129, -128, 127, 128, -32_769, 32_767, 65_536, 2_147_483_648_i64] {
        c.cmd(&["SET", &format!("int:{n}"), &n.to_string()]).ok();
        c.cmd(&["SET", &format!("volatile:{n}"), "x", "EX", "1000"]).ok();
    }
}
