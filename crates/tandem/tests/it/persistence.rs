//! RDB files: what one program writes the other reads; what is saved while writers go on is a
//! whole; what is broken is refused and left as it is.

use std::path::Path;
use std::process::Command;

use tandem_harness::{Kind, Load, Server, Value, wait_until};

use crate::pairs::{for_each_kind, for_each_pair};
use crate::{STEADY, fill, start_replica, tandem, wait_same_data};

for_each_pair!(
    a_file_of_one_is_read_by_the_other,
    a_transfer_that_gets_no_name_is_tried_again,
    a_replica_that_cannot_save_says_so_and_follows,
);

for_each_kind!(
    data_outlives_a_restart,
    what_was_answered_outlives_the_end,
    a_shutdown_that_was_taken_back_may_be_asked_for_again,
    a_file_saved_under_load_is_whole,
    debug_reload_changes_nothing,
    a_broken_file_is_refused_and_left_alone,
    a_failed_save_leaves_the_old_file,
    flushall_stops_a_background_save,
    save_points_save_by_themselves,
    termination_saves_when_there_are_save_points,
    a_save_that_comes_to_nothing_leaves_no_file,
    a_second_interrupt_waits_for_no_save_and_leaves_no_file,
);

/// Puts the RDB file of a stopped server where another will look for it.
fn hand_over(from: &str) -> impl FnOnce(&Path) + '_ {
    move |folder| {
        std::fs::copy(from, folder.join("dump.rdb")).expect("the file is there");
    }
}

fn a_file_of_one_is_read_by_the_other(writer: &Kind, reader: &Kind) {
    for compression in ["yes", "no"] {
        let w = Server::start(writer, &["--rdbcompression", compression]);
        fill(&w);
        let mut c = w.client();
        c.run("SET volatile x PXAT 33177117420123").ok();
        c.run("DEL past");
        c.run("SAVE").ok();
        let digest = c.digest();
        let r = Server::start_on(reader, &[], hand_over(&w.file("dump.rdb")));
        let mut c = r.client();
        assert_eq!(c.digest(), digest);
        assert_eq!(c.run("PEXPIRETIME volatile").int(), 33_177_117_420_123);
        assert_eq!(c.run("OBJECT ENCODING zero").text(), "int");
    }
}

fn data_outlives_a_restart(kind: &Kind) {
    let mut server = Server::start(kind, &[]);
    fill(&server);
    let mut c = server.client();
    c.run("DEL past");
    let digest = c.digest();
    server.shutdown("SAVE");
    server.start_again(&[]);
    let mut c = server.client();
    assert_eq!(c.digest(), digest);
    assert_eq!(c.info("rdb_changes_since_last_save"), "0");
    server.shutdown("NOSAVE");
    server.start_again(&[]);
    assert_eq!(server.client().digest(), digest);
}

/// Sends a signal, and waits until a thread of the server has taken it.
fn signal(server: &Server, name: &str) {
    let status = Command::new("kill").args([name, &server.pid().to_string()]).status();
    assert!(status.expect("kill is there").success());
    let file = format!("/proc/{}/status", server.pid());
    wait_until("the signal is taken", || {
        // Of a process that has ended there is none, or an empty one.
        let status = std::fs::read_to_string(&file).unwrap_or_default();
        let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
        pending.is_none_or(|set| set.trim().bytes().all(|digit| digit == b'0'))
    });
}

/// The first SIGINT after it asks, and what is written meanwhile is saved.
fn a_shutdown_that_was_taken_back_may_be_asked_for_again(kind: &Kind) {
    let mut server = Server::start(kind, &["--save", "3600 1", "--shutdown-timeout", "600"]);
    let replica = start_replica(kind, server.port(), &[]);
    let mut c = server.client();
    replica.pause();
    c.run("SET before abort").ok();
    let waits = |count| {
        let line = "Waiting for replicas before shutting down";
        wait_until(line, || server.log().matches(line).count() == count);
    };
    signal(&server, "-TERM");
    waits(1);
    c.run("SHUTDOWN ABORT").ok();
    c.run("SET after abort").ok();
    signal(&server, "-INT");
    waits(2);
    replica.resume();
    assert!(server.wait_end().success());
    drop(replica);
    server.start_again(&[]);
    assert_eq!(server.client().run("GET after").text(), "abort");
}

