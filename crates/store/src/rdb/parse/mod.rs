//! The parser: is pushed bytes, gives events. One for files, for full resynchronisation to disk
//! and without one.
//!
//! ```text
//! feed ─┬─► a big value is being gathered ──────────► its own memory, grows as bytes come
//!       ├─► `carry` holds an item's beginning ─► top up, parse there, drop it
//!       └─► else: parse straight in the input ─► events with slices of the input
//! ```
//! The unit is the *item*: an opcode with what belongs to it, or a key with its value. An item is
//! parsed when all of it is at hand and started again from its first byte when it is not, so no
//! state is kept inside one, and every cut of the input gives the same events. `wants` says from
//! how many bytes on another attempt is worth it; that keeps the work linear. What could be large
//! and has many parts must not be one item: a module's data is a step of its own (`module_part`),
//! and so are the fields of a large hash (`field`) and the parts of values that are not built
//! (`others`).
//!
//! The checksum runs behind the items, in pieces that are still in the cache.

mod blob;
mod cursor;
mod error;
mod event;
mod items;
mod others;
mod value;

pub use error::{Cause, Doing, RdbError, type_name};
pub use event::{Checksum, Entry, Event, Sink, Value};
pub use value::StringValue;

pub(crate) use blob::{
    check_length as check_blob_length, hash as hash_blob, is_hash as is_hash_blob,
};
pub(crate) use cursor::Cursor;
pub(crate) use value::{check_built, string_alone, text, text_of};

use tandem_base::UnixMs;

use super::NEWEST_READ;
use super::crc64::Crc64;
use cursor::Stop;
use others::Passing;

/// Bytes summed at once: few calls, and what was parsed is still in the cache.
const SUM_BYTES: usize = 16 * 1024;
/// The least that is added to an item's beginning from the next input.
const TOP_UP_BYTES: usize = 256;
/// Room in `carry` above this is given back when it is empty.
const CARRY_KEPT_BYTES: usize = 1 << 20;

/// What a parser accepts.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether the checksum at the end is compared.
    pub check_sum: bool,
    /// The newest version that is read.
    pub newest_version: u16,
    /// Whether values of types that are not built are passed over, each told as
    /// [`Event::Passed`]; else the first ends the parse.
    pub pass_others: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { check_sum: true, newest_version: NEWEST_READ, pass_others: false }
    }
}

/// How far one call of [`Parser::feed`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// All input was taken; the file goes on.
    Wants,
    /// The file has ended; so many bytes of this input belonged to it.
    Done {
        /// The bytes taken from this input.
        used: usize,
    },
}

/// Where in the file the next item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Header,
    Opcode,
    /// Fields of a hash.
    Fields {
        left: u64,
    },
    Module,
    /// A value that is not built.
    Pass,
    Sum,
    Done,
    /// An error has been told; [`Parser::failed`] is what it was.
    Failed,
}

/// What opcodes said about the next entry.
#[derive(Clone, Copy, Debug, Default)]
struct Attributes {
    expiry: Option<UnixMs>,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
}

impl Attributes {
    /// The event of a value in one piece.
    fn entry<'a>(self, key: &'a [u8], value: Value<'a>) -> Event<'a> {
        match value {
            Value::Hash { list: [], .. } => Event::EmptyKey(key),
            value => Event::Entry(self.with(key, value)),
        }
    }

    fn with<V>(self, key: &[u8], value: V) -> Entry<'_, V> {
        let Attributes { expiry, idle_seconds, frequency } = self;
        Entry { key, value, expiry, idle_seconds, frequency }
    }
}

/// A value that came in pieces and is too big for `carry`.
#[derive(Debug)]
struct Gather {
    value_type: u8,
    key: Vec<u8>,
    bytes: Vec<u8>,
    /// Bytes still to come.
    left: usize,
    /// The length behind the compression, if there is one.
    unpacked: Option<usize>,
    /// Where the value's bytes begin.
    from: u64,
}

/// Memory that is used again for each key and value that is not a slice of the input.
#[derive(Debug, Default)]
struct Scratch {
    key: Vec<u8>,
    value: Vec<u8>,
    list: Vec<u8>,
}

