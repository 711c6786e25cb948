//! The few commands that replication itself writes, and the numbers of its protocol's texts.
//!
//! Everything else in the stream is written by the engine and passes through here unread.

use tandem_base::{DbIndex, ReplOffset, num};

/// `PING`, as a master writes it into the stream each `repl-ping-replica-period`.
pub const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
/// Asks every replica for an ACK at once; written into the stream for WAIT.
pub const GETACK: &[u8] = b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n";
/// Keeps a link alive outside the stream: while a snapshot is made, while an RDB is loaded.
pub const NEWLINE: &[u8] = b"\n";

/// The largest offset that fits the protocol's signed numbers, and leaves room for the "+1".
pub const OFFSET_MAX: ReplOffset = ReplOffset(i64::MAX as u64 - 1);

/// Appends a command with these arguments.
pub fn push_command(out: &mut Vec<u8>, args: &[&[u8]]) {
    out.push(b'*');
    num::push_u64(out, args.len() as u64);
    out.extend_from_slice(b"\r\n");
    for arg in args {
        out.push(b'$');
        num::push_u64(out, arg.len() as u64);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends `SELECT db`.
pub fn push_select(out: &mut Vec<u8>, db: DbIndex) {
    push_command(out, &[b"SELECT", db.to_string().as_bytes()]);
}

/// Appends `REPLCONF ACK offset`.
pub fn push_ack(out: &mut Vec<u8>, offset: ReplOffset) {
    push_command(out, &[b"REPLCONF", b"ACK", offset.to_string().as_bytes()]);
}

/// Foreign bytes as they may stand in a log line: printable, and not endless.
pub(crate) fn printable(bytes: &[u8]) -> String {
    const MOST: usize = 256;
    bytes[..bytes.len().min(MOST)]
        .escape_ascii()
        .to_string()
        .replace("\\'", "'")
        .replace("\\\"", "\"")
}
