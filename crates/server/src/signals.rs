//! Signals: SIGTERM and SIGINT ask for a shutdown, SIGHUP and SIGPIPE mean nothing.
//!
//! ```text
//! handler ─► a byte in a socket ─► the thread "signals" ─► bell ─► the housekeeper, who shuts down
//!                                          └─► a SIGINT more while that goes on: the end
//! ```
//! A SIGINT while a shutdown is already asked for comes from somebody who does not want to wait.
//! The housekeeper may be in the middle of the last save, so a thread of its own hears of it,
//! removes what is in the making, which a handler could not, and ends the process with status 1.
//! Should that hang, on a dead disk, the next SIGINT ends the process in its handler.
//!
//! Handlers run on the thread "end", which sleeps: a worker may be where the kernel interrupts
//! nobody, and of two signals that come meanwhile only one would be left.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGPIPE, SIGTERM};
use signal_hook::{flag, low_level};

/// A signal that asks for a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownSignal {
    /// SIGINT: `shutdown-on-sigint` says how.
    Interrupt,
    /// SIGTERM: `shutdown-on-sigterm` says how.
    Terminate,
}

impl ShutdownSignal {
    /// The line to log when it has come.
    pub fn log_line(self, loading: bool) -> &'static str {
        match self {
            _ if loading => "Received shutdown signal during loading, scheduling shutdown.",
            ShutdownSignal::Interrupt => "Received SIGINT scheduling shutdown...",
            ShutdownSignal::Terminate => "Received SIGTERM scheduling shutdown...",
        }
    }
}

/// What [`Asked::last`] holds when no signal has come.
const NOTHING: usize = 0;
const INTERRUPT: usize = 1;
const TERMINATE: usize = 2;

/// The signals that have come.
#[derive(Debug)]
pub struct Signals {
    asked: Arc<Asked>,
    /// Readable when a signal has come.
    bell: UnixStream,
}

/// What the thread that hears of signals tells the housekeeper.
#[derive(Debug, Default)]
struct Asked {
    /// The last one that nobody has taken.
    last: AtomicUsize,
    /// Whether another SIGINT ends the process.
    once: AtomicBool,
}

/// The thread's ends of the sockets into which handlers write: a byte for each signal.
struct Heard {
    interrupts: UnixStream,
    terminates: UnixStream,
    bell: UnixStream,
}

impl Signals {
    /// Handles signals from now on. Call it once. `insisted` runs when a SIGINT has come while a
    /// shutdown was asked for already; then the process ends with status 1.
    ///
    /// # Errors
    /// The system's.
    pub fn install(insisted: impl FnOnce() + Send + 'static) -> io::Result<Signals> {
        let hear = |signal| {
            let (heard, rope) = UnixStream::pair()?;
            heard.set_nonblocking(true)?;
            // Even a full socket must not stop a handler.
            rope.set_nonblocking(true)?;
            low_level::pipe::register(signal, rope).map(|_| heard)
        };
        let gives_up = Arc::new(AtomicBool::new(false));
        flag::register_conditional_shutdown(SIGINT, 1, Arc::clone(&gives_up))?;
        let (bell, rope) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        rope.set_nonblocking(true)?;
        let heard = Heard { interrupts: hear(SIGINT)?, terminates: hear(SIGTERM)?, bell: rope };
        for signal in [SIGHUP, SIGPIPE] {
            // A handler without effect: the signal does no harm, and a program that we start
            // finds the default again.
            flag::register(signal, Arc::new(AtomicBool::new(false)))?;
        }
        let asked = Arc::new(Asked::default());
        let signals = Signals { asked: Arc::clone(&asked), bell };
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            heard.pass_on(&asked);
            gives_up.store(true, Ordering::SeqCst);
            insisted();
            low_level::exit(1);
        })?;
        Ok(signals)
    }

    /// Readable when [`Signals::take`] has something; for the event loop.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// The last signal that has come, once. From then on another SIGINT insists, although one that
    /// came before may have been forgotten meanwhile.
    pub fn take(&self) -> Option<ShutdownSignal> {
        while drain(&self.bell) > 0 {}
        let signal = match self.asked.last.swap(NOTHING, Ordering::SeqCst) {
            INTERRUPT => ShutdownSignal::Interrupt,
            TERMINATE => ShutdownSignal::Terminate,
            _ => return None,
        };
        self.asked.once.store(true, Ordering::SeqCst);
        Some(signal)
    }

    /// The shutdown that was asked for will not happen (it was taken back, or the save has
    /// failed): the next SIGINT asks again.
    pub fn forget(&self) {
        self.asked.once.store(false, Ordering::SeqCst);
    }
}

