//! Bytes as Redis lays them out, changes against a list, refusal of what is wrong.

use super::frame::{COUNT_UNKNOWN, back_bytes, header_count};
use super::*;

fn of(texts: &[&[u8]]) -> Vec<u8> {
    let mut list = Vec::new();
    texts.iter().for_each(|text| push(&mut list, text));
    list
}

/// As Redis writes it.
fn framed(list: &[u8]) -> Vec<u8> {
    let mut out = b"something else".to_vec();
    frame::write(list, &mut out);
    out
}

/// Without the frame, if there is one.
fn stripped(listpack: &[u8]) -> Option<Vec<u8>> {
    frame::strip(listpack, &mut Vec::new()).map(<[u8]>::to_vec)
}

fn texts(list: &[u8]) -> Vec<Vec<u8>> {
    let owned = |item: Item<'_>| item.text.bytes(&mut itoa::Buffer::new()).to_vec();
    items(list).map(owned).collect()
}

fn samples() -> Vec<Vec<u8>> {
    let mut samples: Vec<Vec<u8>> = Vec::new();
    for bits in 0..64 {
        for near in [-1, 0, 1] {
            let number = (1i64 << bits).wrapping_add(near);
            samples.push(number.to_string().into_bytes());
            samples.push(number.wrapping_neg().to_string().into_bytes());
        }
    }
    for len in [0, 1, 62, 63, 64, 65, 120, 126, 127, 128, 4090, 4095, 4096, 16_370, 16_400] {
        samples.push(vec![b'x'; len]);
    }
    samples.extend([b"007".to_vec(), b"-0".to_vec(), b"1.5".to_vec()]);
    samples
}

#[test]
fn every_text_comes_back() {
    let samples = samples();
    let mut list = Vec::new();
    for (n, sample) in samples.iter().enumerate() {
        push(&mut list, sample);
        assert_eq!(count(&list), n + 1);
    }
    assert!(texts(&list) == samples);
    assert!(check::is_listpack(&framed(&list)));
    assert!(stripped(&framed(&list)).as_ref() == Some(&list));
    for sample in &samples {
        let found = find(&list, sample, 1).expect("it was put there");
        assert_eq!(found.text.bytes(&mut itoa::Buffer::new()), sample);
    }
    assert!(find(&list, b"nothing", 1).is_none());
}

#[test]
fn the_bytes_are_those_of_redis() {
    let list = of(&[b"abc", b"1", b"-1", b"200", b"70000", b"-9000000000"]);
    let expected = b"\x28\0\0\0\x06\0\x83abc\x04\x01\x01\xdf\xff\x02\xc0\xc8\x02\
                     \xf2\x70\x11\x01\x04\xf4\x00\xe6\x8e\xe7\xfd\xff\xff\xff\x09\xff";
    let listpack = framed(&list);
    assert_eq!(listpack[6..].escape_ascii().to_string(), expected[6..].escape_ascii().to_string());
    assert_eq!(listpack.len(), usize::from(listpack[0]));
    assert_eq!(listpack.len(), list.len() + 6 + 7);
    assert_eq!(framed(&[]), [7, 0, 0, 0, 0, 0, 0xff]);
    // The borders of the back length.
    for (size, bytes) in [(127, 1), (128, 2), (16_382, 2), (16_383, 3), (2_097_151, 4)] {
        assert_eq!(back_bytes(size), bytes, "{size}");
    }
}

#[test]
fn items_change_in_any_place() {
    let mut rng = fastrand::Rng::with_seed(5);
    let samples = samples();
    let mut list = Vec::new();
    let mut model: Vec<Vec<u8>> = Vec::new();
    let mut room = Vec::new();
    for round in 0..3000 {
        let sample = &samples[rng.usize(..samples.len())];
        let nth = rng.usize(..model.len().max(1));
        let at = items(&list).nth(nth).map(|item| item.at..item.end);
        match (rng.u8(..5), at) {
            (0, Some(range)) => {
                remove(&mut list, range, 1);
                model.remove(nth);
            }
            (1 | 2, Some(range)) => {
                let before = list.clone();
                if replace_in_place(&mut list, range.clone(), sample) {
                    assert_eq!(list.len(), before.len());
                } else {
                    assert!(list == before);
                    replace(&mut list, range, sample);
                }
                model[nth].clone_from(sample);
            }
            _ if model.len() < 40 => {
                push(&mut list, sample);
                model.push(sample.clone());
            }
            _ => {}
        }
        assert!(check::is_listpack(&framed(&list)), "round {round}");
        assert!(frame::strip(&framed(&list), &mut room) == Some(&list[..]), "round {round}");
        assert_eq!(count(&list), model.len());
        assert!(texts(&list) == model, "round {round}");
    }
}

