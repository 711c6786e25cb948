//! Numbers with a fraction, as INCRBYFLOAT reads, adds and prints them.
//!
//! Redis calculates in the 80-bit format of the x87: 64 bits of significand. A sum then prints
//! as people expect (0.1 + 0.2 is 0.3), and integers keep all their digits. The same is done here
//! on any processor, in software.
//!
//! Reading follows C's `strtold` (decimal, hexadecimal, `inf`), printing its `%.17Lf` with the
//! zeros at the end taken off: exact arithmetic, ties to even.

use rustc_apfloat::ieee::X87DoubleExtended;
use rustc_apfloat::{Float, Round, Status};

/// The longest text that is read as a number, in bytes.
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;

/// A number in the 80-bit format; never "not a number".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LongDouble(X87DoubleExtended);

impl LongDouble {
    /// Zero.
    pub const ZERO: LongDouble = LongDouble(X87DoubleExtended::ZERO);

    /// The number nearest to `value`; exact for each `i64`.
    pub fn from_i64(value: i64) -> LongDouble {
        LongDouble(X87DoubleExtended::from_i128(value.into()).value)
    }

    /// Reads the whole of `text`. `None` if it is no number, too large for the format or so
    /// small that it would become zero. An infinity that calls itself one is read.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        let (negative, magnitude) = match text.strip_prefix(['-', '+']) {
            Some(rest) => (text.starts_with('-'), rest),
            None => (false, text),
        };
        let is_word = |word: &str| magnitude.eq_ignore_ascii_case(word);
        let value = if is_word("inf") || is_word("infinity") {
            X87DoubleExtended::INFINITY
        } else {
            let parsed = X87DoubleExtended::from_str_r(&normalised(magnitude)?, NEAREST).ok()?;
            let underflowed = parsed.status.contains(Status::UNDERFLOW) && parsed.value.is_zero();
            if parsed.status.contains(Status::OVERFLOW) || underflowed {
                return None;
            }
            parsed.value
        };
        Some(LongDouble(if negative { -value } else { value }))
    }

    /// Whether it is no infinity.
    pub fn is_finite(self) -> bool {
        self.0.is_finite()
    }

    /// Its thousandfold, rounded up; `None` if 64 bits cannot hold that.
    pub fn thousandths_rounded_up(self) -> Option<i64> {
        let product = (self.0 * X87DoubleExtended::from_i128(1000).value).value;
        let mut exact = false;
        let rounded = product.to_i128_r(64, Round::TowardPositive, &mut exact);
        i64::try_from(rounded.value).ok().filter(|_| !rounded.status.contains(Status::INVALID_OP))
    }

    /// The sum; `None` if it is infinite or no number at all.
    #[must_use]
    pub fn checked_add(self, other: LongDouble) -> Option<LongDouble> {
        let sum = (self.0 + other.0).value;
        sum.is_finite().then_some(LongDouble(sum))
    }

    /// The number in decimal with at most 17 digits after the point, without an exponent and
    /// without needless zeros. The number must be finite.
    pub fn to_text(self) -> String {
        assert!(self.0.is_finite(), "infinities are refused before they are printed");
        let (digits, fraction) = fixed_point(self.0.to_bits());
        let mut text = String::with_capacity(digits.len() + FRACTION_DIGITS + 2);
        if self.0.is_negative() && (digits != "0" || fraction != 0) {
            text.push('-');
        }
        text.push_str(&digits);
        if fraction != 0 {
            let fraction = format!("{fraction:0FRACTION_DIGITS$}");
            text.push('.');
            text.push_str(fraction.trim_end_matches('0'));
        }
        text
    }
}

const NEAREST: rustc_apfloat::Round = rustc_apfloat::Round::NearestTiesToEven;

