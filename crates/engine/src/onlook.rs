//! MONITOR: every command that runs, shown to those who want to see it.
//!
//! The line is made once and left with every worker that has such clients, while the command's
//! keys are held: lines about one key come in the order in which the commands ran. Commands of
//! administrators and those that say `skip_monitor` are not shown, passwords are not either.
//! While nobody looks, a command pays one load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use std::io::Write as _;

use tandem_base::{DbIndex, Now};
use tandem_resp::Args;

use crate::client::{Client, ClientFlags};
use crate::node::{Node, Refusals, lock};
use crate::pubsub::Audience;
use crate::pushes::Content;
use crate::redact::Redacted;
use crate::spec::{Flags, Spec};

/// Who wants to see every command.
#[derive(Default)]
pub struct Monitors {
    any: AtomicBool,
    clients: Mutex<Audience>,
}

impl Monitors {
    /// Whether there is anybody.
    #[inline]
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }
}

impl Node {
    /// Makes a client see every command from now on.
    pub fn start_monitor(&self, client: &mut Client) {
        let mut clients = lock(&self.monitors.clients);
        clients.add(client.info.worker, client.info.id);
        self.monitors.any.store(true, Ordering::Relaxed);
        client.info.set_flag(ClientFlags::MONITOR, true);
        client.is_monitor = true;
        client.update_listens();
    }

    /// Ends that, if it was so.
    pub fn stop_monitor(&self, client: &mut Client) {
        if !std::mem::take(&mut client.is_monitor) {
            return;
        }
        let mut clients = lock(&self.monitors.clients);
        clients.remove(client.info.worker, client.info.id);
        self.monitors.any.store(!clients.is_empty(), Ordering::Relaxed);
        client.info.set_flag(ClientFlags::MONITOR, false);
        client.update_listens();
    }

    /// Shows a command that has just run for `client` in database `db`.
    #[cold]
    pub(crate) fn show_monitors(
        &self,
        client: &Client,
        db: DbIndex,
        spec: &Spec,
        args: Args<'_>,
        now: Now,
    ) {
        let hidden = spec.flags.intersects(Flags::SKIP_MONITOR | Flags::ADMIN);
        if hidden || self.refusals().contains(Refusals::LOADING) {
            return;
        }
        let line = self.monitor_line(client, db, spec, args, now);
        lock(&self.monitors.clients).send(self, Content::Line(Arc::new(line)));
    }

    fn monitor_line(
        &self,
        client: &Client,
        db: DbIndex,
        spec: &Spec,
        args: Args<'_>,
        now: Now,
    ) -> Vec<u8> {
        let ms = now.unix.0.max(0).unsigned_abs();
        let mut line = format!("+{}.{:06} [{} ", ms / 1000, ms % 1000 * 1000, db.0).into_bytes();
        if client.info.flags().contains(ClientFlags::UNIX_SOCKET) {
            line.extend_from_slice(b"unix:");
            line.extend_from_slice(self.config().unixsocket());
        } else {
            line.extend_from_slice(client.info.addr.as_bytes());
        }
        line.push(b']');
        let redacted = Redacted::of(spec, args);
        for at in 0..args.len() {
            line.push(b' ');
            push_quoted(&mut line, redacted.shown(args, at));
        }
        line.extend_from_slice(b"\r\n");
        line
    }
}

/// Text in quotes, with escapes for what is not printable ASCII.
fn push_quoted(line: &mut Vec<u8>, text: &[u8]) {
    line.push(b'"');
    for &byte in text {
        match byte {
            b'\\' | b'"' => line.extend_from_slice(&[b'\\', byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            7 => line.extend_from_slice(b"\\a"),
            8 => line.extend_from_slice(b"\\b"),
            b' '..=b'~' => line.push(byte),
            _ => {
                write!(line, "\\x{byte:02x}").expect("memory takes everything");
            }
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests;
