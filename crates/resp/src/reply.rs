//! The client's half of the wire format: replies read back into values, commands written out.
//!
//! ```text
//! socket ──bytes──► ReplyParser::feed ──► ReplyParser::next ──► ReplyValue
//!                     (one buffer)         (a stack of open aggregates, no recursion)
//! args ──► encode_command ──bytes──► socket
//! ```
//! A reply may arrive in any number of pieces; what was understood of it is kept, so a large
//! array costs time in proportion to its size and not to the number of reads. Sizes that the
//! peer claims are only believed when the bytes are there: nothing is reserved for a claim.
//!
//! Absent: sockets, clocks, and the "streamed" strings and aggregates of the RESP3 document
//! (`$?`, `*?`), which no Redis has ever sent.

use std::fmt;

use memchr::memchr;
use tandem_base::num::{parse_i64, push_u64};

/// How deep aggregates may nest before a reply is refused.
pub const REPLY_DEPTH_MAX: usize = 512;
/// How many elements an aggregate may claim; hiredis has the same limit.
pub const REPLY_ELEMENTS_MAX: u64 = u32::MAX as u64;
/// The longest text of a double; hiredis has the same limit.
const DOUBLE_TEXT_BYTES_MAX: usize = 325;
/// Consumed bytes stay in the buffer until there are this many of them.
const COMPACT_BYTES: usize = 64 * 1024;

/// One reply of a server, in RESP2 or RESP3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyValue {
    /// `+OK`: a text without line breaks.
    Status(Vec<u8>),
    /// `-ERR …`, or RESP3's `!` form: the text with its code, without the sign.
    Error(Vec<u8>),
    /// `:12`.
    Integer(i64),
    /// `$3`: any bytes.
    Bulk(Vec<u8>),
    /// `_`, and RESP2's `$-1` and `*-1`.
    Nil,
    /// `*2`.
    Array(Vec<ReplyValue>),
    /// `%2`: pairs in the order in which they came, repeated keys included.
    Map(Vec<(ReplyValue, ReplyValue)>),
    /// `~2`: in the order in which the elements came, repeated ones included.
    Set(Vec<ReplyValue>),
    /// `>2`: sent by the server on its own account, not an answer to a command.
    Push(Vec<ReplyValue>),
    /// `,3.5`: the text as it was sent; [`ReplyValue::as_f64`] gives the number.
    Double(Vec<u8>),
    /// `#t` or `#f`.
    Bool(bool),
    /// `(123…`: an optional minus sign and digits.
    BigNumber(Vec<u8>),
    /// `=7` `txt:abc`: a text with three letters that name its format.
    Verbatim {
        /// `txt` or `mkd`, from the wire and unchecked.
        format: [u8; 3],
        /// The text without format and colon.
        text: Vec<u8>,
    },
    /// `|1`: remarks about the value that follows them.
    Attribute {
        /// The remarks.
        attributes: Vec<(ReplyValue, ReplyValue)>,
        /// The value that they belong to.
        value: Box<ReplyValue>,
    },
}

