//! The items: each method reads one and tells of it, or changes nothing.

use tandem_base::UnixMs;

use super::cursor::{Cursor, Form, Stop};
use super::error::{Cause, Doing};
use super::event::{Checksum, Event, Sink, Value};
use super::others::{self, Passing};
use super::value::{self, BIG_BYTES};
use super::{Gather, Parser, Step, blob};
use crate::rdb::{TYPE_HASH, opcode};

/// Parts of a module's data.
mod part {
    pub(super) const END: u64 = 0;
    pub(super) const SIGNED: u64 = 1;
    pub(super) const UNSIGNED: u64 = 2;
    pub(super) const FLOAT: u64 = 3;
    pub(super) const DOUBLE: u64 = 4;
    pub(super) const STRING: u64 = 5;
}

/// From this version on a checksum stands at the end.
const SUM_SINCE: u16 = 5;

/// Tells `sink`, whose refusal ends the parse.
#[inline]
fn tell(sink: &mut impl Sink, event: Event<'_>, end: u64) -> Result<(), Stop> {
    sink.take(event, end).map_err(|why| Cause::Refused(why).into())
}

impl Parser {
    /// Reads the next item.
    #[inline]
    pub(super) fn item(
        &mut self,
        cursor: &mut Cursor<'_>,
        sink: &mut impl Sink,
    ) -> Result<(), Stop> {
        match self.step {
            Step::Opcode => self.opcode(cursor, sink),
            Step::Fields { left } => self.field(left, cursor, sink),
            Step::Header => self.header(cursor, sink),
            Step::Module => {
                if !module_part(cursor)? {
                    self.step = Step::Opcode;
                }
                Ok(())
            }
            Step::Pass => self.pass(cursor, sink),
            Step::Sum => self.check_sum(cursor, sink),
            Step::Done | Step::Failed => unreachable!("nothing is read after the end"),
        }
    }

    /// The offset behind what `cursor` has read.
    fn end(&self, cursor: &Cursor<'_>) -> u64 {
        self.offset + cursor.at() as u64
    }

    fn header(&mut self, cursor: &mut Cursor<'_>, sink: &mut impl Sink) -> Result<(), Stop> {
        let header = cursor.take(9)?;
        let Some(digits) = header.strip_prefix(b"REDIS") else {
            return Err(Cause::WrongSignature.into());
        };
        let version = leading_number(digits);
        match u16::try_from(version) {
            Ok(known) if (1..=self.options.newest_version).contains(&known) => {
                tell(sink, Event::Version(known), self.end(cursor))?;
                self.version = known;
                self.step = Step::Opcode;
                Ok(())
            }
            _ => Err(Cause::Version(version).into()),
        }
    }

    #[inline]
    fn opcode(&mut self, cursor: &mut Cursor<'_>, sink: &mut impl Sink) -> Result<(), Stop> {
        self.doing = Doing::ReadType;
        match cursor.byte()? {
            value_type @ 0..=0x7f => self.entry(value_type, cursor, sink),
            opcode::EXPIRE_MS => {
                self.doing = Doing::ReadExpire;
                let at = i64::from_le_bytes(cursor.array()?);
                // Redis's own mark for "none".
                self.attributes.expiry = (at != -1).then_some(UnixMs(at));
                Ok(())
            }
            opcode => self.rare_opcode(opcode, cursor, sink),
        }
    }

