//! LZF, the compression of long strings in RDB: the stream format of liblzf, in safe code.
//!
//! ```text
//! 000LLLLL                    L+1 literal bytes follow (1 to 32)
//! LLLddddd dddddddd           copy L+2 bytes (3 to 8) from d+1 bytes back
//! 111ddddd LLLLLLLL dddddddd  copy L+9 bytes (9 to 264) from d+1 bytes back
//! ```
//! Any choice of matches gives a stream that every reader decodes, so we have two:
//! [`Effort::Liblzf`] chooses exactly as Redis does (DUMP payloads come out equal byte by byte);
//! [`Effort::Quick`] is for snapshots, where most values do not compress and finding that out
//! must cost next to nothing.
//!
//! The table of seen places is kept between calls and never cleared: a slot holds the place plus
//! a base that moves on by each input's length, so whatever an earlier call left is below the
//! base and reads as empty.

mod exact;
mod quick;

/// How hard to look for matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Places are tried eight at a time, and ever fewer of them in a long run without matches;
    /// see `quick`.
    Quick,
    /// Every place is tried, with the hash and the limits of liblzf as Redis builds it.
    Liblzf,
}

/// Slots of the table: liblzf's own number. The quick search uses fewer.
const SLOTS: usize = 1 << 16;

const LITERALS_MAX: usize = 32;
const DISTANCE_MAX: usize = 1 << 13;
const MATCH_MAX: usize = (1 << 8) + (1 << 3);
/// The most bytes that one byte of a stream can stand for, rounded up: three give 264.
const RATIO_MAX: usize = MATCH_MAX / 3;

/// Scratch above this many bytes is given back before the next use.
const SCRATCH_KEPT_BYTES: usize = 1 << 20;

/// A compressor with its scratch memory (256 KiB). Keep it and use it again.
#[derive(Debug)]
pub struct Compressor {
    slots: Box<[u32; SLOTS]>,
    base: u32,
    packed: Vec<u8>,
}

impl Compressor {
    /// Makes the table; the one time that it is cleared.
    pub fn new() -> Compressor {
        let slots = vec![0; SLOTS].into_boxed_slice();
        let slots = slots.try_into().expect("just made with as many");
        Compressor { slots, base: 1, packed: Vec::new() }
    }

    /// Compresses `input`; `None` if that would not save at least four bytes.
    pub fn compress(&mut self, input: &[u8], effort: Effort) -> Option<&[u8]> {
        let length = u32::try_from(input.len()).ok().filter(|&length| length > 4)?;
        if self.packed.capacity() > SCRATCH_KEPT_BYTES {
            self.packed = Vec::new();
        }
        self.packed.clear();
        if self.base.checked_add(length).is_none() {
            self.slots.fill(0);
            self.base = 1;
        }
        let base = self.base;
        self.base = self.base.checked_add(length)?;
        let saved = match effort {
            Effort::Quick => quick::pack(input, &mut self.slots, base, &mut self.packed),
            Effort::Liblzf => exact::pack(input, &mut self.slots, base, &mut self.packed),
        };
        saved.then_some(&self.packed)
    }
}

impl Default for Compressor {
    fn default() -> Compressor {
        Compressor::new()
    }
}

/// How many bytes at `at` repeat those at `found`; three are known to. As liblzf counts: it
/// leaves the last two bytes alone, except where its unrolled comparison runs into them.
fn match_length(input: &[u8], found: usize, at: usize) -> usize {
    let most = (input.len() - at - 2).min(MATCH_MAX);
    let most = if most > 16 { most.max(19) } else { most.max(3) };
    let (old, new) = (&input[found..found + most], &input[at..at + most]);
    let mut length = 3;
    while let (Some(old), Some(new)) =
        (old[length..].first_chunk::<8>(), new[length..].first_chunk::<8>())
    {
        let differ = u64::from_le_bytes(*old) ^ u64::from_le_bytes(*new);
        if differ != 0 {
            return length + differ.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    while length < most && old[length] == new[length] {
        length += 1;
    }
    length
}

fn push_literals(out: &mut Vec<u8>, literals: &[u8]) {
    for run in literals.chunks(LITERALS_MAX) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

fn push_match(out: &mut Vec<u8>, length: usize, distance: usize) {
    debug_assert!((3..=MATCH_MAX).contains(&length));
    debug_assert!((1..=DISTANCE_MAX).contains(&distance));
    let distance = distance - 1;
    let (high, low) = ((distance >> 8) as u8, distance as u8);
    match length - 2 {
        short @ 1..=6 => out.extend_from_slice(&[(short as u8) << 5 | high, low]),
        long => out.extend_from_slice(&[7 << 5 | high, (long - 7) as u8, low]),
    }
}

/// The stream is no LZF, or does not give the promised number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadStream;

/// Appends the `length` bytes that `stream` stands for to `out`.
///
/// Memory is taken only when `stream` is long enough to fill it, at most 88 times its own
/// length; on an error `out` is as it was.
pub fn decompress(stream: &[u8], length: usize, out: &mut Vec<u8>) -> Result<(), BadStream> {
    if length > stream.len().saturating_mul(RATIO_MAX) {
        return Err(BadStream);
    }
    let start = out.len();
    out.resize(start + length, 0);
    let result = unpack(stream, &mut out[start..]);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Fills `out` exactly.
fn unpack(mut stream: &[u8], out: &mut [u8]) -> Result<(), BadStream> {
    let mut at = 0;
    while let [control, rest @ ..] = stream {
        let control = usize::from(*control);
        if control < LITERALS_MAX {
            let count = control + 1;
            stream = rest.get(count..).ok_or(BadStream)?;
            let room = out.get_mut(at..).ok_or(BadStream)?;
            match (room.first_chunk_mut(), rest.first_chunk::<LITERALS_MAX>()) {
                // A copy of fixed size is quicker than one of the right size; what is too much
                // is written over or was never asked for.
                (Some(room), Some(most)) => *room = *most,
                _ => room.get_mut(..count).ok_or(BadStream)?.copy_from_slice(&rest[..count]),
            }
            at += count;
            continue;
        }
        let (count, low, rest) = match (control >> 5, rest) {
            (7, [more, low, rest @ ..]) => (usize::from(*more) + 9, low, rest),
            (short @ 1..=6, [low, rest @ ..]) => (short + 2, low, rest),
            _ => return Err(BadStream),
        };
        let distance = ((control & 0x1f) << 8 | usize::from(*low)) + 1;
        if distance > at || count > out.len() - at {
            return Err(BadStream);
        }
        repeat(out, at, distance, count);
        at += count;
        stream = rest;
    }
    if at == out.len() { Ok(()) } else { Err(BadStream) }
}

/// Copies `count` bytes to `at` that begin `distance` back; the copy may run into what it
/// writes.
#[inline]
fn repeat(out: &mut [u8], at: usize, distance: usize, count: usize) {
    const STEP: usize = 8;
    let from = at - distance;
    if distance >= STEP && count <= STEP && out.len() - at >= STEP {
        out.copy_within(from..from + STEP, at);
    } else if distance >= count {
        out.copy_within(from..from + count, at);
    } else if distance == 1 {
        // Padding, most often.
        let byte = out[from];
        out[at..at + count].fill(byte);
    } else {
        // What has been written can be copied from, too: each step is twice as long.
        let mut done = 0;
        while done < count {
            let step = (distance + done).min(count - done);
            out.copy_within(from..from + step, at + done);
            done += step;
        }
    }
}

#[cfg(test)]
mod tests;
