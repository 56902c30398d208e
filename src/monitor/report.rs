//! What the dashboard is given.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    Monitor,
    columns::{ALL, Values},
    history::{Stretch, ms},
    lock,
};
use crate::{
    alerts::{AlertState, Notice},
    clock::Timestamp,
};

/// A stretch of history.
#[derive(Debug, Serialize)]
pub struct Series {
    /// When it was asked for, milliseconds since 1970.
    at_ms: u64,
    /// Time between two samples, milliseconds.
    interval_ms: u64,
    /// When the first point begins, milliseconds since 1970.
    start_ms: u64,
    /// How wide a point is, milliseconds.
    step_ms: u64,
    /// How many points each column has.
    points: usize,
    columns: Columns<Vec<Number>>,
}

/// How things are now.
#[derive(Debug, Serialize)]
pub struct Now {
    /// Milliseconds since 1970.
    at_ms: u64,
    version: &'static str,
    #[serde(serialize_with = "crate::clock::rfc3339")]
    started_at: Timestamp,
    uptime_s: u64,
    /// The newest sample; null before the first.
    sample: Option<Columns<Number>>,
    /// What the values of samples are parts of.
    bounds: Bounds,
    /// How every rule stands that is on.
    alerts: Vec<AlertState>,
    /// The newest changes of alerts, newest first.
    notices: Vec<Notice>,
    /// Work that the server does by itself.
    work: Work,
}

#[derive(Debug, Serialize)]
struct Bounds {
    cores: f64,
    memory_bytes: u64,
    descriptors: Option<u64>,
    disk_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Work {
    /// Since the start.
    backups: u64,
    backup_failures: u64,
    last_backup_failed: bool,
    /// Null where there is none.
    #[serde(serialize_with = "crate::clock::rfc3339_or_null")]
    last_backup_at: Option<Timestamp>,
    last_backup_bytes: u64,
    jobs_waiting: u64,
    jobs_running: u64,
    jobs_parked: u64,
    /// Since the start.
    compactions: u64,
    #[serde(serialize_with = "crate::clock::rfc3339_or_null")]
    last_compaction_at: Option<Timestamp>,
    checkpoints: u64,
}

/// A value for each column, by its name.
#[derive(Debug)]
struct Columns<T>(Vec<T>);

impl<T: Serialize> Serialize for Columns<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(ALL.len()))?;
        for (column, value) in ALL.iter().zip(&self.0) {
            map.serialize_entry(column.name, value)?;
        }
        map.end()
    }
}

/// A number with four digits, which is more than a graph shows; null where it is none.
#[derive(Debug, Clone, Copy)]
struct Number(f32);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = f64::from(self.0);
        if !value.is_finite() {
            return serializer.serialize_none();
        }
        // A whole number needs no point.
        let rounded = four_digits(value);
        if rounded.fract() == 0.0 && rounded.abs() < 1e15 {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole, and below 2^53")]
            return serializer.serialize_i64(rounded as i64);
        }
        serializer.serialize_f64(rounded)
    }
}

fn four_digits(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let exponent = value.abs().log10().floor();
    if exponent >= 3.0 {
        let unit = 10f64.powf(exponent - 3.0);
        (value / unit).round() * unit
    } else {
        // Dividing by a whole power of ten gives the number that the digits mean; multiplying by a part does not.
        let units = 10f64.powf(3.0 - exponent);
        (value * units).round() / units
    }
}

impl Series {
    fn of(stretch: Stretch, now: Timestamp, interval_ms: u64) -> Self {
        Self {
            at_ms: ms(now),
            interval_ms,
            start_ms: stretch.start_ms,
            step_ms: stretch.step_ms,
            points: stretch.columns.first().map_or(0, Vec::len),
            columns: Columns(
                stretch.columns.into_iter().map(|column| column.into_iter().map(Number).collect()).collect(),
            ),
        }
    }
}

