//! Which signal goes where. Pure: a table of signal, origin and topology.
//!
//! The terminal's keys, and a hang-up, reach a whole process group by the kernel's hand. At a
//! terminal vaultexec and the child are in the same one, so the child has had its own already, and sending it another
//! would end a psql session that only wanted to cancel a query. What a process sends to vaultexec
//! alone, by `kill`, `docker stop` or a service manager, the child has not had. Which of the two it
//! was is written in the signal, so nothing is guessed from terminals or timing.

use crate::sys::reap::Pid;
use crate::sys::signal::Signal;
use crate::sys::signals::{Origin, Received};

/// How vaultexec and the child stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The child's pid.
    pub child: Pid,
    /// Whether the child is in vaultexec's process group: only at a terminal, and a shell with job
    /// control leaves it there too.
    pub shares_group: bool,
    /// Whether vaultexec leads the session: then the kernel tells it alone of a hang-up.
    pub leads_session: bool,
}

/// Whether the child has yet to be sent a signal that vaultexec got.
#[must_use]
pub fn reaches_child(received: Received, topology: Topology) -> bool {
    let Received { signal, origin } = received;
    match (signal, origin) {
        // About our own children; and what we did ourselves concerns nobody else.
        (Signal::CHLD, _) | (_, Origin::Ourselves) => false,
        // A child that signals its parent does not mean itself.
        (_, Origin::Process(sender)) => sender != topology.child,
        // A write to, or read from, the terminal by ourselves from the background.
        (Signal::TTIN | Signal::TTOU, Origin::Kernel) => false,
        (Signal::HUP | Signal::CONT, Origin::Kernel) => {
            topology.leads_session || !topology.shares_group
        }
        (Signal::INT | Signal::QUIT | Signal::TSTP | Signal::WINCH, Origin::Kernel) => {
            !topology.shares_group
        }
        // A timer or a limit that the caller set for the command it started.
        (_, Origin::Kernel) => true,
    }
}

/// Whether a signal ends a stop of the child that vaultexec has not joined yet. Joining it after
/// that would be a stop that nobody ends.
#[must_use]
pub fn ends_stop(received: Received, topology: Topology) -> bool {
    received.signal == Signal::CONT && reaches_child(received, topology)
}

/// When it is that there is no child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Childless {
    /// Before the first one: a signal means what it would mean to the command itself.
    Before,
    /// Between one and the next: what was not meant as the end was for the one that is gone, and the
    /// next one could not handle it yet.
    Between,
}

/// What a signal means while there is no child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutChild {
    /// Nothing.
    Pass,
    /// Stop, and go on later.
    Stop,
    /// Give back what there is, and die by it.
    End,
}

