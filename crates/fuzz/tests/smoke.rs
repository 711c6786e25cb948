//! Every target keeps its promises on its committed corpus and on some mutations of it.

use std::path::Path;
use std::time::Duration;

use tandem_fuzz::{Plan, read_corpus, run, targets};

#[test]
fn every_target_survives_some_rounds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in targets::ALL {
        let corpus = read_corpus(&folder, target).expect("a folder of inputs for each target");
        assert!(!corpus.is_empty(), "{} has no inputs", target.name);
        let plan = Plan { seed: 1, time: Duration::from_secs(20), rounds: 4000 };
        let report = run(target, corpus, plan);
        assert!(report.rounds > 0);
        assert!(report.signatures > 5, "{}: {report:?}", target.name);
    }
}
