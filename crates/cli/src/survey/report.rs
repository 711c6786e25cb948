//! The counts as text and as JSON.

use std::fmt::Write;

use super::tally::{Group, Key, SIZES, TIMES, Tally};
use crate::split::quoted;

/// Characters of a key that the text shows.
const KEY_SHOWN: usize = 80;

/// The text for people.
pub(super) fn text(tally: &Tally, name: &str, file_bytes: u64) -> String {
    let mut out = format!("{name}: RDB version {}, {file_bytes} bytes", tally.version);
    for (name, value) in &tally.notes {
        push(&mut out, format_args!(", {name} {value}"));
    }
    push(
        &mut out,
        format_args!(
            "\n\n{:<8} {:>12} {:>12} {:>12} {:>14}\n",
            "database", "keys", "with expiry", "expired", "value bytes"
        ),
    );
    for (db, group) in &tally.dbs {
        push_db(&mut out, &db.to_string(), group);
    }
    push_db(&mut out, "all", &tally.total);
    push(
        &mut out,
        format_args!(
            "\n{:<8} {:>12} {:>14} {:>14} {:>12} {:>12}  {}\n",
            "type", "keys", "elements", "value bytes", "bytes/key", "most", "encodings"
        ),
    );
    for (kind, group) in &tally.kinds {
        let encodings: Vec<String> =
            group.encodings.iter().map(|(name, count)| format!("{name} {count}")).collect();
        push(
            &mut out,
            format_args!(
                "{:<8} {:>12} {:>14} {:>14} {:>12.1} {:>12}  {}\n",
                kind.name(),
                group.keys,
                group.elements,
                group.bytes,
                group.bytes as f64 / group.keys as f64,
                group.most_elements,
                encodings.join(", ")
            ),
        );
    }
    out.push_str("(elements of a string are its bytes)\n\nexpiry:");
    push(&mut out, format_args!(" none {}", tally.total.keys - tally.total.expires));
    for ((_, class), count) in TIMES.iter().zip(tally.times) {
        push(&mut out, format_args!(", {class} {count}"));
    }
    out.push_str("\nvalue sizes:");
    for (index, ((_, class), count)) in SIZES.iter().zip(tally.sizes).enumerate() {
        let comma = if index == 0 { "" } else { "," };
        push(&mut out, format_args!("{comma} {class} {count}"));
    }
    push(&mut out, format_args!("\nfunction libraries: {}\n", tally.functions));
    if !tally.largest.is_empty() {
        out.push_str("\nlargest values, bytes in the file:\n");
    }
    for key in &tally.largest {
        push_key(&mut out, key);
    }
    out
}

fn push_db(out: &mut String, name: &str, group: &Group) {
    let Group { keys, expires, expired, bytes, .. } = group;
    push(out, format_args!("{name:<8} {keys:>12} {expires:>12} {expired:>12} {bytes:>14}\n"));
}

fn push_key(out: &mut String, key: &Key) {
    let shown = String::from_utf8_lossy(&quoted(&key.name)).into_owned();
    let short: String = shown.chars().take(KEY_SHOWN).collect();
    let dots = if short.len() < shown.len() { "…" } else { "" };
    push(
        out,
        format_args!(
            "{:>14}  {:<7} {:>12} elements  db {:<3} {short}{dots}\n",
            key.bytes,
            key.shape.kind.name(),
            key.shape.elements,
            key.db
        ),
    );
}

/// The same for programs, in one line.
pub(super) fn json(tally: &Tally, name: &str, file_bytes: u64) -> String {
    let mut out = "{\"file\":".to_owned();
    push_string(&mut out, name);
    push(
        &mut out,
        format_args!(
            ",\"file_bytes\":{file_bytes},\"rdb_version\":{},\"functions\":{},\"aux\":{{",
            tally.version, tally.functions
        ),
    );
    push_members(&mut out, tally.notes.iter(), |out, (name, value)| {
        push_string(out, name);
        out.push(':');
        push_string(out, value);
    });
    out.push_str("},\"total\":");
    push_group(&mut out, &tally.total);
    out.push_str(",\"databases\":{");
    push_members(&mut out, tally.dbs.iter(), |out, (db, group)| {
        push(out, format_args!("\"{db}\":"));
        push_group(out, group);
    });
    out.push_str("},\"types\":{");
    push_members(&mut out, tally.kinds.iter(), |out, (kind, group)| {
        push(out, format_args!("\"{}\":", kind.name()));
        push_group(out, group);
    });
    push(
        &mut out,
        format_args!("}},\"expiry\":{{\"none\":{}", tally.total.keys - tally.total.expires),
    );
    for ((_, class), count) in TIMES.iter().zip(tally.times) {
        push(&mut out, format_args!(",\"{}\":{count}", class.replace(' ', "_")));
    }
    out.push_str("},\"sizes\":{");
    push_members(&mut out, SIZES.iter().zip(tally.sizes), |out, ((_, class), count)| {
        push(out, format_args!("\"{}\":{count}", class.replace(' ', "_")));
    });
    out.push_str("},\"largest\":[");
    push_members(&mut out, tally.largest.iter(), |out, key| {
        push(out, format_args!("{{\"db\":{},\"key\":", key.db));
        // As redis-cli quotes it, so that any byte has a place in JSON.
        let shown = quoted(&key.name);
        push_string(out, &String::from_utf8_lossy(&shown[1..shown.len() - 1]));
        push(
            out,
            format_args!(
                ",\"type\":\"{}\",\"encoding\":\"{}\",\"elements\":{},\"bytes\":{}}}",
                key.shape.kind.name(),
                key.shape.encoding,
                key.shape.elements,
                key.bytes
            ),
        );
    });
    out + "]}\n"
}

fn push_group(out: &mut String, group: &Group) {
    push(
        out,
        format_args!(
            "{{\"keys\":{},\"elements\":{},\"bytes\":{},\"expires\":{},\"expired\":{},\
             \"most_elements\":{},\"encodings\":{{",
            group.keys,
            group.elements,
            group.bytes,
            group.expires,
            group.expired,
            group.most_elements
        ),
    );
    push_members(out, group.encodings.iter(), |out, (name, count)| {
        push(out, format_args!("\"{name}\":{count}"));
    });
    out.push_str("}}");
}

fn push_members<T>(
    out: &mut String,
    members: impl Iterator<Item = T>,
    mut one: impl FnMut(&mut String, T),
) {
    for (index, member) in members.enumerate() {
        if index > 0 {
            out.push(',');
        }
        one(out, member);
    }
}

fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => push(out, format_args!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}
