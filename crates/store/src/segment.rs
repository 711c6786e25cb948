//! The unit in which a table grows: 64 slots in 8 buckets, each bucket one cache line.
//!
//! A slot is one word: an entry's address in the low 48 bits, 16 bits of its hash (the *tag*)
//! above; 0 is a vacant slot. A key may stand in either of two buckets, so a look-up reads two
//! cache lines, which can be fetched at the same time, and hardly ever touches a wrong entry.
//! A segment knows nothing of its place in the table; see [`Link`] for that.
#![allow(unsafe_code)]

use std::ptr;

pub(crate) const BUCKETS: usize = 8;
pub(crate) const BUCKET_SLOTS: usize = 8;
pub(crate) const SEGMENT_SLOTS: usize = BUCKETS * BUCKET_SLOTS;
pub(crate) const SEGMENT_BYTES: usize = size_of::<Segment>();
const _: () = assert!(SEGMENT_BYTES == 512);

/// The low 48 bits: user space ends below 2^47.
pub(crate) const ADDRESS_MASK: u64 = (1 << 48) - 1;

/// An entry's address and tag, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(pub(crate) u64);

impl Slot {
    pub(crate) const VACANT: Slot = Slot(0);

    #[inline]
    pub(crate) fn new(address: u64, tag: u16) -> Slot {
        debug_assert!(address != 0 && address & !ADDRESS_MASK == 0);
        Slot(address | u64::from(tag) << 48)
    }

    #[inline]
    pub(crate) fn is_vacant(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(crate) fn address(self) -> u64 {
        self.0 & ADDRESS_MASK
    }

    #[inline]
    pub(crate) fn tag(self) -> u16 {
        (self.0 >> 48) as u16
    }
}

/// The two buckets that a key may stand in; never the same one.
#[derive(Clone, Copy)]
pub(crate) struct BucketPair {
    pub(crate) first: usize,
    pub(crate) second: usize,
}

impl BucketPair {
    /// From bits 16 to 29 of the hash, which neither the stripe nor the directory uses.
    #[inline]
    pub(crate) fn of(hash: u64) -> BucketPair {
        let first = (hash >> 16) as usize & 7;
        // A distance of 1 to 7, nearly uniform.
        let distance = 1 + ((((hash >> 19) as usize & 0xff) * 7) >> 8);
        BucketPair { first, second: (first + distance) & 7 }
    }

    /// Index of the slot that bit `bit` of a mask from `matching` or `vacant` stands for.
    #[inline]
    pub(crate) fn slot_of_bit(self, bit: u32) -> usize {
        let bit = bit as usize;
        let bucket = if bit < BUCKET_SLOTS { self.first } else { self.second };
        bucket * BUCKET_SLOTS + bit % BUCKET_SLOTS
    }
}

/// 64 slots.
#[repr(C, align(64))]
pub(crate) struct Segment {
    buckets: [[Slot; BUCKET_SLOTS]; BUCKETS],
}

impl Segment {
    pub(crate) fn new() -> Box<Segment> {
        Box::new(Segment { buckets: [[Slot::VACANT; BUCKET_SLOTS]; BUCKETS] })
    }

    #[inline]
    pub(crate) fn slot(&self, index: usize) -> Slot {
        self.buckets[index / BUCKET_SLOTS % BUCKETS][index % BUCKET_SLOTS]
    }

    #[inline]
    pub(crate) fn set_slot(&mut self, index: usize, slot: Slot) {
        self.buckets[index / BUCKET_SLOTS % BUCKETS][index % BUCKET_SLOTS] = slot;
    }

    /// All slots, in order.
    pub(crate) fn slots(&self) -> &[Slot] {
        self.buckets.as_flattened()
    }

    /// The slots of the pair whose tag is `tag`, as a bit mask: the low 8 bits are the first
    /// bucket. A vacant slot may be among them when `tag` is 0.
    #[inline]
    pub(crate) fn matching(&self, pair: BucketPair, tag: u16) -> u32 {
        simd::matching(&self.buckets[pair.first], &self.buckets[pair.second], tag)
    }

    /// The vacant slots of the pair, as a bit mask like that of `matching`.
    #[inline]
    pub(crate) fn vacant(&self, pair: BucketPair) -> u32 {
        simd::vacant(&self.buckets[pair.first], &self.buckets[pair.second])
    }

    /// The slot where a new key of this pair goes: in the emptier bucket. `None` if both are
    /// full.
    #[inline]
    pub(crate) fn vacancy(&self, pair: BucketPair) -> Option<usize> {
        let vacant = self.vacant(pair);
        let (first, second) = (vacant & 0xff, vacant >> 8);
        let mask = if first.count_ones() >= second.count_ones() { first } else { second << 8 };
        (mask != 0).then(|| pair.slot_of_bit(mask.trailing_zeros()))
    }

