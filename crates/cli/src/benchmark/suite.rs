//! The standard tests: which names `-t` knows, what each sends, and what it is called in the
//! output.

use tandem_resp::reply::encode_command;

/// One standard test.
pub(super) struct Test {
    /// What the output calls it.
    pub(super) title: &'static str,
    /// The names under which `-t` asks for it.
    names: &'static [&'static str],
    /// Its words; `DATA` is the payload, `SCORE` a number.
    words: &'static [&'static str],
}

const DATA: &str = "<data>";
const SCORE: &str = "<score>";
const KEY: &str = "key:__rand_int__";
const MEMBER: &str = "element:__rand_int__";

const fn test(
    title: &'static str,
    names: &'static [&'static str],
    words: &'static [&'static str],
) -> Test {
    Test { title, names, words }
}

/// In the order in which they run: what pops comes after what pushes.
pub(super) const TESTS: &[Test] = &[
    test("PING_INLINE", &["ping_inline", "ping"], &[]),
    test("PING_MBULK", &["ping_mbulk", "ping"], &["PING"]),
    test("SET", &["set"], &["SET", KEY, DATA]),
    test("GET", &["get"], &["GET", KEY]),
    test("INCR", &["incr"], &["INCR", "counter:__rand_int__"]),
    test("LPUSH", &["lpush"], &["LPUSH", "mylist", DATA]),
    test("RPUSH", &["rpush"], &["RPUSH", "mylist", DATA]),
    test("LPOP", &["lpop"], &["LPOP", "mylist"]),
    test("RPOP", &["rpop"], &["RPOP", "mylist"]),
    test("SADD", &["sadd"], &["SADD", "myset", MEMBER]),
    test("HSET", &["hset"], &["HSET", "myhash", MEMBER, DATA]),
    test("SPOP", &["spop"], &["SPOP", "myset"]),
    test("ZADD", &["zadd"], &["ZADD", "myzset", SCORE, MEMBER]),
    test("ZPOPMIN", &["zpopmin"], &["ZPOPMIN", "myzset"]),
    test(
        "LPUSH (needed to benchmark LRANGE)",
        &["lrange", "lrange_100", "lrange_300", "lrange_500", "lrange_600"],
        &["LPUSH", "mylist", DATA],
    ),
    test(
        "LRANGE_100 (first 100 elements)",
        &["lrange", "lrange_100"],
        &["LRANGE", "mylist", "0", "99"],
    ),
    test(
        "LRANGE_300 (first 300 elements)",
        &["lrange", "lrange_300"],
        &["LRANGE", "mylist", "0", "299"],
    ),
    test(
        "LRANGE_500 (first 500 elements)",
        &["lrange", "lrange_500"],
        &["LRANGE", "mylist", "0", "499"],
    ),
    test(
        "LRANGE_600 (first 600 elements)",
        &["lrange", "lrange_600"],
        &["LRANGE", "mylist", "0", "599"],
    ),
    test(
        "MSET (10 keys)",
        &["mset"],
        &[
            "MSET", KEY, DATA, KEY, DATA, KEY, DATA, KEY, DATA, KEY, DATA, KEY, DATA, KEY, DATA,
            KEY, DATA, KEY, DATA, KEY, DATA,
        ],
    ),
];

impl Test {
    /// Whether `-t` asked for it; without `-t` all are wanted.
    pub(super) fn is_wanted(&self, wanted: Option<&[String]>) -> bool {
        wanted.is_none_or(|wanted| wanted.iter().any(|name| self.names.contains(&&**name)))
    }

    /// The bytes of one request.
    pub(super) fn command(&self, payload: &[u8], random: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.words.is_empty() {
            return b"PING\r\n".to_vec();
        }
        let words: Vec<&[u8]> = self
            .words
            .iter()
            .map(|word| match *word {
                DATA => payload,
                SCORE if random => b"__rand_int__",
                SCORE => b"0",
                word => word.as_bytes(),
            })
            .collect();
        encode_command(&mut bytes, &words);
        bytes
    }
}

/// `count` bytes that do not repeat soon, the same in every run. Multiplier and increment are
/// those of redis-benchmark, so both fill a server with equal values.
pub(super) fn payload(count: usize) -> Vec<u8> {
    let mut state: u32 = 1234;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            b'0' + ((state >> 16) & 63) as u8
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(wanted: &[&str]) -> Vec<&'static str> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        TESTS.iter().filter(|test| test.is_wanted(Some(&wanted))).map(|test| test.title).collect()
    }

    #[test]
    fn names_choose_tests() {
        assert_eq!(titles(&["ping", "get"]), ["PING_INLINE", "PING_MBULK", "GET"]);
        assert_eq!(
            titles(&["lrange_300"]),
            ["LPUSH (needed to benchmark LRANGE)", "LRANGE_300 (first 300 elements)"]
        );
        assert_eq!(titles(&["nosuch"]).len(), 0);
        assert_eq!(TESTS.iter().filter(|test| test.is_wanted(None)).count(), 20);
    }

    #[test]
    fn requests_carry_the_payload() {
        let set = &TESTS[2];
        assert_eq!(payload(3), b"VXK");
        assert_eq!(
            set.command(b"VXK", false),
            b"*3\r\n$3\r\nSET\r\n$16\r\nkey:__rand_int__\r\n$3\r\nVXK\r\n"
        );
        let zadd = TESTS.iter().find(|test| test.title == "ZADD").expect("it is there");
        assert!(zadd.command(b"", false).windows(9).any(|bytes| bytes == b"$1\r\n0\r\n$2"));
    }
}
