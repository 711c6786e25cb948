//! The slow log: commands that took long, with their arguments, newest first.

use std::collections::VecDeque;

use tandem_base::UnixMs;
use tandem_resp::Args;

use crate::client::ClientInfo;
use crate::redact::Redacted;
use crate::spec::Spec;

/// Arguments that an entry keeps; the last place says how many are missing.
const ARGS_MAX: usize = 32;
/// Bytes of an argument that an entry keeps.
const ARG_BYTES_MAX: usize = 128;

/// One command that took long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowEntry {
    /// Its number since the start.
    pub id: u64,
    /// When it ended.
    pub at: UnixMs,
    /// How long it took.
    pub took_us: u64,
    /// What was said, shortened, without passwords.
    pub args: Vec<Vec<u8>>,
    /// Who said it.
    pub addr: String,
    /// The name that the client gave itself.
    pub name: String,
}

/// See the module's story.
#[derive(Debug, Default)]
pub struct SlowLog {
    entries: VecDeque<SlowEntry>,
    next_id: u64,
    most: usize,
}

impl SlowLog {
    /// Keeps at most so many entries from now on; those above go with the next one that comes.
    pub fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// Adds a command.
    pub fn push(
        &mut self,
        client: &ClientInfo,
        spec: &Spec,
        args: Args<'_>,
        took_us: u64,
        at: UnixMs,
    ) {
        let id = self.next_id;
        self.next_id += 1;
        self.entries.push_front(SlowEntry {
            id,
            at,
            took_us,
            args: shortened(spec, args),
            addr: client.addr.clone(),
            name: client.names().name.clone(),
        });
        self.entries.truncate(self.most);
    }

    /// The entries, newest first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &SlowEntry> {
        self.entries.iter()
    }

    /// Empties it; numbers go on.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

fn shortened(spec: &Spec, args: Args<'_>) -> Vec<Vec<u8>> {
    let count = args.len();
    let kept = if count > ARGS_MAX { ARGS_MAX - 1 } else { count };
    let redacted = Redacted::of(spec, args);
    let mut out: Vec<Vec<u8>> =
        (0..kept).map(|at| shortened_arg(redacted.shown(args, at))).collect();
    if kept < count {
        out.push(format!("... ({} more arguments)", count - kept).into_bytes());
    }
    out
}

fn shortened_arg(arg: &[u8]) -> Vec<u8> {
    match arg.len().checked_sub(ARG_BYTES_MAX) {
        None | Some(0) => arg.to_vec(),
        Some(more) => {
            let more = format!("... ({more} more bytes)");
            [&arg[..ARG_BYTES_MAX], more.as_bytes()].concat()
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_base::Now;
    use tandem_resp::OwnedArgs;

    use super::*;
    use crate::commands;

    fn args(words: &[&str]) -> OwnedArgs {
        OwnedArgs::from_parts(words.iter().map(|word| word.as_bytes()))
    }

    #[test]
    fn long_commands_are_shortened() {
        let get = commands::look_up(b"mget").expect("a command");
        let words: Vec<String> = (0..34).map(|number| number.to_string()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let kept = shortened(get, args(&words).as_args());
        assert_eq!(kept.len(), 32);
        assert_eq!(kept[31], b"... (3 more arguments)");
        assert_eq!(shortened(get, args(&words[..32]).as_args()).len(), 32);
        let long = "A".repeat(129);
        let kept = shortened(get, args(&["get", &long]).as_args());
        assert_eq!(kept[1], format!("{}... (1 more bytes)", "A".repeat(128)).into_bytes());
    }

    #[test]
    fn old_entries_make_room_and_numbers_go_on() {
        let client = ClientInfo::new(1, 0, 0, "a:1".into(), "b:2".into(), Now::default());
        let get = commands::look_up(b"get").expect("a command");
        let mut log = SlowLog::default();
        log.set_most(2);
        for took in 0..3 {
            log.push(&client, get, args(&["get", "k"]).as_args(), took, UnixMs(5));
        }
        assert_eq!(log.entries().map(|entry| entry.id).collect::<Vec<_>>(), [2, 1]);
        log.clear();
        log.push(&client, get, args(&["get", "k"]).as_args(), 9, UnixMs(5));
        assert_eq!(log.entries().next().map(|entry| entry.id), Some(3));
    }
}
