//! The values: what each type byte is followed by. Strings and hashes are built; a further type is
//! one more arm in [`check_built`] and in the parser's `value`.

use super::blob;
use super::cursor::{Cursor, Form, Stop};
use super::error::Cause;
use crate::rdb::{TYPE_HASH, TYPE_STRING, lzf};

/// Scratch memory above this many bytes is given back.
pub(super) const SCRATCH_KEPT_BYTES: usize = 1 << 20;
/// From this length on, a string is handed out in memory of its own when it was not one piece of
/// the input anyway.
pub(crate) const BIG_BYTES: usize = 32 * 1024;

/// A string value as the parser hands it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StringValue<'a> {
    /// Written as a number; its bytes are the decimal text.
    Int(i64),
    /// Bytes of the input, or of the parser's scratch memory: copy them.
    Bytes(&'a [u8]),
    /// A large value that had to be put together: keep the memory.
    Owned(Vec<u8>),
}

impl StringValue<'_> {
    /// The bytes; a number is written into `scratch`.
    pub fn bytes<'b>(&'b self, scratch: &'b mut itoa::Buffer) -> &'b [u8] {
        match self {
            StringValue::Int(value) => scratch.format(*value).as_bytes(),
            StringValue::Bytes(bytes) => bytes,
            StringValue::Owned(bytes) => bytes,
        }
    }

    /// The same value, independent of the input.
    pub fn into_owned(self) -> StringValue<'static> {
        match self {
            StringValue::Int(value) => StringValue::Int(value),
            StringValue::Bytes(bytes) => StringValue::Owned(bytes.to_vec()),
            StringValue::Owned(bytes) => StringValue::Owned(bytes),
        }
    }
}

/// Accepts the types that Redis 7.0 knows.
#[inline]
pub(crate) fn check_known(value_type: u8) -> Result<(), Cause> {
    match value_type {
        0..=7 | 9..=19 => Ok(()),
        _ => Err(Cause::UnknownType(value_type)),
    }
}

/// Accepts the types that are built.
#[inline]
pub(crate) fn check_built(value_type: u8) -> Result<(), Cause> {
    match value_type {
        TYPE_STRING | TYPE_HASH => Ok(()),
        _ if blob::is_hash(value_type) => Ok(()),
        _ => Err(Cause::UnsupportedType(value_type)),
    }
}

/// A string value; a short one that was compressed is unpacked into `scratch`.
#[inline]
pub(crate) fn string<'a, 'i: 'a>(
    cursor: &mut Cursor<'i>,
    form: Form,
    scratch: &'a mut Vec<u8>,
) -> Result<StringValue<'a>, Stop> {
    match form {
        Form::Lzf { length, .. } if length < BIG_BYTES => {
            Ok(StringValue::Bytes(text_of(cursor, form, scratch)?))
        }
        _ => string_alone(cursor, form),
    }
}

/// A string value that needs no scratch memory.
#[inline]
pub(crate) fn string_alone<'a>(
    cursor: &mut Cursor<'a>,
    form: Form,
) -> Result<StringValue<'a>, Stop> {
    match form {
        Form::Plain(length) => Ok(StringValue::Bytes(cursor.take(length)?)),
        Form::Int(value) => Ok(StringValue::Int(value)),
        Form::Lzf { packed, length } => {
            Ok(StringValue::Owned(unpacked(cursor.take(packed)?, length)?))
        }
    }
}

/// A string as its bytes: a key, a field's name.
#[inline]
pub(crate) fn text<'a, 'i: 'a>(
    cursor: &mut Cursor<'i>,
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], Stop> {
    let form = cursor.form()?;
    text_of(cursor, form, scratch)
}

#[inline]
pub(crate) fn text_of<'a, 'i: 'a>(
    cursor: &mut Cursor<'i>,
    form: Form,
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], Stop> {
    match form {
        Form::Plain(length) => cursor.take(length),
        Form::Int(value) => {
            scratch.clear();
            scratch.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
            Ok(scratch)
        }
        Form::Lzf { packed, length } => {
            scratch.clear();
            scratch.shrink_to(SCRATCH_KEPT_BYTES);
            let packed = cursor.take(packed)?;
            lzf::decompress(packed, length, scratch).map_err(|_| Cause::Lzf)?;
            Ok(scratch)
        }
    }
}

/// Passes over a string.
pub(crate) fn skip(cursor: &mut Cursor<'_>) -> Result<(), Stop> {
    match cursor.form()? {
        Form::Int(_) => Ok(()),
        Form::Plain(length) | Form::Lzf { packed: length, .. } => cursor.take(length).map(|_| ()),
    }
}

/// The bytes that `packed` stands for, in memory of their own.
pub(crate) fn unpacked(packed: &[u8], length: usize) -> Result<Vec<u8>, Cause> {
    let mut bytes = Vec::new();
    lzf::decompress(packed, length, &mut bytes).map_err(|_| Cause::Lzf)?;
    Ok(bytes)
}
