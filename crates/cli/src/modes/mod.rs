//! What the client does instead of running commands: one module for each kind of work.

mod bigkeys;
mod eval;
mod hotkeys;
mod latency;
mod lru;
mod pipe;
mod scan;
mod spectrum;
mod stat;
mod sync;

use std::time::Duration;

use tandem_resp::reply::ReplyValue;

use crate::options::Mode;
use crate::session::{Connect, Session};
use crate::text::{complain, flush, put};
use crate::{Step, Stop};

pub(crate) use eval::eval;
pub(crate) use sync::follow_master;

/// Runs a mode on a connected session; returns the exit code.
pub(crate) fn run(session: &mut Session, mode: Mode) -> Step<i32> {
    match mode {
        Mode::Latency => latency::measure(session),
        Mode::LatencyDist => spectrum::watch(session),
        Mode::Replica => sync::replica(session),
        Mode::Rdb => sync::fetch_rdb(session),
        Mode::Pipe => pipe::transfer(session),
        Mode::BigKeys => bigkeys::search(session, None),
        Mode::MemKeys => bigkeys::search(session, Some(session.options.memkeys_samples)),
        Mode::HotKeys => hotkeys::search(session),
        Mode::Stat => stat::watch(session),
        Mode::Scan => scan::list(session),
        Mode::Topology => crate::topology::run(session),
        Mode::LruTest => lru::simulate(session),
        Mode::IntrinsicLatency => latency::intrinsic(session.options.intrinsic_seconds),
    }
}

/// Sends a command and reads its reply, connecting again for as long as it takes when the
/// server goes away.
fn ask_patiently(session: &mut Session, args: &[&str]) -> Step<ReplyValue> {
    let mut tries = 0;
    loop {
        if let Some(client) = &mut session.client {
            match client.call(args) {
                Ok(reply) => {
                    if tries > 0 {
                        put("\r\x1b[0K")?;
                    }
                    return Ok(reply);
                }
                Err(error) if error.peer_is_gone() => session.client = None,
                Err(error) => {
                    complain(format!("Error: {error}"));
                    return Err(Stop::Exit(1));
                }
            }
        }
        tries += 1;
        put(format!("\r\x1b[0KReconnecting... {tries}\r"))?;
        flush()?;
        // It is tried again until it works.
        let _ = session.connect(Connect::Quietly);
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// The pause between two steps of a loop.
fn pause(interval_us: i64) {
    if let Ok(pause @ 1..) = u64::try_from(interval_us) {
        std::thread::sleep(Duration::from_micros(pause));
    }
}
