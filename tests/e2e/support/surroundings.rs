//! The three surroundings in which vaultexec has to behave alike: without a terminal, on one, as PID 1.

use super::pty::Pty;
use super::run::Run;
use super::running::{Finished, Running, without_waits};
use super::{Probe, pidns, signals};

/// Makes three tests of each function that takes `Surroundings`.
macro_rules! everywhere {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use crate::support::Surroundings;

            #[test]
            fn without_a_terminal() {
                super::$name(Surroundings::Pipes);
            }

            #[test]
            fn on_a_terminal() {
                super::$name(Surroundings::Terminal);
            }

            #[test]
            fn as_pid_1() {
                super::$name(Surroundings::PidOne);
            }
        }
    )+};
}
pub(crate) use everywhere;

/// Where a run takes place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Surroundings {
    /// In a session of its own without a terminal, pipes all around.
    Pipes,
    /// On a terminal, as the leader of its session.
    Terminal,
    /// As PID 1 of a PID namespace, pipes all around.
    PidOne,
}

impl Surroundings {
    /// Starts `run` here.
    #[track_caller]
    pub fn start(self, run: Run) -> Scene {
        let run = run.stdin_piped();
        let (running, pty) = match self {
            Self::Pipes => (run.spawn(), None),
            Self::Terminal => {
                let pty = Pty::new();
                (pty.spawn(run), Some(pty))
            }
            Self::PidOne => (pidns::as_pid_1(run).spawn(), None),
        };
        Scene {
            running,
            pty,
            place: self,
        }
    }

    /// Runs `run` to its end here.
    #[track_caller]
    pub fn output(self, run: Run) -> Ending {
        self.start(run).wait()
    }
}

/// A run that goes on.
pub struct Scene {
    pub running: Running,
    pub pty: Option<Pty>,
    place: Surroundings,
}

impl Scene {
    /// The pid of the program itself.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        if self.place == Surroundings::PidOne {
            pidns::pid_1(&self.running)
        } else {
            self.running.pid()
        }
    }

    /// The program's pid as its child sees it.
    #[track_caller]
    pub fn inner_pid(&self) -> i32 {
        if self.place == Surroundings::PidOne {
            1
        } else {
            self.running.pid()
        }
    }

    /// Sends it a signal, as another process does.
    #[track_caller]
    pub fn signal(&self, signal: i32) {
        assert!(signals::kill(self.pid(), signal), "it is gone");
    }

    /// Says a line to the child.
    pub fn say(&mut self, line: &str) {
        match &self.pty {
            Some(pty) => pty.type_line(line),
            None => self.running.say(line),
        }
    }

    /// Waits for a line of output.
    #[track_caller]
    pub fn wait_for_line(&self, pattern: &str) -> String {
        self.running.wait_for_line(pattern)
    }

    /// The signals that a `signals` probe has had and not yet been asked for, in order. USR2 is the fence: it is sent last, and
    /// nothing is looked for behind it.
    #[track_caller]
    pub fn signals_so_far(&self) -> Vec<(String, i32)> {
        self.signal(libc::SIGUSR2);
        let mut seen = Vec::new();
        loop {
            let signal = Probe::next_signal(&self.running);
            if signal.0 == "USR2" {
                return seen;
            }
            seen.push(signal);
        }
    }

    /// A `signals` probe says nothing any more until it is asked.
    #[track_caller]
    pub fn assert_no_further_signal(&mut self) {
        assert_eq!(self.signals_so_far(), []);
        self.say("ping");
        loop {
            let line = self.running.next_line();
            assert!(!line.contains("pid="), "one signal more: {line}");
            if line == "pong" {
                return;
            }
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(self) -> Ending {
        Ending {
            finished: self.running.wait(),
            place: self.place,
        }
    }
}

/// How a run ended.
pub struct Ending {
    pub finished: Finished,
    place: Surroundings,
}

impl Ending {
    /// All that was written; on a terminal it is all one.
    pub fn said(&self) -> String {
        self.finished.out() + &self.finished.err()
    }

    /// It exited with that code.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        self.finished.assert_code(code);
        self
    }

    /// It died of that signal; as PID 1, where nothing can, it exited with the shell's number for that.
    #[track_caller]
    pub fn assert_died_of(&self, signal: i32) -> &Self {
        if self.place == Surroundings::PidOne {
            self.finished.assert_code(128 + signal);
        } else {
            self.finished.assert_killed_by(signal);
        }
        self
    }

    /// Standard output, and on a terminal all that was written, without the lines that tell of a wait.
    fn out(&self) -> String {
        without_waits(&self.finished.out())
    }

    /// vaultexec itself said nothing.
    #[track_caller]
    pub fn assert_quiet(&self) -> &Self {
        self.finished.assert_quiet_stderr();
        assert!(
            !self.out().contains("vaultexec: "),
            "wanted no word of vaultexec, got {}",
            self.finished
        );
        self
    }

    /// Neither vaultexec nor a child said anything.
    #[track_caller]
    pub fn assert_silent(&self) -> &Self {
        // A terminal echoes what its keys are.
        let said = self.out().replace("^C", "").replace("^\\", "");
        assert!(
            said.trim().is_empty(),
            "wanted silence, got {}",
            self.finished
        );
        self.assert_quiet()
    }
}
