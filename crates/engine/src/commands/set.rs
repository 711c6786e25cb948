//! SET and its kin: values, and the expiry that comes with them.
//!
//! Replicas are never told a time relative to now: whatever way an expiry was given, they get
//! `SET key value PXAT ms` or `PEXPIREAT key ms`.

use smallvec::SmallVec;
use tandem_base::UnixMs;
use tandem_resp::Args;
use tandem_store::{Expiry, NewString};

use super::words::{integer, is_word, new_string, reply_string};
use crate::cx::Cx;
use crate::db::deletion;
use crate::error::{ErrorReply, Outcome};
use crate::notify::Events;

/// A unit of time, and what it counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// `EX`
    SecondsFromNow,
    /// `PX`
    MsFromNow,
    /// `EXAT`
    SecondsSince1970,
    /// `PXAT`
    MsSince1970,
}

impl Unit {
    fn parse(word: &[u8]) -> Option<Unit> {
        let units = [
            ("ex", Unit::SecondsFromNow),
            ("px", Unit::MsFromNow),
            ("exat", Unit::SecondsSince1970),
            ("pxat", Unit::MsSince1970),
        ];
        units.into_iter().find(|(name, _)| is_word(word, name)).map(|(_, unit)| unit)
    }

    fn is_absolute(self) -> bool {
        matches!(self, Unit::SecondsSince1970 | Unit::MsSince1970)
    }

    /// The moment that `text` means; `command` is named in the error for one that cannot be.
    fn moment(self, text: &[u8], now: UnixMs, command: &'static str) -> Result<UnixMs, ErrorReply> {
        let value = integer(text)?;
        let ms = match self {
            Unit::SecondsFromNow | Unit::SecondsSince1970 => value.checked_mul(1000),
            Unit::MsFromNow | Unit::MsSince1970 => Some(value),
        };
        let base = if self.is_absolute() { 0 } else { now.0 };
        ms.filter(|_| value > 0)
            .and_then(|ms| ms.checked_add(base))
            .map(UnixMs)
            .ok_or(ErrorReply::InvalidExpire(command))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// `NX`
    IfMissing,
    /// `XX`
    IfThere,
}

/// What becomes of the expiry, as the options say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ttl<'a> {
    Default,
    /// `KEEPTTL`
    Keep,
    /// `PERSIST`
    Persist,
    In(Unit, &'a [u8]),
}

/// The options of SET.
struct SetOptions<'a> {
    condition: Option<Condition>,
    get: bool,
    ttl: Ttl<'a>,
}

