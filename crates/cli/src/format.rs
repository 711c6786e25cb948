//! How a reply is shown: for people, raw for pipes, as CSV, as JSON.
//!
//! Every form is a pure function that appends to a buffer. Attributes are left out in all of
//! them: they are remarks for programs.

use tandem_base::num::push_i64;
use tandem_resp::reply::ReplyValue;

use crate::split::{push_quoted, quoted};

/// The form in which replies are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Types named, strings quoted, arrays numbered: what a terminal gets.
    Standard,
    /// The bytes and nothing else: what a pipe gets.
    Raw,
    /// Values separated by commas, one line a reply.
    Csv,
    /// JSON with strings as they are.
    Json,
    /// JSON with strings escaped to ASCII.
    QuotedJson,
}

/// What separates raw values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delimiters {
    /// Between the elements of an aggregate (`-d`).
    pub(crate) element: Vec<u8>,
    /// After each reply (`-D`).
    pub(crate) reply: Vec<u8>,
}

impl Default for Delimiters {
    fn default() -> Delimiters {
        Delimiters { element: b"\n".to_vec(), reply: b"\n".to_vec() }
    }
}

/// One reply in the form `output`, with its line end. `verbatim` shows a text made for
/// reading (INFO and its like) without quotes.
pub(crate) fn reply_text(
    reply: &ReplyValue,
    output: Output,
    verbatim: bool,
    delimiters: &Delimiters,
) -> Vec<u8> {
    let mut out = Vec::new();
    match output {
        _ if verbatim => push_raw(&mut out, reply, &delimiters.element),
        Output::Standard => push_standard(&mut out, reply, &mut Vec::new()),
        Output::Raw => {
            push_raw(&mut out, reply, &delimiters.element);
            out.extend_from_slice(&delimiters.reply);
        }
        Output::Csv => {
            push_csv(&mut out, reply);
            out.push(b'\n');
        }
        Output::Json | Output::QuotedJson => {
            push_json(&mut out, reply, output);
            out.push(b'\n');
        }
    }
    out
}

/// The line for keys that a tracking server calls stale, as a terminal shows it; `None` for
/// every other push.
pub(crate) fn invalidation_text(push: &[ReplyValue]) -> Option<Vec<u8>> {
    let [kind, ReplyValue::Array(keys)] = push else { return None };
    if !kind.as_bytes()?.starts_with(b"invalidate") {
        return None;
    }
    let mut out = b"-> invalidate: ".to_vec();
    for (index, key) in keys.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.push(b'\'');
        out.extend_from_slice(key.as_bytes()?);
        out.push(b'\'');
    }
    out.push(b'\n');
    Some(out)
}

/// The form for people. `indent` stands before every line but the first of a value.
fn push_standard(out: &mut Vec<u8>, reply: &ReplyValue, indent: &mut Vec<u8>) {
    match reply {
        ReplyValue::Error(text) => push_parts(out, &[b"(error) ", text, b"\n"]),
        ReplyValue::Status(text) => push_parts(out, &[text, b"\n"]),
        ReplyValue::Verbatim { text, .. } => push_parts(out, &[text, b"\n"]),
        ReplyValue::Integer(value) => {
            out.extend_from_slice(b"(integer) ");
            push_i64(out, *value);
            out.push(b'\n');
        }
        ReplyValue::Double(text) => push_parts(out, &[b"(double) ", text, b"\n"]),
        ReplyValue::BigNumber(text) => push_parts(out, &[b"(big number) ", text, b"\n"]),
        ReplyValue::Bulk(bytes) => {
            push_quoted(out, bytes);
            out.push(b'\n');
        }
        ReplyValue::Nil => out.extend_from_slice(b"(nil)\n"),
        ReplyValue::Bool(true) => out.extend_from_slice(b"(true)\n"),
        ReplyValue::Bool(false) => out.extend_from_slice(b"(false)\n"),
        ReplyValue::Array(items) => push_list(out, items, b"(empty array)\n", b')', indent),
        ReplyValue::Set(items) => push_list(out, items, b"(empty set)\n", b'~', indent),
        ReplyValue::Push(items) => push_list(out, items, b"(empty push)\n", b')', indent),
        ReplyValue::Map(pairs) => push_map(out, pairs, indent),
        ReplyValue::Attribute { value, .. } => push_standard(out, value, indent),
    }
}

/// Numbered elements, each below the other. The first one follows what the caller wrote.
fn push_list(
    out: &mut Vec<u8>,
    items: &[ReplyValue],
    empty: &[u8],
    mark: u8,
    indent: &mut Vec<u8>,
) {
    if items.is_empty() {
        out.extend_from_slice(empty);
        return;
    }
    let digits = digit_count(items.len());
    let outer = indent.len();
    for (index, item) in items.iter().enumerate() {
        push_number(out, index, digits, mark, if index == 0 { b"" } else { &indent[..outer] });
        indent.resize(outer + digits + 2, b' ');
        push_standard(out, item, indent);
        indent.truncate(outer);
    }
}

/// Numbered pairs `key => value`; a value of several lines starts below its key.
fn push_map(out: &mut Vec<u8>, pairs: &[(ReplyValue, ReplyValue)], indent: &mut Vec<u8>) {
    if pairs.is_empty() {
        out.extend_from_slice(b"(empty hash)\n");
        return;
    }
    let digits = digit_count(pairs.len());
    let outer = indent.len();
    for (index, (key, value)) in pairs.iter().enumerate() {
        push_number(out, index, digits, b'#', if index == 0 { b"" } else { &indent[..outer] });
        indent.resize(outer + digits + 2, b' ');
        push_standard(out, key, indent);
        let line_end = out.pop();
        assert_eq!(line_end, Some(b'\n'), "every value ends with a line end");
        out.extend_from_slice(b" => ");
        if has_several_lines(value) {
            out.push(b'\n');
            out.extend_from_slice(indent);
        }
        push_standard(out, value, indent);
        indent.truncate(outer);
    }
}

