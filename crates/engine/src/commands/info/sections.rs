//! The sections about the process, its clients, its counts and its keys.

use std::sync::atomic::Ordering;

use tandem_base::{Now, REDIS_VERSION, TANDEM_VERSION};

use super::{field, fields};
use crate::client::ClientFlags;
use crate::meters::Rate;
use crate::node::Node;
use crate::pubsub::Kind;

/// Who this process is.
pub(super) fn server(node: &Node, now: Now, out: &mut String) {
    let identity = &node.identity;
    let uptime_s = now.mono.ms_since(node.started.mono) / 1000;
    let config = node.config();
    out.push_str("# Server\r\n");
    fields! { out,
        "redis_version": "{REDIS_VERSION}";
        "tandem_version": "{TANDEM_VERSION}";
        "redis_git_sha1": "00000000";
        "redis_git_dirty": "0";
        "redis_build_id": "tandem-{TANDEM_VERSION}";
        "redis_mode": "standalone";
        "os": "{}", node.host.process().os;
        "arch_bits": "{}", usize::BITS;
        "monotonic_clock": "POSIX clock_gettime";
        "multiplexing_api": "epoll";
        "atomicvar_api": "c11-builtin";
        // What Redis says when it was built by something else.
        "gcc_version": "0.0.0";
        "process_id": "{}", identity.pid;
        "process_supervised": "{}", if identity.supervised { "systemd" } else { "no" };
        "run_id": "{}", identity.run_id;
        "tcp_port": "{}", if config.port() != 0 { config.port() } else { config.tls_port() };
        "server_time_usec": "{}", now.unix.0 * 1000;
        "uptime_in_seconds": "{uptime_s}";
        "uptime_in_days": "{}", uptime_s / 86400;
        "hz": "{}", config.hz();
        "configured_hz": "{}", config.hz();
        "lru_clock": "{}", node.keyspace.access_clock().birth();
        "executable": "{}", identity.executable;
        "config_file": "{}", identity.config_file;
        "io_threads_active": "0";
        "worker_threads": "{}", node.workers();
    }
    if let Some(ms) = node.shutdown.ends_in_ms(now) {
        field(out, "shutdown_in_milliseconds", format_args!("{ms}"));
    }
}

/// How many connections there are, and what they hold at most.
pub(super) fn clients(node: &Node, _: Now, out: &mut String) {
    let all = node.clients.snapshot();
    let with = |flag: ClientFlags| all.iter().filter(|info| info.flags().contains(flag)).count();
    let most = |bytes: fn(&crate::client::ClientInfo) -> u64| {
        all.iter().map(|info| bytes(info)).max().unwrap_or(0)
    };
    out.push_str("# Clients\r\n");
    fields! { out,
        "connected_clients": "{}", all.len() - with(ClientFlags::REPLICA);
        "cluster_connections": "0";
        "maxclients": "{}", node.maxclients();
        "client_recent_max_input_buffer": "{}",
            most(|info| info.query_bytes.load(Ordering::Relaxed));
        "client_recent_max_output_buffer": "{}",
            most(|info| info.reply_bytes.load(Ordering::Relaxed));
        "blocked_clients": "{}", with(ClientFlags::BLOCKED);
        "tracking_clients": "{}", node.tracking.clients();
        "clients_in_timeout_table": "{}", node.blocking.timed();
    }
}

