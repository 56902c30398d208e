//! The journal is rewritten to what is alive. The store enqueues this when it is due.

use std::{sync::Arc, time::Duration};

use super::Kind;
use crate::store::{COMPACTION, JobEffect, Store};

/// Tens of gigabytes take so long.
const LEASE: Duration = Duration::from_hours(2);

pub(super) fn kind(store: Arc<Store>) -> Kind {
    let run = move |_: &_| {
        let store = Arc::clone(&store);
        let work: super::Work = Box::pin(async move {
            store.compact().await?;
            Ok(JobEffect::Nothing)
        });
        work
    };
    Kind {
        name: COMPACTION,
        lease: LEASE,
        is_long: true,
        every: None,
        at_once: false,
        makes_room: true,
        run: Box::new(run),
    }
}
