//! How a reply ended and what it took: what its server says, or an estimate.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::{Hearer, openai::Said, tokens::Counter};

/// Tokens that a reply took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Of what it was made from.
    pub input: u64,
    /// Of itself.
    pub output: u64,
    /// Of what it was made from, those that its server had kept from before, where it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<u64>,
    /// Of itself, those that were thoughts, where its server says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoned: Option<u64>,
}

/// Why a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// All was said, or what was to end it.
    Stop,
    /// It may not be longer.
    Length,
    /// Its server let no more of it through.
    ContentFilter,
}

impl Finish {
    /// Of a server's word. Words that nobody else has are an end like any other.
    #[must_use]
    pub fn of(reason: &str) -> Self {
        match reason {
            "length" | "max_tokens" => Self::Length,
            "content_filter" => Self::ContentFilter,
            _ => Self::Stop,
        }
    }
}

/// Counts what it passes on.
pub(super) struct Counted<'h> {
    hearer: &'h mut dyn Hearer,
    tokens: Counter,
    is_enough: bool,
}

impl<'h> Counted<'h> {
    pub(super) fn new(hearer: &'h mut dyn Hearer) -> Self {
        Self { hearer, tokens: Counter::default(), is_enough: false }
    }

    /// Tells how the reply ended; `input` estimates what it was made from, where nobody counted.
    pub(super) fn ended(self, said: Said, input: impl FnOnce() -> u64) {
        let finish = if self.is_enough { Finish::Length } else { said.finish.unwrap_or(Finish::Stop) };
        let output = self.tokens.tokens() as u64;
        let usage = said.usage.unwrap_or_else(|| Usage { input: input(), output, ..Usage::default() });
        self.hearer.finished(finish, usage);
    }

    fn passed(&mut self, text: &str, go_on: ControlFlow<()>) -> ControlFlow<()> {
        self.tokens.push(text);
        self.is_enough |= go_on.is_break();
        go_on
    }
}

impl Hearer for Counted<'_> {
    fn made_by(&mut self, model: &str) {
        self.hearer.made_by(model);
    }

    fn model(&mut self, text: &str) -> ControlFlow<()> {
        let go_on = self.hearer.model(text);
        self.passed(text, go_on)
    }

    fn aside(&mut self, text: &str) -> ControlFlow<()> {
        let go_on = self.hearer.aside(text);
        self.passed(text, go_on)
    }

    fn overloaded(&mut self) {
        self.hearer.overloaded();
    }

    fn finished(&mut self, finish: Finish, usage: Usage) {
        self.hearer.finished(finish, usage);
    }
}
