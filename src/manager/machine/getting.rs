//! How credentials are got: a login or the token at hand, the question for rights, and the reads.

use std::time::Duration;

use super::{Action, Machine, News};
use crate::ledger::{Fact, LeaseNo, NewSession, Rights, SessionNo, Target};
use crate::manager::obtaining::{Got, Obtaining, Plan, plan};
use crate::manager::request::Request;
use crate::manager::set::{Set, SetNo};
use crate::manager::unobtained::Unobtained;
use crate::manager::wording;
use crate::secret::{Issued, Rotation};
use crate::sys::clock::Moment;
use crate::vault::Backoff;

/// Credentials that end sooner than this after they were issued are not replaced at once.
const SHORT_LIFE: Duration = Duration::from_secs(2);

/// By how much a read of credentials is ahead of the question for rights. A server that gets both at once may work on the
/// question first, and somebody waits for the read.
const HEAD_START: Duration = Duration::from_millis(1);

impl Machine {
    pub(super) fn want(&mut self, now: Moment, chance: f64, actions: &mut Vec<Action>) {
        if self.fresh.is_some() {
            // They are there already, and no child has them yet.
            actions.push(Action::Tell(News::Obtained));
            return;
        }
        if self.obtaining.is_some() {
            return;
        }
        let wait = self.wait(now, chance);
        let until = now + wait + self.rules.start_timeout;
        self.obtaining = Some(Obtaining::new(now + wait, until, self.rules.paths.len()));
        if wait.is_zero() {
            self.begin(now, actions);
        }
    }

    /// How long to wait before credentials are replaced that have just been issued: a server that
    /// gives out what ends at once would have the command started again without end.
    fn wait(&mut self, now: Moment, chance: f64) -> Duration {
        let Some(current) = &self.current else {
            return Duration::ZERO;
        };
        let lived = now.since(current.since);
        if lived >= SHORT_LIFE {
            self.short_lived = 0;
            return Duration::ZERO;
        }
        let wait = Backoff::PATIENT.delay(self.short_lived, chance);
        self.short_lived = self.short_lived.saturating_add(1);
        wait.saturating_sub(lived)
    }

    /// With a new login where that is possible, so that the old lease can go with its token; with
    /// the old token where that is good enough.
    pub(super) fn begin(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let lost = self
            .obtaining
            .as_ref()
            .is_some_and(|obtaining| obtaining.losses > 0);
        let plan = match self.current.as_ref() {
            Some(current) if !lost => plan(&self.ledger, current, &self.outlook, now),
            _ => Ok(Plan::LogIn),
        };
        let until = match &mut self.obtaining {
            Some(obtaining) => obtaining.begin(),
            None => return,
        };
        match plan {
            Ok(Plan::LogIn) => actions.push(Action::LogIn(until)),
            Ok(Plan::KeepToken(session)) => {
                if let Some(obtaining) = &mut self.obtaining {
                    obtaining.session = Some(session);
                }
                self.begin_reads(session, actions);
            }
            // What was delivered meanwhile is found out by looking, which asks nothing of the server.
            Err(_) if self.outlook.may_be_delivered_anew() => actions.push(Action::LogIn(until)),
            Err(reason) => {
                let error = Unobtained::never(format!("another login is needed, and {reason}"));
                self.not_obtained(error, now, actions);
            }
        }
    }

    pub(super) fn logged_in(&mut self, session: NewSession, actions: &mut Vec<Action>) {
        self.ledger.apply(Fact::LoggedIn(session));
        let Some(session) = self.ledger.sessions().last().map(|session| session.no) else {
            return;
        };
        if let Some(obtaining) = &mut self.obtaining {
            obtaining.session = Some(session);
            obtaining.new_token = true;
        }
        if self.rules.strict {
            // What could not be revoked as the user wants is not even made.
            self.ask_rights(session, Duration::ZERO, actions);
        } else {
            self.begin_reads(session, actions);
            self.ask_rights_beside(session, actions);
        }
    }

    fn ask_rights(&mut self, no: SessionNo, after: Duration, actions: &mut Vec<Action>) {
        let Some(session) = self.ledger.session(no) else {
            return;
        };
        let token = session.token.clone();
        self.ledger.apply(Fact::Used(no));
        self.asking_rights = Some(no);
        actions.push(Action::Ask(Request::AskRights {
            session: no,
            token,
            paths: self.rules.paths.clone(),
            after,
            limit: self.rules.revoke_timeout,
        }));
    }

    /// While the database makes the role nobody waits for it, and the end of the run takes fewer calls. One call of
    /// a counted token is worth more than that.
    fn ask_rights_beside(&mut self, no: SessionNo, actions: &mut Vec<Action>) {
        let session = self.ledger.session(no);
        let unknown = session.is_some_and(|it| it.rights.is_none() && it.uses.is_none());
        if unknown && !self.rules.keep {
            self.ask_rights(no, HEAD_START, actions);
        }
    }

    pub(super) fn rights(
        &mut self,
        no: SessionNo,
        rights: Option<Rights>,
        actions: &mut Vec<Action>,
    ) {
        if self.asking_rights == Some(no) {
            self.asking_rights = None;
        }
        if let Some(rights) = rights {
            self.ledger.apply(Fact::Rights(no, rights));
        }
        let waiting = self.obtaining.as_ref();
        if waiting.is_some_and(|it| it.session == Some(no) && it.reads == 0) {
            self.begin_reads(no, actions);
        }
    }

