//! How long a stripe is held while one large hash changes: `large_hash [FIELDS] [CHANGES]`.
//!
//! ```text
//! growing ─► calm ─► during a snapshot, twice ─► shrinking ─► taken out and freed
//! ```
//! One thread changes the hash under its stripe's lock as a worker does, another walks the
//! snapshot as the server's thread does. Each hold is measured in processor time of the thread
//! that holds, so that what else the machine does has no part in it: these are the longest times
//! that this code itself keeps a request waiting.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

use tandem_base::DbIndex;
use tandem_store::{HashLimits, HashMut, Keyspace};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const DB: DbIndex = DbIndex(0);
const KEY: &[u8] = b"large";
/// What the server asks a walk for at a time.
const STEP_BYTES: usize = 256 << 10;

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse().expect("a number"));
    let fields: u64 = args.next().unwrap_or(1_000_000);
    let changes: u64 = args.next().unwrap_or(1_000_000);
    let keyspace = Keyspace::new(1, 10, [1, 2]);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut holds = Holds::default();
    for n in 0..fields {
        holds.time(&keyspace, |hash| {
            hash.set(&text("field", n), &text("value", n));
        });
    }
    holds.tell("growing");
    (0..changes).for_each(|_| holds.time(&keyspace, |hash| change(hash, &mut rng, fields)));
    holds.tell("calm");
    for round in ["first snapshot", "second snapshot"] {
        let walked = AtomicBool::new(false);
        let mut walk = keyspace.begin_snapshot(true);
        let took = std::thread::scope(|scope| {
            let walker = scope.spawn(|| {
                let mut out = Vec::new();
                let began = cpu_ns();
                while walk.step(&keyspace, &mut out, STEP_BYTES) {
                    out.clear();
                }
                drop(walk);
                walked.store(true, Ordering::Relaxed);
                cpu_ns() - began
            });
            while !walked.load(Ordering::Relaxed) {
                holds.time(&keyspace, |hash| change(hash, &mut rng, fields));
            }
            walker.join().expect("it does not panic")
        });
        holds.tell(round);
        println!("  the walk itself: {:.1} ms of processor time", took as f64 / 1e6);
        (0..changes / 4).for_each(|_| holds.time(&keyspace, |hash| change(hash, &mut rng, fields)));
        holds.tell("after it");
    }
    for n in 0..fields - fields / 10 {
        holds.time(&keyspace, |hash| {
            hash.remove(&text("field", n));
        });
    }
    holds.tell("shrinking");
    for n in 0..fields {
        holds.time(&keyspace, |hash| {
            hash.set(&text("field", n), &text("value", n));
        });
    }
    holds.tell("growing again");
    let place = keyspace.hash(KEY);
    let began = cpu_ns();
    let taken = keyspace.lock(place.stripe).take(DB, KEY, place);
    let held = cpu_ns() - began;
    let began = cpu_ns();
    drop(black_box(taken));
    let freed = cpu_ns() - began;
    println!("taken out in {:.1} us; freed in {:.1} ms", held as f64 / 1e3, freed as f64 / 1e6);
}

/// A field set, deleted or read, mostly set.
fn change(hash: &mut HashMut<'_>, rng: &mut fastrand::Rng, fields: u64) {
    let field = text("field", rng.u64(..fields + fields / 8));
    match rng.u8(..8) {
        0 => hash.remove(&field),
        1 => black_box(hash.get(&field).is_some()),
        _ => hash.set(&field, &text("value", rng.u64(..))[..rng.usize(8..16)]),
    };
}

fn text(name: &str, number: u64) -> Vec<u8> {
    format!("{name}:{number:010}").into_bytes()
}

/// Processor times of one phase's holds, in ns.
#[derive(Default)]
struct Holds(Vec<u32>);

impl Holds {
    fn time(&mut self, keyspace: &Keyspace, work: impl FnOnce(&mut HashMut<'_>)) {
        let place = keyspace.hash(KEY);
        let began = cpu_ns();
        let mut stripe = keyspace.lock(place.stripe);
        let hash = stripe.hash_mut(DB, KEY, place, HashLimits::default());
        work(&mut hash.expect("nothing else is there"));
        drop(stripe);
        self.0.push(u32::try_from(cpu_ns() - began).unwrap_or(u32::MAX));
    }

    /// Which hold was the longest tells whether it is the same in each run.
    fn tell(&mut self, phase: &str) {
        let longest = (0..self.0.len()).max_by_key(|&nth| self.0[nth]).unwrap_or(0);
        self.0.sort_unstable();
        let at = |part: f64| f64::from(self.0[((self.0.len() - 1) as f64 * part) as usize]) / 1e3;
        println!(
            "{phase}: {} holds, median {:.1} us, 99.9 % {:.1} us, longest {:.1} us (number {longest})",
            self.0.len(),
            at(0.5),
            at(0.999),
            at(1.0)
        );
        self.0.clear();
    }
}

/// Processor time of this thread.
fn cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).expect("time goes on") * 1_000_000_000
        + u64::try_from(time.tv_nsec).expect("below a second")
}
