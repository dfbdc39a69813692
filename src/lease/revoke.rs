//! Giving back what is held, and saying what really became of it.
//!
//! A lease is revoked by `sys/leases/revoke` with `sync`, whose answer is the database's own. Where
//! the policy forbids that, it goes with its token: the server then only puts it in its queue, and
//! says yes whatever the database says later.

use std::rc::Rc;
use std::time::Duration;

use super::holdings::{Holding, Holdings, Lease, Reason, Refusal, State, TokenState};
use super::schedule::growing;
use crate::report::Reporter;
use crate::sys::clock::Moment;
use crate::vault::{Client, Failure, Revoked, full_jitter};

/// The part of the time that is kept for the token, after the leases had theirs.
const TOKENS_SHARE: f64 = 0.3;

/// There is no other try in less time.
const SHORTEST_TRY: Duration = Duration::from_millis(50);

/// Revokes everything that is held, until a moment. What has become of it is in the holdings,
/// also when the future is dropped before it is done.
pub async fn revoke_all(client: &Client, holdings: &Holdings, until: Moment, report: Reporter) {
    holdings.forget_settled();
    let revocable = holdings.revocable();
    let mut rest = u32::try_from(revocable.len()).unwrap_or(u32::MAX);
    for holding in revocable {
        // Each has its share, and what those before it left of theirs.
        let now = Moment::now();
        let share = now + until.since(now) / rest.max(1);
        revoke(client, &holding, share, report).await;
        holdings.forget_settled();
        rest = rest.saturating_sub(1);
    }
}

