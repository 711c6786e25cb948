//! How blocking commands read their timeout: the moment when to give up, 0 being never.

use tandem_base::{Mono, Now, num};

use crate::error::ErrorReply;
use crate::float::LongDouble;

const NEGATIVE: ErrorReply = ErrorReply::text("ERR timeout is negative");

/// `text` as seconds, fractions allowed and rounded up to a millisecond.
pub fn seconds(text: &[u8], now: Now) -> Result<Option<Mono>, ErrorReply> {
    let seconds = LongDouble::parse(text)
        .ok_or(ErrorReply::text("ERR timeout is not a float or out of range"))?;
    // Redis's conversion of what no 64 bits can hold gives a negative number.
    from_ms(seconds.thousandths_rounded_up().unwrap_or(-1), now)
}

/// `text` as milliseconds.
pub fn milliseconds(text: &[u8], now: Now) -> Result<Option<Mono>, ErrorReply> {
    let ms = num::parse_i64(text)
        .ok_or(ErrorReply::text("ERR timeout is not an integer or out of range"))?;
    from_ms(ms, now)
}

fn from_ms(ms: i64, now: Now) -> Result<Option<Mono>, ErrorReply> {
    let ms = u64::try_from(ms).map_err(|_| NEGATIVE)?;
    Ok((ms > 0).then(|| now.mono.plus_ms(ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds from now, 0 for never; as stock Redis 7.0.15 reads them.
    fn read(text: &str) -> Result<u64, String> {
        let now = Now { mono: Mono(5_000_000), ..Now::default() };
        let until = seconds(text.as_bytes(), now).map_err(|error| error.to_string())?;
        Ok(until.map_or(0, |at| at.ms_since(now.mono)))
    }

    #[test]
    fn seconds_may_have_fractions_and_have_ends() {
        for (text, ms) in [("0", 0), ("1", 1000), ("0.5", 500), ("0.0001", 1), ("1e2", 100_000)] {
            assert_eq!(read(text), Ok(ms), "{text}");
        }
        assert_eq!(read("0x10"), Ok(16_000));
        assert_eq!(read("-0"), Ok(0));
        assert!(read("9e15").is_ok());
        for text in ["-1", "1e18", "inf", "0x7FFFFFFFFFFFFF", "9223372036854775807"] {
            assert_eq!(read(text), Err("ERR timeout is negative".to_owned()), "{text}");
        }
        for text in ["", "x", "0.1x", "nan", " 1"] {
            let error = "ERR timeout is not a float or out of range".to_owned();
            assert_eq!(read(text), Err(error), "{text}");
        }
    }
}
