//! The little of DER that certificates of version 1 and locked keys need: tags, lengths, and
//! what lies inside. Every length is checked against the bytes that are there.

/// `SEQUENCE`.
pub(crate) const SEQUENCE: u8 = 0x30;
/// `INTEGER`.
pub(crate) const INTEGER: u8 = 0x02;
/// `BIT STRING`.
pub(crate) const BIT_STRING: u8 = 0x03;
/// `OCTET STRING`.
pub(crate) const OCTET_STRING: u8 = 0x04;
/// `OBJECT IDENTIFIER`.
pub(crate) const OBJECT: u8 = 0x06;
/// `NULL`.
pub(crate) const NULL: u8 = 0x05;

/// Reads one value after the other.
#[derive(Clone, Copy)]
pub(crate) struct Der<'a>(pub &'a [u8]);

/// One value.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    /// What it is.
    pub tag: u8,
    /// Its contents.
    pub inner: &'a [u8],
    /// Tag, length and contents.
    pub whole: &'a [u8],
}

impl<'a> Der<'a> {
    /// The next value, whatever it is.
    pub(crate) fn any(&mut self) -> Option<Item<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, header, rest) = if first < 0x80 {
            (usize::from(first), 2, rest)
        } else {
            // More than four bytes of length would be a certificate of gigabytes.
            let count = usize::from(first & 0x7f);
            let (digits, rest) = rest.split_at_checked(count)?;
            if !(1..=4).contains(&count) {
                return None;
            }
            let length = digits.iter().fold(0usize, |n, digit| (n << 8) | usize::from(*digit));
            (length, 2 + count, rest)
        };
        let (inner, after) = rest.split_at_checked(length)?;
        let whole = &self.0[..header + length];
        self.0 = after;
        Some(Item { tag, inner, whole })
    }

    /// The next value, which must be a `tag`.
    pub(crate) fn take(&mut self, tag: u8) -> Option<Item<'a>> {
        let mut ahead = *self;
        let item = ahead.any().filter(|item| item.tag == tag)?;
        *self = ahead;
        Some(item)
    }

    /// A small whole number.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let digits = self.take(INTEGER)?.inner;
        let fits = (1..=8).contains(&digits.len()) && digits[0] < 0x80;
        fits.then(|| digits.iter().fold(0, |n, digit| (n << 8) | u64::from(*digit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_one_by_one() {
        let mut der = Der(&[0x30, 3, 2, 1, 7, 4, 0x81, 2, 8, 9]);
        let sequence = der.take(SEQUENCE).expect("a sequence");
        assert_eq!((sequence.inner, sequence.whole.len()), (&[2, 1, 7][..], 5));
        assert_eq!(Der(sequence.inner).number(), Some(7));
        assert!(der.take(SEQUENCE).is_none());
        assert_eq!(der.take(OCTET_STRING).expect("bytes").inner, &[8, 9]);
        assert!(der.any().is_none());
    }

    #[test]
    fn a_length_beyond_the_end_is_no_value() {
        for bytes in [&[0x30u8, 5, 1][..], &[0x30], &[0x30, 0x84, 0xff, 0xff], &[0x30, 0x80, 0, 0]]
        {
            assert!(Der(bytes).any().is_none(), "{bytes:?}");
        }
        assert!(Der(&[0x30, 0x85, 0, 0, 0, 0, 1, 0]).any().is_none());
        assert!(Der(&[2, 1, 0x80]).number().is_none());
    }
}
