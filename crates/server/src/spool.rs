//! What our master sends in a full resync, on its way to the disk: a thread for each transfer
//! writes it, beside the worker that reads it.
//!
//! ```text
//! worker 0: begin ─► write, write … ─► sync ──────► finish ───────────────────────► read
//! thread:     └───────► writes, flushes ─► flushes ─┤  └─► renames, flushes the folder ─► end
//!                            └────── wakes worker 0 ┴──────────────────────────────────┘
//! ```
//! A flush takes as long as the disk likes, and so may a rename, which frees the old file. What
//! waits for the disk is bounded: past a limit no more is read from the master, whose buffers are
//! there for that.
//!
//! The thread owns the file. Given up, it finds that out before it does anything more, and then
//! the file goes with it; a disk that hangs holds up nobody else, not even the next transfer.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use tandem_engine::node::lock;
use tandem_engine::replication::SpoolError;

use crate::daemon::os_words;
use crate::shared::Shared;
use crate::temp_files::TempFile;
use crate::{memory, process};

/// What is flushed at a time, so that the last flush does not have all to do.
const SYNC_BYTES: usize = 8 << 20;
/// More than that does not wait for the disk: no more is read then,
const BEHIND_BYTES: usize = 16 << 20;
/// until only so much waits.
const CAUGHT_UP_BYTES: usize = BEHIND_BYTES / 2;

/// The transfer by way of a file, if there is one.
#[derive(Default)]
pub(crate) struct Spool {
    transfer: Mutex<Option<Transfer>>,
    /// What a complete file is called.
    target: Mutex<PathBuf>,
    /// `bio_cpulist`.
    cpus: Mutex<Vec<u8>>,
}

struct Transfer {
    jobs: Sender<Job>,
    progress: Arc<Progress>,
    /// The file under its final name.
    file: Option<File>,
}

enum Job {
    Write(Vec<u8>),
    Sync,
    Finish(PathBuf),
}

/// How far the thread is.
#[derive(Default)]
struct Progress {
    /// Bytes that it has yet to write.
    waiting_bytes: AtomicUsize,
    /// Nobody wants the file any more.
    given_up: AtomicBool,
    news: Mutex<News>,
}

/// What the worker has yet to hear.
#[derive(Default)]
struct News {
    /// How the step has ended; an error stays.
    end: Option<Result<(), SpoolError>>,
    file: Option<File>,
}

impl Spool {
    /// From now on a complete file gets this name.
    pub(crate) fn set_target(&self, target: PathBuf) {
        *lock(&self.target) = target;
    }

    /// Where the threads run.
    pub(crate) fn set_cpus(&self, list: &[u8]) {
        *lock(&self.cpus) = list.to_vec();
    }

    /// Begins a transfer; the one before is given up.
    ///
    /// # Errors
    /// There is no room for a file, or for a thread.
    pub(crate) fn begin(&self, shared: &Arc<Shared>) -> io::Result<()> {
        self.abort();
        let temp = shared.temp_files.create().map_err(|refused| refused.error)?;
        self.begin_on(temp, shared)
    }

    fn begin_on(&self, temp: TempFile, shared: &Arc<Shared>) -> io::Result<()> {
        let (jobs, taken) = channel();
        let progress = Arc::new(Progress::default());
        let (for_thread, shared, cpus) =
            (Arc::clone(&progress), Arc::clone(shared), lock(&self.cpus).clone());
        let run = move || {
            memory::count_in();
            process::run_on(&cpus);
            for_thread.run(temp, &taken, &|| shared.wakers[0].wake());
            drop(taken);
            memory::count_in();
        };
        std::thread::Builder::new().name("spool".to_owned()).spawn(run)?;
        *lock(&self.transfer) = Some(Transfer { jobs, progress, file: None });
        Ok(())
    }

    /// Hands `bytes` to the thread.
    pub(crate) fn write(&self, bytes: &[u8]) {
        if let Some(transfer) = &*lock(&self.transfer) {
            transfer.progress.waiting_bytes.fetch_add(bytes.len(), Ordering::SeqCst);
            transfer.give(Job::Write(bytes.to_vec()));
        }
    }

    /// Whether too much waits for the disk. Nothing does where it has refused: that is told.
    pub(crate) fn is_behind(&self) -> bool {
        lock(&self.transfer).as_ref().is_some_and(|Transfer { progress, .. }| {
            let waiting_bytes = progress.waiting_bytes.load(Ordering::SeqCst);
            waiting_bytes > BEHIND_BYTES && lock(&progress.news).end.is_none()
        })
    }

