//! A bare replica: sends SYNC, takes the snapshot as a blob, then reads the stream command by
//! command. With it a test says exactly what a write must look like to a replica.

use std::time::{Duration, Instant};

use crate::{Client, PATIENCE, Value};

/// A connection past its snapshot.
#[derive(Debug)]
pub struct Sync {
    client: Client,
    snapshot: Vec<u8>,
}

impl Sync {
    /// Attaches to the server at `port` with a plain SYNC, to which the answer is a sized RDB.
    #[track_caller]
    pub fn attach(port: u16) -> Sync {
        let mut client = Client::connect(port);
        client.send_raw(b"SYNC\r\n").expect("a live connection");
        let end = Instant::now() + PATIENCE;
        // Empty lines keep the link alive while the snapshot is being made.
        let header = loop {
            let line = client.read_line().expect("an answer to SYNC");
            if !line.is_empty() {
                break String::from_utf8_lossy(&line).into_owned();
            }
            assert!(Instant::now() < end, "nothing but empty lines after SYNC");
        };
        let size = header.strip_prefix('$').and_then(|n| n.parse().ok());
        let size: usize = size.unwrap_or_else(|| panic!("SYNC was answered {header:?}"));
        let snapshot = client.read_exact(size).expect("the whole snapshot");
        assert!(snapshot.starts_with(b"REDIS"), "the snapshot is no RDB");
        Sync { client, snapshot }
    }

    /// The snapshot's bytes.
    pub fn snapshot(&self) -> &[u8] {
        &self.snapshot
    }

    /// The next command of the stream, PING and REPLCONF GETACK left out: its name in lower
    /// case, then its arguments as they are, with blanks between.
    #[track_caller]
    pub fn next_command(&mut self) -> String {
        // Pings come for ever: without an end of our own this would wait as long.
        let end = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < end, "no command in the stream");
            let value = self.client.read().expect("a command in the stream");
            let Value::Array(items) = value else { panic!("the stream held {value:?}") };
            let mut words: Vec<String> = items.iter().map(Value::text).collect();
            words[0].make_ascii_lowercase();
            if words[0] != "ping" && words[0] != "replconf" {
                return words.join(" ");
            }
        }
    }

    /// Panics if another command (but PING and GETACK) comes within `quiet`.
    #[track_caller]
    pub fn assert_silent(&mut self, quiet: Duration) {
        self.client.set_patience(quiet);
        let end = Instant::now() + quiet;
        while Instant::now() < end {
            let Ok(value) = self.client.read() else { break };
            let name = value.items()[0].text().to_ascii_lowercase();
            assert!(name == "ping" || name == "replconf", "the stream went on with {value:?}");
        }
        self.client.set_patience(PATIENCE);
    }
}

/// Panics unless the next commands of the stream are `patterns` (globs with `*`), in order.
#[track_caller]
pub fn assert_stream(sync: &mut Sync, patterns: &[&str]) {
    let mut seen = Vec::new();
    for pattern in patterns {
        let got = sync.next_command();
        let fits = glob(pattern, &got);
        seen.push(got);
        assert!(
            fits,
            "the stream should be\n  {}\nbut began\n  {}",
            patterns.join("\n  "),
            seen.join("\n  ")
        );
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any run of characters.
pub fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(tail) = text.strip_prefix(head) else { return false };
    (0..=tail.len()).filter(|i| tail.is_char_boundary(*i)).any(|i| glob(rest, &tail[i..]))
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn a_star_stands_for_any_run() {
        assert!(glob("set * PXAT *", "set k v PXAT 12"));
        assert!(glob("del foo*", "del foo"));
        assert!(!glob("del foo*", "del bar"));
        assert!(!glob("set foo", "set foo bar"));
    }
}
