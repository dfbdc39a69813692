//! The decisions, as a state machine that can be drawn (see ARCHITECTURE.md). Pure: no clock, no
//! process, no signal is touched.

use std::time::Duration;

use crate::exit::{self, Exit};
use crate::sys::reap::Change;
use crate::sys::signal::{Signal, SignalSet};
use crate::sys::signals::{Origin, Received};

use super::event::{Action, Event, Saying};
use super::on_expiry::OnExpiry;
use super::policy::{Topology, reaches_child};

/// What the user has settled beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What happens when credentials cannot be extended.
    pub on_expiry: OnExpiry,
    /// The signals that were ignored when vaultexec was started, as `nohup` has it with HUP. The
    /// child was started so too: they tell nobody to end.
    pub ignored: SignalSet,
    /// How long a child may outlive a TERM, INT, HUP or QUIT that was passed on to it.
    pub kill_after: Option<Duration>,
}

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The child runs.
    Running,
    /// The child runs, and new credentials are being asked for.
    Acquiring,
    /// The child was told to end; this comes after it.
    Stopping(After),
    /// There is no child any more.
    Over,
}

/// What follows the end of a child that was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// A new one, with the new credentials.
    Restart,
    /// Nothing.
    End,
    /// Nothing, and vaultexec fails: it was told to end because its credentials do, so that whoever
    /// supervises vaultexec starts it anew.
    Failure,
}

/// The state of one run, from the child's start to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    rules: Rules,
    phase: Phase,
    /// Whether the child is stopped.
    stopped: bool,
    /// Whether a child that stopped while it was to end has been continued.
    roused: bool,
    /// Whether somebody has asked the child to end: then it is not started again.
    told_to_end: bool,
    /// Whether a process has sent a HUP, which ends one program and makes another read its settings
    /// again: what it meant is known when the child dies of it.
    hung_up: bool,
    /// Whether the child may not be signalled, and so may outlive its credentials.
    out_of_reach: bool,
}

impl Machine {
    /// A child has just been started.
    #[must_use]
    pub const fn new(rules: Rules) -> Self {
        Self {
            rules,
            phase: Phase::Running,
            stopped: false,
            roused: false,
            told_to_end: false,
            hung_up: false,
            out_of_reach: false,
        }
    }

    /// Decides what to do about an event.
    #[must_use]
    pub fn handle(&mut self, event: Event) -> Vec<Action> {
        if self.phase == Phase::Over {
            return Vec::new();
        }
        match event {
            Event::Signal(received, topology) => self.signal(received, topology),
            Event::Child(change) => self.child(change),
            Event::Resumed { child_too } => {
                // Whoever continued us meant the child too. If the whole group was continued, it
                // has heard of it already.
                let asleep = self.stopped && !child_too;
                let wake = asleep.then_some(Action::Signal(Signal::CONT));
                wake.into_iter().chain([Action::LookAtLease]).collect()
            }
            Event::Expiring => self.expiring(),
            Event::LastCall => self.last_call(),
            // A child that is about to be killed has no use for that.
            Event::Expired if self.out_of_reach || !matches!(self.phase, Phase::Stopping(_)) => {
                vec![Action::Say(Saying::HaveExpired)]
            }
            Event::Acquired if self.phase == Phase::Acquiring => {
                if self.told_to_end {
                    // It is on its way out: what was acquired is given back with all the rest.
                    self.phase = Phase::Running;
                    return Vec::new();
                }
                if self.rules.on_expiry == OnExpiry::Refresh {
                    self.phase = Phase::Running;
                    return vec![Action::HandOver];
                }
                self.phase = Phase::Stopping(After::Restart);
                vec![Action::Say(Saying::Restarting), Action::StopChild]
            }
            Event::NotAcquired { again } if self.phase == Phase::Acquiring => {
                self.phase = Phase::Running;
                vec![if again {
                    Action::RetryLater
                } else {
                    Action::Say(Saying::CannotReplace)
                }]
            }
            Event::StopTimedOut => vec![Action::Kill],
            Event::Refused(refusal) => {
                self.out_of_reach = true;
                vec![Action::Say(Saying::Refused(refusal))]
            }
            Event::Expired | Event::Acquired | Event::NotAcquired { .. } => Vec::new(),
        }
    }

