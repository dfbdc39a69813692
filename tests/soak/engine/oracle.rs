//! What must come out of a run, worked out from what was really done to it. Pure: all that it knows is in the records.

use super::harm::Harm;
use super::kinds::KINDS;
use super::observed::{Exit, Observed};
use super::plan::{End, How, Plan};
use super::{REVOKE_TIMEOUT, STOP_TIMEOUT};
use crate::support::{Issued, IssuedKind, RequestInfo};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// An answer on its way is waited for longer than this after a signal. One that comes later brings a role that is made for a token
/// which is revoked by then: the server keeps it to the lease's end.
const LAST_ANSWER: Duration = Duration::from_millis(250);
/// The same where the child has ended by itself while it was to be replaced.
const LAST_READ: Duration = Duration::from_millis(1800);
/// What a signal leaves the cleaning up, or all but.
const HURRIED: Duration = Duration::from_millis(950);
/// The old child's stop, the new one's start.
const REPLACED_WITHIN: Duration = Duration::from_millis(STOP_TIMEOUT + 3000);
/// What a slow machine may have made of a token between its arrival and its first use, in which a KILL came.
const UNUSED: Duration = Duration::from_secs(1);
/// How many milliseconds before its own end a child may be as good as ended when it is sent a signal.
const NEAR_ITS_END: u64 = 1500;
/// How many milliseconds after its child's own end a run may last.
const LATEST: u64 = STOP_TIMEOUT + REVOKE_TIMEOUT + 30_000;

/// In the middle of a rotation these mean that there is to be no other child.
const ASKS_TO_END: [i32; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT];

/// What should not have been, in words.
pub fn judge(plan: &Plan, observed: &Observed) -> Vec<String> {
    let mut wrong = Vec::new();
    let (exit, late, requests) = (observed.exit, observed.late, observed.requests.len());
    let expected = expected(plan, observed);
    if !expected.contains(&exit) {
        wrong.push(format!("ended with {exit:?}, not one of {expected:?}"));
    }
    if alike(observed) {
        wrong.push("two requests that a cache would answer alike".to_owned());
    }
    if late > LATEST {
        wrong.push(format!("{late} ms too late"));
    }
    if requests as u128 > 40 + observed.wall.as_millis() / 100 {
        wrong.push(format!("{requests} requests"));
    }
    // A child that was told to end is not started again: then it keeps what it has.
    let goes_on = observed
        .sent
        .as_ref()
        .is_none_or(|sent| !ASKS_TO_END.contains(&sent.signal));
    let kept = if goes_on {
        kept_too_long(observed)
    } else {
        Vec::new()
    };
    for lease_id in kept {
        wrong.push(format!(
            "the lease {lease_id} was kept after it was replaced"
        ));
    }
    if observed.names_what_is_left() && !was_hurried(observed) {
        wrong.push("left something behind".to_owned());
    }
    wrong
}

/// Whether what brings a token or a lease was asked for twice in exactly the same words.
fn alike(observed: &Observed) -> bool {
    let brings = |one: &&RequestInfo| one.is_login() || one.is_creds();
    let all: Vec<&RequestInfo> = observed.requests.iter().filter(brings).collect();
    let same = |one: &RequestInfo, other: &RequestInfo| {
        (&one.path, &one.headers, &one.body) == (&other.path, &other.headers, &other.body)
    };
    all.iter()
        .enumerate()
        .any(|(index, one)| all[..index].iter().any(|other| same(one, other)))
}

/// A signal leaves the cleaning up no more than a second: with a fault in it, or a slow server, that can be too little.
fn was_hurried(observed: &Observed) -> bool {
    let clean_up_was_harmed = observed
        .applied
        .iter()
        .any(|(request, _)| request.is_lease_revoke() || request.is_revoke_self());
    observed.sent.as_ref().is_some_and(|sent| {
        clean_up_was_harmed || observed.ended.duration_since(sent.at) >= HURRIED
    })
}

/// The leases that were replaced or whose answers were lost, and not given back soon after there were others although the run went
/// on: at its end all are revoked, which would hide it.
fn kept_too_long(observed: &Observed) -> Vec<String> {
    let requests = &observed.requests;
    let leases: Vec<(&Issued, &String)> = observed
        .issued
        .iter()
        .filter_map(|issued| match &issued.what {
            IssuedKind::Lease { lease_id, .. } => Some((issued, lease_id)),
            IssuedKind::Token { .. } => None,
        })
        .collect();
    let is_given_back_by = |issued: &Issued, lease_id: &str, by: Instant| {
        let token = requests[issued.sequence].header("x-vault-token");
        requests.iter().any(|request| {
            let by_id = request.path.ends_with(lease_id) || request.json()["lease_id"] == lease_id;
            let with_token = request.is_revoke_self() && request.header("x-vault-token") == token;
            request.at < by && (request.is_lease_revoke() && by_id || with_token)
        })
    };
    let kept = leases
        .iter()
        .enumerate()
        .filter(|(index, (issued, lease_id))| {
            let path = |issued: &Issued| &requests[issued.sequence].path;
            let mut later = leases[index + 1..].iter();
            let next = later.find(|(later, _)| !later.lost && path(later) == path(issued));
            next.is_some_and(|(next, _)| {
                let by = next.at + REPLACED_WITHIN;
                observed.ended > by && !is_given_back_by(issued, lease_id, by)
            })
        });
    kept.map(|(_, (_, lease_id))| (*lease_id).clone()).collect()
}

