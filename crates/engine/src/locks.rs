//! What a command holds while it runs: its lock plan, carried out.
//!
//! | plan | held |
//! |---|---|
//! | none | nothing |
//! | keys, one stripe | that stripe |
//! | keys, several stripes | the stripes in index order, without repeats |
//! | exclusive | the gate; a stripe is locked when it is asked for, and nobody else can want it |

use smallvec::SmallVec;
use tandem_resp::Args;
use tandem_store::{Keyspace, Stripe, StripeGuard};

use crate::ahead::{Hashed, NO_HASH};
use crate::node::Node;
use crate::spec::Spec;

/// The stripes that a command may touch. It is handed on a few times for each command, so it is
/// small: guards of several stripes lie elsewhere.
pub enum Held<'a> {
    /// No key may be touched.
    Nothing,
    /// One stripe.
    One(u16, StripeGuard<'a>),
    /// Several, in index order.
    Several(Vec<(u16, StripeGuard<'a>)>),
    /// All, because the gate is held alone. At most one is locked at a time.
    All(&'a Keyspace, Option<(u16, StripeGuard<'a>)>),
}

impl<'a> Held<'a> {
    /// Locks `stripes`, in any order and with repeats.
    pub fn lock(keyspace: &'a Keyspace, stripes: &mut SmallVec<[u16; 16]>) -> Held<'a> {
        match stripes.as_slice() {
            [] => Held::Nothing,
            &[one] => Held::One(one, keyspace.lock(one)),
            _ => {
                stripes.sort_unstable();
                stripes.dedup();
                Held::Several(stripes.iter().map(|&s| (s, keyspace.lock(s))).collect())
            }
        }
    }

    /// The stripe `index`, which must be held.
    #[inline]
    pub fn stripe(&mut self, index: u16) -> &mut Stripe {
        match self {
            Held::One(held, guard) => {
                assert_eq!(*held, index, "a key outside the lock plan");
                guard
            }
            Held::Several(guards) => one_of(guards, index),
            Held::All(keyspace, current) => locked_next(keyspace, current, index),
            Held::Nothing => panic!("a command without a lock plan touched a key"),
        }
    }

    /// Lets go of a stripe held only because exclusive mode looked at it last; called before a
    /// walk over the keyspace that locks stripes by itself.
    pub fn release_current(&mut self) {
        if let Held::All(_, current) = self {
            *current = None;
        }
    }

    /// Whether the whole keyspace is held.
    pub fn is_exclusive(&self) -> bool {
        matches!(self, Held::All(..))
    }
}

impl Node {
    /// Locks the stripes of all of a command's keys; with them the first key's hash.
    #[inline]
    pub(crate) fn lock_keys(&self, spec: &Spec, args: Args<'_>) -> (Held<'_>, Hashed) {
        let mut hashed = NO_HASH;
        let mut stripes = SmallVec::new();
        spec.each_key(args, |at| {
            let key = args.get(at);
            let hash = self.keyspace.hash(key);
            if stripes.is_empty() {
                hashed = (key.as_ptr(), key.len(), hash);
            }
            stripes.push(hash.stripe);
        });
        (self.lock_stripes(&mut stripes), hashed)
    }
}

// Apart, so that the common case is built into its callers.
#[inline(never)]
fn one_of<'s>(guards: &'s mut [(u16, StripeGuard<'_>)], index: u16) -> &'s mut Stripe {
    let at = guards
        .binary_search_by_key(&index, |(stripe, _)| *stripe)
        .expect("a key outside the lock plan");
    &mut guards[at].1
}

#[inline(never)]
fn locked_next<'s, 'a>(
    keyspace: &'a Keyspace,
    current: &'s mut Option<(u16, StripeGuard<'a>)>,
    index: u16,
) -> &'s mut Stripe {
    if current.as_ref().is_none_or(|(held, _)| *held != index) {
        // The old one is let go first: no thread ever waits for one while holding one.
        *current = None;
        *current = Some((index, keyspace.lock(index)));
    }
    &mut current.as_mut().expect("just locked").1
}
