//! What other systems, or other servers, have stored, on its way into the log of a session.
//!
//! A batch becomes one frame, decided like everything else: the owner, the tombstones and the places in the log are the
//! writer's. It says which head it was made for, so that repeating it adds nothing.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{
    ANNOTATION_BYTES_MAX, ANNOTATION_GROWTH_MAX, Speaker, Store, StoreError, codec::SessionRecord, command::Command,
    index::Index, log::LogEnd,
};
use crate::{
    clock::Timestamp,
    id::{MessageId, Seq, SessionId, UserId},
};

/// The longest text of a message, bytes: that of as many characters as the configuration can allow programs, of four bytes
/// each.
pub const TEXT_BYTES_MAX: usize = 1_000_000;
/// The longest annotation of a message or a session that is imported, bytes.
pub const NOTE_BYTES_MAX: usize = ANNOTATION_BYTES_MAX + ANNOTATION_GROWTH_MAX;
/// The most messages of one batch, and the most ids of one look.
pub const IMPORT_MESSAGES_MAX: usize = 256;
/// Bytes of one batch: it becomes one frame.
const BYTES_MAX: usize = 24 << 20;
const LOOK_MAX: u64 = 8192;

/// Messages for the end of one session's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// Whose session it is.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// What it begins with, where it is made by this batch; one that is there stays as it is.
    pub make: Option<ImportSession>,
    /// The end of the log up to which whoever makes the batch has looked: nothing of the batch stands there. The writer looks
    /// at what stands behind it.
    pub head: Seq,
    /// The messages, in order: the first gets the place behind `head`, or behind what was said since; of replies, `reply_to`
    /// beyond `head` means a message of the batch, and moves with it.
    pub messages: Vec<ImportMessage>,
}

/// A session that is made by an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportSession {
    /// Its title.
    pub title: Option<String>,
    /// Its own instructions for the backend.
    pub system_prompt: Option<String>,
    /// Its annotation.
    #[serde(default)]
    pub note: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A message that is imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportMessage {
    /// Its id.
    pub id: MessageId,
    /// Who speaks.
    pub role: Speaker,
    /// The text, at most [`TEXT_BYTES_MAX`]; none where it was taken out.
    pub content: String,
    /// Of a reply, the place of the message that it answers.
    pub reply_to: Option<Seq>,
    /// True for a reply that was stopped before its end.
    pub stopped: bool,
    /// When it was stored; behind the message before it in any case, and never later than now.
    pub created_at: Timestamp,
    /// Of a message without a reply, why there is none. Without it, a message whose reply is not in the same batch is
    /// interrupted until one comes.
    pub failure: Option<ImportFailure>,
    /// True for what belongs to no turn, as everything of a system or a developer does.
    #[serde(default)]
    pub noted: bool,
    /// Its annotation, at most [`NOTE_BYTES_MAX`].
    #[serde(default)]
    pub note: Option<String>,
}

/// Why a message has no reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportFailure {
    /// A sentence for the user.
    pub detail: String,
    /// True: too slow; false: refused, broken off, nothing usable.
    pub too_slow: bool,
}

/// What became of an [`Import`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Imported {
    /// All of it is stored at the end of the log, which is here now.
    Stored(Seq),
    /// Nothing is stored: the log ends here, and the batch was made for another one.
    Moved(Seq),
    /// Nothing is stored: this is wrong with it.
    Wrong(String),
}

/// Who has an id of a session, as an import of a user sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// Nobody, ever.
    Nobody,
    /// The user.
    User,
    /// Somebody else.
    Other,
    /// Nobody any more: it was deleted.
    Deleted,
}

/// What an import has to know of a session before it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// Who has the id.
    pub holder: Holder,
    /// Of the user's own: the end of its log.
    pub head: Seq,
    /// When the last message in it was stored.
    pub last_at: Option<Timestamp>,
    /// When it was last cleared, or changed since; none where it never was cleared.
    pub cleared_at: Option<Timestamp>,
    /// The messages behind the place that was asked for, in order; none where there are no more.
    pub messages: Vec<(Seq, MessageId)>,
}

