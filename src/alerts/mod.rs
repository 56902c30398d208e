//! Alerts: conditions on figures that must last, and word of when they begin and end.
//!
//! Knows numbers and time, not where either is from. A rule is quiet, then pending while its limit is passed, then firing
//! once that has lasted, and quiet again once its limit was not passed for as long: so that a value which swings about its
//! limit is one alert and not many.

mod notice;
mod rule;
mod webhook;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::{
    notice::{Change, Notice},
    rule::Rule,
    webhook::{Secret, SecretError, body, headers},
};
use crate::{
    clock::Timestamp,
    config::{AlertsConfig, Condition},
};

/// An alert that fires ends no sooner than after so many good samples.
const GOOD_SAMPLES: u32 = 3;

/// When something is observed.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// On a clock that nobody sets: what lasts is measured by it.
    pub elapsed: Duration,
    /// For people.
    pub time: Timestamp,
}

/// All rules that are on, and how each stands.
pub struct Alerts {
    watched: Vec<Watched>,
    /// Time between two samples.
    interval: Duration,
}

/// A rule that is on.
struct Watched {
    rule: Rule,
    condition: Condition,
    standing: Standing,
    /// The last value that was seen.
    value: Option<f64>,
}

enum Standing {
    Quiet,
    /// The limit is passed since then.
    Pending(Moment),
    /// It fires since then; and since when the limit is not passed, if it is not.
    Firing(Moment, Option<Duration>),
}

/// How a rule stands, for operators.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertState {
    /// Which.
    pub rule: Rule,
    /// `ok`, `pending` or `firing`.
    pub state: &'static str,
    /// Since when it is pending or fires.
    #[serde(serialize_with = "crate::clock::rfc3339_or_null")]
    pub since: Option<Timestamp>,
    /// The last value, in `unit`; null where there is none, as without any traffic.
    pub value: Option<f64>,
    /// The limit, in `unit`.
    pub limit: f64,
    /// `percent`, `milliseconds` or `failed`.
    pub unit: &'static str,
    /// How long the limit must be passed, milliseconds.
    pub lasting_ms: u64,
    /// What it means, in a sentence without its value.
    pub about: String,
}

/// A rule that fires, as it is kept for the next run of the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fired {
    /// Which.
    pub rule: Rule,
    /// Since when its limit is passed.
    pub since: Timestamp,
    /// The limit.
    pub limit: f64,
    /// How long it must be passed.
    pub lasting: Duration,
}

impl Alerts {
    /// The rules that `config` has, all quiet; `interval` is the time between two observations.
    #[must_use]
    pub fn new(config: &AlertsConfig, interval: Duration) -> Self {
        let watched = Rule::ALL.into_iter().filter_map(|rule| {
            let condition = rule.condition(config)?;
            Some(Watched { rule, condition, standing: Standing::Quiet, value: None })
        });
        Self { watched: watched.collect(), interval }
    }

    /// Looks at every rule's value, in the unit of its limit; gives what has changed. Without a value a limit is not
    /// passed.
    pub fn observe(&mut self, now: Moment, value: impl Fn(Rule) -> Option<f64>) -> Vec<Notice> {
        let interval = self.interval;
        self.watched.iter_mut().filter_map(|watched| watched.observe(now, value(watched.rule), interval)).collect()
    }

    /// From now on the rules are those of `config`; a rule that stays goes on as it stands. Gives word of those that fired
    /// and are off now.
    pub fn reconfigure(&mut self, config: &AlertsConfig, now: Moment) -> Vec<Notice> {
        let before = std::mem::replace(self, Self::new(config, self.interval));
        let mut ended = Vec::new();
        for old in before.watched {
            if let Some(watched) = self.watched.iter_mut().find(|watched| watched.rule == old.rule) {
                (watched.standing, watched.value) = (old.standing, old.value);
            } else if let Standing::Firing(since, _) = old.standing {
                ended.push(Notice::new(old.rule, Change::Resolved, old.condition, None, (since.time, now.time)));
            }
        }
        ended
    }