/// What a client was told is in the file that the last save wrote, however the end was asked for.
fn what_was_answered_outlives_the_end(kind: &Kind) {
    for how in ["SIGTERM", "SHUTDOWN"] {
        let mut server = Server::start(kind, &["--save", "3600 1"]);
        let port = server.port();
        let clients: Vec<_> = (0..6)
            .map(|number| {
                std::thread::spawn(move || {
                    let mut client = tandem_harness::Client::connect(port);
                    let mut last = 0;
                    while let Ok(reply) = client.try_cmd(&["INCR", &format!("count{number}")]) {
                        last = reply.int();
                    }
                    last
                })
            })
            .collect();
        let mut c = server.client();
        wait_until("all of them count", || {
            (0..6).all(|number| {
                let count = c.run(&format!("GET count{number}"));
                matches!(count, Value::Bulk(count) if count.len() > 2)
            })
        });
        if how == "SIGTERM" {
            server.terminate();
        } else {
            server.shutdown("SAVE");
        }
        let answered: Vec<i64> = clients.into_iter().map(|c| c.join().expect("a count")).collect();
        server.start_again(&[]);
        let mut c = server.client();
        for (number, answered) in answered.into_iter().enumerate() {
            let kept: i64 = c.run(&format!("GET count{number}")).text().parse().expect("a number");
            assert!(kept >= answered, "{how}: {answered} was answered and {kept} is left");
        }
    }
}

/// Keys are written in pairs by transactions; a file that holds half of one was not cut at one
/// instant.
fn a_file_saved_under_load_is_whole(kind: &Kind) {
    let server = Server::start(kind, &[]);
    server.client().run("DEBUG POPULATE 50000 plain 100").ok();
    let port = server.port();
    let load = Load::start(port, 2, 6, STEADY);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&stop);
    let pairs = std::thread::spawn(move || {
        let mut c = tandem_harness::Client::connect(port);
        for n in 0.. {
            let line = format!("MSET left{{p}} {n} right {n}");
            c.pipeline(&["MULTI", &line, &format!("SET third {n}"), "EXEC"]);
            if seen.load(std::sync::atomic::Ordering::SeqCst) {
                break;
            }
        }
    });
    let mut c = server.client();
    for _ in 0..3 {
        let third = c.run("GET third");
        wait_until("the pairs go on", || c.run("GET third") != third);
        let saves = c.info_number("rdb_saves");
        assert!(c.run("BGSAVE").text().starts_with("Background saving started"));
        wait_until("the save is done", || {
            c.info_number("rdb_saves") > saves && c.info("rdb_bgsave_in_progress") == "0"
        });
        assert_eq!(c.info("rdb_last_bgsave_status"), "ok");
        let copy = Server::start_on(&crate::redis(), &[], hand_over(&server.file("dump.rdb")));
        let mut of_copy = copy.client();
        let values = of_copy.run("MGET left{p} right third");
        let [left, right, third] = values.items() else { panic!("{values:?}") };
        assert_eq!((left.text(), left.text()), (right.text(), third.text()));
        assert!(of_copy.run("DBSIZE").int() > 50_000);
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    pairs.join().expect("the writer of pairs ends well");
    assert!(load.stop() > 100);
}

fn debug_reload_changes_nothing(kind: &Kind) {
    let server = Server::start(kind, &[]);
    fill(&server);
    let mut c = server.client();
    c.run("DEL past");
    let digest = c.digest();
    c.run("DEBUG RELOAD").ok();
    assert_eq!(c.digest(), digest);
}

