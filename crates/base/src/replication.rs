//! Positions and names in a replication stream.
//!
//! Redis counts bytes already taken in its replies and asks for the byte after them in PSYNC;
//! two types make that "+1" visible in the one place where it happens.

use std::fmt;

/// Bytes of the replication stream taken so far: the offset of the last byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplOffset(pub u64);

/// Position of the first byte still wanted; what PSYNC asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextByte(pub u64);

impl ReplOffset {
    /// The byte after everything that has been taken.
    pub fn next_byte(self) -> NextByte {
        NextByte(self.0 + 1)
    }

    /// How far `self` is behind `master`; `None` when we are ahead of it, which is news and
    /// not a lag of zero.
    pub fn lag_behind(self, master: ReplOffset) -> Option<u64> {
        master.0.checked_sub(self.0)
    }
}

impl NextByte {
    /// Everything before this byte has been taken. The first byte of a stream is 1.
    pub fn taken(self) -> ReplOffset {
        assert!(self.0 > 0, "a stream's first byte is 1");
        ReplOffset(self.0 - 1)
    }
}

impl fmt::Display for ReplOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for NextByte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of one history of writes: 40 lower-case hexadecimal characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplId(pub [u8; 40]);

impl ReplId {
    /// The name of no history; INFO shows it as forty zeros.
    pub const NONE: ReplId = ReplId([b'0'; 40]);

    /// Makes a name from 20 random bytes.
    pub fn from_random(bytes: [u8; 20]) -> ReplId {
        let mut id = [0; 40];
        for (pair, byte) in id.chunks_exact_mut(2).zip(bytes) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        ReplId(id)
    }

    /// Reads a name as it stands on the wire; `None` unless it has 40 bytes.
    pub fn parse(text: &[u8]) -> Option<ReplId> {
        text.try_into().ok().map(ReplId)
    }

    /// The 40 characters.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl fmt::Display for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplId({self})")
    }
}

/// Number of a database, from 0 up to `databases` less one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DbIndex(pub u16);

impl DbIndex {
    /// As an index into a list of databases.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for DbIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_and_next_byte_differ_by_one() {
        assert_eq!(ReplOffset(0).next_byte(), NextByte(1));
        assert_eq!(NextByte(7).taken(), ReplOffset(6));
    }

    #[test]
    fn being_ahead_of_the_master_is_not_a_lag_of_zero() {
        assert_eq!(ReplOffset(5).lag_behind(ReplOffset(9)), Some(4));
        assert_eq!(ReplOffset(9).lag_behind(ReplOffset(5)), None);
    }

    #[test]
    fn a_replid_is_forty_hexadecimal_characters() {
        let id = ReplId::from_random([0xa5; 20]);
        assert_eq!(id.to_string(), "a5".repeat(20));
        assert_eq!(ReplId::parse(id.as_bytes()), Some(id));
        assert_eq!(ReplId::parse(b"short"), None);
    }
}
