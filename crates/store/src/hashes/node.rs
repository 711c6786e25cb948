//! The tree above the segments of a large hash: eight bits of a field's hash at each node.
//!
//! ```text
//! hash ─► node (bits 63..56) ─► segment, or node (bits 55..48) ─► segment …
//!           index  [which link holds each of the 256 values]
//!           links  [segment or node · how many of the 8 bits it has in common · fields below]
//! ```
//! Inside a node this is extendible hashing: a full segment splits in two by the next bit; once
//! all eight bits are used up, a node takes its place. Two thin neighbours merge, and a node
//! that has come down to one segment gives way to it. Segments lie in the order of their hash
//! prefix, so a position in a walk is a hash and stays valid whatever splits or merges.
//!
//! Segments and nodes are shared with snapshots and copies; a writer that finds one shared
//! copies it first (a node's links, or a segment), so no write pays for the whole hash.

use std::sync::Arc;

use super::segment::Segment;
use crate::hash::Hasher;
use crate::size_class::size_class;
use crate::value::StringRef;

/// Hash bits that a node looks at.
const BITS: u32 = 8;
const VALUES: usize = 1 << BITS;
/// Levels after which the hash has no bits left; a keyed hash never comes near.
const LEVELS_MAX: u32 = 64 / BITS;

/// See the module's story.
#[derive(Clone)]
pub(crate) struct Node {
    index: [u8; VALUES],
    links: Vec<Link>,
}

/// What a run of a node's values leads to.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) to: Child,
    /// Fields below.
    pub(super) fields: u64,
    /// How many of the node's bits all its fields have in common.
    depth: u8,
}

#[derive(Clone)]
pub(super) enum Child {
    Segment(Arc<Segment>),
    Node(Arc<Node>),
}

/// The node's value of a hash at `level`.
#[inline]
fn value_of(hash: u64, level: u32) -> usize {
    (hash << (level * BITS) >> (64 - BITS)) as usize
}

/// The first hash behind all that begin with the same `bits` bits as `hash`; `None` at the end.
pub(super) fn behind(hash: u64, bits: u32) -> Option<u64> {
    match bits {
        0 => None,
        bits => (hash >> (64 - bits) << (64 - bits)).checked_add(1 << (64 - bits)),
    }
}

/// What a change has done, for those above.
#[derive(Clone, Copy, Default)]
pub(super) struct Change {
    /// Fields that have come or gone.
    pub(super) fields: i64,
    /// Bytes that have come or gone.
    pub(super) bytes: i64,
    /// Bytes let go of that somebody else shares.
    pub(super) shed: u64,
}

/// The bytes of what is let go of, if somebody else shares it.
fn shed<T>(it: &Arc<T>, bytes: u64) -> u64 {
    if Arc::strong_count(it) > 1 { bytes } else { 0 }
}

impl Node {
    pub(super) fn new() -> Node {
        let to = Child::Segment(Arc::new(Segment::new()));
        Node::over(Link { to, fields: 0, depth: 0 })
    }

    /// A node that leads to one place.
    fn over(link: Link) -> Node {
        Node { index: [0; VALUES], links: vec![link] }
    }

    /// Bytes of the node itself.
    pub(super) fn own_bytes(&self) -> u64 {
        const OWN: usize = size_class(size_of::<Node>() + 16);
        (OWN + size_class(self.links.capacity() * size_of::<Link>())) as u64
    }

    /// Fields and bytes from a walk over what is below, whose hashes begin as `from` does; see
    /// `Fields::check`.
    #[cfg(test)]
    pub(super) fn check(&self, level: u32, from: u64, hasher: Hasher) -> (u64, u64) {
        let links = size_class(self.links.capacity() * size_of::<Link>());
        let (mut fields, mut bytes) = (0, (size_class(size_of::<Node>() + 16) + links) as u64);
        let mut value = 0;
        for (number, link) in self.links.iter().enumerate() {
            let run = VALUES >> link.depth;
            let mut index = self.index[value..value + run].iter();
            assert!(index.all(|&n| usize::from(n) == number), "the index leads there");
            let from = from | (value as u64) << (64 - BITS - level * BITS);
            let bits = level * BITS + u32::from(link.depth);
            let below = match &link.to {
                Child::Segment(segment) => segment.check(from, bits, hasher),
                Child::Node(node) => {
                    assert_eq!(u32::from(link.depth), BITS);
                    node.check(level + 1, from, hasher)
                }
            };
            assert_eq!(link.fields, below.0);
            value += run;
            fields += below.0;
            bytes += below.1;
        }
        assert_eq!(value, VALUES);
        (fields, bytes)
    }

