//! The snapshot file: written under a temporary name, flushed, renamed, and the folder flushed,
//! so that after a crash there is the old file or the new one and never a part of one.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::ScopedJoinHandle;

use tandem_engine::loading::{Load, Stage};
use tandem_engine::node::{Level, Node, lock};
use tandem_engine::persistence::SnapshotOrder;

use crate::daemon::os_words;
use crate::memory;
use crate::temp_files::{Refused, TempFile};

/// Where the snapshot file is: `dir` is the working folder, `dbfilename` the name.
pub(crate) fn snapshot_path(node: &Node) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(node.config().dbfilename()))
}

/// Writes a snapshot to its file by way of `temp`; returns its length, and the file to read.
pub(crate) fn write_snapshot(
    node: &Node,
    order: SnapshotOrder,
    temp: Result<TempFile, Refused>,
) -> Result<(u64, File), String> {
    let mut temp = match temp {
        Ok(temp) => temp,
        Err(Refused { name, error }) => {
            order.give_up(node);
            let (folder, why) = (root_dir(), os_words(&error));
            return Err(format!(
                "Failed opening the temp RDB file {name} (in server root dir {folder}) for \
                 saving: {why}"
            ));
        }
    };
    match write_and_rename(node, order, &mut temp) {
        Ok(length) => Ok((length, temp.into_file())),
        Err(why) => {
            let began_ns = node.host.clock_ns();
            drop(temp);
            let took_ns = node.host.clock_ns().saturating_sub(began_ns);
            node.monitor.event("rdb-unlink-temp-file", took_ns, node.recent_unix());
            Err(why)
        }
    }
}

fn write_and_rename(node: &Node, order: SnapshotOrder, temp: &mut TempFile) -> Result<u64, String> {
    let path = snapshot_path(node);
    let (id, name) = (order.id, temp.name().to_owned());
    let written = write_beside(node, order, temp.file())
        .map_err(|error| format!("Write error saving DB on disk: {}", os_words(&error)))?;
    let Some(length) = written else { return Err(STOPPED.to_owned()) };
    let mut sync = || -> io::Result<bool> {
        temp.file().sync_all()?;
        // One that was stopped while it was flushed must not replace what came after it.
        let renamed = node.persistence.unless_stopped(id, || temp.rename(&path));
        let Some(renamed) = renamed else { return Ok(false) };
        renamed.and_then(|()| temp.sync_folder()).map(|()| true)
    };
    let in_place = sync().map_err(|error| {
        format!(
            "Error moving temp DB file {name} on the final destination {} (in server root dir \
             {}): {}",
            path.display(),
            root_dir(),
            os_words(&error)
        )
    })?;
    if !in_place {
        return Err(STOPPED.to_owned());
    }
    node.log(Level::Notice, "DB saved on disk");
    Ok(length)
}

fn root_dir() -> String {
    std::env::current_dir().unwrap_or_default().display().to_string()
}

/// What became of a snapshot that somebody has stopped.
const STOPPED: &str = "the snapshot was given up";

/// Makes the snapshot and writes it, side by side: while the disk takes one chunk the next is
/// made. Returns the length, or `None` if the snapshot was given up.
fn write_beside(node: &Node, order: SnapshotOrder, file: &mut File) -> io::Result<Option<u64>> {
    std::thread::scope(|scope| {
        let (chunks, taken) = std::sync::mpsc::sync_channel::<Vec<u8>>(CHUNKS_AHEAD);
        let writer = std::thread::Builder::new().spawn_scoped(scope, move || -> io::Result<u64> {
            let (mut length, mut unsynced) = (0u64, 0u64);
            for chunk in taken {
                file.write_all(&chunk)?;
                length += chunk.len() as u64;
                unsynced += chunk.len() as u64;
                drop(chunk);
                memory::count_in();
                if unsynced > SYNC_EVERY_BYTES {
                    // A little at a time, so that the last flush does not have all to do.
                    unsynced = 0;
                    file.sync_data()?;
                }
            }
            Ok(length)
        });
        let writer = match writer {
            Ok(writer) => writer,
            Err(error) => {
                order.give_up(node);
                return Err(error);
            }
        };
        // A writer that has failed takes no more; its error is told below.
        let finished = order.produce(node, &mut |chunk| {
            memory::count_in();
            chunks.send(chunk).is_ok()
        });
        drop(chunks);
        let length = writer.join().expect("a writer does not panic")?;
        Ok(finished.then_some(length))
    })
}

