//! A turn, from the message to its outcome, and again where it is to be answered anew.
//!
//! Admission comes before anything is stored. Then a task of the server's own appends the message, makes the reply and
//! appends that; the request only listens. The turns of one session are answered in the order of their sequence.

use std::{
    future::poll_fn,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Instant,
};

use tokio::sync::oneshot;

use super::{
    AGAIN, Answer, ChatError, ChatFigures, Inner, OwnedSession, Target,
    admit::admitted,
    context,
    line::Place,
    live::{LiveReply, Try},
    repeat::{self, KeyGuard},
};
use crate::{
    admission::slots::Measure,
    auth::Identity,
    id::{Seq, SessionId, UserId},
    metrics::Histogram,
    reply::{Extent, Finish, Hearer, Instructions, Prompt, ReplyError, Sampling, Usage},
    store::{
        Appended, Beside, Ending, Event, Message, NewMessage, OpenTurn, Outcome, PendingAppend, Resumed, Status,
        StoreError,
    },
    text::MessageText,
};

/// What is told of a turn whose message went while it ran.
pub(super) const DELETED: &str = "The message was deleted while it was being answered.";

/// A turn whose message is in the log.
pub(super) struct Started {
    /// The turn.
    pub(super) turn: OpenTurn,
    /// True where an idempotency key was known: the message is that of the first time.
    pub(super) repeated: bool,
    outcome: Option<oneshot::Receiver<Result<Answer, ChatError>>>,
}

impl Started {
    /// Waits for the outcome. Dropping the future changes nothing.
    pub(super) async fn outcome(self, inner: &Inner) -> Result<Answer, ChatError> {
        match self.outcome {
            Some(told) => told.await.unwrap_or(Err(ChatError::Store(StoreError::Unknown))),
            None => outcome_of(inner, self.turn).await,
        }
    }
}

/// Stores a message, and gives its turn once that is durable; see [`super::Chat::send`].
pub(super) async fn send(
    inner: &Arc<Inner>,
    caller: &Identity,
    target: Target,
    content: MessageText,
    key: Option<&str>,
) -> Result<Started, ChatError> {
    let parts = &inner.parts;
    let user = caller.id();
    let window = parts.idempotency_window;
    let key = key.map(|key| repeat::send_key(key, &target, content.as_str(), parts.clock.now(), window));
    let guard = match &key {
        Some(key) => Some(inner.keys.lock(user, key).await),
        None => None,
    };
    if let Some(key) = key
        && let Some(known) = parts.store.sent_before(user, key).await?
    {
        drop(guard);
        return Ok(repetition(&known));
    }
    let (session, create) = match target {
        Target::Owned(session) => (session.id(), false),
        Target::Id(id) => match parts.store.owner(id).await? {
            Some(owner) if owner != user => return Err(ChatError::NotOwner(id)),
            Some(_) | None => (id, true),
        },
        Target::New => (SessionId::new(), true),
    };
    let mut message =
        Some(NewMessage { user, session, create, content: content.into_string(), key, beside: Beside::default() });
    let append = || message.take().map_or(Err(StoreError::Unknown), |message| parts.store.append(message));
    let (place, appended) = admitted(inner, caller, session, append).await?;
    let appended = (Arc::clone(inner), appended);
    let (stored, is_stored) = oneshot::channel();
    let (tell, told) = oneshot::channel();
    inner.tasks.spawn(Task { place, guard, owner: user }.run(appended, stored, tell));
    let known = is_stored.await.unwrap_or(Err(StoreError::Unknown))?;
    if known.repeated {
        return Ok(repetition(&known)); // The key was used before this process began to look.
    }
    Ok(Started { turn: turn_of(&known), repeated: false, outcome: Some(told) })
}

fn turn_of(known: &Appended) -> OpenTurn {
    OpenTurn { session: known.session, seq: known.message.seq }
}

fn repetition(known: &Appended) -> Started {
    Started { turn: turn_of(known), repeated: true, outcome: None }
}

