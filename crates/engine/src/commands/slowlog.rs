//! SLOWLOG: the commands that took long.

use tandem_resp::Args;

use super::docs::help;
use super::facts::{arg, command, container};
use super::words::integer;
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::spec::{Group::Server, Spec};

const ADMIN: &str = "admin loading stale";

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[container(
    "slowlog",
    Server,
    "",
    &[
        command("slowlog|get", Server, -2, ADMIN, get)
            .tips(&["request_policy:all_nodes", "nondeterministic_output"])
            .history(&[("4.0.0", "Added client IP address, port and name to the reply.")])
            .doc("2.2.12", "The latest slow commands.", "O(N) for N entries")
            .args(&[arg::integer("count").optional()]),
        command("slowlog|help", Server, 2, "loading stale", help).doc(
            "6.2.0",
            "Lists the subcommands.",
            "O(1)",
        ),
        command("slowlog|len", Server, 2, ADMIN, len)
            .tips(&[
                "request_policy:all_nodes",
                "response_policy:agg_sum",
                "nondeterministic_output",
            ])
            .doc("2.2.12", "How many slow commands are known.", "O(1)"),
        command("slowlog|reset", Server, 2, ADMIN, reset)
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .doc("2.2.12", "Forgets all slow commands.", "O(N) for N entries"),
    ],
)
.doc("2.2.12", "The log of slow commands.", "Depends on the subcommand")];

/// Entries shown when no count is given.
const SHOWN: i64 = 10;

const BAD_COUNT: ErrorReply = ErrorReply::text("ERR count should be greater than or equal to -1");

/// `SLOWLOG GET [count]`; -1 means all.
fn get(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let count = match args.len() {
        2 => SHOWN,
        3 => integer(args.get(2)).ok().filter(|count| *count >= -1).ok_or(BAD_COUNT)?,
        _ => return Err(super::wrong_form(args)),
    };
    let log = cx.node.monitor.slowlog();
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let entries = log.entries().take(most);
    cx.out.array(entries.len());
    for entry in entries {
        cx.out.array(6);
        cx.out.int(entry.id.cast_signed());
        cx.out.int(entry.at.0.div_euclid(1000));
        cx.out.int(entry.took_us.cast_signed());
        cx.out.array(entry.args.len());
        for arg in &entry.args {
            cx.out.bulk(arg);
        }
        cx.out.bulk(entry.addr.as_bytes());
        cx.out.bulk(entry.name.as_bytes());
    }
    Ok(())
}

/// `SLOWLOG LEN`
fn len(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.out.count(cx.node.monitor.slowlog().entries().len());
    Ok(())
}

/// `SLOWLOG RESET`
fn reset(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.node.monitor.slowlog().clear();
    cx.out.ok();
    Ok(())
}
