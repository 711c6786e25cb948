//! A snapshot on its way to one replica: from a file, or from the chunks of a running snapshot.
//!
//! ```text
//! snapshot thread ─► ChunkQueue ─┬─► replica 1 (at chunk 7)
//!                    (bounded)   └─► replica 2 (at chunk 5: the thread waits for it)
//! ```
//! Chunks are shared, not copied; one that every reader has sent is dropped.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tandem_engine::node::lock;

use crate::conn::{Flushed, failed};
use crate::transport::Transport;

/// Chunks waiting for the slowest reader, at most: together with the snapshot's own buffer this
/// is the memory that a diskless synchronisation costs.
const QUEUE_BYTES_MAX: usize = 16 << 20;

/// The chunks of one running snapshot.
pub(crate) struct ChunkQueue {
    state: Mutex<QueueState>,
    room: Condvar,
    /// Bytes in the queues of all snapshots.
    waiting: Arc<AtomicUsize>,
}

#[derive(Default)]
struct QueueState {
    chunks: VecDeque<Arc<Vec<u8>>>,
    /// Number of the first chunk in `chunks`.
    first: u64,
    bytes: usize,
    /// For each reader the chunk that it wants next; `None` when it is gone.
    readers: Vec<Option<u64>>,
    ended: bool,
}

impl ChunkQueue {
    /// A queue for `readers` readers, whose bytes are counted in `waiting` too.
    pub(crate) fn new(readers: usize, waiting: Arc<AtomicUsize>) -> ChunkQueue {
        let state = QueueState { readers: vec![Some(0); readers], ..QueueState::default() };
        ChunkQueue { state: Mutex::new(state), room: Condvar::new(), waiting }
    }

    /// Adds a chunk; waits while the slowest reader is too far behind. False when no reader is
    /// left.
    pub(crate) fn push(&self, chunk: Vec<u8>) -> bool {
        let mut state = lock(&self.state);
        while state.bytes > QUEUE_BYTES_MAX && state.readers.iter().any(Option::is_some) {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.bytes += chunk.len();
        self.waiting.fetch_add(chunk.len(), Ordering::Relaxed);
        state.chunks.push_back(Arc::new(chunk));
        state.readers.iter().any(Option::is_some)
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        lock(&self.state).ended = true;
    }

    /// The chunk that `reader` wants, and whether none will come.
    fn next(&self, reader: usize) -> (Option<Arc<Vec<u8>>>, bool) {
        let state = lock(&self.state);
        let want = state.readers[reader].expect("a reader that is there");
        let at = usize::try_from(want - state.first).expect("the queue is bounded");
        (state.chunks.get(at).cloned(), state.ended)
    }

    fn advance(&self, reader: usize, to: Option<u64>) {
        let mut state = lock(&self.state);
        state.readers[reader] = to;
        let needed = state.readers.iter().flatten().min().copied().unwrap_or(u64::MAX);
        while state.first < needed
            && let Some(chunk) = state.chunks.pop_front()
        {
            state.bytes -= chunk.len();
            self.waiting.fetch_sub(chunk.len(), Ordering::Relaxed);
            state.first += 1;
        }
        drop(state);
        self.room.notify_all();
    }
}

impl Drop for ChunkQueue {
    fn drop(&mut self) {
        let left = lock(&self.state).bytes;
        self.waiting.fetch_sub(left, Ordering::Relaxed);
    }
}

/// One replica's place in a snapshot.
pub(crate) enum SnapshotFeed {
    /// A finished file.
    File {
        /// The file.
        file: File,
        /// Next byte to send.
        at: u64,
        /// Its length.
        len: u64,
        /// What has been read and not sent.
        buffer: Vec<u8>,
    },
    /// A running snapshot.
    Chunks(ChunkReader),
}

/// A reader of a [`ChunkQueue`]; leaves the queue when dropped.
pub(crate) struct ChunkReader {
    queue: Arc<ChunkQueue>,
    reader: usize,
    /// Number of the chunk being sent.
    number: u64,
    chunk: Option<Arc<Vec<u8>>>,
    sent: usize,
}

impl ChunkReader {
    /// Reader number `reader` of `queue`.
    pub(crate) fn new(queue: Arc<ChunkQueue>, reader: usize) -> ChunkReader {
        ChunkReader { queue, reader, number: 0, chunk: None, sent: 0 }
    }
}

impl Drop for ChunkReader {
    fn drop(&mut self) {
        self.queue.advance(self.reader, None);
    }
}

const FILE_BUFFER_BYTES: usize = 256 << 10;

impl SnapshotFeed {
    /// Writes to the transport until it is full, nothing is there, or the snapshot ends.
    pub(crate) fn write_to(
        &mut self,
        transport: &mut Transport,
        budget: &mut usize,
        sent: &mut u64,
    ) -> Flushed {
        loop {
            if *budget == 0 {
                return Flushed::Blocked;
            }
            let written = match self {
                SnapshotFeed::File { file, at, len, buffer } => {
                    if buffer.is_empty() {
                        if at == len {
                            return Flushed::SnapshotSent;
                        }
                        buffer.resize(FILE_BUFFER_BYTES, 0);
                        match std::os::unix::fs::FileExt::read_at(file, buffer, *at) {
                            Ok(count) if count > 0 => buffer.truncate(count),
                            _ => return Flushed::Gone,
                        }
                    }
                    match transport.write(&buffer[..]) {
                        Ok(count) => {
                            *at += count as u64;
                            buffer.drain(..count);
                            count
                        }
                        Err(error) => return failed(error),
                    }
                }
                SnapshotFeed::Chunks(reader) => {
                    if reader.chunk.is_none() {
                        let (chunk, ended) = reader.queue.next(reader.reader);
                        match chunk {
                            Some(chunk) => reader.chunk = Some(chunk),
                            None if ended => return Flushed::SnapshotSent,
                            None => return Flushed::Starved,
                        }
                    }
                    let chunk = reader.chunk.as_ref().expect("just taken");
                    match transport.write(&chunk[reader.sent..]) {
                        Ok(count) => {
                            reader.sent += count;
                            if reader.sent == chunk.len() {
                                reader.number += 1;
                                reader.sent = 0;
                                reader.chunk = None;
                                reader.queue.advance(reader.reader, Some(reader.number));
                            }
                            count
                        }
                        Err(error) => return failed(error),
                    }
                }
            };
            *sent += written as u64;
            *budget = budget.saturating_sub(written);
        }
    }
}
