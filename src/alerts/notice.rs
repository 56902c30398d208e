//! Word of a change: what is logged, shown and posted.

use serde::Serialize;

use super::Rule;
use crate::{clock::Timestamp, config::Condition};

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It fires.
    Firing,
    /// It is over.
    Resolved,
}

impl Change {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// A change of an alert.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Notice {
    /// Names this change, in every attempt to deliver it.
    pub id: String,
    /// Which alert.
    pub rule: Rule,
    /// What has changed.
    pub state: Change,
    /// A sentence for a person.
    pub summary: String,
    /// The value, in `unit`; null where there is none.
    pub value: Option<f64>,
    /// The limit, in `unit`.
    pub limit: f64,
    /// `percent`, `milliseconds` or `failed`.
    pub unit: &'static str,
    /// Since when the limit is, or was, passed.
    #[serde(serialize_with = "crate::clock::rfc3339")]
    pub since: Timestamp,
    /// When it changed.
    #[serde(serialize_with = "crate::clock::rfc3339")]
    pub at: Timestamp,
}

impl Notice {
    pub(super) fn new(
        rule: Rule,
        state: Change,
        condition: Condition,
        value: Option<f64>,
        (since, at): (Timestamp, Timestamp),
    ) -> Self {
        Self {
            id: format!("{}_{}_{}", stem(rule), at.0, state.name()),
            rule,
            state,
            summary: rule.says(value, condition, state == Change::Firing),
            value: value.map(super::rule::rounded),
            limit: condition.limit,
            unit: rule.unit(),
            since,
            at,
        }
    }
    /// What the ids of all words about this rule begin with, and those of no other: what follows is a number.
    #[must_use]
    pub fn stem(&self) -> String {
        stem(self.rule)
    }
}

fn stem(rule: Rule) -> String {
    format!("alert_{}", rule.key())
}
