//! What starts a server and watches it: the configuration file that we ship, systemd's socket,
//! syslog's, SIGHUP from a terminal that closes, the CPUs that it may run on.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use tandem_harness::{Client, Folder, Kind, PATIENCE, Server, free_port, wait_until};

use crate::pairs::for_each_kind;
use crate::tandem;

for_each_kind!(systemd_is_told_of_every_state, a_hang_up_means_nothing);

#[test]
fn the_shipped_file_says_the_defaults() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conf/tandem.conf");
    let text = std::fs::read_to_string(shipped).expect("it is shipped");
    let own = "\nport {port}\ndir {dir}\nlogfile {dir}/log\n";
    let with_file = Server::start_with_file(&tandem(1), &format!("{text}{own}"));
    let without = Server::start_with_file(&tandem(1), own);
    let all = |server: &Server| -> BTreeMap<String, String> {
        let reply = server.client().run("CONFIG GET *");
        let pairs = reply.items().chunks(2);
        pairs.map(|pair| (pair[0].text(), pair[1].text())).collect()
    };
    let (mut shipped, mut defaults) = (all(&with_file), all(&without));
    for name in ["port", "dir", "logfile"] {
        assert_ne!(shipped.remove(name), defaults.remove(name), "{name}: they are two servers");
    }
    assert_eq!(shipped, defaults);
    assert!(!with_file.log().contains(" # WARNING"), "{}", with_file.log());
    // It is rewritten without a change: nothing in it differs from what the server does.
    with_file.client().run("CONFIG REWRITE").ok();
    let rewritten = std::fs::read_to_string(with_file.file("server.conf")).expect("it is there");
    let first = text.split_once("\n\n").expect("it begins with a paragraph").0;
    assert!(rewritten.starts_with(first), "comments stay");
}

/// The next datagram's length; a signal on the way means nothing.
fn receive(socket: &UnixDatagram, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.recv(buf) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            end => return end,
        }
    }
}

/// A server that tells the socket at `NOTIFY_SOCKET` of its state.
struct Told {
    child: Child,
    port: u16,
    folder: Folder,
    socket: UnixDatagram,
}

impl Told {
    fn start(kind: &Kind, args: &[&str]) -> Told {
        for _ in 0..5 {
            let mut told = Told::spawn(kind, args);
            let ended = told.wait_for_ready();
            let Some(status) = ended else { return told };
            let log = told.log();
            // Somebody may have taken the port between our look and the bind.
            assert!(log.contains("ddress already in use"), "{status}\n{log}");
        }
        panic!("no free port found");
    }

    /// Waits until it accepts connections; how it ended if it has ended instead.
    fn wait_for_ready(&mut self) -> Option<ExitStatus> {
        let mut ended = None;
        wait_until("it is ready", || {
            ended = self.child.try_wait().expect("our own child");
            ended.is_some() || self.log().contains(" Ready to accept connections")
        });
        ended
    }

    fn spawn(kind: &Kind, args: &[&str]) -> Told {
        let (folder, port) = (Folder::new(), free_port());
        let socket = UnixDatagram::bind(folder.file("notify")).expect("our own folder");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
        let mut command = Command::new(kind.program());
        command.arg0("redis-server").args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--supervised", "systemd", "--logfile", "log"]).args(args);
        command.env("NOTIFY_SOCKET", folder.file("notify")).current_dir(folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        Told { child: child.expect("it is installed"), port, folder, socket }
    }

    /// The next thing that the socket is told.
    fn next(&self) -> String {
        let mut buf = [0; 512];
        let log = || self.log();
        let count = receive(&self.socket, &mut buf).unwrap_or_else(|e| panic!("{e}\n{}", log()));
        String::from_utf8_lossy(&buf[..count]).trim_end().to_owned()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.file("log")).unwrap_or_default()
    }

    fn terminate(&mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(id).status().expect("kill is there").success());
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn systemd_is_told_of_every_state(kind: &Kind) {
    let mut master = Told::start(kind, &["--save", "1 1"]);
    assert_eq!(master.next(), "STATUS=Redis is loading...");
    assert_eq!(master.next(), "STATUS=Ready to accept connections");
    assert_eq!(master.next(), "READY=1");
    let mut c = Client::connect(master.port);
    c.run("SET a 1").ok();
    let args = ["--replicaof", "127.0.0.1", &master.port.to_string(), "--save", ""];
    let replica = Told::start(kind, &args);
    assert_eq!(replica.next(), "STATUS=Redis is loading...");
    let waits =
        "Ready to accept connections in read-only mode. Waiting for MASTER <-> REPLICA sync";
    assert_eq!(replica.next(), format!("STATUS={waits}"));
    assert_eq!(replica.next(), "READY=1");
    let done = "Finished with success. Ready to accept connections in read-write mode.";
    assert_eq!(replica.next(), format!("STATUS=MASTER <-> REPLICA sync: {done}"));
    drop(replica);
    wait_until("the replica is gone", || c.info("connected_slaves") == "0");
    master.terminate();
    assert_eq!(master.next(), "STOPPING=1");
    assert_eq!(master.next(), "STATUS=Saving the final RDB snapshot");
    assert!(master.child.wait().expect("our own child").success());
}

fn a_hang_up_means_nothing(kind: &Kind) {
    let mut server = Server::start(kind, &[]);
    let id = server.pid().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().expect("kill is there").success());
    let field = |name: &str| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(name)).expect("the kernel says");
        u64::from_str_radix(line.split_whitespace().nth(1).expect("a mask"), 16).expect("hex")
    };
    wait_until("the signal has come", || field("ShdPnd:") & 1 == 0);
    assert!((field("SigIgn:") | field("SigCgt:")) & 1 == 1, "it does not end the process");
    assert_eq!(server.client().run("PING").text(), "PONG");
    assert!(server.terminate().success());
    assert!(server.log().contains("Received SIGTERM scheduling shutdown"));
}

