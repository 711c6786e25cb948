//! Sockets, files, threads, signals and clocks around the engine.
//!
//! ```text
//! boot ─► workers (one a core, the first on the main thread): poll, conn, listen, link ─► engine
//!     ├─► signals: hears of them, and tells the housekeeper
//!     ├─► the housekeeper: shutdowns, cron, the start of jobs (snapshots)
//!     └─► end: waits for the exit code, tidies up and ends the process
//! ```

mod boot;
mod clock;
mod config_files;
mod conn;
mod crash;
pub mod daemon;
mod descriptors;
mod doze;
mod files;
mod host;
mod jobs;
mod link;
mod listen;
pub mod log_sink;
mod memory;
mod metrics;
pub mod pidfile;
mod poll;
mod process;
mod reconfigure;
mod rusage;
mod shared;
pub mod signals;
mod snapshot_feed;
mod spool;
mod start_load;
mod temp_files;
mod tls;
mod transport;
mod worker;

pub use boot::run;
pub use memory::Allocator;
