//! Requests, as any client may send them.

use fastrand::Rng;
use tandem_resp::{Batch, FillEnd, Limits, Parser, split_line};

use super::Signature;
use crate::Target;

/// Bytes whole and in two pieces: the same requests are found, and nothing is kept that cannot
/// become one.
pub(super) const REQUEST: Target = Target {
    name: "request",
    words: &[
        b"*1\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        b"*3\r\n$3\r\nSET\r\n",
        b"$1\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"$536870912\r\n",
        b"*2147483647\r\n",
        b"\r\n",
        b"PING\r\n",
        b"set k \"a\\x41\"\r\n",
        b"'",
        b"\"",
    ],
    run: request,
};

/// All requests in `pieces`, and whether what follows is no request.
fn requests(pieces: &[&[u8]]) -> (Vec<Vec<Vec<u8>>>, bool) {
    // Small arguments only: a large one is the caller's to read.
    let limits = Limits { bulk_bytes: 64 << 10, large_bytes: usize::MAX, authenticated: true };
    let (mut parser, mut batch, mut buf) = (Parser::default(), Batch::default(), Vec::new());
    let mut found = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        batch.clear();
        let end = parser.fill(&buf, &mut batch, &limits, usize::MAX);
        for index in 0..batch.len() {
            found.push(batch.args(index, &buf).iter().map(<[u8]>::to_vec).collect());
        }
        match end {
            FillEnd::Invalid(_) => return (found, true),
            FillEnd::NeedMore => {}
            other => panic!("neither full nor large is possible: {other:?}"),
        }
        let kept = parser.keep_from();
        buf.drain(..kept);
        parser.rebase(kept);
    }
    (found, false)
}

fn request(input: &[u8], rng: &mut Rng) -> u64 {
    let whole = requests(&[input]);
    let (first, second) = input.split_at(rng.usize(..=input.len()));
    assert_eq!(requests(&[first, second]), whole, "split at {}", first.len());
    let mut signature = Signature::default();
    signature.add(u64::from(whole.1));
    for args in &whole.0 {
        signature.add_size(args.len());
    }
    signature.add_size(split_line(input).map_or(0, |args| args.len() + 1));
    signature.0
}
