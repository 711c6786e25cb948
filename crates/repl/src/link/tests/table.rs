//! The transition table, printed from the machine itself, and foreign bytes of every kind.

use super::*;
use crate::link::state::State;

/// How to bring a fresh link into each state.
const WAYS: [(&str, &[&str]); 8] = [
    ("Connecting", &[]),
    ("Connect", &["connect-failed no"]),
    ("Handshake", &["connected"]),
    ("Psync", &["connected", "recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n"]),
    ("Header", &["connected", "recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n+FULLRESYNC ID_A 7\\r\\n"]),
    (
        "Body",
        &["connected", "recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n+FULLRESYNC ID_A 7\\r\\n$5\\r\\nab"],
    ),
    (
        "Loading",
        &["connected", "recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n+FULLRESYNC ID_A 7\\r\\n$2\\r\\nab"],
    ),
    ("Stream", &["connected", "recv +PONG\\r\\n+OK\\r\\n+OK\\r\\n+CONTINUE\\r\\n"]),
];

const INPUTS: [(&str, &str); 12] = [
    ("connected", "connected"),
    ("connect-failed", "connect-failed no"),
    ("line", "recv +OK\\r\\n"),
    ("error line", "recv -ERR no\\r\\n"),
    ("empty line", "recv \\n"),
    ("closed", "closed"),
    ("desynced", "desynced"),
    ("loaded", "loaded"),
    ("load failed", "loaded no"),
    ("spool failed", "spool-failed no"),
    ("repl-timeout", "wait-tick"),
    ("leave", "leave"),
];

const TABLE: &str = "
               | Connecting  | Connect     | Handshake   | Psync       | Header      | Body        | Loading     | Stream
connected      | Handshake   | Connect     | Connect     | Connect     | Connect     | Connect     | Connect     | Connect
connect-failed | Connect     | Connect     | Connect     | Connect     | Connect     | Connect     | Connect     | Connect
line           | Connecting  | Connect     | Handshake   | Header      | Connect     | Loading     | Loading     | Stream
error line     | Connecting  | Connect     | Connect     | Header      | Connecting  | Loading     | Loading     | Stream
empty line     | Connecting  | Connect     | Connect     | Psync       | Header      | Body        | Loading     | Stream
closed         | Connect     | Connect     | Connect     | Connect     | Connecting  | Connecting  | Loading     | Connecting
desynced       | Connect     | Connect     | Connect     | Connect     | Connect     | Connect     | Connect     | Connecting
loaded         | Connect     | Connect     | Connect     | Connect     | Connect     | Connect     | Stream      | Connect
load failed    | Connect     | Connect     | Connect     | Connect     | Connect     | Connect     | Connect     | Connect
spool failed   | Connect     | Connect     | Connect     | Connect     | Connect     | Connecting  | Connecting  | Connect
repl-timeout   | Connecting  | Connecting  | Connecting  | Connecting  | Connecting  | Connecting  | Loading     | Connecting
leave          | Left        | Left        | Left        | Left        | Left        | Left        | Left        | Left
";

fn in_state(way: &[&str]) -> Driver {
    let cached = CachedMaster { replid: id(ID_A), offset: ReplOffset(7) };
    let mut driver = Driver::new(Settings::default(), Some(cached));
    way.iter().for_each(|command| driver.run(command));
    driver
}

#[test]
fn the_transition_table() {
    let mut table = format!("\n{:14} ", "");
    for (state, _) in WAYS {
        write!(table, "| {state:11} ").unwrap();
    }
    for (name, command) in INPUTS {
        write!(table, "\n{name:14} ").unwrap();
        for (state, way) in WAYS {
            let mut driver = in_state(way);
            assert_eq!(driver.link.state.name(), state);
            if command == "wait-tick" {
                // One tick, late: what it fires is the state's own.
                let late = driver.now.plus_ms(60_000);
                driver.link.tick(late);
            } else {
                driver.run(command);
            }
            write!(table, "| {:11} ", driver.link.state.name()).unwrap();
        }
    }
    let tidy = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert!(tidy(&table) == tidy(TABLE), "the table is:{table}");
}

/// A few numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % sides
    }
}

#[test]
fn no_bytes_and_no_order_of_events_break_the_link() {
    let phrases: Vec<Vec<u8>> = [
        "+PONG\\r\\n",
        "+OK\\r\\n",
        "+OK\\r\\n+OK\\r\\n",
        "-ERR no\\r\\n",
        "-NOMASTERLINK\\r\\n",
        "-LOADING x\\r\\n",
        "\\n",
        "+FULLRESYNC ID_A 70\\r\\n",
        "+FULLRESYNC ID_B",
        "+CONTINUE\\r\\n",
        "+CONTINUE ID_B\\r\\n",
        "$3\\r\\n",
        "$0\\r\\n",
        "$EOF:MARK\\r\\n",
        "MARK",
        "012345",
        "$-1\\r\\n",
        "*1\\r\\n$4\\r\\nPING\\r\\n",
    ]
    .map(unescape)
    .into();
    let mut reached = std::collections::BTreeMap::new();
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let mut driver = in_state(WAYS[dice.roll(8) as usize].1);
        for _ in 0..200 {
            driver.trace.clear();
            let before = driver.link.state.name();
            match dice.roll(30) {
                0 => driver.run("closed"),
                1 => driver.run("connect-failed no"),
                2 => driver.run("loaded no"),
                3 => driver.run("desynced"),
                4 => driver.wait(dice.roll(70_000)),
                5 => driver.receive(&[dice.roll(256) as u8]),
                6..12 if matches!(driver.link.state, State::Loading { .. }) => driver.run("loaded"),
                6..14 if matches!(driver.link.state, State::Connecting) => driver.run("connected"),
                14..18 => {
                    if let State::Stream(up) = &driver.link.state {
                        let (from, to) = (up.applied.0, up.received.0);
                        driver.link.applied(ReplOffset(from + dice.roll(to - from + 1)));
                    }
                }
                _ => {
                    let phrase = &phrases[dice.roll(phrases.len() as u64) as usize];
                    let from = if dice.roll(8) == 0 { dice.roll(phrase.len() as u64) } else { 0 };
                    driver.receive(&phrase[from as usize..]);
                }
            }
            let after = driver.link.state.name();
            *reached.entry((before, after)).or_insert(0u32) += 1;
            assert_eq!(driver.link.is_up(), after == "Stream");
            assert_eq!(driver.link.sync_progress().is_some(), driver.link.role_state() == "sync");
            if let Some((read, applied)) = driver.link.offsets() {
                assert!(applied <= read);
            }
        }
    }
    for (state, _) in WAYS {
        assert!(reached.keys().any(|(_, after)| *after == state), "{state} was never reached");
    }
}
