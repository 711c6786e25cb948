//! What clients ask for: string commands on few keys in few databases, so that they meet.

/// Databases that clients use, and nodes have.
pub const DATABASES: u16 = 5;

/// One request.
pub type Request = Vec<Vec<u8>>;

fn request(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// Encodes requests for the wire.
pub fn encode(requests: &[Request]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for words in requests {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        tandem_repl::wire::push_command(&mut bytes, &words);
    }
    bytes
}

fn key(rng: &mut fastrand::Rng) -> String {
    format!("key:{}", rng.u8(0..9))
}

fn db(rng: &mut fastrand::Rng) -> String {
    rng.u16(0..DATABASES).to_string()
}

fn value(rng: &mut fastrand::Rng) -> String {
    match rng.u8(0..10) {
        0..=4 => rng.i32(-50..1000).to_string(),
        5..=8 => "v".repeat(rng.usize(0..40)) + &rng.u16(..).to_string(),
        _ => "large".repeat(rng.usize(20..200)),
    }
}

/// Milliseconds until something expires: mostly soon, sometimes past already.
fn ttl_ms(rng: &mut fastrand::Rng) -> String {
    rng.i32(1..2500).to_string()
}

/// A write, now and then a read that may meet an expired key.
pub fn write(rng: &mut fastrand::Rng) -> Request {
    let (k, other, v) = (key(rng), key(rng), value(rng));
    let (k, other, v) = (k.as_str(), other.as_str(), v.as_str());
    match rng.u8(0..50) {
        0..=9 => request(&["SET", k, v]),
        10..=13 => request(&["SET", k, v, "PX", &ttl_ms(rng)]),
        14 => request(&["SET", k, v, "EX", "1", "GET"]),
        15 => request(&["SET", k, v, "KEEPTTL"]),
        16 => request(&["SET", k, v, if rng.bool() { "NX" } else { "XX" }]),
        17..=20 => request(&["INCR", k]),
        21 => request(&["DECRBY", k, "7"]),
        22 => request(&["INCRBYFLOAT", k, "1.5"]),
        23..=26 => request(&["APPEND", k, "+"]),
        27 => request(&["SETRANGE", k, &rng.u8(0..30).to_string(), "range"]),
        28..=30 => request(&["DEL", k, other]),
        31 => request(&["UNLINK", k]),
        32..=33 => request(&["PEXPIRE", k, &ttl_ms(rng)]),
        34 => request(&["EXPIRE", k, &rng.i32(-1..3).to_string()]),
        35 => request(&["PERSIST", k]),
        36 => request(&["GETEX", k, "PX", &ttl_ms(rng)]),
        37 => request(&["GETDEL", k]),
        38 => request(&["GETSET", k, v]),
        39 => request(&["MSET", k, v, other, "m"]),
        40 => request(&["MSETNX", k, v, other, "mnx"]),
        41 => request(&["RENAME", k, other]),
        42 => request(&["COPY", k, other, "DB", &db(rng), "REPLACE"]),
        43 => request(&["MOVE", k, &db(rng)]),
        44 => request(&["PSETEX", k, &ttl_ms(rng), v]),
        _ => request(&["GET", k]),
    }
}

/// Rare commands that touch whole databases.
fn wide(rng: &mut fastrand::Rng) -> Request {
    match rng.u8(0..4) {
        0 => request(&["FLUSHDB"]),
        1 if rng.u8(0..3) == 0 => request(&["FLUSHALL"]),
        _ => request(&["SWAPDB", &db(rng), &db(rng)]),
    }
}

/// What one client sends at once: a request, a short pipeline, or a transaction.
pub fn batch(rng: &mut fastrand::Rng) -> Vec<Request> {
    match rng.u8(0..20) {
        0..=2 => vec![request(&["SELECT", &db(rng)])],
        3..=4 => (0..rng.usize(2..6)).map(|_| write(rng)).collect(),
        5..=6 => transaction(rng),
        7 if rng.u8(0..3) == 0 => vec![wide(rng)],
        8 if rng.u8(0..3) == 0 => vec![request(&["RANDOMKEY"])],
        _ => vec![write(rng)],
    }
}

fn transaction(rng: &mut fastrand::Rng) -> Vec<Request> {
    let mut all = Vec::new();
    if rng.u8(0..4) == 0 {
        all.push(request(&["WATCH", &key(rng)]));
    }
    all.push(request(&["MULTI"]));
    for _ in 0..rng.usize(0..4) {
        all.push(match rng.u8(0..12) {
            0..=2 => request(&["SELECT", &db(rng)]),
            3 if rng.bool() => wide(rng),
            _ => write(rng),
        });
    }
    let last = if rng.u8(0..8) == 0 { "DISCARD" } else { "EXEC" };
    all.push(request(&[last]));
    all
}

/// WAIT for `replicas`.
pub fn wait(replicas: usize, timeout_ms: u64) -> Vec<Request> {
    vec![request(&["WAIT", &replicas.to_string(), &timeout_ms.to_string()])]
}

/// Enough to push everything else out of a small backlog.
pub fn burst(rng: &mut fastrand::Rng) -> Vec<Request> {
    let value = "x".repeat(rng.usize(800..3000));
    let count = rng.usize(8..24);
    (0..count).map(|_| request(&["SET", "burst", &format!("{value}{}", rng.u8(..))])).collect()
}

/// Many keys at once, so that snapshots and transfers take their time.
pub fn fill(rng: &mut fastrand::Rng) -> Vec<Request> {
    let value = value(rng);
    let mut words = vec![b"MSET".to_vec()];
    let first = rng.u16(0..200);
    for number in first..first + rng.u16(20..150) {
        words.push(format!("many:{number}").into_bytes());
        words.push(value.get(..value.len().min(60)).unwrap_or_default().as_bytes().to_vec());
    }
    vec![words]
}

/// An order of the administrator.
pub fn order(words: &[&str]) -> Vec<Request> {
    vec![request(words)]
}
