//! The one `select!` of a run: turns signals, the child's changes and the keeper's news into
//! events, and carries out what the machine decides.

use std::time::Duration;

use nix::errno::Errno;

use crate::error::Error;
use crate::exit::Exit;
use crate::sys::clock::Moment;
use crate::sys::process;
use crate::sys::reap::{self, Change};
use crate::sys::signal::Signal;
use crate::sys::signals::{Received, Signals};
use crate::sys::spawn::Child;
use crate::sys::terminal;
use crate::sys::timer::BootClock;

use super::event::{Action, Event, Refusal, Saying};
use super::machine::Machine;
use super::policy::{Topology, ends_stop};

/// What the machine decides and somebody else carries out: getting credentials, starting children with
/// them, telling the user.
pub trait Operations {
    /// Waits for news of the credentials. It may be dropped at any time, and nothing is lost.
    fn next(&mut self) -> impl Future<Output = Event>;

    /// Renew at once.
    fn look_now(&mut self);

    /// vaultexec is about to stop with the child, and hears of nothing until it goes on.
    fn stopping(&mut self);

    /// It goes on, or was not stopped.
    fn going_on(&mut self);

    /// Begin to get new credentials; an event will tell how that went.
    fn acquire(&mut self);

    /// Say again later that the credentials expire.
    fn retry_later(&mut self);

    /// Start the command with the new credentials, and begin to give the old ones back.
    ///
    /// # Errors
    /// When it cannot be started.
    fn start_child(&mut self, signals: &mut Signals) -> Result<Child, Error>;

    /// Replace the file that has the credentials, and begin to give the old ones back. Where that
    /// cannot be done, the credentials will be said to expire again, later.
    fn hand_over(&mut self);

    /// What it means that the command could not be executed.
    fn not_executed(&self, errno: Errno) -> Error;

    /// Tell the user.
    fn say(&self, saying: Saying);
}

/// How a child is told to end.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// By this signal.
    pub signal: Signal,
    /// And by KILL, if it has not ended by then.
    pub timeout: Duration,
}

/// Watches the child until it has ended.
///
/// # Errors
/// When the command cannot be started again.
pub async fn watch(
    mut child: Child,
    mut machine: Machine,
    stop: Stop,
    signals: &mut Signals,
    operations: &mut impl Operations,
) -> Result<Exit, Error> {
    let leads_session = process::leads_session();
    let clock = BootClock;
    let mut kill_at: Option<Moment> = None;
    // Changes are looked for before anything is waited for: the child may have ended already.
    let mut events = changes(&child);
    loop {
        for event in std::mem::take(&mut events) {
            for action in machine.handle(event) {
                match action {
                    Action::Signal(signal) => events.extend(send(&child, signal)),
                    Action::KillIn(time) => kill_at = Some(earlier(kill_at, time)),
                    Action::Kill => match send(&child, Signal::KILL) {
                        None => operations.say(Saying::Killing),
                        refused => events.extend(refused),
                    },
                    Action::StopOurselves(signal) => {
                        let lent = terminal::lent_to(child.pid());
                        operations.stopping();
                        let stopped = signals.stop_ourselves(signal);
                        operations.going_on();
                        if stopped {
                            if let Some(group) = lent {
                                terminal::lend(group);
                            }
                            let news = changes(&child);
                            let child_too = !news.is_empty();
                            // First: a stop that comes after it is a new one.
                            events.push(Event::Resumed { child_too });
                            events.extend(news);
                        }
                    }
                    Action::LookAtLease => operations.look_now(),
                    Action::Acquire => operations.acquire(),
                    Action::RetryLater => operations.retry_later(),
                    Action::StopChild => {
                        events.extend(send(&child, stop.signal));
                        // If it is refused too, that has been told with the first one.
                        let _refused = send(&child, Signal::CONT);
                        kill_at = Some(earlier(kill_at, stop.timeout));
                    }
                    Action::StartChild => {
                        kill_at = None;
                        terminal::take_back_from(child.pid());
                        child = operations.start_child(signals)?;
                        events.extend(changes(&child));
                    }
                    Action::HandOver => operations.hand_over(),
                    Action::Say(saying) => operations.say(saying),
                    Action::Finish(exit) => {
                        return match child.exec_failure() {
                            Some(errno) => Err(operations.not_executed(errno)),
                            None => Ok(exit),
                        };
                    }
                }
            }
        }
        if !events.is_empty() {
            continue;
        }
        let kill = async {
            match kill_at {
                Some(moment) => clock.sleep_until(moment).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            received = signals.next_to_pass_on() => {
                let pid = child.pid();
                // Before a child that has ended is reaped, and is in no group any more.
                let topology = Topology { child: pid, shares_group: process::shares_group(pid), leads_session };
                // What the child has done comes after all signals so far, since it may have done it
                // for them: one that has ended of a Ctrl-C is not started again.
                let all = std::iter::once(received).chain(std::iter::from_fn(|| signals.try_next()));
                let all: Vec<Received> = all.collect();
                let mut done = changes(&child);
                if all.iter().any(|received| ends_stop(*received, topology)) {
                    done.retain(|event| !matches!(event, Event::Child(Change::Stopped(_))));
                }
                events.extend(all.into_iter().map(|received| Event::Signal(received, topology)));
                events.extend(done);
            }
            () = kill => {
                kill_at = None;
                events.push(Event::StopTimedOut);
            }
            event = operations.next() => events.push(event),
        }
    }
}

/// Sends the child a signal, and says so if it may not be sent.
fn send(child: &Child, signal: Signal) -> Option<Event> {
    child.signal(signal).err().map(|_refused| {
        Event::Refused(Refusal {
            signal,
            child: process::user_of(child.pid()),
            ours: process::user(),
        })
    })
}

/// The earlier one of a moment that was set before and of one that lies so far ahead.
fn earlier(before: Option<Moment>, time: Duration) -> Moment {
    let moment = Moment::now() + time;
    before.map_or(moment, |before| before.min(moment))
}

/// What has become of the child. Other processes that have changed, orphans that a PID 1 inherits
/// or children that were there before, are reaped with it.
fn changes(child: &Child) -> Vec<Event> {
    let all = std::iter::from_fn(reap::next_change);
    all.filter(|(pid, _)| *pid == child.pid())
        .map(|(_, change)| Event::Child(change))
        .collect()
}
