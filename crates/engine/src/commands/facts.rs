//! How a command's facts are written down: a chain of calls that ends in a [`Spec`], all of it
//! evaluated by the compiler.
//!
//! ```ignore
//! command("getex", Group::String, -2, "write fast", getex)
//!     .acl("string")
//!     .keys(&[key_at(1, "RW ACCESS UPDATE")])
//!     .doc("6.2.0", "The string at a key, whose expiry is changed.", "O(1)")
//!     .args(&[arg::key("key"), arg::token("persist", "PERSIST").optional()]),
//! ```
//!
//! Flags and key flags are Redis's own words, so that a line can be held against
//! `COMMAND INFO`; an unknown word does not compile. [`Spec::keys`] also chooses
//! [`Plan::Keys`]; a command with another plan says so with [`Spec::plan`] after it.

use crate::acl::categories::id_of;
use crate::spec::{
    ArgDoc, Arity, BeginSearch, Doc, FindKeys, Flags, Group, KeyFlags, KeySpec, Plan, Run, Spec,
};

/// A command without keys and without documentation. `arity` is Redis's: negative for "so many
/// or more"; `flags` are the words of [`FLAG_WORDS`], separated by blanks.
pub const fn command(
    name: &'static str,
    group: Group,
    arity: i8,
    flags: &'static str,
    run: Run,
) -> Spec {
    let count = arity.unsigned_abs();
    let mut flags = parse_flags(flags);
    if flags.contains(Flags::FAST) {
        flags = flags.union(Flags::QUICK);
    }
    Spec {
        name,
        group,
        arity: if arity < 0 { Arity::AtLeast(count) } else { Arity::Exactly(count) },
        acl: id_of(name),
        flags,
        keys: &[],
        plan: Plan::None,
        run,
        subcommands: &[],
        doc: NO_DOC,
    }
}

/// A command that only groups subcommands. Each of those is a [`command`] of its own, named
/// `container|subcommand`.
pub const fn container(
    name: &'static str,
    group: Group,
    flags: &'static str,
    subcommands: &'static [Spec],
) -> Spec {
    command(name, group, -2, flags, no_subcommand).subcommands(subcommands)
}

/// Arity refuses a container without subcommand, and the search an unknown one, unless the
/// container is internal: then it comes here.
fn no_subcommand(_: &mut crate::cx::Cx<'_>, args: tandem_resp::Args<'_>) -> crate::error::Outcome {
    Err(super::wrong_form(args))
}

const NO_DOC: Doc = Doc {
    summary: "",
    since: "",
    complexity: "",
    categories: "",
    args: &[],
    deprecated: None,
    internal: false,
    history: &[],
    tips: &[],
};

impl Spec {
    /// Says where the keys are; their stripes will be held.
    #[must_use]
    pub const fn keys(mut self, keys: &'static [KeySpec]) -> Spec {
        self.keys = keys;
        self.plan = Plan::Keys;
        self
    }

    /// Says that it takes no longer than its reply is long, so that one with a short reply is
    /// timed together with its neighbours.
    #[must_use]
    pub const fn quick(mut self) -> Spec {
        self.flags = self.flags.union(Flags::QUICK);
        self
    }

    /// Says what is held while it runs.
    #[must_use]
    pub const fn plan(mut self, plan: Plan) -> Spec {
        self.plan = plan;
        if matches!(plan, Plan::Walk | Plan::Exclusive) {
            self.flags = self.flags.difference(Flags::QUICK);
        }
        self
    }

    /// ACL categories that do not follow from the flags, separated by blanks.
    #[must_use]
    pub const fn acl(mut self, categories: &'static str) -> Spec {
        self.doc.categories = categories;
        self
    }

    /// The version of Redis that brought it, one line that says what it does, and what it costs.
    #[must_use]
    pub const fn doc(
        mut self,
        since: &'static str,
        summary: &'static str,
        complexity: &'static str,
    ) -> Spec {
        self.doc.since = since;
        self.doc.summary = summary;
        self.doc.complexity = complexity;
        self
    }

    /// Its arguments, as [`arg`] makes them.
    #[must_use]
    pub const fn args(mut self, args: &'static [ArgDoc]) -> Spec {
        self.doc.args = args;
        self
    }

