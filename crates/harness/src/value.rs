//! A reply as it stood on the wire. Kinds that differ there differ here (a RESP2 null bulk is
//! not a RESP3 null), because the tests compare two servers to the byte.

use std::fmt;

/// One reply.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// `+…`
    Simple(Vec<u8>),
    /// `-…`
    Error(Vec<u8>),
    /// `:…`
    Int(i64),
    /// `$…`
    Bulk(Vec<u8>),
    /// `$-1`
    NilBulk,
    /// `*-1`
    NilArray,
    /// `_`
    Null,
    /// `*…`
    Array(Vec<Value>),
    /// `~…`
    Set(Vec<Value>),
    /// `>…`
    Push(Vec<Value>),
    /// `%…`, keys and values one after the other
    Map(Vec<Value>),
    /// `,…` with its digits as sent
    Double(Vec<u8>),
    /// `#t` and `#f`
    Bool(bool),
    /// `(…`
    BigNumber(Vec<u8>),
    /// `=…` with its three letters and colon
    Verbatim(Vec<u8>),
}

impl Value {
    /// The text of a simple, bulk or verbatim reply (lossy); panics for any other kind.
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Value::Simple(b) | Value::Bulk(b) => String::from_utf8_lossy(b).into_owned(),
            Value::Verbatim(b) => String::from_utf8_lossy(b.get(4..).unwrap_or(b)).into_owned(),
            other => panic!("wanted text, got {other:?}"),
        }
    }

    /// The integer; panics for any other kind.
    #[track_caller]
    pub fn int(&self) -> i64 {
        match self {
            Value::Int(n) => *n,
            other => panic!("wanted an integer, got {other:?}"),
        }
    }

    /// The elements of an aggregate (a map's keys and values in turn); panics for another kind.
    #[track_caller]
    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(v) | Value::Set(v) | Value::Push(v) | Value::Map(v) => v,
            other => panic!("wanted an aggregate, got {other:?}"),
        }
    }

    /// The error's text, if this is one.
    pub fn error(&self) -> Option<String> {
        match self {
            Value::Error(b) => Some(String::from_utf8_lossy(b).into_owned()),
            _ => None,
        }
    }

    /// Whether this is a bulk of one of these texts.
    pub(crate) fn is_bulk(&self, texts: &[&[u8]]) -> bool {
        matches!(self, Value::Bulk(b) if texts.contains(&b.as_slice()))
    }

    /// Panics unless this is `+OK`.
    #[track_caller]
    pub fn ok(&self) {
        assert_eq!(*self, Value::Simple(b"OK".to_vec()));
    }

    /// Kinds without values: what two servers must share where the value is free.
    pub fn shape(&self) -> String {
        let list = |v: &[Value]| v.iter().map(Value::shape).collect::<Vec<_>>().join(" ");
        match self {
            Value::Simple(_) => "simple".into(),
            Value::Error(_) => "error".into(),
            Value::Int(_) => "int".into(),
            Value::Bulk(_) => "bulk".into(),
            Value::Double(_) => "double".into(),
            Value::Bool(_) => "bool".into(),
            Value::BigNumber(_) => "big".into(),
            Value::Verbatim(_) => "verbatim".into(),
            Value::Array(v) => format!("[{}]", list(v)),
            Value::Set(v) => format!("~[{}]", list(v)),
            Value::Push(v) => format!(">[{}]", list(v)),
            Value::Map(v) => format!("%[{}]", list(v)),
            nil => format!("{nil:?}"),
        }
    }

    /// The same reply with the elements of arrays and sets (and a map's pairs) in byte order.
    #[must_use]
    pub fn unordered(&self) -> Value {
        let sorted = |v: &[Value]| {
            let mut v: Vec<Value> = v.iter().map(Value::unordered).collect();
            v.sort_by_key(|e| format!("{e:?}"));
            v
        };
        match self {
            Value::Array(v) => Value::Array(sorted(v)),
            Value::Set(v) => Value::Set(sorted(v)),
            Value::Map(v) => {
                let mut pairs: Vec<Vec<Value>> =
                    v.chunks(2).map(|p| p.iter().map(Value::unordered).collect()).collect();
                pairs.sort_by_key(|p| format!("{p:?}"));
                Value::Map(pairs.concat())
            }
            other => other.clone(),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |b: &[u8]| b.escape_ascii().to_string();
        match self {
            Value::Simple(b) => write!(f, "+{}", shown(b)),
            Value::Error(b) => write!(f, "-{}", shown(b)),
            Value::Int(n) => write!(f, ":{n}"),
            Value::Bulk(b) => write!(f, "\"{}\"", shown(b)),
            Value::NilBulk => f.write_str("nil-bulk"),
            Value::NilArray => f.write_str("nil-array"),
            Value::Null => f.write_str("null"),
            Value::Array(v) => f.debug_list().entries(v).finish(),
            Value::Set(v) => f.write_str("~").and_then(|()| f.debug_list().entries(v).finish()),
            Value::Push(v) => f.write_str(">").and_then(|()| f.debug_list().entries(v).finish()),
            Value::Map(v) => f.write_str("%").and_then(|()| f.debug_list().entries(v).finish()),
            Value::Double(b) => write!(f, ",{}", shown(b)),
            Value::Bool(b) => write!(f, "#{b}"),
            Value::BigNumber(b) => write!(f, "({}", shown(b)),
            Value::Verbatim(b) => write!(f, "={}", shown(b)),
        }
    }
}
