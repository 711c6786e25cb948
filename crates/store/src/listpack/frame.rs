//! Redis's frame around a list, put on for a snapshot or DUMP and taken off after a load.
//!
//! ```text
//! total bytes u32 · count u16 · ( head [text] back )* · 0xff          numbers little-endian
//! back   the length of head and text, in groups of seven bits, to be read from its end
//! ```
//! Both ways copy the items as they stand, so what came from Redis goes back as it came.

use super::{COUNT_BYTES, COUNTED, UNCOUNTED_MAX_BYTES, check, end_of, start};

/// Total length and count.
pub(crate) const HEADER_BYTES: usize = 6;
/// Redis lets no listpack grow beyond this.
pub(crate) const MAX_BYTES: usize = 1 << 30;
/// The last byte.
pub(super) const END: u8 = 0xff;
/// The count says that it does not know: there are too many for two bytes.
pub(super) const COUNT_UNKNOWN: u16 = u16::MAX;

/// How many bytes the back length of `size` bytes takes. The borders are Redis's, off by one
/// from what seven bits could say.
#[inline]
pub(super) const fn back_bytes(size: usize) -> usize {
    match size {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// The number of items that a listpack claims, if it knows.
pub(super) fn header_count(listpack: &[u8]) -> u16 {
    u16::from_le_bytes([listpack[4], listpack[5]])
}

/// Puts the listpack of `list` into `out`, which is emptied first.
pub(crate) fn write(list: &[u8], out: &mut Vec<u8>) {
    out.clear();
    // Most items are longer than three bytes, and most back lengths one.
    out.reserve(list.len() + list.len() / 4 + HEADER_BYTES + 1);
    out.extend_from_slice(&[0; HEADER_BYTES]);
    let (mut at, mut count) = (start(list), 0usize);
    while at < list.len() {
        count += 1;
        let end = end_of(list, at);
        out.extend_from_slice(&list[at..end]);
        push_back_length(out, end - at);
        at = end;
    }
    out.push(END);
    let total = u32::try_from(out.len()).expect("a listpack is below 4 GiB").to_le_bytes();
    let known = u16::try_from(count).unwrap_or(COUNT_UNKNOWN).to_le_bytes();
    out[..4].copy_from_slice(&total);
    out[4..HEADER_BYTES].copy_from_slice(&known);
}

#[inline]
fn push_back_length(out: &mut Vec<u8>, size: usize) {
    if size <= 127 {
        return out.push(size as u8);
    }
    for place in (0..back_bytes(size)).rev() {
        let group = (size >> (7 * place) & 0x7f) as u8;
        let is_first = place + 1 == back_bytes(size);
        out.push(if is_first { group } else { group | 0x80 });
    }
}

/// The list in `listpack`, if that is one in every part. It stands in `room`, whose content goes;
/// a room that is used again saves each list its allocation.
pub(crate) fn strip<'r>(listpack: &[u8], room: &'r mut Vec<u8>) -> Option<&'r [u8]> {
    let most_bytes = COUNT_BYTES + listpack.len();
    if room.len() < most_bytes {
        room.resize(most_bytes, 0);
    }
    let (mut end, mut count) = (COUNT_BYTES, 0u32);
    let is_listpack = check::walk(listpack, |at, size| {
        copy(&listpack[at..], &mut room[end..], size);
        end += size;
        count += 1;
    });
    if !is_listpack {
        return None;
    }
    if end - COUNT_BYTES <= UNCOUNTED_MAX_BYTES {
        return Some(&room[COUNT_BYTES..end]);
    }
    room[0] = COUNTED;
    room[1..COUNT_BYTES].copy_from_slice(&count.to_le_bytes());
    Some(&room[..end])
}

/// Copies `size` bytes, and perhaps some behind them: a fixed number needs no call.
#[inline]
fn copy(from: &[u8], to: &mut [u8], size: usize) {
    const SHORT: usize = 16;
    match (from.first_chunk::<SHORT>(), to.first_chunk_mut::<SHORT>()) {
        (Some(from), Some(to)) if size <= SHORT => *to = *from,
        _ => to[..size].copy_from_slice(&from[..size]),
    }
}
