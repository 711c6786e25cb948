//! One block of the stream: bytes that are written once, in order, by one writer, while any
//! number of readers follow behind.
//!
//! ```text
//!   bytes:  | published, never touched again | the writer's own | not yet written |
//!           0                       `published`            `filled`          capacity
//! ```
//! The writer owns everything from `published` on, readers may look at everything before it,
//! so nobody needs a lock: the one atomic length is the whole agreement. A block that is full
//! points to the block after it; a reader holds the block it stands in, and through `next`
//! everything that came later. Nothing here knows offsets' meaning, windows or locks: see
//! [`stream`](crate::stream). This module holds the crate's only unsafe code.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Bytes of the stream that lie together in memory.
pub(crate) struct Block {
    /// Stream bytes before this block: its first byte has position `start + 1`.
    start: u64,
    /// Bytes that readers may look at. Only grows; stored by the one [`Tail`].
    published: AtomicUsize,
    /// The history this block belongs to has been given up.
    dead: AtomicBool,
    /// What follows; set once, when this block is full.
    next: OnceLock<Arc<Block>>,
    bytes: Box<[UnsafeCell<MaybeUninit<u8>>]>,
}

// SAFETY: `bytes` is the only field that is not `Sync` by itself. Its first `published` bytes
// are initialised and never written again; the rest is touched by nobody but the block's one
// `Tail`, which cannot be cloned and writes through `&mut self`. `published` is stored with
// Release after the bytes and loaded with Acquire before them.
unsafe impl Sync for Block {}

impl Block {
    fn new(start: u64, capacity: usize) -> Arc<Block> {
        assert!(capacity > 0, "a block without room would never end");
        let bytes = Box::<[u8]>::new_uninit_slice(capacity);
        // SAFETY: `UnsafeCell<T>` has the same layout as `T`, so the slice keeps its length,
        // size and alignment, and the allocation is given back with the layout it was made
        // with.
        let bytes =
            unsafe { Box::from_raw(Box::into_raw(bytes) as *mut [UnsafeCell<MaybeUninit<u8>>]) };
        Arc::new(Block {
            start,
            published: AtomicUsize::new(0),
            dead: AtomicBool::new(false),
            next: OnceLock::new(),
            bytes,
        })
    }

    /// Stream bytes before this block.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Bytes that this block can hold.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Memory taken, bookkeeping included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.len() + size_of::<Block>()
    }

    /// The bytes from `from` that readers may look at, as of now.
    pub(crate) fn readable(&self, from: usize) -> &[u8] {
        let published = self.published.load(Ordering::Acquire);
        assert!(from <= published, "a reader is ahead of its writer");
        // SAFETY: `from <= published <= capacity`, so the range lies in the allocation. Those
        // bytes were initialised before the Release store that the load above has seen, and
        // nobody writes to them again, so a shared slice of them is sound for as long as the
        // block lives.
        unsafe {
            std::slice::from_raw_parts(self.bytes.as_ptr().add(from).cast::<u8>(), published - from)
        }
    }

    /// The block after this one, once this one is full.
    pub(crate) fn next(&self) -> Option<&Arc<Block>> {
        self.next.get()
    }

    /// Says that the history of this block has been given up.
    pub(crate) fn kill(&self) {
        self.dead.store(true, Ordering::Release);
    }

    /// Whether the history of this block has been given up.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }
}

impl Drop for Block {
    /// Frees a chain in a loop: left to itself the drop of `next` would recurse once per
    /// block, and a slow replica can pin a hundred thousand of them.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(block) = next {
            next = Arc::into_inner(block).and_then(|mut block| block.next.take());
        }
    }
}

/// The right to write to the newest block. There is one for a chain of blocks.
pub(crate) struct Tail {
    block: Arc<Block>,
    /// Bytes written; at least the published ones.
    filled: usize,
}

impl Tail {
    /// The start of a new chain.
    pub(crate) fn new(start: u64, capacity: usize) -> Tail {
        Tail { block: Block::new(start, capacity), filled: 0 }
    }

    /// The block that is being written.
    pub(crate) fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// Stream bytes up to and including the last one written.
    pub(crate) fn end(&self) -> u64 {
        self.block.start + self.filled as u64
    }

    /// Bytes that still fit.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.block.bytes.len() - self.filled
    }

    /// Writes `bytes`, which must fit; readers see them after [`Tail::publish`].
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "pushed more than fits");
        // SAFETY: the target range lies in the allocation (asserted). No reader looks past
        // `published <= filled`, and no other writer exists (`Tail` is unique to its block and
        // borrowed mutably), so the range is ours alone; it is written through the
        // `UnsafeCell`s' raw pointer, and no reference to it exists. `bytes` cannot overlap
        // it: a shared slice of unpublished bytes cannot be had.
        unsafe {
            let target = UnsafeCell::raw_get(self.block.bytes.as_ptr().add(self.filled));
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target.cast::<u8>(), bytes.len());
        }
        self.filled += bytes.len();
    }

    /// Lets readers see everything written so far.
    #[inline]
    pub(crate) fn publish(&self) {
        self.block.published.store(self.filled, Ordering::Release);
    }

    /// Goes on in a new block of `capacity` bytes. The current one must be full.
    pub(crate) fn follow(&mut self, capacity: usize) {
        assert!(self.room() == 0, "a block that is left must be full");
        self.publish();
        let next = Block::new(self.end(), capacity);
        let linked = self.block.next.set(Arc::clone(&next));
        assert!(linked.is_ok(), "a block is followed once");
        *self = Tail { block: next, filled: 0 };
    }
}
