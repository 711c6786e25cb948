//! Hashes: fields with values under one key.
//!
//! ```text
//! small   a list: field, value, field, value …        inside the entry, or in memory of its own
//! large   `fields`: segments of some hundred fields below a tree of nodes (`node`, `segment`)
//! ```
//! A hash becomes large when it has more fields, or one longer text, than [`HashLimits`] allows,
//! and never small again, as in Redis. [`HashRef`] reads either, [`HashMut`] changes either; a
//! command sees no difference. This is the pattern for every further collection: a compact form
//! of records one behind the other, a large form that is changed, walked and shared in pieces.

mod edit;
mod fields;
mod node;
mod packed;
mod scan;
mod segment;

use std::sync::Arc;

pub use edit::{FieldPlace, HashMut, NotAHash};
pub use fields::Pair;
pub(crate) use fields::{Fields, FieldsIter};
pub(crate) use node::Node;
pub use packed::NewHash;
pub(crate) use packed::{NewKept, has_more_than};

use crate::listpack::{self, Items};
use crate::size_class::size_class;
use crate::value::{StringRef, Texts};

/// When a hash no longer is a listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashLimits {
    /// `hash-max-listpack-entries`: the most fields.
    pub entries: usize,
    /// `hash-max-listpack-value`: the longest field or value, in bytes.
    pub value_bytes: usize,
}

impl Default for HashLimits {
    /// Redis's defaults.
    fn default() -> HashLimits {
        HashLimits { entries: 512, value_bytes: 64 }
    }
}

/// A hash as it stands in the keyspace.
#[derive(Clone, Copy)]
pub struct HashRef<'a>(pub(crate) Kept<'a>);

/// How it is kept.
#[derive(Clone, Copy)]
pub(crate) enum Kept<'a> {
    /// A listpack; if it has memory of its own, that is shared.
    Packed(&'a [u8], Option<&'a Arc<Vec<u8>>>),
    Large(&'a Fields),
}

impl<'a> HashRef<'a> {
    pub(crate) fn packed(list: &'a [u8]) -> HashRef<'a> {
        HashRef(Kept::Packed(list, None))
    }

    /// Number of fields.
    pub fn len(self) -> u64 {
        match self.0 {
            Kept::Packed(list, _) => listpack::count(list) as u64 / 2,
            Kept::Large(fields) => fields.len(),
        }
    }

    /// Bytes of all fields and values, near enough to make room for them.
    pub fn text_bytes(self) -> usize {
        match self.0 {
            Kept::Packed(list, _) => list.len(),
            Kept::Large(fields) => usize::try_from(fields.bytes()).unwrap_or(usize::MAX),
        }
    }

    /// Whether it has no fields; a hash in the keyspace always has some.
    pub fn is_empty(self) -> bool {
        match self.0 {
            Kept::Packed(list, _) => list.is_empty(),
            Kept::Large(fields) => fields.len() == 0,
        }
    }

    /// The value of `field`.
    #[inline]
    pub fn get(self, field: &[u8]) -> Option<StringRef<'a>> {
        match self.0 {
            Kept::Packed(list, _) => {
                let value_at = packed::find_value(list, field)?;
                Some(listpack::item(list, value_at.start).text)
            }
            Kept::Large(fields) => fields.get(field),
        }
    }

    /// Whether `field` is there.
    pub fn contains(self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// Length of the value of `field` in bytes, 0 if it is not there.
    pub fn value_len(self, field: &[u8]) -> usize {
        self.get(field).map_or(0, StringRef::len)
    }

    /// All fields with their values, in the order that they are kept in.
    pub fn iter(self) -> HashIter<'a> {
        HashIter(match self.0 {
            Kept::Packed(list, _) => Walk::Packed(listpack::items(list)),
            Kept::Large(fields) => Walk::Large(fields.iter()),
        })
    }

    /// Shows each field and, next, its value, in the order of [`HashRef::iter`];
    /// cheaper than that.
    #[inline]
    pub fn show_all(self, to: &mut impl Texts<'a>) {
        match self.0 {
            Kept::Packed(list, _) => listpack::show_all(list, to),
            Kept::Large(fields) => {
                for (field, value) in fields.iter() {
                    to.other(field);
                    to.other(value);
                }
            }
        }
    }

    /// One step of HSCAN: shows about `count` fields with their values, and returns the cursor
    /// to go on with, 0 at the end. A walk begins with 0; a small hash is shown whole. A step
    /// over a large one costs what it shows and a look at some hundred bytes.
    ///
    /// A field that is there from the beginning of a walk to its end is shown at least once,
    /// however the hash grows or shrinks meanwhile, unless it becomes large: then the walk was
    /// over already. Any number is taken as a cursor.
    pub fn scan(
        self,
        cursor: u64,
        count: usize,
        mut show: impl FnMut(StringRef<'_>, StringRef<'_>),
    ) -> u64 {
        match self.0 {
            Kept::Packed(..) => {
                self.iter().for_each(|(field, value)| show(field, value));
                0
            }
            Kept::Large(fields) => fields.scan(cursor, count, &mut show),
        }
    }

    /// The field with number `nth`, below `len`, in the order of [`HashRef::iter`]. In a large
    /// hash that takes no walk, so a random number gives a random field.
    pub fn nth(self, nth: u64) -> Pair<'a> {
        match self.0 {
            Kept::Packed(..) => {
                let nth = usize::try_from(nth).expect("below the number of fields");
                self.iter().nth(nth).expect("below the number of fields")
            }
            Kept::Large(fields) => fields.nth(nth),
        }
    }

    /// Whether it is kept as a listpack.
    pub fn is_packed(self) -> bool {
        matches!(self.0, Kept::Packed(..))
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding_name(self) -> &'static str {
        if self.is_packed() { "listpack" } else { "hashtable" }
    }

    /// How many allocations go when it is freed, near enough: what Redis's lazy freeing goes by.
    /// A small hash counts as 1.
    pub fn free_effort(self) -> u64 {
        match self.0 {
            Kept::Packed(..) => 1,
            Kept::Large(fields) => fields.len(),
        }
    }

    /// Bytes allocated outside the entry.
    pub(crate) fn outside_bytes(self) -> usize {
        match self.0 {
            Kept::Packed(_, None) => 0,
            Kept::Packed(_, Some(list)) => size_class(40) + size_class(list.capacity()),
            Kept::Large(fields) => fields.bytes() as usize,
        }
    }
}

impl std::fmt::Debug for HashRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// See [`HashRef::iter`].
pub struct HashIter<'a>(Walk<'a>);

enum Walk<'a> {
    Packed(Items<'a>),
    Large(FieldsIter<'a>),
}

impl<'a> Iterator for HashIter<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        match &mut self.0 {
            Walk::Packed(items) => {
                let field = items.next()?;
                let value = items.next().expect("each field has a value");
                Some((field.text, value.text))
            }
            Walk::Large(fields) => fields.next(),
        }
    }
}

#[cfg(test)]
mod tests;
