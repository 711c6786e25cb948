//! DUMP and RESTORE: a value as bytes that another server understands.

use smallvec::SmallVec;
use tandem_base::UnixMs;
use tandem_resp::Args;
use tandem_store::rdb::dump::{self, Restored};
use tandem_store::rdb::parse::StringValue;
use tandem_store::{Expiry, NewString};

use super::facts::{arg, command, key_at};
use super::words::{integer, is_word};
use crate::client::ClientFlags;
use crate::config::SanitizeDump;
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::notify::Events;
use crate::spec::{Group::Generic, Spec};

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[
    command("dump", Generic, 2, "readonly", dump_key)
        .acl("keyspace")
        .keys(&[key_at(1, "RO ACCESS")])
        .doc("2.6.0", "A value as bytes, for RESTORE.", "O(N) for N bytes or elements")
        .tips(&["nondeterministic_output"])
        .args(&[arg::key("key")]),
    command("restore", Generic, -4, "write denyoom", restore)
        .acl("keyspace dangerous")
        .keys(&[key_at(1, "OW UPDATE")])
        .doc("2.6.0", "Makes a key from what DUMP gave.", "O(N) for N bytes or elements")
        .history(&[
            ("3.0.0", "`REPLACE`."),
            ("5.0.0", "`ABSTTL`."),
            ("5.0.0", "`IDLETIME`, `FREQ`."),
        ])
        .args(&[
            arg::key("key"),
            arg::integer("ttl"),
            arg::string("serialized-value"),
            arg::token("replace", "REPLACE").optional().since("3.0.0"),
            arg::token("absttl", "ABSTTL").optional().since("5.0.0"),
            arg::integer("seconds").token("IDLETIME").optional().since("5.0.0"),
            arg::integer("frequency").token("FREQ").optional().since("5.0.0"),
        ]),
];

/// `DUMP key`
fn dump_key(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let compress = cx.node.config().rdbcompression();
    match cx.db.find(args.get(1)) {
        Some(entry) => cx.out.bulk(&dump::dump(entry.value(), compress)),
        None => cx.out.null(),
    }
    Ok(())
}

/// The options of RESTORE.
#[derive(Default)]
struct Options {
    replace: bool,
    /// The time is a moment, not a duration.
    absolute: bool,
    idle_seconds: Option<i64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options, ErrorReply> {
        let mut options = Options::default();
        let mut at = 4;
        while at < args.len() {
            let word = args.get(at);
            let more = at + 1 < args.len();
            if is_word(word, "replace") {
                options.replace = true;
            } else if is_word(word, "absttl") {
                options.absolute = true;
            } else if is_word(word, "idletime") && more && options.frequency.is_none() {
                at += 1;
                let error = "ERR Invalid IDLETIME value, must be >= 0";
                options.idle_seconds = Some(within(args.get(at), 0..=i64::MAX, error)?);
            } else if is_word(word, "freq") && more && options.idle_seconds.is_none() {
                at += 1;
                let error = "ERR Invalid FREQ value, must be >= 0 and <= 255";
                let frequency = within(args.get(at), 0..=255, error)?;
                options.frequency = Some(u8::try_from(frequency).expect("just checked"));
            } else {
                return Err(ErrorReply::Syntax);
            }
            at += 1;
        }
        Ok(options)
    }
}

fn within(
    text: &[u8],
    range: std::ops::RangeInclusive<i64>,
    error: &'static str,
) -> Result<i64, ErrorReply> {
    let value = integer(text)?;
    if range.contains(&value) { Ok(value) } else { Err(ErrorReply::text(error)) }
}

