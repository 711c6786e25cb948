//! Masters that are down, slow, old, wrong or hostile.

use super::*;

const HELLO: &str = "log * Connecting to MASTER 10.0.0.1:6379
    log * MASTER <-> REPLICA sync started
    dial 10.0.0.1:6379
    > connected
    log * Non blocking connect for SYNC fired the event.
    send PING
";
const UNTIL_PSYNC: &str = "> recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n
    log * Master replied to PING, replication can continue...
    send REPLCONF listening-port 6379 | REPLCONF capa eof capa psync2
    log * Partial resynchronization not possible (no cached master)
    send PSYNC ? -1
";

#[test]
fn a_master_that_is_down_is_dialled_ever_more_slowly() {
    let mut driver = Driver::new(Settings::default(), None);
    let mut dials = Vec::new();
    for _ in 0..12 {
        dials.push(driver.now.ms_since(Mono(1_000_000)));
        driver.run("connect-failed Connection refused");
        assert_eq!(driver.link.role_state(), "connect");
        let at = driver.link.next_timeout().unwrap();
        driver.wait(at.ms_since(driver.now));
    }
    let waits: Vec<u64> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000]);
    assert!(driver.trace.contains("log # Error condition on socket for SYNC: Connection refused"));
}

#[test]
fn a_wrong_password_is_said_and_tried_again_each_second() {
    let auth = Some(Auth { user: None, password: b"x".to_vec() });
    check_with(
        Settings { auth, ..Settings::default() },
        None,
        &format!(
            "{HELLO}
            > recv -NOAUTH no\\r\\n
            log * Master replied to PING, replication can continue...
            send AUTH x | REPLCONF listening-port 6379 | REPLCONF capa eof capa psync2
            > recv -WRONGPASS invalid username-password pair\\r\\n
            close
            log # Unable to AUTH to MASTER: -WRONGPASS invalid username-password pair
            > recv -NOAUTH no\\r\\n
            > state
            connect up=false None
            > wait 999
            > wait 1
            log * Connecting to MASTER 10.0.0.1:6379
            log * MASTER <-> REPLICA sync started
            dial 10.0.0.1:6379"
        ),
    );
}

#[test]
fn silence_ends_each_stage_with_its_own_line() {
    let failure = "log * Reconnecting to MASTER 10.0.0.1:6379 after failure
        log * MASTER <-> REPLICA sync started
        dial 10.0.0.1:6379";
    check(&format!(
        "{HELLO}
        > wait 59999
        > wait 1
        close
        log # Timeout connecting to the MASTER...
        {failure}"
    ));
    check(&format!(
        "{HELLO}{UNTIL_PSYNC}
        > wait 40000
        > recv \\n
        > wait 40000
        > recv +FULLRESYNC ID_A 1\\r\\n$5\\r\\nab
        log * Full resync from master: ID_A:1
        log * MASTER <-> REPLICA sync: receiving 5 bytes from master to disk
        begin-rdb Some(5) 1 Disk
        rdb ab
        > wait 60000
        close
        abort-rdb
        log # Timeout receiving bulk data from MASTER... If the problem persists try to set the 'repl-timeout' parameter in redis.conf to a larger value.
        {failure}"
    ));
    let driver = check_up("> recv ab\nstream ab");
    let mut driver = driver;
    driver.trace.clear();
    driver.wait(60_000);
    let tail: Vec<&str> = driver.trace.lines().rev().take(6).collect();
    assert_eq!(
        tail,
        [
            "dial 10.0.0.1:6379",
            "log * MASTER <-> REPLICA sync started",
            "log * Reconnecting to MASTER 10.0.0.1:6379",
            "close",
            "log * Caching the disconnected master state.",
            "log # Connection with master lost.",
        ]
    );
    assert!(driver.trace.contains("log # MASTER timeout: no data nor PING received...\n"));
}

#[test]
fn a_master_that_is_loading_is_asked_again_soon() {
    check(&format!(
        "{HELLO}{UNTIL_PSYNC}
        > recv -NOMASTERLINK Can't SYNC while not connected with my master\\r\\n
        close
        log * Master is currently unable to PSYNC but should be in the future: -NOMASTERLINK Can't SYNC while not connected with my master
        > wait 10
        log * Connecting to MASTER 10.0.0.1:6379
        log * MASTER <-> REPLICA sync started
        dial 10.0.0.1:6379"
    ));
    check(&format!(
        "{HELLO}
        > recv -LOADING Redis is loading the dataset in memory\\r\\n
        close
        log # Error reply to PING from master: '-LOADING Redis is loading the dataset in memory'"
    ));
}

