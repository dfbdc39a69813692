//! A question at the terminal whose answer is not shown.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;

use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use zeroize::Zeroizing;

use super::mask::without_ttou;
use super::terminal;

/// As much as a terminal gives of one line.
const LONGEST: usize = 4096;
/// A key that is none (`_POSIX_VDISABLE`).
const NO_KEY: libc::cc_t = 0;

/// The terminal while it shows nothing of what is typed. It is as it was before once this is dropped.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn new(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let quiet = Self { terminal, before };
        let mut silent = quiet.before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        silent
            .local_flags
            .insert(LocalFlags::ICANON | LocalFlags::ISIG | LocalFlags::ECHONL);
        // Whoever is stopped here would leave the terminal without an echo.
        if let Some(key) = silent
            .control_chars
            .get_mut(SpecialCharacterIndices::VSUSP as usize)
        {
            *key = NO_KEY;
        }
        // What was typed before the question is no answer to it.
        tcsetattr(&quiet.terminal, SetArg::TCSAFLUSH, &silent)?;
        Ok(quiet)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Also where the terminal is somebody else's by now.
        let _restored = without_ttou(|| tcsetattr(&self.terminal, SetArg::TCSADRAIN, &self.before));
    }
}

/// Asks, and waits for a line. It can be dropped at any time, which leaves the terminal as it was.
///
/// # Errors
/// There is no terminal, it is another job's, or the answer is none.
pub async fn ask(question: &str) -> io::Result<Zeroizing<String>> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true);
    // The description is our own: nobody else's reads are affected.
    let options = options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let terminal = options
        .open("/dev/tty")
        .map_err(|_| io::Error::other("there is no terminal to ask for it at"))?;
    if !terminal::is_ours() {
        return Err(io::Error::other(
            "it cannot be asked for at the terminal by a job in the background",
        ));
    }
    let quiet = Quiet::new(terminal)?;
    (&quiet.terminal).write_all(question.as_bytes())?;
    let descriptor = quiet.terminal.as_fd();
    // SAFETY: the descriptor is that of `quiet`, which outlives this and is neither closed nor replaced.
    let readable = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?;
    // All at once, so that no part of it stays behind where a growing buffer was.
    let mut line = Zeroizing::new(vec![0; LONGEST]);
    let mut length = 0;
    while !line.get(..length).unwrap_or_default().ends_with(b"\n") {
        let mut guard = readable.readable().await?;
        let Some(room) = line.get_mut(length..).filter(|room| !room.is_empty()) else {
            return Err(io::Error::other("the answer is too long"));
        };
        match guard.try_io(|_| (&quiet.terminal).read(room)) {
            Ok(Ok(0)) => break,
            Ok(Ok(count)) => length += count,
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => return Err(error),
            Err(_would_block) => {}
        }
    }
    let answer = line.get(..length).unwrap_or_default();
    let answer = std::str::from_utf8(answer)
        .map_err(|_| io::Error::other("what was entered is not text in UTF-8"))?;
    let answer = answer.trim_end_matches(['\n', '\r']);
    if answer.is_empty() {
        return Err(io::Error::other("nothing was entered"));
    }
    Ok(Zeroizing::new(answer.to_owned()))
}
