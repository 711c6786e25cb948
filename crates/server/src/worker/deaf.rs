//! The worker that accepts, while nothing can be accepted: mostly for want of descriptors.
//!
//! ```text
//! accept fails ─► listens no more, a line in the log ─► 100 ms, or a connection that closes
//!       ▲                                                             │
//!       └──────────────── still fails, no line ◄──── listens again ◄──┘─► succeeds: the end
//! ```
//! A listening socket that cannot be accepted from is ready for ever, so to go on listening would
//! be to spin, and a line for each try would fill the disk that the log is on. Clients lose
//! nothing meanwhile: they wait in the sockets' backlogs.

use std::sync::atomic::Ordering;

use tandem_base::Mono;
use tandem_engine::node::{Level, lock};

use super::{TOKEN_LISTEN, WorkerLoop};

/// How long nothing is accepted after that has failed, unless a connection closes before: other
/// descriptors become free without our noticing.
const DEAF_MS: u64 = 100;
/// A state that lasts is in the log once in that time.
const REMINDER_MS: u64 = 60_000;
/// What comes and goes is in the log once in that time.
const LINE_MS: u64 = 1000;

/// Whether anything can be accepted, and who has been told that it cannot.
#[derive(Debug, Default)]
pub(super) struct Deafness {
    until: Option<Mono>,
    /// Accepting has failed and not succeeded since.
    lasts: bool,
    last_line: Mono,
    next_line: Mono,
}

impl Deafness {
    /// Accepting has failed: nothing is accepted for a while. Whether to say so.
    pub(super) fn begin(&mut self, now: Mono) -> bool {
        self.until = Some(now.plus_ms(DEAF_MS));
        self.lasts = true;
        let says = self.next_line <= now;
        if says {
            self.last_line = now;
            self.next_line = now.plus_ms(REMINDER_MS);
        }
        says
    }

    /// All that waited has been accepted.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.lasts) {
            self.next_line = self.last_line.plus_ms(LINE_MS);
        }
    }

    /// When to listen again; `None` while we listen.
    pub(super) fn until(&self) -> Option<Mono> {
        self.until
    }

    /// Whether to listen again now: its time has come, or there is `room` before.
    pub(super) fn listens_again(&mut self, now: Mono, room: bool) -> bool {
        self.until.take_if(|until| room || *until <= now).is_some()
    }
}

impl WorkerLoop {
    /// Accepting has come to this: all that waited is here, or why it could not be had.
    pub(super) fn hear(&mut self, stuck: Option<&str>) {
        let Some(why) = stuck else { return self.deaf.end() };
        self.shared.deaf.store(true, Ordering::SeqCst);
        if self.deaf.begin(self.engine.now.mono) {
            self.node.log(Level::Warning, &format!("Accepting client connection: {why}"));
        }
    }

    pub(super) fn listen_again_if_due(&mut self) {
        // Whoever closed a connection before this has put the flag down, and later ones need not.
        let room = !self.shared.deaf.load(Ordering::SeqCst);
        if self.deaf.listens_again(self.engine.now.mono, room) {
            self.shared.deaf.store(false, Ordering::SeqCst);
            lock(&self.shared.listeners).listen(true, &self.poll, TOKEN_LISTEN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono(1_000_000).plus_ms(ms)
    }

    #[test]
    fn it_listens_again_in_time_or_when_there_is_room() {
        let mut deaf = Deafness::default();
        assert!(!deaf.listens_again(at(0), true), "it does listen");
        deaf.begin(at(0));
        assert_eq!(deaf.until(), Some(at(DEAF_MS)));
        assert!(!deaf.listens_again(at(DEAF_MS - 1), false));
        assert!(deaf.listens_again(at(DEAF_MS), false));
        assert!(!deaf.listens_again(at(DEAF_MS), false), "once");
        deaf.begin(at(200));
        assert!(deaf.listens_again(at(201), true));
        assert_eq!(deaf.until(), None);
    }

    #[test]
    fn what_lasts_is_said_once_and_again_after_a_minute() {
        let mut deaf = Deafness::default();
        let tries = (0..12_000).map(|n| at(n * 10));
        let lines = tries.filter(|now| deaf.begin(*now)).count();
        assert_eq!(lines, 2, "in two minutes of failing a hundred times a second");
    }

    #[test]
    fn what_comes_and_goes_is_said_once_a_second() {
        let mut deaf = Deafness::default();
        let mut lines = 0;
        for n in 0..1000 {
            lines += u32::from(deaf.begin(at(n * 10)));
            lines += u32::from(deaf.begin(at(n * 10)));
            deaf.end();
        }
        assert_eq!(lines, 10, "in ten seconds");
    }
}
