//! Whether a user may run a command with these arguments.
//!
//! The keys that are looked at are those that the command's key specifications name, the same
//! that decide what it locks: a command with a lock plan by keys cannot touch any other.

use tandem_resp::Args;

use super::selector::{Access, ChannelUse, Selector};
use super::user::Rights;
use crate::commands::key_flags;
use crate::error::ErrorReply;
use crate::pubsub::{Use, each_channel};
use crate::spec::{Flags, KeyFlags, Spec};

/// Why a command may not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The command itself.
    Command,
    /// The key that is this argument.
    Key(usize),
    /// The channel that is this argument.
    Channel(usize),
}

impl Denied {
    /// The error for the client.
    pub fn reply(self, spec: &Spec) -> ErrorReply {
        match self {
            Denied::Command => ErrorReply::owned(format!(
                "NOPERM this user has no permissions to run the '{}' command",
                name_in_rules(spec)
            )),
            Denied::Key(_) => ErrorReply::text(
                "NOPERM this user has no permissions to access one of the keys used as arguments",
            ),
            Denied::Channel(_) => ErrorReply::text(
                "NOPERM this user has no permissions to access one of the channels used as \
                 arguments",
            ),
        }
    }

    /// The error for a command that was queued when it still was allowed.
    pub fn reply_at_exec(self) -> ErrorReply {
        let why = match self {
            Denied::Command => "no permission to execute the command or subcommand",
            Denied::Key(_) => "no permission to touch the specified keys",
            Denied::Channel(_) => "no permission to access one of the channels used as arguments",
        };
        ErrorReply::owned(format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the \
             EXEC call. This command is no longer allowed for the following reason: {why}"
        ))
    }

    /// Of several selectors' reasons the one that came furthest is told.
    fn further(self, other: Denied) -> Denied {
        let rank = |denied| match denied {
            Denied::Command => (0, 0),
            Denied::Key(at) => (1, at),
            Denied::Channel(at) => (2, at),
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

/// The name by which rules know a command: for a subcommand that they do not know, its
/// container's.
pub fn name_in_rules(spec: &Spec) -> &'static str {
    if spec.acl == super::categories::UNNAMED {
        spec.name
    } else {
        super::categories::name(spec.acl)
    }
}

impl Rights {
    /// Whether the command may run with these arguments.
    ///
    /// # Errors
    /// What is not allowed.
    pub fn check(&self, spec: &Spec, args: Args<'_>) -> Result<(), Denied> {
        let mut denied = Denied::Command;
        for selector in self.selectors() {
            match check_selector(selector, spec, args) {
                Ok(()) => return Ok(()),
                Err(why) => denied = denied.further(why),
            }
        }
        Err(denied)
    }
}

fn check_selector(selector: &Selector, spec: &Spec, args: Args<'_>) -> Result<(), Denied> {
    let first_arg = (args.len() > 1).then(|| args.get(1));
    if !spec.has(Flags::NO_AUTH) && !selector.commands.allow(spec.acl, first_arg) {
        return Err(Denied::Command);
    }
    let mut forbidden = None;
    if !selector.has_all_keys() {
        for keys in spec.keys.iter().filter(|keys| !keys.flags.contains(KeyFlags::NOT_KEY)) {
            let asked = access(key_flags(spec, keys, args));
            keys.each_key(args, |at| {
                if forbidden.is_none() && !selector.allows_key(args.get(at), asked) {
                    forbidden = Some(Denied::Key(at));
                }
            });
        }
    }
    if forbidden.is_none() && !selector.has_all_channels() {
        each_channel(spec, args, |at, what| {
            if forbidden.is_none() && !selector.allows_channel(args.get(at), how(what)) {
                forbidden = Some(Denied::Channel(at));
            }
        });
    }
    forbidden.map_or(Ok(()), Err)
}

/// What must be allowed of a key that a command uses so. Commands that only look whether a key is
/// there, or how long it is, ask for nothing but a pattern that fits.
fn access(flags: KeyFlags) -> Access {
    Access {
        read: flags.contains(KeyFlags::ACCESS),
        write: flags.intersects(KeyFlags::INSERT | KeyFlags::DELETE | KeyFlags::UPDATE),
    }
}

fn how(what: Use) -> ChannelUse {
    match what {
        Use::Subscribe | Use::Publish => ChannelUse::Plain,
        Use::SubscribePattern => ChannelUse::Pattern,
    }
}
