//! Figures that need a memory of their own: rates per second, the peak of memory, and how often
//! each kind of error was replied.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tandem_base::{Mono, Now};

use crate::error::ErrorReply;
use crate::node::lock;
use crate::stats::Stats;

/// Readings that a rate is the mean of; ten a second are taken, as in Redis.
const SAMPLES: usize = 16;

/// What rates are known of.
#[derive(Clone, Copy, Debug)]
pub enum Rate {
    /// Commands.
    Commands,
    /// Bytes received, from clients and from our master.
    Input,
    /// Bytes sent, to clients and to replicas.
    Output,
    /// Bytes received from our master.
    ReplicationInput,
    /// Bytes sent to replicas.
    ReplicationOutput,
}

const RATES: usize = 5;

const ATTACK_LOG_MS: u64 = 60_000;
const CLIENTS_LIMIT_LOG_MS: u64 = 1000;

/// Whether more than `ms` have passed since the last time that this was so.
fn due_again(last: &AtomicU64, now: Now, ms: u64) -> bool {
    let before = last.load(Ordering::Relaxed);
    let due = before == 0 || now.mono.ms_since(Mono(before)) > ms;
    if due {
        last.store(now.mono.0.max(1), Ordering::Relaxed);
    }
    due
}

/// See the module's story.
#[derive(Default)]
pub struct Meters {
    startup_bytes: AtomicU64,
    peak_bytes: AtomicU64,
    rates: Mutex<Rates>,
    errors: Mutex<BTreeMap<String, u64>>,
    /// When a request of HTTP was last logged; 0: never.
    last_attack: AtomicU64,
    /// The same of a limit to clients' memory that nobody can help.
    last_clients_limit: AtomicU64,
}

#[derive(Default)]
struct Rates {
    /// When the last reading was taken, and what it was.
    last: Option<(Mono, [u64; RATES])>,
    /// Per second, one row a reading.
    ring: [[f64; RATES]; SAMPLES],
    next: usize,
}

impl Meters {
    /// Takes a reading of all counts. To be called ten times a second.
    pub fn sample(&self, now: Now, stats: &Stats) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (from_master, to_replicas) =
            (load(&stats.net_repl_input_bytes), load(&stats.net_repl_output_bytes));
        let counts = [
            load(&stats.commands_processed),
            load(&stats.net_input_bytes) + from_master,
            load(&stats.net_output_bytes) + to_replicas,
            from_master,
            to_replicas,
        ];
        let rates = &mut *lock(&self.rates);
        if let Some((then, before)) = rates.last {
            let elapsed_us = now.mono.0.saturating_sub(then.0);
            if elapsed_us == 0 {
                return;
            }
            let row = &mut rates.ring[rates.next];
            for ((rate, count), before) in row.iter_mut().zip(counts).zip(before) {
                // CONFIG RESETSTAT may have come in between.
                *rate = count.saturating_sub(before) as f64 * 1e6 / elapsed_us as f64;
            }
            rates.next = (rates.next + 1) % SAMPLES;
        }
        rates.last = Some((now.mono, counts));
    }

    /// The mean of the last readings, per second.
    pub fn rate(&self, of: Rate) -> f64 {
        lock(&self.rates).ring.iter().map(|row| row[of as usize]).sum::<f64>() / SAMPLES as f64
    }

    /// Notes how much memory is in use; the first reading is what the server needs by itself.
    pub fn note_memory(&self, used_bytes: u64) {
        // Whoever comes second has measured after the start.
        let _ = self.startup_bytes.compare_exchange(
            0,
            used_bytes,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        self.peak_bytes.fetch_max(used_bytes, Ordering::Relaxed);
    }

    /// Bytes in use when the node began.
    pub fn startup_bytes(&self) -> u64 {
        self.startup_bytes.load(Ordering::Relaxed)
    }

    /// Most bytes in use that a reading has seen.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed)
    }

    /// Counts an error reply under its code word.
    #[cold]
    pub fn note_error(&self, error: &ErrorReply) {
        let text = error.to_bytes();
        let code = text.split(|&byte| byte == b' ').next().unwrap_or_default();
        let code = &*String::from_utf8_lossy(code);
        let mut errors = lock(&self.errors);
        match errors.get_mut(code) {
            Some(count) => *count += 1,
            None => {
                errors.insert(code.to_owned(), 1);
            }
        }
    }

    /// Whether a request of HTTP is to be logged: once a minute is enough.
    pub fn may_log_attack(&self, now: Now) -> bool {
        due_again(&self.last_attack, now, ATTACK_LOG_MS)
    }

    /// Whether to log that clients hold too much and none of them may go: once a second is
    /// enough.
    pub fn may_log_clients_limit(&self, now: Now) -> bool {
        due_again(&self.last_clients_limit, now, CLIENTS_LIMIT_LOG_MS)
    }

    /// Calls `show` with each code word and how often it was replied.
    pub fn each_error(&self, mut show: impl FnMut(&str, u64)) {
        for (code, count) in lock(&self.errors).iter() {
            show(code, *count);
        }
    }

    /// Forgets rates and errors (CONFIG RESETSTAT); the peak of memory stays.
    pub fn reset(&self) {
        *lock(&self.rates) = Rates::default();
        lock(&self.errors).clear();
    }
}

#[cfg(test)]
mod tests {
    use tandem_base::UnixMs;

    use super::*;

    fn at_ms(ms: u64) -> Now {
        Now { unix: UnixMs(0), mono: Mono(ms * 1000) }
    }

    #[test]
    fn a_rate_is_the_mean_of_the_last_readings() {
        let (meters, stats) = (Meters::default(), Stats::default());
        meters.sample(at_ms(0), &stats);
        for reading in 1..=40 {
            stats.commands_processed.fetch_add(100, Ordering::Relaxed);
            meters.sample(at_ms(reading * 100), &stats);
        }
        assert_eq!(meters.rate(Rate::Commands), 1000.0);
        for reading in 41..=48 {
            meters.sample(at_ms(reading * 100), &stats);
        }
        assert_eq!(meters.rate(Rate::Commands), 500.0, "half of the readings saw no command");
        assert_eq!(meters.rate(Rate::Input), 0.0);
    }

    #[test]
    fn counts_that_begin_again_give_no_negative_rate() {
        let (meters, stats) = (Meters::default(), Stats::default());
        stats.commands_processed.store(1000, Ordering::Relaxed);
        meters.sample(at_ms(0), &stats);
        stats.reset();
        meters.sample(at_ms(100), &stats);
        assert_eq!(meters.rate(Rate::Commands), 0.0);
    }

    #[test]
    fn errors_are_counted_by_their_code() {
        let meters = Meters::default();
        for error in [ErrorReply::Syntax, ErrorReply::NotInteger, ErrorReply::NoAuth] {
            meters.note_error(&error);
        }
        let mut shown = Vec::new();
        meters.each_error(|code, count| shown.push((code.to_owned(), count)));
        assert_eq!(shown, [("ERR".to_owned(), 2), ("NOAUTH".to_owned(), 1)]);
    }

    #[test]
    fn attacks_are_logged_once_a_minute() {
        let meters = Meters::default();
        let logged = [0, 1000, 60_000, 60_002, 61_000].map(|ms| meters.may_log_attack(at_ms(ms)));
        assert_eq!(logged, [true, false, false, true, false]);
    }

    #[test]
    fn the_peak_only_rises() {
        let meters = Meters::default();
        for used in [10, 30, 20] {
            meters.note_memory(used);
        }
        assert_eq!((meters.startup_bytes(), meters.peak_bytes()), (10, 30));
    }
}
