//! Properties of the schedule, on the sequence of its steps.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn start() -> Moment {
    Moment::since_boot(Duration::from_secs(1_000_000))
}

fn grant(seconds: u64) -> Grant {
    Grant {
        at: start(),
        duration: Duration::from_secs(seconds),
        fixed: None,
    }
}

fn schedule(token: u64, lease: u64) -> Schedule {
    Schedule::new(
        Some(grant(token)),
        &[Some(grant(lease))],
        None,
        None,
        &mut || 0.5,
    )
}

fn granted(seconds: u64) -> Renewed {
    Renewed {
        granted: Duration::from_secs(seconds),
        renewable: true,
    }
}

#[test]
fn the_first_renewal_is_at_70_to_73_percent_of_the_ttl() {
    for case in 0..10_000u64 {
        let mut random = fastrand::Rng::with_seed(case);
        let ttl = random.u64(1..1_000_000);
        let schedule = Schedule::new(None, &[Some(grant(ttl))], None, None, &mut || random.f64());
        let (at, step) = schedule.next().expect("a renewal");
        assert_eq!(
            step,
            Step::Renew(Subject::Lease(0), Duration::from_secs(ttl))
        );
        let share = at.since(start()).as_secs_f64() / Duration::from_secs(ttl).as_secs_f64();
        assert!((0.699..0.734).contains(&share), "{ttl}: {share}");
    }
}

/// Random answers in random order; returns the moments of all steps.
fn history(case: u64) -> Vec<(Moment, Step, bool)> {
    let mut random = fastrand::Rng::with_seed(case);
    let mut schedule = Schedule::new(
        random.bool().then(|| grant(random.u64(1..100_000))),
        &[Some(grant(random.u64(1..100_000)))],
        random.bool().then(|| random.u64(0..30)),
        random
            .bool()
            .then(|| Duration::from_secs(random.u64(5..1000))),
        &mut || 0.3,
    );
    let mut history = Vec::new();
    let mut now = start();
    for _ in 0..60 {
        let Some((at, step)) = schedule.next() else {
            break;
        };
        now = now.max(at);
        let mut failed = false;
        match step {
            Step::Renew(subject, increment) => {
                schedule.used_token(random.f64());
                match random.u8(0..10) {
                    0..5 => {
                        failed = true;
                        let wait = random
                            .bool()
                            .then(|| Duration::from_secs(random.u64(0..20)));
                        schedule.failed(subject, wait, now, random.f64());
                    }
                    5..9 => {
                        schedule.renewed(subject, granted(increment.as_secs()), now, random.f64());
                    }
                    _ => schedule.renewed(
                        subject,
                        granted(random.u64(0..=increment.as_secs())),
                        now,
                        random.f64(),
                    ),
                }
            }
            Step::Act(_) if random.bool() => {
                failed = true;
                schedule.act_failed(now, random.f64());
            }
            Step::Act(_) => schedule.acted(),
            Step::End(_) => schedule.ended(),
        }
        history.push((now, step, failed));
    }
    history
}

#[test]
fn never_a_tight_loop_whatever_the_server_answers() {
    for case in 0..10_000 {
        let history = history(case);
        for (index, (at, step, failed)) in history
            .iter()
            .enumerate()
            .filter(|(_, (_, _, failed))| *failed)
        {
            let same = |other: &Step| {
                std::mem::discriminant(other) == std::mem::discriminant(step)
                    && match (other, step) {
                        (Step::Renew(one, _), Step::Renew(other, _)) => one == other,
                        _ => true,
                    }
            };
            if let Some((next, ..)) = history
                .iter()
                .skip(index + 1)
                .find(|(_, other, _)| same(other))
            {
                assert!(
                    next.since(*at) >= SHORTEST_RETRY,
                    "case {case}: {failed} {step:?} again after {:?}",
                    next.since(*at)
                );
            }
        }
    }
}

