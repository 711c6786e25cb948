//! One key and its value in one allocation.
//!
//! ```text
//! 0        4     5     6       7         8
//! mark|clock kind flags key_len value_len [expiry i64] [word: i64 or pointer]
//!                                         [u32 key length] [u32 value length] key bytes… [value bytes…]
//! ```
//! The parts in brackets are there when a flag says so. Eight-byte parts come first, so that
//! they are aligned. A value stands in the entry itself (*inline*, up to [`INLINE_MAX_BYTES`]),
//! as an integer, or as a pointer: to a shared [`Vec`] (*large*), which replies and snapshots
//! can hold on to without a copy, or to the tree of a large collection. Inline bytes and a large
//! value's are a string, or the list of a small collection: `kind` says which.
//!
//! Allocations are made in whole size classes, so an entry can grow inside its class without
//! moving; that also makes the size passed to the allocator the same on the way in and out.
#![allow(unsafe_code)]

mod layout;
mod view;

use std::alloc::{alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use tandem_base::UnixMs;

use crate::hashes::{Fields, Kept};
use crate::value::{StringRef, ValueRef};
use layout::{
    CLOCK_MASK, EXPIRY, FLAGS_AT, HASH_INLINE, HASH_LARGE, HASH_TABLE, HEADER_BYTES, KEY_LEN_AT,
    KIND_AT, LONG_KEY, LONG_VALUE, OWNS, SHOWN_RAW, STRING_INLINE, STRING_INT, STRING_LARGE, Shape,
    VALUE_LEN_AT, key_at, lengths_at, word_at,
};
pub(crate) use layout::{INLINE_MAX_BYTES, Owned, Value};
pub use view::EntryRef;
pub(crate) use view::SHARED_VEC_BYTES;

/// What a new or changed entry is stamped with.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    /// Number of the last snapshot begun: an entry born now is not part of it.
    pub(crate) mark: u8,
    /// Access clock, 24 bits.
    pub(crate) clock: u32,
}

/// An entry that is owned; dropping it frees it.
pub(crate) struct Entry {
    at: NonNull<u8>,
}

// SAFETY: an entry owns its allocation alone, and with it the Arc or the Box in its word; each
// may be used and freed by any thread, as what they hold is `Send` and `Sync`.
unsafe impl Send for Entry {}

impl Entry {
    /// Makes an entry.
    pub(crate) fn new(
        key: &[u8],
        value: Value<'_>,
        expiry: Option<UnixMs>,
        shown_raw: bool,
        stamp: Stamp,
    ) -> Entry {
        let shape = Shape::new(key.len(), &value, expiry.is_some(), shown_raw);
        let entry = Entry::allocate(shape, stamp);
        // SAFETY: the allocation is of this shape, and `key` and `value` lie outside it.
        unsafe { entry.write_body(shape, key.as_ptr(), value, expiry) };
        entry
    }

    /// Allocates for `shape` and writes the stamp; everything else is still to be written.
    fn allocate(shape: Shape, stamp: Stamp) -> Entry {
        let layout = shape.layout();
        // SAFETY: the layout's size is at least the header's.
        let Some(at) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        let stamp = u32::from(stamp.mark) << 24 | (stamp.clock & CLOCK_MASK);
        // SAFETY: the allocation is aligned to 8 and has room for the header.
        unsafe { at.cast::<u32>().write(stamp) };
        Entry { at }
    }

    /// Writes everything but the stamp, whatever stood there before; no old value is dropped.
    ///
    /// # Safety
    /// The allocation is of `shape`'s class. `key` has `shape.key_len` bytes and may lie inside
    /// this allocation; an inline value may not.
    unsafe fn write_body(
        &self,
        shape: Shape,
        key: *const u8,
        value: Value<'_>,
        expiry: Option<UnixMs>,
    ) {
        let Shape { kind, flags, key_len, inline_len } = shape;
        let at = self.at.as_ptr();
        // SAFETY: all offsets follow from `shape`, for which there is room; words stand at
        // multiples of 8, lengths at multiples of 4. The key moves first, before anything is
        // written over the place that it may come from.
        unsafe {
            let key_to = at.add(key_at(flags));
            if !ptr::eq(key, key_to) {
                ptr::copy(key, key_to, key_len);
            }
            at.add(KIND_AT).write(kind);
            at.add(FLAGS_AT).write(flags);
            at.add(KEY_LEN_AT).write(key_len as u8);
            at.add(VALUE_LEN_AT).write(inline_len as u8);
            if let Some(UnixMs(ms)) = expiry {
                at.add(HEADER_BYTES).cast::<i64>().write(ms);
            }
            let mut length_at = lengths_at(flags);
            if flags & LONG_KEY != 0 {
                at.add(length_at).cast::<u32>().write(key_len as u32);
                length_at += 4;
            }
            if flags & LONG_VALUE != 0 {
                at.add(length_at).cast::<u32>().write(inline_len as u32);
            }
            match value {
                Value::Int(number) => at.add(word_at(flags)).cast::<i64>().write(number),
                Value::Large(bytes) | Value::PackedLarge(bytes) => {
                    at.add(word_at(flags)).cast::<Arc<Vec<u8>>>().write(bytes);
                }
                Value::Fields(fields) => {
                    at.add(word_at(flags)).cast::<Box<Fields>>().write(fields);
                }
                Value::Inline(bytes) | Value::Packed(bytes) => {
                    ptr::copy_nonoverlapping(bytes.as_ptr(), key_to.add(key_len), inline_len);
                }
            }
        }
    }