impl ReplyValue {
    /// The bytes of a status, bulk or verbatim string.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self.plain() {
            ReplyValue::Status(text) | ReplyValue::Bulk(text) => Some(text),
            ReplyValue::Verbatim { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The number of an integer reply.
    pub fn as_i64(&self) -> Option<i64> {
        match self.plain() {
            ReplyValue::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The number of a double reply.
    pub fn as_f64(&self) -> Option<f64> {
        match self.plain() {
            ReplyValue::Double(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The elements of an array, set or push.
    pub fn as_slice(&self) -> Option<&[ReplyValue]> {
        match self.plain() {
            ReplyValue::Array(items) | ReplyValue::Set(items) | ReplyValue::Push(items) => {
                Some(items)
            }
            _ => None,
        }
    }

    /// The text of an error reply.
    pub fn as_error(&self) -> Option<&[u8]> {
        match self.plain() {
            ReplyValue::Error(text) => Some(text),
            _ => None,
        }
    }

    /// Key and value pairs of a map, or of an array that RESP2 sends in place of a map.
    pub fn pairs(&self) -> Option<Vec<(&ReplyValue, &ReplyValue)>> {
        match self.plain() {
            ReplyValue::Map(pairs) => Some(pairs.iter().map(|(key, value)| (key, value)).collect()),
            ReplyValue::Array(items) if items.len().is_multiple_of(2) => {
                Some(items.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect())
            }
            _ => None,
        }
    }

    /// The value without the attributes around it.
    pub fn plain(&self) -> &ReplyValue {
        let mut value = self;
        while let ReplyValue::Attribute { value: inner, .. } = value {
            value = inner;
        }
        value
    }
}

/// Why bytes are not a reply. After one, the stream's framing is lost: close the connection.
///
/// The texts are those that users of `redis-cli` know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// No reply starts with this byte.
    TypeByte(u8),
    /// `:` is not followed by an integer of 64 bits.
    BadInteger,
    /// `,` is not followed by a number or an infinity.
    BadDouble,
    /// `,` is followed by a text of unreasonable length.
    DoubleTooLarge,
    /// `_` is followed by something.
    BadNil,
    /// `#` is not followed by `t` or `f`.
    BadBool,
    /// `(` is not followed by digits.
    BadBigNumber,
    /// A line break inside a status or an error.
    BadStatus,
    /// `$`, `=` or `!` is not followed by an integer.
    BadBulkLength,
    /// A length below -1, or one that no address can reach.
    BulkLengthOutOfRange,
    /// The bytes of a string are not followed by CR LF.
    BadBulkEnd,
    /// A verbatim string without its three letters and colon.
    BadVerbatim,
    /// An aggregate's count is not an integer.
    BadAggregateLength,
    /// A count below -1 or above [`REPLY_ELEMENTS_MAX`].
    AggregateLengthOutOfRange,
    /// More than [`REPLY_DEPTH_MAX`] aggregates inside each other.
    TooDeep,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            ReplyError::TypeByte(byte) => {
                f.write_str("Protocol error, got ")?;
                write_quoted_byte(f, *byte)?;
                return f.write_str(" as reply type byte");
            }
            ReplyError::BadInteger => "Bad integer value",
            ReplyError::BadDouble => "Bad double value",
            ReplyError::DoubleTooLarge => "Double value is too large",
            ReplyError::BadNil => "Bad nil value",
            ReplyError::BadBool => "Bad bool value",
            ReplyError::BadBigNumber => "Bad bignum value",
            ReplyError::BadStatus => "Bad simple string value",
            ReplyError::BadBulkLength => "Bad bulk string length",
            ReplyError::BulkLengthOutOfRange => "Bulk string length out of range",
            ReplyError::BadBulkEnd => "Bulk string without its end",
            ReplyError::BadVerbatim => {
                "Verbatim string 4 bytes of content type are missing or incorrectly encoded."
            }
            ReplyError::BadAggregateLength => "Bad multi-bulk length",
            ReplyError::AggregateLengthOutOfRange => "Multi-bulk length out of range",
            ReplyError::TooDeep => "Reply nested too deeply",
        };
        f.write_str(text)
    }
}

impl std::error::Error for ReplyError {}

/// Writes a byte in quotes, with the escapes of C.
fn write_quoted_byte(f: &mut fmt::Formatter<'_>, byte: u8) -> fmt::Result {
    match byte {
        b'\\' | b'"' => write!(f, "\"\\{}\"", byte as char),
        b'\n' => f.write_str("\"\\n\""),
        b'\r' => f.write_str("\"\\r\""),
        b'\t' => f.write_str("\"\\t\""),
        7 => f.write_str("\"\\a\""),
        8 => f.write_str("\"\\b\""),
        0x20..=0x7e => write!(f, "\"{}\"", byte as char),
        _ => write!(f, "\"\\x{byte:02x}\""),
    }
}

/// Reads replies from bytes that arrive in pieces.
///
/// Give it what the socket gave ([`feed`](Self::feed)), then take replies until there is
/// none ([`next_reply`](Self::next_reply)).
#[derive(Debug, Default)]
pub struct ReplyParser {
    buf: Vec<u8>,
    /// Bytes at the front of `buf` that are already understood.
    taken: usize,
    core: Core,
}

impl ReplyParser {
    /// A parser at the start of a reply.
    pub fn new() -> ReplyParser {
        ReplyParser::default()
    }

    /// Adds bytes from the peer.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.taken == self.buf.len() {
            self.buf.clear();
            self.taken = 0;
        } else if self.taken >= COMPACT_BYTES && self.taken * 2 >= self.buf.len() {
            self.buf.drain(..self.taken);
            self.taken = 0;
        }
        self.buf.extend_from_slice(bytes);
    }

    /// The next complete reply; `None` when it needs more bytes.
    pub fn next_reply(&mut self) -> Result<Option<ReplyValue>, ReplyError> {
        let (used, value) = self.core.advance(&self.buf[self.taken..])?;
        self.taken += used;
        assert!(self.taken <= self.buf.len());
        Ok(value)
    }

    /// Whether no byte of an unfinished reply is held.
    pub fn is_idle(&self) -> bool {
        self.taken == self.buf.len() && self.core.open.is_empty()
    }

    /// Takes the bytes that belong to no reply taken so far: a peer that switches to another
    /// format (the RDB after SYNC) may have sent the start of it already. The parser is as new
    /// afterwards.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.buf.split_off(self.taken);
        *self = ReplyParser::new();
        rest
    }
}

