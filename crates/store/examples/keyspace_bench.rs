//! Measures the keyspace alone: nanoseconds for a GET and a SET at 1M keys, bytes for a key at
//! 5M keys, and how fast a snapshot is taken.
//!
//! ```text
//! cargo run --profile bench -p tandem-store --example keyspace_bench            all of it
//! cargo run --profile bench -p tandem-store --example keyspace_bench -- times   without memory
//! cargo run --profile bench -p tandem-store --example keyspace_bench -- rss 32  one memory figure
//! cargo run --profile bench -p tandem-store --example keyspace_bench -- hot-set  for a profiler
//! ```
//! Keys have 16 bytes. Memory figures run in a process of their own each, as an allocator does
//! not give back all that it has had.

use std::hint::black_box;

use tandem_base::{DbIndex, UnixMs};
use tandem_store::{Expiry, KeyHash, Keyspace, NewString};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const DB: DbIndex = DbIndex(0);
const BATCH: usize = 16;
const ROUNDS: u32 = 5;

fn key(n: u64) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let mut scratch = itoa::Buffer::new();
    let digits = scratch.format(n).as_bytes();
    key[16 - digits.len()..].copy_from_slice(digits);
    key
}

fn rss_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * 4096
}

fn set(keyspace: &Keyspace, key: &[u8], value: &[u8]) {
    let hash = keyspace.hash(key);
    let mut stripe = keyspace.lock(hash.stripe);
    stripe.set_string(DB, key, hash, NewString::Bytes(value), Expiry::Clear);
}

/// Copies the value out, as a reply does.
fn get(keyspace: &Keyspace, key: &[u8], hash: KeyHash, reply: &mut Vec<u8>) {
    let stripe = keyspace.lock(hash.stripe);
    if let Some(entry) = stripe.get(DB, key, hash) {
        reply.extend_from_slice(
            entry.string().expect("a string was put there").bytes(&mut itoa::Buffer::new()),
        );
    }
}

/// Nanoseconds that this thread has been on a processor; other loads do not count.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}

/// Runs `work` for `count` operations and prints what one took.
fn measure(what: &str, count: usize, work: impl FnMut()) {
    measure_best(what, count, 1, work);
}

/// The same, the best of some rounds: others may share the machine's caches.
fn measure_best(what: &str, count: usize, rounds: u32, mut work: impl FnMut()) {
    let mut round = |_| {
        let start = cpu_ns();
        work();
        (cpu_ns() - start) as f64 / count as f64
    };
    let ns = (0..rounds).map(&mut round).fold(f64::MAX, f64::min);
    println!("{what:<46} {ns:7.1} ns");
}

fn fill(keys: u64, value: &[u8]) -> Keyspace {
    let keyspace = Keyspace::new(16, 10, [1, 2]);
    for n in 0..keys {
        set(&keyspace, &key(n), value);
    }
    keyspace
}

fn prefetch(keyspace: &Keyspace, batch: &[[u8; 16]], hashes: &mut [KeyHash; BATCH]) {
    for (hash, key) in hashes.iter_mut().zip(batch) {
        *hash = keyspace.hash(key);
    }
    keyspace.prefetch(DB, hashes);
}

/// Sets a batch whose places are in the cache.
fn set_batch(keyspace: &Keyspace, batch: &[[u8; 16]], hashes: &[KeyHash; BATCH], value: &[u8]) {
    for (key, hash) in batch.iter().zip(*hashes) {
        let mut stripe = keyspace.lock(hash.stripe);
        stripe.set_string(DB, key, hash, NewString::Bytes(value), Expiry::Clear);
    }
}

fn times(keys: u64, value: &[u8]) {
    println!("{keys} keys of 16 bytes, values of {}", value.len());
    let mut rng = fastrand::Rng::with_seed(1);
    let mut numbers: Vec<u64> = (0..keys).collect();
    rng.shuffle(&mut numbers);
    let order: Vec<[u8; 16]> = numbers.iter().map(|n| key(*n)).collect();
    let count = order.len();
    let keyspace = Keyspace::new(16, 10, [1, 2]);
    measure("  hash", count, || {
        for key in &order {
            black_box(keyspace.hash(key));
        }
    });
    measure("  set, new key", count, || order.iter().for_each(|key| set(&keyspace, key, value)));
    drop(keyspace.flush_all());
    measure("  set, new key, batches of 16, prefetched", count, || {
        let mut hashes = [keyspace.hash(b""); BATCH];
        for batch in order.chunks_exact(BATCH) {
            prefetch(&keyspace, batch, &mut hashes);
            set_batch(&keyspace, batch, &hashes, value);
        }
    });
    rng.shuffle(&mut numbers);
    let order: Vec<[u8; 16]> = numbers.iter().map(|n| key(*n)).collect();
    cold_times(&keyspace, &order, value);
    hot_times(&keyspace, &order, value);
    ends_and_snapshots(&keyspace, &order, value);
}