/// Answers a turn anew that has its outcome; see [`super::Chat::retry`].
pub(super) async fn retry(
    inner: &Arc<Inner>,
    caller: &Identity,
    session: OwnedSession,
    seq: Seq,
) -> Result<Started, ChatError> {
    let turn = OpenTurn { session: session.id(), seq };
    while let Some(reply) = inner.live.get(turn) {
        if !reply.is_sealed() {
            return Err(ChatError::BeingAnswered);
        }
        // Its outcome is on the way to the log, or there already for all to see.
        reply.outcome().await;
    }
    let stored = inner.parts.store.turn(turn.session, seq).await?;
    let (message, before) = stored.ok_or(ChatError::NoSuchMessage)?;
    if matches!(before, Outcome::Pending) {
        return Err(ChatError::BeingAnswered);
    }
    // Begun before it is let in, so that of two retries one is told at once, and takes no place.
    let begun = inner.live.begin(&inner.parts.store, turn, caller.id(), Try::Next);
    let running = begun.ok_or(ChatError::BeingAnswered)?;
    let place = match admitted(inner, caller, turn.session, || Ok(())).await {
        Ok((place, ())) => place,
        Err(error) => {
            running.end(Err(error.clone()));
            return Err(error);
        }
    };
    let (tell, told) = oneshot::channel();
    let inner = Arc::clone(inner);
    let tasks = inner.tasks.clone();
    tasks.spawn(async move {
        let mut place = place;
        let heard = answer(&inner, &mut place, running.reply(), message, Record::Again).await;
        running.end(heard.clone());
        let _ = tell.send(heard); // Whoever asked may have gone.
        place.wait().await; // One that was stopped while it waited must not let the next one overtake those before it.
    });
    Ok(Started { turn, repeated: false, outcome: Some(told) })
}

/// Ends the reply to a message with what there is of it; see [`super::Chat::stop`].
pub(super) async fn stop(inner: &Inner, session: OwnedSession, seq: Seq) -> Result<(), ChatError> {
    let turn = OpenTurn { session: session.id(), seq };
    loop {
        if let Some(reply) = inner.live.get(turn) {
            reply.stop.cancel();
            return match reply.outcome().await {
                Some(Err(ChatError::Store(error))) => Err(ChatError::Store(error)),
                Some(Ok(_) | Err(_)) | None => Ok(()),
            };
        }
        match inner.parts.store.turn(turn.session, seq).await?.ok_or(ChatError::NoSuchMessage)?.1 {
            // Its task has just begun or just ended: look again.
            Outcome::Pending if inner.parts.store.health().writes() => tokio::time::sleep(AGAIN).await,
            Outcome::Pending => return Err(ChatError::Store(StoreError::Unknown)),
            Outcome::Reply(_) | Outcome::Failed { .. } | Outcome::Interrupted => return Ok(()),
        }
    }
}

/// What a turn holds while it runs.
struct Task {
    place: Place,
    guard: Option<KeyGuard>,
    owner: UserId,
}

impl Task {
    async fn run(
        mut self,
        appended: (Arc<Inner>, PendingAppend),
        stored: oneshot::Sender<Result<Appended, StoreError>>,
        tell: oneshot::Sender<Result<Answer, ChatError>>,
    ) {
        let (inner, appended) = appended;
        match appended.await {
            Ok(known) if !known.repeated => {
                let (turn, message) = (turn_of(&known), known.message.clone());
                // A turn that was just stored can't be answered already.
                let running = inner.live.begin(&inner.parts.store, turn, self.owner, Try::Number(1));
                drop(self.guard.take());
                let _ = stored.send(Ok(known)); // Whoever asked may have gone.
                if let Some(running) = running {
                    let heard = answer(&inner, &mut self.place, running.reply(), message, Record::First).await;
                    running.end(heard.clone());
                    let _ = tell.send(heard);
                }
            }
            known_or_failed => {
                drop(self.guard.take());
                let _ = stored.send(known_or_failed);
            }
        }
        self.place.wait().await; // The next turn of the session must not overtake the one before this.
    }
}

/// Finishes a turn that a crash left open; see [`super::recover`].
pub(super) async fn finish(inner: Arc<Inner>, mut place: Place, resumed: Resumed) {
    let Resumed { turn, owner, attempt } = resumed;
    let running = inner.live.begin(&inner.parts.store, turn, owner, Try::Number(attempt.unwrap_or(1)));
    let Some(running) = running else { return place.wait().await };
    let stored = loop {
        match inner.parts.store.turn(turn.session, turn.seq).await {
            Err(StoreError::Busy) => tokio::time::sleep(AGAIN).await, // A stored message must get its outcome.
            stored => break stored,
        }
    };
    let heard = match stored {
        Ok(Some((message, Outcome::Pending))) if attempt.is_some() => {
            answer(&inner, &mut place, running.reply(), message, Record::First).await
        }
        Ok(Some((message, Outcome::Pending))) => {
            running.reply().seal();
            inner.figures.turns.count("interrupted");
            conclude(&inner, turn, Ending::Interrupted, Record::First)
                .await
                .map_err(ChatError::from)
                .and_then(|_| Err(interrupted(turn, &message)))
        }
        // It was cleared or deleted, and whoever asks now is told so.
        Ok(Some(_) | None) => Err(ChatError::DeletedMeanwhile),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = &heard {
        tracing::warn!(session = %turn.session, seq = %turn.seq, %error, "an open turn was not answered");
    }
    running.end(heard);
    place.wait().await; // The session's next turn must not overtake the one before this.
}

/// Whether a turn gets its first outcome or another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Record {
    First,
    Again,
}

