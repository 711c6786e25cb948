//! INFO turned into Prometheus's text form.

use std::fmt::Write as _;

use super::names::{FIELDS, Kind};

/// What INFO does not say.
pub(super) struct Own {
    /// Number of databases: the empty ones are shown too.
    pub databases: u32,
    /// `maxclients` and `maxmemory`.
    pub limits: (u32, u64),
    /// `io-threads`, which has no effect.
    pub io_threads: u32,
    /// When the server started, in seconds since 1970.
    pub start: i64,
    /// Entries of the slow log.
    pub slow_count: usize,
    /// The last one's number and how long it took, in µs; zeros if there is none.
    pub last_slow: (u64, u64),
}

/// The whole text.
pub(super) fn of_info(info: &str, own: &Own) -> String {
    let fields: Vec<(&str, &str)> = info.lines().filter_map(|line| line.split_once(':')).collect();
    let find = |name: &str| fields.iter().find(|(field, _)| *field == name).map(|(_, text)| *text);
    let mut out = String::with_capacity(32 << 10);
    family(&mut out, "up", Kind::Gauge, "Whether the server answers.");
    sample(&mut out, "up", "", "1");
    for row in FIELDS {
        if let Some(value) = find(row.field).and_then(number) {
            family(&mut out, row.name, row.kind, &format!("INFO's {}.", row.field));
            sample(&mut out, row.name, "", &value);
        }
    }
    instance(&mut out, &find);
    replication(&mut out, &fields, &find);
    databases(&mut out, &find, own);
    commands(&mut out, &fields);
    errors(&mut out, &fields);
    latencies(&mut out, &fields);
    let seconds = |us: u64| (us as f64 / 1e6).to_string();
    let (clients, memory) = own.limits;
    let (slow_id, slow_us) = own.last_slow;
    let fork_us = find("latest_fork_usec").and_then(|text| text.parse().ok()).unwrap_or(0);
    let more = [
        ("config_maxclients", "The limit of clients.", clients.to_string()),
        ("config_maxmemory", "The limit of memory, in bytes; 0 is none.", memory.to_string()),
        ("config_io_threads", "What io-threads says.", own.io_threads.to_string()),
        ("start_time_seconds", "When the server started.", own.start.to_string()),
        ("latest_fork_seconds", "How long the last fork took.", seconds(fork_us)),
        ("slowlog_length", "Entries of the slow log.", own.slow_count.to_string()),
        ("slowlog_last_id", "The number of the slow log's last entry.", slow_id.to_string()),
        (
            "last_slow_execution_duration_seconds",
            "How long the slow log's last command took.",
            seconds(slow_us),
        ),
    ];
    for (name, help, value) in more {
        family(&mut out, name, Kind::Gauge, help);
        sample(&mut out, name, "", &value);
    }
    out
}

fn family(out: &mut String, name: &str, kind: Kind, help: &str) {
    let kind = match kind {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
        Kind::Summary => "summary",
    };
    let _ = write!(out, "# HELP redis_{name} {help}\n# TYPE redis_{name} {kind}\n");
}

fn sample(out: &mut String, name: &str, labels: &str, value: &str) {
    let _ = if labels.is_empty() {
        writeln!(out, "redis_{name} {value}")
    } else {
        writeln!(out, "redis_{name}{{{labels}}} {value}")
    };
}

/// `name="value"`, with what the form asks to be written otherwise.
fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

/// A value of INFO as a number: `ok`, `up` and the like are 1, their opposites 0.
fn number(text: &str) -> Option<String> {
    match text {
        "ok" | "up" | "yes" => Some("1".to_owned()),
        "err" | "fail" | "down" | "no" => Some("0".to_owned()),
        text => text.parse::<f64>().ok().filter(|n| n.is_finite()).map(|_| text.to_owned()),
    }
}

/// The part `name` of `a=1,b=2`.
fn part<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(',').filter_map(|part| part.split_once('=')).find(|(n, _)| *n == name).map(|p| p.1)
}

fn instance<'a>(out: &mut String, find: &impl Fn(&str) -> Option<&'a str>) {
    let names = [
        "maxmemory_policy",
        "os",
        "process_id",
        "redis_build_id",
        "redis_mode",
        "redis_version",
        "role",
        "run_id",
        "tcp_port",
        "tandem_version",
    ];
    let labels: Vec<String> =
        names.iter().map(|name| label(name, find(name).unwrap_or_default())).collect();
    family(out, "instance_info", Kind::Gauge, "Who this server is.");
    sample(out, "instance_info", &labels.join(","), "1");
}

