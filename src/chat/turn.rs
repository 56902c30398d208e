//! A turn, from the message to its outcome.
//!
//! Admission comes before anything is stored. Then a task of the server's own appends the message, makes the reply and
//! appends that; the request only listens. The turns of one session are answered in the order of their sequence.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{oneshot, watch};

use super::{
    Answer, ChatError, Inner, Target,
    repeat::{self, KeyGuard},
};
use crate::{
    admission::slots::Slot,
    auth::Identity,
    id::{Seq, SessionId},
    reply::Line,
    store::{Appended, Ending, Message, NewMessage, OpenTurn, Outcome, PendingAppend, Status, StoreError},
    text::MessageText,
};

/// Messages that a reply is made from, up to the one that it answers; earlier replies may stand behind that.
const CONTEXT_MESSAGES: usize = 50;
/// An outcome that the store's full queue refuses is offered again after this.
const AGAIN: Duration = Duration::from_millis(20);

/// What a turn came to, for whoever listens; nothing while it runs.
type Heard = Option<Result<Answer, ChatError>>;

/// The turns that run.
#[derive(Default)]
pub(super) struct Turns {
    /// Guards the last turn of each session: the next one waits for it.
    lines: Mutex<HashMap<SessionId, Last>>,
    /// Guards who can be listened to.
    running: Mutex<HashMap<OpenTurn, watch::Receiver<Heard>>>,
}

/// The last turn of a session's line.
struct Last {
    number: u64,
    done: watch::Receiver<bool>,
}

/// A turn's place in its session's line; given up when dropped.
pub(super) struct Place {
    inner: Arc<Inner>,
    session: SessionId,
    number: u64,
    before: Option<watch::Receiver<bool>>,
    done: watch::Sender<bool>,
}

/// Stores a message and waits for its outcome; see [`super::Chat::send`].
pub(super) async fn send(
    inner: &Arc<Inner>,
    caller: &Identity,
    target: Target,
    content: MessageText,
    key: Option<&str>,
) -> Result<Answer, ChatError> {
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
        return outcome_of(inner, known).await;
    }
    let (session, create) = match target {
        Target::Owned(session) => (session.id(), false),
        Target::Id(id) => match parts.store.owner(id).await? {
            Some(owner) if owner != user => return Err(ChatError::NotOwner(id)),
            Some(_) | None => (id, true),
        },
        Target::New => (SessionId::new(), true),
    };
    parts.rates.charge_message(user, caller.user().tier)?;
    let slot = parts.slots.acquire(user).await?;
    let message = NewMessage { user, session, create, content: content.into_string(), key };
    let (place, appended) = enter(inner, session, || parts.store.append(message))?;
    let (tell, told) = oneshot::channel();
    let task = Task { place, slot, guard };
    inner.tasks.spawn(task.run(appended, tell));
    told.await.unwrap_or(Err(ChatError::Store(StoreError::Unknown)))
}

/// Takes the next place in the session's line and has the message appended: in this order for all turns of a session,
/// so that the line is in the order of the sequence.
fn enter<T>(
    inner: &Arc<Inner>,
    session: SessionId,
    append: impl FnOnce() -> Result<T, StoreError>,
) -> Result<(Place, T), ChatError> {
    let mut lines = lock(&inner.turns.lines);
    let appended = append()?;
    let (done, is_done) = watch::channel(false);
    let number = lines.get(&session).map_or(0, |last| last.number + 1);
    let before = lines.insert(session, Last { number, done: is_done }).map(|last| last.done);
    drop(lines);
    Ok((Place { inner: Arc::clone(inner), session, number, before, done }, appended))
}

impl Place {
    /// A place for a turn whose message is in the log already.
    pub(super) fn of_open_turn(inner: &Arc<Inner>, turn: OpenTurn) -> Result<Self, ChatError> {
        enter(inner, turn.session, || Ok(())).map(|(place, ())| place)
    }

