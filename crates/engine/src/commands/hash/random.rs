//! HRANDFIELD: fields by chance, each as likely as the next.
//!
//! | count | reply |
//! |---|---|
//! | none | one field, or nil |
//! | positive | so many different fields at most |
//! | negative | just so many, and any may come again |

use hashbrown::HashSet;
use tandem_resp::{Args, OutBuf, Proto};
use tandem_store::{HashRef, Pair};

use crate::commands::words::{integer, is_word, reply_string};
use crate::config::ClientClass;
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};

/// A sample of more than one field in so many is drawn by walking over all of them: to reach a
/// field by its number costs several times what a step of the walk does.
const DENSE: u64 = 8;
/// Fields written between two looks at the size of the reply.
const FIELDS_A_LOOK: u64 = 4096;

/// `HRANDFIELD key [count [WITHVALUES]]`
pub(super) fn hrandfield(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let key = args.get(1);
    if args.len() == 2 {
        let Some(hash) = cx.db.find_hash(key)? else {
            cx.out.null();
            return Ok(());
        };
        let (field, _) = hash.nth(cx.rng.u64(..hash.len()));
        reply_string(cx.out, field);
        return Ok(());
    }
    let (count, values) = options(args)?;
    let hard_limit = cx.node.config().client_output_buffer_limit(ClientClass::Normal).hard_bytes;
    let Some(hash) = cx.db.find_hash(key)? else {
        cx.out.array(0);
        return Ok(());
    };
    let mut reply = Reply { values, out: cx.out };
    let wanted = count.unsigned_abs();
    if count >= 0 {
        reply.begin(wanted.min(hash.len()));
        sample(hash, wanted, cx.rng, &mut reply);
        return Ok(());
    }
    reply.begin(wanted);
    // To reach a field of a small hash takes a walk, so for many of them it is walked over once.
    let walked: Vec<Pair<'_>> =
        if hash.is_packed() && wanted > 1 { hash.iter().collect() } else { Vec::new() };
    let len = hash.len();
    for left in (0..wanted).rev() {
        let nth = cx.rng.u64(..len);
        reply.push(walked.get(nth as usize).copied().unwrap_or_else(|| hash.nth(nth)));
        if left % FIELDS_A_LOOK == 0 && hard_limit > 0 && reply.out.len() as u64 > hard_limit {
            // The connection will be closed for it: what is still to come need not be written.
            cx.client.closing = true;
            break;
        }
    }
    Ok(())
}

fn options(args: Args<'_>) -> Result<(i64, bool), ErrorReply> {
    let count = integer(args.get(2))?;
    if count == i64::MIN {
        return Err(ErrorReply::text(
            "ERR value is out of range, value must between -9223372036854775807 and \
             9223372036854775807",
        ));
    }
    let values = args.len() == 4 && is_word(args.get(3), "withvalues");
    if args.len() > 3 && !values {
        return Err(ErrorReply::Syntax);
    }
    if values && count.unsigned_abs() > i64::MAX.unsigned_abs() / 2 {
        return Err(ErrorReply::text("ERR value is out of range"));
    }
    Ok((count, values))
}

/// What is written for each field.
struct Reply<'a> {
    values: bool,
    out: &'a mut OutBuf,
}

impl Reply<'_> {
    fn begin(&mut self, fields: u64) {
        let flat = self.values && self.out.proto == Proto::V2;
        let items = if flat { fields * 2 } else { fields };
        self.out.array(usize::try_from(items).expect("64 bits"));
    }

    fn push(&mut self, (field, value): Pair<'_>) {
        if self.values && self.out.proto == Proto::V3 {
            self.out.array(2);
        }
        reply_string(self.out, field);
        if self.values {
            reply_string(self.out, value);
        }
    }
}

/// Replies `wanted` different fields, or all if there are no more.
fn sample(hash: HashRef<'_>, wanted: u64, rng: &mut fastrand::Rng, reply: &mut Reply<'_>) {
    let mut left = wanted.min(hash.len());
    let len = hash.len();
    if hash.is_packed() || left > len / DENSE {
        // Each field is taken with the chance that the rest is not enough without it.
        for (met, pair) in (0..).zip(hash.iter()) {
            if rng.u64(..len - met) < left {
                reply.push(pair);
                left -= 1;
            }
        }
        return;
    }
    let mut drawn = HashSet::with_capacity(usize::try_from(left).unwrap_or(0).min(1 << 16));
    while left > 0 {
        let nth = rng.u64(..len);
        if drawn.insert(nth) {
            reply.push(hash.nth(nth));
            left -= 1;
        }
    }
}
