//! The counts.

use std::collections::BTreeMap;

use super::value::Shape;

/// The types as people know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    String,
    List,
    Set,
    Zset,
    Hash,
    Stream,
    Module,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::Zset => "zset",
            Kind::Hash => "hash",
            Kind::Stream => "stream",
            Kind::Module => "module",
        }
    }
}

/// A key as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) db: u64,
    pub(super) name: Vec<u8>,
    pub(super) shape: Shape,
    /// The value's bytes in the file.
    pub(super) bytes: u64,
    pub(super) expiry_ms: Option<i64>,
}

/// The keys of one database or of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) keys: u64,
    pub(super) elements: u64,
    /// Of the values, in the file.
    pub(super) bytes: u64,
    pub(super) expires: u64,
    /// Of these, how many are past.
    pub(super) expired: u64,
    pub(super) most_elements: u64,
    pub(super) encodings: BTreeMap<&'static str, u64>,
}

/// Upper ends of the classes of time left, in milliseconds, and what they are called.
pub(super) const TIMES: [(i64, &str); 5] = [
    (0, "past"),
    (3_600_000, "within an hour"),
    (86_400_000, "within a day"),
    (7 * 86_400_000, "within a week"),
    (i64::MAX, "later"),
];
/// Upper ends of the classes of values' sizes, in bytes, and what they are called.
pub(super) const SIZES: [(u64, &str); 5] = [
    (64, "up to 64 B"),
    (1 << 10, "up to 1 KiB"),
    (64 << 10, "up to 64 KiB"),
    (1 << 20, "up to 1 MiB"),
    (u64::MAX, "more"),
];

/// All that is counted.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) version: u16,
    /// Who wrote the file, and other remarks of its head.
    pub(super) notes: Vec<(String, String)>,
    pub(super) functions: u64,
    pub(super) total: Group,
    pub(super) dbs: BTreeMap<u64, Group>,
    pub(super) kinds: BTreeMap<Kind, Group>,
    pub(super) times: [u64; TIMES.len()],
    pub(super) sizes: [u64; SIZES.len()],
    /// The largest first.
    pub(super) largest: Vec<Key>,
    top: usize,
    now_ms: i64,
}

impl Tally {
    /// Counts nothing yet; `top` keys will be kept as the largest.
    pub(super) fn new(now_ms: i64, top: usize) -> Tally {
        Tally {
            version: 0,
            notes: Vec::new(),
            functions: 0,
            total: Group::default(),
            dbs: BTreeMap::new(),
            kinds: BTreeMap::new(),
            times: [0; TIMES.len()],
            sizes: [0; SIZES.len()],
            largest: Vec::new(),
            top,
            now_ms,
        }
    }

    pub(super) fn note(&mut self, name: &[u8], text: &[u8]) {
        let [name, text] = [name, text].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        self.notes.push((name, text));
    }

    pub(super) fn take(&mut self, key: Key) {
        let left_ms = key.expiry_ms.map(|at| at.saturating_sub(self.now_ms));
        if let Some(left) = left_ms {
            self.times[class(&TIMES, left)] += 1;
        }
        self.sizes[class(&SIZES, key.bytes)] += 1;
        let db = self.dbs.entry(key.db).or_default();
        let kind = self.kinds.entry(key.shape.kind).or_default();
        for group in [&mut self.total, db, kind] {
            group.keys += 1;
            group.elements = group.elements.saturating_add(key.shape.elements);
            group.bytes += key.bytes;
            group.expires += u64::from(left_ms.is_some());
            group.expired += u64::from(left_ms.is_some_and(|left| left < 0));
            group.most_elements = group.most_elements.max(key.shape.elements);
            *group.encodings.entry(key.shape.encoding).or_default() += 1;
        }
        let place = self.largest.partition_point(|other| other.bytes >= key.bytes);
        if place < self.top {
            self.largest.truncate(self.top - 1);
            self.largest.insert(place, key);
        }
    }
}

/// The first class whose end is not below `value`.
fn class<T: PartialOrd + Copy>(classes: &[(T, &str)], value: T) -> usize {
    classes.iter().position(|(end, _)| value <= *end).expect("the last class takes everything")
}
