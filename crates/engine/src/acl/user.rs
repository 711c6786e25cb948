//! A user: who it is never changes while it exists, what it may do is an immutable value that is
//! replaced as a whole.
//!
//! ```text
//! connection ─► Arc<User> ─► Mutex<Arc<Rights>>   replaced by ACL SETUSER
//!      └──────► Arc<Rights>  the copy it works with, renewed when the generation has moved
//! ```

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::error::RuleError;
use super::selector::Selector;
use crate::config::split_words;
use crate::node::lock;

/// What new users and selectors begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// `acl-pubsub-default allchannels`
    pub all_channels: bool,
}

/// A password as it is kept: its SHA-256.
#[derive(Clone, Copy)]
pub struct PasswordHash([u8; 32]);

impl PasswordHash {
    /// Of the password itself.
    pub fn of(password: &[u8]) -> PasswordHash {
        PasswordHash(Sha256::digest(password).into())
    }

    /// From 64 hexadecimal digits in lower case.
    pub fn parse(hex: &[u8]) -> Result<PasswordHash, RuleError> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(RuleError::BadHash),
        };
        let mut hash = [0; 32];
        let (pairs, []) = hex.as_chunks::<2>() else { return Err(RuleError::BadHash) };
        if pairs.len() != hash.len() {
            return Err(RuleError::BadHash);
        }
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(PasswordHash(hash))
    }

    /// As 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string takes everything");
            hex
        })
    }

    /// Whether both are the same; takes the same time wherever they differ.
    fn is(self, other: PasswordHash) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// What a user may do, and how it proves who it is.
#[derive(Clone, Debug)]
pub struct Rights {
    enabled: bool,
    /// Every password is right.
    nopass: bool,
    /// Whether payloads of RESTORE are looked into; `None`: nothing was said.
    sanitize: Option<bool>,
    passwords: Vec<PasswordHash>,
    /// The first is the user's own; there always is one.
    selectors: Vec<Selector>,
}

impl Rights {
    /// A new user: off, without password, nothing allowed.
    pub fn new(defaults: Defaults) -> Rights {
        Rights {
            enabled: false,
            nopass: false,
            sanitize: None,
            passwords: Vec::new(),
            selectors: vec![Selector::new(defaults)],
        }
    }

    /// The user `default` of a server without configuration: on, no password, all allowed.
    pub fn unlimited() -> Rights {
        let mut rights = Rights::new(Defaults { all_channels: true });
        for rule in ["+@all", "~*", "&*", "on", "nopass"] {
            let done = rights.apply(rule.as_bytes(), Defaults::default(), &mut Vec::new());
            assert!(done.is_ok(), "these rules always hold");
        }
        rights
    }

    /// Whether nothing is forbidden to who has proved to be this user.
    pub fn is_unlimited(&self) -> bool {
        self.selectors.iter().any(Selector::is_unlimited)
    }

    /// Whether one can become this user.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether every password is right.
    pub fn is_nopass(&self) -> bool {
        self.nopass
    }

    /// The user's own selector, then the others.
    pub fn selectors(&self) -> &[Selector] {
        assert!(!self.selectors.is_empty(), "a user has a selector of its own");
        &self.selectors
    }

    /// The passwords, in the order in which they came.
    pub fn passwords(&self) -> &[PasswordHash] {
        &self.passwords
    }

    /// Whether `password` lets one become this user. All passwords are compared, and each takes
    /// the same time wherever it differs.
    pub fn admits(&self, password: PasswordHash) -> bool {
        let right = self.passwords.iter().fold(Choice::from(0), |any, one| any | one.is(password));
        self.enabled && (self.nopass || right.into())
    }

