//! A large hash: fields in segments below a tree of nodes.
//!
//! What it must do, and how: grow and shrink with no step that moves more than a segment
//! (`node`, `segment`); be walked by a cursor that survives both (`scan`); be
//! shared as a whole with a snapshot or a copy for the price of one count, and copied by
//! whoever writes only where he writes; and keep a field and its value in few bytes beside
//! their own.
//!
//! The hash of fields is the keyed hash of keys, so clients cannot choose collisions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::node::{Child, Link, Node, behind};
use super::scan;
use super::segment::Segment;
use crate::hash::Hasher;
use crate::size_class::size_class;
use crate::value::StringRef;

/// A field and its value.
pub type Pair<'a> = (StringRef<'a>, StringRef<'a>);

/// See the module's story. A clone shares everything and is the same hash; [`Fields::copy`] makes
/// another.
#[derive(Clone)]
pub(crate) struct Fields {
    root: Arc<Node>,
    len: u64,
    /// Bytes of nodes, segments and far texts, in size classes.
    bytes: u64,
    hasher: Hasher,
    /// Told apart by it from all others but its clones, see [`Fields::id`].
    id: u64,
}

/// The number of the hash made last.
static LAST_ID: AtomicU64 = AtomicU64::new(0);

fn new_id() -> u64 {
    LAST_ID.fetch_add(1, Ordering::Relaxed) + 1
}

/// Where a field stands until the hash changes.
pub(crate) struct Found {
    hash: u64,
    slot: usize,
}

impl Fields {
    pub(crate) fn new(hasher: Hasher) -> Fields {
        let root = Arc::new(Node::new());
        let bytes = root.own_bytes() + Segment::new().bytes();
        Fields { root, len: 0, bytes, hasher, id: new_id() }
    }

    /// Another hash with the same fields; both share them until they are changed.
    pub(crate) fn copy(&self) -> Fields {
        Fields { id: new_id(), ..self.clone() }
    }

    /// The number of the hash: its clones have the same, whatever is changed in them.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Where all its fields are found. Whoever changes a hash while this is shared has another
    /// afterwards.
    pub(crate) fn root(&self) -> &Arc<Node> {
        &self.root
    }

    /// Number of fields.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes that it takes, in size classes; what is shared counts in full.
    pub(crate) fn bytes(&self) -> u64 {
        size_class(size_of::<Fields>()) as u64 + self.bytes
    }

    /// Holds all that is kept step by step against what a walk finds: bytes, numbers of fields,
    /// gaps, tags, and that each field stands where it is looked for.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!((self.len, self.bytes), self.root.check(0, 0, self.hasher));
    }

    /// Bytes of the pieces that nobody shares.
    #[cfg(test)]
    pub(super) fn unshared_bytes(&self) -> u64 {
        fn below(node: &Arc<Node>) -> u64 {
            let of = |link: &Link| match &link.to {
                Child::Segment(segment) if Arc::strong_count(segment) > 1 => 0,
                Child::Segment(segment) => segment.unshared_bytes(),
                Child::Node(node) => below(node),
            };
            let is_shared = Arc::strong_count(node) > 1;
            if is_shared { 0 } else { node.own_bytes() + node.links().iter().map(of).sum::<u64>() }
        }
        below(&self.root)
    }

    /// The value of `field`.
    #[inline]
    pub(crate) fn get(&self, field: &[u8]) -> Option<StringRef<'_>> {
        let hash = self.hasher.hash(field);
        let segment = self.root.segment(hash);
        Some(segment.pair(segment.find(field, hash)?).1)
    }

    /// Sets a field; says whether it is new.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        self.set_and_shed(field, value, &mut 0)
    }

    /// The same; adds to `shed` what it has let go of and somebody else shares, in bytes.
    pub(crate) fn set_and_shed(&mut self, field: &[u8], value: &[u8], shed: &mut u64) -> bool {
        let hash = self.hasher.hash(field);
        let change = Node::set(&mut self.root, 0, self.hasher, hash, field, value);
        self.len = self.len.strict_add_signed(change.fields);
        self.bytes = self.bytes.strict_add_signed(change.bytes);
        *shed += change.shed;
        change.fields > 0
    }

    /// Where `field` stands, if it is there.
    pub(crate) fn find(&self, field: &[u8]) -> Option<Found> {
        let hash = self.hasher.hash(field);
        let slot = self.root.segment(hash).find(field, hash)?;
        Some(Found { hash, slot })
    }

    /// Takes out the field that `find` has found in what this is now; as to `shed` see
    /// [`Fields::set_and_shed`].
    pub(crate) fn remove_found(&mut self, Found { hash, slot }: Found, shed: &mut u64) {
        let change = Node::remove(&mut self.root, 0, hash, slot);
        self.len = self.len.strict_add_signed(change.fields);
        self.bytes = self.bytes.strict_add_signed(change.bytes);
        *shed += change.shed;
    }

    /// Takes a field out; says whether it was there.
    #[cfg(test)]
    pub(super) fn remove(&mut self, field: &[u8], shed: &mut u64) -> bool {
        self.find(field).map(|found| self.remove_found(found, shed)).is_some()
    }

    /// One step of a walk: shows about `count` fields from `cursor` on, and returns the cursor
    /// to go on with, 0 at the end. A field that is there throughout a walk is shown.
    pub(crate) fn scan(
        &self,
        cursor: u64,
        count: usize,
        show: &mut dyn FnMut(StringRef<'_>, StringRef<'_>),
    ) -> u64 {
        scan::scan(&self.root, self.hasher, cursor, count, show)
    }

    /// The field with number `nth` in the order of the walk, below `len`.
    pub(crate) fn nth(&self, nth: u64) -> Pair<'_> {
        self.root.nth(nth).expect("below the number of fields")
    }

    /// All fields with their values.
    pub(crate) fn iter(&self) -> FieldsIter<'_> {
        FieldsIter { above: vec![self.root.links().iter()], segment: None, slot: 0 }
    }

    /// The segment that holds hash position `from`, and the position behind it; for a walk in
    /// pieces of what does not change.
    pub(crate) fn piece(&self, from: u64) -> (impl Iterator<Item = Pair<'_>>, Option<u64>) {
        let (segment, depth) = self.root.segment_and_depth(from);
        ((0..segment.len()).map(|slot| segment.pair(slot)), behind(from, depth))
    }
}

/// See [`Fields::iter`].
pub(crate) struct FieldsIter<'a> {
    /// The nodes from the root down to the one at hand.
    above: Vec<std::slice::Iter<'a, Link>>,
    segment: Option<&'a Segment>,
    slot: usize,
}

impl<'a> Iterator for FieldsIter<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        loop {
            if let Some(segment) = self.segment
                && self.slot < segment.len()
            {
                self.slot += 1;
                return Some(segment.pair(self.slot - 1));
            }
            match self.above.last_mut()?.next() {
                None => drop(self.above.pop()),
                Some(Link { to: Child::Node(below), .. }) => self.above.push(below.links().iter()),
                Some(Link { to: Child::Segment(segment), .. }) => {
                    self.segment = Some(segment);
                    self.slot = 0;
                }
            }
        }
    }
}
