//! The values: how many elements each has, without building it.

use std::io::Read;

use super::packed;
use super::reader::{Fault, Form, Reader};
use super::tally::Kind;

/// What there is to know of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    /// How the file writes it: `raw`, `quicklist-v2` …
    pub(super) encoding: &'static str,
    /// Elements, pairs, entries; for a string its bytes.
    pub(super) elements: u64,
}

/// Reads the value of a type.
pub(super) fn read<R: Read>(reader: &mut Reader<R>, value_type: u8) -> Result<Shape, Fault> {
    let (kind, elements) = match value_type {
        0 => {
            let (form, bytes) = reader.skip_string()?;
            return Ok(Shape { kind: Kind::String, encoding: Form::name(form), elements: bytes });
        }
        1 => (Kind::List, strings(reader, 1)?),
        2 => (Kind::Set, strings(reader, 1)?),
        4 => (Kind::Hash, strings(reader, 2)?),
        3 | 5 => (Kind::Zset, scored(reader, value_type)?),
        7 => {
            reader.count()?;
            module(reader)?;
            (Kind::Module, 1)
        }
        9 => (Kind::Hash, blob(reader, packed::zipmap)?),
        10 => (Kind::List, blob(reader, packed::ziplist)?),
        11 => (Kind::Set, blob(reader, packed::intset)?),
        12 => (Kind::Zset, blob(reader, packed::ziplist)? / 2),
        13 => (Kind::Hash, blob(reader, packed::ziplist)? / 2),
        14 | 18 => (Kind::List, quicklist(reader, value_type)?),
        15 | 19 => (Kind::Stream, stream(reader, value_type)?),
        16 => (Kind::Hash, blob(reader, packed::listpack)? / 2),
        17 => (Kind::Zset, blob(reader, packed::listpack)? / 2),
        other => return Err(format!("Invalid object type: {other}")),
    };
    let encoding = tandem_store::rdb::parse::type_name(value_type);
    Ok(Shape { kind, encoding, elements })
}

/// A number of elements, each of so many strings.
fn strings<R: Read>(reader: &mut Reader<R>, each: u64) -> Result<u64, Fault> {
    let count = reader.count()?;
    for _ in 0..count {
        for _ in 0..each {
            reader.skip_string()?;
        }
    }
    Ok(count)
}

/// Members with scores: text in the old type, eight bytes in the new one.
fn scored<R: Read>(reader: &mut Reader<R>, value_type: u8) -> Result<u64, Fault> {
    let count = reader.count()?;
    for _ in 0..count {
        reader.skip_string()?;
        match value_type {
            5 => reader.skip(8)?,
            _ => match reader.byte()? {
                // Not a number, and the two infinities.
                253..=255 => {}
                digits => reader.skip(u64::from(digits))?,
            },
        }
    }
    Ok(count)
}

fn blob<R: Read>(
    reader: &mut Reader<R>,
    count: impl Fn(&[u8]) -> Option<u64>,
) -> Result<u64, Fault> {
    count(&reader.string()?).ok_or_else(|| "a packed value is cut short".to_owned())
}

/// Nodes of ziplists, or of listpacks and single large elements.
fn quicklist<R: Read>(reader: &mut Reader<R>, value_type: u8) -> Result<u64, Fault> {
    const PLAIN: u64 = 1;
    let nodes = reader.count()?;
    let mut elements = 0u64;
    for _ in 0..nodes {
        elements = elements.saturating_add(match value_type {
            14 => blob(reader, packed::ziplist)?,
            _ if reader.count()? == PLAIN => {
                reader.skip_string()?;
                1
            }
            _ => blob(reader, packed::listpack)?,
        });
    }
    Ok(elements)
}

/// Listpacks of entries, then the stream's numbers, then its groups with their consumers.
fn stream<R: Read>(reader: &mut Reader<R>, value_type: u8) -> Result<u64, Fault> {
    const ID_BYTES: u64 = 16;
    const TIME_BYTES: u64 = 8;
    let newer = value_type == 19;
    strings(reader, 2)?;
    let entries = reader.count()?;
    // The last id; in the newer type also the first one, the highest deleted, and a counter.
    for _ in 0..if newer { 7 } else { 2 } {
        reader.count()?;
    }
    for _ in 0..reader.count()? {
        reader.skip_string()?;
        for _ in 0..if newer { 3 } else { 2 } {
            reader.count()?;
        }
        for _ in 0..reader.count()? {
            reader.skip(ID_BYTES + TIME_BYTES)?;
            reader.count()?;
        }
        for _ in 0..reader.count()? {
            reader.skip_string()?;
            reader.skip(TIME_BYTES)?;
            for _ in 0..reader.count()? {
                reader.skip(ID_BYTES)?;
            }
        }
    }
    Ok(entries)
}

/// A module's data after its id: marked values up to an end mark.
pub(super) fn module<R: Read>(reader: &mut Reader<R>) -> Result<(), Fault> {
    loop {
        match reader.count()? {
            0 => return Ok(()),
            1 | 2 => {
                reader.count()?;
            }
            3 => reader.skip(4)?,
            4 => reader.skip(8)?,
            5 => {
                reader.skip_string()?;
            }
            other => return Err(format!("Unknown module opcode {other}")),
        }
    }
}
