//! The text of INFO: sections in Redis's order, fields in Redis's order, Redis's formats.
//!
//! A count of what never happens here (forks, active defragmentation, cluster) is shown as
//! zero, so that tools find what they look for; only the main thread's CPU time is left out.
//! `replication` and `persistence` write their own sections, because they own the facts.

mod commands;
pub(crate) mod memory;
mod sections;

pub(super) use commands::each_counted;
use tandem_base::Now;

use crate::node::Node;
use crate::{persistence, replication};

/// Writes a section: its heading and its lines, each with CRLF.
type Write = fn(&Node, Now, &mut String);

/// A section of INFO.
struct Section {
    name: &'static str,
    /// Shown when no section is asked for.
    default: bool,
    write: Write,
}

const fn section(name: &'static str, default: bool, write: Write) -> Section {
    Section { name, default, write }
}

/// All sections, in their order.
const SECTIONS: &[Section] = &[
    section("server", true, sections::server),
    section("clients", true, sections::clients),
    section("memory", true, memory::memory),
    section("persistence", true, persistence::info),
    section("stats", true, sections::stats),
    section("replication", true, replication::info),
    section("cpu", true, sections::cpu),
    section("module_list", true, |_, _, out| out.push_str("# Modules\r\n")),
    section("commandstats", false, commands::commandstats),
    section("errorstats", true, sections::errorstats),
    section("latencystats", false, commands::latencystats),
    section("cluster", true, sections::cluster),
    section("keyspace", true, sections::keyspace),
];

/// Which sections are asked for.
#[derive(Debug, Default)]
pub struct Wanted {
    all: bool,
    default: bool,
    names: Vec<Vec<u8>>,
}

impl Wanted {
    /// Reads INFO's arguments: names of sections, `default`, `all`, `everything`, in any case;
    /// none means `default`. A name of no section adds nothing.
    pub fn parse<'a>(words: impl ExactSizeIterator<Item = &'a [u8]>) -> Wanted {
        let mut wanted = Wanted { default: words.len() == 0, ..Wanted::default() };
        for word in words {
            match word.to_ascii_lowercase().as_slice() {
                b"default" => wanted.default = true,
                b"all" | b"everything" => wanted.all = true,
                b"modules" => wanted.names.push(b"module_list".to_vec()),
                name => wanted.names.push(name.to_vec()),
            }
        }
        wanted
    }

    fn has(&self, section: &Section) -> bool {
        self.all
            || (self.default && section.default)
            || self.names.iter().any(|name| name == section.name.as_bytes())
    }
}

/// The wanted sections, an empty line between two. Locks one stripe after the other where keys
/// are counted, so no stripe may be held.
pub fn text(node: &Node, now: Now, wanted: &Wanted) -> String {
    let mut parts: [String; SECTIONS.len()] = [const { String::new() }; SECTIONS.len()];
    // What is used is read before this text takes memory itself: clients compare it with
    // `maxmemory`, and would see the text as an excess.
    for of_memory in [true, false] {
        for (part, section) in parts.iter_mut().zip(SECTIONS) {
            if wanted.has(section) && (section.name == "memory") == of_memory {
                (section.write)(node, now, part);
            }
        }
    }
    let filled: Vec<&str> =
        parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    filled.join("\r\n")
}

/// Appends `name:value` lines.
macro_rules! fields {
    ($out:expr, $($name:literal: $($value:expr),+;)*) => {
        $($crate::commands::info::field($out, $name, format_args!($($value),+));)*
    };
}
use fields;

fn field(out: &mut String, name: &str, value: std::fmt::Arguments<'_>) {
    use std::fmt::Write as _;
    write!(out, "{name}:{value}\r\n").expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<&'static str> {
        let wanted = Wanted::parse(words.iter().map(|word| word.as_bytes()));
        SECTIONS.iter().filter(|section| wanted.has(section)).map(|section| section.name).collect()
    }

    #[test]
    fn sections_are_asked_for_by_name_or_together() {
        assert_eq!(names(&["CPU", "nosuch", "server", "cpu"]), ["server", "cpu"]);
        assert_eq!(names(&["nosuch"]), [""; 0]);
        assert_eq!(names(&["modules"]), ["module_list"]);
        assert_eq!(names(&["everything"]).len(), SECTIONS.len());
        assert_eq!(names(&[]), names(&["default"]));
        assert!(!names(&[]).contains(&"commandstats"));
        assert!(names(&["default", "commandstats"]).contains(&"commandstats"));
    }
}
