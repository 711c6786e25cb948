//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! ```text
//!        MULTI             EXEC (in dispatch.rs)
//! idle ────────► queueing ───────► idle: ran, or nil because a watched key was touched
//!                   │ DISCARD, RESET, a refused EXEC
//!                   └──────────────► idle
//! ```
//!
//! Queueing and EXEC itself are dispatch's work, because they decide about locks; here stands
//! what a client has and loses on the way. A watch is a flag that writers raise while they hold
//! the key's stripe; EXEC looks at it while it holds the same stripes.

use std::sync::atomic::Ordering;

use tandem_base::DbIndex;
use tandem_resp::Args;

use super::facts::{arg, command, key_range};
use crate::client::{Client, ClientFlags, Transaction, Watched};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::node::Node;
use crate::spec::{Group::Transactions, Spec};

/// The commands of this module.
pub const SPECS: &[Spec] = &[
    command("multi", Transactions, 1, "noscript loading stale fast allow_busy", multi)
        .acl("transaction")
        .doc("1.2.0", "Opens a transaction: what follows is queued until EXEC.", "O(1)"),
    command("exec", Transactions, 1, "noscript loading stale skip_slowlog", exec)
        .acl("transaction")
        .doc(
            "1.2.0",
            "Runs the queued commands, nothing else in between.",
            "What the queued commands cost",
        ),
    command("discard", Transactions, 1, "noscript loading stale fast allow_busy", discard_command)
        .acl("transaction")
        .doc("2.0.0", "Drops the open transaction and all watches.", "O(N) for N queued commands"),
    command("watch", Transactions, -2, "noscript loading stale fast allow_busy", watch)
        .acl("transaction")
        .keys(&[key_range(1, -1, 1, "RO")])
        .doc("2.2.0", "Makes the next EXEC depend on keys not having changed.", "O(1) for each key")
        .args(&[arg::key("key").multiple()]),
    command("unwatch", Transactions, 1, "noscript loading stale fast allow_busy", unwatch_command)
        .acl("transaction")
        .doc("2.2.0", "Ends all watches.", "O(1) for each watched key"),
];

/// `MULTI`
fn multi(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    if cx.client.transaction.is_some() {
        return Err(ErrorReply::text("ERR MULTI calls can not be nested"));
    }
    cx.client.transaction = Some(Transaction::default());
    cx.client.info.multi.store(0, Ordering::Relaxed);
    cx.client.info.set_flag(ClientFlags::MULTI, true);
    cx.out.ok();
    Ok(())
}

/// `EXEC` never comes here: dispatch runs it, because it holds locks for many commands.
fn exec(_: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    unreachable!("dispatch runs EXEC itself")
}

/// `DISCARD`
fn discard_command(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    if cx.client.transaction.is_none() {
        return Err(ErrorReply::text("ERR DISCARD without MULTI"));
    }
    discard(cx.node, cx.client);
    cx.out.ok();
    Ok(())
}

/// `WATCH key …`
fn watch(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    if cx.client.transaction.is_some() {
        return Err(ErrorReply::text("ERR WATCH inside MULTI is not allowed"));
    }
    cx.out.ok();
    // The next EXEC fails whatever else is watched.
    if cx.client.watch_flag.load(Ordering::Relaxed) {
        return Ok(());
    }
    let db = cx.client.db;
    for key in args.from(1) {
        if cx.client.watched.iter().any(|known| known.db == db && known.key == key) {
            continue;
        }
        let was_alive = is_alive(cx, db, key);
        cx.node.watches.add(db, key, &cx.client.watch_flag);
        cx.client.watched.push(Watched { db, key: key.to_vec(), was_alive });
    }
    Ok(())
}

/// `UNWATCH`
fn unwatch_command(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    unwatch(cx.node, cx.client);
    cx.out.ok();
    Ok(())
}

/// Drops the open transaction, if there is one, and all watches.
pub fn discard(node: &Node, client: &mut Client) {
    client.transaction = None;
    left(client);
    unwatch(node, client);
}

/// Notes for others that the client is no longer in a transaction.
pub fn left(client: &Client) {
    client.info.multi.store(-1, Ordering::Relaxed);
    client.info.set_flag(ClientFlags::MULTI, false);
}

/// Ends all watches of the client.
pub fn unwatch(node: &Node, client: &mut Client) {
    for watched in client.watched.drain(..) {
        node.watches.remove(watched.db, &watched.key, &client.watch_flag);
    }
    // Only now: while a watch was registered somebody could still raise it.
    client.watch_flag.store(false, Ordering::Relaxed);
}

/// Whether no watched key has been changed, and none that was alive has come to its time. The
/// watched keys' stripes must be held.
pub fn watched_untouched(cx: &mut Cx<'_>) -> bool {
    if cx.client.watch_flag.load(Ordering::Relaxed) {
        return false;
    }
    let watched = std::mem::take(&mut cx.client.watched);
    let lost =
        watched.iter().any(|Watched { db, key, was_alive }| *was_alive && !is_alive(cx, *db, key));
    cx.client.watched = watched;
    !lost
}

/// Whether the key is there and its time has not come; deletes nothing.
fn is_alive(cx: &mut Cx<'_>, db: DbIndex, key: &[u8]) -> bool {
    let now = cx.now();
    let (stripe, hash) = cx.db.locate(key);
    stripe.get(db, key, hash).is_some_and(|entry| entry.expiry().is_none_or(|at| at >= now.unix))
}

#[cfg(test)]
mod tests;
