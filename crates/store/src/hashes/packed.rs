//! A hash as a list of records, and a hash that is being built outside the keyspace.

use std::ops::Range;

use super::{Fields, HashLimits, HashRef, Kept};
use crate::hash::Hasher;
use crate::listpack::{self, MAX_BYTES};
use crate::size_class::size_class;

/// Whether a field with this value may stand in a listpack.
pub(super) fn fits(field: &[u8], value: &[u8], limits: HashLimits) -> bool {
    field.len() <= limits.value_bytes && value.len() <= limits.value_bytes
}

/// Whether the list still has room for so many bytes more.
pub(super) fn has_room(list: &[u8], more: usize) -> bool {
    list.len().saturating_add(more).saturating_add(32) <= MAX_BYTES
}

/// Whether it has more than so many fields.
#[inline]
pub(crate) fn has_more_than(list: &[u8], fields: usize) -> bool {
    // A field takes two bytes at least, so most lists need not be counted.
    list.len() > fields.saturating_mul(2) && listpack::count(list) / 2 > fields
}

/// Overwrites the value that stands at `at`, if it keeps its length; says whether all is done.
/// The limit may have been lowered below what the list has: then it is to become a table, as
/// Redis has it at the next HSET.
pub(super) fn set_in_place(
    list: &mut [u8],
    at: Range<usize>,
    value: &[u8],
    limits: HashLimits,
) -> bool {
    listpack::replace_in_place(list, at, value) && !has_more_than(list, limits.entries)
}

/// Where the value of `field` stands.
#[inline]
pub(super) fn find_value(list: &[u8], field: &[u8]) -> Option<Range<usize>> {
    let found = listpack::find(list, field, 2)?;
    Some(found.end..listpack::end_of(list, found.end))
}

/// Where `field` and its value stand.
pub(super) fn find_pair(list: &[u8], field: &[u8]) -> Option<Range<usize>> {
    let found = listpack::find(list, field, 2)?;
    Some(found.at..listpack::end_of(list, found.end))
}

/// Sets a field; says whether it is new.
pub(super) fn set(list: &mut Vec<u8>, field: &[u8], value: &[u8]) -> bool {
    let value_at = find_value(list, field);
    set_at(list, value_at, field, value)
}

/// The same where the value has been looked for.
pub(super) fn set_at(
    list: &mut Vec<u8>,
    value_at: Option<Range<usize>>,
    field: &[u8],
    value: &[u8],
) -> bool {
    match value_at {
        Some(value_at) => {
            listpack::replace(list, value_at, value);
            false
        }
        None => {
            listpack::push(list, field);
            listpack::push(list, value);
            true
        }
    }
}

/// Makes room for [`set_at`] in a list that stays where it is, in the steps in which memory
/// comes: a list that grows a field at a time would else take up to twice what it needs.
pub(super) fn reserve(
    list: &mut Vec<u8>,
    value_at: Option<&Range<usize>>,
    field: &[u8],
    value: &[u8],
) {
    // Each text with its head, and the list's count.
    let more = match value_at {
        Some(value_at) => (value.len() + 10).saturating_sub(value_at.len()),
        None => field.len() + value.len() + 15,
    };
    let bytes = list.len() + more;
    if bytes > list.capacity() {
        list.reserve_exact(size_class(bytes) - list.len());
    }
}

/// The same fields in a table.
pub(super) fn to_large(list: &[u8], hasher: Hasher) -> Fields {
    let mut fields = Fields::new(hasher);
    let (mut of_field, mut of_value) = (itoa::Buffer::new(), itoa::Buffer::new());
    for (field, value) in HashRef::packed(list).iter() {
        fields.set(field.bytes(&mut of_field), value.bytes(&mut of_value));
    }
    fields
}

/// A hash outside the keyspace: what a load, RESTORE or a command puts together before it gets
/// its key.
#[derive(Clone)]
pub struct NewHash {
    pub(crate) kept: NewKept,
    limits: HashLimits,
    hasher: Hasher,
}

impl std::fmt::Debug for NewHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.view().fmt(f)
    }
}

#[derive(Clone)]
pub(crate) enum NewKept {
    Packed(Vec<u8>),
    Large(Box<Fields>),
}

impl NewHash {
    pub(crate) fn new(limits: HashLimits, hasher: Hasher) -> NewHash {
        NewHash { kept: NewKept::Packed(Vec::new()), limits, hasher }
    }

    /// A hash that will have `len` fields, so that it is a table from the start if they are many.
    pub(crate) fn for_len(len: u64, limits: HashLimits, hasher: Hasher) -> NewHash {
        let mut hash = NewHash::new(limits, hasher);
        if len > limits.entries as u64 {
            hash.kept = NewKept::Large(Box::new(Fields::new(hasher)));
        }
        hash
    }

    /// The same, still without fields, with those of a list of whole pairs that has been
    /// checked. `long_texts`: its texts may be longer than the limit.
    pub(crate) fn with_listpack(mut self, list: &[u8], long_texts: bool) -> NewHash {
        assert!(self.view().is_empty(), "the fields of the listpack are all");
        let max = self.limits.value_bytes;
        let too_long = |item: listpack::Item<'_>| item.text.len() > max;
        let is_long = long_texts && listpack::items(list).any(too_long);
        self.kept = if is_long || has_more_than(list, self.limits.entries) {
            NewKept::Large(Box::new(to_large(list, self.hasher)))
        } else {
            NewKept::Packed(list.to_vec())
        };
        self
    }

    /// Looks at it.
    pub fn view(&self) -> HashRef<'_> {
        match &self.kept {
            NewKept::Packed(list) => HashRef::packed(list),
            NewKept::Large(fields) => HashRef(Kept::Large(fields)),
        }
    }

    /// Sets a field; says whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        if let NewKept::Packed(list) = &mut self.kept {
            if fits(field, value, self.limits) && has_room(list, field.len() + value.len()) {
                let new = set(list, field, value);
                if has_more_than(list, self.limits.entries) {
                    self.kept = NewKept::Large(Box::new(to_large(list, self.hasher)));
                }
                return new;
            }
            self.kept = NewKept::Large(Box::new(to_large(list, self.hasher)));
        }
        match &mut self.kept {
            NewKept::Large(fields) => fields.set(field, value),
            NewKept::Packed(_) => unreachable!("just made large"),
        }
    }
}
