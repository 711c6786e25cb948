//! Many short texts in one run of bytes: Redis's listpack without what can be made again.
//!
//! ```text
//! [ff count u32] ( head [text] )*         the count only where the rest is over 255 bytes
//! head   0xxxxxxx            0..=127                 10xxxxxx        up to 63 bytes
//!        110xxxxx + 1        13 bits, signed         1110xxxx + 1    up to 4095 bytes
//!        f1 f2 f3 f4         16, 24, 32, 64 bits     f0 + 4          any length
//! ```
//! Heads and texts are those of Redis 7.0 to the byte, integers little-endian. Its frame (total
//! length, count, an end mark) and the length behind each item, which serves only to go
//! backwards, are left away: with ten pairs that is a tenth of the memory. [`frame`] takes them
//! off and puts them on again where a snapshot or DUMP wants Redis's bytes. The items of a short
//! list are counted when somebody asks. A text that is an integer in canonical form is kept
//! as one.
//!
//! These functions trust their bytes, which were made here or have passed [`check`]: what is
//! wrong then is a bug of ours and stops at a bound check. They know nothing of fields and
//! values, only of items one after the other.

pub(crate) mod check;
pub(crate) mod frame;

use std::ops::Range;

use tandem_base::num;

use crate::hash::short_word;
use crate::value::{StringRef, Texts};

/// The first byte says that a count follows in four more; no item begins so.
const COUNTED: u8 = 0xff;
/// Bytes of a count with its mark.
const COUNT_BYTES: usize = 5;
/// Items of more bytes than this are counted.
const UNCOUNTED_MAX_BYTES: usize = 255;
/// No list grows beyond this, so that its listpack stays within the 1 GiB that Redis allows: an
/// item is at most twice as long there.
pub(crate) const MAX_BYTES: usize = 1 << 29;

/// Number of items.
#[inline]
pub(crate) fn count(list: &[u8]) -> usize {
    stored_count(list).unwrap_or_else(|| count_by_walking(list))
}

#[inline]
fn stored_count(list: &[u8]) -> Option<usize> {
    match list.first_chunk::<COUNT_BYTES>() {
        Some([COUNTED, count @ ..]) => Some(u32::from_le_bytes(*count) as usize),
        _ => None,
    }
}

fn count_by_walking(list: &[u8]) -> usize {
    let (mut at, mut count) = (start(list), 0);
    while at < list.len() {
        at = end_of(list, at);
        count += 1;
    }
    count
}

/// Where the first item stands.
#[inline]
fn start(list: &[u8]) -> usize {
    if list.first() == Some(&COUNTED) { COUNT_BYTES } else { 0 }
}

/// Notes that items have changed and `added` of them have come (or gone, if negative).
fn recount(list: &mut Vec<u8>, added: isize) {
    match stored_count(list) {
        None if list.len() <= UNCOUNTED_MAX_BYTES => {}
        None => {
            let count = count_by_walking(list);
            let count = u32::try_from(count).expect("a list stays below 1 GiB").to_le_bytes();
            list.splice(..0, [COUNTED, count[0], count[1], count[2], count[3]]);
        }
        Some(_) if list.len() - COUNT_BYTES <= UNCOUNTED_MAX_BYTES => {
            list.drain(..COUNT_BYTES);
        }
        Some(before) => {
            let count = u32::try_from(before.strict_add_signed(added));
            let count = count.expect("a list stays below 1 GiB").to_le_bytes();
            list[1..COUNT_BYTES].copy_from_slice(&count);
        }
    }
}

/// An item of a list, and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    /// The text, or the integer that it is kept as.
    pub(crate) text: StringRef<'a>,
    /// Where it begins.
    pub(crate) at: usize,
    /// Where the next begins.
    pub(crate) end: usize,
}

/// The item at `at`, which is not the end.
#[inline]
pub(crate) fn item(list: &[u8], at: usize) -> Item<'_> {
    let head = list[at];
    // Most texts are short: nothing else is looked at for them.
    if head & 0xc0 == SHORT_TEXT {
        let end = at + 1 + usize::from(head & 0x3f);
        return Item { text: StringRef::Inline(&list[at + 1..end]), at, end };
    }
    other_item(list, at)
}

/// The upper two bits of the head of a text of up to 63 bytes.
const SHORT_TEXT: u8 = 0x80;

