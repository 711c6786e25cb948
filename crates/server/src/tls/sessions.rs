//! Sessions that returning clients take up again: `tls-session-caching` and its two limits.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustls::server::StoresServerSessions;
use tandem_engine::node::lock;

/// At most so many sessions, each for so long.
pub(crate) struct Sessions {
    /// 0 is no limit.
    count_max: usize,
    kept_for: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    values: HashMap<Vec<u8>, Vec<u8>>,
    /// Oldest first; a key whose session was taken may still stand here.
    ages: VecDeque<(Instant, Vec<u8>)>,
}

impl Sessions {
    /// Keeps `count_max` sessions (0: no limit) for `kept_for`.
    pub(crate) fn new(count_max: usize, kept_for: Duration) -> Sessions {
        Sessions { count_max, kept_for, kept: Mutex::default() }
    }

    fn put_at(&self, key: Vec<u8>, value: Vec<u8>, now: Instant) {
        let mut kept = lock(&self.kept);
        self.forget_old(&mut kept, now);
        while self.count_max > 0 && kept.ages.len() >= self.count_max {
            kept.forget_oldest();
        }
        kept.ages.push_back((now, key.clone()));
        kept.values.insert(key, value);
    }

    fn forget_old(&self, kept: &mut Kept, now: Instant) {
        while kept
            .ages
            .front()
            .is_some_and(|(since, _)| now.duration_since(*since) >= self.kept_for)
        {
            kept.forget_oldest();
        }
    }
}

impl Kept {
    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.ages.pop_front() {
            self.values.remove(&key);
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sessions(at most {}, {:?})", self.count_max, self.kept_for)
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.put_at(key, value, Instant::now());
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut kept = lock(&self.kept);
        self.forget_old(&mut kept, Instant::now());
        kept.values.get(key).cloned()
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut kept = lock(&self.kept);
        self.forget_old(&mut kept, Instant::now());
        kept.values.remove(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end_by_number_and_by_age() {
        let sessions = Sessions::new(2, Duration::from_secs(10));
        let start = Instant::now();
        for (key, after_s) in [(1u8, 0), (2, 5), (3, 8)] {
            sessions.put_at(vec![key], vec![key], start + Duration::from_secs(after_s));
        }
        // Two are kept; the first had to go.
        assert_eq!(sessions.get(&[1]), None);
        assert_eq!(sessions.get(&[2]), Some(vec![2]));
        assert_eq!(sessions.take(&[3]), Some(vec![3]));
        assert_eq!(sessions.take(&[3]), None);
        sessions.put_at(vec![4], vec![4], start + Duration::from_secs(16));
        assert_eq!(lock(&sessions.kept).values.len(), 1, "the second was too old");
    }
}
