//! `[monitor]` and `[alerts]`: what operators are shown, and what they are told of.

use std::{fmt, path::PathBuf, time::Duration};

/// `[monitor]`: samples of all figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorConfig {
    /// Time between two samples.
    pub interval: Duration,
}

/// `[alerts]`: what is wrong, once it has lasted.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertsConfig {
    /// CPU time over this part of all cores, percent.
    pub cpu: Option<Condition>,
    /// Memory over this part of what there is, percent.
    pub memory: Option<Condition>,
    /// The 95th percentile of answers that wait for no reply over this, milliseconds.
    pub latency_p95: Option<Condition>,
    /// The same of first words of replies, milliseconds.
    pub first_text_p95: Option<Condition>,
    /// Answers of the 500s over this part of all, percent.
    pub error_rate: Option<Condition>,
    /// Reads of conversations that the cache answers under this part, percent.
    pub cache_hits: Option<Condition>,
    /// Free disk under this part, percent.
    pub disk_free: Option<Condition>,
    /// True: the last backup failed.
    pub backup_failed: bool,
    /// Where changes are posted to; nothing: nowhere.
    pub webhook_url: Option<String>,
    /// A file with the secret that signs what is posted.
    pub webhook_secret_file: Option<PathBuf>,
}

/// A limit, and how long it must be passed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Condition {
    /// In the unit of its key.
    pub limit: f64,
    /// How long without a break.
    pub lasting: Duration,
}

/// What a condition's limit is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitUnit {
    /// Percent: over 0, at most 100.
    Percent,
    /// Milliseconds: 1 to 10 minutes.
    Milliseconds,
}

/// Longest time that a limit must be passed.
const LASTING_MAX: Duration = Duration::from_hours(24);
/// Largest limit of a time, milliseconds.
const LIMIT_MS_MAX: f64 = 600_000.0;

impl Condition {
    /// Reads `80% for 5m`, `1.5s for 30s`, or a limit alone, which needs not last; `off` is none. Nothing where it is
    /// neither, or out of bounds.
    #[must_use]
    pub fn parse(text: &str, unit: LimitUnit) -> Option<Option<Self>> {
        let text = text.trim();
        if text == "off" {
            return Some(None);
        }
        let (limit, lasting) = match text.split_once(" for ") {
            Some((limit, lasting)) => (limit.trim(), time_of(lasting.trim())?),
            None => (text, 0.0),
        };
        let limit = match unit {
            LimitUnit::Percent => number_of(limit.strip_suffix('%')?.trim_end()).filter(|percent| *percent <= 100.0)?,
            LimitUnit::Milliseconds => time_of(limit).filter(|ms| (1.0..=LIMIT_MS_MAX).contains(ms))?,
        };
        let lasting = Duration::try_from_secs_f64(lasting / 1000.0).ok().filter(|lasting| *lasting <= LASTING_MAX)?;
        (limit > 0.0).then_some(Some(Self { limit, lasting }))
    }

    /// As [`Condition::parse`] reads it.
    #[must_use]
    pub fn show(condition: Option<Self>, unit: LimitUnit) -> String {
        let Some(Self { limit, lasting }) = condition else { return "off".to_owned() };
        let limit = match unit {
            LimitUnit::Percent => format!("{limit}%"),
            LimitUnit::Milliseconds => Time(limit).to_string(),
        };
        if lasting.is_zero() { limit } else { format!("{limit} for {}", shown_time(lasting)) }
    }
}

/// `time` in the largest unit that it is whole in, as `5m`.
#[must_use]
pub fn shown_time(time: Duration) -> String {
    Time(time.as_secs_f64() * 1000.0).to_string()
}

/// A time in milliseconds, shown in the largest unit that it is whole in.
struct Time(f64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(3_600_000.0, "h"), (60_000.0, "m"), (1000.0, "s")];
        let whole = units.iter().find(|(size, _)| self.0 >= *size && (self.0 / size).fract() == 0.0);
        match whole {
            Some((size, unit)) => write!(f, "{}{unit}", self.0 / size),
            None => write!(f, "{}ms", self.0),
        }
    }
}

