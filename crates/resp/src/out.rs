//! The output buffer of one connection, and how replies are written into it.
//!
//! Small replies are copied into one growing buffer. A large value is shared: its allocation is
//! queued as it is and goes to the socket from where it lies in the keyspace.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use tandem_base::num;

pub use bulks::Bulks;
use bulks::{ROOM_MAX, SHORT_MAX, WINDOW};

mod bulks;

/// The protocol version that a connection speaks, as negotiated by HELLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proto {
    /// RESP2.
    #[default]
    V2,
    /// RESP3.
    V3,
}

/// Bytes already sent that may stay at the front of the buffer.
const SENT_BYTES_KEPT: usize = 16 << 10;

#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Shared(Arc<Vec<u8>>),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Bytes(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
        }
    }
}

/// Replies that wait to be sent.
#[derive(Debug, Default)]
pub struct OutBuf {
    /// Pieces before `tail`, oldest first.
    pieces: VecDeque<Piece>,
    /// Where writing goes on.
    tail: Vec<u8>,
    /// Bytes of the first piece (or of `tail` when there are no pieces) already sent.
    sent: usize,
    /// Bytes not yet sent.
    pending: usize,
    /// Which protocol the replies are written in.
    pub proto: Proto,
}

/// A place in an [`OutBuf`], to go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pieces: usize,
    tail: usize,
    pending: usize,
}

impl OutBuf {
    /// An empty buffer for replies in `proto`.
    pub fn new(proto: Proto) -> OutBuf {
        OutBuf { proto, ..OutBuf::default() }
    }

    /// Bytes not yet sent.
    #[inline]
    pub fn len(&self) -> usize {
        self.pending
    }

    /// Whether nothing waits to be sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.pending == 0
    }

    /// Bytes of memory held for small replies; shared values belong to the keyspace.
    pub fn held_bytes(&self) -> usize {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.capacity(),
            Piece::Shared(bytes) => bytes.len(),
        });
        self.tail.capacity() + pieces.sum::<usize>()
    }

    /// Bytes of the buffer that small replies are written into.
    pub fn buffer_bytes(&self) -> usize {
        self.tail.capacity()
    }

    /// About what it takes: the bytes that wait, and the room behind the last of them. By two of
    /// these, taken before and after, one knows what has been added.
    pub fn memory_hint(&self) -> usize {
        self.pending + (self.tail.capacity() - self.tail.len())
    }

    /// Adds bytes as they are.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.pending += bytes.len();
    }

    /// Adds a large value without copying it.
    pub fn push_shared(&mut self, bytes: Arc<Vec<u8>>) {
        if bytes.is_empty() {
            return;
        }
        if !self.tail.is_empty() {
            self.pieces.push_back(Piece::Bytes(std::mem::take(&mut self.tail)));
        }
        self.pending += bytes.len();
        self.pieces.push_back(Piece::Shared(bytes));
    }

    /// Adds all that waits in `other`, of which nothing has been sent. Large values stay shared.
    pub fn append(&mut self, other: OutBuf) {
        assert_eq!(other.sent, 0, "whole replies are joined");
        for piece in other.pieces {
            match piece {
                Piece::Bytes(bytes) => self.push(&bytes),
                Piece::Shared(bytes) => self.push_shared(bytes),
            }
        }
        self.push(&other.tail);
    }

    /// The place where the next reply begins.
    pub fn mark(&self) -> Mark {
        Mark { pieces: self.pieces.len(), tail: self.tail.len(), pending: self.pending }
    }

    /// Takes back everything since `mark`. Nothing may have been sent in between.
    pub fn rewind(&mut self, mark: Mark) {
        if self.pieces.len() > mark.pieces {
            self.pieces.truncate(mark.pieces + 1);
            self.tail = match self.pieces.pop_back() {
                Some(Piece::Bytes(bytes)) if mark.tail > 0 => bytes,
                _ => Vec::new(),
            };
        }
        self.tail.truncate(mark.tail);
        self.pending = mark.pending;
    }

    /// Fills `slices` with what is to be sent next; returns how many are filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut skip = self.sent;
        let mut count = 0;
        let tail = std::iter::once(self.tail.as_slice());
        for bytes in self.pieces.iter().map(Piece::bytes).chain(tail) {
            if count == slices.len() {
                break;
            }
            if bytes.len() > skip {
                slices[count] = IoSlice::new(&bytes[skip..]);
                count += 1;
            }
            skip = 0;
        }
        count
    }

    /// The bytes to send when they lie in one piece, which is nearly always.
    #[inline]
    pub fn single(&self) -> Option<&[u8]> {
        self.pieces.is_empty().then(|| &self.tail[self.sent..])
    }

    /// Notes that the first `count` bytes have been sent.
    pub fn consume(&mut self, mut count: usize) {
        assert!(count <= self.pending, "sent more than there was");
        self.pending -= count;
        while let Some(front) = self.pieces.front() {
            let left = front.bytes().len() - self.sent;
            if count < left {
                self.sent += count;
                return;
            }
            count -= left;
            self.sent = 0;
            self.pieces.pop_front();
        }
        self.sent += count;
        if self.sent == self.tail.len() {
            self.tail.clear();
            self.sent = 0;
        } else if self.sent >= SENT_BYTES_KEPT && self.sent >= self.tail.len() - self.sent {
            // A reader who never quite catches up must not make the buffer grow for ever; what
            // is moved is less than what has been sent since the last time.
            self.tail.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Gives back memory that an idle connection need not hold; whether there was any.
    pub fn shrink(&mut self) -> bool {
        let shrinks = self.is_empty() && self.tail.capacity() > 1024;
        if shrinks {
            *self = OutBuf { proto: self.proto, ..OutBuf::default() };
        }
        shrinks
    }

    /// All pending bytes in one run; for tests and for callers without a socket.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.pending);
        for piece in &self.pieces {
            all.extend_from_slice(piece.bytes());
        }
        all.extend_from_slice(&self.tail);
        all.split_off(self.sent)
    }

    /// Drops everything that waits.
    pub fn clear(&mut self) {
        *self = OutBuf { proto: self.proto, ..OutBuf::default() };
    }
}

