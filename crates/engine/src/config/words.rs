//! Words and numbers as `redis.conf` writes them.

/// Cuts a line into words. A word may be in double quotes, where `\n \r \t \b \a`, `\xNN` and
/// `\` before any other character are escapes, or in single quotes, where only `\'` is one.
/// `None` if a quote does not end, or if something other than a blank follows its end.
///
/// A zero byte ends the line.
pub fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        while let [first, tail @ ..] = rest
            && is_space(*first)
        {
            rest = tail;
        }
        if rest.is_empty() {
            return Some(words);
        }
        let (word, tail) = one_word(rest)?;
        words.push(word);
        rest = tail;
    }
}

/// The word at the start of `text`, and what follows it.
fn one_word(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    let mut rest = text;
    loop {
        match rest {
            [] => return Some((word, rest)),
            [b' ' | b'\n' | b'\r' | b'\t', tail @ ..] => return Some((word, tail)),
            [quote @ (b'"' | b'\''), tail @ ..] => {
                let tail = quoted(*quote, tail, &mut word)?;
                // The closing quote ends the word.
                return match tail {
                    [] => Some((word, tail)),
                    [next, ..] if is_space(*next) => Some((word, tail)),
                    _ => None,
                };
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

/// Takes what stands before the closing `quote`; returns what follows it.
fn quoted<'a>(quote: u8, text: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        rest = match (quote, rest) {
            (_, []) => return None,
            (b'"', [b'\\', b'x', high, low, tail @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex_digit(*high) << 4 | hex_digit(*low));
                tail
            }
            (b'"', [b'\\', escaped, tail @ ..]) => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                tail
            }
            (b'\'', [b'\\', b'\'', tail @ ..]) => {
                word.push(b'\'');
                tail
            }
            (_, [byte, tail @ ..]) if *byte == quote => return Some(tail),
            (_, [byte, tail @ ..]) => {
                word.push(*byte);
                tail
            }
        };
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => unreachable!("checked by the caller"),
    }
}

/// Blanks between words: those of C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Appends `text` in double quotes, so that [`split_words`] reads it back as one word.
pub fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &byte in text {
        match byte {
            b'\\' | b'"' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x07 => out.extend(b"\\a"),
            0x08 => out.extend(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => {
                out.extend([b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]])
            }
        }
    }
    out.push(b'"');
}

/// Reads an amount of memory: digits, then nothing or one of `b k kb m mb g gb` in any case,
/// where `k` is 1000 and `kb` is 1024. No digits are zero, and what is too large wraps round,
/// because Redis does so.
pub fn parse_memory(text: &[u8]) -> Option<u64> {
    const LONGEST: usize = 127;
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    if digits > LONGEST {
        return None;
    }
    let number = number
        .iter()
        .fold(0u64, |value, byte| value.saturating_mul(10).saturating_add(u64::from(byte - b'0')));
    Some(number.wrapping_mul(factor))
}

/// The largest unit that writes `bytes` without a remainder: `1gb`, `64mb`, `3kb`, `100`.
pub(super) fn format_memory(bytes: i64) -> String {
    for (factor, unit) in [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")] {
        if bytes != 0 && bytes % factor == 0 {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

/// Reads an integer as C's `strtoll` does when it must use the whole text: blanks and a sign
/// may come first, and nothing at all is zero. What is too large becomes the nearest end of
/// the range, and the second value says so.
pub(super) fn parse_c_integer(text: &[u8], radix: u8) -> Option<(i64, bool)> {
    if text.is_empty() {
        return Some((0, false));
    }
    let blanks = text.iter().take_while(|byte| is_space(**byte)).count();
    let digits = &text[blanks..];
    let (negative, digits) = match digits {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(|d| (b'0'..b'0' + radix).contains(d)) {
        return None;
    }
    let size = digits.iter().fold(0i128, |value, digit| {
        // Far above any i64, far below the end of an i128.
        (value * i128::from(radix) + i128::from(digit - b'0')).min(1 << 100)
    });
    let value = if negative { -size } else { size };
    let nearest = value.clamp(i64::MIN.into(), i64::MAX.into());
    Some((i64::try_from(nearest).expect("it was clamped"), nearest != value))
}
