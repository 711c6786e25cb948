//! The replica's half: the link to our master, driven.
//!
//! ```text
//! master's bytes ─► Link ─┬─ RDB ────► spool file ─► parser ─► keyspace
//!                         │            └─ or straight ──┘
//!                         └─ stream ─► requests ─► keyspace
//!                                  └─► our own stream, verbatim
//! ```
//! The [`Link`] decides; this module carries out. It runs on the worker that owns the link,
//! takes no more bytes at a time than the server read, and so never holds up other clients. A
//! transaction of the master is applied when its EXEC has come, under all its locks.

use tandem_base::{Mono, Now};
use tandem_repl::link::{Data, Link, LoadTo, Output, Settings};
use tandem_repl::log::LogLine;
use tandem_resp::OwnedArgs;

use super::Master;
use super::spool::SpoolStage;
use crate::client::Session;
use crate::intake::Worker;
use crate::loading::Load;
use crate::node::{Level, Node, lock};

/// The link and everything that goes with one master.
pub struct Follower {
    /// The role that this link belongs to.
    pub(super) epoch: u64,
    /// The machine.
    pub link: Link,
    /// The master as a client: its selected database, its unfinished request.
    pub(super) session: Option<Session>,
    /// A transaction of the master whose EXEC has not come: its commands and its bytes.
    pub(super) transaction: Option<(Vec<OwnedArgs>, Vec<u8>)>,
    pub(super) load: Option<Load>,
    /// The file between the master and the parser.
    pub(super) spool: SpoolStage,
    /// Bytes received while the dataset was being loaded.
    pub(super) kept: Vec<u8>,
    /// `key-load-delay`: nothing more is loaded before.
    pub(super) rests_until: Option<Mono>,
    /// The load is to be ended after that.
    pub(super) ends_after_rest: bool,
    /// What the server has to do with the socket.
    pub(super) orders: Vec<Order>,
}

/// What the server has to do for the link.
#[derive(Debug)]
pub enum Order {
    /// Open a connection and say how that went.
    Dial {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// Write.
    Send(Vec<u8>),
    /// Close the connection.
    Close,
}

impl Node {
    /// What the configuration says about links, as things stand.
    pub fn link_settings(&self) -> Settings {
        let config = self.config();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let announce_ip = config.replica_announce_ip();
        let announce_port = config.replica_announce_port();
        let over_tls = config.tls_replication() && config.tls_port() != 0;
        let own_port = if over_tls { config.tls_port() } else { config.port() };
        let password = config.masterauth().to_vec();
        let user = config.masteruser().to_vec();
        let empty = self.keyspace.len_of_all() == 0;
        Settings {
            repl_timeout_ms: u64::from(config.repl_timeout()) * 1000,
            auth: (!password.is_empty()).then(|| tandem_repl::link::Auth {
                user: (!user.is_empty()).then_some(user),
                password,
            }),
            listening_port: if announce_port != 0 { announce_port } else { own_port },
            announce_ip: (!announce_ip.is_empty()).then(|| text(announce_ip)),
            // With nothing to lose there is nothing to gain from a file in between.
            load_to: if empty { LoadTo::Parser } else { LoadTo::Disk },
        }
    }

    /// What the server has to do for the link, in order. Also where the link's worker notices a
    /// change of role.
    pub fn link_orders(&self, now: Now) -> Vec<Order> {
        let mut held = lock(&self.replication.follower);
        let mut orders = Vec::new();
        let epoch = self.replication.epoch();
        if held.as_ref().is_some_and(|follower| follower.epoch != epoch) {
            let mut old = held.take().expect("just looked at");
            if self.is_replica() {
                // Where to go on was noted with the change of role.
                let _ = old.link.leave(now.mono);
            } else {
                old.link.abandon(now.mono);
            }
            self.carry_out(&mut old, now);
            orders.append(&mut old.orders);
        }
        let replication = self.replication.inner();
        let (master, place) = (replication.master.clone(), replication.place);
        drop(replication);
        if held.is_none()
            && !self.replication.is_link_held()
            && let Some(Master { host, port }) = master
        {
            let link = Link::new(&host, port, self.link_settings(), place, now.mono);
            *held = Some(Follower {
                epoch,
                link,
                session: None,
                transaction: None,
                load: None,
                spool: SpoolStage::None,
                kept: Vec::new(),
                rests_until: None,
                ends_after_rest: false,
                orders: Vec::new(),
            });
        }
        if let Some(follower) = &mut *held {
            self.carry_out(follower, now);
            orders.append(&mut follower.orders);
            self.publish_facts(follower);
        }
        orders
    }

