//! How long things took: counts in buckets so narrow that a quantile is known to a few percent.
//!
//! Every bound has two digits: 10, 11, ... 20, 22, ... 50, 55, ... 100 and so on, from 10 microseconds to 1000 seconds. So
//! a bucket is at most a tenth of its time wide, and the few bounds that Prometheus is told of are exact.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::float;

/// Powers of ten that the bounds go over.
const DECADES: usize = 8;
/// Bounds in each.
const PER_DECADE: usize = 35;
/// All bounds, and one bucket for what is beyond the last.
const BUCKETS: usize = DECADES * PER_DECADE + 2;

/// The upper ends of the buckets but the last, microseconds, each belonging to its bucket.
static BOUNDS: [u64; BUCKETS - 1] = bounds();

const fn bounds() -> [u64; BUCKETS - 1] {
    let mut bounds = [0; BUCKETS - 1];
    let (mut at, mut unit, mut decade) = (0, 1, 0);
    while decade < DECADES {
        let mut digits = 10;
        while digits < 100 {
            bounds[at] = digits * unit;
            at += 1;
            digits += if digits < 20 {
                1
            } else if digits < 50 {
                2
            } else {
                5
            };
        }
        unit *= 10;
        decade += 1;
    }
    bounds[at] = 10 * unit;
    bounds
}

/// How often something took how long.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64; BUCKETS]>,
    /// Of all times, microseconds.
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: Box::new(array::from_fn(|_| AtomicU64::new(0))), sum: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one that took `time`.
    pub fn record(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was counted so far. One that is counted meanwhile may be in the sum and not in the buckets.
    #[must_use]
    pub fn read(&self) -> Reading {
        let counts = Box::new(array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed)));
        Reading { counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

/// A histogram as it was at one moment, or what came to it between two.
#[derive(Debug, Clone)]
pub struct Reading {
    counts: Box<[u64; BUCKETS]>,
    sum: u64,
}

impl Default for Reading {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), sum: 0 }
    }
}

impl Reading {
    /// What came after `earlier`, which is of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = array::from_fn(|at| self.counts[at].saturating_sub(earlier.counts[at]));
        Self { counts: Box::new(counts), sum: self.sum.saturating_sub(earlier.sum) }
    }

    /// Takes what `other` counted too.
    pub fn join(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts.iter()) {
            *count += more;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What they took together, seconds.
    #[must_use]
    pub fn sum(&self) -> f64 {
        float(self.sum) / 1e6
    }

    /// How many took at most `micros`, which is exact for the bounds and else a little less.
    #[must_use]
    pub fn at_most(&self, micros: u64) -> u64 {
        let end = BOUNDS.partition_point(|bound| *bound <= micros);
        self.counts[..end].iter().sum()
    }

    /// The time, in seconds, that `share` of them did not exceed: a value between the bounds of the bucket that holds it;
    /// nothing where there were none. What took over 1000 seconds counts as that.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = share.clamp(0.0, 1.0) * float(count);
        let mut before = 0;
        for (at, in_it) in self.counts.iter().enumerate() {
            if *in_it > 0 && float(before + in_it) >= wanted {
                let from = if at == 0 { 0 } else { BOUNDS[at - 1] };
                let to = BOUNDS[at.min(BOUNDS.len() - 1)];
                let part = (wanted - float(before)).max(0.0) / float(*in_it);
                return Some((float(from) + part * float(to - from)) / 1e6);
            }
            before += in_it;
        }
        Some(float(BOUNDS[BOUNDS.len() - 1]) / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_rise_by_a_tenth_at_most_and_have_every_round_number() {
        assert_eq!((BOUNDS[0], BOUNDS[BOUNDS.len() - 1]), (10, 1_000_000_000));
        for pair in BOUNDS.windows(2) {
            assert!(pair[0] < pair[1] && float(pair[1]) <= float(pair[0]) * 1.1001, "{pair:?}");
        }
        for round in [100, 500, 1_000, 2_000, 5_000, 10_000, 100_000, 500_000, 1_000_000, 2_000_000, 60_000_000] {
            assert!(BOUNDS.contains(&round), "{round}");
        }
    }

    #[test]
    fn quantiles_are_within_a_tenth_of_the_truth() {
        let histogram = Histogram::default();
        for micros in 1..=100_000u64 {
            histogram.record(Duration::from_micros(micros * 7));
        }
        let reading = histogram.read();
        for share in [0.01, 0.5, 0.95, 0.99, 1.0] {
            let (found, truth) = (reading.quantile(share).unwrap(), share * 0.7);
            assert!((found - truth).abs() <= truth * 0.1, "{share}: {found} and not {truth}");
        }
        assert_eq!(reading.count(), 100_000);
        assert!((reading.sum() - 35_000.35).abs() < 0.01, "{}", reading.sum());
    }

    #[test]
    fn what_is_at_a_bound_is_in_it_and_what_is_over_is_not() {
        let histogram = Histogram::default();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::from_millis(1));
        histogram.record(Duration::from_micros(1001));
        histogram.record(Duration::from_hours(9));
        let reading = histogram.read();
        assert_eq!([reading.at_most(10), reading.at_most(999), reading.at_most(1000)], [1, 1, 2]);
        assert_eq!([reading.at_most(1_100), reading.at_most(1_000_000_000), reading.count()], [3, 3, 4]);
        assert_eq!(reading.quantile(1.0), Some(1000.0));
        assert_eq!(Reading::default().quantile(0.5), None);
    }

    #[test]
    fn what_came_between_two_readings_is_known_and_can_be_put_together_again() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_secs(10));
        let before = histogram.read();
        histogram.record(Duration::from_millis(20));
        let since = histogram.read().since(&before);
        assert_eq!(since.count(), 1);
        assert!((since.sum() - 0.02).abs() < 1e-9 && since.quantile(1.0).unwrap() <= 0.02);
        let mut both = before.clone();
        both.join(&since);
        assert_eq!((both.count(), both.at_most(20_000)), (2, 1));
    }
}
