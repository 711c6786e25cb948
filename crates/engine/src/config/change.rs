//! CONFIG GET and CONFIG SET.

use super::choices::AllowedFrom;
use super::directive::{Flags, Kind};
use super::table::Directive;
use super::value::{Value, Why, parse, show};
use super::{Config, Name, find_name, names};
use crate::glob;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Who asks for a change, and when.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// Whether a data set is being loaded.
    pub loading: bool,
    /// Whether the client is on this machine.
    pub local: bool,
}

/// A directive that got a new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Which.
    pub directive: Directive,
    /// The name under which it was set: its own or its old one.
    pub name: &'static str,
}

/// What a CONFIG SET changed. The engine acts upon [`Change::changed`] in order; when it
/// cannot, it hands the whole to [`Config::undo`] and answers with [`Refusal::failed`].
#[derive(Debug)]
#[must_use]
pub struct Change {
    changed: Vec<Changed>,
    /// The old values, in the order in which they were replaced.
    before: Vec<(Directive, Value)>,
}

impl Change {
    /// What got a new value. A directive that was set to what it was is not here, except
    /// those that mean "do it again", like `bind`.
    pub fn changed(&self) -> &[Changed] {
        &self.changed
    }

    /// Whether `directive` got a new value.
    pub fn has(&self, directive: Directive) -> bool {
        self.changed.iter().any(|changed| changed.directive == directive)
    }
}

/// Why a CONFIG SET changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A name without a value.
    Syntax,
    /// Not while a data set is being loaded.
    Loading,
    /// No such directive.
    Unknown(Vec<u8>),
    /// A directive could not be set.
    Failed {
        /// The argument that is to blame.
        argument: Vec<u8>,
        /// What is wrong.
        why: Why,
    },
}

impl Refusal {
    /// The refusal for a change that was legal but could not be put into effect.
    pub fn failed(changed: Changed, why: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::Failed { argument: changed.name.into(), why: why.into() }
    }

    /// The error for the client: code and text, without the leading `-`. Line ends in what
    /// the client sent are blanks here.
    pub fn reply(&self) -> Vec<u8> {
        let mut reply = match self {
            Refusal::Syntax => b"ERR syntax error".to_vec(),
            Refusal::Loading => b"LOADING Redis is loading the dataset in memory".to_vec(),
            Refusal::Unknown(name) => [
                b"ERR Unknown option or number of arguments for CONFIG SET - '".as_slice(),
                name,
                b"'",
            ]
            .concat(),
            Refusal::Failed { argument, why } => [
                b"ERR CONFIG SET failed (possibly related to argument '".as_slice(),
                argument,
                b"') - ",
                why.as_bytes(),
            ]
            .concat(),
        };
        for byte in &mut reply {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        reply
    }
}

impl Config {
    /// CONFIG GET: names and values of the directives that `patterns` name. A pattern without
    /// `*`, `?` or `[` is a name, in any case, and comes back as it was written; it also
    /// finds the hidden ones. Old names are entries of their own. What a pattern matches is
    /// sorted by name.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut known: BTreeSet<Vec<u8>> = BTreeSet::new();
        let mut add = |name: &[u8], directive: Directive| {
            if known.insert(name.to_ascii_lowercase()) {
                found.push((name.into(), self.shown(directive)));
            }
        };
        for pattern in patterns {
            if !pattern.iter().any(|byte| matches!(byte, b'[' | b'*' | b'?')) {
                if let Some(name) = find_name(pattern) {
                    add(pattern, name.directive);
                }
                continue;
            }
            for name in names() {
                let hidden = name.directive.facts().flags.has(Flags::HIDDEN);
                if !hidden && glob::matches_ignoring_case(pattern, name.text.as_bytes()) {
                    add(name.text.as_bytes(), name.directive);
                }
            }
        }
        found
    }

    /// The value of one directive as CONFIG GET shows it.
    pub fn shown(&self, directive: Directive) -> Vec<u8> {
        show(directive, &self.values[directive as usize])
    }

    /// CONFIG SET: `args` are names and values in turn. Either all of them are set, or none.
    ///
    /// # Errors
    /// The first thing that is wrong; nothing has changed then.
    pub fn set(&mut self, args: &[&[u8]], asker: Asker) -> Result<Change, Refusal> {
        let pairs = self.check_names(args, asker)?;
        let mut change = Change { changed: Vec::new(), before: Vec::new() };
        for (name, text) in pairs {
            let Name { directive, text: name } = name;
            match self.set_one(directive, text, &mut change.before) {
                Ok(false) => {}
                Ok(true) => change.changed.push(Changed { directive, name }),
                Err(why) => {
                    self.undo(change);
                    return Err(Refusal::Failed { argument: name.into(), why });
                }
            }
        }
        Ok(change)
    }

    /// Takes a change back: every value is what it was.
    pub fn undo(&mut self, change: Change) {
        for (directive, value) in change.before.into_iter().rev() {
            self.values[directive as usize] = value;
        }
    }

    /// Finds every directive and checks that it may be set now.
    fn check_names<'a>(
        &self,
        args: &[&'a [u8]],
        asker: Asker,
    ) -> Result<Vec<(Name, &'a [u8])>, Refusal> {
        let (pairs, rest) = args.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(Refusal::Syntax);
        }
        let mut checked: Vec<(Name, &[u8])> = Vec::with_capacity(pairs.len());
        for &[argument, text] in pairs {
            let Some(name) = find_name(argument) else {
                return Err(Refusal::Unknown(argument.into()));
            };
            let failed =
                |why: &'static str| Refusal::Failed { argument: argument.into(), why: why.into() };
            let flags = name.directive.facts().flags;
            if flags.has(Flags::IMMUTABLE) {
                return Err(failed("can't set immutable config"));
            }
            if flags.has(Flags::PROTECTED) && !self.may_set_protected(asker) {
                return Err(failed("can't set protected config"));
            }
            if flags.has(Flags::DENY_LOADING) && asker.loading {
                return Err(Refusal::Loading);
            }
            // An old name and its new one are two: the later wins.
            if checked.iter().any(|(known, _)| known.text == name.text) {
                return Err(failed("duplicate parameter"));
            }
            checked.push((name, text));
        }
        Ok(checked)
    }

    fn may_set_protected(&self, asker: Asker) -> bool {
        match self.enable_protected_configs() {
            AllowedFrom::No => false,
            AllowedFrom::Yes => true,
            AllowedFrom::Local => asker.local,
        }
    }

    /// Sets one directive; says whether that is a change.
    fn set_one(
        &mut self,
        directive: Directive,
        text: &[u8],
        before: &mut Vec<(Directive, Value)>,
    ) -> Result<bool, Why> {
        let facts = directive.facts();
        let words: Vec<&[u8]> = if !facts.flags.has(Flags::MULTI_ARG) {
            vec![text]
        } else if text.is_empty() {
            Vec::new()
        } else {
            text.split(|&byte| byte == b' ').collect()
        };
        let slot = &mut self.values[directive as usize];
        let value = parse(directive, &words, slot, false)?;
        // What has a form of its own, or files behind it, counts as changed when it is set.
        let again = matches!(facts.kind, Kind::Other(_)) || facts.flags.has(Flags::VOLATILE);
        let changed = again || directive == Directive::Dir || *slot != value;
        before.push((directive, std::mem::replace(slot, value)));
        Ok(changed)
    }
}
