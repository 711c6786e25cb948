//! A blocking connection to a server: commands out, replies in.
//!
//! One thread, one socket, no reconnection: an error leaves the connection unusable, and who
//! holds it decides what to do. `AUTH`, `SELECT` and `HELLO` are the caller's business too.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tandem_resp::reply::{ReplyError, ReplyParser, ReplyValue, encode_command};

use crate::stream::{Hangup, Stream};
use crate::text::error_text;

/// How much is asked of the socket at once.
const READ_BYTES: usize = 64 * 1024;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A name or an IP address, and a port. A port outside 0..=65535 fails when connecting.
    Tcp(String, i32),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Why a connection cannot be used (any more).
#[derive(Debug)]
pub enum ClientError {
    /// The system refused to connect, read or write.
    Io(io::Error),
    /// The server closed the connection where a reply was due.
    Closed,
    /// The server sent what is no reply.
    Protocol(ReplyError),
    /// The options for TLS cannot be followed.
    Tls(String),
    /// The server answered [`Client::expect_ok`]'s command with an error.
    Refused(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Io(error) => f.write_str(&error_text(error)),
            ClientError::Closed => f.write_str("Server closed the connection"),
            ClientError::Protocol(error) => write!(f, "{error}"),
            ClientError::Tls(text) | ClientError::Refused(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> ClientError {
        ClientError::Io(error)
    }
}

impl ClientError {
    /// Whether the peer is gone: it closed, reset, or no longer takes what is written.
    pub fn peer_is_gone(&self) -> bool {
        match self {
            ClientError::Closed => true,
            ClientError::Io(error) => {
                matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
            }
            _ => false,
        }
    }
}

/// A connection to one server.
#[derive(Debug)]
pub struct Client {
    socket: Stream,
    parser: ReplyParser,
    read_buf: Vec<u8>,
}

impl Client {
    /// Connects. `timeout` bounds the connecting of each of a name's addresses and, from then
    /// on, every wait for the socket; `None` waits as long as the system does.
    pub fn connect(address: &Address, timeout: Option<Duration>) -> Result<Client, ClientError> {
        Client::over(Stream::connect(address, timeout)?, timeout)
    }

    /// Speaks over a connected socket.
    pub(crate) fn over(socket: Stream, timeout: Option<Duration>) -> Result<Client, ClientError> {
        let mut client =
            Client { socket, parser: ReplyParser::new(), read_buf: vec![0; READ_BYTES] };
        client.set_timeout(timeout)?;
        Ok(client)
    }

    /// Bounds every single wait for the socket from now on. After a timeout (an
    /// [`io::ErrorKind::WouldBlock`] error) a later read may go on, but a reply that was given
    /// up is then the next one.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<(), ClientError> {
        Ok(self.socket.set_timeout(timeout)?)
    }

    /// Sends one command and reads its reply. Pushes that arrive before it are dropped.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<ReplyValue, ClientError> {
        self.send(args)?;
        loop {
            match self.read_reply()? {
                ReplyValue::Push(_) => {}
                reply => return Ok(reply),
            }
        }
    }

    /// Sends one command whose reply matters only when it is an error, which becomes
    /// [`ClientError::Refused`].
    pub fn expect_ok<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<(), ClientError> {
        let reply = self.call(args)?;
        match reply.as_error() {
            Some(text) => Err(ClientError::Refused(String::from_utf8_lossy(text).into_owned())),
            None => Ok(()),
        }
    }

    /// Sends one command without waiting for its reply.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        encode_command(&mut bytes, args);
        self.send_raw(&bytes)
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, mut bytes: &[u8]) -> Result<(), ClientError> {
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(0) => return Err(ClientError::Closed),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits for the next reply or push.
    pub fn read_reply(&mut self) -> Result<ReplyValue, ClientError> {
        loop {
            if let Some(reply) = self.parser.next_reply().map_err(ClientError::Protocol)? {
                return Ok(reply);
            }
            if self.fill()? == 0 {
                return Err(ClientError::Closed);
            }
        }
    }

    /// A reply that is already here, without waiting.
    pub(crate) fn parsed_reply(&mut self) -> Result<Option<ReplyValue>, ClientError> {
        self.parser.next_reply().map_err(ClientError::Protocol)
    }

    /// Reads what the socket has, once. 0 means that the peer closed.
    pub(crate) fn fill(&mut self) -> io::Result<usize> {
        let got = self.socket.read(&mut self.read_buf)?;
        self.parser.feed(&self.read_buf[..got]);
        Ok(got)
    }

    /// Writes once, as much as the socket takes.
    pub(crate) fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    /// See [`Stream::has_unsent`].
    pub(crate) fn has_unsent(&self) -> bool {
        self.socket.has_unsent()
    }

    /// See [`Stream::send_unsent`].
    pub(crate) fn send_unsent(&mut self) -> io::Result<()> {
        self.socket.send_unsent()
    }

    /// See [`Stream::has_unread`].
    pub(crate) fn has_unread(&self) -> bool {
        self.socket.has_unread()
    }

    /// Whether [`fill`](Self::fill) and [`write_some`](Self::write_some) refuse to wait.
    pub(crate) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking)
    }

    /// A handle that can end this connection from another thread.
    pub(crate) fn hangup(&self) -> io::Result<Hangup> {
        self.socket.hangup()
    }

    /// Gives up the reply format: bytes already received that belong to no reply, and a reader
    /// for what follows them. For the RDB file that a master sends.
    pub(crate) fn read_raw(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.parser.is_idle() {
            let rest = self.parser.take_rest();
            let (now, later) = rest.split_at(rest.len().min(buf.len()));
            buf[..now.len()].copy_from_slice(now);
            self.parser.feed(later);
            return Ok(now.len());
        }
        self.socket.read(buf)
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Connects as soon as a server listens at `address` and answers PING without `LOADING`;
/// gives up after `patience`.
pub fn connect_when_ready(address: &Address, patience: Duration) -> Result<Client, ClientError> {
    let give_up = Instant::now() + patience;
    loop {
        let answer =
            Client::connect(address, Some(Duration::from_secs(5))).and_then(|mut client| {
                let pong = client.call(&["PING"])?;
                match pong.as_error() {
                    Some(text) if text.starts_with(b"LOADING") => {
                        Err(ClientError::Refused(String::from_utf8_lossy(text).into_owned()))
                    }
                    _ => Ok(client),
                }
            });
        match answer {
            Ok(client) => return Ok(client),
            Err(error) if Instant::now() >= give_up => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
