//! Whole lives of credentials, as sequences of answers and moments.

use std::time::Duration;

use super::*;
use crate::error::Error;
use crate::ledger::{Call, Form, NewLease, NewSession, Rights, Target, TokenState, Verdict};
use crate::login::CannotRepeat;
use crate::manager::schedule::{Cause, Subject};
use crate::manager::test_support::{counted_token, issued, lost, refused, rules, service_token};
use crate::manager::unobtained::Unobtained;
use crate::secret::Rotation;
use crate::vault::{Failure, Renewed, Revoked};

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Say {
    Yes,
    /// Yes, for less than was asked for; where it is a lease, and the token is renewed in full.
    Less,
    /// Yes, for less than was asked for, the token too.
    AllLess,
    /// The server is away.
    Away,
    /// The answer does not arrive.
    Lost,
    /// 403, and the token is good.
    Forbidden,
    /// 403, and the token is gone.
    Gone,
    /// 400 by the engine.
    Sick,
}

/// A machine, its clock, and the requests that have not been answered.
struct World {
    machine: Machine,
    now: Moment,
    logins: usize,
    asked: Vec<Request>,
    news: Vec<&'static str>,
    outlook: Outlook,
    token: fn() -> NewSession,
    /// How long leases are granted for.
    lease: Duration,
    /// Whether the first path is that of a static role, whose password is changed every minute.
    is_static: bool,
}

impl World {
    fn new() -> Self {
        Self::with(rules())
    }

    fn with(rules: Rules) -> Self {
        Self {
            machine: Machine::new(rules),
            now: Moment::since_boot(Duration::from_secs(1_000_000)),
            logins: 0,
            asked: Vec::new(),
            news: Vec::new(),
            outlook: Outlook::default(),
            token: || service_token(60),
            lease: Duration::from_secs(3600),
            is_static: false,
        }
    }

    /// Has a child with its first credentials.
    fn started(mut self) -> Self {
        self.event(Event::Wanted);
        self.log_in(Say::Yes);
        self.answer(Say::Yes);
        self.start();
        self.news.clear();
        self
    }

    fn event(&mut self, event: Event) {
        for action in self.machine.handle(event, self.now, &mut || 0.5) {
            match action {
                Action::LogIn(until) => {
                    assert_eq!(self.logins, 0, "one login at a time");
                    assert!(until > self.now);
                    self.logins += 1;
                }
                Action::Ask(request) => {
                    self.check(&request);
                    self.asked.push(request);
                }
                Action::Tell(news) => self.news.push(match news {
                    News::Obtained => "obtained",
                    News::NotObtained(_) => "not obtained",
                    News::Expiring => "expiring",
                    News::LastCall => "last call",
                    News::Expired => "expired",
                }),
            }
        }
        self.check_ledger();
    }

    /// What must hold of every request.
    fn check(&self, request: &Request) {
        match request {
            Request::Read { session, .. } => {
                let session = self
                    .machine
                    .ledger
                    .session(*session)
                    .expect("it is entered");
                assert!(session.unknown_lease, "a read is entered before it is sent");
            }
            Request::Revoke { call, .. } => {
                for set in self.used() {
                    assert_ne!(call.target, Target::Token(set.session), "the child's token");
                    for lease in set.leases.iter().flatten() {
                        assert_ne!(call.target, Target::Lease(*lease), "the child's lease");
                    }
                }
            }
            Request::Renew { set, .. } => {
                let same = |asked: &&Request| matches!(asked, Request::Renew { set: other, .. } if other == set);
                assert_eq!(
                    self.asked.iter().filter(same).count(),
                    0,
                    "one renewal at a time"
                );
            }
            Request::ReadAgain { set, .. } => {
                let same = |asked: &&Request| matches!(asked, Request::ReadAgain { set: other, .. } if other == set);
                assert_eq!(
                    self.asked.iter().filter(same).count(),
                    0,
                    "one look at a time"
                );
            }
            Request::AskRights { .. } | Request::LookUp { .. } => {}
        }
    }

