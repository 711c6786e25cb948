//! Many connections at once: they come from several threads, some end with a reset, and nothing
//! of them stays behind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tandem_harness::{Client, Kind, PATIENCE, Server, wait_until};

use crate::pairs::for_each_kind;

for_each_kind!(
    a_storm_of_connections_leaves_nothing_behind,
    a_storm_lets_in_no_more_than_the_limit,
);

const THREADS: usize = 8;
/// What a server may keep of two thousand connections: tables that have grown.
const KEPT_BYTES: i64 = 512 << 10;

/// Lets this process open as many files as it may, and a server that it starts: how many that are.
fn raise_file_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("up to the maximum everybody may");
    limit.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

fn open_files(server: &Server) -> usize {
    let folder = format!("/proc/{}/fd", server.pid());
    std::fs::read_dir(folder).expect("a live process of ours").count()
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit above zero");
    stream
}

/// Opens `each` connections on each thread, looks at them with `c` while all are open, and closes
/// them: every other one with its answer unread, which the kernel makes a reset.
fn storm(port: u16, each: usize, c: &mut Client) {
    let (all_open, may_close) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut held = Vec::new();
                for n in 0..each {
                    let mut stream = connect(port);
                    stream.write_all(b"PING\r\n").expect("a live connection");
                    let mut answer = [0; 7];
                    if n % 2 == 0 {
                        stream.read_exact(&mut answer).expect("an answer");
                        assert_eq!(&answer, b"+PONG\r\n");
                    } else {
                        assert_ne!(stream.peek(&mut answer).expect("an answer"), 0);
                    }
                    held.push(stream);
                }
                all_open.wait();
                may_close.wait();
            });
        }
        all_open.wait();
        let open = THREADS * each + 1;
        let seen = c.info("connected_clients");
        may_close.wait();
        assert_eq!(seen, open.to_string());
    });
}

fn a_storm_of_connections_leaves_nothing_behind(kind: &Kind) {
    // Two thousand, if the machine lets a process have so many; some files are not connections.
    let each = ((raise_file_limit() - 200) / THREADS).min(250);
    let most = (THREADS * each + 100).to_string();
    let server = Server::start(kind, &["--maxclients", &most]);
    let mut c = server.client();
    // What a server makes when it is first needed is made.
    storm(server.port(), 10, &mut c);
    wait_until("all are gone", || c.info("connected_clients") == "1");
    let files = open_files(&server);
    let used = c.info_number("used_memory");
    for _ in 0..2 {
        storm(server.port(), each, &mut c);
        wait_until("all are gone", || c.info("connected_clients") == "1");
    }
    // One may have been open for a moment when these were counted.
    wait_until("their sockets are closed", || open_files(&server) <= files);
    wait_until("their memory is back", || c.info_number("used_memory") < used + KEPT_BYTES);
    assert_eq!(c.info("rejected_connections"), "0");
}

fn a_storm_lets_in_no_more_than_the_limit(kind: &Kind) {
    const EACH: usize = 40;
    const LIMIT: usize = 100;
    let server = Server::start(kind, &["--maxclients", &LIMIT.to_string()]);
    let mut c = server.client();
    let port = server.port();
    let all_there = Barrier::new(THREADS);
    let counts: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let (mut held, mut told) = (Vec::new(), 0);
                    for _ in 0..EACH {
                        let mut stream = connect(port);
                        // Who is refused may find the connection closed already.
                        let _ = stream.write_all(b"PING\r\n");
                        let mut answer = [0; 100];
                        match stream.read(&mut answer) {
                            Ok(count) if answer[..count] == *b"+PONG\r\n" => held.push(stream),
                            Ok(count) if count > 0 => {
                                let words = b"-ERR max number of clients reached\r\n";
                                assert_eq!(&answer[..count], words);
                                told += 1;
                            }
                            Ok(_) | Err(_) => {}
                        }
                    }
                    all_there.wait();
                    (held.len(), told)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("it asserts")).collect()
    });
    let let_in: usize = counts.iter().map(|(held, _)| held).sum();
    let told: usize = counts.iter().map(|(_, told)| told).sum();
    assert_eq!(let_in, LIMIT - 1, "one is the observer's");
    assert!(told > 0, "nobody was told why");
    let refused = THREADS * EACH - let_in;
    assert_eq!(c.info_number("rejected_connections"), i64::try_from(refused).expect("few"));
    wait_until("there is room again", || {
        Client::try_connect(port).is_ok_and(|mut c| c.run("PING").error().is_none())
    });
}
