//! DEBUG: for tests and for looking inside. Switched on by `enable-debug-command`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tandem_base::num;
use tandem_resp::Args;
use tandem_store::{Expiry, NewString};

use super::docs::help;
use super::facts::{arg, command, container};
use super::{debug_levers as levers, debug_protocol as protocol, wrong_form};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::node::{Level, Refusals};
use crate::spec::{ArgDoc, Group, Plan, Spec};

/// The commands of this module.
pub(super) const SPECS: &[Spec] =
    &[container("debug", Group::Server, "admin noscript loading stale protected", SUBCOMMANDS)
        .plan(Plan::Exclusive)
        .acl("admin dangerous")
        .doc(
            "1.0.0",
            "Looks inside the server, or disturbs it for a test.",
            "Depends on the subcommand",
        )
        .internal()];

const FLAGS: &str = "admin noscript loading stale protected";

const SWITCH: &[ArgDoc] = &[arg::token("off", "0"), arg::token("on", "1")];
const KEY: &[ArgDoc] = &[arg::string("key")];

const SUBCOMMANDS: &[Spec] = &[
    debug("debug|assert", 2, levers::assert, "Ends the process as a failed assertion does."),
    debug("debug|change-repl-id", 2, levers::change_repl_id, "Begins a new replication history."),
    debug(
        "debug|config-rewrite-force-all",
        2,
        levers::config_rewrite_force_all,
        "CONFIG REWRITE that writes every directive, even at its default.",
    ),
    debug("debug|digest", 2, digest_all, "A signature of the whole dataset."),
    debug("debug|digest-value", -2, digest_values, "Signatures of the values of keys.")
        .args(&[arg::string("key").multiple()]),
    debug("debug|error", 3, protocol::error, "Replies this error.").args(&[arg::string("text")]),
    debug("debug|help", 2, help, "Lists the subcommands."),
    debug("debug|htstats", 3, levers::htstats, "How many keys the tables of a database hold.")
        .args(&[arg::integer("db")]),
    debug("debug|htstats-key", 3, levers::htstats_key, "The same of a key's value.").args(KEY),
    debug("debug|log", 3, log, "Writes a line to the log.").args(&[arg::string("message")]),
    debug("debug|object", 3, object, "How a key's value is kept.").args(KEY),
    debug("debug|panic", 2, levers::panic, "Ends the process as a panic does."),
    debug("debug|pause-cron", 3, levers::pause_cron, "Stops housekeeping.")
        .args(&[arg::one_of("switch", SWITCH)]),
    debug("debug|populate", -3, populate, "Creates string keys.").args(&[
        arg::integer("count"),
        arg::block("names", &[arg::string("prefix"), arg::integer("size").optional()]).optional(),
    ]),
    debug("debug|protocol", 3, protocol::protocol, "A reply of some kind.")
        .args(&[arg::string("kind")]),
    debug(
        "debug|quicklist-packed-threshold",
        3,
        levers::quicklist_packed_threshold,
        "Accepted, and without effect.",
    )
    .args(&[arg::string("bytes")]),
    debug("debug|reload", -2, reload, "Saves the dataset and loads it again.").args(&[
        arg::token("nosave", "NOSAVE").optional(),
        arg::token("noflush", "NOFLUSH").optional(),
        arg::token("merge", "MERGE").optional(),
    ]),
    debug("debug|replicate", -3, levers::replicate, "Tells replicas these words.")
        .args(&[arg::string("word").multiple()]),
    debug("debug|replybuffer", 4, reply_buffer, "How reply buffers of idle clients are kept.")
        .args(&[arg::one_of(
            "setting",
            &[
                arg::integer("switch").token("RESIZING"),
                arg::string("time").token("PEAK-RESET-TIME"),
            ],
        )]),
    debug("debug|segfault", 2, levers::segfault, "Ends the process as a wild pointer does."),
    debug("debug|set-active-expire", 3, set_active_expire, "Switches active expiry off or on.")
        .args(&[arg::one_of("switch", SWITCH)]),
    debug(
        "debug|set-disable-deny-scripts",
        3,
        levers::set_disable_deny_scripts,
        "Lets scripts call commands that are not for them.",
    )
    .args(&[arg::one_of("switch", SWITCH)]),
    debug("debug|sleep", 3, sleep, "Everything stands still.").args(&[arg::double("seconds")]),
    debug("debug|stringmatch-test", 2, levers::stringmatch_test, "Tries patterns at random."),
];

const fn debug(
    name: &'static str,
    arity: i8,
    run: crate::spec::Run,
    summary: &'static str,
) -> Spec {
    command(name, Group::Server, arity, FLAGS, run)
        .plan(Plan::Exclusive)
        .acl("admin dangerous")
        .doc("1.0.0", summary, "-")
        .internal()
}

/// `DEBUG SLEEP seconds`: everything stands still.
fn sleep(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let seconds = std::str::from_utf8(args.get(2)).ok().and_then(|text| text.parse::<f64>().ok());
    let seconds = seconds.filter(|s| s.is_finite() && *s >= 0.0).unwrap_or(0.0);
    cx.db.held.release_current();
    cx.db.now = cx.node.host.sleep(Duration::from_secs_f64(seconds.min(1e9)));
    cx.out.ok();
    Ok(())
}

/// `DEBUG DIGEST`
fn digest_all(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.db.held.release_current();
    let sum = cx.node.keyspace.digest();
    cx.out.simple(&hex(&sum));
    Ok(())
}

