//! Level-triggered epoll and the event that wakes a sleeping worker.
//!
//! Level-triggered, because a loop that stops early for fairness is then simply told again.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

/// What is ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// The number given at [`Poll::add`].
    pub token: u64,
    /// There is something to read, or the other end is gone.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
}

/// What a descriptor is watched for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Interest {
    /// Something to read.
    pub read: bool,
    /// Room to write.
    pub write: bool,
    /// The other end sends no more, even while there is something to read.
    pub hangup: bool,
}

/// One worker's set of watched descriptors.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

const EVENTS_MAX: usize = 1024;

impl Poll {
    /// An empty set.
    pub(crate) fn new() -> io::Result<Poll> {
        Ok(Poll::on(Poll::descriptor()?))
    }

    /// What a set needs of the system: a poll itself stays with its thread.
    pub(crate) fn descriptor() -> io::Result<OwnedFd> {
        Ok(epoll::create(CreateFlags::CLOEXEC)?)
    }

    /// An empty set on a descriptor made for it.
    pub(crate) fn on(epoll: OwnedFd) -> Poll {
        Poll { epoll, events: Vec::with_capacity(EVENTS_MAX) }
    }

    /// Watches `fd` for reading.
    pub(crate) fn add(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token), EventFlags::IN)?)
    }

    /// Changes what `fd` is watched for.
    pub(crate) fn modify(
        &self,
        fd: impl AsFd,
        token: u64,
        read: bool,
        write: bool,
    ) -> io::Result<()> {
        self.watch_for(fd, token, Interest { read, write, hangup: false })
    }

    /// The same, and whether a hang-up counts.
    pub(crate) fn watch_for(&self, fd: impl AsFd, token: u64, what: Interest) -> io::Result<()> {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, what.read);
        flags.set(EventFlags::OUT, what.write);
        flags.set(EventFlags::RDHUP, what.hangup);
        Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(token), flags)?)
    }

    /// Ends the watch of `fd`.
    pub(crate) fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Waits at most `timeout_ms` (`None`: for ever) and appends what is ready to `ready`.
    pub(crate) fn wait(
        &mut self,
        timeout_ms: Option<u64>,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()> {
        let timeout = timeout_ms.map(|ms| Timespec {
            tv_sec: i64::try_from(ms / 1000).expect("timeouts are short"),
            tv_nsec: (ms % 1000 * 1_000_000).cast_signed(),
        });
        self.events.clear();
        let events = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, events, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let gone = EventFlags::ERR | EventFlags::HUP | EventFlags::RDHUP;
        ready.extend(self.events.iter().map(|event| {
            let flags = event.flags;
            Ready {
                token: event.data.u64(),
                readable: flags.intersects(EventFlags::IN | gone),
                writable: flags.intersects(EventFlags::OUT | gone),
            }
        }));
        Ok(())
    }
}

/// Wakes one sleeping worker.
pub(crate) struct Waker(OwnedFd);

impl Waker {
    /// A waker to be watched by its worker.
    pub(crate) fn new() -> io::Result<Waker> {
        Ok(Waker(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Makes the worker's wait return.
    pub(crate) fn wake(&self) {
        // The only failure is a counter that is full: then it is awake already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Takes the wake-ups that have come.
    pub(crate) fn drain(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.0, &mut count);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}
