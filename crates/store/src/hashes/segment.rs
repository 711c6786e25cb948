//! Some hundred fields of a large hash, packed.
//!
//! ```text
//! tags    [8 bits of each field's hash]            searched first, 16 at a time
//! places  [where each field's record begins]
//! arena   field length · value length · field · value    one record after the other
//! far     texts that are too long for the arena, shared
//! length  0..=0xfd, or 0xfe and two bytes, or 0xff and the number of a far text in two bytes
//! ```
//! A field and its value cost four bytes beside their own, and a segment is copied in about a
//! microsecond, which is what a writer pays when a snapshot shares it. A record that is given
//! up leaves a gap; gaps are closed when they would otherwise make the arena grow.
//!
//! A segment knows nothing of the others: who splits and merges is `node`.

use std::sync::Arc;

use crate::hash::Hasher;
use crate::size_class::size_class;
use crate::value::StringRef;

/// The most fields that a segment holds.
pub(super) const FIELDS_MAX: usize = 128;
/// The most bytes of its arena, gaps not counted.
const ARENA_MAX_BYTES: usize = 16 * 1024;
/// The longest text that stands in the arena.
const NEAR_MAX_BYTES: usize = 512;
/// What a far text takes beside its bytes and its place in the list: the two counts of its `Arc`
/// and the `Vec`.
const FAR_BYTES: usize = size_class(16 + size_of::<Vec<u8>>());

const TWO_BYTES: u8 = 0xfe;
const FAR: u8 = 0xff;

/// See the module's story.
#[derive(Clone)]
pub(super) struct Segment {
    tags: [u8; FIELDS_MAX],
    places: [u16; FIELDS_MAX],
    len: u8,
    /// Bytes of the arena that no record uses.
    gaps: u16,
    arena: Vec<u8>,
    far: Vec<Option<Arc<Vec<u8>>>>,
    /// Bytes of the far texts, as they are allocated.
    far_bytes: u64,
}

/// How a record refers to one of its texts.
#[derive(Clone, Copy)]
enum Length {
    Near(usize),
    Far(u16),
}

impl Length {
    fn near_bytes(self) -> usize {
        match self {
            Length::Near(len) => len,
            Length::Far(_) => 0,
        }
    }

    fn head_bytes(self) -> usize {
        match self {
            Length::Near(len) if len < usize::from(TWO_BYTES) => 1,
            Length::Near(_) | Length::Far(_) => 3,
        }
    }

    /// Writes what a record says of it, from `at` on; returns where that ends.
    #[inline]
    fn write(self, arena: &mut [u8], at: usize) -> usize {
        let (mark, word) = match self {
            // Near texts are shorter than 2^16.
            Length::Near(len) if len < usize::from(TWO_BYTES) => {
                arena[at] = len as u8;
                return at + 1;
            }
            Length::Near(len) => (TWO_BYTES, len as u16),
            Length::Far(number) => (FAR, number),
        };
        arena[at] = mark;
        arena[at + 1..at + 3].copy_from_slice(&word.to_le_bytes());
        at + 3
    }

    #[inline]
    fn read(arena: &[u8], at: usize) -> Length {
        let word = || u16::from_le_bytes([arena[at + 1], arena[at + 2]]);
        match arena[at] {
            TWO_BYTES => Length::Near(usize::from(word())),
            FAR => Length::Far(word()),
            len => Length::Near(usize::from(len)),
        }
    }
}

/// A record as it stands in the arena.
#[derive(Clone, Copy)]
struct Record {
    field: Length,
    value: Length,
    /// Where the field's bytes begin.
    field_at: usize,
    /// Where the value's bytes begin.
    value_at: usize,
    end: usize,
}

impl Segment {
    pub(super) fn new() -> Segment {
        Segment {
            tags: [0; FIELDS_MAX],
            places: [0; FIELDS_MAX],
            len: 0,
            gaps: 0,
            arena: Vec::new(),
            far: Vec::new(),
            far_bytes: 0,
        }
    }

