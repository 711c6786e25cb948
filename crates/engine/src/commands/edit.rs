//! APPEND and SETRANGE: strings changed in place.

use tandem_resp::Args;
use tandem_store::Expiry;

use super::words::{integer, new_string};
use crate::cx::Cx;
use crate::db::Source;
use crate::error::{ErrorReply, Outcome};
use crate::notify::Events;

/// The longest string that the master's stream may make, whatever our own limit is: what it
/// says has happened. More could not be said in one request.
const MASTERS_BYTES_MAX: usize = u32::MAX as usize;

/// The length of `kept` bytes and `added` more, if that is allowed.
fn total_length(cx: &Cx<'_>, kept: usize, added: usize) -> Result<usize, ErrorReply> {
    let most = match cx.db.source {
        Source::Client => cx.node.bulk_bytes_max(),
        Source::Master => MASTERS_BYTES_MAX,
    };
    kept.checked_add(added).filter(|&total| total <= most).ok_or(ErrorReply::StringTooLong)
}

/// `APPEND key value`: the new length.
pub(super) fn append(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (key, more) = (args.get(1), args.get(2));
    let total = match cx.db.string_for_write(key)?.map(|old| old.len()) {
        None => {
            cx.db.set_string(key, new_string(args, 2), Expiry::Clear);
            more.len()
        }
        Some(length) => {
            let total = total_length(cx, length, more.len())?;
            cx.db.edit_string(key, |bytes| bytes.extend_from_slice(more));
            total
        }
    };
    cx.db.notify(Events::STRING, "append", key);
    cx.changed(1);
    cx.out.count(total);
    Ok(())
}

/// `SETRANGE key offset value`: the new length. Zeros fill the gap to an offset beyond the end.
pub(super) fn setrange(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (key, part) = (args.get(1), args.get(3));
    let offset = usize::try_from(integer(args.get(2))?)
        .map_err(|_| ErrorReply::text("ERR offset is out of range"))?;
    let length = cx.db.string_for_write(key)?.map_or(0, |old| old.len());
    if part.is_empty() {
        cx.out.count(length);
        return Ok(());
    }
    let end = total_length(cx, offset, part.len())?;
    let total = cx.db.edit_string(key, |bytes| {
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset..end].copy_from_slice(part);
        bytes.len()
    });
    cx.db.notify(Events::STRING, "setrange", key);
    cx.changed(1);
    cx.out.count(total);
    Ok(())
}
