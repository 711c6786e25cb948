//! Servers of other families at the other end of a link: the tests of pairs, run once more with
//! each of them in stock Redis's place.
//!
//! The tests take the program from `TANDEM_PEER`. A peer that is not installed, or in another
//! version than the tests were made with, is named and not run: it comes from beside the distribution's own packages, and not every machine can have it.

use crate::run::has;
use crate::test::{Counts, counted_with, verdict};
use crate::{Outcome, run};

/// One row of the table.
struct Peer {
    program: &'static str,
    /// How what it says of its version begins in the versions that the tests know.
    version: &'static str,
    /// What it is started with besides.
    options: &'static [&'static str],
    /// Parts of the names of the tests that run with it.
    tests: &'static [&'static str],
}

/// Pairs with one of ours at one end.
const MIXED: [&str; 4] =
    ["::peer_tandem1::", "::peer_tandem4::", "::tandem1_peer::", "::tandem4_peer::"];

/// Has users' data in its log as Redis has them: tests look for some.
const SHOWS_ALL: [&str; 2] = ["--hide-user-data-from-log", "no"];

const PEERS: &[Peer] = &[
    Peer {
        program: "valkey-server",
        version: "v=8.0.",
        options: &[SHOWS_ALL[0], SHOWS_ALL[1]],
        // Alone with itself it shows that the tests ask for what it does.
        tests: &[
            MIXED[0],
            MIXED[1],
            MIXED[2],
            MIXED[3],
            "::peer_peer::",
            "soak::ours_between_peers",
            "soak::peers_behind_ours",
        ],
    },
    // It offers a full resync over two connections, which ours has to pass over.
    Peer {
        program: "valkey-server",
        version: "v=8.0.",
        options: &[SHOWS_ALL[0], SHOWS_ALL[1], "--dual-channel-replication-enabled", "yes"],
        tests: &MIXED,
    },
];

/// Every peer of the table that is installed.
pub(crate) fn all() -> Result<Counts, String> {
    let mut total = Counts::default();
    let mut missing = Vec::new();
    for peer in PEERS {
        if !has(peer.program) {
            if !missing.contains(&peer.program) {
                println!("peer: {} is not installed: not run", peer.program);
                missing.push(peer.program);
            }
            continue;
        }
        let version = run::output(run::command(peer.program).arg("--version"))?;
        if !version.contains(peer.version) {
            println!("peer: {} is not of version {}: not run", version.trim(), peer.version);
            continue;
        }
        let named = [&[peer.program], peer.options].concat().join(" ");
        println!("peer: {named} ({})", version.trim());
        let extra = [&["--package", "tandem", "--test", "it", "--"], peer.tests].concat();
        let counts = counted_with(&extra, &[("TANDEM_PEER", &named)])?;
        total.passed += counts.passed;
        total.failed += counts.failed;
    }
    Ok(total)
}

pub(crate) fn main(args: lexopt::Parser) -> Outcome {
    if let Some(word) = run::words(args)?.first() {
        return Err(format!("peer takes no {word}"));
    }
    verdict(all()?)
}