    pub(super) fn links(&self) -> &[Link] {
        &self.links
    }

    #[inline]
    fn link_number(&self, hash: u64, level: u32) -> usize {
        usize::from(self.index[value_of(hash, level)])
    }

    /// The segment where `hash` belongs.
    #[inline]
    pub(super) fn segment(&self, hash: u64) -> &Segment {
        let (mut node, mut level) = (self, 0);
        loop {
            match &node.links[node.link_number(hash, level)].to {
                Child::Segment(segment) => return segment,
                Child::Node(below) => (node, level) = (below, level + 1),
            }
        }
    }

    /// The segment where `hash` belongs, and how many bits all its hashes have in common.
    pub(super) fn segment_and_depth(&self, hash: u64) -> (&Segment, u32) {
        let (mut node, mut level) = (self, 0);
        loop {
            let link = &node.links[node.link_number(hash, level)];
            match &link.to {
                Child::Node(below) => (node, level) = (below, level + 1),
                Child::Segment(segment) => return (segment, level * BITS + u32::from(link.depth)),
            }
        }
    }

    /// The field with number `nth` in the order of the walk.
    pub(super) fn nth(&self, mut nth: u64) -> Option<(StringRef<'_>, StringRef<'_>)> {
        let mut node = self;
        loop {
            let link = node.links.iter().find(|link| {
                let here = nth < link.fields;
                nth -= if here { 0 } else { link.fields };
                here
            })?;
            match &link.to {
                Child::Node(below) => node = below,
                Child::Segment(segment) => return Some(segment.pair(nth as usize)),
            }
        }
    }

    /// Sets a field below.
    pub(super) fn set(
        node: &mut Arc<Node>,
        level: u32,
        hasher: Hasher,
        hash: u64,
        field: &[u8],
        value: &[u8],
    ) -> Change {
        // A copy may have less room to spare than what it is a copy of.
        let before = node.own_bytes();
        let shed = shed(node, before);
        let node = Arc::make_mut(node);
        let mut change = Change { fields: 0, bytes: -(before as i64), shed };
        loop {
            let number = node.link_number(hash, level);
            let link = &mut node.links[number];
            let below = match &mut link.to {
                Child::Node(below) => Some(Node::set(below, level + 1, hasher, hash, field, value)),
                Child::Segment(segment) => set_in_segment(segment, hash, field, value),
            };
            if let Some(below) = below {
                link.fields = link.fields.strict_add_signed(below.fields);
                change.fields += below.fields;
                change.bytes += below.bytes + node.own_bytes() as i64;
                change.shed += below.shed;
                return change;
            }
            node.split(number, level, hasher, &mut change);
        }
    }

    /// Splits the segment of a link; adds what has become of the bytes below.
    fn split(&mut self, number: usize, level: u32, hasher: Hasher, change: &mut Change) {
        let Link { to, fields, depth } = &mut self.links[number];
        let Child::Segment(segment) = to else { unreachable!("only a segment is full") };
        let before = segment.bytes() as i64;
        if u32::from(*depth) == BITS {
            assert!(level + 1 < LEVELS_MAX, "a keyed hash does not collide in so many bits");
            let below = Node::over(Link { to: to.clone(), fields: *fields, depth: 0 });
            change.bytes += below.own_bytes() as i64;
            *to = Child::Node(Arc::new(below));
            return;
        }
        let bit = 1 << (63 - level * BITS - u32::from(*depth));
        let (low, high) = segment.split(hasher, bit);
        change.bytes += (low.bytes() + high.bytes()) as i64 - before;
        change.shed += shed(segment, segment.near_bytes());
        let link = |segment: Segment, depth| Link {
            fields: segment.len() as u64,
            to: Child::Segment(Arc::new(segment)),
            depth,
        };
        let depth = *depth + 1;
        self.links[number] = link(low, depth);
        self.links.insert(number + 1, link(high, depth));
        self.fill_index();
    }

    /// The index anew from the links, which lie in order.
    fn fill_index(&mut self) {
        let mut value = 0;
        for (number, link) in self.links.iter().enumerate() {
            let run = VALUES >> link.depth;
            // A node has at most as many links as values.
            self.index[value..value + run].fill(number as u8);
            value += run;
        }
        assert!(value == VALUES, "the links cover all values");
    }

