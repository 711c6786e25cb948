//! The socket under a connection: TCP, TLS over TCP, or a unix socket.
//!
//! Reading and writing go through one type, whether they wait or not; who uses it decides that
//! with [`Stream::set_nonblocking`]. Over TLS two things lie between the caller and the socket:
//! bytes that were written but not sent ([`Stream::has_unsent`]), and bytes that were received
//! but not read ([`Stream::has_unread`]), of which the system's readiness knows nothing.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use crate::client::Address;
use crate::tls::{Fault, TlsOptions};

/// Idle seconds after which the system asks whether the peer still lives.
const KEEPALIVE_SECONDS: u64 = 15;

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Unix(UnixStream),
}

impl Stream {
    /// Connects. `timeout` bounds the connecting of each of a name's addresses.
    pub(crate) fn connect(address: &Address, timeout: Option<Duration>) -> io::Result<Stream> {
        match address {
            Address::Tcp(host, port) => connect_tcp(host, *port, timeout).map(Stream::Tcp),
            Address::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
        }
    }

    /// Shakes hands over a socket that is connected to `host`; no-one else has used it yet.
    pub(crate) fn secured(self, host: &str, options: &TlsOptions) -> Result<Stream, Fault> {
        match self {
            Stream::Tcp(socket) => {
                options.shake_hands(host, socket).map(|tls| Stream::Tls(Box::new(tls)))
            }
            _ => Err(Fault::Options("TLS needs a host and a port".to_owned())),
        }
    }

    /// Reads once; goes on when a signal interrupts.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let got = match self {
                Stream::Tcp(stream) => stream.read(buf),
                Stream::Tls(stream) => stream.read(buf),
                Stream::Unix(stream) => stream.read(buf),
            };
            match got {
                // A peer that closes without TLS's farewell has closed all the same.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Writes once, as much as the socket takes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Tls(stream) => match stream.write(bytes) {
                // TLS holds as much as it wants to hold.
                Ok(0) if !bytes.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
                other => other,
            },
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    /// Whether bytes that were written have not reached the socket.
    pub(crate) fn has_unsent(&self) -> bool {
        matches!(self, Stream::Tls(stream) if stream.conn.wants_write())
    }

    /// Sends what [`has_unsent`](Self::has_unsent) speaks of.
    pub(crate) fn send_unsent(&mut self) -> io::Result<()> {
        match self {
            Stream::Tls(stream) => stream.flush(),
            _ => Ok(()),
        }
    }

    /// Whether bytes can be read although the socket itself has none.
    pub(crate) fn has_unread(&self) -> bool {
        matches!(self, Stream::Tls(stream) if !stream.conn.wants_read())
    }

    /// Writes all, waiting for the socket.
    pub(crate) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The TCP socket, whatever runs over it; else the unix socket.
    fn socket(&self) -> Result<&TcpStream, &UnixStream> {
        match self {
            Stream::Tcp(stream) => Ok(stream),
            Stream::Tls(stream) => Ok(&stream.sock),
            Stream::Unix(stream) => Err(stream),
        }
    }

    /// Bounds every single wait for the socket from now on.
    pub(crate) fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self.socket() {
            Ok(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
            Err(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
        }
    }

    /// Whether reads and writes refuse to wait.
    pub(crate) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self.socket() {
            Ok(stream) => stream.set_nonblocking(nonblocking),
            Err(stream) => stream.set_nonblocking(nonblocking),
        }
    }

    /// A handle that can end the connection from another thread.
    pub(crate) fn hangup(&self) -> io::Result<Hangup> {
        Ok(match self.socket() {
            Ok(stream) => Hangup::Tcp(stream.try_clone()?),
            Err(stream) => Hangup::Unix(stream.try_clone()?),
        })
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self.socket() {
            Ok(stream) => stream.as_fd(),
            Err(stream) => stream.as_fd(),
        }
    }
}

/// Ends a connection from another thread: whoever waits on it sees it closed.
#[derive(Debug)]
pub(crate) enum Hangup {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Hangup {
    pub(crate) fn hang_up(&self) {
        // It fails only when the connection is already gone.
        let _ = match self {
            Hangup::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Hangup::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

/// Tries the addresses of `host`, IPv4 first; the first failure is the one reported.
fn connect_tcp(host: &str, port: i32, timeout: Option<Duration>) -> io::Result<TcpStream> {
    let port = u16::try_from(port).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "Servname not supported for ai_socktype")
    })?;
    let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let mut first_error = None;
    for address in addresses {
        let tried = match timeout {
            Some(timeout) => TcpStream::connect_timeout(&address, timeout),
            None => TcpStream::connect(address),
        };
        match tried {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                keep_alive(&stream);
                return Ok(stream);
            }
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error
        .unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "Name or service not known")))
}

/// Lets the system notice a dead peer. Only a comfort: failures are ignored.
fn keep_alive(stream: &TcpStream) {
    use rustix::net::sockopt;
    let idle = Duration::from_secs(KEEPALIVE_SECONDS);
    let probe = Duration::from_secs(KEEPALIVE_SECONDS / 3);
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, idle);
    let _ = sockopt::set_tcp_keepintvl(stream, probe);
    let _ = sockopt::set_tcp_keepcnt(stream, 3);
}
