//! The load: each thread waits on its connections with epoll, reads what is there, and sends
//! the next batch as soon as all replies of the last one are read, or when it is due.
//!
//! ```text
//! idle ─ due, or at once ─► sending ─► waiting ─ all replies ─► idle
//! ```
//! A batch is written right when it begins; only what the socket does not take waits for
//! epoll. Threads share nothing but two counters.

mod conn;
mod pace;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use super::batch::Batch;
use super::options::Options;
use crate::text::{error_text, flush, put};
use conn::{Conn, Progress};
use pace::Pace;

/// Between two lines of progress.
const PROGRESS_PAUSE: Duration = Duration::from_millis(250);
/// Latencies are kept in microseconds up to an hour.
const LATENCY_MAX_US: u64 = 3_600_000_000;
/// Read from a socket at once.
const READ_BYTES: usize = 64 * 1024;
const EVENTS_MAX: usize = 256;

/// What a test came to.
#[derive(Debug)]
pub(super) struct Outcome {
    /// How many were answered: whole batches, so perhaps some more than asked for.
    pub(super) requests: u64,
    pub(super) seconds: f64,
    /// In microseconds.
    pub(super) latencies: Histogram<u64>,
    /// The length of the line of progress that stands on the terminal.
    pub(super) progress_bytes: usize,
}

/// What one thread has measured.
struct Meter {
    total: Histogram<u64>,
    /// Since the last line of progress.
    recent: Histogram<u64>,
}

/// What all threads see.
struct Shared {
    /// Requests that somebody has begun to send.
    issued: AtomicU64,
    finished: AtomicU64,
    stop: AtomicBool,
    requests: u64,
    pipeline: u64,
}

impl Shared {
    /// Whether another batch shall be sent; if so it belongs to the caller.
    fn claim_batch(&self) -> bool {
        self.issued.fetch_add(self.pipeline, Ordering::Relaxed) < self.requests
    }
}

fn histogram(precision: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, precision).expect("the precision was clamped")
}

fn locked(meter: &Mutex<Meter>) -> MutexGuard<'_, Meter> {
    meter.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends all requests and waits for their replies. The error is the text for the user.
pub(super) fn run(options: &Options, batch: &Batch, title: &str) -> Result<Outcome, String> {
    let thread_count = options.threads.max(1);
    let mut shares: Vec<Vec<Conn>> = (0..thread_count).map(|_| Vec::new()).collect();
    for index in 0..options.clients {
        shares[index % thread_count].push(Conn::open(options, batch)?);
    }
    let shared = Shared {
        issued: AtomicU64::new(0),
        finished: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        requests: options.requests,
        pipeline: u64::from(options.pipeline),
    };
    let meters: Vec<Mutex<Meter>> = (0..thread_count)
        .map(|_| {
            let [total, recent] = [(); 2].map(|()| histogram(options.precision));
            Mutex::new(Meter { total, recent })
        })
        .collect();
    let start = Instant::now();
    let (ended, progress_bytes) = std::thread::scope(|scope| {
        let (sender, threads_ended) = channel();
        for (index, conns) in shares.into_iter().enumerate() {
            let (shared, meter, sender) = (&shared, &meters[index], sender.clone());
            scope.spawn(move || {
                let pace = options.rps.map(|rps| Pace::new(options, rps, index, start));
                let outcome =
                    Thread::new(options, batch, shared, meter, conns, pace).and_then(Thread::run);
                if outcome.is_err() {
                    shared.stop.store(true, Ordering::Relaxed);
                }
                // Nobody waits for it any more when another thread has failed.
                let _ = sender.send(outcome);
            });
        }
        drop(sender);
        watch(options, title, &shared, &meters, start, &threads_ended)
    });
    ended?;
    let seconds = start.elapsed().as_secs_f64();
    let mut latencies = histogram(options.precision);
    for meter in &meters {
        latencies.add(&locked(meter).total).map_err(|error| error.to_string())?;
    }
    let requests = shared.finished.load(Ordering::Relaxed);
    Ok(Outcome { requests, seconds, latencies, progress_bytes })
}