#[test]
fn a_master_without_psync_is_asked_with_sync() {
    check(&format!(
        "{HELLO}{UNTIL_PSYNC}
        > recv -ERR unknown command 'PSYNC'\\r\\n
        log * Master does not support PSYNC or is in error state (reply: -ERR unknown command 'PSYNC')
        log * Retrying with SYNC...
        send SYNC\\r\\n
        > recv $2\\r\\nab
        log * MASTER <-> REPLICA sync: receiving 2 bytes from master to disk
        begin-rdb Some(2) 0 Disk
        rdb ab
        log * MASTER <-> REPLICA sync: Flushing old data
        log * MASTER <-> REPLICA sync: Loading DB in memory
        end-rdb
        > loaded
        log * MASTER <-> REPLICA sync: Finished with success
        synced - 0
        > recv xy
        stream xy
        > applied 2
        > wait 5000
        > closed
        log # Connection with master lost.
        close
        log * Reconnecting to MASTER 10.0.0.1:6379
        log * MASTER <-> REPLICA sync started
        dial 10.0.0.1:6379
        > state
        connecting up=false None"
    ));
}

#[test]
fn wrong_answers_to_psync_end_the_attempt() {
    for wrong in [
        "+FULLRESYNC",
        "+FULLRESYNC ",
        "+FULLRESYNC ID_A",
        "+FULLRESYNC ID_A ",
        "+FULLRESYNC ID_A -1",
        "+FULLRESYNC ID_A 9223372036854775807",
        "+FULLRESYNC ID_A 99999999999999999999",
        "+FULLRESYNC ID_A 12x",
        "+FULLRESYNC short 12",
        "+FULLRESYNCID_A 12",
    ] {
        let mut driver = Driver::new(Settings::default(), None);
        driver.run("connected");
        driver.run("recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n");
        driver.run(&format!("recv {wrong}\\r\\n"));
        let tail = "close\nlog # Master replied with wrong +FULLRESYNC syntax.\n";
        assert!(driver.trace.ends_with(tail), "{wrong}: {}", driver.trace);
        assert_eq!(driver.link.role_state(), "connect", "{wrong}");
    }
}

#[test]
fn continue_without_having_asked_to_is_no_answer() {
    let mut driver = Driver::new(Settings::default(), None);
    driver.run("connected");
    driver.run("recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n+CONTINUE\\r\\n");
    assert!(!driver.link.is_up());
    assert!(driver.trace.contains("log # Unexpected reply to PSYNC from master: +CONTINUE\n"));
}

#[test]
fn continue_with_junk_keeps_the_id_that_we_have() {
    for junk in ["", " ", " x", " ID_B ", " ID_B1", "ID_B"] {
        let cached = CachedMaster { replid: id(ID_A), offset: ReplOffset(7) };
        let mut driver = Driver::new(Settings::default(), Some(cached));
        driver.run("connected");
        driver.run(&format!("recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n+CONTINUE{junk}\\r\\n"));
        assert!(driver.link.is_up(), "{junk}");
        assert!(driver.trace.contains("resumed -\n"), "{junk}: {}", driver.trace);
        assert_eq!(driver.link.leave(driver.now), Some(cached));
    }
}

#[test]
fn wrong_first_lines_of_an_rdb_end_the_attempt() {
    for wrong in [
        "$",
        "$-1",
        "$x",
        "$10x",
        "$99999999999999999999",
        "$18446744073709551615",
        "$EOF:",
        "$EOF:tooshort",
        "+OK",
        "*3",
    ] {
        let mut driver = Driver::new(Settings::default(), None);
        driver.run("connected");
        driver.run("recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n+FULLRESYNC ID_A 1\\r\\n");
        driver.run(&format!("recv {wrong}\\r\\n"));
        let line = format!(
            "log # Bad protocol from MASTER, the first byte is not '$' (we received '{wrong}'), \
             are you sure the host and port are right?\n"
        );
        assert!(driver.trace.ends_with(&line), "{wrong}: {}", driver.trace);
    }
}