/// An unsigned number in the form that the soft-float library takes: hexadecimal with an
/// exponent, and exponents of a bounded length. `None` if C would not read all of it.
fn normalised(text: &str) -> Option<String> {
    let hexadecimal = text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    let (body, marks) = if hexadecimal { (&text[2..], ['p', 'P']) } else { (text, ['e', 'E']) };
    let (significand, exponent) = match body.split_once(marks) {
        Some((significand, exponent)) => (significand, bounded_exponent(exponent)?),
        None => (body, 0),
    };
    let is_digit = |c: char| if hexadecimal { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
    let digits = significand.chars().filter(|&c| is_digit(c)).count();
    let points = significand.chars().filter(|&c| c == '.').count();
    if digits == 0 || points > 1 || digits + points != significand.len() {
        return None;
    }
    Some(if hexadecimal {
        format!("0x{significand}p{exponent}")
    } else {
        format!("{significand}e{exponent}")
    })
}

/// An exponent, brought to where every significand that can be read has over- or underflowed.
fn bounded_exponent(text: &str) -> Option<i32> {
    const BOUND: i32 = 1_000_000;
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value = digits.bytes().fold(0, |value: i32, b| {
        (value.saturating_mul(10).saturating_add(i32::from(b - b'0'))).min(BOUND)
    });
    Some(if negative { -value } else { value })
}

const FRACTION_DIGITS: usize = 17;
const FRACTION_SCALE: u128 = 10u128.pow(FRACTION_DIGITS as u32);

/// Splits a finite number into the digits before the point and the 17 after it, rounded.
fn fixed_point(bits: u128) -> (String, u128) {
    // Sign, 15 bits of exponent, 64 bits of significand whose first bit stands for 1.
    let significand = bits & u128::from(u64::MAX);
    let exponent = (bits >> 64) as i32 & 0x7fff;
    // A subnormal number has the exponent of the smallest normal one.
    let shift = exponent.max(1) - 16383 - 63;
    match u32::try_from(shift) {
        Ok(up) if up <= 64 => ((significand << up).to_string(), 0),
        Ok(up) => (shifted_up(significand as u64, up), 0),
        Err(_) => {
            // Below 2^121, as 10^17 takes 57 bits.
            let scaled = shifted_down(significand * FRACTION_SCALE, shift.unsigned_abs());
            ((scaled / FRACTION_SCALE).to_string(), scaled % FRACTION_SCALE)
        }
    }
}

/// `value / 2^down`, rounded to the nearest integer, ties to the even one.
fn shifted_down(value: u128, down: u32) -> u128 {
    if down > 127 {
        // Less than one half, as `value` is below 2^127.
        return 0;
    }
    let whole = value >> down;
    let rest = value & ((1 << down) - 1);
    let half = 1u128 << (down - 1);
    let up = rest > half || (rest == half && whole & 1 == 1);
    whole + u128::from(up)
}

/// `value * 2^up` in decimal, for numbers of any length.
fn shifted_up(value: u64, up: u32) -> String {
    const CHUNK: u128 = 1_000_000_000_000_000_000;
    // Little-endian chunks of 18 digits; shifted by at most 64 bits at a time.
    let mut chunks = vec![u128::from(value) % CHUNK, u128::from(value) / CHUNK];
    let mut left = up;
    while left > 0 {
        let step = left.min(64);
        let mut carry = 0;
        for chunk in &mut chunks {
            // Below 10^18 * 2^64 + 2^65, which is below 2^125.
            let product = (*chunk << step) + carry;
            *chunk = product % CHUNK;
            carry = product / CHUNK;
        }
        while carry > 0 {
            chunks.push(carry % CHUNK);
            carry /= CHUNK;
        }
        left -= step;
    }
    let mut chunks = chunks.iter().rev().skip_while(|&&chunk| chunk == 0);
    let mut digits = chunks.next().map_or_else(|| "0".to_owned(), u128::to_string);
    digits.extend(chunks.map(|chunk| format!("{chunk:018}")));
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> String {
        let parse = |text: &str| LongDouble::parse(text.as_bytes()).expect(text);
        parse(a).checked_add(parse(b)).map_or("not finite".to_owned(), LongDouble::to_text)
    }

    /// The right-hand sides were given by INCRBYFLOAT of Redis 7.0.15 on x86-64.
    #[test]
    fn sums_print_as_redis_prints_them() {
        for (a, b, want) in [
            ("0.1", "0.2", "0.3"),
            ("1e17", "0.5", "100000000000000000.5"),
            ("0.1", "1e-17", "0.10000000000000001"),
            ("3", "0", "3"),
            ("-3", "3", "0"),
            ("1.5", "1.5", "3"),
            ("-0.0", "-0.0", "0"),
            ("1e-18", "0", "0"),
            ("-1e-18", "0", "0"),
            ("5e-18", "0", "0"),
            ("6e-18", "0", "0.00000000000000001"),
            ("0x1p-18", "0", "0.00000381469726562"),
            ("0x1.8p1", "0x.8", "3.5"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("1e20", "1", "100000000000000000000"),
            ("-1.", "+.5e0", "-0.5"),
            ("3.0e3", "200", "3200"),
            ("5.0e3", "200", "5200"),
            ("inf", "1", "not finite"),
            ("inf", "-inf", "not finite"),
            ("1e4932", "1e4932", "not finite"),
        ] {
            assert_eq!(sum(a, b), want, "{a} + {b}");
        }
    }

    #[test]
    fn large_numbers_print_all_their_digits() {
        assert_eq!(sum("0x1p64", "0"), "18446744073709551616");
        assert_eq!(sum("0x1p65", "0"), "36893488147419103232");
        assert_eq!(sum("0x1p128", "0"), "340282366920938463463374607431768211456");
        assert_eq!(sum("-0x1p200", "0"), format!("-{}", two_to_the(200)));
        assert_eq!(sum("0x1p16383", "0"), two_to_the(16383));
    }

    fn two_to_the(power: u32) -> String {
        let mut digits = vec![1u8];
        for _ in 0..power {
            let mut carry = 0;
            for digit in &mut digits {
                let double = *digit * 2 + carry;
                *digit = double % 10;
                carry = double / 10;
            }
            if carry > 0 {
                digits.push(carry);
            }
        }
        digits.iter().rev().map(|&digit| (b'0' + digit) as char).collect()
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for bad in [
            "",
            " ",
            " 1",
            "1 ",
            "+",
            "-",
            "--1",
            ".",
            "e5",
            "1e",
            "1e+",
            "1.2.3",
            "0x",
            "0x.",
            "0xg",
            "0x1p",
            "1p5",
            "nan",
            "-nan",
            "nan(1)",
            "infinit",
            "1e4933",
            "-1e4933",
            "1e-5000",
            "0x1p16384",
            "0x1p-20000",
            "1e99999999999999999999",
            "1,5",
            "1_0",
            "٣",
            "1e5.5",
            "1\0",
            "0x1P+",
        ] {
            assert_eq!(LongDouble::parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(LongDouble::parse(b"\xff1"), None);
        assert!(LongDouble::parse("1".repeat(TEXT_BYTES_MAX).as_bytes()).is_none(), "overflows");
        let long = format!("0.{}", "3".repeat(TEXT_BYTES_MAX - 2));
        assert!(LongDouble::parse(long.as_bytes()).is_some());
        assert!(LongDouble::parse(format!("{long}3").as_bytes()).is_none(), "one byte too long");
    }

    #[test]
    fn zero_with_any_exponent_is_zero() {
        assert_eq!(sum("0e99999999999", "-0x0p-99999999999"), "0");
        assert_eq!(LongDouble::from_i64(i64::MIN).to_text(), i64::MIN.to_string());
        assert_eq!(LongDouble::from_i64(i64::MAX).to_text(), i64::MAX.to_string());
    }
}