    fn rare_opcode(
        &mut self,
        opcode: u8,
        cursor: &mut Cursor<'_>,
        sink: &mut impl Sink,
    ) -> Result<(), Stop> {
        match opcode {
            opcode::EXPIRE_SECONDS => {
                self.doing = Doing::ReadExpire;
                let seconds = i32::from_le_bytes(cursor.array()?);
                self.attributes.expiry = Some(UnixMs(i64::from(seconds) * 1000));
            }
            opcode::IDLE => self.attributes.idle_seconds = Some(cursor.length()?),
            opcode::FREQ => self.attributes.frequency = Some(cursor.byte()?),
            opcode::SELECT_DB => {
                self.doing = Doing::ReadLen;
                let db = cursor.length()?;
                tell(sink, Event::SelectDb(db), self.end(cursor))?;
            }
            opcode::RESIZE_DB => {
                self.doing = Doing::ReadLen;
                let (keys, expires) = (cursor.length()?, cursor.length()?);
                tell(sink, Event::ResizeDb { keys, expires }, self.end(cursor))?;
            }
            opcode::AUX => {
                self.doing = Doing::ReadAux;
                let key = value::text(cursor, &mut self.scratch.key)?;
                let value = value::text(cursor, &mut self.scratch.value)?;
                let end = self.offset + cursor.at() as u64;
                tell(sink, Event::Aux { key, value }, end)?;
            }
            opcode::FUNCTION2 => {
                self.doing = Doing::ReadFunctions;
                let library = value::text(cursor, &mut self.scratch.value)?;
                tell(sink, Event::Function(library), self.offset + cursor.at() as u64)?;
            }
            opcode::FUNCTION_PRE_GA => {
                self.doing = Doing::ReadFunctions;
                let library = old_function(cursor)?;
                tell(sink, Event::Function(&library), self.end(cursor))?;
            }
            opcode::MODULE_AUX => {
                self.doing = Doing::ReadModuleAux;
                let (id, when, _) = (cursor.length()?, cursor.length()?, cursor.length()?);
                if when != part::UNSIGNED {
                    return Err(Cause::ModuleWhen.into());
                }
                tell(sink, Event::ModuleAux(module_name(id)), self.end(cursor))?;
                self.step = Step::Module;
            }
            opcode::EOF => return self.end_of_file(cursor, sink),
            unknown => return Err(Cause::UnknownType(unknown).into()),
        }
        Ok(())
    }

    /// A key and its value.
    #[inline]
    fn entry(
        &mut self,
        value_type: u8,
        cursor: &mut Cursor<'_>,
        sink: &mut impl Sink,
    ) -> Result<(), Stop> {
        let others =
            if self.options.pass_others { others::parts(value_type, self.version) } else { None };
        if others.is_none() {
            value::check_known(value_type)?;
        }
        self.value_type = value_type;
        self.doing = Doing::ReadKey;
        let key = value::text(cursor, &mut self.scratch.key)?;
        self.doing = Doing::ReadValue;
        if let Some(parts) = others {
            self.parts_key = key.to_vec();
            self.passing = Passing::of(parts);
            self.step = Step::Pass;
            return Ok(());
        }
        let mut read = || {
            value::check_built(value_type)?;
            let event = if value_type == TYPE_HASH {
                match cursor.length()? {
                    0 => Event::EmptyKey(key),
                    left => {
                        self.step = Step::Fields { left };
                        Event::BeginHash(self.attributes.with(key, left))
                    }
                }
            } else {
                let form = cursor.form()?;
                if blob::is_hash(value_type) {
                    blob::check_length(value_type, form)?;
                }
                if let Some(gather) = start_gather(value_type, key, form, cursor, self.offset) {
                    self.gather = Some(Box::new(gather));
                    return Ok(());
                }
                let value = if blob::is_hash(value_type) {
                    let bytes = value::text_of(cursor, form, &mut self.scratch.value)?;
                    blob::hash(value_type, bytes, &mut self.scratch.list)?
                } else {
                    Value::String(value::string(cursor, form, &mut self.scratch.value)?)
                };
                self.attributes.entry(key, value)
            };
            let begins_hash = matches!(event, Event::BeginHash(_));
            tell(sink, event, self.offset + cursor.at() as u64)?;
            self.attributes = super::Attributes::default();
            if begins_hash {
                self.parts_key = key.to_vec();
            }
            Ok(())
        };
        let result = read();
        if result.is_err() {
            self.failed_key = Some(key.to_vec());
        }
        result
    }

    /// A field of a hash and its value; the last ends the hash.
    fn field(
        &mut self,
        left: u64,
        cursor: &mut Cursor<'_>,
        sink: &mut impl Sink,
    ) -> Result<(), Stop> {
        self.doing = Doing::ReadValue;
        let mut read = || {
            let field = value::text(cursor, &mut self.scratch.key)?;
            let form = cursor.form()?;
            let value = value::string(cursor, form, &mut self.scratch.value)?;
            let end = self.offset + cursor.at() as u64;
            tell(sink, Event::Field(field, value), end)?;
            self.step = Step::Fields { left: left - 1 };
            if left == 1 {
                tell(sink, Event::EndHash, end)?;
                self.step = Step::Opcode;
            }
            Ok(())
        };
        let result = read();
        if result.is_err() {
            self.failed_key = Some(self.parts_key.clone());
        }
        result
    }

