//! The life of credentials, as a state machine that can be drawn (see ARCHITECTURE.md): answers and
//! moments in, requests out. Pure but for what it logs: time and chance are arguments, and nothing
//! is asked of the server here.

mod getting;
mod keeping;

use std::collections::BTreeSet;
use std::time::Duration;

use super::obtaining::Obtaining;
use super::request::{Answer, Request};
use super::schedule::{Deadline, Step, Subject};
use super::set::{Set, SetNo};
use super::unobtained::Unobtained;
use super::wording;
use crate::ledger::{Fact, LeaseNo, Ledger, SessionNo};
use crate::login::Outlook;
use crate::revoke;
use crate::secret::Fields;
use crate::sys::clock::Moment;
use crate::vault::Backoff;

/// How often what a login is made of is looked at, when there can be no other with what is known.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What the settings say about credentials.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The paths that are read.
    pub paths: Vec<String>,
    /// The length of lease to ask for.
    pub lease_ttl: Option<Duration>,
    /// Whether credentials that end are replaced.
    pub replace: bool,
    /// Whether the child is told to end when they cannot be.
    pub end_child: bool,
    /// How long the child has to end.
    pub stop_timeout: Duration,
    /// How long a login and a read may take, retries included.
    pub start_timeout: Duration,
    /// How long one try to clean up may take.
    pub revoke_timeout: Duration,
    /// Whether what the child has is left alone at its end.
    pub keep: bool,
    /// Whether only revocations count that the engine has confirmed.
    pub strict: bool,
}

/// What the machine has to say to whoever watches the child.
#[derive(Debug)]
pub enum News {
    /// New credentials are there.
    Obtained,
    /// There are none.
    NotObtained(Unobtained),
    /// The credentials that the child has cannot be extended, and it is time to act.
    Expiring,
    /// They are about to end, and there are no others: the child's last time to end in order.
    LastCall,
    /// They have ended.
    Expired,
}

/// Something to be done.
#[derive(Debug)]
pub enum Action {
    /// Get a new token, with no request repeated after the moment.
    LogIn(Moment),
    /// Ask the server.
    Ask(Request),
    /// Say it.
    Tell(News),
}

/// Something that has happened.
#[derive(Debug)]
pub enum Event {
    /// New credentials are wanted.
    Wanted,
    /// An answer has come, or the failure to get one.
    Answered(Answer),
    /// A child was started with the new credentials.
    Started,
    /// The child that is there finds the new credentials where it looks for them.
    HandedOver,
    /// The new credentials are of no use.
    Unusable,
    /// Time may have passed unseen: look at everything.
    Look,
    /// What was done about the end of the credentials has failed.
    ActFailed,
    /// A moment has come that was waited for.
    Due,
}

/// The state of all credentials of a run.
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    ledger: Ledger,
    outlook: Outlook,
    /// What the child has.
    current: Option<Set>,
    /// What was replaced while the child goes on, and until when whoever has just read it may use it.
    outgoing: Option<(Set, Moment)>,
    /// What the next child will have, and the secrets in it.
    fresh: Option<(Set, Vec<Fields>)>,
    obtaining: Option<Obtaining>,
    /// The token whose rights are being asked for.
    asking_rights: Option<SessionNo>,
    /// How many sets in a row ended as soon as they were there.
    short_lived: u32,
    /// The leases that the user was told of as staying.
    told: BTreeSet<LeaseNo>,
    numbers: u32,
}

