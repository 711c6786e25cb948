//! The writer: appends pieces of an RDB file to a buffer, as Redis 7.0.15 writes them.
//!
//! ```text
//! header · aux* · ( select_db · resize_db? · ( last_use · value )* )* · footer
//! value = entry (whole) | begin_hash · pair* (a large hash, over several steps)
//! ```
//! Pieces that start with their own `select_db` may come in any order, so several threads can
//! produce them; who joins them runs the checksum. No function here fails: memory is the only
//! thing that it needs.

use std::cell::RefCell;

use tandem_base::{DbIndex, REDIS_VERSION, ReplId, ReplOffset, UnixMs, num};

use super::crc64::Crc64;
use super::lzf::{Compressor, Effort};
use super::{RDB_VERSION, TYPE_HASH, TYPE_HASH_LISTPACK, TYPE_STRING, length, opcode};
use crate::access::SavedUse;
use crate::hashes::Kept;
use crate::listpack::frame;
use crate::{HashRef, StringRef, ValueRef};

/// Strings up to this length are never compressed, as in Redis.
const COMPRESS_ABOVE_BYTES: usize = 20;
/// Memory for framing that is kept for the next small hash.
const FRAMED_KEPT_BYTES: usize = 64 * 1024;
/// The longest text of an integer that has a short form: `-2147483648`.
const INTEGER_TEXT_MAX: usize = 11;