/// Replies, one method a kind. Where RESP2 lacks the kind, Redis's replacement is written.
impl OutBuf {
    fn header(&mut self, kind: u8, count: i64) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(count).as_bytes();
        self.tail.reserve(digits.len() + 3);
        self.tail.push(kind);
        self.tail.extend_from_slice(digits);
        self.tail.extend_from_slice(b"\r\n");
        self.pending += digits.len() + 3;
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.push(b"+OK\r\n");
    }

    /// A status; `text` must not hold a line break.
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']));
        self.push(b"+");
        self.push(text.as_bytes());
        self.push(b"\r\n");
    }

    /// An error with its code word first. Line breaks would end it: they become blanks, and those
    /// at the end go.
    pub fn error(&mut self, text: &[u8]) {
        let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let end = text.iter().rposition(|byte| !is_break(byte)).map_or(0, |last| last + 1);
        let text = &text[..end];
        self.push(b"-");
        let clean = text.iter().map(|byte| if is_break(byte) { b' ' } else { *byte });
        self.tail.extend(clean);
        self.pending += text.len();
        self.push(b"\r\n");
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, value: i64) {
        self.header(b':', value);
    }

    /// A count or length.
    pub fn count(&mut self, value: usize) {
        self.header(b':', i64::try_from(value).expect("counts fit"));
    }

    /// A bulk string.
    pub fn bulk(&mut self, bytes: &[u8]) {
        if bytes.len() <= SHORT_MAX {
            self.bulks(0).bulk(bytes);
        } else {
            self.bulk_long(bytes);
        }
    }

    /// Bulk strings one after the other, of about `room_bytes` together.
    #[inline]
    pub fn bulks(&mut self, room_bytes: usize) -> Bulks<'_> {
        let at = self.tail.len();
        self.tail.resize(at + room_bytes.min(ROOM_MAX) + WINDOW, 0);
        Bulks { out: self, at, counted: at }
    }

    fn bulk_long(&mut self, bytes: &[u8]) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(bytes.len()).as_bytes();
        let total = digits.len() + bytes.len() + 5;
        self.tail.reserve(total);
        self.tail.push(b'$');
        self.tail.extend_from_slice(digits);
        self.tail.extend_from_slice(b"\r\n");
        self.tail.extend_from_slice(bytes);
        self.tail.extend_from_slice(b"\r\n");
        self.pending += total;
    }

    /// A bulk string whose bytes are shared instead of copied.
    pub fn bulk_shared(&mut self, bytes: Arc<Vec<u8>>) {
        self.header(b'$', i64::try_from(bytes.len()).expect("values are bounded"));
        self.push_shared(bytes);
        self.push(b"\r\n");
    }

    /// An integer as a bulk string.
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Nothing there: `$-1` or `_`.
    #[inline]
    pub fn null(&mut self) {
        self.push(if self.proto == Proto::V3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// No array: `*-1` or `_`.
    pub fn null_array(&mut self) {
        self.push(if self.proto == Proto::V3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// Begins an array of `count` replies.
    pub fn array(&mut self, count: usize) {
        self.header(b'*', i64::try_from(count).expect("counts fit"));
    }

    /// Begins a map of `pairs` keys and values; a flat array in RESP2.
    pub fn map(&mut self, pairs: usize) {
        match self.proto {
            Proto::V3 => self.header(b'%', i64::try_from(pairs).expect("counts fit")),
            Proto::V2 => self.array(pairs * 2),
        }
    }

    /// Begins a set of `count` replies; an array in RESP2.
    pub fn set(&mut self, count: usize) {
        match self.proto {
            Proto::V3 => self.header(b'~', i64::try_from(count).expect("counts fit")),
            Proto::V2 => self.array(count),
        }
    }

    /// Begins a push of `count` replies; an array in RESP2.
    pub fn push_message(&mut self, count: usize) {
        match self.proto {
            Proto::V3 => self.header(b'>', i64::try_from(count).expect("counts fit")),
            Proto::V2 => self.array(count),
        }
    }

    /// A truth value; 1 or 0 in RESP2.
    pub fn bool(&mut self, value: bool) {
        match self.proto {
            Proto::V3 => self.push(if value { b"#t\r\n" } else { b"#f\r\n" }),
            Proto::V2 => self.int(i64::from(value)),
        }
    }

    /// A finite number with a fraction, as C's `%.17g` writes it; a bulk string in RESP2.
    pub fn double(&mut self, value: f64) {
        let text = seventeen_digits(value);
        match self.proto {
            Proto::V3 => {
                self.push(b",");
                self.push(text.as_bytes());
                self.push(b"\r\n");
            }
            Proto::V2 => self.bulk(text.as_bytes()),
        }
    }

    /// Text with its format, such as `txt`; a bulk string in RESP2.
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        assert_eq!(format.len(), 3, "a verbatim string's format has three letters");
        if self.proto == Proto::V2 {
            return self.bulk(text);
        }
        self.header(b'=', i64::try_from(text.len() + 4).expect("values are bounded"));
        self.push(format.as_bytes());
        self.push(b":");
        self.push(text);
        self.push(b"\r\n");
    }
}

/// Appends one request in multi-bulk form: what a replication stream and a client send.
pub fn push_request<'a>(out: &mut Vec<u8>, args: impl ExactSizeIterator<Item = &'a [u8]>) {
    out.push(b'*');
    num::push_u64(out, args.len() as u64);
    out.extend_from_slice(b"\r\n");
    for arg in args {
        out.push(b'$');
        num::push_u64(out, arg.len() as u64);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// The shortest of C's `%e` and `%f` with 17 significant digits, zeros at the end taken off.
fn seventeen_digits(value: f64) -> String {
    assert!(value.is_finite(), "what is printed has been calculated here");
    let text = format!("{value:.16e}");
    let (digits, exponent) = text.split_once('e').expect("the format has one");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    let without_zeros = |text: &str| {
        let text = if text.contains('.') { text.trim_end_matches('0') } else { text };
        text.trim_end_matches('.').to_owned()
    };
    if (-4..17).contains(&exponent) {
        let decimals = usize::try_from(16 - exponent).expect("at most 16");
        return without_zeros(&format!("{value:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(digits), exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_always_lags_does_not_make_the_buffer_grow() {
        let mut out = OutBuf::default();
        out.push(&[b'x'; 40_000]);
        for round in 0..10_000_u32 {
            out.push(&round.to_be_bytes().repeat(250));
            out.consume(1000);
            assert_eq!(out.len(), 40_000);
            assert!(out.buffer_bytes() <= 256 << 10, "{} in round {round}", out.buffer_bytes());
        }
        let left = out.to_vec();
        assert_eq!(left[..4], 9960_u32.to_be_bytes(), "what is left is the newest");
        assert_eq!(left[39_996..], 9999_u32.to_be_bytes());
    }

    #[test]
    fn doubles_are_written_as_by_c() {
        for (value, text) in [
            (0.0, "0"),
            (3.0, "3"),
            (-1.5, "-1.5"),
            (0.1, "0.10000000000000001"),
            (0.003, "0.0030000000000000001"),
            (12.345, "12.345000000000001"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e-7, "1.4999999999999999e-07"),
            (1e300, "1.0000000000000001e+300"),
        ] {
            assert_eq!(seventeen_digits(value), text);
        }
        let mut out = OutBuf::default();
        out.double(0.5);
        out.proto = Proto::V3;
        out.double(0.5);
        assert_eq!(out.to_vec(), b"$3\r\n0.5\r\n,0.5\r\n");
    }
}
