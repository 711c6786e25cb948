//! The subcommands of DEBUG that make something happen or stop: crashes, words for replicas, a new
//! history, no housekeeping.

use std::sync::atomic::{AtomicBool, Ordering};

use tandem_base::{DbIndex, num};
use tandem_resp::Args;

use super::words::integer;
use crate::config::parse_memory;
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::glob;
use crate::node::{Crash, Level};

/// Switches that only tests throw.
#[derive(Debug, Default)]
pub struct Levers {
    /// No housekeeping (DEBUG PAUSE-CRON).
    pub cron_paused: AtomicBool,
    /// Scripts may call commands that are not for them (DEBUG SET-DISABLE-DENY-SCRIPTS).
    pub scripts_may_all: AtomicBool,
    /// Reply buffers of idle connections stay (DEBUG REPLYBUFFER RESIZING 0).
    pub keeps_reply_buffers: AtomicBool,
}

/// A switch's argument, read as C reads it: what is no number is 0.
fn switch(args: Args<'_>) -> bool {
    let digits = args.get(2).iter().take_while(|byte| byte.is_ascii_digit()).count();
    num::parse_u64(&args.get(2)[..digits]).unwrap_or(0) != 0
}

/// `DEBUG PAUSE-CRON 0|1`
pub(super) fn pause_cron(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    cx.node.levers.cron_paused.store(switch(args), Ordering::Relaxed);
    cx.out.ok();
    Ok(())
}

/// `DEBUG SET-DISABLE-DENY-SCRIPTS 0|1`
pub(super) fn set_disable_deny_scripts(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    cx.node.levers.scripts_may_all.store(switch(args), Ordering::Relaxed);
    cx.out.ok();
    Ok(())
}

/// `DEBUG QUICKLIST-PACKED-THRESHOLD bytes`: checked, and without effect.
pub(super) fn quicklist_packed_threshold(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    const MOST: u64 = 1 << 32;
    if parse_memory(args.get(2)).is_none_or(|bytes| bytes >= MOST) {
        return Err(ErrorReply::text(
            "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
        ));
    }
    cx.out.ok();
    Ok(())
}

/// `DEBUG REPLICATE word …`: replicas are told these words, whatever they mean.
pub(super) fn replicate(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let words: Vec<&[u8]> = args.from(2).collect();
    let db = cx.db.index;
    cx.db.effects.send_also(db, &words);
    cx.out.ok();
    Ok(())
}

/// `DEBUG CHANGE-REPL-ID`
pub(super) fn change_repl_id(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    let text = "Changing replication IDs after receiving DEBUG change-repl-id";
    cx.node.log(Level::Warning, text);
    let new = cx.node.random_replid();
    cx.node.replication.inner().history.renew(new);
    cx.out.ok();
    Ok(())
}

/// `DEBUG CONFIG-REWRITE-FORCE-ALL`: every directive, even at its default.
pub(super) fn config_rewrite_force_all(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.node
        .host
        .rewrite_config(cx.node, true)
        .map_err(|why| ErrorReply::owned(format!("ERR CONFIG-REWRITE-FORCE-ALL failed: {why}")))?;
    cx.out.ok();
    Ok(())
}

/// `DEBUG STRINGMATCH-TEST`: patterns and texts at random, of the letters that matter.
pub(super) fn stringmatch_test(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    const LETTERS: &[u8] = b"*?[]^-\\ab";
    let mut word = || -> Vec<u8> {
        let length = cx.rng.usize(..32);
        (0..length).map(|_| LETTERS[cx.rng.usize(..LETTERS.len())]).collect()
    };
    let mut fits = 0;
    for _ in 0..100_000 {
        fits += usize::from(glob::matches(&word(), &word()));
    }
    assert!(fits > 0, "a hundred thousand patterns, and none fits");
    cx.out.simple("Apparently Redis did not crash: test passed");
    Ok(())
}

/// `DEBUG HTSTATS db`: how many keys its tables hold.
pub(super) fn htstats(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let db = u16::try_from(integer(args.get(2))?)
        .ok()
        .filter(|db| *db < cx.node.keyspace.databases())
        .map(DbIndex)
        .ok_or(ErrorReply::text("ERR Out of range database"))?;
    cx.db.held.release_current();
    let counts = [cx.node.keyspace.len(db), cx.node.keyspace.expires(db)];
    let mut text = String::new();
    for (heading, count) in ["[Dictionary HT]", "[Expires HT]"].into_iter().zip(counts) {
        text += &format!("{heading}\n{}", table_facts(count));
    }
    cx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// What can be said of a table here: it has no chains and is never half rehashed.
fn table_facts(count: u64) -> String {
    let facts = match count {
        0 => "No stats available for empty dictionaries".to_owned(),
        _ => format!(" number of elements: {count}"),
    };
    format!("Hash table 0 stats (main hash table):\n{facts}\n")
}

/// `DEBUG HTSTATS-KEY key`: the same of a value that is a table.
pub(super) fn htstats_key(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let Some(entry) = cx.db.peek(args.get(2)) else { return Err(ErrorReply::NoSuchKey) };
    let fields = entry.hash().filter(|_| entry.encoding_name() == "hashtable");
    let Some(fields) = fields.map(|hash| hash.len()) else {
        return Err(ErrorReply::text(
            "ERR The value stored at the specified key is not represented using an hash table",
        ));
    };
    cx.out.verbatim("txt", table_facts(fields).as_bytes());
    Ok(())
}

/// `DEBUG PANIC`
pub(super) fn panic(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    let seconds = cx.now().unix.0.div_euclid(1000);
    cx.node.host.crash(Crash::Panic(format!("DEBUG PANIC called at Unix time {seconds}")));
    cx.out.ok();
    Ok(())
}

/// `DEBUG ASSERT`
pub(super) fn assert(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.node.host.crash(Crash::Panic("assertion failed: 1 == 2 (DEBUG ASSERT)".to_owned()));
    cx.out.ok();
    Ok(())
}

/// `DEBUG SEGFAULT`
pub(super) fn segfault(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.node.host.crash(Crash::Segfault);
    cx.out.ok();
    Ok(())
}
