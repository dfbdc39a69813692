//! When to renew what, and when nothing can be renewed any more. Pure: time and chance are
//! arguments, so that the sequence of delays can be tested.
//!
//! A lease dies with its token, whatever its own duration says, so that both are followed and one
//! deadline is made of them. The sums are those of the official client's `LifetimeWatcher`; its
//! behaviour after errors, which asks in a tight loop, is not.

use std::time::Duration;

use crate::secret::Rotation;
use crate::sys::clock::Moment;
use crate::vault::{Backoff, Renewed};

/// The server's wish to wait is honoured for this long at most, when nothing is left to save.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// No wait after a failed renewal is shorter, however little time is left.
const SHORTEST_RETRY: Duration = Duration::from_millis(500);
/// How often it makes sense to look at something out of turn.
const LOOKS_APART: Duration = Duration::from_secs(1);
/// By how much the end of a lease may be told too early: the server counts in whole seconds.
const ROUNDING: Duration = Duration::from_secs(1);
/// A time that does not come.
const NEVER: Moment = Moment::since_boot(Duration::MAX);
/// A password that is changed is read again so long after its time: its seconds are rounded.
const AFTER_ROTATION: Duration = Duration::from_secs(1);
/// And so often until it is changed. The server looks every five seconds what is due.
const ROTATIONS_APART: Duration = Duration::from_secs(1);
/// It is late after so many looks, and looked at less often.
const LATE_AFTER: u32 = 15;
/// That often.
const LATE_APART: Duration = Duration::from_secs(5);
/// No answer to a renewal is waited for shorter than this.
const SHORTEST_ANSWER: Duration = Duration::from_secs(1);

/// What is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The token.
    Token,
    /// The lease of the credentials with this index.
    Lease(usize),
    /// The password of a static role, at this index: it is read again to see whether it was changed.
    Password(usize),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Token => "token",
            Self::Lease(_) => "lease",
            Self::Password(_) => "static role's password",
        })
    }
}

/// Why something cannot be extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The server granted less than was asked for: its max_ttl is near.
    MaxTtl(Subject),
    /// It was never renewable.
    NotRenewable(Subject),
    /// Batch tokens never are.
    BatchToken,
    /// The token's calls are counted, and the last ones are needed for the revocation.
    UsesSpent,
    /// The policy forbids the renewal.
    Denied(Subject),
    /// The server does not know it any more.
    Lost(Subject),
    /// The password of a static role was changed.
    Rotated,
}

impl Cause {
    /// Whether it is the token that ends, so that another lease under it would end as early.
    #[must_use]
    pub const fn is_of_token(self) -> bool {
        match self {
            Self::MaxTtl(subject)
            | Self::NotRenewable(subject)
            | Self::Denied(subject)
            | Self::Lost(subject) => matches!(subject, Subject::Token),
            Self::BatchToken | Self::UsesSpent => true,
            Self::Rotated => false,
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MaxTtl(subject) => write!(formatter, "the {subject} has reached its max_ttl"),
            Self::NotRenewable(subject) => write!(formatter, "the {subject} is not renewable"),
            Self::BatchToken => {
                formatter.write_str("the token is a batch token, and the lease ends with it")
            }
            Self::UsesSpent => formatter.write_str(
                "the token has a limited number of uses, and the last ones are kept for revoking",
            ),
            Self::Denied(subject) => write!(formatter, "the policy forbids renewing the {subject}"),
            Self::Lost(subject) => write!(formatter, "the {subject} is gone"),
            Self::Rotated => formatter.write_str("the static role's password was changed"),
        }
    }
}

/// The moment after which the credentials are dead, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Moment,
    /// Why not later.
    pub cause: Cause,
}

/// What was granted at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// When.
    pub at: Moment,
    /// For how long.
    pub duration: Duration,
    /// Why it cannot be renewed, if it cannot.
    pub fixed: Option<Cause>,
}

