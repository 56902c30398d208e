//! Finding what is too old to be kept: whole turns at the beginning of a session's log.

use super::{
    Store, StoreError,
    codec::SpeakerCode,
    index::{Index, IndexError},
    log::Ended,
};
use crate::{
    clock::Timestamp,
    id::{Seq, SessionId, UserId},
};

/// Messages that are read at a time.
const STEP: usize = 200;
/// Messages that are looked at for the end of a turn that was answered anew far behind it. Where that is further away, the
/// turn stays.
const LOOKED_AT: u64 = 20_000;

/// The beginning of a session's log, to be cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldMessages {
    /// In this session.
    pub session: SessionId,
    /// Up to this message, which no reply behind it answers anything before.
    pub through: Seq,
    /// How many turns began up to there.
    pub(crate) turns: u64,
    /// The log's end when that was looked at.
    pub(crate) head: Seq,
}

impl Store {
    /// The whole turns at the beginning of a session that are older than `before`, a bounded number of messages at a
    /// time; nothing where there are none.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn old_messages(&self, session: SessionId, before: Timestamp) -> Result<Option<OldMessages>, StoreError> {
        self.scan(move |index| Ok(index.old_messages(session, before)?)).await
    }

    /// The ids of a user's sessions, in their order, behind `after`; at most `limit`.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn session_ids(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionId>, StoreError> {
        self.scan(move |index| Ok(index.sessions_after(user, after, limit)?)).await
    }
}

impl Index {
    /// A message that is too old may be cleared when its whole turn may, and all before it: a turn reaches to the last
    /// reply that it was given, which may stand far behind it.
    fn old_messages(&self, session: SessionId, before: Timestamp) -> Result<Option<OldMessages>, IndexError> {
        let Some(meta) = self.session_meta(session)? else { return Ok(None) };
        let head = self.log_end(session, meta.cleared_through, meta.cleared_turns)?.head;
        let first = meta.cleared_through.next();
        let (mut reach, mut found) = (Seq::ZERO, None);
        for from in (first.0..=head.0.min(first.0 + LOOKED_AT)).step_by(STEP) {
            for (seq, record) in self.messages(session, Seq(from), Seq(from + STEP as u64 - 1).min(head))? {
                if record.created_at >= before {
                    return Ok(found);
                }
                if record.speaker == SpeakerCode::User {
                    match self.ended(session, seq)? {
                        Ended::NotYet => return Ok(found), // What has no outcome is not cleared.
                        Ended::Reply(at, _) => reach = reach.max(at),
                        Ended::Failed { .. } | Ended::Interrupted => {}
                    }
                }
                if reach <= seq {
                    found = Some(OldMessages { session, through: seq, turns: record.turn, head });
                }
            }
            if found.is_some() {
                break;
            }
        }
        Ok(found)
    }
}
