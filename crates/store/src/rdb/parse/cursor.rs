//! Reading one item from the bytes at hand: every step can find too few of them.

use super::error::Cause;
use crate::rdb::length;

/// Why an item could not be read.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Too few bytes. The piece that is not all there begins `at` bytes into the item, and no
    /// new attempt is worth it before the item has `need` bytes.
    Short { at: usize, need: usize },
    /// The bytes are wrong.
    Bad(Box<Cause>),
}

impl From<Cause> for Stop {
    #[cold]
    fn from(cause: Cause) -> Stop {
        Stop::Bad(Box::new(cause))
    }
}

/// The bytes from the beginning of an item on, and how many of them have been read.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// How a string is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// So many bytes follow.
    Plain(usize),
    /// The decimal text of a number; nothing follows.
    Int(i64),
    /// `packed` bytes follow that stand for `length` bytes.
    Lzf { packed: usize, length: usize },
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    /// Bytes read so far.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Bytes at hand but not yet read.
    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `count` bytes. A foreign length is only compared here, never allocated.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        match self.bytes[self.at..].get(..count) {
            Some(taken) => {
                self.at += count;
                Ok(taken)
            }
            None => Err(Stop::Short { at: self.at, need: self.at.saturating_add(count) }),
        }
    }

    /// All bytes at hand.
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        Ok(self.take(N)?.try_into().expect("`take` gives as many as asked"))
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Stop> {
        match self.bytes.get(self.at) {
            Some(&byte) => {
                self.at += 1;
                Ok(byte)
            }
            None => Err(Stop::Short { at: self.at, need: self.at + 1 }),
        }
    }

    /// A length, where no string may stand. The mark of an encoded string counts as six bits of
    /// length, as in Redis.
    pub(crate) fn length(&mut self) -> Result<u64, Stop> {
        let first = self.byte()?;
        self.length_after(first)
    }

    #[inline]
    fn length_after(&mut self, first: u8) -> Result<u64, Stop> {
        match first {
            0..=0x3f | 0xc0.. => Ok(u64::from(first & 0x3f)),
            0x40..=0x7f => Ok(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            length::BITS_32 => Ok(u64::from(u32::from_be_bytes(self.array()?))),
            length::BITS_64 => Ok(u64::from_be_bytes(self.array()?)),
            _ => Err(Cause::LengthEncoding(first >> 6).into()),
        }
    }

    /// A length in bytes; one beyond the address space can only mean that the end is missing.
    fn size(&mut self) -> Result<usize, Stop> {
        Ok(usize::try_from(self.length()?).unwrap_or(usize::MAX))
    }

    /// What stands before a string's bytes.
    #[inline]
    pub(crate) fn form(&mut self) -> Result<Form, Stop> {
        match self.byte()? {
            short @ 0..=0x3f => Ok(Form::Plain(usize::from(short))),
            length::INT8 => Ok(Form::Int(i64::from(i8::from_le_bytes(self.array()?)))),
            length::INT16 => Ok(Form::Int(i64::from(i16::from_le_bytes(self.array()?)))),
            length::INT32 => Ok(Form::Int(i64::from(i32::from_le_bytes(self.array()?)))),
            length::LZF => Ok(Form::Lzf { packed: self.size()?, length: self.size()? }),
            unknown @ 0xc4.. => Err(Cause::StringEncoding(unknown & 0x3f).into()),
            first => {
                let length = self.length_after(first)?;
                Ok(Form::Plain(usize::try_from(length).unwrap_or(usize::MAX)))
            }
        }
    }
}