#[test]
fn any_count_is_known() {
    let mut list = Vec::new();
    let mut sizes = Vec::new();
    for n in 0..70_000u32 {
        push(&mut list, n.to_string().as_bytes());
        assert_eq!(count(&list), n as usize + 1);
        sizes.push(list.len());
    }
    let listpack = framed(&list);
    assert_eq!(header_count(&listpack), COUNT_UNKNOWN);
    assert!(check::is_listpack(&listpack));
    assert!(stripped(&listpack).as_ref() == Some(&list));
    // And back over the border below which nobody keeps a count.
    let end = items(&list).nth(299).expect("there are more").end;
    list.truncate(end);
    recount(&mut list, 300 - 70_000);
    for n in (0..300).rev() {
        let last = items(&list).nth(n).map(|item| item.at..item.end);
        remove(&mut list, last.expect("it is there"), 1);
        assert_eq!((count(&list), items(&list).count()), (n, n));
        assert_eq!(list.len(), if n == 0 { 0 } else { sizes[n - 1] });
        assert_eq!(stored_count(&list).is_some(), list.len() > UNCOUNTED_MAX_BYTES);
    }
}

#[test]
fn a_text_is_found_wherever_it_stands() {
    // Texts that differ in one place only, of every length that is compared in its own way.
    for len in 0..80 {
        let variants: Vec<Vec<u8>> = (0..len)
            .map(|at| {
                let mut text = vec![b'a'; len];
                text[at] = b'b';
                text
            })
            .collect();
        let texts: Vec<&[u8]> = variants.iter().map(Vec::as_slice).collect();
        let list = of(&texts);
        for (nth, text) in texts.iter().enumerate() {
            let found = find(&list, text, 1).expect("it is there");
            assert_eq!(items(&list).position(|item| item.at == found.at), Some(nth));
            // Of pairs, only the first of each counts.
            assert_eq!(find(&list, text, 2).is_some(), nth % 2 == 0);
        }
        assert!(find(&list, &vec![b'a'; len], 1).is_none_or(|_| len == 0));
        assert!(find(&of(&[b"", b"x"]), b"", 2).is_some());
    }
}

#[test]
fn another_form_of_a_text_is_found_too() {
    // Nobody writes these, but a file may hold them: a number as text, and heads that are longer
    // than they need be.
    let list = b"\x82\x31\x32\x01\xe0\x03abc\xf1\x05\x00".to_vec();
    assert_eq!(count(&list), items(&list).count());
    for text in [&b"12"[..], b"1", b"abc", b"5"] {
        let found = find(&list, text, 1).expect("it is there");
        assert_eq!(found.text.bytes(&mut itoa::Buffer::new()), text);
    }
    let listpack = framed(&list);
    assert!(check::is_listpack(&listpack));
    assert!(stripped(&listpack).as_ref() == Some(&list));
}

#[test]
fn no_wrong_byte_passes_that_would_be_trusted() {
    let good = framed(&of(&[b"abc", b"1", b"-1", b"200", b"70000", b"-9000000000"]));
    assert!(check::is_listpack(&good));
    let mut refused = 0;
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            if check::is_listpack(&bad) {
                // Then it can be read.
                let list = stripped(&bad).expect("it is one");
                assert_eq!(items(&list).count(), count(&list));
                assert!(framed(&list)[6..] == bad[6..]);
            } else {
                assert_eq!(stripped(&bad), None);
                refused += 1;
            }
        }
        assert!(!check::is_listpack(&good[..at]));
    }
    assert!(refused > good.len());
}

#[test]
fn no_two_pairs_may_have_the_same_field() {
    let pairs = |fields: &[Vec<u8>]| {
        let mut list = Vec::new();
        for field in fields {
            push(&mut list, field);
            push(&mut list, b"value");
        }
        list
    };
    // Enough that some have the same mark; and few, which seldom have.
    let many: Vec<_> = (0..600).map(|n| format!("some-field:{n}").into_bytes()).collect();
    let mut samples = samples();
    samples.sort_unstable();
    samples.dedup();
    for fields in [&many[..], &many[..10], &samples] {
        assert!(check::has_distinct_fields(&pairs(fields)));
        for twice in [0, fields.len() / 2, fields.len() - 1] {
            for at in [0, fields.len()] {
                let mut fields = fields.to_vec();
                fields.insert(at, fields[twice].clone());
                assert!(!check::has_distinct_fields(&pairs(&fields)), "{twice} {at}");
            }
        }
    }
    // A number and its text are the same field.
    assert!(!check::has_distinct_fields(b"\x0c\x01\x8212\x01"));
    assert!(check::has_distinct_fields(b"\x0c\x01\x8213\x01"));
    // A field without a value.
    assert!(!check::has_distinct_fields(b"\x0c\x01\x0d"));
    assert!(check::has_distinct_fields(b""));
}
