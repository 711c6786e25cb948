//! The hash group: fields with values under one key.
//!
//! ```text
//! mod.rs      facts
//! read.rs     HGET HMGET HGETALL HKEYS HVALS HLEN HSTRLEN HEXISTS
//! write.rs    HSET HMSET HSETNX HDEL
//! number.rs   HINCRBY HINCRBYFLOAT
//! random.rs   HRANDFIELD
//! scan.rs     HSCAN
//! ```
//! The store keeps a hash small or large; nothing here knows which. A hash comes with its first
//! field and goes with its last.

use super::facts::{arg, command, key_at};
use crate::spec::{ArgDoc, Group::Hash, Spec};

mod number;
mod random;
mod read;
mod scan;
mod write;

const KEY: &[ArgDoc] = &[arg::key("key")];
const KEY_FIELD: &[ArgDoc] = &[arg::key("key"), arg::string("field")];
const KEY_FIELDS: &[ArgDoc] = &[arg::key("key"), arg::string("field").multiple()];
const KEY_PAIRS: &[ArgDoc] = &[
    arg::key("key"),
    arg::block("field_value", &[arg::string("field"), arg::string("value")]).multiple(),
];
const KEY_FIELD_VALUE: &[ArgDoc] = &[arg::key("key"), arg::string("field"), arg::string("value")];
const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];
const ANY_OUTPUT: &[&str] = &["nondeterministic_output"];

/// The commands of the hash group.
pub(super) const SPECS: &[Spec] = &[
    command("hset", Hash, -4, "write denyoom fast", write::hset)
        .acl("hash")
        .keys(&[key_at(1, "RW UPDATE")])
        .doc("2.0.0", "Sets fields of a hash.", "O(N) for N fields")
        .history(&[("4.0.0", "Several fields.")])
        .args(KEY_PAIRS),
    command("hmset", Hash, -4, "write denyoom fast", write::hmset)
        .acl("hash")
        .keys(&[key_at(1, "RW UPDATE")])
        .doc("2.0.0", "Sets fields of a hash.", "O(N) for N fields")
        .deprecated("4.0.0", "`HSET` with multiple field-value pairs")
        .args(KEY_PAIRS),
    command("hsetnx", Hash, 4, "write denyoom fast", write::hsetnx)
        .acl("hash")
        .keys(&[key_at(1, "RW INSERT")])
        .doc("2.0.0", "Sets a field that does not exist.", "O(1)")
        .args(KEY_FIELD_VALUE),
    command("hget", Hash, 3, "readonly fast", read::hget)
        .acl("hash")
        .keys(&[key_at(1, "RO ACCESS")])
        .doc("2.0.0", "The value of a field.", "O(1)")
        .args(KEY_FIELD),
    command("hmget", Hash, -3, "readonly fast", read::hmget)
        .acl("hash")
        .keys(&[key_at(1, "RO ACCESS")])
        .doc("2.0.0", "The values of several fields.", "O(N) for N fields")
        .args(KEY_FIELDS),
    command("hgetall", Hash, 2, "readonly", read::hgetall)
        .acl("hash")
        .quick()
        .keys(&[key_at(1, "RO ACCESS")])
        .doc("2.0.0", "All fields of a hash with their values.", "O(N) for N fields")
        .tips(ANY_ORDER)
        .args(KEY),
    command("hkeys", Hash, 2, "readonly", read::hkeys)
        .acl("hash")
        .quick()
        .keys(&[key_at(1, "RO ACCESS")])
        .doc("2.0.0", "All fields of a hash.", "O(N) for N fields")
        .tips(ANY_ORDER)
        .args(KEY),
    command("hvals", Hash, 2, "readonly", read::hvals)
        .acl("hash")
        .quick()
        .keys(&[key_at(1, "RO ACCESS")])
        .doc("2.0.0", "The values of all fields of a hash.", "O(N) for N fields")
        .tips(ANY_ORDER)
        .args(KEY),
    command("hlen", Hash, 2, "readonly fast", read::hlen)
        .acl("hash")
        .keys(&[key_at(1, "RO")])
        .doc("2.0.0", "How many fields a hash has.", "O(1)")
        .args(KEY),
    command("hstrlen", Hash, 3, "readonly fast", read::hstrlen)
        .acl("hash")
        .keys(&[key_at(1, "RO")])
        .doc("3.2.0", "How many bytes the value of a field has.", "O(1)")
        .args(KEY_FIELD),
    command("hexists", Hash, 3, "readonly fast", read::hexists)
        .acl("hash")
        .keys(&[key_at(1, "RO")])
        .doc("2.0.0", "Whether a hash has a field.", "O(1)")
        .args(KEY_FIELD),
    command("hdel", Hash, -3, "write fast", write::hdel)
        .acl("hash")
        .keys(&[key_at(1, "RW DELETE")])
        .doc("2.0.0", "Deletes fields of a hash.", "O(N) for N fields")
        .history(&[("2.4.0", "Several fields.")])
        .args(KEY_FIELDS),
    command("hincrby", Hash, 4, "write denyoom fast", number::hincrby)
        .acl("hash")
        .keys(&[key_at(1, "RW ACCESS UPDATE")])
        .doc("2.0.0", "Adds to the integer in a field.", "O(1)")
        .args(&[arg::key("key"), arg::string("field"), arg::integer("increment")]),
    command("hincrbyfloat", Hash, 4, "write denyoom fast", number::hincrbyfloat)
        .acl("hash")
        .keys(&[key_at(1, "RW ACCESS UPDATE")])
        .doc("2.6.0", "Adds to the number in a field, fractions allowed.", "O(1)")
        .args(&[arg::key("key"), arg::string("field"), arg::double("increment")]),
    command("hrandfield", Hash, -2, "readonly", random::hrandfield)
        .acl("hash")
        .keys(&[key_at(1, "RO ACCESS")])
        .doc("6.2.0", "One or several fields of a hash by chance.", "O(N) for N fields replied")
        .tips(ANY_OUTPUT)
        .args(&[
            arg::key("key"),
            arg::block(
                "options",
                &[arg::integer("count"), arg::token("withvalues", "WITHVALUES").optional()],
            )
            .optional(),
        ]),
    command("hscan", Hash, -3, "readonly", scan::hscan)
        .acl("hash")
        .keys(&[key_at(1, "RO ACCESS")])
        .doc(
            "2.8.0",
            "Walks over the fields of a hash, a few at a time.",
            "O(1) a call, O(N) for N fields",
        )
        .tips(ANY_OUTPUT)
        .args(&[
            arg::key("key"),
            arg::integer("cursor"),
            arg::pattern("pattern").token("MATCH").optional(),
            arg::integer("count").token("COUNT").optional(),
        ]),
];

#[cfg(test)]
mod tests;
