//! Directives whose effect only a process shows, and CONFIG REWRITE.

use tandem_harness::{Client, Kind, Server, wait_until};

use crate::pairs::for_each_kind;
use crate::supervised::first_cpu;
use crate::tandem;

for_each_kind!(
    a_failed_rewrite_says_why_once,
    debug_is_refused_before_its_subcommands_are_looked_at,
    a_renamed_container_goes_by_its_new_name,
    a_master_is_the_same_in_any_case,
);

/// Each connection's rewrite reads the file that the one before has written.
#[test]
fn rewrites_at_the_same_time_keep_the_file() {
    const COMMENTS: usize = 300;
    let comments: String = (0..COMMENTS).map(|n| format!("# comment number {n}\n")).collect();
    let text =
        format!("{comments}port {{port}}\ndir {{dir}}\nlogfile {{dir}}/log\nmaxmemory 1mb\n");
    let server = Server::start_with_file(&tandem(4), &text);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut c = Client::connect(server.port());
                (0..25).for_each(|_| c.run("CONFIG REWRITE").ok());
            });
        }
    });
    let rewritten = std::fs::read_to_string(server.file("server.conf")).expect("it is there");
    assert_eq!(rewritten.matches("# comment number ").count(), COMMENTS, "{rewritten}");
    assert_eq!(rewritten.matches("maxmemory 1mb\n").count(), 1, "{rewritten}");
    let left = std::fs::read_dir(server.file(".")).expect("a folder").flatten();
    let names: Vec<String> = left.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.contains("tmp")), "{names:?}");
}

fn a_failed_rewrite_says_why_once(kind: &Kind) {
    let text =
        "port {port}\nbind 127.0.0.1\ndir {dir}\nlogfile {dir}/log\nenable-debug-command yes\n";
    let server = Server::start_with_file(kind, text);
    let file = server.file("server.conf");
    std::fs::remove_file(&file).expect("our own file");
    std::fs::create_dir(&file).expect("our own folder");
    let mut c = server.client();
    let said = c.run("CONFIG REWRITE").error();
    assert_eq!(said.as_deref(), Some("ERR Rewriting config file: Is a directory"));
    let said = c.run("DEBUG CONFIG-REWRITE-FORCE-ALL").error();
    assert_eq!(said.as_deref(), Some("ERR CONFIG-REWRITE-FORCE-ALL failed: Is a directory"));
    let log = std::fs::read_to_string(server.file("log")).expect("it is there");
    assert_eq!(log.matches("CONFIG REWRITE failed: Is a directory").count(), 1, "{log}");
}

fn debug_is_refused_before_its_subcommands_are_looked_at(kind: &Kind) {
    let server = Server::start(kind, &["--enable-debug-command", "no"]);
    let mut c = server.client();
    for line in ["DEBUG nosuch", "DEBUG sleep", "DEBUG sleep 0 1", "DEBUG sleep 0"] {
        let said = c.run(line).error().expect("an error");
        assert!(said.starts_with("ERR DEBUG command not allowed."), "{line}: {said}");
    }
    let said = c.run("DEBUG").error();
    assert_eq!(said.as_deref(), Some("ERR wrong number of arguments for 'debug' command"));
    c.run("CONFIG SET requirepass x").ok();
    let said = server.client().run("DEBUG nosuch").error().expect("an error");
    assert!(said.starts_with("ERR DEBUG command not allowed."), "{said}");
}

fn a_renamed_container_goes_by_its_new_name(kind: &Kind) {
    let server = Server::start(kind, &["--rename-command", "OBJECT", "thing"]);
    let mut c = server.client();
    let help = c.run("THING HELP");
    assert!(help.items()[0].text().contains("<subcommand>"), "{help:?}");
    let said = c.run("thing nosuch").error();
    assert_eq!(said.as_deref(), Some("ERR unknown subcommand 'nosuch'. Try THING HELP."));
    assert!(c.run("OBJECT HELP").error().is_some());
}

fn a_master_is_the_same_in_any_case(kind: &Kind) {
    let (master, replica) = (Server::start(kind, &[]), Server::start(kind, &[]));
    let mut c = replica.client();
    let port = master.port();
    c.run(&format!("REPLICAOF localhost {port}")).ok();
    replica.wait_link_up();
    let said = c.run(&format!("REPLICAOF LocalHost {port}")).text();
    assert_eq!(said, "OK Already connected to specified master");
    assert_eq!(c.info("master_link_status"), "up");
}

/// The snapshot's thread, not the whole process, is put on the CPUs that the directive names.
#[test]
fn a_snapshot_runs_on_its_cpus() {
    let cpu = first_cpu();
    let server =
        Server::start(&tandem(2), &["--bgsave_cpulist", &cpu, "--rdb-key-save-delay", "2000"]);
    let mut c = server.client();
    c.run("DEBUG POPULATE 5000").ok();
    c.run("BGSAVE");
    let mut cpus = String::new();
    wait_until("the snapshot's thread is where it belongs", || {
        cpus = cpus_of_snapshot(server.pid()).unwrap_or_default();
        cpus == cpu
    });
    c.run("CONFIG SET rdb-key-save-delay 0").ok();
}

/// What the kernel says of the thread called `snapshot`.
fn cpus_of_snapshot(pid: u32) -> Option<String> {
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let status = std::fs::read_to_string(task.path().join("status")).ok()?;
        if status.starts_with("Name:\tsnapshot\n") {
            let line = status.lines().find(|line| line.starts_with("Cpus_allowed_list:"))?;
            return Some(line.split('\t').nth(1)?.to_owned());
        }
    }
    None
}
