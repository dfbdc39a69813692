//! A process apart: forked off this one, and cut off from everything that ties it to the terminal,
//! the caller and the child.

use std::ffi::CStr;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};

use super::mask;
use super::pidfd::{Pidfd, signal_child};
use super::reap::{self, Pid};
use super::signal::Signal;

/// The name in the process table, so that `killall vaultexec` does not take it along.
const NAME: &CStr = c"lease-guard";

/// The other process.
#[derive(Debug)]
pub struct Apart {
    pid: Pid,
    /// Opened while the pid could not be anybody else's.
    pidfd: Option<Pidfd>,
}

impl Apart {
    /// Ends it, without waiting for that.
    pub fn kill(&self) {
        // Where the system does not let it be killed there is nothing else to be done.
        let _sent = signal_child(self.pid, self.pidfd.as_ref(), Signal::KILL);
    }

    /// Ends it at once, and waits until it has. Where the system does not let it be killed, it is not waited for.
    pub fn end(self) {
        if signal_child(self.pid, self.pidfd.as_ref(), Signal::KILL).is_ok() {
            reap::until_ended(self.pid);
        }
    }

    /// Waits until it has ended by itself or was killed; for ever where the kernel does not say so.
    pub async fn ended(&self) {
        let ended = match &self.pidfd {
            Some(pidfd) => pidfd.ended().await.is_ok(),
            None => false,
        };
        if !ended {
            std::future::pending::<()>().await;
        }
    }
}

/// Whether this process has one thread, so that another may be forked off. Unknown counts as yes:
/// at the start it is true, and where there is no `/proc` nothing better can be had.
///
/// Later it is not while a name is looked up or a file read: the event loop has threads for that,
/// which end when they have had nothing to do for a while.
#[must_use]
pub fn is_alone() -> bool {
    let threads = std::fs::read_dir("/proc/self/task");
    threads.map_or(true, |threads| threads.take(2).count() == 1)
}

/// Starts a process that runs `work` with its end of the socket, and ends.
///
/// Must be called while there is only one thread ([`is_alone`]): a lock that another one holds would
/// never be given back in the new process. It may be called at any time then, also from within the
/// event loop. What the new process gets of that is only memory: every descriptor is closed, and
/// what is registered with the event loop stays registered, since that belongs to the descriptor
/// which the two have in common and one of them keeps. But it has a copy of every secret that is in
/// memory at the time, so the earlier the better.
///
/// # Errors
/// When the system has no process to give.
pub fn start(socket: UnixStream, work: impl FnOnce(UnixStream) + Send) -> io::Result<Apart> {
    // Whoever forks from within an event loop is in it still: only another thread can have its own.
    let in_event_loop = tokio::runtime::Handle::try_current().is_ok();
    // A signal that comes before they are ignored must not run a handler that writes to the parent.
    let blocked = mask::AllBlocked::new();
    // SAFETY: there is one thread, so the new process finds everything in order.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            drop(blocked);
            Ok(Apart {
                pid: child.as_raw(),
                pidfd: Pidfd::open(child.as_raw()),
            })
        }
        ForkResult::Child => {
            if cut_off(&socket).is_ok() {
                if in_event_loop {
                    std::thread::scope(|scope| {
                        let worker = std::thread::Builder::new();
                        let started = worker.spawn_scoped(scope, || work(socket));
                        let _ended = started.map(std::thread::ScopedJoinHandle::join);
                    });
                } else {
                    work(socket);
                }
            }
            // SAFETY: ends the process without the parent's exit handlers.
            unsafe { libc::_exit(0) }
        }
    }
}

fn cut_off(socket: &UnixStream) -> io::Result<()> {
    // A session of its own: no terminal, and no key or hang-up of it, reaches this process.
    setsid()?;
    mask::ignore_all();
    mask::unblock_all()?;
    // SAFETY: a name of less than 16 bytes.
    unsafe { libc::prctl(libc::PR_SET_NAME, NAME.as_ptr()) };
    // Whoever waits for the end of a pipe must not wait for us.
    let nothing = nothing()?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    dup2_stderr(&nothing)?;
    drop(nothing);
    close_all_but(socket.as_raw_fd());
    Ok(())
}

/// What gives nothing to read, and keeps nothing that is written. Where there is no `/dev`, a socket
/// that nobody is at the other end of does the same.
fn nothing() -> io::Result<OwnedFd> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    null.map(OwnedFd::from)
        .or_else(|_missing| UnixStream::pair().map(|(end, _closed)| OwnedFd::from(end)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::time::Duration;

    fn event_loop() -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().expect("an event loop")
    }

    #[test]
    fn also_from_within_an_event_loop_it_has_one_of_its_own() {
        let (mut ours, theirs) = UnixStream::pair().expect("a pair");
        event_loop().block_on(async {
            let work = |mut socket: UnixStream| {
                event_loop().block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
                let _sent = socket.write_all(b"done");
            };
            let apart = start(theirs, work).expect("a process");
            let mut text = String::new();
            ours.read_to_string(&mut text).expect("a text");
            assert_eq!(text, "done");
            // The event loop of this process goes on.
            tokio::time::sleep(Duration::from_millis(1)).await;
            apart.end();
        });
    }

    #[test]
    fn with_a_second_thread_it_is_not_alone() {
        // Each test has a thread of its own.
        assert!(!is_alone());
    }
}