/// Reads one RDB file from any pieces.
#[derive(Debug)]
pub struct Parser {
    options: Options,
    step: Step,
    version: u16,
    /// Bytes in whole items so far (and of a value being gathered).
    offset: u64,
    carry: Vec<u8>,
    wants: usize,
    gather: Option<Box<Gather>>,
    attributes: Attributes,
    scratch: Scratch,
    crc: Crc64,
    doing: Doing,
    value_type: u8,
    failed_key: Option<Vec<u8>>,
    failed: Option<Box<RdbError>>,
    /// The key whose value is being read in parts: a hash's fields, or what is passed over.
    parts_key: Vec<u8>,
    /// The value that is being passed over.
    passing: Passing,
}

impl Parser {
    /// A parser before the first byte.
    pub fn new(options: Options) -> Parser {
        Parser {
            options,
            step: Step::Header,
            version: 0,
            offset: 0,
            carry: Vec::new(),
            wants: 0,
            gather: None,
            attributes: Attributes::default(),
            scratch: Scratch::default(),
            crc: Crc64::new(),
            doing: Doing::Start,
            value_type: 0,
            failed_key: None,
            failed: None,
            parts_key: Vec::new(),
            passing: Passing::default(),
        }
    }

    /// Takes the next bytes. After [`Fed::Done`] the parser takes nothing more; after an error it
    /// says the same error again.
    pub fn feed(&mut self, input: &[u8], sink: &mut impl Sink) -> Result<Fed, RdbError> {
        let mut rest = input;
        loop {
            if self.step == Step::Done {
                return Ok(Fed::Done { used: input.len() - rest.len() });
            }
            self.check_not_failed()?;
            if rest.is_empty() {
                return Ok(Fed::Wants);
            }
            if self.gather.is_some() {
                rest = self.gather_from(rest, sink)?;
            } else if !self.carry.is_empty() {
                rest = self.parse_carry(rest, sink)?;
            } else {
                let used = self.parse_items(rest, sink)?;
                rest = &rest[used..];
                if self.step != Step::Done && self.gather.is_none() {
                    self.carry.extend_from_slice(rest);
                    rest = &[];
                }
            }
        }
    }

    fn check_not_failed(&self) -> Result<(), RdbError> {
        match &self.failed {
            Some(error) => Err((**error).clone()),
            None => Ok(()),
        }
    }

    /// Says that the input has ended: an error unless the file has. That of an earlier error is
    /// the same again.
    pub fn finish(&mut self) -> Result<(), RdbError> {
        if self.step == Step::Done {
            return Ok(());
        }
        self.check_not_failed()?;
        let mut at = 0;
        if let Some(gather) = self.gather.take() {
            // The missing piece is the value as a whole.
            at = gather.from;
            self.failed_key = Some(gather.key);
        } else {
            // One more attempt, to learn which part is missing. It cannot tell anything: what is
            // in `carry` is the beginning of an item and no more.
            let carry = std::mem::take(&mut self.carry);
            let mut nobody = |_: Event<'_>, _: u64| Ok(());
            if let Err(Stop::Short { at: missing, .. }) =
                self.item(&mut Cursor::new(&carry), &mut nobody)
            {
                at = self.offset + missing as u64;
            }
        }
        Err(self.error(Cause::UnexpectedEof, at))
    }

