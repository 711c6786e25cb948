//! Tests of commands as small texts: what clients send, what they get, what replicas are told.
//!
//! ```text
//! > SET k v EX 10                  a request; `b> …` is another client's
//! +OK                              its reply: +status -error :integer "bulk" nil [array], of
//!                                  RESP3 also ~[set] %[map] =verbatim; `(none)`: no reply
//! b< >["message" "c" "m"]        what client b has got without asking, all of it; `b< -`: nothing
//! ~ SET k v PXAT 1700000010000     everything told since the last `~` lines; `~ -`: nothing
//! + 5                              the clock goes on by 5 ms; it begins at 1700000000000
//! ```
//! A script without `~` lines says nothing about the stream. The first SELECT of the stream is
//! left out, as every script begins in database 0.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tandem_base::{Mono, Now, ReplId, ReplOffset, UnixMs};
use tandem_repl::stream::Cursor;
use tandem_resp::{push_request, split_line};

use crate::client::{ClientInfo, Session};
use crate::config::Config;
use crate::intake::Worker;
use crate::node::{Crash, Host, Identity, Level, Mail, Node, NodeOptions, ProcessFacts, ToClient};
use crate::persistence::SnapshotOrder;
use crate::replication::SpoolError;

/// A world in which nothing happens.
#[derive(Default)]
pub(crate) struct Stillness {
    /// What is to be dropped, if that is to wait.
    pub(crate) garbage: Mutex<Option<Vec<Box<dyn Send>>>>,
    /// Bytes in use; 0: what the keys take.
    pub(crate) used_memory: AtomicU64,
}

impl Host for Stillness {
    fn log(&self, _: Level, _: &str) {}
    fn role_changed(&self, _replica: bool) {}

    fn random(&self, bytes: &mut [u8]) {
        bytes.fill(42);
    }
    fn wake(&self, _: usize) {}
    fn clock_ns(&self) -> u64 {
        0
    }
    fn sleep(&self, _: Duration) -> Now {
        Now::default()
    }
    fn start_snapshot(&self, _: SnapshotOrder) {}
    fn save_now(&self, node: &Node, order: SnapshotOrder) -> Result<(), String> {
        assert!(order.produce(node, &mut |_| true));
        Ok(())
    }
    fn load_now(&self, _: &Node) -> Result<(), String> {
        Ok(())
    }
    fn spool_begin(&self) -> Result<(), String> {
        Ok(())
    }
    fn spool_write(&self, _: &[u8]) {}
    fn spool_is_behind(&self) -> bool {
        false
    }
    fn spool_sync(&self) {}
    fn spool_finish(&self) {}
    fn spool_done(&self) -> Option<Result<(), SpoolError>> {
        None
    }
    fn spool_read(&self, _: &mut [u8]) -> Result<usize, String> {
        Ok(0)
    }
    fn spool_abort(&self) {}
    fn process(&self) -> ProcessFacts {
        ProcessFacts::default()
    }
    fn allocator_report(&self) -> String {
        String::new()
    }
    fn purge_memory(&self) -> bool {
        true
    }
    fn used_memory(&self, node: &Node) -> u64 {
        match self.used_memory.load(Ordering::Relaxed) {
            0 => node.keyspace.memory_bytes(),
            bytes => bytes,
        }
    }
    fn mono(&self) -> Mono {
        Mono(0)
    }
    fn exit(&self, code: i32) {
        panic!("exit {code}");
    }
    fn config_changed(&self, node: &Node, name: &str) -> Result<(), String> {
        let refused = name == "port" && node.config().port() == 1;
        if refused { Err("not here".to_owned()) } else { Ok(()) }
    }
    fn rewrite_config(&self, _: &Node, _: bool) -> Result<(), String> {
        Ok(())
    }
    fn read_file(&self, _: &[u8]) -> Result<Vec<u8>, String> {
        Ok(b"user ann on >pw ~* &* +@all\nuser default on nopass ~* &* +@all\n".to_vec())
    }
    fn replace_file(&self, _: &[u8], _: &[u8]) -> Result<(), String> {
        Ok(())
    }
    fn crash(&self, how: Crash) {
        panic!("{how:?}");
    }
    fn drop_later(&self, garbage: Box<dyn Send>) {
        if let Some(waiting) = self.garbage.lock().expect("no test panics here").as_mut() {
            waiting.push(garbage);
        }
    }
}