    /// When [`Node::link_tick`] is to be called.
    pub fn link_timeout(&self) -> Option<Mono> {
        let held = lock(&self.replication.follower);
        let follower = held.as_ref()?;
        match (follower.rests_until, follower.link.next_timeout()) {
            (Some(rest), Some(next)) => Some(rest.min(next)),
            (Some(rest), None) => Some(rest),
            (None, _) if follower.spool == SpoolStage::Read => Some(Mono(0)),
            (None, next) => next,
        }
    }

    /// Whether to read from the link's socket.
    pub fn link_wants_bytes(&self) -> bool {
        let held = lock(&self.replication.follower);
        held.as_ref().is_some_and(|follower| {
            let rests = follower.rests_until.is_some() || self.is_spool_behind(follower);
            !rests && follower.link.wants_bytes()
        })
    }

    /// The connection stands, or why not.
    pub fn link_connected(&self, result: Result<(), &str>, now: Now) {
        self.with_follower(now, |_, follower| match result {
            Ok(()) => follower.link.connected(now.mono),
            Err(why) => follower.link.connect_failed(why, now.mono),
        });
    }

    /// No connection could even be begun.
    pub fn link_dial_failed(&self, why: &str, now: Now) {
        self.with_follower(now, |_, follower| follower.link.dial_failed(why, now.mono));
    }

    /// The connection is gone.
    pub fn link_closed(&self, why: &str, now: Now) {
        self.with_follower(now, |node, follower| {
            node.end_master_client(follower);
            follower.link.closed(why, now.mono);
        });
    }

    /// Time has passed; a spool goes on.
    pub fn link_tick(&self, worker: &mut Worker) {
        let now = worker.now;
        self.with_follower(now, |node, follower| {
            if node.is_spool_behind(follower) {
                follower.link.is_not_read(now.mono);
            }
            follower.link.tick(now.mono);
            node.end_rest(follower, now);
            node.carry_out(follower, now);
            node.go_on_with_spool(follower, now);
            node.carry_out(follower, now);
            let may_go_on = follower.rests_until.is_none() && follower.link.wants_bytes();
            if !follower.kept.is_empty() && may_go_on {
                let kept = std::mem::take(&mut follower.kept);
                let mut at = 0;
                while at < kept.len() && follower.rests_until.is_none() {
                    match node.take_link_bytes(worker, follower, &kept[at..], now) {
                        Some(used) => at += used,
                        None => break,
                    }
                }
                follower.kept = kept[at..].to_vec();
            }
        });
    }

    /// The master's client was killed (CLIENT KILL).
    pub fn link_killed(&self, id: u64, now: Now) {
        self.with_follower(now, |node, follower| {
            if follower.session.as_ref().is_some_and(|session| session.client.id() == id) {
                node.end_master_client(follower);
                follower.link.closed("connection lost", now.mono);
                follower.orders.push(Order::Close);
            }
        });
    }

    /// Takes bytes from the master.
    pub fn link_received(&self, worker: &mut Worker, mut bytes: &[u8]) {
        let now = worker.now;
        self.with_follower(now, |node, follower| {
            if !follower.kept.is_empty() {
                follower.kept.extend_from_slice(bytes);
                return;
            }
            while !bytes.is_empty() {
                if follower.rests_until.is_some() {
                    follower.kept.extend_from_slice(bytes);
                    break;
                }
                match node.take_link_bytes(worker, follower, bytes, now) {
                    Some(used) => bytes = &bytes[used..],
                    None => {
                        follower.kept.extend_from_slice(bytes);
                        break;
                    }
                }
            }
        });
    }

    /// Runs `body` on the link, unless the role has changed meanwhile.
    pub(super) fn with_follower(&self, now: Now, body: impl FnOnce(&Node, &mut Follower)) {
        let mut held = lock(&self.replication.follower);
        let Some(follower) = &mut *held else { return };
        if follower.epoch != self.replication.epoch() {
            return;
        }
        body(self, follower);
        self.carry_out(follower, now);
        self.publish_facts(follower);
    }

    pub(super) fn publish_facts(&self, follower: &Follower) {
        let mut replication = self.replication.inner();
        if follower.epoch == self.replication.epoch() {
            replication.link = LinkFacts::of(follower);
        }
        drop(replication);
        self.update_stale();
    }