#[inline(never)]
fn other_item(list: &[u8], at: usize) -> Item<'_> {
    let head = list[at];
    let text_at = |head_bytes: usize, len: usize| {
        let from = at + head_bytes;
        (StringRef::Inline(&list[from..from + len]), head_bytes + len)
    };
    let (text, size) = match head {
        0..=0x7f => (StringRef::Int(i64::from(head)), 1),
        0x80..=0xbf => text_at(1, usize::from(head & 0x3f)),
        0xe0..=0xef => text_at(2, usize::from(head & 0xf) << 8 | usize::from(list[at + 1])),
        0xc0..=0xdf => {
            let raw = i64::from(head & 0x1f) << 8 | i64::from(list[at + 1]);
            (StringRef::Int(sign_extend(raw, 13)), 2)
        }
        0xf0 => text_at(5, little_endian(list, at + 1, 4) as usize),
        0xf1 => (StringRef::Int(sign_extend(little_endian(list, at + 1, 2), 16)), 3),
        0xf2 => (StringRef::Int(sign_extend(little_endian(list, at + 1, 3), 24)), 4),
        0xf3 => (StringRef::Int(sign_extend(little_endian(list, at + 1, 4), 32)), 5),
        0xf4 => (StringRef::Int(little_endian(list, at + 1, 8)), 9),
        0xf5..=0xff => unreachable!("no item begins so"),
    };
    Item { text, at, end: at + size }
}

/// Where the item at `at` ends.
#[inline]
pub(crate) fn end_of(list: &[u8], at: usize) -> usize {
    let head = list[at];
    if head & 0xc0 == SHORT_TEXT {
        return at + 1 + usize::from(head & 0x3f);
    }
    match head {
        0..=0x7f => at + 1,
        _ => other_item(list, at).end,
    }
}

#[inline]
fn little_endian(list: &[u8], at: usize, bytes: usize) -> i64 {
    let mut word = [0; 8];
    word[..bytes].copy_from_slice(&list[at..at + bytes]);
    i64::from_le_bytes(word)
}

#[inline]
fn sign_extend(raw: i64, bits: u32) -> i64 {
    raw << (64 - bits) >> (64 - bits)
}

/// The items in order.
#[inline]
pub(crate) fn items(list: &[u8]) -> Items<'_> {
    Items { list, at: start(list) }
}

/// See [`items`].
#[derive(Clone)]
pub(crate) struct Items<'a> {
    list: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        if self.at >= self.list.len() {
            return None;
        }
        let item = item(self.list, self.at);
        self.at = item.end;
        Some(item)
    }
}

/// Shows the text of each item.
#[inline]
pub(crate) fn show_all<'a>(list: &'a [u8], to: &mut impl Texts<'a>) {
    let mut at = start(list);
    while at < list.len() {
        let head = list[at];
        if head & 0xc0 == SHORT_TEXT {
            let from = at + 1;
            at = from + usize::from(head & 0x3f);
            to.near(&list[from..at]);
        } else {
            let other = other_item(list, at);
            at = other.end;
            to.other(other.text);
        }
    }
}

/// A text that is looked for.
struct Needle<'t> {
    text: &'t [u8],
    /// If it is an integer: an item may hold it as one.
    number: Option<i64>,
    /// Its last eight bytes, or all of them: names differ at their ends more than elsewhere.
    word: u64,
    /// Which bits of `word` count.
    mask: u64,
    /// Where in the text `word` begins.
    word_at: usize,
}

impl<'t> Needle<'t> {
    #[inline]
    fn new(text: &'t [u8]) -> Needle<'t> {
        let number = num::parse_i64(text);
        let (word, mask) = match text.last_chunk::<8>() {
            Some(last) => (u64::from_le_bytes(*last), u64::MAX),
            None => (short_word(text), (1 << (8 * text.len())) - 1),
        };
        Needle { text, number, word, mask, word_at: text.len().saturating_sub(8) }
    }

    /// Whether the text of this length that begins at `from` is the one.
    #[inline]
    fn is_at(&self, list: &[u8], from: usize) -> bool {
        let word_at = from + self.word_at;
        let end = from + self.text.len();
        match list.get(word_at..word_at + 8) {
            Some(bytes) => {
                let word = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
                word & self.mask == self.word
                    && (self.text.len() <= 8 || list[from..word_at] == self.text[..self.word_at])
            }
            // At the very end of the list.
            None => list[from..end] == *self.text,
        }
    }
}

/// The first item of `text` among the first of every `step` items.
///
/// What is passed over costs a look at its head, and a text of another length no more than that.
#[inline]
pub(crate) fn find<'a>(list: &'a [u8], text: &[u8], step: usize) -> Option<Item<'a>> {
    let needle = Needle::new(text);
    let mut at = start(list);
    while at < list.len() {
        let head = list[at];
        let end = if head & 0xc0 == SHORT_TEXT {
            let len = usize::from(head & 0x3f);
            if len == text.len() && needle.is_at(list, at + 1) {
                return Some(item(list, at));
            }
            at + 1 + len
        } else {
            let other = other_item(list, at);
            let is_it = match other.text {
                StringRef::Int(own) => needle.number == Some(own),
                StringRef::Inline(own) => own == text,
                StringRef::Large(_) => unreachable!("a list holds its texts itself"),
            };
            if is_it {
                return Some(other);
            }
            other.end
        };
        at = end;
        for _ in 1..step {
            if at >= list.len() {
                return None;
            }
            at = end_of(list, at);
        }
    }
    None
}

