//! A descriptor that names a process, where its number may come to mean another one.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use tokio::io::unix::AsyncFd;

use super::reap::Pid;
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

    /// Sends a signal. One that comes too late, or may not be sent, is of no consequence.
    pub fn signal(&self, signal: Signal) {
        let (descriptor, info) = (self.0.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
        // SAFETY: a plain system call on numbers; a null siginfo is allowed.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                descriptor,
                signal.number(),
                info,
                0,
            )
        };
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
    pub async fn ended(&self) {
        let Ok(descriptor) = self.0.try_clone() else {
            return;
        };
        // SAFETY: an owned descriptor stays open and the same for as long as it is registered.
        if let Ok(descriptor) = unsafe { AsyncFd::register(descriptor) } {
            let _readable = descriptor.readable().await;
        }
    }
}

/// Sends a child of ours a signal: by its descriptor, else by its number, which cannot be anybody
/// else's as long as the child has not been waited for.
pub fn signal_child(pid: Pid, pidfd: Option<&Pidfd>, signal: Signal) {
    match pidfd {
        Some(pidfd) => pidfd.signal(signal),
        None => {
            // SAFETY: a plain system call on numbers.
            unsafe { libc::kill(pid, signal.number()) };
        }
    }
}
