//! How credentials are kept alive, and what happens when they cannot be.

use std::time::Duration;

use super::{Action, Machine};
use crate::ledger::{Fact, Target};
use crate::login::CannotRepeat;
use crate::manager::request::Request;
use crate::manager::schedule::{Cause, Subject};
use crate::manager::set::{Set, SetNo};
use crate::manager::wording;
use crate::revoke;
use crate::secret::Rotation;
use crate::sys::clock::Moment;
use crate::vault::{Failure, Renewed};

/// So long after a file was replaced a connection may still be opened with what it held before.
const LATE_READERS: Duration = Duration::from_secs(5);

impl Machine {
    /// The fresh credentials become the current ones, and the old ones are revoked.
    pub(super) fn started(&mut self, now: Moment) {
        // The child that had it is gone.
        self.outgoing = None;
        self.replace(now, None);
    }

    /// As `started`, but the old ones stay for those that have just read them from the file.
    pub(super) fn handed_over(&mut self, now: Moment) {
        self.replace(now, Some(now + LATE_READERS));
    }

    fn replace(&mut self, now: Moment, stays: Option<Moment>) {
        let Some((fresh, _)) = self.fresh.take() else {
            return;
        };
        self.ledger.apply(Fact::ClaimedBack);
        if self.rules.keep {
            self.ledger.apply(Fact::Kept(fresh.session));
        }
        let old = self.current.replace(fresh);
        let first = old.is_none();
        self.outgoing = old.zip(stays);
        self.retire_unused(now);
        if first && self.rules.replace {
            wording::say_outlook(&self.outlook, now);
        }
    }

    /// The fresh credentials are revoked, and count as not obtained.
    pub(super) fn give_back(&mut self, now: Moment) {
        let fresh = self.fresh.take();
        if let Some(current) = &mut self.current {
            current.tried = true;
            if fresh.is_some_and(|(fresh, _)| fresh.session == current.session) {
                current.schedule.take_token(now);
            }
            self.retire_unused(now);
        }
    }

    /// Everything but what the child has, or is about to have, is to be revoked.
    pub(super) fn retire_unused(&mut self, now: Moment) {
        let sets = self
            .current
            .iter()
            .chain(self.fresh.iter().map(|(set, _)| set))
            .chain(self.outgoing.iter().map(|(set, _)| set));
        let used: Vec<_> = sets.map(|set| (set.session, set.leases.clone())).collect();
        let leases_until = now + self.rules.revoke_timeout.mul_f64(revoke::LEASES_SHARE);
        let mut retired = Vec::new();
        for session in self.ledger.sessions() {
            if !used.iter().any(|(no, _)| *no == session.no) {
                if session.retired.is_none() {
                    retired.push(Target::Token(session.no));
                }
                continue;
            }
            let unused = session.leases.iter().filter(|lease| {
                !lease.is_settled()
                    && !lease.retired
                    && !used
                        .iter()
                        .any(|(_, leases)| leases.contains(&Some(lease.no)))
            });
            retired.extend(unused.map(|lease| Target::Lease(lease.no)));
        }
        for target in retired {
            self.ledger.apply(Fact::Retired(target, leases_until));
        }
    }

    pub(super) fn renewed(
        &mut self,
        no: SetNo,
        subject: Subject,
        result: Result<Renewed, Failure>,
        now: Moment,
        chance: &mut dyn FnMut() -> f64,
        actions: &mut Vec<Action>,
    ) {
        let was_sent = result.as_ref().err().is_none_or(Failure::was_sent);
        let Some(set) = self.sets().find(|set| set.no == no) else {
            return;
        };
        let (session, before) = (set.session, set.schedule.deadline());
        set.renewing = false;
        let look_again = std::mem::take(&mut set.look_again);
        if was_sent {
            set.schedule.used_token(chance());
        }
        match result {
            Ok(renewed) => {
                set.schedule.renewed(subject, renewed, now, chance());
                set.denied = None;
                set.told_end = false;
                log::info!(event = "renewed"; "renewed the {subject} for {}", humantime::format_duration(renewed.granted));
                let target = match subject {
                    Subject::Token => Some(Target::Token(session)),
                    Subject::Password(_) => None,
                    Subject::Lease(index) => {
                        set.leases.get(index).copied().flatten().map(Target::Lease)
                    }
                };
                wording::say_end(&set.schedule, before, now);
                if let Some(target) = target {
                    self.ledger
                        .apply(Fact::Extended(target, now + renewed.granted));
                }
            }
            Err(failure) => match judge(subject, &failure) {
                Verdict::Passing => set.failed(subject, &failure, now, chance()),
                Verdict::Final(cause) => set.fixed(subject, cause, &failure, now, chance()),
                Verdict::Unclear => {
                    set.renewing = true;
                    let limit = set.schedule.answer_limit(now);
                    if let Some(token) = self
                        .ledger
                        .session(session)
                        .map(|session| session.token.clone())
                    {
                        self.ledger.apply(Fact::Used(session));
                        actions.push(Action::Ask(Request::LookUp {
                            set: no,
                            subject,
                            failure,
                            token,
                            limit,
                        }));
                    }
                }
            },
        }
        if !was_sent {
            self.ledger.apply(Fact::NotUsed(session));
        }
        if look_again {
            self.with_set(no, |set| set.look_now(now));
        }
    }

