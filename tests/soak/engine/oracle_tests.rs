//! The oracle on records that are made up.

// `make soak` has no harness: nobody calls them there. The end-to-end tests do.
#![allow(dead_code, unused_imports)]

use super::super::harm::Harm;
use super::super::observed::Sent;
use super::super::plan::Login;
use super::*;
use crate::support::RequestInfo;

/// A tenant whose credentials outlive the run, and one whose do not.
const LASTS: usize = 0;
const ROTATES: usize = 3;
const REVOKE_SELF: &str = "/v1/auth/token/revoke-self";

const NATURAL: Exit = Exit::Code(9);
const FAILED: Exit = Exit::Code(125);
const TERM: Exit = Exit::Signal(libc::SIGTERM);
const KILL: Exit = Exit::Signal(libc::SIGKILL);

fn plain() -> Plan {
    plan(LASTS, How::Plain)
}

fn plan(tenant: usize, how: How) -> Plan {
    Plan {
        tenant,
        life: 1000,
        end: End::Code(9),
        how,
        faults: Vec::new(),
        signal: None,
        lag: 0,
        cached: false,
        together: false,
        login: Login::AppRole,
        two: false,
        handover: "env",
    }
}

/// A run from its start, a record at a time; the times are in milliseconds since then.
struct Made {
    start: Instant,
    observed: Observed,
}

impl Made {
    /// One without a request as yet, that has ended with its child after two seconds.
    fn new() -> Self {
        let start = Instant::now();
        let observed = Observed {
            requests: Vec::new(),
            issued: Vec::new(),
            handed_in: None,
            applied: Vec::new(),
            sent: None,
            exit: Exit::Code(9),
            out: "ready 1\n".to_owned(),
            err: String::new(),
            shown: String::new(),
            wall: Duration::from_secs(2),
            ended: start + Duration::from_secs(2),
            late: 0,
        };
        Self { start, observed }
    }

    /// The usual one: a login and a read of credentials.
    fn usual() -> Self {
        Self::new().login(0).creds(10, "one")
    }

    fn after(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn request(mut self, at: u64, path: &str, token: &str) -> Self {
        let request = RequestInfo {
            method: "POST".to_owned(),
            path: path.to_owned(),
            headers: vec![
                ("X-Vault-Token".to_owned(), token.to_owned()),
                ("X-At".to_owned(), at.to_string()),
            ],
            body: Vec::new(),
            sequence: self.observed.requests.len(),
            nth: 0,
            at: self.after(at),
            connection: 0,
        };
        self.observed.requests.push(request);
        self
    }

    /// The request before has been answered with that, so much later.
    fn issued(mut self, took: u64, what: IssuedKind) -> Self {
        let request = &self.observed.requests[self.observed.requests.len() - 1];
        let issued = Issued {
            sequence: request.sequence,
            what,
            at: request.at + Duration::from_millis(took),
            lost: false,
        };
        self.observed.issued.push(issued);
        self
    }

    fn login(self, at: u64) -> Self {
        let what = IssuedKind::Token {
            accessor: "accessor".to_owned(),
            token: "token".to_owned(),
        };
        self.request(at, "/v1/auth/approle/login", "")
            .issued(5, what)
    }

    fn creds(self, at: u64, lease: &str) -> Self {
        self.slow_creds(at, lease, 5)
    }

    fn slow_creds(self, at: u64, lease: &str, took: u64) -> Self {
        let what = IssuedKind::Lease {
            lease_id: lease.to_owned(),
            username: format!("v-{lease}"),
        };
        self.request(at, "/v1/database/creds/app", "token")
            .issued(took, what)
    }

    /// The last answer did not arrive.
    fn lost(mut self) -> Self {
        let last = self.observed.issued.len() - 1;
        self.observed.issued[last].lost = true;
        self
    }

    /// The last request met that.
    fn harmed(mut self, harm: Harm) -> Self {
        let request = self.observed.requests[self.observed.requests.len() - 1].clone();
        self.observed.applied.push((request, harm));
        self
    }

    fn signal(mut self, signal: i32, at: u64) -> Self {
        let sent = Sent {
            signal,
            ready: true,
            before_end: 2000 - at,
            at: self.after(at),
            family: Vec::new(),
        };
        self.observed.sent = Some(sent);
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Observed)) -> Self {
        change(&mut self.observed);
        self
    }

    fn ended(mut self, at: u64) -> Self {
        self.observed.ended = self.after(at);
        self
    }

    #[track_caller]
    fn may_end(&self, plan: &Plan, with: &[Exit]) {
        let expected = expected(plan, &self.observed);
        assert_eq!(
            std::collections::BTreeSet::from_iter(expected),
            with.iter().copied().collect()
        );
    }

    #[track_caller]
    fn is_judged(&self, plan: &Plan, wrong: &[&str]) {
        assert_eq!(judge(plan, &self.observed), wrong);
    }

    fn last_fate(&self) -> Fate {
        fate(
            &self.observed.issued[self.observed.issued.len() - 1],
            &self.observed,
        )
    }
}

