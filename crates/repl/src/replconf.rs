//! REPLCONF: what a client says about itself before it becomes a replica, and the ACKs after.
//!
//! ```text
//!   REPLCONF listening-port 6380        who I am         ─► facts, +OK
//!   REPLCONF capa eof capa psync2       what I can       ─► facts, +OK
//!   REPLCONF ACK 1234                   how far I am     ─► Effect::Ack, no answer
//!   REPLCONF GETACK *                   how far are you? ─► Effect::GetAck, no answer
//! ```
//! The facts stay with the client until a PSYNC makes a [`Peer`](crate::peer::Peer) of them.
//! Everything here is foreign input. Absent: the reply's framing, which is the engine's.

use tandem_base::{ReplOffset, num, up_to_nul};

use crate::wire;

/// An `ip-address` of this length or more is refused, as by Redis.
const ADDRESS_BYTES_END: usize = 256;

/// What a replica has said about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaFacts {
    /// Where it takes clients; 0 if it has not said. Any number: it is only shown.
    pub listening_port: i64,
    /// The address it wants to be known by, if not the one it comes from.
    pub announced_ip: Option<String>,
    /// It knows the end of an RDB by a mark: `capa eof`.
    pub eof: bool,
    /// It understands `+CONTINUE <new id>`: `capa psync2`.
    pub psync2: bool,
    /// It wants a snapshot and no stream: `rdb-only 1` (`redis-cli --rdb`).
    pub rdb_only: bool,
    /// What it does not want in the snapshot.
    pub filter: RdbFilter,
}

/// Parts of a snapshot that a replica does not want.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RdbFilter {
    /// No keys.
    pub exclude_data: bool,
    /// No functions.
    pub exclude_functions: bool,
}

impl RdbFilter {
    /// The snapshot is not a whole one, and must not become the file on disk.
    pub fn is_partial(self) -> bool {
        self.exclude_data || self.exclude_functions
    }
}

/// What a REPLCONF comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Effect {
    /// Facts were noted: answer `+OK`.
    Noted,
    /// A replica tells its offset; no answer. Nothing to do if the client is no replica.
    Ack(ReplOffset),
    /// Our master wants our offset now ([`Link::ack`](crate::link::Link::ack)); no answer.
    GetAck,
    /// An ACK that is no number; no answer.
    Nothing,
    /// Answer with this error, without the `-`.
    Error(Vec<u8>),
}

impl ReplicaFacts {
    /// Takes the arguments after `REPLCONF`. As in Redis, options before a bad one count.
    pub fn replconf<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Effect {
        if !args.len().is_multiple_of(2) {
            return Effect::Error(b"ERR syntax error".to_vec());
        }
        for pair in args.chunks_exact(2) {
            let (option, value) = (pair[0].as_ref(), pair[1].as_ref());
            match self.note(option, value) {
                Ok(Effect::Noted) => {}
                Ok(effect) => return effect,
                Err(text) => return Effect::Error(text),
            }
        }
        Effect::Noted
    }

    fn note(&mut self, option: &[u8], value: &[u8]) -> Result<Effect, Vec<u8>> {
        match option.to_ascii_lowercase().as_slice() {
            b"listening-port" => self.listening_port = integer(value)?,
            b"ip-address" => self.announced_ip = address(value)?,
            b"capa" => match value.to_ascii_lowercase().as_slice() {
                b"eof" => self.eof = true,
                b"psync2" => self.psync2 = true,
                // What a newer replica can do and we do not know of.
                _ => {}
            },
            b"ack" => {
                let offset = num::parse_i64(value).and_then(|offset| u64::try_from(offset).ok());
                return Ok(offset.map_or(Effect::Nothing, |n| Effect::Ack(ReplOffset(n))));
            }
            b"getack" => return Ok(Effect::GetAck),
            b"rdb-only" => match integer(value)? {
                only @ 0..=1 => self.rdb_only = only == 1,
                _ => return Err(b"ERR value is out of range, value must between 0 and 1".to_vec()),
            },
            b"rdb-filter-only" => self.filter_only(value)?,
            // Newer replicas tell their version; it changes nothing here.
            b"version" => {}
            _ => return Err([b"ERR Unrecognized REPLCONF option: ", up_to_nul(option)].concat()),
        }
        Ok(Effect::Noted)
    }

