//! The time before there is a child: signals do to vaultexec what they would do to the command.

use std::pin::pin;
use std::time::Duration;

use crate::interrupt::Interrupt;
use crate::sys::inherited;
use crate::sys::signal::Signal;
use crate::sys::signals::{Origin, Received, Signals};
use crate::sys::terminal;

use super::policy::{BeforeChild, before_child};

/// How long an answer that is under way is waited for after a signal: it may name something that
/// has to be revoked, and could not be revoked without its name.
const LAST_ANSWER: Duration = Duration::from_millis(500);

/// How the time before the child ended.
#[derive(Debug)]
pub enum Startup<T> {
    /// The work is done.
    Done(T),
    /// This signal ended it. The work's result is there if it was done in time.
    Interrupted(Signal, Option<T>),
}

/// Does the work unless a signal ends it. `interrupt` is how the work hears of it.
pub async fn interruptible<T>(
    work: impl Future<Output = T>,
    signals: &mut Signals,
    interrupt: &Interrupt,
) -> Startup<T> {
    let mut work = pin!(work);
    let signal = tokio::select! {
        biased;
        signal = ending(signals) => signal,
        done = &mut work => {
            // It may have come between the two looks, and before whatever the work has met with.
            return match look_before_child(signals) {
                Some(signal) => Startup::Interrupted(signal, Some(done)),
                None => Startup::Done(done),
            };
        }
    };
    interrupt.trip(signal);
    tokio::select! {
        biased;
        done = &mut work => Startup::Interrupted(signal, Some(done)),
        // A second one is impatient.
        _again = ending(signals) => Startup::Interrupted(signal, None),
        () = tokio::time::sleep(LAST_ANSWER) => Startup::Interrupted(signal, None),
    }
}

/// Whether a signal has to be looked at before there is a child.
#[must_use]
pub fn matters_before_child(received: Received) -> bool {
    before_child(received, inherited::ignored(received.signal)) != BeforeChild::Pass
}

/// Looks at the signals that have come while there is no child; returns the one that ends it all.
pub fn look_before_child(signals: &mut Signals) -> Option<Signal> {
    loop {
        let received = signals.try_next()?;
        if let Some(signal) = meet(received, signals) {
            return Some(signal);
        }
    }
}

/// The next signal that ends a program without a child.
pub(super) async fn ending(signals: &mut Signals) -> Signal {
    loop {
        let received = signals.next().await;
        if let Some(signal) = meet(received, signals) {
            return signal;
        }
    }
}

/// Does what a signal means while there is no child; returns it if that is the end.
fn meet(received: Received, signals: &mut Signals) -> Option<Signal> {
    match before_child(received, inherited::ignored(received.signal)) {
        BeforeChild::Pass => None,
        BeforeChild::Stop => {
            // A thread that reads the terminal in the background may have been stopped on its way to
            // telling of that, and tells it when it goes on in the foreground.
            let late = received.signal == Signal::TTIN && received.origin == Origin::Kernel;
            if !(late && terminal::is_ours()) {
                signals.stop_ourselves(received.signal);
            }
            None
        }
        BeforeChild::End => Some(received.signal),
    }
}
