//! The files and folders behind a configuration: what [`Config::load`] asks of the machine.
//!
//! [`Config::load`]: tandem_engine::config::Config::load

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tandem_engine::config::{Outside, Unreadable};
use tandem_engine::glob;

use crate::daemon::{change_dir, os_words};

/// This machine's files, and the names of the engine's commands.
pub(crate) struct ConfigFiles<'a> {
    /// Whether there is a command of this name, in any case.
    pub is_command: &'a dyn Fn(&[u8]) -> bool,
}

impl Outside for ConfigFiles<'_> {
    fn read_files(&mut self, pattern: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let paths = if is_pattern(pattern) {
            files_that_fit(pattern)
        } else {
            vec![PathBuf::from(OsStr::from_bytes(pattern))]
        };
        let mut text = Vec::new();
        for path in paths {
            let more = fs::read(&path).map_err(|error| unreadable(&path, &error))?;
            text.extend(more);
        }
        Ok(text)
    }

    fn read_stdin(&mut self) -> Result<Vec<u8>, Unreadable> {
        let mut text = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut text);
        read.map_err(|error| unreadable(Path::new("-"), &error))?;
        Ok(text)
    }

    fn change_dir(&mut self, dir: &[u8]) -> Result<(), String> {
        change_dir(dir)
    }

    fn current_dir(&self) -> Vec<u8> {
        current_dir()
    }

    fn check_log_file(&mut self, path: &[u8]) -> Result<(), String> {
        let path = Path::new(OsStr::from_bytes(path));
        let opened = fs::File::options().append(true).create(true).open(path);
        opened.map(drop).map_err(|error| os_words(&error))
    }

    fn is_command(&self, name: &[u8]) -> bool {
        (self.is_command)(name)
    }
}

/// The working folder; empty if it is gone.
pub(crate) fn current_dir() -> Vec<u8> {
    std::env::current_dir().unwrap_or_default().into_os_string().into_vec()
}

/// The path of the configuration file from the root, for CONFIG REWRITE after a change of
/// `dir`.
pub(crate) fn absolute(path: &[u8]) -> Vec<u8> {
    let joined = PathBuf::from(OsString::from_vec(current_dir())).join(OsStr::from_bytes(path));
    joined.into_os_string().into_vec()
}

/// Puts `text` in the place of the file at `path`, whole or not at all: a temporary file beside
/// it is written, flushed and renamed, and the folder is flushed. The new file has the old one's
/// mode, and its owner where we may give files away: it may hold passwords.
///
/// # Errors
/// The system's; the old file is untouched then, unless only the last step failed.
pub(crate) fn replace_file(path: &[u8], text: &[u8]) -> io::Result<()> {
    let path = Path::new(OsStr::from_bytes(path));
    let old = match fs::metadata(path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let (file, temporary) = new_beside(path, if old.is_some() { 0o600 } else { 0o644 })?;
    let written =
        take_over(&file, old).and_then(|()| write_and_rename(file, &temporary, path, text));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A new file beside `path`. One that is there is left alone, whatever it is: it may be a link to
/// somewhere else.
fn new_beside(path: &Path, mode: u32) -> io::Result<(fs::File, PathBuf)> {
    const TRIES: u32 = 100;
    let mut tried = 0;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.{tried}.tmp", std::process::id()));
        let name = PathBuf::from(name);
        match fs::File::options().write(true).create_new(true).mode(mode).open(&name) {
            Ok(file) => return Ok((file, name)),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Err(error) if tried == TRIES => return Err(error),
            Err(_) => tried += 1,
        }
    }
}

/// Gives a file an old one's owner and mode.
fn take_over(file: &fs::File, old: Option<fs::Metadata>) -> io::Result<()> {
    let Some(old) = old else { return Ok(()) };
    // Only root may give files away; for others it is their own mostly.
    let _ = std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()));
    file.set_permissions(old.permissions())
}

fn write_and_rename(
    mut file: fs::File,
    temporary: &Path,
    path: &Path,
    text: &[u8],
) -> io::Result<()> {
    use std::io::Write;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::File::open(folder)?.sync_all()
}

fn unreadable(path: &Path, error: &io::Error) -> Unreadable {
    Unreadable { path: path.as_os_str().as_bytes().into(), why: os_words(error) }
}

