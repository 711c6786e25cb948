//! Becoming a service: into the background, or under a supervisor.
//!
//! ```text
//! configuration ─► Supervisor::of ─► none and daemonize? ─► daemonize (fork; no threads yet)
//!                                 ─► start everything ─► notify(READY=1), the starter is told
//! ```
//!
//! The umask stays what it was.
#![allow(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use rustix::pipe::PipeFlags;
use rustix::process::{Signal, getpid, kill_process, setsid};
use tandem_engine::config::{LogLevel, Supervised};

use crate::log_sink::LogSink;

/// Whoever started a server that goes into the background: waits until it serves, or has failed.
#[must_use = "without a word the start has failed"]
pub struct Starter(OwnedFd);

impl Starter {
    /// The server serves.
    pub fn tell(self) {
        // One who is gone need not be told.
        let _ = rustix::io::write(&self.0, b"!");
    }
}

/// Goes into the background: this function returns in a child of its own session whose standard
/// input, output and error are `/dev/null`. The caller's process ends with status 0 when the child
/// says that it serves, and with 1 when it ends without having said so.
///
/// # Errors
/// The system's, when there can be no child; then nothing has changed.
///
/// # Panics
/// If the process has more than one thread, because the others would be missing in the child.
pub fn daemonize() -> io::Result<Starter> {
    assert_eq!(thread_count()?, 1, "only a process with one thread may fork");
    let (hears, tells) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // SAFETY: there is one thread, so the child has everything that the parent had, and no lock
    // is held by a thread that is gone.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => drop(hears),
        _ => {
            drop(tells);
            let told = rustix::io::retry_on_intr(|| rustix::io::read(&hears, &mut [0]));
            std::process::exit(if told == Ok(1) { 0 } else { 1 });
        }
    }
    setsid()?;
    if let Ok(null) = std::fs::File::options().read(true).write(true).open("/dev/null") {
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
    }
    Ok(Starter(tells))
}

/// How many threads this process has.
fn thread_count() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Enters the folder that `dir` names.
///
/// # Errors
/// The system's words, as `No such file or directory`.
pub fn change_dir(dir: &[u8]) -> Result<(), String> {
    std::env::set_current_dir(Path::new(OsStr::from_bytes(dir))).map_err(|error| os_words(&error))
}

/// The system's words for an error, without Rust's number behind them.
pub fn os_words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// Who watches over this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Supervisor {
    /// Nobody.
    None,
    /// Upstart, which was told.
    Upstart,
    /// systemd, which listens at this socket.
    Systemd(Vec<u8>),
}

impl Supervisor {
    /// Finds out from `supervised` and the environment, and tells Upstart or systemd that we
    /// are on the way. A supervised process must not [`daemonize`].
    pub fn of(supervised: Supervised, log: &LogSink) -> Supervisor {
        let upstart = std::env::var_os("UPSTART_JOB").is_some();
        let socket = std::env::var_os("NOTIFY_SOCKET").map(|path| path.as_bytes().to_vec());
        let supervised = match supervised {
            Supervised::Auto if upstart => {
                log.log(LogLevel::Verbose, "Upstart supervision detected.");
                Supervised::Upstart
            }
            Supervised::Auto if socket.is_some() => {
                log.log(LogLevel::Verbose, "Systemd supervision detected.");
                Supervised::Systemd
            }
            other => other,
        };
        match supervised {
            Supervised::Upstart => Supervisor::upstart(upstart, log),
            Supervised::Systemd => Supervisor::systemd(socket, log),
            Supervised::Auto | Supervised::No => Supervisor::None,
        }
    }

    /// Upstart waits for a process that stops itself once.
    fn upstart(is_there: bool, log: &LogSink) -> Supervisor {
        if !is_there {
            let text = "upstart supervision requested, but UPSTART_JOB not found!";
            log.log(LogLevel::Warning, text);
            return Supervisor::None;
        }
        log.log(LogLevel::Notice, "supervised by upstart, will stop to signal readiness.");
        let _ = kill_process(getpid(), Signal::STOP);
        Supervisor::Upstart
    }

