//! What streams tell: of the log, and of what is not in it yet.

use bytes::Bytes;

use crate::{
    id::{Seq, SessionId},
    store::{OpenTurn, SessionChange, Standing, Status},
};

/// What a stream tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// A message of the log.
    Message {
        /// In this session.
        session: SessionId,
        /// Its place.
        seq: Seq,
        /// Its JSON.
        json: Bytes,
    },
    /// Text of a reply that is being made: provisional until its message comes.
    Delta {
        /// In this session.
        session: SessionId,
        /// The message that is being answered.
        reply_to: Seq,
        /// The number of the try; a later one begins with an empty text.
        attempt: u32,
        /// Where the text goes, characters.
        offset: usize,
        /// The text.
        text: String,
    },
    /// A turn has an outcome.
    Ended {
        /// In this session.
        session: SessionId,
        /// The user's message.
        reply_to: Seq,
        /// The reply, where there is one.
        seq: Option<Seq>,
        /// How the user's message stands.
        status: Status,
        /// Why there is no reply.
        detail: Option<String>,
    },
    /// How a session stands when the stream begins.
    State {
        /// Which.
        session: SessionId,
        /// How it stands.
        standing: Standing,
    },
    /// A session is not as it was.
    Session {
        /// Which.
        session: SessionId,
        /// What happened.
        change: SessionChange,
        /// The session's JSON; nothing for one that was deleted.
        json: Option<Bytes>,
    },
    /// The text of a message was taken out; its place stays.
    Erased {
        /// In this session.
        session: SessionId,
        /// Its place.
        seq: Seq,
    },
    /// Nothing has happened for a while.
    Beat,
}

impl Update {
    /// The turn whose running reply it is text of.
    pub(super) fn turn(&self) -> Option<OpenTurn> {
        match *self {
            Self::Delta { session, reply_to: seq, .. } => Some(OpenTurn { session, seq }),
            Self::Message { .. }
            | Self::Ended { .. }
            | Self::State { .. }
            | Self::Session { .. }
            | Self::Erased { .. }
            | Self::Beat => None,
        }
    }
}
