//! Connections as clients make them: over a unix socket, with long pipelines, large values and
//! many at once; and how those end that ask too much.

use std::time::Duration;

use tandem_harness::{Client, Kind, Server, Value, wait_until};

use crate::pairs::for_each_kind;

for_each_kind!(
    a_unix_socket_serves_like_a_port,
    a_pipeline_of_any_length_is_answered_in_order,
    a_large_value_goes_in_and_out,
    a_client_that_does_not_read_is_cut_off,
    a_client_that_only_ends_its_sending_gets_its_answers,
    connections_beyond_the_limit_are_refused,
    who_was_told_that_he_may_go_is_gone,
    an_idle_client_is_closed_after_its_time,
    many_clients_share_one_keyspace,
    a_counter_shared_by_many_loses_nothing,
);

fn a_unix_socket_serves_like_a_port(kind: &Kind) {
    let folder = tandem_harness::Folder::new();
    let path = folder.file("sock");
    let server = Server::start(kind, &["--unixsocket", &path, "--unixsocketperm", "700"]);
    let mut c = Client::connect_unix(&path);
    c.run("SET a 1").ok();
    assert_eq!(server.client().run("GET a").text(), "1");
    assert!(c.run("CLIENT INFO").text().contains(&format!("addr={path}:0")));
}

fn a_pipeline_of_any_length_is_answered_in_order(kind: &Kind) {
    const COMMANDS: usize = 100_000;
    let server = Server::start(kind, &[]);
    let port = server.port();
    let bytes = b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n".repeat(COMMANDS);
    let mut c = server.client();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut other = Client::connect(port);
            other.send_raw(&bytes).expect("the server reads on");
            for n in 1..=COMMANDS {
                let reply = other.read().expect("an answer for each");
                assert_eq!(reply, Value::Int(i64::try_from(n).expect("a count fits")));
            }
        });
        for n in 0..1000 {
            assert_eq!(c.cmd(&["ECHO", &n.to_string()]).text(), n.to_string());
        }
    });
    let lines: Vec<String> = (0..10_000).map(|n| format!("ECHO {n}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for (n, reply) in c.pipeline(&lines).iter().enumerate() {
        assert_eq!(reply.text(), n.to_string());
    }
}

fn a_large_value_goes_in_and_out(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let mut c = server.client();
    let value: Vec<u8> =
        (0..64_u32 << 20).map(|n| u8::try_from(n % 251).expect("below 251")).collect();
    c.cmd(&[b"SET".as_slice(), b"big", &value]).ok();
    assert_eq!(c.run("STRLEN big").int(), 64 << 20);
    let Value::Bulk(got) = c.run("GET big") else { panic!("it is there") };
    assert!(got == value, "what came back is not what was sent");
    assert_eq!(c.run("APPEND big tail").int(), (64 << 20) + 4);
    assert_eq!(
        c.run("GETRANGE big -6 -1"),
        Value::Bulk([&value[value.len() - 2..], b"tail"].concat())
    );
}

fn a_client_that_does_not_read_is_cut_off(kind: &Kind) {
    let server = Server::start(kind, &["--client-output-buffer-limit", "normal 4mb 0 0"]);
    let mut c = server.client();
    c.cmd(&["SET", "big", &"x".repeat(1 << 20)]).ok();
    let mut lazy = server.client();
    lazy.set_patience(Duration::from_secs(10));
    for _ in 0..64 {
        if lazy.send(&["GET", "big"]).is_err() {
            break;
        }
    }
    wait_until("it is gone", || c.run("CLIENT LIST").text().lines().count() == 1);
    server.wait_for_log("for overcoming of output buffer limits.");
    assert_eq!(c.run("PING").text(), "PONG");
}

fn a_client_that_only_ends_its_sending_gets_its_answers(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let mut c = server.client();
    c.send_raw(b"PING\r\nECHO last\r\n").expect("a live connection");
    assert_eq!(c.read().expect("an answer").text(), "PONG");
    assert_eq!(c.read().expect("an answer").text(), "last");
    c.end_sending();
    assert!(c.read_to_end().expect("the server closes").is_empty());
    wait_until("it is gone", || server.client().info("connected_clients") == "1");
}