/// Counts since the start or CONFIG RESETSTAT.
pub(super) fn stats(node: &Node, now: Now, out: &mut String) {
    let stats = &node.stats;
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let (repl_in, repl_out) =
        (count(&stats.net_repl_input_bytes), count(&stats.net_repl_output_bytes));
    let (exceeded_ms, exceeded_total_ms) = node.eviction.exceeded_ms(now.mono);
    let kbps = |rate| node.meters.rate(rate) / 1024.0;
    out.push_str("# Stats\r\n");
    fields! { out,
        "total_connections_received": "{}", count(&stats.connections_received);
        "total_commands_processed": "{}", count(&stats.commands_processed);
        "instantaneous_ops_per_sec": "{:.0}", node.meters.rate(Rate::Commands);
        "total_net_input_bytes": "{}", count(&stats.net_input_bytes) + repl_in;
        "total_net_output_bytes": "{}", count(&stats.net_output_bytes) + repl_out;
        "total_net_repl_input_bytes": "{repl_in}";
        "total_net_repl_output_bytes": "{repl_out}";
        "instantaneous_input_kbps": "{:.2}", kbps(Rate::Input);
        "instantaneous_output_kbps": "{:.2}", kbps(Rate::Output);
        "instantaneous_input_repl_kbps": "{:.2}", kbps(Rate::ReplicationInput);
        "instantaneous_output_repl_kbps": "{:.2}", kbps(Rate::ReplicationOutput);
        "rejected_connections": "{}", count(&stats.rejected_connections);
        "sync_full": "{}", count(&stats.sync_full);
        "sync_partial_ok": "{}", count(&stats.sync_partial_ok);
        "sync_partial_err": "{}", count(&stats.sync_partial_err);
        "expired_keys": "{}", count(&stats.expired_keys);
        "expired_stale_perc": "0.00";
        "expired_time_cap_reached_count": "0";
        "expire_cycle_cpu_milliseconds": "{}", count(&stats.expire_cycle_us) / 1000;
        "evicted_keys": "{}", count(&stats.evicted_keys);
        "evicted_clients": "{}", count(&stats.evicted_clients);
        "total_eviction_exceeded_time": "{exceeded_total_ms}";
        "current_eviction_exceeded_time": "{exceeded_ms}";
        "keyspace_hits": "{}", count(&stats.keyspace_hits);
        "keyspace_misses": "{}", count(&stats.keyspace_misses);
        "pubsub_channels": "{}", node.pubsub.names(Kind::Channel);
        "pubsub_patterns": "{}", node.pubsub.names(Kind::Pattern);
        "pubsubshard_channels": "{}", node.pubsub.names(Kind::Shard);
        "latest_fork_usec": "0";
        "total_forks": "0";
        "migrate_cached_sockets": "0";
        "slave_expires_tracked_keys": "{}", node.own_expiry.len();
        "active_defrag_hits": "0";
        "active_defrag_misses": "0";
        "active_defrag_key_hits": "0";
        "active_defrag_key_misses": "0";
        "total_active_defrag_time": "0";
        "current_active_defrag_time": "0";
        "tracking_total_keys": "{}", node.tracking.keys();
        "tracking_total_items": "{}", node.tracking.items();
        "tracking_total_prefixes": "{}", node.tracking.prefixes();
        "unexpected_error_replies": "0";
        "total_error_replies": "{}", count(&stats.error_replies);
        "dump_payload_sanitizations": "{}", count(&stats.dump_payload_sanitizations);
        "total_reads_processed": "{}", count(&stats.reads_processed);
        "total_writes_processed": "{}", count(&stats.writes_processed);
        "io_threaded_reads_processed": "0";
        "io_threaded_writes_processed": "0";
        "reply_buffer_shrinks": "0";
        "reply_buffer_expands": "0";
        "client_output_buffer_limit_disconnections": "{}",
            count(&stats.output_buffer_limit_disconnections);
    }
}

/// CPU seconds. There are no children, as snapshots are taken by threads, and no thread whose time
/// would be that of all commands.
pub(super) fn cpu(node: &Node, _: Now, out: &mut String) {
    let [system, user, children_system, children_user] = node.host.process().cpu;
    out.push_str("# CPU\r\n");
    fields! { out,
        "used_cpu_sys": "{system:.6}";
        "used_cpu_user": "{user:.6}";
        "used_cpu_sys_children": "{children_system:.6}";
        "used_cpu_user_children": "{children_user:.6}";
    }
}

/// Error replies by their code words.
pub(super) fn errorstats(node: &Node, _: Now, out: &mut String) {
    out.push_str("# Errorstats\r\n");
    node.meters.each_error(|code, count| {
        field(out, &format!("errorstat_{code}"), format_args!("count={count}"));
    });
}

/// There is no cluster.
pub(super) fn cluster(_: &Node, _: Now, out: &mut String) {
    out.push_str("# Cluster\r\n");
    fields! { out, "cluster_enabled": "0"; }
}

/// Databases that hold keys.
pub(super) fn keyspace(node: &Node, now: Now, out: &mut String) {
    out.push_str("# Keyspace\r\n");
    for (index, db) in node.keyspace.stats(now.unix).into_iter().enumerate() {
        if db.keys > 0 {
            let (keys, expires, avg_ttl) = (db.keys, db.expires, db.avg_ttl_ms);
            let value = format_args!("keys={keys},expires={expires},avg_ttl={avg_ttl}");
            field(out, &format!("db{index}"), value);
        }
    }
}
