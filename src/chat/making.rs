//! The making of a reply: what it is made from, the backend's text as it comes, and how it ended.

use std::{
    future::poll_fn,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Instant,
};

use super::{Inner, context, line::Place, live::LiveReply, recording::Recording};
use crate::{
    admission::slots::Measure,
    completions::Role,
    id::Seq,
    metrics::Histogram,
    reply::{Budget, Extent, Finish, Hearer, Instructions, Line, Prompt, Refused, ReplyError, Sampling, Usage, tokens},
    store::{Ending, OpenTurn},
};

/// What a model is told that is to go on with a reply, behind what there is of it.
const GO_ON: &str = "Your answer was cut off here. Go on exactly where it ends, and repeat nothing of it.";

/// What is told where nothing may be left out and there is no room any more.
const NO_ROOM: &str = "The conversation has become longer than the model's context, and nothing of it was to be left out; \
                       please begin a new one, or allow that (\"truncation\": \"auto\").";

/// What making a reply came to.
pub(super) struct Made {
    /// How the turn ends.
    pub(super) ending: Ending,
    /// Why the reply ended and what it took, where the backend came to its end, be it without a word.
    pub(super) end: Option<(Finish, Usage)>,
    /// What is wrong with what was asked, where there is no reply for that.
    pub(super) refused: Option<Refused>,
}

impl Made {
    /// An end of which the backend said nothing.
    pub(super) fn of(ending: Ending) -> Self {
        Self { ending, end: None, refused: None }
    }
}

/// `work`, with a panic in it turned into a failure: a stored message gets its outcome also then.
pub(super) async fn caught(work: impl Future<Output = Made>) -> Made {
    let mut work = pin!(work);
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)))
            .unwrap_or_else(|_| Poll::Ready(failed("The reply could not be made; please try again.")))
    })
    .await
}

/// Waits for the turn's place, and has the backend make the reply. Dropping the future ends the backend's work.
pub(super) async fn made(inner: &Inner, place: &mut Place, reply: &Arc<LiveReply>, begun: Instant) -> Made {
    let (slots, owner, follows) = (&inner.parts.slots, reply.owner(), place.is_behind());
    place.wait().await;
    if follows && slots.are_wanted() {
        place.give_up_slot();
    }
    if place.needs_slot() {
        // A line that begins without one begins with a turn that a crash left open, which comes before all others.
        let slot = if follows { slots.acquire_again(owner).await } else { slots.acquire_first(owner).await };
        place.provide(slot);
    }
    let turn = reply.turn;
    let asked = reply.recording.as_ref().map(Recording::asked);
    let own = asked.and_then(|asked| asked.instructions.as_deref());
    let context = match context::of(inner, turn, own).await {
        Ok(context) if context.messages.last().is_some_and(|last| last.seq == turn.seq) => context,
        Ok(_) => return failed("the message was deleted"), // Which is what its turn will say.
        Err(error) => {
            tracing::warn!(session = %turn.session, seq = %turn.seq, %error, "the conversation can't be read");
            return failed("The conversation could not be read; please try again.");
        }
    };
    if let Some(asked) = asked.filter(|asked| asked.whole) {
        let through = OpenTurn { session: turn.session, seq: Seq(turn.seq.0.saturating_sub(1)) };
        let new: Vec<_> = context.messages.last().map(|last| last.content.as_str()).into_iter().collect();
        // There was room when it was stored. What was answered since then may have taken it.
        match context::has_room(inner, Some(through), &new, asked.instructions.as_deref()).await {
            Ok(true) => {}
            Ok(false) => return failed(NO_ROOM),
            Err(error) => {
                tracing::warn!(session = %turn.session, seq = %turn.seq, %error, "the conversation can't be read");
                return failed("The conversation could not be read; please try again.");
            }
        }
    }
    let begun_with = reply.text();
    let mut lines = context.lines();
    let goes_on = !begun_with.is_empty() && matches!(inner.parts.backend.budget(), Budget::Tokens(_));
    if goes_on {
        lines.push(Line { role: Role::Assistant, text: &begun_with, name: None });
        lines.push(Line { role: Role::User, text: GO_ON, name: None });
    }
    let instructions = match context.system.as_deref() {
        None => Instructions::Usual,
        Some("") => Instructions::None, // A program that brings all of them along says that there are no others.
        Some(own) => Instructions::Own(own),
    };
    let sampling = asked.map_or(Sampling::USUAL, |asked| &asked.sampling);
    let mut hearer = Measured {
        reply,
        measure: Some(inner.parts.slots.measure()),
        first: Some((&inner.figures.first_token, begun)),
        repeats: Repeats { of: &begun_with, held: String::new() },
        tokens_before: if goes_on { tokens::at_most(&begun_with) as u64 } else { 0 },
        end: None,
    };
    let prompt = Prompt { instructions, lines: &lines, sampling, asker: reply.owner() };
    match inner.parts.backend.reply(prompt, &mut hearer).await {
        Ok(extent) => {
            let ending = Ending::Reply { content: reply.seal(), stopped: extent == Extent::Part };
            Made { ending, end: hearer.end, refused: None }
        }
        Err(error) => {
            let (too_slow, wordless, refused) = (error.is_too_slow(), error.is_wordless(), error.refused());
            let ReplyError { detail, cause, .. } = error;
            if !wordless {
                tracing::warn!(session = %turn.session, seq = %turn.seq, cause, "the backend made no reply");
            }
            Made { ending: Ending::Failed { detail, too_slow }, end: hearer.end, refused }
        }
    }
}

