//! Decisions about what is imported.

use std::collections::{HashMap, HashSet};

use super::{
    super::{
        Import, ImportMessage, ImportSession, Imported, OpenTurn, Speaker, StoreError,
        codec::{Change, OutcomeRecord, SessionMeta, SpeakerCode},
        log::{Ended, LogEnd},
    },
    Batch, Decision, Draft, State,
};
use crate::{
    clock::Timestamp,
    id::{MessageId, Seq, SessionId, UserId},
};

/// So many messages may be said in a session while a batch for it is on its way.
const MOVED_MAX: u64 = 1024;

/// The turns of one import.
#[derive(Default)]
struct Turns {
    /// Messages of this import that have no outcome yet.
    open: HashSet<Seq>,
    /// The replies that are outcomes, by their messages.
    replies: HashMap<Seq, Option<Seq>>,
}

impl Batch<'_> {
    pub(super) fn import(&mut self, import: Import) -> Decision<Imported> {
        if let Some(wrong) = import.fault() {
            return Ok(Imported::Wrong(wrong));
        }
        let Import { user, session, make, head, mut messages } = import;
        let is_new = make.is_some() && self.is_free(session)?;
        let about = make.as_ref().and_then(|make| make.note.clone());
        let mut state = match make {
            Some(make) if is_new && self.user(user)?.is_some() => self.imported_state(user, make),
            Some(_) | None => self.owned(user, session)?,
        };
        if state.end.head != head && !self.may_move(session, (head, state.end.head), &messages)? {
            return Ok(Imported::Moved(state.end.head));
        }
        move_behind(&mut messages, head, state.end.head);
        if let Some(wrong) = self.wrong_reply(session, &state, &messages)? {
            return Ok(Imported::Wrong(wrong));
        }
        if is_new {
            self.changes.push(Change::Session { id: session, meta: state.meta.clone() });
            self.decided.created.insert(session);
            if about.is_some() {
                self.changes.push(Change::Annotation { session, seq: Seq::ZERO, text: about });
            }
        }
        let mut turns = Turns::default();
        for message in messages {
            self.import_message(session, &mut state, &mut turns, message)?;
        }
        let mut open: Vec<Seq> = turns.open.into_iter().collect();
        open.sort_unstable();
        for seq in open {
            // No start may answer what somebody said long ago.
            let at = state.end.last_at.unwrap_or(self.now);
            self.changes.push(Change::Outcome { session, seq, record: OutcomeRecord::Interrupted { at } });
        }
        let head = state.end.head;
        if head == Seq::ZERO {
            state.end.last_at = None; // There is no message yet.
        }
        self.decided.sessions.insert(session, Some(state));
        Ok(Imported::Stored(head))
    }

    fn imported_state(&self, owner: UserId, make: ImportSession) -> State {
        let created_at = make.created_at.min(self.now);
        let meta = SessionMeta {
            owner,
            title: make.title,
            created_at,
            changed_at: make.updated_at.min(self.now).max(created_at),
            cleared_through: Seq::ZERO,
            cleared_turns: 0,
            system_prompt: make.system_prompt,
        };
        // Its first message may be as old as itself: the bound is not when it last changed.
        let end = LogEnd { head: Seq::ZERO, turns: 0, last_at: Some(created_at), stamp: 0 };
        State { meta, end }
    }

    /// True where the messages may stand behind what was said since their batch was made: none of them is there already, and
    /// nothing is on its way that they could depend on.
    fn may_move(&self, session: SessionId, (from, to): (Seq, Seq), messages: &[ImportMessage]) -> Decision<bool> {
        if to < from || to.0 - from.0 > MOVED_MAX {
            return Ok(false);
        }
        let ids: HashSet<MessageId> = messages.iter().map(|message| message.id).collect();
        // What this batch decided is not in the index yet.
        let is_safe = |change: &Change| match change {
            Change::Message { session: of, record, .. } => *of != session || !ids.contains(&record.id),
            Change::Outcome { session: of, .. }
            | Change::Session { id: of, .. }
            | Change::Annotation { session: of, .. }
            | Change::Progress { session: of, .. }
            | Change::Erased { session: of, .. } => *of != session,
            Change::User { .. }
            | Change::UserDeleted { .. }
            | Change::Token { .. }
            | Change::TokenEnded { .. }
            | Change::Invitation { .. }
            | Change::InvitationUsed { .. }
            | Change::SessionDeleted { .. }
            | Change::SendKey { .. }
            | Change::Job { .. }
            | Change::JobEnded { .. }
            | Change::Scopes { .. } => true,
        };
        let there = self.index.messages(session, from.next(), to)?;
        Ok(self.changes.iter().all(is_safe) && there.iter().all(|(_, record)| !ids.contains(&record.id)))
    }

    /// What is wrong with a reply: what it answers is no message of a user here, or is being answered.
    fn wrong_reply(&self, session: SessionId, state: &State, messages: &[ImportMessage]) -> Decision<Option<String>> {
        let first = state.end.head.0 + 1;
        for (message, seq) in messages.iter().zip(first..) {
            let Some(of) = message.reply_to else { continue };
            let is_message = if of.0 >= first {
                let at = usize::try_from(of.0 - first).ok().and_then(|at| messages.get(at));
                of.0 < seq && at.is_some_and(|message| message.role == Speaker::User && !message.noted)
            } else if of <= state.meta.cleared_through {
                false
            } else {
                let record = self.index.message(session, of)?;
                record.is_some_and(|record| record.speaker == SpeakerCode::User)
            };
            if !is_message {
                return Ok(Some(format!("message {seq} answers {of}, which is no message of the user")));
            }
            if self.memory.open.contains_key(&OpenTurn { session, seq: of }) {
                return Ok(Some(format!("message {of} is being answered: import again when it is")));
            }
        }
        Ok(None)
    }

    fn import_message(
        &mut self,
        session: SessionId,
        state: &mut State,
        turns: &mut Turns,
        message: ImportMessage,
    ) -> Result<(), StoreError> {
        let ImportMessage { id, role, content, reply_to, stopped, created_at, failure, noted, note } = message;
        let last: Timestamp = state.end.last_at.unwrap_or(state.meta.changed_at);
        let at = created_at.min(self.now).max(last);
        let head = state.end.head;
        let speaker = match (noted, role) {
            (false, Speaker::User) => SpeakerCode::User,
            (false, Speaker::Assistant) => SpeakerCode::Assistant,
            (true, _) | (false, Speaker::System | Speaker::Developer) => SpeakerCode::Noted(role.into()),
        };
        let mut record = self.next_record(state, Draft { speaker, content, reply_to, stopped });
        (record.id, record.created_at, state.end.last_at) = (id, at, Some(at));
        let seq = state.end.head;
        if let Some(of) = reply_to {
            let outcome = if turns.open.remove(&of) {
                (of != head).then_some(OutcomeRecord::Reply { seq })
            } else {
                let before = match turns.replies.get(&of) {
                    Some(before) => *before,
                    None => match self.index.ended(session, of)? {
                        Ended::Reply(at, _) => Some(at),
                        Ended::NotYet | Ended::Failed { .. } | Ended::Interrupted => None,
                    },
                };
                Some(OutcomeRecord::Retried { seq, before })
            };
            if let Some(record) = outcome {
                self.changes.push(Change::Outcome { session, seq: of, record });
            }
            turns.replies.insert(of, Some(seq));
        }
        self.changes.push(Change::Message { session, seq, record });
        if speaker == SpeakerCode::User {
            match failure {
                Some(failure) => {
                    let record = OutcomeRecord::Failed { detail: failure.detail, too_slow: failure.too_slow, at };
                    self.changes.push(Change::Outcome { session, seq, record });
                    turns.replies.insert(seq, None);
                }
                None => drop(turns.open.insert(seq)),
            }
        }
        if note.is_some() {
            self.changes.push(Change::Annotation { session, seq, text: note });
        }
        Ok(())
    }
}

/// Has replies within the batch name their messages where those stand behind `to`, instead of behind `from`.
fn move_behind(messages: &mut [ImportMessage], from: Seq, to: Seq) {
    for of in messages.iter_mut().filter_map(|message| message.reply_to.as_mut()).filter(|of| **of > from) {
        of.0 = of.0 - from.0 + to.0;
    }
}
