//! What a command did, in the form that replicas are told.
//!
//! While a command runs it notes how much it changed, and, where its own words would not have
//! the same effect on a replica (a relative expiry, a random choice), the words that do. When it
//! ends, and while its keys are still locked, [`Effects::flush`] appends the result to the
//! stream.

use smallvec::SmallVec;
use tandem_base::DbIndex;
use tandem_repl::stream::Stream;
use tandem_resp::{Args, push_request};

use crate::blocking::Ready;
use crate::client::ClientId;

/// What is to be told to replicas about the running command or transaction.
#[derive(Default)]
pub struct Effects {
    /// Whether there is a stream to append to; otherwise nothing is encoded.
    pub enabled: bool,
    /// The client whose command runs; 0 for nobody's.
    pub client: ClientId,
    bytes: Vec<u8>,
    list: SmallVec<[Effect; 4]>,
    /// Changes made by the running command.
    changes: u64,
    /// The running command's own words are not to be sent.
    own_words_unfit: bool,
    /// Changes since the last [`Effects::take_changes`].
    total_changes: u64,
    /// Keys touched that clients wait for.
    pub(crate) ready: Ready,
}

#[derive(Clone, Copy)]
struct Effect {
    db: DbIndex,
    start: usize,
    end: usize,
}

impl Effects {
    /// A command begins.
    #[inline]
    pub fn begin_command(&mut self) {
        self.changes = 0;
        self.own_words_unfit = false;
    }

    /// Notes `count` changes of the dataset; the command will be sent on as it came unless it
    /// says something else.
    #[inline]
    pub fn changed(&mut self, count: u64) {
        self.changes += count;
        self.total_changes += count;
    }

    /// Sends `args` instead of the command's own words.
    pub fn send_instead(&mut self, db: DbIndex, args: &[&[u8]]) {
        self.own_words_unfit = true;
        self.send_also(db, args);
    }

    /// Sends `args` before the command's own words.
    pub fn send_also(&mut self, db: DbIndex, args: &[&[u8]]) {
        if self.enabled {
            let start = self.bytes.len();
            push_request(&mut self.bytes, args.iter().copied());
            self.list.push(Effect { db, start, end: self.bytes.len() });
        }
    }

    /// Sends nothing for this command, though it changed something.
    pub fn send_nothing(&mut self) {
        self.own_words_unfit = true;
    }

    /// Whether the command's own words go out.
    #[inline]
    pub fn sends_own_words(&self, is_write: bool) -> bool {
        self.enabled && is_write && self.changes > 0 && !self.own_words_unfit
    }

    /// Keeps the command's own words until the transaction ends.
    pub fn keep_own_words(&mut self, db: DbIndex, args: Args<'_>) {
        let start = self.bytes.len();
        push_request(&mut self.bytes, args.iter());
        self.list.push(Effect { db, start, end: self.bytes.len() });
    }

    /// Whether there is nothing to append.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The number of changes since the last call.
    pub fn take_changes(&mut self) -> u64 {
        std::mem::take(&mut self.total_changes)
    }

    /// Appends what was noted, and `last` (the command's own words) after it. More than one
    /// effect is wrapped in MULTI and EXEC, so that a replica shows all or none, unless
    /// `unwrapped`. The keys that were changed must still be locked.
    pub fn flush(&mut self, stream: &Stream, last: Option<(DbIndex, Args<'_>)>, unwrapped: bool) {
        let count = self.list.len() + usize::from(last.is_some());
        if count == 0 {
            return;
        }
        let wrap = count > 1 && !unwrapped;
        stream.append_with(|writer| {
            if wrap {
                let first = self.list.first().map(|effect| effect.db);
                writer.select(first.or(last.map(|(db, _)| db)).expect("count > 0"));
                writer.push(b"*1\r\n$5\r\nMULTI\r\n");
            }
            for effect in &self.list {
                writer.select(effect.db);
                writer.push(&self.bytes[effect.start..effect.end]);
            }
            if let Some((db, args)) = last {
                writer.select(db);
                match args.raw() {
                    Some(raw) => writer.push(raw),
                    None => {
                        self.bytes.clear();
                        push_request(&mut self.bytes, args.iter());
                        writer.push(&self.bytes);
                    }
                }
            }
            if wrap {
                writer.push(b"*1\r\n$4\r\nEXEC\r\n");
            }
        });
        self.list.clear();
        self.bytes.clear();
        if self.bytes.capacity() > (1 << 20) {
            self.bytes = Vec::new();
        }
    }
}