/// What is to be done next.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Renew this, asking for so much from then.
    Renew(Subject, Duration),
    /// The deadline is near: time to act on it.
    Act(Deadline),
    /// The deadline is here.
    End(Deadline),
}

/// One of the two things that have to be kept alive.
#[derive(Clone, Debug)]
struct Track {
    increment: Duration,
    granted_at: Moment,
    expiry: Moment,
    fixed: Option<Cause>,
    next: Moment,
    failures: u32,
    /// Whether it is the password of a static role, which nothing extends and whose end is not known
    /// before it has come.
    watched: bool,
}

/// The schedule of one set of credentials.
#[derive(Clone, Debug)]
pub struct Schedule {
    token: Option<Track>,
    /// One for each of the credentials; those without a lease that ends have none.
    leases: Vec<Option<Track>>,
    uses: Option<u64>,
    /// Whether what was to be done about the deadline has been done.
    acted: bool,
    /// Whether the deadline has passed, and that was said.
    over: bool,
    /// When to act on the deadline, once there is one.
    act_at: Option<Moment>,
    failed_acts: u32,
}

impl Schedule {
    /// A schedule for leases and the token that they hang on; any of them may be something that does
    /// not expire. With `lease_ttl` shorter than what was granted, the first renewal shortens it.
    #[must_use]
    pub fn new(
        token: Option<Grant>,
        leases: &[Option<Grant>],
        uses: Option<u64>,
        lease_ttl: Option<Duration>,
        chance: &mut impl FnMut() -> f64,
    ) -> Self {
        let mut shortened = false;
        let mut track = |grant: &Option<Grant>| {
            let grant = (*grant)?;
            let mut track = Track::new(grant, chance());
            if let Some(ttl) = lease_ttl.filter(|&ttl| ttl < grant.duration) {
                track.increment = ttl;
                track.next = grant.at;
                shortened = true;
            }
            Some(track)
        };
        let leases = leases.iter().map(&mut track).collect();
        let mut schedule = Self {
            token: token.map(|grant| Track::new(grant, chance())),
            leases,
            uses,
            acted: false,
            over: false,
            act_at: None,
            failed_acts: 0,
        };
        if !shortened {
            schedule.spare_leases();
        }
        schedule.check_uses();
        schedule.plan_act(None, chance());
        schedule
    }

    /// The next step and when it is due; nothing when there is nothing left to do.
    #[cfg(test)]
    pub fn next(&self) -> Option<(Moment, Step)> {
        self.next_of(true, true)
    }

    /// The next renewal, or what is to be done about the deadline, and when it is due.
    #[must_use]
    pub fn next_of(&self, renewals_too: bool, deadline_too: bool) -> Option<(Moment, Step)> {
        let renewal = |(subject, track): (Subject, &Track)| {
            let renewable = track.fixed.is_none();
            renewable.then_some((track.next, Step::Renew(subject, track.increment)))
        };
        let deadline = self.deadline();
        let cause = deadline.map(|deadline| deadline.cause);
        let ended = matches!(cause, Some(Cause::Lost(_)));
        let act = deadline
            .zip(self.act_at)
            .filter(|_| !self.acted)
            .map(|(d, at)| (at, Step::Act(d)));
        let end = deadline
            .filter(|_| !self.over && !ended && cause != Some(Cause::Rotated))
            .filter(|_| self.acted || self.failed_acts > 0)
            .map(|d| (d.at, Step::End(d)));
        // What is gone cannot be renewed, nor can what hangs on it.
        let renewals = self
            .tracks()
            .filter_map(renewal)
            .filter(|_| !ended && !self.over && renewals_too);
        let deadline = act.into_iter().chain(end).filter(|_| deadline_too);
        renewals.chain(deadline).min_by_key(|(at, _)| *at)
    }

