//! The load generator: what people know as `redis-benchmark`.
//!
//! ```text
//! run ─► options ─► suite (which commands) ─► batch (bytes to send, random digits)
//!                                                 │
//!          main thread: progress, report ◄── meter ── load: one epoll loop a thread
//! ```
//! Options, the summary and the CSV form are redis-benchmark's, because scripts read them.
//! What differs is the honesty of the latencies: a request counts from the moment it is sent
//! until its own reply is read (not the first reply of its pipeline), no figure is cut off at
//! three seconds, and `--rps` sends at a fixed rate and counts from the moment at which a
//! request *should* have been sent, so that a stalled server cannot hide its stall by keeping
//! the generator from asking (coordinated omission). The processor time that the server itself
//! reports is put beside the requests.
//!
//! Absent: clusters, which the server does not have either.

mod batch;
mod count;
mod facts;
mod load;
mod options;
mod report;
mod suite;
mod usage;

use std::ffi::OsString;
use std::io::Read;

use batch::Batch;
use facts::Facts;
use load::Outcome;
use options::Options;

use crate::text::{complain, error_text, flush, put};
use crate::{Step, Stop};

/// Runs the load generator with `args` (without the program's name); returns the exit code.
pub fn run(args: &[OsString]) -> i32 {
    match try_run(args) {
        Ok(()) => 0,
        Err(Stop::Failed) => 1,
        Err(Stop::Exit(code)) => code,
    }
}

fn try_run(args: &[OsString]) -> Step<()> {
    let (options, mut command) = options::parse(args)?;
    let facts = Facts::fetch(&options)?;
    if !options.keep_alive {
        complain(
            "WARNING: Keepalive disabled. Every request opens a connection: the system may run \
             out of ports (see net.ipv4.tcp_tw_reuse).",
        );
    }
    if !command.is_empty() && options.tests.is_some() {
        complain("WARNING: Option -t is ignored.");
    }
    if options.idle {
        put(format!(
            "Creating {} idle connections and waiting forever (Ctrl+C when done)\n",
            options.clients
        ))?;
        flush()?;
        let opened = |count| {
            let _ = put(format!("clients: {count}\r")).and_then(|()| flush());
        };
        return load::hold_idle(&options, opened).map_err(told);
    }
    if options.csv {
        put(report::csv_heading(&options))?;
    }
    if command.is_empty() {
        return run_suite(&options, &facts);
    }
    let title = command.join(&b' ');
    let title = String::from_utf8_lossy(&title).into_owned();
    if options.stdin {
        command.push(read_stdin()?);
    }
    let mut bytes = Vec::new();
    tandem_resp::reply::encode_command(&mut bytes, &command);
    loop {
        measure(&options, &facts, &title, &bytes, bytes.len())?;
        if !options.forever {
            return Ok(());
        }
    }
}

/// Runs the standard tests, or those that were asked for.
fn run_suite(options: &Options, facts: &Facts) -> Step<()> {
    let payload = suite::payload(options.data_bytes);
    loop {
        for test in suite::TESTS {
            if test.is_wanted(options.tests.as_deref()) {
                let bytes = test.command(&payload, options.keyspace.is_some());
                measure(options, facts, test.title, &bytes, options.data_bytes)?;
            }
        }
        if !options.csv {
            put("\n")?;
        }
        flush()?;
        if !options.forever {
            return Ok(());
        }
    }
}

/// Runs one command under load and reports.
fn measure(
    options: &Options,
    facts: &Facts,
    title: &str,
    command: &[u8],
    payload: usize,
) -> Step<()> {
    let batch = Batch::new(command, options.pipeline, options.keyspace);
    let before = facts::server_cpu(options);
    let outcome: Outcome = load::run(options, &batch, title).map_err(told)?;
    let cpu = match (before, facts::server_cpu(options)) {
        (Some(before), Some(after)) => Some((after - before).max(0.0)),
        _ => None,
    };
    put(report::text(options, facts, title, payload, &outcome, cpu))?;
    flush()
}

fn read_stdin() -> Step<Vec<u8>> {
    let mut bytes = Vec::new();
    match std::io::stdin().read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => {
            complain(format!("Reading from standard input: {}", error_text(&error)));
            Err(Stop::Exit(1))
        }
    }
}

/// Shows why the load ended early.
fn told(text: String) -> Stop {
    complain(text);
    Stop::Exit(1)
}
