//! A replica applies its master's stream with the same functions as a client's requests, but
//! asks nobody and tells nobody: the stream itself is what its own replicas get.

use smallvec::SmallVec;
use tandem_resp::{Args, OutBuf, OwnedArgs};

use crate::ahead::{Hashed, NO_HASH};
use crate::client::{Client, Session};
use crate::cx::Cx;
use crate::db::{Db, Source};
use crate::error::ErrorReply;
use crate::gate::Inside;
use crate::intake::Worker;
use crate::locks::Held;
use crate::node::Node;
use crate::spec::Plan;
use crate::timing::{Asked, Timing};

impl Node {
    /// Applies one command of the stream of the master of role `epoch`; `then` runs before
    /// anybody else can see that it was.
    ///
    /// What runs alone has to wait for that outside, and roles may change there. `inside` is
    /// `None` afterwards if this one has ended: then nothing more of the stream is ours.
    #[expect(clippy::too_many_arguments, reason = "the parts of one call, used in one place")]
    pub(crate) fn apply_command<'n>(
        &'n self,
        worker: &mut Worker,
        client: &mut Client,
        out: &mut OutBuf,
        args: Args<'_>,
        epoch: u64,
        inside: &mut Option<Inside<'n>>,
        then: impl FnOnce(),
    ) -> Result<(), ErrorReply> {
        let Some(spec) = crate::replication::look_up_streamed(self, args)? else {
            then();
            return Ok(());
        };
        worker.counters.commands_processed += 1;
        if worker.timing.before(spec, args, out) {
            self.close_timing(&mut worker.timing, worker.index, worker.now, None);
        }
        let alone = if spec.plan == Plan::Exclusive {
            *inside = None;
            let Some(alone) = self.alone_in(epoch) else { return Ok(()) };
            Some(alone)
        } else {
            None
        };
        let (held, hashed) = if alone.is_some() {
            (Held::All(&self.keyspace, None), NO_HASH)
        } else {
            self.lock_keys(spec, args)
        };
        let (mut cx, _) = self.stream_cx(worker, client, out, held, hashed);
        cx.db.effects.begin_command();
        let result = (spec.run)(&mut cx, args);
        if self.monitors.any() {
            self.after_call(&mut cx, spec, args);
        }
        if !cx.db.effects.ready.is_empty() {
            self.serve_ready(&mut cx.db);
        }
        drop(cx);
        then();
        if alone.is_some() {
            drop(alone);
            *inside = self.enter_in(worker.index, epoch);
        }
        if worker.timing.after(spec, out) {
            let asked = Some(Asked { client, args });
            self.close_timing(&mut worker.timing, worker.index, worker.now, asked);
        }
        result
    }

    /// Applies a transaction of the stream of the master of role `epoch` under all its locks;
    /// `inside` as with [`Node::apply_command`].
    pub(crate) fn apply_together<'n>(
        &'n self,
        worker: &mut Worker,
        session: &mut Session,
        commands: &[OwnedArgs],
        epoch: u64,
        inside: &mut Option<Inside<'n>>,
        then: impl FnOnce(),
    ) {
        let mut specs = Vec::with_capacity(commands.len());
        let mut stripes: SmallVec<[u16; 16]> = SmallVec::new();
        let mut exclusive = false;
        for args in commands {
            let args = args.as_args();
            match crate::replication::look_up_streamed(self, args) {
                Ok(Some(spec)) => {
                    exclusive |= matches!(spec.plan, Plan::Exclusive | Plan::Walk);
                    spec.each_key(args, |at| stripes.push(self.keyspace.hash(args.get(at)).stripe));
                    specs.push((spec, args));
                }
                Ok(None) => {}
                Err(error) => self.log_stream_error(args, &error),
            }
        }
        let alone = if exclusive {
            *inside = None;
            let Some(alone) = self.alone_in(epoch) else { return };
            Some(alone)
        } else {
            None
        };
        let held = if exclusive {
            Held::All(&self.keyspace, None)
        } else {
            self.lock_stripes(&mut stripes)
        };
        let Session { client, out, .. } = session;
        let mark = out.mark();
        let (mut cx, timing) = self.stream_cx(worker, client, out, held, NO_HASH);
        for (spec, args) in specs {
            cx.db.effects.begin_command();
            cx.db.index = cx.client.db;
            cx.db.counters.commands_processed += 1;
            if timing.before(spec, args, cx.out) {
                self.close_timing(timing, cx.worker, cx.db.now, None);
            }
            if let Err(error) = (spec.run)(&mut cx, args) {
                self.log_stream_error(args, &error);
            }
            if timing.after(spec, cx.out) {
                let asked = Some(Asked { client: cx.client, args });
                self.close_timing(timing, cx.worker, cx.db.now, asked);
            }
            if self.monitors.any() {
                self.after_call(&mut cx, spec, args);
            }
            cx.db.held.release_current();
        }
        // The stripes stay locked until the stream says what was applied.
        then();
        if !cx.db.effects.ready.is_empty() {
            self.serve_ready(&mut cx.db);
        }
        drop(cx);
        out.rewind(mark);
        if alone.is_some() {
            drop(alone);
            *inside = self.enter_in(worker.index, epoch);
        }
    }

    fn stream_cx<'a>(
        &'a self,
        worker: &'a mut Worker,
        client: &'a mut Client,
        out: &'a mut OutBuf,
        held: Held<'a>,
        hashed: Hashed,
    ) -> (Cx<'a>, &'a mut Timing) {
        let Worker { now, counters, rng, effects, index, timing, .. } = worker;
        effects.enabled = false;
        effects.client = client.info.id;
        let db = Db {
            node: self,
            held,
            effects,
            counters,
            now: *now,
            index: client.db,
            source: Source::Master,
            hashed,
        };
        (Cx { node: self, db, client, out, rng, worker: *index, in_exec: true }, timing)
    }
}
