//! Where log lines go, in the form that people's tools know:
//!
//! ```text
//! 4711:M 05 Nov 2026 09:30:00.123 * Ready to accept connections
//! ^pid ^role                      ^level: . debug, - verbose, * notice, # warning
//! ```
//!
//! A line is one write, so lines of several threads never mix. The file is opened for each line,
//! which costs microseconds and lets any log rotation move it away at any time; a relative name
//! follows `dir`. It stays open until the next line: when no descriptor is left, which the log
//! ought to say, that line goes where the last one went. Standard output is written through at
//! once. A line that cannot be written is lost: there is nobody to tell.
//!
//! With `syslog-enabled` every line goes to syslog too, without the head, which syslog makes.
#![allow(unsafe_code)]

use std::ffi::{CString, OsString};
use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use tandem_base::{REDIS_VERSION, TANDEM_VERSION};
use tandem_engine::config::{LogLevel, SyslogFacility};

/// What this process is, as its log lines say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// A master.
    Master = b'M',
    /// A replica.
    Replica = b'S',
    /// A child of a server.
    Child = b'C',
}

/// The log of this process.
#[derive(Debug)]
pub struct LogSink {
    /// A [`LogLevel`]: what is less important is not written.
    level: AtomicU8,
    /// A [`Role`].
    role: AtomicU8,
    /// Empty is standard output.
    file: RwLock<PathBuf>,
    /// The file of the last line.
    last: Mutex<Option<File>>,
    /// Lines go to syslog too.
    syslog: AtomicBool,
}

impl Default for LogSink {
    fn default() -> LogSink {
        LogSink {
            level: AtomicU8::new(LogLevel::Notice as u8),
            role: AtomicU8::new(Role::Master as u8),
            file: RwLock::new(PathBuf::new()),
            last: Mutex::new(None),
            syslog: AtomicBool::new(false),
        }
    }
}

impl LogSink {
    /// A log to standard output, from `notice` up.
    pub fn new() -> LogSink {
        LogSink::default()
    }