fn a_broken_file_is_refused_and_left_alone(kind: &Kind) {
    let server = Server::start(kind, &[]);
    fill(&server);
    server.client().run("SAVE").ok();
    let sound = std::fs::read(server.file("dump.rdb")).expect("it was just saved");
    let middle = sound.len() / 2;
    let mut flipped = sound.clone();
    flipped[middle] ^= 0x40;
    // The first key of the file again, behind the last: stock Redis says so as a crash.
    let body = sound.len() - 9;
    let twice = [&sound[..body], b"\xfe\x00\x00\x04zero\x01v\x00\x04zero\x01v\xff", &[0; 8]];
    let mut broken = vec![
        ("cut", sound[..middle].to_vec()),
        ("flipped", flipped),
        ("foreign", b"GARBAGE!".repeat(9)),
    ];
    if kind.is_tandem() {
        broken.push(("twice", twice.concat()));
    }
    for (what, bytes) in broken {
        let folder = tandem_harness::Folder::new();
        let file = folder.path().join("dump.rdb");
        std::fs::write(&file, &bytes).expect("our own folder is writable");
        let port = tandem_harness::free_port().to_string();
        let dir = folder.path().display().to_string();
        let (code, output) = Server::run_in_vain(kind, &folder, &["--port", &port, "--dir", &dir]);
        assert_eq!(code, Some(1), "{what}: {output}");
        assert!(
            std::fs::read(&file).expect("it is still there") == bytes,
            "{what}: it was touched"
        );
        let named = ["RDB", "rdb", "DB"].iter().any(|word| output.contains(word));
        assert!(named, "{what}: the message does not say what is wrong:\n{output}");
    }
}

fn a_failed_save_leaves_the_old_file(kind: &Kind) {
    let server = Server::start(kind, &["--enable-protected-configs", "yes"]);
    let mut c = server.client();
    c.run("SET a 1").ok();
    c.run("SAVE").ok();
    let old = std::fs::read(server.file("dump.rdb")).expect("it was just saved");
    // A folder of the file's name cannot be replaced by a file, not even by root.
    std::fs::create_dir(server.file("blocked.rdb")).expect("our own folder is writable");
    std::fs::write(server.file("blocked.rdb") + "/x", "x").expect("our own folder is writable");
    c.run("CONFIG SET dbfilename blocked.rdb").ok();
    c.run("SET a 2").ok();
    assert_eq!(c.run("SAVE").error().as_deref(), Some("ERR"));
    c.run("BGSAVE");
    wait_until("the save has failed", || c.info("rdb_last_bgsave_status") == "err");
    assert!(std::fs::read(server.file("dump.rdb")).expect("it is still there") == old);
    let left: Vec<String> = std::fs::read_dir(server.file(""))
        .expect("our own folder")
        .map(|e| e.expect("readable").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("temp"))
        .collect();
    assert!(left.is_empty(), "temporary files are left: {left:?}");
    // With save points set, a failed save stops writes until one succeeds.
    c.run("CONFIG SET save \"1000 1000\"").ok();
    let refused = c.run("SET a 3").error().expect("writes are refused");
    assert!(refused.starts_with("MISCONF"), "{refused}");
    c.run("CONFIG SET dbfilename dump.rdb").ok();
    c.run("BGSAVE");
    wait_until("writes are taken again", || c.run("SET a 3").error().is_none());
}

