//! Reading `redis.conf`: line by line, in order, the last word on a directive wins.
//!
//! An `include` is read where it stands, and `dir` is entered where it stands, so both reach
//! out through [`Outside`]. The rest is text to values.

use super::directive::Flags;
use super::table::Directive;
use super::value::parse;
use super::words::split_words;
use super::{CommandLine, Config, Name, find_name};
use crate::acl::check_user_line;
use std::borrow::Cow;
use tandem_base::REDIS_VERSION;

/// What reading a configuration needs of the machine and of the engine.
pub trait Outside {
    /// The joined text of the files that `pattern` names. With `*`, `?` or `[` in it, it is a
    /// pattern, and matching nothing is not an error.
    ///
    /// # Errors
    /// The file that cannot be read.
    fn read_files(&mut self, pattern: &[u8]) -> Result<Vec<u8>, Unreadable>;

    /// Everything on standard input.
    ///
    /// # Errors
    /// The system's words.
    fn read_stdin(&mut self) -> Result<Vec<u8>, Unreadable>;

    /// Makes `dir` the working folder.
    ///
    /// # Errors
    /// The system's words, as `No such file or directory`.
    fn change_dir(&mut self, dir: &[u8]) -> Result<(), String>;

    /// The working folder, absolute.
    fn current_dir(&self) -> Vec<u8>;

    /// Makes sure that the log can be appended to.
    ///
    /// # Errors
    /// The system's words.
    fn check_log_file(&mut self, path: &[u8]) -> Result<(), String>;

    /// Whether there is a command of this name, in any case.
    fn is_command(&self, name: &[u8]) -> bool;
}

/// A file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its path.
    pub path: Vec<u8>,
    /// The system's words.
    pub why: String,
}

/// An [`Outside`] without files, for simulated nodes: every folder and command exists, no file
/// does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nowhere;

impl Outside for Nowhere {
    fn read_files(&mut self, pattern: &[u8]) -> Result<Vec<u8>, Unreadable> {
        Err(Unreadable { path: pattern.into(), why: "No such file or directory".into() })
    }

    fn read_stdin(&mut self) -> Result<Vec<u8>, Unreadable> {
        Ok(Vec::new())
    }

    fn change_dir(&mut self, _dir: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn current_dir(&self) -> Vec<u8> {
        b"/".to_vec()
    }

    fn check_log_file(&mut self, _path: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn is_command(&self, _name: &[u8]) -> bool {
        true
    }
}

/// A line of a configuration file that somebody else understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLine {
    /// Its words; the first is in lower case.
    pub words: Vec<Vec<u8>>,
    /// Its number, from 1.
    pub number: usize,
    /// The line, without blanks around it.
    pub text: Vec<u8>,
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// A line is wrong.
    Line {
        /// Its number, from 1.
        number: usize,
        /// The line, without blanks around it.
        text: Vec<u8>,
        /// What is wrong.
        why: String,
    },
    /// The whole is wrong.
    Whole(String),
    /// A file cannot be read.
    Unreadable(Unreadable),
}

impl LoadError {
    /// The error for a line that was kept for somebody else to understand.
    pub fn at(line: &FileLine, why: String) -> LoadError {
        LoadError::Line { number: line.number, text: line.text.clone(), why }
    }

    /// What to tell the user before exiting with status 1. Redis logs the words of
    /// [`LoadError::Unreadable`] as a warning and writes the others to standard error.
    pub fn report(&self) -> Vec<u8> {
        let head = format!("\n*** FATAL CONFIG FILE ERROR (Redis {REDIS_VERSION}) ***\n");
        match self {
            LoadError::Line { number, text, why } => {
                let place = format!("Reading the configuration file, at line {number}\n>>> '");
                [head.as_bytes(), place.as_bytes(), text, b"'\n", why.as_bytes(), b"\n"].concat()
            }
            LoadError::Whole(why) => format!("{head}{why}\n").into(),
            LoadError::Unreadable(Unreadable { path, why }) => {
                let head = b"Fatal error, can't open config file '".as_slice();
                [head, path, b"': ", why.as_bytes(), b"\n"].concat()
            }
        }
    }
}

impl Config {
    /// Reads what a command line asks for: its file, then standard input, then its options.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn load(
        command_line: &CommandLine,
        outside: &mut dyn Outside,
    ) -> Result<Config, LoadError> {
        let mut text = Vec::new();
        if let Some(file) = &command_line.file {
            text.extend(outside.read_files(file).map_err(LoadError::Unreadable)?);
        }
        if command_line.stdin {
            if !text.is_empty() && !text.ends_with(b"\n") {
                text.push(b'\n');
            }
            text.extend(outside.read_stdin().map_err(LoadError::Unreadable)?);
        }
        text.push(b'\n');
        text.extend(&command_line.options);
        Config::load_text(&text, outside)
    }

    /// Reads a configuration from its text alone.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(text: &[u8]) -> Result<Config, LoadError> {
        Config::load_text(text, &mut Nowhere)
    }

    fn load_text(text: &[u8], outside: &mut dyn Outside) -> Result<Config, LoadError> {
        let config = Config::default();
        let mut loader = Loader { config, outside, save_seen: false, include_depth: 0 };
        loader.read(text)?;
        let Loader { mut config, outside, .. } = loader;
        config.set_dir(&outside.current_dir());
        Ok(config)
    }
}

/// Files that may include each other before it must be a circle.
const INCLUDE_DEPTH: usize = 32;

struct Loader<'a> {
    config: Config,
    outside: &'a mut dyn Outside,
    /// The first `save` of a configuration replaces the default; the others add to it.
    save_seen: bool,
    include_depth: usize,
}

