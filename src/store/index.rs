//! The index: the journal's changes in sled, where they can be queried. It holds nothing that the journal does not.
//!
//! One change is a few plain inserts, ordered so that a reader between two of them sees a state that was or will be
//! true. What is deleted is hidden by one tombstone at once and removed in chunks.

mod expiry;
mod items;
mod jobs;
mod long;

use std::{ops::Bound, path::Path, sync::Arc};

pub use expiry::ExpiryCursor;
use items::ItemTrees;
pub(crate) use jobs::JobTrees;
pub(crate) use long::{Long, length};

use sled::{IVec, Tree};

use super::{
    StoreError,
    codec::{
        self, Change, CodecError, MessageRecord, OutcomeRecord, SendKeyRecord, SessionMeta, SessionRecord, TokenRecord,
        UserRecord,
    },
    key::{MessageKey, UserKey},
    worth::takes_text_away,
};
use crate::{
    clock::Timestamp,
    id::{Seq, SessionId, UserId},
};

/// sled moves records of over a quarter of this to files that it never syncs. A page of messages, 17 first parts at the
/// most, stays below it: see `long.rs`.
const SEGMENT: usize = 8 << 20;

/// Keys that a removal takes away in one step.
const CHUNK: usize = 128;

/// Sessions of a deleted account that become tombstones in one step.
const SESSIONS_CHUNK: usize = 32;