    /// Whether the end of the file has been seen; never after an error.
    pub fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// Bytes of the file that are in events already handed out, or in a value under way.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Adds to the item's beginning in `carry` until it can be parsed; gives what is left over.
    fn parse_carry<'i>(
        &mut self,
        rest: &'i [u8],
        sink: &mut impl Sink,
    ) -> Result<&'i [u8], RdbError> {
        let held = self.carry.len();
        let more = self.wants.saturating_sub(held).max(TOP_UP_BYTES).min(rest.len());
        // What has arrived doubles at most, whatever a length claims.
        self.carry.extend_from_slice(&rest[..more]);
        if self.carry.len() < self.wants {
            return Ok(&rest[more..]);
        }
        let mut carry = std::mem::take(&mut self.carry);
        let used = self.parse_items(&carry, sink)?;
        if used > held {
            // What was added beyond the items is parsed again, in its own place.
            carry.clear();
            carry.shrink_to(CARRY_KEPT_BYTES);
            self.carry = carry;
            return Ok(&rest[used - held..]);
        }
        carry.drain(..used);
        self.carry = carry;
        Ok(&rest[more..])
    }

    /// Parses the items that are all in `bytes`; gives how many bytes they have.
    fn parse_items(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize, RdbError> {
        let mut used = 0;
        let mut summed = 0;
        while self.step != Step::Done && self.gather.is_none() {
            let mut cursor = Cursor::new(&bytes[used..]);
            match self.item(&mut cursor, sink) {
                Ok(()) => {
                    used += cursor.at();
                    self.offset += cursor.at() as u64;
                }
                Err(Stop::Short { need, .. }) => {
                    self.wants = need;
                    break;
                }
                Err(Stop::Bad(cause)) => {
                    let at = self.offset + cursor.at() as u64;
                    return Err(self.error(*cause, at));
                }
            }
            if used - summed >= SUM_BYTES || self.step == Step::Sum {
                self.sum(&bytes[summed..used]);
                summed = used;
            }
        }
        self.sum(&bytes[summed..used]);
        Ok(used)
    }

    fn sum(&mut self, bytes: &[u8]) {
        if self.options.check_sum && !bytes.is_empty() {
            self.crc.update(bytes);
        }
    }

    /// Adds to a value under way; gives what is left over. Its memory grows with what has
    /// arrived: by doubling, up to the claimed length.
    fn gather_from<'i>(
        &mut self,
        rest: &'i [u8],
        sink: &mut impl Sink,
    ) -> Result<&'i [u8], RdbError> {
        let gather = self.gather.as_mut().expect("asked for by its caller");
        let (piece, rest) = rest.split_at(gather.left.min(rest.len()));
        gather.add(piece);
        let complete = gather.left == 0;
        self.offset += piece.len() as u64;
        for part in piece.chunks(SUM_BYTES) {
            self.sum(part);
        }
        if complete {
            let gather = *self.gather.take().expect("seen just above");
            self.emit_gathered(gather, sink)?;
        }
        Ok(rest)
    }

    fn emit_gathered(&mut self, gather: Gather, sink: &mut impl Sink) -> Result<(), RdbError> {
        let value = match gather.unpacked {
            None => Ok(gather.bytes),
            Some(length) => value::unpacked(&gather.bytes, length),
        };
        let attributes = std::mem::take(&mut self.attributes);
        let taken = value.and_then(|value| {
            let value = if blob::is_hash(gather.value_type) {
                blob::hash(gather.value_type, &value, &mut self.scratch.list)?
            } else {
                Value::String(StringValue::Owned(value))
            };
            let event = attributes.entry(&gather.key, value);
            sink.take(event, self.offset).map_err(Cause::Refused)
        });
        taken.map_err(|cause| {
            self.failed_key = Some(gather.key);
            self.error(cause, self.offset)
        })
    }

    /// The error, with what was being read. The parser takes nothing more.
    #[cold]
    fn error(&mut self, cause: Cause, offset: u64) -> RdbError {
        let in_entry = matches!(self.doing, Doing::ReadKey | Doing::ReadValue);
        let in_value = self.doing == Doing::ReadValue;
        self.step = Step::Failed;
        let error = RdbError {
            offset,
            cause,
            doing: self.doing,
            key: self.failed_key.take().filter(|_| in_value),
            value_type: in_entry.then_some(self.value_type),
        };
        self.failed = Some(Box::new(error.clone()));
        error
    }
}

impl Gather {
    fn add(&mut self, piece: &[u8]) {
        assert!(piece.len() <= self.left, "a piece runs over the value's end");
        if self.bytes.capacity() - self.bytes.len() < piece.len() {
            let room = self.bytes.len().max(piece.len()).min(self.left);
            self.bytes.reserve_exact(room);
        }
        self.bytes.extend_from_slice(piece);
        self.left -= piece.len();
    }
}

#[cfg(test)]
mod tests;
