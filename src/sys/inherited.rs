//! What vaultexec was started with, recorded before Rust's runtime changes it; and the one thing
//! that cannot wait for it.
//!
//! Before `main`, the standard library makes SIGPIPE ignored and opens `/dev/null` on closed
//! standard descriptors. The child must see neither, so the state is read in a constructor, which
//! the loader runs earlier.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::signal::{Signal, SignalSet};

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
    // Other processes of the same user must not read the environment or the memory, nor a core dump
    // show it, from as early on as possible. The unit tests' own process is as it is.
    #[cfg(not(test))]
    // SAFETY: a plain system call on numbers. Where the kernel refuses, vaultexec runs without.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0)
    };

    let mut ignored = 0u64;
    for number in Signal::all_numbers() {
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: a null new action only queries; `action` is valid for writing one sigaction.
        let asked = unsafe { libc::sigaction(number, std::ptr::null(), action.as_mut_ptr()) };
        // SAFETY: filled in by the successful call.
        if asked == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN {
            ignored |= bit(number);
        }
    }
    IGNORED.store(ignored, Ordering::Relaxed);

    let mut mask = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: a null new mask only queries; `mask` is valid for writing one set.
    let asked =
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, std::ptr::null(), mask.as_mut_ptr()) };
    if asked == 0 {
        // SAFETY: filled in by the successful call.
        let mask = unsafe { mask.assume_init() };
        let blocked = Signal::all_numbers()
            // SAFETY: `mask` is a valid set and the number is in range.
            .filter(|&number| unsafe { libc::sigismember(&raw const mask, number) } == 1)
            .fold(0, |bits, number| bits | bit(number));
        BLOCKED.store(blocked, Ordering::Relaxed);
    }

    for (descriptor, closed) in (0..).zip(&CLOSED) {
        // SAFETY: F_GETFD has no effect on memory and is defined for any number.
        let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
        closed.store(flags == -1, Ordering::Relaxed);
    }
}

const fn bit(number: libc::c_int) -> u64 {
    1u64 << (number - 1)
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
