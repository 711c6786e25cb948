//! The expected sums are what `redis-server` 7.0.15 answered after the same commands.

use tandem_base::{DbIndex, UnixMs};

use crate::{Expiry, HashLimits, Keyspace, NewString};

fn hex(sum: [u8; 20]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn set(keyspace: &Keyspace, db: u16, key: &str, value: &[u8], expiry: Expiry) {
    let hash = keyspace.hash(key.as_bytes());
    let mut stripe = keyspace.lock(hash.stripe);
    stripe.set_string(DbIndex(db), key.as_bytes(), hash, NewString::Bytes(value), expiry);
}

fn value_digest(keyspace: &Keyspace, db: u16, key: &str) -> String {
    let hash = keyspace.hash(key.as_bytes());
    let stripe = keyspace.lock(hash.stripe);
    hex(stripe.get(DbIndex(db), key.as_bytes(), hash).expect("was set").digest())
}

#[test]
fn digests_are_those_of_redis() {
    let keyspace = Keyspace::new(16, 4, [1, 2]);
    assert_eq!(hex(keyspace.digest()), "0".repeat(40));
    set(&keyspace, 0, "a", b"1", Expiry::Clear);
    assert_eq!(hex(keyspace.digest()), "943d800368fb9c0e951138f1bc0e313ac769d91f");
    set(&keyspace, 0, "name", b"jake", Expiry::Clear);
    assert_eq!(hex(keyspace.digest()), "e4b4dc75f44ccbfdbe9445ff537afe51be4736ab");
    set(&keyspace, 0, "temp", b"warm", Expiry::At(UnixMs(123)));
    assert_eq!(hex(keyspace.digest()), "15f7e13ba9dd8a7d81a2ff2144ed8255b69bf6a1");
    set(&keyspace, 3, "name", b"jake", Expiry::Clear);
    assert_eq!(hex(keyspace.digest()), "1a4ddf136b315e9adc696a3f7a0362a152558438");
    set(&keyspace, 3, "big", &[b'x'; 5000], Expiry::Clear);
    set(&keyspace, 3, "neg", b"-9223372036854775808", Expiry::Clear);
    set(&keyspace, 3, "empty", b"", Expiry::Clear);
    assert_eq!(hex(keyspace.digest()), "67b6c3004479f58c82dba363b3cb5a8968d73cbf");

    for (db, key, digest) in [
        (0, "a", "b4fc66738120fba0b5aa500ab5c2bf89cea1c5da"),
        (0, "name", "94af03c46674f31bc3b7b076636147c1212aaaa8"),
        (0, "temp", "6ed72ee5759137506f4c12dbdd4e01632ae72d54"),
        (3, "big", "e89a55262642bff99285a1e3f178ccdbef1d0651"),
        (3, "neg", "4191566616a6d8b974bba999f8e82b3f2c8dcce0"),
        (3, "empty", "8b3447c33a834b810e3e181b6fd6a2ee1020921c"),
    ] {
        assert_eq!(value_digest(&keyspace, db, key), digest, "{key}");
    }
}

#[test]
fn digests_of_hashes_are_those_of_redis() {
    let keyspace = Keyspace::new(1, 4, [1, 2]);
    let put = |key: &str, pairs: &[(String, String)], expiry| {
        let mut value = keyspace.new_hash(0, HashLimits::default());
        for (field, of_field) in pairs {
            value.set(field.as_bytes(), of_field.as_bytes());
        }
        let hash = keyspace.hash(key.as_bytes());
        keyspace.lock(hash.stripe).set_hash(DbIndex(0), key.as_bytes(), hash, value, expiry);
    };
    let pair = |field: &str, value: &str| (field.to_owned(), value.to_owned());
    let small = [
        pair("f1", "v1"),
        pair("2", "3"),
        pair("-70000", "9000000000"),
        pair("text", "a longer text with spaces"),
        pair("007", "-0"),
        pair("", ""),
    ];
    put("small", &small, Expiry::Clear);
    put("expiring", &[pair("a", "b")], Expiry::At(UnixMs(4_102_444_800_000)));
    let many: Vec<_> =
        (0..600).map(|n| (format!("field:{n}"), format!("value:{}", n * n))).collect();
    put("many", &many, Expiry::Clear);
    let long = [pair("f", &"x".repeat(100)), pair(&"y".repeat(70), "1")];
    put("long", &long, Expiry::Clear);
    let packed: Vec<_> = (0..200).map(|n| (format!("f{n}"), format!("abcabcabc{n}"))).collect();
    put("packed", &packed, Expiry::Clear);
    for (key, digest) in [
        ("small", "aaca6e8d857dbad641c7cb49c17f84061313ecf2"),
        ("expiring", "01ce97e79e107255ae83a560e4c2070114b00ba6"),
        ("many", "7b91733f43b2c8a18901a8bca71f562132465ca0"),
        ("long", "951eaa161e482403afed7117c1d060b7fde180d0"),
        ("packed", "8fba4ddfaf4764ce987e88cf027b549c66d41fbf"),
    ] {
        assert_eq!(value_digest(&keyspace, 0, key), digest, "{key}");
    }
    assert_eq!(hex(keyspace.digest()), "aeb5965a0661a1b6eb21957047c44bd3f14b5069");
}
