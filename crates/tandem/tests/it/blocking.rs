//! Clients that wait, here in WAIT, and how their waits end: in time, called off, gone, or with
//! the role of the server.

use tandem_harness::{Client, Kind, Server, wait_until};

use crate::pairs::for_each_kind;

for_each_kind!(
    a_wait_called_off_is_answered_and_what_was_sent_behind_it_runs,
    who_goes_away_while_he_waits_is_found_out,
    a_new_role_ends_every_wait,
);

fn wait_for_blocked(c: &mut Client, count: i64) {
    wait_until(&format!("{count} clients wait"), || c.info_number("blocked_clients") == count);
}

fn waiting(server: &Server, timeout: &str) -> (Client, i64) {
    let mut waiting = server.client();
    let id = waiting.run("CLIENT ID").int();
    waiting.send(&["WAIT", "1", timeout]).expect("it listens");
    (waiting, id)
}

fn a_wait_called_off_is_answered_and_what_was_sent_behind_it_runs(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let mut c = server.client();
    let (mut waiting, id) = waiting(&server, "0");
    waiting.send(&["INCR", "n"]).expect("it listens");
    wait_for_blocked(&mut c, 1);
    assert_eq!(c.info_number("clients_in_timeout_table"), 0);
    assert!(c.run(&format!("CLIENT LIST ID {id}")).text().contains(" flags=b "));
    assert_eq!(c.run("EXISTS n").int(), 0);
    assert_eq!(c.run(&format!("CLIENT UNBLOCK {id}")).int(), 1);
    assert_eq!(waiting.read().expect("an answer").int(), 0);
    assert_eq!(waiting.read().expect("an answer").int(), 1);
    assert_eq!(c.run(&format!("CLIENT UNBLOCK {id}")).int(), 0);
    waiting.send(&["WAIT", "1", "100000"]).expect("it listens");
    wait_for_blocked(&mut c, 1);
    assert_eq!(c.info_number("clients_in_timeout_table"), 1);
    assert_eq!(c.run(&format!("CLIENT UNBLOCK {id} ERROR")).int(), 1);
    let error = waiting.read().expect("an answer");
    assert!(format!("{error:?}").contains("UNBLOCKED client unblocked via CLIENT UNBLOCK"));
    assert_eq!(waiting.run("WAIT 1 10").int(), 0);
}

fn who_goes_away_while_he_waits_is_found_out(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let mut c = server.client();
    let (gone, _) = waiting(&server, "0");
    let (mut gone_with_words, _) = waiting(&server, "0");
    gone_with_words.send(&["SET", "never", "1"]).expect("it listens");
    let (_killed, id) = waiting(&server, "0");
    wait_for_blocked(&mut c, 3);
    drop(gone);
    wait_for_blocked(&mut c, 2);
    drop(gone_with_words);
    wait_for_blocked(&mut c, 1);
    assert_eq!(c.run(&format!("CLIENT KILL ID {id}")).int(), 1);
    wait_for_blocked(&mut c, 0);
    wait_until("they are gone", || c.info_number("connected_clients") == 1);
    assert_eq!(c.run("EXISTS never").int(), 0);
}

fn a_new_role_ends_every_wait(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let mut c = server.client();
    let (mut one, _) = waiting(&server, "0");
    let (mut other, _) = waiting(&server, "100000");
    wait_for_blocked(&mut c, 2);
    c.run("REPLICAOF 127.0.0.1 1").ok();
    for client in [&mut one, &mut other] {
        let left = client.read_to_end().expect("the server closes");
        let text = "-UNBLOCKED force unblock from blocking operation, instance state changed \
                    (master -> replica?)\r\n";
        assert_eq!(String::from_utf8_lossy(&left), text);
    }
    wait_for_blocked(&mut c, 0);
}
