//! The table against a model: growth, shrinking, scans.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::entry::Stamp;

const HASHER: Hasher = Hasher::TEST;

fn entry(key: &[u8], value: i64) -> Entry {
    Entry::new(key, Value::Int(value), None, false, Stamp { mark: 0, clock: 0 })
}

/// Everything that must hold between two operations.
fn check(table: &Table) {
    if table.is_empty() {
        assert!(table.directory.is_empty());
        assert_eq!(table.bytes, 0);
        return;
    }
    let depth = table.depth();
    let (mut keys, mut deepest, mut index) = (0, 0, 0);
    let mut bytes = size_class(table.directory.len() * 8);
    while index < table.directory.len() {
        let link = table.directory[index];
        assert_eq!(table.leader(index), index);
        let links = 1 << (depth - link.depth());
        for follower in &table.directory[index + 1..index + links] {
            assert_eq!(*follower, link.with_count(0));
        }
        let mut count = 0;
        for (n, slot) in table.segment(link).slots().iter().enumerate() {
            if slot.is_vacant() {
                continue;
            }
            let entry = table.entry_in(*slot);
            let hash = HASHER.hash(entry.key());
            assert_eq!(table.link(hash).map(|(at, _)| table.leader(at)), Some(index));
            assert_eq!(slot.tag(), tag(hash, link.depth()));
            let pair = BucketPair::of(hash);
            assert!([pair.first, pair.second].contains(&(n / 8)));
            bytes += entry.memory_bytes();
            count += 1;
        }
        assert_eq!(link.count(), count);
        keys += count;
        deepest += u32::from(link.depth() == depth);
        bytes += SEGMENT_BYTES;
        index += links;
    }
    assert!(deepest > 0 || depth == 0, "the directory could be halved");
    assert_eq!((table.len, table.deepest, table.bytes), (keys, deepest, bytes as u64));
}

/// Keys whose hashes share `bits` bits: they lie as deep as those of a table 2^bits as large.
fn crowded_keys(count: usize, bits: u32) -> Vec<Vec<u8>> {
    let keys = (0u64..).map(|n| n.to_le_bytes().to_vec());
    keys.filter(|key| bits == 0 || HASHER.hash(key) >> (64 - bits) == 5).take(count).collect()
}

struct Both {
    table: Table,
    model: HashMap<Vec<u8>, i64>,
}

impl Both {
    fn new() -> Both {
        Both { table: Table::default(), model: HashMap::new() }
    }

    /// Sets the key to `value` if it is not there, else removes it.
    fn flip(&mut self, key: &[u8], value: i64) {
        let hash = HASHER.hash(key);
        match self.table.find(key, hash) {
            None => {
                assert_eq!(self.model.insert(key.to_vec(), value), None);
                self.table.insert(hash, entry(key, value), HASHER);
            }
            Some(at) => {
                let removed = self.table.remove(at, HASHER);
                assert_eq!(removed.view().key(), key);
                assert!(self.model.remove(key).is_some());
            }
        }
    }

    fn compare(&self, keys: &[Vec<u8>]) {
        check(&self.table);
        assert_eq!(self.table.len(), self.model.len() as u64);
        for key in keys {
            let found = self.table.get(key, HASHER.hash(key));
            let value = found.map(|entry| match entry.string().unwrap() {
                crate::StringRef::Int(value) => value,
                other => panic!("{other:?}"),
            });
            assert_eq!(value.as_ref(), self.model.get(key), "{}", key.escape_ascii());
        }
        let mut shown = 0;
        self.table.visit_all(|entry| {
            shown += 1;
            assert!(self.model.contains_key(entry.key()));
        });
        assert_eq!(shown, self.model.len());
    }
}

/// Fills to about `high` of the keys and drains to about `low`, again and again.
fn churn(bits: u32, seed: u64) {
    let keys = crowded_keys(1500, bits);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut both = Both::new();
    for target in [1500, 0, 700, 100, 1500, 400, 3, 0] {
        let mut steps = 0;
        while both.model.len() != target {
            let key = &keys[rng.usize(0..keys.len())];
            let wrong_way = both.model.contains_key(key) == (both.model.len() < target);
            // Some go the other way, but not for ever: the ends would never be reached.
            if !wrong_way || (steps < 4000 && rng.u8(0..4) == 0) {
                both.flip(key, rng.i64(..));
            }
            steps += 1;
            if steps % 500 == 0 {
                both.compare(&keys);
            }
        }
        both.compare(&keys);
    }
}

#[test]
fn a_table_agrees_with_a_map() {
    for seed in 0..3 {
        churn(0, seed);
    }
}

/// The depths at which tags move to other hash bits are 8 and 16; keys that share 6 or 13 bits
/// cross them up and down.
#[test]
fn a_deep_table_agrees_with_a_map() {
    churn(6, 10);
    churn(13, 11);
}

