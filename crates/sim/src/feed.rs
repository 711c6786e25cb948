//! Snapshots on their way: the job that makes one, and each replica's place in it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tandem_engine::persistence::SnapshotOrder;

/// The pieces of a snapshot that goes straight into connections.
#[derive(Default)]
pub struct Pieces {
    /// All bytes so far.
    pub bytes: Vec<u8>,
    /// Nothing more will come.
    pub ended: bool,
}

/// One replica's place in a snapshot.
pub enum Feed {
    /// A finished file, and how much of it has been sent.
    File(Arc<Vec<u8>>, usize),
    /// A snapshot that is being made, and how much of it has been sent.
    Pieces(Rc<RefCell<Pieces>>, usize),
}

/// What there is to send.
pub enum Next {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Nothing yet.
    Starved,
    /// All has been sent.
    Sent,
}

impl Feed {
    /// The next bytes, at most `most`.
    pub fn next(&self, most: usize) -> Next {
        let (part, ended) = match self {
            Feed::File(file, at) => (file[*at..].iter().take(most).copied().collect(), true),
            Feed::Pieces(pieces, at) => {
                let pieces = pieces.borrow();
                let part: Vec<u8> = pieces.bytes[*at..].iter().take(most).copied().collect();
                (part, pieces.ended)
            }
        };
        match (part.is_empty(), ended) {
            (false, _) => Next::Bytes(part),
            (true, true) if most > 0 => Next::Sent,
            (true, _) => Next::Starved,
        }
    }

    /// `count` bytes have been sent.
    pub fn advance(&mut self, count: usize) {
        match self {
            Feed::File(_, at) | Feed::Pieces(_, at) => *at += count,
        }
    }
}

/// A snapshot that is being made.
pub struct Job {
    /// The order; taken when the last piece has been made.
    pub order: SnapshotOrder,
    /// The file so far.
    pub file: Vec<u8>,
    /// Where the replicas read, if it goes to them.
    pub pieces: Option<Rc<RefCell<Pieces>>>,
    /// All of the file has been made, and it is being flushed.
    pub made: bool,
    /// Planted: it is cut again when the data no longer have this sum.
    pub late: Option<u64>,
}
