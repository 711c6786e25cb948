//! `--topology`: the replication tree as it is now, drawn from any of its nodes.
//!
//! ```text
//! the node that was named ─ up, from master to master ─► the top
//!                                                          └─ down, replicas of replicas ─► tree
//! ```
//! Every node is asked itself (INFO, or ROLE where INFO is forbidden); what cannot be reached
//! is drawn with what its master says of it. On a terminal the picture is drawn again every
//! second; elsewhere, and as JSON, it is printed once, or as often as -r says.
//!
//! Absent: any change. This mode only asks.

mod draw;
mod facts;
mod json;
mod walk;

use std::io::IsTerminal;
use std::time::Duration;

use crate::Step;
use crate::format::Output;
use crate::session::Session;
use crate::text::{flush, put};
use walk::{Tree, Walker};

const PAUSE: Duration = Duration::from_secs(1);
/// When the terminal does not tell its width.
const DEFAULT_COLUMNS: usize = 100;

/// One drawing for the machine and one for people.
enum Form {
    Live,
    Plain,
    Json,
}

/// Draws until the program is ended, or as often as it shall; returns the exit code: 0 when
/// every node answered, 1 otherwise.
pub(crate) fn run(session: &Session) -> Step<i32> {
    let options = &session.options;
    let form = match options.output {
        Output::Json | Output::QuotedJson => Form::Json,
        _ if std::io::stdout().is_terminal() => Form::Live,
        _ => Form::Plain,
    };
    let pause = match u64::try_from(options.interval_us) {
        Ok(us @ 1..) => Duration::from_micros(us),
        _ => PAUSE,
    };
    let mut left = match form {
        Form::Live if options.repeat == 1 => -1,
        _ => options.repeat,
    };
    let mut walker = Walker::new(options);
    let mut drawn = 0;
    let mut all_answer = true;
    while left != 0 {
        let tree = walker.walk();
        all_answer = tree.all_answer();
        match form {
            Form::Live => drawn = redraw(&tree, drawn)?,
            Form::Plain => put(draw::lines(&tree).join("\n") + "\n")?,
            Form::Json => put(json::text(&tree))?,
        }
        flush()?;
        left -= i64::from(left > 0);
        if left != 0 {
            std::thread::sleep(pause);
        }
    }
    Ok(i32::from(!all_answer))
}

/// Draws in place of the last picture, which had `drawn` lines; returns how many this one has.
fn redraw(tree: &Tree, drawn: usize) -> Step<usize> {
    let columns = match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => DEFAULT_COLUMNS,
    };
    let lines = draw::lines(tree);
    let mut text = if drawn > 0 { format!("\x1b[{drawn}A\x1b[J") } else { String::new() };
    for line in &lines {
        // A line that wraps would take two rows, and the next erasing would miss one.
        text.extend(line.chars().take(columns.saturating_sub(1)));
        text.push('\n');
    }
    put(text)?;
    Ok(lines.len())
}