    /// Begins to bring all of it to the disk.
    pub(crate) fn sync(&self) {
        if let Some(transfer) = &*lock(&self.transfer) {
            transfer.give(Job::Sync);
        }
    }

    /// Begins to give the file its name.
    pub(crate) fn finish(&self) {
        if let Some(transfer) = &*lock(&self.transfer) {
            transfer.give(Job::Finish(lock(&self.target).clone()));
        }
    }

    /// How the step has ended, once; what went wrong, from then on.
    pub(crate) fn done(&self) -> Option<Result<(), SpoolError>> {
        let mut held = lock(&self.transfer);
        let transfer = held.as_mut()?;
        let mut news = lock(&transfer.progress.news);
        if let Some(Err(error)) = &news.end {
            return Some(Err(error.clone()));
        }
        if let Some(file) = news.file.take() {
            transfer.file = Some(file);
        }
        news.end.take()
    }

    /// Reads the file on that has got its name; 0 at its end.
    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut held = lock(&self.transfer);
        let file = held.as_mut().and_then(|transfer| transfer.file.as_mut());
        let count = file.ok_or_else(|| io::Error::other("there is no spool file"))?.read(buf)?;
        if count == 0 {
            // Kept open it would take its room on the disk after another has replaced it.
            *held = None;
        }
        Ok(count)
    }

    /// Gives the transfer up: its file goes, if it has not got its name.
    pub(crate) fn abort(&self) {
        if let Some(transfer) = lock(&self.transfer).take() {
            transfer.progress.given_up.store(true, Ordering::SeqCst);
        }
    }
}

impl Transfer {
    fn give(&self, job: Job) {
        // A thread that has ended has said why.
        let _ = self.jobs.send(job);
    }
}

impl Progress {
    /// The thread: does what it is given until the file has its name, or nobody wants it.
    fn run(&self, mut temp: TempFile, jobs: &Receiver<Job>, wake: &dyn Fn()) {
        let mut unsynced_bytes = 0;
        for job in jobs {
            if self.given_up.load(Ordering::SeqCst) {
                return;
            }
            let done = match job {
                Job::Write(bytes) => {
                    let written = write(temp.file(), &bytes, &mut unsynced_bytes);
                    self.wrote(bytes, wake);
                    written
                }
                Job::Sync => sync(temp.file()).map(|()| self.tell(Ok(()), None, wake)),
                Job::Finish(target) => {
                    let named = name(temp, &target);
                    let (end, file) = named.map_or_else(|e| (Err(e), None), |f| (Ok(()), Some(f)));
                    return self.tell(end, file, wake);
                }
            };
            if let Err(error) = done {
                // Whoever hears of it finds the file gone.
                drop(temp);
                return self.tell(Err(error), None, wake);
            }
        }
    }

    /// These bytes wait no longer: the worker is told when it may read on.
    fn wrote(&self, bytes: Vec<u8>, wake: &dyn Fn()) {
        let before = self.waiting_bytes.fetch_sub(bytes.len(), Ordering::SeqCst);
        let after = before - bytes.len();
        drop(bytes);
        memory::count_in();
        if before > CAUGHT_UP_BYTES && after <= CAUGHT_UP_BYTES {
            wake();
        }
    }

    fn tell(&self, end: Result<(), SpoolError>, file: Option<File>, wake: &dyn Fn()) {
        *lock(&self.news) = News { end: Some(end), file };
        wake();
    }
}

fn write(file: &mut File, bytes: &[u8], unsynced_bytes: &mut usize) -> Result<(), SpoolError> {
    file.write_all(bytes).map_err(|error| SpoolError::Write(os_words(&error)))?;
    *unsynced_bytes += bytes.len();
    if *unsynced_bytes > SYNC_BYTES {
        *unsynced_bytes = 0;
        file.sync_data().map_err(|error| SpoolError::Sync(os_words(&error)))?;
    }
    Ok(())
}

/// All that was written is on the disk after this, and is read from its start.
fn sync(file: &mut File) -> Result<(), SpoolError> {
    let synced = file.sync_all().and_then(|()| file.rewind());
    synced.map_err(|error| SpoolError::Sync(os_words(&error)))
}

/// Gives the file its name, for good.
fn name(mut temp: TempFile, target: &Path) -> Result<File, SpoolError> {
    temp.rename(target).map_err(|error| SpoolError::Rename(os_words(&error)))?;
    temp.sync_folder().map_err(|error| SpoolError::SyncFolder(os_words(&error)))?;
    Ok(temp.into_file())
}

#[cfg(test)]
mod tests;
