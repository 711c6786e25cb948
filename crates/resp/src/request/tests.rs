//! Requests in any split of the bytes, and what is no request.

use super::*;

fn parse_all(chunks: &[&[u8]], limits: &Limits) -> (Vec<Vec<Vec<u8>>>, FillEnd) {
    let mut parser = Parser::default();
    let mut buf = Vec::new();
    let mut batch = Batch::default();
    let mut requests = Vec::new();
    let mut end = FillEnd::NeedMore;
    let mut large: Option<(usize, Vec<u8>)> = None;
    for chunk in chunks {
        let mut chunk = chunk.to_vec();
        loop {
            if let Some((bytes, mut arg)) = large.take() {
                let want = (bytes + 2 - arg.len()).min(chunk.len());
                arg.extend(chunk.drain(..want));
                if arg.len() < bytes + 2 {
                    large = Some((bytes, arg));
                    break;
                }
                arg.truncate(bytes);
                parser.put_large(arg);
            }
            buf.append(&mut chunk);
            end = parser.fill(&buf, &mut batch, limits, usize::MAX);
            for index in 0..batch.len() {
                let args = batch.args(index, &buf);
                if let Some(raw) = args.raw() {
                    let mut again = Vec::new();
                    crate::push_request(&mut again, args.iter());
                    assert_eq!(raw, again, "a request's raw bytes are its canonical form");
                }
                requests.push(args.iter().map(<[u8]>::to_vec).collect());
            }
            batch.clear();
            if let FillEnd::Large { bytes } = end {
                chunk = buf.split_off(parser.position());
                large = Some((bytes, Vec::new()));
                continue;
            }
            let dropped = parser.keep_from();
            buf.drain(..dropped);
            parser.rebase(dropped);
            break;
        }
    }
    (requests, end)
}

fn one(text: &[u8]) -> (Vec<Vec<Vec<u8>>>, FillEnd) {
    parse_all(&[text], &Limits::default())
}

#[test]
fn any_split_of_the_bytes_gives_the_same_requests() {
    let limits = Limits { large_bytes: 8, ..Limits::default() };
    let text = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nhello\r\nworld\r\nPING\r\n*0\r\n\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n*2\r\n$12\r\nABCDEFGHIJKL\r\n$9\r\nxxxxxxxxx\r\n";
    let (whole, end) = parse_all(&[text], &limits);
    assert_eq!(end, FillEnd::NeedMore);
    assert_eq!(whole.len(), 4);
    assert_eq!(whole[0][2], b"hello\r\nworld");
    for first in 0..text.len() {
        for second in first..text.len() {
            let chunks = [&text[..first], &text[first..second], &text[second..]];
            assert_eq!(parse_all(&chunks, &limits).0, whole, "split at {first} and {second}");
        }
    }
}

#[test]
fn protocol_errors_have_redis_texts() {
    let long = [b'x'; 70_000];
    let mut star = b"*".to_vec();
    star.extend_from_slice(&[b'1'; 70_000]);
    let mut dollar = b"*1\r\n$".to_vec();
    dollar.extend_from_slice(&[b'1'; 70_000]);
    let cases: [(&[u8], &str); 10] = [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*3000000000\r\n", "invalid multibulk length"),
        (b"*1\r\n$-5\r\n", "invalid bulk length"),
        (b"*1\r\n$2000000000\r\n", "invalid bulk length"),
        (b"*1\r\n$01\r\n", "invalid bulk length"),
        (b"*1\r\nfoo\r\n", "expected '$', got 'f'"),
        (b"set \"a\r\n", "unbalanced quotes in request"),
        (&long, "too big inline request"),
        (&star, "too big mbulk count string"),
        (&dollar, "too big bulk count string"),
    ];
    for (text, message) in cases {
        match one(text).1 {
            FillEnd::Invalid(error) => {
                assert_eq!(error.to_string(), format!("Protocol error: {message}"));
            }
            other => panic!("{message}: {other:?}"),
        }
    }
}

#[test]
fn requests_before_an_error_are_still_found() {
    let (requests, end) = one(b"PING\r\n*1\r\n$4\r\nPING\r\n*1\r\n!\r\n");
    assert_eq!(requests.len(), 2);
    assert_eq!(end, FillEnd::Invalid(ProtocolError::ExpectedDollar(b'!')));
}

#[test]
fn before_authentication_requests_are_small() {
    let limits = Limits { authenticated: false, ..Limits::default() };
    assert_eq!(
        parse_all(&[b"*11\r\n"], &limits).1,
        FillEnd::Invalid(ProtocolError::UnauthenticatedMultibulk)
    );
    assert_eq!(
        parse_all(&[b"*1\r\n$16385\r\n"], &limits).1,
        FillEnd::Invalid(ProtocolError::UnauthenticatedBulk)
    );
}

#[test]
fn lines_are_split_as_in_redis() {
    let split = |line: &str| split_line(line.as_bytes());
    let strings = |parts: &[&str]| Some(parts.iter().map(|p| p.as_bytes().to_vec()).collect());
    assert_eq!(split("  set  k v "), strings(&["set", "k", "v"]));
    assert_eq!(split(r#""a\x41\n" 'b\'c'"#), strings(&["aA\n", "b'c"]));
    assert_eq!(split("\"\""), strings(&[""]));
    assert_eq!(split(r#""a"b"#), None);
    assert_eq!(split("'a"), None);
    assert_eq!(split(""), strings(&[]));
}