    /// The password of the static role as it is now; `changed` says whether it is another one by then.
    fn rotation(&self, changed: bool) -> Rotation {
        Rotation {
            made: if changed {
                format!("{:?}", self.now)
            } else {
                "then".to_owned()
            },
            read_at: self.now,
            ttl: Duration::from_secs(60),
        }
    }

    fn used(&self) -> impl Iterator<Item = &Set> {
        let fresh = self.machine.fresh.iter().map(|(set, _)| set);
        self.machine.current.iter().chain(fresh)
    }

    /// Whatever is held is in use, on its way, or to be revoked.
    fn check_ledger(&self) {
        let on_its_way = self.machine.obtaining.as_ref().and_then(|it| it.session);
        for session in self.machine.ledger.sessions() {
            let used = self.used().any(|set| set.session == session.no);
            let retired = session.retired.is_some() || session.state != TokenState::Held;
            // Before there is a child, a failure ends the run, which revokes everything.
            let ends = self.machine.current.is_none();
            assert!(
                used || retired || ends || on_its_way == Some(session.no),
                "forgotten: {session:?}"
            );
        }
    }

    fn log_in(&mut self, say: Say) {
        assert_eq!(self.logins, 1, "a login is wanted");
        self.logins = 0;
        let failure = match say {
            Say::Yes | Say::Less | Say::AllLess => {
                let mut session = (self.token)();
                session.granted_at = self.now;
                let answer = Answer::LoggedIn(Ok(session), self.outlook.clone());
                return self.event(Event::Answered(answer));
            }
            Say::Away => away(),
            Say::Lost => lost(),
            Say::Forbidden | Say::Gone | Say::Sick => refused(400, "invalid role or secret ID"),
        };
        let error = Error::server("log in", "auth/approle", failure, None);
        let answer = Answer::LoggedIn(Err(Unobtained::now(error)), self.outlook.clone());
        self.event(Event::Answered(answer));
    }

    /// Answers the oldest request.
    fn answer(&mut self, say: Say) {
        let request = self.asked.remove(0);
        let answer = self.make_answer(request, say);
        self.event(Event::Answered(answer));
    }

    fn make_answer(&self, request: Request, say: Say) -> Answer {
        let failure = match say {
            Say::Yes | Say::Less | Say::AllLess => None,
            Say::Away => Some(away()),
            Say::Lost => Some(lost()),
            Say::Forbidden => Some(refused(403, "1 error occurred: * permission denied")),
            Say::Gone => Some(refused(403, "permission denied")),
            Say::Sick => Some(refused(400, "the database is down")),
        };
        match request {
            Request::AskRights { session, paths, .. } => {
                let below = paths.into_iter().collect();
                let rights = match say {
                    Say::Yes => Some(Rights { any: true, below }),
                    Say::Forbidden => Some(Rights::default()),
                    _ => None,
                };
                Answer::Rights(session, rights)
            }
            Request::Read {
                session,
                index,
                path,
                ..
            } => {
                let lease = NewLease {
                    id: format!(
                        "{path}/{}",
                        self.now
                            .since(Moment::since_boot(Duration::ZERO))
                            .as_millis()
                    ),
                    duration: self.lease,
                    renewable: true,
                    granted_at: self.now,
                };
                let mut issued = issued(lease, failure);
                if self.is_static && index == 0 && issued.secret.is_ok() {
                    issued.lease = None;
                    issued.rotation = Some(self.rotation(false));
                }
                Answer::Read(session, index, Box::new(issued))
            }
            Request::Renew {
                set,
                subject,
                increment,
                ..
            } => {
                let less = say == Say::AllLess || (say == Say::Less && subject != Subject::Token);
                let granted = if less { increment / 4 } else { increment };
                let renewed = Renewed {
                    granted,
                    renewable: true,
                };
                Answer::Renewed(set, subject, failure.map_or(Ok(renewed), Err))
            }
            Request::ReadAgain { set, index, .. } => {
                let changed = matches!(say, Say::Less | Say::AllLess);
                let rotation = failure.map_or_else(|| Ok(Some(self.rotation(changed))), Err);
                Answer::ReadAgain(set, index, rotation)
            }
            Request::LookUp {
                set,
                subject,
                failure,
                ..
            } => {
                let alive = match say {
                    Say::Yes | Say::Less | Say::AllLess | Say::Forbidden => Some(true),
                    Say::Gone => Some(false),
                    Say::Away | Say::Lost | Say::Sick => None,
                };
                Answer::Alive(set, subject, failure, alive)
            }
            Request::Revoke { call, .. } => {
                Answer::Revoked(call, failure.map_or(Ok(Revoked::Done), Err))
            }
        }
    }

