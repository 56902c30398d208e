//! Decisions: what each command of a batch comes to, given the index and what the batch decided before it.
//!
//! Nothing here is durable yet and nobody has heard of it. Sequence numbers, unique names, ownership and idempotency
//! keys need no locks: only the writer decides, one command after another.

mod accounts;
mod clearing;
mod imports;
mod items;
mod jobs;
mod keys;

use std::collections::{HashMap, HashSet};

pub(crate) use accounts::{token_of, user_of};

use super::{
    Appended, Beside, Ending, Message, NewMessage, OpenTurn, Resumed, Session, SessionEdit, Status, StoreError,
    TokenDigest,
    codec::{
        Change, JobKeyRecord, JobRecord, MessageRecord, OutcomeRecord, SendKeyRecord, SessionMeta, SessionRecord,
        SpeakerCode, TokenRecord, UserRecord,
    },
    command::{Command, Reply},
    index::Index,
    log::{Ended, LogEnd},
    memory::Memory,
};
use crate::{
    clock::Timestamp,
    id::{JobId, MessageId, Seq, SessionId, UserId},
};

/// Tells whoever waits for a command what it came to, once the batch is durable, or why it is not.
pub(crate) type Acknowledge = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A session as the writer knows it.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) meta: SessionMeta,
    pub(crate) end: LogEnd,
}

/// The decisions of one batch.
pub(crate) struct Batch<'a> {
    index: &'a Index,
    memory: &'a mut Memory,
    now: Timestamp,
    pub(crate) changes: Vec<Change>,
    pub(crate) acknowledgements: Vec<Acknowledge>,
    pub(crate) decided: Decided,
    /// True where sessions without a title are to get one when their first turn ends.
    pub(crate) titles: bool,
    /// The index could not be read: nothing more can be decided.
    pub(crate) broken: Option<StoreError>,
}

/// What the batch decided, over what the index holds.
#[derive(Default)]
pub(crate) struct Decided {
    /// Sessions as they will be; nothing for those that are deleted.
    pub(crate) sessions: HashMap<SessionId, Option<State>>,
    /// Sessions that did not exist before.
    pub(crate) created: HashSet<SessionId>,
    /// Sessions that were emptied.
    pub(crate) cleared: HashSet<SessionId>,
    pub(crate) users: HashMap<UserId, Option<UserRecord>>,
    pub(crate) opened: Vec<OpenTurn>,
    pub(crate) closed: HashSet<OpenTurn>,
    /// Logins that end.
    pub(crate) ended_logins: Vec<(UserId, TokenDigest)>,
    pub(crate) stamps: u64,
    names: HashMap<String, UserId>,
    tokens: HashMap<[u8; 32], Option<TokenRecord>>,
    /// Those of them that programs hold.
    of_programs: HashSet<[u8; 32]>,
    invitations: HashSet<[u8; 32]>,
    pub(crate) keys: HashMap<(UserId, [u8; 16]), SendKeyRecord>,
    pub(crate) messages: HashMap<(SessionId, Seq), MessageRecord>,
    jobs: HashMap<JobId, Option<JobRecord>>,
    job_keys: HashMap<String, Option<JobKeyRecord>>,
}

/// A message that has no place yet.
struct Draft {
    speaker: SpeakerCode,
    content: String,
    reply_to: Option<Seq>,
    stopped: bool,
}

type Decision<T> = Result<T, StoreError>;

impl<'a> Batch<'a> {
    pub(crate) fn over(index: &'a Index, memory: &'a mut Memory, now: Timestamp) -> Self {
        Self {
            index,
            memory,
            now,
            changes: Vec::new(),
            acknowledgements: Vec::new(),
            decided: Decided::default(),
            titles: false,
            broken: None,
        }
    }

