//! Strings, by scripts: requests, replies and what replicas are told (see `script::check`).

use super::range_of;
use crate::commands::script::check;

#[test]
fn set_and_get() {
    check(
        r#"
        > SET k v
        +OK
        ~ SET k v
        > GET k
        "v"
        > GET missing
        nil
        > SET k 007
        +OK
        > GET k
        "007"
        > SET k -9223372036854775808
        +OK
        > GET k
        "-9223372036854775808"
        > SET k "" 
        +OK
        > GET k
        ""
        > SET k
        -ERR wrong number of arguments for 'set' command
        > SET k v nonsense
        -ERR syntax error
        > SET k v NX XX
        -ERR syntax error
        > SET k v XX NX
        -ERR syntax error
        > SET k v EX
        -ERR syntax error
        > SET k v EX 1 PX 1
        -ERR syntax error
        > SET k v KEEPTTL EX 1
        -ERR syntax error
        > SET k v PERSIST
        -ERR syntax error
        "#,
    );
}

#[test]
fn set_on_conditions() {
    check(
        r#"
        > SET k v XX
        nil
        > SET k v NX
        +OK
        ~ SET k v NX
        > SET k w nx
        nil
        ~ -
        > SET k w xx
        +OK
        ~ SET k w xx
        > SETNX k x
        :0
        > SETNX l x
        :1
        ~ SETNX l x
        > GET k
        "w"
        "#,
    );
}

#[test]
fn set_replies_what_was_there() {
    check(
        r#"
        > SET k a GET
        nil
        ~ SET k a
        > SET k b GET
        "a"
        ~ SET k b
        > SET k c get NX GET
        "b"
        ~ -
        > SET n c NX GET
        nil
        ~ SET n c NX
        > SET m c XX GET
        nil
        ~ -
        > SET k get get xx
        "b"
        ~ SET k get xx
        > SET k d GET PX 5
        "get"
        ~ SET k d PXAT 1700000000005
        > GETSET k e
        "d"
        ~ SET k e
        > TTL k
        :-1
        > GETSET new e
        nil
        ~ SET new e
        > GETDEL k
        "e"
        ~ DEL k
        > GETDEL k
        nil
        ~ -
        "#,
    );
}

#[test]
fn an_expiry_is_told_as_a_moment() {
    check(
        r#"
        > SET k v EX 10
        +OK
        ~ SET k v PXAT 1700000010000
        > set k v px 10
        +OK
        ~ SET k v PXAT 1700000000010
        > SET k v EXAT 1700000001
        +OK
        ~ SET k v PXAT 1700000001000
        > SET k v PXAT 1700000000001
        +OK
        ~ SET k v PXAT 1700000000001
        > SET k v EX 1 EX 2
        +OK
        ~ SET k v PXAT 1700000002000
        > SETEX k 3 v
        +OK
        ~ SET k v PXAT 1700000003000
        > PSETEX k 4 v
        +OK
        ~ SET k v PXAT 1700000000004
        > SET k w KEEPTTL
        +OK
        ~ SET k w KEEPTTL
        > PTTL k
        :4
        > SET k w
        +OK
        > PTTL k
        :-1
        "#,
    );
}

#[test]
fn an_expiry_that_cannot_be_is_refused() {
    check(
        r#"
        > SET k v EX 0
        -ERR invalid expire time in 'set' command
        > SET k v PX -1
        -ERR invalid expire time in 'set' command
        > SET k v EX 9223372036854775807
        -ERR invalid expire time in 'set' command
        > SET k v EX 9223372036854775
        -ERR invalid expire time in 'set' command
        > SET k v PX 9223372036854775807
        -ERR invalid expire time in 'set' command
        > SET k v EX 1.5
        -ERR value is not an integer or out of range
        > SET k v EXAT -1
        -ERR invalid expire time in 'set' command
        > SETEX k 0 v
        -ERR invalid expire time in 'setex' command
        > PSETEX k -5 v
        -ERR invalid expire time in 'psetex' command
        > GETEX k EX 0
        nil
        > EXISTS k
        :0
        ~ -
        > SET k v PXAT 9223372036854775807
        +OK
        > PEXPIRETIME k
        :9223372036854775807
        > GETEX k PX 0
        -ERR invalid expire time in 'getex' command
        > GETEX k EXAT 9223372036854775807
        -ERR invalid expire time in 'getex' command
        "#,
    );
}

