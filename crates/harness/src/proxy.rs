//! A TCP hop between two servers that a test can break: cut it (both ends see a closed
//! connection, new ones are refused), stall one direction (bytes wait, nothing is closed: the
//! half-dead link that only timeouts find), or slow it.
//!
//! Two threads a connection copy bytes and look at the switches every few milliseconds. The
//! listener stays bound while cut, so that the port cannot be lost; it closes at once what it
//! accepts.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A direction through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the side that dialled (a replica) to the target (its master).
    ToTarget,
    /// From the target back.
    FromTarget,
}

#[derive(Debug, Default)]
struct Switches {
    ended: AtomicBool,
    refusing: AtomicBool,
    /// Counts cuts; a connection made before the last one closes itself.
    cuts: AtomicU64,
    stalled: [AtomicBool; 2],
    delay_ms: AtomicU64,
    passed_bytes: [AtomicU64; 2],
    accepted: AtomicU64,
}

/// A running proxy; ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    switches: Arc<Switches>,
    listener: Option<JoinHandle<()>>,
}

const LOOK: Duration = Duration::from_millis(3);

impl Proxy {
    /// Listens on a free port and forwards to `target` on this machine.
    pub fn start(target: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket option");
        let port = listener.local_addr().expect("a bound socket").port();
        let switches = Arc::new(Switches::default());
        let shared = Arc::clone(&switches);
        let thread = std::thread::spawn(move || accept_all(&listener, target, &shared));
        Proxy { port, switches, listener: Some(thread) }
    }

    /// The port to dial instead of the target's.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Closes all connections and lets no new one through until [`Proxy::heal`].
    pub fn cut(&self) {
        self.switches.refusing.store(true, Ordering::SeqCst);
        self.switches.cuts.fetch_add(1, Ordering::SeqCst);
    }

    /// Closes all connections; new ones are let through at once.
    pub fn break_once(&self) {
        self.switches.cuts.fetch_add(1, Ordering::SeqCst);
    }

    /// Stops one direction without closing anything.
    pub fn stall(&self, way: Way) {
        self.switches.stalled[way as usize].store(true, Ordering::SeqCst);
    }

    /// Holds each piece of data back for `ms`.
    pub fn delay_ms(&self, ms: u64) {
        self.switches.delay_ms.store(ms, Ordering::SeqCst);
    }

    /// Undoes cut, stall and delay.
    pub fn heal(&self) {
        self.switches.refusing.store(false, Ordering::SeqCst);
        self.switches.delay_ms.store(0, Ordering::SeqCst);
        for stalled in &self.switches.stalled {
            stalled.store(false, Ordering::SeqCst);
        }
    }

    /// Bytes forwarded so far in one direction, over all connections.
    pub fn passed_bytes(&self, way: Way) -> u64 {
        self.switches.passed_bytes[way as usize].load(Ordering::SeqCst)
    }

    /// Connections let through so far.
    pub fn accepted(&self) -> u64 {
        self.switches.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.switches.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.listener.take() {
            let _ = thread.join();
        }
    }
}

fn accept_all(listener: &TcpListener, target: u16, switches: &Arc<Switches>) {
    let mut pumps = Vec::new();
    while !switches.ended.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((dialled, _)) if !switches.refusing.load(Ordering::SeqCst) => {
                switches.accepted.fetch_add(1, Ordering::SeqCst);
                pumps.extend(connect_through(dialled, target, switches));
            }
            Ok(_) => {}
            Err(_) => std::thread::sleep(LOOK),
        }
    }
    for pump in pumps {
        let _ = pump.join();
    }
}

fn connect_through(
    dialled: TcpStream,
    target: u16,
    switches: &Arc<Switches>,
) -> Vec<JoinHandle<()>> {
    let born = switches.cuts.load(Ordering::SeqCst);
    let Ok(reached) = TcpStream::connect(("127.0.0.1", target)) else { return Vec::new() };
    let mut pumps = Vec::new();
    for (way, from, to) in
        [(Way::ToTarget, &dialled, &reached), (Way::FromTarget, &reached, &dialled)]
    {
        let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
        let switches = Arc::clone(switches);
        pumps.push(std::thread::spawn(move || pump(from, to, way, born, &switches)));
    }
    pumps
}

/// Copies one direction until an end closes or a cut comes.
fn pump(mut from: TcpStream, mut to: TcpStream, way: Way, born: u64, switches: &Switches) {
    let _ = from.set_nonblocking(false);
    let _ = from.set_read_timeout(Some(LOOK));
    let _ = to.set_nodelay(true);
    let _ = to.set_write_timeout(Some(Duration::from_millis(500)));
    let mut buffer = vec![0; 1 << 16];
    let live =
        || !switches.ended.load(Ordering::SeqCst) && switches.cuts.load(Ordering::SeqCst) == born;
    while live() {
        if switches.stalled[way as usize].load(Ordering::SeqCst) {
            std::thread::sleep(LOOK);
            continue;
        }
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if is_not_yet(&e) => continue,
            Err(_) => break,
        };
        let delay = switches.delay_ms.load(Ordering::SeqCst);
        if delay > 0 {
            std::thread::sleep(Duration::from_millis(delay));
        }
        if !send_all(&mut to, &buffer[..count], &live) {
            break;
        }
        let passed = u64::try_from(count).expect("a buffer's length fits");
        switches.passed_bytes[way as usize].fetch_add(passed, Ordering::SeqCst);
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Whether it is to be tried again: its time was over, or a signal came.
fn is_not_yet(error: &Error) -> bool {
    let kind = error.kind();
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Writes all of `bytes`, waiting as long as it takes while the connection may live.
fn send_all(to: &mut TcpStream, mut bytes: &[u8], live: &impl Fn() -> bool) -> bool {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return false,
            Ok(count) => bytes = &bytes[count..],
            Err(e) if is_not_yet(&e) => {
                if !live() {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
    true
}
