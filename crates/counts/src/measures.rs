//! The measures: the commonest commands, over keys enough that a table has grown.

use tandem_resp::push_request;

/// One measure.
pub(crate) struct Measure {
    /// Its name, as in the record.
    pub(crate) name: &'static str,
    /// Lines of the configuration.
    pub(crate) config: &'static str,
    /// Requests that make the data, one or more a buffer.
    pub(crate) setup: fn() -> Vec<Vec<u8>>,
    /// Requests in one buffer.
    pub(crate) pipeline: usize,
    /// Appends one request.
    pub(crate) request: fn(&mut fastrand::Rng, &mut Vec<u8>),
}

/// Keys `key:00000000000` …, 16 bytes each.
const KEYS: u64 = 10_000;
const VALUE: &[u8] = &[b'x'; 64];

/// All measures.
pub(crate) const MEASURES: &[Measure] = &[
    Measure { name: "ping", pipeline: 16, setup: nothing, request: ping, config: "" },
    Measure { name: "get", pipeline: 16, setup: strings, request: get, config: "" },
    Measure { name: "get-single", pipeline: 1, setup: strings, request: get, config: "" },
    Measure { name: "get-missing", pipeline: 16, setup: nothing, request: get, config: "" },
    Measure { name: "set", pipeline: 16, setup: strings, request: set, config: "" },
    Measure { name: "set-single", pipeline: 1, setup: strings, request: set, config: "" },
    Measure { name: "set-expiry", pipeline: 16, setup: strings, request: set_ex, config: "" },
    Measure { name: "set-1k", pipeline: 16, setup: strings, request: set_1k, config: "" },
    Measure { name: "incr", pipeline: 16, setup: nothing, request: incr, config: "" },
    Measure { name: "mget-10", pipeline: 4, setup: strings, request: mget, config: "" },
    Measure { name: "mset-10", pipeline: 4, setup: strings, request: mset, config: "" },
    Measure { name: "set-del", pipeline: 16, setup: nothing, request: set_del, config: "" },
    Measure { name: "exists", pipeline: 16, setup: strings, request: exists, config: "" },
    Measure { name: "expire", pipeline: 16, setup: strings, request: expire, config: "" },
    Measure { name: "transaction", pipeline: 4, setup: strings, request: exec, config: "" },
    Measure { name: "hset", pipeline: 16, setup: hashes, request: hset, config: "" },
    Measure { name: "hset-longer", pipeline: 16, setup: hashes, request: hset_longer, config: "" },
    Measure { name: "hget", pipeline: 16, setup: hashes, request: hget, config: "" },
    Measure { name: "hincrby", pipeline: 16, setup: hashes, request: hincrby, config: "" },
    Measure { name: "hgetall-10", pipeline: 16, setup: hashes, request: hgetall_10, config: "" },
    Measure { name: "hgetall-100", pipeline: 16, setup: hashes, request: hgetall_100, config: "" },
    Measure { name: "hscan", pipeline: 16, setup: large_hash, request: hscan, config: "" },
];

fn push(out: &mut Vec<u8>, args: &[&[u8]]) {
    push_request(out, args.iter().copied());
}

fn key(number: u64) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let mut rest = number;
    for digit in key.iter_mut().rev().take(12) {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

fn any_key(chance: &mut fastrand::Rng) -> [u8; 16] {
    key(chance.u64(..KEYS))
}

fn nothing() -> Vec<Vec<u8>> {
    Vec::new()
}

fn strings() -> Vec<Vec<u8>> {
    let set = |number| {
        let mut request = Vec::new();
        push(&mut request, &[b"SET", &key(number), VALUE]);
        request
    };
    (0..KEYS).map(set).collect()
}

/// A request that gives `key` so many fields.
fn hset_fields(key: &[u8], fields: u64) -> Vec<u8> {
    let texts: Vec<_> = (0..fields).map(field_and_value).collect();
    let mut args: Vec<&[u8]> = vec![b"HSET", key];
    args.extend(texts.iter().flat_map(|(field, value)| [field.as_bytes(), value.as_bytes()]));
    let mut request = Vec::new();
    push(&mut request, &args);
    request
}

fn field_and_value(number: u64) -> (String, String) {
    (format!("field:{number}"), format!("value:{number:08}"))
}

/// Hashes of ten fields, and one of 100.
fn hashes() -> Vec<Vec<u8>> {
    let wide = std::iter::once(hset_fields(b"wide", 100));
    (0..KEYS).map(|number| hset_fields(&key(number), 10)).chain(wide).collect()
}

/// A hash that is a table.
fn large_hash() -> Vec<Vec<u8>> {
    vec![hset_fields(b"large", 10_000)]
}

fn ping(_: &mut fastrand::Rng, out: &mut Vec<u8>) {
    push(out, &[b"PING"]);
}

fn get(chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    push(out, &[b"GET", &any_key(chance)]);
}

fn set(chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    push(out, &[b"SET", &any_key(chance), VALUE]);
}

fn set_ex(chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    push(out, &[b"SET", &any_key(chance), VALUE, b"EX", b"1000"]);
}

fn set_1k(chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    push(out, &[b"SET", &any_key(chance), &[b'y'; 1024]]);
}

fn incr(chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    push(out, &[b"INCR", &any_key(chance)]);
}

fn mget(chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    let keys: [[u8; 16]; 10] = std::array::from_fn(|_| any_key(chance));
    let mut args: Vec<&[u8]> = vec![b"MGET"];
    args.extend(keys.iter().map(|key| key.as_slice()));
    push(out, &args);
}

fn mset(chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    let keys: [[u8; 16]; 10] = std::array::from_fn(|_| any_key(chance));
    let mut args: Vec<&[u8]> = vec![b"MSET"];
    args.extend(keys.iter().flat_map(|key| [key.as_slice(), VALUE]));
    push(out, &args);
}

fn set_del(chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    let key = any_key(chance);
    push(out, &[b"SET", &key, VALUE]);
    push(out, &[b"DEL", &key]);
}

fn exists(chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    push(out, &[b"EXISTS", &any_key(chance)]);
}

fn expire(chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    push(out, &[b"EXPIRE", &any_key(chance), b"1000"]);
}

fn exec(chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    let key = any_key(chance);
    push(out, &[b"MULTI"]);
    push(out, &[b"GET", &key]);
    push(out, &[b"SET", &key, VALUE]);
    push(out, &[b"EXEC"]);
}

fn hset(chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    push(out, &[b"HSET", &any_key(chance), b"field:5", b"value:00000009"]);
}

/// Values of different lengths, so that the hash is laid out anew.
fn hset_longer(chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    let length = chance.usize(10..18);
    push(out, &[b"HSET", &any_key(chance), b"field:5", &VALUE[..length]]);
}

fn hget(chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    push(out, &[b"HGET", &any_key(chance), b"field:5"]);
}

fn hincrby(chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    push(out, &[b"HINCRBY", &any_key(chance), b"count", b"1"]);
}

fn hgetall_10(chance: &mut fastrand::Rng, out: &mut Vec<u8>) {
    push(out, &[b"HGETALL", &any_key(chance)]);
}

fn hgetall_100(_: &mut fastrand::Rng, out: &mut Vec<u8>) {
    push(out, &[b"HGETALL", b"wide"]);
}

/// The first step of a walk, of about ten fields.
fn hscan(_: &mut fastrand::Rng, out: &mut Vec<u8>) {
    push(out, &[b"HSCAN", b"large", b"0"]);
}
