//! HTTP, as much of it as a scraper needs: one thread, many connections, none of them waited for.
//!
//! ```text
//! Asking ── a whole head, or a bad one ─► Answering ── all sent ─► Ending ── they close ─► gone
//!    └─ each state has a second ─────────────┴────────────────────────┴─► gone
//! ```
//! A connection that says nothing costs a place and nothing else; when the places are taken, the
//! one that came first gives its own up. There is no keeping alive: a scrape is a connection.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tandem_engine::node::lock;

use crate::poll::{Poll, Ready, Waker};

/// How long a scraper may take to ask, to take its answer, and to close.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(1);
/// Connections at a time.
pub(crate) const OPEN_MAX: usize = 32;
const REQUEST_BYTES_MAX: usize = 8 << 10;
const TOKEN_WAKE: u64 = u64::MAX;
const TOKEN_LISTENER: u64 = u64::MAX - 1;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    /// `GET` and the like.
    pub method: &'a [u8],
    /// The path, without what follows a `?`.
    pub path: &'a [u8],
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The code and its words.
    pub status: &'static str,
    /// The kind of the body.
    pub kind: &'static str,
    /// The body.
    pub body: String,
}

impl Reply {
    /// Words.
    pub(super) fn plain(status: &'static str, body: &str) -> Reply {
        Reply { status, kind: "text/plain; charset=utf-8", body: body.to_owned() }
    }

    fn into_bytes(self, head_only: bool) -> Vec<u8> {
        let Reply { status, kind, body } = self;
        let length = body.len();
        let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
        let mut bytes = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
             Connection: close\r\nCache-Control: no-store\r\n{allow}\r\n"
        )
        .into_bytes();
        if !head_only {
            bytes.extend_from_slice(body.as_bytes());
        }
        bytes
    }
}

/// What the bytes of a request amount to so far.
#[derive(Debug, PartialEq, Eq)]
enum Judged<'a> {
    /// More must come.
    Unfinished,
    /// Whatever comes, it is none.
    Bad(&'static str),
    /// All of it.
    Whole(Request<'a>),
}

/// Looks at a request's head. Lines may end without a carriage return, as in most servers.
fn judge(head: &[u8]) -> Judged<'_> {
    const TOO_LARGE: &str = "431 Request Header Fields Too Large";
    let more =
        if head.len() > REQUEST_BYTES_MAX { Judged::Bad(TOO_LARGE) } else { Judged::Unfinished };
    let Some(end) = head.iter().position(|byte| *byte == b'\n') else { return more };
    let line = head[..end].strip_suffix(b"\r").unwrap_or(&head[..end]);
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, path, version] = words[..] else { return Judged::Bad("400 Bad Request") };
    let is_method = !method.is_empty() && method.iter().all(u8::is_ascii_uppercase);
    if !is_method || path.is_empty() || !version.starts_with(b"HTTP/1.") {
        return Judged::Bad("400 Bad Request");
    }
    let rest = &head[end..];
    let ended = rest.windows(2).any(|w| w == b"\n\n") || rest.windows(3).any(|w| w == b"\n\r\n");
    if !ended {
        return more;
    }
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    Judged::Whole(Request { method, path })
}

enum State {
    Asking(Vec<u8>),
    Answering { reply: Vec<u8>, sent: usize },
    Ending,
}

struct Connection {
    stream: TcpStream,
    state: State,
    /// When this state must be over, and how long each may take.
    end: Instant,
    limit: Duration,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Wait { write: bool },
    Done,
}

