//! Clock readings. They are taken by the server (or made up by the simulator) and passed down;
//! nothing below the server can read a clock.

/// Milliseconds since 1970-01-01 UTC, as clients and RDB files say them. May be negative: a
/// client may set an expiry before 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMs(pub i64);

/// Microseconds on a clock that never goes back; only differences mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// The reading `ms` milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Mono {
        Mono(self.0.saturating_add(ms.saturating_mul(1000)))
    }

    /// Whole milliseconds from `earlier` to `self`; zero if `earlier` is later.
    pub fn ms_since(self, earlier: Mono) -> u64 {
        self.0.saturating_sub(earlier.0) / 1000
    }
}

/// Both clocks, read at one moment: once for a turn of a worker, not once for a command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// The wall clock.
    pub unix: UnixMs,
    /// The clock for timeouts and durations.
    pub mono: Mono,
}
