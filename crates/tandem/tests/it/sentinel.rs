//! Three stock Sentinels watch a master and two replicas of ours: they find the replicas and each
//! other, promote one when the master is killed under load, tell clients, and make the old master
//! a replica when it comes back.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tandem_harness::{Client, Folder, Server, Value, free_port, require, wait_until, wait_within};

use crate::{start_replica, tandem};

/// A promotion takes `down-after`, a vote and some seconds of INFO; a loaded machine more.
const FAILOVER: Duration = Duration::from_secs(90);

pub(crate) struct Sentinel {
    port: u16,
    folder: Folder,
    child: Child,
}

impl Sentinel {
    /// One that watches the master at port `master` as `set`, of which two must agree, and takes
    /// it for down when it has not answered for so long.
    pub(crate) fn start(master: u16, down_after_ms: u64) -> Sentinel {
        require("redis-sentinel");
        for _ in 0..5 {
            let mut sentinel = Sentinel::spawn(master, down_after_ms);
            let mut has_ended = false;
            wait_until("a Sentinel answers", || {
                has_ended = sentinel.child.try_wait().expect("our own child").is_some();
                // It says so when the port is its own.
                has_ended || sentinel.log().contains("+monitor") && sentinel.ask("PING").is_some()
            });
            if !has_ended {
                return sentinel;
            }
            // Somebody may have taken the port between our look and the bind.
            assert!(sentinel.log().contains("ddress already in use"), "{}", sentinel.log());
        }
        panic!("no free port found");
    }

    fn spawn(master: u16, down_after_ms: u64) -> Sentinel {
        let (port, folder) = (free_port(), Folder::new());
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nlogfile {}\n\
             sentinel monitor set 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds set {down_after_ms}\n\
             sentinel failover-timeout set 10000\n",
            folder.path().display(),
            folder.file("log"),
        );
        std::fs::write(folder.file("conf"), text).expect("our own folder is writable");
        let output = File::create(folder.file("output")).expect("our own folder is writable");
        let mut command = Command::new("redis-sentinel");
        command.arg(folder.file("conf")).stdin(Stdio::null()).stdout(output);
        let child = command.stderr(Stdio::null()).spawn().expect("it was there a moment ago");
        Sentinel { port, folder, child }
    }

    fn ask(&self, line: &str) -> Option<Value> {
        let words: Vec<&str> = line.split(' ').collect();
        Client::try_connect(self.port).ok()?.try_cmd(&words).ok()
    }

    /// What it says of the master under `name`.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let words: Vec<String> = match self.ask("SENTINEL master set")? {
            Value::Array(words) => words.iter().map(Value::text).collect(),
            _ => return None,
        };
        words.chunks(2).find(|pair| pair[0] == name).map(|pair| pair[1].clone())
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.file("log")).unwrap_or_default()
    }

    /// Where clients are told that the master is.
    fn master(&self) -> Option<u16> {
        let Value::Array(parts) = self.ask("SENTINEL get-master-addr-by-name set")? else {
            return None;
        };
        parts.get(1)?.text().parse().ok()
    }

    /// How many instances of a kind (`replicas`, `sentinels`) it knows of that are not down.
    fn known(&self, kind: &str) -> usize {
        let Some(Value::Array(all)) = self.ask(&format!("SENTINEL {kind} set")) else { return 0 };
        let is_up = |one: &&Value| {
            let words: Vec<String> = one.items().iter().map(Value::text).collect();
            let flags = words.chunks(2).find(|pair| pair[0] == "flags").map(|pair| pair[1].clone());
            flags.is_some_and(|flags| !flags.contains("down") && !flags.contains("disconnected"))
        };
        all.iter().filter(is_up).count()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.file("log")).unwrap_or_default();
            eprintln!("---- Sentinel at port {}:\n{log}\n----", self.port);
        }
    }
}

