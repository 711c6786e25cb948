//! What the spectator sees: lines of a story and, on a terminal, a picture below them that is
//! redrawn in place.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use tandem_base::ReplOffset;

use super::facts::Facts;
use crate::Step;
use crate::text::{flush, put};

/// Without a terminal, the picture comes as one line this often.
const PLAIN_PAUSE: Duration = Duration::from_secs(5);
/// When the terminal does not tell its width.
const DEFAULT_COLUMNS: usize = 80;

/// One server in the picture.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) port: u16,
    /// The index of its master's row.
    pub(super) master: Option<usize>,
    /// `None` while it does not answer.
    pub(super) facts: Option<Facts>,
}

/// The output of the demonstration.
pub(super) struct Screen {
    /// Redraws in place.
    pub(super) live: bool,
    /// Lines of the picture now on the terminal.
    drawn: usize,
    last_plain: Instant,
}

impl Screen {
    pub(super) fn new() -> Screen {
        let live = std::io::stdout().is_terminal();
        Screen { live, drawn: 0, last_plain: Instant::now() }
    }

    /// Adds a line to the story.
    pub(super) fn say(&mut self, line: &str) -> Step<()> {
        let erase = self.erase();
        put(format!("{erase}{line}\n"))?;
        flush()
    }

    /// Shows the servers as they are now. Without a terminal this is rare, and one line.
    pub(super) fn draw(&mut self, rows: &[Row], writes: u64) -> Step<()> {
        if !self.live {
            if self.last_plain.elapsed() >= PLAIN_PAUSE {
                self.last_plain = Instant::now();
                put(format!("   {}\n", summary(rows, writes)))?;
                flush()?;
            }
            return Ok(());
        }
        let columns = columns();
        let lines = picture(rows, writes);
        let mut text = self.erase();
        for line in &lines {
            // A line that wraps would take two rows, and the next erasing would miss one.
            text.extend(line.chars().take(columns.saturating_sub(1)));
            text.push('\n');
        }
        self.drawn = lines.len();
        // One write, so that nothing flickers.
        put(text)?;
        flush()
    }

    /// Puts the picture into the story, where it stays.
    pub(super) fn keep(&mut self, rows: &[Row], writes: u64) -> Step<()> {
        let text = self.erase() + &picture(rows, writes).join("\n");
        put(format!("{text}\n"))?;
        flush()
    }

    /// What removes the picture from the terminal.
    fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\x1b[J"),
        }
    }
}

fn columns() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => DEFAULT_COLUMNS,
    }
}

/// The servers as a tree, the master at the top.
fn picture(rows: &[Row], writes: u64) -> Vec<String> {
    let mut lines = vec![String::new()];
    if let Some(top) = rows.iter().position(|row| row.master.is_none()) {
        let written = match &rows[top].facts {
            Some(facts) => {
                format!("offset {:<10} {} keys, {writes} writes", shown(facts.offset), facts.keys)
            }
            None => "does not answer".to_owned(),
        };
        lines
            .push(format!("   {:<22} :{:<5}  {:<5} {written}", rows[top].name, rows[top].port, ""));
        let written = rows[top].facts.as_ref().and_then(|facts| facts.offset);
        push_replicas(&mut lines, rows, top, "   ", written);
    }
    lines.push(String::new());
    lines
}

fn push_replicas(
    lines: &mut Vec<String>,
    rows: &[Row],
    of: usize,
    indent: &str,
    written: Option<ReplOffset>,
) {
    let replicas: Vec<usize> =
        (0..rows.len()).filter(|&index| rows[index].master == Some(of)).collect();
    for (nth, &index) in replicas.iter().enumerate() {
        let last = nth + 1 == replicas.len();
        let row = &rows[index];
        let state = match &row.facts {
            Some(facts) => {
                let link = if facts.link_up { "up" } else { "down" };
                format!("{link:<5} offset {:<10} lag {}", shown(facts.offset), lag(facts, written))
            }
            None => "does not answer".to_owned(),
        };
        let branch = if last { "└─ " } else { "├─ " };
        let head = format!("{indent}{branch}{}", row.name);
        lines.push(format!("{head:<25} :{:<5}  {state}", row.port));
        let deeper = if last { "   " } else { "│  " };
        push_replicas(lines, rows, index, &format!("{indent}{deeper}"), written);
    }
}

/// Everything in one line.
fn summary(rows: &[Row], writes: u64) -> String {
    let top = rows.iter().find(|row| row.master.is_none());
    let written = top.and_then(|row| row.facts.as_ref()?.offset);
    let mut parts = vec![format!("{writes} writes, master at {}", shown(written))];
    for row in rows.iter().filter(|row| row.master.is_some()) {
        parts.push(match &row.facts {
            Some(facts) if facts.link_up => format!("{} lag {}", row.name, lag(facts, written)),
            Some(_) => format!("{} link down", row.name),
            None => format!("{} does not answer", row.name),
        });
    }
    parts.join("; ")
}

fn shown(offset: Option<ReplOffset>) -> String {
    offset.map_or("?".to_owned(), |offset| offset.0.to_string())
}

/// How many bytes of the stream a replica has still to take.
fn lag(facts: &Facts, written: Option<ReplOffset>) -> String {
    match (facts.offset, written) {
        (Some(taken), Some(written)) => match taken.lag_behind(written) {
            Some(bytes) => format!("{bytes} bytes"),
            // The two were not asked at the same instant.
            None => "0 bytes".to_owned(),
        },
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &'static str, port: u16, master: Option<usize>, offset: Option<u64>) -> Row {
        let facts = offset.map(|offset| Facts {
            link_up: true,
            offset: Some(ReplOffset(offset)),
            keys: 2,
            ..Facts::default()
        });
        Row { name, port, master, facts }
    }

    #[test]
    fn the_picture_is_a_tree() {
        let rows = [
            row("master", 7000, None, Some(100)),
            row("replica-1", 7001, Some(0), Some(100)),
            row("replica-2", 7002, Some(0), None),
            row("sub-replica", 7003, Some(1), Some(90)),
        ];
        let expect = "
   master                 :7000         offset 100        2 keys, 5 writes
   ├─ replica-1           :7001   up    offset 100        lag 0 bytes
   │  └─ sub-replica      :7003   up    offset 90         lag 10 bytes
   └─ replica-2           :7002   does not answer
";
        assert_eq!(picture(&rows, 5).join("\n"), expect);
        assert_eq!(
            summary(&rows, 5),
            "5 writes, master at 100; replica-1 lag 0 bytes; replica-2 does not answer; \
             sub-replica lag 10 bytes"
        );
    }
}
