//! `maxmemory`: keys that go when memory is short.
//!
//! ```text
//! a command is about to run ─► used > maxmemory? ─► claim the excess ─► choose, delete, tell … ─► run
//!                                                                    └► nothing to choose: OOM
//! ```
//! Whoever is about to run a command makes room first, on his own thread. Several may do so at
//! once: each *claims* parts of the excess that nobody else is freeing, so that together they
//! free it once. A cycle ends when what it found has been freed or its time is up
//! (`maxmemory-eviction-tenacity`); what is left then is the housekeeper's, and the next
//! command's.
//!
//! With `maxmemory 0` none of this is reached: the state is a bit in the word that every
//! command looks at anyway. What counts as used is the host's to say; from it is taken what
//! replicas have yet to read of the stream, pushes on their way to clients and what is kept for
//! a snapshot alone (evictions make these grow, and would feed themselves), the snapshot's
//! pieces on their way to replicas, and what another thread is freeing.

mod cycle;
mod pool;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use cycle::{MemoryNow, Room};
pub(crate) use pool::Pool;
pub(crate) use rules::Eviction;