#[test]
fn a_set_on_what_has_expired_first_tells_its_end() {
    check(
        r#"
        > SET k v PX 5
        +OK
        + 5
        > GET k
        "v"
        ~ SET k v PXAT 1700000000005
        + 1
        > SET k w KEEPTTL
        +OK
        ~ MULTI
        ~ DEL k
        ~ SET k w KEEPTTL
        ~ EXEC
        > TTL k
        :-1
        > SET a 1 PXAT 1
        +OK
        ~ SET a 1 PXAT 1
        > GET a
        nil
        ~ DEL a
        > SET a 1 PXAT 1
        +OK
        > INCR a
        :1
        ~ SET a 1 PXAT 1
        ~ MULTI
        ~ DEL a
        ~ INCR a
        ~ EXEC
        > TTL a
        :-1
        "#,
    );
}

#[test]
fn getex_is_told_by_its_effect() {
    check(
        r#"
        > SET k v
        +OK
        ~ SET k v
        > GETEX k
        "v"
        ~ -
        > GETEX k EX 10
        "v"
        ~ PEXPIREAT k 1700000010000
        > GETEX k PX 7
        "v"
        ~ PEXPIREAT k 1700000000007
        > GETEX k PERSIST
        "v"
        ~ PERSIST k
        > GETEX k PERSIST
        "v"
        ~ -
        > GETEX k EXAT 1700000002
        "v"
        ~ PEXPIREAT k 1700000002000
        > GETEX k PXAT 1699999999999
        "v"
        ~ DEL k
        > GETEX k PXAT 1
        nil
        ~ -
        > GETEX k KEEPTTL
        -ERR syntax error
        > GETEX k EX
        -ERR syntax error
        > GETEX k PERSIST EX 1
        -ERR syntax error
        > GETEX k EX 1 PERSIST
        -ERR syntax error
        > GETEX k NX
        -ERR syntax error
        "#,
    );
}

#[test]
fn several_at_once() {
    check(
        r#"
        > MSET a 1 b 2 a 3
        +OK
        ~ MSET a 1 b 2 a 3
        > MGET a b c a
        ["3" "2" nil "3"]
        > MSET a 1 b
        -ERR wrong number of arguments for 'mset' command
        > MSETNX c 1 b 2
        :0
        ~ -
        > MSETNX c 1 d 2
        :1
        ~ MSETNX c 1 d 2
        > MSETNX c 1 d
        -ERR wrong number of arguments for 'msetnx' command
        "#,
    );
}

#[test]
fn bytes_in_place() {
    check(
        r#"
        > APPEND k 12
        :2
        ~ APPEND k 12
        > OBJECT ENCODING k
        "int"
        > APPEND k 3
        :3
        > GET k
        "123"
        > OBJECT ENCODING k
        "raw"
        > APPEND k ""
        :3
        ~ APPEND k 3
        ~ APPEND k ""
        > SETRANGE k 1 xy
        :3
        ~ SETRANGE k 1 xy
        > GET k
        "1xy"
        > SETRANGE k 5 z
        :6
        > GET k
        "1xy\x00\x00z"
        > SETRANGE k 0 ""
        :6
        > SETRANGE missing 3 ""
        :0
        ~ SETRANGE k 5 z
        > EXISTS missing
        :0
        > SETRANGE new 1 a
        :2
        > GET new
        "\x00a"
        > SETRANGE k -1 a
        -ERR offset is out of range
        > SETRANGE k x a
        -ERR value is not an integer or out of range
        > SETRANGE k 536870912 a
        -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        > SETRANGE k 9223372036854775807 a
        -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        > SETRANGE missing 9223372036854775807 a
        -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        > SETRANGE missing 9223372036854775807 ""
        :0
        > STRLEN k
        :6
        > STRLEN missing
        :0
        > EXPIRE k 100
        :1
        > APPEND k a
        :7
        > SETRANGE k 0 b
        :7
        > TTL k
        :100
        "#,
    );
}

#[test]
fn a_string_may_not_grow_beyond_the_limit() {
    check(
        r#"
        > CONFIG SET proto-max-bulk-len 1048576
        +OK
        > SETRANGE k 1048575 a
        :1048576
        > APPEND k a
        -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        > APPEND k ""
        :1048576
        > SETRANGE k 1048576 a
        -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        "#,
    );
}