impl Connection {
    /// Goes on as far as the socket lets it. One read at most: who sends for ever holds nobody up.
    fn step(&mut self, answer: &impl Fn(Request<'_>) -> Reply) -> io::Result<Step> {
        if !matches!(self.state, State::Answering { .. }) {
            let mut buf = [0; 1024];
            let count = match self.stream.read(&mut buf) {
                Ok(count) => count,
                Err(error) if is_again(&error) => return Ok(Step::Wait { write: false }),
                Err(error) => return Err(error),
            };
            let State::Asking(head) = &mut self.state else {
                // What else they say is not looked at; but an unread byte would make our close a
                // reset, and that may overtake the answer.
                return Ok(if count == 0 { Step::Done } else { Step::Wait { write: false } });
            };
            head.extend_from_slice(&buf[..count]);
            let reply = match judge(head) {
                Judged::Unfinished if count > 0 => return Ok(Step::Wait { write: false }),
                Judged::Unfinished if head.is_empty() => return Ok(Step::Done),
                Judged::Unfinished => bad("400 Bad Request"),
                Judged::Bad(status) => bad(status),
                Judged::Whole(request) => answer(request).into_bytes(request.method == b"HEAD"),
            };
            self.enter(State::Answering { reply, sent: 0 });
        }
        while let State::Answering { reply, sent } = &mut self.state {
            if *sent == reply.len() {
                self.stream.shutdown(Shutdown::Write)?;
                self.enter(State::Ending);
                break;
            }
            match self.stream.write(&reply[*sent..]) {
                Ok(count) => *sent += count,
                Err(error) if is_again(&error) => return Ok(Step::Wait { write: true }),
                Err(error) => return Err(error),
            }
        }
        Ok(Step::Wait { write: false })
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.end = Instant::now() + self.limit;
    }
}

fn bad(status: &'static str) -> Vec<u8> {
    Reply::plain(status, "only requests of HTTP/1 are understood\n").into_bytes(false)
}

fn is_again(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// The connections, and how they are answered.
pub(super) struct Http<A> {
    waker: Arc<Waker>,
    limit: Duration,
    answer: A,
    poll: Poll,
    /// By number: the first is the oldest.
    open: BTreeMap<u64, Connection>,
    next: u64,
}

impl<A: Fn(Request<'_>) -> Reply> Http<A> {
    /// Nobody is there yet. `waker` tells that there is another listener; `limit` is how long each
    /// state of a connection may take.
    pub(super) fn new(waker: Arc<Waker>, limit: Duration, answer: A) -> io::Result<Http<A>> {
        let poll = Poll::new()?;
        poll.add(&*waker, TOKEN_WAKE)?;
        Ok(Http { waker, limit, answer, poll, open: BTreeMap::new(), next: 0 })
    }

    /// Waits once, at most until something is due, and does what there is to do. After an
    /// error (mostly for want of descriptors) the caller waits a little before the next turn.
    pub(super) fn turn(&mut self, listener: &Mutex<Option<TcpListener>>) -> io::Result<()> {
        let mut ready: Vec<Ready> = Vec::new();
        self.poll.wait(self.timeout_ms(), &mut ready)?;
        let mut accepted = Ok(());
        for event in ready {
            match event.token {
                TOKEN_WAKE => {
                    self.waker.drain();
                    if let Some(listener) = &*lock(listener) {
                        // An old one has left the poll when it was closed; this one may be
                        // there already.
                        let _ = self.poll.add(listener, TOKEN_LISTENER);
                    }
                }
                TOKEN_LISTENER => accepted = self.accept(listener),
                token => self.go_on(token),
            }
        }
        let now = Instant::now();
        self.open.retain(|_, connection| connection.end > now);
        accepted
    }

    fn timeout_ms(&self) -> Option<u64> {
        let next = self.open.values().map(|connection| connection.end).min()?;
        let left = next.saturating_duration_since(Instant::now());
        // Rounded up, or the last millisecond would be spent in asking.
        Some(u64::try_from(left.as_micros().div_ceil(1000)).expect("a second at most"))
    }

    fn accept(&mut self, listener: &Mutex<Option<TcpListener>>) -> io::Result<()> {
        let accepted = lock(listener).as_ref().map(TcpListener::accept);
        let stream = match accepted {
            Some(Ok((stream, _))) => stream,
            Some(Err(error))
                if !is_again(&error) && error.kind() != ErrorKind::ConnectionAborted =>
            {
                return Err(error);
            }
            _ => return Ok(()),
        };
        stream.set_nonblocking(true)?;
        if self.open.len() >= OPEN_MAX {
            self.open.pop_first();
        }
        let token = self.next;
        self.next += 1;
        self.poll.add(&stream, token)?;
        let (state, limit) = (State::Asking(Vec::new()), self.limit);
        let end = Instant::now() + limit;
        self.open.insert(token, Connection { stream, state, end, limit });
        // Mostly the request has come with the connection.
        self.go_on(token);
        Ok(())
    }

    fn go_on(&mut self, token: u64) {
        let Some(connection) = self.open.get_mut(&token) else { return };
        let watched = match connection.step(&self.answer) {
            Ok(Step::Wait { write }) => {
                self.poll.modify(&connection.stream, token, !write, write).is_ok()
            }
            // A scraper that goes away is no news.
            Ok(Step::Done) | Err(_) => false,
        };
        if !watched {
            self.open.remove(&token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_from_others() {
        let whole = |method, path| Judged::Whole(Request { method, path });
        let get = whole(b"GET".as_slice(), b"/metrics".as_slice());
        assert_eq!(judge(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), get);
        assert_eq!(judge(b"GET /metrics?a=b HTTP/1.0\n\n"), get);
        assert_eq!(judge(b"HEAD / HTTP/1.1\r\n\r\n"), whole(b"HEAD", b"/"));
        assert_eq!(judge(b"GET /metrics HTTP/1.1\r\nHost: x\r\n"), Judged::Unfinished);
        assert_eq!(judge(b""), Judged::Unfinished);
        for text in ["GARBAGE\n", "\r\n", "GET /\r\n", "get / HTTP/1.1\r\n", "A B HTTP/2.0\r\n"] {
            assert_eq!(judge(text.as_bytes()), Judged::Bad("400 Bad Request"), "{text:?}");
        }
        let long = [b"GET / HTTP/1.1\r\n".as_slice(), &[b'x'; REQUEST_BYTES_MAX]].concat();
        assert_eq!(judge(&long), Judged::Bad("431 Request Header Fields Too Large"));
        assert_eq!(judge(&long[16..]), Judged::Unfinished);
    }

    fn ask(port: u16, text: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
        stream.write_all(text.as_bytes()).expect("room for a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer, and an end");
        answer
    }

    #[test]
    fn the_silent_hold_nobody_up() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let body = "x".repeat(1 << 20);
        let answer = |_: Request<'_>| Reply::plain("200 OK", &body);
        listener.set_nonblocking(true).expect("a socket");
        let waker = Arc::new(Waker::new().expect("descriptors"));
        waker.wake();
        let listener = Mutex::new(Some(listener));
        // A stall of the machine ends nobody.
        const LIMIT: Duration = Duration::from_secs(60);
        let mut http = Http::new(waker, LIMIT, answer).expect("descriptors");
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let asker = scope.spawn(|| {
                let silent: Vec<TcpStream> = (0..OPEN_MAX + 3)
                    .map(|_| TcpStream::connect(("127.0.0.1", port)).expect("it listens"))
                    .collect();
                let began = Instant::now();
                for _ in 0..5 {
                    assert_eq!(ask(port, "HEAD / HTTP/1.0\r\n\r\n").lines().count(), 6);
                    assert!(ask(port, "GET / HTTP/1.0\r\n\r\n").ends_with(&body));
                    assert!(ask(port, "GARBAGE\n").starts_with("HTTP/1.1 400 Bad Request\r\n"));
                }
                let took = began.elapsed();
                over.store(true, std::sync::atomic::Ordering::Relaxed);
                drop(silent);
                // The loop below must see that it is over.
                let _ = TcpStream::connect(("127.0.0.1", port));
                took
            });
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                http.turn(&listener).expect("descriptors");
                assert!(http.open.len() <= OPEN_MAX);
            }
            let took = asker.join().expect("its assertions hold");
            // One after the other they would have had that each.
            assert!(took < LIMIT, "{took:?}");
        });
    }
}