/// Reads the reply at the front of `bytes`: its value and its length in bytes, or `None` when
/// it is not complete. For replies that may arrive in many pieces, use a [`ReplyParser`].
pub fn parse_reply(bytes: &[u8]) -> Result<Option<(ReplyValue, usize)>, ReplyError> {
    let (used, value) = Core::default().advance(bytes)?;
    Ok(value.map(|value| (value, used)))
}

/// Appends the command `args` as an array of bulk strings. An empty `args` appends an empty
/// array, which servers skip without an answer.
pub fn encode_command<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    let bytes: usize = args.iter().map(|arg| arg.as_ref().len() + 16).sum();
    out.reserve(bytes + 16);
    out.push(b'*');
    push_u64(out, args.len() as u64);
    out.extend_from_slice(b"\r\n");
    for arg in args {
        let arg = arg.as_ref();
        out.push(b'$');
        push_u64(out, arg.len() as u64);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// What kind of aggregate is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Array,
    Map,
    Set,
    Push,
    Attribute,
}

/// An aggregate whose elements are still arriving.
#[derive(Debug)]
struct Open {
    kind: Kind,
    /// Values still to come; maps count keys and values, attributes also what follows them.
    missing: u64,
    items: Vec<ReplyValue>,
}

/// What one item of the wire is.
enum Item {
    Value(ReplyValue),
    /// An aggregate of this many values, at least one.
    Opens(Kind, u64),
}

/// The state between two pieces of input.
#[derive(Debug, Default)]
struct Core {
    open: Vec<Open>,
    /// Bytes of the item at hand already searched for its line's end.
    searched: usize,
}

impl Core {
    /// Understands as many items of `input` as are complete, up to the end of one reply.
    /// Returns the bytes used and the reply, if it ended.
    fn advance(&mut self, input: &[u8]) -> Result<(usize, Option<ReplyValue>), ReplyError> {
        let mut used = 0;
        while let Some((item, item_bytes)) = self.item(&input[used..])? {
            used += item_bytes;
            self.searched = 0;
            match item {
                Item::Opens(kind, missing) => {
                    if self.open.len() >= REPLY_DEPTH_MAX {
                        return Err(ReplyError::TooDeep);
                    }
                    self.open.push(Open { kind, missing, items: Vec::new() });
                }
                Item::Value(value) => {
                    if let Some(whole) = self.close_with(value) {
                        return Ok((used, Some(whole)));
                    }
                }
            }
        }
        Ok((used, None))
    }

