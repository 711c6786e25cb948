//! What people see of a link: INFO's fields, ROLE, and the lines of both logs.

use tandem_harness::{Kind, Server, glob, wait_until};

use crate::pairs::{for_each_kind, for_each_pair};
use crate::{start_replica, wait_same_data};

for_each_pair!(
    info_tells_both_ends_of_a_link,
    role_tells_both_ends_of_a_link,
    a_full_sync_is_told_in_both_logs,
    a_replica_announces_what_it_is_told_to,
);

for_each_kind!(
    log_lines_have_their_form,
    an_end_tells_of_replicas,
    a_lone_server_has_no_history,
    looked_into_payloads_are_counted,
    evictions_are_events,
    a_question_sees_what_stands_before_it,
);

/// The lines of INFO's replication section.
fn section(server: &Server) -> Vec<String> {
    let text = server.client().run("INFO replication").text();
    text.lines().map(ToString::to_string).collect()
}

/// Panics unless each pattern fits a line, and in this order.
#[track_caller]
fn assert_lines(lines: &[String], patterns: &[&str]) {
    let mut rest = lines.iter();
    for pattern in patterns {
        let found = rest.any(|line| glob(pattern, line));
        assert!(found, "{pattern:?} is missing (or out of order) in\n{}", lines.join("\n"));
    }
}

fn info_tells_both_ends_of_a_link(master: &Kind, replica: &Kind) {
    // The default of Redis, not of every peer.
    let backlog = ["--repl-backlog-size", "1mb"];
    let m = Server::start(master, &backlog);
    let r = start_replica(replica, m.port(), &backlog);
    m.client().run("SET name jake").ok();
    wait_same_data(&m, &r);
    let offset = m.client().info("master_repl_offset");
    assert_lines(
        &section(&m),
        &[
            "# Replication",
            "role:master",
            "connected_slaves:1",
            &format!("slave0:ip=127.0.0.1,port={},state=online,offset=*,lag=*", r.port()),
            "master_failover_state:no-failover",
            &format!("master_replid:{}", r.client().info("master_replid")),
            &format!("master_replid2:{}", "0".repeat(40)),
            "master_repl_offset:*",
            "second_repl_offset:-1",
            "repl_backlog_active:1",
            "repl_backlog_size:1048576",
            "repl_backlog_first_byte_offset:*",
            "repl_backlog_histlen:*",
        ],
    );
    assert_lines(
        &section(&r),
        &[
            "# Replication",
            "role:slave",
            "master_host:127.0.0.1",
            &format!("master_port:{}", m.port()),
            "master_link_status:up",
            "master_last_io_seconds_ago:*",
            "master_sync_in_progress:0",
            "slave_read_repl_offset:*",
            "slave_repl_offset:*",
            "slave_priority:100",
            "slave_read_only:1",
            "replica_announced:1",
            "connected_slaves:0",
            "master_failover_state:no-failover",
            "master_replid:*",
            &format!("master_replid2:{}", "0".repeat(40)),
            "master_repl_offset:*",
            "second_repl_offset:-1",
            "repl_backlog_active:1",
            "repl_backlog_size:1048576",
            "repl_backlog_first_byte_offset:*",
            "repl_backlog_histlen:*",
        ],
    );
    let mut c = m.client();
    wait_until("the acknowledged offset is the master's", || {
        let offset = c.info("master_repl_offset");
        glob(&format!("*,offset={offset},lag=*"), &c.info("slave0"))
    });
    assert!(offset.parse::<u64>().expect("a number") > 0);
}

fn role_tells_both_ends_of_a_link(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    let r = start_replica(replica, m.port(), &[]);
    m.client().run("SET name jake").ok();
    wait_same_data(&m, &r);
    let of_master = m.client().run("ROLE");
    let [role, offset, replicas] = of_master.items() else { panic!("{of_master:?}") };
    assert_eq!(role.text(), "master");
    assert!(offset.int() > 0);
    let [one] = replicas.items() else { panic!("{of_master:?}") };
    let [ip, port, acked] = one.items() else { panic!("{of_master:?}") };
    assert_eq!([ip.text(), port.text()], ["127.0.0.1".to_string(), r.port().to_string()]);
    assert!(
        acked.text().parse::<i64>().expect("a number")
            <= m.client().info_number("master_repl_offset")
    );
    let of_replica = r.client().run("ROLE");
    let [role, host, port, state, offset] = of_replica.items() else { panic!("{of_replica:?}") };
    assert_eq!([role.text(), host.text(), state.text()], ["slave", "127.0.0.1", "connected"]);
    assert_eq!(port.int(), i64::from(m.port()));
    assert!(offset.int() > 0);
}