    /// The words for what is not in a selector, in the order in which Redis shows them.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.enabled, "on"),
            (!self.enabled, "off"),
            (self.nopass, "nopass"),
            (self.sanitize == Some(false), "skip-sanitize-payload"),
            (self.sanitize == Some(true), "sanitize-payload"),
        ]
        .into_iter()
        .filter_map(|(on, word)| on.then_some(word))
    }

    /// Whether the payloads of the user's RESTORE need not be looked into.
    pub fn skips_sanitizing(&self) -> bool {
        self.sanitize == Some(false)
    }

    /// Replaces all passwords by one, or by none at all (every password is right).
    pub fn set_only_password(&mut self, password: Option<&[u8]>) {
        self.passwords = password.map(PasswordHash::of).into_iter().collect();
        self.nopass = password.is_none();
    }

    /// Changes the rights as one rule says; an empty one says nothing. `notes` takes what to log.
    ///
    /// # Errors
    /// The rule makes no sense; nothing has changed.
    pub fn apply(
        &mut self,
        rule: &[u8],
        defaults: Defaults,
        notes: &mut Vec<String>,
    ) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        match rule {
            [] => {}
            _ if is("on") => self.enabled = true,
            _ if is("off") => self.enabled = false,
            _ if is("skip-sanitize-payload") => self.sanitize = Some(false),
            _ if is("sanitize-payload") => self.sanitize = Some(true),
            _ if is("nopass") => (self.nopass, self.passwords) = (true, Vec::new()),
            _ if is("resetpass") => (self.nopass, self.passwords) = (false, Vec::new()),
            [b'>', password @ ..] => self.add_password(PasswordHash::of(password)),
            [b'#', hash @ ..] => self.add_password(PasswordHash::parse(hash)?),
            [b'<', password @ ..] => self.remove_password(PasswordHash::of(password))?,
            [b'!', hash @ ..] => self.remove_password(PasswordHash::parse(hash)?)?,
            [b'(', inner @ .., b')'] => {
                let mut selector = Selector::new(defaults);
                for rule in split_words(inner).unwrap_or_default() {
                    selector.apply(&rule, notes)?;
                }
                self.selectors.push(selector);
            }
            _ if is("clearselectors") => self.selectors.truncate(1),
            _ if is("reset") => {
                *self = Rights { sanitize: Some(true), ..Rights::new(defaults) };
            }
            _ => self.selectors[0].apply(rule, notes)?,
        }
        Ok(())
    }

    fn add_password(&mut self, hash: PasswordHash) {
        if !self.passwords.iter().any(|known| known.is(hash).into()) {
            self.passwords.push(hash);
        }
        self.nopass = false;
    }

    fn remove_password(&mut self, hash: PasswordHash) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|known| known.is(hash).into());
        self.passwords.remove(at.ok_or(RuleError::NoSuchPassword)?);
        Ok(())
    }

    /// All rules, as ACL LIST shows them.
    pub fn describe(&self) -> Vec<u8> {
        let mut rules = Vec::new();
        for flag in self.flags() {
            rules.extend_from_slice(flag.as_bytes());
            rules.push(b' ');
        }
        for password in &self.passwords {
            rules.extend(format!("#{} ", password.to_hex()).bytes());
        }
        for (index, selector) in self.selectors.iter().enumerate() {
            let own = selector.describe();
            if index == 0 {
                rules.extend(own);
            } else {
                rules.extend([b" (".as_slice(), &own, b")"].concat());
            }
        }
        rules
    }
}

/// Rules that stand in parentheses may be spread over several arguments; joined they are one.
///
/// # Errors
/// The index of the argument whose parenthesis does not end.
pub fn join_selectors(args: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, usize> {
    let mut rules: Vec<Vec<u8>> = Vec::with_capacity(args.len());
    let mut open: Option<(usize, Vec<u8>)> = None;
    for (index, arg) in args.iter().enumerate() {
        let closes = arg.last() == Some(&b')');
        if arg.first() == Some(&b'(') && !closes {
            open = Some((index, arg.clone()));
            continue;
        }
        match &mut open {
            Some((_, rule)) => {
                rule.push(b' ');
                rule.extend_from_slice(arg);
                if closes {
                    rules.extend(open.take().map(|(_, rule)| rule));
                }
            }
            None => rules.push(arg.clone()),
        }
    }
    match open {
        Some((index, _)) => Err(index),
        None => Ok(rules),
    }
}

/// A user that connections can be.
pub struct User {
    name: Vec<u8>,
    rights: Mutex<Arc<Rights>>,
    /// Deleted: nobody is this user any more.
    removed: AtomicBool,
}

impl User {
    /// A user with these rights.
    pub fn new(name: &[u8], rights: Rights) -> User {
        User {
            name: name.to_vec(),
            rights: Mutex::new(Arc::new(rights)),
            removed: AtomicBool::new(false),
        }
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// What it may do now.
    pub fn rights(&self) -> Arc<Rights> {
        Arc::clone(&lock(&self.rights))
    }

    pub(super) fn set_rights(&self, rights: Rights) {
        *lock(&self.rights) = Arc::new(rights);
    }

    pub(super) fn set_removed(&self) {
        self.removed.store(true, Ordering::Relaxed);
    }

    /// Whether it was deleted.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({:?})", self.name.escape_ascii().to_string())
    }
}
