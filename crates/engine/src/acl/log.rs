//! The log of what was denied (ACL LOG): newest first, like events of one minute in one entry.

use std::collections::VecDeque;

use tandem_base::UnixMs;

/// What was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A command.
    Command,
    /// A key.
    Key,
    /// A channel.
    Channel,
    /// To become a user.
    Auth,
}

impl Reason {
    /// As ACL LOG shows it.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Channel => "channel",
            Reason::Auth => "auth",
        }
    }
}

/// Where the command stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// By itself.
    TopLevel,
    /// In a transaction.
    Multi,
}

impl Context {
    /// As ACL LOG shows it.
    pub fn word(self) -> &'static str {
        match self {
            Context::TopLevel => "toplevel",
            Context::Multi => "multi",
        }
    }
}

/// One kind of event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How often it happened.
    pub count: u64,
    /// What was denied.
    pub reason: Reason,
    /// Where.
    pub context: Context,
    /// The command, key or channel; for [`Reason::Auth`] the command that tried.
    pub object: Vec<u8>,
    /// Who was denied.
    pub username: Vec<u8>,
    /// When it last happened.
    pub at: UnixMs,
    /// The client that last tried, as CLIENT LIST shows it.
    pub client: String,
}

impl Entry {
    fn is_like(&self, other: &Entry) -> bool {
        self.reason == other.reason
            && self.context == other.context
            && (self.at.0 - other.at.0).abs() <= ONE_EVENT_MS
            && self.object == other.object
            && self.username == other.username
    }
}

/// Like events at most so far apart become one.
const ONE_EVENT_MS: i64 = 60_000;
/// How many entries are looked at for one that is like a new event.
const LOOKED_AT: usize = 10;

/// The log.
#[derive(Debug, Default)]
pub struct Log {
    entries: VecDeque<Entry>,
}

impl Log {
    /// Adds an event, and drops the oldest entries beyond `most`.
    pub fn add(&mut self, event: Entry, most: usize) {
        let known = self.entries.iter().take(LOOKED_AT).position(|entry| entry.is_like(&event));
        if let Some(mut entry) = known.and_then(|at| self.entries.remove(at)) {
            entry.count += 1;
            entry.at = event.at;
            entry.client = event.client;
            self.entries.push_front(entry);
            return;
        }
        self.entries.push_front(event);
        self.entries.truncate(most);
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.entries.clear();
    }

    /// The entries, newest first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(object: &str, at: i64) -> Entry {
        Entry {
            count: 1,
            reason: Reason::Key,
            context: Context::TopLevel,
            object: object.into(),
            username: b"ann".to_vec(),
            at: UnixMs(at),
            client: format!("at={at}"),
        }
    }

    #[test]
    fn like_events_are_one_entry_and_the_newest_comes_first() {
        let mut log = Log::default();
        log.add(event("a", 0), 5);
        log.add(event("b", 10), 5);
        log.add(event("a", 60_000), 5);
        let shown = |log: &Log| -> Vec<_> {
            log.entries()
                .map(|e| (String::from_utf8_lossy(&e.object).into_owned(), e.count))
                .collect()
        };
        assert_eq!(shown(&log), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        assert_eq!(log.entries().next().map(|e| e.client.as_str()), Some("at=60000"));
        log.add(event("a", 120_001), 5);
        assert_eq!(log.entries().len(), 3, "a minute is over");
        for object in 'c'..='m' {
            log.add(event(&object.to_string(), 120_002), 5);
        }
        assert_eq!(log.entries().len(), 5);
        log.reset();
        assert_eq!(log.entries().len(), 0);
    }
}
