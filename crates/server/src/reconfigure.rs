//! What CONFIG SET changes outside the engine.
//!
//! An error makes the engine take the change back and call again with the old values; the words
//! are Redis's, the reasons are in the log.

use tandem_engine::node::{Level, Node, lock};

use crate::host::ServerHost;
use crate::listen::Door;
use crate::{descriptors, files, memory, tls};

/// The directive called `name` has a new value: does what that means.
pub(crate) fn config_changed(host: &ServerHost, node: &Node, name: &str) -> Result<(), String> {
    match name {
        "loglevel" => host.log.set_level(node.config().loglevel()),
        "dir" => {
            let dir = node.config().dir().to_vec();
            crate::daemon::change_dir(&dir)?;
        }
        "jemalloc-bg-thread" => memory::purge_in_background(node.config().jemalloc_bg_thread())?,
        "dbfilename" => host.spool.set_target(files::snapshot_path(node)),
        "port" => rebind(host, node, &[Door::Tcp])?,
        "bind" => {
            let why = |_| "Failed to bind to specified addresses.".to_owned();
            rebind(host, node, &[Door::Tcp, Door::Tls]).map_err(why)?;
        }
        "tcp-keepalive" => {
            lock(&host.shared.listeners).set_keepalive(node.config().tcp_keepalive().into());
        }
        "maxclients" => descriptors::follow(node, host.shared.loads.len())?,
        "tls-port" => {
            if !host.shared.tls.is_ready() && node.config().tls_port() != 0 {
                apply_tls(host, node)?;
            }
            rebind(host, node, &[Door::Tls])?;
        }
        // It chooses among what the others have prepared.
        "tls-auth-clients" => {}
        name if name.starts_with("tls-") && tls::is_wanted(&node.config()) => {
            apply_tls(host, node)?;
        }
        "metrics-port" | "metrics-bind" => host.shared.metrics.follow(node)?,
        "oom-score-adj" | "oom-score-adj-values" => host.oom.apply(node)?,
        "crash-log-enabled" => crate::crash::handle_signals(node.config().crash_log_enabled()),
        _ => {}
    }
    if matches!(name, "port" | "tls-port" | "bind" | "proc-title-template") {
        show_title(host, node);
    }
    Ok(())
}

/// Shows the process's title as the directives say it.
pub(crate) fn show_title(host: &ServerHost, node: &Node) {
    let config = node.config();
    if let Some(title) = &host.title
        && config.set_proc_title()
    {
        title.set(&config, &node.identity.config_file);
    }
}

fn rebind(host: &ServerHost, node: &Node, doors: &[Door]) -> Result<(), String> {
    let bound = lock(&host.shared.listeners).rebind(node, doors);
    host.shared.look_at_listeners();
    bound.map_err(|()| "Unable to listen on this port. Check server logs.".to_owned())
}

fn apply_tls(host: &ServerHost, node: &Node) -> Result<(), String> {
    let applied = host.shared.tls.apply(&node.config(), Some(node));
    applied.map_err(|why| {
        node.log(Level::Warning, &why);
        "Unable to update TLS configuration. Check server logs.".to_owned()
    })
}
