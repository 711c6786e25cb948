//! `tandem-counts MEASURE REQUESTS`: sends the requests of one measure through the engine, as a
//! worker does with what it has read, and ends. `tandem-counts` alone lists the measures.
//!
//! ```text
//! node (1 worker, 1,024 stripes) ◄── setup: the keys ──┐
//!      ◄── REQUESTS in buffers of `pipeline` each ─────┴── one client
//! ```
//! Run under an instruction counter with two numbers of requests, the difference is what the
//! requests cost, without start and setup; `cargo xtask counts` does that. Sockets, system calls
//! and other threads have no part in it, so a figure is the same each time.
#![forbid(unsafe_code)]

mod measures;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use tandem_base::{Mono, Now, ReplId, UnixMs};
use tandem_engine::client::{ClientInfo, Session};
use tandem_engine::config::Config;
use tandem_engine::intake::Worker;
use tandem_engine::node::{Identity, Node, NodeOptions};
use tandem_sim::host::{Disk, SimHost};

use measures::{MEASURES, Measure};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Some day in 2023; nothing depends on which.
const NOW: Now = Now { mono: Mono(1_000_000), unix: UnixMs(1_700_000_000_000) };

/// So many buffers are made before the counting; they come again in turn.
const BUFFERS: usize = 1000;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(name) = args.next() else {
        MEASURES.iter().for_each(|measure| println!("{}", measure.name));
        return ExitCode::SUCCESS;
    };
    let measure = MEASURES.iter().find(|measure| measure.name == name);
    let requests = args.next().and_then(|count| count.parse().ok());
    let (Some(measure), Some(requests)) = (measure, requests) else {
        eprintln!("usage: tandem-counts [MEASURE REQUESTS]");
        return ExitCode::from(2);
    };
    run(measure, requests);
    ExitCode::SUCCESS
}

fn run(measure: &Measure, requests: usize) {
    let node = node(measure.config);
    let mut worker = Worker::new(0, 1);
    worker.now = NOW;
    let info = ClientInfo::new(node.clients.next_id(), 0, 9, String::new(), String::new(), NOW);
    let info = Arc::new(info);
    node.clients.add(Arc::clone(&info));
    let mut session = node.new_session(info);
    for request in (measure.setup)() {
        send(&node, &mut worker, &mut session, &request);
    }
    let mut chance = fastrand::Rng::with_seed(7);
    let buffers: Vec<Vec<u8>> = (0..BUFFERS)
        .map(|_| {
            let mut buffer = Vec::new();
            (0..measure.pipeline).for_each(|_| (measure.request)(&mut chance, &mut buffer));
            buffer
        })
        .collect();
    for buffer in buffers.iter().cycle().take(requests / measure.pipeline) {
        send(&node, &mut worker, &mut session, buffer);
    }
}

/// One turn of the worker: what came is run, what is to be sent is thrown away.
fn send(node: &Node, worker: &mut Worker, session: &mut Session, bytes: &[u8]) {
    node.receive(worker, session, bytes);
    worker.end_turn(node);
    if let Some(text) = session.out.single().filter(|text| text.starts_with(b"-")) {
        panic!("a measure's request failed: {}", text.escape_ascii());
    }
    let length = session.out.len();
    assert!(length > 0 && !session.is_stopped(), "every measure gets replies at once");
    session.out.consume(length);
}

fn node(config: &str) -> Arc<Node> {
    let config = Config::parse(config.as_bytes()).expect("the measure's own words");
    let host = Arc::new(SimHost::new(Arc::new(Mutex::new(Disk::default())), 1, NOW));
    let identity = Identity {
        pid: 1,
        run_id: ReplId::from_random([0; 20]),
        executable: String::new(),
        config_file: String::new(),
        supervised: false,
    };
    let options = NodeOptions { gate_slots: 2, workers: 1, config, now: NOW, identity };
    Arc::new(Node::new(options, host))
}
