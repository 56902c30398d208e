//! Keys of the index: typed on this side, ordered bytes on sled's.
//!
//! Every key has a fixed width and is big-endian, so that the order of the bytes is the order of the meaning.

use crate::id::{Seq, SessionId, TokenId, UserId};

/// A message's (or an outcome's) place: session, then sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MessageKey {
    pub(crate) session: SessionId,
    pub(crate) seq: Seq,
}

/// Something of a user: a session of theirs, a login of theirs, an idempotency key of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct UserKey {
    pub(crate) user: UserId,
    pub(crate) of: [u8; 16],
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
    fn what_is_a_users_stands_together() {
        let (a, b) = (UserId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
        let keys = [(a, [0; 16]), (a, [9; 16]), (b, [0; 16])].map(|(user, of)| UserKey { user, of });
        let bytes = keys.map(UserKey::encode);
        assert!(bytes.is_sorted());
        assert_eq!(bytes.map(|bytes| UserKey::decode(&bytes).unwrap()), keys);
        assert_eq!(UserKey::decode(&bytes[0][..31]), None);
    }
}
