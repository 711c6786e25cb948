//! Every kind of reply, whole and in pieces; and bytes that are no reply.

use super::*;

fn status(text: &str) -> ReplyValue {
    ReplyValue::Status(text.into())
}

fn bulk_of(text: &str) -> ReplyValue {
    ReplyValue::Bulk(text.into())
}

/// One reply of each kind, with the value that it means.
fn samples() -> Vec<(&'static [u8], ReplyValue)> {
    use ReplyValue::*;
    vec![
        (b"+OK\r\n", status("OK")),
        (b"+\r\n", status("")),
        (b"-ERR no\r\n", Error(b"ERR no".into())),
        (b"!5\r\nERR a\r\n", Error(b"ERR a".into())),
        (b":-12\r\n", Integer(-12)),
        (b"$0\r\n\r\n", bulk_of("")),
        (b"$4\r\na\r\nb\r\n", bulk_of("a\r\nb")),
        (b"$-1\r\n", Nil),
        (b"*-1\r\n", Nil),
        (b"_\r\n", Nil),
        (b"*0\r\n", Array(vec![])),
        (b"%0\r\n", Map(vec![])),
        (
            b"*3\r\n:1\r\n*2\r\n+a\r\n*0\r\n$1\r\nz\r\n",
            Array(vec![Integer(1), Array(vec![status("a"), Array(vec![])]), bulk_of("z")]),
        ),
        (
            b"%2\r\n+k\r\n:1\r\n+m\r\n%1\r\n+x\r\n#t\r\n",
            Map(vec![
                (status("k"), Integer(1)),
                (status("m"), Map(vec![(status("x"), Bool(true))])),
            ]),
        ),
        (b"~2\r\n+a\r\n#f\r\n", Set(vec![status("a"), Bool(false)])),
        (b">2\r\n+message\r\n$1\r\na\r\n", Push(vec![status("message"), bulk_of("a")])),
        (b",3.25\r\n", Double(b"3.25".into())),
        (b",-inf\r\n", Double(b"-inf".into())),
        (b"(-349\r\n", BigNumber(b"-349".into())),
        (b"=6\r\ntxt:hi\r\n", Verbatim { format: *b"txt", text: b"hi".into() }),
        (
            b"|1\r\n+ttl\r\n:3\r\n*1\r\n|0\r\n+x\r\n",
            Attribute {
                attributes: vec![(status("ttl"), Integer(3))],
                value: Box::new(Array(vec![Attribute {
                    attributes: vec![],
                    value: Box::new(status("x")),
                }])),
            },
        ),
    ]
}

#[test]
fn every_kind_is_read_whole() {
    for (wire, value) in samples() {
        let shown = String::from_utf8_lossy(wire);
        assert_eq!(parse_reply(wire), Ok(Some((value.clone(), wire.len()))), "{shown:?}");
        let mut longer = wire.to_vec();
        longer.extend_from_slice(b"+next\r\n");
        assert_eq!(parse_reply(&longer), Ok(Some((value, wire.len()))), "{shown:?}");
    }
}

#[test]
fn every_prefix_asks_for_more() {
    for (wire, _) in samples() {
        for cut in 0..wire.len() {
            assert_eq!(parse_reply(&wire[..cut]), Ok(None), "{:?}", &wire[..cut]);
        }
    }
}

#[test]
fn pieces_of_any_size_give_the_same_replies() {
    let wire: Vec<u8> = samples().iter().flat_map(|(wire, _)| wire.iter().copied()).collect();
    let expect: Vec<ReplyValue> = samples().into_iter().map(|(_, value)| value).collect();
    for size in 1..40 {
        let mut parser = ReplyParser::new();
        let mut got = Vec::new();
        for piece in wire.chunks(size) {
            parser.feed(piece);
            while let Some(value) = parser.next_reply().expect("the samples are well formed") {
                got.push(value);
            }
        }
        assert_eq!(got, expect, "pieces of {size} bytes");
        assert!(parser.is_idle());
    }
}

