//! How many event streams a user has open, under a bound for each tier.
//!
//! A stream takes a connection for as long as its tab is open: without a bound one user could take them all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::limits_of;
use crate::{
    config::{LimitsConfig, Live},
    id::UserId,
    store::Tier,
};

/// When another try may succeed: nobody knows when a tab is closed, and no page needs so many streams at once.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The user has as many streams as they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{max} event streams are open")]
pub struct TooManyStreams {
    /// As many are allowed.
    pub max: u32,
    /// How long to wait.
    pub retry_after: Duration,
}

/// The open streams of all users. Cheap to clone: all clones count together.
#[derive(Clone)]
pub struct Streams(Arc<Shared>);

struct Shared {
    limits: Live<LimitsConfig>,
    /// Guards how many streams each user has; who has none is not in it.
    open: Mutex<HashMap<UserId, u32>>,
}

/// One stream's place under its user's bound; given back when dropped.
pub struct StreamPlace {
    shared: Arc<Shared>,
    user: UserId,
}

impl Streams {
    /// No streams yet, under `limits`.
    #[must_use]
    pub fn new(limits: impl Into<Live<LimitsConfig>>) -> Self {
        Self(Arc::new(Shared { limits: limits.into(), open: Mutex::default() }))
    }

    /// Takes a place for one more stream of the user.
    ///
    /// # Errors
    /// [`TooManyStreams`] where the user has as many as the tier allows.
    pub fn open(&self, user: UserId, tier: Tier) -> Result<StreamPlace, TooManyStreams> {
        let max = limits_of(&self.0.limits.get(), tier).streams;
        let mut open = self.0.lock();
        let count = open.get(&user).copied().unwrap_or(0);
        if max > 0 && count >= max {
            return Err(TooManyStreams { max, retry_after: RETRY_AFTER });
        }
        open.insert(user, count + 1);
        drop(open);
        Ok(StreamPlace { shared: Arc::clone(&self.0), user })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, u32>> {
        // No code that can panic runs under this lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut open = self.shared.lock();
        match open.get_mut(&self.user) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(open.remove(&self.user)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_a_bound_of_their_own_and_a_place_that_is_given_back_can_be_taken_again() {
        let mut limits = LimitsConfig::default();
        limits.free.streams = 2;
        limits.unlimited.streams = 0;
        let (streams, user, other) = (Streams::new(limits), UserId::new(), UserId::new());
        let (first, second) = (streams.open(user, Tier::Free).unwrap(), streams.open(user, Tier::Free).unwrap());
        let refused = TooManyStreams { max: 2, retry_after: RETRY_AFTER };
        assert_eq!(streams.open(user, Tier::Free).err(), Some(refused));
        let others = streams.open(other, Tier::Free).unwrap();
        drop(first);
        let third = streams.open(user, Tier::Free).unwrap();
        assert_eq!(streams.open(user, Tier::Free).err(), Some(refused));
        let unbound: Vec<_> = (0..100).map(|_| streams.open(user, Tier::Unlimited).unwrap()).collect();
        drop((second, third, others, unbound));
        assert!(streams.0.lock().is_empty(), "who has none is forgotten");
    }
}
