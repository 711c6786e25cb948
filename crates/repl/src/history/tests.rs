//! Every road through the PSYNC decision, and the lineage through failovers and restarts.

use super::*;

fn id(letter: u8) -> ReplId {
    ReplId([letter; 40])
}

fn ask(replid: ReplId, next: i64) -> PsyncAsk {
    PsyncAsk { replid: replid.as_bytes().to_vec(), next }
}

/// A node whose history `b` parted from `a` after offset 100, with bytes 51 to 200 at hand.
fn promoted() -> (History, ReplOffset, Option<WindowFacts>) {
    let mut history = History::new(id(b'a'));
    let line = history.promote(id(b'b'), ReplOffset(100));
    assert_eq!(
        line.text,
        format!(
            "Setting secondary replication ID to {}, valid up to offset: 101. New replication ID \
             is {}",
            id(b'a'),
            id(b'b')
        )
    );
    let window = WindowFacts { first_byte: NextByte(51), end: ReplOffset(200) };
    (history, window.end, Some(window))
}

#[track_caller]
fn check(ask: PsyncAsk, wanted: &str) {
    let (history, end, window) = promoted();
    let verdict = decide_psync(&history, end, window, &ask);
    let lines: Vec<String> = verdict
        .log_lines(&history, &ask, "10.0.0.7:6380")
        .into_iter()
        .map(|line| {
            line.text.replace(&id(b'a').to_string(), "A").replace(&id(b'b').to_string(), "B")
        })
        .collect();
    assert_eq!(format!("{verdict:?} {}", lines.join(" / ")), wanted);
}

#[test]
fn who_asks_for_what_we_have_goes_on() {
    let accepted = "Partial resynchronization request from 10.0.0.7:6380 accepted. Sending";
    check(
        ask(id(b'b'), 51),
        &format!(
            "Continue {{ from: NextByte(51), bytes: 150 }} {accepted} 150 bytes of backlog starting from offset 51."
        ),
    );
    check(
        ask(id(b'b'), 201),
        &format!(
            "Continue {{ from: NextByte(201), bytes: 0 }} {accepted} 0 bytes of backlog starting from offset 201."
        ),
    );
    check(
        ask(id(b'a'), 101),
        &format!(
            "Continue {{ from: NextByte(101), bytes: 100 }} {accepted} 100 bytes of backlog starting from offset 101."
        ),
    );
    check(
        ask(id(b'B'), 60),
        &format!(
            "Continue {{ from: NextByte(60), bytes: 141 }} {accepted} 141 bytes of backlog starting from offset 60."
        ),
    );
}

#[test]
fn everybody_else_starts_over_and_is_told_why_in_the_log() {
    let full = "FullResync { because:";
    check(
        PsyncAsk { replid: b"?".to_vec(), next: -1 },
        &format!("{full} Asked }} Full resync requested by replica 10.0.0.7:6380"),
    );
    check(
        PsyncAsk { replid: b"evil\r\nline".to_vec(), next: 60 },
        &format!(
            "{full} OtherHistory }} Partial resynchronization not accepted: Replication ID mismatch (Replica asked for 'evil\\r\\nline', my replication IDs are 'B' and 'A')"
        ),
    );
    check(
        ask(id(b'a'), 102),
        &format!(
            "{full} PastTheFork }} Partial resynchronization not accepted: Requested offset for second ID was 102, but I can reply up to 101"
        ),
    );
    let lack = "Unable to partial resync with replica 10.0.0.7:6380 for lack of backlog (Replica request was:";
    check(ask(id(b'b'), 50), &format!("{full} OutOfBacklog {{ ahead: false }} }} {lack} 50)."));
    check(ask(id(b'b'), -7), &format!("{full} OutOfBacklog {{ ahead: false }} }} {lack} -7)."));
    check(ask(id(b'b'), 0), &format!("{full} OutOfBacklog {{ ahead: false }} }} {lack} 0)."));
    check(
        ask(id(b'b'), 202),
        &format!(
            "{full} OutOfBacklog {{ ahead: true }} }} {lack} 202). / Warning: replica 10.0.0.7:6380 tried to PSYNC with an offset that is greater than the master replication offset."
        ),
    );
    check(
        ask(id(b'b'), i64::MAX),
        &format!(
            "{full} OutOfBacklog {{ ahead: true }} }} {lack} 9223372036854775807). / Warning: replica 10.0.0.7:6380 tried to PSYNC with an offset that is greater than the master replication offset."
        ),
    );
}

