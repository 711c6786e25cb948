//! The value of a directive: read from words, and shown.

use super::choices::ShutdownOptions;
use super::directive::{Content, Flags, Kind, Unit};
use super::special::{self, BufferLimit, KeyspaceEvents, MasterAddress, SavePoint};
use super::table::Directive;
use super::words::{parse_c_integer, parse_memory};
use std::borrow::Cow;
use std::ops::RangeInclusive;
use tandem_base::num::parse_i64;

/// The value of a directive; its variant never changes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// `yes` or `no`.
    Flag(bool),
    /// Any number; a percentage is held as its negative, a number above `i64::MAX` as its bits.
    Number(i64),
    /// Text, or nothing.
    Text(Option<Box<[u8]>>),
    /// One of a list of words, or the bits of several.
    Choice(u32),
    /// `save`
    SavePoints(Vec<SavePoint>),
    /// `client-output-buffer-limit`, by class
    BufferLimits([BufferLimit; 3]),
    /// `oom-score-adj-values`
    OomScores([i32; 3]),
    /// `notify-keyspace-events`
    KeyspaceEvents(KeyspaceEvents),
    /// `bind`
    Bind(Vec<Box<[u8]>>),
    /// `replicaof`
    ReplicaOf(Option<MasterAddress>),
    /// `latency-tracking-info-percentiles`
    Percentiles(Vec<f64>),
}

/// Why words are not a value, as Redis says it.
pub(super) type Why = Cow<'static, str>;

/// Least and most runs of the periodic work in a second.
const HZ: RangeInclusive<i64> = 1..=500;
/// Host names may be shorter than this.
const HOST_BYTES: usize = 256;

/// Reads the value of a directive from its arguments. `old` is what it is now: some forms
/// change only a part of it. A directive that is not [`Flags::MULTI_ARG`] has one argument.
pub(super) fn parse(
    directive: Directive,
    words: &[&[u8]],
    old: &Value,
    append_save_points: bool,
) -> Result<Value, Why> {
    let facts = directive.facts();
    let first = words.first().copied().unwrap_or_default();
    match &facts.kind {
        Kind::Flag { .. } => parse_flag(directive, first),
        Kind::Number { range, unit, .. } => {
            let value = parse_number(first, range, *unit)?;
            let value = if directive == Directive::Hz {
                value.clamp(*HZ.start(), *HZ.end())
            } else {
                value
            };
            Ok(Value::Number(value))
        }
        Kind::Text { default, content } => {
            let text = match content {
                Content::bytes => first,
                Content::text => first.split(|&b| b == 0).next().unwrap_or_default(),
            };
            check_text(directive, text)?;
            let unset = text.is_empty() && default.is_none();
            Ok(Value::Text((!unset).then(|| text.into())))
        }
        Kind::Choice { names, .. } => {
            let several = facts.flags.has(Flags::MULTI_ARG);
            let value = parse_choice(words, names, several)?;
            check_choice(directive, value)?;
            Ok(Value::Choice(value))
        }
        Kind::Other(other) => special::parse(*other, words, old, append_save_points),
    }
}

fn parse_flag(directive: Directive, word: &[u8]) -> Result<Value, Why> {
    let value = if word.eq_ignore_ascii_case(b"yes") {
        true
    } else if word.eq_ignore_ascii_case(b"no") {
        false
    } else {
        return Err("argument must be 'yes' or 'no'".into());
    };
    if directive == Directive::Activedefrag && value {
        // What Redis says where its allocator cannot do it, as on Debian.
        return Err("Active defragmentation cannot be enabled: it requires a Redis server \
                    compiled with a modified Jemalloc like the one shipped by default with the \
                    Redis source distribution"
            .into());
    }
    Ok(Value::Flag(value))
}

fn parse_number(word: &[u8], range: &RangeInclusive<i128>, unit: Unit) -> Result<i64, Why> {
    let number = read_number(word, unit)?;
    if unit == Unit::BytesOrPercent && number < 0 {
        let most = -range.start();
        if i128::from(number) < *range.start() {
            return Err(format!("percentage argument must be less or equal to {most}").into());
        }
        return Ok(number);
    }
    // A range that reaches above i64 is that of an unsigned number.
    let wide = *range.end() > i128::from(i64::MAX);
    let exact = if wide { i128::from(number.cast_unsigned()) } else { i128::from(number) };
    if range.contains(&exact) {
        return Ok(number);
    }
    let (least, most) = (range.start(), range.end());
    Err(if unit == Unit::Octal {
        format!("argument must be between {least:o} and {most:o} inclusive").into()
    } else {
        format!("argument must be between {least} and {most} inclusive").into()
    })
}

fn read_number(word: &[u8], unit: Unit) -> Result<i64, Why> {
    let memory = || parse_memory(word).map(u64::cast_signed);
    match unit {
        Unit::Plain => parse_i64(word).ok_or("argument couldn't be parsed into an integer"),
        Unit::Bytes => memory().ok_or("argument must be a memory value"),
        Unit::BytesOrPercent => memory()
            .or_else(|| {
                let percent = parse_i64(word.strip_suffix(b"%")?)?;
                (percent >= 0).then_some(-percent)
            })
            .ok_or("argument must be a memory or percent value"),
        Unit::Octal => match parse_c_integer(word, 8) {
            Some((value, false)) => Ok(value),
            _ => Err("argument couldn't be parsed as an octal number"),
        },
    }
    .map_err(Why::from)
}