#[test]
fn a_huge_rdb_is_only_a_number_until_it_comes() {
    let mut driver = Driver::new(Settings::default(), None);
    driver.run("connected");
    driver.run("recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n+FULLRESYNC ID_A 1\\r\\n");
    driver.run("recv $9223372036854775807\\r\\nabc");
    let progress = driver.link.sync_progress().unwrap();
    assert_eq!((progress.total_bytes, progress.read_bytes), (i64::MAX, 3));
}

#[test]
fn a_line_without_an_end_is_cut_off() {
    let mut driver = Driver::new(Settings::default(), None);
    driver.run("connected");
    for _ in 0..30 {
        driver.receive(&[b'+'; 100]);
    }
    assert_eq!(driver.link.role_state(), "connect");
}

#[test]
fn a_transfer_that_the_master_gives_up_starts_over() {
    check(&format!(
        "{HELLO}{UNTIL_PSYNC}
        > recv +FULLRESYNC ID_A 1\\r\\n-ERR BGSAVE failed\\r\\n
        log * Full resync from master: ID_A:1
        close
        log # MASTER aborted replication with an error: ERR BGSAVE failed
        log * Reconnecting to MASTER 10.0.0.1:6379 after failure
        log * MASTER <-> REPLICA sync started
        dial 10.0.0.1:6379
        > closed
        close
        log # Error condition on socket for SYNC: connection lost
        > wait 10
        log * Connecting to MASTER 10.0.0.1:6379
        log * MASTER <-> REPLICA sync started
        dial 10.0.0.1:6379"
    ));
}

#[test]
fn a_cut_transfer_keeps_the_place_that_we_had() {
    check_returning(
        50,
        &format!(
            "{HELLO}
            > recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n
            log * Master replied to PING, replication can continue...
            send REPLCONF listening-port 6379 | REPLCONF capa eof capa psync2
            log * Trying a partial resynchronization (request ID_A:51).
            send PSYNC ID_A 51
            > recv +FULLRESYNC ID_B 900\\r\\n$100\\r\\nab
            log * Full resync from master: ID_B:900
            log * MASTER <-> REPLICA sync: receiving 100 bytes from master to disk
            begin-rdb Some(100) 900 Disk
            rdb ab
            > closed
            close
            abort-rdb
            log # I/O error trying to sync with MASTER: connection lost
            log * Reconnecting to MASTER 10.0.0.1:6379 after failure
            log * MASTER <-> REPLICA sync started
            dial 10.0.0.1:6379
            > state
            connecting up=false Some((50, 50))
            > leave
            left Some(CachedMaster {{ replid: ReplId(ID_A), offset: ReplOffset(50) }})
            close"
        ),
    );
}

#[test]
fn a_load_that_fails_starts_over_without_a_place() {
    check_returning(
        50,
        &format!(
            "{HELLO}
            > recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n+FULLRESYNC ID_B 900\\r\\n$0\\r\\n
            log * Master replied to PING, replication can continue...
            send REPLCONF listening-port 6379 | REPLCONF capa eof capa psync2
            log * Trying a partial resynchronization (request ID_A:51).
            send PSYNC ID_A 51
            log * Full resync from master: ID_B:900
            log * MASTER <-> REPLICA sync: receiving 0 bytes from master to disk
            begin-rdb Some(0) 900 Disk
            log * Discarding previously cached master state.
            log * MASTER <-> REPLICA sync: Flushing old data
            log * MASTER <-> REPLICA sync: Loading DB in memory
            end-rdb
            > loaded not an RDB file
            close
            abort-rdb
            log # Failed trying to load the MASTER synchronization DB from disk: not an RDB file
            > state
            connect up=false None
            > wait 999
            > wait 1
            log * Connecting to MASTER 10.0.0.1:6379
            log * MASTER <-> REPLICA sync started
            dial 10.0.0.1:6379"
        ),
    );
}

#[test]
fn a_file_that_the_disk_refuses_is_tried_again() {
    let mut driver = in_body(50);
    driver.run("spool-failed Write error: No space left on device");
    assert_eq!(
        driver.trace,
        "> spool-failed Write error: No space left on device\n\
         close\n\
         abort-rdb\n\
         log # Write error: No space left on device\n\
         log * Reconnecting to MASTER 10.0.0.1:6379 after failure\n\
         log * MASTER <-> REPLICA sync started\n\
         dial 10.0.0.1:6379\n"
    );
    // The data are what they were.
    assert_eq!(driver.link.offsets(), Some((ReplOffset(50), ReplOffset(50))));
}

