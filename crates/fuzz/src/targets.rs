//! Everything that reads foreign bytes, and what it promises.

mod rdb;
mod request;

use crate::Target;

/// All targets.
pub const ALL: &[Target] = &[rdb::FILE, rdb::RESTORE, rdb::LZF, request::REQUEST];

/// A signature, folded from small numbers.
#[derive(Default)]
struct Signature(u64);

impl Signature {
    fn add(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// A number, by its size only.
    fn add_size(&mut self, number: usize) {
        self.add(u64::from(usize::BITS - number.leading_zeros()));
    }
}
