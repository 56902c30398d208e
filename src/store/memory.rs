//! What the writer remembers from batch to batch, so that messages are decided without reading the index.

use std::{collections::HashMap, num::NonZeroUsize};

use lru::LruCache;

use super::{
    OpenTurn,
    batch::{Decided, State},
    codec::{Change, MessageRecord, OutcomeRecord, SendKeyRecord, SpeakerCode},
};
use crate::id::{Seq, SessionId, UserId};

/// Sessions whose ends the writer remembers.
const STATES_MAX: usize = 16_384;
/// Accounts that the writer remembers as deleted.
const DELETED_USERS_MAX: usize = 16_384;

/// What the writer keeps from batch to batch to decide by.
pub(crate) struct Memory {
    /// Sessions that were lately written to.
    pub(crate) states: LruCache<SessionId, State>,
    /// The open turns, each with the frame that opened it.
    pub(crate) open: HashMap<OpenTurn, u64>,
    /// Accounts that were lately deleted: a request of theirs may still be under way.
    pub(crate) deleted_users: LruCache<UserId, ()>,
    /// The next message's place among all messages of the server.
    pub(crate) next_stamp: u64,
    /// What is durable and may not be in the index yet.
    pub(crate) unapplied: Unapplied,
}

/// Keys, and the messages sent with them, that the index may not have yet.
#[derive(Default)]
pub(crate) struct Unapplied {
    pub(crate) keys: HashMap<(UserId, [u8; 16]), SendKeyRecord>,
    pub(crate) messages: HashMap<(SessionId, Seq), MessageRecord>,
}

impl Unapplied {
    /// Takes them over from what a batch decided.
    pub(crate) fn of(decided: &mut Decided) -> Self {
        Self { keys: std::mem::take(&mut decided.keys), messages: std::mem::take(&mut decided.messages) }
    }
}

impl Memory {
    /// What is known after recovery.
    pub(crate) fn new(open: impl IntoIterator<Item = (OpenTurn, u64)>, next_stamp: u64) -> Self {
        let size = |n: usize| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
        Self {
            states: LruCache::new(size(STATES_MAX)),
            open: open.into_iter().collect(),
            deleted_users: LruCache::new(size(DELETED_USERS_MAX)),
            next_stamp,
            unapplied: Unapplied::default(),
        }
    }
}

/// Follows the open turns through one change: which are opened, answered, cleared or deleted by it.
pub(crate) fn follow_turns(open: &mut HashMap<OpenTurn, u64>, change: &Change, frame: u64) {
    match change {
        Change::Message { session, seq, record } if record.speaker == SpeakerCode::User => {
            open.insert(OpenTurn { session: *session, seq: *seq }, frame);
        }
        Change::Message { session, record, .. } => {
            if let Some(seq) = record.reply_to {
                open.remove(&OpenTurn { session: *session, seq });
            }
        }
        Change::Outcome { session, seq, record } if !matches!(record, OutcomeRecord::Resumed { .. }) => {
            open.remove(&OpenTurn { session: *session, seq: *seq });
        }
        Change::Session { .. } | Change::SessionDeleted { .. } => forget_turns(open, change),
        Change::Outcome { .. }
        | Change::User { .. }
        | Change::UserDeleted { .. }
        | Change::Token { .. }
        | Change::TokenEnded { .. }
        | Change::Invitation { .. }
        | Change::InvitationUsed { .. }
        | Change::SendKey { .. }
        | Change::Job { .. }
        | Change::JobEnded { .. }
        | Change::Annotation { .. }
        | Change::Progress { .. }
        | Change::Erased { .. }
        | Change::Scopes { .. } => {}
    }
}

/// Forgets the turns that a change took away.
pub(crate) fn forget_turns(open: &mut HashMap<OpenTurn, u64>, change: &Change) {
    if let Change::SessionDeleted { id, .. } = change {
        open.retain(|turn, _| turn.session != *id);
    }
    if let Change::Session { id, meta } = change
        && meta.cleared_through.0 > 0
    {
        open.retain(|turn, _| turn.session != *id || turn.seq > meta.cleared_through);
    }
}
