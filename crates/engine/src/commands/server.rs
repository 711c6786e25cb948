//! INFO and TIME.

use tandem_resp::Args;

use super::facts::{arg, command};
use super::info;
use crate::client::Kind;
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::spec::{Group::Server, Plan, Spec};

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[
    // INFO counts the keys of every stripe.
    command("info", Server, -1, "loading stale sentinel", info_command)
        .acl("dangerous")
        .plan(Plan::Walk)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .history(&[("7.0.0", "Takes several sections.")])
        .doc("1.0.0", "Facts and counts of the server.", "O(1)")
        .args(&[arg::string("section").multiple().optional()]),
    command("monitor", Server, 1, "admin noscript loading stale", monitor).doc(
        "1.0.0",
        "Shows every command that runs.",
        "",
    ),
    command("time", Server, 1, "loading stale fast", time).tips(&["nondeterministic_output"]).doc(
        "2.6.0",
        "The server's clock.",
        "O(1)",
    ),
];

/// `INFO [section …]`
fn info_command(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    cx.tell_figures();
    let wanted = info::Wanted::parse(args.from(1));
    let text = info::text(cx.node, cx.now(), &wanted);
    cx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// `MONITOR`: from now on the client sees what others do. Who does already, or is a replica, gets
/// no answer, as in Redis.
fn monitor(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    if cx.in_exec {
        return Err(ErrorReply::text("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    if cx.client.kind == Kind::Normal && !cx.client.is_monitor {
        cx.out.ok();
        cx.node.start_monitor(cx.client);
    }
    Ok(())
}

/// `TIME`: seconds, and microseconds within the second.
fn time(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    // The engine's clock has milliseconds.
    let ms = cx.now().unix.0;
    cx.out.array(2);
    cx.out.bulk_int(ms.div_euclid(1000));
    cx.out.bulk_int(ms.rem_euclid(1000) * 1000);
    Ok(())
}
