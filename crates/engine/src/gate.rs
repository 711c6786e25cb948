//! The gate: how one thread gets the whole keyspace to itself.
//!
//! Every thread that touches keys holds its own slot for the length of a batch. Exclusive mode
//! takes all slots, in order; nobody is then inside. A slot is one lock that only its owner
//! takes, so entering costs one uncontended lock a batch, whatever the number of threads.
//!
//! A thread must leave its slot before it asks for exclusive mode, and must not wait for
//! anything else while it holds a slot but for stripes. Between leaving and being alone anything
//! may happen: whoever asked for a role, a load or a pause before asks again after. At the end
//! of the server the gate is shut, and nobody gets in any more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crossbeam_utils::CachePadded;

/// The slots of all threads that may touch the keyspace.
pub struct Gate {
    slots: Box<[CachePadded<Mutex<()>>]>,
    shut: AtomicBool,
    meanwhile: OnceLock<Meanwhile>,
}

/// What others do while somebody waits to be alone.
type Meanwhile = Box<dyn Fn() + Send + Sync>;

/// A slot is held: nobody has the keyspace alone.
pub struct Inside<'a> {
    _slot: MutexGuard<'a, ()>,
}

/// All slots are held: the keyspace is ours alone.
pub struct Alone<'a> {
    gate: &'a Gate,
    slots: Vec<MutexGuard<'a, ()>>,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        if self.gate.is_shut() {
            // Nobody runs a command that the last save has not seen.
            std::mem::forget(std::mem::take(&mut self.slots));
        }
    }
}

impl Gate {
    /// A gate for `threads` threads, numbered from 0.
    pub fn new(threads: usize) -> Gate {
        assert!(threads > 0);
        Gate {
            slots: (0..threads).map(|_| CachePadded::default()).collect(),
            shut: AtomicBool::new(false),
            meanwhile: OnceLock::new(),
        }
    }

    /// Calls `hook` whenever a thread is about to wait until it is alone, with that thread
    /// outside: where there is but one thread, as in simulations and tests, this is how others
    /// come in between. The hook may itself wait to be alone.
    pub fn meanwhile(&self, hook: Meanwhile) {
        assert!(self.meanwhile.set(hook).is_ok(), "a gate has one hook");
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// A gate has at least one slot.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Enters as thread `slot`; waits while another thread has the keyspace alone.
    #[inline]
    pub fn enter(&self, slot: usize) -> Inside<'_> {
        Inside { _slot: self.slots[slot].lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Waits until every thread has left, then keeps all out. The caller must not be inside.
    pub fn alone(&self) -> Alone<'_> {
        if let Some(hook) = self.meanwhile.get() {
            hook();
        }
        let slots = self.slots.iter();
        // Always in the same order, so that two callers cannot wait for each other.
        let held = slots.map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner));
        Alone { gate: self, slots: held.collect() }
    }

    /// Lets nobody in again, ever; to be called by who is alone. Who comes waits for the end of
    /// the process, the caller's own thread too: it has to stay out.
    pub fn shut(&self) {
        self.shut.store(true, Ordering::Relaxed);
    }

    /// Whether the gate has been shut. The answer is final for who is alone or was when it was.
    pub fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn a_shut_gate_stays_shut() {
        let gate = Gate::new(2);
        drop(gate.alone());
        let alone = gate.alone();
        gate.shut();
        drop(alone);
        assert!(gate.slots.iter().all(|slot| slot.try_lock().is_err()));
    }

    #[test]
    fn nobody_is_inside_while_one_is_alone() {
        let gate = Gate::new(4);
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for slot in 0..4 {
                let (gate, inside) = (&gate, &inside);
                scope.spawn(move || {
                    for round in 0..500 {
                        if round % 50 == 0 {
                            let _alone = gate.alone();
                            assert_eq!(inside.load(Ordering::SeqCst), 0);
                        }
                        let _held = gate.enter(slot);
                        inside.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
