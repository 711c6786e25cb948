//! The directives with a form of their own, and the types behind them.

use super::Config;
use super::directive::Other;
use super::table::Directive;
use super::value::{Value, Why};
use super::words::{parse_c_integer, parse_memory};

/// Save after so many seconds if there were at least so many changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last save; at least 1.
    pub seconds: u64,
    /// Changes since the last save.
    pub changes: u32,
}

/// Classes of clients with limits of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientClass {
    /// Everyone else.
    Normal,
    /// Replicas.
    Replica,
    /// Subscribers.
    PubSub,
}

impl ClientClass {
    /// Every class, in the order in which they are shown.
    pub const ALL: [ClientClass; 3] =
        [ClientClass::Normal, ClientClass::Replica, ClientClass::PubSub];

    fn parse(word: &[u8]) -> Option<ClientClass> {
        match word.to_ascii_lowercase().as_slice() {
            b"normal" => Some(ClientClass::Normal),
            b"slave" | b"replica" => Some(ClientClass::Replica),
            b"pubsub" => Some(ClientClass::PubSub),
            _ => None,
        }
    }

    /// The name that CONFIG GET shows.
    fn old_name(self) -> &'static str {
        match self {
            ClientClass::Replica => "slave",
            other => other.name(),
        }
    }

    /// The name that CONFIG REWRITE writes.
    pub(super) fn name(self) -> &'static str {
        match self {
            ClientClass::Normal => "normal",
            ClientClass::Replica => "replica",
            ClientClass::PubSub => "pubsub",
        }
    }
}

/// How many bytes of replies may wait for a client; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferLimit {
    /// Above this the client is closed at once.
    pub hard_bytes: u64,
    /// Above this for `soft_seconds` the client is closed.
    pub soft_bytes: u64,
    /// See `soft_bytes`.
    pub soft_seconds: u64,
}

/// Host and port of a master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterAddress {
    /// Name or address.
    pub host: Box<[u8]>,
    /// TCP port.
    pub port: u16,
}

/// Classes of keyspace events, and where they are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceEvents(u32);

/// Letters in the order in which they are shown. `A` stands for those up to `d`.
const EVENT_LETTERS: &[u8; 14] = b"g$lshzxetdnKEm";
/// Letters that `A` stands for.
const EVENTS_OF_A: usize = 10;

impl KeyspaceEvents {
    const ALL: u32 = (1 << EVENTS_OF_A) - 1;

    /// Reads a list of letters; `None` if one is unknown.
    pub fn parse(letters: &[u8]) -> Option<KeyspaceEvents> {
        letters.iter().try_fold(KeyspaceEvents(0), |events, letter| {
            let bits = match letter {
                b'A' => KeyspaceEvents::ALL,
                _ => 1 << EVENT_LETTERS.iter().position(|known| known == letter)?,
            };
            Some(KeyspaceEvents(events.0 | bits))
        })
    }

    /// One bit for each letter, in the order of `EVENT_LETTERS`.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether the class, or the kind of channel (`K`, `E`), with this letter is on.
    pub fn has(self, letter: u8) -> bool {
        KeyspaceEvents::parse(&[letter]).is_some_and(|bits| self.0 & bits.0 == bits.0)
    }

    /// The letters. Like Redis, `A` hides `n`.
    pub fn letters(self) -> Vec<u8> {
        let all = self.0 & KeyspaceEvents::ALL == KeyspaceEvents::ALL;
        let mut letters = if all { b"A".to_vec() } else { Vec::new() };
        for (index, letter) in EVENT_LETTERS.iter().enumerate() {
            let hidden = all && (index < EVENTS_OF_A || *letter == b'n');
            if self.0 & (1 << index) != 0 && !hidden {
                letters.push(*letter);
            }
        }
        letters
    }
}

/// Most addresses to listen on.
const BIND_COUNT: usize = 16;

/// The value when nothing is said.
pub(super) fn default(other: Other) -> Value {
    const MB: u64 = 1 << 20;
    let limit =
        |hard_bytes, soft_bytes, soft_seconds| BufferLimit { hard_bytes, soft_bytes, soft_seconds };
    match other {
        Other::Bind => Value::Bind(vec![b"*".as_slice().into(), b"-::*".as_slice().into()]),
        Other::BufferLimits => Value::BufferLimits([
            limit(0, 0, 0),
            limit(256 * MB, 64 * MB, 60),
            limit(32 * MB, 8 * MB, 60),
        ]),
        Other::KeyspaceEvents => Value::KeyspaceEvents(KeyspaceEvents::default()),
        Other::OomScores => Value::OomScores([0, 200, 800]),
        Other::Percentiles => Value::Percentiles(vec![50.0, 99.0, 99.9]),
        Other::ReplicaOf => Value::ReplicaOf(None),
        Other::SavePoints => Value::SavePoints(vec![
            SavePoint { seconds: 3600, changes: 1 },
            SavePoint { seconds: 300, changes: 100 },
            SavePoint { seconds: 60, changes: 10000 },
        ]),
    }
}

