//! Channels: SUBSCRIBE and its kin, PUBLISH, PUBSUB.
//!
//! Every name that a subscriber gives is answered by a message of its own. In RESP2 a client
//! with subscriptions may send little else (see [`refusal_of_subscriber`]); in RESP3 messages
//! are pushes and the connection serves everything.

use smallvec::SmallVec;
use tandem_resp::{Args, Proto};

use super::docs::help;
use super::facts::{arg, command, container, key_range};
use super::wrong_form;
use crate::client::{Client, ReplyMode};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::pubsub::Kind;
use crate::spec::{ArgDoc, Group::PubSub, KeySpec, Spec};

const LISTENS: &str = "pubsub noscript loading stale sentinel";
const LISTENS_TO_SHARD: &str = "pubsub noscript loading stale";
const ASKS: &str = "pubsub loading stale";
const SHARDS: &[KeySpec] = &[key_range(1, -1, 1, "not_key")];
const MAYBE_PATTERN: &[ArgDoc] = &[arg::pattern("pattern").optional()];

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[
    command("subscribe", PubSub, -2, LISTENS, subscribe)
        .doc("2.0.0", "Listens to channels.", "O(N) for N channels")
        .args(&[arg::string("channel").multiple()]),
    command("unsubscribe", PubSub, -1, LISTENS, unsubscribe)
        .doc("2.0.0", "Stops listening to channels.", "O(N) for N subscribers of a channel")
        .args(&[arg::string("channel").optional().multiple()]),
    command("psubscribe", PubSub, -2, LISTENS, psubscribe)
        .doc("2.0.0", "Listens to all channels that match patterns.", "O(N) for N patterns")
        .args(&[arg::block("pattern", &[arg::pattern("pattern")]).multiple()]),
    command("punsubscribe", PubSub, -1, LISTENS, punsubscribe)
        .doc("2.0.0", "Stops listening to patterns.", "O(N) for N subscribers of a pattern")
        .args(&[arg::pattern("pattern").optional().multiple()]),
    command("publish", PubSub, 3, "pubsub loading stale fast may_replicate sentinel", publish)
        .doc(
            "2.0.0",
            "Sends a message to a channel.",
            "O(N+M) for N subscribers and M patterns of all clients",
        )
        .args(&[arg::string("channel"), arg::string("message")]),
    command("ssubscribe", PubSub, -2, LISTENS_TO_SHARD, ssubscribe)
        .keys(SHARDS)
        .plan(crate::spec::Plan::None)
        .doc("7.0.0", "Listens to shard channels.", "O(N) for N channels")
        .args(&[arg::string("shardchannel").multiple()]),
    command("sunsubscribe", PubSub, -1, LISTENS_TO_SHARD, sunsubscribe)
        .keys(SHARDS)
        .plan(crate::spec::Plan::None)
        .doc("7.0.0", "Stops listening to shard channels.", "O(N) for N subscribers of a channel")
        .args(&[arg::string("shardchannel").optional().multiple()]),
    command("spublish", PubSub, 3, "pubsub loading stale fast may_replicate", spublish)
        .keys(&[key_range(1, 0, 1, "not_key")])
        .plan(crate::spec::Plan::None)
        .doc("7.0.0", "Sends a message to a shard channel.", "O(N) for N subscribers")
        .args(&[arg::string("shardchannel"), arg::string("message")]),
    container("pubsub", PubSub, "", SUBCOMMANDS).doc(
        "2.8.0",
        "Tells about channels and who listens.",
        "Depends on the subcommand",
    ),
];

const SUBCOMMANDS: &[Spec] = &[
    command("pubsub|channels", PubSub, -2, ASKS, channels)
        .doc("2.8.0", "Channels that somebody listens to.", "O(N) for N channels")
        .args(MAYBE_PATTERN),
    command("pubsub|help", PubSub, 2, "loading stale", help).doc(
        "6.2.0",
        "Lists the subcommands.",
        "O(1)",
    ),
    command("pubsub|numpat", PubSub, 2, ASKS, numpat).doc(
        "2.8.0",
        "How many different patterns somebody listens to.",
        "O(1)",
    ),
    command("pubsub|numsub", PubSub, -2, ASKS, numsub)
        .doc("2.8.0", "How many listen to each channel, patterns apart.", "O(N) for N channels")
        .args(&[arg::string("channel").optional().multiple()]),
    command("pubsub|shardchannels", PubSub, -2, ASKS, shardchannels)
        .doc("7.0.0", "Shard channels that somebody listens to.", "O(N) for N channels")
        .args(MAYBE_PATTERN),
    command("pubsub|shardnumsub", PubSub, -2, ASKS, shardnumsub)
        .doc("7.0.0", "How many listen to each shard channel.", "O(N) for N channels")
        .args(&[arg::string("shardchannel").optional().multiple()]),
];

/// Why a client with subscriptions that speaks RESP2 may not send this command, if it may not:
/// a reply could not be told from a message.
pub(crate) fn refusal_of_subscriber(client: &Client, spec: &Spec) -> Option<ErrorReply> {
    const ALLOWED: [&str; 9] = [
        "ping",
        "subscribe",
        "ssubscribe",
        "unsubscribe",
        "sunsubscribe",
        "psubscribe",
        "punsubscribe",
        "quit",
        "reset",
    ];
    let refused = client.subscriptions.is_some()
        && client.proto() == Proto::V2
        && !ALLOWED.contains(&spec.name);
    refused.then(|| {
        let name = super::told(spec).name;
        ErrorReply::owned(format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
             RESET are allowed in this context"
        ))
    })
}

