//! When memory is short: which keys and which clients go, and that nothing goes because others
//! have gone.

use std::time::Duration;

use tandem_harness::{Client, Kind, Server, wait_until};

use crate::pairs::for_each_kind;

for_each_kind!(
    news_of_evictions_evict_nothing,
    a_full_server_stays_below_its_limit_as_info_sees_it,
    who_is_evicted_stands_in_the_log,
    a_large_argument_counts_before_its_request_runs,
);

fn set(c: &mut Client, name: &str, value: &str) {
    c.cmd(&["CONFIG", "SET", name, value]).ok();
}

/// Ten clients are told of every key that goes, in more bytes than the key had.
fn news_of_evictions_evict_nothing(kind: &Kind) {
    const KEYS: i64 = 300;
    let server = Server::start(kind, &["--latency-tracking", "no"]);
    let mut c = server.client();
    set(&mut c, "maxmemory-policy", "allkeys-lru");
    set(&mut c, "maxmemory-eviction-tenacity", "100");
    let mut told: Vec<Client> = (0..10).map(|_| server.client()).collect();
    for client in &mut told {
        client.run("HELLO 3");
        client.run("CLIENT TRACKING on").ok();
    }
    for n in 0..KEYS {
        let key = format!("{n}{}", "x".repeat(1000));
        c.cmd(&["SET", &key, "x"]).ok();
        for client in &mut told {
            assert_eq!(client.cmd(&["GET", &key]).text(), "x");
        }
    }
    // Buffers of idle connections are given back within two seconds.
    std::thread::sleep(Duration::from_millis(2500));
    wait_until("what Redis reads into is given back, too", || {
        let clients = c.run("CLIENT LIST").text();
        let mut others = clients.lines().filter(|line| !line.contains(" cmd=client|list "));
        others.all(|line| line.contains(" qbuf-free=0 "))
    });
    let limit = c.info_number("used_memory") - 40_000;
    set(&mut c, "maxmemory", &limit.to_string());
    wait_until("there is room", || c.info_number("evicted_keys") >= 10);
    // Whatever eviction sets off, it has set off by then.
    for _ in 0..50 {
        c.run("PING");
        std::thread::sleep(Duration::from_millis(2));
    }
    let evicted = c.info_number("evicted_keys");
    assert!((10..100).contains(&evicted), "{evicted} keys were evicted");
    assert_eq!(c.run("DBSIZE").int(), KEYS - evicted);
    for client in &mut told {
        let news = client.read().expect("they hear of it");
        assert!(format!("{news:?}").contains("invalidate"), "{news:?}");
    }
}

fn a_full_server_stays_below_its_limit_as_info_sees_it(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let mut c = server.client();
    // What threads make when they first run must fit, too.
    let limit = c.info_number("used_memory") + (1 << 20);
    set(&mut c, "maxmemory-policy", "allkeys-lru");
    set(&mut c, "maxmemory", &limit.to_string());
    for n in 0..6000 {
        c.cmd(&["SETEX", &format!("key:{n}"), "10000", &"x".repeat(300 + n % 100)]).ok();
        if n > 5000 && n % 10 == 0 {
            let used = c.info_number("used_memory");
            assert!(used < limit + 4096, "{used} of {limit} after {n} keys");
        }
    }
    assert!(c.info_number("evicted_keys") > 1000);
}

fn who_is_evicted_stands_in_the_log(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let mut c = server.client();
    c.run("CLIENT NO-EVICT on").ok();
    let mut large = server.client();
    large.run("CLIENT SETNAME large").ok();
    large.run("MULTI").ok();
    large.cmd(&["SET", "k", &"x".repeat(1 << 20)]);
    set(&mut c, "maxmemory-clients", "500000");
    wait_until("it has gone", || c.info("evicted_clients") == "1");
    assert!(large.try_cmd(&["PING"]).is_err());
    server.wait_for_log("Evicting client: id=");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("Evicting client: ")).expect("just seen");
    for part in
        [" addr=127.0.0.1:", " name=large ", " flags=x ", " tot-mem=", " cmd=set ", " redir=-1 "]
    {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

/// An argument that has arrived is the client's while the rest of its request has not.
fn a_large_argument_counts_before_its_request_runs(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let mut c = server.client();
    let mut slow = server.client();
    slow.run("CLIENT SETNAME slow").ok();
    let value = "x".repeat(1 << 20);
    let head = format!("*5\r\n$4\r\nMSET\r\n$1\r\na\r\n$1048576\r\n{value}\r\n$1\r\nb\r\n");
    slow.send_raw(head.as_bytes()).expect("a live connection");
    wait_until("it counts", || {
        let list = c.run("CLIENT LIST").text();
        let line = list.lines().find(|line| line.contains(" name=slow ")).expect("it is there");
        let mut figures = line.split(' ').filter_map(|part| part.split_once('='));
        let held = figures.find(|(name, _)| *name == "tot-mem").expect("a field of each");
        held.1.parse::<usize>().expect("a number") >= 1 << 20
    });
    slow.send_raw(b"$1\r\n1\r\n").expect("a live connection");
    slow.read().expect("an answer").ok();
    assert_eq!(c.run("STRLEN a").int(), 1 << 20);
    // One that is too much altogether does not run.
    set(&mut c, "maxmemory-clients", "3000000");
    c.run("CLIENT NO-EVICT on").ok();
    for _ in 0..5 {
        let mut greedy = server.client();
        let answer = greedy.try_cmd(&["SET", "k", &"x".repeat(3_000_000)]);
        assert!(answer.is_err(), "{answer:?}");
    }
    assert_eq!(c.run("EXISTS k").int(), 0);
}
