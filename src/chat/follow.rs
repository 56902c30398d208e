//! Streams of what happens: to one session, to all of a user's, or to one turn.
//!
//! A stream is a place in the log, a subscription and the replies that are being made. It subscribes before it reads, so
//! that nothing falls between; what it has read already, it does not tell again. Deltas are read from the running reply
//! when the client is ready for more, so a slow client gets longer ones and nobody keeps a queue of them.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::{ChatError, Inner, OwnedSession, Update, outcome::DELETED};
use crate::{
    admission::streams::StreamPlace,
    auth::Identity,
    clock::Timestamp,
    id::{Seq, SessionId, UserId},
    store::{Event, Heard, Logged, OpenTurn, Outcome, SessionChange, Status, StoreError, Subscription, TokenDigest},
};

/// A quiet stream says this often that it is there, milliseconds: between the first and the sum of both, so that ten
/// thousand of them do not speak at the same moment.
const BEAT_MS: u64 = 15_000;
const BEAT_SPREAD_MS: u64 = 5_000;
/// Where a user has a crowd of streams, each looks for text of running replies this often by itself.
const LOOK: Duration = Duration::from_millis(250);
/// Turns whose standing is told at the beginning of a stream.
const TURNS_TOLD: usize = 50;
/// Sessions whose standing is told at the beginning of a user's stream.
const SESSIONS_TOLD: usize = 20;
/// The newest so many messages of those that a client has are looked at for what was erased while it was away.
const ERASED_TOLD: usize = 100;
/// Messages that are read from the log at once.
const BLOCK: usize = 100;

/// A stream. It ends with its login, with its session, when the server stops, or when its client is too slow.
pub struct Follow {
    inner: Arc<Inner>,
    /// Given back with the stream.
    _place: StreamPlace,
    feed: Subscription,
    scope: Scope,
    owner: UserId,
    login: TokenDigest,
    login_until: Timestamp,
    step: Step,
    /// Told from the log up to here: what the feed has of that is no news.
    told: Seq,
    /// Told at the beginning that all is cleared up to here.
    told_cleared: Seq,
    /// How much of each running reply was told.
    heard: Vec<Position>,
    beat: Duration,
    /// When the client was last told anything.
    told_at: Instant,
    /// The next look does not wait for news.
    looks_now: bool,
}

/// What is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Session(SessionId),
    User,
    Turn(OpenTurn),
}

/// What comes next.
enum Step {
    /// The sessions whose standing is told first; messages are told after `after`, or from the head on.
    Begin {
        sessions: VecDeque<SessionId>,
        after: Option<Seq>,
    },
    /// What the log has beyond what was told.
    Replay,
    /// The outcome of a turn that may have ended before the stream began.
    Known,
    Live,
    Over,
}

/// How much of a running reply was told.
struct Position {
    turn: OpenTurn,
    attempt: u32,
    bytes: usize,
    chars: usize,
}

impl Follow {
    /// Follows one session; with `after`, from the message behind that one on.
    ///
    /// # Errors
    /// `TooManyStreams`.
    pub(super) fn session(
        inner: &Arc<Inner>,
        caller: &Identity,
        session: OwnedSession,
        after: Option<Seq>,
    ) -> Result<Self, ChatError> {
        let sessions = VecDeque::from([session.id()]);
        Self::new(inner, caller, Scope::Session(session.id()), Step::Begin { sessions, after })
    }

    /// Follows all of the caller's sessions.
    ///
    /// # Errors
    /// `TooManyStreams`; the store's.
    pub(super) async fn user(inner: &Arc<Inner>, caller: &Identity) -> Result<Self, ChatError> {
        let mut follow = Self::new(inner, caller, Scope::User, Step::Over)?;
        let sessions = inner.parts.store.sessions(caller.id(), None, SESSIONS_TOLD).await?;
        let sessions = sessions.iter().map(|session| session.id).collect();
        follow.step = Step::Begin { sessions, after: None };
        Ok(follow)
    }

    /// Begins to listen for a turn that is not there yet: nothing of it is missed.
    ///
    /// # Errors
    /// `TooManyStreams`.
    pub(super) fn turn_to_come(inner: &Arc<Inner>, caller: &Identity) -> Result<Self, ChatError> {
        let mut follow = Self::new(inner, caller, Scope::User, Step::Live)?;
        follow.feed.outlives_stop();
        Ok(follow)
    }

    /// Follows `turn` from here on. `known`: it was there before, so it is told from the log.
    pub(super) fn narrow(mut self, turn: OpenTurn, known: bool) -> Self {
        self.scope = Scope::Turn(turn);
        self.step = if known { Step::Known } else { Step::Live };
        self
    }

