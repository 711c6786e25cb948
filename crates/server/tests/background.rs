//! Going into the background, shown by a process of its own with one thread: this program has
//! no test harness, because a harness has threads. It starts itself again as the child that goes
//! into the background.
//!
//! What a test runner asks of a harness is in `main`.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{getpid, getsid};
use tandem_server::daemon::daemonize;
use tandem_server::pidfile::PidFile;

const ROLE: &str = "TANDEM_TEST_ROLE";
const PATIENCE: Duration = Duration::from_secs(20);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |option: &str| args.iter().any(|arg| arg == option);
    if std::env::var_os(ROLE).is_some() {
        in_the_background();
    } else if has("--list") {
        if !has("--ignored") {
            println!("a_daemon_lives_on_in_its_own_session: test");
        }
    } else {
        a_daemon_lives_on_in_its_own_session();
    }
}

fn wait_until(what: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !what() {
        assert!(Instant::now() < deadline, "it does not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What the child does, in the folder of the test.
fn in_the_background() {
    let starter = daemonize().expect("one thread");
    if Path::new("in vain").exists() {
        return;
    }
    let path = std::env::current_dir().expect("it exists").join("pid");
    let file = PidFile::create(path.as_os_str().as_bytes(), true).expect("one was named");
    let leads = getsid(None).expect("our own session") == getpid();
    let output = |fd: u32| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
    let outputs: Vec<PathBuf> = (0..3).map(output).collect();
    std::fs::write("report.tmp", format!("{leads} {outputs:?}")).expect("room for it");
    std::fs::rename("report.tmp", "report").expect("room for it");
    starter.tell();
    wait_until(|| Path::new("seen").exists());
    file.remove();
}

fn a_daemon_lives_on_in_its_own_session() {
    let folder = std::env::temp_dir().join(format!("tandem-daemon-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a new folder");
    let start = || {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        let status = command.env(ROLE, "background").current_dir(&folder).status();
        status.expect("this program runs").code()
    };
    std::fs::write(folder.join("in vain"), "").expect("room for it");
    assert_eq!(start(), Some(1), "who starts it learns that it has failed");
    std::fs::remove_file(folder.join("in vain")).expect("our own");
    assert_eq!(start(), Some(0));

    let report = folder.join("report");
    assert!(report.exists(), "the process that was started ends when the daemon is ready");
    let text = std::fs::read_to_string(&report).expect("it is there");
    assert_eq!(text, r#"true ["/dev/null", "/dev/null", "/dev/null"]"#);
    let pid = std::fs::read_to_string(folder.join("pid")).expect("it is there");
    let pid: u32 = pid.trim().parse().expect("a process id");
    assert!(Path::new(&format!("/proc/{pid}")).exists());

    std::fs::write(folder.join("seen"), "").expect("room for it");
    wait_until(|| !folder.join("pid").exists());
    std::fs::remove_dir_all(&folder).expect("it was there");
}