fn parse_choice(words: &[&[u8]], names: &[(&str, u32)], several: bool) -> Result<u32, Why> {
    let find = |word: &&[u8]| {
        names
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| *value)
    };
    let count_fits = if several { !words.is_empty() } else { words.len() == 1 };
    let values: Option<Vec<u32>> = words.iter().map(find).collect();
    match values {
        Some(values) if count_fits => Ok(values.iter().fold(0, |all, value| all | value)),
        _ => {
            let list: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            Err(format!("argument(s) must be one of the following: {}", list.join(", ")).into())
        }
    }
}

fn check_choice(directive: Directive, value: u32) -> Result<(), Why> {
    if !matches!(directive, Directive::ShutdownOnSigint | Directive::ShutdownOnSigterm) {
        return Ok(());
    }
    let options = ShutdownOptions::from_bits(value);
    if options.has(ShutdownOptions::SAVE) && options.has(ShutdownOptions::NOSAVE) {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
    }
    Ok(())
}

fn check_text(directive: Directive, text: &[u8]) -> Result<(), Why> {
    let is_base_name = !text.contains(&b'/') && !text.contains(&b'\\');
    let why = match directive {
        Directive::Dbfilename if !is_base_name => "dbfilename can't be a path, just a filename",
        Directive::Appendfilename if text.is_empty() => "appendfilename can't be empty",
        Directive::Appendfilename if !is_base_name => {
            "appendfilename can't be a path, just a filename"
        }
        Directive::Appenddirname if text.is_empty() => "appenddirname can't be empty",
        Directive::Appenddirname if !is_base_name => {
            "appenddirname can't be a path, just a dirname"
        }
        Directive::ClusterAnnounceHostname if text.len() >= HOST_BYTES => {
            "Hostnames must be less than 256 characters"
        }
        Directive::ClusterAnnounceHostname
            if !text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')) =>
        {
            "Hostnames may only contain alphanumeric characters, hyphens or dots"
        }
        Directive::ProcTitleTemplate if !is_title_template(text) => {
            "template format is invalid or contains unknown variables"
        }
        _ => return Ok(()),
    };
    Err(why.into())
}

/// Whether every `{name}` in a title template is known, `{{` standing for a brace, and
/// something besides blanks is left when no variable has a value.
fn is_title_template(template: &[u8]) -> bool {
    // These always have a value.
    const FILLED: [&[u8]; 4] = [b"listen-addr", b"config-file", b"port", b"tls-port"];
    const MAYBE_EMPTY: [&[u8]; 3] = [b"title", b"server-mode", b"unixsocket"];
    let mut filled = false;
    let mut rest = template;
    while let Some(open) = rest.iter().position(|&b| b == b'{') {
        filled |= rest[..open].iter().any(|&b| b != b' ');
        rest = &rest[open + 1..];
        if let Some(tail) = rest.strip_prefix(b"{") {
            filled = true;
            rest = tail;
            continue;
        }
        let Some(close) = rest.iter().position(|&b| b == b'}') else { return false };
        let name = &rest[..close];
        filled |= FILLED.contains(&name);
        if !FILLED.contains(&name) && !MAYBE_EMPTY.contains(&name) {
            return false;
        }
        rest = &rest[close + 1..];
    }
    filled || rest.iter().any(|&b| b != b' ')
}

/// The first name of a choice.
pub(super) fn choice_name(names: &[(&'static str, u32)], value: u32) -> &'static str {
    let found = names.iter().find(|(_, named)| *named == value);
    found.map_or("unknown", |(name, _)| name)
}

/// The names of a choice that is a set: one that is the whole of it, or those it is made of.
pub(super) fn choice_names(names: &[(&'static str, u32)], value: u32) -> String {
    if let Some((name, _)) = names.iter().find(|(_, named)| *named == value) {
        return (*name).to_owned();
    }
    let parts: Vec<&str> = names
        .iter()
        .filter(|(_, bits)| *bits != 0 && value & bits == *bits)
        .map(|(name, _)| *name)
        .collect();
    parts.join(" ")
}

/// The value as CONFIG GET shows it.
pub(super) fn show(directive: Directive, value: &Value) -> Vec<u8> {
    match (&directive.facts().kind, value) {
        (_, Value::Flag(value)) => yes_or_no(*value).into(),
        (Kind::Number { unit, .. }, Value::Number(value)) => match unit {
            Unit::BytesOrPercent if *value < 0 => format!("{}%", -value).into(),
            Unit::Bytes | Unit::BytesOrPercent => value.cast_unsigned().to_string().into(),
            Unit::Octal => format!("{value:o}").into(),
            Unit::Plain => value.to_string().into(),
        },
        (_, Value::Text(value)) => value.as_deref().unwrap_or_default().into(),
        (Kind::Choice { names, .. }, Value::Choice(value)) => choice_names(names, *value).into(),
        (_, value) => special::show(value),
    }
}

pub(super) fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}
