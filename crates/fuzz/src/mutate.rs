//! Small changes to an input. All choices come from the generator, so a seed replays them.

use fastrand::Rng;

/// Inputs do not grow beyond this.
const INPUT_MAX_BYTES: usize = 256 * 1024;
/// The longest piece that is cut out, doubled or brought in at once.
const PIECE_MAX_BYTES: usize = 64;

/// Numbers at which readers of lengths tend to fail.
const EDGES: [u64; 16] = [
    0,
    1,
    63,
    64,
    127,
    128,
    255,
    256,
    16383,
    16384,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    u64::MAX,
];

/// Changes `input` once. `other` is another input of the corpus, `words` pieces of the language.
pub fn once(input: &mut Vec<u8>, other: &[u8], words: &[&[u8]], rng: &mut Rng) {
    if input.len() >= INPUT_MAX_BYTES {
        input.truncate(rng.usize(..INPUT_MAX_BYTES));
    }
    match rng.u8(..13) {
        0 => change(input, rng, |byte, rng| *byte ^= 1 << rng.u8(..8)),
        1 => change(input, rng, |byte, rng| *byte = rng.u8(..)),
        2 => change(input, rng, |byte, rng| *byte = byte.wrapping_add(rng.u8(..9)).wrapping_sub(4)),
        3 => insert(input, &[rng.u8(..)], rng),
        4 => remove(input, rng),
        5 => double(input, rng),
        6 => input.truncate(rng.usize(..=input.len())),
        7 => splice(input, other, rng),
        8 => borrow(input, other, rng),
        9 => edge(input, rng),
        10 => decimal_edge(input, rng),
        _ => {
            if let Some(word) = rng.choice(words) {
                if rng.bool() { insert(input, word, rng) } else { overwrite(input, word, rng) }
            }
        }
    }
}

fn change(input: &mut [u8], rng: &mut Rng, change: impl FnOnce(&mut u8, &mut Rng)) {
    if !input.is_empty() {
        let at = rng.usize(..input.len());
        change(&mut input[at], rng);
    }
}

fn insert(input: &mut Vec<u8>, piece: &[u8], rng: &mut Rng) {
    let at = rng.usize(..=input.len());
    input.splice(at..at, piece.iter().copied());
}

fn overwrite(input: &mut [u8], piece: &[u8], rng: &mut Rng) {
    if let Some(last) = input.len().checked_sub(piece.len()) {
        let at = rng.usize(..=last);
        input[at..at + piece.len()].copy_from_slice(piece);
    }
}

/// Some piece of `input`.
fn piece(input: &[u8], rng: &mut Rng) -> std::ops::Range<usize> {
    let from = rng.usize(..=input.len());
    let to = from + rng.usize(..=PIECE_MAX_BYTES.min(input.len() - from));
    from..to
}

fn remove(input: &mut Vec<u8>, rng: &mut Rng) {
    let range = piece(input, rng);
    input.drain(range);
}

fn double(input: &mut Vec<u8>, rng: &mut Rng) {
    let copy = input[piece(input, rng)].to_vec();
    insert(input, &copy, rng);
}

/// The beginning of one, the end of the other.
fn splice(input: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    input.truncate(rng.usize(..=input.len()));
    input.extend_from_slice(&other[rng.usize(..=other.len())..]);
}

fn borrow(input: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    insert(input, &other[piece(other, rng)], rng);
}

/// A number of 2, 4 or 8 bytes, in either byte order.
fn edge(input: &mut [u8], rng: &mut Rng) {
    let number = EDGES[rng.usize(..EDGES.len())].wrapping_add(rng.u64(..3)).wrapping_sub(1);
    let width = [2, 4, 8][rng.usize(..3)];
    if rng.bool() {
        overwrite(input, &number.to_be_bytes()[8 - width..], rng);
    } else {
        overwrite(input, &number.to_le_bytes()[..width], rng);
    }
}

/// A number in decimal, in the place of one that is there.
fn decimal_edge(input: &mut Vec<u8>, rng: &mut Rng) {
    let starts = rng.usize(..=input.len());
    let Some(from) = input[starts..].iter().position(u8::is_ascii_digit) else { return };
    let from = starts + from;
    let digits = input[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = EDGES[rng.usize(..EDGES.len())];
    let sign = if rng.u8(..4) == 0 { "-" } else { "" };
    input.splice(from..from + digits, format!("{sign}{number}").into_bytes());
}
