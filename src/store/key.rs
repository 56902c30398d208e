//! Keys of the index: typed on this side, ordered bytes on sled's.
//!
//! Every key has a fixed width and is big-endian, so that the order of the bytes is the order of the meaning.

use crate::{
    clock::Timestamp,
    id::{JobId, Seq, SessionId, TokenId, UserId},
};

/// A message's (or an outcome's) place: session, then sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MessageKey {
    pub(crate) session: SessionId,
    pub(crate) seq: Seq,
}

/// A piece of a running reply: the message that it answers, then where in the reply it begins, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PieceKey {
    pub(crate) message: MessageKey,
    pub(crate) at: u32,
}

/// Something of a user: a session of theirs, a login of theirs, an idempotency key of theirs, a job about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct UserKey {
    pub(crate) user: UserId,
    pub(crate) of: [u8; 16],
}

/// A job's place: how it stands, when that is due to change, which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct JobKey {
    /// [`JobKey::QUEUED`], [`JobKey::RUNNING`] or [`JobKey::PARKED`].
    pub(crate) state: u8,
    /// When it is due, when its lease ends, or when it was parked.
    pub(crate) at: Timestamp,
    pub(crate) id: JobId,
}

impl JobKey {
    pub(crate) const QUEUED: u8 = 0;
    pub(crate) const RUNNING: u8 = 1;
    pub(crate) const PARKED: u8 = 2;

    pub(crate) fn encode(self) -> [u8; 25] {
        let mut bytes = [0; 25];
        bytes[0] = self.state;
        // With the sign turned round, times before 1970 come first.
        bytes[1..9].copy_from_slice(&(self.at.0 ^ i64::MIN).to_be_bytes());
        bytes[9..].copy_from_slice(&self.id.bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&state, rest) = bytes.split_first()?;
        let (at, id) = rest.split_first_chunk::<8>()?;
        let at = Timestamp(i64::from_be_bytes(*at) ^ i64::MIN);
        Some(Self { state, at, id: JobId::from_bytes(id.try_into().ok()?) })
    }
}

impl PieceKey {
    pub(crate) fn encode(self) -> [u8; 28] {
        let mut bytes = [0; 28];
        bytes[..24].copy_from_slice(&self.message.encode());
        bytes[24..].copy_from_slice(&self.at.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (message, at) = bytes.split_at_checked(24)?;
        Some(Self { message: MessageKey::decode(message)?, at: u32::from_be_bytes(at.try_into().ok()?) })
    }
}

impl MessageKey {
    pub(crate) fn encode(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&self.session.bytes());
        bytes[16..].copy_from_slice(&self.seq.0.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (session, seq) = bytes.split_first_chunk::<16>()?;
        let seq = Seq(u64::from_be_bytes(seq.try_into().ok()?));
        Some(Self { session: SessionId::from_bytes(*session), seq })
    }
}

impl UserKey {
    pub(crate) fn session(user: UserId, session: SessionId) -> Self {
        Self { user, of: session.bytes() }
    }

    pub(crate) fn job(user: UserId, job: JobId) -> Self {
        Self { user, of: job.bytes() }
    }

    pub(crate) fn token(user: UserId, token: TokenId) -> Self {
        Self { user, of: token.bytes() }
    }

    pub(crate) fn encode(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.user.bytes());
        bytes[16..].copy_from_slice(&self.of);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (user, of) = bytes.split_first_chunk::<16>()?;
        Some(Self { user: UserId::from_bytes(*user), of: of.try_into().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_bytes_is_session_then_sequence() {
        let (a, b) = (SessionId::from_bytes([1; 16]), SessionId::from_bytes([2; 16]));
        let keys = [(a, 1), (a, 2), (a, 255), (a, 256), (a, u64::MAX), (b, 0)]
            .map(|(session, seq)| MessageKey { session, seq: Seq(seq) });
        let bytes = keys.map(MessageKey::encode);
        assert!(bytes.is_sorted());
        assert_eq!(bytes.map(|bytes| MessageKey::decode(&bytes).unwrap()), keys);
        assert_eq!(MessageKey::decode(&bytes[0][1..]), None);
    }

    #[test]
    fn the_order_of_jobs_is_state_then_time() {
        let (a, b) = (JobId::from_bytes([1; 16]), JobId::from_bytes([2; 16]));
        let of = |(state, at, id)| JobKey { state, at: Timestamp(at), id };
        let keys =
            [(0, -1, a), (0, 0, a), (0, 0, b), (0, i64::MAX, a), (1, i64::MIN, a), (2, 255, a), (2, 256, a)].map(of);
        let bytes = keys.map(JobKey::encode);
        assert!(bytes.is_sorted());
        assert_eq!(bytes.map(|bytes| JobKey::decode(&bytes).unwrap()), keys);
        assert_eq!(JobKey::decode(&bytes[0][1..]), None);
    }

    #[test]
    fn what_is_a_users_stands_together() {
        let (a, b) = (UserId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
        let keys = [(a, [0; 16]), (a, [9; 16]), (b, [0; 16])].map(|(user, of)| UserKey { user, of });
        let bytes = keys.map(UserKey::encode);
        assert!(bytes.is_sorted());
        assert_eq!(bytes.map(|bytes| UserKey::decode(&bytes).unwrap()), keys);
        assert_eq!(UserKey::decode(&bytes[0][..31]), None);
    }
}
