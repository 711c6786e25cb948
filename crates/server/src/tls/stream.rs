//! TLS over a non-blocking socket.
//!
//! ```text
//! socket ─► scratch (one for each thread) ─► rustls ─► the reader's buffer
//!                └─ `left`: what found no room there (a large argument's last piece)
//! ```
//! A read takes at most one piece from the socket and gives everything in it that is complete,
//! so that a connection holds no more than the beginning of one record while it is idle.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice, Read, Write};

use rustix::io::Errno;
use rustls::Connection;
use socket2::Socket;

/// Bytes taken from a socket at a time.
const SCRATCH_BYTES: usize = 64 << 10;
/// Encrypted bytes that may wait for room in the socket.
const UNSENT_BYTES_MAX: usize = 128 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// How far a handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// Done.
    Done,
    /// Goes on when the socket has bytes; or room for ours, if `write`.
    Waits {
        /// There are bytes to be written too.
        write: bool,
    },
}

/// TLS on one socket.
pub(crate) struct TlsStream {
    socket: Socket,
    session: Connection,
    /// Taken from the socket and not looked at yet.
    left: Vec<u8>,
    /// Decrypted and not read yet.
    plain: usize,
    /// The other end has said that it is done, or is gone.
    ended: bool,
    /// Nothing more is said.
    mute: bool,
}

impl TlsStream {
    /// TLS about to begin on `socket`.
    pub(crate) fn new(socket: Socket, session: impl Into<Connection>) -> TlsStream {
        let mut session = session.into();
        session.set_buffer_limit(Some(UNSENT_BYTES_MAX));
        TlsStream { socket, session, left: Vec::new(), plain: 0, ended: false, mute: false }
    }

    /// The socket.
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Takes the handshake as far as it goes. The error is for the log.
    pub(crate) fn handshake(&mut self) -> Result<Handshake, String> {
        while self.session.is_handshaking() {
            let unsent = match self.push() {
                Ok(()) => false,
                Err(Errno::AGAIN) => true,
                Err(error) => return Err(words(&error.into())),
            };
            if !self.session.wants_read() {
                if unsent {
                    return Ok(Handshake::Waits { write: true });
                }
                continue;
            }
            match self.session.read_tls(&mut &self.socket) {
                Ok(0) => return Err("Connection reset by peer".to_owned()),
                Ok(_) => {}
                Err(error) if is_again(&error) => return Ok(Handshake::Waits { write: unsent }),
                Err(error) => return Err(words(&error)),
            }
            if let Err(error) = self.process() {
                // The alert says why, but to one who does not speak TLS it is noise.
                self.mute = matches!(
                    error,
                    rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)
                );
                if !self.mute {
                    let _ = self.push();
                }
                return Err(error.to_string());
            }
        }
        match self.push() {
            Ok(()) => Ok(Handshake::Done),
            Err(Errno::AGAIN) => Ok(Handshake::Waits { write: true }),
            Err(error) => Err(words(&error.into())),
        }
    }

    fn process(&mut self) -> Result<(), rustls::Error> {
        let state = self.session.process_new_packets()?;
        self.plain = state.plaintext_bytes_to_read();
        self.ended |= state.peer_has_closed();
        Ok(())
    }

    /// See [`Transport::read`](crate::transport::Transport::read).
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Result<usize, Errno> {
        assert!(!buf.is_empty(), "nothing read is the end");
        let mut filled = self.drain(buf);
        if !self.left.is_empty() {
            let left = std::mem::take(&mut self.left);
            filled += self.feed(&left, &mut buf[filled..])?;
        }
        if filled == 0 && !self.ended {
            filled = SCRATCH.with_borrow_mut(|scratch| {
                let count = rustix::io::read(&self.socket, &mut scratch[..])?;
                if count == 0 {
                    self.ended = true;
                }
                self.feed(&scratch[..count], buf)
            })?;
        }
        if self.session.wants_write() {
            // An answer of TLS's own (a new key): the next write finds what is left of it.
            match self.push() {
                Ok(()) | Err(Errno::AGAIN) => {}
                Err(error) => return Err(error),
            }
        }
        if filled == 0 && !self.ended { Err(Errno::AGAIN) } else { Ok(filled) }
    }

    /// Whether [`TlsStream::read`] may find something without the socket; the end is something.
    pub(crate) fn holds_input(&self) -> bool {
        self.plain > 0 || !self.left.is_empty() || self.ended
    }

    /// Decrypts `raw` into `buf`; keeps what has no room.
    fn feed(&mut self, mut raw: &[u8], buf: &mut [u8]) -> Result<usize, Errno> {
        let mut filled = 0;
        while !raw.is_empty() {
            if self.plain > 0 {
                self.left = raw.to_vec();
                break;
            }
            match self.session.read_tls(&mut raw) {
                // Behind the other end's farewell nothing counts.
                Ok(0) => break,
                Ok(_) => {}
                Err(_) => return Err(Errno::PROTO),
            }
            if self.process().is_err() {
                let _ = self.push();
                return Err(Errno::PROTO);
            }
            filled += self.drain(&mut buf[filled..]);
        }
        Ok(filled)
    }

    /// Takes decrypted bytes.
    fn drain(&mut self, buf: &mut [u8]) -> usize {
        let mut filled = 0;
        while self.plain > 0 && filled < buf.len() {
            match self.session.reader().read(&mut buf[filled..]) {
                Ok(count) if count > 0 => {
                    filled += count;
                    self.plain -= count;
                }
                _ => self.plain = 0,
            }
        }
        filled
    }

    /// See [`Transport::write`](crate::transport::Transport::write).
    pub(crate) fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
        self.push()?;
        let taken = self.session.writer().write_vectored(slices).map_err(|_| Errno::PIPE)?;
        match self.push() {
            Ok(()) | Err(Errno::AGAIN) => Ok(taken),
            Err(error) => Err(error),
        }
    }

    /// Sends encrypted bytes; `AGAIN` if some are left.
    pub(crate) fn push(&mut self) -> Result<(), Errno> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut &self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_again(&error) => return Err(Errno::AGAIN),
                Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
            }
        }
        Ok(())
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        if self.mute {
            return;
        }
        // The other end can tell an end from a cut. There is no waiting for room.
        self.session.send_close_notify();
        let _ = self.session.write_tls(&mut &self.socket);
    }
}

fn is_again(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn words(error: &io::Error) -> String {
    crate::daemon::os_words(error)
}

#[cfg(test)]
mod tests;
