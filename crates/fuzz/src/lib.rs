//! Fuzzing on a stable compiler: mutate known inputs, keep what behaves in a new way.
//!
//! ```text
//! corpus ──► pick one ──► mutate 1 to 8 times ──► target ──► signature
//!    ▲                                                          │ not seen before
//!    └──────────────────────────────────────────────────────────┘
//! ```
//! There is no instrumentation; instead each target returns a *signature* of what the input made
//! the code do (which events, which error), and an input with a new one joins the corpus in
//! memory. A failure is a panic; it prints target, seed, round and the input itself, and that is
//! the bug report: put the input into `corpus/TARGET` when the bug is fixed.

pub mod mutate;
pub mod targets;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{fs, io, panic};

use fastrand::Rng;

/// Something that reads foreign bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder in `corpus`.
    pub name: &'static str,
    /// Pieces of the language that it reads; mutations put them in.
    pub words: &'static [&'static [u8]],
    /// Feeds one input to the code; panics if it breaks a promise. The generator is for choices
    /// such as where to cut. Gives the signature.
    pub run: fn(&[u8], &mut Rng) -> u64,
}

/// How long to go on, and from which seed.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Everything follows from it but the number of rounds.
    pub seed: u64,
    /// Stop after this time.
    pub time: Duration,
    /// Stop after so many rounds.
    pub rounds: u64,
}

/// What a run without a failure has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Inputs tried.
    pub rounds: u64,
    /// Ways to behave that were seen.
    pub signatures: usize,
}

/// Inputs kept in memory at most.
const CORPUS_MAX: usize = 4096;
/// Inputs longer than this are not kept.
const INPUT_KEPT_BYTES: usize = 16 * 1024;

/// What is being tried, for the report of a panic.
static CURRENT: Mutex<Current> =
    Mutex::new(Current { target: "", seed: 0, round: 0, input: Vec::new() });

struct Current {
    target: &'static str,
    seed: u64,
    round: u64,
    input: Vec<u8>,
}

/// Reads the committed inputs of `target` below `folder`, in the order of their names.
pub fn read_corpus(folder: &Path, target: &Target) -> io::Result<Vec<Vec<u8>>> {
    let mut paths = fs::read_dir(folder.join(target.name))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    paths.iter().map(fs::read).collect()
}

/// Runs `target`: first every input of `corpus` as it is, then mutations.
pub fn run(target: &Target, mut corpus: Vec<Vec<u8>>, plan: Plan) -> Report {
    report_panics();
    let started = Instant::now();
    let mut seen = HashSet::new();
    let mut attempt = |round: u64, input: &[u8], rng: &mut Rng| {
        note(target.name, plan.seed, round, input);
        seen.insert((target.run)(input, rng))
    };
    let mut rng = Rng::with_seed(plan.seed);
    for input in &corpus {
        attempt(0, input, &mut rng);
    }
    if corpus.is_empty() {
        corpus.push(Vec::new());
    }
    let mut input = Vec::new();
    let mut rounds = 0;
    // The clock is read once in a while.
    while rounds < plan.rounds && (rounds % 64 != 0 || started.elapsed() < plan.time) {
        rounds += 1;
        input.clear();
        input.extend_from_slice(&corpus[rng.usize(..corpus.len())]);
        for _ in 0..rng.usize(1..=8) {
            let other = &corpus[rng.usize(..corpus.len())];
            mutate::once(&mut input, other, target.words, &mut rng);
        }
        let is_new = attempt(rounds, &input, &mut rng);
        if is_new && corpus.len() < CORPUS_MAX && input.len() <= INPUT_KEPT_BYTES {
            corpus.push(input.clone());
        }
    }
    Report { rounds, signatures: seen.len() }
}

fn note(target: &'static str, seed: u64, round: u64, input: &[u8]) {
    let mut current = CURRENT.lock().expect("no panic while it is held");
    (current.target, current.seed, current.round) = (target, seed, round);
    current.input.clear();
    current.input.extend_from_slice(input);
}

/// Makes a panic print the input that led to it.
fn report_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        if let Ok(current) = CURRENT.try_lock() {
            let mut text = String::new();
            for byte in &current.input {
                write!(text, "{byte:02x}").expect("a string takes all");
            }
            let Current { target, seed, round, .. } = *current;
            // Standard error may be closed; there is nobody left to tell.
            let _ = writeln!(
                io::stderr(),
                "fuzz {target} failed: seed={seed} round={round} input (hexadecimal)={text}"
            );
        }
        usual(what);
    }));
}