/// Revokes everything that is held, by and by: each try has `budget`, and there is another one at
/// growing intervals until nothing is held, what is held has ended by itself, or `until` has come.
pub async fn give_back_patiently(
    client: &Client,
    holdings: &Holdings,
    budget: Duration,
    until: Moment,
    report: Reporter,
) {
    for tries in 0.. {
        revoke_all(client, holdings, Moment::now() + budget, report).await;
        let now = Moment::now();
        let ended = |expiry: Option<Moment>| expiry.is_some_and(|expiry| expiry <= now);
        let over = holdings.left().iter().all(|left| ended(left.expiry));
        let pause = growing(tries, fastrand::f64());
        if over || now + pause >= until {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

/// Revokes a token and its leases, until a moment.
pub async fn revoke(client: &Client, holding: &Holding, until: Moment, report: Reporter) {
    let budget = until.since(Moment::now());
    let leases_until = until - budget.mul_f64(TOKENS_SHARE);
    let leases: Vec<_> = holding.leases.borrow().iter().map(Rc::clone).collect();
    // The last one first: those before it were refused already, and take what time they are given.
    for lease in leases.iter().rev().filter(|lease| !lease.is_settled()) {
        revoke_lease(client, holding, lease, leases_until, report).await;
    }
    revoke_token(client, holding, until, report).await;
    if holding.token.get() == TokenState::Gone {
        // What could not be revoked by itself went with its token, unless the engine refused.
        for lease in leases.iter().filter(|lease| !lease.is_settled()) {
            if !lease.was_refused(Reason::Engine) {
                report.info(format_args!(
                    "the lease {} is revoked with its token, so the server does not say whether the database has \
                     dropped the role",
                    lease.id
                ));
                lease.state.replace(State::Queued);
            }
        }
        holding.unknown_lease.set(false);
    }
}

/// Whether a lease can be revoked without its token, as the policy says.
pub async fn can_revoke_alone(
    client: &Client,
    holding: &Holding,
    lease: &Lease,
    limit: Duration,
) -> bool {
    let session = &holding.session;
    if session.uses().is_some() {
        return false;
    }
    let by_path = format!("sys/leases/revoke/{}", lease.id);
    client
        .may_update(&["sys/leases/revoke", &by_path], &session.token, limit)
        .await
        .unwrap_or(false)
}

/// Revokes one lease and leaves its token, until a moment.
pub async fn revoke_lease(
    client: &Client,
    holding: &Holding,
    lease: &Lease,
    until: Moment,
    report: Reporter,
) {
    let session = &holding.session;
    let mut tries = 0;
    let mut by_path = false;
    loop {
        // The very last use ends the token, and with it the lease: that is revoking the token.
        if session.uses().is_some_and(|uses| uses < 2) {
            lease.state.replace(State::Failed(Refusal {
                words: "the token's uses are spent".to_owned(),
                reason: Reason::Unclear,
            }));
            return;
        }
        let limit = time_for_one(client, tries, until);
        let call = client.revoke_lease(&lease.id, by_path, &session.token, limit);
        let failure = match session.count_use(call).await {
            Ok(Revoked::Done) => {
                report.info(format_args!("revoked the lease {}", lease.id));
                lease.state.replace(State::Revoked);
                return;
            }
            Ok(Revoked::Queued) => {
                report.info(format_args!(
                    "the server has put the revocation of the lease {} in its queue",
                    lease.id
                ));
                lease.state.replace(State::Queued);
                return;
            }
            Err(failure) => failure,
        };
        let reason = match failure.status() {
            Some(403) if failure.is_from_api() => Reason::Policy,
            Some(400) if failure.is_from_api() => Reason::Engine,
            _ => Reason::Unclear,
        };
        // What the engine has said is worth more than that a later try got no answer, or was made
        // with a token that has gone meanwhile. With a policy that forbids the question it cannot
        // have been the engine.
        let clear = reason == Reason::Engine || failure.is_policy();
        if clear || !lease.was_refused(Reason::Engine) {
            let words = failure.to_string();
            lease
                .state
                .replace(State::Failed(Refusal { words, reason }));
        }
        let denied = reason == Reason::Policy;
        if denied && !by_path {
            // A policy can allow one role's leases only by the form with the lease in the path.
            by_path = true;
            continue;
        }
        if denied || !pause(client, &failure, &mut tries, until, report).await {
            return;
        }
    }
}

async fn revoke_token(client: &Client, holding: &Holding, until: Moment, report: Reporter) {
    let session = &holding.session;
    if holding.token.get() != TokenState::Held {
        return;
    }
    if session.batch {
        // It cannot be revoked, and nothing but its leases is left behind by it.
        let leases = holding.leases.borrow();
        if leases.iter().all(|lease| lease.is_settled()) && !holding.unknown_lease.get() {
            holding.token.set(TokenState::Gone);
        }
        return;
    }
    let mut tries = 0;
    loop {
        let limit = time_for_one(client, tries, until);
        let asked_before = holding.asked_for_token.replace(true);
        match client.revoke_self(&session.token, limit).await {
            Ok(()) => {
                report.info("revoked the token");
                holding.token.set(TokenState::Gone);
                return;
            }
            // The policy forbids it, which is not to be taken for a token that is gone.
            Err(failure) if failure.is_policy() => {
                refuse_token(holding, &failure, Reason::Policy, report);
                return;
            }
            // It is gone already, and its leases with it: revoking twice is no failure.
            Err(failure) if failure.is_token_gone() => {
                let now = Moment::now();
                let over = session.expiry().is_some_and(|expiry| expiry <= now);
                if over || asked_before || session.uses() == Some(0) {
                    report.info("the token is gone already");
                } else {
                    // The same words for a token that is good, but not from here.
                    report.warn(format_args!(
                        "the server does not take the token any more: {failure}. Somebody has revoked it, and what hung on \
                         it; or it is bound to other addresses (token_bound_cidrs), and stays until its end"
                    ));
                }
                holding.token.set(TokenState::Gone);
                return;
            }
            Err(failure) => {
                refuse_token(holding, &failure, Reason::Unclear, report);
                if !pause(client, &failure, &mut tries, until, report).await {
                    return;
                }
            }
        }
    }
}

/// How long one try may take, so that an address which hangs leaves time for the others.
fn time_for_one(client: &Client, tries: u32, until: Moment) -> Duration {
    let addresses = client.addresses();
    until.since(Moment::now()) / (addresses - tries % addresses)
}

/// Waits before the next try; no when there is no time for one, or it would be pointless. While
/// revoking, a 400 is a backend's own error, which may pass.
async fn pause(
    client: &Client,
    failure: &Failure,
    tries: &mut u32,
    until: Moment,
    report: Reporter,
) -> bool {
    let may_pass = failure.is_transient()
        || matches!(
            failure,
            Failure::Lost(_) | Failure::Malformed { .. } | Failure::Tls { .. }
        )
        || failure.status() == Some(400)
        || (failure.status().is_some() && !failure.is_from_api());
    if !may_pass {
        return false;
    }
    client.use_next_address();
    *tries += 1;
    // A server that answers is given time. Where one does not, the others are asked at once.
    let silent = failure.status().is_none() && !tries.is_multiple_of(client.addresses());
    let delay = if silent {
        Duration::ZERO
    } else {
        let round = *tries / client.addresses();
        full_jitter(round, fastrand::f64()).max(failure.retry_after().unwrap_or_default())
    };
    let left = until.since(Moment::now());
    // One that asks for more time than there is gets what there is: a last try costs nothing.
    let delay = if failure.retry_after().is_some() {
        delay.min(left.mul_f64(0.8))
    } else {
        delay
    };
    if delay >= left || left < SHORTEST_TRY {
        return false;
    }
    report.debug(format_args!("{failure}; trying again"));
    tokio::time::sleep(delay).await;
    true
}

fn refuse_token(holding: &Holding, failure: &Failure, reason: Reason, report: Reporter) {
    report.debug(format_args!("cannot revoke the token: {failure}"));
    let words = failure.to_string();
    holding
        .token_refusal
        .replace(Some(Refusal { words, reason }));
}
