//! What the table knows about a directive, and the macro that turns its rows into code.

use super::{Config, Directive, Value};
use std::ops::RangeInclusive;

/// Everything that is fixed about one directive.
#[derive(Debug)]
pub struct Facts {
    /// The name, in lower case.
    pub name: &'static str,
    /// An older name that means the same.
    pub alias: Option<&'static str>,
    /// What it is for, in one sentence.
    pub about: &'static str,
    /// Type, default and limits.
    pub kind: Kind,
    /// Who may change it when, and how its arguments are read.
    pub flags: Flags,
    /// Whether it does anything.
    pub effect: Effect,
}

/// Type, default and limits of a directive.
#[derive(Debug)]
pub enum Kind {
    /// `yes` or `no`.
    Flag {
        /// The value when nothing is said.
        default: bool,
    },
    /// A number.
    Number {
        /// The value when nothing is said.
        default: i64,
        /// What is allowed. Wider than any value, because some reach above `i64::MAX`.
        range: RangeInclusive<i128>,
        /// How it is written.
        unit: Unit,
    },
    /// A string.
    Text {
        /// The value when nothing is said. `None` is "not set", and then `""` unsets it too.
        default: Option<&'static str>,
        /// What it may hold.
        content: Content,
    },
    /// One name of a list, or several of them with [`Flags::MULTI_ARG`].
    Choice {
        /// The value when nothing is said.
        default: u32,
        /// Names and their values, in the order in which messages list them. Several names
        /// may have one value; the first is the one that is shown.
        names: &'static [(&'static str, u32)],
    },
    /// A form of its own.
    Other(Other),
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// In decimal.
    Plain,
    /// In bytes, with an optional `k`, `kb`, `m`, `mb`, `g` or `gb`.
    Bytes,
    /// In octal.
    Octal,
    /// As [`Unit::Bytes`], or as a percentage, which is held as its negative.
    BytesOrPercent,
}

/// What a string may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "these words stand in the rows of the table")]
pub enum Content {
    /// Text; a zero byte ends it.
    text,
    /// Any bytes.
    bytes,
}

/// The directives with a form of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// A list of addresses.
    Bind,
    /// Groups of class, hard limit, soft limit, soft seconds.
    BufferLimits,
    /// Letters for classes of events.
    KeyspaceEvents,
    /// Three scores.
    OomScores,
    /// A list of numbers from 0 to 100.
    Percentiles,
    /// Host and port, or `no one`.
    ReplicaOf,
    /// Pairs of seconds and changes.
    SavePoints,
}

/// Whether a directive does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what Redis's does.
    Works,
    /// It is read, checked, shown and rewritten, and has no effect.
    Accepted,
}

/// A set of properties of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// Only the file and the command line can set it.
    pub const IMMUTABLE: Flags = Flags(1);
    /// `CONFIG SET` needs `enable-protected-configs`.
    pub const PROTECTED: Flags = Flags(2);
    /// No pattern of `CONFIG GET` finds it; its full name does.
    pub const HIDDEN: Flags = Flags(4);
    /// Its value must not be logged.
    pub const SENSITIVE: Flags = Flags(8);
    /// It takes any number of arguments.
    pub const MULTI_ARG: Flags = Flags(16);
    /// It cannot be changed while a data set is being loaded.
    pub const DENY_LOADING: Flags = Flags(32);
    /// Setting it to what it is counts as a change: the files behind it are read again.
    pub const VOLATILE: Flags = Flags(64);
    /// It belongs into a crash report.
    pub const DEBUG: Flags = Flags(128);

    /// No property.
    pub const NONE: Flags = Flags(0);

    /// Both sets together.
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether every property of `other` is here.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Facts {
    /// The value when nothing is said.
    pub(super) fn default(&self) -> Value {
        match &self.kind {
            Kind::Flag { default } => Value::Flag(*default),
            Kind::Number { default, .. } => Value::Number(*default),
            Kind::Text { default, .. } => Value::Text(default.map(|text| text.as_bytes().into())),
            Kind::Choice { default, .. } => Value::Choice(*default),
            Kind::Other(other) => super::special::default(*other),
        }
    }
}

impl Config {
    fn value(&self, directive: Directive) -> &Value {
        &self.values[directive as usize]
    }

    pub(super) fn flag(&self, directive: Directive) -> bool {
        match self.value(directive) {
            Value::Flag(value) => *value,
            other => unreachable!("{directive:?} is a flag, not {other:?}"),
        }
    }

    pub(super) fn number(&self, directive: Directive) -> i64 {
        match self.value(directive) {
            Value::Number(value) => *value,
            other => unreachable!("{directive:?} is a number, not {other:?}"),
        }
    }

    pub(super) fn text(&self, directive: Directive) -> &[u8] {
        match self.value(directive) {
            Value::Text(value) => value.as_deref().unwrap_or_default(),
            other => unreachable!("{directive:?} is a text, not {other:?}"),
        }
    }

