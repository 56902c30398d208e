//! Decisions about items, annotations, progress and erasures.

use super::{
    super::{
        AddedItems, Erasure, Message, NewItem, NewItems, OpenTurn, SendKey, Status, StoreError,
        codec::{Change, MessageRecord, SendKeyRecord, SpeakerCode},
        items::ItemCommand,
    },
    Batch, Decision, Draft, State, message_of,
};
use crate::{
    id::{Seq, SessionId, UserId},
    text::Title,
};

impl Batch<'_> {
    pub(super) fn decide_item(&mut self, command: ItemCommand) {
        match command {
            ItemCommand::Add(items, reply) => {
                let decided = self.add_items(items);
                self.settle(reply, decided);
            }
            ItemCommand::Annotate(user, session, seq, text, reply) => {
                let decided = self.annotate(user, session, seq, text);
                self.settle(reply, decided);
            }
            ItemCommand::Progress(turn, at, text, reply) => {
                let decided = self.progress(turn, at, text);
                self.settle(reply, decided);
            }
            ItemCommand::Erase(user, session, seq, reply) => {
                let decided = self.erase(user, session, seq);
                self.settle(reply, decided);
            }
        }
    }

    fn add_items(&mut self, new: NewItems) -> Decision<AddedItems> {
        let NewItems { user, session, create, about, items, key, renews_key } = new;
        if let Some(key) = key
            && !renews_key
            && let Some(known) = self.known_key(user, key.key)?
        {
            return if known.body == key.body {
                self.added_before(known, items.len())
            } else {
                Err(StoreError::KeyReused)
            };
        }
        let mut state = self.state_for(user, session, create, about)?;
        let mut added = Vec::with_capacity(items.len());
        for item in items {
            added.push(self.note(session, &mut state, item));
        }
        if let Some(key) = key {
            let SendKey { key, body, expires_at } = key;
            let record = SendKeyRecord { session, seq: state.end.head, body, expires_at };
            self.decided.keys.insert((user, key), record);
            self.changes.push(Change::SendKey { user, key, record });
        }
        self.decided.sessions.insert(session, Some(state));
        Ok(AddedItems { session, items: added })
    }

    /// The items that were added with a key before, of which the last one is known.
    fn added_before(&mut self, known: SendKeyRecord, count: usize) -> Decision<AddedItems> {
        let SendKeyRecord { session, seq, .. } = known;
        let state = self.state(session)?.ok_or(StoreError::TurnGone)?;
        let first = Seq((seq.0 + 1).saturating_sub(count as u64));
        if count > 0 && first <= state.meta.cleared_through {
            return Err(StoreError::TurnGone);
        }
        let mut items = Vec::with_capacity(count);
        for seq in (first.0..=seq.0).map(Seq) {
            let record = match self.decided_message(session, seq) {
                Some(record) => record,
                None => self.index.message(session, seq)?.ok_or(StoreError::TurnGone)?,
            };
            items.push(message_of(seq, &record, record.first_status()));
        }
        Ok(AddedItems { session, items })
    }

    /// A message that this batch decided.
    fn decided_message(&self, session: SessionId, seq: Seq) -> Option<MessageRecord> {
        self.changes.iter().find_map(|change| {
            let Change::Message { session: of, seq: at, record } = change else { return None };
            ((*of, *at) == (session, seq)).then(|| record.clone())
        })
    }

    /// The user's session, which is made where `create` says so and nobody has its id; `about` annotates it then.
    pub(super) fn state_for(
        &mut self,
        user: UserId,
        session: SessionId,
        create: bool,
        about: Option<String>,
    ) -> Decision<State> {
        if !(create && self.is_free(session)? && self.user(user)?.is_some()) {
            return self.owned(user, session);
        }
        let state = self.new_state(user, session, super::SessionEdit::default());
        if about.is_some() {
            self.changes.push(Change::Annotation { session, seq: Seq::ZERO, text: about });
        }
        Ok(state)
    }

    /// Appends a message that belongs to no turn.
    pub(super) fn note(&mut self, session: SessionId, state: &mut State, item: NewItem) -> Message {
        let NewItem { role, content } = item;
        let speaker = SpeakerCode::Noted(role.into());
        let record = self.next_record(state, Draft { speaker, content, reply_to: None, stopped: false });
        let seq = state.end.head;
        let message = message_of(seq, &record, Status::Noted);
        self.changes.push(Change::Message { session, seq, record });
        message
    }

    fn annotate(&mut self, user: UserId, session: SessionId, seq: Seq, text: Option<String>) -> Decision<bool> {
        let state = self.owned(user, session)?;
        let is_there = seq == Seq::ZERO || (seq > state.meta.cleared_through && seq <= state.end.head);
        // A turn's own annotation is written with its outcome, and not taken away before.
        let is_open = self.is_open(OpenTurn { session, seq });
        if is_there && !is_open {
            self.changes.push(Change::Annotation { session, seq, text });
        }
        Ok(is_there && !is_open)
    }

    fn is_open(&self, turn: OpenTurn) -> bool {
        let open = self.memory.open.contains_key(&turn) || self.decided.opened.contains(&turn);
        open && !self.decided.closed.contains(&turn)
    }

    fn progress(&mut self, turn: OpenTurn, at: u32, text: String) -> Decision<()> {
        let OpenTurn { session, seq } = turn;
        let state = self.state(session)?.filter(|state| seq > state.meta.cleared_through);
        if state.is_none() || !self.is_open(turn) {
            return Err(StoreError::TurnGone);
        }
        self.changes.push(Change::Progress { session, seq, at, text });
        Ok(())
    }

    /// What is said at `seq`, where that is kept.
    fn content(&self, session: SessionId, seq: Seq) -> Decision<Option<String>> {
        Ok(match self.decided_message(session, seq) {
            Some(record) => Some(record.content.clone()),
            None => self.index.message(session, seq)?.map(|record| record.content),
        })
    }

    fn erase(&mut self, user: UserId, session: SessionId, seq: Seq) -> Decision<Erasure> {
        let mut state = self.owned(user, session)?;
        if seq <= state.meta.cleared_through || seq > state.end.head {
            return Ok(Erasure::NoSuchMessage);
        }
        if self.is_open(OpenTurn { session, seq }) {
            return Ok(Erasure::BeingAnswered);
        }
        self.changes.push(Change::Annotation { session, seq, text: None });
        self.changes.push(Change::Erased { session, seq });
        // The title that was made of these words goes with them.
        let title = self.content(session, seq)?.and_then(|said| Title::of_words(&said)).map(Title::into_string);
        if title.is_some() && state.meta.title == title {
            state.meta.title = None;
            self.changes.push(Change::Session { id: session, meta: state.meta.clone() });
        }
        self.decided.sessions.insert(session, Some(state));
        Ok(Erasure::Erased)
    }
}
