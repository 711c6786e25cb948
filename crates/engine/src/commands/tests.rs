//! The table as a whole: names find their entries, and facts are Redis's.

use std::collections::HashMap;

use tandem_resp::OwnedArgs;

use super::*;
use crate::spec::{Arity, BeginSearch, FindKeys, Flags, Group};

fn args(line: &str) -> OwnedArgs {
    OwnedArgs::from_parts(line.split(' ').map(str::as_bytes))
}

#[test]
fn every_name_finds_its_entry_in_any_case() {
    for &spec in all() {
        for name in [spec.name.to_owned(), spec.name.to_ascii_uppercase()] {
            assert!(std::ptr::eq(look_up(name.as_bytes()).expect("known"), spec), "{name}");
        }
        for sub in spec.subcommands {
            let (container, own) = sub.name.split_once('|').expect("named by its container");
            assert_eq!(container, spec.name);
            let own = own.to_ascii_uppercase();
            let least = match sub.arity {
                Arity::Exactly(count) | Arity::AtLeast(count) => usize::from(count),
            };
            let words = [container, &own].into_iter().chain(std::iter::repeat("x"));
            let request = OwnedArgs::from_parts(words.take(least).map(str::as_bytes));
            let found = look_up_subcommand(spec, request.as_args()).expect("known");
            assert!(std::ptr::eq(found, sub), "{}", sub.name);
            if !spec.doc.internal {
                assert!(std::ptr::eq(look_up_full(sub.name.as_bytes()).expect("known"), sub));
            }
        }
    }
    // These differ from a name in the bit that tells small letters, or in the middle.
    for name in ["restore\rasking", "g\u{5}t", "incrbyfloat\0", "pexpireatx", "G\0T", "geT "] {
        assert!(look_up(name.as_bytes()).is_none(), "{name:?}");
    }
    for name in ["", "x", "ge", "gett", "get|", "client|nosuch", "no|such", "client|"] {
        assert!(look_up_full(name.as_bytes()).is_none(), "{name}");
    }
}

#[test]
fn an_address_of_the_table_finds_its_entry_again() {
    for &spec in all() {
        for spec in std::iter::once(spec).chain(spec.subcommands) {
            let found = spec_at(spec).expect("an entry's own address");
            assert_eq!(found.name, spec.name);
        }
    }
    assert!(spec_at(std::ptr::null()).is_none());
}

#[test]
fn the_index_is_sparse_enough_to_be_quick() {
    let longest = all().iter().map(|&spec| {
        let home = Digest::of(spec.name.as_bytes()).slot();
        let is_here = |at: usize| INDEX.slots[at].is_some_and(|slot| std::ptr::eq(slot.spec, spec));
        (0..SLOTS).find(|step| is_here((home + step) % SLOTS)).expect("every command has a slot")
    });
    assert!(longest.max().expect("there are commands") <= 2);
}

#[test]
fn an_unknown_command_is_told_back_with_its_first_arguments() {
    let text = |line: &str| unknown_command(args(line).as_args()).to_string();
    assert_eq!(text("foo"), "ERR unknown command 'foo', with args beginning with: ");
    assert_eq!(text("foo a b"), "ERR unknown command 'foo', with args beginning with: 'a' 'b' ");
    let long = "x".repeat(200);
    let cut = "x".repeat(128);
    assert_eq!(
        text(&format!("{long} {long} y")),
        format!("ERR unknown command '{cut}', with args beginning with: '{cut}' ")
    );
    // The sum of what is shown is bounded, not each argument.
    let half = "h".repeat(100);
    assert_eq!(
        text(&format!("foo {half} {half} y")),
        format!(
            "ERR unknown command 'foo', with args beginning with: '{half}' '{}' ",
            "h".repeat(25)
        )
    );
    let nul = OwnedArgs::from_parts([b"a\0b".as_slice(), b"c\0d"]);
    assert_eq!(
        unknown_command(nul.as_args()).to_string(),
        "ERR unknown command 'a', with args beginning with: 'c' "
    );
}

/// A key specification as the table of facts writes it.
fn key_spec_text(keys: &crate::spec::KeySpec) -> String {
    let words = facts::KEY_FLAG_WORDS.iter().filter(|(_, flag)| keys.flags.contains(*flag));
    let mut words: Vec<_> = words.map(|(word, _)| word.to_ascii_uppercase()).collect();
    words.sort();
    let begin = match keys.begin {
        BeginSearch::Index(index) => format!("idx{index}"),
        BeginSearch::Keyword(word, from) => format!("kw({word},{from})"),
    };
    let find = match keys.find {
        FindKeys::Range { last, step, limit } => format!("range({last},{step},{limit})"),
        FindKeys::KeyNum { count_at, first, step } => format!("keynum({count_at},{first},{step})"),
    };
    format!("{}@{begin}:{find}", words.join("/"))
}

/// Its words in alphabetical order, as [`key_spec_text`] has them.
fn sorted_key_spec(text: &str) -> String {
    let (words, rest) = text.split_once('@').expect("flags come first");
    let mut words: Vec<_> = words.split('/').collect();
    words.sort_unstable();
    format!("{}@{rest}", words.join("/"))
}