    fn start(&mut self) {
        let secrets = self.machine.take_secrets();
        assert_eq!(secrets.len(), self.machine.rules.paths.len());
        self.event(Event::Started);
    }

    /// Lets time pass to the next moment that is waited for, if there is one within an hour.
    fn wait(&mut self) -> bool {
        let Some(due) = self.machine.due(self.now) else {
            return false;
        };
        self.now = self.now.max(due);
        self.event(Event::Due);
        let next = self.machine.due(self.now);
        assert!(
            next.is_none_or(|next| next > self.now),
            "it waits for what is past"
        );
        true
    }

    /// Lets time pass, with all requests answered like this, until there is such news.
    fn until(&mut self, news: &str, say: Say) {
        for _ in 0..10_000 {
            if let Some(at) = self.news.iter().position(|told| *told == news) {
                self.news.drain(..=at);
                return;
            }
            if self.asked.is_empty() {
                assert!(self.wait(), "nothing more comes, and no {news}");
            } else {
                self.answer(say);
            }
        }
        panic!("no {news}");
    }

    /// The run ends, and everything can be revoked: what is left then was forgotten.
    fn nothing_is_left(mut self) {
        self.asked.clear();
        let mut ledger = std::mem::take(self.machine.ledger_mut());
        ledger.apply(Fact::Abandoned);
        ledger.apply(Fact::ClaimedBack);
        for no in ledger
            .sessions()
            .iter()
            .map(|session| session.no)
            .collect::<Vec<_>>()
        {
            ledger.apply(Fact::Retired(Target::Token(no), self.now));
        }
        loop {
            let (calls, later) = ledger.revocations(self.now);
            if calls.is_empty() {
                match later {
                    Some(moment) if moment > self.now => self.now = moment,
                    _ => break,
                }
            }
            for call in calls {
                revoke::begin(&mut ledger, &call);
                revoke::enter(
                    &mut ledger,
                    &call,
                    Ok(Revoked::Done),
                    Backoff::SOON,
                    self.now,
                    0.5,
                );
            }
            ledger.forget_settled(self.now);
        }
        // What the server will not do is another matter.
        let not_asked = |left: &crate::ledger::Left| left.verdict == Verdict::NotAsked;
        let left = ledger.left(self.now);
        assert!(
            !left.iter().any(not_asked),
            "forgotten: {left:?}, {ledger:?}"
        );
    }

    fn revocations(&self) -> Vec<&Call> {
        let calls = self.asked.iter().filter_map(|request| match request {
            Request::Revoke { call, .. } => Some(call),
            _ => None,
        });
        calls.collect()
    }
}

fn away() -> Failure {
    Failure::Unreachable {
        reason: "refused".to_owned(),
        silent: false,
    }
}

#[test]
fn a_run_logs_in_reads_and_asks_once_what_its_policy_allows() {
    let mut world = World::new();
    world.event(Event::Wanted);
    assert_eq!(world.logins, 1);
    world.log_in(Say::Yes);
    assert!(matches!(
        world.asked.as_slice(),
        [Request::Read { .. }, Request::AskRights { after, .. }] if !after.is_zero()
    ));
    world.answer(Say::Yes);
    assert_eq!(world.news, ["obtained"], "nobody waits for the rights");
    world.start();
    world.answer(Say::Yes);
    assert!(world.asked.is_empty());
    world.nothing_is_left();
}

