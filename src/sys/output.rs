//! Standard error, without ever waiting for whoever reads it.
//!
//! A pipe that is full, because its reader hangs, would stop this process in the middle of a write:
//! no signal would be forwarded, no lease renewed and nothing revoked. So a line that finds no room
//! for a moment is dropped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;

/// How long a reader may be busy. While it waits, signals wait too.
const MOMENT: Duration = Duration::from_millis(40);

/// As much as a pipe with any room takes in one piece.
const PIECE: usize = 4096;

/// Whether the last line found no room: then the next one does not wait for it again.
static STUCK: AtomicBool = AtomicBool::new(false);

/// Writes to standard error if it takes something within a moment. One that is closed or full is no
/// reason to stop.
pub fn write_to_stderr(text: &[u8]) {
    let patience = if STUCK.load(Ordering::Relaxed) {
        Duration::ZERO
    } else {
        MOMENT
    };
    let deadline = Instant::now() + patience;
    let mut rest = text;
    while !rest.is_empty() {
        let room = has_room(deadline);
        STUCK.store(!room, Ordering::Relaxed);
        if !room {
            return;
        }
        let length = rest.len().min(PIECE);
        // SAFETY: `rest` is valid for reading `length` bytes.
        let written = unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), length) };
        match usize::try_from(written) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(_) if Errno::last() == Errno::EINTR => {}
            Err(_) => return,
        }
    }
}

/// Waits until a write would not, at most until the deadline.
fn has_room(deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut entry = libc::pollfd {
            fd: libc::STDERR_FILENO,
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
