//! Records: what the journal and the index hold, and the bytes that they become.
//!
//! Every value starts with the version of its format and is decoded under a size limit. A later format adds a version
//! beside the old ones, with a fixture of the old bytes; it never edits the past.

mod job;
mod v1;

use bincode::Options;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use v1::{ChangeV1, SessionRecordV1};

pub(crate) use job::{JobKeyRecord, JobRecord, JobStateCode, RepeatCode};

use super::{Role, Speaker, Status, Tier};
use crate::{
    clock::Timestamp,
    id::{JobId, MessageId, Seq, SessionId, TokenId, UserId},
};

/// The format that this program writes. 2 has a session's own instructions, and outcomes of turns that were answered
/// again; 3 has jobs; 4 has messages that belong to no turn, annotations, progress, erasures and keys of programs. What an
/// earlier one has is as it was.
const VERSION: u8 = 4;
/// The first to have jobs.
const VERSION_3: u8 = 3;
/// The only one that needs types of its own.
const VERSION_1: u8 = 1;

/// No value and no frame is longer than this: a damaged length can't ask for more memory.
pub(crate) const BYTES_MAX: u64 = 64 << 20;

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("an empty value")]
    Empty,
    #[error("format {0}, which this program does not know")]
    Version(u8),
    #[error("over {BYTES_MAX} bytes")]
    TooLong,
    #[error("not a record: {0}")]
    Malformed(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserRecord {
    pub(crate) username: String,
    pub(crate) folded: String,
    pub(crate) display_name: String,
    pub(crate) role: RoleCode,
    pub(crate) tier: TierCode,
    pub(crate) password: String,
    pub(crate) disabled: bool,
    pub(crate) created_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RoleCode {
    User,
    Admin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TierCode {
    Free,
    Premium,
    Unlimited,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenRecord {
    pub(crate) id: TokenId,
    pub(crate) user: UserId,
    pub(crate) label: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) last_used_at: Timestamp,
}

/// What stands under a session's id: a session, or the tombstone that keeps the id from being given again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SessionRecord {
    Live(SessionMeta),
    Deleted,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionMeta {
    pub(crate) owner: UserId,
    pub(crate) title: Option<String>,
    pub(crate) created_at: Timestamp,
    /// When the title was set or the history cleared.
    pub(crate) changed_at: Timestamp,
    /// Messages up to here are cleared; the sequence goes on after them.
    pub(crate) cleared_through: Seq,
    /// How many turns began up to there.
    pub(crate) cleared_turns: u64,
    /// What the backend is told before the conversation, in place of the configured words.
    pub(crate) system_prompt: Option<String>,
}

/// A message never changes once it is written: how it stands follows from what answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageRecord {
    pub(crate) id: MessageId,
    pub(crate) speaker: SpeakerCode,
    pub(crate) content: String,
    pub(crate) reply_to: Option<Seq>,
    /// True for a reply that was stopped before its end.
    pub(crate) stopped: bool,
    pub(crate) created_at: Timestamp,
    /// How many turns have begun in this session, this one included: counts and skips turns without walking them.
    pub(crate) turn: u64,
    /// The message's place among all messages of the server: the order across sessions, whatever the clock does.
    pub(crate) stamp: u64,
}

impl MessageRecord {
    /// How it stands as soon as it is written.
    pub(crate) fn first_status(&self) -> Status {
        match (self.speaker, self.stopped) {
            (SpeakerCode::User, _) => Status::Pending,
            (SpeakerCode::Assistant, true) => Status::Stopped,
            (SpeakerCode::Assistant, false) => Status::Complete,
            (SpeakerCode::Noted(_), _) => Status::Noted,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SpeakerCode {
    /// Begins a turn.
    User,
    /// Answers a turn.
    Assistant,
    /// Was added to the conversation and belongs to no turn: nobody was asked to answer it, and it answers nothing.
    Noted(NotedCode),
}

/// Who says something that belongs to no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NotedCode {
    User,
    Assistant,
    System,
    Developer,
}

/// How a turn ended, written only where the log does not show it: a whole reply right behind its message is its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OutcomeRecord {
    Reply {
        seq: Seq,
    },
    Failed {
        detail: String,
        too_slow: bool,
        at: Timestamp,
    },
    Interrupted {
        at: Timestamp,
    },
    /// A turn that had its outcome was answered again: by the reply at `seq`, in place of the one at `before`.
    Retried {
        seq: Seq,
        before: Option<Seq>,
    },
    /// A turn without a reply was tried again in vain.
    RetryFailed {
        detail: String,
        too_slow: bool,
        at: Timestamp,
    },
    /// No outcome yet: so many starts have begun to answer it again.
    Resumed {
        times: u32,
    },
}

impl OutcomeRecord {
    /// True where the turn has come to something.
    pub(crate) fn is_end(&self) -> bool {
        match self {
            Self::Resumed { .. } => false,
            Self::Reply { .. }
            | Self::Failed { .. }
            | Self::Interrupted { .. }
            | Self::Retried { .. }
            | Self::RetryFailed { .. } => true,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SendKeyRecord {
    pub(crate) session: SessionId,
    pub(crate) seq: Seq,
    /// Digest of what was sent.
    pub(crate) body: [u8; 16],
    pub(crate) expires_at: Timestamp,
}

/// One change of the data, with absolute keys and values: made twice, it changes nothing the second time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    User {
        id: UserId,
        record: UserRecord,
    },
    UserDeleted {
        id: UserId,
    },
    Token {
        digest: [u8; 32],
        record: TokenRecord,
    },
    TokenEnded {
        digest: [u8; 32],
        expires_at: Timestamp,
    },
    Invitation {
        digest: [u8; 32],
        expires_at: Timestamp,
    },
    InvitationUsed {
        digest: [u8; 32],
        expires_at: Timestamp,
    },
    Session {
        id: SessionId,
        meta: SessionMeta,
    },
    SessionDeleted {
        id: SessionId,
        owner: UserId,
    },
    Message {
        session: SessionId,
        seq: Seq,
        record: MessageRecord,
    },
    Outcome {
        session: SessionId,
        seq: Seq,
        record: OutcomeRecord,
    },
    SendKey {
        user: UserId,
        key: [u8; 16],
        record: SendKeyRecord,
    },
    Job {
        id: JobId,
        record: JobRecord,
    },
    JobEnded {
        id: JobId,
        key: String,
        remembered_until: Option<Timestamp>,
        expires_at: Timestamp,
    },
    /// What is kept beside a place in a session's log, 0 for the session itself; none takes it away. It ends the progress at
    /// its place, as the turn's outcome does.
    Annotation {
        session: SessionId,
        seq: Seq,
        text: Option<String>,
    },
    /// The text of the running reply to `seq`, from its byte `at` on.
    Progress {
        session: SessionId,
        seq: Seq,
        at: u32,
        text: String,
    },
    /// The text of a message is taken out; its place stays.
    Erased {
        session: SessionId,
        seq: Seq,
    },
    /// What the program may do that holds the login with this digest.
    Scopes {
        digest: [u8; 32],
        scopes: u32,
    },
}

impl Change {
    /// A message without its text; any other change as it is.
    pub(crate) fn emptied(mut self) -> Self {
        if let Self::Message { record, .. } = &mut self {
            record.content.clear();
        }
        self
    }

    /// The first format that has it.
    fn since(&self) -> u8 {
        match self {
            Self::Annotation { .. } | Self::Progress { .. } | Self::Erased { .. } | Self::Scopes { .. } => VERSION,
            Self::Message { record, .. } => record.since(),
            Self::Job { .. } | Self::JobEnded { .. } => VERSION_3,
            Self::User { .. }
            | Self::UserDeleted { .. }
            | Self::Token { .. }
            | Self::TokenEnded { .. }
            | Self::Invitation { .. }
            | Self::InvitationUsed { .. }
            | Self::Session { .. }
            | Self::SessionDeleted { .. }
            | Self::Outcome { .. }
            | Self::SendKey { .. } => VERSION_1,
        }
    }
}

impl From<Role> for RoleCode {
    fn from(role: Role) -> Self {
        match role {
            Role::User => Self::User,
            Role::Admin => Self::Admin,
        }
    }
}

impl From<RoleCode> for Role {
    fn from(role: RoleCode) -> Self {
        match role {
            RoleCode::User => Self::User,
            RoleCode::Admin => Self::Admin,
        }
    }
}

impl From<Tier> for TierCode {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Free => Self::Free,
            Tier::Premium => Self::Premium,
            Tier::Unlimited => Self::Unlimited,
        }
    }
}

impl From<TierCode> for Tier {
    fn from(tier: TierCode) -> Self {
        match tier {
            TierCode::Free => Self::Free,
            TierCode::Premium => Self::Premium,
            TierCode::Unlimited => Self::Unlimited,
        }
    }
}

impl From<SpeakerCode> for Speaker {
    fn from(speaker: SpeakerCode) -> Self {
        match speaker {
            SpeakerCode::User | SpeakerCode::Noted(NotedCode::User) => Self::User,
            SpeakerCode::Assistant | SpeakerCode::Noted(NotedCode::Assistant) => Self::Assistant,
            SpeakerCode::Noted(NotedCode::System) => Self::System,
            SpeakerCode::Noted(NotedCode::Developer) => Self::Developer,
        }
    }
}

impl From<Speaker> for NotedCode {
    fn from(speaker: Speaker) -> Self {
        match speaker {
            Speaker::User => Self::User,
            Speaker::Assistant => Self::Assistant,
            Speaker::System => Self::System,
            Speaker::Developer => Self::Developer,
        }
    }
}

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(BYTES_MAX)
}

/// The bytes of `value`, behind the version.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.push(VERSION);
    options()
        .serialize_into(&mut bytes, value)
        .expect("records are bounded where they are made, and a Vec takes them all");
    bytes
}

