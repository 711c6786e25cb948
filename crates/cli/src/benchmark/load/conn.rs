//! One connection of the load: what it sends, how far it has got, and what it still waits for.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use tandem_resp::reply::encode_command;

use super::broken;
use crate::benchmark::batch::Batch;
use crate::benchmark::count::{Fault, ReplyCounter};
use crate::benchmark::options::Options;
use crate::client::ClientError;
use crate::stream::Stream;
use crate::text::error_text;

/// A connection, open and greeted unless every batch has one of its own.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) stream: Stream,
    /// A greeting that goes out with the batch, and the batch.
    out: Vec<u8>,
    greeting_bytes: usize,
    /// Replies to the greeting that are still to come.
    greetings: u64,
    written: usize,
    /// Replies to the batch that are still to come.
    waiting: u64,
    counter: ReplyCounter,
    since: Instant,
    /// epoll tells when the socket takes more.
    wants_out: bool,
}

/// Replies that arrived together.
pub(super) struct Answered {
    pub(super) replies: u64,
    pub(super) latency: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Waiting,
    BatchDone,
}

impl Conn {
    /// Connects and greets the server.
    pub(super) fn open(options: &Options, batch: &Batch) -> Result<Conn, String> {
        let address = options.address();
        let stream = options.target.open(&address, None).map_err(|error| match error {
            ClientError::Tls(text) => format!("Could not negotiate a TLS connection: {text}"),
            error => format!("Could not connect to Redis at {address}: {error}"),
        })?;
        let mut conn = Conn {
            stream,
            out: Vec::new(),
            greeting_bytes: 0,
            greetings: 0,
            written: 0,
            waiting: 0,
            counter: ReplyCounter::default(),
            since: Instant::now(),
            wants_out: false,
        };
        conn.prepare(options, batch);
        if options.keep_alive {
            conn.greet()?;
        }
        conn.stream.set_nonblocking(true).map_err(broken)?;
        Ok(conn)
    }

    /// Puts a new socket in place of the old one; the greeting goes out with the next batch.
    pub(super) fn reopen(
        &mut self,
        options: &Options,
        batch: &Batch,
        epoll: &impl AsFd,
        index: usize,
    ) -> Result<(), String> {
        *self = Conn::open(options, batch)?;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(epoll, &self.stream, data, epoll::EventFlags::IN).map_err(broken)
    }

    fn prepare(&mut self, options: &Options, batch: &Batch) {
        let greeting = options.greeting();
        self.greetings = greeting.len() as u64;
        for command in greeting {
            encode_command(&mut self.out, &command);
        }
        self.greeting_bytes = self.out.len();
        self.out.extend_from_slice(&batch.bytes);
    }

    /// Sends the greeting by itself and waits for its replies.
    fn greet(&mut self) -> Result<(), String> {
        let greeting: Vec<u8> = self.out.drain(..self.greeting_bytes).collect();
        self.greeting_bytes = 0;
        self.stream.write_all(&greeting).map_err(broken)?;
        let mut buf = [0; 4096];
        while self.greetings > 0 {
            self.read(&mut buf, |_| {})?;
        }
        Ok(())
    }

    /// Gets the next batch ready; its latency counts from `since`.
    pub(super) fn begin(&mut self, batch: &Batch, since: Instant, random: &mut fastrand::Rng) {
        assert_eq!(self.waiting, 0, "a batch begins after the last one ended");
        batch.randomize(&mut self.out, self.greeting_bytes, random);
        self.written = 0;
        self.waiting = batch.requests;
        self.since = since;
    }

    /// Writes what the socket takes; epoll tells about the rest.
    pub(super) fn flush(&mut self, epoll: &impl AsFd, index: usize) -> Result<(), String> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.want_out(epoll, index, true);
                }
                Err(error) => {
                    return Err(format!("Error writing to the server: {}", error_text(&error)));
                }
            }
        }
        if self.stream.has_unsent() {
            match self.stream.send_unsent() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.want_out(epoll, index, true);
                }
                // A failure is seen by the next read.
                _ => {}
            }
        }
        self.want_out(epoll, index, false)
    }

    fn want_out(&mut self, epoll: &impl AsFd, index: usize, wanted: bool) -> Result<(), String> {
        if self.wants_out == wanted {
            return Ok(());
        }
        self.wants_out = wanted;
        let mut flags = epoll::EventFlags::IN;
        flags.set(epoll::EventFlags::OUT, wanted);
        let data = epoll::EventData::new_u64(index as u64);
        epoll::modify(epoll, &self.stream, data, flags).map_err(broken)
    }

    /// Reads what has arrived and hands the replies to the batch to `take`.
    pub(super) fn read(
        &mut self,
        buf: &mut [u8],
        mut take: impl FnMut(Answered),
    ) -> Result<Progress, String> {
        let had_work = self.waiting > 0;
        loop {
            let got = match self.stream.read(buf) {
                Ok(0) => return Err("Error: Server closed the connection".to_owned()),
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Progress::Waiting);
                }
                Err(error) => return Err(broken(error)),
            };
            self.count(&buf[..got], &mut take)?;
            if !self.stream.has_unread() {
                break;
            }
        }
        Ok(if had_work && self.waiting == 0 { Progress::BatchDone } else { Progress::Waiting })
    }

    /// Counts the replies in what has arrived.
    fn count(&mut self, bytes: &[u8], take: &mut impl FnMut(Answered)) -> Result<(), String> {
        let mut replies = self.counter.feed(bytes).map_err(|fault| match fault {
            Fault::Refused(text) => {
                format!("Error from server: {}", String::from_utf8_lossy(&text))
            }
            Fault::Protocol => "Error: Protocol error, what arrived is no reply".to_owned(),
        })?;
        let greetings = replies.min(self.greetings);
        self.greetings -= greetings;
        replies -= greetings;
        if replies > self.waiting {
            return Err("Error: the server sent more replies than it was asked for".to_owned());
        }
        if replies > 0 {
            self.waiting -= replies;
            take(Answered { replies, latency: self.since.elapsed() });
        }
        Ok(())
    }
}