    /// The moment after which nothing can be extended, as far as is known.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        self.tracks()
            .filter_map(|(_, track)| {
                track.fixed.map(|cause| Deadline {
                    at: track.expiry,
                    cause,
                })
            })
            .min_by_key(|deadline| deadline.at)
    }

    /// When the credentials end if nothing is renewed any more; never, if absent.
    #[must_use]
    pub fn expiry(&self) -> Option<Moment> {
        self.ending().map(|track| track.expiry).min()
    }

    /// What ends unless it is renewed, or has ended.
    fn ending(&self) -> impl Iterator<Item = &Track> {
        let tracks = self.tracks().map(|(_, track)| track);
        tracks.filter(|track| !track.watched || track.fixed.is_some())
    }

    /// The credentials with this index are those of a static role.
    pub fn watch(&mut self, index: usize, rotation: &Rotation) {
        if let Some(place) = self.leases.get_mut(index) {
            *place = Some(Track::watched(rotation));
        }
    }

    /// The password was read again, and is still the same.
    pub fn not_rotated(&mut self, index: usize, ttl: Duration, now: Moment) {
        let Some(track) = self.track(Subject::Password(index)) else {
            return;
        };
        // What counts the looks that came too early: none, where there is time left.
        track.failures = if ttl > ROTATIONS_APART {
            0
        } else {
            track.failures.saturating_add(1)
        };
        let apart = if track.failures > LATE_AFTER {
            LATE_APART
        } else {
            ROTATIONS_APART
        };
        track.expiry = now + ttl;
        track.next = now + ttl + apart;
    }

    /// Half of the time from the last grant to the end, as far as that is known.
    #[must_use]
    pub fn half_time(&self) -> Option<Moment> {
        let limiting = self.ending().min_by_key(|track| track.expiry)?;
        Some(limiting.granted_at + limiting.expiry.since(limiting.granted_at) / 2)
    }

    /// How long an answer to a renewal is waited for: one that hangs must leave time for others.
    #[must_use]
    pub fn answer_limit(&self, now: Moment) -> Duration {
        self.expiry().map_or(Duration::MAX, |expiry| {
            (expiry.since(now) / 3).max(SHORTEST_ANSWER)
        })
    }

    /// How many renewals have failed since the last one that succeeded.
    #[must_use]
    pub fn failures(&self, subject: Subject) -> u32 {
        let mut tracks = self.tracks();
        let track = tracks.find(|(known, _)| *known == subject);
        track.map_or(0, |(_, track)| track.failures)
    }

    /// A renewal succeeded.
    pub fn renewed(&mut self, subject: Subject, renewed: Renewed, now: Moment, chance: f64) {
        let before = self.deadline();
        let Some(track) = self.track(subject) else {
            return;
        };
        track.expiry = now + renewed.granted;
        track.granted_at = now;
        track.failures = 0;
        track.next = now + until_renewal(renewed.granted, chance).max(SHORTEST_RETRY);
        // The granted duration decides, not the status: seconds are rounded, hence the one.
        if renewed.granted.is_zero() || renewed.granted.as_secs() + 1 < track.increment.as_secs() {
            track.fixed = Some(Cause::MaxTtl(subject));
        } else if !renewed.renewable {
            track.fixed = Some(Cause::NotRenewable(subject));
        }
        // The others are renewed in the same breath if their turn is near: one wake-up for all.
        let near = track.next.since(now) / 10;
        for other in self.tracks_mut() {
            if !other.watched
                && other.failures == 0
                && other.next > now
                && other.next.since(now) <= near
            {
                other.next = now;
            }
        }
        if subject != Subject::Token {
            self.spare_leases();
        }
        self.plan_act(before, chance);
    }

    /// A renewal failed in a way that may pass: waits longer each time, and never less than a
    /// floor, but tries again before the expiry where there is time for that.
    pub fn failed(
        &mut self,
        subject: Subject,
        retry_after: Option<Duration>,
        now: Moment,
        chance: f64,
    ) {
        let Some(track) = self.track(subject) else {
            return;
        };
        let mut delay = Backoff::PATIENT.delay(track.failures, chance);
        let left = track.expiry.since(now);
        if !left.is_zero() {
            delay = delay.min(left / 4);
        }
        track.failures = track.failures.saturating_add(1);
        track.next = now + delay.max(honoured(retry_after, left)).max(SHORTEST_RETRY);
    }

    /// Something can never be extended again, for this reason; if it is lost, it has ended now.
    pub fn fixed(&mut self, subject: Subject, cause: Cause, now: Moment, chance: f64) {
        let before = self.deadline();
        let Some(track) = self.track(subject) else {
            return;
        };
        track.fixed = Some(cause);
        if matches!(cause, Cause::Lost(_) | Cause::Rotated) {
            track.expiry = now;
        }
        self.plan_act(before, chance);
    }

    /// A call was made with the token.
    pub fn used_token(&mut self, chance: f64) {
        let before = self.deadline();
        self.uses = self.uses.map(|uses| uses.saturating_sub(1));
        self.check_uses();
        self.plan_act(before, chance);
    }

    /// Time may have passed unseen, or somebody may have changed something: renew what can be
    /// renewed at once.
    pub fn look_now(&mut self, now: Moment) {
        for track in self.tracks_mut() {
            // What was renewed a moment ago has been looked at.
            track.next = track.next.min(now.max(track.granted_at + LOOKS_APART));
        }
    }

    /// What was to be done about the deadline has been done.
    pub fn acted(&mut self) {
        self.acted = true;
    }

    /// The deadline has passed.
    pub fn ended(&mut self) {
        self.over = true;
    }

    /// What was to be done about the deadline failed: it is tried again, each time later.
    pub fn act_failed(&mut self, now: Moment, chance: f64) {
        let delay = Backoff::PATIENT
            .delay(self.failed_acts, chance)
            .max(SHORTEST_RETRY);
        self.failed_acts = self.failed_acts.saturating_add(1);
        self.acted = false;
        self.act_at = Some(now + delay);
    }

    /// Another schedule with the same token renews it.
    pub fn leave_token(&mut self) {
        if let Some(token) = &mut self.token {
            token.next = NEVER;
        }
    }

    /// The other schedule with the same token is gone.
    pub fn take_token(&mut self, now: Moment) {
        if let Some(token) = &mut self.token {
            token.next = now;
        }
    }

    fn tracks(&self) -> impl Iterator<Item = (Subject, &Track)> {
        let token = self.token.iter().map(|track| (Subject::Token, track));
        let leases = self.leases.iter().enumerate();
        token.chain(leases.filter_map(|(index, track)| {
            let track = track.as_ref()?;
            let subject = if track.watched {
                Subject::Password(index)
            } else {
                Subject::Lease(index)
            };
            Some((subject, track))
        }))
    }

    fn tracks_mut(&mut self) -> impl Iterator<Item = &mut Track> {
        self.token
            .iter_mut()
            .chain(self.leases.iter_mut().flatten())
    }

    /// What was to be done about the deadline is tried again at this moment.
    pub fn act_again(&mut self, at: Moment) {
        self.act_at = Some(at);
    }

    fn track(&mut self, subject: Subject) -> Option<&mut Track> {
        match subject {
            Subject::Token => self.token.as_mut(),
            Subject::Lease(index) | Subject::Password(index) => {
                self.leases.get_mut(index)?.as_mut()
            }
        }
    }

    /// A lease that lasts as long as a token that cannot be renewed has no turn of its own any more: it ends with the token,
    /// whatever a renewal says. It is still looked at when time may have passed unseen.
    fn spare_leases(&mut self) {
        let Some(token) = self.token.as_ref().filter(|token| token.fixed.is_some()) else {
            return;
        };
        for lease in self.leases.iter_mut().flatten() {
            if !lease.watched && lease.expiry + ROUNDING >= token.expiry {
                lease.next = NEVER;
            }
        }
    }

    /// The last uses of a counted token are not spent on renewals: with the very last one the
    /// token and all its leases end, under the child's hands. One is kept to revoke each lease, one
    /// for the token itself.
    fn check_uses(&mut self) {
        let reserved = 1 + self.leases.iter().flatten().count();
        if self
            .uses
            .is_some_and(|uses| uses <= u64::try_from(reserved).unwrap_or(u64::MAX))
        {
            for track in self.tracks_mut() {
                track.fixed.get_or_insert(Cause::UsesSpent);
            }
        }
    }

    /// When the child has to be told to end, so that it has ended before its credentials do: with the
    /// time that it is given for that, but not before most of their life is used.
    #[must_use]
    pub fn last_call(&self, stop_timeout: Duration) -> Option<Moment> {
        let deadline = self.deadline()?;
        let margin = self.limiting(deadline).mul_f64(0.15);
        Some(deadline.at - margin.min(stop_timeout + Duration::from_secs(1)))
    }

    /// How long that was granted for which ends at a deadline.
    fn limiting(&self, deadline: Deadline) -> Duration {
        let mut tracks = self.tracks();
        let limiting = tracks.find(|(_, track)| track.expiry == deadline.at);
        limiting.map_or(Duration::ZERO, |(_, track)| track.increment)
    }

    /// Chooses when to act, when there is a deadline that was not there `before`: well ahead of
    /// it, and not all clients at once.
    fn plan_act(&mut self, before: Option<Deadline>, chance: f64) {
        let deadline = self.deadline();
        let Some(found) = deadline.filter(|_| deadline != before) else {
            return;
        };
        let whole = self.limiting(found);
        let mut tracks = self.tracks();
        let is_password = tracks.any(|(_, track)| track.watched && track.expiry == found.at);
        let act_at = match (is_password, found.cause) {
            (true, Cause::Rotated) => found.at,
            // Before its time it would only be the same again.
            (true, _) => found.at + AFTER_ROTATION,
            (false, _) => found.at - whole.mul_f64(0.2 + 0.1 * chance),
        };
        drop(tracks);
        // A deadline that comes nearer is acted on again, unless that is already on its way.
        let sooner = self.act_at.is_none_or(|known| act_at < known);
        if sooner {
            self.act_at = Some(act_at);
            self.acted = false;
        }
    }
}