    /// Its subcommands.
    #[must_use]
    pub const fn subcommands(mut self, subcommands: &'static [Spec]) -> Spec {
        self.subcommands = subcommands;
        self
    }

    /// Since when it is deprecated, and what to use instead.
    #[must_use]
    pub const fn deprecated(mut self, since: &'static str, instead: &'static str) -> Spec {
        self.doc.deprecated = Some((since, instead));
        self
    }

    /// It is sent by servers, not by people.
    #[must_use]
    pub const fn internal(mut self) -> Spec {
        self.doc.internal = true;
        self
    }

    /// What changed: pairs of version and change.
    #[must_use]
    pub const fn history(mut self, history: &'static [(&'static str, &'static str)]) -> Spec {
        self.doc.history = history;
        self
    }

    /// Advice for clients, in the words of Redis's command tips.
    #[must_use]
    pub const fn tips(mut self, tips: &'static [&'static str]) -> Spec {
        self.doc.tips = tips;
        self
    }
}

/// One key, at argument `index`.
pub const fn key_at(index: u8, flags: &'static str) -> KeySpec {
    key_range(index, 0, 1, flags)
}

/// Keys from argument `first` on, every `step`th, up to `last` (relative to `first`; negative:
/// from the end).
pub const fn key_range(first: u8, last: i8, step: u8, flags: &'static str) -> KeySpec {
    KeySpec {
        flags: parse_key_flags(flags),
        begin: BeginSearch::Index(first),
        find: FindKeys::Range { last, step, limit: 0 },
        note: "",
    }
}

impl KeySpec {
    /// What a reader of COMMAND INFO should know besides.
    #[must_use]
    pub const fn note(mut self, note: &'static str) -> KeySpec {
        self.note = note;
        self
    }
}

/// The arguments of COMMAND DOCS.
pub mod arg {
    use super::ArgDoc;

    const fn of_kind(name: &'static str, kind: &'static str) -> ArgDoc {
        ArgDoc {
            name,
            kind,
            key_spec: None,
            token: None,
            since: None,
            deprecated: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            args: &[],
        }
    }

    /// A key that the first key specification finds.
    pub const fn key(name: &'static str) -> ArgDoc {
        key_of(name, 0)
    }

    /// A key that key specification `spec` finds.
    pub const fn key_of(name: &'static str, spec: u8) -> ArgDoc {
        let mut key = of_kind(name, "key");
        key.key_spec = Some(spec);
        key
    }

    /// Any bytes.
    pub const fn string(name: &'static str) -> ArgDoc {
        of_kind(name, "string")
    }

    /// An integer.
    pub const fn integer(name: &'static str) -> ArgDoc {
        of_kind(name, "integer")
    }

    /// A number with a fraction.
    pub const fn double(name: &'static str) -> ArgDoc {
        of_kind(name, "double")
    }

    /// A glob pattern.
    pub const fn pattern(name: &'static str) -> ArgDoc {
        of_kind(name, "pattern")
    }

    /// A moment, in seconds or milliseconds since 1970.
    pub const fn unix_time(name: &'static str) -> ArgDoc {
        of_kind(name, "unix-time")
    }

    /// A word and nothing else.
    pub const fn token(name: &'static str, token: &'static str) -> ArgDoc {
        of_kind(name, "pure-token").token(token)
    }

    /// One of `args`.
    pub const fn one_of(name: &'static str, args: &'static [ArgDoc]) -> ArgDoc {
        let mut one_of = of_kind(name, "oneof");
        one_of.args = args;
        one_of
    }

    /// All of `args`, in this order.
    pub const fn block(name: &'static str, args: &'static [ArgDoc]) -> ArgDoc {
        let mut block = of_kind(name, "block");
        block.args = args;
        block
    }

    impl ArgDoc {
        /// The word that introduces it.
        #[must_use]
        pub const fn token(mut self, token: &'static str) -> ArgDoc {
            self.token = Some(token);
            self
        }

        /// The version that brought it.
        #[must_use]
        pub const fn since(mut self, since: &'static str) -> ArgDoc {
            self.since = Some(since);
            self
        }

        /// The version that deprecated it.
        #[must_use]
        pub const fn deprecated(mut self, since: &'static str) -> ArgDoc {
            self.deprecated = Some(since);
            self
        }

