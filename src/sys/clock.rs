//! The clock that leases are measured by.
//!
//! Vault's clock runs on while this host is suspended, so `CLOCK_BOOTTIME` is used: it counts the
//! time asleep, and steps of the wall clock do not touch it.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// An instant, as the time since the host booted, suspension included. It means the same in every
/// process of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(
    clippy::unsafe_derive_deserialize,
    reason = "any duration is a moment: only reading the clock is a system call"
)]
pub struct Moment(Duration);

impl Moment {
    /// The moment that lies this long after the host's boot.
    #[must_use]
    pub const fn since_boot(duration: Duration) -> Self {
        Self(duration)
    }

    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `time` is valid for writing one timespec.
        let asked = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
        debug_assert_eq!(asked, 0, "CLOCK_BOOTTIME exists since Linux 2.6.39");
        Self(Duration::new(
            u64::try_from(time.tv_sec).unwrap_or_default(),
            u32::try_from(time.tv_nsec).unwrap_or_default(),
        ))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The wall clock's reading at this moment, given both clocks' reading now.
    #[must_use]
    pub fn to_wall(self, now: Self, wall_now: SystemTime) -> SystemTime {
        if self >= now {
            wall_now.checked_add(self.since(now)).unwrap_or(wall_now)
        } else {
            wall_now.checked_sub(now.since(self)).unwrap_or(wall_now)
        }
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl std::ops::Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_is_the_time_since_boot_as_the_system_counts_it() {
        let uptime = || {
            let text = std::fs::read_to_string("/proc/uptime").expect("it is there");
            let seconds = text.split(' ').next().and_then(|word| word.parse().ok());
            Duration::from_secs_f64(seconds.expect("seconds"))
        };
        let before = uptime();
        let now = Moment::now().since(Moment::since_boot(Duration::ZERO));
        let after = uptime();
        // The system says it in hundredths.
        let hundredth = Duration::from_millis(10);
        assert!(
            before <= now + hundredth && now <= after + hundredth,
            "{before:?} {now:?} {after:?}"
        );
    }

    #[test]
    fn moments_are_told_by_the_wall_clock_as_it_is_now() {
        let seconds = Duration::from_secs;
        let now = Moment::since_boot(seconds(1000));
        let wall = SystemTime::UNIX_EPOCH + seconds(1_700_000_000);
        for (moment, expected) in [
            (now, wall),
            (now + seconds(90), wall + seconds(90)),
            (now - seconds(90), wall - seconds(90)),
        ] {
            assert_eq!(moment.to_wall(now, wall), expected, "{moment:?}");
        }
        assert_eq!(now.since(now + seconds(1)), Duration::ZERO);
    }
}
