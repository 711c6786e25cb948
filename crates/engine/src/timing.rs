//! How long each command takes, with few looks at the clock.
//!
//! ```text
//!  clock       quick, quick, quick …          clock   one that may be slow   clock
//!    ├───────────── a group ────────────────────┤├──────── alone ─────────────┤
//! ```
//! Reading the clock costs a tenth of what a GET costs in a pipeline. So requests that cannot
//! take long (few arguments, constant time, a short reply) are timed in groups: the neighbours
//! of a pipeline share what they took evenly, at most [`GROUP`] of them. All others, and the
//! only request of a read, are timed one by one. A short reply that turns out long ends its
//! group and is given what its neighbours did not need. With a low `slowlog-log-slower-than`
//! every command is timed by itself.

use smallvec::SmallVec;
use tandem_base::{Now, UnixMs};
use tandem_resp::{Args, OutBuf};

use crate::blocking::Waiter;
use crate::client::{Blocked, Client};
use crate::commands::number_of;
use crate::intake::Worker;
use crate::node::Node;
use crate::spec::{Flags, Spec};

/// Most requests that share one reading of the clock.
pub(crate) const GROUP: u32 = crate::ahead::WINDOW as u32;
/// A request with more arguments may take long.
const FEW_ARGS: usize = 8;
/// A reply of more bytes may have taken long.
const SHORT_REPLY: usize = 16 << 10;
/// Below this `slowlog-log-slower-than`, in µs, every command is timed by itself: a group may
/// well take so long.
const EXACT_BELOW_US: u64 = 1000;

/// A worker's stopwatch.
#[derive(Default)]
pub(crate) struct Timing {
    /// When the open group began, in ns.
    began_ns: u64,
    /// Requests of the open group.
    calls: u32,
    /// The same by command, neighbours together.
    runs: SmallVec<[Run; 4]>,
    /// The command of the last request, and its number: looking that up costs more than counting.
    last: Option<(&'static Spec, usize)>,
    /// Every request is timed by itself.
    exact: bool,
    /// The running request is timed by itself.
    alone: bool,
    /// The last request of the group is known to have taken most of its time, or all of it.
    singled_out: bool,
    /// Length of the replies before the running request.
    reply_bytes: usize,
    /// What a request took in the last group.
    usual_ns: u64,
}

/// Neighbours of a group that are requests of one command.
struct Run {
    spec: &'static Spec,
    /// See [`number_of`].
    number: usize,
    calls: u32,
}

/// Whose request the last of a group was.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) client: &'a Client,
    pub(crate) args: Args<'a>,
}

impl Timing {
    /// Before a request is run. `true`: the open group must be closed first.
    #[inline]
    pub(crate) fn before(&mut self, spec: &'static Spec, args: Args<'_>, out: &OutBuf) -> bool {
        self.alone = self.exact || !spec.has(Flags::QUICK) || args.len() > FEW_ARGS;
        self.reply_bytes = out.len();
        self.alone && self.calls > 0
    }

    /// After a request was run. `true`: its group must be closed now.
    #[inline]
    pub(crate) fn after(&mut self, spec: &'static Spec, out: &OutBuf) -> bool {
        self.calls += 1;
        match self.runs.last_mut() {
            Some(run) if std::ptr::eq(run.spec, spec) => run.calls += 1,
            _ => {
                let number = self.number(spec);
                self.runs.push(Run { spec, number, calls: 1 });
            }
        }
        self.singled_out = self.alone || out.len().saturating_sub(self.reply_bytes) > SHORT_REPLY;
        self.singled_out || self.calls == GROUP
    }

    #[inline]
    fn number(&mut self, spec: &'static Spec) -> usize {
        match self.last {
            Some((last, number)) if std::ptr::eq(last, spec) => number,
            _ => {
                let number = number_of(spec);
                self.last = Some((spec, number));
                number
            }
        }
    }

    /// When the open group began, to be given back to [`Timing::go_back`].
    pub(crate) fn began_ns(&self) -> u64 {
        self.began_ns
    }

    /// What comes next lasts since `began_ns`: EXEC lasts as long as all that it ran.
    pub(crate) fn go_back(&mut self, began_ns: u64) {
        assert_eq!(self.calls, 0, "the group inside has been closed");
        self.began_ns = began_ns;
        self.alone = true;
    }
}

