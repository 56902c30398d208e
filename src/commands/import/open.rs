//! A conversation that is being brought in: what of it waits to be sent, and where everything of it stands on the server.
//!
//! Of what stands behind `head` it knows nothing: the server has it moved there, or says that it has some of it already.

use std::collections::HashMap;

use super::sender::User;
use crate::{
    clock::Timestamp,
    id::{MessageId, Seq, SessionId},
    import::Talk,
    store::ImportMessage,
};

/// The conversation that is being read.
pub(super) struct Open {
    pub(super) talk: Talk,
    pub(super) user: User,
    pub(super) session: SessionId,
    /// True where the session has the id that it has in the file, and so have its messages.
    pub(super) is_same: bool,
    /// True where it was there when it began, or somebody else has made it since.
    pub(super) was_there: bool,
    /// True as long as it is to be made.
    pub(super) is_new: bool,
    pub(super) cleared_at: Option<Timestamp>,
    /// Every message up to `head`, and those of the batch.
    pub(super) known: HashMap<MessageId, Seq>,
    /// Where the file's messages stand here.
    pub(super) places: HashMap<u64, Seq>,
    pub(super) head: Seq,
    pub(super) last: Option<Timestamp>,
    pub(super) batch: Vec<ImportMessage>,
    pub(super) bytes: usize,
    pub(super) added: u64,
    pub(super) there: u64,
}

impl Open {
    /// The batch is to stand behind `head`; `between` is all that stands there behind the head that was known. What of the batch
    /// is among that, because another import was first, is not sent again.
    pub(super) fn meet(&mut self, head: Seq, between: &[(Seq, MessageId)]) {
        let before = self.head;
        let there: HashMap<MessageId, Seq> = between.iter().map(|(seq, id)| (*id, *seq)).collect();
        let mut end = head;
        let mut place_of = |message: &ImportMessage| {
            there.get(&message.id).copied().unwrap_or_else(|| {
                end = end.next();
                end
            })
        };
        let places: Vec<Seq> = self.batch.iter().map(&mut place_of).collect();
        // Beyond the head that was known there is nothing but the batch.
        let moved = |seq: Seq| {
            let at = seq.0.checked_sub(before.0 + 1).and_then(|at| usize::try_from(at).ok());
            at.and_then(|at| places.get(at).copied()).unwrap_or(seq)
        };
        self.places.values_mut().chain(self.known.values_mut()).for_each(|seq| *seq = moved(*seq));
        let waiting = self.batch.len();
        self.batch.retain(|message| !there.contains_key(&message.id));
        self.there += (waiting - self.batch.len()) as u64;
        for message in &mut self.batch {
            message.reply_to = message.reply_to.map(moved);
        }
        self.known.extend(between.iter().map(|(seq, id)| (*id, *seq)));
        self.head = head;
    }
}