impl Heard {
    /// Passes signals on until a SIGINT insists.
    fn pass_on(&self, asked: &Asked) {
        loop {
            let flags = PollFlags::IN;
            let mut ends =
                [PollFd::new(&self.interrupts, flags), PollFd::new(&self.terminates, flags)];
            // An error is a signal that came to this thread: both are looked at.
            let _ = poll(&mut ends, None);
            // SIGINT first: of the two sent together, by whoever ends a whole session, neither
            // insists.
            for _ in 0..drain(&self.interrupts) {
                if asked.once.swap(true, Ordering::SeqCst) {
                    return;
                }
                self.tell(asked, INTERRUPT);
            }
            if drain(&self.terminates) > 0 {
                asked.once.store(true, Ordering::SeqCst);
                self.tell(asked, TERMINATE);
            }
        }
    }

    fn tell(&self, asked: &Asked, signal: usize) {
        asked.last.store(signal, Ordering::SeqCst);
        // A full socket is readable already.
        let _ = (&self.bell).write(&[0]);
    }
}

/// How many bytes there were, or a part of them.
fn drain(mut socket: &UnixStream) -> usize {
    socket.read(&mut [0; 64]).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits for the next signal, or for the deadline.
    fn next(signals: &Signals) -> Option<ShutdownSignal> {
        let mut ends = [PollFd::new(&signals.bell, PollFlags::IN)];
        let patience = rustix::time::Timespec { tv_sec: 20, tv_nsec: 0 };
        while poll(&mut ends, Some(&patience)) == Err(rustix::io::Errno::INTR) {}
        signals.take()
    }

    #[test]
    fn a_signal_rings_once_and_can_be_forgotten() {
        let (insisted, was_insisted) = std::sync::mpsc::channel();
        let signals = Signals::install(move || {
            insisted.send(()).expect("somebody listens");
            // The process lives on.
            std::thread::park();
        })
        .expect("signals can be handled");
        assert_eq!(signals.take(), None);
        low_level::raise(SIGTERM).expect("a signal to ourselves");
        assert_eq!(next(&signals), Some(ShutdownSignal::Terminate));
        assert_eq!(signals.take(), None);
        signals.forget();
        low_level::raise(SIGTERM).expect("a signal to ourselves");
        // Forgotten before it is taken: it asks all the same.
        signals.forget();
        assert_eq!(next(&signals), Some(ShutdownSignal::Terminate));
        assert!(signals.asked.once.load(Ordering::SeqCst));
        // Without this the next line would end the process.
        signals.forget();
        low_level::raise(SIGINT).expect("a signal to ourselves");
        assert_eq!(next(&signals), Some(ShutdownSignal::Interrupt));
        low_level::raise(SIGHUP).expect("a signal to ourselves");
        low_level::raise(SIGPIPE).expect("a signal to ourselves");
        assert_eq!(signals.take(), None);
        assert!(was_insisted.try_recv().is_err(), "nobody has insisted yet");
        low_level::raise(SIGINT).expect("a signal to ourselves");
        let patience = std::time::Duration::from_secs(20);
        assert_eq!(was_insisted.recv_timeout(patience), Ok(()));
        assert_eq!(signals.take(), None);
        assert_eq!(
            ShutdownSignal::Terminate.log_line(false),
            "Received SIGTERM scheduling shutdown..."
        );
    }
}