#[test]
fn ranges() {
    for (start, end, len, want) in [
        (0, -1, 5, 0..5),
        (1, 3, 5, 1..4),
        (-3, -1, 5, 2..5),
        (-100, 1, 5, 0..2),
        (3, 100, 5, 3..5),
        (5, 9, 5, 0..0),
        (4, 3, 5, 0..0),
        (-1, -3, 5, 0..0),
        (-100, -50, 5, 0..1),
        (0, -100, 5, 0..1),
        (i64::MIN, i64::MAX, 5, 0..5),
        (i64::MIN, i64::MIN, 5, 0..1),
        (i64::MAX, i64::MAX, 5, 0..0),
        (0, -1, 0, 0..0),
    ] {
        assert_eq!(range_of(start, end, len), want, "{start} {end} of {len}");
    }
    check(
        r#"
        > SET k "Hello World"
        +OK
        > GETRANGE k 0 4
        "Hello"
        > SUBSTR k -5 -1
        "World"
        > GETRANGE missing 0 -1
        ""
        > SET k 12345
        +OK
        > GETRANGE k 1 2
        "23"
        > GETRANGE k a 2
        -ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn integers_to_their_limits() {
    check(
        r#"
        > INCR k
        :1
        ~ INCR k
        > DECR k
        :0
        > DECRBY k 5
        :-5
        > INCRBY k -5
        :-10
        ~ DECR k
        ~ DECRBY k 5
        ~ INCRBY k -5
        > SET k 9223372036854775806
        +OK
        > INCR k
        :9223372036854775807
        > INCR k
        -ERR increment or decrement would overflow
        > INCRBY k 9223372036854775807
        -ERR increment or decrement would overflow
        > SET k -9223372036854775808
        +OK
        > DECR k
        -ERR increment or decrement would overflow
        > DECRBY k -9223372036854775808
        -ERR decrement would overflow
        > INCRBY k 9223372036854775808
        -ERR value is not an integer or out of range
        > SET k " 1"
        +OK
        > INCR k
        -ERR value is not an integer or out of range
        > SET k 1.0
        +OK
        > DECR k
        -ERR value is not an integer or out of range
        > SET k 10 EX 50
        +OK
        > INCR k
        :11
        > TTL k
        :50
        > OBJECT ENCODING k
        "int"
        "#,
    );
}

#[test]
fn floats_are_told_by_their_sum() {
    check(
        r#"
        > SET k 0.1
        +OK
        ~ SET k 0.1
        > INCRBYFLOAT k 0.2
        "0.3"
        ~ SET k 0.3 KEEPTTL
        > SET k 3
        +OK
        > INCRBYFLOAT k 0
        "3"
        > OBJECT ENCODING k
        "embstr"
        > INCR k
        :4
        > INCRBYFLOAT k 5.0e3
        "5004"
        > INCRBYFLOAT new -1.50
        "-1.5"
        > INCRBYFLOAT k abc
        -ERR value is not a valid float
        > INCRBYFLOAT k nan
        -ERR value is not a valid float
        > INCRBYFLOAT k inf
        -ERR increment would produce NaN or Infinity
        > SET k +inf
        +OK
        > INCRBYFLOAT k -inf
        -ERR increment would produce NaN or Infinity
        > SET k "1 "
        +OK
        > INCRBYFLOAT k 1
        -ERR value is not a valid float
        > SET k 100000000000000000 EX 10
        +OK
        > INCRBYFLOAT k .5
        "100000000000000000.5"
        > TTL k
        :10
        "#,
    );
}

#[test]
fn longest_common_subsequence() {
    check(
        r#"
        > MSET a ohmytext b mynewtext
        +OK
        > LCS a b
        "mytext"
        > LCS a b LEN
        :6
        > LCS a b IDX
        ["matches" [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] "len" :6]
        > LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN
        ["matches" [[[:4 :7] [:5 :8] :4]] "len" :6]
        > LCS a missing
        ""
        > LCS a missing IDX
        ["matches" [] "len" :0]
        > LCS a a IDX
        ["matches" [[[:0 :7] [:0 :7]]] "len" :8]
        > LCS a b MINMATCHLEN -3 IDX
        ["matches" [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] "len" :6]
        > LCS a b LEN IDX
        -ERR If you want both the length and indexes, please just use IDX.
        > LCS a b MINMATCHLEN
        -ERR syntax error
        > LCS a b MINMATCHLEN x
        -ERR value is not an integer or out of range
        > CONFIG SET proto-max-bulk-len 1048576
        +OK
        > SETRANGE a 1000 x
        :1001
        > SETRANGE b 1000 x
        :1001
        > LCS a b LEN
        -ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len
        "#,
    );
}

#[test]
fn a_large_value_is_kept_and_replied_without_a_copy() {
    let large = "x".repeat(100_000);
    check(&format!("> SET k {large}\n+OK\n> GET k\n\"{large}\"\n> STRLEN k\n:100000\n"));
}
