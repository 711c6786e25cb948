//! What a command is, as data: the one table from which the gate, COMMAND, the lock plans, the
//! documentation and the client's hints are derived.

use bitflags::bitflags;
use tandem_resp::Args;

use crate::acl::categories::CommandId;
use crate::cx::Cx;
use crate::error::Outcome;

bitflags! {
    /// Facts about a command; names and meanings are those of COMMAND INFO.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// May change the dataset.
        const WRITE = 1 << 0;
        /// Reads keys and never changes them.
        const READONLY = 1 << 1;
        /// May use more memory: refused when memory is short.
        const DENYOOM = 1 << 2;
        /// An administrator's command.
        const ADMIN = 1 << 3;
        /// Belongs to publish/subscribe.
        const PUBSUB = 1 << 4;
        /// Not for scripts.
        const NOSCRIPT = 1 << 5;
        /// May block the client.
        const BLOCKING = 1 << 6;
        /// Allowed while the dataset is being loaded.
        const LOADING = 1 << 7;
        /// Allowed on a replica that serves no stale data.
        const STALE = 1 << 8;
        /// Not shown to MONITOR.
        const SKIP_MONITOR = 1 << 9;
        /// Not put into the slow log.
        const SKIP_SLOWLOG = 1 << 10;
        /// Constant or logarithmic time.
        const FAST = 1 << 11;
        /// Allowed before authentication.
        const NO_AUTH = 1 << 12;
        /// May be sent to replicas though it is no write.
        const MAY_REPLICATE = 1 << 13;
        /// Not allowed while the dataset is being loaded in the background.
        const NO_ASYNC_LOADING = 1 << 14;
        /// Not allowed in a transaction.
        const NO_MULTI = 1 << 15;
        /// Allowed while a script is being too slow.
        const ALLOW_BUSY = 1 << 16;
        /// Touches keys that its arguments do not name; its effects are never wrapped.
        const TOUCHES_ARBITRARY_KEYS = 1 << 17;
        /// Its keys are not all found by the key specifications.
        const MOVABLEKEYS = 1 << 18;
        /// Exists in sentinel mode too.
        const SENTINEL = 1 << 19;
        /// Refused unless `enable-debug-command` and its like allow it.
        const PROTECTED = 1 << 20;
        /// Allowed on a cluster slot that is being imported.
        const ASKING = 1 << 21;
        /// May come without any key.
        const NO_MANDATORY_KEYS = 1 << 22;
        /// With few arguments and a short reply it cannot take long; see `timing.rs`.
        const QUICK = 1 << 23;
    }
}

bitflags! {
    /// What a command does with a key it names.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct KeyFlags: u16 {
        /// Reads and writes.
        const RW = 1 << 0;
        /// Reads only.
        const RO = 1 << 1;
        /// Overwrites.
        const OW = 1 << 2;
        /// Removes.
        const RM = 1 << 3;
        /// Returns or uses the value.
        const ACCESS = 1 << 4;
        /// Changes the value by what it was.
        const UPDATE = 1 << 5;
        /// Adds data without looking.
        const INSERT = 1 << 6;
        /// Deletes content.
        const DELETE = 1 << 7;
        /// Is no key, but is routed like one.
        const NOT_KEY = 1 << 8;
        /// Depends on further arguments.
        const INCOMPLETE = 1 << 9;
        /// The other flags depend on the arguments.
        const VARIABLE_FLAGS = 1 << 10;
    }
}

/// Where a command's keys begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginSearch {
    /// At this argument.
    Index(u8),
    /// After this word, looked for from the argument `from` on (negative: from the end back).
    Keyword(&'static str, i8),
}

