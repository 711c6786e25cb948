//! The clocks, read in this crate and nowhere below.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tandem_base::{Mono, Now, UnixMs};

/// Reads both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock whose monotonic readings begin a little above zero.
    pub(crate) fn start() -> Clock {
        Clock { started: Instant::now() }
    }

    /// Nanoseconds since the start.
    pub(crate) fn nanos(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Both readings.
    pub(crate) fn now(&self) -> Now {
        let unix = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        // One second ahead, so that zero can mean "never".
        let mono = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Now { unix: UnixMs(unix), mono: Mono(mono + 1_000_000) }
    }
}