#[test]
fn a_lease_at_its_max_ttl_is_replaced_and_revoked_after_the_new_child_has_started() {
    for (rights, logins) in [(Say::Forbidden, 1), (Say::Yes, 0)] {
        let mut world = World::new().started();
        world.answer(rights);
        world.lease = Duration::from_secs(600);
        world.until("expiring", Say::Less);
        world.event(Event::Wanted);
        assert_eq!(
            world.logins, logins,
            "a token is kept where the lease can go alone"
        );
        if logins == 1 {
            world.log_in(Say::Yes);
        }
        world.until("obtained", Say::Yes);
        assert!(world.revocations().is_empty(), "the old child still has it");
        world.start();
        let targets: Vec<_> = world
            .revocations()
            .iter()
            .map(|call| call.form.clone())
            .collect();
        match targets.as_slice() {
            [Form::Token] => assert_eq!(logins, 1),
            [Form::Body(_)] => assert_eq!(logins, 0),
            other => panic!("{other:?}"),
        }
        world.nothing_is_left();
    }
}

#[test]
fn a_lost_read_is_followed_by_another_login_and_its_role_goes_with_the_old_token() {
    let mut world = World::new();
    world.event(Event::Wanted);
    world.log_in(Say::Yes);
    world.answer(Say::Lost);
    assert_eq!(world.news, [""; 0], "it is not over");
    let old = world.revocations().first().map(|call| call.target);
    assert!(matches!(old, Some(Target::Token(_))), "{old:?}");
    assert!(world.wait());
    world.log_in(Say::Yes);
    world.until("obtained", Say::Yes);
    world.start();
    world.nothing_is_left();
}

#[test]
fn what_an_old_token_may_do_is_no_answer_to_what_the_new_one_may() {
    let mut world = World::new();
    world.event(Event::Wanted);
    world.log_in(Say::Yes);
    world.answer(Say::Lost);
    assert!(world.wait());
    world.log_in(Say::Yes);
    let asks = |asked: &Request| matches!(asked, Request::AskRights { .. });
    for awaited_afterwards in [true, false] {
        let index = world.asked.iter().position(asks).expect("a question");
        let request = world.asked.remove(index);
        let answer = world.make_answer(request, Say::Yes);
        world.event(Event::Answered(answer));
        assert_eq!(world.machine.asking_rights.is_some(), awaited_afterwards);
    }
    world.until("obtained", Say::Yes);
    world.start();
    world.nothing_is_left();
}

#[test]
fn of_several_reads_a_refusal_counts_whatever_was_lost_beside_it() {
    for says in [[Say::Lost, Say::Sick], [Say::Sick, Say::Lost]] {
        let mut two = rules();
        two.paths.push("database/creds/ro".to_owned());
        let mut world = World::with(two);
        world.event(Event::Wanted);
        world.log_in(Say::Yes);
        for say in says {
            let request = world.asked.remove(0);
            let answer = world.make_answer(request, say);
            world.event(Event::Answered(answer));
        }
        assert_eq!(world.news, ["not obtained"], "no other login helps");
        world.nothing_is_left();
    }
}

#[test]
fn a_read_that_is_lost_with_the_childs_own_token_does_not_cost_the_child_its_token() {
    let mut world = World::new().started();
    world.answer(Say::Yes);
    world.until("expiring", Say::Less);
    world.event(Event::Wanted);
    assert_eq!(world.logins, 0, "with the token at hand");
    // `check` sees to it that nothing of the child's is revoked.
    let read = world
        .asked
        .iter()
        .position(|asked| matches!(asked, Request::Read { .. }));
    let request = world.asked.remove(read.expect("a read"));
    let answer = world.make_answer(request, Say::Lost);
    world.event(Event::Answered(answer));
    while world.logins == 0 {
        assert!(world.wait());
    }
    world.log_in(Say::Yes);
    world.until("obtained", Say::Yes);
    world.start();
    assert!(!world.revocations().is_empty(), "the old one goes");
    world.nothing_is_left();
}

