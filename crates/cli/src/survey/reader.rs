//! The bytes of an RDB file: lengths and strings.

use std::io::{BufReader, ErrorKind, Read};

use tandem_store::rdb::lzf;

/// Memory is asked for in pieces of this size, whatever a length claims.
const PIECE_BYTES: usize = 1 << 20;
/// A value that must be unpacked to be counted is not longer than this.
const WHOLE_BYTES_MAX: u64 = 1 << 30;

/// Why a file cannot be read to its end, for people.
pub(super) type Fault = String;

/// A length, or the mark of a string that is written in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Count(u64),
    Encoded(u8),
}

/// How a string is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Raw,
    Int,
    Lzf,
}

impl Form {
    pub(super) fn name(self) -> &'static str {
        match self {
            Form::Raw => "raw",
            Form::Int => "int",
            Form::Lzf => "lzf",
        }
    }
}

/// Reads forward and knows where it is.
pub(super) struct Reader<R> {
    input: BufReader<R>,
    at: u64,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(input: R) -> Reader<R> {
        Reader { input: BufReader::with_capacity(256 * 1024, input), at: 0 }
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|error| told(&error))?;
        self.at += N as u64;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Passes over bytes.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), Fault> {
        let passed = std::io::copy(&mut (&mut self.input).take(count), &mut std::io::sink())
            .map_err(|error| told(&error))?;
        self.at += passed;
        if passed < count { Err(told(&ErrorKind::UnexpectedEof.into())) } else { Ok(()) }
    }

    fn bytes(&mut self, count: u64) -> Result<Vec<u8>, Fault> {
        if count > WHOLE_BYTES_MAX {
            return Err(format!("a value of {count} bytes is too long to be counted"));
        }
        let mut bytes = Vec::new();
        let mut left = usize::try_from(count).map_err(|_| "too long".to_owned())?;
        while left > 0 {
            let piece = left.min(PIECE_BYTES);
            let from = bytes.len();
            bytes.resize(from + piece, 0);
            self.input.read_exact(&mut bytes[from..]).map_err(|error| told(&error))?;
            self.at += piece as u64;
            left -= piece;
        }
        Ok(bytes)
    }

    /// A length in one to nine bytes.
    pub(super) fn length(&mut self) -> Result<Length, Fault> {
        let first = self.byte()?;
        Ok(match first >> 6 {
            0 => Length::Count(u64::from(first & 0x3f)),
            1 => Length::Count(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            3 => Length::Encoded(first & 0x3f),
            _ => match first {
                0x80 => Length::Count(u64::from(u32::from_be_bytes(self.array()?))),
                0x81 => Length::Count(u64::from_be_bytes(self.array()?)),
                _ => return Err(format!("Unknown length encoding {first}")),
            },
        })
    }

    /// A length that is a number.
    pub(super) fn count(&mut self) -> Result<u64, Fault> {
        match self.length()? {
            Length::Count(count) => Ok(count),
            Length::Encoded(mark) => Err(format!("Unknown length encoding {}", 0xc0 | mark)),
        }
    }

    /// Passes over a string: its form and its length.
    pub(super) fn skip_string(&mut self) -> Result<(Form, u64), Fault> {
        match self.length()? {
            Length::Count(count) => {
                self.skip(count)?;
                Ok((Form::Raw, count))
            }
            Length::Encoded(3) => {
                let (packed, count) = (self.count()?, self.count()?);
                self.skip(packed)?;
                Ok((Form::Lzf, count))
            }
            Length::Encoded(mark) => Ok((Form::Int, self.integer(mark)?.to_string().len() as u64)),
        }
    }

    /// A string as a whole.
    pub(super) fn string(&mut self) -> Result<Vec<u8>, Fault> {
        match self.length()? {
            Length::Count(count) => self.bytes(count),
            Length::Encoded(3) => {
                let (packed, count) = (self.count()?, self.count()?);
                let packed = self.bytes(packed)?;
                if count > WHOLE_BYTES_MAX {
                    return Err(format!("a value of {count} bytes is too long to be counted"));
                }
                let mut bytes = Vec::new();
                let length = usize::try_from(count).map_err(|_| "too long".to_owned())?;
                lzf::decompress(&packed, length, &mut bytes)
                    .map_err(|_| "Invalid LZF compressed string".to_owned())?;
                Ok(bytes)
            }
            Length::Encoded(mark) => Ok(self.integer(mark)?.to_string().into_bytes()),
        }
    }

    fn integer(&mut self, mark: u8) -> Result<i32, Fault> {
        match mark {
            0 => Ok(i32::from(self.byte()? as i8)),
            1 => Ok(i32::from(i16::from_le_bytes(self.array()?))),
            2 => Ok(i32::from_le_bytes(self.array()?)),
            _ => Err(format!("Unknown RDB string encoding type {mark}")),
        }
    }
}

fn told(error: &std::io::Error) -> Fault {
    match error.kind() {
        ErrorKind::UnexpectedEof => "Unexpected EOF reading RDB file".to_owned(),
        _ => crate::text::error_text(error),
    }
}
