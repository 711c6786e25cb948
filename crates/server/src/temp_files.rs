//! Files in the making: each is removed unless it takes its final name.
//!
//! ```text
//! create ─► written ─► rename ─► the snapshot file
//!    │         └─ dropped, or the process ends ─► removed
//!    └─ the process is killed ─► removed by the next server that starts in this folder
//! ```
//! Names say whose a file is: `temp-tandem-PID.N.rdb`, and `temp-PID.rdb` for the one save that
//! nobody runs beside, as in Redis. Only files of the first form are removed at a start, and only
//! those that nobody holds the lock of: a server locks what it writes, so what another one writes
//! in the same folder stays, even if it runs in a container and its number says nothing here.
//!
//! A file belongs to the folder in which it was begun, whatever CONFIG SET dir says meanwhile: a
//! save ends where it began, as that of a forked child does.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use tandem_engine::node::{Level, Node, lock};

/// Other names that are tried when one is taken.
const TRIES: u32 = 100;
const PREFIX: &str = "temp-tandem-";

/// The files of this process that are in the making.
#[derive(Debug, Default)]
pub(crate) struct TempFiles(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The process ends: no more are made.
    closed: bool,
    /// How many numbers have been given.
    numbers: u64,
    open: Vec<Arc<Place>>,
}

/// Where a file is.
#[derive(Debug)]
struct Place {
    folder: OwnedFd,
    name: String,
}

impl Place {
    fn remove(&self) {
        let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
    }
}

/// A file in the making.
#[derive(Debug)]
pub(crate) struct TempFile {
    all: Arc<TempFiles>,
    place: Arc<Place>,
    /// `None` once it was given away.
    file: Option<File>,
    renamed: bool,
}

/// No file could be made.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The name that was to be its.
    pub name: String,
    /// Why.
    pub error: io::Error,
}

impl TempFiles {
    /// A new file in the working folder, under a name that nobody else has.
    ///
    /// # Errors
    /// The system's, or that the process ends.
    pub(crate) fn create(self: &Arc<Self>) -> Result<TempFile, Refused> {
        self.create_named(None)
    }

    /// The same for a save beside which there is no other, under the name that Redis gives it.
    ///
    /// # Errors
    /// As [`TempFiles::create`].
    pub(crate) fn create_for_save(self: &Arc<Self>) -> Result<TempFile, Refused> {
        self.create_named(Some(format!("temp-{}.rdb", std::process::id())))
    }

    fn create_named(self: &Arc<Self>, wanted: Option<String>) -> Result<TempFile, Refused> {
        let mut name = wanted.unwrap_or_default();
        let made = self.try_names(&mut name);
        made.map_err(|error| Refused { name, error })
    }

    /// Tries `name`, or a new one if it is empty, and then others; says in `name` which was last.
    fn try_names(self: &Arc<Self>, name: &mut String) -> io::Result<TempFile> {
        let mut state = lock(&self.0);
        for _ in 0..TRIES {
            let mut flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            // What a killed process has left under the wanted name is used again.
            if name.is_empty() {
                state.numbers += 1;
                *name = format!("{PREFIX}{}.{}.rdb", std::process::id(), state.numbers);
                flags |= OFlags::EXCL;
            }
            if state.closed {
                return Err(io::Error::other("the server ends"));
            }
            let folder = open_folder()?;
            match rustix::fs::openat(&folder, name.as_str(), flags, Mode::from_raw_mode(0o666)) {
                Ok(file) if make_ours(&file)? => {
                    let place = Arc::new(Place { folder, name: std::mem::take(name) });
                    state.open.push(Arc::clone(&place));
                    let all = Arc::clone(self);
                    return Ok(TempFile { all, place, file: Some(file.into()), renamed: false });
                }
                Ok(_) | Err(Errno::EXIST | Errno::LOOP | Errno::ISDIR) => name.clear(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::EXIST.into())
    }

    /// The process ends: removes what is in the making.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.0);
        state.closed = true;
        state.open.iter().for_each(|place| place.remove());
    }
}

/// Locks a file and empties it. False if somebody else has to do with it.
fn make_ours(file: &OwnedFd) -> rustix::io::Result<bool> {
    let locked = rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive);
    // Where there are no locks at all nobody finds it unlocked either.
    if locked == Err(Errno::WOULDBLOCK) {
        return Ok(false);
    }
    let facts = rustix::fs::fstat(file)?;
    let plain = FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile;
    if !plain || facts.st_nlink != 1 {
        return Ok(false);
    }
    rustix::fs::ftruncate(file, 0)?;
    Ok(true)
}

