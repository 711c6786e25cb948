//! The search of liblzf, as Redis builds it: every place, its hash, its limits.

use super::{DISTANCE_MAX, LITERALS_MAX, SLOTS, match_length, push_literals, push_match};

/// Appends the stream for `input` to `out`; false (with `out` in disorder) if it would be longer
/// than the input less four. The limits are checked where liblzf checks them: at each match and
/// before the last literals.
pub(super) fn pack(input: &[u8], slots: &mut [u32; SLOTS], base: u32, out: &mut Vec<u8>) -> bool {
    let end = input.len() - 2;
    let limit = input.len() - 4;
    let mut at = 0;
    let mut literals_from = 0;
    while at < end {
        let seen = trigram(input, at);
        let slot = &mut slots[place(seen)];
        let found = slot.wrapping_sub(base) as usize;
        *slot = base + at as u32;
        // liblzf never matches the very first byte; what is left of earlier calls is past `at`.
        let near = found.wrapping_sub(1) < at.saturating_sub(1) && at - found <= DISTANCE_MAX;
        if !near || trigram(input, found) != seen {
            at += 1;
            continue;
        }
        let literals = at - literals_from;
        if out.len() + literals + literals.div_ceil(LITERALS_MAX) + 4 >= limit {
            return false;
        }
        push_literals(out, &input[literals_from..at]);
        let length = match_length(input, found, at);
        push_match(out, length, at - found);
        at += length;
        literals_from = at;
        if at < end {
            for passed in [at - 2, at - 1] {
                slots[place(trigram(input, passed))] = base + passed as u32;
            }
        }
    }
    // What liblzf's first loop leaves: at most three bytes that are not yet counted.
    let literals = at - literals_from;
    if out.len() + literals + literals / LITERALS_MAX + 4 > limit {
        return false;
    }
    push_literals(out, &input[literals_from..]);
    true
}

/// Three bytes from `at` on, as one number.
#[inline(always)]
fn trigram(input: &[u8], at: usize) -> u32 {
    let bytes = &input[at..at + 3];
    u32::from(bytes[0]) << 16 | u32::from(bytes[1]) << 8 | u32::from(bytes[2])
}

/// The slot of a trigram: liblzf's own mix.
#[inline(always)]
fn place(trigram: u32) -> usize {
    (trigram >> 8).wrapping_sub(trigram.wrapping_mul(5)) as usize & (SLOTS - 1)
}
