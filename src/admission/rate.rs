//! Token buckets per user: 429 for one user's excess.
//!
//! A bucket is kept as what its user has taken out of it and not yet regained, so that a user without a bucket has a
//! full one, and a change of tier changes the size and the refill of the bucket at the next charge. All arithmetic is
//! in whole numbers: no rounding adds up to a free request.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;

use super::limits_of;
use crate::{
    config::{LimitsConfig, Live},
    id::UserId,
    store::Tier,
};

/// How many users' buckets are kept; the user who was quiet longest is forgotten first, and has full buckets again.
const USERS_MAX: usize = 65_536;

/// Parts of the table that are locked one by one; a power of two.
const SHARDS: usize = 16;

const USERS_PER_SHARD: NonZeroUsize = NonZeroUsize::new(USERS_MAX / SHARDS).expect("each shard has room");

/// One token in the unit of [`Bucket::taken`]: of it, a limit of n a minute regains exactly n in a nanosecond.
const TOKEN: u128 = 60_000_000_000;

/// The user is over a limit; the next try succeeds after the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("over the limit of {per_minute} {what} a minute")]
pub struct OverLimit {
    /// Of what there was too much.
    pub what: Charged,
    /// How many a minute are allowed.
    pub per_minute: u32,
    /// How long to wait.
    pub retry_after: Duration,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charged {
    /// Requests of any kind.
    Requests,
    /// New messages and retries.
    Messages,
}

impl fmt::Display for Charged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requests => "requests",
            Self::Messages => "messages",
        })
    }
}

/// Buckets of all users that were lately active.
///
/// A limit of n a minute is a bucket of n tokens that regains them evenly: a whole minute's worth may come at once,
/// and a limit of 0 is none.
pub struct Rates {
    limits: Live<LimitsConfig>,
    /// Guards the buckets of the users whose ids end in the shard's number.
    shards: [Mutex<LruCache<UserId, Buckets>>; SHARDS],
}

/// What one user has used.
struct Buckets {
    requests: Bucket,
    messages: Bucket,
}

/// What was taken and not yet regained, as it stood at a moment.
struct Bucket {
    taken: u128,
    at: Instant,
}

impl Rates {
    /// Empty buckets under `limits`.
    #[must_use]
    pub fn new(limits: impl Into<Live<LimitsConfig>>) -> Self {
        Self { limits: limits.into(), shards: std::array::from_fn(|_| Mutex::new(LruCache::sparse(USERS_PER_SHARD))) }
    }

    /// Counts one request.
    ///
    /// # Errors
    /// [`OverLimit`] where the user has made too many; the refused one is not counted.
    pub fn charge_request(&self, user: UserId, tier: Tier) -> Result<(), OverLimit> {
        let per_minute = limits_of(&self.limits.get(), tier).requests_per_minute;
        self.charge(user, per_minute, Charged::Requests, Instant::now())
    }

    /// Counts one new message.
    ///
    /// # Errors
    /// [`OverLimit`] where the user has sent too many; the refused one is not counted.
    pub fn charge_message(&self, user: UserId, tier: Tier) -> Result<(), OverLimit> {
        let per_minute = limits_of(&self.limits.get(), tier).messages_per_minute;
        self.charge(user, per_minute, Charged::Messages, Instant::now())
    }

    /// Takes the charge for a message back that was not taken.
    pub fn refund_message(&self, user: UserId, tier: Tier) {
        if limits_of(&self.limits.get(), tier).messages_per_minute > 0 {
            let mut shard = self.shard(user);
            if let Some(buckets) = shard.get_mut(&user) {
                buckets.messages.taken = buckets.messages.taken.saturating_sub(TOKEN);
            }
        }
    }

    fn charge(&self, user: UserId, per_minute: u32, what: Charged, now: Instant) -> Result<(), OverLimit> {
        if per_minute == 0 {
            return Ok(());
        }
        let mut shard = self.shard(user);
        let buckets = shard.get_or_insert_mut(user, || Buckets::full(now));
        let bucket = match what {
            Charged::Requests => &mut buckets.requests,
            Charged::Messages => &mut buckets.messages,
        };
        bucket.take(per_minute, now).map_err(|retry_after| OverLimit { what, per_minute, retry_after })
    }

