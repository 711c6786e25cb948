//! Pauses: clients wait before they write, or before they do anything.
//!
//! CLIENT PAUSE and a shutdown that waits for replicas each have a pause of their own, which the
//! other does not end; clients wait as long as either says.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tandem_base::{Mono, Now};

use crate::node::{Mail, Node, Refusals, lock};

/// Who pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PausedBy {
    /// CLIENT PAUSE.
    Command,
    /// A shutdown that waits for replicas.
    Shutdown,
}

#[derive(Clone, Copy)]
struct Pause {
    until: Mono,
    all: bool,
}

/// The pauses, and what follows from them for those who only look.
#[derive(Default)]
pub(crate) struct Pauses {
    each: Mutex<[Option<Pause>; 2]>,
    /// Until when writes wait; 0: they do not.
    writes_until: AtomicU64,
    /// Until when everything waits; 0: it does not.
    all_until: AtomicU64,
}

impl Node {
    /// Pauses clients until `until`; one's own running pause is never made shorter or weaker.
    pub fn pause(&self, by: PausedBy, until: Mono, all: bool, now: Now) {
        self.change_pauses(|each| {
            let running = each[by as usize].filter(|pause| pause.until > now.mono);
            each[by as usize] = Some(match running {
                None => Pause { until, all },
                Some(old) => Pause { until: old.until.max(until), all: old.all || all },
            });
        });
    }

    /// Ends one's own pause.
    pub fn unpause(&self, by: PausedBy) {
        self.change_pauses(|each| each[by as usize] = None);
    }

    /// Ends the pauses whose time is over.
    pub(crate) fn end_pauses(&self, now: Now) {
        if self.pause_end().is_none() {
            return;
        }
        let over = |pause: &Option<Pause>| pause.is_some_and(|pause| pause.until <= now.mono);
        if lock(&self.pauses.each).iter().any(over) {
            self.change_pauses(|each| {
                each.iter_mut().filter(|pause| over(pause)).for_each(|pause| *pause = None);
            });
        }
    }

    /// What others look at is written under the lock, so that it is always one change's.
    fn change_pauses(&self, change: impl FnOnce(&mut [Option<Pause>; 2])) {
        let mut each = lock(&self.pauses.each);
        change(&mut each);
        let last = |all: bool| {
            let pauses = each.iter().flatten().filter(|pause| pause.all || !all);
            pauses.map(|pause| pause.until.0).max().unwrap_or(0)
        };
        self.pauses.writes_until.store(last(false), Ordering::Relaxed);
        self.pauses.all_until.store(last(true), Ordering::Relaxed);
        self.refuse(Refusals::PAUSED, each.iter().any(Option::is_some));
        drop(each);
        self.mail_all(|| Mail::LookAtBlocked);
    }

    /// When the last pause ends; `None` without one.
    pub fn pause_end(&self) -> Option<Mono> {
        let until = self.pauses.writes_until.load(Ordering::Relaxed);
        (until != 0).then_some(Mono(until))
    }

    /// Whether writes must wait.
    pub fn is_paused_for_writes(&self, now: Now) -> bool {
        self.refusals().contains(Refusals::PAUSED)
            && now.mono.0 < self.pauses.writes_until.load(Ordering::Relaxed)
    }

    /// Whether every command must wait.
    pub fn is_paused_for_all(&self, now: Now) -> bool {
        self.refusals().contains(Refusals::PAUSED)
            && now.mono.0 < self.pauses.all_until.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::script::Shell;

    fn now(ms: u64) -> Now {
        Now { mono: Mono(0).plus_ms(ms), ..Now::default() }
    }

    #[test]
    fn a_pause_ends_only_its_own() {
        let Shell { node, .. } = Shell::new();
        node.pause(PausedBy::Command, now(60_000).mono, false, now(1));
        node.pause(PausedBy::Shutdown, now(5000).mono, false, now(1));
        node.unpause(PausedBy::Shutdown);
        assert!(node.is_paused_for_writes(now(2)), "CLIENT PAUSE outlives SHUTDOWN ABORT");
        node.pause(PausedBy::Shutdown, now(5000).mono, false, now(1));
        node.unpause(PausedBy::Command);
        assert!(node.is_paused_for_writes(now(2)), "a shutdown waits on after CLIENT UNPAUSE");
        assert!(!node.is_paused_for_all(now(2)));
        node.unpause(PausedBy::Shutdown);
        assert!(!node.is_paused_for_writes(now(2)));
        assert!(!node.refusals().contains(Refusals::PAUSED));
    }

    #[test]
    fn the_stronger_and_the_longer_pause_count() {
        let Shell { node, .. } = Shell::new();
        node.pause(PausedBy::Command, now(100).mono, true, now(1));
        node.pause(PausedBy::Shutdown, now(200).mono, false, now(1));
        assert!(node.is_paused_for_all(now(99)) && !node.is_paused_for_all(now(100)));
        assert!(node.is_paused_for_writes(now(199)));
        assert_eq!(node.pause_end(), Some(now(200).mono));
        node.end_pauses(now(100));
        assert!(node.is_paused_for_writes(now(100)));
        node.pause(PausedBy::Shutdown, now(150).mono, true, now(101));
        assert!(node.is_paused_for_all(now(199)), "it is made stronger, and not shorter");
        node.end_pauses(now(200));
        assert_eq!(node.pause_end(), None);
    }

    #[test]
    fn who_waits_goes_on_when_the_pause_grows_weaker() {
        let mut shell = Shell::new();
        shell.run("CLIENT PAUSE 1500 ALL");
        assert_eq!(shell.run_as("reader", "GET k"), "(none)");
        assert_eq!(shell.run_as("writer", "SET k v"), "(none)");
        let until = shell.worker.now.mono.plus_ms(10_000);
        shell.node.pause(PausedBy::Shutdown, until, false, shell.worker.now);
        shell.advance_ms(1600);
        shell.cron();
        assert_eq!(shell.take_pushed("reader"), "nil", "only writes wait now");
        assert_eq!(shell.take_pushed("writer"), "");
        shell.advance_ms(10_000);
        shell.cron();
        assert_eq!(shell.take_pushed("writer"), "+OK");
    }
}