#[test]
fn an_empty_table_is_small_and_owns_nothing() {
    assert!(size_of::<Table>() <= 32);
    let mut both = Both::new();
    both.flip(b"only", 1);
    assert_eq!(both.table.bytes(), 512 + 8 + 32);
    both.flip(b"only", 1);
    check(&both.table);
}

#[test]
fn segments_are_used_well() {
    let mut both = Both::new();
    let mut worst: f64 = 0.0;
    for n in 0..40_000 {
        both.flip(format!("{n:016}").as_bytes(), n);
        if n > 2_000 {
            let table_bytes = both.table.bytes() - both.table.len() * 32;
            worst = worst.max(table_bytes as f64 / both.table.len() as f64);
        }
    }
    assert!(worst < 19.0, "{worst} bytes a key");
}

/// What is there throughout a walk is shown, however the table changes between its steps.
#[test]
fn a_walk_misses_nothing_while_the_table_changes() {
    for (seed, bits) in [(1, 0), (2, 0), (3, 6), (4, 13), (5, 0), (6, 7)] {
        let keys = crowded_keys(3000, bits);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut both = Both::new();
        for round in 0..12 {
            // Odd rounds shrink the table under the walk, even ones let it grow.
            let grows = round % 2 == 0;
            let mut throughout: HashSet<Vec<u8>> = both.model.keys().cloned().collect();
            let mut shown = HashSet::new();
            let mut prefix = Some(0);
            while let Some(at) = prefix {
                prefix = both.table.visit_segment(at, |entry| {
                    shown.insert(entry.key().to_vec());
                    ControlFlow::Continue(())
                });
                assert!(prefix.is_none_or(|next| next > at), "a walk goes forward");
                for _ in 0..rng.u32(0..200) {
                    let key = &keys[rng.usize(0..keys.len())];
                    if both.model.contains_key(key) != grows || rng.u8(0..8) == 0 {
                        throughout.remove(key);
                        both.flip(key, 0);
                    }
                }
            }
            let missed = throughout.difference(&shown).count();
            assert_eq!(missed, 0, "seed {seed} round {round}");
        }
        check(&both.table);
    }
}

#[test]
fn a_visit_that_breaks_stays_where_it_is() {
    let mut both = Both::new();
    for key in crowded_keys(200, 0) {
        both.flip(&key, 0);
    }
    let at = both.table.visit_segment(0, |_| ControlFlow::Continue(())).expect("more follows");
    let mut seen = 0;
    let next = both.table.visit_segment(at, |_| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert_eq!((next, seen), (Some(at), 1));
}

/// Keys that share hash bits lie deeper than others; they must not be chosen more or less often.
#[test]
fn a_random_key_is_any_key_with_the_same_chance() {
    let mut both = Both::new();
    for key in crowded_keys(150, 5).iter().chain(&crowded_keys(250, 0)) {
        if !both.model.contains_key(key) {
            both.flip(key, 0);
        }
    }
    let depths: HashSet<u32> = both.table.directory.iter().map(|link| link.depth()).collect();
    assert!(depths.len() > 3, "an uneven table: {depths:?}");
    let mut rng = fastrand::Rng::with_seed(9);
    let mut chosen: HashMap<Vec<u8>, u32> = HashMap::new();
    for _ in 0..both.model.len() * 500 {
        let entry = both.table.random(&mut || rng.u64(..)).expect("not empty");
        *chosen.entry(entry.key().to_vec()).or_default() += 1;
    }
    for key in both.model.keys() {
        // 500 expected, give or take 22; 5 times that is out of the question.
        let times = chosen.get(key).copied().unwrap_or(0);
        assert!((388..=612).contains(&times), "{times} times");
    }
}

#[test]
#[should_panic(expected = "a position of an earlier state")]
fn a_stale_position_is_noticed() {
    let mut both = Both::new();
    both.flip(b"a", 1);
    both.flip(b"b", 2);
    let at = both.table.find(b"a", HASHER.hash(b"a")).expect("is there");
    both.flip(b"a", 0);
    both.table.entry(at);
}

#[test]
fn an_entry_that_moves_stays_found() {
    let mut both = Both::new();
    for n in 0..300 {
        both.flip(format!("k{n}").as_bytes(), n);
    }
    let hash = HASHER.hash(b"k7");
    for len in [0, 5, 50, 500, 4000, 3] {
        let bytes = vec![b'v'; len];
        let at = both.table.find(b"k7", hash).expect("is there");
        both.table.update(at, |entry| entry.replace_value(Value::Inline(&bytes), None, false, 0));
        check(&both.table);
        let found = both.table.get(b"k7", hash).expect("is there");
        assert_eq!(found.string().unwrap().bytes(&mut itoa::Buffer::new()), bytes);
    }
}
