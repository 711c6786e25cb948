//! One reply with everything in it, in each form; and the shapes that are easy to get wrong.

use super::*;
use tandem_resp::reply::parse_reply;

fn check(wire: &str, output: Output, expect: &str) {
    let (reply, _) = parse_reply(wire.as_bytes()).expect("it is well formed").expect("and whole");
    let shown = reply_text(&reply, output, false, &Delimiters::default());
    assert_eq!(String::from_utf8_lossy(&shown), expect, "{wire:?} as {output:?}");
}

/// An array of 10 elements, so that numbers are padded, with a nested array and a map in it.
const MIXED: &str = "*10\r\n:1\r\n$3\r\na\"\n\r\n$-1\r\n*2\r\n+x\r\n*1\r\n:2\r\n*0\r\n#t\r\n,1.5\r\n\
    %2\r\n+k\r\n:1\r\n:2\r\n~2\r\n+p\r\n+q\r\n-ERR e\r\n=5\r\ntxt:v\r\n";

#[test]
fn people_get_types_numbers_and_indents() {
    check(
        MIXED,
        Output::Standard,
        " 1) (integer) 1\n 2) \"a\\\"\\n\"\n 3) (nil)\n 4) 1) x\n    2) 1) (integer) 2\n \
         5) (empty array)\n 6) (true)\n 7) (double) 1.5\n 8) 1# k => (integer) 1\n    \
         2# (integer) 2 => \n       1~ p\n       2~ q\n 9) (error) ERR e\n10) v\n",
    );
    check("%0\r\n", Output::Standard, "(empty hash)\n");
    check("~0\r\n", Output::Standard, "(empty set)\n");
    check("(123\r\n", Output::Standard, "(big number) 123\n");
    check("|1\r\n+a\r\n:1\r\n+OK\r\n", Output::Standard, "OK\n");
}

#[test]
fn pipes_get_bytes() {
    check(MIXED, Output::Raw, "1\na\"\n\n\nx\n2\n\n(true)\n1.5\nk 1\n2 p\nq\nERR e\n\nv\n");
    check("$-1\r\n", Output::Raw, "\n");
    check("-ERR e\r\n", Output::Raw, "ERR e\n\n");
}

#[test]
fn csv_is_flat() {
    check(
        MIXED,
        Output::Csv,
        "1,\"a\\\"\\n\",NULL,\"x\",2,,true,1.5,\"k\",1,2,\"p\",\"q\",ERROR,\"ERR e\",\"v\"\n",
    );
}

#[test]
fn json_nests_and_quotes_keys() {
    check(
        MIXED,
        Output::Json,
        "[1,\"a\\\"\\n\",null,[\"x\",[2]],[],true,1.5,{\"k\":1,\"2\":[\"p\",\"q\"]},\
         error:\"ERR e\",\"v\"]\n",
    );
    check("$3\r\n\x01\x7f\x0c\r\n", Output::Json, "\"\\u0001\x7f\\f\"\n");
    check("$2\r\n\x01\n\r\n", Output::QuotedJson, "\"\\\\x01\\\\n\"\n");
}

#[test]
fn delimiters_replace_line_ends() {
    let (reply, _) = parse_reply(b"*2\r\n+a\r\n+b\r\n").expect("well formed").expect("whole");
    let delimiters = Delimiters { element: b"--".to_vec(), reply: b"".to_vec() };
    assert_eq!(reply_text(&reply, Output::Raw, false, &delimiters), b"a--b");
    assert_eq!(reply_text(&reply, Output::Standard, true, &delimiters), b"a--b");
}

#[test]
fn invalidations_have_their_own_line() {
    let text = |wire: &[u8]| {
        let (reply, _) = parse_reply(wire).expect("well formed").expect("whole");
        invalidation_text(reply.as_slice().expect("an aggregate"))
    };
    let keys = b">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n";
    assert_eq!(text(keys), Some(b"-> invalidate: 'a', 'b'\n".to_vec()));
    assert_eq!(text(b">2\r\n$7\r\nmessage\r\n*0\r\n"), None);
    assert_eq!(text(b">2\r\n$10\r\ninvalidate\r\n$-1\r\n"), None);
}
