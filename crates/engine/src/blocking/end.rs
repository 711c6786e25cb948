//! How a wait ends: with an answer by mail, or without.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tandem_base::{Mono, Now};

use super::{Answer, State, Waiter, Waiting, What, Why};
use crate::client::{Blocked, Client, ClientInfo, Session};
use crate::commands::look_up_subcommand;
use crate::error::ErrorReply;
use crate::node::{Mail, Node, lock};

/// What a client is told whose wait a change of role has ended; its connection ends too.
const ROLE_CHANGED: &[u8] = b"UNBLOCKED force unblock from blocking operation, \
    instance state changed (master -> replica?)";

/// What a client is told whose wait CLIENT UNBLOCK … ERROR has ended.
const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

impl Node {
    /// When a blocked client must be looked at again by itself; `None`: only when somebody says.
    pub fn look_again_at(&self, client: &Client) -> Option<Mono> {
        match client.blocked.as_ref()? {
            Blocked::Waiting(waiting) => waiting.until(),
            Blocked::Shutdown { .. } => None,
            // A pause that has just ended is as good as one that ends now.
            Blocked::Pause => Some(self.pause_end().unwrap_or(Mono(0))),
        }
    }

    /// Looks whether a blocked client may go on; if so its reply has been written. Not to be
    /// called with a stripe held.
    pub fn try_unblock(&self, now: Now, session: &mut Session) -> bool {
        let Session { client, out, .. } = session;
        match &client.blocked {
            None => return true,
            Some(Blocked::Waiting(waiting)) => {
                let is_late = waiting.until.is_some_and(|at| at <= now.mono);
                if is_late {
                    self.call_off(&waiting.waiter, Why::Timeout);
                }
                let State::Over(why) = *lock(&waiting.waiter.state) else { return false };
                if why == Why::Gone {
                    return false;
                }
                if !waiting.silent {
                    match (why, &waiting.waiter.what) {
                        (Why::Timeout, What::Keys(_)) => out.null_array(),
                        (Why::Timeout, What::Replicas { offset, .. }) => {
                            out.count(self.acked_count(*offset));
                        }
                        (Why::Unblocked, _) => {
                            let error = ErrorReply::text(UNBLOCKED);
                            self.meters.note_error(&error);
                            self.stats.error_replies.fetch_add(1, Ordering::Relaxed);
                            out.error(UNBLOCKED.as_bytes());
                        }
                        (Why::RoleChanged, _) => out.error(ROLE_CHANGED),
                        (Why::Gone, _) => unreachable!("just seen"),
                    }
                }
                client.closing |= why == Why::RoleChanged;
                self.forget_wait(client);
            }
            Some(Blocked::Shutdown { undone }) => {
                if self.shutdown.undone() == *undone {
                    return false;
                }
                out.error(b"ERR Errors trying to SHUTDOWN. Check logs.");
            }
            Some(Blocked::Pause) => {
                if self.is_still_paused(client, now) {
                    return false;
                }
            }
        }
        client.blocked = None;
        true
    }

    /// Whether the command that a pause holds up would be held up now: the pause may have become
    /// one for writes only.
    fn is_still_paused(&self, client: &Client, now: Now) -> bool {
        let args = client.postponed.as_ref().expect("a pause postpones a command").as_args();
        let spec = self.named(args.get(0)).and_then(|spec| look_up_subcommand(spec, args).ok());
        spec.is_some_and(|spec| self.must_wait(client, spec, now))
    }

    /// A waiting client's answer has come: it may go on.
    pub fn deliver_answer(&self, session: &mut Session, answer: Answer) {
        let Session { client, out, .. } = session;
        let Some(Blocked::Waiting(Waiting { waiter, silent, .. })) = &client.blocked else {
            panic!("a client gets one answer for one wait");
        };
        assert_eq!(*lock(&waiter.state), State::Served);
        if !silent {
            out.append(answer.out);
        }
        if let Some(end) = answer.seen {
            client.seen = end;
        }
        self.forget_wait(client);
        client.blocked = None;
    }

    /// CLIENT KILL and its like: from now on nothing is given to the client, though its worker
    /// closes the connection later.
    pub(crate) fn end_wait_of_killed(&self, info: &ClientInfo) {
        let waiter = lock(&info.waiter).clone();
        waiter.map(|waiter| self.call_off(&waiter, Why::Gone));
    }

    /// A client is gone: what it waited for is the next one's.
    pub(crate) fn waiter_gone(&self, client: &mut Client) {
        if let Some(Blocked::Waiting(waiting)) = &client.blocked {
            self.call_off(&waiting.waiter, Why::Gone);
            self.forget_wait(client);
        }
        client.blocked = None;
    }

    /// CLIENT UNBLOCK: whether the client waited, and now does not.
    pub fn unblock(&self, info: &ClientInfo, why: Why) -> bool {
        let Some(waiter) = lock(&info.waiter).clone() else { return false };
        if !self.call_off(&waiter, why) {
            return false;
        }
        // As in Redis its command counts as failed, whatever its client is told.
        self.note_unblocked(&waiter, 0, true, self.recent_unix());
        self.mail(info.worker, Mail::Look(info.id));
        true
    }

    /// Ends every wait: what is waited for may never come in the new role.
    pub(crate) fn end_all_waits(&self) {
        for waiter in self.blocking.all() {
            if self.call_off(&waiter, Why::RoleChanged) {
                self.mail(waiter.worker, Mail::Look(waiter.client));
            }
        }
    }

    /// Ends a wait without what it was for; false if it has ended before.
    fn call_off(&self, waiter: &Arc<Waiter>, why: Why) -> bool {
        let mut state = lock(&waiter.state);
        if *state != State::Waiting {
            return false;
        }
        *state = State::Over(why);
        drop(state);
        self.blocking.strike(waiter);
        true
    }

    fn forget_wait(&self, client: &Client) {
        let Some(Blocked::Waiting(waiting)) = &client.blocked else { return };
        if waiting.until.is_some() {
            self.blocking.timed.fetch_sub(1, Ordering::Relaxed);
        }
        *lock(&client.info.waiter) = None;
    }
}
