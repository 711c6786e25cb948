//! Finds requests in what a client sent.
//!
//! ```text
//! buffer:  *2 $3 GET $1 k │ *3 $3 SET $1 k $5 hel…      one run of bytes, as read
//!          └── request 1 ─┘ └── partial: spans and position are kept, nothing is read twice
//! ```
//!
//! A request's arguments are spans of the buffer. An argument of [`Limits::large_bytes`] or more
//! that has not arrived yet is announced by [`FillEnd::Large`]: the caller reads it straight into
//! an allocation of its own and hands that over with [`Parser::put_large`]; the buffer then holds
//! what came before and what comes after it, without the argument itself.
//!
//! Texts and limits are Redis's. An argument's claimed length allocates nothing here.

use std::fmt;
use std::sync::Arc;

use memchr::memchr;
use tandem_base::num;

use crate::Args;

/// Where an argument lies: in the buffer, or in the batch's list of owned arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Span {
    /// As `start`: the argument is the owned one with the number `len`.
    pub(crate) const OWNED: u32 = u32::MAX;

    pub(crate) fn length(len: usize) -> u32 {
        u32::try_from(len).expect("arguments are bounded to 512 MiB")
    }

    fn new(start: usize, len: usize) -> Span {
        let start = u32::try_from(start).expect("a read buffer is bounded to 1 GiB");
        assert!(start != Span::OWNED);
        Span { start, len: Span::length(len) }
    }
}

/// What a request may be, at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest argument, in bytes: `proto-max-bulk-len`.
    pub bulk_bytes: usize,
    /// Arguments of this length or more are read into their own allocation.
    pub large_bytes: usize,
    /// Whether the client may send more than a short AUTH or HELLO.
    pub authenticated: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bulk_bytes: 512 << 20, large_bytes: 32 << 10, authenticated: true }
    }
}

/// Longest line: an inline request, or the number of a multi-bulk header.
const LINE_BYTES_MAX: usize = 64 << 10;
const ARGS_MAX: i64 = i32::MAX as i64;
const UNAUTHENTICATED_ARGS_MAX: i64 = 10;
const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16 << 10;

/// A request that cannot be understood. The connection ends after the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// An inline request without end.
    InlineTooBig,
    /// A `*` line without end.
    MultibulkCountTooBig,
    /// A `$` line without end.
    BulkCountTooBig,
    /// Not a number of arguments.
    InvalidMultibulkLength,
    /// Not a length of an argument, or one over the limit.
    InvalidBulkLength,
    /// Something else where an argument should begin.
    ExpectedDollar(u8),
    /// Quotes that do not close.
    UnbalancedQuotes,
    /// Too many arguments before authentication.
    UnauthenticatedMultibulk,
    /// Too long an argument before authentication.
    UnauthenticatedBulk,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        match self {
            ProtocolError::InlineTooBig => f.write_str("too big inline request"),
            ProtocolError::MultibulkCountTooBig => f.write_str("too big mbulk count string"),
            ProtocolError::BulkCountTooBig => f.write_str("too big bulk count string"),
            ProtocolError::InvalidMultibulkLength => f.write_str("invalid multibulk length"),
            ProtocolError::InvalidBulkLength => f.write_str("invalid bulk length"),
            ProtocolError::ExpectedDollar(got) => {
                let got = match got {
                    // A line break would end the reply.
                    b'\r' | b'\n' | b' ' => ' ',
                    byte if byte.is_ascii_graphic() => *byte as char,
                    _ => '?',
                };
                write!(f, "expected '$', got '{got}'")
            }
            ProtocolError::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
            ProtocolError::UnauthenticatedMultibulk => {
                f.write_str("unauthenticated multibulk length")
            }
            ProtocolError::UnauthenticatedBulk => f.write_str("unauthenticated bulk length"),
        }
    }
}

/// Why [`Parser::fill`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillEnd {
    /// The buffer ends inside a request (or exactly at the end of one).
    NeedMore,
    /// As many requests as asked for have been found.
    Full,
    /// The next `bytes` bytes and their CRLF are one large argument; the buffer up to
    /// [`Parser::position`] has been used.
    Large {
        /// Length of the argument, CRLF not included.
        bytes: usize,
    },
    /// What follows the requests found so far is no request.
    Invalid(ProtocolError),
}

#[derive(Clone, Copy, Debug)]
struct Request {
    first_span: u32,
    spans: u32,
    /// The request's bytes in the buffer, or an empty range where they are not all there.
    from: u32,
    to: u32,
    inline: bool,
}

/// The requests found in one buffer.
#[derive(Debug, Default)]
pub struct Batch {
    requests: Vec<Request>,
    spans: Vec<Span>,
    owned: Vec<Arc<Vec<u8>>>,
}

