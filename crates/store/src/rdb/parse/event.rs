//! What the parser tells, and whom.

use tandem_base::UnixMs;

use super::value::StringValue;

/// One thing that a file says. Slices live until [`Sink::take`] returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The format's version; always first.
    Version(u16),
    /// An auxiliary field; unknown ones are to be ignored.
    Aux {
        /// Its name.
        key: &'a [u8],
        /// Its value; numbers as decimal text.
        value: &'a [u8],
    },
    /// The entries that follow belong to this database. Any number may come.
    SelectDb(u64),
    /// A hint, to be trusted with care: what the selected database will hold.
    ResizeDb {
        /// Keys in all.
        keys: u64,
        /// Keys with an expiry.
        expires: u64,
    },
    /// A key and its value.
    Entry(Entry<'a>),
    /// A key and how many fields its hash has; they follow as events of their own. That many may
    /// have been claimed, no more.
    BeginHash(Entry<'a, u64>),
    /// A field of the hash that has begun, and its value.
    Field(&'a [u8], StringValue<'a>),
    /// All its fields have been told.
    EndHash,
    /// A key whose collection has no elements: there is nothing to keep.
    EmptyKey(&'a [u8]),
    /// A key whose value was passed over: its type.
    Passed(Entry<'a, u8>),
    /// The source text of a library of functions.
    Function(&'a [u8]),
    /// A module's data, of which only the module's type name is handed out.
    ModuleAux([u8; 9]),
    /// The end. Bytes that follow are not the file's.
    Eof(Checksum),
}

/// A value that is told in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string.
    String(StringValue<'a>),
    /// A small hash as a list, which has been checked: whole pairs, each field once.
    Hash {
        /// The list, as the keyspace keeps it; in the parser's scratch memory: copy it.
        list: &'a [u8],
        /// Whether its texts may be longer than a listpack of ours should hold: a zipmap's.
        long_texts: bool,
    },
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a, V = Value<'a>> {
    /// The key.
    pub key: &'a [u8],
    /// Its value.
    pub value: V,
    /// When it ceases to be; may be long ago.
    pub expiry: Option<UnixMs>,
    /// For how many seconds nobody had used it.
    pub idle_seconds: Option<u64>,
    /// Its logarithmic counter of uses.
    pub frequency: Option<u8>,
}

/// What became of the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It fits.
    Good,
    /// The writer had checksums switched off.
    Disabled,
    /// We were told not to look.
    NotAsked,
    /// Versions before 5 have none.
    None,
}

/// Takes the events.
pub trait Sink {
    /// Takes the next event; `end` is the offset behind it. A refusal ends the parse with
    /// [`Cause::Refused`](super::Cause::Refused).
    fn take(&mut self, event: Event<'_>, end: u64) -> Result<(), String>;
}

impl<F: FnMut(Event<'_>, u64) -> Result<(), String>> Sink for F {
    fn take(&mut self, event: Event<'_>, end: u64) -> Result<(), String> {
        self(event, end)
    }
}
