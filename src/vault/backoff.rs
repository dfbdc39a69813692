//! How long to wait before a request is tried again. Pure: chance is an argument.

use std::time::Duration;

/// The bound of the first wait.
const FIRST: Duration = Duration::from_millis(200);
/// The bound of every later wait.
const LONGEST: Duration = Duration::from_secs(2);
/// No wait is shorter, whatever chance says.
const SHORTEST: Duration = Duration::from_millis(50);

/// "Full jitter": anything up to a bound that doubles with every try, so that many clients that
/// were turned away together do not come back together. `chance` is from 0 to 1.
#[must_use]
pub fn full_jitter(tries: u32, chance: f64) -> Duration {
    let bound = FIRST.saturating_mul(1 << tries.min(16)).min(LONGEST);
    bound.mul_f64(chance.clamp(0.0, 1.0)).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_bound_and_are_never_a_tight_loop() {
        for case in 0..10_000u32 {
            let chance = fastrand::Rng::with_seed(case.into()).f64();
            let tries = case % 40;
            let delay = full_jitter(tries, chance);
            assert!(
                delay >= SHORTEST && delay <= LONGEST,
                "{tries} {chance} {delay:?}"
            );
        }
        let bounds: Vec<_> = (0..6)
            .map(|tries| full_jitter(tries, 1.0).as_millis())
            .collect();
        assert_eq!(bounds, [200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn chance_spreads_a_wait_from_the_shortest_to_the_bound() {
        for tries in 0..6 {
            assert_eq!(full_jitter(tries, 0.0), SHORTEST);
            assert_eq!(full_jitter(tries, 0.5), full_jitter(tries, 1.0) / 2);
        }
        assert_eq!(full_jitter(3, 0.0).as_millis(), 50);
        assert_eq!(full_jitter(3, 1.0).as_millis(), 1600);
    }
}
