//! What a new process does between fork and exec to be free of whatever the test runner was started with.

use std::io;

/// Default actions, nothing blocked, no descriptors but 0, 1 and 2. Async-signal-safe.
pub fn start_fresh() -> io::Result<()> {
    default_signals()?;
    close_descriptors()
}

/// The result of a system call as an `io::Result`.
pub fn check(result: i32) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// E.g. HUP is ignored under `nohup`.
fn default_signals() -> io::Result<()> {
    // The kernel's own struct sigaction (handler, flags, restorer, mask), all zero: the default action. Not by way of glibc, which
    // hides the signals 32 and 33 that it uses itself, and those may be ignored too.
    let default = [0usize; 8];
    for number in (1..=64).filter(|number| ![libc::SIGKILL, libc::SIGSTOP].contains(number)) {
        // SAFETY: the struct is at most as long as the array, the mask 8 bytes as the kernel wants it.
        let result = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                default.as_ptr(),
                std::ptr::null_mut::<libc::c_void>(),
                8usize,
            )
        };
        check(result as i32)?;
    }
    // SAFETY: a zeroed set is a valid argument of sigemptyset.
    check(unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut())
    })
}

/// Marks them to be closed by the exec: one of them is the pipe on which the standard library reports a failing exec.
fn close_descriptors() -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: numbers only.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3 as libc::c_uint,
            libc::c_uint::MAX,
            CLOSE_RANGE_CLOEXEC,
        )
    };
    check(result as i32)
}
