//! CLIENT: connections looking at themselves and at each other.
//!
//! A connection belongs to one worker. To kill one, the asking worker raises a flag in the
//! shared part and leaves mail; the owner ends it on its next turn.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tandem_base::num;
use tandem_resp::Args;

use super::client_list::{ClientType, push_line};
use super::connection::{printable, set_name};
use super::docs::help;
use super::facts::{arg, command, container};
use super::tracking::{caching, get_redir, tracking, tracking_info};
use super::wrong_form;
use crate::acl::{Acl, User};
use crate::blocking::Why;
use crate::client::{ClientFlags, ClientId, ClientInfo, ReplyMode};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::node::Mail;
use crate::pause::PausedBy;
use crate::spec::{ArgDoc, Group::Connection, Plan, Spec};

const ANYBODY: &str = "noscript loading stale sentinel";
const ADMIN: &str = "admin noscript loading stale sentinel";
const VARIES: &[&str] = &["nondeterministic_output"];

const KILL_FILTER: &[ArgDoc] = &[arg::one_of(
    "filter",
    &[
        arg::string("ip:port").deprecated("2.8.12"),
        arg::one_of(
            "new-format",
            &[
                arg::integer("client-id").token("ID").optional().since("2.8.12"),
                arg::one_of(
                    "normal_master_slave_pubsub",
                    &[
                        arg::token("normal", "NORMAL"),
                        arg::token("master", "MASTER").since("3.2.0"),
                        arg::token("slave", "SLAVE"),
                        arg::token("replica", "REPLICA").since("5.0.0"),
                        arg::token("pubsub", "PUBSUB"),
                    ],
                )
                .token("TYPE")
                .optional()
                .since("2.8.12"),
                arg::string("username").token("USER").optional(),
                arg::string("ip:port").token("ADDR").optional(),
                arg::string("ip:port").token("LADDR").optional().since("6.2.0"),
                arg::string("yes/no").token("SKIPME").optional(),
            ],
        )
        .multiple(),
    ],
)];

const TRACKING: &[ArgDoc] = &[
    arg::one_of("status", &[arg::token("on", "ON"), arg::token("off", "OFF")]),
    arg::integer("client-id").token("REDIRECT").optional(),
    arg::string("prefix").token("PREFIX").optional().multiple_token(),
    arg::token("bcast", "BCAST").optional(),
    arg::token("optin", "OPTIN").optional(),
    arg::token("optout", "OPTOUT").optional(),
    arg::token("noloop", "NOLOOP").optional(),
];

