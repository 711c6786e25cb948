//! The report of a crash, in the form that people and tools know.
//!
//! ```text
//! SIGSEGV … ─► handler ─► report written with nothing but write(2) ─► the helper thread adds
//! panic ─────► hook ──────► the same head, the panic's place            INFO and clients ─► end
//! ```
//! A handler runs in the middle of anything, with any lock held: it formats into its own stack
//! and writes to descriptors, no more. What needs the node (INFO, the clients) is written by a
//! thread that waits for nothing else; if it is kept waiting itself by a lock that the crashed
//! thread holds, the handler goes on without it after [`HELPER_MS`].
//!
//! Registers are not shown but the instruction and the address: with the stack they say as much.
#![allow(unsafe_code)]

use std::ffi::{CString, OsStr};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};
use std::sync::{Arc, OnceLock};

use tandem_base::REDIS_VERSION;
use tandem_engine::commands::info;
use tandem_engine::config::LogLevel;
use tandem_engine::node::Node;

use crate::log_sink::LogSink;

const SIGNALS: [libc::c_int; 5] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT];
const START: &str = "=== REDIS BUG REPORT START: Cut & paste starting from here ===";
const END: &str = "=== REDIS BUG REPORT END. Make sure to include from START to END. ===";
/// How long the handler waits for INFO.
const HELPER_MS: libc::c_int = 2000;
const FRAMES_MAX: usize = 100;

/// Where the handler writes: the log file's name, or null for standard output. Names are never
/// freed: a handler may be reading one.
static LOG_FILE: AtomicPtr<libc::c_char> = AtomicPtr::new(std::ptr::null_mut());
/// Somebody writes a report: whoever crashes next just ends.
static REPORTING: AtomicBool = AtomicBool::new(false);
/// The handler writes to it to wake the helper, and reads from it when the helper is done.
static ASK: AtomicI32 = AtomicI32::new(-1);
static ANSWER: AtomicI32 = AtomicI32::new(-1);
static HELPER: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();

/// Says where reports go; empty is standard output.
pub(crate) fn set_log_file(path: &[u8]) {
    if path.is_empty() {
        return;
    }
    // A daemon may change its folder; the report must find the file all the same.
    let absolute = std::path::absolute(OsStr::from_bytes(path)).unwrap_or_default();
    if let Ok(name) = CString::new(absolute.as_os_str().as_bytes()) {
        LOG_FILE.store(name.into_raw(), Ordering::SeqCst);
    }
}

/// Writes reports of signals from now on, or leaves them to the system again.
pub(crate) fn handle_signals(on: bool) {
    for signal in SIGNALS {
        // SAFETY: all zeros is a `sigaction` with an empty mask and the default handler.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        if on {
            action.sa_sigaction = on_signal as *const () as libc::sighandler_t;
            // Another crash in the handler ends the process; a stack that has overflowed needs
            // another one, which Rust's runtime gives every thread.
            action.sa_flags =
                libc::SA_NODEFER | libc::SA_RESETHAND | libc::SA_SIGINFO | libc::SA_ONSTACK;
        }
        // SAFETY: the action is complete, and its handler has the form that SA_SIGINFO asks for.
        unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
    }
    let mut frames = [std::ptr::null_mut(); 1];
    // SAFETY: room for one frame is given. The first call loads a library, which a handler must
    // not do.
    unsafe { libc::backtrace(frames.as_mut_ptr(), 1) };
}

/// Makes panics of any thread end the process with a report.
pub(crate) fn handle_panics(log: Arc<LogSink>) {
    std::panic::set_hook(Box::new(move |panic| {
        if REPORTING.swap(true, Ordering::SeqCst) {
            // The main thread's end would be the process's, in the middle of the other's report.
            loop {
                std::thread::park();
            }
        }
        let text = panic.payload_as_str().unwrap_or("(no text)");
        let place = panic
            .location()
            .map_or_else(String::new, |at| format!(" #{}:{}", at.file(), at.line()));
        let trace = std::backtrace::Backtrace::force_capture();
        log.log(LogLevel::Warning, format!("\n\n{START}"));
        log.log(LogLevel::Warning, "------------------------------------------------");
        log.log(LogLevel::Warning, "!!! Software Failure. Press left mouse button to continue");
        log.log(LogLevel::Warning, format!("Guru Meditation: {text}{place}"));
        log.log(LogLevel::Warning, "------------------------------------------------");
        log.raw(LogLevel::Warning, &format!("\n------ STACK TRACE ------\n{trace}\n"));
        ask_helper();
        log.raw(LogLevel::Warning, &format!("\n{END}\n\n{FAREWELL}"));
        // With a core, if those are wanted; the handler finds the report written.
        std::process::abort();
    }));
}