    /// Looks at the entry.
    #[inline]
    pub(crate) fn view(&self) -> EntryRef<'_> {
        EntryRef { at: self.at, entry: PhantomData }
    }

    /// Gives the entry another value and expiry if that can be done where it stands and without
    /// a change to the memory that it takes; else gives the value back.
    #[inline]
    pub(crate) fn overwrite<'v>(
        &mut self,
        value: Value<'v>,
        expiry: Option<UnixMs>,
        shown_raw: bool,
        clock: u32,
    ) -> Result<(), Value<'v>> {
        let old = self.view().shape();
        let shape = Shape::new(old.key_len, &value, expiry.is_some(), shown_raw);
        if (old.kind | shape.kind) & OWNS != 0 || shape.class_bytes() != old.class_bytes() {
            return Err(value);
        }
        let key = self.view().key().as_ptr();
        // SAFETY: same class; the key lies inside, and the caller's value cannot, as we have the
        // entry to ourselves. The old value owns no memory.
        unsafe { self.write_body(shape, key, value, expiry) };
        self.view().touch(clock);
        Ok(())
    }

    /// Gives the entry another value and expiry, in another allocation if need be. What the old
    /// value owned is handed out.
    pub(crate) fn replace_value(
        self,
        value: Value<'_>,
        expiry: Option<UnixMs>,
        shown_raw: bool,
        clock: u32,
    ) -> (Entry, Option<Owned>) {
        let old = self.view().shape();
        let shape = Shape::new(old.key_len, &value, expiry.is_some(), shown_raw);
        let old_value = self.take_owned(old);
        let old_key = self.view().key().as_ptr();
        let entry = if shape.class_bytes() == old.class_bytes() {
            // SAFETY: same class; the key lies inside, and the caller's value cannot, as we own
            // the entry.
            unsafe { self.write_body(shape, old_key, value, expiry) };
            self
        } else {
            let entry = Entry::allocate(shape, self.view().stamp());
            // SAFETY: the new allocation is of this shape; the key lies in the old one.
            unsafe { entry.write_body(shape, old_key, value, expiry) };
            self.free_shell(old);
            entry
        };
        entry.view().touch(clock);
        (entry, old_value)
    }

    /// Gives the entry another expiry, or none; in place if the size class stays.
    pub(crate) fn with_expiry(self, expiry: Option<UnixMs>) -> Entry {
        let old = self.view().shape();
        let shape = Shape {
            flags: (old.flags & !EXPIRY) | if expiry.is_some() { EXPIRY } else { 0 },
            ..old
        };
        if shape.class_bytes() != old.class_bytes() {
            let entry = Entry::allocate(shape, self.view().stamp());
            let value = self.take_value(old);
            let key = self.view().key().as_ptr();
            // SAFETY: the new allocation is of this shape; key and value lie in the old one.
            unsafe { entry.write_body(shape, key, value, expiry) };
            self.free_shell(old);
            return entry;
        }
        let at = self.at.as_ptr();
        // SAFETY: everything from the word (if any) to the end moves by the 8 bytes of the
        // expiry, within the class that both shapes share. The flags and the expiry then
        // describe what stands there.
        unsafe {
            let length = old.size_bytes() - word_at(old.flags);
            ptr::copy(at.add(word_at(old.flags)), at.add(word_at(shape.flags)), length);
            at.add(FLAGS_AT).write(shape.flags);
            if let Some(UnixMs(ms)) = expiry {
                at.add(HEADER_BYTES).cast::<i64>().write(ms);
            }
        }
        self
    }

    /// The same value and expiry under another key.
    pub(crate) fn with_key(self, key: &[u8], stamp: Stamp) -> Entry {
        let old = self.view().shape();
        let expiry = self.view().expiry();
        let value = self.take_value(old);
        let shape = Shape::new(key.len(), &value, expiry.is_some(), old.flags & SHOWN_RAW != 0);
        let entry = Entry::allocate(shape, stamp);
        // SAFETY: the new allocation is of this shape; key and value lie outside it.
        unsafe { entry.write_body(shape, key.as_ptr(), value, expiry) };
        self.free_shell(old);
        entry
    }

    /// A second entry with the same value and expiry; what is large is shared.
    pub(crate) fn copy_of(from: EntryRef<'_>) -> Entry {
        let value = match from.value() {
            ValueRef::String(StringRef::Int(number)) => Value::Int(number),
            ValueRef::String(StringRef::Inline(bytes)) => Value::Inline(bytes),
            ValueRef::String(StringRef::Large(bytes)) => Value::Large(Arc::clone(bytes)),
            ValueRef::Hash(hash) => match hash.0 {
                Kept::Packed(list, None) => Value::Packed(list),
                Kept::Packed(_, Some(list)) => Value::PackedLarge(Arc::clone(list)),
                Kept::Large(fields) => Value::Fields(Box::new(fields.copy())),
            },
        };
        let shown_raw = from.flags() & SHOWN_RAW != 0;
        Entry::new(from.key(), value, from.expiry(), shown_raw, from.stamp())
    }

    /// The bytes in memory of their own, to be changed in place: a string's or a list's.
    pub(crate) fn large_mut(&mut self) -> Option<&mut Arc<Vec<u8>>> {
        let view = self.view();
        if !matches!(view.kind(), STRING_LARGE | HASH_LARGE) {
            return None;
        }
        // SAFETY: such an entry holds an Arc there, and we have the entry to ourselves.
        Some(unsafe { self.at.add(word_at(view.flags())).cast::<Arc<Vec<u8>>>().as_mut() })
    }

    /// The list in the entry, to be changed in place without a change of its length.
    pub(crate) fn packed_mut(&mut self) -> Option<&mut [u8]> {
        let view = self.view();
        if view.kind() != HASH_INLINE {
            return None;
        }
        let Shape { flags, key_len, inline_len, .. } = view.shape();
        // SAFETY: an inline value follows the key, and we have the entry to ourselves.
        Some(unsafe {
            let start = self.at.as_ptr().add(key_at(flags) + key_len);
            std::slice::from_raw_parts_mut(start, inline_len)
        })
    }

    /// The large hash, to be changed in place.
    pub(crate) fn fields_mut(&mut self) -> Option<&mut Fields> {
        let view = self.view();
        if view.kind() != HASH_TABLE {
            return None;
        }
        // SAFETY: such an entry holds a Box there, and we have the entry to ourselves.
        Some(unsafe { self.at.add(word_at(view.flags())).cast::<Box<Fields>>().as_mut() })
    }

    /// From now on OBJECT ENCODING says `raw`.
    pub(crate) fn show_raw(&mut self) {
        let flags = self.view().flags() | SHOWN_RAW;
        // SAFETY: the flag changes no layout.
        unsafe { self.at.add(FLAGS_AT).write(flags) };
    }

    /// Moves out what the word owns, if it owns something. The entry is a shell afterwards: it
    /// must be given a new value or freed with `free_shell`.
    #[inline]
    fn take_owned(&self, shape: Shape) -> Option<Owned> {
        if shape.kind & OWNS == 0 {
            return None;
        }
        // SAFETY: the kind says what the word holds; the callers see to it that it is not
        // dropped twice.
        Some(unsafe {
            let word = self.at.add(word_at(shape.flags));
            match shape.kind {
                HASH_TABLE => Owned::Fields(word.cast().read()),
                _ => Owned::Bytes(word.cast().read()),
            }
        })
    }

    /// The value, moved out as in `take_owned`; an inline one still points into the entry.
    fn take_value(&self, shape: Shape) -> Value<'_> {
        // SAFETY: the kind says what the word holds; the callers see to it that it is not
        // dropped twice.
        unsafe {
            let word = self.at.add(word_at(shape.flags));
            match shape.kind {
                STRING_INT => Value::Int(word.cast().read()),
                STRING_LARGE => Value::Large(word.cast().read()),
                HASH_LARGE => Value::PackedLarge(word.cast().read()),
                HASH_TABLE => Value::Fields(word.cast().read()),
                STRING_INLINE => Value::Inline(self.view().inline()),
                HASH_INLINE => Value::Packed(self.view().inline()),
                _ => unreachable!("no entry is made of another kind"),
            }
        }
    }

    /// Frees the entry; what its word owned is handed out.
    pub(crate) fn into_owned(self) -> Option<Owned> {
        let shape = self.view().shape();
        let owned = self.take_owned(shape);
        self.free_shell(shape);
        owned
    }

    /// Frees the allocation but not what its word owned.
    fn free_shell(self, shape: Shape) {
        let at = self.at.as_ptr();
        mem::forget(self);
        // SAFETY: allocated with the layout of this shape's class.
        unsafe { dealloc(at, shape.layout()) };
    }

    /// The entry as a number below 2^48, which must be turned back one day.
    pub(crate) fn into_address(self) -> u64 {
        let address = self.at.as_ptr().expose_provenance() as u64;
        mem::forget(self);
        assert!(address >> 48 == 0, "user space ends below 2^47");
        address
    }

    /// # Safety
    /// `address` is from `into_address`, and no other `Entry` is made of it.
    #[inline]
    pub(crate) unsafe fn from_address(address: u64) -> Entry {
        let at = ptr::with_exposed_provenance_mut(address as usize);
        // SAFETY: it was a NonNull.
        Entry { at: unsafe { NonNull::new_unchecked(at) } }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let shape = self.view().shape();
        drop(self.take_owned(shape));
        // SAFETY: allocated with the layout of this shape's class.
        unsafe { dealloc(self.at.as_ptr(), shape.layout()) };
    }
}

#[cfg(test)]
mod tests;