fn connections_beyond_the_limit_are_refused(kind: &Kind) {
    let server = Server::start(kind, &["--maxclients", "10"]);
    let mut held = Vec::new();
    let refused = loop {
        assert!(held.len() <= 10, "the limit was not kept");
        let mut c = server.client();
        match c.run("PING") {
            Value::Error(text) => break String::from_utf8_lossy(&text).into_owned(),
            _ => held.push(c),
        }
    };
    assert_eq!(refused, "ERR max number of clients reached");
    assert_eq!(held.len(), 10);
    assert_eq!(held[0].run("PING").text(), "PONG");
    assert_ne!(held[0].info("rejected_connections"), "0");
    held.truncate(5);
    wait_until("there is room again", || {
        Client::try_connect(server.port()).is_ok_and(|mut c| c.run("PING").error().is_none())
    });
}

/// Whichever worker is asked: nobody sees a connection whose end was answered, nothing is sent
/// there, and its place is free.
fn who_was_told_that_he_may_go_is_gone(kind: &Kind) {
    let server = Server::start(kind, &["--maxclients", "12"]);
    let mut held: Vec<Client> = (0..11).map(|_| server.client()).collect();
    held.iter_mut().for_each(|c| assert_eq!(c.run("PING").text(), "PONG"));
    for round in 0..300 {
        let mut leaves = server.client();
        // There was room: the one before had gone.
        let id = leaves.run("CLIENT ID").int();
        leaves.run("SUBSCRIBE news");
        leaves.run("QUIT").ok();
        let asked = &mut held[round % 11];
        assert_eq!(asked.run(&format!("CLIENT LIST ID {id}")).text(), "", "round {round}");
        assert_eq!(asked.run("PUBLISH news hot").int(), 0, "round {round}");
        assert_eq!(asked.info("connected_clients"), "11", "round {round}");
    }
}

fn an_idle_client_is_closed_after_its_time(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let mut idle = server.client();
    assert_eq!(idle.run("PING").text(), "PONG");
    // From now on: it must not have been idle before.
    idle.run("CONFIG SET timeout 1").ok();
    assert!(idle.read_to_end().expect("the server closes").is_empty());
}

fn many_clients_share_one_keyspace(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let mut clients: Vec<Client> = (0..200).map(|_| server.client()).collect();
    for (n, c) in clients.iter_mut().enumerate() {
        c.cmd(&["SET", &format!("k{n}"), &n.to_string()]).ok();
    }
    for (n, c) in clients.iter_mut().rev().enumerate() {
        assert_eq!(c.cmd(&["GET", &format!("k{n}")]).text(), n.to_string());
    }
    assert_eq!(clients[0].run("DBSIZE").int(), 200);
    assert_eq!(clients[0].info("connected_clients"), "200");
}

/// Increments, transactions and optimistic locks from many threads: the sum says whether any
/// read-modify-write was torn.
fn a_counter_shared_by_many_loses_nothing(kind: &Kind) {
    const THREADS: i64 = 8;
    const ROUNDS: i64 = 300;
    let server = Server::start(kind, &[]);
    let port = server.port();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(move || {
                let mut c = Client::connect(port);
                for _ in 0..ROUNDS {
                    c.pipeline(&["INCR n", "APPEND text x", "MULTI", "INCR a", "INCR b", "EXEC"]);
                    increment_optimistically(&mut c);
                }
            });
        }
    });
    let mut c = server.client();
    let all = (THREADS * ROUNDS).to_string();
    for key in ["n", "a", "b", "watched"] {
        assert_eq!(c.cmd(&["GET", key]).text(), all, "{key}");
    }
    assert_eq!(c.run("STRLEN text").int(), THREADS * ROUNDS);
}

/// One increment by WATCH, GET, and a transaction that is tried until nobody came between.
fn increment_optimistically(c: &mut Client) {
    loop {
        c.run("WATCH watched").ok();
        let now = match c.run("GET watched") {
            Value::NilBulk => 0,
            value => value.text().parse::<i64>().expect("a number"),
        };
        let set = format!("SET watched {}", now + 1);
        let replies = c.pipeline(&["MULTI", &set, "EXEC"]);
        if matches!(replies[2], Value::Array(_)) {
            return;
        }
    }
}
