//! The replication tree of stock servers: a master, two replicas, a replica of one of them,
//! seen from each of them.

mod common;

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::{Server, example};

fn topology(port: u16, args: &[&str]) -> Output {
    Command::new(example("cli"))
        .args(["-p", &port.to_string(), "--topology"])
        .args(args)
        .output()
        .expect("it runs")
}

fn text(port: u16, args: &[&str]) -> String {
    let output = topology(port, args);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn follow(replica: &Server, master: &Server) {
    let command = ["REPLICAOF", "127.0.0.1", &master.port.to_string()];
    replica.client().expect_ok(&command).expect("it follows");
}

/// Waits until the picture from `port` has all of `words`; gives it.
fn wait_for(port: u16, args: &[&str], words: &[&str]) -> String {
    let give_up = Instant::now() + Duration::from_secs(30);
    loop {
        let text = text(port, args);
        if words.iter().all(|word| text.contains(word)) {
            return text;
        }
        assert!(Instant::now() < give_up, "no {words:?} in\n{text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_tree_is_the_same_from_every_node() {
    let [master, left, right, leaf] = ["top-m", "top-l", "top-r", "top-s"].map(|name| {
        let server = Server::start(name);
        let mut client = server.client();
        client.expect_ok(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]).expect("it is set");
        server
    });
    follow(&left, &master);
    follow(&right, &master);
    wait_for(master.port, &[], &[&left.port.to_string(), &right.port.to_string()]);
    follow(&leaf, &left);
    let ports = [&master, &left, &right, &leaf].map(|server| server.port);
    let shown = ports.map(|port| format!("127.0.0.1:{port}"));
    let words: Vec<&str> = shown.iter().map(String::as_str).chain(["lag 0 bytes"]).collect();
    wait_for(master.port, &[], &words);
    for port in ports {
        let give_up = Instant::now() + Duration::from_secs(30);
        while topology(port, &[]).status.code() != Some(0)
            || text(port, &[]).matches("online").count() != 3
        {
            assert!(Instant::now() < give_up, "{}", text(port, &[]));
            std::thread::sleep(Duration::from_millis(50));
        }
        let text = text(port, &[]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[0].starts_with(&shown[0]) && lines[0].contains("master"), "{text}");
        let leaf_at = lines.iter().position(|line| line.contains(&shown[3])).expect("it is there");
        assert!(lines[leaf_at].contains("  └─ "), "{text}");
        assert!(lines[leaf_at - 1].contains(&shown[1]), "{text}");
        let named: Vec<&&str> = lines.iter().filter(|line| line.contains(" *")).collect();
        assert_eq!(named.len(), 1, "{text}");
        assert!(named[0].contains(&format!(":{port} *")), "{text}");
    }
    let json = text(leaf.port, &["--json"]);
    assert_eq!(json.matches("\"state\":\"online\"").count(), 3, "{json}");
    assert_eq!(json.matches("\"lag_bytes\":").count(), 4, "{json}");
    assert_eq!(json.lines().count(), 1);
    let twice = text(leaf.port, &["--json", "-r", "2", "-i", "0.01"]);
    assert_eq!(twice.lines().count(), 2);
}

#[test]
fn what_does_not_answer_is_shown_as_such() {
    let master = Server::start("top-gone-m");
    let replica = Server::start("top-gone-r");
    master.client().expect_ok(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]).expect("set");
    replica.client().expect_ok(&["CONFIG", "SET", "replica-announce-port", "1"]).expect("set");
    follow(&replica, &master);
    // The announced port is nobody's: the master's word is all there is.
    let seen = wait_for(master.port, &[], &["127.0.0.1:1 ", "its master says online"]);
    assert!(seen.contains("unreachable") && seen.contains("Connection refused"), "{seen}");
    assert_eq!(topology(master.port, &[]).status.code(), Some(1));
    // From the replica the chain is found upwards, and the replica itself hangs where it says.
    let seen = text(replica.port, &[]);
    assert!(seen.lines().next().is_some_and(|line| line.contains("master")), "{seen}");
    assert!(seen.contains(&format!(":{} *", replica.port)), "{seen}");
    // With a password that only one of them has.
    replica.client().expect_ok(&["CONFIG", "SET", "replica-announce-port", "0"]).expect("set");
    replica.client().expect_ok(&["CONFIG", "SET", "requirepass", "p"]).expect("set");
    let seen = text(master.port, &[]);
    assert!(seen.contains("unreachable") || seen.contains("NOAUTH"), "{seen}");
    let nobody = topology(common::free_port(), &[]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stdout).contains("unreachable"));
}
