//! Identifiers and sequence numbers.
//!
//! An id is a UUID that remembers what it names, so that a user's id cannot stand where a session's belongs.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// A UUID that names one `K`.
pub struct Id<K>(Uuid, PhantomData<fn() -> K>);

/// What a [`UserId`] names.
pub enum UserKind {}
/// What a [`SessionId`] names.
pub enum SessionKind {}
/// What a [`MessageId`] names.
pub enum MessageKind {}
/// What a [`TokenId`] names.
pub enum TokenKind {}
/// What a [`JobId`] names.
pub enum JobKind {}

/// Names an account.
pub type UserId = Id<UserKind>;
/// Names one conversation.
pub type SessionId = Id<SessionKind>;
/// Names one message, for clients; inside, a message is (session, sequence).
pub type MessageId = Id<MessageKind>;
/// Names a login, for listing and ending it; it is not the secret.
pub type TokenId = Id<TokenKind>;
/// Names a job of the durable queue.
pub type JobId = Id<JobKind>;

impl<K> Id<K> {
    /// A new id: UUID version 7, so ids made later sort later.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7(), PhantomData)
    }

    /// The id whose 16 bytes these are.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes), PhantomData)
    }

    /// The 16 bytes, big-endian: their order is the order of the ids.
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// True for the versions that a client may bring for a new session: 4 (random) and 7 (time and random).
    #[must_use]
    pub fn is_v4_or_v7(self) -> bool {
        matches!(self.0.get_version_num(), 4 | 7)
    }
}

impl<K> Default for Id<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Id<K> {}

impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<K> Eq for Id<K> {}

impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl<K> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<K> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The text is not a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID (like 0197b1c2-7a3e-7c4d-9b1a-2f3e4d5c6b7a)")]
pub struct NotAnId;

impl<K> FromStr for Id<K> {
    type Err = NotAnId;

    /// Reads the hyphenated form only (either case): one id has one spelling in a path.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.len() != 36 {
            return Err(NotAnId);
        }
        Uuid::try_parse(text).map(|uuid| Self(uuid, PhantomData)).map_err(|_| NotAnId)
    }
}

impl<K> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, K> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Uuid::deserialize(deserializer).map(|uuid| Self(uuid, PhantomData))
    }
}

/// A message's place in its session: 1, 2, 3, ... with no gap and no reuse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first message: the head of an empty session.
    pub const ZERO: Self = Self(0);

    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = UserId::new();
        assert_eq!(id.to_string().parse::<UserId>(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse::<UserId>(), Ok(id));
        let simple = id.to_string().replace('-', "");
        assert_eq!(simple.parse::<UserId>(), Err(NotAnId));
        assert_eq!(format!("{{{id}}}").parse::<UserId>(), Err(NotAnId));
    }

    #[test]
    fn the_order_of_bytes_is_the_order_of_ids() {
        let (a, b) = (SessionId::new(), SessionId::new());
        assert_eq!(a.cmp(&b), a.bytes().cmp(&b.bytes()));
    }
}
