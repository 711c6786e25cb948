//! The user's files: history and preferences, under the names that redis-cli uses, so that
//! nobody loses a history by changing the client.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::Step;
use crate::split::split_args;
use crate::text::put;

/// What the user prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Preferences {
    /// Show a command's arguments while it is typed.
    pub(crate) hints: bool,
}

impl Default for Preferences {
    fn default() -> Preferences {
        Preferences { hints: true }
    }
}

impl Preferences {
    /// Obeys one line that starts with a colon; `from_file` puts the file's name in front of
    /// complaints.
    pub(crate) fn obey(&mut self, args: &[Vec<u8>], from_file: bool) -> Step<()> {
        let origin = if from_file { ".redisclirc: " } else { "" };
        let [command, rest @ ..] = args else { return Ok(()) };
        let unknown = |what: &str, name: &[u8]| {
            let name = String::from_utf8_lossy(name);
            put(format!("{origin}unknown redis-cli {what} '{name}'\n"))
        };
        match rest {
            [name, ..] if command.eq_ignore_ascii_case(b":set") => {
                if name.eq_ignore_ascii_case(b"hints") {
                    self.hints = true;
                } else if name.eq_ignore_ascii_case(b"nohints") {
                    self.hints = false;
                } else {
                    unknown("preference", name)?;
                }
                Ok(())
            }
            _ => unknown("internal command", command),
        }
    }

    /// Obeys every line of the user's file, if there is one.
    pub(crate) fn load(&mut self) -> Step<()> {
        let Some(path) = dotfile("REDISCLI_RCFILE", ".redisclirc") else { return Ok(()) };
        let Ok(text) = std::fs::read(path) else { return Ok(()) };
        for line in text.split(|&byte| byte == b'\n') {
            if let Some(args) = split_args(line) {
                self.obey(&args, true)?;
            }
        }
        Ok(())
    }
}

/// The file for the history; `None` when there shall be none.
pub(crate) fn history_file() -> Option<PathBuf> {
    dotfile("REDISCLI_HISTFILE", ".rediscli_history")
}

/// The file that the variable names (`/dev/null` is none), else `name` in the home folder.
fn dotfile(variable: &str, name: &str) -> Option<PathBuf> {
    match std::env::var_os(variable) {
        Some(path) if path == "/dev/null" => None,
        Some(path) if !path.is_empty() => Some(PathBuf::from(path)),
        _ => {
            let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
            Some(Path::new(&home).join(name))
        }
    }
}

/// The lines of a history file; none when it cannot be read. Lines that are not text are left
/// out.
pub(crate) fn load_history(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes
        .split(|&byte| byte == b'\n')
        .filter_map(|line| String::from_utf8(line.strip_suffix(b"\r").unwrap_or(line).into()).ok())
        .filter(|line| !line.is_empty())
        .collect()
}

/// Writes a history file that only its owner can read. A history is a comfort: failures are
/// ignored.
pub(crate) fn save_history<'a>(path: &Path, lines: impl Iterator<Item = &'a String>) {
    let opened =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let Ok(mut file) = opened else { return };
    let _ = file.set_permissions(std::fs::Permissions::from_mode(0o600));
    let mut text = String::new();
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    let _ = file.write_all(text.as_bytes());
}

/// Whether a command holds a secret that must not be kept in a file.
pub(crate) fn is_sensitive(args: &[Vec<u8>]) -> bool {
    let word = |at: usize, text: &str| {
        args.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(text.as_bytes()))
    };
    let secret_setting =
        || word(2, "masterauth") || word(2, "masteruser") || word(2, "requirepass");
    if word(0, "auth") || (word(0, "acl") && word(1, "setuser")) {
        return true;
    }
    if word(0, "config") && word(1, "set") {
        return secret_setting();
    }
    if word(0, "hello") && args.len() > 4 {
        return hello_has_auth(args);
    }
    if word(0, "migrate") && args.len() > 7 {
        return migrate_has_auth(args);
    }
    false
}

/// `HELLO protover [AUTH user password] [SETNAME name]`
fn hello_has_auth(args: &[Vec<u8>]) -> bool {
    let mut at = 2;
    while at < args.len() {
        let after = args.len() - 1 - at;
        if args[at].eq_ignore_ascii_case(b"auth") && after >= 2 {
            return true;
        }
        if !args[at].eq_ignore_ascii_case(b"setname") || after == 0 {
            return false;
        }
        at += 2;
    }
    false
}

/// `MIGRATE host port key db timeout [COPY] [REPLACE] [AUTH password] [AUTH2 user password]
/// [KEYS key …]`: what follows KEYS are only names.
fn migrate_has_auth(args: &[Vec<u8>]) -> bool {
    for (at, arg) in args.iter().enumerate().skip(6) {
        let after = args.len() - 1 - at;
        if arg.eq_ignore_ascii_case(b"auth") && after >= 1
            || arg.eq_ignore_ascii_case(b"auth2") && after >= 2
        {
            return true;
        }
        if arg.eq_ignore_ascii_case(b"keys") && after >= 1 {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_recognised() {
        let check = |line: &str, expect: bool| {
            let args = split_args(line.as_bytes()).expect("it splits");
            assert_eq!(is_sensitive(&args), expect, "{line}");
        };
        check("auth x", true);
        check("AUTH u x", true);
        check("acl setuser u >x", true);
        check("acl whoami", false);
        check("config set requirepass x", true);
        check("config set maxmemory 1", false);
        check("hello 3 auth u p", true);
        check("hello 3 setname n auth u p", true);
        check("hello 3 setname n", false);
        check("migrate h 1 k 0 1 auth p x", true);
        check("migrate h 1 \"\" 0 1 keys auth a", false);
        check("get auth", false);
    }

    #[test]
    fn history_survives_a_round_trip() {
        let path = std::env::temp_dir().join(format!("tandem-history-{}", std::process::id()));
        let lines = vec!["set a \"b\\n\"".to_owned(), "get a".to_owned()];
        save_history(&path, lines.iter());
        let mode = std::fs::metadata(&path).expect("it was written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(load_history(&path), lines);
        std::fs::remove_file(&path).expect("it is there");
        assert!(load_history(&path).is_empty());
    }
}
