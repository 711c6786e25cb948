//! Every invocation of a table must print and return what stock redis-cli prints and returns.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Server, example, free_port};

/// What one client did.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

struct Case<'a> {
    /// Arguments after `-p PORT`.
    args: &'a [&'a str],
    stdin: &'a str,
    env: &'a [(&'a str, &'a str)],
}

fn run(program: &Path, port: u16, case: &Case<'_>) -> Outcome {
    let mut child = Command::new(program)
        .args(["-p", &port.to_string()])
        .args(case.args)
        .env_remove("REDISCLI_AUTH")
        .envs(case.env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{} must be installed: {error}", program.display()));
    let mut stdin = child.stdin.take().expect("it is piped");
    // A client that does not read its input may be gone already.
    let _ = stdin.write_all(case.stdin.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| bytes.iter().map(|&byte| byte as char).collect();
    Outcome { stdout: text(output.stdout), stderr: text(output.stderr), code: output.status.code() }
}

/// Prepares the data that the table's commands look at.
const SETUP: &[&[&str]] = &[
    &["FLUSHALL"],
    &["CONFIG", "RESETSTAT"],
    &["SET", "s", "a\"b\nc\u{e9}\\"],
    &["SET", "n", "10"],
    &["RPUSH", "l", "one", "two", "three"],
    &["HSET", "h", "f", "v", "g", "w"],
    &["SADD", "set", "m"],
    &["ZADD", "z", "1.5", "a", "2", "b"],
    &["SELECT", "3"],
    &["SET", "in-three", "yes"],
    &["SELECT", "0"],
];

fn prepare(server: &Server) {
    // A connection of its own each time: a case may have killed all others.
    let mut client = server.client();
    for command in SETUP {
        client.expect_ok(command).expect("the data can be prepared");
    }
}

/// Runs each case with both clients on equal data and compares.
fn check(server: &Server, cases: &[Case<'_>]) {
    let ours = example("cli");
    let mut failures = Vec::new();
    for case in cases {
        let mut outcomes = [Path::new("redis-cli"), &ours].map(|program| {
            prepare(server);
            run(program, server.port, case)
        });
        for outcome in &mut outcomes {
            outcome.stdout = tandem_harness::without_times(&outcome.stdout);
            // How a closing server looks depends on which packet is seen first.
            for text in ["Connection reset by peer", "Broken pipe"] {
                outcome.stderr = outcome.stderr.replace(text, "Server closed the connection");
            }
        }
        if outcomes[0] != outcomes[1] {
            failures.push(format!(
                "{:?} stdin {:?} env {:?}\n  stock: {:?}\n  ours:  {:?}",
                case.args, case.stdin, case.env, outcomes[0], outcomes[1]
            ));
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

fn plain<'a>(table: &[&'a [&'a str]]) -> Vec<Case<'a>> {
    table.iter().map(|args| Case { args, stdin: "", env: &[] }).collect()
}

/// A script whose reply nests arrays, numbers, a nil and a status.
const NESTED: &str = "return {1,{2,'three',{}},false,redis.status_reply('fine'),{{{'deep'}},'x'}}";
const LONG: &str = "local t={} for i=1,11 do t[i]={i,'v'..i} end return t";
const MAPS: &str = "redis.setresp(3) return {redis.call('hgetall','h'),{map={a=1}},\
    {set={x=true}},{double=1.5},true,false}";

#[test]
fn replies_look_the_same_in_every_form() {
    let server = Server::start("forms");
    let mut cases = Vec::new();
    let commands: &[&[&str]] = &[
        &["ping"],
        &["get", "s"],
        &["get", "missing"],
        &["get", "n"],
        &["incr", "n"],
        &["get", "l"],
        &["lrange", "l", "0", "-1"],
        &["lrange", "missing", "0", "-1"],
        &["hgetall", "h"],
        &["hgetall", "missing"],
        &["smembers", "set"],
        &["smembers", "missing"],
        &["zrange", "z", "0", "-1", "withscores"],
        &["zscore", "z", "a"],
        &["eval", NESTED, "0"],
        &["eval", LONG, "0"],
        &["nosuchcommand", "x"],
        &["set", "k"],
        &["echo", ""],
        &["echo", "\u{1}\t\u{7f}"],
        &["lolwut", "version", "1"],
        &["debug", "protocol", "attrib"],
        &["debug", "protocol", "verbatim"],
        &["debug", "protocol", "true"],
        &["debug", "protocol", "false"],
        &["debug", "protocol", "null"],
        &["debug", "protocol", "double"],
        &["debug", "protocol", "set"],
        &["debug", "protocol", "map"],
        &["debug", "protocol", "array"],
    ];
    let forms: &[&[&str]] = &[
        &[],
        &["--no-raw"],
        &["--raw"],
        &["--csv"],
        &["--json"],
        &["--quoted-json"],
        &["--json", "-2"],
        &["-3"],
        &["-3", "--no-raw"],
        &["-3", "--csv"],
        &["-d", "<>", "-D", "|"],
    ];
    for form in forms {
        for command in commands {
            // In RESP3 stock redis-cli takes an attribute for a protocol error.
            if form.iter().any(|word| word.contains("json") || *word == "-3")
                && !form.contains(&"-2")
                && command.contains(&"attrib")
            {
                continue;
            }
            cases.push([*form, *command].concat());
        }
    }
    for form in [&["-3"][..], &["-3", "--no-raw"], &["--json"], &["-3", "--csv"]] {
        cases.push([form, &["eval", MAPS, "0"]].concat());
    }
    // What is typed is sent, and refused.
    cases.extend([vec!["sync", "x"], vec!["psync", "x"]]);
    let cases: Vec<Case<'_>> =
        cases.iter().map(|args| Case { args, stdin: "", env: &[] }).collect();
    check(&server, &cases);
}

#[test]
fn options_do_the_same() {
    let server = Server::start("options");
    let socket = server.dir.join("s.sock");
    let socket = socket.to_str().expect("a plain path");
    let refused = free_port().to_string();
    let uri = format!("redis://127.0.0.1:{}/3", server.port);
    let uri_with_user = format!("redis://u:p@127.0.0.1:{}", server.port);
    let table: &[&[&str]] = &[
        &["-n", "3", "get", "in-three"],
        &["-n", "99", "ping"],
        &["-r", "3", "incr", "n"],
        &["-r", "0", "incr", "n"],
        &["-r", "2", "-i", "0.05", "incr", "n"],
        &["-s", socket, "get", "n"],
        &["-s", "/nonexistent/s.sock", "get", "n"],
        &["-h", "localhost", "get", "n"],
        &["-p", &refused, "ping"],
        &["-p", &refused, "-h", "localhost", "ping"],
        &["-u", &uri, "get", "in-three"],
        &["-u", &uri_with_user, "ping"],
        &["-u", "http://x", "ping"],
        &["-a", "wrong", "ping"],
        &["-a", "wrong", "--no-auth-warning", "ping"],
        &["--user", "u", "--pass", "p", "ping"],
        &["-e", "get", "l"],
        &["-e", "get", "n"],
        &["-e", "--no-raw", "nosuch"],
        &["--quoted-input", "set", "\"a\\x00b\"", "'c d'"],
        &["--quoted-input", "set", "\"a"],
        &["--quoted-input", "echo", "a b"],
        &["-2", "-3", "ping"],
        &["-x", "-X", "t", "ping"],
        &["-c", "-s", "/x", "ping"],
        &["-X", "t"],
        &["-n", "3x", "get", "in-three"],
        &["-r", "2x", "ping"],
        &["-e", "-c", "get", "l"],
        &["--raw", "--no-raw", "get", "s"],
        &["-3", "--json", "hgetall", "h"],
        &["--csv", "hgetall", "h"],
        &["--user", "default", "ping"],
        &["-u", "redis://127.0.0.1", "-p", "1", "ping"],
        &["--json", "--quoted-json", "get", "s"],
        &["--no-such-option"],
        &["-p"],
        &["--show-pushes", "maybe", "ping"],
        &["--scan", "--pattern", "in*", "-n", "3"],
        &["--scan", "--pattern", "s", "--no-raw"],
        &["--quoted-pattern", "\"x", "--scan"],
        &["--eval", "/nonexistent.lua"],
        &["-n", "3", "--bigkeys"],
        &["-n", "3", "--memkeys"],
        &["-n", "3", "--memkeys-samples", "2"],
        &["-n", "3", "--bigkeys", "--memkeys"],
        &["--bigkeys", "--pattern", "s*"],
        &["--hotkeys"],
        &["--ldb"],
        &["--ldb-sync-mode", "ping"],
        &["--verbose", "ping"],
        &["--intrinsic-latency"],
        &["--lru-test"],
        &["--eval"],
        &["--latency", "--csv", "-i", "-1", "-p", &refused],
        &["--latency-dist", "-p", &refused],
        &["--stat", "-p", &refused],
        &["--pipe", "-p", &refused],
        &["--hotkeys", "-p", &refused],
        &["--rdb", "/nonexistent/x.rdb"],
        &["-c", "get", "n"],
        &["client", "getname"],
        &["subscribe"],
        &["monitor", "x"],
    ];
    let mut cases = plain(table);
    cases.push(Case { args: &["-x", "set", "k"], stdin: "from\nstdin\0x", env: &[] });
    cases.push(Case { args: &["-x", "--no-raw", "echo"], stdin: "from\n", env: &[] });
    cases.push(Case { args: &["-X", "t", "--no-raw", "echo", "t"], stdin: "text", env: &[] });
    cases.push(Case { args: &["-X", "t", "echo", "u"], stdin: "text", env: &[] });
    cases.push(Case { args: &["ping"], stdin: "", env: &[("REDISCLI_AUTH", "wrong")] });
    cases.push(Case { args: &["get", "s"], stdin: "", env: &[("FAKETTY", "1")] });
    check(&server, &cases);
}

#[test]
fn lines_from_a_pipe_do_the_same() {
    let server = Server::start("lines");
    let cases: Vec<Case<'_>> = [
        "ping\n",
        "ping",
        "",
        "\n\n  \nping\n",
        "set k \"a b\\n\\x41\"\nget k\n",
        "get \"unbalanced\nping\n",
        "set k 'x'y\n",
        "3 incr n\n0 incr n\n-1 incr n\n5\n5x\n",
        "select 3\nget in-three\nselect 99\nselect 0\n",
        "multi\nselect 3\nset a 1\nexec\nget a\n",
        "multi\nselect 3\ndiscard\nget n\n",
        "multi\nnosuch\nexec\nget n\n",
        "multi\nexec\nexec\n",
        "hello 4\nhgetall h\nreset\nhgetall h\n",
        "connect 127.0.0.1 1\nping\nping\n",
        ":set nohints\n:set whatever\n:other\n",
        "restart\n",
        "client kill type normal skipme no\nget n\nget n\n",
        "quit\nping\n",
        "EXIT\nping\n",
        "auth x\n",
        "eval \"return {1,{2}}\" 0\n",
        "get l\nhelpless\n",
    ]
    .iter()
    .flat_map(|stdin| {
        [&[][..], &["--no-raw"], &["-e", "-3"], &["-n", "3"]].map(|args| Case {
            args,
            stdin,
            env: &[],
        })
    })
    .collect();
    check(&server, &cases);
}

#[test]
fn bulk_transfer_does_the_same() {
    let server = Server::start("pipe");
    let good = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n".repeat(2000);
    let bad = format!("{good}*1\r\n$5\r\nNOPE!\r\n*2\r\n$4\r\nINCR\r\n$1\r\nl\r\n");
    let inline = "SET a 1\r\nINCR a\r\n";
    for stdin in [&good, &bad, inline, ""] {
        check(&server, &[Case { args: &["--pipe"], stdin, env: &[] }]);
    }
}

#[test]
fn hot_keys_are_found_alike() {
    let server = Server::start("hotkeys");
    let mut client = server.client();
    let settings: &[&[&str]] = &[
        &["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"],
        &["CONFIG", "SET", "lfu-log-factor", "0"],
        &["CONFIG", "SET", "lfu-decay-time", "0"],
    ];
    for command in settings {
        client.expect_ok(command).expect("it can be set");
    }
    for key in 0..40 {
        let key = format!("key \"{key}");
        client.expect_ok(&["SET", &key, "v"]).expect("it is set");
        for _ in 0..key.len() * 3 % 17 {
            client.expect_ok(&["GET", &key]).expect("it is there");
        }
    }
    let ours = example("cli");
    let case = Case { args: &["--hotkeys"], stdin: "", env: &[] };
    let [stock, own] =
        [Path::new("redis-cli"), &ours].map(|program| run(program, server.port, &case));
    assert_eq!(own, stock);
    assert!(own.stdout.contains("hot key found with counter"), "{}", own.stdout);
}

/// What a program that does not end by itself prints before it has printed `lines` lines.
fn first_lines(program: &Path, port: u16, args: &[&str], lines: usize) -> Vec<String> {
    let mut child = Command::new(program)
        .args(["-p", &port.to_string()])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let found = stdout.lines().map_while(Result::ok).take(lines).collect();
    child.kill().expect("it is our child");
    child.wait().expect("it was killed");
    found
}

#[test]
fn what_never_ends_looks_the_same() {
    let server = Server::start("endless-modes");
    let ours = example("cli");
    // Stock redis-cli prints whole buffers into a pipe: what is small it never shows, so the
    // forms are compared with what a terminal sees.
    let spectrum = first_lines(&ours, server.port, &["--latency-dist", "-i", "0.05"], 10);
    assert_eq!(spectrum[1], ". - * #          .01 .125 .25 .5 milliseconds");
    let stock =
        first_lines(Path::new("redis-cli"), server.port, &["--latency-dist", "-i", "0.05"], 10);
    assert_eq!(spectrum[..8], stock[..8]);
    let letters = |line: &str| -> String {
        line.split('\u{1b}').filter_map(|part| part.split_once('m')).map(|(_, text)| text).collect()
    };
    assert_eq!(letters(&spectrum[8]), letters(&stock[8]));
    let mono = first_lines(&ours, server.port, &["--latency-dist", "--mono", "-i", "0.05"], 8);
    assert!(mono[6].contains("\u{1b}[48;5;253m "), "{mono:?}");
    let cache = first_lines(&ours, server.port, &["--lru-test", "100"], 1);
    assert!(cache[0].contains(" Gets/sec | Hits: ") && cache[0].ends_with("%)"), "{cache:?}");
}

#[test]
fn a_password_is_used_and_asked_for() {
    let server = Server::start("password");
    let mut client = server.client();
    client.expect_ok(&["CONFIG", "SET", "requirepass", "secret"]).expect("it can be set");
    client.expect_ok(&["AUTH", "secret"]).expect("it was just set");
    let ours = example("cli");
    for case in [
        Case { args: &["ping"], stdin: "", env: &[] },
        Case { args: &["-a", "secret", "ping"], stdin: "", env: &[] },
        Case { args: &["-a", "wrong", "ping"], stdin: "", env: &[] },
        Case { args: &["-a", "wrong", "-e", "ping"], stdin: "", env: &[] },
        Case { args: &["-a", "wrong", "-n", "2", "-3", "ping"], stdin: "", env: &[] },
        Case { args: &["-a", "secret", "-n", "99", "-3", "ping"], stdin: "", env: &[] },
        Case { args: &["--user", "default", "--pass", "secret", "ping"], stdin: "", env: &[] },
        Case { args: &["ping"], stdin: "", env: &[("REDISCLI_AUTH", "secret")] },
        Case { args: &["-a", "wrong", "ping"], stdin: "", env: &[("REDISCLI_AUTH", "secret")] },
        Case { args: &["-n", "2"], stdin: "ping\nauth secret\nping\nget x\n", env: &[] },
        Case { args: &["-a", "wrong"], stdin: "ping\nping\n", env: &[] },
        Case { args: &["-a", "wrong", "--scan"], stdin: "", env: &[] },
        Case { args: &["--pipe", "--pipe-timeout", "5"], stdin: "PING\r\n", env: &[] },
        Case { args: &["--rdb", "/dev/null"], stdin: "", env: &[] },
    ] {
        let [stock, own] =
            [Path::new("redis-cli"), &ours].map(|program| run(program, server.port, &case));
        assert_eq!(own, stock, "{:?} {:?} {:?}", case.args, case.stdin, case.env);
    }
}

#[test]
fn an_rdb_file_equals_the_stock_client_s() {
    let server = Server::start("rdb");
    prepare(&server);
    let mut client = server.client();
    let ours = example("cli");
    for diskless in ["no", "yes"] {
        client.expect_ok(&["CONFIG", "SET", "repl-diskless-sync", diskless]).expect("it exists");
        client.expect_ok(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]).expect("it exists");
        let files =
            [("stock.rdb", Path::new("redis-cli")), ("ours.rdb", &ours)].map(|(name, program)| {
                let path = server.dir.join(name);
                let args = ["--rdb", path.to_str().expect("a plain path")];
                let outcome = run(program, server.port, &Case { args: &args, stdin: "", env: &[] });
                assert_eq!(outcome.code, Some(0), "{outcome:?}");
                let check = Command::new("redis-check-rdb").arg(&path).output().expect("installed");
                assert!(check.status.success(), "{check:?}");
                std::fs::metadata(&path).expect("it was written").len()
            });
        assert_eq!(files[0], files[1], "with repl-diskless-sync {diskless}");
        let args = ["--rdb", "-"];
        let piped = run(&ours, server.port, &Case { args: &args, stdin: "", env: &[] });
        assert_eq!(piped.stdout.chars().count() as u64, files[0]);
        assert!(piped.stdout.starts_with("REDIS00"));
    }
}

#[test]
fn a_replica_shows_the_stream() {
    let server = Server::start("replica");
    let mut client = server.client();
    client.expect_ok(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]).expect("it exists");
    let mut child = Command::new(example("cli"))
        .args(["-p", &server.port.to_string(), "--replica"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut told = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let mut said = told.by_ref().map_while(Result::ok);
    assert!(said.any(|line| line == "sending REPLCONF ACK 0"));
    client.expect_ok(&["SET", "a", "x \"y\""]).expect("it is written");
    let mut shown = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut shown = shown.by_ref().map_while(Result::ok);
    assert!(shown.any(|line| line == "\"SET\",\"a\",\"x \\\"y\\\"\""));
    client.expect_ok(&["CLIENT", "KILL", "TYPE", "replica"]).expect("it is there");
    assert_eq!(said.last().as_deref(), Some("Error: Server closed the connection"));
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
}
