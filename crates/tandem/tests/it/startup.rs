//! What is refused at the start: the same files and command lines are given to stock Redis, and
//! what both print must be the same.

use std::os::unix::process::CommandExt;

use tandem_harness::{Client, Folder, Kind, Server};

use crate::pairs::for_each_kind;
use crate::{redis, tandem};

for_each_kind!(
    bad_files_are_refused_with_line_and_text,
    bad_command_lines_are_refused,
    a_port_in_use_is_refused,
    a_configuration_is_told_of_wherever_it_stands,
    a_file_says_all_that_a_command_line_says,
);

/// What is printed without what differs by time, place and program.
fn essence(output: &str) -> Vec<String> {
    let lines = output.lines().map(str::trim).filter(|l| !l.is_empty());
    // Log lines carry a process id and a time; what they say begins at the seventh word.
    let said = lines.map(|l| if is_log(l) { l.splitn(7, ' ').nth(6).unwrap_or("") } else { l });
    let told = said.filter(|l| !l.contains("oO0Oo") && !l.starts_with("Redis version="));
    told.map(ToString::to_string).collect()
}

fn is_log(line: &str) -> bool {
    let head: Vec<&str> = line.splitn(3, ' ').collect();
    head.len() == 3
        && head[0].contains(':')
        && head[1].len() == 2
        && head[0].as_bytes()[0].is_ascii_digit()
}

fn refused_alike(kind: &Kind, text: Option<&str>, args: &[&str]) {
    let folder = Folder::new();
    let file = folder.file("redis.conf");
    if let Some(text) = text {
        std::fs::write(&file, text).expect("our own folder is writable");
    }
    let mut all: Vec<&str> = if text.is_some() { vec![&file] } else { Vec::new() };
    all.extend(args);
    let (want_code, want) = Server::run_in_vain(&redis(), &folder, &all);
    let (code, got) = Server::run_in_vain(kind, &folder, &all);
    assert_eq!(essence(&got), essence(&want), "{text:?} {args:?}");
    assert_eq!(code, want_code, "{text:?} {args:?}");
    assert_eq!(code, Some(1));
}

fn bad_files_are_refused_with_line_and_text(kind: &Kind) {
    for text in [
        "nonsense yes\n",
        "# comment\n\nport 0\nunheard-of directive\n",
        "port abc\n",
        "port 65536\n",
        "port\n",
        "port 1 2\n",
        "port -1\n",
        "loglevel nonsense\n",
        "loglevel \"open\n",
        "replica-read-only maybe\n",
        "slaveof 127.0.0.1\n",
        "replicaof 127.0.0.1 abc\n",
        "replicaof 127.0.0.1 65536\n",
        "repl-timeout 0\n",
        "repl-backlog-size 1x\n",
        "save 900\n",
        "save abc 1\n",
        "save 0 1\n",
        "dir /nonexistent-folder\n",
        "include /nonexistent-file\n",
        "client-output-buffer-limit nonsense 0 0 0\n",
        "client-output-buffer-limit normal 0 0\n",
        "maxmemory -1\n",
        "hz abc\n",
        "databases abc\n",
        "rename-command GET\n",
        "rename-command NONSENSE x\n",
        "dbfilename a/b\n",
    ] {
        refused_alike(kind, Some(text), &[]);
    }
}

fn bad_command_lines_are_refused(kind: &Kind) {
    for args in [
        vec!["--nonsense", "x"],
        vec!["--port", "abc"],
        vec!["--port"],
        vec!["--port", "0", "--replicaof", "127.0.0.1"],
        vec!["--replicaof", "127.0.0.1", "abc"],
        vec!["--loglevel", "nonsense"],
        vec!["--repl-timeout", "0", "--port", "0"],
        vec!["/nonexistent.conf"],
    ] {
        refused_alike(kind, None, &args);
    }
    // What cannot be read is named from the root, in a whole line.
    let folder = Folder::new();
    let (code, got) = Server::run_in_vain(kind, &folder, &["nonexistent.conf"]);
    let path = folder.path().canonicalize().expect("it is there").join("nonexistent.conf");
    let want = format!("can't open config file '{}': No such file or directory\n", path.display());
    assert!(got.ends_with(&want), "{got}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_sentinel_is_refused_by_name_and_by_option() {
    const SENTENCE: &str = "Sentinel is not part of this server; run the redis-sentinel of Redis";
    let folder = Folder::new();
    let file = folder.file("sentinel.conf");
    let text = "port 0\nsentinel monitor mymaster 127.0.0.1 6379 2\n";
    std::fs::write(&file, text).expect("our own folder is writable");
    let (code, output) = Server::run_in_vain(&tandem(1), &folder, &[&file, "--sentinel"]);
    assert_eq!(code, Some(1));
    assert!(output.starts_with(SENTENCE), "{output}");
    for name in ["redis-sentinel", "/usr/bin/tandem-sentinel"] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tandem"));
        let output = command.arg0(name).arg(&file).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{name}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.starts_with(SENTENCE), "{name}: {told}");
    }
}

fn a_configuration_is_told_of_wherever_it_stands(kind: &Kind) {
    // The port stands on the command line.
    let options = Server::start(kind, &[]).log();
    let text = "port {port}\ndir {dir}\nlogfile {dir}/log\n";
    let file = Server::start_with_file(kind, text).log();
    for log in [options, file] {
        assert!(log.contains("# Configuration loaded\n"), "{log}");
        assert!(!log.contains("no config file specified"), "{log}");
    }
}

