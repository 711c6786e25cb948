//! The errors that clients see: every wire text of a command's failure, in one place.
//!
//! The client's mistake is an [`ErrorReply`]. A peer's or a disk's failure is not: it is logged
//! where it is handled. Our own bug is a failed assert.

use std::borrow::Cow;
use std::fmt;

use tandem_base::up_to_nul;

/// What a command returns: nothing (its reply has been written) or the error to reply.
pub type Outcome = Result<(), ErrorReply>;

/// An error reply, its code word included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorReply {
    /// The key holds another type.
    WrongType,
    /// An argument or value is not a 64-bit integer.
    NotInteger,
    /// An argument or value is not a float.
    NotFloat,
    /// The options make no sense.
    Syntax,
    /// The key must exist.
    NoSuchKey,
    /// An index or offset is outside its range.
    OutOfRange,
    /// Adding would leave 64 bits.
    Overflow,
    /// Adding would give no finite number.
    NanOrInfinity,
    /// The value would be longer than `proto-max-bulk-len`.
    StringTooLong,
    /// No such database.
    DbOutOfRange,
    /// An expiry that cannot be; holds the command's name.
    InvalidExpire(&'static str),
    /// Wrong number of arguments; holds the full command name.
    WrongArity(&'static str),
    /// No such subcommand.
    UnknownSubcommand {
        /// As typed, shortened to 128 bytes.
        subcommand: Vec<u8>,
        /// What the client calls the container, in upper case.
        command: String,
    },
    /// A write against a read-only replica.
    ReadOnly,
    /// The link is down and stale data are not to be served.
    MasterDown,
    /// Not enough good replicas.
    NoReplicas,
    /// The dataset is being loaded.
    Loading,
    /// Writes are stopped because the last background save failed.
    Misconf,
    /// More memory is used than `maxmemory`, and nothing may go.
    OutOfMemory,
    /// The connection has been ended because clients hold too much memory: no reply at all.
    Evicted,
    /// Not authenticated.
    NoAuth,
    /// Wrong user or password.
    WrongPass,
    /// EXEC after a command that could not be queued.
    ExecAbort,
    /// Anything else, said where it happens. Bytes, for it may hold what a client sent.
    Text(Cow<'static, [u8]>),
}

impl ErrorReply {
    /// An error whose text is only said in one place.
    pub const fn text(text: &'static str) -> ErrorReply {
        ErrorReply::Text(Cow::Borrowed(text.as_bytes()))
    }

    /// An error with a text made up for the occasion.
    pub fn owned(text: impl Into<Vec<u8>>) -> ErrorReply {
        ErrorReply::Text(Cow::Owned(text.into()))
    }

    /// An error that repeats what a client sent, byte by byte up to the first NUL, between two
    /// pieces of text.
    pub fn quoting(before: &str, sent: &[u8], after: &str) -> ErrorReply {
        ErrorReply::owned([before.as_bytes(), up_to_nul(sent), after.as_bytes()].concat())
    }

    /// The text as clients get it, its code word included. [`fmt::Display`] is for logs: there
    /// what is not UTF-8 is replaced.
    pub fn to_bytes(&self) -> Cow<'_, [u8]> {
        match self {
            ErrorReply::Text(text) => Cow::Borrowed(text),
            ErrorReply::UnknownSubcommand { subcommand, command } => {
                let after = format!("'. Try {command} HELP.");
                Cow::Owned(
                    [b"ERR unknown subcommand '", &subcommand[..], after.as_bytes()].concat(),
                )
            }
            other => Cow::Owned(other.to_string().into_bytes()),
        }
    }
}

impl fmt::Display for ErrorReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorReply::WrongType => {
                "WRONGTYPE Operation against a key holding the wrong kind of value"
            }
            ErrorReply::NotInteger => "ERR value is not an integer or out of range",
            ErrorReply::NotFloat => "ERR value is not a valid float",
            ErrorReply::Syntax => "ERR syntax error",
            ErrorReply::NoSuchKey => "ERR no such key",
            ErrorReply::OutOfRange => "ERR index out of range",
            ErrorReply::Overflow => "ERR increment or decrement would overflow",
            ErrorReply::NanOrInfinity => "ERR increment would produce NaN or Infinity",
            ErrorReply::StringTooLong => {
                "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
            }
            ErrorReply::DbOutOfRange => "ERR DB index is out of range",
            ErrorReply::InvalidExpire(name) => {
                return write!(f, "ERR invalid expire time in '{name}' command");
            }
            ErrorReply::WrongArity(name) => {
                return write!(f, "ERR wrong number of arguments for '{name}' command");
            }
            ErrorReply::ReadOnly => "READONLY You can't write against a read only replica.",
            ErrorReply::MasterDown => {
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
            }
            ErrorReply::NoReplicas => "NOREPLICAS Not enough good replicas to write.",
            ErrorReply::Loading => "LOADING Redis is loading the dataset in memory",
            ErrorReply::Misconf => {
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to \
                 persist to disk. Commands that may modify the data set are disabled, because \
                 this instance is configured to report errors during writes if RDB snapshotting \
                 fails (stop-writes-on-bgsave-error option). Please check the Redis logs for \
                 details about the RDB error."
            }
            ErrorReply::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
            ErrorReply::Evicted => "ERR the connection has been ended",
            ErrorReply::NoAuth => "NOAUTH Authentication required.",
            ErrorReply::WrongPass => {
                "WRONGPASS invalid username-password pair or user is disabled."
            }
            ErrorReply::ExecAbort => "EXECABORT Transaction discarded because of previous errors.",
            ErrorReply::UnknownSubcommand { .. } | ErrorReply::Text(_) => {
                return f.write_str(&String::from_utf8_lossy(&self.to_bytes()));
            }
        })
    }
}