/// `DEBUG DIGEST-VALUE key …`
fn digest_values(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    cx.out.array(args.len() - 2);
    for key in args.from(2) {
        let sum = match cx.db.peek(key) {
            Some(entry) => entry.digest(),
            None => [0; 20],
        };
        cx.out.simple(&hex(&sum));
    }
    Ok(())
}

fn hex(sum: &[u8; 20]) -> String {
    tandem_base::ReplId::from_random(*sum).to_string()
}

/// `DEBUG POPULATE count [prefix [size]]`: keys `prefix:0`, `prefix:1`, … that are not there yet.
fn populate(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    if args.len() > 5 {
        return Err(wrong_form(args));
    }
    let count = num::parse_u64(args.get(2))
        .ok_or(ErrorReply::text("ERR value is out of range, must be positive"))?;
    let prefix = if args.len() > 3 { args.get(3) } else { b"key" };
    let size = if args.len() > 4 {
        let size = num::parse_u64(args.get(4))
            .ok_or(ErrorReply::text("ERR value is out of range, must be positive"))?;
        Some(
            usize::try_from(size)
                .ok()
                .filter(|size| *size <= cx.node.bulk_bytes_max())
                .ok_or(ErrorReply::StringTooLong)?,
        )
    } else {
        None
    };
    let db = cx.client.db;
    for number in 0..count {
        let mut key = prefix.to_vec();
        key.push(b':');
        num::push_u64(&mut key, number);
        let (stripe, hash) = cx.db.locate(&key);
        if stripe.get(db, &key, hash).is_some() {
            continue;
        }
        let mut value = b"value:".to_vec();
        num::push_u64(&mut value, number);
        if let Some(size) = size {
            value.resize(size, 0);
        }
        stripe.set_string(db, &key, hash, NewString::Bytes(&value), Expiry::Clear);
    }
    cx.out.ok();
    Ok(())
}

/// `DEBUG RELOAD [NOSAVE] [NOFLUSH] [MERGE]`: saves, empties and loads.
fn reload(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    if cx.node.refusals().contains(Refusals::LOADING) {
        // Half a dataset must not take the place of a whole one on disk.
        return Err(ErrorReply::Loading);
    }
    cx.tell_figures();
    let mut saves = true;
    let mut flushes = true;
    for word in args.from(2) {
        match word.to_ascii_lowercase().as_slice() {
            b"nosave" => saves = false,
            b"noflush" => flushes = false,
            b"merge" => {}
            _ => {
                return Err(ErrorReply::text(
                    "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
                ));
            }
        }
    }
    let now = cx.now();
    let node = cx.node;
    cx.db.held.release_current();
    if saves {
        node.stop_running_snapshot();
        node.save_now(now).map_err(|why| ErrorReply::owned(format!("ERR {why}")))?;
    }
    if flushes {
        node.free_old(node.keyspace.flush_all());
    }
    if let Err(why) = node.host.load_now(node) {
        node.log(Level::Warning, &format!("Error trying to load the RDB dump: {why}"));
        return Err(ErrorReply::text("ERR Error trying to load the RDB dump"));
    }
    node.log(Level::Warning, "DB reloaded by DEBUG RELOAD");
    cx.out.ok();
    Ok(())
}

/// `DEBUG SET-ACTIVE-EXPIRE 0|1`
fn set_active_expire(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let on = num::parse_i64(args.get(2)).unwrap_or(0) != 0;
    cx.node.active_expire.store(on, Ordering::Relaxed);
    cx.out.ok();
    Ok(())
}

/// `DEBUG OBJECT key`: finds keys whose time has come, too.
fn object(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let key = args.get(2);
    let (db, access) = (cx.db.index, cx.node.keyspace.access_clock());
    let (stripe, hash) = cx.db.locate(key);
    let Some(entry) = stripe.get(db, key, hash) else { return Err(ErrorReply::NoSuchKey) };
    let clock = entry.access_clock();
    let idle = access.idle_seconds(clock);
    let text = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{clock} lru_seconds_idle:{idle}",
        std::ptr::from_ref(&entry),
        entry.encoding_name(),
        tandem_store::rdb::dump::dump(entry.value(), true).len().saturating_sub(11),
    );
    cx.out.simple(&text);
    Ok(())
}

/// `DEBUG REPLYBUFFER PEAK-RESET-TIME ms|NEVER|RESET`, `DEBUG REPLYBUFFER RESIZING 0|1`: whether
/// the reply buffers of idle connections are given back. There is no peak that could be reset.
fn reply_buffer(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let value = args.get(3);
    match args.get(2).to_ascii_lowercase().as_slice() {
        b"resizing" => {
            let on = num::parse_i64(value).unwrap_or(0) != 0;
            cx.node.levers.keeps_reply_buffers.store(!on, Ordering::Relaxed);
        }
        b"peak-reset-time" => {
            let word = value.to_ascii_lowercase();
            if !matches!(word.as_slice(), b"never" | b"reset") {
                num::parse_i64(value).ok_or(ErrorReply::NotInteger)?;
            }
        }
        _ => return Err(wrong_form(args)),
    }
    cx.out.ok();
    Ok(())
}

/// `DEBUG LOG text`
fn log(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    cx.node.log(Level::Warning, &format!("DEBUG LOG: {}", String::from_utf8_lossy(args.get(2))));
    cx.out.ok();
    Ok(())
}
