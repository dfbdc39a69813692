//! Credentials on their way: a login, or the token at hand, and a read of each path. Pure.

use super::set::Set;
use super::unobtained::Unobtained;
use crate::ledger::{LeaseNo, Ledger, SessionNo};
use crate::login::{CannotRepeat, Outlook};
use crate::secret::{Fields, Rotation};
use crate::sys::clock::Moment;

/// New credentials that are being asked for.
#[derive(Debug)]
pub struct Obtaining {
    /// When to begin, until that has been done.
    begins_at: Option<Moment>,
    /// No request is repeated after this moment.
    pub until: Moment,
    /// The token they are read with, once there is one.
    pub session: Option<SessionNo>,
    /// Whether the token was issued for this: a node that is behind may not know it yet.
    pub new_token: bool,
    /// How many reads are under way.
    pub reads: usize,
    /// Whether one may have made a lease that nobody knows.
    pub lost: bool,
    /// Whether all that failed did so only because an answer did not arrive: of several reads, one that
    /// was refused would be refused again.
    pub undelivered: bool,
    /// How often that has led to another login.
    pub losses: u32,
    /// The first reason why there will be none.
    pub error: Option<Unobtained>,
    got: Vec<Option<Got>>,
}

/// What one path has answered.
#[derive(Debug)]
pub struct Got {
    /// What it holds.
    pub secret: Fields,
    /// Its lease.
    pub lease: Option<LeaseNo>,
    /// When it is changed, where it has none.
    pub rotation: Option<Rotation>,
}

impl Obtaining {
    /// Nothing is asked for before `begins_at`.
    pub fn new(begins_at: Moment, until: Moment, paths: usize) -> Self {
        Self {
            begins_at: Some(begins_at),
            until,
            session: None,
            new_token: false,
            reads: 0,
            lost: false,
            undelivered: false,
            losses: 0,
            error: None,
            got: (0..paths).map(|_| None).collect(),
        }
    }

    /// When to begin, if that has not been done.
    pub const fn begins_at(&self) -> Option<Moment> {
        self.begins_at
    }

    /// It begins; says until when requests are repeated.
    pub const fn begin(&mut self) -> Moment {
        self.begins_at = None;
        self.until
    }

    /// Another try, with another login, from `begins_at` on.
    pub fn again(self, begins_at: Moment) -> Self {
        Self {
            losses: self.losses + 1,
            ..Self::new(begins_at, self.until, self.got.len())
        }
    }

    /// One of the reads has failed.
    pub fn fail(&mut self, error: Unobtained, undelivered: bool) {
        match &self.error {
            Some(_) if undelivered || !self.undelivered => {}
            // What was refused is the reason, whatever was lost beside it.
            _ => {
                self.error = Some(error);
                self.undelivered = undelivered;
            }
        }
    }

    /// One of the reads has been answered.
    pub fn enter(&mut self, index: usize, got: Got) {
        if let Some(place) = self.got.get_mut(index) {
            *place = Some(got);
        }
    }

    /// All of them, once all are there.
    pub fn finish(self) -> Vec<Got> {
        self.got.into_iter().flatten().collect()
    }
}

/// How new credentials are got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// With the token at hand.
    KeepToken(SessionNo),
    /// With a new one, so that the old leases go with their token.
    LogIn,
}

/// Decides how to replace what the child has.
///
/// # Errors
/// Why there can be no new credentials.
pub fn plan(
    ledger: &Ledger,
    current: &Set,
    outlook: &Outlook,
    now: Moment,
) -> Result<Plan, CannotRepeat> {
    let Some(session) = ledger.session(current.session) else {
        return delivered(outlook.allows(now).map(|()| Plan::LogIn), outlook);
    };
    let leases: Vec<_> = current.leases.iter().flatten().collect();
    let leases = leases
        .iter()
        .filter_map(|no| ledger.lease(**no).map(|(_, lease)| lease));
    // A lease may end early because it never outlives a token that cannot be renewed.
    let fixed_token = session.batch || !session.renewable;
    let bounded = session
        .expiry
        .filter(|_| fixed_token)
        .is_some_and(|expiry| {
            leases
                .clone()
                .any(|lease| expiry.since(now) < lease.duration)
        });
    let cause = current.schedule.deadline().map(|deadline| deadline.cause);
    let token_ends = bounded || cause.is_none_or(super::schedule::Cause::is_of_token);
    // A lease that nobody knows goes only with its token, so that one is to be replaced too.
    let leases_go_alone = !session.unknown_lease
        && session.uses.is_none()
        && session.rights.is_some()
        && leases.clone().all(|lease| !session.forbids(lease));
    let chosen = choose(token_ends, leases_go_alone, outlook.allows(now), session.no);
    delivered(chosen, outlook)
}

/// Where nothing but another login helps, the login itself looks whether what it is made of was
/// delivered anew, and asks the server only then.
fn delivered(chosen: Result<Plan, CannotRepeat>, outlook: &Outlook) -> Result<Plan, CannotRepeat> {
    match chosen {
        Err(_) if outlook.may_be_delivered_anew() => Ok(Plan::LogIn),
        chosen => chosen,
    }
}

fn choose(
    token_ends: bool,
    leases_go_alone: bool,
    can_log_in: Result<(), CannotRepeat>,
    session: SessionNo,
) -> Result<Plan, CannotRepeat> {
    match (token_ends, leases_go_alone, can_log_in) {
        (false, true, _) => Ok(Plan::KeepToken(session)),
        (_, _, Ok(())) => Ok(Plan::LogIn),
        // Letting the old lease expire beats having no credentials.
        (false, false, Err(_)) => Ok(Plan::KeepToken(session)),
        (true, _, Err(reason)) => Err(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_may_have_been_written_anew_is_looked_at() {
        let refused = Err(CannotRepeat::Refused("the secret id"));
        for (source, expected) in [(None, refused), (Some("/run/id"), Ok(Plan::LogIn))] {
            let outlook = Outlook {
                source: source.map(str::to_owned),
                ..Outlook::default()
            };
            assert_eq!(delivered(refused, &outlook), expected);
        }
    }

    #[test]
    fn a_token_is_kept_where_it_outlives_the_lease_and_the_lease_can_go_alone() {
        let mut ledger = Ledger::default();
        ledger.apply(crate::ledger::Fact::LoggedIn(
            crate::manager::test_support::service_token(60),
        ));
        let no = ledger
            .sessions()
            .first()
            .map(|session| session.no)
            .expect("a token");
        let (keep, cannot) = (
            Ok(Plan::KeepToken(no)),
            Err::<(), _>(CannotRepeat::UsesSpent),
        );
        for (token_ends, leases_go_alone, can_log_in, expected) in [
            (false, true, Ok(()), keep),
            (false, true, cannot, keep),
            (false, false, Ok(()), Ok(Plan::LogIn)),
            (false, false, cannot, keep),
            (true, true, Ok(()), Ok(Plan::LogIn)),
            (true, false, Ok(()), Ok(Plan::LogIn)),
            (true, true, cannot, Err(CannotRepeat::UsesSpent)),
            (true, false, cannot, Err(CannotRepeat::UsesSpent)),
        ] {
            let can = can_log_in;
            let found = choose(token_ends, leases_go_alone, can, no);
            assert_eq!(found, expected, "{token_ends} {leases_go_alone} {can:?}");
        }
    }
}