fn a_replica_that_cannot_save_says_so_and_follows(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    let mut writer = m.client();
    writer.run("SET a 1").ok();
    // Stock Redis ends at the first write from its master without this.
    let args = ["--enable-protected-configs", "yes", "--replica-ignore-disk-write-errors", "yes"];
    let r = start_replica(replica, m.port(), &args);
    let mut c = r.client();
    std::fs::create_dir(r.file("blocked.rdb")).expect("our own folder is writable");
    std::fs::write(r.file("blocked.rdb") + "/x", "x").expect("our own folder is writable");
    c.run("CONFIG SET save \"1000 1000\" dbfilename blocked.rdb").ok();
    c.run("BGSAVE");
    wait_until("the save has failed", || c.info("rdb_last_bgsave_status") == "err");
    wait_until("its consequences are drawn", || c.run("PING").error().is_some());
    let misconf = |value: Value| {
        let error = value.error().expect("it is refused");
        assert!(error.starts_with("MISCONF"), "{error}");
    };
    misconf(c.run("PING"));
    misconf(c.run("SET a 2"));
    c.run("CONFIG SET replica-read-only no").ok();
    misconf(c.run("SET a 2"));
    assert_eq!(c.run("GET a").text(), "1");
    // None of it is asked of what the master says.
    for line in ["SET a 3", "MULTI", "SET b 4", "HSET h f v", "EXEC", "FLUSHALL", "SET c 5"] {
        writer.run(line);
    }
    wait_same_data(&m, &r);
    assert_eq!(c.run("GET c").text(), "5");
    assert_eq!(m.client().info("sync_full"), "1");
    assert!(!r.log().contains("CRITICAL"), "{}", r.log());
    c.run("CONFIG SET dbfilename dump.rdb").ok();
    c.run("BGSAVE");
    wait_until("it answers again", || c.run("PING").error().is_none());
    c.run("SET own 1").ok();
}

fn flushall_stops_a_background_save(kind: &Kind) {
    for save in ["", "3600 1"] {
        let mut server = Server::start(kind, &["--save", save]);
        let mut c = server.client();
        c.run("DEBUG POPULATE 5000").ok();
        c.run("SAVE").ok();
        c.run("CONFIG SET rdb-key-save-delay 10000").ok();
        c.run("BGSAVE");
        assert_eq!(c.info("rdb_bgsave_in_progress"), "1");
        c.run("FLUSHALL").ok();
        // At its pace the save would take 50 seconds.
        wait_until("the save was stopped", || c.info("rdb_bgsave_in_progress") == "0");
        assert_eq!(c.info("rdb_last_bgsave_status"), "ok");
        c.run("SET a 1").ok();
        // With save points the file is empty now, and without it is the old one.
        server.kill();
        server.start_again(&[]);
        let keys = if save.is_empty() { 5000 } else { 0 };
        assert_eq!(server.client().run("DBSIZE").int(), keys, "save {save:?}");
    }
}

#[test]
fn flushall_lets_a_replica_have_the_snapshot_that_it_waits_for() {
    let master = Server::start(&tandem(4), &["--repl-diskless-sync", "no", "--save", "3600 1"]);
    let mut c = master.client();
    c.run("DEBUG POPULATE 2000").ok();
    c.run("CONFIG SET rdb-key-save-delay 10000").ok();
    c.run("BGSAVE");
    let replica = Server::start(&tandem(1), &[]);
    replica.replicate(master.port());
    wait_until("the replica waits", || c.info("slave0").contains("state=wait_bgsave"));
    c.run("FLUSHALL").ok();
    c.run("SET a 1").ok();
    replica.wait_link_up();
    wait_same_data(&master, &replica);
    assert_eq!(c.info("sync_full"), "1");
}

fn save_points_save_by_themselves(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let mut c = server.client();
    c.run("CONFIG SET save \"1 10\"").ok();
    // In one command: a save must not begin in the middle of them.
    let pairs: Vec<String> = (0..20).flat_map(|n| [format!("k{n}"), "v".to_owned()]).collect();
    c.cmd(&[&["MSET".to_owned()], &pairs[..]].concat()).ok();
    wait_until("a save point is reached", || c.info_number("rdb_saves") == 1);
    wait_until("the save is done", || c.info("rdb_bgsave_in_progress") == "0");
    assert_eq!(c.info("rdb_changes_since_last_save"), "0");
    assert!(Path::new(&server.file("dump.rdb")).is_file());
    assert!(server.log().contains("10 changes in 1 seconds. Saving..."));
}

