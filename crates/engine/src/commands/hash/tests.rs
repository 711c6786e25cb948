//! Hash commands as clients and replicas see them.

use crate::commands::script::{Shell, check};

#[test]
fn fields_are_set_read_and_deleted() {
    check(
        r#"
        > HSET h a 1 b two a 3
        :2
        ~ HSET h a 1 b two a 3
        > HGET h a
        "3"
        > HGET h none
        nil
        > HGET none a
        nil
        > HMGET h b none a
        ["two" nil "3"]
        > HMGET none a b
        [nil nil]
        > HLEN h
        :2
        > HLEN none
        :0
        > HSTRLEN h b
        :3
        > HSTRLEN h none
        :0
        > HSTRLEN none b
        :0
        > HEXISTS h a
        :1
        > HEXISTS h c
        :0
        > HMSET h c 4
        +OK
        > HSETNX h c 5
        :0
        > HSETNX h d 5
        :1
        > HGETALL h
        ["a" "3" "b" "two" "c" "4" "d" "5"]
        > HKEYS h
        ["a" "b" "c" "d"]
        > HVALS h
        ["3" "two" "4" "5"]
        > HDEL h x
        :0
        > HDEL none x
        :0
        ~ HMSET h c 4
        ~ HSETNX h d 5
        > HDEL h a b x c
        :3
        > HDEL h d d
        :1
        ~ HDEL h a b x c
        ~ HDEL h d d
        > EXISTS h
        :0
        > HGETALL h
        []
        > HKEYS h
        []
        > TYPE h
        +none
        "#,
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    check(
        r#"
        > HSET h a
        -ERR wrong number of arguments for 'hset' command
        > HSET h a 1 b
        -ERR wrong number of arguments for 'hset' command
        > HMSET h a 1 b
        -ERR wrong number of arguments for 'hmset' command
        > SET s v
        +OK
        > HSET s a 1
        -WRONGTYPE Operation against a key holding the wrong kind of value
        > HGET s a
        -WRONGTYPE Operation against a key holding the wrong kind of value
        > HMGET s a
        -WRONGTYPE Operation against a key holding the wrong kind of value
        > HGETALL s
        -WRONGTYPE Operation against a key holding the wrong kind of value
        > HDEL s a
        -WRONGTYPE Operation against a key holding the wrong kind of value
        > HINCRBY s a 1
        -WRONGTYPE Operation against a key holding the wrong kind of value
        > HRANDFIELD s
        -WRONGTYPE Operation against a key holding the wrong kind of value
        > HSCAN s 0
        -WRONGTYPE Operation against a key holding the wrong kind of value
        > HSET h a 1
        :1
        > GET h
        -WRONGTYPE Operation against a key holding the wrong kind of value
        > INCR h
        -WRONGTYPE Operation against a key holding the wrong kind of value
        > MGET h s
        [nil "v"]
        > SET h now
        +OK
        > GET h
        "now"
        "#,
    );
}

#[test]
fn numbers_are_counted_up_and_sums_told_as_text() {
    check(
        r#"
        > HINCRBY h n 5
        :5
        > HINCRBY h n -7
        :-2
        > HINCRBY h n x
        -ERR value is not an integer or out of range
        > HSET h max 9223372036854775807 text abc
        :2
        > HINCRBY h max 1
        -ERR increment or decrement would overflow
        > HINCRBY h text 1
        -ERR hash value is not an integer
        ~ HINCRBY h n 5
        ~ HINCRBY h n -7
        ~ HSET h max 9223372036854775807 text abc
        > HINCRBYFLOAT h f 0.1
        "0.1"
        > HINCRBYFLOAT h f 0.2
        "0.3"
        > HINCRBYFLOAT h n 1.5
        "-0.5"
        > HINCRBYFLOAT h n x
        -ERR value is not a valid float
        > HINCRBYFLOAT h n inf
        -ERR value is NaN or Infinity
        > HINCRBYFLOAT h text 1
        -ERR hash value is not a float
        ~ HSET h f 0.1
        ~ HSET h f 0.3
        ~ HSET h n -0.5
        "#,
    );
}

#[test]
fn a_watched_hash_and_one_in_a_transaction() {
    check(
        r#"
        > HSET h a 1
        :1
        > WATCH h
        +OK
        b> HSET h a 1
        :0
        > MULTI
        +OK
        > HGET h a
        +QUEUED
        > EXEC
        nil
        > WATCH h
        +OK
        b> HDEL h none
        :0
        b> HSETNX h a 2
        :0
        > MULTI
        +OK
        > HSET h b 2
        +QUEUED
        > HINCRBYFLOAT h b 0.5
        +QUEUED
        > HGETALL h
        +QUEUED
        > HGET h
        -ERR wrong number of arguments for 'hget' command
        > EXEC
        -EXECABORT Transaction discarded because of previous errors.
        > MULTI
        +OK
        > HSET h b 2
        +QUEUED
        > HINCRBYFLOAT h b 0.5
        +QUEUED
        > HGETALL h
        +QUEUED
        > EXEC
        [:1 "2.5" ["a" "1" "b" "2.5"]]
        ~ HSET h a 1
        ~ HSET h a 1
        ~ MULTI
        ~ HSET h b 2
        ~ HSET h b 2.5
        ~ EXEC
        "#,
    );
}

#[test]
fn resp3_has_maps_and_pairs() {
    check(
        r#"
        > HELLO 3
        %["server" "redis" "version" "7.0.15" "proto" :3 "id" :1 "mode" "standalone" "role" "master" "modules" []]
        > HGETALL none
        %[]
        > HSET h a 1
        :1
        > HGETALL h
        %["a" "1"]
        > HRANDFIELD h 1 WITHVALUES
        [["a" "1"]]
        > HRANDFIELD h -2 withvalues
        [["a" "1"] ["a" "1"]]
        > HSCAN h 0
        ["0" ["a" "1"]]
        "#,
    );
}

#[test]
fn random_fields_in_every_form() {
    check(
        r#"
        > HRANDFIELD none
        nil
        > HRANDFIELD none 3
        []
        > HSET h a 1
        :1
        > HRANDFIELD h
        "a"
        > HRANDFIELD h 0
        []
        > HRANDFIELD h 5
        ["a"]
        > HRANDFIELD h 5 WITHVALUES
        ["a" "1"]
        > HRANDFIELD h -3
        ["a" "a" "a"]
        > HRANDFIELD h -2 WITHVALUES
        ["a" "1" "a" "1"]
        > HRANDFIELD h x
        -ERR value is not an integer or out of range
        > HRANDFIELD h 1 VALUES
        -ERR syntax error
        > HRANDFIELD h 1 WITHVALUES x
        -ERR syntax error
        > HRANDFIELD h -9223372036854775808
        -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        > HRANDFIELD h -9223372036854770000 WITHVALUES
        -ERR value is out of range
        "#,
    );
    for fields in [20, 2000] {
        let mut shell = Shell::new();
        for field in 0..fields {
            shell.run(&format!("HSET h {field} {}", field * 2));
        }
        let draw = |shell: &mut Shell, count: i32| -> Vec<i32> {
            let reply = shell.run(&format!("HRANDFIELD h {count}"));
            let words = reply.trim_matches(['[', ']']).split(' ');
            words.map(|word| word.trim_matches('"').parse().expect("a field")).collect()
        };
        for count in [1, 5, fields / 2, fields - 1, fields, fields + 1] {
            let mut drawn = draw(&mut shell, count);
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), count.min(fields) as usize, "{count} of {fields}");
            assert!(drawn.iter().all(|field| (0..fields).contains(field)));
        }
        // By chance: a few draws together show far more than a part of the hash.
        let mut seen: Vec<i32> = (0..5).flat_map(|_| draw(&mut shell, fields / 2)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > fields as usize * 8 / 10);
        assert_eq!(draw(&mut shell, -3 * fields).len(), 3 * fields as usize);
    }
}

