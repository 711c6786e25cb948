//! A spool over a real folder, and over disks that hang or refuse: a pipe that nobody reads,
//! and `/dev/full`.

use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::*;
use crate::clock::Clock;
use crate::temp_files::tests::{in_a_folder, names};

fn shared() -> Arc<Shared> {
    Arc::new(Shared::new(1, Clock::start()).expect("room"))
}

fn spool() -> Spool {
    let spool = Spool::default();
    spool.set_target("dump.rdb".into());
    spool
}

#[track_caller]
fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Some(found) => return found,
            None => assert!(began.elapsed() < Duration::from_secs(20), "it did not come"),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[track_caller]
fn wait_until(mut look: impl FnMut() -> bool) {
    wait_for(|| look().then_some(()));
}

/// A transfer to a disk that takes nothing until its other end is read.
fn begin_on_pipe(spool: &Spool, shared: &Arc<Shared>) -> PipeReader {
    let (reader, writer) = std::io::pipe().expect("room");
    let temp = shared.temp_files.create().expect("room");
    let temp = temp.writes_to(File::from(OwnedFd::from(writer)));
    spool.begin_on(temp, shared).expect("room");
    reader
}

fn begin_on_full_disk(spool: &Spool, shared: &Arc<Shared>) {
    let full = File::options().read(true).write(true).open("/dev/full").expect("Linux has it");
    let temp = shared.temp_files.create().expect("room").writes_to(full);
    spool.begin_on(temp, shared).expect("room");
}

/// Whether worker 0 has been woken since the last call.
fn is_woken(shared: &Shared) -> bool {
    let mut count = [0; 8];
    rustix::io::read(&shared.wakers[0], &mut count).is_ok()
}

fn waiting_bytes(spool: &Spool) -> usize {
    let transfer = lock(&spool.transfer);
    transfer.as_ref().expect("one is under way").progress.waiting_bytes.load(Ordering::SeqCst)
}

/// Of the kind that is written in pieces of 256 kB, with some more than is flushed at a time.
fn bytes() -> Vec<u8> {
    (0..9_000_000u32).map(|n| (n ^ (n >> 11)) as u8).collect()
}

#[test]
fn it_has_its_name_last() {
    in_a_folder(|| {
        let (spool, shared, bytes) = (spool(), shared(), bytes());
        std::fs::write("dump.rdb", "old").expect("room");
        spool.begin(&shared).expect("room");
        assert_eq!(spool.done(), None);
        bytes.chunks(256 << 10).for_each(|piece| spool.write(piece));
        assert!(!spool.is_behind());
        spool.sync();
        assert_eq!(wait_for(|| spool.done()), Ok(()));
        // It is done, and then says so.
        wait_until(|| is_woken(&shared));
        assert_eq!(spool.done(), None, "it is told once");
        assert_eq!(std::fs::read("dump.rdb").expect("it is there"), b"old");
        assert_eq!(names().len(), 2);
        spool.finish();
        assert_eq!(wait_for(|| spool.done()), Ok(()));
        wait_until(|| is_woken(&shared));
        assert_eq!(names(), ["dump.rdb"]);
        let mut read = Vec::new();
        let mut buf = vec![0; 1 << 20];
        loop {
            match spool.read(&mut buf).expect("a file") {
                0 => break,
                count => read.extend_from_slice(&buf[..count]),
            }
        }
        assert!(read == bytes && std::fs::read("dump.rdb").expect("it is there") == bytes);
        assert!(spool.read(&mut buf).is_err(), "it is closed");
    });
}

#[test]
fn a_disk_that_is_far_behind_holds_up_the_reading() {
    in_a_folder(|| {
        let (spool, shared) = (spool(), shared());
        let mut disk = begin_on_pipe(&spool, &shared);
        let piece = vec![7; 1 << 20];
        // The first one may be on its way already: it counts until the disk has all of it.
        for _ in 0..16 {
            spool.write(&piece);
            assert!(!spool.is_behind());
        }
        spool.write(&piece);
        assert!(spool.is_behind() && !is_woken(&shared));
        let mut took = vec![0; CAUGHT_UP_BYTES + (1 << 20)];
        disk.read_exact(&mut took).expect("it was written");
        wait_until(|| is_woken(&shared));
        assert_eq!(waiting_bytes(&spool), CAUGHT_UP_BYTES);
        assert!(!spool.is_behind());
        // That much is flushed, which a pipe cannot be.
        let error = wait_for(|| spool.done());
        assert_eq!(error, Err(SpoolError::Sync("Invalid argument".to_owned())));
    });
}

