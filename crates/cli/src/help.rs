//! What is known about commands: their arguments as hints, their names for completion, and
//! the `help` command. All of it comes from the server's COMMAND DOCS, so it fits the server
//! at hand.

use tandem_resp::reply::ReplyValue;

use crate::Step;
use crate::session::{Connect, Session};
use crate::split::split_args;
use crate::text::{is_space, put};

/// A command, or a subcommand of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `CONFIG SET`.
    full: String,
    /// Its arguments in one line: `key value [NX|XX]`.
    params: String,
    summary: String,
    group: String,
    since: Option<String>,
}

impl Entry {
    fn words(&self) -> impl Iterator<Item = &str> {
        self.full.split(' ')
    }
}

/// All that a server told about its commands, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Help {
    entries: Vec<Entry>,
    /// `@string` and so on.
    groups: Vec<String>,
}

impl Help {
    /// Asks the server. `None` when it does not know COMMAND DOCS or cannot be reached.
    pub(crate) fn fetch(session: &mut Session) -> Option<Help> {
        session.connect(Connect::Quietly).ok()?;
        let client = session.client.as_mut()?;
        let reply = client.call(&["COMMAND", "DOCS"]).ok()?;
        Help::from_docs(&reply)
    }

    /// Whether nothing is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Reads the reply of COMMAND DOCS.
    fn from_docs(reply: &ReplyValue) -> Option<Help> {
        let mut help = Help::default();
        for (name, docs) in reply.pairs()? {
            help.add(&text(name).to_uppercase(), docs);
        }
        help.entries.sort_by(|a, b| a.full.cmp(&b.full));
        help.groups = help.entries.iter().map(|entry| format!("@{}", entry.group)).collect();
        help.groups.sort();
        help.groups.dedup();
        Some(help)
    }

    fn add(&mut self, full: &str, docs: &ReplyValue) {
        let mut entry = Entry { full: full.to_owned(), ..Entry::default() };
        for (key, value) in docs.pairs().unwrap_or_default() {
            match key.as_bytes().unwrap_or_default() {
                b"summary" => entry.summary = text(value),
                b"since" => entry.since = Some(text(value)),
                b"group" => entry.group = text(value),
                b"arguments" => push_arguments(&mut entry.params, value, " "),
                b"subcommands" => {
                    for (name, docs) in value.pairs().unwrap_or_default() {
                        let name = text(name).to_uppercase();
                        if let Some((container, name)) = name.split_once('|') {
                            self.add(&format!("{container} {name}"), docs);
                        }
                    }
                }
                _ => {}
            }
        }
        self.entries.push(entry);
    }

    /// What may still be typed after `line`; `None` when nothing is known about it.
    pub(crate) fn hint(&self, line: &str) -> Option<String> {
        let typed = split_args(line.as_bytes())?;
        let entry = self
            .entries
            .iter()
            .filter(|entry| starts_with(&typed, entry))
            .max_by_key(|entry| entry.words().count())?;
        let mut hint = entry.params.as_str();
        let mut to_skip = typed.len() - entry.words().count();
        // Arguments already typed are not shown; an optional part stays, as it may come next.
        while to_skip > 0 && !hint.is_empty() && !hint.starts_with('[') {
            let mut chars = hint.chars();
            to_skip -= usize::from(chars.next() == Some(' '));
            hint = chars.as_str();
        }
        let blank =
            if line.as_bytes().last().is_some_and(|&byte| is_space(byte)) { "" } else { " " };
        Some(format!("{blank}{hint}"))
    }

    /// Whole lines that `line` may become.
    pub(crate) fn completions(&self, line: &str) -> Vec<String> {
        let after_help = match line.split_at_checked(5) {
            Some((help, rest)) if help.eq_ignore_ascii_case("help ") => Some(rest.trim_start()),
            _ => None,
        };
        let start = after_help.unwrap_or(line);
        let kept = &line[..line.len() - start.len()];
        let commands = self.entries.iter().map(|entry| &entry.full);
        let groups = self.groups.iter().filter(|_| after_help.is_some());
        let fits = |name: &&String| {
            name.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
        };
        groups.chain(commands).filter(fits).map(|name| format!("{kept}{name}")).collect()
    }

