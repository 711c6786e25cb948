//! Round trips, the choices of liblzf, and streams that lie.

use super::*;

fn both(input: &[u8]) {
    let mut compressor = Compressor::new();
    for effort in [Effort::Quick, Effort::Liblzf, Effort::Quick] {
        if let Some(packed) = compressor.compress(input, effort) {
            assert!(packed.len() <= input.len() - 4);
            let mut out = b"before".to_vec();
            decompress(packed, input.len(), &mut out).expect("our own stream");
            assert_eq!(&out[6..], input, "{effort:?}");
        }
    }
}

/// A small generator with a fixed seed.
fn random(seed: u64) -> impl FnMut() -> u32 {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    }
}

#[test]
fn what_is_packed_comes_back() {
    for length in 0..600 {
        both(&vec![b'x'; length]);
    }
    let mut next = random(7);
    for round in 0..3000 {
        let (length, letters) = (next() as usize % 3000, 1 + next() % (1 << (round % 8)));
        let input: Vec<u8> = (0..length).map(|_| (next() % letters) as u8).collect();
        both(&input);
    }
    let far: Vec<u8> = (0..40_000u32).map(|i| (((i % 8191) * 31) >> 3) as u8).collect();
    both(&far);
}

#[test]
fn text_that_repeats_gets_shorter() {
    let text = b"the quick brown fox jumps over the lazy dog; ".repeat(20);
    let mut compressor = Compressor::new();
    for effort in [Effort::Quick, Effort::Liblzf] {
        let packed = compressor.compress(&text, effort).expect("it repeats");
        assert!(packed.len() < 80, "{effort:?}: {}", packed.len());
    }
}

#[test]
fn a_compressor_forgets_its_last_input() {
    let mut compressor = Compressor::new();
    let text: Vec<u8> = (0..200u8).collect();
    for _ in 0..3 {
        assert_eq!(compressor.compress(&text, Effort::Liblzf), None);
        assert_eq!(compressor.compress(&text, Effort::Quick), None);
    }
    compressor.base = u32::MAX - 100;
    assert_eq!(compressor.compress(&text, Effort::Quick), None);
    assert_eq!(compressor.base, 201, "the table was cleared and counts anew");
    both(&text);
}

#[test]
fn streams_that_lie_are_refused() {
    let cases: &[(&[u8], usize)] = &[
        (b"", 1),
        (b"\x05abc", 6),
        (b"\x00a", 2),
        (b"\x01ab", 1),
        (b"\x20\x00", 3),
        (b"\x00a\x20\x01", 4),
        (b"\x00a\x20", 4),
        (b"\x00a\xe0\x00", 10),
        (b"\x00a\xe0\xff\x00", 264),
        (b"\x00a\xe0\xff\x00", 266),
        (b"\x00a", 1 << 60),
    ];
    for (stream, length) in cases {
        let mut out = b"kept".to_vec();
        assert_eq!(decompress(stream, *length, &mut out), Err(BadStream), "{stream:?}");
        assert_eq!(out, b"kept");
        assert!(out.capacity() < 4096);
    }
    let mut out = Vec::new();
    assert_eq!(decompress(b"\x00a\xe0\xff\x00", 265, &mut out), Ok(()));
    assert_eq!(out, [b'a'; 265]);
}

#[test]
fn random_streams_never_panic() {
    let mut next = random(11);
    let mut good = 0;
    for _ in 0..200_000 {
        let length = next() as usize % 24;
        let stream: Vec<u8> = (0..length).map(|_| (next() >> 3) as u8 & next() as u8).collect();
        let mut out = Vec::new();
        good += usize::from(decompress(&stream, next() as usize % 64, &mut out).is_ok());
    }
    assert!(good > 100, "the streams are too wild to test anything: {good}");
}
