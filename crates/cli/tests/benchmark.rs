//! The load generator against a stock server: what it sends is what was asked for, its output
//! has the form of redis-benchmark's, and a stall of the server shows in the latencies.

mod common;

use std::io::Read;
use std::process::{Command, Stdio};

use common::{Server, example, free_port};

/// What one run printed, and its exit code.
struct Ran {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

fn run(program: &std::path::Path, port: u16, args: &[&str]) -> Ran {
    let output = Command::new(program)
        .args(["-p", &port.to_string()])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("redis-benchmark 7.0.15 must be installed for this test");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { stdout: text(&output.stdout), stderr: text(&output.stderr), code: output.status.code() }
}

/// The output with every number replaced and progress left out.
fn shape(output: &str) -> Vec<String> {
    let mut shape = Vec::new();
    for line in output.replace('\r', "\n").lines() {
        if line.contains("overall:") || line.trim().is_empty() || line.contains("server cpu") {
            continue;
        }
        let mut out = String::new();
        for c in line.trim().chars() {
            match c {
                '0'..='9' | '.' if out.ends_with('#') => {}
                '0'..='9' => out.push('#'),
                other => out.push(other),
            }
        }
        // How many steps there are depends on the luck of the measurement.
        let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
        if shape.last() != Some(&out) {
            shape.push(out);
        }
    }
    shape
}

/// How often the server ran a command since the last reset.
fn calls(server: &Server, command: &str) -> u64 {
    let reply = server.client().call(&["INFO", "commandstats"]).expect("it answers");
    let info = String::from_utf8_lossy(reply.as_bytes().expect("a text")).into_owned();
    let head = format!("cmdstat_{command}:calls=");
    let line = info.lines().find_map(|line| line.strip_prefix(&head));
    line.map_or(0, |line| line.split(',').next().and_then(|n| n.parse().ok()).expect("a number"))
}

fn reset(server: &Server) {
    let mut client = server.client();
    client.expect_ok(&["FLUSHALL"]).expect("it is empty");
    client.expect_ok(&["CONFIG", "RESETSTAT"]).expect("it counts anew");
}

#[test]
fn every_request_is_sent_once() {
    let server = Server::start("bench-count");
    let ours = example("benchmark");
    for (args, command, expect) in [
        (&["-c", "5", "-n", "10", "-t", "set"][..], "set", 10),
        (&["--threads", "10", "-c", "5", "-n", "10", "-t", "set"], "set", 10),
        (&["-P", "5", "-c", "10", "-n", "1001", "-t", "set"], "set", 1005),
        (&["-k", "0", "-c", "3", "-n", "40", "-t", "set"], "set", 40),
        (&["--rps", "2000", "-c", "3", "-n", "100", "--threads", "2", "-t", "set"], "set", 100),
        (&["-c", "5", "-n", "150", "incrbyfloat", "mykey", "10.0"], "incrbyfloat", 150),
        (
            &["-c", "2", "-n", "20", "-3", "--enable-tracking", "--dbnum", "4", "-t", "get"],
            "get",
            20,
        ),
        (&["-n", "5", "-q", "-t", "lrange_100"], "lrange", 5),
    ] {
        reset(&server);
        let ran = run(&ours, server.port, args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.stderr);
        assert_eq!(calls(&server, command), expect, "{args:?}");
    }
    assert_eq!(calls(&server, "hello"), 0, "reset by the last round");
}

#[test]
fn random_keys_fill_the_keyspace() {
    let server = Server::start("bench-random");
    reset(&server);
    run(&example("benchmark"), server.port, &["-r", "50", "-t", "set", "-n", "2000", "-P", "4"]);
    let size = server.client().call(&["DBSIZE"]).expect("it answers");
    assert_eq!(size.as_i64(), Some(50));
    let one = server.client().call(&["GET", "key:000000000049"]).expect("it answers");
    assert_eq!(one.as_bytes(), Some(&b"VXK"[..]));
}

#[test]
fn output_has_the_form_of_redis_benchmark() {
    let server = Server::start("bench-form");
    let ours = example("benchmark");
    let stock = std::path::Path::new("redis-benchmark");
    for args in [
        &["-n", "2000", "-q"][..],
        &["-n", "2000", "--csv"],
        &["-n", "2000", "-t", "ping,get"],
        &["-n", "2000", "-t", "set", "--threads", "2", "-k", "1", "-d", "100"],
        &["-n", "2000", "-q", "set", "a", "b c"],
        &["-n", "2000", "-t", "set", "ping"],
    ] {
        let [expect, got] = [stock, &ours].map(|program| run(program, server.port, args));
        assert_eq!(shape(&got.stdout), shape(&expect.stdout), "{args:?}");
        assert_eq!((got.code, got.stderr), (expect.code, expect.stderr), "{args:?}");
    }
    for args in [
        &["-n", "5", "nosuch"][..],
        &["-n", "5", "-a", "wrong", "ping"],
        &["-e", "-n", "5", "-q", "-t", "ping"],
        &["-n"],
        &["--nosuch"],
    ] {
        let [expect, got] = [stock, &ours].map(|program| run(program, server.port, args));
        assert_eq!((got.code, got.stderr), (expect.code, expect.stderr), "{args:?}");
        assert_eq!(got.stdout.starts_with("Invalid"), expect.stdout.starts_with("Invalid"));
    }
    let refused = run(&ours, free_port(), &["-t", "ping"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("Connection refused"), "{}", refused.stderr);
}

#[test]
fn idle_connections_are_counted() {
    let server = Server::start("bench-idle");
    let mut child = Command::new(example("benchmark"))
        .args(["-p", &server.port.to_string(), "-I", "-c", "3"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut told = String::new();
    let mut stdout = child.stdout.take().expect("it is piped");
    let mut byte = [0];
    while !told.ends_with("clients: 3\r") {
        stdout.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error}: {told}"));
        told.push(byte[0].into());
    }
    child.kill().expect("it waits for ever");
    child.wait().expect("it was killed");
}

#[test]
fn a_stall_shows_in_an_open_loop() {
    let server = Server::start("bench-stall");
    let port = server.port;
    let load = std::thread::spawn(move || {
        let args = ["-t", "ping_mbulk", "-c", "1", "-n", "3000", "--rps", "1000", "--csv"];
        run(&example("benchmark"), port, &args)
    });
    let mut client = server.client();
    while calls(&server, "ping") < 100 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    client.expect_ok(&["DEBUG", "SLEEP", "0.8"]).expect("it stalls");
    let ran = load.join().expect("it ran");
    let line = ran.stdout.lines().last().expect("a line");
    let fields: Vec<f64> =
        line.split(',').skip(1).filter_map(|field| field.trim_matches('"').parse().ok()).collect();
    // 800 of 3000 requests were due during the stall: the 95th percentile must tell of it.
    assert!(fields[4] > 100.0, "{line}");
}