/// `SUBSCRIBE channel …`
fn subscribe(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    subscribe_to(cx, args, Kind::Channel, b"subscribe")
}

/// `PSUBSCRIBE pattern …`
fn psubscribe(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    subscribe_to(cx, args, Kind::Pattern, b"psubscribe")
}

/// `SSUBSCRIBE shardchannel …`
fn ssubscribe(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    if cx.in_exec {
        return Err(ErrorReply::text("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    subscribe_to(cx, args, Kind::Shard, b"ssubscribe")
}

fn subscribe_to(cx: &mut Cx<'_>, args: Args<'_>, kind: Kind, word: &[u8]) -> Outcome {
    for name in args.from(1) {
        // A message that is on its way to the client already came before.
        catch_up(cx);
        let own = cx.client.subscriptions.get_or_insert_default();
        let is_new = !own.has(kind, name);
        let count = own.told(kind) + usize::from(is_new);
        // The reply first: once the client is known as a subscriber, messages may come.
        tell(cx, word, Some(name), count);
        cx.node.subscribe(cx.client, kind, name);
    }
    Ok(())
}

/// `UNSUBSCRIBE [channel …]`
fn unsubscribe(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    unsubscribe_from(cx, args, Kind::Channel, b"unsubscribe")
}

/// `PUNSUBSCRIBE [pattern …]`
fn punsubscribe(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    unsubscribe_from(cx, args, Kind::Pattern, b"punsubscribe")
}

/// `SUNSUBSCRIBE [shardchannel …]`
fn sunsubscribe(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    unsubscribe_from(cx, args, Kind::Shard, b"sunsubscribe")
}

fn unsubscribe_from(cx: &mut Cx<'_>, args: Args<'_>, kind: Kind, word: &[u8]) -> Outcome {
    if args.len() > 1 {
        for name in args.from(1) {
            unsubscribe_one(cx, kind, word, name);
        }
        return Ok(());
    }
    let own = cx.client.subscriptions.as_ref();
    let all: Vec<Vec<u8>> =
        own.map_or(Vec::new(), |own| own.names(kind).map(<[u8]>::to_vec).collect());
    for name in &all {
        unsubscribe_one(cx, kind, word, name);
    }
    if all.is_empty() {
        let count = cx.client.subscriptions.as_ref().map_or(0, |own| own.told(kind));
        tell(cx, word, None, count);
    }
    Ok(())
}

fn unsubscribe_one(cx: &mut Cx<'_>, kind: Kind, word: &[u8], name: &[u8]) {
    cx.node.unsubscribe(cx.client, kind, name);
    // What was sent while it was a subscriber comes before the word that it is none.
    catch_up(cx);
    let count = cx.client.subscriptions.as_ref().map_or(0, |own| own.told(kind));
    tell(cx, word, Some(name), count);
}

/// Tells a client what has become of a subscription. It is told even if it wants no replies.
fn tell(cx: &mut Cx<'_>, word: &[u8], name: Option<&[u8]>, count: usize) {
    cx.out.push_message(3);
    cx.out.bulk(word);
    match name {
        Some(name) => cx.out.bulk(name),
        None => cx.out.null(),
    }
    cx.out.count(count);
    cx.client.pushing = !cx.in_exec && cx.client.reply_mode != ReplyMode::On;
}

/// Messages come before the reply to what caused them. Not so inside EXEC, whose reply is one;
/// and not where replies are thrown away, since messages are not.
fn catch_up(cx: &mut Cx<'_>) {
    let may = !cx.in_exec && cx.client.reply_mode == ReplyMode::On;
    if may && cx.client.listens {
        cx.node.catch_up(cx.worker, cx.client, cx.out);
    }
}

/// `PUBLISH channel message`: how many got it.
fn publish(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    publish_to(cx, args, Kind::Channel)
}

/// `SPUBLISH shardchannel message`: how many got it.
fn spublish(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    publish_to(cx, args, Kind::Shard)
}

fn publish_to(cx: &mut Cx<'_>, args: Args<'_>, kind: Kind) -> Outcome {
    let count = cx.node.publish(kind, args.get(1), args.get(2));
    if cx.db.effects.enabled {
        let words: SmallVec<[&[u8]; 3]> = args.iter().collect();
        cx.send_instead(&words);
    }
    catch_up(cx);
    cx.out.count(count);
    Ok(())
}

/// `PUBSUB CHANNELS [pattern]`
fn channels(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    list(cx, args, Kind::Channel)
}

/// `PUBSUB SHARDCHANNELS [pattern]`
fn shardchannels(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    list(cx, args, Kind::Shard)
}

fn list(cx: &mut Cx<'_>, args: Args<'_>, kind: Kind) -> Outcome {
    if args.len() > 3 {
        return Err(wrong_form(args));
    }
    let names = cx.node.pubsub.matching(kind, (args.len() == 3).then(|| args.get(2)));
    cx.out.array(names.len());
    names.iter().for_each(|name| cx.out.bulk(name));
    Ok(())
}

/// `PUBSUB NUMPAT`
fn numpat(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.out.count(cx.node.pubsub.names(Kind::Pattern));
    Ok(())
}

/// `PUBSUB NUMSUB [channel …]`
fn numsub(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    numbers(cx, args, Kind::Channel)
}

/// `PUBSUB SHARDNUMSUB [shardchannel …]`
fn shardnumsub(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    numbers(cx, args, Kind::Shard)
}

fn numbers(cx: &mut Cx<'_>, args: Args<'_>, kind: Kind) -> Outcome {
    cx.out.array((args.len() - 2) * 2);
    for name in args.from(2) {
        cx.out.bulk(name);
        cx.out.count(cx.node.pubsub.subscribers(kind, name));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