fn group_text(group: Group) -> &'static str {
    match group {
        Group::Generic => "generic",
        Group::String => "string",
        Group::Hash => "hash",
        Group::Connection => "connection",
        Group::Server => "server",
        Group::Transactions => "transactions",
        Group::PubSub => "pubsub",
        Group::Cluster => "cluster",
    }
}

/// Commands that Redis 7.0.15 does not have, or not in its table.
fn is_ours_alone(name: &str) -> bool {
    name == "client|setinfo" || name.starts_with("debug|")
}

#[test]
fn facts_are_those_of_redis() {
    let table = include_str!("../../testdata/commands_7_0_15.tsv");
    let mut rows: HashMap<&str, Vec<&str>> = table
        .lines()
        .skip(1)
        .map(|row| row.split('\t').collect::<Vec<_>>())
        .map(|row| (row[0], row))
        .collect();
    let everything = all().iter().flat_map(|&spec| std::iter::once(spec).chain(spec.subcommands));
    for spec in everything.filter(|spec| !is_ours_alone(spec.name)) {
        let name = spec.name;
        let row = rows.remove(name).unwrap_or_else(|| panic!("{name} is not in the list"));
        let [_, group, arity, since, flags, acl, keys, deprecated] = row[..] else {
            panic!("eight columns: {row:?}");
        };
        assert_eq!(group_text(spec.group), group, "{name}");
        assert_eq!(spec.arity.as_i64().to_string(), arity, "{name}");
        assert_eq!(spec.doc.since, since, "{name}");
        let mut wanted: Vec<_> = flags.split(',').filter(|flag| !flag.is_empty()).collect();
        wanted.sort_unstable();
        let words = facts::FLAG_WORDS
            .iter()
            .filter(|(_, flag, _)| *flag != Flags::QUICK && spec.has(*flag));
        let mut words: Vec<_> = words.map(|(word, ..)| *word).collect();
        words.sort_unstable();
        assert_eq!(words, wanted, "flags of {name}");
        let implied =
            |category: &str| spec.has(Flags::ADMIN) && matches!(category, "admin" | "dangerous");
        let named = spec.doc.categories.split(' ').filter(|category| !category.is_empty());
        let mut named: Vec<_> = named.filter(|category| !implied(category)).collect();
        named.sort_unstable();
        let mut wanted: Vec<_> = acl.split(',').filter(|category| !category.is_empty()).collect();
        wanted.sort_unstable();
        assert_eq!(named, wanted, "ACL categories of {name}");
        let specs: Vec<_> = spec.keys.iter().map(key_spec_text).collect();
        let wanted: Vec<_> =
            keys.split(';').filter(|keys| !keys.is_empty()).map(sorted_key_spec).collect();
        assert_eq!(specs, wanted, "keys of {name}");
        assert_eq!(spec.doc.deprecated.map_or("", |(since, _)| since), deprecated, "{name}");
    }
    assert!(rows.is_empty(), "not built: {:?}", rows.keys());
}

#[test]
fn every_command_says_what_it_does() {
    for &spec in all() {
        for spec in std::iter::once(spec).chain(spec.subcommands) {
            assert!(spec.doc.summary.ends_with('.'), "{}: a sentence", spec.name);
            assert!(!spec.doc.summary.contains('\n'), "{}: one line", spec.name);
            let keys = spec.doc.args.iter().filter(|arg| arg.kind == "key");
            for key in keys {
                let index = usize::from(key.key_spec.expect("a key has a specification"));
                assert!(index < spec.keys.len(), "{}: {}", spec.name, key.name);
            }
        }
    }
}

#[test]
fn syntax_lines_say_how_to_call() {
    let syntax = |name: &str| docs::syntax(look_up_full(name.as_bytes()).expect("known"));
    assert_eq!(syntax("get"), "GET key");
    assert_eq!(syntax("watch"), "WATCH key [key ...]");
    assert_eq!(syntax("ping"), "PING [message]");
    assert_eq!(syntax("auth"), "AUTH [username] password");
    assert_eq!(syntax("hello"), "HELLO [protover [AUTH username password] [SETNAME clientname]]");
    assert_eq!(syntax("client|reply"), "CLIENT REPLY <ON | OFF | SKIP>");
    assert_eq!(syntax("client|pause"), "CLIENT PAUSE timeout [WRITE | ALL]");
    assert_eq!(syntax("config|set"), "CONFIG SET parameter value [parameter value ...]");
    assert_eq!(
        syntax("command|list"),
        "COMMAND LIST [FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]"
    );
    assert_eq!(
        syntax("client|list"),
        "CLIENT LIST [TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]"
    );
    assert_eq!(
        syntax("set"),
        "SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
         PXAT unix-time-milliseconds | KEEPTTL]"
    );
    assert_eq!(syntax("replicaof"), "REPLICAOF <host port | NO ONE>");
}