    /// Puts `value` into the innermost open aggregate and closes all that it completes.
    /// Returns the value of the whole reply, once nothing is open.
    fn close_with(&mut self, mut value: ReplyValue) -> Option<ReplyValue> {
        while let Some(top) = self.open.last_mut() {
            assert!(top.missing > 0, "a full aggregate is closed at once");
            top.items.push(value);
            top.missing -= 1;
            if top.missing > 0 {
                return None;
            }
            let done = self.open.pop().expect("it was just looked at");
            value = build(done.kind, done.items);
        }
        Some(value)
    }

    /// The item at the front of `input` and its length, or `None` when it is not complete.
    fn item(&mut self, input: &[u8]) -> Result<Option<(Item, usize)>, ReplyError> {
        let Some(&type_byte) = input.first() else { return Ok(None) };
        if !b"+-:,_#($=!*%~>|".contains(&type_byte) {
            return Err(ReplyError::TypeByte(type_byte));
        }
        let Some(line_end) = self.line_end(input) else { return Ok(None) };
        let line = &input[1..line_end];
        let after_line = line_end + 2;
        match type_byte {
            b'$' | b'=' | b'!' => bulk(type_byte, line, &input[after_line..])
                .map(|found| found.map(|(value, bytes)| (Item::Value(value), after_line + bytes))),
            b'*' | b'%' | b'~' | b'>' | b'|' => {
                aggregate(type_byte, line).map(|item| Some((item, after_line)))
            }
            _ => scalar(type_byte, line).map(|value| Some((Item::Value(value), after_line))),
        }
    }

    /// Where the CR LF of the first line stands; remembers how far the search went.
    fn line_end(&mut self, input: &[u8]) -> Option<usize> {
        let mut from = self.searched.max(1);
        while let Some(step) = memchr(b'\r', input.get(from..)?) {
            let at = from + step;
            match input.get(at + 1) {
                Some(b'\n') => {
                    // A string's bytes may still be missing: then this line is read again.
                    self.searched = at;
                    return Some(at);
                }
                Some(_) => from = at + 1,
                None => {
                    self.searched = at;
                    return None;
                }
            }
        }
        self.searched = input.len();
        None
    }
}

/// The value of a complete aggregate.
fn build(kind: Kind, mut items: Vec<ReplyValue>) -> ReplyValue {
    match kind {
        Kind::Array => ReplyValue::Array(items),
        Kind::Set => ReplyValue::Set(items),
        Kind::Push => ReplyValue::Push(items),
        Kind::Map => ReplyValue::Map(into_pairs(items)),
        Kind::Attribute => {
            let value = items.pop().expect("an attribute has a value after its pairs");
            ReplyValue::Attribute { attributes: into_pairs(items), value: Box::new(value) }
        }
    }
}

fn into_pairs(items: Vec<ReplyValue>) -> Vec<(ReplyValue, ReplyValue)> {
    assert!(items.len().is_multiple_of(2), "maps are opened with twice their count");
    let mut pairs = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((key, value));
    }
    pairs
}

/// A value that is one line.
fn scalar(type_byte: u8, line: &[u8]) -> Result<ReplyValue, ReplyError> {
    match type_byte {
        b'+' | b'-' => {
            if line.iter().any(|&byte| byte == b'\r' || byte == b'\n') {
                return Err(ReplyError::BadStatus);
            }
            let text = line.to_vec();
            Ok(if type_byte == b'+' { ReplyValue::Status(text) } else { ReplyValue::Error(text) })
        }
        b':' => parse_i64(line).map(ReplyValue::Integer).ok_or(ReplyError::BadInteger),
        b',' => double(line),
        b'_' if line.is_empty() => Ok(ReplyValue::Nil),
        b'_' => Err(ReplyError::BadNil),
        b'#' => match line {
            b"t" | b"T" => Ok(ReplyValue::Bool(true)),
            b"f" | b"F" => Ok(ReplyValue::Bool(false)),
            _ => Err(ReplyError::BadBool),
        },
        b'(' => {
            let digits = line.strip_prefix(b"-").unwrap_or(line);
            if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return Err(ReplyError::BadBigNumber);
            }
            Ok(ReplyValue::BigNumber(line.to_vec()))
        }
        _ => Err(ReplyError::TypeByte(type_byte)),
    }
}