/// What is wrong with a line, or, from an `include`, with another one.
enum Wrong {
    Here(Cow<'static, str>),
    Elsewhere(LoadError),
}

impl<T: Into<Cow<'static, str>>> From<T> for Wrong {
    fn from(why: T) -> Wrong {
        Wrong::Here(why.into())
    }
}

impl Loader<'_> {
    fn read(&mut self, text: &[u8]) -> Result<(), LoadError> {
        // A zero byte ends the text, as it does for Redis.
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = trim_line(line);
            self.line(index + 1, line).map_err(|wrong| match wrong {
                Wrong::Here(why) => {
                    LoadError::Line { number: index + 1, text: line.into(), why: why.into_owned() }
                }
                Wrong::Elsewhere(error) => error,
            })?;
        }
        self.check_whole()
    }

    fn line(&mut self, number: usize, line: &[u8]) -> Result<(), Wrong> {
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(());
        }
        let Some(mut words) = split_words(line) else {
            return Err("Unbalanced quotes in configuration line".into());
        };
        let Some(first) = words.first_mut() else { return Ok(()) };
        first.make_ascii_lowercase();
        match find_name(first) {
            Some(name) => self.directive(name, &words[1..]),
            None => self.other_line(FileLine { words, number, text: line.into() }),
        }
    }

    fn directive(&mut self, name: Name, arguments: &[Vec<u8>]) -> Result<(), Wrong> {
        let directive = name.directive;
        let split;
        let mut arguments = arguments;
        if directive.facts().flags.has(Flags::MULTI_ARG) {
            // `--save "3600 1 300 100"` is one argument that holds several.
            if let [all] = arguments
                && !all.is_empty()
            {
                split = split_words(all).unwrap_or_default();
                arguments = &split;
            }
        } else if arguments.len() != 1 {
            return Err("wrong number of arguments".into());
        }
        let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();

        let append_save_points = self.save_seen;
        let slot = &mut self.config.values[directive as usize];
        *slot = parse(directive, &arguments, slot, append_save_points)?;
        match directive {
            Directive::Save => self.save_seen = true,
            Directive::Dir => self.outside.change_dir(arguments[0])?,
            _ => {}
        }
        Ok(())
    }

    /// A line that no directive of the table begins.
    fn other_line(&mut self, line: FileLine) -> Result<(), Wrong> {
        const BAD: &str = "Bad directive or wrong number of arguments";
        let words: Vec<&[u8]> = line.words.iter().map(Vec::as_slice).collect();
        match words.as_slice() {
            // Once directives, now without meaning.
            [
                b"list-max-ziplist-entries" | b"list-max-ziplist-value" | b"lua-replicate-commands",
                _,
            ] => Ok(()),
            [b"include", pattern] => self.include(pattern),
            [b"rename-command", old, new] => self.rename_command(old, new),
            [b"user", _, ..] => {
                let defaults = self.config.acl_defaults();
                check_user_line(&line, &self.config.user_lines, defaults)?;
                self.config.user_lines.push(line);
                Ok(())
            }
            [b"loadmodule", path, ..] => Err(format!(
                "Can't load module from {}: modules are not supported",
                String::from_utf8_lossy(path)
            )
            .into()),
            [name] if name.contains(&b'.') => Err("Module config specified without value".into()),
            [name, ..] if name.contains(&b'.') => Err("Module Configuration detected without \
                loadmodule directive or no ApplyConfig call: aborting"
                .into()),
            // Alone it means nothing, as in Redis.
            [b"sentinel"] => Ok(()),
            [b"sentinel", ..] => Err("sentinel directive while not in sentinel mode".into()),
            _ => Err(BAD.into()),
        }
    }

    fn include(&mut self, pattern: &[u8]) -> Result<(), Wrong> {
        if self.include_depth == INCLUDE_DEPTH {
            return Err("Too many files that include each other".into());
        }
        let text = self
            .outside
            .read_files(pattern)
            .map_err(|unreadable| Wrong::Elsewhere(LoadError::Unreadable(unreadable)))?;
        self.include_depth += 1;
        let result = self.read(&text).map_err(Wrong::Elsewhere);
        self.include_depth -= 1;
        result
    }

    fn rename_command(&mut self, old: &[u8], new: &[u8]) -> Result<(), Wrong> {
        if !self.is_command_now(old) {
            return Err("No such command in rename-command".into());
        }
        if !new.is_empty() && !new.eq_ignore_ascii_case(old) && self.is_command_now(new) {
            return Err("Target command name already exists".into());
        }
        self.config.rename_commands.push((old.into(), new.into()));
        Ok(())
    }

    /// Whether there is a command of this name after the renames so far.
    fn is_command_now(&self, name: &[u8]) -> bool {
        let mut exists = self.outside.is_command(name);
        for (old, new) in &self.config.rename_commands {
            if new.eq_ignore_ascii_case(name) {
                exists = true;
            } else if old.eq_ignore_ascii_case(name) {
                exists = false;
            }
        }
        exists
    }

    /// What can only be judged at the end of a text.
    fn check_whole(&mut self) -> Result<(), LoadError> {
        let log_file = self.config.logfile();
        if !log_file.is_empty() {
            self.outside
                .check_log_file(log_file)
                .map_err(|why| LoadError::Whole(format!("Can't open the log file: {why}")))?;
        }
        if self.config.cluster_enabled() && self.config.replicaof().is_some() {
            let why = "replicaof directive not allowed in cluster mode";
            return Err(LoadError::Whole(why.into()));
        }
        Ok(())
    }
}

/// The line without the blanks around it.
pub(super) fn trim_line(line: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let Some(start) = line.iter().position(|byte| !is_blank(byte)) else { return &[] };
    let end = line.iter().rposition(|byte| !is_blank(byte)).expect("one is not blank");
    &line[start..=end]
}
