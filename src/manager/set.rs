//! One set of credentials: a token, the leases that hang on it, and when to renew them.

use std::time::Duration;

use super::schedule::{Cause, Grant, Schedule, Step, Subject};
use super::wording;
use crate::ledger::{LeaseNo, Ledger, SessionNo};
use crate::secret::Rotation;
use crate::sys::clock::Moment;
use crate::vault::Failure;

/// The number of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetNo(pub u32);

/// What one child has.
#[derive(Debug)]
pub struct Set {
    /// Its number.
    pub no: SetNo,
    /// The token.
    pub session: SessionNo,
    /// The lease of each of the credentials, if it has one.
    pub leases: Vec<Option<LeaseNo>>,
    /// Of each, what is known of the password of a static role.
    pub rotations: Vec<Option<Rotation>>,
    /// When to do what.
    pub schedule: Schedule,
    /// When it was issued.
    pub since: Moment,
    /// Whether a renewal is under way.
    pub renewing: bool,
    /// Whether it was to be looked at meanwhile.
    pub look_again: bool,
    /// What could not be renewed the last time although the token is good.
    pub denied: Option<Subject>,
    /// Whether the user was warned of an expiry during an outage.
    pub told_end: bool,
    /// Whether it was tried to replace it.
    pub tried: bool,
    /// Whether the user was warned that it cannot be replaced.
    pub warned: bool,
    /// Whether the child was told to end because of it.
    pub last_called: bool,
}

impl Set {
    /// A set that was just issued.
    pub const fn new(
        no: SetNo,
        session: SessionNo,
        leases: Vec<Option<LeaseNo>>,
        rotations: Vec<Option<Rotation>>,
        schedule: Schedule,
        now: Moment,
    ) -> Self {
        Self {
            no,
            session,
            leases,
            rotations,
            schedule,
            since: now,
            renewing: false,
            look_again: false,
            denied: None,
            told_end: false,
            tried: false,
            warned: false,
            last_called: false,
        }
    }

    /// The schedule that keeps a token and leases alive.
    pub fn schedule(
        ledger: &Ledger,
        session: SessionNo,
        leases: &[Option<LeaseNo>],
        rotations: &[Option<Rotation>],
        lease_ttl: Option<Duration>,
        mut chance: &mut dyn FnMut() -> f64,
    ) -> Schedule {
        let leases: Vec<_> = leases
            .iter()
            .map(|lease| {
                let (_, lease) = ledger.lease((*lease)?)?;
                // A lease that says nothing of its end has none that could be met.
                (!lease.duration.is_zero()).then_some(Grant {
                    at: lease.granted_at,
                    duration: lease.duration,
                    fixed: (!lease.renewable).then_some(Cause::NotRenewable(Subject::Token)),
                })
            })
            .collect();
        let leases: Vec<_> = leases
            .into_iter()
            .enumerate()
            .map(|(index, grant)| {
                grant.map(|grant| Grant {
                    fixed: grant
                        .fixed
                        .map(|_| Cause::NotRenewable(Subject::Lease(index))),
                    ..grant
                })
            })
            .collect();
        let rotations = rotations.iter().enumerate();
        let rotations = rotations.filter_map(|(index, it)| Some((index, it.as_ref()?)));
        // A password is read again with the token.
        let is_needed = leases.iter().any(Option::is_some) || rotations.clone().next().is_some();
        let Some(session) = ledger.session(session).filter(|_| is_needed) else {
            // Nothing hangs on the token any more.
            return Schedule::new(None, &leases, None, None, &mut chance);
        };
        // A token that is used again may have been renewed since its login.
        let token = session.expiry.map(|expiry| Grant {
            at: expiry - session.duration,
            duration: session.duration,
            fixed: match (session.batch, session.renewable) {
                (true, _) => Some(Cause::BatchToken),
                (false, false) => Some(Cause::NotRenewable(Subject::Token)),
                (false, true) => None,
            },
        });
        let mut schedule = Schedule::new(token, &leases, session.uses, lease_ttl, &mut chance);
        for (index, rotation) in rotations {
            schedule.watch(index, rotation);
        }
        schedule
    }

    /// The next step of the schedule. While a renewal is under way, there is no other one; and what
    /// becomes of credentials that no child has yet is nobody's news.
    pub fn next(&self, has_child: bool) -> Option<(Moment, Step)> {
        self.schedule.next_of(!self.renewing, has_child)
    }

    /// Time may have passed unseen: renews at once, or once more when what is under way is done.
    pub fn look_now(&mut self, now: Moment) {
        self.look_again = self.renewing;
        self.schedule.look_now(now);
    }

    /// Something can never be extended again.
    pub fn fixed(
        &mut self,
        subject: Subject,
        cause: Cause,
        failure: &Failure,
        now: Moment,
        chance: f64,
    ) {
        let before = self.schedule.deadline();
        let reason = failure.to_string();
        log::warn!(event = "not_renewed", reason = reason.as_str(); "cannot renew the {subject}: {failure}");
        self.schedule.fixed(subject, cause, now, chance);
        wording::say_end(&self.schedule, before, now);
    }

    /// A renewal failed in a way that may pass.
    pub fn failed(&mut self, subject: Subject, failure: &Failure, now: Moment, chance: f64) {
        self.schedule
            .failed(subject, failure.retry_after(), now, chance);
        let expiry = self.schedule.expiry();
        let left = expiry.map(|expiry| expiry.since(now)).unwrap_or_default();
        let ended = expiry.is_some_and(|expiry| expiry <= now);
        if ended && !self.told_end {
            self.told_end = true;
            log::warn!(event = "ended"; "the credentials have ended, as far as can be told: {failure}; trying again");
            return;
        }
        let level = if self.schedule.failures(subject) == 1 {
            log::Level::Warn
        } else {
            log::Level::Debug
        };
        let reason = failure.to_string();
        log::log!(level, event = "not_renewed", reason = reason.as_str(); "cannot renew the {subject} now: {failure}; trying again, {} left", wording::short(left));
    }
}