/// The index can't be trusted any more: it is to be rebuilt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error("{0}")]
    Sled(#[from] sled::Error),
    #[error("{0}")]
    Codec(#[from] CodecError),
    #[error("it has lost what was applied to it")]
    Behind,
    #[error("sled panicked: {0}")]
    Panic(String),
}

impl From<IndexError> for StoreError {
    fn from(error: IndexError) -> Self {
        Self::Unreadable(Arc::from(error.to_string()))
    }
}

/// What a step of a removal came to.
pub(crate) enum Removal {
    /// Nothing waits to be removed.
    None,
    /// Some keys went; there may be more.
    Some,
    /// These sessions of a deleted account are to become tombstones, by the journal.
    Sessions(UserId, Vec<SessionId>),
}

/// The trees.
pub(crate) struct Index {
    pub(super) db: sled::Db,
    pub(super) messages: Tree,
    pub(super) outcomes: Tree,
    pub(super) sessions: Tree,
    pub(super) user_sessions: Tree,
    pub(super) users: Tree,
    pub(super) usernames: Tree,
    pub(super) tokens: Tree,
    pub(super) user_tokens: Tree,
    pub(super) send_keys: Tree,
    pub(super) invitations: Tree,
    pub(super) jobs: JobTrees,
    items: ItemTrees,
    /// What values have beyond their first part.
    parts: Tree,
    removals: Tree,
    meta: Tree,
}

const REMOVE_SESSION: u8 = 0;
const REMOVE_CLEARED: u8 = 1;
const REMOVE_USER: u8 = 2;

/// In `meta`: when the oldest deletion was that compaction has not yet made real.
const DELETED_AT: &str = "deleted at";

/// In `meta`: the same, of the deletions that a compaction is at.
const COMPACTING_AT: &str = "compacting at";

/// In `meta`: the frame before which everything was applied when sled was last flushed.
const APPLIED: &str = "applied";

impl Index {
    /// Opens the trees in `dir`. sled panics on some damage, so a panic is an error here.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, IndexError> {
        guarded(|| {
            let db = sled::Config::new()
                .path(dir)
                .cache_capacity(cache_bytes)
                .segment_size(SEGMENT)
                .flush_every_ms(Some(500))
                .open()?;
            Ok(Self {
                messages: db.open_tree("messages")?,
                outcomes: db.open_tree("outcomes")?,
                sessions: db.open_tree("sessions")?,
                user_sessions: db.open_tree("user_sessions")?,
                users: db.open_tree("users")?,
                usernames: db.open_tree("usernames")?,
                tokens: db.open_tree("tokens")?,
                user_tokens: db.open_tree("user_tokens")?,
                send_keys: db.open_tree("send_keys")?,
                invitations: db.open_tree("invitations")?,
                jobs: JobTrees::open(&db)?,
                items: ItemTrees::open(&db)?,
                parts: db.open_tree("parts")?,
                removals: db.open_tree("removals")?,
                meta: db.open_tree("meta")?,
                db,
            })
        })
    }

    /// Flushes sled, to which everything before `next_frame` was applied.
    ///
    /// At damage in its log sled drops what comes behind it, without a word. The note goes into the log last, so where
    /// it is missing at the next start, more may be.
    pub(crate) fn flush(&self, next_frame: u64) -> Result<(), IndexError> {
        put(&self.meta, APPLIED.as_bytes(), &next_frame)?;
        self.db.flush()?;
        Ok(())
    }

    /// Wants everything that was applied before `next_frame`, as the note of a checkpoint, or of a later one, shows it.
    pub(crate) fn require_applied(&self, next_frame: u64) -> Result<(), IndexError> {
        match guarded(|| get::<u64>(&self.meta, APPLIED.as_bytes()))? {
            Some(applied) if applied >= next_frame => Ok(()),
            Some(_) | None => Err(IndexError::Behind),
        }
    }

    /// Makes one change; making it again changes nothing.
    pub(crate) fn apply(&self, change: &Change, at: Timestamp) -> Result<(), IndexError> {
        match change {
            Change::Message { session, seq, record } => self.put_message(*session, *seq, record),
            Change::Outcome { session, seq, record } => {
                put(&self.outcomes, &MessageKey { session: *session, seq: *seq }.encode(), record)?;
                if record.is_end() { self.end_progress(*session, *seq) } else { Ok(()) }
            }
            Change::Session { id, meta } => self.put_session(*id, meta, at),
            Change::SessionDeleted { id, owner } => self.delete_session(*id, *owner, at),
            Change::User { id, record } => {
                put(&self.users, &id.bytes(), record)?;
                self.usernames.insert(record.folded.as_bytes(), &id.bytes())?;
                Ok(())
            }
            Change::UserDeleted { id } => self.delete_user(*id, at),
            Change::Token { digest, record } => {
                put(&self.tokens, digest, record)?;
                self.user_tokens.insert(UserKey::token(record.user, record.id).encode(), digest)?;
                Ok(())
            }
            Change::TokenEnded { digest, .. } => {
                if let Some(record) = get::<TokenRecord>(&self.tokens, digest)? {
                    self.tokens.remove(digest)?;
                    self.user_tokens.remove(UserKey::token(record.user, record.id).encode())?;
                }
                // Last: nobody may find the login without its bounds.
                self.end_scopes(digest)
            }
            Change::Invitation { digest, expires_at } => put(&self.invitations, digest, expires_at),
            Change::InvitationUsed { digest, .. } => {
                self.invitations.remove(digest)?;
                Ok(())
            }
            Change::SendKey { user, key, record } => {
                put(&self.send_keys, &UserKey { user: *user, of: *key }.encode(), record)
            }
            Change::Job { id, record } => self.put_job(*id, record, at),
            Change::JobEnded { id, key, remembered_until, .. } => self.end_job(*id, key, *remembered_until, at),
            Change::Annotation { session, seq, text } => self.put_annotation(*session, *seq, text.as_ref(), at),
            Change::Progress { session, seq, at, text } => self.put_piece(*session, *seq, *at, text),
            Change::Erased { session, seq } => self.empty_message(*session, *seq, at),
            Change::Scopes { digest, scopes } => self.put_scopes(digest, *scopes),
        }
    }

    /// Writes a message under its place; a reply ends the progress of its turn.
    pub(crate) fn put_message(&self, session: SessionId, seq: Seq, record: &MessageRecord) -> Result<(), IndexError> {
        self.put_long(Long::Message, MessageKey { session, seq }, record)?;
        record.reply_to.map_or(Ok(()), |of| self.end_progress(session, of))
    }

    fn put_session(&self, id: SessionId, meta: &SessionMeta, at: Timestamp) -> Result<(), IndexError> {
        if let Some(before) = self.session_meta(id)?
            && takes_text_away(&before, meta)
        {
            self.note_deletion(at)?;
        }
        put(&self.sessions, &id.bytes(), &SessionRecord::Live(meta.clone()))?;
        let of_user = UserKey::session(meta.owner, id).encode();
        if !self.user_sessions.contains_key(of_user)? {
            self.user_sessions.insert(of_user, &[])?;
        }
        let first = self.messages.scan_prefix(id.bytes()).keys().next().transpose()?;
        if first.and_then(|key| MessageKey::decode(&key)).is_some_and(|first| first.seq <= meta.cleared_through) {
            self.note_deletion(at)?;
            self.remove_later(REMOVE_CLEARED, id.bytes())?;
        }
        Ok(())
    }

    fn delete_session(&self, id: SessionId, owner: UserId, at: Timestamp) -> Result<(), IndexError> {
        put(&self.sessions, &id.bytes(), &SessionRecord::Deleted)?;
        let of_user = UserKey::session(owner, id).encode();
        if self.user_sessions.contains_key(of_user)? {
            // Noted first: a replay after a kill between the two finds the key.
            self.note_deletion(at)?;
            self.user_sessions.remove(of_user)?;
        }
        if self.messages.scan_prefix(id.bytes()).keys().next().is_some() || self.has_items(id)? {
            self.remove_later(REMOVE_SESSION, id.bytes())?;
        }
        Ok(())
    }

    fn delete_user(&self, id: UserId, at: Timestamp) -> Result<(), IndexError> {
        let Some(record) = get::<UserRecord>(&self.users, &id.bytes())? else { return Ok(()) };
        self.note_deletion(at)?;
        self.remove_later(REMOVE_USER, id.bytes())?;
        if self.usernames.get(&record.folded)?.is_some_and(|owner| owner == id.bytes()) {
            self.usernames.remove(&record.folded)?;
        }
        // Last: as long as the record is there, a replay after a kill does the rest again.
        self.users.remove(id.bytes())?;
        Ok(())
    }

    fn remove_later(&self, kind: u8, id: [u8; 16]) -> Result<(), IndexError> {
        let mut key = [kind; 17];
        key[1..].copy_from_slice(&id);
        self.removals.insert(key, &[])?;
        Ok(())
    }

    /// Takes away a chunk of what is hidden already.
    pub(crate) fn remove_some(&self) -> Result<Removal, IndexError> {
        let Some(entry) = self.removals.first()? else { return Ok(Removal::None) };
        let (key, _) = entry;
        let Some((&kind, id)) = key.split_first() else { return Ok(Removal::None) };
        let id: [u8; 16] = id.try_into().map_err(|_| CodecError::Malformed("a removal's key".to_owned()))?;
        let more = match kind {
            REMOVE_USER => {
                let user = UserId::from_bytes(id);
                let sessions = self.sessions_of(user, SESSIONS_CHUNK)?;
                if !sessions.is_empty() {
                    return Ok(Removal::Sessions(user, sessions));
                }
                remove_chunk(&self.send_keys, &id, |_| true)?
            }
            REMOVE_CLEARED => {
                let through =
                    self.session_meta(SessionId::from_bytes(id))?.map_or(Seq::ZERO, |meta| meta.cleared_through);
                let old = |key: &[u8]| MessageKey::decode(key).is_some_and(|key| key.seq <= through);
                let session = SessionId::from_bytes(id);
                self.remove_items(session, Seq::ZERO.next(), through, CHUNK)?
                    || remove_chunk(&self.outcomes, &id, old)?
                    || remove_chunk(&self.messages, &id, old)?
                    || self.remove_parts(session, (Seq::ZERO.next(), through), CHUNK)?
            }
            _ => {
                let session = SessionId::from_bytes(id);
                self.remove_items(session, Seq::ZERO, Seq(u64::MAX), CHUNK)?
                    || remove_chunk(&self.outcomes, &id, |_| true)?
                    || remove_chunk(&self.messages, &id, |_| true)?
                    || self.remove_parts(session, (Seq::ZERO, Seq(u64::MAX)), CHUNK)?
            }
        };
        if !more {
            self.removals.remove(key)?;
        }
        Ok(Removal::Some)
    }

    /// True while something that was deleted still waits to be removed.
    pub(crate) fn has_removals(&self) -> bool {
        !self.removals.is_empty()
    }

    /// When the oldest deletion was that compaction has not yet made real.
    pub(crate) fn deleted_at(&self) -> Result<Option<Timestamp>, IndexError> {
        let noted = [get(&self.meta, COMPACTING_AT.as_bytes())?, get(&self.meta, DELETED_AT.as_bytes())?];
        Ok(noted.into_iter().flatten().min())
    }

    /// Compaction begins: deletions from here on are not its own.
    pub(crate) fn compaction_begins(&self) -> Result<(), IndexError> {
        if let Some(at) = self.deleted_at()? {
            put(&self.meta, COMPACTING_AT.as_bytes(), &at)?;
            self.meta.remove(DELETED_AT)?;
        }
        Ok(())
    }

    /// Compaction has made every deletion real that was before its beginning.
    pub(crate) fn deletions_compacted(&self) -> Result<(), IndexError> {
        self.meta.remove(COMPACTING_AT)?;
        Ok(())
    }

    fn note_deletion(&self, at: Timestamp) -> Result<(), IndexError> {
        if !self.meta.contains_key(DELETED_AT)? {
            put(&self.meta, DELETED_AT.as_bytes(), &at)?;
        }
        Ok(())
    }

    /// What stands under a session's id, a tombstone included.
    pub(crate) fn session_record(&self, id: SessionId) -> Result<Option<SessionRecord>, IndexError> {
        get(&self.sessions, &id.bytes())
    }

    /// The session, unless it was deleted or never was.
    pub(crate) fn session_meta(&self, id: SessionId) -> Result<Option<SessionMeta>, IndexError> {
        Ok(match self.session_record(id)? {
            Some(SessionRecord::Live(meta)) => Some(meta),
            Some(SessionRecord::Deleted) | None => None,
        })
    }

    /// Sessions of a user, in the order of their ids; at most `limit`.
    pub(crate) fn sessions_of(&self, user: UserId, limit: usize) -> Result<Vec<SessionId>, IndexError> {
        self.sessions_after(user, None, limit)
    }

    /// Sessions of a user behind `after`, in the order of their ids; at most `limit`.
    pub(crate) fn sessions_after(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionId>, IndexError> {
        let key = |of| UserKey { user, of }.encode();
        let from = after.map_or(Bound::Included(key([0; 16])), |after| Bound::Excluded(key(after.bytes())));
        let keys = self.user_sessions.range((from, Bound::Included(key([0xff; 16])))).keys().take(limit);
        keys.map(|key| {
            let key = UserKey::decode(&key?).ok_or_else(|| CodecError::Malformed("a user_sessions key".to_owned()))?;
            Ok(SessionId::from_bytes(key.of))
        })
        .collect()
    }

    /// The account's record.
    pub(crate) fn user_record(&self, id: UserId) -> Result<Option<UserRecord>, IndexError> {
        get(&self.users, &id.bytes())
    }

    /// Whose name this is, in its folded form.
    pub(crate) fn user_named(&self, folded: &str) -> Result<Option<UserId>, IndexError> {
        Ok(self.usernames.get(folded)?.and_then(|id| Some(UserId::from_bytes(id.as_ref().try_into().ok()?))))
    }

    /// Up to `limit` accounts whose folded name begins with `prefix`, in the order of those names, behind the name `after`.
    pub(crate) fn users_named(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<UserId>, IndexError> {
        let from = after.filter(|after| *after >= prefix);
        let from = from.map_or(Bound::Included(prefix), Bound::Excluded);
        let named = self.usernames.range::<&str, _>((from, Bound::Unbounded));
        let begins = |entry: &sled::Result<(IVec, IVec)>| {
            entry.as_ref().map_or(true, |(name, _)| name.starts_with(prefix.as_bytes()))
        };
        named
            .take_while(begins)
            .take(limit)
            .map(|entry| {
                let (_, id) = entry?;
                let id = id.as_ref().try_into().map_err(|_| CodecError::Malformed("a usernames record".to_owned()))?;
                Ok(UserId::from_bytes(id))
            })
            .collect()
    }

    /// Accounts in the order of their ids, which is that of their age.
    pub(crate) fn user_records(
        &self,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, UserRecord)>, IndexError> {
        let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(IVec::from(&id.bytes())));
        self.users
            .range((from, Bound::Unbounded))
            .take(limit)
            .map(|entry| {
                let (key, value) = entry?;
                let id = key.as_ref().try_into().map_err(|_| CodecError::Malformed("a users key".to_owned()))?;
                Ok((UserId::from_bytes(id), codec::decode(&value)?))
            })
            .collect()
    }

    /// The login with this digest.
    pub(crate) fn token_record(&self, digest: [u8; 32]) -> Result<Option<TokenRecord>, IndexError> {
        get(&self.tokens, &digest)
    }

    /// All logins with their digests.
    pub(crate) fn all_tokens(&self) -> impl Iterator<Item = Result<([u8; 32], TokenRecord), IndexError>> {
        self.tokens.iter().map(|entry| {
            let (digest, record) = entry?;
            let digest = digest.as_ref().try_into().map_err(|_| CodecError::Malformed("a digest".to_owned()))?;
            Ok((digest, codec::decode(&record)?))
        })
    }

    /// The user's logins with their digests, oldest first.
    pub(crate) fn token_records(&self, user: UserId) -> Result<Vec<([u8; 32], TokenRecord)>, IndexError> {
        let mut tokens = Vec::new();
        for digest in self.user_tokens.scan_prefix(user.bytes()).values() {
            let digest = digest?.as_ref().try_into().map_err(|_| CodecError::Malformed("a digest".to_owned()))?;
            if let Some(record) = self.token_record(digest)? {
                tokens.push((digest, record));
            }
        }
        tokens.sort_by_key(|(_, record)| (record.created_at, record.id));
        Ok(tokens)
    }

    /// When this invitation ends; nothing where it is unknown or used.
    pub(crate) fn invitation(&self, digest: [u8; 32]) -> Result<Option<Timestamp>, IndexError> {
        get(&self.invitations, &digest)
    }

    /// What was sent with this key.
    pub(crate) fn send_key(&self, user: UserId, key: [u8; 16]) -> Result<Option<SendKeyRecord>, IndexError> {
        get(&self.send_keys, &UserKey { user, of: key }.encode())
    }

    /// What the log does not show of a turn's end.
    pub(crate) fn outcome_record(&self, session: SessionId, seq: Seq) -> Result<Option<OutcomeRecord>, IndexError> {
        get(&self.outcomes, &MessageKey { session, seq }.encode())
    }
}

/// Runs `work`, which calls sled, and turns a panic of sled's into an error.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(IndexError::Panic(what))
    })
}

fn get<T: codec::Record>(tree: &Tree, key: &[u8]) -> Result<Option<T>, IndexError> {
    Ok(tree.get(key)?.map(|value| codec::decode(&value)).transpose()?)
}

fn put<T: serde::Serialize>(tree: &Tree, key: &[u8], value: &T) -> Result<(), IndexError> {
    tree.insert(key, codec::encode(value))?;
    Ok(())
}

/// Removes up to [`CHUNK`] keys with this prefix from the front while `dead` says so; true where there may be more.
fn remove_chunk(tree: &Tree, prefix: &[u8], dead: impl Fn(&[u8]) -> bool) -> Result<bool, IndexError> {
    let keys: Vec<IVec> = tree.scan_prefix(prefix).keys().take(CHUNK).collect::<Result<_, _>>()?;
    let mut removed = 0;
    for key in &keys {
        if !dead(key) {
            return Ok(false);
        }
        tree.remove(key)?;
        removed += 1;
    }
    Ok(removed == CHUNK)
}

#[cfg(test)]
mod tests;
