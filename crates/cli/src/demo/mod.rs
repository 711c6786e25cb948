//! `tandem demo`: a master, its replicas and a replica of a replica on this machine, at work.
//!
//! ```text
//! master ─┬─► replica-1 ──► sub-replica
//!         ├─► replica-2            (its link is cut and resumes)
//!         └─► late-replica         (joins while writes go on)
//! ```
//! The servers are child processes on free ports in a temporary folder. Everything shown is
//! read back from them: a step that is not seen to happen in time ends the demonstration with
//! exit code 1 and a line that says which. A terminal gets a picture that is redrawn in place,
//! anything else plain lines. However it ends, the servers are stopped and the folder removed.
//!
//! Absent: any server code. Any server that understands redis-server's options will do.

mod facts;
mod node;
mod scenario;
mod screen;
mod world;
mod writer;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::{Long, Short, ValueExt};

use crate::Stop;
use crate::text::{complain, flush, put};
use world::{End, World};

/// What the command line says.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// When to stop; without it, at Ctrl-C.
    run_for: Option<Duration>,
    server: ServerCommand,
}

/// How a server is started: a program and its first arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ServerCommand {
    program: PathBuf,
    first_args: Vec<&'static str>,
}

const USAGE: &str = "\
Usage: tandem demo [--seconds N] [--server PATH]

Starts a master, two replicas and a replica of a replica on free ports of this machine, and
shows writes reaching them, a link that is cut and resumes, and a replica that joins late.

  --seconds N     Stop after N seconds instead of at Ctrl-C.
  --server PATH   Start this redis-server instead of our own.

The exit code is 0 when everything shown was seen to happen, else 1.
";

/// Runs the demonstration with `args` (without the program's and the subcommand's names) and
/// returns the exit code: 0 when every step was seen to happen.
pub fn run(args: &[OsString]) -> i32 {
    let plan = match parse(args) {
        Ok(Some(plan)) => plan,
        Ok(None) => {
            let shown = put(USAGE).and_then(|()| flush());
            return if shown.is_ok() { 0 } else { 1 };
        }
        Err(text) => {
            complain(format!("{text}\n\n{USAGE}"));
            return 1;
        }
    };
    match show(&plan) {
        Ok(()) => 0,
        Err(End::Failed(text)) => {
            complain(format!("The demonstration failed: {text}"));
            1
        }
        Err(End::Stopped(step)) => {
            complain(format!("Stopped before the end: {step}"));
            1
        }
        Err(End::Print(Stop::Exit(code))) => code,
        Err(End::Print(Stop::Failed)) => 1,
    }
}

/// Starts the servers, goes through the steps, and stops the servers again.
fn show(plan: &Plan) -> Result<(), End> {
    let mut world = World::new(plan.run_for, plan.server.clone())?;
    let outcome = scenario::play(&mut world);
    let stopped = world.stop();
    outcome.and(stopped)
}

/// Reads the command line; `None` asks for the usage.
fn parse(args: &[OsString]) -> Result<Option<Plan>, String> {
    let mut parser = lexopt::Parser::from_args(args);
    let (mut run_for, mut server) = (None, None);
    let text = |error: lexopt::Error| error.to_string();
    while let Some(arg) = parser.next().map_err(text)? {
        match arg {
            Long("seconds") => {
                let value = parser.value().map_err(text)?;
                run_for = Some(Duration::from_secs(value.parse().map_err(text)?));
            }
            Long("server") => server = Some(PathBuf::from(parser.value().map_err(text)?)),
            Long("help") | Short('h') => return Ok(None),
            other => return Err(text(other.unexpected())),
        }
    }
    Ok(Some(Plan { run_for, server: server_command(server)? }))
}

/// Our own binary unless another was named; a multi-call binary is told which one to be.
fn server_command(named: Option<PathBuf>) -> Result<ServerCommand, String> {
    let own = named.is_none();
    let program = match named {
        Some(path) => path,
        None => std::env::current_exe().map_err(|error| format!("who are we? {error}"))?,
    };
    let multi_call = own || program.file_name().is_some_and(|name| name == "tandem");
    Ok(ServerCommand { program, first_args: if multi_call { vec!["server"] } else { vec![] } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Option<Plan>, String> {
        parse(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_command_line_is_small() {
        let plan = parsed(&["--seconds", "20", "--server", "/usr/bin/redis-server"]);
        let plan = plan.expect("it is right").expect("no help was asked for");
        assert_eq!(plan.run_for, Some(Duration::from_secs(20)));
        assert_eq!(plan.server.program, PathBuf::from("/usr/bin/redis-server"));
        assert!(plan.server.first_args.is_empty());
        let own = parsed(&[]).expect("it is right").expect("no help was asked for");
        assert_eq!(own.server.first_args, ["server"]);
        assert_eq!(own.run_for, None);
        assert_eq!(parsed(&["--help"]), Ok(None));
        for wrong in [&["--seconds"][..], &["--seconds", "x"], &["--nothing"], &["word"]] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
