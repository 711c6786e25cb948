//! Words without behaviour: the numbers, names and clock readings that every floor of Tandem
//! shares. A newtype stands for each number that two people could mix up.
//!
//! Nothing here reads a clock, allocates for its own sake or knows a protocol.
#![forbid(unsafe_code)]

pub mod num;
mod replication;
mod text;
mod time;

pub use replication::{DbIndex, NextByte, ReplId, ReplOffset};
pub use text::up_to_nul;
pub use time::{Mono, Now, UnixMs};

/// The Redis version whose behaviour Tandem follows and reports as `redis_version`.
pub const REDIS_VERSION: &str = "7.0.15";
/// Tandem's own version, reported as `tandem_version`.
pub const TANDEM_VERSION: &str = env!("CARGO_PKG_VERSION");