    /// Waits until every earlier turn of the session has its outcome.
    async fn wait(&mut self) {
        if let Some(before) = &mut self.before {
            let _ = before.wait_for(|done| *done).await; // An error means that it is gone: done.
        }
        self.before = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = lock(&self.inner.turns.lines);
        if lines.get(&self.session).is_some_and(|last| last.number == self.number) {
            lines.remove(&self.session);
        }
        drop(lines);
        self.done.send_replace(true);
    }
}

/// What a turn holds while it runs.
struct Task {
    place: Place,
    slot: Slot,
    guard: Option<KeyGuard>,
}

impl Task {
    async fn run(mut self, appended: PendingAppend, tell: oneshot::Sender<Result<Answer, ChatError>>) {
        let inner = Arc::clone(&self.place.inner);
        match appended.await {
            Err(error) => {
                let _ = tell.send(Err(error.into())); // Whoever asked may have gone.
                // The next turn of the session must not overtake the one before this.
                self.place.wait().await;
            }
            Ok(known) if known.repeated => {
                // The key was used before this process began to look.
                drop(self.guard.take());
                let _ = tell.send(outcome_of(&inner, known).await);
                self.place.wait().await;
            }
            Ok(Appended { session, message, .. }) => {
                let turn = OpenTurn { session, seq: message.seq };
                let running = Running::begin(&inner, turn);
                drop(self.guard.take());
                let heard = answer(&mut self.place, turn, message).await;
                running.end(heard.clone());
                let _ = tell.send(heard);
            }
        }
        drop(self.slot);
    }
}

/// Finishes a turn that a crash left open; see [`super::recover`].
pub(super) async fn finish(mut place: Place, turn: OpenTurn) {
    let inner = Arc::clone(&place.inner);
    let running = Running::begin(&inner, turn);
    let stored = loop {
        match inner.parts.store.turn(turn.session, turn.seq).await {
            Err(StoreError::Busy) => tokio::time::sleep(AGAIN).await, // A stored message must get its outcome.
            stored => break stored,
        }
    };
    let heard = match stored {
        Ok(Some((message, Outcome::Pending))) => answer(&mut place, turn, message).await,
        // It was cleared or deleted, and whoever asks now is told so.
        Ok(Some(_) | None) => Err(ChatError::DeletedMeanwhile),
        Err(error) => Err(error.into()),
    };
    place.wait().await; // The session's next turn must not overtake the one before this.
    if let Err(error) = &heard {
        tracing::warn!(session = %turn.session, seq = %turn.seq, %error, "an open turn was not answered");
    }
    running.end(heard);
}

/// Makes the reply and appends it: the turn is open before and has its one outcome after.
async fn answer(place: &mut Place, turn: OpenTurn, mut message: Message) -> Result<Answer, ChatError> {
    let inner = Arc::clone(&place.inner);
    place.wait().await;
    let ending = match inner.parts.store.context(turn.session, turn.seq, CONTEXT_MESSAGES).await {
        Ok(context) => reply(&inner, turn.seq, &context),
        Err(error) => {
            tracing::warn!(session = %turn.session, seq = %turn.seq, %error, "the conversation can't be read");
            failed("the conversation could not be read")
        }
    };
    let failure = match &ending {
        Ending::Failed { detail, too_slow } => Some((detail.clone(), *too_slow)),
        Ending::Reply { .. } | Ending::Interrupted => None,
    };
    let stored = conclude(&inner, turn, ending).await?;
    match (stored, failure) {
        (Some(reply), _) => {
            message.status = if reply.status == Status::Stopped { Status::Stopped } else { Status::Answered };
            Ok(Answer { session: turn.session, message, reply, repeated: false })
        }
        (None, failure) => {
            let (detail, too_slow) = failure.unwrap_or_default();
            Err(ChatError::Failed { session: turn.session, message: message.id, detail, too_slow })
        }
    }
}

fn reply(inner: &Inner, seq: Seq, messages: &[Message]) -> Ending {
    let conversation = conversation(seq, messages).into_iter();
    let lines: Vec<_> = conversation.map(|message| Line { speaker: message.role, text: &message.content }).collect();
    match inner.parts.backend.reply(&lines) {
        Ok(content) => Ending::Reply { content, stopped: false },
        Err(error) => {
            tracing::error!(%error, "the backend made no reply");
            failed("the reply could not be made; please try again")
        }
    }
}

