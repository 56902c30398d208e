//! The items of a conversation, as programs see them: what was said, without what was replaced, failed or erased.

use super::{Chat, ChatError, Key, OwnedSession, Target, response::fitting};
use crate::{
    auth::Identity,
    id::{Seq, SessionId, UserId},
    store::{AddedItems, Erasure, Message, NewItem, NewItems, Status, StoreError},
};

/// Messages that one step of a listing reads.
const STEP: usize = 64;
/// Bytes of text that a listing has, however many items it was asked for; a longer one stands in it alone.
const LISTED_BYTES_MAX: usize = 4 << 20;

/// Which item of a session: a message by its place, or the answer to the message at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemId {
    /// The message that stands here.
    Message(Seq),
    /// The reply that the message here was given.
    Reply(Seq),
}

impl ItemId {
    /// Names a message for good: a reply by what it answers, for that is known before its own place is.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        message.reply_to.map_or(Self::Message(message.seq), Self::Reply)
    }
}

impl Chat {
    /// Makes a session with what a program says of it, and its first items; `key` says by what a repeat is known.
    ///
    /// # Errors
    /// `TooMuchKept`; `KeyReused`; `DeletedMeanwhile` where a repeat finds nothing any more; the store's.
    pub async fn create_conversation(
        &self,
        caller: &Identity,
        about: Option<String>,
        items: Vec<NewItem>,
        key: Option<Key<'_>>,
    ) -> Result<SessionId, ChatError> {
        let about = about.map(fitting).transpose()?;
        let new = NewItems { about, create: true, ..self.new_items(caller.id(), SessionId::new(), items, key) };
        Ok(self.add(new, key).await?.session)
    }

    /// Adds items to the end of a conversation: all of them, or none. Nobody is asked to answer them.
    ///
    /// # Errors
    /// As [`Chat::create_conversation`], and [`Chat::session`].
    pub async fn add_items(
        &self,
        session: &OwnedSession,
        items: Vec<NewItem>,
        key: Option<Key<'_>>,
    ) -> Result<Vec<Message>, ChatError> {
        let new = self.new_items(session.owner, session.id, items, key);
        Ok(self.add(new, key).await?.items)
    }

    async fn add(&self, new: NewItems, key: Option<Key<'_>>) -> Result<AddedItems, ChatError> {
        self.goes_on()?;
        let store = &self.inner.parts.store;
        let again = key.filter(|key| key.renews() && key.may_repeat()).map(|_| new.clone());
        match (store.add_items(new).await, again) {
            // The first try was not stored, and something else with its words was before it.
            (Err(StoreError::KeyReused), Some(again)) => {
                Ok(store.add_items(NewItems { renews_key: true, ..again }).await?)
            }
            (added, _) => Ok(added?),
        }
    }

    fn new_items(&self, user: UserId, session: SessionId, items: Vec<NewItem>, key: Option<Key<'_>>) -> NewItems {
        let parts = &self.inner.parts;
        let (now, window) = (parts.clock.now(), parts.idempotency_window);
        let renews_key = key.is_some_and(|key| !key.may_repeat());
        let key = key.map(|key| key.send_key(&Target::Id(session), "", now, window));
        NewItems { user, session, create: false, about: None, items, key, renews_key }
    }

    /// Up to `limit` items, and not many bytes, behind `after`, upwards from the first or downwards from the last, and whether there are more;
    /// nothing where `after` never was there. One that was taken out still has its place.
    ///
    /// # Errors
    /// As [`Chat::session`].
    pub async fn items(
        &self,
        session: &OwnedSession,
        after: Option<ItemId>,
        upwards: bool,
        limit: usize,
    ) -> Result<Option<(Vec<Message>, bool)>, ChatError> {
        let from = match after {
            None if upwards => Seq(1),
            None => Seq(u64::MAX),
            Some(after) => match self.place(session, after).await? {
                Some(seq) if upwards => seq.next(),
                Some(seq) => Seq(seq.0.saturating_sub(1)),
                None => return Ok(None),
            },
        };
        self.items_from(session, from, upwards, limit).await.map(Some)
    }

    /// Up to `limit` items before the message at `seq`, downwards or upwards from the first, and whether there are more.
    async fn items_from(
        &self,
        session: &OwnedSession,
        mut from: Seq,
        upwards: bool,
        limit: usize,
    ) -> Result<(Vec<Message>, bool), ChatError> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        while from > Seq::ZERO {
            let run = self.inner.parts.store.run(session.id, from, upwards, STEP).await?;
            let Some(last) = run.last().map(|message| message.seq) else { break };
            for item in run.into_iter().filter(is_item) {
                bytes += item.content.len();
                if items.len() == limit || (bytes > LISTED_BYTES_MAX && !items.is_empty()) {
                    return Ok((items, true));
                }
                items.push(item);
            }
            from = if upwards { last.next() } else { Seq(last.0.saturating_sub(1)) };
        }
        Ok((items, false))
    }

    /// One item; nothing where it is not there.
    ///
    /// # Errors
    /// As [`Chat::session`].
    pub async fn item(&self, session: &OwnedSession, id: ItemId) -> Result<Option<Message>, ChatError> {
        let store = &self.inner.parts.store;
        let found = match id {
            ItemId::Message(seq) => store.message(session.id, seq, false).await?,
            ItemId::Reply(seq) => store.message(session.id, seq, true).await?,
        };
        Ok(found.filter(|message| is_item(message) && ItemId::of(message) == id))
    }

    /// Takes the text of an item out of the log; false where there is no such item.
    ///
    /// # Errors
    /// `BeingAnswered`; as [`Chat::session`].
    pub async fn delete_item(&self, session: &OwnedSession, id: ItemId) -> Result<bool, ChatError> {
        let Some(item) = self.item(session, id).await? else { return Ok(false) };
        match self.inner.parts.store.erase(session.owner, session.id, item.seq).await? {
            Erasure::Erased => Ok(true),
            Erasure::NoSuchMessage => Ok(false),
            Erasure::BeingAnswered => Err(ChatError::BeingAnswered),
        }
    }

    /// What programs keep of a conversation as a whole; nothing where they said nothing.
    ///
    /// # Errors
    /// The store's.
    pub async fn about(&self, session: &OwnedSession) -> Result<Option<String>, ChatError> {
        Ok(self.inner.parts.store.annotation(session.id, Seq::ZERO).await?)
    }

    /// Changes what programs keep of a conversation as a whole.
    ///
    /// # Errors
    /// `TooMuchKept`; as [`Chat::session`].
    pub async fn set_about(&self, session: &OwnedSession, about: Option<String>) -> Result<(), ChatError> {
        let about = about.map(fitting).transpose()?;
        self.inner.parts.store.annotate(session.owner, session.id, Seq::ZERO, about).await?;
        Ok(())
    }

    /// Where an item stands, or stood before its text was taken out; nothing where there never was such an item.
    async fn place(&self, session: &OwnedSession, id: ItemId) -> Result<Option<Seq>, ChatError> {
        let store = &self.inner.parts.store;
        let (seq, is_reply) = match id {
            ItemId::Message(seq) => (seq, false),
            ItemId::Reply(seq) => (seq, true),
        };
        let found = store.message(session.id, seq, is_reply).await?;
        Ok(found.filter(|message| ItemId::of(message) == id).map(|message| message.seq))
    }
}

/// True for what is part of the conversation: neither replaced nor erased.
fn is_item(message: &Message) -> bool {
    message.status != Status::Superseded && !message.content.is_empty()
}
