//! What the user is told about credentials that end, and those that should have.

use crate::lease::{self, Deadline, Left};
use crate::report::Reporter;
use crate::supervise::{Refusal, Saying};
use crate::sys::clock::Moment;

/// Tells it, with what is known of the end.
pub fn say(saying: Saying, deadline: Option<Deadline>, report: Reporter) {
    let (at, why) = deadline.map_or(
        (String::from("an unknown time"), String::new()),
        |deadline| {
            (
                lease::wall(deadline.at, Moment::now()),
                format!(": {}", deadline.cause),
            )
        },
    );
    match saying {
        Saying::WillExpire => report.warn(format_args!(
            "the credentials end at {at} and are not replaced{why}"
        )),
        Saying::CannotReplace => report.warn(format_args!(
            "the credentials end at {at} and cannot be replaced{why}"
        )),
        Saying::HaveExpired => report.warn(format_args!("the credentials have ended{why}")),
        Saying::Restarting => report.info(format_args!(
            "restarting the command with new credentials{why}"
        )),
        Saying::Stopping => report.warn(format_args!(
            "stopping the command, whose credentials end at {at}{why}"
        )),
        Saying::Signalled(signal) => {
            report.info(format_args!(
                "sent the command {signal}, because its credentials end at {at}{why}"
            ));
        }
        Saying::Killing => report.warn("the command has not ended in time and is killed"),
        Saying::Refused(refusal) => report.warn_with(
            refused(refusal),
            "give vaultexec CAP_KILL, or let the command keep its user",
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

/// When something that is left ends.
pub(super) fn end(expiry: Option<Moment>, now: Moment) -> String {
    match expiry {
        None => "it does not end by itself".to_owned(),
        Some(expiry) if expiry > now => {
            format!("it ends by itself at {}", lease::wall(expiry, now))
        }
        Some(expiry) => format!("its time was over at {}", lease::wall(expiry, now)),
    }
}

/// Tells what could not be revoked, why, and how long it stays.
pub fn say_what_is_left(left: &[Left], report: Reporter) {
    let now = Moment::now();
    for Left {
        what,
        words,
        hint,
        expiry,
    } in left
    {
        let message = format!(
            "{what} could not be revoked: {words}; {}",
            end(*expiry, now)
        );
        match hint {
            Some(hint) => report.warn_with(message, hint),
            None => report.warn(message),
        }
    }
}
