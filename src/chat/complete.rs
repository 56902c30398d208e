//! Completions: replies to what a client brings along, of which nothing is stored and nothing goes to the disk.
//!
//! They are admitted as turns are. The model's text is taken as it comes, by a task of its own, so that a client that
//! reads slowly does not make a server look slow; a client that goes away ends it.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Chat, ChatError, Inner, admit::Charge};
use crate::{
    admission::slots::{Measure, Slot},
    auth::Identity,
    completions::Role,
    id::UserId,
    metrics::Histogram,
    reply::{self, Finish, Hearer, Instructions, Line, Prompt, Sampling, Usage},
};

/// What a reply is asked for with: passed through as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ask {
    /// The conversation, oldest first.
    pub lines: Vec<Said>,
    /// How the words are chosen.
    pub sampling: Sampling,
}

/// A line that a client brings along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Who said it.
    pub role: Role,
    /// What.
    pub text: String,
    /// By which name.
    pub name: Option<String>,
}

/// How a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completed {
    /// Why.
    pub finish: Finish,
    /// The tokens that it took.
    pub usage: Usage,
}

/// What comes next of a completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Text: all that came since the last step, and some at least.
    Text(String),
    /// The end: nothing comes behind it.
    End(Completed),
}

/// A completion that is being made. Dropping it stops the model.
#[derive(Debug)]
pub struct Completing {
    shared: Arc<Shared>,
    _stop: DropGuard,
}

/// Between the model's task and whoever listens.
#[derive(Debug, Default)]
struct Shared {
    /// Guards what is there and was not taken.
    state: Mutex<State>,
    /// Told of every change.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Not taken yet.
    text: String,
    /// Bytes of all text.
    length: usize,
    /// The model that makes it, once one does.
    made_by: Option<String>,
    end: Option<Result<Completed, ChatError>>,
}

impl Chat {
    /// Begins a reply to `ask`, of which nothing is stored. It counts as a message, and takes a slot.
    ///
    /// Dropping the future changes nothing: no model was asked.
    ///
    /// # Errors
    /// `OverLimit`, `Overloaded`, `Stopping`.
    pub async fn complete(&self, caller: &Identity, ask: Ask) -> Result<Completing, ChatError> {
        self.goes_on()?;
        let inner = &self.inner;
        let charge = Charge::new(&inner.parts.rates, caller)?;
        let slot = inner.parts.slots.acquire(caller.id()).await?;
        charge.keep();
        let (shared, stop) = (Arc::new(Shared::default()), CancellationToken::new());
        let making = Making { inner: Arc::clone(inner), asker: caller.id(), shared: Arc::clone(&shared), _slot: slot };
        inner.tasks.spawn(making.run(ask, stop.clone()));
        Ok(Completing { shared, _stop: stop.drop_guard() })
    }
}

impl Completing {
    /// Waits for what comes next. Dropping the future loses nothing.
    ///
    /// # Errors
    /// `NoReply` where the model fails, also behind some of its text.
    pub async fn next(&mut self) -> Result<Step, ChatError> {
        loop {
            let changed = self.shared.changed.notified();
            if let Some(step) = self.shared.take() {
                return step;
            }
            changed.await;
        }
    }

    /// The model that made the text up to here; nothing where there is none yet.
    #[must_use]
    pub fn made_by(&self) -> Option<String> {
        self.shared.lock().made_by.clone()
    }

    /// Waits for all of the text.
    ///
    /// # Errors
    /// As [`Completing::next`].
    pub async fn whole(&mut self) -> Result<(String, Completed), ChatError> {
        let mut whole = String::new();
        loop {
            match self.next().await? {
                Step::Text(text) if whole.is_empty() => whole = text,
                Step::Text(text) => whole.push_str(&text),
                Step::End(completed) => return Ok((whole, completed)),
            }
        }
    }
}

impl Shared {
    /// The next step, where there is one: text before the end.
    fn take(&self) -> Option<Result<Step, ChatError>> {
        let mut state = self.lock();
        if !state.text.is_empty() {
            return Some(Ok(Step::Text(std::mem::take(&mut state.text))));
        }
        Some(state.end.clone()?.map(Step::End))
    }

