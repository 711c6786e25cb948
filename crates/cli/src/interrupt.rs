//! What Ctrl-C does.
//!
//! In a prompt it ends an endless reply (MONITOR, SUBSCRIBE) by hanging up, and otherwise the
//! program; in a long walk over the keyspace it asks for the summary. Outside of these the
//! system's default holds, which ends the program.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use crate::stream::Hangup;

/// Shared between the session and the thread that receives signals.
#[derive(Debug, Default)]
pub(crate) struct Interrupt {
    /// The connection whose endless reply may be cut.
    endless: Mutex<Option<Hangup>>,
    cut: AtomicBool,
}

impl Interrupt {
    /// Takes over Ctrl-C for a prompt.
    pub(crate) fn for_prompt() -> Arc<Interrupt> {
        let interrupt = Arc::new(Interrupt::default());
        let shared = Arc::clone(&interrupt);
        // Without the thread, Ctrl-C does what the system does by default: it ends us.
        if let Ok(mut signals) = Signals::new([SIGINT]) {
            std::thread::spawn(move || signals.forever().for_each(|_| shared.fire()));
        }
        interrupt
    }

    fn fire(&self) {
        match &*self.endless.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(connection) => {
                self.cut.store(true, Ordering::SeqCst);
                connection.hang_up();
            }
            None => std::process::exit(1),
        }
    }

    /// From now on Ctrl-C cuts this connection; `None` gives it its usual meaning back.
    pub(crate) fn watch(&self, connection: Option<Hangup>) {
        *self.endless.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    /// Whether the connection was cut by Ctrl-C; asking forgets it.
    pub(crate) fn take_cut(&self) -> bool {
        self.cut.swap(false, Ordering::SeqCst)
    }
}

/// A flag that Ctrl-C sets, for loops that want to end with a summary.
pub(crate) fn stop_flag() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    // Without the registration, Ctrl-C ends the program without a summary.
    let _ = signal_hook::flag::register(SIGINT, Arc::clone(&flag));
    flag
}
