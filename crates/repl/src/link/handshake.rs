//! The questions before PSYNC, their order, and which bad answers a link survives.

use super::context::{Context, Settings};
use super::failure::{LinkError, Retry};
use crate::wire;

/// A question that has been asked and not yet answered. `with_*` remember what was asked, for
/// the settings may change before the answers are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Are you a master that answers at all?
    Ping,
    /// `AUTH`: the one answer that must be good.
    Auth { with_ip: bool },
    /// `REPLCONF listening-port`.
    Port { with_ip: bool },
    /// `REPLCONF ip-address`.
    Ip,
    /// `REPLCONF capa`.
    Capa,
}

/// Asks everything that follows the PING, in one write; the first answer to come is returned.
pub(super) fn introduce_ourselves(cx: &mut Context) -> Question {
    cx.replconf_refused = false;
    let Settings { auth, listening_port, announce_ip, .. } = &cx.settings;
    let mut commands = Vec::with_capacity(256);
    if let Some(auth) = auth {
        match &auth.user {
            Some(user) => wire::push_command(&mut commands, &[b"AUTH", user, &auth.password]),
            None => wire::push_command(&mut commands, &[b"AUTH", &auth.password]),
        }
    }
    let port = listening_port.to_string();
    wire::push_command(&mut commands, &[b"REPLCONF", b"listening-port", port.as_bytes()]);
    if let Some(ip) = announce_ip {
        wire::push_command(&mut commands, &[b"REPLCONF", b"ip-address", ip.as_bytes()]);
    }
    wire::push_command(&mut commands, &[b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"]);
    let with_ip = announce_ip.is_some();
    let first = match auth {
        Some(_) => Question::Auth { with_ip },
        None => Question::Port { with_ip },
    };
    cx.push(super::Output::Send(commands));
    first
}

/// Takes the answer to `asked`; `None` when it was the last.
pub(super) fn take_answer(
    asked: Question,
    line: &[u8],
    cx: &mut Context,
) -> Result<Option<Question>, LinkError> {
    let refused = line.first() == Some(&b'-');
    match asked {
        Question::Ping => {
            if !is_fit_answer_to_ping(line) {
                let text = format!("Error reply to PING from master: '{}'", wire::printable(line));
                return Err(LinkError::warning(Retry::Slow, text));
            }
            cx.notice("Master replied to PING, replication can continue...");
            Ok(Some(introduce_ourselves(cx)))
        }
        Question::Auth { .. } if refused => {
            let text = format!("Unable to AUTH to MASTER: {}", wire::printable(line));
            Err(LinkError::warning(Retry::Slow, text))
        }
        Question::Auth { with_ip } => Ok(Some(Question::Port { with_ip })),
        Question::Port { with_ip } => {
            note_refusal(refused, "listening-port", line, cx);
            Ok(Some(if with_ip { Question::Ip } else { Question::Capa }))
        }
        Question::Ip => {
            note_refusal(refused, "ip-address", line, cx);
            Ok(Some(Question::Capa))
        }
        Question::Capa => {
            note_refusal(refused, "capa", line, cx);
            Ok(None)
        }
    }
}

/// Good, or "tell me a password first", which comes next anyway.
fn is_fit_answer_to_ping(line: &[u8]) -> bool {
    [&b"+"[..], b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted"]
        .iter()
        .any(|fit| line.starts_with(fit))
}

fn note_refusal(refused: bool, option: &str, line: &[u8], cx: &mut Context) {
    if refused {
        cx.replconf_refused = true;
        cx.notice(format!(
            "(Non critical) Master does not understand REPLCONF {option}: {}",
            wire::printable(line)
        ));
    }
}