/// The CPUs that this process may use.
fn allowed(path: &Path) -> String {
    let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap_or_default().trim().to_owned()
}

/// The first of them.
pub(crate) fn first_cpu() -> String {
    let all = allowed(Path::new("/proc/self"));
    all.split([',', '-']).next().unwrap_or_default().to_owned()
}

#[test]
fn threads_run_where_they_are_told_to() {
    let ours = allowed(Path::new("/proc/self"));
    let ends: Vec<&str> = ours.split([',', '-']).collect();
    let (first, last) = (ends[0], ends[ends.len() - 1]);
    let lists = ["--server_cpulist", first, "--bio_cpulist", last, "--bgsave_cpulist", last];
    let server =
        Server::start(&tandem(2), &[lists.as_slice(), &["--rdb-key-save-delay", "10000"]].concat());
    let mut c = server.client();
    for (name, value) in
        [("server_cpulist", first), ("bio_cpulist", last), ("bgsave_cpulist", last)]
    {
        assert_eq!(c.cmd(&["CONFIG", "GET", name]).items()[1].text(), value);
    }
    c.run("DEBUG POPULATE 10000").ok();
    c.run("BGSAVE");
    let places = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs");
        let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for task in tasks.flatten() {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            places.entry(name.trim().to_owned()).or_default().insert(allowed(&task.path()));
        }
        places
    };
    let only = |cpu: &str| BTreeSet::from([cpu.to_owned()]);
    // Worker 0 is the main thread. Another thread's first act is to go there.
    assert_eq!(allowed(Path::new(&format!("/proc/{}", server.pid()))), first);
    wait_until("the threads are in their places", || {
        let places = places();
        [("worker-1", first), ("lazyfree", last), ("snapshot", last)]
            .iter()
            .all(|(name, cpu)| places.get(*name) == Some(&only(cpu)))
    });
}

/// The bits of one of its sets of signals, by the numbers of the signals less one.
fn signals(thread: &Path, set: &str) -> u64 {
    let status = std::fs::read_to_string(thread.join("status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(set)).expect("Linux says them");
    u64::from_str_radix(line.trim(), 16).expect("a hexadecimal number")
}

/// A worker may be where the kernel interrupts nobody; signals do not wait for it.
#[test]
fn one_thread_takes_the_signals_of_a_shutdown() {
    const HUP_INT_TERM: u64 = 1 | 1 << 1 | 1 << 14;
    let server = Server::start(&tandem(2), &[]);
    let tasks = || std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs");
    wait_until("one thread takes them", || {
        let open = tasks().flatten().map(|task| task.path());
        // One that has just begun has no name yet.
        let open: Vec<String> = open
            .filter(|task| signals(task, "SigBlk:") & HUP_INT_TERM != HUP_INT_TERM)
            .map(|task| std::fs::read_to_string(task.join("comm")).unwrap_or_default())
            .collect();
        open == ["end\n"]
    });
}

/// What syslog gets can be seen only where nobody listens at `/dev/log` and this process may: in
/// a container, mostly. Elsewhere it is tested that the log file gets its lines all the same.
#[test]
fn syslog_gets_the_lines_too() {
    const DOOR: &str = "/dev/log";
    let syslog = match Path::new(DOOR).exists() {
        true => None,
        false => UnixDatagram::bind(DOOR).ok(),
    };
    // The socket holds few lines: they are taken out from the first on.
    let (sender, lines) = channel();
    if let Some(syslog) = &syslog {
        let syslog = syslog.try_clone().expect("a handle can be doubled");
        std::thread::spawn(move || {
            let mut buf = [0; 2048];
            while let Ok(count) = receive(&syslog, &mut buf) {
                if sender.send(String::from_utf8_lossy(&buf[..count]).into_owned()).is_err() {
                    break;
                }
            }
        });
    }
    let args =
        ["--syslog-enabled", "yes", "--syslog-ident", "tandem-test", "--syslog-facility", "local3"];
    let server = Server::start(&tandem(1), &args);
    let ready = "Ready to accept connections";
    server.wait_for_log(ready);
    if syslog.is_none() {
        eprintln!("somebody else listens at {DOOR}: only the log file was looked at");
        return;
    }
    // Local3 is 19, a notice is 5.
    let head = format!("<{}>", 19 * 8 + 5);
    let body = format!("tandem-test[{}]: {ready}", server.pid());
    let is_it =
        |line: &str| line.starts_with(&head) && line.trim_end_matches('\0').ends_with(&body);
    let mut next = || lines.recv_timeout(PATIENCE).ok();
    let found = std::iter::from_fn(&mut next).any(|line| is_it(&line));
    let _ = std::fs::remove_file(DOOR);
    assert!(found, "{head} … {body}");
}
