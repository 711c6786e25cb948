//! The ordered byte stream, and the window of it that can still be handed out.
//!
//! ```text
//!            first_byte                                        end
//!                │                                              │
//!   (forgotten)  ▼ [block] → [block] → [block] → [block: being written]
//!                     ▲                    ▲
//!                  Cursor (slow)        Cursor (caught up)
//! ```
//! Everything that changes the data is appended here once; replicas, the append-only file and
//! a snapshot's "everything since the cut" are readers that hold a [`Cursor`]. Appending takes
//! one short lock, a copy of the bytes and two stores; reading takes no lock at all.
//!
//! The window keeps the newest `repl-backlog-size` bytes, in whole blocks, and longer while a
//! cursor stands in an old block: the bytes are in memory anyway, so a new reader may start
//! from them too (Redis does the same since 7.0). A stream begins *inactive*: a master that
//! never had a replica has no backlog, its offset stands still and appending does nothing.
//!
//! Absent: sockets, wake-ups (who appended knows whom to wake), output-buffer limits
//! ([`Cursor::pending`] is what they need), and any knowledge of commands but the three that
//! replication itself writes: see [`wire`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tandem_base::{DbIndex, NextByte, ReplOffset};

use crate::block::{Block, Tail};
use crate::wire;

/// The least that `repl-backlog-size` can mean; smaller settings are taken as this.
pub const BACKLOG_BYTES_MIN: u64 = 16 * 1024;
/// What `repl-backlog-size` is when nobody sets it.
pub const BACKLOG_BYTES_DEFAULT: u64 = 1024 * 1024;
/// Size of a block, unless the window is small or a piece is large.
const BLOCK_BYTES: usize = 64 * 1024;
/// Blocks given back by one append, so that a slow reader that leaves a long history behind
/// does not stall the writer that happens to come next.
const TRIM_BLOCKS_PER_APPEND: usize = 64;

const _: () = assert!(BACKLOG_BYTES_MIN <= BACKLOG_BYTES_DEFAULT);

/// The stream of one node. Shared by all its threads.
pub struct Stream {
    /// Offset of the last byte. Stored under the lock, read by anybody.
    end: AtomicU64,
    active: AtomicBool,
    window: Mutex<Window>,
}

/// What the lock guards.
struct Window {
    /// Where appending goes on; `None` while inactive.
    tail: Option<Tail>,
    /// All blocks from the oldest that is kept to the tail's. Empty while inactive.
    blocks: VecDeque<Arc<Block>>,
    /// What the blocks take together.
    memory_bytes: usize,
    /// `repl-backlog-size`.
    size_bytes: u64,
    /// The database that a reader of the stream has selected at its end; `None`: say it anew.
    selected: Option<DbIndex>,
    /// Raised when the readers of today are to read no further.
    readers_cut_off: Arc<AtomicBool>,
}

/// What INFO and a PSYNC decision need to know of the window, read at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowFacts {
    /// The oldest byte that can still be handed out; the one after `end` when there is none.
    pub first_byte: NextByte,
    /// The newest byte.
    pub end: ReplOffset,
}

impl WindowFacts {
    /// Bytes that can be handed out.
    pub fn histlen(&self) -> u64 {
        self.end.next_byte().0 - self.first_byte.0
    }

    /// Whether a reader that wants `next` first can be served.
    pub fn covers(&self, next: NextByte) -> bool {
        self.first_byte <= next && next <= self.end.next_byte()
    }
}

impl Stream {
    /// An inactive stream at offset 0 that will keep `size_bytes` (`repl-backlog-size`).
    pub fn new(size_bytes: u64) -> Stream {
        Stream {
            end: AtomicU64::new(0),
            active: AtomicBool::new(false),
            window: Mutex::new(Window {
                tail: None,
                blocks: VecDeque::new(),
                memory_bytes: 0,
                size_bytes: size_bytes.max(BACKLOG_BYTES_MIN),
                selected: None,
                readers_cut_off: Arc::default(),
            }),
        }
    }

    /// Whether appending does anything; one relaxed load, to be asked before an effect is
    /// even encoded.
    #[inline]
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// Offset of the last byte: `master_repl_offset`.
    #[inline]
    pub fn end(&self) -> ReplOffset {
        ReplOffset(self.end.load(Ordering::Acquire))
    }

