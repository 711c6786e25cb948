//! What people read about commands, made from the table: the syntax line, the HELP
//! subcommands and docs/commands.md.
//!
//! | part of a syntax line | meaning |
//! |---|---|
//! | `WORD`, `name` | said as it is; replaced by a value |
//! | `[x]` | may be left out |
//! | `<a \| b>`, `[a \| b]` | one of them |
//! | `x [x ...]` | may be repeated |

use std::fmt::Write as _;

use tandem_resp::Args;

use crate::acl::categories;
use crate::cx::Cx;
use crate::error::Outcome;
use crate::spec::{ArgDoc, Flags, Group, Spec};

/// How to call a command: its words in upper case and its arguments.
pub fn syntax(spec: &Spec) -> String {
    let mut line = spec.name.to_ascii_uppercase().replace('|', " ");
    push_args(&mut line, spec);
    line
}

fn push_args(line: &mut String, spec: &Spec) {
    for arg in spec.doc.args {
        line.push(' ');
        push_arg(line, arg);
    }
}

fn push_arg(line: &mut String, arg: &ArgDoc) {
    let once = one_time(arg);
    let with_token = match arg.token {
        Some(token) if arg.kind != "pure-token" => format!("{} {once}", shown_token(token)),
        _ => once.clone(),
    };
    let repeated = match (arg.multiple, arg.multiple_token) {
        (false, _) => with_token,
        (true, true) => format!("{with_token} [{with_token} ...]"),
        (true, false) => format!("{with_token} [{once} ...]"),
    };
    let bracketed_choice = once.starts_with('<') && repeated == once;
    match arg.optional {
        true if bracketed_choice => {
            write!(line, "[{}]", once.trim_start_matches('<').trim_end_matches('>'))
        }
        true => write!(line, "[{repeated}]"),
        false => write!(line, "{repeated}"),
    }
    .expect("a string takes everything");
}

/// An argument without its token, its brackets and its repetition.
fn one_time(arg: &ArgDoc) -> String {
    let mut text = String::new();
    match arg.kind {
        "pure-token" => text.push_str(arg.token.map_or(arg.name, shown_token)),
        "oneof" => {
            let parts: Vec<_> = arg.args.iter().map(alternative).collect();
            write!(text, "<{}>", parts.join(" | ")).expect("a string takes everything");
        }
        "block" => {
            for (index, part) in arg.args.iter().enumerate() {
                text.push_str(if index > 0 { " " } else { "" });
                push_arg(&mut text, part);
            }
        }
        _ => text.push_str(arg.name),
    }
    text
}

/// One of several: that it may be left out goes without saying.
fn alternative(arg: &ArgDoc) -> String {
    let mut text = String::new();
    push_arg(&mut text, arg);
    match arg.optional {
        true => text[1..text.len() - 1].to_owned(),
        false => text,
    }
}

