//! How an entry is laid out: arithmetic on its flags, no memory.

use std::alloc::Layout;
use std::sync::Arc;

use crate::hashes::Fields;
use crate::size_class::size_class;

/// The longest value kept inside the entry.
pub(crate) const INLINE_MAX_BYTES: usize = 4096;
pub(super) const HEADER_BYTES: usize = 8;
pub(super) const KIND_AT: usize = 4;
pub(super) const FLAGS_AT: usize = 5;
pub(super) const KEY_LEN_AT: usize = 6;
pub(super) const VALUE_LEN_AT: usize = 7;

/// An expiry follows the header.
pub(super) const EXPIRY: u8 = 1;
/// The value is a word: an integer or a pointer.
pub(super) const WORD: u8 = 2;
/// The key's length does not fit one byte.
pub(super) const LONG_KEY: u8 = 4;
/// The inline value's length does not fit one byte.
pub(super) const LONG_VALUE: u8 = 8;
/// OBJECT ENCODING says `raw` whatever the length: Redis does so after APPEND and its kind.
pub(super) const SHOWN_RAW: u8 = 16;

// Low nibble of `kind`: the type. High nibble: the encoding.
pub(super) const TYPE_STRING: u8 = 0;
pub(super) const TYPE_HASH: u8 = 4;
pub(super) const INLINE: u8 = 0x00;
pub(super) const INT: u8 = 0x10;
pub(super) const LARGE: u8 = 0x20;
pub(super) const TABLE: u8 = 0x30;
/// Set in the encodings whose word owns memory.
pub(super) const OWNS: u8 = 0x20;

/// A string's bytes, or a small hash's list, stand in the entry …
pub(super) const STRING_INLINE: u8 = TYPE_STRING | INLINE;
pub(super) const HASH_INLINE: u8 = TYPE_HASH | INLINE;
/// … or in memory of their own.
pub(super) const STRING_LARGE: u8 = TYPE_STRING | LARGE;
pub(super) const HASH_LARGE: u8 = TYPE_HASH | LARGE;
pub(super) const STRING_INT: u8 = TYPE_STRING | INT;
pub(super) const HASH_TABLE: u8 = TYPE_HASH | TABLE;

pub(super) const CLOCK_MASK: u32 = 0x00ff_ffff;

/// Where the word of an `Int` or `Large` value stands.
pub(super) const fn word_at(flags: u8) -> usize {
    HEADER_BYTES + ((flags & EXPIRY) as usize) * 8
}

/// Where the long lengths stand; the key's comes first.
pub(super) const fn lengths_at(flags: u8) -> usize {
    word_at(flags) + ((flags & WORD) as usize) * 4
}

/// Where the key's bytes begin; arithmetic instead of branches, as each lookup passes here.
pub(super) const fn key_at(flags: u8) -> usize {
    lengths_at(flags) + (flags & LONG_KEY) as usize + ((flags & LONG_VALUE) >> 1) as usize
}

/// A value on its way into an entry.
pub(crate) enum Value<'a> {
    Int(i64),
    Inline(&'a [u8]),
    Large(Arc<Vec<u8>>),
    /// A hash's list, to stand in the entry.
    Packed(&'a [u8]),
    /// A hash's list in memory of its own.
    PackedLarge(Arc<Vec<u8>>),
    /// A large hash.
    Fields(Box<Fields>),
}

/// What an entry's word owns.
pub(crate) enum Owned {
    Bytes(Arc<Vec<u8>>),
    Fields(Box<Fields>),
}

impl Owned {
    /// Bytes that it takes, near enough.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Owned::Bytes(bytes) => bytes.capacity() as u64,
            Owned::Fields(fields) => fields.bytes(),
        }
    }

    /// As [`HashRef::free_effort`](crate::HashRef::free_effort).
    pub(crate) fn effort(&self) -> u64 {
        match self {
            Owned::Bytes(_) => 1,
            Owned::Fields(fields) => fields.len(),
        }
    }
}

/// The facts that fix an entry's layout.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) key_len: usize,
    /// Length of an inline value; else 0.
    pub(super) inline_len: usize,
}

impl Shape {
    pub(super) fn new(
        key_len: usize,
        value: &Value<'_>,
        has_expiry: bool,
        shown_raw: bool,
    ) -> Shape {
        let (kind, mut flags, inline_len) = match value {
            Value::Int(_) => (STRING_INT, WORD, 0),
            Value::Inline(bytes) => (STRING_INLINE, 0, bytes.len()),
            Value::Large(_) => (STRING_LARGE, WORD, 0),
            Value::Packed(list) => (HASH_INLINE, 0, list.len()),
            Value::PackedLarge(_) => (HASH_LARGE, WORD, 0),
            Value::Fields(_) => (HASH_TABLE, WORD, 0),
        };
        assert!(u32::try_from(key_len).is_ok(), "a key is shorter than 4 GiB");
        assert!(inline_len <= INLINE_MAX_BYTES, "longer values are kept apart");
        let long = |is_long: bool, flag: u8| if is_long { flag } else { 0 };
        flags |= long(has_expiry, EXPIRY) | long(shown_raw, SHOWN_RAW);
        flags |= long(key_len > 255, LONG_KEY) | long(inline_len > 255, LONG_VALUE);
        Shape { kind, flags, key_len, inline_len }
    }

    pub(super) fn size_bytes(self) -> usize {
        key_at(self.flags) + self.key_len + self.inline_len
    }

    /// Size of the allocation, which is a whole class.
    pub(super) fn class_bytes(self) -> usize {
        size_class(self.size_bytes())
    }

    pub(super) fn layout(self) -> Layout {
        Layout::from_size_align(self.class_bytes(), 8).expect("far below isize::MAX")
    }
}
