//! REPLICAOF and its old name, PSYNC, SYNC, REPLCONF, ROLE, WAIT.
//!
//! What a role change or a synchronisation means stands in `replication/`; here are the words.

use tandem_base::num;
use tandem_repl::wire;
use tandem_resp::Args;

use super::client_list;
use super::facts::{arg, command};
use crate::blocking::timeout;
use crate::config::MasterAddress;
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::node::{Level, Mail};
use crate::replication;
use crate::spec::{ArgDoc, Group, Plan, Spec};

const MASTER: &[ArgDoc] = &[arg::one_of(
    "args",
    &[
        arg::block("host-port", &[arg::string("host"), arg::integer("port")]),
        arg::block("no-one", &[arg::token("no", "NO"), arg::token("one", "ONE")]),
    ],
)];

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[
    command("replicaof", Group::Server, 3, "admin noscript stale no_async_loading", replicaof)
        .plan(Plan::Exclusive)
        .acl("admin dangerous")
        .doc("5.0.0", "Makes the server a replica of another, or a master again.", "O(1)")
        .args(MASTER),
    command("slaveof", Group::Server, 3, "admin noscript stale no_async_loading", replicaof)
        .plan(Plan::Exclusive)
        .acl("admin dangerous")
        .doc("1.0.0", "The old name of REPLICAOF.", "O(1)")
        .deprecated("5.0.0", "`REPLICAOF`")
        .args(MASTER),
    command("psync", Group::Server, -3, "admin noscript no_async_loading no_multi", psync)
        .plan(Plan::Exclusive)
        .acl("admin dangerous")
        .doc("2.8.0", "How a replica asks its master for what it misses.", "")
        .args(&[arg::string("replicationid"), arg::integer("offset")]),
    command("sync", Group::Server, 1, "admin noscript no_async_loading no_multi", sync)
        .plan(Plan::Exclusive)
        .acl("admin dangerous")
        .doc("1.0.0", "How an old replica asks its master for everything.", ""),
    command("replconf", Group::Server, -1, "admin noscript loading stale allow_busy", replconf)
        .acl("admin dangerous")
        .doc("3.0.0", "How a replica tells its master about itself.", "O(1)")
        .internal(),
    command("role", Group::Server, 1, "noscript loading stale fast sentinel", role)
        .acl("admin dangerous")
        .doc("2.8.12", "What the server is in replication, and with whom.", "O(1)"),
    command("wait", Group::Generic, 3, "noscript", wait)
        .acl("connection")
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .doc("3.0.0", "Waits until replicas have this client's writes.", "O(1)")
        .args(&[arg::integer("numreplicas"), arg::integer("timeout")]),
];

/// `REPLICAOF host port` | `REPLICAOF NO ONE`
fn replicaof(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (host, port) = (args.get(1), args.get(2));
    let node = cx.node;
    let who = client_list::client_line(cx.client, args, cx.now());
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        if node.is_replica() {
            node.unfollow();
            // What follows in the same transaction is a master's.
            cx.db.effects.enabled = node.tells_replicas();
            node.config_mut().set_replicaof(None);
            node.log(Level::Notice, &format!("MASTER MODE enabled (user request from '{who}')"));
        }
        cx.out.ok();
        return Ok(());
    }
    if cx.client.is_replica_or_monitor() {
        return Err(ErrorReply::text("ERR Command is not valid when client is a replica."));
    }
    let port = num::parse_i64(port)
        .and_then(|port| u16::try_from(port).ok())
        .ok_or(ErrorReply::text("ERR Invalid master port"))?;
    let host = String::from_utf8_lossy(host).into_owned();
    // Names of hosts have no case.
    let is_wanted = |master: &replication::Master| {
        master.port == port && master.host.eq_ignore_ascii_case(&host)
    };
    if node.replication.inner().master.as_ref().is_some_and(is_wanted) {
        node.log(
            Level::Notice,
            "REPLICAOF would result into synchronization with the master we are already \
             connected with. No operation performed.",
        );
        cx.out.simple("OK Already connected to specified master");
        return Ok(());
    }
    let was_master = !node.is_replica();
    if was_master && !cx.db.effects.is_empty() {
        // What the same transaction has done before is a master's, and in the data: it must lie
        // before the place from which this history goes on.
        cx.db.effects.flush(&node.stream, None, false);
    }
    let may_go_on = node.follow(&host, port);
    cx.db.effects.enabled = node.tells_replicas();
    node.config_mut().set_replicaof(Some(MasterAddress { host: host.as_bytes().into(), port }));
    if was_master && may_go_on {
        node.log(
            Level::Notice,
            "Before turning into a replica, using my own master parameters to synthesize a cached \
             master: I may be able to synchronize with the new master with just a partial transfer.",
        );
    }
    node.log(
        Level::Notice,
        &format!("REPLICAOF {host}:{port} enabled (user request from '{who}')"),
    );
    cx.out.ok();
    Ok(())
}

/// `PSYNC replid offset`
fn psync(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let node = cx.node;
    node.sync_client(cx, Some((args.get(1), args.get(2))))
}

/// `SYNC`
fn sync(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    let node = cx.node;
    node.sync_client(cx, None)
}

/// `REPLCONF option value …`
fn replconf(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let node = cx.node;
    node.replconf(cx, args)
}

/// `ROLE`
fn role(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    replication::role(cx.node, cx.out);
    Ok(())
}

/// `WAIT numreplicas timeout-ms`
fn wait(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let node = cx.node;
    if node.is_replica() {
        return Err(ErrorReply::text(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis \
             4.0 if a replica is configured to be writable (which is not the default) writes to \
             replicas are just local and are not propagated.",
        ));
    }
    let wanted = num::parse_i64(args.get(1)).ok_or(ErrorReply::NotInteger)?;
    let until = timeout::milliseconds(args.get(2), cx.now())?;
    let offset = cx.client.seen;
    let acked = node.acked_count(offset);
    let wanted = usize::try_from(wanted).unwrap_or(0);
    if acked >= wanted || !cx.may_block() {
        cx.out.count(acked);
        return Ok(());
    }
    cx.wait_for_replicas(offset, wanted, until);
    // Ask at once: replicas tell of themselves only each second.
    node.stream.append_with(|writer| writer.push(wire::GETACK));
    node.mail_all(|| Mail::StreamGrew);
    Ok(())
}
