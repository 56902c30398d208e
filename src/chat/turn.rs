//! A turn, from the message to its outcome, and again where it is to be answered anew.
//!
//! Admission comes before anything is stored. Then a task of the server's own appends the message, makes the reply and
//! appends that; the request only listens. The turns of one session are answered in the order of their sequence.

use std::{sync::Arc, time::Instant};

use tokio::sync::oneshot;

use super::{
    AGAIN, Answer, ChatError, ChatFigures, Inner, OwnedSession, Target,
    admit::admitted,
    context,
    line::Place,
    live::{LiveReply, Try},
    making::{Made, caught, made},
    outcome::{Record, announce_gone, announce_kept, conclude, interrupted, of_log, outcome_of},
    recording::{self, Recording},
    repeat::{Key, KeyGuard},
    response::{Asked, Note},
};
use crate::{
    auth::Identity,
    id::{Seq, SessionId, UserId},
    store::{
        Appended, Beside, Ending, Message, NewMessage, OpenTurn, Outcome, PendingAppend, Resumed, Status, StoreError,
    },
    text::MessageText,
};

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

/// A message on its way.
pub(super) struct Sending<'k> {
    /// Where to.
    pub(super) target: Target,
    /// What.
    pub(super) content: MessageText,
    /// By what a repeat of it is known.
    pub(super) key: Option<Key<'k>>,
    /// What comes into the log with it; of a response the annotation is made here.
    pub(super) beside: Beside,
    /// What it asks for beside the words, where a program sends it.
    pub(super) asked: Option<Asked>,
}

impl<'k> Sending<'k> {
    /// What a person sends.
    pub(super) fn of_person(target: Target, content: MessageText, key: Option<&'k str>) -> Self {
        Self { target, content, key: key.map(Key::Message), beside: Beside::default(), asked: None }
    }
}

/// Stores a message, and gives its turn once that is durable; see [`super::Chat::send`].
pub(super) async fn send(inner: &Arc<Inner>, caller: &Identity, sending: Sending<'_>) -> Result<Started, ChatError> {
    let Sending { target, content, key: given, mut beside, asked } = sending;
    let parts = &inner.parts;
    let user = caller.id();
    let window = parts.idempotency_window;
    let key = given.map(|key| key.send_key(&target, content.as_str(), parts.clock.now(), window));
    let guard = match &key {
        Some(key) => Some(inner.keys.lock(user, key).await),
        None => None,
    };
    beside.renews_key = given.is_some_and(|given| !given.may_repeat());
    if let (Some(given), Some(key)) = (given.filter(|_| !beside.renews_key), key) {
        match parts.store.sent_before(user, key).await {
            Ok(Some(known)) => {
                drop(guard);
                return Ok(repetition(&known));
            }
            Ok(None) => {}
            // The first try was not stored, and something else with its words was before it.
            Err(StoreError::KeyReused) if given.renews() => beside.renews_key = true,
            Err(error) => return Err(error.into()),
        }
    }
    let (session, create) = match target {
        Target::Owned(session) => (session.id(), false),
        Target::Id(id) => match parts.store.owner(id).await? {
            Some(owner) if owner != user => return Err(ChatError::NotOwner(id)),
            Some(_) | None => (id, true),
        },
        Target::New => (SessionId::new(), true),
    };
    if let Some(asked) = asked.as_ref().filter(|asked| asked.whole) {
        let through = if create { None } else { end_of(inner, session).await? };
        let before = beside.before.iter().map(|item| item.content.as_str());
        let new: Vec<_> = before.chain([content.as_str()]).collect();
        if !context::has_room(inner, through, &new, asked.instructions.as_deref()).await? {
            return Err(ChatError::NoRoom);
        }
    }
    beside.annotation = asked.clone().map(Note::begin).transpose()?;
    let mut message = Some(NewMessage { user, session, create, content: content.into_string(), key, beside });
    let append = || message.take().map_or(Err(StoreError::Unknown), |message| parts.store.append(message));
    let (place, appended) = admitted(inner, caller, session, append).await?;
    let appended = (Arc::clone(inner), appended);
    let (stored, is_stored) = oneshot::channel();
    let (tell, told) = oneshot::channel();
    let recording = asked.map(|asked| Recording::new(asked, Vec::new()));
    inner.tasks.spawn(Task { place, guard, owner: user, recording }.run(appended, stored, tell));
    let known = is_stored.await.unwrap_or(Err(StoreError::Unknown))?;
    if known.repeated {
        return Ok(repetition(&known)); // The key was used before this process began to look.
    }
    Ok(Started { turn: turn_of(&known), repeated: false, outcome: Some(told) })
}

/// The last place of a session.
async fn end_of(inner: &Inner, session: SessionId) -> Result<Option<OpenTurn>, StoreError> {
    let head = inner.parts.store.session(session).await?.map(|session| session.head);
    Ok(head.map(|seq| OpenTurn { session, seq }))
}

/// The turn of the first time, where a request with this key, whose digest does not say where it goes, is a repeat.
pub(super) async fn known(inner: &Inner, user: UserId, key: Key<'_>) -> Result<Option<OpenTurn>, ChatError> {
    let parts = &inner.parts;
    if !key.may_repeat() {
        return Ok(None);
    }
    let send_key = key.send_key(&Target::New, "", parts.clock.now(), parts.idempotency_window);
    match parts.store.sent_before(user, send_key).await {
        Err(StoreError::KeyReused) if key.renews() => Ok(None),
        known => Ok(known?.map(|known| turn_of(&known))),
    }
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
    let begun = inner.live.begin(&inner.parts.store, turn, caller.id(), (Try::Next, None));
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
    recording: Option<Recording>,
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
                let recording = self.recording.take();
                let running = inner.live.begin(&inner.parts.store, turn, self.owner, (Try::Number(1), recording));
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
    let recording = recording::resumed(&inner, turn).await;
    let (recording, unread) = recording.map_or_else(|error| (None, Some(error)), |recording| (recording, None));
    let which = Try::Number(attempt.unwrap_or(1));
    let running = inner.live.begin(&inner.parts.store, turn, owner, (which, recording));
    let Some(running) = running else { return place.wait().await };
    let stored = match unread {
        Some(error) => Err(error),
        None => recording::again(|| inner.parts.store.turn(turn.session, turn.seq)).await,
    };
    let heard = match stored {
        Ok(Some((message, Outcome::Pending))) if attempt.is_some() => {
            answer(&inner, &mut place, running.reply(), message, Record::First).await
        }
        Ok(Some((message, Outcome::Pending))) => {
            running.reply().seal();
            inner.figures.turns.count("interrupted");
            let note = running.reply().note(&inner, &Made::of(Ending::Interrupted));
            conclude(&inner, turn, Ending::Interrupted, note, Record::First)
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

/// Makes the reply and appends it: the turn is open before, or has an outcome that stays until the new one is there.
async fn answer(
    inner: &Arc<Inner>,
    place: &mut Place,
    reply: &Arc<LiveReply>,
    mut message: Message,
    record: Record,
) -> Result<Answer, ChatError> {
    let (turn, figures, begun) = (reply.turn, &inner.figures, Instant::now());
    let made = tokio::select! {
        biased;
        () = reply.stop.cancelled() => {
            Made::of(Ending::Reply { content: reply.seal(), stopped: true })
        }
        made = caught(made(inner, place, reply, begun)) => made,
        never = reply.record(inner) => match never {},
    };
    reply.seal(); // From here on only the log speaks.
    let note = reply.note(inner, &made);
    let ending = made.ending;
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
    let stored = conclude(inner, turn, ending, note, record).await;
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