/// An empty token is how Redis's table says `""`.
fn shown_token(token: &'static str) -> &'static str {
    if token.is_empty() { "\"\"" } else { token }
}

/// `… HELP`: how to call each subcommand, and what for. The function of every HELP subcommand;
/// the container is the one that the request names.
pub fn help(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let container = cx.node.named(args.get(0)).expect("a command that ran has been found");
    let name = container.name.to_ascii_uppercase();
    let own = if container.arity.allows(1) { 2 } else { 0 };
    let others = || container.subcommands.iter().filter(|sub| !sub.name.ends_with("|help"));
    cx.out.array(1 + own + 2 * others().count() + 2);
    cx.out.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    if own > 0 {
        cx.out.simple("(no subcommand)");
        cx.out.simple(&format!("    {}", container.doc.summary));
    }
    for sub in others() {
        cx.out.simple(&syntax(sub)[name.len() + 1..]);
        cx.out.simple(&format!("    {}", sub.doc.summary));
    }
    cx.out.simple("HELP");
    cx.out.simple("    Prints this help.");
    Ok(())
}

/// The order and headings of docs/commands.md.
const CHAPTERS: &[(Group, &str)] = &[
    (Group::String, "Strings"),
    (Group::Hash, "Hashes"),
    (Group::Generic, "Keys"),
    (Group::Transactions, "Transactions"),
    (Group::PubSub, "Publish/subscribe"),
    (Group::Connection, "Connections and clients"),
    (Group::Server, "Server and replication"),
    (Group::Cluster, "Cluster (known and refused)"),
];

/// What the commands that are missing are about, by a category of theirs; the first that fits
/// counts, as those of geo write sorted sets and those of HyperLogLog strings.
const MISSING: &[(&str, &str)] = &[
    ("geo", "geo"),
    ("hyperloglog", "HyperLogLog"),
    ("bitmap", "bitmaps"),
    ("list", "lists"),
    ("set", "sets"),
    ("sortedset", "sorted sets"),
    ("stream", "streams"),
    ("scripting", "scripts and functions"),
    ("", "others"),
];

/// The commands of Redis 7.0.15 that are not in the table, for docs/differences.md: a container
/// that is missing stands for its subcommands.
pub fn missing_list() -> String {
    const WIDTH: usize = 120;
    let mut names = vec![Vec::new(); MISSING.len()];
    for id in categories::all().filter(|id| !categories::is_newer(*id)) {
        let name = categories::name(id);
        let container = name.split('|').next().unwrap_or_default();
        let is_there = super::look_up_full(name.as_bytes()).is_some();
        if is_there || name != container && super::look_up(container.as_bytes()).is_none() {
            continue;
        }
        let is_in = |category: &str| {
            // Of a container only the subcommands say what it is about.
            let mut own = categories::all()
                .filter(|id| categories::name(*id).split('|').next() == Some(container));
            let at = categories::category(category.as_bytes());
            at.is_some_and(|at| own.any(|id| categories::is_in(id, at)))
        };
        // SORT is for more than one type.
        let at = MISSING.iter().position(|(category, _)| match *category {
            "" => true,
            category => is_in(category) && !(is_in("list") && is_in("set")),
        });
        names[at.expect("the last takes everything")].push(name);
    }
    let mut list = String::new();
    for ((_, about), names) in MISSING.iter().zip(names).filter(|(_, names)| !names.is_empty()) {
        let mut line = format!("- {about}:");
        for (index, name) in names.iter().enumerate() {
            let end = if index + 1 == names.len() { "" } else { "," };
            let word = format!("`{}`{end}", name.to_ascii_uppercase().replace('|', " "));
            if line.len() + 1 + word.len() > WIDTH {
                list += &format!("{line}\n");
                line = " ".to_owned();
            }
            line += &format!(" {word}");
        }
        list += &format!("{line}\n");
    }
    list
}

/// docs/commands.md: every command, from the table that also runs them.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Commands\n\n\
         Generated from the command table; a test compares the two. `since` is the version of \
         Redis\nthat brought the command, and its behaviour there (7.0.15) is what Tandem \
         follows.\n",
    );
    for &(group, heading) in CHAPTERS {
        write!(page, "\n## {heading}\n\n").expect("a string takes everything");
        page.push_str("| command | what it does | cost | since | facts |\n|---|---|---|---|---|\n");
        let mut specs: Vec<_> = super::all().iter().filter(|spec| spec.group == group).collect();
        specs.sort_by_key(|spec| spec.name);
        for spec in specs {
            // A pure container cannot be called; its subcommands say everything.
            if spec.subcommands.is_empty() || spec.arity.allows(1) {
                push_row(&mut page, spec);
            }
            for sub in spec.subcommands {
                push_row(&mut page, sub);
            }
        }
    }
    page
}

fn push_row(page: &mut String, spec: &Spec) {
    let cell = |text: &str| text.replace('|', "\\|");
    let facts = [
        (Flags::WRITE, "writes"),
        (Flags::READONLY, "reads"),
        (Flags::ADMIN, "admin"),
        (Flags::NO_MULTI, "not in MULTI"),
        (Flags::NO_AUTH, "without password"),
    ];
    let mut facts: Vec<String> = facts
        .iter()
        .filter(|(flag, _)| spec.has(*flag))
        .map(|(_, word)| (*word).to_owned())
        .collect();
    if let Some((since, instead)) = spec.doc.deprecated {
        facts.push(format!("deprecated since {since}: {instead}"));
    }
    if spec.doc.internal {
        facts.push("between servers".to_owned());
    }
    writeln!(
        page,
        "| `{}` | {} | {} | {} | {} |",
        cell(&syntax(spec)),
        cell(spec.doc.summary),
        cell(spec.doc.complexity),
        spec.doc.since,
        cell(&facts.join(", ")),
    )
    .expect("a string takes everything");
}
