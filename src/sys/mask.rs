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
        let all = full_set();
        // SAFETY: both sets are valid.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) };
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
    let mask = inherited::blocked().bits();
    // SAFETY: the kernel's own set, of the size it is told.
    unsafe {
        let before = std::ptr::null_mut::<u64>();
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            before,
            size_of_val(&mask),
        )
    };
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
    unsafe { sigaction(signal, &raw const action, &raw mut before) }?;
    Ok(before)
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

/// What runs when a signal comes.
pub(super) type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// Has `handler`, which must be async-signal-safe, run when a signal comes, with every other one blocked
/// meanwhile. Otherwise one that comes then is recorded before it, and a TSTP with a CONT behind it becomes a
/// stop that nobody ends.
pub(super) fn handle_alone(signal: Signal, handler: Handler) -> io::Result<()> {
    // SAFETY: an all-zero sigaction is a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    action.sa_mask = full_set();
    // SAFETY: the action is valid, and its handler may run at any time.
    unsafe { sigaction(signal, &raw const action, std::ptr::null_mut()) }
}

pub(super) fn restore(signal: Signal, action: &libc::sigaction) {
    // SAFETY: `action` is a valid one: the signal's before, or a handler that may run at any time.
    let _restored = unsafe { sigaction(signal, action, std::ptr::null_mut()) };
}

/// `sigaction(2)`, of every signal that a program can handle.
///
/// # Safety
/// Each of the two is valid, or null; and a handler is async-signal-safe.
///
/// # Errors
/// The system's.
pub(super) unsafe fn sigaction(
    signal: Signal,
    new: *const libc::sigaction,
    before: *mut libc::sigaction,
) -> io::Result<()> {
    #[cfg(target_env = "musl")]
    if signal.number() == kernel::KEPT_BY_MUSL {
        // SAFETY: the caller's promise.
        return unsafe { kernel::sigaction(new, before) };
    }
    // SAFETY: the caller's promise.
    match unsafe { libc::sigaction(signal.number(), new, before) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// musl keeps one signal for itself and refuses to set it: for changes of the user in all threads, which
/// are not made here. To others it is an ordinary one: glibc calls it SIGRTMIN. One that has been sent before
/// vaultexec starts, and was blocked, ends it, since musl unblocks it; nothing is held then.
#[cfg(target_env = "musl")]
mod kernel {
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    compile_error!("the kernel's own form of an action is known for x86-64 and arm64 alone");

    use std::io;

    pub(super) const KEPT_BY_MUSL: libc::c_int = 34;
    const SA_RESTORER: libc::c_ulong = 0x0400_0000;

    /// As the kernel has it on x86-64 and arm64.
    #[repr(C)]
    #[derive(Default)]
    struct Action {
        handler: libc::sighandler_t,
        flags: libc::c_ulong,
        /// What a handler returns to, where the C library has to bring it.
        restorer: usize,
        mask: u64,
    }

    unsafe fn set(signal: libc::c_int, new: *const Action, before: *mut Action) -> io::Result<()> {
        // SAFETY: the caller's promise.
        match unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                new,
                before,
                size_of::<u64>(),
            )
        } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// As [`super::sigaction`]. A handler returns as those do that the C library has set: USR1 has one before.
    pub(super) unsafe fn sigaction(
        new: *const libc::sigaction,
        before: *mut libc::sigaction,
    ) -> io::Result<()> {
        let (mut like, mut old) = (Action::default(), Action::default());
        // SAFETY: only asks.
        unsafe { set(libc::SIGUSR1, std::ptr::null(), &raw mut like) }?;
        // SAFETY: the caller's promise.
        let action = unsafe { new.as_ref() }.map(|new| Action {
            handler: new.sa_sigaction,
            flags: libc::c_ulong::try_from(new.sa_flags).unwrap_or_default()
                | (like.flags & SA_RESTORER),
            restorer: like.restorer,
            mask: u64::MAX,
        });
        let action = action.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: both are valid or null; and what the handler does is the caller's promise.
        unsafe { set(KEPT_BY_MUSL, action, &raw mut old) }?;
        // SAFETY: the caller's promise.
        if let Some(before) = unsafe { before.as_mut() } {
            before.sa_sigaction = old.handler;
            before.sa_flags = libc::c_int::try_from(old.flags & !SA_RESTORER).unwrap_or_default();
        }
        Ok(())
    }
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
    let mut helped = full_set();
    // SAFETY: the set is valid, and the numbers are in range.
    unsafe {
        libc::sigdelset(&raw mut helped, libc::SIGTTIN);
        libc::sigdelset(&raw mut helped, libc::SIGTTOU);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const helped, std::ptr::null_mut());
    }
}

/// Every signal, those included that the C library would leave out: it does so itself where it must.
fn full_set() -> libc::sigset_t {
    let mut set = empty_set();
    // SAFETY: a set of bits, each of which may be set.
    unsafe { (&raw mut set).write_bytes(0xff, 1) };
    set
}

pub(super) fn empty_set() -> libc::sigset_t {
    // musl fills in no more than the kernel reads.
    let mut set = std::mem::MaybeUninit::zeroed();
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