/// Chunks made before the disk has taken them.
const CHUNKS_AHEAD: usize = 16;
const SYNC_EVERY_BYTES: u64 = 32 << 20;

/// Stages on their way to the keyspace.
const STAGES_AHEAD: usize = 8;
/// Threads that put them there; one that parses keeps about three busy.
const INSERTERS: usize = 3;
/// Bytes read at a time while loading.
pub(crate) const READ_BYTES: usize = 1 << 20;

/// Opens the snapshot file, if there is one: it and its length. The error is the system's words.
pub(crate) fn open_snapshot(node: &Node) -> Result<Option<(File, u64)>, String> {
    match File::open(snapshot_path(node)) {
        Ok(file) => {
            let bytes = file.metadata().map_or(0, |meta| meta.len());
            Ok(Some((file, bytes)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(os_words(&error)),
    }
}

/// Loads the whole of `file`, `step` bytes at a time; `progress` is told after each step how many
/// bytes are loaded.
pub(crate) fn load_file(
    node: &Node,
    file: &mut File,
    mut load: Load,
    step: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<Load, String> {
    std::thread::scope(|scope| {
        // One thread reads and parses, others put keys into the keyspace, which has to wait for
        // memory; stages go to and fro between them, so that their memory is used again.
        let (full, fulls) = std::sync::mpsc::sync_channel::<Stage>(STAGES_AHEAD);
        let (empty, empties) = std::sync::mpsc::channel::<Stage>();
        let fulls = Arc::new(Mutex::new(fulls));
        let inserter = |_| {
            let (fulls, empty) = (Arc::clone(&fulls), empty.clone());
            std::thread::Builder::new().spawn_scoped(scope, move || {
                loop {
                    let next = lock(&fulls).recv();
                    let Ok(mut stage) = next else { return Ok(()) };
                    stage.insert(node)?;
                    memory::count_in();
                    // Nobody wants it any more at the end.
                    let _ = empty.send(stage);
                }
            })
        };
        let mut inserters = Vec::with_capacity(INSERTERS);
        for started in (0..INSERTERS).map(inserter) {
            match started {
                Ok(one) => inserters.push(one),
                Err(error) if inserters.is_empty() => {
                    return Err(format!("no thread to load with: {}", os_words(&error)));
                }
                // Fewer take longer.
                Err(_) => break,
            }
        }
        // From here on the inserters alone hold their end: when all have failed, none is left.
        drop(fulls);
        let mut put = |stage| {
            // It takes no more once it has failed, which is told at the end.
            let _ = full.send(stage);
            empties.try_recv().unwrap_or_default()
        };
        let mut buf = vec![0; step.min(READ_BYTES)];
        let mut read = || {
            while !inserters.iter().any(ScopedJoinHandle::is_finished) {
                let count = match file.read(&mut buf) {
                    Ok(0) => break,
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => {
                        let (at, why) = (load.bytes(), os_words(&error));
                        return Err(format!("Internal error in RDB reading offset {at} -> {why}"));
                    }
                };
                load.take_beside(node, &buf[..count], &mut put)?;
                progress(load.bytes());
            }
            Ok(())
        };
        let read = read();
        drop(full);
        let ended = inserters.into_iter().map(|one| one.join().expect("no panic"));
        ended.fold(Ok(()), Result::and).and(read)
    })?;
    load.finish(node)?;
    Ok(load)
}
