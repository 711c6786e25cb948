//! From a request to a call: which command, whether it may run now, what it locks, what follows.
//!
//! ```text
//! request ─► spec ─► gate: arity, auth, role, loading, pause … ─► queue (MULTI)
//!                                                             └─► locks ─► run ─► effects ─► unlock
//! ```

use std::sync::atomic::Ordering;

use smallvec::SmallVec;
use tandem_base::Now;
use tandem_resp::{Args, Mark, OutBuf};

use crate::ahead::{Hashed, NO_HASH};
use crate::client::{Blocked, Client, ClientFlags, Kind, Queued, ReplyMode, Session};
use crate::commands;
use crate::config::AllowedFrom;
use crate::cx::Cx;
use crate::db::{Db, Source};
use crate::error::ErrorReply;
use crate::eviction::Room;
use crate::gate::Inside;
use crate::intake::Worker;
use crate::locks::Held;
use crate::node::{Level, Node, Refusals};
use crate::spec::{Flags, Plan, Spec};
use crate::stats::Counters;
use crate::timing::{Asked, Timing};

impl Node {
    /// Runs one request; `spec` is its command, if that has been looked up.
    pub(crate) fn run_request<'n>(
        &'n self,
        worker: &mut Worker,
        session: &mut Session,
        args: Args<'_>,
        spec: Option<&'static Spec>,
        inside: &mut Option<Inside<'n>>,
    ) {
        let mark = session.out.mark();
        let Session { client, out, .. } = session;
        if client.reply_mode == ReplyMode::SkipAfterThis {
            client.reply_mode = ReplyMode::SkipThis;
        }
        let result = match self.look_up(args, spec) {
            Ok(spec) => self.admit_and_run(worker, client, out, spec, args, inside),
            Err(_) if is_http(args.get(0)) => {
                self.cut_off_http(client, worker.now);
                return;
            }
            Err(error) => Err(self.reject(worker, client, args, error)),
        };
        if let Err(error) = result {
            if error == ErrorReply::Evicted {
                client.closing = true;
                return;
            }
            self.note_error(&mut worker.counters, &error);
            out.error(&error.to_bytes());
        }
        match client.reply_mode {
            _ if client.kind == Kind::Replica && client.feed.is_some() => {
                self.look_at_reply_to_replica(client, out, mark, args, worker.now);
            }
            ReplyMode::On | ReplyMode::SkipAfterThis => {}
            ReplyMode::Off | ReplyMode::SkipThis => {
                if !std::mem::take(&mut client.pushing) {
                    out.rewind(mark);
                }
                if client.reply_mode == ReplyMode::SkipThis {
                    client.reply_mode = ReplyMode::On;
                }
            }
        }
        if client.listens {
            self.after_request(worker.index, client, out, args);
        }
    }

    /// The command or subcommand of a request that has as many arguments as it takes. `spec` is
    /// that of its name, if this has been looked up.
    #[inline]
    pub(crate) fn look_up(
        &self,
        args: Args<'_>,
        spec: Option<&'static Spec>,
    ) -> Result<&'static Spec, ErrorReply> {
        let spec = spec.or_else(|| self.named(args.get(0)));
        let spec = spec.ok_or_else(|| commands::unknown_command(args))?;
        let spec = commands::look_up_subcommand(spec, args)?;
        if spec.arity.allows(args.len()) {
            Ok(spec)
        } else {
            Err(ErrorReply::WrongArity(spec.name))
        }
    }

    /// The command of that name, in any case, after `rename-command`.
    #[inline]
    pub(crate) fn named(&self, name: &[u8]) -> Option<&'static Spec> {
        match &self.renames {
            None => commands::look_up(name),
            Some(renames) => renames.find(name),
        }
    }

    fn admit_and_run<'n>(
        &'n self,
        worker: &mut Worker,
        client: &mut Client,
        out: &mut OutBuf,
        spec: &'static Spec,
        args: Args<'_>,
        inside: &mut Option<Inside<'n>>,
    ) -> Result<(), ErrorReply> {
        client.info.set_last_command(spec);
        if let Err(error) = self.admit(worker, client, out, spec, args) {
            return Err(self.reject(worker, client, args, error));
        }
        if self.must_wait(client, spec, worker.now) {
            postpone(client, args);
            return Ok(());
        }
        if client.transaction.is_some() && !runs_inside_multi(spec) {
            return queue(client, out, spec, args);
        }
        if spec.plan != Plan::Keys && runs_alone(client, spec) {
            return self.run_alone(worker, client, out, spec, args, inside);
        }
        self.run_timed(worker, client, out, spec, args)
    }

    /// Leaves the gate and runs the command when nobody else is inside. While this waits others
    /// run: the role may change, a load or a pause may begin. So whether the command may run is
    /// asked once more, where the answer stays true.
    #[cold]
    fn run_alone<'n>(
        &'n self,
        worker: &mut Worker,
        client: &mut Client,
        out: &mut OutBuf,
        spec: &'static Spec,
        args: Args<'_>,
        inside: &mut Option<Inside<'n>>,
    ) -> Result<(), ErrorReply> {
        *inside = None;
        let alone = self.gate.alone();
        let result = if let Err(error) = self.admit_in(self.refusals(), client, spec) {
            Err(self.reject(worker, client, args, error))
        } else if self.must_wait(client, spec, worker.now) {
            postpone(client, args);
            Ok(())
        } else {
            worker.effects.enabled = self.tells_replicas();
            self.run_timed(worker, client, out, spec, args)
        };
        drop(alone);
        if self.gate.is_shut() {
            // The server ends; its worker stays out, as all do.
            client.closing = true;
            return result;
        }
        *inside = Some(self.gate.enter(worker.index));
        worker.effects.enabled = self.tells_replicas();
        result
    }

    /// Runs a command that may run, and counts and times it.
    #[inline]
    fn run_timed(
        &self,
        worker: &mut Worker,
        client: &mut Client,
        out: &mut OutBuf,
        spec: &'static Spec,
        args: Args<'_>,
    ) -> Result<(), ErrorReply> {
        worker.counters.commands_processed += 1;
        if worker.timing.before(spec, args, out) {
            self.close_timing(&mut worker.timing, worker.index, worker.now, None);
        }
        let result = self.run_locked(worker, client, out, spec, args);
        if result.is_err() {
            self.note_failed(worker.index, spec);
        }
        if worker.timing.after(spec, out) {
            let asked = Some(Asked { client, args });
            self.close_timing(&mut worker.timing, worker.index, worker.now, asked);
        }
        result
    }

    /// A replica's connection carries the stream, and nothing of ours may come between: who asks
    /// for something there is cut off, as in Redis.
    #[cold]
    fn look_at_reply_to_replica(
        &self,
        client: &mut Client,
        out: &mut OutBuf,
        mark: Mark,
        args: Args<'_>,
        now: Now,
    ) {
        if std::mem::take(&mut client.was_continued) || out.mark() == mark {
            return;
        }
        out.rewind(mark);
        client.closing = true;
        let name =
            self.named(args.get(0)).and_then(|spec| commands::look_up_subcommand(spec, args).ok());
        let name = name.map_or("<unknown>", |spec| spec.name);
        let line = commands::client_line(client, args, now);
        self.log(
            Level::Warning,
            &format!("Replica generated a reply to command '{name}', disconnecting it: {line}"),
        );
    }

    /// Counts an error reply, whatever gave it.
    #[cold]
    pub(crate) fn note_error(&self, counters: &mut Counters, error: &ErrorReply) {
        counters.error_replies += 1;
        self.meters.note_error(error);
    }

    /// Counts a call that ended in an error.
    #[cold]
    pub(crate) fn note_failed(&self, thread: usize, spec: &Spec) {
        self.monitor.table(thread).row(spec).failed += 1;
    }

    /// A browser was made to send its request here: the connection ends without a reply, so
    /// that what follows in the request is not taken for commands.
    #[cold]
    fn cut_off_http(&self, client: &mut Client, now: Now) {
        client.closing = true;
        if self.meters.may_log_attack(now) {
            self.log(
                Level::Warning,
                "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or \
                 Host: commands to Redis. This is likely due to an attacker attempting to use \
                 Cross Protocol Scripting to compromise your Redis instance. Connection aborted.",
            );
        }
    }

    /// A command may not run: an open transaction will not run either, and is dropped at once
    /// if the command was EXEC.
    #[cold]
    fn reject(
        &self,
        worker: &mut Worker,
        client: &mut Client,
        args: Args<'_>,
        error: ErrorReply,
    ) -> ErrorReply {
        abort_transaction(client);
        if error == ErrorReply::Evicted {
            return error;
        }
        let named = self.named(args.get(0));
        if let Some(spec) = named.and_then(|spec| commands::look_up_subcommand(spec, args).ok()) {
            self.monitor.table(worker.index).row(spec).rejected += 1;
        }
        if named.is_none_or(|spec| spec.name != "exec") {
            return error;
        }
        if let Some(spec) = named
            && self.monitors.any()
        {
            self.show_monitors(client, client.db, spec, args, worker.now);
        }
        commands::transactions::discard(self, client);
        let error = error.to_bytes();
        let why = error.strip_prefix(b"ERR ").unwrap_or(&error);
        ErrorReply::owned([b"EXECABORT Transaction discarded because of: ", why].concat())
    }

    /// Whether the node's state and the client's rights allow the command.
    fn admit(
        &self,
        worker: &mut Worker,
        client: &mut Client,
        out: &mut OutBuf,
        spec: &'static Spec,
        args: Args<'_>,
    ) -> Result<(), ErrorReply> {
        // Who may do everything is done here with one comparison.
        if !client.login.is_trusted(self.acl.generation()) {
            self.admit_user(client, spec, args, worker.now)?;
        }
        if spec.flags.intersects(Flags::NO_MULTI.union(Flags::PROTECTED)) {
            self.admit_special(client, spec)?;
        }
        let refusals = self.refusals();
        if refusals.is_empty() && !client.listens {
            return Ok(());
        }
        if refusals.contains(Refusals::MEMORY) {
            if self.clients_over_limit() {
                self.evict_clients(&mut worker.counters, worker.now);
                if client.info.killed.load(Ordering::Relaxed) {
                    return Err(ErrorReply::Evicted);
                }
            }
            let room = self.make_room(worker);
            if client.listens {
                // What has been evicted is told before the command is answered.
                self.catch_up(worker.index, client, out);
            }
            if room == Room::Full && needs_room(client, spec) {
                return Err(ErrorReply::OutOfMemory);
            }
            if refusals == Refusals::MEMORY && !client.listens {
                return Ok(());
            }
        }
        self.admit_in(refusals, client, spec)
    }

    /// Whether a command may run that transactions, or the configuration, may forbid.
    #[cold]
    fn admit_special(&self, client: &Client, spec: &Spec) -> Result<(), ErrorReply> {
        if client.transaction.is_some() && spec.has(Flags::NO_MULTI) {
            return Err(ErrorReply::text("ERR Command not allowed inside a transaction"));
        }
        if spec.has(Flags::PROTECTED) { self.admit_protected(client, spec) } else { Ok(()) }
    }

    /// Whether the configuration lets this client run a command for developers.
    pub(crate) fn admit_protected(&self, client: &Client, spec: &Spec) -> Result<(), ErrorReply> {
        let config = self.config();
        let (name, directive, from) = match spec.name.split('|').next() {
            Some("module") => ("MODULE", "enable-module-command", config.enable_module_command()),
            _ => ("DEBUG", "enable-debug-command", config.enable_debug_command()),
        };
        let allowed = match from {
            AllowedFrom::Yes => true,
            AllowedFrom::No => false,
            AllowedFrom::Local => commands::config_cmd::is_local(&client.info),
        };
        if allowed {
            return Ok(());
        }
        Err(ErrorReply::owned(format!(
            "ERR {name} command not allowed. If the {directive} option is set to \"local\", you \
             can run it from a local connection, otherwise you need to set this option in the \
             configuration file, and then restart the server."
        )))
    }

    #[cold]
    fn admit_in(&self, refusals: Refusals, client: &Client, spec: &Spec) -> Result<(), ErrorReply> {
        let writes = spec.has(Flags::WRITE)
            || (spec.name == "exec" && transaction_has(client, Flags::WRITE));
        if refusals.contains(Refusals::MISCONF) && (writes || spec.name == "ping") {
            return Err(ErrorReply::Misconf);
        }
        if refusals.contains(Refusals::NO_REPLICAS) && writes {
            return Err(ErrorReply::NoReplicas);
        }
        if refusals.contains(Refusals::READ_ONLY) && writes {
            return Err(ErrorReply::ReadOnly);
        }
        if let Some(error) = commands::pubsub::refusal_of_subscriber(client, spec) {
            return Err(error);
        }
        let lacks =
            |flag| !spec.has(flag) || (spec.name == "exec" && transaction_lacks(client, flag));
        if refusals.contains(Refusals::STALE) && lacks(Flags::STALE) {
            return Err(ErrorReply::MasterDown);
        }
        if refusals.contains(Refusals::LOADING) && lacks(Flags::LOADING) {
            return Err(ErrorReply::Loading);
        }
        // A replica is not held up by a pause, and so may not write; MONITOR makes one of a client.
        if client.is_replica_or_monitor()
            && KEYSPACE.into_iter().any(|flag| {
                spec.has(flag) || (spec.name == "exec" && transaction_has(client, flag))
            })
        {
            return Err(ErrorReply::text("ERR Replica can't interact with the keyspace"));
        }
        Ok(())
    }

    /// Whether CLIENT PAUSE makes the command wait.
    pub(crate) fn must_wait(&self, client: &Client, spec: &Spec, now: Now) -> bool {
        if !self.refusals().contains(Refusals::PAUSED) || client.is_replica_or_monitor() {
            return false;
        }
        let may_replicate = Flags::WRITE | Flags::MAY_REPLICATE;
        let in_transaction = client.transaction.is_some() && !runs_inside_multi(spec);
        self.is_paused_for_all(now)
            || (self.is_paused_for_writes(now)
                && !in_transaction
                && (spec.flags.intersects(may_replicate)
                    || (spec.name == "exec"
                        && (transaction_has(client, Flags::WRITE)
                            || transaction_has(client, Flags::MAY_REPLICATE)))))
    }

    /// Runs one command with what it touches held. What runs alone is called when it is.
    fn run_locked(
        &self,
        worker: &mut Worker,
        client: &mut Client,
        out: &mut OutBuf,
        spec: &'static Spec,
        args: Args<'_>,
    ) -> Result<(), ErrorReply> {
        if spec.name == "exec" {
            let result = self.run_exec(worker, client, out, args);
            if self.monitors.any() {
                self.show_monitors(client, client.db, spec, args, worker.now);
            }
            return result;
        }
        match spec.plan {
            Plan::Keys => {
                let ahead = worker.hashed;
                if spec.has_one_key_first() {
                    let key = args.get(1);
                    let hashed = if ahead.0 == key.as_ptr() && ahead.1 == key.len() {
                        ahead
                    } else {
                        (key.as_ptr(), key.len(), self.keyspace.hash(key))
                    };
                    let stripe = hashed.2.stripe;
                    let mut held = Held::One(stripe, self.keyspace.lock(stripe));
                    if self.serving_reaches_beyond(stripe) {
                        drop(held);
                        held = self.lock_stripes(&mut SmallVec::from_slice(&[stripe]));
                    }
                    return self.call(worker, client, out, spec, args, held, hashed);
                }
                let (held, hashed) = self.lock_keys(spec, args);
                self.call(worker, client, out, spec, args, held, hashed)
            }
            Plan::None | Plan::Walk => {
                self.call(worker, client, out, spec, args, Held::Nothing, NO_HASH)
            }
            Plan::Exclusive => {
                let held = Held::All(&self.keyspace, None);
                self.call(worker, client, out, spec, args, held, NO_HASH)
            }
        }
    }

    /// Runs one command outside a transaction, and tells replicas before its keys are let go.
    #[expect(clippy::too_many_arguments, reason = "the parts of one call, used in one place")]
    fn call<'a>(
        &'a self,
        worker: &'a mut Worker,
        client: &'a mut Client,
        out: &'a mut OutBuf,
        spec: &'static Spec,
        args: Args<'_>,
        held: Held<'a>,
        hashed: Hashed,
    ) -> Result<(), ErrorReply> {
        let (mut cx, _) = self.client_cx(worker, client, out, held, hashed, false);
        let before = cx.client.db;
        let result = (spec.run)(&mut cx, args);
        if cx.client.listens || self.monitors.any() {
            self.after_call(&mut cx, spec, args);
        }
        let Cx { mut db, client, .. } = cx;
        let own_words = db.effects.sends_own_words(spec.has(Flags::WRITE));
        if own_words || !db.effects.is_empty() {
            let last = own_words.then_some((before, args));
            let unwrapped = spec.has(Flags::TOUCHES_ARBITRARY_KEYS);
            db.effects.flush(&self.stream, last, unwrapped);
        }
        if client.blocked.is_none() {
            client.seen = self.stream.end();
        }
        if !db.effects.ready.is_empty() {
            self.serve_ready(&mut db);
        }
        drop(db);
        result
    }
}