    fn systemd(socket: Option<Vec<u8>>, log: &LogSink) -> Supervisor {
        let Some(socket) = socket else {
            let text = "systemd supervision error: NOTIFY_SOCKET not found!";
            log.log(LogLevel::Warning, text);
            return Supervisor::None;
        };
        let supervisor = Supervisor::Systemd(socket);
        if !supervisor.notify("STATUS=Redis is loading...\n", log) {
            return Supervisor::None;
        }
        log.log(
            LogLevel::Notice,
            "Supervised by systemd. Please make sure you set appropriate values for \
             TimeoutStartSec and TimeoutStopSec in your service unit.",
        );
        supervisor
    }

    /// Whether anybody watches.
    pub fn is_there(&self) -> bool {
        *self != Supervisor::None
    }

    /// Tells systemd something: `READY=1`, `STATUS=...`, `STOPPING=1`, each ended by a line
    /// end. Nobody else is told. Whether it worked.
    pub fn notify(&self, state: &str, log: &LogSink) -> bool {
        let Supervisor::Systemd(socket) = self else { return false };
        match send_state(socket, state) {
            Ok(()) => true,
            Err(error) => {
                let text = format!("systemd supervision error: sd_notify: {}", os_words(&error));
                log.log(LogLevel::Warning, text);
                false
            }
        }
    }
}

/// One datagram to the socket of `NOTIFY_SOCKET`; an `@` in front makes an abstract name.
fn send_state(socket: &[u8], state: &str) -> io::Result<()> {
    let address = match socket {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str) -> (UnixDatagram, Supervisor) {
        let id = std::process::id();
        let abstract_name = format!("tandem-notify-{name}-{id}");
        let address = SocketAddr::from_abstract_name(&abstract_name).expect("a short name");
        let socket = UnixDatagram::bind_addr(&address).expect("a free name");
        (socket, Supervisor::Systemd(format!("@{abstract_name}").into()))
    }

    #[test]
    fn systemd_is_told() {
        let (socket, supervisor) = told("ready");
        let log = LogSink::new();
        assert!(supervisor.is_there() && supervisor.notify("READY=1\n", &log));
        let mut got = [0; 64];
        let length = socket.recv(&mut got).expect("a datagram");
        assert_eq!(&got[..length], b"READY=1\n");
    }

    #[test]
    fn a_socket_in_the_file_system_works_too() {
        let path = std::env::temp_dir().join(format!("tandem-notify-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).expect("a free path");
        send_state(path.as_os_str().as_bytes(), "STATUS=x\n").expect("somebody listens");
        let mut got = [0; 64];
        let length = socket.recv(&mut got).expect("a datagram");
        assert_eq!(&got[..length], b"STATUS=x\n");
        std::fs::remove_file(&path).expect("it was there");
    }

    #[test]
    fn without_a_supervisor_nobody_is_told() {
        let log = LogSink::new();
        log.set_file(b"/dev/null");
        assert_eq!(Supervisor::of(Supervised::No, &log), Supervisor::None);
        assert!(!Supervisor::None.notify("READY=1\n", &log));
        let nobody = Supervisor::Systemd(b"/nonexistent/socket".to_vec());
        assert!(!nobody.notify("READY=1\n", &log));
        assert_eq!(Supervisor::systemd(None, &log), Supervisor::None);
        assert_eq!(Supervisor::upstart(false, &log), Supervisor::None);
    }

    #[test]
    fn errors_have_the_words_of_the_system() {
        let error = change_dir(b"/nonexistent").expect_err("no such folder");
        assert_eq!(error, "No such file or directory");
        assert_eq!(os_words(&io::Error::other("own words")), "own words");
    }

    #[test]
    #[should_panic(expected = "only a process with one thread may fork")]
    fn a_process_with_threads_is_not_forked() {
        // The test runner's own thread is the second one.
        let _ = daemonize();
    }
}
