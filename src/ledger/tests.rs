//! What becomes of what is held, as sequences of facts.

use std::time::Duration;

use super::*;
use crate::manager::test_support::{counted_token, service_token};

const MINUTE: Duration = Duration::from_secs(60);

fn now() -> Moment {
    Moment::since_boot(Duration::from_secs(1_000_000))
}

/// A token of an hour and a lease of ten minutes.
fn held(token: NewSession) -> (Ledger, SessionNo, LeaseNo) {
    let mut ledger = Ledger::default();
    ledger.apply(Fact::LoggedIn(NewSession {
        granted_at: now(),
        ..token
    }));
    let session = ledger.sessions()[0].no;
    ledger.apply(Fact::Reading(session));
    ledger.apply(Fact::Read(
        session,
        Some(NewLease {
            id: "database/creds/x/1".to_owned(),
            duration: 10 * MINUTE,
            renewable: true,
            granted_at: now(),
        }),
    ));
    let lease = ledger.sessions()[0].leases[0].no;
    (ledger, session, lease)
}

fn forms(ledger: &Ledger, at: Moment) -> Vec<Form> {
    let (calls, _) = ledger.revocations(at);
    calls.into_iter().map(|call| call.form).collect()
}

fn refuse(ledger: &mut Ledger, target: Target, reason: Reason, next: Next) {
    ledger.apply(Fact::RevocationSent(target));
    let words = "no".to_owned();
    let refusal = Refusal { words, reason };
    ledger.apply(Fact::Refused {
        target,
        refusal,
        next,
    });
}

fn id() -> String {
    "database/creds/x/1".to_owned()
}

#[test]
fn nothing_is_revoked_before_it_is_retired() {
    let (mut ledger, session, lease) = held(service_token(60));
    assert_eq!(forms(&ledger, now()), []);
    ledger.apply(Fact::Retired(Target::Lease(lease), now()));
    assert_eq!(forms(&ledger, now()), [Form::Body(id())]);
    ledger.apply(Fact::RevocationSent(Target::Lease(lease)));
    assert_eq!(forms(&ledger, now()), [], "it is under way");
    ledger.apply(Fact::Revoked(Target::Lease(lease)));
    assert_eq!(forms(&ledger, now()), [], "its token stays");
    ledger.apply(Fact::Retired(Target::Token(session), now() + MINUTE));
    assert_eq!(forms(&ledger, now()), [Form::Token]);
    ledger.apply(Fact::Revoked(Target::Token(session)));
    assert!(ledger.is_settled());
    assert_eq!(ledger.left(now()), []);
}

#[test]
fn a_lease_is_tried_in_both_forms_and_goes_with_its_token_then() {
    let (mut ledger, session, lease) = held(service_token(60));
    ledger.apply(Fact::Retired(Target::Token(session), now() + MINUTE));
    assert_eq!(
        forms(&ledger, now()),
        [Form::Body(id())],
        "the token waits for it"
    );
    refuse(&mut ledger, Target::Lease(lease), Reason::Policy, Next::Now);
    assert_eq!(forms(&ledger, now()), [Form::Path(id())]);
    refuse(
        &mut ledger,
        Target::Lease(lease),
        Reason::Policy,
        Next::Never,
    );
    assert_eq!(forms(&ledger, now()), [Form::Token]);
    ledger.apply(Fact::Revoked(Target::Token(session)));
    assert_eq!(ledger.sessions()[0].leases[0].state, LeaseState::Queued);
    assert_eq!(ledger.left(now()), []);
}

#[test]
fn what_the_policy_allows_is_asked_for_and_nothing_else() {
    let below = || BTreeSet::from(["database/creds/x".to_owned()]);
    for (any, below, expected) in [
        (true, below(), Form::Body(id())),
        (false, below(), Form::Path(id())),
        (false, BTreeSet::new(), Form::Token),
    ] {
        let (mut ledger, session, _) = held(service_token(60));
        ledger.apply(Fact::Rights(session, Rights { any, below }));
        ledger.apply(Fact::Retired(Target::Token(session), now() + MINUTE));
        assert_eq!(forms(&ledger, now()), [expected]);
    }
}

#[test]
fn a_token_does_not_wait_for_its_leases_for_ever() {
    let (mut ledger, session, lease) = held(service_token(60));
    ledger.apply(Fact::Retired(Target::Token(session), now() + MINUTE));
    let later = Next::At(now() + 10 * MINUTE);
    refuse(&mut ledger, Target::Lease(lease), Reason::Engine, later);
    assert_eq!(forms(&ledger, now()), []);
    let (_, look_again) = ledger.revocations(now());
    assert_eq!(look_again, Some(now() + MINUTE));
    assert_eq!(forms(&ledger, now() + MINUTE), [Form::Token]);
    // What the engine has refused does not go with its token, and is not forgotten with it.
    ledger.apply(Fact::Revoked(Target::Token(session)));
    ledger.forget_settled(now() + MINUTE);
    let left = ledger.left(now() + MINUTE);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].verdict, Verdict::Refused("no".to_owned()));
}

