//! The replication stream and the machines that move it; no I/O.
//!
//! ```text
//!               the node's driver (sockets, files, clock)
//!        ┌───────────────┬──────────────────┬─────────────────┐
//!        ▼               ▼                  ▼                 ▼
//!   link::Link      stream::Stream     peer::Peer (many)  syncplan
//!   our master      every byte once,   one replica of     who shares which
//!   as we see it    with a window      ours               snapshot, and when
//!        └──────── history::History: whose writes are the same writes ───────┘
//! ```
//! Everything here is a value that a test or a simulator can hold: time comes in as a reading,
//! random ids are handed in, outputs are drained by the caller. The crate never sees a key: an
//! RDB is bytes to load, the stream is bytes to apply, both are the engine's.

pub mod history;
pub mod link;
pub mod log;
pub mod peer;
pub mod replconf;
pub mod stream;
pub mod syncplan;
pub mod wire;

mod block;
