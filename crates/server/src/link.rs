//! The socket of the link to our master; what is said over it is the engine's.

use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};
use tandem_base::{Mono, Now};
use tandem_engine::intake::Worker as EngineWorker;
use tandem_engine::node::Node;
use tandem_engine::replication::Order;

use crate::conn::prepare_socket;
use crate::daemon::os_words;
use crate::poll::{Poll, Ready};
use crate::shared::Shared;
use crate::tls::{Handshake, TlsStream};
use crate::transport::Transport;

/// The link's socket and what waits to be written to it.
#[derive(Default)]
pub(crate) struct LinkDriver {
    socket: Option<LinkSocket>,
    read_buf: Vec<u8>,
}

/// How far a connection to our master is.
enum Way {
    /// TCP is being set up; then TLS for this host, or nothing more.
    Connecting(Socket, Option<String>),
    /// TLS is being set up.
    Handshake(Box<TlsStream>),
    /// Bytes go.
    Open(Transport),
}

impl AsFd for Way {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Way::Connecting(socket, _) => socket.as_fd(),
            Way::Handshake(stream) => stream.socket().as_fd(),
            Way::Open(transport) => transport.as_fd(),
        }
    }
}

struct LinkSocket {
    way: Way,
    out: Vec<u8>,
    /// What the poll watches it for: reading, writing.
    watched: (bool, bool),
}

/// The stream and a snapshot come in bulk.
const READ_BYTES: usize = 256 << 10;
/// What a socket is watched for that there is nothing to ask of: neither to read nor to write.
const NOTHING: (bool, bool) = (false, false);
/// Reads before other connections get their turn.
const READS_A_TURN: usize = 4;

impl LinkDriver {
    /// When [`LinkDriver::drive`] is to be called though nothing is ready.
    pub(crate) fn next_timeout(&self, node: &Node, now: Now) -> Mono {
        node.link_timeout().unwrap_or(now.mono.plus_ms(1000))
    }

    /// Whether bytes wait that the poll does not know of.
    pub(crate) fn holds_input(&self, node: &Node) -> bool {
        self.socket.as_ref().is_some_and(|link| match &link.way {
            Way::Open(transport) => transport.holds_input() && node.link_wants_bytes(),
            _ => false,
        })
    }

    /// Something is ready.
    pub(crate) fn ready(
        &mut self,
        node: &Node,
        worker: &mut EngineWorker,
        shared: &Shared,
        poll: &Poll,
        event: Ready,
    ) {
        let Some(link) = self.socket.take() else { return };
        match link.way {
            Way::Open(_) => {
                self.socket = Some(link);
                if event.readable {
                    self.read(node, worker, poll);
                }
            }
            Way::Connecting(..) | Way::Handshake(_) => match go_on(link.way, shared) {
                Ok(way) => {
                    let open = matches!(way, Way::Open(_));
                    self.socket = Some(LinkSocket { way, ..link });
                    if open {
                        node.link_connected(Ok(()), worker.now);
                    }
                }
                // The socket is closed, and with that out of the poll.
                Err(why) => node.link_connected(Err(&why), worker.now),
            },
        }
        self.drive(node, worker, poll, event.token);
    }

    fn read(&mut self, node: &Node, worker: &mut EngineWorker, poll: &Poll) {
        self.read_buf.resize(READ_BYTES, 0);
        for _ in 0..READS_A_TURN {
            let Some(LinkSocket { way: Way::Open(transport), .. }) = &mut self.socket else {
                return;
            };
            if !node.link_wants_bytes() {
                return;
            }
            worker.counters.reads_processed += 1;
            match transport.read(&mut self.read_buf[..]) {
                Ok(0) => {
                    self.drop_socket(poll);
                    node.link_closed("connection lost", worker.now);
                    return;
                }
                Ok(count) => {
                    let bytes = &self.read_buf[..count];
                    node.link_received(worker, bytes);
                    let more = match &self.socket {
                        Some(LinkSocket { way: Way::Open(transport), .. }) => {
                            count == READ_BYTES || transport.is_tls()
                        }
                        _ => false,
                    };
                    if !more {
                        return;
                    }
                }
                Err(Errno::AGAIN | Errno::INTR) => return,
                Err(error) => {
                    self.drop_socket(poll);
                    let error = std::io::Error::from(error);
                    node.link_closed(&os_words(&error), worker.now);
                    return;
                }
            }
        }
    }