    /// Decides a command that changes data; `Rotate` and `Close` are the writer's own.
    pub(crate) fn decide(&mut self, command: Command) {
        match command {
            Command::Append(message, reply) => {
                let decided = self.append(message);
                self.settle(reply, decided);
            }
            Command::Conclude(turn, ending, annotation, reply) => {
                let decided = self.conclude(turn, ending, annotation);
                self.settle(reply, decided);
            }
            Command::Retry(turn, ending, reply) => {
                let decided = self.retry(turn, ending);
                self.settle(reply, decided);
            }
            Command::Resume(turns, times_max, reply) => {
                let decided = self.resume(turns, times_max);
                self.settle(reply, decided);
            }
            Command::CreateUser(user, invitation, reply) => {
                let decided = self.create_user(&user, invitation);
                self.settle(reply, decided);
            }
            Command::ChangeUser(id, change, reply) => {
                let decided = self.change_user(id, change);
                self.settle(reply, decided);
            }
            Command::DeleteUser(id, reply) => {
                let decided = self.delete_user(id);
                self.settle(reply, decided);
            }
            Command::CreateInvitation(code, expires_at, reply) => {
                self.changes.push(Change::Invitation { digest: code.0, expires_at });
                self.settle(reply, Ok(()));
            }
            Command::CreateToken(digest, token, max, reply) => {
                let decided = self.create_token(digest, &token, max);
                self.settle(reply, decided);
            }
            Command::CreateKey(digest, token, by, max, reply) => {
                let decided = self.create_key(digest, &token, by, max);
                self.settle(reply, decided);
            }
            Command::EndToken(user, id, reply) => {
                let decided = self.end_token(user, id);
                self.settle(reply, decided);
            }
            Command::TouchToken(digest, at) => self.decide_touch(digest, at),
            Command::CreateSession(user, id, edit, reply) => {
                let decided = self.create_session(user, id, edit);
                self.settle(reply, decided);
            }
            Command::EditSession(user, id, edit, reply) => {
                let decided = self.edit_session(user, id, edit);
                self.settle(reply, decided);
            }
            Command::DeleteSession(user, id, head, reply) => {
                let decided = self.delete_session(user, id, head);
                self.settle(reply, decided);
            }
            Command::ClearSessions(user, after, reply) => {
                let decided = self.clear_sessions(user, after);
                self.settle(reply, decided);
            }
            Command::Job(command) => self.decide_job(command),
            Command::Item(command) => self.decide_item(command),
            Command::Import(import, reply) => {
                let decided = self.import(*import);
                self.settle(reply, decided);
            }
            Command::Rotate(reply) | Command::Close(reply) => self.settle(reply, Ok(())),
        }
    }

    /// A use of a login is noted if it can be: nobody waits for it.
    fn decide_touch(&mut self, digest: TokenDigest, at: Timestamp) {
        let decided = self.touch_token(digest, at);
        self.note_broken(decided.as_ref().err());
    }

    /// Turns sessions of a deleted account into tombstones.
    pub(crate) fn delete_sessions(&mut self, owner: UserId, sessions: &[SessionId]) {
        for id in sessions {
            self.put_deleted(owner, *id);
        }
    }

