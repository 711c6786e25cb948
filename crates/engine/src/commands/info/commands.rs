//! The sections about commands: how often, how long, and how long at which percentile.

use tandem_base::Now;

use super::field;
use crate::command_stats::{CommandStats, at_percentile};
use crate::commands::all;
use crate::node::Node;
use crate::spec::Spec;

/// Calls `show` with every command that has been counted, subcommands behind their container.
pub(in crate::commands) fn each_counted(node: &Node, mut show: impl FnMut(&Spec, &CommandStats)) {
    let totals = node.monitor.totals();
    for container in all() {
        if let Some(stats) = totals.get(container) {
            show(container, stats);
        }
        // What clients are not told of has been counted with its container.
        for sub in crate::commands::told_subcommands(container) {
            if let Some(stats) = totals.get(sub) {
                show(sub, stats);
            }
        }
    }
}

/// Calls and times of every command.
pub(super) fn commandstats(node: &Node, _: Now, out: &mut String) {
    out.push_str("# Commandstats\r\n");
    each_counted(node, |spec, stats| {
        let us = stats.total_ns / 1000;
        let each = if stats.calls == 0 { 0.0 } else { us as f64 / stats.calls as f64 };
        let value = format_args!(
            "calls={},usec={us},usec_per_call={each:.2},rejected_calls={},failed_calls={}",
            stats.calls, stats.rejected, stats.failed
        );
        field(out, &format!("cmdstat_{}", spec.name), value);
    });
}

/// Percentiles of the times of every command.
pub(super) fn latencystats(node: &Node, _: Now, out: &mut String) {
    out.push_str("# Latencystats\r\n");
    let percentiles = node.config().latency_tracking_info_percentiles().to_vec();
    each_counted(node, |spec, stats| {
        let Some(times) = &stats.times else { return };
        let shown: Vec<String> = percentiles
            .iter()
            .map(|&p| format!("p{p}={:.3}", at_percentile(times, p) as f64 / 1000.0))
            .collect();
        let name = format!("latency_percentiles_usec_{}", spec.name);
        field(out, &name, format_args!("{}", shown.join(",")));
    });
}
