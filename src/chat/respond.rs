//! Responses begun, heard and stopped: a program's side of a turn.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    AGAIN, Asked, Chat, ChatError, Inner, Key, OwnedSession, Response, Target, context,
    live::LiveReply,
    turn::{self, Sending},
};
use crate::{
    admission::streams::StreamPlace,
    auth::Identity,
    clock::Timestamp,
    id::{Seq, SessionId},
    store::{Beside, NewItem, OpenTurn, Outcome, Standing, StoreError, TokenDigest},
    text::MessageText,
};

/// How often the newest turn of a session is looked for before a response that goes on behind it gets a session of its own.
const TRIES: usize = 8;

/// Where a response belongs.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// A session of its own, which is made for it.
    New,
    /// At the end of this conversation.
    In(OwnedSession),
    /// Behind the response to this message: in the same session where that is its end, else in a new one that begins with what
    /// was said up to there.
    Behind(OwnedSession, Seq),
}

/// What a response is asked for with.
#[derive(Debug)]
pub struct Order<'k> {
    /// Where it belongs.
    pub place: Place,
    /// What is said before the message that it answers: items of the log.
    pub before: Vec<NewItem>,
    /// The message that it answers.
    pub content: MessageText,
    /// What else.
    pub asked: Asked,
    /// By what a repeat of the request is known.
    pub key: Option<Key<'k>>,
}

/// A response that has begun: its message is stored, and its turn belongs to the server.
pub struct Begun {
    inner: Arc<Inner>,
    turn: OpenTurn,
    /// True where the request was known: this is the response of the first time.
    pub repeated: bool,
}

/// What comes next of a response that is heard.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// The piece of its text with this number, from 0.
    Piece(usize, String),
    /// Its end: nothing comes behind it.
    End(Box<Response>),
}

/// A response that is heard piece by piece, now or later. Nothing of it is missed, and nothing comes twice.
pub struct Hearing {
    inner: Arc<Inner>,
    turn: OpenTurn,
    /// The number of the piece that comes next.
    next: usize,
    /// How it ended, once that is known: its pieces come before it.
    end: Option<Box<Response>>,
    listener: Listener,
}

/// Who hears: a login, which may end meanwhile, and a place among its user's streams.
pub struct Listener {
    login: TokenDigest,
    login_until: Timestamp,
    _place: StreamPlace,
}

impl Chat {
    /// Begins a response, once its message is stored.
    ///
    /// Dropping the future, or what it gives, changes nothing once the message is stored.
    ///
    /// # Errors
    /// As [`Chat::send`], for what comes before the message is stored; `NoRoom`; `NoSuchMessage` where there is no response to go on
    /// behind, `BeingAnswered` where that has no outcome yet and is not the newest.
    pub async fn respond(&self, caller: &Identity, order: Order<'_>) -> Result<Begun, ChatError> {
        self.goes_on()?;
        let inner = &self.inner;
        let Order { place, before, content, asked, key } = order;
        let sending = |target, before, behind| {
            let beside = Beside { before, behind, ..Beside::default() };
            Sending { target, content: content.clone(), key, beside, asked: Some(asked.clone()) }
        };
        let started = match place {
            Place::New => turn::send(inner, caller, sending(Target::New, before, None)).await?,
            Place::In(session) => turn::send(inner, caller, sending(Target::Owned(session), before, None)).await?,
            Place::Behind(session, seq) => 'behind: {
                let mut full = None;
                for _ in 0..TRIES {
                    let Some(end) = inner.end_behind(session.id, seq).await? else { break };
                    let sending = sending(Target::Owned(session), before.clone(), Some(end));
                    match turn::send(inner, caller, sending).await {
                        Err(ChatError::Store(StoreError::Moved)) => {}
                        // Of those who wait there one goes on behind it before this could, unless it waits itself.
                        Err(error @ ChatError::LineFull { .. }) => {
                            full = Some(error);
                            break;
                        }
                        started => break 'behind started?,
                    }
                }
                if asked.whole {
                    inner.needs_room(OpenTurn { session: session.id, seq }, asked.instructions.as_deref()).await?;
                }
                let said = match inner.said_up_to(session.id, seq).await {
                    // It may be this very request that is answered there.
                    Err(error @ (ChatError::BeingAnswered | ChatError::NoSuchMessage)) => {
                        let error = full.filter(|_| matches!(error, ChatError::BeingAnswered)).unwrap_or(error);
                        return match key {
                            Some(key) => self.repeated(caller, key).await?.ok_or(error),
                            None => Err(error),
                        };
                    }
                    said => said?,
                };
                turn::send(inner, caller, sending(Target::New, [said, before].concat(), None)).await?
            }
        };
        Ok(Begun { inner: Arc::clone(inner), turn: started.turn, repeated: started.repeated })
    }

    /// The response of the first time where this request is a repeat whose message is stored.
    ///
    /// # Errors
    /// `KeyReused`; `DeletedMeanwhile`; the store's.
    pub async fn repeated(&self, caller: &Identity, key: Key<'_>) -> Result<Option<Begun>, ChatError> {
        let inner = &self.inner;
        let known = turn::known(inner, caller.id(), key).await?;
        Ok(known.map(|turn| Begun { inner: Arc::clone(inner), turn, repeated: true }))
    }

    /// A place for who is going to hear a response.
    ///
    /// # Errors
    /// `TooManyStreams`.
    pub fn listener(&self, caller: &Identity) -> Result<Listener, ChatError> {
        let place = self.inner.parts.streams.open(caller.id(), caller.user().tier)?;
        Ok(Listener { login: caller.digest(), login_until: caller.until(), _place: place })
    }

    /// Hears the response to the message at `seq` from the piece with the number `from` on.
    #[must_use]
    pub fn hear(&self, listener: Listener, session: &OwnedSession, seq: Seq, from: usize) -> Hearing {
        Hearing::new(&self.inner, listener, OpenTurn { session: session.id, seq }, from)
    }

    /// What a reply behind the response to the message at `seq` would be made from, oldest first: for one that is not stored.
    /// `whole`: nothing may be left out.
    ///
    /// # Errors
    /// `NoSuchMessage`, `BeingAnswered`, `NoRoom`; the store's.
    pub async fn said_behind(&self, session: &OwnedSession, seq: Seq, whole: bool) -> Result<Vec<NewItem>, ChatError> {
        if whole {
            self.inner.needs_room(OpenTurn { session: session.id, seq }, Some("")).await?;
        }
        self.inner.said_up_to(session.id, seq).await
    }
}

