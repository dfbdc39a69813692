//! The life of credentials, as a state machine that can be drawn (see ARCHITECTURE.md): answers and
//! moments in, requests out. Pure but for what it logs: time and chance are arguments, and nothing
//! is asked of the server here.

use std::collections::BTreeSet;
use std::time::Duration;

use super::obtaining::{Obtaining, Plan, plan};
use super::request::{Answer, Request, Unobtained};
use super::revoke;
use super::schedule::{Cause, Deadline, Step, Subject};
use super::set::{Set, SetNo};
use super::wording;
use crate::ledger::{Fact, LeaseNo, Ledger, NewSession, Rights, SessionNo, Target};
use crate::login::Outlook;
use crate::render::postgres::Credentials;
use crate::secret::Issued;
use crate::sys::clock::Moment;
use crate::vault::{Backoff, Failure, Renewed};

/// Credentials that end sooner than this after they were issued are not replaced at once.
const SHORT_LIFE: Duration = Duration::from_secs(2);
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
    /// The child has the new credentials.
    Started,
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
    /// What the next child will have, and the secrets in it.
    fresh: Option<(Set, Vec<Credentials>)>,
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
        // Before there is a child, a signal has waited for them already.
        self.current.is_some() && (self.obtaining.is_some() || self.asking_rights.is_some())
    }

    /// The new credentials; they leave the machine with this.
    pub fn take_secrets(&mut self) -> Vec<Credentials> {
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
            Event::Started => self.started(now, &mut actions),
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
        let sets = self
            .current
            .iter()
            .chain(self.fresh.iter().map(|(set, _)| set));
        let steps = sets.filter_map(|set| set.next().map(|(at, _)| at));
        let calls = self.current.iter().flat_map(|set| {
            [self.last_call(set), self.warning(set)]
                .into_iter()
                .flatten()
        });
        let waiting = self.obtaining.as_ref().and_then(Obtaining::begins_at);
        let (_, revocation) = self.ledger.revocations(now);
        steps.chain(calls).chain(waiting).chain(revocation).min()
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

    /// What is due of a set. What becomes of one that no child has yet is nobody's news.
    fn due_step(&mut self, no: SetNo, now: Moment) -> Option<Step> {
        let current = self.current.as_ref().map(|set| set.no);
        let mut sets = self.sets();
        let (at, step) = sets.find(|set| set.no == no)?.next()?;
        let news = !matches!(step, Step::Renew(..));
        (at <= now && (!news || current == Some(no))).then_some(step)
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

    // --- Getting credentials ------------------------------------------------------------------

    fn want(&mut self, now: Moment, chance: f64, actions: &mut Vec<Action>) {
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
    fn begin(&mut self, now: Moment, actions: &mut Vec<Action>) {
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
            Err(reason) => {
                let error = Unobtained::never(format!("another login is needed, and {reason}"));
                self.not_obtained(error, now, actions);
            }
        }
    }

    fn logged_in(&mut self, session: NewSession, actions: &mut Vec<Action>) {
        log::info!(event = "logged_in"; "logged in{}", wording::life(&session));
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
            self.ask_rights(session, actions);
        } else {
            self.begin_reads(session, actions);
        }
    }

    fn ask_rights(&mut self, no: SessionNo, actions: &mut Vec<Action>) {
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
            limit: self.rules.revoke_timeout,
        }));
    }

    /// While the child runs nobody waits for it, and the end of the run takes fewer calls. One call of
    /// a counted token is worth more than that.
    fn ask_rights_once(&mut self, no: SessionNo, actions: &mut Vec<Action>) {
        let session = self.ledger.session(no);
        let unknown = session.is_some_and(|it| it.rights.is_none() && it.uses.is_none());
        if unknown && !self.rules.keep {
            self.ask_rights(no, actions);
        }
    }

    fn rights(&mut self, no: SessionNo, rights: Option<Rights>, actions: &mut Vec<Action>) {
        self.asking_rights = None;
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

    fn read(
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
        obtaining.undelivered |= undelivered;
        if obtaining.lost || obtaining.reads > 0 {
            // Of several reads under way with one token, one may still make a lease; and one that
            // was lost stays lost, whatever becomes of the others.
            self.ledger.apply(Fact::ReadLost(session));
        }
        match secret {
            Ok(secret) => obtaining.enter(index, secret, lease),
            Err(error) => {
                obtaining.error.get_or_insert(Unobtained::now(error));
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
            let (leases, secrets) = obtaining.finish();
            let set = self.set(session, leases, now, chance);
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

    fn not_obtained(&mut self, mut error: Unobtained, now: Moment, actions: &mut Vec<Action>) {
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
        now: Moment,
        chance: &mut dyn FnMut() -> f64,
    ) -> Set {
        self.numbers += 1;
        let schedule = Set::schedule(&self.ledger, session, &leases, self.rules.lease_ttl, chance);
        let set = Set::new(SetNo(self.numbers), session, leases, schedule, now);
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

    // --- What the child has --------------------------------------------------------------------

    /// The fresh credentials become the current ones, and the old ones are revoked.
    fn started(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let Some((fresh, _)) = self.fresh.take() else {
            return;
        };
        self.ledger.apply(Fact::ClaimedBack);
        if self.rules.keep {
            self.ledger.apply(Fact::Kept(fresh.session));
        }
        self.ask_rights_once(fresh.session, actions);
        let old = self.current.replace(fresh);
        if old.is_some() {
            self.retire_unused(now);
        } else if self.rules.replace {
            wording::say_outlook(&self.outlook, now);
        }
    }

    /// Everything but what the child has, or is about to have, is to be revoked.
    fn retire_unused(&mut self, now: Moment) {
        let sets = self
            .current
            .iter()
            .chain(self.fresh.iter().map(|(set, _)| set));
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

    // --- Keeping it alive ------------------------------------------------------------------------

    fn renewed(
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

    /// Whether the token is still good, when a renewal was forbidden.
    fn looked_up(
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
    fn last_call(&self, set: &Set) -> Option<Moment> {
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
    fn warning(&self, set: &Set) -> Option<Moment> {
        let expiry = set.schedule.expiry()?;
        let hopeless = self.outlook.allows(expiry).is_err() && self.rules.replace;
        (hopeless && !set.warned && self.fresh.is_none())
            .then(|| set.schedule.half_time())
            .flatten()
    }

    fn warn_of_the_end(&mut self, now: Moment) {
        let Some(set) = &self.current else { return };
        if self.warning(set).is_none_or(|at| at > now) {
            return;
        }
        wording::warn_of_end(&set.schedule, &self.outlook, now);
        let no = set.no;
        self.with_set(no, |set| set.warned = true);
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
