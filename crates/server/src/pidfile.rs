//! The file that holds the process id while the server runs.
//!
//! It is a courtesy to init scripts: when it cannot be written the server runs all the same.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where the process id goes when a server runs in the background and nothing is said.
pub const DEFAULT_PATH: &str = "/var/run/redis.pid";

/// A file with the id of this process.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes the file that `pidfile` names, or [`DEFAULT_PATH`] for a server in the background;
    /// `None` if there shall be none. A file that cannot be written counts as written: it may
    /// be removed at the end as if it had been. Call it after the process went to the
    /// background, when it has its last id.
    pub fn create(pidfile: &[u8], background: bool) -> Option<PidFile> {
        let path = match (pidfile, background) {
            (b"", false) => return None,
            (b"", true) => Path::new(DEFAULT_PATH),
            (path, _) => Path::new(OsStr::from_bytes(path)),
        };
        let _ = std::fs::write(path, format!("{}\n", std::process::id()));
        Some(PidFile { path: path.to_owned() })
    }

    /// Where it is, to be shown as `pidfile`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file; the log says so before ("Removing the pid file."). In a folder that is
    /// somebody else's it stays, and names nobody.
    pub fn remove(self) {
        if std::fs::remove_file(&self.path).is_err() {
            let _ = OpenOptions::new().write(true).truncate(true).open(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_the_process_id_until_it_is_removed() {
        let path = std::env::temp_dir().join(format!("tandem-pidfile-{}", std::process::id()));
        let file = PidFile::create(path.as_os_str().as_bytes(), false).expect("one was named");
        let text = std::fs::read_to_string(file.path()).expect("it was written");
        assert_eq!(text, format!("{}\n", std::process::id()));
        file.remove();
        assert!(!path.exists());
    }

    #[test]
    fn without_a_name_or_a_place_nothing_happens() {
        assert!(PidFile::create(b"", false).is_none());
        let file = PidFile::create(b"/nonexistent/x.pid", false).expect("one was named");
        file.remove();
    }
}