/// How the run may end, by what was done to it.
fn expected(plan: &Plan, observed: &Observed) -> Vec<Exit> {
    let natural = match plan.end {
        End::Code(code) => Exit::Code(code),
        End::Die(signal) => Exit::Signal(signal),
    };
    let failed = start_failed(plan, observed, Harm::is_final);
    let Some(sent) = &observed.sent else {
        let mut ends = vec![if failed { Exit::Code(125) } else { natural }];
        if start_failed(plan, observed, Harm::may_be_final) {
            ends.push(Exit::Code(125));
        }
        return ends;
    };
    let (by_signal, rotates) = (Exit::Signal(sent.signal), KINDS[plan.tenant].rotates);
    if failed {
        return vec![Exit::Code(125), by_signal];
    }
    let effect = match plan.how {
        How::Heed(code) if sent.signal == libc::SIGTERM => Exit::Code(code),
        _ => by_signal,
    };
    let started = observed.started();
    if !started || !sent.ready {
        // Before the child, or to it, or after it.
        return if started {
            vec![by_signal, natural, effect]
        } else {
            vec![by_signal]
        };
    }
    if sent.signal == libc::SIGKILL {
        // Nothing survives it; but it may have come to somebody who had ended a moment before.
        let ended = (sent.before_end == 0).then_some(natural);
        return std::iter::once(by_signal).chain(ended).collect();
    }
    let mut set = vec![effect];
    // It may have been past its own end, or deaf to the signal; a query is over at once.
    if sent.before_end < NEAR_ITS_END || matches!(plan.how, How::Deaf(_) | How::Query) {
        set.push(natural);
    }
    if rotates {
        if ASKS_TO_END.contains(&sent.signal) {
            // In the middle of a rotation it is the rotation's TERM, or its KILL, that the child died of.
            set.push(Exit::Signal(libc::SIGTERM));
            set.push(Exit::Signal(libc::SIGKILL));
            if let How::Heed(code) = plan.how {
                set.push(Exit::Code(code));
            }
        }
        // What only the old child heard, or what came too late for it.
        set.push(natural);
    }
    set
}

/// Whether harm that is final came before the first credentials that arrived, which are the start.
fn start_failed(plan: &Plan, observed: &Observed, is_final: fn(Harm) -> bool) -> bool {
    let first = first_set(plan, observed).unwrap_or(usize::MAX);
    observed.applied.iter().any(|(request, harm)| {
        request.sequence < first && is_final(*harm) && (request.is_login() || request.is_creds())
    })
}

/// The request that completed the first credentials: all that are wanted, read with one token.
fn first_set(plan: &Plan, observed: &Observed) -> Option<usize> {
    let mut arrived: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let issued = observed.issued.iter().filter(|issued| !issued.lost);
    for issued in issued.filter(|issued| matches!(issued.what, IssuedKind::Lease { .. })) {
        let request = &observed.requests[issued.sequence];
        let with = request.header("x-vault-token").unwrap_or_default();
        let paths = arrived.entry(with).or_default();
        paths.insert(&request.path);
        if paths.len() == 1 + usize::from(plan.two) {
            return Some(issued.sequence);
        }
    }
    None
}

/// What is to become of something that was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// vaultexec knew it: it has to go.
    Known,
    /// A login whose answer never arrived: nobody can know the token.
    Lost,
    /// A token whose answer came as vaultexec was killed, and that it never used: known to it or not.
    InFlight,
    /// A lease whose answer came later than a run that ends waits for.
    Slow,
}

/// What is to become of this.
pub fn fate(issued: &Issued, observed: &Observed) -> Fate {
    match &issued.what {
        IssuedKind::Token { .. } if issued.lost => Fate::Lost,
        IssuedKind::Token { token, .. } if came_at_the_kill(issued, token, observed) => {
            Fate::InFlight
        }
        IssuedKind::Lease { .. } if was_slow(issued, observed) => Fate::Slow,
        IssuedKind::Token { .. } | IssuedKind::Lease { .. } => Fate::Known,
    }
}

fn came_at_the_kill(issued: &Issued, token: &str, observed: &Observed) -> bool {
    let just_then = |at: Instant| issued.at + UNUSED > at;
    // Whoever has used it has known it, and told the companion first.
    let was_used = || {
        observed
            .requests
            .iter()
            .any(|request| request.header("x-vault-token") == Some(token))
    };
    observed.killed_at().is_some_and(just_then) && !was_used()
}

fn was_slow(issued: &Issued, observed: &Observed) -> bool {
    let waits_until = match &observed.sent {
        Some(sent) => sent.at + LAST_ANSWER,
        // The child had not ended when the request came.
        None => observed.requests[issued.sequence].at + LAST_READ,
    };
    issued.lost && issued.at > waits_until
}

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod tests;
