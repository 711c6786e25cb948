//! The string group: its facts, and the commands that only read.
//!
//! ```text
//! string.rs   facts; GET MGET STRLEN GETRANGE LCS's entry
//! set.rs      SET and its kin, GETEX, GETDEL: values and their expiry
//! edit.rs     APPEND, SETRANGE: bytes in place
//! number.rs   INCR, INCRBYFLOAT …
//! lcs.rs      LCS
//! ```
//! A read looks its key up once and replies from where the value stands.

use tandem_resp::Args;

use super::facts::{arg, command, key_at, key_range};
use super::words::{integer, reply_string};
use super::{edit, lcs, number, set};
use crate::cx::Cx;
use crate::error::Outcome;
use crate::spec::{ArgDoc, Group::String as Text, Spec};

const KEY: &[ArgDoc] = &[arg::key("key")];
const KEYS: &[ArgDoc] = &[arg::key("key").multiple()];
const KEY_VALUE: &[ArgDoc] = &[arg::key("key"), arg::string("value")];
const PAIRS: &[ArgDoc] = &[arg::block("key_value", KEY_VALUE).multiple()];
const RANGE: &[ArgDoc] = &[arg::key("key"), arg::integer("start"), arg::integer("end")];

const SET_ARGS: &[ArgDoc] = &[
    arg::key("key"),
    arg::string("value"),
    arg::one_of("condition", &[arg::token("nx", "NX"), arg::token("xx", "XX")])
        .optional()
        .since("2.6.12"),
    arg::token("get", "GET").optional().since("6.2.0"),
    arg::one_of(
        "expiration",
        &[
            arg::integer("seconds").token("EX").since("2.6.12"),
            arg::integer("milliseconds").token("PX").since("2.6.12"),
            arg::unix_time("unix-time-seconds").token("EXAT").since("6.2.0"),
            arg::unix_time("unix-time-milliseconds").token("PXAT").since("6.2.0"),
            arg::token("keepttl", "KEEPTTL").since("6.0.0"),
        ],
    )
    .optional(),
];

const GETEX_ARGS: &[ArgDoc] = &[
    arg::key("key"),
    arg::one_of(
        "expiration",
        &[
            arg::integer("seconds").token("EX"),
            arg::integer("milliseconds").token("PX"),
            arg::unix_time("unix-time-seconds").token("EXAT"),
            arg::unix_time("unix-time-milliseconds").token("PXAT"),
            arg::token("persist", "PERSIST"),
        ],
    )
    .optional(),
];

const LCS_ARGS: &[ArgDoc] = &[
    arg::key("key1"),
    arg::key("key2"),
    arg::token("len", "LEN").optional(),
    arg::token("idx", "IDX").optional(),
    arg::integer("len").token("MINMATCHLEN").optional(),
    arg::token("withmatchlen", "WITHMATCHLEN").optional(),
];

