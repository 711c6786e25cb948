//! Looking ahead in a pipeline: the keys of the next requests are hashed and the memory on the
//! way to them is fetched, all of them at once, before the first of the requests runs.
//!
//! One look-up in a large keyspace waits for memory three or four times: for the stripe, the
//! table's directory, the bucket, the entry. Done for sixteen keys side by side, the waits
//! overlap. Everything here is a hint: a wrong guess costs time and nothing else.

use tandem_base::DbIndex;
use tandem_resp::Batch;
use tandem_store::KeyHash;

use crate::node::Node;
use crate::spec::{Plan, Spec};

/// Requests looked at together: their lines fit into the first-level cache.
pub(crate) const WINDOW: usize = 16;
/// Fewer keys than this do not repay the look ahead.
const LEAST: usize = 2;

/// A key's address, length and hash, by which a command knows that it has been hashed.
pub(crate) type Hashed = (*const u8, usize, KeyHash);

/// No key has been hashed.
pub(crate) const NO_HASH: Hashed = (std::ptr::null(), 0, KeyHash { hash: 0, stripe: 0 });

/// What is known of a request before its turn.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    /// Its command, unless nobody looked or there is none of that name.
    pub(crate) spec: Option<&'static Spec>,
    /// Its first key, if it has one.
    pub(crate) hashed: Hashed,
}

impl Ahead {
    /// Nothing is known.
    pub(crate) const NONE: Ahead = Ahead { spec: None, hashed: NO_HASH };
}

/// The next requests.
pub(crate) type Window = [Ahead; WINDOW];

impl Node {
    /// Looks at up to [`WINDOW`] requests from `first` on.
    pub(crate) fn look_ahead(
        &self,
        db: DbIndex,
        buf: &[u8],
        batch: &Batch,
        first: usize,
    ) -> Window {
        let mut window = [Ahead::NONE; WINDOW];
        let end = batch.len().min(first + WINDOW);
        if end - first < LEAST {
            return window;
        }
        for index in first..end {
            let args = batch.args(index, buf);
            let ahead = &mut window[index - first];
            ahead.spec = self.named(args.get(0));
            if let Some(spec) = ahead.spec
                && spec.plan == Plan::Keys
                && args.len() > 1
            {
                // Nearly every command's first key is its first argument.
                let key = args.get(1);
                let hash = self.keyspace.hash(key);
                self.keyspace.prefetch_stripe(hash);
                ahead.hashed = (key.as_ptr(), key.len(), hash);
            }
        }
        let hashed = || window.iter().map(|ahead| ahead.hashed);
        let hashes = || hashed().filter(|hashed| !hashed.0.is_null()).map(|hashed| hashed.2);
        hashes().for_each(|hash| self.keyspace.prefetch_directory(db, hash));
        hashes().for_each(|hash| self.keyspace.lock(hash.stripe).prefetch(db, hash));
        hashes().for_each(|hash| self.keyspace.lock(hash.stripe).prefetch_entry(db, hash));
        window
    }
}
