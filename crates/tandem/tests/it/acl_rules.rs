//! The rules of ACL SETUSER beside stock Redis: random ones from a grammar, right and wrong, and
//! all that can be seen of a user after them.
//!
//! The order of single commands in a description is free (Redis has another one after each
//! start); everything else is compared to the byte. `ACL_SEED` and `ACL_STEPS` run another walk.

use std::fmt::Write as _;

use tandem_harness::{Client, Rng, Server, Value};

use crate::{redis, tandem};

const STEPS: u64 = 2000;
const USERS: &[&str] = &["u0", "u1", "u2", "u3", "default"];
const WORDS: &[&str] = &[
    "on",
    "off",
    "nopass",
    "resetpass",
    "sanitize-payload",
    "skip-sanitize-payload",
    "allkeys",
    "resetkeys",
    "allchannels",
    "resetchannels",
    "allcommands",
    "nocommands",
    "+@all",
    "-@all",
];
const PATTERNS: &[&str] =
    &["*", "a*", "k1", "k2", "key:[ab]?", "", "a b", "\\*", "**", "ü", "a:{x}", "K1"];
/// Commands without subcommands in Redis, so that `|` names a first argument.
const PLAIN: &[&str] = &["get", "set", "select", "debug", "hset", "sadd", "lpush", "publish"];
/// What must be nonsense.
const NONSENSE: &[&str] = &[
    "x",
    "",
    "+",
    "-",
    "+@",
    "@all",
    "+@nosuch",
    "-@nosuch",
    "+nosuch",
    "-nosuch",
    "+config|nosuch",
    "-config|nosuch",
    "+nosuch|get",
    "+config|",
    "+config|get|x",
    "-config|get|x",
    "-select|0",
    "+get|a|b",
    "+|get",
    "%",
    "%~",
    "%R",
    "%RW",
    "%X~a",
    "%RX~a",
    "~",
    "&",
    "#",
    "#12",
    "!34344e4d60c2b6d639b7bd22e18f2b0b91bc34bf0ac5f9952744435093cfb4eq",
    "#34344E4D60C2B6D639B7BD22E18F2B0B91BC34BF0AC5F9952744435093CFB4E6",
    ">",
    "<",
    "<nosuch",
    "on ",
    " on",
    "onn",
    "+get ",
    ")",
    "(",
    "((",
    "()x",
    " () ",
    "(()",
];
const HASHES: &[&str] = &[
    "34344e4d60c2b6d639b7bd22e18f2b0b91bc34bf0ac5f9952744435093cfb4e6",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
];
const TRIED: &[&str] = &[
    "GET k1",
    "SET k1 v",
    "SET a1 v GET",
    "MGET k1 k2 a",
    "DEL k2",
    "HSET a f v",
    "HGETALL key:a1",
    "EXISTS k1",
    "COPY k1 k2",
    "RENAME a k1",
    "OBJECT ENCODING k1",
    "MEMORY USAGE k2",
    "PUBLISH a1 m",
    "SPUBLISH k1 m",
    "SUBSCRIBE k1 k2",
    "PSUBSCRIBE a*",
    "PSUBSCRIBE k1",
    "CLIENT ID",
    "CLIENT KILL 1.2.3.4:5",
    "CONFIG GET maxmemory",
    "ACL WHOAMI",
    "ACL SETUSER x",
    "DEBUG OBJECT k1",
    "SELECT 1",
    "PING",
    "AUTH x",
    "MULTI",
    "FLUSHALL",
    "GET",
    "NOSUCH k1",
];

/// What rules may be about: names that both servers know.
struct Grammar {
    rng: Rng,
    commands: Vec<String>,
    categories: Vec<String>,
}

impl Grammar {
    fn pick(&mut self, list: &[&str]) -> String {
        list[self.index(list.len())].to_owned()
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.rng.below(len as u64)).expect("an index fits")
    }

    /// A rule of a selector or a user.
    fn rule(&mut self) -> String {
        let sign = self.pick(&["+", "-", "+"]);
        let rule = match self.rng.below(20) {
            0..=4 => {
                let at = self.index(self.commands.len());
                format!("{sign}{}", self.commands[at])
            }
            5..=7 => {
                let at = self.index(self.categories.len());
                format!("{sign}@{}", self.categories[at])
            }
            8 => {
                let command = self.pick(PLAIN);
                format!("+{command}|{}", self.pick(&["0", "1", "Object", "x"]))
            }
            9..=11 => format!("~{}", self.pick(PATTERNS)),
            12 | 13 => {
                let kinds = self.pick(&["R", "W", "RW", "WR", "r", "w", "RR"]);
                format!("%{kinds}~{}", self.pick(PATTERNS))
            }
            14 | 15 => format!("&{}", self.pick(PATTERNS)),
            16..=18 => self.pick(WORDS),
            _ => self.pick(NONSENSE),
        };
        match self.rng.below(12) {
            0 => rule.to_uppercase(),
            _ => rule,
        }
    }

    /// A rule of a user only.
    fn user_rule(&mut self) -> String {
        let at = self.index(HASHES.len());
        match self.rng.below(8) {
            0 => format!(">{}", self.pick(PATTERNS)),
            1 => format!("<{}", self.pick(PATTERNS)),
            2 => format!("#{}", HASHES[at]),
            3 => format!("!{}", HASHES[at]),
            4 => "clearselectors".to_owned(),
            5 => "reset".to_owned(),
            _ => self.pick(&["nopass", "resetpass", "on", "off"]),
        }
    }

    /// A selector, in one word or in several.
    fn selector(&mut self, words: &mut Vec<String>) {
        let mut rules: Vec<String> = Vec::new();
        for _ in 0..self.rng.below(5) {
            // Now and then one that no selector may have.
            rules.push(if self.rng.below(30) == 0 { self.user_rule() } else { self.rule() });
        }
        let text = match self.rng.below(8) {
            0 => format!("( {} )", rules.join("  ")),
            1 => format!("({}", rules.join(" ")),
            _ => format!("({})", rules.join(" ")),
        };
        if self.rng.below(3) == 0 {
            words.extend(text.split(' ').map(str::to_owned));
        } else {
            words.push(text);
        }
    }

    fn set_user(&mut self, user: &str) -> Vec<String> {
        let mut words = vec!["ACL".to_owned(), "SETUSER".to_owned(), user.to_owned()];
        if self.rng.below(8) == 0 {
            words.push("reset".to_owned());
        }
        for _ in 0..self.rng.below(7) {
            match self.rng.below(10) {
                0 | 1 => self.selector(&mut words),
                2 => words.push(self.user_rule()),
                _ => words.push(self.rule()),
            }
        }
        words
    }
}

