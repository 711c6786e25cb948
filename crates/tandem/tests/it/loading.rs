//! A start from a large file: clients are served as the table of commands says, INFO tells how
//! far it is, replicas and Sentinels come and wait, and every end that Redis knows works.
//!
//! `key-load-delay` makes the load long, and setting it to 0 makes it end.

use std::time::{Duration, Instant};

use tandem_harness::{Client, Folder, Kind, Server, free_port, wait_until, wait_within};

use crate::pairs::{for_each_kind, for_each_pair};
use crate::sentinel::Sentinel;
use crate::{fill, tandem, wait_same_data};

for_each_kind!(
    clients_are_served_as_the_table_says,
    a_client_may_end_it,
    a_signal_may_end_it,
    a_file_that_breaks_off_ends_it,
    a_file_of_more_databases_ends_it,
    a_sentinel_takes_it_for_alive,
);

for_each_pair!(
    a_replica_waits_for_a_loading_master,
    a_replica_dials_when_its_own_file_is_loaded,
    a_synchronisation_shows_the_same_figures,
);

const KEYS: i64 = 20_000;
/// Twenty seconds at least, and clients are served from the first kilobyte on.
const SLOWLY: [&str; 4] =
    ["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"];
const LOADING: &str = "LOADING Redis is loading the dataset in memory";
/// What a peer's words begin with: it may name itself in Redis's place.
const LOADING_WORD: &str = "LOADING ";

/// A server that has saved its data and stopped.
fn stopped(kind: &Kind, args: &[&str]) -> Server {
    let mut server = Server::start(kind, args);
    let mut c = server.client();
    c.run(&format!("DEBUG POPULATE {KEYS} key 100")).ok();
    c.run("SAVE").ok();
    server.shutdown("NOSAVE");
    server
}

/// One that is loading them.
fn loading(kind: &Kind, args: &[&str]) -> Server {
    let mut server = stopped(kind, args);
    server.start_again_loading(&SLOWLY);
    assert_eq!(server.client().info("loading"), "1");
    server
}

fn end_loading(c: &mut Client) {
    c.run("CONFIG SET key-load-delay 0").ok();
    wait_until("everything is loaded", || c.info("loading") == "0");
}

fn clients_are_served_as_the_table_says(kind: &Kind) {
    let server = loading(kind, &["--enable-protected-configs", "yes"]);
    let mut c = server.client();
    for refused in [
        "PING",
        "GET key:1",
        "SET a b",
        "DBSIZE",
        "KEYS x",
        "SCAN 0",
        "FLUSHALL",
        "SAVE",
        "BGSAVE",
        "WAIT 0 0",
        "SYNC",
        "PSYNC ? -1",
        "REPLICAOF NO ONE",
        "MEMORY USAGE key:1",
        "SWAPDB 0 1",
        "CONFIG SET dir /tmp",
    ] {
        assert_eq!(c.run(refused).error().as_deref(), Some(LOADING), "{refused}");
    }
    for served in [
        "ECHO x",
        "SELECT 1",
        "SELECT 0",
        "CLIENT ID",
        "CONFIG GET port",
        "CONFIG SET loglevel debug",
        "ROLE",
        "TIME",
        "LASTSAVE",
        "COMMAND COUNT",
        "SLOWLOG LEN",
        "LATENCY LATEST",
        "PUBLISH a b",
        "ACL WHOAMI",
        "REPLCONF listening-port 1",
        "WATCH a",
        "UNWATCH",
        "DEBUG LOG x",
        "HELLO 2",
    ] {
        assert_eq!(c.run(served).error(), None, "{served}");
    }
    c.run("MULTI").ok();
    assert_eq!(c.run("ECHO x").text(), "QUEUED");
    assert_eq!(c.run("EXEC").items().len(), 1);
    c.run("MULTI").ok();
    assert_eq!(c.run("GET a").error().as_deref(), Some(LOADING));
    assert!(c.run("EXEC").error().is_some_and(|text| text.starts_with("EXECABORT")));

    let file = std::fs::metadata(server.file("dump.rdb")).expect("it is being loaded").len();
    assert_eq!(c.info("loading_total_bytes"), file.to_string());
    assert_eq!(c.info("async_loading"), "0");
    assert!(c.info_number("loading_start_time") > 1_500_000_000);
    assert!(c.info_number("loading_rdb_used_mem") > 1_000_000);
    let before = c.info_number("loading_loaded_bytes");
    wait_until("it goes on", || c.info_number("loading_loaded_bytes") > before);
    let percent: f64 = c.info("loading_loaded_perc").parse().expect("a number");
    assert!((0.0..100.0).contains(&percent), "{percent}");
    assert!(c.info_number("loading_eta_seconds") > 0);
    assert!(!server.log().contains("DB loaded from disk"));

    end_loading(&mut c);
    assert_eq!(c.run("DBSIZE").int(), KEYS);
    assert_eq!(c.info("rdb_last_load_keys_loaded"), KEYS.to_string());
    assert!(!c.run("INFO persistence").text().contains("loading_start_time"));
    let log = server.log();
    let again = log.rsplit_once("Server initialized").expect("it began").1;
    let mut at = 0;
    for line in [
        "* Loading RDB produced by version 7.0.15",
        "* RDB age ",
        "* RDB memory usage when created ",
        "* Done loading RDB, keys loaded: 20000, keys expired: 0.",
        "* DB loaded from disk: ",
        "* Ready to accept connections",
    ] {
        at += again[at..].find(line).unwrap_or_else(|| panic!("{line:?} in its place:\n{again}"));
    }
}

