//! Someone who writes all the time: a thread with its own connection to the master.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::{Address, Client};

/// Between two writes.
const WRITE_PAUSE: Duration = Duration::from_millis(3);
/// The writes go round so many keys.
const KEYS: u64 = 500;

/// The thread, stopped on drop.
pub(super) struct Writer {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts writing to the server on this port.
    pub(super) fn start(port: u16) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&done));
        let thread = std::thread::spawn(move || write_until(&stopped, &counter, port));
        Writer { stop, done, thread: Some(thread) }
    }

    /// How many writes the master has confirmed.
    pub(super) fn writes(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Ends the thread and waits for its last write.
    pub(super) fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to report that the counter does not say.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn write_until(stop: &AtomicBool, done: &AtomicU64, port: u16) {
    let address = Address::Tcp("127.0.0.1".to_owned(), i32::from(port));
    let mut client = None;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(WRITE_PAUSE);
        let Some(connected) = &mut client else {
            client = Client::connect(&address, Some(Duration::from_secs(2))).ok();
            continue;
        };
        let count = done.load(Ordering::Relaxed);
        let key = format!("demo:key:{}", count % KEYS);
        match connected.expect_ok(&["SET", &key, &format!("value {count}")]) {
            Ok(()) => done.store(count + 1, Ordering::Relaxed),
            // A spectator may have stopped the master to see what happens.
            Err(_) => client = None,
        }
    }
}