#[test]
fn a_master_that_is_not_read_is_not_silent() {
    let mut driver = in_body(50);
    driver.now = driver.now.plus_ms(59_999);
    driver.link.is_not_read(driver.now);
    driver.wait(59_999);
    assert_eq!(driver.link.role_state(), "sync");
    driver.wait(1);
    assert_eq!(driver.link.role_state(), "connecting");
}

/// A link that had data at `offset`, in the middle of an RDB; its trace cleared.
fn in_body(offset: u64) -> Driver {
    let cached = CachedMaster { replid: id(ID_A), offset: ReplOffset(offset) };
    let mut driver = Driver::new(Settings::default(), Some(cached));
    driver.run("connected");
    driver.run("recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n+FULLRESYNC ID_B 900\\r\\n$9\\r\\nab");
    assert_eq!(driver.link.role_state(), "sync");
    driver.trace.clear();
    driver
}

#[test]
fn a_stream_that_makes_no_sense_is_not_resumed() {
    check_up(
        "> recv SET a 1\\r\\n
        stream SET a 1\\r\\n
        > desynced
        log # Connection with master lost.
        close
        log * Reconnecting to MASTER 10.0.0.1:6379
        log * MASTER <-> REPLICA sync started
        dial 10.0.0.1:6379
        > state
        connecting up=false None",
    );
}

/// Whoever accepts, sends something and hangs up is no better than one who sends nothing.
#[test]
fn a_master_that_accepts_and_hangs_up_is_not_dialled_in_a_loop() {
    for sent in ["", "ab"] {
        let mut driver = up();
        let mut dials = 0;
        for _ in 0..2000 {
            if driver.link.role_state() == "connecting" {
                dials += 1;
                driver.run("connected");
                driver.run(&format!("recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n+CONTINUE\\r\\n{sent}"));
            }
            if driver.link.is_up() {
                driver.run("closed");
            }
            driver.wait(5);
        }
        assert!(dials < 20, "{dials} dials in ten seconds, with {sent:?}");
    }
}

/// A master whose user may PING and PSYNC, but not REPLCONF: it hangs up on every ACK.
#[test]
fn a_master_that_refuses_replconf_has_a_link_that_is_up() {
    const REFUSES: &str = "-NOPERM no\\r\\n";
    let cached = CachedMaster { replid: id(ID_A), offset: ReplOffset(100) };
    let mut driver = Driver::new(Settings::default(), Some(cached));
    let (mut dials, mut looks_up) = (0, 0);
    for look in 0..1000 {
        if driver.link.role_state() == "connecting" {
            dials += 1;
            driver.run("connected");
            // What was written meanwhile comes with the answer.
            driver.run(&format!("recv +PONG\\r\\n{REFUSES}{REFUSES}+CONTINUE\\r\\nab"));
            driver.run(&format!("applied {}", 100 + 2 * dials));
        }
        looks_up += u32::from(driver.link.is_up());
        if driver.trace.contains("send REPLCONF ACK") {
            driver.trace.clear();
            driver.run("closed");
        }
        if look % 100 == 99 {
            driver.trace.clear();
        }
        driver.wait(10);
    }
    assert!((9..=11).contains(&dials), "{dials} dials in ten seconds");
    assert!(looks_up >= 980, "up in {looks_up} of 1000 looks");
}

#[test]
fn a_streamed_rdb_is_acknowledged_at_once_whatever_was_refused() {
    for (header, at_once) in [("$EOF:MARK\\r\\nabMARK", true), ("$2\\r\\nab", false)] {
        let mut driver = Driver::new(Settings::default(), None);
        driver.run("connected");
        driver.run("recv +PONG\\r\\n-ERR no\\r\\n+OK\\r\\n+FULLRESYNC ID_A 7\\r\\n");
        driver.run(&format!("recv {header}"));
        driver.run("loaded");
        assert_eq!(driver.trace.contains("send REPLCONF ACK 7"), at_once, "{}", driver.trace);
        driver.wait(1000);
        assert!(driver.trace.contains("send REPLCONF ACK 7"), "{}", driver.trace);
    }
}