/// A node with a clock that stands still, and its clients.
pub(crate) struct Shell {
    pub(crate) node: Arc<Node>,
    pub(crate) host: Arc<Stillness>,
    pub(crate) worker: Worker,
    sessions: HashMap<String, Session>,
    stream: Cursor,
}

impl Shell {
    /// A master with a stream, in which database 0 has been selected.
    pub(crate) fn new() -> Shell {
        let now = Now { unix: UnixMs(1_700_000_000_000), mono: Mono(1_000_000) };
        let identity = Identity {
            pid: 1,
            run_id: ReplId::from_random([1; 20]),
            executable: "/tandem".to_owned(),
            config_file: String::new(),
            supervised: false,
        };
        let config = Config::parse(b"enable-debug-command yes").expect("a known directive");
        let options = NodeOptions { gate_slots: 2, workers: 1, config, now, identity };
        let host = Arc::<Stillness>::default();
        let node = Arc::new(Node::new(options, Arc::clone(&host) as Arc<dyn Host>));
        node.stream.activate(ReplOffset(0));
        node.stream.append_with(|writer| writer.select(tandem_base::DbIndex(0)));
        let next = node.stream.end().next_byte();
        let stream = node.stream.cursor_at(next).expect("the stream is active");
        let mut worker = Worker::new(0, 7);
        worker.now = now;
        let mut shell = Shell { node, host, worker, sessions: HashMap::new(), stream };
        shell.advance_ms(0);
        shell
    }

    /// Lets time pass.
    pub(crate) fn advance_ms(&mut self, ms: u64) {
        let now = &mut self.worker.now;
        now.unix.0 += i64::try_from(ms).expect("a short while");
        now.mono = now.mono.plus_ms(ms);
        self.node.keyspace.set_access_time(now.unix);
        self.settle(true);
    }

    /// Does what a worker does between requests: mail, and, if `all`, a look at all who wait.
    fn settle(&mut self, mut all: bool) {
        let Shell { node, worker, sessions, .. } = self;
        loop {
            let mail = node.take_mail(0);
            if mail.is_empty() && !all {
                return;
            }
            all |= mail.iter().any(|mail| matches!(mail, Mail::LookAtBlocked));
            for mail in mail {
                let (Mail::Look(id) | Mail::ToClient(id, _)) = mail else { continue };
                let session = sessions.values_mut().find(|session| session.client.id() == id);
                let Some(session) = session else { continue };
                if let Mail::ToClient(_, ToClient::Answer(answer)) = mail {
                    node.deliver_answer(session, *answer);
                    node.resume(worker, session);
                } else if session.client.info.killed.load(Ordering::Relaxed) {
                    session.client.closing = true;
                    node.client_gone(session);
                } else {
                    go_on_if_free(node, worker, session);
                }
            }
            if std::mem::take(&mut all) {
                let mut sessions: Vec<_> = sessions.values_mut().collect();
                sessions.sort_unstable_by_key(|session| session.client.id());
                for session in sessions {
                    go_on_if_free(node, worker, session);
                }
            }
        }
    }

    /// Sends a request of the first client, written as a line; the reply as scripts show it.
    pub(crate) fn run(&mut self, line: &str) -> String {
        self.run_as("", line)
    }

    /// Sends a request of the client called `client`.
    pub(crate) fn run_as(&mut self, client: &str, line: &str) -> String {
        let words = split_line(line.as_bytes()).expect("quotes close");
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        self.send(client, &words)
    }

    /// Whether a client's connection is to end.
    pub(crate) fn is_closing(&self, client: &str) -> bool {
        self.sessions[client].client.closing
    }

    /// Sends a request of the first client.
    pub(crate) fn run_args(&mut self, words: &[&[u8]]) -> String {
        self.send("", words)
    }

