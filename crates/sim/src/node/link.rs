//! The link to our master: the engine's orders and what comes over the wire, as the server's
//! link driver has it.

use tandem_engine::replication::Order;

use super::{FIRST_PORT, LinkEnd, SimNode};
use crate::around::Around;
use crate::net::{Read, Stage};
use crate::plant;

impl SimNode {
    pub(super) fn turn_link(&mut self, around: &mut Around) {
        self.read_link(around);
        self.node.link_tick(&mut self.workers[0]);
        self.look(around);
        let reading = self.reading(around.now);
        for order in self.node.link_orders(reading) {
            match order {
                Order::Dial { host: _, port } => self.dial(port, around),
                Order::Send(bytes) => {
                    if self.link.wire.is_some() {
                        let bytes = plant::spoil_request(around.plant, bytes, &mut around.rng);
                        self.link.out.extend_from_slice(&bytes);
                    }
                }
                Order::Close => self.drop_link(around),
            }
        }
        self.look(around);
        if let Some(wire) = self.link.wire.filter(|_| self.link.connected) {
            let count = self.link.out.len().min(around.net.wires[&wire].up.space());
            let due = around.soon();
            let bytes: Vec<u8> = self.link.out.drain(..count).collect();
            around.net.wires.get_mut(&wire).expect("we hold it").up.write(&bytes, due);
        }
    }

    fn dial(&mut self, port: u16, around: &mut Around) {
        self.drop_link(around);
        let to = usize::from(port - FIRST_PORT);
        let due = around.soon();
        let room = around.room();
        let wire = around.net.dial(self.name, to, due, room);
        around.trace.event(around.now, &format!("n{} dials n{to}: wire {wire}", self.name));
        self.link = LinkEnd { wire: Some(wire), connected: false, out: Vec::new() };
    }

    fn drop_link(&mut self, around: &mut Around) {
        if let Some(wire) = std::mem::take(&mut self.link).wire {
            let heard = around.soon();
            around.net.leave_from(wire, Some(heard));
        }
    }

    fn read_link(&mut self, around: &mut Around) {
        let reading = self.reading(around.now);
        let Some(id) = self.link.wire else { return };
        let wire = around.net.wires.get_mut(&id).expect("we hold it");
        match wire.stage {
            Stage::Dialling(_) => return,
            Stage::Refused(why) => {
                self.drop_link(around);
                self.node.link_connected(Err(why), reading);
                return;
            }
            Stage::Open if !self.link.connected => {
                self.link.connected = true;
                self.node.link_connected(Ok(()), reading);
                return;
            }
            Stage::Open => {}
        }
        if !self.node.link_wants_bytes() {
            return;
        }
        let most = around.piece();
        match around.net.wires.get_mut(&id).expect("we hold it").down.read(around.now, most) {
            Read::Bytes(bytes) => self.node.link_received(&mut self.workers[0], &bytes),
            Read::Nothing => {}
            Read::End => {
                self.drop_link(around);
                self.node.link_closed("connection lost", reading);
            }
        }
    }
}