impl Batch {
    /// Number of requests.
    #[inline]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether no request was found.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Forgets the requests; the memory is kept for the next ones.
    pub fn clear(&mut self) {
        self.requests.clear();
        self.spans.clear();
        self.owned.clear();
    }

    /// The arguments of request `index`; `buf` is the buffer that was parsed.
    #[inline]
    pub fn args<'a>(&'a self, index: usize, buf: &'a [u8]) -> Args<'a> {
        let Request { first_span, spans, from, to, .. } = self.requests[index];
        let spans = &self.spans[first_span as usize..][..spans as usize];
        Args::new(buf, spans, &self.owned, &buf[from as usize..to as usize])
    }

    /// Whether request `index` was a plain line.
    pub fn is_inline(&self, index: usize) -> bool {
        self.requests[index].inline
    }

    /// Where request `index` ends in the buffer, for callers that count the bytes of a stream.
    pub fn end(&self, index: usize) -> usize {
        self.requests[index].to as usize
    }
}

/// Finds requests in a connection's bytes, going on where the bytes ended last time.
#[derive(Debug, Default)]
pub struct Parser {
    /// Next byte of the buffer to look at.
    position: usize,
    /// The unfinished request, if there is one.
    partial: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    missing_args: usize,
    from: usize,
    spans: Vec<Span>,
    owned: Vec<Arc<Vec<u8>>>,
    /// Memory of those.
    owned_bytes: usize,
    /// A large argument was promised and not yet put.
    awaits_large: bool,
}

impl Parser {
    /// First byte of the buffer that no finished request has used; the caller may drop what is
    /// before [`Parser::keep_from`] after a call of [`Parser::rebase`].
    pub fn position(&self) -> usize {
        self.position
    }

    /// First byte of the buffer that must be kept for the unfinished request.
    pub fn keep_from(&self) -> usize {
        self.partial.as_ref().map_or(self.position, |partial| partial.from)
    }

    /// Notes that the buffer's first `dropped` bytes are gone.
    pub fn rebase(&mut self, dropped: usize) {
        assert!(dropped <= self.keep_from(), "bytes of an unfinished request were dropped");
        self.position -= dropped;
        if let Some(partial) = &mut self.partial {
            partial.from -= dropped;
            let shift = u32::try_from(dropped).expect("a read buffer is bounded to 1 GiB");
            for span in &mut partial.spans {
                if span.start != Span::OWNED {
                    span.start -= shift;
                }
            }
        }
    }

    /// Goes back to `position`, where a request begins: what was found after it will be found
    /// again.
    pub fn rewind(&mut self, position: usize) {
        assert!(position <= self.position);
        self.position = position;
        self.partial = None;
    }

    /// Whether a request has begun and not ended.
    pub fn is_inside_request(&self) -> bool {
        self.partial.is_some()
    }

