//! What the user is told about the life of the credentials.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use super::schedule::{Deadline, Schedule};
use super::unobtained::Unobtained;
use crate::error::{Error, hints};
use crate::ledger::{Lease, Left, NewSession, Reason, Session, Verdict};
use crate::login::Outlook;
use crate::supervise::{Refusal, Saying};
use crate::sys::clock::Moment;

/// What a person can do about credentials that end.
const AT_THE_END: &str =
    "end the command before then and start it again (in psql: \\q): it gets new credentials";

/// Says what is done about the child, with what is known of the end.
pub fn say(saying: Saying, deadline: Option<Deadline>, now: Moment) {
    let (at, reason) = deadline.map_or(
        (String::from("an unknown time"), String::new()),
        |deadline| (wall(deadline.at, now), deadline.cause.to_string()),
    );
    let why = deadline.map_or_else(String::new, |_| format!(": {reason}"));
    let reason = reason.as_str();
    match saying {
        Saying::WillExpire => {
            log::warn!(
                event = "expiring", expires_at = at.as_str(), reason = reason, hint = AT_THE_END;
                "the credentials end at {at} and are not replaced{why}"
            );
        }
        Saying::CannotReplace => {
            log::warn!(event = "irreplaceable", expires_at = at.as_str(), reason = reason; "the credentials end at {at} and cannot be replaced{why}");
        }
        Saying::HaveExpired => log::warn!(
            event = "expired", reason = reason, hint = "end the command and start it again: it gets new credentials";
            "the credentials have ended{why}"
        ),
        Saying::Restarting => {
            log::warn!(event = "restarting", reason = reason; "restarting the command with new credentials{why}");
        }
        Saying::Stopping => {
            log::warn!(event = "stopping", expires_at = at.as_str(), reason = reason; "stopping the command, whose credentials end at {at}{why}");
        }
        Saying::Signalled(signal) => {
            log::info!(event = "signalled", expires_at = at.as_str(), reason = reason; "sent the command {signal}, because its credentials end at {at}{why}");
        }
        Saying::Killing => {
            log::warn!(event = "killing"; "the command has not ended in time and is killed");
        }
        Saying::Refused(refusal) => log::warn!(
            event = "refused", hint = "give vaultexec CAP_KILL, or let the command keep its user";
            "{}", refused(refusal)
        ),
    }
}

fn refused(refusal: Refusal) -> String {
    let Refusal {
        signal,
        child,
        ours,
    } = refusal;
    let theirs = child.map_or("another user".to_owned(), |user| format!("user {user}"));
    format!(
        "the command cannot be sent {signal}: it runs as {theirs}, whom vaultexec as user {ours} may not signal"
    )
}

/// Says when credentials end, if that is known and was not `before`.
pub fn say_end(schedule: &Schedule, before: Option<Deadline>, now: Moment) {
    match (schedule.deadline(), schedule.expiry()) {
        (Some(deadline), _) if Some(deadline) != before => {
            let at = wall(deadline.at, now);
            let reason = deadline.cause.to_string();
            log::info!(
                event = "deadline", expires_at = at.as_str(), reason = reason.as_str();
                "the credentials end at {at}: {reason}"
            );
        }
        _ => {}
    }
}

/// Says until when credentials are good that can be renewed.
pub fn say_good_until(schedule: &Schedule, now: Moment) {
    if let (None, Some(expiry)) = (schedule.deadline(), schedule.expiry()) {
        let at = wall(expiry, now);
        log::info!(event = "issued", expires_at = at.as_str(); "the credentials are good until {at}, and will be renewed before");
    }
}

/// What cannot be replaced is said at the start, not at the end.
pub fn say_outlook(outlook: &Outlook, now: Moment) {
    let consequence =
        "when the token cannot be renewed any more, the credentials will not be replaced";
    match (outlook.cannot, outlook.until) {
        (Some(reason), _) => log::info!(
            event = "outlook";
            "there can be no other login, because {reason}: {consequence}{}",
            unless(outlook)
        ),
        (None, Some(until)) => log::info!(
            event = "outlook";
            "there can be no other login after {}, when {} ends: {consequence}{}",
            wall(until, now),
            outlook.what,
            unless(outlook)
        ),
        (None, None) => {}
    }
}

/// Warns at half-time that there will be an end.
pub fn warn_of_end(schedule: &Schedule, outlook: &Outlook, now: Moment) {
    let Some(expiry) = schedule.expiry() else {
        return;
    };
    let Err(reason) = outlook.allows(expiry) else {
        return;
    };
    let at = wall(expiry, now);
    let end = match schedule.deadline() {
        Some(_) => format!("the credentials end at {at}"),
        None => format!("the credentials end at {at} unless they can still be renewed"),
    };
    log::warn!(event = "irreplaceable", expires_at = at.as_str(); "{end}, and cannot be replaced: by then {reason}{}", unless(outlook));
}

fn unless(outlook: &Outlook) -> String {
    let source = outlook.source.as_ref();
    source.map_or_else(String::new, |path| {
        format!(", unless a new one is delivered into {path}")
    })
}

/// Nothing has come of it for a moment that a person notices.
pub fn say_waiting(what: &str) {
    log::warn!(event = "waiting"; "waiting for the server to {what}; Ctrl-C (or TERM) ends that");
}

/// The same of somebody who is to hand over what the login needs.
pub fn say_waiting_for_input() {
    log::warn!(
        event = "waiting";
        "waiting for the role id or the secret id, from a pipe, a terminal or standard input; Ctrl-C (or TERM) ends that"
    );
}