/// Reads a value from its arguments; see [`super::value::parse`].
pub(super) fn parse(
    other: Other,
    words: &[&[u8]],
    old: &Value,
    append_save_points: bool,
) -> Result<Value, Why> {
    match (other, old) {
        (Other::Bind, _) => parse_bind(words),
        (Other::BufferLimits, Value::BufferLimits(old)) => parse_buffer_limits(words, *old),
        (Other::KeyspaceEvents, _) => parse_keyspace_events(words),
        (Other::OomScores, _) => parse_oom_scores(words),
        (Other::Percentiles, _) => parse_percentiles(words),
        (Other::ReplicaOf, _) => parse_replicaof(words),
        (Other::SavePoints, Value::SavePoints(old)) => {
            parse_save_points(words, append_save_points.then_some(old))
        }
        (_, old) => unreachable!("{other:?} is never {old:?}"),
    }
}

/// No words, or one empty word, mean "none".
fn or_none<'a, 'b>(words: &'a [&'b [u8]]) -> &'a [&'b [u8]] {
    if let [b""] = words { &[] } else { words }
}

fn parse_bind(words: &[&[u8]]) -> Result<Value, Why> {
    if words.len() > BIND_COUNT {
        return Err("Too many bind addresses specified.".into());
    }
    Ok(Value::Bind(or_none(words).iter().map(|word| (*word).into()).collect()))
}

fn parse_buffer_limits(words: &[&[u8]], old: [BufferLimit; 3]) -> Result<Value, Why> {
    let (groups, rest) = words.as_chunks::<4>();
    if !rest.is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    let mut limits = old;
    for [class, hard, soft, seconds] in groups {
        let Some(class) = ClientClass::parse(class) else {
            return Err("Invalid client class specified in buffer limit configuration.".into());
        };
        let seconds = parse_c_integer(seconds, 10).and_then(|(n, _)| u64::try_from(n).ok());
        let (Some(hard_bytes), Some(soft_bytes), Some(soft_seconds)) =
            (parse_memory(hard), parse_memory(soft), seconds)
        else {
            return Err("Error in hard, soft or soft_seconds setting in buffer limit \
                        configuration."
                .into());
        };
        limits[class as usize] = BufferLimit { hard_bytes, soft_bytes, soft_seconds };
    }
    Ok(Value::BufferLimits(limits))
}

fn parse_keyspace_events(words: &[&[u8]]) -> Result<Value, Why> {
    let [letters] = words else { return Err("wrong number of arguments".into()) };
    match KeyspaceEvents::parse(letters) {
        Some(events) => Ok(Value::KeyspaceEvents(events)),
        None => Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into()),
    }
}

fn parse_oom_scores(words: &[&[u8]]) -> Result<Value, Why> {
    let Ok(words) = <[&[u8]; 3]>::try_from(words) else {
        return Err("wrong number of arguments".into());
    };
    let mut scores = [0; 3];
    for (score, word) in scores.iter_mut().zip(words) {
        *score = parse_c_integer(word, 10)
            .and_then(|(value, _)| i32::try_from(value).ok())
            .filter(|value| (-2000..=2000).contains(value))
            .ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?;
    }
    Ok(Value::OomScores(scores))
}

fn parse_percentiles(words: &[&[u8]]) -> Result<Value, Why> {
    let percentiles = or_none(words).iter().map(|word| {
        let number = std::str::from_utf8(word).ok().and_then(|word| word.parse::<f64>().ok());
        match number {
            Some(number) if (0.0..=100.0).contains(&number) => Ok(number),
            Some(number) if !number.is_nan() => {
                Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]")
            }
            _ => Err("Invalid latency-tracking-info-percentiles parameters"),
        }
    });
    Ok(Value::Percentiles(percentiles.collect::<Result<_, _>>()?))
}

fn parse_replicaof(words: &[&[u8]]) -> Result<Value, Why> {
    let [host, port] = words else { return Err("wrong number of arguments".into()) };
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        return Ok(Value::ReplicaOf(None));
    }
    let port = parse_c_integer(port, 10).and_then(|(port, _)| u16::try_from(port).ok());
    let Some(port) = port else { return Err("Invalid master port".into()) };
    Ok(Value::ReplicaOf(Some(MasterAddress { host: (*host).into(), port })))
}