#[test]
fn a_run_that_ends_as_its_child_does_is_as_it_should_be() {
    Made::usual().is_judged(&plain(), &[]);
    let dies = Plan {
        end: End::Die(libc::SIGSEGV),
        ..plain()
    };
    Made::usual().may_end(&dies, &[Exit::Signal(libc::SIGSEGV)]);
}

#[test]
fn another_end_is_told_with_what_it_should_have_been() {
    Made::usual()
        .with(|seen| seen.exit = FAILED)
        .is_judged(&plain(), &["ended with Code(125), not one of [Code(9)]"]);
}

#[test]
fn a_final_harm_before_the_first_credentials_means_125() {
    let login = || Made::new().login(0);
    for harm in [Harm::Status(403), Harm::Html] {
        login().harmed(harm).may_end(&plain(), &[FAILED]);
    }
    for harm in [Harm::Hang, Harm::HangAfter] {
        login().harmed(harm).may_end(&plain(), &[NATURAL, FAILED]);
    }
    // One lost answer does not keep a command from starting.
    login()
        .harmed(Harm::ResetAfter)
        .lost()
        .may_end(&plain(), &[NATURAL]);
    login()
        .harmed(Harm::Status(503))
        .creds(10, "one")
        .may_end(&plain(), &[NATURAL]);
    let refused = login().creds(10, "one").harmed(Harm::Html).lost();
    refused.may_end(&plain(), &[FAILED]);
    refused
        .signal(libc::SIGTERM, 20)
        .may_end(&plain(), &[FAILED, TERM]);
}

#[test]
fn a_final_harm_to_a_rotation_or_to_the_cleaning_up_does_not_change_the_end() {
    Made::usual()
        .creds(500, "two")
        .harmed(Harm::ResetBefore)
        .lost()
        .may_end(&plain(), &[NATURAL]);
    Made::usual()
        .request(500, REVOKE_SELF, "token")
        .harmed(Harm::Garbage)
        .may_end(&plain(), &[NATURAL]);
}

#[test]
fn before_there_is_a_child_a_signal_is_the_end() {
    let unready = |seen: &mut Observed| seen.sent.as_mut().unwrap().ready = false;
    let none = Made::new()
        .login(0)
        .signal(libc::SIGTERM, 5)
        .with(unready)
        .with(|seen| seen.out.clear());
    none.may_end(&plain(), &[TERM]);
    // It may have come just then.
    let just_then = Made::usual().signal(libc::SIGTERM, 5).with(unready);
    let heeds = plan(LASTS, How::Heed(3));
    just_then.may_end(&heeds, &[TERM, NATURAL, Exit::Code(3)]);
}

#[test]
fn a_child_that_was_sent_a_signal_ends_as_it_chooses() {
    let term = || Made::usual().signal(libc::SIGTERM, 100);
    term().may_end(&plain(), &[TERM]);
    let heeds = plan(LASTS, How::Heed(3));
    term().may_end(&heeds, &[Exit::Code(3)]);
    let deaf = plan(LASTS, How::Deaf(500));
    term().may_end(&deaf, &[TERM, NATURAL]);
    let hup = Exit::Signal(libc::SIGHUP);
    Made::usual()
        .signal(libc::SIGHUP, 100)
        .may_end(&heeds, &[hup]);
    // So late that it may have ended by itself.
    Made::usual()
        .signal(libc::SIGHUP, 800)
        .may_end(&heeds, &[hup, NATURAL]);
}

#[test]
fn a_signal_in_the_middle_of_a_rotation_may_meet_the_rotations_own() {
    let rotates = plan(ROTATES, How::Plain);
    Made::usual()
        .signal(libc::SIGINT, 100)
        .may_end(&rotates, &[Exit::Signal(libc::SIGINT), TERM, KILL, NATURAL]);
    // Others do not ask it to end.
    let usr1 = Exit::Signal(libc::SIGUSR1);
    Made::usual()
        .signal(libc::SIGUSR1, 100)
        .may_end(&rotates, &[usr1, NATURAL]);
}

#[test]
fn nothing_survives_kill() {
    for tenant in [LASTS, ROTATES] {
        let deaf = plan(tenant, How::Deaf(500));
        Made::usual()
            .signal(libc::SIGKILL, 900)
            .may_end(&deaf, &[KILL]);
        Made::usual()
            .signal(libc::SIGKILL, 2000)
            .may_end(&deaf, &[KILL, NATURAL]);
    }
}

#[test]
fn a_run_has_its_bounds_in_time_and_in_requests() {
    Made::usual()
        .with(|seen| seen.late = LATEST)
        .is_judged(&plain(), &[]);
    Made::usual()
        .with(|seen| seen.late = LATEST + 1)
        .is_judged(&plain(), &["51001 ms too late"]);
    let asks =
        |count: u64| (2..count).fold(Made::usual(), |made, at| made.request(at, "/v1/x", ""));
    asks(60).is_judged(&plain(), &[]);
    asks(61).is_judged(&plain(), &["61 requests"]);
}

