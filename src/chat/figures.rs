//! What is counted of turns.

use crate::metrics::{Histogram, Labelled};

/// How a turn can end: the words of `outcome`.
const OUTCOMES: [&str; 7] = ["answered", "stopped", "failed", "too_slow", "interrupted", "deleted", "not_stored"];

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
}

impl Default for ChatFigures {
    fn default() -> Self {
        Self { turns: Labelled::new(&OUTCOMES), first_token: Histogram::default(), reply: Histogram::default() }
    }
}
