//! What a value looks like from outside, whatever its encoding.
//!
//! Commands, the RDB writer and the digest see a [`ValueRef`]; only the entry knows how the
//! bytes are kept.

use std::sync::Arc;

use tandem_base::UnixMs;

use crate::hashes::HashRef;

/// A value of whatever type as it stands in the keyspace.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// A string.
    String(StringRef<'a>),
    /// A hash.
    Hash(HashRef<'a>),
}

/// A string value as it stands in the keyspace.
#[derive(Clone, Copy, Debug)]
pub enum StringRef<'a> {
    /// Kept as an integer; its bytes are the decimal form.
    Int(i64),
    /// Kept inside the entry.
    Inline(&'a [u8]),
    /// A large value in an allocation of its own. A reply or a snapshot may share it; a writer
    /// that finds it shared makes a copy first.
    Large(&'a Arc<Vec<u8>>),
}

impl<'a> StringRef<'a> {
    /// The bytes; an integer is written into `scratch`.
    pub fn bytes(self, scratch: &'a mut itoa::Buffer) -> &'a [u8] {
        match self {
            StringRef::Int(value) => scratch.format(value).as_bytes(),
            StringRef::Inline(bytes) => bytes,
            StringRef::Large(bytes) => bytes,
        }
    }

    /// Length of the value in bytes.
    pub fn len(self) -> usize {
        match self {
            StringRef::Int(value) => itoa::Buffer::new().format(value).len(),
            StringRef::Inline(bytes) => bytes.len(),
            StringRef::Large(bytes) => bytes.len(),
        }
    }

    /// Whether the value is the empty string.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// One who is shown many texts, one after the other. Most of a small collection are short, and
/// what they are need not be asked for each of them.
pub trait Texts<'a> {
    /// A text that lies in its collection.
    fn near(&mut self, text: &'a [u8]);
    /// Any other.
    fn other(&mut self, text: StringRef<'a>);
}

/// A string value on its way into the keyspace. Unless it says otherwise, text that is a canonical
/// integer is kept as one.
#[derive(Debug)]
pub enum NewString<'a> {
    /// Bytes to be copied.
    Bytes(&'a [u8]),
    /// An integer.
    Int(i64),
    /// Bytes that are moved, not copied, if they are many.
    Owned(Vec<u8>),
    /// Bytes that others may hold on to, and that are not copied if they are many.
    Shared(Arc<Vec<u8>>),
    /// Bytes to be copied, and kept as text even if they are an integer: Redis does so with sums
    /// that have a fraction, and OBJECT ENCODING shows it.
    Text(&'a [u8]),
}

/// What becomes of a key's expiry when its value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// It stays as it is.
    Keep,
    /// The key will not expire.
    Clear,
    /// The key expires at this time.
    At(UnixMs),
}
