//! The scripts of `tests/compat`: sent to stock Redis and to Tandem, in both protocols, with one
//! worker and with four. `cargo xtask compat` runs them alone.

use std::path::Path;

use tandem_harness::{Proto, Server, run_script};

use crate::{redis, tandem};

/// Both servers start with these: some scripts change the configuration, each runs on fresh ones.
const ARGS: [&str; 2] = ["--appendonly", "no"];

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/compat"))
}

fn check(name: &str, workers: u32, proto: Proto) {
    let file = folder().join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&file).expect("the script is in tests/compat");
    let stock = Server::start(&redis(), &ARGS);
    let ours = Server::start(&tandem(workers), &ARGS);
    run_script(&format!("{name}.txt"), &text, &stock, &ours, proto);
}

macro_rules! scripts {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            use super::{Proto, check};
            #[test]
            fn resp2_one_worker() {
                check(stringify!($name), 1, Proto::Resp2);
            }
            #[test]
            fn resp2_four_workers() {
                check(stringify!($name), 4, Proto::Resp2);
            }
            #[test]
            fn resp3_one_worker() {
                check(stringify!($name), 1, Proto::Resp3);
            }
            #[test]
            fn resp3_four_workers() {
                check(stringify!($name), 4, Proto::Resp3);
            }
        })+

        #[test]
        fn every_script_is_run() {
            let run = [$(stringify!($name)),+];
            for entry in std::fs::read_dir(folder()).expect("tests/compat is there") {
                let file = entry.expect("a readable folder").file_name();
                let file = file.to_string_lossy();
                let Some(name) = file.strip_suffix(".txt") else { continue };
                assert!(run.contains(&name), "{file} is in no test: name it in compat.rs");
            }
        }
    };
}

scripts!(
    strings,
    set_options,
    numbers,
    ranges,
    lcs,
    keys,
    expiry,
    hashes,
    databases,
    scan,
    transactions,
    clients,
    connection,
    commands,
    config,
    dump,
    errors,
    protocol,
    info,
    pubsub,
    acl,
    slowlog,
    introspect,
    events,
    tracking,
    refusals,
);
