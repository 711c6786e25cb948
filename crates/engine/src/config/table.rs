//! The one list of directives: names, old names, defaults, ranges, and what each is for.
//!
//! A row reads
//!
//! ```text
//! /// What it is for.
//! <effect> <key> <getter> "<name>" | "<old name>" [<flags>]: <type> = <default>, <unit> <range>;
//! ```
//!
//! and becomes a [`Directive`], its [`Facts`](super::Facts), and a typed getter on
//! [`Config`](super::Config). `CONFIG GET`, `SET` and `REWRITE`, the reader of `redis.conf`, and
//! `docs/config.md` all read these rows; there is no second list of names or defaults.
//!
//! `Works` says that the directive does what Redis's does. `Accepted` says that it is read,
//! checked, shown and rewritten, and has no effect: the server says so when it is set to
//! anything but its default.

use super::choices::{
    AclPubsub, AllowedFrom, AppendFsync, DisklessLoad, Endpoint, EvictionPolicy, LogLevel,
    OomScoreAdj, PropagationError, SanitizeDump, ShutdownOptions, Supervised, SyslogFacility,
    TlsAuthClients,
};
use super::directive::directives;

const INT_MAX: i128 = i32::MAX as i128;
const INT_MIN: i128 = i32::MIN as i128;
const UINT_MAX: i128 = u32::MAX as i128;
const I64_MAX: i128 = i64::MAX as i128;
const U64_MAX: i128 = u64::MAX as i128;