    /// Memory of the large arguments that an unfinished request has been given.
    pub fn owned_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.owned_bytes)
    }

    /// Hands over the large argument that [`FillEnd::Large`] asked for.
    pub fn put_large(&mut self, arg: Vec<u8>) {
        let partial = self.partial.as_mut().expect("a large argument was announced");
        assert!(partial.awaits_large);
        partial.awaits_large = false;
        partial.spans.push(Span { start: Span::OWNED, len: Span::length(partial.owned.len()) });
        partial.owned_bytes += arg.capacity();
        partial.owned.push(Arc::new(arg));
        partial.missing_args -= 1;
    }

    /// Adds the requests in `buf` to `batch`, at most `most` of them.
    pub fn fill(&mut self, buf: &[u8], batch: &mut Batch, limits: &Limits, most: usize) -> FillEnd {
        let mut found = 0;
        if self.partial.is_some() {
            match self.finish_partial(buf, batch, limits) {
                Ok(()) => found += 1,
                Err(end) => return end,
            }
        }
        while found < most {
            let Some(&first) = buf.get(self.position) else { return FillEnd::NeedMore };
            let result = if first == b'*' {
                self.multibulk(buf, batch, limits)
            } else {
                self.inline(buf, batch)
            };
            match result {
                Ok(is_request) => found += usize::from(is_request),
                Err(end) => return end,
            }
        }
        FillEnd::Full
    }

    /// One request that begins at `position`; `Ok(false)` when it was empty.
    fn multibulk(
        &mut self,
        buf: &[u8],
        batch: &mut Batch,
        limits: &Limits,
    ) -> Result<bool, FillEnd> {
        let from = self.position;
        let Some((count, at)) = header(buf, from + 1)
            .map_err(|()| FillEnd::Invalid(ProtocolError::MultibulkCountTooBig))?
        else {
            return Err(FillEnd::NeedMore);
        };
        let count = count
            .filter(|&count| count <= ARGS_MAX)
            .ok_or(FillEnd::Invalid(ProtocolError::InvalidMultibulkLength))?;
        if count > UNAUTHENTICATED_ARGS_MAX && !limits.authenticated {
            return Err(FillEnd::Invalid(ProtocolError::UnauthenticatedMultibulk));
        }
        self.position = at;
        if count <= 0 {
            return Ok(false);
        }
        let missing = usize::try_from(count).expect("positive");
        let first_span = batch.spans.len();
        match arguments(buf, at, missing, &mut batch.spans, limits) {
            ArgsEnd::Complete(to) => {
                self.position = to;
                push_request(batch, first_span, from, to, false);
                Ok(true)
            }
            ArgsEnd::Stopped { at, end, awaits_large } => {
                let spans = batch.spans.split_off(first_span);
                self.position = at;
                let missing_args = missing - spans.len();
                let (owned, owned_bytes) = (Vec::new(), 0);
                self.partial =
                    Some(Partial { missing_args, from, spans, owned, owned_bytes, awaits_large });
                Err(end)
            }
        }
    }

    fn finish_partial(
        &mut self,
        buf: &[u8],
        batch: &mut Batch,
        limits: &Limits,
    ) -> Result<(), FillEnd> {
        let partial = self.partial.as_mut().expect("checked by the caller");
        assert!(!partial.awaits_large, "the announced argument has not been put");
        let before = partial.spans.len();
        let missing = partial.missing_args;
        match arguments(buf, self.position, missing, &mut partial.spans, limits) {
            ArgsEnd::Complete(to) => {
                let mut partial = self.partial.take().expect("checked by the caller");
                self.position = to;
                let owned_before = Span::length(batch.owned.len());
                let in_one_piece = partial.owned.is_empty();
                for span in &mut partial.spans {
                    if span.start == Span::OWNED {
                        span.len += owned_before;
                    }
                }
                let first_span = batch.spans.len();
                batch.spans.append(&mut partial.spans);
                batch.owned.append(&mut partial.owned);
                let from = if in_one_piece { partial.from } else { to };
                push_request(batch, first_span, from, to, false);
                Ok(())
            }
            ArgsEnd::Stopped { at, end, awaits_large } => {
                partial.missing_args -= partial.spans.len() - before;
                partial.awaits_large = awaits_large;
                self.position = at;
                Err(end)
            }
        }
    }

    fn inline(&mut self, buf: &[u8], batch: &mut Batch) -> Result<bool, FillEnd> {
        let rest = &buf[self.position..];
        let Some(newline) = memchr(b'\n', &rest[..rest.len().min(LINE_BYTES_MAX)]) else {
            return Err(if rest.len() >= LINE_BYTES_MAX {
                FillEnd::Invalid(ProtocolError::InlineTooBig)
            } else {
                FillEnd::NeedMore
            });
        };
        let line = &rest[..newline];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let args = split_line(line).ok_or(FillEnd::Invalid(ProtocolError::UnbalancedQuotes))?;
        self.position += newline + 1;
        if args.is_empty() {
            return Ok(false);
        }
        let first_span = batch.spans.len();
        for arg in args {
            batch.spans.push(Span { start: Span::OWNED, len: Span::length(batch.owned.len()) });
            batch.owned.push(Arc::new(arg));
        }
        push_request(batch, first_span, self.position, self.position, true);
        Ok(true)
    }
}

#[inline]
fn push_request(batch: &mut Batch, first_span: usize, from: usize, to: usize, inline: bool) {
    let small = |n: usize| u32::try_from(n).expect("a read buffer is bounded to 1 GiB");
    let spans = small(batch.spans.len() - first_span);
    batch.requests.push(Request {
        first_span: small(first_span),
        spans,
        from: small(from),
        to: small(to),
        inline,
    });
}

enum ArgsEnd {
    /// All are there; the request ends before this byte.
    Complete(usize),
    /// Not all are there: parsing goes on at `at`.
    Stopped { at: usize, end: FillEnd, awaits_large: bool },
}

