//! A second SIGINT ends the process at once. The test starts this program again as the child that
//! handles signals, says when it was asked to end, and does nothing about it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tandem_server::signals::{ShutdownSignal, Signals};

const ROLE: &str = "TANDEM_TEST_ROLE";

/// Not a test of its own: what the child does.
#[test]
fn the_child() {
    if std::env::var_os(ROLE).is_some() {
        let signals = Signals::install(|| {}).expect("signals can be handled");
        println!("ready");
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            if signals.take() == Some(ShutdownSignal::Terminate) {
                println!("asked");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether a signal to the process waits to be taken by one of its threads.
fn is_pending(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let set = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).expect("a line of it");
    set.trim().bytes().any(|digit| digit != b'0')
}

#[test]
fn a_second_sigint_ends_the_process_at_once() {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "the_child", "--nocapture"])
        .env(ROLE, "insist")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program runs");
    let mut lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
    // The harness writes words of its own first.
    assert!(lines.any(|line| line.expect("text").ends_with("ready")));
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id")).expect("not zero");
    kill_process(pid, Signal::HUP).expect("it lives");
    let give_up = Instant::now() + Duration::from_secs(20);
    while is_pending(child.id()) {
        assert!(Instant::now() < give_up, "SIGHUP is not taken");
        std::thread::yield_now();
    }
    // SIGTERM asks, too, but does not insist. That its handler has run is not enough: a SIGINT that
    // is heard before it would be the first to ask.
    for _ in 0..2 {
        kill_process(pid, Signal::TERM).expect("it lives");
        assert!(lines.any(|line| line.expect("text") == "asked"), "SIGTERM was not heard");
    }
    assert_eq!(child.try_wait().expect("our child"), None);
    kill_process(pid, Signal::INT).expect("it lives");
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
}
