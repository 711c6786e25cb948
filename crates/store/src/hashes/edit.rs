//! A hash being changed, under its key.
//!
//! ```text
//! hash_mut ─► set, remove … ─► drop: a short list goes back into its entry,
//!                                    a new hash gets its key, an empty one loses it
//! ```
//! The key is looked up once. A value of the same length is written where it stands; else a
//! short list is edited in a draft and written back once, however many fields a command sets;
//! what has memory of its own is edited where it stands, takes memory in size classes and gives
//! it back. The first change gives the old value to
//! a running snapshot.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use tandem_base::DbIndex;

use super::packed;
use super::{HashLimits, HashRef, Kept};
use crate::entry::{Entry, INLINE_MAX_BYTES, Owned, Value};
use crate::hash::KeyHash;
use crate::listpack;
use crate::size_class::size_class;
use crate::stripe::Stripe;
use crate::table::Position;
use crate::value::StringRef;

/// A list in memory of its own may keep room for a quarter of its length and so much more: a
/// little over what the next size class brings.
const SPARE_BYTES: usize = 256;

thread_local! {
    /// Memory for drafts, so that a change of a short hash allocates nothing.
    static DRAFT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Changes the hash at a key; see [`Stripe::hash_mut`]. What was changed is in the keyspace once
/// this is dropped.
pub struct HashMut<'a> {
    stripe: &'a mut Stripe,
    db: DbIndex,
    key: &'a [u8],
    hash: KeyHash,
    limits: HashLimits,
    /// Where the key stands, if it is there.
    at: Option<Position>,
    form: Form,
    /// The list to come, while the form says so.
    draft: Vec<u8>,
    /// The old value is safe, and there is something to do at the end.
    changed: bool,
}

/// How the hash is kept at the moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Not at all.
    Missing,
    /// A list in the entry.
    Inline,
    /// A list that will be put into the entry.
    Draft,
    /// A list in memory of its own.
    Apart,
    /// A table.
    Large,
}

/// Where [`HashMut::find`] has found the value of a field, if it has.
pub struct FieldPlace(Option<Range<usize>>);

/// The key holds another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAHash;

impl Stripe {
    /// The hash at `key`, to be changed; it comes into being with its first field and goes with
    /// its last. `limits` decide when it becomes large. The key counts as used.
    #[inline]
    pub fn hash_mut<'a>(
        &'a mut self,
        db: DbIndex,
        key: &'a [u8],
        hash: KeyHash,
        limits: HashLimits,
    ) -> Result<HashMut<'a>, NotAHash> {
        let at = self.find(db, key, hash);
        let mut form = Form::Missing;
        if let Some(at) = at {
            let entry = self.part(db).expect("it was found there").table.entry(at);
            form = match entry.hash().ok_or(NotAHash)?.0 {
                Kept::Packed(_, None) => Form::Inline,
                Kept::Packed(_, Some(_)) => Form::Apart,
                Kept::Large(_) => Form::Large,
            };
            self.note_use(entry);
        }
        let draft = Vec::new();
        Ok(HashMut { stripe: self, db, key, hash, limits, at, form, draft, changed: false })
    }
}