/// Reads up to `missing` arguments from `buf[at..]`.
#[inline]
fn arguments(
    buf: &[u8],
    mut at: usize,
    missing: usize,
    spans: &mut Vec<Span>,
    limits: &Limits,
) -> ArgsEnd {
    let stopped = |at, end| ArgsEnd::Stopped { at, end, awaits_large: false };
    for _ in 0..missing {
        match buf.get(at) {
            None => return stopped(at, FillEnd::NeedMore),
            Some(b'$') => {}
            Some(&other) => {
                return stopped(at, FillEnd::Invalid(ProtocolError::ExpectedDollar(other)));
            }
        }
        let (len, start) = match header(buf, at + 1) {
            Ok(Some(found)) => found,
            Ok(None) => return stopped(at, FillEnd::NeedMore),
            Err(()) => return stopped(at, FillEnd::Invalid(ProtocolError::BulkCountTooBig)),
        };
        let Some(len) =
            len.and_then(|len| usize::try_from(len).ok()).filter(|&len| len <= limits.bulk_bytes)
        else {
            return stopped(at, FillEnd::Invalid(ProtocolError::InvalidBulkLength));
        };
        if len > UNAUTHENTICATED_BULK_BYTES_MAX && !limits.authenticated {
            return stopped(at, FillEnd::Invalid(ProtocolError::UnauthenticatedBulk));
        }
        if buf.len() < start + len + 2 {
            if len >= limits.large_bytes {
                let end = FillEnd::Large { bytes: len };
                return ArgsEnd::Stopped { at: start, end, awaits_large: true };
            }
            return stopped(at, FillEnd::NeedMore);
        }
        // As in Redis, the two bytes behind an argument are skipped, not checked.
        spans.push(Span::new(start, len));
        at = start + len + 2;
    }
    ArgsEnd::Complete(at)
}

/// The number of a `*` or `$` line that begins at `at`, and where the next line begins.
/// `Ok(None)`: the line is not all there. `Ok(Some((None, _)))`: it holds no number.
#[inline]
fn header(buf: &[u8], at: usize) -> Result<Option<(Option<i64>, usize)>, ()> {
    // One or two digits, nearly always.
    match buf.get(at..at + 4) {
        Some(&[a @ b'0'..=b'9', b'\r', _, _]) => Ok(Some((Some(i64::from(a - b'0')), at + 3))),
        Some(&[a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', _]) => {
            let value = i64::from(a - b'0') * 10 + i64::from(b - b'0');
            Ok(Some((Some(value), at + 4)))
        }
        _ => any_header(buf, at),
    }
}

/// The same, whatever stands there; apart, so that the common case is built into its callers.
#[inline(never)]
fn any_header(buf: &[u8], at: usize) -> Result<Option<(Option<i64>, usize)>, ()> {
    let rest = buf.get(at..).unwrap_or_default();
    match memchr(b'\r', &rest[..rest.len().min(LINE_BYTES_MAX)]) {
        None if rest.len() >= LINE_BYTES_MAX => Err(()),
        Some(end) if at + end + 2 <= buf.len() => {
            Ok(Some((num::parse_i64(&rest[..end]), at + end + 2)))
        }
        _ => Ok(None),
    }
}

/// Splits a line into arguments as Redis's inline requests and configuration files do: blanks
/// separate, `"…"` knows `\n \r \t \b \a \xHH` and `\"`, `'…'` knows `\'`. `None` when quotes do
/// not close or are followed by something other than a blank.
pub fn split_line(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut args = Vec::new();
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        if at >= line.len() || line[at] == 0 {
            return Some(args);
        }
        let mut arg = Vec::new();
        loop {
            match line.get(at) {
                None | Some(b' ' | b'\n' | b'\r' | b'\t' | 0) => break,
                Some(b'"') => {
                    at = double_quoted(line, at + 1, &mut arg)?;
                    break;
                }
                Some(b'\'') => {
                    at = single_quoted(line, at + 1, &mut arg)?;
                    break;
                }
                Some(&byte) => {
                    arg.push(byte);
                    at += 1;
                }
            }
        }
        args.push(arg);
    }
}

fn double_quoted(line: &[u8], mut at: usize, arg: &mut Vec<u8>) -> Option<usize> {
    loop {
        match line.get(at..)? {
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |b: &u8| (*b as char).to_digit(16).expect("checked") as u8;
                arg.push(digit(high) * 16 + digit(low));
                at += 4;
            }
            [b'\\', escaped, ..] => {
                arg.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                at += 2;
            }
            [b'"', rest @ ..] => return ends_argument(rest).then_some(at + 1),
            [byte, ..] => {
                arg.push(*byte);
                at += 1;
            }
            [] => return None,
        }
    }
}

fn single_quoted(line: &[u8], mut at: usize, arg: &mut Vec<u8>) -> Option<usize> {
    loop {
        match line.get(at..)? {
            [b'\\', b'\'', ..] => {
                arg.push(b'\'');
                at += 2;
            }
            [b'\'', rest @ ..] => return ends_argument(rest).then_some(at + 1),
            [byte, ..] => {
                arg.push(*byte);
                at += 1;
            }
            [] => return None,
        }
    }
}

fn ends_argument(rest: &[u8]) -> bool {
    rest.first().is_none_or(|byte| byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests;
