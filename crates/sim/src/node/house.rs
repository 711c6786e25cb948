//! What the server's housekeeper and its snapshot threads do: cron, and snapshots made a little
//! at a time.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tandem_engine::client::ClientId;
use tandem_engine::node::{Mail, lock};
use tandem_engine::persistence::{SnapshotEnd, SnapshotPiece};
use tandem_repl::peer::marked_preamble;
use tandem_repl::syncplan::Target;

use super::SimNode;
use crate::around::Around;
use crate::checks;
use crate::feed::{Feed, Job, Pieces};
use crate::plant::{self, Plant};

impl SimNode {
    pub(super) fn keep_house(&mut self, around: &mut Around) {
        for order in self.host.take_orders() {
            let late = around.plant == Some(Plant::SnapshotLate) && order.base.0 > 0;
            let late = late.then(|| checks::sum_of(&self.node));
            let to_sockets = order.target == Target::Sockets;
            let pieces = to_sockets.then(|| Rc::new(RefCell::new(Pieces::default())));
            if let Some(pieces) = &pieces {
                for id in &order.replicas {
                    let feed = Feed::Pieces(Rc::clone(pieces), 0);
                    self.attach(*id, marked_preamble(&order.mark), feed);
                }
            }
            if let Some(stopped) = self.job.take() {
                // Its thread notices only now that it was stopped.
                self.break_off(stopped, "the snapshot was given up", around);
            }
            self.job = Some(Job { order, file: Vec::new(), pieces, made: false, late });
        }
        if around.rng.u8(0..3) > 0 {
            self.work_on_snapshot(around);
        }
        if around.now >= self.next_cron {
            self.next_cron = around.now + around.rng.u64(10_000..60_000);
            self.node.cron(&mut self.house, &mut self.cron);
            self.look(around);
        }
    }

    fn attach(&mut self, id: ClientId, preamble: Vec<u8>, feed: Feed) {
        if let Some(info) = self.node.clients.get(id) {
            self.attachments.insert(id, (preamble, feed));
            self.node.mail(info.worker, Mail::Look(id));
        }
    }

    fn work_on_snapshot(&mut self, around: &mut Around) {
        let Some(mut job) = self.job.take() else { return };
        let reading = self.reading(around.now);
        if let Some(sum) = job.late {
            if checks::sum_of(&self.node) == sum && !around.healing {
                self.job = Some(job);
                return;
            }
            job.late = None;
            job.order = plant::cut_again(&self.node, job.order, reading);
        }
        let forsaken = job.pieces.is_some()
            && !job.order.replicas.iter().any(|id| self.conns.contains_key(id));
        if forsaken {
            return self.break_off(job, "all replicas have gone", around);
        }
        if job.made {
            return self.end_snapshot(job, around);
        }
        let fails = around.weather.save_fails_one_in;
        if job.pieces.is_none() && fails > 0 && around.rng.u32(0..fails) == 0 {
            return self.break_off(job, "No space left on device", around);
        }
        let budget = around.rng.usize(1..around.weather.save_bytes);
        let (bytes, last) = match job.order.step(&self.node, budget) {
            SnapshotPiece::Some(bytes) => (bytes, false),
            SnapshotPiece::Last(bytes) => (bytes, true),
            SnapshotPiece::Stopped => {
                return self.break_off(job, "the snapshot was given up", around);
            }
        };
        job.file.extend_from_slice(&bytes);
        if let Some(pieces) = &job.pieces {
            let mut pieces = pieces.borrow_mut();
            pieces.bytes.extend_from_slice(&bytes);
            if last {
                pieces.bytes.extend_from_slice(&job.order.mark);
                pieces.ended = true;
            }
        }
        job.made = last;
        if last && around.rng.bool() {
            self.end_snapshot(job, around);
        } else {
            self.job = Some(job);
        }
    }

    fn break_off(&mut self, job: Job, why: &str, around: &mut Around) {
        let end =
            SnapshotEnd { id: job.order.id, result: Err(why.to_owned()), target: job.order.target };
        job.order.give_up(&self.node);
        let sends = self.node.snapshot_ended(&end, self.reading(around.now));
        assert!(sends.is_empty(), "there is nothing to send");
        self.look(around);
    }

    fn end_snapshot(&mut self, job: Job, around: &mut Around) {
        let (id, target) = (job.order.id, job.order.target);
        let file = Arc::new(job.file);
        let mut result = Ok(file.len() as u64);
        if target == Target::Disk {
            let take_place = || lock(self.host.disk()).rdb = Some(Arc::clone(&file));
            if self.node.persistence.unless_stopped(id, take_place).is_none() {
                result = Err("the snapshot was given up".to_owned());
            }
        }
        let end = SnapshotEnd { id, result, target };
        around
            .trace
            .event(around.now, &format!("n{} snapshot made: {} bytes", self.name, file.len()));
        for (id, preamble) in self.node.snapshot_ended(&end, self.reading(around.now)) {
            self.attach(id, preamble, Feed::File(Arc::clone(&file), 0));
        }
        self.look(around);
    }
}
