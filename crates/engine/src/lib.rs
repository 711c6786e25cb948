//! One node of Tandem: clients, dispatch, commands, propagation, configuration. It makes no
//! system call: what it needs of the world it asks of its [`Host`](node::Host).
//!
//! ```text
//! bytes ─► dispatch ─► commands ─► db ─► store
//!              │                    └──► effects ─► stream (repl) ─► replicas
//!              └─ gate, locks
//! ```
#![forbid(unsafe_code)]

pub mod acl;
mod ahead;
pub mod blocking;
pub mod client;
pub mod client_memory;
pub mod command_stats;
pub mod commands;
pub mod config;
pub mod cron;
pub mod cx;
pub mod db;
pub mod dispatch;
pub mod effects;
pub mod error;
mod eviction;
mod exec;
pub mod float;
pub mod gate;
pub mod glob;
pub mod intake;
mod judge;
mod lazyfree;
pub mod load_progress;
pub mod loading;
pub mod locks;
pub mod meters;
pub mod monitor;
pub mod node;
pub mod notify;
pub mod onlook;
pub mod own_expiry;
mod pause;
pub mod persistence;
pub mod pubsub;
pub mod pushes;
pub mod redact;
pub mod replication;
pub mod shutdown;
pub mod slowlog;
pub mod spec;
pub mod stats;
mod timing;
pub mod tracking;
pub mod watch;
