//! Values of types that are not built: passed over part by part, so that a whole file can be
//! looked over.
//!
//! What follows a type byte and its key is a row of parts; a part may be a number and so many
//! rows again. A [`Passing`] is where we are among them. Each part is an item of the parser: a
//! text or a packed value is the largest of them.
//!
//! ```text
//! stream   many( id · listpack ) · numbers · many( group )
//! group    name · numbers · many( id, time · number ) · many( consumer )
//! consumer name · times · many( id )
//! ```
//! Checked are lengths, compressed texts, and packed values as such. Absent: what only the owner
//! of a type could know, as whether a set's members differ or a score is a number.

use super::blob;
use super::cursor::{Cursor, Stop};
use super::error::Cause;
use super::items;
use super::value;
use crate::listpack::check;
use crate::rdb::NEWEST_READ;

/// A piece of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Any string.
    Text,
    /// So many bytes: an id, a time, a score.
    Bytes(usize),
    /// So many lengths that are numbers.
    Numbers(usize),
    /// A score as text, or as a mark for one that has none.
    OldScore,
    /// Many elements in one string, and the words for one that is not what it should be.
    Packed(Pack, &'static str),
    /// A node of a quicklist: one element, or a listpack of them.
    Node,
    /// A module's data up to its end mark.
    Module,
    /// A number, and so many times these.
    Many(&'static [Part]),
}

/// Elements in one string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pack {
    Intset,
    Listpack,
    Ziplist,
}

use Part::{Bytes, Many, Module, Node, Numbers, OldScore, Packed, Text};

const ID: Part = Bytes(16);
const TIME_BYTES: usize = 8;

/// What nobody has acknowledged: id, time of delivery, how often it was delivered.
const PENDING: Part = Many(&[ID, Bytes(TIME_BYTES), Numbers(1)]);
const CONSUMERS: Part = Many(&[Text, Bytes(TIME_BYTES), Many(&[ID])]);
/// With the time when each was active besides that when it was seen.
const CONSUMERS_3: Part = Many(&[Text, Bytes(2 * TIME_BYTES), Many(&[ID])]);
const ENTRIES: Part =
    Many(&[Text, Packed(Pack::Listpack, "Stream listpack integrity check failed.")]);
/// How many entries, and the last id.
const COUNTS: Part = Numbers(3);
/// Also the first id, the highest deleted one, and how many entries there ever were.
const COUNTS_2: Part = Numbers(8);

/// What a value of a type consists of, if it is one that is passed over: all types of Redis 7.0
/// that are not built, and in files of version 11 those that came with it.
pub(super) fn parts(value_type: u8, version: u16) -> Option<&'static [Part]> {
    Some(match value_type {
        1 | 2 => &[Many(&[Text])],
        3 => &[Many(&[Text, OldScore])],
        5 => &[Many(&[Text, Bytes(8)])],
        7 => &[Numbers(1), Module],
        10 => &[Packed(Pack::Ziplist, "List ziplist integrity check failed.")],
        11 => &[Packed(Pack::Intset, "Intset integrity check failed.")],
        12 => &[Packed(Pack::Ziplist, "Zset ziplist integrity check failed.")],
        14 => &[Many(&[Packed(Pack::Ziplist, "Ziplist integrity check failed.")])],
        15 => &[ENTRIES, COUNTS, Many(&[Text, Numbers(2), PENDING, CONSUMERS])],
        17 => &[Packed(Pack::Listpack, "Zset listpack integrity check failed.")],
        18 => &[Many(&[Node])],
        19 => &[ENTRIES, COUNTS_2, Many(&[Text, Numbers(3), PENDING, CONSUMERS])],
        20 if version >= NEWEST_READ => {
            &[Packed(Pack::Listpack, "Set listpack integrity check failed.")]
        }
        21 if version >= NEWEST_READ => {
            &[ENTRIES, COUNTS_2, Many(&[Text, Numbers(3), PENDING, CONSUMERS_3])]
        }
        _ => return None,
    })
}

/// A row of parts, and how often it is still to come.
#[derive(Clone, Copy, Debug)]
struct Row {
    parts: &'static [Part],
    at: usize,
    left: u64,
}

/// A value being passed over: the rows that we are in, the innermost last.
#[derive(Clone, Debug, Default)]
pub(super) struct Passing {
    rows: Vec<Row>,
}

