//! `--lru-test KEYS`: a cache's load, in which a fifth of the keys gets four fifths of the
//! requests, to see how many hits an eviction policy gives.

use std::time::{Duration, Instant};

use tandem_resp::reply::{ReplyValue, encode_command};

use crate::session::Session;
use crate::text::{complain, flush, put};
use crate::{Step, Stop};

/// A line of figures comes after this.
const CYCLE: Duration = Duration::from_secs(1);
/// Commands sent at once.
const PIPELINE: usize = 250;
/// The exponent that makes the shares 80 and 20.
const ALPHA: f64 = 6.2;
const VALUE_BYTES: usize = 5;

/// Writes and reads until the program is ended.
pub(super) fn simulate(session: &mut Session) -> Step<i32> {
    let keys = session.options.lru_keys;
    let mut random = fastrand::Rng::new();
    loop {
        let start = Instant::now();
        let (mut hits, mut misses) = (0u64, 0u64);
        while start.elapsed() < CYCLE {
            let mut writes = Vec::new();
            for _ in 0..PIPELINE {
                let value: Vec<u8> = (0..VALUE_BYTES).map(|_| random.u8(b'A'..b'z')).collect();
                let key = key_name(&mut random, keys);
                encode_command(&mut writes, &[b"SET", key.as_bytes(), &value[..]]);
            }
            exchange(session, &writes, |_| {})?;
            let mut reads = Vec::new();
            for _ in 0..PIPELINE {
                encode_command(&mut reads, &["GET", &key_name(&mut random, keys)]);
            }
            exchange(session, &reads, |reply| match reply {
                ReplyValue::Error(text) => complain(text),
                ReplyValue::Nil => misses += 1,
                _ => hits += 1,
            })?;
        }
        let all = hits + misses;
        let percent = |part: u64| part as f64 / all as f64 * 100.0;
        put(format!(
            "{all} Gets/sec | Hits: {hits} ({:.2}%) | Misses: {misses} ({:.2}%)\n",
            percent(hits),
            percent(misses)
        ))?;
        flush()?;
    }
}

/// Sends a pipeline and hands out its replies.
fn exchange(session: &mut Session, bytes: &[u8], mut take: impl FnMut(ReplyValue)) -> Step<()> {
    let client = session.client.as_mut().ok_or(Stop::Exit(1))?;
    let done = client.send_raw(bytes).and_then(|()| {
        for _ in 0..PIPELINE {
            take(client.read_reply()?);
        }
        Ok(())
    });
    done.map_err(|_| {
        complain("I/O error during LRU test");
        Stop::Exit(1)
    })
}

fn key_name(random: &mut fastrand::Rng, keys: i64) -> String {
    format!("lru:{}", power_law(random.f64(), 1, keys))
}

/// A number from `least` to `most` of which low ones are the likelier, by a power law; `share`
/// is even in 0..1.
fn power_law(share: f64, least: i64, most: i64) -> i64 {
    let (low, high) = (least as f64, (most + 1) as f64);
    let power = ALPHA + 1.0;
    let drawn = ((high.powf(power) - low.powf(power)) * share + low.powf(power)).powf(1.0 / power);
    // Saturates for a keyspace that makes no sense.
    most.saturating_sub(drawn as i64).saturating_add(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_gets_four_fifths() {
        let mut random = fastrand::Rng::with_seed(7);
        let draws: Vec<i64> = (0..10_000).map(|_| power_law(random.f64(), 1, 1000)).collect();
        assert!(draws.iter().all(|draw| (1..=1000).contains(draw)));
        let hot = draws.iter().filter(|&&draw| draw <= 200).count();
        assert!((7_700..8_300).contains(&hot), "{hot}");
    }
}
