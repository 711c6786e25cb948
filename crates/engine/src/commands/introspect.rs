//! COMMAND and its subcommands: the table, told to clients.
//!
//! Shapes are Redis 7.0's in both protocols. What follows from other facts (ACL categories, the
//! one range of keys that old clients know, `movablekeys`) is derived here and said nowhere
//! twice.

use tandem_resp::{Args, OutBuf};

use super::docs::help;
use super::facts::{FLAG_WORDS, KEY_FLAG_WORDS, arg, command};
use super::{all, look_up, look_up_full, look_up_subcommand, told_subcommands};
use crate::acl::categories::CATEGORIES;
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::glob;
use crate::spec::{ArgDoc, BeginSearch, FindKeys, Flags, Group, KeyFlags, KeySpec, Spec};

const ONE_COMMAND: &[ArgDoc] = &[arg::string("command-name").optional().multiple()];
const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];
const FLAGS: &str = "loading stale sentinel";

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[command("command", Group::Server, -1, FLAGS, info_of_all)
    .acl("connection")
    .tips(ANY_ORDER)
    .doc("2.8.13", "The facts of all commands.", "O(N) for N commands")
    .subcommands(&[
        command("command|count", Group::Server, 2, FLAGS, count).acl("connection").doc(
            "2.8.13",
            "The number of commands.",
            "O(1)",
        ),
        command("command|docs", Group::Server, -2, FLAGS, docs)
            .acl("connection")
            .tips(ANY_ORDER)
            .doc("7.0.0", "The documentation of some or all commands.", "O(N) for N commands")
            .args(ONE_COMMAND),
        command("command|getkeys", Group::Server, -4, FLAGS, get_keys).acl("connection").doc(
            "2.8.13",
            "The keys in a command with its arguments.",
            "O(N) for N arguments",
        ),
        command("command|getkeysandflags", Group::Server, -4, FLAGS, get_keys_and_flags)
            .acl("connection")
            .doc(
                "7.0.0",
                "The keys in a command with its arguments, and what it does with them.",
                "O(N) for N arguments",
            ),
        command("command|help", Group::Server, 2, FLAGS, help).acl("connection").doc(
            "5.0.0",
            "Lists the subcommands.",
            "O(1)",
        ),
        command("command|info", Group::Server, -2, FLAGS, info)
            .acl("connection")
            .tips(ANY_ORDER)
            .history(&[("7.0.0", "Without a name it tells about all commands.")])
            .doc("2.8.13", "The facts of some or all commands.", "O(N) for N commands")
            .args(ONE_COMMAND),
        command("command|list", Group::Server, -2, FLAGS, list)
            .acl("connection")
            .tips(ANY_ORDER)
            .doc("7.0.0", "The names of all commands, or of those that fit.", "O(N) for N commands")
            .args(&[arg::one_of(
                "filterby",
                &[
                    arg::string("module-name").token("MODULE"),
                    arg::string("category").token("ACLCAT"),
                    arg::pattern("pattern").token("PATTERN"),
                ],
            )
            .token("FILTERBY")
            .optional()]),
    ])];

/// `COMMAND`
fn info_of_all(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.out.array(all().len());
    for spec in all() {
        push_info(cx.out, spec);
    }
    Ok(())
}

/// `COMMAND COUNT`
fn count(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.out.count(all().len());
    Ok(())
}

/// `COMMAND INFO [name …]`
fn info(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    if args.len() == 2 {
        return info_of_all(cx, args);
    }
    cx.out.array(args.len() - 2);
    for name in args.from(2) {
        match look_up_full(name) {
            Some(spec) => push_info(cx.out, spec),
            None => cx.out.null(),
        }
    }
    Ok(())
}