impl Passing {
    /// Before the first part.
    pub(super) fn of(parts: &'static [Part]) -> Passing {
        Passing { rows: vec![Row { parts, at: 0, left: 1 }] }
    }

    /// Reads the next part, or changes nothing; says whether it was the last.
    pub(super) fn part(
        &mut self,
        cursor: &mut Cursor<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<bool, Stop> {
        let row = self.rows.last_mut().expect("a value has parts until the last has been read");
        let part = row.parts[row.at];
        let again = match part {
            Many(parts) => {
                let left = cursor.length()?;
                row.at += 1;
                self.rows.push(Row { parts, at: 0, left });
                return Ok(self.settle());
            }
            Module => items::module_part(cursor)?,
            _ => {
                read(part, cursor, scratch)?;
                false
            }
        };
        row.at += usize::from(!again);
        Ok(self.settle())
    }

    /// Leaves the rows that have ended; says whether all have.
    fn settle(&mut self) -> bool {
        while let Some(row) = self.rows.last_mut() {
            if row.at == row.parts.len() {
                row.at = 0;
                row.left -= 1;
            }
            if row.left > 0 {
                return false;
            }
            self.rows.pop();
        }
        true
    }
}

/// Reads a part that has no parts of its own.
fn read(part: Part, cursor: &mut Cursor<'_>, scratch: &mut Vec<u8>) -> Result<(), Stop> {
    match part {
        Text => drop(value::text(cursor, scratch)?),
        Bytes(count) => drop(cursor.take(count)?),
        Numbers(count) => {
            for _ in 0..count {
                cursor.length()?;
            }
        }
        OldScore => match cursor.byte()? {
            // Not a number, and the two infinities.
            253..=255 => {}
            digits => drop(cursor.take(usize::from(digits))?),
        },
        Packed(pack, why) => check_pack(pack, value::text(cursor, scratch)?, why)?,
        Node => {
            const PLAIN: u64 = 1;
            const PACKED: u64 = 2;
            let container = cursor.length()?;
            let bytes = match container {
                PLAIN | PACKED => value::text(cursor, scratch)?,
                _ => return Err(Cause::Corrupt("Quicklist integrity check failed.").into()),
            };
            if container == PACKED {
                check_pack(Pack::Listpack, bytes, "Listpack integrity check failed.")?;
            }
        }
        Module | Many(_) => unreachable!("they are read where the rows are kept"),
    }
    Ok(())
}

fn check_pack(pack: Pack, bytes: &[u8], why: &'static str) -> Result<(), Cause> {
    let is_sound = match pack {
        Pack::Intset => is_intset(bytes),
        Pack::Listpack => check::is_listpack(bytes),
        Pack::Ziplist => blob::is_ziplist(bytes),
    };
    if is_sound { Ok(()) } else { Err(Cause::Corrupt(why)) }
}

/// Whether `bytes` are a set of integers: `size u32 · count u32 · integers`, ascending.
fn is_intset(bytes: &[u8]) -> bool {
    let Some((head, body)) = bytes.split_first_chunk::<8>() else { return false };
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (size, count) = (word(0) as usize, word(4) as usize);
    if !matches!(size, 2 | 4 | 8) || count == 0 || body.len() / size != count {
        return false;
    }
    let integer = |bytes: &[u8]| {
        let raw = bytes.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        let unused = 64 - 8 * size;
        (raw << unused) as i64 >> unused
    };
    body.len() % size == 0 && body.chunks_exact(size).map(integer).is_sorted_by(|a, b| a < b)
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Fed, Options, Parser, RdbError};
    use super::*;