fn a_full_sync_is_told_in_both_logs(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &["--repl-diskless-sync", "no"]);
    // One that never was a master has no history of its own to offer.
    let r = Server::start(replica, &["--replicaof", "127.0.0.1", &m.port().to_string()]);
    r.wait_link_up();
    m.client().run("SET name jake").ok();
    wait_same_data(&m, &r);
    let replica_address = r.address();
    m.wait_for_log(&format!("Synchronization with replica {replica_address} succeeded"));
    let lines = |s: &Server| s.log().lines().map(ToString::to_string).collect::<Vec<_>>();
    assert_lines(
        &lines(&m),
        &[
            &format!("*:M * Replica {replica_address} asks for synchronization"),
            &format!("*:M * Full resync requested by replica {replica_address}"),
            "*:M * Starting BGSAVE for SYNC with target: disk*",
            "*:M * Background saving started*",
            "*:M * Background saving terminated with success",
            &format!("*:M * Synchronization with replica {replica_address} succeeded"),
        ],
    );
    let replid = m.client().info("master_replid");
    assert_lines(
        &lines(&r),
        &[
            &format!("*:S * Connecting to MASTER {}", m.address()),
            "*:S * MASTER <-> REPLICA sync started",
            "*:S * Non blocking connect for SYNC fired the event.",
            "*:S * Master replied to PING, replication can continue...",
            "*:S * Partial resynchronization not possible (no cached master)",
            &format!("*:S * Full resync from master: {replid}:*"),
            "*:S * MASTER <-> REPLICA sync: receiving * bytes from master*",
            "*:S * MASTER <-> REPLICA sync: Flushing old data",
            "*:S * MASTER <-> REPLICA sync: Loading DB in memory",
            "*:S * MASTER <-> REPLICA sync: Finished with success",
        ],
    );
}

fn a_replica_announces_what_it_is_told_to(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    let announce = ["--replica-announce-ip", "10.1.2.3", "--replica-announce-port", "7777"];
    let _r = start_replica(replica, m.port(), &announce);
    let mut c = m.client();
    wait_until("it is listed", || glob("ip=10.1.2.3,port=7777,state=online,*", &c.info("slave0")));
}

/// The log is all that tells an operator what the end has cost.
fn an_end_tells_of_replicas(kind: &Kind) {
    let mut m = Server::start(kind, &[]);
    let r = start_replica(kind, m.port(), &[]);
    m.client().run("SET a 1").ok();
    assert!(m.terminate().success());
    let log = m.log();
    assert!(log.contains(" * 1 of 1 replicas are in sync when shutting down.\n"), "{log}");
    assert!(!log.contains("Lagging replica"), "{log}");
    m.start_again(&["--shutdown-timeout", "0"]);
    r.wait_link_up();
    wait_until("it is seen", || m.client().info("slave0").contains("state=online"));
    r.pause();
    m.client().run("SET b 1").ok();
    m.shutdown("NOSAVE");
    let log = m.log();
    let lagging = log.lines().find(|line| line.contains("Lagging replica")).expect(&log);
    let form = format!(
        "* # Lagging replica 127.0.0.1:{} reported offset * behind master, lag=*, state=online.",
        r.port()
    );
    assert!(glob(&form, lagging), "{lagging}");
    assert!(log.contains(" * 0 of 1 replicas are in sync when shutting down.\n"), "{log}");
    r.resume();
}

fn log_lines_have_their_form(kind: &Kind) {
    let mut server = Server::start(kind, &[]);
    let pid = server.pid();
    server.terminate();
    let log = server.log();
    for text in [
        "Ready to accept connections",
        "User requested shutdown...",
        "Redis is now ready to exit, bye bye...",
    ] {
        assert!(log.contains(text), "{text:?} is missing in\n{log}");
    }
    // The one line that Redis writes from inside a signal handler, where no clock is at hand.
    let handler = format!("{pid}:signal-handler (");
    for line in log.lines().filter(|l| !l.starts_with(&handler)) {
        assert!(is_log_line(line, pid), "no line of a log: {line}");
    }
}

/// `pid:role dd Mon yyyy hh:mm:ss.mmm level text`
fn is_log_line(line: &str, pid: u32) -> bool {
    let parts: Vec<&str> = line.splitn(7, ' ').collect();
    let &[who, day, month, year, time, level, text] = parts.as_slice() else { return false };
    let months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let time: Vec<&str> = time.split([':', '.']).collect();
    ["M", "S", "C"].iter().any(|role| who == format!("{pid}:{role}"))
        && digits(day, 2)
        && months.split(' ').any(|m| m == month)
        && digits(year, 4)
        && time.len() == 4
        && time.iter().zip([2, 2, 2, 3]).all(|(part, count)| digits(part, count))
        && [".", "-", "*", "#"].contains(&level)
        && !text.is_empty()
}

