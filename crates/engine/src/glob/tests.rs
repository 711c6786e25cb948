//! Patterns against texts, and the time they may take.

use super::{matches, matches_ignoring_case};

/// Each line: pattern, text, whether they fit. Compared with a stock server's CONFIG GET and
/// KEYS.
#[test]
fn patterns_fit_as_they_do_in_redis() {
    let cases: &[(&[u8], &[u8], bool)] = &[
        (b"", b"", true),
        (b"", b"a", false),
        (b"*", b"", false),
        (b"*", b"a", true),
        (b"**", b"a", true),
        (b"a*", b"a", true),
        (b"a**", b"a", true),
        (b"a*?", b"a", false),
        (b"?", b"a", true),
        (b"?", b"", false),
        (b"a?c", b"abc", true),
        (b"a*c", b"abcbc", true),
        (b"a*bc*d", b"abbcxxd", true),
        (b"a*bc*d", b"abbxcxd", false),
        (b"*a*b", b"xaxbxb", true),
        (b"*ab", b"aab", true),
        (b"[abc]", b"b", true),
        (b"[^abc]", b"b", false),
        (b"[^abc]", b"d", true),
        (b"[a-c]x", b"bx", true),
        (b"[c-a]x", b"bx", true),
        (b"[a-]", b"b", false),
        (b"[a-]", b"^", true),
        (b"[a-]x", b"b", false),
        (b"[\\]]", b"]", true),
        (b"[]", b"a", false),
        (b"[^]", b"a", true),
        (b"[", b"a", false),
        (b"[^", b"a", true),
        (b"[ab", b"b", true),
        (b"\\*", b"*", true),
        (b"\\*", b"a", false),
        (b"\\", b"\\", true),
        (b"a\\", b"a\\", true),
        (b"[\\", b"\\", true),
        (b"[\x01-\xff]", b"\x00", true),
        (b"[\x01-\xff]", b"a", false),
        (b"h[ae]llo*\\?", b"hallo you?", true),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(
            matches(pattern, text),
            *expected,
            "{} on {}",
            pattern.escape_ascii(),
            text.escape_ascii()
        );
    }
}

#[test]
fn case_may_be_ignored() {
    assert!(!matches(b"Max*", b"maxmemory"));
    assert!(matches_ignoring_case(b"Max*", b"maxmemory"));
    assert!(matches_ignoring_case(b"m[A-B]x", b"max"));
    assert!(matches_ignoring_case(b"MAX", b"max"));
    // An escaped byte of a class is itself, in Redis too.
    assert!(!matches_ignoring_case(b"[\\A]", b"a"));
}

/// The plain definition, exponential as it may be.
fn slow(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|taken| slow(rest, &text[taken..])),
        [b'?', rest @ ..] => !text.is_empty() && slow(rest, &text[1..]),
        [byte, rest @ ..] => text.first() == Some(byte) && slow(rest, &text[1..]),
    }
}

#[test]
fn trying_only_the_last_star_again_is_enough() {
    let mut random = fastrand::Rng::with_seed(36021);
    for _ in 0..50_000 {
        let pattern: Vec<u8> =
            (0..random.usize(0..8)).map(|_| b"ab*?"[random.usize(0..4)]).collect();
        let text: Vec<u8> = (0..random.usize(1..10)).map(|_| b"ab"[random.usize(0..2)]).collect();
        assert_eq!(
            matches(&pattern, &text),
            slow(&pattern, &text),
            "{} on {}",
            pattern.escape_ascii(),
            text.escape_ascii()
        );
    }
}

#[test]
fn an_abusive_pattern_is_quick() {
    let text = vec![b'a'; 50_000];
    let many = b"a*".repeat(900);
    assert!(!matches(&[many.as_slice(), b"b"].concat(), &text));
    assert!(matches(&many, &text));
    // More stars than Redis goes through.
    assert!(!matches(&b"*?".repeat(50_000), &text));
    assert!(!matches(&[b"a*".repeat(1001).as_slice(), b"a"].concat(), &text));
    assert!(matches(&[b"a*".repeat(1000).as_slice(), b"a"].concat(), &text));
}