/// Writes to whoever a Sentinel says is the master, until told to stop; counts what was
/// acknowledged.
fn write_until(sentinels: &[u16], stop: &AtomicBool, written: &AtomicU64) {
    let mut turn = 0;
    while !stop.load(Ordering::SeqCst) {
        turn += 1;
        let ask = Client::try_connect(sentinels[turn % sentinels.len()]);
        let told = ask.and_then(|mut c| c.try_cmd(&["SENTINEL", "get-master-addr-by-name", "set"]));
        let port = match told {
            Ok(Value::Array(parts)) => parts.get(1).and_then(|port| port.text().parse().ok()),
            _ => None,
        };
        if let Some(Ok(mut client)) = port.map(Client::try_connect) {
            client.set_patience(Duration::from_secs(2));
            while !stop.load(Ordering::SeqCst) {
                let number = written.load(Ordering::SeqCst).to_string();
                let answer = client.try_cmd(&["SET", &format!("key:{number}"), &number]);
                if !matches!(answer, Ok(Value::Simple(_))) {
                    break;
                }
                written.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A line of its INFO. Nothing while Sentinel, with the order to take another role, closes the
/// connections of all its clients: ours may be among them.
fn info(server: &Server, name: &str) -> Option<String> {
    let text = Client::try_connect(server.port()).ok()?.try_cmd(&["INFO"]).ok()?.text();
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
}

/// Whether both hold the same at the same offset, and not nothing; no, too, where one does not say.
fn holds_the_same(master: &Server, replica: &Server) -> bool {
    let digest = |server: &Server| {
        Some(Client::try_connect(server.port()).ok()?.try_cmd(&["DEBUG", "DIGEST"]).ok()?.text())
    };
    let [of_master, of_replica] =
        [master, replica].map(|s| (info(s, "master_repl_offset"), digest(s)));
    of_master == of_replica && of_master.1.is_some_and(|digest| digest != "0".repeat(40))
}

fn is_master(server: &Server) -> bool {
    info(server, "role").as_deref() == Some("master")
}

#[test]
fn sentinels_promote_a_replica_and_bring_the_old_master_back() {
    let mut master = Server::start(&tandem(2), &[]);
    let replicas = [
        start_replica(&tandem(1), master.port(), &[]),
        start_replica(&tandem(2), master.port(), &[]),
    ];
    let sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::start(master.port(), 1000)).collect();
    wait_within(FAILOVER, "all know all", || {
        sentinels.iter().all(|s| s.known("replicas") == 2 && s.known("sentinels") == 2)
    });

    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let ports: Vec<u16> = sentinels.iter().map(|s| s.port).collect();
    let writer = std::thread::spawn({
        let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
        move || write_until(&ports, &stop, &written)
    });
    wait_within(FAILOVER, "the load writes", || written.load(Ordering::SeqCst) > 200);
    master.kill();

    let old = master.port();
    wait_within(FAILOVER, "all tell of another master", || {
        sentinels.iter().all(|s| s.master().is_some_and(|port| port != old))
    });
    let before = written.load(Ordering::SeqCst);
    wait_within(FAILOVER, "the load goes on", || written.load(Ordering::SeqCst) > before + 200);
    // On a slow machine one failover may follow another: what counts is where it ends.
    wait_within(FAILOVER, "a replica has taken the master's place", || {
        replicas.iter().any(|r| Some(r.port()) == sentinels[0].master() && is_master(r))
    });

    master.start_again(&[]);
    let all = [&master, &replicas[0], &replicas[1]];
    let before = written.load(Ordering::SeqCst);
    wait_within(FAILOVER, "the load goes on", || written.load(Ordering::SeqCst) > before + 200);
    stop.store(true, Ordering::SeqCst);
    writer.join().expect("the writer does not panic");
    wait_within(FAILOVER, "the old master is one of two that follow", || {
        let port = sentinels[0].master();
        let agree = sentinels.iter().all(|s| s.master() == port);
        let Some(at) = all.iter().position(|server| Some(server.port()) == port) else {
            return false;
        };
        let follows = |server: &Server| {
            info(server, "master_port") == Some(all[at].port().to_string())
                && info(server, "master_link_status").as_deref() == Some("up")
                && holds_the_same(all[at], server)
        };
        let others = all.iter().enumerate().filter(|(other, _)| *other != at);
        agree
            && is_master(all[at])
            && others.map(|(_, server)| server).all(|server| follows(server))
    });
    wait_within(FAILOVER, "all know both replicas", || {
        sentinels.iter().all(|s| s.known("replicas") == 2)
    });
}
