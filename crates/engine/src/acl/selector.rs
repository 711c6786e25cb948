//! A selector: commands, keys and channels that go together. A user has one, and more in
//! parentheses; a command may run if one of them allows all of it.

use super::categories::{self, CommandId};
use super::commands::{self, Commands};
use super::error::RuleError;
use super::user::Defaults;
use crate::glob;

/// What may be done with the keys that fit a pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Access {
    /// Their values may be read.
    pub read: bool,
    /// They may be changed.
    pub write: bool,
}

impl Access {
    const BOTH: Access = Access { read: true, write: true };

    /// Whether what is asked for is within this.
    fn covers(self, asked: Access) -> bool {
        (self.read || !asked.read) && (self.write || !asked.write)
    }
}

/// Keys by a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyPattern {
    access: Access,
    pattern: Vec<u8>,
}

impl KeyPattern {
    fn push_rule(&self, rules: &mut Vec<u8>) {
        assert!(self.access != Access::default(), "a pattern allows something");
        rules.extend_from_slice(match self.access {
            Access::BOTH => b"~",
            Access { read: true, .. } => b"%R~",
            Access { .. } => b"%W~",
        });
        rules.extend_from_slice(&self.pattern);
    }
}

/// What a command does with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelUse {
    /// Names it.
    Plain,
    /// Subscribes to a pattern, which must stand in the rules letter by letter.
    Pattern,
}

/// Commands, keys and channels that go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    pub(super) commands: Commands,
    all_keys: bool,
    keys: Vec<KeyPattern>,
    all_channels: bool,
    channels: Vec<Vec<u8>>,
}

impl Selector {
    /// Nothing is allowed, but for what `acl-pubsub-default` says of channels.
    pub(super) fn new(defaults: Defaults) -> Selector {
        Selector {
            commands: Commands::NONE,
            all_keys: false,
            keys: Vec::new(),
            all_channels: defaults.all_channels,
            channels: Vec::new(),
        }
    }

    /// Whether nothing is forbidden.
    pub(super) fn is_unlimited(&self) -> bool {
        self.commands.is_all() && self.all_keys && self.all_channels
    }

    /// Whether every key may be used for everything.
    pub(super) fn has_all_keys(&self) -> bool {
        self.all_keys
    }

    /// Whether every channel may be used.
    pub(super) fn has_all_channels(&self) -> bool {
        self.all_channels
    }

    /// The patterns of channels.
    pub(super) fn channels(&self) -> &[Vec<u8>] {
        &self.channels
    }

    /// Whether a key may be used so.
    pub(super) fn allows_key(&self, key: &[u8], asked: Access) -> bool {
        let allows =
            |one: &KeyPattern| one.access.covers(asked) && glob::matches(&one.pattern, key);
        self.all_keys || self.keys.iter().any(allows)
    }

    /// Whether a channel may be used so.
    pub(super) fn allows_channel(&self, channel: &[u8], how: ChannelUse) -> bool {
        self.all_channels || channel_is_in(&self.channels, channel, how)
    }

