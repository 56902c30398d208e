//! The rules that there are: what each looks at, and in which words.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::config::{AlertsConfig, Condition, LimitUnit};

/// What can be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// CPU time, percent of all cores.
    Cpu,
    /// Memory, percent of what there is.
    Memory,
    /// The 95th percentile of answers that wait for data only, milliseconds.
    LatencyP95,
    /// The 95th percentile of the time to a reply's first text, milliseconds.
    FirstTextP95,
    /// Answers of the 500s, percent of all.
    ErrorRate,
    /// Reads of conversations that the cache answers, percent of all.
    CacheHits,
    /// Free disk, percent of all.
    DiskFree,
    /// 1 where the last backup failed, 0 where it did not.
    BackupFailed,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Cpu,
        Self::Memory,
        Self::LatencyP95,
        Self::FirstTextP95,
        Self::ErrorRate,
        Self::CacheHits,
        Self::DiskFree,
        Self::BackupFailed,
    ];

    /// Its key in `[alerts]`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::LatencyP95 => "latency_p95",
            Self::FirstTextP95 => "first_text_p95",
            Self::ErrorRate => "error_rate",
            Self::CacheHits => "cache_hits",
            Self::DiskFree => "disk_free",
            Self::BackupFailed => "backup_failed",
        }
    }

    /// What its values are counted in.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Cpu | Self::Memory | Self::ErrorRate | Self::CacheHits | Self::DiskFree => "percent",
            Self::LatencyP95 | Self::FirstTextP95 => "milliseconds",
            Self::BackupFailed => "failed",
        }
    }

    /// What the config says of it; nothing where it is off.
    pub(super) fn condition(self, config: &AlertsConfig) -> Option<Condition> {
        match self {
            Self::Cpu => config.cpu,
            Self::Memory => config.memory,
            Self::LatencyP95 => config.latency_p95,
            Self::FirstTextP95 => config.first_text_p95,
            Self::ErrorRate => config.error_rate,
            Self::CacheHits => config.cache_hits,
            Self::DiskFree => config.disk_free,
            Self::BackupFailed => config.backup_failed.then_some(Condition { limit: 0.0, lasting: Duration::ZERO }),
        }
    }

    /// True where `value` is on the wrong side of `limit`.
    pub(super) fn is_passed(self, value: f64, limit: f64) -> bool {
        if self.is_floor() { value < limit } else { value > limit }
    }

    /// What it watches, as the beginning of a sentence, and whether that is one thing or many.
    fn subject(self) -> (&'static str, &'static str) {
        match self {
            Self::Cpu => ("CPU use", "is"),
            Self::Memory => ("memory use", "is"),
            Self::LatencyP95 => ("95 of 100 answers", "take up to"),
            Self::FirstTextP95 => ("95 of 100 first words of replies", "take up to"),
            Self::ErrorRate => ("the part of answers that are errors", "is"),
            Self::CacheHits => ("the part of reads that the cache answers", "is"),
            Self::DiskFree => ("free disk space", "is"),
            Self::BackupFailed => ("the last backup", "failed"),
        }
    }

    /// What it means that it fires, in a sentence without its value.
    pub(super) fn about(self, condition: Condition) -> String {
        if self == Self::BackupFailed {
            return "The last backup failed.".to_owned();
        }
        let (subject, _) = self.subject();
        let side = if self.is_floor() { "under" } else { "over" };
        let limit = Shown(self, condition.limit);
        let lasting = if condition.lasting.is_zero() {
            String::new()
        } else {
            format!(" for {}", crate::config::shown_time(condition.lasting))
        };
        capital(&format!("{subject} {side} {limit}{lasting}."))
    }

    /// How it stands, in a sentence with its value.
    pub(super) fn says(self, value: Option<f64>, condition: Condition, fires: bool) -> String {
        if self == Self::BackupFailed {
            let word = if fires { "The last backup failed" } else { "The last backup was made" };
            return format!("{word}.");
        }
        let (subject, verb) = self.subject();
        let side = if self.is_floor() { "under" } else { "over" };
        let limit = Shown(self, condition.limit);
        let Some(value) = value.map(|value| Shown(self, rounded(value))) else {
            return capital(&format!("{subject}: no longer {side} {limit}, for there is nothing to measure."));
        };
        let no_longer = if fires { "" } else { "no longer " };
        capital(&format!("{subject} {verb} {value}, {no_longer}{side} {limit}."))
    }

    fn is_floor(self) -> bool {
        matches!(self, Self::CacheHits | Self::DiskFree)
    }

    /// What its key takes.
    #[must_use]
    pub fn limit_unit(self) -> LimitUnit {
        if self.unit() == "milliseconds" { LimitUnit::Milliseconds } else { LimitUnit::Percent }
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.key())
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = String::deserialize(deserializer)?;
        let rule = Self::ALL.into_iter().find(|rule| rule.key() == key);
        rule.ok_or_else(|| de::Error::custom(format!("no rule is called {key:?}")))
    }
}

/// `value` with as many digits as people read: two behind the point.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A value with its unit.
struct Shown(Rule, f64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.limit_unit() {
            LimitUnit::Percent => write!(f, "{} %", self.1),
            LimitUnit::Milliseconds if self.1 >= 1000.0 => write!(f, "{} s", rounded(self.1 / 1000.0)),
            LimitUnit::Milliseconds => write!(f, "{} ms", self.1),
        }
    }
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
