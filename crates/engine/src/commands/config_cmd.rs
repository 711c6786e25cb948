//! CONFIG: directives read and changed while the node runs.
//!
//! ```text
//! CONFIG SET ─► Config::set (all or none) ─► copied to hot places ─► host acts ─► OK
//!                      ▲                                               │ cannot
//!                      └──────────────── undone, host acts again ◄─────┘
//! ```
//!
//! A change is made with the keyspace held alone, so that two of them cannot meet half-way.

use tandem_resp::Args;

use super::docs::help;
use super::facts::{arg, command, container};
use crate::client::{ClientFlags, ClientInfo};
use crate::config::{Asker, Change, Directive, Effect, Refusal, without_effect_line};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::node::{Level, Node, Refusals};
use crate::spec::{Group::Server, Plan, Spec};

const ADMIN: &str = "admin noscript loading stale";

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[container(
    "config",
    Server,
    "",
    &[
        command("config|get", Server, -3, ADMIN, get)
            .history(&[("7.0.0", "Takes several patterns.")])
            .doc("2.0.0", "The directives whose names fit patterns.", "O(N) for N patterns")
            .args(&[arg::block("parameter", &[arg::string("parameter")]).multiple()]),
        command("config|help", Server, 2, "loading stale", help).doc(
            "5.0.0",
            "Lists the subcommands.",
            "O(1)",
        ),
        command("config|resetstat", Server, 2, ADMIN, reset_stat).doc(
            "2.0.0",
            "Sets the counts of INFO to zero.",
            "O(1)",
        ),
        command("config|rewrite", Server, 2, ADMIN, rewrite).doc(
            "2.8.0",
            "Writes the configuration back into its file.",
            "O(1)",
        ),
        command("config|set", Server, -4, ADMIN, set)
            .plan(Plan::Exclusive)
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .history(&[("7.0.0", "Takes several directives.")])
            .doc("2.0.0", "Changes directives: all of them, or none.", "O(N) for N directives")
            .args(&[arg::block(
                "parameter_value",
                &[arg::string("parameter"), arg::string("value")],
            )
            .multiple()]),
    ],
)
.doc("2.0.0", "The configuration.", "Depends on the subcommand")];

/// `CONFIG GET pattern …`
fn get(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let patterns: Vec<&[u8]> = args.from(2).collect();
    let found = cx.node.config().get(&patterns);
    cx.out.map(found.len());
    for (name, value) in found {
        cx.out.bulk(&name);
        cx.out.bulk(&value);
    }
    Ok(())
}

/// `CONFIG SET directive value …`
fn set(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let words: Vec<&[u8]> = args.from(2).collect();
    let asker = Asker {
        loading: cx.node.refusals().contains(Refusals::LOADING),
        local: is_local(&cx.client.info),
    };
    let node = cx.node;
    let change = set_all(node, &words, asker).map_err(|refusal| error(&refusal))?;
    node.config_applied();
    let changed = change.changed().to_vec();
    for (at, &one) in changed.iter().enumerate() {
        if let Err(why) = node.host.config_changed(node, one.directive.facts().name) {
            node.config_mut().undo(change);
            node.config_applied();
            // What the host has acted upon it must act upon again, with the old values; if it
            // cannot go back there is nobody left to tell but the log.
            for again in &changed[..=at] {
                let name = again.directive.facts().name;
                if let Err(why) = node.host.config_changed(node, name) {
                    node.log(
                        Level::Warning,
                        &format!("Failed restoring failed CONFIG SET command. {name}: {why}"),
                    );
                }
            }
            return Err(error(&Refusal::failed(one, why)));
        }
    }
    if changed.iter().any(|one| one.directive == Directive::Maxmemory) {
        node.maxmemory_changed();
    }
    if change.has(Directive::Requirepass) {
        node.apply_requirepass();
    }
    for one in &changed {
        let in_vain = one.directive.facts().effect == Effect::Accepted;
        if in_vain && node.config().differs(one.directive) {
            node.log(Level::Warning, &without_effect_line(one.directive));
        }
    }
    cx.out.ok();
    Ok(())
}

/// Smallest backlog that CONFIG SET makes; a smaller one is asked for in vain.
const BACKLOG_BYTES_MIN: u64 = 16 << 10;

fn set_all(node: &Node, words: &[&[u8]], asker: Asker) -> Result<Change, Refusal> {
    let mut config = node.config_mut();
    let change = config.set(words, asker)?;
    if change.has(Directive::ReplBacklogSize) && config.repl_backlog_size() < BACKLOG_BYTES_MIN {
        let bytes = BACKLOG_BYTES_MIN.to_string();
        // To undo the first change is enough: it goes back to what was there before both.
        let _second = config.set(&[b"repl-backlog-size", bytes.as_bytes()], asker)?;
    }
    Ok(change)
}

fn error(refusal: &Refusal) -> ErrorReply {
    ErrorReply::owned(refusal.reply())
}

/// Whether a client is on this machine.
pub(crate) fn is_local(client: &ClientInfo) -> bool {
    let addr = &client.addr;
    let loopback = addr.starts_with("127.") || addr.starts_with("[::1]:");
    loopback || client.flags().contains(ClientFlags::UNIX_SOCKET)
}

/// `CONFIG RESETSTAT`
fn reset_stat(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.tell_figures();
    cx.node.stats.reset();
    cx.node.lazy_free.reset();
    cx.node.eviction.reset();
    cx.node.meters.reset();
    cx.node.monitor.reset_counts();
    cx.out.ok();
    Ok(())
}

/// `CONFIG REWRITE`
fn rewrite(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    let node = cx.node;
    if node.identity.config_file.is_empty() {
        return Err(ErrorReply::text("ERR The server is running without a config file"));
    }
    if let Err(why) = node.host.rewrite_config(node, false) {
        node.log(Level::Warning, &format!("CONFIG REWRITE failed: {why}"));
        return Err(ErrorReply::owned(format!("ERR Rewriting config file: {why}")));
    }
    node.log(Level::Warning, "CONFIG REWRITE executed with success.");
    cx.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests;