    fn new(inner: &Arc<Inner>, caller: &Identity, scope: Scope, step: Step) -> Result<Self, ChatError> {
        let place = inner.parts.streams.open(caller.id(), caller.user().tier)?;
        let spread = u64::from(caller.token().bytes()[15]) * BEAT_SPREAD_MS / 256;
        Ok(Self {
            inner: Arc::clone(inner),
            _place: place,
            feed: inner.parts.store.subscribe(caller.id()),
            scope,
            owner: caller.id(),
            login: caller.digest(),
            login_until: caller.until(),
            step,
            told: Seq::ZERO,
            told_cleared: Seq::ZERO,
            heard: Vec::new(),
            beat: Duration::from_millis(BEAT_MS + spread),
            told_at: Instant::now(),
            looks_now: false,
        })
    }

    /// What comes next; nothing at the end. Dropping the future may lose what it was about to tell, so a stream whose
    /// call was dropped is not to be asked again.
    ///
    /// # Errors
    /// The store's: the stream breaks off.
    pub async fn next(&mut self) -> Result<Option<Vec<Update>>, ChatError> {
        loop {
            let updates = match &mut self.step {
                Step::Over => return Ok(None),
                Step::Begin { sessions, after } => {
                    let after = *after;
                    if let Some(session) = sessions.pop_front() {
                        self.begin(session, after).await?
                    } else {
                        self.go_live();
                        self.ends_with_login().await?;
                        Vec::new()
                    }
                }
                Step::Replay => self.replay().await?,
                Step::Known => self.known().await?,
                Step::Live => match self.listen().await {
                    Some(updates) => updates,
                    None => return Ok(None),
                },
            };
            if !updates.is_empty() {
                self.told_at = Instant::now();
                return Ok(Some(updates));
            }
        }
    }

    /// How a session stands at the beginning.
    async fn begin(&mut self, session: SessionId, after: Option<Seq>) -> Result<Vec<Update>, ChatError> {
        let standing = match self.inner.parts.store.standing(session, TURNS_TOLD).await {
            Ok(standing) => standing,
            Err(StoreError::NotOwner(_)) => {
                // It was deleted just now, perhaps before anyone listened.
                if self.scope != Scope::User {
                    self.step = Step::Over;
                }
                return Ok(Vec::new());
            }
            Err(error) => return Err(error.into()),
        };
        let mut gone = Vec::new();
        if self.scope == Scope::Session(session) {
            self.told = after.map_or(standing.head, |after| after.min(standing.head));
            self.step = Step::Replay;
            if self.ends_with_login().await? {
                return Ok(Vec::new());
            }
            if after.is_some() {
                gone = self.taken_away(session).await?;
            }
        }
        Ok([vec![Update::State { session, standing }], gone].concat())
    }

    /// What is gone of the messages that a client had before it went away.
    async fn taken_away(&mut self, session: SessionId) -> Result<Vec<Update>, ChatError> {
        let gone = match self.inner.parts.store.taken_away(session, self.told, ERASED_TOLD).await {
            Err(StoreError::NotOwner(_)) => {
                self.step = Step::Over;
                return Ok(Vec::new());
            }
            read => read?,
        };
        let cleared = gone.cleared.map(|(through, shown)| {
            self.told_cleared = through;
            let json = serde_json::to_vec(&shown).ok().map(Bytes::from);
            Update::Session { session, change: SessionChange::Cleared(through), json }
        });
        let erased = gone.erased.into_iter().map(|seq| Update::Erased { session, seq });
        Ok(cleared.into_iter().chain(erased).collect())
    }

    /// Ends the stream where its login ended before anyone listened for that.
    async fn ends_with_login(&mut self) -> Result<bool, ChatError> {
        let ended = self.inner.parts.store.token(self.login).await?.is_none();
        if ended {
            self.step = Step::Over;
        }
        Ok(ended)
    }

    /// The next messages that the log has beyond what was told.
    async fn replay(&mut self) -> Result<Vec<Update>, ChatError> {
        let Scope::Session(session) = self.scope else {
            self.go_live();
            return Ok(Vec::new());
        };
        let (messages, head) = match self.inner.parts.store.log_after(session, self.told, BLOCK).await {
            Err(StoreError::NotOwner(_)) => {
                self.step = Step::Over;
                return Ok(Vec::new());
            }
            read => read?,
        };
        let mut updates = Vec::with_capacity(messages.len() * 2);
        for message in &messages {
            self.told = message.seq;
            updates.extend(told(session, message));
        }
        if self.told >= head || messages.is_empty() {
            self.go_live();
        }
        Ok(updates)
    }

    /// From here on the feed and the running replies are told, beginning with what they have already.
    fn go_live(&mut self) {
        self.step = Step::Live;
        self.looks_now = true;
    }

