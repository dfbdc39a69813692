//! Waiting by the clock that leases are measured by.

use std::io;
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

use super::clock::Moment;

/// `CLOCK_BOOTTIME`: goes off at once when the host wakes up after the moment has passed, where
/// tokio's own timers would sleep the whole time out.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootClock;

/// A time of the wall clock that does not come: the year 2200.
const FAR: Duration = Duration::from_secs(7_258_118_400);
/// A shorter sleep makes no difference to any lease, and reading two clocks takes time too.
const NOTICEABLE: Duration = Duration::from_millis(100);

impl BootClock {
    /// Waits for a moment.
    pub async fn sleep_until(&self, moment: Moment) {
        let left = moment.since(Moment::now());
        if left.is_zero() {
            // Others get their turn, whatever the schedule says.
            tokio::task::yield_now().await;
        } else if sound_at(moment).await.is_err() {
            // Without a descriptor to spare: late after a suspension is better than never.
            tokio::time::sleep(left).await;
        }
    }

    /// Waits until the host has been suspended and goes on.
    pub async fn resumed(&self) {
        if resumption().await.is_err() {
            // The timers above go off by themselves; this one only makes it sooner.
            std::future::pending::<()>().await;
        }
    }
}

/// Wakes up when the wall clock jumps, which it does after a suspension. A clock that was only set
/// is told apart by the time asleep, which it does not change.
async fn resumption() -> io::Result<()> {
    let before = Clocks::read();
    loop {
        wait_for(step_watcher()?).await?;
        if was_suspended(before, Clocks::read()) {
            return Ok(());
        }
    }
}

/// The two clocks that steps of the wall clock do not touch.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    /// `CLOCK_MONOTONIC`: stands still while the host is suspended.
    awake: Duration,
    /// `CLOCK_BOOTTIME`: counts that too.
    all: Duration,
}

impl Clocks {
    fn read() -> Self {
        let all = Moment::now().since(Moment::since_boot(Duration::ZERO));
        let awake = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
        Self {
            awake: awake.map_or(all, Duration::from),
            all,
        }
    }

    /// How long the host has been suspended since it booted.
    const fn asleep(self) -> Duration {
        self.all.saturating_sub(self.awake)
    }
}

/// Whether the host slept between two readings, for long enough to matter.
fn was_suspended(before: Clocks, after: Clocks) -> bool {
    after.asleep().saturating_sub(before.asleep()) >= NOTICEABLE
}

/// A timer that goes off when the wall clock is set, and at no other time.
fn step_watcher() -> io::Result<TimerFd> {
    let timer = TimerFd::new(
        ClockId::CLOCK_REALTIME,
        TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
    )?;
    timer.set(
        Expiration::OneShot(TimeSpec::from_duration(FAR)),
        TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET,
    )?;
    Ok(timer)
}

/// A timer that goes off at a moment.
fn alarm(moment: Moment) -> io::Result<TimerFd> {
    let timer = TimerFd::new(
        ClockId::CLOCK_BOOTTIME,
        TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
    )?;
    let at = moment.since(Moment::since_boot(Duration::ZERO));
    timer.set(
        Expiration::OneShot(TimeSpec::from_duration(at)),
        TimerSetTimeFlags::TFD_TIMER_ABSTIME,
    )?;
    Ok(timer)
}

async fn sound_at(moment: Moment) -> io::Result<()> {
    wait_for(alarm(moment)?).await
}

async fn wait_for(timer: TimerFd) -> io::Result<()> {
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

    /// What the kernel says of a timer: its clock, its flags (in octal) and the seconds until it goes off.
    fn known(timer: &TimerFd) -> (String, String, u64) {
        use std::os::fd::{AsFd as _, AsRawFd as _};
        let path = format!("/proc/self/fdinfo/{}", timer.as_fd().as_raw_fd());
        let text = std::fs::read_to_string(path).expect("what is known of a timer");
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name} in {text}"))
                .trim()
                .to_owned()
        };
        let left = field("it_value:");
        let left = left.trim_matches(['(', ')']).split(',').next();
        let left = left.and_then(|seconds| seconds.parse().ok());
        (
            field("clockid:"),
            field("settime flags:"),
            left.expect("seconds"),
        )
    }

    #[test]
    fn the_alarm_counts_the_time_asleep_and_is_set_for_a_moment() {
        let timer = alarm(Moment::now() + Duration::from_secs(1000)).expect("a timer");
        let (clock, flags, left) = known(&timer);
        assert_eq!(
            (clock, flags),
            (libc::CLOCK_BOOTTIME.to_string(), "01".to_owned())
        );
        assert!((900..=1000).contains(&left), "{left}");
    }

    #[test]
    fn the_watcher_of_the_wall_clock_goes_off_when_that_is_set_and_not_by_itself() {
        let timer = step_watcher().expect("a timer");
        let (clock, flags, left) = known(&timer);
        assert_eq!(
            (clock, flags),
            (libc::CLOCK_REALTIME.to_string(), "03".to_owned())
        );
        assert!(left > 100 * 365 * 24 * 3600, "{left}");
    }

    #[test]
    fn only_time_that_one_clock_counts_and_the_other_not_is_a_suspension() {
        let clocks = |awake: u64, asleep: u64| Clocks {
            awake: Duration::from_millis(awake),
            all: Duration::from_millis(awake + asleep),
        };
        for (before, after, suspended) in [
            // The wall clock was set, at once or after a while, by however much: neither clock shows it.
            (clocks(1000, 0), clocks(1000, 0), false),
            (clocks(1000, 0), clocks(3_600_000, 0), false),
            // As it was before, though the host was once suspended.
            (clocks(1000, 7_200_000), clocks(3_600_000, 7_200_000), false),
            // The two are not read in the same instant.
            (clocks(1000, 0), clocks(2000, 99), false),
            (clocks(1000, 0), clocks(1000, 100), true),
            (clocks(1000, 0), clocks(1001, 3_600_000), true),
            (clocks(1000, 7_200_000), clocks(9000, 7_205_000), true),
            // A reading that failed counts as none.
            (clocks(1000, 5000), clocks(2000, 0), false),
        ] {
            let found = was_suspended(before, after);
            assert_eq!(found, suspended, "{before:?} {after:?}");
        }
    }
}
