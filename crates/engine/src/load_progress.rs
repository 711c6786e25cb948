//! How far a load is, and the server's start from its snapshot file.
//!
//! ```text
//! begin_start ─► LOADING: clients are served, commands that need the dataset are refused
//!      └─ no file ──────────────► end_start ─► the link to a master may dial
//! Load::take … (another thread) ─► dataset_loaded ─► end_start
//! ```
//! A replica's full resynchronisation is in the same state and shows the same figures
//! (`replication/resync.rs`); what differs is who brings the bytes. The place of the data in a
//! history is known only at the end of the file, so a replica that starts from one is a replica
//! from the first moment on, but does not dial before.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tandem_base::Now;

use crate::loading::Load;
use crate::node::{Mail, Node, Refusals};

/// What INFO says of a load, and of the last one.
#[derive(Debug, Default)]
pub struct LoadProgress {
    /// When it began, in Unix ms.
    since: AtomicI64,
    /// Bytes of the file; 0 where nobody knows.
    total: AtomicU64,
    so_far: AtomicU64,
    /// Bytes in use when the file was written, as it says.
    used_memory: AtomicU64,
    keys: AtomicU64,
    left_out: AtomicU64,
}

impl LoadProgress {
    /// A load of `total` bytes (0: nobody knows how many) begins.
    fn begin(&self, total: u64, now: Now) {
        self.since.store(now.unix.0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        for figure in [&self.so_far, &self.used_memory, &self.keys, &self.left_out] {
            figure.store(0, Ordering::Relaxed);
        }
    }

    /// The load has come so far.
    pub(crate) fn note(&self, load: &Load) {
        let (keys, left_out) = load.keys();
        self.so_far.store(load.bytes(), Ordering::Relaxed);
        self.used_memory.store(load.used_memory(), Ordering::Relaxed);
        self.keys.store(keys, Ordering::Relaxed);
        self.left_out.store(left_out, Ordering::Relaxed);
    }

    /// Keys loaded and keys left out, of the running load or the last one.
    pub fn keys(&self) -> (u64, u64) {
        (self.keys.load(Ordering::Relaxed), self.left_out.load(Ordering::Relaxed))
    }

    /// Appends the fields that INFO has while a load runs.
    pub(crate) fn info(&self, now: Now, out: &mut String) {
        let load = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let (total, so_far, used_memory) =
            (load(&self.total), load(&self.so_far), load(&self.used_memory));
        let since = self.since.load(Ordering::Relaxed).div_euclid(1000);
        let (percent, remaining) = match (total, used_memory) {
            (0, 0) => (0.0, 1),
            // The memory once in use is a poor guess of the bytes of a file.
            (0, guess) => ((percent_of(so_far, guess)).min(99.99), guess.saturating_sub(so_far)),
            (total, _) => (percent_of(so_far, total), total.saturating_sub(so_far)),
        };
        let elapsed = (now.unix.0.div_euclid(1000) - since).max(0).unsigned_abs();
        let eta = match elapsed {
            0 => 1,
            _ => u128::from(elapsed) * u128::from(remaining) / (u128::from(so_far) + 1),
        };
        let _ = write!(
            out,
            "loading_start_time:{since}\r\nloading_total_bytes:{total}\r\n\
             loading_rdb_used_mem:{used_memory}\r\nloading_loaded_bytes:{so_far}\r\n\
             loading_loaded_perc:{percent:.2}\r\nloading_eta_seconds:{eta}\r\n",
        );
    }
}

fn percent_of(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}

impl Node {
    /// From now on the dataset is being loaded, from `total` bytes (0: nobody knows).
    pub(crate) fn begin_loading(&self, total: u64, now: Now) {
        self.persistence.load.begin(total, now);
        self.refuse(Refusals::LOADING, true);
    }

    /// Takes the role that the configuration says, before anybody is served. With a snapshot file
    /// of `file_bytes` bytes the dataset is being loaded until [`Node::end_start`].
    pub fn begin_start(&self, file_bytes: Option<u64>, now: Now) {
        let master = self.config().replicaof().cloned();
        self.replication.hold_link(true);
        if let Some(master) = master {
            let _alone = self.gate.alone();
            self.follow(&String::from_utf8_lossy(&master.host), master.port);
        }
        if let Some(bytes) = file_bytes {
            self.begin_loading(bytes, now);
        }
    }

    /// The snapshot file is loaded whole: where its data stand in which history counts from now
    /// on. The caller must not be inside the gate.
    pub fn dataset_loaded(&self, mut load: Load) {
        let _alone = self.gate.alone();
        self.take_place(load.place(), load.take_left_out(), self.is_replica());
        self.persistence.nothing_changed();
    }

    /// The dataset is there: every command is served, and a replica looks for its master.
    pub fn end_start(&self) {
        self.refuse(Refusals::LOADING, false);
        self.replication.hold_link(false);
        self.mail(0, Mail::Link);
    }
}

#[cfg(test)]
mod tests {
    use tandem_base::{Mono, UnixMs};

    use super::*;

    fn at(ms: i64) -> Now {
        Now { unix: UnixMs(ms), mono: Mono(0) }
    }

    fn shown(progress: &LoadProgress, now: i64, field: &str) -> String {
        let mut text = String::new();
        progress.info(at(now), &mut text);
        let line = text.lines().find(|line| line.starts_with(field)).expect("it is shown");
        line.split_once(':').expect("a field").1.to_owned()
    }

    #[test]
    fn the_end_is_guessed_from_what_is_done() {
        let progress = LoadProgress::default();
        progress.begin(1000, at(5_000));
        assert_eq!(shown(&progress, 5_500, "loading_eta_seconds"), "1");
        progress.so_far.store(249, Ordering::Relaxed);
        assert_eq!(shown(&progress, 7_000, "loading_start_time"), "5");
        assert_eq!(shown(&progress, 7_000, "loading_loaded_perc"), "24.90");
        assert_eq!(shown(&progress, 7_000, "loading_eta_seconds"), "6");
    }

    #[test]
    fn without_a_length_the_memory_once_used_stands_in() {
        let progress = LoadProgress::default();
        progress.begin(0, at(0));
        assert_eq!(shown(&progress, 2_000, "loading_loaded_perc"), "0.00");
        progress.used_memory.store(100, Ordering::Relaxed);
        progress.so_far.store(500, Ordering::Relaxed);
        assert_eq!(shown(&progress, 2_000, "loading_loaded_perc"), "99.99");
        assert_eq!(shown(&progress, 2_000, "loading_eta_seconds"), "0");
    }
}