    pub(super) fn choice(&self, directive: Directive) -> u32 {
        match self.value(directive) {
            Value::Choice(value) => *value,
            other => unreachable!("{directive:?} is a choice, not {other:?}"),
        }
    }
}

/// Turns the rows of the table into the enum, the facts, and the typed getters.
macro_rules! directives {
    (
        flags { $(
            #[doc = $f_about:literal]
            $f_effect:ident $f_key:ident $f_get:ident $f_name:literal $(| $f_alias:literal)?
            $([$($f_flag:ident)|+])? = $f_default:literal;
        )* }
        numbers { $(
            #[doc = $n_about:literal]
            $n_effect:ident $n_key:ident $n_get:ident $n_name:literal $(| $n_alias:literal)?
            $([$($n_flag:ident)|+])?: $n_type:ty = $n_default:expr, $n_unit:ident $n_range:expr;
        )* }
        texts { $(
            #[doc = $t_about:literal]
            $t_effect:ident $t_key:ident $t_get:ident $t_name:literal $(| $t_alias:literal)?
            $([$($t_flag:ident)|+])?: $t_content:ident = $t_default:expr;
        )* }
        choices { $(
            #[doc = $c_about:literal]
            $c_effect:ident $c_key:ident $c_get:ident $c_name:literal $(| $c_alias:literal)?
            $([$($c_flag:ident)|+])?: $c_type:ident = $c_default:ident;
        )* }
        others { $(
            #[doc = $o_about:literal]
            $o_effect:ident $o_key:ident $o_name:literal $(| $o_alias:literal)?
            $([$($o_flag:ident)|+])?: $o_kind:ident;
        )* }
    ) => {
        /// The key of a directive.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Directive {
            $(#[doc = $f_about] $f_key,)*
            $(#[doc = $n_about] $n_key,)*
            $(#[doc = $t_about] $t_key,)*
            $(#[doc = $c_about] $c_key,)*
            $(#[doc = $o_about] $o_key,)*
        }

        impl Directive {
            /// Every directive, in the order of [`FACTS`].
            pub const ALL: &[Directive] = &[
                $(Directive::$f_key,)*
                $(Directive::$n_key,)*
                $(Directive::$t_key,)*
                $(Directive::$c_key,)*
                $(Directive::$o_key,)*
            ];

            /// What the table says about it.
            pub fn facts(self) -> &'static crate::config::Facts {
                &FACTS[self as usize]
            }
        }

        /// The table, in the order of [`Directive`].
        pub static FACTS: &[crate::config::Facts] = {
            use crate::config::directive::{Content, Effect, Facts, Flags, Kind, Other, Unit};
            &[
                $(directives!(@facts $f_about $f_effect $f_name [$($f_alias)?] [$($($f_flag)+)?]
                    Kind::Flag { default: $f_default }),)*
                $(directives!(@facts $n_about $n_effect $n_name [$($n_alias)?] [$($($n_flag)+)?]
                    Kind::Number { default: $n_default, range: $n_range, unit: Unit::$n_unit }),)*
                $(directives!(@facts $t_about $t_effect $t_name [$($t_alias)?] [$($($t_flag)+)?]
                    Kind::Text { default: $t_default, content: Content::$t_content }),)*
                $(directives!(@facts $c_about $c_effect $c_name [$($c_alias)?] [$($($c_flag)+)?]
                    Kind::Choice { default: $c_type::$c_default.bits(), names: $c_type::NAMES }),)*
                $(directives!(@facts $o_about $o_effect $o_name [$($o_alias)?] [$($($o_flag)+)?]
                    Kind::Other(Other::$o_kind)),)*
            ]
        };

        $(
            // The getter's type holds the whole range, so its cast loses nothing.
            const _: () = {
                let range: std::ops::RangeInclusive<i128> = $n_range;
                assert!(*range.start() >= <$n_type>::MIN as i128);
                assert!(*range.end() <= <$n_type>::MAX as i128);
                assert!(*range.start() <= $n_default && $n_default <= *range.end());
            };
        )*

        impl crate::config::Config {
            $(#[doc = $f_about] pub fn $f_get(&self) -> bool {
                self.flag(Directive::$f_key)
            })*
            $(#[doc = $n_about] pub fn $n_get(&self) -> $n_type {
                self.number(Directive::$n_key) as $n_type
            })*
            $(#[doc = $t_about] pub fn $t_get(&self) -> &[u8] {
                self.text(Directive::$t_key)
            })*
            $(#[doc = $c_about] pub fn $c_get(&self) -> $c_type {
                $c_type::from_bits(self.choice(Directive::$c_key))
            })*
        }
    };
    (@facts $about:literal $effect:ident $name:literal [$($alias:literal)?] [$($flag:ident)*]
        $kind:expr) => {
        Facts {
            name: $name,
            alias: directives!(@alias $($alias)?),
            about: $about,
            kind: $kind,
            flags: Flags::NONE$(.with(Flags::$flag))*,
            effect: Effect::$effect,
        }
    };
    (@alias) => { None };
    (@alias $alias:literal) => { Some($alias) };
}
pub(super) use directives;
