//! Large values on their way into a snapshot: shared, so that no lock is held and nothing is
//! copied while they are written.

use std::collections::VecDeque;
use std::sync::Arc;

use tandem_base::{DbIndex, UnixMs};

use super::Chunk;
use super::held::{Hold, Identity};
use crate::entry::{EntryRef, SHARED_VEC_BYTES};
use crate::hashes::{Fields, HashRef, Kept};
use crate::rdb::write;
use crate::shared::Shared;
use crate::size_class::size_class;
use crate::value::{StringRef, ValueRef};

/// Large values that have been taken and wait to be written.
#[derive(Default)]
pub(super) struct LargeValues {
    /// With what each counts for in `bytes`.
    values: VecDeque<(LargeValue, usize)>,
    bytes: usize,
}

impl LargeValues {
    /// Bytes of the values that the walk came by itself: a writer may yet want them freed.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Adds a value that the walk has come by.
    pub(super) fn put_by(&mut self, value: LargeValue) {
        let bytes = value.bytes();
        self.values.push_back((value, bytes));
        self.bytes += bytes;
    }

    /// Adds a side's values.
    pub(super) fn put_by_all(&mut self, values: Vec<LargeValue>) {
        self.values.extend(values.into_iter().map(|value| (value, 0)));
    }

    /// The one to write next.
    pub(super) fn first(&mut self) -> Option<&mut LargeValue> {
        self.values.front_mut().map(|(value, _)| value)
    }

    /// The first has been written.
    pub(super) fn written(&mut self) {
        if let Some((_, bytes)) = self.values.pop_front() {
            self.bytes -= bytes;
        }
    }
}

/// A key with a value that is shared.
pub(super) struct LargeValue {
    db: DbIndex,
    key: Vec<u8>,
    expiry: Option<UnixMs>,
    /// Its access clock.
    stamp: u32,
    value: Share,
    /// Goes after the value.
    _hold: Hold,
}

/// The value.
pub(super) enum Share {
    String(Arc<Vec<u8>>),
    Listpack(Arc<Vec<u8>>),
    /// A hash, and the position that writing has reached; `None` before it begins.
    Hash(Fields, Option<u64>),
}

impl Share {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Share::String(bytes) | Share::Listpack(bytes) => {
                SHARED_VEC_BYTES + size_class(bytes.capacity())
            }
            Share::Hash(fields, _) => usize::try_from(fields.bytes()).expect("it lies in memory"),
        }
    }
}

impl LargeValue {
    /// The entry's value, shared, if it is large.
    pub(super) fn of(shared: &Arc<Shared>, db: DbIndex, entry: EntryRef<'_>) -> Option<LargeValue> {
        let identity = Identity::of(entry)?;
        let value = match entry.value() {
            ValueRef::String(StringRef::Large(bytes)) => Share::String(Arc::clone(bytes)),
            ValueRef::Hash(HashRef(Kept::Packed(_, Some(list)))) => {
                Share::Listpack(Arc::clone(list))
            }
            ValueRef::Hash(HashRef(Kept::Large(fields))) => Share::Hash(fields.clone(), None),
            _ => unreachable!("only what is large has an identity"),
        };
        let hold = Hold::new(shared, identity, &value);
        let (key, stamp) = (entry.key().to_vec(), entry.access_clock());
        Some(LargeValue { db, key, expiry: entry.expiry(), stamp, value, _hold: hold })
    }

    /// Bytes of the value.
    pub(super) fn bytes(&self) -> usize {
        self.value.bytes()
    }

    /// Writes it, or of a hash so much as fits; whether that was the last of it.
    pub(super) fn write(&mut self, chunk: &mut Chunk<'_>, end_bytes: usize) -> bool {
        let LargeValue { db, key, expiry, stamp, value, .. } = self;
        let place = (*db, *stamp);
        match value {
            Share::String(bytes) => {
                let value = ValueRef::String(StringRef::Large(bytes));
                chunk.write(place, key, value, *expiry);
                true
            }
            Share::Listpack(list) => {
                let hash = HashRef(Kept::Packed(list, Some(list)));
                chunk.write(place, key, ValueRef::Hash(hash), *expiry);
                true
            }
            Share::Hash(fields, reached) => {
                let from = reached.unwrap_or_else(|| {
                    chunk.begin(*db, *stamp);
                    write::begin_hash(chunk.out, key, fields.len(), *expiry, chunk.compress);
                    chunk.keys += 1;
                    0
                });
                *reached = write_fields(fields, from, chunk, end_bytes);
                reached.is_none()
            }
        }
    }
}

/// Writes the fields from position `from` on; where to go on, `None` if that was all.
fn write_fields(
    fields: &Fields,
    mut from: u64,
    chunk: &mut Chunk<'_>,
    end_bytes: usize,
) -> Option<u64> {
    loop {
        let (pairs, next) = fields.piece(from);
        for (field, value) in pairs {
            write::pair(chunk.out, field, value, chunk.compress);
        }
        from = next?;
        if chunk.out.len() >= end_bytes {
            return Some(from);
        }
    }
}