    /// Number of fields.
    #[inline]
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// The lowest eight bits of each field's hash.
    #[inline]
    pub(super) fn tags(&self) -> &[u8] {
        &self.tags[..self.len()]
    }

    /// Bytes that it takes, in size classes, the two counts of its `Arc` included.
    pub(super) fn bytes(&self) -> u64 {
        const OWN: usize = size_class(size_of::<Segment>() + 16);
        let parts = OWN + size_class(self.arena.capacity()) + size_class(self.far.capacity() * 8);
        parts as u64 + self.far_bytes
    }

    /// The same without the far texts, which a copy of the segment shares.
    pub(super) fn near_bytes(&self) -> u64 {
        self.bytes() - self.far_bytes
    }

    /// Bytes of the value in `slot`, or of that and its field, that are far and that somebody
    /// else shares.
    pub(super) fn shared_far_bytes(&self, slot: usize, field_too: bool) -> u64 {
        let Record { field, value, .. } = self.record(slot);
        let far = |length| match length {
            Length::Far(number) => self.far[usize::from(number)].as_ref(),
            Length::Near(_) => None,
        };
        let texts = far(value).into_iter().chain(far(field).filter(|_| field_too));
        texts.filter(|text| Arc::strong_count(text) > 1).map(|text| far_bytes(text)).sum()
    }

    /// Fields and bytes from a walk; all hashes begin with `bits` bits as `from` does. See
    /// `Fields::check`.
    #[cfg(test)]
    pub(super) fn check(&self, from: u64, bits: u32, hasher: Hasher) -> (u64, u64) {
        let (mut used, mut far) = (0, Vec::new());
        for slot in 0..self.len() {
            let record = self.record(slot);
            used += record.end - usize::from(self.places[slot]);
            let hash = hasher.hash(self.field(slot));
            assert_eq!(self.tags[slot], tag(hash));
            assert!(bits == 0 || (hash ^ from) >> (64 - bits) == 0, "it belongs here");
            for length in [record.field, record.value] {
                if let Length::Far(number) = length {
                    far.push(usize::from(number));
                }
            }
        }
        assert_eq!(used + usize::from(self.gaps), self.arena.len());
        far.sort_unstable();
        let held = (0..self.far.len()).filter(|&number| self.far[number].is_some());
        assert_eq!(far, held.collect::<Vec<_>>(), "each far text has one record");
        let text = |text: &Arc<Vec<u8>>| size_class(16 + 24) + size_class(text.capacity());
        let bytes = size_class(size_of::<Segment>() + 16)
            + size_class(self.arena.capacity())
            + size_class(self.far.capacity() * size_of::<usize>())
            + self.far.iter().flatten().map(text).sum::<usize>();
        (self.len() as u64, bytes as u64)
    }

    /// Its bytes without the far texts that somebody else shares.
    #[cfg(test)]
    pub(super) fn unshared_bytes(&self) -> u64 {
        let unshared = |text: &&Arc<Vec<u8>>| Arc::strong_count(text) == 1;
        let far = self.far.iter().flatten().filter(unshared).map(|text| far_bytes(text));
        self.near_bytes() + far.sum::<u64>()
    }

    /// Bytes of its records.
    pub(super) fn used(&self) -> usize {
        self.arena.len() - usize::from(self.gaps)
    }

    #[inline]
    fn record(&self, slot: usize) -> Record {
        let at = usize::from(self.places[slot]);
        let field = Length::read(&self.arena, at);
        let value = Length::read(&self.arena, at + field.head_bytes());
        let field_at = at + field.head_bytes() + value.head_bytes();
        let value_at = field_at + field.near_bytes();
        Record { field, value, field_at, value_at, end: value_at + value.near_bytes() }
    }

