//! A server process in a folder of its own: started on a free port, waited for, stopped by its
//! process id, and gone (with its folder) when dropped. When a test panics, the end of each
//! server's log is printed.

use std::ffi::OsStr;
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Client, Folder, PATIENCE, Value};

/// Which program a server is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Stock `redis-server`, found on the path.
    Redis,
    /// A server of another family that speaks Redis's protocols and takes its options.
    Peer {
        /// What is started.
        bin: PathBuf,
        /// Options that come before those of a test.
        options: Vec<String>,
    },
    /// Our own binary.
    Tandem {
        /// Where it is.
        bin: PathBuf,
        /// `worker-threads`.
        workers: u32,
    },
}

impl Kind {
    /// Ours, at `bin` unless `TANDEM_BIN` names another. A `redis-server` named there stands in
    /// for us: so the tests themselves are tried with stock Redis at both ends.
    pub fn tandem(bin: &str, workers: u32) -> Kind {
        let bin = std::env::var_os("TANDEM_BIN").map_or_else(|| PathBuf::from(bin), PathBuf::from);
        if bin.file_name() == Some(OsStr::new("redis-server")) {
            return Kind::Redis;
        }
        Kind::Tandem { bin, workers }
    }

    /// Whom ours is paired with: the program that `TANDEM_PEER` names, with the options that
    /// follow it there, or else stock Redis.
    #[track_caller]
    pub fn peer() -> Kind {
        let peer = std::env::var("TANDEM_PEER").unwrap_or_default();
        let mut words = peer.split_whitespace().map(str::to_owned);
        let kind = match words.next() {
            Some(program) => Kind::Peer { bin: program.into(), options: words.collect() },
            None => Kind::Redis,
        };
        require(&kind.program().to_string_lossy());
        kind
    }

    /// Whether this is ours and not a stand-in.
    pub fn is_tandem(&self) -> bool {
        matches!(self, Kind::Tandem { .. })
    }

    /// What is started.
    pub fn program(&self) -> &Path {
        match self {
            Kind::Redis => Path::new("redis-server"),
            Kind::Peer { bin, .. } | Kind::Tandem { bin, .. } => bin,
        }
    }
}

/// Panics unless `program` can be started: a test that needs stock Redis fails without it, it
/// does not skip itself.
#[track_caller]
pub fn require(program: &str) {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    assert!(found.is_ok(), "{program} is needed by this test and was not found");
}

/// How any of them says that somebody else has its port.
const IN_USE: &str = "ddress already in use";

/// A running (or stopped) server and its folder.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    port: u16,
    folder: Folder,
    args: Vec<String>,
    /// Whether the defaults of the tests come before `args`.
    with_defaults: bool,
    /// The text of its configuration file, if it is started from one.
    template: Option<String>,
    child: Option<Child>,
}

impl Server {
    /// Starts one with `args` after the defaults of the tests and waits until it answers PING.
    #[track_caller]
    pub fn start(kind: &Kind, args: &[&str]) -> Server {
        let mut server = Server::prepare(kind, args);
        server.launch();
        server
    }

    /// Starts one from a configuration file's text, in which `{port}` and `{dir}` are replaced,
    /// with nothing but the file's path on its command line.
    #[track_caller]
    pub fn start_with_file(kind: &Kind, text: &str) -> Server {
        Server::start_with_file_on(kind, text, |_| {})
    }

    /// The same in a folder into which `lay` has put files before.
    #[track_caller]
    pub fn start_with_file_on(kind: &Kind, text: &str, lay: impl FnOnce(&Path)) -> Server {
        let folder = Folder::new();
        lay(folder.path());
        let mut server = Server {
            kind: kind.clone(),
            port: free_port(),
            args: vec![folder.file("server.conf")],
            folder,
            with_defaults: false,
            template: Some(text.to_owned()),
            child: None,
        };
        server.launch();
        server
    }

    /// Starts one as [`Server::start`] does, in a folder into which `lay` has put files before.
    #[track_caller]
    pub fn start_on(kind: &Kind, args: &[&str], lay: impl FnOnce(&Path)) -> Server {
        let mut server = Server::prepare(kind, args);
        lay(server.folder.path());
        server.launch();
        server
    }

