//! Sessions and turns, for those who may: the rules of the product.
//!
//! Ownership is a value: nothing here reads or writes a session without an [`OwnedSession`] or the writer's own check.
//! From the first commit on, a turn belongs to the server and not to the request that began it.

mod admit;
mod complete;
mod context;
mod error;
mod figures;
mod follow;
mod items;
mod line;
mod live;
mod making;
mod outcome;
mod recording;
mod recover;
mod repeat;
mod respond;
mod response;
mod tries;
mod turn;
mod update;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use complete::{Ask, Completed, Completing, Said, Step};
pub use error::ChatError;
pub use figures::ChatFigures;
pub use follow::Follow;
pub use items::ItemId;
pub use repeat::Key;
pub use respond::{Begun, Heard, Hearing, Listener, Order, Place};
pub use response::{Asked, How, Kind, Response, ResponseEnd};
use tokio_util::task::TaskTracker;
pub use tries::Asking;
pub use update::Update;

use crate::{
    admission::{rate::Rates, slots::Slots, streams::Streams},
    auth::Identity,
    clock::{Clock, Timestamp},
    id::{Seq, SessionId, UserId},
    reply::{Backend, UpstreamState, WordedHelpline},
    store::{ExportCursor, Hits, Message, OpenTurn, PageRange, Passwords, Rendered, Session, SessionEdit, Store},
    text::MessageText,
};
use line::Lines;
use live::Live;
use repeat::Keys;
use tries::Tries;
use turn::Sending;

/// A search that takes longer is refused.
const SEARCH_MAX: Duration = Duration::from_secs(10);
/// What the store's full queue refuses is offered again after this.
const AGAIN: Duration = Duration::from_millis(20);
/// A client that comes while the server stops should try the next one after this.
const STOPPING_RETRY: Duration = Duration::from_secs(2);

/// Proof that the caller owns a session: only [`Chat::owned`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct OwnedSession {
    id: SessionId,
    owner: UserId,
}

impl OwnedSession {
    /// The session's id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }
}

/// Where a message goes.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// Into a session of the caller.
    Owned(OwnedSession),
    /// Into the session with this id, which is made where nobody has it (the old client's way).
    Id(SessionId),
    /// Into a new session.
    New,
}

/// A turn that ended with a reply; `Serialize` gives `{message, reply}`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Answer {
    /// Where it happened.
    #[serde(skip)]
    pub session: SessionId,
    /// What the user said.
    pub message: Message,
    /// What was answered.
    pub reply: Message,
    /// True where an idempotency key was known: 200 and not 201.
    #[serde(skip)]
    pub repeated: bool,
}

/// What the chat works with.
pub struct Parts {
    /// What outlives the process.
    pub store: Arc<Store>,
    /// How often users may send.
    pub rates: Arc<Rates>,
    /// How many replies are made at once.
    pub slots: Slots,
    /// How many streams users may have.
    pub streams: Streams,
    /// What makes them.
    pub backend: Backend,
    /// The time.
    pub clock: Clock,
    /// How long an idempotency key is remembered.
    pub idempotency_window: Duration,
}

/// Sessions and turns. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Chat {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    lines: Arc<Lines>,
    live: Arc<Live>,
    keys: Keys,
    tries: Tries,
    /// The turns that run, whether or not anyone still waits for them.
    tasks: TaskTracker,
    stopping: AtomicBool,
    figures: ChatFigures,
}

impl Chat {
    /// Starts the chat and finishes `open_turns`, which a crash left without an outcome, before new work gets slots;
    /// must be called within a tokio runtime.
    #[must_use]
    pub fn start(parts: Parts, open_turns: Vec<OpenTurn>) -> Self {
        let tries = Tries::new(parts.clock.now());
        let inner = Arc::new(Inner {
            parts,
            lines: Arc::default(),
            live: Arc::default(),
            keys: Keys::default(),
            tries,
            tasks: TaskTracker::new(),
            stopping: AtomicBool::new(false),
            figures: ChatFigures::default(),
        });
        recover::finish(&inner, open_turns);
        Self { inner }
    }

    /// Proves that `caller` owns the session; a failure is a security event, which is logged where it is answered.
    ///
    /// # Errors
    /// `NotOwner` for someone else's and for one that is not there; the store's, also where ownership can't be read.
    pub async fn owned(&self, caller: &Identity, id: SessionId) -> Result<OwnedSession, ChatError> {
        match self.inner.parts.store.owner(id).await? {
            Some(owner) if owner == caller.id() => Ok(OwnedSession { id, owner }),
            Some(_) | None => Err(ChatError::NotOwner(id)),
        }
    }