/// What a signal does to a program that does not handle it, unless it was ignored at the start.
#[must_use]
pub const fn without_child(received: Received, when: Childless, ignored: bool) -> WithoutChild {
    if ignored || matches!(received.origin, Origin::Ourselves) {
        return WithoutChild::Pass;
    }
    match (received.signal, when) {
        (Signal::CHLD | Signal::URG | Signal::WINCH | Signal::CONT, _) => WithoutChild::Pass,
        (Signal::TSTP | Signal::TTIN | Signal::TTOU, _) => WithoutChild::Stop,
        (Signal::TERM | Signal::INT | Signal::QUIT, _) | (_, Childless::Before) => {
            WithoutChild::End
        }
        (Signal::HUP, _) if matches!(received.origin, Origin::Kernel) => WithoutChild::End,
        (_, Childless::Between) => WithoutChild::Pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHILD: Pid = 77;

    fn reaches(signal: Signal, origin: Origin, shares_group: bool, leads_session: bool) -> bool {
        reaches_child(
            Received { signal, origin },
            Topology {
                child: CHILD,
                shares_group,
                leads_session,
            },
        )
    }

    #[test]
    fn a_process_means_the_child_for_every_signal_but_chld() {
        for signal in Signal::all() {
            for (group, session) in [(true, true), (true, false), (false, true), (false, false)] {
                let expected = signal != Signal::CHLD;
                assert_eq!(
                    reaches(signal, Origin::Process(1), group, session),
                    expected,
                    "{signal}"
                );
                assert_eq!(
                    reaches(signal, Origin::Process(0), group, session),
                    expected,
                    "{signal}"
                );
                assert!(
                    !reaches(signal, Origin::Process(CHILD), group, session),
                    "{signal} from the child"
                );
                assert!(
                    !reaches(signal, Origin::Ourselves, group, session),
                    "{signal} from ourselves"
                );
            }
        }
    }

    #[test]
    fn the_terminals_keys_are_not_sent_twice() {
        for signal in [
            Signal::INT,
            Signal::QUIT,
            Signal::TSTP,
            Signal::WINCH,
            Signal::TTIN,
            Signal::TTOU,
        ] {
            assert!(!reaches(signal, Origin::Kernel, true, false), "{signal}");
            assert!(!reaches(signal, Origin::Kernel, true, true), "{signal}");
        }
        assert!(
            reaches(Signal::INT, Origin::Kernel, false, false),
            "a child outside the group has had none"
        );
    }

    #[test]
    fn a_hang_up_reaches_the_child_once() {
        assert!(
            !reaches(Signal::HUP, Origin::Kernel, true, false),
            "the kernel tells the whole group"
        );
        assert!(
            reaches(Signal::HUP, Origin::Kernel, true, true),
            "the kernel tells the leader alone"
        );
    }

    #[test]
    fn only_a_cont_that_reaches_the_child_ends_its_stop() {
        let topology = Topology {
            child: CHILD,
            shares_group: true,
            leads_session: false,
        };
        let ends = |signal, sender| {
            let origin = Origin::Process(sender);
            ends_stop(Received { signal, origin }, topology)
        };
        assert!(ends(Signal::CONT, 1));
        assert!(!ends(Signal::CONT, CHILD));
        assert!(!ends(Signal::TERM, 1));
    }

    #[test]
    fn timers_and_limits_are_passed_on() {
        for number in [libc::SIGALRM, libc::SIGXCPU, libc::SIGXFSZ, libc::SIGPROF] {
            let signal = Signal::new(number).expect("a signal");
            assert!(reaches(signal, Origin::Kernel, true, false), "{signal}");
        }
    }

    #[test]
    fn before_there_is_a_child_signals_do_what_they_do_by_default() {
        let before = |signal| {
            let origin = Origin::Kernel;
            without_child(Received { signal, origin }, Childless::Before, false)
        };
        for signal in [
            Signal::TERM,
            Signal::INT,
            Signal::HUP,
            Signal::QUIT,
            Signal::USR1,
            Signal::USR2,
            Signal::PIPE,
        ] {
            assert_eq!(before(signal), WithoutChild::End, "{signal}");
        }
        for signal in [Signal::CHLD, Signal::CONT, Signal::WINCH, Signal::URG] {
            assert_eq!(before(signal), WithoutChild::Pass, "{signal}");
        }
        for signal in [Signal::TSTP, Signal::TTIN, Signal::TTOU] {
            assert_eq!(before(signal), WithoutChild::Stop, "{signal}");
        }
        for signal in Signal::all() {
            let received = Received {
                signal,
                origin: Origin::Process(1),
            };
            for when in [Childless::Before, Childless::Between] {
                assert_eq!(
                    without_child(received, when, true),
                    WithoutChild::Pass,
                    "{signal} was ignored"
                );
            }
        }
    }

    #[test]
    fn between_two_children_a_signal_that_does_not_mean_the_end_is_nobodys() {
        let between = |signal, origin| {
            let received = Received { signal, origin };
            without_child(received, Childless::Between, false)
        };
        for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
            for origin in [Origin::Kernel, Origin::Process(1)] {
                assert_eq!(between(signal, origin), WithoutChild::End, "{signal}");
            }
        }
        assert_eq!(between(Signal::HUP, Origin::Kernel), WithoutChild::End);
        for signal in [Signal::HUP, Signal::USR1, Signal::USR2, Signal::PIPE] {
            let origin = Origin::Process(1);
            assert_eq!(between(signal, origin), WithoutChild::Pass, "{signal}");
        }
    }
}
