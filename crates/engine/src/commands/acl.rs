//! ACL: users shown and changed. What rules mean stands in `acl/`; here are the words of the
//! commands and the shapes of their replies.

use tandem_base::{num, up_to_nul};
use tandem_resp::{Args, OwnedArgs};

use super::docs::help;
use super::facts::{arg, command, container};
use super::{look_up, look_up_subcommand, shown, wrong_form};
use crate::acl::{Denied, Entry, Selector, categories, has_blanks, name_in_rules};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::spec::{Group::Server, Plan, Spec};

const ANYBODY: &str = "noscript loading stale sentinel";
const ADMIN: &str = "admin noscript loading stale sentinel";

/// The commands of this module. Whatever changes users runs alone, so that no command on another
/// worker is half-way while rights change.
pub(super) const SPECS: &[Spec] = &[container(
    "acl",
    Server,
    "sentinel",
    &[
        command("acl|cat", Server, -2, ANYBODY, cat)
            .doc("6.0.0", "The categories, or the commands of one.", "O(1)")
            .args(&[arg::string("categoryname").optional()]),
        command("acl|deluser", Server, -3, ADMIN, deluser)
            .plan(Plan::Exclusive)
            .doc("6.0.0", "Deletes users and closes their connections.", "O(1) for each user")
            .args(&[arg::string("username").multiple()]),
        command("acl|dryrun", Server, -4, ADMIN, dryrun)
            .doc("7.0.0", "Whether a user may run a command, without running it.", "O(1)")
            .args(&[
                arg::string("username"),
                arg::string("command"),
                arg::string("arg").optional().multiple(),
            ]),
        command("acl|genpass", Server, -2, ANYBODY, genpass)
            .doc("6.0.0", "A random password, of 256 bits or as many as asked for.", "O(1)")
            .args(&[arg::integer("bits").optional()]),
        command("acl|getuser", Server, 3, ADMIN, getuser)
            .history(&[
                ("6.2.0", "Shows channel patterns."),
                ("7.0.0", "Shows selectors, and patterns as rules."),
            ])
            .doc("6.0.0", "The rules of a user, by kind.", "O(N) for N rules")
            .args(&[arg::string("username")]),
        command("acl|help", Server, 2, "loading stale sentinel", help).doc(
            "6.0.0",
            "Lists the subcommands.",
            "O(1)",
        ),
        command("acl|list", Server, 2, ADMIN, list).doc(
            "6.0.0",
            "All users with their rules, as the ACL file has them.",
            "O(N) for N users",
        ),
        command("acl|load", Server, 2, ADMIN, load).plan(Plan::Exclusive).doc(
            "6.0.0",
            "Replaces all users by those of the ACL file.",
            "O(N) for N users",
        ),
        command("acl|log", Server, -2, ADMIN, log)
            .doc("6.0.0", "What was denied, newest first, or forgets it.", "O(N) for N entries")
            .args(&[arg::one_of(
                "operation",
                &[arg::integer("count"), arg::token("reset", "RESET")],
            )
            .optional()]),
        command("acl|save", Server, 2, ADMIN, save).doc(
            "6.0.0",
            "Writes all users into the ACL file.",
            "O(N) for N users",
        ),
        command("acl|setuser", Server, -3, ADMIN, setuser)
            .plan(Plan::Exclusive)
            .history(&[
                ("6.2.0", "Takes channel patterns."),
                ("7.0.0", "Takes selectors and permissions to read or write keys."),
            ])
            .doc("6.0.0", "Creates a user, or changes its rules.", "O(N) for N rules")
            .args(&[arg::string("username"), arg::string("rule").optional().multiple()]),
        command("acl|users", Server, 2, ADMIN, users).doc(
            "6.0.0",
            "The names of all users.",
            "O(N) for N users",
        ),
        command("acl|whoami", Server, 2, ANYBODY, whoami).doc(
            "6.0.0",
            "The user of this connection.",
            "O(1)",
        ),
    ],
)
.doc("6.0.0", "Users and what they may do.", "Depends on the subcommand")];

