//! Many short bulk strings at once, which is most of what collections reply.
//!
//! ```text
//! tail  … replies so far │ window: $ 9 \r \n t e x t … \r \n │ zeros …
//!                        at ─────────────────────────────────► at
//! ```
//! Room is made once for many of them and filled in place: a length of one or two digits comes
//! from a table, a text of up to 64 bytes is copied in one or two pieces of a fixed size, and no
//! step asks whether there is room. What was not filled is cut off at the end.

use std::sync::Arc;

use super::OutBuf;

/// The longest text that is copied in pieces of a fixed size.
pub(super) const SHORT_MAX: usize = 64;
/// Room for the longest of them with its length and both line ends.
pub(super) const WINDOW: usize = SHORT_MAX + 8;
/// Room made at a time.
pub(super) const ROOM_MAX: usize = 16 << 10;

/// `$`, the length and the line end, of each short length. What stands behind them is written
/// over.
const HEADS: [[u8; 8]; SHORT_MAX + 1] = {
    let mut heads = [*b"$0\r\n\0\0\0\0"; SHORT_MAX + 1];
    let mut len = 0;
    while len <= SHORT_MAX {
        let (tens, ones) = (b'0' + len as u8 / 10, b'0' + len as u8 % 10);
        if len < 10 {
            heads[len][1] = ones;
        } else {
            heads[len] = [b'$', tens, ones, b'\r', b'\n', 0, 0, 0];
        }
        len += 1;
    }
    heads
};

/// See [`OutBuf::bulks`].
#[derive(Debug)]
pub struct Bulks<'a> {
    pub(super) out: &'a mut OutBuf,
    /// Where the next one begins; zeros follow.
    pub(super) at: usize,
    /// Up to where the bytes are counted as pending.
    pub(super) counted: usize,
}

impl Bulks<'_> {
    /// A bulk string.
    #[inline(always)]
    pub fn bulk(&mut self, bytes: &[u8]) {
        let len = bytes.len();
        if len > SHORT_MAX {
            return self.bulk_long(bytes);
        }
        if self.out.tail.len() < self.at + WINDOW {
            self.make_room();
        }
        let window = self.out.tail[self.at..].first_chunk_mut::<WINDOW>().expect("just made");
        window[..8].copy_from_slice(&HEADS[len]);
        let text_at = if len < 10 { 4 } else { 5 };
        let text = window[text_at..].first_chunk_mut::<{ SHORT_MAX + 2 }>();
        let text = text.expect("the window has room for it");
        copy_short(text, bytes);
        text[len..len + 2].copy_from_slice(b"\r\n");
        self.at += text_at + len + 2;
    }

    #[inline(never)]
    fn bulk_long(&mut self, bytes: &[u8]) {
        self.apart(|out| out.bulk_long(bytes));
    }

    /// An integer as a bulk string.
    #[inline(never)]
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A bulk string whose bytes are shared instead of copied.
    #[inline(never)]
    pub fn bulk_shared(&mut self, bytes: Arc<Vec<u8>>) {
        self.apart(|out| out.bulk_shared(bytes));
    }

    /// Writes in another way.
    fn apart(&mut self, write: impl FnOnce(&mut OutBuf)) {
        self.finish();
        write(self.out);
        self.at = self.out.tail.len();
        self.counted = self.at;
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self) {
        self.out.tail.resize(self.at + ROOM_MAX, 0);
    }

    /// Ends with what has been written.
    #[inline]
    fn finish(&mut self) {
        self.out.tail.truncate(self.at);
        self.out.pending += self.at - self.counted;
    }
}

impl Drop for Bulks<'_> {
    #[inline]
    fn drop(&mut self) {
        self.finish();
    }
}

/// Copies a text of up to 64 bytes; two pieces may overlap.
#[inline(always)]
fn copy_short(to: &mut [u8; SHORT_MAX + 2], from: &[u8]) {
    let len = from.len();
    assert!(len <= SHORT_MAX);
    macro_rules! in_two_pieces_of {
        ($($size:literal)*) => {$(
            if let (Some(first), Some(last)) =
                (from.first_chunk::<$size>(), from.last_chunk::<$size>())
            {
                to[..$size].copy_from_slice(first);
                to[len - $size..len].copy_from_slice(last);
                return;
            }
        )*};
    }
    if len <= 16 {
        in_two_pieces_of!(8 4 2 1);
    } else {
        in_two_pieces_of!(32 16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_is_written_as_it_is_by_itself() {
        let text: Vec<u8> = (0..200).collect();
        let mut expected = Vec::new();
        let mut many = OutBuf::default();
        let mut single = OutBuf::default();
        many.int(7);
        single.int(7);
        let mut bulks = many.bulks(10);
        for len in (0..200).chain((0..200).rev()).chain(60..70) {
            expected.extend_from_slice(format!("${len}\r\n").as_bytes());
            expected.extend_from_slice(&text[200 - len..]);
            expected.extend_from_slice(b"\r\n");
            bulks.bulk(&text[200 - len..]);
            single.bulk(&text[200 - len..]);
        }
        bulks.bulk_int(-12);
        drop(bulks);
        single.bulk_int(-12);
        expected.splice(0..0, *b":7\r\n");
        expected.extend_from_slice(b"$3\r\n-12\r\n");
        for out in [many, single] {
            assert_eq!(out.len(), expected.len());
            assert!(out.to_vec() == expected);
        }
    }

    #[test]
    fn a_shared_text_comes_in_its_turn() {
        let mut out = OutBuf::default();
        let mut bulks = out.bulks(0);
        bulks.bulk(b"a");
        bulks.bulk_shared(Arc::new(b"shared".to_vec()));
        bulks.bulk(b"b");
        drop(bulks);
        assert_eq!(out.to_vec(), b"$1\r\na\r\n$6\r\nshared\r\n$1\r\nb\r\n");
        assert_eq!(out.len(), out.to_vec().len());
    }

    #[test]
    fn room_grows_with_what_comes() {
        let mut out = OutBuf::default();
        let mut bulks = out.bulks(0);
        (0..10_000).for_each(|n| bulks.bulk_int(n));
        drop(bulks);
        let mut expected = OutBuf::default();
        (0..10_000).for_each(|n| expected.bulk_int(n));
        assert!(out.to_vec() == expected.to_vec());
        assert_eq!(out.len(), expected.len());
    }
}
