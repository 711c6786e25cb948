//! Strings as numbers: INCR, DECR and INCRBYFLOAT.
//!
//! An integer is kept as one, so that counting writes no digits. A sum with a fraction is told
//! to replicas as the SET of its text: no replica adds by itself, and none can differ.

use tandem_base::num;
use tandem_resp::Args;
use tandem_store::{Expiry, NewString, StringRef};

use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::float::LongDouble;
use crate::notify::Events;

use super::words::integer;

/// `INCR key`: one more.
pub(super) fn incr(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    add(cx, args.get(1), 1)
}

/// `DECR key`: one less.
pub(super) fn decr(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    add(cx, args.get(1), -1)
}

/// `INCRBY key increment`.
pub(super) fn incrby(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let by = integer(args.get(2))?;
    add(cx, args.get(1), by)
}

/// `DECRBY key decrement`.
pub(super) fn decrby(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let by = integer(args.get(2))?;
    let by = by.checked_neg().ok_or(ErrorReply::text("ERR decrement would overflow"))?;
    add(cx, args.get(1), by)
}

fn add(cx: &mut Cx<'_>, key: &[u8], by: i64) -> Outcome {
    let old = match cx.db.string_for_write(key)? {
        None => 0,
        Some(StringRef::Int(value)) => value,
        Some(text) => {
            num::parse_i64(text.bytes(&mut itoa::Buffer::new())).ok_or(ErrorReply::NotInteger)?
        }
    };
    let sum = old.checked_add(by).ok_or(ErrorReply::Overflow)?;
    cx.db.set_string(key, NewString::Int(sum), Expiry::Keep);
    cx.db.notify(Events::STRING, "incrby", key);
    cx.changed(1);
    cx.out.int(sum);
    Ok(())
}

/// `INCRBYFLOAT key increment`.
pub(super) fn incrbyfloat(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let key = args.get(1);
    let old = match cx.db.string_for_write(key)? {
        None => LongDouble::ZERO,
        Some(StringRef::Int(value)) => LongDouble::from_i64(value),
        Some(StringRef::Inline(text)) => LongDouble::parse(text).ok_or(ErrorReply::NotFloat)?,
        Some(StringRef::Large(text)) => LongDouble::parse(text).ok_or(ErrorReply::NotFloat)?,
    };
    let by = LongDouble::parse(args.get(2)).ok_or(ErrorReply::NotFloat)?;
    let sum = old.checked_add(by).ok_or(ErrorReply::NanOrInfinity)?.to_text();
    cx.db.set_string(key, NewString::Text(sum.as_bytes()), Expiry::Keep);
    cx.db.notify(Events::STRING, "incrbyfloat", key);
    cx.changed(1);
    cx.send_instead(&[b"SET", key, sum.as_bytes(), b"KEEPTTL"]);
    cx.out.bulk(sum.as_bytes());
    Ok(())
}
