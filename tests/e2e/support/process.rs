//! One server process in a folder: its log, its pid file for the watchdog, its end.

use super::folder::Folder;
use super::fresh::start_fresh;
use super::poll_until;
use super::signals::kill;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// A running server, in a process group of its own so that a Ctrl-C at the test runner is left to the watchdog.
pub struct ServerProcess {
    child: Child,
    pid_file: PathBuf,
    log: PathBuf,
    /// QUIT where the server has children to end, KILL where it has none.
    end: i32,
    _folder: Arc<Folder>,
}

impl ServerProcess {
    /// Starts `command`; output goes to `<folder>/<name>.log`, a drop ends it by the signal `end`.
    pub fn start(
        folder: &Arc<Folder>,
        name: &str,
        mut command: Command,
        end: i32,
    ) -> Result<Self, String> {
        let log = folder.path().join(format!("{name}.log"));
        let pid_file = folder.path().join(format!("{name}.pid"));
        let failed = |error: std::io::Error| format!("cannot start {name}: {error}");
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(failed)?;
        let pid_output = File::create(&pid_file).map_err(failed)?;
        let pid_fd = pid_output.as_raw_fd();
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            .process_group(0);
        // SAFETY: only getpid and write, on a descriptor that stays open until spawn has returned. Written before the exec, so
        // that the watchdog knows the process even if the tests are killed at this very moment.
        unsafe {
            command.pre_exec(move || {
                let mut digits = [0u8; 12];
                let mut at = digits.len();
                let mut rest = libc::getpid();
                while rest > 0 {
                    at -= 1;
                    digits[at] = b'0' + (rest % 10) as u8;
                    rest /= 10;
                }
                libc::write(pid_fd, digits[at..].as_ptr().cast(), digits.len() - at);
                start_fresh()
            });
        }
        let child = command.spawn().map_err(failed)?;
        Ok(Self {
            child,
            pid_file,
            log,
            end,
            _folder: Arc::clone(folder),
        })
    }

    /// The server's pid, which is its group too.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        kill(self.pid(), signal);
    }

    /// All it has written.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it by `signal`, by KILL after ten seconds, and reaps it.
    pub fn end(&mut self, signal: i32) {
        self.signal(libc::SIGCONT);
        self.signal(signal);
        if poll_until(Duration::from_secs(10), || (!self.is_alive()).then_some(())).is_none() {
            kill(-self.pid(), libc::SIGKILL);
            let _ = self.child.wait();
        }
        // The pid may belong to somebody else from now on.
        let _ = fs::remove_file(&self.pid_file);
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if self.is_alive() {
            self.end(self.end);
        }
        let _ = fs::remove_file(&self.pid_file);
    }
}

/// A port on 127.0.0.1 that nobody listens on just now. Somebody else may be faster: the callers try again.
pub fn free_port() -> Result<u16, String> {
    let failed = |error: std::io::Error| format!("no free port on 127.0.0.1: {error}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    Ok(listener.local_addr().map_err(failed)?.port())
}

/// The file of that name in a folder of the PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