impl TempFile {
    /// Open for reading and writing.
    pub(crate) fn file(&mut self) -> &mut File {
        self.file.as_mut().expect("it is given away last")
    }

    /// The file that has got its name.
    pub(crate) fn into_file(mut self) -> File {
        assert!(self.renamed, "one that goes is of no use");
        self.file.take().expect("it is given away last")
    }

    /// What it is called for now.
    pub(crate) fn name(&self) -> &str {
        &self.place.name
    }

    /// Gives it its final name, in the folder in which it was begun.
    ///
    /// # Errors
    /// The system's; the file is removed in the end, if it is still there.
    pub(crate) fn rename(&mut self, target: &Path) -> io::Result<()> {
        let folder = &self.place.folder;
        rustix::fs::renameat(folder, &self.place.name, folder, target)?;
        self.renamed = true;
        Ok(())
    }

    /// Makes the new name last.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn sync_folder(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.place.folder)?)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.renamed {
            self.place.remove();
        }
        lock(&self.all.0).open.retain(|place| !Arc::ptr_eq(place, &self.place));
    }
}

fn open_folder() -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, ".", flags, Mode::empty())
}

/// Removes from the working folder what servers have left that were killed.
pub(crate) fn remove_orphans(node: &Node) {
    let Ok(entries) = std::fs::read_dir(".") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| is_ours(name)) else { continue };
        if matches!(remove_orphan(name), Ok(true)) {
            node.log(Level::Notice, &format!("Removed {name}, which a killed server has left."));
        }
    }
}

