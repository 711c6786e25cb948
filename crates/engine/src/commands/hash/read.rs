//! Hash commands that only read: one look-up, and the reply straight from where it stands.

use tandem_resp::Args;
use tandem_store::HashRef;

use crate::commands::words::{AsBulks, push_string, reply_string};
use crate::cx::Cx;
use crate::error::Outcome;

/// `HGET key field`: the value, or nil.
pub(super) fn hget(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    match cx.db.find_hash(args.get(1))?.and_then(|hash| hash.get(args.get(2))) {
        Some(value) => reply_string(cx.out, value),
        None => cx.out.null(),
    }
    Ok(())
}

/// `HMGET key field …`: nil for each field that is not there.
pub(super) fn hmget(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let hash = cx.db.find_hash(args.get(1))?;
    cx.out.array(args.len() - 2);
    for field in args.from(2) {
        match hash.and_then(|hash| hash.get(field)) {
            Some(value) => reply_string(cx.out, value),
            None => cx.out.null(),
        }
    }
    Ok(())
}

/// `HGETALL key`: fields and values; a map in RESP3.
pub(super) fn hgetall(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let hash = cx.db.find_hash(args.get(1))?;
    cx.out.map(count(hash));
    if let Some(hash) = hash {
        let mut bulks = cx.out.bulks(room_bytes(hash));
        hash.show_all(&mut AsBulks(&mut bulks));
    }
    Ok(())
}

/// `HKEYS key`: the fields.
pub(super) fn hkeys(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let hash = cx.db.find_hash(args.get(1))?;
    cx.out.array(count(hash));
    if let Some(hash) = hash {
        let mut bulks = cx.out.bulks(room_bytes(hash));
        hash.iter().for_each(|(field, _)| push_string(&mut bulks, field));
    }
    Ok(())
}

/// `HVALS key`: the values.
pub(super) fn hvals(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let hash = cx.db.find_hash(args.get(1))?;
    cx.out.array(count(hash));
    if let Some(hash) = hash {
        let mut bulks = cx.out.bulks(room_bytes(hash));
        hash.iter().for_each(|(_, value)| push_string(&mut bulks, value));
    }
    Ok(())
}

/// `HLEN key`: the number of fields.
pub(super) fn hlen(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let fields = count(cx.db.find_hash(args.get(1))?);
    cx.out.count(fields);
    Ok(())
}

/// `HSTRLEN key field`: 0 for what is not there.
pub(super) fn hstrlen(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let bytes = cx.db.find_hash(args.get(1))?.map_or(0, |hash| hash.value_len(args.get(2)));
    cx.out.count(bytes);
    Ok(())
}

/// `HEXISTS key field`.
pub(super) fn hexists(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let there = cx.db.find_hash(args.get(1))?.is_some_and(|hash| hash.contains(args.get(2)));
    cx.out.int(there.into());
    Ok(())
}

/// About what all texts of a hash take in a reply.
fn room_bytes(hash: HashRef<'_>) -> usize {
    /// What RESP adds to a short text.
    const FRAME_BYTES: usize = 7;
    hash.text_bytes().saturating_add(count(Some(hash)).saturating_mul(2 * FRAME_BYTES))
}

/// The number of fields of a hash that may not be there.
fn count(hash: Option<HashRef<'_>>) -> usize {
    let fields = hash.map_or(0, HashRef::len);
    usize::try_from(fields).expect("what lies in memory can be counted")
}
