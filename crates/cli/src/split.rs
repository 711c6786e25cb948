//! How a typed line becomes arguments, and how bytes are shown in quotes.
//!
//! The two are each other's inverse: what [`quoted`] prints can be typed again.

use crate::text::is_space;

/// Splits a line into arguments: blanks separate; `"…"` knows `\n \r \t \b \a \\ \" \xhh`;
/// `'…'` knows only `\'`; a closing quote must end its argument. `None` when quotes do not
/// fit. A zero byte ends the line, as it ends a C string.
pub(crate) fn split_args(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let line = line.split(|&byte| byte == 0).next().unwrap_or(line);
    let mut args = Vec::new();
    let mut rest = line;
    loop {
        let blanks = rest.iter().take_while(|&&byte| is_space(byte)).count();
        rest = &rest[blanks..];
        if rest.is_empty() {
            return Some(args);
        }
        let (arg, after) = one_arg(rest)?;
        args.push(arg);
        rest = after;
    }
}

/// The single argument that `text` stands for; `None` unless it is exactly one.
pub(crate) fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    let mut args = split_args(text)?;
    if args.len() == 1 { args.pop() } else { None }
}

/// The argument at the front of `rest`, and what follows it.
fn one_arg(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut arg = Vec::new();
    loop {
        match rest {
            // Vertical tab and form feed separate arguments only outside of a word.
            [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => return Some((arg, rest)),
            [quote @ (b'"' | b'\''), after @ ..] => {
                let after = match quote {
                    b'"' => double_quoted(after, &mut arg)?,
                    _ => single_quoted(after, &mut arg)?,
                };
                return match after.first() {
                    Some(&byte) if !is_space(byte) => None,
                    _ => Some((arg, after)),
                };
            }
            [byte, after @ ..] => {
                arg.push(*byte);
                rest = after;
            }
        }
    }
}

/// Reads up to the closing `"`; returns what follows it.
fn double_quoted<'a>(mut rest: &'a [u8], arg: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                arg.push(hex_digit(*high) * 16 + hex_digit(*low));
                rest = after;
            }
            [b'\\', escaped, after @ ..] => {
                arg.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = after;
            }
            [byte, after @ ..] => {
                arg.push(*byte);
                rest = after;
            }
        }
    }
}

/// Reads up to the closing `'`; returns what follows it.
fn single_quoted<'a>(mut rest: &'a [u8], arg: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'\'', after @ ..] => return Some(after),
            [b'\\', b'\'', after @ ..] => {
                arg.push(b'\'');
                rest = after;
            }
            [byte, after @ ..] => {
                arg.push(*byte);
                rest = after;
            }
        }
    }
}

fn hex_digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => 0,
    }
}

/// Appends `bytes` in double quotes, with everything outside printable ASCII escaped.
pub(crate) fn push_quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            7 => out.extend_from_slice(b"\\a"),
            8 => out.extend_from_slice(b"\\b"),
            0x20..=0x7e => out.push(byte),
            _ => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    out.push(b'"');
}

/// `bytes` in double quotes.
pub(crate) fn quoted(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 2);
    push_quoted(&mut out, bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expect: Option<&[&[u8]]>) {
        let expect = expect.map(|args| args.iter().map(|arg| arg.to_vec()).collect::<Vec<_>>());
        assert_eq!(split_args(line.as_bytes()), expect, "{line:?}");
    }

    #[test]
    fn lines_split_at_blanks_outside_quotes() {
        check("", Some(&[]));
        check("  \t ", Some(&[]));
        check("get key", Some(&[b"get", b"key"]));
        check("  get\tkey \r\n", Some(&[b"get", b"key"]));
        check("set k \"\"", Some(&[b"set", b"k", b""]));
        check("set k 'a b'", Some(&[b"set", b"k", b"a b"]));
        check("pre\"fix ed\" x", Some(&[b"prefix ed", b"x"]));
    }

    #[test]
    fn escapes_belong_to_their_quotes() {
        check(r#""\x41\n\r\t\b\a\\\"\q""#, Some(&[b"A\n\r\t\x08\x07\\\"q"]));
        check(r#""\x4""#, Some(&[b"x4"]));
        check(r"'\n\'x'", Some(&[b"\\n'x"]));
        check(r"a\nb", Some(&[b"a\\nb"]));
    }

    #[test]
    fn quotes_that_do_not_fit_are_refused() {
        for line in ["\"a", "'a", "\"a\"b", "'a'b", "\"a\\", "x \"y\"\"z\""] {
            check(line, None);
        }
    }

    #[test]
    fn what_is_quoted_can_be_typed_again() {
        let every_byte: Vec<u8> = (1..=255).collect();
        let shown = quoted(&every_byte);
        assert_eq!(unquote(&shown), Some(every_byte));
        assert_eq!(quoted(b"a\"\x00\xff\x7f"), br#""a\"\x00\xff\x7f""#);
        assert_eq!(unquote(b"a b"), None);
        assert_eq!(unquote(b""), None);
    }
}
