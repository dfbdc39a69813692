//! Whose the terminal is.
//!
//! A shell as the child makes a process group of its own and takes the terminal for it. When it is
//! suspended, the outer shell knows only of vaultexec's group, and gives the terminal to that on
//! `fg`: it has to be handed on.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;

use nix::unistd::{Pid as NixPid, getpgid, getpgrp};

use super::mask::without_ttou;
use super::reap::Pid;

/// The process group of a child that has the terminal for a group of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreground(libc::pid_t);

/// The child's group, if it is not ours and has the terminal.
#[must_use]
pub fn lent_to(child: Pid) -> Option<Foreground> {
    let group = getpgid(Some(NixPid::from_raw(child))).ok()?;
    if group == getpgrp() {
        return None;
    }
    let group = group.as_raw();
    (foreground(&terminal()?) == group).then_some(Foreground(group))
}

/// Hands the terminal on to that group, if it is ours to give.
pub fn lend(to: Foreground) {
    let Some(terminal) = terminal() else { return };
    if foreground(&terminal) == getpgrp().as_raw() {
        // SAFETY: plain numbers. A group that has gone meanwhile is refused, and nothing changes.
        let _lent = without_ttou(|| unsafe { libc::tcsetpgrp(terminal.as_raw_fd(), to.0) });
    }
}

/// Takes the terminal back from the group that a child had made and left it to: whoever comes after
/// it is in our own.
pub fn take_back_from(child: Pid) {
    let Some(terminal) = terminal() else { return };
    if foreground(&terminal) == child && child != getpgrp().as_raw() {
        // SAFETY: plain numbers, and a group that exists: our own.
        let _taken =
            without_ttou(|| unsafe { libc::tcsetpgrp(terminal.as_raw_fd(), getpgrp().as_raw()) });
    }
}

/// Whether this process may use its terminal: a stop for having tried that from the background is
/// out of date then.
#[must_use]
pub fn is_ours() -> bool {
    terminal().is_some_and(|terminal| foreground(&terminal) == getpgrp().as_raw())
}

/// Whether this process has a controlling terminal.
#[must_use]
pub fn is_there() -> bool {
    // Where there is no `/dev`, it may still be a standard descriptor.
    // SAFETY: a plain number; -1 unless it is the controlling terminal.
    terminal().is_some() || (0..3).any(|descriptor| unsafe { libc::tcgetsid(descriptor) } != -1)
}

/// The controlling terminal, whatever the standard descriptors are.
fn terminal() -> Option<File> {
    OpenOptions::new().read(true).open("/dev/tty").ok()
}

fn foreground(terminal: &File) -> libc::pid_t {
    // SAFETY: a plain number; -1 where there is no such group.
    unsafe { libc::tcgetpgrp(terminal.as_raw_fd()) }
}
