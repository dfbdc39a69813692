//! A terminal for tests: somebody who types, and a screen that is read.

use super::run::Run;
use super::running::Running;
use super::transcript::Transcript;
use nix::pty::{OpenptyResult, Winsize, openpty};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Ctrl-C.
pub const CTRL_C: &str = "\x03";
/// Ctrl-\.
pub const CTRL_BACKSLASH: &str = "\x1c";
/// Ctrl-Z.
pub const CTRL_Z: &str = "\x1a";
/// Ctrl-D at the start of a line.
pub const CTRL_D: &str = "\x04";

const PATIENCE: Duration = Duration::from_secs(90);

/// A pseudo-terminal of 24 by 80.
pub struct Pty {
    master: File,
    // Kept open, so that the terminal outlives one program and serves the next.
    slave: OwnedFd,
    screen: Arc<Transcript>,
}

impl Pty {
    /// A new terminal, in the state the system gives it: canonical, with echo.
    pub fn new() -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } = openpty(Some(&size), None).unwrap();
        for end in [&master, &slave] {
            // openpty does not set it; without it, programs of other tests would hold this terminal open.
            // SAFETY: a flag on a descriptor of ours.
            unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
        }
        let master = File::from(master);
        let screen = Transcript::of(master.try_clone().unwrap());
        Self {
            master,
            slave,
            screen,
        }
    }

    /// Starts `run` with this terminal as its controlling terminal, as session leader and in the foreground. What is on the screen
    /// is its standard output.
    #[track_caller]
    pub fn spawn(&self, run: Run) -> Running {
        run.spawn_on(self.slave.try_clone().unwrap(), Arc::clone(&self.screen))
    }

    /// Starts an interactive bash (job control, no start-up files, prompt `$ `) in the environment of `run`; then
    /// `type_line(&run.shell_line())` starts what `run` is, as a user would.
    #[track_caller]
    pub fn bash(&self, run: Run) -> Running {
        let shell = run
            .replaced_by("bash")
            .args(["--norc", "--noprofile", "--noediting", "-i"])
            .env("PS1", "$ ")
            .env("TERM", "dumb");
        let running = self.spawn(shell);
        self.wait_for("$ ");
        running
    }

    /// The programs' end, to be one of their descriptors and no more.
    pub fn end(&self) -> OwnedFd {
        self.slave.try_clone().unwrap()
    }

    /// Types these characters.
    pub fn type_keys(&self, keys: &str) {
        (&self.master).write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line.
    pub fn type_line(&self, line: &str) {
        self.type_keys(&format!("{line}\n"));
    }

    /// Waits until the screen shows `pattern` after the last text found, and gives all up to it.
    #[track_caller]
    pub fn wait_for(&self, pattern: &str) -> String {
        match self.screen.wait_for(pattern, PATIENCE) {
            Some(text) => text,
            None => panic!(
                "no {pattern:?} on the screen after {PATIENCE:?}; it shows:\n{}",
                self.text()
            ),
        }
    }

    /// All that was on the screen so far.
    pub fn text(&self) -> String {
        self.screen.text()
    }

    /// Changes the size; the kernel sends WINCH to the foreground.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: a valid struct in.
        let result = unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &size) };
        assert!(
            result == 0,
            "cannot resize: {}",
            std::io::Error::last_os_error()
        );
    }

    /// All settings of the terminal, as `stty -g` has them: equal strings are equal settings.
    pub fn settings(&self) -> String {
        // SAFETY: a plain struct out.
        let (result, termios) = unsafe {
            let mut termios = std::mem::zeroed::<libc::termios>();
            (
                libc::tcgetattr(self.slave.as_raw_fd(), &mut termios),
                termios,
            )
        };
        assert!(
            result == 0,
            "no settings: {}",
            std::io::Error::last_os_error()
        );
        let keys: Vec<String> = termios.c_cc.iter().map(|key| format!("{key:x}")).collect();
        let modes = [
            termios.c_iflag,
            termios.c_oflag,
            termios.c_cflag,
            termios.c_lflag,
        ]
        .map(|mode| format!("{mode:x}"));
        format!("{}:{}", modes.join(":"), keys.join(":"))
    }

    /// Whether a line is edited and echoed by the kernel, i.e. the terminal is not in raw mode.
    pub fn is_cooked(&self) -> bool {
        let mode = self
            .settings()
            .split(':')
            .nth(3)
            .and_then(|mode| u32::from_str_radix(mode, 16).ok())
            .unwrap_or(0);
        mode & libc::ICANON != 0 && mode & libc::ECHO != 0
    }

    /// The process group in the foreground.
    pub fn foreground_group(&self) -> i32 {
        let mut group = 0;
        // SAFETY: room for one pid. The master may ask without having the terminal as its own, unlike tcgetpgrp on the slave.
        let result = unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCGPGRP, &mut group) };
        assert!(
            result == 0,
            "no foreground group: {}",
            std::io::Error::last_os_error()
        );
        group
    }
}