impl Node {
    /// A batch of requests begins.
    pub(crate) fn begin_timing(&self, worker: &mut Worker) {
        let Worker { timing, index, now, .. } = worker;
        // What ran outside a batch counts too.
        self.close_timing(timing, *index, *now, None);
        timing.exact = self.monitor.slower_than_us().is_some_and(|us| us < EXACT_BELOW_US);
        timing.began_ns = self.host.clock_ns();
    }

    /// Ends the open group, if there is one, and begins the next. `asked` is whose request the
    /// last one was, `now` when the worker's turn began.
    pub(crate) fn close_timing(
        &self,
        timing: &mut Timing,
        thread: usize,
        now: Now,
        asked: Option<Asked<'_>>,
    ) {
        let Some(run) = timing.runs.last_mut() else { return };
        let (last, number) = (run.spec, run.number);
        let clock_ns = self.host.clock_ns();
        let took_ns = clock_ns.saturating_sub(timing.began_ns);
        let calls = u64::from(timing.calls);
        let even_ns = took_ns / calls;
        // Where the last one was long, the others took what they usually do.
        let singled_out = timing.singled_out || calls == 1;
        let each_ns = if singled_out { even_ns.min(timing.usual_ns) } else { even_ns };
        let last_ns = took_ns - each_ns * (calls - 1);
        let blocked = asked.is_some_and(|asked| asked.client.blocked.is_some());
        let tracks = self.monitor.tracks() && !blocked;
        if let Some(Blocked::Waiting(waiting)) = asked.and_then(|it| it.client.blocked.as_ref()) {
            waiting.note_own_time(last_ns);
        }
        run.calls -= u32::from(singled_out);
        let mut table = self.monitor.table(thread);
        // The only request of a read, mostly.
        if calls > 1 {
            for Run { number, calls, .. } in timing.runs.iter().filter(|run| run.calls > 0) {
                table.numbered_row(*number).took(each_ns, (*calls).into(), tracks);
            }
        }
        if singled_out {
            table.numbered_row(number).took(last_ns, 1, tracks);
        }
        drop(table);
        timing.runs.clear();
        timing.calls = 0;
        timing.singled_out = false;
        timing.began_ns = clock_ns;
        timing.usual_ns = each_ns;
        if singled_out && let Some(asked) = asked {
            self.note_long(last, asked, last_ns, now);
        }
    }

    /// Notes an event that began at `began_ns`, if it was clear then that it could be noted.
    pub(crate) fn note_event(&self, event: &'static str, began_ns: Option<u64>, at: UnixMs) {
        if let Some(began_ns) = began_ns {
            self.monitor.event(event, self.host.clock_ns().saturating_sub(began_ns), at);
        }
    }

    /// A command that had made its client wait has been served, which took `serving_ns`; or its
    /// wait was called off. What it took itself is told now, without the wait.
    #[cold]
    pub(crate) fn note_unblocked(
        &self,
        waiter: &Waiter,
        serving_ns: u64,
        failed: bool,
        at: UnixMs,
    ) {
        let Some(spec) = waiter.spec() else { return };
        let took_ns = waiter.own_ns() + serving_ns;
        // Its thread counted the call; the lock is held for moments.
        let mut table = self.monitor.table(waiter.worker());
        let row = table.row(spec);
        row.total_ns += serving_ns;
        row.failed += u64::from(failed);
        if self.monitor.tracks() {
            row.record(took_ns, 1);
        }
        drop(table);
        self.monitor.event("command-unblocking", serving_ns, at);
        let took_us = took_ns / 1000;
        if self.monitor.slower_than_us().is_some_and(|us| took_us >= us)
            && !spec.has(Flags::SKIP_SLOWLOG)
            && let (Some(args), Some(info)) = (waiter.args(), self.clients.get(waiter.client()))
        {
            self.monitor.slowlog().push(&info, spec, args, took_us, at);
        }
    }

    /// Is it an event, is it slow?
    fn note_long(&self, spec: &'static Spec, asked: Asked<'_>, took_ns: u64, now: Now) {
        let at = UnixMs(now.unix.0.saturating_add_unsigned(took_ns / 1_000_000));
        if self.monitor.latency_threshold_ms().is_some() {
            let event = if spec.has(Flags::FAST) { "fast-command" } else { "command" };
            self.monitor.event(event, took_ns, at);
        }
        let took_us = took_ns / 1000;
        if self.monitor.slower_than_us().is_some_and(|us| took_us >= us)
            && !spec.has(Flags::SKIP_SLOWLOG)
            && asked.client.blocked.is_none()
        {
            self.monitor.slowlog().push(&asked.client.info, spec, asked.args, took_us, at);
        }
    }
}
