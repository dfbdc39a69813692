//! The time after the child: cleaning up is bounded, and a signal makes it shorter.

use std::time::Duration;

use crate::sys::clock::Moment;
use crate::sys::signals::Signals;
use crate::sys::timer::BootClock;

use super::startup::{Met, meet};

/// How long cleaning up may still take after a signal has asked to be quick.
const IMPATIENT: Duration = Duration::from_secs(1);

/// Does the work until a moment, which it is told. A signal brings that moment near, and the work
/// begins again with what time there is: whatever it waited for was too slow. Another signal is the
/// end of it. The time of a stop does not count, and what was waited for then is asked again.
pub async fn bounded(mut work: impl AsyncFnMut(Moment), mut until: Moment, signals: &mut Signals) {
    let mut hurried = false;
    loop {
        let met = tokio::select! {
            biased;
            () = work(until) => return,
            () = BootClock.sleep_until(until) => return,
            met = meet(signals) => met,
        };
        match met {
            Met::Stopped(duration) => until = until + duration,
            Met::End(_) if hurried => return,
            Met::End(_) => {
                hurried = true;
                until = until.min(Moment::now() + IMPATIENT);
            }
        }
    }
}
