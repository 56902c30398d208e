//! What is counted of turns and of completions.

use crate::metrics::{Histogram, Labelled};

/// How a turn can end: the words of `outcome`.
const OUTCOMES: [&str; 7] = ["answered", "stopped", "failed", "too_slow", "interrupted", "deleted", "not_stored"];

/// How a completion can end that is not stored: the words of `outcome`.
const COMPLETIONS: [&str; 5] = ["answered", "stopped", "failed", "too_slow", "refused"];

/// What was counted since the start.
#[derive(Debug)]
pub struct ChatFigures {
    /// Turns by outcome, one for each time that a message was answered: `failed` and `too_slow` are the model's,
    /// `interrupted` were given up after crashes, `deleted` went while they ran, `not_stored` got their outcome from the
    /// next start.
    pub turns: Labelled,
    /// From the message's being stored to the first text of its reply; the wait for the session's earlier turns is in it.
    pub first_token: Histogram,
    /// From the message's being stored to the whole reply's, for turns that were answered.
    pub reply: Histogram,
    /// Completions that are not stored, by outcome: `stopped` are those whose client went away, `refused` those that the
    /// model's server does not take.
    pub completions: Labelled,
    /// From a completion's slot to the first of its text.
    pub completion_first: Histogram,
    /// From a completion's slot to all of its text, for those that were answered.
    pub completion: Histogram,
}

impl Default for ChatFigures {
    fn default() -> Self {
        Self {
            turns: Labelled::new(&OUTCOMES),
            first_token: Histogram::default(),
            reply: Histogram::default(),
            completions: Labelled::new(&COMPLETIONS),
            completion_first: Histogram::default(),
            completion: Histogram::default(),
        }
    }
}
