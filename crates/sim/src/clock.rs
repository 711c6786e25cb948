//! Virtual time: one count of microseconds for the world, and each node's readings of it.

use tandem_base::{Mono, Now, UnixMs};

/// Microseconds since the world began.
pub type Micros = u64;

/// The wall clock when a world begins.
const UNIX_AT_START_MS: i64 = 1_700_000_000_000;

/// What a node whose wall clock goes wrong by `skew_ms` reads.
pub fn reading(now: Micros, skew_ms: i64) -> Now {
    let ms = i64::try_from(now / 1000).expect("a world ends long before that");
    // The other clock has an origin of its own.
    Now { unix: UnixMs(UNIX_AT_START_MS + ms + skew_ms), mono: Mono(now + 1_000_000_000) }
}
