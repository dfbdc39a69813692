//! Facts about this process, and its end.

use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Pid as NixPid, getegid, geteuid, getpgid, getpgrp, getpid, getppid, getsid};

use super::mask;
use super::reap::Pid;
use super::signal::Signal;
use super::watched::{Named, Watched};

/// Whether this is PID 1 of its PID namespace: the kernel then sends it only signals that it
/// handles, orphans become its children, and everything else ends when it does.
#[must_use]
pub fn is_init() -> bool {
    getpid().as_raw() == 1
}

/// Whether this process leads its session: then the kernel tells it, and it alone, that the
/// terminal has hung up.
#[must_use]
pub fn leads_session() -> bool {
    getsid(None) == Ok(getpid())
}

/// Whether another process is in this one's process group, and so gets what the terminal's keys
/// send.
#[must_use]
pub fn shares_group(pid: Pid) -> bool {
    getpgid(Some(NixPid::from_raw(pid))) == Ok(getpgrp())
}

/// The process that has started this one.
#[must_use]
pub fn parent() -> Watched {
    Watched::new(Named::of(getppid().as_raw()), None)
}

/// The user whose rights decide whom this process may signal.
#[must_use]
pub fn user() -> u32 {
    geteuid().as_raw()
}

/// The group that files are opened as.
#[must_use]
pub fn group() -> u32 {
    getegid().as_raw()
}

/// The user that another process runs as.
#[must_use]
pub fn user_of(pid: Pid) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_whitespace().next()?.parse().ok()
}

/// Whether this process has rights that its caller has not, from the program's file: a
/// set-user-ID or set-group-ID bit, or capabilities.
#[must_use]
pub fn has_rights_of_its_file() -> bool {
    // SAFETY: a plain number in and out.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Ends this process by `signal`, as if it had never been caught. Comes back only where that
/// cannot be: as PID 1, or by a signal that does not kill.
pub fn die_by(signal: Signal) {
    // The child has left its core, if any; a second one, with our secrets, is not wanted.
    let _kept = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _before = mask::set_disposition(signal, libc::SIG_DFL);
    let _masked = mask::unblock_all();
    mask::raise(signal);
}
