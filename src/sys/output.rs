//! Standard error, without ever waiting for whoever reads it.
//!
//! A pipe or a terminal that is full, because its reader hangs, would stop this process in the middle
//! of a write: no signal would be forwarded, no lease renewed and nothing revoked. So a line that
//! finds no room for a moment is dropped.

use std::io::IsTerminal as _;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};

/// How long a reader may be busy. While it waits, signals wait too.
const MOMENT: Duration = Duration::from_millis(40);

/// As much as a pipe with any room takes in one piece.
const PIECE: usize = 4096;

/// How long to wait where a terminal says that it has room, and then takes nothing.
const SHORT_OF_ROOM: Duration = Duration::from_millis(2);

/// Whether the last line found no room: then the next one does not wait for it again.
static STUCK: AtomicBool = AtomicBool::new(false);

/// Whether a program reads standard error as it is written: neither a file nor a terminal keeps it.
pub fn is_read_by_a_program() -> bool {
    let kind = fstat(std::io::stderr())
        .map(|found| SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT);
    matches!(kind, Ok(SFlag::S_IFIFO | SFlag::S_IFSOCK))
}

/// Writes to standard error if it takes something within a moment. One that is closed or full is no
/// reason to stop.
pub fn write_to_stderr(text: &[u8]) {
    let patience = if STUCK.load(Ordering::Relaxed) {
        Duration::ZERO
    } else {
        MOMENT
    };
    let written = write_to_stderr_within(text, patience);
    STUCK.store(written == Err(Errno::EAGAIN), Ordering::Relaxed);
}

/// Writes to standard error if it takes all of it within that time.
///
/// # Errors
/// `EAGAIN` when it has not; some of it may be written.
pub fn write_to_stderr_within(text: &[u8], patience: Duration) -> Result<(), Errno> {
    let deadline = Instant::now() + patience;
    let descriptor = descriptor();
    let mut rest = text;
    while !rest.is_empty() {
        if !has_room(descriptor, deadline) {
            return Err(Errno::EAGAIN);
        }
        let length = rest.len().min(PIECE);
        // SAFETY: `rest` is valid for reading `length` bytes.
        let written = unsafe { libc::write(descriptor, rest.as_ptr().cast(), length) };
        match usize::try_from(written) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(_) if Errno::last() == Errno::EINTR => {}
            Err(_) if Errno::last() == Errno::EAGAIN && Instant::now() < deadline => {
                std::thread::sleep(SHORT_OF_ROOM);
            }
            Err(_) => return Err(Errno::last()),
        }
    }
    Ok(())
}

/// Where to write: standard error, opened anew so that a write never waits. The room that a poll has
/// seen may be taken by the child by then, and a terminal may have room for less than a line. To set
/// that on the descriptor itself would be to set it for everybody who shares it.
fn descriptor() -> RawFd {
    static OWN: OnceLock<Option<OwnedFd>> = OnceLock::new();
    let own = OWN.get_or_init(|| {
        let stderr = std::io::stderr();
        // A file would be written to from its start.
        let is_pipe = fstat(&stderr).is_ok_and(|found| {
            SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFIFO
        });
        if !is_pipe && !stderr.is_terminal() {
            return None;
        }
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        // It may belong to another user.
        open("/proc/self/fd/2", flags, Mode::empty()).ok()
    });
    own.as_ref().map_or(libc::STDERR_FILENO, OwnedFd::as_raw_fd)
}

/// Waits until a write would not, at most until the deadline.
fn has_room(descriptor: RawFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut entry = libc::pollfd {
            fd: descriptor,
            events: libc::POLLOUT,
            revents: 0,
        };
        let timeout = libc::c_int::try_from(left.as_millis()).unwrap_or_default();
        // SAFETY: `entry` is one valid entry, as the count says.
        let ready = unsafe { libc::poll(&raw mut entry, 1, timeout) };
        // An error is for the write to find.
        let interrupted = ready == -1 && Errno::last() == Errno::EINTR;
        if !interrupted {
            return ready != 0;
        }
    }
}
