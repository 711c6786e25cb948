//! Every road through the plan of full resyncs.

use tandem_base::{NextByte, ReplId};

use super::*;

const T: Mono = Mono(0);
const DISK: Policy = Policy { diskless: false, delay_ms: 5000, max_replicas: 0 };
const DISKLESS: Policy = Policy { diskless: true, ..DISK };
const WHOLE: RdbFilter = RdbFilter { exclude_data: false, exclude_functions: false };
const FUNCTIONS: RdbFilter = RdbFilter { exclude_data: true, exclude_functions: false };

fn facts(eof: bool, filter: RdbFilter) -> ReplicaFacts {
    ReplicaFacts { eof, filter, ..ReplicaFacts::default() }
}

fn saving(target: Target, base: Option<u64>) -> Busy {
    Busy::Saving(Running { base: base.map(ReplOffset), target, filter: WHOLE })
}

#[track_caller]
fn check(facts: ReplicaFacts, busy: Busy, policy: Policy, wanted: &str) {
    let window = WindowFacts { first_byte: NextByte(51), end: ReplOffset(200) };
    let arrival = on_arrival(&facts, busy, Some(window), policy);
    assert_eq!(arrival.log_line().text, wanted, "{arrival:?}");
}

#[test]
fn a_replica_that_comes_alone_starts_a_snapshot() {
    let (old, new) = (facts(false, WHOLE), facts(true, WHOLE));
    let start = "Starting BGSAVE for SYNC with target:";
    check(new.clone(), Busy::No, DISK, &format!("{start} disk"));
    check(old.clone(), Busy::No, DISKLESS, &format!("{start} disk"));
    check(new.clone(), Busy::No, DISKLESS, "Delay next BGSAVE for diskless SYNC");
    let at_once = Policy { delay_ms: 0, ..DISKLESS };
    check(new.clone(), Busy::No, at_once, &format!("{start} replicas sockets"));
    check(facts(true, FUNCTIONS), Busy::No, DISK, &format!("{start} replicas sockets"));
    let delayed =
        "No BGSAVE in progress, but another BG operation is active. BGSAVE for replication delayed";
    check(new, Busy::OtherJob, DISK, delayed);
    check(old, Busy::OtherJob, DISKLESS, delayed);
}

#[test]
fn a_running_snapshot_is_joined_if_its_cut_can_be_followed_up() {
    let joined = "Waiting for end of BGSAVE for SYNC";
    let unfit = "Can't attach the replica to the current BGSAVE. Waiting for next BGSAVE for SYNC";
    let new = || facts(true, WHOLE);
    check(new(), saving(Target::Disk, Some(50)), DISK, joined);
    check(new(), saving(Target::Disk, Some(200)), DISKLESS, joined);
    check(facts(false, WHOLE), saving(Target::Disk, Some(60)), DISK, joined);
    check(new(), saving(Target::Disk, Some(49)), DISK, unfit);
    check(new(), saving(Target::Disk, Some(201)), DISK, unfit);
    check(new(), saving(Target::Disk, None), DISK, unfit);
    check(facts(true, FUNCTIONS), saving(Target::Disk, Some(60)), DISK, unfit);
    // Without a stream to follow, an old cut is as good as any.
    let only = ReplicaFacts { rdb_only: true, ..new() };
    check(only, saving(Target::Disk, Some(49)), DISK, joined);
    check(
        new(),
        saving(Target::Sockets, Some(60)),
        DISKLESS,
        "Current BGSAVE has socket target. Waiting for next BGSAVE for SYNC",
    );
}

fn waiting(eof: bool, filter: RdbFilter, since_ms: u64) -> Peer {
    Peer::waiting(facts(eof, filter), "10.0.0.7", false, T.plus_ms(since_ms))
}

#[test]
fn those_who_wait_go_together_when_it_is_time() {
    let peers =
        [waiting(true, WHOLE, 1000), waiting(true, FUNCTIONS, 0), waiting(true, WHOLE, 3000)];
    let start = Start { target: Target::Sockets, filter: WHOLE };
    let sockets = Some(start);
    assert_eq!(next_due(&peers, Busy::No, DISKLESS), Some(T.plus_ms(6000)));
    assert_eq!(due(&peers, Busy::No, DISKLESS, T.plus_ms(5999)), None);
    assert_eq!(due(&peers, Busy::No, DISKLESS, T.plus_ms(6000)), sockets);
    let two = Policy { max_replicas: 2, ..DISKLESS };
    assert_eq!(due(&peers, Busy::No, two, T.plus_ms(3000)), sockets);
    let three = Policy { max_replicas: 3, ..DISKLESS };
    assert_eq!(due(&peers, Busy::No, three, T.plus_ms(3000)), None);
    let disk = Some(Start { target: Target::Disk, filter: WHOLE });
    assert_eq!(due(&peers, Busy::No, DISK, T.plus_ms(3000)), disk);
    for busy in [Busy::OtherJob, saving(Target::Disk, Some(1))] {
        assert_eq!(due(&peers, busy, DISK, T.plus_ms(60_000)), None);
        assert_eq!(next_due(&peers, busy, DISK), None);
    }
    assert_eq!(peers.each_ref().map(|peer| start.serves(peer)), [true, false, true]);
}

#[test]
fn one_that_knows_no_mark_brings_all_to_disk() {
    let mut peers = [waiting(true, WHOLE, 0), waiting(false, WHOLE, 0)];
    let start = due(&peers, Busy::No, DISKLESS, T.plus_ms(5000)).unwrap();
    assert_eq!(start.target, Target::Disk);
    for peer in &mut peers {
        assert!(start.serves(peer));
        let _ = peer.attach(ReplId::NONE, ReplOffset(1), start.target);
        assert!(!start.serves(peer), "served already");
    }
    assert_eq!(due(&peers, Busy::No, DISKLESS, T.plus_ms(5000)), None);
    assert_eq!(next_due(&peers, Busy::No, DISKLESS), None);
}

#[test]
fn who_cannot_be_served_is_told_so() {
    let free = SyncGate { link_down: false, failing_over: false, pending_output: false };
    let new = facts(true, WHOLE);
    assert_eq!(free.refusal(&new), None);
    assert_eq!(free.refusal(&facts(true, FUNCTIONS)), None);
    assert_eq!(
        free.refusal(&facts(false, FUNCTIONS)),
        Some("ERR Filtered replica requires EOF capability")
    );
    assert_eq!(
        SyncGate { link_down: true, pending_output: true, ..free }.refusal(&new),
        Some("NOMASTERLINK Can't SYNC while not connected with my master")
    );
    assert_eq!(
        SyncGate { failing_over: true, link_down: true, ..free }.refusal(&new),
        Some("NOMASTERLINK Can't SYNC while failing over")
    );
    assert_eq!(
        SyncGate { pending_output: true, ..free }.refusal(&new),
        Some("ERR SYNC and PSYNC are invalid with pending output")
    );
}
