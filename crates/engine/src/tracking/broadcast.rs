//! Broadcasting mode: prefixes, and the keys with them that have changed in this turn.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::News;
use crate::client::{ClientFlags, ClientId, ClientInfo};
use crate::node::{Node, lock};
use crate::pubsub::message_body;

/// Nobody's number: no client is spared the news of what two have changed.
const NOBODY: ClientId = 0;

/// One prefix.
#[derive(Default)]
struct Prefix {
    /// Keys that have changed since clients were told, in order, each with who changed it;
    /// [`NOBODY`] if that was more than one.
    keys: BTreeMap<Box<[u8]>, ClientId>,
    clients: Vec<Arc<ClientInfo>>,
}

/// All prefixes that clients have asked for.
#[derive(Default)]
pub(super) struct Prefixes {
    count: AtomicUsize,
    /// Some keys have been noted.
    any_keys: AtomicBool,
    all: RwLock<BTreeMap<Box<[u8]>, Mutex<Prefix>>>,
}

impl Prefixes {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Box<[u8]>, Mutex<Prefix>>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Box<[u8]>, Mutex<Prefix>>> {
        self.all.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of prefixes.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// A client asks for a prefix.
    pub(super) fn add(&self, prefix: &[u8], info: &Arc<ClientInfo>) {
        let mut all = self.write();
        let prefix = all.entry(prefix.into()).or_default();
        let clients = &mut prefix.get_mut().unwrap_or_else(PoisonError::into_inner).clients;
        if !clients.iter().any(|other| other.id == info.id) {
            clients.push(Arc::clone(info));
        }
        self.count.store(all.len(), Ordering::Relaxed);
    }

    /// A client does not want it any more.
    pub(super) fn remove(&self, prefix: &[u8], id: ClientId) {
        let mut all = self.write();
        let found = all.get_mut(prefix).expect("a prefix goes with its last client");
        let found = found.get_mut().unwrap_or_else(PoisonError::into_inner);
        found.clients.retain(|info| info.id != id);
        if found.clients.is_empty() {
            all.remove(prefix);
        }
        self.count.store(all.len(), Ordering::Relaxed);
    }

    /// `key` has been changed by `writer`.
    pub(super) fn note(&self, key: &[u8], writer: ClientId) {
        if self.len() == 0 {
            return;
        }
        for (prefix, state) in self.read().iter() {
            if key.starts_with(prefix) {
                let mut state = lock(state);
                match state.keys.get_mut(key) {
                    // Two have changed it, so that each is told of the other's change.
                    Some(by) if *by != writer => *by = NOBODY,
                    Some(_) => {}
                    None => {
                        state.keys.insert(key.into(), writer);
                    }
                }
                self.any_keys.store(true, Ordering::SeqCst);
            }
        }
    }

    /// Whether there is something to tell.
    pub(super) fn has_news(&self) -> bool {
        self.any_keys.load(Ordering::SeqCst)
    }

    /// Tells clients what has been noted.
    pub(super) fn send(&self, node: &Node) {
        if !self.has_news() || !self.any_keys.swap(false, Ordering::SeqCst) {
            return;
        }
        for state in self.read().values() {
            let mut state = lock(state);
            let keys = std::mem::take(&mut state.keys);
            if keys.is_empty() {
                continue;
            }
            let everything = body(&keys, None);
            for info in &state.clients {
                let body = if info.flags().contains(ClientFlags::NOLOOP) {
                    body(&keys, Some(info.id))
                } else {
                    everything.clone()
                };
                if let Some(body) = body {
                    node.tell(info, News::Keys(body));
                }
            }
        }
    }
}

/// The keys as an array, without those that `but_of` changed; `None` if none is left.
fn body(keys: &BTreeMap<Box<[u8]>, ClientId>, but_of: Option<ClientId>) -> Option<Arc<Vec<u8>>> {
    let told = keys.iter().filter(|(_, writer)| but_of.is_none_or(|id| **writer != id));
    let told: Vec<&[u8]> = told.map(|(key, _)| key.as_ref()).collect();
    if told.is_empty() {
        return None;
    }
    let mut body = b"*".to_vec();
    body.extend_from_slice(&message_body(&told));
    Some(Arc::new(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NOLOOP spares a client its own changes alone.
    #[test]
    fn what_two_have_changed_is_news_to_both() {
        let prefixes = Prefixes::default();
        prefixes.write().insert((*b"a").into(), Mutex::default());
        prefixes.count.store(1, Ordering::Relaxed);
        for (key, writer) in [("a1", 1), ("a1", 2), ("a2", 2), ("a2", 2), ("b", 1)] {
            prefixes.note(key.as_bytes(), writer);
        }
        let all = prefixes.read();
        let keys = &lock(&all[&b"a"[..]]).keys;
        let told =
            |id| body(keys, Some(id)).map(|body| String::from_utf8_lossy(&body).into_owned());
        assert_eq!(told(1).as_deref(), Some("*2\r\n$2\r\na1\r\n$2\r\na2\r\n"));
        assert_eq!(told(2).as_deref(), Some("*1\r\n$2\r\na1\r\n"));
    }
}