#[test]
fn an_outage_replaces_nothing_and_is_no_tight_loop() {
    let mut world = World::new().started();
    world.answer(Say::Yes);
    let begun = world.now;
    let mut tries = 0;
    while world.now.since(begun) < Duration::from_secs(7200) {
        if world.asked.is_empty() {
            assert!(world.wait());
        } else {
            tries += 1;
            world.answer(Say::Away);
        }
    }
    assert_eq!(world.news, [""; 0], "whatever happens to the server");
    assert!((20..400).contains(&tries), "{tries} tries in two hours");
    // It comes back, and the lease has gone meanwhile.
    world.until("expiring", Say::Gone);
    world.nothing_is_left();
}

#[test]
fn one_forbidden_renewal_of_a_good_token_is_tried_once_more() {
    let mut world = World::new().started();
    world.answer(Say::Yes);
    let forbid = |world: &mut World| loop {
        match world.asked.first() {
            None => assert!(world.wait()),
            Some(Request::Renew {
                subject: Subject::Lease(0),
                ..
            }) => {
                world.answer(Say::Forbidden);
                assert!(matches!(world.asked.as_slice(), [Request::LookUp { .. }]));
                return world.answer(Say::Yes);
            }
            Some(_) => world.answer(Say::Yes),
        }
    };
    forbid(&mut world);
    assert_eq!(
        world.machine.deadline(),
        None,
        "nothing is decided by one answer"
    );
    forbid(&mut world);
    let cause = world.machine.deadline().map(|deadline| deadline.cause);
    assert!(matches!(cause, Some(Cause::Denied(_))), "{cause:?}");
    world.nothing_is_left();
}

#[test]
fn a_child_is_told_to_end_in_time_where_there_can_be_no_other_login() {
    for source in [None, Some("/run/secret-id".to_owned())] {
        let mut world = World::new();
        world.outlook = Outlook {
            what: "the secret id",
            cannot: Some(CannotRepeat::UsesSpent),
            until: None,
            source,
        };
        world.token = || service_token(1);
        world = world.started();
        world.answer(Say::Forbidden);
        world.until("expiring", Say::AllLess);
        world.event(Event::Wanted);
        if world.logins == 1 {
            // The file is read again, and there is nothing new in it.
            world.log_in(Say::Forbidden);
        }
        world.until("not obtained", Say::AllLess);
        world.until("last call", Say::AllLess);
        let deadline = world.machine.deadline().expect("an end");
        assert!(world.now < deadline.at, "before they end");
        world.nothing_is_left();
    }
}

#[test]
fn nobody_is_told_to_end_where_there_can_be_another_login() {
    let mut world = World::new().started();
    world.answer(Say::Forbidden);
    world.until("expiring", Say::Less);
    world.event(Event::Wanted);
    world.log_in(Say::Away);
    world.until("not obtained", Say::Less);
    world.event(Event::ActFailed);
    world.until("expired", Say::Less);
    assert!(!world.news.contains(&"last call"), "{:?}", world.news);
    world.nothing_is_left();
}

#[test]
fn the_last_uses_of_a_counted_token_are_kept_for_the_end() {
    let mut world = World::new();
    world.token = || counted_token(6);
    world.event(Event::Wanted);
    world.log_in(Say::Yes);
    world.answer(Say::Yes);
    world.start();
    assert!(world.asked.is_empty(), "no use for a question");
    world.until("expiring", Say::Yes);
    let uses = world.machine.ledger.sessions()[0].uses;
    assert_eq!(uses, Some(2), "one for the lease, one for the token");
    world.nothing_is_left();
}