/// How the keys go on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindKeys {
    /// Every `step`th argument up to `last` (relative to the first; negative: from the end);
    /// `limit` 2 means the first half of what is left, and so on.
    Range {
        /// Last key, relative to the first or, when negative, to the end.
        last: i8,
        /// Distance from key to key.
        step: u8,
        /// 0, or the part of the arguments that are keys.
        limit: u8,
    },
    /// A count of keys stands at `count_at` (relative), the keys from `first` on.
    KeyNum {
        /// Where the count stands, relative to the beginning.
        count_at: u8,
        /// Where the first key stands, relative to the beginning.
        first: u8,
        /// Distance from key to key.
        step: u8,
    },
}

/// One key specification, as in COMMAND INFO.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// What is done with the keys.
    pub flags: KeyFlags,
    /// Where they begin.
    pub begin: BeginSearch,
    /// How they go on.
    pub find: FindKeys,
    /// What a reader of COMMAND INFO should know besides, or empty.
    pub note: &'static str,
}

/// The key is argument 1.
pub const fn first_key(flags: KeyFlags) -> KeySpec {
    keys_range(flags, 1, 0, 1)
}

/// Keys from argument `first` on, by [`FindKeys::Range`].
pub const fn keys_range(flags: KeyFlags, first: u8, last: i8, step: u8) -> KeySpec {
    KeySpec {
        flags,
        begin: BeginSearch::Index(first),
        find: FindKeys::Range { last, step, limit: 0 },
        note: "",
    }
}

/// How many arguments, the name included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Just so many.
    Exactly(u8),
    /// So many or more.
    AtLeast(u8),
}

impl Arity {
    /// Whether `count` arguments will do.
    #[inline]
    pub fn allows(self, count: usize) -> bool {
        match self {
            Arity::Exactly(exact) => count == usize::from(exact),
            Arity::AtLeast(least) => count >= usize::from(least),
        }
    }

    /// As COMMAND INFO says it: negative for "or more".
    pub fn as_i64(self) -> i64 {
        match self {
            Arity::Exactly(exact) => i64::from(exact),
            Arity::AtLeast(least) => -i64::from(least),
        }
    }
}

/// What must be held while the command runs; see `locks.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: the command touches no key.
    None,
    /// Nothing: the command takes stripes one at a time by itself. Inside a transaction, where
    /// stripes are held already, it runs exclusively.
    Walk,
    /// The stripes of the keys that the key specifications name.
    Keys,
    /// The whole keyspace, alone.
    Exclusive,
}

/// Groups of COMMAND DOCS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the groups' own")]
pub enum Group {
    Generic,
    String,
    Hash,
    Connection,
    Server,
    Transactions,
    PubSub,
    Cluster,
}

/// The function behind a command: writes its reply into `cx.out`, or returns the error to reply.
pub type Run = fn(&mut Cx<'_>, Args<'_>) -> Outcome;

/// One command or subcommand.
pub struct Spec {
    /// Lower case; `client|list` for a subcommand.
    pub name: &'static str,
    /// Its group.
    pub group: Group,
    /// Its number of arguments, the name (and the subcommand's name) included.
    pub arity: Arity,
    /// The bit that stands for it in a user's rights.
    pub acl: CommandId,
    /// Facts.
    pub flags: Flags,
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// What it locks.
    pub plan: Plan,
    /// What it does. A container's function is what runs without a known subcommand.
    pub run: Run,
    /// Its subcommands, if it is a container.
    pub subcommands: &'static [Spec],
    /// Documentation, for COMMAND DOCS and docs/commands.md.
    pub doc: Doc,
}

/// What COMMAND INFO and COMMAND DOCS tell besides.
pub struct Doc {
    /// One line.
    pub summary: &'static str,
    /// The Redis version that brought it.
    pub since: &'static str,
    /// Time complexity; empty for a container.
    pub complexity: &'static str,
    /// ACL categories beyond those that follow from the flags, without `@`, separated by blanks.
    pub categories: &'static str,
    /// Its arguments.
    pub args: &'static [ArgDoc],
    /// If deprecated: since when, and what to use instead.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Sent by servers, not by people.
    pub internal: bool,
    /// What changed since: version and change.
    pub history: &'static [(&'static str, &'static str)],
    /// Advice for clients and proxies, such as `request_policy:all_shards`.
    pub tips: &'static [&'static str],
}

