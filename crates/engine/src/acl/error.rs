//! Why a rule cannot be applied, in Redis's words.

use std::fmt;

/// What is wrong with a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// No such command or category.
    UnknownCommand,
    /// The rule makes no sense.
    Syntax,
    /// A key pattern where all keys are allowed already.
    KeysAfterAll,
    /// A channel pattern where all channels are allowed already.
    ChannelsAfterAll,
    /// The password to remove is not there.
    NoSuchPassword,
    /// Not 64 hexadecimal digits in lower case.
    BadHash,
    /// A user is defined twice.
    DuplicateUser,
    /// `+container|subcommand|argument`
    FirstArgOfSubcommand,
    /// A parenthesis does not end. Redis has no text of its own for it in a configuration file.
    OpenParenthesis,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RuleError::UnknownCommand => "Unknown command or category name in ACL",
            RuleError::Syntax => "Syntax error",
            RuleError::KeysAfterAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and \
                 does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            RuleError::ChannelsAfterAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and \
                 does not have any effect. Try 'resetchannels' to start with an empty list of \
                 channels"
            }
            RuleError::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            RuleError::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase \
                 hexadecimal characters"
            }
            RuleError::DuplicateUser => {
                "Duplicate user found. A user can only be defined once in config files"
            }
            RuleError::FirstArgOfSubcommand => {
                "Allowing first-arg of a subcommand is not supported"
            }
            RuleError::OpenParenthesis => "Wrong format",
        })
    }
}