/// Makes the reply and appends it: the turn is open before, or has an outcome that stays until the new one is there.
async fn answer(
    inner: &Arc<Inner>,
    place: &mut Place,
    reply: &Arc<LiveReply>,
    mut message: Message,
    record: Record,
) -> Result<Answer, ChatError> {
    let (turn, figures, begun) = (reply.turn, &inner.figures, Instant::now());
    let ending = tokio::select! {
        biased;
        () = reply.stop.cancelled() => Ending::Reply { content: reply.seal(), stopped: true },
        ending = caught(made(inner, place, reply, begun)) => ending,
    };
    reply.seal(); // From here on only the log speaks.
    let is_nothing = matches!(&ending, Ending::Reply { content, stopped: true } if content.is_empty());
    if is_nothing && record == Record::Again {
        figures.turns.count("stopped");
        announce_kept(inner, reply, "The new reply was stopped before its first word, so nothing has changed.").await;
        return of_log(inner, turn).await?.unwrap_or(Err(ChatError::DeletedMeanwhile));
    }
    let failure = match &ending {
        Ending::Failed { detail, too_slow } => Some((detail.clone(), *too_slow)),
        Ending::Reply { .. } | Ending::Interrupted => None,
    };
    let stored = conclude(inner, turn, ending, record).await;
    match &stored {
        Ok(_) => {}
        Err(StoreError::TurnGone) => {
            figures.turns.count("deleted");
            announce_gone(inner, reply);
        }
        Err(_) => figures.turns.count("not_stored"),
    }
    match (stored?, failure) {
        (Some(reply), _) => {
            count_reply(figures, reply.status, begun);
            message.status = if reply.status == Status::Stopped { Status::Stopped } else { Status::Answered };
            Ok(Answer { session: turn.session, message, reply, repeated: false })
        }
        (None, failure) => {
            let (detail, too_slow) = failure.unwrap_or_default();
            figures.turns.count(if too_slow { "too_slow" } else { "failed" });
            if record == Record::Again {
                announce_kept(inner, reply, &detail).await;
            }
            Err(ChatError::Failed { session: turn.session, message: message.id, detail, too_slow })
        }
    }
}

fn count_reply(figures: &ChatFigures, status: Status, begun: Instant) {
    if status == Status::Stopped {
        return figures.turns.count("stopped");
    }
    figures.turns.count("answered");
    figures.reply.record(begun.elapsed());
}

/// `work`, with a panic in it turned into a failure: a stored message gets its outcome also then.
async fn caught(work: impl Future<Output = Ending>) -> Ending {
    let mut work = pin!(work);
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)))
            .unwrap_or_else(|_| Poll::Ready(failed("The reply could not be made; please try again.")))
    })
    .await
}

/// Waits for the turn's place, and has the backend make the reply. Dropping the future ends the backend's work.
async fn made(inner: &Inner, place: &mut Place, reply: &Arc<LiveReply>, begun: Instant) -> Ending {
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
    let context = match context::of(inner, turn).await {
        Ok(context) if context.messages.last().is_some_and(|last| last.seq == turn.seq) => context,
        Ok(_) => return failed("the message was deleted"), // Which is what its turn will say.
        Err(error) => {
            tracing::warn!(session = %turn.session, seq = %turn.seq, %error, "the conversation can't be read");
            return failed("The conversation could not be read; please try again.");
        }
    };
    let first = Some((&inner.figures.first_token, begun));
    let mut hearer = Measured { reply, measure: Some(inner.parts.slots.measure()), first };
    let lines = context.lines();
    let instructions = context.system.as_deref().map_or(Instructions::Usual, Instructions::Own);
    let prompt = Prompt { instructions, lines: &lines, sampling: Sampling::USUAL };
    match inner.parts.backend.reply(prompt, &mut hearer).await {
        Ok(extent) => Ending::Reply { content: reply.seal(), stopped: extent == Extent::Part },
        Err(ReplyError { detail, too_slow, cause, .. }) => {
            tracing::warn!(session = %turn.session, seq = %turn.seq, cause, "the backend made no reply");
            Ending::Failed { detail, too_slow }
        }
    }
}