/// A double: a finite decimal number, or an infinity. Not-a-number is let through too, because
/// servers since Redis 7.2 send it.
fn double(line: &[u8]) -> Result<ReplyValue, ReplyError> {
    if line.len() > DOUBLE_TEXT_BYTES_MAX {
        return Err(ReplyError::DoubleTooLarge);
    }
    let text = std::str::from_utf8(line).map_err(|_| ReplyError::BadDouble)?;
    let named = ["inf", "-inf", "nan", "-nan"].iter().any(|name| text.eq_ignore_ascii_case(name));
    if !named {
        // The words for infinity that Rust would accept are refused by their letters.
        let only_number = line.iter().all(|byte| b"0123456789+-.eE".contains(byte));
        let value: f64 = text.parse().map_err(|_| ReplyError::BadDouble)?;
        if !only_number || !value.is_finite() {
            return Err(ReplyError::BadDouble);
        }
    }
    Ok(ReplyValue::Double(line.to_vec()))
}

/// A string with its length in front: the value and its bytes after the line, or `None` when
/// they are not all there.
fn bulk(
    type_byte: u8,
    line: &[u8],
    rest: &[u8],
) -> Result<Option<(ReplyValue, usize)>, ReplyError> {
    let claimed = parse_i64(line).ok_or(ReplyError::BadBulkLength)?;
    if claimed == -1 && type_byte == b'$' {
        return Ok(Some((ReplyValue::Nil, 0)));
    }
    let length = usize::try_from(claimed).map_err(|_| ReplyError::BulkLengthOutOfRange)?;
    let end = length.checked_add(2).ok_or(ReplyError::BulkLengthOutOfRange)?;
    let Some(bytes) = rest.get(..end) else { return Ok(None) };
    let (text, line_break) = bytes.split_at(length);
    if line_break != b"\r\n" {
        return Err(ReplyError::BadBulkEnd);
    }
    let value = match (type_byte, text) {
        (b'=', [a, b, c, b':', text @ ..]) => {
            ReplyValue::Verbatim { format: [*a, *b, *c], text: text.to_vec() }
        }
        (b'=', _) => return Err(ReplyError::BadVerbatim),
        (b'!', _) => ReplyValue::Error(text.to_vec()),
        _ => ReplyValue::Bulk(text.to_vec()),
    };
    Ok(Some((value, end)))
}

/// The head of an aggregate; an empty one is a value at once.
fn aggregate(type_byte: u8, line: &[u8]) -> Result<Item, ReplyError> {
    let claimed = parse_i64(line).ok_or(ReplyError::BadAggregateLength)?;
    if claimed == -1 && type_byte != b'|' {
        return Ok(Item::Value(ReplyValue::Nil));
    }
    let count = u64::try_from(claimed).map_err(|_| ReplyError::AggregateLengthOutOfRange)?;
    if count > REPLY_ELEMENTS_MAX {
        return Err(ReplyError::AggregateLengthOutOfRange);
    }
    let (kind, values) = match type_byte {
        b'*' => (Kind::Array, count),
        b'%' => (Kind::Map, count * 2),
        b'~' => (Kind::Set, count),
        b'>' => (Kind::Push, count),
        _ => (Kind::Attribute, count * 2 + 1),
    };
    Ok(if values == 0 { Item::Value(build(kind, Vec::new())) } else { Item::Opens(kind, values) })
}

#[cfg(test)]
mod tests;
