//! Small hashes as they were written in one string: zipmaps (until 2.4), ziplists (until 6.2)
//! and listpacks. All become our own lists; nothing is believed before it has been checked.
//!
//! ```text
//! zipmap   count u8 · ( length · field · length · free u8 · value · free bytes )* · 0xff
//!          length: one byte, or 0xfe and four
//! ziplist  bytes u32 · tail u32 · count u16 · ( length before · head · text )* · 0xff
//!          length before: one byte, or 0xfe and four
//!          head: 00 6 bits, 01 14 bits, 10 and four bytes of length, 11…… an integer
//! ```

use super::cursor::Form;
use super::error::Cause;
use super::event::Value;
use super::value::SCRATCH_KEPT_BYTES;
use crate::listpack::{self, check, frame};
use crate::rdb::{TYPE_HASH_LISTPACK, TYPE_HASH_ZIPLIST, TYPE_HASH_ZIPMAP};

/// Whether a value of this type is one string that holds a small hash.
pub(crate) fn is_hash(value_type: u8) -> bool {
    matches!(value_type, TYPE_HASH_LISTPACK | TYPE_HASH_ZIPLIST | TYPE_HASH_ZIPMAP)
}

/// Refuses what would unpack to more than any listpack has, before it does: a compressed text
/// may claim some eighty times its own length.
pub(crate) fn check_length(value_type: u8, form: Form) -> Result<(), Cause> {
    let length = match form {
        Form::Plain(length) | Form::Lzf { length, .. } => length,
        Form::Int(_) => return Ok(()),
    };
    if length <= frame::MAX_BYTES { Ok(()) } else { Err(integrity(value_type)) }
}

/// The bytes are not what the type says.
fn integrity(value_type: u8) -> Cause {
    Cause::Corrupt(match value_type {
        TYPE_HASH_ZIPMAP => "Zipmap integrity check failed.",
        TYPE_HASH_ZIPLIST => "Hash ziplist integrity check failed.",
        _ => "Hash listpack integrity check failed.",
    })
}

/// The hash in `bytes` as a list of fields and values, each field once, which is made in `room`.
pub(crate) fn hash<'r>(
    value_type: u8,
    bytes: &[u8],
    room: &'r mut Vec<u8>,
) -> Result<Value<'r>, Cause> {
    room.truncate(SCRATCH_KEPT_BYTES);
    room.shrink_to(SCRATCH_KEPT_BYTES);
    let list = match value_type {
        TYPE_HASH_ZIPMAP => from_zipmap(bytes, room, listpack::MAX_BYTES),
        TYPE_HASH_ZIPLIST => from_ziplist(bytes, room, listpack::MAX_BYTES),
        _ => frame::strip(bytes, room),
    };
    let list = list.ok_or_else(|| integrity(value_type))?;
    let long_texts = value_type == TYPE_HASH_ZIPMAP;
    if check::has_distinct_fields(list) {
        Ok(Value::Hash { list, long_texts })
    } else if long_texts {
        Err(Cause::Corrupt("Hash zipmap with dup elements, or big length"))
    } else {
        Err(integrity(value_type))
    }
}

/// Bytes that are taken off from the front.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        let bytes = self.take(bytes)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// A length in a zipmap; Redis refuses the long form of what the short one could say.
    fn zipmap_length(&mut self) -> Option<usize> {
        match self.byte()? {
            short @ 0..=0xfd => Some(usize::from(short)),
            0xfe => self.number(4).filter(|length| *length >= 0xfe),
            0xff => None,
        }
    }
}

/// Adds a text, unless the list would have more than `most_bytes`: the same texts take a little
/// more in a listpack.
fn push(list: &mut Vec<u8>, text: &[u8], most_bytes: usize) -> Option<()> {
    // The first, as a text must not be too long to be encoded.
    let fits = text.len() < most_bytes
        && listpack::Encoded::of(text).bytes() <= most_bytes.saturating_sub(list.len());
    fits.then(|| listpack::push(list, text))
}

fn from_zipmap<'r>(bytes: &[u8], list: &'r mut Vec<u8>, most_bytes: usize) -> Option<&'r [u8]> {
    list.clear();
    let (&[0xff], body) = bytes.split_last_chunk::<1>().map(|(body, end)| (end, body))? else {
        return None;
    };
    let mut rest = Rest(body);
    let said = rest.byte()?;
    let mut count = 0usize;
    while !rest.0.is_empty() {
        let length = rest.zipmap_length()?;
        let field = rest.take(length)?;
        let length = rest.zipmap_length()?;
        let free = rest.byte()?;
        let value = rest.take(length)?;
        rest.take(usize::from(free))?;
        push(list, field, most_bytes)?;
        push(list, value, most_bytes)?;
        count += 1;
    }
    let counted = said == 0xfe || usize::from(said) == count;
    (counted && count > 0).then_some(list)
}

