//! What a command function is given.

use tandem_base::Now;
use tandem_resp::OutBuf;

use crate::client::Client;
use crate::db::Db;
use crate::node::Node;

/// The context of one running command. Its parts are fields of their own, so that a reply can be
/// written while a value of the database is being looked at.
pub struct Cx<'a> {
    /// The node.
    pub node: &'a Node,
    /// Keys, effects, clock.
    pub db: Db<'a>,
    /// The client that asked.
    pub client: &'a mut Client,
    /// Where the reply goes.
    pub out: &'a mut OutBuf,
    /// Random numbers.
    pub rng: &'a mut fastrand::Rng,
    /// Which worker runs this.
    pub worker: usize,
    /// Inside EXEC.
    pub in_exec: bool,
}

impl Cx<'_> {
    /// When the batch began.
    pub fn now(&self) -> Now {
        self.db.now
    }

    /// Adds what this worker has counted in its turn to the figures of all, but for the commands
    /// that still run: who asks sees what stood before the question in the same pipeline.
    pub(crate) fn tell_figures(&mut self) {
        let counters = &mut *self.db.counters;
        let running = (1 + u64::from(self.in_exec)).min(counters.commands_processed);
        counters.commands_processed -= running;
        self.node.take_figures(self.db.effects, counters);
        counters.commands_processed += running;
    }

    /// Notes changes of the dataset: the command will be sent to replicas.
    #[inline]
    pub fn changed(&mut self, count: u64) {
        self.db.effects.changed(count);
    }

    /// Sends `args` to replicas instead of the command's own words.
    pub fn send_instead(&mut self, args: &[&[u8]]) {
        self.db.effects.send_instead(self.db.index, args);
    }
}