/// The bytes of a frame's changes, behind the version.
///
/// # Errors
/// `TooLong` for what [`decode`] would not take.
pub(crate) fn encode_changes(changes: &[Change]) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(changes.len() * 256);
    bytes.push(VERSION);
    options().serialize_into(&mut bytes, &changes).map_err(|_| CodecError::TooLong)?;
    Ok(bytes)
}

/// What can be read in every format that had it.
pub(crate) trait Record: DeserializeOwned {
    /// Reads version 1, which is as today's for most. The versions between are as today's for all.
    fn from_v1(bytes: &[u8]) -> bincode::Result<Self> {
        options().deserialize(bytes)
    }

    /// The first format that has such a value: an earlier one never held it.
    fn since(&self) -> u8 {
        VERSION_1
    }
}

impl Record for UserRecord {}
impl Record for TokenRecord {}
impl Record for OutcomeRecord {}
impl Record for SendKeyRecord {}
impl Record for Timestamp {}
impl Record for String {}
impl Record for u32 {}
impl Record for u64 {}

impl Record for MessageRecord {
    fn since(&self) -> u8 {
        if matches!(self.speaker, SpeakerCode::Noted(_)) { VERSION } else { VERSION_1 }
    }
}

impl Record for JobRecord {
    fn since(&self) -> u8 {
        VERSION_3
    }
}