    fn take_link_bytes(
        &self,
        worker: &mut Worker,
        follower: &mut Follower,
        bytes: &[u8],
        now: Now,
    ) -> Option<usize> {
        if self.is_past(follower) {
            return Some(bytes.len());
        }
        let step = if follower.load.is_some() { self.load_step() } else { usize::MAX };
        let bytes = &bytes[..bytes.len().min(step)];
        // The slices that come out borrow the link, so what they are is noted first.
        let received = follower.link.receive(bytes, now.mono);
        let used = received.used;
        enum What {
            Nothing,
            Rdb(Vec<u8>),
            RdbHere(usize),
            Stream,
        }
        let what = match received.data {
            Data::None if used == 0 => return None,
            Data::None => What::Nothing,
            Data::Rdb(rdb) if std::ptr::eq(rdb.as_ptr(), bytes.as_ptr()) => {
                What::RdbHere(rdb.len())
            }
            Data::Rdb(rdb) => What::Rdb(rdb.to_vec()),
            Data::Stream(_) => What::Stream,
        };
        match what {
            What::Nothing => {}
            What::RdbHere(len) => self.take_rdb(follower, &bytes[..len], now),
            What::Rdb(rdb) => self.take_rdb(follower, &rdb, now),
            What::Stream => self.apply_stream(worker, follower, &bytes[..used], now),
        }
        self.carry_out(follower, now);
        Some(used)
    }

    /// Does what the link asks for.
    pub(super) fn carry_out(&self, follower: &mut Follower, now: Now) {
        while let Some(output) = follower.link.poll() {
            match output {
                Output::Dial { host, port } => {
                    // Passwords may have changed, and whether there is anything to lose.
                    *follower.link.settings_mut() = self.link_settings();
                    follower.orders.push(Order::Dial { host, port });
                }
                Output::Send(bytes) => follower.orders.push(Order::Send(bytes)),
                Output::Close => {
                    self.end_master_client(follower);
                    follower.orders.push(Order::Close);
                }
                Output::Log(line) => self.log_line(&line),
                Output::BeginRdb { load_to, .. } => self.begin_rdb(follower, load_to, now),
                Output::EndRdb => self.end_rdb(follower, now),
                Output::AbortRdb => self.abort_rdb(follower),
                Output::Synced(base) => self.synced(follower, base, now),
                Output::Resumed { new_replid } => self.resumed(follower, new_replid, now),
            }
        }
    }

    /// Writes a machine's line to the log.
    pub fn log_line(&self, line: &LogLine) {
        let level = match line.level {
            tandem_repl::log::Level::Debug => Level::Debug,
            tandem_repl::log::Level::Verbose => Level::Verbose,
            tandem_repl::log::Level::Notice => Level::Notice,
            tandem_repl::log::Level::Warning => Level::Warning,
        };
        self.log(level, &line.text);
    }
}

/// What INFO and ROLE say about the link; a copy, because the link itself may be at work.
#[derive(Clone, Debug, Default)]
pub struct LinkFacts {
    /// Master's host.
    pub host: String,
    /// Master's port.
    pub port: u16,
    /// `connect`, `connecting`, `handshake`, `sync`, `connected`.
    pub role_state: &'static str,
    /// The link is up.
    pub up: bool,
    /// When the master was last heard of.
    pub last_io: Option<Mono>,
    /// Since when it is down.
    pub down_since: Option<Mono>,
    /// Bytes of a running transfer: total, read; and when the last came.
    pub sync: Option<(i64, u64, Mono)>,
    /// Offsets received and applied.
    pub offsets: Option<(u64, u64)>,
}

impl LinkFacts {
    /// A link that is about to begin.
    pub(super) fn begun(host: &str, port: u16) -> LinkFacts {
        LinkFacts { host: host.to_owned(), port, role_state: "connect", ..LinkFacts::default() }
    }

    /// As things stand.
    pub fn of(follower: &Follower) -> LinkFacts {
        let link = &follower.link;
        LinkFacts {
            host: link.host().to_owned(),
            port: link.port(),
            role_state: link.role_state(),
            up: link.is_up(),
            last_io: link.last_io(),
            down_since: link.down_since(),
            sync: link.sync_progress().map(|p| (p.total_bytes, p.read_bytes, p.last_io)),
            offsets: link.offsets().map(|(received, applied)| (received.0, applied.0)),
        }
    }
}
