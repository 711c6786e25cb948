//! Starting other programs: always from the repository's root, their output shown as it comes
//! and kept where a chore wants to read it.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long the last lines of a program that has ended may take.
const REST_LIMIT: Duration = Duration::from_secs(5);

/// The repository's root. `cargo xtask` says at run time where it is, which counts when two
/// checkouts share a build folder; a binary that is started by itself knows where it was built.
pub(crate) fn root() -> PathBuf {
    let said = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = said.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    here.parent().expect("xtask lies in the root").to_path_buf()
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    let set = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let path = set.unwrap_or_else(|| PathBuf::from("target"));
    if path.is_absolute() { path } else { root().join(path) }
}

/// A program to be run at the root.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// The cargo that runs us.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_string());
    let mut command = command(&cargo);
    command.args(args);
    command
}

/// How a command is shown.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs it with our own output; an error when it fails.
pub(crate) fn check(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", shown(command))),
        Err(e) => Err(format!("{}: {e}", shown(command))),
    }
}

/// Runs it quietly; its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let done = command.output().map_err(|e| format!("{}: {e}", shown(command)))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&done.stderr);
    Err(format!("{}: {}\n{errors}", shown(command), done.status))
}

/// Runs it, passes its output on line by line, and gives all of it back with whether it
/// succeeded.
pub(crate) fn tee(command: &mut Command) -> Result<(bool, String), String> {
    let name = shown(command);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{name}: {e}"))?;
    let errors = child.stderr.take().expect("piped");
    let other = std::thread::spawn(move || {
        let mut text = String::new();
        pass_on(errors, std::io::stderr(), |line| text.push_str(line));
        text
    });
    let mut text = String::new();
    pass_on(child.stdout.take().expect("piped"), std::io::stdout(), |line| text.push_str(line));
    text.push_str(&other.join().expect("it only copies lines"));
    let status = child.wait().map_err(|e| format!("{name}: {e}"))?;
    Ok((status.success(), text))
}

/// The same with its two outputs as one, in the order in which it wrote. What a process that it
/// left behind goes on writing does not count.
pub(crate) fn tee_merged(command: &mut Command) -> Result<(bool, String), String> {
    let name = shown(command);
    let failed = |e: std::io::Error| format!("{name}: {e}");
    let (from, to) = std::io::pipe().map_err(failed)?;
    command.stdout(to.try_clone().map_err(failed)?).stderr(to);
    let mut child = command.spawn().map_err(failed)?;
    // Our own ends of the pipe: as long as they are open it has no end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let text = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&text);
    let (tells, ended) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        pass_on(from, std::io::stdout(), |line| kept.lock().expect("no panic").push_str(line));
        drop(tells);
    });
    let status = child.wait().map_err(failed)?;
    let _ = ended.recv_timeout(REST_LIMIT);
    let text = std::mem::take(&mut *text.lock().expect("no panic"));
    Ok((status.success(), text))
}

fn pass_on(from: impl Read, mut to: impl Write, mut keep: impl FnMut(&str)) {
    let mut line = Vec::new();
    let mut from = BufReader::new(from);
    while matches!(from.read_until(b'\n', &mut line), Ok(count) if count > 0) {
        let _ = to.write_all(&line);
        keep(&String::from_utf8_lossy(&line));
        line.clear();
    }
}

/// Whether `program` can be started.
pub(crate) fn has(program: &str) -> bool {
    let mut probe = Command::new(program);
    probe.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok()
}

/// Builds our binary with a profile; its path.
pub(crate) fn build_tandem(profile: &str) -> Result<PathBuf, String> {
    check(&mut cargo(&["build", "--quiet", "--package", "tandem", "--profile", profile]))?;
    let folder = if profile == "dev" { "debug" } else { profile };
    let binary = target().join(folder).join("tandem");
    if binary.is_file() { Ok(binary) } else { Err(format!("{} was not built", binary.display())) }
}

/// All positional words of `args`; an option is an error.
pub(crate) fn words(mut args: lexopt::Parser) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    while let Some(arg) = args.next().map_err(|e| e.to_string())? {
        match arg {
            lexopt::Arg::Value(word) => words.push(word.to_string_lossy().into_owned()),
            other => return Err(other.unexpected().to_string()),
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_leaves_behind_is_not_waited_for() {
        let script = "echo said; sleep 600 & echo $!; exit 3";
        let (success, text) = tee_merged(command("sh").args(["-c", script])).expect("a shell");
        let pid = text.strip_prefix("said\n").expect("it said so").trim();
        check(command("kill").arg(pid)).expect("it lives on");
        assert!(!success);
    }
}
