//! The task that keeps one set of credentials alive. It carries out the schedule's steps, and says
//! when there is something to decide; what becomes of the child is not its business.

use std::fmt::Write as _;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::holdings::{Holding, Lease};
use super::schedule::{Cause, Deadline, Schedule, Step, Subject};
use crate::report::Reporter;
use crate::sys::clock::Moment;
use crate::sys::timer::Clock;
use crate::vault::{Client, Failure, Renewed};

/// What the keeper is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Renew at once: time may have passed unseen.
    LookNow,
    /// What was done about the deadline failed; say so again, later each time.
    ActFailed,
}

/// What the keeper says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The credentials cannot be extended beyond this, and it is time to act.
    Expiring(Deadline),
    /// They have ended.
    Expired(Deadline),
}

/// Who renews. The server, or a test's.
pub trait Renew {
    /// Renews the token or the lease, or gives up after `limit`.
    fn renew(
        &self,
        subject: Subject,
        increment: Duration,
        limit: Duration,
    ) -> impl Future<Output = Result<Renewed, Failure>>;

    /// Whether the token is still good, if the server says so within `limit`.
    fn token_is_alive(&self, limit: Duration) -> impl Future<Output = Option<bool>>;

    /// Turns to another address of the server.
    fn use_next_address(&self);

    /// The token or the lease now ends then.
    fn extended(&self, subject: Subject, expiry: Moment);
}

/// Credentials on a real server.
#[derive(Debug)]
pub struct OnServer {
    /// The server.
    pub client: Rc<Client>,
    /// The token.
    pub holding: Rc<Holding>,
    /// The lease.
    pub lease: Option<Rc<Lease>>,
}

impl Renew for OnServer {
    async fn renew(
        &self,
        subject: Subject,
        increment: Duration,
        limit: Duration,
    ) -> Result<Renewed, Failure> {
        let session = &self.holding.session;
        let call = async {
            match (subject, &self.lease) {
                (Subject::Lease, Some(lease)) => {
                    self.client
                        .renew_lease(&lease.id, increment, &session.token, limit)
                        .await
                }
                _ => {
                    self.client
                        .renew_self(increment, &session.token, limit)
                        .await
                }
            }
        };
        session.count_use(call).await
    }

    async fn token_is_alive(&self, limit: Duration) -> Option<bool> {
        let session = &self.holding.session;
        let look = self.client.lookup_self(&session.token, limit);
        let looked = session.count_use(look).await;
        match looked {
            Ok(()) => Some(true),
            // A policy that forbids the question is the policy of a token that is known.
            Err(failure) if failure.is_policy() => Some(true),
            Err(failure) if failure.is_token_gone() => Some(false),
            Err(_) => None,
        }
    }

    fn use_next_address(&self) {
        self.client.use_next_address();
    }

    fn extended(&self, subject: Subject, expiry: Moment) {
        match (subject, &self.lease) {
            (Subject::Lease, Some(lease)) => lease.expiry.set(expiry),
            _ => self.holding.session.renewed_until(expiry),
        }
    }
}

/// Keeps one set of credentials alive.
#[derive(Debug)]
pub struct Keeper<R, C> {
    /// Who renews.
    pub renewer: R,
    /// When to do what.
    pub schedule: Schedule,
    /// The clock.
    pub clock: C,
    /// What to tell people.
    pub report: Reporter,
    /// What to do at once.
    pub commands: mpsc::UnboundedReceiver<Command>,
    /// What there is to decide.
    pub events: mpsc::UnboundedSender<Event>,
    /// Whether an end that the server could not be asked about was told; not at first.
    pub told_end: bool,
}