    /// What fires.
    #[must_use]
    pub fn fired(&self) -> Vec<Fired> {
        let fired = self.watched.iter().filter_map(|Watched { rule, condition, standing, .. }| match standing {
            Standing::Firing(since, _) => {
                Some(Fired { rule: *rule, since: since.time, limit: condition.limit, lasting: condition.lasting })
            }
            Standing::Quiet | Standing::Pending(_) => None,
        });
        fired.collect()
    }

    /// Takes over what fired when the program ended: it goes on firing, of which there is no word, until it is over. Gives
    /// word of the end of those that are off now.
    pub fn resume(&mut self, fired: Vec<Fired>, now: Moment) -> Vec<Notice> {
        let mut ended = Vec::new();
        for Fired { rule, since, limit, lasting } in fired {
            if let Some(watched) = self.watched.iter_mut().find(|watched| watched.rule == rule) {
                watched.standing = Standing::Firing(Moment { elapsed: now.elapsed, time: since }, None);
            } else {
                let condition = Condition { limit, lasting };
                ended.push(Notice::new(rule, Change::Resolved, condition, None, (since, now.time)));
            }
        }
        ended
    }

    /// How every rule stands that is on.
    #[must_use]
    pub fn states(&self) -> Vec<AlertState> {
        self.watched.iter().map(Watched::state).collect()
    }
}

impl Watched {
    fn observe(&mut self, now: Moment, value: Option<f64>, interval: Duration) -> Option<Notice> {
        self.value = value;
        let passed = value.is_some_and(|value| self.rule.is_passed(value, self.condition.limit));
        let (standing, change) = match (&self.standing, passed) {
            (Standing::Quiet | Standing::Pending(_), false) => (Standing::Quiet, None),
            (Standing::Quiet, true) if self.condition.lasting.is_zero() => fire(now),
            (Standing::Quiet, true) => (Standing::Pending(now), None),
            (Standing::Pending(since), true) if now.elapsed.saturating_sub(since.elapsed) >= self.condition.lasting => {
                fire(*since)
            }
            (Standing::Pending(since), true) => (Standing::Pending(*since), None),
            (Standing::Firing(since, _), true) => (Standing::Firing(*since, None), None),
            (Standing::Firing(since, good), false) => {
                let good = good.unwrap_or(now.elapsed);
                if now.elapsed.saturating_sub(good) >= self.must_be_good_for(interval) {
                    (Standing::Quiet, Some((Change::Resolved, *since)))
                } else {
                    (Standing::Firing(*since, Some(good)), None)
                }
            }
        };
        self.standing = standing;
        let (change, since) = change?;
        Some(Notice::new(self.rule, change, self.condition, value, (since.time, now.time)))
    }

    /// What is true or false does not swing about a limit.
    fn must_be_good_for(&self, interval: Duration) -> Duration {
        if self.rule == Rule::BackupFailed {
            Duration::ZERO
        } else {
            self.condition.lasting.max(interval * (GOOD_SAMPLES - 1))
        }
    }

    fn state(&self) -> AlertState {
        let (state, since) = match &self.standing {
            Standing::Quiet => ("ok", None),
            Standing::Pending(since) => ("pending", Some(since.time)),
            Standing::Firing(since, _) => ("firing", Some(since.time)),
        };
        AlertState {
            rule: self.rule,
            state,
            since,
            value: self.value.map(rule::rounded),
            limit: self.condition.limit,
            unit: self.rule.unit(),
            lasting_ms: u64::try_from(self.condition.lasting.as_millis()).unwrap_or(u64::MAX),
            about: self.rule.about(self.condition),
        }
    }
}

fn fire(since: Moment) -> (Standing, Option<(Change, Moment)>) {
    (Standing::Firing(since, None), Some((Change::Firing, since)))
}

#[cfg(test)]
mod tests;
