//! Which arguments of a request are secrets: what the slow log and MONITOR show instead.

use tandem_resp::Args;

use crate::config::Directive;
use crate::spec::Spec;

/// What is shown in the place of a secret.
const SHOWN: &[u8] = b"(redacted)";

/// The secret arguments of one request: a range of them, and whatever comes from some argument
/// on.
#[derive(Clone, Copy, Debug)]
pub struct Redacted {
    /// From which argument on.
    from: usize,
    /// Up to which, that one not included.
    to: usize,
    /// From here on everything is.
    rest: usize,
    /// Of the range, only those are secret that stand after the name of a sensitive directive.
    directives: bool,
}

impl Redacted {
    /// The secrets of a request of command `spec`.
    pub fn of(spec: &Spec, args: Args<'_>) -> Redacted {
        let all = args.len();
        let range = |from, to| Redacted { from, to, rest: all, directives: false };
        match spec.name {
            "auth" => range(1, all),
            "acl|setuser" => range(2, all),
            "config|set" => Redacted { directives: true, ..range(3, all) },
            "hello" => Redacted::of_hello(args),
            _ => range(0, 0),
        }
    }

    /// The options are gone through as the command itself does, for a client's name may be any
    /// word. What follows a word that is no option, or a second AUTH, may be a password too.
    fn of_hello(args: Args<'_>) -> Redacted {
        let all = args.len();
        let mut redacted = Redacted { from: 0, to: 0, rest: all, directives: false };
        let mut at = 2;
        while at < all {
            let (option, left) = (args.get(at), all - at - 1);
            let is_auth = option.eq_ignore_ascii_case(b"auth");
            if is_auth && left >= 2 && redacted.to == 0 {
                (redacted.from, redacted.to) = (at + 1, at + 3);
                at += 3;
            } else if !is_auth && left >= 1 && option.eq_ignore_ascii_case(b"setname") {
                at += 2;
            } else {
                redacted.rest = at + 1;
                break;
            }
        }
        redacted
    }

    /// Argument `at` as it may be shown.
    pub fn shown<'a>(&self, args: Args<'a>, at: usize) -> &'a [u8] {
        let is_meant = || {
            let is_value = (at - self.from).is_multiple_of(2);
            !self.directives || (is_value && is_sensitive(args.get(at - 1)))
        };
        let secret = at >= self.rest || ((self.from..self.to).contains(&at) && is_meant());
        if secret { SHOWN } else { args.get(at) }
    }
}

fn is_sensitive(directive: &[u8]) -> bool {
    Directive::find(directive).is_some_and(Directive::is_sensitive)
}

#[cfg(test)]
mod tests {
    use tandem_resp::OwnedArgs;

    use super::*;
    use crate::commands;

    #[track_caller]
    fn check(command: &[u8], request: &str, shown: &str) {
        let spec = commands::look_up_full(command).expect("a command");
        let args = OwnedArgs::from_parts(request.split(' ').map(str::as_bytes));
        let args = args.as_args();
        let redacted = Redacted::of(spec, args);
        let words: Vec<_> =
            (0..args.len()).map(|at| String::from_utf8_lossy(redacted.shown(args, at))).collect();
        assert_eq!(words.join(" "), shown);
    }

    #[test]
    fn passwords_are_not_shown() {
        check(b"get", "get auth", "get auth");
        check(b"auth", "auth user secret", "auth (redacted) (redacted)");
        check(
            b"hello",
            "hello 3 AUTH u p SETNAME me",
            "hello 3 AUTH (redacted) (redacted) SETNAME me",
        );
        check(b"hello", "hello 3 auth u", "hello 3 auth (redacted)");
        check(
            b"hello",
            "hello 3 setname auth auth u p",
            "hello 3 setname auth auth (redacted) (redacted)",
        );
        check(
            b"hello",
            "hello 2 auth a b setname me auth u p",
            "hello 2 auth (redacted) (redacted) setname me auth (redacted) (redacted)",
        );
        check(b"hello", "hello 2 outh u p", "hello 2 outh (redacted) (redacted)");
        check(b"hello", "hello 2 setname auth", "hello 2 setname auth");
        check(b"hello", "hello", "hello");
        check(b"acl|setuser", "acl setuser ann >p", "acl setuser (redacted) (redacted)");
        check(b"acl|getuser", "acl getuser ann", "acl getuser ann");
        check(b"acl|deluser", "acl deluser ann", "acl deluser ann");
        check(
            b"config|set",
            "config set maxmemory 1 RequirePass x masterauth",
            "config set maxmemory 1 RequirePass (redacted) masterauth",
        );
        check(
            b"config|set",
            "config set requirepass masterauth",
            "config set requirepass (redacted)",
        );
    }
}
