//! What commands share that walk over the keyspace instead of naming keys (SCAN, RANDOMKEY).
//!
//! A walk holds no stripe between its steps. What it meets that should have expired is deleted
//! afterwards, one stripe at a time: lock, delete, append to the stream, unlock. So the DEL
//! stands in the stream before anything that later writers do to the key, and nothing wraps it.
//!
//! Inside a transaction everything is held alone; then the effects wait for EXEC's end.

use crate::cx::Cx;
use crate::db::Db;
use crate::locks::Held;

/// Lets go of what would keep a walk from locking stripes by itself. Call it before each walk.
pub(super) fn before_walk(cx: &mut Cx<'_>) {
    cx.db.held.release_current();
}

/// Runs `body` with the stripe of `key` held, and appends what it did before the stripe is let
/// go.
pub(super) fn with_stripe_of<'a, R>(
    cx: &mut Cx<'a>,
    key: &[u8],
    body: impl FnOnce(&mut Db<'a>) -> R,
) -> R {
    if cx.db.held.is_exclusive() {
        return body(&mut cx.db);
    }
    assert!(matches!(cx.db.held, Held::Nothing), "a walk locks stripes by itself");
    let node = cx.node;
    let stripe = node.keyspace.hash(key).stripe;
    cx.db.held = Held::One(stripe, node.keyspace.lock(stripe));
    let result = body(&mut cx.db);
    if !cx.db.effects.is_empty() {
        cx.db.effects.flush(&node.stream, None, true);
    }
    cx.db.held = Held::Nothing;
    result
}

/// Looks at `key` as a reader does, so that it goes if its time has come; whether it is there.
pub(super) fn is_alive(cx: &mut Cx<'_>, key: &[u8]) -> bool {
    with_stripe_of(cx, key, |db| db.exists(key))
}
