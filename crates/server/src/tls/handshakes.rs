//! The thread of handshakes: connections come from the listener, go to a worker when TLS stands.
//!
//! One that takes too long is closed: it costs a descriptor, and nobody has said who it is.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::IoSlice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tandem_base::Mono;
use tandem_engine::node::{Level, Node, lock};

use crate::listen::{Incoming, PROTECTED_MODE};
use crate::poll::{Poll, Waker};
use crate::shared::Shared;
use crate::tls::stream::{Handshake, TlsStream};
use crate::transport::Transport;

/// How long a handshake may take.
const TIME_LIMIT_MS: u64 = 30_000;
const TOKEN_WAKE: u64 = u64::MAX;

/// A connection whose handshake has begun.
pub(crate) struct Begun {
    /// TLS on its socket.
    pub stream: TlsStream,
    /// Its address.
    pub addr: String,
    /// Our end's address.
    pub laddr: String,
    /// Its number, to show.
    pub fd: i32,
    /// Protected mode keeps it out; it is told so when that can be said.
    pub protected: bool,
}

/// The way to the thread.
#[derive(Default)]
pub(crate) struct Handshakes {
    thread: OnceLock<Inbox>,
    /// Connections on their way: they count against `maxclients`.
    under_way: AtomicUsize,
}

struct Inbox {
    begun: Arc<Mutex<Vec<Begun>>>,
    waker: Arc<Waker>,
}

impl Handshakes {
    /// Connections whose handshake goes on.
    pub(crate) fn under_way(&self) -> usize {
        // Pairs with the release in `hand_over`: whom we do not count here is among the workers'.
        self.under_way.load(Ordering::Acquire)
    }

    /// Starts the thread, if it is not there yet.
    pub(crate) fn start(&self, node: &Arc<Node>, shared: &Arc<Shared>) -> std::io::Result<()> {
        if self.thread.get().is_some() {
            return Ok(());
        }
        let waker = Arc::new(Waker::new()?);
        let begun = Arc::new(Mutex::new(Vec::new()));
        let (node, shared) = (Arc::clone(node), Arc::clone(shared));
        let (in_thread, its_waker) = (Arc::clone(&begun), Arc::clone(&waker));
        std::thread::Builder::new().name("tls-handshakes".to_owned()).spawn(move || {
            let Err(error) = Poll::new().and_then(|poll| {
                poll.add(&*its_waker, TOKEN_WAKE)?;
                let (begun, waker) = (in_thread, its_waker);
                let shared = Arc::clone(&shared);
                let node = Arc::clone(&node);
                Thread { node, shared, poll, begun, waker, open: HashMap::new(), next: 0 }.run()
            });
            node.log(Level::Warning, &format!("TLS handshakes cannot go on: {error}"));
            node.host.exit(1);
        })?;
        // It is called by one thread, the one that accepts, when the first connection for TLS
        // comes.
        let _ = self.thread.set(Inbox { begun, waker });
        Ok(())
    }

    /// Takes on connections.
    pub(crate) fn take(&self, fresh: Vec<Begun>) {
        if fresh.is_empty() {
            return;
        }
        let inbox = self.thread.get().expect("`start` comes first, and has succeeded");
        self.under_way.fetch_add(fresh.len(), Ordering::Relaxed);
        lock(&inbox.begun).extend(fresh);
        inbox.waker.wake();
    }
}

struct Open {
    begun: Begun,
    since: Mono,
    /// The poll looks for room too.
    write: bool,
}

struct Thread {
    node: Arc<Node>,
    shared: Arc<Shared>,
    poll: Poll,
    begun: Arc<Mutex<Vec<Begun>>>,
    waker: Arc<Waker>,
    open: HashMap<u64, Open>,
    next: u64,
}

impl Thread {
    /// Runs until the process ends.
    fn run(mut self) -> std::io::Result<Infallible> {
        let mut ready = Vec::new();
        loop {
            ready.clear();
            let timeout = (!self.open.is_empty()).then_some(1000);
            self.poll.wait(timeout, &mut ready)?;
            for event in &ready {
                match event.token {
                    TOKEN_WAKE => self.waker.drain(),
                    token => self.go_on(token),
                }
            }
            let fresh = std::mem::take(&mut *lock(&self.begun));
            for begun in fresh {
                self.add(begun);
            }
            self.close_old();
        }
    }

    fn add(&mut self, begun: Begun) {
        let token = self.next;
        self.next += 1;
        if let Err(error) = self.poll.add(begun.stream.socket(), token) {
            self.fail(&begun, &error.to_string());
            return;
        }
        let since = self.shared.clock.now().mono;
        self.open.insert(token, Open { begun, since, write: false });
        self.go_on(token);
    }

    fn go_on(&mut self, token: u64) {
        let Some(open) = self.open.get_mut(&token) else { return };
        match open.begun.stream.handshake() {
            Ok(Handshake::Waits { write }) => {
                if write != open.write {
                    open.write = write;
                    let _ = self.poll.modify(open.begun.stream.socket(), token, true, write);
                }
            }
            Ok(Handshake::Done) => {
                let open = self.open.remove(&token).expect("looked up above");
                let _ = self.poll.remove(open.begun.stream.socket());
                self.hand_over(open.begun);
            }
            Err(why) => {
                let open = self.open.remove(&token).expect("looked up above");
                self.fail(&open.begun, &why);
            }
        }
    }

    fn hand_over(&self, begun: Begun) {
        let Begun { mut stream, addr, laddr, fd, protected } = begun;
        if protected {
            let _ = stream.write(&[IoSlice::new(PROTECTED_MODE.as_bytes())]);
            self.node.stats.rejected_connections.fetch_add(1, Ordering::Relaxed);
            self.shared.handshakes.under_way.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let transport = Transport::Tls(Box::new(stream));
        self.shared.hand_out(Incoming { transport, addr, laddr, fd, unix: false });
        // Only now: it is counted among its worker's. The other order would let one too many in,
        // this one at worst refuses one too early.
        self.shared.handshakes.under_way.fetch_sub(1, Ordering::Release);
    }

    fn fail(&self, begun: &Begun, why: &str) {
        let Begun { addr, laddr, .. } = begun;
        self.node.log(
            Level::Warning,
            &format!("Error accepting a client connection: {why} (addr={addr} laddr={laddr})"),
        );
        self.shared.handshakes.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    fn close_old(&mut self) {
        let now = self.shared.clock.now().mono;
        let is_old = |open: &Open| now.ms_since(open.since) > TIME_LIMIT_MS;
        let old: Vec<u64> =
            self.open.iter().filter(|(_, open)| is_old(open)).map(|(token, _)| *token).collect();
        for token in old {
            let open = self.open.remove(&token).expect("just listed");
            self.fail(&open.begun, "the handshake took too long");
        }
    }
}
