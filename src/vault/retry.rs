//! Trying again before the child starts: how long, how often, and how a signal ends it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;

use super::backoff::Backoff;
use super::client::Client;
use super::failure::Failure;
use crate::sys::clock::Moment;
use crate::sys::signal::Signal;

/// As long as a call that is made only once may take after the time for trying is over; never longer
/// than that time itself.
const ONCE: Duration = Duration::from_secs(10);
/// The time before its end at which the last try is made.
const LAST_TRY: Duration = Duration::from_millis(200);

/// How waiting work hears of the signal that wants the program to end.
pub type Interrupt = watch::Receiver<Option<Signal>>;

/// What holds for all requests that are tried again.
#[derive(Clone, Debug)]
pub struct Retries {
    /// How long the start may take.
    pub time: Duration,
    /// The most tries after the first, if that is bounded.
    pub most: Option<u32>,
    /// What ends the waiting.
    pub interrupt: Interrupt,
    /// Whether the user was told that something is tried again.
    pub told: Rc<Cell<bool>>,
}

impl Retries {
    /// Tries until a moment.
    #[must_use]
    pub fn until(&self, until: Moment) -> Retry {
        Retry {
            until,
            once: self.time.min(ONCE),
            max_retries: self.most,
            interrupt: self.interrupt.clone(),
            told: Rc::clone(&self.told),
        }
    }
}

/// How long and how often a request is tried again.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Nothing is tried after this moment.
    until: Moment,
    /// A call that is made only once may take at least this, however late it is begun.
    once: Duration,
    /// The most tries after the first, if that is bounded.
    max_retries: Option<u32>,
    /// What ends the waiting.
    interrupt: Interrupt,
    /// Whether the user was told that something is tried again.
    told: Rc<Cell<bool>>,
}

impl Retry {
    /// How much time is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.until.since(Moment::now())
    }

    /// How long a call may take that is made only once: what it asks for is spent, or made, whether or
    /// not anybody still waits for the answer.
    #[must_use]
    pub fn for_once(&self) -> Duration {
        self.left().max(self.once)
    }

    /// The signal that wants the program to end, if there was one.
    #[must_use]
    pub fn interrupted(&self) -> Option<Signal> {
        *self.interrupt.borrow()
    }

    /// How long to wait after `failure`, when it was tried so many times again before. Where the server
    /// may have acted, each try spends something: the first one comes soon, later ones do not.
    #[must_use]
    pub fn delay(failure: &Failure, tries: u32, chance: f64) -> Duration {
        let delay = match tries.checked_sub(1) {
            Some(later) if failure.may_have_acted() => Backoff::PATIENT.delay(later, chance),
            _ => Backoff::SOON.delay(tries, chance),
        };
        delay.max(failure.retry_after().unwrap_or_default())
    }

    /// The signal that wants the program to end, also if it has only just arrived.
    pub async fn just_interrupted(&self) -> Option<Signal> {
        // An answer may be heard of before a signal that came first.
        tokio::task::yield_now().await;
        self.interrupted()
    }

    /// Waits, unless a signal comes.
    ///
    /// # Errors
    /// [`Failure::Interrupted`].
    pub async fn sleep(&self, delay: Duration) -> Result<(), Failure> {
        let mut interrupt = self.interrupt.clone();
        tokio::select! {
            biased;
            Ok(signal) = interrupt.wait_for(Option::is_some) => Err(interrupted(*signal)),
            () = tokio::time::sleep(delay) => Ok(()),
        }
    }

    /// Makes the attempt, and again while it fails in a way that `retry` agrees to, and there is time;
    /// the last time just before the end of it.
    ///
    /// # Errors
    /// The last attempt's, or [`Failure::Interrupted`] when a signal came before the next one.
    pub async fn run<T>(
        &self,
        client: &Client,
        doing: &str,
        retry: impl Fn(&Failure) -> bool,
        mut attempt: impl AsyncFnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut last = false;
        for tries in 0u32.. {
            if let Some(signal) = self.interrupted() {
                return Err(Failure::Interrupted(signal));
            }
            let failure = match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let enough = self.max_retries.is_some_and(|most| tries >= most);
            if enough || last || !retry(&failure) {
                return Err(failure);
            }
            let left = self.left();
            // A server that wants more time than there is will not be ready before.
            if failure.retry_after().is_some_and(|wish| wish > left) {
                return Err(failure);
            }
            let latest = left.saturating_sub(least_time(client, &failure).max(LAST_TRY));
            let delay = Self::delay(&failure, tries, fastrand::f64());
            last = delay >= latest;
            if last && latest.is_zero() {
                return Err(failure);
            }
            self.told.set(true);
            warn_of(doing, &failure, tries, left);
            self.sleep(delay.min(latest)).await?;
        }
        Err(Failure::NotSent("there is no time left"))
    }
}

fn interrupted(signal: Option<Signal>) -> Failure {
    Failure::Interrupted(signal.unwrap_or(Signal::TERM))
}

/// Says at once that something is tried again; later tries are for those who look closely.
fn warn_of(doing: &str, failure: &Failure, tries: u32, left: Duration) {
    let level = if tries == 0 {
        log::Level::Warn
    } else {
        log::Level::Debug
    };
    log::log!(
        level,
        event = "retry";
        "cannot {doing} yet: {failure}; trying again for {} s",
        left.as_secs().max(1)
    );
}

/// The time that another try after this failure takes at least. Less than a connection may take would
/// end in the middle of one, and look like an answer that was lost.
fn least_time(client: &Client, failure: &Failure) -> Duration {
    match failure {
        Failure::Unreachable { silent: true, .. } => client.connect_timeout,
        _ => Duration::ZERO,
    }
}