/// One argument of COMMAND DOCS.
pub struct ArgDoc {
    /// Its name.
    pub name: &'static str,
    /// `key`, `string`, `integer`, `double`, `pattern`, `unix-time`, `pure-token`, `oneof`, `block`.
    pub kind: &'static str,
    /// Which of the command's key specifications finds it.
    pub key_spec: Option<u8>,
    /// The word that introduces it.
    pub token: Option<&'static str>,
    /// The version that brought it, where later than the command.
    pub since: Option<&'static str>,
    /// The version that deprecated it.
    pub deprecated: Option<&'static str>,
    /// May be left out.
    pub optional: bool,
    /// May be repeated.
    pub multiple: bool,
    /// Repeats its token with each repetition.
    pub multiple_token: bool,
    /// Parts of a `oneof` or `block`.
    pub args: &'static [ArgDoc],
}

impl Spec {
    /// Whether argument 1 is the command's only key. Its arity then asks for that argument.
    #[inline]
    pub fn has_one_key_first(&self) -> bool {
        matches!(
            self.keys,
            [KeySpec {
                begin: BeginSearch::Index(1),
                find: FindKeys::Range { last: 0, .. },
                flags,
                ..
            }] if !flags.contains(KeyFlags::NOT_KEY)
        )
    }

    /// Whether all of `flags` hold.
    #[inline]
    pub fn has(&self, flags: Flags) -> bool {
        self.flags.contains(flags)
    }

    /// Calls `found` with the index of each argument that is a key. Arguments that make no sense
    /// (a count that is no number) give no keys: the command itself will say what is wrong.
    pub fn each_key(&self, args: Args<'_>, mut found: impl FnMut(usize)) {
        for keys in self.keys {
            if !keys.flags.contains(KeyFlags::NOT_KEY) {
                keys.each_key(args, &mut found);
            }
        }
    }
}

impl KeySpec {
    /// As [`Spec::each_key`], for one specification.
    pub fn each_key(&self, args: Args<'_>, found: impl FnMut(usize)) {
        let first = match self.begin {
            BeginSearch::Index(index) => usize::from(index),
            BeginSearch::Keyword(word, from) => match find_keyword(args, word, from) {
                Some(at) => at + 1,
                None => return,
            },
        };
        if first >= args.len() {
            return;
        }
        match self.find {
            FindKeys::Range { last, step, limit } => {
                let left = args.len() - first;
                let last = match (last, limit) {
                    (-1, 2..) => first + left / usize::from(limit) - usize::from(left >= 2),
                    (0.., _) => first + last.unsigned_abs() as usize,
                    (_, _) => match args.len().checked_sub(last.unsigned_abs() as usize) {
                        Some(last) => last,
                        None => return,
                    },
                };
                let last = last.min(args.len() - 1);
                (first..=last).step_by(usize::from(step)).for_each(found);
            }
            FindKeys::KeyNum { count_at, first: offset, step } => {
                let Some(count) = args
                    .iter()
                    .nth(first + usize::from(count_at))
                    .and_then(tandem_base::num::parse_u64)
                else {
                    return;
                };
                let start = first + usize::from(offset);
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                (start..args.len()).step_by(usize::from(step)).take(count).for_each(found);
            }
        }
    }
}

fn find_keyword(args: Args<'_>, word: &str, from: i8) -> Option<usize> {
    let is_word = |&at: &usize| args.get(at).eq_ignore_ascii_case(word.as_bytes());
    if from >= 0 {
        (from.unsigned_abs() as usize..args.len()).find(is_word)
    } else {
        let end = args.len().checked_sub(from.unsigned_abs() as usize)?;
        (1..=end).rev().find(is_word)
    }
}
