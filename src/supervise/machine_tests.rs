//! Every pair of events, and the stories that matter by name.

use super::*;
use crate::supervise::event::Refusal;
use crate::sys::signals::Origin;

const TOPOLOGY: Topology = Topology {
    child: 77,
    shares_group: true,
    leads_session: false,
};

fn signal(signal: Signal, origin: Origin) -> Event {
    Event::Signal(Received { signal, origin }, TOPOLOGY)
}

fn term() -> Event {
    signal(Signal::TERM, Origin::Process(1))
}

fn events() -> Vec<Event> {
    vec![
        term(),
        signal(Signal::TERM, Origin::Process(77)),
        signal(Signal::INT, Origin::Kernel),
        signal(Signal::HUP, Origin::Kernel),
        signal(Signal::HUP, Origin::Process(1)),
        signal(Signal::USR1, Origin::Process(1)),
        signal(Signal::CHLD, Origin::Process(1)),
        Event::Child(Change::Exited(0)),
        Event::Child(Change::Exited(3)),
        Event::Child(Change::Killed(Signal::TERM)),
        Event::Child(Change::Killed(Signal::HUP)),
        Event::Child(Change::Stopped(Signal::TSTP)),
        Event::Child(Change::Continued),
        Event::Resumed { child_too: false },
        Event::Resumed { child_too: true },
        Event::Expiring,
        Event::Expired,
        Event::Acquired,
        Event::NotAcquired { again: true },
        Event::NotAcquired { again: false },
        Event::StopTimedOut,
        Event::Refused(REFUSAL),
    ]
}

const REFUSAL: Refusal = Refusal {
    signal: Signal::TERM,
    child: Some(65534),
    ours: 1000,
};

const KILL_AFTER: Duration = Duration::from_secs(8);

fn machine(on_expiry: OnExpiry) -> Machine {
    Machine::new(Rules {
        on_expiry,
        ignored: SignalSet::default(),
        kill_after: None,
    })
}

/// A machine that kills what has not ended by a while after it was asked to.
fn killing() -> Machine {
    Machine::new(Rules {
        on_expiry: OnExpiry::Restart,
        ignored: SignalSet::default(),
        kill_after: Some(KILL_AFTER),
    })
}

/// Every state that some sequence of three events leads to.
fn reachable() -> Vec<Machine> {
    let rules = [
        OnExpiry::Restart,
        OnExpiry::Refresh,
        OnExpiry::Stop,
        OnExpiry::Warn,
        OnExpiry::Signal(Signal::HUP),
    ];
    let mut known: Vec<Machine> = rules.into_iter().map(machine).collect();
    known.push(killing());
    for _ in 0..3 {
        for state in known.clone() {
            for event in events() {
                let mut next = state.clone();
                let _actions = next.handle(event);
                if !known.contains(&next) {
                    known.push(next);
                }
            }
        }
    }
    known
}

