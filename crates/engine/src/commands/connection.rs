//! What a connection says about itself: AUTH, HELLO, PING, ECHO, SELECT, RESET, QUIT.
//!
//! A connection begins as the user `default`; `acl/` knows the others and their passwords.

use std::sync::atomic::Ordering;

use tandem_base::{DbIndex, REDIS_VERSION, num};
use tandem_resp::{Args, Proto};

use super::facts::{arg, command};
use super::transactions;
use crate::acl::{Context, DEFAULT_USER};
use crate::client::{Client, Kind, ReplyMode};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::spec::{Group::Connection, Spec};

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[
    command(
        "auth",
        Connection,
        -2,
        "noscript loading stale fast no_auth sentinel allow_busy",
        auth,
    )
    .acl("connection")
    .history(&[("6.0.0", "Takes a user name too.")])
    .doc("1.0.0", "Proves who the client is.", "O(N) for N bytes of password")
    .args(&[arg::string("username").optional().since("6.0.0"), arg::string("password")]),
    command("echo", Connection, 2, "loading stale fast", echo)
        .acl("connection")
        .doc("1.0.0", "Replies with its argument.", "O(1)")
        .args(&[arg::string("message")]),
    command(
        "hello",
        Connection,
        -1,
        "noscript loading stale fast no_auth sentinel allow_busy",
        hello,
    )
    .acl("connection")
    .history(&[("6.2.0", "Without a version it only tells about the connection.")])
    .doc("6.0.0", "Chooses the protocol, and may authenticate and name the client.", "O(1)")
    .args(&[arg::block(
        "arguments",
        &[
            arg::integer("protover"),
            arg::block("username_password", &[arg::string("username"), arg::string("password")])
                .token("AUTH")
                .optional(),
            arg::string("clientname").token("SETNAME").optional(),
        ],
    )
    .optional()]),
    command("ping", Connection, -1, "fast sentinel", ping)
        .acl("connection")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc("1.0.0", "Replies PONG, or its argument.", "O(1)")
        .args(&[arg::string("message").optional()]),
    command("quit", Connection, -1, "noscript loading stale fast no_auth allow_busy", quit)
        .acl("connection")
        .doc("1.0.0", "Ends the connection.", "O(1)"),
    command("reset", Connection, 1, "noscript loading stale fast no_auth allow_busy", reset)
        .acl("connection")
        .doc("6.2.0", "Makes the connection as good as new.", "O(1)"),
    command("select", Connection, 2, "loading stale fast", select)
        .acl("connection")
        .doc("1.0.0", "Chooses the database.", "O(1)")
        .args(&[arg::integer("index")]),
];

fn authenticate(cx: &mut Cx<'_>, args: Args<'_>, user: &[u8], password: &[u8]) -> Outcome {
    let now = cx.now();
    let open = cx.in_exec || cx.client.transaction.is_some();
    let context = if open { Context::Multi } else { Context::TopLevel };
    cx.node.authenticate(cx.client, args, (user, password), context, now)
}

