//! CLIENT TRACKING, CACHING, TRACKINGINFO and GETREDIR: what a client that caches says.

use tandem_base::{num, up_to_nul};
use tandem_resp::Args;

use super::words::is_word;
use crate::client::{ClientFlags, ClientId};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::tracking::Mode;

/// `CLIENT TRACKING ON|OFF [REDIRECT id] [PREFIX prefix …] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]`
pub(super) fn tracking(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (mode, prefixes) = parse(cx, args)?;
    if is_word(args.get(2), "on") {
        check(cx, &mode, &prefixes)?;
        let prefixes = prefixes.iter().map(|prefix| prefix.to_vec()).collect();
        cx.node.start_tracking(cx.client, Mode { prefixes, ..mode });
    } else if is_word(args.get(2), "off") {
        cx.node.stop_tracking(cx.client);
    } else {
        return Err(ErrorReply::Syntax);
    }
    cx.out.ok();
    Ok(())
}

fn parse<'a>(cx: &Cx<'_>, args: Args<'a>) -> Result<(Mode, Vec<&'a [u8]>), ErrorReply> {
    let (mut mode, mut prefixes) = (Mode::default(), Vec::new());
    let mut at = 3;
    while at < args.len() {
        let (word, more) = (args.get(at), at + 1 < args.len());
        if is_word(word, "redirect") && more {
            at += 1;
            if mode.redirect != 0 {
                return Err(ErrorReply::text(
                    "ERR A client can only redirect to a single other client",
                ));
            }
            mode.redirect = existing_client(cx, args.get(at))?;
        } else if is_word(word, "bcast") {
            mode.bcast = true;
        } else if is_word(word, "optin") {
            mode.optin = true;
        } else if is_word(word, "optout") {
            mode.optout = true;
        } else if is_word(word, "noloop") {
            mode.noloop = true;
        } else if is_word(word, "prefix") && more {
            at += 1;
            prefixes.push(args.get(at));
        } else {
            return Err(ErrorReply::Syntax);
        }
        at += 1;
    }
    Ok((mode, prefixes))
}

fn existing_client(cx: &Cx<'_>, text: &[u8]) -> Result<ClientId, ErrorReply> {
    let id = num::parse_i64(text).ok_or(ErrorReply::NotInteger)?;
    let id = ClientId::try_from(id).ok().filter(|id| cx.node.clients.get(*id).is_some());
    id.ok_or(ErrorReply::text("ERR The client ID you want redirect to does not exist"))
}

/// Whether the options go together, and with what the client has said before.
fn check(cx: &Cx<'_>, mode: &Mode, prefixes: &[&[u8]]) -> Outcome {
    let old = cx.client.tracking.as_deref();
    let text = if !mode.bcast && !prefixes.is_empty() {
        "ERR PREFIX option requires BCAST mode to be enabled"
    } else if old.is_some_and(|old| old.bcast != mode.bcast) {
        "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and \
         then re-enabling it with a different mode."
    } else if mode.bcast && (mode.optin || mode.optout) {
        "ERR OPTIN and OPTOUT are not compatible with BCAST"
    } else if mode.optin && mode.optout {
        "ERR You can't specify both OPTIN mode and OPTOUT mode"
    } else if old.is_some_and(|old| (mode.optin && old.optout) || (mode.optout && old.optin)) {
        "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and \
         then re-enabling it with a different mode."
    } else {
        return if mode.bcast { check_prefixes(cx, prefixes) } else { Ok(()) };
    };
    Err(ErrorReply::text(text))
}

/// A client's prefixes must not overlap: it would be told of a key twice.
fn check_prefixes(cx: &Cx<'_>, prefixes: &[&[u8]]) -> Outcome {
    let overlap = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
    let error = |prefix: &[u8], which: &[u8], other: &[u8]| {
        let (prefix, other) = (up_to_nul(prefix), up_to_nul(other));
        let after = b"'. Prefixes for a single client must not overlap.";
        let text =
            [b"ERR Prefix '", prefix, b"' overlaps with ", which, b" prefix '", other, after];
        ErrorReply::owned(text.concat())
    };
    for (at, prefix) in prefixes.iter().enumerate() {
        let old = cx.client.tracking.iter().flat_map(|mode| &mode.prefixes);
        if let Some(old) = old.into_iter().find(|old| overlap(old, prefix)) {
            return Err(error(prefix, b"an existing", old));
        }
        if let Some(other) = prefixes[at + 1..].iter().find(|other| overlap(other, prefix)) {
            return Err(error(prefix, b"another provided", other));
        }
    }
    Ok(())
}

/// `CLIENT CACHING YES|NO`: about the next command, or the next transaction.
pub(super) fn caching(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let Some(mode) = cx.client.tracking.as_deref_mut() else {
        return Err(ErrorReply::text(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN \
             or OPTOUT mode enabled",
        ));
    };
    let error = if is_word(args.get(2), "yes") {
        (!mode.optin).then_some(
            "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
        )
    } else if is_word(args.get(2), "no") {
        (!mode.optout).then_some(
            "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        )
    } else {
        return Err(ErrorReply::Syntax);
    };
    if let Some(text) = error {
        return Err(ErrorReply::text(text));
    }
    mode.caching = true;
    cx.out.ok();
    Ok(())
}

/// `CLIENT GETREDIR`: -1 without tracking, 0 without a redirection.
pub(super) fn get_redir(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.out.int(redirection(cx));
    Ok(())
}

fn redirection(cx: &Cx<'_>) -> i64 {
    cx.client.tracking.as_deref().map_or(-1, |mode| mode.redirect.cast_signed())
}

/// `CLIENT TRACKINGINFO`
pub(super) fn tracking_info(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    let off = Mode::default();
    let mode = cx.client.tracking.as_deref();
    let is_on = mode.is_some();
    let mode = mode.unwrap_or(&off);
    let broken = cx.client.info.flags().contains(ClientFlags::BROKEN_REDIRECT);
    let flags = [
        (is_on, "on"),
        (!is_on, "off"),
        (mode.bcast, "bcast"),
        (mode.optin, "optin"),
        (mode.optin && mode.caching, "caching-yes"),
        (mode.optout, "optout"),
        (mode.optout && mode.caching, "caching-no"),
        (mode.noloop, "noloop"),
        (broken, "broken_redirect"),
    ];
    cx.out.map(3);
    cx.out.bulk(b"flags");
    cx.out.set(flags.iter().filter(|(set, _)| *set).count());
    for (_, name) in flags.iter().filter(|(set, _)| *set) {
        cx.out.bulk(name.as_bytes());
    }
    cx.out.bulk(b"redirect");
    cx.out.int(redirection(cx));
    cx.out.bulk(b"prefixes");
    cx.out.array(mode.prefixes.len());
    for prefix in &mode.prefixes {
        cx.out.bulk(prefix);
    }
    Ok(())
}