#[test]
fn a_walk_shows_every_field() {
    check(
        r#"
        > HSCAN none 0 NONSENSE
        ["0" []]
        > HSET h aa 1 ab 2 b 3
        :3
        > HSCAN h 0
        ["0" ["aa" "1" "ab" "2" "b" "3"]]
        > HSCAN h 0 MATCH a* COUNT 1
        ["0" ["aa" "1" "ab" "2"]]
        > HSCAN h 0 TYPE string
        -ERR syntax error
        > HSCAN h 0 COUNT 0
        -ERR syntax error
        > HSCAN h x
        -ERR invalid cursor
        "#,
    );
    let mut shell = Shell::new();
    for field in 0..1000 {
        shell.run(&format!("HSET h f{field} {field}"));
    }
    let (mut cursor, mut seen, mut calls) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let reply = shell.run(&format!("HSCAN h {cursor} COUNT 20"));
        let words: Vec<&str> =
            reply.split(['[', ']', ' ', '"']).filter(|word| !word.is_empty()).collect();
        seen.extend(words[1..].chunks(2).map(|pair| pair[0].to_owned()));
        words[0].clone_into(&mut cursor);
        calls += 1;
        if cursor == "0" {
            break;
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 1000);
    assert!(calls > 5, "it is shown in {calls} pieces");
}

#[test]
fn a_hash_expires_moves_and_is_copied_like_any_value() {
    check(
        r#"
        > HSET h a 1
        :1
        > PEXPIRE h 100
        :1
        > HSET h b 2
        :1
        > PTTL h
        :100
        > COPY h copy
        :1
        > PERSIST copy
        :1
        > RENAME h other
        +OK
        > HGETALL other
        ["a" "1" "b" "2"]
        + 101
        > HGETALL other
        []
        > HSET other c 3
        :1
        > PTTL other
        :-1
        > HGETALL copy
        ["a" "1" "b" "2"]
        > OBJECT ENCODING copy
        "listpack"
        > TYPE copy
        +hash
        > SCAN 0 TYPE hash COUNT 1000
        ["0" ["copy" "other"]]
        "#,
    );
}
