//! What DEBUG DIGEST and DEBUG DIGEST-VALUE answer: equal to stock Redis's for equal data.
//!
//! Two operations on a 20-byte sum: *xor* adds the SHA-1 of some bytes, so that order does not
//! matter; *mix* adds it and then replaces the sum by its own SHA-1, so that order does.
//!
//! ```text
//! string  = mix its bytes
//! hash    = for each field: xor-in (from zero: mix field · mix value)
//! value   = from the sum so far: mix type · string or hash · xor "!!expire!!" if it expires
//! key     = from zero: mix key · value
//! dataset = from zero, for each database that is not empty: mix its number · xor-in each key
//! ```
//! "xor-in" is again the SHA-1 of the key's 20 bytes. The time of an expiry does not count.

use sha1::{Digest as _, Sha1};
use tandem_base::DbIndex;

use crate::entry::EntryRef;
use crate::keyspace::Keyspace;
use crate::value::ValueRef;

/// Redis's numbers for the types.
const TYPE_STRING: u32 = 0;
const TYPE_HASH: u32 = 4;

/// A sum that grows by `xor` and `mix`.
#[derive(Clone, Copy, Default)]
struct Sum([u8; 20]);

impl Sum {
    fn xor(&mut self, bytes: &[u8]) {
        let hash: [u8; 20] = Sha1::digest(bytes).into();
        for (sum, hash) in self.0.iter_mut().zip(hash) {
            *sum ^= hash;
        }
    }

    fn mix(&mut self, bytes: &[u8]) {
        self.xor(bytes);
        self.0 = Sha1::digest(self.0).into();
    }

    fn add_value(&mut self, entry: EntryRef<'_>) {
        let mut scratch = itoa::Buffer::new();
        match entry.value() {
            ValueRef::String(string) => {
                self.mix(&TYPE_STRING.to_be_bytes());
                self.mix(string.bytes(&mut scratch));
            }
            ValueRef::Hash(hash) => {
                self.mix(&TYPE_HASH.to_be_bytes());
                for (field, value) in hash.iter() {
                    let mut pair = Sum::default();
                    pair.mix(field.bytes(&mut scratch));
                    pair.mix(value.bytes(&mut scratch));
                    self.xor(&pair.0);
                }
            }
        }
        if entry.expiry().is_some() {
            self.xor(b"!!expire!!");
        }
    }
}

impl EntryRef<'_> {
    /// What DEBUG DIGEST-VALUE answers; for a missing key that is 20 zeros.
    pub fn digest(self) -> [u8; 20] {
        let mut sum = Sum::default();
        sum.add_value(self);
        sum.0
    }
}

impl Keyspace {
    /// What DEBUG DIGEST answers: 20 zeros for no keys at all. Expired keys that are still there
    /// count.
    pub fn digest(&self) -> [u8; 20] {
        let mut total = Sum::default();
        for db in (0..self.databases()).map(DbIndex) {
            if self.is_empty(db) {
                continue;
            }
            total.mix(&u32::from(db.0).to_be_bytes());
            for stripe in self.each_stripe() {
                let Some(part) = stripe.part(db) else { continue };
                part.table.visit_all(|entry| {
                    let mut key = Sum::default();
                    key.mix(entry.key());
                    key.add_value(entry);
                    total.xor(&key.0);
                });
            }
        }
        total.0
    }
}

#[cfg(test)]
mod tests;
