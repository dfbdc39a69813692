//! Waiting by the clock that leases are measured by.

use std::io;
use std::time::Duration;

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

    /// Waits until the host has been suspended and goes on.
    fn resumed(&self) -> impl Future<Output = ()>;
}

/// `CLOCK_BOOTTIME`: goes off at once when the host wakes up after the moment has passed, where
/// tokio's own timers would sleep the whole time out.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootClock;

/// A time of the wall clock that does not come: the year 2200.
const FAR: Duration = Duration::from_secs(7_258_118_400);
/// A shorter sleep makes no difference to any lease, and reading two clocks takes time too.
const NOTICEABLE: Duration = Duration::from_millis(100);

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

    async fn resumed(&self) {
        if resumption().await.is_err() {
            // The timers above go off by themselves; this one only makes it sooner.
            std::future::pending::<()>().await;
        }
    }
}

/// Wakes up when the wall clock jumps, which it does after a suspension. A clock that was only set
/// is told apart by the time asleep, which it does not change.
async fn resumption() -> io::Result<()> {
    let asleep = time_asleep();
    loop {
        let timer = TimerFd::new(
            ClockId::CLOCK_REALTIME,
            TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
        )?;
        let never = Expiration::OneShot(TimeSpec::from_duration(FAR));
        timer.set(
            never,
            TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET,
        )?;
        // SAFETY: an owned descriptor stays open and the same for as long as it is registered.
        let timer = unsafe { AsyncFd::register(std::os::fd::OwnedFd::from(timer)) }?;
        timer.readable().await?.retain_ready();
        if time_asleep().saturating_sub(asleep) >= NOTICEABLE {
            return Ok(());
        }
    }
}

/// How long the host has been suspended since it booted: what one clock counts and the other not.
fn time_asleep() -> Duration {
    let awake = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map(Duration::from);
    let all = Moment::now().since(Moment::since_boot(Duration::ZERO));
    all.saturating_sub(awake.unwrap_or(all))
}

async fn alarm(moment: Moment) -> io::Result<()> {
    let timer = TimerFd::new(
        ClockId::CLOCK_BOOTTIME,
        TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
    )?;
    let at = moment.since(Moment::since_boot(Duration::ZERO));
    timer.set(
        Expiration::OneShot(TimeSpec::from_duration(at)),
        TimerSetTimeFlags::TFD_TIMER_ABSTIME,
    )?;
    // SAFETY: an owned descriptor stays open and the same for as long as it is registered.
    let timer = unsafe { AsyncFd::register(std::os::fd::OwnedFd::from(timer)) }?;
    timer.readable().await?.retain_ready();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough for what does end, on a machine that has much else to do.
    const LONG: Duration = Duration::from_secs(5);
    /// Long enough to see that something does not end.
    const SHORT: Duration = Duration::from_millis(200);

    fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async { tokio::time::timeout(limit, work).await.ok() })
    }

    #[test]
    fn a_moment_that_has_passed_is_not_waited_for() {
        assert!(
            within(
                LONG,
                BootClock.sleep_until(Moment::now() - Duration::from_secs(1))
            )
            .is_some()
        );
        assert!(within(LONG, BootClock.sleep_until(Moment::now())).is_some());
    }

    #[test]
    fn a_moment_to_come_is_waited_for_and_not_longer() {
        let moment = Moment::now() + Duration::from_millis(20);
        assert!(within(LONG, BootClock.sleep_until(moment)).is_some());
        assert!(Moment::now() >= moment);
        assert!(
            within(
                SHORT,
                BootClock.sleep_until(Moment::now() + Duration::from_secs(60))
            )
            .is_none()
        );
    }

    #[test]
    fn a_host_that_is_not_suspended_is_not_said_to_have_been() {
        assert!(within(SHORT, BootClock.resumed()).is_none());
        assert!(
            within(SHORT, resumption()).is_none(),
            "the system has such a timer"
        );
    }
}