    /// Runs one that must end by itself with an error, with nothing but `args` on its command
    /// line, in `folder`: how it ended and all that it wrote.
    #[track_caller]
    pub fn run_in_vain(kind: &Kind, folder: &Folder, args: &[&str]) -> (Option<i32>, String) {
        let output = folder.path().join("in-vain");
        let file = File::create(&output).expect("our own folder is writable");
        let mut command = Command::new(kind.program());
        command.arg0("redis-server").args(args).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("a handle can be doubled"));
        let child = command.stderr(file).spawn();
        let mut child = child.unwrap_or_else(|e| panic!("cannot start {:?}: {e}", kind.program()));
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().expect("our own child") {
                break status;
            }
            if Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{kind:?} {args:?} went on, and should not");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let text = std::fs::read(&output).expect("it was just written");
        (status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    fn prepare(kind: &Kind, args: &[&str]) -> Server {
        let folder = Folder::new();
        Server {
            kind: kind.clone(),
            port: free_port(),
            folder,
            args: args.iter().map(|a| (*a).to_string()).collect(),
            with_defaults: true,
            template: None,
            child: None,
        }
    }

    fn spawn(&self) -> Child {
        let mut command = Command::new(self.kind.program());
        command.arg0("redis-server");
        if self.with_defaults {
            command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
            command.args(["--dir", &self.folder.file(""), "--logfile", &self.folder.file("log")]);
            command.args(["--save", "", "--enable-debug-command", "yes"]);
            command.args(["--repl-diskless-sync-delay", "0"]);
        }
        if let Kind::Peer { options, .. } = &self.kind
            && self.with_defaults
        {
            command.args(options);
        }
        command.args(&self.args);
        if let Kind::Tandem { workers, .. } = self.kind {
            command.args(["--worker-threads", &workers.to_string()]);
        }
        let output = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("output"))
            .expect("our own folder is writable");
        let errors = output.try_clone().expect("a file handle can be doubled");
        command.current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        command.spawn().unwrap_or_else(|e| panic!("cannot start {:?}: {e}", self.kind.program()))
    }

    #[track_caller]
    fn launch(&mut self) {
        for _ in 0..5 {
            self.write_file();
            self.child = Some(self.spawn());
            match self.wait_ready(Server::answers) {
                Ok(()) => return,
                // Somebody took the port between our look and the bind.
                Err(text) if text.contains(IN_USE) => {
                    self.port = free_port();
                    for name in ["log", "output"] {
                        let _ = std::fs::remove_file(self.folder.path().join(name));
                    }
                }
                Err(text) => panic!("{:?} did not come up:\n{text}", self.kind),
            }
        }
        panic!("no free port found");
    }

    /// Writes its configuration file, with the port that it has.
    fn write_file(&self) {
        if let Some(text) = &self.template {
            let text = text
                .replace("{port}", &self.port.to_string())
                .replace("{dir}", &self.folder.path().display().to_string());
            std::fs::write(self.file("server.conf"), text).expect("our own folder is writable");
        }
    }