impl HashMut<'_> {
    /// As it is now, changes included; `None` if there is no hash.
    pub fn view(&self) -> Option<HashRef<'_>> {
        match self.form {
            Form::Missing => None,
            Form::Draft => Some(HashRef::packed(&self.draft)),
            Form::Inline | Form::Apart | Form::Large => {
                let part = self.stripe.part(self.db).expect("it was found there");
                part.table.entry(self.place()).hash()
            }
        }
    }

    /// Whether the key is there, changes not included.
    pub fn existed(&self) -> bool {
        self.at.is_some()
    }

    /// Number of fields.
    pub fn len(&self) -> u64 {
        self.view().map_or(0, HashRef::len)
    }

    /// Whether it has no fields.
    pub fn is_empty(&self) -> bool {
        self.view().is_none_or(HashRef::is_empty)
    }

    /// The value of `field`.
    pub fn get(&self, field: &[u8]) -> Option<StringRef<'_>> {
        self.view()?.get(field)
    }

    /// The value of `field`, and where it stands: for a look at it before it is set by
    /// [`HashMut::set_found`].
    pub fn find(&self, field: &[u8]) -> (Option<StringRef<'_>>, FieldPlace) {
        match self.view().map(|hash| hash.0) {
            None => (None, FieldPlace(None)),
            Some(Kept::Packed(list, _)) => {
                let value_at = packed::find_value(list, field);
                let value = value_at.as_ref().map(|at| listpack::item(list, at.start).text);
                (value, FieldPlace(value_at))
            }
            Some(Kept::Large(fields)) => (fields.get(field), FieldPlace(None)),
        }
    }

    /// Sets the field that has been looked for, with nothing changed since; says whether it is
    /// new. It is not looked for again, but in a large hash.
    pub fn set_found(&mut self, FieldPlace(at): FieldPlace, field: &[u8], value: &[u8]) -> bool {
        self.begin_set(field, value);
        match (self.form, at) {
            (Form::Large, _) => {
                self.edit_large(|fields, shed| fields.set_and_shed(field, value, shed))
            }
            (Form::Inline, Some(value_at)) => {
                let (at, limits) = (value_at.clone(), self.limits);
                let done = self.edit_inline(|list| packed::set_in_place(list, at, value, limits));
                !done && self.set_packed(Some(value_at), field, value)
            }
            (_, value_at) => self.set_packed(value_at, field, value),
        }
    }

    /// Sets a field; says whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        self.begin_set(field, value);
        match self.form {
            Form::Large => self.edit_large(|fields, shed| fields.set_and_shed(field, value, shed)),
            Form::Inline => {
                let limits = self.limits;
                let (value_at, done) = self.edit_inline(|list| {
                    let at = packed::find_value(list, field);
                    let set = |at| packed::set_in_place(list, at, value, limits);
                    (at.clone(), at.is_some_and(set))
                });
                !done && self.set_packed(value_at, field, value)
            }
            Form::Missing => self.set_packed(None, field, value),
            Form::Draft | Form::Apart => {
                let value_at = self.edit_packed(|list| packed::find_value(list, field));
                self.set_packed(value_at, field, value)
            }
        }
    }

    /// Sets a field of a list, whose value stands at `value_at`.
    fn set_packed(&mut self, value_at: Option<Range<usize>>, field: &[u8], value: &[u8]) -> bool {
        let (limit, apart) = (self.limits.entries, self.form == Form::Apart);
        let done = self.edit_packed(|list| {
            if !packed::has_room(list, field.len() + value.len()) {
                return None;
            }
            if apart {
                packed::reserve(list, value_at.as_ref(), field, value);
            }
            let new = packed::set_at(list, value_at, field, value);
            Some((new, packed::has_more_than(list, limit)))
        });
        let Some((new, too_many)) = done else {
            self.make_large();
            return self.edit_large(|fields, shed| fields.set_and_shed(field, value, shed));
        };
        if too_many {
            self.make_large();
        }
        new
    }

    /// Takes a field out; says whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        // Looked up before anything is copied, and not again: the copy has it in the same place.
        match self.view().map(|hash| hash.0) {
            None => false,
            Some(Kept::Packed(list, _)) => {
                let Some(pair) = packed::find_pair(list, field) else { return false };
                self.begin_change();
                self.edit_packed(|list| listpack::remove(list, pair, 2));
                true
            }
            Some(Kept::Large(fields)) => {
                let Some(found) = fields.find(field) else { return false };
                self.begin_change();
                self.edit_large(|fields, shed| fields.remove_found(found, shed));
                true
            }
        }
    }

    /// Before a field is set: the old value is safe, and a hash that must be large is.
    fn begin_set(&mut self, field: &[u8], value: &[u8]) {
        self.begin_change();
        if self.form != Form::Large && !packed::fits(field, value, self.limits) {
            self.make_large();
        }
    }

    fn begin_change(&mut self) {
        if !self.changed {
            self.changed = true;
            match self.at {
                // What of it is changed is told as it is changed.
                Some(at) if self.form == Form::Large => {
                    self.stripe.save_before_small_change(self.db, at);
                }
                Some(at) => self.stripe.save_before_change(self.db, at),
                None => {}
            }
        }
    }

    fn place(&self) -> Position {
        self.at.expect("what is not a draft is in the keyspace")
    }

    /// Changes the entry.
    fn update<R>(&mut self, change: impl FnOnce(Entry) -> (Entry, R)) -> R {
        let at = self.place();
        self.stripe.part_mut(self.db).table.update(at, change)
    }

    /// Changes the table; `edit` adds to the number what it has let go of and somebody shares.
    fn edit_large<R>(&mut self, edit: impl FnOnce(&mut super::Fields, &mut u64) -> R) -> R {
        let mut shed = 0;
        let (result, id) = self.update(|mut entry| {
            let fields = entry.fields_mut().expect("it is large");
            let result = (edit(fields, &mut shed), fields.id());
            (entry, result)
        });
        if shed > 0 {
            self.stripe.note_shed(id, usize::try_from(shed).expect("it lies in memory"));
        }
        result
    }

    /// Changes the list in the entry without a change of its length.
    fn edit_inline<R>(&mut self, edit: impl FnOnce(&mut [u8]) -> R) -> R {
        let at = self.place();
        let table = &mut self.stripe.part_mut_unchanged(self.db).table;
        table.with_packed(at, edit).expect("it stands in the entry")
    }

    /// Changes a list; one that stands in the entry, or nowhere, becomes a draft for that.
    fn edit_packed<R>(&mut self, edit: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        match self.form {
            Form::Draft => {}
            Form::Apart => {
                return self.update(|mut entry| {
                    let list = entry.large_mut().expect("it stands apart");
                    let result = edit(Arc::make_mut(list));
                    (entry, result)
                });
            }
            Form::Inline | Form::Missing => {
                let mut draft = DRAFT.take();
                draft.clear();
                if self.form == Form::Inline {
                    self.edit_inline(|list| draft.extend_from_slice(list));
                }
                self.draft = draft;
                self.form = Form::Draft;
            }
            Form::Large => unreachable!("asked only of a list"),
        }
        edit(&mut self.draft)
    }

    /// Turns the list into a table, in the keyspace.
    fn make_large(&mut self) {
        let hasher = self.stripe.shared.hasher;
        let list = self.view().map(|hash| match hash.0 {
            Kept::Packed(list, _) => packed::to_large(list, hasher),
            Kept::Large(_) => unreachable!("asked only of a list"),
        });
        let fields = list.unwrap_or_else(|| super::Fields::new(hasher));
        self.write(Value::Fields(Box::new(fields)));
        self.form = Form::Large;
        keep_draft(std::mem::take(&mut self.draft));
    }

    /// Gives the key this value.
    fn write(&mut self, value: Value<'_>) {
        if self.at.is_some() {
            let old: Option<Owned> = self.update(|entry| {
                let (expiry, clock) = (entry.view().expiry(), entry.view().access_clock());
                entry.replace_value(value, expiry, false, clock)
            });
            drop(old);
        } else {
            let stamp = self.stripe.shared.stamp();
            let entry = Entry::new(self.key, value, None, false, stamp);
            self.stripe.insert(self.db, self.hash, entry);
            self.at = self.stripe.find(self.db, self.key, self.hash);
        }
    }

    /// A list in memory of its own has changed: one that has become short goes into the entry,
    /// another gives back what it does not need. After either it can grow again for a while
    /// before memory is asked for, so that no request to and fro does that each time.
    fn settle_apart(&mut self) {
        let Some(Kept::Packed(_, Some(list))) = self.view().map(|hash| hash.0) else {
            unreachable!("the form says so")
        };
        let len = list.len();
        if len <= INLINE_MAX_BYTES / 2 {
            let list = Arc::clone(list);
            self.write(Value::Packed(&list));
        } else if list.capacity() > len + len / 4 + SPARE_BYTES {
            self.update(|mut entry| {
                let list = entry.large_mut().expect("it stands apart");
                Arc::make_mut(list).shrink_to(size_class(len));
                (entry, ())
            });
        }
    }
}

fn keep_draft(draft: Vec<u8>) {
    if (1..=2 * INLINE_MAX_BYTES).contains(&draft.capacity()) {
        DRAFT.set(draft);
    }
}

impl Drop for HashMut<'_> {
    fn drop(&mut self) {
        // A list that stayed in its entry has lost nothing.
        if !self.changed || self.form == Form::Inline {
            return;
        }
        if self.is_empty() {
            if let Some(at) = self.at {
                drop(self.stripe.take_at(self.db, self.hash, at));
            }
        } else if self.form == Form::Draft {
            let draft = std::mem::take(&mut self.draft);
            if draft.len() <= INLINE_MAX_BYTES {
                self.write(Value::Packed(&draft));
            } else {
                self.write(Value::PackedLarge(Arc::new(draft.clone())));
            }
            keep_draft(draft);
        } else if self.form == Form::Apart {
            self.settle_apart();
        }
    }
}