/// The commands of the string group.
pub(super) const SPECS: &[Spec] = &[
    command("get", Text, 2, "readonly fast", get)
        .acl("string")
        .keys(&[key_at(1, "RO ACCESS")])
        .doc("1.0.0", "The string at a key.", "O(1)")
        .args(KEY),
    command("set", Text, -3, "write denyoom quick", set::set)
        .acl("string")
        .keys(&[key_at(1, "RW ACCESS UPDATE VARIABLE_FLAGS").note("Read only with `GET`")])
        .doc("1.0.0", "Sets a key to a string, whatever it held.", "O(1)")
        .history(&[
            ("2.6.12", "`EX`, `PX`, `NX`, `XX`."),
            ("6.0.0", "`KEEPTTL`."),
            ("6.2.0", "`GET`, `EXAT`, `PXAT`."),
            ("7.0.0", "`NX` together with `GET`."),
        ])
        .args(SET_ARGS),
    command("setnx", Text, 3, "write denyoom fast", set::setnx)
        .acl("string")
        .keys(&[key_at(1, "OW INSERT")])
        .doc("1.0.0", "Sets a key that does not exist.", "O(1)")
        .args(KEY_VALUE),
    command("setex", Text, 4, "write denyoom quick", set::setex)
        .acl("string")
        .keys(&[key_at(1, "OW UPDATE")])
        .doc("2.0.0", "Sets a key and when it expires, in seconds from now.", "O(1)")
        .args(&[arg::key("key"), arg::integer("seconds"), arg::string("value")]),
    command("psetex", Text, 4, "write denyoom quick", set::psetex)
        .acl("string")
        .keys(&[key_at(1, "OW UPDATE")])
        .doc("2.6.0", "Sets a key and when it expires, in milliseconds from now.", "O(1)")
        .args(&[arg::key("key"), arg::integer("milliseconds"), arg::string("value")]),
    command("getset", Text, 3, "write denyoom fast", set::getset)
        .acl("string")
        .keys(&[key_at(1, "RW ACCESS UPDATE")])
        .doc("1.0.0", "Sets a key and replies what it held.", "O(1)")
        .deprecated("6.2.0", "`SET` with the `GET` argument")
        .args(KEY_VALUE),
    command("getdel", Text, 2, "write fast", set::getdel)
        .acl("string")
        .keys(&[key_at(1, "RW ACCESS DELETE")])
        .doc("6.2.0", "Deletes a key and replies what it held.", "O(1)")
        .args(KEY),
    command("getex", Text, -2, "write fast", set::getex)
        .acl("string")
        .keys(&[key_at(1, "RW ACCESS UPDATE").note("Written to when the expiry changes")])
        .doc("6.2.0", "The string at a key, whose expiry it may change.", "O(1)")
        .args(GETEX_ARGS),
    command("mget", Text, -2, "readonly fast", mget)
        .acl("string")
        .keys(&[key_range(1, -1, 1, "RO ACCESS")])
        .doc("1.0.0", "The strings at several keys.", "O(N) for N keys")
        .tips(&["request_policy:multi_shard"])
        .args(KEYS),
    command("mset", Text, -3, "write denyoom", set::mset)
        .acl("string")
        .keys(&[key_range(1, -1, 2, "OW UPDATE")])
        .doc("1.0.1", "Sets several keys at once.", "O(N) for N keys")
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .args(PAIRS),
    command("msetnx", Text, -3, "write denyoom", set::msetnx)
        .acl("string")
        .keys(&[key_range(1, -1, 2, "OW INSERT")])
        .doc("1.0.1", "Sets several keys at once if none of them exists.", "O(N) for N keys")
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"])
        .args(PAIRS),
    command("append", Text, 3, "write denyoom fast", edit::append)
        .acl("string")
        .keys(&[key_at(1, "RW INSERT")])
        .doc("2.0.0", "Appends to the string at a key.", "O(N) for N bytes appended, amortised")
        .args(KEY_VALUE),
    command("strlen", Text, 2, "readonly fast", strlen)
        .acl("string")
        .keys(&[key_at(1, "RO")])
        .doc("2.2.0", "Length of the string at a key, in bytes.", "O(1)")
        .args(KEY),
    command("setrange", Text, 4, "write denyoom", edit::setrange)
        .acl("string")
        .keys(&[key_at(1, "RW UPDATE")])
        .doc(
            "2.2.0",
            "Overwrites part of the string at a key, from an offset on.",
            "O(N) for N bytes written, and for the zeros before them",
        )
        .args(&[arg::key("key"), arg::integer("offset"), arg::string("value")]),
    command("getrange", Text, 4, "readonly", getrange)
        .acl("string")
        .keys(&[key_at(1, "RO ACCESS")])
        .doc("2.4.0", "Part of the string at a key.", "O(N) for N bytes replied")
        .args(RANGE),
    command("substr", Text, 4, "readonly", getrange)
        .acl("string")
        .keys(&[key_at(1, "RO ACCESS")])
        .doc("1.0.0", "Part of the string at a key.", "O(N) for N bytes replied")
        .deprecated("2.0.0", "`GETRANGE`")
        .args(RANGE),
    command("incr", Text, 2, "write denyoom fast", number::incr)
        .acl("string")
        .keys(&[key_at(1, "RW ACCESS UPDATE")])
        .doc("1.0.0", "Adds one to the integer at a key.", "O(1)")
        .args(KEY),
    command("decr", Text, 2, "write denyoom fast", number::decr)
        .acl("string")
        .keys(&[key_at(1, "RW ACCESS UPDATE")])
        .doc("1.0.0", "Subtracts one from the integer at a key.", "O(1)")
        .args(KEY),
    command("incrby", Text, 3, "write denyoom fast", number::incrby)
        .acl("string")
        .keys(&[key_at(1, "RW ACCESS UPDATE")])
        .doc("1.0.0", "Adds to the integer at a key.", "O(1)")
        .args(&[arg::key("key"), arg::integer("increment")]),
    command("decrby", Text, 3, "write denyoom fast", number::decrby)
        .acl("string")
        .keys(&[key_at(1, "RW ACCESS UPDATE")])
        .doc("1.0.0", "Subtracts from the integer at a key.", "O(1)")
        .args(&[arg::key("key"), arg::integer("decrement")]),
    command("incrbyfloat", Text, 3, "write denyoom fast", number::incrbyfloat)
        .acl("string")
        .keys(&[key_at(1, "RW ACCESS UPDATE")])
        .doc("2.6.0", "Adds to the number at a key, fractions allowed.", "O(1)")
        .args(&[arg::key("key"), arg::double("increment")]),
    command("lcs", Text, -3, "readonly", lcs::lcs)
        .acl("string")
        .keys(&[key_range(1, 1, 1, "RO ACCESS")])
        .doc(
            "7.0.0",
            "The longest subsequence that two strings have in common.",
            "O(N*M) for strings of N and M bytes",
        )
        .args(LCS_ARGS),
];