const FAREWELL: &str =
    "       Please report the crash with everything from START to END; the log before it helps.\n";

/// Starts the thread that adds what needs the node.
pub(crate) fn start_helper(node: &Arc<Node>, log: &Arc<LogSink>) -> std::io::Result<()> {
    let (asked, ask) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (answered, answer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    ASK.store(ask.as_raw_fd(), Ordering::SeqCst);
    ANSWER.store(answered.as_raw_fd(), Ordering::SeqCst);
    let _ = HELPER.set((ask, answered));
    let (node, log) = (Arc::clone(node), Arc::clone(log));
    std::thread::Builder::new().name("crash-helper".to_owned()).stack_size(256 << 10).spawn(
        move || {
            let mut byte = [0];
            while rustix::io::read(&asked, &mut byte).is_ok_and(|count| count > 0) {
                facts(&node, &mut |text| log.raw(LogLevel::Warning, text));
                let _ = rustix::io::write(&answer, &byte);
            }
        },
    )?;
    Ok(())
}

/// The clients that were active last, and INFO: piece by piece, because the last ones take locks
/// that the crashed thread may hold.
fn facts(node: &Node, write: &mut dyn FnMut(&str)) {
    use std::fmt::Write as _;
    let mut text = "\n------ CLIENT LIST OUTPUT (active last) ------\n".to_owned();
    let mut clients = node.clients.snapshot();
    // Asked once each: workers go on changing it, and an order that is none is a panic.
    clients.sort_by_cached_key(|info| std::cmp::Reverse(info.last_active.load(Ordering::Relaxed)));
    for info in clients.iter().take(10) {
        let (id, addr, fd) = (info.id, &info.addr, info.fd);
        let (worker, cmd) = (info.worker, info.last_command_name());
        let db = info.db.load(Ordering::Relaxed);
        let _ = writeln!(text, "id={id} addr={addr} fd={fd} db={db} worker={worker} cmd={cmd}");
    }
    write(&text);
    write("\n------ INFO OUTPUT ------\n");
    let now = tandem_base::Now {
        unix: node.recent_unix(),
        mono: tandem_base::Mono(node.recent_mono.load(Ordering::Relaxed)),
    };
    for section in INFO_SECTIONS {
        let wanted = info::Wanted::parse([section.as_bytes()].into_iter());
        write(&info::text(node, now, &wanted));
    }
}

/// What is sure to be had first.
const INFO_SECTIONS: [&str; 9] = [
    "server",
    "clients",
    "cpu",
    "stats",
    "persistence",
    "replication",
    "memory",
    "commandstats",
    "keyspace",
];

/// Lets the helper write, and waits for it a little. Safe in a handler.
fn ask_helper() {
    let (ask, answer) = (ASK.load(Ordering::SeqCst), ANSWER.load(Ordering::SeqCst));
    if ask < 0 || answer < 0 {
        return;
    }
    let mut poll = libc::pollfd { fd: answer, events: libc::POLLIN, revents: 0 };
    // SAFETY: the descriptors live in a static for the life of the process; the byte and the
    // pollfd live until the calls return.
    unsafe {
        if libc::write(ask, c"!".as_ptr().cast(), 1) == 1 {
            libc::poll(&mut poll, 1, HELPER_MS);
        }
    }
}

/// A file or standard output, written to without buffers or locks.
struct Raw(RawFd);

impl Raw {
    fn open() -> Raw {
        let name = LOG_FILE.load(Ordering::SeqCst);
        if name.is_null() {
            return Raw(libc::STDOUT_FILENO);
        }
        let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC;
        // SAFETY: the name ends with a zero and is never freed.
        let fd = unsafe { libc::open(name, flags, 0o644) };
        Raw(if fd < 0 { libc::STDOUT_FILENO } else { fd })
    }
}

impl Write for Raw {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // SAFETY: the slice is valid for its length.
        let count = unsafe { libc::write(self.0, bytes.as_ptr().cast(), bytes.len()) };
        usize::try_from(count).map_err(|_| std::io::Error::from_raw_os_error(libc::EIO))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One line of the report: formatted on the stack, written at once.
fn line(out: &mut Raw, text: std::fmt::Arguments<'_>) {
    let mut buffer = [0; 512];
    let mut rest = &mut buffer[..];
    let _ = rest.write_fmt(text).and_then(|()| rest.write_all(b"\n"));
    let left = rest.len();
    let _ = out.write_all(&buffer[..512 - left]);
}

extern "C" fn on_signal(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    if !REPORTING.swap(true, Ordering::SeqCst) {
        report(signal, info, context);
    }
    // SA_RESETHAND has brought the default back: the process ends as it would have, with a core
    // if those are wanted.
    // SAFETY: raise may be called in a handler.
    unsafe { libc::raise(signal) };
}

fn report(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let mut out = Raw::open();
    // SAFETY: the kernel hands a valid siginfo to a handler with SA_SIGINFO.
    let (code, address, pid, uid) = unsafe {
        let info = &*info;
        (info.si_code, info.si_addr() as usize, info.si_pid(), info.si_uid())
    };
    // SAFETY: getpid always works.
    let me = unsafe { libc::getpid() };
    line(&mut out, format_args!("\n\n{me}:M # {START}"));
    line(
        &mut out,
        format_args!("{me}:M # Redis {REDIS_VERSION} crashed by signal: {signal}, si_code: {code}"),
    );
    if code <= 0 {
        line(&mut out, format_args!("{me}:M # Killed by PID: {pid}, UID: {uid}"));
    } else if signal == libc::SIGSEGV || signal == libc::SIGBUS {
        line(&mut out, format_args!("{me}:M # Accessing address: {address:#x}"));
    }
    if let Some(at) = instruction(context) {
        line(&mut out, format_args!("{me}:M # Crashed running the instruction at: {at:#x}"));
    }
    line(&mut out, format_args!("\n------ STACK TRACE ------\nBacktrace:"));
    let mut frames = [std::ptr::null_mut(); FRAMES_MAX];
    // SAFETY: the array has room for that many frames. The library was loaded when the handler
    // was installed, so nothing is allocated here.
    unsafe {
        let count = libc::backtrace(frames.as_mut_ptr(), FRAMES_MAX as libc::c_int);
        libc::backtrace_symbols_fd(frames.as_ptr(), count, out.0);
    }
    ask_helper();
    line(&mut out, format_args!("\n{END}\n\n{FAREWELL}"));
}

/// Where the thread was when the signal came.
#[cfg(target_arch = "x86_64")]
fn instruction(context: *mut libc::c_void) -> Option<u64> {
    // SAFETY: with SA_SIGINFO the third argument is a valid ucontext_t.
    let context = unsafe { context.cast::<libc::ucontext_t>().as_ref() }?;
    let at = usize::try_from(libc::REG_RIP).expect("a place in an array");
    Some(context.uc_mcontext.gregs[at].cast_unsigned())
}

/// Where the thread was when the signal came.
#[cfg(target_arch = "aarch64")]
fn instruction(context: *mut libc::c_void) -> Option<u64> {
    // SAFETY: with SA_SIGINFO the third argument is a valid ucontext_t.
    let context = unsafe { context.cast::<libc::ucontext_t>().as_ref() }?;
    Some(context.uc_mcontext.pc)
}

/// Where the thread was: not known here.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn instruction(_: *mut libc::c_void) -> Option<u64> {
    None
}

/// Crashes as DEBUG SEGFAULT asks for it.
pub(crate) fn segfault() -> ! {
    // SAFETY: not sound, and asked for: a kill that the system itself carries out. The signal is
    // raised instead of made by a bad access, so that the compiler has nothing to reason about.
    unsafe {
        libc::raise(libc::SIGSEGV);
    }
    // Where the signal is blocked, ignored, or handled by one who returns: not here.
    std::process::abort()
}
