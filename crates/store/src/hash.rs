//! Keyed hash of a key, and the stripe that follows from it.
//!
//! Keys come from clients, so the hash must not be predictable: SipHash-1-3 with a random key
//! (about 8 ns for 16 bytes). It is computed once per command and carried along as a
//! [`KeyHash`].
//!
//! ```text
//! bit 63 ........................ 24 .. 21 .. 18 .. 15 .............. 0
//!     directory prefix, tags ------>   bucket pair    stripe (low bits)
//! ```
//! The stripe of a key with a hash tag (`{user1}:a`) comes from the hash of the tag's text, so
//! related keys lie in one stripe; their place inside the stripe still comes from the whole key.

/// Where a key belongs: computed once, used for every look at the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash {
    /// Hash of the whole key.
    pub hash: u64,
    /// Number of the stripe, below the keyspace's stripe count.
    pub stripe: u16,
}

#[cfg(test)]
thread_local! {
    /// How many texts this thread has hashed, for tests of what a change or a walk costs.
    pub(crate) static HASHED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// SipHash-1-3 under one secret key.
#[derive(Clone, Copy)]
pub(crate) struct Hasher {
    key: [u64; 2],
}

impl Hasher {
    #[cfg(test)]
    pub(crate) const TEST: Hasher = Hasher { key: [11, 22] };

    pub(crate) fn new(key: [u64; 2]) -> Hasher {
        Hasher { key }
    }

    /// Hash of `bytes`.
    #[inline]
    pub(crate) fn hash(self, bytes: &[u8]) -> u64 {
        self.hash_and_look(bytes).0
    }

    /// Hash of `key` and its stripe among `stripe_mask + 1`.
    #[inline]
    pub(crate) fn place(self, key: &[u8], stripe_mask: u16) -> KeyHash {
        let (hash, has_brace) = self.hash_and_look(key);
        let stripe_hash =
            if has_brace { hash_tag(key).map_or(hash, |tag| self.hash(tag)) } else { hash };
        // The mask keeps the low bits, so the cast loses nothing.
        KeyHash { hash, stripe: stripe_hash as u16 & stripe_mask }
    }

    /// The hash, and whether a `{` was seen: looking while the words are in registers costs
    /// less than a search of its own.
    #[inline]
    fn hash_and_look(self, bytes: &[u8]) -> (u64, bool) {
        #[cfg(test)]
        HASHED.set(HASHED.get() + 1);
        let mut state = Sip::new(self.key);
        let mut braces = 0;
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let word = u64::from_le_bytes(word.try_into().expect("chunks of 8"));
            braces |= brace_bytes(word);
            state.take(word);
        }
        let rest = words.remainder();
        let tail = match bytes.last_chunk::<8>() {
            // The last 8 bytes, less those that a whole word already held.
            Some(last) if !rest.is_empty() => u64::from_le_bytes(*last) >> (8 * (8 - rest.len())),
            Some(_) => 0,
            None => short_word(rest),
        };
        braces |= brace_bytes(tail);
        (state.finish(tail | (bytes.len() as u64) << 56), braces != 0)
    }
}

/// Up to 7 bytes as a little-endian number.
#[inline]
pub(crate) fn short_word(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    debug_assert!(len < 8);
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        // Where the two overlap they are the same.
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << (8 * (len - 4));
    }
    let byte = |at: usize| u64::from(bytes[at]) << (8 * at);
    if len == 0 { 0 } else { byte(0) | byte(len / 2) | byte(len - 1) }
}

/// Non-zero when one of the word's bytes is `{`.
#[inline]
fn brace_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let zero_where_brace = word ^ (ONES * b'{' as u64);
    zero_where_brace.wrapping_sub(ONES) & !zero_where_brace & HIGH
}

/// The text between the first `{` and the next `}`, unless it is empty: the rule of Redis
/// Cluster.
fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|&byte| byte == b'{')?;
    let inside = &key[open + 1..];
    let close = inside.iter().position(|&byte| byte == b'}')?;
    (close > 0).then(|| &inside[..close])
}

/// The four words of SipHash's state.
struct Sip([u64; 4]);

impl Sip {
    #[inline]
    fn new([k0, k1]: [u64; 2]) -> Sip {
        Sip([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ])
    }

    #[inline]
    fn round(&mut self) {
        let [a, b, c, d] = &mut self.0;
        *a = a.wrapping_add(*b);
        *c = c.wrapping_add(*d);
        *b = b.rotate_left(13) ^ *a;
        *d = d.rotate_left(16) ^ *c;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*b);
        *a = a.wrapping_add(*d);
        *b = b.rotate_left(17) ^ *c;
        *d = d.rotate_left(21) ^ *a;
        *c = c.rotate_left(32);
    }

    /// One word of input: one round, the "1" of SipHash-1-3.
    #[inline]
    fn take(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.0[0] ^= word;
    }

    /// The last word (tail and length), then three rounds.
    #[inline]
    fn finish(mut self, last: u64) -> u64 {
        self.take(last);
        self.0[2] ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.0.into_iter().fold(0, |sum, word| sum ^ word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hasher as _;

    #[test]
    fn the_hash_is_siphash_1_3() {
        let bytes: Vec<u8> = (0..=255).collect();
        for (k0, k1) in [(0, 0), (1, 2), (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908)] {
            for len in 0..100 {
                let mut oracle = siphasher::sip::SipHasher13::new_with_keys(k0, k1);
                oracle.write(&bytes[..len]);
                let ours = Hasher::new([k0, k1]).hash(&bytes[..len]);
                assert_eq!(ours, oracle.finish(), "length {len}");
            }
        }
    }

    #[test]
    fn a_brace_is_seen_wherever_it_stands() {
        let hasher = Hasher::new([3, 4]);
        for len in 0..40 {
            let mut key = vec![b'z'; len];
            assert!(!hasher.hash_and_look(&key).1);
            for at in 0..len {
                key[at] = b'{';
                assert!(hasher.hash_and_look(&key).1, "at {at} of {len}");
                // A neighbour of `{` in the code must not pass for one.
                key[at] = b'|';
                assert!(!hasher.hash_and_look(&key).1);
                key[at] = b'z';
            }
        }
    }

    #[test]
    fn the_tag_alone_decides_the_stripe() {
        let hasher = Hasher::new([5, 6]);
        let stripe = |key: &str| hasher.place(key.as_bytes(), 1023).stripe;
        assert_eq!(stripe("{user1}:a"), stripe("user1"));
        assert_eq!(stripe("{user1}:a"), stripe("x{user1}y{other}"));
        assert_ne!(hasher.place(b"{user1}:a", 1023).hash, hasher.place(b"user1", 1023).hash);
        // An empty or unclosed tag is none.
        for plain in ["{}{user1}", "{user1", "user1}"] {
            let place = hasher.place(plain.as_bytes(), 1023);
            assert_eq!(u64::from(place.stripe), place.hash & 1023, "{plain}");
        }
    }
}