/// `ACL CAT [category]`
fn cat(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let names: Vec<&str> = match args.len() {
        2 => categories::CATEGORIES.to_vec(),
        3 => {
            let name = args.get(2);
            let unknown = || ErrorReply::quoting("ERR Unknown category '", shown(name, 128), "'");
            categories::names_in(categories::category(name).ok_or_else(unknown)?).collect()
        }
        _ => return Err(wrong_form(args)),
    };
    cx.out.array(names.len());
    names.iter().for_each(|name| cx.out.bulk(name.as_bytes()));
    Ok(())
}

/// `ACL WHOAMI`
fn whoami(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.out.bulk(cx.client.login.user().name());
    Ok(())
}

/// `ACL USERS`
fn users(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    let users = cx.node.acl.all();
    cx.out.array(users.len());
    users.iter().for_each(|user| cx.out.bulk(user.name()));
    Ok(())
}

/// `ACL LIST`
fn list(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    let lines = cx.node.acl.lines();
    cx.out.array(lines.len());
    lines.iter().for_each(|line| cx.out.bulk(line));
    Ok(())
}

/// `ACL SETUSER username [rule …]`: all rules take effect, or none.
fn setuser(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let name = args.get(2);
    if has_blanks(name) {
        return Err(ErrorReply::text("ERR Usernames can't contain spaces or null characters"));
    }
    let rules: Vec<Vec<u8>> = args.from(3).map(<[u8]>::to_vec).collect();
    let set = cx.node.set_user(name, &rules, cx.client);
    set.map_err(|why| ErrorReply::owned([b"ERR ", &why[..]].concat()))?;
    cx.out.ok();
    Ok(())
}

/// `ACL DELUSER username …`
fn deluser(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    if args.from(2).any(|name| name == crate::acl::DEFAULT_USER) {
        return Err(ErrorReply::text("ERR The 'default' user cannot be removed"));
    }
    let (node, client) = (cx.node, &mut *cx.client);
    let deleted = args.from(2).filter(|name| node.delete_user(name, client)).count();
    cx.out.count(deleted);
    Ok(())
}

/// `ACL GETUSER username`
fn getuser(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let Some(user) = cx.node.acl.find(args.get(2)) else {
        cx.out.null();
        return Ok(());
    };
    let rights = user.rights();
    let (own, others) = rights.selectors().split_first().expect("there always is one");
    let flags: Vec<_> = rights.flags().collect();
    cx.out.map(6);
    cx.out.bulk(b"flags");
    cx.out.set(flags.len());
    flags.iter().for_each(|flag| cx.out.bulk(flag.as_bytes()));
    cx.out.bulk(b"passwords");
    cx.out.array(rights.passwords().len());
    rights.passwords().iter().for_each(|hash| cx.out.bulk(hash.to_hex().as_bytes()));
    push_selector(cx, own);
    cx.out.bulk(b"selectors");
    cx.out.array(others.len());
    for selector in others {
        cx.out.map(3);
        push_selector(cx, selector);
    }
    Ok(())
}

/// Three fields of a map.
fn push_selector(cx: &mut Cx<'_>, selector: &Selector) {
    let fields: [(&str, Vec<u8>); 3] = [
        ("commands", selector.describe_commands()),
        ("keys", selector.describe_keys()),
        ("channels", selector.describe_channels()),
    ];
    for (name, rules) in fields {
        cx.out.bulk(name.as_bytes());
        cx.out.bulk(&rules);
    }
}

const GENPASS_BITS_MAX: usize = 4096;

/// `ACL GENPASS [bits]`: a hexadecimal digit for every four bits.
fn genpass(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let bits = match args.len() {
        2 => 256,
        3 => num::parse_i64(args.get(2)).ok_or(ErrorReply::NotInteger)?,
        _ => return Err(wrong_form(args)),
    };
    let bits = usize::try_from(bits).unwrap_or(0);
    if !(1..=GENPASS_BITS_MAX).contains(&bits) {
        return Err(ErrorReply::owned(format!(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a \
             positive number up to {GENPASS_BITS_MAX}"
        )));
    }
    let mut random = vec![0; bits.div_ceil(4)];
    cx.node.host.random(&mut random);
    let digits: Vec<u8> =
        random.iter().map(|byte| b"0123456789abcdef"[usize::from(byte & 15)]).collect();
    cx.out.bulk(&digits);
    Ok(())
}

