//! `conf/tandem.conf`, written from the table and from `paragraphs.txt` beside it.
//!
//! A paragraph is a directive's name on a line and its text on the next; `==` begins a chapter.
//! What the table knows (type, range, old name, whether it has an effect) is not said there.

use super::Config;
use super::directive::{Effect, Flags};
use super::markdown::kind;
use super::rewrite::Rewrite;
use super::table::Directive;
use std::collections::BTreeMap;

const PARAGRAPHS: &str = include_str!("paragraphs.txt");
const COLUMNS: usize = 98;

const INTRODUCTION: &str = "\
Tandem's configuration file: every directive with its default, so the server behaves with this \
file as it does without one. Start it with: tandem server /path/to/tandem.conf

A line holds a name and its arguments, in quotes where one holds blanks. Amounts of memory take \
the units k, kb, m, mb, g and gb in any case: 1k is 1000 bytes, 1kb is 1024. Every directive is an \
option of the command line too (--port 6380), and most can be changed with CONFIG SET; CONFIG \
REWRITE writes the changes into this file and leaves its comments. A later line wins over an \
earlier one, except that `save` and `client-output-buffer-limit` add up.

Three lines are no directives. `include <file>` reads another file where it stands; the name may be \
a pattern such as /etc/tandem/*.conf. `rename-command <name> <new name>` gives a command another \
name, and takes it away with \"\" for the new one. `user <name> <rules>` sets a user up, as ACL \
SETUSER does.

This file is written from the table of directives; a test compares the two.
";

/// The text of `conf/tandem.conf`.
pub fn conf_file() -> String {
    let lines = default_lines();
    let mut out = String::new();
    push_comment(&mut out, INTRODUCTION);
    for block in PARAGRAPHS.split("\n\n") {
        let block = block.trim();
        let (first, text) = block.split_once('\n').unwrap_or((block, ""));
        if let Some(heading) = first.strip_prefix("== ") {
            let rule = "=".repeat(COLUMNS - 6 - heading.len());
            out.push_str(&format!("\n# == {heading} {rule}\n"));
            push_comment(&mut out, text);
            continue;
        }
        let directive = Directive::find(first.as_bytes()).expect("a paragraph has a directive");
        out.push('\n');
        push_comment(&mut out, text);
        push_comment(&mut out, &facts_line(directive));
        match lines.get(first) {
            Some(lines) => lines.iter().for_each(|line| out.push_str(&format!("{line}\n"))),
            None => out.push_str(&format!("# {first} <{}>\n", placeholder(directive))),
        }
    }
    out
}

/// The lines that say the default of each directive that can say it.
fn default_lines() -> BTreeMap<String, Vec<String>> {
    let text = Config::default().rewrite(b"", Rewrite { force_all: true, users: None });
    let text = String::from_utf8(text).expect("defaults are ASCII");
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(' ').next().expect("a line has a first word");
        lines.entry(name.to_owned()).or_default().push(line.to_owned());
    }
    // A rewrite takes this line out: it is what no line means.
    lines.insert("bind".to_owned(), vec!["# bind * -::*".to_owned()]);
    lines
}

fn facts_line(directive: Directive) -> String {
    let facts = directive.facts();
    let mut line = kind(facts).replace('`', "");
    for (short, plain) in
        [("2³¹-1", "2147483647"), ("-2³¹", "-2147483648"), ("2³²-1", "4294967295")]
    {
        line = line.replace(short, plain);
    }
    if let Some(alias) = facts.alias {
        line += &format!("; old name {alias}");
    }
    if facts.flags.has(Flags::IMMUTABLE) {
        line += "; fixed while the server runs";
    } else if facts.flags.has(Flags::PROTECTED) {
        line += "; protected";
    }
    if facts.effect == Effect::Accepted {
        line += "; ACCEPTED WITHOUT EFFECT in this version";
    }
    format!("({line}.)")
}

fn placeholder(directive: Directive) -> &'static str {
    match directive {
        Directive::Replicaof => "host> <port",
        Directive::Dir => "folder",
        _ => "text",
    }
}

/// Text in lines of comment; an empty line in it stays.
fn push_comment(out: &mut String, text: &str) {
    for paragraph in text.lines() {
        let mut line = String::from("#");
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            if line.len() + 1 + word.len() > COLUMNS {
                out.push_str(&line);
                out.push('\n');
                line.truncate(1);
            }
            line.push(' ');
            line.push_str(word);
        }
        out.push_str(&line);
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directive_has_a_paragraph() {
        let first_lines = PARAGRAPHS.split("\n\n").filter_map(|block| block.trim().lines().next());
        let mut named: Vec<_> =
            first_lines.filter(|line| !line.starts_with("==")).map(str::to_owned).collect();
        let mut all: Vec<_> =
            Directive::ALL.iter().map(|directive| directive.facts().name.to_owned()).collect();
        named.sort();
        all.sort();
        assert_eq!(named, all);
    }

    #[test]
    fn the_file_says_the_defaults() {
        let text = conf_file();
        assert!(text.lines().all(|line| line.len() <= COLUMNS + 2), "lines are short");
        let config = Config::parse(text.as_bytes()).expect("the file can be read");
        let nothing = Config::parse(b"").expect("so can no file");
        for &directive in Directive::ALL {
            assert_eq!(config.shown(directive), nothing.shown(directive), "{directive:?}");
            let name = directive.facts().name;
            let lines = text.lines().filter(|line| {
                let line = line.strip_prefix("# ").unwrap_or(line);
                line.split(' ').next() == Some(name)
            });
            assert!(lines.count() > 0, "{name} has a line");
        }
        assert_eq!(config.without_effect().count(), 0);
        // A rewrite finds every line in its place.
        let again = config.rewrite(text.as_bytes(), Rewrite::default());
        let again = String::from_utf8(again).expect("the file is UTF-8");
        for (new, old) in again.lines().zip(text.lines()) {
            assert_eq!(new, old);
        }
    }
}
