//! DUMP and RESTORE, by scripts. The payloads are those of Redis 7.0.15.

use crate::commands::script::check;

#[test]
fn payloads_equal_those_of_redis() {
    check(
        r#"
        > DUMP missing
        nil
        > SET k v
        +OK
        > DUMP k
        "\x00\x01v\n\x00\x91\x08\xce\xb2\x198\x8a\xce"
        > RESTORE copy 0 "\x00\x01v\n\x00\x91\b\xce\xb2\x198\x8a\xce" REPLACE
        +OK
        > GET copy
        "v"
        > SET k 10
        +OK
        > DUMP k
        "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb"
        > RESTORE copy 0 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb" REPLACE
        +OK
        > GET copy
        "10"
        > SET k 1000000
        +OK
        > DUMP k
        "\x00\xc2@B\x0f\x00\n\x00O\xf5\xebT\x07\x08\x8b\x03"
        > RESTORE copy 0 "\x00\xc2@B\x0f\x00\n\x00O\xf5\xebT\a\b\x8b\x03" REPLACE
        +OK
        > GET copy
        "1000000"
        > SET k 99999999999999
        +OK
        > DUMP k
        "\x00\x0e99999999999999\n\x00/\x9c\x87J\xf7E\x9dK"
        > RESTORE copy 0 "\x00\x0e99999999999999\n\x00/\x9c\x87J\xf7E\x9dK" REPLACE
        +OK
        > GET copy
        "99999999999999"
        > SET k abababababababababababababababababababababababababababababababababababababababab
        +OK
        > DUMP k
        "\x00\xc3\n@P\x02aba\xe0B\x01\x01ab\n\x00\x94\x9d_\x0e\xb1\xde\xa4E"
        > RESTORE copy 0 "\x00\xc3\n@P\x02aba\xe0B\x01\x01ab\n\x00\x94\x9d_\x0e\xb1\xde\xa4E" REPLACE
        +OK
        > GET copy
        "abababababababababababababababababababababababababababababababababababababababab"
        "#,
    );
}

#[test]
fn a_restore_is_told_with_a_moment() {
    check(
        r#"
        > RESTORE k 0 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb"
        +OK
        ~ RESTORE k 0 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb"
        > OBJECT ENCODING k
        "int"
        > RESTORE k 0 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb"
        -BUSYKEY Target key name already exists.
        > RESTORE k 5000 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb" replace IDLETIME 10
        +OK
        ~ RESTORE k 1700000005000 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb" replace IDLETIME 10 ABSTTL
        > OBJECT IDLETIME k
        :10
        > PTTL k
        :5000
        > RESTORE k 1700000000007 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb" ABSTTL REPLACE
        +OK
        ~ RESTORE k 1700000000007 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb" ABSTTL REPLACE
        > PTTL k
        :7
        > RESTORE k 5 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb" ABSTTL REPLACE
        +OK
        ~ DEL k
        > RESTORE k 5 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb" ABSTTL
        +OK
        ~ -
        > EXISTS k
        :0
        "#,
    );
}

#[test]
fn bad_payloads_and_options() {
    check(
        r#"
        > RESTORE k 0 ""
        -ERR DUMP payload version or checksum are wrong
        > RESTORE k 0 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbc"
        -ERR DUMP payload version or checksum are wrong
        > RESTORE k 0 "\x00\xc0\n\x0b\x00n\x9fWE\x0e\xaec\xbb"
        -ERR DUMP payload version or checksum are wrong
        > RESTORE k -1 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb"
        -ERR Invalid TTL value, must be >= 0
        > RESTORE k x "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb"
        -ERR value is not an integer or out of range
        > RESTORE k 0 x IDLETIME -1
        -ERR Invalid IDLETIME value, must be >= 0
        > RESTORE k 0 x FREQ 256
        -ERR Invalid FREQ value, must be >= 0 and <= 255
        > RESTORE k 0 x FREQ 1 IDLETIME 1
        -ERR syntax error
        > RESTORE k 0 x IDLETIME
        -ERR syntax error
        > RESTORE k 0 x NONSENSE
        -ERR syntax error
        > EXISTS k
        :0
        ~ -
        "#,
    );
}

#[test]
fn no_damage_to_a_payload_does_harm() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut shell = crate::commands::script::Shell::new();
    for _ in 0..2000 {
        let mut payload: Vec<u8> = (0..rng.usize(..40)).map(|_| rng.u8(..)).collect();
        // A right footer, so that the value itself is looked at.
        payload.insert(0, 0);
        payload.extend([10, 0]);
        let sum = tandem_store::rdb::crc64::crc64(&payload);
        payload.extend(sum.to_le_bytes());
        let reply = shell.run_args(&[b"RESTORE", b"k", b"0", &payload, b"REPLACE"]);
        assert!(reply == "+OK" || reply == "-ERR Bad data format", "{reply}");
    }
}
