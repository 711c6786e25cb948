//! HSCAN: a walk over the fields of a hash that goes on while others change it.

use tandem_resp::{Args, OutBuf};

use crate::commands::scan::{ScanOptions, parse_cursor};
use crate::commands::words::reply_string;
use crate::cx::Cx;
use crate::error::Outcome;

/// `HSCAN key cursor [MATCH pattern] [COUNT count]`: the next cursor, and fields with values.
pub(super) fn hscan(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let cursor = parse_cursor(args.get(2))?;
    let Some(hash) = cx.db.find_hash(args.get(1))? else {
        cx.out.array(2);
        cx.out.bulk(b"0");
        cx.out.array(0);
        return Ok(());
    };
    let options = ScanOptions::parse(args, 3)?;
    let count = usize::try_from(options.count).unwrap_or(usize::MAX);
    let mut items = 0;
    let mut shown = OutBuf::new(cx.out.proto);
    let mut digits = itoa::Buffer::new();
    let cursor = hash.scan(cursor, count, |field, value| {
        if options.take_name(field.bytes(&mut digits)) {
            reply_string(&mut shown, field);
            reply_string(&mut shown, value);
            items += 2;
        }
    });
    cx.out.array(2);
    cx.out.bulk(itoa::Buffer::new().format(cursor).as_bytes());
    cx.out.array(items);
    cx.out.append(shown);
    Ok(())
}