/// Shows progress until all threads have ended; the first failure is the one that counts.
fn watch(
    options: &Options,
    title: &str,
    shared: &Shared,
    meters: &[Mutex<Meter>],
    start: Instant,
    threads_ended: &Receiver<Result<(), String>>,
) -> (Result<(), String>, usize) {
    let mut outcome = Ok(());
    let mut ended = 0;
    let (mut before, mut before_at, mut printed) = (0, start, 0);
    while ended < meters.len() {
        match threads_ended.recv_timeout(PROGRESS_PAUSE) {
            Ok(result) => {
                ended += 1;
                outcome = outcome.and(result);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if options.csv => {}
            Err(RecvTimeoutError::Timeout) => {
                let finished = shared.finished.load(Ordering::Relaxed);
                let now = Instant::now();
                let rate = (finished - before) as f64 / (now - before_at).as_secs_f64();
                let overall = finished as f64 / (now - start).as_secs_f64();
                (before, before_at) = (finished, now);
                let (recent, total) = averages(options.precision, meters);
                let line = format!(
                    "{title}: rps={rate:.1} (overall: {overall:.1}) avg_msec={recent:.3} \
                     (overall: {total:.3})\r"
                );
                let blank = format!("{:>printed$}\r", " ");
                printed = line.len();
                if put(blank + &line).and_then(|()| flush()).is_err() {
                    shared.stop.store(true, Ordering::Relaxed);
                }
            }
        }
    }
    (outcome, printed)
}

/// The mean latencies, in milliseconds, since the last call and since the start.
fn averages(precision: u8, meters: &[Mutex<Meter>]) -> (f64, f64) {
    let [mut recent, mut total] = [(); 2].map(|()| histogram(precision));
    for meter in meters {
        let mut meter = locked(meter);
        // All have equal bounds, so they can be added.
        let _ = recent.add(&meter.recent);
        let _ = total.add(&meter.total);
        meter.recent.reset();
    }
    (recent.mean() / 1000.0, total.mean() / 1000.0)
}

/// Opens the connections and holds them until the server closes one; `opened` is told of each
/// how many there are.
pub(super) fn hold_idle(options: &Options, opened: impl Fn(usize)) -> Result<(), String> {
    let batch = Batch::new(b"", 1, None);
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(broken)?;
    let mut conns = Vec::new();
    for index in 0..options.clients {
        let conn = Conn::open(options, &batch)?;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&epoll, &conn.stream, data, epoll::EventFlags::IN).map_err(broken)?;
        conns.push(conn);
        opened(conns.len());
    }
    let mut buf = vec![0; READ_BYTES];
    let mut events = Vec::with_capacity(EVENTS_MAX);
    loop {
        wait(&epoll, &mut events, None)?;
        for event in &events {
            let index = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            if let Some(conn) = conns.get_mut(index) {
                conn.read(&mut buf, |_| {})?;
            }
        }
    }
}

fn broken(error: impl Into<io::Error>) -> String {
    format!("Error: {}", error_text(&error.into()))
}

/// Waits for events; `for_at_most` is kept to the microsecond.
fn wait(
    epoll: &impl std::os::fd::AsFd,
    events: &mut Vec<epoll::Event>,
    for_at_most: Option<Duration>,
) -> Result<(), String> {
    events.clear();
    let mut timeout = None;
    if let Some(limit) = for_at_most {
        // epoll itself counts in milliseconds on older systems, poll does not.
        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(epoll, PollFlags::IN)], Some(&limit)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(()),
            Ok(_) => timeout = Some(Timespec { tv_sec: 0, tv_nsec: 0 }),
            Err(error) => return Err(broken(error)),
        }
    }
    match epoll::wait(epoll, rustix::buffer::spare_capacity(events), timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(broken(error)),
    }
}