impl Monitor {
    /// Samples from `since_ms` to `until_ms`, milliseconds since 1970, in points of `step_ms` or as many more as keep them
    /// at 500; what is left out is a day ago, now, and as narrow as that allows.
    #[must_use]
    pub fn series(&self, since_ms: Option<u64>, until_ms: Option<u64>, step_ms: Option<u64>) -> Series {
        let now = self.parts.clock.now();
        let history = lock(&self.history);
        let (since, until) = (since_ms.unwrap_or(0), until_ms.unwrap_or(u64::MAX));
        let stretch = history.stretch(now, since, until, step_ms.unwrap_or(0));
        let interval_ms = history.interval_ms();
        drop(history);
        Series::of(stretch, now, interval_ms)
    }

    /// How things are now. Walks over nothing.
    #[must_use]
    pub fn now(&self) -> Now {
        let now = self.parts.clock.now();
        let sample = lock(&self.history).newest(now).copied();
        let standing = lock(&self.alerts);
        let (alerts, notices) = (standing.alerts.states(), standing.notices.iter().rev().cloned().collect());
        drop(standing);
        Now {
            at_ms: ms(now),
            version: env!("CARGO_PKG_VERSION"),
            started_at: self.started_at,
            uptime_s: self.started.elapsed().as_secs(),
            sample: sample.map(|values: Values| Columns(values.into_iter().map(Number).collect())),
            bounds: Bounds {
                cores: self.machine.cores,
                memory_bytes: self.machine.memory,
                descriptors: self.machine.descriptors,
                disk_bytes: self.seen().sizes.map(|sizes| sizes.disk),
            },
            alerts,
            notices,
            work: self.work(),
        }
    }

    fn work(&self) -> Work {
        let (backups, store) = (&self.parts.backups, self.parts.store.figures());
        let jobs = self.parts.store.job_counts();
        let at = |micros: u64| i64::try_from(micros).ok().filter(|micros| *micros > 0).map(Timestamp);
        Work {
            backups: backups.successes.get(),
            backup_failures: backups.failures.get(),
            last_backup_failed: backups.last_failed.get() > 0,
            last_backup_at: at(backups.last_success_at.get()),
            last_backup_bytes: backups.last_bytes.get(),
            jobs_waiting: jobs.queued,
            jobs_running: jobs.running,
            jobs_parked: jobs.parked,
            compactions: store.compactions.get(),
            last_compaction_at: at(store.compaction_at.get()),
            checkpoints: store.checkpoints.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::monitor::history::History;

    #[test]
    fn numbers_are_short_and_what_is_none_is_null() {
        let shown = |value: f32| serde_json::to_string(&Number(value)).unwrap();
        for (value, wanted) in [
            (0.0, "0"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.3333"),
            (2.0, "2"),
            (-12.345_678, "-12.35"),
            (0.000_012_345_6, "0.00001235"),
            (123_456_789.0, "123500000"),
            (f32::NAN, "null"),
            (f32::INFINITY, "null"),
        ] {
            assert_eq!(shown(value), wanted);
        }
        assert!(shown(f32::MAX).len() < 30 && shown(f32::MIN_POSITIVE).len() < 30);
    }

    #[test]
    fn a_day_of_every_column_is_under_200_kb() {
        let mut history = History::new(Duration::from_secs(10));
        let now = Timestamp(1_795_456_800_000_000);
        for n in 0..8640u16 {
            let values =
                std::array::from_fn(|at| (f32::from(n) + 0.37) * 10f32.powi(i32::try_from(at % 9).unwrap() - 5));
            history.keep(Timestamp(now.0 - i64::from(n) * 10_000_000), values);
        }
        let stretch = history.stretch(now, 0, u64::MAX, 0);
        let series = Series::of(stretch, now, history.interval_ms());
        let json = serde_json::to_vec(&series).unwrap();
        assert!(series.points > 400 && json.len() < 200_000, "{} points, {} bytes", series.points, json.len());
        let text = String::from_utf8(json).unwrap();
        assert!(!text.contains("null"), "a whole day has no gap");
    }
}
