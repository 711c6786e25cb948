//! The master's stream: requests found in it and applied, its bytes appended to our own stream
//! before anybody can see the one without the other.
//!
//! A transaction of the master is applied when its EXEC has come, under all its locks.

use tandem_base::{Now, ReplOffset};
use tandem_resp::{Args, FillEnd, Limits, push_request};

use super::follower::Follower;
use crate::client::{LargeArg, Session};
use crate::commands;
use crate::config::push_quoted;
use crate::error::ErrorReply;
use crate::gate::Inside;
use crate::intake::Worker;
use crate::node::{Level, Node};
use crate::spec::{Plan, Spec};

impl Node {
    pub(super) fn apply_stream(
        &self,
        worker: &mut Worker,
        follower: &mut Follower,
        bytes: &[u8],
        now: Now,
    ) {
        worker.counters.net_repl_input_bytes += bytes.len() as u64;
        let Some(mut session) = follower.session.take() else { return };
        let mut bytes = bytes;
        let mut result = Ok(());
        // A large argument has come to its end, and nobody has looked at its request since.
        let mut completed = false;
        while !bytes.is_empty() && result.is_ok() {
            if let Some(large) = &mut session.input.large {
                let take = large.missing().min(bytes.len());
                large.bytes.extend_from_slice(&bytes[..take]);
                bytes = &bytes[take..];
                if large.missing() > 0 {
                    break;
                }
                let LargeArg { bytes: mut arg, want } =
                    session.input.large.take().expect("just looked at");
                arg.truncate(want);
                // It grew by doubling, and may stay as a value for long.
                arg.shrink_to_fit();
                session.input.parser.put_large(arg);
                completed = true;
                continue;
            }
            completed = false;
            if session.input.held.is_empty() {
                let kept = self.apply_buffer(worker, follower, &mut session, bytes);
                session.input.held.extend_from_slice(&bytes[kept.clone()]);
                // What is behind the kept part has begun a large argument already.
                bytes = &[];
                result = kept_result(&session);
            } else {
                session.input.held.extend_from_slice(bytes);
                bytes = &[];
                let mut held = std::mem::take(&mut session.input.held);
                let kept = self.apply_buffer(worker, follower, &mut session, &held);
                held.truncate(kept.end);
                held.drain(..kept.start);
                session.input.held = held;
                result = kept_result(&session);
            }
        }
        let behind = session.input.large.is_none()
            && session.input.parser.position() < session.input.held.len();
        // It may have been the last argument: its request does not wait for what comes next.
        if result.is_ok() && (completed || behind) {
            let mut held = std::mem::take(&mut session.input.held);
            let kept = self.apply_buffer(worker, follower, &mut session, &held);
            held.truncate(kept.end);
            held.drain(..kept.start);
            session.input.held = held;
            result = kept_result(&session);
        }
        session.client.info.last_active.store(now.unix.0, std::sync::atomic::Ordering::Relaxed);
        session.out.clear();
        follower.session = Some(session);
        if result.is_err() {
            self.log(Level::Warning, "WARNING: the master's stream cannot be understood: closing the master connection and discarding the cached master.");
            self.end_master_client(follower);
            follower.link.desynced(now.mono);
        }
    }

