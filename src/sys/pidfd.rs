//! A descriptor that names a process, where its number may come to mean another one.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use tokio::io::unix::AsyncFd;

use super::reap::{self, Pid};
use super::signal::Signal;

/// A process.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// Opens the descriptor, if there is such a process and the kernel has such descriptors.
    #[must_use]
    pub fn open(pid: Pid) -> Option<Self> {
        // SAFETY: a plain system call on numbers. The kernel sets CLOEXEC on the new descriptor.
        let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let descriptor = RawFd::try_from(descriptor)
            .ok()
            .filter(|&descriptor| descriptor >= 0)?;
        // SAFETY: the descriptor is new and nobody else's.
        Some(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// The process that a descriptor which somebody has passed stands for.
    #[must_use]
    pub const fn passed(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// The descriptor, to be passed on.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// `ESRCH` when the process has ended. Anything else may be a sandbox that does not know the
    /// call: it says nothing about whether the process may be signalled by its number.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        let (descriptor, info) = (self.0.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
        // SAFETY: a plain system call on numbers; a null siginfo is allowed.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                descriptor,
                signal.number(),
                info,
                0,
            )
        };
        Errno::result(sent).map(drop)
    }

    /// Whether the process has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let mut poll = libc::pollfd {
            fd: self.0.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: `poll` is one valid entry.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
    }

    /// Waits until the process has ended.
    ///
    /// # Errors
    /// When the system cannot wait for such a descriptor; the process may still run.
    pub async fn ended(&self) -> io::Result<()> {
        let descriptor = self.0.try_clone()?;
        // SAFETY: an owned descriptor stays open and the same for as long as it is registered.
        let descriptor = unsafe { AsyncFd::register(descriptor) }?;
        descriptor.readable().await?.retain_ready();
        Ok(())
    }
}

/// Sends a child of ours a signal: by its descriptor, else by its number, which cannot be anybody
/// else's as long as the child has not been waited for. One that comes too late is of no
/// consequence.
///
/// # Errors
/// `EPERM` when the child runs as another user, whom this process may not signal.
pub fn signal_child(pid: Pid, pidfd: Option<&Pidfd>, signal: Signal) -> Result<(), Errno> {
    if let Some(Ok(()) | Err(Errno::ESRCH)) = pidfd.map(|pidfd| pidfd.signal(signal)) {
        return Ok(());
    }
    if !reap::is_child(pid) {
        return Ok(());
    }
    signal_number(pid, signal)
}

/// Sends whoever has that number a signal.
///
/// # Errors
/// As [`signal_child`].
pub fn signal_number(pid: Pid, signal: Signal) -> Result<(), Errno> {
    // SAFETY: a plain system call on numbers.
    match Errno::result(unsafe { libc::kill(pid, signal.number()) }) {
        Ok(_) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno),
    }
}