const LIST_FILTER: &[ArgDoc] = &[
    arg::one_of(
        "normal_master_replica_pubsub",
        &[
            arg::token("normal", "NORMAL"),
            arg::token("master", "MASTER"),
            arg::token("replica", "REPLICA"),
            arg::token("pubsub", "PUBSUB"),
        ],
    )
    .token("TYPE")
    .optional()
    .since("5.0.0"),
    arg::block("id", &[arg::integer("client-id").multiple()]).token("ID").optional().since("6.2.0"),
];

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[container(
    "client",
    Connection,
    "sentinel",
    &[
        command("client|caching", Connection, 3, ANYBODY, caching)
            .acl("connection")
            .doc("6.0.0", "Whether what the next command reads is remembered.", "O(1)")
            .args(&[arg::one_of("mode", &[arg::token("yes", "YES"), arg::token("no", "NO")])]),
        command("client|getname", Connection, 2, ANYBODY, get_name).acl("connection").doc(
            "2.6.9",
            "The connection's name.",
            "O(1)",
        ),
        command("client|getredir", Connection, 2, ANYBODY, get_redir).acl("connection").doc(
            "6.0.0",
            "Which client gets this one's invalidations.",
            "O(1)",
        ),
        command("client|help", Connection, 2, "loading stale sentinel", help)
            .acl("connection")
            .doc("5.0.0", "Lists the subcommands.", "O(1)"),
        command("client|id", Connection, 2, ANYBODY, id).acl("connection").doc(
            "5.0.0",
            "The connection's number.",
            "O(1)",
        ),
        command("client|info", Connection, 2, ANYBODY, info).acl("connection").tips(VARIES).doc(
            "6.2.0",
            "The connection's line of CLIENT LIST.",
            "O(1)",
        ),
        command("client|kill", Connection, -3, ADMIN, kill)
            .acl("connection")
            .history(&[
                ("2.8.12", "Takes filters."),
                ("2.8.12", "Filter `ID`."),
                ("3.2.0", "Type `master`."),
                ("5.0.0", "Type `replica`; `slave` is still understood."),
                ("6.2.0", "Filter `LADDR`."),
            ])
            .doc("2.4.0", "Ends connections.", "O(N) for N connections")
            .args(KILL_FILTER),
        command("client|list", Connection, -2, ADMIN, list)
            .acl("connection")
            .tips(VARIES)
            .history(&[
                ("2.8.12", "Field `id`."),
                ("5.0.0", "Filter `TYPE`."),
                ("6.0.0", "Field `user`."),
                ("6.2.0", "Fields `argv-mem`, `tot-mem`, `laddr` and `redir`; filter `ID`."),
                ("7.0.0", "Fields `resp`, `multi-mem`, `rbs` and `rbp`."),
                ("7.0.3", "Field `ssub`."),
            ])
            .doc("2.4.0", "Shows connections, one a line.", "O(N) for N connections")
            .args(LIST_FILTER),
        command("client|no-evict", Connection, 3, ADMIN, no_evict)
            .acl("connection")
            .doc("7.0.0", "Keeps the connection when memory for clients is short.", "O(1)")
            .args(&[arg::one_of("enabled", &[arg::token("on", "ON"), arg::token("off", "OFF")])]),
        // Alone, so that no write that was let in before it runs after it was answered.
        command("client|pause", Connection, -3, ADMIN, pause)
            .plan(Plan::Exclusive)
            .acl("connection")
            .history(&[("6.2.0", "Mode `WRITE`.")])
            .doc("2.9.50", "Makes clients wait for some milliseconds.", "O(1)")
            .args(&[
                arg::integer("timeout"),
                arg::one_of("mode", &[arg::token("write", "WRITE"), arg::token("all", "ALL")])
                    .optional()
                    .since("6.2.0"),
            ]),
        command("client|reply", Connection, 3, ANYBODY, reply)
            .acl("connection")
            .doc("3.2.0", "Which replies the client wants.", "O(1)")
            .args(&[arg::one_of(
                "on_off_skip",
                &[arg::token("on", "ON"), arg::token("off", "OFF"), arg::token("skip", "SKIP")],
            )]),
        command("client|setinfo", Connection, 4, ANYBODY, set_info)
            .acl("connection")
            .doc("7.2.0", "Says which library the client uses.", "O(1)")
            .args(&[arg::one_of(
                "attr",
                &[arg::string("libname").token("LIB-NAME"), arg::string("libver").token("LIB-VER")],
            )]),
        command("client|setname", Connection, 3, ANYBODY, set_name_command)
            .acl("connection")
            .doc("2.6.9", "Names the connection.", "O(1)")
            .args(&[arg::string("connection-name")]),
        command("client|tracking", Connection, -3, ANYBODY, tracking)
            .acl("connection")
            .doc("6.0.0", "Tells the client when keys change that it has read.", "O(1)")
            .args(TRACKING),
        command("client|trackinginfo", Connection, 2, ANYBODY, tracking_info)
            .acl("connection")
            .doc("6.2.0", "How the client is told of changes.", "O(1)"),
        command("client|unblock", Connection, -3, ADMIN, unblock)
            .acl("connection")
            .doc("5.0.0", "Lets a client that waits go on.", "O(1)")
            .args(&[
                arg::integer("client-id"),
                arg::one_of(
                    "timeout_error",
                    &[arg::token("timeout", "TIMEOUT"), arg::token("error", "ERROR")],
                )
                .optional(),
            ]),
        command("client|unpause", Connection, 2, ADMIN, unpause).acl("connection").doc(
            "6.2.0",
            "Ends a pause.",
            "O(N) for N waiting clients",
        ),
    ],
)
.doc("2.4.0", "Connections.", "Depends on the subcommand")];

/// `CLIENT ID`
fn id(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.out.int(cx.client.id().cast_signed());
    Ok(())
}

/// `CLIENT INFO`
fn info(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let mut line = String::new();
    push_line(&mut line, &cx.client.info, (cx.client, args), cx.now());
    cx.out.verbatim("txt", line.as_bytes());
    Ok(())
}

