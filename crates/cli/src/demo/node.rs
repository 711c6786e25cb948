//! One server of the demonstration: a child process, and a connection to it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tandem_resp::reply::ReplyValue;

use super::ServerCommand;
use super::facts::Facts;
use crate::client::{Address, Client, ClientError, connect_when_ready};

/// How long a server may take to answer its first PING.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// How long a server may take to answer anything else.
const CALL_PATIENCE: Duration = Duration::from_secs(5);
/// How long a server may take to end when asked to.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// Another program may take a port between our choice and the server's start.
const PORT_TRIES: u32 = 5;

/// A running server.
pub(super) struct Node {
    pub(super) name: &'static str,
    pub(super) port: u16,
    /// The index of the node that this one replicates.
    pub(super) master: Option<usize>,
    child: Child,
    client: Option<Client>,
}

impl Node {
    /// Starts a server in `dir` and waits until it answers; `master` is the index and the port
    /// of the node to replicate.
    pub(super) fn start(
        command: &ServerCommand,
        dir: &Path,
        name: &'static str,
        master: Option<(usize, u16)>,
    ) -> Result<Node, String> {
        let mut problem = String::new();
        for _ in 0..PORT_TRIES {
            let port = free_port()?;
            let log = dir.join(format!("{name}.log"));
            let child = spawn(command, dir, &log, name, port, master.map(|(_, port)| port))?;
            let master = master.map(|(index, _)| index);
            let mut node = Node { name, port, master, child, client: None };
            match node.wait_for_start() {
                Ok(()) => return Ok(node),
                Err(text) => problem = format!("{name} does not start: {text}{}", tail(&log)),
            }
            node.stop();
        }
        Err(problem)
    }

    fn address(&self) -> Address {
        Address::Tcp("127.0.0.1".to_owned(), i32::from(self.port))
    }

    fn wait_for_start(&mut self) -> Result<(), String> {
        let give_up = Instant::now() + START_PATIENCE;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended with {status}"));
            }
            match connect_when_ready(&self.address(), Duration::from_millis(100)) {
                Ok(client) => {
                    self.client = Some(client);
                    return self.check_identity();
                }
                Err(error) if Instant::now() > give_up => return Err(error.to_string()),
                Err(_) => {}
            }
        }
    }

    /// Makes sure that it is our child who answers on this port.
    fn check_identity(&mut self) -> Result<(), String> {
        let facts = self.facts().map_err(|error| error.to_string())?;
        match facts.process_id {
            Some(id) if id != u64::from(self.child.id()) => {
                Err(format!("another server has port {}", self.port))
            }
            _ => Ok(()),
        }
    }

    /// Sends a command and reads its reply, connecting again once when needed.
    pub(super) fn call(&mut self, args: &[&str]) -> Result<ReplyValue, ClientError> {
        if let Some(client) = &mut self.client {
            match client.call(args) {
                Err(error) if error.peer_is_gone() => self.client = None,
                other => return other,
            }
        }
        let mut client = Client::connect(&self.address(), Some(CALL_PATIENCE))?;
        let reply = client.call(args);
        self.client = Some(client);
        reply
    }

    /// What the server says about itself now.
    pub(super) fn facts(&mut self) -> Result<Facts, ClientError> {
        let reply = self.call(&["INFO"])?;
        let text = String::from_utf8_lossy(reply.as_bytes().unwrap_or_default());
        Ok(Facts::parse(&text))
    }

    /// Asks the server to end, and ends it when it does not.
    pub(super) fn stop(&mut self) {
        self.client = None;
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // The process is our child and not yet waited for, so its number is still its own.
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        let give_up = Instant::now() + STOP_PATIENCE;
        while Instant::now() < give_up {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> Result<u16, String> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("there is no free port: {error}"))
}

fn spawn(
    command: &ServerCommand,
    dir: &Path,
    log: &Path,
    name: &str,
    port: u16,
    master_port: Option<u16>,
) -> Result<Child, String> {
    use std::os::unix::process::CommandExt;
    let mut child = Command::new(&command.program);
    child
        .args(&command.first_args)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(["--dbfilename", &format!("{name}.rdb"), "--dir"])
        .arg(dir)
        .arg("--logfile")
        .arg(log)
        // A new replica need not wait for others, and idle links still show that they live.
        .args(["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C in our terminal is for us: we stop the servers in our own order.
        .process_group(0);
    if let Some(master_port) = master_port {
        child.args(["--replicaof", "127.0.0.1", &master_port.to_string()]);
    }
    child.spawn().map_err(|error| format!("cannot start {}: {error}", command.program.display()))
}

/// The last lines of a log, for a report of failure.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(5)..];
    last.iter().map(|line| format!("\n  {line}")).collect()
}

/// A folder that is removed with everything in it.
pub(super) struct TempDir {
    pub(super) path: PathBuf,
}

impl TempDir {
    pub(super) fn new() -> Result<TempDir, String> {
        let unique = format!("tandem-demo-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir(&path)
            .map_err(|error| format!("cannot make the folder {}: {error}", path.display()))?;
        Ok(TempDir { path })
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