    fn signal(&mut self, received: Received, topology: Topology) -> Vec<Action> {
        // The child itself cannot ask for its own end this way, nor can a SIGPIPE of ours.
        let own = [Origin::Ourselves, Origin::Process(topology.child)].contains(&received.origin);
        let idle = own || self.rules.ignored.contains(received.signal);
        // Some programs take INT and QUIT for other wishes while they run (psql cancels a query,
        // a JVM prints its threads); whoever sends one into a rotation means the end.
        let meant = match (received.signal, received.origin) {
            // The terminal has gone.
            (Signal::TERM, _) | (Signal::HUP, Origin::Kernel) => true,
            (Signal::INT | Signal::QUIT, _) => self.phase != Phase::Running,
            _ => false,
        };
        self.hung_up |= received.signal == Signal::HUP && !idle;
        if meant && !idle {
            self.told_to_end = true;
            if matches!(self.phase, Phase::Stopping(_)) {
                self.phase = Phase::Stopping(After::End);
            }
        }
        let reaches = reaches_child(received, topology);
        let forward = reaches.then_some(Action::Signal(received.signal));
        let counts = reaches && !idle && received.signal.asks_to_end();
        let kill = self.rules.kill_after.filter(|_| counts);
        // Whoever continues us may have stopped us before.
        let look = (received.signal == Signal::CONT).then_some(Action::LookAtLease);
        let kill = kill.map(Action::KillIn);
        forward.into_iter().chain(kill).chain(look).collect()
    }

    fn child(&mut self, change: Change) -> Vec<Action> {
        match change {
            Change::Killed(Signal::HUP) if self.hung_up => self.finish(Exit::Signal(Signal::HUP)),
            Change::Exited(_) | Change::Killed(_)
                if self.phase == Phase::Stopping(After::Restart) =>
            {
                self.phase = Phase::Running;
                self.stopped = false;
                self.roused = false;
                self.out_of_reach = false;
                vec![Action::StartChild]
            }
            Change::Exited(_) | Change::Killed(_)
                if self.phase == Phase::Stopping(After::Failure) =>
            {
                self.finish(Exit::Code(exit::FAILURE))
            }
            Change::Exited(code) => self.finish(Exit::Code(code)),
            Change::Killed(signal) => self.finish(Exit::Signal(signal)),
            Change::Stopped(signal) => {
                self.stopped = true;
                match self.phase {
                    // It has to end, and cannot while it is stopped. One that stops again at once
                    // is left to the end of its time.
                    Phase::Stopping(_) if std::mem::replace(&mut self.roused, true) => Vec::new(),
                    Phase::Stopping(_) => vec![Action::Signal(Signal::CONT)],
                    _ => vec![Action::StopOurselves(signal)],
                }
            }
            Change::Continued => {
                self.stopped = false;
                Vec::new()
            }
        }
    }

    fn expiring(&mut self) -> Vec<Action> {
        if self.phase != Phase::Running {
            return Vec::new();
        }
        match self.rules.on_expiry {
            OnExpiry::Restart | OnExpiry::Refresh if self.told_to_end => {
                vec![Action::Say(Saying::WillExpire)]
            }
            OnExpiry::Restart | OnExpiry::Refresh => {
                self.phase = Phase::Acquiring;
                vec![Action::Acquire]
            }
            OnExpiry::Stop => self.stop(),
            OnExpiry::Signal(signal) => vec![
                Action::Say(Saying::Signalled(signal)),
                Action::Signal(signal),
            ],
            OnExpiry::Warn => vec![Action::Say(Saying::WillExpire)],
        }
    }

    fn last_call(&mut self) -> Vec<Action> {
        let ends_child = self.rules.on_expiry.replaces() || self.rules.on_expiry == OnExpiry::Stop;
        if !ends_child || matches!(self.phase, Phase::Stopping(_)) {
            return Vec::new();
        }
        self.stop()
    }

    /// The child is told to end because its credentials do.
    fn stop(&mut self) -> Vec<Action> {
        // Whoever has asked it to end before does not want it started anew.
        let after = if self.told_to_end {
            After::End
        } else {
            After::Failure
        };
        self.phase = Phase::Stopping(after);
        vec![Action::Say(Saying::Stopping), Action::StopChild]
    }

    fn finish(&mut self, exit: Exit) -> Vec<Action> {
        self.phase = Phase::Over;
        vec![Action::Finish(exit)]
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
