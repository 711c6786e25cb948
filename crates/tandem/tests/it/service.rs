//! The server as a service sees it: its title, its place in the order of killing, its end by a
//! signal, its report when it crashes, and its metrics as a scraper reads them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tandem_harness::{Server, wait_until};

use crate::tandem;

#[test]
fn the_title_says_where_it_listens() {
    let server = Server::start(&tandem(1), &[]);
    let shown = || {
        let line = std::fs::read(format!("/proc/{}/cmdline", server.pid())).expect("it runs");
        String::from_utf8_lossy(&line).trim_end_matches('\0').to_owned()
    };
    assert_eq!(shown(), format!("redis-server 127.0.0.1:{}", server.port()));
    let mut c = server.client();
    c.run("CONFIG SET proc-title-template 'x {port}'").ok();
    assert_eq!(shown(), format!("x {}", server.port()));
    assert!(c.run("CONFIG SET proc-title-template '{nonsense}'").error().is_some());
    let plain = Server::start(&tandem(1), &["--set-proc-title", "no"]);
    let line = std::fs::read(format!("/proc/{}/cmdline", plain.pid())).expect("it runs");
    assert!(line.windows(12).any(|window| window == b"--set-proc-t"));
}

#[test]
fn a_crash_leaves_a_report() {
    for (command, mark) in [
        ("DEBUG SEGFAULT", "crashed by signal: 11"),
        ("DEBUG PANIC", "Guru Meditation: "),
        ("DEBUG ASSERT", "Guru Meditation: "),
    ] {
        let mut server = Server::start(&tandem(2), &[]);
        assert!(server.client().try_cmd(&command.split(' ').collect::<Vec<_>>()).is_err());
        server
            .wait_for_log("=== REDIS BUG REPORT END. Make sure to include from START to END. ===");
        let log = server.log();
        let report = log.split_once("=== REDIS BUG REPORT START").expect("it began").1;
        for part in [mark, "------ STACK TRACE ------", "# Server", "cmd=debug"] {
            assert!(report.contains(part), "{command}: no {part} in\n{report}");
        }
        server.kill();
    }
    let mut server = Server::start(&tandem(1), &[]);
    let status = Command::new("kill").args(["-ABRT", &server.pid().to_string()]).status();
    assert!(status.expect("kill is there").success());
    server.wait_for_log("crashed by signal: 6");
    server.wait_for_log("Killed by PID: ");
    server.kill();
}

#[test]
fn without_a_report_a_crash_is_an_end_at_once() {
    let options = ["--crash-log-enabled", "no"];
    for from_within in [true, false] {
        let mut server = Server::start(&tandem(1), &options);
        if from_within {
            assert!(server.client().try_cmd(&["DEBUG", "SEGFAULT"]).is_err());
        } else {
            let kill = Command::new("kill").args(["-SEGV", &server.pid().to_string()]).status();
            assert!(kill.expect("kill is there").success());
        }
        assert_eq!(server.wait_end().signal(), Some(11), "from within: {from_within}");
        assert!(!server.log().contains("BUG REPORT"));
    }
}

#[test]
fn a_signal_ends_it_as_configured() {
    let mut server = Server::start(&tandem(1), &["--shutdown-on-sigterm", "save"]);
    server.client().run("SET a 1").ok();
    assert!(server.terminate().success());
    assert!(
        std::fs::exists(server.file("dump.rdb")).expect("a folder of ours"),
        "{}",
        server.log()
    );
}

#[test]
fn a_score_is_written_for_the_role() {
    let server = Server::start(&tandem(1), &["--oom-score-adj", "no"]);
    let score = || {
        let path = format!("/proc/{}/oom_score_adj", server.pid());
        let text = std::fs::read_to_string(path).expect("it runs");
        text.trim().parse::<i32>().expect("a number")
    };
    let before = score();
    let mut c = server.client();
    c.run("CONFIG SET oom-score-adj-values '10 20 30' oom-score-adj yes").ok();
    assert_eq!(score(), (before + 10).min(1000));
    c.run("REPLICAOF 127.0.0.1 1").ok();
    assert_eq!(score(), (before + 20).min(1000));
    // Not below what we began with: not everybody may do that.
    let absolute = (before.max(0) + 25).min(1000);
    let values = format!("CONFIG SET oom-score-adj-values '{before} {absolute} {absolute}'");
    c.run(&values).ok();
    c.run("CONFIG SET oom-score-adj absolute").ok();
    assert_eq!(score(), absolute);
    c.run("CONFIG SET oom-score-adj no").ok();
    assert_eq!(score(), before);
}

/// One HTTP request; all of the answer. Sent again where the server has given the connection up,
/// as it does with one from which it hears nothing for a second.
pub(crate) fn http(port: u16, request: &str) -> String {
    let mut text = String::new();
    wait_until("an answer comes", || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
        text.clear();
        let read =
            stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut text));
        read.is_ok() && text.starts_with("HTTP/1.")
    });
    text
}

/// Names and types of the metrics in `text`, each line of which must have the form.
fn parse_metrics(text: &str) -> BTreeMap<String, String> {
    let mut types = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("name and kind");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').expect("name and value");
            let base = name.split('{').next().expect("a name");
            let family = base.trim_end_matches("_sum").trim_end_matches("_count");
            assert!(types.contains_key(base) || types.contains_key(family), "{line}: no TYPE");
            assert!(value.parse::<f64>().is_ok(), "{line}: no number");
            assert!(!name.contains('{') || name.ends_with("\"}"), "{line}: labels");
        }
    }
    types
}

