//! The allocator, and what it can tell. Unsafe for one request that has no safe wrapper.
#![allow(unsafe_code)]

use std::cell::OnceCell;

use tandem_server::Allocator;
use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};
use tikv_jemalloc_ctl::{background_thread, epoch, stats, stats_print};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// For the server.
pub(crate) const JEMALLOC: Allocator =
    Allocator { name: "jemalloc-5.3.1", facts, report, purge, purge_in_background, thread_net };

/// Bytes handed out, in pages in use, and resident.
fn facts() -> (u64, u64, u64) {
    // The figures are those of the last epoch; it costs some microseconds to begin a new one.
    let _ = epoch::advance();
    let read = |figure: tikv_jemalloc_ctl::Result<usize>| figure.unwrap_or(0) as u64;
    (read(stats::allocated::read()), read(stats::active::read()), read(stats::resident::read()))
}

/// jemalloc's own report.
fn report() -> String {
    let mut text = Vec::new();
    // A report that breaks off is shown as far as it came.
    let _ = stats_print::stats_print(&mut text, stats_print::Options::default());
    String::from_utf8_lossy(&text).into_owned()
}

/// Gives back pages that nothing is in.
fn purge() -> bool {
    // The name says all arenas. SAFETY: the name ends with a zero, and this one neither reads
    // nor writes a value.
    let result = unsafe {
        tikv_jemalloc_sys::mallctl(
            c"arena.4096.purge".as_ptr(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            0,
        )
    };
    result == 0
}

/// Lets jemalloc's own threads do that, or not.
fn purge_in_background(on: bool) -> bool {
    background_thread::write(on).is_ok()
}

thread_local! {
    /// Where this thread's two counters stand.
    static COUNTERS: OnceCell<(ThreadLocal<u64>, ThreadLocal<u64>)> = const { OnceCell::new() };
}

/// Bytes given to this thread so far, less those that it has given back.
fn thread_net() -> i64 {
    COUNTERS.with(|counters| {
        let (given, returned) = counters.get_or_init(|| {
            let known = "jemalloc counts, unless it was built without";
            (allocatedp::read().expect(known), deallocatedp::read().expect(known))
        });
        given.get().wrapping_sub(returned.get()).cast_signed()
    })
}
