//! `--pipe`: raw protocol from standard input to the server, as fast as both go.
//!
//! Replies are only counted. The end is known by an ECHO of a random text sent after all the
//! rest: when it comes back, everything before it was answered.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tandem_resp::reply::{ReplyValue, encode_command};

use crate::client::Client;
use crate::session::Session;
use crate::text::{complain, error_text, flush, put};
use crate::{Step, Stop};

/// How much is read from standard input at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// After so much writing, replies are looked at again.
const WRITE_TURN_BYTES: usize = 128 * 1024;
const MAGIC_BYTES: usize = 20;

struct Transfer {
    /// Read from standard input and not yet taken by the server.
    pending: Vec<u8>,
    sent: usize,
    /// The text of the final ECHO, once standard input has ended.
    magic: Option<[u8; MAGIC_BYTES]>,
    errors: u64,
    replies: u64,
    last_reply: Instant,
    done: bool,
}

/// Transfers standard input; the exit code says whether there was an error.
pub(super) fn transfer(session: &mut Session) -> Step<i32> {
    let timeout = u64::try_from(session.options.pipe_timeout).unwrap_or(0);
    let timeout = (timeout > 0).then(|| Duration::from_secs(timeout));
    let Some(client) = &mut session.client else { return Err(Stop::Exit(1)) };
    client.set_nonblocking(true).map_err(|error| {
        complain(format!("Can't set the socket in non blocking mode: {}", error_text(&error)));
        Stop::Exit(1)
    })?;
    let mut transfer = Transfer {
        pending: Vec::new(),
        sent: 0,
        magic: None,
        errors: 0,
        replies: 0,
        last_reply: Instant::now(),
        done: false,
    };
    while !transfer.done {
        let ready = transfer.wait(client);
        if ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            transfer.read(client)?;
            while client.has_unread() && !transfer.done {
                transfer.read(client)?;
            }
        }
        if ready.contains(PollFlags::OUT) && !transfer.done {
            transfer.write(client)?;
        }
        if let Some(timeout) = timeout
            && transfer.magic.is_some()
            && transfer.last_reply.elapsed() > timeout
        {
            complain(format!("No replies for {} seconds: exiting.", timeout.as_secs()));
            transfer.errors += 1;
            break;
        }
    }
    put(format!("errors: {}, replies: {}\n", transfer.errors, transfer.replies))?;
    flush()?;
    Ok(i32::from(transfer.errors > 0))
}

impl Transfer {
    /// Whether everything is with the server but for the replies.
    fn all_sent(&self, client: &Client) -> bool {
        self.magic.is_some() && self.sent == self.pending.len() && !client.has_unsent()
    }

    /// Waits up to a second for the socket.
    fn wait(&self, client: &Client) -> PollFlags {
        let wanted =
            if self.all_sent(client) { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        let mut fds = [PollFd::new(client, wanted)];
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        // An interrupted wait is an early one.
        let _ = poll(&mut fds, Some(&second));
        fds[0].revents()
    }

    /// Reads once and counts what arrived.
    fn read(&mut self, client: &mut Client) -> Step<()> {
        let got = client.fill();
        loop {
            match client.parsed_reply() {
                Ok(None) => break,
                Ok(Some(reply)) => self.count(reply.plain())?,
                Err(_) => {
                    complain("Error reading replies from server");
                    return Err(Stop::Exit(1));
                }
            }
        }
        match got {
            Ok(1..) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            // The server is gone; what it still had to say has been shown.
            Ok(0) | Err(_) => Err(Stop::Exit(1)),
        }
    }

    fn count(&mut self, reply: &ReplyValue) -> Step<()> {
        self.last_reply = Instant::now();
        match (reply, &self.magic) {
            (ReplyValue::Error(text), _) => {
                complain(text);
                self.errors += 1;
            }
            (ReplyValue::Bulk(text), Some(magic)) if text == magic => {
                put("Last reply received from server.\n")?;
                self.done = true;
                return Ok(());
            }
            _ => {}
        }
        self.replies += 1;
        Ok(())
    }

    /// Writes until the socket is full, standard input has ended, or a turn is over.
    fn write(&mut self, client: &mut Client) -> Step<()> {
        if client.has_unsent() {
            match client.send_unsent() {
                Err(error) if is_only_a_pause(&error) => return Ok(()),
                // A failure is seen by the next write or read.
                _ => {}
            }
        }
        let mut turn = 0;
        while turn <= WRITE_TURN_BYTES {
            if self.sent < self.pending.len() {
                match client.write_some(&self.pending[self.sent..]) {
                    Ok(written) => {
                        self.sent += written;
                        turn += written;
                    }
                    Err(error) if is_only_a_pause(&error) => return Ok(()),
                    Err(error) => {
                        complain(format!("Error writing to the server: {}", error_text(&error)));
                        return Err(Stop::Exit(1));
                    }
                }
                continue;
            }
            if self.magic.is_some() {
                return Ok(());
            }
            self.refill()?;
        }
        Ok(())
    }

    /// Takes the next piece of standard input; at its end, the final ECHO.
    fn refill(&mut self) -> Step<()> {
        self.sent = 0;
        self.pending.resize(CHUNK_BYTES, 0);
        match io::stdin().read(&mut self.pending) {
            Ok(0) => {
                let mut magic = [0; MAGIC_BYTES];
                fastrand::fill(&mut magic);
                // The line end in front closes an inline command that was not closed.
                self.pending = b"\r\n".to_vec();
                encode_command(&mut self.pending, &[&b"ECHO"[..], &magic]);
                self.magic = Some(magic);
                self.last_reply = Instant::now();
                put("All data transferred. Waiting for the last reply...\n")?;
                flush()
            }
            Ok(got) => {
                self.pending.truncate(got);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.pending.clear();
                Ok(())
            }
            Err(error) => {
                complain(format!("Error reading from stdin: {}", error_text(&error)));
                Err(Stop::Exit(1))
            }
        }
    }
}

fn is_only_a_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
