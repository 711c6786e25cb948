//! OBJECT: what a value looks like from inside.

use tandem_resp::Args;
use tandem_store::{EntryRef, StringRef};

use super::facts::{arg, command, container, key_at};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::spec::{ArgDoc, Group::Generic, Spec};

const KEY: &[ArgDoc] = &[arg::key("key")];
const CHANGING: &[&str] = &["nondeterministic_output"];

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[container("object", Generic, "", SUBCOMMANDS).doc(
    "2.2.3",
    "What a value looks like from inside.",
    "See the subcommands",
)];

const SUBCOMMANDS: &[Spec] = &[
    command("object|encoding", Generic, 3, "readonly", encoding)
        .acl("keyspace")
        .keys(&[key_at(2, "RO")])
        .doc("2.2.3", "How a value is kept.", "O(1)")
        .tips(CHANGING)
        .args(KEY),
    command("object|freq", Generic, 3, "readonly", freq)
        .acl("keyspace")
        .keys(&[key_at(2, "RO")])
        .doc("4.0.0", "How often a key is used, on a logarithmic scale.", "O(1)")
        .tips(CHANGING)
        .args(KEY),
    command("object|help", Generic, 2, "loading stale", help).acl("keyspace").doc(
        "6.2.0",
        "The subcommands.",
        "O(1)",
    ),
    command("object|idletime", Generic, 3, "readonly", idletime)
        .acl("keyspace")
        .keys(&[key_at(2, "RO")])
        .doc("2.2.3", "Seconds since a key was last used.", "O(1)")
        .tips(CHANGING)
        .args(KEY),
    command("object|refcount", Generic, 3, "readonly", refcount)
        .acl("keyspace")
        .keys(&[key_at(2, "RO")])
        .doc("2.2.3", "How many references a value has.", "O(1)")
        .tips(CHANGING)
        .args(KEY),
];

/// Replies about the entry at argument 2, or nil.
fn reply_about(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    reply: impl FnOnce(&mut tandem_resp::OutBuf, EntryRef<'_>) -> Outcome,
) -> Outcome {
    match cx.db.inspect(args.get(2)) {
        Some(entry) => reply(cx.out, entry),
        None => {
            cx.out.null();
            Ok(())
        }
    }
}

/// `OBJECT ENCODING key`
fn encoding(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    reply_about(cx, args, |out, entry| {
        out.bulk(entry.encoding_name().as_bytes());
        Ok(())
    })
}

/// Redis shares one object among all values that are the same small integer, and says so with
/// this number.
const SHARED_REFCOUNT: i64 = i32::MAX as i64;

/// `OBJECT REFCOUNT key`: what Redis would say, as values here have one owner. It shares none
/// while an eviction policy asks for a clock of each.
fn refcount(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let shares = cx.node.shares_integers();
    reply_about(cx, args, |out, entry| {
        let shared = shares && matches!(entry.string(), Some(StringRef::Int(0..10_000)));
        out.int(if shared { SHARED_REFCOUNT } else { 1 });
        Ok(())
    })
}

/// `OBJECT IDLETIME key`
fn idletime(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let clock = cx.node.keyspace.access_clock();
    reply_about(cx, args, |out, entry| {
        if clock.counts_uses() {
            return Err(ErrorReply::text(
                "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note \
                 that when switching between policies at runtime LRU and LFU data will take \
                 some time to adjust.",
            ));
        }
        out.int(i64::from(clock.idle_seconds(entry.access_clock())));
        Ok(())
    })
}

/// `OBJECT FREQ key`
fn freq(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let clock = cx.node.keyspace.access_clock();
    reply_about(cx, args, |out, entry| {
        if clock.counts_uses() {
            out.int(i64::from(clock.frequency(entry.access_clock())));
            return Ok(());
        }
        Err(ErrorReply::text(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please \
             note that when switching between policies at runtime LRU and LFU data will take \
             some time to adjust.",
        ))
    })
}

/// `OBJECT HELP`
fn help(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    const LINES: &[&str] = &[
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    How the value at <key> is kept.",
        "FREQ <key>",
        "    How often <key> is used, on a logarithmic scale.",
        "IDLETIME <key>",
        "    Seconds since <key> was last used.",
        "REFCOUNT <key>",
        "    How many references the value at <key> has.",
        "HELP",
        "    These lines.",
    ];
    cx.out.array(LINES.len());
    for line in LINES {
        cx.out.simple(line);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