fn replication<'a>(
    out: &mut String,
    fields: &[(&str, &str)],
    find: &impl Fn(&str) -> Option<&'a str>,
) {
    let is_replica =
        |name: &str| name.strip_prefix("slave").is_some_and(|n| n.parse::<u32>().is_ok());
    let replicas: Vec<&str> =
        fields.iter().filter(|(name, _)| is_replica(name)).map(|(_, text)| *text).collect();
    for (name, of, help) in [
        ("connected_slave_offset_bytes", "offset", "The offset that a replica has acknowledged."),
        ("connected_slave_lag_seconds", "lag", "Seconds since a replica's last acknowledgement."),
    ] {
        if replicas.is_empty() {
            break;
        }
        family(out, name, Kind::Gauge, help);
        for text in &replicas {
            let get = |part_name| part(text, part_name).unwrap_or_default();
            // One sample that is no number would cost the scraper all the others.
            let Some(value) = number(get(of)) else { continue };
            let labels = [
                label("slave_ip", get("ip")),
                label("slave_port", get("port")),
                label("slave_state", get("state")),
            ];
            sample(out, name, &labels.join(","), &value);
        }
    }
    let (Some(host), Some(port)) = (find("master_host"), find("master_port")) else { return };
    let labels = [label("master_host", host), label("master_port", port)].join(",");
    for (name, field, help) in [
        ("master_link_up", "master_link_status", "Whether the link to the master is up."),
        (
            "master_last_io_seconds_ago",
            "master_last_io_seconds_ago",
            "Seconds since the master last sent something.",
        ),
        (
            "master_sync_in_progress",
            "master_sync_in_progress",
            "Whether a full synchronisation goes on.",
        ),
        ("slave_repl_offset", "slave_repl_offset", "The offset up to which the stream was taken."),
    ] {
        if let Some(value) = find(field).and_then(number) {
            family(out, name, Kind::Gauge, help);
            sample(out, name, &labels, &value);
        }
    }
    let read_only = find("slave_read_only").unwrap_or_default();
    let labels = [labels, label("read_only", read_only)].join(",");
    family(out, "slave_info", Kind::Gauge, "Whose replica this is.");
    sample(out, "slave_info", &labels, "1");
}

fn databases<'a>(out: &mut String, find: &impl Fn(&str) -> Option<&'a str>, own: &Own) {
    for (name, of, help) in [
        ("db_keys", "keys", "Keys of a database."),
        ("db_keys_expiring", "expires", "Keys of a database that have a time to live."),
    ] {
        family(out, name, Kind::Gauge, help);
        for db in 0..own.databases {
            let db = format!("db{db}");
            let value = find(&db).and_then(|text| part(text, of)).unwrap_or("0");
            sample(out, name, &label("db", &db), value);
        }
    }
    family(out, "db_avg_ttl_seconds", Kind::Gauge, "Mean time to live of such keys.");
    for db in 0..own.databases {
        let db = format!("db{db}");
        let Some(ms) = find(&db).and_then(|text| part(text, "avg_ttl")) else { continue };
        let seconds = ms.parse::<f64>().unwrap_or(0.0) / 1000.0;
        sample(out, "db_avg_ttl_seconds", &label("db", &db), &seconds.to_string());
    }
}

fn commands(out: &mut String, fields: &[(&str, &str)]) {
    let all: Vec<(&str, &str)> = fields
        .iter()
        .filter_map(|(name, text)| Some((name.strip_prefix("cmdstat_")?, *text)))
        .collect();
    if all.is_empty() {
        return;
    }
    for (name, of, help) in [
        ("commands_total", "calls", "Calls of a command."),
        ("commands_duration_seconds_total", "usec", "Time spent in a command."),
        ("commands_rejected_calls_total", "rejected_calls", "Calls refused before they ran."),
        ("commands_failed_calls_total", "failed_calls", "Calls that ended with an error."),
    ] {
        family(out, name, Kind::Counter, help);
        for (cmd, text) in &all {
            let value = part(text, of).unwrap_or("0");
            let value = if of == "usec" {
                (value.parse::<f64>().unwrap_or(0.0) / 1e6).to_string()
            } else {
                value.to_owned()
            };
            sample(out, name, &label("cmd", cmd), &value);
        }
    }
}