    /// Makes a session (true), or finds the caller's own with that id (false).
    ///
    /// # Errors
    /// `NotOwner`; the store's.
    pub async fn create(
        &self,
        caller: &Identity,
        id: Option<SessionId>,
        edit: SessionEdit,
    ) -> Result<(Session, bool), ChatError> {
        Ok(self.inner.parts.store.create_session(caller.id(), id.unwrap_or_default(), edit).await?)
    }

    /// The caller's sessions, newest activity first; `after` is the `updated_at` and `id` of the last one seen.
    ///
    /// # Errors
    /// The store's.
    pub async fn sessions(
        &self,
        caller: &Identity,
        after: Option<(Timestamp, SessionId)>,
        limit: usize,
    ) -> Result<Vec<Session>, ChatError> {
        Ok(self.inner.parts.store.sessions(caller.id(), after, limit).await?)
    }

    /// One session.
    ///
    /// # Errors
    /// `NotOwner` where it was deleted meanwhile; the store's.
    pub async fn session(&self, session: &OwnedSession) -> Result<Session, ChatError> {
        self.inner.parts.store.session(session.id).await?.ok_or(ChatError::NotOwner(session.id))
    }

    /// Changes a session's title or instructions.
    ///
    /// # Errors
    /// As [`Chat::session`].
    pub async fn edit(&self, session: &OwnedSession, edit: SessionEdit) -> Result<Session, ChatError> {
        Ok(self.inner.parts.store.edit_session(session.owner, session.id, edit).await?)
    }

    /// Deletes a session for ever, and ends the reply that is being made in it.
    ///
    /// # Errors
    /// As [`Chat::session`].
    pub async fn delete(&self, session: OwnedSession) -> Result<(), ChatError> {
        let replies = self.inner.live.of(session.owner);
        self.inner.parts.store.delete_session(session.owner, session.id).await?;
        live::stop_all(replies.iter().filter(|reply| reply.turn.session == session.id));
        Ok(())
    }

    /// Empties all of the caller's sessions, and ends the replies to what was in them.
    ///
    /// # Errors
    /// The store's.
    pub async fn clear(&self, caller: &Identity) -> Result<(), ChatError> {
        let replies = self.inner.live.of(caller.id());
        self.inner.parts.store.clear_sessions(caller.id()).await?;
        live::stop_all(&replies);
        Ok(())
    }

    /// Stores a message and waits for its outcome. `key` is the client's idempotency key, as it came.
    ///
    /// Dropping the future changes nothing once the message is stored: the turn belongs to the server.
    ///
    /// # Errors
    /// `OverLimit`, `Overloaded` and `LineFull` before anything is stored; `Failed` where the turn failed; as [`ChatError`] says.
    pub async fn send(
        &self,
        caller: &Identity,
        target: Target,
        content: MessageText,
        key: Option<&str>,
    ) -> Result<Answer, ChatError> {
        self.goes_on()?;
        let sending = Sending::of_person(target, content, key);
        turn::send(&self.inner, caller, sending).await?.outcome(&self.inner).await
    }

    /// Stores a message and gives the stream of its turn, once it is stored.
    ///
    /// Dropping the future, or the stream, changes nothing once the message is stored.
    ///
    /// # Errors
    /// `TooManyStreams`; as [`Chat::send`], for what comes before the message is stored.
    pub async fn send_and_follow(
        &self,
        caller: &Identity,
        target: Target,
        content: MessageText,
        key: Option<&str>,
    ) -> Result<Follow, ChatError> {
        self.goes_on()?;
        let follow = Follow::turn_to_come(&self.inner, caller)?;
        let started = turn::send(&self.inner, caller, Sending::of_person(target, content, key)).await?;
        Ok(follow.narrow(started.turn, started.repeated))
    }

    /// Has a turn answered anew that has an outcome, and waits for that. Until there is a new reply the old one stays.
    ///
    /// Dropping the future changes nothing once it was let in.
    ///
    /// # Errors
    /// `NoSuchMessage`, `BeingAnswered`; as [`Chat::send`].
    pub async fn retry(&self, caller: &Identity, session: OwnedSession, seq: Seq) -> Result<Answer, ChatError> {
        self.goes_on()?;
        turn::retry(&self.inner, caller, session, seq).await?.outcome(&self.inner).await
    }

    /// Ends the reply to a message with what there is of it, and waits until that is stored. Nothing happens where the
    /// message has its outcome already.
    ///
    /// Dropping the future does not take it back.
    ///
    /// # Errors
    /// `NoSuchMessage`; the store's.
    pub async fn stop(&self, session: OwnedSession, seq: Seq) -> Result<(), ChatError> {
        turn::stop(&self.inner, session, seq).await
    }

