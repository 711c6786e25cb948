//! The end of a world: all faults heal, one tree of replicas is ordered, and within a bounded time
//! all links are up and all data equal.

use super::World;
use crate::clock::Micros;

/// After the last fault everything must be well within this time.
const HEALED_WITHIN: Micros = 60_000_000;
/// Clients still write in the beginning of the healing.
const LAST_WRITES: Micros = 400_000;

impl World {
    pub(super) fn heal(&mut self) {
        self.around.event("all faults heal");
        self.around.healing = true;
        self.around.weather.late_one_in = 0;
        self.around.weather.save_fails_one_in = 0;
        self.around.net.heal(self.around.now);
        for place in &mut self.places {
            place.down_until = self.around.now;
        }
        self.pass(1000);
        for name in 0..self.places.len() {
            self.order(name, &["SHUTDOWN", "ABORT"]);
        }
        let root = self.any_node();
        let mut tree = vec![root];
        let mut rest: Vec<usize> = (0..self.places.len()).filter(|name| *name != root).collect();
        self.around.rng.shuffle(&mut rest);
        self.promote(root);
        for name in rest {
            let master = tree[self.around.rng.usize(..tree.len())];
            tree.push(name);
            self.point(name, master);
        }
        let began = self.around.now;
        while self.around.checks.violation().is_none() {
            let since = self.around.now - began;
            if since < LAST_WRITES {
                self.write();
            } else if self.is_well(root) {
                self.around.event("all is well");
                return;
            }
            if since > HEALED_WITHIN {
                let states = self.states();
                self.around
                    .checks
                    .fail(format!("not well {} s after healing: {states}", since / 1_000_000));
            }
            let us = self.around.rng.u64(500..12_000);
            self.pass(us);
        }
    }

    fn is_well(&self, root: usize) -> bool {
        let node = |name: usize| self.places[name].running.as_ref();
        let Some(master) = node(root).map(|root| &root.node) else { return false };
        let (end, replid) = (master.stream.end(), master.replication.inner().history.replid);
        let arrived = (0..self.places.len()).filter(|name| *name != root).all(|name| {
            node(name).is_some_and(|replica| {
                replica.link_is_up()
                    && replica.node.stream.end() == end
                    && replica.node.replication.inner().history.replid == replid
            })
        });
        // Equal places mean equal data, which is compared all the same.
        arrived && {
            let digest = master.keyspace.digest();
            (0..self.places.len())
                .all(|name| node(name).is_some_and(|other| other.node.keyspace.digest() == digest))
        }
    }

    fn states(&self) -> String {
        let states = self.places.iter().enumerate().map(|(name, place)| match &place.running {
            None => format!("n{name} down"),
            Some(running) => {
                let replication = running.node.replication.inner();
                format!(
                    "n{name} at {} of {:.6} follows {:?}, link {} ({})",
                    running.node.stream.end(),
                    replication.history.replid.to_string(),
                    place.follows,
                    if replication.link.up { "up" } else { "down" },
                    replication.link.role_state,
                )
            }
        });
        states.collect::<Vec<_>>().join("; ")
    }
}
