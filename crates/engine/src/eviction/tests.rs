//! Eviction, by a node whose used memory is what its keys take.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use crate::commands::script::{Shell, check};

/// A shell with `count` keys `k0`, `k1`, … of 100 bytes, each a second younger than the one
/// before; every third has an expiry, the later keys an earlier one.
fn filled(count: usize) -> Shell {
    let mut shell = Shell::new();
    let value = "x".repeat(100);
    for n in 0..count {
        let expiry = if n % 3 == 0 { format!(" EX {}", 100_000 - 2 * n) } else { String::new() };
        assert_eq!(shell.run(&format!("SET k{n} {value}{expiry}")), "+OK");
        shell.advance_ms(1000);
    }
    shell.take_stream();
    shell
}

fn left(shell: &mut Shell, count: usize) -> BTreeSet<usize> {
    (0..count).filter(|n| shell.run(&format!("OBJECT ENCODING k{n}")) != "nil").collect()
}

/// Makes room for four in five keys; what has gone.
fn gone(policy: &str, count: usize) -> BTreeSet<usize> {
    let mut shell = filled(count);
    assert_eq!(shell.run(&format!("CONFIG SET maxmemory-policy {policy}")), "+OK");
    assert_eq!(shell.run("CONFIG SET maxmemory-samples 10"), "+OK");
    let limit = shell.node.keyspace.memory_bytes() * 4 / 5;
    assert_eq!(shell.run(&format!("CONFIG SET maxmemory {limit}")), "+OK");
    assert_eq!(shell.run("PING"), "+PONG");
    assert!(shell.node.keyspace.memory_bytes() <= limit, "{policy}");
    assert_eq!(shell.run("CONFIG SET maxmemory 0"), "+OK");
    let left = left(&mut shell, count);
    let gone: BTreeSet<usize> = (0..count).filter(|n| !left.contains(n)).collect();
    assert!(gone.len() < count / 2, "{policy}: {} of {count} have gone", gone.len());
    let mut told = shell.take_stream();
    told.sort();
    let mut deleted: Vec<_> = gone.iter().map(|n| format!("DEL k{n}")).collect();
    deleted.sort();
    assert_eq!(told, deleted, "{policy}");
    gone
}

#[test]
fn the_policy_says_who_goes() {
    const COUNT: usize = 600;
    for policy in ["allkeys-lru", "volatile-lru", "allkeys-random", "volatile-random"] {
        let gone = gone(policy, COUNT);
        if policy.starts_with("volatile") {
            assert!(gone.iter().all(|n| n % 3 == 0), "{policy}: {gone:?}");
        }
        if policy.ends_with("lru") {
            let young = gone.iter().filter(|n| **n > COUNT * 3 / 4).count();
            assert!(young < gone.len() / 10, "{policy}: {gone:?}");
        }
    }
    // The latest keys expire first, and not one of them is left out.
    let gone = gone("volatile-ttl", COUNT);
    let volatile = (0..COUNT).rev().filter(|n| n % 3 == 0);
    assert_eq!(gone, volatile.take(gone.len()).collect());
}

#[test]
fn keys_in_use_outlive_others_under_lfu() {
    const COUNT: usize = 400;
    for policy in ["allkeys-lfu", "volatile-lfu"] {
        let mut shell = Shell::new();
        shell.run(&format!("CONFIG SET maxmemory-policy {policy} maxmemory-samples 10"));
        let value = "x".repeat(100);
        for n in 0..COUNT {
            shell.run(&format!("SET k{n} {value} EX 1000"));
        }
        for n in (0..COUNT).step_by(2) {
            (0..20).for_each(|_| drop(shell.run(&format!("GET k{n}"))));
        }
        let limit = shell.node.keyspace.memory_bytes() * 3 / 4;
        shell.run(&format!("CONFIG SET maxmemory {limit}"));
        shell.run("PING");
        let left = left(&mut shell, COUNT);
        assert!((COUNT / 2..COUNT).contains(&left.len()), "{policy}: {}", left.len());
        let lost = (0..COUNT).step_by(2).filter(|n| !left.contains(n)).count();
        assert!(lost < 8, "{policy}: {lost} keys in use have gone");
    }
}

#[test]
fn without_a_key_that_may_go_commands_that_take_memory_are_refused() {
    check(
        "
        > SET k v
        +OK
        > CONFIG SET maxmemory 1
        +OK
        > SET k w
        -OOM command not allowed when used memory > 'maxmemory'.
        > GET k
        \"v\"
        > CONFIG SET maxmemory-policy volatile-ttl
        +OK
        > APPEND k w
        -OOM command not allowed when used memory > 'maxmemory'.
        > DEL k
        :1
        > SET k w
        +OK
        > MULTI
        +OK
        > PING
        -OOM command not allowed when used memory > 'maxmemory'.
        > DISCARD
        +OK
        ",
    );
}

