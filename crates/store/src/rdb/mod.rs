//! RDB: the one format of snapshots on disk, of full resynchronisation and of DUMP payloads.
//!
//! ```text
//! snapshot ──► write ──► bytes ──► file, replica sockets
//!                │ lzf, crc64
//! file, master's bytes ──► parse ──► events ──► keyspace, check-rdb
//! DUMP, RESTORE ─────────► dump  (one value, with a footer of its own)
//! ```
//! The writer appends to a buffer and the parser is pushed bytes as they arrive, so neither
//! knows whether a file or a socket is at the other end. Strings and hashes are
//! built so far; a further type is one more function on each side (`write`, `parse::value`).
//!
//! No file is opened here, and nothing here knows the keyspace.

pub mod crc64;
pub mod dump;
pub mod lzf;
pub mod parse;
pub mod write;

/// The version that is written.
pub const RDB_VERSION: u16 = 10;

/// The newest version that is read: what Redis 7.2 and Valkey 8 send as masters. It brought further
/// types, and left the form of the older ones as it was; a value of a type that is not known is
/// an error of its own.
pub const NEWEST_READ: u16 = 11;

/// The bytes before an entry, a field or the end that say what follows.
pub(crate) mod opcode {
    pub(crate) const FUNCTION2: u8 = 245;
    pub(crate) const FUNCTION_PRE_GA: u8 = 246;
    pub(crate) const MODULE_AUX: u8 = 247;
    pub(crate) const IDLE: u8 = 248;
    pub(crate) const FREQ: u8 = 249;
    pub(crate) const AUX: u8 = 250;
    pub(crate) const RESIZE_DB: u8 = 251;
    pub(crate) const EXPIRE_MS: u8 = 252;
    pub(crate) const EXPIRE_SECONDS: u8 = 253;
    pub(crate) const SELECT_DB: u8 = 254;
    pub(crate) const EOF: u8 = 255;
}

/// The bytes that say what a value is, and in which of its forms.
pub(crate) const TYPE_STRING: u8 = 0;
/// Fields and values, each a string.
pub(crate) const TYPE_HASH: u8 = 4;
/// A small hash in one string, as Redis wrote it until 2.4, until 6.2, and since.
pub(crate) const TYPE_HASH_ZIPMAP: u8 = 9;
pub(crate) const TYPE_HASH_ZIPLIST: u8 = 13;
pub(crate) const TYPE_HASH_LISTPACK: u8 = 16;

/// The first byte of a length, or of a string that is not kept as its bytes.
///
/// The two highest bits choose: 00 six bits of length, 01 fourteen, 10 a length of 32 or 64 bits
/// behind the byte, 11 an encoded string.
pub(crate) mod length {
    pub(crate) const BITS_32: u8 = 0x80;
    pub(crate) const BITS_64: u8 = 0x81;
    pub(crate) const INT8: u8 = 0xC0;
    pub(crate) const INT16: u8 = 0xC1;
    pub(crate) const INT32: u8 = 0xC2;
    pub(crate) const LZF: u8 = 0xC3;
}