/// `CLIENT LIST [TYPE type | ID id …]`
fn list(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let option = if args.len() > 2 { args.get(2) } else { b"" };
    let shown: Vec<Arc<ClientInfo>> = if args.len() == 2 {
        cx.node.clients.snapshot()
    } else if args.len() == 4 && option.eq_ignore_ascii_case(b"type") {
        let wanted = ClientType::parse(args.get(3))?;
        let mut all = cx.node.clients.snapshot();
        all.retain(|info| ClientType::of(info) == wanted);
        all
    } else if args.len() > 3 && option.eq_ignore_ascii_case(b"id") {
        let invalid = || ErrorReply::text("ERR Invalid client ID");
        let ids: Result<Vec<i64>, _> =
            args.from(3).map(|id| num::parse_i64(id).ok_or_else(invalid)).collect();
        let ids = ids?.into_iter().filter_map(|id| ClientId::try_from(id).ok());
        ids.filter_map(|id| cx.node.clients.get(id)).collect()
    } else {
        return Err(ErrorReply::Syntax);
    };
    let mut text = String::with_capacity(shown.len() * 256);
    // Who was killed is gone for everybody, even if its worker has not seen to it yet.
    for info in shown.iter().filter(|info| !info.killed.load(Ordering::Relaxed)) {
        push_line(&mut text, info, (cx.client, args), cx.now());
    }
    cx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Which connections CLIENT KILL means; all conditions must hold.
struct KillFilter<'a> {
    id: Option<ClientId>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    kind: Option<ClientType>,
    user: Option<Arc<User>>,
    skip_me: bool,
}

