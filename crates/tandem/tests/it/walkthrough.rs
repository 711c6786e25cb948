//! The walk-through of the documents that asked for this system, word for word: two
//! configuration files, two servers, `redis-cli` on each. Only the two port numbers are free ones.

use std::io::Write;
use std::process::{Command, Stdio};

use tandem_harness::{Kind, Server, wait_until, without_times};

use crate::pairs::for_each_kind;

for_each_kind!(two_files_two_servers_one_name);

/// What `redis-cli -h 127.0.0.1 -p port` prints when `lines` are typed at it, with the format of
/// a terminal.
fn redis_cli(port: u16, lines: &str) -> String {
    let mut cli = Command::new("redis-cli")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "--no-raw"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-cli is needed by this test and was not found");
    cli.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads");
    let output = cli.wait_with_output().expect("our own child");
    assert!(output.status.success(), "redis-cli ended with {}", output.status);
    without_times(&String::from_utf8(output.stdout).expect("text"))
}

fn two_files_two_servers_one_name(kind: &Kind) {
    let common = "bind 127.0.0.1\nport {port}\ndaemonize no\ndir {dir}\nlogfile {dir}/log\n\
                  pidfile {dir}/redis.pid\nrepl-diskless-sync no\n";
    let master = Server::start_with_file(kind, common);
    let text = format!("{common}slaveof 127.0.0.1 {}\n", master.port());
    let replica = Server::start_with_file(kind, &text);

    assert_eq!(redis_cli(master.port(), "set name jake\n"), "OK\n");
    replica.wait_link_up();
    let mut printed = String::new();
    wait_until("get name prints on the replica", || {
        printed = redis_cli(replica.port(), "get name\n");
        printed != "(nil)\n"
    });
    assert_eq!(printed, "\"jake\"\n");
    let refused = redis_cli(replica.port(), "set name jane\n");
    assert_eq!(refused, "(error) READONLY You can't write against a read only replica.\n");

    // The replica may be there before its master has noted that all of the snapshot is sent.
    wait_until("the master shows a replica that is up", || {
        let info = redis_cli(master.port(), "info replication\n");
        ["role:master", "connected_slaves:1", "slave0:ip=127.0.0.1,port=", ",state=online,offset="]
            .iter()
            .all(|text| info.contains(text))
    });
    let info = redis_cli(replica.port(), "info replication\n");
    for text in
        ["role:slave", "master_host:127.0.0.1", "master_link_status:up", "slave_read_only:1"]
    {
        assert!(info.contains(text), "{text} is missing in\n{info}");
    }
    assert!(master.log().contains("asks for synchronization"));
    assert!(replica.log().contains("MASTER <-> REPLICA sync: Finished with success"));
}
