//! The databases of a stripe other than 0: those that have keys there, and no others.
//!
//! ```text
//! slots, by number   (1, part) (7, part) (65000, part)
//!                              └ at hand: the one changed last
//! bytes = others_bytes + those of the part at hand
//! ```
//! A server may be told to have 65,535 databases, and a stripe is asked for its bytes each time
//! that it is let go. So memory and time grow with the databases that are in use: a part comes
//! with its first key and goes with its last, and of all parts only the one at hand may have
//! changed since its bytes were summed.
//!
//! Database 0 is not here: nearly all servers use no other.

use tandem_base::DbIndex;

use crate::stripe::Part;

/// See the module's story; it is never empty.
pub(crate) struct Parts {
    slots: Vec<(DbIndex, Box<Part>)>,
    /// Place of the part that was changed last.
    at_hand: usize,
    /// Bytes of all parts but the one at hand.
    others_bytes: u64,
}

impl Parts {
    /// The first part.
    pub(crate) fn new(db: DbIndex, part: Part) -> Parts {
        Parts { slots: vec![(db, Box::new(part))], at_hand: 0, others_bytes: 0 }
    }

    /// Where `db` is, or belongs.
    fn place(&self, db: DbIndex) -> Result<usize, usize> {
        if self.slots[self.at_hand].0 == db {
            return Ok(self.at_hand);
        }
        self.slots.binary_search_by_key(&db, |(db, _)| *db)
    }

    /// The part of `db`, if it is there.
    pub(crate) fn get(&self, db: DbIndex) -> Option<&Part> {
        Some(&self.slots[self.place(db).ok()?].1)
    }

    /// The part of `db`, made by `make` if it is not there, to be changed.
    pub(crate) fn get_or_insert(&mut self, db: DbIndex, make: impl FnOnce() -> Part) -> &mut Part {
        match self.place(db) {
            Ok(place) if place == self.at_hand => {}
            Ok(place) => {
                self.others_bytes += self.slots[self.at_hand].1.bytes();
                self.others_bytes -= self.slots[place].1.bytes();
                self.at_hand = place;
            }
            Err(place) => {
                let part = Box::new(make());
                assert_eq!(part.bytes(), 0, "a part begins without keys");
                self.others_bytes += self.slots[self.at_hand].1.bytes();
                self.slots.insert(place, (db, part));
                self.at_hand = place;
            }
        }
        &mut self.slots[self.at_hand].1
    }

    /// Takes a part out. Nobody may ask for anything afterwards if it was the last, which the
    /// second half of the answer says.
    pub(crate) fn remove(&mut self, db: DbIndex) -> Option<(Part, bool)> {
        let place = self.place(db).ok()?;
        self.others_bytes += self.slots[self.at_hand].1.bytes();
        let (_, part) = self.slots.remove(place);
        self.others_bytes -= part.bytes();
        self.at_hand = 0;
        match self.slots.first() {
            Some((_, first)) => self.others_bytes -= first.bytes(),
            None => assert_eq!(self.others_bytes, 0, "nothing is left"),
        }
        Some((*part, self.slots.is_empty()))
    }

    /// All parts by their number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (DbIndex, &Part)> {
        self.slots.iter().map(|(db, part)| (*db, &**part))
    }

    /// The first part from `db` on.
    pub(crate) fn first_from(&self, db: DbIndex) -> Option<(DbIndex, &Part)> {
        let place = self.slots.partition_point(|(of, _)| *of < db);
        self.slots.get(place).map(|(db, part)| (*db, &**part))
    }

    /// Bytes of all parts.
    pub(crate) fn bytes(&self) -> u64 {
        self.others_bytes + self.slots[self.at_hand].1.bytes()
    }
}
