//! Which commands a selector may run: a bit for each, and the words that say it again.
//!
//! The words are Redis's: `+@all` or `-@all` first, then the categories that fit best, then single
//! commands. Which categories are chosen is Redis's too (most in common, fewest that differ); the
//! order of single commands, which there depends on a random seed, is that of their names.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use super::categories::{self, CATEGORIES, CommandId, UNNAMED};

const WORDS: usize = (UNNAMED as usize + 1) / 64;

/// A bit for each command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bits([u64; WORDS]);

impl Bits {
    const NONE: Bits = Bits([0; WORDS]);
    const ALL: Bits = Bits([u64::MAX; WORDS]);

    fn has(&self, id: CommandId) -> bool {
        self.0[usize::from(id) / 64] & (1 << (id % 64)) != 0
    }

    fn set(&mut self, id: CommandId, on: bool) {
        let word = &mut self.0[usize::from(id) / 64];
        if on {
            *word |= 1 << (id % 64);
        } else {
            *word &= !(1 << (id % 64));
        }
    }

    /// Sets a command and, if it is a container, its subcommands.
    fn set_whole(&mut self, id: CommandId, on: bool) {
        self.set(id, on);
        subcommands(id).for_each(|sub| self.set(sub, on));
    }

    fn set_category(&mut self, category: usize, on: bool) {
        for id in categories::all().filter(|id| categories::is_in(*id, category)) {
            self.set_whole(id, on);
        }
    }

    /// How many commands of a category are set, and how many are not.
    fn count(&self, category: usize) -> (usize, usize) {
        let counted = |id: &CommandId| !categories::is_newer(*id);
        let all = categories::all().filter(|id| categories::is_in(*id, category));
        let (on, off): (Vec<_>, Vec<_>) = all.filter(counted).partition(|id| self.has(*id));
        (on.len(), off.len())
    }
}

/// The subcommands of each number; they lie side by side in the list of names.
fn subcommands(id: CommandId) -> Range<CommandId> {
    static RANGES: LazyLock<Vec<Range<CommandId>>> = LazyLock::new(|| {
        let range = |container| {
            let mut subs = categories::subcommands(container);
            let first = subs.next().unwrap_or(0);
            let count = if first == 0 { 0 } else { 1 + subs.count() as CommandId };
            first..first + count
        };
        categories::all().map(range).collect()
    });
    RANGES[usize::from(id)].clone()
}

/// Whether the name has subcommands.
pub(super) fn is_container(id: CommandId) -> bool {
    !subcommands(id).is_empty()
}

/// The commands that a selector may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commands {
    bits: Bits,
    /// Commands that are not allowed but for these first arguments, as `+select|0` says.
    first_args: BTreeMap<CommandId, Vec<Vec<u8>>>,
}

impl Commands {
    /// No command.
    pub(super) const NONE: Commands = Commands { bits: Bits::NONE, first_args: BTreeMap::new() };

    /// Whether every command is allowed, those included that are yet to come.
    pub(super) fn is_all(&self) -> bool {
        self.bits == Bits::ALL
    }

    /// Whether a command is allowed, `first_arg` being what follows its name.
    pub(super) fn allow(&self, id: CommandId, first_arg: Option<&[u8]>) -> bool {
        if self.bits.has(id) {
            return true;
        }
        let Some(allowed) = self.first_args.get(&id) else { return false };
        first_arg.is_some_and(|arg| allowed.iter().any(|one| one.eq_ignore_ascii_case(arg)))
    }

    /// `+@all`, `-@all`
    pub(super) fn set_all(&mut self, on: bool) {
        *self = Commands { bits: if on { Bits::ALL } else { Bits::NONE }, ..Commands::NONE };
    }

    /// `+command`, `-command`
    pub(super) fn set(&mut self, id: CommandId, on: bool) {
        self.bits.set_whole(id, on);
        self.first_args.remove(&id);
    }

    /// `+@category`, `-@category`
    pub(super) fn set_category(&mut self, category: usize, on: bool) {
        self.bits.set_category(category, on);
        self.first_args.retain(|id, _| !categories::is_in(*id, category));
    }

    /// `+command|first-arg`
    pub(super) fn add_first_arg(&mut self, id: CommandId, arg: &[u8]) {
        let known = self.first_args.entry(id).or_default();
        if !known.iter().any(|one| one.eq_ignore_ascii_case(arg)) {
            known.push(arg.to_vec());
        }
    }

    /// The rules that make these commands from nothing.
    pub(super) fn describe(&self) -> Vec<u8> {
        let subtract = self.bits.has(UNNAMED);
        let (sign, inverse) = if subtract { ('-', "+") } else { ('+', "-") };
        let mut rules = format!("{inverse}@all").into_bytes();
        // What the rules so far give, and what of ours they do not explain.
        let mut given = if subtract { Bits::ALL } else { Bits::NONE };
        let mut left = self.bits;
        let mut applied = [false; CATEGORIES.len()];
        while let Some(best) = best_category(&left, &applied, subtract) {
            rules.extend(format!(" {sign}@{}", CATEGORIES[best]).bytes());
            given.set_category(best, !subtract);
            left.set_category(best, subtract);
            applied[best] = true;
        }
        let is_top = |id: &CommandId| !categories::name(*id).contains('|');
        for id in categories::all().filter(is_top) {
            for one in std::iter::once(id).chain(subcommands(id)) {
                let on = self.bits.has(one);
                if given.has(one) != on {
                    let sign = if on { '+' } else { '-' };
                    rules.extend(format!(" {sign}{}", categories::name(one)).bytes());
                    given.set_whole(one, on);
                }
            }
            if !self.bits.has(id) {
                for arg in self.first_args.get(&id).into_iter().flatten() {
                    rules.extend(format!(" +{}|", categories::name(id)).bytes());
                    rules.extend_from_slice(arg);
                }
            }
        }
        assert_eq!(given, self.bits, "rules that are written down must give the same rights");
        rules
    }
}

/// The category that explains most of what is left: more commands in common than not, and fewest
/// that differ; of equal ones the one with more in common.
fn best_category(left: &Bits, applied: &[bool], subtract: bool) -> Option<usize> {
    let mut best = None;
    let (mut fewest, mut most) = (usize::MAX, 0);
    for category in (0..CATEGORIES.len()).filter(|&category| !applied[category]) {
        let (on, off) = left.count(category);
        let (differ, same) = if subtract { (on, off) } else { (off, on) };
        if same > differ && (differ < fewest || (differ == fewest && same > most)) {
            best = Some(category);
            (fewest, most) = (differ, same);
        }
    }
    best
}