    /// Starts to keep history, at offset `at`: with the first replica, or with the offset that
    /// an RDB file or a master told. The stream must be inactive.
    pub fn activate(&self, at: ReplOffset) {
        let mut window = self.lock();
        assert!(window.tail.is_none(), "the stream is active already");
        self.begin(&mut window, at);
    }

    /// Moves the offset of an inactive stream: a replica that starts from an RDB file stands
    /// at the file's offset before it has any history to hand out.
    pub fn place_at(&self, at: ReplOffset) {
        let window = self.lock();
        assert!(window.tail.is_none(), "an active stream moves by appending");
        self.end.store(at.0, Ordering::Release);
    }

    /// Gives up all history (after `repl-backlog-ttl` without replicas). The offset stays;
    /// every cursor is dead.
    pub fn release(&self) {
        self.give_up(&mut self.lock());
    }

    /// Gives up all history and goes on at `at`, empty and active: a full resync has put other
    /// data in place. Every cursor from before is dead.
    pub fn reset_to(&self, at: ReplOffset) {
        let mut window = self.lock();
        self.give_up(&mut window);
        self.begin(&mut window, at);
    }

    /// Appends bytes as they are, and tells the new end. Does nothing while inactive.
    ///
    /// This is how a replica keeps its master's bytes; the database they select is not known
    /// here, so the next [`Writer::select`] says it anew.
    pub fn append(&self, bytes: &[u8]) -> ReplOffset {
        self.append_with(|writer| {
            writer.window.selected = None;
            writer.push(bytes);
        })
    }

    /// Appends what `write` pushes, in one piece, and tells the new end. Does nothing, and
    /// does not call `write`, while inactive.
    #[inline]
    pub fn append_with(&self, write: impl FnOnce(&mut Writer<'_>)) -> ReplOffset {
        let mut window = self.lock();
        if window.tail.is_some() {
            let mut writer = Writer { window: &mut window, end: &self.end };
            write(&mut writer);
            writer.publish();
        }
        self.end()
    }

    /// Makes the next write say its database anew: after a snapshot's cut (a new reader starts
    /// there) and after a change of role. Tells the end at that moment, which is the offset
    /// that a snapshot's cut is at. (A replica's stream is its master's: there the snapshot has
    /// to say which database is selected at the cut, as `repl-stream-db`.)
    pub fn forget_selected_db(&self) -> ReplOffset {
        let mut window = self.lock();
        window.selected = None;
        self.end()
    }

    /// The database that the end of the stream has selected, if it has been said: what an RDB
    /// file keeps as `repl-stream-db`.
    pub fn selected_db(&self) -> Option<DbIndex> {
        self.lock().selected
    }

    /// A reader whose first byte is `next`; `None` if that byte is gone or not even near.
    pub fn cursor_at(&self, next: NextByte) -> Option<Cursor> {
        let window = self.lock();
        window.facts().filter(|facts| facts.covers(next))?;
        // The last block that starts before `next`: the byte lies in it or right after it.
        let after = window.blocks.partition_point(|block| block.start() < next.0);
        let block = &window.blocks[after - 1];
        let at = usize::try_from(next.taken().0 - block.start()).expect("inside a block");
        let cut_off = Arc::clone(&window.readers_cut_off);
        Some(Cursor { block: Arc::clone(block), at, cut_off })
    }

    /// Lets no reader of today see a byte that is appended from now on, nor the rest of what it
    /// has not read: the history gets another name here, which they have to hear first. New
    /// readers may start anywhere in the window.
    pub fn cut_readers_off(&self) {
        let mut window = self.lock();
        window.readers_cut_off.store(true, Ordering::Release);
        window.readers_cut_off = Arc::default();
    }

    /// What can be handed out; `None` while inactive.
    pub fn window(&self) -> Option<WindowFacts> {
        self.lock().facts()
    }

    /// `repl_backlog_first_byte_offset`: the oldest byte that is kept; 0 while inactive.
    pub fn first_byte(&self) -> u64 {
        self.window().map_or(0, |facts| facts.first_byte.0)
    }

    /// `repl_backlog_histlen`: bytes that can be handed out.
    pub fn histlen(&self) -> u64 {
        self.window().map_or(0, |facts| facts.histlen())
    }

    /// Memory of the window, the part that slow readers pin included.
    pub fn memory_bytes(&self) -> usize {
        self.lock().memory_bytes
    }

    /// Memory of the window beyond what `repl-backlog-size` asks for: what is there because a
    /// replica has yet to read it, and the rest of a block.
    pub fn memory_beyond_backlog(&self) -> u64 {
        if !self.is_active() {
            return 0;
        }
        let window = self.lock();
        (window.memory_bytes as u64).saturating_sub(window.size_bytes)
    }

    /// `repl-backlog-size` as it is in force.
    pub fn size_bytes(&self) -> u64 {
        self.lock().size_bytes
    }

    /// Changes `repl-backlog-size`. The newest bytes stay; what is too much goes block by
    /// block, here and with the next appends.
    pub fn resize(&self, size_bytes: u64) {
        let mut window = self.lock();
        window.size_bytes = size_bytes.max(BACKLOG_BYTES_MIN);
        window.trim(TRIM_BLOCKS_PER_APPEND);
    }

    /// What [`Stream::memory_bytes`] and [`Stream::memory_beyond_backlog`] say while `read` runs:
    /// nobody gives blocks back in between. `read` may not come back here.
    pub fn memory_while<T>(&self, read: impl FnOnce() -> T) -> (u64, u64, T) {
        let window = self.lock();
        let bytes = window.memory_bytes as u64;
        // Nothing while inactive.
        let beyond = bytes.saturating_sub(window.size_bytes);
        (bytes, beyond, read())
    }

    /// Gives back up to `blocks` blocks that nobody needs any more; true if more may remain.
    /// To be called when a reader has left and from time to time. `count_in` runs when they are
    /// free, and before anybody can see that this memory is less; it may not come back here.
    pub fn trim(&self, blocks: usize, count_in: impl FnOnce()) -> bool {
        let mut window = self.lock();
        let gone = window.trim(blocks);
        if gone > 0 {
            count_in();
        }
        gone == blocks
    }

    fn begin(&self, window: &mut Window, at: ReplOffset) {
        let tail = Tail::new(at.0, window.block_bytes(0));
        window.memory_bytes += tail.block().memory_bytes();
        window.blocks.push_back(Arc::clone(tail.block()));
        window.tail = Some(tail);
        window.selected = None;
        self.end.store(at.0, Ordering::Release);
        self.active.store(true, Ordering::Release);
        window.check();
    }

    fn give_up(&self, window: &mut Window) {
        self.active.store(false, Ordering::Release);
        window.tail = None;
        window.selected = None;
        window.memory_bytes = 0;
        for block in window.blocks.drain(..) {
            block.kill();
        }
        window.check();
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().expect("no holder of this lock panics half-way")
    }
}

impl Window {
    fn facts(&self) -> Option<WindowFacts> {
        let tail = self.tail.as_ref()?;
        let first = self.blocks.front().expect("an active window has a block");
        let first_byte = ReplOffset(first.start()).next_byte();
        Some(WindowFacts { first_byte, end: ReplOffset(tail.end()) })
    }

