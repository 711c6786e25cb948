//! `docs/config.md`, written from the table.

use super::directive::{Effect, Facts, Flags, Kind, Other, Unit};
use super::table::Directive;
use super::value::show;
use std::fmt::Write;

/// The list of directives without effect, for `docs/differences.md`.
pub fn accepted_list() -> String {
    let mut names: Vec<_> = Directive::ALL
        .iter()
        .map(|directive| directive.facts())
        .filter(|facts| facts.effect == Effect::Accepted)
        .map(|facts| format!("`{}`", facts.name))
        .collect();
    names.sort();
    let mut out = String::new();
    let mut line = String::new();
    for (index, name) in names.iter().enumerate() {
        let end = if index + 1 == names.len() { "." } else { "," };
        if !line.is_empty() && line.len() + name.len() + 2 > 120 {
            out += &format!("{line}\n");
            line.clear();
        }
        line += if line.is_empty() { "  " } else { " " };
        line += &format!("{name}{end}");
    }
    out + &line + "\n"
}

/// The text of `docs/config.md`.
pub fn markdown() -> String {
    let mut out = String::from(INTRODUCTION);
    let mut directives = Directive::ALL.to_vec();
    directives.sort_by_key(|directive| directive.facts().name);
    let of = |effect| directives.iter().filter(move |d| d.facts().effect == effect);

    out.push_str("\n## Directives that work\n\n");
    table(&mut out, of(Effect::Works));
    out.push_str("\n## Directives that are accepted\n\n");
    out.push_str(ACCEPTED);
    table(&mut out, of(Effect::Accepted));
    out
}

const INTRODUCTION: &str = "\
# Configuration

This page is written from the table of directives in `crates/engine/src/config/table.rs`; a test
compares the two.

A configuration file has one directive a line, in the grammar of `redis.conf`: a name, its
arguments, quotes where an argument holds blanks, `#` before a comment. Every directive is also
an option of the command line (`--port 6380`), and options are read after the file. Where a
directive has two names, the second is an old one that still works. \"Changes\" says whether
`CONFIG SET` can change it while the server runs. Lines that only a file can hold: `include`,
`rename-command`, `user`.
";

const ACCEPTED: &str = "\
They are read, checked, shown by `CONFIG GET` and kept by `CONFIG REWRITE`, so that existing files
work, and they have no effect in this version. Setting one to anything but its default is logged.

";

fn table<'a>(out: &mut String, directives: impl Iterator<Item = &'a Directive>) {
    out.push_str("| directive | type | default | changes | what it is for |\n");
    out.push_str("|---|---|---|---|---|\n");
    for directive in directives {
        let facts = directive.facts();
        let alias = facts.alias.map(|alias| format!(", `{alias}`")).unwrap_or_default();
        let default = show(*directive, &facts.default());
        let default = match (*directive, String::from_utf8_lossy(&default)) {
            (Directive::Dir, _) => "the folder of the start".to_owned(),
            (_, text) if text.is_empty() => "none".to_owned(),
            (_, text) => format!("`{text}`"),
        };
        let name = facts.name;
        let kind = kind(facts);
        let changes = changes(facts.flags);
        let about = facts.about.trim();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| `{name}`{alias} | {kind} | {default} | {changes} | {about} |");
    }
}

fn changes(flags: Flags) -> &'static str {
    if flags.has(Flags::IMMUTABLE) {
        "no"
    } else if flags.has(Flags::PROTECTED) {
        "protected"
    } else {
        "yes"
    }
}

pub(super) fn kind(facts: &Facts) -> String {
    match &facts.kind {
        Kind::Flag { .. } => "yes or no".into(),
        Kind::Number { range, unit, .. } => {
            let (least, most) = (range.start(), range.end());
            let limit = |bound: i128| match bound {
                _ if bound >= i128::from(i64::MAX) => "no limit".to_owned(),
                _ if bound == i128::from(i32::MAX) => "2³¹-1".to_owned(),
                _ if bound == i128::from(i32::MIN) => "-2³¹".to_owned(),
                _ if bound == i128::from(u32::MAX) => "2³²-1".to_owned(),
                _ => bound.to_string(),
            };
            match unit {
                Unit::Octal => format!("octal, {least:o} to {most:o}"),
                Unit::Plain => format!("integer, {} to {}", limit(*least), limit(*most)),
                Unit::Bytes => format!("bytes, {} to {}", limit(*least), limit(*most)),
                Unit::BytesOrPercent => "bytes or percent".into(),
            }
        }
        Kind::Text { .. } => "text".into(),
        Kind::Choice { names, .. } => {
            let names: Vec<String> = names.iter().map(|(name, _)| format!("`{name}`")).collect();
            let several = if facts.flags.has(Flags::MULTI_ARG) { "some of " } else { "" };
            format!("{several}{}", names.join(" "))
        }
        Kind::Other(other) => match other {
            Other::Bind => "addresses".into(),
            Other::BufferLimits => "class, hard limit, soft limit, seconds".into(),
            Other::KeyspaceEvents => "letters of `KEA g$lshzxetdnm`".into(),
            Other::OomScores => "three numbers, -2000 to 2000".into(),
            Other::Percentiles => "numbers, 0 to 100".into(),
            Other::ReplicaOf => "host and port".into(),
            Other::SavePoints => "pairs of seconds and changes".into(),
        },
    }
}