/// One thread's connections.
struct Thread<'a> {
    options: &'a Options,
    batch: &'a Batch,
    shared: &'a Shared,
    meter: &'a Mutex<Meter>,
    epoll: std::os::fd::OwnedFd,
    conns: Vec<Conn>,
    /// Connections that wait for something to do.
    idle: Vec<usize>,
    /// Set when batches are due by the clock.
    pace: Option<Pace>,
    /// Nothing is left to send.
    exhausted: bool,
    random: fastrand::Rng,
}

impl<'a> Thread<'a> {
    fn new(
        options: &'a Options,
        batch: &'a Batch,
        shared: &'a Shared,
        meter: &'a Mutex<Meter>,
        conns: Vec<Conn>,
        pace: Option<Pace>,
    ) -> Result<Thread<'a>, String> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(broken)?;
        for (index, conn) in conns.iter().enumerate() {
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, &conn.stream, data, epoll::EventFlags::IN).map_err(broken)?;
        }
        let idle = (0..conns.len()).rev().collect();
        let random = fastrand::Rng::new();
        let exhausted = false;
        Ok(Thread { options, batch, shared, meter, epoll, conns, idle, pace, exhausted, random })
    }

    fn run(mut self) -> Result<(), String> {
        let mut buf = vec![0; READ_BYTES];
        let mut events = Vec::with_capacity(EVENTS_MAX);
        self.release()?;
        while !(self.conns.is_empty() || self.exhausted && self.idle.len() == self.conns.len()) {
            let pause = match &self.pace {
                Some(pace) if !self.idle.is_empty() && !self.exhausted => Some(pace.left()),
                // Another thread's failure must be noticed.
                _ => Some(PROGRESS_PAUSE),
            };
            wait(&self.epoll, &mut events, pause)?;
            if self.shared.stop.load(Ordering::Relaxed) {
                break;
            }
            let meter = self.meter;
            let mut meter = locked(meter);
            for event in &events {
                let index = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
                self.serve(index, event.flags, &mut meter, &mut buf)?;
            }
            drop(meter);
            self.release()?;
        }
        Ok(())
    }

    /// Handles what epoll says about one connection.
    fn serve(
        &mut self,
        index: usize,
        flags: epoll::EventFlags,
        meter: &mut Meter,
        buf: &mut [u8],
    ) -> Result<(), String> {
        let Some(conn) = self.conns.get_mut(index) else { return Ok(()) };
        if flags.contains(epoll::EventFlags::OUT) {
            conn.flush(&self.epoll, index)?;
        }
        if !flags
            .intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR)
        {
            return Ok(());
        }
        let finished = &self.shared.finished;
        let progress = conn.read(buf, |answered| {
            finished.fetch_add(answered.replies, Ordering::Relaxed);
            let us = u64::try_from(answered.latency.as_micros()).unwrap_or(u64::MAX);
            meter.total.saturating_record_n(us, answered.replies);
            meter.recent.saturating_record_n(us, answered.replies);
        })?;
        if progress == Progress::BatchDone {
            let since = Instant::now();
            if !self.options.keep_alive {
                // Connecting is part of the next request. The old socket leaves epoll by being closed.
                conn.reopen(self.options, self.batch, &self.epoll, index)?;
            }
            if self.pace.is_some() {
                self.idle.push(index);
            } else {
                self.start(index, since)?;
            }
        }
        Ok(())
    }

    /// Gives idle connections what is due.
    fn release(&mut self) -> Result<(), String> {
        while let (false, Some(&index)) = (self.exhausted, self.idle.last()) {
            let due = match &mut self.pace {
                None => Instant::now(),
                Some(pace) => match pace.take_due() {
                    Some(due) => due,
                    None => return Ok(()),
                },
            };
            self.idle.pop();
            self.start(index, due)?;
        }
        Ok(())
    }

    /// Sends the next batch on a connection, if there is one left; its latency counts from
    /// `since`.
    fn start(&mut self, index: usize, since: Instant) -> Result<(), String> {
        if self.exhausted || !self.shared.claim_batch() {
            self.exhausted = true;
            self.idle.push(index);
            return Ok(());
        }
        let conn = &mut self.conns[index];
        conn.begin(self.batch, since, &mut self.random);
        conn.flush(&self.epoll, index)
    }
}
