//! The end of a server: replicas are given what they miss, the dataset is saved, and then the
//! process may go.
//!
//! ```text
//! SHUTDOWN, SIGTERM ─► writes pause ─► replicas have it all, or shutdown-timeout ─► save ─► exit
//!                           └── SHUTDOWN ABORT, or the save fails ─► as before
//! ```
//! The decision to end is made alone, and nobody runs a command after it: the gate stays
//! shut from the last save on, so what a client has been answered is in that save.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use tandem_base::{Mono, Now};
use tandem_repl::wire;

use crate::node::{Level, Mail, Node, Refusals, lock};
use crate::pause::PausedBy;

/// What SHUTDOWN was told.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShutdownOptions {
    /// SAVE or NOSAVE; otherwise save when save points are set.
    pub save: Option<bool>,
    /// Do not wait for replicas.
    pub now: bool,
    /// End even if saving fails.
    pub force: bool,
}

/// A shutdown that waits for replicas, and how many have come to nothing.
#[derive(Default)]
pub struct Shutdown {
    waiting: Mutex<Option<(ShutdownOptions, Mono)>>,
    /// Raised when a waiting shutdown is taken back or fails: its clients are told.
    undone: AtomicU64,
}

/// What became of a request to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownStep {
    /// The process ends.
    Ends,
    /// Saving failed: it goes on.
    Failed,
    /// It waits for replicas.
    Waits,
}

impl Shutdown {
    /// Milliseconds until a shutdown that waits for replicas ends; `None` when there is none.
    pub fn ends_in_ms(&self, now: Now) -> Option<u64> {
        self.waiting().as_ref().map(|(_, deadline)| deadline.ms_since(now.mono))
    }

    fn waiting(&self) -> MutexGuard<'_, Option<(ShutdownOptions, Mono)>> {
        lock(&self.waiting)
    }

    /// How many shutdowns have been taken back; a client that waits remembers it.
    pub fn undone(&self) -> u64 {
        self.undone.load(Ordering::Acquire)
    }
}

impl Node {
    /// Ends the server, at once or when replicas have what they miss. The keyspace must be held
    /// alone; if the process ends, the gate stays shut.
    pub fn request_shutdown(&self, options: ShutdownOptions, now: Now) -> ShutdownStep {
        if self.shutdown.waiting().is_none() {
            self.host.tell_supervisor("STOPPING=1\n");
        }
        let timeout_ms = u64::from(self.config().shutdown_timeout()) * 1000;
        let (synced, all) = self.replicas_in_sync();
        if options.now || timeout_ms == 0 || synced == all {
            return self.end_now(options, now);
        }
        let deadline = now.mono.plus_ms(timeout_ms);
        let mut waiting = self.shutdown.waiting();
        if waiting.is_none() {
            self.log(Level::Notice, "Waiting for replicas before shutting down.");
            *waiting = Some((options, deadline));
            drop(waiting);
            self.pause(PausedBy::Shutdown, Mono(u64::MAX), false, now);
            // They tell of themselves only each second. A replica's stream is its master's: its
            // own replicas are not asked.
            if self.tells_replicas() {
                self.stream.append_with(|writer| writer.push(wire::GETACK));
                self.mail_all(|| Mail::StreamGrew);
            }
        }
        ShutdownStep::Waits
    }

    /// Looks whether a shutdown that waits may go on. Called often, outside the gate.
    pub(crate) fn shutdown_cron(&self, now: Now) {
        if self.shutdown_due(now).is_none() {
            return;
        }
        let _alone = self.gate.alone();
        // While this waited the shutdown may have been taken back, and another begun.
        let Some(options) = self.shutdown_due(now) else { return };
        *self.shutdown.waiting() = None;
        if self.end_now(options, now) == ShutdownStep::Failed {
            self.undo_shutdown();
        }
    }

    /// A shutdown that waits no longer: what it was told.
    fn shutdown_due(&self, now: Now) -> Option<ShutdownOptions> {
        let (options, deadline) = (*self.shutdown.waiting())?;
        let (synced, all) = self.replicas_in_sync();
        (synced >= all || now.mono >= deadline).then_some(options)
    }

    /// SHUTDOWN ABORT. False if none waits. The keyspace must be held alone.
    pub fn abort_shutdown(&self) -> bool {
        if self.shutdown.waiting().take().is_none() {
            return false;
        }
        self.log(Level::Warning, "Shutdown manually aborted.");
        self.undo_shutdown();
        true
    }

    fn undo_shutdown(&self) {
        self.shutdown.undone.fetch_add(1, Ordering::Release);
        self.host.shutdown_undone();
        self.unpause(PausedBy::Shutdown);
    }

    /// Saves if asked for, and ends the process. The keyspace is held alone.
    fn end_now(&self, options: ShutdownOptions, now: Now) -> ShutdownStep {
        self.tell_replicas_at_the_end(now);
        // Half a dataset must not take the place of a whole one on disk.
        let loading = self.refusals().contains(Refusals::LOADING);
        let saves = !loading && options.save.unwrap_or_else(|| !self.config().save().is_empty());
        if saves {
            self.stop_snapshot_before_end();
            self.log(Level::Notice, "Saving the final RDB snapshot before exiting.");
            self.host.tell_supervisor("STATUS=Saving the final RDB snapshot\n");
            if let Err(why) = self.save_now(now)
                && !options.force
            {
                let line = format!("Error trying to save the DB, can't exit. ({why})");
                self.log(Level::Warning, &line);
                self.log(
                    Level::Warning,
                    "Errors trying to shut down the server. Check the logs for more information.",
                );
                let state = "STATUS=Error trying to save the DB, can't exit.\n";
                self.host.tell_supervisor(state);
                return ShutdownStep::Failed;
            }
        }
        self.stop_snapshot_before_end();
        self.gate.shut();
        self.host.exit(0);
        ShutdownStep::Ends
    }

    /// A snapshot that is being made must not replace the one that is about to be saved, nor be
    /// left half-made by a process that ends.
    fn stop_snapshot_before_end(&self) {
        if self.persistence.state().running.is_some() {
            self.log(Level::Warning, "Background saving stopped: shutdown");
            self.stop_running_snapshot();
        }
    }
}