    /// A part of a value that is passed over.
    fn pass(&mut self, cursor: &mut Cursor<'_>, sink: &mut impl Sink) -> Result<(), Stop> {
        self.doing = Doing::ReadValue;
        let read = self.passing.part(cursor, &mut self.scratch.value);
        let result = read.and_then(|was_last| {
            if was_last {
                let entry = self.attributes.with(&self.parts_key, self.value_type);
                tell(sink, Event::Passed(entry), self.offset + cursor.at() as u64)?;
                self.attributes = super::Attributes::default();
                self.step = Step::Opcode;
            }
            Ok(())
        });
        if result.is_err() {
            self.failed_key = Some(self.parts_key.clone());
        }
        result
    }

    fn end_of_file(&mut self, cursor: &mut Cursor<'_>, sink: &mut impl Sink) -> Result<(), Stop> {
        if self.version >= SUM_SINCE {
            self.step = Step::Sum;
            return Ok(());
        }
        tell(sink, Event::Eof(Checksum::None), self.end(cursor))?;
        self.step = Step::Done;
        Ok(())
    }

    fn check_sum(&mut self, cursor: &mut Cursor<'_>, sink: &mut impl Sink) -> Result<(), Stop> {
        self.doing = Doing::CheckSum;
        let got = u64::from_le_bytes(cursor.array()?);
        let checksum = match got {
            _ if !self.options.check_sum => Checksum::NotAsked,
            0 => Checksum::Disabled,
            _ => {
                let expected = self.crc.value();
                if got != expected {
                    return Err(Cause::Checksum { expected, got }.into());
                }
                Checksum::Good
            }
        };
        tell(sink, Event::Eof(checksum), self.end(cursor))?;
        self.step = Step::Done;
        Ok(())
    }
}

/// Begins to gather a big value of which not all is at hand, and takes what is.
#[inline]
fn start_gather(
    value_type: u8,
    key: &[u8],
    form: Form,
    cursor: &mut Cursor<'_>,
    offset: u64,
) -> Option<Gather> {
    let (left, unpacked) = match form {
        Form::Plain(length) => (length, None),
        Form::Lzf { packed, length } => (packed, Some(length)),
        Form::Int(_) => return None,
    };
    if left < BIG_BYTES || left <= cursor.left() {
        return None;
    }
    let from = offset + cursor.at() as u64;
    let key = key.to_vec();
    let mut gather = Gather { value_type, key, bytes: Vec::new(), left, unpacked, from };
    gather.add(cursor.take_rest());
    Some(gather)
}

/// Passes over one part of a module's data; says whether another follows. A part of an unknown
/// kind has no content, as in Redis.
pub(super) fn module_part(cursor: &mut Cursor<'_>) -> Result<bool, Stop> {
    match cursor.length()? {
        part::END => return Ok(false),
        part::SIGNED | part::UNSIGNED => drop(cursor.length()?),
        part::FLOAT => drop(cursor.take(4)?),
        part::DOUBLE => drop(cursor.take(8)?),
        part::STRING => value::skip(cursor)?,
        _ => {}
    }
    Ok(true)
}

/// A library as the candidates of 7.0 wrote it, turned into what 7.0 writes.
fn old_function(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, Stop> {
    let (mut name, mut engine, mut code) = (Vec::new(), Vec::new(), Vec::new());
    let name = value::text(cursor, &mut name)?;
    let engine = value::text(cursor, &mut engine)?;
    if cursor.length()? != 0 {
        value::skip(cursor)?;
    }
    let code = value::text(cursor, &mut code)?;
    Ok([b"#!", engine, b" name=", name, b"\n", code].concat())
}

/// The nine letters that a module's type is known by, from the 54 highest bits of its id.
fn module_name(id: u64) -> [u8; 9] {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::array::from_fn(|place| LETTERS[(id >> (10 + 6 * (8 - place)) & 63) as usize])
}

/// The number that a text begins with, as C's `atoi` reads it; 0 if there is none.
fn leading_number(text: &[u8]) -> i32 {
    let text = text.trim_ascii_start();
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    let value = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0i32, |value, byte| value.saturating_mul(10).saturating_add(i32::from(byte - b'0')));
    sign * value
}
