//! How long to wait before something is tried again. Pure: chance is an argument.

use std::time::Duration;

/// No wait is shorter, whatever chance says.
const SHORTEST: Duration = Duration::from_millis(50);

/// Waits that double with every failure up to a bound. Each is drawn from a range, so that many
/// clients that were turned away together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The bound of the first wait.
    first: Duration,
    /// The bound of every later wait.
    longest: Duration,
    /// Which part of its bound a wait has at least, in percent.
    least: u32,
}

impl Backoff {
    /// For a person or a script that waits: soon, and from zero on ("full jitter").
    pub const SOON: Self = Self {
        first: Duration::from_millis(200),
        longest: Duration::from_secs(2),
        least: 0,
    };
    /// For what goes on in the background for hours.
    pub const PATIENT: Self = Self {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(60),
        least: 50,
    };

    /// The wait after so many failures before; `chance` is from 0 to 1.
    #[must_use]
    pub fn delay(self, failures: u32, chance: f64) -> Duration {
        let bound = self.first.saturating_mul(1 << failures.min(16));
        let bound = bound.min(self.longest);
        let least = bound * self.least / 100;
        let spread = bound.saturating_sub(least).mul_f64(chance.clamp(0.0, 1.0));
        (least + spread).max(SHORTEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_bound_and_are_never_a_tight_loop() {
        for case in 0..10_000u32 {
            let chance = fastrand::Rng::with_seed(case.into()).f64();
            let failures = case % 40;
            for backoff in [Backoff::SOON, Backoff::PATIENT] {
                let delay = backoff.delay(failures, chance);
                assert!(
                    delay >= SHORTEST && delay <= backoff.longest,
                    "{failures} {chance} {delay:?}"
                );
            }
        }
        let bounds = |backoff: Backoff| -> Vec<_> {
            (0..8)
                .map(|failures| backoff.delay(failures, 1.0).as_millis())
                .collect()
        };
        assert_eq!(
            bounds(Backoff::SOON),
            [200, 400, 800, 1600, 2000, 2000, 2000, 2000]
        );
        assert_eq!(
            bounds(Backoff::PATIENT),
            [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]
        );
    }

    #[test]
    fn chance_spreads_a_wait_from_its_least_to_its_bound() {
        for failures in 0..6 {
            let (soon, patient) = (Backoff::SOON, Backoff::PATIENT);
            assert_eq!(soon.delay(failures, 0.0), SHORTEST);
            assert_eq!(soon.delay(failures, 0.5), soon.delay(failures, 1.0) / 2);
            let whole = patient.delay(failures, 1.0);
            assert_eq!(patient.delay(failures, 0.0), whole / 2);
        }
    }
}