    /// The text of `help TOPIC`, where the topic is `@group` or words of a command.
    fn topic(&self, topic: &[Vec<u8>]) -> String {
        let mut out = String::new();
        let group = topic.first().and_then(|word| word.strip_prefix(b"@"));
        for entry in &self.entries {
            match group {
                Some(group) if group.eq_ignore_ascii_case(entry.group.as_bytes()) => {
                    push_entry(&mut out, entry, false);
                }
                None if begins_with(entry, topic) => push_entry(&mut out, entry, true),
                _ => {}
            }
        }
        out.push_str("\r\n");
        out
    }
}

/// `help` and `help TOPIC`.
pub(crate) fn show(session: &mut Session, topic: &[Vec<u8>]) -> Step<()> {
    if topic.is_empty() {
        return put(general());
    }
    let help = Help::fetch(session).unwrap_or_default();
    put(help.topic(topic))
}

fn general() -> String {
    format!(
        "{}Ask about commands like this:\n\
         \x20     \"help @<group>\" lists the commands of a group\n\
         \x20     \"help <command>\" shows one command\n\
         \x20     \"help <tab>\" goes through everything that there is help for\n\
         \x20     \"quit\" ends\n\
         \n\
         Preferences, also kept in ~/.redisclirc:\n\
         \x20     \":set hints\" shows arguments while you type\n\
         \x20     \":set nohints\" does not\n",
        crate::options::version_line()
    )
}

fn push_entry(out: &mut String, entry: &Entry, with_group: bool) {
    let Entry { full, params, summary, group, since } = entry;
    out.push_str(&format!("\r\n  \x1b[1m{full}\x1b[0m \x1b[90m{params}\x1b[0m\r\n"));
    out.push_str(&format!("  \x1b[33msummary:\x1b[0m {summary}\r\n"));
    if let Some(since) = since {
        out.push_str(&format!("  \x1b[33msince:\x1b[0m {since}\r\n"));
    }
    if with_group {
        out.push_str(&format!("  \x1b[33mgroup:\x1b[0m {group}\r\n"));
    }
}

/// Whether the typed words begin with the command's name.
fn starts_with(typed: &[Vec<u8>], entry: &Entry) -> bool {
    let mut typed = typed.iter();
    entry
        .words()
        .all(|word| typed.next().is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes())))
}

/// Whether the command's name begins with the words.
fn begins_with(entry: &Entry, words: &[Vec<u8>]) -> bool {
    let mut name = entry.words();
    words
        .iter()
        .all(|arg| name.next().is_some_and(|word| arg.eq_ignore_ascii_case(word.as_bytes())))
}

fn text(value: &ReplyValue) -> String {
    String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned()
}

fn push_arguments(out: &mut String, arguments: &ReplyValue, separator: &str) {
    for (index, argument) in arguments.as_slice().unwrap_or_default().iter().enumerate() {
        if index > 0 {
            out.push_str(separator);
        }
        push_argument(out, argument);
    }
}

/// One argument of a command: `[TOKEN name [name ...]]` with what applies of it.
fn push_argument(out: &mut String, argument: &ReplyValue) {
    let (mut name, mut token, mut kind) = (String::new(), None, String::new());
    let mut inner = None;
    let (mut optional, mut multiple, mut multiple_token) = (false, false, false);
    for (key, value) in argument.pairs().unwrap_or_default() {
        match key.as_bytes().unwrap_or_default() {
            b"name" => name = text(value),
            b"token" => token = Some(text(value)),
            b"type" => kind = text(value),
            b"arguments" => inner = Some(value),
            b"flags" => {
                for flag in value.as_slice().unwrap_or_default() {
                    match flag.as_bytes().unwrap_or_default() {
                        b"optional" => optional = true,
                        b"multiple" => multiple = true,
                        b"multiple_token" => multiple_token = true,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let or_quotes = |word: String| if word.is_empty() { "\"\"".to_owned() } else { word };
    let mut repeated = String::new();
    match (kind.as_str(), inner) {
        ("oneof", Some(inner)) => push_arguments(&mut repeated, inner, "|"),
        ("block", Some(inner)) => push_arguments(&mut repeated, inner, " "),
        ("pure-token", _) => {}
        _ => repeated = or_quotes(name),
    }
    let mut token = token.map(or_quotes).unwrap_or_default();
    if !token.is_empty() && kind != "pure-token" {
        token.push(' ');
    }
    let again = match (multiple, multiple_token) {
        (false, _) => String::new(),
        (true, false) => format!(" [{repeated} ...]"),
        (true, true) => format!(" [{token}{repeated} ...]"),
    };
    let (open, close) = if optional { ("[", "]") } else { ("", "") };
    out.push_str(&format!("{open}{token}{repeated}{again}{close}"));
}

#[cfg(test)]
mod tests;
