//! `tandem cli --topology` over chains of every pair of master and replica, and through a lost
//! link.

use std::process::Command;

use tandem_harness::{Kind, Proxy, Server, wait_until};

use crate::pairs::for_each_pair;
use crate::start_replica;

for_each_pair!(a_chain_is_drawn_from_every_node, a_lost_link_is_drawn_as_down);

fn drawn(server: &Server, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["cli", "-p", &server.port().to_string(), "--topology"])
        .args(args)
        .output()
        .expect("our own binary runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn a_chain_is_drawn_from_every_node(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    let middle = start_replica(replica, m.port(), &[]);
    let last = start_replica(master, middle.port(), &[]);
    m.client().run("set a 1");
    for from in [&m, &middle, &last] {
        let mut text = String::new();
        wait_until("three nodes without a lag", || {
            text = drawn(from, &[]);
            text.lines().count() == 3 && text.matches("lag 0 bytes").count() == 2
        });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains(&format!(":{}", m.port())), "{text}");
        assert!(lines[1].starts_with("└─ ") && lines[1].contains(&middle.address()), "{text}");
        assert!(lines[2].starts_with("   └─ ") && lines[2].contains(&last.address()), "{text}");
        assert_eq!(text.matches(" * ").count(), 1, "{text}");
    }
    let names = if master.is_tandem() { &["tandem"][..] } else { &["redis", "valkey"] };
    let json = drawn(&last, &["--json"]);
    assert!(names.iter().any(|name| json.contains(&format!("\"version\":\"{name} "))), "{json}");
}

fn a_lost_link_is_drawn_as_down(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    let proxy = Proxy::start(m.port());
    let r = start_replica(replica, proxy.port(), &[]);
    wait_until("it is online", || drawn(&r, &["--json"]).contains("\"state\":\"online\""));
    proxy.cut();
    wait_until("the replica is drawn below a master that does not answer", || {
        let text = drawn(&r, &[]);
        text.contains("unreachable") && text.contains("down")
    });
}