impl<'a> KillFilter<'a> {
    fn parse(acl: &Acl, args: Args<'a>) -> Result<KillFilter<'a>, ErrorReply> {
        let mut filter =
            KillFilter { id: None, addr: None, laddr: None, kind: None, user: None, skip_me: true };
        if args.len() == 3 {
            return Ok(KillFilter { addr: Some(args.get(2)), skip_me: false, ..filter });
        }
        for at in (2..args.len()).step_by(2) {
            if at + 1 == args.len() {
                return Err(ErrorReply::Syntax);
            }
            let value = args.get(at + 1);
            match args.get(at).to_ascii_lowercase().as_slice() {
                b"id" => filter.id = Some(parse_id(value)?),
                b"type" => filter.kind = Some(ClientType::parse(value)?),
                b"addr" => filter.addr = Some(value),
                b"laddr" => filter.laddr = Some(value),
                b"user" => {
                    let unknown = || ErrorReply::quoting("ERR No such user '", value, "'");
                    filter.user = Some(acl.find(value).ok_or_else(unknown)?);
                }
                b"skipme" if value.eq_ignore_ascii_case(b"yes") => filter.skip_me = true,
                b"skipme" if value.eq_ignore_ascii_case(b"no") => filter.skip_me = false,
                _ => return Err(ErrorReply::Syntax),
            }
        }
        Ok(filter)
    }

    fn means(&self, info: &ClientInfo, me: ClientId) -> bool {
        self.id.is_none_or(|id| info.id == id)
            && self.addr.is_none_or(|addr| info.addr.as_bytes() == addr)
            && self.laddr.is_none_or(|laddr| info.laddr.as_bytes() == laddr)
            && self.kind.is_none_or(|kind| ClientType::of(info) == kind)
            && self
                .user
                .as_ref()
                .is_none_or(|wanted| info.user().is_some_and(|user| Arc::ptr_eq(wanted, &user)))
            && !(self.skip_me && info.id == me)
    }
}

fn parse_id(value: &[u8]) -> Result<ClientId, ErrorReply> {
    let id = num::parse_i64(value).and_then(|id| ClientId::try_from(id).ok());
    id.filter(|id| *id > 0).ok_or(ErrorReply::text("ERR client-id should be greater than 0"))
}

/// `CLIENT KILL addr`, `CLIENT KILL filter value …`
fn kill(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let filter = KillFilter::parse(&cx.node.acl, args)?;
    let me = cx.client.id();
    let mut killed = 0;
    for info in cx.node.clients.snapshot() {
        if !filter.means(&info, me) {
            continue;
        }
        if info.id == me {
            // After the reply.
            cx.client.closing = true;
            killed += 1;
        } else if !info.killed.swap(true, Ordering::Relaxed) {
            cx.node.end_wait_of_killed(&info);
            cx.node.mail(info.worker, Mail::Look(info.id));
            killed += 1;
        }
    }
    match (args.len(), killed) {
        (3, 0) => return Err(ErrorReply::text("ERR No such client")),
        (3, _) => cx.out.ok(),
        _ => cx.out.count(killed),
    }
    Ok(())
}

/// `CLIENT SETNAME name`
fn set_name_command(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    set_name(cx.client, args.get(2))?;
    cx.out.ok();
    Ok(())
}

/// `CLIENT GETNAME`
fn get_name(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    match cx.client.info.names().name.as_str() {
        "" => cx.out.null(),
        name => cx.out.bulk(name.as_bytes()),
    }
    Ok(())
}

/// `CLIENT SETINFO LIB-NAME name | LIB-VER version`, as in Redis 7.2
fn set_info(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (attribute, value) = (args.get(2), args.get(3));
    let mut names = cx.client.info.names();
    let (place, shown) = match attribute.to_ascii_lowercase().as_slice() {
        b"lib-name" => (&mut names.lib_name, "lib-name"),
        b"lib-ver" => (&mut names.lib_ver, "lib-ver"),
        _ => return Err(ErrorReply::quoting("ERR Unrecognized option '", attribute, "'")),
    };
    let value = printable(value).ok_or_else(|| {
        ErrorReply::owned(format!(
            "ERR {shown} cannot contain spaces, newlines or special characters."
        ))
    })?;
    value.clone_into(place);
    cx.out.ok();
    Ok(())
}

/// `CLIENT NO-EVICT ON|OFF`
fn no_evict(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let on = match args.get(2).to_ascii_lowercase().as_slice() {
        b"on" => true,
        b"off" => false,
        _ => return Err(ErrorReply::Syntax),
    };
    cx.client.info.set_flag(ClientFlags::NO_EVICT, on);
    cx.out.ok();
    Ok(())
}

/// `CLIENT REPLY ON|OFF|SKIP`; only ON is answered.
fn reply(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    match args.get(2).to_ascii_lowercase().as_slice() {
        b"on" => {
            cx.client.reply_mode = ReplyMode::On;
            cx.out.ok();
        }
        b"off" => cx.client.reply_mode = ReplyMode::Off,
        b"skip" if cx.client.reply_mode == ReplyMode::Off => {}
        b"skip" => cx.client.reply_mode = ReplyMode::SkipAfterThis,
        _ => return Err(ErrorReply::Syntax),
    }
    Ok(())
}

/// `CLIENT PAUSE milliseconds [WRITE|ALL]`
fn pause(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let all = match args.len() {
        3 => true,
        4 if args.get(3).eq_ignore_ascii_case(b"all") => true,
        4 if args.get(3).eq_ignore_ascii_case(b"write") => false,
        4 => return Err(ErrorReply::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(wrong_form(args)),
    };
    let ms = num::parse_i64(args.get(2))
        .ok_or(ErrorReply::text("ERR timeout is not an integer or out of range"))?;
    let ms = u64::try_from(ms).map_err(|_| ErrorReply::text("ERR timeout is negative"))?;
    let now = cx.now();
    cx.node.pause(PausedBy::Command, now.mono.plus_ms(ms), all, now);
    cx.out.ok();
    Ok(())
}

/// `CLIENT UNBLOCK id [TIMEOUT|ERROR]`: 1 if that client waited for keys or replicas.
fn unblock(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let why = match args.len() {
        3 => Why::Timeout,
        4 if args.get(3).eq_ignore_ascii_case(b"timeout") => Why::Timeout,
        4 if args.get(3).eq_ignore_ascii_case(b"error") => Why::Unblocked,
        4 => {
            return Err(ErrorReply::text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
        }
        _ => return Err(wrong_form(args)),
    };
    let id = num::parse_i64(args.get(2)).ok_or(ErrorReply::NotInteger)?;
    let info = ClientId::try_from(id).ok().and_then(|id| cx.node.clients.get(id));
    let unblocked = info.is_some_and(|info| cx.node.unblock(&info, why));
    cx.out.int(unblocked.into());
    Ok(())
}

/// `CLIENT UNPAUSE`
fn unpause(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.node.unpause(PausedBy::Command);
    cx.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests;
