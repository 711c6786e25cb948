//! Listening sockets: bound by the configuration, bound again when it changes, accepting for all
//! workers.
//!
//! ```text
//! port ─┐                    ┌─ plain ─► the worker with the fewest connections
//! tls-port ─► worker 0: accept ─ TLS ───► the thread of handshakes ─► such a worker
//! unixsocket ─┘
//! ```
//! One worker accepts for all: so connections are spread evenly, and the order in which they came
//! is kept. What every connection gets (no delay, keepalive) is set on the listening socket, from
//! which Linux passes it on: an accepted connection costs one call, not seven.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;

use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};
use socket2::{Domain, SockAddr, Socket, Type};
use tandem_base::num::push_u64;
use tandem_engine::config::Config;
use tandem_engine::node::{Level, Node};

use crate::conn::set_keepalive;
use crate::daemon::os_words;
use crate::poll::Poll;
use crate::shared::Shared;
use crate::tls::Begun;
use crate::transport::Transport;
use crate::worker::fd_number;

/// A connection that is ready for a worker.
pub(crate) struct Incoming {
    /// Its bytes' way.
    pub transport: Transport,
    /// Its address.
    pub addr: String,
    /// Our end's address.
    pub laddr: String,
    /// Its number, to show.
    pub fd: i32,
    /// Over the unix socket.
    pub unix: bool,
}

/// Which directive a listening socket belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// `port`.
    Tcp,
    /// `tls-port`.
    Tls,
    /// `unixsocket`.
    Unix,
}

impl Door {
    fn port(self, config: &Config) -> u16 {
        match self {
            Door::Tcp => config.port(),
            Door::Tls => config.tls_port(),
            Door::Unix => 0,
        }
    }
}

/// One listening socket.
struct Listener {
    socket: Socket,
    door: Door,
    token: u64,
    /// In worker 0's poll.
    watched: bool,
    /// Our end's address, when it is the same for all connections.
    laddr: Option<String>,
}

/// All listening sockets.
#[derive(Default)]
pub(crate) struct Listeners {
    all: Vec<Listener>,
    /// The unix socket's path, to be removed at the end.
    unix_path: String,
    /// Tokens given so far: one that is gone must not be taken for a new one.
    tokens: u64,
}

/// What came to a listening socket.
#[derive(Default)]
pub(crate) struct Arrived {
    /// For the workers.
    pub plain: Vec<Incoming>,
    /// For the thread of handshakes.
    pub tls: Vec<Begun>,
    /// Why nothing can be accepted now, mostly for want of descriptors.
    pub stuck: Option<String>,
}

const ACCEPTS_A_TURN: usize = 1000;

impl Listeners {
    /// Binds what the configuration asks for. The error is the line to log.
    pub(crate) fn bind(node: &Node) -> Result<Listeners, String> {
        let mut listeners = Listeners::default();
        for (door, kind) in [(Door::Tcp, "TCP"), (Door::Tls, "TLS")] {
            let port = door.port(&node.config());
            listeners
                .open(node, door)
                .map_err(|()| format!("Failed listening on port {port} ({kind}), aborting."))?;
        }
        let config = node.config();
        let unix_path = String::from_utf8_lossy(config.unixsocket()).into_owned();
        if !unix_path.is_empty() {
            let socket = bind_unix(&unix_path, config.unixsocketperm(), backlog(&config))?;
            listeners.unix_path = unix_path;
            listeners.add(socket, Door::Unix, Some(format!("{}:0", listeners.unix_path)));
        }
        if listeners.all.is_empty() {
            return Err("Configured to not listen anywhere, exiting.".to_owned());
        }
        Ok(listeners)
    }

    fn add(&mut self, socket: Socket, door: Door, laddr: Option<String>) {
        let token = self.tokens;
        self.tokens += 1;
        self.all.push(Listener { socket, door, token, watched: false, laddr });
    }