fn errors(out: &mut String, fields: &[(&str, &str)]) {
    let mut all = fields
        .iter()
        .filter_map(|(name, text)| Some((name.strip_prefix("errorstat_")?, part(text, "count")?)))
        .peekable();
    if all.peek().is_some() {
        family(out, "errors_total", Kind::Counter, "Errors replied, by their code.");
    }
    for (code, count) in all {
        sample(out, "errors_total", &label("err", code), count);
    }
}

fn latencies(out: &mut String, fields: &[(&str, &str)]) {
    const NAME: &str = "latency_percentiles_usec";
    let latency = |name: &str| name.strip_prefix("latency_percentiles_usec_").map(str::to_owned);
    let mut first = true;
    for (name, text) in fields {
        let Some(cmd) = latency(name) else { continue };
        if std::mem::take(&mut first) {
            family(out, NAME, Kind::Summary, "Percentiles of a command's latency.");
        }
        let cmd = label("cmd", &cmd);
        for (percentile, value) in text.split(',').filter_map(|part| part.split_once('=')) {
            let percentile = percentile.trim_start_matches('p');
            sample(out, NAME, &[cmd.clone(), label("quantile", percentile)].join(","), value);
        }
        let stat = format!("cmdstat_{}", name.trim_start_matches("latency_percentiles_usec_"));
        let stat = fields.iter().find(|(field, _)| *field == stat).map_or("", |(_, text)| *text);
        for (suffix, of) in [("_sum", "usec"), ("_count", "calls")] {
            sample(out, &format!("{NAME}{suffix}"), &cmd, part(stat, of).unwrap_or("0"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:4\r\nrole:master\r\n\
        rdb_last_bgsave_status:ok\r\nslave0:ip=1.2.3.4,port=7,state=online,offset=80,lag=1\r\n\
        cmdstat_set:calls=2,usec=9,usec_per_call=4.50,rejected_calls=0,failed_calls=1\r\n\
        latency_percentiles_usec_set:p50=4.015,p99.9=5\r\nerrorstat_ERR:count=3\r\n\
        db0:keys=1,expires=1,avg_ttl=99131\r\n";

    fn own() -> Own {
        let limits = (10, 0);
        Own { databases: 2, limits, io_threads: 1, start: 5, slow_count: 2, last_slow: (7, 1500) }
    }

    #[test]
    fn a_replica_that_lies_breaks_no_line() {
        let info = "slave0:ip=1.2.3.4,offset=oops,port=7,state=online,lag=1\r\n\
            slave1:ip=1.2.3.4,port=8,state=wait_bgsave\r\n";
        let text = of_info(info, &own());
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (_, value) = line.rsplit_once(' ').expect("a name and a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
        assert_eq!(text.matches("redis_connected_slave_offset_bytes{").count(), 0);
        assert_eq!(text.matches("redis_connected_slave_lag_seconds{").count(), 1);
    }

    #[test]
    fn info_becomes_metrics() {
        let text = of_info(INFO, &own());
        for line in [
            "redis_up 1",
            "redis_uptime_in_seconds 4",
            "redis_rdb_last_bgsave_status 1",
            "redis_connected_slave_lag_seconds{slave_ip=\"1.2.3.4\",slave_port=\"7\",slave_state=\"online\"} 1",
            "redis_commands_total{cmd=\"set\"} 2",
            "redis_commands_duration_seconds_total{cmd=\"set\"} 0.000009",
            "redis_latency_percentiles_usec{cmd=\"set\",quantile=\"99.9\"} 5",
            "redis_latency_percentiles_usec_count{cmd=\"set\"} 2",
            "redis_errors_total{err=\"ERR\"} 3",
            "redis_db_keys{db=\"db1\"} 0",
            "redis_db_avg_ttl_seconds{db=\"db0\"} 99.131",
            "redis_slowlog_length 2",
            "redis_slowlog_last_id 7",
            "redis_last_slow_execution_duration_seconds 0.0015",
            "redis_latest_fork_seconds 0",
            "redis_config_io_threads 1",
            "# TYPE redis_commands_total counter",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("redis_master_link_up"));
    }

    #[test]
    fn labels_are_written_safely() {
        assert_eq!(label("a", "x\"y\\z\n"), "a=\"x\\\"y\\\\z\\n\"");
        assert_eq!(number("nan"), None);
        assert_eq!(number("up").as_deref(), Some("1"));
    }

    #[test]
    fn every_name_is_there_once() {
        let mut names: Vec<&str> = FIELDS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
    }
}
