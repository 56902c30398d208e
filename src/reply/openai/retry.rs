//! When a second try may be made: a budget for all replies together, so that a server in trouble is not asked twice as
//! often just then.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Longest wait before a second try.
const WAIT_MAX: Duration = Duration::from_millis(250);
/// What a retry costs, in what a first try earns: in the long run one retry comes to ten first tries.
const COST: u32 = 10;
/// Most that can be saved up: ten retries in a row.
const SAVED_MAX: u32 = 10 * COST;

/// The retries that may be made.
pub(super) struct Retries {
    /// Guards what is saved up.
    saved: Mutex<u32>,
}

impl Retries {
    /// As many as can be saved up.
    pub(super) fn new() -> Self {
        Self { saved: Mutex::new(SAVED_MAX) }
    }

    /// Counts a first try.
    pub(super) fn earn(&self) {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        *saved = (*saved + 1).min(SAVED_MAX);
    }

    /// True where a retry may be made, which is paid then.
    pub(super) fn spend(&self) -> bool {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let left = saved.checked_sub(COST);
        *saved = left.unwrap_or(*saved);
        left.is_some()
    }
}

/// How long to wait before a second try: anything up to the most, so that those that failed together do not come again
/// together. `chance` is from 0 to 1.
pub(super) fn wait(chance: f64) -> Duration {
    WAIT_MAX.mul_f64(chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_tenth_of_first_tries_in_the_long_run() {
        let retries = Retries::new();
        assert_eq!((0..20).filter(|_| retries.spend()).count(), 10, "what is saved up");
        let mut made = 0;
        for first in 1..=1000 {
            retries.earn();
            made += usize::from(retries.spend());
            assert!(made <= first / 10);
        }
        assert_eq!(made, 100);
        for _ in 0..1000 {
            retries.earn();
        }
        assert_eq!((0..20).filter(|_| retries.spend()).count(), 10, "no more is saved up");
    }

    #[test]
    fn a_wait_is_anything_up_to_a_quarter_of_a_second() {
        assert_eq!((wait(0.0), wait(0.5), wait(1.0)), (Duration::ZERO, WAIT_MAX / 2, WAIT_MAX));
    }
}