    /// A turn that was there before: its message, and its outcome where it has one.
    async fn known(&mut self) -> Result<Vec<Update>, ChatError> {
        let Scope::Turn(OpenTurn { session, seq }) = self.scope else { return Ok(Vec::new()) };
        let store = &self.inner.parts.store;
        let gone = ChatError::DeletedMeanwhile;
        let (message, outcome) = store.turn(session, seq).await?.ok_or(gone)?;
        let (logged, _) = store.log_after(session, Seq(seq.0 - 1), 1).await?;
        let itself = logged.iter().filter(|logged| logged.seq == seq);
        let mut updates: Vec<Update> = itself.flat_map(|message| told(session, message)).collect();
        let ended = |status, detail| Update::Ended { session, reply_to: seq, seq: None, status, detail };
        self.told = seq;
        self.step = Step::Over;
        match outcome {
            Outcome::Pending => self.go_live(),
            Outcome::Reply(reply) => {
                let (logged, _) = store.log_after(session, Seq(reply.seq.0 - 1), 1).await?;
                // What stands there instead, where the history was cleared just now, is of another turn.
                let reply_itself = logged.into_iter().filter(|logged| logged.seq == reply.seq);
                updates.extend(reply_itself.map(|Logged { seq, json, .. }| Update::Message { session, seq, json }));
                // Not from how the reply stands: another may have replaced it just now.
                let status = message.status;
                updates.push(Update::Ended { session, reply_to: seq, seq: Some(reply.seq), status, detail: None });
            }
            Outcome::Failed { detail, .. } => updates.push(ended(message.status, Some(detail))),
            Outcome::Interrupted => updates.push(ended(message.status, None)),
        }
        Ok(updates)
    }

    /// Waits for news; nothing where the stream is to end at once.
    async fn listen(&mut self) -> Option<Vec<Update>> {
        // Counted from what this client was told: what the user's other sessions do must not keep this one silent.
        let login_ends = Instant::now() + self.login_until.since(self.inner.parts.clock.now());
        let until = (self.told_at + self.beat).min(login_ends);
        let looks = self.feed.is_crowded() && !self.inner.live.of(self.owner).is_empty();
        let look = if looks { Instant::now() + LOOK } else { until };
        let heard = if std::mem::take(&mut self.looks_now) {
            Ok(self.feed.try_next().unwrap_or_default())
        } else {
            timeout_at(until.min(look), self.feed.next()).await
        };
        match heard {
            Ok(Heard::Events(events)) => Some(self.news(events)),
            Ok(Heard::Missed | Heard::Stopping) => None,
            Err(_) if Instant::now() < until => Some(self.news(Vec::new())),
            Err(_) => (self.inner.parts.clock.now() < self.login_until).then(|| vec![Update::Beat]),
        }
    }

    /// What `events` are to this stream, and the text of running replies behind them.
    fn news(&mut self, mut events: Vec<Event>) -> Vec<Update> {
        // The text is read before the last events are taken: of what has text, the message is among them, and what ends in
        // them gets no more text. Read after them, it could overtake its own message.
        let mut deltas = self.deltas();
        match self.feed.try_next() {
            Some(Heard::Events(more)) => {
                events.extend(more);
                self.looks_now = true; // Its poke may be of text that came after ours was read.
            }
            Some(Heard::Missed | Heard::Stopping) => {
                self.step = Step::Over;
                return Vec::new();
            }
            None => {}
        }
        let mut updates = Vec::with_capacity(events.len() + deltas.len());
        for event in events {
            if let Some(ended) = ended(&event) {
                deltas.retain(|delta| delta.turn() != Some(ended));
            }
            updates.extend(self.update(event));
            if matches!(self.step, Step::Over) {
                return updates;
            }
        }
        updates.append(&mut deltas);
        updates
    }

    /// What an event is to this stream.
    fn update(&mut self, event: Event) -> Option<Update> {
        match event {
            Event::Message { session, seq, reply_to, json } => {
                if let Some(of) = reply_to {
                    self.heard.retain(|position| position.turn != OpenTurn { session, seq: of });
                }
                let news = match self.scope {
                    Scope::User => true,
                    Scope::Session(id) => id == session && seq > self.told,
                    Scope::Turn(turn) => {
                        turn.session == session && [Some(seq), reply_to].contains(&Some(turn.seq)) && seq > self.told
                    }
                };
                news.then_some(Update::Message { session, seq, json })
            }
            Event::Ended { session, reply_to, seq, status, detail } => {
                self.heard.retain(|position| position.turn != OpenTurn { session, seq: reply_to });
                let news = match self.scope {
                    Scope::User => true,
                    // Its reply was read from the log, and so was this.
                    Scope::Session(id) => id == session && seq.is_none_or(|seq| seq > self.told),
                    Scope::Turn(turn) => turn == OpenTurn { session, seq: reply_to },
                };
                if matches!(self.scope, Scope::Turn(_)) && news {
                    self.step = Step::Over;
                }
                news.then_some(Update::Ended { session, reply_to, seq, status, detail })
            }
            Event::Session { session, change, json } => self.session_update(session, change, json),
            Event::Erased { session, seq } => {
                let news = match self.scope {
                    Scope::User => true,
                    Scope::Session(id) => id == session, // What was read before it may have had the text still.
                    Scope::Turn(_) => false, // It ends with its outcome, and nothing of it is erased before.
                };
                news.then_some(Update::Erased { session, seq })
            }
            Event::LoginEnded(login) => {
                if login == self.login {
                    self.step = Step::Over;
                }
                None
            }
        }
    }
}