    /// Why what was read does not satisfy `--strict-revoke`, if it does not.
    fn not_strict_enough(&self, no: SessionNo) -> Option<Unobtained> {
        let session = self.ledger.session(no).filter(|_| self.rules.strict)?;
        let lease = session.leases.iter().find(|lease| !lease.is_settled())?;
        match &session.rights {
            None => Some(wording::rights_unknown(lease.path())),
            Some(_) => session
                .forbids(lease)
                .then(|| wording::not_revocable(lease.path())),
        }
    }

    fn begin_reads(&mut self, no: SessionNo, actions: &mut Vec<Action>) {
        let Some(obtaining) = &mut self.obtaining else {
            return;
        };
        for (index, path) in self.rules.paths.iter().enumerate() {
            self.ledger.apply(Fact::Reading(no));
            self.ledger.apply(Fact::Used(no));
            let Some(session) = self.ledger.session(no) else {
                return;
            };
            obtaining.reads += 1;
            actions.push(Action::Ask(Request::Read {
                index,
                path: path.clone(),
                session: no,
                token: session.token.clone(),
                until: obtaining.until,
                uses: session.uses,
                new_token: obtaining.new_token,
            }));
        }
    }

    pub(super) fn read(
        &mut self,
        session: SessionNo,
        index: usize,
        issued: Issued,
        now: Moment,
        chance: &mut dyn FnMut() -> f64,
        actions: &mut Vec<Action>,
    ) {
        let Issued {
            lease,
            lost,
            undelivered,
            calls,
            secret,
            rotation,
        } = issued;
        match calls {
            0 => self.ledger.apply(Fact::NotUsed(session)),
            _ => (1..calls).for_each(|_| self.ledger.apply(Fact::Used(session))),
        }
        let has_lease = lease.is_some();
        self.ledger.apply(Fact::Read(session, lease));
        let leases = self
            .ledger
            .session(session)
            .map(|session| session.leases.as_slice());
        let lease = leases
            .and_then(<[_]>::last)
            .filter(|_| has_lease)
            .map(|lease| lease.no);
        let Some(obtaining) = &mut self.obtaining else {
            return;
        };
        obtaining.reads = obtaining.reads.saturating_sub(1);
        obtaining.lost |= lost;
        if obtaining.lost || obtaining.reads > 0 {
            // Of several reads under way with one token, one may still make a lease; and one that
            // was lost stays lost, whatever becomes of the others.
            self.ledger.apply(Fact::ReadLost(session));
        }
        match secret {
            Ok(secret) => {
                let got = Got {
                    secret,
                    lease,
                    rotation,
                };
                obtaining.enter(index, got);
            }
            Err(error) => {
                obtaining.fail(Unobtained::now(error), undelivered);
            }
        }
        if obtaining.reads == 0 {
            self.all_read(session, now, chance, actions);
        }
    }

    fn all_read(
        &mut self,
        session: SessionNo,
        now: Moment,
        chance: &mut dyn FnMut() -> f64,
        actions: &mut Vec<Action>,
    ) {
        let Some(mut obtaining) = self.obtaining.take() else {
            return;
        };
        let Some(error) = obtaining.error.take() else {
            if let Some(error) = self.not_strict_enough(session) {
                self.not_obtained(error, now, actions);
                return;
            }
            let (mut leases, mut rotations, mut secrets) = (Vec::new(), Vec::new(), Vec::new());
            for got in obtaining.finish() {
                leases.push(got.lease);
                rotations.push(got.rotation);
                secrets.push(got.secret);
            }
            let set = self.set(session, leases, rotations, now, chance);
            self.fresh = Some((set, secrets));
            actions.push(Action::Tell(News::Obtained));
            return;
        };
        // A role that nobody knows goes with its token: another one is needed for another try.
        let delay = error.delay(obtaining.losses, chance());
        let again = obtaining.undelivered && now + delay < obtaining.until;
        if again && !error.interrupted() && self.outlook.allows(now).is_ok() {
            let level = if obtaining.losses == 0 {
                log::Level::Warn
            } else {
                log::Level::Debug
            };
            wording::say_login_again(level, &error, obtaining.until.since(now));
            if self
                .current
                .as_ref()
                .is_none_or(|current| current.session != session)
            {
                self.ledger
                    .apply(Fact::Retired(Target::Token(session), now));
            }
            self.obtaining = Some(obtaining.again(now + delay));
            return;
        }
        self.obtaining = Some(obtaining);
        self.not_obtained(error, now, actions);
    }

    pub(super) fn not_obtained(
        &mut self,
        mut error: Unobtained,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        self.obtaining = None;
        error.again &= self.outlook.allows(now).is_ok() || self.outlook.may_be_delivered_anew();
        if let Some(current) = &mut self.current {
            current.tried = true;
            self.retire_unused(now);
        }
        actions.push(Action::Tell(News::NotObtained(error)));
    }

    fn set(
        &mut self,
        session: SessionNo,
        leases: Vec<Option<LeaseNo>>,
        rotations: Vec<Option<Rotation>>,
        now: Moment,
        chance: &mut dyn FnMut() -> f64,
    ) -> Set {
        self.numbers += 1;
        let lease_ttl = self.rules.lease_ttl;
        let schedule = Set::schedule(
            &self.ledger,
            session,
            &leases,
            &rotations,
            lease_ttl,
            chance,
        );
        let no = SetNo(self.numbers);
        let set = Set::new(no, session, leases, rotations, schedule, now);
        wording::say_good_until(&set.schedule, now);
        wording::say_end(&set.schedule, None, now);
        // A token is renewed once, whatever hangs on it.
        if let Some(current) = self
            .current
            .as_mut()
            .filter(|current| current.session == session)
        {
            current.schedule.leave_token();
        }
        set
    }
}