impl Track {
    fn new(grant: Grant, chance: f64) -> Self {
        Self {
            increment: grant.duration,
            granted_at: grant.at,
            expiry: grant.at + grant.duration,
            fixed: grant.fixed,
            next: grant.at + until_renewal(grant.duration, chance),
            failures: 0,
            watched: false,
        }
    }

    fn watched(rotation: &Rotation) -> Self {
        Self {
            increment: rotation.ttl,
            granted_at: rotation.read_at,
            expiry: rotation.read_at + rotation.ttl,
            fixed: None,
            next: rotation.read_at + rotation.ttl + AFTER_ROTATION,
            failures: 0,
            watched: true,
        }
    }
}

/// `LifetimeWatcher`'s sum: a grace of 10 to 20 % of the duration, and of what is left two thirds,
/// plus a third of the grace. That is 70 to 73 % of the duration.
fn until_renewal(duration: Duration, chance: f64) -> Duration {
    let grace = duration.mul_f64(0.1 + 0.1 * chance);
    duration.mul_f64(2.0 / 3.0) + grace / 3
}

/// How long the server's `Retry-After` is honoured: it must not keep us from trying again while
/// there is something to save.
fn honoured(retry_after: Option<Duration>, left: Duration) -> Duration {
    let most = if left.is_zero() {
        LONGEST_RETRY
    } else {
        left / 2
    };
    retry_after.unwrap_or_default().min(most)
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
