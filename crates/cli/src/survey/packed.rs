//! How many elements a packed value has. The header says it, unless there are too many for the
//! header: then they are counted one by one.

/// A header's number that means "count them".
const UNKNOWN: u16 = u16::MAX;
/// The end of a listpack or a ziplist.
const END: u8 = 0xff;
const ZIPMAP_MANY: u8 = 254;
const ZIPMAP_END: u8 = 255;

/// Elements of a listpack; `None` when it is none.
pub(super) fn listpack(bytes: &[u8]) -> Option<u64> {
    elements(bytes, 4, |rest| {
        let entry = listpack_entry(rest)?;
        // Behind each entry stands its length again, in groups of seven bits.
        let back = (usize::BITS - entry.leading_zeros()).div_ceil(7).max(1) as usize;
        entry.checked_add(back)
    })
}

/// Elements of a value whose header ends with their number, two bytes at `at`; `size` says how
/// many bytes the first element of the rest takes.
fn elements(bytes: &[u8], at: usize, size: impl Fn(&[u8]) -> Option<usize>) -> Option<u64> {
    let (header, mut rest) = bytes.split_at_checked(at + 2)?;
    let count = u16::from_le_bytes(*header.last_chunk()?);
    if count != UNKNOWN {
        return Some(u64::from(count));
    }
    let mut elements = 0;
    while rest.first()? != &END {
        rest = rest.get(size(rest)?..)?;
        elements += 1;
    }
    Some(elements)
}

/// The length of the entry at the front, without what follows it to be read backwards.
fn listpack_entry(bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    Some(match first {
        0..=0x7f => 1,
        0x80..=0xbf => 1 + usize::from(first & 0x3f),
        0xc0..=0xdf => 2,
        0xe0..=0xef => 2 + (usize::from(first & 0x0f) << 8 | usize::from(*bytes.get(1)?)),
        0xf0 => {
            let length = u32::from_le_bytes(*bytes.get(1..)?.first_chunk()?);
            usize::try_from(length).ok()?.checked_add(5)?
        }
        0xf1 => 3,
        0xf2 => 4,
        0xf3 => 5,
        0xf4 => 9,
        _ => return None,
    })
}

/// Elements of a ziplist; `None` when it is none.
pub(super) fn ziplist(bytes: &[u8]) -> Option<u64> {
    elements(bytes, 8, |rest| {
        // The length of the element before stands before each.
        let before = if *rest.first()? < 254 { 1 } else { 5 };
        ziplist_entry(rest.get(before..)?)?.checked_add(before)
    })
}

fn ziplist_entry(bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    Some(match first {
        0..=0x3f => 1 + usize::from(first),
        0x40..=0x7f => 2 + (usize::from(first & 0x3f) << 8 | usize::from(*bytes.get(1)?)),
        0x80..=0xbf => {
            let length = u32::from_be_bytes(*bytes.get(1..)?.first_chunk()?);
            usize::try_from(length).ok()?.checked_add(5)?
        }
        0xc0 => 3,
        0xd0 => 5,
        0xe0 => 9,
        0xf0 => 4,
        0xfe => 2,
        0xf1..=0xfd => 1,
        _ => return None,
    })
}

/// Integers of an intset.
pub(super) fn intset(bytes: &[u8]) -> Option<u64> {
    bytes.get(4..)?.first_chunk().map(|count| u64::from(u32::from_le_bytes(*count)))
}

/// Pairs of a zipmap.
pub(super) fn zipmap(bytes: &[u8]) -> Option<u64> {
    let count = *bytes.first()?;
    if count < ZIPMAP_MANY {
        return Some(u64::from(count));
    }
    let mut rest = bytes.get(1..)?;
    let mut strings = 0;
    while rest.first()? != &ZIPMAP_END {
        let (length, width) = match rest[0] {
            ZIPMAP_MANY => (u32::from_le_bytes(*rest.get(1..)?.first_chunk()?), 5),
            short => (u32::from(short), 1),
        };
        let mut size = usize::try_from(length).ok()?.checked_add(width)?;
        if strings % 2 == 1 {
            // A value has a byte that counts the room left behind it.
            size = size.checked_add(1 + usize::from(*rest.get(width)?))?;
        }
        rest = rest.get(size..)?;
        strings += 1;
    }
    Some(strings / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_header_does_not_know_is_counted() {
        // "a" as a string of six bits, 5 as an integer of seven, 300 as one of thirteen.
        let entries = [0x81, b'a', 2, 0x05, 1, 0xc1, 0x2c, 2];
        let mut pack = vec![0, 0, 0, 0, 0xff, 0xff];
        pack.extend_from_slice(&entries);
        pack.push(0xff);
        assert_eq!(listpack(&pack), Some(3));
        assert_eq!(listpack(&pack[..pack.len() - 1]), None);
        let mut list = vec![0; 8];
        list.extend_from_slice(&[0xff, 0xff, 0, 1, b'a', 3, 0xf3, 2, 0xfe, 9, 0xff]);
        assert_eq!(ziplist(&list), Some(3));
        let map = [254, 1, b'k', 2, 1, b'v', b'w', 0, 1, b'l', 0, 0, 255];
        assert_eq!(zipmap(&map), Some(2));
        assert_eq!(intset(&[2, 0, 0, 0, 7, 0, 0, 0]), Some(7));
        assert_eq!(intset(&[2]), None);
    }
}