fn is_pattern(path: &[u8]) -> bool {
    path.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// The files that fit a pattern, sorted. As in a shell, a part of the path is matched at a
/// time, and names that begin with a dot must be asked for.
fn files_that_fit(pattern: &[u8]) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from(if pattern.starts_with(b"/") { "/" } else { "" })];
    for part in pattern.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
        found = if is_pattern(part) {
            found.iter().flat_map(|folder| names_that_fit(folder, part)).collect()
        } else {
            found.iter().map(|folder| folder.join(OsStr::from_bytes(part))).collect()
        };
        found.retain(|path| path.exists());
    }
    found.sort();
    found
}

fn names_that_fit(folder: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = fs::read_dir(here) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name());
    let fits = |name: &OsString| {
        let name = name.as_bytes();
        (!name.starts_with(b".") || pattern.starts_with(b".")) && glob::matches(pattern, name)
    };
    names.filter(fits).map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tandem-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("conf.d/sub")).expect("a new folder");
        path
    }

    fn files() -> ConfigFiles<'static> {
        ConfigFiles { is_command: &|name| name == b"get" }
    }

    #[test]
    fn patterns_name_files_in_order() {
        let folder = folder("patterns");
        for (name, text) in [("b.conf", "2\n"), ("a.conf", "1\n"), (".c.conf", "x"), ("d", "x")] {
            fs::write(folder.join("conf.d").join(name), text).expect("a new file");
        }
        let read = |pattern: &str| files().read_files(folder.join(pattern).as_os_str().as_bytes());
        assert_eq!(read("conf.d/*.conf").as_deref(), Ok(b"1\n2\n".as_slice()));
        assert_eq!(read("conf.?/a*").as_deref(), Ok(b"1\n".as_slice()));
        assert_eq!(read("nosuch/*.conf").as_deref(), Ok(b"".as_slice()));
        let missing = read("conf.d/nosuch").expect_err("no such file");
        assert_eq!(missing.why, "No such file or directory");
        // A folder is not a file.
        assert!(read("conf.d/s*").is_err());
        fs::remove_dir_all(&folder).expect("it was there");
    }

    #[test]
    fn the_log_must_be_writable() {
        let folder = folder("logs");
        let path = folder.join("log");
        assert_eq!(files().check_log_file(path.as_os_str().as_bytes()), Ok(()));
        assert!(path.exists());
        let error = files().check_log_file(folder.as_os_str().as_bytes());
        assert_eq!(error, Err("Is a directory".to_owned()));
        assert!(files().is_command(b"get") && !files().is_command(b"set"));
        fs::remove_dir_all(&folder).expect("it was there");
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = folder("replace");
        let path = folder.join("redis.conf");
        fs::write(&path, "old").expect("a new file");
        replace_file(path.as_os_str().as_bytes(), b"new").expect("room for it");
        assert_eq!(fs::read(&path).expect("it is there"), b"new");
        assert_eq!(fs::read_dir(&folder).expect("it is there").count(), 2);
        assert!(replace_file(b"/nonexistent/redis.conf", b"new").is_err());
        assert_eq!(absolute(b"/x/y"), b"/x/y");
        assert!(absolute(b"y").starts_with(b"/") && absolute(b"y").ends_with(b"/y"));
        fs::remove_dir_all(&folder).expect("it was there");
    }

    #[test]
    fn a_file_keeps_its_mode_and_links_lead_nowhere() {
        let folder = folder("modes");
        let path = folder.join("redis.conf");
        let victim = folder.join("victim");
        fs::write(&path, "old").expect("a new file");
        fs::write(&victim, "mine").expect("a new file");
        let planted = folder.join(format!("redis.conf.{}.0.tmp", std::process::id()));
        std::os::unix::fs::symlink(&victim, &planted).expect("a new link");
        let mode = || fs::metadata(&path).expect("it is there").mode() & 0o7777;
        for wanted in [0o600, 0o640, 0o664] {
            let permissions = fs::Permissions::from_mode(wanted);
            fs::set_permissions(&path, permissions).expect("our own file");
            replace_file(path.as_os_str().as_bytes(), b"new").expect("room for it");
            assert_eq!(mode(), wanted);
            assert_eq!(fs::read(&path).expect("it is there"), b"new");
        }
        assert_eq!(fs::read(&victim).expect("it is there"), b"mine");
        assert!(planted.is_symlink(), "what was there stays");
        fs::remove_file(&path).expect("it is there");
        replace_file(path.as_os_str().as_bytes(), b"new").expect("room for it");
        assert_eq!(mode() & 0o133, 0, "a new one is as the umask says, and no program");
        fs::remove_dir_all(&folder).expect("it was there");
    }
}