    /// A list of the parts that *are* wanted, maybe none.
    fn filter_only(&mut self, value: &[u8]) -> Result<(), Vec<u8>> {
        let words = split_words(value).ok_or(b"ERR Missing rdb-filter-only values")?;
        self.filter = RdbFilter { exclude_data: true, exclude_functions: true };
        for word in words {
            if !word.eq_ignore_ascii_case(b"functions") {
                let word = up_to_nul(word);
                return Err([b"ERR Unsupported rdb-filter-only option: ", word].concat());
            }
            self.filter.exclude_functions = false;
        }
        Ok(())
    }
}

fn integer(value: &[u8]) -> Result<i64, Vec<u8>> {
    num::parse_i64(value).ok_or_else(|| b"ERR value is not an integer or out of range".to_vec())
}

/// An address ends up in log lines and among the fields of a line of INFO: what could begin
/// another line, or another field, is none. An empty one takes back what was said.
fn address(value: &[u8]) -> Result<Option<String>, Vec<u8>> {
    if value.len() >= ADDRESS_BYTES_END {
        return Err(format!(
            "ERR REPLCONF ip-address provided by replica instance is too long: {} bytes",
            value.len()
        )
        .into_bytes());
    }
    if !value.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',') {
        return Err(b"ERR REPLCONF ip-address is not an address".to_vec());
    }
    Ok((!value.is_empty()).then(|| wire::printable(value)))
}

/// Words between blanks, each maybe in quotes; `None` if a quote is left open.
fn split_words(text: &[u8]) -> Option<Vec<&[u8]>> {
    text.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .map(|word| match word {
            [quote @ (b'"' | b'\''), inner @ .., end] if quote == end => Some(inner),
            [b'"' | b'\'', ..] => None,
            _ => Some(word),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, effect: Effect, facts: ReplicaFacts) {
        let mut got = ReplicaFacts::default();
        let args: Vec<&str> = line.split(' ').collect();
        assert_eq!(got.replconf(&args), effect, "{line}");
        assert_eq!(got, facts, "{line}");
    }

    fn error(text: &str) -> Effect {
        Effect::Error(text.as_bytes().to_vec())
    }

    #[test]
    fn options_are_noted_without_regard_to_case() {
        let none = ReplicaFacts::default;
        check(
            "listening-port 6380",
            Effect::Noted,
            ReplicaFacts { listening_port: 6380, ..none() },
        );
        check(
            "CAPA eof capa PSYNC2 capa dual-channel",
            Effect::Noted,
            ReplicaFacts { eof: true, psync2: true, ..none() },
        );
        check(
            "ip-address 192.0.2.1 rdb-only 1",
            Effect::Noted,
            ReplicaFacts { announced_ip: Some("192.0.2.1".into()), rdb_only: true, ..none() },
        );
        let filter = RdbFilter { exclude_data: true, exclude_functions: false };
        check("rdb-filter-only \"Functions\"", Effect::Noted, ReplicaFacts { filter, ..none() });
        check("version 8.1.0", Effect::Noted, none());
    }

    #[test]
    fn acks_get_no_answer() {
        let none = ReplicaFacts::default;
        check("ACK 1234", Effect::Ack(ReplOffset(1234)), none());
        check("ack -5", Effect::Nothing, none());
        check("ack x", Effect::Nothing, none());
        check("GETACK *", Effect::GetAck, none());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let none = ReplicaFacts::default;
        check("capa", error("ERR syntax error"), none());
        check("listening-port x", error("ERR value is not an integer or out of range"), none());
        check("rdb-only 2", error("ERR value is out of range, value must between 0 and 1"), none());
        check("colour red", error("ERR Unrecognized REPLCONF option: colour"), none());
        let filter = RdbFilter { exclude_data: true, exclude_functions: true };
        let facts = ReplicaFacts { filter, ..none() };
        check("rdb-filter-only keys", error("ERR Unsupported rdb-filter-only option: keys"), facts);
        check("rdb-filter-only \"x", error("ERR Missing rdb-filter-only values"), none());
        let long = "x".repeat(256);
        check(
            &format!("ip-address {long}"),
            error("ERR REPLCONF ip-address provided by replica instance is too long: 256 bytes"),
            none(),
        );
    }

    #[test]
    fn an_address_cannot_forge_a_line_or_a_field() {
        let none = ReplicaFacts::default;
        let refused = || error("ERR REPLCONF ip-address is not an address");
        for address in ["a\r\nslave9:b", "1.2.3.4,offset=oops", "a\tb", "\u{e9}"] {
            check(&format!("ip-address {address}"), refused(), none());
        }
        let address = Some("fe80::1%eth0".to_owned());
        let facts = ReplicaFacts { announced_ip: address, ..none() };
        check("ip-address fe80::1%eth0", Effect::Noted, facts);
        check("ip-address a ip-address ", Effect::Noted, none());
    }
}
