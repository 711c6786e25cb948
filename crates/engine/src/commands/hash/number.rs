//! Fields as numbers: HINCRBY, HINCRBYFLOAT.
//!
//! As with strings, a sum with a fraction is told to replicas as text, by HSET.

use tandem_base::num;
use tandem_resp::Args;
use tandem_store::StringRef;

use crate::commands::words::integer;
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::float::LongDouble;
use crate::notify::Events;

/// `HINCRBY key field increment`: the sum.
pub(super) fn hincrby(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (key, field) = (args.get(1), args.get(2));
    let by = integer(args.get(3))?;
    let sum = cx.db.edit_hash(key, |hash| {
        let (old, place) = hash.find(field);
        let old = match old {
            None => 0,
            Some(StringRef::Int(value)) => value,
            Some(text) => num::parse_i64(text.bytes(&mut itoa::Buffer::new()))
                .ok_or(ErrorReply::text("ERR hash value is not an integer"))?,
        };
        let sum = old.checked_add(by).ok_or(ErrorReply::Overflow)?;
        hash.set_found(place, field, itoa::Buffer::new().format(sum).as_bytes());
        Ok((true, sum))
    })?;
    cx.db.notify(Events::HASH, "hincrby", key);
    cx.changed(1);
    cx.out.int(sum);
    Ok(())
}

/// `HINCRBYFLOAT key field increment`: the sum.
pub(super) fn hincrbyfloat(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (key, field) = (args.get(1), args.get(2));
    let by = LongDouble::parse(args.get(3)).ok_or(ErrorReply::NotFloat)?;
    if !by.is_finite() {
        return Err(ErrorReply::text("ERR value is NaN or Infinity"));
    }
    let sum = cx.db.edit_hash(key, |hash| {
        let (old, place) = hash.find(field);
        let old = match old {
            None => LongDouble::ZERO,
            Some(StringRef::Int(value)) => LongDouble::from_i64(value),
            Some(text) => LongDouble::parse(text.bytes(&mut itoa::Buffer::new()))
                .ok_or(ErrorReply::text("ERR hash value is not a float"))?,
        };
        let sum = old.checked_add(by).ok_or(ErrorReply::NanOrInfinity)?.to_text();
        hash.set_found(place, field, sum.as_bytes());
        Ok((true, sum))
    })?;
    let text = sum.as_bytes();
    cx.db.notify(Events::HASH, "hincrbyfloat", key);
    cx.changed(1);
    cx.send_instead(&[b"HSET", key, field, text]);
    cx.out.bulk(text);
    Ok(())
}
