//! Log lines as values: the machines say what is worth a line, the driver writes it.
//!
//! The texts are Redis's, word for word: people and their tools search for them.

/// How loud a line is; Redis's four levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `.`
    Debug,
    /// `-`
    Verbose,
    /// `*`
    Notice,
    /// `#`
    Warning,
}

/// One line for the log, without time, process and role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How loud it is.
    pub level: Level,
    /// What it says.
    pub text: String,
}

impl LogLine {
    /// A line at level notice.
    pub fn notice(text: impl Into<String>) -> LogLine {
        LogLine { level: Level::Notice, text: text.into() }
    }

    /// A line at level warning.
    pub fn warning(text: impl Into<String>) -> LogLine {
        LogLine { level: Level::Warning, text: text.into() }
    }
}