    /// A password that was changed has ended for the child at this moment.
    pub(super) fn rotation(
        &mut self,
        no: SetNo,
        index: usize,
        found: Option<Rotation>,
        now: Moment,
        chance: f64,
    ) {
        self.with_set(no, |set| {
            let known = set.rotations.get(index).and_then(Option::as_ref);
            match found {
                Some(found) if known.is_some_and(|known| known.made == found.made) => {
                    set.schedule.not_rotated(index, found.ttl, now);
                }
                _ => {
                    let cause = Cause::Rotated;
                    set.schedule
                        .fixed(Subject::Password(index), cause, now, chance);
                }
            }
        });
    }

    /// Whether the token is still good, when a renewal was forbidden.
    pub(super) fn looked_up(
        &mut self,
        no: SetNo,
        subject: Subject,
        failure: &Failure,
        alive: Option<bool>,
        now: Moment,
        chance: f64,
    ) {
        self.with_set(no, |set| {
            set.renewing = false;
            set.schedule.used_token(chance);
            match alive {
                // It may be a node that is behind, or a fault that has passed: one more try before
                // anything is replaced.
                Some(true) if set.denied != Some(subject) => {
                    set.denied = Some(subject);
                    set.failed(subject, failure, now, chance);
                }
                Some(true) => set.fixed(subject, Cause::Denied(subject), failure, now, chance),
                Some(false) => {
                    let cause = Cause::Lost(Subject::Token);
                    set.fixed(Subject::Token, cause, failure, now, chance);
                }
                None => set.failed(subject, failure, now, chance),
            }
        });
    }

    /// When a child has to be told to end, because its credentials will and there can be no others.
    pub(super) fn last_call(&self, set: &Set) -> Option<Moment> {
        let deadline = set.schedule.deadline()?;
        let replaceable = self.fresh.is_some() || self.outlook.allows(deadline.at).is_ok();
        if !self.rules.end_child || set.last_called || (self.rules.replace && replaceable) {
            return None;
        }
        // First it is found out whether what a login is made of was delivered anew.
        let asked = !self.rules.replace || set.tried;
        asked
            .then(|| set.schedule.last_call(self.rules.stop_timeout))
            .flatten()
    }

    /// When to warn that credentials will end and cannot be replaced.
    pub(super) fn warning(&self, set: &Set) -> Option<Moment> {
        let expiry = set.schedule.expiry()?;
        // That there is no other token than the one handed in matters where that one ends.
        let deadline = set.schedule.deadline();
        let expected = self.outlook.cannot == Some(CannotRepeat::HandedIn)
            && deadline.is_none_or(|deadline| !deadline.cause.is_of_token());
        let hopeless = self.outlook.allows(expiry).is_err() && self.rules.replace && !expected;
        (hopeless && !set.warned && self.fresh.is_none())
            .then(|| set.schedule.half_time())
            .flatten()
    }

    pub(super) fn warn_of_the_end(&mut self, now: Moment) {
        let Some(set) = &self.current else { return };
        if self.warning(set).is_none_or(|at| at > now) {
            return;
        }
        wording::warn_of_end(&set.schedule, &self.outlook, now);
        let no = set.no;
        self.with_set(no, |set| set.warned = true);
    }
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
        Subject::Lease(_) => failure.is_lease_not_renewable(),
        Subject::Token => failure.is_token_not_renewable(),
        Subject::Password(_) => false,
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