impl Machine {
    /// Nothing is held yet.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            ledger: Ledger::default(),
            outlook: Outlook::default(),
            current: None,
            outgoing: None,
            fresh: None,
            obtaining: None,
            asking_rights: None,
            short_lived: 0,
            told: BTreeSet::new(),
            numbers: 0,
        }
    }

    /// What is held.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Enters what has happened to what is held outside of this machine.
    pub const fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// The deadline of what the child has.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        self.current.as_ref()?.schedule.deadline()
    }

    /// Whether an answer is awaited that may name something to be revoked, or how.
    #[must_use]
    pub const fn awaits_answers(&self) -> bool {
        // Before there are credentials, a signal has waited for them already.
        (self.current.is_some() || self.fresh.is_some())
            && (self.obtaining.is_some() || self.asking_rights.is_some())
    }

    /// The new credentials, while they are here.
    #[must_use]
    pub fn fresh_secrets(&self) -> &[Fields] {
        self.fresh.as_ref().map_or(&[], |(_, secrets)| secrets)
    }

    /// What the server is asked for before there are credentials, in words; nothing when the user
    /// was told that it is asked again.
    #[must_use]
    pub fn waits_for(&self) -> Option<&'static str> {
        let obtaining = self.obtaining.as_ref().filter(|it| it.losses == 0)?;
        Some(match obtaining.session {
            Some(_) => "give out credentials",
            None => "answer the login",
        })
    }

    /// The new credentials; they leave the machine with this.
    pub fn take_secrets(&mut self) -> Vec<Fields> {
        self.fresh
            .as_mut()
            .map(|(_, secrets)| std::mem::take(secrets))
            .unwrap_or_default()
    }

    /// The first lease of the new credentials with its end, for the child's information.
    #[must_use]
    pub fn fresh_lease(&self) -> Option<(&str, Moment)> {
        let (set, _) = self.fresh.as_ref()?;
        let (session, lease) = self.ledger.lease((*set.leases.first()?)?)?;
        // The first renewal shortens it.
        let shortened = self.rules.lease_ttl.filter(|_| lease.renewable);
        let shortened = shortened.map(|ttl| lease.granted_at + ttl);
        let end = session.end_of(lease);
        Some((
            &lease.id,
            shortened.map_or(end, |shortened| shortened.min(end)),
        ))
    }

    /// Decides what to do about an event.
    #[must_use]
    pub fn handle(
        &mut self,
        event: Event,
        now: Moment,
        chance: &mut dyn FnMut() -> f64,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Wanted => self.want(now, chance(), &mut actions),
            Event::Answered(answer) => self.answered(answer, now, chance, &mut actions),
            Event::Started => self.started(now),
            Event::HandedOver => self.handed_over(now),
            Event::Unusable => self.give_back(now),
            Event::Look => self.sets().for_each(|set| set.look_now(now)),
            Event::ActFailed => {
                // Looking whether a file has been written anew costs the server nothing.
                let looks_only = self.outlook.allows(now).is_err();
                if let Some(current) = &mut self.current {
                    current.schedule.act_failed(now, chance());
                    if looks_only {
                        current.schedule.act_again(now + LOOK_AGAIN);
                    }
                }
            }
            Event::Due => {}
        }
        self.catch_up(now, &mut actions);
        actions
    }

    /// When to handle [`Event::Due`], if nothing else happens before.
    #[must_use]
    pub fn due(&self, now: Moment) -> Option<Moment> {
        let current = self.current.iter().filter_map(|set| set.next(true));
        let fresh = self.fresh.iter().filter_map(|(set, _)| set.next(false));
        let steps = current.chain(fresh).map(|(at, _)| at);
        let calls = self.current.iter().flat_map(|set| {
            [self.last_call(set), self.warning(set)]
                .into_iter()
                .flatten()
        });
        let outgoing = self.outgoing.as_ref().map(|(_, until)| *until);
        let waiting = self.obtaining.as_ref().and_then(Obtaining::begins_at);
        let (_, revocation) = self.ledger.revocations(now);
        steps
            .chain(calls)
            .chain(waiting)
            .chain(outgoing)
            .chain(revocation)
            .min()
    }

    /// Does everything whose time has come.
    fn catch_up(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if self
            .obtaining
            .as_ref()
            .and_then(Obtaining::begins_at)
            .is_some_and(|at| at <= now)
        {
            self.begin(now, actions);
        }
        self.take_steps(now, actions);
        self.warn_of_the_end(now);
        if let Some(set) = self
            .current
            .as_ref()
            .filter(|set| self.last_call(set).is_some_and(|at| at <= now))
        {
            let no = set.no;
            self.with_set(no, |set| set.last_called = true);
            actions.push(Action::Tell(News::LastCall));
        }
        if self
            .outgoing
            .as_ref()
            .is_some_and(|(_, until)| *until <= now)
        {
            self.outgoing = None;
            self.retire_unused(now);
        }
        let (calls, _) = self.ledger.revocations(now);
        for call in calls {
            revoke::begin(&mut self.ledger, &call);
            let until = now + self.rules.revoke_timeout;
            actions.push(Action::Ask(Request::Revoke { call, until }));
        }
    }

    /// The steps of the schedules that are due.
    fn take_steps(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let numbers: Vec<SetNo> = self.sets().map(|set| set.no).collect();
        for no in numbers {
            while let Some(step) = self.due_step(no, now) {
                match step {
                    Step::Renew(subject, increment) => {
                        self.with_set(no, |set| set.renewing = true);
                        actions.extend(self.renewal(no, subject, increment, now));
                    }
                    Step::Act(_) => {
                        self.with_set(no, |set| set.schedule.acted());
                        actions.push(Action::Tell(News::Expiring));
                    }
                    Step::End(_) => {
                        self.with_set(no, |set| set.schedule.ended());
                        actions.push(Action::Tell(News::Expired));
                    }
                }
            }
        }
    }

    fn due_step(&mut self, no: SetNo, now: Moment) -> Option<Step> {
        let has_child = self.current.as_ref().is_some_and(|set| set.no == no);
        let mut sets = self.sets();
        let (at, step) = sets.find(|set| set.no == no)?.next(has_child)?;
        (at <= now).then_some(step)
    }

    fn renewal(
        &mut self,
        no: SetNo,
        subject: Subject,
        increment: Duration,
        now: Moment,
    ) -> Option<Action> {
        let set = self.sets().find(|set| set.no == no)?;
        let (session, leases) = (set.session, set.leases.clone());
        let limit = set.schedule.answer_limit(now);
        let lease = match subject {
            Subject::Password(index) => return self.read_again(no, index, limit),
            Subject::Token => None,
            Subject::Lease(index) => {
                let lease = leases.get(index).copied().flatten()?;
                Some(self.ledger.lease(lease)?.1.id.clone())
            }
        };
        let token = self.ledger.session(session)?.token.clone();
        self.ledger.apply(Fact::Used(session));
        Some(Action::Ask(Request::Renew {
            set: no,
            subject,
            lease,
            token,
            increment,
            limit,
        }))
    }

    /// Looks whether the password of a static role was changed.
    fn read_again(&mut self, no: SetNo, index: usize, limit: Duration) -> Option<Action> {
        let session = self.sets().find(|set| set.no == no)?.session;
        let token = self.ledger.session(session)?.token.clone();
        let path = self.rules.paths.get(index)?.clone();
        self.ledger.apply(Fact::Used(session));
        Some(Action::Ask(Request::ReadAgain {
            set: no,
            index,
            path,
            token,
            limit,
        }))
    }

    fn answered(
        &mut self,
        answer: Answer,
        now: Moment,
        chance: &mut dyn FnMut() -> f64,
        actions: &mut Vec<Action>,
    ) {
        match answer {
            Answer::LoggedIn(result, outlook) => {
                self.outlook = outlook;
                match result {
                    Ok(session) => self.logged_in(session, actions),
                    Err(error) => self.not_obtained(error, now, actions),
                }
            }
            Answer::Rights(session, rights) => self.rights(session, rights, actions),
            Answer::Read(session, index, issued) => {
                self.read(session, index, *issued, now, chance, actions);
            }
            Answer::Renewed(no, subject, result) => {
                self.renewed(no, subject, result, now, chance, actions);
            }
            Answer::ReadAgain(no, index, Ok(rotation)) => {
                let mut look_again = false;
                self.with_set(no, |set| {
                    set.renewing = false;
                    set.denied = None;
                    set.schedule.used_token(chance());
                    look_again = std::mem::take(&mut set.look_again);
                });
                self.rotation(no, index, rotation, now, chance());
                if look_again {
                    self.with_set(no, |set| set.look_now(now));
                }
            }
            Answer::ReadAgain(no, index, Err(failure)) => {
                let subject = Subject::Password(index);
                self.renewed(no, subject, Err(failure), now, chance, actions);
            }
            Answer::Alive(no, subject, failure, alive) => {
                self.looked_up(no, subject, &failure, alive, now, chance());
            }
            Answer::Revoked(call, result) => {
                revoke::enter(
                    &mut self.ledger,
                    &call,
                    result,
                    Backoff::PATIENT,
                    now,
                    chance(),
                );
                self.say_what_stays(now);
                self.ledger.forget_settled(now);
            }
        }
    }

    /// Says once what was replaced and cannot be revoked.
    fn say_what_stays(&mut self, now: Moment) {
        for session in self.ledger.sessions() {
            for lease in &session.leases {
                let wanted = lease.retired || session.retired.is_some();
                if wanted && session.has_given_up(lease) && self.told.insert(lease.no) {
                    wording::say_what_stays(session, lease, now);
                }
            }
        }
    }

    fn sets(&mut self) -> impl Iterator<Item = &mut Set> {
        let fresh = self.fresh.iter_mut().map(|(set, _)| set);
        self.current.iter_mut().chain(fresh)
    }

    fn with_set(&mut self, no: SetNo, change: impl FnOnce(&mut Set)) {
        let mut sets = self.sets();
        if let Some(set) = sets.find(|set| set.no == no) {
            change(set);
        }
    }
}

#[cfg(test)]
mod tests;
