//! When keys expire: EXPIRE and its kin, TTL and its kin, PERSIST.
//!
//! However the time was given, replicas are told `PEXPIREAT key ms`, and `DEL key` (or `UNLINK`)
//! when it had passed already.

use smallvec::SmallVec;
use tandem_base::UnixMs;
use tandem_resp::Args;

use super::facts::{arg, command, key_at};
use super::words::{integer, is_word};
use crate::cx::Cx;
use crate::db::deletion;
use crate::error::{ErrorReply, Outcome};
use crate::notify::Events;
use crate::spec::{ArgDoc, Group::Generic, Spec};

const KEY: &[ArgDoc] = &[arg::key("key")];
const CONDITION: ArgDoc = arg::one_of(
    "condition",
    &[
        arg::token("nx", "NX"),
        arg::token("xx", "XX"),
        arg::token("gt", "GT"),
        arg::token("lt", "LT"),
    ],
)
.optional()
.since("7.0.0");
const CONDITIONS_CAME: &[(&str, &str)] = &[("7.0.0", "`NX`, `XX`, `GT`, `LT`.")];
const MINUS_TWO_CAME: &[(&str, &str)] = &[("2.8.0", "-2 for a key that does not exist.")];

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[
    command("expire", Generic, -3, "write fast", expire)
        .acl("keyspace")
        .keys(&[key_at(1, "RW UPDATE")])
        .doc("1.0.0", "Sets when a key expires, in seconds from now.", "O(1)")
        .history(CONDITIONS_CAME)
        .args(&[arg::key("key"), arg::integer("seconds"), CONDITION]),
    command("pexpire", Generic, -3, "write fast", pexpire)
        .acl("keyspace")
        .keys(&[key_at(1, "RW UPDATE")])
        .doc("2.6.0", "Sets when a key expires, in milliseconds from now.", "O(1)")
        .history(CONDITIONS_CAME)
        .args(&[arg::key("key"), arg::integer("milliseconds"), CONDITION]),
    command("expireat", Generic, -3, "write fast", expireat)
        .acl("keyspace")
        .keys(&[key_at(1, "RW UPDATE")])
        .doc("1.2.0", "Sets when a key expires, in seconds since 1970.", "O(1)")
        .history(CONDITIONS_CAME)
        .args(&[arg::key("key"), arg::unix_time("unix-time-seconds"), CONDITION]),
    command("pexpireat", Generic, -3, "write fast", pexpireat)
        .acl("keyspace")
        .keys(&[key_at(1, "RW UPDATE")])
        .doc("2.6.0", "Sets when a key expires, in milliseconds since 1970.", "O(1)")
        .history(CONDITIONS_CAME)
        .args(&[arg::key("key"), arg::unix_time("unix-time-milliseconds"), CONDITION]),
    command("persist", Generic, 2, "write fast", persist)
        .acl("keyspace")
        .keys(&[key_at(1, "RW UPDATE")])
        .doc("2.2.0", "Takes the expiry off a key.", "O(1)")
        .args(KEY),
    command("ttl", Generic, 2, "readonly fast", ttl)
        .acl("keyspace")
        .keys(&[key_at(1, "RO ACCESS")])
        .doc("1.0.0", "Seconds that a key has left.", "O(1)")
        .history(MINUS_TWO_CAME)
        .tips(&["nondeterministic_output"])
        .args(KEY),
    command("pttl", Generic, 2, "readonly fast", pttl)
        .acl("keyspace")
        .keys(&[key_at(1, "RO ACCESS")])
        .doc("2.6.0", "Milliseconds that a key has left.", "O(1)")
        .history(MINUS_TWO_CAME)
        .tips(&["nondeterministic_output"])
        .args(KEY),
    command("expiretime", Generic, 2, "readonly fast", expiretime)
        .acl("keyspace")
        .keys(&[key_at(1, "RO ACCESS")])
        .doc("7.0.0", "When a key expires, in seconds since 1970.", "O(1)")
        .args(KEY),
    command("pexpiretime", Generic, 2, "readonly fast", pexpiretime)
        .acl("keyspace")
        .keys(&[key_at(1, "RO ACCESS")])
        .doc("7.0.0", "When a key expires, in milliseconds since 1970.", "O(1)")
        .args(KEY),
];

