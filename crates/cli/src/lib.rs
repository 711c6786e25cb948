//! The client: what people know as `redis-cli`, and the demonstration of a whole set.
//!
//! ```text
//! run ─► options ─┬─► modes      --scan, --pipe, --rdb, --stat, --latency, --bigkeys …
//!                 ├─► command    one command from the arguments, its reply, an exit code
//!                 └─► prompt     lines from a terminal or a pipe; history, hints, help
//!                        └───────────► session ─► client ─► a socket
//! demo ─► servers as child processes, watched through the same client
//! survey ─► what is in an RDB file
//! benchmark ─► many connections, an epoll loop a thread, a histogram
//! ```
//! Options, output, messages and exit codes follow redis-cli 7.0.15, because scripts depend
//! on them: what differs is listed in the project's document of differences. All printing of
//! the project's client side happens here; a write to a closed standard output ends the
//! program quietly, as users of pipes expect.
//!
//! Absent: the cluster manager and the Lua debugger.
#![forbid(unsafe_code)]

pub mod benchmark;
pub mod client;
mod command;
pub mod demo;
mod dotfiles;
mod editor;
mod format;
mod help;
mod interrupt;
mod modes;
mod options;
mod prompt;
mod session;
mod split;
mod stream;
pub mod survey;
mod text;
mod tls;
mod topology;
mod uri;
mod usage;

use std::ffi::OsString;

use options::{Mode, Parsed};
use session::Session;

/// Why a step did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The step failed and the user has been told; a prompt goes on.
    Failed,
    /// The program ends now with this exit code; what there was to say is said.
    Exit(i32),
}

/// What a step of the client gives.
pub(crate) type Step<T> = Result<T, Stop>;

/// Runs the client with `args` (without the program's name) and returns its exit code.
pub fn run(args: &[OsString]) -> i32 {
    match try_run(args) {
        Ok(code) | Err(Stop::Exit(code)) => code,
        Err(Stop::Failed) => 1,
    }
}

fn try_run(args: &[OsString]) -> Step<i32> {
    let Parsed { mut options, rest } = options::parse(args)?;
    if options.askpass {
        options.auth = Some(editor::ask_password("Please input password: ")?);
    }
    let mut session = Session::new(options);
    if let Some(mode) = session.options.mode {
        // It shows itself who cannot be reached.
        if mode != Mode::Topology {
            session.connect_or_exit()?;
        }
        return modes::run(&mut session, mode);
    }
    if session.options.eval.is_some() {
        session.connect_or_exit()?;
        return modes::eval(&mut session, &rest);
    }
    if rest.is_empty() {
        return prompt::run(&mut session);
    }
    command::run_once(&mut session, rest)
}

/// The defaults of every option, for tests of this crate's parts.
#[cfg(test)]
fn test_options() -> options::Options {
    options::Options::new(false)
}
