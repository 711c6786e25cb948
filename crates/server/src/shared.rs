//! What all threads of the server share besides the node.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use tandem_engine::client::ClientId;
use tandem_engine::node::lock;

use crate::clock::Clock;
use crate::doze::Doze;
use crate::listen::{Incoming, Listeners};
use crate::metrics::Metrics;
use crate::poll::Waker;
use crate::snapshot_feed::SnapshotFeed;
use crate::temp_files::TempFiles;
use crate::tls::{Handshakes, Tls};

/// A snapshot for a replica, to be picked up by the worker that owns the replica.
pub(crate) struct Attachment {
    /// What comes before it.
    pub preamble: Vec<u8>,
    /// Where it comes from.
    pub source: SnapshotFeed,
}

/// Shared by workers, the housekeeper and the host.
pub(crate) struct Shared {
    /// The clock.
    pub clock: Clock,
    /// One for each worker, and the housekeeper's last.
    pub wakers: Vec<Waker>,
    /// Whether a worker waits for events.
    pub asleep: Vec<AtomicBool>,
    /// Connections of each worker, and those that are on their way to it.
    pub loads: Vec<AtomicUsize>,
    /// Whether a worker owns replicas.
    pub replicas: Vec<AtomicBool>,
    /// New connections on their way to their worker.
    pub incoming: Vec<Mutex<Vec<Incoming>>>,
    /// Snapshots on their way to their replica.
    attachments: Mutex<HashMap<ClientId, Attachment>>,
    /// Bytes of snapshots that wait for replicas to read them.
    pub snapshot_bytes: Arc<AtomicUsize>,
    /// Files in the making.
    pub temp_files: Arc<TempFiles>,
    /// Listening sockets: worker 0 accepts, CONFIG SET opens others.
    pub listeners: Mutex<Listeners>,
    /// Some of them are new to worker 0; all of them before clients are served.
    pub listeners_changed: AtomicBool,
    /// Whether the housekeeper sleeps for longer than usual.
    pub doze: Doze,
    /// Worker 0 can accept nothing: it waits for a descriptor.
    pub deaf: AtomicBool,
    /// TLS as configured.
    pub tls: Tls,
    /// Connections on their way to TLS.
    pub handshakes: Handshakes,
    /// Who serves metrics.
    pub metrics: Metrics,
}

impl Shared {
    /// For `workers` workers.
    pub(crate) fn new(workers: usize, clock: Clock) -> std::io::Result<Shared> {
        Ok(Shared {
            clock,
            wakers: (0..=workers).map(|_| Waker::new()).collect::<Result<_, _>>()?,
            asleep: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            loads: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            replicas: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            incoming: (0..workers).map(|_| Mutex::default()).collect(),
            attachments: Mutex::default(),
            snapshot_bytes: Arc::default(),
            temp_files: Arc::default(),
            listeners: Mutex::default(),
            listeners_changed: AtomicBool::new(false),
            doze: Doze::default(),
            deaf: AtomicBool::new(false),
            tls: Tls::default(),
            handshakes: Handshakes::default(),
            metrics: Metrics::default(),
        })
    }

    /// The housekeeper's waker.
    pub(crate) fn housekeeper(&self) -> &Waker {
        self.wakers.last().expect("there is one more than workers")
    }

    /// The worker with the fewest connections.
    pub(crate) fn least_loaded(&self) -> usize {
        let loads = self.loads.iter().map(|load| load.load(Ordering::Relaxed));
        loads.enumerate().min_by_key(|(_, load)| *load).expect("there is a worker").0
    }

    /// Worker 0 is to look at the listening sockets.
    pub(crate) fn look_at_listeners(&self) {
        self.listeners_changed.store(true, Ordering::SeqCst);
        self.wakers[0].wake();
    }

    /// A worker has done something, which may have consequences in time: the housekeeper is told,
    /// if it counts on that. Whatever was done must come before a fence of the caller's.
    #[inline]
    pub(crate) fn stir(&self) {
        if self.doze.stir() {
            self.housekeeper().wake();
        }
    }

    /// A connection has been closed: who waits for its descriptor hears of it.
    pub(crate) fn descriptor_is_free(&self) {
        if self.deaf.load(Ordering::SeqCst) && self.deaf.swap(false, Ordering::SeqCst) {
            self.wakers[0].wake();
        }
    }

    /// Connections that have been accepted and are not closed: in TLS's handshake, on their way to
    /// a worker, with one.
    pub(crate) fn connections(&self) -> usize {
        // In the order in which a connection goes: none is missed, one may be counted twice.
        let under_way = self.handshakes.under_way();
        under_way + self.loads.iter().map(|load| load.load(Ordering::Relaxed)).sum::<usize>()
    }

    /// Gives a connection to the worker with the fewest.
    pub(crate) fn hand_out(&self, incoming: Incoming) {
        let worker = self.least_loaded();
        self.loads[worker].fetch_add(1, Ordering::Relaxed);
        let is_first = {
            let mut waiting = lock(&self.incoming[worker]);
            waiting.push(incoming);
            waiting.len() == 1
        };
        // Whoever left the first one wakes the worker, which takes all that are there then.
        if is_first {
            self.wakers[worker].wake();
        }
    }

    /// Wakes worker `index` if it sleeps.
    pub(crate) fn wake(&self, index: usize) {
        if self.asleep[index].load(Ordering::SeqCst) {
            self.wakers[index].wake();
        }
    }

    /// The stream has grown: wakes the sleeping owners of replicas, but for `own`.
    pub(crate) fn wake_replica_workers(&self, own: usize) {
        // One that goes to sleep says so first and then looks at the stream; see
        // `WorkerLoop::run`.
        fence(Ordering::SeqCst);
        for (index, has) in self.replicas.iter().enumerate() {
            if index != own && has.load(Ordering::Relaxed) {
                self.wake(index);
            }
        }
    }

    /// Leaves a snapshot for a replica.
    pub(crate) fn attach(&self, id: ClientId, attachment: Attachment) {
        lock(&self.attachments).insert(id, attachment);
    }

    /// Takes the snapshot left for a replica.
    pub(crate) fn take_attachment(&self, id: ClientId) -> Option<Attachment> {
        lock(&self.attachments).remove(&id)
    }
}
