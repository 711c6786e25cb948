//! What one client sends at once: the command, repeated as often as the pipeline is deep, with
//! places for random numbers.

/// What is replaced by twelve digits.
const PLACE: &[u8] = b"__rand_int__";

/// The bytes of one batch, and where digits go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// How many requests, and so replies, it is.
    pub(super) requests: u64,
    /// Offsets of the twelve digits.
    places: Vec<usize>,
    /// Numbers are below this; 0 makes all of them 0.
    keyspace: u64,
}

impl Batch {
    /// `pipeline` times the bytes of `command`. Without a `keyspace` the places stay as they
    /// are written, so that all requests have one key.
    pub(super) fn new(command: &[u8], pipeline: u32, keyspace: Option<u64>) -> Batch {
        let bytes = command.repeat(pipeline as usize);
        let mut places = Vec::new();
        if keyspace.is_some() {
            let mut from = 0;
            while let Some(at) = memchr::memmem::find(&bytes[from..], PLACE) {
                places.push(from + at);
                from += at + PLACE.len();
            }
        }
        Batch { bytes, requests: u64::from(pipeline), places, keyspace: keyspace.unwrap_or(0) }
    }

    /// Writes new digits into `out`, a copy of the bytes that starts at `offset` of it.
    pub(super) fn randomize(&self, out: &mut [u8], offset: usize, random: &mut fastrand::Rng) {
        for place in &self.places {
            let mut number = if self.keyspace == 0 { 0 } else { random.u64(..self.keyspace) };
            let digits = &mut out[offset + place..][..PLACE.len()];
            for digit in digits.iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_every_request_gets_digits() {
        let batch = Batch::new(b"<__rand_int__ __rand_int__>", 2, Some(5));
        let mut out = [b"prefix".as_slice(), &batch.bytes].concat();
        batch.randomize(&mut out, 6, &mut fastrand::Rng::with_seed(1));
        let text = String::from_utf8(out).expect("digits");
        assert!(text.starts_with("prefix<00000000000"));
        assert_eq!(text.matches("00000000000").count(), 4);
        assert_eq!(text.len(), 6 + batch.bytes.len());
        assert!(!text.contains('_'));
    }

    #[test]
    fn without_a_keyspace_the_text_stays() {
        let batch = Batch::new(b"k:__rand_int__", 1, None);
        let mut out = batch.bytes.clone();
        batch.randomize(&mut out, 0, &mut fastrand::Rng::with_seed(1));
        assert_eq!(out, b"k:__rand_int__");
    }
}
