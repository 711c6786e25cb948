//! The types behind directives that take one of a few words.

/// Declares an enum whose variants have names in `redis.conf`; the first name of a variant is
/// the one that is shown. Messages list the names in the order given here.
macro_rules! choices {
    ($(
        $(#[$meta:meta])*
        $type:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $($name:literal)|+, )+
        }
    )+) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum $type {
            $( $(#[$variant_meta])* $variant, )+
        }

        impl $type {
            pub(super) const NAMES: &[(&str, u32)] =
                &[$( $( ($name, $type::$variant as u32), )+ )+];

            pub(crate) const fn bits(self) -> u32 {
                self as u32
            }

            pub(crate) fn from_bits(bits: u32) -> $type {
                $( if bits == $type::$variant as u32 { return $type::$variant; } )+
                unreachable!("only names of the list are stored, not {bits}")
            }

            /// The name as CONFIG GET and INFO show it.
            pub fn name(self) -> &'static str {
                super::value::choice_name(Self::NAMES, self.bits())
            }
        }
    )+ };
}

choices! {
    /// Rights on channels that a new user starts with.
    AclPubsub {
        /// All channels.
        AllChannels = "allchannels",
        /// None.
        ResetChannels = "resetchannels",
    }

    /// Who may do something that is off by default.
    AllowedFrom {
        /// Nobody.
        No = "no",
        /// Everybody.
        Yes = "yes",
        /// Clients on this machine.
        Local = "local",
    }

    /// When the append-only file is flushed to the disk.
    AppendFsync {
        /// Once a second.
        EverySecond = "everysec",
        /// Before each reply.
        Always = "always",
        /// When the kernel likes to.
        No = "no",
    }

    /// When a replica loads a full resync straight from the socket.
    DisklessLoad {
        /// Never: by way of a file.
        Disabled = "disabled",
        /// When it holds no data that could be lost.
        OnEmptyDb = "on-empty-db",
        /// Always, beside the old data, which are kept until the new are complete.
        SwapDb = "swapdb",
    }

    /// What a cluster tells clients as a node's address.
    Endpoint {
        /// Its IP address.
        Ip = "ip",
        /// Its host name.
        Hostname = "hostname",
        /// Nothing.
        UnknownEndpoint = "unknown-endpoint",
    }

    /// Which keys are evicted when memory is used up.
    EvictionPolicy {
        /// Those with an expiry that were not used for longest.
        VolatileLru = "volatile-lru",
        /// Those with an expiry that are used least.
        VolatileLfu = "volatile-lfu",
        /// Any with an expiry.
        VolatileRandom = "volatile-random",
        /// Those that expire first.
        VolatileTtl = "volatile-ttl",
        /// Those that were not used for longest.
        AllkeysLru = "allkeys-lru",
        /// Those that are used least.
        AllkeysLfu = "allkeys-lfu",
        /// Any.
        AllkeysRandom = "allkeys-random",
        /// None: writes are refused.
        NoEviction = "noeviction",
    }

    /// How important a message of the log is.
    LogLevel {
        /// For those who work on the server.
        Debug = "debug",
        /// Rarely of use.
        Verbose = "verbose",
        /// What one wants to know in production.
        Notice = "notice",
        /// What one must know.
        Warning = "warning",
    }

    /// How this process's score with the kernel's out-of-memory killer is adjusted.
    OomScoreAdj {
        /// Not at all.
        No = "no",
        /// Relative to the score at the start.
        Relative = "yes" | "relative",
        /// To the values themselves.
        Absolute = "absolute",
    }

    /// What happens when a replicated command fails.
    PropagationError {
        /// It is counted.
        Ignore = "ignore",
        /// The process stops.
        Panic = "panic",
        /// The process stops if it is a replica.
        PanicOnReplicas = "panic-on-replicas",
    }

    /// Whether values are verified in depth when they are loaded or restored.
    SanitizeDump {
        /// Never.
        No = "no",
        /// Always.
        Yes = "yes",
        /// When they come from clients.
        Clients = "clients",
    }

    /// The supervisor that started this process.
    Supervised {
        /// Upstart: stop once when ready.
        Upstart = "upstart",
        /// systemd: say `READY=1`.
        Systemd = "systemd",
        /// Whichever the environment names.
        Auto = "auto",
        /// None.
        No = "no",
    }

    /// Facilities of syslog.
    SyslogFacility {
        /// `LOG_USER`
        User = "user",
        /// `LOG_LOCAL0`
        Local0 = "local0",
        /// `LOG_LOCAL1`
        Local1 = "local1",
        /// `LOG_LOCAL2`
        Local2 = "local2",
        /// `LOG_LOCAL3`
        Local3 = "local3",
        /// `LOG_LOCAL4`
        Local4 = "local4",
        /// `LOG_LOCAL5`
        Local5 = "local5",
        /// `LOG_LOCAL6`
        Local6 = "local6",
        /// `LOG_LOCAL7`
        Local7 = "local7",
    }

    /// Whether TLS clients must show a certificate.
    TlsAuthClients {
        /// They need none.
        No = "no",
        /// They need one.
        Yes = "yes",
        /// They may show one.
        Optional = "optional",
    }
}

/// A set of SHUTDOWN's options, for `shutdown-on-sigint` and `shutdown-on-sigterm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownOptions(u32);

impl ShutdownOptions {
    /// None: save if there are save points.
    pub const DEFAULT: ShutdownOptions = ShutdownOptions(0);
    /// Save even without save points.
    pub const SAVE: ShutdownOptions = ShutdownOptions(1);
    /// Do not save.
    pub const NOSAVE: ShutdownOptions = ShutdownOptions(2);
    /// Do not wait for replicas.
    pub const NOW: ShutdownOptions = ShutdownOptions(4);
    /// Stop even if saving fails.
    pub const FORCE: ShutdownOptions = ShutdownOptions(8);

    pub(super) const NAMES: &[(&str, u32)] =
        &[("default", 0), ("save", 1), ("nosave", 2), ("now", 4), ("force", 8)];

    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    pub(super) fn from_bits(bits: u32) -> ShutdownOptions {
        ShutdownOptions(bits)
    }

    /// Whether every option of `other` is here.
    pub fn has(self, other: ShutdownOptions) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub fn with(self, other: ShutdownOptions) -> ShutdownOptions {
        ShutdownOptions(self.0 | other.0)
    }
}
