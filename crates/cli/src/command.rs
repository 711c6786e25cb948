//! Running one command: sending it as often as asked, showing its replies, and keeping our
//! idea of the connection (database, transaction, protocol) in step with what the server did.

use std::io::Read;
use std::time::Duration;

use crate::options::Resp3;
use crate::session::{Connect, Last, Pushes, Session, refused};
use crate::split::unquote;
use crate::text::{complain, error_text, flush, leading_int, put};
use crate::{Step, Stop, help, modes};

/// Runs the command of the command line; returns the exit code.
pub(crate) fn run_once(session: &mut Session, args: Vec<Vec<u8>>) -> Step<i32> {
    // A failure is shown when the command itself tries to connect.
    let _ = session.connect(Connect::Quietly);
    let mut args = if session.options.quoted_input {
        match args.iter().map(|arg| unquote(arg)).collect::<Option<Vec<_>>>() {
            Some(args) => args,
            None => {
                put("Invalid quoted string\n")?;
                flush()?;
                return Ok(1);
            }
        }
    } else {
        args
    };
    if session.options.stdin_last_arg {
        args.push(read_stdin()?);
    } else if let Some(tag) = &session.options.stdin_tag {
        match args.iter_mut().find(|arg| *arg == tag) {
            Some(arg) => *arg = read_stdin()?,
            None => {
                complain("Using -X option but stdin tag not match.");
                return Ok(1);
            }
        }
    }
    let repeat = session.options.repeat;
    match issue(session, &args, repeat) {
        Ok(()) => Ok(0),
        Err(Stop::Failed) => Ok(1),
        Err(exit) => Err(exit),
    }
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

/// Runs a command `repeat` times (for ever when negative), connecting first when needed.
/// `Failed` when the connection was lost, which the user has been told.
pub(crate) fn issue(session: &mut Session, args: &[Vec<u8>], repeat: i64) -> Step<()> {
    let Some(command) = args.first() else { return Ok(()) };
    if is(command, "help") || is(command, "?") {
        return help::show(session, &args[1..]);
    }
    loop {
        if let Err(stop) = session.ensure_connected() {
            session.complain_about_connection();
            session.reissue = false;
            return Err(stop);
        }
        session.reissue = false;
        if std::mem::take(&mut session.send_asking) {
            let asked = session.ask(&["ASKING"]).and_then(|reply| refused(&reply, "ASKING"));
            if let Err(stop) = asked {
                session.complain_about_connection();
                return Err(stop);
            }
        }
        match send(session, args, repeat) {
            Ok(()) if session.options.cluster && session.reissue => {}
            Ok(()) => return Ok(()),
            Err(Stop::Failed) => {
                session.complain_about_connection();
                session.client = None;
                return Err(Stop::Failed);
            }
            Err(exit) => return Err(exit),
        }
    }
}

/// Whether an argument is this word.
fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// Whether the reply is a text made for reading, which is never quoted.
fn is_verbatim(args: &[Vec<u8>]) -> bool {
    let word = |at: usize, word: &str| args.get(at).is_some_and(|arg| is(arg, word));
    let second = |words: &[&str]| words.iter().any(|text| word(1, text));
    word(0, "info")
        || word(0, "lolwut")
        || word(0, "debug") && second(&["htstats", "htstats-key", "client-eviction"])
        || word(0, "memory") && second(&["malloc-stats", "doctor"])
        || word(0, "cluster") && args.len() == 2 && second(&["nodes", "info"])
        || word(0, "client") && second(&["list", "info"])
        || word(0, "latency") && args.len() == 3 && second(&["graph"])
        || word(0, "latency") && args.len() == 2 && second(&["doctor"])
        || word(0, "proxy") && second(&["info"])
}

fn send(session: &mut Session, args: &[Vec<u8>], mut left: i64) -> Step<()> {
    let command = args[0].as_slice();
    let verbatim = is_verbatim(args);
    let monitor = is(command, "monitor");
    let subscribes = ["subscribe", "psubscribe", "ssubscribe"].iter().any(|word| is(command, word));
    let replicates = is(command, "sync") || is(command, "psync");
    if is(command, "shutdown") {
        session.shutdown = true;
    }
    while left != 0 {
        left -= i64::from(left > 0);
        if replicates {
            put("Entering replica output mode...  (press Ctrl-C to quit)\n")?;
            modes::follow_master(session, args)?;
            return Err(Stop::Failed);
        }
        let Some(client) = &mut session.client else { return Err(Stop::Failed) };
        // A failure to write shows again, with the peer's reason, when the reply is read.
        let _ = client.send(args);
        if monitor {
            return read_endless(session, verbatim);
        }
        if subscribes {
            if session.options.output != crate::format::Output::Raw {
                put("Reading messages... (press Ctrl-C to quit)\n")?;
                flush()?;
            }
            session.pushes = Pushes::AsReplies;
            read_endless(session, verbatim)?;
            if session.options.show_pushes {
                session.pushes = Pushes::Show;
            }
            continue;
        }
        session.read_reply(verbatim)?;
        note_effect(session, args);
        if session.reissue {
            break;
        }
        if let Ok(pause @ 1..) = u64::try_from(session.options.interval_us) {
            std::thread::sleep(Duration::from_micros(pause));
        }
    }
    Ok(())
}

/// Shows replies until the first error, or until Ctrl-C.
fn read_endless(session: &mut Session, verbatim: bool) -> Step<()> {
    session.endless = true;
    if let (Some(interrupt), Some(client)) = (&session.interrupt, &session.client) {
        interrupt.watch(client.hangup().ok());
    }
    let mut outcome = Ok(());
    while session.endless {
        outcome = session.read_reply(verbatim);
        if outcome == Err(Stop::Failed) {
            session.complain_about_connection();
            outcome = Err(Stop::Exit(1));
        }
        if outcome.is_err() || session.last == Last::Error {
            session.endless = false;
        }
    }
    if let Some(interrupt) = &session.interrupt {
        interrupt.watch(None);
    }
    outcome
}

/// Follows commands that change the connection.
fn note_effect(session: &mut Session, args: &[Vec<u8>]) {
    let command = args[0].as_slice();
    let failed = session.last == Last::Error;
    match args.len() {
        2 if is(command, "select") && !failed => {
            session.db = leading_int(&args[1]);
            session.options.db = session.db;
        }
        2 | 3 if is(command, "auth") => {
            // A new user may select what the old one could not; a refusal has been shown.
            let _ = session.select_db();
        }
        1 if is(command, "multi") && !failed => {
            session.in_multi = true;
            session.db_before_multi = session.db;
        }
        1 if is(command, "exec") && session.in_multi => {
            session.in_multi = false;
            if failed || session.last == Last::Nil {
                take_back_select(session);
            }
        }
        1 if is(command, "discard") && !failed => {
            session.in_multi = false;
            take_back_select(session);
        }
        1 if is(command, "reset") && !failed => {
            session.in_multi = false;
            session.db = 0;
            session.options.db = 0;
            session.options.resp3 = Resp3::No;
        }
        _ => {}
    }
}

/// A transaction that did not run selected nothing.
fn take_back_select(session: &mut Session) {
    session.db = session.db_before_multi;
    session.options.db = session.db_before_multi;
}