/// A number as people write it: digits, perhaps with a point among them.
fn number_of(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && text.len() <= 12;
    if plain { text.parse().ok() } else { None }
}

/// A time with its unit, in milliseconds.
fn time_of(text: &str) -> Option<f64> {
    let units = [("ms", 1.0), ("s", 1000.0), ("m", 60_000.0), ("h", 3_600_000.0)];
    let (number, size) = units.iter().find_map(|(unit, size)| {
        let number = text.strip_suffix(unit)?.trim_end();
        number.ends_with(|c: char| c.is_ascii_digit()).then_some((number, size))
    })?;
    // To whole milliseconds, so that what is shown reads back as the same.
    number_of(number).map(|number| (number * size).round())
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10) }
    }
}

impl AlertsConfig {
    /// True where alerts are posted to another machine.
    #[must_use]
    pub fn posts_elsewhere(&self) -> bool {
        let url = self.webhook_url.as_deref().map(|url| url.parse().unwrap_or_default());
        url.is_some_and(|url| !super::is_on_this_machine(&url))
    }
}

impl Default for AlertsConfig {
    fn default() -> Self {
        let over = |limit, minutes| Some(Condition { limit, lasting: Duration::from_mins(minutes) });
        Self {
            cpu: over(80.0, 5),
            memory: over(80.0, 5),
            latency_p95: over(2_000.0, 5),
            first_text_p95: over(10_000.0, 5),
            error_rate: over(1.0, 5),
            cache_hits: over(50.0, 10),
            disk_free: over(10.0, 1),
            backup_failed: true,
            webhook_url: None,
            webhook_secret_file: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_reads_as_people_write_it_and_shows_the_same() {
        let percent = |text| Condition::parse(text, LimitUnit::Percent);
        let lasting = Duration::from_mins(5);
        assert_eq!(percent("80% for 5m"), Some(Some(Condition { limit: 80.0, lasting })));
        assert_eq!(percent(" 0.5 %  for  300 s "), Some(Some(Condition { limit: 0.5, lasting })));
        assert_eq!(percent("off"), Some(None));
        let times = |text| Condition::parse(text, LimitUnit::Milliseconds);
        assert_eq!(times("1.5s"), Some(Some(Condition { limit: 1500.0, lasting: Duration::ZERO })));
        for (text, unit) in [
            ("80% for 5m", LimitUnit::Percent),
            ("0.5%", LimitUnit::Percent),
            ("100% for 24h", LimitUnit::Percent),
            ("1500ms for 90s", LimitUnit::Milliseconds),
            ("10m for 1h", LimitUnit::Milliseconds),
            ("1ms for 1ms", LimitUnit::Milliseconds),
            ("off", LimitUnit::Milliseconds),
        ] {
            assert_eq!(Condition::show(Condition::parse(text, unit).unwrap(), unit), text);
        }
    }

    #[test]
    fn what_is_no_condition_is_none() {
        for text in [
            "",
            "0%",
            "80",
            "80 for 5m",
            "80%for5m",
            "80% for 5",
            "80% for",
            "101%",
            "-1%",
            "1e2%",
            "NaN%",
            "inf%",
            "80% for 25h",
            "80% for -1m",
            "2s for 5m",
            "%",
            ".%",
            "OFF",
            "0",
            "80% for 5m for 5m",
        ] {
            assert_eq!(Condition::parse(text, LimitUnit::Percent), None, "{text:?}");
        }
        for text in ["0ms", "0.4ms", "601s", "2", "80%", "ms", "s", "1d", "1 week"] {
            assert_eq!(Condition::parse(text, LimitUnit::Milliseconds), None, "{text:?}");
        }
    }
}
