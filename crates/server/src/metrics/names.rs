//! The table: which field of INFO is which metric.
//!
//! Names and types are redis_exporter's (1.45, as Debian ships it); the test of interoperation
//! compares them with what it really shows.

/// What Prometheus calls the kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows.
    Counter,
    /// Quantiles with a sum and a count.
    Summary,
}

/// One field of INFO.
pub(super) struct Row {
    /// Its name in INFO.
    pub field: &'static str,
    /// The metric's name, without `redis_`.
    pub name: &'static str,
    /// The metric's kind.
    pub kind: Kind,
}

const fn gauge(field: &'static str, name: &'static str) -> Row {
    Row { field, name, kind: Kind::Gauge }
}

const fn counter(field: &'static str, name: &'static str) -> Row {
    Row { field, name, kind: Kind::Counter }
}

/// All of them.
pub(super) const FIELDS: &[Row] = &[
    gauge("uptime_in_seconds", "uptime_in_seconds"),
    gauge("process_id", "process_id"),
    gauge("io_threads_active", "io_threads_active"),
    gauge("connected_clients", "connected_clients"),
    gauge("blocked_clients", "blocked_clients"),
    gauge("tracking_clients", "tracking_clients"),
    gauge("clients_in_timeout_table", "clients_in_timeout_table"),
    gauge("cluster_connections", "cluster_connections"),
    gauge("client_recent_max_output_buffer", "client_recent_max_output_buffer_bytes"),
    gauge("client_recent_max_input_buffer", "client_recent_max_input_buffer_bytes"),
    gauge("allocator_active", "allocator_active_bytes"),
    gauge("allocator_allocated", "allocator_allocated_bytes"),
    gauge("allocator_resident", "allocator_resident_bytes"),
    gauge("allocator_frag_ratio", "allocator_frag_ratio"),
    gauge("allocator_frag_bytes", "allocator_frag_bytes"),
    gauge("allocator_rss_ratio", "allocator_rss_ratio"),
    gauge("allocator_rss_bytes", "allocator_rss_bytes"),
    gauge("used_memory", "memory_used_bytes"),
    gauge("used_memory_rss", "memory_used_rss_bytes"),
    gauge("used_memory_peak", "memory_used_peak_bytes"),
    gauge("used_memory_lua", "memory_used_lua_bytes"),
    gauge("used_memory_overhead", "memory_used_overhead_bytes"),
    gauge("used_memory_startup", "memory_used_startup_bytes"),
    gauge("used_memory_dataset", "memory_used_dataset_bytes"),
    gauge("number_of_cached_scripts", "number_of_cached_scripts"),
    gauge("used_memory_scripts", "memory_used_scripts_bytes"),
    gauge("maxmemory", "memory_max_bytes"),
    gauge("mem_fragmentation_ratio", "mem_fragmentation_ratio"),
    gauge("mem_fragmentation_bytes", "mem_fragmentation_bytes"),
    gauge("mem_clients_slaves", "mem_clients_slaves"),
    gauge("mem_clients_normal", "mem_clients_normal"),
    gauge("mem_not_counted_for_evict", "mem_not_counted_for_eviction_bytes"),
    gauge("expired_stale_perc", "expired_stale_percentage"),
    gauge("lazyfree_pending_objects", "lazyfree_pending_objects"),
    gauge("active_defrag_running", "active_defrag_running"),
    gauge("migrate_cached_sockets", "migrate_cached_sockets_total"),
    gauge("active_defrag_hits", "defrag_hits"),
    gauge("active_defrag_misses", "defrag_misses"),
    gauge("active_defrag_key_hits", "defrag_key_hits"),
    gauge("active_defrag_key_misses", "defrag_key_misses"),
    gauge("loading", "loading_dump_file"),
    gauge("rdb_changes_since_last_save", "rdb_changes_since_last_save"),
    gauge("rdb_bgsave_in_progress", "rdb_bgsave_in_progress"),
    gauge("rdb_last_save_time", "rdb_last_save_timestamp_seconds"),
    gauge("rdb_last_bgsave_status", "rdb_last_bgsave_status"),
    gauge("rdb_last_bgsave_time_sec", "rdb_last_bgsave_duration_sec"),
    gauge("rdb_current_bgsave_time_sec", "rdb_current_bgsave_duration_sec"),
    gauge("rdb_last_cow_size", "rdb_last_cow_size_bytes"),
    gauge("aof_enabled", "aof_enabled"),
    gauge("aof_rewrite_in_progress", "aof_rewrite_in_progress"),
    gauge("aof_rewrite_scheduled", "aof_rewrite_scheduled"),
    gauge("aof_last_rewrite_time_sec", "aof_last_rewrite_duration_sec"),
    gauge("aof_current_rewrite_time_sec", "aof_current_rewrite_duration_sec"),
    gauge("aof_last_cow_size", "aof_last_cow_size_bytes"),
    gauge("aof_last_bgrewrite_status", "aof_last_bgrewrite_status"),
    gauge("aof_last_write_status", "aof_last_write_status"),
    gauge("module_fork_in_progress", "module_fork_in_progress"),
    gauge("module_fork_last_cow_size", "module_fork_last_cow_size"),
    gauge("pubsub_channels", "pubsub_channels"),
    gauge("pubsub_patterns", "pubsub_patterns"),
    gauge("tracking_total_keys", "tracking_total_keys"),
    gauge("tracking_total_items", "tracking_total_items"),
    gauge("tracking_total_prefixes", "tracking_total_prefixes"),
    gauge("connected_slaves", "connected_slaves"),
    gauge("repl_backlog_size", "replication_backlog_bytes"),
    gauge("repl_backlog_active", "repl_backlog_is_active"),
    gauge("repl_backlog_first_byte_offset", "repl_backlog_first_byte_offset"),
    gauge("repl_backlog_histlen", "repl_backlog_history_bytes"),
    gauge("master_repl_offset", "master_repl_offset"),
    gauge("second_repl_offset", "second_repl_offset"),
    gauge("slave_expires_tracked_keys", "slave_expires_tracked_keys"),
    gauge("slave_priority", "slave_priority"),
    gauge("sync_full", "replica_resyncs_full"),
    gauge("sync_partial_ok", "replica_partial_resync_accepted"),
    gauge("sync_partial_err", "replica_partial_resync_denied"),
    gauge("cluster_enabled", "cluster_enabled"),
    counter("total_connections_received", "connections_received_total"),
    counter("total_commands_processed", "commands_processed_total"),
    counter("rejected_connections", "rejected_connections_total"),
    counter("total_net_input_bytes", "net_input_bytes_total"),
    counter("total_net_output_bytes", "net_output_bytes_total"),
    counter("expired_keys", "expired_keys_total"),
    gauge("expired_time_cap_reached_count", "expired_time_cap_reached_total"),
    counter("evicted_keys", "evicted_keys_total"),
    counter("keyspace_hits", "keyspace_hits_total"),
    counter("keyspace_misses", "keyspace_misses_total"),
    counter("used_cpu_sys", "cpu_sys_seconds_total"),
    counter("used_cpu_user", "cpu_user_seconds_total"),
    counter("used_cpu_sys_children", "cpu_sys_children_seconds_total"),
    counter("used_cpu_user_children", "cpu_user_children_seconds_total"),
    counter("used_cpu_sys_main_thread", "cpu_sys_main_thread_seconds_total"),
    counter("used_cpu_user_main_thread", "cpu_user_main_thread_seconds_total"),
    counter("unexpected_error_replies", "unexpected_error_replies"),
    counter("total_error_replies", "total_error_replies"),
    counter("dump_payload_sanitizations", "dump_payload_sanitizations"),
    counter("total_reads_processed", "total_reads_processed"),
    counter("total_writes_processed", "total_writes_processed"),
    counter("io_threaded_reads_processed", "io_threaded_reads_processed"),
    counter("io_threaded_writes_processed", "io_threaded_writes_processed"),
    counter("total_net_repl_input_bytes", "net_repl_input_bytes_total"),
    counter("total_net_repl_output_bytes", "net_repl_output_bytes_total"),
    counter("evicted_clients", "evicted_clients_total"),
];