    /// Applies what is complete in `buf`; returns the part still needed.
    fn apply_buffer(
        &self,
        worker: &mut Worker,
        follower: &mut Follower,
        session: &mut Session,
        buf: &[u8],
    ) -> std::ops::Range<usize> {
        let mut batch = worker.take_batch();
        let limits = Limits { bulk_bytes: usize::MAX >> 1, ..Limits::default() };
        let mut end_of_kept = buf.len();
        let mut inside = self.enter_in(worker.index, follower.epoch);
        let at = session.input.parser.keep_from();
        let mut run = Run { buf, from: at, to: at };
        self.begin_timing(worker);
        while inside.is_some() {
            batch.clear();
            let end = session.input.parser.fill(buf, &mut batch, &limits, 512);
            run.from = run.to;
            for index in 0..batch.len() {
                if batch.is_inline(index) {
                    session.client.closing = true;
                    break;
                }
                let (args, to) = (batch.args(index, buf), batch.end(index));
                self.apply_next(worker, follower, session, args, to, &mut run, &mut inside);
                if inside.is_none() {
                    break;
                }
            }
            if inside.is_none() {
                break;
            }
            self.append_run(follower, &mut run);
            match end {
                FillEnd::Full if !session.client.closing => continue,
                FillEnd::Large { bytes } => {
                    let at = session.input.parser.position();
                    session.input.large = Some(LargeArg { bytes: buf[at..].to_vec(), want: bytes });
                    end_of_kept = at;
                }
                FillEnd::Invalid(_) => session.client.closing = true,
                _ => {}
            }
            break;
        }
        self.close_timing(&mut worker.timing, worker.index, worker.now, None);
        batch.clear();
        worker.give_batch(batch);
        if inside.is_none() {
            // The role has ended, and the session ends with it.
            session.input.large = None;
            return buf.len()..buf.len();
        }
        let done = session.input.parser.keep_from();
        session.input.parser.rebase(done);
        done..end_of_kept
    }

