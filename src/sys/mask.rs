//! What signals do in this process: dispositions and masks.

use std::io;

use super::inherited;
use super::signal::Signal;

/// Blocks every signal in this thread until dropped.
#[derive(Debug)]
pub(super) struct AllBlocked(libc::sigset_t);

impl AllBlocked {
    pub(super) fn new() -> Self {
        let mut before = empty_set();
        let mut all = empty_set();
        // SAFETY: both sets are valid for writing.
        unsafe {
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        }
        Self(before)
    }
}

impl Drop for AllBlocked {
    fn drop(&mut self) {
        // SAFETY: the set was filled in when this was made.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut())
        };
    }
}

/// Gives the calling process the signal state that vaultexec was started with. Async-signal-safe:
/// for the time between fork and exec. The handlers' dispositions go first, since a signal that is
/// pending is delivered as soon as it is unblocked.
pub(super) fn restore_inherited() {
    for signal in Signal::all().filter(|signal| signal.can_be_caught()) {
        let disposition = if inherited::ignored().contains(signal) {
            libc::SIG_IGN
        } else {
            libc::SIG_DFL
        };
        let _before = set_disposition(signal, disposition);
    }
    let mut mask = empty_set();
    for signal in Signal::all().filter(|&signal| inherited::blocked().contains(signal)) {
        // SAFETY: the set is valid and the number in range.
        unsafe { libc::sigaddset(&raw mut mask, signal.number()) };
    }
    // SAFETY: the set is valid.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut()) };
}

/// Ignores every signal that can be ignored, and takes back every handler.
pub(super) fn ignore_all() {
    for signal in Signal::all().filter(|signal| signal.can_be_caught()) {
        let _before = set_disposition(signal, libc::SIG_IGN);
    }
}

/// Sets what a signal does (`SIG_DFL` or `SIG_IGN`) and returns what it did.
pub(super) fn set_disposition(
    signal: Signal,
    disposition: libc::sighandler_t,
) -> io::Result<libc::sigaction> {
    // SAFETY: an all-zero sigaction is a valid value: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = disposition;
    let mut before = action;
    // SAFETY: both are valid; `disposition` is one of the two constants, not a function.
    let set = unsafe { libc::sigaction(signal.number(), &raw const action, &raw mut before) };
    if set == 0 {
        Ok(before)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Has the signals by which a program is asked to end do so, where the kernel would not let them: in
/// PID 1 the default action of a signal is to do nothing. Until there is something to clean up, that
/// is enough.
pub fn end_when_asked_to() {
    extern "C" fn end(number: libc::c_int) {
        // SAFETY: async-signal-safe, and the end.
        unsafe { libc::_exit(128 + number) }
    }
    let ends = |signal: &Signal| signal.asks_to_end() && !inherited::ignored().contains(*signal);
    for signal in Signal::all().filter(ends) {
        // SAFETY: an all-zero sigaction is a valid value: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = end as *const () as libc::sighandler_t;
        restore(signal, &action);
    }
}

/// Blocks every signal while this one's handler runs. Otherwise one that comes meanwhile is
/// recorded before it, and a TSTP with a CONT behind it becomes a stop that nobody ends.
pub(super) fn handle_one_at_a_time(signal: Signal) -> io::Result<()> {
    let mut action = set_disposition(signal, libc::SIG_DFL)?;
    // SAFETY: the mask is part of a valid action.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    restore(signal, &action);
    Ok(())
}

pub(super) fn restore(signal: Signal, action: &libc::sigaction) {
    // SAFETY: `action` is a valid one: the signal's before, or a handler that may run at any time.
    unsafe { libc::sigaction(signal.number(), action, std::ptr::null_mut()) };
}

/// Sends this thread a signal that is valid. In one system call: a CONT that comes before it is
/// delivered, and not taken back.
pub(super) fn raise(signal: Signal) {
    // SAFETY: plain system calls on numbers.
    unsafe {
        // Not by the C library's `gettid`: where it is linked statically, the weak symbol is null.
        let (process, thread) = (libc::getpid(), libc::syscall(libc::SYS_gettid));
        libc::syscall(libc::SYS_tgkill, process, thread, signal.number());
    }
}

/// Unblocks every signal in the calling thread, and so in those it starts.
pub(super) fn unblock_all() -> io::Result<()> {
    let none = empty_set();
    // SAFETY: the set is valid.
    let set =
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Leaves every signal to the other threads, for a thread that only helps. All but those for a read
/// from, or a write to, the terminal in the background, which would fail where they are blocked.
pub fn leave_signals_to_others() {
    let mut helped = empty_set();
    // SAFETY: the set is valid, and the numbers are in range.
    unsafe {
        libc::sigfillset(&raw mut helped);
        libc::sigdelset(&raw mut helped, libc::SIGTTIN);
        libc::sigdelset(&raw mut helped, libc::SIGTTOU);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const helped, std::ptr::null_mut());
    }
}

pub(super) fn empty_set() -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: `set` is valid for writing, and sigemptyset fills it in.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

/// Runs `action` with TTOU blocked: then a write to the terminal from the background goes through
/// as it does for a program that ignores TTOU, in place of stopping the child's whole group.
pub fn without_ttou<T>(action: impl FnOnce() -> T) -> T {
    with_blocked(Signal::TTOU, action)
}

/// Runs `action` with a signal blocked.
pub(super) fn with_blocked<T>(signal: Signal, action: impl FnOnce() -> T) -> T {
    let mut before = empty_set();
    let mut blocked = empty_set();
    // SAFETY: both sets are valid, and the number is in range.
    unsafe {
        libc::sigaddset(&raw mut blocked, signal.number());
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, &raw mut before);
    }
    let result = action();
    // SAFETY: `before` was filled in above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helping_thread_takes_no_signal_but_those_of_a_background_job() {
        let status = std::thread::spawn(|| {
            leave_signals_to_others();
            std::fs::read_to_string("/proc/thread-self/status").expect("a status")
        });
        let status = status.join().expect("a thread");
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
        let blocked = u64::from_str_radix(line.expect("a mask").trim(), 16).expect("a number");
        let is_blocked = |number: i32| blocked & (1 << (number - 1)) != 0;
        for number in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGTSTP] {
            assert!(is_blocked(number), "{number}");
        }
        for number in [libc::SIGTTIN, libc::SIGTTOU] {
            assert!(!is_blocked(number), "{number}");
        }
    }
}
