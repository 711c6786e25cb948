//! What the system refuses: descriptors, threads, room in a socket. The server says so and goes
//! on.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use tandem_harness::{Client, Folder, Kind, Server, Sync, Value, wait_until};

use crate::idle::{sleeps, sleeps_of_main};
use crate::service::http;
use crate::tandem;

/// Sets a limit of a running process: `--what=soft:` leaves the hard one, which it may be too late
/// to raise.
fn set_limit(server: &Server, limit: &str) {
    let mut prlimit = Command::new("prlimit");
    let status = prlimit.args(["--pid", &server.pid().to_string(), limit]).status();
    assert!(status.expect("prlimit belongs to util-linux").success(), "{limit}");
}

/// Our binary behind `ulimit -n`.
fn with_descriptors(folder: &Folder, count: u32, workers: u32) -> Kind {
    let Kind::Tandem { bin, .. } = tandem(workers) else { return tandem(workers) };
    let path = folder.file("limited");
    let text = format!("#!/bin/sh\nulimit -n {count}\nexec {} server \"$@\"\n", bin.display());
    laid(&path, &text, workers)
}

/// The script `text` in our binary's place.
fn laid(path: &str, text: &str, workers: u32) -> Kind {
    std::fs::write(path, text).expect("our own folder is writable");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, executable).expect("our own file");
    Kind::Tandem { bin: path.into(), workers }
}

/// Whether a new client is served; the other way is to be told that there is no room.
fn is_served(server: &Server) -> Option<Client> {
    let mut c = server.client();
    c.set_patience(Duration::from_secs(20));
    match c.run("PING") {
        Value::Error(text) => {
            assert_eq!(text, b"ERR max number of clients reached");
            None
        }
        value => {
            assert_eq!(value.text(), "PONG");
            Some(c)
        }
    }
}

#[test]
fn every_client_that_has_a_descriptor_is_served_and_the_others_are_told() {
    let folder = Folder::new();
    let kind = with_descriptors(&folder, 200, 32);
    let server = Server::start(&kind, &["--maxclients", "150", "--metrics-port", "0"]);
    server.wait_for_log("You requested maxclients of 150 requiring at least ");
    let most = server.client().run("CONFIG GET maxclients").items()[1].text();
    let most: usize = most.parse().expect("a number");
    let served: Vec<_> = (0..150).map_while(|_| is_served(&server)).collect();
    assert_eq!(served.len(), most);
    assert!(is_served(&server).is_none());
    // There are descriptors left for the files of a save.
    let mut served = served;
    served[0].run("BGSAVE");
    wait_until("it is saved", || served[0].info("rdb_bgsave_in_progress") == "0");
    assert_eq!(served[0].info("rdb_last_bgsave_status"), "ok");
}

#[test]
fn more_clients_are_promised_only_with_descriptors_for_them() {
    let folder = Folder::new();
    let Kind::Tandem { bin, .. } = tandem(1) else { return };
    let path = folder.file("limited");
    let text = format!(
        "#!/bin/sh\nulimit -Sn 200\nulimit -Hn 400\nexec {} server \"$@\"\n",
        bin.display()
    );
    let kind = laid(&path, &text, 1);
    let server = Server::start(&kind, &["--maxclients", "20"]);
    let limit = || {
        let text = std::fs::read_to_string(format!("/proc/{}/limits", server.pid()));
        let text = text.expect("it runs");
        let line = text.lines().find(|line| line.starts_with("Max open files")).expect("shown");
        line.split_whitespace().nth(3).expect("the soft one").parse::<u32>().expect("a number")
    };
    let mut c = server.client();
    assert_eq!(limit(), 200);
    c.run("CONFIG SET maxclients 200").ok();
    assert!(limit() > 200, "{}", limit());
    let refused = c.run("CONFIG SET maxclients 1000").error().expect("there is no room");
    let (text, most) = refused.rsplit_once(' ').expect("a number comes last");
    assert_eq!(
        text,
        "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system \
         is not able to handle the specified number of clients, try with"
    );
    assert_eq!(c.run("CONFIG GET maxclients").items()[1].text(), "200");
    c.cmd(&["CONFIG", "SET", "maxclients", most]).ok();
    assert_eq!(limit(), 400);
}

#[test]
fn without_room_for_one_client_it_does_not_start() {
    let folder = Folder::new();
    let kind = with_descriptors(&folder, 45, 1);
    let (code, output) = Server::run_in_vain(&kind, &folder, &["--maxclients", "10"]);
    assert_eq!(code, Some(1));
    let said = "Your current 'ulimit -n' of 45 is not enough for the server to start.";
    assert!(output.contains(said), "{output}");
}