#[test]
fn checks_that_are_not_here_are_refused_by_name() {
    for (option, what) in
        [("--test-memory", "memory test"), ("--check-system", "check of the system")]
    {
        let (code, output) = Server::run_in_vain(&tandem(1), &Folder::new(), &[option, "9"]);
        assert_eq!(code, Some(1), "{option}");
        let told = format!("The {what} is not part of this server");
        assert!(output.starts_with(&told), "{option}: {output}");
    }
}

fn a_port_in_use_is_refused(kind: &Kind) {
    let holder = Server::start(kind, &[]);
    let folder = Folder::new();
    let args = ["--port", &holder.port().to_string(), "--bind", "127.0.0.1"];
    let (code, output) = Server::run_in_vain(kind, &folder, &args);
    assert_eq!(code, Some(1));
    assert!(output.contains("bind: Address already in use"), "{output}");
    assert!(output.contains("Failed listening on port"), "{output}");
    assert!(!output.contains("Running mode=standalone"), "who reads that may connect: {output}");
    assert_eq!(holder.client().run("PING").text(), "PONG");
}

/// Another's process id file is not touched, and no socket is left that nobody serves.
#[test]
fn a_start_in_vain_leaves_nothing_behind() {
    let folder = Folder::new();
    std::fs::write(folder.file("pid"), "1\n").expect("our own folder is writable");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").port().to_string();
    std::fs::write(folder.file("bad.acl"), "nonsense\n").expect("our own folder is writable");
    let port = tandem_harness::free_port().to_string();
    for (name, value) in [("--metrics-port", taken.as_str()), ("--aclfile", "bad.acl")] {
        let args = ["--dir", &folder.file(""), "--port", &port, name, value];
        let more = ["--unixsocket", &folder.file("sock"), "--pidfile", &folder.file("pid")];
        let (code, output) =
            Server::run_in_vain(&tandem(1), &folder, &[args.as_slice(), &more].concat());
        assert_eq!(code, Some(1), "{name}: {output}");
        let left = std::fs::read_to_string(folder.file("pid")).expect("it was there before");
        assert_eq!(left, "1\n", "{name}");
        assert!(!std::fs::exists(folder.file("sock")).expect("our own folder"), "{name}");
    }
}

/// Whoever starts a server in the background is told by the status whether it serves.
#[test]
fn a_broken_file_is_told_of_by_a_server_in_the_background() {
    let folder = Folder::new();
    std::fs::write(folder.file("dump.rdb"), "REDIS0010 and nonsense").expect("our own folder");
    let port = tandem_harness::free_port().to_string();
    let args = ["--dir", &folder.file(""), "--port", &port, "--daemonize", "yes"];
    let more = ["--unixsocket", &folder.file("sock"), "--pidfile", &folder.file("pid")];
    let log = ["--logfile", &folder.file("log")];
    let args = [args.as_slice(), &more, &log].concat();
    let (code, output) = Server::run_in_vain(&tandem(1), &folder, &args);
    assert_eq!(code, Some(1), "{output}");
    let log = std::fs::read_to_string(folder.file("log")).expect("it has written it");
    assert!(log.contains("Terminating server after rdb file reading failure."), "{log}");
    for left in ["sock", "pid"] {
        assert!(!std::fs::exists(folder.file(left)).expect("our own folder"), "{left}");
    }
    std::fs::remove_file(folder.file("dump.rdb")).expect("our own");
    let (code, output) = Server::run_in_vain(&tandem(1), &folder, &args);
    assert_eq!(code, Some(0), "{output}");
    let number: u16 = port.parse().expect("our own");
    let mut c = Client::connect(number);
    assert_eq!(c.run("PING").text(), "PONG");
    c.send(&["SHUTDOWN"]).expect("a live connection");
    assert_eq!(c.read_to_end().expect("it closes"), b"");
}

fn a_file_says_all_that_a_command_line_says(kind: &Kind) {
    let text = "# a comment\nport {port}\nbind 127.0.0.1\ndir {dir}\nlogfile {dir}/log\n\
                save \"\"\n  requirepass   'a b'\nmaxmemory 10mb\nrepl-backlog-size 2mb\n\
                slave-read-only no\nclient-output-buffer-limit slave 1mb 0 0\nunixsocket {dir}/sock\n";
    let server = Server::start_with_file(kind, text);
    let mut c = Client::connect_unix(&server.file("sock"));
    c.run("AUTH 'a b'").ok();
    for (name, value) in [
        ("maxmemory", "10485760"),
        ("repl-backlog-size", "2097152"),
        ("replica-read-only", "no"),
        ("save", ""),
        ("requirepass", "a b"),
    ] {
        assert_eq!(c.cmd(&["CONFIG", "GET", name]).items()[1].text(), value, "{name}");
    }
    assert_eq!(c.info("config_file"), server.file("server.conf"));
    c.run("CONFIG SET maxmemory 20mb").ok();
    c.run("CONFIG REWRITE").ok();
    let rewritten = std::fs::read_to_string(server.file("server.conf")).expect("it is there");
    assert!(rewritten.starts_with("# a comment\n"), "comments stay:\n{rewritten}");
    assert!(rewritten.contains("maxmemory 20mb"), "{rewritten}");
}
