//! What can be wrong with an RDB file, in Redis's words, and where.

use std::fmt;

/// The parser's refusal. Nothing after `offset` has been looked at, and the item that it stands
/// in has not been handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdbError {
    /// Bytes that had been read when the fault was seen; for a missing end, where the first
    /// missing piece should begin.
    pub offset: u64,
    /// What is wrong.
    pub cause: Cause,
    /// What was being read.
    pub doing: Doing,
    /// The key whose value was being read.
    pub key: Option<Vec<u8>>,
    /// The type of the value whose key or content was being read.
    pub value_type: Option<u8>,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It does not begin with `REDIS`.
    WrongSignature,
    /// A version that is not read here.
    Version(i32),
    /// It ends too early.
    UnexpectedEof,
    /// The first byte of a length says nothing known; the byte's two highest bits.
    LengthEncoding(u8),
    /// The first byte of a string names no known encoding; the byte's six lowest bits.
    StringEncoding(u8),
    /// A compressed string cannot be restored.
    Lzf,
    /// A byte that is no type of Redis 7.0.
    UnknownType(u8),
    /// A type of Redis 7.0 that is not built here yet.
    UnsupportedType(u8),
    /// A module's field is not laid out as modules do it.
    ModuleWhen,
    /// The checksum does not fit the content.
    Checksum {
        /// What the content gives.
        expected: u64,
        /// What the file says.
        got: u64,
    },
    /// A value in one string is not laid out as its type says, or says something twice.
    Corrupt(&'static str),
    /// The one who takes the events refuses what the file says.
    Refused(String),
}

/// What the parser was reading; `redis-check-rdb` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// The magic word and the version.
    Start,
    /// The byte that says what follows.
    ReadType,
    /// An expiry.
    ReadExpire,
    /// A key.
    ReadKey,
    /// A value.
    ReadValue,
    /// The checksum at the end.
    CheckSum,
    /// A number of a database, of keys.
    ReadLen,
    /// An auxiliary field.
    ReadAux,
    /// A module's auxiliary field.
    ReadModuleAux,
    /// A library of functions.
    ReadFunctions,
}

impl Doing {
    /// The name that `redis-check-rdb` prints.
    pub fn name(self) -> &'static str {
        match self {
            Doing::Start => "start",
            Doing::ReadType => "read-type",
            Doing::ReadExpire => "read-expire",
            Doing::ReadKey => "read-key",
            Doing::ReadValue => "read-object-value",
            Doing::CheckSum => "check-sum",
            Doing::ReadLen => "read-len",
            Doing::ReadAux => "read-aux",
            Doing::ReadModuleAux => "read-module-aux",
            Doing::ReadFunctions => "read-functions",
        }
    }
}

/// The name of a value type as `redis-check-rdb` prints it.
pub fn type_name(value_type: u8) -> &'static str {
    const NAMES: [&str; 22] = [
        "string",
        "list-linked",
        "set-hashtable",
        "zset-v1",
        "hash-hashtable",
        "zset-v2",
        "module-value",
        "module-value-v2",
        "",
        "hash-zipmap",
        "list-ziplist",
        "set-intset",
        "zset-ziplist",
        "hash-ziplist",
        "quicklist",
        "stream",
        "hash-listpack",
        "zset-listpack",
        "quicklist-v2",
        "stream-v2",
        "set-listpack",
        "stream-v3",
    ];
    NAMES.get(usize::from(value_type)).copied().unwrap_or("unknown")
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::WrongSignature => f.write_str("Wrong signature trying to load DB from file"),
            Cause::Version(version) => write!(f, "Can't handle RDB format version {version}"),
            Cause::UnexpectedEof => f.write_str("Unexpected EOF reading RDB file"),
            Cause::LengthEncoding(bits) => {
                write!(f, "Unknown length encoding {bits} in rdbLoadLen()")
            }
            Cause::StringEncoding(bits) => write!(f, "Unknown RDB string encoding type {bits}"),
            Cause::Lzf => f.write_str("Invalid LZF compressed string"),
            Cause::UnknownType(kind) => write!(f, "Unknown RDB encoding type {kind}"),
            Cause::UnsupportedType(kind) => {
                write!(f, "RDB encoding type {kind} ({}) is not supported", type_name(*kind))
            }
            Cause::ModuleWhen => f.write_str("bad when_opcode"),
            Cause::Checksum { .. } => f.write_str("RDB CRC error"),
            Cause::Corrupt(why) => f.write_str(why),
            Cause::Refused(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for RdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            // Redis logs these bare.
            Cause::WrongSignature | Cause::Version(_) => self.cause.fmt(f),
            cause => write!(f, "Internal error in RDB reading offset {} -> {cause}", self.offset),
        }
    }
}

impl std::error::Error for RdbError {}
