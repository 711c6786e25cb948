//! Servers that answer as real ones rarely do, made of a listener and canned bytes. Stock
//! redis-cli meets the same ones, and both must behave alike.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use common::example;

/// Answers the first bytes of connection N with `answers[N]`, then says no more and closes it when
/// the client has: what it sends meanwhile would make another end of ours, now and then.
fn serve(answers: &[String]) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("some port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let answers: Vec<String> =
        answers.iter().map(|answer| answer.replace("PORT", &port.to_string())).collect();
    let thread = std::thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    (port, thread)
}

fn run(program: &Path, answers: &[String], args: &[&str], env: &[(&str, &str)]) -> String {
    let (port, server) = serve(answers);
    let output = Command::new(program)
        .args(["-p", &port.to_string()])
        .args(args)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("redis-cli 7.0.15 must be installed for this test");
    // A client that did not come back for every answer leaves the thread waiting: help it out.
    while !server.is_finished() {
        let _ = std::net::TcpStream::connect(("127.0.0.1", port));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    format!(
        "{:?} {:?} {:?}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr).replace(&port.to_string(), "PORT")
    )
}

fn check(answers: &[&str], args: &[&str], env: &[(&str, &str)]) -> String {
    let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    let stock = run(Path::new("redis-cli"), &answers, args, env);
    let ours = run(&example("cli"), &answers, args, env);
    assert_eq!(ours, stock, "{args:?} {answers:?}");
    ours
}

const TTY: &[(&str, &str)] = &[("FAKETTY", "1")];

#[test]
fn what_is_no_reply_ends_the_program() {
    for answer in
        ["x", "\u{1}\r\n", "$abc\r\n", "*-5\r\n", ":1x\r\n", "#x\r\n", ",1x\r\n", "=3\r\nabc\r\n"]
    {
        let outcome = check(&[answer], &["ping"], &[]);
        assert!(outcome.starts_with("Some(1)"), "{outcome}");
    }
    check(&[""], &["ping"], &[]);
    check(&["$5\r\nab"], &["ping"], &[]);
    check(&["*2\r\n:1\r\n"], &["ping"], &[]);
}

#[test]
fn pushes_are_shown_to_people_only() {
    let stale = ">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$2\r\nbc\r\n+OK\r\n";
    let outcome = check(&[stale], &["ping"], TTY);
    assert!(outcome.contains("-> invalidate: 'a', 'bc'\\nOK"), "{outcome}");
    check(&[stale], &["ping"], &[]);
    check(&[stale], &["--show-pushes", "yes", "ping"], &[]);
    check(&[stale], &["--show-pushes", "no", "ping"], TTY);
    check(&[">2\r\n+other\r\n:1\r\n+OK\r\n"], &["ping"], TTY);
    check(&[">2\r\n+other\r\n:1\r\n+OK\r\n"], &["--csv", "--show-pushes", "yes", "ping"], TTY);
}

#[test]
fn shapes_of_resp3_are_shown_alike() {
    for answer in [
        "%2\r\n+a\r\n*2\r\n:1\r\n:2\r\n+b\r\n%1\r\n+c\r\n~1\r\n+d\r\n",
        "~3\r\n*0\r\n%0\r\n~0\r\n",
        "*1\r\n%1\r\n*2\r\n:1\r\n:2\r\n*2\r\n:3\r\n:4\r\n",
        "%1\r\n%1\r\n+k\r\n:1\r\n_\r\n",
        "*3\r\n#t\r\n,-inf\r\n,1e10\r\n",
        "=8\r\ntxt:a\nb\"\r\n",
        "-ERR \"quoted\" text\r\n",
        "$4\r\na\u{0}b\u{7}\r\n",
        "*-1\r\n",
        "$-1\r\n",
    ] {
        for args in [&["ping"][..], &["--csv", "ping"], &["--raw", "ping"]] {
            check(&[answer], args, TTY);
        }
        let hello = format!("%0\r\n{answer}");
        for args in [&["--json", "ping"], &["--quoted-json", "ping"], &["-3", "ping"]] {
            check(&[&hello], args, TTY);
        }
    }
}

#[test]
fn greetings_that_fail_are_told() {
    check(&["-ERR unknown command HELLO\r\n+PONG\r\n"], &["-3", "ping"], &[]);
    check(&["-ERR unknown command HELLO\r\n+PONG\r\n"], &["--json", "ping"], &[]);
    check(&["-ERR no such db\r\n+PONG\r\n"], &["-n", "4", "ping"], &[]);
    check(&["-ERR max number of clients reached\r\n", "+PONG\r\n"], &["-n", "4", "ping"], &[]);
    check(&["", "+OK\r\n+PONG\r\n"], &["-n", "4", "ping"], &[]);
}

#[test]
fn redirections_are_followed_when_asked_to() {
    let moved = "-MOVED 866 127.0.0.1:PORT\r\n";
    let outcome = check(&[moved, "+OK\r\n"], &["-c", "set", "a", "1"], &[]);
    assert!(outcome.contains("OK"), "{outcome}");
    check(&["-ASK 866 127.0.0.1:PORT\r\n", "+OK\r\n+done\r\n"], &["-c", "set", "a", "1"], &[]);
    let (port, server) = serve(&[moved.to_owned()]);
    let output = Command::new(example("cli"))
        .args(["-p", &port.to_string(), "set", "a", "1"])
        .output()
        .expect("it runs");
    assert!(output.stdout.starts_with(b"MOVED 866"));
    server.join().expect("it served");
}

#[test]
fn a_typed_psync_is_followed() {
    let id = "0123456789012345678901234567890123456789";
    let stream = "*2\r\n$3\r\nDEL\r\n$1\r\na\r\n";
    for (answer, told) in [
        (format!("+FULLRESYNC {id} 7\r\n$3\r\nRDB{stream}"), "discarding 3 bytes"),
        (format!("+CONTINUE\r\n{stream}"), "discarding 0 bytes"),
    ] {
        let outcome = run(&example("cli"), &[answer], &["psync", id, "7"], &[]);
        assert!(outcome.contains(told), "{outcome}");
        assert!(outcome.contains(r#"\"DEL\",\"a\""#), "{outcome}");
    }
}
