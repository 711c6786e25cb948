//! A walk over a large hash by a cursor, a few fields at a time.
//!
//! ```text
//! cursor   [a block: its prefix, then 1, then 0 …  40 bits] [the lowest tag not shown  8 bits]
//! ```
//! A *block* is all hashes with one prefix; a walk goes over the blocks in order, and inside a
//! block over the tags: the lowest bits of each hash, which stand in the segment. Both belong to
//! a field for good, whatever splits or merges meanwhile. So a block is a segment as a rule, and
//! a step looks at some tags and hashes nothing.
//!
//! A segment that has split since holds only the first part of its block. The walk goes on in
//! smaller blocks then, and what it has shown of the other parts it shows again: less than a
//! segment. One that has merged since holds more than its block: which fields are the block's is
//! found from their hashes, until the walk reaches the next segment. Blocks never grow over what
//! has been shown, and no step goes back, so a walk ends however the hash changes.

use std::ops::Range;

use super::node::{Node, behind};
use super::segment::{FIELDS_MAX, Segment};
use crate::hash::Hasher;
use crate::value::StringRef;

/// Bits of a cursor, so that every client can keep it: some hold it in a double.
const CURSOR_BITS: u32 = 48;
const TAG_BITS: u32 = 8;
const TAGS: usize = 1 << TAG_BITS;
/// The longest prefix of a block that a cursor can name. A keyed hash splits no segment so often.
const PREFIX_MAX_BITS: u32 = CURSOR_BITS - TAG_BITS - 1;
/// By how much a prefix is shifted between a hash and a cursor's upper part.
const PREFIX_SHIFT: u32 = 64 - PREFIX_MAX_BITS - 1;

/// Where a walk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// The first hash of the block.
    from: u64,
    /// Length of its prefix.
    bits: u32,
    /// The lowest tag in it that has not been shown.
    tag: u8,
}

impl Place {
    /// The largest block that begins at a hash.
    fn at(from: u64) -> Place {
        Place { from, bits: 64 - from.trailing_zeros(), tag: 0 }
    }

    /// What a cursor stands for; one that none could be leads to the end, or to the beginning.
    fn of(cursor: u64) -> Option<Place> {
        if cursor >> CURSOR_BITS != 0 {
            return None;
        }
        let block = cursor >> TAG_BITS;
        if block == 0 {
            return Some(Place::at(0));
        }
        Some(Place {
            from: (block & (block - 1)) << PREFIX_SHIFT,
            bits: PREFIX_MAX_BITS - block.trailing_zeros(),
            // The lowest bits are the tag.
            tag: cursor as u8,
        })
    }

    /// As a cursor, never 0; its prefix must not be too long.
    fn cursor(self) -> u64 {
        assert!(self.bits <= PREFIX_MAX_BITS, "the walk does not stop in such a block");
        let block = self.from >> PREFIX_SHIFT | 1 << (PREFIX_MAX_BITS - self.bits);
        block << TAG_BITS | u64::from(self.tag)
    }

    /// Whether the block has this hash.
    fn has(self, hash: u64) -> bool {
        self.bits == 0 || (self.from ^ hash) >> (64 - self.bits) == 0
    }
}

/// One step of a walk over what is below `root`: shows about `count` fields from `cursor` on, and
/// returns the cursor to go on with, 0 at the end.
pub(super) fn scan(
    root: &Node,
    hasher: Hasher,
    cursor: u64,
    count: usize,
    show: &mut dyn FnMut(StringRef<'_>, StringRef<'_>),
) -> u64 {
    let Some(mut place) = Place::of(cursor) else { return 0 };
    let mut left = count.max(1);
    loop {
        let (segment, depth) = root.segment_and_depth(place.from);
        place.bits = place.bits.max(depth);
        let can_stop = place.bits <= PREFIX_MAX_BITS;
        let most = if can_stop { left } else { FIELDS_MAX };
        let is_ours = |slot| place.bits == depth || place.has(hasher.hash(segment.field(slot)));
        let (shown, next_tag) = show_some(segment, place.tag, most, &is_ours, show);
        left = left.saturating_sub(shown);
        match (next_tag, behind(place.from, place.bits)) {
            (Some(tag), _) => return Place { tag, ..place }.cursor(),
            (None, Some(next)) => place = Place::at(next),
            (None, None) => return 0,
        }
        if left == 0 && place.bits <= PREFIX_MAX_BITS {
            return place.cursor();
        }
    }
}

/// Shows those of a segment's fields from tag `from` on that are ours, about `most` of them;
/// returns how many, and the tag to go on with, `None` if that was all.
fn show_some(
    segment: &Segment,
    from: u8,
    most: usize,
    is_ours: &dyn Fn(usize) -> bool,
    show: &mut dyn FnMut(StringRef<'_>, StringRef<'_>),
) -> (usize, Option<u8>) {
    let mut room = [0; FIELDS_MAX];
    // Tags are spread evenly: so many hold about twice what is wanted.
    let tags = most.saturating_mul(2 * TAGS) / segment.len().max(1);
    let mut until = tags.saturating_add(usize::from(from)).min(TAGS);
    let mut found = gather(segment, usize::from(from)..until, is_ours, &mut room);
    if found < most && until < TAGS {
        until = TAGS;
        found = gather(segment, usize::from(from)..until, is_ours, &mut room);
    }
    let found = &mut room[..found];
    if found.len() > most {
        // Fields of one tag are not parted.
        let (_, last, _) = found.select_nth_unstable(most - 1);
        until = usize::from(*last >> 8) + 1;
    }
    let mut shown = 0;
    for word in found.iter().filter(|word| usize::from(**word >> 8) < until) {
        let (field, value) = segment.pair(usize::from(word & 0xff));
        show(field, value);
        shown += 1;
    }
    (shown, u8::try_from(until).ok())
}

/// Writes tag and slot, eight bits each, of those of ours with such tags; returns how many.
fn gather(
    segment: &Segment,
    tags: Range<usize>,
    is_ours: &dyn Fn(usize) -> bool,
    to: &mut [u16; FIELDS_MAX],
) -> usize {
    let mut len = 0;
    for (slot, &tag) in segment.tags().iter().enumerate() {
        if tags.contains(&usize::from(tag)) && is_ours(slot) {
            // A segment has fewer than 256 slots.
            to[len] = u16::from(tag) << 8 | slot as u16;
            len += 1;
        }
    }
    len
}

#[cfg(test)]
mod tests;