/// `RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]`
fn restore(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let options = Options::parse(args)?;
    let key = args.get(1);
    if !options.replace && cx.db.find_for_write(key).is_some() {
        return Err(ErrorReply::text("BUSYKEY Target key name already exists."));
    }
    let ttl = within(args.get(2), 0..=i64::MAX, "ERR Invalid TTL value, must be >= 0")?;
    let value = value_of(cx, args.get(3))?;
    if dump::is_one_piece(args.get(3)) {
        note_sanitized(cx);
    }
    let base = if options.absolute { 0 } else { cx.now().unix.0 };
    // Redis lets the sum wrap: a duration beyond all time ends before 1970.
    let at = (ttl != 0).then(|| UnixMs(ttl.wrapping_add(base)));
    if at.is_some_and(|at| cx.db.is_past(at)) {
        if options.replace && cx.db.delete(key, false) {
            cx.db.notify(Events::GENERIC, "del", key);
            cx.changed(1);
            cx.send_instead(&[b"DEL", key]);
        }
        cx.out.ok();
        return Ok(());
    }
    let expiry = at.map_or(Expiry::Clear, Expiry::At);
    if options.replace && cx.node.wants_events(Events::NEW) && cx.db.exists(key) {
        // Redis deletes what was there first; for a key that was not, the event comes by itself.
        cx.db.notify(Events::NEW, "new", key);
    }
    let string = match value {
        Restored::String(StringValue::Int(number)) => Some(NewString::Int(number)),
        Restored::String(StringValue::Bytes(bytes)) => Some(NewString::Bytes(bytes)),
        Restored::String(StringValue::Owned(bytes)) => Some(NewString::Owned(bytes)),
        Restored::Hash(hash) => {
            cx.db.put_hash(key, hash, expiry);
            None
        }
    };
    if let Some(string) = string {
        cx.db.set_string(key, string, expiry);
    }
    cx.db.notify(Events::GENERIC, "restore", key);
    set_use(cx, key, &options);
    cx.changed(1);
    if let Some(at) = at.filter(|_| !options.absolute) {
        tell_absolute(cx, args, at);
    }
    cx.out.ok();
    Ok(())
}

/// A value in one piece has been looked into. It always is; what `sanitize-dump-payload` asks for
/// is counted.
fn note_sanitized(cx: &mut Cx<'_>) {
    let asked_for = match cx.node.config().sanitize_dump_payload() {
        SanitizeDump::No => false,
        SanitizeDump::Yes => true,
        SanitizeDump::Clients => {
            let from_master = cx.client.info.flags().contains(ClientFlags::MASTER);
            !from_master && !cx.client.login.skips_sanitizing()
        }
    };
    cx.db.counters.dump_payload_sanitizations += u64::from(asked_for);
}

/// What the payload holds.
fn value_of<'a>(cx: &Cx<'_>, payload: &'a [u8]) -> Result<Restored<'a>, ErrorReply> {
    let node = cx.node;
    let new_hash = |len| node.keyspace.new_hash(len, node.hash_limits());
    dump::restore(payload, true, new_hash)
        .map_err(|error| ErrorReply::owned(format!("ERR {error}")))
}

/// Sets the access clock, if the option speaks of what the eviction policy measures.
fn set_use(cx: &mut Cx<'_>, key: &[u8], options: &Options) {
    let clock = cx.node.keyspace.access_clock();
    // It wraps, so that only the low bits count.
    let idle = options.idle_seconds.and_then(|idle| clock.stamp_of_idle(idle.cast_unsigned()));
    let stamp = options.frequency.and_then(|n| clock.stamp_of_frequency(n)).or(idle);
    if let Some(stamp) = stamp
        && let Some(entry) = cx.db.peek(key)
    {
        entry.touch(stamp);
    }
}

/// The command as it came, with the moment for the duration.
fn tell_absolute(cx: &mut Cx<'_>, args: Args<'_>, at: UnixMs) {
    let mut digits = itoa::Buffer::new();
    let mut words: SmallVec<[&[u8]; 8]> = args.iter().collect();
    words[2] = digits.format(at.0).as_bytes();
    words.push(b"ABSTTL");
    cx.send_instead(&words);
}

#[cfg(test)]
mod tests;
