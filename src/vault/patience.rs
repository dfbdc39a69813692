//! Trying again before the child starts: how long, how often, and how a signal ends it.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

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
    /// there is time. Every address of the client gets its turn. A certificate that is not accepted
    /// is final, but nothing was sent: the other addresses are asked once before.
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
        let mut untrusted = None;
        loop {
            if let Some(signal) = self.interrupt.signal() {
                return Err(Failure::Interrupted(signal));
            }
            let failure = match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let left = self.left();
            if matches!(failure, Failure::Tls { .. }) {
                untrusted.get_or_insert_with(|| failure.clone());
            } else if !retry(&failure) {
                return Err(failure);
            }
            // With several addresses the others are asked before there is any waiting.
            let round = tries / client.addresses();
            let all_asked = (tries + 1).is_multiple_of(client.addresses());
            let enough = self.max_retries.is_some_and(|most| tries >= most);
            if enough || (all_asked && untrusted.is_some()) {
                return Err(untrusted.unwrap_or(failure));
            }
            client.use_next_address();
            tries += 1;
            let delay = if all_asked || failure.retry_after().is_some() {
                full_jitter(round, fastrand::f64()).max(failure.retry_after().unwrap_or_default())
            } else {
                Duration::ZERO
            };
            if delay + least_time(client, &failure) >= left {
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

/// The time that another try after this failure takes at least. Less than a connection may take would
/// end in the middle of one, and look like an answer that was lost.
fn least_time(client: &Client, failure: &Failure) -> Duration {
    match failure {
        Failure::Unreachable { silent: true, .. } => client.connect_timeout,
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::{Address, Proxy, Settings, TlsSettings};
    use std::collections::VecDeque;

    fn client(addresses: usize) -> Client {
        let address = |index| reqwest::Url::parse(&format!("http://h{index}")).expect("a URL");
        let settings = Settings {
            addresses: (0..addresses)
                .map(|index| Address::Tcp(address(index)))
                .collect(),
            namespace: None,
            tls: TlsSettings::default(),
            proxy: Proxy::Direct,
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            max_retries: None,
            follow_redirects: true,
        };
        Client::new(&settings, Reporter::default()).expect("a client")
    }

    /// What becomes of attempts that fail like this, one after the other, and then succeed; and how
    /// many were made.
    async fn insisted(
        addresses: usize,
        max_retries: Option<u32>,
        failures: &[Failure],
    ) -> (Result<(), Failure>, usize) {
        let interrupt = Interrupt::default();
        let report = Reporter {
            level: crate::report::Level::Error,
            ..Reporter::default()
        };
        let patience = Patience::new(Duration::from_secs(30), max_retries, report, &interrupt);
        let mut left: VecDeque<_> = failures.iter().cloned().collect();
        let mut made = 0;
        let result = patience
            .insist(&client(addresses), "try", Failure::is_transient, || {
                made += 1;
                std::future::ready(left.pop_front().map_or(Ok(()), Err))
            })
            .await;
        (result, made)
    }

    #[tokio::test]
    async fn a_certificate_that_is_not_accepted_is_final_once_each_address_was_asked() {
        /// How many addresses and retries, the failures in turn, the result and how many were used.
        type Case<'a> = (
            usize,
            Option<u32>,
            &'a [Failure],
            Result<(), Failure>,
            usize,
        );
        let tls = |words: &str| Failure::Tls {
            kind: crate::vault::TlsFailure::Other,
            reason: words.to_owned(),
        };
        let away = Failure::Unreachable {
            reason: "away".to_owned(),
            silent: false,
        };
        let no = Failure::Redirect("no".to_owned());
        let cases: [Case<'_>; 9] = [
            (1, None, &[tls("a")], Err(tls("a")), 1),
            (2, None, &[tls("a")], Ok(()), 2),
            (3, None, &[tls("a"), tls("b")], Ok(()), 3),
            (2, None, &[tls("a"), tls("b")], Err(tls("a")), 2),
            (2, None, &[tls("a"), away.clone()], Err(tls("a")), 2),
            (2, None, &[away.clone(), tls("b")], Err(tls("b")), 2),
            (2, None, &[tls("a"), no.clone()], Err(no), 2),
            (2, Some(0), &[tls("a")], Err(tls("a")), 1),
            (2, None, &[away.clone(), away.clone()], Ok(()), 3),
        ];
        for (addresses, retries, failures, result, made) in cases {
            assert_eq!(
                insisted(addresses, retries, failures).await,
                (result, made),
                "{addresses} {failures:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_were_turned_away_together_do_not_come_back_together() {
        let away = Failure::Unreachable {
            reason: "away".to_owned(),
            silent: false,
        };
        let mut insisting = std::collections::BTreeSet::new();
        let mut pausing = std::collections::BTreeSet::new();
        let interrupt = Interrupt::default();
        let report = Reporter {
            level: crate::report::Level::Error,
            ..Reporter::default()
        };
        for _ in 0..20 {
            let begun = tokio::time::Instant::now();
            let failures = vec![away.clone(); 4];
            assert_eq!(insisted(1, None, &failures).await, (Ok(()), 5));
            insisting.insert(begun.elapsed());
            let begun = tokio::time::Instant::now();
            let patience = Patience::new(Duration::from_secs(30), None, report, &interrupt);
            assert!(patience.pause(&client(1), "try", 0, &away).await);
            pausing.insert(begun.elapsed());
        }
        assert!(insisting.len() > 10, "{insisting:?}");
        assert!(pausing.len() > 10, "{pausing:?}");
    }
}