    /// The stream of one session; with `after`, from the message behind that one on.
    ///
    /// # Errors
    /// `TooManyStreams`.
    pub fn follow(&self, caller: &Identity, session: OwnedSession, after: Option<Seq>) -> Result<Follow, ChatError> {
        Follow::session(&self.inner, caller, session, after)
    }

    /// The stream of all of the caller's sessions.
    ///
    /// # Errors
    /// `TooManyStreams`; the store's.
    pub async fn follow_all(&self, caller: &Identity) -> Result<Follow, ChatError> {
        Follow::user(&self.inner, caller).await
    }

    fn goes_on(&self) -> Result<(), ChatError> {
        if self.inner.stopping.load(Ordering::Acquire) {
            return Err(ChatError::Stopping { retry_after: STOPPING_RETRY });
        }
        Ok(())
    }

    /// A page of a session's messages.
    ///
    /// # Errors
    /// As [`Chat::session`].
    pub async fn page(&self, session: &OwnedSession, range: PageRange) -> Result<Rendered, ChatError> {
        Ok(self.inner.parts.store.page(session.id, range).await?)
    }

    /// The old client's history in pairs.
    ///
    /// # Errors
    /// The store's.
    pub async fn history(
        &self,
        caller: &Identity,
        session: Option<&OwnedSession>,
        limit: usize,
        offset: u64,
    ) -> Result<Rendered, ChatError> {
        let session = session.map(OwnedSession::id);
        Ok(self.inner.parts.store.history(caller.id(), session, limit, offset).await?)
    }

    /// The caller's turns that have `needle` in them, in pairs.
    ///
    /// # Errors
    /// The store's.
    pub async fn search(&self, caller: &Identity, needle: &str, limit: usize) -> Result<Rendered, ChatError> {
        Ok(self.inner.parts.store.search(caller.id(), needle, limit, SEARCH_MAX).await?)
    }

    /// The caller's messages and replies that have `needle` in them, newest first.
    ///
    /// # Errors
    /// The store's; `Busy` where it takes too long.
    pub async fn find(&self, caller: &Identity, needle: &str, limit: usize) -> Result<Hits, ChatError> {
        Ok(self.inner.parts.store.find(caller.id(), needle, limit, SEARCH_MAX).await?)
    }

    /// The next lines of the caller's export (JSON Lines); nothing at the end.
    ///
    /// # Errors
    /// The store's.
    pub async fn export(
        &self,
        caller: &Identity,
        after: Option<ExportCursor>,
    ) -> Result<Option<(bytes::Bytes, ExportCursor)>, ChatError> {
        Ok(self.inner.parts.store.export(caller.id(), after, Passwords::Without).await?)
    }

    /// The name of what makes replies, for `/api/v1/chat/health`.
    #[must_use]
    pub fn model(&self) -> &str {
        self.inner.parts.backend.model()
    }

    /// The names of all models that may make a reply, the likeliest first.
    #[must_use]
    pub fn models(&self) -> Vec<&str> {
        self.inner.parts.backend.models()
    }

    /// How the servers stand that make replies; none where the companion does.
    #[must_use]
    pub fn upstreams(&self) -> Vec<UpstreamState> {
        self.inner.parts.backend.upstreams()
    }

    /// The helplines that are given where somebody speaks of self-harm.
    #[must_use]
    pub fn helplines(&self) -> Vec<WordedHelpline<'_>> {
        self.inner.parts.backend.helplines()
    }

    /// True where who says this is given the helplines.
    #[must_use]
    pub fn mentions_self_harm(&self, text: &str) -> bool {
        self.inner.parts.backend.mentions_self_harm(text)
    }

    /// What was counted since the start.
    #[must_use]
    pub fn figures(&self) -> &ChatFigures {
        &self.inner.figures
    }

    /// How many turns have no outcome yet.
    #[must_use]
    pub fn running(&self) -> usize {
        self.inner.live.count()
    }

    /// Ends the replies that are being made for `user`, whose account is gone: nobody will read them.
    pub fn end_replies(&self, user: UserId) {
        live::stop_all(&self.inner.live.of(user));
    }

    /// Ends the streams, now and from now on; those of turns that run go on to the turn's end.
    pub fn end_streams(&self) {
        self.inner.parts.store.end_subscriptions();
    }

    /// Waits until the running turns have their outcome; new ones are refused from now on.
    pub async fn drain(&self) {
        self.inner.stopping.store(true, Ordering::Release);
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests;