impl<R: Renew, C: Clock + Clone> Keeper<R, C> {
    /// Runs until nobody listens any more.
    pub async fn run(mut self) {
        match self.schedule.expiry() {
            Some(expiry) if self.schedule.deadline().is_none() => {
                let at = wall(expiry, self.clock.now());
                self.report.info(format_args!(
                    "the credentials are good until {at}, and will be renewed before"
                ));
            }
            _ => self.say_deadline(None),
        }
        let clock = self.clock.clone();
        // One for all turns: a suspension while something is carried out counts too.
        let mut resumed = pin!(clock.resumed());
        loop {
            let next = self.schedule.next();
            let due = async {
                match next {
                    Some((at, step)) => {
                        self.clock.sleep_until(at).await;
                        step
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(Command::LookNow) => self.schedule.look_now(self.clock.now()),
                    Some(Command::ActFailed) => {
                        self.schedule.act_failed(self.clock.now(), fastrand::f64());
                    }
                    None => return,
                },
                () = &mut resumed => {
                    resumed.set(clock.resumed());
                    self.report.info("the host was suspended: looking at the lease");
                    self.schedule.look_now(self.clock.now());
                }
                step = due => self.carry_out(step).await,
            }
        }
    }

    async fn carry_out(&mut self, step: Step) {
        match step {
            Step::Renew(subject, increment) => self.renew(subject, increment).await,
            Step::Act(deadline) => {
                self.schedule.acted();
                let _heard = self.events.send(Event::Expiring(deadline));
            }
            Step::End(deadline) => {
                self.schedule.ended();
                let _heard = self.events.send(Event::Expired(deadline));
            }
        }
    }

    async fn renew(&mut self, subject: Subject, increment: Duration) {
        let before = self.schedule.deadline();
        let limit = self.schedule.patience(self.clock.now());
        let result = self.renewer.renew(subject, increment, limit).await;
        // Chance is drawn once a step, and time is read after the answer: the server counts from
        // the moment it answered, and an expiry that is taken for later than it is would be worse.
        let chance = fastrand::f64();
        if result.as_ref().err().is_none_or(Failure::was_sent) {
            self.schedule.used_token(chance);
        }
        let now = self.clock.now();
        match result {
            Ok(renewed) => {
                self.renewer.extended(subject, now + renewed.granted);
                let granted = humantime::format_duration(renewed.granted);
                self.report
                    .info(format_args!("renewed the {subject} for {granted}"));
                self.schedule.renewed(subject, renewed, now, chance);
                self.told_end = false;
            }
            Err(failure) => self.renewal_failed(subject, &failure).await,
        }
        self.say_deadline(before);
    }

    async fn renewal_failed(&mut self, subject: Subject, failure: &Failure) {
        let chance = fastrand::f64();
        let cause = match judge(subject, failure) {
            Verdict::Passing => None,
            Verdict::Final(cause) => Some(cause),
            Verdict::Unclear => {
                self.schedule.used_token(chance);
                let limit = self.schedule.patience(self.clock.now());
                let alive = self.renewer.token_is_alive(limit).await;
                alive.map(|alive| {
                    if alive {
                        Cause::Denied(subject)
                    } else {
                        Cause::Lost(Subject::Token)
                    }
                })
            }
        };
        let now = self.clock.now();
        if let Some(cause) = cause {
            let fixed = if cause == Cause::Lost(Subject::Token) {
                Subject::Token
            } else {
                subject
            };
            self.report
                .warn(format_args!("cannot renew the {subject}: {failure}"));
            self.schedule.fixed(fixed, cause, now, chance);
            return;
        }
        self.renewer.use_next_address();
        self.schedule
            .failed(subject, failure.retry_after(), now, chance);
        let expiry = self.schedule.expiry();
        let left = expiry.map(|expiry| expiry.since(now)).unwrap_or_default();
        let message = format!(
            "cannot renew the {subject} now: {failure}; trying again, {} left",
            short(left)
        );
        let ended = expiry.is_some_and(|expiry| expiry <= now);
        if ended && !self.told_end {
            self.told_end = true;
            self.report.warn(format_args!(
                "the credentials have ended, as far as can be told: {failure}; trying again"
            ));
        } else if self.schedule.failures(subject) == 1 {
            self.report.warn(message);
        } else {
            self.report.debug(message);
        }
    }

    fn say_deadline(&self, before: Option<Deadline>) {
        let Some(deadline) = self
            .schedule
            .deadline()
            .filter(|deadline| Some(*deadline) != before)
        else {
            return;
        };
        let at = wall(deadline.at, self.clock.now());
        self.report.info(format_args!(
            "the credentials end at {at}: {}",
            deadline.cause
        ));
    }
}

/// A moment on the wall clock, in UTC.
#[must_use]
pub fn wall(moment: Moment, now: Moment) -> String {
    let stamp = humantime::format_rfc3339_seconds(moment.to_wall(now, SystemTime::now()));
    let mut text = String::new();
    // A year of more than four digits has no such form.
    match write!(text, "{stamp}") {
        Ok(()) => text,
        Err(_) => "a time after the year 9999".to_owned(),
    }
}

fn short(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

/// What a failed renewal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The server is sick or away, or its database is: it may pass.
    Passing,
    /// It will never work again.
    Final(Cause),
    /// The token is gone or the policy forbids it: the token has to be looked at.
    Unclear,
}

/// A lease or token that is gone is told apart from a server that is sick. A 400 alone says
/// nothing: every error of a backend becomes one. What a gateway in front of it says is an outage.
fn judge(subject: Subject, failure: &Failure) -> Verdict {
    let not_renewable = match subject {
        Subject::Lease => failure.is_lease_not_renewable(),
        Subject::Token => failure.is_token_not_renewable(),
    };
    if failure.status() == Some(403) && failure.is_from_api() {
        Verdict::Unclear
    } else if failure.is_past_max_ttl() {
        Verdict::Final(Cause::MaxTtl(subject))
    } else if not_renewable {
        Verdict::Final(Cause::NotRenewable(subject))
    } else if failure.is_lease_gone() {
        Verdict::Final(Cause::Lost(subject))
    } else {
        Verdict::Passing
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
