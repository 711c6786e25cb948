//! DUMP payloads: one value as RDB writes it, with a footer of its own, so that a client can
//! carry it to another server.
//!
//! ```text
//! type · value · version (2 bytes) · CRC-64 of all before (8 bytes)    numbers little-endian
//! ```

use std::fmt;

use super::crc64::crc64;
use super::lzf::Effort;
use super::parse::{
    Cursor, StringValue, Value, check_blob_length, check_built, hash_blob, is_hash_blob,
    string_alone, text, text_of,
};
use super::{NEWEST_READ, RDB_VERSION, TYPE_HASH, TYPE_STRING, write};
use crate::{NewHash, ValueRef};

const FOOTER_BYTES: usize = 10;

/// Why a payload is refused; the texts are what a client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// Too short for a footer, from a newer version, or damaged.
    VersionOrChecksum,
    /// The footer is right, but the value is not one that we know.
    BadFormat,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RestoreError::VersionOrChecksum => "DUMP payload version or checksum are wrong",
            RestoreError::BadFormat => "Bad data format",
        })
    }
}

impl std::error::Error for RestoreError {}

/// The payload of a value; that of a string or a small hash is byte for byte as Redis makes it.
/// `compress` is its `rdbcompression`.
pub fn dump(value: ValueRef<'_>, compress: bool) -> Vec<u8> {
    let effort = compress.then_some(Effort::Liblzf);
    let mut out = Vec::with_capacity(64);
    match value {
        ValueRef::String(value) => {
            out.push(TYPE_STRING);
            write::string_value(&mut out, value, effort);
        }
        ValueRef::Hash(hash) => {
            out.push(write::hash_type(hash));
            write::hash_value(&mut out, hash, effort);
        }
    }
    out.extend_from_slice(&RDB_VERSION.to_le_bytes());
    let sum = crc64(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// A value out of a payload.
#[derive(Debug)]
pub enum Restored<'a> {
    /// A string.
    String(StringValue<'a>),
    /// A hash; it has fields.
    Hash(NewHash),
}

/// The value in a payload; `check_sum` false accepts any checksum. `new_hash` makes a hash for
/// about so many fields.
///
/// As in Redis, bytes between the value and the footer are ignored.
pub fn restore(
    payload: &[u8],
    check_sum: bool,
    new_hash: impl Fn(u64) -> NewHash,
) -> Result<Restored<'_>, RestoreError> {
    let (body, footer) =
        payload.split_last_chunk::<FOOTER_BYTES>().ok_or(RestoreError::VersionOrChecksum)?;
    let [low, high, sum @ ..] = *footer;
    if u16::from_le_bytes([low, high]) > NEWEST_READ {
        return Err(RestoreError::VersionOrChecksum);
    }
    if check_sum && crc64(&payload[..payload.len() - 8]) != u64::from_le_bytes(sum) {
        return Err(RestoreError::VersionOrChecksum);
    }
    value(body, new_hash).ok_or(RestoreError::BadFormat)
}

/// Whether what a payload holds lies in one piece with a layout of its own, and not element by
/// element.
pub fn is_one_piece(payload: &[u8]) -> bool {
    payload.first().is_some_and(|value_type| is_hash_blob(*value_type))
}

fn value(body: &[u8], new_hash: impl Fn(u64) -> NewHash) -> Option<Restored<'_>> {
    let mut cursor = Cursor::new(body);
    let value_type = cursor.byte().ok()?;
    check_built(value_type).ok()?;
    if value_type == TYPE_HASH {
        let len = cursor.length().ok()?;
        // A claim of more than could be there makes no difference but in the encoding.
        return fields(&mut cursor, len, new_hash(len)).map(Restored::Hash);
    }
    if is_hash_blob(value_type) {
        let mut scratch = Vec::new();
        let form = cursor.form().ok()?;
        check_blob_length(value_type, form).ok()?;
        let bytes = text_of(&mut cursor, form, &mut scratch).ok()?;
        let mut room = Vec::new();
        let Value::Hash { list, long_texts } = hash_blob(value_type, bytes, &mut room).ok()? else {
            return None;
        };
        let hash = new_hash(0).with_listpack(list, long_texts);
        return (!hash.view().is_empty()).then_some(Restored::Hash(hash));
    }
    let form = cursor.form().ok()?;
    string_alone(&mut cursor, form).ok().map(Restored::String)
}

fn fields(cursor: &mut Cursor<'_>, len: u64, mut hash: NewHash) -> Option<NewHash> {
    let (mut of_field, mut of_value) = (Vec::new(), Vec::new());
    for _ in 0..len {
        let field = text(cursor, &mut of_field).ok()?;
        let value = text(cursor, &mut of_value).ok()?;
        if !hash.set(field, value) {
            return None;
        }
    }
    (len > 0).then_some(hash)
}

#[cfg(test)]
mod tests;
