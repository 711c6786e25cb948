//! A world from a seed: nodes, links and faults under virtual time.
//!
//! ```text
//!            seed
//!              │
//!   clients ─► World ─► SimNode (the real engine, store and machines) ─┐
//!   faults  ─┘   ▲          │ SimHost: log, chance, disk               │
//!                │          └ wires: delay, pieces, cuts, stalls ◄─────┘
//!              Checks: a replica at N equals its master's past at N; offsets do not go back;
//!                      no ACK is ahead of its data; WAIT promises no more than is; in the
//!                      end all links are up and all data equal
//! ```
//! One thread, one source of chance and one clock that only the world moves: a seed that fails
//! fails again in the same way, event by event. Nothing of the engine is replaced but its host
//! and its sockets; what is absent here is the server's own code, and with it real
//! concurrency: workers take turns, and another client comes in between only where one waits to be
//! alone (`intruder.rs`).
#![forbid(unsafe_code)]

pub mod around;
pub mod checks;
pub mod clock;
pub mod feed;
pub mod host;
pub mod intruder;
pub mod net;
pub mod node;
pub mod plant;
pub mod run;
pub mod trace;
pub mod workload;
pub mod world;

#[cfg(test)]
mod tests;
