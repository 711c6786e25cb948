//! Fields set and deleted.

use tandem_resp::Args;

use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::notify::Events;

/// `HSET key field value …`: how many fields are new.
pub(super) fn hset(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let new = set_pairs(cx, args, "hset")?;
    cx.out.count(new);
    Ok(())
}

/// `HMSET key field value …`
pub(super) fn hmset(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    set_pairs(cx, args, "hmset")?;
    cx.out.ok();
    Ok(())
}

fn set_pairs(cx: &mut Cx<'_>, args: Args<'_>, command: &'static str) -> Result<usize, ErrorReply> {
    if !args.len().is_multiple_of(2) {
        return Err(ErrorReply::WrongArity(command));
    }
    let key = args.get(1);
    let new = cx.db.edit_hash(key, |hash| {
        let mut new = 0;
        for at in (2..args.len()).step_by(2) {
            new += usize::from(hash.set(args.get(at), args.get(at + 1)));
        }
        Ok((true, new))
    })?;
    cx.db.notify(Events::HASH, "hset", key);
    cx.changed((args.len() as u64 - 2) / 2);
    Ok(new)
}

/// `HSETNX key field value`: 1 if the field was set, 0 if it was there.
pub(super) fn hsetnx(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (key, field) = (args.get(1), args.get(2));
    let is_set = cx.db.edit_hash(key, |hash| {
        let (old, place) = hash.find(field);
        let is_free = old.is_none();
        Ok((is_free, is_free && hash.set_found(place, field, args.get(3))))
    })?;
    if !is_set {
        cx.out.int(0);
        return Ok(());
    }
    cx.db.notify(Events::HASH, "hset", key);
    cx.changed(1);
    cx.out.int(1);
    Ok(())
}

/// `HDEL key field …`: how many fields were there. The key goes with the last.
pub(super) fn hdel(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let key = args.get(1);
    let deleted = cx.db.edit_hash(key, |hash| {
        let deleted = args.from(2).filter(|field| hash.remove(field)).count();
        Ok((deleted > 0, deleted))
    })?;
    if deleted > 0 {
        cx.db.notify(Events::HASH, "hdel", key);
        if cx.node.wants_events(Events::GENERIC) && !cx.db.exists(key) {
            cx.db.notify(Events::GENERIC, "del", key);
        }
    }
    cx.changed(deleted as u64);
    cx.out.count(deleted);
    Ok(())
}
