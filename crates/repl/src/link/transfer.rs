//! The RDB as it crosses the wire: `$<bytes>` and so many bytes, or `$EOF:<mark>` and bytes
//! until the mark, from a master that sends while it saves and cannot know the size.
//!
//! The mark's 40 random characters may come in pieces, so the end of what was read could be
//! the mark's beginning. Such bytes are held back. They need no buffer: held bytes *are* the
//! mark's first ones, so when they turn out to be data, they are handed on from there.

use memchr::memmem;
use tandem_base::num;

/// Length of the mark.
pub(super) const MARK_BYTES: usize = 40;

/// What the first line of a transfer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// An empty line: the snapshot is still being made.
    Wait,
    /// So many bytes follow.
    Sized(u64),
    /// Bytes follow until this mark.
    Marked([u8; MARK_BYTES]),
    /// The master gave up.
    Refused,
    /// Not the protocol at all.
    Bad,
}

/// Reads the first line of a transfer. Foreign input: any line.
pub(super) fn parse_header(line: &[u8]) -> Header {
    match line {
        [] => return Header::Wait,
        [b'-', ..] => return Header::Refused,
        _ => {}
    }
    let Some(text) = line.strip_prefix(b"$") else { return Header::Bad };
    if let Some(mark) = text.strip_prefix(b"EOF:") {
        return match mark.first_chunk::<MARK_BYTES>() {
            Some(mark) => Header::Marked(*mark),
            None => Header::Bad,
        };
    }
    match num::parse_u64(text) {
        Some(size) if i64::try_from(size).is_ok() => Header::Sized(size),
        _ => Header::Bad,
    }
}

/// The bytes after the first line.
pub(super) enum Body {
    Sized { left_bytes: u64 },
    Marked(Marked),
}

/// Bytes that end with a mark.
pub(super) struct Marked {
    pub(super) mark: [u8; MARK_BYTES],
    /// Bytes of the mark that have come, and have not been handed on.
    held: usize,
}

/// What of some input is RDB.
pub(super) struct Taken {
    /// Input bytes that are dealt with.
    pub(super) used: usize,
    pub(super) piece: Piece,
    /// This was the end.
    pub(super) done: bool,
}

/// Where RDB bytes lie.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The first so many bytes of the input; maybe none.
    Input(usize),
    /// The first so many bytes of the mark, held back before.
    Held(usize),
}

impl Body {
    pub(super) fn marked(mark: [u8; MARK_BYTES]) -> Body {
        Body::Marked(Marked { mark, held: 0 })
    }

    /// Finds the RDB bytes at the beginning of `input`.
    pub(super) fn take(&mut self, input: &[u8]) -> Taken {
        match self {
            Body::Sized { left_bytes } => {
                let left = usize::try_from(*left_bytes).unwrap_or(usize::MAX);
                let used = input.len().min(left);
                *left_bytes -= used as u64;
                Taken { used, piece: Piece::Input(used), done: *left_bytes == 0 }
            }
            Body::Marked(marked) if marked.held > 0 => marked.go_on(input),
            Body::Marked(marked) => marked.search(input),
        }
    }
}

impl Marked {
    /// Looks for the mark, whole or at the end in part.
    fn search(&mut self, input: &[u8]) -> Taken {
        if let Some(at) = memmem::find(input, &self.mark) {
            return Taken { used: at + MARK_BYTES, piece: Piece::Input(at), done: true };
        }
        let most = input.len().min(MARK_BYTES - 1);
        self.held = (1..=most).rev().find(|&held| input.ends_with(&self.mark[..held])).unwrap_or(0);
        Taken { used: input.len(), piece: Piece::Input(input.len() - self.held), done: false }
    }

    /// Compares the input with what is missing of the mark.
    fn go_on(&mut self, input: &[u8]) -> Taken {
        let missing = &self.mark[self.held..];
        let used = input.len().min(missing.len());
        if input[..used] == missing[..used] {
            self.held += used;
            let done = self.held == MARK_BYTES;
            return Taken { used, piece: Piece::Input(0), done };
        }
        // The mark may begin again inside what is held: let go of as little as must be.
        let held = &self.mark[..self.held];
        let shift = (1..=held.len())
            .find(|&shift| held.starts_with(&held[shift..]))
            .expect("the empty rest begins everything");
        self.held -= shift;
        Taken { used: 0, piece: Piece::Held(shift), done: false }
    }
}
