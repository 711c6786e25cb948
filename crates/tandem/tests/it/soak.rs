//! A master, two replicas and a replica of a replica under load, while links are cut, stalled
//! and slowed, and a server is stopped and restarted, as a seed says. Every half minute, and in
//! the end, the faults stop and all data must be equal. `TANDEM_SOAK_SECONDS` says how long
//! (default 8), `TANDEM_SOAK_SEED` which run; `cargo xtask soak` sets both.

use std::time::{Duration, Instant};

use tandem_harness::{Kind, Load, Proxy, Rng, Server, Way};

use crate::{STEADY, fill, peer, start_replica, tandem, wait_same_data};

#[test]
fn ours_one_worker() {
    soak(&[tandem(1), tandem(1), tandem(1), tandem(1)]);
}

#[test]
fn ours_four_workers() {
    soak(&[tandem(4), tandem(4), tandem(4), tandem(4)]);
}

#[test]
fn ours_between_peers() {
    soak(&[peer(), tandem(4), tandem(1), peer()]);
}

#[test]
fn peers_behind_ours() {
    soak(&[tandem(4), peer(), peer(), tandem(1)]);
}

/// A number from the environment, or what stands here.
fn setting(name: &str, or: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => or,
    }
}

const BACKLOG: [&str; 2] = ["--repl-backlog-size", "4mb"];
/// How long the faults go on between two comparisons.
const ROUND: Duration = Duration::from_secs(30);

/// The servers and the links between them.
struct Set {
    master: Server,
    first: Server,
    second: Server,
    last: Server,
    links: [Proxy; 3],
}

/// `kinds`: master, its two replicas, and the replica of the second.
fn soak(kinds: &[Kind; 4]) {
    let seconds = setting("TANDEM_SOAK_SECONDS", 8);
    let seed = setting("TANDEM_SOAK_SEED", 1);
    println!("soak: seed={seed} seconds={seconds} kinds={kinds:?}");
    let mut set = start(kinds);
    let mut rng = Rng::new(seed);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut written, mut faults) = (0, 0);
    for round in 0.. {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let load = Load::start(set.master.port(), 3, seed * 1000 + round, STEADY);
        faults += faults_for(left.min(ROUND), &mut rng, &mut set);
        written += load.stop();
        for replica in [&set.first, &set.second, &set.last] {
            replica.wait_link_up();
            wait_same_data(&set.master, replica);
        }
    }
    let mut c = set.master.client();
    println!(
        "soak: {written} commands, {faults} faults, {} full and {} partial resyncs",
        c.info("sync_full"),
        c.info("sync_partial_ok")
    );
    assert!(written > 1000 * seconds, "the load hardly wrote: {written}");
}

fn start(kinds: &[Kind; 4]) -> Set {
    let master = Server::start(&kinds[0], &BACKLOG);
    fill(&master);
    let upper = [Proxy::start(master.port()), Proxy::start(master.port())];
    let first = start_replica(&kinds[1], upper[0].port(), &BACKLOG);
    let second = start_replica(&kinds[2], upper[1].port(), &BACKLOG);
    let below = Proxy::start(second.port());
    let last = start_replica(&kinds[3], below.port(), &BACKLOG);
    let [to_first, to_second] = upper;
    Set { master, first, second, last, links: [to_first, to_second, below] }
}

/// Breaks things for `time`, then mends all of them; how many were broken.
fn faults_for(time: Duration, rng: &mut Rng, set: &mut Set) -> u64 {
    let end = Instant::now() + time;
    let mut faults = 0;
    while Instant::now() < end {
        let link = &set.links[usize::try_from(rng.below(3)).expect("below 3")];
        one_fault(rng, link, &mut set.first);
        faults += 1;
    }
    for link in &set.links {
        link.heal();
    }
    faults
}

fn one_fault(rng: &mut Rng, link: &Proxy, restarted: &mut Server) {
    let time = Duration::from_millis(20 + rng.below(400));
    match rng.below(12) {
        0..=3 => link.break_once(),
        4..=5 => link.cut(),
        6 => link.stall(Way::FromTarget),
        7 => link.stall(Way::ToTarget),
        8..=9 => link.delay_ms(1 + rng.below(20)),
        10 => {
            restarted.pause();
            std::thread::sleep(time);
            restarted.resume();
        }
        _ => restart(rng, restarted),
    }
    std::thread::sleep(time);
    link.heal();
    std::thread::sleep(time);
}

/// Stops a replica, with or without its RDB, and starts it again where it was.
fn restart(rng: &mut Rng, replica: &mut Server) {
    let mut client = replica.client();
    let master = client.info("master_port");
    if rng.below(3) == 0 {
        replica.kill();
    } else {
        replica.shutdown("SAVE");
    }
    replica.start_again(&["--replicaof", "127.0.0.1", &master]);
}
