//! The line that the user types: editing, history, hints in grey, completion by Tab.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::history::{History, MemHistory};
use rustyline::{ColorMode, CompletionType, Config, Context, Editor, Helper};

use crate::dotfiles::{load_history, save_history};
use crate::help::Help;
use crate::session::Session;
use crate::text::complain;
use crate::{Step, Stop};

/// How many lines a history keeps, the file's as well.
const HISTORY_LINES_MAX: usize = 100;

/// How often a server that gives no help is asked for it.
const HELP_TRIES: u8 = 3;

/// What the editor shows while a line is typed.
#[derive(Default)]
pub(crate) struct Assistant {
    help: Help,
    /// How often the server may still be asked for help: it may have none, or none before AUTH.
    tries_left: u8,
    pub(crate) hints: bool,
    /// Stars in place of what is typed.
    masked: bool,
}

impl Assistant {
    /// One that still knows nothing, with hints or without.
    pub(crate) fn new(hints: bool) -> Assistant {
        Assistant { help: Help::default(), tries_left: HELP_TRIES, hints, masked: false }
    }

    /// Asks the server for help, unless there is some already.
    pub(crate) fn learn(&mut self, session: &mut Session) {
        if !self.help.is_empty() || self.tries_left == 0 {
            return;
        }
        self.tries_left -= 1;
        self.help = Help::fetch(session).unwrap_or_default();
    }
}

/// A hint that is only looked at: no key takes it into the line.
pub(crate) struct Shown(String);

impl Hint for Shown {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Assistant {
    type Hint = Shown;

    fn hint(&self, line: &str, _pos: usize, _context: &Context<'_>) -> Option<Shown> {
        if !self.hints || line.is_empty() {
            return None;
        }
        self.help.hint(line).map(Shown)
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok((0, self.help.completions(line.get(..pos).unwrap_or(line))))
    }
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[90m{hint}\x1b[0m"))
    }

    fn highlight<'l>(&self, line: &'l str, _pos: usize) -> Cow<'l, str> {
        if self.masked { Cow::Owned("*".repeat(line.chars().count())) } else { Cow::Borrowed(line) }
    }

    fn highlight_char(&self, _line: &str, _pos: usize, _kind: CmdKind) -> bool {
        self.masked
    }
}

impl rustyline::validate::Validator for Assistant {}
impl Helper for Assistant {}

/// An editor on the terminal, with a history.
pub(crate) struct LineEditor {
    editor: Editor<Assistant, MemHistory>,
    lines: Vec<String>,
    file: Option<PathBuf>,
}

impl LineEditor {
    /// An editor whose history begins with the lines of `file` and is kept there.
    pub(crate) fn new(assistant: Assistant, file: Option<PathBuf>) -> Step<LineEditor> {
        let config = Config::builder()
            .completion_type(CompletionType::Circular)
            .max_history_size(HISTORY_LINES_MAX)
            .map(|builder| builder.auto_add_history(false).build())
            .map_err(|error| cannot_edit(&error))?;
        let history = MemHistory::with_config(&config);
        let mut editor =
            Editor::with_history(config, history).map_err(|error| cannot_edit(&error))?;
        editor.set_helper(Some(assistant));
        let old = file.as_deref().map(load_history).unwrap_or_default();
        let mut line_editor = LineEditor { editor, lines: Vec::new(), file };
        old.iter().for_each(|line| line_editor.remember(line));
        Ok(line_editor)
    }

    /// What helps while typing.
    pub(crate) fn assistant(&mut self) -> &mut Assistant {
        self.editor.helper_mut().expect("it is set when the editor is made")
    }

    /// Waits for a line; `None` when the user ends the conversation.
    pub(crate) fn read(&mut self, prompt: &str) -> Step<Option<String>> {
        match self.editor.readline(prompt) {
            Ok(line) => Ok(Some(line)),
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
            Err(error) => Err(cannot_edit(&error)),
        }
    }

    /// Keeps a line in the history and in its file.
    pub(crate) fn keep(&mut self, line: &str) {
        self.remember(line);
        if let Some(file) = &self.file {
            save_history(file, self.lines.iter());
        }
    }

    fn remember(&mut self, line: &str) {
        if self.lines.last().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() == HISTORY_LINES_MAX {
            self.lines.remove(0);
        }
        self.lines.push(line.to_owned());
        // It refuses only what it holds already.
        let _ = self.editor.history_mut().add(line);
    }

    /// Empties the screen.
    pub(crate) fn clear_screen(&mut self) {
        // A terminal that cannot do it stays as it is.
        let _ = self.editor.clear_screen();
    }
}

fn cannot_edit(error: &ReadlineError) -> Stop {
    complain(format!("Cannot read from the terminal: {error}"));
    Stop::Exit(1)
}

/// Asks for a password without showing it; takes a line from a pipe as it is.
pub(crate) fn ask_password(question: &str) -> Step<Vec<u8>> {
    if !std::io::stdin().is_terminal() {
        let mut line = String::new();
        let _ = std::io::stdout().flush();
        return match std::io::stdin().read_line(&mut line) {
            Ok(_) => Ok(line.trim_end_matches('\n').into()),
            Err(_) => Err(Stop::Exit(1)),
        };
    }
    let config = Config::builder().auto_add_history(false).color_mode(ColorMode::Forced).build();
    let history = MemHistory::with_config(&config);
    let mut editor = Editor::with_history(config, history).map_err(|error| cannot_edit(&error))?;
    editor.set_helper(Some(Assistant { masked: true, ..Assistant::default() }));
    match editor.readline(question) {
        Ok(line) => Ok(line.into_bytes()),
        Err(_) => Err(Stop::Exit(1)),
    }
}
