//! The only `waitpid` of the program.
//!
//! Two waiters would steal each other's statuses, so there is one. It takes whatever process has
//! changed its state: as PID 1 that reaps the orphans too.

use super::signal::Signal;

/// A process id.
pub type Pid = libc::pid_t;

/// What happened to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It exited with this code.
    Exited(u8),
    /// This signal ended it.
    Killed(Signal),
    /// This signal stopped it.
    Stopped(Signal),
    /// It goes on after a stop.
    Continued,
}

/// Takes one change of state of any child, if there is one now. Never blocks.
#[must_use]
pub fn next_change() -> Option<(Pid, Change)> {
    loop {
        let (pid, status) = wait(-1, libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED)?;
        // A status that cannot be read (a tracer's) is passed over.
        if let Some(change) = decode(status) {
            return Some((pid, change));
        }
    }
}

/// Whether this is a child of ours that has not been waited for: until then its number is its own.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this waits for nothing")]
pub fn is_child(pid: Pid) -> bool {
    let Ok(id) = libc::id_t::try_from(pid) else {
        return false;
    };
    let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::uninit();
    // SAFETY: `info` is valid for writing. With WNOWAIT the child stays as it is.
    let looked = unsafe { libc::waitid(libc::P_PID, id, info.as_mut_ptr(), look) };
    looked == 0 || nix::errno::Errno::last() != nix::errno::Errno::ECHILD
}

/// Waits until one certain child has ended. For a child known to be ending.
pub fn until_ended(pid: Pid) {
    // Either the child has been waited for, or there is no such child: both are what was wanted.
    let _ended = wait(pid, 0);
}

#[expect(clippy::disallowed_methods, reason = "this is the only waiter")]
fn wait(pid: Pid, options: libc::c_int) -> Option<(Pid, libc::c_int)> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is valid for writing one int.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, options) };
        if waited > 0 {
            return Some((waited, status));
        }
        let interrupted = waited == -1 && nix::errno::Errno::last() == nix::errno::Errno::EINTR;
        if !interrupted {
            return None;
        }
    }
}

fn decode(status: libc::c_int) -> Option<Change> {
    if libc::WIFEXITED(status) {
        u8::try_from(libc::WEXITSTATUS(status))
            .ok()
            .map(Change::Exited)
    } else if libc::WIFSIGNALED(status) {
        Signal::new(libc::WTERMSIG(status)).map(Change::Killed)
    } else if libc::WIFSTOPPED(status) {
        Signal::new(libc::WSTOPSIG(status)).map(Change::Stopped)
    } else if libc::WIFCONTINUED(status) {
        Some(Change::Continued)
    } else {
        None
    }
}