impl Record for JobKeyRecord {
    fn since(&self) -> u8 {
        VERSION_3
    }
}

impl Record for SessionRecord {
    fn from_v1(bytes: &[u8]) -> bincode::Result<Self> {
        options().deserialize::<SessionRecordV1>(bytes).map(Self::from)
    }
}

impl Record for Vec<Change> {
    fn from_v1(bytes: &[u8]) -> bincode::Result<Self> {
        let changes: Vec<ChangeV1> = options().deserialize(bytes)?;
        Ok(changes.into_iter().map(Change::from).collect())
    }

    fn since(&self) -> u8 {
        self.iter().map(Change::since).max().unwrap_or(VERSION_1)
    }
}

/// Reads what [`encode`] wrote, or an earlier program's.
pub(crate) fn decode<T: Record>(bytes: &[u8]) -> Result<T, CodecError> {
    let (version, record) = match bytes.split_first() {
        None => return Err(CodecError::Empty),
        // bincode holds its limit for readers only, not for bytes that are at hand.
        Some((_, record)) if record.len() as u64 > BYTES_MAX => return Err(CodecError::TooLong),
        Some((&version @ VERSION_1..=VERSION, record)) => (version, record),
        Some((&version, _)) => return Err(CodecError::Version(version)),
    };
    let read = if version == VERSION_1 { T::from_v1(record) } else { options().deserialize(record) };
    let value = read.map_err(|error| CodecError::Malformed(error.to_string()))?;
    if value.since() > version {
        return Err(CodecError::Malformed(format!("what version {version} did not have")));
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
