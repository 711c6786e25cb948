//! Running seeds, one after the other. A panic of the code under test is a violation too.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::checks::Violation;
use crate::plant::Plant;
use crate::world::{Report, World};

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps a panic's text for the report instead of printing it.
fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IN_WORLD.with_borrow(|inside| *inside) {
                return usual(info);
            }
            PANIC.with_borrow_mut(|kept| {
                kept.get_or_insert_with(|| info.to_string().replace('\n', " "));
            });
        }));
    });
}

thread_local! {
    static IN_WORLD: RefCell<bool> = const { RefCell::new(false) };
}

/// Runs the world of `seed`. `print`: every event goes to standard output.
pub fn run_seed(seed: u64, plant: Option<Plant>, print: bool) -> Report {
    keep_panics();
    PANIC.with_borrow_mut(|kept| *kept = None);
    IN_WORLD.with_borrow_mut(|inside| *inside = true);
    let mut world = World::new(seed, plant);
    world.around.trace.print = print;
    // Whatever state the panic left is only read for the report, and dropped.
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    let mut report = world.report();
    if outcome.is_err() {
        let text = PANIC.with_borrow_mut(Option::take).unwrap_or_default();
        report.violation = Some(Violation(format!("panic: {text}")));
        // Locks that were held are poisoned; nothing good comes of dropping what they guard.
        std::mem::forget(world);
    }
    IN_WORLD.with_borrow_mut(|inside| *inside = false);
    report
}

impl Report {
    /// The failure as people read it; `None` if there is none.
    pub fn failure(&self) -> Option<String> {
        let violation = self.violation.as_ref()?;
        let events = self.last.join("\n");
        Some(format!("{events}\nseed={} step={}: {}", self.seed, self.step, violation.0))
    }
}