#[test]
fn a_transaction_is_refused_where_it_would_take_memory() {
    check(
        "
        > SET k v
        +OK
        > MULTI
        +OK
        > SET k w
        +QUEUED
        b> CONFIG SET maxmemory 1
        +OK
        > PING
        -OOM command not allowed when used memory > 'maxmemory'.
        > EXEC
        -EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.
        b> CONFIG SET maxmemory 0
        +OK
        > MULTI
        +OK
        > GET k
        +QUEUED
        b> CONFIG SET maxmemory 1
        +OK
        > EXEC
        [\"v\"]
        ",
    );
}

#[test]
fn evictions_are_told_before_the_command_and_outside_its_transaction() {
    check(
        "
        > CONFIG SET maxmemory-policy allkeys-lru
        +OK
        > MULTI
        +OK
        > INCR x
        +QUEUED
        > CONFIG SET maxmemory 1
        +QUEUED
        > INCR x
        +QUEUED
        > EXEC
        [:1 +OK :2]
        > DBSIZE
        :0
        ~ MULTI
        ~ INCR x
        ~ INCR x
        ~ EXEC
        ~ DEL x
        > CONFIG SET lazyfree-lazy-eviction yes
        +OK
        > SET a 1
        +OK
        > SET b 1
        +OK
        ~ SET a 1
        ~ UNLINK a
        ~ SET b 1
        ",
    );
}

#[test]
fn an_evicted_key_that_is_watched_has_changed() {
    check(
        "
        > SET k v
        +OK
        > WATCH k
        +OK
        > MULTI
        +OK
        > PING
        +QUEUED
        b> CONFIG SET maxmemory-policy allkeys-random maxmemory 1
        +OK
        b> DBSIZE
        :0
        b> CONFIG SET maxmemory 0
        +OK
        > EXEC
        nil
        ",
    );
}

#[test]
fn use_is_counted_under_lfu() {
    check(
        "
        > SET a 1
        +OK
        > CONFIG SET maxmemory-policy allkeys-lfu lfu-decay-time 1
        +OK
        > SET fresh 1
        +OK
        > OBJECT FREQ fresh
        :5
        > OBJECT IDLETIME fresh
        -ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.
        > GET fresh
        \"1\"
        > OBJECT FREQ fresh
        :6
        > COPY fresh copy
        :1
        > OBJECT FREQ copy
        :5
        + 180000
        > OBJECT FREQ copy
        :2
        > EXISTS copy
        :1
        > OBJECT FREQ copy
        :2
        > SET copy 2
        +OK
        > OBJECT FREQ copy
        :3
        ",
    );
}

/// Memory on its way to the thread that frees it is in use, but no reason to refuse or evict.
#[test]
fn what_another_thread_is_freeing_is_no_reason_to_refuse() {
    let value = vec![b'v'; 1_000_000];
    let ways = [
        (0, "DEL k", 1),
        (20_000, "FLUSHALL SYNC", 20_001),
        (0, "SET k w", 1),
        (1, "RENAME x0 k", 1),
    ];
    for (others, line, objects) in ways {
        let mut shell = Shell::new();
        (0..others).for_each(|n| assert_eq!(shell.run(&format!("SET x{n} v")), "+OK"));
        shell.run_args(&[b"SET", b"k", &value]);
        // What the stream holds for a replica does not count either.
        shell.take_stream();
        let used = shell.node.keyspace.memory_bytes();
        shell.host.used_memory.store(used, Ordering::Relaxed);
        *shell.host.garbage.lock().unwrap() = Some(Vec::new());
        let limit = format!("CONFIG SET maxmemory {}", used - 500_000);
        shell.run(&limit);
        assert!(shell.run("SET new v").starts_with("-OOM"), "{line}");
        shell.run("CONFIG SET maxmemory 0");
        assert!(!shell.run(line).starts_with('-'), "{line}");
        shell.run(&limit);
        assert_eq!(shell.run("SET new v"), "+OK", "{line}");
        shell.node.free_overwritten();
        assert_eq!(shell.run("SET new v"), "+OK", "{line}: on its way");
        assert_eq!(shell.node.lazy_free.pending(), objects, "{line}");
        let under_way = |shell: &Shell| shell.node.lazy_free.bytes();
        let bytes = under_way(&shell);
        assert!((1_000_000..=used).contains(&bytes), "{line}: {bytes} of {used}");
        // Gone, and said to be gone only when what is used has fallen.
        let garbage = shell.host.garbage.lock().unwrap().replace(Vec::new()).unwrap();
        assert_eq!(garbage.len(), 2);
        let mut garbage = garbage.into_iter();
        drop(garbage.next());
        assert_eq!(under_way(&shell), bytes, "{line}");
        drop(garbage);
        assert_eq!(under_way(&shell), 0, "{line}");
        assert!(shell.run("SET new v").starts_with("-OOM"), "{line}");
    }
}

/// Evicted values are freed by the rule for all, and counted.
#[test]
fn what_is_evicted_is_freed_as_what_is_deleted() {
    let fields: String = (0..600).map(|n| format!(" f{n} v")).collect();
    let large = "v".repeat(300_000);
    for (lazy, line, freed) in [
        ("no", format!("HSET k{fields}"), 0),
        ("yes", format!("HSET k{fields}"), 1),
        ("no", format!("SET k {large}"), 1),
        ("yes", "SET k v".to_owned(), 0),
    ] {
        let mut shell = Shell::new();
        shell.run(&format!("CONFIG SET lazyfree-lazy-eviction {lazy}"));
        shell.run(&line);
        shell.run("CONFIG SET maxmemory-policy allkeys-random maxmemory 1");
        assert_eq!(shell.run("DBSIZE"), ":0");
        assert_eq!(shell.node.lazy_free.freed(), freed, "{lazy}: {}", &line[..8]);
    }
}
