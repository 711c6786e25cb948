//! `--stat`: a line of figures from INFO every second.

use super::{ask_patiently, pause};
use crate::session::Session;
use crate::text::{complain, flush, put};
use crate::{Step, Stop};

/// The heading comes again after so many lines.
const LINES_PER_HEADING: u32 = 20;
const HEADING: &str = "------- data ------ --------------------- load -------------------- - child -\n\
     keys       mem      clients blocked requests            connections          \n";
const DEFAULT_INTERVAL_US: i64 = 1_000_000;

/// Prints lines until the program is ended.
pub(super) fn watch(session: &mut Session) -> Step<i32> {
    let interval = match session.options.interval_us {
        0 => DEFAULT_INTERVAL_US,
        asked => asked,
    };
    let mut line_number = 0u32;
    let mut requests_before = 0;
    loop {
        let reply = ask_patiently(session, &["INFO"])?;
        if let Some(error) = reply.as_error() {
            complain([b"ERROR: ", error].concat());
            return Err(Stop::Exit(1));
        }
        let info = String::from_utf8_lossy(reply.as_bytes().unwrap_or_default()).into_owned();
        if line_number.is_multiple_of(LINES_PER_HEADING) {
            put(HEADING)?;
        }
        line_number += 1;
        let requests = number(&info, "total_commands_processed");
        let more = if requests_before == 0 { 0 } else { requests - requests_before };
        requests_before = requests;
        put(line(&info, requests, more))?;
        flush()?;
        pause(interval);
    }
}

fn line(info: &str, requests: i64, more: i64) -> String {
    let keys: i64 = (0..20).map(|db| keys_of(info, db)).sum();
    let child = match (
        number(info, "rdb_bgsave_in_progress"),
        number(info, "aof_rewrite_in_progress"),
        number(info, "loading"),
    ) {
        (1, 0, 0) => "SAVE",
        (0, 1, 0) => "AOF",
        (1, 1, 0) => "SAVE+AOF",
        (0, 0, 1) => "LOAD",
        _ => "",
    };
    let requests = format!("{requests} (+{more})");
    format!(
        "{keys:<11}{:<8} {:<8}{:<8}{requests:<19} {:<12}{child}\n",
        human(number(info, "used_memory")),
        number(info, "connected_clients"),
        number(info, "blocked_clients"),
        number(info, "total_connections_received"),
    )
}

/// The value of a field of INFO.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// The number in a field, 0 when it is not there.
fn number(info: &str, name: &str) -> i64 {
    field(info, name).and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

fn keys_of(info: &str, db: u32) -> i64 {
    let keys = field(info, &format!("db{db}"))
        .and_then(|value| value.strip_prefix("keys=")?.split(',').next()?.parse().ok());
    keys.unwrap_or(0)
}

/// Bytes as 100B, 4.00K, 2.50M, 1.00G.
fn human(bytes: i64) -> String {
    let mut value = bytes as f64;
    if bytes.unsigned_abs() < 1024 {
        return format!("{bytes}B");
    }
    for unit in ["K", "M", "G"] {
        value /= 1024.0;
        if value.abs() < 1024.0 {
            return format!("{value:.2}{unit}");
        }
    }
    format!("{:.2}T", value / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_adds_up_the_databases() {
        let info = "used_memory_rss:9\r\nused_memory:2621440\r\nconnected_clients:7\r\n\
                    rdb_bgsave_in_progress:1\r\ndb0:keys=3,expires=0\r\ndb15:keys=4,expires=1\r\n";
        assert_eq!(
            line(info, 12, 2),
            "7          2.50M    7       0       12 (+2)             0           SAVE\n"
        );
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(1 << 40), "1.00T");
    }
}
