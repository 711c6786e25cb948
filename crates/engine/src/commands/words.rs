//! How commands read their arguments: numbers, database numbers and option words, each with the
//! error that Redis gives.

use tandem_base::{DbIndex, num};
use tandem_resp::{Args, Bulks, OutBuf};
use tandem_store::{NewString, StringRef, Texts};

use crate::error::ErrorReply;
use crate::node::Node;

/// A reply shares the allocation of a value this long; a shorter one costs less to copy than to
/// send in a piece of its own.
const SHARED_REPLY_BYTES_MIN: usize = 16 << 10;

/// A 64-bit integer.
pub(crate) fn integer(text: &[u8]) -> Result<i64, ErrorReply> {
    num::parse_i64(text).ok_or(ErrorReply::NotInteger)
}

/// A 32-bit integer, as database numbers are read.
pub(crate) fn small_integer(text: &[u8]) -> Result<i32, ErrorReply> {
    i32::try_from(integer(text)?).map_err(|_| {
        ErrorReply::text("ERR value is out of range, value must between -2147483648 and 2147483647")
    })
}

/// The number of a database that exists.
pub(crate) fn db_index(node: &Node, text: &[u8]) -> Result<DbIndex, ErrorReply> {
    existing_db(node, small_integer(text)?)
}

/// Number `index` as that of a database that exists.
pub(crate) fn existing_db(node: &Node, index: i32) -> Result<DbIndex, ErrorReply> {
    u16::try_from(index)
        .ok()
        .filter(|&index| index < node.keyspace.databases())
        .map(DbIndex)
        .ok_or(ErrorReply::DbOutOfRange)
}

/// Whether `arg` is the option `word`, in any case.
#[inline]
pub(crate) fn is_word(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// Argument `index` as a value: a large one is kept as it came, without a copy.
#[inline]
pub(crate) fn new_string(args: Args<'_>, index: usize) -> NewString<'_> {
    match args.shared(index) {
        Some(large) => NewString::Shared(large),
        None => NewString::Bytes(args.get(index)),
    }
}

/// Replies a string value, straight from where it stands.
#[inline]
pub(crate) fn reply_string(out: &mut OutBuf, value: StringRef<'_>) {
    match value {
        StringRef::Int(number) => out.bulk_int(number),
        StringRef::Inline(bytes) => out.bulk(bytes),
        StringRef::Large(bytes) if bytes.len() >= SHARED_REPLY_BYTES_MIN => {
            out.bulk_shared(bytes.clone());
        }
        StringRef::Large(bytes) => out.bulk(bytes),
    }
}

/// Texts of a collection as bulk strings.
pub(crate) struct AsBulks<'a, 'o>(pub(crate) &'a mut Bulks<'o>);

impl<'t> Texts<'t> for AsBulks<'_, '_> {
    #[inline(always)]
    fn near(&mut self, text: &'t [u8]) {
        self.0.bulk(text);
    }

    #[inline(never)]
    fn other(&mut self, text: StringRef<'t>) {
        push_string(self.0, text);
    }
}

/// The same as one of many.
#[inline]
pub(crate) fn push_string(bulks: &mut Bulks<'_>, value: StringRef<'_>) {
    match value {
        StringRef::Int(number) => bulks.bulk_int(number),
        StringRef::Inline(bytes) => bulks.bulk(bytes),
        StringRef::Large(bytes) if bytes.len() >= SHARED_REPLY_BYTES_MIN => {
            bulks.bulk_shared(bytes.clone());
        }
        StringRef::Large(bytes) => bulks.bulk(bytes),
    }
}

/// The error for a source and a destination that are one.
pub(crate) const SAME_OBJECT: ErrorReply =
    ErrorReply::text("ERR source and destination objects are the same");
