//! The keyspace: entries, tables, stripes, expiry, snapshots and RDB.
//!
//! ```text
//! Keyspace ─► Stripe (a lock) ─► Table (one database) ─► Segment (64 slots) ─► Entry (one key)
//!     └─ snapshot: the data at one instant, while writers go on ─► rdb
//! ```
//! A caller hashes a key once, locks its stripe and works there. Nothing here speaks RESP, reads
//! a clock or knows what a command means.

mod access;
mod digest;
mod entry;
mod expiry;
mod hash;
mod hashes;
mod key_counts;
mod keyspace;
mod listpack;
mod overwritten;
mod parts;
pub mod rdb;
mod sample;
mod segment;
mod shared;
mod size_class;
mod snapshot;
mod stripe;
mod table;
mod value;

pub use access::{AccessClock, AccessMeasure};
pub use entry::EntryRef;
pub use hash::KeyHash;
pub use hashes::{FieldPlace, HashIter, HashLimits, HashMut, HashRef, NewHash, NotAHash, Pair};
pub use keyspace::{DbOverhead, DbStats, Keyspace, OldTables, StripeGuard};
pub use overwritten::OldValues;
pub use sample::Eligible;
pub use size_class::size_class;
pub use snapshot::SnapshotWalk;
pub use stripe::{Detached, Stripe};
pub use value::{Expiry, NewString, StringRef, Texts, ValueRef};
