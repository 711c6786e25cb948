//! Redis 7.0.15's source, fetched as the distribution's source package. The package lists that
//! this system has are copied with their type turned from binary to source, into a folder of our
//! own: nothing of the system is changed, no address stands here, and root is not needed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{command, has, output, target};

const VERSION: &str = "7.0.15";

/// The unpacked tree; fetched when it is not there yet.
pub(super) fn fetch() -> Result<PathBuf, String> {
    let tree = target().join(format!("redis-{VERSION}"));
    if tree.join("tests").join("test_helper.tcl").is_file() {
        return Ok(tree);
    }
    for program in ["apt-get", "dpkg-source"] {
        if !has(program) {
            return Err(format!("{program} is needed to fetch the suite; or give --source DIR"));
        }
    }
    println!("fetching the source package of redis (once)");
    let work = target().join("suite").join("apt");
    download(&work).map_err(|why| format!("{why}\nor give --source DIR"))?;
    let package = find(&work.join("download"), |n| n.starts_with("redis_") && n.ends_with(".dsc"))?;
    let _ = fs::remove_dir_all(&tree);
    let mut unpack = command("dpkg-source");
    output(unpack.args(["--no-check", "-x"]).arg(package).arg(&tree))?;
    if !tree.join("tests").join("test_helper.tcl").is_file() {
        return Err(format!("the source package is not Redis {VERSION}"));
    }
    Ok(tree)
}

/// Downloads the package's parts into `work/download`.
fn download(work: &Path) -> Result<(), String> {
    let make = |name: &str| {
        let path = work.join(name);
        fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display())).map(|()| path)
    };
    let lists = make("lists/partial")?.with_file_name("");
    let archives = make("archives/partial")?.with_file_name("");
    let sources = make("sources.d")?;
    let download = make("download")?;
    copy_source_lists(&sources)?;
    let options = [
        format!("Dir::Etc::sourceparts={}", sources.display()),
        "Dir::Etc::sourcelist=/dev/null".to_string(),
        format!("Dir::State::lists={}", lists.display()),
        format!("Dir::Cache::archives={}", archives.display()),
        "Dir::Cache::pkgcache=".to_string(),
        "Dir::Cache::srcpkgcache=".to_string(),
        // As root apt hands the download to a user who may not enter our folder.
        "APT::Sandbox::User=root".to_string(),
    ];
    let apt = |words: &[&str]| {
        let mut apt = command("apt-get");
        for option in &options {
            apt.args(["-o", option]);
        }
        apt.args(["-q", "-q"]).args(words).current_dir(&download);
        output(&mut apt).map(|_| ())
    };
    apt(&["update"])?;
    apt(&["source", "--download-only", "redis"])
}

/// Writes the system's package lists into `to`, as lists of sources.
fn copy_source_lists(to: &Path) -> Result<(), String> {
    let etc = Path::new("/etc/apt");
    let mut lists = vec![etc.join("sources.list")];
    if let Ok(entries) = fs::read_dir(etc.join("sources.list.d")) {
        lists.extend(entries.flatten().map(|e| e.path()));
    }
    let mut copied = 0;
    for (number, path) in lists.iter().enumerate() {
        let Ok(text) = fs::read_to_string(path) else { continue };
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        let text = match extension {
            "sources" => as_sources(&text),
            "list" => as_list(&text),
            _ => continue,
        };
        if text.trim().is_empty() {
            continue;
        }
        let file = to.join(format!("{number}.{extension}"));
        fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))?;
        copied += 1;
    }
    if copied == 0 { Err("no package list in /etc/apt".to_string()) } else { Ok(()) }
}

/// A list of stanzas, for sources.
fn as_sources(text: &str) -> String {
    let lines =
        text.lines().map(|line| if line.starts_with("Types:") { "Types: deb-src" } else { line });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// A list of lines, for sources.
fn as_list(text: &str) -> String {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("deb "));
    lines.map(|rest| format!("deb-src {rest}\n")).collect()
}

fn find(folder: &Path, fits: impl Fn(&str) -> bool) -> Result<PathBuf, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut names = entries.flatten().filter(|e| fits(&e.file_name().to_string_lossy()));
    names.next().map(|e| e.path()).ok_or_else(|| "the package has no description".to_string())
}

#[cfg(test)]
mod tests {
    use super::{as_list, as_sources};

    #[test]
    fn lists_of_binaries_become_lists_of_sources() {
        let stanza = "Types: deb\nURIs: x\nSuites: s\n";
        assert_eq!(as_sources(stanza), "Types: deb-src\nURIs: x\nSuites: s\n");
        let lines = "# c\ndeb x s main\ndeb-src x s main\n";
        assert_eq!(as_list(lines), "deb-src x s main\n");
    }
}
