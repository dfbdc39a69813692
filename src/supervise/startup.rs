//! The time without a child: signals do to vaultexec what they would do to the command.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;

use crate::sys::clock::Moment;
use crate::sys::inherited;
use crate::sys::signal::Signal;
use crate::sys::signals::{Origin, Received, Signals};
use crate::sys::terminal;

use super::policy::{Childless, WithoutChild, without_child};

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
    interrupt: &watch::Sender<Option<Signal>>,
) -> Startup<T> {
    let mut work = pin!(work);
    let signal = tokio::select! {
        biased;
        signal = ending(signals) => signal,
        done = &mut work => return match look_without_child(signals, Childless::Before) {
            None => Startup::Done(done),
            // It came while the work was being done, and was only heard of later.
            Some(signal) => Startup::Interrupted(signal, Some(done)),
        },
    };
    interrupt.send_replace(Some(signal));
    tokio::select! {
        biased;
        done = &mut work => Startup::Interrupted(signal, Some(done)),
        // A second one is impatient.
        _again = ending(signals) => Startup::Interrupted(signal, None),
        () = tokio::time::sleep(LAST_ANSWER) => Startup::Interrupted(signal, None),
    }
}

/// Whether a signal has to be looked at before there is a child. Between two, one that is nobody's
/// has to be taken away: the next child would get it.
#[must_use]
pub fn matters_without_child(received: Received, when: Childless) -> bool {
    match when {
        Childless::Before => meaning(received, when) != WithoutChild::Pass,
        Childless::Between => received.signal != Signal::CHLD,
    }
}

/// Looks at the signals that have come while there is no child; returns the one that ends it all.
pub fn look_without_child(signals: &mut Signals, when: Childless) -> Option<Signal> {
    loop {
        let received = signals.try_next()?;
        match meaning(received, when) {
            WithoutChild::Pass => {}
            WithoutChild::Stop => {
                stop(received, signals);
            }
            WithoutChild::End => return Some(received.signal),
        }
    }
}

/// The next signal that ends a program without a child.
async fn ending(signals: &mut Signals) -> Signal {
    loop {
        if let Met::End(signal) = meet(signals).await {
            return signal;
        }
    }
}

/// What the next signal was that matters to a program without a child.
pub(super) enum Met {
    /// It ends it.
    End(Signal),
    /// It stopped it for so long.
    Stopped(Duration),
}

/// Waits for the next signal that matters to a program without a child, and stops with it.
pub(super) async fn meet(signals: &mut Signals) -> Met {
    loop {
        let received = signals.next().await;
        match meaning(received, Childless::Before) {
            WithoutChild::Pass => {}
            WithoutChild::Stop => {
                let before = Moment::now();
                if stop(received, signals) {
                    return Met::Stopped(Moment::now().since(before));
                }
            }
            WithoutChild::End => return Met::End(received.signal),
        }
    }
}

/// Stops as a program without a child would; says whether it was stopped.
fn stop(received: Received, signals: &mut Signals) -> bool {
    // A thread that was stopped in the middle of its handler says only now that it was in the
    // background, and nobody would continue us again.
    let of_background = matches!(received.signal, Signal::TTIN | Signal::TTOU);
    let out_of_date = of_background && received.origin == Origin::Kernel && terminal::is_ours();
    !out_of_date && signals.stop_ourselves(received.signal)
}

fn meaning(received: Received, when: Childless) -> WithoutChild {
    without_child(
        received,
        when,
        inherited::ignored().contains(received.signal),
    )
}
