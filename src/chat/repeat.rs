//! Idempotency keys: the same key with the same body is the same message, also at the same moment.
//!
//! The journal remembers keys; here only those that are being used right now stand, so that a repeat waits until the
//! first use has either stored its message or was refused.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;

use super::Target;
use crate::{clock::Timestamp, id::UserId, store::SendKey};

type Name = (UserId, [u8; 16]);

/// A program's client library that gets no answer asks again by itself, within this: OpenAI's wait for ten minutes, twice, before
/// they ask for the third time.
pub(super) const RETRY_WINDOW: Duration = Duration::from_mins(30);

/// By what a repeat of a message is known.
#[derive(Debug, Clone, Copy)]
pub enum Key<'k> {
    /// By a key that the client made, with the message and where it goes.
    Message(&'k str),
    /// By a key that the client made, with the digest of the request.
    Request(&'k str, [u8; 32]),
    /// By the digest of the request alone: only where the client says that this is a retry.
    Retried {
        /// Of what was asked, as it came.
        digest: [u8; 32],
        /// True: it says so.
        is_retry: bool,
        /// What tells it from others with the same digest; from [`Chat::asking`](super::Chat::asking).
        tag: [u8; 16],
    },
}

/// The keys that are being used right now.
#[derive(Default)]
pub(super) struct Keys {
    /// Guards which keys these are.
    used: Arc<Mutex<HashMap<Name, Arc<tokio::sync::Mutex<()>>>>>,
}

/// The right to be the only one who uses a key, until it is dropped.
pub(super) struct KeyGuard {
    used: Arc<Mutex<HashMap<Name, Arc<tokio::sync::Mutex<()>>>>>,
    name: Name,
    held: Option<OwnedMutexGuard<()>>,
}

impl Keys {
    /// Waits until nobody else uses the key. Dropping the future leaves the line.
    pub(super) async fn lock(&self, user: UserId, key: &SendKey) -> KeyGuard {
        let name = (user, key.key);
        let mutex = Arc::clone(lock(&self.used).entry(name).or_default());
        let mut guard = KeyGuard { used: Arc::clone(&self.used), name, held: None };
        guard.held = Some(mutex.lock_owned().await);
        guard
    }

    /// How many keys are being used.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock(&self.used).len()
    }
}

impl Drop for KeyGuard {
    fn drop(&mut self) {
        let mut used = lock(&self.used);
        self.held = None;
        // Who waits for the key holds a second reference; without one, nobody needs it any more.
        if used.get(&self.name).is_some_and(|mutex| Arc::strong_count(mutex) == 1) {
            used.remove(&self.name);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Key<'_> {
    /// What it becomes: digests of the key, and of what was sent.
    pub(super) fn send_key(self, target: &Target, content: &str, now: Timestamp, window: Duration) -> SendKey {
        let place = match target {
            Target::Owned(session) => Some(session.id()),
            Target::Id(id) => Some(*id),
            Target::New => None,
        };
        let (key, body, window) = match self {
            Self::Message(key) => {
                let place = place.map_or([0; 16], super::super::id::Id::bytes);
                let body = Sha256::new().chain_update(place).chain_update(content);
                (Sha256::new().chain_update(key), body, window)
            }
            Self::Request(key, digest) => (Sha256::new().chain_update(key), Sha256::new().chain_update(digest), window),
            Self::Retried { digest, tag, .. } => {
                let key = Sha256::new().chain_update(b"retried\0").chain_update(digest);
                return SendKey { key: half(key), body: tag, expires_at: now.after(RETRY_WINDOW) };
            }
        };
        SendKey { key: half(key), body: half(body), expires_at: now.after(window) }
    }

    /// True where what was stored by the key for another request gives way: its words were the same.
    pub(super) fn renews(self) -> bool {
        matches!(self, Self::Retried { .. })
    }

    /// True where what is asked now may be what was asked before.
    pub(super) fn may_repeat(self) -> bool {
        match self {
            Self::Message(_) | Self::Request(..) => true,
            Self::Retried { is_retry, .. } => is_retry,
        }
    }
}

fn half(digest: Sha256) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest.finalize()[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;

    #[tokio::test]
    async fn a_key_is_used_by_one_at_a_time_and_then_forgotten() {
        let keys = Keys::default();
        let user = UserId::new();
        let key = Key::Message("k").send_key(&Target::New, "text", Timestamp(0), Duration::ZERO);
        let first = keys.lock(user, &key).await;
        let mut second = Box::pin(keys.lock(user, &key));
        assert!(futures_are_pending(second.as_mut()).await);
        drop(keys.lock(UserId::new(), &key).await);
        drop(first);
        drop(second.await);
        assert!(lock(&keys.used).is_empty());
    }

    async fn futures_are_pending<F: Future + ?Sized>(mut future: std::pin::Pin<&mut F>) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }

    #[test]
    fn the_body_is_the_text_and_where_it_goes() {
        let session = Target::Id(SessionId::new());
        let body = |target: &Target, text| Key::Message("k").send_key(target, text, Timestamp(0), Duration::ZERO).body;
        assert_eq!(body(&session, "a"), body(&session, "a"));
        assert_ne!(body(&session, "a"), body(&session, "b"));
        assert_ne!(body(&session, "a"), body(&Target::New, "a"));
    }
}
