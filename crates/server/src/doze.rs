//! The housekeeper's sleep: short while anything goes on, longer while nothing does.
//!
//! ```text
//!          a worker's turn               a worker's turn: wakes the housekeeper
//!   QUIET ─────────────────► STIRRED ◄───────────────────────────── DOZES
//!     ▲ │                       │                                    ▲ │
//!     │ └── the tick is over ───┼────────────────────────────────────┘ │
//!     └──── the tick is over ───┘            its time is over ──► QUIET
//! ```
//! A server that nobody uses would otherwise wake a hundred times a second, for nothing. What a
//! worker has done comes first, its word about it second; the housekeeper says first that it
//! dozes and looks second for how long: so it never sleeps through anything.

use std::sync::atomic::{AtomicU8, Ordering};

/// Nothing has happened since the last tick.
const QUIET: u8 = 0;
/// Something has.
const STIRRED: u8 = 1;
/// The housekeeper sleeps, and counts on being woken.
const DOZES: u8 = 2;

/// Between the workers and the housekeeper.
#[derive(Debug, Default)]
pub(crate) struct Doze(AtomicU8);

impl Doze {
    /// A worker has done something, and it is visible. Whether the housekeeper must be woken.
    #[inline]
    pub(crate) fn stir(&self) -> bool {
        self.0.load(Ordering::SeqCst) != STIRRED && self.0.swap(STIRRED, Ordering::SeqCst) == DOZES
    }

    /// The housekeeper is about to wait: whether it may wait for longer than a tick. What it looks
    /// at from now on says for how long.
    pub(crate) fn begin(&self) -> bool {
        let dozes =
            self.0.compare_exchange(QUIET, DOZES, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if !dozes {
            self.0.store(QUIET, Ordering::SeqCst);
        }
        dozes
    }

    /// It has waited.
    pub(crate) fn end(&self) {
        // Who has stirred meanwhile has said so.
        let _ = self.0.compare_exchange(DOZES, QUIET, Ordering::SeqCst, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_dozes_after_a_tick_in_which_nothing_happened() {
        let doze = Doze::default();
        assert!(doze.begin());
        doze.end();
        assert!(doze.begin(), "nothing has happened");
        assert!(doze.stir(), "it must be woken");
        assert!(!doze.stir() && !doze.stir(), "once");
        doze.end();
        assert!(!doze.begin(), "what happened may have consequences");
        assert!(!doze.stir(), "it does not doze");
        doze.end();
        assert!(!doze.begin());
        doze.end();
        assert!(doze.begin());
    }
}