/// The same of the database, which does not let the new credentials in.
pub fn say_waiting_for_the_database() {
    log::warn!(
        event = "waiting";
        "waiting for the database to let the new credentials in (--wait-login); Ctrl-C (or TERM) ends that"
    );
}

/// The same of the cleaning up, which has so much time.
pub fn say_waiting_at_the_end(limit: Duration) {
    log::warn!(
        event = "waiting";
        "waiting for the server to revoke the credentials, for up to {}; Ctrl-C (or TERM) cuts that short",
        humantime::format_duration(limit)
    );
}

/// A read of credentials is made again with another login.
pub fn say_login_again(level: log::Level, unobtained: &Unobtained, left: Duration) {
    let why = match &unobtained.error {
        Error::Server { doing, failure, .. } => format!("cannot {doing} yet: {failure}"),
        error => error.to_string(),
    };
    let seconds = left.as_secs().max(1);
    log::log!(level, event = "retry"; "{why}; trying again for {seconds} s, with a new login");
}

/// What a login has brought.
pub fn life(session: &NewSession) -> String {
    let kind = if session.foreign {
        " by the token that was handed in"
    } else if session.batch {
        " with a batch token"
    } else {
        ""
    };
    // What is left of one that was handed in is less, and is told by itself.
    let duration = if session.duration.is_zero() || session.foreign {
        String::new()
    } else {
        format!("; the token lives for {}", short(session.duration))
    };
    let uses = session.uses.map_or_else(String::new, |uses| {
        format!("; {uses} calls can be made with it")
    });
    format!("{}{kind}{duration}{uses}", session.identity)
}

/// The policy does not allow what `--strict-revoke` insists on.
pub fn not_revocable(path: &str) -> Unobtained {
    Unobtained::now(Error::Credentials {
        path: path.to_owned(),
        problem: "the policy allows no revocation that the engine would confirm, which --strict-revoke asks for".to_owned(),
        hint: Some(hints::revocation(&format!("{path}/x"))),
    })
}

/// Whether the policy allows what `--strict-revoke` insists on is not known.
pub fn rights_unknown(path: &str) -> Unobtained {
    Unobtained::now(Error::Credentials {
        path: path.to_owned(),
        problem: "the server does not say whether the policy allows to revoke leases, which --strict-revoke asks for".to_owned(),
        hint: Some(hints::needed_line("sys/capabilities-self", "update")),
    })
}

/// Says what could not be revoked, why, and how long it stays. `goes_on` says whether another process
/// goes on with it.
pub fn say_what_is_left(left: &[Left], goes_on: bool, now: Moment) {
    for left in left {
        let id = left.lease_id.as_deref().unwrap_or_default();
        let message = what_is_left(left, goes_on, now);
        let reason = left.verdict.to_string();
        let reason = reason.as_str();
        match &left.hint {
            Some(hint) => {
                log::warn!(event = "left", lease_id = id, reason = reason, hint = hint.as_str(); "{message}");
            }
            None => log::warn!(event = "left", lease_id = id, reason = reason; "{message}"),
        }
    }
}

/// What is not answered yet is not refused, and may be gone in a moment.
fn what_is_left(left: &Left, goes_on: bool, now: Moment) -> String {
    let Left { what, verdict, .. } = left;
    let end = end(left, now);
    let goes = "a process in the background goes on trying for up to ten minutes";
    match verdict {
        Verdict::Refused(_) if goes_on => {
            format!("{what} could not be revoked: {verdict}; {end}, but {goes}")
        }
        _ if goes_on => {
            format!("{what} is not revoked yet: {verdict}; {goes}. If that fails, {end}")
        }
        _ => format!("{what} could not be revoked: {verdict}; {end}"),
    }
}

/// Says what was replaced, could not be revoked, and stays.
pub fn say_what_stays(session: &Session, lease: &Lease, now: Moment) {
    let left = session.left_lease(lease);
    let id = lease.id.as_str();
    // What the policy forbids is no surprise; what is still there at the end of the run is told then.
    let policy = lease.revocation.was_refused(Reason::Policy) || session.forbids(lease);
    let level = if policy {
        log::Level::Info
    } else {
        log::Level::Warn
    };
    log::log!(
        level, event = "left", lease_id = id;
        "the lease {id} of the command's last run could not be revoked: {}; {}", left.verdict, end(&left, now)
    );
}

/// When something that is left ends.
pub fn end(left: &Left, now: Moment) -> String {
    match left.expiry {
        Some(expiry) if left.role_stays => format!(
            "the role stays in the database, and only its password ends, at {}",
            wall(expiry, now)
        ),
        None => "it does not end by itself".to_owned(),
        Some(expiry) if expiry > now => format!("it ends by itself at {}", wall(expiry, now)),
        Some(expiry) => format!("its time was over at {}", wall(expiry, now)),
    }
}

/// A moment on the wall clock, in UTC.
#[must_use]
pub fn wall(moment: Moment, now: Moment) -> String {
    let stamp = humantime::format_rfc3339_seconds(moment.to_wall(now, SystemTime::now()));
    let mut text = String::new();
    // A year of more than four digits has no such form.
    match write!(text, "{stamp}") {
        Ok(()) => text,
        Err(_) => "a time after the year 9999".to_owned(),
    }
}

/// A duration in whole seconds; from two days on in whole hours, as it was configured: no month has that many.
pub fn short(duration: Duration) -> String {
    let hours = duration.as_secs() / 3600;
    if hours >= 48 {
        return format!("{hours}h");
    }
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}