    fn shard(&self, user: UserId) -> MutexGuard<'_, LruCache<UserId, Buckets>> {
        // The last byte of an id is random, in both versions that we make.
        let shard = usize::from(user.bytes()[15]) % SHARDS;
        // Nothing under this lock can panic with a bucket half changed.
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buckets {
    fn full(now: Instant) -> Self {
        Self { requests: Bucket { taken: 0, at: now }, messages: Bucket { taken: 0, at: now } }
    }
}

impl Bucket {
    /// Takes one token from a bucket of `per_minute`, which is not 0; the error is the wait for the next one.
    fn take(&mut self, per_minute: u32, now: Instant) -> Result<(), Duration> {
        let per_minute = u128::from(per_minute);
        let capacity = per_minute * TOKEN;
        // A user who comes down from a larger bucket owes no more than the smaller one holds.
        let regained = now.saturating_duration_since(self.at).as_nanos().saturating_mul(per_minute);
        self.taken = self.taken.saturating_sub(regained).min(capacity);
        self.at = self.at.max(now);
        let missing = (self.taken + TOKEN).saturating_sub(capacity);
        if missing == 0 {
            self.taken += TOKEN;
            return Ok(());
        }
        let nanos = u64::try_from(missing.div_ceil(per_minute)).expect("one token takes a minute at most");
        Err(Duration::from_nanos(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NANO: Duration = Duration::from_nanos(1);

    fn messages(rates: &Rates, user: UserId, tier: Tier, now: Instant) -> Result<(), OverLimit> {
        let per_minute = limits_of(&rates.limits.get(), tier).messages_per_minute;
        rates.charge(user, per_minute, Charged::Messages, now)
    }

    fn requests(rates: &Rates, user: UserId, tier: Tier, now: Instant) -> Result<(), OverLimit> {
        let per_minute = limits_of(&rates.limits.get(), tier).requests_per_minute;
        rates.charge(user, per_minute, Charged::Requests, now)
    }

    fn rates() -> Rates {
        Rates::new(LimitsConfig::default())
    }

    #[test]
    fn a_minutes_worth_may_come_at_once_and_then_as_fast_as_it_refills() {
        let (rates, user, start) = (rates(), UserId::new(), Instant::now());
        for _ in 0..30 {
            assert_eq!(messages(&rates, user, Tier::Free, start), Ok(()));
        }
        let over = messages(&rates, user, Tier::Free, start).unwrap_err();
        assert_eq!(over.retry_after, Duration::from_secs(2)); // 30 a minute are one every 2 s.
        let next = start + over.retry_after;
        assert_eq!(
            messages(&rates, user, Tier::Free, next.checked_sub(NANO).unwrap()),
            Err(OverLimit { what: Charged::Messages, per_minute: 30, retry_after: NANO })
        );
        assert_eq!(messages(&rates, user, Tier::Free, next), Ok(()));
        assert!(messages(&rates, user, Tier::Free, next).is_err());
    }

    #[test]
    fn a_quiet_user_saves_up_one_minute_and_no_more() {
        let (rates, user, start) = (rates(), UserId::new(), Instant::now());
        assert_eq!(messages(&rates, user, Tier::Free, start), Ok(()));
        let later = start + Duration::from_hours(24);
        for _ in 0..30 {
            assert_eq!(messages(&rates, user, Tier::Free, later), Ok(()));
        }
        assert!(messages(&rates, user, Tier::Free, later).is_err());
    }

    #[test]
    fn requests_messages_and_users_have_buckets_of_their_own() {
        let (rates, user, now) = (rates(), UserId::new(), Instant::now());
        while messages(&rates, user, Tier::Free, now).is_ok() {}
        for _ in 0..300 {
            assert_eq!(requests(&rates, user, Tier::Free, now), Ok(()));
        }
        assert_eq!(requests(&rates, user, Tier::Free, now).unwrap_err().retry_after, Duration::from_millis(200));
        assert_eq!(messages(&rates, UserId::new(), Tier::Free, now), Ok(()));
    }

    #[test]
    fn a_change_of_tier_holds_at_the_next_charge() {
        let (rates, user, now) = (rates(), UserId::new(), Instant::now());
        while messages(&rates, user, Tier::Free, now).is_ok() {}
        for _ in 0..90 {
            assert_eq!(messages(&rates, user, Tier::Premium, now), Ok(())); // 120, less the 30 that were used.
        }
        assert_eq!(messages(&rates, user, Tier::Premium, now).unwrap_err().retry_after, Duration::from_millis(500));
        assert_eq!(messages(&rates, user, Tier::Unlimited, now), Ok(()));
        assert_eq!(messages(&rates, user, Tier::Free, now).unwrap_err().retry_after, Duration::from_secs(2));
    }

    #[test]
    fn the_smallest_and_the_largest_limit_are_exact() {
        let now = Instant::now();
        let mut bucket = Bucket { taken: 0, at: now };
        assert_eq!(bucket.take(1, now), Ok(()));
        assert_eq!(bucket.take(1, now), Err(Duration::from_mins(1)));
        assert_eq!(bucket.take(u32::MAX, now), Ok(()));
        bucket.taken = u128::from(u32::MAX) * TOKEN;
        assert_eq!(bucket.take(u32::MAX, now), Err(Duration::from_nanos(14)));
    }

    #[test]
    fn a_message_that_was_not_taken_costs_nothing() {
        let (rates, user) = (rates(), UserId::new());
        rates.refund_message(user, Tier::Free); // Of a user who has a full bucket.
        for _ in 0..100 {
            rates.charge_message(user, Tier::Free).unwrap();
            rates.refund_message(user, Tier::Free);
        }
        for _ in 0..30 {
            rates.charge_message(user, Tier::Free).unwrap();
        }
        assert!(rates.charge_message(user, Tier::Free).is_err());
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_quietest() {
        let (rates, first, now) = (rates(), UserId::from_bytes([0; 16]), Instant::now());
        while messages(&rates, first, Tier::Free, now).is_ok() {}
        for n in 1..=u32::try_from(USERS_PER_SHARD.get()).unwrap() {
            let mut bytes = [0; 16]; // Ends in 0 as the first one does: the same shard.
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            assert_eq!(messages(&rates, UserId::from_bytes(bytes), Tier::Free, now), Ok(()));
        }
        assert_eq!(rates.shards[0].lock().unwrap().len(), USERS_PER_SHARD.get());
        assert_eq!(messages(&rates, first, Tier::Free, now), Ok(()));
    }
}
