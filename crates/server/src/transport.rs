//! What a connection's bytes go over: a plain socket, or TLS on one.
//!
//! ```text
//! session.out ─► write ─┬─ plain ─► the kernel
//!                       └─ TLS ───► records (one copy, encrypted in place) ─► the kernel
//! ```
//! Both sides have the face of a non-blocking socket: `AGAIN` when there is nothing to read or no
//! room. TLS keeps at most a few records; what is behind them waits where it lay.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use socket2::Socket;

use crate::tls::TlsStream;

/// A connection's way to its other end.
pub(crate) enum Transport {
    /// TCP or a unix socket.
    Plain(Socket),
    /// TLS on TCP, its handshake done.
    Tls(Box<TlsStream>),
}

impl Transport {
    /// The socket.
    pub(crate) fn socket(&self) -> &Socket {
        match self {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream.socket(),
        }
    }

    /// Reads at most `buf.len()` bytes; `Ok(0)` is the end.
    #[inline]
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Transport::Plain(socket) => rustix::io::read(&*socket, buf),
            Transport::Tls(stream) => stream.read(buf),
        }
    }

    /// Whether a read finds bytes without the socket's having any: the poll does not tell.
    #[inline]
    pub(crate) fn holds_input(&self) -> bool {
        match self {
            Transport::Plain(_) => false,
            Transport::Tls(stream) => stream.holds_input(),
        }
    }

    /// Writes; how many bytes have been taken.
    #[inline]
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        match self {
            Transport::Plain(socket) => rustix::io::write(&*socket, bytes),
            Transport::Tls(stream) => stream.write(&[IoSlice::new(bytes)]),
        }
    }

    /// Writes several pieces as one.
    pub(crate) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
        match self {
            Transport::Plain(socket) => rustix::io::writev(&*socket, slices),
            Transport::Tls(stream) => stream.write(slices),
        }
    }

    /// Sends what has been taken and not sent; `AGAIN` if some of it is left.
    #[inline]
    pub(crate) fn push(&mut self) -> Result<(), Errno> {
        match self {
            Transport::Plain(_) => Ok(()),
            Transport::Tls(stream) => stream.push(),
        }
    }

    /// Whether it is TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Transport::Tls(_))
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}
