//! Redis's wire format, without a socket: requests are found in bytes, replies are put into
//! bytes.
//!
//! ```text
//! bytes ─► Parser ─► Batch of requests (spans, no copies) ─► … ─► OutBuf ─► bytes
//! ```
//!
//! A whole pipeline is parsed before its first request runs, so that the engine can hash and
//! prefetch the keys of all of them. What a command means is not known here.
#![forbid(unsafe_code)]

mod args;
mod out;
pub mod reply;
mod request;

pub use args::{Args, OwnedArgs};
pub use out::{Bulks, Mark, OutBuf, Proto, push_request};
pub use request::{Batch, FillEnd, Limits, Parser, ProtocolError, Span, split_line};
