//! What TLS needs of text: certificates and keys out of PEM, suites out of OpenSSL's names, and
//! whom to trust.
//!
//! ```text
//! PEM ─► certificates, private_key ─► Identity ─┐
//! PEM ─► certificates ─► Trust (roots) ─────────┼─► rustls's configurations (server, client)
//! "ECDHE+AESGCM:!CHACHA20" ─► Choice::of ───────┘
//! ```
//!
//! The rules are those of Redis with OpenSSL where rustls can follow them: the name in a
//! certificate is not compared with the host, a certificate of version 1 counts when a trusted
//! authority has signed it, and key files may be locked with a password. What rustls lacks on
//! purpose (TLS before 1.2, CBC ciphers, key exchange without forward secrecy) is refused with an
//! error that says so.
//!
//! No file is read here and no clock either: texts come in, values go out.
#![forbid(unsafe_code)]

mod choice;
mod der;
mod identity;
mod locked_key;
mod trust;

pub use choice::Choice;
pub use identity::{Identity, certificates, private_key};
pub use trust::{Demand, Trust};