impl Follow {
    fn session_update(&mut self, session: SessionId, change: SessionChange, json: Option<Bytes>) -> Option<Update> {
        match self.scope {
            Scope::User => Some(Update::Session { session, change, json }),
            Scope::Session(id) => {
                if id == session && change == SessionChange::Deleted {
                    self.step = Step::Over;
                }
                // Nothing else tells an open tab that what it shows is gone.
                let news = matches!(change, SessionChange::Cleared(through) if through > self.told_cleared);
                (id == session && news).then_some(Update::Session { session, change, json })
            }
            Scope::Turn(turn) if turn.session == session && takes_away(change, turn.seq) => {
                self.step = Step::Over;
                let detail = Some(DELETED.to_owned());
                Some(Update::Ended { session, reply_to: turn.seq, seq: None, status: Status::Failed, detail })
            }
            Scope::Turn(_) => None,
        }
    }

    /// What the running replies have beyond what was told of them.
    fn deltas(&mut self) -> Vec<Update> {
        let live = self.inner.live.of(self.owner);
        if live.is_empty() {
            self.heard = Vec::new();
            return Vec::new();
        }
        self.heard.retain(|position| live.iter().any(|reply| reply.turn == position.turn));
        let mut updates = Vec::new();
        for reply in live {
            let OpenTurn { session, seq } = reply.turn;
            let in_scope = match self.scope {
                Scope::User => true,
                Scope::Session(id) => id == session,
                Scope::Turn(turn) => turn == reply.turn,
            };
            if !in_scope {
                continue;
            }
            let at = self.heard.iter().position(|position| position.turn == reply.turn);
            let at = at.unwrap_or_else(|| {
                self.heard.push(Position { turn: reply.turn, attempt: reply.attempt, bytes: 0, chars: 0 });
                self.heard.len() - 1
            });
            let position = &mut self.heard[at];
            if position.attempt != reply.attempt {
                *position = Position { turn: reply.turn, attempt: reply.attempt, bytes: 0, chars: 0 };
            }
            let Some(piece) = reply.piece(position.bytes) else { continue };
            let offset = position.chars;
            position.bytes = piece.end;
            position.chars += piece.text.chars().count();
            let attempt = reply.attempt;
            updates.push(Update::Delta { session, reply_to: seq, attempt, offset, text: piece.text });
        }
        updates
    }
}

/// The turn that ends with an event.
fn ended(event: &Event) -> Option<OpenTurn> {
    match *event {
        Event::Message { session, reply_to: Some(seq), .. } | Event::Ended { session, reply_to: seq, .. } => {
            Some(OpenTurn { session, seq })
        }
        Event::Message { .. } | Event::Session { .. } | Event::Erased { .. } | Event::LoginEnded(_) => None,
    }
}

/// True where a message is gone with what happened to its session.
fn takes_away(change: SessionChange, seq: Seq) -> bool {
    match change {
        SessionChange::Deleted => true,
        SessionChange::Cleared(through) => seq <= through,
        SessionChange::Created | SessionChange::Renamed | SessionChange::Activity => false,
    }
}

/// A message of the log, and its turn's end where it is the reply that ended it.
fn told(session: SessionId, message: &Logged) -> impl Iterator<Item = Update> + use<> {
    let &Logged { seq, reply_to, status, ref json } = message;
    let status = match status {
        Status::Complete => Some(Status::Answered),
        Status::Stopped => Some(Status::Stopped),
        Status::Pending
        | Status::Answered
        | Status::Failed
        | Status::Interrupted
        | Status::Superseded
        | Status::Noted => None,
    };
    let ended = reply_to.zip(status);
    let ended =
        ended.map(|(reply_to, status)| Update::Ended { session, reply_to, seq: Some(seq), status, detail: None });
    [Some(Update::Message { session, seq, json: json.clone() }), ended].into_iter().flatten()
}