/// The address space that it has mapped, in bytes.
fn mapped(server: &Server) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", server.pid()));
    let text = text.expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("it is counted");
    let kilobytes = line.trim().strip_suffix(" kB").expect("the kernel's unit");
    kilobytes.parse::<u64>().expect("a number") << 10
}

#[test]
fn without_descriptors_it_waits_and_does_not_spin() {
    let server = Server::start(&tandem(2), &["--maxclients", "500"]);
    let mut c = server.client();
    assert_eq!(c.run("PING").text(), "PONG");
    // No descriptor may have a number above that.
    set_limit(&server, "--nofile=3:");
    let waiting = Client::connect(server.port());
    // The log cannot be opened either; but who waits sleeps, and the system counts that. One that
    // spins never does.
    let before = sleeps_of_main(&server);
    wait_until("it waits between its tries", || sleeps_of_main(&server) >= before + 10);
    assert_eq!(c.run("PING").text(), "PONG");
    set_limit(&server, "--nofile=1000:");
    let mut waiting = waiting;
    assert_eq!(waiting.run("PING").text(), "PONG");
}

/// A thread that cannot be had now may be had later.
#[test]
fn metrics_that_could_not_be_served_are_served_when_they_can() {
    let server = Server::start(&tandem(1), &["--maxclients", "50"]);
    let mut c = server.client();
    // It has its descriptor.
    c.run("PING");
    let line = format!("CONFIG SET metrics-port {}", tandem_harness::free_port());
    let used = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("it runs");
    let used: Vec<u32> =
        used.flatten().filter_map(|fd| fd.file_name().to_str()?.parse().ok()).collect();
    let mut free = (0..).filter(|number| !used.contains(number));
    // One is needed for the socket, one for the waker, one for the poll.
    for there in 0..3 {
        set_limit(&server, &format!("--nofile={}:", free.next().expect("endless")));
        let why = c.run(&line).error();
        let why = why.unwrap_or_else(|| panic!("{there} descriptors were enough"));
        assert!(why.contains("Too many open files"), "{why}");
        assert_eq!(c.run("CONFIG GET metrics-port").items()[1].text(), "0");
    }
    set_limit(&server, &format!("--nofile={}:", free.next().expect("endless")));
    c.run(&line).ok();
    let port = line.rsplit_once(' ').expect("a word").1.parse().expect("a number");
    set_limit(&server, "--nofile=1000:");
    assert!(http(port, "GET /healthz HTTP/1.0\r\n\r\n").ends_with("\r\n\r\nok\n"));
}

/// How often the log says that nothing can be accepted.
fn lines_of_want(server: &Server) -> usize {
    server.log().matches(" # Accepting client connection: accept: Too many open files\n").count()
}

/// The numbers of its descriptors.
fn descriptors(server: &Server) -> BTreeSet<usize> {
    let folder = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("it runs");
    let numbers = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.collect()
}

#[test]
fn the_want_of_descriptors_is_said_once_and_not_for_each_try() {
    let server = Server::start(&tandem(2), &["--maxclients", "500"]);
    assert_eq!(server.client().run("PING").text(), "PONG");
    set_limit(&server, "--nofile=3:");
    let mut waiting: Vec<Client> = (0..5).map(|_| Client::connect(server.port())).collect();
    wait_until("it is said", || lines_of_want(&server) > 0);
    let before = sleeps_of_main(&server);
    wait_until("it has tried often", || sleeps_of_main(&server) >= before + 20);
    assert_eq!(lines_of_want(&server), 1);
    set_limit(&server, "--nofile=1000:");
    for c in &mut waiting {
        assert_eq!(c.run("PING").text(), "PONG");
    }
    // The next want is another one.
    wait_until("a second has gone by", || {
        set_limit(&server, "--nofile=3:");
        let mut c = Client::connect(server.port());
        std::thread::sleep(Duration::from_millis(100));
        set_limit(&server, "--nofile=1000:");
        assert_eq!(c.run("PING").text(), "PONG");
        lines_of_want(&server) > 1
    });
}

#[test]
fn a_connection_that_closes_lets_in_one_that_waits() {
    let server = Server::start(&tandem(2), &["--maxclients", "500"]);
    let mut held = vec![server.client()];
    assert_eq!(held[0].run("PING").text(), "PONG");
    // Until every number below the highest is taken.
    let count = loop {
        let open = descriptors(&server);
        if open.last().is_some_and(|last| last + 1 == open.len()) {
            break open.len();
        }
        let mut c = server.client();
        assert_eq!(c.run("PING").text(), "PONG");
        held.push(c);
    };
    set_limit(&server, &format!("--nofile={count}:"));
    let waiting: Vec<Client> = (0..2).map(|_| Client::connect(server.port())).collect();
    wait_until("they wait", || lines_of_want(&server) == 1);
    for mut c in waiting {
        drop(held.pop());
        assert_eq!(c.run("PING").text(), "PONG");
        held.push(c);
    }
    // Nobody waits until the server by itself looks again, 100 ms after the last time.
    let mut quickest = Duration::MAX;
    wait_until("one comes in at once", || {
        let mut c = Client::connect(server.port());
        std::thread::sleep(Duration::from_millis(120));
        let began = Instant::now();
        drop(held.pop());
        assert_eq!(c.run("PING").text(), "PONG");
        held.push(c);
        quickest = quickest.min(began.elapsed());
        quickest < Duration::from_millis(20)
    });
}

