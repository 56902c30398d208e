//! What must hold for records and keys, whatever bytes stand where they are read from.

use std::fmt::Debug;

use serde::Serialize;

pub(crate) use super::journal::fuzz::segments;
use super::{
    codec::{
        self, Change, CodecError, JobKeyRecord, JobRecord, MessageRecord, OutcomeRecord, Record, SendKeyRecord,
        SessionRecord, SpeakerCode, TokenRecord, UserRecord,
    },
    key::{JobKey, MessageKey, UserKey},
};
use crate::{
    clock::Timestamp,
    id::{Seq, SessionId, UserId},
};

/// The first byte chooses the kind of record, the others are read as one.
pub(crate) fn records(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else { return };
    match kind % 10 {
        0 => same_since::<UserRecord>(bytes, |_| 1),
        1 => same_since::<TokenRecord>(bytes, |_| 1),
        2 => same_since::<MessageRecord>(bytes, message_since),
        3 => same_since::<OutcomeRecord>(bytes, |_| 1),
        4 => same_since::<SendKeyRecord>(bytes, |_| 1),
        5 => same_since::<Timestamp>(bytes, |_| 1),
        6 => {
            if let Some(SessionRecord::Live(meta)) = record(bytes) {
                assert!(bytes[0] != 1 || meta.system_prompt.is_none(), "version 1 had no instructions");
            }
        }
        7 => changes(bytes),
        8 => same_since::<JobRecord>(bytes, |_| 3),
        _ => same_since::<JobKeyRecord>(bytes, |_| 3),
    }
}

fn message_since(record: &MessageRecord) -> u8 {
    if matches!(record.speaker, SpeakerCode::Noted(_)) { 4 } else { 1 }
}

fn changes(bytes: &[u8]) {
    let Some(changes) = record::<Vec<Change>>(bytes) else { return };
    let since = |change: &Change| match change {
        Change::Annotation { .. } | Change::Progress { .. } | Change::Erased { .. } | Change::Scopes { .. } => 4,
        Change::Job { .. } | Change::JobEnded { .. } => 3,
        Change::Message { record, .. } => message_since(record),
        Change::User { .. }
        | Change::UserDeleted { .. }
        | Change::Token { .. }
        | Change::TokenEnded { .. }
        | Change::Invitation { .. }
        | Change::InvitationUsed { .. }
        | Change::Session { .. }
        | Change::SessionDeleted { .. }
        | Change::Outcome { .. }
        | Change::SendKey { .. } => 1,
    };
    let since = changes.iter().map(since).max().unwrap_or(1);
    // Version 1 wrote sessions in other bytes.
    if changes.iter().any(|change| matches!(change, Change::Session { .. })) {
        assert!(bytes[0] >= since, "version {} did not have it", bytes[0]);
    } else {
        same_since::<Vec<Change>>(bytes, |_| since);
    }
}

/// Reads a record under every rule that holds for all of them.
fn record<T: Record + Serialize + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let value = match codec::decode::<T>(bytes) {
        Ok(value) => value,
        Err(CodecError::Empty) => {
            assert!(bytes.is_empty());
            return None;
        }
        Err(CodecError::Version(version)) => {
            assert!(version == bytes[0] && !(1..=4).contains(&version));
            return None;
        }
        Err(CodecError::Malformed(_) | CodecError::TooLong) => return None,
    };
    assert_eq!(codec::decode::<T>(&codec::encode(&value)).as_ref(), Ok(&value), "a record comes back");
    assert!(codec::decode::<T>(&[bytes, &[0]].concat()).is_err(), "bytes behind a record are refused");
    assert!(codec::decode::<T>(&bytes[..bytes.len() - 1]).is_err(), "a record that is cut is refused");
    Some(value)
}

/// What a version had, all later ones have in the same bytes; earlier ones did not have it.
fn same_since<T: Record + Serialize + PartialEq + Debug>(bytes: &[u8], since: impl Fn(&T) -> u8) {
    let Some(value) = record::<T>(bytes) else { return };
    for version in 1..=4 {
        let other = codec::decode::<T>(&[&[version], &bytes[1..]].concat());
        if version >= since(&value) {
            assert_eq!(other.as_ref(), Ok(&value), "as version {version}");
        } else {
            assert_ne!(other.as_ref(), Ok(&value), "version {version} did not have it");
        }
    }
}

/// Two keys of messages, two of users, side by side.
pub(crate) fn keys(input: &[u8]) {
    let (one, other) = input.split_at(input.len() / 2);
    for bytes in [one, other, input] {
        let message = MessageKey::decode(bytes).map(MessageKey::encode);
        assert_eq!(message.as_ref().map(<[u8; 24]>::as_slice), Some(bytes).filter(|bytes| bytes.len() == 24));
        let job = JobKey::decode(bytes).map(JobKey::encode);
        assert_eq!(job.as_ref().map(<[u8; 25]>::as_slice), Some(bytes).filter(|bytes| bytes.len() == 25));
        let user = UserKey::decode(bytes).map(UserKey::encode);
        assert_eq!(user.as_ref().map(<[u8; 32]>::as_slice), Some(bytes).filter(|bytes| bytes.len() == 32));
    }
    if let (Some(a), Some(b)) = (MessageKey::decode(one), MessageKey::decode(other)) {
        let in_order = (a.session, a.seq).cmp(&(b.session, b.seq));
        assert_eq!(a.encode().cmp(&b.encode()), in_order, "the order of bytes is the order of messages");
    }
    if let (Some(a), Some(b)) = (UserKey::decode(one), UserKey::decode(other)) {
        let in_order = (a.user, a.of).cmp(&(b.user, b.of));
        assert_eq!(a.encode().cmp(&b.encode()), in_order, "what is a user's stands together");
    }
    if let (Some(a), Some(b)) = (JobKey::decode(one), JobKey::decode(other)) {
        let in_order = (a.state, a.at, a.id).cmp(&(b.state, b.at, b.id));
        assert_eq!(a.encode().cmp(&b.encode()), in_order, "the order of bytes is state, then time");
    }
    ids(input);
}

/// An id has one spelling, but for the case of its digits.
fn ids(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(id) = text.parse::<SessionId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
    if let Some((bytes, rest)) = input.split_first_chunk::<16>() {
        let id = UserId::from_bytes(*bytes);
        assert_eq!(id.to_string().parse(), Ok(id));
        let key = MessageKey { session: SessionId::from_bytes(*bytes), seq: Seq(rest.len() as u64) };
        assert_eq!(MessageKey::decode(&key.encode()), Some(key));
    }
}
