//! `--bigkeys` and `--memkeys`: which keys are the largest of their type.
//!
//! SCAN walks the keyspace; the types and then the sizes of each batch are asked for in one
//! pipeline each.

use std::sync::atomic::Ordering;

use tandem_resp::reply::ReplyValue;

use super::pause;
use super::scan::scan_step;
use crate::interrupt::stop_flag;
use crate::session::Session;
use crate::split::quoted;
use crate::text::{complain, flush, put};
use crate::{Step, Stop};

/// What is known about the keys of one type.
struct Kind {
    name: String,
    /// The command that counts elements; none for types of modules.
    size_command: Option<&'static str>,
    unit: &'static str,
    biggest: i64,
    biggest_key: Vec<u8>,
    count: u64,
    total: i64,
}

/// In the order in which redis-cli lists them before it has met two keys.
const KNOWN: [(&str, &str, &str); 6] = [
    ("string", "STRLEN", "bytes"),
    ("list", "LLEN", "items"),
    ("hash", "HLEN", "fields"),
    ("stream", "XLEN", "entries"),
    ("set", "SCARD", "members"),
    ("zset", "ZCARD", "members"),
];

impl Kind {
    fn new(name: &str, size_command: Option<&'static str>, unit: &'static str) -> Kind {
        Kind {
            name: name.to_owned(),
            size_command,
            unit,
            biggest: 0,
            biggest_key: Vec::new(),
            count: 0,
            total: 0,
        }
    }
}

struct Search {
    kinds: Vec<Kind>,
    /// `Some(samples)` when memory is what counts.
    by_memory: Option<i32>,
    keys_expected: i64,
    sampled: u64,
    key_bytes: u64,
}

/// Searches the whole keyspace, or until Ctrl-C, and prints a summary. `by_memory` measures keys
/// by memory instead of elements, with so many samples (0: the server's default).
pub(super) fn search(session: &mut Session, by_memory: Option<i32>) -> Step<i32> {
    let stop = stop_flag();
    let unit = |unit: &'static str| if by_memory.is_some() { "bytes" } else { unit };
    let kinds = KNOWN.map(|(name, command, of)| Kind::new(name, Some(command), unit(of)));
    let keys_expected = db_size(session)?;
    let mut search =
        Search { kinds: kinds.into(), by_memory, keys_expected, sampled: 0, key_bytes: 0 };
    put("\n# Scanning the entire keyspace to find biggest keys as well as\n\
         # average sizes per key type.  You can use -i 0.1 to sleep 0.1 sec\n\
         # per 100 SCAN commands (not usually needed).\n\n")?;
    let (mut cursor, mut scans) = (0, 0u64);
    loop {
        let (next, keys) = scan_step(session, cursor)?;
        search.add(session, &keys)?;
        flush()?;
        scans += 1;
        if scans.is_multiple_of(100) {
            pause(session.options.interval_us);
        }
        let stopped = stop.load(Ordering::Relaxed);
        if next == 0 || stopped {
            // redis-cli's table of types has settled into this order after two look-ups.
            if search.sampled >= 2 {
                search.kinds[..3].rotate_left(1);
            }
            put(search.summary(stopped))?;
            flush()?;
            return Ok(0);
        }
        cursor = next;
    }
}

/// How many keys there are, to show how far a search has come.
pub(super) fn db_size(session: &mut Session) -> Step<i64> {
    let reply = session.ask(&["DBSIZE"]).map_err(|_| Stop::Exit(1))?;
    match (reply.as_i64(), reply.as_error()) {
        (Some(size), _) => Ok(size),
        (None, Some(error)) => {
            complain([b"Couldn't determine DBSIZE: ", error].concat());
            Err(Stop::Exit(1))
        }
        (None, None) => {
            complain("Non INTEGER response from DBSIZE!");
            Err(Stop::Exit(1))
        }
    }
}

/// Sends commands in one pipeline and reads their replies.
pub(super) fn pipeline(session: &mut Session, commands: &[Vec<Vec<u8>>]) -> Step<Vec<ReplyValue>> {
    let client = session.client.as_mut().ok_or(Stop::Exit(1))?;
    let mut replies = Vec::with_capacity(commands.len());
    let asked = commands.iter().try_for_each(|command| client.send(command)).and_then(|()| {
        for _ in commands {
            replies.push(client.read_reply()?);
        }
        Ok(())
    });
    match asked {
        Ok(()) => Ok(replies),
        Err(error) => {
            complain(format!("Error: {error}"));
            Err(Stop::Exit(1))
        }
    }
}

