//! `--hotkeys`: which keys are used most, by the counters that a server with an LFU policy
//! keeps.

use std::sync::atomic::Ordering;

use tandem_resp::reply::ReplyValue;

use super::bigkeys::{db_size, pipeline};
use super::pause;
use super::scan::scan_step;
use crate::interrupt::stop_flag;
use crate::session::Session;
use crate::split::quoted;
use crate::text::{complain, flush, put};
use crate::{Step, Stop};

/// How many keys are kept.
const KEPT: usize = 16;

/// The hottest keys so far, the coolest of them first.
struct Pool {
    counters: [i64; KEPT],
    keys: [Vec<u8>; KEPT],
}

impl Pool {
    fn new() -> Pool {
        Pool { counters: [0; KEPT], keys: std::array::from_fn(|_| Vec::new()) }
    }

    /// Takes a key that is hotter than the coolest one; false when it is not.
    fn take(&mut self, key: &[u8], counter: i64) -> bool {
        let cooler = self.counters.iter().take_while(|&&kept| counter > kept).count();
        let Some(at) = cooler.checked_sub(1) else { return false };
        if self.counters[at] != 0 {
            // The coolest one goes, those between move down.
            self.counters[..=at].rotate_left(1);
            self.keys[..=at].rotate_left(1);
        }
        self.counters[at] = counter;
        self.keys[at] = key.to_vec();
        true
    }

    fn summary(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (key, counter) in self.keys.iter().zip(self.counters).rev() {
            if counter > 0 {
                out.extend_from_slice(
                    format!("hot key found with counter: {counter}\tkeyname: ").as_bytes(),
                );
                out.extend_from_slice(key);
                out.push(b'\n');
            }
        }
        out
    }
}

/// Searches the whole keyspace, or until Ctrl-C, and prints a summary.
pub(super) fn search(session: &mut Session) -> Step<i32> {
    let stop = stop_flag();
    let keys_expected = db_size(session)?;
    put("\n# Scanning the entire keyspace to find hot keys as well as\n\
         # average sizes per key type.  You can use -i 0.1 to sleep 0.1 sec\n\
         # per 100 SCAN commands (not usually needed).\n\n")?;
    let mut pool = Pool::new();
    let (mut cursor, mut scans, mut sampled) = (0, 0u64, 0u64);
    loop {
        let percent = 100.0 * sampled as f64 / keys_expected as f64;
        let (next, keys) = scan_step(session, cursor)?;
        scans += 1;
        let counters = counters_of(session, &keys)?;
        for (key, counter) in keys.iter().zip(counters) {
            sampled += 1;
            if sampled.is_multiple_of(1_000_000) {
                put(format!("[{percent:05.2}%] Sampled {sampled} keys so far\n"))?;
            }
            let key = quoted(key);
            if pool.take(&key, counter) {
                put([
                    format!("[{percent:05.2}%] Hot key '").as_bytes(),
                    &key,
                    format!("' found so far with counter {counter}\n").as_bytes(),
                ]
                .concat())?;
            }
        }
        flush()?;
        if scans.is_multiple_of(100) {
            pause(session.options.interval_us);
        }
        let stopped = stop.load(Ordering::Relaxed);
        if next == 0 || stopped {
            put("\n-------- summary -------\n\n")?;
            if stopped {
                put(format!("[{percent:05.2}%] "))?;
            }
            put(format!("Sampled {sampled} keys in the keyspace!\n"))?;
            put(pool.summary())?;
            flush()?;
            return Ok(0);
        }
        cursor = next;
    }
}

/// Asks for the counter of each key; 0 for one that has gone.
fn counters_of(session: &mut Session, keys: &[Vec<u8>]) -> Step<Vec<i64>> {
    let commands: Vec<Vec<Vec<u8>>> =
        keys.iter().map(|key| vec![b"OBJECT".to_vec(), b"FREQ".to_vec(), key.clone()]).collect();
    let mut counters = Vec::with_capacity(keys.len());
    for (reply, key) in pipeline(session, &commands)?.iter().zip(keys) {
        match reply {
            ReplyValue::Integer(counter) => counters.push(*counter),
            ReplyValue::Error(text) => {
                complain([b"Error: ", text.as_slice()].concat());
                return Err(Stop::Exit(1));
            }
            _ => {
                let key = String::from_utf8_lossy(&quoted(key)).into_owned();
                complain(format!("Warning: OBJECT freq on '{key}' failed (may have been deleted)"));
                counters.push(0);
            }
        }
    }
    Ok(counters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_are_kept_in_order() {
        let mut pool = Pool::new();
        for counter in [5, 3, 9, 3, 0, 7] {
            pool.take(format!("k{counter}").as_bytes(), counter);
        }
        let text = String::from_utf8(pool.summary()).expect("text");
        let keys: Vec<&str> =
            text.lines().map(|line| line.rsplit(' ').next().expect("it")).collect();
        assert_eq!(keys, ["k9", "k7", "k5", "k3", "k3"]);
        assert!(!pool.take(b"cold", 0));
        for counter in 10..40 {
            pool.take(b"hot", counter);
        }
        assert_eq!(pool.counters, std::array::from_fn(|at| 24 + at as i64));
    }
}
