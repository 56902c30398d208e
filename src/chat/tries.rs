//! Which request a retry is of, where only the words of both say so.
//!
//! Client libraries repeat a request by themselves and send no key with it, only how often they have asked before. Two requests
//! with the same words may as well be two: "go on" is said twice, and a new conversation is asked for in the same words
//! each time. So every request that is no retry gets a tag of its own, under which it is known in the journal; a retry has the
//! tag of the last one that asked the same by the same key or login, for as long as that one is not answered, and two minutes
//! more: an answer can be lost behind the server. Where nothing was stored under that tag, as of what was refused or never came
//! to anything, the retry is what is done.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lru::LruCache;
use sha2::{Digest, Sha256};

use super::{Chat, ChatError, Key, Parts, Target, repeat::RETRY_WINDOW};
use crate::{
    auth::Identity,
    clock::Timestamp,
    id::{MessageId, UserId},
    store::{Outcome, StoreError},
};

/// Requests that are known at most, of all users; of the others only the journal tells.
const TRIES_MAX: usize = 16 << 10;

/// A retry of what was answered comes within this: a client waits some seconds, and asks twice more at most.
const LOST_WITHIN: Duration = Duration::from_mins(2);

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
    /// Retries are of it until then; for as long as it is not answered where there is nothing.
    until: Option<Timestamp>,
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

    /// Every answer was given long ago.
    #[cfg(test)]
    pub(super) fn age(&self) {
        for (_, last) in self.last().iter_mut().filter(|(_, last)| last.until.is_some()) {
            last.until = Some(Timestamp(0));
        }
    }

    fn last(&self) -> MutexGuard<'_, LruCache<(UserId, [u8; 16]), Try>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chat {
    /// A request of `caller` begins: what it says of its repetition becomes the key by which it is known. It must be told when
    /// that is answered, by [`Asking::is_answered`].
    ///
    /// # Errors
    /// The store's.
    pub async fn asking<'k>(&self, caller: &Identity, key: Key<'k>) -> Result<Asking<'k>, ChatError> {
        let Key::Retried { digest, is_retry, .. } = key else {
            return Ok(Asking { chat: self.clone(), key, name: None });
        };
        // Each program has its own key: one that never arrived is not to be told what another was.
        let digest = Sha256::new().chain_update(digest).chain_update(caller.digest().0).finalize().into();
        let key = Key::Retried { digest, is_retry, tag: [0; 16] };
        let parts = &self.inner.parts;
        let now = parts.clock.now();
        let name = (caller.id(), key.send_key(&Target::New, "", now, parts.idempotency_window).key);
        let last = self.inner.tries.last().get(&name).copied();
        let tag = match last {
            _ if !is_retry => None,
            Some(last) => Some(last.tag).filter(|_| last.until.is_none_or(|until| now < until)),
            None => asked_before(parts, name, self.inner.tries.began).await?,
        };
        let is_retry = tag.is_some();
        let tag = tag.unwrap_or_else(|| MessageId::new().bytes());
        self.inner.tries.last().put(name, Try { tag, until: None });
        Ok(Asking { chat: self.clone(), key: Key::Retried { digest, is_retry, tag }, name: Some(name) })
    }
}

/// The tag of a request to a process before this one, of which nobody knows any more whether it was answered: one of the last
/// minutes, or one whose turn had no outcome then, so that it surely was not.
async fn asked_before(
    parts: &Parts,
    (user, key): (UserId, [u8; 16]),
    began: Timestamp,
) -> Result<Option<[u8; 16]>, StoreError> {
    let Some(known) = parts.store.used_key(user, key).await? else { return Ok(None) };
    if parts.clock.now().after(RETRY_WINDOW) < known.expires_at.after(LOST_WITHIN) {
        return Ok(Some(known.body));
    }
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

    /// Its answer is on the way. A retry with the same words is of another request soon.
    pub fn is_answered(self) {
        let (Some(name), Key::Retried { tag, .. }) = (self.name, self.key) else { return };
        if let Some(last) = self.chat.inner.tries.last().get_mut(&name).filter(|last| last.tag == tag) {
            last.until = Some(self.chat.inner.parts.clock.now().after(LOST_WITHIN));
        }
    }
}
