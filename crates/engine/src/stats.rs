//! What INFO counts.
//!
//! A worker counts in plain numbers of its own while it runs a batch and adds them to the shared
//! ones when the batch ends; nothing shared is written for each command.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One worker's counts since its last batch ended.
        #[derive(Default, Debug)]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        /// The counts of all workers.
        #[derive(Default, Debug)]
        pub struct Stats { $($(#[$doc])* pub $name: AtomicU64,)* }

        impl Counters {
            /// Adds these counts to the shared ones and begins again at zero.
            pub fn publish(&mut self, stats: &Stats) {
                $(if self.$name != 0 {
                    stats.$name.fetch_add(std::mem::take(&mut self.$name), Ordering::Relaxed);
                })*
            }
        }

        impl Stats {
            /// Begins again at zero (CONFIG RESETSTAT).
            pub fn reset(&self) {
                $(self.$name.store(0, Ordering::Relaxed);)*
            }
        }
    };
}

counters! {
    /// Commands run.
    commands_processed,
    /// Connections accepted.
    connections_received,
    /// Connections refused because of `maxclients`.
    rejected_connections,
    /// Bytes read from clients.
    net_input_bytes,
    /// Bytes written to clients.
    net_output_bytes,
    /// Bytes read from the master.
    net_repl_input_bytes,
    /// Bytes written to replicas.
    net_repl_output_bytes,
    /// Reads from sockets.
    reads_processed,
    /// Writes to sockets.
    writes_processed,
    /// Lookups that found their key.
    keyspace_hits,
    /// Lookups that did not.
    keyspace_misses,
    /// Keys deleted because their time had come. Whoever deletes one counts it in [`Stats`] before
    /// anybody can miss it.
    expired_keys,
    /// Keys deleted because memory was short. Whoever deletes one counts it in [`Stats`] at once.
    evicted_keys,
    /// Connections closed because memory for clients was short.
    evicted_clients,
    /// Microseconds spent on deleting keys whose time had come, unasked.
    expire_cycle_us,
    /// Error replies.
    error_replies,
    /// Values of RDB files and RESTORE payloads whose inside was looked into.
    dump_payload_sanitizations,
    /// Replicas given everything.
    sync_full,
    /// Replicas given what they had missed.
    sync_partial_ok,
    /// Replicas that asked for what is not there any more.
    sync_partial_err,
    /// Connections closed because they took too long to read their replies.
    output_buffer_limit_disconnections,
}
