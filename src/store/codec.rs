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

use super::{Role, Speaker, Tier};
use crate::{
    clock::Timestamp,
    id::{JobId, MessageId, Seq, SessionId, TokenId, UserId},
};

/// The format that this program writes. 2 has a session's own instructions, and outcomes of turns that were answered
/// again; 3 has jobs, and is as 2 in all else.
const VERSION: u8 = 3;
/// The one before, whose records are today's.
const VERSION_2: u8 = 2;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SpeakerCode {
    User,
    Assistant,
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
    User { id: UserId, record: UserRecord },
    UserDeleted { id: UserId },
    Token { digest: [u8; 32], record: TokenRecord },
    TokenEnded { digest: [u8; 32], expires_at: Timestamp },
    Invitation { digest: [u8; 32], expires_at: Timestamp },
    InvitationUsed { digest: [u8; 32], expires_at: Timestamp },
    Session { id: SessionId, meta: SessionMeta },
    SessionDeleted { id: SessionId, owner: UserId },
    Message { session: SessionId, seq: Seq, record: MessageRecord },
    Outcome { session: SessionId, seq: Seq, record: OutcomeRecord },
    SendKey { user: UserId, key: [u8; 16], record: SendKeyRecord },
    Job { id: JobId, record: JobRecord },
    JobEnded { id: JobId, key: String, remembered_until: Option<Timestamp>, expires_at: Timestamp },
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
            SpeakerCode::User => Self::User,
            SpeakerCode::Assistant => Self::Assistant,
        }
    }
}

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(BYTES_MAX)
}

/// The bytes of `value`, behind the version.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    encode_into(value, &mut bytes);
    bytes
}

/// Adds the bytes of `value`, behind the version, to `bytes`.
pub(crate) fn encode_into<T: Serialize>(value: &T, bytes: &mut Vec<u8>) {
    bytes.push(VERSION);
    options().serialize_into(bytes, value).expect("records are bounded where they are made, and a Vec takes them all");
}

/// What can be read in every format that there was.
pub(crate) trait Record: DeserializeOwned {
    /// Reads version 1, which is as today's for most.
    fn from_v1(bytes: &[u8]) -> bincode::Result<Self> {
        options().deserialize(bytes)
    }

    /// Reads version 2, which is as today's for most.
    fn from_v2(bytes: &[u8]) -> bincode::Result<Self> {
        options().deserialize(bytes)
    }
}

impl Record for UserRecord {}
impl Record for TokenRecord {}
impl Record for MessageRecord {}
impl Record for OutcomeRecord {}
impl Record for SendKeyRecord {}
impl Record for JobRecord {}
impl Record for JobKeyRecord {}
impl Record for Timestamp {}
impl Record for u64 {}

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

    fn from_v2(bytes: &[u8]) -> bincode::Result<Self> {
        let changes: Self = options().deserialize(bytes)?;
        if changes.iter().any(job::is_of_jobs) {
            return Err(Box::new(bincode::ErrorKind::Custom("a job in version 2".to_owned())));
        }
        Ok(changes)
    }
}