#[test]
fn a_batch_token_is_not_renewed_and_its_lease_is_what_is_revoked() {
    let mut world = World::new();
    world.token = || NewSession {
        batch: true,
        renewable: false,
        ..service_token(60)
    };
    world = world.started();
    world.answer(Say::Yes);
    world.until("expiring", Say::Yes);
    let renewals = world.asked.iter().any(|asked| {
        matches!(
            asked,
            Request::Renew {
                subject: Subject::Token,
                ..
            }
        )
    });
    assert!(!renewals);
    world.event(Event::Wanted);
    world.log_in(Say::Yes);
    world.until("obtained", Say::Yes);
    world.start();
    let forms: Vec<_> = world
        .revocations()
        .iter()
        .map(|call| call.form.clone())
        .collect();
    assert!(matches!(forms.as_slice(), [Form::Body(_)]), "{forms:?}");
    world.nothing_is_left();
}

/// Something that can happen at any time.
#[derive(Clone, Copy, Debug)]
enum Step {
    Wanted,
    Started,
    Look,
    ActFailed,
    Unusable,
    Wait,
    /// The login, or else the oldest request, or else the newest one, is answered.
    Answer(Say),
    AnswerNewest(Say),
}

const STEPS: [Step; 16] = [
    Step::Wanted,
    Step::Started,
    Step::Look,
    Step::ActFailed,
    Step::Unusable,
    Step::Wait,
    Step::Answer(Say::Yes),
    Step::Answer(Say::Less),
    Step::Answer(Say::Away),
    Step::Answer(Say::Lost),
    Step::Answer(Say::Forbidden),
    Step::Answer(Say::Gone),
    Step::Answer(Say::Sick),
    Step::AnswerNewest(Say::Yes),
    Step::AnswerNewest(Say::Lost),
    Step::AnswerNewest(Say::Gone),
];

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Wanted => self.event(Event::Wanted),
            Step::Started if self.machine.fresh.is_some() => self.start(),
            Step::Look => self.event(Event::Look),
            Step::ActFailed => self.event(Event::ActFailed),
            Step::Unusable if self.machine.fresh.is_some() => self.event(Event::Unusable),
            Step::Wait => {
                self.wait();
            }
            Step::Answer(say) if self.logins == 1 => self.log_in(say),
            Step::Answer(say) if !self.asked.is_empty() => self.answer(say),
            Step::AnswerNewest(say) => {
                if let Some(request) = self.asked.pop() {
                    let answer = self.make_answer(request, say);
                    self.event(Event::Answered(answer));
                }
            }
            Step::Started | Step::Unusable | Step::Answer(_) => {}
        }
    }
}

/// The kinds of worlds that the properties are tried on.
fn worlds() -> Vec<World> {
    let two = || Rules {
        paths: vec![
            "database/creds/ro".to_owned(),
            "database/creds/rw".to_owned(),
        ],
        ..rules()
    };
    let kept = || Rules {
        keep: true,
        ..rules()
    };
    let strict = || Rules {
        strict: true,
        ..rules()
    };
    let mut all: Vec<World> = [rules(), two(), kept(), strict()].map(World::with).into();
    let mut counted = World::new();
    counted.token = || counted_token(9);
    let mut spent = World::new();
    spent.outlook.cannot = Some(CannotRepeat::UsesSpent);
    let mut fixed = World::new();
    fixed.is_static = true;
    let mut beside = World::with(two());
    beside.is_static = true;
    all.extend([counted, spent, fixed, beside]);
    all
}

#[test]
fn whatever_happens_nothing_is_forgotten_and_nothing_of_the_childs_is_revoked() {
    for case in 0..6_000u64 {
        let mut random = fastrand::Rng::with_seed(case);
        let mut kinds = worlds();
        let mut world = kinds.swap_remove(random.usize(..kinds.len()));
        world.event(Event::Wanted);
        for _ in 0..random.usize(1..60) {
            let step = STEPS[random.usize(..STEPS.len())];
            // `event` and `check` hold the rules.
            world.step(step);
        }
        world.nothing_is_left();
    }
}