/// `ACL LOG [count | RESET]`
fn log(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let count = match args.len() {
        2 => 10,
        3 if args.get(2).eq_ignore_ascii_case(b"reset") => {
            cx.node.acl.log().reset();
            cx.out.ok();
            return Ok(());
        }
        3 => num::parse_i64(args.get(2)).ok_or(ErrorReply::NotInteger)?,
        _ => return Err(wrong_form(args)),
    };
    let now = cx.now().unix;
    let log = cx.node.acl.log();
    let count = usize::try_from(count).unwrap_or(0).min(log.entries().len());
    cx.out.array(count);
    for Entry { count, reason, context, object, username, at, client } in log.entries().take(count)
    {
        cx.out.map(7);
        cx.out.bulk(b"count");
        cx.out.int(i64::try_from(*count).unwrap_or(i64::MAX));
        let texts: [(&str, &[u8]); 4] = [
            ("reason", reason.word().as_bytes()),
            ("context", context.word().as_bytes()),
            ("object", object),
            ("username", username),
        ];
        for (name, text) in texts {
            cx.out.bulk(name.as_bytes());
            cx.out.bulk(text);
        }
        cx.out.bulk(b"age-seconds");
        cx.out.double((now.0 - at.0) as f64 / 1000.0);
        cx.out.bulk(b"client-info");
        cx.out.bulk(client.as_bytes());
    }
    Ok(())
}

/// `ACL DRYRUN username command [arg …]`
fn dryrun(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (name, command) = (args.get(2), args.get(3));
    let nobody = || ErrorReply::quoting("ERR User '", name, "' not found");
    let user = cx.node.acl.find(name).ok_or_else(nobody)?;
    let request = OwnedArgs::from_parts(args.from(3));
    let request = request.as_args();
    let unknown = || ErrorReply::quoting("ERR Command '", command, "' not found");
    let spec = look_up(command).ok_or_else(unknown)?;
    let spec = look_up_subcommand(spec, request).map_err(|_| unknown())?;
    if !spec.arity.allows(request.len()) {
        return Err(ErrorReply::WrongArity(name_in_rules(spec)));
    }
    let Err(denied) = user.rights().check(spec, request) else {
        cx.out.ok();
        return Ok(());
    };
    let (what, which, kind) = match denied {
        Denied::Command => ("run", name_in_rules(spec).as_bytes(), "command"),
        Denied::Key(at) => ("access", up_to_nul(request.get(at)), "key"),
        Denied::Channel(at) => ("access", up_to_nul(request.get(at)), "channel"),
    };
    let before = format!("This user has no permissions to {what} the '");
    cx.out.bulk(&[before.as_bytes(), which, b"' ", kind.as_bytes()].concat());
    Ok(())
}

fn needs_file(cx: &Cx<'_>) -> Outcome {
    if cx.node.config().aclfile().is_empty() {
        return Err(ErrorReply::text(
            "ERR This Redis instance is not configured to use an ACL file. You may want to specify \
             users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have \
             a Redis configuration file set) in order to store users in the Redis configuration.",
        ));
    }
    Ok(())
}

/// `ACL LOAD`
fn load(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    needs_file(cx)?;
    let loaded = cx.node.load_acl_file(cx.client);
    loaded.map_err(|errors| ErrorReply::owned([b"ERR ", &errors[..]].concat()))?;
    cx.out.ok();
    Ok(())
}

/// `ACL SAVE`
fn save(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    needs_file(cx)?;
    if !cx.node.save_acl_file() {
        return Err(ErrorReply::text(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more \
             information",
        ));
    }
    cx.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests;