/// Takes out of a reply that goes on what it has already, where the backend says that again.
struct Repeats<'t> {
    /// What there is of the reply; empty once that is settled.
    of: &'t str,
    /// What came so far and may be a repetition.
    held: String,
}

impl Repeats<'_> {
    /// What of `text` is new.
    fn new_in(&mut self, text: &str) -> Option<String> {
        if self.of.is_empty() {
            return None;
        }
        self.held.push_str(text);
        if self.of.starts_with(&self.held) && self.of.len() > self.held.len() {
            return Some(String::new());
        }
        let held = std::mem::take(&mut self.held);
        let of = std::mem::take(&mut self.of);
        Some(held.strip_prefix(of).map(str::to_owned).unwrap_or(held))
    }
}

/// A reply that grows, and what its first token says of how much the backend bears.
struct Measured<'r> {
    reply: &'r LiveReply,
    measure: Option<Measure>,
    /// Where to count the first text, and since when it is waited for; nothing once it is there.
    first: Option<(&'r Histogram, Instant)>,
    repeats: Repeats<'r>,
    /// Of what an earlier process was told, and nobody counted.
    tokens_before: u64,
    end: Option<(Finish, Usage)>,
}

impl Measured<'_> {
    fn push(&mut self, text: &str) -> ControlFlow<()> {
        if let Some((waits, begun)) = self.first.take() {
            waits.record(begun.elapsed());
        }
        match self.repeats.new_in(text) {
            None => self.reply.push(text),
            Some(new) if new.is_empty() => ControlFlow::Continue(()),
            Some(new) => self.reply.push(&new),
        }
    }
}

impl Hearer for Measured<'_> {
    fn made_by(&mut self, model: &str) {
        if let Some(recording) = &self.reply.recording {
            recording.made_by(model);
        }
    }

    fn model(&mut self, text: &str) -> ControlFlow<()> {
        if let Some(measure) = self.measure.take() {
            measure.first_token();
        }
        self.push(text)
    }

    fn aside(&mut self, text: &str) -> ControlFlow<()> {
        self.push(text)
    }

    fn overloaded(&mut self) {
        if let Some(measure) = self.measure.take() {
            measure.overloaded();
        }
    }

    fn finished(&mut self, finish: Finish, usage: Usage) {
        let output = usage.output.saturating_add(self.tokens_before);
        self.end = Some((finish, Usage { output, ..usage }));
    }
}

fn failed(detail: &str) -> Made {
    Made::of(Ending::Failed { detail: detail.to_owned(), too_slow: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reply that pieces make behind `begun`.
    fn gone_on(begun: &str, pieces: &[&str]) -> String {
        let mut repeats = Repeats { of: begun, held: String::new() };
        let new = pieces.iter().map(|piece| repeats.new_in(piece).unwrap_or_else(|| (*piece).to_owned()));
        begun.to_owned() + &new.collect::<String>()
    }

    #[test]
    fn a_reply_that_goes_on_repeats_nothing_and_loses_nothing() {
        assert_eq!(gone_on("", &["all ", "of it"]), "all of it");
        assert_eq!(gone_on("one two", &[" three", " four"]), "one two three four");
        assert_eq!(gone_on("one two", &["one", " ", "two", " three"]), "one two three");
        assert_eq!(gone_on("one two", &["one two three"]), "one two three");
        assert_eq!(gone_on("one two", &["on the other hand"]), "one twoon the other hand");
        assert_eq!(gone_on("one two", &["one", " t"]), "one two", "it stopped while it said that again");
        assert_eq!(gone_on("আমি ভা", &["আমি ", "ভালো"]), "আমি ভালো");
    }
}