#[test]
fn every_sequence_of_three_keeps_the_rules_from_every_point_of_a_life() {
    // So many of these steps lead through a whole life: start, rights, expiry, replacement.
    let life = [
        Step::Wanted,
        Step::Answer(Say::Yes),
        Step::Answer(Say::Yes),
        Step::Started,
        Step::Answer(Say::Forbidden),
        Step::Wait,
        Step::Answer(Say::Less),
        Step::Wait,
        Step::Wanted,
        Step::Answer(Say::Yes),
        Step::Answer(Say::Yes),
        Step::Started,
    ];
    for point in 0..=life.len() {
        for sequence in 0..STEPS.len().pow(3) {
            let mut world = World::new();
            for step in &life[..point] {
                world.step(*step);
            }
            let mut rest = sequence;
            for _ in 0..3 {
                world.step(STEPS[rest % STEPS.len()]);
                rest /= STEPS.len();
            }
            world.nothing_is_left();
        }
    }
}

#[test]
fn a_changed_password_of_a_static_role_is_acted_on_once_and_leads_to_new_credentials() {
    let mut world = World::new();
    world.is_static = true;
    let mut world = world.started();
    world.asked.clear();
    let is_look = |world: &World| matches!(world.asked.first(), Some(Request::ReadAgain { .. }));
    let until_look = |world: &mut World| {
        while !is_look(world) {
            world.asked.clear();
            world.wait();
        }
    };
    let begun = world.now;
    until_look(&mut world);
    assert_eq!(world.now.since(begun), Duration::from_secs(61));
    world.answer(Say::Yes);
    assert!(world.news.is_empty(), "{:?}", world.news);
    until_look(&mut world);
    world.answer(Say::Less);
    assert_eq!(world.news, ["expiring"]);
    let cause = world.machine.deadline().map(|deadline| deadline.cause);
    assert_eq!(cause, Some(Cause::Rotated));
    world.event(Event::Wanted);
    if world.logins == 1 {
        world.log_in(Say::Yes);
    }
    world.answer(Say::Yes);
    assert_eq!(world.news, ["expiring", "obtained"]);
    world.start();
    assert_eq!(world.machine.deadline(), None);
}

#[test]
fn credentials_of_no_use_are_revoked_and_the_token_stays_alive_for_those_that_the_child_has() {
    let mut world = World::new().started();
    // The rights are known, so that the token can be kept.
    world.answer(Say::Yes);
    let until_expiring = |world: &mut World| {
        while !world.news.contains(&"expiring") {
            world.wait();
            while !world.asked.is_empty() {
                world.answer(Say::Less);
            }
        }
    };
    until_expiring(&mut world);
    world.event(Event::Wanted);
    assert_eq!(world.logins, 0, "the token is good enough");
    world.answer(Say::Yes);
    world.event(Event::Unusable);
    let asked = |world: &World, wanted: fn(&Request) -> bool| world.asked.iter().any(wanted);
    assert!(asked(
        &world,
        |it| matches!(it, Request::Revoke { call, .. } if matches!(call.target, Target::Lease(_)))
    ));
    assert!(asked(&world, |it| matches!(
        it,
        Request::Renew {
            subject: Subject::Token,
            ..
        }
    )));
}

#[test]
fn what_was_replaced_in_a_file_is_revoked_once_nobody_can_be_about_to_use_it() {
    let mut world = World::new().started();
    world.answer(Say::Yes);
    while !world.news.contains(&"expiring") {
        world.wait();
        while !world.asked.is_empty() {
            world.answer(Say::Less);
        }
    }
    world.event(Event::Wanted);
    world.answer(Say::Yes);
    world.event(Event::HandedOver);
    let revokes = |world: &World| {
        let mut asked = world.asked.iter();
        asked.any(|it| matches!(it, Request::Revoke { .. }))
    };
    assert!(!revokes(&world), "it may just have been read");
    let replaced_at = world.now;
    while !revokes(&world) {
        world.wait();
    }
    assert_eq!(world.now.since(replaced_at), Duration::from_secs(5));
    world.nothing_is_left();
}