fn a_client_may_end_it(kind: &Kind) {
    for how in ["NOSAVE", "SAVE"] {
        let mut server = loading(kind, &[]);
        let before = std::fs::read(server.file("dump.rdb")).expect("it is being loaded");
        assert!(server.shutdown(how).success());
        assert!(std::fs::read(server.file("dump.rdb")).expect("still") == before, "{how}");
    }
}

fn a_signal_may_end_it(kind: &Kind) {
    let mut server = loading(kind, &["--save", "1 1", "--shutdown-on-sigterm", "save"]);
    let before = std::fs::read(server.file("dump.rdb")).expect("it is being loaded");
    assert!(server.terminate().success());
    assert!(std::fs::read(server.file("dump.rdb")).expect("still") == before);
    let log = server.log();
    let mut at = 0;
    for line in [
        "Received shutdown signal during loading, scheduling shutdown.",
        "# User requested shutdown...",
        "# Redis is now ready to exit, bye bye...",
    ] {
        at += log[at..].find(line).unwrap_or_else(|| panic!("{line:?} in its place:\n{log}"));
    }
    assert!(!log.contains("Saving the final RDB snapshot"), "{log}");
}

fn a_file_that_breaks_off_ends_it(kind: &Kind) {
    let mut server = stopped(kind, &[]);
    let path = server.file("dump.rdb");
    let whole = std::fs::read(&path).expect("it was saved");
    let part = &whole[..whole.len() / 2];
    std::fs::write(&path, part).expect("our own folder");
    server.start_again_loading(&SLOWLY);
    let mut c = server.client();
    assert_eq!(c.run("GET key:1").error().as_deref(), Some(LOADING));
    // It may end before it can answer.
    let _ = c.try_cmd(&["CONFIG", "SET", "key-load-delay", "0"]);
    assert_eq!(server.wait_end().code(), Some(1));
    assert!(std::fs::read(&path).expect("it is left alone") == part);
    for line in
        ["Short read or OOM loading DB. Unrecoverable error", "Unexpected EOF reading RDB file"]
    {
        server.wait_for_log(line);
    }
    // The stop before the start has said it once.
    assert_eq!(server.log().matches("bye bye").count(), 1);
}

fn a_file_of_more_databases_ends_it(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let mut c = server.client();
    c.run("SELECT 9").ok();
    c.run("SET a 1").ok();
    c.run("SAVE").ok();
    let folder = Folder::new();
    std::fs::copy(server.file("dump.rdb"), folder.file("dump.rdb")).expect("it was just saved");
    let (port, dir) = (free_port().to_string(), folder.path().display().to_string());
    let args = ["--port", &port, "--dir", &dir, "--databases", "4"];
    let (code, output) = Server::run_in_vain(kind, &folder, &args);
    assert_eq!(code, Some(1), "{output}");
    let last = output.trim_end().lines().last().expect("it says why");
    assert!(last.contains(" # FATAL: Data file was created with a "), "{output}");
    assert!(last.ends_with(" handle more than 4 databases. Exiting"), "{output}");
    assert!(!output.contains("Internal error"), "{output}");
}

/// Redis ends here. We go on, and do not have the master make one snapshot after the other.
#[test]
fn a_snapshot_of_more_databases_is_refused_once_a_second() {
    for own in [false, true] {
        let m = Server::start(&tandem(1), &[]);
        let mut c = m.client();
        c.run("SELECT 9").ok();
        c.run("SET a 1").ok();
        let mut r = Server::start(&tandem(1), &["--databases", "4"]);
        if own {
            r.client().run("SET own data").ok();
        }
        let began = Instant::now();
        r.replicate(m.port());
        let refusal = "Failed trying to load the MASTER synchronization DB from ";
        wait_until("it was refused three times", || r.log().matches(refusal).count() >= 3);
        assert!(began.elapsed() >= Duration::from_millis(1900), "{:?}", began.elapsed());
        let log = r.log();
        assert!(log.contains("Redis server configured to handle more than 4 databases\n"), "{log}");
        assert!(!log.contains("Exiting"), "{log}");
        // A master that has nothing there is as good as any.
        assert_eq!(c.run("MOVE a 0").int(), 1);
        r.wait_link_up();
        wait_same_data(&m, &r);
        r.shutdown("NOSAVE");
    }
}

