//! What is over by itself leaves the index: idempotency keys, logins, invitations, jobs that nobody ran.

use std::{sync::Arc, time::Duration};

use super::Kind;
use crate::store::{ExpiryCursor, JobEffect, Store};

/// It is over already for whoever asks: this is about room.
const EVERY: Duration = Duration::from_hours(1);
const LEASE: Duration = Duration::from_mins(10);

pub(super) fn kind(store: Arc<Store>) -> Kind {
    let run = move |_: &_| {
        let store = Arc::clone(&store);
        let work: super::Work = Box::pin(async move {
            let (mut cursor, mut removed) = (Some(ExpiryCursor::default()), 0);
            while let Some(at) = cursor {
                (removed, cursor) = store.remove_expired(at).await?;
            }
            if removed > 0 {
                tracing::debug!(removed, "what was over has left the index");
            }
            Ok(JobEffect::Nothing)
        });
        work
    };
    Kind {
        name: "expiry",
        lease: LEASE,
        is_long: false,
        every: Some(EVERY),
        at_once: false,
        makes_room: true,
        run: Box::new(run),
    }
}