    /// Adds text; `Break` where the reply is as long as one may be.
    fn push(&self, piece: &str) -> ControlFlow<()> {
        let mut state = self.lock();
        let room = reply::REPLY_BYTES_MAX.saturating_sub(state.length);
        let piece_in = &piece[..piece.floor_char_boundary(room)];
        state.text.push_str(piece_in);
        state.length += piece_in.len();
        drop(state);
        self.changed.notify_one();
        if piece.len() > room { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Ends it, where nothing has.
    fn end(&self, end: impl FnOnce() -> Result<Completed, ChatError>) {
        self.lock().end.get_or_insert_with(end);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock but for the end's words, which are made in one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The model's side of a completion. However it ends, whoever listens hears of it.
struct Making {
    inner: Arc<Inner>,
    asker: UserId,
    shared: Arc<Shared>,
    _slot: Slot,
}

impl Making {
    async fn run(self, ask: Ask, stop: CancellationToken) {
        let begun = Instant::now();
        let (outcome, end) = tokio::select! {
            biased;
            () = stop.cancelled() => ("stopped", None),
            made = self.made(&ask, begun) => {
                let outcome = match &made {
                    Ok(_) => "answered",
                    Err(ChatError::NoReply { refused: Some(_), .. }) => "refused",
                    Err(ChatError::NoReply { too_slow: true, .. }) => "too_slow",
                    Err(_) => "failed",
                };
                (outcome, Some(made))
            }
        };
        let figures = &self.inner.figures;
        figures.completions.count(outcome);
        if outcome == "answered" {
            figures.completion.record(begun.elapsed());
        }
        if let Some(end) = end {
            self.shared.end(|| end);
        }
    }

    async fn made(&self, ask: &Ask, begun: Instant) -> Result<Completed, ChatError> {
        let inner = &self.inner;
        let lines: Vec<_> = ask
            .lines
            .iter()
            .map(|said| Line { role: said.role, text: &said.text, name: said.name.as_deref() })
            .collect();
        let prompt =
            Prompt { instructions: Instructions::None, lines: &lines, sampling: &ask.sampling, asker: self.asker };
        let first = Some((&inner.figures.completion_first, begun));
        let measure = Some(inner.parts.slots.measure());
        let mut passing = Passing { shared: &self.shared, measure, first, completed: None };
        match inner.parts.backend.reply(prompt, &mut passing).await {
            Ok(_) => passing.completed.ok_or_else(no_reply),
            // Programs are told why there is not a word.
            Err(error) if error.is_wordless() => passing.completed.ok_or_else(no_reply),
            Err(error) => {
                tracing::warn!(cause = error.cause, "the backend made no completion");
                let (too_slow, refused) = (error.is_too_slow(), error.refused());
                let detail = error.detail;
                Err(ChatError::NoReply { detail, too_slow, refused })
            }
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.shared.end(|| Err(no_reply())); // Said only where nothing was: it panicked, or nobody listens.
    }
}

fn no_reply() -> ChatError {
    let detail = "The reply could not be made; please try again.".to_owned();
    ChatError::NoReply { detail, too_slow: false, refused: None }
}

/// Passes a completion on.
struct Passing<'m> {
    shared: &'m Shared,
    measure: Option<Measure>,
    /// Where to count the first text, and since when it is waited for; nothing once it is there.
    first: Option<(&'m Histogram, Instant)>,
    completed: Option<Completed>,
}

impl Hearer for Passing<'_> {
    fn made_by(&mut self, model: &str) {
        self.shared.lock().made_by = Some(model.to_owned());
    }

    fn model(&mut self, text: &str) -> ControlFlow<()> {
        if let Some(measure) = self.measure.take() {
            measure.first_token();
        }
        self.aside(text)
    }

    fn aside(&mut self, text: &str) -> ControlFlow<()> {
        if let Some((waits, begun)) = self.first.take() {
            waits.record(begun.elapsed());
        }
        self.shared.push(text)
    }

    fn overloaded(&mut self) {
        if let Some(measure) = self.measure.take() {
            measure.overloaded();
        }
    }

    fn finished(&mut self, finish: Finish, usage: Usage) {
        self.completed = Some(Completed { finish, usage });
    }
}