/// Connections that a busy worker has not looked at count as well.
#[test]
fn the_limit_of_clients_holds_while_a_worker_is_busy() {
    let server = Server::start(&tandem(4), &["--maxclients", "12"]);
    let mut busy: Vec<Client> = (0..4).map(|_| server.client()).collect();
    for c in &mut busy {
        c.run("PING");
    }
    // The first one's worker accepts: it must not sleep.
    for c in &mut busy[1..] {
        c.send(&["DEBUG", "SLEEP", "1"]).expect("a live connection");
    }
    let others: Vec<Client> = (0..60).map(|_| server.client()).collect();
    let mut served = 0;
    for mut c in others {
        c.set_patience(Duration::from_secs(20));
        served += usize::from(c.try_cmd(&["PING"]).is_ok_and(|value| value.error().is_none()));
        // It stays open while the rest are counted.
        busy.push(c);
    }
    assert!(served <= 8, "{served} besides four others");
}

/// Whether no save is under way and the last one ended so.
fn has_ended(c: &mut Client, status: &str) -> bool {
    c.info("rdb_bgsave_in_progress") == "0" && c.info("rdb_last_bgsave_status") == status
}

#[test]
fn a_snapshot_without_its_thread_or_file_is_an_error_and_no_end() {
    let server = Server::start(&tandem(1), &["--enable-protected-configs", "yes"]);
    let mut c = server.client();
    c.run("SET a 1").ok();
    let fails = |c: &mut Client| {
        c.run("BGSAVE");
        wait_until("it has failed", || has_ended(c, "err"));
        c.run("SET a 2").ok();
    };
    let succeeds = |c: &mut Client| {
        c.run("BGSAVE");
        wait_until("it is saved", || has_ended(c, "ok"));
    };
    c.run("CONFIG SET stop-writes-on-bgsave-error no").ok();
    // What the allocator needs for these it has.
    c.info("rdb_last_bgsave_status");
    c.run("SET a 1").ok();
    // A thread's first allocation asks for more, and one that gets nothing ends the process.
    wait_until("all threads have begun", || {
        sleeps(&server, "housekeeper") >= 2 && sleeps(&server, "lazyfree") >= 1
    });
    // No stack, of 2 MB, can be mapped; it may be that the allocator needs some pages more.
    set_limit(&server, &format!("--as={}:unlimited", mapped(&server) + (1 << 20)));
    fails(&mut c);
    server.wait_for_log("Background saving error: there is no thread for it");
    set_limit(&server, "--as=unlimited");
    succeeds(&mut c);
    let gone = server.file("gone");
    std::fs::create_dir(&gone).expect("our own folder is writable");
    c.cmd(&["CONFIG", "SET", "dir", &gone]).ok();
    std::fs::remove_dir(&gone).expect("it is empty");
    fails(&mut c);
    fails(&mut c);
    c.cmd(&["CONFIG", "SET", "dir", &server.file("")]).ok();
    succeeds(&mut c);
}

/// Writes of the process so far, those too that found no room.
fn writes(server: &Server) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/io", server.pid())).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix("syscw: ")).expect("it is counted");
    line.parse().expect("a number")
}

#[test]
fn a_full_socket_is_left_alone() {
    const ROUNDS: u64 = 25;
    let server = Server::start(&tandem(1), &["--repl-diskless-sync", "no"]);
    let mut c = server.client();
    let mut replica = Sync::attach(server.port());
    c.cmd(&["SET", "big", &"x".repeat(16 << 20)]).ok();
    let quiet = || {
        let before = writes(&server);
        std::thread::sleep(Duration::from_millis(100));
        writes(&server) == before
    };
    wait_until("its socket is full", quiet);
    // On a busy machine the housekeeper dozes between some of them, and is woken by a write.
    wait_until("answers are all that is written", || {
        let before = writes(&server);
        for _ in 0..ROUNDS {
            c.run("PING");
        }
        writes(&server) - before < ROUNDS + ROUNDS / 4
    });
    // When it reads on, the rest comes.
    assert_eq!(replica.next_command(), "select 0");
    assert!(replica.next_command().starts_with("set big "));
}
