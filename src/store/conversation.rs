//! Sessions, messages and turns, as the rest of the program sees them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::items::Beside;
use crate::{
    clock::{Timestamp, rfc3339},
    id::{MessageId, Seq, SessionId, UserId},
};

/// A session as its owner sees it; `Serialize` gives the JSON of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    #[serde(skip)]
    pub owner: UserId,
    /// Its title, where it has one.
    pub title: Option<String>,
    /// What the backend is told before the conversation, where it is not the configured words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// The last sequence given out.
    pub head: Seq,
    /// When it was made.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: Timestamp,
    /// When it last changed: a message, a title, a clearing.
    #[serde(serialize_with = "rfc3339")]
    pub updated_at: Timestamp,
}

/// What a field of a session becomes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Edit {
    /// It stays.
    #[default]
    Keep,
    /// This, or none.
    Set(Option<String>),
}

/// A change of a session by its owner, or what a new one begins with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionEdit {
    /// Its title.
    pub title: Edit,
    /// Its own instructions for the backend.
    pub system_prompt: Edit,
}

impl Edit {
    /// Changes `field`.
    pub(crate) fn apply(self, field: &mut Option<String>) {
        if let Self::Set(value) = self {
            *field = value;
        }
    }
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The person.
    User,
    /// The backend.
    Assistant,
    /// Instructions of whoever set things up. Only what is noted has this role, and the next.
    System,
    /// Instructions of the program that uses the API.
    Developer,
}

/// How a message stands. A user's message: the first five; a reply: the next three; what belongs to no turn: the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its reply is still being made.
    Pending,
    /// It has a reply.
    Answered,
    /// It has no reply, and the failure is recorded.
    Failed,
    /// Its reply was stopped (also: a reply that was stopped).
    Stopped,
    /// The server died while answering, and did not answer again.
    Interrupted,
    /// A whole reply.
    Complete,
    /// A reply that a later one replaced.
    Superseded,
    /// It is a part of the conversation, but nobody was asked to answer it, and it answers nothing.
    Noted,
}

/// A message; `Serialize` gives the JSON of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Its place in the session.
    pub seq: Seq,
    /// Its id.
    pub id: MessageId,
    /// Who speaks.
    pub role: Speaker,
    /// The text, byte for byte.
    pub content: String,
    /// The message that a reply answers.
    pub reply_to: Option<Seq>,
    /// How it stands.
    pub status: Status,
    /// When it was stored.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: Timestamp,
}

/// What a client's idempotency key becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendKey {
    /// Digest of the key's text (keys belong to a user).
    pub key: [u8; 16],
    /// Digest of what was sent with it.
    pub body: [u8; 16],
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

/// A user's message on its way to the log.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Who sends.
    pub user: UserId,
    /// Where to; must be theirs.
    pub session: SessionId,
    /// Make the session where nobody has it.
    pub create: bool,
    /// The text.
    pub content: String,
    /// The client's idempotency key.
    pub key: Option<SendKey>,
    /// What comes into the log with it.
    pub beside: Beside,
}

/// What became of a [`NewMessage`].
#[derive(Debug, Clone)]
pub struct Appended {
    /// The session that it is in.
    pub session: SessionId,
    /// The stored message.
    pub message: Message,
    /// True where the key was known: this is the message of the first time.
    pub repeated: bool,
}

/// What an idempotency key was used for last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedKey {
    /// The session of what was stored with it.
    pub session: SessionId,
    /// Its place there.
    pub seq: Seq,
    /// The digest of what was sent, or its tag.
    pub body: [u8; 16],
    /// When the key is forgotten.
    pub expires_at: Timestamp,
}

/// How a turn ends.
#[derive(Debug, Clone)]
pub enum Ending {
    /// With a reply.
    Reply {
        /// The text.
        content: String,
        /// True where it was stopped before its end.
        stopped: bool,
    },
    /// With a failure that can be retried.
    Failed {
        /// A sentence for the user.
        detail: String,
        /// True: too slow (504); false: refused, broken off, nothing usable (502).
        too_slow: bool,
    },
    /// The server died while answering.
    Interrupted,
}

/// How a turn ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It has not yet.
    Pending,
    /// With this reply.
    Reply(Message),
    /// With this failure.
    Failed {
        /// A sentence for the user.
        detail: String,
        /// True: too slow (504); false: refused, broken off, nothing usable (502).
        too_slow: bool,
    },
    /// The server died while answering.
    Interrupted,
}

/// A turn without an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenTurn {
    /// In this session.
    pub session: SessionId,
    /// The user's message.
    pub seq: Seq,
}

/// An open turn that a start found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// The turn.
    pub turn: OpenTurn,
    /// Whose session it is in.
    pub owner: UserId,
    /// The number of the try that begins now, the first answer included; nothing where it was tried often enough.
    pub attempt: Option<u32>,
}

/// Which messages of a session: those after and before the bounds (exclusive), at most `limit` (1 to 200).
///
/// With `after`: the first of them; otherwise the last of them. Always ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageRange {
    /// Only messages after this.
    pub after: Option<Seq>,
    /// Only messages before this.
    pub before: Option<Seq>,
    /// At most so many.
    pub limit: usize,
}

/// A message of the log as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its place.
    pub seq: Seq,
    /// The message that a reply answers.
    pub reply_to: Option<Seq>,
    /// How it stands.
    pub status: Status,
    /// Its JSON.
    pub json: Bytes,
}

/// How a session stands: its head, and the newest turns in order, each by its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The last sequence given out.
    pub head: Seq,
    /// The user's messages and how they stand.
    pub turns: Vec<(Seq, Status)>,
}

/// What is gone of messages that somebody was told of before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenAway {
    /// Up to where they were cleared, and the session as it is since.
    pub cleared: Option<(Seq, Session)>,
    /// Those without a text, ascending.
    pub erased: Vec<Seq>,
}

/// A JSON body that is ready to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// A strong entity tag, with its quotes.
    pub etag: http::HeaderValue,
    /// The JSON.
    pub body: Bytes,
}