    /// Asks the processor to fetch the two buckets.
    #[inline]
    pub(crate) fn prefetch(&self, pair: BucketPair) {
        prefetch(ptr::from_ref(&self.buckets[pair.first]).cast());
        prefetch(ptr::from_ref(&self.buckets[pair.second]).cast());
    }

    /// Asks the processor to fetch all buckets.
    pub(crate) fn prefetch_all(&self) {
        for bucket in &self.buckets {
            prefetch(ptr::from_ref(bucket).cast());
        }
    }
}

/// Asks the processor to fetch the cache line at `at`; any address will do.
#[inline]
pub(crate) fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect but on the caches, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// One word of a directory: which segment, how many hash bits its keys share (its *depth*),
/// and how many entries it holds.
///
/// ```text
/// bit 63..48: entries (0 to 64) | bit 47..6: address of the segment | bit 5..0: depth
/// ```
/// The count stands here and not in the segment so that a delete can tell whether two
/// neighbours may merge without reading them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link(u64);

impl Link {
    const DEPTH_MASK: u64 = 63;
    const COUNT_ONE: u64 = 1 << 48;

    /// Takes the segment over; `into_segment` gives it back.
    pub(crate) fn new(segment: Box<Segment>, depth: u32) -> Link {
        let address = Box::into_raw(segment).expose_provenance() as u64;
        assert!(address & !ADDRESS_MASK == 0, "user space ends below 2^47");
        assert!(u64::from(depth) <= Link::DEPTH_MASK);
        Link(address | u64::from(depth))
    }

    #[inline]
    pub(crate) fn depth(self) -> u32 {
        (self.0 & Link::DEPTH_MASK) as u32
    }

    #[inline]
    pub(crate) fn count(self) -> u32 {
        (self.0 >> 48) as u32
    }

    #[must_use]
    pub(crate) fn with_depth(self, depth: u32) -> Link {
        assert!(u64::from(depth) <= Link::DEPTH_MASK);
        Link(self.0 & !Link::DEPTH_MASK | u64::from(depth))
    }

    #[must_use]
    pub(crate) fn with_count(self, count: u32) -> Link {
        assert!(count as usize <= SEGMENT_SLOTS);
        Link(self.0 & ADDRESS_MASK | u64::from(count) << 48)
    }

    #[inline]
    pub(crate) fn count_up(&mut self) {
        self.0 += Link::COUNT_ONE;
    }

    #[inline]
    pub(crate) fn count_down(&mut self) {
        assert!(self.count() > 0);
        self.0 -= Link::COUNT_ONE;
    }

    #[inline]
    fn segment(self) -> *mut Segment {
        ptr::with_exposed_provenance_mut((self.0 & ADDRESS_MASK & !Link::DEPTH_MASK) as usize)
    }

    /// # Safety
    /// The segment has not been given back, and is not changed while `'a` lasts.
    #[inline]
    pub(crate) unsafe fn segment_ref<'a>(self) -> &'a Segment {
        // SAFETY: the address came from a box.
        unsafe { &*self.segment() }
    }

    /// # Safety
    /// The segment has not been given back, and is not used otherwise while `'a` lasts.
    #[inline]
    pub(crate) unsafe fn segment_mut<'a>(self) -> &'a mut Segment {
        // SAFETY: the address came from a box.
        unsafe { &mut *self.segment() }
    }

    /// # Safety
    /// The segment has not been given back, and no other copy of this link is used again.
    pub(crate) unsafe fn into_segment(self) -> Box<Segment> {
        // SAFETY: the address came from a box.
        unsafe { Box::from_raw(self.segment()) }
    }
}

#[cfg(target_arch = "x86_64")]
mod simd {
    //! Sixteen slots at once with SSE2, which every x86-64 processor has.

    use super::{BUCKET_SLOTS, Slot};
    use std::arch::x86_64::{
        __m128i, _mm_castps_si128, _mm_castsi128_ps, _mm_cmpeq_epi16, _mm_cmpeq_epi32,
        _mm_load_si128, _mm_movemask_epi8, _mm_or_si128, _mm_packs_epi16, _mm_packs_epi32,
        _mm_set1_epi16, _mm_setzero_si128, _mm_shuffle_ps, _mm_srai_epi32,
    };

    type Bucket = [Slot; BUCKET_SLOTS];

