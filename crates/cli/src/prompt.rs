//! Commands line by line: from a terminal with an editor, from a pipe without.
//!
//! The connection may come and go; each command tries to connect again when it is gone.

use std::io::{BufRead, IsTerminal, StdinLock};
use std::time::{Duration, Instant};

use crate::command::issue;
use crate::dotfiles::{Preferences, history_file, is_sensitive};
use crate::editor::{Assistant, LineEditor};
use crate::format::Output;
use crate::interrupt::Interrupt;
use crate::session::{Connect, Session};
use crate::split::split_args;
use crate::text::{flush, leading_int, leading_number, put};
use crate::{Step, Stop};

/// A command that takes longer has its time shown.
const SLOW: Duration = Duration::from_millis(500);

/// Where lines come from.
enum Lines {
    Terminal(Box<LineEditor>),
    Pipe(StdinLock<'static>),
}

impl Lines {
    fn next(&mut self, prompt: &str) -> Step<Option<Vec<u8>>> {
        match self {
            Lines::Terminal(editor) => Ok(editor.read(prompt)?.map(String::into_bytes)),
            Lines::Pipe(stdin) => {
                let mut line = Vec::new();
                match stdin.read_until(b'\n', &mut line) {
                    Ok(1..) => {
                        line.pop_if(|byte| *byte == b'\n');
                        Ok(Some(line))
                    }
                    Ok(0) | Err(_) => Ok(None),
                }
            }
        }
    }

    /// Fetches what the hints need, as soon as there is a server that tells it.
    fn learn(&mut self, session: &mut Session) {
        if let Lines::Terminal(editor) = self
            && session.client.is_some()
            && !session.in_multi
        {
            editor.assistant().learn(session);
        }
    }

    fn keep(&mut self, line: &[u8]) {
        if let (Lines::Terminal(editor), Ok(line)) = (self, std::str::from_utf8(line)) {
            editor.keep(line);
        }
    }
}

/// Whether there is more to read.
#[derive(PartialEq, Eq)]
enum Next {
    Line,
    End,
}

/// Reads and runs commands until the user or the input ends; returns the exit code.
pub(crate) fn run(session: &mut Session) -> Step<i32> {
    session.interrupt = Some(Interrupt::for_prompt());
    // Whether or not it works: each command tries again.
    let _ = session.connect(Connect::IfNeeded);
    session.interactive = true;
    let mut preferences = Preferences::default();
    let mut lines = if std::io::stdin().is_terminal() {
        preferences.load()?;
        let assistant = Assistant::new(preferences.hints);
        flush()?;
        Lines::Terminal(Box::new(LineEditor::new(assistant, history_file())?))
    } else {
        Lines::Pipe(std::io::stdin().lock())
    };
    loop {
        lines.learn(session);
        let Some(line) = lines.next(&session.prompt())? else { break };
        if obey(session, &mut lines, &mut preferences, &line)? == Next::End {
            break;
        }
        flush()?;
    }
    Ok(0)
}

/// Runs one line.
fn obey(
    session: &mut Session,
    lines: &mut Lines,
    preferences: &mut Preferences,
    line: &[u8],
) -> Step<Next> {
    let Some(args) = split_args(line) else {
        put("Invalid argument(s)\n")?;
        lines.keep(line);
        return Ok(Next::Line);
    };
    let Some(first) = args.first() else { return Ok(Next::Line) };
    let (repeat, command) = match repeat_count(&args) {
        Repeat::Times(count) => (count, &args[1..]),
        Repeat::None => (1, &args[..]),
        Repeat::Bad => {
            put("Invalid redis-cli repeat command option value.\n")?;
            return Ok(Next::Line);
        }
    };
    if !is_sensitive(command) {
        lines.keep(line);
    }
    let is = |word: &str| first.eq_ignore_ascii_case(word.as_bytes());
    if is("quit") || is("exit") {
        return Ok(Next::End);
    } else if first.starts_with(b":") {
        preferences.obey(&args, false)?;
        if let Lines::Terminal(editor) = lines {
            editor.assistant().hints = preferences.hints;
        }
    } else if is("restart") {
        put("Use 'restart' only in Lua debugging mode.\n")?;
    } else if args.len() == 3 && is("connect") {
        session.options.host = String::from_utf8_lossy(&args[1]).into_owned();
        session.options.port = leading_int(&args[2]);
        // A failure has been shown, and the prompt says it too.
        let _ = session.connect(Connect::Again);
    } else if args.len() == 1 && is("clear") {
        match lines {
            Lines::Terminal(editor) => editor.clear_screen(),
            Lines::Pipe(_) => put("\x1b[H\x1b[2J")?,
        }
    } else {
        run_timed(session, command, repeat)?;
    }
    Ok(Next::Line)
}

/// Runs a command and shows how long it took, when it was long.
fn run_timed(session: &mut Session, command: &[Vec<u8>], repeat: i64) -> Step<()> {
    let start = Instant::now();
    match issue(session, command, repeat) {
        // What went wrong has been shown.
        Ok(()) | Err(Stop::Failed) => {}
        Err(exit) => return Err(exit),
    }
    let elapsed = start.elapsed();
    if elapsed >= SLOW && session.options.output == Output::Standard {
        put(format!("({:.2}s)\n", elapsed.as_secs_f64()))?;
    }
    Ok(())
}

enum Repeat {
    None,
    Times(i64),
    Bad,
}

/// A number in front of a command says how often to run it.
fn repeat_count(args: &[Vec<u8>]) -> Repeat {
    let [first, _, ..] = args else { return Repeat::None };
    let number = leading_number(first);
    if number.bytes < first.len() {
        Repeat::None
    } else if number.overflowed || number.value <= 0 {
        Repeat::Bad
    } else {
        Repeat::Times(number.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_front_repeats() {
        let count = |line: &str| repeat_count(&split_args(line.as_bytes()).expect("it splits"));
        assert!(matches!(count("5 ping"), Repeat::Times(5)));
        assert!(matches!(count("5"), Repeat::None));
        assert!(matches!(count("5x ping"), Repeat::None));
        assert!(matches!(count("0 ping"), Repeat::Bad));
        assert!(matches!(count("-1 ping"), Repeat::Bad));
        assert!(matches!(count("99999999999999999999 ping"), Repeat::Bad));
        assert!(matches!(count("\"\" ping"), Repeat::Bad));
        assert!(matches!(count("ping x"), Repeat::None));
    }
}