#[test]
fn a_renewal_is_always_tried_before_the_expiry() {
    for case in 0..10_000u64 {
        let mut random = fastrand::Rng::with_seed(case);
        let mut schedule = schedule(random.u64(10..100_000), random.u64(10..100_000));
        for _ in 0..50 {
            let (at, step) = schedule.next().expect("all is renewable");
            let expiry = schedule.expiry().expect("both expire");
            let Step::Renew(subject, increment) = step else {
                panic!("all is renewable: {step:?}")
            };
            assert!(at < expiry, "case {case}");
            schedule.renewed(subject, granted(increment.as_secs()), at, random.f64());
        }
    }
}

#[test]
fn delays_after_failures_double_to_a_minute_and_stay_there() {
    let mut schedule = Schedule::new(None, &[Some(grant(86_400))], None, None, &mut || 0.0);
    let mut now = schedule.next().expect("a renewal").0;
    let mut delays = Vec::new();
    for _ in 0..9 {
        schedule.failed(Subject::Lease(0), None, now, 1.0);
        let next = schedule.next().expect("a retry").0;
        delays.push(next.since(now).as_secs());
        now = next;
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn little_time_left_means_shorter_delays_but_never_below_the_floor() {
    let mut schedule = Schedule::new(None, &[Some(grant(10))], None, None, &mut || 0.0);
    let expiry = start() + Duration::from_secs(10);
    let mut now = schedule.next().expect("a renewal").0;
    let mut tries = 0;
    while now < expiry {
        schedule.failed(Subject::Lease(0), None, now, 1.0);
        let next = schedule.next().expect("a retry").0;
        assert!(next.since(now) >= SHORTEST_RETRY);
        now = next;
        tries += 1;
    }
    assert!((3..=8).contains(&tries), "{tries}");
}

#[test]
fn a_shrinking_grant_is_the_deadline_and_a_cause_is_never_lost() {
    let mut schedule = schedule(4 * 3600, 3600);
    let (at, _) = schedule.next().expect("a renewal");
    schedule.renewed(Subject::Lease(0), granted(1200), at, 0.5);
    let deadline = Deadline {
        at: at + Duration::from_secs(1200),
        cause: Cause::MaxTtl(Subject::Lease(0)),
    };
    assert_eq!(schedule.deadline(), Some(deadline));
    // Acting is due 20 to 30 % of an hour before, which is 5 minutes after this renewal.
    let (act, step) = schedule.next().expect("time to act");
    assert_eq!(step, Step::Act(deadline));
    assert_eq!(deadline.at.since(act), HOUR / 4);
    schedule.acted();
    assert!(matches!(
        schedule.next(),
        Some((_, Step::Renew(Subject::Token, _) | Step::End(_)))
    ));
    assert_eq!(schedule.deadline(), Some(deadline));
}

#[test]
fn rounding_is_no_deadline() {
    let mut schedule = schedule(7200, 3600);
    let (at, _) = schedule.next().expect("a renewal");
    schedule.renewed(Subject::Lease(0), granted(3599), at, 0.5);
    assert_eq!(schedule.deadline(), None);
}

#[test]
fn batch_and_unrenewable_are_known_from_the_start_without_pointless_calls() {
    let batch = Grant {
        fixed: Some(Cause::BatchToken),
        ..grant(600)
    };
    let lease = Grant {
        fixed: Some(Cause::BatchToken),
        ..grant(600)
    };
    let schedule = Schedule::new(Some(batch), &[Some(lease)], None, None, &mut || 0.0);
    assert_eq!(
        schedule.deadline().map(|deadline| deadline.cause),
        Some(Cause::BatchToken)
    );
    assert!(matches!(schedule.next(), Some((_, Step::Act(_)))));
}

#[test]
fn the_last_uses_of_a_counted_token_are_never_spent_on_renewals() {
    for uses in 0..20 {
        let mut schedule = Schedule::new(
            Some(grant(60)),
            &[Some(grant(60))],
            Some(uses),
            None,
            &mut || 0.5,
        );
        let mut renewals = 0;
        while let Some((at, Step::Renew(subject, increment))) = schedule.next() {
            renewals += 1;
            schedule.used_token(0.5);
            schedule.renewed(subject, granted(increment.as_secs()), at, 0.5);
            assert!(renewals < 100, "it ends");
        }
        assert_eq!(renewals, uses.saturating_sub(2), "{uses}");
        assert_eq!(
            schedule.deadline().map(|deadline| deadline.cause),
            Some(Cause::UsesSpent)
        );
    }
}

#[test]
fn what_is_lost_is_acted_on_at_once_and_not_renewed() {
    let mut schedule = schedule(3600, 3600);
    let now = start() + Duration::from_secs(60);
    schedule.fixed(Subject::Lease(0), Cause::Lost(Subject::Lease(0)), now, 0.5);
    let (at, step) = schedule.next().expect("time to act");
    assert!(at <= now);
    assert_eq!(
        step,
        Step::Act(Deadline {
            at: now,
            cause: Cause::Lost(Subject::Lease(0))
        })
    );
    schedule.acted();
    assert_eq!(schedule.next(), None);
}

#[test]
fn failed_acts_are_repeated_at_growing_intervals() {
    let mut schedule = schedule(3600, 3600);
    let mut now = start();
    schedule.fixed(Subject::Lease(0), Cause::Lost(Subject::Lease(0)), now, 0.5);
    let mut delays = Vec::new();
    for _ in 0..8 {
        schedule.acted();
        schedule.act_failed(now, 1.0);
        let (at, step) = schedule.next().expect("another try");
        assert!(matches!(step, Step::Act(_)));
        delays.push(at.since(now).as_secs());
        now = at;
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn the_end_is_told_also_while_new_credentials_are_asked_for_in_vain() {
    let fixed = Grant {
        fixed: Some(Cause::BatchToken),
        ..grant(100)
    };
    let mut schedule = Schedule::new(Some(fixed), &[Some(fixed)], None, None, &mut || 0.5);
    let (mut acts, mut ends) = (0, 0);
    for _ in 0..40 {
        let (now, step) = schedule.next().expect("another try");
        match step {
            Step::Act(_) => {
                acts += 1;
                schedule.acted();
                schedule.act_failed(now, 1.0);
            }
            Step::End(deadline) => {
                ends += 1;
                assert_eq!(now, deadline.at);
                schedule.ended();
            }
            Step::Renew(..) => panic!("there is nothing to renew"),
        }
    }
    assert_eq!((acts, ends), (39, 1));
}

#[test]
fn a_servers_wish_to_wait_does_not_outlast_the_lease() {
    let mut schedule = Schedule::new(None, &[Some(grant(60))], None, None, &mut || 0.5);
    let (now, _) = schedule.next().expect("a renewal");
    schedule.failed(Subject::Lease(0), Some(HOUR * 24), now, 0.5);
    let (again, _) = schedule.next().expect("another try");
    assert!(again < start() + Duration::from_secs(60));
}

#[test]
fn a_grant_of_nothing_is_the_end_and_no_loop() {
    let mut schedule = Schedule::new(None, &[Some(grant(1))], None, None, &mut || 0.5);
    let (now, _) = schedule.next().expect("a renewal");
    schedule.renewed(Subject::Lease(0), granted(0), now, 0.5);
    assert!(matches!(schedule.next(), Some((_, Step::Act(_)))));
    let mut schedule = Schedule::new(None, &[Some(grant(1))], None, None, &mut || 0.5);
    schedule.renewed(Subject::Lease(0), granted(1), now, 0.5);
    let (next, _) = schedule.next().expect("another renewal");
    assert!(next.since(now) >= SHORTEST_RETRY);
}

#[test]
fn a_shorter_lease_is_asked_for_at_once() {
    let ttl = Duration::from_secs(300);
    let mut schedule = Schedule::new(
        Some(grant(3600)),
        &[Some(grant(3600))],
        None,
        Some(ttl),
        &mut || 0.5,
    );
    assert_eq!(
        schedule.next(),
        Some((start(), Step::Renew(Subject::Lease(0), ttl)))
    );
    schedule.renewed(Subject::Lease(0), granted(300), start(), 0.5);
    assert_eq!(schedule.deadline(), None);
    assert_eq!(schedule.expiry(), Some(start() + ttl));
}

#[test]
fn one_wake_up_serves_both_when_their_turns_are_near() {
    let mut schedule = schedule(3600, 3601);
    let (at, step) = schedule.next().expect("a renewal");
    assert!(matches!(step, Step::Renew(Subject::Token, _)));
    schedule.renewed(Subject::Token, granted(3600), at, 0.5);
    assert_eq!(
        schedule.next(),
        Some((
            at,
            Step::Renew(Subject::Lease(0), Duration::from_secs(3601))
        ))
    );
}

#[test]
fn looking_now_renews_everything_that_can_be() {
    let mut schedule = schedule(3600, 7200);
    let now = start() + Duration::from_secs(10);
    schedule.look_now(now);
    assert!(matches!(schedule.next(), Some((at, Step::Renew(..))) if at == now));
}

#[test]
fn a_deadline_that_comes_nearer_is_acted_on_again() {
    let mut schedule = schedule(7200, 3600);
    let at = |seconds| start() + Duration::from_secs(seconds);
    schedule.fixed(
        Subject::Lease(0),
        Cause::MaxTtl(Subject::Lease(0)),
        at(2500),
        0.5,
    );
    assert!(matches!(schedule.next(), Some((_, Step::Act(found))) if found.at == at(3600)));
    schedule.acted();
    // Somebody revokes the token.
    let lost = Cause::Lost(Subject::Token);
    schedule.fixed(Subject::Token, lost, at(2900), 0.5);
    let nearer = Deadline {
        at: at(2900),
        cause: lost,
    };
    assert!(
        matches!(schedule.next(), Some((due, Step::Act(found))) if found == nearer && due <= at(2900))
    );
    schedule.acted();
    assert_eq!(schedule.next(), None);
}

#[test]
fn an_answer_that_hangs_leaves_time_for_another_try() {
    let schedule = schedule(7200, 3600);
    let at = |seconds| start() + Duration::from_secs(seconds);
    assert_eq!(schedule.answer_limit(at(2400)), Duration::from_secs(400));
    assert_eq!(schedule.answer_limit(at(3599)), Duration::from_secs(1));
    assert_eq!(
        schedule.answer_limit(at(4000)),
        Duration::from_secs(1),
        "past the end"
    );
}

#[test]
fn chance_spreads_every_wait() {
    let seconds = Duration::from_secs;
    let lease = |chance: f64| Schedule::new(None, &[Some(grant(1000))], None, None, &mut || chance);
    let token = |chance: f64| Schedule::new(Some(grant(1000)), &[], None, None, &mut || chance);
    for make in [&lease as &dyn Fn(f64) -> Schedule, &token] {
        let first = |chance| make(chance).next().expect("a renewal").0.since(start());
        assert_eq!(first(0.0).as_secs(), 700);
        assert_eq!(first(1.0).as_secs(), 733);
    }
    // The next renewal is spread anew.
    let second = |chance| {
        let mut schedule = lease(0.0);
        schedule.renewed(Subject::Lease(0), granted(1000), start(), chance);
        schedule.next().expect("a renewal").0.since(start())
    };
    assert_eq!(second(0.0).as_secs(), 700);
    assert_eq!(second(1.0).as_secs(), 733);
    let end = start() + seconds(1000);
    // How long before the deadline it is acted on: one known from the start, one that a renewal brings, and one by a refusal.
    let known = |chance: f64| {
        let batch = Grant {
            fixed: Some(Cause::BatchToken),
            ..grant(1000)
        };
        Schedule::new(Some(batch), &[], None, None, &mut || chance)
    };
    let shrunk = |chance| {
        let mut schedule = Schedule::new(None, &[Some(grant(1000))], None, None, &mut || 0.0);
        let now = start() + seconds(500);
        schedule.renewed(Subject::Lease(0), granted(500), now, chance);
        schedule
    };
    let refused = |chance| {
        let mut schedule = lease(0.0);
        let cause = Cause::Denied(Subject::Lease(0));
        schedule.fixed(Subject::Lease(0), cause, start() + seconds(500), chance);
        schedule
    };
    let spent = |chance| {
        let uses = Some(2 + 1);
        let mut schedule = Schedule::new(None, &[Some(grant(1000))], uses, None, &mut || 0.0);
        schedule.used_token(chance);
        schedule
    };
    for make in [
        &known as &dyn Fn(f64) -> Schedule,
        &shrunk,
        &refused,
        &spent,
    ] {
        let ahead = |chance| match make(chance).next() {
            Some((at, Step::Act(deadline))) => {
                assert_eq!(deadline.at, end);
                end.since(at).as_millis()
            }
            other => panic!("time to act: {other:?}"),
        };
        assert_eq!((ahead(0.0), ahead(1.0)), (200_000, 300_000));
    }
    // So are the waits after failures.
    let again = |chance| {
        let mut schedule = lease(0.0);
        schedule.failed(Subject::Lease(0), None, start(), chance);
        schedule.next().expect("a retry").0.since(start())
    };
    assert_eq!(again(1.0), 2 * again(0.0));
    let act_again = |chance| {
        let mut schedule = known(0.0);
        schedule.acted();
        schedule.act_failed(start(), chance);
        schedule.next().expect("another try").0.since(start())
    };
    assert_eq!(act_again(1.0), 2 * act_again(0.0));
}

#[test]
fn a_servers_wish_to_wait_is_honoured_where_there_is_time_for_it() {
    let now = start() + Duration::from_secs(60);
    for subject in [Subject::Lease(0), Subject::Token] {
        for wish in [3, 30, 300] {
            let wish = Duration::from_secs(wish);
            let mut schedule = schedule(3600, 3600);
            schedule.failed(subject, Some(wish), now, 0.5);
            // The other one is not held up.
            assert!(schedule.next().expect("a renewal").0 < start() + HOUR);
            let other = match subject {
                Subject::Lease(_) | Subject::Password(_) => Subject::Token,
                Subject::Token => Subject::Lease(0),
            };
            schedule.failed(other, Some(HOUR), now, 0.5);
            let (next, step) = schedule.next().expect("another try");
            assert!(matches!(step, Step::Renew(found, _) if found == subject));
            assert_eq!(next, now + wish);
        }
    }
}

#[test]
fn a_lease_that_ends_with_its_token_is_not_renewed_in_vain_but_looked_at() {
    let batch = |seconds| {
        Some(Grant {
            fixed: Some(Cause::BatchToken),
            ..grant(seconds)
        })
    };
    let ttl = Some(Duration::from_secs(60));
    for lease in [599, 600, 6000] {
        let mut schedule =
            Schedule::new(batch(600), &[Some(grant(lease))], None, None, &mut || 0.5);
        assert!(matches!(schedule.next(), Some((_, Step::Act(_)))));
        schedule.acted();
        assert!(matches!(schedule.next(), Some((_, Step::End(_)))));
        let now = start() + Duration::from_secs(60);
        schedule.look_now(now);
        assert!(
            matches!(schedule.next(), Some((at, Step::Renew(Subject::Lease(0), _))) if at == now)
        );
        schedule.renewed(Subject::Lease(0), granted(lease), now, 0.5);
        assert!(matches!(schedule.next(), Some((_, Step::End(_)))));
        // Unless it is to be shortened.
        let schedule = Schedule::new(batch(600), &[Some(grant(lease))], None, ttl, &mut || 0.5);
        assert!(matches!(schedule.next(), Some((_, Step::Renew(..)))));
    }
    // One that ends before the token can be extended up to that.
    let mut schedule = Schedule::new(batch(600), &[Some(grant(300))], None, None, &mut || 0.5);
    let (at, step) = schedule.next().expect("a renewal");
    assert!(matches!(step, Step::Renew(Subject::Lease(0), _)));
    schedule.renewed(Subject::Lease(0), granted(300), at, 0.5);
    assert!(matches!(schedule.next(), Some((_, Step::Renew(..)))));
}

fn rotation(ttl: u64) -> Rotation {
    Rotation {
        made: "then".to_owned(),
        read_at: start(),
        ttl: Duration::from_secs(ttl),
    }
}

/// The schedule of a static role under a token of an hour.
fn watching(ttl: u64, uses: Option<u64>) -> Schedule {
    let mut schedule = Schedule::new(Some(grant(3600)), &[None], uses, None, &mut || 0.5);
    schedule.watch(0, &rotation(ttl));
    schedule
}

#[test]
fn a_static_roles_password_is_looked_at_just_after_its_time_until_it_is_changed() {
    let mut schedule = watching(60, None);
    let password = Subject::Password(0);
    let mut expected = start() + Duration::from_secs(61);
    for look in 0..30 {
        // It is no deadline before it is known to be changed.
        assert_eq!(schedule.deadline(), None);
        assert_eq!(schedule.expiry(), Some(start() + HOUR));
        let (at, step) = schedule.next().expect("a look");
        assert_eq!(step, Step::Renew(password, Duration::from_secs(60)));
        assert_eq!(at, expected, "{look}");
        schedule.not_rotated(0, Duration::ZERO, at);
        let apart = if look < 15 { 1 } else { 5 };
        expected = at + Duration::from_secs(apart);
    }
    // Changed by somebody else's hand: its time begins anew.
    schedule.not_rotated(0, Duration::from_secs(60), expected);
    let (at, _) = schedule.next().expect("a look");
    assert_eq!(at, expected + Duration::from_secs(61));
    schedule.fixed(password, Cause::Rotated, at, 0.5);
    let deadline = Deadline {
        at,
        cause: Cause::Rotated,
    };
    assert_eq!(schedule.next(), Some((at, Step::Act(deadline))));
    schedule.acted();
    // The token is renewed all the same, and the end that has been told is not told again.
    let (_, step) = schedule.next().expect("a renewal");
    assert_eq!(step, Step::Renew(Subject::Token, HOUR));
}

#[test]
fn a_static_roles_password_that_cannot_be_looked_at_is_replaced_just_after_its_time() {
    let mut schedule = watching(60, Some(4));
    for _ in 0..4 {
        schedule.used_token(0.5);
    }
    let at = start() + Duration::from_secs(61);
    let (acts_at, step) = schedule.next().expect("a deadline");
    assert!(
        matches!(
            step,
            Step::Act(Deadline {
                cause: Cause::UsesSpent,
                ..
            })
        ),
        "{step:?}"
    );
    assert_eq!(acts_at, at);
}

#[test]
fn a_look_that_fails_is_made_again() {
    let mut schedule = watching(60, None);
    let (at, _) = schedule.next().expect("a look");
    schedule.failed(Subject::Password(0), None, at, 0.5);
    let (again, step) = schedule.next().expect("another look");
    assert!(matches!(step, Step::Renew(Subject::Password(0), _)));
    assert!(
        again > at && again.since(at) < Duration::from_secs(5),
        "{:?}",
        again.since(at)
    );
}