    /// Two slots a register.
    #[inline(always)]
    fn load(bucket: &Bucket) -> [__m128i; 4] {
        let at = std::ptr::from_ref(bucket).cast::<__m128i>();
        // SAFETY: a bucket is 64 bytes, aligned to 64 as part of a segment.
        unsafe {
            [
                _mm_load_si128(at),
                _mm_load_si128(at.add(1)),
                _mm_load_si128(at.add(2)),
                _mm_load_si128(at.add(3)),
            ]
        }
    }

    /// The upper halves of four slots.
    #[inline(always)]
    fn high(a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            let (a, b) = (_mm_castsi128_ps(a), _mm_castsi128_ps(b));
            _mm_castps_si128(_mm_shuffle_ps::<0b11_01_11_01>(a, b))
        }
    }

    /// The lower halves of four slots.
    #[inline(always)]
    fn low(a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            let (a, b) = (_mm_castsi128_ps(a), _mm_castsi128_ps(b));
            _mm_castps_si128(_mm_shuffle_ps::<0b10_00_10_00>(a, b))
        }
    }

    /// Four registers of four truth values each become 16 bits.
    #[inline(always)]
    fn mask(lanes: [__m128i; 4]) -> u32 {
        let [a, b, c, d] = lanes;
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            let bytes = _mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d));
            _mm_movemask_epi8(bytes) as u32
        }
    }

    #[inline(always)]
    pub(super) fn matching(first: &Bucket, second: &Bucket, tag: u16) -> u32 {
        let ([a, b, c, d], [e, f, g, h]) = (load(first), load(second));
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            let tags = _mm_set1_epi16(tag as i16);
            // The shift spreads the result for the tag over the half that also holds address
            // bits.
            let equal = |x| _mm_srai_epi32::<16>(_mm_cmpeq_epi16(x, tags));
            mask([equal(high(a, b)), equal(high(c, d)), equal(high(e, f)), equal(high(g, h))])
        }
    }

    #[inline(always)]
    pub(super) fn vacant(first: &Bucket, second: &Bucket) -> u32 {
        let ([a, b, c, d], [e, f, g, h]) = (load(first), load(second));
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            let zero =
                |x, y| _mm_cmpeq_epi32(_mm_or_si128(high(x, y), low(x, y)), _mm_setzero_si128());
            mask([zero(a, b), zero(c, d), zero(e, f), zero(g, h)])
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod simd {
    //! The same, one slot at a time.

    use super::{BUCKET_SLOTS, Slot};

    type Bucket = [Slot; BUCKET_SLOTS];

    fn mask(first: &Bucket, second: &Bucket, test: impl Fn(Slot) -> bool) -> u32 {
        let slots = first.iter().chain(second).enumerate();
        slots.fold(0, |mask, (bit, &slot)| mask | u32::from(test(slot)) << bit)
    }

    pub(super) fn matching(first: &Bucket, second: &Bucket, tag: u16) -> u32 {
        mask(first, second, |slot| slot.tag() == tag)
    }

    pub(super) fn vacant(first: &Bucket, second: &Bucket) -> u32 {
        mask(first, second, Slot::is_vacant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_those_of_a_plain_loop() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut segment = Segment::new();
        for _ in 0..2000 {
            let slot = match rng.u8(0..4) {
                0 => Slot::VACANT,
                // Low halves and high halves of zero must not pass for a vacant slot.
                1 => Slot(u64::from(rng.u32(1..)) << 32),
                2 => Slot(u64::from(rng.u32(1..))),
                _ => Slot::new(rng.u64(1..1 << 48), rng.u16(0..3)),
            };
            segment.set_slot(rng.usize(0..SEGMENT_SLOTS), slot);
            let pair = BucketPair::of(rng.u64(..));
            assert_ne!(pair.first, pair.second);
            let tag = rng.u16(0..3);
            let (matching, vacant) = (segment.matching(pair, tag), segment.vacant(pair));
            for bit in 0..16 {
                let slot = segment.slot(pair.slot_of_bit(bit));
                assert_eq!(matching >> bit & 1 == 1, slot.tag() == tag);
                assert_eq!(vacant >> bit & 1 == 1, slot.is_vacant());
            }
        }
    }

    #[test]
    fn a_new_key_goes_to_the_emptier_bucket() {
        let mut segment = Segment::new();
        let pair = BucketPair::of(0);
        let mut in_first = 0;
        for n in 0..16 {
            let slot = segment.vacancy(pair).expect("room for 16");
            in_first += usize::from(slot / BUCKET_SLOTS == pair.first);
            assert!(in_first.abs_diff(n + 1 - in_first) <= 1, "the buckets fill evenly");
            segment.set_slot(slot, Slot::new(1, 0));
        }
        assert_eq!(segment.vacancy(pair), None);
    }
}
