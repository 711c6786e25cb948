//! Small things about text: printing that survives a closed pipe, and numbers read as C does.

use std::io::{self, Write};

use crate::{Step, Stop};

/// Writes to standard output. A closed pipe ends the program without a word.
pub(crate) fn put(bytes: impl AsRef<[u8]>) -> Step<()> {
    io::stdout().write_all(bytes.as_ref()).map_err(|_| Stop::Exit(1))
}

/// Makes what was [`put`] visible now.
pub(crate) fn flush() -> Step<()> {
    io::stdout().flush().map_err(|_| Stop::Exit(1))
}

/// Writes a line to standard error; a closed standard error is nobody's business.
pub(crate) fn complain(text: impl AsRef<[u8]>) {
    let mut line = text.as_ref().to_vec();
    line.push(b'\n');
    // One write, so that lines of several processes do not mix.
    let _ = io::stderr().write_all(&line);
}

/// The system's words for an error, without Rust's additions around them.
pub(crate) fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    match text.rfind(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text.to_owned(),
    }
}

/// C's notion of white space.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// What `strtoll` makes of a text.
pub(crate) struct LeadingNumber {
    /// The number, held at the ends of its range.
    pub(crate) value: i64,
    /// Whether it was out of range.
    pub(crate) overflowed: bool,
    /// How many bytes belong to it; 0 when there is no digit.
    pub(crate) bytes: usize,
}

/// Reads the number at the front of `text` as C's `strtoll` does: blanks, a sign, digits, and
/// whatever follows is left alone.
pub(crate) fn leading_number(text: &[u8]) -> LeadingNumber {
    let blanks = text.iter().take_while(|&&byte| is_space(byte)).count();
    let (negative, sign) = match text.get(blanks) {
        Some(b'-') => (true, 1),
        Some(b'+') => (false, 1),
        _ => (false, 0),
    };
    let digits = &text[blanks + sign..];
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut value: i64 = 0;
    let mut overflowed = false;
    for &digit in &digits[..count] {
        let digit = i64::from(digit - b'0');
        let digit = if negative { -digit } else { digit };
        match value.checked_mul(10).and_then(|tens| tens.checked_add(digit)) {
            Some(next) => value = next,
            None => {
                overflowed = true;
                value = if negative { i64::MIN } else { i64::MAX };
                break;
            }
        }
    }
    let bytes = if count == 0 { 0 } else { blanks + sign + count };
    LeadingNumber { value, overflowed, bytes }
}

/// Reads an `int` as C's `atoi` does, held at the ends of its range.
pub(crate) fn leading_int(text: &[u8]) -> i32 {
    let value = leading_number(text).value;
    i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}

/// Reads a decimal fraction at the front of `text`, 0 when there is none.
pub(crate) fn leading_fraction(text: &[u8]) -> f64 {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_start();
    (1..=text.len())
        .rev()
        .filter(|&end| text.is_char_boundary(end))
        .find_map(|end| text[..end].parse().ok())
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, value, bytes) in [
            ("12", 12, 2),
            (" -12x", -12, 4),
            ("+7", 7, 2),
            ("", 0, 0),
            ("-", 0, 0),
            ("abc", 0, 0),
            ("9223372036854775808", i64::MAX, 19),
            ("-9223372036854775808", i64::MIN, 20),
        ] {
            let got = leading_number(text.as_bytes());
            assert_eq!((got.value, got.bytes), (value, bytes), "{text:?}");
        }
        assert!(leading_number(b"9223372036854775808").overflowed);
        assert!(!leading_number(b"-9223372036854775808").overflowed);
        assert_eq!(leading_fraction(b"0.25s"), 0.25);
        assert_eq!(leading_fraction(b"x"), 0.0);
        assert_eq!(leading_int(b"99999999999"), i32::MAX);
    }

    #[test]
    fn system_errors_lose_their_number() {
        let error = io::Error::from_raw_os_error(111);
        assert_eq!(error_text(&error), "Connection refused");
    }
}
