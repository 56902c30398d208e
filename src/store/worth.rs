//! What compaction keeps: of each change of the journal, whether it still means something, given the index.

use super::{
    codec::{Change, OutcomeRecord, SessionMeta},
    index::{Index, IndexError},
    journal::Worth,
};
use crate::{
    clock::Timestamp,
    id::{Seq, SessionId},
};

impl Index {
    /// What `change` is worth to compaction.
    pub(crate) fn worth(&self, change: &Change, now: Timestamp) -> Result<Worth, IndexError> {
        let live_or_stale = |live| if live { Worth::Live } else { Worth::Stale };
        Ok(match change {
            Change::Message { session, seq, record } => match self.is_shown(*session, *seq)? {
                true if record.content.is_empty() => Worth::Live,
                true if self.message(*session, *seq)?.is_some_and(|now| now.content.is_empty()) => Worth::Emptied,
                true => Worth::Live,
                false => Worth::Deleted,
            },
            Change::Erased { session, seq } => live_or_stale(self.is_shown(*session, *seq)?),
            Change::Annotation { session, seq, text } => {
                let current = self.annotation(*session, *seq)?;
                if !self.is_annotated(*session, *seq)? || (text.is_some() && current.is_none()) {
                    Worth::Deleted
                } else {
                    live_or_stale(current == *text)
                }
            }
            Change::Progress { session, seq, at, .. } => {
                // The same text is in the reply, or in the annotation of what came to nothing, and is deleted with that.
                if self.is_shown(*session, *seq)? {
                    live_or_stale(self.has_piece(*session, *seq, *at)?)
                } else {
                    Worth::Deleted
                }
            }
            // They go with their login, which is stale once it is over.
            Change::Scopes { digest, .. } => {
                live_or_stale(self.token_record(*digest)?.is_some_and(|login| login.expires_at > now))
            }
            // A reply stays when another replaces it, and so does what says that it was once its turn's outcome.
            Change::Outcome { session, seq, record: OutcomeRecord::Reply { .. } | OutcomeRecord::Retried { .. } } => {
                live_or_stale(self.is_shown(*session, *seq)?)
            }
            Change::Outcome { session, seq, record } => live_or_stale(
                self.is_shown(*session, *seq)? && self.outcome_record(*session, *seq)?.as_ref() == Some(record),
            ),
            Change::Session { id, meta } => match self.session_meta(*id)? {
                Some(current) if takes_text_away(meta, &current) => Worth::Deleted,
                Some(current) => live_or_stale(current == *meta),
                None => Worth::Deleted,
            },
            Change::User { id, record } => match self.user_record(*id)? {
                // An old password may still be someone's password elsewhere.
                Some(current) if current.password != record.password => Worth::Deleted,
                Some(current) => live_or_stale(current == *record),
                None => Worth::Deleted,
            },
            // A tombstone keeps an id from being given again, and what came before it from coming back.
            Change::SessionDeleted { .. } | Change::UserDeleted { .. } => Worth::Live,
            Change::Token { digest, record } => {
                if self.users.contains_key(record.user.bytes())? {
                    live_or_stale(record.expires_at > now && self.token_record(*digest)?.as_ref() == Some(record))
                } else {
                    Worth::Deleted // Its label is the user's own text.
                }
            }
            Change::Invitation { digest, expires_at } => {
                live_or_stale(*expires_at > now && self.invitations.contains_key(digest)?)
            }
            // Until what it ended is over by itself, an older segment may still hold it.
            Change::TokenEnded { expires_at, .. } | Change::InvitationUsed { expires_at, .. } => {
                live_or_stale(*expires_at > now)
            }
            Change::SendKey { user, record, .. } => {
                live_or_stale(record.expires_at > now && self.users.contains_key(user.bytes())?)
            }
            Change::Job { id, record } => match record.user {
                Some(user) if !self.users.contains_key(user.bytes())? => Worth::Deleted,
                Some(_) | None => live_or_stale(record.expires_at > now && self.job(*id)?.as_ref() == Some(record)),
            },
            // Until then an older segment may still hold the job, or someone may ask for it again.
            Change::JobEnded { remembered_until, expires_at, .. } => {
                live_or_stale(remembered_until.is_some_and(|until| until > now) || *expires_at > now)
            }
        })
    }

    /// True where an annotation may stand: beside a message that is shown, or beside a session that is there.
    fn is_annotated(&self, session: SessionId, seq: Seq) -> Result<bool, IndexError> {
        Ok(self.session_meta(session)?.is_some_and(|meta| seq == Seq::ZERO || seq > meta.cleared_through))
    }

    fn is_shown(&self, session: SessionId, seq: Seq) -> Result<bool, IndexError> {
        Ok(self.session_meta(session)?.is_some_and(|meta| seq > meta.cleared_through))
    }
}

/// True where a title or instructions of `before` are not there `after`: they are gone, like anything that was deleted.
pub(crate) fn takes_text_away(before: &SessionMeta, after: &SessionMeta) -> bool {
    let gone = |before: &Option<String>, after: &Option<String>| before.is_some() && before != after;
    gone(&before.title, &after.title) || gone(&before.system_prompt, &after.system_prompt)
}
