//! Trying again before the child starts: how long, how often, and how a signal ends it.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use super::answer::NO_CONNECTION;
use super::backoff::full_jitter;
use super::client::Client;
use super::failure::Failure;
use crate::interrupt::Interrupt;
use crate::report::Reporter;
use crate::sys::clock::Moment;

/// As long as a call that is made only once may take after the time for trying is over; never longer
/// than that time itself.
const ONCE: Duration = Duration::from_secs(10);

/// How long and how often requests are tried again.
#[derive(Debug)]
pub struct Patience<'a> {
    /// Nothing is tried after this moment.
    until: Moment,
    /// A call that is made only once may take at least this, however late it is begun.
    once: Duration,
    /// The most tries after the first, if that is bounded.
    max_retries: Option<u32>,
    /// Where the first transient fault is told, at once.
    pub report: Reporter,
    /// What ends the waiting.
    pub interrupt: &'a Interrupt,
    told: Cell<bool>,
}

impl<'a> Patience<'a> {
    /// Patience for some time.
    #[must_use]
    pub fn new(
        time: Duration,
        max_retries: Option<u32>,
        report: Reporter,
        interrupt: &'a Interrupt,
    ) -> Self {
        Self {
            until: Moment::now() + time,
            once: time.min(ONCE),
            max_retries,
            report,
            interrupt,
            told: Cell::new(false),
        }
    }

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

    /// Makes the attempt, and again while it fails in a way that may pass, `retry` agrees, and
    /// there is time. Every address of the client gets its turn.
    ///
    /// # Errors
    /// The last attempt's, or [`Failure::Interrupted`] when a signal came before the next one.
    pub async fn insist<T, Attempt>(
        &self,
        client: &Client,
        doing: &str,
        retry: impl Fn(&Failure) -> bool,
        mut attempt: impl FnMut() -> Attempt,
    ) -> Result<T, Failure>
    where
        Attempt: Future<Output = Result<T, Failure>>,
    {
        let mut tries = 0u32;
        loop {
            if let Some(signal) = self.interrupt.signal() {
                return Err(Failure::Interrupted(signal));
            }
            let failure = match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let left = self.left();
            if !retry(&failure) || self.max_retries.is_some_and(|most| tries >= most) {
                return Err(failure);
            }
            // With several addresses the others are asked before there is any waiting.
            let round = tries / client.addresses();
            client.use_next_address();
            tries += 1;
            let delay = if tries.is_multiple_of(client.addresses())
                || failure.retry_after().is_some()
            {
                full_jitter(round, fastrand::f64()).max(failure.retry_after().unwrap_or_default())
            } else {
                Duration::ZERO
            };
            // Less time than a connection may take would end in the middle of one, and look like an
            // answer that was lost.
            let silent =
                matches!(&failure, Failure::Unreachable(reason) if reason.ends_with(NO_CONNECTION));
            let needed = if silent {
                delay + client.connect_timeout
            } else {
                delay
            };
            if needed >= left {
                return Err(failure);
            }
            if !delay.is_zero() {
                self.tell(doing, &failure, left);
            }
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                signal = self.interrupt.wait() => return Err(Failure::Interrupted(signal)),
            }
        }
    }

    /// Waits before something is tried again that was tried `tries` times again before, and failed
    /// with `failure`. No when there is no time or no try left for that, or a signal came.
    pub async fn pause(&self, client: &Client, doing: &str, tries: u32, failure: &Failure) -> bool {
        let left = self.left();
        let delay = full_jitter(2, fastrand::f64()).max(failure.retry_after().unwrap_or_default());
        let enough = self.max_retries.is_some_and(|most| tries >= most);
        if enough || delay >= left || self.interrupt.signal().is_some() {
            return false;
        }
        client.use_next_address();
        self.tell(doing, failure, left);
        tokio::select! {
            () = tokio::time::sleep(delay) => true,
            _signal = self.interrupt.wait() => false,
        }
    }

    fn tell(&self, doing: &str, failure: &Failure, left: Duration) {
        let message = format!(
            "cannot {doing} yet: {failure}; trying again for {} s",
            left.as_secs().max(1)
        );
        if self.told.replace(true) {
            self.report.debug(message);
        } else {
            self.report.warn(message);
        }
    }
}