/// Every key once, in random order.
fn cold_times(keyspace: &Keyspace, order: &[[u8; 16]], value: &[u8]) {
    let count = order.len();
    let mut reply = Vec::new();
    let mut hashes = [keyspace.hash(b""); BATCH];
    measure_best("  get", count, ROUNDS, || {
        for key in order {
            reply.clear();
            get(keyspace, key, keyspace.hash(key), &mut reply);
            black_box(&reply);
        }
    });
    measure_best("  set, same length", count, ROUNDS, || {
        order.iter().for_each(|key| set(keyspace, key, value));
    });
    measure_best("  prefetch alone, pipeline of 16", count, ROUNDS, || {
        order.chunks_exact(BATCH).for_each(|batch| prefetch(keyspace, batch, &mut hashes));
    });
    measure_best("  get, pipeline of 16, prefetched", count, ROUNDS, || {
        for batch in order.chunks_exact(BATCH) {
            prefetch(keyspace, batch, &mut hashes);
            reply.clear();
            for (key, hash) in batch.iter().zip(hashes) {
                get(keyspace, key, hash, &mut reply);
            }
            black_box(&reply);
        }
    });
    measure_best("  set, pipeline of 16, prefetched", count, ROUNDS, || {
        for batch in order.chunks_exact(BATCH) {
            prefetch(keyspace, batch, &mut hashes);
            set_batch(keyspace, batch, &hashes, value);
        }
    });
}

/// Sixteen keys again and again: instructions without cache misses.
fn hot_times(keyspace: &Keyspace, order: &[[u8; 16]], value: &[u8]) {
    let count = order.len();
    let mut reply = Vec::new();
    let mut hashes = [keyspace.hash(b""); BATCH];
    measure_best("  set of 16 hot keys", count, ROUNDS, || {
        (0..count).for_each(|n| set(keyspace, &order[n % BATCH], value));
    });
    measure_best("  prefetch of 16 hot keys", count, ROUNDS, || {
        for _ in 0..count / BATCH {
            prefetch(keyspace, &order[..BATCH], &mut hashes);
        }
    });
    measure_best("  get of 16 hot keys", count, ROUNDS, || {
        for n in 0..count {
            let key = &order[n % BATCH];
            reply.clear();
            get(keyspace, key, keyspace.hash(key), &mut reply);
            black_box(&reply);
        }
    });
    measure_best("  lock and unlock", count, ROUNDS, || {
        for key in 0..count {
            black_box(&keyspace.lock(key as u16 & 1023));
        }
    });
}

/// Snapshots, deletes, expiries; leaves the keyspace empty.
fn ends_and_snapshots(keyspace: &Keyspace, order: &[[u8; 16]], value: &[u8]) {
    let count = order.len();
    for compress in [false, true] {
        measure(&format!("  snapshot, a key, compress {compress}"), count, || {
            let mut walk = keyspace.begin_snapshot(compress);
            let mut out = Vec::with_capacity(1 << 20);
            while walk.step(keyspace, &mut out, 256 * 1024) {
                out.clear();
            }
        });
    }
    let delete_all = || {
        for key in order {
            let hash = keyspace.hash(key);
            keyspace.lock(hash.stripe).remove(DB, key, hash);
        }
    };
    measure("  delete", count, delete_all);
    assert_eq!(keyspace.memory_bytes(), 0);
    order.iter().for_each(|key| set(keyspace, key, value));
    measure("  set with an expiry", count, || {
        for (n, key) in order.iter().enumerate() {
            let hash = keyspace.hash(key);
            let expiry = Expiry::At(UnixMs(1_700_000_000_000 + n as i64));
            let mut stripe = keyspace.lock(hash.stripe);
            stripe.set_string(DB, key, hash, NewString::Bytes(value), expiry);
        }
    });
    measure("  delete with an expiry", count, delete_all);
    assert_eq!(keyspace.memory_bytes(), 0);
}

/// Prints bytes over the payload for a key, by the resident set and by our own count.
fn memory(keys: u64, value_len: usize) {
    let empty = rss_bytes();
    // Not an integer, which would take 8 bytes.
    let keyspace = fill(keys, &vec![b'v'; value_len]);
    let payload = keys * (16 + value_len as u64);
    let over = |bytes: u64| (bytes as f64 - payload as f64) / keys as f64;
    println!(
        "{:>4} bytes of value, {keys} keys: {:5.1} bytes over the payload resident, {:5.1} counted",
        value_len,
        over((rss_bytes() - empty) as u64),
        over(keyspace.memory_bytes()),
    );
}

/// One operation on hot keys for long, for a profiler.
fn hot_set() {
    let keyspace = fill(16, &[b'v'; 64]);
    let keys: Vec<[u8; 16]> = (0..16).map(key).collect();
    for n in 0..100_000_000 {
        set(&keyspace, &keys[n % 16], &[b'w'; 64]);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|what| what == "hot-set") {
        return hot_set();
    }
    if let [what, len, keys @ ..] = &arguments[..]
        && what == "rss"
    {
        let keys = keys.first().map_or(5_000_000, |keys| keys.parse().expect("number of keys"));
        memory(keys, len.parse().expect("length of a value"));
        return;
    }
    times(1_000_000, &[b'v'; 64]);
    if arguments.first().is_some_and(|what| what == "times") {
        return;
    }
    let program = std::env::current_exe().expect("Linux");
    for len in ["8", "32", "100"] {
        let mut run = std::process::Command::new(&program);
        run.args(["rss", len]).status().expect("it is this program");
    }
}