/// Whether a name is one that [`TempFiles::create`] gives.
fn is_ours(name: &str) -> bool {
    let middle = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(".rdb"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    middle
        .and_then(|middle| middle.split_once('.'))
        .is_some_and(|(pid, number)| is_number(pid) && is_number(number))
}

/// Removes a file unless its server lives, or it is no file of a server.
fn remove_orphan(name: &str) -> rustix::io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, name, flags, Mode::empty())?;
    let facts = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
        return Ok(false);
    }
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    // Between the two calls its server may have given it another name, and somebody this one to
    // another file.
    let there = rustix::fs::statat(CWD, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if (there.st_dev, there.st_ino) != (facts.st_dev, facts.st_ino) {
        return Ok(false);
    }
    rustix::fs::unlinkat(CWD, name, AtFlags::empty())?;
    Ok(true)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use super::*;

    impl TempFile {
        /// What is written goes to `other` instead: a disk with ways of its own.
        pub(crate) fn writes_to(mut self, other: File) -> TempFile {
            self.file = Some(other);
            self
        }
    }

    /// A folder of its own, which is the working folder: one test a process sees to that.
    pub(crate) fn in_a_folder(test: impl FnOnce()) {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _one = lock(&ONE_AT_A_TIME);
        let name = format!("tandem-temp-files-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a new folder");
        let before = std::env::current_dir().expect("there is one");
        std::env::set_current_dir(&folder).expect("it is there");
        test();
        std::env::set_current_dir(before).expect("it is still there");
        std::fs::remove_dir_all(&folder).expect("it was there");
    }

    /// What is in it.
    pub(crate) fn names() -> Vec<String> {
        let entries = std::fs::read_dir(".").expect("it is there");
        let mut names: Vec<String> =
            entries.flatten().map(|e| e.file_name().into_string().expect("our names")).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_not_renamed_goes() {
        in_a_folder(|| {
            let all = Arc::new(TempFiles::default());
            let (mut one, two) = (all.create().expect("room"), all.create().expect("room"));
            let saved = all.create_for_save().expect("room");
            assert_eq!(names().len(), 3);
            one.file().write_all(b"1").expect("room");
            one.rename(Path::new("dump.rdb")).expect("it is there");
            one.sync_folder().expect("a folder");
            drop((one, saved));
            assert_eq!(names(), ["dump.rdb", two.name()]);
            all.close();
            assert_eq!(names(), ["dump.rdb"]);
            assert!(all.create().is_err(), "the process ends");
            assert_eq!(std::fs::read("dump.rdb").expect("it is there"), b"1");
        });
    }

    #[test]
    fn a_file_stays_in_the_folder_in_which_it_was_begun() {
        in_a_folder(|| {
            let all = Arc::new(TempFiles::default());
            let mut file = all.create().expect("room");
            let given_up = all.create().expect("room");
            std::fs::create_dir("other").expect("room");
            std::env::set_current_dir("other").expect("it is there");
            file.rename(Path::new("dump.rdb")).expect("it is there");
            drop(given_up);
            assert_eq!(names(), [""; 0]);
            std::env::set_current_dir("..").expect("it is there");
            assert_eq!(names(), ["dump.rdb", "other"]);
        });
    }

    #[test]
    fn what_others_have_put_there_is_left_alone() {
        in_a_folder(|| {
            let all = Arc::new(TempFiles::default());
            let pid = std::process::id();
            std::fs::write("victim", "mine").expect("room");
            let save = format!("temp-{pid}.rdb");
            std::os::unix::fs::symlink("victim", &save).expect("room");
            std::fs::write(format!("{PREFIX}{pid}.1.rdb"), "mine").expect("room");
            let (saved, file) = (all.create_for_save().expect("room"), all.create().expect("room"));
            assert_eq!(names().len(), 5, "{:?}", names());
            assert_ne!(saved.name(), save);
            drop((saved, file));
            assert_eq!(names().len(), 3);
            assert_eq!(std::fs::read("victim").expect("it is there"), b"mine");
            // One that a process with our number has left is written anew.
            std::fs::remove_file(&save).expect("it is there");
            std::fs::write(&save, "old").expect("room");
            let saved = all.create_for_save().expect("room");
            assert_eq!((saved.name(), std::fs::metadata(&save).expect("there").len()), (&*save, 0));
            // Unless that process lives, somewhere else.
            assert_ne!(all.create_for_save().expect("room").name(), save);
        });
    }

    #[test]
    fn only_orphans_of_our_own_are_removed() {
        in_a_folder(|| {
            let all = Arc::new(TempFiles::default());
            let alive = all.create().expect("room");
            let foreign = [
                "temp-1.rdb",
                "temp-17.4711.rdb",
                "temp-tandem-1.rdb",
                "temp-tandem-1.2.rdb.bak",
                "temp-tandem-x.2.rdb",
                "temp-tandem-.2.rdb",
            ];
            for name in foreign {
                std::fs::write(name, "x").expect("room");
                assert!(!is_ours(name));
            }
            std::fs::write("temp-tandem-4711.3.rdb", "x").expect("room");
            std::fs::create_dir("temp-tandem-1.1.rdb").expect("room");
            std::os::unix::fs::symlink("temp-1.rdb", "temp-tandem-1.4.rdb").expect("room");
            let orphan = |name: &str| remove_orphan(name);
            assert!(is_ours(alive.name()) && orphan(alive.name()).is_err(), "it is locked");
            assert_eq!(orphan("temp-tandem-1.1.rdb"), Ok(false));
            assert!(orphan("temp-tandem-1.4.rdb").is_err());
            assert_eq!(orphan("temp-tandem-4711.3.rdb"), Ok(true));
            assert_eq!(names().len(), foreign.len() + 3);
        });
    }
}
