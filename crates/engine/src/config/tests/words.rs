//! Words, quotes and sizes.

use crate::config::words::*;

fn words(line: &str) -> Option<Vec<String>> {
    let words = split_words(line.as_bytes())?;
    Some(words.iter().map(|word| word.escape_ascii().to_string()).collect())
}

#[test]
fn a_line_is_cut_into_words() {
    let cases = [
        ("", Some(vec![])),
        (" \t ", Some(vec![])),
        ("a  b\tc", Some(vec!["a", "b", "c"])),
        (r#""a b" 'c d'"#, Some(vec!["a b", "c d"])),
        (r#""\x41\n\t\\\"\q""#, Some(vec!["A\\n\\t\\\\\\\"q"])),
        (r#""\xZZ""#, Some(vec!["xZZ"])),
        (r"'it\'s' '\n'", Some(vec!["it\\'s", "\\\\n"])),
        (r#"a"b c""#, Some(vec!["ab c"])),
        (r#""" ''"#, Some(vec!["", ""])),
        (r#""a"b"#, None),
        (r#"'a'b"#, None),
        (r#""a"#, None),
        (r#"'a"#, None),
        (r#""a\"#, None),
        ("a\0b", Some(vec!["a"])),
    ];
    for (line, expected) in cases {
        let expected = expected.map(|words| words.into_iter().map(str::to_owned).collect());
        assert_eq!(words(line), expected, "{line}");
    }
}

#[test]
fn a_quoted_word_reads_back() {
    let every_byte: Vec<u8> = (1..=255).collect();
    let mut quoted = Vec::new();
    push_quoted(&mut quoted, &every_byte);
    assert!(quoted.is_ascii());
    assert_eq!(split_words(&quoted), Some(vec![every_byte]));
    quoted.clear();
    push_quoted(&mut quoted, b"\0");
    assert_eq!(quoted, br#""\x00""#);
    assert_eq!(split_words(&quoted), Some(vec![vec![0]]));
}

#[test]
fn memory_has_units() {
    let cases: [(&str, Option<u64>); 16] = [
        ("0", Some(0)),
        ("100", Some(100)),
        ("1b", Some(1)),
        ("1k", Some(1000)),
        ("1KB", Some(1024)),
        ("2m", Some(2_000_000)),
        ("2mb", Some(2 << 20)),
        ("3g", Some(3_000_000_000)),
        ("3Gb", Some(3 << 30)),
        ("", Some(0)),
        ("kb", Some(0)),
        ("-1", None),
        ("1x", None),
        ("1 kb", None),
        ("99999999999999999999", Some(u64::MAX)),
        ("18446744073709551615k", Some(u64::MAX.wrapping_mul(1000))),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_memory(text.as_bytes()), expected, "{text}");
    }
    assert_eq!(parse_memory(&[b'1'; 128]), None);
    let cases = [(0, "0"), (1 << 30, "1gb"), (3 << 20, "3mb"), (1024, "1kb"), (1000, "1000")];
    for (bytes, expected) in cases {
        assert_eq!(format_memory(bytes), expected);
    }
}

#[test]
fn integers_may_be_read_as_c_does() {
    type Case = (&'static str, u8, Option<(i64, bool)>);
    let cases: [Case; 12] = [
        ("", 10, Some((0, false))),
        (" +7", 10, Some((7, false))),
        ("-7", 10, Some((-7, false))),
        ("007", 10, Some((7, false))),
        ("7 ", 10, None),
        (" ", 10, None),
        ("-", 10, None),
        ("777", 8, Some((0o777, false))),
        ("8", 8, None),
        ("9223372036854775808", 10, Some((i64::MAX, true))),
        ("-9223372036854775808", 10, Some((i64::MIN, false))),
        ("-99999999999999999999999999999999999999999999999", 10, Some((i64::MIN, true))),
    ];
    for (text, radix, expected) in cases {
        assert_eq!(parse_c_integer(text.as_bytes(), radix), expected, "{text}");
    }
}
