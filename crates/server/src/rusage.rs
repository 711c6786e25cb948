//! CPU seconds of the process, of its children, and of the calling thread.
#![allow(unsafe_code)]

/// System and user seconds of the process, then of its children.
pub(crate) fn cpu_seconds() -> [f64; 4] {
    let own = usage(libc::RUSAGE_SELF);
    let children = usage(libc::RUSAGE_CHILDREN);
    [
        seconds(own.ru_stime),
        seconds(own.ru_utime),
        seconds(children.ru_stime),
        seconds(children.ru_utime),
    ]
}

fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 / 1e6
}

fn usage(who: libc::c_int) -> libc::rusage {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call writes one `rusage` to the pointer, which is valid for that.
    let result = unsafe { libc::getrusage(who, usage.as_mut_ptr()) };
    assert_eq!(result, 0, "getrusage only fails for a bad argument");
    // SAFETY: all-zero bytes are a valid `rusage`, and the call has filled it in.
    unsafe { usage.assume_init() }
}
