//! What the user is told about credentials that end.

use crate::lease::{self, Deadline};
use crate::report::Reporter;
use crate::supervise::Saying;
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
    }
}
