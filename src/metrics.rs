//! Figures: counters, gauges and histograms that cost a relaxed atomic each, and their text for Prometheus.
//!
//! A part of the program owns its figures, as a struct of these types, and gives it away for reading; who reads, and how
//! often, no part knows. Nothing here takes a lock or allocates while it counts. A histogram can be read back, because
//! alerts and the dashboard want quantiles of the last seconds, which text for Prometheus does not hold.

mod backups;
mod histogram;
mod labelled;
mod requests;
mod text;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

pub use self::{
    backups::BackupFigures,
    histogram::{Histogram, Reading},
    labelled::Labelled,
    requests::{REFUSALS, Refusal, RequestFigures, SECURITY, Wait},
    text::{Exposition, Kind},
};

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many there were.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that goes up and down; whole numbers of its unit.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// It is `value` now; where that is beyond the type, the largest there is.
    pub fn set(&self, value: u64) {
        self.0.store(i64::try_from(value).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// It is `by` more.
    pub fn grow(&self, by: u64) {
        self.0.fetch_add(i64::try_from(by).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// It is `by` less.
    pub fn shrink(&self, by: u64) {
        self.0.fetch_sub(i64::try_from(by).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// What it is. Two threads that grow and shrink it may be seen the wrong way round: never below 0.
    #[must_use]
    pub fn get(&self) -> u64 {
        u64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

/// `value` as a floating-point number; whole up to 2^53, which is 285 years in microseconds.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "figures are for people and for graphs")]
pub fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_that_shrank_before_it_grew_is_0_and_then_right() {
        let gauge = Gauge::default();
        gauge.shrink(1);
        assert_eq!(gauge.get(), 0);
        gauge.grow(3);
        assert_eq!(gauge.get(), 2);
        gauge.set(7);
        assert_eq!(gauge.get(), 7);
        gauge.set(u64::MAX);
        assert_eq!(gauge.get(), i64::MAX.unsigned_abs());
    }
}
