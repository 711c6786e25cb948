//! Whether bytes from outside are a listpack: asked once, before anything trusts them.

use tandem_base::num;

use super::frame::{COUNT_UNKNOWN, END, HEADER_BYTES, back_bytes, header_count};
use super::{SHORT_TEXT, end_of, start};
use crate::hash::short_word;
use crate::value::StringRef;

/// Whether `bytes` are a listpack in every part: lengths, heads, back lengths, count and end.
pub(crate) fn is_listpack(bytes: &[u8]) -> bool {
    walk(bytes, |_, _| {})
}

/// The same; shows on the way where each item begins and how many bytes its head and text have,
/// which lie within `bytes`.
#[inline]
pub(super) fn walk(bytes: &[u8], mut show: impl FnMut(usize, usize)) -> bool {
    if bytes.len() < HEADER_BYTES + 1 {
        return false;
    }
    let total = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let last = bytes.len() - 1;
    if total as usize != bytes.len() || bytes[last] != END {
        return false;
    }
    let items = &bytes[..last];
    let mut at = HEADER_BYTES;
    let mut count = 0usize;
    while at < last {
        let Some((size, end)) = item_at(items, at) else { return false };
        show(at, size);
        at = end;
        count += 1;
    }
    let said = header_count(bytes);
    at == last && (said == COUNT_UNKNOWN || usize::from(said) == count)
}

/// How many bytes the head and text at `at` have, and where the next item begins, if this is one
/// and ends within `bytes`.
#[inline]
fn item_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let head = bytes[at];
    if head & 0xc0 == SHORT_TEXT {
        let size = 1 + usize::from(head & 0x3f);
        let back = *bytes.get(at + size)?;
        return (usize::from(back) == size).then_some((size, at + size + 1));
    }
    other_item_at(bytes, at)
}

#[inline(never)]
fn other_item_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let byte = |ahead: usize| bytes.get(at + ahead).copied().map(usize::from);
    let size = match bytes[at] {
        0..=0x7f => 1,
        head @ 0x80..=0xbf => 1 + usize::from(head & 0x3f),
        0xc0..=0xdf => 2,
        head @ 0xe0..=0xef => 2 + (usize::from(head & 0xf) << 8 | byte(1)?),
        0xf0 => 5 + (byte(1)? | byte(2)? << 8 | byte(3)? << 16 | byte(4)? << 24),
        0xf1 => 3,
        0xf2 => 4,
        0xf3 => 5,
        0xf4 => 9,
        0xf5..=0xff => return None,
    };
    let back_at = at.checked_add(size)?;
    let end = back_at.checked_add(back_bytes(size))?;
    let back = bytes.get(back_at..end)?;
    // Read from its end, as Redis does when it goes backwards.
    let mut said = 0usize;
    for (place, &byte) in back.iter().enumerate() {
        let goes_on = byte & 0x80 != 0;
        if goes_on == (place == 0) {
            return None;
        }
        said = said << 7 | usize::from(byte & 0x7f);
    }
    (said == size).then_some((size, end))
}

/// A field as it is compared; a number may also stand as its text.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Field<'a> {
    Int(i64),
    Text(&'a [u8]),
}

impl<'a> Field<'a> {
    #[inline]
    fn of(text: StringRef<'a>) -> Field<'a> {
        match text {
            StringRef::Int(number) => Field::Int(number),
            StringRef::Inline(text) => num::parse_i64(text).map_or(Field::Text(text), Field::Int),
            StringRef::Large(_) => unreachable!("a list holds its texts itself"),
        }
    }

    /// A number below [`MARKS`], seldom that of another field.
    #[inline]
    fn mark(&self) -> usize {
        let word = match self {
            Field::Int(number) => *number as u64,
            Field::Text(text) => match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
                (Some(first), Some(last)) => {
                    u64::from_le_bytes(*first).rotate_left(5) ^ u64::from_le_bytes(*last)
                }
                _ => short_word(text),
            },
        };
        // The upper bits of a product depend on all of both factors.
        (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - MARKS.ilog2())) as usize
    }
}

/// So many that ten fields nearly always have different ones.
const MARKS: usize = 1024;

/// Whether the items of a list are pairs, and no two pairs begin with the same text.
pub(crate) fn has_distinct_fields(list: &[u8]) -> bool {
    let mut marked = [0u64; MARKS / 64];
    let mut marks_differ = true;
    let mut at = start(list);
    while at < list.len() {
        let item = super::item(list, at);
        if item.end >= list.len() {
            return false;
        }
        at = end_of(list, item.end);
        let mark = Field::of(item.text).mark();
        let (word, bit) = (&mut marked[mark / 64], 1 << (mark % 64));
        marks_differ &= *word & bit == 0;
        *word |= bit;
    }
    // Two fields may have the same mark, but no field has two.
    marks_differ || fields_differ(list)
}

fn fields_differ(list: &[u8]) -> bool {
    let mut fields: Vec<_> =
        super::items(list).step_by(2).map(|item| Field::of(item.text)).collect();
    fields.sort_unstable();
    fields.windows(2).all(|pair| pair[0] != pair[1])
}
