//! A process apart: forked off this one, and cut off from everything that ties it to the terminal,
//! the caller and the child.

use std::ffi::CStr;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};
use tokio::io::unix::AsyncFd;

use super::reap::{self, Pid};
use super::signal::Signal;
use super::{mask, spawn};

/// The name in the process table, so that `killall vaultexec` does not take it along.
const NAME: &CStr = c"lease-guard";

/// The other process.
#[derive(Debug)]
pub struct Apart {
    pid: Pid,
    /// Opened while the pid could not be anybody else's.
    watched: Option<Watched>,
}

impl Apart {
    /// Ends it at once.
    pub fn kill(&self) {
        if let Some(watched) = &self.watched {
            watched.signal(Signal::KILL);
        }
    }

    /// Waits until it has ended, and ends it if that takes longer than `grace`: somebody may have
    /// stopped it.
    pub fn end(&self, grace: Duration) {
        if let Some(watched) = self
            .watched
            .as_ref()
            .filter(|watched| !watched.ends_within(grace))
        {
            watched.signal(Signal::KILL);
        }
        reap::until_ended(self.pid);
    }
}

/// Starts a process that runs `work` with its end of the socket, and ends. Variables whose names
/// are `secret` are wiped from its environment. Must be called while there is only one thread.
///
/// # Errors
/// When the system has no process to give.
pub fn start(
    socket: UnixStream,
    secret: impl Fn(&[u8]) -> bool,
    work: impl FnOnce(UnixStream),
) -> io::Result<Apart> {
    // SAFETY: there is one thread, so the new process finds everything in order.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Apart {
            pid: child.as_raw(),
            watched: Watched::open(child.as_raw()),
        }),
        ForkResult::Child => {
            if cut_off(&socket, secret).is_ok() {
                work(socket);
            }
            // SAFETY: ends the process without the parent's exit handlers.
            unsafe { libc::_exit(0) }
        }
    }
}

fn cut_off(socket: &UnixStream, secret: impl Fn(&[u8]) -> bool) -> io::Result<()> {
    // A session of its own: no terminal, and no key or hang-up of it, reaches this process.
    setsid()?;
    mask::ignore_all();
    mask::unblock_all()?;
    // SAFETY: a name of less than 16 bytes.
    unsafe { libc::prctl(libc::PR_SET_NAME, NAME.as_ptr()) };
    // Whoever waits for the end of a pipe must not wait for us.
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    drop(null);
    close_all_but(socket.as_raw_fd());
    // A mounted folder can be unmounted while we are here.
    std::env::set_current_dir("/")?;
    wipe_environment(secret);
    Ok(())
}

fn close_all_but(kept: RawFd) {
    let close = |first: RawFd, last: RawFd| {
        if first > last {
            return;
        }
        // SAFETY: nothing in this process uses another descriptor.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        if closed == -1 {
            // A kernel before 5.9. Descriptors are handed out from the bottom.
            // SAFETY: as above.
            (first..=last.min(4096)).for_each(|descriptor| unsafe {
                libc::close(descriptor);
            });
        }
    };
    close(3, kept - 1);
    close(kept + 1, RawFd::MAX);
}

/// Overwrites the values of variables in place: they lie where the kernel put them at the start,
/// for this process in a copy of its own.
fn wipe_environment(secret: impl Fn(&[u8]) -> bool) {
    unsafe extern "C" {
        static environ: *const *mut libc::c_char;
    }
    // SAFETY: a null-terminated array of strings that nobody else uses: there is one thread.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = CStr::from_ptr(*entry).to_bytes();
            let name = text.split(|&byte| byte == b'=').next().unwrap_or_default();
            if secret(name) && text.len() > name.len() {
                let (start, length) = (name.len() + 1, text.len() - name.len() - 1);
                std::ptr::write_bytes((*entry).add(start), b'*', length);
            }
            entry = entry.add(1);
        }
    }
}

/// A process that is not ours to bury, by a descriptor that cannot come to mean another.
#[derive(Debug)]
pub struct Watched {
    pid: Pid,
    descriptor: OwnedFd,
}

impl Watched {
    /// Opens the descriptor, if there is such a process and the kernel has such descriptors.
    #[must_use]
    pub fn open(pid: Pid) -> Option<Self> {
        spawn::open_pidfd(pid).map(|descriptor| Self { pid, descriptor })
    }

    /// Sends a signal. One that comes too late, or may not be sent, is of no consequence.
    pub fn signal(&self, signal: Signal) {
        spawn::signal_by_pidfd(&self.descriptor, signal);
    }

    /// Continues it if it is stopped, so that it hears of what it was sent.
    pub fn rouse(&self) {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // The name before the state stands in parentheses and may hold anything.
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        if state == Some('T') {
            self.signal(Signal::CONT);
        }
    }

    /// Whether it has another user, group or capabilities than this process. With such a change the
    /// kernel forgets the signal for a parent's death.
    #[must_use]
    pub fn has_changed_user(&self) -> bool {
        let identity = |process: &str| {
            let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
            let fields = ["Uid:", "Gid:", "CapPrm:"];
            let lines = status.lines();
            let lines = lines.filter(|line| fields.iter().any(|field| line.starts_with(field)));
            Some(lines.collect::<Vec<_>>().join("\n"))
        };
        identity(&self.pid.to_string())
            .zip(identity("self"))
            .is_some_and(|(its, ours)| its != ours)
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ends_within(Duration::ZERO)
    }

    fn ends_within(&self, time: Duration) -> bool {
        let milliseconds = libc::c_int::try_from(time.as_millis()).unwrap_or(libc::c_int::MAX);
        let mut poll = libc::pollfd {
            fd: self.descriptor.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: `poll` is one valid entry.
        unsafe { libc::poll(&raw mut poll, 1, milliseconds) == 1 }
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        let Ok(descriptor) = self.descriptor.try_clone() else {
            return;
        };
        // SAFETY: an owned descriptor stays open and the same for as long as it is registered.
        if let Ok(descriptor) = unsafe { AsyncFd::register(descriptor) } {
            let _readable = descriptor.readable().await;
        }
    }
}
