//! Counting replies without keeping them: the generator wants to know when a reply has ended
//! and whether it was an error, nothing else.

use tandem_base::num::parse_i64;

/// A line of a reply that is longer is no reply.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// More elements than this are a broken length.
const ELEMENTS_MAX: u64 = 1 << 40;

/// Where the counter stands in the stream of replies.
#[derive(Debug, Default)]
pub(super) struct ReplyCounter {
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    /// Bytes of a bulk, its line end included, that are still to come.
    skip: u64,
    /// Values that the current reply still lacks; 0 between replies.
    open: u64,
    /// The current value is a push, which answers nothing.
    push: bool,
    /// Finished replies that nobody has taken yet.
    replies: u64,
}

/// Why the counter gave up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server answered with this error.
    Refused(Vec<u8>),
    /// What arrived is no reply.
    Protocol,
}

impl ReplyCounter {
    /// Takes what arrived; returns how many replies it finished.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<u64, Fault> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                bytes = &bytes[skipped..];
                self.skip -= skipped as u64;
                if self.skip == 0 {
                    self.end_value();
                }
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                self.line.extend_from_slice(bytes);
                if self.line.len() > LINE_BYTES_MAX {
                    return Err(Fault::Protocol);
                }
                break;
            };
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            if self.line.is_empty() {
                self.take_line(&line[..end])?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(&line[..end]);
                self.take_line(&whole)?;
                whole.clear();
                self.line = whole;
            }
        }
        Ok(std::mem::take(&mut self.replies))
    }

    /// Takes a line without its line feed.
    fn take_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        let [kind, text @ .., b'\r'] = line else { return Err(Fault::Protocol) };
        let whole = self.open == 0;
        if whole {
            self.open = 1;
            self.push = *kind == b'>';
        }
        match kind {
            b'+' | b':' | b'_' | b'#' | b',' | b'(' => self.end_value(),
            b'-' if whole => return Err(Fault::Refused(text.to_vec())),
            b'-' => self.end_value(),
            b'$' | b'=' | b'!' => match length(text)? {
                Some(bytes) => self.skip = bytes + 2,
                None => self.end_value(),
            },
            b'*' | b'~' | b'>' => {
                self.open += length(text)?.unwrap_or(0);
                self.end_value();
            }
            b'%' => {
                self.open += 2 * length(text)?.unwrap_or(0);
                self.end_value();
            }
            // The value that the attribute belongs to follows.
            b'|' => self.open += 2 * length(text)?.unwrap_or(0),
            _ => return Err(Fault::Protocol),
        }
        if self.open > ELEMENTS_MAX { Err(Fault::Protocol) } else { Ok(()) }
    }

    fn end_value(&mut self) {
        self.open -= 1;
        if self.open == 0 && !self.push {
            self.replies += 1;
        }
    }
}

/// A length; `None` for the nil of RESP2.
fn length(text: &[u8]) -> Result<Option<u64>, Fault> {
    match parse_i64(text) {
        Some(-1) => Ok(None),
        Some(length) => match u64::try_from(length) {
            Ok(length) if length <= ELEMENTS_MAX => Ok(Some(length)),
            _ => Err(Fault::Protocol),
        },
        None => Err(Fault::Protocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &[u8] = b"+OK\r\n:1\r\n$-1\r\n$3\r\na\nb\r\n*2\r\n$1\r\nx\r\n*1\r\n:2\r\n*0\r\n\
        >2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n%1\r\n+a\r\n~1\r\n#t\r\n|1\r\n+ttl\r\n:3\r\n_\r\n$0\r\n\r\n";

    #[test]
    fn replies_are_counted_however_they_are_cut() {
        assert_eq!(ReplyCounter::default().feed(MIXED), Ok(9));
        for piece in [1, 2, 3, 7] {
            let mut counter = ReplyCounter::default();
            let total: u64 =
                MIXED.chunks(piece).map(|piece| counter.feed(piece).expect("sound")).sum();
            assert_eq!(total, 9, "pieces of {piece}");
        }
    }

    #[test]
    fn errors_and_nonsense_are_told() {
        let refused = |text: &[u8]| ReplyCounter::default().feed(text);
        assert_eq!(refused(b"-ERR no\r\n"), Err(Fault::Refused(b"ERR no".to_vec())));
        // An error inside of a reply is a value like any other.
        assert_eq!(refused(b"*1\r\n-ERR no\r\n"), Ok(1));
        for bad in [&b"x\r\n"[..], b"\n", b"$x\r\n", b"*-7\r\n", b"$99999999999999\r\n"] {
            assert_eq!(refused(bad), Err(Fault::Protocol), "{bad:?}");
        }
    }
}
