//! Commands on keys of whatever type: are they there, what are they, away with them, under
//! another name, into another database.
//!
//! A key keeps its stripe in every database, so MOVE and COPY between databases hold what their
//! keys name and no more.

use tandem_base::DbIndex;
use tandem_resp::Args;
use tandem_store::Detached;

use super::facts::{arg, command, key_at, key_range};
use super::words::{SAME_OBJECT, db_index, is_word};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::notify::Events;
use crate::spec::{ArgDoc, Group::Generic, Spec};

const KEY: &[ArgDoc] = &[arg::key("key")];
const KEYS: &[ArgDoc] = &[arg::key("key").multiple()];
const RENAME_ARGS: &[ArgDoc] = &[arg::key("key"), arg::key_of("newkey", 1)];
const COPY_ARGS: &[ArgDoc] = &[
    arg::key("source"),
    arg::key_of("destination", 1),
    arg::integer("destination-db").token("DB").optional(),
    arg::token("replace", "REPLACE").optional(),
];
/// How a cluster's client spreads a command with many keys, and adds up the replies.
const SUMMED: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[
    command("del", Generic, -2, "write", del)
        .acl("keyspace")
        .keys(&[key_range(1, -1, 1, "RM DELETE")])
        .doc("1.0.0", "Deletes keys.", "O(N) for N keys and the elements they hold")
        .tips(SUMMED)
        .args(KEYS),
    command("unlink", Generic, -2, "write fast", unlink)
        .acl("keyspace")
        .keys(&[key_range(1, -1, 1, "RM DELETE")])
        .doc(
            "4.0.0",
            "Deletes keys; what takes long to free is freed on another thread.",
            "O(1) for each key, and O(N) elsewhere for N elements",
        )
        .tips(SUMMED)
        .args(KEYS),
    command("exists", Generic, -2, "readonly fast", exists)
        .acl("keyspace")
        .keys(&[key_range(1, -1, 1, "RO")])
        .doc("1.0.0", "How many of the keys are there; repeats count again.", "O(N) for N keys")
        .history(&[("3.0.3", "More than one key.")])
        .tips(SUMMED)
        .args(KEYS),
    command("type", Generic, 2, "readonly fast", type_of)
        .acl("keyspace")
        .keys(&[key_at(1, "RO")])
        .doc("1.0.0", "The type of the value at a key.", "O(1)")
        .args(KEY),
    command("touch", Generic, -2, "readonly fast", touch)
        .acl("keyspace")
        .keys(&[key_range(1, -1, 1, "RO")])
        .doc("3.2.1", "Marks keys as just used; how many were there.", "O(N) for N keys")
        .tips(SUMMED)
        .args(KEYS),
    command("rename", Generic, 3, "write", rename)
        .acl("keyspace")
        .keys(&[key_at(1, "RW ACCESS DELETE"), key_at(2, "OW UPDATE")])
        .doc("1.0.0", "Gives a key another name, whatever had that name.", "O(1)")
        .args(RENAME_ARGS),
    command("renamenx", Generic, 3, "write fast", renamenx)
        .acl("keyspace")
        .keys(&[key_at(1, "RW ACCESS DELETE"), key_at(2, "OW INSERT")])
        .doc("1.0.0", "Gives a key another name if nothing has that name.", "O(1)")
        .history(&[("3.2.0", "A key's own name is no error.")])
        .args(RENAME_ARGS),
    command("copy", Generic, -3, "write denyoom", copy)
        .acl("keyspace")
        .keys(&[key_at(1, "RO ACCESS"), key_at(2, "OW UPDATE")])
        .doc(
            "6.2.0",
            "Copies a value with its expiry to another key.",
            "O(1) for strings, O(N) for N elements",
        )
        .args(COPY_ARGS),
    command("move", Generic, 3, "write fast", move_key)
        .acl("keyspace")
        .keys(&[key_at(1, "RW ACCESS UPDATE")])
        .doc("1.0.0", "Moves a key to another database.", "O(1)")
        .args(&[arg::key("key"), arg::integer("db")]),
];

/// `DEL key …`: how many were there.
fn del(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let node = cx.node;
    delete(cx, args, |value| node.free(value, || node.config().lazyfree_lazy_user_del()))
}

/// `UNLINK key …`: how many were there.
fn unlink(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let node = cx.node;
    delete(cx, args, |value| node.free(value, || true))
}