/// `COMMAND DOCS [name …]`; names of no command are passed over.
fn docs(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let specs: Vec<&Spec> = if args.len() == 2 {
        all().to_vec()
    } else {
        args.from(2).filter_map(look_up_full).collect()
    };
    cx.out.map(specs.len());
    for spec in specs {
        cx.out.bulk(spec.name.as_bytes());
        push_docs(cx.out, spec);
    }
    Ok(())
}

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`
fn list(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let mut filter = None;
    let mut at = 2;
    while at < args.len() {
        if args.len() - at != 3 || !args.get(at).eq_ignore_ascii_case(b"filterby") {
            return Err(ErrorReply::Syntax);
        }
        filter = Some((args.get(at + 1).to_ascii_lowercase(), args.get(at + 2)));
        at += 3;
    }
    let fits: &dyn Fn(&Spec) -> bool = match &filter {
        None => &|_| true,
        Some((by, what)) => match by.as_slice() {
            // There are no modules, so no command is any module's.
            b"module" => &|_| false,
            b"aclcat" => &|spec| {
                let is_named = |category: &str| what.eq_ignore_ascii_case(category.as_bytes());
                categories(spec).any(is_named)
            },
            b"pattern" => &|spec| glob::matches_ignoring_case(what, spec.name.as_bytes()),
            _ => return Err(ErrorReply::Syntax),
        },
    };
    let everything =
        all().iter().flat_map(|&spec| std::iter::once(spec).chain(told_subcommands(spec)));
    let names: Vec<_> = everything.filter(|spec| fits(spec)).map(|spec| spec.name).collect();
    cx.out.array(names.len());
    for name in names {
        cx.out.bulk(name.as_bytes());
    }
    Ok(())
}

/// `COMMAND GETKEYS command …`
fn get_keys(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let keys = keys_of(args)?;
    cx.out.array(keys.len());
    for (key, _) in keys {
        cx.out.bulk(key);
    }
    Ok(())
}

/// `COMMAND GETKEYSANDFLAGS command …`
fn get_keys_and_flags(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let keys = keys_of(args)?;
    cx.out.array(keys.len());
    for (key, flags) in keys {
        cx.out.array(2);
        cx.out.bulk(key);
        push_key_flags(cx.out, flags);
    }
    Ok(())
}

/// The keys in the command that stands from argument 2 on, and what it does with each.
fn keys_of(args: Args<'_>) -> Result<Vec<(&[u8], KeyFlags)>, ErrorReply> {
    let owned = tandem_resp::OwnedArgs::from_parts(args.from(2));
    let inner = owned.as_args();
    let invalid = || ErrorReply::text("ERR Invalid command specified");
    let spec = look_up(inner.get(0)).ok_or_else(invalid)?;
    let spec = look_up_subcommand(spec, inner).map_err(|_| invalid())?;
    if spec.keys.iter().all(|keys| keys.flags.contains(KeyFlags::NOT_KEY)) {
        return Err(ErrorReply::text("ERR The command has no key arguments"));
    }
    if !spec.arity.allows(inner.len()) {
        return Err(ErrorReply::text("ERR Invalid number of arguments specified for command"));
    }
    let mut keys = Vec::new();
    for key_spec in spec.keys {
        let flags = key_flags(spec, key_spec, inner);
        key_spec.each_key(inner, |at| keys.push((args.get(at + 2), flags)));
    }
    if keys.is_empty() && !spec.has(Flags::NO_MANDATORY_KEYS) {
        return Err(ErrorReply::text("ERR Invalid arguments specified for command"));
    }
    Ok(keys)
}

/// What a command does with a key, where that depends on the arguments: SET reads the key only
/// with its option GET.
pub(crate) fn key_flags(spec: &Spec, keys: &KeySpec, args: Args<'_>) -> KeyFlags {
    if !keys.flags.contains(KeyFlags::VARIABLE_FLAGS) {
        return keys.flags;
    }
    assert_eq!(spec.name, "set", "a command whose key flags vary must be known here");
    if args.from(3).any(|word| word.eq_ignore_ascii_case(b"get")) {
        KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE
    } else {
        KeyFlags::OW | KeyFlags::UPDATE
    }
}

/// The ACL categories of a command: those that its facts name and those that follow from flags.
pub(crate) fn categories(spec: &Spec) -> impl Iterator<Item = &'static str> {
    let named = |category: &str| spec.doc.categories.split(' ').any(|word| word == category);
    CATEGORIES.iter().copied().filter(move |&category| match category {
        "write" => spec.has(Flags::WRITE),
        "read" => spec.has(Flags::READONLY) && !named("scripting"),
        "admin" => spec.has(Flags::ADMIN) || named(category),
        "dangerous" => spec.has(Flags::ADMIN) || named(category),
        "pubsub" => spec.has(Flags::PUBSUB) || named(category),
        "blocking" => spec.has(Flags::BLOCKING),
        "fast" => spec.has(Flags::FAST),
        "slow" => !spec.has(Flags::FAST),
        _ => named(category),
    })
}

/// First key, last key and step as old clients know them, and whether that is not the whole
/// truth (`movablekeys`).
fn legacy_range(keys: &[KeySpec]) -> ((i64, i64, i64), bool) {
    let range = |keys: &KeySpec| match (keys.begin, keys.find) {
        (BeginSearch::Index(first), FindKeys::Range { last, step, .. }) => {
            let first = i64::from(first);
            let last = i64::from(last) + if last >= 0 { first } else { 0 };
            Some((first, last, i64::from(step)))
        }
        _ => None,
    };
    let incomplete = |keys: &KeySpec| keys.flags.contains(KeyFlags::INCOMPLETE);
    if let [only] = keys
        && let Some(range) = range(only)
    {
        return (range, incomplete(only));
    }
    // Several ranges are one when each begins where the one before it ended.
    let mut joined: Option<(i64, i64, i64)> = None;
    let mut movable = false;
    for keys in keys {
        let Some((first, last, step)) = range(keys) else {
            movable = true;
            continue;
        };
        if step != 1 || joined.is_some_and(|(_, end, _)| end != first - 1) {
            movable = true;
            continue;
        }
        movable |= incomplete(keys);
        joined = Some((joined.map_or(first, |(begin, ..)| begin), last, 1));
    }
    (joined.unwrap_or((0, 0, 0)), movable)
}

fn push_info(out: &mut OutBuf, spec: &Spec) {
    let ((first, last, step), movable) = legacy_range(spec.keys);
    out.array(10);
    out.bulk(spec.name.as_bytes());
    out.int(spec.arity.as_i64());
    let flags = if movable { spec.flags | Flags::MOVABLEKEYS } else { spec.flags };
    let shown = FLAG_WORDS.iter().filter(|(_, flag, shown)| *shown && flags.contains(*flag));
    push_words(out, shown.map(|(word, ..)| *word));
    for number in [first, last, step] {
        out.int(number);
    }
    let categories: Vec<_> = categories(spec).map(|category| format!("@{category}")).collect();
    push_words(out, categories.iter().map(String::as_str));
    out.set(spec.doc.tips.len());
    for tip in spec.doc.tips {
        out.bulk(tip.as_bytes());
    }
    out.set(spec.keys.len());
    for keys in spec.keys {
        push_key_spec(out, keys);
    }
    let subcommands = told_subcommands(spec);
    if subcommands.is_empty() {
        out.set(0);
        return;
    }
    out.array(subcommands.len());
    for sub in subcommands {
        push_info(out, sub);
    }
}

/// A set of statuses, which is how Redis lists flags.
fn push_words<'a>(out: &mut OutBuf, words: impl Iterator<Item = &'a str> + Clone) {
    out.set(words.clone().count());
    for word in words {
        out.simple(word);
    }
}

fn push_key_flags(out: &mut OutBuf, flags: KeyFlags) {
    let words = KEY_FLAG_WORDS.iter().filter(|(_, flag)| flags.contains(*flag));
    push_words(out, words.map(|(word, _)| *word));
}

fn push_key_spec(out: &mut OutBuf, keys: &KeySpec) {
    out.map(3 + usize::from(!keys.note.is_empty()));
    if !keys.note.is_empty() {
        push_field(out, "notes", keys.note);
    }
    out.bulk(b"flags");
    push_key_flags(out, keys.flags);
    out.bulk(b"begin_search");
    match keys.begin {
        BeginSearch::Index(index) => {
            push_typed(out, "index", &[("index", index.into())], None);
        }
        BeginSearch::Keyword(word, from) => {
            push_typed(out, "keyword", &[("startfrom", from.into())], Some(("keyword", word)));
        }
    }
    out.bulk(b"find_keys");
    match keys.find {
        FindKeys::Range { last, step, limit } => {
            let numbers =
                [("lastkey", last.into()), ("keystep", step.into()), ("limit", limit.into())];
            push_typed(out, "range", &numbers, None);
        }
        FindKeys::KeyNum { count_at, first, step } => {
            let numbers = [
                ("keynumidx", count_at.into()),
                ("firstkey", first.into()),
                ("keystep", step.into()),
            ];
            push_typed(out, "keynum", &numbers, None);
        }
    }
}

/// `type` and `spec` of one half of a key specification.
fn push_typed(out: &mut OutBuf, kind: &str, numbers: &[(&str, i64)], word: Option<(&str, &str)>) {
    out.map(2);
    push_field(out, "type", kind);
    out.bulk(b"spec");
    out.map(numbers.len() + usize::from(word.is_some()));
    if let Some((name, word)) = word {
        push_field(out, name, word);
    }
    for (name, number) in numbers {
        out.bulk(name.as_bytes());
        out.int(*number);
    }
}

fn push_field(out: &mut OutBuf, name: &str, value: &str) {
    out.bulk(name.as_bytes());
    out.bulk(value.as_bytes());
}

fn group_name(group: Group) -> &'static str {
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

fn push_docs(out: &mut OutBuf, spec: &Spec) {
    let doc = &spec.doc;
    let subcommands = told_subcommands(spec);
    let mut texts = vec![
        ("summary", doc.summary),
        ("since", doc.since),
        ("group", group_name(spec.group)),
        ("complexity", doc.complexity),
    ];
    texts.retain(|(_, text)| !text.is_empty());
    let fields = texts.len()
        + usize::from(doc.deprecated.is_some() || doc.internal)
        + 2 * usize::from(doc.deprecated.is_some())
        + usize::from(!doc.history.is_empty())
        + usize::from(!doc.args.is_empty())
        + usize::from(!subcommands.is_empty());
    out.map(fields);
    for (name, text) in texts {
        push_field(out, name, text);
    }
    if doc.deprecated.is_some() || doc.internal {
        out.bulk(b"doc_flags");
        let words = [(doc.deprecated.is_some(), "deprecated"), (doc.internal, "syscmd")];
        push_words(out, words.into_iter().filter(|(on, _)| *on).map(|(_, word)| word));
    }
    if let Some((since, instead)) = doc.deprecated {
        push_field(out, "deprecated_since", since);
        push_field(out, "replaced_by", instead);
    }
    if !doc.history.is_empty() {
        out.bulk(b"history");
        out.set(doc.history.len());
        for (since, change) in doc.history {
            out.array(2);
            out.bulk(since.as_bytes());
            out.bulk(change.as_bytes());
        }
    }
    if !doc.args.is_empty() {
        out.bulk(b"arguments");
        push_args(out, doc.args);
    }
    if !subcommands.is_empty() {
        out.bulk(b"subcommands");
        out.map(subcommands.len());
        for sub in subcommands {
            out.bulk(sub.name.as_bytes());
            push_docs(out, sub);
        }
    }
}

fn push_args(out: &mut OutBuf, args: &[ArgDoc]) {
    out.array(args.len());
    for arg in args {
        let flags = [
            (arg.optional, "optional"),
            (arg.multiple, "multiple"),
            (arg.multiple_token, "multiple_token"),
        ];
        let flags = flags.into_iter().filter(|(on, _)| *on).map(|(_, word)| word);
        let is_tree = matches!(arg.kind, "oneof" | "block");
        let texts =
            [("token", arg.token), ("since", arg.since), ("deprecated_since", arg.deprecated)];
        let texts = texts.into_iter().filter_map(|(name, text)| text.map(|text| (name, text)));
        let fields = 2
            + usize::from(arg.key_spec.is_some())
            + texts.clone().count()
            + usize::from(flags.clone().next().is_some())
            + usize::from(is_tree);
        out.map(fields);
        push_field(out, "name", arg.name);
        push_field(out, "type", arg.kind);
        if let Some(index) = arg.key_spec {
            out.bulk(b"key_spec_index");
            out.int(index.into());
        }
        for (name, text) in texts {
            push_field(out, name, text);
        }
        if flags.clone().next().is_some() {
            out.bulk(b"flags");
            push_words(out, flags);
        }
        if is_tree {
            out.bulk(b"arguments");
            push_args(out, arg.args);
        }
    }
}

#[cfg(test)]
mod tests;
