//! Waiting by the clock that leases are measured by.

use std::io;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

use super::clock::Moment;

/// The clock of a task: now, and waiting for a moment. A test hands in its own.
pub trait Clock {
    /// Now.
    fn now(&self) -> Moment;

    /// Waits for a moment.
    fn sleep_until(&self, moment: Moment) -> impl Future<Output = ()>;
}

/// `CLOCK_BOOTTIME`: goes off at once when the host wakes up after the moment has passed, where
/// tokio's own timers would sleep the whole time out.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootClock;

impl Clock for BootClock {
    fn now(&self) -> Moment {
        Moment::now()
    }

    async fn sleep_until(&self, moment: Moment) {
        let left = moment.since(Moment::now());
        if left.is_zero() {
            // Others get their turn, whatever the schedule says.
            tokio::task::yield_now().await;
        } else if alarm(moment).await.is_err() {
            // Without a descriptor to spare: late after a suspension is better than never.
            tokio::time::sleep(left).await;
        }
    }
}

async fn alarm(moment: Moment) -> io::Result<()> {
    let timer = TimerFd::new(
        ClockId::CLOCK_BOOTTIME,
        TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
    )?;
    let at = moment.since(Moment::since_boot(std::time::Duration::ZERO));
    timer.set(
        Expiration::OneShot(TimeSpec::from_duration(at)),
        TimerSetTimeFlags::TFD_TIMER_ABSTIME,
    )?;
    // SAFETY: an owned descriptor stays open and the same for as long as it is registered.
    let timer = unsafe { AsyncFd::register(std::os::fd::OwnedFd::from(timer)) }?;
    timer.readable().await?.retain_ready();
    Ok(())
}