thread_local! {
    /// One table of 256 KiB for each thread that writes, made when it first compresses.
    static COMPRESSOR: RefCell<Compressor> = RefCell::new(Compressor::new());
    /// Where a small hash is put into its frame.
    static FRAMED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Appends the magic word and the version.
pub fn header(out: &mut Vec<u8>) {
    out.extend_from_slice(b"REDIS");
    out.extend_from_slice(format!("{RDB_VERSION:04}").as_bytes());
}

/// Appends an auxiliary field. Integer texts take their short form, as in Redis.
pub fn aux(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.push(opcode::AUX);
    raw_string(out, key, None);
    raw_string(out, value, None);
}

/// What the auxiliary fields that Redis always writes say.
#[derive(Clone, Copy, Debug)]
pub struct AuxInfo {
    /// When the snapshot was taken; written in whole seconds.
    pub created: UnixMs,
    /// Memory in use at that time, in bytes.
    pub used_memory_bytes: u64,
    /// Where the replication stream stood; `None` if the file is no use for a partial resync.
    pub replication: Option<AuxReplication>,
    /// Whether this is the base file of an append-only log.
    pub aof_base: bool,
}

/// The place in the replication stream at which a snapshot was cut.
#[derive(Clone, Copy, Debug)]
pub struct AuxReplication {
    /// The database that the stream had selected.
    pub stream_db: DbIndex,
    /// The stream's history.
    pub id: ReplId,
    /// The last byte that the snapshot includes.
    pub offset: ReplOffset,
}

/// Appends the auxiliary fields that Redis writes, in its order.
pub fn standard_aux(out: &mut Vec<u8>, info: &AuxInfo) {
    aux(out, b"redis-ver", REDIS_VERSION.as_bytes());
    aux_integer(out, b"redis-bits", 64);
    aux_integer(out, b"ctime", info.created.0.div_euclid(1000));
    aux_integer(out, b"used-mem", saturate(info.used_memory_bytes));
    if let Some(replication) = &info.replication {
        aux_integer(out, b"repl-stream-db", i64::from(replication.stream_db.0));
        aux(out, b"repl-id", replication.id.as_bytes());
        aux_integer(out, b"repl-offset", saturate(replication.offset.0));
    }
    aux_integer(out, b"aof-base", i64::from(info.aof_base));
}

fn saturate(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn aux_integer(out: &mut Vec<u8>, key: &[u8], value: i64) {
    aux(out, key, itoa::Buffer::new().format(value).as_bytes());
}

/// Appends "the entries that follow belong to `db`".
pub fn select_db(out: &mut Vec<u8>, db: DbIndex) {
    out.push(opcode::SELECT_DB);
    length(out, u64::from(db.0));
}

/// Appends how many keys the selected database holds and how many of them expire: a hint for the
/// reader's tables.
pub fn resize_db(out: &mut Vec<u8>, keys: u64, expires: u64) {
    out.push(opcode::RESIZE_DB);
    length(out, keys);
    length(out, expires);
}

/// Appends what is known of the next key's use.
pub(crate) fn last_use(out: &mut Vec<u8>, saved: SavedUse) {
    match saved {
        SavedUse::Nothing => {}
        SavedUse::Idle(seconds) => {
            out.push(opcode::IDLE);
            length(out, seconds.into());
        }
        SavedUse::Frequency(counter) => out.extend_from_slice(&[opcode::FREQ, counter]),
    }
}

/// Appends a key with its string value. With `compress`, what is longer than 20 bytes is
/// compressed if that saves something.
pub fn string_entry(
    out: &mut Vec<u8>,
    key: &[u8],
    value: StringRef<'_>,
    expiry: Option<UnixMs>,
    compress: bool,
) {
    // Every part but the two texts, at its longest.
    out.reserve(key.len() + value_room(value) + 32);
    let effort = compress.then_some(Effort::Quick);
    begin_entry(out, TYPE_STRING, key, expiry, effort);
    string_value(out, value, effort);
}

/// Appends a key with its value of whatever type; with `compress`, its texts as in
/// [`string_entry`].
pub(crate) fn entry(
    out: &mut Vec<u8>,
    key: &[u8],
    value: ValueRef<'_>,
    expiry: Option<UnixMs>,
    compress: bool,
) {
    match value {
        ValueRef::String(value) => string_entry(out, key, value, expiry, compress),
        ValueRef::Hash(hash) => {
            let effort = compress.then_some(Effort::Quick);
            begin_entry(out, hash_type(hash), key, expiry, effort);
            hash_value(out, hash, effort);
        }
    }
}

/// Appends the beginning of a large hash's entry; `len` pairs of [`pair`] are to follow.
pub(crate) fn begin_hash(
    out: &mut Vec<u8>,
    key: &[u8],
    len: u64,
    expiry: Option<UnixMs>,
    compress: bool,
) {
    begin_entry(out, TYPE_HASH, key, expiry, compress.then_some(Effort::Quick));
    length(out, len);
}

/// Appends a field and its value.
pub(crate) fn pair(out: &mut Vec<u8>, field: StringRef<'_>, value: StringRef<'_>, compress: bool) {
    let effort = compress.then_some(Effort::Quick);
    string_value(out, field, effort);
    string_value(out, value, effort);
}

/// Everything before the value.
fn begin_entry(
    out: &mut Vec<u8>,
    value_type: u8,
    key: &[u8],
    expiry: Option<UnixMs>,
    effort: Option<Effort>,
) {
    if let Some(UnixMs(at)) = expiry {
        out.push(opcode::EXPIRE_MS);
        out.extend_from_slice(&at.to_le_bytes());
    }
    out.push(value_type);
    raw_string(out, key, effort);
}

/// The byte that says how a hash is written: as it is kept.
pub(crate) fn hash_type(hash: HashRef<'_>) -> u8 {
    if hash.is_packed() { TYPE_HASH_LISTPACK } else { TYPE_HASH }
}

/// Appends a hash without its key or type.
pub(crate) fn hash_value(out: &mut Vec<u8>, hash: HashRef<'_>, effort: Option<Effort>) {
    match hash.0 {
        Kept::Packed(list, _) => FRAMED.with_borrow_mut(|framed| {
            frame::write(list, framed);
            raw_string(out, framed, effort);
            if framed.capacity() > FRAMED_KEPT_BYTES {
                *framed = Vec::new();
            }
        }),
        Kept::Large(fields) => {
            length(out, fields.len());
            for (field, value) in fields.iter() {
                string_value(out, field, effort);
                string_value(out, value, effort);
            }
        }
    }
}

fn value_room(value: StringRef<'_>) -> usize {
    match value {
        StringRef::Int(_) => 20,
        StringRef::Inline(bytes) => bytes.len(),
        StringRef::Large(bytes) => bytes.len(),
    }
}

/// Appends a string value without its key or type.
pub(crate) fn string_value(out: &mut Vec<u8>, value: StringRef<'_>, effort: Option<Effort>) {
    match value {
        StringRef::Int(value) => integer(out, value),
        StringRef::Inline(bytes) => raw_string(out, bytes, effort),
        StringRef::Large(bytes) => raw_string(out, bytes, effort),
    }
}

/// Appends the end of the file. `crc` has run over everything before; `None` writes the zero that
/// means "not checked".
pub fn footer(out: &mut Vec<u8>, crc: Option<Crc64>) {
    out.push(opcode::EOF);
    let sum = crc.map_or(0, |mut crc| {
        crc.update(&[opcode::EOF]);
        crc.value()
    });
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Appends a length in its shortest form.
pub(crate) fn length(out: &mut Vec<u8>, length: u64) {
    match length {
        0..=0x3f => out.push(length as u8),
        0x40..=0x3fff => out.extend_from_slice(&(0x4000 | length as u16).to_be_bytes()),
        0x4000..=0xffff_ffff => {
            out.push(length::BITS_32);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
        _ => {
            out.push(length::BITS_64);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
}

/// Appends a string: as an integer if its text is one of up to 32 bits, compressed if `effort`
/// is given and it helps, else as it is.
fn raw_string(out: &mut Vec<u8>, text: &[u8], effort: Option<Effort>) {
    if text.len() <= INTEGER_TEXT_MAX {
        if let Some(value) = num::parse_i64(text)
            && short_integer(out, value)
        {
            return;
        }
    } else if let Some(effort) = effort
        && text.len() > COMPRESS_ABOVE_BYTES
        && compressed(out, text, effort)
    {
        return;
    }
    length(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Appends a value that is kept as an integer.
fn integer(out: &mut Vec<u8>, value: i64) {
    if !short_integer(out, value) {
        let mut text = itoa::Buffer::new();
        let text = text.format(value);
        length(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
}

/// Appends `value` in one, two or four bytes; false if it needs more.
fn short_integer(out: &mut Vec<u8>, value: i64) -> bool {
    if let Ok(value) = i8::try_from(value) {
        out.extend_from_slice(&[length::INT8, value.to_le_bytes()[0]]);
    } else if let Ok(value) = i16::try_from(value) {
        out.push(length::INT16);
        out.extend_from_slice(&value.to_le_bytes());
    } else if let Ok(value) = i32::try_from(value) {
        out.push(length::INT32);
        out.extend_from_slice(&value.to_le_bytes());
    } else {
        return false;
    }
    true
}

/// Appends `text` compressed; false, with nothing appended, if that saves nothing.
fn compressed(out: &mut Vec<u8>, text: &[u8], effort: Effort) -> bool {
    COMPRESSOR.with_borrow_mut(|compressor| {
        let Some(packed) = compressor.compress(text, effort) else { return false };
        out.push(length::LZF);
        length(out, packed.len() as u64);
        length(out, text.len() as u64);
        out.extend_from_slice(packed);
        true
    })
}

#[cfg(test)]
mod tests;
