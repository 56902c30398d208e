//! Decisions about items, annotations, progress and erasures.

use super::{
    super::{
        Erasure, Message, NewItem, NewItems, OpenTurn, Status, StoreError,
        codec::{Change, SpeakerCode},
        items::ItemCommand,
    },
    Batch, Decision, Draft, State, message_of,
};
use crate::id::{Seq, SessionId, UserId};

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

    fn add_items(&mut self, new: NewItems) -> Decision<Vec<Message>> {
        let NewItems { user, session, create, about, items } = new;
        let mut state = self.state_for(user, session, create, about)?;
        let mut added = Vec::with_capacity(items.len());
        for item in items {
            added.push(self.note(session, &mut state, item));
        }
        self.decided.sessions.insert(session, Some(state));
        Ok(added)
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

    fn erase(&mut self, user: UserId, session: SessionId, seq: Seq) -> Decision<Erasure> {
        let state = self.owned(user, session)?;
        if seq <= state.meta.cleared_through || seq > state.end.head {
            return Ok(Erasure::NoSuchMessage);
        }
        if self.is_open(OpenTurn { session, seq }) {
            return Ok(Erasure::BeingAnswered);
        }
        self.changes.push(Change::Annotation { session, seq, text: None });
        self.changes.push(Change::Erased { session, seq });
        self.decided.sessions.insert(session, Some(state));
        Ok(Erasure::Erased)
    }
}
