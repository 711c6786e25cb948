//! The checksum of RDB files and DUMP payloads: the Jones CRC-64, which Redis names in no
//! standard list. Start value 0, no final inversion.

use crc_fast::{CrcAlgorithm, Digest};

/// A running checksum.
///
/// Feed it pieces of some kilobytes: each piece pays a fixed price of tens of nanoseconds.
#[derive(Clone, Debug)]
pub struct Crc64 {
    digest: Digest,
}

impl Crc64 {
    /// The checksum of nothing: zero.
    pub fn new() -> Crc64 {
        Crc64 { digest: Digest::new(CrcAlgorithm::Crc64Redis) }
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// The checksum of all bytes so far; more may follow.
    pub fn value(&self) -> u64 {
        self.digest.finalize()
    }
}

impl Default for Crc64 {
    fn default() -> Crc64 {
        Crc64::new()
    }
}

/// The checksum of one run of bytes.
pub fn crc64(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Redis, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_is_redis_own() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(crc64(b""), 0);
    }

    #[test]
    fn pieces_give_the_same_as_the_whole() {
        let bytes: Vec<u8> = (0..5000u32).map(|i| (i * 7 + i / 3) as u8).collect();
        for cut in [0, 1, 15, 64, 129, 1024, 4999, 5000] {
            let mut running = Crc64::new();
            running.update(&bytes[..cut]);
            running.update(&bytes[cut..]);
            assert_eq!(running.value(), crc64(&bytes), "cut at {cut}");
        }
    }
}
