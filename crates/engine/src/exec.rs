//! EXEC: a transaction's commands, run with everything they touch held.

use smallvec::SmallVec;
use tandem_resp::{Args, OutBuf};

use crate::ahead::NO_HASH;
use crate::client::{Client, Queued};
use crate::commands;
use crate::cx::Cx;
use crate::error::ErrorReply;
use crate::intake::Worker;
use crate::locks::Held;
use crate::node::Node;
use crate::spec::{Flags, Plan};
use crate::timing::Asked;

impl Node {
    /// Runs the client's transaction; alone, if one of its commands wants that.
    pub(crate) fn run_exec(
        &self,
        worker: &mut Worker,
        client: &mut Client,
        out: &mut OutBuf,
        args: Args<'_>,
    ) -> Result<(), ErrorReply> {
        let Some(transaction) = client.transaction.take() else {
            return Err(ErrorReply::text("ERR EXEC without MULTI"));
        };
        assert_eq!(args.len(), 1);
        if transaction.aborted {
            commands::transactions::left(client);
            commands::transactions::unwatch(self, client);
            client.seen = self.stream.end();
            return Err(ErrorReply::ExecAbort);
        }
        let mut stripes: SmallVec<[u16; 16]> = SmallVec::new();
        let mut exclusive = false;
        for Queued { spec, args } in &transaction.queued {
            let args = args.as_args();
            exclusive |= matches!(spec.plan, Plan::Exclusive | Plan::Walk);
            spec.each_key(args, |at| stripes.push(self.keyspace.hash(args.get(at)).stripe));
        }
        for watched in &client.watched {
            stripes.push(self.keyspace.hash(&watched.key).stripe);
        }
        let held = if exclusive {
            Held::All(&self.keyspace, None)
        } else {
            self.lock_stripes(&mut stripes)
        };
        self.exec_queued(worker, client, out, &transaction.queued, held);
        // Its own commands found it in the transaction still.
        commands::transactions::left(client);
        Ok(())
    }

    /// Runs a transaction's commands with everything they touch held.
    fn exec_queued<'a>(
        &'a self,
        worker: &'a mut Worker,
        client: &'a mut Client,
        out: &'a mut OutBuf,
        queued: &[Queued],
        held: Held<'a>,
    ) {
        let (mut cx, timing) = self.client_cx(worker, client, out, held, NO_HASH, true);
        let began_ns = timing.began_ns();
        let untouched = commands::transactions::watched_untouched(&mut cx);
        commands::transactions::unwatch(self, cx.client);
        if !untouched {
            cx.out.null_array();
            // The change that was in the way is among it.
            cx.client.seen = self.stream.end();
            return;
        }
        cx.out.array(queued.len());
        for Queued { spec, args } in queued {
            let args = args.as_args();
            cx.db.effects.begin_command();
            cx.db.index = cx.client.db;
            cx.db.counters.commands_processed += 1;
            let before = cx.client.db;
            // What was allowed when it was queued need not be any more.
            let admitted = if cx.client.login.is_trusted(self.acl.generation()) {
                Ok(())
            } else {
                self.admit_queued(cx.client, spec, args, cx.db.now)
            };
            if timing.before(spec, args, cx.out) {
                self.close_timing(timing, cx.worker, cx.db.now, None);
            }
            if let Err(error) = admitted.and_then(|()| (spec.run)(&mut cx, args)) {
                self.note_error(cx.db.counters, &error);
                self.note_failed(cx.worker, spec);
                cx.out.error(&error.to_bytes());
            }
            if timing.after(spec, cx.out) {
                let asked = Some(Asked { client: cx.client, args });
                self.close_timing(timing, cx.worker, cx.db.now, asked);
            }
            if cx.client.listens || self.monitors.any() {
                self.after_call(&mut cx, spec, args);
            }
            cx.db.held.release_current();
            if cx.db.effects.sends_own_words(spec.has(Flags::WRITE)) {
                cx.db.effects.keep_own_words(before, args);
            }
        }
        self.close_timing(timing, cx.worker, cx.db.now, None);
        timing.go_back(began_ns);
        let Cx { mut db, client, .. } = cx;
        if !db.effects.is_empty() {
            db.effects.flush(&self.stream, None, false);
        }
        client.seen = self.stream.end();
        if !db.effects.ready.is_empty() {
            self.serve_ready(&mut db);
        }
        drop(db);
    }
}