impl Search {
    /// Takes a batch of keys into account and reports new records.
    fn add(&mut self, session: &mut Session, keys: &[Vec<u8>]) -> Step<()> {
        let percent = 100.0 * self.sampled as f64 / self.keys_expected as f64;
        let kinds = self.kinds_of(session, keys)?;
        let sizes = self.sizes_of(session, keys, &kinds)?;
        for ((key, kind), size) in keys.iter().zip(kinds).zip(sizes) {
            // A key without a type has gone since SCAN saw it.
            let Some(kind) = kind else { continue };
            let kind = &mut self.kinds[kind];
            kind.total += size;
            kind.count += 1;
            self.key_bytes += key.len() as u64;
            self.sampled += 1;
            if size > kind.biggest {
                kind.biggest = size;
                kind.biggest_key = quoted(key);
                put(format!(
                    "[{percent:05.2}%] Biggest {:<6} found so far '{}' with {size} {}\n",
                    kind.name,
                    String::from_utf8_lossy(&kind.biggest_key),
                    kind.unit
                ))?;
            }
            if self.sampled.is_multiple_of(1_000_000) {
                put(format!("[{percent:05.2}%] Sampled {} keys so far\n", self.sampled))?;
            }
        }
        Ok(())
    }

    /// Asks for the type of each key: an index into `kinds`.
    fn kinds_of(&mut self, session: &mut Session, keys: &[Vec<u8>]) -> Step<Vec<Option<usize>>> {
        let commands: Vec<_> = keys.iter().map(|key| vec![b"TYPE".to_vec(), key.clone()]).collect();
        let mut kinds = Vec::with_capacity(keys.len());
        for reply in pipeline(session, &commands)? {
            let ReplyValue::Status(name) = &reply else {
                complain([b"TYPE returned an error: ", reply.as_error().unwrap_or(b"?")].concat());
                return Err(Stop::Exit(1));
            };
            let name = String::from_utf8_lossy(name);
            let known = self.kinds.iter().position(|kind| kind.name == name);
            kinds.push(match known {
                None if name != "none" => {
                    self.kinds.push(Kind::new(&name, None, "?"));
                    Some(self.kinds.len() - 1)
                }
                known => known,
            });
        }
        Ok(kinds)
    }

    /// Asks for the size of each key; 0 where there is none to ask for.
    fn sizes_of(
        &self,
        session: &mut Session,
        keys: &[Vec<u8>],
        kinds: &[Option<usize>],
    ) -> Step<Vec<i64>> {
        let command = |kind: &Kind, key: &[u8]| -> Option<Vec<Vec<u8>>> {
            let mut command = match self.by_memory {
                Some(_) => vec![b"MEMORY".to_vec(), b"USAGE".to_vec()],
                None => vec![kind.size_command?.into()],
            };
            command.push(key.to_vec());
            if let Some(samples @ 1..) = self.by_memory {
                command.extend([b"SAMPLES".to_vec(), samples.to_string().into_bytes()]);
            }
            Some(command)
        };
        let asked: Vec<Option<Vec<Vec<u8>>>> = keys
            .iter()
            .zip(kinds)
            .map(|(key, kind)| kind.and_then(|kind| command(&self.kinds[kind], key)))
            .collect();
        let commands: Vec<_> = asked.iter().flatten().cloned().collect();
        let mut replies = pipeline(session, &commands)?.into_iter();
        let mut sizes = Vec::with_capacity(keys.len());
        for (key, command) in keys.iter().zip(&asked) {
            let Some(command) = command else {
                sizes.push(0);
                continue;
            };
            let size = replies.next().and_then(|reply| reply.as_i64());
            if size.is_none() {
                let name = if self.by_memory.is_some() { b"MEMORY USAGE" } else { &command[0][..] };
                let parts =
                    [b"Warning:  ", name, b" on '", key, b"' failed (may have changed type)"];
                complain(parts.concat());
            }
            sizes.push(size.unwrap_or(0));
        }
        Ok(sizes)
    }

    fn summary(&self, stopped: bool) -> String {
        let mut out = String::from("\n-------- summary -------\n\n");
        if stopped {
            let percent = 100.0 * self.sampled as f64 / self.keys_expected as f64;
            out.push_str(&format!("[{percent:05.2}%] "));
        }
        let sampled = self.sampled.max(1) as f64;
        out.push_str(&format!(
            "Sampled {} keys in the keyspace!\nTotal key length in bytes is {} (avg len {:.2})\n\n",
            self.sampled,
            self.key_bytes,
            self.key_bytes as f64 / sampled
        ));
        for kind in self.kinds.iter().filter(|kind| !kind.biggest_key.is_empty()) {
            let Kind { name, biggest, unit, .. } = kind;
            let key = String::from_utf8_lossy(&kind.biggest_key);
            out.push_str(&format!("Biggest {name:>6} found '{key}' has {biggest} {unit}\n"));
        }
        out.push('\n');
        for kind in &self.kinds {
            let Kind { name, count, total, unit, .. } = kind;
            let percent = 100.0 * *count as f64 / sampled;
            let average = *total as f64 / (*count).max(1) as f64;
            out.push_str(&format!(
                "{count} {name}s with {total} {unit} ({percent:05.2}% of keys, avg size \
                 {average:.2})\n"
            ));
        }
        out
    }
}
