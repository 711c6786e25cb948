//! The user that a service runs as, and what belongs to it.

use std::os::unix::fs::{MetadataExt, lchown};
use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;
use crate::run::output;

/// `User=` of the systemd unit, `RUNAS` of the init script.
pub(super) const USER: &str = "redis";

/// The numbers of the user and its group; `None` if this system does not know it.
pub(super) fn find() -> Option<(u32, u32)> {
    let ask = |what| id(&[what, USER]);
    Some((ask("-u")?, ask("-g")?))
}

/// Whether we may give files away.
pub(super) fn is_root() -> bool {
    id(&["-u"]) == Some(0)
}

fn id(args: &[&str]) -> Option<u32> {
    output(Command::new("id").args(args)).ok()?.trim().parse().ok()
}

/// Gives `paths` to the user, those that there are. A link itself is given, not what it leads to:
/// the user may have put it there, and so may a file's second name have been. Where nothing can be
/// given, words say what is left to do: the init script's service works all the same.
pub(super) fn give(paths: &[PathBuf]) -> Outcome {
    let there: Vec<_> = paths.iter().filter(|path| path.symlink_metadata().is_ok()).collect();
    let names: Vec<String> = there.iter().map(|path| path.display().to_string()).collect();
    let names = names.join(" ");
    if !is_root() {
        println!("not root: for the systemd unit, chown {USER}:{USER} {names}");
        return Ok(());
    }
    let Some((user, group)) = find() else {
        println!(
            "there is no user {USER}, which the systemd unit needs: useradd --system --user-group \
             --no-create-home --shell /usr/sbin/nologin {USER}, and install again"
        );
        return Ok(());
    };
    for path in there {
        let found = path.symlink_metadata().map_err(|e| format!("{}: {e}", path.display()))?;
        if found.is_file() && found.nlink() > 1 {
            return Err(format!("{} has another name: whose file is it?", path.display()));
        }
        lchown(path, Some(user), Some(group)).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}