#[test]
fn without_a_backlog_nobody_goes_on() {
    let history = History::new(id(b'a'));
    let verdict = decide_psync(&history, ReplOffset(0), None, &ask(id(b'a'), 1));
    assert_eq!(verdict, Verdict::FullResync { because: Why::OutOfBacklog { ahead: true } });
}

#[test]
fn forty_zeros_are_nobodys_history() {
    let history = History::new(id(b'a'));
    let verdict = decide_psync(&history, ReplOffset(0), None, &ask(ReplId::NONE, 1));
    assert_eq!(verdict, Verdict::FullResync { because: Why::OtherHistory });
}

#[test]
fn an_answer_takes_its_place_in_the_stream() {
    let stream = Stream::new(0);
    stream.activate(ReplOffset(10));
    stream.append(b"abc");
    let history = History::new(id(b'a'));
    let (verdict, cursor) = answer_psync(&history, &stream, &ask(id(b'a'), 12));
    assert_eq!(verdict, Verdict::Continue { from: NextByte(12), bytes: 2 });
    assert_eq!(cursor.unwrap().chunk(), b"bc");
    let (verdict, cursor) = answer_psync(&history, &stream, &ask(id(b'x'), 12));
    assert_eq!(verdict, Verdict::FullResync { because: Why::OtherHistory });
    assert!(cursor.is_none());
}

#[test]
fn arguments_of_psync_are_read_with_care() {
    assert_eq!(PsyncAsk::parse(b"?", b"-1"), Ok(PsyncAsk { replid: b"?".to_vec(), next: -1 }));
    for bad in [&b""[..], b"x", b"1.0", b"9223372036854775808", b" 1"] {
        assert_eq!(PsyncAsk::parse(b"?", bad), Err(BadOffset));
    }
    assert!(PsyncAsk::parse(&[b'x'; 5000], b"1").unwrap().replid.len() < 100);
}

#[test]
fn lineage_through_failover_and_restart() {
    let mut history = History::new(id(b'a'));
    assert_eq!(history.second_repl_offset(), -1);
    // A replica hears of its master's promotion.
    history.adopt(id(b'a'), ReplOffset(5));
    assert_eq!(history, History::new(id(b'a')));
    history.adopt(id(b'b'), ReplOffset(5));
    assert_eq!((history.replid, history.replid2), (id(b'b'), id(b'a')));
    assert_eq!(history.second_repl_offset(), 6);
    // A full resync knows nothing of the past.
    history.full_resynced(id(b'c'));
    assert_eq!(history, History::new(id(b'c')));
    // A master restarts from its file under a new id; a replica under the same.
    let mut master = History::new(id(b'd'));
    master.restored_as_master(id(b'c'), ReplOffset(0));
    assert_eq!((master.replid2, master.second_repl_offset()), (id(b'c'), 1));
    let mut replica = History::new(id(b'e'));
    replica.restored_as_replica(id(b'c'));
    assert_eq!(replica, History::new(id(b'c')));
}

#[test]
fn replies_are_worded_for_old_and_new_replicas() {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert_eq!(text(continue_reply(id(b'a'), true)), format!("+CONTINUE {}\r\n", id(b'a')));
    assert_eq!(text(continue_reply(id(b'a'), false)), "+CONTINUE\r\n");
    assert_eq!(
        text(fullresync_reply(id(b'a'), ReplOffset(7))),
        format!("+FULLRESYNC {} 7\r\n", id(b'a'))
    );
}
