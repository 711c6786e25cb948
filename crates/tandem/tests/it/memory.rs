//! Memory given back: values freed beside the commands, and the buffers of connections. The
//! suite asks for the same with sets (unit/lazyfree) and of Redis's own buffers (unit/querybuf,
//! unit/replybufsize).

use std::sync::atomic::{AtomicBool, Ordering};

use tandem_harness::{Client, Kind, Server, wait_until};

use crate::pairs::for_each_kind;
use crate::{start_replica, tandem};

for_each_kind!(
    what_is_unlinked_or_flushed_is_freed_beside,
    what_a_killed_replica_leaves_is_in_both_figures_or_in_none,
);

/// A hash of so many fields takes some megabytes in either server.
const FIELDS: usize = 100_000;

fn fill(c: &mut Client) {
    let pairs: Vec<String> = (0..FIELDS).flat_map(|n| [format!("f{n}"), n.to_string()]).collect();
    for some in pairs.chunks(2000) {
        let mut words = vec!["HSET", "h"];
        words.extend(some.iter().map(String::as_str));
        c.cmd(&words);
    }
    assert_eq!(c.run("HLEN h").int(), i64::try_from(FIELDS).expect("it fits"));
}

fn what_is_unlinked_or_flushed_is_freed_beside(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let mut c = server.client();
    for way in ["UNLINK h", "FLUSHDB ASYNC"] {
        c.run("CONFIG RESETSTAT").ok();
        let before = c.info_number("used_memory");
        fill(&mut c);
        let full = c.info_number("used_memory");
        assert!(full > before + 1_000_000, "{before} {full}");
        c.run(way);
        assert_eq!(c.run("EXISTS h").int(), 0);
        wait_until(&format!("{way} has freed"), || {
            c.info_number("lazyfree_pending_objects") == 0
                && c.info_number("used_memory") < (before + full) / 2
                && c.info_number("used_memory") < before * 2
                && c.info_number("lazyfreed_objects") == 1
        });
    }
    // What is quickly freed is not worth another thread.
    c.run("CONFIG RESETSTAT").ok();
    c.run("HSET h f v");
    c.run("UNLINK h");
    assert_eq!(c.info_number("lazyfreed_objects"), 0);
}

/// Of one reply: `used_memory`, and what of it is no reason to evict.
pub(crate) fn used_and_not_counted(c: &mut Client) -> (i64, i64) {
    let section = c.run("INFO memory").text();
    let figure = |name: &str| -> i64 {
        let line = section.lines().find_map(|line| line.strip_prefix(name)).expect("a figure");
        line.parse().expect("a number")
    };
    (figure("used_memory:"), figure("mem_not_counted_for_evict:"))
}

/// What a replica has yet to read when it is killed goes from `used_memory` and from
/// `mem_not_counted_for_evict` at one moment: nobody takes it for data meanwhile.
fn what_a_killed_replica_leaves_is_in_both_figures_or_in_none(kind: &Kind) {
    let limits = ["--client-output-buffer-limit", "replica 0 0 0", "--repl-timeout", "1200"];
    let backlog = ["--repl-backlog-size", "16kb", "--latency-tracking", "no"];
    let master = Server::start(kind, &[limits, backlog].concat());
    let replica = start_replica(kind, master.port(), &[]);
    let mut c = master.client();
    let value = "x".repeat(64_000);
    c.cmd(&["SET", "key", &value]).ok();
    for round in 0..5 {
        wait_until("the replica is back", || c.info("slave0").contains("state=online"));
        replica.pause();
        // Its socket takes the first of them, as many as the system likes.
        let (mut used, mut held) = (0, 0);
        wait_until("much waits for the replica", || {
            (0..100).for_each(|_| drop(c.cmd(&["SETRANGE", "key", "0", &value])));
            (used, held) = used_and_not_counted(&mut c);
            held > 20_000_000
        });
        let (counted, gone) = (used - held, AtomicBool::new(false));
        let farthest = std::thread::scope(|scope| {
            let watch = || {
                let mut c = master.client();
                let mut farthest = 0;
                while !gone.load(Ordering::Relaxed) {
                    let (used, held) = used_and_not_counted(&mut c);
                    farthest = farthest.max((used - held - counted).abs());
                }
                farthest
            };
            let watchers: Vec<_> = (0..3).map(|_| scope.spawn(watch)).collect();
            assert_eq!(c.run("CLIENT KILL TYPE replica").int(), 1);
            wait_until("what waited is gone", || used_and_not_counted(&mut c).1 < 1_000_000);
            gone.store(true, Ordering::Relaxed);
            watchers.into_iter().map(|w| w.join().expect("a figure")).max().expect("of three")
        });
        replica.resume();
        assert!(farthest < 4_000_000, "round {round}: {farthest} bytes were in one figure only");
    }
}

/// Of the client named `named`: `qbuf` and `qbuf-free`, and `rbs`.
fn buffers(c: &mut Client) -> (u64, u64) {
    let clients = c.run("CLIENT LIST").text();
    let line = clients.lines().find(|line| line.contains(" name=named ")).expect("it is connected");
    let figure = |name: &str| -> u64 {
        let word = line.split(' ').find_map(|word| word.strip_prefix(name)).expect("a figure");
        word.parse().expect("a number")
    };
    (figure("qbuf=") + figure("qbuf-free="), figure("rbs="))
}

#[test]
fn a_connection_keeps_no_buffer_that_it_does_not_use() {
    let server = Server::start(&tandem(4), &[]);
    let mut c = server.client();
    let mut named = server.client();
    named.run("CLIENT SETNAME named").ok();
    assert_eq!(buffers(&mut c).0, 0, "the worker's buffer was lent for a moment");
    // A long value has a buffer of its own while it comes, which then is the value.
    let long = "A".repeat(400_000);
    named.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$400000\r\n").expect("it reads");
    named.send_raw(&long.as_bytes()[..300_000]).expect("it reads");
    wait_until("the part is there", || buffers(&mut c).0 >= 300_000);
    named.send_raw(&long.as_bytes()[300_000..]).expect("it reads");
    named.send_raw(b"\r\n").expect("it reads");
    named.read().expect("an answer").ok();
    wait_until("it is given back", || buffers(&mut c).0 < 64);
    // Replies grow theirs; a long value is not copied into it.
    wait_until("the reply has been in it", || {
        // It may be given back at once: its worker looks after idle ones each second.
        assert_eq!(named.cmd(&["ECHO", &long[..12_000]]).text().len(), 12_000);
        buffers(&mut c).1 >= 12_000
    });
    wait_until("it is given back", || buffers(&mut c).1 <= 1024);
    assert_eq!(named.run("GET x").text().len(), 400_000);
    assert!(buffers(&mut c).1 <= 1024);
}