/// Texts that describe rules, with single commands in one order.
fn described(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Array(items) => {
            for item in items {
                let _ = writeln!(out, "{}", described(item).replace('\n', "\n  "));
            }
        }
        Value::Bulk(bytes) => {
            out = in_one_order(&String::from_utf8_lossy(bytes));
        }
        other => out = format!("{other:?}"),
    }
    out
}

/// Rules with single commands in the order of their names, and parentheses by themselves.
pub(crate) fn in_one_order(rules: &str) -> String {
    let text = rules.replace('(', "( ").replace(')', " )");
    // Redis 7.0 has no such command.
    let known = |word: &&str| !word.ends_with("client|setinfo");
    let mut words: Vec<&str> = text.split(' ').filter(known).collect();
    let single = |word: &&str| {
        word.starts_with(['+', '-']) && !word.starts_with("+@") && !word.starts_with("-@")
    };
    for run in words.chunk_by_mut(|a, b| single(a) && single(b)) {
        run.sort_unstable();
    }
    words.join(" ")
}

/// Commands that have rules in both, containers as `name|sub`, and the categories.
fn names(stock: &mut Client, ours: &mut Client) -> (Vec<String>, Vec<String>) {
    let texts = |value: Value| value.items().iter().map(Value::text).collect::<Vec<_>>();
    let categories = texts(stock.run("ACL CAT"));
    assert_eq!(categories, texts(ours.run("ACL CAT")));
    let mut commands = Vec::new();
    for category in &categories {
        let line = format!("ACL CAT {category}");
        let theirs = texts(ours.run(&line));
        commands.extend(texts(stock.run(&line)).into_iter().filter(|name| theirs.contains(name)));
    }
    commands.sort_unstable();
    commands.dedup();
    assert!(commands.len() > 350, "{} commands", commands.len());
    (commands, categories)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_rules_come_to_what_they_come_to_in_redis() {
    let (stock, ours) = (Server::start(&redis(), &[]), Server::start(&tandem(4), &[]));
    let (mut stock, mut ours) = (stock.client(), ours.client());
    for c in [&mut stock, &mut ours] {
        c.run("ACL SETUSER admin on nopass +@all ~* &*").ok();
        c.run("AUTH admin x").ok();
    }
    let (commands, categories) = names(&mut stock, &mut ours);
    let seed = number("ACL_SEED").unwrap_or(7);
    let mut grammar = Grammar { rng: Rng::new(seed), commands, categories };
    let mut refused = 0;
    let mut allowed = 0;
    for step in 0..number("ACL_STEPS").unwrap_or(STEPS) {
        let user = match grammar.rng.below(200) {
            0 => "a b".to_owned(),
            1 => "nul\0".to_owned(),
            _ => grammar.pick(USERS),
        };
        let words = grammar.set_user(&user);
        let mut same = |words: &[String]| {
            let (theirs, own) = (stock.cmd(words), ours.cmd(words));
            let (theirs_text, own_text) = (described(&theirs), described(&own));
            assert_eq!(own_text, theirs_text, "seed {seed}, step {step}: {words:?}");
            theirs
        };
        refused += u32::from(same(&words).error().is_some());
        let line = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        same(&["ACL".to_owned(), "GETUSER".to_owned(), user.clone()]);
        // Redis's error names that user as far as the NUL.
        let tries = if user.contains('\0') { 0 } else { 3 };
        for _ in 0..tries {
            let mut tried = vec!["ACL".to_owned(), "DRYRUN".to_owned(), user.clone()];
            tried.extend(line(&grammar.pick(TRIED)));
            allowed += u32::from(same(&tried) == Value::Simple(b"OK".to_vec()));
        }
        if step % 20 == 0 {
            same(&line("ACL LIST"));
        }
        if step % 50 == 49 {
            same(&["ACL".to_owned(), "DELUSER".to_owned(), user]);
        }
    }
    // Neither all of it nonsense, nor nobody allowed anything.
    assert!(refused > 100 && allowed > 100, "{refused} refused, {allowed} allowed");
}
