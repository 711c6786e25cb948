//! Who may do what: users, their passwords and rights (ACL).
//!
//! | file | what |
//! |---|---|
//! | `names.rs`, `categories.rs` | which commands rules know, which categories they have |
//! | `commands.rs`, `selector.rs`, `user.rs` | rules applied and written down again |
//! | `check.rs` | whether a command may run |
//! | `file.rs`, `log.rs` | the ACL file; ACL LOG |
//! | `node.rs` | what a node does with all this: connections, start, configuration |
//!
//! A connection works with an immutable copy of its user's rights. Whatever changes a user or
//! the set of users does so with the keyspace held alone, and moves the generation: no command
//! runs meanwhile, and each connection compares generations before its next command. So a change
//! has reached everybody when the command that made it returns. A connection that may do everything
//! remembers at which generation that was found: for it a command costs one load and one
//! comparison.

pub mod categories;
mod check;
mod commands;
mod error;
mod file;
mod log;
mod names;
mod node;
mod selector;
mod user;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

pub use check::{Denied, name_in_rules};
pub use error::RuleError;
pub use log::{Context, Entry, Log, Reason};
pub use node::{Login, check_user_line};
pub(crate) use selector::has_blanks;
pub use selector::{ChannelUse, Selector};
pub use user::{Defaults, PasswordHash, Rights, User, join_selectors};

use crate::config::push_quoted;
use crate::node::lock;

/// The user that every connection begins as.
pub const DEFAULT_USER: &[u8] = b"default";

/// All users.
pub struct Acl {
    users: Mutex<BTreeMap<Vec<u8>, Arc<User>>>,
    /// It is never removed, only changed.
    default: Arc<User>,
    generation: AtomicU64,
    password_needed: AtomicBool,
    log: Mutex<Log>,
    /// Held while the ACL file is written.
    saving: Mutex<()>,
}

impl Default for Acl {
    fn default() -> Acl {
        let default = Arc::new(User::new(DEFAULT_USER, Rights::unlimited()));
        let users = BTreeMap::from([(DEFAULT_USER.to_vec(), Arc::clone(&default))]);
        Acl {
            users: Mutex::new(users),
            default,
            generation: AtomicU64::new(1),
            password_needed: AtomicBool::new(false),
            log: Mutex::default(),
            saving: Mutex::default(),
        }
    }
}

impl Acl {
    /// Moves with every change; never 0.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Whether a connection that has proved nothing may only prove who it is.
    pub fn password_needed(&self) -> bool {
        self.password_needed.load(Ordering::Relaxed)
    }

    /// The user `default`.
    pub fn default_user(&self) -> &Arc<User> {
        &self.default
    }

    /// A user by name.
    pub fn find(&self, name: &[u8]) -> Option<Arc<User>> {
        self.users().get(name).cloned()
    }

    /// All users, in the order of their names' bytes.
    pub fn all(&self) -> Vec<Arc<User>> {
        self.users().values().cloned().collect()
    }

    /// What was denied.
    pub fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    fn users(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Arc<User>>> {
        lock(&self.users)
    }

    /// The user that `password` lets in as `name`. Somebody who does not know whether the user
    /// exists does not learn it from the time this takes.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        let password = PasswordHash::of(password);
        self.find(name).filter(|user| user.rights().admits(password))
    }

    /// A line for each user as the ACL file and ACL LIST have it.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        let line = |user: Arc<User>| {
            [b"user ", user.name(), b" ", user.rights().describe().as_slice()].concat()
        };
        self.all().into_iter().map(line).collect()
    }

    /// The same as a configuration file has them, without the word `user`: there a quote would
    /// begin a word in quotes, so what holds one is written in quotes.
    pub fn config_lines(&self) -> Vec<Vec<u8>> {
        let quoted = |word: &[u8]| {
            let mut line = Vec::with_capacity(word.len() + 2);
            match word.iter().any(|byte| matches!(byte, b'"' | b'\'')) {
                true => push_quoted(&mut line, word),
                false => line.extend_from_slice(word),
            }
            line
        };
        let without_first = |line: Vec<u8>| {
            let words = line.split(|&byte| byte == b' ').skip(1);
            words.map(quoted).collect::<Vec<_>>().join(b" ".as_slice())
        };
        self.lines().into_iter().map(without_first).collect()
    }

    /// Creates a user, or replaces the rights of one. The keyspace must be held alone.
    fn put(&self, name: &[u8], rights: Rights) {
        assert!(!has_blanks(name), "names are checked where they come in");
        match self.find(name) {
            Some(user) => user.set_rights(rights),
            None => self.insert(name, rights),
        }
        self.changed();
    }

    fn insert(&self, name: &[u8], rights: Rights) {
        let user = Arc::new(User::new(name, rights));
        let before = self.users().insert(name.to_vec(), user);
        assert!(before.is_none(), "a user is created once");
    }

    /// Removes a user. The keyspace must be held alone.
    fn remove(&self, name: &[u8]) -> Option<Arc<User>> {
        assert_ne!(name, DEFAULT_USER, "nobody would be left to be");
        let user = self.users().remove(name)?;
        user.set_removed();
        self.changed();
        Some(user)
    }

    /// Replaces all users; returns those that were, but for `default`, which stays the same user
    /// with other rights. The keyspace must be held alone.
    fn replace_all(&self, mut users: file::Users) -> Vec<Arc<User>> {
        let default = users.remove(DEFAULT_USER).unwrap_or_else(Rights::unlimited);
        let mut old = std::mem::take(&mut *self.users());
        old.remove(DEFAULT_USER);
        old.values().for_each(|user| user.set_removed());
        self.default.set_rights(default);
        self.users().insert(DEFAULT_USER.to_vec(), Arc::clone(&self.default));
        for (name, rights) in users {
            self.insert(&name, rights);
        }
        self.changed();
        old.into_values().collect()
    }

    /// Every connection must look at its rights again.
    fn changed(&self) {
        let default = self.default.rights();
        let open = default.is_nopass() && default.is_enabled();
        self.password_needed.store(!open, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