    /// The types passed over, and how the parse ended.
    fn told(file: &[u8], piece: usize) -> (Vec<u8>, Result<(), RdbError>) {
        let mut parser = Parser::new(Options { pass_others: true, ..Options::default() });
        let mut types = Vec::new();
        let mut sink = |event: Event<'_>, _: u64| {
            if let Event::Passed(entry) = event {
                assert_eq!(entry.key, b"k");
                types.push(entry.value);
            }
            Ok(())
        };
        for piece in file.chunks(piece) {
            match parser.feed(piece, &mut sink) {
                Ok(Fed::Wants) => {}
                Ok(Fed::Done { .. }) => break,
                Err(error) => return (types, Err(error)),
            }
        }
        let end = parser.finish();
        (types, end)
    }

    fn file(version: &str, items: &[u8]) -> Vec<u8> {
        let end = b"\x00\x01s\x01v\xff\0\0\0\0\0\0\0\0";
        [b"REDIS", version.as_bytes(), items, end].concat()
    }

    const LISTPACK: &[u8] = b"\x09\x09\0\0\0\x01\0\x07\x01\xff";
    const ZIPLIST: &[u8] = b"\x0d\x0d\0\0\0\x0a\0\0\0\x01\0\0\xf2\xff";

    /// A value of each type.
    fn values() -> Vec<(u8, Vec<u8>)> {
        let id = [b'i'; 16];
        let stream = |numbers: usize, group_numbers: usize, times: usize| {
            let entries: [&[u8]; 4] = [b"\x01\x10", &id, LISTPACK, &[3; 8][..numbers]];
            let group: [&[u8]; 2] = [b"\x01\x02gg", &[5; 3][..group_numbers]];
            let pending: [&[u8]; 4] = [b"\x01", &id, b"timetime", b"\x01"];
            let consumer: [&[u8]; 4] = [b"\x01\x01c", &[b't'; 16][..times], b"\x01", &id];
            [entries.concat(), group.concat(), pending.concat(), consumer.concat()].concat()
        };
        vec![
            (1, b"\x02\x01a\xc0\x07".to_vec()),
            (2, b"\x01\xc3\x05\x0d\x00a\xe0\x03\x00".to_vec()),
            (3, b"\x03\x01a\x031.5\x01b\xff\x01c\xfd".to_vec()),
            (5, b"\x01\x01aeightbyt".to_vec()),
            (7, b"\x07\x02\x40\x80\x03abcd\x04abcdefgh\x05\x03abc\x00".to_vec()),
            (10, ZIPLIST.to_vec()),
            (11, b"\x0c\x02\0\0\0\x02\0\0\0\xff\xff\x02\0".to_vec()),
            (12, ZIPLIST.to_vec()),
            (14, [b"\x02", ZIPLIST, ZIPLIST].concat()),
            (15, stream(3, 2, 8)),
            (17, LISTPACK.to_vec()),
            (18, [b"\x02\x01\x01a\x02", LISTPACK].concat()),
            (19, stream(8, 3, 8)),
            (20, LISTPACK.to_vec()),
            (21, stream(8, 3, 16)),
        ]
    }

    #[test]
    fn every_cut_of_every_type_tells_the_same() {
        let items = |value_type: u8, value: &[u8]| [&[value_type][..], b"\x01k", value].concat();
        for (value_type, value) in values() {
            let file = file("0011", &items(value_type, &value));
            for piece in [1, 2, 5, file.len()] {
                assert_eq!(told(&file, piece), (vec![value_type], Ok(())), "{value_type} {piece}");
            }
            // All that is missing is missing.
            for end in 12..12 + value.len() {
                let error = told(&file[..end], end).1.expect_err("it is cut short");
                assert_eq!(error.cause, Cause::UnexpectedEof, "{value_type} {end}");
                assert!(error.offset <= end as u64);
                assert_eq!(
                    (error.key.as_deref(), error.value_type),
                    (Some(&b"k"[..]), Some(value_type))
                );
            }
        }
        let (value_type, value) = &values()[13];
        let error = told(&file("0010", &items(*value_type, value)), 99).1;
        assert_eq!(error.expect_err("it came later").cause, Cause::UnknownType(20));
    }

    #[test]
    fn what_is_packed_is_checked() {
        for (value_type, value, why) in [
            (11, b"\x0c\x02\0\0\0\x02\0\0\0\x02\0\x02\0".as_slice(), "Intset"),
            (11, b"\x0c\x03\0\0\0\x01\0\0\0\x02\0\x02\0", "Intset"),
            (11, b"\x0c\x02\0\0\0\x03\0\0\0\x01\0\x02\0", "Intset"),
            (17, b"\x09\x09\0\0\0\x02\0\x07\x01\xff", "Zset listpack"),
            (10, b"\x0d\x0d\0\0\0\x09\0\0\0\x01\0\0\xf2\xff", "List ziplist"),
            (18, b"\x01\x03\x01a", "Quicklist"),
        ] {
            let items = [&[value_type][..], b"\x01k", value].concat();
            let error = told(&file("0010", &items), 3).1.expect_err("it is wrong");
            assert_eq!(error.cause.to_string(), format!("{why} integrity check failed."));
        }
    }
}
