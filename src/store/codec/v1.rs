//! Version 1: a session had no instructions of its own. Everything else is as it is today.

use serde::Deserialize;

use super::{Change, MessageRecord, OutcomeRecord, SendKeyRecord, SessionMeta, SessionRecord, TokenRecord, UserRecord};
use crate::{
    clock::Timestamp,
    id::{Seq, SessionId, UserId},
};

#[derive(Deserialize)]
pub(super) struct SessionMetaV1 {
    owner: UserId,
    title: Option<String>,
    created_at: Timestamp,
    changed_at: Timestamp,
    cleared_through: Seq,
    cleared_turns: u64,
}

#[derive(Deserialize)]
pub(super) enum SessionRecordV1 {
    Live(SessionMetaV1),
    Deleted,
}

#[derive(Deserialize)]
pub(super) enum ChangeV1 {
    User { id: UserId, record: UserRecord },
    UserDeleted { id: UserId },
    Token { digest: [u8; 32], record: TokenRecord },
    TokenEnded { digest: [u8; 32], expires_at: Timestamp },
    Invitation { digest: [u8; 32], expires_at: Timestamp },
    InvitationUsed { digest: [u8; 32], expires_at: Timestamp },
    Session { id: SessionId, meta: SessionMetaV1 },
    SessionDeleted { id: SessionId, owner: UserId },
    Message { session: SessionId, seq: Seq, record: MessageRecord },
    Outcome { session: SessionId, seq: Seq, record: OutcomeRecord },
    SendKey { user: UserId, key: [u8; 16], record: SendKeyRecord },
}

impl From<SessionMetaV1> for SessionMeta {
    fn from(meta: SessionMetaV1) -> Self {
        let SessionMetaV1 { owner, title, created_at, changed_at, cleared_through, cleared_turns } = meta;
        Self { owner, title, created_at, changed_at, cleared_through, cleared_turns, system_prompt: None }
    }
}

impl From<SessionRecordV1> for SessionRecord {
    fn from(record: SessionRecordV1) -> Self {
        match record {
            SessionRecordV1::Live(meta) => Self::Live(meta.into()),
            SessionRecordV1::Deleted => Self::Deleted,
        }
    }
}

impl From<ChangeV1> for Change {
    fn from(change: ChangeV1) -> Self {
        match change {
            ChangeV1::User { id, record } => Self::User { id, record },
            ChangeV1::UserDeleted { id } => Self::UserDeleted { id },
            ChangeV1::Token { digest, record } => Self::Token { digest, record },
            ChangeV1::TokenEnded { digest, expires_at } => Self::TokenEnded { digest, expires_at },
            ChangeV1::Invitation { digest, expires_at } => Self::Invitation { digest, expires_at },
            ChangeV1::InvitationUsed { digest, expires_at } => Self::InvitationUsed { digest, expires_at },
            ChangeV1::Session { id, meta } => Self::Session { id, meta: meta.into() },
            ChangeV1::SessionDeleted { id, owner } => Self::SessionDeleted { id, owner },
            ChangeV1::Message { session, seq, record } => Self::Message { session, seq, record },
            ChangeV1::Outcome { session, seq, record } => Self::Outcome { session, seq, record },
            ChangeV1::SendKey { user, key, record } => Self::SendKey { user, key, record },
        }
    }
}
