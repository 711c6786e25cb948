//! The file between the master and the parser: what a transfer is put into while clients are
//! still served from the old data.
//!
//! ```text
//! Fills ── the RDB is complete ─► Syncs ── it is on the disk ─► Moves ── it has its name ─► Read
//!   └─ an error, a lost link ───────┴─ another role: thrown away   └─ from here on: LOADING
//! ```
//! A disk takes as long as it likes, and the worker that has the link has clients too. So the host
//! only begins what the disk is for, and says later how that has ended ([`Host::spool_done`]);
//! until then nothing is taken for done. The order is the one that a crash asks for: nothing gets
//! the snapshot file's name before it is on the disk, nothing is loaded before the name is.
//!
//! While it fills and syncs the role may change: then the file goes. It takes the snapshot file's
//! place for a dataset that is about to be loaded, so from the decision to move it on no role
//! changes any more, and no other file is given that name.
//!
//! [`Host::spool_done`]: crate::node::Host::spool_done

use tandem_base::Now;

use super::follower::Follower;
use super::resync::total_bytes;
use crate::node::{Node, Refusals};

/// Bytes parsed in one turn.
const BYTES_A_TURN: usize = 1 << 20;

/// How far a transfer by way of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpoolStage {
    /// There is none.
    None,
    /// It is written while bytes come.
    Fills,
    /// All of it is here, and on its way to the disk.
    Syncs,
    /// It is becoming the snapshot file.
    Moves,
    /// It is loaded.
    Read,
}

/// What the disk has refused, and the system's words why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpoolError {
    /// To take more bytes.
    Write(String),
    /// To keep them.
    Sync(String),
    /// To give the file its name.
    Rename(String),
    /// To keep the name.
    SyncFolder(String),
}

impl SpoolError {
    /// Redis's line for the log.
    fn line(&self, dbfilename: &str) -> String {
        let (what, why) = match self {
            SpoolError::Write(why) => (
                "Write error or short write writing to the DB dump file needed for".to_owned(),
                why,
            ),
            SpoolError::Sync(why) => {
                ("Failed trying to sync the temp DB to disk in".to_owned(), why)
            }
            SpoolError::Rename(why) => {
                (format!("Failed trying to rename the temp DB into {dbfilename} in"), why)
            }
            SpoolError::SyncFolder(why) => {
                (format!("Failed trying to sync DB directory {dbfilename} in"), why)
            }
        };
        format!("{what} MASTER <-> REPLICA synchronization: {why}")
    }
}

impl Node {
    /// Opens the file.
    pub(super) fn begin_spool(&self, follower: &mut Follower, now: Now) {
        follower.spool = SpoolStage::Fills;
        if let Err(why) = self.host.spool_begin() {
            let line = format!(
                "Opening the temp file needed for MASTER <-> REPLICA synchronization: {why}"
            );
            follower.link.spool_failed(&line, now.mono);
        }
    }

    /// No more is read from the master for now: the disk has enough to do.
    pub(super) fn is_spool_behind(&self, follower: &Follower) -> bool {
        follower.spool == SpoolStage::Fills && self.host.spool_is_behind()
    }

    /// The RDB is complete. An empty one is so even where nothing has begun: the role ended before
    /// that, and this link is torn down next.
    pub(super) fn sync_spool(&self, follower: &mut Follower) {
        if follower.spool == SpoolStage::Fills {
            follower.spool = SpoolStage::Syncs;
            self.host.spool_sync();
        }
    }

    /// Takes the spool a step further, if the disk has come so far.
    pub(super) fn go_on_with_spool(&self, follower: &mut Follower, now: Now) {
        match follower.spool {
            SpoolStage::None => return,
            SpoolStage::Read if follower.rests_until.is_some() => return,
            SpoolStage::Read => return self.read_spool(follower, now),
            SpoolStage::Fills | SpoolStage::Syncs | SpoolStage::Moves => {}
        }
        match (self.host.spool_done(), follower.spool) {
            (None, _) => {}
            (Some(Err(error)), _) => self.spool_failed(follower, &error, now),
            (Some(Ok(())), SpoolStage::Syncs) => self.move_spool(follower, now),
            (Some(Ok(())), stage) => {
                assert_eq!(stage, SpoolStage::Moves, "only what was begun ends");
                let begun = self.begin_load(follower, now);
                assert!(begun, "no role changes during a load");
                follower.spool = SpoolStage::Read;
            }
        }
    }

    /// The spool is to take the place of the snapshot file, and after it no file of the old data
    /// does; unless the role has ended.
    fn move_spool(&self, follower: &mut Follower, now: Now) {
        let Some(alone) = self.alone_in(follower.epoch) else { return };
        self.begin_loading(follower.link.sync_progress().map_or(0, total_bytes), now);
        self.stop_running_snapshot();
        drop(alone);
        follower.spool = SpoolStage::Moves;
        self.host.spool_finish();
    }

    /// The data are still the old ones, and served again. There will be another attempt.
    fn spool_failed(&self, follower: &mut Follower, error: &SpoolError, now: Now) {
        if follower.spool == SpoolStage::Moves {
            self.refuse(Refusals::LOADING, false);
        }
        follower.spool = SpoolStage::None;
        let line = error.line(&String::from_utf8_lossy(self.config().dbfilename()));
        follower.link.spool_failed(&line, now.mono);
    }

    /// Loads the next piece.
    fn read_spool(&self, follower: &mut Follower, now: Now) {
        let mut buf = vec![0; BYTES_A_TURN.min(self.load_step())];
        let result = self.host.spool_read(&mut buf).and_then(|count| {
            let load = follower.load.as_mut().expect("a spool is read into a load");
            load.take(self, &buf[..count]).map(|()| count)
        });
        self.begin_rest(follower, now);
        match result {
            Ok(0) => {
                follower.spool = SpoolStage::None;
                self.end_load(follower, now);
            }
            Ok(_) => {}
            Err(why) => {
                follower.spool = SpoolStage::None;
                follower.link.loaded(Err(&why), now.mono);
            }
        }
    }

    /// Throws the file away, if there is one.
    pub(super) fn abort_spool(&self, follower: &mut Follower) {
        let moves = follower.spool == SpoolStage::Moves;
        assert!(!moves, "from there on only an error ends it, and no role changes");
        follower.spool = SpoolStage::None;
        self.host.spool_abort();
    }
}
