//! In which order a walk goes over the parts of a stripe.
//!
//! They stand by their number, and are walked by what that was at the cut. Once parts have moved
//! the two differ; then the order is found once and kept until another moves: there may be many
//! databases, and to look through all of them for each part would take the square of that. Parts
//! that come later, as the first key of a database, were none of the cut's.

use std::cmp::Reverse;

use tandem_base::DbIndex;

use super::Mark;
use crate::stripe::{Part, Stripe};

/// The parts of one stripe that a walk has yet to take, should they have moved.
#[derive(Default)]
pub(super) struct OrderAtCut {
    /// The stripe's `moves` when it was found.
    pub(super) moves: Option<u32>,
    /// What they were at the cut, and what they are now; the last comes first.
    parts: Vec<(DbIndex, DbIndex)>,
}

impl OrderAtCut {
    fn find(&mut self, stripe: &Stripe, mark: Mark) {
        let at_cut = |(now, part): (DbIndex, &Part)| Some((part.cut.database(now, mark)?, now));
        self.moves = Some(stripe.moves);
        self.parts.clear();
        self.parts.extend(stripe.parts().filter_map(at_cut));
        self.parts.sort_unstable_by_key(|(at_cut, _)| Reverse(*at_cut));
    }
}

impl Stripe {
    /// The first part from `db` on, by what the parts were at the cut. `order` is of this stripe
    /// and belongs to one walk.
    pub(super) fn part_at_cut(
        &self,
        db: DbIndex,
        mark: Mark,
        order: &mut OrderAtCut,
    ) -> Option<(DbIndex, &Part)> {
        if self.parts_moved != mark.serial() {
            return self.first_part_from(db);
        }
        if order.moves != Some(self.moves) {
            order.find(self, mark);
        }
        while let Some(&(at_cut, now)) = order.parts.last() {
            let found = self.part(now).filter(|part| part.cut.database(now, mark) == Some(at_cut));
            match found {
                Some(part) if at_cut >= db => return Some((at_cut, part)),
                // It has been walked, or its last key has gone.
                _ => order.parts.pop(),
            };
        }
        None
    }
}
