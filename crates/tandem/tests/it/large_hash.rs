//! A large hash changed at full rate while replicas take everything: nobody waits for it, and
//! each copy is exact.
//!
//! `TANDEM_HASH_FIELDS` says how many fields (default 60,000; the proof takes a million).
//! The longest wait of any request is printed, that of the same load before the sync beside it,
//! and the longest that the server itself was busy with one command (its slow log). None of it is
//! asserted, as other processes share the machine; what a hold costs in processor time alone,
//! `crates/store/examples/large_hash.rs` measures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use tandem_harness::{Client, Kind, Rng, Server, wait_until};

use crate::pairs::for_each_pair;
use crate::{start_replica, wait_same_data};

for_each_pair!(
    a_large_hash_changes_during_a_full_sync,
    hashes_of_both_encodings_are_loaded_as_they_were_saved,
);

/// Fields set by one HSET while the hash is made.
const FIELDS_A_COMMAND: usize = 200;

fn fields() -> usize {
    std::env::var("TANDEM_HASH_FIELDS").map_or(60_000, |text| text.parse().expect("a number"))
}

fn fill_hash(c: &mut Client, key: &str, fields: usize) {
    for from in (0..fields).step_by(FIELDS_A_COMMAND) {
        let mut args = vec!["HSET".to_owned(), key.to_owned()];
        for n in from..fields.min(from + FIELDS_A_COMMAND) {
            args.push(format!("field:{n:010}"));
            args.push(format!("value:{n:010}"));
        }
        c.cmd(&args).int();
    }
    assert_eq!(c.cmd(&["HLEN", key]).int(), i64::try_from(fields).expect("small"));
}

/// Changes fields of `key` as fast as answers come, and notes the longest wait.
struct Writer {
    stop: Arc<AtomicBool>,
    longest_us: Arc<AtomicU64>,
    thread: JoinHandle<u64>,
}

impl Writer {
    fn start(port: u16, seed: u64, fields: usize, pipeline: usize) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let longest_us = Arc::new(AtomicU64::new(0));
        let (stopped, longest) = (Arc::clone(&stop), Arc::clone(&longest_us));
        let thread = spawn(move || {
            let mut c = Client::connect(port);
            let mut rng = Rng::new(seed);
            let mut written = 0;
            while !stopped.load(Ordering::Relaxed) {
                let bytes: Vec<u8> = (0..pipeline).flat_map(|_| next(&mut rng, fields)).collect();
                let began = Instant::now();
                c.send_raw(&bytes).expect("the master is there");
                for _ in 0..pipeline {
                    c.read().expect("the master is there");
                }
                let waited = u64::try_from(began.elapsed().as_micros()).expect("short");
                longest.fetch_max(waited, Ordering::Relaxed);
                written += pipeline as u64;
            }
            written
        });
        Writer { stop, longest_us, thread }
    }

    /// The longest wait since the last question.
    fn longest(&self) -> Duration {
        Duration::from_micros(self.longest_us.swap(0, Ordering::Relaxed))
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic")
    }
}

/// The longest that the server was busy with one command since the last question, if longer than
/// a millisecond.
fn slowest_command(server: &Server) -> Duration {
    let mut c = server.client();
    let entries = c.cmd(&["SLOWLOG", "GET", "-1"]);
    let longest = entries.items().iter().map(|entry| entry.items()[2].int()).max();
    c.cmd(&["SLOWLOG", "RESET"]).ok();
    Duration::from_micros(longest.map_or(0, i64::unsigned_abs))
}

/// A request as bytes, so that many go out in one write.
fn encode(words: &[&str]) -> Vec<u8> {
    let words = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    let words: Vec<String> = words.collect();
    format!("*{}\r\n{}", words.len(), words.concat()).into_bytes()
}

fn next(rng: &mut Rng, fields: usize) -> Vec<u8> {
    let field = format!("field:{:010}", rng.below(fields as u64 + fields as u64 / 8));
    let value = format!("{:x}", rng.below(u64::MAX));
    match rng.below(8) {
        0 => encode(&["HDEL", "large", &field]),
        1 => encode(&["HINCRBY", "large", &format!("count:{}", rng.below(1000)), "3"]),
        2 => encode(&["HGET", "large", &field]),
        _ => encode(&["HSET", "large", &field, &value]),
    }
}

fn a_large_hash_changes_during_a_full_sync(master: &Kind, replica: &Kind) {
    let slow_log = ["--slowlog-log-slower-than", "1000", "--slowlog-max-len", "100000"];
    let m = Server::start(master, &[&["--repl-backlog-size", "200mb"], &slow_log[..]].concat());
    let fields = fields();
    fill_hash(&mut m.client(), "large", fields);
    let full_rate = Writer::start(m.port(), 1, fields, 50);
    let single = Writer::start(m.port(), 2, fields, 1);
    // As long as a full sync takes, so that the machine has as many chances to be slow.
    sleep(Duration::from_micros(fields as u64 * 2));
    let before = (single.longest(), slowest_command(&m));
    let r = start_replica(replica, m.port(), &[]);
    let during = (single.longest(), slowest_command(&m));
    // A second snapshot over what the first has shared.
    m.client().cmd(&["BGSAVE", "SCHEDULE"]);
    wait_until("the save is done", || m.client().info("rdb_bgsave_in_progress") == "0");
    let saving = (single.longest(), slowest_command(&m));
    let written = single.stop() + full_rate.stop();
    println!(
        "{fields} fields, {written} changes; longest wait, and longest command by the slow log: \
         {before:?} before, {during:?} during the full sync, {saving:?} during a save \
         ({master:?} to {replica:?})"
    );
    wait_same_data(&m, &r);
    assert_eq!(m.client().info("sync_full"), "1");
    assert_eq!(m.client().cmd(&["HLEN", "large"]), r.client().cmd(&["HLEN", "large"]));
}

fn hashes_of_both_encodings_are_loaded_as_they_were_saved(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    let mut c = m.client();
    for n in 0..300 {
        c.cmd(&["HSET", &format!("small:{n}"), "a", "1", "b", "-70000", "text", "more of it"])
            .int();
    }
    fill_hash(&mut c, "packed", 500);
    fill_hash(&mut c, "table", 5000);
    c.cmd(&["HSET", "long", &"f".repeat(600), &"v".repeat(3 << 20), "x", "y"]).int();
    c.run("PEXPIREAT table 4102444800000").int();
    let r = start_replica(replica, m.port(), &[]);
    wait_same_data(&m, &r);
    let digest = m.client().digest();
    for server in [&m, &r] {
        let mut c = server.client();
        let encodings = ["small:7", "packed", "table", "long"]
            .map(|key| c.cmd(&["OBJECT", "ENCODING", key]).text());
        assert_eq!(encodings, ["listpack", "listpack", "hashtable", "hashtable"]);
    }
    // A copy shares with its original, and neither sees the other's changes.
    c.run("COPY table copy").int();
    assert_eq!(c.run("HDEL copy field:0000000001").int(), 1);
    assert_eq!(c.run("HLEN table").int(), 5000);
    c.run("DEL copy").int();
    m.client().run("DEBUG RELOAD").ok();
    assert_eq!(m.client().digest(), digest);
}
