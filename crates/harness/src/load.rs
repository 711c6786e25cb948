//! Writers that do what a seed says until they are stopped: every write command of strings,
//! keys and transactions, over several databases, in pipelines. A lost connection is dialled
//! again, so that a load outlives restarts and role changes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Client;
use crate::client::encode;

/// A small generator with a fixed sequence for a seed (xorshift64*).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// From any seed, zero included.
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number below `bound`, which is above zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

/// Running writers.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

/// How many keys of each family the writers share.
const KEYS: u64 = 400;
/// Databases written to.
const DATABASES: u64 = 3;
const BATCH: usize = 16;

impl Load {
    /// Starts `writers` threads on the server at `port`; each pauses `pause` after a batch of 16.
    pub fn start(port: u16, writers: u64, seed: u64, pause: Duration) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let threads = (0..writers)
            .map(|writer| {
                let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
                let rng = Rng::new(seed * 1000 + writer);
                std::thread::spawn(move || write_until(port, rng, pause, &stop, &answered))
            })
            .collect();
        Load { stop, answered, threads }
    }

    /// Commands answered so far (errors of the command itself included).
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends the writers; how many commands were answered.
    pub fn stop(mut self) -> u64 {
        self.end();
        self.answered()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

fn write_until(port: u16, mut rng: Rng, pause: Duration, stop: &AtomicBool, answered: &AtomicU64) {
    while !stop.load(Ordering::SeqCst) {
        if let Ok(mut client) = Client::try_connect(port) {
            let _ = write_batches(&mut client, &mut rng, pause, stop, answered);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn write_batches(
    client: &mut Client,
    rng: &mut Rng,
    pause: Duration,
    stop: &AtomicBool,
    answered: &AtomicU64,
) -> io::Result<()> {
    while !stop.load(Ordering::SeqCst) {
        let mut bytes = Vec::new();
        let mut count = 0;
        while count < BATCH {
            for command in next_step(rng) {
                bytes.extend(encode(&command));
                count += 1;
            }
        }
        client.send_raw(&bytes)?;
        for _ in 0..count {
            client.read()?;
            answered.fetch_add(1, Ordering::Relaxed);
        }
        std::thread::sleep(pause);
    }
    Ok(())
}

/// One step: mostly one command, sometimes a transaction.
fn next_step(rng: &mut Rng) -> Vec<Vec<String>> {
    match rng.below(40) {
        0 => vec![words(&["SELECT", &rng.below(DATABASES).to_string()])],
        1 => {
            let inside = (0..1 + rng.below(4)).map(|_| next_write(rng)).collect::<Vec<_>>();
            let mut all = vec![words(&["MULTI"])];
            all.extend(inside);
            all.push(words(&["EXEC"]));
            all
        }
        _ => vec![next_write(rng)],
    }
}

fn next_write(rng: &mut Rng) -> Vec<String> {
    let text = format!("s:{}", rng.below(KEYS));
    let other = format!("s:{}", rng.below(KEYS));
    let number = format!("n:{}", rng.below(KEYS));
    let soon = (1 + rng.below(3000)).to_string();
    match rng.below(24) {
        0..=5 => words(&["SET", &text, &value(rng)]),
        6 => words(&["SET", &text, &value(rng), "PX", &soon]),
        7 => words(&["SET", &text, &value(rng), "XX", "KEEPTTL", "GET"]),
        8 => words(&["SETEX", &text, "2", &value(rng)]),
        9 | 10 => words(&["INCR", &number]),
        11 => words(&["INCRBYFLOAT", &number, "0.5"]),
        12 => words(&["APPEND", &text, "tail"]),
        13 => words(&["SETRANGE", &text, &rng.below(300).to_string(), "middle"]),
        14 => words(&["DEL", &text, &other]),
        15 => words(&["PEXPIRE", &text, &soon]),
        16 => words(&["PERSIST", &text]),
        17 => words(&["GETSET", &text, &value(rng)]),
        18 => words(&["GETEX", &text, "PX", &soon]),
        19 => words(&["GETDEL", &text]),
        20 => words(&["MSET", &text, &value(rng), &other, &value(rng), &number, "7"]),
        21 => words(&["RENAME", &text, &other]),
        22 => words(&["COPY", &text, &other, "REPLACE"]),
        _ => words(&["SETNX", &text, &value(rng)]),
    }
}

/// Mostly short text, sometimes an integer, rarely one of 20,000 bytes.
fn value(rng: &mut Rng) -> String {
    match rng.below(60) {
        0 => "L".repeat(20_000),
        1..=10 => rng.below(1_000_000).to_string(),
        _ => format!("{:x}", rng.below(u64::MAX)).repeat(1 + rng.below(9) as usize),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_string()).collect()
}