    /// Does what the engine asks for, and lets it notice the time.
    pub(crate) fn drive(
        &mut self,
        node: &Node,
        worker: &mut EngineWorker,
        poll: &Poll,
        token: u64,
    ) {
        if self.holds_input(node) {
            self.read(node, worker, poll);
        }
        node.link_tick(worker);
        for order in node.link_orders(worker.now) {
            match order {
                Order::Dial { host, port } => self.dial(node, poll, token, &host, port, worker.now),
                Order::Send(bytes) => {
                    if let Some(link) = &mut self.socket {
                        link.out.extend_from_slice(&bytes);
                    }
                }
                Order::Close => self.drop_socket(poll),
            }
        }
        self.write(node, poll, token);
    }

    fn dial(&mut self, node: &Node, poll: &Poll, token: u64, host: &str, port: u16, now: Now) {
        self.drop_socket(poll);
        let source = String::from_utf8_lossy(node.config().bind_source_addr()).into_owned();
        let mark = node.config().socket_mark_id();
        match begin_connect(host, port, &source, mark) {
            Ok(socket) => {
                if let Err(error) = poll.add(&socket, token) {
                    node.link_dial_failed(&os_words(&error), now);
                    return;
                }
                let _ = poll.modify(&socket, token, false, true);
                let tls = node.config().tls_replication().then(|| host.to_owned());
                let way = Way::Connecting(socket, tls);
                self.socket = Some(LinkSocket { way, out: Vec::new(), watched: (false, true) });
            }
            Err(error) => node.link_dial_failed(&os_words(&error), now),
        }
    }

    fn write(&mut self, node: &Node, poll: &Poll, token: u64) {
        let Some(link) = &mut self.socket else { return };
        let (read, write) = match &mut link.way {
            Way::Connecting(..) => (false, true),
            // Our part of a handshake is short: it finds room, or comes after their next part.
            Way::Handshake(_) => (true, false),
            Way::Open(transport) => {
                let unsent = write_out(transport, &mut link.out);
                (node.link_wants_bytes(), unsent)
            }
        };
        let (was, watched) = (link.watched, (read, write));
        let changed = match (was, watched) {
            _ if was == watched => return,
            // A poll tells of a reset even who asks for nothing, and again and again.
            (_, NOTHING) => poll.remove(&link.way),
            (NOTHING, _) => {
                // What goes wrong here the next call sees.
                let _ = poll.add(&link.way, token);
                poll.modify(&link.way, token, read, write)
            }
            _ => poll.modify(&link.way, token, read, write),
        };
        if changed.is_ok() {
            link.watched = watched;
        }
    }

    fn drop_socket(&mut self, poll: &Poll) {
        if let Some(link) = self.socket.take() {
            let _ = poll.remove(&link.way);
        }
    }
}

/// Takes a connection that is being set up one step further.
fn go_on(way: Way, shared: &Shared) -> Result<Way, String> {
    let mut stream = match way {
        Way::Connecting(socket, tls) => {
            if let Some(error) = socket.take_error().unwrap_or_else(Some) {
                return Err(os_words(&error));
            }
            match tls {
                None => return Ok(Way::Open(Transport::Plain(socket))),
                Some(host) => Box::new(shared.tls.connect(socket, &host)?),
            }
        }
        Way::Handshake(stream) => stream,
        Way::Open(_) => return Ok(way),
    };
    match stream.handshake()? {
        Handshake::Done => Ok(Way::Open(Transport::Tls(stream))),
        Handshake::Waits { .. } => Ok(Way::Handshake(stream)),
    }
}

/// Writes what there is; whether some of it is left.
fn write_out(transport: &mut Transport, out: &mut Vec<u8>) -> bool {
    while !out.is_empty() {
        match transport.write(out) {
            Ok(count) => {
                out.drain(..count);
            }
            Err(Errno::AGAIN | Errno::INTR) => return true,
            // The read that follows says what is wrong.
            Err(_) => out.clear(),
        }
    }
    transport.push() == Err(Errno::AGAIN)
}

fn begin_connect(host: &str, port: u16, source: &str, mark: u32) -> std::io::Result<Socket> {
    let addr: SocketAddr = (host, port)
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| std::io::Error::other("Name or service not known"))?;
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    if mark != 0 {
        let _ = socket.set_mark(mark);
    }
    if !source.is_empty()
        && let Ok(ip) = source.parse::<std::net::IpAddr>()
    {
        socket.bind(&SocketAddr::new(ip, 0).into())?;
    }
    prepare_socket(&socket, 300)?;
    match socket.connect(&SockAddr::from(addr)) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(socket)
}
