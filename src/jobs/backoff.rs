//! When a job that failed is tried again.

use std::time::Duration;

/// Each wait is so many times the one before.
const FACTOR: u32 = 4;
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_hours(6);

/// The wait after the failure of the try number `attempt`, counted from 1, where that after the first is `first`; up to a
/// quarter more or less of it, as `random` (0 to 1) says, so that what failed together does not come back together.
pub(super) fn wait(attempt: u32, first: Duration, random: f64) -> Duration {
    let times = FACTOR.saturating_pow(attempt.saturating_sub(1).min(15));
    first.saturating_mul(times).min(WAIT_MAX).mul_f64(0.75 + random.clamp(0.0, 1.0) / 2.0)
}

/// A number from 0 to 1.
pub(super) fn random() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_fourfold_up_to_a_bound_and_differ_by_a_quarter() {
        let (first, seconds) = (Duration::from_secs(10), Duration::from_secs);
        let middles = [1, 2, 3, 4].map(|attempt| wait(attempt, first, 0.5));
        assert_eq!(middles, [10, 40, 160, 640].map(seconds));
        assert_eq!((wait(2, first, 0.0), wait(2, first, 1.0)), (seconds(30), seconds(50)));
        assert_eq!(wait(u32::MAX, first, 0.5), WAIT_MAX);
    }
}
