//! Being a replica for a moment: `--rdb` keeps the data set that a master sends to a new
//! replica, `--replica` throws it away and shows the stream that follows.
//!
//! ```text
//! REPLCONF … ─► SYNC ─► $<bytes> or $EOF:<mark> ─► RDB ─► [mark] ─► commands
//! ```
//! A typed SYNC or PSYNC goes out as it was typed; to PSYNC a line comes first that says whether
//! an RDB follows.

use std::fs::File;
use std::io::Write;

use tandem_base::num::parse_u64;

use crate::client::Client;
use crate::format::Output;
use crate::session::Session;
use crate::text::{complain, error_text};
use crate::{Step, Stop};

/// The length of the mark that ends an RDB of unknown length.
const MARK_BYTES: usize = 40;
/// The longest line that a master may answer SYNC with.
const LINE_BYTES_MAX: usize = 4096;
const BUF_BYTES: usize = 64 * 1024;

/// How the end of the RDB is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    After(u64),
    Mark([u8; MARK_BYTES]),
}

/// Shows the stream of commands until the master goes away.
pub(super) fn replica(session: &mut Session) -> Step<i32> {
    replconf(session, "capa", "eof")?;
    replconf(session, "rdb-filter-only", "")?;
    follow_master(session, &[b"SYNC".to_vec()])?;
    Ok(1)
}

/// Sends a SYNC or PSYNC, drops the RDB and shows what follows; ends when the connection does.
pub(crate) fn follow_master(session: &mut Session, command: &[Vec<u8>]) -> Step<()> {
    let end = send_sync(client(session)?, command)?;
    match end {
        End::Mark(_) => {
            complain("SYNC with master, discarding bytes of bulk transfer until EOF marker...")
        }
        End::After(bytes) => {
            complain(format!("SYNC with master, discarding {bytes} bytes of bulk transfer..."));
        }
    }
    let fault = "Error reading RDB payload while SYNCing";
    let bytes = read_rdb(client(session)?, end, fault, |_| Ok(()))?;
    match end {
        End::Mark(_) => {
            let bytes = bytes + MARK_BYTES as u64;
            complain(format!("SYNC done after {bytes} bytes. Logging commands from master."));
            // A master that sent its RDB to a socket waits for this before it goes on.
            std::thread::sleep(std::time::Duration::from_secs(1));
            complain("sending REPLCONF ACK 0");
            client(session)?.send(&["REPLCONF", "ACK", "0"]).map_err(|_| Stop::Failed)?;
        }
        End::After(_) => complain("SYNC done. Logging commands from master."),
    }
    let output = std::mem::replace(&mut session.options.output, Output::Csv);
    let ended = loop {
        if let Err(stop) = session.read_reply(false) {
            break stop;
        }
    };
    session.options.output = output;
    match ended {
        Stop::Failed => Ok(()),
        exit => Err(exit),
    }
}

/// Writes the RDB to the file that the user named, or to standard output for `-`.
pub(super) fn fetch_rdb(session: &mut Session) -> Step<i32> {
    replconf(session, "capa", "eof")?;
    replconf(session, "rdb-only", "1")?;
    let functions = session.options.functions_only;
    if functions && !replconf(session, "rdb-filter-only", "functions")? {
        complain("Failed requesting functions only RDB from server, aborting");
        return Err(Stop::Exit(1));
    }
    let path = session.options.rdb_file.clone();
    let name = path.display().to_string();
    let end = send_sync(client(session)?, &[b"SYNC".to_vec()])?;
    complain(match end {
        End::Mark(_) => format!(
            "SYNC sent to master, writing bytes of bulk transfer until EOF marker to '{name}'"
        ),
        End::After(bytes) => format!("SYNC sent to master, writing {bytes} bytes to '{name}'"),
    });
    let fault = "I/O Error reading RDB payload from socket";
    let bytes = if name == "-" {
        let mut out = std::io::stdout().lock();
        let bytes = read_rdb(client(session)?, end, fault, |piece| out.write_all(piece))?;
        out.flush().map_err(|_| Stop::Exit(1))?;
        bytes
    } else {
        let mut file = File::create(&path).map_err(|error| {
            complain(format!("Error opening '{name}': {}", error_text(&error)));
            Stop::Exit(1)
        })?;
        let bytes = read_rdb(client(session)?, end, fault, |piece| file.write_all(piece))?;
        // The master need not wait for our disk.
        session.client = None;
        file.sync_all().map_err(|error| {
            complain(format!("Fail to fsync '{name}': {}", error_text(&error)));
            Stop::Exit(1)
        })?;
        bytes
    };
    complain(match end {
        End::Mark(_) => format!("Transfer finished with success after {bytes} bytes"),
        End::After(_) => "Transfer finished with success.".to_owned(),
    });
    Ok(0)
}

