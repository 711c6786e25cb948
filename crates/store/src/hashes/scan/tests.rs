//! Cursors, and walks over what stays, grows, shrinks, and does both by leaps.

use std::collections::HashMap;

use super::*;
use crate::hash::HASHED;
use crate::hashes::tests::{large, owned};
use crate::hashes::{Fields, NewHash, NewKept};

/// One step; adds to each field how often it has been shown.
fn step(hash: &NewHash, cursor: u64, count: usize, seen: &mut HashMap<Vec<u8>, u32>) -> u64 {
    let mut shown = 0;
    let next = hash.view().scan(cursor, count, |field, _| {
        *seen.entry(owned(field)).or_default() += 1;
        shown += 1;
    });
    // Those of one tag come together.
    assert!(shown <= count.saturating_add(8), "{shown} shown where {count} were asked for");
    assert!(shown >= count || next == 0, "{shown} shown where {count} were asked for");
    next
}

fn fields(hash: &mut NewHash) -> &mut Fields {
    match &mut hash.kept {
        NewKept::Large(fields) => fields,
        NewKept::Packed(_) => panic!("it is large"),
    }
}

#[test]
fn a_cursor_is_its_place() {
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..10_000 {
        let bits = rng.u32(0..=PREFIX_MAX_BITS);
        let from = if bits == 0 { 0 } else { rng.u64(..) >> (64 - bits) << (64 - bits) };
        let place = Place { from, bits, tag: rng.u8(..) };
        assert_ne!(place.cursor(), 0);
        assert_eq!(Place::of(place.cursor()), Some(place));
        assert!(place.has(from) && (bits == 0 || !place.has(from ^ 1 << (64 - bits))));
    }
    assert_eq!(Place::of(0), Some(Place { from: 0, bits: 0, tag: 0 }));
}

#[test]
fn a_walk_over_what_stays_shows_each_once_and_hashes_none() {
    for (len, counts) in
        [(1, [1, 9]), (128, [1, 10]), (5000, [7, 1000]), (50_000, [10, usize::MAX])]
    {
        let hash = large(len);
        for count in counts {
            let before = HASHED.get();
            let (mut seen, mut cursor, mut steps) = (HashMap::new(), 0, 0);
            loop {
                cursor = step(&hash, cursor, count, &mut seen);
                steps += 1;
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!(seen.len(), len as usize);
            assert!(seen.values().all(|&times| times == 1));
            assert!(steps <= len as usize / count + 1, "{steps} steps");
            assert_eq!(HASHED.get(), before);
        }
    }
}

/// Growth shows less than a segment again, and shrinking nothing.
#[test]
fn a_leap_repeats_less_than_a_segment() {
    for (at, (first, then)) in [(100, 20_000), (20_000, 100), (3000, 9000)].into_iter().enumerate()
    {
        for stop in [1, 5, 9, 100] {
            let mut hash = large(first);
            let (mut seen, mut cursor) = (HashMap::new(), 0);
            for _ in 0..stop {
                cursor = step(&hash, cursor, 10, &mut seen);
                if cursor == 0 {
                    break;
                }
            }
            for n in first.min(then)..first.max(then) {
                let field = format!("field:{n}");
                if then > first {
                    fields(&mut hash).set(field.as_bytes(), b"");
                } else {
                    fields(&mut hash).remove(field.as_bytes(), &mut 0);
                }
            }
            while cursor != 0 {
                cursor = step(&hash, cursor, 10, &mut seen);
            }
            let times = (0..first.min(then)).map(|n| seen[format!("field:{n}").as_bytes()]);
            let again: u32 = times.map(|times| times - 1).sum();
            let most = if then > first { FIELDS_MAX as u32 } else { 0 };
            assert!(again <= most, "case {at}, {stop} steps: {again} again");
        }
    }
}

#[test]
fn a_walk_shows_all_that_stays() {
    for seed in 0..32 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let count = [1, 10, 40, 200][seed as usize % 4];
        let going = [150, 2000, 20_000][rng.usize(0..3)];
        let stay = rng.u32(1..2000);
        let mut hash = large(stay);
        let change = |hash: &mut NewHash, n: u32, comes: bool| {
            let field = format!("going:{n}");
            if comes {
                fields(hash).set(field.as_bytes(), b"");
            } else {
                fields(hash).remove(field.as_bytes(), &mut 0);
            }
        };
        let (mut seen, mut cursor, mut steps) = (HashMap::new(), 0, 0);
        loop {
            cursor = step(&hash, cursor, count, &mut seen);
            steps += 1;
            if cursor == 0 {
                break;
            }
            // By turns it grows and shrinks through splits and merges, now and then by a leap.
            let grows = steps / 30 % 2 == 0;
            if rng.u8(0..60) == 0 {
                (0..going).for_each(|n| change(&mut hash, n, grows));
            }
            for _ in 0..rng.usize(0..4 * count) {
                change(&mut hash, rng.u32(0..going), grows);
            }
            assert!(steps < 200_000, "seed {seed}: the walk comes to an end");
        }
        for n in 0..stay {
            assert!(seen.contains_key(format!("field:{n}").as_bytes()), "seed {seed}: {n}");
        }
    }
}

#[test]
fn any_cursor_is_taken() {
    let hash = large(1000);
    let mut rng = fastrand::Rng::with_seed(4);
    let some = [1, 2, 255, 256, 1 << 20, (1 << 48) - 1, 1 << 48, u64::MAX];
    for mut at in some.into_iter().chain((0..1000).map(|_| rng.u64(..) >> rng.u32(0..64))) {
        let mut left = 1000;
        loop {
            at = hash.view().scan(at, 7, |_, _| ());
            if at == 0 {
                break;
            }
            left -= 1;
            assert!(left > 0, "it comes to an end");
        }
    }
}