    /// Writes what is at least as important as `level` from now on.
    pub fn set_level(&self, level: LogLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    /// Says what this process is from now on.
    pub fn set_role(&self, role: Role) {
        self.role.store(role as u8, Ordering::Relaxed);
    }

    /// Writes to this file from now on; an empty name is standard output.
    pub fn set_file(&self, path: &[u8]) {
        let path = PathBuf::from(OsString::from_vec(path.into()));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = path;
    }

    /// Sends lines to syslog too from now on. Call it once.
    pub fn open_syslog(&self, ident: &[u8], facility: SyslogFacility) {
        let ident: Vec<u8> = ident.iter().copied().take_while(|byte| *byte != 0).collect();
        let Ok(ident) = CString::new(ident) else { return };
        let facility = match facility {
            SyslogFacility::User => libc::LOG_USER,
            SyslogFacility::Local0 => libc::LOG_LOCAL0,
            SyslogFacility::Local1 => libc::LOG_LOCAL1,
            SyslogFacility::Local2 => libc::LOG_LOCAL2,
            SyslogFacility::Local3 => libc::LOG_LOCAL3,
            SyslogFacility::Local4 => libc::LOG_LOCAL4,
            SyslogFacility::Local5 => libc::LOG_LOCAL5,
            SyslogFacility::Local6 => libc::LOG_LOCAL6,
            SyslogFacility::Local7 => libc::LOG_LOCAL7,
        };
        let options = libc::LOG_PID | libc::LOG_NDELAY | libc::LOG_NOWAIT;
        // SAFETY: syslog keeps the name, which is leaked for it.
        unsafe { libc::openlog(ident.into_raw(), options, facility) };
        self.syslog.store(true, Ordering::Relaxed);
    }

    fn to_syslog(&self, level: LogLevel, message: &str) {
        let priority = match level {
            LogLevel::Debug => libc::LOG_DEBUG,
            LogLevel::Verbose => libc::LOG_INFO,
            LogLevel::Notice => libc::LOG_NOTICE,
            LogLevel::Warning => libc::LOG_WARNING,
        };
        if let Ok(text) = CString::new(message.replace('\0', " ")) {
            // SAFETY: the format takes one string, which ends with a zero.
            unsafe { libc::syslog(priority, c"%s".as_ptr(), text.as_ptr()) };
        }
    }

    /// Whether a message of this level would be written.
    pub fn wants(&self, level: LogLevel) -> bool {
        level as u8 >= self.level.load(Ordering::Relaxed)
    }

    /// Writes a line.
    pub fn log(&self, level: LogLevel, message: impl Display) {
        if !self.wants(level) {
            return;
        }
        if self.syslog.load(Ordering::Relaxed) {
            self.to_syslog(level, &message.to_string());
        }
        let pid = std::process::id();
        let role = char::from(self.role.load(Ordering::Relaxed));
        let time = local_time(SystemTime::now());
        let sign = sign(level);
        self.write(format!("{pid}:{role} {time} {sign} {message}\n").as_bytes());
    }

    /// Writes text as it is, without the head of a line.
    pub fn raw(&self, level: LogLevel, text: &str) {
        if self.wants(level) {
            self.write(text.as_bytes());
        }
    }

    fn write(&self, line: &[u8]) {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        if file.as_os_str().is_empty() {
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(line).and_then(|()| out.flush());
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match File::options().append(true).create(true).open(&*file) {
            Ok(file) => *last = Some(file),
            Err(error) if is_out_of_descriptors(&error) => {}
            Err(_) => *last = None,
        }
        if let Some(file) = &mut *last {
            let _ = file.write_all(line);
        }
    }
}

fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The sign of a level.
fn sign(level: LogLevel) -> char {
    match level {
        LogLevel::Debug => '.',
        LogLevel::Verbose => '-',
        LogLevel::Notice => '*',
        LogLevel::Warning => '#',
    }
}

/// `05 Nov 2026 09:30:00.123`, in the time zone of the process.
fn local_time(time: SystemTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = libc::time_t::try_from(since.as_secs()).unwrap_or(libc::time_t::MAX);
    // SAFETY: `tm` is a plain C struct of integers and a pointer; all zeros is a value of it.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call, and localtime_r keeps neither. It reads TZ
    // from the environment, which nothing in this process writes.
    let known = !unsafe { libc::localtime_r(&seconds, &mut parts) }.is_null();
    if !known {
        // A year that does not fit. The number is better than nothing.
        return format!("{seconds}.{:03}", since.subsec_millis());
    }
    let month = usize::try_from(parts.tm_mon).ok().and_then(|month| MONTHS.get(month));
    format!(
        "{:02} {} {} {:02}:{:02}:{:02}.{:03}",
        parts.tm_mday,
        month.expect("localtime_r counts months from 0 to 11"),
        i64::from(parts.tm_year) + 1900,
        parts.tm_hour,
        parts.tm_min,
        parts.tm_sec,
        since.subsec_millis()
    )
}

/// The logo of a start: who, how, where. Tools look for its ` PID: ` to know that the process
/// has come up.
pub fn logo(mode: &str, port: u16) -> String {
    let pid = std::process::id();
    let bits = usize::BITS;
    format!(
        r"
        o         o
       /|_/      /|_/         Tandem {TANDEM_VERSION}, speaks Redis {REDIS_VERSION} ({bits} bit)
    ___|_|_______|_|___
   /  \     \   /     /  \    Running in {mode} mode
  |  o |-----\o/-----| o  |   Port: {port}
   \__/               \__/    PID: {pid}

"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a line between which blanks stand.
    fn parts(line: &str) -> Vec<&str> {
        line.splitn(7, ' ').collect()
    }

    #[test]
    fn a_line_has_the_form_of_redis() {
        let path = std::env::temp_dir().join(format!("tandem-log-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let log = LogSink::new();
        log.set_file(path.as_os_str().as_encoded_bytes());
        log.log(LogLevel::Verbose, "not yet");
        log.log(LogLevel::Notice, format_args!("Ready {}", 1));
        log.set_role(Role::Replica);
        log.set_level(LogLevel::Debug);
        log.log(LogLevel::Debug, "a b");
        // Somebody rotates the log.
        let first = std::fs::read_to_string(&path).expect("it was written");
        std::fs::remove_file(&path).expect("it was there");
        log.raw(LogLevel::Warning, "raw\n");
        let second = std::fs::read_to_string(&path).expect("it was written again");
        std::fs::remove_file(&path).expect("it was there");

        let lines: Vec<&str> = first.lines().collect();
        assert_eq!(lines.len(), 2);
        let notice = parts(lines[0]);
        assert_eq!(notice[0], format!("{}:M", std::process::id()));
        assert_eq!(notice[1].len(), 2);
        assert_eq!(notice[3].len(), 4);
        assert_eq!((notice[4].len(), &notice[4][8..9]), (12, "."));
        assert_eq!(&notice[5..], ["*", "Ready 1"]);
        assert!(lines[1].contains(":S ") && lines[1].ends_with(" . a b"), "{}", lines[1]);
        assert_eq!(second, "raw\n");
    }

    #[test]
    fn the_time_is_local() {
        let time = UNIX_EPOCH + std::time::Duration::from_millis(1_700_000_000_042);
        let shown = local_time(time);
        // Whatever the zone is, it is this half hour of this day or one beside it.
        assert!(shown.ends_with(":20.042"), "{shown}");
        assert!(shown.contains(" Nov 2023 "), "{shown}");
    }

    #[test]
    fn the_logo_says_where_we_are() {
        let logo = logo("standalone", 6379);
        assert!(logo.contains(&format!(" PID: {}\n", std::process::id())));
        assert!(logo.contains("Running in standalone mode\n") && logo.contains("Port: 6379\n"));
    }
}