#[test]
fn every_pair_of_events_keeps_the_rules() {
    let states = reachable();
    assert!(states.len() > 20, "{}", states.len());
    for state in states {
        for first in events() {
            for second in events() {
                let mut machine = state.clone();
                let story = format!("{state:?} {first:?} {second:?}");
                for event in [first, second] {
                    let before = machine.clone();
                    let actions = machine.handle(event);
                    if before.phase == Phase::Over {
                        assert!(actions.is_empty(), "nothing comes after the end: {story}");
                    }
                    let ended =
                        matches!(event, Event::Child(Change::Exited(_) | Change::Killed(_)));
                    let decided = actions
                        .iter()
                        .any(|action| matches!(action, Action::Finish(_) | Action::StartChild));
                    assert_eq!(
                        decided,
                        ended && before.phase != Phase::Over,
                        "the child's end decides: {story}"
                    );
                    let restarts = actions.contains(&Action::StartChild);
                    assert!(
                        !restarts || before.phase == Phase::Stopping(After::Restart),
                        "{story}"
                    );
                    let acquires = actions
                        .iter()
                        .filter(|action| **action == Action::Acquire)
                        .count();
                    assert!(
                        acquires == 0 || before.phase == Phase::Running,
                        "one acquisition at a time: {story}"
                    );
                    let count = |which: fn(&Action) -> bool| {
                        actions.iter().filter(|action| which(action)).count()
                    };
                    let signals = count(|action| matches!(action, Action::Signal(_)));
                    assert!(signals <= 1, "a signal is sent once: {story}");
                    let over = before.phase == Phase::Over;
                    let kills = count(|action| *action == Action::Kill);
                    let in_time = usize::from(event == Event::StopTimedOut && !over);
                    assert_eq!(kills, in_time, "only time kills: {story}");
                    let limits = count(|action| matches!(action, Action::KillIn(_)));
                    assert!(
                        limits == 0 || (signals == 1 && before.rules.kill_after.is_some()),
                        "only what was passed on limits the child's time: {story}"
                    );
                    let refused = actions.contains(&Action::Say(Saying::Refused(REFUSAL)));
                    assert_eq!(
                        refused,
                        event == Event::Refused(REFUSAL) && !over,
                        "a refusal is told: {story}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_exit_is_the_childs() {
    assert_eq!(
        machine(OnExpiry::Warn).handle(Event::Child(Change::Exited(7))),
        [Action::Finish(Exit::Code(7))]
    );
    let killed = Event::Child(Change::Killed(Signal::QUIT));
    assert_eq!(
        machine(OnExpiry::Warn).handle(killed),
        [Action::Finish(Exit::Signal(Signal::QUIT))]
    );
}

#[test]
fn a_rotation_makes_before_it_breaks() {
    let mut machine = machine(OnExpiry::Restart);
    assert_eq!(machine.handle(Event::Expiring), [Action::Acquire]);
    assert_eq!(machine.handle(Event::Expiring), []);
    assert_eq!(
        machine.handle(Event::Acquired),
        [Action::Say(Saying::Restarting), Action::StopChild]
    );
    assert_eq!(
        machine.handle(Event::Child(Change::Killed(Signal::TERM))),
        [Action::StartChild]
    );
    assert_eq!(
        machine.handle(Event::Child(Change::Exited(4))),
        [Action::Finish(Exit::Code(4))]
    );
}

#[test]
fn a_child_that_ends_by_itself_during_a_rotation_is_not_started_again() {
    let mut machine = machine(OnExpiry::Restart);
    assert_eq!(machine.handle(Event::Expiring), [Action::Acquire]);
    assert_eq!(
        machine.handle(Event::Child(Change::Exited(0))),
        [Action::Finish(Exit::Code(0))]
    );
    assert_eq!(machine.handle(Event::Acquired), []);
}

#[test]
fn whoever_is_told_to_end_is_not_started_again() {
    // Before, while new credentials are asked for, and while the child is being stopped.
    let mut early = machine(OnExpiry::Restart);
    assert_eq!(early.handle(term()), [Action::Signal(Signal::TERM)]);
    assert_eq!(
        early.handle(Event::Expiring),
        [Action::Say(Saying::WillExpire)]
    );

    let mut acquiring = machine(OnExpiry::Restart);
    let _asked = acquiring.handle(Event::Expiring);
    assert_eq!(acquiring.handle(term()), [Action::Signal(Signal::TERM)]);
    assert_eq!(acquiring.handle(Event::Acquired), []);

    let mut stopping = machine(OnExpiry::Restart);
    let _asked = stopping.handle(Event::Expiring);
    let _stopping = stopping.handle(Event::Acquired);
    // Ctrl-C is not sent again, but it counts.
    assert_eq!(stopping.handle(signal(Signal::INT, Origin::Kernel)), []);
    let ended = stopping.handle(Event::Child(Change::Killed(Signal::TERM)));
    assert_eq!(ended, [Action::Finish(Exit::Signal(Signal::TERM))]);
}

#[test]
fn a_child_that_signals_its_parent_is_neither_answered_nor_taken_for_told() {
    let mut machine = machine(OnExpiry::Restart);
    assert_eq!(
        machine.handle(signal(Signal::TERM, Origin::Process(77))),
        []
    );
    assert_eq!(machine.handle(Event::Expiring), [Action::Acquire]);
}

/// A machine whose child was told to end for the sake of new credentials.
fn restarting() -> Machine {
    let mut machine = machine(OnExpiry::Restart);
    let _asked = machine.handle(Event::Expiring);
    let _stopping = machine.handle(Event::Acquired);
    machine
}

#[test]
fn a_hang_up_of_the_terminal_is_the_end_whenever_it_comes() {
    let hang_up = signal(Signal::HUP, Origin::Kernel);
    let mut stopping = restarting();
    assert_eq!(stopping.handle(hang_up), []);
    assert_eq!(
        stopping.handle(Event::Child(Change::Exited(0))),
        [Action::Finish(Exit::Code(0))]
    );
    let mut running = machine(OnExpiry::Restart);
    assert_eq!(running.handle(hang_up), []);
    assert_eq!(
        running.handle(Event::Expiring),
        [Action::Say(Saying::WillExpire)]
    );
}

#[test]
fn a_hup_that_a_process_sends_into_a_rotation_means_what_the_child_makes_of_it() {
    let hup = signal(Signal::HUP, Origin::Process(1));
    let mut dies = restarting();
    assert_eq!(dies.handle(hup), [Action::Signal(Signal::HUP)]);
    assert_eq!(
        dies.handle(Event::Child(Change::Killed(Signal::HUP))),
        [Action::Finish(Exit::Signal(Signal::HUP))]
    );
    // It reads its settings again, and ends for the rotation's sake.
    let mut survives = restarting();
    assert_eq!(survives.handle(hup), [Action::Signal(Signal::HUP)]);
    assert_eq!(
        survives.handle(Event::Child(Change::Exited(0))),
        [Action::StartChild]
    );
    // The stop signal may be a HUP: then it is not somebody's wish.
    assert_eq!(
        restarting().handle(Event::Child(Change::Killed(Signal::HUP))),
        [Action::StartChild]
    );
}

#[test]
fn stops_and_resumes_follow_the_child() {
    let mut machine = machine(OnExpiry::Warn);
    assert_eq!(machine.handle(signal(Signal::TSTP, Origin::Kernel)), []);
    let stopped = Event::Child(Change::Stopped(Signal::TSTP));
    assert_eq!(
        machine.handle(stopped),
        [Action::StopOurselves(Signal::TSTP)]
    );
    assert_eq!(
        machine.handle(Event::Resumed { child_too: false }),
        [Action::Signal(Signal::CONT), Action::LookAtLease]
    );
    // The whole group was continued, and the child has stopped again since: it is not to be
    // continued twice for one time.
    let _stopped = machine.handle(stopped);
    assert_eq!(
        machine.handle(Event::Resumed { child_too: true }),
        [Action::LookAtLease]
    );
    assert_eq!(
        machine.handle(stopped),
        [Action::StopOurselves(Signal::TSTP)]
    );
}

#[test]
fn a_stopped_child_that_has_to_end_is_continued() {
    let mut machine = machine(OnExpiry::Stop);
    assert_eq!(
        machine.handle(Event::Expiring),
        [Action::Say(Saying::Stopping), Action::StopChild]
    );
    assert_eq!(
        machine.handle(Event::Child(Change::Stopped(Signal::STOP))),
        [Action::Signal(Signal::CONT)]
    );
    assert_eq!(machine.handle(Event::StopTimedOut), [Action::Kill]);
    let killed = Event::Child(Change::Killed(Signal::KILL));
    assert_eq!(
        machine.handle(killed),
        [Action::Finish(Exit::Code(exit::FAILURE))]
    );
}

#[test]
fn a_failed_acquisition_leaves_the_child_alone_and_is_tried_later() {
    let mut machine = machine(OnExpiry::Restart);
    let _asked = machine.handle(Event::Expiring);
    assert_eq!(
        machine.handle(Event::NotAcquired { again: true }),
        [Action::RetryLater]
    );
    assert_eq!(machine.handle(Event::Expiring), [Action::Acquire]);
    assert_eq!(
        machine.handle(Event::NotAcquired { again: false }),
        [Action::Say(Saying::CannotReplace)]
    );
}

#[test]
fn a_signal_that_was_ignored_at_the_start_does_not_mean_the_end() {
    for (number, origin) in [
        (Signal::HUP, Origin::Kernel),
        (Signal::TERM, Origin::Process(1)),
    ] {
        for (ignored, expected) in [
            (true, Action::Acquire),
            (false, Action::Say(Saying::WillExpire)),
        ] {
            let mut machine = Machine::new(Rules {
                on_expiry: OnExpiry::Restart,
                ignored: ignored.then_some(number).into_iter().collect(),
                kill_after: None,
            });
            let _forwarded = machine.handle(signal(number, origin));
            let story = format!("{number}, ignored: {ignored}");
            assert_eq!(machine.handle(Event::Expiring), [expected], "{story}");
        }
    }
}

#[test]
fn what_was_passed_on_and_means_the_end_limits_the_childs_time() {
    let limit = Action::KillIn(KILL_AFTER);
    for (number, origin, limits) in [
        (Signal::TERM, Origin::Process(1), true),
        (Signal::INT, Origin::Process(1), true),
        (Signal::HUP, Origin::Process(1), true),
        (Signal::QUIT, Origin::Process(0), true),
        (Signal::USR1, Origin::Process(1), false),
        (Signal::CONT, Origin::Process(1), false),
        // The child's own doing, and the terminal's keys: psql cancels a query for those.
        (Signal::TERM, Origin::Process(77), false),
        (Signal::INT, Origin::Kernel, false),
        (Signal::HUP, Origin::Kernel, false),
    ] {
        let actions = killing().handle(signal(number, origin));
        assert_eq!(actions.contains(&limit), limits, "{number} {origin:?}");
        let actions = machine(OnExpiry::Restart).handle(signal(number, origin));
        assert!(!actions.contains(&limit), "there is none by default");
    }
    let mut ignoring = Machine::new(Rules {
        ignored: [Signal::HUP].into_iter().collect(),
        ..killing().rules
    });
    let hup = signal(Signal::HUP, Origin::Process(1));
    assert_eq!(ignoring.handle(hup), [Action::Signal(Signal::HUP)]);
}

#[test]
fn a_child_that_does_not_end_in_the_time_it_was_given_is_killed() {
    let mut machine = killing();
    let told = [Action::Signal(Signal::TERM), Action::KillIn(KILL_AFTER)];
    assert_eq!(machine.handle(term()), told);
    assert_eq!(machine.handle(Event::StopTimedOut), [Action::Kill]);
    let killed = Event::Child(Change::Killed(Signal::KILL));
    let end = [Action::Finish(Exit::Signal(Signal::KILL))];
    assert_eq!(machine.handle(killed), end);
}

#[test]
fn a_child_out_of_reach_is_told_to_the_user_and_so_is_the_end_of_its_credentials() {
    let mut stopping = machine(OnExpiry::Stop);
    let _told = stopping.handle(Event::Expiring);
    assert_eq!(stopping.handle(Event::Expired), [], "it is about to end");
    let told = [Action::Say(Saying::Refused(REFUSAL))];
    assert_eq!(stopping.handle(Event::Refused(REFUSAL)), told);
    let expired = [Action::Say(Saying::HaveExpired)];
    assert_eq!(stopping.handle(Event::Expired), expired);

    // The next child is another one.
    let mut restarted = restarting();
    let _told = restarted.handle(Event::Refused(REFUSAL));
    let _started = restarted.handle(Event::Child(Change::Exited(0)));
    let _asked = restarted.handle(Event::Expiring);
    let _stopping = restarted.handle(Event::Acquired);
    assert_eq!(restarted.handle(Event::Expired), []);
}

#[test]
fn a_refresh_replaces_the_file_and_leaves_the_child_alone() {
    let mut machine = machine(OnExpiry::Refresh);
    for _ in 0..3 {
        assert_eq!(machine.handle(Event::Expiring), [Action::Acquire]);
        assert_eq!(machine.handle(Event::Acquired), [Action::HandOver]);
    }
    // Where there are none, it is told to end as for a restart.
    assert_eq!(machine.handle(Event::Expiring), [Action::Acquire]);
    let again = Event::NotAcquired { again: true };
    assert_eq!(machine.handle(again), [Action::RetryLater]);
    assert_eq!(
        machine.handle(Event::LastCall),
        [Action::Say(Saying::Stopping), Action::StopChild]
    );
}
