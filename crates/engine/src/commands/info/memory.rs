//! The memory section.
//!
//! `used_memory_dataset` is what keys, values and their tables hold, counted exactly by the
//! keyspace; everything else in use is overhead.

use std::sync::atomic::Ordering;

use tandem_base::Now;

use super::fields;
use crate::client::{ClientFlags, ClientInfo};
use crate::eviction::MemoryNow;
use crate::node::{Node, ProcessFacts};

/// Who uses how much, read at one moment.
pub(crate) struct Overheads {
    pub(crate) process: ProcessFacts,
    /// Bytes in use when the node began.
    pub(crate) startup: u64,
    /// Most bytes in use so far.
    pub(crate) peak: u64,
    /// What keys, values and their tables hold.
    pub(crate) dataset: u64,
    /// The stream, as far as it is the backlog.
    pub(crate) backlog: u64,
    /// The stream, as far as it waits for replicas.
    pub(crate) replicas: u64,
    /// Connections that are no replicas.
    pub(crate) clients: u64,
    pub(crate) replica_count: u64,
    pub(crate) client_count: u64,
    /// What is no reason to evict.
    pub(crate) not_counted: u64,
}

impl Overheads {
    pub(crate) fn read(node: &Node) -> Overheads {
        let mut process = node.host.process();
        let MemoryNow { used, not_counted, stream } = node.memory_now();
        process.used_memory = used;
        node.meters.note_memory(used);
        let backlog_size = node.config().repl_backlog_size();
        let all = node.clients.snapshot();
        // One that was killed is as good as gone.
        let is_replica = |info: &ClientInfo| {
            info.flags().contains(ClientFlags::REPLICA) && !info.killed.load(Ordering::Relaxed)
        };
        let replica_count = all.iter().filter(|info| is_replica(info)).count() as u64;
        // What the stream holds beyond the backlog is held for replicas.
        let replicas = if replica_count > 0 { stream.saturating_sub(backlog_size) } else { 0 };
        Overheads {
            startup: node.meters.startup_bytes(),
            peak: node.meters.peak_bytes(),
            dataset: node.keyspace.memory_bytes().min(used),
            backlog: stream - replicas,
            replicas,
            clients: node.clients.held_bytes(),
            replica_count,
            client_count: all.len() as u64 - replica_count,
            process,
            not_counted,
        }
    }
}

/// The section.
pub(super) fn memory(node: &Node, _: Now, out: &mut String) {
    let overheads = Overheads::read(node);
    let Overheads {
        process, startup, peak, dataset, backlog, replicas, clients, not_counted, ..
    } = &overheads;
    let used = process.used_memory;
    let (startup, peak, dataset) = (*startup, *peak, *dataset);
    let config = node.config();
    out.push_str("# Memory\r\n");
    fields! { out,
        "used_memory": "{used}";
        "used_memory_human": "{}", human(used);
        "used_memory_rss": "{}", process.rss;
        "used_memory_rss_human": "{}", human(process.rss);
        "used_memory_peak": "{peak}";
        "used_memory_peak_human": "{}", human(peak);
        "used_memory_peak_perc": "{:.2}%", ratio(used * 100, peak);
        "used_memory_overhead": "{}", used - dataset;
        "used_memory_startup": "{startup}";
        "used_memory_dataset": "{dataset}";
        "used_memory_dataset_perc": "{:.2}%",
            ratio(dataset * 100, used.saturating_sub(startup).max(dataset).max(1));
        "allocator_allocated": "{}", process.allocator_allocated;
        "allocator_active": "{}", process.allocator_active;
        "allocator_resident": "{}", process.allocator_resident;
        "total_system_memory": "{}", process.total_system_memory;
        "total_system_memory_human": "{}", human(process.total_system_memory);
        "used_memory_lua": "0";
        "used_memory_vm_eval": "0";
        "used_memory_lua_human": "0B";
        "used_memory_scripts_eval": "0";
        "number_of_cached_scripts": "0";
        "number_of_functions": "0";
        "number_of_libraries": "0";
        "used_memory_vm_functions": "0";
        "used_memory_vm_total": "0";
        "used_memory_vm_total_human": "0B";
        "used_memory_functions": "0";
        "used_memory_scripts": "0";
        "used_memory_scripts_human": "0B";
        "maxmemory": "{}", config.maxmemory();
        "maxmemory_human": "{}", human(config.maxmemory());
        "maxmemory_policy": "{}", config.maxmemory_policy().name();
        "allocator_frag_ratio": "{:.2}", ratio(process.allocator_active, process.allocator_allocated);
        "allocator_frag_bytes": "{}", difference(process.allocator_active, process.allocator_allocated);
        "allocator_rss_ratio": "{:.2}",
            ratio(process.allocator_resident, process.allocator_active);
        "allocator_rss_bytes": "{}",
            difference(process.allocator_resident, process.allocator_active);
        "rss_overhead_ratio": "{:.2}", ratio(process.rss, process.allocator_resident);
        "rss_overhead_bytes": "{}", difference(process.rss, process.allocator_resident);
        "mem_fragmentation_ratio": "{:.2}", ratio(process.rss, used);
        "mem_fragmentation_bytes": "{}", difference(process.rss, used);
        "mem_not_counted_for_evict": "{not_counted}";
        "mem_replication_backlog": "{backlog}";
        "mem_total_replication_buffers": "{}", backlog + replicas;
        "mem_clients_slaves": "{replicas}";
        "mem_clients_normal": "{clients}";
        "mem_cluster_links": "0";
        "mem_aof_buffer": "0";
        "mem_allocator": "{}", process.allocator;
        "active_defrag_running": "0";
        "lazyfree_pending_objects": "{}", node.lazy_free.pending();
        "lazyfreed_objects": "{}", node.lazy_free.freed();
    }
}

pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

pub(crate) fn difference(a: u64, b: u64) -> i64 {
    a.cast_signed().wrapping_sub(b.cast_signed())
}

/// Bytes as people read them: `512B`, `1.50K`, `23.54G`.
pub(super) fn human(bytes: u64) -> String {
    const UNITS: &[char] = &['K', 'M', 'G', 'T', 'P'];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // Chosen by whole bytes, so that a little less than 1G is 1024.00M and not 1.00G.
    while unit + 1 < UNITS.len() && bytes >> (10 * (unit + 2)) != 0 {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn bytes_are_said_as_redis_says_them() {
        for (bytes, said) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1536, "1.50K"),
            ((1 << 20) - 1, "1024.00K"),
            (1 << 30, "1.00G"),
            (25_276_502_016, "23.54G"),
            (u64::MAX, "16384.00P"),
        ] {
            assert_eq!(human(bytes), said);
        }
    }
}
