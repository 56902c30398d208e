//! What stands beside turns in the model.

use super::{super::super::*, Deed, Log, World, reply, session_id, turn, user_id};
use crate::id::Seq;

impl Deed {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller chooses the deeds beside turns")]
    pub(super) async fn ask_beside_turns(&self, store: &Store) -> Result<Option<u64>, StoreError> {
        let there = |is_there: bool| if is_there { Ok(None) } else { Err(StoreError::NoUser) };
        match *self {
            Self::Item(session, user, words) => {
                let (user, session) = (user_id(user), session_id(session));
                let items = vec![NewItem { role: Speaker::Developer, content: words.to_owned() }];
                let new = NewItems { user, session, create: false, about: None, items, key: None, renews_key: false };
                let added = store.add_items(new).await?.items;
                Ok(added.first().map(|message| message.seq.0))
            }
            Self::Note(session, user, seq, words) => {
                let text = Some(words.to_owned());
                there(store.annotate(user_id(user), session_id(session), Seq(seq), text).await?)
            }
            Self::Piece(session, seq, at, words) => {
                store.progress(turn(session, seq), at, words.to_owned()).await.map(|()| None)
            }
            Self::NotedReply(session, seq, words, note) => {
                let ended = store.conclude(turn(session, seq), reply(words), Some(note.to_owned())).await?;
                Ok(ended.map(|reply| reply.seq.0))
            }
            Self::Erase(session, user, seq) => {
                let erased = store.erase(user_id(user), session_id(session), Seq(seq)).await?;
                there(erased == Erasure::Erased)
            }
            _ => panic!("{self:?} is not beside turns"),
        }
    }
}

impl World {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller chooses the deeds beside turns")]
    pub(super) fn follow_beside_turns(&mut self, deed: &Deed) -> Option<u64> {
        match *deed {
            Deed::Item(id, _, words) => Some(self.sessions.get_mut(&id)?.push(words.to_owned(), None, "noted")),
            Deed::Note(id, _, seq, words) => {
                let log = self.sessions.get_mut(&id)?;
                let note = if seq == 0 {
                    &mut log.note
                } else {
                    &mut log.entries.get_mut(&seq).filter(|entry| entry.status != "pending")?.note
                };
                *note = Some(words.to_owned());
                Some(0)
            }
            Deed::Piece(id, seq, _, words) => {
                let entry = self.sessions.get_mut(&id)?.entries.get_mut(&seq);
                entry.filter(|entry| entry.status == "pending")?.pieces.push(words.to_owned());
                Some(0)
            }
            Deed::NotedReply(id, seq, words, note) => {
                let at = self.end(id, seq, "pending", Some(words))?;
                let entry = self.sessions.get_mut(&id)?.entries.get_mut(&seq)?;
                entry.note = Some(note.to_owned());
                entry.pieces.clear();
                Some(at)
            }
            Deed::Erase(id, _, seq) => {
                let entry = self.sessions.get_mut(&id)?.entries.get_mut(&seq);
                let entry = entry.filter(|entry| entry.status != "pending")?;
                entry.text.clear();
                entry.note = None;
                Some(0)
            }
            _ => panic!("{deed:?} is not beside turns"),
        }
    }
}

impl Log {
    /// Reads what stands beside the messages that were read.
    pub(super) async fn read_beside(&mut self, store: &Store, id: SessionId) {
        self.note = store.annotation(id, Seq::ZERO).await.unwrap();
        for (seq, entry) in &mut self.entries {
            entry.note = store.annotation(id, Seq(*seq)).await.unwrap();
            entry.pieces = store.pieces(OpenTurn { session: id, seq: Seq(*seq) }).await.unwrap();
        }
    }
}
