//! What time brings: idle clients go, and memory that idle connections need not hold.

use std::sync::atomic::Ordering;

use tandem_engine::client::Kind;
use tandem_engine::node::Level;

use super::{IDLE_MS, WorkerLoop};

/// A table of connections with room for no more than that is never made smaller.
const CONNS_KEPT: usize = 256;

impl WorkerLoop {
    /// Once a second: idle clients, and memory that idle connections need not hold.
    pub(super) fn scan_if_due(&mut self) {
        let now = self.engine.now;
        if now.mono < self.next_scan {
            return;
        }
        self.next_scan = now.mono.plus_ms(IDLE_MS);
        let timeout_ms = i64::from(self.node.config().timeout()) * 1000;
        let mut idle = Vec::new();
        for (id, conn) in &mut self.conns {
            let keeps = self.node.levers.keeps_reply_buffers.load(Ordering::Relaxed);
            if !keeps && conn.session.out.shrink() {
                let counters = &mut self.engine.counters;
                self.node.count_client_memory(&conn.session, counters, now);
            }
            let client = &conn.session.client;
            let last = client.info.last_active.load(Ordering::Relaxed);
            let exempt = client.kind == Kind::Replica
                || client.blocked.is_some()
                || client.subscriptions.is_some()
                || client.is_monitor;
            if timeout_ms > 0 && !exempt && now.unix.0 - last > timeout_ms {
                idle.push(*id);
            }
        }
        for id in idle {
            self.node.log(Level::Verbose, "Closing idle client");
            self.close(id);
        }
        // A storm of connections leaves a table behind that the few who stay do not need.
        if self.conns.capacity() > CONNS_KEPT && self.conns.len() < self.conns.capacity() / 8 {
            self.conns.shrink_to(self.conns.len() * 2);
        }
    }
}