#[test]
fn a_full_disk_is_told_of_until_it_is_given_up() {
    in_a_folder(|| {
        let (spool, shared) = (spool(), shared());
        begin_on_full_disk(&spool, &shared);
        let full = Err(SpoolError::Write("No space left on device".to_owned()));
        spool.write(&[7; 100]);
        wait_until(|| is_woken(&shared));
        assert_eq!(spool.done(), Some(full.clone()));
        assert_eq!(names(), [""; 0]);
        // What comes before the link has heard of it waits for nothing.
        spool.write(&vec![7; BEHIND_BYTES + 1]);
        assert!(!spool.is_behind());
        spool.sync();
        assert_eq!(spool.done(), Some(full));
        assert!(spool.read(&mut [0; 10]).is_err());
        spool.abort();
        assert_eq!(spool.done(), None);
        spool.begin(&shared).expect("room");
        spool.sync();
        assert_eq!(wait_for(|| spool.done()), Ok(()));
    });
}

#[test]
fn a_disk_that_keeps_nothing_is_told_of() {
    in_a_folder(|| {
        let (spool, shared) = (spool(), shared());
        // A pipe cannot be flushed.
        let _disk = begin_on_pipe(&spool, &shared);
        spool.write(&[7; 100]);
        spool.sync();
        let error = wait_for(|| spool.done());
        assert_eq!(error, Err(SpoolError::Sync("Invalid argument".to_owned())));
        assert_eq!(names(), [""; 0]);
    });
}

#[test]
fn a_name_that_cannot_be_given_is_told_of() {
    in_a_folder(|| {
        let (spool, shared) = (spool(), shared());
        std::fs::create_dir("dump.rdb").expect("room");
        spool.begin(&shared).expect("room");
        spool.sync();
        assert_eq!(wait_for(|| spool.done()), Ok(()));
        spool.finish();
        let error = wait_for(|| spool.done());
        assert_eq!(error, Err(SpoolError::Rename("Is a directory".to_owned())));
        assert_eq!(names(), ["dump.rdb"]);
    });
}

#[test]
fn what_is_given_up_goes_whatever_the_disk_does() {
    in_a_folder(|| {
        let (spool, shared) = (spool(), shared());
        std::fs::write("dump.rdb", "old").expect("room");
        // Empty, written, on the disk.
        for step in 0..3 {
            spool.begin(&shared).expect("room");
            if step > 0 {
                spool.write(&[7; 1000]);
            }
            if step > 1 {
                spool.sync();
                assert_eq!(wait_for(|| spool.done()), Ok(()));
            }
            spool.abort();
            spool.finish();
            wait_until(|| names() == ["dump.rdb"]);
        }
        // In the middle of a write that hangs: the next transfer does not wait for it.
        let mut disk = begin_on_pipe(&spool, &shared);
        spool.write(&vec![7; 1 << 20]);
        spool.write(&[7; 1000]);
        disk.read_exact(&mut [0; 1000]).expect("it is being written");
        spool.begin(&shared).expect("room");
        spool.write(b"new");
        spool.sync();
        assert_eq!(wait_for(|| spool.done()), Ok(()));
        assert_eq!(names().len(), 3);
        drop(disk);
        wait_until(|| names().len() == 2);
        spool.finish();
        assert_eq!(wait_for(|| spool.done()), Ok(()));
        assert_eq!(names(), ["dump.rdb"]);
        assert_eq!(std::fs::read("dump.rdb").expect("it is there"), b"new");
    });
}

#[test]
fn a_file_belongs_where_it_was_begun_under_the_name_that_it_has_in_the_end() {
    in_a_folder(|| {
        let (spool, shared) = (spool(), shared());
        spool.begin(&shared).expect("room");
        std::fs::create_dir("other").expect("room");
        std::env::set_current_dir("other").expect("it is there");
        spool.set_target("other.rdb".into());
        spool.write(b"new");
        spool.sync();
        assert_eq!(wait_for(|| spool.done()), Ok(()));
        spool.finish();
        spool.set_target("too-late.rdb".into());
        assert_eq!(wait_for(|| spool.done()), Ok(()));
        assert_eq!(names(), [""; 0]);
        std::env::set_current_dir("..").expect("it is there");
        assert_eq!(names(), ["other", "other.rdb"]);
    });
}

#[test]
fn the_end_of_the_process_leaves_nothing() {
    in_a_folder(|| {
        let (spool, shared) = (spool(), shared());
        spool.begin(&shared).expect("room");
        spool.write(b"new");
        spool.sync();
        assert_eq!(wait_for(|| spool.done()), Ok(()));
        shared.temp_files.close();
        assert_eq!(names(), [""; 0]);
        spool.finish();
        let error = wait_for(|| spool.done());
        assert_eq!(error, Err(SpoolError::Rename("No such file or directory".to_owned())));
    });
}