    /// Size of the next block, for a piece of which `left` bytes remain. No block may be a
    /// large part of the window, because it can only go as a whole.
    fn block_bytes(&self, left: usize) -> usize {
        let sixteenth = usize::try_from(self.size_bytes / 16).unwrap_or(usize::MAX);
        let limit = sixteenth.max(BACKLOG_BYTES_MIN as usize);
        left.max(BLOCK_BYTES).min(limit)
    }

    /// Drops old blocks that the window's size does not ask for and no reader stands in, up
    /// to `most`; tells how many went.
    fn trim(&mut self, most: usize) -> usize {
        let Some(end) = self.tail.as_ref().map(Tail::end) else { return 0 };
        let mut gone = 0;
        while gone < most && self.blocks.len() > 1 {
            // Our own reference is the only one unless a cursor stands in the block: the block
            // before it, which pointed here, is gone. A cursor cannot come back to a block.
            if Arc::strong_count(&self.blocks[0]) > 1 {
                break;
            }
            if end - self.blocks[1].start() < self.size_bytes {
                break;
            }
            self.memory_bytes -= self.blocks[0].memory_bytes();
            self.blocks.pop_front();
            gone += 1;
        }
        self.check();
        gone
    }

    fn check(&self) {
        assert_eq!(self.tail.is_none(), self.blocks.is_empty());
        if let (Some(tail), Some(last)) = (&self.tail, self.blocks.back()) {
            assert!(Arc::ptr_eq(tail.block(), last), "the tail is the newest block");
        }
    }
}

/// The writer's end while it holds the lock.
pub struct Writer<'a> {
    window: &'a mut Window,
    end: &'a AtomicU64,
}