/// A text as it will stand in a list.
pub(crate) struct Encoded<'a> {
    head: [u8; 9],
    head_bytes: usize,
    text: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// Chooses the shortest form.
    pub(crate) fn of(text: &'a [u8]) -> Encoded<'a> {
        if let Some(number) = num::parse_i64(text) {
            return Encoded::int(number);
        }
        let mut head = [0; 9];
        let len = text.len();
        let head_bytes = match len {
            0..=63 => {
                head[0] = 0x80 | len as u8;
                1
            }
            64..=4095 => {
                head[0] = 0xe0 | (len >> 8) as u8;
                head[1] = len as u8;
                2
            }
            _ => {
                let len = u32::try_from(len).expect("texts in a listpack are short");
                head[0] = 0xf0;
                head[1..5].copy_from_slice(&len.to_le_bytes());
                5
            }
        };
        Encoded { head, head_bytes, text }
    }

    fn int(number: i64) -> Encoded<'a> {
        let mut head = [0; 9];
        head[1..].copy_from_slice(&number.to_le_bytes());
        let (first, head_bytes) = match number {
            0..=127 => (number as u8, 1),
            -4096..=4095 => {
                head[1] = number as u8;
                (0xc0 | (number >> 8 & 0x1f) as u8, 2)
            }
            -0x8000..=0x7fff => (0xf1, 3),
            -0x80_0000..=0x7f_ffff => (0xf2, 4),
            -0x8000_0000..=0x7fff_ffff => (0xf3, 5),
            _ => (0xf4, 9),
        };
        head[0] = first;
        Encoded { head, head_bytes, text: &[] }
    }

    /// Bytes that it takes in the list.
    pub(crate) fn bytes(&self) -> usize {
        self.head_bytes + self.text.len()
    }

    fn write(&self, to: &mut [u8]) {
        let (head, text) = to.split_at_mut(self.head_bytes);
        head.copy_from_slice(&self.head[..self.head_bytes]);
        text.copy_from_slice(self.text);
    }
}

/// Makes room for `bytes` in the place of `range`.
fn make_room(list: &mut Vec<u8>, range: Range<usize>, bytes: usize) {
    let before = list.len();
    if bytes > range.len() {
        list.resize(before + bytes - range.len(), 0);
    }
    list.copy_within(range.end..before, range.start + bytes);
    list.truncate(before + bytes - range.len());
}

/// Adds a text at the end.
pub(crate) fn push(list: &mut Vec<u8>, text: &[u8]) {
    let encoded = Encoded::of(text);
    list.extend_from_slice(&encoded.head[..encoded.head_bytes]);
    list.extend_from_slice(encoded.text);
    recount(list, 1);
}

/// Puts a text into the place of the item that stands in `range`.
pub(crate) fn replace(list: &mut Vec<u8>, range: Range<usize>, text: &[u8]) {
    let encoded = Encoded::of(text);
    if encoded.bytes() != range.len() {
        make_room(list, range.clone(), encoded.bytes());
    }
    encoded.write(&mut list[range.start..range.start + encoded.bytes()]);
    recount(list, 0);
}

/// The same where it stands; false, with nothing done, if the length would change.
#[inline]
pub(crate) fn replace_in_place(list: &mut [u8], range: Range<usize>, text: &[u8]) -> bool {
    let encoded = Encoded::of(text);
    let fits = encoded.bytes() == range.len();
    if fits {
        encoded.write(&mut list[range]);
    }
    fits
}

/// Takes out the items that stand in `range`, `count` of them.
pub(crate) fn remove(list: &mut Vec<u8>, range: Range<usize>, count: u8) {
    make_room(list, range, 0);
    recount(list, -isize::from(count));
}

#[cfg(test)]
mod tests;