        /// It may be left out.
        #[must_use]
        pub const fn optional(mut self) -> ArgDoc {
            self.optional = true;
            self
        }

        /// It may be repeated.
        #[must_use]
        pub const fn multiple(mut self) -> ArgDoc {
            self.multiple = true;
            self
        }

        /// It may be repeated together with its token.
        #[must_use]
        pub const fn multiple_token(mut self) -> ArgDoc {
            self.multiple = true;
            self.multiple_token = true;
            self
        }
    }
}

/// The words for flags, in the order of COMMAND INFO, and whether it shows them.
pub const FLAG_WORDS: &[(&str, Flags, bool)] = &[
    ("write", Flags::WRITE, true),
    ("readonly", Flags::READONLY, true),
    ("denyoom", Flags::DENYOOM, true),
    ("admin", Flags::ADMIN, true),
    ("pubsub", Flags::PUBSUB, true),
    ("noscript", Flags::NOSCRIPT, true),
    ("blocking", Flags::BLOCKING, true),
    ("loading", Flags::LOADING, true),
    ("stale", Flags::STALE, true),
    ("skip_monitor", Flags::SKIP_MONITOR, true),
    ("skip_slowlog", Flags::SKIP_SLOWLOG, true),
    ("asking", Flags::ASKING, true),
    ("fast", Flags::FAST, true),
    ("no_auth", Flags::NO_AUTH, true),
    ("may_replicate", Flags::MAY_REPLICATE, false),
    ("sentinel", Flags::SENTINEL, false),
    ("no_mandatory_keys", Flags::NO_MANDATORY_KEYS, true),
    ("protected", Flags::PROTECTED, false),
    ("no_async_loading", Flags::NO_ASYNC_LOADING, true),
    ("no_multi", Flags::NO_MULTI, true),
    ("movablekeys", Flags::MOVABLEKEYS, true),
    ("allow_busy", Flags::ALLOW_BUSY, true),
    ("touches_arbitrary_keys", Flags::TOUCHES_ARBITRARY_KEYS, false),
    ("quick", Flags::QUICK, false),
];

/// The words for key flags, in the order of COMMAND INFO. Facts say them in any case.
pub const KEY_FLAG_WORDS: &[(&str, KeyFlags)] = &[
    ("RO", KeyFlags::RO),
    ("RW", KeyFlags::RW),
    ("OW", KeyFlags::OW),
    ("RM", KeyFlags::RM),
    ("access", KeyFlags::ACCESS),
    ("update", KeyFlags::UPDATE),
    ("insert", KeyFlags::INSERT),
    ("delete", KeyFlags::DELETE),
    ("not_key", KeyFlags::NOT_KEY),
    ("incomplete", KeyFlags::INCOMPLETE),
    ("variable_flags", KeyFlags::VARIABLE_FLAGS),
];

const fn parse_flags(words: &str) -> Flags {
    let mut flags = Flags::empty();
    let mut rest = words.as_bytes();
    while let Some((word, after)) = next_word(rest) {
        let mut at = 0;
        while !word.eq_ignore_ascii_case(FLAG_WORDS[at].0.as_bytes()) {
            at += 1;
            assert!(at < FLAG_WORDS.len(), "no such flag");
        }
        flags = flags.union(FLAG_WORDS[at].1);
        rest = after;
    }
    flags
}

const fn parse_key_flags(words: &str) -> KeyFlags {
    let mut flags = KeyFlags::empty();
    let mut rest = words.as_bytes();
    while let Some((word, after)) = next_word(rest) {
        let mut at = 0;
        while !word.eq_ignore_ascii_case(KEY_FLAG_WORDS[at].0.as_bytes()) {
            at += 1;
            assert!(at < KEY_FLAG_WORDS.len(), "no such key flag");
        }
        flags = flags.union(KEY_FLAG_WORDS[at].1);
        rest = after;
    }
    flags
}

/// The first word and what follows it; `None` when there is none.
const fn next_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    if text.is_empty() {
        return None;
    }
    let mut end = 0;
    while end < text.len() && text[end] != b' ' {
        end += 1;
    }
    Some(text.split_at(end))
}