/// A reply that grows, and what its first token says of how much the backend bears.
struct Measured<'r> {
    reply: &'r LiveReply,
    measure: Option<Measure>,
    /// Where to count the first text, and since when it is waited for; nothing once it is there.
    first: Option<(&'r Histogram, Instant)>,
}

impl Measured<'_> {
    fn push(&mut self, text: &str) -> ControlFlow<()> {
        if let Some((waits, begun)) = self.first.take() {
            waits.record(begun.elapsed());
        }
        self.reply.push(text)
    }
}

impl Hearer for Measured<'_> {
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

    fn finished(&mut self, _: Finish, _: Usage) {} // A turn says nothing of it.
}

/// Tells who follows that an answer anew has failed, where the log does not: the outcome that there was has stayed.
async fn announce_kept(inner: &Inner, reply: &LiveReply, detail: &str) {
    let turn = reply.turn;
    if let Ok(Some((message, Outcome::Reply(_)))) = inner.parts.store.turn(turn.session, turn.seq).await {
        let ended = Event::Ended {
            session: turn.session,
            reply_to: turn.seq,
            seq: None,
            status: message.status,
            detail: Some(detail.to_owned()),
        };
        inner.parts.store.announce(reply.owner(), ended);
    }
}

/// Tells who follows that there will be no reply, because the message was deleted; nothing of that is in the log.
fn announce_gone(inner: &Inner, reply: &LiveReply) {
    let OpenTurn { session, seq: reply_to } = reply.turn;
    let detail = Some(DELETED.to_owned());
    let ended = Event::Ended { session, reply_to, seq: None, status: Status::Failed, detail };
    inner.parts.store.announce(reply.owner(), ended);
}

fn failed(detail: &str) -> Ending {
    Ending::Failed { detail: detail.to_owned(), too_slow: false }
}

/// Records the outcome. A stored message must get one, so a full queue and a failed write are waited for.
async fn conclude(
    inner: &Inner,
    turn: OpenTurn,
    ending: Ending,
    record: Record,
) -> Result<Option<Message>, StoreError> {
    let store = &inner.parts.store;
    loop {
        let done = match record {
            Record::First => store.conclude(turn, ending.clone(), None).await,
            Record::Again => store.retry(turn, ending.clone()).await,
        };
        match done {
            Err(StoreError::Busy | StoreError::DiskFull) => {}
            // The write was taken back while the store goes on.
            Err(StoreError::Unknown) if store.health().writes() => {}
            // The message is stored, so this is no refusal: the next start answers it.
            Err(StoreError::Ended) => return Err(StoreError::Unknown),
            done => return done,
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The outcome of a message that was sent before: from the turn, while it runs, else from the log.
async fn outcome_of(inner: &Inner, turn: OpenTurn) -> Result<Answer, ChatError> {
    loop {
        // A first answer that runs; one anew leaves the outcome as it is until it has a reply.
        if let Some(heard) = match inner.live.get(turn) {
            Some(reply) if reply.attempt == 1 => reply.outcome().await,
            Some(_) | None => None,
        } {
            return heard.map(|answer| Answer { repeated: true, ..answer });
        }
        if let Some(outcome) = of_log(inner, turn).await? {
            return outcome.map(|answer| Answer { repeated: true, ..answer });
        }
        // Its task has just begun or just ended, or answers it after a crash: look again.
        if !inner.parts.store.health().writes() {
            return Err(ChatError::Store(StoreError::Unknown));
        }
        match inner.live.get(turn) {
            Some(reply) => drop(reply.outcome().await),
            None => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// The outcome that the log has of a turn, if any.
async fn of_log(inner: &Inner, turn: OpenTurn) -> Result<Option<Result<Answer, ChatError>>, ChatError> {
    let stored = inner.parts.store.turn(turn.session, turn.seq).await?;
    let (message, outcome) = stored.ok_or(ChatError::DeletedMeanwhile)?;
    Ok(match outcome {
        Outcome::Reply(reply) => Some(Ok(Answer { session: turn.session, message, reply, repeated: false })),
        Outcome::Failed { detail, too_slow } => {
            Some(Err(ChatError::Failed { session: turn.session, message: message.id, detail, too_slow }))
        }
        Outcome::Interrupted => Some(Err(interrupted(turn, &message))),
        Outcome::Pending => None,
    })
}

fn interrupted(turn: OpenTurn, message: &Message) -> ChatError {
    ChatError::Failed {
        session: turn.session,
        message: message.id,
        detail: "The server stopped while it was answering; please try again.".to_owned(),
        too_slow: false,
    }
}