    fn settle<T: Send + 'static>(&mut self, reply: Reply<T>, decided: Decision<T>) {
        self.note_broken(decided.as_ref().err());
        self.acknowledgements.push(Box::new(move |committed| {
            // Whoever asked may have gone: the change stands all the same.
            let _ = reply.send(decided.and_then(|value| committed.map(|()| value)));
        }));
    }

    fn note_broken(&mut self, error: Option<&StoreError>) {
        if let Some(error @ StoreError::Unreadable(_)) = error {
            self.broken = Some(error.clone());
        }
    }

    fn state(&mut self, id: SessionId) -> Decision<Option<State>> {
        if let Some(state) = self.decided.sessions.get(&id) {
            return Ok(state.clone());
        }
        if let Some(state) = self.memory.states.get(&id) {
            return Ok(Some(state.clone()));
        }
        let Some(meta) = self.index.session_meta(id)? else { return Ok(None) };
        let end = self.index.log_end(id, meta.cleared_through, meta.cleared_turns)?;
        Ok(Some(State { meta, end }))
    }

    fn owned(&mut self, user: UserId, id: SessionId) -> Decision<State> {
        let deleted = self.memory.deleted_users.contains(&user) || self.decided.users.get(&user) == Some(&None);
        match self.state(id)? {
            Some(state) if state.meta.owner == user && !deleted => Ok(state),
            Some(_) | None => Err(StoreError::NotOwner(id)),
        }
    }

    /// True where nobody has or had this id.
    fn is_free(&self, id: SessionId) -> Decision<bool> {
        if self.decided.sessions.contains_key(&id) || self.memory.states.contains(&id) {
            return Ok(false);
        }
        Ok(match self.index.session_record(id)? {
            None => true,
            Some(SessionRecord::Live(_) | SessionRecord::Deleted) => false,
        })
    }

    fn new_state(&mut self, owner: UserId, id: SessionId, edit: SessionEdit) -> State {
        let mut meta = SessionMeta {
            owner,
            title: None,
            created_at: self.now,
            changed_at: self.now,
            cleared_through: Seq::ZERO,
            cleared_turns: 0,
            system_prompt: None,
        };
        edit.title.apply(&mut meta.title);
        edit.system_prompt.apply(&mut meta.system_prompt);
        self.changes.push(Change::Session { id, meta: meta.clone() });
        self.decided.created.insert(id);
        State { meta, end: LogEnd { head: Seq::ZERO, turns: 0, last_at: None, stamp: 0 } }
    }

    fn append(&mut self, new: NewMessage) -> Decision<Appended> {
        if let Some(key) = new.key
            && !new.beside.renews_key
            && let Some(known) = self.known_key(new.user, key.key)?
        {
            if known.body != key.body {
                return Err(StoreError::KeyReused);
            }
            let message = self.repeated(known)?;
            return Ok(Appended { session: known.session, message, repeated: true });
        }
        let Beside { before, annotation, about, behind, renews_key: _ } = new.beside;
        // What is refused leaves nothing: a session that is made now ends at 0.
        let create = new.create && behind.is_none_or(|behind| behind == Seq::ZERO);
        let mut state = self.state_for(new.user, new.session, create, about)?;
        if behind.is_some_and(|behind| behind != state.end.head) {
            return Err(StoreError::Moved);
        }
        for item in before {
            self.note(new.session, &mut state, item);
        }
        let draft = Draft { speaker: SpeakerCode::User, content: new.content, reply_to: None, stopped: false };
        let record = self.next_record(&mut state, draft);
        let seq = state.end.head;
        let message = message_of(seq, &record, Status::Pending);
        if let Some(key) = new.key {
            let known = SendKeyRecord { session: new.session, seq, body: key.body, expires_at: key.expires_at };
            self.decided.keys.insert((new.user, key.key), known);
            self.decided.messages.insert((new.session, seq), record.clone());
            self.changes.push(Change::SendKey { user: new.user, key: key.key, record: known });
        }
        self.changes.push(Change::Message { session: new.session, seq, record });
        if annotation.is_some() {
            self.changes.push(Change::Annotation { session: new.session, seq, text: annotation });
        }
        self.decided.opened.push(OpenTurn { session: new.session, seq });
        self.decided.sessions.insert(new.session, Some(state));
        Ok(Appended { session: new.session, message, repeated: false })
    }

    /// The record of the next message of a session, which `state` then ends with.
    fn next_record(&mut self, state: &mut State, draft: Draft) -> MessageRecord {
        let stamp = self.memory.next_stamp + self.decided.stamps;
        self.decided.stamps += 1;
        let Draft { speaker, content, reply_to, stopped } = draft;
        let begins = u64::from(speaker == SpeakerCode::User);
        let record = MessageRecord {
            id: MessageId::new(),
            speaker,
            content,
            reply_to,
            stopped,
            // Time never runs backwards within a session, whatever the clock does, nor behind what was cleared.
            created_at: state.end.last_at.unwrap_or(state.meta.changed_at).max(self.now),
            turn: state.end.turns + begins,
            stamp,
        };
        state.end = LogEnd { head: state.end.head.next(), turns: record.turn, last_at: Some(record.created_at), stamp };
        record
    }

    fn conclude(&mut self, turn: OpenTurn, ending: Ending, annotation: Option<String>) -> Decision<Option<Message>> {
        let open = self.memory.open.contains_key(&turn) && !self.decided.closed.contains(&turn);
        let state = self.state(turn.session)?;
        let Some(mut state) = state.filter(|state| open && turn.seq > state.meta.cleared_through) else {
            return Err(StoreError::TurnGone);
        };
        let OpenTurn { session, seq } = turn;
        let at = self.now;
        let reply = match ending {
            Ending::Reply { content, stopped } => {
                let is_behind = state.end.head == seq;
                let outcome = move |at| (!is_behind).then_some(OutcomeRecord::Reply { seq: at });
                Some(self.put_reply(turn, &mut state, (content, stopped), outcome))
            }
            Ending::Failed { detail, too_slow } => {
                let record = OutcomeRecord::Failed { detail, too_slow, at };
                self.changes.push(Change::Outcome { session, seq, record });
                None
            }
            Ending::Interrupted => {
                self.changes.push(Change::Outcome { session, seq, record: OutcomeRecord::Interrupted { at } });
                None
            }
        };
        if annotation.is_some() {
            self.changes.push(Change::Annotation { session, seq, text: annotation });
        }
        self.decided.closed.insert(turn);
        self.title_later(turn, &state);
        self.decided.sessions.insert(session, Some(state));
        Ok(reply)
    }

    /// Appends a reply to `turn`, behind the outcome record that it needs where the log does not show what it is.
    fn put_reply(
        &mut self,
        turn: OpenTurn,
        state: &mut State,
        (content, stopped): (String, bool),
        outcome: impl FnOnce(Seq) -> Option<OutcomeRecord>,
    ) -> Message {
        let OpenTurn { session, seq } = turn;
        let draft = Draft { speaker: SpeakerCode::Assistant, content, reply_to: Some(seq), stopped };
        let record = self.next_record(state, draft);
        let at = state.end.head;
        if let Some(record) = outcome(at) {
            self.changes.push(Change::Outcome { session, seq, record });
        }
        let status = if stopped { Status::Stopped } else { Status::Complete };
        let message = message_of(at, &record, status);
        self.changes.push(Change::Message { session, seq: at, record });
        message
    }

    /// Gives an ended turn a new outcome. A failure changes nothing where there is a reply: that one stays.
    fn retry(&mut self, turn: OpenTurn, ending: Ending) -> Decision<Option<Message>> {
        let OpenTurn { session, seq } = turn;
        let state = self.state(session)?;
        let Some(mut state) = state.filter(|state| seq > state.meta.cleared_through) else {
            return Err(StoreError::TurnGone);
        };
        let before = match self.index.ended(session, seq)? {
            Ended::NotYet => return Err(StoreError::TurnGone),
            Ended::Reply(at, _) => Some(at),
            Ended::Failed { .. } | Ended::Interrupted => None,
        };
        let reply = match ending {
            Ending::Reply { content, stopped } => {
                let outcome = move |at| Some(OutcomeRecord::Retried { seq: at, before });
                Some(self.put_reply(turn, &mut state, (content, stopped), outcome))
            }
            Ending::Failed { detail, too_slow } => {
                if before.is_none() {
                    let record = OutcomeRecord::RetryFailed { detail, too_slow, at: self.now };
                    self.changes.push(Change::Outcome { session, seq, record });
                }
                None
            }
            Ending::Interrupted => None,
        };
        self.decided.sessions.insert(session, Some(state));
        Ok(reply)
    }

    fn resume(&mut self, turns: Vec<OpenTurn>, times_max: u32) -> Decision<Vec<Resumed>> {
        let mut resumed = Vec::with_capacity(turns.len());
        for turn in turns {
            let OpenTurn { session, seq } = turn;
            let open = self.memory.open.contains_key(&turn) && !self.decided.closed.contains(&turn);
            let Some(state) = self.state(session)?.filter(|_| open) else { continue };
            let times = match self.index.outcome_record(session, seq)? {
                Some(OutcomeRecord::Resumed { times }) => times,
                Some(_) | None => 0,
            };
            let attempt = (times < times_max).then(|| times.saturating_add(2));
            if attempt.is_some() {
                let record = OutcomeRecord::Resumed { times: times + 1 };
                self.changes.push(Change::Outcome { session, seq, record });
            }
            resumed.push(Resumed { turn, owner: state.meta.owner, attempt });
        }
        Ok(resumed)
    }

    fn create_session(&mut self, user: UserId, id: SessionId, edit: SessionEdit) -> Decision<(Session, bool)> {
        if !self.is_free(id)? {
            return self.owned(user, id).map(|state| (session_of(id, &state), false));
        }
        if self.user(user)?.is_none() {
            return Err(StoreError::NotOwner(id));
        }
        let state = self.new_state(user, id, edit);
        let session = session_of(id, &state);
        self.decided.sessions.insert(id, Some(state));
        Ok((session, true))
    }

    fn edit_session(&mut self, user: UserId, id: SessionId, edit: SessionEdit) -> Decision<Session> {
        let mut state = self.owned(user, id)?;
        edit.title.apply(&mut state.meta.title);
        edit.system_prompt.apply(&mut state.meta.system_prompt);
        state.meta.changed_at = state.meta.changed_at.max(self.now);
        self.changes.push(Change::Session { id, meta: state.meta.clone() });
        let session = session_of(id, &state);
        self.decided.sessions.insert(id, Some(state));
        Ok(session)
    }

    fn delete_session(&mut self, user: UserId, id: SessionId, head: Option<Seq>) -> Decision<()> {
        let state = self.owned(user, id)?;
        if head.is_some_and(|head| head != state.end.head) {
            return Err(StoreError::Moved);
        }
        self.put_deleted(user, id);
        Ok(())
    }

    fn put_deleted(&mut self, owner: UserId, id: SessionId) {
        self.changes.push(Change::SessionDeleted { id, owner });
        self.decided.sessions.insert(id, None);
    }
}

/// A session as its owner sees it.
pub(crate) fn session_of(id: SessionId, state: &State) -> Session {
    Session {
        id,
        owner: state.meta.owner,
        title: state.meta.title.clone(),
        system_prompt: state.meta.system_prompt.clone(),
        head: state.end.head,
        created_at: state.meta.created_at,
        updated_at: state.end.last_at.map_or(state.meta.changed_at, |at| at.max(state.meta.changed_at)),
    }
}

/// A message of the API.
pub(crate) fn message_of(seq: Seq, record: &MessageRecord, status: Status) -> Message {
    Message {
        seq,
        id: record.id,
        role: record.speaker.into(),
        content: record.content.clone(),
        reply_to: record.reply_to,
        status,
        created_at: record.created_at,
    }
}
