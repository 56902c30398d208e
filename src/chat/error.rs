//! What can go wrong with a turn.

use std::time::Duration;

use crate::{
    admission::{rate::OverLimit, slots::Overloaded, streams::TooManyStreams},
    id::{MessageId, SessionId},
    reply::Refused,
    store::StoreError,
};

/// What can go wrong, by what a client can do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChatError {
    /// Someone else's session, a deleted one, or none.
    #[error("session {0} is not the caller's")]
    NotOwner(SessionId),
    /// This user sends too much.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// This user follows too much at once.
    #[error(transparent)]
    TooManyStreams(#[from] TooManyStreams),
    /// Everybody together sends too much.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// So many turns wait in this session already that another could not be answered in time.
    #[error("the session's line is full")]
    LineFull {
        /// How long to wait before another try.
        retry_after: Duration,
    },
    /// The server is stopping; nothing was stored.
    #[error("the server is stopping")]
    Stopping {
        /// How long to wait before another try.
        retry_after: Duration,
    },
    /// The message is being answered right now.
    #[error("the message is being answered")]
    BeingAnswered,
    /// There is no such message of the user.
    #[error("no such message")]
    NoSuchMessage,
    /// Nothing was to be left out, and it is too much: nothing was stored.
    #[error("what was said is longer than the model's context")]
    NoRoom,
    /// The idempotency key came before with another body.
    #[error("the idempotency key was used with another body")]
    KeyReused,
    /// The message is stored, its turn failed, and the failure is recorded.
    #[error("the turn failed: {detail}")]
    Failed {
        /// The session.
        session: SessionId,
        /// The stored message.
        message: MessageId,
        /// A sentence for the user.
        detail: String,
        /// True: too slow (504); false: 502.
        too_slow: bool,
    },
    /// Nothing was to be stored, and no reply could be made.
    #[error("no reply: {detail}")]
    NoReply {
        /// A sentence for the user.
        detail: String,
        /// True: too slow (504).
        too_slow: bool,
        /// What is wrong with what was asked, where that is at fault (400).
        refused: Option<Refused>,
    },
    /// More is to be kept beside the words than may be; nothing was stored.
    #[error("{bytes} bytes are to be kept beside the words, {max} may be")]
    TooMuchKept {
        /// So much it would be, bytes of JSON.
        bytes: usize,
        /// So much it may be.
        max: usize,
    },
    /// The login of who listens has ended.
    #[error("the login has ended")]
    LoginEnded,
    /// The history was cleared, or the session deleted, while the reply was being made.
    #[error("the message was deleted while it was being answered")]
    DeletedMeanwhile,
    /// The store's.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for ChatError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotOwner(id) => Self::NotOwner(id),
            StoreError::KeyReused => Self::KeyReused,
            StoreError::TurnGone => Self::DeletedMeanwhile,
            StoreError::NoUser
            | StoreError::NameTaken
            | StoreError::NoInvitation
            | StoreError::Job(_)
            | StoreError::Moved
            | StoreError::DiskFull
            | StoreError::Busy
            | StoreError::Ended
            | StoreError::Unknown
            | StoreError::Unreadable(_) => Self::Store(error),
        }
    }
}
