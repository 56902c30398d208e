//! What is older than its tier's `retention_days` is cleared: whole turns from the beginning of each session, some at a
//! time. Sequences go on, and an open turn stays.

use std::{sync::Arc, time::Duration};

use super::{Failure, Kind};
use crate::{
    clock::{Clock, Timestamp},
    config::{LimitsConfig, Live},
    id::{SessionId, UserId},
    store::{JobEffect, Store, StoreError, Tier},
};

const EVERY: Duration = Duration::from_hours(1);
const LEASE: Duration = Duration::from_hours(1);
/// Accounts, and sessions of one, that are read at a time.
const PAGE: usize = 100;
const DAY: Duration = Duration::from_hours(24);

pub(super) fn kind(store: Arc<Store>, clock: Clock, limits: Live<LimitsConfig>) -> Kind {
    let run = move |_: &_| {
        let (store, clock, limits) = (Arc::clone(&store), clock.clone(), limits.full());
        let work: super::Work = Box::pin(async move {
            let days = |tier| match tier {
                Tier::Free => limits.free.retention_days,
                Tier::Premium => limits.premium.retention_days,
                Tier::Unlimited => limits.unlimited.retention_days,
            };
            if [Tier::Free, Tier::Premium, Tier::Unlimited].into_iter().any(|tier| days(tier) > 0) {
                clear(&store, clock.now(), days).await?;
            }
            Ok(JobEffect::Nothing)
        });
        work
    };
    Kind {
        name: "retention",
        lease: LEASE,
        is_long: true,
        every: Some(EVERY),
        at_once: false,
        makes_room: true,
        run: Box::new(run),
    }
}

/// Clears the old messages of all users.
async fn clear(store: &Store, now: Timestamp, days: impl Fn(Tier) -> u32) -> Result<(), Failure> {
    let (mut after, mut cleared) = (None, 0_u64);
    loop {
        let users = store.users(after, PAGE).await?;
        for user in users.iter().filter(|user| days(user.tier) > 0) {
            let kept = i64::try_from(DAY.saturating_mul(days(user.tier)).as_micros()).unwrap_or(i64::MAX);
            cleared += of_user(store, user.id, Timestamp(now.0.saturating_sub(kept))).await?;
        }
        after = users.last().map(|user| user.id);
        if users.len() < PAGE {
            break;
        }
    }
    if cleared > 0 {
        tracing::info!(steps = cleared, "messages older than their tier keeps were cleared");
    }
    Ok(())
}

async fn of_user(store: &Store, user: UserId, before: Timestamp) -> Result<u64, Failure> {
    let (mut after, mut cleared): (Option<SessionId>, _) = (None, 0);
    loop {
        let sessions = store.session_ids(user, after, PAGE).await?;
        for session in &sessions {
            while let Some(old) = store.old_messages(*session, before).await? {
                match store.clear_old(user, old).await {
                    Ok(true) => cleared += 1,
                    // Someone is at it: the next time.
                    Ok(false) | Err(StoreError::NotOwner(_)) => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        after = sessions.last().copied();
        if sessions.len() < PAGE {
            return Ok(cleared);
        }
    }
}