fn termination_saves_when_there_are_save_points(kind: &Kind) {
    let mut server = Server::start(kind, &[]);
    server.client().run("SET a 1").ok();
    server.terminate();
    assert!(!Path::new(&server.file("dump.rdb")).exists(), "nothing asked for a file");
    server.start_again(&[]);
    let mut c = server.client();
    assert_eq!(c.run("DBSIZE").int(), 0);
    c.run("SET a 1").ok();
    c.run("CONFIG SET save \"1000 1000\"").ok();
    assert_eq!(server.terminate().code(), Some(0));
    server.start_again(&[]);
    assert_eq!(server.client().run("GET a").text(), "1");
}

/// The files in a server's folder that are in the making.
fn in_the_making(server: &Server) -> Vec<String> {
    let entries = std::fs::read_dir(server.file("")).expect("its folder is there");
    let names = entries.flatten().map(|e| e.file_name().into_string().expect("plain names"));
    names.filter(|name| name.starts_with("temp-")).collect()
}

/// Begins a save that takes long.
fn begin_slow_save(server: &Server) {
    let mut c = server.client();
    c.run("DEBUG POPULATE 100 key 10").ok();
    c.run("CONFIG SET rdb-key-save-delay 1000000").ok();
    assert!(c.run("BGSAVE").text().starts_with("Background saving started"));
}

fn a_save_that_comes_to_nothing_leaves_no_file(kind: &Kind) {
    let there = |s: &Server| wait_until("its file is there", || in_the_making(s).len() == 1);
    let gone = |s: &Server| wait_until("its file is gone", || in_the_making(s).is_empty());
    let mut server = Server::start(kind, &["--enable-protected-configs", "yes"]);
    let mut c = server.client();
    begin_slow_save(&server);
    there(&server);
    c.run("FLUSHALL").ok();
    gone(&server);
    let master = Server::start(kind, &[]);
    begin_slow_save(&server);
    there(&server);
    server.replicate(master.port());
    server.wait_link_up();
    gone(&server);
    c.run("REPLICAOF NO ONE").ok();
    // Its name is taken by a folder.
    c.run("CONFIG SET dbfilename folder rdb-key-save-delay 0").ok();
    std::fs::create_dir(server.file("folder")).expect("our own folder is writable");
    c.run("BGSAVE");
    wait_until("it has failed", || c.info("rdb_last_bgsave_status") == "err");
    assert!(c.run("SAVE").error().is_some());
    gone(&server);
    begin_slow_save(&server);
    there(&server);
    server.shutdown("NOSAVE");
    assert_eq!(in_the_making(&server), [""; 0]);
}

fn a_second_interrupt_waits_for_no_save_and_leaves_no_file(kind: &Kind) {
    for by_client in [true, false] {
        let mut server = Server::start(kind, &["--save", "3600 1"]);
        let mut c = server.client();
        c.run("DEBUG POPULATE 1000 key 10").ok();
        // At its pace a save takes 100 seconds.
        c.run("CONFIG SET rdb-key-save-delay 100000").ok();
        let saves = by_client.then(|| std::thread::spawn(move || c.try_cmd(&["SAVE"])));
        if !by_client {
            signal(&server, "-INT");
        }
        let name = format!("temp-{}.rdb", server.pid());
        wait_until("its file is there", || in_the_making(&server) == [name.as_str()]);
        if by_client {
            signal(&server, "-INT");
            if !kind.is_tandem() {
                // Its handler is still at work, and the next would be another thread's first.
                server.wait_for_log("Received SIGINT scheduling shutdown");
            }
            assert_eq!(in_the_making(&server), [name]);
        }
        signal(&server, "-INT");
        assert_eq!(server.wait_end().code(), Some(1));
        assert_eq!(in_the_making(&server), [""; 0]);
        assert!(server.log().contains("You insist... exiting now."));
        if let Some(saves) = saves {
            assert!(saves.join().expect("a client").is_err(), "nothing was saved");
        }
    }
}