impl Writer<'_> {
    /// Appends `bytes`. Readers see them when the whole append is done, or earlier where a
    /// block ends.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        let tail = self.window.tail.as_mut().expect("a writer exists only while active");
        if bytes.len() <= tail.room() {
            tail.push(bytes);
        } else {
            self.push_over_blocks(bytes);
        }
    }

    /// Selects database `db` for what follows, unless it is selected already.
    #[inline]
    pub fn select(&mut self, db: DbIndex) {
        if self.window.selected != Some(db) {
            let mut command = Vec::with_capacity(32);
            wire::push_select(&mut command, db);
            self.push(&command);
            self.window.selected = Some(db);
        }
    }

    /// Offset of the last byte pushed.
    pub fn position(&self) -> ReplOffset {
        ReplOffset(self.window.tail.as_ref().expect("active").end())
    }

    #[cold]
    fn push_over_blocks(&mut self, mut bytes: &[u8]) {
        loop {
            let tail = self.window.tail.as_mut().expect("a writer exists only while active");
            let fitting = tail.room().min(bytes.len());
            let (now, later) = bytes.split_at(fitting);
            tail.push(now);
            bytes = later;
            if bytes.is_empty() {
                return;
            }
            self.publish();
            let capacity = self.window.block_bytes(bytes.len());
            let tail = self.window.tail.as_mut().expect("a writer exists only while active");
            tail.follow(capacity);
            self.window.memory_bytes += tail.block().memory_bytes();
            self.window.blocks.push_back(Arc::clone(tail.block()));
            self.window.trim(TRIM_BLOCKS_PER_APPEND);
        }
    }

    /// The end moves first: who has read a byte must never find the end before it.
    #[inline]
    fn publish(&mut self) {
        let tail = self.window.tail.as_ref().expect("a writer exists only while active");
        self.end.store(tail.end(), Ordering::Release);
        tail.publish();
    }
}

/// A reader of the stream: one replica's place, the file's place. Reading takes no lock and
/// copies nothing.
///
/// It keeps every block from its own on alive, and in the window.
#[derive(Clone)]
pub struct Cursor {
    block: Arc<Block>,
    /// Bytes of `block` that have been read.
    at: usize,
    /// See [`Stream::cut_readers_off`].
    cut_off: Arc<AtomicBool>,
}

impl Cursor {
    /// The next byte to be read.
    pub fn position(&self) -> NextByte {
        ReplOffset(self.block.start() + self.at as u64).next_byte()
    }

    /// The bytes that lie together at the cursor; empty at the end of the stream, or when the
    /// cursor is dead.
    pub fn chunk(&self) -> &[u8] {
        self.chunks().next().unwrap_or_default()
    }

    /// All bytes up to the end of the stream, block by block: what one vectored write takes.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let mut place = (!self.is_dead()).then_some((&*self.block, self.at));
        std::iter::from_fn(move || {
            let (block, at) = place?;
            let bytes = block.readable(at);
            // Asked last: who sees bytes from after the cut sees the flag, raised before them.
            if self.cut_off.load(Ordering::Acquire) {
                place = None;
                return None;
            }
            place = match block.next() {
                // Only a full block has a successor, but it may have filled up since we looked.
                Some(next) if at + bytes.len() == block.capacity() => Some((&**next, 0)),
                Some(_) => Some((block, at + bytes.len())),
                None => None,
            };
            Some(bytes)
        })
        .filter(|bytes| !bytes.is_empty())
    }

    /// Says that the first `count` bytes of [`Cursor::chunks`] have been dealt with.
    pub fn advance(&mut self, mut count: usize) {
        loop {
            let here = self.block.readable(self.at).len().min(count);
            self.at += here;
            count -= here;
            if self.at < self.block.capacity() {
                break;
            }
            let Some(next) = self.block.next() else { break };
            self.block = Arc::clone(next);
            self.at = 0;
        }
        assert_eq!(count, 0, "advanced over bytes that are not there");
    }

    /// Bytes between the cursor and `end`: what an output-buffer limit counts.
    pub fn pending(&self, end: ReplOffset) -> u64 {
        end.0.saturating_sub(self.position().taken().0)
    }

    /// The history that this cursor reads has been given up, or goes on under another name:
    /// its owner must be cut off.
    pub fn is_dead(&self) -> bool {
        self.block.is_dead() || self.cut_off.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests;
