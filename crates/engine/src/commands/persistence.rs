//! SAVE, BGSAVE, LASTSAVE, SHUTDOWN.

use tandem_resp::Args;

use super::facts::{arg, command};
use crate::client::{Blocked, ClientFlags};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::node::Level;
use crate::shutdown::{ShutdownOptions, ShutdownStep};
use crate::spec::{Group, Plan, Spec};

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[
    command("save", Group::Server, 1, "admin noscript no_async_loading no_multi", save)
        .plan(Plan::Exclusive)
        .acl("admin dangerous")
        .doc("1.0.0", "Saves the dataset to the file before it answers.", "O(N) for N keys"),
    command("bgsave", Group::Server, -1, "admin noscript no_async_loading", bgsave)
        .plan(Plan::Exclusive)
        .acl("admin dangerous")
        .history(&[("3.2.2", "Option `SCHEDULE`.")])
        .doc("1.0.0", "Begins to save the dataset to the file.", "O(1)")
        .args(&[arg::token("schedule", "SCHEDULE").optional().since("3.2.2")]),
    command("lastsave", Group::Server, 1, "loading stale fast", lastsave)
        .acl("admin dangerous")
        .tips(&["nondeterministic_output"])
        .doc("1.0.0", "When the dataset was last saved, as a Unix time.", "O(1)"),
    command(
        "shutdown",
        Group::Server,
        -1,
        "admin noscript loading stale no_multi sentinel allow_busy",
        shutdown,
    )
    .plan(Plan::Exclusive)
    .acl("admin dangerous")
    .history(&[("7.0.0", "Options `NOW`, `FORCE` and `ABORT`.")])
    .doc(
        "1.0.0",
        "Saves the dataset if save points are set, and ends the server.",
        "O(N) when saving",
    )
    .args(&[
        arg::one_of("nosave_save", &[arg::token("nosave", "NOSAVE"), arg::token("save", "SAVE")])
            .optional(),
        arg::token("now", "NOW").optional().since("7.0.0"),
        arg::token("force", "FORCE").optional().since("7.0.0"),
        arg::token("abort", "ABORT").optional().since("7.0.0"),
    ]),
];

const IN_PROGRESS: ErrorReply = ErrorReply::text("ERR Background save already in progress");

/// `SAVE`
fn save(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    let now = cx.now();
    let node = cx.node;
    if node.persistence.state().running.is_some() {
        return Err(IN_PROGRESS);
    }
    cx.tell_figures();
    cx.db.held.release_current();
    match node.save_now(now) {
        Ok(()) => cx.out.ok(),
        Err(why) => {
            node.log(Level::Warning, &format!("Failed saving the DB: {why}"));
            return Err(ErrorReply::text("ERR"));
        }
    }
    Ok(())
}

/// `BGSAVE [SCHEDULE]`
fn bgsave(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let schedule = match args.len() {
        1 => false,
        2 if args.get(1).eq_ignore_ascii_case(b"schedule") => true,
        _ => return Err(ErrorReply::Syntax),
    };
    let now = cx.now();
    cx.tell_figures();
    cx.db.held.release_current();
    if cx.node.begin_bgsave(now) {
        cx.out.simple("Background saving started");
    } else if schedule {
        cx.node.persistence.state().scheduled = true;
        cx.out.simple("Background saving scheduled");
    } else {
        return Err(IN_PROGRESS);
    }
    Ok(())
}

/// `LASTSAVE`
fn lastsave(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    let at = cx.node.persistence.state().last_save;
    cx.out.int(at.0.div_euclid(1000));
    Ok(())
}

/// `SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]`
fn shutdown(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let mut options = ShutdownOptions::default();
    for word in args.from(1) {
        match word.to_ascii_lowercase().as_slice() {
            b"nosave" if options.save != Some(true) => options.save = Some(false),
            b"save" if options.save != Some(false) => options.save = Some(true),
            b"now" => options.now = true,
            b"force" => options.force = true,
            b"abort" if args.len() == 2 => {
                return match cx.node.abort_shutdown() {
                    true => {
                        cx.out.ok();
                        Ok(())
                    }
                    false => Err(ErrorReply::text("ERR No shutdown in progress.")),
                };
            }
            _ => return Err(ErrorReply::Syntax),
        }
    }
    cx.db.held.release_current();
    let who = format!("id={} addr={}", cx.client.info.id, cx.client.info.addr);
    cx.node.log(Level::Warning, &format!("User requested shutdown... (user request from '{who}')"));
    match cx.node.request_shutdown(options, cx.now()) {
        // The process ends; nothing is answered.
        ShutdownStep::Ends => cx.client.closing = true,
        ShutdownStep::Failed => {
            return Err(ErrorReply::text("ERR Errors trying to SHUTDOWN. Check logs."));
        }
        ShutdownStep::Waits => {
            cx.client.blocked = Some(Blocked::Shutdown { undone: cx.node.shutdown.undone() });
            cx.client.info.set_flag(ClientFlags::BLOCKED, true);
        }
    }
    Ok(())
}
