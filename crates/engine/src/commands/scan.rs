//! Commands that walk over all keys of a database: SCAN, KEYS, RANDOMKEY.
//!
//! They lock one stripe at a time (see `walk.rs`), so other workers go on meanwhile. SCAN's
//! promise is the store's: what is there from the first call to the last is returned, whatever
//! else comes and goes.

use tandem_base::up_to_nul;
use tandem_resp::Args;
use tandem_store::EntryRef;

use super::facts::{arg, command};
use super::walk::{before_walk, is_alive};
use super::words::{integer, is_word};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::glob::matches;
use crate::spec::{Group::Generic, Plan, Spec};

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[
    command("scan", Generic, -2, "readonly touches_arbitrary_keys", scan)
        .acl("keyspace")
        .plan(Plan::Walk)
        .doc("2.8.0", "Walks over the keys, a few at a time.", "O(1) a call, O(N) for N keys")
        .history(&[("6.0.0", "`TYPE`.")])
        .tips(&["nondeterministic_output", "request_policy:special"])
        .args(&[
            arg::integer("cursor"),
            arg::pattern("pattern").token("MATCH").optional(),
            arg::integer("count").token("COUNT").optional(),
            arg::string("type").token("TYPE").optional().since("6.0.0"),
        ]),
    command("keys", Generic, 2, "readonly", keys)
        .acl("keyspace dangerous")
        .plan(Plan::Walk)
        .doc("1.0.0", "All keys that match a pattern.", "O(N) for N keys in the database")
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .args(&[arg::pattern("pattern")]),
    command("randomkey", Generic, 1, "readonly touches_arbitrary_keys", randomkey)
        .acl("keyspace")
        .plan(Plan::Walk)
        .doc("1.0.0", "Any key, each as likely as the next.", "O(1)")
        .tips(&["request_policy:all_shards", "nondeterministic_output"]),
];

/// What SCAN or HSCAN was asked for.
pub(super) struct ScanOptions<'a> {
    pub(super) count: u64,
    pattern: Option<&'a [u8]>,
    type_name: Option<&'a [u8]>,
}

impl<'a> ScanOptions<'a> {
    /// The options from argument `first` on; without a key before the cursor also `TYPE`.
    pub(super) fn parse(args: Args<'a>, first: usize) -> Result<ScanOptions<'a>, ErrorReply> {
        let mut options = ScanOptions { count: 10, pattern: None, type_name: None };
        for at in (first..args.len()).step_by(2) {
            let word = args.get(at);
            if at + 1 == args.len() {
                return Err(ErrorReply::Syntax);
            }
            let value = args.get(at + 1);
            if is_word(word, "count") {
                let count = integer(value)?;
                options.count =
                    u64::try_from(count).ok().filter(|&n| n > 0).ok_or(ErrorReply::Syntax)?;
            } else if is_word(word, "match") {
                options.pattern = Some(value).filter(|&pattern| pattern != b"*");
            } else if is_word(word, "type") && first == 2 {
                options.type_name = Some(value);
            } else {
                return Err(ErrorReply::Syntax);
            }
        }
        Ok(options)
    }

    pub(super) fn take_name(&self, key: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| matches(pattern, key))
    }

    fn take_type(&self, name: &str) -> bool {
        self.type_name.is_none_or(|wanted| is_word(wanted, name))
    }
}

/// A cursor as C's `strtoul` reads one: it ends at a NUL, an empty text is 0, a sign is allowed.
pub(super) fn parse_cursor(text: &[u8]) -> Result<u64, ErrorReply> {
    let invalid = ErrorReply::text("ERR invalid cursor");
    let (negative, digits) = match up_to_nul(text) {
        [] => return Ok(0),
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        text => (false, text),
    };
    if digits.is_empty() {
        return Err(invalid);
    }
    let value = digits.iter().try_fold(0u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    });
    let value = value.ok_or(invalid)?;
    Ok(if negative { value.wrapping_neg() } else { value })
}

/// Names that a walk has collected.
#[derive(Default)]
struct Names {
    /// Alive when they were met.
    alive: Vec<Vec<u8>>,
    /// Their time had come.
    due: Vec<Vec<u8>>,
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`: the next cursor, and keys.
fn scan(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let mut cursor = parse_cursor(args.get(1))?;
    let options = ScanOptions::parse(args, 2)?;
    before_walk(cx);
    let now = cx.now().unix;
    let db = cx.db.index;
    let mut names = Names::default();
    let (mut met, mut hits) = (0, 0);
    let mut steps_left = options.count.saturating_mul(10);
    loop {
        cursor = cx.node.keyspace.scan(db, cursor, |entry: EntryRef<'_>| {
            met += 1;
            let key = entry.key();
            if !options.take_name(key) {
                return;
            }
            if entry.expiry().is_some_and(|at| at < now) {
                names.due.push(key.to_vec());
            } else {
                hits += 1;
                if options.take_type(entry.type_name()) {
                    names.alive.push(key.to_vec());
                }
            }
        });
        if cursor == 0 || steps_left == 0 || met >= options.count {
            break;
        }
        steps_left -= 1;
    }
    if options.type_name.is_some() {
        cx.db.counters.keyspace_hits += hits;
        cx.db.counters.keyspace_misses += names.due.len() as u64;
    }
    // One that was set again in the meantime need not be shown: it was not there all along.
    for key in &names.due {
        is_alive(cx, key);
    }
    cx.out.array(2);
    cx.out.bulk(itoa::Buffer::new().format(cursor).as_bytes());
    reply_names(cx, &names.alive);
    Ok(())
}

fn reply_names(cx: &mut Cx<'_>, names: &[Vec<u8>]) {
    cx.out.array(names.len());
    for name in names {
        cx.out.bulk(name);
    }
}

/// `KEYS pattern`. What should have expired is left out, and left alone.
fn keys(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let pattern = args.get(1);
    before_walk(cx);
    let now = cx.now().unix;
    let db = cx.db.index;
    let mut names = Vec::new();
    for stripe in 0..cx.node.keyspace.stripe_count() {
        let stripe = u16::try_from(stripe).expect("at most 2^16 stripes");
        cx.node.keyspace.lock(stripe).each(db, |entry| {
            let key = entry.key();
            let alive = entry.expiry().is_none_or(|at| at >= now);
            if alive && (pattern == b"*" || matches(pattern, key)) {
                names.push(key.to_vec());
            }
        });
    }
    reply_names(cx, &names);
    Ok(())
}

/// Tries after which RANDOMKEY settles for a key that should have expired: a replica may hold
/// nothing else, and must not delete it.
const RANDOM_TRIES: u32 = 100;

/// `RANDOMKEY`: any key, or nil.
fn randomkey(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    let db = cx.db.index;
    for left in (0..RANDOM_TRIES).rev() {
        before_walk(cx);
        let rng = &mut *cx.rng;
        let Some(key) = cx.node.keyspace.random_key(db, &mut || rng.u64(..)) else { break };
        let alive = is_alive(cx, &key);
        if alive || left == 0 {
            cx.out.bulk(&key);
            return Ok(());
        }
    }
    cx.out.null();
    Ok(())
}

#[cfg(test)]
mod tests;