fn delete(cx: &mut Cx<'_>, args: Args<'_>, mut free: impl FnMut(Detached)) -> Outcome {
    let mut count = 0;
    for key in args.from(1) {
        if let Some(value) = cx.db.take(key) {
            count += 1;
            free(value);
            cx.db.notify(Events::GENERIC, "del", key);
        }
    }
    cx.changed(count);
    cx.out.int(count as i64);
    Ok(())
}

/// `EXISTS key …`
fn exists(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let count = args.from(1).filter(|key| cx.db.examine(key).is_some()).count();
    cx.out.count(count);
    Ok(())
}

/// `TYPE key`: `none` for a key that does not exist.
fn type_of(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let name = cx.db.examine(args.get(1)).map_or("none", |entry| entry.type_name());
    cx.out.simple(name);
    Ok(())
}

/// `TOUCH key …`
fn touch(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let count = args.from(1).filter(|key| cx.db.find(key).is_some()).count();
    cx.out.count(count);
    Ok(())
}

/// `RENAME key newkey`
fn rename(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (from, to) = (args.get(1), args.get(2));
    if cx.db.find_for_write(from).is_none() {
        return Err(ErrorReply::NoSuchKey);
    }
    if from != to {
        // Only to say that a key whose time has come went before it was overwritten.
        cx.db.find_for_write(to);
        carry_over(cx, from, to);
    }
    cx.out.ok();
    Ok(())
}

/// `RENAMENX key newkey`: 1, or 0 if `newkey` was there.
fn renamenx(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (from, to) = (args.get(1), args.get(2));
    if cx.db.find_for_write(from).is_none() {
        return Err(ErrorReply::NoSuchKey);
    }
    let free = from != to && cx.db.find_for_write(to).is_none();
    if free {
        carry_over(cx, from, to);
    }
    cx.out.int(free.into());
    Ok(())
}

fn carry_over(cx: &mut Cx<'_>, from: &[u8], to: &[u8]) {
    let value = cx.db.take(from).expect("it was just found");
    cx.db.put(to, value);
    cx.db.notify(Events::GENERIC, "rename_from", from);
    cx.db.notify(Events::GENERIC, "rename_to", to);
    cx.changed(1);
}

/// `MOVE key db`: 1, or 0 if there is no such key here or one there.
fn move_key(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let key = args.get(1);
    let to = db_index(cx.node, args.get(2))?;
    if to == cx.db.index {
        return Err(SAME_OBJECT);
    }
    if cx.db.find_for_write(key).is_none()
        || cx.db.with_index(to, |db| db.find_for_write(key).is_some())
    {
        cx.out.int(0);
        return Ok(());
    }
    let value = cx.db.take(key).expect("it was just found");
    cx.db.with_index(to, |db| db.put(key, value));
    cx.db.notify(Events::GENERIC, "move_from", key);
    cx.node.notify(Events::GENERIC, "move_to", to, key);
    cx.changed(1);
    cx.out.int(1);
    Ok(())
}

/// `COPY source destination [DB db] [REPLACE]`: 1, or 0 if there was nothing to copy or the
/// destination was there.
fn copy(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (from, to) = (args.get(1), args.get(2));
    let CopyOptions { db: to_db, replace } = CopyOptions::parse(cx, args)?;
    if from == to && to_db == cx.db.index {
        return Err(SAME_OBJECT);
    }
    let value = cx.db.find(from).map(Detached::copy_of);
    let Some(value) = value else {
        cx.out.int(0);
        return Ok(());
    };
    let taken = cx.db.with_index(to_db, |db| db.find_for_write(to).is_some());
    if taken && !replace {
        cx.out.int(0);
        return Ok(());
    }
    cx.db.with_index(to_db, |db| {
        db.put(to, value);
        // A copy is a key that is born now, whatever its original has seen.
        let birth = db.node.keyspace.access_clock().birth();
        if let Some(entry) = db.peek(to) {
            entry.touch(birth);
        }
    });
    cx.node.notify(Events::GENERIC, "copy_to", to_db, to);
    cx.changed(1);
    cx.out.int(1);
    Ok(())
}

struct CopyOptions {
    db: DbIndex,
    replace: bool,
}

impl CopyOptions {
    fn parse(cx: &Cx<'_>, args: Args<'_>) -> Result<CopyOptions, ErrorReply> {
        let mut options = CopyOptions { db: cx.db.index, replace: false };
        let mut at = 3;
        while at < args.len() {
            if is_word(args.get(at), "replace") {
                options.replace = true;
            } else if is_word(args.get(at), "db") && at + 1 < args.len() {
                at += 1;
                options.db = db_index(cx.node, args.get(at))?;
            } else {
                return Err(ErrorReply::Syntax);
            }
            at += 1;
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests;