directives! {
flags {
    /// Defragment memory while serving.
    Accepted Activedefrag activedefrag "activedefrag" [DEBUG] = false;
    /// Move tables to their new size in idle time.
    Accepted Activerehashing activerehashing "activerehashing" = true;
    /// Print the logo even when the log is not a terminal.
    Works AlwaysShowLogo always_show_logo "always-show-logo" [IMMUTABLE] = false;
    /// Keep append-only files that are no longer needed.
    Accepted AofDisableAutoGc aof_disable_auto_gc "aof-disable-auto-gc" = false;
    /// Start even when the append-only file ends in the middle of a command.
    Accepted AofLoadTruncated aof_load_truncated "aof-load-truncated" = true;
    /// Flush in steps while an append-only file is rewritten.
    Accepted AofRewriteIncrementalFsync aof_rewrite_incremental_fsync
        "aof-rewrite-incremental-fsync" = true;
    /// Write time stamps into the append-only file.
    Accepted AofTimestampEnabled aof_timestamp_enabled "aof-timestamp-enabled" = false;
    /// Write the base of an append-only file in RDB format.
    Accepted AofUseRdbPreamble aof_use_rdb_preamble "aof-use-rdb-preamble" = true;
    /// Keep an append-only file.
    Accepted Appendonly appendonly "appendonly" [DENY_LOADING] = false;
    /// Serve shard channels while the cluster is down.
    Accepted ClusterAllowPubsubshardWhenDown cluster_allow_pubsubshard_when_down
        "cluster-allow-pubsubshard-when-down" = true;
    /// Serve reads while the cluster is down.
    Accepted ClusterAllowReadsWhenDown cluster_allow_reads_when_down
        "cluster-allow-reads-when-down" = false;
    /// Let replicas move to masters that have none.
    Accepted ClusterAllowReplicaMigration cluster_allow_replica_migration
        "cluster-allow-replica-migration" = true;
    /// Run as a node of a cluster.
    Accepted ClusterEnabled cluster_enabled "cluster-enabled" [IMMUTABLE] = false;
    /// Never promote this replica by itself.
    Accepted ClusterReplicaNoFailover cluster_replica_no_failover
        "cluster-replica-no-failover" | "cluster-slave-no-failover" = false;
    /// Stop serving when some slots have no master.
    Accepted ClusterRequireFullCoverage cluster_require_full_coverage
        "cluster-require-full-coverage" = true;
    /// Write a report when the process crashes.
    Works CrashLogEnabled crash_log_enabled "crash-log-enabled" = true;
    /// Test memory after a crash.
    Accepted CrashMemcheckEnabled crash_memcheck_enabled "crash-memcheck-enabled" = true;
    /// Run in the background.
    Works Daemonize daemonize "daemonize" [IMMUTABLE] = false;
    /// Turn transparent huge pages off for this process.
    Works DisableThp disable_thp "disable-thp" [IMMUTABLE] = true;
    /// Do periodic work more often with many clients.
    Accepted DynamicHz dynamic_hz "dynamic-hz" = true;
    /// Read and parse in I/O threads too; see `worker-threads`.
    Accepted IoThreadsDoReads io_threads_do_reads "io-threads-do-reads" [IMMUTABLE | DEBUG] = false;
    /// Let the allocator give memory back in a background thread.
    Works JemallocBgThread jemalloc_bg_thread "jemalloc-bg-thread" = true;
    /// Keep a histogram of latencies for each command.
    Works LatencyTracking latency_tracking "latency-tracking" = true;
    /// Free evicted values in the background.
    Works LazyfreeLazyEviction lazyfree_lazy_eviction "lazyfree-lazy-eviction" [DEBUG] = false;
    /// Free expired values in the background.
    Works LazyfreeLazyExpire lazyfree_lazy_expire "lazyfree-lazy-expire" [DEBUG] = false;
    /// Free overwritten values in the background.
    Works LazyfreeLazyServerDel lazyfree_lazy_server_del
        "lazyfree-lazy-server-del" [DEBUG] = false;
    /// Make DEL behave as UNLINK.
    Works LazyfreeLazyUserDel lazyfree_lazy_user_del "lazyfree-lazy-user-del" [DEBUG] = false;
    /// Make FLUSHALL and FLUSHDB asynchronous unless told otherwise.
    Works LazyfreeLazyUserFlush lazyfree_lazy_user_flush
        "lazyfree-lazy-user-flush" [DEBUG] = false;
    /// Do not flush the append-only file during a rewrite or save.
    Accepted NoAppendfsyncOnRewrite no_appendfsync_on_rewrite "no-appendfsync-on-rewrite" = false;
    /// Refuse clients from other machines while no password is set.
    Works ProtectedMode protected_mode "protected-mode" = true;
    /// Delete RDB files made for replication when nothing else needs them.
    Accepted RdbDelSyncFiles rdb_del_sync_files "rdb-del-sync-files" = false;
    /// Flush in steps while an RDB file is saved.
    Accepted RdbSaveIncrementalFsync rdb_save_incremental_fsync "rdb-save-incremental-fsync" = true;
    /// Write and verify the checksum of RDB files.
    Works Rdbchecksum rdbchecksum "rdbchecksum" [IMMUTABLE] = true;
    /// Compress strings in RDB files.
    Works Rdbcompression rdbcompression "rdbcompression" = true;
    /// Let the kernel gather small packets on replica links.
    Works ReplDisableTcpNodelay repl_disable_tcp_nodelay "repl-disable-tcp-nodelay" = false;
    /// Send a full resync to sockets, not by way of a file.
    Works ReplDisklessSync repl_diskless_sync "repl-diskless-sync" [DEBUG] = true;
    /// Let Sentinel tell clients about this replica.
    Works ReplicaAnnounced replica_announced "replica-announced" = true;
    /// Go on applying writes when they cannot be persisted.
    Accepted ReplicaIgnoreDiskWriteErrors replica_ignore_disk_write_errors
        "replica-ignore-disk-write-errors" = false;
    /// A replica does not evict; it follows its master.
    Works ReplicaIgnoreMaxmemory replica_ignore_maxmemory
        "replica-ignore-maxmemory" | "slave-ignore-maxmemory" = true;
    /// Free a replica's old data in the background during a full resync.
    Accepted ReplicaLazyFlush replica_lazy_flush "replica-lazy-flush" | "slave-lazy-flush" = false;
    /// Refuse writes from clients of a replica.
    Works ReplicaReadOnly replica_read_only "replica-read-only" | "slave-read-only" [DEBUG] = true;
    /// Answer from old data while the link to the master is down.
    Works ReplicaServeStaleData replica_serve_stale_data
        "replica-serve-stale-data" | "slave-serve-stale-data" = true;
    /// Change the title of the process.
    Works SetProcTitle set_proc_title "set-proc-title" [IMMUTABLE] = true;
    /// Refuse writes after a failed background save.
    Works StopWritesOnBgsaveError stop_writes_on_bgsave_error "stop-writes-on-bgsave-error" = true;
    /// Log to syslog too.
    Works SyslogEnabled syslog_enabled "syslog-enabled" [IMMUTABLE] = false;
    /// Use TLS on the cluster bus.
    Accepted TlsCluster tls_cluster "tls-cluster" = false;
    /// Let the server choose the cipher.
    Works TlsPreferServerCiphers tls_prefer_server_ciphers "tls-prefer-server-ciphers" = false;
    /// Use TLS to the master.
    Works TlsReplication tls_replication "tls-replication" = false;
    /// Keep TLS sessions for quick returns.
    Works TlsSessionCaching tls_session_caching "tls-session-caching" = true;
    /// Exit instead of aborting on a failed assertion. For tests.
    Accepted UseExitOnPanic use_exit_on_panic "use-exit-on-panic" [HIDDEN] = false;
}
numbers {
    /// Entries that ACL LOG keeps.
    Works AcllogMaxLen acllog_max_len "acllog-max-len": u64 = 128, Plain 0..=I64_MAX;
    /// Most CPU, in percent, that defragmentation may use.
    Accepted ActiveDefragCycleMax active_defrag_cycle_max
        "active-defrag-cycle-max": u32 = 25, Plain 1..=99;
    /// Least CPU, in percent, that defragmentation uses.
    Accepted ActiveDefragCycleMin active_defrag_cycle_min
        "active-defrag-cycle-min": u32 = 1, Plain 1..=99;
    /// Waste below which defragmentation does not start.
    Accepted ActiveDefragIgnoreBytes active_defrag_ignore_bytes
        "active-defrag-ignore-bytes": u64 = 100 << 20, Bytes 1..=I64_MAX;
    /// Collections larger than this are defragmented in steps.
    Accepted ActiveDefragMaxScanFields active_defrag_max_scan_fields
        "active-defrag-max-scan-fields": u64 = 1000, Plain 1..=I64_MAX;
    /// Fragmentation, in percent, at which defragmentation starts.
    Accepted ActiveDefragThresholdLower active_defrag_threshold_lower
        "active-defrag-threshold-lower": u32 = 10, Plain 0..=1000;
    /// Fragmentation, in percent, at which it works hardest.
    Accepted ActiveDefragThresholdUpper active_defrag_threshold_upper
        "active-defrag-threshold-upper": u32 = 100, Plain 0..=1000;
    /// How much work the active expiry cycle does, 1 to 10.
    Accepted ActiveExpireEffort active_expire_effort "active-expire-effort": u32 = 1, Plain 1..=10;
    /// Size below which the append-only file is not rewritten by itself.
    Accepted AutoAofRewriteMinSize auto_aof_rewrite_min_size
        "auto-aof-rewrite-min-size": u64 = 64 << 20, Bytes 0..=I64_MAX;
    /// Growth, in percent, after which the append-only file is rewritten.
    Accepted AutoAofRewritePercentage auto_aof_rewrite_percentage
        "auto-aof-rewrite-percentage": u32 = 100, Plain 0..=INT_MAX;
    /// Milliseconds after which a script makes others see BUSY.
    Accepted BusyReplyThreshold busy_reply_threshold
        "busy-reply-threshold" | "lua-time-limit": u64 = 5000, Plain 0..=I64_MAX;
    /// Bytes that one client may have sent without a complete command.
    Works ClientQueryBufferLimit client_query_buffer_limit
        "client-query-buffer-limit" [DEBUG]: u64 = 1 << 30, Bytes 1 << 20..=I64_MAX;
    /// Port of the cluster bus told to others.
    Accepted ClusterAnnounceBusPort cluster_announce_bus_port
        "cluster-announce-bus-port": u16 = 0, Plain 0..=65535;
    /// Port told to others in a cluster.
    Accepted ClusterAnnouncePort cluster_announce_port
        "cluster-announce-port": u16 = 0, Plain 0..=65535;
    /// TLS port told to others in a cluster.
    Accepted ClusterAnnounceTlsPort cluster_announce_tls_port
        "cluster-announce-tls-port": u16 = 0, Plain 0..=65535;
    /// Limit of unsent bytes on a link of the cluster bus.
    Accepted ClusterLinkSendbufLimit cluster_link_sendbuf_limit
        "cluster-link-sendbuf-limit": u64 = 0, Bytes 0..=U64_MAX;
    /// Replicas that a master keeps before one may move away.
    Accepted ClusterMigrationBarrier cluster_migration_barrier
        "cluster-migration-barrier": u32 = 1, Plain 0..=INT_MAX;
    /// Milliseconds after which a cluster node counts as down.
    Accepted ClusterNodeTimeout cluster_node_timeout
        "cluster-node-timeout": u64 = 15000, Plain 0..=I64_MAX;
    /// Port of the cluster bus; 0 is `port` plus 10000.
    Accepted ClusterPort cluster_port "cluster-port" [IMMUTABLE]: u16 = 0, Plain 0..=65535;
    /// How old a replica's data may be for a promotion.
    Accepted ClusterReplicaValidityFactor cluster_replica_validity_factor
        "cluster-replica-validity-factor" | "cluster-slave-validity-factor"
            : u32 = 10, Plain 0..=INT_MAX;
    /// Number of databases.
    Works Databases databases "databases" [IMMUTABLE]: u32 = 16, Plain 1..=65535;
    /// Fields up to which a hash is kept as a listpack.
    Works HashMaxListpackEntries hash_max_listpack_entries
        "hash-max-listpack-entries" | "hash-max-ziplist-entries": u64 = 512, Plain 0..=I64_MAX;
    /// Bytes of a field or value up to which a hash is kept as a listpack.
    Works HashMaxListpackValue hash_max_listpack_value
        "hash-max-listpack-value" | "hash-max-ziplist-value": u64 = 64, Bytes 0..=I64_MAX;
    /// Bytes up to which a HyperLogLog is kept sparse.
    Accepted HllSparseMaxBytes hll_sparse_max_bytes
        "hll-sparse-max-bytes": u64 = 3000, Bytes 0..=I64_MAX;
    /// Runs of the periodic work in a second; kept within 1 and 500.
    Works Hz hz "hz": u32 = 10, Plain 0..=INT_MAX;
    /// Threads for reading and writing; see `worker-threads`.
    Accepted IoThreads io_threads "io-threads" [IMMUTABLE | DEBUG]: u32 = 1, Plain 1..=128;
    /// Microseconds to wait for each key loaded; negative: per so many keys. For tests.
    Works KeyLoadDelay key_load_delay "key-load-delay" [HIDDEN]: i32 = 0, Plain INT_MIN..=INT_MAX;
    /// Milliseconds from which an event is recorded for LATENCY; 0 is off.
    Works LatencyMonitorThreshold latency_monitor_threshold
        "latency-monitor-threshold": u64 = 0, Plain 0..=I64_MAX;
    /// TCP port of the metrics in Prometheus's form; 0 is none.
    Works MetricsPort metrics_port "metrics-port": u16 = 0, Plain 0..=65535;
    /// Minutes after which an access counter is halved.
    Works LfuDecayTime lfu_decay_time "lfu-decay-time": u32 = 1, Plain 0..=INT_MAX;
    /// How slowly access counters grow.
    Works LfuLogFactor lfu_log_factor "lfu-log-factor": u32 = 10, Plain 0..=INT_MAX;
    /// Nodes at each end of a list that stay uncompressed; 0: none is compressed.
    Accepted ListCompressDepth list_compress_depth
        "list-compress-depth" [DEBUG]: u32 = 0, Plain 0..=INT_MAX;
    /// Size of a list's nodes: entries, or -1 to -5 for 4 to 64 kilobytes.
    Accepted ListMaxListpackSize list_max_listpack_size
        "list-max-listpack-size" | "list-max-ziplist-size": i32 = -2, Plain INT_MIN..=INT_MAX;
    /// Bytes loaded between two looks at the clients.
    Works LoadingProcessEventsIntervalBytes loading_process_events_interval_bytes
        "loading-process-events-interval-bytes" [HIDDEN]: u32 = 2097152, Plain 1024..=INT_MAX;
    /// Most clients at one time.
    Works Maxclients maxclients "maxclients": u32 = 10000, Plain 1..=UINT_MAX;
    /// Bytes of data from which eviction starts; 0 is no limit.
    Works Maxmemory maxmemory "maxmemory": u64 = 0, Bytes 0..=U64_MAX;
    /// Bytes, or percent of `maxmemory`, for all clients together; 0 is no limit.
    Works MaxmemoryClients maxmemory_clients
        "maxmemory-clients": i64 = 0, BytesOrPercent -100..=I64_MAX;
    /// How long eviction may delay a command, 0 to 100.
    Works MaxmemoryEvictionTenacity maxmemory_eviction_tenacity
        "maxmemory-eviction-tenacity": u32 = 10, Plain 0..=100;
    /// Keys looked at for one eviction.
    Works MaxmemorySamples maxmemory_samples "maxmemory-samples": u32 = 5, Plain 1..=INT_MAX;
    /// Seconds since its last ACK within which a replica counts for `min-replicas-to-write`.
    Works MinReplicasMaxLag min_replicas_max_lag
        "min-replicas-max-lag" | "min-slaves-max-lag": u32 = 10, Plain 0..=INT_MAX;
    /// Replicas without which writes are refused; 0 is off.
    Works MinReplicasToWrite min_replicas_to_write
        "min-replicas-to-write" | "min-slaves-to-write": u32 = 0, Plain 0..=INT_MAX;
    /// TCP port; 0 is none.
    Works Port port "port": u16 = 6379, Plain 0..=65535;
    /// Longest string that a client may send.
    Works ProtoMaxBulkLen proto_max_bulk_len
        "proto-max-bulk-len" [DEBUG]: u64 = 512 << 20, Bytes 1 << 20..=I64_MAX;
    /// Microseconds to wait for each key saved; negative: per so many keys. For tests.
    Works RdbKeySaveDelay rdb_key_save_delay
        "rdb-key-save-delay" [HIDDEN]: i32 = 0, Plain INT_MIN..=INT_MAX;
    /// Bytes of the stream that are kept for partial resyncs.
    Works ReplBacklogSize repl_backlog_size "repl-backlog-size": u64 = 1 << 20, Bytes 1..=I64_MAX;
    /// Seconds without replicas after which the backlog is dropped; 0 is never.
    Works ReplBacklogTtl repl_backlog_ttl "repl-backlog-ttl": u64 = 3600, Plain 0..=I64_MAX;
    /// Seconds to wait for more replicas before a diskless resync.
    Works ReplDisklessSyncDelay repl_diskless_sync_delay
        "repl-diskless-sync-delay": u32 = 5, Plain 0..=INT_MAX;
    /// Replicas after which a diskless resync starts at once; 0 is off.
    Works ReplDisklessSyncMaxReplicas repl_diskless_sync_max_replicas
        "repl-diskless-sync-max-replicas": u32 = 0, Plain 0..=INT_MAX;
    /// Seconds between a master's pings to its replicas.
    Works ReplPingReplicaPeriod repl_ping_replica_period
        "repl-ping-replica-period" | "repl-ping-slave-period": u32 = 10, Plain 1..=INT_MAX;
    /// Seconds of silence after which a replication link is given up.
    Works ReplTimeout repl_timeout "repl-timeout": u32 = 60, Plain 1..=INT_MAX;
    /// Port that a replica tells its master.
    Works ReplicaAnnouncePort replica_announce_port
        "replica-announce-port" | "slave-announce-port": u16 = 0, Plain 0..=65535;
    /// Rank for promotion by Sentinel: lower is better, 0 is never.
    Works ReplicaPriority replica_priority
        "replica-priority" | "slave-priority": u32 = 100, Plain 0..=INT_MAX;
    /// Integers up to which a set is kept as an intset.
    Accepted SetMaxIntsetEntries set_max_intset_entries
        "set-max-intset-entries": u64 = 512, Plain 0..=I64_MAX;
    /// Seconds that a shutdown waits for lagging replicas.
    Works ShutdownTimeout shutdown_timeout "shutdown-timeout": u32 = 10, Plain 0..=INT_MAX;
    /// Microseconds from which a command is logged as slow; -1 is off.
    Works SlowlogLogSlowerThan slowlog_log_slower_than
        "slowlog-log-slower-than": i64 = 10000, Plain -1..=I64_MAX;
    /// Entries that SLOWLOG keeps.
    Works SlowlogMaxLen slowlog_max_len "slowlog-max-len": u64 = 128, Plain 0..=I64_MAX;
    /// Mark put on listening and outgoing sockets.
    Works SocketMarkId socket_mark_id "socket-mark-id" [IMMUTABLE]: u32 = 0, Plain 0..=UINT_MAX;
    /// Bytes of one node of a stream.
    Accepted StreamNodeMaxBytes stream_node_max_bytes
        "stream-node-max-bytes": u64 = 4096, Bytes 0..=I64_MAX;
    /// Entries of one node of a stream.
    Accepted StreamNodeMaxEntries stream_node_max_entries
        "stream-node-max-entries": u64 = 100, Plain 0..=I64_MAX;
    /// Connections that may wait to be accepted.
    Works TcpBacklog tcp_backlog "tcp-backlog" [IMMUTABLE]: u32 = 511, Plain 0..=INT_MAX;
    /// Seconds between probes on a silent connection; 0 is off.
    Works TcpKeepalive tcp_keepalive "tcp-keepalive": u32 = 300, Plain 0..=INT_MAX;
    /// Seconds after which an idle client is closed; 0 is never.
    Works Timeout timeout "timeout": u32 = 0, Plain 0..=INT_MAX;
    /// TCP port for TLS; 0 is none.
    Works TlsPort tls_port "tls-port": u16 = 0, Plain 0..=65535;
    /// TLS sessions that are kept; 0 is no limit.
    Works TlsSessionCacheSize tls_session_cache_size
        "tls-session-cache-size": u32 = 20480, Plain 0..=INT_MAX;
    /// Seconds that a TLS session is kept.
    Works TlsSessionCacheTimeout tls_session_cache_timeout
        "tls-session-cache-timeout": u32 = 300, Plain 0..=INT_MAX;
    /// Keys that are remembered for client-side caching.
    Works TrackingTableMaxKeys tracking_table_max_keys
        "tracking-table-max-keys": u64 = 1000000, Plain 0..=I64_MAX;
    /// Permissions of the unix socket, in octal.
    Works Unixsocketperm unixsocketperm "unixsocketperm" [IMMUTABLE]: u32 = 0, Octal 0..=0o777;
    /// Milliseconds after which a stalled server logs where it is. For tests.
    Accepted WatchdogPeriod watchdog_period "watchdog-period" [HIDDEN]: u32 = 0, Plain 0..=INT_MAX;
    /// Threads that serve clients; 0 is one for each CPU. Counts from the next start.
    Works WorkerThreads worker_threads "worker-threads": u32 = 0, Plain 0..=1024;
    /// Members up to which a sorted set is kept as a listpack.
    Accepted ZsetMaxListpackEntries zset_max_listpack_entries
        "zset-max-listpack-entries" | "zset-max-ziplist-entries": u64 = 128, Plain 0..=I64_MAX;
    /// Bytes of a member up to which a sorted set is kept as a listpack.
    Accepted ZsetMaxListpackValue zset_max_listpack_value
        "zset-max-listpack-value" | "zset-max-ziplist-value": u64 = 64, Bytes 0..=I64_MAX;
}
texts {
    /// File that holds the users, instead of `user` lines.
    Works Aclfile aclfile "aclfile" [IMMUTABLE]: text = Some("");
    /// CPUs of the process that rewrites the append-only file.
    Accepted AofRewriteCpulist aof_rewrite_cpulist "aof_rewrite_cpulist" [IMMUTABLE]: text = None;
    /// Folder of the append-only files, inside `dir`.
    Accepted Appenddirname appenddirname "appenddirname" [IMMUTABLE]: text = Some("appendonlydir");
    /// Stem of the names of the append-only files.
    Accepted Appendfilename appendfilename
        "appendfilename" [IMMUTABLE]: text = Some("appendonly.aof");
    /// CPUs of the process that saves in the background.
    Works BgsaveCpulist bgsave_cpulist "bgsave_cpulist" [IMMUTABLE]: text = None;
    /// Address from which the server connects to others.
    Works BindSourceAddr bind_source_addr "bind-source-addr": text = None;
    /// CPUs of the threads for background work.
    Works BioCpulist bio_cpulist "bio_cpulist" [IMMUTABLE]: text = None;
    /// Host name told to others in a cluster.
    Accepted ClusterAnnounceHostname cluster_announce_hostname
        "cluster-announce-hostname": text = None;
    /// Address told to others in a cluster.
    Accepted ClusterAnnounceIp cluster_announce_ip "cluster-announce-ip": text = None;
    /// File in which a cluster node keeps its state.
    Accepted ClusterConfigFile cluster_config_file
        "cluster-config-file" [IMMUTABLE]: text = Some("nodes.conf");
    /// Name of the RDB file, inside `dir`.
    Works Dbfilename dbfilename "dbfilename" [PROTECTED]: text = Some("dump.rdb");
    /// Working folder: RDB and append-only files live here.
    Works Dir dir "dir" [PROTECTED | DENY_LOADING]: text = None;
    /// Start-up warnings that must not stop the server.
    Accepted IgnoreWarnings ignore_warnings "ignore-warnings": text = Some("");
    /// File for the log; empty is standard output.
    Works Logfile logfile "logfile" [IMMUTABLE]: text = Some("");
    /// Password for the master.
    Works Masterauth masterauth "masterauth" [SENSITIVE]: bytes = None;
    /// User name for the master.
    Works Masteruser masteruser "masteruser" [SENSITIVE]: text = None;
    /// File that holds the process id while the server runs.
    Works Pidfile pidfile "pidfile" [IMMUTABLE]: text = None;
    /// Address on which the metrics are served.
    Works MetricsBind metrics_bind "metrics-bind": text = Some("127.0.0.1");
    /// Title of the process as `ps` shows it.
    Works ProcTitleTemplate proc_title_template
        "proc-title-template": text = Some("{title} {listen-addr} {server-mode}");
    /// Address that a replica tells its master.
    Works ReplicaAnnounceIp replica_announce_ip
        "replica-announce-ip" | "slave-announce-ip": text = None;
    /// Password of the default user.
    Works Requirepass requirepass "requirepass" [SENSITIVE]: bytes = None;
    /// CPUs of the threads that serve clients.
    Works ServerCpulist server_cpulist "server_cpulist" [IMMUTABLE]: text = None;
    /// Name for syslog.
    Works SyslogIdent syslog_ident "syslog-ident" [IMMUTABLE]: text = Some("redis");
    /// Folder of trusted certificates.
    Works TlsCaCertDir tls_ca_cert_dir "tls-ca-cert-dir" [VOLATILE]: text = None;
    /// File of trusted certificates.
    Works TlsCaCertFile tls_ca_cert_file "tls-ca-cert-file" [VOLATILE]: text = None;
    /// Certificate of the server.
    Works TlsCertFile tls_cert_file "tls-cert-file" [VOLATILE]: text = None;
    /// Ciphers for TLS 1.2 and older.
    Works TlsCiphers tls_ciphers "tls-ciphers": text = None;
    /// Cipher suites for TLS 1.3.
    Works TlsCiphersuites tls_ciphersuites "tls-ciphersuites": text = None;
    /// Certificate shown to others.
    Works TlsClientCertFile tls_client_cert_file "tls-client-cert-file" [VOLATILE]: text = None;
    /// Key of the certificate shown to others.
    Works TlsClientKeyFile tls_client_key_file "tls-client-key-file" [VOLATILE]: text = None;
    /// Password of that key.
    Works TlsClientKeyFilePass tls_client_key_file_pass "tls-client-key-file-pass": text = None;
    /// Diffie-Hellman parameters.
    Accepted TlsDhParamsFile tls_dh_params_file "tls-dh-params-file" [VOLATILE]: text = None;
    /// Key of the server's certificate.
    Works TlsKeyFile tls_key_file "tls-key-file" [VOLATILE]: text = None;
    /// Password of that key.
    Works TlsKeyFilePass tls_key_file_pass "tls-key-file-pass": text = None;
    /// TLS versions that are offered.
    Works TlsProtocols tls_protocols "tls-protocols": text = None;
    /// Path of a unix socket to listen on.
    Works Unixsocket unixsocket "unixsocket" [IMMUTABLE]: text = None;
}
choices {
    /// Channel rights that a new user starts with.
    Works AclPubsubDefault acl_pubsub_default "acl-pubsub-default": AclPubsub = ResetChannels;
    /// When the append-only file is flushed to the disk.
    Accepted Appendfsync appendfsync "appendfsync": AppendFsync = EverySecond;
    /// What a cluster tells clients as a node's address.
    Accepted ClusterPreferredEndpointType cluster_preferred_endpoint_type
        "cluster-preferred-endpoint-type": Endpoint = Ip;
    /// Who may use DEBUG.
    Works EnableDebugCommand enable_debug_command
        "enable-debug-command" [IMMUTABLE]: AllowedFrom = No;
    /// Who may use MODULE.
    Works EnableModuleCommand enable_module_command
        "enable-module-command" [IMMUTABLE]: AllowedFrom = No;
    /// Who may change protected directives at run time.
    Works EnableProtectedConfigs enable_protected_configs
        "enable-protected-configs" [IMMUTABLE]: AllowedFrom = No;
    /// Least important messages that are logged.
    Works Loglevel loglevel "loglevel": LogLevel = Notice;
    /// Which keys are evicted.
    Works MaxmemoryPolicy maxmemory_policy "maxmemory-policy": EvictionPolicy = NoEviction;
    /// Adjust how soon the kernel kills this process when memory runs out.
    Works OomScoreAdj oom_score_adj "oom-score-adj": OomScoreAdj = No;
    /// What happens when a replicated command fails.
    Accepted PropagationErrorBehavior propagation_error_behavior
        "propagation-error-behavior": PropagationError = Ignore;
    /// When a replica loads straight from the socket.
    Accepted ReplDisklessLoad repl_diskless_load
        "repl-diskless-load" [DENY_LOADING | DEBUG]: DisklessLoad = Disabled;
    /// Verify values in depth when they are loaded or restored.
    Works SanitizeDumpPayload sanitize_dump_payload
        "sanitize-dump-payload" [DEBUG]: SanitizeDump = No;
    /// What SIGINT does: options of SHUTDOWN.
    Works ShutdownOnSigint shutdown_on_sigint
        "shutdown-on-sigint" [MULTI_ARG]: ShutdownOptions = DEFAULT;
    /// What SIGTERM does: options of SHUTDOWN.
    Works ShutdownOnSigterm shutdown_on_sigterm
        "shutdown-on-sigterm" [MULTI_ARG]: ShutdownOptions = DEFAULT;
    /// Which supervisor is told when the server is ready.
    Works Supervised supervised "supervised" [IMMUTABLE]: Supervised = No;
    /// Facility for syslog.
    Works SyslogFacility syslog_facility "syslog-facility" [IMMUTABLE]: SyslogFacility = Local0;
    /// Whether TLS clients must show a certificate.
    Works TlsAuthClients tls_auth_clients "tls-auth-clients": TlsAuthClients = Yes;
}
others {
    /// Addresses to listen on; `-` before one makes it optional.
    Works Bind "bind" [MULTI_ARG]: Bind;
    /// Limits of unsent replies for a class of clients.
    Works ClientOutputBufferLimit "client-output-buffer-limit" [MULTI_ARG]: BufferLimits;
    /// Percentiles that INFO latencystats prints.
    Works LatencyTrackingInfoPercentiles
        "latency-tracking-info-percentiles" [MULTI_ARG]: Percentiles;
    /// Classes of keyspace events that are published.
    Works NotifyKeyspaceEvents "notify-keyspace-events": KeyspaceEvents;
    /// Scores for a master, a replica and a background process.
    Works OomScoreAdjValues "oom-score-adj-values" [MULTI_ARG]: OomScores;
    /// The master to copy: host and port, or `no one`.
    Works Replicaof "replicaof" | "slaveof" [IMMUTABLE | MULTI_ARG]: ReplicaOf;
    /// Save points: after so many seconds if at least so many changes.
    Works Save "save" [MULTI_ARG]: SavePoints;
}
}