    /// Applies the request that ends at `to`. What is applied one by one is appended as a run; by
    /// the time that others may see what was applied, or the role may end, all of it has been.
    #[expect(clippy::too_many_arguments, reason = "the parts of one call, used in one place")]
    fn apply_next<'n>(
        &'n self,
        worker: &mut Worker,
        follower: &mut Follower,
        session: &mut Session,
        args: Args<'_>,
        to: usize,
        run: &mut Run<'_>,
        inside: &mut Option<Inside<'n>>,
    ) {
        let raw = &run.buf[run.to..to];
        let in_transaction = follower.transaction.is_some();
        if in_transaction || args.get(0).eq_ignore_ascii_case(b"multi") {
            self.append_run(follower, run);
            self.take_transaction_part(worker, follower, session, args, raw, inside);
        } else if args.raw().is_none() {
            // It did not lie in one piece: write it out again, which gives the same bytes.
            self.append_run(follower, run);
            let mut bytes = Vec::new();
            push_request(&mut bytes, args.iter());
            self.apply_one(worker, follower, session, args, &bytes, inside);
            self.after_one(follower, args, worker.now);
        } else if self.is_alone(args) {
            // While nobody else is inside, the stream must say all that is applied.
            self.append_run(follower, run);
            self.apply_one(worker, follower, session, args, raw, inside);
            self.after_one(follower, args, worker.now);
        } else {
            self.apply_one(worker, follower, session, args, &[], inside);
            run.to = to;
            return;
        }
        *run = Run { from: to, to, ..*run };
    }

    /// Whether a command of the stream runs alone, or has something to do with the link itself.
    fn is_alone(&self, args: Args<'_>) -> bool {
        args.get(0).eq_ignore_ascii_case(b"replconf")
            || self
                .named(args.get(0))
                .and_then(|spec| commands::look_up_subcommand(spec, args).ok())
                .is_some_and(|spec| spec.plan == Plan::Exclusive)
    }

    fn append_run(&self, follower: &mut Follower, run: &mut Run<'_>) {
        if run.from < run.to {
            self.append_applied(follower, &run.buf[run.from..run.to]);
            run.from = run.to;
        }
    }

    /// The master's bytes go into our own stream unchanged once they have been applied.
    fn append_applied(&self, follower: &mut Follower, bytes: &[u8]) {
        let end = self.stream.append(bytes);
        follower.link.applied(end);
    }

    fn after_one(&self, follower: &mut Follower, args: Args<'_>, now: Now) {
        let is_getack = args.len() >= 2
            && args.get(0).eq_ignore_ascii_case(b"replconf")
            && args.get(1).eq_ignore_ascii_case(b"getack");
        if is_getack {
            follower.link.ack(now.mono);
        }
    }

    fn take_transaction_part<'n>(
        &'n self,
        worker: &mut Worker,
        follower: &mut Follower,
        session: &mut Session,
        args: Args<'_>,
        raw: &[u8],
        inside: &mut Option<Inside<'n>>,
    ) {
        let (commands, bytes) = follower.transaction.get_or_insert_default();
        if args.raw().is_some() {
            bytes.extend_from_slice(raw);
        } else {
            push_request(bytes, args.iter());
        }
        if args.get(0).eq_ignore_ascii_case(b"multi") {
            return;
        }
        if !args.get(0).eq_ignore_ascii_case(b"exec") {
            commands.push(args.to_owned());
            return;
        }
        let (commands, bytes) = follower.transaction.take().expect("just filled");
        let epoch = follower.epoch;
        self.apply_together(worker, session, &commands, epoch, inside, || {
            let end = self.stream.append(&bytes);
            follower.link.applied(end);
        });
        for args in &commands {
            self.after_one(follower, args.as_args(), worker.now);
        }
    }

    /// Applies one command and appends `bytes`, its own, before anybody else is let in.
    fn apply_one<'n>(
        &'n self,
        worker: &mut Worker,
        follower: &mut Follower,
        session: &mut Session,
        args: Args<'_>,
        bytes: &[u8],
        inside: &mut Option<Inside<'n>>,
    ) {
        let Session { client, out, .. } = session;
        let mark = out.mark();
        let epoch = follower.epoch;
        let result = self.apply_command(worker, client, out, args, epoch, inside, || {
            if !bytes.is_empty() {
                let end = self.stream.append(bytes);
                follower.link.applied(end);
            }
        });
        out.rewind(mark);
        if let Err(error) = result {
            self.log_stream_error(args, &error);
        }
    }

    pub(crate) fn log_stream_error(&self, args: Args<'_>, error: &ErrorReply) {
        let spec = self.named(args.get(0));
        let spec = spec.and_then(|spec| commands::look_up_subcommand(spec, args).ok());
        let name = spec.map_or("<unknown>", |spec| spec.name);
        // Redis tells the codes of errors that have one of their own.
        let text = error.to_string();
        let text = text.strip_prefix("ERR ").map_or_else(|| format!("-{text}"), str::to_owned);
        self.log(
            Level::Warning,
            &format!(
                "== CRITICAL == This replica is sending an error to its master: '{text}' after \
                 processing the command '{name}'"
            ),
        );
        self.log_end_of_backlog();
    }

    /// What stood before it, for whoever looks for the reason.
    fn log_end_of_backlog(&self) {
        let count = self.stream.histlen().min(SHOWN_BYTES);
        let from = ReplOffset(self.stream.end().0.saturating_sub(count)).next_byte();
        let mut bytes = Vec::new();
        if let Some(cursor) = self.stream.cursor_at(from) {
            cursor.chunks().for_each(|chunk| bytes.extend_from_slice(chunk));
        }
        if !bytes.is_empty() {
            let mut shown = Vec::new();
            push_quoted(&mut shown, &bytes);
            let shown = String::from_utf8_lossy(&shown);
            self.log(Level::Warning, &format!("Latest backlog is: '{shown}'"));
        }
    }
}

/// Bytes of the backlog that a log line shows.
const SHOWN_BYTES: u64 = 256;

/// What has been applied of a buffer and is not yet in our own stream.
struct Run<'b> {
    buf: &'b [u8],
    from: usize,
    to: usize,
}

fn kept_result(session: &Session) -> Result<(), ()> {
    if session.client.closing { Err(()) } else { Ok(()) }
}

/// Names of commands that a master may send and that have no effect here yet.
const WITHOUT_EFFECT: &[&str] = &["script"];

/// Looks a command of the master's stream up; `None` for one that has no effect here.
pub(crate) fn look_up_streamed(
    node: &Node,
    args: Args<'_>,
) -> Result<Option<&'static Spec>, ErrorReply> {
    let name = args.get(0);
    match node.look_up(args, None) {
        Err(_)
            if WITHOUT_EFFECT.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())) =>
        {
            Ok(None)
        }
        result => result.map(Some),
    }
}
