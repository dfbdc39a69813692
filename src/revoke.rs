//! Revoking: one request at a time as the ledger says, and what its answer makes of the ledger.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::ledger::{Call, Fact, Form, Ledger, Next, Reason, Refusal, Target};
use crate::sys::clock::Moment;
use crate::vault::{Backoff, Client, Failure, Revoked};

/// The part of the time for cleaning up that leases have, before their tokens are revoked.
pub const LEASES_SHARE: f64 = 0.7;
/// How long an answer is waited for that only confirms an end which has come by itself.
const OVER: Duration = Duration::from_secs(1);
/// There is no other try in less time.
const SHORTEST_TRY: Duration = Duration::from_millis(50);

/// Revokes everything that is held, until a moment. What has become of it is in the ledger, also
/// when the future is dropped before it is done; `changed` is called at each change.
pub async fn everything(
    client: &Rc<Client>,
    ledger: &mut Ledger,
    leases_until: Moment,
    until: Moment,
    backoff: Backoff,
    mut changed: impl FnMut(&Ledger),
) {
    ledger.apply(Fact::Abandoned);
    ledger.forget_settled(Moment::now());
    retire_all(ledger, leases_until);
    let mut jobs = JoinSet::new();
    loop {
        let now = Moment::now();
        if until.since(now) < SHORTEST_TRY {
            return;
        }
        let (calls, later) = ledger.revocations(now);
        for call in calls {
            begin(ledger, &call);
            let client = Rc::clone(client);
            let until = if is_over(ledger, call.target, now) {
                until.min(now + OVER)
            } else {
                until
            };
            jobs.spawn_local(async move {
                let result = ask(&client, &call, until).await;
                (call, result)
            });
        }
        changed(ledger);
        if jobs.is_empty() && later.is_none() {
            return;
        }
        let pause = later.map_or(until, |later| later.min(until)).since(now);
        tokio::select! {
            biased;
            Some(Ok((call, result))) = jobs.join_next() => {
                let now = Moment::now();
                enter(ledger, &call, result, backoff, now, fastrand::f64());
                ledger.forget_settled(now);
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Everything is to be revoked, the leases by themselves until a moment.
pub fn retire_all(ledger: &mut Ledger, leases_until: Moment) {
    let tokens: Vec<_> = ledger.sessions().iter().map(|session| session.no).collect();
    for no in tokens {
        ledger.apply(Fact::Retired(Target::Token(no), leases_until));
    }
}

/// A revocation is about to be asked for.
pub fn begin(ledger: &mut Ledger, call: &Call) {
    ledger.apply(Fact::RevocationSent(call.target));
    if let Some(session) = session_of(ledger, call.target) {
        ledger.apply(Fact::Used(session));
    }
}

/// Asks for one revocation, and waits for the answer until a moment at most.
///
/// # Errors
/// [`Failure`].
pub async fn ask(client: &Client, call: &Call, until: Moment) -> Result<Revoked, Failure> {
    let until = call.until.map_or(until, |sooner| sooner.min(until));
    let limit = until.since(Moment::now());
    match &call.form {
        Form::Body(lease) => client.revoke_lease(lease, false, &call.token, limit).await,
        Form::Path(lease) => client.revoke_lease(lease, true, &call.token, limit).await,
        Form::Token => {
            // One try at one address: whether it is the first one tells what a 403 means. One that
            // hangs leaves time for the others.
            let addresses = u32::try_from(client.addresses()).unwrap_or(1).max(1);
            let limit = limit / (addresses - call.sent % addresses);
            client
                .revoke_self(&call.token, limit)
                .await
                .map(|()| Revoked::Done)
        }
    }
}

/// Enters what the answer says.
pub fn enter(
    ledger: &mut Ledger,
    call: &Call,
    result: Result<Revoked, Failure>,
    backoff: Backoff,
    now: Moment,
    chance: f64,
) {
    if result.as_ref().is_err_and(|failure| !failure.was_sent())
        && let Some(session) = session_of(ledger, call.target)
    {
        ledger.apply(Fact::NotUsed(session));
    }
    let fact = verdict(ledger, call, result, backoff, now, chance);
    log_fact(ledger, &fact);
    ledger.apply(fact);
}

/// What an answer means.
fn verdict(
    ledger: &Ledger,
    call: &Call,
    result: Result<Revoked, Failure>,
    backoff: Backoff,
    now: Moment,
    chance: f64,
) -> Fact {
    let target = call.target;
    let failure = match (result, target) {
        (Ok(Revoked::Queued), Target::Lease(no)) => return Fact::Queued(no),
        (Ok(_), _) => return Fact::Revoked(target),
        (Err(failure), _) => failure,
    };
    let of_lease = matches!(target, Target::Lease(_));
    let reason = match failure.status() {
        // The policy forbids it, which is not to be taken for a token that is gone.
        Some(403) if of_lease || failure.is_policy() => Reason::Policy,
        Some(400) if of_lease => Reason::Engine,
        _ => Reason::Unclear,
    };
    let reason = if failure.is_from_api() {
        reason
    } else {
        Reason::Unclear
    };
    if !of_lease && failure.is_token_gone() {
        warn_if_surprising(ledger, call, &failure, now);
        // It is gone already, and its leases with it: revoking twice is no failure.
        return Fact::Revoked(target);
    }
    let delay = backoff
        .delay(call.sent, chance)
        .max(failure.retry_after().unwrap_or_default());
    let next = match reason {
        // A policy can allow one role's leases only by the form with the lease in the path. Where it is
        // known to allow any, it is the token that is gone.
        Reason::Policy if matches!(call.form, Form::Body(_)) && !allows_any(ledger, target) => {
            Next::Now
        }
        Reason::Policy => Next::Never,
        _ if !may_pass(&failure) || is_over(ledger, target, now) => Next::Never,
        // A server that is silent may have another address that is not.
        _ => Next::At(now + delay),
    };
    let words = failure.to_string();
    Fact::Refused {
        target,
        refusal: Refusal { words, reason },
        next,
    }
}

/// Whether another try may succeed. While revoking, a 400 is a backend's own error, which may pass.
fn may_pass(failure: &Failure) -> bool {
    failure.is_transient()
        || matches!(
            failure,
            Failure::Lost(_) | Failure::Malformed { .. } | Failure::Tls { .. }
        )
        || failure.status() == Some(400)
        || (failure.status().is_some() && !failure.is_from_api())
}

/// Whether it has ended by itself, so that there is nothing to wait for.
fn is_over(ledger: &Ledger, target: Target, now: Moment) -> bool {
    match target {
        Target::Token(no) => ledger
            .session(no)
            .is_some_and(|session| session.is_over(now)),
        Target::Lease(no) => ledger
            .lease(no)
            .is_some_and(|(session, lease)| session.end_of(lease) <= now),
    }
}

/// Whether the server has said that the token's policy allows the revocation of any lease.
fn allows_any(ledger: &Ledger, target: Target) -> bool {
    let session = session_of(ledger, target).and_then(|no| ledger.session(no));
    let rights = session.and_then(|session| session.rights.as_ref());
    rights.is_some_and(|rights| rights.any)
}

fn session_of(ledger: &Ledger, target: Target) -> Option<crate::ledger::SessionNo> {
    match target {
        Target::Token(no) => Some(no),
        Target::Lease(no) => ledger.lease(no).map(|(session, _)| session.no),
    }
}

/// The same words are used for a token that is gone and for one that is good, but not from here.
fn warn_if_surprising(ledger: &Ledger, call: &Call, failure: &Failure, now: Moment) {
    let Target::Token(no) = call.target else {
        return;
    };
    let expected = ledger
        .session(no)
        .is_none_or(|session| session.is_over(now) || call.sent > 0 || session.uses == Some(0));
    if expected {
        log::info!(event = "token_gone"; "the token is gone already");
    } else {
        let reason = failure.to_string();
        log::warn!(
            event = "token_gone", reason = reason.as_str();
            "the server does not take the token any more: {failure}. Somebody has revoked it, and what hung on it; or it \
             is bound to other addresses (token_bound_cidrs), and stays until its end"
        );
    }
}

fn log_fact(ledger: &Ledger, fact: &Fact) {
    let id = |no| {
        ledger
            .lease(no)
            .map(|(_, lease)| lease.id.as_str())
            .unwrap_or_default()
    };
    match fact {
        Fact::Revoked(Target::Lease(no)) => {
            log::info!(event = "revoked", lease_id = id(*no); "revoked the lease {}", id(*no));
        }
        Fact::Queued(no) => log::info!(
            event = "revocation_queued", lease_id = id(*no);
            "the server has put the revocation of the lease {} in its queue", id(*no)
        ),
        Fact::Revoked(Target::Token(no)) => {
            log::info!(event = "token_revoked"; "revoked the token");
            let leases = ledger.session(*no).map(|session| session.leases.as_slice());
            let with_it = leases.unwrap_or_default().iter().filter(|lease| {
                !lease.is_settled() && !lease.revocation.was_refused(Reason::Engine)
            });
            for lease in with_it {
                log::info!(
                    event = "revocation_queued", lease_id = lease.id.as_str();
                    "the lease {} is revoked with its token, so the server does not say whether the database has dropped \
                     the role", lease.id
                );
            }
        }
        Fact::Refused {
            target: Target::Token(_),
            refusal,
            next,
        } => {
            log::debug!("cannot revoke the token: {}{}", refusal.words, again(next));
        }
        Fact::Refused {
            target: Target::Lease(no),
            refusal,
            next,
        } => {
            log::debug!(
                "cannot revoke the lease {}: {}{}",
                id(*no),
                refusal.words,
                again(next)
            );
        }
        _ => {}
    }
}

const fn again(next: &Next) -> &'static str {
    match next {
        Next::Never => "",
        Next::Now | Next::At(_) => "; trying again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{NewLease, Rights, SessionNo};
    use crate::manager::test_support::{refused, service_token};

    /// A token with one lease.
    fn with_lease(now: Moment) -> (Ledger, SessionNo) {
        let mut ledger = Ledger::default();
        ledger.apply(Fact::LoggedIn(service_token(60)));
        let no = ledger.sessions().first().expect("a token").no;
        let lease = NewLease {
            id: "database/creds/app/1".to_owned(),
            duration: Duration::from_secs(3600),
            renewable: true,
            granted_at: now,
        };
        ledger.apply(Fact::Read(no, Some(lease)));
        (ledger, no)
    }

    /// Asks for all that is due until there is no more, each answered by a 403; says in which forms.
    fn forms(rights: Option<Rights>) -> Vec<Form> {
        let now = Moment::now();
        let (mut ledger, no) = with_lease(now);
        if let Some(rights) = rights {
            ledger.apply(Fact::Rights(no, rights));
        }
        retire_all(&mut ledger, now + Duration::from_secs(10));
        let mut forms = Vec::new();
        while let Some(call) = ledger.revocations(now).0.pop() {
            assert!(forms.len() < 10, "it goes on and on: {forms:?}");
            forms.push(call.form.clone());
            begin(&mut ledger, &call);
            let result = Err(refused(403, "permission denied"));
            enter(&mut ledger, &call, result, Backoff::SOON, now, 0.5);
        }
        forms
    }

    #[test]
    fn the_form_with_the_path_is_tried_also_where_the_rights_become_known_meanwhile() {
        let now = Moment::now();
        let (mut ledger, no) = with_lease(now);
        retire_all(&mut ledger, now + Duration::from_secs(10));
        let call = ledger.revocations(now).0.pop().expect("a call");
        assert!(matches!(call.form, Form::Body(_)));
        begin(&mut ledger, &call);
        let below = ["database/creds/app".to_owned()].into();
        ledger.apply(Fact::Rights(no, Rights { any: false, below }));
        let result = Err(refused(403, "permission denied"));
        enter(&mut ledger, &call, result, Backoff::SOON, now, 0.5);
        let call = ledger.revocations(now).0.pop().expect("another one");
        assert!(matches!(call.form, Form::Path(_)), "{:?}", call.form);
    }

    #[test]
    fn a_token_that_is_gone_is_not_asked_with_again_and_again() {
        let id = || "database/creds/app/1".to_owned();
        let (body, path) = (Form::Body(id()), Form::Path(id()));
        let any = Rights {
            any: true,
            below: ["database/creds/app".to_owned()].into(),
        };
        let below = Rights {
            any: false,
            ..any.clone()
        };
        let none = Rights::default();
        for (rights, expected) in [
            (None, vec![body.clone(), path.clone(), Form::Token]),
            (Some(any), vec![body, Form::Token]),
            (Some(below), vec![path, Form::Token]),
            (Some(none), vec![Form::Token]),
        ] {
            assert_eq!(forms(rights), expected);
        }
    }
}