fn looked_into_payloads_are_counted(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let mut c = server.client();
    c.run("HSET h a 1 b 2");
    c.run("SET s x").ok();
    let payloads = ["h", "s"].map(|key| match c.cmd(&["DUMP", key]) {
        tandem_harness::Value::Bulk(bytes) => bytes,
        other => panic!("{other:?}"),
    });
    let mut count = |how: &str, user: &str| {
        c.cmd(&["CONFIG", "SET", "sanitize-dump-payload", how]).ok();
        c.cmd(&["ACL", "SETUSER", "default", user]).ok();
        for payload in &payloads {
            let words: [&[u8]; 5] = [b"RESTORE", b"copy", b"0", payload, b"REPLACE"];
            c.cmd(&words).ok();
        }
        c.info_number("dump_payload_sanitizations")
    };
    let counts = [
        count("no", "sanitize-payload"),
        count("yes", "sanitize-payload"),
        count("clients", "sanitize-payload"),
        count("clients", "skip-sanitize-payload"),
        count("yes", "skip-sanitize-payload"),
    ];
    // Only a hash in one piece has an inside.
    assert_eq!(counts, [0, 1, 2, 2, 3]);
}

fn evictions_are_events(kind: &Kind) {
    let server = Server::start(kind, &["--latency-monitor-threshold", "1"]);
    let mut c = server.client();
    c.run("CONFIG SET maxmemory-eviction-tenacity 100 maxmemory-policy allkeys-random").ok();
    c.run("DEBUG POPULATE 300000 key 60").ok();
    let half = c.info_number("used_memory") / 2;
    c.run(&format!("CONFIG SET maxmemory {half}")).ok();
    c.run("SET a b").ok();
    assert!(c.info_number("evicted_keys") > 1000);
    // The housekeeper may have found the room, and not have noted it yet.
    wait_until("the cycle is among the latest events", || {
        let latest = c.run("LATENCY LATEST");
        latest.items().iter().any(|event| event.items()[0].text() == "eviction-cycle")
    });
}

fn a_lone_server_has_no_history(kind: &Kind) {
    let server = Server::start(kind, &[]);
    server.client().run("SET a 1").ok();
    assert_lines(
        &section(&server),
        &[
            "role:master",
            "connected_slaves:0",
            "master_replid:*",
            "master_repl_offset:0",
            "second_repl_offset:-1",
            "repl_backlog_active:0",
            "repl_backlog_size:1048576",
            "repl_backlog_first_byte_offset:0",
            "repl_backlog_histlen:0",
        ],
    );
}

/// In one pipeline or transaction as well as alone.
fn a_question_sees_what_stands_before_it(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let mut c = server.client();
    let field = |text: &str, name: &str| -> String {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("{name} in {text}")).trim().to_string()
    };
    let before = c.info_number("total_commands_processed");
    let told = c.pipeline(&["GET nosuch", "GET nosuch", "SET a 1", "SET b 1", "INFO"]);
    let text = told[4].text();
    assert_eq!(field(&text, "keyspace_misses"), "2");
    assert_eq!(field(&text, "rdb_changes_since_last_save"), "2");
    let counted: i64 = field(&text, "total_commands_processed").parse().expect("a number");
    // The first INFO itself, and what stood before the second.
    assert_eq!(counted - before, 5);
    let told = c.pipeline(&["SET a 2", "SAVE", "INFO persistence"]);
    assert_eq!(field(&told[2].text(), "rdb_changes_since_last_save"), "0");
    c.pipeline(&["GET nosuch", "CONFIG RESETSTAT"]);
    assert_eq!(c.info_number("keyspace_misses"), 0);

    let mut monitor = server.client();
    monitor.run("MONITOR").ok();
    let told = c.pipeline(&["MULTI", "CLIENT INFO", "GET a", "EXEC"]);
    let line = told[3].items()[0].text();
    for part in [" flags=x ", " multi=2 ", " cmd=exec "] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(c.run("CLIENT INFO").text().contains(" multi=-1 "));
    assert!(c.run("EXEC x").error().is_some_and(|text| text.starts_with("EXECABORT")));
    wait_until("the monitor is shown a bad EXEC", || {
        let line = monitor.read().expect("it is told").text();
        line.ends_with(r#""EXEC" "x""#)
    });
}
