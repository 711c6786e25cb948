//! A server that nobody uses: it sleeps, and misses nothing.

use std::time::{Duration, Instant};

use tandem_harness::{Server, Sync, wait_until, wait_within};

use crate::tandem;

/// How often a thread has gone to sleep. It takes its name when it first runs, which others need
/// not wait for.
pub(crate) fn sleeps(server: &Server, thread: &str) -> u64 {
    let mut count = None;
    wait_until(&format!("there is a thread {thread}"), || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs");
        // One that cannot be read has just ended.
        let mut texts = tasks
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
        let status = texts.find(|text| text.starts_with(&format!("Name:\t{thread}\n")));
        count = status.and_then(|status| count_of(&status));
        count.is_some()
    });
    count.expect("just seen")
}

/// The same of the main thread, which is worker 0.
pub(crate) fn sleeps_of_main(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()));
    count_of(&status.expect("it runs")).expect("Linux counts them")
}

fn count_of(status: &str) -> Option<u64> {
    let mut counts = status.lines().filter_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
    counts.next().map(|count| count.trim().parse().expect("a number"))
}

#[test]
fn the_housekeeper_of_an_idle_server_wakes_ten_times_a_second() {
    let server = Server::start(&tandem(4), &[]);
    assert_eq!(server.client().run("SET far v EX 1000").text(), "OK");
    // What it does for a client that has just been here is over soon.
    std::thread::sleep(Duration::from_millis(100));
    let (began, before) = (Instant::now(), sleeps(&server, "housekeeper"));
    std::thread::sleep(Duration::from_secs(2));
    let count = sleeps(&server, "housekeeper") - before;
    // The pause may be longer than that.
    let took = began.elapsed();
    assert!(u128::from(count) <= took.as_millis() / 50, "{count} times in {took:?}");
}

#[test]
fn a_key_that_expires_soon_wakes_it() {
    const LIFE: Duration = Duration::from_millis(20);
    let server = Server::start(&tandem(2), &[]);
    let mut c = server.client();
    let mut replica = Sync::attach(server.port());
    // The machine may be busy; a sleep that nobody ends would be too long nearly each time.
    let mut in_time = 0;
    wait_within(Duration::from_secs(120), "three in a row go in time", || {
        std::thread::sleep(Duration::from_millis(130));
        let began = Instant::now();
        c.run("SET k v PX 20").ok();
        while !replica.next_command().starts_with("del ") {}
        let took = began.elapsed();
        // It lives until the clock's millisecond, which may have begun before.
        assert!(took >= LIFE - Duration::from_millis(1), "{took:?}");
        in_time = if took < LIFE + Duration::from_millis(25) { in_time + 1 } else { 0 };
        in_time == 3
    });
}
