//! Worlds that must hold, worlds that must be the same twice, and planted bugs that must be
//! found.

use crate::plant::Plant;
use crate::run::run_seed;

/// Seeds within which each planted bug has to be found.
const FOUND_WITHIN: u64 = 1000;

#[test]
fn fifty_worlds_hold() {
    let mut compared = 0;
    for seed in 1..=50 {
        let report = run_seed(seed, None, false);
        if let Some(text) = report.failure() {
            panic!("{text}");
        }
        compared += report.compared;
    }
    assert!(compared > 10_000, "only {compared} comparisons: the worlds have become idle");
}

#[test]
fn a_seed_gives_the_same_world_twice() {
    for seed in 1000..1010 {
        let (one, two) = (run_seed(seed, None, false), run_seed(seed, None, false));
        assert_eq!(one.fingerprint, two.fingerprint, "seed {seed}");
        assert_eq!((one.step, &one.last), (two.step, &two.last));
        assert!(one.fingerprint.0 > 100, "a world in which little happens");
    }
    assert_ne!(run_seed(1, None, false).fingerprint, run_seed(2, None, false).fingerprint);
}

fn finds(plant: Plant) {
    let found = (1..=FOUND_WITHIN).find_map(|seed| run_seed(seed, Some(plant), false).failure());
    let text = found.unwrap_or_else(|| panic!("{} was not found", plant.name()));
    println!("{}", text.lines().last().unwrap_or_default());
}

#[test]
fn finds_an_offset_that_is_off_by_one() {
    finds(Plant::OffsetOffByOne);
}

#[test]
fn finds_a_lost_select() {
    finds(Plant::LostSelect);
}

#[test]
fn finds_a_snapshot_that_is_cut_one_entry_late() {
    finds(Plant::SnapshotLate);
}

#[test]
fn finds_an_ack_that_is_ahead_of_its_data() {
    finds(Plant::AckAhead);
}
