//! The time after the child: cleaning up is bounded, and a signal makes it shorter.

use std::time::Duration;

use crate::sys::clock::Moment;
use crate::sys::signals::Signals;
use crate::sys::timer::{BootClock, Clock as _};

use super::startup::ending;

/// How long cleaning up may still take after a signal has asked to be quick.
const IMPATIENT: Duration = Duration::from_secs(1);

/// Does the work until a moment, which it is told. A signal brings that moment near, and the work
/// begins again with what time there is: whatever it waited for was too slow. Another signal is the
/// end of it.
pub async fn bounded(mut work: impl AsyncFnMut(Moment), until: Moment, signals: &mut Signals) {
    if cut_short(work(until), until, signals).await {
        let until = until.min(Moment::now() + IMPATIENT);
        cut_short(work(until), until, signals).await;
    }
}

/// Whether a signal came before the work was done and before its time was over.
async fn cut_short(work: impl Future<Output = ()>, until: Moment, signals: &mut Signals) -> bool {
    tokio::select! {
        biased;
        () = work => false,
        () = BootClock.sleep_until(until) => false,
        _signal = ending(signals) => true,
    }
}