impl Begun {
    /// Where it is.
    #[must_use]
    pub fn turn(&self) -> (SessionId, Seq) {
        (self.turn.session, self.turn.seq)
    }

    /// It as it stands now.
    ///
    /// # Errors
    /// `DeletedMeanwhile`; the store's.
    pub async fn now(&self) -> Result<Response, ChatError> {
        self.inner.response(self.turn).await?.ok_or(ChatError::DeletedMeanwhile)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// `DeletedMeanwhile`; the store's.
    pub async fn end(&self) -> Result<Response, ChatError> {
        loop {
            let response = self.now().await?;
            if response.end.is_some() {
                return Ok(response);
            }
            self.inner.wait_for_end(self.turn).await?;
        }
    }

    /// Hears it from its beginning on.
    #[must_use]
    pub fn hear(&self, listener: Listener) -> Hearing {
        Hearing::new(&self.inner, listener, self.turn, 0)
    }
}

impl Hearing {
    fn new(inner: &Arc<Inner>, listener: Listener, turn: OpenTurn, next: usize) -> Self {
        Self { inner: Arc::clone(inner), turn, next, end: None, listener }
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    ///
    /// # Errors
    /// `LoginEnded` where the one that hears has; `DeletedMeanwhile`; the store's.
    pub async fn next(&mut self) -> Result<Heard, ChatError> {
        let heard = self.wait().await?;
        self.may_hear().await?;
        if matches!(heard, Heard::Piece(..)) {
            self.next += 1;
        }
        Ok(heard)
    }

    /// Looks whether the login that hears is still one.
    ///
    /// # Errors
    /// `LoginEnded`; the store's.
    pub async fn may_hear(&self) -> Result<(), ChatError> {
        let Listener { login, login_until, .. } = self.listener;
        let parts = &self.inner.parts;
        let is_one = parts.clock.now() < login_until && parts.store.token(login).await?.is_some();
        if is_one { Ok(()) } else { Err(ChatError::LoginEnded) }
    }

    async fn wait(&mut self) -> Result<Heard, ChatError> {
        loop {
            if let Some(response) = &self.end {
                let end = response.end.as_ref();
                return Ok(match end.and_then(|end| end.pieces().nth(self.next)) {
                    Some(piece) => Heard::Piece(self.next, piece.to_owned()),
                    None => Heard::End(response.clone()),
                });
            }
            if let Some(reply) = self.inner.live.get(self.turn)
                && let Some(piece) = self.listen(&reply).await
            {
                return Ok(Heard::Piece(self.next, piece));
            }
            let response = self.inner.response(self.turn).await?.ok_or(ChatError::DeletedMeanwhile)?;
            if response.end.is_some() {
                self.end = Some(Box::new(response));
            } else {
                self.inner.wait_for_end_or_reply(self.turn).await?;
            }
        }
    }

    /// The model that makes it; nothing where it has said nothing yet.
    #[must_use]
    pub fn made_by(&self) -> Option<String> {
        match &self.end {
            Some(response) => response.end.as_ref().map(|end| end.model.clone()),
            None => self.inner.live.get(self.turn)?.recording.as_ref()?.maker(),
        }
    }

    /// Waits for the next piece of a running reply; nothing where it comes to its end before that.
    async fn listen(&self, reply: &LiveReply) -> Option<String> {
        let recording = reply.recording.as_ref()?;
        let mut changed: watch::Receiver<()> = recording.watch();
        loop {
            changed.mark_unchanged();
            if let Some(piece) = recording.piece(self.next) {
                return Some(piece);
            }
            tokio::select! {
                biased;
                changed = changed.changed() => changed.ok()?,
                _ = reply.outcome() => return None,
            }
        }
    }
}

impl Inner {
    /// The end of the session's log where the response to the message at `seq` is that, or is still being made there.
    ///
    /// Its reply may be the end, and yet others have begun before it came: their words would come between.
    async fn end_behind(&self, session: SessionId, seq: Seq) -> Result<Option<Seq>, ChatError> {
        let store = &self.parts.store;
        let Standing { head, turns } = store.standing(session, 1).await?;
        let is_newest = turns.last().is_some_and(|(newest, _)| *newest == seq);
        let end = match store.turn(session, seq).await?.ok_or(ChatError::NoSuchMessage)?.1 {
            Outcome::Reply(reply) => reply.seq,
            Outcome::Pending | Outcome::Failed { .. } | Outcome::Interrupted => seq,
        };
        Ok((end == head && is_newest).then_some(head))
    }

