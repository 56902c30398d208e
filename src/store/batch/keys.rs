//! What idempotency keys were used for.

use super::{
    super::{Message, Status, StoreError, codec::SendKeyRecord, log::NOW},
    Batch, Decision, message_of,
};
use crate::id::UserId;

impl Batch<'_> {
    /// What was sent with a key before, unless that is forgotten.
    pub(super) fn known_key(&self, user: UserId, key: [u8; 16]) -> Decision<Option<SendKeyRecord>> {
        let here = [&self.decided.keys, &self.memory.unapplied.keys];
        let known = here.iter().find_map(|keys| keys.get(&(user, key)).copied());
        if known.is_some() {
            return Ok(known);
        }
        Ok(self.index.send_key(user, key)?.filter(|known| known.expires_at > self.now))
    }

    /// The message that a known key names.
    pub(super) fn repeated(&mut self, known: SendKeyRecord) -> Decision<Message> {
        if self.state(known.session)?.is_none_or(|state| known.seq <= state.meta.cleared_through) {
            return Err(StoreError::TurnGone);
        }
        let here = [&self.decided.messages, &self.memory.unapplied.messages];
        if let Some(record) = here.iter().find_map(|messages| messages.get(&(known.session, known.seq))) {
            return Ok(message_of(known.seq, record, Status::Pending));
        }
        let record = self.index.message(known.session, known.seq)?.ok_or(StoreError::TurnGone)?;
        let (status, _) = self.index.standing((known.session, known.seq), &record, None, NOW)?;
        Ok(message_of(known.seq, &record, status))
    }
}
