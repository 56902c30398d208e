//! Time: the only place that reads the wall clock.
//!
//! Wall time is for people and for expiry. Order never comes from it: sequence numbers and the journal give order, so
//! a clock that jumps spoils no promise.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A moment in wall time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment that a text of another system means: RFC 3339, the like with a blank or without a zone (UTC then), or seconds
    /// or milliseconds since 1970; nothing for any other text, and for what was before 1970.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(number) = text.parse::<f64>() {
            return Self::from_seconds(if number > 1e11 { number / 1000.0 } else { number });
        }
        let of = |time: jiff::Timestamp| Self(time.as_microsecond());
        let zoned = text.parse::<jiff::Timestamp>().ok();
        let local = || {
            text.parse::<jiff::civil::DateTime>().ok().and_then(|time| jiff::tz::Offset::UTC.to_timestamp(time).ok())
        };
        zoned.or_else(local).map(of).filter(|time| time.0 >= 0)
    }

    /// The moment so many seconds after 1970 began; nothing for what is no time from then on to the year 9999.
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        if !(0.0..253_402_300_800.0).contains(&seconds) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the bounds were looked at")]
        let micros = (seconds * 1e6).round() as i64;
        Some(Self(micros))
    }

    /// The moment `duration` after this one; the largest moment where that overflows.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; nothing where it is before it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with microseconds: `2026-11-23T18:00:00.000000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time:.6}"),
            Err(_) => write!(f, "{}us", self.0), // Beyond the year 9999: shown, not hidden.
        }
    }
}

/// Writes a time as the API does, for `#[serde(serialize_with = "rfc3339")]`: on disk it is a number.
///
/// # Errors
/// The serializer's.
pub fn rfc3339<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// [`rfc3339`] of a time that may be missing.
///
/// # Errors
/// The serializer's.
pub fn rfc3339_or_null<S: serde::Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => rfc3339(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// Where the program gets the time.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that a test moves: microseconds since 1970.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `start` until it is moved.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.0)))
    }

    /// Moves a manual clock by `by`; the machine's clock is not ours to move.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(now) = self {
            now.store(Timestamp(now.load(Ordering::SeqCst)).after(by).0, Ordering::SeqCst);
        }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => system_now(),
            Self::Manual(now) => Timestamp(now.load(Ordering::SeqCst)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
fn system_now() -> Timestamp {
    let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
    };
    Timestamp(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_with_microseconds() {
        assert_eq!(Timestamp(1_795_456_800_000_000).to_string(), "2026-11-23T18:00:00.000000Z");
        assert_eq!(Timestamp(1_795_456_800_000_001).to_string(), "2026-11-23T18:00:00.000001Z");
    }

    #[test]
    fn times_of_other_systems_are_read() {
        let at = Some(Timestamp(1_795_456_800_500_000));
        for text in [
            "2026-11-23T18:00:00.5Z",
            "2026-11-23 18:00:00.500+00",
            "2026-11-23T23:30:00.500000+05:30",
            "2026-11-23 18:00:00.5",
            "1795456800.5",
            "1795456800500",
            " 2026-11-23T18:00:00.500000 ",
        ] {
            assert_eq!(Timestamp::from_text(text), at, "{text}");
        }
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "-5", "NaN", "1e300", "1960-01-01T00:00:00Z"] {
            assert_eq!(Timestamp::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(Timestamp(5));
        assert_eq!(clock.now(), Timestamp(5));
        clock.advance(Duration::from_micros(7));
        assert_eq!(clock.now(), Timestamp(12));
        assert_eq!(Timestamp(5).since(Timestamp(12)), Duration::ZERO);
    }
}