impl Store {
    /// What `user` has in `session`, with the ids of some messages after `after`.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn look_for_import(&self, user: UserId, session: SessionId, after: Seq) -> Result<Look, StoreError> {
        self.scan(move |index| Ok(look(index, user, session, after)?)).await
    }

    /// Stores what `import` has: all of it, or nothing.
    ///
    /// Dropping the future does not undo it.
    ///
    /// # Errors
    /// `NotOwner` where the session is someone else's or deleted, or the user is not there; those of every write.
    pub async fn import(&self, import: Import) -> Result<Imported, StoreError> {
        self.write(|reply| Command::Import(Box::new(import), reply)).await
    }
}

fn look(index: &Index, user: UserId, session: SessionId, after: Seq) -> Result<Look, super::index::IndexError> {
    let nothing = |holder| Look { holder, head: Seq::ZERO, last_at: None, cleared_at: None, messages: Vec::new() };
    // Read once: between two readings another import may make it.
    let meta = match index.session_record(session)? {
        Some(SessionRecord::Live(meta)) => meta,
        Some(SessionRecord::Deleted) => return Ok(nothing(Holder::Deleted)),
        None => return Ok(nothing(Holder::Nobody)),
    };
    if meta.owner != user {
        return Ok(nothing(Holder::Other));
    }
    let LogEnd { head, last_at, .. } = index.log_end(session, meta.cleared_through, meta.cleared_turns)?;
    let first = after.max(meta.cleared_through).next();
    let messages = index.messages(session, first, Seq(first.0.saturating_add(LOOK_MAX - 1)).min(head))?;
    Ok(Look {
        holder: Holder::User,
        head,
        last_at,
        cleared_at: (meta.cleared_through > Seq::ZERO).then_some(meta.changed_at),
        messages: messages.into_iter().map(|(seq, record)| (seq, record.id)).collect(),
    })
}

impl Import {
    /// Bytes of text in it.
    pub(crate) fn bytes(&self) -> usize {
        let notes = self.notes().map(String::len).sum::<usize>();
        notes + self.messages.iter().map(|message| message.content.len()).sum::<usize>()
    }

    fn notes(&self) -> impl Iterator<Item = &String> {
        let of_session = self.make.iter().filter_map(|make| make.note.as_ref());
        of_session.chain(self.messages.iter().filter_map(|message| message.note.as_ref()))
    }

    /// What is wrong with it, whatever is stored.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.messages.len() > IMPORT_MESSAGES_MAX {
            return Some(format!("a batch has at most {IMPORT_MESSAGES_MAX} messages"));
        }
        let too_long = |message: &ImportMessage| message.content.len() > TEXT_BYTES_MAX;
        if self.messages.iter().any(too_long) {
            return Some(format!("a text has at most {TEXT_BYTES_MAX} bytes"));
        }
        if self.notes().any(|note| note.len() > NOTE_BYTES_MAX) || self.bytes() > BYTES_MAX {
            return Some(format!("an annotation has at most {NOTE_BYTES_MAX} bytes, and a batch {BYTES_MAX} in all"));
        }
        let ids: HashSet<MessageId> = self.messages.iter().map(|message| message.id).collect();
        if ids.len() < self.messages.len() {
            return Some("a batch has a message only once".to_owned());
        }
        let is_wrong = |message: &ImportMessage| match message.role {
            _ if message.noted => message.reply_to.is_some() || message.failure.is_some(),
            Speaker::User => message.reply_to.is_some(),
            Speaker::Assistant => message.reply_to.is_none() || message.failure.is_some(),
            Speaker::System | Speaker::Developer => true,
        };
        self.messages.iter().any(is_wrong).then(|| "a reply, and only that, names the message it answers".to_owned())
    }
}