impl<'a> SetOptions<'a> {
    fn parse(args: Args<'a>) -> Result<SetOptions<'a>, ErrorReply> {
        let mut options = SetOptions { condition: None, get: false, ttl: Ttl::Default };
        let mut at = 3;
        while at < args.len() {
            let word = args.get(at);
            if is_word(word, "nx") && options.condition != Some(Condition::IfThere) {
                options.condition = Some(Condition::IfMissing);
            } else if is_word(word, "xx") && options.condition != Some(Condition::IfMissing) {
                options.condition = Some(Condition::IfThere);
            } else if is_word(word, "get") {
                options.get = true;
            } else if is_word(word, "keepttl") && matches!(options.ttl, Ttl::Default | Ttl::Keep) {
                options.ttl = Ttl::Keep;
            } else {
                options.ttl = timed(args, at, options.ttl)?;
                at += 1;
            }
            at += 1;
        }
        Ok(options)
    }
}

/// The option at `at` as a unit followed by a time. The same unit may come again, and the last
/// one counts; any other makes no sense.
fn timed<'a>(args: Args<'a>, at: usize, so_far: Ttl<'a>) -> Result<Ttl<'a>, ErrorReply> {
    let unit = Unit::parse(args.get(at)).ok_or(ErrorReply::Syntax)?;
    let fits = match so_far {
        Ttl::Default => true,
        Ttl::In(other, _) => other == unit,
        Ttl::Keep | Ttl::Persist => false,
    };
    if !fits || at + 1 == args.len() {
        return Err(ErrorReply::Syntax);
    }
    Ok(Ttl::In(unit, args.get(at + 1)))
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`.
pub(super) fn set(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    if args.len() == 3 {
        cx.db.note_overwrite(args.get(1));
        cx.db.set_string(args.get(1), new_string(args, 2), Expiry::Clear);
        cx.db.notify(Events::STRING, "set", args.get(1));
        cx.changed(1);
        cx.out.ok();
        return Ok(());
    }
    set_with_options(cx, args)
}

fn set_with_options(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let SetOptions { condition, get, ttl } = SetOptions::parse(args)?;
    let key = args.get(1);
    let expiry = match ttl {
        Ttl::In(unit, time) => Expiry::At(unit.moment(time, cx.now().unix, "set")?),
        Ttl::Keep => Expiry::Keep,
        Ttl::Default | Ttl::Persist => Expiry::Clear,
    };
    if get {
        reply_old(cx, key)?;
    }
    if !holds(cx, condition, key) {
        if !get {
            cx.out.null();
        }
        return Ok(());
    }
    if condition.is_none() && !get {
        cx.db.note_overwrite(key);
    }
    cx.db.set_string(key, new_string(args, 2), expiry);
    cx.db.notify(Events::STRING, "set", key);
    cx.changed(1);
    if let Expiry::At(at) = expiry {
        cx.db.notify(Events::GENERIC, "expire", key);
        tell_with_expiry(cx, key, args.get(2), at);
    } else if get {
        tell_without_get(cx, args);
    }
    if !get {
        cx.out.ok();
    }
    Ok(())
}

fn holds(cx: &mut Cx<'_>, condition: Option<Condition>, key: &[u8]) -> bool {
    match condition {
        None => true,
        Some(Condition::IfMissing) => cx.db.find_for_write(key).is_none(),
        Some(Condition::IfThere) => cx.db.find_for_write(key).is_some(),
    }
}

/// Replies what `key` holds; an error if that is no string.
fn reply_old(cx: &mut Cx<'_>, key: &[u8]) -> Outcome {
    match cx.db.string(key)? {
        Some(value) => reply_string(cx.out, value),
        None => cx.out.null(),
    }
    Ok(())
}

fn tell_with_expiry(cx: &mut Cx<'_>, key: &[u8], value: &[u8], at: UnixMs) {
    let mut digits = itoa::Buffer::new();
    let ms = digits.format(at.0).as_bytes();
    cx.send_instead(&[b"SET", key, value, b"PXAT", ms]);
}

/// A replica has nobody to reply to.
fn tell_without_get(cx: &mut Cx<'_>, args: Args<'_>) {
    let is_get = |(at, word): &(usize, &[u8])| *at >= 3 && is_word(word, "get");
    let words: SmallVec<[&[u8]; 8]> =
        args.iter().enumerate().filter(|word| !is_get(word)).map(|(_, word)| word).collect();
    cx.send_instead(&words);
}

/// `SETNX key value`: 1 if the key was set, 0 if it was there.
pub(super) fn setnx(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let key = args.get(1);
    if cx.db.find_for_write(key).is_some() {
        cx.out.int(0);
        return Ok(());
    }
    cx.db.set_string(key, new_string(args, 2), Expiry::Clear);
    cx.db.notify(Events::STRING, "set", key);
    cx.changed(1);
    cx.out.int(1);
    Ok(())
}

/// `SETEX key seconds value`.
pub(super) fn setex(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    set_for(cx, args, Unit::SecondsFromNow, "setex")
}

/// `PSETEX key milliseconds value`.
pub(super) fn psetex(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    set_for(cx, args, Unit::MsFromNow, "psetex")
}

fn set_for(cx: &mut Cx<'_>, args: Args<'_>, unit: Unit, command: &'static str) -> Outcome {
    let at = unit.moment(args.get(2), cx.now().unix, command)?;
    let key = args.get(1);
    cx.db.note_overwrite(key);
    cx.db.set_string(key, new_string(args, 3), Expiry::At(at));
    cx.db.notify(Events::STRING, "set", key);
    cx.db.notify(Events::GENERIC, "expire", key);
    cx.changed(1);
    tell_with_expiry(cx, key, args.get(3), at);
    cx.out.ok();
    Ok(())
}

/// `GETSET key value`: what the key held.
pub(super) fn getset(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let key = args.get(1);
    reply_old(cx, key)?;
    cx.db.set_string(key, new_string(args, 2), Expiry::Clear);
    cx.db.notify(Events::STRING, "set", key);
    cx.changed(1);
    cx.send_instead(&[b"SET", key, args.get(2)]);
    Ok(())
}

/// `GETDEL key`: what the key held.
pub(super) fn getdel(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let key = args.get(1);
    reply_old(cx, key)?;
    let lazily = cx.node.config().lazyfree_lazy_user_del();
    if cx.db.delete(key, lazily) {
        cx.db.notify(Events::GENERIC, "del", key);
        cx.changed(1);
        cx.send_instead(&[deletion(lazily), key]);
    }
    Ok(())
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`.
pub(super) fn getex(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let ttl = parse_getex(args)?;
    let key = args.get(1);
    let now = cx.now().unix;
    let Some(value) = cx.db.string(key)? else {
        cx.out.null();
        return Ok(());
    };
    let moment = match ttl {
        Ttl::In(unit, time) => Some((unit, unit.moment(time, now, "getex")?)),
        _ => None,
    };
    reply_string(cx.out, value);
    match moment {
        // Only an absolute time can have passed.
        Some((unit, at)) if unit.is_absolute() && cx.db.is_past(at) => {
            let lazily = cx.node.config().lazyfree_lazy_expire();
            assert!(cx.db.delete(key, lazily), "it was just read");
            cx.db.notify(Events::GENERIC, "del", key);
            cx.send_instead(&[deletion(lazily), key]);
        }
        Some((_, at)) => {
            cx.db.set_expiry(key, Some(at));
            cx.db.notify(Events::GENERIC, "expire", key);
            let mut digits = itoa::Buffer::new();
            cx.send_instead(&[b"PEXPIREAT", key, digits.format(at.0).as_bytes()]);
        }
        None => {
            if ttl != Ttl::Persist || !cx.db.persist(key) {
                return Ok(());
            }
            cx.db.notify(Events::GENERIC, "persist", key);
            cx.send_instead(&[b"PERSIST", key]);
        }
    }
    cx.changed(1);
    Ok(())
}

fn parse_getex(args: Args<'_>) -> Result<Ttl<'_>, ErrorReply> {
    let mut ttl = Ttl::Default;
    let mut at = 2;
    while at < args.len() {
        let may_persist = matches!(ttl, Ttl::Default | Ttl::Persist);
        if is_word(args.get(at), "persist") && may_persist {
            ttl = Ttl::Persist;
            at += 1;
        } else {
            ttl = timed(args, at, ttl)?;
            at += 2;
        }
    }
    Ok(ttl)
}

/// `MSET key value …`.
pub(super) fn mset(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    check_pairs(args, "mset")?;
    set_pairs(cx, args);
    cx.out.ok();
    Ok(())
}

/// `MSETNX key value …`: 1 if all keys were set, 0 if one was there and none was set.
pub(super) fn msetnx(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    check_pairs(args, "msetnx")?;
    for key in args.from(1).step_by(2) {
        if cx.db.find_for_write(key).is_some() {
            cx.out.int(0);
            return Ok(());
        }
    }
    set_pairs(cx, args);
    cx.out.int(1);
    Ok(())
}

fn check_pairs(args: Args<'_>, command: &'static str) -> Outcome {
    if args.len().is_multiple_of(2) { Err(ErrorReply::WrongArity(command)) } else { Ok(()) }
}

fn set_pairs(cx: &mut Cx<'_>, args: Args<'_>) {
    for at in (1..args.len()).step_by(2) {
        let value: NewString<'_> = new_string(args, at + 1);
        cx.db.note_overwrite(args.get(at));
        cx.db.set_string(args.get(at), value, Expiry::Clear);
        cx.db.notify(Events::STRING, "set", args.get(at));
    }
    cx.changed((args.len() as u64 - 1) / 2);
}