fn client(session: &mut Session) -> Step<&mut Client> {
    session.client.as_mut().ok_or(Stop::Failed)
}

/// Tells the master something about us; false when it does not know the option, which an old
/// one may.
fn replconf(session: &mut Session, option: &str, value: &str) -> Step<bool> {
    complain(format!("sending REPLCONF {option} {value}"));
    let reply = session.ask(&["REPLCONF", option, value]).map_err(|_| Stop::Exit(1))?;
    if let Some(error) = reply.as_error() {
        complain([b"REPLCONF ", option.as_bytes(), b" error: ", error].concat());
        return Ok(false);
    }
    Ok(true)
}

/// Sends the command and reads what stands in front of the RDB.
fn send_sync(client: &mut Client, command: &[Vec<u8>]) -> Step<End> {
    client.send(command).map_err(|_| {
        complain("Error writing to master");
        Stop::Exit(1)
    })?;
    let mut line = read_line(client)?;
    if line.starts_with(b"+CONTINUE") {
        return Ok(End::After(0));
    }
    if line.starts_with(b"+FULLRESYNC") {
        line = read_line(client)?;
    }
    if line.starts_with(b"-") {
        complain([b"SYNC with master failed: ", line.as_slice()].concat());
        return Err(Stop::Exit(1));
    }
    parse_end(line.strip_suffix(b"\r").unwrap_or(&line)).ok_or_else(|| {
        complain("Error reading bulk length while SYNCing");
        Stop::Exit(1)
    })
}

/// Reads a line, without its line feed.
fn read_line(client: &mut Client) -> Step<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        if !matches!(client.read_raw(&mut byte), Ok(1)) || line.len() > LINE_BYTES_MAX {
            complain("Error reading bulk length while SYNCing");
            return Err(Stop::Exit(1));
        }
        match byte[0] {
            // While the master prepares the RDB it sends empty lines to show that it lives.
            b'\n' if line.is_empty() => {}
            b'\n' => return Ok(line),
            byte => line.push(byte),
        }
    }
}

/// Reads `$<bytes>` or `$EOF:<mark>`.
fn parse_end(line: &[u8]) -> Option<End> {
    let text = line.strip_prefix(b"$")?;
    match text.strip_prefix(b"EOF:") {
        Some(mark) => mark.first_chunk().copied().map(End::Mark),
        None => parse_u64(text).map(End::After),
    }
}

/// Hands the bytes of the RDB to `take`; returns how many there were. Bytes that may be the
/// mark are held back until it is clear that they are not.
fn read_rdb(
    client: &mut Client,
    end: End,
    fault: &str,
    mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Step<u64> {
    let mut buf = vec![0; BUF_BYTES];
    let mut held: Vec<u8> = Vec::new();
    let mut total = 0;
    loop {
        let room = match end {
            End::After(bytes) if bytes == total => return Ok(total),
            End::After(bytes) => usize::try_from(bytes - total).unwrap_or(BUF_BYTES).min(BUF_BYTES),
            End::Mark(_) => BUF_BYTES,
        };
        let Ok(got @ 1..) = client.read_raw(&mut buf[..room]) else {
            complain(fault);
            return Err(Stop::Exit(1));
        };
        held.extend_from_slice(&buf[..got]);
        let (ready, ended) = match end {
            End::After(_) => (held.len(), false),
            // The master sends nothing after the mark until it hears from us.
            End::Mark(mark) if held.ends_with(&mark) => (held.len() - MARK_BYTES, true),
            End::Mark(_) => (held.len().saturating_sub(MARK_BYTES), false),
        };
        take(&held[..ready]).map_err(|error| {
            complain(format!("Error writing data to file: {}", error_text(&error)));
            Stop::Exit(1)
        })?;
        held.drain(..ready);
        total += ready as u64;
        if ended {
            return Ok(total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_before_the_rdb_says_how_it_ends() {
        let mark = [b'm'; MARK_BYTES];
        assert_eq!(parse_end(b"$12"), Some(End::After(12)));
        assert_eq!(parse_end(&[b"$EOF:", &mark[..]].concat()), Some(End::Mark(mark)));
        for bad in [&b"12"[..], b"$", b"$-1", b"$x", b"$EOF:short", b"+OK", b""] {
            assert_eq!(parse_end(bad), None);
        }
    }
}
