//! Replication in the engine: the machines of `tandem_repl`, connected to the keyspace.
//!
//! ```text
//! master.rs    our replicas: PSYNC, snapshots for them, ACKs, WAIT
//! role.rs      who follows whom
//! follower.rs  our master: the link
//! resync.rs    … the RDB it sends; spool.rs is the file in between
//! apply.rs     … the stream it sends; run.rs runs the commands in it
//! info.rs      what INFO and ROLE say
//! ```
//! A change of role is made at once and alone (flags, lineage, what INFO says); the link itself
//! is changed by the worker that owns it, which notices the new epoch at its next step.

mod apply;
mod follower;
mod info;
mod master;
mod resync;
mod role;
mod run;
mod spool;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tandem_base::{DbIndex, Mono, ReplId};
use tandem_repl::history::History;
use tandem_repl::link::CachedMaster;
use tandem_repl::peer::Peer;
use tandem_repl::stream::Stream;

use crate::client::{ClientId, ClientInfo};
use crate::node::lock;

pub(crate) use apply::look_up_streamed;
pub use follower::{Follower, LinkFacts, Order};
pub use info::{info, role};
pub use spool::SpoolError;

/// One of our replicas.
pub struct Replica {
    /// The machine.
    pub peer: Peer,
    /// Its connection.
    pub info: Arc<ClientInfo>,
}

impl Replica {
    /// Its connection is to be closed, and its worker has not come to that yet.
    fn is_cut_off(&self) -> bool {
        self.info.killed.load(Ordering::Relaxed)
    }
}

/// The master that we are to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// What the lock guards.
pub struct Inner {
    /// Whose writes our data are.
    pub history: History,
    /// Our replicas.
    pub replicas: BTreeMap<ClientId, Replica>,
    /// Our master, if we are a replica.
    pub master: Option<Master>,
    /// Where the link to it can go on.
    pub place: Option<CachedMaster>,
    /// The database that the master's stream has selected where our data stand.
    pub stream_db: DbIndex,
    /// The master as a client while the link is up.
    pub master_client: Option<Arc<ClientInfo>>,
    /// What INFO says about the link.
    pub link: LinkFacts,
    /// Since when there has been no replica; for `repl-backlog-ttl`.
    pub no_replicas_since: Option<Mono>,
    /// When the last PING went into the stream.
    pub last_ping: Mono,
}

impl Inner {
    /// The database that the stream has selected at the last applied byte.
    pub fn applied_db(&self) -> DbIndex {
        match &self.master_client {
            Some(info) => {
                let db = info.db.load(Ordering::Relaxed);
                DbIndex(u16::try_from(db).expect("databases are numbered by u16"))
            }
            None => self.stream_db,
        }
    }
}

/// Both halves of replication.
pub struct Replication {
    inner: Mutex<Inner>,
    /// The link; only the worker that owns it takes this lock.
    follower: Mutex<Option<Follower>>,
    /// Raised by every change of role.
    epoch: AtomicU64,
    /// The link must not begin yet: the data are still coming from a file.
    link_held: AtomicBool,
}

impl Replication {
    /// A master with a history of its own.
    pub fn new(replid: ReplId) -> Replication {
        Replication {
            inner: Mutex::new(Inner {
                history: History::new(replid),
                replicas: BTreeMap::new(),
                master: None,
                place: None,
                stream_db: DbIndex(0),
                master_client: None,
                link: LinkFacts::default(),
                no_replicas_since: None,
                last_ping: Mono(0),
            }),
            follower: Mutex::new(None),
            epoch: AtomicU64::new(0),
            link_held: AtomicBool::new(false),
        }
    }

    /// Locks. Nothing may be waited for while this is held.
    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// The number of the present role. It is raised alone and with the inner lock held: outside
    /// of both it may be another one at once.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Holds the link to a master back, or lets it go; whoever lets it go wakes its worker.
    pub fn hold_link(&self, held: bool) {
        self.link_held.store(held, Ordering::Release);
    }

    /// Whether the link is held back.
    pub fn is_link_held(&self) -> bool {
        self.link_held.load(Ordering::Acquire)
    }

    /// Whether there are replicas.
    pub fn has_replicas(&self) -> bool {
        !self.inner().replicas.is_empty()
    }
}

impl Inner {
    /// The place that our data stand at, to ask a master to go on from there.
    fn own_place(&self, stream: &Stream) -> Option<CachedMaster> {
        stream
            .is_active()
            .then(|| CachedMaster { replid: self.history.replid, offset: stream.end() })
    }
}

#[cfg(test)]
mod tests;
