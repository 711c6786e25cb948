//! LATENCY: what took long, by kind of event, and how long commands take.

use tandem_resp::{Args, OutBuf};

use super::docs::help;
use super::facts::{arg, command, container};
use super::info::each_counted;
use super::latency_report::{doctor_text, graph_text};
use super::{look_up_full, told_subcommands};
use crate::command_stats::{CommandStats, cumulative};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::spec::{Group::Server, Spec};

const ADMIN: &str = "admin noscript loading stale";
const TIPS: &[&str] =
    &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[container(
    "latency",
    Server,
    "",
    &[
        command("latency|doctor", Server, 2, ADMIN, doctor).tips(TIPS).doc(
            "2.8.13",
            "Explains what took long, and what to do about it.",
            "O(1)",
        ),
        command("latency|graph", Server, 3, ADMIN, graph)
            .tips(TIPS)
            .doc("2.8.13", "Draws the samples of an event.", "O(1)")
            .args(&[arg::string("event")]),
        command("latency|help", Server, 2, "loading stale", help).doc(
            "2.8.13",
            "Lists the subcommands.",
            "O(1)",
        ),
        command("latency|histogram", Server, -2, ADMIN, histogram)
            .tips(TIPS)
            .doc("7.0.0", "How long the calls of some or all commands took.", "O(N) for N commands")
            .args(&[arg::string("command").optional().multiple()]),
        command("latency|history", Server, 3, ADMIN, history)
            .tips(TIPS)
            .doc("2.8.13", "The samples of an event: time and milliseconds.", "O(1)")
            .args(&[arg::string("event")]),
        command("latency|latest", Server, 2, ADMIN, latest).tips(TIPS).doc(
            "2.8.13",
            "The latest and the worst sample of every event.",
            "O(1)",
        ),
        command("latency|reset", Server, -2, ADMIN, reset)
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .doc("2.8.13", "Forgets the samples of some or all events.", "O(1)")
            .args(&[arg::string("event").optional().multiple()]),
    ],
)
.doc("2.8.13", "What took long.", "Depends on the subcommand")];

/// `LATENCY LATEST`
fn latest(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    let events = cx.node.monitor.events();
    cx.out.array(events.len());
    for (event, series) in events {
        let (at_s, took_ms) = series.samples().next_back().expect("a series has a sample");
        cx.out.array(4);
        cx.out.bulk(event.as_bytes());
        cx.out.int(at_s);
        cx.out.int(took_ms.cast_signed());
        cx.out.int(series.worst_ms.cast_signed());
    }
    Ok(())
}

/// `LATENCY HISTORY event`
fn history(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let events = cx.node.monitor.events();
    let Some((_, series)) = events.iter().find(|(event, _)| event.as_bytes() == args.get(2)) else {
        cx.out.array(0);
        return Ok(());
    };
    cx.out.array(series.samples().len());
    for (at_s, took_ms) in series.samples() {
        cx.out.array(2);
        cx.out.int(at_s);
        cx.out.int(took_ms.cast_signed());
    }
    Ok(())
}

/// `LATENCY RESET [event …]`
fn reset(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let monitor = &cx.node.monitor;
    let kinds = match args.len() {
        2 => monitor.forget_events(None),
        _ => args.from(2).map(|event| monitor.forget_events(Some(event))).sum(),
    };
    cx.out.count(kinds);
    Ok(())
}

/// `LATENCY GRAPH event`
fn graph(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let events = cx.node.monitor.events();
    let name = args.get(2);
    let Some((event, series)) = events.iter().find(|(event, _)| event.as_bytes() == name) else {
        return Err(ErrorReply::quoting("ERR No samples available for event '", name, "'"));
    };
    let text = graph_text(event, series, cx.now().unix);
    cx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// `LATENCY DOCTOR`
fn doctor(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    let text = doctor_text(cx.node, cx.now().unix);
    cx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// `LATENCY HISTOGRAM [command …]`: a container stands for its subcommands too.
fn histogram(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let mut shown: Vec<(&'static str, CommandStats)> = Vec::new();
    if args.len() == 2 {
        each_counted(cx.node, |spec, stats| shown.push((spec.name, stats.clone())));
    } else {
        let totals = cx.node.monitor.totals();
        for spec in args.from(2).filter_map(look_up_full) {
            for spec in std::iter::once(spec).chain(told_subcommands(spec)) {
                shown.extend(totals.get(spec).map(|stats| (spec.name, stats.clone())));
            }
        }
    }
    shown.retain(|(_, stats)| stats.times.is_some());
    cx.out.map(shown.len());
    for (name, stats) in shown {
        cx.out.bulk(name.as_bytes());
        push_histogram(cx.out, &stats);
    }
    Ok(())
}

fn push_histogram(out: &mut OutBuf, stats: &CommandStats) {
    let times = stats.times.as_ref().expect("only those that have one are shown");
    out.map(2);
    out.bulk(b"calls");
    out.int(times.len().cast_signed());
    out.bulk(b"histogram_usec");
    let points = cumulative(times);
    out.map(points.len());
    for (us, count) in points {
        out.int(us.cast_signed());
        out.int(count.cast_signed());
    }
}