    /// Opens the sockets of `door`; what is wrong is in the log. All of them, or none.
    fn open(&mut self, node: &Node, door: Door) -> Result<(), ()> {
        let config = node.config();
        let port = door.port(&config);
        let names = config.bind().to_vec();
        let (backlog, mark) = (backlog(&config), config.socket_mark_id());
        let keepalive = u64::from(config.tcp_keepalive());
        drop(config);
        if port == 0 {
            return Ok(());
        }
        let before = self.all.len();
        for word in names {
            let word = String::from_utf8_lossy(&word).into_owned();
            let (optional, name) = match word.strip_prefix('-') {
                Some(name) => (true, name),
                None => (false, word.as_str()),
            };
            match bind_one(name, port, backlog, mark, keepalive) {
                Ok((socket, addr)) => {
                    let laddr = (!addr.ip().is_unspecified()).then(|| addr.to_string());
                    self.add(socket, door, laddr);
                }
                Err((what, error)) => {
                    let reason = os_words(&error);
                    node.log(
                        Level::Warning,
                        &format!("Warning: Could not create server TCP listening socket {name}:{port}: {what}{reason}"),
                    );
                    if !may_be_missing(&error, optional) {
                        self.all.truncate(before);
                        return Err(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Closes the sockets of `doors` and opens what the configuration says now. On an error none
    /// of theirs is left, and what was wrong is in the log: the caller goes back to the old
    /// configuration and comes again.
    pub(crate) fn rebind(&mut self, node: &Node, doors: &[Door]) -> Result<(), ()> {
        self.all.retain(|listener| !doors.contains(&listener.door));
        for door in doors {
            if self.open(node, *door).is_err() {
                self.all.retain(|listener| !doors.contains(&listener.door));
                return Err(());
            }
        }
        Ok(())
    }

    /// New connections are probed after so many seconds of silence; 0: never.
    pub(crate) fn set_keepalive(&self, seconds: u64) {
        for listener in self.all.iter().filter(|listener| listener.door != Door::Unix) {
            let _ = set_keepalive(&listener.socket, seconds);
        }
    }

    /// Puts what is new into the poll; a closed socket has left it by itself.
    pub(crate) fn watch(&mut self, poll: &Poll, first_token: u64) -> io::Result<()> {
        for listener in self.all.iter_mut().filter(|listener| !listener.watched) {
            poll.add(&listener.socket, first_token + listener.token)?;
            listener.watched = true;
        }
        Ok(())
    }

    /// Listens, or does not for now: what comes waits in the sockets' backlogs.
    pub(crate) fn listen(&self, on: bool, poll: &Poll, first_token: u64) {
        for listener in self.all.iter().filter(|listener| listener.watched) {
            let _ = poll.modify(&listener.socket, first_token + listener.token, on, false);
        }
    }

    /// Accepts what waits at the socket with this token; nothing if it is gone.
    pub(crate) fn accept(&self, token: u64, node: &Node, shared: &Shared) -> Arrived {
        let mut arrived = Arrived::default();
        let Some(listener) = self.all.iter().find(|listener| listener.token == token) else {
            return arrived;
        };
        for _ in 0..ACCEPTS_A_TURN {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match acceptfrom_with(&listener.socket, flags) {
                Ok((socket, peer)) => {
                    listener.admit(node, shared, socket.into(), peer, &mut arrived);
                }
                Err(Errno::AGAIN) => break,
                // It was there and is gone; the next one may be well.
                Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(error) => {
                    arrived.stuck = Some(format!("accept: {}", os_words(&error.into())));
                    break;
                }
            }
        }
        arrived
    }

    /// Removes the unix socket's file.
    pub(crate) fn remove_unix_file(&self, node: &Node) {
        if !self.unix_path.is_empty() {
            node.log(Level::Notice, "Removing the unix socket file.");
            let _ = std::fs::remove_file(&self.unix_path);
        }
    }
}

fn backlog(config: &Config) -> i32 {
    i32::try_from(config.tcp_backlog()).unwrap_or(511)
}

/// Whether the server starts without this address.
fn may_be_missing(error: &io::Error, optional: bool) -> bool {
    const UNSUPPORTED: [i32; 5] = [
        libc::ENOPROTOOPT,
        libc::EPROTONOSUPPORT,
        libc::ESOCKTNOSUPPORT,
        libc::EPFNOSUPPORT,
        libc::EAFNOSUPPORT,
    ];
    match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL) => optional,
        Some(code) => UNSUPPORTED.contains(&code),
        None => false,
    }
}

impl Listener {
    fn admit(
        &self,
        node: &Node,
        shared: &Shared,
        socket: Socket,
        peer: Option<SocketAddrAny>,
        arrived: &mut Arrived,
    ) {
        let refuse = |text: &str| {
            // In TLS nothing can be said before the handshake.
            if self.door != Door::Tls {
                let _ = rustix::io::write(&socket, text.as_bytes());
            }
            node.stats.rejected_connections.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        };
        // Those whom a worker has not looked at yet count too. The link to a master is a client and
        // no connection of ours.
        let connected = shared.connections().max(node.clients.len());
        if connected + arrived.plain.len() + arrived.tls.len() >= node.maxclients() {
            return refuse("-ERR max number of clients reached\r\n");
        }
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        let protected = is_refused_by_protected_mode(node, peer);
        if protected && self.door != Door::Tls {
            return refuse(PROTECTED_MODE);
        }
        let laddr = self.laddr.clone().unwrap_or_else(|| {
            let local = socket.local_addr().ok().and_then(|addr| addr.as_socket());
            local.map_or_else(String::new, show)
        });
        let addr = peer.map_or_else(|| laddr.clone(), show);
        let fd = fd_number(&socket);
        if self.door != Door::Tls {
            let (transport, unix) = (Transport::Plain(socket), self.door == Door::Unix);
            arrived.plain.push(Incoming { transport, addr, laddr, fd, unix });
            return;
        }
        match shared.tls.accept(socket, node.config().tls_auth_clients()) {
            Ok(stream) => arrived.tls.push(Begun { stream, addr, laddr, fd, protected }),
            Err(why) => {
                let line = format!(
                    "Error accepting a client connection: {why} (addr={addr} laddr={laddr})"
                );
                node.log(Level::Warning, &line);
            }
        }
    }
}

/// `ip:port`, an IPv6 address in brackets. Every connection's two addresses are shown, so that the
/// usual ones do not go through the formatter.
fn show(addr: SocketAddr) -> String {
    let SocketAddr::V4(v4) = addr else { return addr.to_string() };
    let mut text = Vec::with_capacity("255.255.255.255:65535".len());
    for (part, end) in v4.ip().octets().into_iter().zip(b"...:") {
        push_u64(&mut text, u64::from(part));
        text.push(*end);
    }
    push_u64(&mut text, u64::from(v4.port()));
    String::from_utf8(text).expect("digits and dots")
}

fn is_refused_by_protected_mode(node: &Node, peer: Option<SocketAddr>) -> bool {
    let outside = peer.is_some_and(|addr| !addr.ip().to_canonical().is_loopback());
    let open = node.acl.default_user().rights().is_nopass();
    outside && open && node.config().protected_mode()
}

/// What a client from elsewhere is told.
pub(crate) const PROTECTED_MODE: &str = "-DENIED Redis is running in protected mode because protected \
    mode is enabled and no password is set for the default user. In this mode connections are only \
    accepted from the loopback interface. If you want to connect from external computers to Redis \
    you may adopt one of the following solutions: 1) Just disable protected mode sending the \
    command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from \
    the same host the server is running, however MAKE SURE Redis is not publicly accessible from \
    internet if you do so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you \
    can just disable the protected mode by editing the Redis configuration file, and setting the \
    protected mode option to 'no', and then restarting the server. 3) If you started the server \
    manually just for testing, restart it with the '--protected-mode no' option. 4) Setup a an \
    authentication password for the default user. NOTE: You only need to do one of the above \
    things in order for the server to start accepting connections from the outside.\r\n";

/// Binds one address. An error comes with what was being done.
fn bind_one(
    name: &str,
    port: u16,
    backlog: i32,
    mark: u32,
    keepalive: u64,
) -> Result<(Socket, SocketAddr), (&'static str, io::Error)> {
    let looked_up = || match name {
        "*" => Ok(Some((IpAddr::from([0, 0, 0, 0]), port).into())),
        "::*" => Ok(Some((IpAddr::from([0u16; 8]), port).into())),
        name => Ok::<_, io::Error>((name, port).to_socket_addrs()?.next()),
    };
    let unknown = || ("", io::Error::other("Name or service not known"));
    let addr: SocketAddr = looked_up().map_err(|_| unknown())?.ok_or_else(unknown)?;
    let step = |what| move |error| (what, error);
    let socket =
        Socket::new(Domain::for_address(addr), Type::STREAM, None).map_err(step("socket: "))?;
    let prepare = || -> io::Result<()> {
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        set_keepalive(&socket, keepalive)?;
        socket.set_nonblocking(true)
    };
    prepare().map_err(step("setsockopt: "))?;
    socket.bind(&addr.into()).map_err(step("bind: "))?;
    if mark != 0 {
        // As Redis does: without the right to mark packets it goes on without.
        let _ = socket.set_mark(mark);
    }
    socket.listen(backlog).map_err(step("listen: "))?;
    let addr = socket.local_addr().ok().and_then(|addr| addr.as_socket()).unwrap_or(addr);
    Ok((socket, addr))
}

fn bind_unix(path: &str, mode: u32, backlog: i32) -> Result<Socket, String> {
    // A socket left by a server that was killed; anything else is left alone and bind fails.
    let is_socket =
        |meta: std::fs::Metadata| std::os::unix::fs::FileTypeExt::is_socket(&meta.file_type());
    if std::fs::symlink_metadata(path).is_ok_and(is_socket) {
        let _ = std::fs::remove_file(path);
    }
    let bind = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        socket.listen(backlog)?;
        socket.set_nonblocking(true)?;
        if mode != 0 {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        }
        Ok(socket)
    };
    bind().map_err(|error| format!("Failed opening Unix socket: bind: {}", os_words(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_as_the_formatter_does() {
        for text in
            ["127.0.0.1:6379", "0.0.0.0:0", "255.255.255.255:65535", "10.0.200.9:1", "[::1]:80"]
        {
            let addr: SocketAddr = text.parse().expect("an address");
            assert_eq!(show(addr), addr.to_string());
        }
    }
}