/// What a ziplist's entry holds.
enum Text<'a> {
    Bytes(&'a [u8]),
    Int(i64),
}

fn from_ziplist<'r>(bytes: &[u8], list: &'r mut Vec<u8>, most_bytes: usize) -> Option<&'r [u8]> {
    list.clear();
    read_ziplist(bytes, |text| match text {
        Text::Bytes(text) => push(list, text, most_bytes),
        Text::Int(number) => push(list, itoa::Buffer::new().format(number).as_bytes(), most_bytes),
    })?;
    Some(list)
}

/// Whether `bytes` are a ziplist in every part.
pub(super) fn is_ziplist(bytes: &[u8]) -> bool {
    read_ziplist(bytes, |_| Some(())).is_some()
}

/// Gives each text to `take`, which may refuse it; `None` also when `bytes` are no ziplist.
fn read_ziplist(bytes: &[u8], mut take: impl FnMut(Text<'_>) -> Option<()>) -> Option<()> {
    const HEADER_BYTES: usize = 10;
    let mut rest = Rest(bytes);
    let (total, tail, said) = (rest.number(4)?, rest.number(4)?, rest.number(2)?);
    if total != bytes.len() || bytes.len() <= HEADER_BYTES || *bytes.last()? != 0xff {
        return None;
    }
    let last_byte = bytes.len() - 1;
    rest.0 = &bytes[HEADER_BYTES..last_byte];
    let (mut count, mut before, mut last_at) = (0, 0, None);
    while !rest.0.is_empty() {
        let at = last_byte - rest.0.len();
        let previous = match rest.byte()? {
            0xfe => rest.number(4)?,
            0xff => return None,
            short => usize::from(short),
        };
        if previous != before {
            return None;
        }
        take(ziplist_text(&mut rest)?)?;
        before = last_byte - rest.0.len() - at;
        last_at = Some(at);
        count += 1;
    }
    let tail_fits = last_at.map_or(tail <= last_byte, |at| at == tail);
    let counted = said == usize::from(u16::MAX) || said == count;
    (tail_fits && counted).then_some(())
}

fn ziplist_text<'a>(rest: &mut Rest<'a>) -> Option<Text<'a>> {
    let head = rest.byte()?;
    let signed = |raw: usize, bits: u32| (raw as i64) << (64 - bits) >> (64 - bits);
    Some(match head {
        0x00..=0x3f => Text::Bytes(rest.take(usize::from(head))?),
        0x40..=0x7f => {
            let length = usize::from(head & 0x3f) << 8 | usize::from(rest.byte()?);
            Text::Bytes(rest.take(length)?)
        }
        0x80..=0xbf => {
            let length = rest.take(4)?.try_into().expect("four bytes");
            Text::Bytes(rest.take(u32::from_be_bytes(length) as usize)?)
        }
        0xc0 => Text::Int(signed(rest.number(2)?, 16)),
        0xd0 => Text::Int(signed(rest.number(4)?, 32)),
        0xe0 => Text::Int(signed(rest.number(8)?, 64)),
        0xf0 => Text::Int(signed(rest.number(3)?, 24)),
        0xfe => Text::Int(signed(rest.number(1)?, 8)),
        0xf1..=0xfd => Text::Int(i64::from(head & 0xf) - 1),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_grows_beyond_its_bound() {
        let zipmap = b"\x02\x01a\x01\x00b\x02cc\x01\x02dxx\xff";
        let ziplist = b"\x10\0\0\0\x0d\0\0\0\x02\0\x00\x01a\x03\xf2\xff";
        type Reader = for<'r> fn(&[u8], &'r mut Vec<u8>, usize) -> Option<&'r [u8]>;
        let readers: [(Reader, &[u8]); 2] = [(from_zipmap, zipmap), (from_ziplist, ziplist)];
        for (read, bytes) in readers {
            let (mut whole, mut room) = (Vec::new(), b"of another list".to_vec());
            let whole = read(bytes, &mut whole, 100).expect("it is good");
            assert_eq!(read(bytes, &mut room, whole.len()), Some(whole));
            for most_bytes in 0..whole.len() {
                assert_eq!(read(bytes, &mut room, most_bytes), None, "{most_bytes}");
            }
        }
    }
}