/// `indent`, then the index counted from 1 with its mark and a blank.
fn push_number(out: &mut Vec<u8>, index: usize, digits: usize, mark: u8, indent: &[u8]) {
    out.extend_from_slice(indent);
    out.extend_from_slice(format!("{:>digits$}", index + 1).as_bytes());
    out.extend_from_slice(&[mark, b' ']);
}

fn digit_count(mut number: usize) -> usize {
    let mut digits = 1;
    while number >= 10 {
        number /= 10;
        digits += 1;
    }
    digits
}

fn has_several_lines(reply: &ReplyValue) -> bool {
    match reply {
        ReplyValue::Array(items) | ReplyValue::Set(items) | ReplyValue::Push(items) => {
            match items.as_slice() {
                [] => false,
                [only] => has_several_lines(only),
                _ => true,
            }
        }
        ReplyValue::Map(pairs) => match pairs.as_slice() {
            [] => false,
            [(_, value)] => has_several_lines(value),
            _ => true,
        },
        ReplyValue::Attribute { value, .. } => has_several_lines(value),
        _ => false,
    }
}

/// The bytes alone.
fn push_raw(out: &mut Vec<u8>, reply: &ReplyValue, delimiter: &[u8]) {
    match reply {
        ReplyValue::Nil => {}
        ReplyValue::Error(text) => push_parts(out, &[text, b"\n"]),
        ReplyValue::Status(text)
        | ReplyValue::Bulk(text)
        | ReplyValue::Verbatim { text, .. }
        | ReplyValue::Double(text)
        | ReplyValue::BigNumber(text) => out.extend_from_slice(text),
        ReplyValue::Bool(true) => out.extend_from_slice(b"(true)"),
        ReplyValue::Bool(false) => out.extend_from_slice(b"(false)"),
        ReplyValue::Integer(value) => push_i64(out, *value),
        ReplyValue::Array(items) | ReplyValue::Set(items) | ReplyValue::Push(items) => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(delimiter);
                }
                push_raw(out, item, delimiter);
            }
        }
        ReplyValue::Map(pairs) => {
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(delimiter);
                }
                push_raw(out, key, delimiter);
                out.push(b' ');
                push_raw(out, value, delimiter);
            }
        }
        ReplyValue::Attribute { value, .. } => push_raw(out, value, delimiter),
    }
}

/// Values separated by commas; nesting is flattened, because CSV has none.
fn push_csv(out: &mut Vec<u8>, reply: &ReplyValue) {
    match reply {
        ReplyValue::Error(text) => {
            out.extend_from_slice(b"ERROR,");
            push_quoted(out, text);
        }
        ReplyValue::Status(text) | ReplyValue::Bulk(text) | ReplyValue::Verbatim { text, .. } => {
            push_quoted(out, text)
        }
        ReplyValue::Integer(value) => push_i64(out, *value),
        ReplyValue::Double(text) | ReplyValue::BigNumber(text) => out.extend_from_slice(text),
        ReplyValue::Nil => out.extend_from_slice(b"NULL"),
        ReplyValue::Bool(true) => out.extend_from_slice(b"true"),
        ReplyValue::Bool(false) => out.extend_from_slice(b"false"),
        ReplyValue::Array(items) | ReplyValue::Set(items) | ReplyValue::Push(items) => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_csv(out, item);
            }
        }
        ReplyValue::Map(pairs) => {
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_csv(out, key);
                out.push(b',');
                push_csv(out, value);
            }
        }
        ReplyValue::Attribute { value, .. } => push_csv(out, value),
    }
}

fn push_json(out: &mut Vec<u8>, reply: &ReplyValue, output: Output) {
    match reply {
        ReplyValue::Error(text) => {
            out.extend_from_slice(b"error:");
            push_json_string(out, text, output);
        }
        ReplyValue::Status(text) | ReplyValue::Bulk(text) | ReplyValue::Verbatim { text, .. } => {
            push_json_string(out, text, output)
        }
        ReplyValue::Integer(value) => push_i64(out, *value),
        ReplyValue::Double(text) | ReplyValue::BigNumber(text) => out.extend_from_slice(text),
        ReplyValue::Nil => out.extend_from_slice(b"null"),
        ReplyValue::Bool(true) => out.extend_from_slice(b"true"),
        ReplyValue::Bool(false) => out.extend_from_slice(b"false"),
        ReplyValue::Array(items) | ReplyValue::Set(items) | ReplyValue::Push(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_json(out, item, output);
            }
            out.push(b']');
        }
        ReplyValue::Map(pairs) => {
            out.push(b'{');
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_json_key(out, key, output);
                out.push(b':');
                push_json(out, value, output);
            }
            out.push(b'}');
        }
        ReplyValue::Attribute { value, .. } => push_json(out, value, output),
    }
}

/// A key of a map: JSON knows only strings there, so the others are put in quotes.
fn push_json_key(out: &mut Vec<u8>, key: &ReplyValue, output: Output) {
    let is_text = key.as_bytes().is_some() || key.as_error().is_some();
    let from = out.len();
    push_json(out, key, output);
    if !is_text && out.get(from) != Some(&b'"') {
        out.insert(from, b'"');
        out.push(b'"');
    }
}

fn push_json_string(out: &mut Vec<u8>, text: &[u8], output: Output) {
    if output == Output::QuotedJson {
        for byte in quoted(text) {
            if byte == b'\\' {
                out.push(b'\\');
            }
            out.push(byte);
        }
        return;
    }
    out.push(b'"');
    for &byte in text {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            0..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

fn push_parts(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests;