/// `GET key`: the string at `key`, or nil.
fn get(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    match cx.db.string(args.get(1))? {
        Some(value) => reply_string(cx.out, value),
        None => cx.out.null(),
    }
    Ok(())
}

/// `MGET key …`: nil for each key that holds no string.
fn mget(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    cx.out.array(args.len() - 1);
    for key in args.from(1) {
        match cx.db.string(key) {
            Ok(Some(value)) => reply_string(cx.out, value),
            Ok(None) | Err(_) => cx.out.null(),
        }
    }
    Ok(())
}

/// `STRLEN key`: 0 for a key that does not exist.
fn strlen(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let length = cx.db.string(args.get(1))?.map_or(0, |value| value.len());
    cx.out.count(length);
    Ok(())
}

/// `GETRANGE key start end`: both ends belong to the range, and count from the end of the string
/// when they are negative.
fn getrange(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (start, end) = (integer(args.get(2))?, integer(args.get(3))?);
    let Some(value) = cx.db.string(args.get(1))? else {
        cx.out.bulk(b"");
        return Ok(());
    };
    let mut scratch = itoa::Buffer::new();
    let bytes = value.bytes(&mut scratch);
    cx.out.bulk(&bytes[range_of(start, end, bytes.len())]);
    Ok(())
}

/// The part of `len` bytes that GETRANGE means; empty if there is nothing.
fn range_of(start: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    let len = i64::try_from(len).expect("values are bounded");
    // Checked before negative ends are moved to 0, where they would seem to name the first byte.
    if len == 0 || (start < 0 && end < 0 && start > end) {
        return 0..0;
    }
    let from_front = |at: i64| if at < 0 { (at + len).max(0) } else { at };
    let (start, end) = (from_front(start), from_front(end).min(len - 1));
    if start > end {
        return 0..0;
    }
    // Both are between 0 and the length.
    start as usize..end as usize + 1
}

#[cfg(test)]
mod tests;