    /// Takes out the field in `slot` of the segment where `hash` belongs.
    pub(super) fn remove(node: &mut Arc<Node>, level: u32, hash: u64, slot: usize) -> Change {
        let before = node.own_bytes();
        let own_shed = shed(node, before);
        let node = Arc::make_mut(node);
        let number = node.link_number(hash, level);
        let link = &mut node.links[number];
        let mut change = match &mut link.to {
            Child::Node(below) => Node::remove(below, level + 1, hash, slot),
            Child::Segment(segment) => {
                let before = segment.bytes() as i64;
                let mut shed = shed(segment, segment.near_bytes());
                let segment = Arc::make_mut(segment);
                shed += segment.shared_far_bytes(slot, true);
                segment.remove(slot);
                Change { fields: -1, bytes: segment.bytes() as i64 - before, shed }
            }
        };
        link.fields = link.fields.strict_add_signed(change.fields);
        node.merge(number, &mut change);
        change.bytes += node.own_bytes() as i64 - before as i64;
        change.shed += own_shed;
        change
    }

    /// After a removal below link `number`: a node with one segment gives way to it, and a
    /// segment merges with its neighbour as long as both are thin. Adds what has become of the
    /// bytes below.
    fn merge(&mut self, mut number: usize, change: &mut Change) {
        if let Child::Node(below) = &self.links[number].to
            && let [Link { to: Child::Segment(only), .. }] = below.links.as_slice()
        {
            change.bytes -= below.own_bytes() as i64;
            change.shed += shed(below, below.own_bytes());
            self.links[number].to = Child::Segment(Arc::clone(only));
        }
        while let Some((low, high)) = self.thin_pair(number) {
            let (Child::Segment(lower), Child::Segment(upper)) =
                (&self.links[low].to, &self.links[high].to)
            else {
                unreachable!("a pair of segments")
            };
            let before = lower.bytes() + upper.bytes();
            let mut merged = Segment::clone(lower);
            merged.take_all(upper);
            change.bytes += merged.bytes() as i64 - before as i64;
            change.shed += shed(lower, lower.near_bytes()) + shed(upper, upper.near_bytes());
            let fields = merged.len() as u64;
            let depth = self.links[low].depth - 1;
            self.links[low] = Link { to: Child::Segment(Arc::new(merged)), fields, depth };
            self.links.remove(high);
            if self.links.capacity() > 4 * self.links.len() {
                self.links.shrink_to(2 * self.links.len());
            }
            self.fill_index();
            number = low;
        }
    }

    /// The two links that make one, if the segment of link `number` and its neighbour are thin.
    fn thin_pair(&self, number: usize) -> Option<(usize, usize)> {
        let link = &self.links[number];
        if link.depth == 0 || link.fields > super::segment::FIELDS_MAX as u64 / 4 {
            return None;
        }
        let first_value = self.index.iter().position(|&n| usize::from(n) == number)?;
        let run = VALUES >> link.depth;
        let (low, high) =
            if first_value & run == 0 { (number, number + 1) } else { (number - 1, number) };
        let (lower, upper) = (&self.links[low], &self.links[high]);
        match (&lower.to, &upper.to) {
            (Child::Segment(a), Child::Segment(b))
                if lower.depth == upper.depth && a.merges_with(b) =>
            {
                Some((low, high))
            }
            _ => None,
        }
    }
}

/// Sets a field of a segment; `None` if the segment must be split first.
fn set_in_segment(
    segment: &mut Arc<Segment>,
    hash: u64,
    field: &[u8],
    value: &[u8],
) -> Option<Change> {
    let found = segment.find(field, hash);
    let room = match found {
        Some(slot) => segment.has_room_for_value(slot, value.len()),
        None => segment.has_room(field.len(), value.len()),
    };
    if !room {
        return None;
    }
    let before = segment.bytes() as i64;
    let mut shed = shed(segment, segment.near_bytes());
    let segment = Arc::make_mut(segment);
    match found {
        Some(slot) => {
            shed += segment.shared_far_bytes(slot, false);
            segment.set_value(slot, value);
        }
        None => segment.push(hash, field, value),
    }
    let fields = i64::from(found.is_none());
    Some(Change { fields, bytes: segment.bytes() as i64 - before, shed })
}
