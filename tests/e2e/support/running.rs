//! A process that runs, and what it was when it has finished.

use super::transcript::Transcript;
use super::{canary, poll_until, procfs, signals};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long descendants may outlive the process: the cleaning up after a SIGKILL takes its time.
const LEFTOVERS_PATIENCE: Duration = Duration::from_secs(60);

/// Written to a terminal after the last run on it, to know that all before it has been read.
const END_MARK: &[u8] = b"\x01that was all\x02";

/// Made by `Run::spawn`. A drop kills what still runs.
pub struct Running {
    pub(super) description: String,
    pub(super) child: Child,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: Arc<Transcript>,
    pub(super) stderr: Arc<Transcript>,
    pub(super) started: Instant,
    pub(super) deadline: Instant,
    /// The terminal that it was started on.
    pub(super) on_terminal: Option<OwnedFd>,
    pub(super) own_session: bool,
    pub(super) canaries: Vec<Arc<Mutex<Vec<String>>>>,
    pub(super) may_leave_processes: bool,
    pub(super) ended: bool,
}

impl Running {
    /// The process started, i.e. vaultexec, or `unshare` where that is in front.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Since when it runs.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        assert!(
            signals::kill(self.pid(), signal),
            "{} is gone",
            self.description
        );
    }

    /// Writes a line to its standard input (`Run::stdin_piped`).
    pub fn say(&mut self, line: &str) {
        let pipe = self.stdin.as_mut().expect("needs Run::stdin_piped");
        pipe.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits for a line of its output that has `pattern`, after the last line so found.
    #[track_caller]
    pub fn wait_for_line(&self, pattern: &str) -> String {
        match self.stdout.wait_for_line(pattern, self.rest()) {
            Some(line) => line,
            None => self.give_up(&format!("no line with {pattern:?}")),
        }
    }

    /// The next line of its output, whatever it is.
    #[track_caller]
    pub fn next_line(&self) -> String {
        self.wait_for_line("")
    }

    /// Waits for a line of its standard error.
    #[track_caller]
    pub fn wait_for_stderr(&self, pattern: &str) -> String {
        match self.stderr.wait_for_line(pattern, self.rest()) {
            Some(line) => line,
            None => self.give_up(&format!("no line with {pattern:?} on stderr")),
        }
    }

    /// Its output so far.
    pub fn stdout_so_far(&self) -> String {
        self.stdout.text()
    }

    /// Its standard error so far.
    pub fn stderr_so_far(&self) -> String {
        self.stderr.text()
    }

    /// Its state in /proc: `S`, `T`…
    pub fn state(&self) -> Option<char> {
        procfs::state(self.pid())
    }

    /// A field of its /proc status, e.g. `SigBlk`.
    pub fn status_field(&self, name: &str) -> String {
        procfs::status_field(self.pid(), name).unwrap_or_default()
    }

    /// Its children.
    pub fn children(&self) -> Vec<i32> {
        procfs::children(self.pid())
    }

    /// Waits until it has a child that is `name` by the base name of its argv[0], and gives that pid.
    #[track_caller]
    pub fn wait_for_child(&self, name: &str) -> i32 {
        let found = poll_until(self.rest(), || {
            self.children().into_iter().find(|child| {
                let arguments = procfs::arguments(*child);
                let first = arguments
                    .first()
                    .map(|first| String::from_utf8_lossy(first).into_owned())
                    .unwrap_or_default();
                first.rsplit('/').next() == Some(name)
            })
        });
        found.unwrap_or_else(|| self.give_up(&format!("no child {name:?}")))
    }

    /// Waits until it is stopped (state `T`), seen as a parent sees it, and says by which signal.
    #[track_caller]
    pub fn wait_stopped(&self) -> i32 {
        let stopped = poll_until(self.rest(), || {
            // SAFETY: a plain struct out. Without WEXITED the exit status stays for `wait`.
            unsafe {
                let mut info = std::mem::zeroed::<libc::siginfo_t>();
                let result = libc::waitid(
                    libc::P_PID,
                    self.child.id(),
                    &mut info,
                    libc::WSTOPPED | libc::WNOHANG,
                );
                (result == 0 && info.si_pid() != 0).then(|| info.si_status())
            }
        });
        stopped.unwrap_or_else(|| self.give_up("it did not stop"))
    }

    /// Waits until any process (e.g. the child) is in that /proc state.
    #[track_caller]
    pub fn wait_state(&self, pid: i32, state: char) {
        if poll_until(self.rest(), || {
            (procfs::state(pid) == Some(state)).then_some(())
        })
        .is_none()
        {
            self.give_up(&format!(
                "{pid} is in state {:?}, not {state}",
                procfs::state(pid)
            ))
        }
    }

    /// Waits for its end, whatever happens to its output and descendants; for checking how long it took.
    #[track_caller]
    pub fn wait_exit(&self) -> Duration {
        match has_ended_by(self.pid(), self.deadline) {
            Ok(true) => self.started.elapsed(),
            Ok(false) => self.give_up("it did not end in time"),
            Err(error) => self.give_up(&format!("cannot wait for it: {error}")),
        }
    }

    /// Waits for its end and the end of its output; checks that no secret is in it and no process left.
    #[track_caller]
    pub fn wait(mut self) -> Finished {
        self.stdin = None;
        let wall = self.wait_exit();
        let status = self.child.wait().unwrap();
        self.ended = true;
        if let Some(terminal) = &self.on_terminal {
            // The terminal stays open; what was written is there as soon as the reader has got to what comes after it. Where it
            // has been hung up with its session, nothing can be written, and the reader comes to an end.
            let patience = Instant::now() + LEFTOVERS_PATIENCE;
            let read = match nix::unistd::write(terminal, END_MARK) {
                Ok(_) => self.stdout.wait_and_strike(END_MARK, patience),
                Err(_) => self.stdout.wait_closed(patience),
            };
            if !read {
                self.give_up("its screen was not read to the end");
            }
        } else if !self.may_leave_processes {
            let patience = Instant::now() + LEFTOVERS_PATIENCE;
            for (transcript, name) in [(&self.stdout, "stdout"), (&self.stderr, "stderr")] {
                if !transcript.wait_closed(patience) {
                    self.give_up(&format!(
                        "it ended ({status}), but somebody holds its {name}"
                    ));
                }
            }
        } else {
            self.stdout
                .wait_closed(Instant::now() + Duration::from_millis(200));
        }
        if self.own_session && !self.may_leave_processes {
            let gone = poll_until(LEFTOVERS_PATIENCE, || {
                procfs::session_members(self.pid()).is_empty().then_some(())
            });
            if gone.is_none() {
                let left: Vec<String> = procfs::session_members(self.pid())
                    .into_iter()
                    .map(|pid| {
                        format!(
                            "{pid} {:?}",
                            procfs::arguments(pid)
                                .iter()
                                .map(|arg| String::from_utf8_lossy(arg).into_owned())
                                .collect::<Vec<_>>()
                        )
                    })
                    .collect();
                self.give_up(&format!(
                    "it ended ({status}) and left processes: {}",
                    left.join(", ")
                ));
            }
        }
        let finished = Finished {
            description: self.description.clone(),
            status,
            stdout: self.stdout.bytes(),
            stderr: self.stderr.bytes(),
            wall,
        };
        for secrets in &self.canaries {
            let secrets = secrets
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone();
            canary::assert_absent(&secrets, &finished.stdout, "stdout");
            canary::assert_absent(&secrets, &finished.stderr, "stderr");
        }
        finished
    }

    fn rest(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    #[track_caller]
    fn give_up(&self, what: &str) -> ! {
        let state = self.state();
        self.kill_all();
        panic!(
            "{what}: {}\nafter {:?}, state {state:?}\n--- stdout\n{}\n--- stderr\n{}\n---",
            self.description,
            self.started.elapsed(),
            self.stdout.text(),
            self.stderr.text()
        );
    }

    /// Kills it and all that came of it.
    fn kill_all(&self) {
        let mut all = vec![];
        if !self.ended {
            all.push(self.pid());
            let mut next = 0;
            while next < all.len() {
                all.extend(procfs::all_children(all[next]));
                next += 1;
            }
        }
        if self.own_session {
            all.extend(procfs::session_members(self.pid()));
        }
        for pid in all {
            signals::kill(pid, libc::SIGKILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.kill_all();
            let _ = self.child.wait();
        }
    }
}

/// Waits for a child's end without reaping it.
fn has_ended_by(pid: i32, deadline: Instant) -> io::Result<bool> {
    // SAFETY: a number in, a new descriptor out.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, owned by nobody else.
    let process = unsafe { OwnedFd::from_raw_fd(descriptor as i32) };
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        let mut entry = libc::pollfd {
            fd: process.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one entry, as said.
        let ready =
            unsafe { libc::poll(&mut entry, 1, rest.as_millis().min(i32::MAX as u128) as i32) };
        if ready > 0 {
            return Ok(true);
        }
        if ready == 0 && rest.is_zero() {
            return Ok(false);
        }
    }
}

/// The end of a run.
pub struct Finished {
    description: String,
    /// As the parent got it.
    pub status: ExitStatus,
    /// All of standard output; on a terminal, all that was on the screen.
    pub stdout: Vec<u8>,
    /// All of standard error.
    pub stderr: Vec<u8>,
    /// From the start to the end.
    pub wall: Duration,
}

impl Finished {
    /// The exit code, unless a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text, without the lines that tell of a wait: how long something takes is for
    /// the machine to say.
    pub fn err(&self) -> String {
        without_waits(&self.whole_err())
    }

    /// Standard error as text.
    pub fn whole_err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// It exited with that code.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert!(
            self.code() == Some(code),
            "wanted exit code {code}, got {self}"
        );
        self
    }

    /// That signal ended it.
    #[track_caller]
    pub fn assert_killed_by(&self, signal: i32) -> &Self {
        assert!(
            self.signal() == Some(signal),
            "wanted death by {}, got {self}",
            signals::name(signal)
        );
        self
    }

    /// It wrote nothing at all.
    #[track_caller]
    pub fn assert_silent(&self) -> &Self {
        assert!(
            without_waits(&self.out()).is_empty() && self.err().is_empty(),
            "wanted silence, got {self}"
        );
        self
    }

    /// It told of nothing that is left.
    #[track_caller]
    pub fn assert_quiet_of_what_is_left(&self) -> &Self {
        for told in ["could not be revoked", "is not revoked yet"] {
            assert!(!self.err().contains(told), "{self}");
        }
        self
    }

    /// It wrote nothing to standard error.
    #[track_caller]
    pub fn assert_quiet_stderr(&self) -> &Self {
        assert!(self.err().is_empty(), "wanted an empty stderr, got {self}");
        self
    }

    /// It wrote one line for each restart to standard error, and nothing else.
    #[track_caller]
    pub fn assert_only_restarts(&self, restarts: usize) -> &Self {
        let err = self.err();
        let told = |line: &str| {
            line.starts_with("vaultexec: restarting the command with new credentials: ")
        };
        assert!(
            err.lines().count() == restarts && err.lines().all(told),
            "wanted {restarts} restarts on stderr, got {self}"
        );
        self
    }

    /// Standard error has that text.
    #[track_caller]
    pub fn stderr_contains(&self, text: &str) -> &Self {
        assert!(
            self.err().contains(text),
            "wanted {text:?} on stderr, got {self}"
        );
        self
    }

    /// Standard output is that text.
    #[track_caller]
    pub fn stdout_is(&self, text: &str) -> &Self {
        assert!(self.out() == text, "wanted {text:?} on stdout, got {self}");
        self
    }

    /// None of these secrets is in the output, in any form.
    #[track_caller]
    pub fn assert_no_secret(&self, secrets: &[String]) -> &Self {
        canary::assert_absent(secrets, &self.stdout, "stdout");
        canary::assert_absent(secrets, &self.stderr, "stderr");
        self
    }
}

/// On a terminal they are on the screen.
pub fn without_waits(text: &str) -> String {
    let waits = |line: &&str| {
        line.starts_with("vaultexec: waiting for ") || line.contains("\"event\":\"waiting\"")
    };
    text.split_inclusive('\n')
        .filter(|line| !waits(line))
        .collect()
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (out, err) = (self.out(), self.whole_err());
        write!(
            f,
            "{} after {:?}: {}\n--- stdout\n{out}\n--- stderr\n{err}\n---",
            self.status, self.wall, self.description
        )
    }
}
