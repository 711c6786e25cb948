//! An entry as a reader sees it.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tandem_base::UnixMs;

use super::layout::{
    CLOCK_MASK, EXPIRY, FLAGS_AT, HASH_INLINE, HASH_LARGE, HASH_TABLE, HEADER_BYTES, KEY_LEN_AT,
    KIND_AT, LONG_KEY, LONG_VALUE, SHOWN_RAW, STRING_INLINE, STRING_INT, STRING_LARGE, Shape,
    VALUE_LEN_AT, key_at, lengths_at, word_at,
};
use super::{Entry, Stamp};
use crate::hashes::{Fields, HashRef, Kept};
use crate::size_class::size_class;
use crate::value::{StringRef, ValueRef};

/// The longest string that OBJECT ENCODING calls `embstr`.
const EMBSTR_MAX_BYTES: usize = 44;
/// What an `Arc<Vec<u8>>` takes besides the bytes: two counts and the vector's three words.
pub(crate) const SHARED_VEC_BYTES: usize = size_class(40);

/// A key and its value, as they stand in the keyspace.
///
/// It borrows the stripe, so the stripe's lock is held as long as it lives.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    pub(super) at: NonNull<u8>,
    pub(super) entry: PhantomData<&'a Entry>,
}

impl<'a> EntryRef<'a> {
    /// # Safety
    /// `address` is from `Entry::into_address`, and that entry neither changes nor goes while
    /// `'a` lasts.
    #[inline]
    pub(crate) unsafe fn from_address(address: u64) -> EntryRef<'a> {
        let at = ptr::with_exposed_provenance_mut(address as usize);
        // SAFETY: it was a NonNull.
        EntryRef { at: unsafe { NonNull::new_unchecked(at) }, entry: PhantomData }
    }

    #[inline]
    fn byte(self, at: usize) -> u8 {
        debug_assert!(at < HEADER_BYTES);
        // SAFETY: inside the header, which every entry has.
        unsafe { self.at.add(at).read() }
    }

    #[inline]
    pub(super) fn flags(self) -> u8 {
        self.byte(FLAGS_AT)
    }

    /// Type and encoding.
    #[inline]
    pub(super) fn kind(self) -> u8 {
        self.byte(KIND_AT)
    }

    #[inline]
    fn key_len(self) -> usize {
        let flags = self.flags();
        if flags & LONG_KEY == 0 {
            return usize::from(self.byte(KEY_LEN_AT));
        }
        // SAFETY: the flag says that the length stands there, at a multiple of 4.
        unsafe { self.at.add(lengths_at(flags)).cast::<u32>().read() as usize }
    }

    #[inline]
    fn inline_len(self) -> usize {
        let flags = self.flags();
        if flags & LONG_VALUE == 0 {
            return usize::from(self.byte(VALUE_LEN_AT));
        }
        let at = lengths_at(flags) + usize::from(flags & LONG_KEY);
        // SAFETY: the flag says that the length stands there, at a multiple of 4.
        unsafe { self.at.add(at).cast::<u32>().read() as usize }
    }

    pub(super) fn shape(self) -> Shape {
        Shape {
            kind: self.byte(KIND_AT),
            flags: self.flags(),
            key_len: self.key_len(),
            inline_len: self.inline_len(),
        }
    }

    /// The key's bytes.
    #[inline]
    pub fn key(self) -> &'a [u8] {
        // SAFETY: the key stands there for as long as the entry does.
        unsafe {
            let start = self.at.add(key_at(self.flags())).as_ptr();
            std::slice::from_raw_parts(start, self.key_len())
        }
    }

    /// Whether this is the entry of `key`.
    #[inline]
    pub(crate) fn key_is(self, key: &[u8]) -> bool {
        same_bytes(self.key(), key)
    }

    /// The bytes behind the key; none unless the value is inline.
    #[inline]
    pub(super) fn inline(self) -> &'a [u8] {
        let start = key_at(self.flags()) + self.key_len();
        // SAFETY: an inline value follows the key; else the length is 0.
        unsafe { std::slice::from_raw_parts(self.at.add(start).as_ptr(), self.inline_len()) }
    }

    /// The value, of whatever type.
    #[inline]
    pub fn value(self) -> ValueRef<'a> {
        let word = word_at(self.flags());
        // SAFETY: the kind says what the word holds, aligned to 8; it lives as long as the entry.
        unsafe {
            match self.kind() {
                STRING_INLINE => ValueRef::String(StringRef::Inline(self.inline())),
                STRING_INT => ValueRef::String(StringRef::Int(self.at.add(word).cast().read())),
                STRING_LARGE => {
                    ValueRef::String(StringRef::Large(self.at.add(word).cast().as_ref()))
                }
                HASH_INLINE => ValueRef::Hash(HashRef::packed(self.inline())),
                HASH_LARGE => {
                    let list: &Arc<Vec<u8>> = self.at.add(word).cast().as_ref();
                    ValueRef::Hash(HashRef(Kept::Packed(list, Some(list))))
                }
                HASH_TABLE => {
                    let fields: *const Fields = self.at.add(word).cast().read();
                    ValueRef::Hash(HashRef(Kept::Large(&*fields)))
                }
                _ => unreachable!("no entry is made of another kind"),
            }
        }
    }

    /// The value if it is a string.
    #[inline]
    pub fn string(self) -> Option<StringRef<'a>> {
        match self.value() {
            ValueRef::String(string) => Some(string),
            ValueRef::Hash(_) => None,
        }
    }

    /// The value if it is a hash.
    #[inline]
    pub fn hash(self) -> Option<HashRef<'a>> {
        match self.value() {
            ValueRef::Hash(hash) => Some(hash),
            ValueRef::String(_) => None,
        }
    }

    /// When the key expires, if ever.
    #[inline]
    pub fn expiry(self) -> Option<UnixMs> {
        if self.flags() & EXPIRY == 0 {
            return None;
        }
        // SAFETY: the flag says that it follows the header.
        Some(UnixMs(unsafe { self.at.add(HEADER_BYTES).cast::<i64>().read() }))
    }

    /// What TYPE answers.
    pub fn type_name(self) -> &'static str {
        match self.value() {
            ValueRef::String(_) => "string",
            ValueRef::Hash(_) => "hash",
        }
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding_name(self) -> &'static str {
        match self.value() {
            ValueRef::String(StringRef::Int(_)) => "int",
            ValueRef::String(StringRef::Inline(bytes))
                if bytes.len() <= EMBSTR_MAX_BYTES && self.flags() & SHOWN_RAW == 0 =>
            {
                "embstr"
            }
            ValueRef::String(_) => "raw",
            ValueRef::Hash(hash) => hash.encoding_name(),
        }
    }

    /// How many allocations go when it is freed, near enough: what Redis's lazy freeing goes by.
    pub fn free_effort(self) -> u64 {
        match self.value() {
            ValueRef::String(_) => 1,
            ValueRef::Hash(hash) => hash.free_effort(),
        }
    }

    /// Bytes allocated for the entry, as [`size_class`] counts them.
    pub fn memory_bytes(self) -> usize {
        let outside = match self.value() {
            ValueRef::String(StringRef::Large(bytes)) => {
                SHARED_VEC_BYTES + size_class(bytes.capacity())
            }
            ValueRef::String(_) => 0,
            ValueRef::Hash(hash) => hash.outside_bytes(),
        };
        self.shape().class_bytes() + outside
    }

    #[inline]
    fn stamp_word(self) -> &'a AtomicU32 {
        // SAFETY: aligned, inside the header, and never accessed otherwise once the entry is
        // in use. It is atomic so that a shared view may write it.
        unsafe { self.at.cast::<AtomicU32>().as_ref() }
    }

    pub(super) fn stamp(self) -> Stamp {
        Stamp { mark: self.mark(), clock: self.access_clock() }
    }

    /// The access clock of the last touch, 24 bits.
    #[inline]
    pub fn access_clock(self) -> u32 {
        self.stamp_word().load(Ordering::Relaxed) & CLOCK_MASK
    }

    /// Sets the access clock; only the low 24 bits count.
    #[inline]
    pub fn touch(self, clock: u32) {
        let word = self.stamp_word();
        // Load and store instead of a read-modify-write: the stripe's lock excludes others.
        let mark = word.load(Ordering::Relaxed) & !CLOCK_MASK;
        word.store(mark | (clock & CLOCK_MASK), Ordering::Relaxed);
    }

    /// Number of the snapshot that has last taken the entry, or of the last one begun before
    /// its birth.
    #[inline]
    pub(crate) fn mark(self) -> u8 {
        (self.stamp_word().load(Ordering::Relaxed) >> 24) as u8
    }

    pub(crate) fn set_mark(self, mark: u8) {
        let word = self.stamp_word();
        let clock = word.load(Ordering::Relaxed) & CLOCK_MASK;
        word.store(u32::from(mark) << 24 | clock, Ordering::Relaxed);
    }
}

/// Equality of two keys; most are short, and a call of `memcmp` costs more than they do.
#[inline]
pub(super) fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match (a.split_first_chunk::<8>(), b.split_first_chunk::<8>()) {
        (Some((a0, _)), Some((b0, _))) if a.len() <= 16 => {
            // The last 8 bytes overlap the first; together they are all.
            a0 == b0 && a.last_chunk::<8>() == b.last_chunk::<8>()
        }
        (Some((a0, a)), Some((b0, b))) => a0 == b0 && a == b,
        _ => a.iter().zip(b).all(|(a, b)| a == b),
    }
}

impl std::fmt::Debug for EntryRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={:?} expiry {:?}", self.key().escape_ascii(), self.value(), self.expiry())
    }
}