    /// Refuses where not all that was said up to there has room under these instructions.
    ///
    /// # Errors
    /// `NoRoom`; the store's.
    async fn needs_room(&self, through: OpenTurn, instructions: Option<&str>) -> Result<(), ChatError> {
        let has_room = context::has_room(self, Some(through), &[], instructions).await?;
        if has_room { Ok(()) } else { Err(ChatError::NoRoom) }
    }

    /// What was said up to the response to the message at `seq`, that included, as far as a reply could be made from it.
    async fn said_up_to(&self, session: SessionId, seq: Seq) -> Result<Vec<NewItem>, ChatError> {
        let turn = OpenTurn { session, seq };
        let (message, outcome) = self.parts.store.turn(session, seq).await?.ok_or(ChatError::NoSuchMessage)?;
        let reply = match outcome {
            Outcome::Pending => return Err(ChatError::BeingAnswered),
            Outcome::Reply(reply) if !reply.content.trim().is_empty() => Some(reply),
            Outcome::Reply(_) | Outcome::Failed { .. } | Outcome::Interrupted => None,
        };
        let mut said = context::of(self, turn, None).await?.messages;
        if said.last().is_none_or(|last| last.seq != message.seq) {
            return Err(ChatError::NoSuchMessage);
        }
        match reply {
            Some(reply) => said.push(reply),
            None => drop(said.pop()), // Half a turn is none.
        }
        Ok(said.into_iter().map(|message| NewItem { role: message.role, content: message.content }).collect())
    }

    /// Waits until the turn has ended, or may have.
    pub(super) async fn wait_for_end(&self, turn: OpenTurn) -> Result<(), ChatError> {
        if !self.parts.store.health().writes() {
            return Err(ChatError::Store(StoreError::Unknown));
        }
        match self.live.get(turn) {
            Some(reply) => drop(reply.outcome().await),
            // Its task has just begun or just ended, or answers it after a crash: look again.
            None => tokio::time::sleep(AGAIN).await,
        }
        Ok(())
    }

    /// As [`Inner::wait_for_end`], or until the turn's reply can be heard.
    async fn wait_for_end_or_reply(&self, turn: OpenTurn) -> Result<(), ChatError> {
        match self.live.get(turn) {
            Some(reply) if reply.recording.is_some() => Ok(()),
            Some(_) | None => self.wait_for_end(turn).await,
        }
    }
}