fn parse_save_points(words: &[&[u8]], before: Option<&Vec<SavePoint>>) -> Result<Value, Why> {
    // `save ""` drops what an earlier line said; `save` alone does not.
    let before = if let [b""] = words { None } else { before };
    let (pairs, rest) = or_none(words).as_chunks::<2>();
    let mut points = before.cloned().unwrap_or_default();
    for [seconds, changes] in pairs {
        let seconds = parse_c_integer(seconds, 10).map(|(n, _)| n).filter(|n| *n >= 1);
        let changes = parse_c_integer(changes, 10).map(|(n, _)| n).filter(|n| *n >= 0);
        let (Some(seconds), Some(changes)) = (seconds, changes) else {
            return Err("Invalid save parameters".into());
        };
        points.push(SavePoint {
            seconds: seconds.unsigned_abs(),
            changes: u32::try_from(changes).unwrap_or(u32::MAX).min(i32::MAX.unsigned_abs()),
        });
    }
    if !rest.is_empty() {
        return Err("Invalid save parameters".into());
    }
    Ok(Value::SavePoints(points))
}

/// The value as CONFIG GET shows it.
pub(super) fn show(value: &Value) -> Vec<u8> {
    match value {
        Value::SavePoints(points) => {
            let points: Vec<String> =
                points.iter().map(|point| format!("{} {}", point.seconds, point.changes)).collect();
            points.join(" ").into()
        }
        Value::BufferLimits(limits) => {
            let shown: Vec<String> = ClientClass::ALL
                .iter()
                .map(|class| {
                    let limit = &limits[*class as usize];
                    let BufferLimit { hard_bytes, soft_bytes, soft_seconds } = limit;
                    format!("{} {hard_bytes} {soft_bytes} {soft_seconds}", class.old_name())
                })
                .collect();
            shown.join(" ").into()
        }
        Value::OomScores(scores) => scores.map(|score| score.to_string()).join(" ").into(),
        Value::KeyspaceEvents(events) => events.letters(),
        Value::Bind(addresses) => addresses.join(&b' '),
        Value::ReplicaOf(None) => Vec::new(),
        Value::ReplicaOf(Some(master)) => {
            [&*master.host, b" ", master.port.to_string().as_bytes()].concat()
        }
        Value::Percentiles(percentiles) => {
            let shown: Vec<String> = percentiles.iter().map(|p| show_percentile(*p)).collect();
            shown.join(" ").into()
        }
        simple => unreachable!("{simple:?} has no form of its own"),
    }
}

/// Six digits after the point, without zeros at the end.
fn show_percentile(percentile: f64) -> String {
    let text = format!("{percentile:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Config {
    /// Save after so many seconds if there were at least so many changes.
    pub fn save(&self) -> &[SavePoint] {
        match &self.values[Directive::Save as usize] {
            Value::SavePoints(points) => points,
            other => unreachable!("save is never {other:?}"),
        }
    }

    /// How many bytes of replies may wait for a client of `class`.
    pub fn client_output_buffer_limit(&self, class: ClientClass) -> BufferLimit {
        match &self.values[Directive::ClientOutputBufferLimit as usize] {
            Value::BufferLimits(limits) => limits[class as usize],
            other => unreachable!("client-output-buffer-limit is never {other:?}"),
        }
    }

    /// Scores for a master, a replica and a background process.
    pub fn oom_score_adj_values(&self) -> [i32; 3] {
        match &self.values[Directive::OomScoreAdjValues as usize] {
            Value::OomScores(scores) => *scores,
            other => unreachable!("oom-score-adj-values is never {other:?}"),
        }
    }

    /// Which keyspace events are published.
    pub fn notify_keyspace_events(&self) -> KeyspaceEvents {
        match &self.values[Directive::NotifyKeyspaceEvents as usize] {
            Value::KeyspaceEvents(events) => *events,
            other => unreachable!("notify-keyspace-events is never {other:?}"),
        }
    }

    /// Addresses to listen on. One that starts with `-` may be missing on this machine; none
    /// at all means every address.
    pub fn bind(&self) -> &[Box<[u8]>] {
        match &self.values[Directive::Bind as usize] {
            Value::Bind(addresses) => addresses,
            other => unreachable!("bind is never {other:?}"),
        }
    }

    /// The master to copy.
    pub fn replicaof(&self) -> Option<&MasterAddress> {
        match &self.values[Directive::Replicaof as usize] {
            Value::ReplicaOf(master) => master.as_ref(),
            other => unreachable!("replicaof is never {other:?}"),
        }
    }

    /// Percentiles that INFO latencystats prints.
    pub fn latency_tracking_info_percentiles(&self) -> &[f64] {
        match &self.values[Directive::LatencyTrackingInfoPercentiles as usize] {
            Value::Percentiles(percentiles) => percentiles,
            other => unreachable!("latency-tracking-info-percentiles is never {other:?}"),
        }
    }
}