    fn wait_ready(&mut self, is_ready: impl Fn(&Server) -> bool) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let child = self.child.as_mut().expect("it was just started");
            if let Some(status) = child.try_wait().expect("our own child") {
                self.child = None;
                return Err(format!("{status}\n{}", self.output()));
            }
            if is_ready(self) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(format!("no answer to PING\n{}", self.output()))
    }

    /// Whether PING is answered by something that is past loading.
    fn answers(&self) -> bool {
        match self.ping() {
            Some(Value::Error(text)) => !text.starts_with(b"LOADING"),
            Some(_) => true,
            None => false,
        }
    }

    /// What PING is answered within seconds. Who listens there may be somebody else, who says
    /// nothing.
    fn ping(&self) -> Option<Value> {
        let mut client = Client::try_connect(self.port).ok()?;
        client.set_patience(Duration::from_secs(5));
        client.try_cmd(&["PING"]).ok()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:port`, as the logs say it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its program.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Its process id; panics while it is stopped.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running server").id()
    }

    /// The path of `name` in its folder.
    pub fn file(&self, name: &str) -> String {
        self.folder.file(name)
    }

    /// A new connection.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// Its log so far, a peer's in Redis's words: what Redis calls a master others call a primary.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if !matches!(self.kind, Kind::Peer { .. }) {
            return text;
        }
        let words = [("PRIMARY", "MASTER"), ("Primary", "Master"), ("primary", "master")];
        words.iter().fold(text, |text, (theirs, redis)| text.replace(theirs, redis))
    }

    /// Waits until its log holds `text`.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        crate::wait_until(&format!("{text:?} in the log"), || self.log().contains(text));
    }

    /// Log, standard output and standard error together, for a failure's message.
    fn output(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("output")).unwrap_or_default();
        format!("{}{}", self.log(), String::from_utf8_lossy(&bytes))
    }

    /// Makes it follow `port` on this machine.
    #[track_caller]
    pub fn replicate(&self, port: u16) {
        self.client().cmd(&["REPLICAOF", "127.0.0.1", &port.to_string()]).ok();
    }

    /// Waits until its link to its master is up.
    #[track_caller]
    pub fn wait_link_up(&self) {
        let mut client = self.client();
        let what = format!("link up at {}", self.address());
        crate::wait_until(&what, || client.info("master_link_status") == "up");
    }

    /// Sends SIGSTOP and waits until every thread stands: the signal alone is only a promise.
    #[track_caller]
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        crate::wait_until("every thread stands", || self.thread_states().iter().all(|s| *s == 'T'));
    }

    /// The state letter of each thread, as the system shows it.
    fn thread_states(&self) -> Vec<char> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs");
        let stats =
            tasks.flatten().filter_map(|t| std::fs::read_to_string(t.path().join("stat")).ok());
        // The letter follows the name, which stands in parentheses and may hold anything.
        stats
            .filter_map(|s| s.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()))
            .collect()
    }

    /// Sends SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends SIGTERM and waits for the end.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_end()
    }

    /// Sends SIGKILL and waits for the end.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait_end();
    }

    /// SHUTDOWN with `how` (`SAVE`, `NOSAVE`), and waits for the end.
    #[track_caller]
    pub fn shutdown(&mut self, how: &str) -> ExitStatus {
        let answer = self.client().try_cmd(&["SHUTDOWN", how]);
        assert!(answer.is_err(), "SHUTDOWN {how} was refused: {answer:?}");
        self.wait_end()
    }

    /// Starts the stopped server again on its old port and folder, with `more` arguments.
    #[track_caller]
    pub fn start_again(&mut self, more: &[&str]) {
        self.launch_again(more, Server::answers);
    }

    /// The same, and waits only until it answers at all: it may still be loading.
    #[track_caller]
    pub fn start_again_loading(&mut self, more: &[&str]) {
        // An answer, be it that it is loading.
        self.launch_again(more, |server| server.ping().is_some());
    }

    #[track_caller]
    fn launch_again(&mut self, more: &[&str], is_ready: impl Fn(&Server) -> bool) {
        assert!(self.child.is_none(), "it still runs");
        self.args.extend(more.iter().map(|a| (*a).to_string()));
        let end = Instant::now() + PATIENCE;
        loop {
            let said = self.output().matches(IN_USE).count();
            self.child = Some(self.spawn());
            let Err(text) = self.wait_ready(&is_ready) else { return };
            // Somebody has its port, who may go: others must find it where it was.
            let is_taken = text.matches(IN_USE).count() > said && Instant::now() < end;
            assert!(is_taken, "{:?} did not come up again:\n{text}", self.kind);
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait_end(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running server");
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("our own child") {
                return status;
            }
            if Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{:?} did not end in time:\n{}", self.kind, self.output());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.pid()).expect("a process id fits");
        let pid = Pid::from_raw(id).expect("a process id is above zero");
        kill_process(pid, signal).expect("our own child can be signalled");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let output = self.output();
            let lines: Vec<&str> = output.lines().collect();
            let tail = lines[lines.len().saturating_sub(40)..].join("\n");
            eprintln!("---- {:?} at port {}:\n{tail}\n----", self.kind, self.port);
        }
    }
}

/// A port nobody listens on now, below the range from which the kernel takes those of outgoing
/// connections. Test processes run side by side: each starts at a place of its own.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let place = std::process::id().wrapping_mul(7919) % 10_000;
    let place = u16::try_from(place).expect("below 10,000");
    for _ in 0..10_000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (place + step % 10_000) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between 10000 and 20000");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait_until;

    /// Takes a port; [`free_port`] leaves what is taken to others.
    fn take(port: u16) -> TcpListener {
        TcpListener::bind(("127.0.0.1", port)).expect("nobody listens there now")
    }

    #[test]
    fn a_port_that_somebody_has_taken_is_another_or_waited_for() {
        let text = "port {port}\nbind 127.0.0.1\ndir {dir}\nlogfile {dir}/log\n";
        for template in [None, Some(text.to_owned())] {
            let mut server = Server::prepare(&Kind::Redis, &[]);
            if template.is_some() {
                server.args = vec![server.file("server.conf")];
                server.with_defaults = false;
                server.template = template;
            }
            let taken = server.port;
            let other = take(taken);
            server.launch();
            assert_ne!(server.port(), taken);
            assert_eq!(server.client().info("tcp_port"), server.port().to_string());
            assert!(!server.log().contains(IN_USE), "its log begins with its own start");
            drop(other);

            server.shutdown("NOSAVE");
            let (other, port, log) = (take(server.port), server.port, server.file("log"));
            let goes = std::thread::spawn(move || {
                wait_until("it is tried once", || {
                    std::fs::read_to_string(&log).is_ok_and(|log| log.contains(IN_USE))
                });
                drop(other);
            });
            server.start_again(&[]);
            goes.join().expect("it was tried");
            assert_eq!(server.client().info("tcp_port"), port.to_string());
            assert!(server.log().contains(IN_USE), "it was tried before");
        }
    }
}