/// The conversation that the message at `seq` ends, turn by turn. A reply may stand behind later messages in the log.
fn conversation(seq: Seq, messages: &[Message]) -> Vec<&Message> {
    let mut conversation: Vec<_> = messages.iter().filter(|message| message.seq == seq || belongs(message)).collect();
    conversation.sort_by_key(|message| (message.reply_to.unwrap_or(message.seq), message.seq));
    conversation
}

/// True where a message is part of the conversation: turns that failed, and replies that were replaced, are not.
fn belongs(message: &Message) -> bool {
    match message.status {
        Status::Answered | Status::Stopped | Status::Complete => true,
        Status::Pending | Status::Failed | Status::Interrupted | Status::Superseded => false,
    }
}

fn failed(detail: &str) -> Ending {
    Ending::Failed { detail: detail.to_owned(), too_slow: false }
}

/// Records the outcome. A stored message must get one, so a full queue and a failed write are waited for.
async fn conclude(inner: &Inner, turn: OpenTurn, ending: Ending) -> Result<Option<Message>, StoreError> {
    let store = &inner.parts.store;
    loop {
        match store.conclude(turn, ending.clone()).await {
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
async fn outcome_of(inner: &Inner, sent: Appended) -> Result<Answer, ChatError> {
    let turn = OpenTurn { session: sent.session, seq: sent.message.seq };
    loop {
        let running = lock(&inner.turns.running).get(&turn).cloned();
        if let Some(mut running) = running
            && let Ok(heard) = running.wait_for(Option::is_some).await
            && let Some(heard) = heard.clone()
        {
            return heard.map(|answer| Answer { repeated: true, ..answer });
        }
        let stored = inner.parts.store.turn(turn.session, turn.seq).await?;
        let (message, outcome) = stored.ok_or(ChatError::DeletedMeanwhile)?;
        let failed = |detail: String, too_slow| {
            Err(ChatError::Failed { session: turn.session, message: message.id, detail, too_slow })
        };
        match outcome {
            Outcome::Reply(reply) => {
                return Ok(Answer { session: turn.session, message, reply, repeated: true });
            }
            Outcome::Failed { detail, too_slow } => return failed(detail, too_slow),
            Outcome::Interrupted => return failed("the server stopped while answering".to_owned(), false),
            // Its task has just begun or just ended: look again.
            Outcome::Pending if inner.parts.store.health().writes() => tokio::time::sleep(AGAIN).await,
            Outcome::Pending => return Err(ChatError::Store(StoreError::Unknown)),
        }
    }
}

/// A turn that can be listened to, until it is dropped.
struct Running {
    inner: Arc<Inner>,
    turn: OpenTurn,
    heard: watch::Sender<Heard>,
}

impl Running {
    fn begin(inner: &Arc<Inner>, turn: OpenTurn) -> Self {
        let (heard, listen) = watch::channel(None);
        lock(&inner.turns.running).insert(turn, listen);
        Self { inner: Arc::clone(inner), turn, heard }
    }

    fn end(self, outcome: Result<Answer, ChatError>) {
        self.heard.send_replace(Some(outcome));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.inner.turns.running).remove(&self.turn);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        id::MessageId,
        store::Speaker::{Assistant, User},
    };

    #[test]
    fn a_reply_that_was_made_while_the_next_message_waited_is_part_of_the_conversation() {
        let message = |seq, role, reply_to: Option<u64>, status| Message {
            seq: Seq(seq),
            id: MessageId::new(),
            role,
            content: String::new(),
            reply_to: reply_to.map(Seq),
            status,
            created_at: Timestamp(1),
        };
        let log = [
            message(1, User, None, Status::Answered),
            message(2, User, None, Status::Failed),
            message(3, User, None, Status::Pending),
            message(4, User, None, Status::Pending),
            message(5, Assistant, Some(1), Status::Complete),
        ];
        let order: Vec<u64> = conversation(Seq(3), &log).iter().map(|message| message.seq.0).collect();
        assert_eq!(order, [1, 5, 3]);
    }
}
