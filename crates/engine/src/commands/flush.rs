//! Whole databases: DBSIZE, FLUSHDB, FLUSHALL, SWAPDB.
//!
//! What changes them runs alone. Emptying hands the old tables over in one piece; when they are
//! large, or the client asked for ASYNC, another thread frees them.

use smallvec::SmallVec;
use tandem_base::DbIndex;
use tandem_resp::Args;

use super::facts::{arg, command};
use super::walk::before_walk;
use super::words::{existing_db, is_word, small_integer};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::node::Node;
use crate::spec::{ArgDoc, Group::Server, Plan, Spec};

const FLUSH_ARGS: &[ArgDoc] = &[arg::one_of(
    "async",
    &[arg::token("async", "ASYNC").since("4.0.0"), arg::token("sync", "SYNC").since("6.2.0")],
)
.optional()];
const FLUSH_HISTORY: &[(&str, &str)] = &[("4.0.0", "`ASYNC`."), ("6.2.0", "`SYNC`.")];
const FLUSH_TIPS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[
    command("dbsize", Server, 1, "readonly fast", dbsize)
        .acl("keyspace")
        .plan(Plan::Walk)
        .doc("1.0.0", "How many keys the database has.", "O(1)")
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"]),
    command("flushdb", Server, -1, "write", flushdb)
        .acl("keyspace dangerous")
        .plan(Plan::Exclusive)
        .doc("1.0.0", "Empties the database.", "O(N) for N keys")
        .history(FLUSH_HISTORY)
        .tips(FLUSH_TIPS)
        .args(FLUSH_ARGS),
    command("flushall", Server, -1, "write", flushall)
        .acl("keyspace dangerous")
        .plan(Plan::Exclusive)
        .doc("1.0.0", "Empties all databases.", "O(N) for N keys")
        .history(FLUSH_HISTORY)
        .tips(FLUSH_TIPS)
        .args(FLUSH_ARGS),
    command("swapdb", Server, 3, "write fast", swapdb)
        .acl("keyspace dangerous")
        .plan(Plan::Exclusive)
        .doc("4.0.0", "Swaps the keys of two databases.", "O(N) for N watched keys")
        .args(&[arg::integer("index1"), arg::integer("index2")]),
];

/// `DBSIZE`
fn dbsize(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    let keys = cx.node.keyspace.len(cx.db.index);
    cx.out.int(i64::try_from(keys).expect("keys are counted in memory"));
    Ok(())
}

/// `FLUSHDB [ASYNC | SYNC]`
fn flushdb(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let later = is_async(cx.node, args)?;
    before_walk(cx);
    let (node, own) = (cx.node, cx.db.index);
    let keys = node.keyspace.len(own);
    raise_watches(cx, |db| (db == own).then_some(db));
    node.blocking.mark_databases(|db| db == own, &mut cx.db.effects.ready);
    node.free_tables(node.keyspace.flush_database(own), keys, later);
    flushed(cx, args, keys);
    Ok(())
}

/// `FLUSHALL [ASYNC | SYNC]`
fn flushall(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let later = is_async(cx.node, args)?;
    before_walk(cx);
    let node = cx.node;
    let keys = node.keyspace.stats(cx.now().unix).iter().map(|stats| stats.keys).sum();
    node.stop_save_before_flush();
    node.own_expiry.clear();
    raise_watches(cx, Some);
    node.blocking.mark_databases(|_| true, &mut cx.db.effects.ready);
    node.free_tables(node.keyspace.flush_all(), keys, later);
    let saved = node.save_after_flush(cx.now());
    flushed(cx, args, if saved { 0 } else { keys });
    Ok(())
}

fn is_async(node: &Node, args: Args<'_>) -> Result<bool, ErrorReply> {
    match args.len() {
        1 => Ok(node.config().lazyfree_lazy_user_flush()),
        2 if is_word(args.get(1), "sync") => Ok(false),
        2 if is_word(args.get(1), "async") => Ok(true),
        _ => Err(ErrorReply::Syntax),
    }
}

/// Replicas are told even if there was no key: they may hold some that we do not. `changes` are
/// those that are in no file.
fn flushed(cx: &mut Cx<'_>, args: Args<'_>, changes: u64) {
    cx.node.invalidate_all();
    cx.changed(changes);
    let words: SmallVec<[&[u8]; 2]> = args.iter().collect();
    cx.send_instead(&words);
    cx.out.ok();
}

/// `SWAPDB index1 index2`
fn swapdb(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let number = |at, error| small_integer(args.get(at)).map_err(|_| ErrorReply::text(error));
    let one = number(1, "ERR invalid first DB index")?;
    let other = number(2, "ERR invalid second DB index")?;
    let node = cx.node;
    let (one, other) = (existing_db(node, one)?, existing_db(node, other)?);
    before_walk(cx);
    if one != other {
        raise_watches(cx, |db| match db {
            db if db == one => Some(other),
            db if db == other => Some(one),
            _ => None,
        });
        node.keyspace.swap_databases(one, other);
        node.blocking.mark_databases(|db| db == one || db == other, &mut cx.db.effects.ready);
    }
    cx.changed(1);
    cx.out.ok();
    Ok(())
}

/// Tells those who watch a key whose database gets the contents of another, or of itself when it
/// is emptied: `becomes` says which. Only a key that is alive before or after has changed; EXEC
/// itself sees that one has expired in between.
fn raise_watches(cx: &Cx<'_>, becomes: impl Fn(DbIndex) -> Option<DbIndex>) {
    let (node, now) = (cx.node, cx.now().unix);
    node.watches.touched_if(|db, key| {
        let Some(other) = becomes(db) else { return false };
        let hash = node.keyspace.hash(key);
        let stripe = node.keyspace.lock(hash.stripe);
        [db, other].into_iter().filter_map(|db| stripe.get(db, key, hash)).any(|entry| {
            // At the very millisecond of its expiry a key is still alive.
            entry.expiry().is_none_or(|at| at >= now)
        })
    });
}

#[cfg(test)]
mod tests;
