//! Configuration: one table of directives, and everything that reads or writes it.
//!
//! ```text
//! argv ──► CommandLine ─┐                         ┌─► typed getters: config.repl_backlog_size()
//! redis.conf ─ include ─┼─► Config::load ─► Config┼─► CONFIG GET  (Config::get)
//! stdin ────────────────┘        ▲                ├─► CONFIG SET  (Config::set → Change → undo)
//!                            Outside              ├─► CONFIG REWRITE (Config::rewrite: text → text)
//!                       (files, folders)          └─► docs/config.md (markdown)
//! ```
//!
//! `table.rs` is the only place of names, defaults and limits. Messages, formats and odd corners
//! are those of Redis 7.0.15, because people's files, scripts and tools rely on them.
//!
//! Nothing here has an effect: a changed directive is a [`Change`] that the engine acts upon,
//! and takes back with [`Config::undo`] when it cannot. No file is read or written: the server
//! hands texts in, through [`Outside`], and stores what comes out.

mod change;
mod choices;
mod command_line;
mod conf_file;
mod directive;
mod load;
mod markdown;
mod rewrite;
mod special;
mod table;
mod value;
mod words;

pub use change::{Asker, Change, Changed, Refusal};
pub use choices::{
    AclPubsub, AllowedFrom, AppendFsync, DisklessLoad, Endpoint, EvictionPolicy, LogLevel,
    OomScoreAdj, PropagationError, SanitizeDump, ShutdownOptions, Supervised, SyslogFacility,
    TlsAuthClients,
};
pub use command_line::{
    Action, CommandLine, NO_SENTINEL, NO_SYSTEM_CHECK, USAGE_TEST_MEMORY, usage, version_line,
};
pub use conf_file::conf_file;
pub use directive::{Content, Effect, Facts, Flags, Kind, Other, Unit};
pub use load::{FileLine, LoadError, Nowhere, Outside, Unreadable};
pub use markdown::{accepted_list, markdown};
pub use rewrite::Rewrite;
pub use special::{BufferLimit, ClientClass, KeyspaceEvents, MasterAddress, SavePoint};
pub use table::{Directive, FACTS};
pub use words::{parse_memory, push_quoted, split_words};

use std::sync::OnceLock;

use tandem_store::HashLimits;

use value::Value;

/// The line that is logged when a directive without effect is set.
pub fn without_effect_line(directive: Directive) -> String {
    format!("'{}' has no effect in this version.", directive.facts().name)
}

/// The value of every directive, and the lines of the file that are not directives.
///
/// Getters are an array access and a match; what is read for every command belongs into a
/// field of its reader, refreshed when a [`Change`] names it.
#[derive(Clone, Debug)]
pub struct Config {
    /// In the order of [`Directive`].
    values: Vec<Value>,
    rename_commands: Vec<(Vec<u8>, Vec<u8>)>,
    user_lines: Vec<FileLine>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            values: FACTS.iter().map(Facts::default).collect(),
            rename_commands: Vec::new(),
            user_lines: Vec::new(),
        }
    }
}

impl Config {
    /// The `rename-command` lines, in order: old name and new name. An empty new name removes
    /// the command.
    pub fn rename_commands(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.rename_commands
    }

    /// The `user` lines, in order. They are well formed; the commands that they name may not
    /// exist.
    pub fn user_lines(&self) -> &[FileLine] {
        &self.user_lines
    }

    /// Directives that were changed from their default and have no effect in this version.
    pub fn without_effect(&self) -> impl Iterator<Item = Directive> + '_ {
        Directive::ALL.iter().copied().filter(|directive| {
            directive.facts().effect == Effect::Accepted && self.differs(*directive)
        })
    }

    /// Whether the directive has another value than its default.
    pub fn differs(&self, directive: Directive) -> bool {
        self.values[directive as usize] != directive.facts().default()
    }

    /// Records the folder that the process is in. The server calls it once at the start and
    /// after each change of `dir`, so that `dir` is always absolute.
    pub fn set_dir(&mut self, absolute: &[u8]) {
        self.values[Directive::Dir as usize] = Value::Text(Some(absolute.into()));
    }

    /// Records where the process id was written, which without `pidfile` is a place of
    /// [`daemonize`](Config::daemonize)'s own.
    pub fn set_pidfile(&mut self, path: &[u8]) {
        self.values[Directive::Pidfile as usize] = Value::Text(Some(path.into()));
    }

    /// Records the master that REPLICAOF, FAILOVER or Sentinel chose; `None` is "no one".
    pub fn set_replicaof(&mut self, master: Option<MasterAddress>) {
        self.values[Directive::Replicaof as usize] = Value::ReplicaOf(master);
    }

    /// When a hash no longer is a listpack.
    pub fn hash_limits(&self) -> HashLimits {
        let size = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        HashLimits {
            entries: size(self.hash_max_listpack_entries()),
            value_bytes: size(self.hash_max_listpack_value()),
        }
    }

    /// Records the limit of clients that the process can really have.
    pub fn set_maxclients(&mut self, maxclients: u32) {
        assert!(maxclients > 0);
        self.values[Directive::Maxclients as usize] = Value::Number(maxclients.into());
    }
}

/// A name of a directive: its own or its old one.
#[derive(Clone, Copy, Debug)]
struct Name {
    text: &'static str,
    directive: Directive,
}

/// Every name, sorted.
fn names() -> &'static [Name] {
    static NAMES: OnceLock<Vec<Name>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut names: Vec<Name> = Vec::new();
        for &directive in Directive::ALL {
            let facts = directive.facts();
            names.push(Name { text: facts.name, directive });
            names.extend(facts.alias.map(|text| Name { text, directive }));
        }
        names.sort_by_key(|name| name.text);
        names
    })
}

/// Finds a directive by either of its names, in any case.
fn find_name(text: &[u8]) -> Option<Name> {
    let lower = text.to_ascii_lowercase();
    let index = names().binary_search_by_key(&lower.as_slice(), |n| n.text.as_bytes()).ok()?;
    Some(names()[index])
}

impl Directive {
    /// Finds a directive by either of its names, in any case.
    pub fn find(name: &[u8]) -> Option<Directive> {
        find_name(name).map(|name| name.directive)
    }

    /// Whether its value must not be logged.
    pub fn is_sensitive(self) -> bool {
        self.facts().flags.has(Flags::SENSITIVE)
    }
}

#[cfg(test)]
mod tests;