/// `EXPIRE key seconds [NX | XX | GT | LT]`
fn expire(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let now = cx.now().unix;
    set_expiry(cx, args, Given { ms_per_unit: 1000, base: now, command: "expire" })
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
fn pexpire(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let now = cx.now().unix;
    set_expiry(cx, args, Given { ms_per_unit: 1, base: now, command: "pexpire" })
}

/// `EXPIREAT key unix-time-seconds [NX | XX | GT | LT]`
fn expireat(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    set_expiry(cx, args, Given { ms_per_unit: 1000, base: UnixMs(0), command: "expireat" })
}

/// `PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]`
fn pexpireat(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    set_expiry(cx, args, Given { ms_per_unit: 1, base: UnixMs(0), command: "pexpireat" })
}

/// How a command gives its time.
#[derive(Clone, Copy)]
struct Given {
    ms_per_unit: i64,
    /// What the time counts from.
    base: UnixMs,
    /// The command's name, for the error.
    command: &'static str,
}

impl Given {
    fn moment(self, text: &[u8]) -> Result<UnixMs, ErrorReply> {
        // A negative time is allowed: it deletes the key. The sum can only overflow upwards, as
        // no base is negative.
        integer(text)?
            .checked_mul(self.ms_per_unit)
            .and_then(|ms| ms.checked_add(self.base.0))
            .map(UnixMs)
            .ok_or(ErrorReply::InvalidExpire(self.command))
    }

    /// Whether the command's own words say just what replicas are told.
    fn is_as_told(self) -> bool {
        self.command == "pexpireat"
    }
}

/// When a new expiry is taken.
#[derive(Clone, Copy, Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    fn parse(args: Args<'_>) -> Result<Conditions, ErrorReply> {
        let mut conditions = Conditions::default();
        for word in args.from(3) {
            let flags = [
                ("nx", &mut conditions.nx),
                ("xx", &mut conditions.xx),
                ("gt", &mut conditions.gt),
                ("lt", &mut conditions.lt),
            ];
            match flags.into_iter().find(|(name, _)| is_word(word, name)) {
                Some((_, flag)) => *flag = true,
                None => return Err(ErrorReply::quoting("ERR Unsupported option ", word, "")),
            }
        }
        let Conditions { nx, xx, gt, lt } = conditions;
        if nx && (xx || gt || lt) {
            return Err(ErrorReply::text(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if gt && lt {
            return Err(ErrorReply::text(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(conditions)
    }

    /// Whether `new` may take the place of `old`. No expiry is later than any.
    fn allow(self, old: Option<UnixMs>, new: UnixMs) -> bool {
        match old {
            None => !self.xx && !self.gt,
            Some(old) => !(self.nx || (self.gt && new <= old) || (self.lt && new >= old)),
        }
    }
}

/// 1 if the expiry was set (or the key deleted because it had passed), 0 if not.
fn set_expiry(cx: &mut Cx<'_>, args: Args<'_>, given: Given) -> Outcome {
    let conditions = Conditions::parse(args)?;
    let at = given.moment(args.get(2))?;
    let key = args.get(1);
    let found = cx.db.find_for_write(key);
    if !found.is_some_and(|entry| conditions.allow(entry.expiry(), at)) {
        cx.out.int(0);
        return Ok(());
    }
    cx.changed(1);
    if cx.db.is_past(at) {
        let lazily = cx.node.config().lazyfree_lazy_expire();
        assert!(cx.db.delete(key, lazily), "it was just found");
        cx.db.notify(Events::GENERIC, "del", key);
        cx.send_instead(&[deletion(lazily), key]);
    } else {
        cx.db.set_expiry(key, Some(at));
        cx.db.notify(Events::GENERIC, "expire", key);
        if !given.is_as_told() {
            let mut digits = itoa::Buffer::new();
            let mut words: SmallVec<[&[u8]; 4]> = SmallVec::new();
            words.extend([&b"PEXPIREAT"[..], key, digits.format(at.0).as_bytes()]);
            words.extend(args.from(3));
            cx.send_instead(&words);
        }
    }
    cx.out.int(1);
    Ok(())
}

/// `PERSIST key`: 1 if it had an expiry.
fn persist(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let key = args.get(1);
    let had_one = cx.db.find_for_write(key).is_some() && cx.db.persist(key);
    if had_one {
        cx.db.notify(Events::GENERIC, "persist", key);
    }
    cx.changed(had_one.into());
    cx.out.int(had_one.into());
    Ok(())
}

/// `TTL key`
fn ttl(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let now = cx.now().unix;
    reply_time(cx, args, |at| to_seconds(left(at, now)))
}

/// `PTTL key`
fn pttl(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let now = cx.now().unix;
    reply_time(cx, args, |at| left(at, now))
}

/// `EXPIRETIME key`
fn expiretime(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    reply_time(cx, args, |at| to_seconds(at.0.max(0)))
}

/// `PEXPIRETIME key`
fn pexpiretime(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    reply_time(cx, args, |at| at.0.max(0))
}

fn left(at: UnixMs, now: UnixMs) -> i64 {
    at.0.saturating_sub(now.0).max(0)
}

/// To the nearest second.
fn to_seconds(ms: i64) -> i64 {
    ms.saturating_add(500) / 1000
}

/// -2 without the key, -1 without an expiry.
fn reply_time(cx: &mut Cx<'_>, args: Args<'_>, shown: impl FnOnce(UnixMs) -> i64) -> Outcome {
    let reply = match cx.db.examine(args.get(1)).map(|entry| entry.expiry()) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => shown(at),
    };
    cx.out.int(reply);
    Ok(())
}

#[cfg(test)]
mod tests;
