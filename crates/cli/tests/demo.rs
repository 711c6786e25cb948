//! The demonstration with stock servers: it succeeds, it fails when it must, and it leaves
//! nothing behind.

mod common;

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use common::example;

fn demo(temp: &Path, args: &[&str]) -> Command {
    std::fs::create_dir_all(temp).expect("a folder for the test");
    let mut command = Command::new(example("demo"));
    command.args(args).env("TMPDIR", temp).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn temp(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("tandem-demo-test-{name}-{}", std::process::id()))
}

/// The folder is empty, and the servers that were told of do not listen any more.
fn check_nothing_is_left(temp: &Path, output: &str) {
    assert_eq!(std::fs::read_dir(temp).expect("it is ours").count(), 0);
    let mut ports = 0;
    for line in output.lines() {
        let Some(rest) = line.trim().strip_prefix("redis-cli -p ") else { continue };
        let port: u16 = rest.split(' ').next().and_then(|port| port.parse().ok()).expect("a port");
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "{port} still open");
        ports += 1;
    }
    assert_eq!(ports, 4);
    std::fs::remove_dir_all(temp).expect("it is ours");
}

/// A running demonstration whose lines are read as they come.
struct Show {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    text: String,
}

impl Show {
    fn start(temp: &Path, args: &[&str]) -> Show {
        let mut child = demo(temp, args).spawn().expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Show { child, lines, text: String::new() }
    }

    fn read_until(&mut self, part: &str) {
        for line in self.lines.by_ref().map_while(Result::ok) {
            self.text.push_str(&line);
            self.text.push('\n');
            if line.contains(part) {
                return;
            }
        }
        let mut errors = String::new();
        let _ = self.child.stderr.take().expect("it is piped").read_to_string(&mut errors);
        panic!("{part:?} is missing in:\n{}\n{errors}", self.text);
    }

    /// Presses Ctrl-C and returns the exit code.
    fn interrupt(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
        self.read_until("Stopped");
        self.child.wait().expect("it is our child").code()
    }
}

#[test]
fn every_step_happens_with_stock_servers() {
    let temp = temp("steps");
    let mut show = Show::start(&temp, &["--seconds", "100", "--server", "redis-server"]);
    for part in [
        "All links are up; the master has served 2 full",
        "sub-replica  GET demo:greeting = \"hello ",
        "refuses a write: READONLY You can't write against a read only replica.",
        "sync_partial_ok 0 -> 1, sync_full still 2.",
        "sync_full 2 -> 3.",
        "equal on all 5 servers, at equal offsets.",
        "Everything shown above has happened.",
        " lag ",
    ] {
        show.read_until(part);
    }
    assert_eq!(show.interrupt(), Some(0), "everything was shown");
    check_nothing_is_left(&temp, &show.text);
}

#[test]
fn ctrl_c_stops_all_servers() {
    let temp = temp("interrupt");
    let mut show = Show::start(&temp, &["--server", "redis-server"]);
    show.read_until("Cutting the link");
    let code = show.interrupt();
    // Who comes late has seen all of it.
    let is_whole = show.text.contains("Everything shown above has happened.");
    assert_eq!(code, Some(if is_whole { 0 } else { 1 }), "{}", show.text);
    check_nothing_is_left(&temp, &show.text);
}

#[test]
fn what_does_not_happen_is_a_failure() {
    let temp = temp("failure");
    let started = |args: &[&str]| demo(&temp, args).output().expect("it runs");
    for (args, reason) in [
        (&["--server", "/nonexistent/server"][..], "cannot start /nonexistent/server"),
        (&["--server", "/bin/false"], "master does not start: it ended with"),
        (&["--server", "redis-server", "--seconds", "0"], "the time is over"),
        (&["--nonsense"], "Usage: tandem demo"),
    ] {
        let output = started(args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(errors.contains(reason), "{args:?}: {errors}");
    }
    assert_eq!(std::fs::read_dir(&temp).expect("it is ours").count(), 0);
    std::fs::remove_dir_all(&temp).expect("it is ours");
}

#[test]
fn a_terminal_gets_a_picture_redrawn_in_place() {
    let temp = temp("terminal");
    std::fs::create_dir_all(&temp).expect("a folder for the test");
    // exec: some shells stay between, and take a Ctrl-C as their own end.
    let command = format!("exec {} --server redis-server", example("demo").display());
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("TMPDIR", &temp)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script(1) must be installed for this test");
    let mut keys = child.stdin.take().expect("it is piped");
    let mut screen = child.stdout.take().expect("it is piped");
    let mut shown = String::new();
    let mut piece = [0; 4096];
    let mut pressed = false;
    while let Ok(got @ 1..) = screen.read(&mut piece) {
        shown.push_str(&String::from_utf8_lossy(&piece[..got]));
        // Two pictures in place, then Ctrl-C; those from before all ports were told do not count.
        let story = shown.split_once("2. Writing through").map_or("", |(_, story)| story);
        if !pressed && story.matches("\x1b[6A\x1b[J").count() >= 2 {
            keys.write_all(b"\x03").expect("the terminal takes keys");
            pressed = true;
        }
    }
    assert_eq!(child.wait().expect("it is our child").code(), Some(1), "{shown}");
    assert!(shown.contains("\u{2502}  \u{2514}\u{2500} sub-replica"), "{shown}");
    check_nothing_is_left(&temp, &shown);
}
