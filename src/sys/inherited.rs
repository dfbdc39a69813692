//! What vaultexec was started with, recorded before Rust's runtime changes it; and the one thing
//! that cannot wait for it.
//!
//! Before `main`, the standard library makes SIGPIPE ignored and opens `/dev/null` on closed
//! standard descriptors. The child must see neither, so the state is read in a constructor, which
//! the loader runs earlier.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::signal::{Signal, SignalSet};
use super::{mask, wiping};

/// Bit `n - 1` is set when signal `n` was ignored.
static IGNORED: AtomicU64 = AtomicU64::new(0);
/// Bit `n - 1` is set when signal `n` was blocked.
static BLOCKED: AtomicU64 = AtomicU64::new(0);
/// Whether the descriptors 0, 1 and 2 were closed.
static CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

#[used]
#[unsafe(link_section = ".init_array")]
static RECORD: extern "C" fn() = record;

extern "C" fn record() {
    wiping::allow_forks();

    // Other processes of the same user must not read the environment or the memory, nor a core dump
    // show it, from as early on as possible. The unit tests' own process is as it is.
    #[cfg(not(test))]
    // SAFETY: a plain system call on numbers. Where the kernel refuses, vaultexec runs without.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0)
    };

    let ignored: SignalSet = Signal::all().filter(|&it| is_ignored(it)).collect();
    IGNORED.store(ignored.bits(), Ordering::Relaxed);

    let mut blocked = 0u64;
    // SAFETY: a null new mask only queries; the kernel's own set has the size that it is told.
    unsafe {
        let new = std::ptr::null::<u64>();
        let size = size_of_val(&blocked);
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            new,
            &raw mut blocked,
            size,
        )
    };
    BLOCKED.store(blocked, Ordering::Relaxed);

    for (descriptor, closed) in (0..).zip(&CLOSED) {
        // SAFETY: F_GETFD has no effect on memory and is defined for any number.
        let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
        closed.store(flags == -1, Ordering::Relaxed);
    }
}

fn is_ignored(signal: Signal) -> bool {
    // SAFETY: an all-zero sigaction is a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null new action only queries; `action` is valid for writing one sigaction.
    let asked = unsafe { mask::sigaction(signal, std::ptr::null(), &raw mut action) };
    asked.is_ok() && action.sa_sigaction == libc::SIG_IGN
}

/// The signals that were ignored when vaultexec started.
#[must_use]
pub fn ignored() -> SignalSet {
    SignalSet::from_bits(IGNORED.load(Ordering::Relaxed))
}

/// The signals that were blocked when vaultexec started.
#[must_use]
pub fn blocked() -> SignalSet {
    SignalSet::from_bits(BLOCKED.load(Ordering::Relaxed))
}

/// Whether a standard descriptor (0, 1 or 2) was closed when vaultexec started.
#[must_use]
pub fn closed(descriptor: usize) -> bool {
    CLOSED
        .get(descriptor)
        .is_some_and(|closed| closed.load(Ordering::Relaxed))
}
