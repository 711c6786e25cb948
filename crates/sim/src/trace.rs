//! What has happened, in order: all of it as a hash, the last of it as text.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};

use crate::clock::Micros;

/// Lines that a failure shows.
const KEPT: usize = 60;

/// The record of one world.
pub struct Trace {
    hasher: DefaultHasher,
    events: u64,
    last: VecDeque<String>,
    /// Every line goes to standard output too.
    pub print: bool,
}

impl Default for Trace {
    fn default() -> Trace {
        let (hasher, last) = (DefaultHasher::new(), VecDeque::new());
        Trace { hasher, events: 0, last, print: false }
    }
}

impl Trace {
    /// Notes an event.
    pub fn event(&mut self, now: Micros, text: &str) {
        self.hasher.write_u64(now);
        self.hasher.write(text.as_bytes());
        self.events += 1;
        let line = format!("{:>10.3} ms  {text}", now as f64 / 1000.0);
        if self.print {
            println!("{line}");
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// Number of events, and a hash over all of them: equal for equal runs.
    pub fn fingerprint(&self) -> (u64, u64) {
        (self.events, self.hasher.finish())
    }

    /// The last events, oldest first.
    pub fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }
}
