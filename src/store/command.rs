//! What the writer is asked to do. Every command carries the way back for its answer.

use tokio::sync::oneshot;

use super::{
    Appended, Ending, Import, Imported, Message, NewMessage, OpenTurn, Resumed, Session, SessionEdit, StoreError,
    Token, TokenDigest, User, UserChange, items::ItemCommand, jobs::JobCommand,
};
use std::sync::Arc;

use crate::{
    clock::Timestamp,
    id::{Seq, SessionId, TokenId, UserId},
};

/// Where an answer goes; nobody may be there any more.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

pub(crate) enum Command {
    Append(NewMessage, Reply<Appended>),
    /// Ends an open turn; with an annotation of its message, where that is given.
    Conclude(OpenTurn, Ending, Option<String>, Reply<Option<Message>>),
    /// Ends a turn anew that has an outcome.
    Retry(OpenTurn, Ending, Reply<Option<Message>>),
    /// Counts that these open turns are being answered again, unless that happened as often as the number says.
    Resume(Vec<OpenTurn>, u32, Reply<Vec<Resumed>>),
    CreateUser(Box<User>, Option<TokenDigest>, Reply<()>),
    ChangeUser(UserId, UserChange, Reply<Arc<User>>),
    DeleteUser(UserId, Reply<()>),
    CreateInvitation(TokenDigest, Timestamp, Reply<()>),
    CreateToken(TokenDigest, Token, usize, Reply<()>),
    /// A login for a program, which that login asks for; false where the user has as many as the number says.
    CreateKey(TokenDigest, Token, Option<TokenDigest>, usize, Reply<bool>),
    EndToken(UserId, TokenId, Reply<bool>),
    TouchToken(TokenDigest, Timestamp),
    CreateSession(UserId, SessionId, SessionEdit, Reply<(Session, bool)>),
    EditSession(UserId, SessionId, SessionEdit, Reply<Session>),
    /// Deletes a session; only where its log ends there, where that is given.
    DeleteSession(UserId, SessionId, Option<Seq>, Reply<()>),
    /// Empties the user's next sessions behind that one; gives the last of them, where there may be more.
    ClearSessions(UserId, Option<SessionId>, Reply<Option<SessionId>>),
    /// Something of the queue.
    Job(JobCommand),
    /// Something beside the turns of a conversation.
    Item(ItemCommand),
    /// Adds what was said elsewhere to the end of a session's log.
    Import(Box<Import>, Reply<Imported>),
    /// Seals the segment that is written, so that compaction may have everything up to now; gives the next frame.
    Rotate(Reply<()>),
    /// Writes what waits, marks a clean stop and ends.
    Close(Reply<()>),
}

impl Command {
    /// True for what may be written below the floor of free space: it makes room, or ends what was begun.
    pub(crate) fn is_allowed_on_a_full_disk(&self) -> bool {
        match self {
            Self::Conclude(..)
            | Self::Retry(..)
            | Self::Resume(..)
            | Self::DeleteUser(..)
            | Self::EndToken(..)
            | Self::DeleteSession(..)
            | Self::ClearSessions(..)
            | Self::Rotate(_)
            | Self::Close(_) => true,
            Self::Append(..)
            | Self::CreateUser(..)
            | Self::ChangeUser(..)
            | Self::CreateInvitation(..)
            | Self::CreateToken(..)
            | Self::CreateKey(..)
            | Self::TouchToken(..)
            | Self::CreateSession(..)
            | Self::EditSession(..)
            | Self::Import(..) => false,
            Self::Job(command) => command.is_allowed_on_a_full_disk(),
            Self::Item(command) => command.is_allowed_on_a_full_disk(),
        }
    }

    /// True for what is decided by what the writer remembers, or by what was in the index before the last batch.
    pub(crate) fn is_decided_from_memory(&self) -> bool {
        match self {
            Self::Append(..) | Self::Conclude(..) => true,
            Self::Item(command) => command.is_decided_from_memory(),
            Self::Retry(..)
            | Self::Resume(..)
            | Self::CreateUser(..)
            | Self::ChangeUser(..)
            | Self::DeleteUser(..)
            | Self::CreateInvitation(..)
            | Self::CreateToken(..)
            | Self::CreateKey(..)
            | Self::EndToken(..)
            | Self::TouchToken(..)
            | Self::CreateSession(..)
            | Self::EditSession(..)
            | Self::DeleteSession(..)
            | Self::ClearSessions(..)
            | Self::Job(_)
            | Self::Import(..)
            | Self::Rotate(_)
            | Self::Close(_) => false,
        }
    }

    /// Refuses the command with `error`.
    pub(crate) fn refuse(self, error: StoreError) {
        // Whoever asked may have gone; there is nobody else to tell.
        match self {
            Self::Append(_, reply) => drop(reply.send(Err(error))),
            Self::Conclude(.., reply) | Self::Retry(.., reply) => drop(reply.send(Err(error))),
            Self::Resume(_, _, reply) => drop(reply.send(Err(error))),
            Self::ChangeUser(_, _, reply) => drop(reply.send(Err(error))),
            Self::EndToken(_, _, reply) | Self::CreateKey(.., reply) => drop(reply.send(Err(error))),
            Self::ClearSessions(_, _, reply) => drop(reply.send(Err(error))),
            Self::CreateSession(_, _, _, reply) => drop(reply.send(Err(error))),
            Self::Import(_, reply) => drop(reply.send(Err(error))),
            Self::EditSession(_, _, _, reply) => drop(reply.send(Err(error))),
            Self::CreateUser(_, _, reply)
            | Self::DeleteUser(_, reply)
            | Self::CreateInvitation(_, _, reply)
            | Self::CreateToken(_, _, _, reply)
            | Self::DeleteSession(.., reply)
            | Self::Rotate(reply)
            | Self::Close(reply) => drop(reply.send(Err(error))),
            Self::TouchToken(..) => {}
            Self::Job(command) => command.refuse(error),
            Self::Item(command) => command.refuse(error),
        }
    }
}