/// `AUTH [username] password`
fn auth(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    match args.len() {
        2 if cx.node.acl.default_user().rights().is_nopass() => Err(ErrorReply::text(
            "ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        )),
        2 => authenticate(cx, args, DEFAULT_USER, args.get(1)),
        3 => authenticate(cx, args, args.get(1), args.get(2)),
        _ => Err(ErrorReply::Syntax),
    }?;
    cx.out.ok();
    Ok(())
}

/// `HELLO [protover [AUTH username password] [SETNAME clientname]]`
///
/// Options take effect one after the other, even if a later one is wrong; the protocol changes
/// last.
fn hello(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let mut proto = None;
    if args.len() >= 2 {
        let version = num::parse_i64(args.get(1))
            .ok_or(ErrorReply::text("ERR Protocol version is not an integer or out of range"))?;
        proto = Some(match version {
            2 => Proto::V2,
            3 => Proto::V3,
            _ => return Err(ErrorReply::text("NOPROTO unsupported protocol version")),
        });
    }
    let mut at = 2;
    while at < args.len() {
        let (option, left) = (args.get(at), args.len() - at - 1);
        if option.eq_ignore_ascii_case(b"auth") && left >= 2 {
            authenticate(cx, args, args.get(at + 1), args.get(at + 2))?;
            at += 3;
        } else if option.eq_ignore_ascii_case(b"setname") && left >= 1 {
            set_name(cx.client, args.get(at + 1))?;
            at += 2;
        } else {
            return Err(ErrorReply::quoting("ERR Syntax error in HELLO option '", option, "'"));
        }
    }
    if !cx.client.authenticated {
        return Err(ErrorReply::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO AUTH <user> <pass> option can be used to authenticate the client and select \
             the RESP protocol version at the same time",
        ));
    }
    if let Some(proto) = proto {
        speak(cx, proto);
    }
    push_greeting(cx);
    Ok(())
}

fn speak(cx: &mut Cx<'_>, proto: Proto) {
    cx.out.proto = proto;
    cx.client.info.resp.store(version_of(proto), Ordering::Relaxed);
}

fn version_of(proto: Proto) -> u32 {
    match proto {
        Proto::V2 => 2,
        Proto::V3 => 3,
    }
}

fn push_greeting(cx: &mut Cx<'_>) {
    let role: &[u8] = if cx.node.is_replica() { b"replica" } else { b"master" };
    let proto = version_of(cx.out.proto);
    let out = &mut *cx.out;
    out.map(7);
    out.bulk(b"server");
    out.bulk(b"redis");
    out.bulk(b"version");
    out.bulk(REDIS_VERSION.as_bytes());
    out.bulk(b"proto");
    out.int(proto.into());
    out.bulk(b"id");
    out.int(cx.client.id().cast_signed());
    out.bulk(b"mode");
    out.bulk(b"standalone");
    out.bulk(b"role");
    out.bulk(role);
    out.bulk(b"modules");
    out.array(0);
}

/// Names the client; an empty name takes the name away. Names are words of printable ASCII, so
/// that CLIENT LIST can be split at blanks.
pub(super) fn set_name(client: &Client, name: &[u8]) -> Outcome {
    let name = printable(name).ok_or(ErrorReply::text(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))?;
    name.clone_into(&mut client.info.names().name);
    Ok(())
}

/// The text, if it is printable ASCII without blanks.
pub(super) fn printable(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    text.bytes().all(|byte| byte.is_ascii_graphic()).then_some(text)
}

/// `PING [message]`
fn ping(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    if cx.client.subscriptions.is_some() && cx.out.proto == Proto::V2 && args.len() <= 2 {
        // Like a message, since a status could be the reply to something else.
        cx.out.array(2);
        cx.out.bulk(b"pong");
        cx.out.bulk(if args.len() == 2 { args.get(1) } else { b"" });
        return Ok(());
    }
    match args.len() {
        1 => cx.out.simple("PONG"),
        2 => cx.out.bulk(args.get(1)),
        _ => return Err(ErrorReply::WrongArity("ping")),
    }
    Ok(())
}

/// `ECHO message`
fn echo(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    match args.shared(1) {
        Some(large) => cx.out.bulk_shared(large),
        None => cx.out.bulk(args.get(1)),
    }
    Ok(())
}

/// `QUIT`: what the client sent after it is not looked at.
fn quit(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.out.ok();
    cx.client.closing = true;
    Ok(())
}

/// `RESET`: transaction, watches, name, database, protocol and authentication are as they were
/// when the client came.
fn reset(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    if cx.client.kind == Kind::Replica {
        return Err(ErrorReply::text("ERR can only reset normal client connections"));
    }
    transactions::discard(cx.node, cx.client);
    cx.node.stop_listening(cx.client);
    cx.client.select(DbIndex(0));
    cx.client.log_out(&cx.node.acl);
    cx.client.info.names().name.clear();
    cx.client.reply_mode = ReplyMode::On;
    speak(cx, Proto::V2);
    cx.out.simple("RESET");
    Ok(())
}

/// `SELECT index`
fn select(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let index = num::parse_i64(args.get(1)).ok_or(ErrorReply::NotInteger)?;
    if i32::try_from(index).is_err() {
        return Err(ErrorReply::owned(format!(
            "ERR value is out of range, value must between {} and {}",
            i32::MIN,
            i32::MAX
        )));
    }
    match u16::try_from(index) {
        Ok(index) if index < cx.node.keyspace.databases() => cx.client.select(DbIndex(index)),
        _ => return Err(ErrorReply::DbOutOfRange),
    }
    cx.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests;
