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

/// What a client's key becomes: digests of the key, and of the message and where it was sent.
pub(super) fn send_key(key: &str, target: &Target, content: &str, now: Timestamp, window: Duration) -> SendKey {
    let place = match target {
        Target::Owned(session) => Some(session.id()),
        Target::Id(id) => Some(*id),
        Target::New => None,
    };
    let body = Sha256::new().chain_update(place.map_or([0; 16], super::super::id::Id::bytes)).chain_update(content);
    SendKey { key: half(Sha256::new().chain_update(key)), body: half(body), expires_at: now.after(window) }
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
        let key = send_key("k", &Target::New, "text", Timestamp(0), Duration::ZERO);
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
        let body = |target: &Target, text| send_key("k", target, text, Timestamp(0), Duration::ZERO).body;
        assert_eq!(body(&session, "a"), body(&session, "a"));
        assert_ne!(body(&session, "a"), body(&session, "b"));
        assert_ne!(body(&session, "a"), body(&Target::New, "a"));
    }
}