impl Node {
    /// What a client's command is given, and the worker's stopwatch beside it.
    pub(crate) fn client_cx<'a>(
        &'a self,
        worker: &'a mut Worker,
        client: &'a mut Client,
        out: &'a mut OutBuf,
        held: Held<'a>,
        hashed: Hashed,
        in_exec: bool,
    ) -> (Cx<'a>, &'a mut Timing) {
        let Worker { now, counters, rng, effects, index, timing, .. } = worker;
        effects.begin_command();
        let db = Db {
            node: self,
            held,
            effects,
            counters,
            now: *now,
            index: client.db,
            source: Source::Client,
            hashed,
        };
        (Cx { node: self, db, client, out, rng, worker: *index, in_exec }, timing)
    }
}

/// Whether a request is the first or a later line of an HTTP request.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

fn runs_inside_multi(spec: &Spec) -> bool {
    matches!(spec.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}

/// What a command has that reads keys, changes them, or changes what replicas see.
const KEYSPACE: [Flags; 3] = [Flags::READONLY, Flags::WRITE, Flags::MAY_REPLICATE];

/// A pause has begun: the request is kept until it ends.
fn postpone(client: &mut Client, args: Args<'_>) {
    client.postponed = Some(args.to_owned());
    client.blocked = Some(Blocked::Pause);
    client.info.set_flag(ClientFlags::BLOCKED, true);
}

/// Whether a command, or the transaction that it runs, wants the keyspace for itself. One that
/// has been refused a command runs nothing.
fn runs_alone(client: &Client, spec: &Spec) -> bool {
    let wide = |plan| matches!(plan, Plan::Exclusive | Plan::Walk);
    match &client.transaction {
        Some(open) if spec.name == "exec" => {
            !open.aborted && open.queued.iter().any(|queued| wide(queued.spec.plan))
        }
        _ => spec.plan == Plan::Exclusive,
    }
}

fn transaction_has(client: &Client, flag: Flags) -> bool {
    client.transaction.as_ref().is_some_and(|t| t.queued.iter().any(|q| q.spec.has(flag)))
}

/// Whether a command is refused when memory is full: what would take more of it, and whatever
/// would make a transaction longer.
fn needs_room(client: &Client, spec: &Spec) -> bool {
    spec.has(Flags::DENYOOM)
        || (spec.name == "exec" && transaction_has(client, Flags::DENYOOM))
        || (client.transaction.is_some()
            && !matches!(spec.name, "exec" | "discard" | "quit" | "reset"))
}

fn transaction_lacks(client: &Client, flag: Flags) -> bool {
    client.transaction.as_ref().is_some_and(|t| t.queued.iter().any(|q| !q.spec.has(flag)))
}

fn abort_transaction(client: &mut Client) {
    if let Some(transaction) = &mut client.transaction {
        transaction.aborted = true;
    }
}

fn queue(
    client: &mut Client,
    out: &mut OutBuf,
    spec: &'static Spec,
    args: Args<'_>,
) -> Result<(), ErrorReply> {
    let transaction = client.transaction.as_mut().expect("checked by the caller");
    // A transaction that will be refused need not keep what it refuses.
    if !transaction.aborted {
        let args = args.to_owned();
        transaction.bytes += args.bytes();
        transaction.queued.push(Queued { spec, args });
    }
    client.info.multi.store(transaction.queued.len() as i64, Ordering::Relaxed);
    out.simple("QUEUED");
    Ok(())
}
