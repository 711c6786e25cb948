//! `--scan`: every key, by SCAN.

use std::sync::atomic::Ordering;

use tandem_base::num::parse_u64;
use tandem_resp::reply::ReplyValue;

use super::pause;
use crate::format::Output;
use crate::interrupt::stop_flag;
use crate::session::Session;
use crate::split::push_quoted;
use crate::text::{complain, flush, put};
use crate::{Step, Stop};

/// Prints the keys, one a line; quoted for people, as they are for pipes.
pub(super) fn list(session: &mut Session) -> Step<i32> {
    let stop = stop_flag();
    let output = session.options.output;
    let mut cursor = 0;
    loop {
        let (next, keys) = scan_step(session, cursor)?;
        let mut lines = Vec::new();
        for key in keys {
            match output {
                Output::Standard => push_quoted(&mut lines, &key),
                _ => lines.extend_from_slice(&key),
            }
            lines.push(b'\n');
        }
        // One write for each batch.
        put(lines)?;
        flush()?;
        pause(session.options.interval_us);
        if next == 0 || stop.load(Ordering::Relaxed) {
            return Ok(0);
        }
        cursor = next;
    }
}

/// One SCAN from `cursor` with the user's pattern and count: the next cursor and the keys.
pub(super) fn scan_step(session: &mut Session, cursor: u64) -> Step<(u64, Vec<Vec<u8>>)> {
    let mut args = vec![b"SCAN".to_vec(), cursor.to_string().into_bytes()];
    if let Some(pattern) = &session.options.pattern {
        args.extend([b"MATCH".to_vec(), pattern.clone()]);
    }
    if let Some(count) = session.options.scan_count {
        args.extend([b"COUNT".to_vec(), count.to_string().into_bytes()]);
    }
    let reply = session.ask(&args).map_err(|_| Stop::Exit(1))?;
    if let Some(error) = reply.as_error() {
        complain([b"SCAN error: ", error].concat());
        return Err(Stop::Exit(1));
    }
    match reply.as_slice() {
        None => complain("Non ARRAY response from SCAN!"),
        Some([next, ReplyValue::Array(keys)]) => {
            if let Some(next) = next.as_bytes().and_then(parse_u64) {
                let keys = keys.iter().filter_map(ReplyValue::as_bytes).map(<[u8]>::to_vec);
                return Ok((next, keys.collect()));
            }
            complain("Invalid cursor from SCAN!");
        }
        Some(_) => complain("Invalid element count from SCAN!"),
    }
    Err(Stop::Exit(1))
}