#[test]
fn what_is_no_reply_is_refused() {
    for (wire, error) in [
        (&b"x"[..], ReplyError::TypeByte(b'x')),
        (b"\r\n", ReplyError::TypeByte(b'\r')),
        (b":\r\n", ReplyError::BadInteger),
        (b":1a\r\n", ReplyError::BadInteger),
        (b":9223372036854775808\r\n", ReplyError::BadInteger),
        (b"$x\r\n", ReplyError::BadBulkLength),
        (b"$?\r\n", ReplyError::BadBulkLength),
        (b"$-2\r\n", ReplyError::BulkLengthOutOfRange),
        (b"!-1\r\n", ReplyError::BulkLengthOutOfRange),
        (b"$1\r\nabc", ReplyError::BadBulkEnd),
        (b"*x\r\n", ReplyError::BadAggregateLength),
        (b"*-2\r\n", ReplyError::AggregateLengthOutOfRange),
        (b"*4294967296\r\n", ReplyError::AggregateLengthOutOfRange),
        (b"|-1\r\n", ReplyError::AggregateLengthOutOfRange),
        (b"+a\nb\r\n", ReplyError::BadStatus),
        (b"+a\rb\r\n", ReplyError::BadStatus),
        (b"#x\r\n", ReplyError::BadBool),
        (b"_1\r\n", ReplyError::BadNil),
        (b",\r\n", ReplyError::BadDouble),
        (b",infinity\r\n", ReplyError::BadDouble),
        (b",1e999\r\n", ReplyError::BadDouble),
        (b"(12x\r\n", ReplyError::BadBigNumber),
        (b"(-\r\n", ReplyError::BadBigNumber),
        (b"=3\r\ntxt\r\n", ReplyError::BadVerbatim),
        (b"=5\r\ntextx\r\n", ReplyError::BadVerbatim),
        (b"*2\r\n:1\r\nx\r\n", ReplyError::TypeByte(b'x')),
    ] {
        assert_eq!(parse_reply(wire), Err(error), "{:?}", String::from_utf8_lossy(wire));
    }
    let long = [b",".as_slice(), &[b'1'; DOUBLE_TEXT_BYTES_MAX + 1], b"\r\n"].concat();
    assert_eq!(parse_reply(&long), Err(ReplyError::DoubleTooLarge));
}

#[test]
fn a_claimed_size_reserves_nothing() {
    // Each of these would need gigabytes if the claim were believed.
    for wire in [&b"$9223372036854775800\r\nabc"[..], b"*4294967295\r\n:1\r\n", b"%4294967295\r\n"]
    {
        let mut parser = ReplyParser::new();
        parser.feed(wire);
        assert_eq!(parser.next_reply(), Ok(None));
        assert!(parser.buf.capacity() < 1024);
        assert!(parser.core.open.iter().all(|open| open.items.capacity() < 1024));
    }
}

#[test]
fn depth_has_a_limit() {
    let deepest = [b"*1\r\n".repeat(REPLY_DEPTH_MAX), b":1\r\n".to_vec()].concat();
    assert!(matches!(parse_reply(&deepest), Ok(Some(_))));
    let too_deep = b"*1\r\n".repeat(REPLY_DEPTH_MAX + 1);
    assert_eq!(parse_reply(&too_deep), Err(ReplyError::TooDeep));
}

#[test]
fn random_bytes_never_panic() {
    // xorshift64*, seed 7: text drawn from the bytes that mean something.
    let alphabet = b"+-:,_#($=!*%~>|0123456789\r\n\r\n\r\ntxt:OK";
    let mut state = 7u64;
    for _ in 0..20_000 {
        let mut wire = Vec::new();
        for _ in 0..24 {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let pick = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
            wire.push(alphabet[pick as usize % alphabet.len()]);
        }
        if let Ok(Some((_, used))) = parse_reply(&wire) {
            assert!(used <= wire.len());
        }
    }
}

#[test]
fn error_texts_are_those_users_know() {
    assert_eq!(
        ReplyError::TypeByte(b'x').to_string(),
        "Protocol error, got \"x\" as reply type byte"
    );
    assert_eq!(
        ReplyError::TypeByte(0).to_string(),
        "Protocol error, got \"\\x00\" as reply type byte"
    );
    assert_eq!(
        ReplyError::TypeByte(b'\n').to_string(),
        "Protocol error, got \"\\n\" as reply type byte"
    );
}

#[test]
fn a_command_is_an_array_of_strings() {
    let mut out = b"x".to_vec();
    encode_command(&mut out, &[&b"SET"[..], b"", b"a\r\nb"]);
    assert_eq!(out, b"x*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\na\r\nb\r\n");
}

#[test]
fn the_rest_is_handed_over_untouched() {
    let mut parser = ReplyParser::new();
    parser.feed(b"+FULLRESYNC\r\n$5\r\nREDIS");
    assert_eq!(parser.next_reply(), Ok(Some(status("FULLRESYNC"))));
    assert_eq!(parser.take_rest(), b"$5\r\nREDIS");
    assert!(parser.is_idle());
}