#[test]
fn a_lease_that_was_replaced_is_given_back_soon() {
    let rotates = plan(ROTATES, How::Plain);
    let wrong = ["the lease one was kept after it was replaced"];
    let replaced = || Made::usual().creds(1000, "two");
    replaced().ended(7000).is_judged(&rotates, &wrong);
    replaced()
        .request(1500, "/v1/sys/leases/revoke/one", "token")
        .ended(7000)
        .is_judged(&rotates, &[]);
    replaced()
        .request(1500, REVOKE_SELF, "token")
        .ended(7000)
        .is_judged(&rotates, &[]);
    // Of another token.
    replaced()
        .request(1500, REVOKE_SELF, "other")
        .ended(7000)
        .is_judged(&rotates, &wrong);
    // Too late.
    replaced()
        .request(6000, REVOKE_SELF, "token")
        .ended(7000)
        .is_judged(&rotates, &wrong);
}

#[test]
fn a_lease_may_be_kept_to_the_end_where_the_end_is_near_or_the_new_one_never_came() {
    let rotates = plan(ROTATES, How::Plain);
    let replaced = || Made::usual().creds(1000, "two");
    replaced().ended(2500).is_judged(&rotates, &[]);
    replaced().lost().ended(7000).is_judged(&rotates, &[]);
    // A child that was told to end keeps what it has.
    replaced()
        .signal(libc::SIGTERM, 900)
        .ended(7000)
        .is_judged(&rotates, &[]);
}

#[test]
fn something_is_left_behind_in_a_hurry_only() {
    let left = || {
        Made::usual()
            .with(|seen| seen.err = "vaultexec: the lease one could not be revoked".to_owned())
    };
    let wrong = ["left something behind"];
    left().is_judged(&plain(), &wrong);
    let signalled = |made: Made| {
        made.signal(libc::SIGTERM, 100)
            .with(|seen| seen.exit = TERM)
    };
    signalled(left()).ended(1000).is_judged(&plain(), &wrong);
    // A slow server, or one that was harmed.
    signalled(left()).ended(1050).is_judged(&plain(), &[]);
    let harmed = || {
        left()
            .request(150, REVOKE_SELF, "token")
            .harmed(Harm::Status(503))
    };
    signalled(harmed()).ended(300).is_judged(&plain(), &[]);
    // Nobody was in a hurry.
    harmed().is_judged(&plain(), &wrong);
}

#[test]
fn what_arrived_has_to_go() {
    assert_eq!(Made::new().login(0).last_fate(), Fate::Known);
    assert_eq!(Made::usual().last_fate(), Fate::Known);
}

#[test]
fn a_token_is_lost_with_its_answer_and_a_lease_is_not() {
    assert_eq!(Made::new().login(0).lost().last_fate(), Fate::Lost);
    // It ends with its token.
    assert_eq!(Made::usual().lost().last_fate(), Fate::Known);
}

#[test]
fn a_lease_whose_answer_is_lost_and_late_is_not_waited_for() {
    let lost = |took| Made::new().login(0).slow_creds(10, "one", took).lost();
    assert_eq!(lost(1800).last_fate(), Fate::Known);
    assert_eq!(lost(1801).last_fate(), Fate::Slow);
    let signalled = |took| lost(took).signal(libc::SIGTERM, 20);
    // By the time since the signal, however long it took in all.
    assert_eq!(signalled(260).last_fate(), Fate::Known);
    assert_eq!(signalled(261).last_fate(), Fate::Slow);
    let arrived = Made::new().login(0).slow_creds(10, "one", 5000);
    assert_eq!(arrived.last_fate(), Fate::Known);
}

#[test]
fn a_token_that_came_at_the_kill_may_be_known_to_nobody() {
    // It came after 5 ms.
    let killed = |at| Made::new().login(0).signal(libc::SIGKILL, at);
    assert_eq!(killed(50).last_fate(), Fate::InFlight);
    assert_eq!(killed(1005).last_fate(), Fate::Known);
    let used = killed(50).request(20, REVOKE_SELF, "token");
    assert_eq!(used.last_fate(), Fate::Known);
    let told = Made::new().login(0).signal(libc::SIGTERM, 50);
    assert_eq!(told.last_fate(), Fate::Known);
}

#[test]
fn what_a_cache_would_answer_alike_is_not_asked_for_twice() {
    let twice = |at| Made::usual().creds(at, "two");
    twice(20).is_judged(&plain(), &[]);
    let wrong = ["two requests that a cache would answer alike"];
    twice(10).is_judged(&plain(), &wrong);
}

#[test]
fn a_lease_whose_answer_was_lost_goes_soon_after_there_is_another() {
    let rotates = plan(ROTATES, How::Plain);
    let wrong = ["the lease one was kept after it was replaced"];
    let again = || Made::usual().lost().creds(1000, "two");
    again().ended(7000).is_judged(&rotates, &wrong);
    let given_back = again().request(1500, REVOKE_SELF, "token");
    given_back.ended(7000).is_judged(&rotates, &[]);
    // There is no other one yet.
    let twice = Made::usual().lost().creds(1000, "two").lost();
    twice.ended(7000).is_judged(&rotates, &[]);
}