    /// Changes the selector as one rule says; `notes` takes what to log.
    pub(super) fn apply(&mut self, rule: &[u8], notes: &mut Vec<String>) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        match rule {
            _ if is("allkeys") || is("~*") => (self.all_keys, self.keys) = (true, Vec::new()),
            _ if is("resetkeys") => (self.all_keys, self.keys) = (false, Vec::new()),
            _ if is("allchannels") || is("&*") => self.set_all_channels(true),
            _ if is("resetchannels") => self.set_all_channels(false),
            _ if is("allcommands") || is("+@all") => self.commands.set_all(true),
            _ if is("nocommands") || is("-@all") => self.commands.set_all(false),
            [b'~' | b'%', ..] => self.add_key_pattern(rule)?,
            [b'&', channel @ ..] => self.add_channel(channel)?,
            [sign @ (b'+' | b'-'), b'@', name @ ..] => {
                let category = categories::category(name).ok_or(RuleError::UnknownCommand)?;
                self.commands.set_category(category, *sign == b'+');
            }
            [b'+', name @ ..] => self.add_command(name, notes)?,
            [b'-', name @ ..] => {
                let id = categories::find(name).ok_or(RuleError::UnknownCommand)?;
                self.commands.set(id, false);
            }
            _ => return Err(RuleError::Syntax),
        }
        Ok(())
    }

    fn set_all_channels(&mut self, on: bool) {
        (self.all_channels, self.channels) = (on, Vec::new());
    }

    /// `~pattern`, `%R~pattern`, `%W~pattern`, `%RW~pattern`
    fn add_key_pattern(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::KeysAfterAll);
        }
        let (access, pattern) = match rule {
            [b'%', rest @ ..] => parse_access(rest)?,
            _ => (Access::BOTH, &rule[1..]),
        };
        if has_blanks(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|known| known.pattern == pattern) {
            Some(KeyPattern { access: known, .. }) => {
                known.read |= access.read;
                known.write |= access.write;
            }
            None => self.keys.push(KeyPattern { access, pattern: pattern.to_vec() }),
        }
        Ok(())
    }

    fn add_channel(&mut self, channel: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::ChannelsAfterAll);
        }
        if has_blanks(channel) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| known == channel) {
            self.channels.push(channel.to_vec());
        }
        Ok(())
    }

    /// `+command`, `+container|subcommand`, `+command|first-arg`
    fn add_command(&mut self, name: &[u8], notes: &mut Vec<String>) -> Result<(), RuleError> {
        let find = |name| categories::find(name).ok_or(RuleError::UnknownCommand);
        let Some(bar) = memchr::memrchr(b'|', name) else {
            self.commands.set(find(name)?, true);
            return Ok(());
        };
        let (command, arg) = (&name[..bar], &name[bar + 1..]);
        let id: CommandId = find(command)?;
        if command.contains(&b'|') {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        // A line break in it would be another user's line in the ACL file.
        if arg.is_empty() || has_blanks(arg) {
            return Err(RuleError::Syntax);
        }
        if commands::is_container(id) {
            self.commands.set(find(name)?, true);
            return Ok(());
        }
        notes.push(format!(
            "Deprecation warning: Allowing a first arg of an otherwise blocked command is a misuse \
             of ACL and may get disabled in the future (offender: +{})",
            String::from_utf8_lossy(name)
        ));
        self.commands.add_first_arg(id, arg);
        Ok(())
    }

    /// The rules of the commands, separated by blanks.
    pub fn describe_commands(&self) -> Vec<u8> {
        self.commands.describe()
    }

    /// The rules of the keys, separated by blanks.
    pub fn describe_keys(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let mut rules = Vec::new();
        for (index, key) in self.keys.iter().enumerate() {
            rules.extend_from_slice(if index > 0 { b" " } else { b"" });
            key.push_rule(&mut rules);
        }
        rules
    }

    /// The rules of the channels, separated by blanks.
    pub fn describe_channels(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let rules: Vec<_> =
            self.channels.iter().map(|channel| [b"&", channel.as_slice()].concat()).collect();
        rules.join(b" ".as_slice())
    }

    /// All rules, as ACL LIST shows them.
    pub(super) fn describe(&self) -> Vec<u8> {
        let mut rules = self.describe_keys();
        if !rules.is_empty() {
            rules.push(b' ');
        }
        if !self.all_channels {
            rules.extend_from_slice(b"resetchannels ");
        }
        let channels = self.describe_channels();
        if !channels.is_empty() {
            rules.extend_from_slice(&channels);
            rules.push(b' ');
        }
        rules.extend(self.describe_commands());
        rules
    }
}

/// Whether a channel is within a list of patterns.
pub(super) fn channel_is_in(patterns: &[Vec<u8>], channel: &[u8], how: ChannelUse) -> bool {
    patterns.iter().any(|pattern| match how {
        ChannelUse::Plain => glob::matches(pattern, channel),
        ChannelUse::Pattern => pattern == channel,
    })
}

/// Reads `R~…`, `W~…` or `RW~…`; as in Redis, what ends before its `~` has an empty pattern.
fn parse_access(rule: &[u8]) -> Result<(Access, &[u8]), RuleError> {
    let mut access = Access::default();
    let mut rest = rule;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte.to_ascii_uppercase() {
            b'R' if !access.read => access.read = true,
            b'W' if !access.write => access.write = true,
            b'~' => break,
            _ => return Err(RuleError::Syntax),
        }
    }
    if access == Access::default() {
        return Err(RuleError::Syntax);
    }
    Ok((access, rest))
}

/// Whether a name or pattern could not be written into a line and read again.
pub(crate) fn has_blanks(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0))
}