#[test]
fn a_replica_that_ends_during_a_transfer_leaves_no_file() {
    let master = Server::start(&tandem(1), &["--rdb-key-save-delay", "20000"]);
    master.client().run("DEBUG POPULATE 1000 key 10000").ok();
    let mut replica = Server::start(&tandem(2), &[]);
    replica.client().run("SET something to-lose").ok();
    replica.replicate(master.port());
    wait_until("it takes its master's data", || !in_the_making(&replica).is_empty());
    replica.client().run("REPLICAOF NO ONE").ok();
    wait_until("it has given that up", || in_the_making(&replica).is_empty());
    replica.replicate(master.port());
    wait_until("it takes its master's data", || !in_the_making(&replica).is_empty());
    replica.shutdown("NOSAVE");
    assert_eq!(in_the_making(&replica), [""; 0]);
}

fn a_transfer_that_gets_no_name_is_tried_again(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &["--repl-diskless-sync", "no"]);
    m.client().run("DEBUG POPULATE 1000 key 10000").ok();
    let named = ["--dbfilename", "folder", "--enable-protected-configs", "yes"];
    let r = Server::start(replica, &named);
    std::fs::create_dir(r.file("folder")).expect("our own folder is writable");
    let mut c = r.client();
    c.run("SET own data").ok();
    r.replicate(m.port());
    r.wait_for_log(
        "Failed trying to rename the temp DB into folder in MASTER <-> REPLICA synchronization: Is \
         a directory",
    );
    if replica.is_tandem() {
        // Redis has dropped its data before; here nobody is served just while it is tried.
        wait_until("the old data are there", || c.run("GET own") == Value::Bulk(b"data".to_vec()));
    }
    c.run("CONFIG SET dbfilename dump.rdb").ok();
    r.wait_link_up();
    wait_same_data(&m, &r);
    assert_eq!(c.run("DBSIZE").int(), 1000);
    wait_until("no attempt has left its file", || in_the_making(&r).is_empty());
}

#[test]
fn what_a_killed_server_left_goes_at_the_next_start_and_nothing_else_does() {
    let mut server = Server::start(&tandem(1), &[]);
    let other = Server::start(&tandem(1), &["--dir", &server.file("")]);
    begin_slow_save(&other);
    wait_until("the other's is there", || in_the_making(&server).len() == 1);
    let of_other = in_the_making(&server);
    begin_slow_save(&server);
    wait_until("both are there", || in_the_making(&server).len() == 2);
    server.kill();
    for foreign in ["temp-1.rdb", "temp-17.4711.rdb"] {
        std::fs::write(server.file(foreign), "foreign").expect("our own folder is writable");
    }
    server.start_again(&[]);
    let mut left = in_the_making(&server);
    left.sort();
    assert_eq!(left[..2], ["temp-1.rdb", "temp-17.4711.rdb"]);
    assert_eq!(left[2..], of_other);
    assert!(server.log().contains(", which a killed server has left."));
}

#[test]
fn a_save_ends_in_the_folder_in_which_it_began() {
    let delay = ["--rdb-key-save-delay", "300000", "--enable-protected-configs", "yes"];
    let server = Server::start(&tandem(2), &delay);
    let mut c = server.client();
    c.run("DEBUG POPULATE 30 key 10").ok();
    c.run("BGSAVE");
    wait_until("its file is there", || !in_the_making(&server).is_empty());
    let other = server.file("other");
    std::fs::create_dir(&other).expect("our own folder is writable");
    c.cmd(&["CONFIG", "SET", "dir", &other]).ok();
    assert_eq!(c.info("rdb_bgsave_in_progress"), "1");
    wait_until("it is saved", || c.info("rdb_bgsave_in_progress") == "0");
    assert_eq!(c.info("rdb_last_bgsave_status"), "ok");
    assert!(Path::new(&server.file("dump.rdb")).exists());
    assert_eq!(in_the_making(&server), [""; 0]);
}
