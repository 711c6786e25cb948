//! What the integration tests stand on: real server processes, ours and stock Redis's, on
//! free ports of this machine.
//!
//! ```text
//! Server   one process in its own folder; stopped and removed when dropped
//! Client   one blocking connection, RESP2 and RESP3
//! Proxy    a TCP hop that can be cut, stalled one way, or slowed
//! Load     threads that write what a seed says until told to stop
//! Sync     a bare replica: takes the snapshot, then reads the stream command by command
//! Script   text files of commands that stock Redis and Tandem must answer alike
//! ```
//! A helper here panics when the world is not as the test needs it (no `redis-server`, no answer
//! in time): for a test that is the right end, and the message says what was missing. Nothing
//! here is used by the server, and the server's own code is deliberately not used here: a bug
//! in our parser must not hide itself in our tests.
#![forbid(unsafe_code)]

mod client;
mod folder;
mod load;
mod proxy;
mod script;
mod server;
mod sync;
mod value;
mod words;

use std::time::{Duration, Instant};

pub use client::Client;
pub use folder::Folder;
pub use load::{Load, Rng};
pub use proxy::{Proxy, Way};
pub use script::{Proto, run_script};
pub use server::{Kind, Server, free_port, require};
pub use sync::{Sync, assert_stream, glob};
pub use value::Value;
pub use words::{split_words, without_times};

/// How long anything is waited for that ought to come at once: long enough for a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks `condition` every 10 ms until it holds; panics with `what` after [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_within(PATIENCE, what, condition);
}

/// Asks `condition` every 10 ms until it holds; panics with `what` after `limit`.
#[track_caller]
pub fn wait_within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
