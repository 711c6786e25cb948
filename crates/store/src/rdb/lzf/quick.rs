//! The search for snapshots: a batch of eight places at a time.
//!
//! A value that does not compress costs what it takes to find that out, so that is what is made
//! cheap. All eight places are entered into the table, but only every second one is looked up: a
//! repeat of four bytes or more has a place that is, and is then extended backwards. No branch is
//! taken before the batch is done; only one in which a slot was taken is looked at closely.
//! Entering places ahead of the one that matches does no harm, because each place is looked up
//! only once, before it is entered.
//!
//! After each eight batches in vain the gap to the next batch grows by eight bytes, up to
//! [`GAP_MAX`]; a match closes it. So a long value that does not compress is seen to cheaply,
//! and one whose end compresses is still found out.
//!
//! Measured against the search of liblzf, values cut from JSON, prose and C source come out
//! longer by at most 1 % at 100 bytes, 4 % at 1,000 and 9 % at 20,000.

use super::{
    DISTANCE_MAX, LITERALS_MAX, MATCH_MAX, SLOTS, match_length, push_literals, push_match,
};

/// Places entered at once.
const BATCH: usize = 8;
/// Each place that is a multiple of this into its batch is looked up.
const EVERY: usize = 2;
/// Bytes that a batch reads: each place is hashed with the two bytes behind it, and the last
/// places are read as one word.
const BATCH_BYTES: usize = 11;
/// Inputs up to this length use few slots, which stay in the innermost cache beside the data.
const SHORT_BYTES: usize = 1024;
/// The slots for short inputs.
const SLOTS_SHORT: usize = 1 << 10;
/// The slots for long ones: as many as the window has places.
const SLOTS_LONG: usize = 1 << 13;
/// Batches in vain before the gap grows, as a power of two.
const BATCHES_PER_GAP_LOG: usize = 3;
/// The widest gap between two batches.
const GAP_MAX: usize = 64;

/// One more than the farthest that a match can reach back.
const REACH: u32 = DISTANCE_MAX as u32 + 1;

// Within a short input every distance can be written.
const _: () = assert!(SHORT_BYTES <= DISTANCE_MAX);
const _: () = assert!(SLOTS_LONG <= SLOTS);

/// Appends the stream for `input` to `out`; false (with `out` in disorder) if that would not
/// save at least four bytes.
pub(super) fn pack(input: &[u8], slots: &mut [u32; SLOTS], base: u32, out: &mut Vec<u8>) -> bool {
    if input.len() <= SHORT_BYTES {
        search::<SLOTS_SHORT>(input, slots, base, out)
    } else {
        search::<SLOTS_LONG>(input, slots, base, out)
    }
}

fn search<const N: usize>(
    input: &[u8],
    slots: &mut [u32; SLOTS],
    base: u32,
    out: &mut Vec<u8>,
) -> bool {
    // As in liblzf the first place is never matched, which keeps "empty" simple.
    let mut at = 1;
    let Some(last) = input.len().checked_sub(BATCH_BYTES).filter(|&last| last >= at) else {
        return false;
    };
    let slots: &mut [u32; N] = slots.first_chunk_mut().expect("the table has more slots");
    let limit = input.len() - 4;
    let mut literals_from = 0;
    let mut vain = 0;
    while at < last + BATCH {
        // The last batch reaches to the end, so it may begin before `at`.
        let here = at.min(last);
        let batch = Batch::look_up(input, slots, base, here);
        if batch.taken == 0 {
            at = here + BATCH + (vain >> BATCHES_PER_GAP_LOG << 3).min(GAP_MAX);
            vain += 1;
            continue;
        }
        while let Some((place, found)) = batch.first_match(input, at) {
            let distance = place - found;
            let (place, length) = extended(input, found, place, literals_from);
            let literals = place - literals_from;
            if out.len() + literals + literals.div_ceil(LITERALS_MAX) + 4 >= limit {
                return false;
            }
            push_literals(out, &input[literals_from..place]);
            push_match(out, length, distance);
            at = place + length;
            literals_from = at;
            vain = 0;
        }
        at = at.max(here + BATCH);
    }
    // A stream without a match is longer than its input.
    if out.is_empty() {
        return false;
    }
    push_literals(out, &input[literals_from..]);
    out.len() <= limit
}

/// Where the repeat begins that `place` is in, and how long it is; it may begin earlier, but not
/// before `from`.
fn extended(input: &[u8], found: usize, place: usize, from: usize) -> (usize, usize) {
    let length = match_length(input, found, place);
    let most = (MATCH_MAX - length).min(place - from).min(found);
    let back = (1..=most).take_while(|back| input[place - back] == input[found - back]).count();
    (place - back, length + back)
}

/// Eight neighbouring places and what the slots of those held that are looked up.
struct Batch {
    /// The first place.
    here: usize,
    /// Bit k: the slot of the k-th place held an earlier place within reach.
    taken: u8,
    /// How far back that place is.
    distances: [u32; BATCH / EVERY],
}

impl Batch {
    /// Looks places up and enters them.
    #[inline(always)]
    fn look_up<const N: usize>(
        input: &[u8],
        slots: &mut [u32; N],
        base: u32,
        here: usize,
    ) -> Batch {
        let bytes: &[u8; BATCH_BYTES] =
            input[here..].first_chunk().expect("`here` is no later than the last batch");
        let front = u64::from_le_bytes(*bytes.first_chunk().expect("eleven hold eight"));
        let back = u64::from_le_bytes(*bytes.last_chunk().expect("eleven hold eight"));
        let mut batch = Batch { here, taken: 0, distances: [0; BATCH / EVERY] };
        for k in 0..BATCH {
            let word = if k < 6 { front >> (8 * k) } else { back >> (8 * (k - 3)) };
            let place = here as u32 + k as u32;
            let entry = &mut slots[slot::<N>(word as u32 & 0xff_ffff)];
            if k % EVERY == 0 {
                let distance = (base + place).wrapping_sub(*entry);
                // What an earlier call left is at least `place` back; a later place wraps.
                let reach = if N == SLOTS_SHORT { place } else { place.min(REACH) };
                batch.taken |= u8::from(distance.wrapping_sub(1) < reach - 1) << (k / EVERY);
                batch.distances[k / EVERY] = distance;
            }
            *entry = base + place;
        }
        batch
    }

    /// The first place not before `from` whose three bytes stood at the place found for it.
    #[inline(always)]
    fn first_match(&self, input: &[u8], from: usize) -> Option<(usize, usize)> {
        let mut taken = self.taken;
        while taken != 0 {
            let k = taken.trailing_zeros() as usize;
            taken &= taken - 1;
            let place = self.here + k * EVERY;
            let found = place - self.distances[k] as usize;
            if place >= from && input[found..found + 3] == input[place..place + 3] {
                return Some((place, found));
            }
        }
        None
    }
}

/// The slot of a trigram: a mix that spreads well over few slots.
#[inline(always)]
fn slot<const N: usize>(trigram: u32) -> usize {
    const { assert!(N.is_power_of_two()) };
    (trigram.wrapping_mul(0x9E37_79B1) >> (32 - N.trailing_zeros())) as usize & (N - 1)
}