/// Reads what [`encode`] wrote, or an earlier program's.
pub(crate) fn decode<T: Record>(bytes: &[u8]) -> Result<T, CodecError> {
    let read = match bytes.split_first() {
        None => return Err(CodecError::Empty),
        // bincode holds its limit for readers only, not for bytes that are at hand.
        Some((_, record)) if record.len() as u64 > BYTES_MAX => return Err(CodecError::TooLong),
        Some((&VERSION, record)) => options().deserialize(record),
        Some((&VERSION_2, record)) => T::from_v2(record),
        Some((1, record)) => T::from_v1(record),
        Some((&version, _)) => return Err(CodecError::Version(version)),
    };
    read.map_err(|error| CodecError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> MessageRecord {
        MessageRecord {
            id: MessageId::from_bytes([7; 16]),
            speaker: SpeakerCode::Assistant,
            content: "নমস্কার\0".to_owned(),
            reply_to: Some(Seq(1)),
            stopped: false,
            created_at: Timestamp(1_795_456_800_000_000),
            turn: 1,
            stamp: 300,
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        assert_eq!(decode(&encode(&message())), Ok(message()));
    }

    #[test]
    fn damaged_bytes_are_an_error_and_ask_for_no_memory() {
        let whole = encode(&message());
        for cut in 0..whole.len() {
            assert!(decode::<MessageRecord>(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert!(decode::<MessageRecord>(&longer).is_err(), "a byte too many");
        let mut newer = whole;
        newer[0] = 99;
        assert_eq!(decode::<MessageRecord>(&newer), Err(CodecError::Version(99)));
        let mut huge = vec![VERSION, 16];
        huge.extend([7; 16]);
        huge.extend([1, 253, 255, 255, 255, 255, 255, 255, 255, 127]); // A text of 2^63 bytes.
        assert!(decode::<MessageRecord>(&huge).is_err());
    }

    #[test]
    fn p8_a_record_over_the_limit_is_refused() {
        let text = u32::try_from(BYTES_MAX).unwrap();
        let mut bytes = [&[VERSION, 16][..], &[7; 16], &[1, 252], &text.to_le_bytes()].concat();
        bytes.resize(bytes.len() + usize::try_from(BYTES_MAX).unwrap() + 5, 0);
        assert!(matches!(decode::<MessageRecord>(&bytes), Err(CodecError::TooLong)));
    }

    /// The bytes of version 1 as the first release wrote them: if this fails, old directories can't be read.
    #[test]
    fn version_1_is_read_for_ever() {
        let bytes = include_bytes!("../../tests/fixtures/message_record_v1.bin");
        assert_eq!(decode(bytes), Ok(message()));
        let bytes = include_bytes!("../../tests/fixtures/changes_v1.bin");
        let (id, owner) = (SessionId::from_bytes([9; 16]), UserId::from_bytes([5; 16]));
        let change = Change::Message { session: id, seq: Seq(2), record: message() };
        assert_eq!(decode(bytes), Ok(vec![change]));
        let meta = SessionMeta {
            owner,
            title: Some("নদী".to_owned()),
            created_at: Timestamp(1_795_456_800_000_000),
            changed_at: Timestamp(1_795_456_800_000_001),
            cleared_through: Seq(4),
            cleared_turns: 2,
            system_prompt: None,
        };
        let bytes = include_bytes!("../../tests/fixtures/session_record_v1.bin");
        assert_eq!(decode(bytes), Ok(SessionRecord::Live(meta.clone())));
        let failed = OutcomeRecord::Failed { detail: "no".to_owned(), too_slow: true, at: Timestamp(7) };
        let key = SendKeyRecord { session: id, seq: Seq(5), body: [2; 16], expires_at: Timestamp(8) };
        let changes = vec![
            Change::Session { id, meta },
            Change::Outcome { session: id, seq: Seq(5), record: failed },
            Change::SessionDeleted { id, owner },
            Change::SendKey { user: owner, key: [1; 16], record: key },
        ];
        assert_eq!(decode(include_bytes!("../../tests/fixtures/session_changes_v1.bin")), Ok(changes));
    }

    /// As version 2 wrote them: sessions with instructions, turns that were answered again, and no jobs.
    #[test]
    fn version_2_is_read_for_ever() {
        let (id, owner) = (SessionId::from_bytes([9; 16]), UserId::from_bytes([5; 16]));
        let meta = SessionMeta {
            owner,
            title: Some("নদী".to_owned()),
            created_at: Timestamp(1_795_456_800_000_000),
            changed_at: Timestamp(1_795_456_800_000_001),
            cleared_through: Seq(4),
            cleared_turns: 2,
            system_prompt: Some("Be brief.".to_owned()),
        };
        let bytes = include_bytes!("../../tests/fixtures/session_record_v2.bin");
        assert_eq!(decode(bytes), Ok(SessionRecord::Live(meta.clone())));
        let retried = OutcomeRecord::Retried { seq: Seq(7), before: Some(Seq(6)) };
        let in_vain = OutcomeRecord::RetryFailed { detail: "no".to_owned(), too_slow: false, at: Timestamp(7) };
        let mut changes = vec![
            Change::Session { id, meta },
            Change::Outcome { session: id, seq: Seq(5), record: retried },
            Change::Message { session: id, seq: Seq(7), record: message() },
            Change::Outcome { session: id, seq: Seq(8), record: in_vain },
            Change::Outcome { session: id, seq: Seq(9), record: OutcomeRecord::Resumed { times: 2 } },
        ];
        assert_eq!(decode(include_bytes!("../../tests/fixtures/changes_v2.bin")), Ok(changes.clone()));
        let (id, key) = (JobId::from_bytes([3; 16]), "k".to_owned());
        changes.push(Change::JobEnded { id, key, remembered_until: None, expires_at: Timestamp(1) });
        let mut bytes = encode(&changes);
        assert_eq!(decode(&bytes), Ok(changes));
        bytes[0] = VERSION_2;
        assert!(matches!(decode::<Vec<Change>>(&bytes), Err(CodecError::Malformed(_))), "version 2 had no jobs");
    }
}