    #[inline]
    fn text(&self, length: Length, at: usize) -> StringRef<'_> {
        match length {
            Length::Near(len) => StringRef::Inline(&self.arena[at..at + len]),
            Length::Far(number) => {
                let far = self.far[usize::from(number)].as_ref();
                StringRef::Large(far.expect("a record names it"))
            }
        }
    }

    /// The bytes of the field in `slot`.
    #[inline]
    pub(super) fn field(&self, slot: usize) -> &[u8] {
        let Record { field, field_at, .. } = self.record(slot);
        match self.text(field, field_at) {
            StringRef::Large(far) => far,
            StringRef::Inline(near) => near,
            StringRef::Int(_) => unreachable!("no record holds a number"),
        }
    }

    /// The field and value in `slot`.
    #[inline]
    pub(super) fn pair(&self, slot: usize) -> (StringRef<'_>, StringRef<'_>) {
        let record = self.record(slot);
        (self.text(record.field, record.field_at), self.text(record.value, record.value_at))
    }

    /// The slot of `field`.
    #[inline]
    pub(super) fn find(&self, field: &[u8], hash: u64) -> Option<usize> {
        memchr::memchr_iter(tag(hash), self.tags()).find(|&slot| self.field(slot) == field)
    }

    /// Whether a field and value of these lengths can come in.
    pub(super) fn has_room(&self, field_len: usize, value_len: usize) -> bool {
        // What stands in the arena is at most 6 bytes of lengths and two near texts.
        let more = 6 + near_part(field_len) + near_part(value_len);
        self.len() < FIELDS_MAX && self.used() + more <= ARENA_MAX_BYTES
    }

    /// Whether the value in `slot` can be exchanged for one of this length.
    pub(super) fn has_room_for_value(&self, slot: usize, value_len: usize) -> bool {
        let Record { value, .. } = self.record(slot);
        let shorter = near_part(value_len) <= value.near_bytes();
        shorter || self.used() + 6 + near_part(value_len) <= ARENA_MAX_BYTES
    }

    /// Adds a field that is not there; there is room for it.
    pub(super) fn push(&mut self, hash: u64, field: &[u8], value: &[u8]) {
        assert!(self.len() < FIELDS_MAX, "asked for room before");
        let field = self.take_in(field);
        let value = self.take_in(value);
        let slot = self.len();
        self.len += 1;
        self.tags[slot] = tag(hash);
        self.places[slot] = u16::MAX;
        self.write_record(slot, field, value);
    }

    /// Gives the field in `slot` another value; there is room for it.
    pub(super) fn set_value(&mut self, slot: usize, value: &[u8]) {
        let old = self.record(slot);
        if let (Length::Near(len), true) = (old.value, value.len() <= NEAR_MAX_BYTES)
            && len == value.len()
        {
            self.arena[old.value_at..old.end].copy_from_slice(value);
            return;
        }
        self.free_far(old.value);
        let value = self.take_in(value);
        let at = usize::from(self.places[slot]);
        let old_bytes = old.end - at;
        let bytes = record_bytes(old.field, value.length());
        let is_last = old.end == self.arena.len();
        if bytes <= old_bytes || (is_last && at + bytes <= self.arena.capacity()) {
            self.rewrite(at, old, value);
            if is_last {
                self.arena.truncate(at + bytes);
            } else {
                // The arena is shorter than 2^16.
                self.gaps += (old_bytes - bytes) as u16;
            }
        } else {
            self.places[slot] = u16::MAX;
            self.gaps += old_bytes as u16;
            self.write_behind(slot, old, value);
        }
        self.give_back();
    }

    /// Writes a record with another value where it stands: at `at`, where there is room for it.
    fn rewrite(&mut self, at: usize, old: Record, value: Taken<'_>) {
        let end = at + record_bytes(old.field, value.length());
        if end > self.arena.len() {
            self.arena.resize(end, 0);
        }
        let field_at = at + old.field.head_bytes() + value.length().head_bytes();
        self.arena.copy_within(old.field_at..old.value_at, field_at);
        self.write_heads(at, old.field, value.length());
        self.arena[end - value.near().len()..end].copy_from_slice(value.near());
    }

    /// Writes the record of `slot` with another value behind all others; `old` is a gap already.
    fn write_behind(&mut self, slot: usize, old: Record, value: Taken<'_>) {
        let bytes = record_bytes(old.field, value.length());
        let field = old.field_at..old.value_at;
        // The gap holds the field until it has been copied, so the gaps are closed around that.
        let before = match self.arena.len() + bytes > self.arena.capacity() {
            true => Some(self.close_gaps(bytes)),
            false => None,
        };
        self.begin_record(slot, old.field, value.length());
        match before {
            Some(before) => self.arena.extend_from_slice(&before[field]),
            None => self.arena.extend_from_within(field),
        }
        self.arena.extend_from_slice(value.near());
    }

    /// Takes the field in `slot` out.
    pub(super) fn remove(&mut self, slot: usize) {
        let Record { field, value, .. } = self.record(slot);
        self.free_far(field);
        self.free_far(value);
        self.leave(slot);
        let last = self.len() - 1;
        self.tags[slot] = self.tags[last];
        self.places[slot] = self.places[last];
        self.len -= 1;
        self.give_back();
    }

    /// Lets the arena shrink once its records take less than half of it.
    fn give_back(&mut self) {
        if self.arena.capacity() > 256 && self.used() < self.arena.capacity() / 2 {
            self.make_room(0);
        }
    }

    /// Adds what the record of `slot` in `from` holds, far texts shared.
    pub(super) fn push_from(&mut self, from: &Segment, slot: usize) {
        assert!(self.len() < FIELDS_MAX, "asked for room before");
        let record = from.record(slot);
        let field = self.take_over(from, record.field, record.field_at);
        let value = self.take_over(from, record.value, record.value_at);
        let to = self.len();
        self.len += 1;
        self.tags[to] = from.tags[slot];
        self.places[to] = u16::MAX;
        self.write_record(to, field, value);
    }

    fn take_over<'a>(&mut self, from: &'a Segment, length: Length, at: usize) -> Taken<'a> {
        match from.text(length, at) {
            StringRef::Large(far) => self.share_far(Arc::clone(far)),
            StringRef::Inline(near) => Taken::Near(near),
            StringRef::Int(_) => unreachable!("no record holds a number"),
        }
    }

    fn take_in<'a>(&mut self, text: &'a [u8]) -> Taken<'a> {
        if text.len() <= NEAR_MAX_BYTES {
            Taken::Near(text)
        } else {
            self.share_far(Arc::new(text.to_vec()))
        }
    }

    fn share_far(&mut self, text: Arc<Vec<u8>>) -> Taken<'static> {
        self.far_bytes += far_bytes(&text);
        let number = match self.far.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                self.far.push(None);
                self.far.len() - 1
            }
        };
        self.far[number] = Some(text);
        // Two to a field at most.
        Taken::Far(Length::Far(number as u16))
    }

    fn free_far(&mut self, length: Length) {
        if let Length::Far(number) = length {
            let text = self.far[usize::from(number)].take().expect("a record named it");
            self.far_bytes -= far_bytes(&text);
        }
    }

    /// Gives up the record of `slot`; its bytes become a gap.
    fn leave(&mut self, slot: usize) {
        let at = usize::from(self.places[slot]);
        let end = self.record(slot).end;
        self.places[slot] = u16::MAX;
        if end == self.arena.len() {
            self.arena.truncate(at);
        } else {
            // The arena is shorter than 2^16.
            self.gaps += (end - at) as u16;
        }
    }

    /// Appends the record of `slot`, which has none.
    fn write_record(&mut self, slot: usize, field: Taken<'_>, value: Taken<'_>) {
        let bytes = record_bytes(field.length(), value.length());
        if self.arena.len() + bytes > self.arena.capacity() {
            self.make_room(bytes);
        }
        self.begin_record(slot, field.length(), value.length());
        self.arena.extend_from_slice(field.near());
        self.arena.extend_from_slice(value.near());
    }

    /// Appends the lengths of the record of `slot`.
    fn begin_record(&mut self, slot: usize, field: Length, value: Length) {
        let at = self.arena.len();
        self.places[slot] = u16::try_from(at).expect("at most ARENA_MAX_BYTES");
        self.arena.resize(at + field.head_bytes() + value.head_bytes(), 0);
        self.write_heads(at, field, value);
    }

    fn write_heads(&mut self, at: usize, field: Length, value: Length) {
        let value_at = field.write(&mut self.arena, at);
        value.write(&mut self.arena, value_at);
    }

    /// Gives the arena room for `more` bytes behind its records, and for no more.
    fn make_room(&mut self, more: usize) {
        if self.gaps > 0 {
            self.close_gaps(more);
            return;
        }
        let room = size_class(self.used() + more);
        // One of the two does something.
        self.arena.reserve_exact(room.saturating_sub(self.arena.len()));
        self.arena.shrink_to(room);
    }

    /// Moves the records together, into another arena with room for `more` bytes and no more; a
    /// slot without a record is passed over. Returns the arena before.
    fn close_gaps(&mut self, more: usize) -> Vec<u8> {
        let mut arena = Vec::with_capacity(size_class(self.used() + more));
        for slot in 0..self.len() {
            if self.places[slot] != u16::MAX {
                let at = usize::from(self.places[slot]);
                let end = self.record(slot).end;
                self.places[slot] = arena.len() as u16;
                arena.extend_from_slice(&self.arena[at..end]);
            }
        }
        self.gaps = 0;
        std::mem::replace(&mut self.arena, arena)
    }

    /// Its fields in two: those whose hash has `bit` clear, and those that have it set.
    pub(super) fn split(&self, hasher: Hasher, bit: u64) -> (Segment, Segment) {
        let (mut low, mut high) = (Segment::new(), Segment::new());
        low.arena.reserve_exact(size_class(self.used() / 2 + self.used() / 8));
        high.arena.reserve_exact(size_class(self.used() / 2 + self.used() / 8));
        for slot in 0..self.len() {
            let half = if hasher.hash(self.field(slot)) & bit == 0 { &mut low } else { &mut high };
            half.push_from(self, slot);
        }
        (low, high)
    }

    /// Whether this and `other` make one segment that is far from full.
    pub(super) fn merges_with(&self, other: &Segment) -> bool {
        self.len() + other.len() <= FIELDS_MAX / 2
            && self.used() + other.used() <= ARENA_MAX_BYTES / 2
    }

    /// Takes over all fields of `other`.
    pub(super) fn take_all(&mut self, other: &Segment) {
        for slot in 0..other.len() {
            self.push_from(other, slot);
        }
    }
}

/// A text that is on its way into a record.
#[derive(Clone, Copy)]
enum Taken<'a> {
    Near(&'a [u8]),
    Far(Length),
}

impl Taken<'_> {
    fn length(self) -> Length {
        match self {
            Taken::Near(text) => Length::Near(text.len()),
            Taken::Far(length) => length,
        }
    }

    fn near(&self) -> &[u8] {
        match self {
            Taken::Near(text) => text,
            Taken::Far(_) => &[],
        }
    }
}

/// What a record takes whose texts have these lengths.
fn record_bytes(field: Length, value: Length) -> usize {
    field.head_bytes() + value.head_bytes() + field.near_bytes() + value.near_bytes()
}

#[inline]
fn tag(hash: u64) -> u8 {
    // The low bits: those above choose the segment.
    hash as u8
}

fn near_part(len: usize) -> usize {
    if len <= NEAR_MAX_BYTES { len } else { 0 }
}

fn far_bytes(text: &Vec<u8>) -> u64 {
    (FAR_BYTES + size_class(text.capacity())) as u64
}