#[test]
fn metrics_are_served_and_only_that() {
    let port = tandem_harness::free_port();
    let server = Server::start(&tandem(2), &["--metrics-port", &port.to_string()]);
    server.client().run("SET a 1").ok();
    // Those who say nothing hold nobody up.
    let silent: Vec<_> =
        (0..20).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("it listens")).collect();
    let began = Instant::now();
    let answer = http(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop(silent);
    assert!(http(port, "GARBAGE\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4"), "{head}");
    let types = parse_metrics(body);
    assert_eq!(types["redis_connected_clients"], "gauge");
    assert_eq!(types["redis_commands_processed_total"], "counter");
    assert!(http(port, "GET /healthz HTTP/1.0\r\n\r\n").ends_with("\r\n\r\nok\n"));
    assert!(http(port, "POST /metrics HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(http(port, "GET /other HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(!http(port, "HEAD /metrics HTTP/1.0\r\n\r\n").contains("redis_up"));
    server.client().run("REPLICAOF 127.0.0.1 1").ok();
    server.client().run("CONFIG SET replica-serve-stale-data no").ok();
    assert!(http(port, "GET /healthz HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 503 "));
}

/// A replica that lies about itself: its words must not become fields of its line in INFO.
#[test]
fn no_replica_can_break_a_scrape() {
    let port = tandem_harness::free_port();
    let server = Server::start(&tandem(2), &["--metrics-port", &port.to_string()]);
    let mut liar = server.client();
    let refused = liar.run("REPLCONF ip-address 1.2.3.4,offset=oops,lag=0").error();
    assert_eq!(refused.as_deref(), Some("ERR REPLCONF ip-address is not an address"));
    liar.run("REPLCONF listening-port 99").ok();
    liar.send_raw(b"SYNC\r\n").expect("a live connection");
    let mut c = server.client();
    wait_until("it is a replica", || c.info("connected_slaves") == "1");
    let answer = http(port, "GET /metrics HTTP/1.0\r\n\r\n");
    parse_metrics(answer.split_once("\r\n\r\n").expect("a head").1);
    assert!(!answer.contains("oops"), "{answer}");
}

struct Exporter(Child);

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn metrics_move_when_they_are_told_to() {
    let (first, second) = (tandem_harness::free_port(), tandem_harness::free_port());
    let server = Server::start(&tandem(1), &[]);
    let mut c = server.client();
    let is_served = |port| TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!(!is_served(first));
    c.run(&format!("CONFIG SET metrics-port {first}")).ok();
    assert!(http(first, "GET /healthz HTTP/1.0\r\n\r\n").ends_with("\r\n\r\nok\n"));
    c.run(&format!("CONFIG SET metrics-port {second} metrics-bind 0.0.0.0")).ok();
    assert!(http(second, "GET /healthz HTTP/1.0\r\n\r\n").ends_with("\r\n\r\nok\n"));
    assert!(!is_served(first));
    // A port that is taken: all stays as it was.
    let taken = server.port();
    let refused = c.run(&format!("CONFIG SET metrics-port {taken}")).error();
    assert!(refused.is_some_and(|text| text.contains("Address already in use")));
    assert_eq!(c.run("CONFIG GET metrics-port").items()[1].text(), second.to_string());
    assert!(http(second, "GET /healthz HTTP/1.0\r\n\r\n").ends_with("\r\n\r\nok\n"));
    c.run("CONFIG SET metrics-port 0").ok();
    assert!(!is_served(second));
}

/// Debian's exporter beside our own: it scrapes us without errors, and both show the same names.
#[test]
fn an_exporter_scrapes_it_and_shows_the_same_names() {
    const EXPORTER: &str = "prometheus-redis-exporter";
    tandem_harness::require(EXPORTER);
    let (own, its) = (tandem_harness::free_port(), tandem_harness::free_port());
    let master = Server::start(&tandem(2), &["--metrics-port", &own.to_string()]);
    let replica = Server::start(&tandem(1), &[]);
    replica.replicate(master.port());
    replica.wait_link_up();
    master.client().run("SET a 1 EX 100").ok();
    let mut exporter = Command::new(EXPORTER);
    exporter.args(["-web.listen-address", &format!("127.0.0.1:{its}")]);
    exporter.args(["-redis.addr", &format!("redis://127.0.0.1:{}", master.port())]);
    let child = exporter.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _exporter = Exporter(child.expect("it is installed"));
    wait_until("the exporter listens", || TcpStream::connect(("127.0.0.1", its)).is_ok());
    let scrape = |port| {
        let answer = http(port, "GET /metrics HTTP/1.0\r\n\r\n");
        answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
    };
    let theirs = scrape(its);
    assert!(theirs.contains("redis_exporter_last_scrape_error{err=\"\"} 0"), "{theirs}");
    assert!(theirs.contains("\nredis_up 1\n"), "{theirs}");
    let theirs = parse_metrics(&theirs);
    let ours = parse_metrics(&scrape(own));
    // What it measures of itself.
    let left_out = ["redis_exporter_", "redis_target_", "redis_last_key_groups_"];
    let mut missing = Vec::new();
    for (name, kind) in theirs.iter().filter(|(name, _)| name.starts_with("redis_")) {
        if left_out.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        match ours.get(name) {
            Some(own) => assert_eq!(own, kind, "{name}"),
            None => missing.push(name),
        }
    }
    assert!(missing.is_empty(), "ours lack {missing:?}");
}