    fn send(&mut self, client: &str, words: &[&[u8]]) -> String {
        let mut request = Vec::new();
        push_request(&mut request, words.iter().copied());
        self.send_bytes(client, &request)
    }

    /// Sends bytes as they are; the reply.
    pub(crate) fn send_bytes(&mut self, client: &str, request: &[u8]) -> String {
        let Shell { node, worker, sessions, .. } = self;
        let session = sessions.entry(client.to_owned()).or_insert_with(|| {
            let id = node.clients.next_id();
            let info = ClientInfo::new(id, 0, 5, String::new(), String::new(), worker.now);
            let info = Arc::new(info);
            node.clients.add(Arc::clone(&info));
            node.new_session(info)
        });
        feed(node, worker, session, request);
        let reply = take_output(session);
        self.end_turn();
        self.settle(false);
        if reply.is_empty() { "(none)".to_owned() } else { reply }
    }

    /// Lets another client send requests, once, while somebody waits to be alone.
    pub(crate) fn meanwhile(&self, requests: &'static [&'static str]) {
        let (node, now) = (Arc::downgrade(&self.node), self.worker.now);
        let once = AtomicBool::new(true);
        self.node.gate.meanwhile(Box::new(move || {
            if !once.swap(false, Ordering::Relaxed) {
                return;
            }
            let node = node.upgrade().expect("it is at work");
            let mut worker = Worker::new(1, 7);
            worker.now = now;
            let id = node.clients.next_id();
            let info = ClientInfo::new(id, 0, 6, String::new(), String::new(), now);
            let mut session = node.new_session(Arc::new(info));
            for line in requests {
                let words = split_line(line.as_bytes()).expect("quotes close");
                let mut request = Vec::new();
                push_request(&mut request, words.iter().map(Vec::as_slice));
                feed(&node, &mut worker, &mut session, &request);
                assert!(!take_output(&mut session).starts_with('-'), "{line}");
            }
        }));
    }

    /// Does what time brings.
    pub(crate) fn cron(&mut self) {
        self.node.cron(&mut self.worker, &mut crate::cron::Cron::default());
        self.settle(true);
    }

    /// Ends the worker's turn: hands out what waits for clients.
    pub(crate) fn end_turn(&mut self) {
        let Shell { node, worker, sessions, .. } = self;
        worker.end_turn(node);
        for session in sessions.values() {
            node.count_client_memory(session, &mut worker.counters, worker.now);
        }
        for run in node.take_pushes(0).runs() {
            for id in run.to() {
                if let Some(session) = sessions.values_mut().find(|s| s.client.id() == *id) {
                    run.write(node, session);
                }
            }
        }
        node.pushes.offered(0);
    }

    /// What a client has got without asking since it was last looked at.
    pub(crate) fn take_pushed(&mut self, client: &str) -> String {
        take_output(self.sessions.get_mut(client).expect("it has sent something"))
    }

    /// A client goes away.
    pub(crate) fn leave(&mut self, client: &str) {
        let mut session = self.sessions.remove(client).expect("it has sent something");
        self.node.client_gone(&mut session);
    }

    /// What replicas have been told since the last call.
    pub(crate) fn take_stream(&mut self) -> Vec<String> {
        let mut bytes = Vec::new();
        for chunk in self.stream.chunks() {
            bytes.extend_from_slice(chunk);
        }
        self.stream.advance(bytes.len());
        let mut told = Vec::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (line, after) = show_request(rest);
            told.push(line);
            rest = after;
        }
        told
    }
}

fn go_on_if_free(node: &Node, worker: &mut Worker, session: &mut Session) {
    if session.client.blocked.is_some() && node.try_unblock(worker.now, session) {
        node.resume(worker, session);
    }
}

/// Hands bytes over as the server does: a large argument goes straight into its place.
fn feed(node: &Node, worker: &mut Worker, session: &mut Session, bytes: &[u8]) {
    const READ_BYTES: usize = 16 << 10;
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(READ_BYTES));
        rest = later;
        let Some(large) = &mut session.input.large else {
            node.receive(worker, session, now);
            continue;
        };
        let (own, beyond) = now.split_at(now.len().min(large.missing()));
        large.bytes.extend_from_slice(own);
        if large.missing() == 0 {
            node.large_arrived(worker, session);
        }
        if !beyond.is_empty() {
            node.receive(worker, session, beyond);
        }
    }
}