fn a_sentinel_takes_it_for_alive(kind: &Kind) {
    // An answer may take a busy machine a second, and the load outlasts the watch.
    const DOWN_AFTER_MS: u64 = 5000;
    let server = loading(kind, &[]);
    let mut c = server.client();
    c.run("CONFIG SET key-load-delay 5000").ok();
    let sentinel = Sentinel::start(server.port(), DOWN_AFTER_MS);
    let began = Instant::now();
    // Three times as long as Sentinel waits for an answer.
    let watched = Duration::from_millis(3 * DOWN_AFTER_MS);
    wait_within(Duration::from_secs(60), "Sentinel has asked for some time", || {
        began.elapsed() > watched
            && sentinel.field("num-other-sentinels").is_some()
            && sentinel.log().contains("+monitor")
    });
    assert_eq!(c.info("loading"), "1");
    wait_until("it has answered a short time ago", || {
        let replied = sentinel.field("last-ping-reply").expect("it knows the master");
        replied.parse::<u64>().expect("a number") < 4000
    });
    assert!(!sentinel.log().contains("+sdown"), "{}", sentinel.log());
    end_loading(&mut c);
    wait_until("it is what it was", || {
        sentinel.field("role-reported").as_deref() == Some("master")
    });
}

fn a_replica_waits_for_a_loading_master(master: &Kind, replica: &Kind) {
    let m = loading(master, &[]);
    let r = Server::start(replica, &["--replicaof", "127.0.0.1", &m.port().to_string()]);
    r.wait_for_log("Error reply to PING from master: '-LOADING ");
    assert_eq!(r.client().info("master_link_status"), "down");
    let mut c = m.client();
    assert_eq!([c.info("loading"), c.info("connected_slaves")], ["1", "0"]);
    end_loading(&mut c);
    r.wait_link_up();
    wait_same_data(&m, &r);
}

fn a_replica_dials_when_its_own_file_is_loaded(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    fill(&m);
    let mut r = Server::start(replica, &["--replicaof", "127.0.0.1", &m.port().to_string()]);
    r.wait_link_up();
    wait_same_data(&m, &r);
    r.shutdown("SAVE");
    wait_until("the master sees it go", || m.client().info("connected_slaves") == "0");
    m.client().run("SET written meanwhile").ok();
    r.start_again_loading(&SLOWLY);
    let mut c = r.client();
    assert_eq!([c.info("loading"), c.info("role")], ["1", "slave"]);
    assert_eq!(c.info("master_link_status"), "down");
    assert_eq!(c.run("ROLE").items()[3].text(), "connect");
    assert!(c.run("GET a").error().is_some_and(|e| e.starts_with(LOADING_WORD)));
    let so_far = c.info_number("loading_loaded_bytes");
    wait_until("it goes on", || c.info_number("loading_loaded_bytes") > so_far);
    assert_eq!(
        [c.info("loading"), m.client().info("connected_slaves")],
        ["1".to_owned(), "0".into()]
    );
    end_loading(&mut c);
    r.wait_link_up();
    wait_same_data(&m, &r);
    assert_eq!(m.client().info("sync_partial_ok"), "1");
}

fn a_synchronisation_shows_the_same_figures(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &["--repl-diskless-sync", "no"]);
    let mut c = m.client();
    c.run(&format!("DEBUG POPULATE {KEYS} key 100")).ok();
    let r = Server::start(replica, &SLOWLY);
    let mut of_replica = r.client();
    // With data of its own a replica of ours stores the file first, as Redis does.
    of_replica.run("SET own data").ok();
    r.replicate(m.port());
    wait_until("the replica loads", || of_replica.info("loading") == "1");
    assert!(of_replica.info_number("loading_total_bytes") > 500_000);
    let before = of_replica.info_number("loading_loaded_bytes");
    wait_until("it goes on", || of_replica.info_number("loading_loaded_bytes") > before);
    assert!(of_replica.run("GET key:1").error().is_some_and(|e| e.starts_with(LOADING_WORD)));
    end_loading(&mut of_replica);
    r.wait_link_up();
    assert_eq!(of_replica.info("rdb_last_load_keys_loaded"), KEYS.to_string());
    wait_same_data(&m, &r);
}
