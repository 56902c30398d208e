//! Which request a retry is of, where only the words of both say so.
//!
//! Client libraries repeat a request by themselves and send no key with it, only how often they have asked before. Two requests
//! with the same words may as well be two: "go on" is said twice, and a new conversation is asked for in the same words
//! each time. So every request that is no retry gets a tag of its own, under which it is known in the journal; a retry has the
//! tag of the last one that asked the same, for as long as that one was not answered. Whoever has their answer asks no more.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;

use super::{Chat, ChatError, Key, Parts, Target};
use crate::{
    auth::Identity,
    clock::Timestamp,
    id::{MessageId, UserId},
    store::{Outcome, StoreError},
};

/// Requests that are known at most, of all users; of the others only the journal tells.
const TRIES_MAX: usize = 16 << 10;

/// What was asked lately.
pub(super) struct Tries {
    /// When this process began.
    began: Timestamp,
    /// Guards the last request of each user's words.
    last: Mutex<LruCache<(UserId, [u8; 16]), Try>>,
}

/// The last request with these words, and its retries.
#[derive(Debug, Clone, Copy)]
struct Try {
    tag: [u8; 16],
    is_answered: bool,
}

/// A request that is being answered.
#[must_use]
pub struct Asking<'k> {
    chat: Chat,
    key: Key<'k>,
    name: Option<(UserId, [u8; 16])>,
}

impl Tries {
    pub(super) fn new(began: Timestamp) -> Self {
        let most = NonZeroUsize::new(TRIES_MAX).expect("it is a constant above zero");
        Self { began, last: Mutex::new(LruCache::new(most)) }
    }

    fn last(&self) -> MutexGuard<'_, LruCache<(UserId, [u8; 16]), Try>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chat {
    /// A request of `caller` begins: what it says of its repetition becomes the key by which it is known. It must be told what
    /// became of the answer, by [`Asking::is_answered`] or [`Asking::is_refused`].
    ///
    /// # Errors
    /// The store's.
    pub async fn asking<'k>(&self, caller: &Identity, key: Key<'k>) -> Result<Asking<'k>, ChatError> {
        let Key::Retried { digest, is_retry, .. } = key else {
            return Ok(Asking { chat: self.clone(), key, name: None });
        };
        let parts = &self.inner.parts;
        let name = (caller.id(), key.send_key(&Target::New, "", parts.clock.now(), parts.idempotency_window).key);
        let last = self.inner.tries.last().get(&name).copied();
        let tag = match last {
            _ if !is_retry => None,
            Some(last) => Some(last.tag).filter(|_| !last.is_answered),
            None => unanswered_before(parts, name, self.inner.tries.began).await?,
        };
        let is_retry = tag.is_some();
        let tag = tag.unwrap_or_else(|| MessageId::new().bytes());
        self.inner.tries.last().put(name, Try { tag, is_answered: false });
        Ok(Asking { chat: self.clone(), key: Key::Retried { digest, is_retry, tag }, name: Some(name) })
    }
}

/// The tag of a request to a process before this one that was surely not answered there: its turn had no outcome yet.
async fn unanswered_before(
    parts: &Parts,
    (user, key): (UserId, [u8; 16]),
    began: Timestamp,
) -> Result<Option<[u8; 16]>, StoreError> {
    let Some(known) = parts.store.used_key(user, key).await? else { return Ok(None) };
    let was_open = match parts.store.turn(known.session, known.seq).await? {
        Some((_, Outcome::Pending)) => true,
        Some((_, Outcome::Reply(reply))) => reply.created_at >= began,
        Some((_, Outcome::Failed { .. } | Outcome::Interrupted)) | None => false,
    };
    Ok(was_open.then_some(known.body))
}

impl<'k> Asking<'k> {
    /// By what a repeat of it is known.
    #[must_use]
    pub fn key(&self) -> Key<'k> {
        self.key
    }

    /// It was refused. Where nothing of it was stored, a retry with the same words is of another request.
    pub async fn is_refused(self) {
        let (Some((user, key)), Key::Retried { tag, .. }) = (self.name, self.key) else { return };
        // Where that can't be read it may be stored, and a retry is of this one.
        if let Ok(known) = self.chat.inner.parts.store.used_key(user, key).await
            && known.is_none_or(|known| known.body != tag)
        {
            self.is_answered();
        }
    }

    /// Whoever asked has the answer: they ask no more, and a retry with the same words is of another request.
    pub fn is_answered(self) {
        let (Some(name), Key::Retried { tag, .. }) = (self.name, self.key) else { return };
        if let Some(last) = self.chat.inner.tries.last().get_mut(&name).filter(|last| last.tag == tag) {
            last.is_answered = true;
        }
    }
}