#[test]
fn the_engines_verdict_outlives_a_later_time_out() {
    let (mut ledger, session, lease) = held(service_token(60));
    ledger.apply(Fact::Retired(Target::Token(session), now() + MINUTE));
    for (reason, kept) in [
        (Reason::Unclear, Reason::Unclear),
        (Reason::Engine, Reason::Engine),
        (Reason::Unclear, Reason::Engine),
        (Reason::Policy, Reason::Policy),
    ] {
        refuse(&mut ledger, Target::Lease(lease), reason, Next::Now);
        let (_, entered) = ledger.lease(lease).expect("a lease");
        assert!(entered.revocation.was_refused(kept), "{reason:?}");
    }
}

#[test]
fn the_last_use_of_a_token_is_its_own_revocation() {
    for (uses, expected) in [(2, Form::Body(id())), (1, Form::Token)] {
        let (mut ledger, session, _) = held(counted_token(uses));
        ledger.apply(Fact::Retired(Target::Token(session), now() + MINUTE));
        assert_eq!(forms(&ledger, now()), [expected], "{uses}");
    }
}

#[test]
fn a_token_that_was_handed_in_is_never_revoked_and_its_lease_is() {
    for token in [
        NewSession {
            foreign: true,
            ..service_token(60)
        },
        NewSession {
            batch: true,
            ..service_token(60)
        },
    ] {
        let (mut ledger, session, lease) = held(token);
        ledger.apply(Fact::Retired(Target::Token(session), now()));
        assert_eq!(forms(&ledger, now()), [Form::Body(id())]);
        ledger.apply(Fact::Revoked(Target::Lease(lease)));
        assert_eq!(forms(&ledger, now()), []);
        assert!(ledger.is_settled(), "nothing of it is ours any more");
    }
}

#[test]
fn a_lease_that_nobody_knows_goes_with_its_token_only() {
    let (mut ledger, session, lease) = held(service_token(60));
    ledger.apply(Fact::Reading(session));
    ledger.apply(Fact::ReadLost(session));
    ledger.apply(Fact::Revoked(Target::Lease(lease)));
    assert!(!ledger.is_settled());
    assert!(ledger.is_reading());
    let left = ledger.left(now());
    assert_eq!(left[0].what, "a lease whose id is not known");
    ledger.apply(Fact::Kept(session));
    assert!(
        !ledger.is_settled(),
        "it does not stay unsaid with a token that is kept"
    );
    ledger.apply(Fact::ClaimedBack);
    ledger.apply(Fact::Revoked(Target::Token(session)));
    assert_eq!(ledger.left(now()), []);
}

#[test]
fn what_is_kept_stays_until_it_is_claimed_back() {
    let (mut ledger, session, _) = held(service_token(60));
    ledger.apply(Fact::Kept(session));
    ledger.apply(Fact::Retired(Target::Token(session), now() + MINUTE));
    assert_eq!(forms(&ledger, now()), []);
    assert!(ledger.is_settled());
    ledger.apply(Fact::ClaimedBack);
    assert_eq!(forms(&ledger, now()), [Form::Body(id())]);
}

#[test]
fn what_has_ended_by_itself_is_not_left_unless_somebody_has_kept_it_alive() {
    let batch = || NewSession {
        batch: true,
        ..service_token(60)
    };
    for (token, refused, at, left) in [
        (batch(), Some(Reason::Policy), now() + MINUTE, 1),
        (batch(), Some(Reason::Policy), now() + 11 * MINUTE, 0),
        (batch(), Some(Reason::Engine), now() + 61 * MINUTE, 1),
        (batch(), None, now() + 61 * MINUTE, 0),
        // One that can be revoked is: it may have been renewed for longer than we know.
        (service_token(60), None, now() + 61 * MINUTE, 1),
    ] {
        let (mut ledger, session, lease) = held(token);
        ledger.apply(Fact::Retired(Target::Token(session), now()));
        if let Some(reason) = refused {
            refuse(&mut ledger, Target::Lease(lease), reason, Next::Never);
        }
        let found = ledger.left(at);
        assert_eq!(found.len(), left, "{refused:?} {found:?}");
        ledger.forget_settled(at);
        assert_eq!(ledger.is_empty(), left == 0, "{refused:?}");
    }
}

#[test]
fn what_is_left_is_told_with_the_earlier_of_both_ends() {
    for (lease_ends, token_ends) in [(20, 90), (90, 20)] {
        let (mut ledger, session, lease) = held(service_token(60));
        ledger.apply(Fact::Extended(
            Target::Lease(lease),
            now() + lease_ends * MINUTE,
        ));
        ledger.apply(Fact::Extended(
            Target::Token(session),
            now() + token_ends * MINUTE,
        ));
        let left = ledger.left(now());
        assert_eq!(left[0].expiry, Some(now() + 20 * MINUTE));
    }
}

#[test]
fn a_role_that_owns_objects_is_not_said_to_end_by_itself() {
    let (mut ledger, session, lease) = held(service_token(60));
    ledger.apply(Fact::Retired(Target::Token(session), now()));
    let words = "role \"v-x\" cannot be dropped because some objects depend on it (SQLSTATE 2BP01)";
    ledger.apply(Fact::Refused {
        target: Target::Lease(lease),
        refusal: Refusal {
            words: words.to_owned(),
            reason: Reason::Engine,
        },
        next: Next::Never,
    });
    let left = ledger.left(now());
    assert!(left[0].role_stays);
    let hint = left[0].hint.as_deref().unwrap_or_default();
    assert!(hint.contains("REASSIGN OWNED"), "{hint}");
}