/// All that waits to be sent, as scripts show it: one reply for each request, and pushes.
fn take_output(session: &mut Session) -> String {
    let bytes = session.out.to_vec();
    session.out.clear();
    let mut rest = bytes.as_slice();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (part, after) = show(rest);
        parts.push(part);
        rest = after;
    }
    parts.join(" ")
}

fn line(bytes: &[u8]) -> (&str, &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n").expect("a whole line");
    (std::str::from_utf8(&bytes[..end]).expect("ASCII"), &bytes[end + 2..])
}

/// The first reply in `bytes`, and what follows it.
fn show(bytes: &[u8]) -> (String, &[u8]) {
    let (head, mut rest) = line(bytes);
    match head.as_bytes()[0] {
        b'$' | b'*' if &head[1..] == "-1" => ("nil".to_owned(), rest),
        b'_' => ("nil".to_owned(), rest),
        kind @ (b'$' | b'=') => {
            let length: usize = head[1..].parse().expect("a length");
            assert_eq!(&rest[length..length + 2], b"\r\n");
            let sign = if kind == b'$' { "" } else { "=" };
            (format!("{sign}\"{}\"", rest[..length].escape_ascii()), &rest[length + 2..])
        }
        kind @ (b'*' | b'%' | b'~' | b'>') => {
            let mut parts = Vec::new();
            let count: usize = head[1..].parse().expect("a count");
            for _ in 0..count * if kind == b'%' { 2 } else { 1 } {
                let (part, after) = show(rest);
                parts.push(part);
                rest = after;
            }
            let sign = if kind == b'*' { "" } else { &head[..1] };
            (format!("{sign}[{}]", parts.join(" ")), rest)
        }
        _ => (head.to_owned(), rest),
    }
}

/// The first request in `bytes` as a line, and what follows it.
fn show_request(bytes: &[u8]) -> (String, &[u8]) {
    let (head, mut rest) = line(bytes);
    let mut words = Vec::new();
    for _ in 0..head[1..].parse::<usize>().expect("a count") {
        let (word, after) = show(rest);
        let plain = word[1..word.len() - 1].to_owned();
        let quoted = plain.is_empty() || plain.contains([' ', '\\']);
        words.push(if quoted { word } else { plain });
        rest = after;
    }
    (words.join(" "), rest)
}

/// Runs a script; see the module's story.
pub(crate) fn check(script: &str) {
    let mut shell = Shell::new();
    let mut told: Option<Vec<String>> = None;
    let mut reply: Option<(String, String)> = None;
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(expected) = line.strip_prefix("~ ") {
            let expected = (expected != "-").then(|| expected.to_owned());
            told.get_or_insert_default().extend(expected);
            continue;
        }
        if let Some(expected) = told.take() {
            assert_eq!(shell.take_stream(), expected, "what replicas are told before {line:?}");
        }
        if let Some((client, request)) =
            line.split_once("> ").filter(|(name, _)| name.chars().all(|c| c.is_ascii_lowercase()))
        {
            assert!(reply.is_none(), "no reply is expected before {line:?}");
            reply = Some((line.to_owned(), shell.run_as(client, request)));
        } else if let Some((client, expected)) =
            line.split_once("< ").filter(|(name, _)| name.chars().all(|c| c.is_ascii_lowercase()))
        {
            let expected = if expected == "-" { "" } else { expected };
            assert_eq!(shell.take_pushed(client), expected, "what {client:?} got before");
        } else if let Some(ms) = line.strip_prefix("+ ") {
            shell.advance_ms(ms.parse().expect("milliseconds"));
        } else {
            let (request, got) = reply.take().expect("a reply follows a request");
            assert_eq!(got, line, "the reply to {request:?}");
        }
    }
    if let Some(expected) = told {
        assert_eq!(shell.take_stream(), expected, "what replicas are told in the end");
    }
}
